/* SPDX-License-Identifier: MIT */
/* Copyright the wbcshm authors */

/*
 * Mark-sweep: blocks that the dead had allocated and not published, or had
 * unlinked and not retired, are found and retired.  The only mechanism that
 * repairs leaks; nothing is logged per operation for it.
 *
 * who          does
 * the flusher  all of it, in steps; one thread
 * clients      free no block while control.mark is set: what they reclaim
 *              stays in limbo, what they undo is retired
 *
 * The steps, each waiting for a grace period that nobody waits in:
 *
 *   wanted     mark is set; sections that may still free blocks end
 *   snapshot   which blocks are allocated and not retired: the candidates.
 *              Sections that hold one privately end: they published it,
 *              retired it, or are dead
 *   walk       from the roots, every block that is reached is marked
 *   walked     sections that unlinked a block before the walk came to it
 *              end: they have retired it
 *   sweep      candidates neither marked nor retired are retired; mark is 0
 *
 * Invariants:
 *  - While mark is set a block that is allocated stays allocated, so no
 *    candidate becomes another block, and new blocks are no candidates.
 *  - A candidate that is reachable when the walk begins is reached, or is
 *    retired by whoever unlinks it.  Where a word moves down into a new
 *    node, the node is reached instead, and the word in it.
 *  - mark is set before a dead thread's epoch word is cleared.
 *
 * A flusher killed anywhere leaves mark set; the next one begins anew.
 */
#ifndef WBCI_SWEEP_H
#define WBCI_SWEEP_H

#include "client.h"
#include "page.h"
#include "prune.h"

enum wbci_sweep_state {
	SWEEP_NONE,
	SWEEP_WANTED,
	SWEEP_SNAPSHOT,
	SWEEP_WALK,
	SWEEP_WALKED
};

struct wbci_sweep {
	struct wbci_client *client;
	struct wbci_pruning *pruning; /* where empty nodes go, or NULL */
	enum wbci_sweep_state state;
	uint64_t wanted;      /* control.mark when it began */
	uint64_t grace;       /* G at which the state may be left */
	uint32_t n_pages;     /* that the snapshot covers */
	uint32_t n_marked;    /* that marked[] covers */
	bool no_memory;       /* for marked[]: the walk is void */
	uint64_t *candidates; /* WBCI_BITMAP_WORDS words a page */
	uint64_t *marked;     /* the same: reached by the walk */
	uint64_t root;        /* next root word of the walk */
	uint64_t swept;       /* blocks retired so far, by all sweeps */
	uint64_t sweeps;      /* that ended */
	uint64_t corrupt;     /* words of the index that name no block */
};

/**
 * wbci_sweep_init() - be ready to sweep
 * @pruning: where to hand empty nodes that the walk meets; NULL for none
 *
 * If a flusher died while it swept, or left a sweep wanted, one begins.
 */
void wbci_sweep_init(struct wbci_sweep *sw, struct wbci_client *c,
                     struct wbci_pruning *pruning);
void wbci_sweep_free(struct wbci_sweep *sw);

/* A sweep is wanted, though one may be running: that one began too early. */
void wbci_sweep_want(const struct wbci_segment *s);

/**
 * wbci_sweep_step() - go on, as far as grace periods allow
 * @sw:     not within a section
 * @budget: index words to look at, at the most; more is left to the next call
 *
 * Tries to advance the epoch when it waits for it.
 *
 * Return: 0 if nothing is to be done, 1 if there is more to do, or -ENOMEM
 * (nothing is lost; call again).
 */
int wbci_sweep_step(struct wbci_sweep *sw, uint64_t budget);

/**
 * wbci_recover() - all that a flusher does for the dead, at once
 * @c: client that holds the flusher's lock, alone with the segment or not
 *
 * Reaps, then sweeps until nothing is left to be done; it waits for grace
 * periods by trying, so a thread that stands in a section makes it give up.
 * For tools and tests; the flusher itself takes the same steps one by one.
 *
 * Return: blocks swept, -EAGAIN (somebody is in a section), or -ENOMEM.
 */
int64_t wbci_recover(struct wbci_client *c);

#endif
