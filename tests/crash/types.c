/* SPDX-License-Identifier: MIT */
/* Copyright the wbcshm authors */

/*
 * Values of all types in SQLite: each is there as it was given, whoever gave
 * it, and a key is found again.  What a column would change is refused.
 */
#include <float.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "crash/rig.h"
#include "tap/tap.h"
#include "unit/value.h"

#define N(array) (sizeof(array) / sizeof((array)[0]))

#define MIB 1048576u
#define NOON INT64_C(1769860800500000) /* 2026-01-31T12:00:00.5Z */

static struct rig rig;
static struct wbc *c;

static void begin(const char *sql)
{
	struct wbc_options o = WBC_OPTIONS_INIT;
	int error;

	rig.flush_interval = "1h";
	rig_sql(&rig, sql);
	o.flags = WBC_CREATE;
	o.lane_bytes = 4 * MIB;
	error = wbc_open(&c, rig.address, &o);
	if (error)
		tap_bail("open: %s", wbc_strerror(error));
	rig_start(&rig);
}

static void end(void)
{
	tap_is_int(rig_stop(&rig), 0, "the flusher ends well");
	wbc_close(&c);
	rig_end(&rig);
}

static void insert(struct wbc_table *t, const struct wbc_value *values,
                   size_t n)
{
	int error = wbc_insert(t, values, n, RIG_PATIENCE_MS);

	if (error)
		tap_bail("insert: %s", wbc_error_name(error));
}

/* Does the row with that id meet the condition? */
static bool row_is(const char *table, size_t id, const char *condition)
{
	char sql[512];

	snprintf(sql, sizeof(sql),
	         "SELECT count(*) FROM %s WHERE id = %zu AND (%s)", table, id,
	         condition);
	return rig_sql_int(&rig, sql) == 1;
}

