/* SPDX-License-Identifier: MIT */
/* Copyright the wbcshm authors */

/*
 * Rows that the database refuses for good become dead letters, with their
 * reason; the rows beside them are written.  What becomes of a row that is
 * not there is said by on_missing.
 */
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "crash/rig.h"
#include "tap/tap.h"

static struct rig rig;
static struct wbc *c;

/* A rig with one table, and its flusher, which writes when it is asked to. */
static struct wbc_table *begin(const char *spec, const char *sql)
{
	rig_begin(&rig, "refused");
	rig.flush_interval = "1h";
	rig.tables[0] = spec;
	rig_sql(&rig, sql);
	c = rig_open(&rig);
	rig_start(&rig);
	return rig_table(c, spec);
}

static void end(void)
{
	tap_is_int(rig_stop(&rig), 0, "the flusher ends well");
	wbc_close(&c);
	rig_end(&rig);
}

static void add(struct wbc_table *t, int64_t key, const char *column,
                int64_t delta)
{
	struct wbc_value k = wbc_int64(NULL, key);
	int error =
		wbc_add_int64(t, &k, 1, (unsigned)wbc_column(t, column), delta);

	if (error)
		tap_bail("adding: %s", wbc_error_name(error));
}

static int flush(struct wbc_flush_result *result)
{
	return wbc_flush(c, NULL, RIG_PATIENCE_MS, result);
}

/* What one SQL question about the only dead letter says. */
static void letter(const char *sql, const char *want, const char *what)
{
	tap_is_str(rig_sql_text(&rig, sql), want, "%s", what);
}

static int64_t letters(void)
{
	return rig_sql_int(&rig, "SELECT count(*) FROM wbc_dead_letters");
}

static void on_missing_deadletter(void)
{
	struct wbc_flush_result result;
	struct wbc_table *t =
		begin("t(id int key, n counter, m counter)",
	              "CREATE TABLE t(id INTEGER PRIMARY KEY, n INTEGER,"
	              " m INTEGER);"
	              "INSERT INTO t VALUES(1, 10, 0), (3, 30, 0)");

	for (int64_t id = 1; id <= 3; id++)
		add(t, id, "n", id);
	tap_is_int(flush(&result), WBC_E_REFUSED,
	           "P13: a row that is not there is refused (deadletter)");
	tap_is_uint(result.rows_refused, 1, "it alone");
	tap_is_uint(result.rows_applied, 2, "the others are written");
	tap_is_int(rig_sql_int(&rig, "SELECT sum(n) FROM t"), 10 + 1 + 30 + 3,
	           "exactly");
	tap_is_int(letters(), 1, "there is one dead letter");
	letter("SELECT tbl FROM wbc_dead_letters", "default.t",
	       "it names the table");
	letter("SELECT kind FROM wbc_dead_letters", "add", "the kind");
	letter("SELECT key ->> 'id' FROM wbc_dead_letters", "2", "the key");
	letter("SELECT content ->> 'n' FROM wbc_dead_letters", "2",
	       "what was to be added");
	letter("SELECT count(*) FROM wbc_dead_letters WHERE reason LIKE"
	       " '%no such row%' AND at LIKE '20__-__-__T%'",
	       "1", "the reason, and when");
	/* The row comes later: new adds find it, the letter stays. */
	rig_sql(&rig, "INSERT INTO t VALUES(2, 20, 0)");
	add(t, 2, "n", 5);
	tap_is_int(flush(&result), 0, "a row that was made later is written");
	tap_is_int(rig_sql_int(&rig, "SELECT n FROM t WHERE id=2"), 25,
	           "what was refused is not applied in passing");
	tap_is_int(letters(), 1, "the dead letter is still there");
	end();
}

static void on_missing_ignore(void)
{
	struct wbc_flush_result result;
	struct wbc_table *t =
		begin("t(id int key, n counter) on_missing=ignore",
	              "CREATE TABLE t(id INTEGER PRIMARY KEY, n INTEGER);"
	              "INSERT INTO t VALUES(1, 10)");

	add(t, 1, "n", 1);
	add(t, 2, "n", 2);
	tap_is_int(flush(&result), 0,
	           "on_missing=ignore: a row that is not there is no error");
	tap_is_uint(result.rows_refused, 0, "nothing is refused");
	tap_is_int(rig_sql_int(&rig, "SELECT count(*) FROM t"), 1,
	           "no row is made");
	tap_is_int(rig_sql_int(&rig, "SELECT n FROM t"), 11,
	           "the other is written");
	tap_is_int(letters(), 0, "no dead letter");
	tap_is_int(rig_log_sum(&rig, "applied", "ignored"), 1,
	           "the log counts it");
	end();
}

