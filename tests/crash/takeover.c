/* SPDX-License-Identifier: MIT */
/* Copyright the wbcshm authors */

/*
 * Which flusher, journal, segment and database belong together: a second
 * flusher, a later one, a new segment, copies of another time.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "api/handle.h"
#include "crash/rig.h"
#include "tap/tap.h"

#define PROCS 127 /* of 128: the last is a flusher's */

static const char spec[] = "counts(name text key, n counter)"
			   " on_missing=insert";
static const char log_spec[] = "log(seq int)";

struct state {
	struct rig rig;
	struct wbc *c;
	struct wbc_table *t, *log;
	int64_t added;
	int64_t inserted;
};

static void open_state(struct state *s)
{
	s->c = rig_open(&s->rig);
	s->t = rig_table(s->c, spec);
	s->log = rig_table(s->c, log_spec);
}

static void begin(struct state *s)
{
	memset(s, 0, sizeof(*s));
	rig_begin(&s->rig, "takeover");
	s->rig.flush_interval = "1h";
	s->rig.tables[0] = spec;
	s->rig.tables[1] = log_spec;
	rig_sql(&s->rig, "CREATE TABLE counts(name TEXT PRIMARY KEY,"
	                 " n INTEGER); CREATE TABLE log(seq INTEGER)");
	open_state(s);
}

static void end(struct state *s)
{
	if (s->rig.pid)
		tap_is_int(rig_stop(&s->rig), 0, "the flusher ends well");
	wbc_close(&s->c);
	rig_end(&s->rig);
}

static int add(struct wbc_table *t)
{
	struct wbc_value key = wbc_text(NULL, "row", 3);

	return wbc_add_int64(t, &key, 1, 1, 1);
}

/* Adds, inserts, and waits until they are in the journal. */
static void work(struct state *s, int n)
{
	for (int i = 0; i < n; i++) {
		struct wbc_value seq = wbc_int64("seq", s->inserted);

		if (add(s->t) || wbc_insert(s->log, &seq, 1, RIG_PATIENCE_MS))
			tap_bail("a client's work fails");
		s->added++;
		s->inserted++;
	}
	if (wbc_sync(s->c, RIG_PATIENCE_MS))
		tap_bail("sync fails");
}

static bool exact(const struct state *s)
{
	int64_t added = rig_sql_int(&s->rig, "SELECT total(n) FROM counts");
	int64_t rows = rig_sql_int(&s->rig, "SELECT count(*) FROM log");
	int64_t different =
		rig_sql_int(&s->rig, "SELECT count(DISTINCT seq) FROM log");

	tap_diag("%lld adds of %lld, %lld rows of %lld", (long long)added,
	         (long long)s->added, (long long)rows, (long long)s->inserted);
	return added == s->added && rows == s->inserted &&
	       different == s->inserted;
}

static bool flushed(struct state *s)
{
	int error = rig_flush(s->c);

	if (error)
		tap_diag("flush: %s", wbc_error_name(error));
	return !error && exact(s);
}

/* The log speaks of a process by its number. */
static bool names_pid(const struct rig *r, const char *line, pid_t pid)
{
	char text[32];

	snprintf(text, sizeof(text), "pid %d", (int)pid);
	return rig_log_count(r, line, text) > 0;
}

static void second_flusher(void)
{
	struct rig other_journal, other_segment;
	struct state s;

	begin(&s);
	rig_start(&s.rig);
	other_journal = s.rig;
	other_journal.pid = 0;
	snprintf(other_journal.journal, sizeof(other_journal.journal),
	         "%s/other-journal", s.rig.dir);
	tap_is_int(rig_refused(&other_journal), 1,
	           "a second flusher of a segment exits with 1");
	tap_ok(names_pid(&s.rig, "another flusher", s.rig.pid),
	       "and says who serves it: %s",
	       rig_log_last(&s.rig, "another flusher"));
	rig_log_mark(&s.rig);
	other_segment = s.rig;
	other_segment.pid = 0;
	other_segment.create = true;
	snprintf(other_segment.address, sizeof(other_segment.address),
	         "shm:%s/other-segment", s.rig.dir);
	tap_is_int(rig_refused(&other_segment), 1,
	           "a second flusher of a journal exits with 1");
	tap_ok(names_pid(&s.rig, "another flusher", s.rig.pid),
	       "and says who serves it: %s",
	       rig_log_last(&s.rig, "another flusher"));
	work(&s, 10);
	tap_ok(flushed(&s), "the first is not disturbed");
	end(&s);
}

