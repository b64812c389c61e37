/* SPDX-License-Identifier: MIT */
/* Copyright the wbcshm authors */

/*
 * Dirty marks: how a client tells the flusher that an entry changes.
 * round.h has the whole protocol and its invariants.
 */
#ifndef WBCI_MARK_H
#define WBCI_MARK_H

#include "client.h"

/* The first mark of an entry in a cycle. */
void wbci_mark_bits(struct wbci_thread *t, struct entry_shm *e,
                    uint64_t cycle);

/**
 * wbci_mark() - before an entry is modified, in the same section
 * @e: entry, LIVE
 */
static inline void wbci_mark(struct wbci_thread *t, struct entry_shm *e)
{
	/* ORDER round.bump, acquire: in a new cycle the bits are seen as the
	 * round before took them. */
	uint64_t cycle = order_acquire(&t->control->cycle);

	/* ORDER mark.stamp, acquire: whoever stamped set the bits before. */
	if (__builtin_expect(order_acquire(&e->stamp) != cycle, 0))
		wbci_mark_bits(t, e, cycle);
}

#endif
