/* SPDX-License-Identifier: MIT */
/* Copyright the wbcshm authors */

/*
 * When the flusher writes: when somebody asks, at SIGUSR1, when its interval
 * is over, and before it ends; and what it says became of a flush.
 */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "crash/rig.h"
#include "tap/tap.h"

#define ROWS 20

static const char a_spec[] = "a(name text key, n counter) on_missing=insert";
static const char b_spec[] = "b(name text key, n counter) on_missing=insert";
static const char log_spec[] = "log(seq int, note text)";

struct state {
	struct rig rig;
	struct wbc *c;
	struct wbc_table *a, *b, *log;
	int64_t inserted;
	_Atomic bool stop;
};

static void begin(struct state *s, const char *flush_interval)
{
	memset(s, 0, sizeof(*s));
	rig_begin(&s->rig, "requests");
	s->rig.flush_interval = flush_interval;
	s->rig.tables[0] = a_spec;
	s->rig.tables[1] = b_spec;
	s->rig.tables[2] = log_spec;
	rig_sql(&s->rig, "CREATE TABLE a(name TEXT PRIMARY KEY, n INTEGER CHECK"
	                 " (n < 1000000));"
	                 "CREATE TABLE b(name TEXT PRIMARY KEY, n INTEGER);"
	                 "CREATE TABLE log(seq INTEGER UNIQUE, note TEXT)");
	s->c = rig_open(&s->rig);
	s->a = rig_table(s->c, a_spec);
	s->b = rig_table(s->c, b_spec);
	s->log = rig_table(s->c, log_spec);
}

static void end(struct state *s)
{
	if (s->rig.pid)
		tap_is_int(rig_stop(&s->rig), 0, "the flusher ends well");
	wbc_close(&s->c);
	rig_end(&s->rig);
}

static void add(struct wbc_table *t, const char *name, int64_t delta)
{
	struct wbc_value key = wbc_text(NULL, name, (uint32_t)strlen(name));
	int error = wbc_add_int64(t, &key, 1, 1, delta);

	if (error)
		tap_bail("adding: %s", wbc_error_name(error));
}

/* One add to each of some rows. */
static void add_rows(struct wbc_table *t)
{
	char name[16];

	for (int i = 0; i < ROWS; i++) {
		snprintf(name, sizeof(name), "row%d", i);
		add(t, name, 1);
	}
}

static void insert(struct state *s, int64_t seq)
{
	struct wbc_value row[2] = {wbc_int64("seq", seq),
	                           wbc_text("note", "x", 1)};

	if (wbc_insert(s->log, row, 2, RIG_PATIENCE_MS))
		tap_bail("inserting fails");
	s->inserted++;
}

/* Of both tables and the log, as it is now. */
static int64_t written(const struct state *s)
{
	return rig_sql_int(&s->rig, "SELECT (SELECT total(n) FROM a)"
	                            " + (SELECT total(n) FROM b)"
	                            " + (SELECT count(*) FROM log)");
}

static void on_request(void)
{
	struct wbc_flush_result result;
	struct state s;

	begin(&s, "1h");
	rig_start(&s.rig);
	add_rows(s.a);
	add_rows(s.b);
	insert(&s, 1);
	tap_is_int(wbc_sync(s.c, RIG_PATIENCE_MS), 0, "a sync works");
	tap_is_int(written(&s), 0, "nobody asked: nothing is written");
	tap_is_int(wbc_flush(s.c, s.a, RIG_PATIENCE_MS, &result), 0,
	           "one table is flushed");
	tap_is_int(written(&s), ROWS, "that table is written, no other");
	tap_is_uint(result.rows_applied, ROWS, "its rows are counted");
	tap_ok(!result.rows_refused && !result.tables_parked &&
	               !*result.table && !*result.message,
	       "and nothing is complained about");
	tap_is_int(wbc_flush(s.c, NULL, RIG_PATIENCE_MS, &result), 0,
	           "all tables are flushed");
	tap_is_int(written(&s), 2 * ROWS + 1, "all is written");
	tap_is_uint(result.rows_applied, ROWS + 1,
	            "the rows of the others are counted");
	tap_is_int(wbc_flush(s.c, NULL, RIG_PATIENCE_MS, &result), 0,
	           "a flush without anything to write works");
	tap_is_uint(result.rows_applied, 0, "and writes nothing");
	end(&s);
}

/* Others who ask all the time, and wait for nothing. */
static void *ask_on(void *arg)
{
	struct state *s = arg;

	/* To and fro, since the table takes no large numbers. */
	for (int64_t delta = 1; !s->stop; delta = -delta) {
		add(s->a, "busy", delta);
		wbc_flush(s->c, NULL, 0, NULL);
	}
	return NULL;
}

static void beside_others(void)
{
	pthread_t others[3];
	int64_t before;
	struct state s;

	begin(&s, "1h");
	rig_start(&s.rig);
	for (unsigned i = 0; i < 3; i++)
		if (pthread_create(&others[i], NULL, ask_on, &s))
			tap_bail("no thread");
	for (unsigned i = 0; i < 20; i++) {
		add(s.b, "mine", 1);
		if (rig_flush(s.c))
			break;
	}
	before = rig_sql_int(&s.rig, "SELECT n FROM b WHERE name='mine'");
	tap_is_int(before, 20,
	           "P2: flushes come to their end while others ask for more");
	s.stop = true;
	for (unsigned i = 0; i < 3; i++)
		pthread_join(others[i], NULL);
	end(&s);
}

