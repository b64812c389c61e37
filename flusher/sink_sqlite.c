/* SPDX-License-Identifier: MIT */
/* Copyright the wbcshm authors */

/*
 * The SQLite sink: see sink.h for the contract, sink_sqlite.h for its files.
 *
 * One connection, WAL, synchronous FULL; one prepared statement per row.
 * SQLite undoes a statement that fails and leaves the transaction as it was,
 * so a row that is refused becomes a dead letter in the same transaction and
 * the rows beside it are written.  Where the whole transaction is gone (a
 * trigger's or a constraint's ROLLBACK) the piece is done again, and the row
 * whose fault it was is not tried any more.
 */

#include "sink_sqlite.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "points.h"

#define POISON_MAX 256

static enum wbci_outcome outcome_of(enum verdict v)
{
	return v == STEP_PARKED ? OUTCOME_PARKED : OUTCOME_AWAY;
}

/* A column that may change, as a set. */
static uint64_t any_column(const struct wbci_schema *schema)
{
	unsigned i = 0;

	while (i + 1u < schema->n_columns &&
	       schema->columns[i].role == ROLE_KEY)
		i++;
	return UINT64_C(1) << i;
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
	if (!s->work->rows.n_rows)
		return STEP_OK;
	sqlite3_bind_text(stmt, 1, schema->name, -1, SQLITE_STATIC);
	v = wbci_sqlite_ask(s, stmt, &found, &triggers, 1);
	sqlite3_clear_bindings(stmt);
	s->triggers = triggers > 0;
	if (v != STEP_OK || triggers ||
	    s->work->on_missing != ON_MISSING_INSERT)
		return v;
	s->upsert =
		wbci_sqlite_find_statement(s, SQL_UPSERT, any_column(schema),
	                                   &stmt) == STEP_OK;
	s->broken = false;
	s->work->reason[0] = '\0';
	return STEP_OK;
}

/* Once, and again after anybody has changed any table. */
enum verdict wbci_sqlite_check_target(struct wbci_sink *s)
{
	struct wbci_work *w = s->work;
	const struct wbci_message m = {w->reason, sizeof(w->reason)};
	struct target *t = s->target;

	if (!t->checked)
		t->checked = !wbci_sqlite_check_keys(s->db, s->path,
		                                     &w->rows.schema, &m);
	return t->checked ? STEP_OK : STEP_PARKED;
}

static enum verdict commit(struct wbci_sink *s)
{
	int code;

	wbci_point(POINT_APPLY_BEFORE_COMMIT);
	code = wbci_sqlite_run(s, FIXED_COMMIT);
	if (code != SQLITE_OK)
		return wbci_sqlite_judge(s, code);
	wbci_point(POINT_APPLY_AFTER_COMMIT);
	return STEP_OK;
}

/* Within the transaction; `already` says which of the two it became. */
static enum verdict do_piece(struct wbci_sink *s, bool *already)
{
	sqlite3_stmt *gate = wbci_sqlite_bind(s, FIXED_GATE);
	struct position p;
	enum verdict v;
	int code;

	*already = false;
	v = wbci_sqlite_see_columns(s);
	if (v != STEP_OK)
		return v;
	sqlite3_bind_int64(gate, 3, (int64_t)s->work->piece);
	sqlite3_bind_int64(gate, 4, (int64_t)s->work->mark);
	code = wbci_sqlite_run(s, FIXED_GATE);
	if (code != SQLITE_OK)
		return wbci_sqlite_judge(s, code);
	if (sqlite3_changes(s->db) != 1) {
		v = wbci_sqlite_see_ledger(s, &p);
		if (v != STEP_OK)
			return v;
		if (!wbci_sqlite_is_applied(s->work, &p))
			return wbci_sqlite_fail(s, STEP_AWAY,
			                        "its ledger has changed "
			                        "meanwhile",
			                        "");
		*already = true;
		return wbci_sqlite_read_back(s);
	}
	wbci_point(POINT_APPLY_GATE);
	v = wbci_sqlite_check_target(s);
	if (v == STEP_OK)
		v = choose_upsert(s);
	if (v == STEP_OK)
		v = wbci_sqlite_write_rows(s);
	return v == STEP_OK ? commit(s) : v;
}

static void clear_answer(struct wbci_work *w)
{
	w->applied = 0;
	w->inserted = 0;
	w->refused = 0;
	w->ignored = 0;
	w->reason[0] = '\0';
	memset(w->answers, 0,
	       w->rows.n_rows * w->rows.schema.n_cells * sizeof(*w->answers));
	memset(w->fates, FATE_UNKNOWN, w->rows.n_rows);
}

void wbci_sqlite_roll_back(struct wbci_sink *s)
{
	if (s->db && !sqlite3_get_autocommit(s->db))
		wbci_sqlite_run(s, FIXED_ROLLBACK);
}

static enum verdict try_piece(struct wbci_sink *s, bool *already)
{
	struct position p;
	enum verdict v = wbci_sqlite_see_ledger(s, &p);
	int code;

	if (v != STEP_OK)
		return v;
	clear_answer(s->work);
	code = wbci_sqlite_run(s, FIXED_BEGIN);
	if (code != SQLITE_OK)
		return wbci_sqlite_judge(s, code);
	wbci_point(POINT_APPLY_BEGUN);
	v = do_piece(s, already);
	wbci_sqlite_roll_back(s);
	return v;
}

/* Remember the item that took the transaction with it. */
static enum verdict add_poison(struct wbci_sink *s)
{
	struct poison *larger;

	if (s->n_poison == POISON_MAX)
		return wbci_sqlite_fail(
			s, STEP_PARKED,
			"too many rows whose refusal undoes the whole "
			"transaction",
			"let the table's constraints and triggers ABORT "
			"instead of ROLLBACK");
	larger = realloc(s->poison, (s->n_poison + 1) * sizeof(*larger));
	if (!larger)
		return wbci_sqlite_no_memory(s);
	s->poison = larger;
	larger[s->n_poison].item = s->item;
	larger[s->n_poison].code = s->code;
	memcpy(larger[s->n_poison].why, s->why, sizeof(s->why));
	s->n_poison++;
	return STEP_AGAIN;
}

static enum verdict apply_piece(struct wbci_sink *s, bool *already)
{
	enum verdict v = wbci_sqlite_connect(s);

	if (v != STEP_OK)
		return v;
	s->target = wbci_sqlite_find_target(s);
	if (!s->target)
		return wbci_sqlite_no_memory(s);
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
	work->answers = calloc(n + 1, sizeof(*work->answers));
	work->fates = calloc(work->rows.n_rows + 1, 1);
	v = work->answers && work->fates ? apply_piece(s, &already)
	                                 : wbci_sqlite_no_memory(s);
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
	v = wbci_sqlite_connect(s);
	if (v == STEP_OK)
		v = wbci_sqlite_see_ledger(s, &p);
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
	wbci_sqlite_disconnect(s);
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
	.read = wbci_sqlite_read,
	.examine = wbci_sqlite_examine,
};
