/* SPDX-License-Identifier: MIT */
/* Copyright the wbcshm authors */

/*
 * Rows: a table's statements, prepared once, and what became of each row.
 */

#include "sink_sqlite.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../api/wbc_error.h"
#include "../shm/cell.h"
#include "../shm/key.h"
#include "../shm/record.h"
#include "points.h"

struct target *wbci_sqlite_find_target(struct wbci_sink *s)
{
	const struct wbci_work *w = s->work;
	struct target *t;

	for (t = s->targets; t; t = t->next)
		if (t->spec_hash == w->rows.spec_hash &&
		    !strcmp(t->table, w->table))
			return t;
	t = calloc(1, sizeof(*t));
	if (!t)
		return NULL;
	snprintf(t->table, sizeof(t->table), "%s", w->table);
	t->spec_hash = w->rows.spec_hash;
	t->next = s->targets;
	s->targets = t;
	return t;
}

/* A statement of the table at hand: cached, or in place of the oldest. */
enum verdict wbci_sqlite_find_statement(struct wbci_sink *s, enum wbci_sql kind,
                                        uint64_t columns, sqlite3_stmt **stmt)
{
	struct statement *oldest = s->target->statements;
	struct statement *c = s->target->statements;
	char *sql;
	int code;

	for (unsigned i = 0; i < STATEMENTS; i++, c++) {
		if (c->stmt && c->kind == kind && c->columns == columns) {
			c->used = ++s->clock;
			*stmt = c->stmt;
			return STEP_OK;
		}
		if (c->used < oldest->used)
			oldest = c;
	}
	sql = wbci_sql_text(&s->work->rows.schema, kind, columns);
	if (!sql)
		return wbci_sqlite_no_memory(s);
	sqlite3_finalize(oldest->stmt);
	memset(oldest, 0, sizeof(*oldest));
	code = wbci_sqlite_prepare(s, sql, &oldest->stmt);
	free(sql);
	if (code != SQLITE_OK)
		return wbci_sqlite_judge(s, code);
	oldest->kind = kind;
	oldest->columns = columns;
	oldest->used = ++s->clock;
	*stmt = oldest->stmt;
	return STEP_OK;
}

/* A cell's delta at a parameter. */
static void bind_delta(sqlite3_stmt *stmt, int at, const struct wbci_rowset *rs,
                       const struct wbci_row *row, unsigned cell)
{
	if (rs->doubles >> cell & 1)
		sqlite3_bind_double(stmt, at, wbci_double_of(row->delta[cell]));
	else
		sqlite3_bind_int64(stmt, at, (int64_t)row->delta[cell]);
}

/* What changes, in the order of the columns, then the key. */
static enum verdict bind_row(struct wbci_sink *s, sqlite3_stmt *stmt,
                             uint64_t columns, const struct change *c)
{
	const struct wbci_rowset *rs = &s->work->rows;
	const struct wbc_value *value = c->values;
	enum verdict v = STEP_OK;
	int at = 1;

	for (; columns && v == STEP_OK; columns &= columns - 1) {
		unsigned i = (unsigned)__builtin_ctzll(columns);
		const struct wbci_column *column = &rs->schema.columns[i];

		if (column->role == ROLE_COUNTER)
			bind_delta(stmt, at++, rs, c->row, column->index);
		else
			v = wbci_sqlite_bind_value(s, stmt, at++, i, value++);
	}
	for (unsigned i = 0; i < rs->schema.n_keys && v == STEP_OK; i++)
		v = wbci_sqlite_bind_value(s, stmt, at++,
		                           rs->schema.key_column[i],
		                           &c->keys[i]);
	return v;
}

static void read_answers(struct wbci_sink *s, sqlite3_stmt *stmt,
                         struct wbci_answer *answers)
{
	const struct wbci_rowset *rs = &s->work->rows;

	for (unsigned i = 0; i < rs->schema.n_cells; i++) {
		int type = sqlite3_column_type(stmt, (int)i);
		struct wbci_answer *a = &answers[i];

		a->state = VALUE_NUMBER;
		if (type == SQLITE_TEXT || type == SQLITE_BLOB)
			a->state = VALUE_UNKNOWN;
		else if (rs->doubles >> i & 1)
			a->bits = wbci_bits_of(
				sqlite3_column_double(stmt, (int)i));
		else if (type == SQLITE_FLOAT)
			a->state = VALUE_UNKNOWN;
		else
			a->bits = (uint64_t)sqlite3_column_int64(stmt, (int)i);
	}
}

