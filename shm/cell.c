/* SPDX-License-Identifier: MIT */
/* Copyright the wbcshm authors */

#include "cell.h"

int wbci_cell_add_large(struct entry_shm *e, unsigned cell, int64_t delta,
                        uint64_t *total)
{
	order_u64 *word = wbci_entry_total(e, cell);
	uint64_t had = order_load(word);

	if (delta > WBCI_TOTAL_MAX * 2 || delta < -WBCI_TOTAL_MAX * 2)
		return -ERANGE;
	do {
		if (wbci_total_refused(had, delta))
			return -ERANGE;
		*total = had + (uint64_t)delta;
		/* ORDER cell.total, release: as in wbci_cell_add_int64(). */
	} while (!order_cas_release(word, &had, *total));
	return 0;
}

int wbci_cell_add_double(struct wbci_thread *t, struct entry_shm *e,
                         unsigned cell, double delta, double *total)
{
	order_u64 *word = wbci_entry_total(e, cell);
	uint64_t had;

	wbci_mark(t, e);
	had = order_load(word);
	do {
		*total = wbci_double_of(had) + delta;
		if (!(fabs(*total) <= WBCI_DOUBLE_MAX))
			return -ERANGE;
		/* ORDER cell.total, release: as in wbci_cell_add_int64(). */
	} while (!order_cas_release(word, &had, wbci_bits_of(*total)));
	return 0;
}

void wbci_cell_set(struct wbci_thread *t, struct entry_shm *e, unsigned cell,
                   uint64_t total)
{
	wbci_mark(t, e);
	/* ORDER cell.total, release: as in wbci_cell_add_int64().  A swap, so
	 * that what was released by those before us is so still. */
	order_xchg_release(wbci_entry_total(e, cell), total);
}

int wbci_cell_value_int64(uint64_t origin, uint64_t total, int64_t *value)
{
	int64_t sum;

	if (origin == WBCI_INT64_UNKNOWN)
		return WBC_E_UNKNOWN;
	if (origin == WBCI_INT64_NOROW)
		return WBC_E_NOROW;
	if (origin == WBCI_INT64_NULL)
		origin = 0;
	if (__builtin_add_overflow((int64_t)origin, (int64_t)total, &sum))
		return -ERANGE;
	*value = sum;
	return 0;
}

int wbci_cell_value_double(uint64_t origin, uint64_t total, double *value)
{
	double sum;

	if (origin == WBCI_DOUBLE_UNKNOWN)
		return WBC_E_UNKNOWN;
	if (origin == WBCI_DOUBLE_NOROW)
		return WBC_E_NOROW;
	sum = (origin == WBCI_DOUBLE_NULL ? 0 : wbci_double_of(origin)) +
	      wbci_double_of(total);
	if (!isfinite(sum))
		return -ERANGE;
	*value = sum;
	return 0;
}
