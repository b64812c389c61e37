/* SPDX-License-Identifier: MIT */
/* Copyright the wbcshm authors */

#include "origins.h"

#include <errno.h>
#include <string.h>

#include "../api/wbc_error.h"
#include "../shm/cell.h"
#include "../shm/epoch.h"
#include "../shm/key.h"
#include "../shm/record.h"
#include "columns.h"
#include "points.h"

/* Rows whose origins are being stored. */
struct storing {
	const struct wbci_segment *s;
	struct wbci_thread *t;
	const struct wbci_work *w;
	uint8_t table;
};

/*
 * The database's value v includes all pieces up to this one.  Of what was
 * journaled, `left` is not in it; total - journaled is not journaled.  So the
 * value is v + left + total - journaled, and origin is that without total.
 * A row that is not there, but will be made by its first change, counts as 0.
 */
static uint64_t int64_origin(const struct wbci_answer *a, bool made,
                             uint64_t left, uint64_t journaled)
{
	uint64_t origin = (a->state == VALUE_NUMBER ? a->bits : 0) + left -
	                  journaled;

	if (a->state == VALUE_NOROW && !made)
		return WBCI_INT64_NOROW;
	if (a->state == VALUE_UNKNOWN || origin == WBCI_INT64_NOROW ||
	    origin == WBCI_INT64_NULL)
		return WBCI_INT64_UNKNOWN;
	return origin;
}

static uint64_t double_origin(const struct wbci_answer *a, bool made,
                              uint64_t left, uint64_t journaled)
{
	double base = a->state == VALUE_NUMBER ? wbci_double_of(a->bits) : 0;
	double origin =
		base + wbci_double_of(left) - wbci_double_of(journaled);

	if (a->state == VALUE_NOROW && !made)
		return WBCI_DOUBLE_NOROW;
	if (a->state == VALUE_UNKNOWN || !isfinite(origin))
		return WBCI_DOUBLE_UNKNOWN;
	return wbci_bits_of(origin);
}

/* How many cells of an entry are inside its page, whatever it says. */
static unsigned cells_of(const struct wbci_segment *s, struct entry_shm *e,
                         uint64_t offset, const struct wbci_rowset *rs)
{
	unsigned n = *(volatile uint8_t *)&e->n_cells;

	if (n > rs->schema.n_cells ||
	    !wbci_in_page(s, offset, wbci_entry_bytes(n, 0)))
		return 0;
	return n;
}

/* When these origins were stored, for readers to tell their age. */
static uint32_t base_now(const struct wbci_segment *s, bool absent)
{
	uint32_t now = (uint32_t)order_load(&s->control->now_s);

	return (now & ~WBCI_BASE_ABSENT) | (absent ? WBCI_BASE_ABSENT : 0);
}

/* The row's entry in a section, or NULL and no section. */
static struct entry_shm *find_entry(const struct storing *st, const void *key,
                                    uint32_t key_len, unsigned *cells,
                                    struct row_shm **plain)
{
	const struct wbci_rowset *rs = &st->w->rows;
	struct entry_shm *e;
	struct wbci_key k;
	uint64_t offset;

	wbci_key_init(st->s, &k, SPACE_ROW, st->table, key, (uint16_t)key_len);
	if (wbci_entry_find(st->t, &k, &e, &offset))
		return NULL;
	*cells = cells_of(st->s, e, offset, rs);
	*plain = rs->schema.n_plain ? wbci_entry_row(st->s, e, offset) : NULL;
	return e;
}

/* The origins of a row's cells, in its section. */
static void store_cells(const struct storing *st, struct entry_shm *e,
                        unsigned n, uint64_t row, const uint64_t *left)
{
	const struct wbci_rowset *rs = &st->w->rows;
	const struct wbci_answer *a =
		st->w->answers + row * rs->schema.n_cells;
	bool made = st->w->on_missing == ON_MISSING_INSERT;

	if (n) /* Relaxed: an origin's release is after it. */
		order_store(&e->base,
		            base_now(st->s, made && a->state == VALUE_NOROW));
	for (unsigned i = 0; i < n; i++) {
		/* Relaxed: only this thread writes it. */
		uint64_t journaled = order_load(wbci_entry_journaled(e, i));
		bool is_double = rs->doubles >> i & 1;

		/* ORDER cell.origin, release: a reader who sees it has the
		 * database's answer. */
		order_release(wbci_entry_origin(e, i),
		              is_double ? double_origin(&a[i], made, left[i],
		                                        journaled)
		                        : int64_origin(&a[i], made, left[i],
		                                       journaled));
	}
}

/* Columns with a value that is journaled and not applied. */
static uint64_t pending_columns(const struct wbci_newest *newest, unsigned n)
{
	uint64_t columns = 0;

	for (unsigned i = 0; i < n; i++)
		columns |= newest[i].columns;
	return columns;
}

