/* SPDX-License-Identifier: MIT */
/* Copyright the wbcshm authors */

/*
 * The audit of memory: what every block of every page is.
 *
 * The bitmaps were copied before the walk and are looked at again after it:
 * only a block that was allocated all the while, and that the walk did not
 * reach, may be lost; only one that was free all the while, and reached, is
 * used though it is free.
 */
#include "check.h"

#include <inttypes.h>

const char check_page[] = "page";
const char check_block[] = "block";

bool check_reach(struct check_pass *p, uint64_t offset, enum page_kind kind,
                 uint64_t bytes, const char *who)
{
	uint32_t page, block;
	uint64_t word, *bits;

	if (!wbci_block_find(p->s, offset, &page, &block, &word)) {
		check_say(p, check_block, offset,
		          "%s %#" PRIx64 ": there is no block", who, offset);
		return false;
	}
	/* Of an extent that is newer than this pass. */
	if (page >= p->pages)
		return false;
	if (wbci_page_kind(word) != kind ||
	    wbci_class_bytes[wbci_page_class(word)] < bytes) {
		check_say(p, check_block, offset,
		          "%s %#" PRIx64 ": it stands in a page of %s blocks "
		          "of %" PRIu32 " bytes",
		          who, offset,
		          wbci_page_kind(word) == PAGE_ENTRIES ? "entry"
		                                               : "other",
		          wbci_class_bytes[wbci_page_class(word)]);
		return false;
	}
	bits = check_bits(p->reached, page) + block / 64;
	if (*bits >> block % 64 & 1) {
		check_say(p, check_block, offset,
		          "%s %#" PRIx64 ": two places name it", who, offset);
		return false;
	}
	*bits |= UINT64_C(1) << block % 64;
	return true;
}

/* Is the page's owner alive, and in a section right now? */
static bool owner_works(const struct check_pass *p, unsigned owner, bool *alive)
{
	struct view_thread t;

	*alive = false;
	if (owner == 0 || owner > p->s->geo.n_threads)
		return false;
	view_thread(p->s, owner - 1, &t);
	if (t.state == THREAD_FREE || t.proc >= p->s->geo.n_procs)
		return false;
	*alive = wbci_segment_locked(p->s, WBCI_LOCK_PROC + t.proc) == 1;
	return *alive && t.epoch;
}

/* A word of a page's bitmaps. */
struct bits {
	uint64_t valid; /* bits that stand for blocks */
	uint64_t alloc;
	uint64_t limbo;
	uint64_t twice; /* in two limbo bitmaps */
	uint64_t reached;
	uint64_t was; /* allocated before the walk */
};

static void load_bits(struct check_pass *p, uint32_t page, uint32_t n,
                      uint32_t i, struct bits *b)
{
	struct meta_shm *meta = &p->s->metas[page];

	if (n >= (i + 1) * 64)
		b->valid = ~UINT64_C(0);
	else
		b->valid = n > i * 64 ? (UINT64_C(1) << n % 64) - 1 : 0;
	b->limbo = b->twice = 0;
	for (unsigned g = 0; g < 4; g++) {
		uint64_t limbo = order_load(&meta->limbo[g][i]);

		b->twice |= b->limbo & limbo;
		b->limbo |= limbo;
	}
	b->alloc = order_load(&meta->alloc[i]);
	b->reached = check_bits(p->reached, page)[i];
	b->was = check_bits(p->alloc, page)[i];
}

static void say_blocks(struct check_pass *p, uint32_t page, uint32_t i,
                       uint32_t bytes, uint64_t bits, const char *what)
{
	for (; bits; bits &= bits - 1) {
		uint32_t block = i * 64 + (uint32_t)__builtin_ctzll(bits);
		uint64_t offset =
			wbci_page_off(p->s, page) + (uint64_t)block * bytes;

		check_say(p, check_block, offset, "block %#" PRIx64 ": %s",
		          offset, what);
	}
}

static void count(struct check_pass *p, enum check_use use, uint64_t bits,
                  uint32_t bytes)
{
	uint64_t n = (uint64_t)__builtin_popcountll(bits);

	p->blocks[use] += n;
	p->bytes[use] += n * bytes;
}