/* A row each. */
static void values(void)
{
	static unsigned char large[MIB];
	static const char json[] =
		"{\"e\":\"\\u00e9\\n\\\"\",\"n\":[1.50,-0,1e400],\"e\":{}}";
	static const struct {
		struct wbc_value value;
		const char *condition;
		const char *what;
	} rows[] = {
		{V_INT("i", INT64_MIN),
	         "typeof(i) = 'integer' AND i = -9223372036854775807 - 1",
	         "the least integer"},
		{V_INT("i", INT64_MAX), "i = 9223372036854775807",
	         "the largest integer"},
		{V_INT("i", (INT64_C(1) << 53) + 1), "i = 9007199254740993",
	         "2^53 + 1"},
		{V_DOUBLE("d", 4.9406564584124654e-324),
	         "typeof(d) = 'real' AND d > 0 AND d / 2 = 0",
	         "the least double above 0"},
		{V_DOUBLE("d", -DBL_MAX), "d = -1.7976931348623157e308",
	         "the least double"},
		{V_DOUBLE("d", 0.1 + 0.2), "d > 0.3 AND d < 0.3000000000000002",
	         "0.1 + 0.2"},
		{V_TEXT("s", ""), "typeof(s) = 'text' AND s = ''",
	         "an empty text"},
		{V_BYTES("s", WBC_TEXT, 0, NULL), "s = ''",
	         "an empty text without bytes"},
		{V_TEXT("s", "na\xc3\xafve 01"),
	         "hex(s) = '6E61C3AF7665203031'", "a text of UTF-8"},
		{V_TEXT("s", "01"), "typeof(s) = 'text' AND s = '01'",
	         "a text of digits"},
		{V_BLOB("b", ""), "typeof(b) = 'blob' AND length(b) = 0",
	         "an empty blob"},
		{V_BLOB("b", "\0\xff'\0"), "b = x'00ff2700'",
	         "a blob with zeros"},
		{V_BYTES("b", WBC_BLOB, MIB, large),
	         "length(b) = 1048576 AND hex(substr(b, 1, 2)) = '0001' AND "
	         "hex(substr(b, -2)) = '7FF8'",
	         "a blob of 1 MiB"},
		{V_BOOL("f", 1), "typeof(f) = 'integer' AND f = 1", "true"},
		{V_BOOL("f", 0), "typeof(f) = 'integer' AND f = 0", "false"},
		{V_JSON("j", "[1,{\"a\":null}]"), "json_extract(j, '$[0]') = 1",
	         "a json that SQLite reads"},
		{V_BYTES("j", WBC_JSON, sizeof(json) - 1, json),
	         "typeof(j) = 'text' AND j = '{\"e\":\"\\u00e9\\n\\\"\","
	         "\"n\":[1.50,-0,1e400],\"e\":{}}'",
	         "a json with escapes, as it was written"},
		{V_JSON("j", "null"), "typeof(j) = 'text' AND j = 'null'",
	         "a json null, which is not NULL"},
		{V_TIME("t", NOON), "t = '2026-01-31 12:00:00.500000'",
	         "a timestamp in a column of another type than INT"},
		{V_TIME("t", NOON),
	         "strftime('%s', t) = '1769860800' AND "
	         "strftime('%f', t) = '00.500'",
	         "a timestamp, to SQLite's own functions"},
		{V_TIME("t", WBC_TIMESTAMP_MIN),
	         "t = '0001-01-01 00:00:00.000000'", "the first timestamp"},
		{V_TIME("t", WBC_TIMESTAMP_MAX),
	         "t = '9999-12-31 23:59:59.999999'", "the last timestamp"},
		{V_TIME("u", NOON), "u = 1769860800500000",
	         "a timestamp in a column of a type with INT"},
		{V_TIME("u", WBC_TIMESTAMP_MIN), "u = -62135596800000000",
	         "the first timestamp there"},
		{V_NULL("i"), "i IS NULL", "NULL for an integer"},
		{V_NULL("d"), "d IS NULL", "NULL for a double"},
		{V_NULL("s"), "s IS NULL", "NULL for a text"},
		{V_NULL("b"), "b IS NULL", "NULL for a blob"},
		{V_NULL("f"), "f IS NULL", "NULL for a bool"},
		{V_NULL("j"), "j IS NULL", "NULL for a json"},
		{V_NULL("t"), "t IS NULL", "NULL for a timestamp"},
		{V_NULL("u"), "u IS NULL", "NULL for one in INT"},
		{V_INT("id", -1),
	         "i || d || s || b || f || j || t || u = "
	         "'70.57x1[]77'",
	         "nothing: the database's defaults"},
	};
	static const char spec[] =
		"v(id int key, i int, d double, s text, b blob, f bool, "
		"j json, t timestamp, u timestamp)";
	struct wbc_table *t;

	for (size_t i = 0; i < MIB; i++)
		large[i] = (unsigned char)(i ^ i >> 17);
	memcpy(large + MIB - 2, "\x7f\xf8", 2);
	rig_begin(&rig, "types");
	rig.tables[0] = spec;
	begin("CREATE TABLE v(id INTEGER PRIMARY KEY, i INTEGER DEFAULT 7,"
	      "d REAL DEFAULT 0.5, s VARCHAR(9) DEFAULT 7, b BLOB DEFAULT 'x',"
	      "f BOOLEAN DEFAULT 1, j JSON DEFAULT '[]', t TIMESTAMP DEFAULT 7,"
	      "u BIGINT DEFAULT 7)");
	t = rig_table(c, spec);
	for (size_t i = 0; i < N(rows); i++) {
		struct wbc_value row[2] = {wbc_int64("id", (int64_t)i),
		                           rows[i].value};

		insert(t, row, strcmp(rows[i].value.name, "id") ? 2 : 1);
	}
	tap_is_int(rig_flush(c), 0,
	           "rows with values of all types are written");
	for (size_t i = 0; i < N(rows); i++)
		tap_ok(row_is("v", i, rows[i].condition),
		       "%s is the same in the database", rows[i].what);
	end();
}

