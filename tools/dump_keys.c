/* SPDX-License-Identifier: MIT */
/* Copyright the wbcshm authors */

/*
 * wbc-shmdump keys: rows are collected in memory, sorted by table and key -
 * which is the database's order too -, and printed.
 */
#include "dump.h"

#include <errno.h>
#include <fnmatch.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "grid.h"
#include "json.h"
#include "value.h"
#include "../units/units.h"
#include "view.h"
#include "../shm/key.h"

/* All key values as text, with the commas between them. */
#define KEY_TEXT VALUE_TEXT(WBC_KEY_MAX, WBC_COLUMNS_MAX)

/* A row to be printed: the part of an entry's copy that is in use. */
struct row {
	uint64_t offset;
	bool dirty; /* marked, or with news that no round has seen */
	uint8_t table;
	uint8_t n_cells;
	uint16_t key_len;
	uint64_t words[]; /* per cell total, origin, journaled; then the key */
};

struct keys {
	const struct wbci_segment *s;
	struct view_tables tables;
	const char *glob;
	const struct view_table *only;
	bool dirty;
	struct row **rows;
	size_t n;
	size_t room;
	uint64_t unreadable; /* not a row of a declared table */
};

static const unsigned char *row_key(const struct row *row)
{
	return (const unsigned char *)(row->words + (size_t)row->n_cells * 3);
}

/* The key's values joined by commas; NUL-terminated. */
static void key_text(const struct wbci_schema *schema,
                     const struct wbc_value *values, char *text)
{
	size_t at = 0;

	for (unsigned i = 0; i < schema->n_keys; i++) {
		if (i)
			text[at++] = ',';
		at += value_put(text + at, &values[i]);
	}
	text[at] = '\0';
}

static bool matches(const struct keys *k, const struct wbci_schema *schema,
                    const struct wbc_value *values)
{
	char text[KEY_TEXT];

	if (!k->glob)
		return true;
	key_text(schema, values, text);
	return fnmatch(k->glob, text, 0) == 0;
}

static int keep_row(struct keys *k, const struct wbci_seen *e, bool dirty)
{
	struct row *row =
		malloc(sizeof(*row) +
	               (size_t)e->n_cells * 3 * sizeof(uint64_t) + e->key_len);
	struct row **rows = k->rows;

	if (row && k->n == k->room) {
		k->room = k->room ? 2 * k->room : 1024;
		rows = realloc(k->rows, k->room * sizeof(struct row *));
		if (rows)
			k->rows = rows;
	}
	if (!row || !rows) {
		free(row);
		return -ENOMEM;
	}
	row->offset = e->ref.offset;
	row->dirty = dirty;
	row->table = e->table;
	row->n_cells = e->n_cells;
	row->key_len = e->key_len;
	for (unsigned i = 0; i < e->n_cells; i++) {
		row->words[3 * i] = e->total[i];
		row->words[3 * i + 1] = e->origin[i];
		row->words[3 * i + 2] = e->journaled[i];
	}
	memcpy(row->words + (size_t)e->n_cells * 3, e->key, e->key_len);
	k->rows[k->n++] = row;
	return 0;
}

static int take_step(void *arg, const struct wbci_step *step)
{
	struct wbc_value values[WBC_COLUMNS_MAX];
	unsigned char text[WBC_KEY_MAX];
	const struct view_table *table;
	struct wbci_seen e;
	struct keys *k = arg;
	bool dirty;
	int rc;

	if (step->tag != INDEX_ENTRY || step->known)
		return 0;
	rc = view_entry(k->s, step->target, &e);
	/* Dead: to be unlinked by whoever meets it next, no row any more. */
	if (rc == 0)
		return 0;
	if (rc < 0 || e.space != SPACE_ROW || e.table >= k->tables.n) {
		k->unreadable++;
		return 0;
	}
	table = &k->tables.table[e.table];
	if (k->only && table != k->only)
		return 0;
	if (!table->readable || e.n_cells > table->schema.n_cells ||
	    wbci_key_decode(&table->schema, e.key, e.key_len, values, text)) {
		k->unreadable++;
		return 0;
	}
	dirty = wbci_entry_marked(k->s, step->target) || view_changed(&e);
	if (k->dirty && !dirty)
		return 0;
	if (!matches(k, &table->schema, values))
		return 0;
	return keep_row(k, &e, dirty);
}

static int compare_rows(const void *a, const void *b)
{
	const struct row *x = *(struct row *const *)a;
	const struct row *y = *(struct row *const *)b;
	size_t n = x->key_len < y->key_len ? x->key_len : y->key_len;
	int order;

	if (x->table != y->table)
		return x->table < y->table ? -1 : 1;
	order = memcmp(row_key(x), row_key(y), n);
	if (order)
		return order;
	return (x->key_len > y->key_len) - (x->key_len < y->key_len);
}

