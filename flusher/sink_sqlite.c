/* SPDX-License-Identifier: MIT */
/* Copyright the wbcshm authors */

/*
 * The SQLite sink: see sink.h for the contract.
 *
 * One connection, WAL, synchronous FULL; one prepared statement per row.
 * SQLite undoes a statement that fails and leaves the transaction as it was,
 * so a row that is refused becomes a dead letter in the same transaction and
 * the rows beside it are written.  Where the whole transaction is gone (a
 * trigger's or a constraint's ROLLBACK) the piece is done again, and the row
 * whose fault it was is not tried any more.
 *
 * Errors: what another process or the disk does is AWAY, to be tried again;
 * what does not prepare is PARKED, for somebody to mend the schema; what a
 * row's values do is that row's dead letter.
 */

#include "sink.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "../api/wbc_error.h"
#include "../shm/cell.h"
#include "../shm/key.h"
#include "../shm/record.h"
#include "frame.h"
#include "letter.h"
#include "points.h"
#include "sink_sqlite.h"
#include "sql.h"

#define BUSY_MS 3000
#define STATEMENTS 48
#define POISON_MAX 256

/* A prepared statement for rows of a table. */
struct statement {
	sqlite3_stmt *stmt; /* NULL: a free place */
	enum wbci_sql kind;
	uint64_t columns;
	uint64_t used; /* when, to know the oldest */
};

/* A table with its statements. */
struct target {
	struct target *next;
	char table[WBCI_TABLE_NAME];
	uint64_t spec_hash;
	bool checked;    /* its keys are told apart, as of: */
	int64_t version; /* of the database's schema */
	struct statement statements[STATEMENTS];
};

enum fixed {
	FIXED_BEGIN,
	FIXED_COMMIT,
	FIXED_ROLLBACK,
	FIXED_GATE,
	FIXED_POSITION,
	FIXED_LEDGER,
	FIXED_LETTER,
	FIXED_LETTERS,
	FIXED_TRIGGERS,
	FIXED_VERSION,
	FIXED_COUNT
};
static const char *const fixed_sql[FIXED_COUNT] = {
	"BEGIN IMMEDIATE",
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
	"position INTEGER NOT NULL, mark INTEGER, PRIMARY KEY(journal, tbl)) WITHOUT ROWID",
	"CREATE TABLE IF NOT EXISTS wbc_dead_letters(id INTEGER PRIMARY KEY, "
	"tbl TEXT, piece INTEGER, kind TEXT, key TEXT, content TEXT, "
	"code INTEGER, reason TEXT, at TEXT, journal TEXT)",
};

/* A row that takes the whole transaction with it when it is tried. */
struct poison {
	uint64_t item;
	int code;
	char why[128];
};

struct wbci_sink {
	char *path;
	sqlite3 *db; /* NULL: not connected */
	dev_t dev;
	ino_t ino;
	sqlite3_stmt *fixed[FIXED_COUNT];
	struct target *targets;
	uint64_t clock;

	/* of the piece being applied */
	struct wbci_work *work;
	struct target *target;
	bool upsert;   /* the table takes upserts */
	bool triggers; /* RETURNING does not know what they did */
	uint64_t item; /* inserts, then rows, counted from 0 */
	struct poison *poison;
	unsigned n_poison;
	bool broken; /* connect anew before the next work */
	int code;    /* why the row is refused */
	char why[128];
};

/* What became of one step. */
enum verdict {
	STEP_OK,
	STEP_REFUSED, /* this row; sink->code and sink->why say why */
	STEP_AGAIN,   /* the piece, without this row */
	STEP_AWAY,    /* work->reason says why */
	STEP_PARKED   /* likewise */
};

static enum wbci_outcome outcome_of(enum verdict v)
{
	return v == STEP_PARKED ? OUTCOME_PARKED : OUTCOME_AWAY;
}

static enum verdict refuse(struct wbci_sink *s, int code, const char *why)
{
	s->code = code;
	snprintf(s->why, sizeof(s->why), "%s", why);
	return STEP_REFUSED;
}

static enum verdict fail(struct wbci_sink *s, enum verdict v, const char *what,
                         const char *remedy)
{
	const struct wbci_message m = {s->work->reason,
	                               sizeof(s->work->reason)};

	wbci_say(&m, 0, "%s: %s%s%s", s->path, what, *remedy ? "; " : "",
	         remedy);
	return v;
}

