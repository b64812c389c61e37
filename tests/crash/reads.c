/* SPDX-License-Identifier: MIT */
/* Copyright the wbcshm authors */

/*
 * Reading: a value is what the database has plus all that is pending, from the
 * first look on, whoever died in between.
 */
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "crash/rig.h"
#include "tap/tap.h"

#define READERS 4
#define KEYS 200
#define READS 2000 /* each reader's, at least */

static const char made_spec[] =
	"made(name text key, n counter, d double counter) on_missing=insert";
static const char kept_spec[] =
	"kept(a int key, b text key, n counter, m counter)";
static const char untold_spec[] = "untold(name text key, n counter)";
static const char unmade_spec[] = "unmade(name text key, n counter)";

struct state {
	struct rig rig;
	struct wbc *c;
	struct wbc_table *made, *kept;
};

static void open_tables(struct state *s)
{
	wbc_close(&s->c);
	s->c = rig_open_waiting(&s->rig, RIG_PATIENCE_MS);
	s->made = rig_table(s->c, made_spec);
	s->kept = rig_table(s->c, kept_spec);
}

static void begin(struct state *s)
{
	memset(s, 0, sizeof(*s));
	rig_begin(&s->rig, "reads");
	s->rig.flush_interval = "1h";
	s->rig.tables[0] = made_spec;
	s->rig.tables[1] = kept_spec;
	s->rig.tables[2] = unmade_spec;
	rig_sql(&s->rig,
	        "CREATE TABLE made(name TEXT PRIMARY KEY, n INTEGER, d REAL);"
	        "INSERT INTO made VALUES('old', 100, 2.5), ('null', NULL, NULL),"
	        " ('text', 'many', 1.0);"
	        "CREATE TABLE kept(a INTEGER, b TEXT, n INTEGER, m INTEGER,"
	        " PRIMARY KEY(a, b));"
	        "INSERT INTO kept VALUES(1, 'x', 10, 20)");
	open_tables(s);
}

static void end(struct state *s)
{
	if (s->rig.pid)
		tap_is_int(rig_stop(&s->rig), 0, "the flusher ends well");
	wbc_close(&s->c);
	rig_end(&s->rig);
}

static struct wbc_value name_of(const char *name)
{
	return wbc_text(NULL, name, (uint32_t)strlen(name));
}

/* The value of made.n, or the error. */
static int64_t read_made(struct wbc_table *t, const char *name)
{
	struct wbc_value key = name_of(name);
	int64_t value;
	int error = wbc_read_int64(t, &key, 1, 1, &value);

	return error ? error : value;
}

static void add_made(struct wbc_table *t, const char *name, int64_t delta)
{
	struct wbc_value key = name_of(name);
	int error = wbc_add_int64(t, &key, 1, 1, delta);

	if (error)
		tap_bail("adding: %s", wbc_error_name(error));
}

static int64_t read_kept(struct state *s, unsigned column)
{
	struct wbc_value key[2] = {wbc_text("b", "x", 1), wbc_int64("a", 1)};
	int64_t value;
	int error = wbc_read_int64(s->kept, key, 2, column, &value);

	return error ? error : value;
}

