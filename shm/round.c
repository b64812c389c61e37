/* SPDX-License-Identifier: MIT */
/* Copyright the wbcshm authors */

#include "round.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "epoch.h"
#include "page.h"

/* Advances tried at the start of a round, for the sake of what is kept. */
#define ADVANCES 2

/* Sets that wait for different grace periods; a sound G needs three. */
#define KEPT_MOST 8u

/* How far the cycle may be ahead of us: while we look it is moved by tools
 * that try to close the segment alone; before, by rounds without news. */
#define AHEAD_MOST (UINT64_C(1) << 32)
#define AHEAD_FIRST (UINT64_C(1) << 48)

int wbci_rounds_init(struct wbci_rounds *r, struct wbci_client *c)
{
	memset(r, 0, sizeof(*r));
	r->client = c;
	r->all = true;
	r->least = 1;
	return 0;
}

static void free_set(struct wbci_taken *set)
{
	if (!set)
		return;
	free(set->pages);
	free(set);
}

void wbci_rounds_free(struct wbci_rounds *r)
{
	while (r->kept) {
		struct wbci_taken *next = r->kept->next;

		free_set(r->kept);
		r->kept = next;
	}
	free_set(r->visit);
	free(r->place);
	free(r->values);
	memset(r, 0, sizeof(*r));
}

/* Room for one more page in a set. */
static struct wbci_taken_page *add_page(struct wbci_taken *set, uint32_t page)
{
	struct wbci_taken_page *p;

	if (set->n == set->room) {
		uint32_t room = set->room ? 2 * set->room : 64;

		p = realloc(set->pages, room * sizeof(*p));
		if (!p)
			return NULL;
		set->pages = p;
		set->room = room;
	}
	p = &set->pages[set->n++];
	memset(p, 0, sizeof(*p));
	p->page = page;
	return p;
}

/* The page in the set of what this round visits; each is there once. */
static struct wbci_taken_page *visit_page(struct wbci_rounds *r, uint32_t page)
{
	struct wbci_taken_page *p;

	if (page >= r->n_place)
		return NULL;
	if (r->place[page])
		return &r->visit->pages[r->place[page] - 1];
	p = add_page(r->visit, page);
	if (p)
		r->place[page] = r->visit->n;
	return p;
}

static int visit_set(struct wbci_rounds *r, const struct wbci_taken *set)
{
	for (uint32_t i = 0; i < set->n; i++) {
		const struct wbci_taken_page *from = &set->pages[i];
		struct wbci_taken_page *to = visit_page(r, from->page);

		if (!to)
			return -ENOMEM;
		for (unsigned w = 0; w < WBCI_BITMAP_WORDS; w++)
			to->bits[w] |= from->bits[w];
	}
	return 0;
}

static uint32_t committed_pages(const struct wbci_rounds *r)
{
	return wbci_committed(&r->client->segment) * WBCI_PAGES_PER_EXTENT;
}

/* A place for every page that there is by now. */
static int add_places(struct wbci_rounds *r)
{
	/* A summary word is taken whole: pages up to a multiple of 64. */
	uint32_t n = (committed_pages(r) + 63) / 64 * 64;
	uint32_t *place;

	if (n <= r->n_place)
		return 0;
	place = realloc(r->place, n * sizeof(*place));
	if (!place)
		return -ENOMEM;
	memset(place + r->n_place, 0, (n - r->n_place) * sizeof(*place));
	r->place = place;
	r->n_place = n;
	return 0;
}

/* Begin an empty set of what to visit. */
static int reset_visit(struct wbci_rounds *r)
{
	if (!r->visit) {
		r->visit = calloc(1, sizeof(*r->visit));
		if (!r->visit)
			return -ENOMEM;
	}
	for (uint32_t i = 0; i < r->visit->n; i++)
		r->place[r->visit->pages[i].page] = 0;
	r->visit->n = 0;
	return add_places(r);
}

static bool in_summary(const struct wbci_rounds *r, uint32_t word)
{
	return word < r->n_place / 64;
}

/*
 * Make room for every page, so that taking cannot
 * fail half-way: what is taken and then forgotten would be lost.
 */
