/* SPDX-License-Identifier: MIT */
/* Copyright the wbcshm authors */

/*
 * Rows that somebody wants to know, and the ledger's position, in one
 * transaction that only reads: with WAL that is one snapshot, which waits for
 * no writer and lets none wait.
 */

#include "sink_sqlite.h"

#include <stdlib.h>

#include "points.h"

static enum verdict read_rows(struct wbci_sink *s)
{
	struct wbci_work *w = s->work;
	struct position p;
	enum verdict v = wbci_sqlite_ask_ledger(s, &p);

	w->position = p.found ? p.piece : 0;
	if (v == STEP_OK)
		v = wbci_sqlite_see_columns(s);
	if (v == STEP_OK)
		v = wbci_sqlite_check_target(s);
	wbci_point(POINT_READ_POSITION);
	return v == STEP_OK ? wbci_sqlite_see_rows(s) : v;
}

static enum verdict read_snapshot(struct wbci_sink *s)
{
	enum verdict v = wbci_sqlite_connect(s);
	int code;

	if (v != STEP_OK)
		return v;
	s->target = wbci_sqlite_find_target(s);
	if (!s->target)
		return wbci_sqlite_no_memory(s);
	code = wbci_sqlite_run(s, FIXED_SNAPSHOT);
	if (code != SQLITE_OK)
		return wbci_sqlite_judge(s, code);
	v = read_rows(s);
	wbci_sqlite_roll_back(s);
	return v;
}

enum wbci_outcome wbci_sqlite_read(struct wbci_sink *s, struct wbci_work *work)
{
	uint64_t n = work->rows.n_rows * work->rows.schema.n_cells;
	enum verdict v;

	s->work = work;
	work->answers = calloc(n ? n : 1, sizeof(*work->answers));
	work->fates = calloc(work->rows.n_rows + 1, sizeof(*work->fates));
	v = work->answers && work->fates ? read_snapshot(s) : wbci_sqlite_no_memory(s);
	s->work = NULL;
	s->target = NULL;
	if (v == STEP_OK)
		return OUTCOME_DONE;
	return v == STEP_AWAY ? OUTCOME_AWAY : OUTCOME_PARKED;
}
