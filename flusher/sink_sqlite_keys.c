/* SPDX-License-Identifier: MIT */
/* Copyright the wbcshm authors */

/*
 * Do the database's key columns tell all our keys apart?
 *
 * A key is bytes to us.  Where the column compares otherwise, two keys are one
 * row there: sums would be right, but what a reader sees of one row would lack
 * what was added under its other name, and an insert might be refused for a
 * row that we do not know.  Such a table is parked before it is touched.
 *
 * What tells ints apart: every affinity but REAL, which rounds from 2^53 on.
 * What tells bools, timestamps and blobs apart: all; no column changes them in
 * the form in which they are bound.
 * What tells texts apart: affinity TEXT or none, and the collation BINARY; in
 * a database of UTF-16 not even that, since what is no UTF-8 becomes U+FFFD.
 */

#include "sink_sqlite.h"

#include <string.h>
#include <strings.h>

static bool has(const char *type, const char *part)
{
	size_t n = strlen(part);

	for (; *type; type++)
		if (!strncasecmp(type, part, n))
			return true;
	return false;
}

/* Is it a STRICT table, where ANY is no type but anything? */
static bool is_strict(sqlite3 *db, const char *table)
{
	sqlite3_stmt *stmt = NULL;
	bool strict = false;

	if (sqlite3_prepare_v2(db,
	                       "SELECT max(strict) FROM pragma_table_list(?1)",
	                       -1, &stmt, NULL) == SQLITE_OK &&
	    sqlite3_bind_text(stmt, 1, table, -1, SQLITE_STATIC) == SQLITE_OK &&
	    sqlite3_step(stmt) == SQLITE_ROW)
		strict = sqlite3_column_int(stmt, 0) == 1;
	sqlite3_finalize(stmt);
	return strict;
}

/* In the order in which SQLite looks. */
enum affinity wbci_sqlite_affinity(sqlite3 *db, const char *table,
                                   const char *type)
{
	if (!type || !*type ||
	    (!strcasecmp(type, "ANY") && is_strict(db, table)))
		return AFFINITY_NONE;
	if (has(type, "INT"))
		return AFFINITY_INTEGER;
	if (has(type, "CHAR") || has(type, "CLOB") || has(type, "TEXT"))
		return AFFINITY_TEXT;
	if (has(type, "BLOB"))
		return AFFINITY_NONE;
	if (has(type, "REAL") || has(type, "FLOA") || has(type, "DOUB"))
		return AFFINITY_REAL;
	return AFFINITY_NUMERIC;
}

/* Is the database's encoding UTF-8?  An error says yes: others will see it. */
static bool is_utf8(sqlite3 *db)
{
	sqlite3_stmt *stmt = NULL;
	bool utf8 = true;

	if (sqlite3_prepare_v2(db, "PRAGMA encoding", -1, &stmt, NULL) ==
	            SQLITE_OK &&
	    sqlite3_step(stmt) == SQLITE_ROW)
		utf8 = !strcmp((const char *)sqlite3_column_text(stmt, 0),
		               "UTF-8");
	sqlite3_finalize(stmt);
	return utf8;
}

static int check_text(sqlite3 *db, const char *path, const char *table,
                      const char *column, const char *type,
                      const char *collation, const struct wbci_message *m)
{
	enum affinity affinity = wbci_sqlite_affinity(db, table, type);

	if (affinity != AFFINITY_NONE && affinity != AFFINITY_TEXT)
		return wbci_say(m, -1,
		                "%s: key column %s.%s is of type %s, to which "
		                "\"1\" and \"01\" are one; make it TEXT",
		                path, table, column, type);
	if (strcasecmp(collation, "BINARY") != 0)
		return wbci_say(m, -1,
		                "%s: key column %s.%s compares as %s, so that "
		                "two keys may be one row; make it COLLATE "
		                "BINARY",
		                path, table, column, collation);
	if (!is_utf8(db))
		return wbci_say(m, -1,
		                "%s: it is not in UTF-8, so that two keys in "
		                "%s.%s may be one; make it anew after PRAGMA "
		                "encoding='UTF-8'",
		                path, table, column);
	return 0;
}