static enum verdict no_memory(struct wbci_sink *s)
{
	return fail(s, STEP_AWAY, "out of memory", "");
}

static void disconnect(struct wbci_sink *s)
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
static enum verdict judge(struct wbci_sink *s, int code)
{
	const char *text = s->db ? sqlite3_errmsg(s->db) : sqlite3_errstr(code);

	s->broken =
		primary(code) != SQLITE_BUSY && primary(code) != SQLITE_LOCKED;
	switch (primary(code)) {
	case SQLITE_BUSY:
	case SQLITE_LOCKED:
		return fail(s, STEP_AWAY, text,
		            "somebody holds its lock; "
		            "tried again until it is free");
	case SQLITE_FULL:
		return fail(s, STEP_AWAY, text, "make room on its disk");
	case SQLITE_READONLY:
		return fail(s, STEP_AWAY, text,
		            "make it writable for the "
		            "flusher");
	case SQLITE_ERROR:
		return fail(s, STEP_PARKED, text,
		            "create or mend it there; the rows stay in the "
		            "journal until then");
	case SQLITE_NOTADB:
	case SQLITE_CORRUPT:
	case SQLITE_AUTH:
	case SQLITE_PERM:
	case SQLITE_CONSTRAINT:
		return fail(s, STEP_PARKED, text,
		            "mend it; the rows stay in "
		            "the journal until then");
	default:
		return fail(s, STEP_AWAY, text, "");
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
static enum verdict judge_row(struct wbci_sink *s, sqlite3_stmt *stmt, int code)
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
			return judge(s, SQLITE_ERROR);
		break;
	default:
		return judge(s, code);
	}
	refuse(s, code, why);
	return sqlite3_get_autocommit(s->db) ? STEP_AGAIN : STEP_REFUSED;
}

static int prepare(struct wbci_sink *s, const char *sql, sqlite3_stmt **stmt)
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
		code = prepare(s, fixed_sql[i], &s->fixed[i]);
	return code;
}

static enum verdict connect_file(struct wbci_sink *s, const struct stat *st)
{
	enum verdict v;
	int code;

	/* Never creates the file: a wrong path must not look like a right
	 * one. */
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
		v = fail(s, STEP_AWAY, "the database is read-only",
		         "make it writable for the flusher");
	else
		v = judge(s, code);
	disconnect(s);
	return v;
}

/* Connected to the file that has the name now. */
static enum verdict connect_now(struct wbci_sink *s)
{
	struct stat st;

	if (stat(s->path, &st) < 0) {
		const char *remedy =
			errno == ENOENT ? "create the database and its tables "
					  "first"
					: "";

		fail(s, STEP_AWAY, strerror(errno), remedy);
		disconnect(s);
		return STEP_AWAY;
	}
	if (s->broken ||
	    (s->db && (st.st_dev != s->dev || st.st_ino != s->ino)))
		disconnect(s);
	s->broken = false;
	return s->db ? STEP_OK : connect_file(s, &st);
}

/* The ledger's and the letters' statements all begin with these. */
static sqlite3_stmt *bind_work(struct wbci_sink *s, enum fixed which)
{
	sqlite3_stmt *stmt = s->fixed[which];

	sqlite3_bind_text(stmt, 1, s->work->journal, -1, SQLITE_STATIC);
	sqlite3_bind_text(stmt, 2, s->work->table, -1, SQLITE_STATIC);
	return stmt;
}

/* Step a statement without rows of its own, and reset it. */
static int run_fixed(struct wbci_sink *s, enum fixed which)
{
	sqlite3_step(s->fixed[which]);
	return sqlite3_reset(s->fixed[which]);
}

/* The first @n columns of the only row, if there is one. */
static enum verdict ask(struct wbci_sink *s, sqlite3_stmt *stmt, bool *found,
                        int64_t *values, int n)
{
	int code = sqlite3_step(stmt);

	*found = code == SQLITE_ROW;
	for (int i = 0; i < n && *found; i++)
		values[i] = sqlite3_column_int64(stmt, i);
	code = sqlite3_reset(stmt);
	return code == SQLITE_OK ? STEP_OK : judge(s, code);
}

/* Where a table's ledger stands. */
struct position {
	bool found;
	int64_t piece;
	uint64_t mark;
};

static enum verdict ask_position(struct wbci_sink *s, struct position *p)
{
	int64_t values[2] = {0, 0};
	enum verdict v =
		ask(s, bind_work(s, FIXED_POSITION), &p->found, values, 2);