static void test_first_looks(void)
{
	struct wbc_value old = name_of("old"), absent = name_of("absent");
	struct wbc_counter *counter;
	struct state s;
	int64_t value = 0;
	double d = 0;

	begin(&s);
	rig_start(&s.rig);
	tap_is_int(read_made(s.made, "old"), 100,
	           "the first look at a row has the database's value");
	tap_ok(!wbc_read_double(s.made, &old, 1, 2, &d) && d == 2.5,
	       "and that of a double");
	add_made(s.made, "old", 5);
	tap_is_int(read_made(s.made, "old"), 105, "what is added is seen at once");
	tap_is_int(rig_flush(s.c), 0, "a flush works");
	tap_is_int(read_made(s.made, "old"), 105, "and changes no value");
	tap_is_int(read_made(s.made, "null"), 0, "a NULL counts as 0");
	tap_is_int(read_made(s.made, "text"), WBC_E_UNKNOWN,
	           "what is no number is no value");
	tap_is_int(read_made(s.made, "absent"), WBC_E_NOROW,
	           "a row that is not there is not 0");
	add_made(s.made, "absent", 3);
	tap_is_int(read_made(s.made, "absent"), 3,
	           "a row that an add will make has what was added");
	tap_is_int(wbc_add_get_int64(s.made, &absent, 1, 1, 4, &value), 0,
	           "an add to it tells the sum");
	tap_is_int(value, 7, "which is right");
	tap_is_int(rig_flush(s.c), 0, "a flush makes it");
	tap_is_int(read_made(s.made, "absent"), 7, "as it was read");
	tap_is_int(read_kept(&s, 2), 10, "a row of several keys is read");
	tap_is_int(read_kept(&s, 3), 20, "all of its counters are");
	if (wbc_counter_open(s.made, &old, 1, 1, &counter))
		tap_bail("no counter");
	tap_ok(!wbc_counter_read(counter, &value) && value == 105,
	       "a counter's handle reads, too");
	end(&s);
}

/* A flusher that died left changes in the journal, and the segment is gone. */
static void test_journal_left(void)
{
	struct state s;

	begin(&s);
	rig_start(&s.rig);
	add_made(s.made, "old", 5);
	tap_is_int(wbc_sync(s.c, RIG_PATIENCE_MS), 0, "5 more is journaled");
	rig_kill(&s.rig);
	unlink(s.rig.segment);
	open_tables(&s);
	add_made(s.made, "old", 7);
	rig_start(&s.rig);
	tap_is_int(read_made(s.made, "old"), 112,
	           "P5: a reader of a new segment sees what only the journal "
	           "has");
	tap_is_int(rig_sql_int(&s.rig, "SELECT n FROM made WHERE name='old'"),
	           100, "which the database does not have yet");
	tap_is_int(rig_flush(s.c), 0, "a flush works");
	tap_is_int(read_made(s.made, "old"), 112, "and nobody sees it twice");
	end(&s);
}

/* Writers wait for each other, readers for nobody. */
static void test_locked(void)
{
	struct state s;

	begin(&s);
	rig_start(&s.rig);
	tap_is_int(read_made(s.made, "null"), 0, "the flusher has connected");
	rig_sql_lock(&s.rig);
	tap_is_int(read_made(s.made, "old"), 100,
	           "a database that is locked for writing is read");
	rig_sql_unlock();
	end(&s);
}

static void test_refusals(void)
{
	struct wbc_table *untold, *unmade;
	struct wbc *hasty;
	struct state s;

	begin(&s);
	hasty = rig_open_waiting(&s.rig, -1);
	tap_is_int(read_made(rig_table(hasty, made_spec), "old"),
	           WBC_E_UNKNOWN, "a handle that does not wait says so");
	wbc_close(&hasty);
	hasty = rig_open_waiting(&s.rig, 50);
	tap_is_int(read_made(rig_table(hasty, made_spec), "old"),
	           WBC_E_NOFLUSHER, "without a flusher one is told so");
	wbc_close(&hasty);
	untold = rig_table(s.c, untold_spec);
	unmade = rig_table(s.c, unmade_spec);
	rig_start(&s.rig);
	tap_is_int(read_made(untold, "a"), WBC_E_TABLE,
	           "a table that the flusher was not told of");
	tap_is_int(read_made(unmade, "a"), WBC_E_PARKED,
	           "a table that the database does not have");
	rig_sql(&s.rig, "CREATE TABLE unmade(name TEXT PRIMARY KEY, n INT);"
	                "INSERT INTO unmade VALUES('a', 3)");
	tap_is_int(read_made(unmade, "a"), 3,
	           "no error is remembered: it is read once it is there");
	end(&s);
}