/* A row as the entry it was, for what both forms ask about it. */
static void unpack(const struct keys *k, const struct row *row,
                   struct wbci_seen *e, struct wbc_value *values,
                   unsigned char *text)
{
	e->ref.offset = row->offset;
	e->table = row->table;
	e->n_cells = row->n_cells;
	for (unsigned i = 0; i < row->n_cells; i++) {
		e->total[i] = row->words[3 * i];
		e->origin[i] = row->words[3 * i + 1];
		e->journaled[i] = row->words[3 * i + 2];
	}
	/* It decoded when it was taken. */
	wbci_key_decode(&k->tables.table[row->table].schema, row_key(row),
	                row->key_len, values, text);
}

static void put_key(struct grid *g, const struct wbc_value *v)
{
	char text[VALUE_TEXT(WBC_KEY_MAX, 1)];
	char shown[sizeof(text) * 4];

	units_printable(shown, sizeof(shown), text, value_put(text, v));
	grid_put(g, "%s", shown);
}

static void put_cell(struct grid *g, const struct view_cell *c)
{
	static const char *const states[] = {
		[VIEW_UNKNOWN] = "unknown", [VIEW_NOROW] = "no row"};
	char text[UNITS_TEXT];

	if (c->state >= VIEW_UNKNOWN)
		grid_put(g, "%s", states[c->state]);
	else if (c->is_double)
		grid_put(g, "%s", units_say_double(text, c->d));
	else
		grid_put(g, "%" PRId64, c->i);
	if (!c->changed)
		grid_put(g, "%s", "");
	else if (c->is_double)
		grid_put(g, "%s%s", c->pending_d < 0 ? "" : "+",
		         units_say_double(text, c->pending_d));
	else
		grid_put(g, "%+" PRId64, c->pending_i);
}

static void put_row(struct grid *g, const struct keys *k, const struct row *row)
{
	const struct wbci_schema *schema = &k->tables.table[row->table].schema;
	struct wbc_value values[WBC_COLUMNS_MAX];
	unsigned char text[WBC_KEY_MAX];
	struct wbci_seen e;
	struct view_cell c;

	unpack(k, row, &e, values, text);
	grid_put(g, "%s", row->dirty ? "*" : "");
	for (unsigned i = 0; i < schema->n_keys; i++)
		put_key(g, &values[i]);
	for (unsigned i = 0; i < e.n_cells; i++) {
		view_cell(schema, &e, i, &c);
		put_cell(g, &c);
	}
	/* Born before the column was declared. */
	for (unsigned i = e.n_cells; i < schema->n_cells; i++) {
		grid_put(g, "-");
		grid_put(g, "%s", "");
	}
}

/* Rows [from, to) are of one table. */
static int say_table(const struct keys *k, size_t from, size_t to)
{
	const struct view_table *table = &k->tables.table[k->rows[from]->table];
	const struct wbci_schema *schema = &table->schema;
	char align[1 + WBC_COLUMNS_MAX + 2 * WBC_COUNTERS_MAX + 1];
	char *a = align;
	struct grid g;
	int rc;

	*a++ = 'l';
	for (unsigned i = 0; i < schema->n_keys; i++)
		*a++ = schema->columns[schema->key_column[i]].type == WBC_INT64
		               ? 'r'
		               : 'l';
	for (unsigned i = 0; i < schema->n_cells; i++) {
		*a++ = 'r';
		*a++ = 'l';
	}
	*a = '\0';
	grid_init(&g, align);
	grid_put(&g, "%s", "");
	for (unsigned i = 0; i < schema->n_keys; i++)
		grid_put(&g, "%s", schema->columns[schema->key_column[i]].name);
	for (unsigned i = 0; i < schema->n_cells; i++) {
		grid_put(&g, "%s",
		         schema->columns[schema->cell_column[i]].name);
		grid_put(&g, "%s", "");
	}
	for (size_t i = from; i < to; i++)
		put_row(&g, k, k->rows[i]);
	printf("%sTable %s\n", from ? "\n" : "", table->label);
	rc = grid_print(&g, 0);
	grid_free(&g);
	return rc;
}

static int say_all(const struct keys *k, size_t shown)
{
	char a[UNITS_TEXT], b[UNITS_TEXT];
	size_t from = 0, to;
	int rc = 0;

	while (from < shown && !rc) {
		for (to = from + 1; to < shown; to++)
			if (k->rows[to]->table != k->rows[from]->table)
				break;
		rc = say_table(k, from, to);
		from = to;
	}
	printf("%s%s rows", shown ? "\n" : "", units_say_count(a, k->n));
	if (shown < k->n)
		printf(", %s of them shown", units_say_count(b, shown));
	if (shown)
		fputs("; * and +n: changed, not in the journal yet", stdout);
	putchar('\n');
	if (k->unreadable)
		printf("%s entries are no row of a declared table: see "
		       "`wbc-shmdump check`\n",
		       units_say_count(a, k->unreadable));
	return rc;
}

