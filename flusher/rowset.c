/* SPDX-License-Identifier: MIT */
/* Copyright the wbcshm authors */

#include "rowset.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "../shm/layout.h"
#include "frame.h"

/* Memory for rows, given back all at once; pointers into it stay. */
struct wbci_arena {
	struct wbci_arena *next;
	uint64_t used;
	uint64_t room;
	uint64_t bytes[];
};

#define ARENA_FIRST (16u << 10)
#define ARENA_MOST (1u << 20)
#define SLOTS_FIRST 256u

static uint64_t pad8(uint64_t n)
{
	return (n + 7) & ~UINT64_C(7);
}

static struct wbci_arena *new_arena(uint64_t room)
{
	struct wbci_arena *a = malloc(sizeof(*a) + room);

	if (!a)
		return NULL;
	a->next = NULL;
	a->used = 0;
	a->room = room;
	return a;
}

/* Its own memory, behind that which has room for others. */
static void *take_large(struct wbci_rowset *rs, uint64_t bytes)
{
	struct wbci_arena *a = new_arena(bytes);

	if (!a)
		return NULL;
	a->used = bytes;
	if (rs->arena) {
		a->next = rs->arena->next;
		rs->arena->next = a;
	} else {
		rs->arena = a;
	}
	return a->bytes;
}

void *wbci_rowset_take(struct wbci_rowset *rs, uint64_t bytes)
{
	struct wbci_arena *a = rs->arena;
	uint64_t room;
	void *place;

	bytes = pad8(bytes);
	if (bytes > ARENA_MOST / 4)
		return take_large(rs, bytes);
	if (!a || a->room - a->used < bytes) {
		room = a && a->room < ARENA_MOST ? a->room * 2 : ARENA_FIRST;
		if (a && a->room >= ARENA_MOST)
			room = ARENA_MOST;
		while (room < bytes)
			room *= 2;
		a = new_arena(room);
		if (!a)
			return NULL;
		a->next = rs->arena;
		rs->arena = a;
	}
	place = (unsigned char *)a->bytes + a->used;
	a->used += bytes;
	return place;
}

int wbci_rowset_init(struct wbci_rowset *rs, const char *spec,
                     size_t spec_bytes, bool unique)
{
	int error;

	memset(rs, 0, sizeof(*rs));
	error = wbci_schema_parse(&rs->schema, spec, spec_bytes, NULL);
	if (error)
		return error;
	rs->spec = malloc(spec_bytes + 1);
	if (!rs->spec)
		return -ENOMEM;
	memcpy(rs->spec, spec, spec_bytes);
	rs->spec[spec_bytes] = '\0';
	rs->spec_bytes = (uint32_t)spec_bytes;
	rs->spec_hash = wbci_hash(spec, spec_bytes);
	rs->unique = unique;
	for (unsigned i = 0; i < rs->schema.n_cells; i++)
		if (rs->schema.columns[rs->schema.cell_column[i]].type ==
		    WBC_DOUBLE)
			rs->doubles |= 1u << i;
	return 0;
}

void wbci_rowset_free(struct wbci_rowset *rs)
{
	struct wbci_arena *next;

	for (; rs->arena; rs->arena = next) {
		next = rs->arena->next;
		free(rs->arena);
	}
	free(rs->spec);
	free(rs->inserts);
	free(rs->rows);
	free(rs->slots);
	memset(rs, 0, sizeof(*rs));
}

uint64_t wbci_delta_sum(bool is_double, uint64_t a, uint64_t b)
{
	double x, y;

	if (!is_double)
		return a + b;
	memcpy(&x, &a, sizeof(x));
	memcpy(&y, &b, sizeof(y));
	x += y;
	memcpy(&a, &x, sizeof(a));
	return a;
}

bool wbci_delta_zero(bool is_double, uint64_t delta)
{
	/* Both zeros of a double. */
	return !(is_double ? delta << 1 : delta);
}

bool wbci_row_zero(const struct wbci_rowset *rs, const struct wbci_row *row)
{
	if (row->set)
		return false;
	for (unsigned i = 0; i < rs->schema.n_cells; i++)
		if (!wbci_delta_zero(rs->doubles >> i & 1, row->delta[i]))
			return false;
	return true;
}

