/* SPDX-License-Identifier: MIT */
/* Copyright the wbcshm authors */

/*
 * What the journal knows, taken into memory: the cursors of its last batch
 * are moved in the segment, before anything else is done; then the queues
 * and the map of what is unapplied are made from what it holds.
 */

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "../api/wbc_error.h"
#include "points.h"
#include "state.h"

static int redo_cursors(struct wbci_flusher *f, const struct wbci_message *m)
{
	struct control_shm *control = f->client->segment.control;
	int error;

	wbci_point(POINT_REDO_BEGUN);
	wbci_cursors_clear(&f->cursors);
	error = wbci_journal_cursors(f->journal, &f->cursors);
	if (error)
		return wbci_say(m, error,
		                "journal: its cursors are damaged; "
		                "restore it, or begin with a new "
		                "segment and a new journal");
	wbci_point(POINT_REDO_CELLS);
	wbci_cursors_move(&f->cursors, f->client);
	wbci_point(POINT_REDO_LANES);
	/* ORDER flusher.redone, release: after the cursors it speaks of. */
	order_release(&control->redone,
	              wbci_journal_meta(f->journal)->last_round);
	wbci_point(POINT_REDO_DONE);
	return 0;
}

static int load_table(void *arg, const char *table,
                      const struct wbci_journal_table *record)
{
	struct wbci_flusher *f = arg;
	struct wbci_queue *q = wbci_queue_find(&f->queues, table);

	if (!q)
		return -ENOMEM;
	q->record = *record;
	return 0;
}

/* A set of rows of whatever specification a blob is. */
static int read_blob(struct wbci_rowset *rs, const void *blob, size_t bytes,
                     uint64_t number, uint32_t chunk)
{
	struct wbci_blob b;
	int error = wbci_blob_open(&b, blob, bytes);

	if (!error)
		error = wbci_rowset_init(rs, b.spec, b.spec_bytes, false);
	if (error)
		return error == -ENOMEM ? error : WBC_E_CORRUPT;
	error = wbci_rowset_read_at(rs, blob, bytes, number, chunk);
	if (error)
		wbci_rowset_free(rs);
	return error;
}

static int load_piece(void *arg, const char *table, uint64_t number,
                      uint32_t chunk, const void *blob, size_t bytes)
{
	struct wbci_flusher *f = arg;
	struct wbci_queue *q = wbci_queue_find(&f->queues, table);
	struct wbci_rowset rs;
	int error;

	if (!q)
		return -ENOMEM;
	if (number <= q->record.done || number > q->record.last)
		return WBC_E_CORRUPT;
	error = read_blob(&rs, blob, bytes, number, chunk);
	if (error)
		return error;
	q->planned_rows += rs.n_rows + rs.n_inserts;
	q->planned_spec = rs.spec_hash;
	error = wbci_unapplied_planned(
		f->unapplied, wbci_queue_rows_id(q, rs.spec_hash), &rs);
	wbci_rowset_free(&rs);
	return error;
}

/* A chunk of a batch: of the last one that the queue has, or of a new one. */
static int note_chunk(struct wbci_queue *q, uint64_t round,
                      const struct wbci_rowset *rs, size_t bytes)
{
	/* It may have been merged: of any round that is in no piece. */
	struct wbci_batch batch = {.round = round,
	                           .first = q->record.plan_round + 1,
	                           .bytes = bytes,
	                           .inserts = rs->n_inserts,
	                           .inserts_bytes = rs->inserts_bytes,
	                           .rows = rs->n_rows,
	                           .spec_hash = rs->spec_hash};
	struct wbci_batch *last;

	if (!q->n_batches || q->batches[q->n_batches - 1].round != round)
		return wbci_queue_push(q, &batch);
	last = &q->batches[q->n_batches - 1];
	if (last->spec_hash != batch.spec_hash)
		return WBC_E_CORRUPT;
	last->bytes += batch.bytes;
	last->inserts += batch.inserts;
	last->inserts_bytes += batch.inserts_bytes;
	last->rows += batch.rows;
	q->waiting_inserts += batch.inserts;
	return 0;
}

static int load_batch(void *arg, const char *table, uint64_t number,
                      uint32_t chunk, const void *blob, size_t bytes)
{
	struct wbci_flusher *f = arg;
	struct wbci_queue *q = wbci_queue_find(&f->queues, table);
	struct wbci_rowset rs;
	int error;

	if (!q)
		return -ENOMEM;
	error = read_blob(&rs, blob, bytes, number, chunk);
	if (error)
		return error;
	error = note_chunk(q, number, &rs, bytes);
	if (!error)
		error = wbci_unapplied_wait(f->unapplied,
		                            wbci_queue_rows_id(q, rs.spec_hash),
		                            &rs, &q->waiting_rows);
	wbci_rowset_free(&rs);
	return error;
}

int wbci_load(struct wbci_flusher *f, const struct wbci_message *m)
{
	int error = redo_cursors(f, m);

	if (error)
		return error;
	wbci_queues_reset(&f->queues);
	wbci_unapplied_free(&f->unapplied);
	error = wbci_unapplied_new(&f->unapplied);
	if (!error)
		error = wbci_journal_each_table(f->journal, load_table, f);
	if (!error)
		error = wbci_journal_each_blob(f->journal, BLOB_PIECE, NULL, 0,
		                               load_piece, f);
	if (!error)
		error = wbci_journal_each_blob(f->journal, BLOB_BATCH, NULL, 0,
		                               load_batch, f);
	if (error == WBC_E_CORRUPT)
		return wbci_say(m, error,
		                "journal: what it holds is damaged; "
		                "wbc-flusher --check-journal says "
		                "more");
	if (error)
		return wbci_say(m, error, "journal: cannot read it: %s",
		                strerror(-error));
	wbci_point(POINT_START_LOADED);
	return 0;
}
