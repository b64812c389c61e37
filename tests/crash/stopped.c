/* SPDX-License-Identifier: MIT */
/* Copyright the wbcshm authors */

/*
 * A client that is stopped in the middle of an operation delays nobody: syncs
 * and flushes of the others go on, and what the stopped one had not done yet
 * is found after it goes on.
 *
 * The places between two of its steps are reached by taking the steps by
 * hand, as shm/ takes them; random places by SIGSTOP from outside.
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

#include "api/handle.h"
#include "crash/crew.h"
#include "shm/cell.h"
#include "shm/entry.h"
#include "shm/epoch.h"
#include "shm/key.h"
#include "tap/tap.h"
#include "unit/dice.h"

static const char spec[] = "counts(name text key, n counter)";

/* Where it stops. */
enum place {
	ENTERED,      /* in the section, nothing done */
	CYCLE_LOADED, /* it knows the cycle, and has marked nothing */
	MARKED,       /* the marks are set, the add is to come */
	ADDED,        /* added, not left */
	PLACES
};
static const char *const place_names[PLACES] = {
	"having entered", "having loaded the cycle", "having marked",
	"having added"};

struct state {
	struct rig rig;
	struct wbc *c;
	struct wbc_table *t;
	int64_t ours;
};

static void begin(struct state *s)
{
	memset(s, 0, sizeof(*s));
	rig_begin(&s->rig, "stopped");
	s->rig.tables[0] = spec;
	rig_sql(&s->rig, "CREATE TABLE counts(name TEXT PRIMARY KEY,"
	                 " n INTEGER NOT NULL);"
	                 "INSERT INTO counts VALUES('ours', 0), ('its', 0)");
	s->c = rig_open(&s->rig);
	s->t = rig_table(s->c, spec);
	rig_start(&s->rig);
}

static void end(struct state *s)
{
	tap_is_int(rig_stop(&s->rig), 0, "the flusher ends well");
	wbc_close(&s->c);
	rig_end(&s->rig);
}

static int add(struct wbc_table *t, const char *name)
{
	struct wbc_value key = wbc_text(NULL, name, (uint32_t)strlen(name));

	return wbc_add_int64(t, &key, 1, 1, 1);
}

static void stop_here_if(bool here)
{
	if (here)
		raise(SIGSTOP);
}

/* wbci_mark(), with a stop between the load of the cycle and the marks. */
static void mark(struct wbci_thread *t, struct entry_shm *e, enum place place)
{
	uint64_t cycle = order_acquire(&t->control->cycle);

	stop_here_if(place == CYCLE_LOADED);
	if (order_acquire(&e->stamp) != cycle)
		wbci_mark_bits(t, e, cycle);
}

/* In a child: one add to row `its`, in its single steps. */
_Noreturn static void add_slowly(const struct state *s, enum place place,
                                 pid_t parent)
{
	struct wbc_value value = wbc_text(NULL, "its", 3);
	unsigned char bytes[WBC_KEY_MAX];
	struct wbci_thread *t;
	struct entry_shm *e;
	struct wbci_key key;
	uint64_t offset;
	int len;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		_exit(2);
	len = wbci_key_encode(&s->t->schema, &value, 1, bytes);
	if (len <= 0 || wbci_handle_thread(s->c->client, &t))
		_exit(2);
	wbci_key_init(&s->c->client->segment, &key, SPACE_ROW,
	              (uint8_t)s->t->number, bytes, (uint16_t)len);
	if (wbci_entry_open(t, &key, &s->t->schema, &e, &offset))
		_exit(2);
	stop_here_if(place == ENTERED);
	mark(t, e, place);
	stop_here_if(place == MARKED);
	order_add_relaxed(wbci_entry_total(e, 0), 1);
	stop_here_if(place == ADDED);
	wbci_exit(t);
	_exit(0);
}

/* Rounds go on, with adds of ours in each, and all of them are applied. */
static bool others_go_on(struct state *s)
{
	for (int i = 0; i < 8; i++) {
		int error = add(s->t, "ours");

		s->ours += !error;
		if (!error)
			error = wbc_sync(s->c, RIG_PATIENCE_MS);
		if (!error)
			error = rig_flush(s->c);
		if (error) {
			tap_diag("%s", wbc_error_name(error));
			return false;
		}
	}
	return rig_sql_int(&s->rig, "SELECT n FROM counts WHERE name='ours'") ==
	       s->ours;
}

static int64_t its(const struct state *s)
{
	return rig_sql_int(&s->rig, "SELECT n FROM counts WHERE name='its'");
}

