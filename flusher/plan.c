/* SPDX-License-Identifier: MIT */
/* Copyright the wbcshm authors */

/*
 * Plan: a table's batches become pieces, or fewer batches.
 *
 * Each is one durable transaction that puts the new and deletes the old, so
 * that what a row is due stands in the journal exactly once, whoever is
 * killed when.  A piece never changes once it is committed: a ledger position
 * names its content for ever.
 *
 * Numbers repeat where a journal was copied and both copies are used.  So a
 * plan gives its pieces a random mark, which the ledger keeps beside the
 * position: whoever finds his piece's number there knows if it is his piece.
 */

#include <errno.h>
#include <string.h>
#include <sys/random.h>

#include "../api/wbc_error.h"
#include "log.h"
#include "points.h"
#include "state.h"

#define PIECE_ROWS 100000u
#define PIECE_BYTES (UINT64_C(16) << 20)
#define PLAN_BYTES (UINT64_C(256) << 20)
#define MERGE_FEWEST 8u
#define MERGE_INSERT_BYTES (UINT64_C(32) << 20)

/* Batches being made into something else. */
struct planning {
	struct wbci_flusher *f;
	struct wbci_queue *q;
	unsigned first, n; /* batches */
	uint64_t mark;
	struct wbci_rowset rs;
	struct wbci_journal_table record;

	/* where blobs go at the moment */
	enum wbci_blob_kind kind;
	uint64_t number;
	uint64_t bytes;
};

static int read_chunk(void *arg, const char *table, uint64_t number,
                      uint32_t chunk, const void *blob, size_t bytes)
{
	struct planning *p = arg;
	struct wbci_blob b;
	int error;

	(void)table;
	if (!p->rs.spec) {
		error = wbci_blob_open(&b, blob, bytes);
		if (!error)
			error = wbci_rowset_init(&p->rs, b.spec, b.spec_bytes,
			                         false);
		if (error)
			return error;
	}
	return wbci_rowset_read_at(&p->rs, blob, bytes, number, chunk);
}

/* What the batches hold, coalesced. */
static int read_batches(struct planning *p)
{
	int error = 0;

	for (unsigned i = 0; i < p->n && !error; i++)
		error = wbci_journal_each_blob(
			p->f->journal, BLOB_BATCH, p->q->name,
			p->q->batches[p->first + i].round, read_chunk, p);
	return error;
}

static int put_chunk(void *arg, uint32_t chunk, const void *blob, size_t bytes)
{
	struct planning *p = arg;

	p->bytes += bytes;
	return wbci_journal_put_blob(p->f->journal, p->kind, p->q->name,
	                             p->number, chunk, blob, bytes);
}

static int delete_batches(struct wbci_journal *j, const struct planning *p)
{
	int error = 0;

	for (unsigned i = 0; i < p->n && !error; i++)
		error = wbci_journal_delete(j, BLOB_BATCH, p->q->name,
		                            p->q->batches[p->first + i].round);
	return error;
}

static int fill_pieces(struct wbci_journal *j, void *arg)
{
	struct planning *p = arg;
	struct wbci_slice slice = {0, 0, 0, 0, 0};
	int error = 0;

	p->record = p->q->record;
	p->record.mark = p->mark;
	p->record.plan_round = p->q->batches[p->first + p->n - 1].round;
	p->kind = BLOB_PIECE;
	while (!error &&
	       wbci_rowset_cut(&p->rs, &slice, PIECE_ROWS, PIECE_BYTES)) {
		p->number = ++p->record.last;
		error = wbci_rowset_write(&p->rs, &slice, p->number, put_chunk,
		                          p);
	}
	if (!error)
		error = delete_batches(j, p);
	if (!error)
		error = wbci_journal_put_table(j, p->q->name, &p->record);
	wbci_point(POINT_PLAN_BEFORE_COMMIT);
	return error;
}

static int wait_again(void *arg, const char *table, uint64_t number,
                      uint32_t chunk, const void *blob, size_t bytes)
{
	const struct planning *p = arg;
	struct planning one = {.f = p->f, .q = p->q};
	int error = read_chunk(&one, table, number, chunk, blob, bytes);

	if (!error)
		error = wbci_unapplied_wait(
			p->f->unapplied,
			wbci_queue_rows_id(p->q, one.rs.spec_hash), &one.rs,
			&p->q->waiting_rows);
	wbci_rowset_free(&one.rs);
	return error;
}

