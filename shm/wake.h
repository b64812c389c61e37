/* SPDX-License-Identifier: MIT */
/* Copyright the wbcshm authors */

/*
 * Waking the flusher, and waiting for it.
 *
 * The flusher announces that it sleeps (control.sleep = 1), executes a
 * barrier, looks again for requests, then waits on that futex with a
 * time-out.  Who has published a request loads the word and, only if it is 1,
 * sets it to 0 and wakes.  Clients wait on control.event, which the flusher
 * changes whenever it has made progress.  Every wait is timed.
 */
#ifndef WBCI_WAKE_H
#define WBCI_WAKE_H

#include "client.h"

/* Ring: after a request was published.  A system call only if it sleeps. */
void wbci_ring(const struct wbci_segment *s);

/**
 * wbci_sleep() - the flusher's sleep
 * @wanted: looks whether there is anything to do, after the announcement
 * @timeout_ms: at most so long
 */
void wbci_sleep(struct wbci_client *c, bool (*wanted)(void *arg), void *arg,
                int timeout_ms);

/* Ask for all rounds up to and including the present one. */
uint64_t wbci_want(struct wbci_client *c, order_u64 *word);

/* Progress was made: wake everybody who waits on control.event. */
void wbci_event(const struct wbci_segment *s);

/**
 * wbci_event_wait() - wait for progress beyond what was seen
 * @seen: control.event, loaded before the condition was looked at
 */
void wbci_event_wait(const struct wbci_segment *s, uint32_t seen,
                     int timeout_ms);

/* The same for control.lane_event: lanes were emptied. */
void wbci_lane_event(const struct wbci_segment *s);
void wbci_lane_event_wait(const struct wbci_segment *s, uint32_t seen,
                          int timeout_ms);

/**
 * wbci_memory_wait() - get memory, or wait until there may be some
 * @c:        not within a section
 * @have:     committed extents, which were found too few
 * @seen:     control.event, loaded before memory was looked for
 * @deadline: 0 at the first call of an operation; CLOCK_MONOTONIC in ns
 *
 * Commits an extent, or else asks the flusher to remove what is idle and waits
 * for its next event, at most the client's full_wait_ms in all.
 *
 * Return: 0: try again; -ENOSPC, -ESTALE, -errno.
 */
int wbci_memory_wait(struct wbci_client *c, uint32_t have, uint32_t seen,
                     int64_t *deadline);

/* Close a segment: every call fails with -ESTALE from now on, and whoever
 * waits is woken to see it. */
void wbci_shut(const struct wbci_segment *s);

/* CLOCK_MONOTONIC in ns, for deadlines; CLOCK_BOOTTIME, for display. */
int64_t wbci_now_ns(void);
uint64_t wbci_boot_ns(void);

#endif