static int reserve(struct wbci_rounds *r, struct wbci_taken *set)
{
	struct wbci_taken_page *pages;

	pages = realloc(set->pages, (r->n_place ? r->n_place : 1) *
	                                    sizeof(*pages));
	if (!pages)
		return -ENOMEM;
	set->pages = pages;
	set->room = r->n_place;
	return 0;
}

static void shrink(struct wbci_taken *set)
{
	uint32_t room = set->n ? set->n : 1;
	struct wbci_taken_page *pages =
	        realloc(set->pages, room * sizeof(*pages));

	if (!pages)
		return;
	set->pages = pages;
	set->room = room;
}

/* Take: summary words first, then the words of their pages. */
static void take(struct wbci_rounds *r, struct wbci_taken *set)
{
	const struct wbci_segment *s = &r->client->segment;

	for (uint32_t i = 0; in_summary(r, i); i++) {
		uint64_t summary;

		if (!order_load(&s->summary[i]))
			continue;
		/* ORDER mark.bit, acquire: whoever set it knew the page, and
		 * so do we.  Who does so later is in this cycle's successor,
		 * or in a section that the grace period waits for. */
		summary = order_xchg_acquire(&s->summary[i], 0);
		for (; summary; summary &= summary - 1) {
			uint32_t page =
			        i * 64 + (uint32_t)__builtin_ctzll(summary);
			struct wbci_taken_page *p;

			/* Loaded after the bit.  A page that is not there
			 * yet is none that a client's bit is for. */
			if (page >= committed_pages(r))
				continue;
			p = add_page(set, page);
			/* ORDER mark.bit, release: whoever sets a bit in what
			 * is cleared here finds the page's own bit cleared,
			 * and sets that, too.  What is read of the blocks is
			 * as new as the bump's fence makes it, or is read
			 * again after a grace period. */
			for (unsigned w = 0; w < WBCI_BITMAP_WORDS; w++)
				p->bits[w] = order_xchg_release(
				        &s->metas[page].dirty[w], 0);
		}
	}
	shrink(set);
}

/*
 * Peek: what was marked between the take and the bump; not cleared.
 * Relaxed: after the bump's fence, so that what was complete before the bump is
 * here, with the pages that it is in; the rest is for the next round.
 */
static int peek(struct wbci_rounds *r)
{
	const struct wbci_segment *s = &r->client->segment;

	for (uint32_t i = 0; in_summary(r, i); i++) {
		uint64_t summary = order_load(&s->summary[i]);

		for (; summary; summary &= summary - 1) {
			uint32_t page =
			        i * 64 + (uint32_t)__builtin_ctzll(summary);
			struct wbci_taken_page *p;

			if (page >= committed_pages(r))
				continue;
			p = visit_page(r, page);
			if (!p)
				return -ENOMEM;
			for (unsigned w = 0; w < WBCI_BITMAP_WORDS; w++)
				p->bits[w] |=
				        order_load(&s->metas[page].dirty[w]);
		}
	}
	return 0;
}

/*
 * Every allocated block of every page of entries.
 * Relaxed: wbci_seen_changed() acquires what it reads; what is too old here is
 * in time for the last of these rounds, after a grace period.
 */
static int visit_everything(struct wbci_rounds *r)
{
	const struct wbci_segment *s = &r->client->segment;

	for (uint32_t page = 0;
	     page < r->n_place && page < committed_pages(r); page++) {
		struct wbci_taken_page *p;

		if (wbci_page_kind(order_load(&s->words[page])) !=
		    PAGE_ENTRIES)
			continue;
		p = visit_page(r, page);
		if (!p)
			return -ENOMEM;
		for (unsigned w = 0; w < WBCI_BITMAP_WORDS; w++)
			p->bits[w] |= order_load(&s->metas[page].alloc[w]);
	}
	return 0;
}

/* What is kept is read once more after its grace period, then dropped. */
static int visit_kept(struct wbci_rounds *r)
{
	for (struct wbci_taken *set = r->kept; set; set = set->next) {
		int error = visit_set(r, set);

		if (error)
			return error;
		set->last = wbci_epoch_passed(r->client, set->grace);
	}
	return 0;
}

