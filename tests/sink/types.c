/* SPDX-License-Identifier: MIT */
/* Copyright the wbcshm authors */

/*
 * Types of plain columns against types of a database's columns.  What is said
 * of a column when the catalogue is looked at is held against what happens:
 * values are written to it through the sink, and read back.
 */
#include "sink/bed.h"

static const struct {
	const char *name;
	struct wbc_value samples[3]; /* that some column would bend */
} types[] = {
	{"int",
         {{.type = WBC_INT64, .bytes = 8, .v.i = INT64_MAX},
          {.type = WBC_INT64, .bytes = 8, .v.i = 7},
          {.type = WBC_INT64, .bytes = 8, .v.i = -1}}},
	{"double",
         {{.type = WBC_DOUBLE, .bytes = 8, .v.d = 1.0 / 3},
          {.type = WBC_DOUBLE, .bytes = 8, .v.d = 2},
          {.type = WBC_DOUBLE, .bytes = 8, .v.d = -1e300}}},
	{"text",
         {{.type = WBC_TEXT, .bytes = 2, .v.p = "01"},
          {.type = WBC_TEXT, .bytes = 3, .v.p = "1e5"},
          {.type = WBC_TEXT, .bytes = 1, .v.p = "x"}}},
	{"blob",
         {{.type = WBC_BLOB, .bytes = 2, .v.p = "01"},
          {.type = WBC_BLOB, .bytes = 0, .v.p = ""},
          {.type = WBC_BLOB, .bytes = 2, .v.p = "\xff\0"}}},
	{"bool",
         {{.type = WBC_BOOL, .bytes = 8, .v.i = 0},
          {.type = WBC_BOOL, .bytes = 8, .v.i = 1},
          {.type = WBC_BOOL, .bytes = 8, .v.i = 1}}},
	{"json",
         {{.type = WBC_JSON, .bytes = 3, .v.p = "1.0"},
          {.type = WBC_JSON, .bytes = 7, .v.p = "{\"a\":1}"},
          {.type = WBC_JSON, .bytes = 3, .v.p = "\"1\""}}},
	{"timestamp",
         {{.type = WBC_TIMESTAMP, .bytes = 8, .v.i = 1},
          {.type = WBC_TIMESTAMP, .bytes = 8, .v.i = -1},
          {.type = WBC_TIMESTAMP,
           .bytes = 8,
           .v.i = INT64_C(1700000000123456)}}},
};

/* Of SQLite, what does a value come to; those of STRICT tables first. */
static const char *const there[] = {
	"INTEGER", "INT",      "REAL",      "TEXT",
	"BLOB",    "ANY",      "",          "NUMERIC",
	"JSON",    "BOOLEAN",  "TIMESTAMP", "VARCHAR(9)",
	"BIGINT",  "DATETIME", "CLOB",      "DOUBLE PRECISION",
};
enum { STRICT_TYPES = 6 };

static void note(void *arg, const char *words)
{
	char *said = arg;

	snprintf(said, 320, "%s", words);
}

static bool is_same(const struct wbc_value *a, const struct wbc_value *b)
{
	if (a->type != b->type)
		return false;
	if (a->type == WBC_DOUBLE)
		return a->v.d == b->v.d;
	if (a->type == WBC_TEXT || a->type == WBC_BLOB || a->type == WBC_JSON)
		return a->bytes == b->bytes &&
		       !memcmp(a->v.p, b->v.p, a->bytes);
	return a->v.i == b->v.i;
}

/* Read all rows through the sink; do their columns have the samples? */
static bool read_as(struct bed *b, const char *spec,
                    const struct wbc_value *samples, unsigned from)
{
	struct wbci_work *w = begin(b, spec, ON_MISSING_DEADLETTER);
	struct wbc_value got[WBC_COLUMNS_MAX];
	uint8_t columns[WBC_COLUMNS_MAX];
	bool same = true;

	w->reads = true;
	w->piece = 0;
	for (unsigned i = from; i < 3; i++) {
		const struct wbc_value id = wbc_int64(NULL, i + 1);

		change(w, &id, 1, NULL, 0);
	}
	if (wbci_sink_sqlite.read(b->sink, w) != OUTCOME_DONE)
		tap_bail("no read: %s", w->reason);
	for (unsigned i = from; i < 3 && same; i++) {
		const struct wbci_set *set = w->rows.rows[i - from]->set;

		if (set)
			wbci_set_values(&w->rows, set, got, columns);
		same = set && is_same(&got[0], &samples[i]);
	}
	wbci_work_free(&w);
	return same;
}

/* All samples of a type come back from such a column as they were. */
static bool keeps(struct bed *b, const char *spec, unsigned type,
                  const char *column)
{
	const struct wbc_value *samples = types[type].samples;
	/* Numbers do not stay in a column of type JSON, but people call it
	 * that, and mean objects. */
	unsigned from = samples->type == WBC_JSON && !strcmp(column, "JSON");
	struct wbci_work *w = begin(b, spec, ON_MISSING_DEADLETTER);
	bool kept;

	for (unsigned i = from; i < 3; i++) {
		struct wbc_value value = samples[i];

		value.name = "v";
		CHANGE(w, i + 1, value);
	}
	if (apply(b, w) != OUTCOME_DONE)
		tap_bail("no update: %s", w->reason);
	kept = w->refused == 0;
	wbci_work_free(&w);
	return kept && read_as(b, spec, samples, from);
}

static unsigned wrong;

static void test_pair(struct bed *b, unsigned type, unsigned column,
                      bool strict)
{
	char create[160], spec[64], said[320] = "";
	struct wbci_schema schema;
	static unsigned n_tables;
	bool kept;
	int n;

	n_tables++;
	snprintf(create, sizeof(create),
	         "CREATE TABLE t%u(id INTEGER PRIMARY KEY, v %s)%s;"
	         "INSERT INTO t%u(id) VALUES(1),(2),(3)",
	         n_tables, there[column], strict ? " STRICT" : "", n_tables);
	snprintf(spec, sizeof(spec), "t%u(id int key, v %s)", n_tables,
	         types[type].name);
	bed_sql(b, create);
	b->done = 0;
	if (wbci_schema_parse(&schema, spec, strlen(spec), NULL))
		tap_bail("%s", spec);
	n = wbci_sink_sqlite.examine(b->path, &schema, note, said);
	kept = keeps(b, spec, type, there[column]);
	if (kept == (n == 0) && (!n || strstr(said, "; make it ")))
		return;
	tap_diag("%s in %s%s: %s, but \"%s\"", types[type].name, there[column],
	         strict ? " STRICT" : "", kept ? "stays" : "does not stay",
	         said);
	wrong++;
}

static void test_type(unsigned type)
{
	struct bed b;

	wrong = 0;
	make_bed(&b, "PRAGMA synchronous=OFF");
	for (unsigned j = 0; j < sizeof(there) / sizeof(there[0]); j++) {
		test_pair(&b, type, j, false);
		if (j < STRICT_TYPES)
			test_pair(&b, type, j, true);
	}
	drop_bed(&b);
	tap_is_uint(wrong, 0,
	            "what bends values of type %s is said of the database's "
	            "column, with what to make of it, and of no other",
	            types[type].name);
}

int main(void)
{
	for (unsigned i = 0; i < sizeof(types) / sizeof(types[0]); i++)
		test_type(i);
	return tap_done();
}