int wbci_sqlite_check_key(sqlite3 *db, const char *path, const char *table,
                          const struct wbci_column *column,
                          const struct wbci_message *m)
{
	const char *type, *collation;
	int ignored;

	/* No such table or column, or a view: that is for others to say. */
	if (sqlite3_table_column_metadata(db, "main", table, column->name,
	                                  &type, &collation, &ignored, &ignored,
	                                  &ignored) != SQLITE_OK)
		return 0;
	if (column->type == WBC_TEXT)
		return check_text(db, path, table, column->name, type,
		                  collation, m);
	if (column->type == WBC_INT64 &&
	    wbci_sqlite_affinity(db, table, type) == AFFINITY_REAL)
		return wbci_say(m, -1,
		                "%s: key column %s.%s is of type %s, which "
		                "rounds large numbers; make it INTEGER",
		                path, table, column->name, type);
	return 0;
}

int wbci_sqlite_check_keys(sqlite3 *db, const char *path,
                           const struct wbci_schema *schema,
                           const struct wbci_message *m)
{
	int error = 0;

	for (unsigned i = 0; i < schema->n_keys && !error; i++)
		error = wbci_sqlite_check_key(
			db, path, schema->name,
			&schema->columns[schema->key_column[i]], m);
	return error;
}

/* "a column" is of a type, which does something to values; make it another. */
static int bends(const struct wbci_message *m, const char *type,
                 const char *what, const char *better)
{
	return wbci_say(m, -1, "is of type %s, which %s; make it %s", type,
	                what, better);
}

/* A STRICT table's column takes just its own type, but for ANY. */
static int check_strict(const struct wbci_column *column, const char *type,
                        enum affinity affinity, const struct wbci_message *m)
{
	switch (column->type) {
	case WBC_DOUBLE:
		return affinity == AFFINITY_REAL
		               ? 0
		               : bends(m, type, "takes no fractions", "REAL");
	case WBC_INT64:
	case WBC_BOOL:
		return affinity != AFFINITY_NONE
		               ? 0
		               : bends(m, type, "takes no numbers", "INTEGER");
	case WBC_TEXT:
	case WBC_JSON:
		return affinity == AFFINITY_TEXT
		               ? 0
		               : bends(m, type, "takes no texts", "TEXT");
	case WBC_BLOB:
		return affinity == AFFINITY_NONE
		               ? 0
		               : bends(m, type, "takes no blobs", "BLOB");
	case WBC_TIMESTAMP:
		return affinity == AFFINITY_TEXT || affinity == AFFINITY_INTEGER
		               ? 0
		               : bends(m, type, "takes no moments",
		                       "TEXT or INTEGER");
	default:
		return 0;
	}
}

/* What a column keeps as something else than it was given. */
int wbci_sqlite_check_type(sqlite3 *db, const char *table,
                           const struct wbci_column *column, const char *type,
                           const struct wbci_message *m)
{
	enum affinity affinity = wbci_sqlite_affinity(db, table, type);
	bool any = affinity == AFFINITY_NONE || affinity == AFFINITY_TEXT;
	int error = 0;

	switch (column->type) {
	case WBC_INT64:
	case WBC_BOOL:
		if (affinity == AFFINITY_TEXT)
			error = bends(m, type, "keeps numbers as texts",
			              "INTEGER");
		else if (affinity == AFFINITY_REAL)
			error = bends(m, type, "rounds large numbers",
			              "INTEGER");
		break;
	case WBC_DOUBLE:
		if (affinity == AFFINITY_TEXT)
			error = bends(m, type, "takes no fractions", "REAL");
		break;
	case WBC_TEXT:
		if (!any)
			error = bends(m, type,
			              "makes numbers of texts that look like "
			              "one",
			              "TEXT");
		break;
	case WBC_JSON:
		/* Objects and arrays stay what they are in all of them. */
		if (!any && !has(type, "JSON"))
			error = bends(m, type,
			              "makes numbers of values that are one",
			              "TEXT");
		break;
	default:
		break;
	}
	if (!error && is_strict(db, table) && strcasecmp(type, "ANY") != 0)
		error = check_strict(column, type, affinity, m);
	return error;
}