/* Execute one statement about a row. */
static enum verdict run_change(struct wbci_sink *s, enum wbci_sql kind,
                               struct change *c)
{
	bool changes = kind != SQL_SELECT && kind != SQL_READ;
	uint64_t columns = changes ? c->columns : 0;
	sqlite3_stmt *stmt;
	enum verdict v = wbci_sqlite_find_statement(s, kind, columns, &stmt);
	bool several = false;
	int code;

	if (v != STEP_OK)
		return v;
	v = bind_row(s, stmt, columns, c);
	if (v != STEP_OK)
		return v;
	c->found = false;
	while ((code = sqlite3_step(stmt)) == SQLITE_ROW) {
		if (c->found)
			several = true;
		else
			read_answers(s, stmt, c->answers);
		if (!c->found && kind == SQL_READ)
			v = wbci_sqlite_take_columns(s, stmt, c->row);
		c->found = true;
	}
	s->work->statements += changes;
	code = sqlite3_reset(stmt);
	if (v != STEP_OK)
		return v;
	if (code != SQLITE_OK)
		return wbci_sqlite_judge_row(s, stmt, code);
	return several ? wbci_sqlite_fail(
				 s, STEP_PARKED,
				 "the key columns name several rows of the table",
				 "make them unique")
	               : STEP_OK;
}

/* The values of a row that stays as it is. */
static enum verdict see_row(struct wbci_sink *s, struct change *c)
{
	enum wbci_sql kind = s->work->reads ? SQL_READ : SQL_SELECT;
	enum verdict v = c->seen ? STEP_OK : run_change(s, kind, c);

	c->seen = v == STEP_OK;
	if (v == STEP_OK && !c->found)
		for (unsigned i = 0; i < s->work->rows.schema.n_cells; i++)
			c->answers[i].state = VALUE_NOROW;
	return v;
}

/* What there is in a counted column is nothing that can be added to. */
static enum verdict refuse_value(struct wbci_sink *s, unsigned cell)
{
	const struct wbci_rowset *rs = &s->work->rows;
	bool is_double = rs->doubles >> cell & 1;
	char why[sizeof(s->why)];

	snprintf(why, sizeof(why), "counted column %.63s holds no %s; %s",
	         rs->schema.columns[rs->schema.cell_column[cell]].name,
	         is_double ? "number" : "integer",
	         is_double ? "make it one"
	                   : "make it one, or count doubles");
	return wbci_sqlite_refuse(s, WBC_E_TYPE, why);
}

/* An UPDATE changed nothing in a row that is there: why? */
static enum verdict refuse_unchanged(struct wbci_sink *s,
                                     const struct change *c)
{
	const struct wbci_rowset *rs = &s->work->rows;

	for (unsigned i = 0; i < rs->schema.n_cells; i++) {
		const struct wbci_answer *a = &c->answers[i];
		int64_t sum;

		if (wbci_delta_zero(rs->doubles >> i & 1, c->row->delta[i]))
			continue;
		if (a->state == VALUE_UNKNOWN)
			return refuse_value(s, i);
		if (rs->doubles >> i & 1
		            ? !isfinite(wbci_double_of(a->bits) +
		                        wbci_double_of(c->row->delta[i]))
		            : __builtin_add_overflow((int64_t)a->bits,
		                                     (int64_t)c->row->delta[i],
		                                     &sum))
			return wbci_sqlite_refuse(s, -ERANGE,
			                          "the sum is out of the range "
			                          "of the column's type");
	}
	return wbci_sqlite_refuse(
		s, -ERANGE, "the database has left the row as it was; a trigger?");
}

/* UPDATE hit no row: is there none, or was it left as it is? */
static enum verdict no_row_changed(struct wbci_sink *s, struct change *c)
{
	enum verdict v = see_row(s, c);

