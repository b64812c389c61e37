/* SPDX-License-Identifier: MIT */
/* Copyright the wbcshm authors */

#include "prune.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "epoch.h"
#include "page.h"

int wbci_pruning_init(struct wbci_pruning *p, struct wbci_client *c)
{
	memset(p, 0, sizeof(*p));
	p->client = c;
	p->closing = calloc(WBCI_PRUNE_MOST, sizeof(*p->closing));
	return p->closing ? 0 : -ENOMEM;
}

/*
 * CLOSING -> NODE, unless an inserter did it.  Relaxed: what the word names
 * was published by the inserter's CAS that linked it in, whose release
 * sequence goes on with all that is swapped into the word later.
 */
static void reopen(order_u64 *at, uint64_t word)
{
	order_cas_relaxed(at, &word, (word & ~UINT64_C(3)) | INDEX_NODE);
}

void wbci_pruning_free(struct wbci_pruning *p)
{
	for (uint32_t i = 0; i < p->n; i++) {
		const struct wbci_closing *c = &p->closing[i];

		reopen(wbci_at(&p->client->segment, c->at), c->word);
	}
	free(p->closing);
	memset(p, 0, sizeof(*p));
}

static struct node_shm *node_of(const struct wbci_segment *s, uint64_t word)
{
	uint64_t offset = wbci_ref_offset(word);

	return wbci_in_page(s, offset, sizeof(struct node_shm))
	               ? wbci_at(s, offset)
	               : NULL;
}

static bool is_empty(struct node_shm *node)
{
	for (unsigned i = 0; i < WBCI_NODE_WORDS; i++) {
		/* Relaxed: what is linked in is not touched, and after the
		 * grace period, whose end was acquired, nobody links in
		 * anything.  Before it this is a hint. */
		if (order_load(&node->word[i]) != INDEX_EMPTY)
			return false;
	}
	return true;
}

void wbci_prune_word(struct wbci_pruning *p, order_u64 *at, uint64_t hash)
{
	const struct wbci_segment *s = &p->client->segment;
	/* ORDER index.publish, acquire: the node's words. */
	uint64_t word = order_acquire(at);
	uint64_t closing = (word & ~UINT64_C(3)) | INDEX_CLOSING;
	struct node_shm *node;

	if ((word & 3) != INDEX_NODE)
		return;
	node = node_of(s, word);
	if (!node || !is_empty(node))
		return;
	if (p->n == WBCI_PRUNE_MOST) {
		p->left++;
		return;
	}
	/* ORDER index.closing, fence: wbci_epoch_grace() has it, and the grace
	 * period begins after it. */
	if (!order_cas_relaxed(at, &word, closing))
		return;
	p->closing[p->n++] = (struct wbci_closing){
		(uint64_t)((unsigned char *)at - s->base), closing, hash};
	p->grace = wbci_epoch_grace(p->client);
}

/*
 * The word that names the last node on a path, or the one above a word on
 * it; NULL if there is none.  Deeper than the digits of the hash itself
 * nothing is pruned: only keys whose whole hashes agree stand there.
 */
static order_u64 *last_node(const struct wbci_segment *s, uint64_t hash,
                            const order_u64 *below)
{
	uint64_t digits = hash >> s->geo.root_bits;
	order_u64 *at = &s->root[hash & s->root_mask];
	order_u64 *last = NULL;
	unsigned depth = (64 - s->geo.root_bits) / WBCI_NODE_BITS;

	while (at != below) {
		struct node_shm *node;
		/* ORDER index.publish, acquire */
		uint64_t word = order_acquire(at);

		if ((word & 3) != INDEX_NODE)
			return below ? NULL : last;
		last = at;
		node = node_of(s, word);
		if (!node || depth-- == 0)
			return NULL;
		at = &node->word[digits % WBCI_NODE_WORDS];
		digits /= WBCI_NODE_WORDS;
	}
	return last;
}

void wbci_prune_path(struct wbci_pruning *p, uint64_t hash)
{
	order_u64 *at = last_node(&p->client->segment, hash, NULL);

	if (at)
		wbci_prune_word(p, at, hash);
}

/* Take out one node; true if its word is EMPTY now. */
static bool take_out(struct wbci_pruning *p, struct wbci_thread *t,
                     const struct wbci_closing *c)
{
	const struct wbci_segment *s = &p->client->segment;
	order_u64 *at = wbci_at(s, c->at);
	uint64_t word = c->word;
	struct node_shm *node = node_of(s, word);

	/* It was there when it was closed: somebody took extents away. */
	if (!node)
		return false;
	if (!is_empty(node)) {
		reopen(at, word);
		return false;
	}
	/* ORDER index.closing, swap: an inserter put NODE back before this, or
	 * finds EMPTY.  Relaxed: with EMPTY nothing is handed over, and the
	 * fence in wbci_block_retire() comes before the stamp. */
	if (!order_cas_relaxed(at, &word, INDEX_EMPTY))
		return false;
	wbci_block_retire(t, wbci_ref_offset(word));
	p->pruned++;
	return true;
}

bool wbci_prune_step(struct wbci_pruning *p)
{
	const struct wbci_segment *s = &p->client->segment;
	uint32_t n = p->n;
	struct wbci_thread *t;

	if (n == 0)
		return false;
	if (!wbci_epoch_passed(p->client, p->grace) ||
	    wbci_thread(p->client, &t))
		return true;
	/* What is closed on the way goes to the front, into places that were
	 * read already: a node has one above it. */
	p->n = 0;
	for (uint32_t i = 0; i < n; i++) {
		struct wbci_closing c = p->closing[i];
		order_u64 *above;

		wbci_enter(t);
		if (take_out(p, t, &c)) {
			above = last_node(s, c.hash, wbci_at(s, c.at));
			if (above)
				wbci_prune_word(p, above, c.hash);
		}
		wbci_exit(t);
	}
	return p->n != 0;
}
