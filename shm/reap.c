/* SPDX-License-Identifier: MIT */
/* Copyright the wbcshm authors */

/*
 * The reaper: slots of the dead go back.  Called by the flusher alone.
 *
 * USED and not locked is dead: CAS to REAPING, and probe again, since
 * somebody who saw the slot free long ago may have locked it meanwhile and
 * is about to fail its CAS; then the probe means nothing and USED is put
 * back.  While REAPING nobody claims the slot, so its thread slots are the
 * dead one's.  A reaper killed anywhere leaves REAPING, which the next one
 * takes up at the same place: every step can be redone.
 *
 * What the dead one did is known to whom the kernel told that its lock is
 * gone; so its words are loaded relaxed.
 */
#include "client.h"
#include "page.h"
#include "sweep.h"

/* All thread slots of a dead process; returns those dead in a section. */
static unsigned reap_threads(const struct wbci_segment *s, uint32_t proc)
{
	unsigned in_section = 0;

	for (uint32_t i = 0; i < s->geo.n_threads; i++) {
		struct thread_shm *thread = &s->threads[i];
		uint64_t word = order_load(&thread->word);

		if ((word & 15) == THREAD_FREE || (word >> 4 & 4095) != proc)
			continue;
		/* What it held privately is lost: wanted before the epoch word
		 * is cleared, so that it is whoever dies now. */
		if (order_load(&thread->epoch)) {
			in_section++;
			wbci_sweep_want(s);
		}
		wbci_page_release(s, i);
		/* ORDER epoch.exit, release: the dead one's reads are done,
		 * and the sweep is wanted, before a scan sees that it left. */
		order_release(&thread->epoch, 0);
		order_store(&thread->tid, 0);
		order_store(&thread->want, 0);
		/* ORDER slot.claim, release: the slot is clean. */
		order_release(&thread->word,
		              (word & ~UINT64_C(0xffff)) | THREAD_FREE);
	}
	return in_section;
}

/* 1 if the slot's owner was dead and its slot is free now. */
static unsigned reap_proc(const struct wbci_segment *s, uint32_t i,
                          unsigned *in_section)
{
	struct proc_shm *p = &s->procs[i];
	/* Relaxed: as the CAS below; or a flusher that died, and whose lock we
	 * have since, left REAPING. */
	uint64_t word = order_load(&p->word);
	uint64_t reaping = (word & ~UINT64_C(15)) | PROC_REAPING;

	if ((word & 15) != PROC_USED && (word & 15) != PROC_REAPING)
		return 0;
	if (wbci_segment_locked(s, WBCI_LOCK_PROC + i) != 0)
		return 0;
	/* Relaxed: USED was stored under the lock, and the probe after this
	 * asks the kernel for it, which keeps its list of locks under a lock
	 * of its own. */
	if (word != reaping && !order_cas_relaxed(&p->word, &word, reaping))
		return 0;
	if (wbci_segment_locked(s, WBCI_LOCK_PROC + i) != 0) {
		/* Relaxed: whoever claims it does so from FREE. */
		order_store(&p->word, (word & ~UINT64_C(15)) | PROC_USED);
		return 0;
	}
	*in_section += reap_threads(s, i);
	order_store(&p->pid, 0);
	/* ORDER slot.claim, release: all of the slot is clean. */
	order_release(&p->word, (word & ~UINT64_C(15)) | PROC_FREE);
	return 1;
}

unsigned wbci_reap(const struct wbci_segment *s, unsigned *in_section)
{
	unsigned dead = 0;

	*in_section = 0;
	for (uint32_t i = 0; i < s->geo.n_procs; i++)
		dead += reap_proc(s, i, in_section);
	return dead;
}
