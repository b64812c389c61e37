/* SPDX-License-Identifier: MIT */
/* Copyright the wbcshm authors */

/*
 * What the files of the SQLite sink share; for them only.
 *
 *   sink_sqlite.c          the ops, and a piece from its gate to its commit
 *   sink_sqlite_bind.c     values, as the columns of a table take them
 *   sink_sqlite_connect.c  the connection, what its errors mean
 *   sink_sqlite_examine.c  is the catalogue as it was declared?
 *   sink_sqlite_keys.c     does the database tell all keys apart?
 *   sink_sqlite_ledger.c   positions
 *   sink_sqlite_rows.c     statements for rows, and their answers
 *   sink_sqlite_read.c     rows that somebody wants to know
 *   sink_sqlite_letters.c  rows that are refused for good
 */
#ifndef WBCI_SINK_SQLITE_H
#define WBCI_SINK_SQLITE_H

#include <sqlite3.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "../shm/message.h"
#include "../shm/schema.h"
#include "sink.h"
#include "sql.h"

#define STATEMENTS 48

/* A prepared statement for rows of a table. */
struct statement {
	sqlite3_stmt *stmt; /* NULL: a free place */
	enum wbci_sql kind;
	uint64_t columns;
	uint64_t used; /* when, to know the oldest */
};

/* What SQLite does to values for the sake of a column's declared type. */
enum affinity {
	AFFINITY_NONE,
	AFFINITY_TEXT,
	AFFINITY_REAL,
	AFFINITY_NUMERIC,
	AFFINITY_INTEGER
};

/* A table with its statements. */
struct target {
	struct target *next;
	char table[WBCI_TABLE_NAME];
	uint64_t spec_hash;
	bool seen;                         /* its columns are known, as of: */
	int64_t version;                   /* of the database's schema */
	bool checked;                      /* its keys are told apart */
	uint8_t affinity[WBC_COLUMNS_MAX]; /* of the database's columns */
	struct statement statements[STATEMENTS];
};

