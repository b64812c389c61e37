/* SPDX-License-Identifier: MIT */
/* Copyright the wbcshm authors */

/*
 * What goes to the sinks, and when.
 *
 * A table has one work on its way at most: a look at the ledger before
 * anything is planned in this life, then its outstanding pieces one after the
 * other, then a new plan if a flush is due.  A table that cannot be applied
 * is parked and tried again every few seconds, or when a flush is asked for;
 * with a database away all that are its wait, with growing pauses, likewise.
 */

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "../api/wbc_error.h"
#include "../shm/table.h"
#include "../shm/wake.h"
#include "log.h"
#include "points.h"
#include "state.h"

#define MERGE_AT 16u

static int read_piece(void *arg, const char *table, uint64_t number,
                      uint32_t chunk, const void *blob, size_t bytes)
{
	struct wbci_rowset *rs = arg;
	struct wbci_blob b;
	int error;

	(void)table;
	(void)number;
	(void)chunk;
	if (!rs->spec) {
		error = wbci_blob_open(&b, blob, bytes);
		if (!error)
			error = wbci_rowset_init(rs, b.spec, b.spec_bytes,
			                         true);
		if (error)
			return error;
	}
	return wbci_rowset_read(rs, blob, bytes);
}

/* A work about a table, with the piece that is to be applied, if any. */
static int make_work(struct wbci_flusher *f, struct wbci_queue *q,
                     uint64_t piece, struct wbci_work **work)
{
	struct wbci_work *w = wbci_work_new();
	int error = 0;

	if (!w)
		return -ENOMEM;
	memcpy(w->table, q->name, sizeof(w->table));
	memcpy(w->journal, f->journal_text, sizeof(w->journal));
	w->done = q->record.done;
	w->piece = piece;
	w->mark = q->record.mark;
	w->on_missing = q->configured.schema.on_missing;
	if (piece)
		error = wbci_journal_each_blob(f->journal, BLOB_PIECE, q->name,
		                               piece, read_piece, &w->rows);
	/* By its text: what only hashes alike names other columns. */
	if (!error && piece &&
	    (!w->rows.spec || strcmp(w->rows.spec, q->configured.spec) != 0))
		error = WBC_E_CORRUPT;
	if (!error && !q->examined) {
		w->examine = malloc(sizeof(*w->examine));
		if (!w->examine)
			error = -ENOMEM;
		else
			*w->examine = q->configured.schema;
	}
	if (error) {
		wbci_work_free(&w);
		return error;
	}
	*work = w;
	return 0;
}

static void send_work(struct wbci_flusher *f, struct wbci_queue *q,
                      uint64_t piece)
{
	struct wbci_work *work;
	int error = make_work(f, q, piece, &work);

	if (!error)
		error = wbci_apply_send(q->connection->apply, work, q);
	if (error) {
		wbci_log("dispatch-failed",
		         LOG_TEXT("table", wbci_queue_label(q)),
		         LOG_TEXT("reason", wbc_strerror(error)));
		q->retry_ns = wbci_now_ns() + WBCI_RETRY_NS;
		return;
	}
	q->in_flight = true;
	q->connection->in_flight++;
	q->connection->tried += f->finishing;
	q->asked_synced = f->synced;
	wbci_point(POINT_PIECE_SENT);
}

/* What is next in the journal is of the configuration's declaration. */
static bool is_journaled_so(const struct wbci_queue *q)
{
	uint64_t spec = wbci_queue_outstanding(q) ? q->planned_spec
	                                          : q->batches[0].spec_hash;

	return spec == q->configured.spec_hash;
}

/* The journal has changes of a table that was declared otherwise then. */
static int see_journaled(struct wbci_queue *q)
{
	struct wbci_message m = {q->reason, sizeof(q->reason)};

	if (!wbci_queue_pending(q) || is_journaled_so(q))
		return 0;
	return wbci_say(&m, WBC_E_SCHEMA,
	                "table %s: the journal holds changes from when it was "
	                "declared otherwise; --check-journal shows how; apply "
	                "them first with that --table",
	                wbci_queue_label(q));
}

