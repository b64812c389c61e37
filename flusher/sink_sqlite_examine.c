/* SPDX-License-Identifier: MIT */
/* Copyright the wbcshm authors */

/*
 * Does the database have what a table was declared with?  Looked at through
 * a connection that cannot write, so nothing is changed and nobody's lock is
 * in the way for long.
 *
 * What is found is advice: a table that does not fit is parked, or its rows
 * refused, when it is written to.
 */

#include "sink_sqlite.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#define LOOK_MS 1000

/* One look at one table. */
struct look {
	sqlite3 *db;
	const struct wbci_schema *schema;
	wbci_examine_fn *say;
	void *arg;
	int found;
	/* the columns of a primary key, and of a unique index, are ours */
	bool unique;
};

/* A column in the catalogue. */
struct seen {
	char name[256];
	char type[64];
	bool not_null;
	bool has_default;
	bool generated;
	int key; /* place in the primary key, from 1, or 0 */
};

__attribute__((format(printf, 2, 3))) static void tell(struct look *l,
                                                       const char *format, ...)
{
	char words[320];
	va_list args;

	va_start(args, format);
	vsnprintf(words, sizeof(words), format, args);
	va_end(args);
	l->say(l->arg, words);
	l->found++;
}

static sqlite3_stmt *prepare(struct look *l, const char *sql, const char *name)
{
	sqlite3_stmt *stmt = NULL;

	if (sqlite3_prepare_v2(l->db, sql, -1, &stmt, NULL) != SQLITE_OK ||
	    sqlite3_bind_text(stmt, 1, name, -1, SQLITE_TRANSIENT) !=
	            SQLITE_OK) {
		tell(l, "cannot be looked at: %s", sqlite3_errmsg(l->db));
		sqlite3_finalize(stmt);
		return NULL;
	}
	return stmt;
}

static const char *text_of(sqlite3_stmt *stmt, int column)
{
	const char *text = (const char *)sqlite3_column_text(stmt, column);

	return text ? text : "";
}

/* Databases fold the case of names. */
static const struct wbci_column *declared(const struct wbci_schema *s,
                                          const char *name)
{
	for (unsigned i = 0; i < s->n_columns; i++)
		if (!strcasecmp(s->columns[i].name, name))
			return &s->columns[i];
	return NULL;
}

static void check_type(struct look *l, const struct wbci_column *c,
                       const struct seen *seen)
{
	const char *table = l->schema->name;
	char why[256];
	const struct wbci_message m = {why, sizeof(why)};

	if (c->role == ROLE_KEY) {
		if (wbci_sqlite_check_key(l->db, "key", table, c, &m))
			tell(l, "%s", why);
		return;
	}
	if (wbci_sqlite_check_type(l->db, table, c, seen->type, &m))
		tell(l, "column %s %s", c->name, why);
}

/* Rows that we insert have nothing in a column that was not declared. */
static bool is_inserted(const struct wbci_schema *s)
{
	return s->on_missing == ON_MISSING_INSERT || !s->n_cells;
}

static void check_column(struct look *l, const struct seen *seen,
                         uint64_t *found)
{
	const struct wbci_column *c = declared(l->schema, seen->name);

	if (!c) {
		/* INTEGER PRIMARY KEY numbers itself. */
		if (seen->not_null && !seen->has_default && !seen->key &&
		    !seen->generated && is_inserted(l->schema))
			tell(l,
			     "column %s is NOT NULL without a DEFAULT, and "
			     "not declared: new rows would be refused; "
			     "declare it, or give it a DEFAULT",
			     seen->name);
		return;
	}
	*found |= UINT64_C(1) << (c - l->schema->columns);
	if (seen->generated)
		tell(l,
		     "column %s is generated and cannot be written; leave it "
		     "out of the declaration",
		     seen->name);
	else
		check_type(l, c, seen);
}

static bool next_column(sqlite3_stmt *stmt, struct seen *seen)
{
	if (sqlite3_step(stmt) != SQLITE_ROW)
		return false;
	snprintf(seen->name, sizeof(seen->name), "%s", text_of(stmt, 0));
	snprintf(seen->type, sizeof(seen->type), "%s", text_of(stmt, 1));
	seen->not_null = sqlite3_column_int(stmt, 2);
	seen->has_default = sqlite3_column_type(stmt, 3) != SQLITE_NULL;
	seen->key = sqlite3_column_int(stmt, 4);
	seen->generated = sqlite3_column_int(stmt, 5) > 1;
	return true;
}

