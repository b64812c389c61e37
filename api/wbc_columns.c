/* SPDX-License-Identifier: MIT */
/* Copyright the wbcshm authors */

/* Setting columns. */
#include <errno.h>

#include "../shm/plain.h"
#include "../shm/record.h"
#include "../shm/wake.h"
#include "row.h"

/* The column of the place'th unnamed value, or WBC_E_COLUMN. */
static int plain_column(const struct wbci_schema *s, size_t place)
{
	for (unsigned i = 0; i < s->n_columns; i++)
		if (s->columns[i].role == ROLE_PLAIN && place-- == 0)
			return (int)i;
	return WBC_E_COLUMN;
}

/* Which columns the values are for, and may they be? */
static int check_values(const struct wbci_schema *s,
                        const struct wbc_value *values, size_t n,
                        uint8_t *columns)
{
	uint64_t seen = 0;

	if (n == 0 || n > s->n_columns)
		return -EINVAL;
	for (size_t i = 0; i < n; i++) {
		const struct wbc_value *v = &values[i];
		int column = v->name ? wbci_schema_column(s, v->name)
		                     : plain_column(s, i);
		int error;

		if (column < 0)
			return column;
		if (s->columns[column].role != ROLE_PLAIN ||
		    (seen >> column & 1))
			return WBC_E_COLUMN;
		seen |= UINT64_C(1) << column;
		if (wbci_type_has_bytes(v->type) && v->bytes > WBC_VALUE_MAX)
			return -E2BIG;
		error = wbci_column_check(&s->columns[column], v);
		if (error)
			return error;
		columns[i] = (uint8_t)column;
	}
	return 0;
}

static int update_row(struct wbc_table *t, struct wbci_thread *thread,
                      const struct wbci_key *k, const struct wbc_value *values,
                      const uint8_t *columns, unsigned n)
{
	const struct wbci_segment *s = &t->client->segment;
	int64_t deadline = 0;

	for (;;) {
		/* ORDER wake.event, acquire: before we look for memory. */
		uint32_t seen = order_acquire(&thread->control->event);
		uint32_t have = wbci_committed(s);
		struct entry_shm *e;
		struct row_shm *row;
		uint64_t offset;
		int error;

		error = wbci_entry_open(thread, k, &t->schema, &e, &offset);
		if (error)
			return error;
		row = wbci_entry_row(s, e, offset);
		error = row ? wbci_plain_update(thread, e, row, values, columns,
		                                n)
		            : WBC_E_CORRUPT;
		wbci_exit(thread);
		if (error == -ENOSPC)
			error = wbci_memory_wait(t->client, have, seen,
			                         &deadline);
		else
			return error;
		if (error)
			return error;
	}
}

int wbc_update(struct wbc_table *t, const struct wbc_value *key, size_t n_key,
               const struct wbc_value *values, size_t n_values)
{
	uint8_t columns[WBC_COLUMNS_MAX];
	unsigned char bytes[WBC_KEY_MAX];
	struct wbci_thread *thread;
	struct wbci_key k;
	int error = check_values(&t->schema, values, n_values, columns);

	if (!error)
		error = row_key(t, key, n_key, &k, bytes);
	if (!error)
		error = wbci_handle_thread(t->client, &thread);
	return error ? error
	             : update_row(t, thread, &k, values, columns,
	                          (unsigned)n_values);
}

int wbc_set_int64(struct wbc_table *t, const struct wbc_value *key,
                  size_t n_key, unsigned column, int64_t value)
{
	int64_t total = 0, zero = 0;
	uint64_t origin;
	struct row row;
	int error;

	error = wbci_row_open_asked(t, key, n_key, column, WBC_INT64, &row,
	                            &origin);
	if (error)
		return error;
	/* The value without any total is what the total must make up for. */
	error = wbci_cell_value_int64(origin, 0, &zero);
	if (!error && (__builtin_sub_overflow(value, zero, &total) ||
	               wbci_total_refused((uint64_t)total, 0)))
		error = -ERANGE;
	if (!error)
		wbci_cell_set(row.thread, row.entry, (unsigned)row.cell,
		              (uint64_t)total);
	wbci_exit(row.thread);
	return error;
}

int wbc_set_double(struct wbc_table *t, const struct wbc_value *key,
                   size_t n_key, unsigned column, double value)
{
	double total, zero = 0;
	uint64_t origin;
	struct row row;
	int error;

	if (!isfinite(value))
		return WBC_E_NAN;
	error = wbci_row_open_asked(t, key, n_key, column, WBC_DOUBLE, &row,
	                            &origin);
	if (error)
		return error;
	error = wbci_cell_value_double(origin, 0, &zero);
	total = value - zero;
	if (!error && !(fabs(total) <= WBCI_DOUBLE_MAX))
		error = -ERANGE;
	if (!error)
		wbci_cell_set(row.thread, row.entry, (unsigned)row.cell,
		              wbci_bits_of(total));
	wbci_exit(row.thread);
	return error;
}