	p->piece = values[0];
	p->mark = (uint64_t)values[1];
	return v;
}

static enum verdict park_position(struct wbci_sink *s, const struct position *p)
{
	struct wbci_work *w = s->work;
	const struct wbci_message m = {w->reason, sizeof(w->reason)};

	if (!p->found)
		wbci_say(&m, 0,
		         "%s: its ledger has no position of table %s, but this "
		         "journal has applied %" PRIu64 " pieces: it is "
		         "another database; name the right one",
		         s->path, w->table, w->done);
	else if (p->piece < 0 || (uint64_t)p->piece < w->done)
		wbci_say(&m, 0,
		         "%s: has pieces up to %" PRId64 " of table %s, the "
		         "journal gave it %" PRIu64 ": what is between is "
		         "missing; restore the database of that time",
		         s->path, p->piece, w->table, w->done);
	else if (w->piece && (uint64_t)p->piece == w->piece)
		wbci_say(&m, 0,
		         "%s: has piece %" PRId64 " of table %s from another "
		         "copy of this journal: only one may be used; begin "
		         "anew with a segment and a journal",
		         s->path, p->piece, w->table);
	else
		wbci_say(&m, 0,
		         "%s: has pieces up to %" PRId64 " of table %s, the "
		         "journal knows of %" PRIu64 " only: the journal is "
		         "an old copy; restore the right one",
		         s->path, p->piece, w->table, w->done);
	return STEP_PARKED;
}

/* Has the database got the piece at hand?  By its number and its mark. */
static bool is_applied(const struct wbci_work *w, const struct position *p)
{
	return w->piece && (uint64_t)p->piece == w->piece && p->mark == w->mark;
}

/* The ledger's row, made and committed if this is the first piece ever. */
static enum verdict see_ledger(struct wbci_sink *s, struct position *p)
{
	struct wbci_work *w = s->work;
	enum verdict v = ask_position(s, p);
	int code;

	if (v != STEP_OK)
		return v;
	if (!p->found && w->done)
		return park_position(s, p);
	if (!p->found) {
		bind_work(s, FIXED_LEDGER);
		code = run_fixed(s, FIXED_LEDGER);
		if (code != SQLITE_OK)
			return judge(s, code);
		wbci_point(POINT_LEDGER_ROW);
		p->found = true;
		p->piece = 0;
	}
	if ((p->piece >= 0 && (uint64_t)p->piece == w->done) ||
	    is_applied(w, p))
		return STEP_OK;
	return park_position(s, p);
}

static struct target *find_target(struct wbci_sink *s)
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
static enum verdict find_statement(struct wbci_sink *s, enum wbci_sql kind,
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
		return no_memory(s);
	sqlite3_finalize(oldest->stmt);
	memset(oldest, 0, sizeof(*oldest));
	code = prepare(s, sql, &oldest->stmt);
	free(sql);
	if (code != SQLITE_OK)
		return judge(s, code);
	oldest->kind = kind;
	oldest->columns = columns;
	oldest->used = ++s->clock;
	*stmt = oldest->stmt;
	return STEP_OK;
}

static void bind_value(sqlite3_stmt *stmt, int at, const struct wbc_value *v)
{
	switch (v->type) {
	case WBC_INT64:
		sqlite3_bind_int64(stmt, at, v->v.i);
		break;
	case WBC_DOUBLE:
		sqlite3_bind_double(stmt, at, v->v.d);
		break;
	case WBC_TEXT:
		sqlite3_bind_text64(stmt, at, v->v.p, v->bytes, SQLITE_STATIC,
		                    SQLITE_UTF8);
		break;
	case WBC_BLOB:
		sqlite3_bind_blob64(stmt, at, v->v.p, v->bytes, SQLITE_STATIC);
		break;
	default:
		sqlite3_bind_null(stmt, at);
		break;
	}
}

/* A row's key and deltas, ready to be bound. */
struct change {
	const struct wbci_row *row;
	uint64_t cells; /* those that change */
	struct wbc_value keys[WBC_COLUMNS_MAX];
	unsigned char text[WBC_KEY_MAX];
	struct wbci_answer *answers;
	bool found; /* the last statement answered with a row */
	bool seen;  /* by SELECT, and nothing has changed it since */
};