static void later_flusher(void)
{
	struct state s;

	begin(&s);
	rig_start(&s.rig);
	work(&s, 10);
	rig_kill(&s.rig);
	tap_is_int(rig_sql_int(&s.rig, "SELECT count(*) FROM log"), 0,
	           "what was journaled was not applied yet");
	rig_start(&s.rig);
	tap_ok(flushed(&s), "P5: a later flusher applies it");
	work(&s, 10);
	tap_is_int(rig_stop(&s.rig), 0, "it ends well");
	rig_start(&s.rig);
	tap_ok(flushed(&s), "P5: one that finds nothing to do does nothing");
	end(&s);
}

static uint64_t cycle(const struct state *s)
{
	return order_load(&s->c->client->segment.control->cycle);
}

static void replace_segment(struct state *s)
{
	wbc_close(&s->c);
	if (unlink(s->rig.segment))
		tap_bail("%s cannot be removed", s->rig.segment);
	open_state(s);
}

static void new_segment(void)
{
	struct state s;
	int64_t position;
	uint64_t before;

	begin(&s);
	rig_start(&s.rig);
	for (int i = 0; i < 20; i++)
		work(&s, 2);
	if (rig_flush(s.c))
		tap_bail("flush fails");
	position = rig_sql_int(&s.rig, "SELECT max(position) FROM wbc_ledger");
	/* Rounds without news come and go: one with news is no earlier. */
	before = cycle(&s);
	work(&s, 10);
	rig_kill(&s.rig);
	replace_segment(&s);
	tap_ok(cycle(&s) < before, "a new segment begins at the beginning");
	rig_start(&s.rig);
	tap_ok(cycle(&s) >= before, "with the old journal its numbers go on");
	tap_ok(flushed(&s),
	       "P4: what the lost segment had journaled is applied");
	tap_is_int(rig_sql_int(&s.rig, "SELECT min(position) FROM wbc_ledger"),
	           position + 1, "under the numbers that follow");
	work(&s, 10);
	tap_ok(flushed(&s), "P5: nothing is applied twice");
	end(&s);
}

static void refused_with(struct state *s, const char *words, const char *what)
{
	rig_log_mark(&s->rig);
	tap_is_int(rig_refused(&s->rig), 1, "%s is refused", what);
	tap_ok(rig_log_count(&s->rig, words, NULL), "in words: %s",
	       rig_log_last(&s->rig, "wbc-flusher: "));
}

static void foreign_journals(void)
{
	struct state s;

	begin(&s);
	rig_start(&s.rig);
	work(&s, 5);
	rig_kill(&s.rig);

	rig_move(&s.rig, "journal", "journal-right");
	refused_with(&s, "belongs to journal",
	             "an empty journal for a segment that has one");
	rig_move(&s.rig, "journal", "journal-wrong");
	rig_move(&s.rig, "journal-right", "journal");

	rig_copy(&s.rig, "journal", "journal-old");
	rig_start(&s.rig);
	for (int i = 0; i < 3; i++)
		work(&s, 1);
	rig_kill(&s.rig);
	rig_move(&s.rig, "journal", "journal-right");
	rig_move(&s.rig, "journal-old", "journal");
	refused_with(&s, "old copy", "an old copy of the journal");
	rig_move(&s.rig, "journal", "journal-old");
	rig_move(&s.rig, "journal-right", "journal");

	rig_start(&s.rig);
	work(&s, 5);
	tap_ok(flushed(&s), "P5: with the right journal nothing is lost");
	end(&s);
}

/* A segment comes back after its journal has gone on without it. */
static void abandoned_segment(void)
{
	struct state s;

	begin(&s);
	rig_start(&s.rig);
	work(&s, 5);
	rig_kill(&s.rig);
	wbc_close(&s.c);
	rig_move(&s.rig, "segment", "segment-old");
	open_state(&s);
	rig_start(&s.rig);
	work(&s, 5);
	rig_kill(&s.rig);
	wbc_close(&s.c);
	rig_move(&s.rig, "segment", "segment-new");
	rig_move(&s.rig, "segment-old", "segment");
	refused_with(&s, "gone on with another segment",
	             "a segment that was left behind");
	rig_move(&s.rig, "segment", "segment-old");
	rig_move(&s.rig, "segment-new", "segment");
	open_state(&s);
	rig_start(&s.rig);
	tap_ok(flushed(&s), "P5: the one that was gone on with serves");
	end(&s);
}