/* Add a set's pages to another; false if there is no memory for it. */
static bool unite(const struct wbci_rounds *r, struct wbci_taken *to,
                  const struct wbci_taken *set)
{
	uint32_t *place = calloc(r->n_place ? r->n_place : 1, sizeof(*place));
	bool whole = place != NULL;

	for (uint32_t i = 0; whole && i < to->n; i++)
		place[to->pages[i].page] = i + 1;
	for (uint32_t i = 0; whole && i < set->n; i++) {
		const struct wbci_taken_page *from = &set->pages[i];
		struct wbci_taken_page *p;

		p = place[from->page] ? &to->pages[place[from->page] - 1]
		                      : add_page(to, from->page);
		for (unsigned w = 0; p && w < WBCI_BITMAP_WORDS; w++)
			p->bits[w] |= from->bits[w];
		whole = p != NULL;
	}
	free(place);
	return whole;
}

/*
 * While a stopped reader keeps G where it is, all sets wait for the same
 * grace: they become one, which no round makes larger than the segment.  So do
 * sets beyond a number, which a G that is moved to and fro would make: they
 * wait for the later of both.
 */
static void keep(struct wbci_rounds *r, struct wbci_taken *set)
{
	struct wbci_taken **at = &r->kept;
	unsigned n = 1;

	for (; *at && (*at)->next; n++)
		at = &(*at)->next;
	if (*at && ((*at)->grace == set->grace || n >= KEPT_MOST) &&
	    unite(r, *at, set)) {
		if ((*at)->grace < set->grace)
			(*at)->grace = set->grace;
		free_set(set);
		return;
	}
	if (*at)
		at = &(*at)->next;
	set->next = NULL;
	*at = set;
}

static int collect_places(struct wbci_rounds *r, struct wbci_taken *taken)
{
	/* The segment may have grown since the places were counted, and what
	 * is in the new extent belongs to this round if it was complete
	 * before the bump: peek() finds it. */
	int error = add_places(r);

	if (!error)
		error = visit_set(r, taken);
	if (!error)
		error = peek(r);
	if (!error)
		error = visit_kept(r);
	if (error)
		return error;
	/* After a start, everything, until a grace period has ended. */
	r->all_last = r->all && r->all_grace &&
	              wbci_epoch_passed(r->client, r->all_grace);
	return r->all ? visit_everything(r) : 0;
}

/*
 * A cycle that somebody has overwritten.  What it was meanwhile stands in
 * stamps, so marks are not to be believed: read all, as after a start.
 */
static void put_cycle_right(struct wbci_rounds *r)
{
	r->cycle = r->least;
	/* Relaxed: it goes on with what the bump released. */
	order_xchg_relaxed(&r->client->segment.control->cycle, r->cycle + 1);
	r->all = true;
	r->all_grace = 0;
	r->corrupt++;
}

static void bump(struct wbci_rounds *r)
{
	bool first = r->all && !r->all_grace;

	/* ORDER round.bump, release: the taken bits are cleared before a
	 * client sees the new cycle. */
	r->cycle = order_add_release(&r->client->segment.control->cycle, 1);
	if (r->cycle - r->least > (first ? AHEAD_FIRST : AHEAD_MOST))
		put_cycle_right(r);
	r->least = r->cycle + 1;
}

int wbci_round_begin(struct wbci_rounds *r)
{
	struct wbci_taken *taken;
	int error;

	for (unsigned i = 0; i < ADVANCES; i++)
		wbci_epoch_advance(r->client);
	error = reset_visit(r);
	if (error)
		return error;
	taken = calloc(1, sizeof(*taken));
	if (!taken)
		return -ENOMEM;
	error = reserve(r, taken);
	if (error) {
		free_set(taken);
		return error;
	}
	take(r, taken);
	bump(r);
	/* ORDER round.bump, fence: the one in here; we read after the bump.
	 * Pairs with wbci_want()'s. */
	taken->grace = wbci_epoch_grace(r->client);
	if (r->all && !r->all_grace)
		r->all_grace = taken->grace;
	error = collect_places(r, taken);
	/* From here on it is read by every round until it may be dropped,
	 * whatever becomes of this one. */
	keep(r, taken);
	return error;
}

