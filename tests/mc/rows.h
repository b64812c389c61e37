/* SPDX-License-Identifier: MIT */
/* Copyright the wbcshm authors */

/*
 * Rows for programs under the model checker: a table with one counter, and
 * entries of it.
 */
#ifndef ROWS_H
#define ROWS_H

#include <string.h>

#include "mc.h"

#include "shm/cell.h"
#include "shm/entry.h"
#include "shm/epoch.h"
#include "shm/hot.h"
#include "shm/page.h"
#include "shm/round.h"
#include "shm/wake.h"

struct rows {
	struct wbci_schema schema;
	struct wbci_key key[4];
	unsigned char bytes[4][4];
	struct entry_shm *entry[4];
	struct wbci_ref ref[4];
};

/* In setup: a schema, and keys that nobody has used yet. */
static inline struct rows *rows_make_as(const char *spec)
{
	struct rows *r = mc_keep(sizeof(*r));

	if (wbci_schema_parse(&r->schema, spec, strlen(spec), NULL))
		tap_bail("the schema does not parse");
	for (unsigned i = 0; i < 4; i++) {
		memcpy(r->bytes[i], "row", 3);
		r->bytes[i][3] = (unsigned char)('0' + i);
		wbci_key_init(mc_segment(), &r->key[i], SPACE_ROW, 0,
		              r->bytes[i], 4);
	}
	return r;
}

static inline struct rows *rows_make(void)
{
	return rows_make_as("t(k text key, n counter)");
}

/* Choose key i so that its hash agrees with key 0's below the root in so
 * many digits, and then differs. */
static inline void rows_clash(struct rows *r, unsigned i, unsigned digits)
{
	const struct wbci_segment *s = mc_segment();
	uint64_t low = s->geo.root_bits + digits * WBCI_NODE_BITS;

	/* Each of them looks elsewhere, so that they are different keys. */
	for (uint32_t n = i << 22; n < (i + 1) << 22; n++) {
		uint64_t differ;

		for (unsigned c = 0; c < 4; c++)
			r->bytes[i][c] =
				(unsigned char)('0' + (n >> 6 * c & 63));
		wbci_key_init(s, &r->key[i], SPACE_ROW, 0, r->bytes[i], 4);
		differ = r->key[i].hash ^ r->key[0].hash;
		if (!(differ & ((UINT64_C(1) << low) - 1)) &&
		    (differ >> low & (WBCI_NODE_WORDS - 1)))
			return;
	}
	tap_bail("no key clashes in %u digits", digits);
}

/* In setup: key i has an entry, made by thread t. */
static inline void rows_open(struct rows *r, unsigned i, unsigned t)
{
	struct wbci_thread *thread;
	uint64_t offset;

	mc_join(t);
	mc_as((int)t);
	thread = mc_place();
	if (wbci_entry_open(thread, &r->key[i], &r->schema, &r->entry[i],
	                    &offset))
		tap_bail("no entry");
	r->ref[i].offset = offset;
	r->ref[i].incarnation = order_load(&r->entry[i]->word) >> 4;
	wbci_exit(thread);
	mc_as(-1);
}

/* In setup: thread t has pages for entries of a size and for nodes, and need
 * not look. */
static inline void rows_warm_for(unsigned t, uint64_t bytes)
{
	struct wbci_thread *thread;
	uint64_t entry, node;

	mc_join(t);
	mc_as((int)t);
	thread = mc_place();
	wbci_enter(thread);
	if (wbci_block_alloc(thread, PAGE_ENTRIES, bytes, &entry) ||
	    wbci_block_alloc(thread, PAGE_BLOCKS, sizeof(struct node_shm),
	                     &node))
		tap_bail("no blocks");
	wbci_block_undo(thread, entry);
	wbci_block_undo(thread, node);
	wbci_exit(thread);
	mc_as(-1);
}

/* The same for entries with a counter. */
static inline void rows_warm(unsigned t)
{
	rows_warm_for(t, wbci_entry_bytes(1, 4));
}

/* Add to the counter of the key's entry, which is made if it must. */
static inline int rows_add(struct rows *r, unsigned i, int64_t delta)
{
	struct wbci_thread *t = mc_place();
	struct entry_shm *e;
	uint64_t offset, total;
	int error = wbci_entry_open(t, &r->key[i], &r->schema, &e, &offset);

	if (error)
		return error;
	error = wbci_cell_add_int64(t, e, 0, delta, &total);
	wbci_exit(t);
	if (!error)
		mc_ack((uint64_t)delta);
	return error;
}

/* Add by a handle: (offset, incarnation), which may be stale. */
static inline bool rows_add_ref(struct rows *r, unsigned i, int64_t delta)
{
	struct wbci_thread *t = mc_place();
	struct entry_shm *e = wbci_at(mc_segment(), r->ref[i].offset);
	uint64_t total;

	wbci_enter(t);
	/* ORDER entry.state, acquire */
	if (order_acquire(&e->word) !=
	    wbci_entry_word(r->ref[i].incarnation, ENTRY_LIVE)) {
		wbci_exit(t);
		return false;
	}
	if (wbci_cell_add_int64(t, e, 0, delta, &total))
		mc_fail(NULL, 0, "an add was refused");
	wbci_exit(t);
	mc_ack((uint64_t)delta);
	return true;
}

/* In check: the sum of the cells of a key, as a reader finds it. */
static inline uint64_t rows_total(struct rows *r, unsigned i, bool *there)
{
	struct entry_shm *e;
	uint64_t offset;
	uint64_t total = 0;

	mc_as(0);
	*there = wbci_entry_find(mc_place(), &r->key[i], &e, &offset) == 0;
	if (*there) {
		total = order_load(&e->total);
		wbci_exit(mc_place());
	}
	mc_as(-1);
	return total;
}

#endif
