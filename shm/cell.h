/* SPDX-License-Identifier: MIT */
/* Copyright the wbcshm authors */

/*
 * Cells: 64-bit counters in entries.
 *
 * who          writes
 * clients      total, by fetch_add, or by CAS for doubles and large deltas
 * the flusher  origin, journaled
 *
 * Invariants: the value is origin + total, whatever was journaled or applied
 * meanwhile.  |total| <= 2^62: an add is refused if the sum would pass 2^61,
 * and threads that race past that check add at most 2^61 more together.
 *
 * All functions are called in a section, with an entry that is LIVE in it.
 */
#ifndef WBCI_CELL_H
#define WBCI_CELL_H

#include <errno.h>
#include <float.h>
#include <math.h>
#include <string.h>

#include "../api/wbc_error.h"
#include "entry.h"
#include "mark.h"

#define WBCI_TOTAL_MAX (INT64_C(1) << 61)
/* So that the difference of two totals, and two of those, are finite. */
#define WBCI_DOUBLE_MAX (DBL_MAX / 8)

static inline double wbci_double_of(uint64_t bits)
{
	double d;

	memcpy(&d, &bits, sizeof(d));
	return d;
}

static inline uint64_t wbci_bits_of(double d)
{
	uint64_t bits;

	memcpy(&bits, &d, sizeof(bits));
	return bits;
}

/* Would the sum leave [-2^61, 2^61]?  Neither term may be outside 2^62. */
static inline bool wbci_total_refused(uint64_t total, int64_t delta)
{
	return total + (uint64_t)delta + (uint64_t)WBCI_TOTAL_MAX >
	       2 * (uint64_t)WBCI_TOTAL_MAX;
}

/*
 * May the delta be added to the total by one fetch_add, at once?  No if the
 * entry must be marked first, the delta is large, or the total is near the
 * end of its range: wbci_cell_add_int64() decides exactly.
 */
static inline bool wbci_cell_ready(struct control_shm *control,
                                   struct entry_shm *e, order_u64 *total,
                                   int64_t delta)
{
	/* Relaxed: whoever stamped this cycle had acquired it. */
	uint64_t cycle = order_load(&control->cycle);

	/* ORDER mark.stamp, acquire: as in wbci_mark().
	 * 2^31 is small for any number of threads, see wbci_thread. */
	return order_acquire(&e->stamp) == cycle && delta == (int32_t)delta &&
	       (uint64_t)((int64_t)order_load(total) >> 60) + 1 <= 1;
}

/* Large deltas: exact, by CAS. */
int wbci_cell_add_large(struct entry_shm *e, unsigned cell, int64_t delta,
                        uint64_t *total);

/**
 * wbci_cell_add_int64() - add to an int64 cell
 * @cell:  0..n_cells - 1
 * @total: receives the new total
 *
 * Return: 0, or -ERANGE and nothing was added.
 */
static inline int wbci_cell_add_int64(struct wbci_thread *t,
                                      struct entry_shm *e, unsigned cell,
                                      int64_t delta, uint64_t *total)
{
	order_u64 *word = wbci_entry_total(e, cell);
	uint64_t had;

	wbci_mark(t, e);
	if (__builtin_expect((uint64_t)delta + t->small_delta >
	                             2 * t->small_delta,
	                     0))
		return wbci_cell_add_large(e, cell, delta, total);
	if (__builtin_expect(wbci_total_refused(order_load(word), delta), 0))
		return -ERANGE;
	/* ORDER cell.total, release: the thread's inserts before it are seen
	 * by a round that sees it.  RMWs of one word are never lost. */
	had = order_add_release(word, (uint64_t)delta);
	*total = had + (uint64_t)delta;
	return 0;
}

/**
 * wbci_cell_add_double() - add to a double cell
 * Return: 0, or -ERANGE if the sum is over WBCI_DOUBLE_MAX either way, and
 * nothing was added.
 */
int wbci_cell_add_double(struct wbci_thread *t, struct entry_shm *e,
                         unsigned cell, double delta, double *total);

/* Set a cell of either type: what was added before counts no more.  @total is
 * within the bounds that adding keeps. */
void wbci_cell_set(struct wbci_thread *t, struct entry_shm *e, unsigned cell,
                   uint64_t total);

/* The current value: origin + total.  WBC_E_UNKNOWN, WBC_E_NOROW, -ERANGE. */
int wbci_cell_value_int64(uint64_t origin, uint64_t total, int64_t *value);
int wbci_cell_value_double(uint64_t origin, uint64_t total, double *value);

#endif
