/* SPDX-License-Identifier: MIT */
/* Copyright the wbcshm authors */

/*
 * Key columns to which two of our keys are one: the table is parked before a
 * row is touched, in words that say what to change; changed, it goes on.
 */
#include <stdio.h>
#include <string.h>

#include "crash/rig.h"
#include "tap/tap.h"

#define N(array) (sizeof(array) / sizeof((array)[0]))

static const struct {
	const char *spec;
	const char *sql;   /* of the columns */
	const char *words; /* NULL: it is well as it is */
	const char *what;
} tables[] = {
	{"t0(k text key, n counter) on_missing=insert",
         "k TEXT COLLATE NOCASE PRIMARY KEY, n INTEGER", "t0.k compares as NOC",
         "texts that compare without their case"},
	{"t1(k text key, n counter) on_missing=insert",
         "k VARCHAR(9) COLLATE rtrim PRIMARY KEY, n INTEGER",
         "t1.k compares as rtrim", "texts that compare without spaces"},
	{"t2(k text key, n counter) on_missing=insert",
         "k NUMERIC PRIMARY KEY, n INTEGER", "t2.k is of type NUMERIC",
         "texts in a column of numbers"},
	{"t3(a int key, k text key, n counter) on_missing=insert",
         "a INTEGER, k DATE, n INTEGER, PRIMARY KEY(a, k)",
         "t3.k is of type DATE", "texts in a column that is one of numbers"},
	{"t4(k int key, n counter) on_missing=insert",
         "k DOUBLE PRIMARY KEY, n INTEGER", "t4.k is of type DOUBLE",
         "ints in a column of doubles"},
	{"t5(k text key, n counter) on_missing=insert",
         "k PRIMARY KEY, n INTEGER", NULL, "texts in a column of any type"},
	{"t6(k int key, n counter) on_missing=insert",
         "k VARCHAR(30) COLLATE NOCASE PRIMARY KEY, n INTEGER", NULL,
         "ints in a column of texts"},
	{"t7(k text key, n counter) on_missing=insert",
         "k ANY PRIMARY KEY, n INTEGER) STRICT, WITHOUT ROWID--", NULL,
         "texts in a strict table"},
};

static struct rig rig;
static struct wbc *c;

/* Two rows whose keys are one to somebody. */
static void add_two(struct wbc_table *t, unsigned i)
{
	static const char *const texts[][2] = {
		{"a", "A"}, {"a", "a "}, {"1", "01"}, {"1", "1.0"}};
	int64_t large = INT64_C(1) << 60;

	for (int j = 0; j < 2; j++) {
		const char *text = texts[i % N(texts)][j];
		struct wbc_value k[2] = {wbc_int64("a", large)};
		unsigned n = i == 3 ? 2 : 1;

		if (strstr(tables[i].spec, "k int"))
			k[0] = wbc_int64("k", large + j);
		else
			k[n - 1] = wbc_text("k", text, (uint32_t)strlen(text));
		if (wbc_add_int64(t, k, n, wbc_column(t, "n"), j + 1))
			tap_bail("adding to t%u fails", i);
	}
}

/* Both rows are there, each with its own. */
static bool is_exact(unsigned i)
{
	char sql[80];

	snprintf(sql, sizeof(sql),
	         "SELECT count(*) = 2 AND sum(n) = 3 AND max(n) = 2 FROM t%u",
	         i);
	return rig_sql_int(&rig, sql) == 1;
}

static void see_refused(struct wbc_table *t, unsigned i)
{
	const char *key = strstr(tables[i].spec, "k int") ? "INT" : "TEXT";
	struct wbc_flush_result result;
	char sql[200];

	tap_is_int(wbc_flush(c, t, RIG_PATIENCE_MS, &result), WBC_E_PARKED,
	           "%s: the table is parked", tables[i].what);
	tap_ok(strstr(result.message, tables[i].words) &&
	               strstr(result.message, "; make it "),
	       "in words: %s", result.message);
	snprintf(sql, sizeof(sql), "SELECT count(*) FROM t%u", i);
	tap_is_int(rig_sql_int(&rig, sql), 0, "P7: nothing is written");
	snprintf(sql, sizeof(sql),
	         "DROP TABLE t%u; CREATE TABLE t%u(a INTEGER, k %s, n INTEGER,"
	         " PRIMARY KEY(a, k))",
	         i, i, key);
	rig_sql(&rig, sql);
}

static void columns(void)
{
	struct wbc_table *t[N(tables)];
	char sql[200];

	rig_begin(&rig, "keys");
	rig.flush_interval = "1h";
	for (unsigned i = 0; i < N(tables); i++) {
		rig.tables[i] = tables[i].spec;
		snprintf(sql, sizeof(sql), "CREATE TABLE t%u(%s)", i,
		         tables[i].sql);
		rig_sql(&rig, sql);
	}
	c = rig_open(&rig);
	rig_start(&rig);
	for (unsigned i = 0; i < N(tables); i++) {
		t[i] = rig_table(c, tables[i].spec);
		add_two(t[i], i);
		if (tables[i].words)
			see_refused(t[i], i);
		tap_is_int(wbc_flush(c, t[i], RIG_PATIENCE_MS, NULL), 0, "%s%s",
		           tables[i].what,
		           tables[i].words ? ", mended: it is written" : "");
		tap_ok(is_exact(i), "P5: each key is a row of its own");
	}
	/* Somebody changes what was well, behind the flusher's back. */
	rig_sql(&rig, "DROP TABLE t5; CREATE TABLE t5(k ANY PRIMARY KEY,"
	              " n INTEGER)");
	add_two(t[5], 5);
	tap_is_int(wbc_flush(c, t[5], RIG_PATIENCE_MS, NULL), WBC_E_PARKED,
	           "a table that is changed later is looked at again");
	tap_is_int(rig_stop(&rig), 0, "the flusher ends well");
	wbc_close(&c);
	rig_end(&rig);
}

/* Texts that are not UTF-8, as a damaged journal has them, would all be
 * U+FFFD. */
static void encoding(void)
{
	struct wbc_value k[2] = {wbc_text("k", "\xc3\xbe", 2),
	                         wbc_text("k", "\xc3\xbf", 2)};
	struct wbc_flush_result result;
	struct wbc_table *t;

	rig_begin(&rig, "keys");
	rig.tables[0] = "t(k text key, n counter) on_missing=insert";
	rig_sql(&rig, "PRAGMA encoding='UTF-16le';"
	              "CREATE TABLE t(k TEXT PRIMARY KEY, n INTEGER)");
	c = rig_open(&rig);
	rig_start(&rig);
	t = rig_table(c, rig.tables[0]);
	if (wbc_add_int64(t, &k[0], 1, 1, 1) ||
	    wbc_add_int64(t, &k[1], 1, 1, 1))
		tap_bail("adding fails");
	tap_is_int(wbc_flush(c, t, RIG_PATIENCE_MS, &result), WBC_E_PARKED,
	           "texts in a database of UTF-16: the table is parked");
	tap_ok(strstr(result.message, "encoding='UTF-8'"), "in words: %s",
	       result.message);
	tap_is_int(rig_sql_int(&rig, "SELECT count(*) FROM t"), 0,
	           "P7: nothing is written");
	tap_is_int(rig_stop(&rig), 0, "the flusher ends well");
	wbc_close(&c);
	rig_end(&rig);
}

int main(void)
{
	columns();
	encoding();
	return tap_done();
}
