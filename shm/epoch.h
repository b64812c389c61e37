/* SPDX-License-Identifier: MIT */
/* Copyright the wbcshm authors */

/*
 * Epochs: RCU over the segment.
 *
 * who                 may call
 * any thread          wbci_enter, wbci_exit (own word), wbci_epoch_advance
 *
 * A section is from wbci_enter() to wbci_exit(); inside it nothing that the
 * thread can reach through the segment is reused.  It contains no system
 * call, callback, malloc or user code.  Sections do not nest.
 *
 * Invariant: while a thread is in a section whose word is w, G <= w + 1 once
 * a scan has seen the word; so stamps set meanwhile are G or G - 1.
 *
 * A thread killed in a section leaves its word set; the reaper clears it.
 * A stopped thread keeps G from advancing, and so memory from being reused;
 * nothing waits for G.
 *
 * Source: epoch-based reclamation (Fraser 2004), with the reader's fence
 * moved to the reclaimer by membarrier as in userspace-rcu.
 */
#ifndef WBCI_EPOCH_H
#define WBCI_EPOCH_H

#include "client.h"

/* Enter, for a thread that needs no fence, by the shortest way to its word:
 * a locked instruction waits for this store, and the store for its loads. */
static inline void wbci_enter_hot(struct control_shm *control, order_u64 *epoch)
{
	/* ORDER epoch.advance, acquire: what was unlinked before G moved on
	 * is seen as unlinked. */
	uint64_t g = order_acquire(&control->epoch);

	/* ORDER epoch.enter, compiler: the scan's membarrier is the fence. */
	order_store(epoch, g);
	order_compiler();
}

static inline void wbci_exit_hot(order_u64 *epoch)
{
	/* ORDER epoch.exit, release: our reads are done before a scan sees
	 * that we left. */
	order_release(epoch, 0);
}

static inline void wbci_enter(struct wbci_thread *t)
{
	if (!t->fenced) {
		wbci_enter_hot(t->control, t->epoch);
		return;
	}
	/* ORDER epoch.enter, fence: our word is visible before we read
	 * anything; pairs with the scan's fence.
	 * ORDER epoch.advance, acquire: as above, by the same fence. */
#ifdef WBC_TSAN
	order_xchg_seq(t->epoch, order_acquire(&t->control->epoch));
#else
	order_store(t->epoch, order_load(&t->control->epoch));
	order_fence();
#endif
}

static inline void wbci_exit(struct wbci_thread *t)
{
	wbci_exit_hot(t->epoch);
}

/**
 * wbci_epoch_advance() - move G on by one, if every section allows it
 * @c: client; not within a section
 *
 * Return: true if G moved, by us or somebody else.
 */
bool wbci_epoch_advance(struct wbci_client *c);

/**
 * wbci_epoch_grace() - begin to wait for a grace period
 * Return: the G at which every section that is open now has ended.
 */
static inline uint64_t wbci_epoch_grace(struct wbci_client *c)
{
	/* ORDER epoch.grace, fence: after the caller's own change.  Relaxed:
	 * behind the fence it finds what was in S before. */
	order_fence();
	return order_load(&c->segment.control->epoch) + 2;
}

static inline bool wbci_epoch_passed(struct wbci_client *c, uint64_t grace)
{
	/* ORDER epoch.advance, acquire: the readers' last reads are over. */
	return order_acquire(&c->segment.control->epoch) >= grace;
}

/* Register this process for membarrier; false if it must use fences. */
bool wbci_epoch_register(void);

/* The calling thread's stores are seen by all sections before its loads. */
bool wbci_epoch_barrier(void);

#endif
