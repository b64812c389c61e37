/* SPDX-License-Identifier: MIT */
/* Copyright the wbcshm authors */

/*
 * A million changed rows, and a client that is stopped in its section: so
 * each round reads all of them again, since the stopped one may yet change
 * what it had marked.  Rounds stay short, the others' syncs are answered, and
 * whoever dies meanwhile is found.
 *
 * What is held against the journal interval is the flusher's processor time,
 * which does not depend on what else the machine does; the time on the wall
 * is a note.
 */
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "api/handle.h"
#include "crash/rig.h"
#include "shm/cell.h"
#include "shm/epoch.h"
#include "shm/key.h"
#include "shm/mark.h"
#include "shm/round.h"
#include "tap/tap.h"
#include "unit/child.h"

enum {
	ROWS = 1000000,
	ROUNDS = 20,
	INTERVAL_MS = 200, /* the default */
	EACH = 1000,       /* every so manyth row */
	FOUND_MS = 1500    /* a second, and what a loaded machine adds */
};

static const char spec[] = "counts(k int key, n counter) on_missing=insert";

struct state {
	struct rig rig;
	char small[PATH_MAX - 32]; /* a file system in memory; empty: none */
	struct wbc *c;
	struct wbc_table *t;
	uint64_t adds;
};

/* Time on the wall, and of the flusher's on processors. */
struct took {
	int64_t wall_us, cpu_us;
	uint64_t rounds;
};

static void begin(struct state *s)
{
	struct wbc_options o = WBC_OPTIONS_INIT;

	memset(s, 0, sizeof(*s));
	rig_begin(&s->rig, "million");
	snprintf(s->small, sizeof(s->small), "%s/small", s->rig.dir);
	if (mkdir(s->small, 0700) || !child_mount(s->small, "size=1g")) {
		tap_diag("the segment is on a disk: %s", strerror(errno));
		s->small[0] = '\0';
	} else {
		snprintf(s->rig.segment, sizeof(s->rig.segment), "%s/segment",
		         s->small);
		snprintf(s->rig.address, sizeof(s->rig.address),
		         "shm:%s/segment", s->small);
	}
	s->rig.tables[0] = spec;
	s->rig.journal_interval = "200ms";
	s->rig.flush_interval = "1h";
	s->rig.extra[0] = "--max-queue-rows";
	s->rig.extra[1] = "1000000000";
	rig_sql(&s->rig, "CREATE TABLE counts(k INTEGER PRIMARY KEY,"
	                 " n INTEGER)");
	o.flags = WBC_CREATE;
	o.capacity = ROWS;
	o.max_bytes = UINT64_C(1) << 30;
	if (wbc_open(&s->c, s->rig.address, &o))
		tap_bail("no segment for a million rows");
	s->t = rig_table(s->c, spec);
	rig_start(&s->rig);
}

static void end(struct state *s)
{
	/* A million rows need not go to the database for this. */
	rig_kill(&s->rig);
	wbc_close(&s->c);
	if (s->small[0])
		umount2(s->small, MNT_DETACH);
	rig_end(&s->rig);
}

static void add_rows(struct state *s, int each)
{
	for (int i = 0; i < ROWS; i += each) {
		struct wbc_value key = wbc_int64(NULL, i);
		int error = wbc_add_int64(s->t, &key, 1, 1, 1);

		if (error)
			tap_bail("row %d: %s", i, wbc_error_name(error));
		s->adds++;
	}
}

