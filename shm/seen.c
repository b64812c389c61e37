/* SPDX-License-Identifier: MIT */
/* Copyright the wbcshm authors */

/*
 * Copies of entries, for the flusher and for tools: words are loaded once,
 * checked, and used from the copy alone.
 */
#include <errno.h>
#include <string.h>

#include "../api/wbc_error.h"
#include "page.h"
#include "plain.h"
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
	unsigned more = wbci_entry_more(seen->n_cells, seen->has_row);

	memcpy(seen->key, e->key, head);
	if (seen->key_len > head)
		memcpy(seen->key + head, e->cells + more,
		       seen->key_len - head);
}

/* Which parts it has, as far as they are inside of its block. */
static bool copy_parts(struct entry_shm *e, uint64_t room,
                       struct wbci_seen *seen)
{
	unsigned more = *(volatile uint8_t *)&e->more;

	seen->n_cells = *(volatile uint8_t *)&e->n_cells;
	seen->has_row = more != wbci_entry_more(seen->n_cells, false);
	return seen->n_cells <= WBC_COUNTERS_MAX &&
	       more == wbci_entry_more(seen->n_cells, seen->has_row) &&
	       wbci_entry_size(more, 0) <= room;
}

/* Which version of the plain columns there is.  True if that is news. */
static bool copy_version(const struct wbci_segment *s, struct entry_shm *e,
                         struct wbci_seen *seen)
{
	struct row_shm *row = wbci_entry_row(s, e, seen->ref.offset);

	seen->root = seen->version = seen->version_journaled = 0;
	if (!seen->has_row || !row)
		return false;
	/* Relaxed: the flusher's own. */
	seen->version_journaled = order_load(&row->journaled);
	/* An acquire, so lanes are read after it, as after a total. */
	seen->root = wbci_plain_root(row);
	seen->version = wbci_tree_version(s, seen->root);
	return seen->version != seen->version_journaled;
}

/* The columns themselves, where they are wanted: 0, -E2BIG, WBC_E_CORRUPT. */
static int copy_values(const struct wbci_segment *s, struct wbci_seen *seen)
{
	uint64_t bytes = 0;
	unsigned n = 0;
	int error = 0;

	if (seen->values && seen->has_row &&
	    seen->version != seen->version_journaled)
		error = wbci_plain_collect(s, seen->root,
		                           seen->version_journaled, false,
		                           seen->values, seen->values_room,
		                           &bytes, &n);
	seen->values_bytes = (uint32_t)bytes;
	seen->n_values = (uint8_t)n;
	return error;
}

/* 1: copied; 0: no entry, or not wanted; -E2BIG; WBC_E_CORRUPT. */
static int see(const struct wbci_segment *s, uint32_t page, unsigned b,
               bool changed_only, struct wbci_seen *seen)
{
	uint64_t room;
	struct entry_shm *e = block_entry(s, page, b, &seen->ref.offset, &room);
	uint64_t word;
	unsigned state;
	bool changed;
	int error;

	if (!e)
		return 0;
	/* ORDER entry.born, acquire: whole when it is LIVE. */
	word = order_acquire(&e->word);
	state = (unsigned)(word & 15);
	if (state != ENTRY_LIVE && state != ENTRY_FROZEN)
		return 0;
	seen->ref.incarnation = word >> 4;
	seen->state = (uint8_t)state;
	if (!copy_parts(e, room, seen))
		return WBC_E_CORRUPT;
	changed = copy_cells(e, seen);
	changed |= copy_version(s, e, seen);
	if (!changed && changed_only)
		return 0;
	seen->stamp = order_load(&e->stamp);
	seen->space = e->space;
	seen->table = e->table;
	seen->key_len = e->key_len;
	seen->hash = e->hash;
	if (seen->key_len > WBC_KEY_MAX ||
	    wbci_entry_size(wbci_entry_more(seen->n_cells, seen->has_row),
	                    seen->key_len) > room)
		return WBC_E_CORRUPT;
	copy_key(e, seen);
	error = copy_values(s, seen);
	return error ? error : 1;
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
