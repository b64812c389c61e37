/* SPDX-License-Identifier: MIT */
/* Copyright the wbcshm authors */

/*
 * Pruning: nodes of the index that became empty are taken out, or churn of
 * keys would grow the trie for ever.
 *
 * who          does
 * the flusher  NODE -> CLOSING; after a grace period CLOSING -> EMPTY and
 *              retire if all 16 words are EMPTY, else CLOSING -> NODE
 * clients      CLOSING -> NODE before they insert below it
 *
 * Whoever inserts below a node saw NODE on its way down, in the section in
 * which it inserts.  So when the grace period that began after CLOSING has
 * ended, everybody who means to insert has done so, or has put NODE back.
 * A word that names a closing node is not EMPTY, so the node that holds the
 * word is not pruned before it: words stay where they are.
 *
 * A flusher killed anywhere leaves CLOSING words, which look-ups pass and
 * inserters and the next sweep put back, or an unlinked node, which it had
 * unlinked in a section: the sweep's.
 */
#ifndef WBCI_PRUNE_H
#define WBCI_PRUNE_H

#include "client.h"
#include "index.h"

/* Nodes that one grace period may close; more are left for a sweep. */
#define WBCI_PRUNE_MOST 4096u

struct wbci_pruning {
	struct wbci_client *client;
	uint64_t grace; /* G at which those in closing[] may be taken out */
	uint32_t n;
	uint64_t pruned; /* nodes so far */
	uint64_t left;   /* that found no place in closing[] */
	struct wbci_closing {
		uint64_t at;   /* offset of the word that names it */
		uint64_t word; /* CLOSING, what it is replaced from */
		uint64_t hash; /* the digits that lead to it */
	} * closing;
};

/* Return: 0 or -ENOMEM. */
int wbci_pruning_init(struct wbci_pruning *p, struct wbci_client *c);

/* Puts back what is closing. */
void wbci_pruning_free(struct wbci_pruning *p);

/**
 * wbci_prune_path() - close the last node on a key's path if it is empty
 * @hash: of the key, which was just unlinked
 *
 * In a section.
 */
void wbci_prune_path(struct wbci_pruning *p, uint64_t hash);

/**
 * wbci_prune_word() - close the node that a word names if it is empty
 * @at:   the word
 * @hash: the digits that lead to it
 *
 * In a section.
 */
void wbci_prune_word(struct wbci_pruning *p, order_u64 *at, uint64_t hash);

/**
 * wbci_prune_step() - take out what is closed and still empty
 * @p: not within a section
 *
 * Does nothing before the grace period has ended.  The nodes above are closed
 * in turn if they are empty now.
 *
 * Return: true while nodes are closing.
 */
bool wbci_prune_step(struct wbci_pruning *p);

#endif