static int bind_deltas(struct wbci_sink *s, sqlite3_stmt *stmt,
                       const struct change *c)
{
	const struct wbci_rowset *rs = &s->work->rows;
	int at = 1;

	for (unsigned i = 0; i < rs->schema.n_cells; i++) {
		if (!(c->cells >> i & 1))
			continue;
		if (rs->doubles >> i & 1)
			sqlite3_bind_double(stmt, at++,
			                    wbci_double_of(c->row->delta[i]));
		else
			sqlite3_bind_int64(stmt, at++,
			                   (int64_t)c->row->delta[i]);
	}
	return at;
}

static void read_answers(struct wbci_sink *s, sqlite3_stmt *stmt,
                         struct wbci_answer *answers)
{
	const struct wbci_rowset *rs = &s->work->rows;

	for (unsigned i = 0; i < rs->schema.n_cells; i++) {
		int type = sqlite3_column_type(stmt, (int)i);
		struct wbci_answer *a = &answers[i];

		a->state = VALUE_NUMBER;
		if (rs->doubles >> i & 1)
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
	uint64_t cells = kind == SQL_SELECT ? 0 : c->cells;
	sqlite3_stmt *stmt;
	enum verdict v = find_statement(s, kind, cells, &stmt);
	bool several = false;
	int at = 1;
	int code;

	if (v != STEP_OK)
		return v;
	if (cells)
		at = bind_deltas(s, stmt, c);
	for (unsigned i = 0; i < s->work->rows.schema.n_keys; i++)
		bind_value(stmt, at++, &c->keys[i]);
	c->found = false;
	while ((code = sqlite3_step(stmt)) == SQLITE_ROW) {
		if (c->found)
			several = true;
		else
			read_answers(s, stmt, c->answers);
		c->found = true;
	}
	s->work->statements += kind != SQL_SELECT;
	code = sqlite3_reset(stmt);
	if (code != SQLITE_OK)
		return judge_row(s, stmt, code);
	return several ? fail(s, STEP_PARKED,
	                      "the key columns name several rows of the table",
	                      "make them unique")
	               : STEP_OK;
}

/* The values of a row that stays as it is. */
static enum verdict see_row(struct wbci_sink *s, struct change *c)
{
	enum verdict v = c->seen ? STEP_OK : run_change(s, SQL_SELECT, c);

	c->seen = v == STEP_OK;
	if (v == STEP_OK && !c->found)
		for (unsigned i = 0; i < s->work->rows.schema.n_cells; i++)
			c->answers[i].state = VALUE_NOROW;
	return v;
}

/* Why an UPDATE changed nothing in a row that is there. */
static const char *why_unchanged(struct wbci_sink *s, const struct change *c)
{
	const struct wbci_rowset *rs = &s->work->rows;

	for (unsigned i = 0; i < rs->schema.n_cells; i++) {
		const struct wbci_answer *a = &c->answers[i];
		int64_t sum;

		if (!(c->cells >> i & 1))
			continue;
		if (a->state == VALUE_UNKNOWN)
			return "the column of a counter holds no integer; make "
			       "it one, or declare a double counter";
		if (rs->doubles >> i & 1
		            ? !isfinite(wbci_double_of(a->bits) +
		                        wbci_double_of(c->row->delta[i]))
		            : __builtin_add_overflow((int64_t)a->bits,
		                                     (int64_t)c->row->delta[i],
		                                     &sum))
			return "the sum is out of the range of the column's "
			       "type";
	}
	return "the database has left the row as it was; a trigger?";
}

/* UPDATE hit no row: is there none, or was it left as it is? */
static enum verdict no_row_changed(struct wbci_sink *s, struct change *c)
{
	enum verdict v = see_row(s, c);