/* A child that has stopped at a place. */
static pid_t stopped_at(const struct state *s, enum place place)
{
	pid_t parent = getpid();
	pid_t pid = fork();
	int status;

	if (pid == 0)
		add_slowly(s, place, parent);
	if (pid < 0 || waitpid(pid, &status, WUNTRACED) != pid ||
	    !WIFSTOPPED(status))
		tap_bail("no client that stops");
	return pid;
}

static void stop_and_continue(struct state *s, enum place place)
{
	int64_t before = its(s);
	pid_t pid = stopped_at(s, place);
	const char *where = place_names[place];
	int status;

	tap_ok(others_go_on(s), "P2: a client stopped %s delays nobody", where);
	tap_is_int(its(s) - before, place == ADDED, "its add is %s",
	           place == ADDED ? "written" : "not there");
	kill(pid, SIGCONT);
	waitpid(pid, &status, 0);
	tap_is_int(status, 0, "it goes on");
	tap_is_int(rig_flush(s->c), 0, "a flush works");
	tap_is_int(its(s) - before, 1,
	           "P3: an add that stopped %s is found afterwards, once",
	           where);
}

/* The same, with a new flusher while it is stopped. */
static void stop_over_a_restart(struct state *s, enum place place)
{
	int64_t before = its(s);
	pid_t pid = stopped_at(s, place);
	int status;

	/* Whoever took its marks is dead, and what it had kept to read again.
	 */
	tap_ok(others_go_on(s), "P2: a client stopped %s delays nobody",
	       place_names[place]);
	rig_kill(&s->rig);
	rig_start(&s->rig);
	tap_ok(others_go_on(s), "P2: nor a new flusher's clients");
	kill(pid, SIGCONT);
	waitpid(pid, &status, 0);
	tap_ok(!status && !rig_flush(s->c) && its(s) - before == 1,
	       "P3, P5: an add that stopped %s is found by a later flusher",
	       place_names[place]);
}

/* Killed while it is stopped: what it had added counts. */
static void stop_and_kill(struct state *s, enum place place)
{
	int64_t before = its(s);
	pid_t pid = stopped_at(s, place);
	int status;

	kill(pid, SIGKILL);
	waitpid(pid, &status, 0);
	tap_ok(others_go_on(s), "P2: nor does it when it is killed there");
	tap_is_int(its(s) - before, place == ADDED,
	           "P3: a client killed %s has added %d", place_names[place],
	           place == ADDED);
}

/* In a child: count acknowledged adds, until killed. */
_Noreturn static void add_for_ever(const struct state *s, int64_t *acked,
                                   pid_t parent)
{
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		_exit(2);
	while (!add(s->t, "its"))
		__atomic_fetch_add(acked, 1, __ATOMIC_RELAXED);
	_exit(1);
}

static void random_stops(struct state *s, struct dice *d, int stops)
{
	int64_t *acked = mmap(NULL, 4096, PROT_READ | PROT_WRITE,
	                      MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	int64_t before = its(s), behind = 0, more;
	pid_t parent = getpid();
	pid_t pid = fork();
	int status, i;

	if (pid == 0)
		add_for_ever(s, acked, parent);
	for (i = 0; i < stops; i++) {
		struct timespec t = {.tv_nsec = 1 + dice_below(d, 4000000)};

		nanosleep(&t, NULL);
		kill(pid, SIGSTOP);
		waitpid(pid, &status, WUNTRACED);
		if (!WIFSTOPPED(status) || rig_flush(s->c))
			break;
		/* It may have added what it could not acknowledge yet. */
		more = its(s) - before - *acked;
		behind += more < 0 || more > 1;
		kill(pid, SIGCONT);
	}
	kill(pid, SIGKILL);
	waitpid(pid, &status, 0);
	tap_is_int(i, stops,
	           "P2: with a client stopped at random, %d flushes "
	           "succeed",
	           stops);
	tap_is_int(behind, 0,
	           "P3: each writes all that it was acknowledged, "
	           "and at most one add more");
	more = rig_flush(s->c) ? -1 : its(s) - before - *acked;
	tap_ok(more == 0 || more == 1, "P3: so does the last one");
	munmap(acked, 4096);
}

int main(void)
{
	struct dice d = dice_seeded();
	struct state s;

	begin(&s);
	/* The entry is there, so that a stop is the only thing in the way. */
	add(s.t, "its");
	tap_is_int(rig_flush(s.c), 0, "a flush works");
	for (enum place p = ENTERED; p < PLACES; p++)
		stop_and_continue(&s, p);
	for (enum place p = ENTERED; p < PLACES; p++)
		stop_over_a_restart(&s, p);
	for (enum place p = ENTERED; p < PLACES; p++)
		stop_and_kill(&s, p);
	random_stops(&s, &d, 40);
	end(&s);
	return tap_done();
}