	if (v != STEP_OK)
		return v;
	if (c->found)
		return refuse_unchanged(s, c);
	switch (s->work->on_missing) {
	case ON_MISSING_INSERT:
		v = run_change(s, SQL_NEW_ROW, c);
		if (v == STEP_REFUSED)
			c->found = false;
		return v;
	case ON_MISSING_IGNORE:
		s->work->ignored++;
		return STEP_OK;
	default:
		return wbci_sqlite_refuse(s, WBC_E_NOROW,
		                          "the table has no such row, and "
		                          "on_missing is deadletter");
	}
}

static enum verdict update_row(struct wbci_sink *s, struct change *c)
{
	enum verdict v = run_change(s, SQL_UPDATE, c);

	return v == STEP_OK && !c->found ? no_row_changed(s, c) : v;
}

/*
 * One statement for rows that are there and rows that are not.  A constraint
 * may refuse the new row although there is an old one that could be changed:
 * then that is tried.
 */
static enum verdict upsert_row(struct wbci_sink *s, struct change *c)
{
	enum verdict v = run_change(s, SQL_UPSERT, c);
	char why[sizeof(s->why)];
	int code;

	if (v == STEP_OK && !c->found)
		return no_row_changed(s, c);
	if (v != STEP_REFUSED)
		return v;
	memcpy(why, s->why, sizeof(why));
	code = s->code;
	v = run_change(s, SQL_UPDATE, c);
	if (v != STEP_OK || c->found)
		return v;
	return wbci_sqlite_refuse(s, code, why);
}

/* Was this item found to take the transaction with it? */
static bool is_poison(struct wbci_sink *s)
{
	for (unsigned i = 0; i < s->n_poison; i++)
		if (s->poison[i].item == s->item) {
			wbci_sqlite_refuse(s, s->poison[i].code,
			                   s->poison[i].why);
			return true;
		}
	return false;
}

/* Take a row apart; false: its key is none of this table. */
static bool read_change(const struct wbci_rowset *rs, struct change *c)
{
	const struct wbci_row *row = c->row;

	for (unsigned i = 0; i < rs->schema.n_cells; i++)
		if (!wbci_delta_zero(rs->doubles >> i & 1, row->delta[i]))
			c->columns |= UINT64_C(1) << rs->schema.cell_column[i];
	if (row->set) {
		c->columns |= row->set->columns;
		wbci_set_values(rs, row->set, c->values, c->places);
	}
	return !wbci_key_decode(&rs->schema, wbci_row_key(rs, row),
	                        row->key_len, c->keys, c->text);
}

static enum verdict write_change(struct wbci_sink *s, struct change *c,
                                 bool readable)
{
	if (!readable)
		return wbci_sqlite_refuse(s, WBC_E_CORRUPT,
		                          "its key is not one of this "
		                          "table");
	if (s->n_poison && is_poison(s))
		return STEP_REFUSED;
	/* What changes nothing is no statement. */
	if (!c->columns)
		return see_row(s, c);
	return s->upsert ? upsert_row(s, c) : update_row(s, c);
}

static enum verdict change_row(struct wbci_sink *s, uint64_t at)
{
	const struct wbci_rowset *rs = &s->work->rows;
	uint64_t ignored = s->work->ignored;
	struct change c;
	bool readable;
	enum verdict v;

	/* Not the values: that would be most of the work of a small row. */
	c.row = rs->rows[at];
	c.columns = 0;
	c.found = c.seen = false;
	c.answers = s->work->answers + at * rs->schema.n_cells;
	readable = read_change(rs, &c);
	v = write_change(s, &c, readable);
	if (v == STEP_OK) {
		bool ours = s->work->ignored == ignored;

		s->work->applied += ours;
		s->work->fates[at] = ours ? FATE_APPLIED : FATE_NOROW;
		return s->triggers ? see_row(s, &c) : v;
	}
	if (v != STEP_REFUSED)
		return v;
	/* What the row has now, so that readers stop seeing the refused. */
	s->work->fates[at] = FATE_REFUSED;
	v = wbci_sqlite_bury_change(s, &c, readable);
	return v == STEP_OK && readable ? see_row(s, &c) : v;
}

