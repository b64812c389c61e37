/* SPDX-License-Identifier: MIT */
/* Copyright the wbcshm authors */

#include "unapplied.h"

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "frame.h"

#define SLOTS_FIRST 1024u
#define SLAB_BYTES (1u << 20)
#define CLASS_BYTES 16u
#define CLASSES 128u /* of memory that is used again, by its size */
#define AHEAD 16u    /* rows whose slots are fetched in advance */

/* The newest value of some columns stands there. */
struct ref {
	struct ref *next; /* an older one */
	uint64_t columns;
	struct wbci_blob_place place;
};

/* A row: waiting[n_cells], planned[n_cells], then the key. */
struct row {
	uint64_t table;
	struct ref *waiting; /* of other columns each */
	struct ref *planned;
	uint16_t key_len;
	uint8_t n_cells;
	bool waits;      /* some batch holds it */
	bool is_planned; /* some piece holds it */
	uint64_t cells[];
};

struct slot {
	uint64_t hash;
	struct row *row; /* NULL: free */
};

/* Memory for rows; given back when the map is empty. */
struct slab {
	struct slab *next;
	uint64_t bytes[];
};

/* A piece of memory that is free. */
struct hole {
	struct hole *next;
};

struct wbci_unapplied {
	struct slot *slots;
	uint64_t n_slots; /* a power of two, at most 2/3 of it used */
	uint64_t n;
	struct slab *slabs;
	size_t used; /* bytes of the first slab */
	struct hole *holes[CLASSES];
};

static size_t class_of(size_t bytes)
{
	return (bytes + CLASS_BYTES - 1) / CLASS_BYTES;
}

/* Bytes of the longest row are far below a slab's. */
static void *take(struct wbci_unapplied *u, size_t bytes)
{
	size_t class = class_of(bytes);
	struct hole *hole = u->holes[class];
	struct slab *slab;
	void *place;

	if (hole) {
		u->holes[class] = hole->next;
		return hole;
	}
	bytes = class * CLASS_BYTES;
	if (!u->slabs || SLAB_BYTES - u->used < bytes) {
		slab = malloc(sizeof(*slab) + SLAB_BYTES);
		if (!slab)
			return NULL;
		slab->next = u->slabs;
		u->slabs = slab;
		u->used = 0;
	}
	place = (unsigned char *)u->slabs->bytes + u->used;
	u->used += bytes;
	return place;
}

static void put_back(struct wbci_unapplied *u, void *place, size_t bytes)
{
	struct hole *hole = place;

	hole->next = u->holes[class_of(bytes)];
	u->holes[class_of(bytes)] = hole;
}

/* All memory for rows: there are none. */
static void drop_slabs(struct wbci_unapplied *u)
{
	struct slab *next;

	for (; u->slabs; u->slabs = next) {
		next = u->slabs->next;
		free(u->slabs);
	}
	memset(u->holes, 0, sizeof(u->holes));
}

int wbci_unapplied_new(struct wbci_unapplied **unapplied)
{
	struct wbci_unapplied *u = calloc(1, sizeof(*u));

	if (u)
		u->slots = calloc(SLOTS_FIRST, sizeof(*u->slots));
	if (!u || !u->slots) {
		free(u);
		return -ENOMEM;
	}
	u->n_slots = SLOTS_FIRST;
	*unapplied = u;
	return 0;
}

void wbci_unapplied_free(struct wbci_unapplied **unapplied)
{
	struct wbci_unapplied *u = *unapplied;

	*unapplied = NULL;
	if (!u)
		return;
	drop_slabs(u);
	free(u->slots);
	free(u);
}

uint64_t wbci_unapplied_rows(const struct wbci_unapplied *u)
{
	return u->n;
}

uint64_t wbci_unapplied_bytes(const struct wbci_unapplied *u)
{
	uint64_t bytes = u->n_slots * sizeof(*u->slots);

	for (const struct slab *s = u->slabs; s; s = s->next)
		bytes += SLAB_BYTES;
	return bytes;
}