/* A piece that set columns of this row was applied, or refused. */
static void settle_columns(const struct storing *st, struct row_shm *plain,
                           uint64_t row, uint64_t pending)
{
	const struct wbci_rowset *rs = &st->w->rows;
	const struct wbci_columns c = {st->s, st->t, plain, rs};
	const struct wbci_set *set = rs->rows[row]->set;
	unsigned fate = st->w->fates ? st->w->fates[row] : FATE_UNKNOWN;
	/* Relaxed: see wbci_columns_load(). */
	uint32_t loaded = order_load(&plain->loaded);

	if (fate == FATE_APPLIED) {
		/* It is there now; what was set grows old from here on. */
		if (!loaded || loaded & WBCI_BASE_ABSENT)
			order_store(&plain->loaded, base_now(st->s, false));
		return;
	}
	loaded = fate == FATE_NOROW ? base_now(st->s, true)
	                            : loaded & ~WBCI_BASE_ABSENT;
	wbci_columns_forget(&c, set ? set->columns : 0, pending, loaded);
}

/* What is journaled of a row, and not in the database. */
struct unapplied {
	uint64_t delta[WBC_COUNTERS_MAX];
	uint64_t pending;                /* plain columns */
	const struct wbci_set *values;   /* of those; NULL: not wanted */
};

/* A row was applied: what the database answered. */
static void store_applied(const struct storing *st, uint64_t row,
                          const struct unapplied *left)
{
	const struct wbci_rowset *rs = &st->w->rows;
	struct row_shm *plain;
	struct entry_shm *e;
	unsigned n;

	e = find_entry(st, wbci_row_key(rs, rs->rows[row]),
	               rs->rows[row]->key_len, &n, &plain);
	if (!e)
		return;
	store_cells(st, e, n, row, left->delta);
	if (plain)
		settle_columns(st, plain, row, left->pending);
	wbci_exit(st->t);
}

/* A row was read.  0, or -ENOSPC: there is no room for its columns. */
static int store_read(const struct storing *st, uint64_t row,
                      const struct unapplied *left)
{
	const struct wbci_rowset *rs = &st->w->rows;
	struct wbci_columns c = {st->s, st->t, NULL, rs};
	struct entry_shm *e;
	int error = 0;
	unsigned n;

	e = find_entry(st, wbci_row_key(rs, rs->rows[row]),
	               rs->rows[row]->key_len, &n, &c.row);
	if (!e)
		return 0;
	store_cells(st, e, n, row, left->delta);
	if (c.row)
		error = wbci_columns_load(
			&c, rs->rows[row]->set, left->pending, left->values,
			base_now(st->s, st->w->fates &&
			                       st->w->fates[row] == FATE_NOROW));
	wbci_exit(st->t);
	return error;
}

/* A row that was inserted is not missing any more: what it has is read when
 * somebody wants to know. */
static void forget_norow(const struct storing *st, const unsigned char *key,
                         uint32_t key_len)
{
	const struct wbci_rowset *rs = &st->w->rows;
	struct row_shm *plain;
	unsigned n;
	struct entry_shm *e = find_entry(st, key, key_len, &n, &plain);
	bool absent;

	if (!e)
		return;
	/* Relaxed: see wbci_columns_load(). */
	if (plain && order_load(&plain->loaded) & WBCI_BASE_ABSENT)
		order_store(&plain->loaded, 0);
	absent = n && order_load(&e->base) & WBCI_BASE_ABSENT;
	for (unsigned i = 0; i < n; i++) {
		bool is_double = rs->doubles >> i & 1;
		order_u64 *origin = wbci_entry_origin(e, i);

		if (absent || order_load(origin) ==
		                      (is_double ? WBCI_DOUBLE_NOROW
		                                 : WBCI_INT64_NOROW))
			order_release(origin, is_double ? WBCI_DOUBLE_UNKNOWN
			                                : WBCI_INT64_UNKNOWN);
	}
	wbci_exit(st->t);
}

static void note_insert(const struct storing *st, const unsigned char *record,
                        uint32_t bytes)
{
	const struct wbci_schema *schema = &st->w->rows.schema;
	struct wbc_value values[WBC_COLUMNS_MAX], keys[WBC_COLUMNS_MAX];
	uint8_t columns[WBC_COLUMNS_MAX];
	unsigned char key[WBC_KEY_MAX];
	size_t n_keys = 0;
	int n, len;

	n = wbci_record_parse(schema, record, bytes, values, columns);
	for (int i = 0; i < n; i++)
		if (schema->columns[columns[i]].role == ROLE_KEY)
			keys[n_keys++] = values[i];
	len = wbci_key_encode(schema, keys, n_keys, key);
	if (len >= 0)
		forget_norow(st, key, (uint32_t)len);
}

static void note_inserts(const struct storing *st)
{
	const struct wbci_rowset *rs = &st->w->rows;
	struct record_shm record;

	if (!rs->schema.n_keys)
		return;
	for (uint64_t at = 0; at < rs->inserts_bytes; at += record.bytes) {
		memcpy(&record, rs->inserts + at, sizeof(record));
		note_insert(st, rs->inserts + at, record.bytes);
	}
}

