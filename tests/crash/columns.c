/* SPDX-License-Identifier: MIT */
/* Copyright the wbcshm authors */

/*
 * Columns that are set: updates of rows, from the call to the database and
 * back, whoever died in between.
 */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "crash/rig.h"
#include "tap/tap.h"

#define LARGE (1u << 20)
#define WRITERS 3
#define KEYS 40u
#define WRITES 4000 /* each writer's, at least */

static const char made_spec[] =
	"made(name text key, n counter, title text, seen timestamp, "
	"mark int, part double, on_it bool, doc json, raw blob) "
	"on_missing=insert";
static const char kept_spec[] = "kept(id int key, a int, b int, n counter)";
static const char loose_spec[] =
	"loose(id int key, a int, n counter) on_missing=ignore";

enum { N = 1, TITLE, SEEN, MARK, PART, ON_IT, DOC, RAW };
enum { KEPT_A = 1, KEPT_B, KEPT_N };

struct state {
	struct rig rig;
	struct wbc *c;
	struct wbc_table *made, *kept, *loose;
	unsigned char *room;
};

static void open_tables(struct state *s)
{
	wbc_close(&s->c);
	s->c = rig_open_waiting(&s->rig, RIG_PATIENCE_MS);
	s->made = rig_table(s->c, made_spec);
	s->kept = rig_table(s->c, kept_spec);
	s->loose = rig_table(s->c, loose_spec);
}

static void begin(struct state *s)
{
	memset(s, 0, sizeof(*s));
	s->room = malloc(2 * LARGE);
	rig_begin(&s->rig, "columns");
	s->rig.flush_interval = "1h";
	s->rig.tables[0] = made_spec;
	s->rig.tables[1] = kept_spec;
	s->rig.tables[2] = loose_spec;
	rig_sql(&s->rig,
	        "CREATE TABLE made(name TEXT PRIMARY KEY, n INTEGER, "
	        "title TEXT DEFAULT 'untitled', seen TEXT, mark INTEGER, "
	        "part REAL, on_it INTEGER, doc TEXT, raw BLOB);"
	        "INSERT INTO made VALUES('old', 100, 'a title', "
	        "'2026-01-31 12:00:00.500000', 7, 2.5, 1, '{\"a\":1}', "
	        "x'00ff');"
	        "INSERT INTO made(name, title, mark) VALUES('odd', NULL, "
	        "'no number');"
	        "CREATE TABLE kept(id INTEGER PRIMARY KEY, a INTEGER "
	        "CHECK(a < 1000), b INTEGER, n INTEGER);"
	        "INSERT INTO kept VALUES(1, 10, 20, 30);"
	        "CREATE TABLE loose(id INTEGER PRIMARY KEY, a INTEGER, "
	        "n INTEGER)");
	open_tables(s);
}

static void end(struct state *s)
{
	if (s->rig.pid)
		tap_is_int(rig_stop(&s->rig), 0, "the flusher ends well");
	wbc_close(&s->c);
	rig_end(&s->rig);
	free(s->room);
}

static struct wbc_value name_of(const char *name)
{
	return wbc_text(NULL, name, (uint32_t)strlen(name));
}

static int update_made(struct state *s, const char *name,
                       struct wbc_value value)
{
	struct wbc_value key = name_of(name);

	return wbc_update(s->made, &key, 1, &value, 1);
}

static int read_made(struct state *s, const char *name, unsigned column,
                     struct wbc_value *v)
{
	struct wbc_value key = name_of(name);
	size_t room = 2 * LARGE;

	return wbc_read(s->made, &key, 1, column, v, s->room, &room);
}

/* A text of made, or the error's name. */
static const char *text_of(struct state *s, const char *name, unsigned column)
{
	static char text[256];
	struct wbc_value v;
	int error = read_made(s, name, column, &v);

	if (error)
		return wbc_error_name(error);
	if (v.type == WBC_NULL)
		return "NULL";
	snprintf(text, sizeof(text), "%.*s", (int)v.bytes,
	         (const char *)v.v.p);
	return text;
}

