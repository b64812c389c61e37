/* SPDX-License-Identifier: MIT */
/* Copyright the wbcshm authors */

#include "fetch.h"

#include <errno.h>

#include "../api/wbc_error.h"
#include "wake.h"

/* How often a waiter looks whether the segment was closed. */
#define SLICE_MS 100

static void ask(struct wbci_thread *t, uint64_t offset)
{
	const struct wbci_segment *s = &t->client->segment;

	/* ORDER fetch.want, release: the entry is whole and linked before the
	 * flusher looks at it. */
	order_release(&t->shm->want, offset);
	/* ORDER fetch.want, release: a flusher that sees this looks at the
	 * slots, and finds ours.  wbci_ring()'s fence is after it. */
	order_add_release(&s->control->fetch_want, 1);
	wbci_ring(s);
}

/* The want is gone: what the answer was. */
static int answer(const struct wbci_thread *t)
{
	/* Relaxed: stored before the want was taken away. */
	return (int)(0 - order_load(&t->shm->want_error));
}

/* Nobody answers any more; false: somebody just has. */
static bool give_up(struct wbci_thread *t, uint64_t offset)
{
	/* Relaxed: who finds an answer acquires it. */
	return order_cas_relaxed(&t->shm->want, &offset, 0);
}

/* Milliseconds of the next wait; 0: the deadline has passed. */
static int slice_ms(int64_t deadline)
{
	int64_t left = SLICE_MS;

	if (deadline >= 0)
		left = (deadline - wbci_now_ns() + 999999) / 1000000;
	if (left <= 0)
		return 0;
	return left < SLICE_MS ? (int)left : SLICE_MS;
}

int wbci_fetch(struct wbci_thread *t, uint64_t offset, int64_t deadline)
{
	const struct wbci_segment *s = &t->client->segment;
	bool closed;
	int ms;

	ask(t, offset);
	for (;;) {
		/* ORDER wake.event, acquire: before the want is looked at. */
		uint32_t seen = order_acquire(&s->control->event);

		/* ORDER fetch.answer, acquire: the origins, and the error. */
		if (order_acquire(&t->shm->want) != offset)
			return answer(t);
		closed = order_load(&s->control->closed);
		ms = closed ? 0 : slice_ms(deadline);
		if (ms)
			wbci_event_wait(s, seen, ms);
		else if (give_up(t, offset))
			break;
	}
	if (closed)
		return -ESTALE;
	return wbci_segment_has_flusher(s) == 0 ? WBC_E_NOFLUSHER : -ETIMEDOUT;
}

uint64_t wbci_fetch_wanted(const struct wbci_segment *s, uint32_t slot)
{
	/* ORDER fetch.want, acquire: the entry, as its thread knew it. */
	return order_acquire(&s->threads[slot].want);
}

void wbci_fetch_answer(const struct wbci_segment *s, uint32_t slot,
                       uint64_t want, int error)
{
	struct thread_shm *thread = &s->threads[slot];

	/* Relaxed: the CAS is after it.  Nobody looks at it unless it
	 * succeeds, or an earlier one has. */
	order_store(&thread->want_error, 0 - (uint32_t)error);
	/* ORDER fetch.answer, release: origins and error are there. */
	order_cas_release(&thread->want, &want, 0);
}
