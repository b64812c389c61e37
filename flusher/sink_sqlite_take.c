/* SPDX-License-Identifier: MIT */
/* Copyright the wbcshm authors */

/*
 * What the database has in plain columns, as values of their declared types:
 * the way back of sink_sqlite_bind.c.
 *
 * SQLite stores what it is given.  What somebody else has written, and is none
 * of the declared type, is no value that a reader could be given: it is left
 * out, and the column is unknown.
 */

#include "sink_sqlite.h"

#include <stdlib.h>
#include <string.h>

#include "../shm/record.h"
#include "../units/moment.h"

/* Columns of an answer, as values that point into it. */
struct taken {
	unsigned n;
	struct wbc_value values[WBC_COLUMNS_MAX];
	uint8_t columns[WBC_COLUMNS_MAX];
};

static bool take_integer(sqlite3_stmt *stmt, int at, struct wbc_value *v)
{
	if (sqlite3_column_type(stmt, at) != SQLITE_INTEGER)
		return false;
	v->v.i = sqlite3_column_int64(stmt, at);
	return true;
}

static bool take_double(sqlite3_stmt *stmt, int at, struct wbc_value *v)
{
	int type = sqlite3_column_type(stmt, at);

	v->v.d = sqlite3_column_double(stmt, at);
	/* A REAL column stores whole numbers as integers, and says REAL. */
	return type == SQLITE_FLOAT ||
	       (type == SQLITE_INTEGER &&
	        (int64_t)v->v.d == sqlite3_column_int64(stmt, at) &&
	        v->v.d < 0x1p63);
}

static bool take_bytes(sqlite3_stmt *stmt, int at, int type,
                       struct wbc_value *v)
{
	if (sqlite3_column_type(stmt, at) != type)
		return false;
	v->v.p = type == SQLITE_TEXT
	                 ? (const void *)sqlite3_column_text(stmt, at)
	                 : sqlite3_column_blob(stmt, at);
	v->bytes = (uint32_t)sqlite3_column_bytes(stmt, at);
	if (!v->bytes)
		v->v.p = "";
	return v->v.p != NULL;
}

static bool take_moment(sqlite3_stmt *stmt, int at, struct wbc_value *v)
{
	if (sqlite3_column_type(stmt, at) == SQLITE_TEXT)
		return units_moment((const char *)sqlite3_column_text(stmt, at),
		                    &v->v.i);
	return take_integer(stmt, at, v);
}

/* A column that is not NULL, as a value of the type that it was given. */
static bool take_as(sqlite3_stmt *stmt, int at, struct wbc_value *v)
{
	switch (v->type) {
	case WBC_INT64:
	case WBC_BOOL:
		return take_integer(stmt, at, v);
	case WBC_DOUBLE:
		return take_double(stmt, at, v);
	case WBC_TEXT:
	case WBC_JSON:
		return take_bytes(stmt, at, SQLITE_TEXT, v);
	case WBC_BLOB:
		return take_bytes(stmt, at, SQLITE_BLOB, v);
	case WBC_TIMESTAMP:
		return take_moment(stmt, at, v);
	case WBC_NULL:
		break;
	}
	return false;
}

static void take_column(struct taken *t, sqlite3_stmt *stmt, int at,
                        const struct wbci_column *column, unsigned i)
{
	struct wbc_value *v = &t->values[t->n];

	*v = wbc_null(NULL);
	if (sqlite3_column_type(stmt, at) != SQLITE_NULL) {
		v->type = (enum wbc_type)column->type;
		if (!take_as(stmt, at, v) || wbci_column_check(column, v))
			return;
	}
	t->columns[t->n++] = (uint8_t)i;
}

enum verdict wbci_sqlite_take_columns(struct wbci_sink *s, sqlite3_stmt *stmt,
                                      struct wbci_row *row)
{
	struct wbci_rowset *rs = &s->work->rows;
	int at = rs->schema.n_cells ? rs->schema.n_cells : 1;
	struct taken t;
	int error = 0;

	t.n = 0;
	for (unsigned i = 0; i < rs->schema.n_columns; i++)
		if (rs->schema.columns[i].role == ROLE_PLAIN)
			take_column(&t, stmt, at++, &rs->schema.columns[i], i);
	if (t.n)
		error = wbci_set_change(rs, &row->set, t.values, t.columns,
		                        t.n);
	return error ? wbci_sqlite_no_memory(s) : STEP_OK;
}
