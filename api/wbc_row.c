/* SPDX-License-Identifier: MIT */
/* Copyright the wbcshm authors */

/* Adding to rows by key, and reading them. */
#include <errno.h>
#include <float.h>

#include "../shm/cell.h"
#include "../shm/entry.h"
#include "../shm/epoch.h"
#include "../shm/hot.h"
#include "../shm/key.h"
#include "handle.h"

/* The cell of a counted column of a type. */
static inline int find_cell(const struct wbc_table *t, unsigned column,
                            enum wbc_type type)
{
	const struct wbci_column *c;

	if (column >= t->schema.n_columns)
		return WBC_E_COLUMN;
	c = &t->schema.columns[column];
	if (c->role != ROLE_COUNTER)
		return WBC_E_COLUMN;
	return c->type == type ? c->index : WBC_E_TYPE;
}

static inline int make_key(const struct wbc_table *t,
                           const struct wbc_value *values, size_t n,
                           struct wbci_key *k, unsigned char *bytes)
{
	int len = wbci_key_encode(&t->schema, values, n, bytes);

	if (len < 0)
		return len;
	wbci_key_init(&t->client->segment, k, SPACE_ROW,
	              (uint8_t)t->number, bytes, (uint16_t)len);
	return 0;
}

/* An operation on one row: everything that its section needs. */
struct row {
	struct wbci_thread *thread;
	struct entry_shm *entry;
	uint64_t offset;
	int cell;
};

/* Find or make the row, and enter a section in which its entry is LIVE. */
static inline int open_row(struct wbc_table *t, const struct wbc_value *key,
                           size_t n_key, unsigned column, enum wbc_type type,
                           struct row *row)
{
	unsigned char bytes[WBC_KEY_MAX];
	struct wbci_key k;
	int error;

	row->cell = find_cell(t, column, type);
	if (row->cell < 0)
		return row->cell;
	error = make_key(t, key, n_key, &k, bytes);
	if (error)
		return error;
	error = wbci_handle_thread(t->client, &row->thread);
	if (error)
		return error;
	return wbci_entry_open(row->thread, &k, &t->schema, &row->entry,
	                       &row->offset);
}

static uint64_t row_origin(const struct row *row)
{
	/* ORDER cell.origin, acquire: see wbc_read_int64(). */
	return order_acquire(
	        wbci_entry_origin(row->entry, (unsigned)row->cell));
}

static __attribute__((noinline)) int
add_slow(struct wbc_table *t, const struct wbc_value *key, size_t n_key,
         unsigned column, int64_t delta)
{
	struct row row;
	uint64_t total;
	int error;

	error = open_row(t, key, n_key, column, WBC_INT64, &row);
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
	error = open_row(t, key, n_key, column, WBC_DOUBLE, &row);
	if (error)
		return error;
	error = wbci_cell_add_double(row.thread, row.entry, (unsigned)row.cell,
	                             delta, &total);
	wbci_exit(row.thread);
	return error;
}

int wbc_add_get_int64(struct wbc_table *t, const struct wbc_value *key,
                      size_t n_key, unsigned column, int64_t delta,
                      int64_t *total)
{
	uint64_t origin, sum;
	struct row row;
	int64_t value;
	int error;

	error = open_row(t, key, n_key, column, WBC_INT64, &row);
	if (error)
		return error;
	origin = row_origin(&row);
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
	error = open_row(t, key, n_key, column, WBC_DOUBLE, &row);
	if (error)
		return error;
	origin = row_origin(&row);
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

/*
 * Both words of a cell.  The total is loaded first: an origin that is newer
 * than the total it is added to is the same number, except that it knows
 * more of what others did to the database.
 */
static int load_cell(struct wbc_table *t, const struct wbc_value *key,
                     size_t n_key, unsigned column, enum wbc_type type,
                     uint64_t *origin, uint64_t *total)
{
	unsigned char bytes[WBC_KEY_MAX];
	struct wbci_key k;
	struct row row;
	int error;

	row.cell = find_cell(t, column, type);
	if (row.cell < 0)
		return row.cell;
	error = make_key(t, key, n_key, &k, bytes);
	if (!error)
		error = wbci_handle_thread(t->client, &row.thread);
	if (error)
		return error;
	error = wbci_entry_find(row.thread, &k, &row.entry, &row.offset);
	if (error)
		return error == -ENOENT ? WBC_E_UNKNOWN : error;
	if (row.cell >= row.entry->n_cells ||
	    !wbci_in_page(&t->client->segment, row.offset,
	                  wbci_entry_bytes((unsigned)row.cell + 1, 0))) {
		error = WBC_E_CORRUPT;
	} else {
		/* ORDER cell.origin, acquire: before the origin. */
		*total = order_acquire(
		        wbci_entry_total(row.entry, (unsigned)row.cell));
		*origin = row_origin(&row);
	}
	wbci_exit(row.thread);
	return error;
}

int wbc_read_int64(struct wbc_table *t, const struct wbc_value *key,
                   size_t n_key, unsigned column, int64_t *value)
{
	uint64_t origin, total;
	int error = load_cell(t, key, n_key, column, WBC_INT64, &origin,
	                      &total);

	return error ? error : wbci_cell_value_int64(origin, total, value);
}

int wbc_read_double(struct wbc_table *t, const struct wbc_value *key,
                    size_t n_key, unsigned column, double *value)
{
	uint64_t origin, total;
	int error = load_cell(t, key, n_key, column, WBC_DOUBLE, &origin,
	                      &total);

	return error ? error : wbci_cell_value_double(origin, total, value);
}