/* A flush that ends with the table parked, in such words. */
static void parked_with(struct state *s, const char *words, const char *what)
{
	struct wbc_flush_result result;
	int error;

	work(s, 1);
	error = wbc_flush(s->c, NULL, RIG_PATIENCE_MS, &result);
	tap_is_int(error, WBC_E_PARKED, "%s is not written to", what);
	tap_ok(strstr(result.message, words), "in words: %s", result.message);
}

static void foreign_databases(void)
{
	struct state s;

	begin(&s);
	rig_copy(&s.rig, "database", "database-empty");
	rig_start(&s.rig);
	work(&s, 5);
	tap_ok(flushed(&s), "the right database is written");
	tap_is_int(rig_stop(&s.rig), 0, "the flusher ends well");
	rig_copy(&s.rig, "database", "database-old");
	rig_start(&s.rig);
	for (int i = 0; i < 3; i++) {
		work(&s, 5);
		if (rig_flush(s.c))
			tap_bail("flush fails");
	}
	tap_is_int(rig_stop(&s.rig), 0, "the flusher ends well");

	rig_move(&s.rig, "database", "database-right");
	rig_move(&s.rig, "database-old", "database");
	rig_start(&s.rig);
	parked_with(&s, "missing", "a database restored from an old copy");
	tap_is_int(rig_stop(&s.rig), 0, "the flusher ends well");
	rig_move(&s.rig, "database-empty", "database");
	rig_start(&s.rig);
	parked_with(&s, "another database", "a database without a ledger");
	tap_is_int(rig_stop(&s.rig), 0, "the flusher ends well");

	unlink(s.rig.database);
	rig_copy(&s.rig, "database-right", "database");
	rig_start(&s.rig);
	tap_ok(flushed(&s), "P5: once the right one is back all is written");
	end(&s);
}

/* The journal and the segment are of an old day, the database is not. */
static void old_journal_new_database(void)
{
	struct state s;

	begin(&s);
	rig_start(&s.rig);
	work(&s, 5);
	tap_ok(flushed(&s), "a day's work is written");
	tap_is_int(rig_stop(&s.rig), 0, "the flusher ends well");
	wbc_close(&s.c);
	rig_copy(&s.rig, "journal", "journal-old");
	open_state(&s);
	rig_start(&s.rig);
	for (int i = 0; i < 3; i++) {
		work(&s, 5);
		if (rig_flush(s.c))
			tap_bail("flush fails");
	}
	tap_is_int(rig_stop(&s.rig), 0, "the flusher ends well");
	rig_move(&s.rig, "journal", "journal-right");
	rig_move(&s.rig, "journal-old", "journal");
	replace_segment(&s);
	rig_start(&s.rig);
	parked_with(&s, "old copy", "a database that is ahead of the journal");
	end(&s);
}

/* A second segment with a copy of the journal, for the same database. */
static void clone_journal(const struct state *s, struct state *b)
{
	const char *const argv[] = {"cp",           "-a",           "--",
	                            s->rig.journal, b->rig.journal, NULL};
	char text[512];

	memset(b, 0, sizeof(*b));
	rig_begin(&b->rig, "clone");
	b->rig.flush_interval = "1h";
	b->rig.tables[0] = spec;
	b->rig.tables[1] = log_spec;
	memcpy(b->rig.database, s->rig.database, sizeof(b->rig.database));
	if (rig_run(argv, text, sizeof(text)))
		tap_bail("cp: %s", text);
	open_state(b);
}

/* What only one of the two may do, and which. */
static void settle_clones(struct state *s, struct state *b)
{
	struct wbc_flush_result result[2];
	int error[2] = {wbc_flush(s->c, NULL, RIG_PATIENCE_MS, &result[0]),
	                wbc_flush(b->c, NULL, RIG_PATIENCE_MS, &result[1])};
	int parked = error[0] ? 0 : 1;

	tap_ok(!error[!parked] && error[parked] == WBC_E_PARKED,
	       "P5: of two copies of a journal one goes on: %s and %s",
	       wbc_error_name(error[0]), wbc_error_name(error[1]));
	tap_ok(strstr(result[parked].message, "copy of this journal"),
	       "the other is told: %s", result[parked].message);
}

