/* SPDX-License-Identifier: MIT */
/* Copyright the wbcshm authors */

/*
 * The connection, the statements that every piece needs, and errors: what
 * another process or the disk does is AWAY, to be tried again; what does not
 * prepare is PARKED, for somebody to mend the schema; what a row's values do
 * is that row's dead letter.
 */

#include "sink_sqlite.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "points.h"

#define BUSY_MS 3000

static const char *const fixed_sql[FIXED_COUNT] = {
	"BEGIN IMMEDIATE",
	"BEGIN",
	"COMMIT",
	"ROLLBACK",
	"UPDATE wbc_ledger SET position=?3,mark=?4 WHERE journal=?1 AND tbl=?2 "
	"AND position=?3-1",
	"SELECT position,mark FROM wbc_ledger WHERE journal=?1 AND tbl=?2",
	"INSERT INTO wbc_ledger(journal,tbl,position) VALUES(?1,?2,0)",
	"INSERT INTO wbc_dead_letters(journal,tbl,piece,kind,key,content,code,"
	"reason,at) VALUES(?1,?2,?3,?4,?5,?6,?7,?8,"
	"strftime('%Y-%m-%dT%H:%M:%fZ','now'))",
	"SELECT count(*) FROM wbc_dead_letters WHERE journal=?1 AND tbl=?2 AND "
	"piece=?3",
	"SELECT count(*) FROM sqlite_master WHERE type='trigger' AND "
	"tbl_name=?1 COLLATE NOCASE",
	"PRAGMA schema_version",
};

/* code: SQLite's, or one of wbc_error.h or errno.h, which are negative. */
static const char *const set_up_sql[] = {
	"PRAGMA synchronous=FULL",
	"PRAGMA wal_autocheckpoint=20000",
	"CREATE TABLE IF NOT EXISTS wbc_ledger(journal TEXT, tbl TEXT, "
	"position INTEGER NOT NULL, mark INTEGER, "
	"PRIMARY KEY(journal, tbl)) WITHOUT ROWID",
	"CREATE TABLE IF NOT EXISTS wbc_dead_letters(id INTEGER PRIMARY KEY, "
	"tbl TEXT, piece INTEGER, kind TEXT, key TEXT, content TEXT, "
	"code INTEGER, reason TEXT, at TEXT, journal TEXT)",
};

enum verdict wbci_sqlite_refuse(struct wbci_sink *s, int code, const char *why)
{
	s->code = code;
	snprintf(s->why, sizeof(s->why), "%s", why);
	return STEP_REFUSED;
}

enum verdict wbci_sqlite_fail(struct wbci_sink *s, enum verdict v,
                              const char *what, const char *remedy)
{
	const struct wbci_message m = {s->work->reason,
	                               sizeof(s->work->reason)};

	wbci_say(&m, 0, "%s: %s%s%s", s->path, what, *remedy ? "; " : "",
	         remedy);
	return v;
}

enum verdict wbci_sqlite_no_memory(struct wbci_sink *s)
{
	return wbci_sqlite_fail(s, STEP_AWAY, "out of memory", "");
}

void wbci_sqlite_disconnect(struct wbci_sink *s)
{
	struct target *t;

	for (int i = 0; i < FIXED_COUNT; i++) {
		sqlite3_finalize(s->fixed[i]);
		s->fixed[i] = NULL;
	}
	while ((t = s->targets)) {
		s->targets = t->next;
		for (int i = 0; i < STATEMENTS; i++)
			sqlite3_finalize(t->statements[i].stmt);
		free(t);
	}
	sqlite3_close(s->db);
	s->db = NULL;
}

/* The primary code of an extended one. */
static int primary(int code)
{
	return code & 0xff;
}

/* An error that is nobody's row's. */
enum verdict wbci_sqlite_judge(struct wbci_sink *s, int code)
{
	const char *text = s->db ? sqlite3_errmsg(s->db) : sqlite3_errstr(code);

	s->broken =
		primary(code) != SQLITE_BUSY && primary(code) != SQLITE_LOCKED;
	switch (primary(code)) {
	case SQLITE_BUSY:
	case SQLITE_LOCKED:
		return wbci_sqlite_fail(s, STEP_AWAY, text,
		                        "somebody holds its lock; "
		                        "tried again until it is free");
	case SQLITE_FULL:
		return wbci_sqlite_fail(s, STEP_AWAY, text,
		                        "make room on its disk");
	case SQLITE_READONLY:
		return wbci_sqlite_fail(s, STEP_AWAY, text,
		                        "make it writable for the "
		                        "flusher");
	case SQLITE_ERROR:
		return wbci_sqlite_fail(
			s, STEP_PARKED, text,
			"create or mend it there; the rows stay in the "
			"journal until then");
	case SQLITE_NOTADB:
	case SQLITE_CORRUPT:
	case SQLITE_AUTH:
	case SQLITE_PERM:
	case SQLITE_CONSTRAINT:
		return wbci_sqlite_fail(s, STEP_PARKED, text,
		                        "mend it; the rows stay in "
		                        "the journal until then");
	default:
		return wbci_sqlite_fail(s, STEP_AWAY, text, "");
	}
}

/* Is it the statement that the database refuses, whatever the values? */
static bool still_prepares(struct wbci_sink *s, sqlite3_stmt *stmt)
{
	sqlite3_stmt *again = NULL;
	int code =
		sqlite3_prepare_v2(s->db, sqlite3_sql(stmt), -1, &again, NULL);

	sqlite3_finalize(again);
	return code == SQLITE_OK;
}

