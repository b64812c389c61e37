/* SPDX-License-Identifier: MIT */
/* Copyright the wbcshm authors */

/*
 * Entries and their cells.
 *
 * who          writes
 * clients      word (FROZEN -> LIVE), stamp, totals, root
 * the flusher  word, origins, journaled; root, for what it loads
 *
 * Invariant: an entry is reached through the index or by (offset,
 * incarnation), checked in the section; it is born with all cells 0 and
 * origins unknown, and changed only after it is published.
 */
#ifndef WBCI_ENTRY_H
#define WBCI_ENTRY_H

#include "client.h"
#include "index.h"
#include "schema.h"

/* A place in the segment that may have become another's meanwhile. */
struct wbci_ref {
	uint64_t offset;
	uint64_t incarnation;
};

static inline uint64_t wbci_entry_word(uint64_t incarnation,
                                       enum entry_state state)
{
	return incarnation << 4 | (uint64_t)state;
}

/* What stands behind an entry's fixed part: cells, and a row's words. */
static inline unsigned wbci_entry_more(unsigned n_cells, bool has_row)
{
	return (n_cells > 1 ? n_cells - 1 : 0) + has_row;
}

/* Bytes of an entry with such parts and such a key. */
static inline uint64_t wbci_entry_size(unsigned more, unsigned key_len)
{
	uint64_t tail =
		key_len > WBCI_KEY_INLINE ? key_len - WBCI_KEY_INLINE : 0;

	return sizeof(struct entry_shm) + more * sizeof(struct cell_shm) + tail;
}

/* The same with so many cells and no plain columns. */
static inline uint64_t wbci_entry_bytes(unsigned n_cells, unsigned key_len)
{
	return wbci_entry_size(wbci_entry_more(n_cells, false), key_len);
}

/* Where the rest of a long key stands. */
static inline unsigned char *wbci_entry_tail(struct entry_shm *e)
{
	return (unsigned char *)(e->cells + e->more);
}

/**
 * wbci_entry_row() - the words of a row's plain columns
 * @offset: of the entry, which is in a page
 *
 * Return: NULL if it has none, or what it says of itself makes no sense.
 */
static inline struct row_shm *wbci_entry_row(const struct wbci_segment *s,
                                             struct entry_shm *e,
                                             uint64_t offset)
{
	unsigned n = *(volatile uint8_t *)&e->n_cells;
	unsigned more = *(volatile uint8_t *)&e->more;

	if (more != wbci_entry_more(n, true) ||
	    !wbci_in_page(s, offset, wbci_entry_size(more, 0)))
		return NULL;
	return (struct row_shm *)(void *)(e->cells + more - 1);
}

static inline order_u64 *wbci_entry_total(struct entry_shm *e, unsigned cell)
{
	return cell ? &e->cells[cell - 1].total : &e->total;
}

static inline order_u64 *wbci_entry_origin(struct entry_shm *e, unsigned cell)
{
	return cell ? &e->cells[cell - 1].origin : &e->origin;
}

static inline order_u64 *wbci_entry_journaled(struct entry_shm *e,
                                              unsigned cell)
{
	return cell ? &e->cells[cell - 1].journaled : &e->journaled;
}

/**
 * wbci_entry_open() - find or make the entry of a key, and enter a section
 * @t:      calling thread, not in a section
 * @k:      key
 * @schema: of its table
 * @e:      receives the entry, LIVE
 * @offset: receives its offset
 *
 * On success the thread is in a section, which the caller ends; on failure
 * it is not.  In a full segment it waits, see wbci_memory_wait().
 *
 * Return: 0, -ENOSPC, -ESTALE, WBC_E_CORRUPT.
 */
int wbci_entry_open(struct wbci_thread *t, const struct wbci_key *k,
                    const struct wbci_schema *schema, struct entry_shm **e,
                    uint64_t *offset);

/**
 * wbci_entry_find() - find the entry of a key, and enter a section
 * Return: 0, -ENOENT, WBC_E_CORRUPT; a section is open only after 0.
 */
int wbci_entry_find(struct wbci_thread *t, const struct wbci_key *k,
                    struct entry_shm **e, uint64_t *offset);

#endif
