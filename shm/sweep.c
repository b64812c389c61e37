/* SPDX-License-Identifier: MIT */
/* Copyright the wbcshm authors */

#include "sweep.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "epoch.h"
#include "entry.h"
#include "plain.h"
#include "walk.h"

#define BITMAP_BYTES (WBCI_BITMAP_WORDS * sizeof(uint64_t))
/* Fruitless tries after which wbci_recover() gives up. */
#define TRIES 64u

void wbci_sweep_init(struct wbci_sweep *sw, struct wbci_client *c,
                     struct wbci_pruning *pruning)
{
	memset(sw, 0, sizeof(*sw));
	sw->client = c;
	sw->pruning = pruning;
}

static void drop_bitmaps(struct wbci_sweep *sw)
{
	free(sw->candidates);
	free(sw->marked);
	sw->candidates = sw->marked = NULL;
	sw->n_pages = sw->n_marked = 0;
}

void wbci_sweep_free(struct wbci_sweep *sw)
{
	drop_bitmaps(sw);
	memset(sw, 0, sizeof(*sw));
}

void wbci_sweep_want(const struct wbci_segment *s)
{
	/* Relaxed: the reaper's release clears the dead one's epoch word after
	 * it, and wbci_epoch_grace()'s fence is before the grace period. */
	order_add_relaxed(&s->control->mark, 1);
}

static uint64_t *bits_of(uint64_t *bitmaps, uint32_t page)
{
	return bitmaps + (uint64_t)page * WBCI_BITMAP_WORDS;
}

/* Blocks of a page that are allocated, and not retired. */
static uint64_t held_bits(const struct meta_shm *meta, unsigned w)
{
	/* Relaxed: nothing is freed now, so bits are only added.  Before the
	 * snapshot and before the sweep a grace period brought those that
	 * must be seen; a block that is too new to be a candidate, or that is
	 * retired too late to be missed by the walk, may be seen or not. */
	uint64_t limbo = 0;

	for (unsigned i = 0; i < 4; i++)
		limbo |= order_load(&meta->limbo[i][w]);
	return order_load(&meta->alloc[w]) & ~limbo;
}

static int take_snapshot(struct wbci_sweep *sw)
{
	const struct wbci_segment *s = &sw->client->segment;
	uint32_t n = wbci_committed(s) * WBCI_PAGES_PER_EXTENT;

	drop_bitmaps(sw);
	sw->candidates = calloc(n ? n : 1, BITMAP_BYTES);
	sw->marked = calloc(n ? n : 1, BITMAP_BYTES);
	if (!sw->candidates || !sw->marked) {
		drop_bitmaps(sw);
		return -ENOMEM;
	}
	sw->n_pages = sw->n_marked = n;
	for (uint32_t page = 0; page < n; page++) {
		/* Relaxed: a page that is claimed after the grace period has
		 * no candidates. */
		uint64_t word = order_load(&s->words[page]);

		if (wbci_page_blocks(word) == 0)
			continue;
		for (unsigned w = 0; w < WBCI_BITMAP_WORDS; w++)
			bits_of(sw->candidates, page)[w] =
				held_bits(&s->metas[page], w);
	}
	return 0;
}

/* Extents that are newer than the snapshot hold no candidates, but nodes that
 * lead to some; and a walk that knew not where it was might not end.  @page is
 * all that is known: by now they may be said to be fewer again. */
static bool grow_marked(struct wbci_sweep *sw, uint32_t page)
{
	uint32_t n = (page / WBCI_PAGES_PER_EXTENT + 1) * WBCI_PAGES_PER_EXTENT;
	uint64_t *marked = realloc(sw->marked, n * BITMAP_BYTES);

	if (!marked)
		return false;
	memset(bits_of(marked, sw->n_marked), 0,
	       (n - sw->n_marked) * BITMAP_BYTES);
	sw->marked = marked;
	sw->n_marked = n;
	return true;
}

/* Mark a block.  False: it was marked before, or there is none. */
static bool mark(struct wbci_sweep *sw, uint64_t offset, uint64_t bytes)
{
	const struct wbci_segment *s = &sw->client->segment;
	uint32_t page, block;
	uint64_t word, *bits, bit;

	if (!wbci_block_find(s, offset, &page, &block, &word) ||
	    wbci_class_bytes[wbci_page_class(word)] < bytes) {
		sw->corrupt++;
		return false;
	}
	if (page >= sw->n_marked && !grow_marked(sw, page)) {
		sw->no_memory = true;
		return false;
	}
	bits = bits_of(sw->marked, page) + block / 64;
	bit = UINT64_C(1) << block % 64;
	if (*bits & bit)
		return false;
	*bits |= bit;
	return true;
}

static bool mark_block(void *arg, uint64_t offset, uint64_t bytes)
{
	return mark(arg, offset, bytes);
}