/* A number of kept or loose, or the error. */
static int64_t number_of(struct wbc_table *t, int64_t id, unsigned column)
{
	struct wbc_value key = wbc_int64(NULL, id);
	struct wbc_value v;
	size_t room = 0;
	int error = wbc_read(t, &key, 1, column, &v, NULL, &room);

	return error ? error : v.v.i;
}

static int set_number(struct wbc_table *t, int64_t id, const char *column,
                      int64_t to)
{
	struct wbc_value key = wbc_int64(NULL, id);
	struct wbc_value value = wbc_int64(column, to);

	return wbc_update(t, &key, 1, &value, 1);
}

static void test_types(void)
{
	struct wbc_value v;
	struct state s;

	begin(&s);
	rig_start(&s.rig);
	tap_is_str(text_of(&s, "old", TITLE), "a title",
	           "the first look at a column has the database's text");
	tap_ok(!read_made(&s, "old", SEEN, &v) && v.type == WBC_TIMESTAMP &&
	               v.v.i == INT64_C(1769860800500000),
	       "its timestamp");
	tap_ok(!read_made(&s, "old", MARK, &v) && v.v.i == 7, "its integer");
	tap_ok(!read_made(&s, "old", PART, &v) && v.type == WBC_DOUBLE &&
	               v.v.d == 2.5,
	       "its double");
	tap_ok(!read_made(&s, "old", ON_IT, &v) && v.type == WBC_BOOL &&
	               v.v.i == 1,
	       "its bool");
	tap_is_str(text_of(&s, "old", DOC), "{\"a\":1}", "its json");
	tap_ok(!read_made(&s, "old", RAW, &v) && v.type == WBC_BLOB &&
	               v.bytes == 2 && !memcmp(v.v.p, "\0\377", 2),
	       "its blob");
	tap_ok(!read_made(&s, "old", N, &v) && v.type == WBC_INT64 &&
	               v.v.i == 100,
	       "and its counter");
	tap_is_str(text_of(&s, "odd", TITLE), "NULL", "a NULL is a NULL");
	tap_is_int(read_made(&s, "odd", MARK, &v), WBC_E_UNKNOWN,
	           "what is not of the column's type is no value");
	tap_is_str(text_of(&s, "absent", TITLE), "WBC_E_NOROW",
	           "a row that is not there is not NULL");
	tap_is_int(read_made(&s, "old", 0, &v), WBC_E_COLUMN,
	           "a key is not read");
	end(&s);
}

static void test_update(void)
{
	struct wbc *other;
	struct state s, o;

	begin(&s);
	rig_start(&s.rig);
	other = rig_open_waiting(&s.rig, RIG_PATIENCE_MS);
	o = s;
	o.made = rig_table(other, made_spec);
	tap_is_int(update_made(&s, "old", wbc_text("title", "new", 3)), 0,
	           "a column is set");
	tap_is_str(text_of(&o, "old", TITLE), "new",
	           "another process sees it at once");
	tap_is_str(text_of(&o, "old", DOC), "{\"a\":1}",
	           "beside what the database has");
	for (int i = 0; i < 100; i++)
		update_made(&s, "old", wbc_int64("mark", i));
	tap_is_int(update_made(&s, "fresh", wbc_null("title")), 0,
	           "so is one of a row that is not there");
	tap_is_str(text_of(&o, "fresh", TITLE), "NULL", "and seen");
	tap_is_str(text_of(&o, "fresh", DOC), "WBC_E_NOROW",
	           "the row's other columns are not known before it is made");
	tap_is_int(rig_sql_int(&s.rig, "SELECT mark FROM made WHERE "
	                               "name='old'"),
	           7, "the database has none of it yet");
	tap_is_int(rig_flush(s.c), 0, "a flush works");
	tap_is_str(rig_sql_text(&s.rig,
	                        "SELECT title||mark||doc FROM made WHERE "
	                        "name='old'"),
	           "new99{\"a\":1}", "then it has the last values");
	tap_is_int(rig_log_sum(&s.rig, "applied", "statements"), 2,
	           "a hundred updates became one statement a row");
	tap_is_int(rig_sql_int(&s.rig, "SELECT title IS NULL FROM made WHERE "
	                               "name='fresh'"),
	           1, "a NULL that was set is none of DEFAULT");
	tap_is_str(text_of(&o, "old", TITLE), "new", "a flush changes no value");
	tap_is_str(text_of(&o, "fresh", DOC), "NULL",
	           "and the new row is as the database made it");
	wbc_close(&other);
	end(&s);
}