/* Statements that are the same for all tables. */
enum fixed {
	FIXED_BEGIN,
	FIXED_SNAPSHOT,
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

/* connect.c: words about the piece at hand, and what they make of it. */
enum verdict wbci_sqlite_refuse(struct wbci_sink *s, int code, const char *why);
enum verdict wbci_sqlite_fail(struct wbci_sink *s, enum verdict v,
                              const char *what, const char *remedy);
enum verdict wbci_sqlite_no_memory(struct wbci_sink *s);
/* An error that is nobody's row's; and one of a row's statement, which is
 * reset by now. */
enum verdict wbci_sqlite_judge(struct wbci_sink *s, int code);
enum verdict wbci_sqlite_judge_row(struct wbci_sink *s, sqlite3_stmt *stmt,
                                   int code);

/* Before SQLite is used for the first time, by whatever thread. */
void wbci_sqlite_begin(void);

/* Connected to the file that has the name now. */
enum verdict wbci_sqlite_connect(struct wbci_sink *s);
void wbci_sqlite_disconnect(struct wbci_sink *s);

int wbci_sqlite_prepare(struct wbci_sink *s, const char *sql,
                        sqlite3_stmt **stmt);
/* The ledger's and the letters' statements all begin with these. */
sqlite3_stmt *wbci_sqlite_bind(struct wbci_sink *s, enum fixed which);
/* Step a statement without rows of its own, and reset it. */
int wbci_sqlite_run(struct wbci_sink *s, enum fixed which);
/* End the transaction, if there is one, with nothing changed. */
void wbci_sqlite_roll_back(struct wbci_sink *s);
/* The first @n columns of the only row, if there is one. */
enum verdict wbci_sqlite_ask(struct wbci_sink *s, sqlite3_stmt *stmt,
                             bool *found, int64_t *values, int n);

/* bind.c */

/* Learn the types of the columns of the table at hand, once, and again after
 * anybody has changed any table. */
enum verdict wbci_sqlite_see_columns(struct wbci_sink *s);

/**
 * wbci_sqlite_bind_value() - give a statement a value for a column
 * @stmt:   of the table at hand, whose columns have been seen
 * @at:     number of its parameter, from 1
 * @column: number of the column in the table's declaration
 * @v:      of the column's type, or NULL; stays until the statement is reset
 *
 * bool        an integer, 0 or 1
 * json        a text
 * timestamp   an integer, microseconds, where the column's declared type has
 *             INT in it, else a text "YYYY-MM-DD HH:MM:SS.ffffff"
 *
 * All values of a column are bound by this one function, in WHERE as in SET
 * and in VALUES: what an INSERT has stored is found by an UPDATE.
 *
 * Return: STEP_OK, STEP_REFUSED if the column's type would change the value,
 *         or what wbci_sqlite_judge() says.
 */
enum verdict wbci_sqlite_bind_value(struct wbci_sink *s, sqlite3_stmt *stmt,
                                    int at, unsigned column,
                                    const struct wbc_value *v);

/* keys.c */

/* By SQLite's own rules; @type is the column's declared one. */
enum affinity wbci_sqlite_affinity(sqlite3 *db, const char *table,
                                   const char *type);

/**
 * wbci_sqlite_check_keys() - do a table's key columns tell all keys apart?
 * @path: of the database, for the words
 *
 * Return: 0, or -1 with a reason and a remedy in words.
 */
int wbci_sqlite_check_keys(sqlite3 *db, const char *path,
                           const struct wbci_schema *schema,
                           const struct wbci_message *m);

/* The same of one column; and of one that is no key, whose type it says. */
int wbci_sqlite_check_key(sqlite3 *db, const char *path, const char *table,
                          const struct wbci_column *column,
                          const struct wbci_message *m);
int wbci_sqlite_check_type(sqlite3 *db, const char *table,
                           const struct wbci_column *column, const char *type,
                           const struct wbci_message *m);

/* examine.c: see sink.h. */
int wbci_sqlite_examine(const char *where, const struct wbci_schema *table,
                        wbci_examine_fn *say, void *arg);

/* ledger.c */

/* Where a table's ledger stands. */
struct position {
	bool found;
	int64_t piece;
	uint64_t mark;
};

/* Where it stands; changes nothing. */
enum verdict wbci_sqlite_ask_ledger(struct wbci_sink *s, struct position *p);
/* The ledger's row, made and committed if this is the first piece ever. */
enum verdict wbci_sqlite_see_ledger(struct wbci_sink *s, struct position *p);
/* Has the database got the piece at hand?  By its number and its mark. */
bool wbci_sqlite_is_applied(const struct wbci_work *w,
                            const struct position *p);

/* rows.c */

/* A row's key and changes, ready to be bound. */
struct change {
	struct wbci_row *row;
	uint64_t columns; /* those that change */
	struct wbc_value keys[WBC_COLUMNS_MAX];
	struct wbc_value values[WBC_COLUMNS_MAX]; /* of plain columns */
	uint8_t places[WBC_COLUMNS_MAX];          /* their columns */
	unsigned char text[WBC_KEY_MAX];
	struct wbci_answer *answers;
	bool found; /* the last statement answered with a row */
	bool seen;  /* by SELECT, and nothing has changed it since */
};

struct target *wbci_sqlite_find_target(struct wbci_sink *s);
/* Its keys are told apart; looked at once, and after any change of tables. */
enum verdict wbci_sqlite_check_target(struct wbci_sink *s);
/* A statement of the table at hand: cached, or in place of the oldest. */
enum verdict wbci_sqlite_find_statement(struct wbci_sink *s, enum wbci_sql kind,
                                        uint64_t columns, sqlite3_stmt **stmt);
/* All rows of the piece at hand, inserts first; the refused are buried. */
enum verdict wbci_sqlite_write_rows(struct wbci_sink *s);
/* The values of all rows of the work at hand. */
enum verdict wbci_sqlite_see_rows(struct wbci_sink *s);
/* Applied by somebody who died: only its answers are still wanted. */
enum verdict wbci_sqlite_read_back(struct wbci_sink *s);

/* take.c: what a row's plain columns have, behind its cells in an answer, goes
 * into the row's set.  What is not of the declared type is left out. */
enum verdict wbci_sqlite_take_columns(struct wbci_sink *s, sqlite3_stmt *stmt,
                                      struct wbci_row *row);

/* read.c */
enum wbci_outcome wbci_sqlite_read(struct wbci_sink *s,
                                   struct wbci_work *work);

/* letters.c: the row at hand becomes a dead letter, for s->code and s->why. */
enum verdict wbci_sqlite_bury_change(struct wbci_sink *s, struct change *c,
                                     bool readable);
enum verdict wbci_sqlite_bury_insert(struct wbci_sink *s,
                                     const struct wbc_value *values, int n);

#endif