/* One table for each type of key: an insert, and an add that must find it. */
static void keys(void)
{
	static const struct {
		const char *type;
		const char *sql;
		struct wbc_value key;
		struct wbc_value other;
	} tables[] = {
		{"int", "INTEGER", V_INT("k", INT64_MIN), V_INT("k", -1)},
		{"text", "TEXT", V_TEXT("k", ""), V_TEXT("k", "\xc3\xa9")},
		{"bool", "BOOLEAN", V_BOOL("k", 0), V_BOOL("k", 1)},
		{"timestamp", "DATETIME", V_TIME("k", NOON),
	         V_TIME("k", NOON + 1)},
		{"timestamp", "INT", V_TIME("k", -1),
	         V_TIME("k", WBC_TIMESTAMP_MAX)},
		{"timestamp", "DOUBLE", V_TIME("k", NOON),
	         V_TIME("k", NOON + 1)},
		{"blob", "BLOB", V_BLOB("k", "\0"), V_BLOB("k", "")},
		{"blob", "TEXT", V_BLOB("k", "1"), V_BLOB("k", "01")},
	};
	char spec[N(tables)][64], sql[2048] = "", question[128];
	size_t at = 0;

	rig_begin(&rig, "types");
	for (size_t i = 0; i < N(tables); i++) {
		snprintf(spec[i], sizeof(spec[i]), "k%zu(k %s key, n counter)",
		         i, tables[i].type);
		rig.tables[i] = spec[i];
		at += (size_t)snprintf(sql + at, sizeof(sql) - at,
		                       "CREATE TABLE k%zu(k %s PRIMARY KEY, "
		                       "n INTEGER);",
		                       i, tables[i].sql);
	}
	begin(sql);
	for (size_t i = 0; i < N(tables); i++) {
		struct wbc_table *t = rig_table(c, spec[i]);
		struct wbc_value row[2] = {tables[i].key, wbc_int64("n", 1)};

		insert(t, row, 2);
		row[0] = tables[i].other;
		insert(t, row, 2);
		if (rig_flush(c) ||
		    wbc_add_int64(t, &tables[i].key, 1, 1, 40) ||
		    wbc_add_int64(t, &tables[i].other, 1, 1, 7))
			tap_bail("k%zu: no insert and add", i);
		tap_is_int(rig_flush(c), 0,
		           "a %s key in a column of type %s: rows are changed",
		           tables[i].type, tables[i].sql);
		snprintf(question, sizeof(question),
		         "SELECT count(*) = 2 AND max(n) = 41 AND min(n) = 8 "
		         "FROM k%zu",
		         i);
		tap_ok(rig_sql_int(&rig, question) == 1,
		       "P5: each by what was added to it");
	}
	end();
}

/* All types in one key, in rows that an upsert makes. */
static void composite(void)
{
	static const char spec[] =
		"k(a timestamp key, b bool key, c blob key, d int key, "
		"e text key, n counter) on_missing=insert";
	struct wbc_value key[5] = {wbc_timestamp("a", NOON), wbc_bool("b", 1),
	                           wbc_blob("c", "\0\1", 2), wbc_int64("d", -5),
	                           wbc_text("e", "x", 1)};
	struct wbc_table *t;

	rig_begin(&rig, "types");
	rig.tables[0] = spec;
	begin("CREATE TABLE k(a TEXT, b INTEGER, c BLOB, d INTEGER, e TEXT, "
	      "n INTEGER, PRIMARY KEY(a, b, c, d, e))");
	t = rig_table(c, spec);
	for (unsigned i = 0; i < 2; i++) {
		if (wbc_add_int64(t, key, 5, 5, 3))
			tap_bail("no add");
		key[1] = wbc_bool("b", 0);
		if (wbc_add_int64(t, key, 5, 5, 1))
			tap_bail("no add");
		key[1] = wbc_bool("b", 1);
		tap_is_int(rig_flush(c), 0,
		           "rows with a key of all types are %s",
		           i ? "changed" : "made");
	}
	tap_is_str(
		rig_sql_text(
			&rig,
			"SELECT group_concat(a || b || hex(c) || "
			"d || e || n, ' ') FROM (SELECT * FROM k ORDER BY b)"),
		"2026-01-31 12:00:00.50000000001-5x2 "
		"2026-01-31 12:00:00.50000010001-5x6",
		"P5: each is there once, with its sum");
	end();
}