static void test_refusals(void)
{
	struct wbc_value key = name_of("old"), two[2];
	struct state s;
	char *large;

	begin(&s);
	large = calloc(1, LARGE + 1);
	memset(large, 'x', LARGE + 1);
	tap_is_int(wbc_update(s.made, &key, 1, NULL, 0), -EINVAL,
	           "no columns are refused");
	tap_is_int(update_made(&s, "old", wbc_int64("n", 1)), WBC_E_COLUMN,
	           "a counted column is not set like that");
	tap_is_int(update_made(&s, "old", wbc_text("name", "x", 1)),
	           WBC_E_COLUMN, "a key is not set");
	tap_is_int(update_made(&s, "old", wbc_int64("nothing", 1)),
	           WBC_E_COLUMN, "nor is what is no column");
	two[0] = two[1] = wbc_int64("mark", 1);
	tap_is_int(wbc_update(s.made, &key, 1, two, 2), WBC_E_COLUMN,
	           "nor one twice");
	tap_is_int(update_made(&s, "old", wbc_text("mark", "1", 1)),
	           WBC_E_TYPE, "a value of another type is refused");
	tap_is_int(update_made(&s, "old", wbc_text("title", "\xff", 1)),
	           WBC_E_UTF8, "a text that is not UTF-8");
	tap_is_int(update_made(&s, "old", wbc_json("doc", "{", 1)), WBC_E_JSON,
	           "a json that is none");
	tap_is_int(update_made(&s, "old", wbc_text("title", large, LARGE + 1)),
	           -E2BIG, "a value over a MiB");
	tap_is_int(wbc_update(s.made, &key, 0, two, 1), WBC_E_KEY,
	           "and an update of no row in particular");
	rig_start(&s.rig);
	tap_is_str(text_of(&s, "old", TITLE), "a title",
	           "nothing was changed");
	free(large);
	end(&s);
}

static void test_large(void)
{
	struct wbc_value v, key = name_of("old");
	size_t room = 10;
	struct state s;
	char *large;

	begin(&s);
	large = malloc(LARGE);
	for (unsigned i = 0; i < LARGE; i++)
		large[i] = (char)('a' + i % 23);
	rig_start(&s.rig);
	tap_is_int(update_made(&s, "old", wbc_text("title", large, LARGE)), 0,
	           "a text of a MiB is set");
	tap_ok(!read_made(&s, "old", TITLE, &v) && v.bytes == LARGE &&
	               !memcmp(v.v.p, large, LARGE),
	       "and read");
	tap_is_int(wbc_read(s.made, &key, 1, TITLE, &v, s.room, &room), -E2BIG,
	           "a reader without room for it");
	tap_is_uint(room, LARGE, "is told how much it needs");
	tap_is_int(rig_flush(s.c), 0, "it is flushed");
	tap_is_int(rig_sql_int(&s.rig, "SELECT length(title) FROM made WHERE "
	                               "name='old'"),
	           LARGE, "the database has all of it");
	tap_is_int(update_made(&s, "old", wbc_text("title", "", 0)), 0,
	           "an empty text takes its place");
	tap_is_str(text_of(&s, "old", TITLE), "", "and is no NULL");
	tap_is_int(rig_flush(s.c), 0, "it is flushed, too");
	tap_is_str(rig_sql_text(&s.rig, "SELECT typeof(title) FROM made WHERE "
	                                "name='old'"),
	           "text", "nor in the database");
	free(large);
	end(&s);
}