/* An error of a row's statement, which is reset by now. */
enum verdict wbci_sqlite_judge_row(struct wbci_sink *s, sqlite3_stmt *stmt,
                                   int code)
{
	char why[sizeof(s->why)];

	snprintf(why, sizeof(why), "%s", sqlite3_errmsg(s->db));
	switch (primary(code)) {
	case SQLITE_CONSTRAINT:
	case SQLITE_MISMATCH:
	case SQLITE_TOOBIG:
	case SQLITE_RANGE:
		break;
	case SQLITE_ERROR:
		if (!still_prepares(s, stmt))
			return wbci_sqlite_judge(s, SQLITE_ERROR);
		break;
	default:
		return wbci_sqlite_judge(s, code);
	}
	wbci_sqlite_refuse(s, code, why);
	return sqlite3_get_autocommit(s->db) ? STEP_AGAIN : STEP_REFUSED;
}

int wbci_sqlite_prepare(struct wbci_sink *s, const char *sql,
                        sqlite3_stmt **stmt)
{
	return sqlite3_prepare_v3(s->db, sql, -1, SQLITE_PREPARE_PERSISTENT,
	                          stmt, NULL);
}

static int exec(struct wbci_sink *s, const char *sql)
{
	return sqlite3_exec(s->db, sql, NULL, NULL, NULL);
}

static int set_up(struct wbci_sink *s)
{
	int code = exec(s, "PRAGMA journal_mode=WAL");

	for (size_t i = 0; i < sizeof(set_up_sql) / sizeof(set_up_sql[0]); i++)
		if (code == SQLITE_OK)
			code = exec(s, set_up_sql[i]);
	for (int i = 0; i < FIXED_COUNT && code == SQLITE_OK; i++)
		code = wbci_sqlite_prepare(s, fixed_sql[i], &s->fixed[i]);
	return code;
}

/*
 * RETURNING has a table of its own for each statement, whose pages would be
 * allocated twenty at a time.  Once, and for all threads: none may configure
 * while another one opens.
 */
static pthread_once_t configured = PTHREAD_ONCE_INIT;

static void configure(void)
{
	sqlite3_config(SQLITE_CONFIG_PAGECACHE, NULL, 0, 0);
	sqlite3_initialize();
}

void wbci_sqlite_begin(void)
{
	pthread_once(&configured, configure);
}

static enum verdict connect_file(struct wbci_sink *s, const struct stat *st)
{
	enum verdict v;
	int code;

	/* Never creates the file: a wrong path must not look like a right
	 * one. */
	wbci_sqlite_begin();
	code = sqlite3_open_v2(s->path, &s->db,
	                       SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX |
	                               SQLITE_OPEN_PRIVATECACHE,
	                       NULL);
	if (code == SQLITE_OK) {
		sqlite3_extended_result_codes(s->db, 1);
		/* A quoted name that no column has is an error, not a text. */
		sqlite3_db_config(s->db, SQLITE_DBCONFIG_DQS_DML, 0, NULL);
		sqlite3_busy_timeout(s->db, BUSY_MS);
		if (sqlite3_db_readonly(s->db, "main") == 1)
			code = SQLITE_READONLY;
		else
			code = set_up(s);
	}
	if (code == SQLITE_OK) {
		s->dev = st->st_dev;
		s->ino = st->st_ino;
		wbci_point(POINT_LEDGER_MADE);
		return STEP_OK;
	}
	if (code == SQLITE_READONLY)
		v = wbci_sqlite_fail(s, STEP_AWAY, "the database is read-only",
		                     "make it writable for the flusher");
	else
		v = wbci_sqlite_judge(s, code);
	wbci_sqlite_disconnect(s);
	return v;
}

/* Connected to the file that has the name now. */
enum verdict wbci_sqlite_connect(struct wbci_sink *s)
{
	struct stat st;

	if (stat(s->path, &st) < 0) {
		const char *remedy =
			errno == ENOENT ? "create the database and its tables "
					  "first"
					: "";

		wbci_sqlite_fail(s, STEP_AWAY, strerror(errno), remedy);
		wbci_sqlite_disconnect(s);
		return STEP_AWAY;
	}
	if (s->broken ||
	    (s->db && (st.st_dev != s->dev || st.st_ino != s->ino)))
		wbci_sqlite_disconnect(s);
	s->broken = false;
	return s->db ? STEP_OK : connect_file(s, &st);
}

/* The ledger's and the letters' statements all begin with these. */
sqlite3_stmt *wbci_sqlite_bind(struct wbci_sink *s, enum fixed which)
{
	sqlite3_stmt *stmt = s->fixed[which];

	sqlite3_bind_text(stmt, 1, s->work->journal, -1, SQLITE_STATIC);
	sqlite3_bind_text(stmt, 2, s->work->table, -1, SQLITE_STATIC);
	return stmt;
}

/* Step a statement without rows of its own, and reset it. */
int wbci_sqlite_run(struct wbci_sink *s, enum fixed which)
{
	sqlite3_step(s->fixed[which]);
	return sqlite3_reset(s->fixed[which]);
}

/* The first @n columns of the only row, if there is one. */
enum verdict wbci_sqlite_ask(struct wbci_sink *s, sqlite3_stmt *stmt,
                             bool *found, int64_t *values, int n)
{
	int code = sqlite3_step(stmt);

	*found = code == SQLITE_ROW;
	for (int i = 0; i < n && *found; i++)
		values[i] = sqlite3_column_int64(stmt, i);
	code = sqlite3_reset(stmt);
	return code == SQLITE_OK ? STEP_OK : wbci_sqlite_judge(s, code);
}