/* Columns that would change some of the values that they are given. */
static void bent(void)
{
	static const struct {
		struct wbc_value value;
		bool stays;
		const char *what;
	} rows[] = {
		{V_TEXT("s", "abc"), true, "a word in a column of numbers"},
		{V_TEXT("s", "5abc"), true, "digits and letters there"},
		{V_TEXT("s", "-17"), true, "an integer there"},
		{V_TEXT("s", "0.25"), true, "a fraction there"},
		{V_TEXT("s", "-0.0001"), true, "a small fraction there"},
		{V_TEXT("s", "1234567890.12345"), true, "15 digits there"},
		{V_TEXT("s", "9223372036854775807"), true, "an int64 there"},
		{V_TEXT("s", "01"), false, "a zero before an integer there"},
		{V_TEXT("s", "+1"), false, "a plus there"},
		{V_TEXT("s", " 1"), false, "a space before a number there"},
		{V_TEXT("s", "1\n"), false, "a line's end behind one there"},
		{V_TEXT("s", "-0"), false, "minus zero there"},
		{V_TEXT("s", "1.50"), false, "a zero behind a fraction there"},
		{V_TEXT("s", "1."), false, "a point behind an integer there"},
		{V_TEXT("s", ".5"), false, "a point before a fraction there"},
		{V_TEXT("s", "0.00001"), false, "a smaller fraction there"},
		{V_TEXT("s", "1e2"), false, "an exponent there"},
		{V_TEXT("s", "12345678901.123456"), false, "17 digits there"},
		{V_TEXT("s", "9223372036854775808"), false,
	         "more than an int64 there"},
		{V_JSON("j", "12345678901234567890"), false,
	         "a json integer of 20 digits in a column of type JSON"},
		{V_JSON("j", "1e400"), false, "a json of 10^400 there"},
		{V_JSON("j", "17"), true, "a json integer there"},
		{V_JSON("j", "\"01\""), true, "a json string of digits there"},
		{V_JSON("j", "[1e400]"), true, "a json array there"},
		{V_INT("i", INT64_C(1) << 53), true,
	         "2^53 in a column of reals"},
		{V_INT("i", (INT64_C(1) << 53) + 1), false, "2^53 + 1 there"},
		{V_INT("i", INT64_MAX), false, "the largest integer there"},
		{V_DOUBLE("d", 0.1), true, "0.1 in a column of texts"},
		{V_DOUBLE("d", 0.1 + 0.2), false, "0.1 + 0.2 there"},
	};
	static const char spec[] =
		"w(id int key, s text, j json, i int, d double)";
	static const char back[] =
		"CAST(CASE WHEN s IS NOT NULL THEN s ELSE j END AS TEXT)";
	struct wbc_flush_result result;
	struct wbc_table *t;
	unsigned refused = 0;
	char sql[256];

	rig_begin(&rig, "types");
	rig.tables[0] = spec;
	begin("CREATE TABLE w(id INTEGER PRIMARY KEY, s NUMERIC, j JSON, "
	      "i REAL, d TEXT)");
	t = rig_table(c, spec);
	for (size_t i = 0; i < N(rows); i++) {
		struct wbc_value row[2] = {wbc_int64("id", (int64_t)i),
		                           rows[i].value};
		insert(t, row, 2);
		refused += !rows[i].stays;
	}
	tap_is_int(wbc_flush(c, t, RIG_PATIENCE_MS, &result), WBC_E_REFUSED,
	           "values that their columns would change are refused");
	tap_is_uint(result.rows_refused, refused, "each of them, and no other");
	for (size_t i = 0; i < N(rows); i++) {
		const struct wbc_value *v = &rows[i].value;

		if (!tap_ok(row_is("w", i, "1") == rows[i].stays, "P13: %s %s",
		            rows[i].what,
		            rows[i].stays ? "is written" : "is refused") ||
		    !rows[i].stays ||
		    (v->type != WBC_TEXT && v->type != WBC_JSON))
			continue;
		snprintf(sql, sizeof(sql), "SELECT %s FROM w WHERE id = %zu",
		         back, i);
		tap_is_str(rig_sql_text(&rig, sql), v->v.p,
		           "and comes back as it was");
	}
	tap_is_int(rig_sql_int(&rig,
	                       "SELECT count(*) FROM wbc_dead_letters WHERE "
	                       "code = -10001 AND json_valid(content) AND "
	                       "reason LIKE 'the type of column _ would%'"),
	           refused, "with the reason and the column's name");
	end();
}

static void overflow(void)
{
	static const char spec[] = "o(k int key, n counter)";
	struct wbc_value k = wbc_int64("k", 1);
	struct wbc_table *t;

	rig_begin(&rig, "types");
	rig.tables[0] = spec;
	begin("CREATE TABLE o(k INTEGER PRIMARY KEY, n);"
	      "INSERT INTO o VALUES(1, 9223372036854775800)");
	t = rig_table(c, spec);
	if (wbc_add_int64(t, &k, 1, 1, 8))
		tap_bail("no add");
	tap_is_int(wbc_flush(c, t, RIG_PATIENCE_MS, NULL), WBC_E_REFUSED,
	           "P13: a sum over 2^63 - 1 is refused");
	tap_is_str(rig_sql_text(&rig, "SELECT typeof(n) || n FROM o"),
	           "integer9223372036854775800",
	           "the column is the integer that it was, no real");
	if (wbc_add_int64(t, &k, 1, 1, 7))
		tap_bail("no add");
	tap_is_int(wbc_flush(c, t, RIG_PATIENCE_MS, NULL), 0,
	           "2^63 - 1 itself is written");
	tap_is_str(rig_sql_text(&rig, "SELECT typeof(n) || n FROM o"),
	           "integer9223372036854775807", "as an integer");
	end();
}