static void on_missing_insert(void)
{
	struct wbc_flush_result result;
	struct wbc_table *t =
		begin("t(id int key, n counter) on_missing=insert",
	              "CREATE TABLE t(id INTEGER PRIMARY KEY, n INTEGER,"
	              " other TEXT DEFAULT 'default');"
	              "INSERT INTO t VALUES(1, 10, 'mine')");

	add(t, 1, "n", 1);
	add(t, 2, "n", 2);
	tap_is_int(flush(&result), 0,
	           "on_missing=insert: a row that is not there is made");
	tap_is_int(rig_sql_int(&rig, "SELECT n FROM t WHERE id=2"), 2,
	           "with what was added");
	tap_is_int(rig_sql_int(&rig, "SELECT count(*) FROM t WHERE"
	                             " (id=1 AND n=11 AND other='mine') OR"
	                             " (id=2 AND other='default')"),
	           2, "other columns are left alone, or take their default");
	end();
}

static void insert_values(struct wbc_table *t, int64_t id, const char *name)
{
	struct wbc_value row[2] = {
		wbc_int64("id", id),
		name ? wbc_text("name", name, (uint32_t)strlen(name))
		     : wbc_null("name")};
	int error = wbc_insert(t, row, 2, RIG_PATIENCE_MS);

	if (error)
		tap_bail("inserting: %s", wbc_error_name(error));
}

/* A constraint beside good rows, of both kinds of writes. */
static void constraints(void)
{
	struct wbc_flush_result result;
	struct wbc_table *t = begin(
		"t(id int key, n counter, name text)",
		"CREATE TABLE t(id INTEGER PRIMARY KEY, n INTEGER DEFAULT 0"
		" CHECK (n < 100), name TEXT NOT NULL UNIQUE)");

	insert_values(t, 1, "one");
	insert_values(t, 2, "one");
	insert_values(t, 3, NULL);
	insert_values(t, 4, "four");
	insert_values(t, 4, "five");
	add(t, 1, "n", 99);
	add(t, 4, "n", 100);
	tap_is_int(flush(&result), WBC_E_REFUSED,
	           "P13: rows that break a constraint are refused");
	tap_is_uint(result.rows_refused, 4, "each of them, and no other");
	tap_is_uint(result.rows_applied, 3, "the good ones are written");
	tap_is_int(rig_sql_int(&rig, "SELECT count(*) FROM t WHERE"
	                             " (id=1 AND n=99) OR (id=4 AND n=0)"),
	           2, "exactly");
	tap_is_int(rig_sql_int(&rig,
	                       "SELECT count(*) FROM wbc_dead_letters"
	                       " WHERE kind='insert' AND (reason LIKE"
	                       " '%UNIQUE%' OR reason LIKE '%NOT NULL%')"),
	           3, "inserts say which constraint");
	letter("SELECT content ->> 'name' FROM wbc_dead_letters WHERE key ->>"
	       " 'id' = 2",
	       "one", "and what was to be inserted");
	tap_is_int(rig_sql_int(&rig, "SELECT count(*) FROM wbc_dead_letters"
	                             " WHERE kind='add' AND reason LIKE"
	                             " '%CHECK%' AND content ->> 'n' = 100"),
	           1, "so does the add");
	end();
}

static void overflow(void)
{
	struct wbc_flush_result result;
	struct wbc_table *t =
		begin("t(id int key, n counter, m counter)",
	              "CREATE TABLE t(id INTEGER PRIMARY KEY, n INTEGER,"
	              " m INTEGER);"
	              "INSERT INTO t VALUES(1, 9223372036854775800, 0),"
	              " (2, 5, 0), (3, -9223372036854775800, 0)");

	add(t, 1, "n", 100);
	add(t, 1, "m", 1);
	add(t, 2, "n", 100);
	add(t, 3, "n", -100);
	tap_is_int(flush(&result), WBC_E_REFUSED,
	           "P13: a sum that no int64 holds is refused");
	tap_is_uint(result.rows_refused, 2, "above and below");
	tap_is_int(rig_sql_int(&rig, "SELECT count(*) FROM t WHERE"
	                             " typeof(n)='integer' AND"
	                             " n IN (9223372036854775800, 105,"
	                             " -9223372036854775800)"),
	           3, "no sum became a double, the good one is written");
	tap_is_int(rig_sql_int(&rig, "SELECT count(*) FROM wbc_dead_letters"
	                             " WHERE reason LIKE '%range%'"),
	           2, "the dead letters say why");
	add(t, 1, "n", -50);
	tap_is_int(flush(&result), 0, "what fits is added later");
	tap_is_int(rig_sql_int(&rig, "SELECT n FROM t WHERE id=1"),
	           9223372036854775750, "to what there is");
	end();
}

