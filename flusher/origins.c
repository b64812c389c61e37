/* SPDX-License-Identifier: MIT */
/* Copyright the wbcshm authors */

#include "origins.h"

#include <string.h>

#include "../api/wbc_error.h"
#include "../shm/cell.h"
#include "../shm/epoch.h"
#include "../shm/key.h"
#include "../shm/record.h"
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
                                    uint32_t key_len, unsigned *cells)
{
	const struct wbci_rowset *rs = &st->w->rows;
	struct entry_shm *e;
	struct wbci_key k;
	uint64_t offset;

	wbci_key_init(st->s, &k, SPACE_ROW, st->table, key, (uint16_t)key_len);
	if (wbci_entry_find(st->t, &k, &e, &offset))
		return NULL;
	*cells = cells_of(st->s, e, offset, rs);
	return e;
}

static void store_row(const struct storing *st, uint64_t row,
                      const uint64_t *left)
{
	const struct wbci_rowset *rs = &st->w->rows;
	const struct wbci_answer *a =
		st->w->answers + row * rs->schema.n_cells;
	bool made = st->w->on_missing == ON_MISSING_INSERT;
	struct entry_shm *e;
	unsigned n;

	e = find_entry(st, wbci_row_key(rs, rs->rows[row]),
	               rs->rows[row]->key_len, &n);
	if (!e)
		return;
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
	wbci_exit(st->t);
}

/* A row that was inserted is not missing any more: what it has is read when
 * somebody wants to know. */
static void forget_norow(const struct storing *st, const unsigned char *key,
                         uint32_t key_len)
{
	const struct wbci_rowset *rs = &st->w->rows;
	unsigned n;
	struct entry_shm *e = find_entry(st, key, key_len, &n);
	bool absent;

	if (!e)
		return;
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

	if (!rs->schema.n_cells || !rs->schema.n_keys)
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

void wbci_origins_applied(struct wbci_flusher *f, struct wbci_queue *q,
                          const struct wbci_work *w)
{
	const struct wbci_rowset *rs = &w->rows;
	uint64_t id = wbci_queue_rows_id(q, rs->spec_hash);
	uint64_t left[WBC_COUNTERS_MAX];
	struct storing st;
	bool stored = begin_storing(&st, f, q, w);

	if (stored)
		note_inserts(&st);
	for (uint64_t i = 0; i < rs->n_rows; i++) {
		if (i == rs->n_rows / 2)
			wbci_point(POINT_ORIGINS_HALF);
		wbci_unapplied_apply(f->unapplied, id, rs, rs->rows[i], left);
		if (stored)
			store_row(&st, i, left);
	}
	wbci_point(POINT_ORIGINS_STORED);
}

void wbci_origins_read(struct wbci_flusher *f, struct wbci_queue *q,
                       const struct wbci_work *w)
{
	const struct wbci_rowset *rs = &w->rows;
	uint64_t id = wbci_queue_rows_id(q, rs->spec_hash);
	struct wbci_newest newest[WBC_COLUMNS_MAX];
	uint64_t left[WBC_COUNTERS_MAX];
	struct storing st;

	if (!begin_storing(&st, f, q, w))
		return;
	for (uint64_t i = 0; i < rs->n_rows; i++) {
		const struct wbci_row *row = rs->rows[i];

		wbci_unapplied_find(f->unapplied, id, rs, wbci_row_key(rs, row),
		                    row->key_len, left, newest);
		store_row(&st, i, left);
	}
}
