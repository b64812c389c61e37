/* SPDX-License-Identifier: MIT */
/* Copyright the wbcshm authors */

/*
 * A round: what clients did since the last one becomes a batch.
 *
 * Entries first, lanes last, so that no change of a row overtakes the insert
 * that its own thread made before.  One durable transaction holds the batch
 * and its cursors; then, and only then, are the segment's cursors moved.
 * Killed before that commit, the round was never made; after it, whoever
 * starts next moves the cursors.
 */

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "../api/wbc_error.h"
#include "../shm/cell.h"
#include "../shm/key.h"
#include "../shm/lane.h"
#include "../shm/record.h"
#include "../shm/wake.h"
#include "log.h"
#include "points.h"
#include "state.h"

/* Something in the segment makes no sense.  Loud at first, then less so. */
static void count_corrupt(struct wbci_flusher *f, const char *what,
                          uint64_t where)
{
	f->corrupt++;
	if (f->corrupt & (f->corrupt - 1))
		return;
	wbci_log("corrupt", LOG_TEXT("what", what), LOG_NUMBER("where", where),
	         LOG_NUMBER("count", f->corrupt));
}

/* Where a table's changes of this round go; NULL: no memory.  A round sees
 * each row once, so none is looked for; a plan coalesces in any case. */
static struct wbci_rowset *fresh_rows(struct wbci_queue *q)
{
	const char *spec = q->declared.spec;

	if (q->fresh)
		return q->fresh;
	q->fresh = malloc(sizeof(*q->fresh));
	if (!q->fresh)
		return NULL;
	if (wbci_rowset_init(q->fresh, spec, strlen(spec), true)) {
		free(q->fresh);
		q->fresh = NULL;
	}
	return q->fresh;
}

static void drop_fresh(struct wbci_flusher *f)
{
	for (unsigned i = 0; i < f->queues.n; i++) {
		struct wbci_queue *q = f->queues.queue[i];

		if (!q->fresh)
			continue;
		wbci_rowset_free(q->fresh);
		free(q->fresh);
		q->fresh = NULL;
	}
}

static struct wbci_queue *queue_of(struct wbci_flusher *f, unsigned table)
{
	if (table >= f->queues.n_tables)
		wbci_queues_refresh(&f->queues, &f->client->segment);
	return table < f->queues.n_tables ? f->queues.of_table[table] : NULL;
}

/* What a cell's total has more than the journal; false: no such number. */
static bool cell_delta(bool is_double, uint64_t total, uint64_t journaled,
                       uint64_t *delta)
{
	double d;

	if (!is_double) {
		*delta = total - journaled;
		return true;
	}
	d = wbci_double_of(total) - wbci_double_of(journaled);
	*delta = wbci_bits_of(d);
	return isfinite(d);
}

/* The deltas of all cells; returns how many are news, or -1: corrupt. */
static int read_deltas(const struct wbci_rowset *rs,
                       const struct wbci_seen *seen, uint64_t *delta)
{
	int news = 0;

	memset(delta, 0, WBC_COUNTERS_MAX * sizeof(*delta));
	for (unsigned i = 0; i < seen->n_cells; i++) {
		if (seen->total[i] == seen->journaled[i])
			continue;
		if (!cell_delta(rs->doubles >> i & 1, seen->total[i],
		                seen->journaled[i], &delta[i]))
			return -1;
		news++;
	}
	return news;
}

/* What plain columns are set to; false: they are none of this table. */
static bool read_columns(const struct wbci_rowset *rs,
                         const struct wbci_seen *seen,
                         struct wbc_value *values, uint8_t *columns)
{
	const struct wbci_schema *s = &rs->schema;

	if (wbci_values_parse(s, seen->values, seen->values_bytes,
	                      seen->n_values, values, columns))
		return false;
	for (unsigned i = 0; i < seen->n_values; i++)
		if (s->columns[columns[i]].role != ROLE_PLAIN)
			return false;
	return true;
}