	if (v != STEP_OK)
		return v;
	if (c->found)
		return refuse(s, -ERANGE, why_unchanged(s, c));
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
		return refuse(s, WBC_E_NOROW,
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
	return refuse(s, code, why);
}

static enum verdict bury(struct wbci_sink *s, const char *kind, const char *key,
                         const char *content)
{
	sqlite3_stmt *stmt = bind_work(s, FIXED_LETTER);
	struct wbci_work *w = s->work;
	const struct wbci_message m = {w->reason, sizeof(w->reason)};
	int code;

	if (!key || !content)
		return no_memory(s);
	sqlite3_bind_int64(stmt, 3, (int64_t)w->piece);
	sqlite3_bind_text(stmt, 4, kind, -1, SQLITE_STATIC);
	sqlite3_bind_text(stmt, 5, key, -1, SQLITE_STATIC);
	sqlite3_bind_text(stmt, 6, content, -1, SQLITE_STATIC);
	sqlite3_bind_int(stmt, 7, s->code);
	sqlite3_bind_text(stmt, 8, s->why, -1, SQLITE_STATIC);
	code = run_fixed(s, FIXED_LETTER);
	sqlite3_clear_bindings(stmt);
	if (code != SQLITE_OK)
		return judge(s, code);
	w->refused++;
	wbci_say(&m, 0, "refused: %s; key %.60s; see wbc_dead_letters in %s",
	         s->why, key, s->path);
	return STEP_OK;
}

static enum verdict bury_change(struct wbci_sink *s, struct change *c,
                                bool readable)
{
	const struct wbci_rowset *rs = &s->work->rows;
	struct wbc_value raw =
		wbc_blob("key", wbci_row_key(rs, c->row), c->row->key_len);
	char *key = readable ? wbci_letter_json(c->keys, rs->schema.n_keys)
	                     : wbci_letter_json(&raw, 1);
	char *content = wbci_letter_deltas(rs, c->row);
	enum verdict v = bury(s, "add", key, content);

	free(key);
	free(content);
	return v;
}

/* Was this item found to take the transaction with it? */
static bool is_poison(struct wbci_sink *s)
{
	for (unsigned i = 0; i < s->n_poison; i++)
		if (s->poison[i].item == s->item) {
			refuse(s, s->poison[i].code, s->poison[i].why);
			return true;
		}
	return false;
}

static enum verdict change_row(struct wbci_sink *s, uint64_t at)
{
	const struct wbci_rowset *rs = &s->work->rows;
	struct change c = {.row = rs->rows[at]};
	uint64_t ignored = s->work->ignored;
	bool readable;
	enum verdict v;

	c.answers = s->work->answers + at * rs->schema.n_cells;
	for (unsigned i = 0; i < rs->schema.n_cells; i++)
		if (!wbci_delta_zero(rs->doubles >> i & 1, c.row->delta[i]))
			c.cells |= UINT64_C(1) << i;
	readable = !wbci_key_decode(&rs->schema, wbci_row_key(rs, c.row),
	                            c.row->key_len, c.keys, c.text);
	if (!readable)
		v = refuse(s, WBC_E_CORRUPT,
		           "its key is not one of this "
		           "table");
	else if (s->n_poison && is_poison(s))
		v = STEP_REFUSED;
	else
		v = s->upsert ? upsert_row(s, &c) : update_row(s, &c);
	if (v != STEP_REFUSED) {
		s->work->applied += v == STEP_OK && s->work->ignored == ignored;
		return v == STEP_OK && s->triggers ? see_row(s, &c) : v;
	}
	/* What the row has now, so that readers stop seeing the refused. */
	v = bury_change(s, &c, readable);
	return v == STEP_OK && readable ? see_row(s, &c) : v;
}

static enum verdict bury_insert(struct wbci_sink *s,
                                const struct wbc_value *values, int n)
{
	const struct wbci_schema *schema = &s->work->rows.schema;
	struct wbc_value keys[WBC_COLUMNS_MAX];
	unsigned n_keys = 0;
	char *key, *content;
	enum verdict v;

	n = n < 0 ? 0 : n;
	for (int i = 0; i < n; i++) {
		int column = wbci_schema_column(schema, values[i].name);

		if (column >= 0 && schema->columns[column].role == ROLE_KEY)
			keys[n_keys++] = values[i];
	}
	key = wbci_letter_json(keys, n_keys);
	content = wbci_letter_json(values, (unsigned)n);
	v = bury(s, "insert", key, content);
	free(key);
	free(content);
	return v;
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
	v = find_statement(s, SQL_INSERT, set, &stmt);
	if (v != STEP_OK)
		return v;
	for (int i = 0; i < n; i++) {
		uint64_t below = set & ((UINT64_C(1) << columns[i]) - 1);

		bind_value(stmt, __builtin_popcountll(below) + 1, &values[i]);
	}
	sqlite3_step(stmt);
	s->work->statements++;
	code = sqlite3_reset(stmt);
	return code == SQLITE_OK ? STEP_OK : judge_row(s, stmt, code);
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
		v = refuse(s, WBC_E_CORRUPT,
		           "its record is not one of this "
		           "table");
	else if (s->n_poison && is_poison(s))
		v = STEP_REFUSED;
	else
		v = run_insert(s, values, columns, n);
	if (v == STEP_REFUSED)
		return bury_insert(s, values, n);
	s->work->inserted += v == STEP_OK;
	return v;
}

static enum verdict write_rows(struct wbci_sink *s)
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

/* Applied by somebody who died: only its answers are still wanted. */
static enum verdict read_back(struct wbci_sink *s)
{
	const struct wbci_rowset *rs = &s->work->rows;
	int64_t letters = 0;
	sqlite3_stmt *stmt = bind_work(s, FIXED_LETTERS);
	enum verdict v;
	bool found;