/* Both have sent a piece of the same number when the lock goes. */
static void cloned_journal(void)
{
	struct state s, b;

	begin(&s);
	rig_start(&s.rig);
	work(&s, 5);
	tap_ok(flushed(&s), "a day's work is written");
	tap_is_int(rig_stop(&s.rig), 0, "the flusher ends well");
	clone_journal(&s, &b);
	rig_sql_lock(&s.rig);
	rig_start(&s.rig);
	rig_start(&b.rig);
	for (int i = 0; i < 10; i++)
		if (add(s.t) || add(b.t))
			tap_bail("adding fails");
	wbc_flush(s.c, NULL, 0, NULL);
	wbc_flush(b.c, NULL, 0, NULL);
	rig_log_wait(&s.rig, "event=database-away", "lock");
	rig_log_wait(&b.rig, "event=database-away", "lock");
	rig_sql_unlock();
	settle_clones(&s, &b);
	tap_is_int(rig_sql_int(&s.rig, "SELECT n FROM counts"), 15,
	           "P5: the work of one is written, once");
	tap_is_int(rig_stop(&b.rig), 0, "its flusher ends well");
	wbc_close(&b.c);
	rig_end(&b.rig);
	end(&s);
}

/* In a child: take a slot, add, tell, and wait for the end. */
_Noreturn static void take_slot(const struct rig *r, int tell, pid_t parent)
{
	struct wbc *c = rig_open(r);

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent || add(rig_table(c, spec)) ||
	    write(tell, "", 1) != 1)
		_exit(1);
	for (;;)
		pause();
}

static void all_slots_dead(void)
{
	struct wbc_options o = WBC_OPTIONS_INIT;
	pid_t pid[PROCS], parent = getpid();
	struct state s;
	int tell[2];
	char byte;

	begin(&s);
	wbc_close(&s.c);
	if (pipe(tell))
		tap_bail("pipe: %s", strerror(errno));
	for (int i = 0; i < PROCS; i++) {
		pid[i] = fork();
		if (pid[i] == 0)
			take_slot(&s.rig, tell[1], parent);
		if (pid[i] < 0 || read(tell[0], &byte, 1) != 1)
			tap_bail("no client takes slot %d", i);
	}
	tap_is_int(wbc_open(&s.c, s.rig.address, &o), -EUSERS,
	           "%d clients take all slots", PROCS);
	for (int i = 0; i < PROCS; i++) {
		kill(pid[i], SIGKILL);
		waitpid(pid[i], NULL, 0);
	}
	close(tell[0]);
	close(tell[1]);
	rig_spawn(&s.rig, NULL);
	tap_ok(rig_ready(&s.rig),
	       "P2: a flusher can attach when all of them are dead");
	open_state(&s);
	s.added = PROCS;
	tap_ok(flushed(&s), "P3: what they had added is written");
	end(&s);
}

static int64_t ms_until_free(const struct rig *r)
{
	int64_t begin_ms = rig_now_ms();
	struct wbc_options o = WBC_OPTIONS_INIT;
	struct timespec t = {.tv_nsec = 5000000};
	struct wbc *c;

	/* No event says that a slot is free. */
	while (wbc_open(&c, r->address, &o)) {
		if (rig_now_ms() - begin_ms > RIG_PATIENCE_MS)
			return RIG_PATIENCE_MS;
		nanosleep(&t, NULL);
	}
	wbc_close(&c);
	return rig_now_ms() - begin_ms;
}

/* A dead client's slot is found by a flusher that has nothing else to do. */
static void dead_while_it_serves(void)
{
	struct wbc_options o = WBC_OPTIONS_INIT;
	pid_t pid, parent = getpid();
	struct state s;
	int64_t took;
	int tell[2];
	char byte;

	begin(&s);
	wbc_close(&s.c);
	unlink(s.rig.segment);
	o.flags = WBC_CREATE;
	o.procs = 2;
	if (wbc_open(&s.c, s.rig.address, &o) || pipe(tell))
		tap_bail("a segment of two slots: %s", strerror(errno));
	wbc_close(&s.c);
	rig_start(&s.rig);
	pid = fork();
	if (pid == 0)
		take_slot(&s.rig, tell[1], parent);
	if (pid < 0 || read(tell[0], &byte, 1) != 1)
		tap_bail("no client takes a slot");
	o.flags = 0;
	tap_is_int(wbc_open(&s.c, s.rig.address, &o), -EUSERS,
	           "P9: a living client's slot stays its own");
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	took = ms_until_free(&s.rig);
	tap_ok(took < 1500,
	       "P9: a dead client's slot is free within 1 s (and "
	       "500 ms for the scheduler): %lld ms",
	       (long long)took);
	close(tell[0]);
	close(tell[1]);
	end(&s);
}

int main(void)
{
	second_flusher();
	later_flusher();
	new_segment();
	foreign_journals();
	abandoned_segment();
	foreign_databases();
	old_journal_new_database();
	cloned_journal();
	all_slots_dead();
	dead_while_it_serves();
	return tap_done();
}