static void nulls(void)
{
	struct wbc_flush_result result;
	struct wbc_table *t =
		begin("t(id int key, n counter, x double counter)",
	              "CREATE TABLE t(id INTEGER PRIMARY KEY, n INTEGER,"
	              " x REAL); INSERT INTO t(id) VALUES(1), (2)");
	struct wbc_value key = wbc_int64(NULL, 1);
	int64_t value = -1;

	add(t, 1, "n", 7);
	if (wbc_add_double(t, &key, 1, 2, 0.5))
		tap_bail("adding fails");
	tap_is_int(flush(&result), 0, "a NULL in a counted column is no error");
	tap_is_int(rig_sql_int(&rig, "SELECT n FROM t WHERE id=1"), 7,
	           "it counts as 0");
	tap_ok(rig_sql_double(&rig, "SELECT x FROM t WHERE id=1") == 0.5,
	       "a double likewise");
	letter("SELECT n FROM t WHERE id=2", "NULL", "other rows keep theirs");
	tap_is_int(wbc_read_int64(t, &key, 1, 1, &value), 0,
	           "the row can be read");
	tap_is_int(value, 7, "and is what the database has");
	end();
}

/* A refused row's readers see the database's value, not what was refused. */
static void readers(void)
{
	struct wbc_flush_result result;
	struct wbc_table *t =
		begin("t(id int key, n counter)",
	              "CREATE TABLE t(id INTEGER PRIMARY KEY, n INTEGER"
	              " CHECK (n < 100)); INSERT INTO t VALUES(1, 50)");
	struct wbc_value key = wbc_int64(NULL, 1);
	int64_t value = -1;

	add(t, 1, "n", 60);
	tap_is_int(flush(&result), WBC_E_REFUSED, "an add is refused");
	tap_is_int(wbc_read_int64(t, &key, 1, 1, &value), 0,
	           "the row can be read");
	tap_is_int(value, 50, "readers do not see what was refused");
	add(t, 1, "n", 9);
	wbc_read_int64(t, &key, 1, 1, &value);
	tap_is_int(value, 59, "they see what is pending");
	tap_is_int(flush(&result), 0, "which is written");
	tap_is_int(rig_sql_int(&rig, "SELECT n FROM t"), 59, "exactly");
	end();
}

/* A trigger that takes the whole transaction with it. */
static void rollback_trigger(void)
{
	struct wbc_flush_result result;
	struct wbc_table *t =
		begin("t(id int key, n counter)",
	              "CREATE TABLE t(id INTEGER PRIMARY KEY, n INTEGER);"
	              "INSERT INTO t VALUES(1, 0), (2, 0), (3, 0);"
	              "CREATE TRIGGER no BEFORE UPDATE ON t WHEN new.n = 13"
	              " BEGIN SELECT RAISE(ROLLBACK, 'not thirteen'); END");

	add(t, 1, "n", 12);
	add(t, 2, "n", 13);
	add(t, 3, "n", 14);
	tap_is_int(
		flush(&result), WBC_E_REFUSED,
		"P13: a row whose refusal undoes the transaction is refused");
	tap_is_uint(result.rows_refused, 1, "it alone");
	tap_is_int(rig_sql_int(&rig, "SELECT sum(n) FROM t"), 12 + 14,
	           "the others are written, once");
	letter("SELECT reason FROM wbc_dead_letters", "not thirteen",
	       "the reason is the trigger's");
	end();
}

/* A refused row is refused once, whoever dies when. */
static void over_kills(const char *point)
{
	struct wbc_table *t =
		begin("t(id int key, n counter, name text)",
	              "CREATE TABLE t(id INTEGER PRIMARY KEY, n INTEGER"
	              " CHECK (n < 100), name TEXT UNIQUE);"
	              "INSERT INTO t VALUES(1, 0, 'one')");

	rig_kill(&rig);
	insert_values(t, 2, "one");
	insert_values(t, 3, "three");
	add(t, 1, "n", 50);
	add(t, 9, "n", 1);
	rig.flush_interval = "1ms";
	rig_spawn(&rig, point);
	tap_is_int(rig_wait(&rig), RIG_SIGNALLED(SIGKILL),
	           "the flusher dies at %s", point);
	rig_start(&rig);
	tap_ok(rig_flush(c) == 0 || rig_flush(c) == 0, "the next one flushes");
	tap_is_int(letters(), 2,
	           "P13, P5: each refused row is one dead letter");
	tap_is_int(rig_sql_int(&rig, "SELECT count(*) FROM t WHERE"
	                             " (id=1 AND n=50) OR id=3"),
	           2, "P5: the others are written once");
	end();
}

int main(void)
{
	on_missing_deadletter();
	on_missing_ignore();
	on_missing_insert();
	constraints();
	overflow();
	nulls();
	readers();
	rollback_trigger();
	over_kills("apply-before-commit");
	over_kills("apply-after-commit");
	over_kills("trim-before-commit");
	return tap_done();
}
