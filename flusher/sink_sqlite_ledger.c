/* SPDX-License-Identifier: MIT */
/* Copyright the wbcshm authors */

/*
 * The ledger: how far each table of each journal is applied.  A position
 * comes with the mark of the piece that moved it there, so that nobody takes
 * another piece of that number for his own.
 */

#include "sink_sqlite.h"

#include <inttypes.h>

#include "points.h"

enum verdict wbci_sqlite_ask_ledger(struct wbci_sink *s, struct position *p)
{
	int64_t values[2] = {0, 0};
	enum verdict v;

	p->found = false;
	v = wbci_sqlite_ask(s, wbci_sqlite_bind(s, FIXED_POSITION), &p->found,
	                    values, 2);


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
bool wbci_sqlite_is_applied(const struct wbci_work *w, const struct position *p)
{
	return w->piece && (uint64_t)p->piece == w->piece && p->mark == w->mark;
}

/* The ledger's row, made and committed if this is the first piece ever. */
enum verdict wbci_sqlite_see_ledger(struct wbci_sink *s, struct position *p)
{
	struct wbci_work *w = s->work;
	enum verdict v = wbci_sqlite_ask_ledger(s, p);
	int code;

	if (v != STEP_OK)
		return v;
	if (!p->found && w->done)
		return park_position(s, p);
	if (!p->found) {
		wbci_sqlite_bind(s, FIXED_LEDGER);
		code = wbci_sqlite_run(s, FIXED_LEDGER);
		if (code != SQLITE_OK)
			return wbci_sqlite_judge(s, code);
		wbci_point(POINT_LEDGER_ROW);
		p->found = true;
		p->piece = 0;
	}
	if ((p->piece >= 0 && (uint64_t)p->piece == w->done) ||
	    wbci_sqlite_is_applied(w, p))
		return STEP_OK;
	return park_position(s, p);
}