static int64_t clock_us(clockid_t id)
{
	struct timespec t;

	clock_gettime(id, &t);
	return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

static uint64_t cycle(const struct state *s)
{
	return order_load(&s->c->client->segment.control->cycle);
}

static struct took look(const struct state *s)
{
	clockid_t id;

	if (clock_getcpuclockid(s->rig.pid, &id))
		tap_bail("the flusher has no clock");
	return (struct took){clock_us(CLOCK_MONOTONIC), clock_us(id), cycle(s)};
}

static struct took since(const struct state *s, const struct took *then)
{
	struct took now = look(s);

	return (struct took){now.wall_us - then->wall_us,
	                     now.cpu_us - then->cpu_us,
	                     now.rounds - then->rounds};
}

static void note(const char *what, const struct took *took)
{
	int64_t rounds = took->rounds ? (int64_t)took->rounds : 1;

	tap_diag("million: %s: %lld rounds, each %lld us of processor time and "
	         "%lld us on the wall",
	         what, (long long)took->rounds,
	         (long long)(took->cpu_us / rounds),
	         (long long)(took->wall_us / rounds));
}

/* A round with all of a million rows changed. */
static void all_rows(struct state *s, const char *what)
{
	struct took then, took;

	add_rows(s, 1);
	then = look(s);
	tap_is_int(wbc_sync(s->c, RIG_PATIENCE_MS), 0,
	           "P4: a sync of %d changed rows is answered: %s", ROWS, what);
	took = since(s, &then);
	note("syncs of all rows changed", &took);
}

/* A client, and the process slot that it has. */
static pid_t attached_client(const struct state *s, uint32_t *slot)
{
	pid_t pid, parent = getpid();
	struct wbci_thread *t;
	int fd[2];

	if (pipe(fd) || (pid = fork()) < 0)
		tap_bail("no client: %s", strerror(errno));
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (getppid() != parent ||
		    wbci_handle_thread(s->c->client, &t) ||
		    write(fd[1], &s->c->client->proc, sizeof(*slot)) < 0)
			_exit(1);
		for (;;)
			pause();
	}
	if (read(fd[0], slot, sizeof(*slot)) != sizeof(*slot))
		tap_bail("a client that does not attach");
	close(fd[0]);
	close(fd[1]);
	return pid;
}

static void *sync_rows(void *arg)
{
	struct state *s = arg;

	return wbc_sync(s->c, RIG_PATIENCE_MS) ? arg : NULL;
}

/* Somebody dies as a round of a million changed rows begins. */
static void death_in_a_round(struct state *s)
{
	uint32_t slot;
	pid_t pid = attached_client(s, &slot);
	order_u64 *word = &s->c->client->segment.procs[slot].word;
	uint64_t used, began;
	pthread_t thread;
	int64_t died_ms, found_ms;
	void *failed;

	add_rows(s, 1);
	used = order_load(word);
	began = cycle(s);
	if (pthread_create(&thread, NULL, sync_rows, s))
		tap_bail("no thread");
	died_ms = rig_now_ms();
	while (cycle(s) == began && rig_now_ms() < died_ms + RIG_PATIENCE_MS)
		sched_yield();
	kill(pid, SIGKILL);
	died_ms = rig_now_ms();
	while (order_load(word) == used &&
	       rig_now_ms() < died_ms + RIG_PATIENCE_MS)
		poll(NULL, 0, 5);
	found_ms = rig_now_ms() - died_ms;
	tap_ok(found_ms < FOUND_MS,
	       "P9: who dies while a million rows are journaled is found after "
	       "%lld ms", (long long)found_ms);
	pthread_join(thread, &failed);
	tap_ok(!failed, "P4: and the round is journaled");
	waitpid(pid, NULL, 0);
}

/* Rounds that are asked for, each with a change of its own. */
static struct took few_rows(struct state *s, const char *what)
{
	struct took then = look(s), took;
	int answered = 0;

	for (int i = 0; i < ROUNDS; i++) {
		add_rows(s, ROWS);
		answered += wbc_sync(s->c, RIG_PATIENCE_MS) == 0;
	}
	took = since(s, &then);
	tap_is_int(answered, ROUNDS, "P2: %d syncs are answered %s", ROUNDS,
	           what);
	note(what, &took);
	return took;
}