/* False: the segment does not have this table, as the work knows it. */
static bool begin_storing(struct storing *st, struct wbci_flusher *f,
                          const struct wbci_queue *q,
                          const struct wbci_work *w)
{
	if (q->segment_table < 0 ||
	    q->declared.spec_hash != w->rows.spec_hash ||
	    wbci_thread(f->client, &st->t))
		return false;
	st->s = &f->client->segment;
	st->w = w;
	st->table = (uint8_t)q->segment_table;
	return true;
}

static uint64_t find_pending(const struct wbci_flusher *f, uint64_t id,
                             const struct wbci_rowset *rs,
                             const struct wbci_row *row)
{
	struct wbci_newest newest[WBC_COLUMNS_MAX];
	uint64_t left[WBC_COUNTERS_MAX];

	return pending_columns(newest,
	                       wbci_unapplied_find(f->unapplied, id, rs,
	                                           wbci_row_key(rs, row),
	                                           row->key_len, left, newest));
}

void wbci_origins_applied(struct wbci_flusher *f, struct wbci_queue *q,
                          const struct wbci_work *w)
{
	const struct wbci_rowset *rs = &w->rows;
	uint64_t id = wbci_queue_rows_id(q, rs->spec_hash);
	struct unapplied left = {.pending = 0};
	struct storing st;
	bool stored = begin_storing(&st, f, q, w);

	if (stored)
		note_inserts(&st);
	for (uint64_t i = 0; i < rs->n_rows; i++) {
		if (i == rs->n_rows / 2)
			wbci_point(POINT_ORIGINS_HALF);
		wbci_unapplied_apply(f->unapplied, id, rs, rs->rows[i],
		                     left.delta);
		if (!stored)
			continue;
		left.pending = rs->rows[i]->set
		                       ? find_pending(f, id, rs, rs->rows[i])
		                       : 0;
		store_applied(&st, i, &left);
	}
	wbci_point(POINT_ORIGINS_STORED);
}

/* The same; the segment grows for it, once. */
static int store_growing(const struct storing *st, uint64_t row,
                         const struct unapplied *left)
{
	uint32_t have = wbci_committed(st->s);
	int error = store_read(st, row, left);

	if (error != -ENOSPC || wbci_segment_grow(st->s, have))
		return error;
	return store_read(st, row, left);
}

/* One chunk of the journal, and the row in it that is wanted. */
struct place {
	const struct wbci_blob_place *at;
	struct wbci_rowset *rs;
	bool found;
};

static int read_place(void *arg, const char *table, uint64_t number,
                      uint32_t chunk, const void *blob, size_t bytes)
{
	struct place *p = arg;

	(void)table;
	(void)number;
	if (chunk != p->at->chunk)
		return 0;
	p->found = true;
	return wbci_rowset_read_row(p->rs, blob, bytes, p->at->at);
}

/* The newest journaled values of a row's columns, oldest places first, so that
 * the newest stay.  They go into a row set of their own. */
static int read_values(struct wbci_flusher *f, const struct wbci_queue *q,
                       const struct wbci_newest *newest, unsigned n,
                       struct wbci_rowset *rs)
{
	while (n-- > 0) {
		struct place p = {&newest[n].place, rs, false};
		int error = wbci_journal_each_blob(
			f->journal, newest[n].planned ? BLOB_PIECE : BLOB_BATCH,
			q->name, newest[n].place.number, read_place, &p);

		if (error || !p.found)
			return error ? error : WBC_E_CORRUPT;
	}
	return 0;
}

/* A row that was read, with what the journal has of it. */
static int take_read(struct wbci_flusher *f, const struct wbci_queue *q,
                     const struct storing *st, uint64_t i, uint64_t id)
{
	const struct wbci_rowset *rs = &st->w->rows;
	const struct wbci_row *row = rs->rows[i];
	struct wbci_newest newest[WBC_COLUMNS_MAX];
	struct unapplied left = {.pending = 0};
	struct wbci_rowset journal;
	unsigned n;
	int error;

	n = wbci_unapplied_find(f->unapplied, id, rs, wbci_row_key(rs, row),
	                        row->key_len, left.delta, newest);
	if (n == 0)
		return store_growing(st, i, &left);
	left.pending = pending_columns(newest, n);
	error = wbci_rowset_init(&journal, rs->spec, rs->spec_bytes, false);
	if (error)
		return error;
	error = read_values(f, q, newest, n, &journal);
	if (!error && journal.n_rows == 1)
		left.values = journal.rows[0]->set;
	if (!error)
		error = store_growing(st, i, &left);
	wbci_rowset_free(&journal);
	return error;
}

int wbci_origins_read(struct wbci_flusher *f, struct wbci_queue *q,
                       const struct wbci_work *w)
{
	const struct wbci_rowset *rs = &w->rows;
	uint64_t id = wbci_queue_rows_id(q, rs->spec_hash);
	struct storing st;
	int error = 0;

	if (!begin_storing(&st, f, q, w))
		return 0;
	for (uint64_t i = 0; i < rs->n_rows; i++) {
		int failed = take_read(f, q, &st, i, id);

		error = error ? error : failed;
	}
	return error;
}
