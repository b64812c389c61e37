/* SPDX-License-Identifier: MIT */
/* Copyright the wbcshm authors */

#include "page.h"

#include <errno.h>
#include <string.h>

#include "epoch.h"

const uint32_t wbci_class_bytes[WBCI_CLASSES] = {
	64,   128,  192,  256,  320,  384,  448,  512,   640,   768,
	1024, 1280, 1536, 2048, 3072, 4096, 8192, 16384, 32768, 65536};

int wbci_class_of(uint64_t bytes)
{
	for (int i = 0; i < (int)WBCI_CLASSES; i++) {
		if (bytes <= wbci_class_bytes[i])
			return i;
	}
	return -E2BIG;
}

/* How many pages one allocation looks at before it takes a fresh one. */
#define LOOK_AT 64u

static unsigned blocks_of(unsigned class)
{
	return WBCI_PAGE_BYTES / wbci_class_bytes[class];
}

/* The bits of bitmap word w that are blocks of the class. */
static uint64_t word_mask(unsigned class, unsigned w)
{
	unsigned blocks = blocks_of(class);

	if (blocks >= (w + 1) * 64)
		return ~UINT64_C(0);
	if (blocks <= w * 64)
		return 0;
	return (UINT64_C(1) << (blocks - w * 64)) - 1;
}

/* Take a free block of a page that we own.  0: the page is full. */
static uint64_t take_block(const struct wbci_segment *s, uint32_t page,
                           unsigned class)
{
	struct meta_shm *meta = &s->metas[page];

	for (unsigned w = 0; w < WBCI_BITMAP_WORDS; w++) {
		/* Relaxed: only the owner writes the alloc bitmap. */
		uint64_t alloc = order_load(&meta->alloc[w]);
		uint64_t room = ~alloc & word_mask(class, w);
		unsigned bit;

		if (!room)
			continue;
		bit = (unsigned)__builtin_ctzll(room);
		order_store(&meta->alloc[w], alloc | UINT64_C(1) << bit);
		return wbci_page_off(s, page) +
		       (uint64_t)(w * 64 + bit) * wbci_class_bytes[class];
	}
	return 0;
}

/* May blocks be freed?  Not while a mark-sweep runs. */
static bool may_free(struct wbci_thread *t)
{
	/* ORDER sweep.mark, section: the sweep's first grace period waits for
	 * whoever finds 0 here. */
	return order_load(&t->control->mark) == 0;
}

unsigned wbci_page_reclaim(struct wbci_thread *t, uint32_t page)
{
	struct meta_shm *meta = &t->client->segment.metas[page];
	unsigned freed = 0;
	/* ORDER epoch.advance, acquire: all readers of blocks that were
	 * retired at G - 2 are gone. */
	uint64_t g = order_acquire(&t->control->epoch);
	order_u64 *limbo = meta->limbo[(g - 2) & 3];

	if (!may_free(t))
		return 0;
	/* We are in a section, so G <= g + 1 and nobody retires into this
	 * bitmap now: new bits are stamped g - 1 .. g + 1. */
	for (unsigned w = 0; w < WBCI_BITMAP_WORDS; w++) {
		/* Relaxed: who set these bits has left its section, which
		 * the G that we acquired says; who cleared some before us
		 * owned the page before us. */
		uint64_t bits = order_load(&limbo[w]);
		uint64_t alloc;

		if (!bits)
			continue;
		alloc = order_load(&meta->alloc[w]);
		freed += (unsigned)__builtin_popcountll(bits & alloc);
		/* Killed between the two, the next owner clears the limbo
		 * bits of free blocks before it allocates.  Relaxed: it has
		 * both by ORDER page.claim, and a sweep by the grace period
		 * after which no block is freed. */
		order_store(&meta->alloc[w], alloc & ~bits);
		order_compiler();
		order_and_relaxed(&limbo[w], ~bits);
	}
	return freed;
}

