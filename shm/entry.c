/* SPDX-License-Identifier: MIT */
/* Copyright the wbcshm authors */

#include "entry.h"

#include <errno.h>
#include <string.h>

#include "../api/wbc_error.h"
#include "epoch.h"
#include "key.h"
#include "page.h"
#include "wake.h"

static uint64_t unknown_origin(const struct wbci_schema *schema, unsigned cell)
{
	unsigned column = schema->cell_column[cell];

	return schema->columns[column].type == WBC_DOUBLE ? WBCI_DOUBLE_UNKNOWN
	                                                  : WBCI_INT64_UNKNOWN;
}

static void init_row(struct row_shm *row)
{
	order_store(&row->root, 0);
	order_store(&row->journaled, 0);
	order_store(&row->loaded, 0);
	row->reserved = 0;
}

/*
 * Make a block an entry of a key: empty, unpublished.  The word comes last,
 * so that whoever finds it LIVE by an old dirty bit finds all cells 0.
 */
static void init_entry(struct entry_shm *e, const struct wbci_key *k,
                       const struct wbci_schema *schema, uint64_t cycle)
{
	uint64_t incarnation = (order_load(&e->word) >> 4) + 1;
	unsigned n = schema->n_cells;
	unsigned more = wbci_entry_more(n, schema->n_plain != 0);
	uint16_t len = wbci_key_len(k);
	uint16_t head = len < WBCI_KEY_INLINE ? len : WBCI_KEY_INLINE;

	/* Not marked yet, but no older than this. */
	order_store(&e->stamp, cycle - 1);
	memcpy(&e->space, &k->head, sizeof(k->head));
	memcpy(e->key, k->bytes, head);
	memset(e->key + head, 0, (size_t)WBCI_KEY_INLINE - head);
	e->hash = k->hash;
	e->n_cells = (uint8_t)n;
	e->more = (uint8_t)more;
	memset(e->reserved, 0, sizeof(e->reserved));
	order_store(&e->base, 0);
	order_store(&e->extension, 0);
	for (unsigned i = 0; i < n; i++) {
		order_store(wbci_entry_total(e, i), 0);
		order_store(wbci_entry_origin(e, i), unknown_origin(schema, i));
		order_store(wbci_entry_journaled(e, i), 0);
	}
	if (schema->n_plain)
		init_row((struct row_shm *)(void *)(e->cells + more - 1));
	if (len > head)
		memcpy(wbci_entry_tail(e), k->bytes + head, len - head);
	/* ORDER entry.born, release: whole before it is LIVE. */
	order_release(&e->word, wbci_entry_word(incarnation, ENTRY_LIVE));
}

/*
 * Give back an entry that was not linked, in the same section.  It was LIVE,
 * and a round that reads all blocks may be looking at it: so the block is not
 * reused before a grace period, as if it had been unlinked.
 */
static void drop_entry(struct wbci_thread *t, struct entry_shm *e,
                       uint64_t offset)
{
	uint64_t word = order_load(&e->word);

	/* Relaxed: who finds it FREE reads nothing of it. */
	order_store(&e->word, wbci_entry_word(word >> 4, ENTRY_FREE));
	wbci_block_retire(t, offset);
}

/* Allocate, fill and link in.  Returns what wbci_index_insert() returns. */
static int64_t make_entry(struct wbci_thread *t, const struct wbci_key *k,
                          const struct wbci_schema *schema)
{
	struct entry_shm *e;
	uint64_t offset;
	int64_t linked;
	int error;

	error = wbci_key_check(schema, k->bytes, wbci_key_len(k));
	if (error)
		return error;
	error = wbci_block_alloc(
		t, PAGE_ENTRIES,
		wbci_entry_size(wbci_entry_more(schema->n_cells,
	                                        schema->n_plain != 0),
	                        wbci_key_len(k)),
		&offset);
	if (error)
		return error;
	e = wbci_at(&t->client->segment, offset);
	/* Relaxed: any cycle up to now will do. */
	init_entry(e, k, schema, order_load(&t->control->cycle));
	linked = wbci_index_insert(t, k, offset);
	if (linked != (int64_t)offset)
		drop_entry(t, e, offset);
	return linked;
}