static void check_columns(struct look *l)
{
	const struct wbci_schema *s = l->schema;
	sqlite3_stmt *stmt = prepare(l,
	                             "SELECT name,type,\"notnull\",dflt_value,"
	                             "pk,hidden FROM pragma_table_xinfo(?1)",
	                             s->name);
	uint64_t found = 0;
	bool all_ours = true, any = false;
	struct seen seen;

	while (stmt && next_column(stmt, &seen)) {
		const struct wbci_column *c = declared(s, seen.name);

		check_column(l, &seen, &found);
		if (!seen.key)
			continue;
		any = true;
		all_ours &= c && c->role == ROLE_KEY;
	}
	sqlite3_finalize(stmt);
	l->unique |= any && all_ours;
	for (unsigned i = 0; i < s->n_columns; i++)
		if (!(found >> i & 1))
			tell(l, "column %s is missing in the database",
			     s->columns[i].name);
}

/* Are all columns of an index key columns of ours? */
static bool is_covered(struct look *l, const char *index)
{
	sqlite3_stmt *stmt =
		prepare(l, "SELECT name FROM pragma_index_info(?1)", index);
	bool covered = stmt != NULL;

	while (covered && sqlite3_step(stmt) == SQLITE_ROW) {
		const struct wbci_column *c =
			declared(l->schema, text_of(stmt, 0));

		/* An expression has no name. */
		covered = c && c->role == ROLE_KEY;
	}
	sqlite3_finalize(stmt);
	return covered;
}

static void check_unique(struct look *l)
{
	sqlite3_stmt *stmt;

	if (!l->schema->n_keys || l->unique)
		return;
	stmt = prepare(l,
	               "SELECT name FROM pragma_index_list(?1) "
	               "WHERE \"unique\" AND NOT partial",
	               l->schema->name);
	while (stmt && !l->unique && sqlite3_step(stmt) == SQLITE_ROW)
		l->unique = is_covered(l, text_of(stmt, 0));
	sqlite3_finalize(stmt);
	if (!l->unique)
		tell(l, "its key columns are covered by no PRIMARY KEY or "
		        "UNIQUE index, so that several rows may have one key; "
		        "create one");
}

/* "table", "view", or NULL: there is none, or the database cannot be read. */
static const char *kind_of(struct look *l, char kind[16])
{
	sqlite3_stmt *stmt = prepare(l,
	                             "SELECT type FROM sqlite_master WHERE "
	                             "name=?1 COLLATE NOCASE AND type IN "
	                             "('table','view')",
	                             l->schema->name);
	int code;

	if (!stmt)
		return NULL;
	code = sqlite3_step(stmt);
	if (code == SQLITE_ROW)
		snprintf(kind, 16, "%s", text_of(stmt, 0));
	else if (code == SQLITE_DONE)
		tell(l, "the database has no such table; create it there");
	else
		tell(l, "cannot be looked at: %s", sqlite3_errmsg(l->db));
	sqlite3_finalize(stmt);
	return code == SQLITE_ROW ? kind : NULL;
}

static void check_table(struct look *l)
{
	char kind[16];

	if (!kind_of(l, kind))
		return;
	check_columns(l);
	if (!strcmp(kind, "table"))
		check_unique(l);
	else
		tell(l, "it is a view; name the table behind it");
}

/* Whatever is wrong with the file itself. */
static int open_there(struct look *l, const char *where)
{
	if (access(where, F_OK) < 0) {
		tell(l, "%s: %s; create the database and its tables first",
		     where, strerror(errno));
		return -1;
	}
	wbci_sqlite_begin();
	if (sqlite3_open_v2(where, &l->db,
	                    SQLITE_OPEN_READONLY | SQLITE_OPEN_NOMUTEX |
	                            SQLITE_OPEN_PRIVATECACHE,
	                    NULL) != SQLITE_OK ||
	    sqlite3_busy_timeout(l->db, LOOK_MS) != SQLITE_OK ||
	    sqlite3_exec(l->db, "SELECT count(*) FROM sqlite_master", NULL,
	                 NULL, NULL) != SQLITE_OK) {
		tell(l, "%s: %s", where, sqlite3_errmsg(l->db));
		return -1;
	}
	return 0;
}

int wbci_sqlite_examine(const char *where, const struct wbci_schema *schema,
                        wbci_examine_fn *say, void *arg)
{
	struct look l = {.schema = schema, .say = say, .arg = arg};
	int error = open_there(&l, where);

	if (!error && schema)
		check_table(&l);
	else if (!error && access(where, W_OK) < 0)
		tell(&l, "%s: %s for user %u; make it writable for the flusher",
		     where, strerror(errno), (unsigned)geteuid());
	sqlite3_close(l.db);
	return error ? error : l.found;
}