	sqlite3_bind_int64(stmt, 3, (int64_t)s->work->piece);
	v = ask(s, stmt, &found, &letters, 1);
	for (uint64_t i = 0; i < rs->n_rows && v == STEP_OK; i++) {
		struct change c = {.row = rs->rows[i]};

		c.answers = s->work->answers + i * rs->schema.n_cells;
		if (!wbci_key_decode(&rs->schema, wbci_row_key(rs, c.row),
		                     c.row->key_len, c.keys, c.text))
			v = see_row(s, &c);
		/* Its row was refused: what it has is what we may say. */
		if (v == STEP_REFUSED)
			v = STEP_OK;
	}
	s->work->refused = (uint64_t)letters;
	return v;
}

/* Upserts need a unique index on just these keys, and would fire the triggers
 * of an INSERT for rows that are there. */
static enum verdict choose_upsert(struct wbci_sink *s)
{
	const struct wbci_schema *schema = &s->work->rows.schema;
	sqlite3_stmt *stmt = s->fixed[FIXED_TRIGGERS];
	int64_t triggers = 0;
	enum verdict v;
	bool found;

	s->upsert = s->triggers = false;
	if (!schema->n_cells)
		return STEP_OK;
	sqlite3_bind_text(stmt, 1, schema->name, -1, SQLITE_STATIC);
	v = ask(s, stmt, &found, &triggers, 1);
	sqlite3_clear_bindings(stmt);
	s->triggers = triggers > 0;
	if (v != STEP_OK || triggers ||
	    s->work->on_missing != ON_MISSING_INSERT)
		return v;
	s->upsert = find_statement(s, SQL_UPSERT, 1, &stmt) == STEP_OK;
	s->broken = false;
	s->work->reason[0] = '\0';
	return STEP_OK;
}

/* Once, and again after anybody has changed any table. */
static enum verdict check_keys(struct wbci_sink *s)
{
	struct wbci_work *w = s->work;
	const struct wbci_message m = {w->reason, sizeof(w->reason)};
	struct target *t = s->target;
	int64_t version = 0;
	bool found;
	enum verdict v = ask(s, s->fixed[FIXED_VERSION], &found, &version, 1);

	if (v != STEP_OK || (t->checked && t->version == version))
		return v;
	t->checked =
		!wbci_sqlite_check_keys(s->db, s->path, &w->rows.schema, &m);
	t->version = version;
	return t->checked ? STEP_OK : STEP_PARKED;
}

static enum verdict commit(struct wbci_sink *s)
{
	int code;

	wbci_point(POINT_APPLY_BEFORE_COMMIT);
	code = run_fixed(s, FIXED_COMMIT);
	if (code != SQLITE_OK)
		return judge(s, code);
	wbci_point(POINT_APPLY_AFTER_COMMIT);
	return STEP_OK;
}

/* Within the transaction; `already` says which of the two it became. */
static enum verdict do_piece(struct wbci_sink *s, bool *already)
{
	sqlite3_stmt *gate = bind_work(s, FIXED_GATE);
	struct position p;
	enum verdict v;
	int code;