static unsigned char *row_key(const struct row *r)
{
	return (unsigned char *)(uintptr_t)(r->cells + 2 * r->n_cells);
}

static size_t row_bytes(const struct row *r)
{
	return sizeof(*r) + 2 * r->n_cells * sizeof(uint64_t) + r->key_len;
}

static uint64_t hash_of(uint64_t table, const unsigned char *key, uint32_t len)
{
	return wbci_hash(key, len) + table * UINT64_C(0x9e3779b97f4a7c15);
}

/* What a lookup compares with. */
struct wanted {
	uint64_t table;
	uint64_t hash;
	const unsigned char *key;
	uint32_t key_len;
	uint8_t n_cells;
};

static struct wanted wanted_row(uint64_t table, const struct wbci_rowset *rs,
                                const struct wbci_row *row)
{
	struct wanted w = {table, 0, wbci_row_key(rs, row), row->key_len,
	                   rs->schema.n_cells};

	w.hash = hash_of(table, w.key, w.key_len);
	return w;
}

static bool is_wanted(const struct slot *s, const struct wanted *w)
{
	const struct row *r = s->row;

	/* Specifications that hash alike may differ in their cells. */
	return s->hash == w->hash && r->table == w->table &&
	       r->n_cells == w->n_cells && r->key_len == w->key_len &&
	       !memcmp(row_key(r), w->key, w->key_len);
}

/* The row's slot, or the free one where it belongs. */
static struct slot *find_slot(const struct wbci_unapplied *u,
                              const struct wanted *w)
{
	uint64_t i = w->hash & (u->n_slots - 1);

	while (u->slots[i].row && !is_wanted(&u->slots[i], w))
		i = (i + 1) & (u->n_slots - 1);
	return &u->slots[i];
}

static int resize(struct wbci_unapplied *u, uint64_t n)
{
	struct slot *slots = calloc(n, sizeof(*slots));
	uint64_t at;

	if (!slots)
		return -ENOMEM;
	for (uint64_t i = 0; i < u->n_slots; i++) {
		if (!u->slots[i].row)
			continue;
		at = u->slots[i].hash & (n - 1);
		while (slots[at].row)
			at = (at + 1) & (n - 1);
		slots[at] = u->slots[i];
	}
	free(u->slots);
	u->slots = slots;
	u->n_slots = n;
	return 0;
}

/* Room for so many rows more. */
static int grow(struct wbci_unapplied *u, uint64_t more)
{
	uint64_t n = u->n_slots;

	while ((u->n + more) * 3 > n * 2)
		n *= 2;
	return n == u->n_slots ? 0 : resize(u, n);
}

static void drop_refs(struct wbci_unapplied *u, struct ref **list)
{
	struct ref *next;

	for (; *list; *list = next) {
		next = (*list)->next;
		put_back(u, *list, sizeof(**list));
	}
}

/* Remove a row: what stands behind it and wants to be nearer moves up. */
static void bury(struct wbci_unapplied *u, struct slot *slot)
{
	uint64_t mask = u->n_slots - 1;
	uint64_t hole = (uint64_t)(slot - u->slots);
	struct row *r = slot->row;

	drop_refs(u, &r->waiting);
	drop_refs(u, &r->planned);
	put_back(u, r, row_bytes(r));
	for (uint64_t i = (hole + 1) & mask; u->slots[i].row;
	     i = (i + 1) & mask) {
		if (((i - u->slots[i].hash) & mask) < ((i - hole) & mask))
			continue;
		u->slots[hole] = u->slots[i];
		hole = i;
	}
	u->slots[hole].row = NULL;
	if (--u->n)
		return;
	drop_slabs(u);
	/* Slots of a peak that is over; it is no harm if this fails. */
	if (u->n_slots > SLOTS_FIRST)
		resize(u, SLOTS_FIRST);
}

static struct row *find_or_add(struct wbci_unapplied *u, const struct wanted *w)
{
	struct slot *s = find_slot(u, w);
	size_t bytes;
	struct row *r;

