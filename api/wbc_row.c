/* SPDX-License-Identifier: MIT */
/* Copyright the wbcshm authors */

/* Adding to rows by key. */
#include <errno.h>
#include <float.h>

#include "../shm/hot.h"
#include "row.h"

static __attribute__((noinline)) int
add_slow(struct wbc_table *t, const struct wbc_value *key, size_t n_key,
         unsigned column, int64_t delta)
{
	struct row row;
	uint64_t total;
	int error;

	error = row_open(t, key, n_key, column, WBC_INT64, &row);
	if (error)
		return error;
	error = wbci_cell_add_int64(row.thread, row.entry, (unsigned)row.cell,
	                            delta, &total);
	wbci_exit(row.thread);
	return error;
}

/* The name of the only key column, or none: no call, names are short. */
static inline bool is_name(const char *name, const char *want)
{
	if (!name || name == want)
		return true;
	while (*name == *want && *name) {
		name++;
		want++;
	}
	return *name == *want;
}

/*
 * The common case, with no call and no system call: the table's key is one
 * text, which is its own encoding, and short, and the row exists, marked in
 * this cycle.  Everything unusual is left to add_slow().  A segment that is
 * closed gets a new cycle, so no entry is ready then.
 */
int wbc_add_int64(struct wbc_table *t, const struct wbc_value *key,
                  size_t n_key, unsigned column, int64_t delta)
{
	const struct wbci_segment *s = &t->client->segment;
	order_u64 *epoch = wbci_cache.epoch;
	const unsigned char *bytes;
	struct entry_shm *e;
	order_u64 *total;
	unsigned cell;
	uint32_t len;

	if (__builtin_expect(n_key != 1 || column >= WBC_COLUMNS_MAX ||
	                             !wbci_thread_fast(t->id),
	                     0))
		goto slow;
	cell = t->plain_cell[column];
	len = key->bytes;
	bytes = key->v.p;
	if (__builtin_expect(!cell || key->type != WBC_TEXT ||
	                             len - 1 > WBCI_KEY_INLINE - 1 || !bytes ||
	                             !is_name(key->name, t->one_text),
	                     0))
		goto slow;
	wbci_enter_hot(s->control, epoch);
	e = wbci_index_hot(s, bytes, t->head | len << 16,
	                   wbci_key_hash(bytes, (uint16_t)len, t->seed));
	/* ORDER entry.state, acquire: LIVE, so its removal waits for us. */
	if (__builtin_expect(!e || (order_acquire(&e->word) & 15) !=
	                                   ENTRY_LIVE,
	                     0))
		goto leave;
	total = &e->total;
	if (__builtin_expect(cell > 1, 0)) {
		if (cell > e->n_cells)
			goto leave;
		total = &e->cells[cell - 2].total;
	}
	if (__builtin_expect(!wbci_cell_ready(s->control, e, total, delta), 0))
		goto leave;
	/* ORDER cell.total, release: as in wbci_cell_add_int64(). */
	order_add_release(total, (uint64_t)delta);
	wbci_exit_hot(epoch);
	return 0;
leave:
	wbci_exit_hot(epoch);
slow:
	return add_slow(t, key, n_key, column, delta);
}

int wbc_add_double(struct wbc_table *t, const struct wbc_value *key,
                   size_t n_key, unsigned column, double delta)
{
	struct row row;
	double total;
	int error;

	if (!isfinite(delta))
		return WBC_E_NAN;
	error = row_open(t, key, n_key, column, WBC_DOUBLE, &row);
	if (error)
		return error;
	error = wbci_cell_add_double(row.thread, row.entry, (unsigned)row.cell,
	                             delta, &total);
	wbci_exit(row.thread);
	return error;
}

int wbci_row_open_asked(struct wbc_table *t, const struct wbc_value *key,
                        size_t n_key, unsigned column, enum wbc_type type,
                        struct row *row, uint64_t *origin)
{
	uint64_t unknown = type == WBC_INT64 ? WBCI_INT64_UNKNOWN
	                                     : WBCI_DOUBLE_UNKNOWN;
	struct asking asked = {0, false};
	int error;

	for (;;) {
		error = row_open(t, key, n_key, column, type, row);
		if (error)
			return error;
		/* ORDER cell.origin, acquire: see wbci_row_int64(). */
		*origin = order_acquire(
			wbci_entry_origin(row->entry, (unsigned)row->cell));
		if (wbci_row_known(t, row->entry, *origin != unknown, &asked))
			return 0;
		wbci_exit(row->thread);
		error = wbci_row_ask(row->thread, row->offset, &asked);
		if (error && *origin == unknown)
			return error;
		/* Not in time: what is known has to do. */
		asked.answered |= error != 0;
	}
}

int wbc_add_get_int64(struct wbc_table *t, const struct wbc_value *key,
                      size_t n_key, unsigned column, int64_t delta,
                      int64_t *total)
{
	uint64_t origin, sum;
	struct row row;
	int64_t value;
	int error;

	error = wbci_row_open_asked(t, key, n_key, column, WBC_INT64, &row,
	                            &origin);
	if (error)
		return error;
	error = wbci_cell_value_int64(
		origin,
		order_load(wbci_entry_total(row.entry, (unsigned)row.cell)),
		&value);
	if (!error && __builtin_add_overflow(value, delta, &value))
		error = -ERANGE;
	if (!error)
		error = wbci_cell_add_int64(row.thread, row.entry,
		                            (unsigned)row.cell, delta, &sum);
	wbci_exit(row.thread);
	if (error)
		return error;
	/* Others may have added since the check: the sum wraps then as the
	 * database's own arithmetic will refuse it. */
	if (wbci_cell_value_int64(origin, sum, &value))
		value = delta < 0 ? INT64_MIN : INT64_MAX;
	*total = value;
	return 0;
}

int wbc_add_get_double(struct wbc_table *t, const struct wbc_value *key,
                       size_t n_key, unsigned column, double delta,
                       double *total)
{
	uint64_t origin;
	struct row row;
	double sum, value;
	int error;

	if (!isfinite(delta))
		return WBC_E_NAN;
	error = wbci_row_open_asked(t, key, n_key, column, WBC_DOUBLE, &row,
	                            &origin);
	if (error)
		return error;
	error = wbci_cell_value_double(
		origin,
		order_load(wbci_entry_total(row.entry, (unsigned)row.cell)),
		&value);
	if (!error && !isfinite(value + delta))
		error = -ERANGE;
	if (!error)
		error = wbci_cell_add_double(row.thread, row.entry,
		                             (unsigned)row.cell, delta, &sum);
	wbci_exit(row.thread);
	if (error)
		return error;
	/* Others may have added since the check, as above. */
	if (wbci_cell_value_double(origin, wbci_bits_of(sum), &value))
		value = delta < 0 ? -DBL_MAX : DBL_MAX;
	*total = value;
	return 0;
}