/* All that hangs on an entry.  False: it was marked before. */
static bool mark_parts(struct wbci_sweep *sw, struct entry_shm *e,
                       uint64_t offset)
{
	const struct wbci_segment *s = &sw->client->segment;
	struct row_shm *row = wbci_entry_row(s, e, offset);
	uint64_t extension = order_load(&e->extension);
	uint64_t root;

	if (!mark(sw, offset, sizeof(*e)))
		return false;
	if (extension)
		mark(sw, extension, 1);
	/* What an update puts in its place is new, or hangs on this one. */
	root = wbci_plain_root(row);
	if (root && wbci_tree_visit(s, root, mark_block, sw))
		sw->corrupt++;
	return true;
}

/*
 * An entry that a word names.  False: it is dead, and the word names something
 * else by now: look at it again.
 */
static bool mark_entry(struct wbci_sweep *sw, order_u64 *at, uint64_t word)
{
	const struct wbci_segment *s = &sw->client->segment;
	uint64_t offset = wbci_ref_offset(word);
	struct entry_shm *e;

	if (!wbci_in_page(s, offset, sizeof(*e))) {
		sw->corrupt++;
		return true;
	}
	e = wbci_at(s, offset);
	/* Its flusher died before it was unlinked: nobody retires it but the
	 * sweep, which finds it unreachable then.  Unless a key that clashes
	 * has pushed it down into a node meanwhile.
	 * Relaxed: only flushers make it DEAD, no client changes what is, and
	 * the word that led here was acquired; who finds EMPTY reads nothing
	 * by it. */
	if ((order_load(&e->word) & 15) == ENTRY_DEAD)
		return order_cas_relaxed(at, &word, INDEX_EMPTY);
	mark_parts(sw, e, offset);
	return true;
}

/*
 * A dead entry that cannot be unlinked was unlinked by another, or pushed down
 * into a node, and a word that names a node goes on doing so: the second look
 * is the last that a sound segment needs.
 */
#define LOOKS_MOST 4u

/* Where the walk is: a word of a node, and the hash that leads to it. */
struct place {
	struct node_shm *node;
	unsigned digit;
	uint64_t hash;
};

/* Look at one word; the node to go into, or NULL. */
static struct node_shm *mark_word(struct wbci_sweep *sw, order_u64 *at,
                                  uint64_t hash)
{
	const struct wbci_segment *s = &sw->client->segment;
	uint64_t word, offset;
	unsigned looks = 0;

	do {
		/* ORDER index.publish, acquire: what it names is whole. */
		word = order_acquire(at);
		if ((word & 3) == INDEX_EMPTY)
			return NULL;
	} while ((word & 3) == INDEX_ENTRY && !mark_entry(sw, at, word) &&
	         ++looks < LOOKS_MOST);
	offset = wbci_ref_offset(word);
	if ((word & 3) == INDEX_ENTRY) {
		/* Whatever somebody makes of the word, it stays in use. */
		if (looks == LOOKS_MOST)
			mark_parts(sw, wbci_at(s, offset), offset);
		return NULL;
	}
	/* Closing: left by a flusher that died, or ours: then it is found
	 * full, and tried again some day.  Relaxed: it goes on with what
	 * whoever linked the node released. */
	if ((word & 3) == INDEX_CLOSING)
		order_cas_relaxed(at, &word,
		                  (word & ~UINT64_C(3)) | INDEX_NODE);
	if (!mark(sw, offset, sizeof(struct node_shm)))
		return NULL;
	if (sw->pruning)
		wbci_prune_word(sw->pruning, at, hash);
	return wbci_at(s, offset);
}

/* One root word, and all that hangs below it.  Returns words looked at. */
static uint64_t walk_root(struct wbci_sweep *sw, uint64_t root)
{
	const struct wbci_segment *s = &sw->client->segment;
	struct place place[WBCI_INDEX_DEPTH_MAX];
	struct node_shm *node = mark_word(sw, &s->root[root], root);
	unsigned shift = s->geo.root_bits;
	unsigned depth = 0;
	uint64_t words = 1;

	if (!node)
		return words;
	place[0] = (struct place){node, 0, root};
	for (;;) {
		struct place *p = &place[depth];
		uint64_t digit = p->digit++;
		uint64_t hash = p->hash;

		if (digit == WBCI_NODE_WORDS) {
			if (depth-- == 0)
				return words;
			continue;
		}
		if (shift + WBCI_NODE_BITS * (depth + 1) <= 64)
			hash |= digit << (shift + WBCI_NODE_BITS * depth);
		node = mark_word(sw, &p->node->word[digit], hash);
		words++;
		if (!node)
			continue;
		if (depth + 1 == WBCI_INDEX_DEPTH_MAX) {
			sw->corrupt++;
			continue;
		}
		place[++depth] = (struct place){node, 0, hash};
	}
}

/* What is reached otherwise than through the index. */
static void mark_tables(struct wbci_sweep *sw)
{
	const struct wbci_segment *s = &sw->client->segment;

	for (uint32_t i = 0; i < s->geo.n_tables; i++) {
		/* ORDER table.publish, acquire: its page is one of blocks. */
		uint64_t spec = order_acquire(&s->tables[i].spec);

		if (spec)
			mark(sw, spec, sizeof(struct spec_shm));
	}
}