/* What a killed owner may have left: limbo bits of free blocks. */
static void mend_page(const struct wbci_segment *s, uint32_t page)
{
	struct meta_shm *meta = &s->metas[page];

	for (unsigned w = 0; w < WBCI_BITMAP_WORDS; w++) {
		uint64_t alloc = order_load(&meta->alloc[w]);

		for (unsigned i = 0; i < 4; i++) {
			/* Relaxed: nobody retires a free block, and who gets
			 * one of these gets it from us. */
			if (order_load(&meta->limbo[i][w]) & ~alloc)
				order_and_relaxed(&meta->limbo[i][w], alloc);
		}
	}
}

static bool has_room(const struct wbci_segment *s, uint32_t page,
                     unsigned class)
{
	for (unsigned w = 0; w < WBCI_BITMAP_WORDS; w++) {
		/* Relaxed: a hint, unless the page is ours. */
		if (~order_load(&s->metas[page].alloc[w]) & word_mask(class, w))
			return true;
	}
	return false;
}

/* A hint: are there retired blocks that could be freed now? */
static bool has_graced(struct wbci_thread *t, uint32_t page)
{
	uint64_t g = order_load(&t->control->epoch);
	order_u64 *limbo = t->client->segment.metas[page].limbo[(g - 2) & 3];

	for (unsigned w = 0; w < WBCI_BITMAP_WORDS; w++) {
		if (order_load(&limbo[w]))
			return may_free(t);
	}
	return false;
}

/* Give a page to nobody; one that was revoked is the flusher's to give. */
static void give_page(const struct wbci_segment *s, uint32_t page,
                      uint64_t word)
{
	/* ORDER page.claim, release: the bitmap as we leave it. */
	order_cas_release(
		&s->words[page], &word,
		wbci_page_word(wbci_page_kind(word), wbci_page_class(word), 0));
}

/* Make a free page ours, of a class. */
static bool claim_fresh(struct wbci_thread *t, uint32_t page, unsigned kind,
                        unsigned class)
{
	const struct wbci_segment *s = &t->client->segment;
	/* Relaxed: the CAS below acquires what this finds. */
	uint64_t word = order_load(&s->words[page]);

	/* ORDER page.claim, acquire: as its last owner left it: zeroed. */
	if (word != PAGE_FREE ||
	    !order_cas_acquire(&s->words[page], &word,
	                       wbci_page_word(kind, class, t->slot + 1)))
		return false;
	mend_page(s, page);
	return true;
}

/* Make a page ours if it is nobody's, of the class, and has room. */
static bool claim_used(struct wbci_thread *t, uint32_t page, unsigned kind,
                       unsigned class)
{
	const struct wbci_segment *s = &t->client->segment;
	uint64_t mine = wbci_page_word(kind, class, t->slot + 1);
	uint64_t word = wbci_page_word(kind, class, 0);

	if (order_load(&s->words[page]) != word ||
	    (!has_room(s, page, class) && !has_graced(t, page)))
		return false;
	/* ORDER page.claim, acquire: the last owner's bitmap. */
	if (!order_cas_acquire(&s->words[page], &word, mine))
		return false;
	mend_page(s, page);
	if (has_room(s, page, class) || wbci_page_reclaim(t, page) > 0)
		return true;
	give_page(s, page, mine);
	return false;
}

/* Look at some pages of the class that are nobody's. */
static bool find_used(struct wbci_thread *t, unsigned kind, unsigned class,
                      uint32_t look_at, uint32_t *page)
{
	uint32_t n =
		wbci_committed(&t->client->segment) * WBCI_PAGES_PER_EXTENT;
	uint32_t *scan = &t->scan[kind - 1][class];

	if (look_at > n)
		look_at = n;
	for (uint32_t i = 0; i < look_at; i++) {
		if (*scan >= n)
			*scan = 0;
		*page = (*scan)++;
		if (claim_used(t, *page, kind, class))
			return true;
	}
	return false;
}

