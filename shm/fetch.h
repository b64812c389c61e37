/* SPDX-License-Identifier: MIT */
/* Copyright the wbcshm authors */

/*
 * Fetching: a thread has the flusher read a row of the database.
 *
 * who          writes
 * the thread   thread_shm.want: 0 -> its entry; the entry -> 0 gives up
 * the flusher  thread_shm.want_error, then want: the entry -> 0
 *
 * A thread wants one row at a time, and says so in its own slot: what a dead
 * one wanted goes with the slot.  The flusher stores the row's origins before
 * it takes the want away, so whoever finds it gone finds them, too; but for an
 * entry that was removed meanwhile, and then the thread wants it anew.
 *
 * A flusher killed in between has taken no want away: the next one begins by
 * looking at all slots.
 */
#ifndef WBCI_FETCH_H
#define WBCI_FETCH_H

#include "client.h"

/**
 * wbci_fetch() - want a row's values, and wait until they were read
 * @t:        calling thread, not in a section
 * @offset:   of the row's entry, as it was in a section
 * @deadline: CLOCK_MONOTONIC in ns; -1 waits without end
 *
 * Return: 0: look again; -ETIMEDOUT, WBC_E_NOFLUSHER (the same, and none is
 * alive), -ESTALE, or why the flusher could not read it.
 */
int wbci_fetch(struct wbci_thread *t, uint64_t offset, int64_t deadline);

/* What the thread of a slot wants: the offset of an entry, which may be
 * hostile, or 0.  The flusher. */
uint64_t wbci_fetch_wanted(const struct wbci_segment *s, uint32_t slot);

/* Answer what a slot wanted, if it still does.  wbci_event() comes later. */
void wbci_fetch_answer(const struct wbci_segment *s, uint32_t slot,
                       uint64_t want, int error);

#endif