/* The slot of a key, or the empty one where it belongs. */
static uint64_t find_slot(const struct wbci_rowset *rs, uint64_t hash,
                          const unsigned char *key, uint32_t key_len)
{
	uint64_t i = hash & (rs->n_slots - 1);
	const struct wbci_row *row;

	while (rs->slots[i]) {
		row = rs->rows[rs->slots[i] - 1];
		if (row->hash == hash && row->key_len == key_len &&
		    !memcmp(wbci_row_key(rs, row), key, key_len))
			break;
		i = (i + 1) & (rs->n_slots - 1);
	}
	return i;
}

/* Room for one more slot, at a load of at most 1/2. */
static int grow_slots(struct wbci_rowset *rs)
{
	uint64_t n = rs->n_slots ? rs->n_slots * 2 : SLOTS_FIRST;
	uint64_t i;
	uint32_t *slots;

	if (rs->n_rows + 1 <= rs->n_slots / 2)
		return 0;
	if (rs->n_rows >= UINT32_MAX / 4)
		return -ENOMEM;
	slots = calloc(n, sizeof(*slots));
	if (!slots)
		return -ENOMEM;
	for (uint64_t r = 0; r < rs->n_rows; r++) {
		i = rs->rows[r]->hash & (n - 1);
		while (slots[i])
			i = (i + 1) & (n - 1);
		slots[i] = (uint32_t)r + 1;
	}
	free(rs->slots);
	rs->slots = slots;
	rs->n_slots = n;
	return 0;
}

static int grow_rows(struct wbci_rowset *rs)
{
	uint64_t room = rs->rows_room ? rs->rows_room * 2 : 64;
	struct wbci_row **rows;

	if (rs->n_rows < rs->rows_room)
		return 0;
	rows = realloc(rs->rows, room * sizeof(struct wbci_row *));
	if (!rows)
		return -ENOMEM;
	rs->rows = rows;
	rs->rows_room = room;
	return 0;
}

static int append_row(struct wbci_rowset *rs, uint64_t hash,
                      const unsigned char *key, uint32_t key_len,
                      const uint64_t *delta)
{
	size_t cells = rs->schema.n_cells * sizeof(uint64_t);
	struct wbci_row *row;

	if (grow_rows(rs))
		return -ENOMEM;
	row = wbci_rowset_take(rs, sizeof(*row) + cells + key_len);
	if (!row)
		return -ENOMEM;
	row->hash = hash;
	row->key_len = key_len;
	row->reserved = 0;
	row->set = NULL;
	memcpy(row->delta, delta, cells);
	memcpy((unsigned char *)row->delta + cells, key, key_len);
	rs->rows[rs->n_rows++] = row;
	return 0;
}

/* The row of a key, which has deltas of its own by now. */
static int find_row(struct wbci_rowset *rs, const unsigned char *key,
                    uint32_t key_len, const uint64_t *delta,
                    struct wbci_row **found)
{
	struct wbci_row *row;
	uint64_t hash = 0;
	uint64_t slot = 0;
	int error;

	if (!rs->unique) {
		error = grow_slots(rs);
		if (error)
			return error;
		hash = wbci_hash(key, key_len);
		slot = find_slot(rs, hash, key, key_len);
	}
	if (rs->unique || !rs->slots[slot]) {
		error = append_row(rs, hash, key, key_len, delta);
		if (error)
			return error;
		if (!rs->unique)
			rs->slots[slot] = (uint32_t)rs->n_rows;
		*found = rs->rows[rs->n_rows - 1];
		return 0;
	}
	row = rs->rows[rs->slots[slot] - 1];
	for (unsigned i = 0; i < rs->schema.n_cells; i++)
		row->delta[i] = wbci_delta_sum(rs->doubles >> i & 1,
		                               row->delta[i], delta[i]);
	*found = row;
	return 0;
}

int wbci_rowset_add(struct wbci_rowset *rs, const unsigned char *key,
                    uint32_t key_len, const uint64_t *delta)
{
	struct wbci_row *row;

	return find_row(rs, key, key_len, delta, &row);
}

int wbci_rowset_change(struct wbci_rowset *rs, const unsigned char *key,
                       uint32_t key_len, const uint64_t *delta,
                       const struct wbc_value *values, const uint8_t *columns,
                       unsigned n)
{
	static const uint64_t nothing[WBC_COUNTERS_MAX];
	struct wbci_row *row;
	int error;

	if (!n)
		return wbci_rowset_add(rs, key, key_len, delta);
	/* The values first, since only they can be wrong. */
	error = find_row(rs, key, key_len, nothing, &row);
	if (!error)
		error = wbci_set_change(rs, &row->set, values, columns, n);
	if (error)
		return error;
	for (unsigned i = 0; i < rs->schema.n_cells; i++)
		row->delta[i] = wbci_delta_sum(rs->doubles >> i & 1,
		                               row->delta[i], delta[i]);
	return 0;
}