/*
 * Make sure that a linked entry is LIVE.
 *
 * All relaxed: the word's own order decides, and nothing else is handed over
 * with a state.  The entry's birth came with the index; LIVE is good until
 * our section ends, since DEAD comes a grace period after FROZEN.
 *
 * Return: 0, -EAGAIN if it was dead and is unlinked now, or WBC_E_CORRUPT.
 */
static int enliven(struct wbci_thread *t, const struct wbci_key *k,
                   struct entry_shm *e, uint64_t offset)
{
	uint64_t word = order_load(&e->word);
	int unlinked;

	for (;;) {
		switch (word & 15) {
		case ENTRY_LIVE:
			return 0;
		case ENTRY_FROZEN:
			/* ORDER entry.state, section: the flusher's CAS to
			 * DEAD fails if this comes before it, else this
			 * does. */
			order_cas_relaxed(
				&e->word, &word,
				wbci_entry_word(word >> 4, ENTRY_LIVE));
			word = order_load(&e->word);
			continue;
		case ENTRY_DEAD:
			unlinked = wbci_index_unlink(t, k, offset);
			return unlinked < 0 ? unlinked : -EAGAIN;
		default:
			return WBC_E_CORRUPT;
		}
	}
}

/* What a client is going to use must be there. */
static int check_parts(const struct wbci_segment *s, struct entry_shm *e,
                       uint64_t offset, const struct wbci_schema *schema)
{
	unsigned n = schema->n_cells;
	unsigned more = wbci_entry_more(n, schema->n_plain != 0);

	if (e->n_cells != n || e->more != more ||
	    !wbci_in_page(s, offset, wbci_entry_size(more, 0)))
		return WBC_E_CORRUPT;
	return 0;
}

int wbci_entry_open(struct wbci_thread *t, const struct wbci_key *k,
                    const struct wbci_schema *schema, struct entry_shm **e,
                    uint64_t *offset)
{
	const struct wbci_segment *s = &t->client->segment;

	int64_t deadline = 0;

	for (;;) {
		/* ORDER wake.event, acquire: before we look for memory. */
		uint32_t seen = order_acquire(&t->control->event);
		uint32_t have = wbci_committed(s);
		int64_t found;
		int error;

		wbci_enter(t);
		found = wbci_index_find(t, k);
		if (found == 0)
			found = make_entry(t, k, schema);
		error = found < 0 ? (int)found : 0;
		if (!error) {
			*offset = (uint64_t)found;
			*e = wbci_at(s, *offset);
			error = enliven(t, k, *e, *offset);
		}
		if (!error)
			error = check_parts(s, *e, *offset, schema);
		if (!error)
			return 0;
		wbci_exit(t);
		/* A block is private only within one section, so without
		 * room everything was given back: leave, grow, again. */
		if (error == -ENOSPC)
			error = wbci_memory_wait(t->client, have, seen,
			                         &deadline);
		if (error && error != -EAGAIN)
			return error;
	}
}

int wbci_entry_find(struct wbci_thread *t, const struct wbci_key *k,
                    struct entry_shm **e, uint64_t *offset)
{
	int64_t found;

	wbci_enter(t);
	found = wbci_index_find(t, k);
	if (found > 0) {
		*offset = (uint64_t)found;
		*e = wbci_at(&t->client->segment, *offset);
		/* Relaxed: as in enliven(). */
		if ((order_load(&(*e)->word) & 15) != ENTRY_DEAD)
			return 0;
		found = 0;
	}
	wbci_exit(t);
	return found < 0 ? (int)found : -ENOENT;
}