static void json_cell(struct json *j, const char *name,
                      const struct view_cell *c)
{
	static const char *const states[] = {"known", "null", "unknown",
	                                     "norow"};

	json_object(j, name);
	json_text(j, "state", states[c->state]);
	if (c->state >= VIEW_UNKNOWN)
		json_null(j, "value");
	else if (c->is_double)
		json_double(j, "value", c->d);
	else
		json_int(j, "value", c->i);
	if (c->is_double)
		json_double(j, "unjournaled", c->pending_d);
	else
		json_int(j, "unjournaled", c->pending_i);
	json_end(j);
}

static void json_row(struct json *j, const struct keys *k,
                     const struct row *row)
{
	const struct view_table *table = &k->tables.table[row->table];
	const struct wbci_schema *schema = &table->schema;
	struct wbc_value values[WBC_COLUMNS_MAX];
	unsigned char text[WBC_KEY_MAX];
	struct wbci_seen e;
	struct view_cell c;

	unpack(k, row, &e, values, text);
	json_object(j, NULL);
	json_text(j, "table", table->label);
	json_object(j, "key");
	for (unsigned i = 0; i < schema->n_keys; i++)
		value_json(j, &values[i]);
	json_end(j);
	json_object(j, "cells");
	for (unsigned i = 0; i < e.n_cells; i++) {
		view_cell(schema, &e, i, &c);
		json_cell(j, schema->columns[schema->cell_column[i]].name, &c);
	}
	json_end(j);
	json_bool(j, "dirty", row->dirty);
	json_end(j);
}

static void json_all(const struct keys *k, size_t shown)
{
	struct json j = {0};

	json_object(&j, NULL);
	json_text(&j, "segment", k->s->path);
	json_uint(&j, "matched", k->n);
	json_uint(&j, "shown", shown);
	json_uint(&j, "unreadable", k->unreadable);
	json_array(&j, "rows");
	for (size_t i = 0; i < shown; i++)
		json_row(&j, k, k->rows[i]);
	json_end(&j);
	json_end(&j);
}

static int list_keys(struct keys *k, const char *table, uint64_t limit,
                     bool json)
{
	size_t shown;
	int rc = view_tables(k->s, &k->tables);

	if (rc)
		return cli_error(rc, "keys", k->s->path, NULL);
	if (table) {
		k->only = view_table(&k->tables, table);
		if (!k->only)
			return cli_fail(CLI_NOT_FOUND,
			                "keys: %s: no such table in %s; see "
			                "`wbc-shmdump summary`",
			                table, k->s->path);
	}
	rc = wbci_index_walk(k->s, take_step, k);
	if (rc)
		return cli_error(rc, "keys", k->s->path, NULL);
	if (k->n)
		qsort(k->rows, k->n, sizeof(struct row *), compare_rows);
	shown = limit < k->n ? (size_t)limit : k->n;
	if (json)
		json_all(k, shown);
	else if (say_all(k, shown))
		return cli_fail(CLI_FAILED, "keys: no memory for the text");
	return CLI_OK;
}

int dump_keys(const struct cli_command *c, int argc, char **argv)
{
	const char *segment, *table = NULL;
	uint64_t limit = UINT64_MAX;
	struct keys k = {0};
	bool json = false;
	const struct cli_option options[] = {
		{"key", 'k', CLI_TEXT, &k.glob, "GLOB", "rows with such a key"},
		{"table", 't', CLI_TEXT, &table, "NAME", "rows of one table"},
		{"dirty", 'd', CLI_FLAG, &k.dirty, NULL,
	         "rows with changes that are not in the journal yet"},
		{"limit", 'n', CLI_COUNT, &limit, "N", "the first N only"},
		{"json", 0, CLI_FLAG, &json, NULL, "one JSON document"},
	};
	struct wbci_segment s;
	int rc = cli_parse(c, options, sizeof(options) / sizeof(options[0]),
	                   &segment, &argc, argv);

	if (rc != CLI_OK)
		return rc == CLI_HELPED ? CLI_OK : rc;
	if (argc)
		return cli_usage(c,
		                 "%s: no argument is expected; --key GLOB "
		                 "chooses rows",
		                 argv[0]);
	rc = cli_segment(segment, false, &s);
	if (rc != CLI_OK)
		return rc;
	k.s = &s;
	rc = list_keys(&k, table, limit, json);
	for (size_t i = 0; i < k.n; i++)
		free(k.rows[i]);
	free(k.rows);
	view_tables_free(&k.tables);
	wbci_segment_close(&s);
	return rc;
}