	if (s->row)
		return s->row;
	bytes = sizeof(*r) + 2 * w->n_cells * sizeof(uint64_t) + w->key_len;
	r = take(u, bytes);
	if (!r)
		return NULL;
	memset(r, 0, bytes - w->key_len);
	r->table = w->table;
	r->n_cells = w->n_cells;
	r->key_len = (uint16_t)w->key_len;
	memcpy(row_key(r), w->key, w->key_len);
	s->hash = w->hash;
	s->row = r;
	u->n++;
	return r;
}

static void sum_cells(const struct wbci_rowset *rs, uint64_t *to,
                      const uint64_t *delta)
{
	for (unsigned i = 0; i < rs->schema.n_cells; i++)
		to[i] = wbci_delta_sum(rs->doubles >> i & 1, to[i], delta[i]);
}

/* A row sets columns: of these nothing older is the newest any more. */
static int note_set(struct wbci_unapplied *u, struct ref **list,
                    const struct wbci_set *set)
{
	struct ref **at = list;
	struct ref *r;

	if (!set)
		return 0;
	while ((r = *at)) {
		r->columns &= ~set->columns;
		if (r->columns) {
			at = &r->next;
			continue;
		}
		*at = r->next;
		put_back(u, r, sizeof(*r));
	}
	r = take(u, sizeof(*r));
	if (!r)
		return -ENOMEM;
	r->next = *list;
	r->columns = set->columns;
	r->place = set->place;
	*list = r;
	return 0;
}

/* Rows of a set, a few ahead: what their slots are is asked of memory before
 * it is needed.  @each is given the row of the map, which is made if need be.
 */
typedef int each_fn(struct wbci_unapplied *u, const struct wbci_rowset *rs,
                    const struct wbci_row *from, struct row *to, void *arg);

static int each_row(struct wbci_unapplied *u, uint64_t table,
                    const struct wbci_rowset *rs, each_fn *each, void *arg)
{
	struct wanted w[AHEAD];
	struct row *r;
	uint64_t n;
	int error = 0;

	/* At once for what must be new, whatever the rest is. */
	if (rs->n_rows > u->n)
		error = grow(u, rs->n_rows - u->n);
	for (uint64_t at = 0; at < rs->n_rows && !error; at += n) {
		n = rs->n_rows - at < AHEAD ? rs->n_rows - at : AHEAD;
		error = grow(u, n);
		for (uint64_t i = 0; i < n && !error; i++) {
			w[i] = wanted_row(table, rs, rs->rows[at + i]);
			__builtin_prefetch(
				&u->slots[w[i].hash & (u->n_slots - 1)]);
		}
		for (uint64_t i = 0; i < n && !error; i++) {
			r = find_or_add(u, &w[i]);
			error = r ? each(u, rs, rs->rows[at + i], r, arg)
			          : -ENOMEM;
		}
	}
	return error;
}

static int wait_row(struct wbci_unapplied *u, const struct wbci_rowset *rs,
                    const struct wbci_row *from, struct row *to, void *arg)
{
	uint64_t *waiting = arg;

	sum_cells(rs, to->cells, from->delta);
	*waiting += !to->waits;
	to->waits = true;
	return note_set(u, &to->waiting, from->set);
}

int wbci_unapplied_wait(struct wbci_unapplied *u, uint64_t table,
                        const struct wbci_rowset *rs, uint64_t *waiting)
{
	return each_row(u, table, rs, wait_row, waiting);
}

static int planned_row(struct wbci_unapplied *u, const struct wbci_rowset *rs,
                       const struct wbci_row *from, struct row *to, void *arg)
{
	(void)arg;
	sum_cells(rs, to->cells + to->n_cells, from->delta);
	to->is_planned = true;
	return note_set(u, &to->planned, from->set);
}

int wbci_unapplied_planned(struct wbci_unapplied *u, uint64_t table,
                           const struct wbci_rowset *rs)
{
	return each_row(u, table, rs, planned_row, NULL);
}