void wbci_round_end(struct wbci_rounds *r)
{
	struct wbci_taken **at = &r->kept;

	while (*at) {
		struct wbci_taken *set = *at;

		if (!set->last) {
			at = &set->next;
			continue;
		}
		*at = set->next;
		free_set(set);
	}
	if (r->all_last)
		r->all = false;
}

/* Copy a block, with as much room as its columns need. */
static int see_block(struct wbci_rounds *r, struct wbci_thread *t,
                     uint32_t page, unsigned b, struct wbci_seen *seen)
{
	static unsigned char none[8];
	unsigned char *values;
	int found;

	for (;;) {
		seen->values = r->values ? r->values : none;
		seen->values_room = r->values_room;
		wbci_enter(t);
		found = wbci_seen_changed(&r->client->segment, page, b, seen);
		wbci_exit(t);
		if (found != -E2BIG)
			return found;
		/* They may be longer yet when we look again. */
		values = realloc(r->values, 2 * (size_t)seen->values_bytes);
		if (!values)
			return -ENOMEM;
		r->values = values;
		r->values_room = 2 * seen->values_bytes;
	}
}

int wbci_round_read(struct wbci_rounds *r, wbci_visit_fn *visit, void *arg)
{
	struct wbci_seen seen;
	struct wbci_thread *t;
	int error = wbci_thread(r->client, &t);

	for (uint32_t i = 0; !error && i < r->visit->n; i++) {
		const struct wbci_taken_page *p = &r->visit->pages[i];

		for (unsigned b = 0; !error && b < WBCI_BLOCKS_MAX; b++) {
			int found;

			if (!(p->bits[b / 64] >> (b % 64))) {
				b |= 63;
				continue;
			}
			if (!(p->bits[b / 64] >> (b % 64) & 1))
				continue;
			found = see_block(r, t, p->page, b, &seen);
			if (found == -ENOMEM)
				error = found;
			else if (found < 0)
				r->corrupt++;
			else if (found)
				error = visit(arg, &seen);
		}
	}
	return error;
}

/* The word that says how far the journal is; NULL: it has none. */
static order_u64 *cursor_of(const struct wbci_segment *s, struct entry_shm *e,
                            uint64_t offset, unsigned cell)
{
	struct row_shm *row;

	if (cell == WBCI_CURSOR_ROW) {
		row = wbci_entry_row(s, e, offset);
		return row ? &row->journaled : NULL;
	}
	if (cell >= *(volatile uint8_t *)&e->n_cells ||
	    !wbci_in_page(s, offset, wbci_entry_bytes(cell + 1, 0)))
		return NULL;
	return wbci_entry_journaled(e, cell);
}

bool wbci_cursor_move(struct wbci_client *c, struct wbci_ref ref,
                      unsigned cell, uint64_t total)
{
	const struct wbci_segment *s = &c->segment;
	struct wbci_thread *t;
	struct entry_shm *e;
	order_u64 *cursor = NULL;
	uint64_t word;

	if (wbci_thread(c, &t) || cell > WBCI_CURSOR_ROW ||
	    !wbci_in_page(s, ref.offset, sizeof(*e)))
		return false;
	e = wbci_at(s, ref.offset);
	wbci_enter(t);
	/* The incarnation that was collected, and in the index: one that was
	 * removed keeps its incarnation until a client makes the block another
	 * entry, perhaps right now.  Relaxed: who collected it, we or a dead
	 * flusher before us, found it whole. */
	word = order_load(&e->word);
	if (word == wbci_entry_word(ref.incarnation, ENTRY_LIVE) ||
	    word == wbci_entry_word(ref.incarnation, ENTRY_FROZEN))
		cursor = cursor_of(s, e, ref.offset, cell);
	/* Relaxed: only the flusher reads it. */
	if (cursor)
		order_store(cursor, total);
	wbci_exit(t);
	return cursor != NULL;
}
