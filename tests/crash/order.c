/* SPDX-License-Identifier: MIT */
/* Copyright the wbcshm authors */

/*
 * A row is inserted, and at once added to by the same client, while flush
 * follows flush: no add reaches the database before its row.  One that did
 * would be a dead letter.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "crash/rig.h"
#include "tap/tap.h"

#define CLIENTS 2
#define FLUSHES 120 /* the order can be wrong between two of them only */
#define ROWS_EACH 100

/* Rows that may be made beyond those that were flushed, so that the clients are
 * busy whenever a round is, and not faster than the database. */
#define AHEAD (4 * ROWS_EACH)

struct tally {
	bool stop;
	int64_t allowed; /* rows of all clients */
	int64_t rows[CLIENTS];
};

/* Of a client between two rows, to have a few of them in each round. */
static const struct timespec between_rows = {.tv_nsec = 50000};

static const char spec[] = "items(id int key, n counter)";

static int64_t made(const struct tally *tally)
{
	int64_t sum = 0;

	for (int i = 0; i < CLIENTS; i++)
		sum += __atomic_load_n(&tally->rows[i], __ATOMIC_ACQUIRE);
	return sum;
}

/* Wait until there may be more rows; false: no more. */
static bool may_go_on(const struct tally *tally)
{
	do {
		nanosleep(&between_rows, NULL);
		if (__atomic_load_n(&tally->stop, __ATOMIC_ACQUIRE))
			return false;
	} while (made(tally) >=
	         __atomic_load_n(&tally->allowed, __ATOMIC_ACQUIRE));
	return true;
}

/* In a child. */
_Noreturn static void work(const struct rig *r, struct tally *tally,
                           int64_t client, pid_t parent)
{
	struct wbc *c = rig_open(r);
	struct wbc_table *t = rig_table(c, spec);
	int error = 0;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	prctl(PR_SET_TIMERSLACK, 1UL);
	if (getppid() != parent)
		_exit(1);
	for (int64_t i = 0; !error && may_go_on(tally); i++) {
		struct wbc_value row[2] = {
			wbc_int64("id", i * CLIENTS + client),
			wbc_int64("n", 0)};

		error = wbc_insert(t, row, 2, RIG_PATIENCE_MS);
		if (!error)
			error = wbc_add_int64(t, row, 1, 1, 1);
		__atomic_store_n(&tally->rows[client], i + 1, __ATOMIC_RELEASE);
	}
	wbc_close(&c);
	_exit(error ? 1 : 0);
}

static bool clients_end_well(const struct rig *r, struct wbc *c,
                             struct tally *tally)
{
	pid_t pid[CLIENTS], parent = getpid();
	bool good = true;
	int status;

	for (int i = 0; i < CLIENTS; i++) {
		pid[i] = fork();
		if (pid[i] == 0)
			work(r, tally, i, parent);
		if (pid[i] < 0)
			tap_bail("fork: %s", strerror(errno));
	}
	for (int i = 1; i <= FLUSHES && good; i++) {
		__atomic_store_n(&tally->allowed, i * ROWS_EACH + AHEAD,
		                 __ATOMIC_RELEASE);
		while (made(tally) < i * ROWS_EACH)
			nanosleep(&between_rows, NULL);
		good = rig_flush(c) == 0;
	}
	__atomic_store_n(&tally->stop, true, __ATOMIC_RELEASE);
	for (int i = 0; i < CLIENTS; i++) {
		waitpid(pid[i], &status, 0);
		good &= status == 0;
	}
	return good;
}

int main(void)
{
	struct tally *tally = mmap(NULL, sizeof(*tally), PROT_READ | PROT_WRITE,
	                           MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	struct rig r;
	struct wbc *c;

	if (tally == MAP_FAILED)
		tap_bail("mmap: %s", strerror(errno));
	rig_begin(&r, "order");
	r.journal_interval = "1ms";
	r.flush_interval = "1h";
	r.tables[0] = spec;
	rig_sql(&r, "CREATE TABLE items(id INTEGER PRIMARY KEY, n INTEGER)");
	c = rig_open(&r);
	rig_start(&r);
	tap_ok(clients_end_well(&r, c, tally), "clients insert and add");
	tap_is_int(rig_flush(c), 0, "nothing is refused at the end");
	tap_is_int(rig_sql_int(&r, "SELECT count(*) FROM wbc_dead_letters"), 0,
	           "no add overtakes the insert of its row");
	tap_is_int(rig_sql_int(&r, "SELECT count(*) FROM items WHERE n = 1"),
	           made(tally), "every row is there, with its add");
	tap_is_int(rig_stop(&r), 0, "the flusher ends well");
	wbc_close(&c);
	rig_end(&r);
	return tap_done();
}