	*already = false;
	sqlite3_bind_int64(gate, 3, (int64_t)s->work->piece);
	sqlite3_bind_int64(gate, 4, (int64_t)s->work->mark);
	code = run_fixed(s, FIXED_GATE);
	if (code != SQLITE_OK)
		return judge(s, code);
	if (sqlite3_changes(s->db) != 1) {
		v = see_ledger(s, &p);
		if (v != STEP_OK)
			return v;
		if (!is_applied(s->work, &p))
			return fail(s, STEP_AWAY,
			            "its ledger has changed "
			            "meanwhile",
			            "");
		*already = true;
		return read_back(s);
	}
	wbci_point(POINT_APPLY_GATE);
	v = check_keys(s);
	if (v == STEP_OK)
		v = choose_upsert(s);
	if (v == STEP_OK)
		v = write_rows(s);
	return v == STEP_OK ? commit(s) : v;
}

static void clear_answer(struct wbci_work *w)
{
	w->applied = 0;
	w->inserted = 0;
	w->refused = 0;
	w->ignored = 0;
	w->reason[0] = '\0';
	if (w->answers)
		memset(w->answers, 0,
		       w->rows.n_rows * w->rows.schema.n_cells *
		               sizeof(*w->answers));
}

static void roll_back(struct wbci_sink *s)
{
	if (s->db && !sqlite3_get_autocommit(s->db))
		run_fixed(s, FIXED_ROLLBACK);
}

static enum verdict try_piece(struct wbci_sink *s, bool *already)
{
	struct position p;
	enum verdict v = see_ledger(s, &p);
	int code;

	if (v != STEP_OK)
		return v;
	clear_answer(s->work);
	code = run_fixed(s, FIXED_BEGIN);
	if (code != SQLITE_OK)
		return judge(s, code);
	wbci_point(POINT_APPLY_BEGUN);
	v = do_piece(s, already);
	roll_back(s);
	return v;
}

/* Remember the item that took the transaction with it. */
static enum verdict add_poison(struct wbci_sink *s)
{
	struct poison *larger;

	if (s->n_poison == POISON_MAX)
		return fail(s, STEP_PARKED,
		            "too many rows whose refusal undoes the whole "
		            "transaction",
		            "let the table's constraints and triggers ABORT "
		            "instead of ROLLBACK");
	larger = realloc(s->poison, (s->n_poison + 1) * sizeof(*larger));
	if (!larger)
		return no_memory(s);
	s->poison = larger;
	larger[s->n_poison].item = s->item;
	larger[s->n_poison].code = s->code;
	memcpy(larger[s->n_poison].why, s->why, sizeof(s->why));
	s->n_poison++;
	return STEP_AGAIN;
}

static enum verdict apply_piece(struct wbci_sink *s, bool *already)
{
	enum verdict v = connect_now(s);

	if (v != STEP_OK)
		return v;
	s->target = find_target(s);
	if (!s->target)
		return no_memory(s);
	s->n_poison = 0;
	do {
		v = try_piece(s, already);
		if (v == STEP_AGAIN)
			v = add_poison(s);
	} while (v == STEP_AGAIN);
	return v;
}

static enum wbci_outcome sqlite_apply(struct wbci_sink *s,
                                      struct wbci_work *work)
{
	uint64_t n = work->rows.n_rows * work->rows.schema.n_cells;
	bool already = false;
	enum verdict v;

	s->work = work;
	work->statements = 0;
	work->answers = calloc(n ? n : 1, sizeof(*work->answers));
	v = work->answers ? apply_piece(s, &already) : no_memory(s);
	s->work = NULL;
	s->target = NULL;
	if (v == STEP_OK)
		return already ? OUTCOME_ALREADY : OUTCOME_DONE;
	/* A row was refused where none could be: not to be tried as it is. */
	if (v == STEP_REFUSED)
		v = STEP_PARKED;
	return outcome_of(v);
}

static enum wbci_outcome sqlite_check(struct wbci_sink *s,
                                      struct wbci_work *work)
{
	struct position p;
	enum verdict v;

	s->work = work;
	v = connect_now(s);
	if (v == STEP_OK)
		v = see_ledger(s, &p);
	s->work = NULL;
	return v == STEP_OK ? OUTCOME_DONE : outcome_of(v);
}

static int sqlite_open(struct wbci_sink **sink, const char *where)
{
	struct wbci_sink *s = calloc(1, sizeof(*s));

	if (s)
		s->path = strdup(where);
	if (!s || !s->path) {
		free(s);
		return -ENOMEM;
	}
	*sink = s;
	return 0;
}

static void sqlite_close(struct wbci_sink **sink)
{
	struct wbci_sink *s = *sink;

	*sink = NULL;
	disconnect(s);
	free(s->poison);
	free(s->path);
	free(s);
}

const struct wbci_sink_ops wbci_sink_sqlite = {
	.name = "sqlite",
	.open = sqlite_open,
	.close = sqlite_close,
	.check = sqlite_check,
	.apply = sqlite_apply,
};