/* What the database refuses, and rows that it does not have. */
static void test_bad_rows(void)
{
	struct wbc_value key = wbc_int64(NULL, 1), both[2];
	struct state s;

	begin(&s);
	rig_start(&s.rig);
	both[0] = wbc_int64("a", 5000);
	both[1] = wbc_int64("b", 21);
	tap_is_int(wbc_update(s.kept, &key, 1, both, 2), 0,
	           "two columns are set, one to what a constraint forbids");
	tap_is_int(number_of(s.kept, 1, KEPT_A), 5000, "which is seen");
	rig_flush(s.c);
	tap_is_int(rig_sql_int(&s.rig, "SELECT a*1000+b FROM kept"), 10020,
	           "P13: the database took none of it");
	tap_is_int(number_of(s.kept, 1, KEPT_A), 10,
	           "and readers see the truth again");
	tap_is_int(number_of(s.kept, 1, KEPT_B), 20, "of both");
	set_number(s.kept, 1, "a", 5000);
	tap_is_int(wbc_sync(s.c, RIG_PATIENCE_MS), 0, "a bad value is journaled");
	set_number(s.kept, 1, "a", 11);
	rig_flush(s.c);
	tap_is_int(number_of(s.kept, 1, KEPT_A), 11,
	           "what was set after a value that was refused is not lost");
	tap_is_int(rig_sql_int(&s.rig, "SELECT a FROM kept"), 11,
	           "to nobody");
	set_number(s.kept, 2, "a", 1);
	tap_is_int(number_of(s.kept, 2, KEPT_A), 1, "a row that is not there");
	rig_flush(s.c);
	tap_is_int(number_of(s.kept, 2, KEPT_A), WBC_E_NOROW,
	           "is not there after a flush that refused it");
	set_number(s.loose, 2, "a", 1);
	rig_flush(s.c);
	tap_is_int(number_of(s.loose, 2, 1), WBC_E_NOROW,
	           "nor after one that ignored it");
	rig_sql(&s.rig, "INSERT INTO loose VALUES(3, 4, 5)");
	tap_is_int(number_of(s.loose, 3, 1), 4, "one that is there is read");
	end(&s);
}

static void test_set_counter(void)
{
	struct wbc_value key = wbc_int64(NULL, 1);
	struct wbc_value none = wbc_int64(NULL, 9);
	struct state s;

	begin(&s);
	rig_start(&s.rig);
	wbc_add_int64(s.kept, &key, 1, KEPT_N, 5);
	tap_is_int(wbc_set_int64(s.kept, &key, 1, KEPT_N, 1000), 0,
	           "a counted column is set");
	tap_is_int(number_of(s.kept, 1, KEPT_N), 1000,
	           "what was added before has no effect");
	wbc_add_int64(s.kept, &key, 1, KEPT_N, 7);
	tap_is_int(number_of(s.kept, 1, KEPT_N), 1007,
	           "what is added after it has");
	tap_is_int(rig_flush(s.c), 0, "a flush works");
	tap_is_int(rig_sql_int(&s.rig, "SELECT n FROM kept"), 1007,
	           "the database has the same");
	tap_is_int(wbc_set_int64(s.kept, &none, 1, KEPT_N, 1), WBC_E_NOROW,
	           "a row that is not there has nothing to be set");
	tap_is_int(wbc_set_int64(s.kept, &key, 1, KEPT_N, INT64_MAX), -ERANGE,
	           "a number too far away is refused");
	tap_is_int(wbc_set_int64(s.kept, &key, 1, KEPT_A, 1), WBC_E_COLUMN,
	           "a plain column is no counter");
	end(&s);
}

