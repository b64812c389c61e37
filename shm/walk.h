/* SPDX-License-Identifier: MIT */
/* Copyright the wbcshm authors */

/*
 * Reading all of a segment without a slot, on a read-only mapping.
 *
 * who        may call
 * anybody    all of it; nothing is written, no epoch section protects it
 *
 * So whatever is read may be reused meanwhile, or be a stranger's bytes: every
 * offset is checked, and a walk descends into a block once, so it ends whatever
 * the bytes are.  On a segment at rest the answers are exact.
 */
#ifndef WBCI_WALK_H
#define WBCI_WALK_H

#include "entry.h"
#include "page.h"

/* Is the entry's bit among its page's dirty bits? */
bool wbci_entry_marked(const struct wbci_segment *s, uint64_t offset);

/* Blocks of a page of this word; 0 if its class is none. */
uint32_t wbci_page_blocks(uint64_t word);

/**
 * wbci_block_find() - the page and place of a block
 * @offset: anything
 * @page:   receives its page
 * @block:  receives its number there
 * @word:   receives the page's word
 *
 * Return: false if the offset is not the start of a block in a page in use.
 */
bool wbci_block_find(const struct wbci_segment *s, uint64_t offset,
                     uint32_t *page, uint32_t *block, uint64_t *word);

/* A word of the index that is not empty, and how it was reached. */
struct wbci_step {
	uint64_t at; /* offset of the word itself */
	uint64_t word;
	uint64_t target; /* what it names */
	enum index_tag tag;
	unsigned depth; /* 0: in the root */
	uint64_t root;  /* number of the root word on the path */
	uint8_t digit[WBCI_INDEX_DEPTH_MAX + 1]; /* in the node of depth i */
	bool known; /* the target was met before, in another word */
	bool sound; /* the target lies in a page in use */
};

/**
 * wbci_index_walk() - visit every word of the index that is not empty
 * @visit: 0 to go on; anything else ends the walk
 *
 * A node is visited before what it holds, and entered the first time only.
 *
 * Return: 0, -ENOMEM, or what @visit returned.
 */
int wbci_index_walk(const struct wbci_segment *s,
                    int (*visit)(void *arg, const struct wbci_step *step),
                    void *arg);

#endif