static int take_row(struct wbci_flusher *f, struct wbci_queue *q,
                    const struct wbci_seen *seen)
{
	struct wbc_value values[WBC_COLUMNS_MAX];
	uint8_t columns[WBC_COLUMNS_MAX];
	unsigned char text[WBC_KEY_MAX];
	uint64_t delta[WBC_COUNTERS_MAX];
	struct wbci_rowset *rs = fresh_rows(q);
	int error = 0;

	if (!rs)
		return -ENOMEM;
	if (seen->n_cells > rs->schema.n_cells ||
	    wbci_key_decode(&rs->schema, seen->key, seen->key_len, values,
	                    text) ||
	    read_deltas(rs, seen, delta) < 0 ||
	    !read_columns(rs, seen, values, columns)) {
		count_corrupt(f, "entry", seen->ref.offset);
		return 0;
	}
	for (unsigned i = 0; i < seen->n_cells && !error; i++)
		if (seen->total[i] != seen->journaled[i])
			error = wbci_cursors_cell(&f->cursors, seen->ref, i,
			                          seen->total[i]);
	if (seen->version != seen->version_journaled && !error)
		error = wbci_cursors_cell(&f->cursors, seen->ref,
		                          WBCI_CURSOR_ROW, seen->version);
	return error ? error
	             : wbci_rowset_change(rs, seen->key, seen->key_len, delta,
	                                  values, columns, seen->n_values);
}

static int visit_entry(void *arg, const struct wbci_seen *seen)
{
	struct wbci_flusher *f = arg;
	struct wbci_queue *q;

	if (seen->space != SPACE_ROW)
		return 0;
	q = queue_of(f, seen->table);
	if (!q) {
		count_corrupt(f, "entry of no table", seen->ref.offset);
		return 0;
	}
	return take_row(f, q, seen);
}

/* One record of a lane: kept if it is a row of a table, dropped if not. */
static int take_record(struct wbci_flusher *f, uint32_t slot,
                       const unsigned char *record,
                       const struct record_shm *header)
{
	struct wbc_value values[WBC_COLUMNS_MAX];
	uint8_t columns[WBC_COLUMNS_MAX];
	struct wbci_queue *q = queue_of(f, header->table);
	struct wbci_rowset *rs;

	if (!q || header->kind != LANE_INSERT ||
	    wbci_record_parse(&q->declared.schema, record, header->bytes,
	                      values, columns) <= 0) {
		count_corrupt(f, "record in lane", slot);
		return 0;
	}
	rs = fresh_rows(q);
	return rs ? wbci_rowset_insert(rs, record, header->bytes) : -ENOMEM;
}

static int read_lane(struct wbci_flusher *f, uint32_t slot)
{
	uint64_t head, tail, left;
	const unsigned char *p = f->lane_buffer;
	struct record_shm header;
	int64_t bytes;
	int error;

	bytes = wbci_lane_read(&f->client->segment, slot, f->lane_buffer, &head,
	                       &tail);
	if (bytes < 0) {
		/* Nothing in it can be told apart: its thread is refused
		 * until the segment is made anew. */
		count_corrupt(f, "lane", slot);
		return 0;
	}
	for (left = (uint64_t)bytes; left; left -= header.bytes) {
		memcpy(&header, p, sizeof(header));
		error = take_record(f, slot, p, &header);
		if (error)
			return error;
		p += header.bytes;
	}
	return bytes ? wbci_cursors_lane(&f->cursors, slot, tail) : 0;
}

static int read_lanes(struct wbci_flusher *f)
{
	int error = 0;

	for (uint32_t i = 0; i < f->client->segment.geo.n_threads && !error;
	     i++)
		error = read_lane(f, i);
	return error;
}

/* Where a rowset's blobs go in an update. */
struct destination {
	struct wbci_journal *journal;
	const char *table;
	uint64_t round;
	uint64_t bytes;
};

static int put_chunk(void *arg, uint32_t chunk, const void *blob, size_t bytes)
{
	struct destination *d = arg;

	d->bytes += bytes;
	return wbci_journal_put_blob(d->journal, BLOB_BATCH, d->table, d->round,
	                             chunk, blob, bytes);
}

static int put_batch(struct wbci_flusher *f, struct wbci_queue *q)
{
	struct destination d = {f->journal, q->name, f->rounds.cycle, 0};
	struct wbci_slice all;
	int error;

	if (!q->fresh || wbci_rowset_empty(q->fresh))
		return 0;
	all = wbci_rowset_all(q->fresh);
	error = wbci_rowset_write(q->fresh, &all, d.round, put_chunk, &d);
	return error ? error
	             : wbci_journal_put_table(f->journal, q->name, &q->record);
}

static int fill_round(struct wbci_journal *j, void *arg)
{
	struct wbci_flusher *f = arg;
	struct wbci_journal_meta meta = *wbci_journal_meta(j);
	int error;

	meta.prev_round = meta.last_round;
	meta.last_round = f->rounds.cycle;
	error = wbci_journal_put_meta(j, &meta);
	if (!error)
		error = wbci_journal_put_cursors(j, &f->cursors);
	for (unsigned i = 0; i < f->queues.n && !error; i++)
		error = put_batch(f, f->queues.queue[i]);
	wbci_point(POINT_BATCH_BEFORE_COMMIT);
	return error;
}