/* Rounds by the clock: they come by themselves. */
static void rounds_by_the_clock(struct state *s)
{
	struct took then = look(s), took;
	int64_t end_ms = rig_now_ms() + RIG_PATIENCE_MS;

	while (cycle(s) < then.rounds + ROUNDS / 2 && rig_now_ms() < end_ms)
		poll(NULL, 0, 5);
	took = since(s, &then);
	tap_ok(took.rounds >= ROUNDS / 2, "P2: rounds go on by themselves");
	note("by the clock, one client stopped", &took);
}

/* In a child: mark a row, and stop before the add. */
_Noreturn static void stop_inside(const struct state *s, pid_t parent)
{
	struct wbc_value row = wbc_int64(NULL, ROWS / 2);
	unsigned char bytes[WBC_KEY_MAX];
	struct wbci_thread *t;
	struct entry_shm *e;
	uint64_t offset, total;
	struct wbci_key k;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent || wbci_handle_thread(s->c->client, &t))
		_exit(1);
	wbci_key_init(&s->c->client->segment, &k, SPACE_ROW,
	              (uint8_t)s->t->number, bytes,
	              (uint16_t)wbci_key_encode(&s->t->schema, &row, 1, bytes));
	if (wbci_entry_open(t, &k, &s->t->schema, &e, &offset))
		_exit(1);
	wbci_mark(t, e);
	raise(SIGSTOP);
	if (wbci_cell_add_int64(t, e, 0, 1, &total))
		_exit(1);
	wbci_exit(t);
	_exit(0);
}

static pid_t stopped_client(const struct state *s)
{
	pid_t parent = getpid();
	pid_t pid = fork();
	int status;

	if (pid == 0)
		stop_inside(s, parent);
	if (pid < 0 || waitpid(pid, &status, WUNTRACED) != pid ||
	    !WIFSTOPPED(status))
		tap_bail("no client that stops");
	return pid;
}

struct sums {
	uint64_t rows, total, journaled;
};

static int sum_entry(void *arg, const struct wbci_seen *seen)
{
	struct sums *sums = arg;

	sums->rows++;
	sums->total += seen->total[0];
	sums->journaled += seen->journaled[0];
	return 0;
}

static void check_sums(const struct state *s)
{
	struct sums sums = {0, 0, 0};

	wbci_entry_visit_all(&s->c->client->segment, sum_entry, &sums);
	tap_ok(sums.rows == ROWS && sums.total == s->adds,
	       "P3: %d rows have all %llu adds", ROWS,
	       (unsigned long long)s->adds);
	tap_is_uint(sums.journaled, s->adds, "P3: and all are journaled");
}

int main(void)
{
	struct took kept, freed;
	struct state s;
	int status;
	pid_t pid;

	begin(&s);
	pid = stopped_client(&s);
	all_rows(&s, "one client is stopped");
	kept = few_rows(&s, "while one client is stopped");
	rounds_by_the_clock(&s);
	add_rows(&s, EACH);
	kill(pid, SIGCONT);
	waitpid(pid, &status, 0);
	tap_is_int(status, 0, "the stopped client goes on");
	s.adds++;
	freed = few_rows(&s, "once it has gone on");
	tap_ok(freed.cpu_us < kept.cpu_us,
	       "P2: what was read for its sake is read no more");
	all_rows(&s, "nobody is stopped");
	death_in_a_round(&s);
	tap_is_int(wbc_sync(s.c, RIG_PATIENCE_MS), 0, "a sync works");
	check_sums(&s);
	if (tap_sanitized(NULL))
		tap_skip(1, "sanitized: time says nothing");
	else
		tap_ok(kept.cpu_us / (int64_t)kept.rounds < INTERVAL_MS * 1000,
		       "million: a round beside a stopped client takes %lld us "
		       "for %d rows: less than the journal interval",
		       (long long)(kept.cpu_us / (int64_t)kept.rounds), ROWS);
	end(&s);
	return tap_done();
}
