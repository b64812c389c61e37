/* SPDX-License-Identifier: MIT */
/* Copyright the wbcshm authors */

/*
 * Copies of entries, for the flusher and for tools: words are loaded once,
 * checked, and used from the copy alone.
 */
#include <string.h>

#include "../api/wbc_error.h"
#include "page.h"
#include "round.h"

/* The entry that is block b of a page, if there can be one. */
static struct entry_shm *block_entry(const struct wbci_segment *s,
                                     uint32_t page, unsigned b,
                                     uint64_t *offset, uint64_t *room)
{
	/* ORDER page.claim, acquire: wiped since it was of another kind. */
	uint64_t word = order_acquire(&s->words[page]);
	unsigned class = wbci_page_class(word);

	if (wbci_page_kind(word) != PAGE_ENTRIES || class >= WBCI_CLASSES)
		return NULL;
	*room = wbci_class_bytes[class];
	if (*room < sizeof(struct entry_shm) || b >= WBCI_PAGE_BYTES / *room)
		return NULL;
	*offset = wbci_page_off(s, page) + b * *room;
	return wbci_at(s, *offset);
}

/* Cells first: they are atomics, and decide whether the rest is of use. */
static bool copy_cells(struct entry_shm *e, struct wbci_seen *seen)
{
	bool changed = false;

	for (unsigned i = 0; i < seen->n_cells; i++) {
		/* Relaxed: the flusher's own. */
		seen->journaled[i] = order_load(wbci_entry_journaled(e, i));
		/* ORDER cell.total, acquire: lanes are read after it, so an
		 * insert before this sum is in this round or an earlier. */
		seen->total[i] = order_acquire(wbci_entry_total(e, i));
		seen->origin[i] = order_load(wbci_entry_origin(e, i));
		changed |= seen->journaled[i] != seen->total[i];
	}
	return changed;
}

static void copy_key(struct entry_shm *e, struct wbci_seen *seen)
{
	unsigned head = seen->key_len < WBCI_KEY_INLINE ? seen->key_len
	                                                : WBCI_KEY_INLINE;
	unsigned more = seen->n_cells > 1 ? seen->n_cells - 1 : 0;

	memcpy(seen->key, e->key, head);
	if (seen->key_len > head)
		memcpy(seen->key + head, e->cells + more,
		       seen->key_len - head);
}

/* 1: copied; 0: no entry, or not wanted; WBC_E_CORRUPT. */
static int see(const struct wbci_segment *s, uint32_t page, unsigned b,
               bool changed_only, struct wbci_seen *seen)
{
	uint64_t room;
	struct entry_shm *e = block_entry(s, page, b, &seen->ref.offset, &room);
	uint64_t word;
	unsigned state;

	if (!e)
		return 0;
	/* ORDER entry.born, acquire: whole when it is LIVE. */
	word = order_acquire(&e->word);
	state = (unsigned)(word & 15);
	if (state != ENTRY_LIVE && state != ENTRY_FROZEN)
		return 0;
	seen->ref.incarnation = word >> 4;
	seen->state = (uint8_t)state;
	seen->n_cells = e->n_cells;
	if (seen->n_cells > WBC_COUNTERS_MAX ||
	    wbci_entry_bytes(seen->n_cells, 0) > room)
		return WBC_E_CORRUPT;
	if (!copy_cells(e, seen) && changed_only)
		return 0;
	seen->stamp = order_load(&e->stamp);
	seen->space = e->space;
	seen->table = e->table;
	seen->key_len = e->key_len;
	seen->hash = e->hash;
	if (seen->key_len > WBC_KEY_MAX ||
	    wbci_entry_bytes(seen->n_cells, seen->key_len) > room)
		return WBC_E_CORRUPT;
	copy_key(e, seen);
	return 1;
}

/* Still the same entry?  In a section it is; a tool has none. */
static bool is_same(const struct wbci_segment *s, const struct wbci_seen *seen)
{
	struct entry_shm *e = wbci_at(s, seen->ref.offset);

	/* The copy was made before we look again. */
	order_fence();
	return order_load(&e->word) ==
	       wbci_entry_word(seen->ref.incarnation, seen->state);
}

int wbci_seen_changed(const struct wbci_segment *s, uint32_t page, unsigned b,
                      struct wbci_seen *seen)
{
	return see(s, page, b, true, seen);
}

int wbci_seen_entry(const struct wbci_segment *s, uint64_t offset,
                    struct wbci_seen *seen)
{
	uint64_t word, room;
	unsigned class;
	uint32_t page;
	int found;

	if (!wbci_in_page(s, offset, sizeof(struct entry_shm)))
		return WBC_E_CORRUPT;
	page = wbci_page_of(s, offset);
	/* Relaxed: block_entry() acquires it. */
	word = order_load(&s->words[page]);
	class = wbci_page_class(word);
	if (wbci_page_kind(word) != PAGE_ENTRIES || class >= WBCI_CLASSES)
		return WBC_E_CORRUPT;
	room = wbci_class_bytes[class];
	if (offset % WBCI_PAGE_BYTES % room)
		return WBC_E_CORRUPT;
	found = see(s, page, (unsigned)(offset % WBCI_PAGE_BYTES / room), false,
	            seen);
	return found == 1 ? is_same(s, seen) : found;
}

int wbci_entry_visit_all(const struct wbci_segment *s, wbci_visit_fn *visit,
                         void *arg)
{
	uint32_t n = wbci_committed(s) * WBCI_PAGES_PER_EXTENT;
	struct wbci_seen seen;
	int error;

	for (uint32_t page = 0; page < n; page++) {
		/* Relaxed, as the bits: block_entry() acquires it. */
		if (wbci_page_kind(order_load(&s->words[page])) !=
		    PAGE_ENTRIES)
			continue;
		for (unsigned b = 0; b < WBCI_BLOCKS_MAX; b++) {
			uint64_t alloc =
			        order_load(&s->metas[page].alloc[b / 64]);

			if (!(alloc >> (b % 64) & 1) ||
			    see(s, page, b, false, &seen) != 1)
				continue;
			error = visit(arg, &seen);
			if (error)
				return error;
		}
	}
	return 0;
}