/* A flusher that died left values in the journal, and the segment is gone. */
static void test_journal_left(void)
{
	struct wbc_value two[2];
	struct wbc_value key = name_of("old");
	struct wbc_value v;
	struct state s;

	begin(&s);
	rig_start(&s.rig);
	two[0] = wbc_text("title", "first", 5);
	two[1] = wbc_int64("mark", 1);
	wbc_update(s.made, &key, 1, two, 2);
	tap_is_int(wbc_sync(s.c, RIG_PATIENCE_MS), 0, "two are journaled");
	update_made(&s, "old", wbc_text("title", "second", 6));
	tap_is_int(wbc_sync(s.c, RIG_PATIENCE_MS), 0, "one of them again");
	rig_kill(&s.rig);
	unlink(s.rig.segment);
	open_tables(&s);
	tap_is_int(update_made(&s, "old", wbc_json("doc", "[]", 2)), 0,
	           "a third is set in a new segment");
	rig_start(&s.rig);
	tap_is_str(text_of(&s, "old", TITLE), "second",
	           "P5: a reader of a new segment sees the last value that only "
	           "the journal has");
	tap_ok(!read_made(&s, "old", MARK, &v) && v.v.i == 1,
	       "and one that is older");
	tap_is_str(text_of(&s, "old", DOC), "[]", "and what was set anew");
	tap_ok(!read_made(&s, "old", PART, &v) && v.v.d == 2.5,
	       "beside what the database has");
	tap_is_int(rig_flush(s.c), 0, "a flush works");
	tap_is_str(rig_sql_text(&s.rig, "SELECT title||mark||doc FROM made "
	                                "WHERE name='old'"),
	           "second1[]", "the database has the last of each");
	end(&s);
}

/* What others write to the database is not overwritten by an old value. */
static void test_others(void)
{
	struct state s;

	begin(&s);
	s.rig.extra[0] = "--base-ttl";
	s.rig.extra[1] = "1s";
	rig_start(&s.rig);
	set_number(s.kept, 1, "a", 11);
	tap_is_int(rig_flush(s.c), 0, "a column is set and flushed");
	rig_sql(&s.rig, "UPDATE kept SET a=12, b=22");
	set_number(s.kept, 1, "b", 23);
	tap_is_int(rig_flush(s.c), 0, "somebody else sets both, we another");
	tap_is_int(rig_sql_int(&s.rig, "SELECT a*100+b FROM kept"), 1223,
	           "what we set before is not written again");
	while (number_of(s.kept, 1, KEPT_A) == 11)
		usleep(10000);
	tap_is_int(number_of(s.kept, 1, KEPT_A), 12,
	           "what somebody else wrote is seen after base_ttl");
	tap_is_int(number_of(s.kept, 1, KEPT_B), 23, "and ours stays");
	end(&s);
}

/* ---- nothing older over anything newer ---- */

/* One writer sets its own rows, both columns to one number that only grows,
 * and reads them back. */
struct writer {
	pthread_t thread;
	struct state *s;
	_Atomic bool *stop;
	unsigned number;
	unsigned seed;
	uint64_t writes, torn, back, failed;
	int64_t last[KEYS];
};

static void write_one(struct writer *w, struct wbc_table *t, unsigned i)
{
	struct wbc_value key = wbc_int64(NULL, 100 + w->number * KEYS + i);
	static const unsigned columns[2] = {KEPT_A, KEPT_B};
	struct wbc_value v[2];
	size_t room = 0;

	if (rand_r(&w->seed) % 2) {
		v[0] = wbc_int64("a", -(w->last[i] + 1));
		v[1] = wbc_int64("b", w->last[i] + 1);
		if (wbc_update(t, &key, 1, v, 2))
			w->failed++;
		else
			w->last[i]++;
	}
	if (wbc_read_row(t, &key, 1, columns, 2, v, NULL, &room)) {
		w->failed++;
		return;
	}
	w->torn += v[0].v.i != -v[1].v.i;
	w->back += v[1].v.i != w->last[i];
}

