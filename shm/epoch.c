/* SPDX-License-Identifier: MIT */
/* Copyright the wbcshm authors */

#include "epoch.h"

#include <errno.h>
#include <linux/membarrier.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifdef WBC_TSAN
/* ThreadSanitizer sees neither membarrier nor other processes' threads. */
static int membarrier(int command)
{
	(void)command;
	return -1;
}
#else
static int membarrier(int command)
{
	return (int)syscall(SYS_membarrier, command, 0, 0);
}
#endif

bool wbci_epoch_register(void)
{
	return membarrier(MEMBARRIER_CMD_REGISTER_GLOBAL_EXPEDITED) == 0;
}

bool wbci_epoch_barrier(void)
{
	bool done = membarrier(MEMBARRIER_CMD_GLOBAL_EXPEDITED) == 0;

	if (!done)
		order_fence();
	return done;
}

/* Load another thread's epoch word so that its later entry sees our past. */
static uint64_t scan_word(order_u64 *word)
{
#ifdef WBC_TSAN
	return order_add_seq(word, 0);
#else
	/* ORDER epoch.exit, acquire: its reads are over if it left. */
	return order_acquire(word);
#endif
}

/*
 * Has every section that was open before this call ended, or begun at G?
 * Without membarrier only fenced threads can be judged.
 */
static bool scan(const struct wbci_segment *s, uint64_t g, bool barrier)
{
	for (uint32_t i = 0; i < s->geo.n_threads; i++) {
		struct thread_shm *thread = &s->threads[i];
		/* ORDER slot.claim, acquire: a slot that we find free is
		 * claimed later, and its sections see our past. */
		unsigned state = (unsigned)(order_acquire(&thread->word) & 15);
		uint64_t word;

		if (state == THREAD_FREE)
			continue;
		if (state != THREAD_FENCED && !barrier)
			return false;
		word = scan_word(&thread->epoch);
		if (word != 0 && word != g)
			return false;
	}
	return true;
}

bool wbci_epoch_advance(struct wbci_client *c)
{
	const struct wbci_segment *s = &c->segment;
	/* Relaxed: the CAS acquires what made G what it is, and the barrier
	 * keeps the scan behind this. */
	uint64_t g = order_load(&s->control->epoch);
	bool barrier;

	/* ORDER epoch.enter, fence: every section that this scan misses
	 * begins after the barrier, and sees what was unlinked before.
	 * Membarrier is a full fence for its caller, too. */
	barrier = wbci_epoch_barrier();
	if (!scan(s, g, barrier))
		return false;
	/* ORDER epoch.advance, release: the readers' last reads are over
	 * before anybody sees the new G and reuses what they read.
	 * ORDER epoch.stamp, S; ORDER epoch.grace, S: who fences after this
	 * and then loads G finds it. */
	order_cas_seq(&s->control->epoch, &g, g + 1);
	return true;
}