static bool find_fresh(struct wbci_thread *t, unsigned kind, unsigned class,
                       uint32_t *page)
{
	const struct wbci_segment *s = &t->client->segment;
	uint32_t n = wbci_committed(s) * WBCI_PAGES_PER_EXTENT;
	/* A hint: wrong values cost a longer search. */
	uint32_t hint = order_load(&s->control->page_hint);

	for (uint32_t i = 0; i < n; i++) {
		*page = hint < n && i < n - hint
		                ? hint + i
		                : i - (hint < n ? n - hint : 0);
		if (claim_fresh(t, *page, kind, class)) {
			order_store(&s->control->page_hint, *page + 1);
			return true;
		}
	}
	return false;
}

int wbci_block_alloc(struct wbci_thread *t, enum page_kind kind, uint64_t bytes,
                     uint64_t *offset)
{
	const struct wbci_segment *s = &t->client->segment;
	int class = wbci_class_of(bytes);
	uint32_t *cached, page;
	uint64_t mine;

	if (class < 0)
		return class;
	cached = &t->page[kind - 1][class];
	mine = wbci_page_word(kind, (unsigned)class, t->slot + 1);
	/* ORDER page.revoked, section: once it is seen as ours it is so until
	 * this section ends. */
	if (*cached && order_load(&s->words[*cached - 1]) != mine)
		*cached = 0;
	for (;;) {
		if (*cached) {
			*offset = take_block(s, *cached - 1, (unsigned)class);
			if (*offset)
				return 0;
			if (wbci_page_reclaim(t, *cached - 1))
				continue;
		}
		if (!find_used(t, kind, (unsigned)class, LOOK_AT, &page) &&
		    !find_fresh(t, kind, (unsigned)class, &page) &&
		    !find_used(t, kind, (unsigned)class, UINT32_MAX, &page))
			return -ENOSPC;
		/* Full: whoever needs what is freed in it later finds it
		 * nobody's. */
		if (*cached)
			give_page(s, *cached - 1, mine);
		*cached = page + 1;
	}
}

/* The bit of a block in its page's bitmaps. */
static unsigned block_bit(const struct wbci_segment *s, uint64_t offset)
{
	uint64_t word = order_load(&s->words[wbci_page_of(s, offset)]);
	unsigned class = wbci_page_class(word) % WBCI_CLASSES;

	return (unsigned)(offset % WBCI_PAGE_BYTES) / wbci_class_bytes[class];
}

void wbci_block_undo(struct wbci_thread *t, uint64_t offset)
{
	const struct wbci_segment *s = &t->client->segment;
	uint32_t page = wbci_page_of(s, offset);
	order_u64 *alloc;
	unsigned bit;

	/* A page that was given back full meanwhile is another's to write,
	 * and a sweep's candidate must not become another block. */
	if (wbci_page_owner(order_load(&s->words[page])) != t->slot + 1 ||
	    !may_free(t)) {
		wbci_block_retire(t, offset);
		return;
	}
	bit = block_bit(s, offset);
	alloc = &s->metas[page].alloc[bit / 64];
	order_store(alloc, order_load(alloc) & ~(UINT64_C(1) << bit % 64));
}

void wbci_block_retire(struct wbci_thread *t, uint64_t offset)
{
	const struct wbci_segment *s = &t->client->segment;
	struct meta_shm *meta = &s->metas[wbci_page_of(s, offset)];
	unsigned bit = block_bit(s, offset);
	uint64_t retired = UINT64_C(1) << bit % 64;
	uint64_t g;

	/* ORDER epoch.stamp, fence: G is loaded after the unlinking CAS is
	 * visible; an older G would free the block under a reader. */
	order_fence();
	/* Relaxed: the fence forbids an older one, and where the bit is set
	 * depends on it.  So is the bit: whoever frees the block finds it by
	 * our section's end, whoever sweeps by a grace period. */
	g = order_load(&t->control->epoch);
	order_or_relaxed(&meta->limbo[g & 3][bit / 64], retired);
}