static void *write_on(void *arg)
{
	struct writer *w = arg;
	struct wbc *c = rig_open_waiting(&w->s->rig, RIG_PATIENCE_MS);
	struct wbc_table *t = rig_table(c, kept_spec);

	while (!*w->stop || w->writes < WRITES) {
		write_one(w, t, (unsigned)rand_r(&w->seed) % KEYS);
		w->writes++;
	}
	wbc_close(&c);
	return NULL;
}

static uint64_t count_wrong(struct state *s, const struct writer *w)
{
	uint64_t wrong = 0;

	for (unsigned i = 0; i < KEYS; i++) {
		char sql[128];

		snprintf(sql, sizeof(sql),
		         "SELECT a = -%lld AND b = %lld FROM kept WHERE id=%u",
		         (long long)w->last[i], (long long)w->last[i],
		         100 + w->number * KEYS + i);
		wrong += rig_sql_int(&s->rig, sql) != 1;
	}
	return wrong;
}

static void check_blocks(struct state *s)
{
	const char *const check[] = {"wbc-shmdump", "check", "-s",
	                             s->rig.address, NULL};
	char text[4096];
	int rc = rig_run(check, text, sizeof(text));

	if (rc)
		tap_diag("%s", text);
	tap_is_int(rc, 0, "P6: every block is accounted for");
}

static void test_never_older(void)
{
	static const char *const points[] = {
		"batch-after-commit:3", "cells-half:4",     "redo-cells",
		"apply-after-commit:2", "origins-half:3",   "read-taken:3",
		"trim-after-commit:2",  "plan-after-commit", "read-answered:9"};
	uint64_t writes = 0, torn = 0, back = 0, failed = 0, wrong = 0;
	struct writer w[WRITERS];
	_Atomic bool stop = false;
	struct state s;

	begin(&s);
	s.rig.flush_interval = "50ms";
	s.rig.journal_interval = "10ms";
	s.rig.extra[0] = "--base-ttl";
	s.rig.extra[1] = "1s";
	s.rig.extra[2] = "--idle";
	s.rig.extra[3] = "20ms";
	rig_sql(&s.rig, "WITH RECURSIVE k(i) AS (SELECT 100 UNION ALL SELECT "
	                "i+1 FROM k WHERE i<219) INSERT INTO kept SELECT i, 0, "
	                "0, 0 FROM k");
	memset(w, 0, sizeof(w));
	for (unsigned i = 0; i < WRITERS; i++) {
		w[i].s = &s;
		w[i].stop = &stop;
		w[i].number = i;
		w[i].seed = 1 + i;
		if (pthread_create(&w[i].thread, NULL, write_on, &w[i]))
			tap_bail("no thread");
	}
	for (size_t i = 0; i < sizeof(points) / sizeof(points[0]); i++) {
		rig_spawn(&s.rig, points[i]);
		rig_wait(&s.rig);
	}
	rig_start(&s.rig);
	stop = true;
	for (unsigned i = 0; i < WRITERS; i++) {
		pthread_join(w[i].thread, NULL);
		writes += w[i].writes;
		torn += w[i].torn;
		back += w[i].back;
		failed += w[i].failed;
	}
	tap_diag("%llu steps were made while flushers died",
	         (unsigned long long)writes);
	tap_is_uint(failed, 0, "P2: no call fails");
	tap_is_uint(torn, 0, "P1: no reader sees half of an update");
	tap_is_uint(back, 0, "P5: each reads what was set last, and no older");
	tap_is_int(rig_flush(s.c), 0, "all is flushed");
	for (unsigned i = 0; i < WRITERS; i++)
		wrong += count_wrong(&s, &w[i]);
	tap_is_uint(wrong, 0,
	            "P5: the database has the last value of each column");
	tap_is_int(rig_stop(&s.rig), 0, "the flusher ends well");
	wbc_close(&s.c);
	check_blocks(&s);
	end(&s);
}

int main(void)
{
	test_types();
	test_update();
	test_refusals();
	test_large();
	test_bad_rows();
	test_set_counter();
	test_journal_left();
	test_others();
	test_never_older();
	return tap_done();
}