static enum verdict run_insert(struct wbci_sink *s,
                               const struct wbc_value *values,
                               const uint8_t *columns, int n)
{
	uint64_t set = 0;
	sqlite3_stmt *stmt;
	enum verdict v;
	int code;

	for (int i = 0; i < n; i++)
		set |= UINT64_C(1) << columns[i];
	v = wbci_sqlite_find_statement(s, SQL_INSERT, set, &stmt);
	if (v != STEP_OK)
		return v;
	for (int i = 0; i < n; i++) {
		uint64_t below = set & ((UINT64_C(1) << columns[i]) - 1);

		v = wbci_sqlite_bind_value(s, stmt,
		                           __builtin_popcountll(below) + 1,
		                           columns[i], &values[i]);
		if (v != STEP_OK)
			return v;
	}
	sqlite3_step(stmt);
	s->work->statements++;
	code = sqlite3_reset(stmt);
	return code == SQLITE_OK ? STEP_OK
	                         : wbci_sqlite_judge_row(s, stmt, code);
}

static enum verdict insert_row(struct wbci_sink *s, uint64_t at, uint32_t bytes)
{
	const struct wbci_rowset *rs = &s->work->rows;
	struct wbc_value values[WBC_COLUMNS_MAX];
	uint8_t columns[WBC_COLUMNS_MAX];
	int n = wbci_record_parse(&rs->schema, rs->inserts + at, bytes, values,
	                          columns);
	enum verdict v;

	if (n <= 0)
		v = wbci_sqlite_refuse(s, WBC_E_CORRUPT,
		                       "its record is not one of this "
		                       "table");
	else if (s->n_poison && is_poison(s))
		v = STEP_REFUSED;
	else
		v = run_insert(s, values, columns, n);
	if (v == STEP_REFUSED)
		return wbci_sqlite_bury_insert(s, values, n);
	s->work->inserted += v == STEP_OK;
	return v;
}

enum verdict wbci_sqlite_write_rows(struct wbci_sink *s)
{
	const struct wbci_rowset *rs = &s->work->rows;
	struct record_shm record;
	enum verdict v = STEP_OK;

	s->item = 0;
	for (uint64_t at = 0; at < rs->inserts_bytes && v == STEP_OK;
	     at += record.bytes, s->item++) {
		memcpy(&record, rs->inserts + at, sizeof(record));
		v = insert_row(s, at, record.bytes);
		if (v != STEP_OK)
			return v;
	}
	wbci_point(POINT_APPLY_INSERTS);
	for (uint64_t i = 0; i < rs->n_rows && v == STEP_OK; i++) {
		if (i == rs->n_rows / 2)
			wbci_point(POINT_APPLY_ROWS_HALF);
		v = change_row(s, i);
		if (v != STEP_OK)
			return v;
		s->item++;
	}
	return v;
}

enum verdict wbci_sqlite_see_rows(struct wbci_sink *s)
{
	const struct wbci_rowset *rs = &s->work->rows;
	enum verdict v = STEP_OK;

	for (uint64_t i = 0; i < rs->n_rows && v == STEP_OK; i++) {
		struct change c;

		c.row = rs->rows[i];
		c.found = c.seen = false;
		c.answers = s->work->answers + i * rs->schema.n_cells;
		if (!wbci_key_decode(&rs->schema, wbci_row_key(rs, c.row),
		                     c.row->key_len, c.keys, c.text))
			v = see_row(s, &c);
		if (v == STEP_OK && s->work->reads)
			s->work->fates[i] = c.found ? FATE_APPLIED : FATE_NOROW;
		/* Its row was refused: what it has is what we may say. */
		if (v == STEP_REFUSED)
			v = STEP_OK;
	}
	return v;
}

/* Applied by somebody who died: only its answers are still wanted. */
enum verdict wbci_sqlite_read_back(struct wbci_sink *s)
{
	int64_t letters = 0;
	sqlite3_stmt *stmt = wbci_sqlite_bind(s, FIXED_LETTERS);
	enum verdict v;
	bool found;

	sqlite3_bind_int64(stmt, 3, (int64_t)s->work->piece);
	v = wbci_sqlite_ask(s, stmt, &found, &letters, 1);
	if (v == STEP_OK)
		v = wbci_sqlite_see_rows(s);
	s->work->refused = (uint64_t)letters;
	return v;
}
