/* SPDX-License-Identifier: MIT */
/* Copyright the wbcshm authors */

#include "unapplied.h"

#include <assert.h>
#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <urcu/urcu-memb.h>
#include <urcu/rculfhash.h>

#include "frame.h"

#define BUCKETS_FIRST 1024u

/* A row: waiting[n_cells], planned[n_cells], then the key. */
struct node {
	struct cds_lfht_node link;
	struct node *next_dead;
	uint64_t table;
	uint32_t key_len;
	uint8_t n_cells;
	bool waits;      /* some batch holds it */
	bool is_planned; /* some piece holds it */
	uint64_t cells[];
};
static_assert(offsetof(struct node, link) == 0, "a link is its node");

static struct node *node_of(struct cds_lfht_node *link)
{
	return (struct node *)(void *)link;
}

struct wbci_unapplied {
	struct cds_lfht *map;
	struct node *dead; /* removed, not yet freed */
	uint64_t n;
	unsigned long buckets;
};

/* What a lookup compares with. */
struct wanted_row {
	uint64_t table;
	const unsigned char *key;
	uint32_t key_len;
	uint8_t n_cells;
};

static unsigned char *node_key(struct node *n)
{
	return (unsigned char *)(n->cells + 2 * n->n_cells);
}

static unsigned long row_hash(uint64_t table, const unsigned char *key,
                              uint32_t key_len)
{
	return (unsigned long)(wbci_hash(key, key_len) +
	                       table * UINT64_C(0x9e3779b97f4a7c15));
}

static int match(struct cds_lfht_node *link, const void *wanted)
{
	struct node *n = node_of(link);
	const struct wanted_row *w = wanted;

	/* Specifications that hash alike may differ in their cells. */
	return n->table == w->table && n->n_cells == w->n_cells &&
	       n->key_len == w->key_len &&
	       !memcmp(node_key(n), w->key, w->key_len);
}

static struct cds_lfht *new_map(void)
{
	return cds_lfht_new_flavor(BUCKETS_FIRST, BUCKETS_FIRST, 0, 0,
	                           &urcu_memb_flavor, NULL);
}

int wbci_unapplied_new(struct wbci_unapplied **unapplied)
{
	struct wbci_unapplied *u = calloc(1, sizeof(*u));

	if (u)
		u->map = new_map();
	if (!u || !u->map) {
		free(u);
		return -ENOMEM;
	}
	u->buckets = BUCKETS_FIRST;
	*unapplied = u;
	return 0;
}

static void bury(struct wbci_unapplied *u, struct node *n)
{
	urcu_memb_read_lock();
	cds_lfht_del(u->map, &n->link);
	urcu_memb_read_unlock();
	n->next_dead = u->dead;
	u->dead = n;
	u->n--;
}

void wbci_unapplied_free(struct wbci_unapplied **unapplied)
{
	struct wbci_unapplied *u = *unapplied;
	struct cds_lfht_node *link;
	struct cds_lfht_iter iter;
	struct node *n;

	*unapplied = NULL;
	if (!u)
		return;
	urcu_memb_read_lock();
	cds_lfht_first(u->map, &iter);
	for (; (link = cds_lfht_iter_get_node(&iter));
	     cds_lfht_next(u->map, &iter)) {
		n = node_of(link);
		cds_lfht_del(u->map, &n->link);
		n->next_dead = u->dead;
		u->dead = n;
	}
	urcu_memb_read_unlock();
	wbci_unapplied_sweep(u);
	cds_lfht_destroy(u->map, NULL);
	free(u);
}

uint64_t wbci_unapplied_rows(const struct wbci_unapplied *u)
{
	return u->n;
}

static struct node *find(struct wbci_unapplied *u, uint64_t table,
                         const struct wbci_rowset *rs,
                         const struct wbci_row *row)
{
	struct wanted_row w = {table, wbci_row_key(rs, row), row->key_len,
	                       rs->schema.n_cells};
	struct cds_lfht_node *link;
	struct cds_lfht_iter iter;

	urcu_memb_read_lock();
	cds_lfht_lookup(u->map, row_hash(table, w.key, w.key_len), match, &w,
	                &iter);
	link = cds_lfht_iter_get_node(&iter);
	urcu_memb_read_unlock();
	/* Only this thread removes, so it stays without the lock. */
	return node_of(link);
}

/* Buckets grow here, by this thread: no helper thread of the library's. */
static void grow(struct wbci_unapplied *u)
{
	if (u->n <= 2 * u->buckets)
		return;
	u->buckets *= 4;
	cds_lfht_resize(u->map, u->buckets);
}

