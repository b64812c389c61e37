/* SPDX-License-Identifier: MIT */
/* Copyright the wbcshm authors */

/* The rig's database, by connections that the flusher knows nothing of. */

#include "rig.h"

#include <sqlite3.h>
#include <stdio.h>

#include "tap/tap.h"

static sqlite3 *holder;

static sqlite3 *connect_to(const struct rig *r)
{
	sqlite3 *db;

	if (sqlite3_open(r->database, &db) != SQLITE_OK)
		tap_bail("%s: %s", r->database, sqlite3_errmsg(db));
	sqlite3_busy_timeout(db, RIG_PATIENCE_MS);
	return db;
}

static void run(sqlite3 *db, const char *sql)
{
	if (sqlite3_exec(db, sql, NULL, NULL, NULL) != SQLITE_OK)
		tap_bail("%s: %s", sql, sqlite3_errmsg(db));
}

void rig_sql(const struct rig *r, const char *sql)
{
	sqlite3 *db = connect_to(r);

	run(db, sql);
	sqlite3_close(db);
}

/* The first row of a question; ended by close_answer(). */
static sqlite3_stmt *ask(const struct rig *r, const char *sql)
{
	sqlite3 *db = connect_to(r);
	sqlite3_stmt *stmt;

	if (sqlite3_prepare_v2(db, sql, -1, &stmt, NULL) != SQLITE_OK ||
	    sqlite3_step(stmt) != SQLITE_ROW)
		tap_bail("%s: no answer: %s", sql, sqlite3_errmsg(db));
	return stmt;
}

static void close_answer(sqlite3_stmt *stmt)
{
	sqlite3 *db = sqlite3_db_handle(stmt);

	sqlite3_finalize(stmt);
	sqlite3_close(db);
}

int64_t rig_sql_int(const struct rig *r, const char *sql)
{
	sqlite3_stmt *stmt = ask(r, sql);
	int64_t value = sqlite3_column_int64(stmt, 0);

	close_answer(stmt);
	return value;
}

double rig_sql_double(const struct rig *r, const char *sql)
{
	sqlite3_stmt *stmt = ask(r, sql);
	double value = sqlite3_column_double(stmt, 0);

	close_answer(stmt);
	return value;
}

const char *rig_sql_text(const struct rig *r, const char *sql)
{
	static char text[1024];
	sqlite3_stmt *stmt = ask(r, sql);
	const unsigned char *value = sqlite3_column_text(stmt, 0);

	snprintf(text, sizeof(text), "%s",
	         value ? (const char *)value : "NULL");
	close_answer(stmt);
	return text;
}

void rig_sql_lock(const struct rig *r)
{
	holder = connect_to(r);
	run(holder, "BEGIN EXCLUSIVE");
}

void rig_sql_unlock(void)
{
	run(holder, "COMMIT");
	sqlite3_close(holder);
	holder = NULL;
}

void rig_sql_each(const struct rig *r, const char *sql, unsigned columns,
                  void (*fn)(void *arg, const int64_t *values), void *arg)
{
	int64_t values[RIG_COLUMNS_MAX];
	sqlite3 *db = connect_to(r);
	sqlite3_stmt *stmt;
	int rc;

	if (columns > RIG_COLUMNS_MAX)
		tap_bail("%s: %u columns are too many", sql, columns);
	if (sqlite3_prepare_v2(db, sql, -1, &stmt, NULL) != SQLITE_OK)
		tap_bail("%s: %s", sql, sqlite3_errmsg(db));
	while ((rc = sqlite3_step(stmt)) == SQLITE_ROW) {
		for (unsigned i = 0; i < columns; i++)
			values[i] = sqlite3_column_int64(stmt, (int)i);
		fn(arg, values);
	}
	if (rc != SQLITE_DONE)
		tap_bail("%s: %s", sql, sqlite3_errmsg(db));
	close_answer(stmt);
}