/* A refused row of all types, as its dead letter says it. */
static void letters(void)
{
	static const char spec[] = "l(w timestamp key, h blob key, f bool, "
				   "j json, s text, u timestamp)";
	struct wbc_value row[6] = {wbc_timestamp("w", NOON),
	                           wbc_blob("h", "\0\xff", 2),
	                           wbc_bool("f", 1),
	                           wbc_json("j", "{\"a\":\"b\"}", 9),
	                           wbc_text("s", "\"\n\t\\", 4),
	                           wbc_timestamp("u", -1)};
	struct wbc_table *t;

	rig_begin(&rig, "types");
	rig.tables[0] = spec;
	begin("CREATE TABLE l(w TEXT, h BLOB, f BOOLEAN CHECK (f = 0), "
	      "j JSON, s TEXT, u INT, PRIMARY KEY(w, h))");
	t = rig_table(c, spec);
	insert(t, row, 6);
	tap_is_int(wbc_flush(c, t, RIG_PATIENCE_MS, NULL), WBC_E_REFUSED,
	           "a row of all types is refused");
	tap_is_str(rig_sql_text(&rig, "SELECT key FROM wbc_dead_letters"),
	           "{\"w\":\"2026-01-31T12:00:00.500000Z\","
	           "\"h\":{\"blob_hex\":\"00ff\"}}",
	           "P13: its dead letter has the key");
	tap_is_str(rig_sql_text(&rig,
	                        "SELECT json_extract(content, '$.f', '$.j', "
	                        "'$.s', '$.u') FROM wbc_dead_letters"),
	           "[true,\"{\\\"a\\\":\\\"b\\\"}\",\"\\\"\\u000a\\u0009\\\\\","
	           "\"1969-12-31T23:59:59.999999Z\"]",
	           "and the values, as JSON");
	end();
}

/* The same values, from a process of its own. */
static void give_all(struct wbc *from, const char *spec, int64_t id)
{
	struct wbc_value row[6] = {wbc_int64("id", id),
	                           wbc_timestamp("t", NOON),
	                           wbc_timestamp("u", NOON),
	                           wbc_blob("b", "\0buffer\xff", 8),
	                           wbc_int64("i", INT64_C(9007199254740993)),
	                           wbc_json("j", "{\"date\":true}", 13)};

	insert(rig_table(from, spec), row, 6);
}

static void fidelity(void)
{
	static const char spec[] = "f(id int key, t timestamp, u timestamp, "
				   "b blob, i int, j json)";
	int status;
	pid_t pid;

	rig_begin(&rig, "types");
	rig.tables[0] = spec;
	begin("CREATE TABLE f(id INTEGER PRIMARY KEY, t DATETIME, u INTEGER, "
	      "b BLOB, i INTEGER, j TEXT)");
	give_all(c, spec, 1);
	pid = fork();
	if (pid == 0) {
		struct wbc *own = rig_open(&rig);

		give_all(own, spec, 2);
		wbc_close(&own);
		tap_child_exit(0);
	}
	if (pid < 0 || waitpid(pid, &status, 0) != pid || status)
		tap_bail("the other process fails");
	if (rig_flush(c))
		tap_bail("no flush");
	tap_is_int(rig_sql_int(&rig,
	                       "SELECT count(*) FROM (SELECT DISTINCT t, u, b, "
	                       "i, j, typeof(t), typeof(u), typeof(b), "
	                       "typeof(i), typeof(j) FROM f)"),
	           1, "L13: a value is the same whichever process gave it");
	tap_is_str(rig_sql_text(&rig,
	                        "SELECT group_concat(t || ' ' || u || ' ' || "
	                        "hex(b) || ' ' || i || ' ' || j, ';') FROM f "
	                        "WHERE id = 1"),
	           "2026-01-31 12:00:00.500000 1769860800500000 "
	           "00627566666572FF 9007199254740993 {\"date\":true}",
	           "L13: times, bytes, integers over 2^53 and JSON are what "
	           "was given");
	end();
}

int main(void)
{
	values();
	keys();
	composite();
	bent();
	overflow();
	letters();
	fidelity();
	return tap_done();
}