void wbci_page_release(const struct wbci_segment *s, uint32_t slot)
{
	uint32_t n = wbci_committed(s) * WBCI_PAGES_PER_EXTENT;

	for (uint32_t i = 0; i < n; i++) {
		uint64_t word = order_load(&s->words[i]);

		if (wbci_page_owner(word) == slot + 1)
			give_page(s, i, word);
	}
}

static bool is_empty(const struct meta_shm *meta)
{
	uint64_t any = 0;

	for (unsigned w = 0; w < WBCI_BITMAP_WORDS; w++) {
		any |= order_load(&meta->alloc[w]);
		for (unsigned i = 0; i < 4; i++)
			any |= order_load(&meta->limbo[i][w]);
	}
	return any == 0;
}

/* Are there retired blocks of whatever age, or, in a page of blocks, none
 * that is in use? */
static bool is_untidy(const struct meta_shm *meta, unsigned kind)
{
	for (unsigned w = 0; w < WBCI_BITMAP_WORDS; w++) {
		for (unsigned i = 0; i < 4; i++) {
			if (order_load(&meta->limbo[i][w]))
				return true;
		}
	}
	return kind == PAGE_BLOCKS && is_empty(meta);
}

unsigned wbci_page_tidy(struct wbci_thread *t, uint32_t page)
{
	const struct wbci_segment *s = &t->client->segment;
	struct meta_shm *meta = &s->metas[page];
	uint64_t word = order_load(&s->words[page]);
	unsigned kind = wbci_page_kind(word);
	unsigned class = wbci_page_class(word);
	uint64_t mine = wbci_page_word(kind, class, t->slot + 1);
	unsigned freed;

	if (kind == PAGE_FREE || kind > PAGE_BLOCKS || class >= WBCI_CLASSES ||
	    word != wbci_page_word(kind, class, 0) || !is_untidy(meta, kind))
		return 0;
	/* ORDER page.claim, acquire: the last owner's bitmap. */
	if (!order_cas_acquire(&s->words[page], &word, mine))
		return 0;
	mend_page(s, page);
	freed = wbci_page_reclaim(t, page);
	/* Entry pages stay what they are, so that their blocks' incarnations
	 * go on. */
	if (kind != PAGE_BLOCKS || !is_empty(meta)) {
		give_page(s, page, mine);
		return freed;
	}
	memset(wbci_at(s, wbci_page_off(s, page)), 0, WBCI_PAGE_BYTES);
	/* ORDER page.claim, release: all zeros when it is free. */
	order_release(&s->words[page], PAGE_FREE);
	return freed;
}

bool wbci_page_revoke(struct wbci_thread *t, uint32_t page)
{
	const struct wbci_segment *s = &t->client->segment;
	uint64_t word = order_load(&s->words[page]);
	unsigned class = wbci_page_class(word);
	unsigned owner = wbci_page_owner(word);

	if (owner == 0 || owner == t->slot + 1 || class >= WBCI_CLASSES ||
	    word != wbci_page_word(wbci_page_kind(word), class, owner))
		return false;
	/* ORDER page.revoked, fence: wbci_epoch_grace() has it, and the grace
	 * period begins after it.  Nothing is handed over yet. */
	return order_cas_relaxed(
		&s->words[page], &word,
		wbci_page_word(wbci_page_kind(word), class, 0) |
			WBCI_PAGE_REVOKED);
}

void wbci_page_disown(const struct wbci_segment *s, uint32_t page)
{
	uint64_t word = order_load(&s->words[page]);

	/* ORDER page.claim, release: the bitmap as its last owner left it,
	 * whose section the grace period has seen the end of. */
	if (word & WBCI_PAGE_REVOKED)
		order_cas_release(&s->words[page], &word,
		                  word & ~WBCI_PAGE_REVOKED);
}