static void on_signal(void)
{
	struct state s;

	begin(&s, "1h");
	rig_start(&s.rig);
	add_rows(s.a);
	insert(&s, 1);
	rig_signal(&s.rig, SIGUSR1);
	rig_log_wait(&s.rig, "event=applied", "table=a ");
	rig_log_wait(&s.rig, "event=applied", "table=log ");
	tap_is_int(written(&s), ROWS + 1, "SIGUSR1 writes all that was done");
	end(&s);
}

static void on_interval(void)
{
	struct state s;

	begin(&s, "200ms");
	rig_start(&s.rig);
	for (int i = 1; i <= 3; i++) {
		rig_log_mark(&s.rig);
		add_rows(s.a);
		rig_log_wait(&s.rig, "event=applied", "table=a ");
	}
	/* The last line may speak of a part of what was added. */
	tap_is_int(rig_flush(s.c), 0, "a flush works");
	tap_is_int(written(&s), 3 * ROWS, "the interval writes, unasked");
	end(&s);
}

/* Ended while nobody waits for what was done last. */
static void at_the_end(int sig, const char *name)
{
	struct state s;

	begin(&s, "1h");
	s.rig.journal_interval = "10s";
	rig_start(&s.rig);
	add_rows(s.a);
	for (int i = 0; i < 100; i++)
		insert(&s, i);
	add_rows(s.b);
	rig_signal(&s.rig, sig);
	tap_is_int(rig_wait(&s.rig), 0, "%s ends the flusher with 0", name);
	tap_is_int(written(&s), 2 * ROWS + 100,
	           "P5: all is written before %s ends it", name);
	tap_is_uint(rig_log_count(&s.rig, "event=stopped", "left=0"), 1,
	            "it says that nothing is left");
	end(&s);
}

/* The same, but there is no database to write to. */
static void at_the_end_locked(void)
{
	struct state s;

	begin(&s, "1h");
	rig_start(&s.rig);
	add_rows(s.a);
	rig_sql_lock(&s.rig);
	rig_signal(&s.rig, SIGTERM);
	tap_is_int(rig_wait(&s.rig), 0,
	           "SIGTERM ends it although the database is locked");
	tap_is_uint(rig_log_count(&s.rig, "event=stopped", "left=20"), 1,
	            "it says what is left in the journal");
	rig_sql_unlock();
	rig_start(&s.rig);
	tap_is_int(rig_flush(s.c), 0, "the next one writes it");
	tap_is_int(written(&s), ROWS, "P5: exactly");
	end(&s);
}

static void outcomes(void)
{
	struct wbc_flush_result result;
	struct state s;

	begin(&s, "1h");
	rig_start(&s.rig);
	insert(&s, 1);
	insert(&s, 1);
	insert(&s, 2);
	add(s.b, "row", 1);
	tap_is_int(wbc_flush(s.c, NULL, RIG_PATIENCE_MS, &result),
	           WBC_E_REFUSED, "P13: a refused row is told of");
	tap_is_uint(result.rows_refused, 1, "it is counted");
	tap_is_uint(result.rows_applied, 3, "so are the others");
	tap_is_str(result.table, "log", "the table is named");
	tap_ok(strstr(result.message, "UNIQUE"), "and the reason: %s",
	       result.message);
	tap_is_int(wbc_flush(s.c, NULL, RIG_PATIENCE_MS, &result), 0,
	           "the next flush does not repeat it");
	rig_sql(&s.rig, "ALTER TABLE a RENAME TO a_away");
	add(s.a, "row", 1);
	add(s.b, "row", 1);
	tap_is_int(wbc_flush(s.c, NULL, RIG_PATIENCE_MS, &result), WBC_E_PARKED,
	           "a table that cannot be written is told of");
	tap_is_uint(result.tables_parked, 1, "it is counted");
	tap_is_str(result.table, "a", "and named");
	tap_ok(strstr(result.message, "no such table"), "and the reason: %s",
	       result.message);
	tap_is_int(wbc_flush(s.c, s.b, RIG_PATIENCE_MS, &result), 0,
	           "a flush of another table does not care");
	tap_is_int(rig_sql_int(&s.rig, "SELECT n FROM b"), 2,
	           "the other table is written meanwhile");
	rig_sql(&s.rig, "ALTER TABLE a_away RENAME TO a");
	tap_is_int(wbc_flush(s.c, NULL, RIG_PATIENCE_MS, &result), 0,
	           "a flush tries the mended table again");
	tap_is_int(rig_sql_int(&s.rig, "SELECT n FROM a"), 1,
	           "nothing was lost");
	end(&s);
}

static void without_flusher(void)
{
	struct wbc_flush_result result;
	struct state s;

	begin(&s, "1h");
	add_rows(s.a);
	tap_is_int(wbc_sync(s.c, 50), WBC_E_NOFLUSHER,
	           "a sync without a flusher says so at its deadline");
	tap_is_int(wbc_flush(s.c, NULL, 50, &result), WBC_E_NOFLUSHER,
	           "so does a flush");
	rig_start(&s.rig);
	tap_is_int(rig_flush(s.c), 0, "with one all is written");
	tap_is_int(written(&s), ROWS, "P3: also what was there before it");
	end(&s);
}

int main(void)
{
	on_request();
	beside_others();
	on_signal();
	on_interval();
	at_the_end(SIGTERM, "SIGTERM");
	at_the_end(SIGINT, "SIGINT");
	at_the_end_locked();
	outcomes();
	without_flusher();
	return tap_done();
}