static void check_one_page(struct check_pass *p, uint32_t page, uint64_t word,
                           uint32_t n)
{
	uint32_t bytes = wbci_class_bytes[wbci_page_class(word)];
	bool alive, works = owner_works(p, wbci_page_owner(word), &alive);

	for (uint32_t i = 0; i < WBCI_BITMAP_WORDS; i++) {
		struct bits b;
		uint64_t used, limbo, open;

		load_bits(p, page, n, i, &b);
		if ((b.alloc | b.limbo) & ~b.valid)
			check_say(p, check_page, page,
			          "page %" PRIu32 " has bits for more than its "
			          "%" PRIu32 " blocks",
			          page, n);
		say_blocks(p, page, i, bytes, b.twice & b.alloc & b.valid,
		           "it was retired twice");
		say_blocks(p, page, i, bytes, b.reached & ~b.alloc & ~b.was,
		           "it is in use, and free");
		say_blocks(p, page, i, bytes, b.reached & b.alloc & b.limbo,
		           "it is in use, and retired");
		/* Else its last owner died while it freed it, and the next
		 * clears the bit before it allocates. */
		if (alive && !works)
			say_blocks(p, page, i, bytes,
			           b.limbo & ~b.alloc & ~b.was & b.valid,
			           "it is free, and retired");
		used = b.alloc & b.reached & b.valid;
		limbo = b.alloc & b.limbo & ~used & b.valid;
		open = b.alloc & ~used & ~limbo & b.valid;
		count(p, CHECK_USED, used, bytes);
		count(p, CHECK_LIMBO, limbo, bytes);
		count(p, CHECK_FREE, ~b.alloc & b.valid, bytes);
		/* Which of them are lost is known after the last pass. */
		count(p, CHECK_HELD, open, bytes);
		if (!works)
			check_bits(p->lost, page)[i] = open & b.was;
	}
}

/* A thread gives its pages back before its slot, and so does the reaper. */
static void check_owner(struct check_pass *p, uint32_t page, uint64_t word)
{
	unsigned owner = wbci_page_owner(word);
	struct view_thread t;

	if (owner > p->s->geo.n_threads) {
		check_say(p, check_page, page,
		          "page %" PRIu32 " is owned by thread slot %u,"
		          " there are %" PRIu32,
		          page, owner - 1, p->s->geo.n_threads);
		return;
	}
	if (owner == 0)
		return;
	view_thread(p->s, owner - 1, &t);
	if (t.state == THREAD_FREE && order_load(&p->s->words[page]) == word)
		check_say(p, check_page, page,
		          "page %" PRIu32 " is owned by thread slot %u, which "
		          "is nobody's",
		          page, owner - 1);
}

static void check_free_page(struct check_pass *p, uint32_t page)
{
	struct meta_shm *meta = &p->s->metas[page];

	for (uint32_t i = 0; i < WBCI_BITMAP_WORDS; i++) {
		if (order_load(&meta->alloc[i]) == 0)
			continue;
		check_say(p, check_page, page,
		          "page %" PRIu32 " is free, and has allocated blocks",
		          page);
		return;
	}
}

void check_blocks(struct check_pass *p)
{
	const struct wbci_segment *s = p->s;

	for (uint32_t page = 0; page < p->pages; page++) {
		/* ORDER page.claim, acquire: the bitmaps are this kind's. */
		uint64_t word = order_acquire(&s->words[page]);
		uint32_t n = wbci_page_blocks(word);

		check_owner(p, page, word);
		if (word == PAGE_FREE)
			check_free_page(p, page);
		else if (n == 0 || wbci_page_kind(word) > PAGE_BLOCKS ||
		         word >> 29)
			check_say(p, check_page, page,
			          "page %" PRIu32 " is of no known kind or "
			          "size (%#" PRIx64 ")",
			          page, word);
		else
			check_one_page(p, page, word, n);
	}
	/* Memory that is not there has no kind yet. */
	for (uint32_t page = p->pages; page < s->geo.n_pages; page++) {
		if (page >= wbci_committed(s) * WBCI_PAGES_PER_EXTENT &&
		    order_load(&s->words[page]))
			check_say(p, check_page, page,
			          "page %" PRIu32 " is in use, and not "
			          "committed",
			          page);
	}
}
