/* SPDX-License-Identifier: MIT */
/* Copyright the wbcshm authors */

#include "remove.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "epoch.h"
#include "page.h"
#include "round.h"
#include "plain.h"
#include "walk.h"

int wbci_removal_init(struct wbci_removal *r, struct wbci_client *c,
                      struct wbci_pruning *pruning)
{
	memset(r, 0, sizeof(*r));
	r->client = c;
	r->pruning = pruning;
	r->frozen = calloc(WBCI_FREEZE_MOST, sizeof(*r->frozen));
	return r->frozen ? 0 : -ENOMEM;
}

/* FROZEN -> LIVE, unless it is something else by now.  Relaxed: the release
 * sequence of entry.born goes on with what is swapped in. */
static void thaw(struct entry_shm *e, uint64_t incarnation)
{
	uint64_t word = wbci_entry_word(incarnation, ENTRY_FROZEN);

	order_cas_relaxed(&e->word, &word,
	                  wbci_entry_word(incarnation, ENTRY_LIVE));
}

void wbci_removal_free(struct wbci_removal *r)
{
	for (uint32_t i = 0; i < r->n; i++)
		thaw(wbci_at(&r->client->segment, r->frozen[i].offset),
		     r->frozen[i].incarnation);
	free(r->frozen);
	memset(r, 0, sizeof(*r));
}

/* Are all plain columns journaled? */
static bool is_clean_row(const struct wbci_segment *s, struct entry_shm *e,
                         uint64_t offset)
{
	struct row_shm *row = wbci_entry_row(s, e, offset);

	return !row || wbci_tree_version(s, wbci_plain_root(row)) ==
	                       order_load(&row->journaled);
}

/* Is all of an entry journaled?  @room: bytes of its block. */
static bool is_clean(const struct wbci_segment *s, struct entry_shm *e,
                     uint64_t offset, uint64_t room)
{
	unsigned n = *(volatile uint8_t *)&e->n_cells;

	if (n > WBC_COUNTERS_MAX || wbci_entry_bytes(n, 0) > room)
		return false;
	for (unsigned i = 0; i < n; i++) {
		/* Relaxed: whoever adds after we froze it is waited for. */
		if (order_load(wbci_entry_total(e, i)) !=
		    order_load(wbci_entry_journaled(e, i)))
			return false;
	}
	return is_clean_row(s, e, offset);
}

static void freeze(struct wbci_removal *r, uint64_t offset, uint64_t room,
                   uint64_t before)
{
	const struct wbci_segment *s = &r->client->segment;
	struct entry_shm *e = wbci_at(s, offset);
	/* ORDER entry.born, acquire: whole when it is LIVE. */
	uint64_t word = order_acquire(&e->word);

	/* Nothing is frozen by us now: its flusher died. */
	if ((word & 15) == ENTRY_FROZEN)
		thaw(e, word >> 4);
	if ((word & 15) != ENTRY_LIVE || order_load(&e->stamp) >= before ||
	    !is_clean(s, e, offset, room))
		return;
	/* ORDER entry.state, fence: wbci_epoch_grace() has it, and the grace
	 * period begins after it. */
	if (order_cas_relaxed(&e->word, &word,
	                      wbci_entry_word(word >> 4, ENTRY_FROZEN)))
		r->frozen[r->n++] = (struct wbci_ref){offset, word >> 4};
}

static void look_at_page(struct wbci_removal *r, uint32_t page, uint64_t before)
{
	const struct wbci_segment *s = &r->client->segment;
	/* Relaxed: what the page was before it became one of entries, for
	 * ever, a flusher made zeros; what is in its blocks their words say. */
	uint64_t word = order_load(&s->words[page]);
	uint32_t n = wbci_page_blocks(word);
	uint64_t bytes;

	if (wbci_page_kind(word) != PAGE_ENTRIES || n == 0)
		return;
	bytes = wbci_class_bytes[wbci_page_class(word)];
	if (bytes < sizeof(struct entry_shm))
		return;
	for (uint32_t b = 0; b < n && r->n < WBCI_FREEZE_MOST; b++) {
		uint64_t alloc = order_load(&s->metas[page].alloc[b / 64]);

		if (!(alloc >> b % 64))
			b |= 63;
		else if (alloc >> b % 64 & 1)
			freeze(r, wbci_page_off(s, page) + b * bytes, bytes,
			       before);
	}
}

uint32_t wbci_removal_look(struct wbci_removal *r, uint64_t before,
                           uint32_t pages)
{
	uint32_t n =
		wbci_committed(&r->client->segment) * WBCI_PAGES_PER_EXTENT;
	struct wbci_thread *t;
	uint32_t done = 0;

	if (r->n || wbci_thread(r->client, &t))
		return 0;
	while (done < pages && r->n < WBCI_FREEZE_MOST) {
		if (r->page >= n)
			r->page = 0;
		if (n == 0)
			break;
		wbci_enter(t);
		look_at_page(r, r->page, before);
		wbci_exit(t);
		/* One that was too much for this look is looked at again. */
		if (r->n < WBCI_FREEZE_MOST) {
			r->page++;
			done++;
		}
	}
	r->grace = wbci_epoch_grace(r->client);
	return done;
}

/* Remove one entry if nothing happened to it; in a section. */
static void remove_entry(struct wbci_removal *r, struct wbci_thread *t,
                         const struct wbci_ref *ref)
{
	const struct wbci_segment *s = &r->client->segment;
	struct entry_shm *e = wbci_at(s, ref->offset);
	uint64_t word = wbci_entry_word(ref->incarnation, ENTRY_FROZEN);
	struct wbci_seen seen;
	struct wbci_key k;

	seen.values = NULL;
	/* The key, while it is an entry; the grace period has ended, so what
	 * is not in its cells now was added by somebody who made it LIVE. */
	if (wbci_seen_entry(s, ref->offset, &seen) != 1 ||
	    seen.ref.incarnation != ref->incarnation ||
	    seen.state != ENTRY_FROZEN)
		return;
	if (memcmp(seen.total, seen.journaled,
	           seen.n_cells * sizeof(seen.total[0])) != 0 ||
	    seen.version != seen.version_journaled) {
		thaw(e, ref->incarnation);
		return;
	}
	/* ORDER entry.state, swap: a client made it LIVE before this, or finds
	 * it DEAD and writes elsewhere.  Relaxed: nothing is handed over. */
	if (!order_cas_relaxed(&e->word, &word,
	                       wbci_entry_word(ref->incarnation, ENTRY_DEAD)))
		return;
	wbci_key_init(s, &k, seen.space, seen.table, seen.key, seen.key_len);
	/* A damaged index may name it elsewhere: then it is never reused. */
	if (wbci_index_unlink(t, &k, ref->offset) < 0)
		return;
	/* Nobody writes to what is DEAD, so the root is the last one. */
	if (seen.root)
		wbci_tree_retire(t, seen.root);
	wbci_block_retire(t, ref->offset);
	r->removed++;
	wbci_prune_path(r->pruning, k.hash);
}

bool wbci_removal_step(struct wbci_removal *r)
{
	struct wbci_thread *t;

	if (r->n == 0)
		return false;
	if (!wbci_epoch_passed(r->client, r->grace) ||
	    wbci_thread(r->client, &t))
		return true;
	for (uint32_t i = 0; i < r->n; i++) {
		wbci_enter(t);
		remove_entry(r, t, &r->frozen[i]);
		wbci_exit(t);
	}
	r->n = 0;
	return false;
}
