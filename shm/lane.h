/* SPDX-License-Identifier: MIT */
/* Copyright the wbcshm authors */

/*
 * Lanes: one ring per thread slot, from its thread to the flusher.
 *
 * who          writes
 * the thread   records, then the tail
 * the flusher  the head
 *
 * Invariant: tail - head <= lane_bytes, as an unsigned difference; both only
 * grow, also when another thread takes the slot.  [head, tail) is whole
 * records, at position modulo lane_bytes; the rest is the producer's.
 *
 * A producer killed before the tail's store has inserted nothing, after it
 * everything; nobody repairs anything.
 */
#ifndef WBCI_LANE_H
#define WBCI_LANE_H

#include "client.h"
#include "record.h"

/**
 * wbci_lane_append() - commit one record to the calling thread's lane
 * @t:       calling thread, not in a section
 * @table:   its number
 * @values:  checked by wbci_record_size()
 * @columns: likewise
 * @bytes:   its answer
 *
 * Return: 0, -EAGAIN (full), -E2BIG, -ENOSPC, WBC_E_CORRUPT, -errno.
 */
int wbci_lane_append(struct wbci_thread *t, uint8_t table,
                     const struct wbc_value *values, const uint8_t *columns,
                     size_t n, uint64_t bytes);

/**
 * wbci_lane_read() - copy out what a lane holds; the flusher
 * @slot:   whose lane
 * @buffer: receives records; at least lane_bytes, 8-aligned
 * @head:   receives the position of the first byte
 * @tail:   receives the position after the last
 *
 * Return: bytes in @buffer, 0 if the lane is empty, or WBC_E_CORRUPT if its
 * positions or record lengths make no sense.
 */
int64_t wbci_lane_read(const struct wbci_segment *s, uint32_t slot,
                       unsigned char *buffer, uint64_t *head, uint64_t *tail);

/* The flusher has journaled a lane up to a position.  Never moves back. */
void wbci_lane_move(const struct wbci_segment *s, uint32_t slot,
                    uint64_t head);

/* Is any lane at least half full?  The flusher, before it sleeps. */
bool wbci_lane_half_full(const struct wbci_segment *s);

#endif