static int plan_row(struct wbci_unapplied *u, const struct wbci_rowset *rs,
                    const struct wbci_row *from, struct row *to, void *arg)
{
	size_t cells = to->n_cells * sizeof(uint64_t);

	(void)rs;
	(void)arg;
	memset(to->cells, 0, cells);
	memcpy(to->cells + to->n_cells, from->delta, cells);
	to->waits = false;
	to->is_planned = true;
	drop_refs(u, &to->waiting);
	drop_refs(u, &to->planned);
	return note_set(u, &to->planned, from->set);
}

int wbci_unapplied_plan(struct wbci_unapplied *u, uint64_t table,
                        const struct wbci_rowset *rs)
{
	int error = each_row(u, table, rs, plan_row, NULL);
	struct wanted w;
	struct slot *s;

	/* Rows that came to nothing are in no piece. */
	for (uint64_t i = rs->n_rows; i < rs->n_rows + rs->n_zero; i++) {
		w = wanted_row(table, rs, rs->rows[i]);
		s = find_slot(u, &w);
		if (s->row)
			bury(u, s);
	}
	return error;
}

static int merge_row(struct wbci_unapplied *u, const struct wbci_rowset *rs,
                     const struct wbci_row *from, struct row *to, void *arg)
{
	(void)rs;
	(void)arg;
	/* It has every column that the merged ones had: they go. */
	return note_set(u, &to->waiting, from->set);
}

int wbci_unapplied_merge(struct wbci_unapplied *u, uint64_t table,
                         const struct wbci_rowset *rs)
{
	/* Sums are as they were. */
	return rs->sets_bytes ? each_row(u, table, rs, merge_row, NULL) : 0;
}

void wbci_unapplied_apply(struct wbci_unapplied *u, uint64_t table,
                          const struct wbci_rowset *rs,
                          const struct wbci_row *row, uint64_t *left)
{
	size_t cells = rs->schema.n_cells * sizeof(uint64_t);
	struct wanted w = wanted_row(table, rs, row);
	struct slot *s = find_slot(u, &w);
	struct row *r = s->row;

	memset(left, 0, cells);
	if (!r)
		return;
	if (!r->waits) {
		bury(u, s);
		return;
	}
	memcpy(left, r->cells, cells);
	memset(r->cells + r->n_cells, 0, cells);
	r->is_planned = false;
	drop_refs(u, &r->planned);
}

/* Add to @newest what a list has of columns that are not known yet. */
static unsigned take_newest(const struct ref *r, bool planned, uint64_t *known,
                            struct wbci_newest *newest, unsigned n)
{
	for (; r; r = r->next) {
		if (!(r->columns & ~*known))
			continue;
		newest[n++] = (struct wbci_newest){r->columns & ~*known,
		                                   planned, r->place};
		*known |= r->columns;
	}
	return n;
}

unsigned wbci_unapplied_find(const struct wbci_unapplied *u, uint64_t table,
                             const struct wbci_rowset *rs,
                             const unsigned char *key, uint32_t key_len,
                             uint64_t *left, struct wbci_newest *newest)
{
	const struct wanted w = {table, hash_of(table, key, key_len), key,
	                         key_len, rs->schema.n_cells};
	const struct row *r = find_slot(u, &w)->row;
	uint64_t known = 0;
	unsigned n;

	memset(left, 0, rs->schema.n_cells * sizeof(uint64_t));
	if (!r)
		return 0;
	sum_cells(rs, left, r->cells);
	sum_cells(rs, left, r->cells + r->n_cells);
	n = take_newest(r->waiting, false, &known, newest, 0);
	return take_newest(r->planned, true, &known, newest, n);
}

void wbci_unapplied_forget(struct wbci_unapplied *u, uint64_t table)
{
	struct row *r;

	/* A removal puts another row into the place: looked at again. */
	for (uint64_t i = 0; i < u->n_slots;) {
		r = u->slots[i].row;
		if (!r || r->table != table) {
			i++;
			continue;
		}
		memset(r->cells, 0, r->n_cells * sizeof(uint64_t));
		r->waits = false;
		drop_refs(u, &r->waiting);
		if (r->is_planned)
			i++;
		else
			bury(u, &u->slots[i]);
	}
}