/* What others write to the database. */
static void test_others(void)
{
	struct state s;

	begin(&s);
	s.rig.extra[0] = "--base-ttl";
	s.rig.extra[1] = "1s";
	rig_start(&s.rig);
	tap_is_int(read_made(s.made, "old"), 100, "a value is read");
	add_made(s.made, "old", 1);
	rig_sql(&s.rig, "UPDATE made SET n=1000 WHERE name='old'");
	tap_is_int(rig_flush(s.c), 0, "somebody else writes, and we do");
	tap_is_int(read_made(s.made, "old"), 1001,
	           "what somebody else wrote is seen when the row is applied");
	rig_sql(&s.rig, "UPDATE made SET n=2000 WHERE name='old'");
	while (read_made(s.made, "old") == 1001)
		usleep(10000);
	tap_is_int(read_made(s.made, "old"), 2000,
	           "or when the value is older than base_ttl");
	end(&s);
}

/* ---- no reader goes back ---- */

struct reader {
	pthread_t thread;
	struct state *s;
	_Atomic bool *stop;
	unsigned seed;
	uint64_t reads, wrong, failed;
	int64_t last[KEYS];
};

static void *read_on(void *arg)
{
	struct reader *r = arg;
	struct wbc *c = rig_open_waiting(&r->s->rig, RIG_PATIENCE_MS);
	struct wbc_table *t = rig_table(c, made_spec);
	char name[16];

	while (!*r->stop || r->reads < READS) {
		unsigned i = (unsigned)rand_r(&r->seed) % KEYS;
		int64_t value;

		snprintf(name, sizeof(name), "key%u", i);
		value = read_made(t, name);
		/* Each key is counted up from 1000. */
		r->failed += value < 0;
		r->wrong += value >= 0 && value < r->last[i];
		if (value >= 0)
			r->last[i] = value;
		r->reads++;
		if (r->reads % 4 == 0) {
			add_made(t, name, 1);
			r->last[i] = value + 1;
		}
	}
	wbc_close(&c);
	return NULL;
}

/* Flushers are killed where reading is delicate, while values go up. */
static void test_never_back(void)
{
	static const char *const points[] = {
		"read-position:3", "read-taken:2",     "apply-after-commit",
		"origins-half",    "batch-after-commit:2", "trim-after-commit",
		"read-answered:4", "apply-before-commit"};
	struct reader readers[READERS];
	uint64_t reads = 0, wrong = 0, failed = 0;
	_Atomic bool stop = false;
	struct state s;

	begin(&s);
	s.rig.flush_interval = "50ms";
	s.rig.journal_interval = "10ms";
	rig_sql(&s.rig, "WITH RECURSIVE k(i) AS (SELECT 0 UNION ALL SELECT i+1 "
	                "FROM k WHERE i<199) INSERT INTO made SELECT "
	                "'key'||i, 1000, 0 FROM k");
	memset(readers, 0, sizeof(readers));
	for (unsigned i = 0; i < READERS; i++) {
		readers[i].s = &s;
		readers[i].stop = &stop;
		readers[i].seed = 1 + i;
		if (pthread_create(&readers[i].thread, NULL, read_on,
		                   &readers[i]))
			tap_bail("no thread");
	}
	s.rig.extra[0] = "--base-ttl";
	s.rig.extra[1] = "1s";
	s.rig.extra[2] = "--idle";
	s.rig.extra[3] = "50ms";
	for (size_t i = 0; i < sizeof(points) / sizeof(points[0]); i++) {
		rig_spawn(&s.rig, points[i]);
		rig_wait(&s.rig);
	}
	rig_start(&s.rig);
	stop = true;
	for (unsigned i = 0; i < READERS; i++) {
		pthread_join(readers[i].thread, NULL);
		reads += readers[i].reads;
		wrong += readers[i].wrong;
		failed += readers[i].failed;
	}
	tap_diag("%llu values were read while flushers died",
	         (unsigned long long)reads);
	tap_is_uint(wrong, 0, "P5: no reader ever goes back");
	tap_is_uint(failed, 0, "none fails");
	end(&s);
}

int main(void)
{
	test_first_looks();
	test_journal_left();
	test_locked();
	test_refusals();
	test_others();
	test_never_back();
	return tap_done();
}