static struct node *find_or_add(struct wbci_unapplied *u, uint64_t table,
                                const struct wbci_rowset *rs,
                                const struct wbci_row *row)
{
	uint8_t n_cells = rs->schema.n_cells;
	struct node *n = find(u, table, rs, row);

	if (n)
		return n;
	n = calloc(1,
	           sizeof(*n) + 2 * n_cells * sizeof(uint64_t) + row->key_len);
	if (!n)
		return NULL;
	cds_lfht_node_init(&n->link);
	n->table = table;
	n->n_cells = n_cells;
	n->key_len = row->key_len;
	memcpy(node_key(n), wbci_row_key(rs, row), row->key_len);
	urcu_memb_read_lock();
	cds_lfht_add(u->map, row_hash(table, node_key(n), n->key_len),
	             &n->link);
	urcu_memb_read_unlock();
	u->n++;
	grow(u);
	return n;
}

static void sum_cells(const struct wbci_rowset *rs, uint64_t *to,
                      const uint64_t *delta)
{
	for (unsigned i = 0; i < rs->schema.n_cells; i++)
		to[i] = wbci_delta_sum(rs->doubles >> i & 1, to[i], delta[i]);
}

int wbci_unapplied_wait(struct wbci_unapplied *u, uint64_t table,
                        const struct wbci_rowset *rs, uint64_t *waiting)
{
	for (uint64_t i = 0; i < rs->n_rows; i++) {
		struct node *n = find_or_add(u, table, rs, rs->rows[i]);

		if (!n)
			return -ENOMEM;
		sum_cells(rs, n->cells, rs->rows[i]->delta);
		*waiting += !n->waits;
		n->waits = true;
	}
	return 0;
}

int wbci_unapplied_planned(struct wbci_unapplied *u, uint64_t table,
                           const struct wbci_rowset *rs)
{
	for (uint64_t i = 0; i < rs->n_rows; i++) {
		struct node *n = find_or_add(u, table, rs, rs->rows[i]);

		if (!n)
			return -ENOMEM;
		sum_cells(rs, n->cells + n->n_cells, rs->rows[i]->delta);
		n->is_planned = true;
	}
	return 0;
}

int wbci_unapplied_plan(struct wbci_unapplied *u, uint64_t table,
                        const struct wbci_rowset *rs)
{
	size_t cells = rs->schema.n_cells * sizeof(uint64_t);
	struct node *n;

	for (uint64_t i = 0; i < rs->n_rows; i++) {
		n = find_or_add(u, table, rs, rs->rows[i]);
		if (!n)
			return -ENOMEM;
		memset(n->cells, 0, cells);
		memcpy(n->cells + n->n_cells, rs->rows[i]->delta, cells);
		n->waits = false;
		n->is_planned = true;
	}
	/* Rows that came to nothing are in no piece. */
	for (uint64_t i = rs->n_rows; i < rs->n_rows + rs->n_zero; i++) {
		n = find(u, table, rs, rs->rows[i]);
		if (n)
			bury(u, n);
	}
	return 0;
}

void wbci_unapplied_apply(struct wbci_unapplied *u, uint64_t table,
                          const struct wbci_rowset *rs,
                          const struct wbci_row *row, uint64_t *left)
{
	size_t cells = rs->schema.n_cells * sizeof(uint64_t);
	struct node *n = find(u, table, rs, row);

	memset(left, 0, cells);
	if (!n)
		return;
	if (!n->waits) {
		bury(u, n);
		return;
	}
	memcpy(left, n->cells, cells);
	memset(n->cells + n->n_cells, 0, cells);
	n->is_planned = false;
}

void wbci_unapplied_left(struct wbci_unapplied *u, uint64_t table,
                         const struct wbci_rowset *rs,
                         const struct wbci_row *row, uint64_t *left)
{
	struct node *n = find(u, table, rs, row);

	memset(left, 0, rs->schema.n_cells * sizeof(uint64_t));
	if (!n)
		return;
	sum_cells(rs, left, n->cells);
	sum_cells(rs, left, n->cells + n->n_cells);
}

void wbci_unapplied_forget(struct wbci_unapplied *u, uint64_t table)
{
	struct cds_lfht_node *link;
	struct cds_lfht_iter iter;
	struct node *n;

	urcu_memb_read_lock();
	cds_lfht_first(u->map, &iter);
	for (; (link = cds_lfht_iter_get_node(&iter));
	     cds_lfht_next(u->map, &iter)) {
		n = node_of(link);
		if (n->table != table)
			continue;
		memset(n->cells, 0, n->n_cells * sizeof(uint64_t));
		n->waits = false;
		if (!n->is_planned)
			bury(u, n);
	}
	urcu_memb_read_unlock();
}

void wbci_unapplied_sweep(struct wbci_unapplied *u)
{
	struct node *n;

	if (!u->dead)
		return;
	urcu_memb_synchronize_rcu();
	while ((n = u->dead)) {
		u->dead = n->next_dead;
		free(n);
	}
}
