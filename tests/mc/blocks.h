/* SPDX-License-Identifier: MIT */
/* Copyright the wbcshm authors */

/*
 * Blocks, for oracles: every one that is held is reached from the index, every
 * one that is reached is held, and none is retired twice.
 */
#ifndef BLOCKS_H
#define BLOCKS_H

#include <string.h>

#include "mc.h"

#include "shm/entry.h"
#include "shm/page.h"
#include "shm/plain.h"
#include "shm/sweep.h"
#include "shm/walk.h"

#define BLOCKS_PAGES 16u

/* Blocks that the index reaches, by page and block. */
static uint64_t blocks_reached[BLOCKS_PAGES][WBCI_BITMAP_WORDS];

static inline void blocks_reach(uint64_t offset)
{
	uint32_t page, block;
	uint64_t word;

	MC_CHECK(wbci_block_find(mc_segment(), offset, &page, &block, &word) &&
	                 page < BLOCKS_PAGES,
	         "a word of the index names no block");
	blocks_reached[page][block / 64] |= UINT64_C(1) << block % 64;
}

static inline bool blocks_reach_part(void *arg, uint64_t offset,
                                     uint64_t bytes)
{
	(void)arg;
	(void)bytes;
	blocks_reach(offset);
	return true;
}

/* What hangs on an entry. */
static inline void blocks_reach_tree(uint64_t entry)
{
	const struct wbci_segment *s = mc_segment();
	struct row_shm *row = wbci_entry_row(s, wbci_at(s, entry), entry);

	MC_CHECK(!row || !wbci_tree_visit(s, wbci_plain_root(row),
	                                  blocks_reach_part, NULL),
	         "a row's tree is damaged");
}

static inline void blocks_reach_word(order_u64 *at, unsigned depth)
{
	uint64_t word = order_load(at);
	struct node_shm *node;

	if ((word & 3) == INDEX_EMPTY)
		return;
	blocks_reach(wbci_ref_offset(word));
	if ((word & 3) == INDEX_ENTRY)
		blocks_reach_tree(wbci_ref_offset(word));
	if ((word & 3) == INDEX_ENTRY || depth > 4)
		return;
	node = wbci_at(mc_segment(), wbci_ref_offset(word));
	for (unsigned i = 0; i < WBCI_NODE_WORDS; i++)
		blocks_reach_word(&node->word[i], depth + 1);
}

static inline void blocks_compare(uint32_t page)
{
	const struct meta_shm *meta = &mc_segment()->metas[page];

	for (unsigned w = 0; w < WBCI_BITMAP_WORDS; w++) {
		uint64_t alloc = order_load(&meta->alloc[w]);
		uint64_t limbo = 0, twice = 0;

		for (unsigned i = 0; i < 4; i++) {
			uint64_t bits = order_load(&meta->limbo[i][w]);

			twice |= limbo & bits & alloc;
			limbo |= bits;
		}
		MC_CHECK(!twice, "a block is retired twice");
		MC_CHECK(!(blocks_reached[page][w] & ~alloc),
		         "a block is free, and in use");
		MC_CHECK(!(blocks_reached[page][w] & limbo),
		         "a block is retired, and in use");
		MC_CHECK(!(alloc & ~limbo & ~blocks_reached[page][w]),
		         "a block is lost");
	}
}

/* In check: after the flusher of thread t has recovered the segment. */
static inline void blocks_check(unsigned t)
{
	mc_as((int)t);
	MC_CHECK(wbci_recover(mc_client((int)t)) >= 0, "recovery gives up");
	mc_as(-1);
	memset(blocks_reached, 0, sizeof(blocks_reached));
	for (uint64_t i = 0; i <= mc_segment()->root_mask; i++)
		blocks_reach_word(&mc_segment()->root[i], 0);
	for (uint32_t page = 0; page < BLOCKS_PAGES; page++)
		blocks_compare(page);
}

#endif