/* The batch is durable: the queues have it. */
static int note_batches(struct wbci_flusher *f)
{
	for (unsigned i = 0; i < f->queues.n; i++) {
		struct wbci_queue *q = f->queues.queue[i];
		const struct wbci_rowset *rs = q->fresh;
		struct wbci_batch batch;

		if (!rs || wbci_rowset_empty(rs))
			continue;
		batch = (struct wbci_batch){.round = f->rounds.cycle,
		                            .first = f->rounds.cycle,
		                            .bytes = rs->inserts_bytes +
		                                     rs->sets_bytes +
		                                     rs->n_rows * 64,
		                            .inserts = rs->n_inserts,
		                            .inserts_bytes = rs->inserts_bytes,
		                            .rows = rs->n_rows,
		                            .spec_hash = rs->spec_hash};
		if (wbci_queue_push(q, &batch) ||
		    wbci_unapplied_wait(f->unapplied,
		                        wbci_queue_rows_id(q, rs->spec_hash),
		                        rs, &q->waiting_rows))
			return -ENOMEM;
		f->totals.batches++;
	}
	return 0;
}

/* Make what was collected durable, then move the cursors. */
static int journal_round(struct wbci_flusher *f)
{
	char text[256];
	struct wbci_message m = {text, sizeof(text)};
	int error = wbci_journal_update(f->journal, fill_round, f, &m);

	if (error) {
		wbci_log("journal-failed", LOG_TEXT("reason", text));
		return error;
	}
	wbci_point(POINT_BATCH_AFTER_COMMIT);
	wbci_cursors_move(&f->cursors, f->client);
	/* ORDER flusher.redone, release: after the cursors it speaks of. */
	order_release(&f->client->segment.control->redone, f->rounds.cycle);
	wbci_point(POINT_REDONE_SET);
	error = note_batches(f);
	if (error)
		f->fatal = error; /* the journal is right, we are not */
	return error;
}

/*
 * A file that was cut short and then made long again is zeros, and no page is
 * missing.  We have counted ourselves and named our journal in it.
 */
static int see_emptied(struct wbci_flusher *f)
{
	const struct wbci_segment *s = &f->client->segment;
	struct control_shm *control = s->control;

	/* Relaxed: written by us alone, before the first round. */
	if (order_load(&control->generation) ||
	    order_load(&control->journal_id[0]) ||
	    order_load(&control->journal_id[1]))
		return 0;
	wbci_log("segment-truncated", LOG_TEXT("segment", s->path),
	         LOG_TEXT("reason", "it was overwritten with zeros; what is "
	                            "journaled is whole: make a new segment, "
	                            "keep the journal"));
	f->fatal = WBC_E_CORRUPT;
	return WBC_E_CORRUPT;
}

static int collect(struct wbci_flusher *f)
{
	uint64_t journaled = wbci_journal_meta(f->journal)->last_round;
	uint64_t corrupt = f->rounds.corrupt;
	int error = see_emptied(f);

	if (error)
		return error;
	/* A batch of a number that was used would be another's content. */
	if (f->rounds.least <= journaled)
		f->rounds.least = journaled + 1;
	error = wbci_round_begin(&f->rounds);
	wbci_point(POINT_ROUND_BEGUN);
	if (error)
		return error;
	error = wbci_queues_refresh(&f->queues, &f->client->segment);
	if (!error)
		error = wbci_round_read(&f->rounds, visit_entry, f);
	if (f->rounds.corrupt != corrupt)
		count_corrupt(f, "block of entries", f->rounds.corrupt);
	wbci_point(POINT_ROUND_COLLECTED);
	if (!error)
		error = read_lanes(f);
	wbci_point(POINT_ROUND_LANES_READ);
	if (error)
		return error;
	return f->cursors.n_cells || f->cursors.n_lanes ? journal_round(f) : 0;
}

int wbci_collect(struct wbci_flusher *f)
{
	struct control_shm *control = f->client->segment.control;
	int error;

	wbci_cursors_clear(&f->cursors);
	error = collect(f);
	drop_fresh(f);
	if (error)
		return error;
	wbci_round_end(&f->rounds);
	f->totals.rounds++;
	f->synced = f->rounds.cycle + 1;
	wbci_point(POINT_SYNCED_BEFORE);
	/* ORDER round.synced, release: the round is durable. */
	order_release(&control->synced, f->synced);
	wbci_event(&f->client->segment);
	wbci_point(POINT_SYNCED_AFTER);
	return 0;
}