/* Clients that said what they count on would get something else. */
static int see_policy(const struct wbci_flusher *f, struct wbci_queue *q)
{
	struct wbci_message m = {q->reason, sizeof(q->reason)};
	unsigned own = q->configured.schema.on_missing;
	unsigned theirs;

	/* Or the segment speaks of another declaration. */
	if (q->segment_table < 0 || !q->configured.known ||
	    q->declared.spec_hash != q->configured.spec_hash)
		return 0;
	theirs = wbci_table_policy(&f->client->segment,
	                           (unsigned)q->segment_table);
	if (theirs == ON_MISSING_UNSET ||
	    !strcmp(wbci_schema_policy(theirs), wbci_schema_policy(own)))
		return 0;
	return wbci_say(&m, WBC_E_SCHEMA,
	                "table %s: clients declared it with on_missing=%s, the "
	                "flusher was told %s: put on_missing=%s behind the "
	                "columns in its --table",
	                wbci_queue_label(q), wbci_schema_policy(theirs),
	                wbci_schema_policy(own), wbci_schema_policy(theirs));
}

/*
 * Nothing of this table can be applied, for reasons of declaration.  What was
 * journaled as the flusher is told can be, whatever the segment has by now:
 * so a flusher that is told as then clears the way.
 */
static bool is_mismatched(const struct wbci_flusher *f, struct wbci_queue *q)
{
	int error = 0;

	if (!q->configured.known || !wbci_queue_pending(q) ||
	    !is_journaled_so(q))
		error = wbci_queue_mismatch(q);
	if (!error)
		error = see_journaled(q);
	if (!error)
		error = see_policy(f, q);
	if (error && error != q->parked)
		wbci_log("parked", LOG_TEXT("table", wbci_queue_label(q)),
		         LOG_TEXT("reason", q->reason));
	if (error) {
		q->parked = error;
	} else if (q->parked == WBC_E_TABLE || q->parked == WBC_E_SCHEMA) {
		wbci_log("resumed", LOG_TEXT("table", wbci_queue_label(q)));
		q->parked = 0;
		q->reason[0] = '\0';
	}
	return error != 0;
}

/* Is a flush due of what is in batches? */
static bool is_due(const struct wbci_queue *q)
{
	return q->n_batches && q->batches[0].first < q->flush_to;
}

/* Not now: it failed a moment ago, or its database did, or there is none. */
static bool has_to_wait(const struct wbci_queue *q, int64_t now)
{
	const struct wbci_connection *c = q->connection;

	return now < q->retry_ns || !c || !wbci_connection_ready(c) ||
	       c->given_up || (c->away && now < c->away_until_ns);
}

static void dispatch_queue(struct wbci_flusher *f, struct wbci_queue *q,
                           int64_t now)
{
	if (is_mismatched(f, q) || has_to_wait(q, now))
		goto merge;
	if (!q->reconciled || !q->examined) {
		send_work(f, q,
		          wbci_queue_outstanding(q) ? q->record.done + 1 : 0);
		goto merge;
	}
	if (!wbci_queue_outstanding(q) && is_due(q) && wbci_plan(f, q))
		return;
	if (wbci_queue_outstanding(q))
		send_work(f, q, q->record.done + 1);
merge:
	if (q->n_batches >= MERGE_AT)
		wbci_merge(f, q);
}

void wbci_dispatch(struct wbci_flusher *f)
{
	int64_t now = wbci_now_ns();

	for (unsigned i = 0; i < f->connections.n; i++) {
		struct wbci_connection *c = f->connections.connection[i];

		if (c->apply && c->away && now >= c->away_until_ns)
			wbci_apply_try_again(c->apply);
	}
	for (unsigned i = 0; i < f->queues.n; i++) {
		struct wbci_queue *q = f->queues.queue[i];

		if (f->reload || wbci_journal_in_doubt(f->journal))
			return;
		if (!q->in_flight)
			dispatch_queue(f, q, now);
		else if (q->n_batches >= MERGE_AT)
			wbci_merge(f, q);
	}
}

bool wbci_dispatch_busy(const struct wbci_flusher *f)
{
	for (unsigned i = 0; i < f->queues.n; i++)
		if (f->queues.queue[i]->in_flight)
			return true;
	return false;
}