/* Go on with the walk.  True: it is at its end. */
static bool walk(struct wbci_sweep *sw, struct wbci_thread *t, uint64_t budget)
{
	const struct wbci_segment *s = &sw->client->segment;
	uint64_t n = UINT64_C(1) << s->geo.root_bits;
	uint64_t words = 0;

	wbci_enter(t);
	if (sw->root == 0)
		mark_tables(sw);
	while (sw->root < n && words < budget)
		words += walk_root(sw, sw->root++);
	wbci_exit(t);
	return sw->root == n;
}

/* An entry that nothing reaches is none any more. */
static void unmake_entry(const struct wbci_segment *s, uint64_t offset)
{
	struct entry_shm *e = wbci_at(s, offset);
	uint64_t word = order_load(&e->word);

	/* Relaxed: who finds it FREE reads nothing of it. */
	order_store(&e->word, (word & ~UINT64_C(15)) | ENTRY_FREE);
}

/* Retire the blocks of a page that the walk did not reach. */
static void sweep_page(struct wbci_sweep *sw, struct wbci_thread *t,
                       uint32_t page)
{
	const struct wbci_segment *s = &sw->client->segment;
	/* Relaxed: of a page with candidates, which keeps its kind. */
	uint64_t word = order_load(&s->words[page]);
	uint32_t bytes, n = wbci_page_blocks(word);

	if (n == 0)
		return;
	bytes = wbci_class_bytes[wbci_page_class(word)];
	for (uint32_t b = 0; b < n; b++) {
		uint64_t lost = bits_of(sw->candidates, page)[b / 64] &
		                ~bits_of(sw->marked, page)[b / 64];
		uint64_t offset = wbci_page_off(s, page) + (uint64_t)b * bytes;

		if (!(lost >> b % 64)) {
			b |= 63;
			continue;
		}
		if (!((lost & held_bits(&s->metas[page], b / 64)) >> b % 64 &
		      1))
			continue;
		if (wbci_page_kind(word) == PAGE_ENTRIES)
			unmake_entry(s, offset);
		wbci_block_retire(t, offset);
		sw->swept++;
	}
}

static void sweep(struct wbci_sweep *sw, struct wbci_thread *t)
{
	wbci_enter(t);
	for (uint32_t page = 0; page < sw->n_pages; page++)
		sweep_page(sw, t, page);
	wbci_exit(t);
	drop_bitmaps(sw);
	sw->sweeps++;
	sw->state = SWEEP_NONE;
	/* Deaths meanwhile want another one: then it stays set.
	 * ORDER sweep.mark, release: we have looked at all blocks before any
	 * is freed again. */
	order_cas_release(&sw->client->segment.control->mark, &sw->wanted, 0);
}

static void wait_grace(struct wbci_sweep *sw, enum wbci_sweep_state state)
{
	sw->state = state;
	sw->grace = wbci_epoch_grace(sw->client);
}

/* Has the grace period ended?  Tries to make it. */
static bool has_passed(struct wbci_sweep *sw)
{
	for (unsigned i = 0; i < 2; i++) {
		if (wbci_epoch_passed(sw->client, sw->grace))
			return true;
		if (!wbci_epoch_advance(sw->client))
			return false;
	}
	return wbci_epoch_passed(sw->client, sw->grace);
}

int wbci_sweep_step(struct wbci_sweep *sw, uint64_t budget)
{
	struct wbci_thread *t;
	int error = wbci_thread(sw->client, &t);

	if (error)
		return error;
	if (sw->state == SWEEP_NONE) {
		/* Relaxed: flushers write it, and the grace period's fence is
		 * after it. */
		sw->wanted = order_load(&sw->client->segment.control->mark);
		if (!sw->wanted)
			return 0;
		wait_grace(sw, SWEEP_WANTED);
	}
	if (sw->state == SWEEP_WALK) {
		if (walk(sw, t, budget))
			wait_grace(sw, SWEEP_WALKED);
		if (!sw->no_memory)
			return 1;
		sw->state = SWEEP_NONE;
		return -ENOMEM;
	}
	if (!has_passed(sw))
		return 1;
	switch (sw->state) {
	case SWEEP_WANTED:
		error = take_snapshot(sw);
		if (error)
			return error;
		wait_grace(sw, SWEEP_SNAPSHOT);
		return 1;
	case SWEEP_SNAPSHOT:
		sw->root = 0;
		sw->no_memory = false;
		sw->state = SWEEP_WALK;
		return 1;
	default:
		sweep(sw, t);
		return order_load(&sw->client->segment.control->mark) != 0;
	}
}

int64_t wbci_recover(struct wbci_client *c)
{
	struct wbci_sweep sw;
	unsigned in_section, tries = 0;
	int64_t swept;
	int more = 1;

	wbci_reap(&c->segment, &in_section);
	wbci_sweep_init(&sw, c, NULL);
	while (more > 0 && tries < TRIES) {
		enum wbci_sweep_state state = sw.state;

		more = wbci_sweep_step(&sw, UINT64_MAX);
		tries = sw.state == state ? tries + 1 : 0;
	}
	swept = more < 0 ? more : more > 0 ? -EAGAIN : (int64_t)sw.swept;
	wbci_sweep_free(&sw);
	return swept;
}