uint64_t wbci_row_bytes(const struct wbci_rowset *rs,
                        const struct wbci_row *row)
{
	return 8 + rs->schema.n_cells * sizeof(uint64_t) + pad8(row->key_len) +
	       (row->set ? row->set->bytes : 0);
}

int wbci_rowset_insert(struct wbci_rowset *rs, const unsigned char *record,
                       uint64_t bytes)
{
	uint64_t room = rs->inserts_room ? rs->inserts_room : 4096;
	unsigned char *inserts;

	while (room - rs->inserts_bytes < bytes)
		room *= 2;
	if (room != rs->inserts_room) {
		inserts = realloc(rs->inserts, room);
		if (!inserts)
			return -ENOMEM;
		rs->inserts = inserts;
		rs->inserts_room = room;
	}
	memcpy(rs->inserts + rs->inserts_bytes, record, bytes);
	rs->inserts_bytes += bytes;
	rs->n_inserts++;
	return 0;
}

static int compare_rows(const void *a, const void *b, void *arg)
{
	const struct wbci_rowset *rs = arg;
	const struct wbci_row *x = *(struct wbci_row *const *)a;
	const struct wbci_row *y = *(struct wbci_row *const *)b;
	uint32_t n = x->key_len < y->key_len ? x->key_len : y->key_len;
	int order = memcmp(wbci_row_key(rs, x), wbci_row_key(rs, y), n);

	if (order)
		return order;
	return (x->key_len > y->key_len) - (x->key_len < y->key_len);
}

void wbci_rowset_sort(struct wbci_rowset *rs)
{
	struct wbci_row *row;
	uint64_t kept = 0;

	for (uint64_t i = 0; i < rs->n_rows; i++) {
		row = rs->rows[i];
		if (wbci_row_zero(rs, row))
			continue;
		rs->rows[i] = rs->rows[kept];
		rs->rows[kept++] = row;
	}
	rs->n_zero += rs->n_rows - kept;
	rs->n_rows = kept;
	free(rs->slots);
	rs->slots = NULL;
	rs->n_slots = 0;
	if (kept)
		qsort_r(rs->rows, kept, sizeof(struct wbci_row *), compare_rows,
		        rs);
}

static uint64_t record_bytes(const struct wbci_rowset *rs, uint64_t at)
{
	struct record_shm record;

	memcpy(&record, rs->inserts + at, sizeof(record));
	return record.bytes;
}

/* How many rows from @at on are within both bounds; one, if it is the first
 * of all, whatever its size. */
static uint64_t cut_rows(const struct wbci_rowset *rs, uint64_t at,
                         uint64_t max_rows, uint64_t max_bytes, bool first)
{
	uint64_t end = at;
	uint64_t bytes;

	for (; end < rs->n_rows && end - at < max_rows; end++) {
		bytes = wbci_row_bytes(rs, rs->rows[end]);
		if (bytes > max_bytes && !(first && end == at))
			break;
		max_bytes -= bytes < max_bytes ? bytes : max_bytes;
	}
	return end - at;
}

bool wbci_rowset_cut(const struct wbci_rowset *rs, struct wbci_slice *slice,
                     uint64_t max_rows, uint64_t max_bytes)
{
	uint64_t from = slice->insert_to;
	uint64_t at = from;
	uint64_t left = max_rows;

	slice->n_inserts = 0;
	while (at < rs->inserts_bytes && left &&
	       (at == from || at - from + record_bytes(rs, at) <= max_bytes)) {
		at += record_bytes(rs, at);
		slice->n_inserts++;
		left--;
	}
	slice->insert_from = from;
	slice->insert_to = at;
	slice->row_from = slice->row_to;
	max_bytes -= at - from < max_bytes ? at - from : max_bytes;
	/* Rows follow when all inserts are out. */
	if (at == rs->inserts_bytes)
		slice->row_to += cut_rows(rs, slice->row_from, left, max_bytes,
		                          at == from);
	return slice->n_inserts || slice->row_to > slice->row_from;
}

struct wbci_slice wbci_rowset_all(const struct wbci_rowset *rs)
{
	struct wbci_slice all = {0, rs->inserts_bytes, rs->n_inserts, 0,
	                         rs->n_rows};

	return all;
}