/* The pieces are durable: the queue and the map follow. */
static int note_pieces(struct planning *p)
{
	struct wbci_queue *q = p->q;
	uint64_t id = wbci_queue_rows_id(q, p->rs.spec_hash);
	int error;

	p->f->totals.pieces += p->record.last - q->record.last;
	q->record = p->record;
	q->planned_rows += p->rs.n_rows + p->rs.n_inserts;
	q->planned_spec = p->rs.spec_hash;
	q->planned_first = q->batches[0].first;
	wbci_queue_drop_first(q, p->n);
	error = wbci_unapplied_plan(p->f->unapplied, id, &p->rs);
	q->waiting_rows = 0;
	if (error || !q->n_batches)
		return error;
	/* Some batches stay: what waits is what they hold. */
	for (unsigned i = 0; i < q->n_batches; i++)
		wbci_unapplied_forget(
			p->f->unapplied,
			wbci_queue_rows_id(q, q->batches[i].spec_hash));
	return wbci_journal_each_blob(p->f->journal, BLOB_BATCH, q->name, 0,
	                              wait_again, p);
}

/* The first batches, as far as they can go together. */
static unsigned choose_first(const struct wbci_queue *q)
{
	uint64_t bytes = q->batches[0].bytes;
	unsigned n = 1;

	while (n < q->n_batches &&
	       q->batches[n].spec_hash == q->batches[0].spec_hash &&
	       bytes + q->batches[n].bytes <= PLAN_BYTES)
		bytes += q->batches[n++].bytes;
	return n;
}

static int report(struct wbci_flusher *f, const struct wbci_queue *q, int error,
                  const char *text)
{
	if (!error)
		return 0;
	wbci_log("plan-failed", LOG_TEXT("table", wbci_queue_label(q)),
	         LOG_TEXT("reason", *text ? text : strerror(-error)));
	/* What is in memory may have parted from what is in the journal. */
	f->reload = true;
	return error;
}

int wbci_plan(struct wbci_flusher *f, struct wbci_queue *q)
{
	struct planning p = {.f = f, .q = q, .n = choose_first(q)};
	char text[192] = "";
	struct wbci_message m = {text, sizeof(text)};
	int error = read_batches(&p);

	if (!error && getrandom(&p.mark, sizeof(p.mark), 0) != sizeof(p.mark))
		error = -EIO;
	if (!error) {
		wbci_rowset_sort(&p.rs);
		error = wbci_journal_update(f->journal, fill_pieces, &p, &m);
	}
	if (!error) {
		wbci_point(POINT_PLAN_AFTER_COMMIT);
		error = note_pieces(&p);
	}
	wbci_rowset_free(&p.rs);
	return report(f, q, error, text);
}

static int fill_merged(struct wbci_journal *j, void *arg)
{
	struct planning *p = arg;
	struct wbci_slice all = wbci_rowset_all(&p->rs);
	int error = delete_batches(j, p);

	p->kind = BLOB_BATCH;
	p->bytes = 0;
	p->number = p->q->batches[p->first + p->n - 1].round;
	if (!error)
		error = wbci_rowset_write(&p->rs, &all, p->number, put_chunk,
		                          p);
	wbci_point(POINT_MERGE_BEFORE_COMMIT);
	return error;
}

/*
 * The last batches, and the ones before them as long as these are not much
 * larger: so sizes fall from batch to batch, all of them together hold little
 * more than the first, and a row is written again only now and then.  Batches
 * that are large by their inserts gain nothing and are left alone.
 */
static unsigned choose_last(const struct wbci_queue *q)
{
	const struct wbci_batch *last = &q->batches[q->n_batches - 1];
	uint64_t bytes = last->bytes;
	unsigned n = 1;

	for (; n < q->n_batches; n++) {
		const struct wbci_batch *b = last - n;

		if (b->spec_hash != last->spec_hash ||
		    b->inserts_bytes > MERGE_INSERT_BYTES ||
		    (n >= MERGE_FEWEST && b->bytes > 2 * bytes) ||
		    bytes + b->bytes > PLAN_BYTES)
			break;
		bytes += b->bytes;
	}
	return n >= MERGE_FEWEST ? n : 0;
}

int wbci_merge(struct wbci_flusher *f, struct wbci_queue *q)
{
	struct planning p = {.f = f, .q = q, .n = choose_last(q)};
	char text[192] = "";
	struct wbci_message m = {text, sizeof(text)};
	struct wbci_batch merged;
	int error;

	if (!p.n)
		return 0;
	p.first = q->n_batches - p.n;
	error = read_batches(&p);
	if (!error)
		error = wbci_journal_update(f->journal, fill_merged, &p, &m);
	if (!error) {
		wbci_point(POINT_MERGE_AFTER_COMMIT);
		merged =
			(struct wbci_batch){.round = p.number,
		                            .first = q->batches[p.first].first,
		                            .bytes = p.bytes,
		                            .inserts = p.rs.n_inserts,
		                            .inserts_bytes = p.rs.inserts_bytes,
		                            .rows = p.rs.n_rows,
		                            .spec_hash = p.rs.spec_hash};
		wbci_queue_drop_last(q, p.n);
		error = wbci_unapplied_merge(
			f->unapplied, wbci_queue_rows_id(q, merged.spec_hash),
			&p.rs);
		if (!error)
			error = wbci_queue_push(q, &merged);
		f->totals.merges++;
	}
	wbci_rowset_free(&p.rs);
	return report(f, q, error, text);
}
