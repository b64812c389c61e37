/* SPDX-License-Identifier: MIT */
/* Copyright the wbcshm authors */

#include "wake.h"

#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "epoch.h"

static uint64_t clock_ns(clockid_t clock)
{
	struct timespec now;

	clock_gettime(clock, &now);
	return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

int64_t wbci_now_ns(void)
{
	return (int64_t)clock_ns(CLOCK_MONOTONIC);
}

uint64_t wbci_boot_ns(void)
{
	return clock_ns(CLOCK_BOOTTIME);
}

/* Shared futexes: the words lie at different addresses in each process. */
static void futex_wait(order_u32 *word, uint32_t value, int timeout_ms)
{
	struct timespec t = {.tv_sec = timeout_ms / 1000,
	                     .tv_nsec = timeout_ms % 1000 * 1000000L};

	syscall(SYS_futex, word, FUTEX_WAIT, value, &t, NULL, 0);
}

static void futex_wake(order_u32 *word)
{
	syscall(SYS_futex, word, FUTEX_WAKE, INT_MAX, NULL, NULL, 0);
}

void wbci_ring(const struct wbci_segment *s)
{
	uint32_t sleeps = 1;

	/* ORDER wake.sleep, fence: the request is visible before we look
	 * whether somebody sleeps; pairs with wbci_sleep()'s barrier. */
	order_fence();
	/* Relaxed: the fence decides, and one of several wakes it. */
	if (order_load(&s->control->sleep) != 1)
		return;
	if (order_cas_relaxed(&s->control->sleep, &sleeps, 0))
		futex_wake(&s->control->sleep);
}

void wbci_sleep(struct wbci_client *c, bool (*wanted)(void *arg), void *arg,
                int timeout_ms)
{
	order_u32 *sleep = &c->segment.control->sleep;

	/* ORDER wake.sleep, fence: announced before we look again; pairs
	 * with wbci_ring()'s fence and, through membarrier, with the plain
	 * stores of lane tails.  Relaxed: the barrier decides. */
	order_xchg_relaxed(sleep, 1);
	wbci_epoch_barrier();
	if (!wanted(arg))
		futex_wait(sleep, 1, timeout_ms);
	/* Relaxed: who finds it 1 still wakes nobody. */
	order_store(sleep, 0);
}

uint64_t wbci_want(struct wbci_client *c, order_u64 *word)
{
	uint64_t want, had;

	/* ORDER round.bump, fence: what we did is visible before we load the
	 * cycle, so the round that bumps it reads what we did. */
	order_fence();
	/* Relaxed: the fence decides. */
	want = order_load(&c->segment.control->cycle) + 1;
	/* Relaxed: wbci_ring()'s fence is after it. */
	had = order_load(word);
	while (had < want && !order_cas_relaxed(word, &had, want))
		;
	wbci_ring(&c->segment);
	return want;
}

void wbci_event(const struct wbci_segment *s)
{
	/* ORDER wake.event, release: progress is visible before its event. */
	order_add_release(&s->control->event, 1);
	futex_wake(&s->control->event);
}

void wbci_event_wait(const struct wbci_segment *s, uint32_t seen,
                     int timeout_ms)
{
	futex_wait(&s->control->event, seen, timeout_ms);
}

/* How often a waiter looks whether there is a flusher at all. */
#define SLICE_MS 100

int wbci_memory_wait(struct wbci_client *c, uint32_t have, uint32_t seen,
                     int64_t *deadline)
{
	const struct wbci_segment *s = &c->segment;
	int error = wbci_segment_grow(s, have);
	int64_t left;

	if (error != -ENOSPC || c->full_wait_ms <= 0)
		return error;
	if (wbci_segment_has_flusher(s) != 1)
		return error;
	if (*deadline == 0)
		*deadline = wbci_now_ns() + (int64_t)c->full_wait_ms * 1000000;
	left = (*deadline - wbci_now_ns() + 999999) / 1000000;
	if (left <= 0)
		return error;
	/* Relaxed: wbci_ring()'s fence is after it. */
	order_add_relaxed(&s->control->memory_want, 1);
	wbci_ring(s);
	wbci_event_wait(s, seen, left < SLICE_MS ? (int)left : SLICE_MS);
	return order_load(&s->control->closed) ? -ESTALE : 0;
}

void wbci_lane_event(const struct wbci_segment *s)
{
	/* ORDER wake.event, release: there is room before it says so. */
	order_add_release(&s->control->lane_event, 1);
	futex_wake(&s->control->lane_event);
}

void wbci_shut(const struct wbci_segment *s)
{
	/* Relaxed: the cycle, the fence in wbci_ring() and the events, each of
	 * them a release, are after it. */
	order_store(&s->control->closed, 1);
	/* ORDER round.bump, release: a new cycle.  No entry is marked in it,
	 * and whoever means to mark one looks whether the segment is closed. */
	order_add_release(&s->control->cycle, 1);
	wbci_ring(s);
	wbci_event(s);
	wbci_lane_event(s);
}

void wbci_lane_event_wait(const struct wbci_segment *s, uint32_t seen,
                          int timeout_ms)
{
	futex_wait(&s->control->lane_event, seen, timeout_ms);
}
