/* SPDX-License-Identifier: MIT */
/* Copyright the wbcshm authors */

/*
 * Removing entries that are clean and idle, so that memory is bounded by what
 * is in use.
 *
 * who          does
 * the flusher  LIVE -> FROZEN, grace, then DEAD if nothing is pending, else
 *              LIVE; unlinks; retires.  One thread
 * clients      FROZEN -> LIVE before they write; unlink what is DEAD and
 *              make the key anew
 *
 * Invariants:
 *  - Whoever adds saw the entry LIVE in the section in which it adds.  So
 *    when the grace period that began after FROZEN has ended, either nothing
 *    is pending and nobody is about to add, or the word is LIVE again.
 *  - Only the flusher retires an entry that was linked, in the section in
 *    which it made it DEAD.
 *
 * A flusher killed anywhere leaves FROZEN words, which the next one counts as
 * LIVE; a DEAD entry that is not retired yet is the mark-sweep's, since its
 * flusher died in a section.
 */
#ifndef WBCI_REMOVE_H
#define WBCI_REMOVE_H

#include "entry.h"
#include "prune.h"

/* Entries that one grace period may freeze. */
#define WBCI_FREEZE_MOST 4096u

struct wbci_removal {
	struct wbci_client *client;
	struct wbci_pruning *pruning;
	uint64_t grace; /* G at which those in frozen[] may be removed */
	uint32_t page;  /* where the look goes on: a clock's hand */
	uint32_t n;
	uint64_t removed; /* entries so far */
	struct wbci_ref *frozen;
};

/* Return: 0 or -ENOMEM. */
int wbci_removal_init(struct wbci_removal *r, struct wbci_client *c,
                      struct wbci_pruning *pruning);

/* Puts back what is frozen. */
void wbci_removal_free(struct wbci_removal *r);

/**
 * wbci_removal_look() - freeze entries that are clean and idle
 * @r:      nothing of it is frozen; not within a section
 * @before: entries last marked in a round below this are idle
 * @pages:  to look at, at the most
 *
 * Goes on where the last look ended, at the first page after the last one,
 * and ends early when it has frozen enough.
 *
 * Return: how many pages it is done with.
 */
uint32_t wbci_removal_look(struct wbci_removal *r, uint64_t before,
                           uint32_t pages);

/**
 * wbci_removal_step() - remove what is frozen and still clean
 * @r: not within a section
 *
 * Does nothing before the grace period has ended.
 *
 * Return: true while entries are frozen.
 */
bool wbci_removal_step(struct wbci_removal *r);

#endif
