/* SPDX-License-Identifier: MIT */
/* Copyright the wbcshm authors */

/*
 * Reading counted columns.
 *
 * A value is two words of the entry: what the database had, and what was
 * added here.  Where the first is not known yet, or is too old, the flusher is
 * asked for it, and the row is looked at anew.  What cannot be had in time is
 * an error where nothing is known, else the value is what it was.
 */
#include <errno.h>
#include <string.h>

#include "../shm/fetch.h"
#include "../shm/wake.h"
#include "row.h"

bool wbci_row_known(const struct wbc_table *t, struct entry_shm *e, bool known,
                    const struct asking *asked)
{
	const struct wbci_segment *s = &t->client->segment;
	uint64_t ttl, now, base;

	/* Answered, and by an answer that came to this entry. */
	if (asked->answered && order_load(&e->base))
		return true;
	if (!known)
		return false;
	/* Relaxed: ages are told in seconds. */
	ttl = order_load(&s->tables[t->number].base_ttl_s);
	if (!ttl)
		return true;
	now = order_load(&s->control->now_s);
	base = order_load(&e->base) & ~WBCI_BASE_ABSENT;
	return now < base || now - base < ttl;
}

int wbci_row_ask(struct wbci_thread *t, uint64_t offset, struct asking *asked)
{
	int ms = t->client->load_wait_ms;
	int error;

	if (ms < 0)
		return WBC_E_UNKNOWN;
	if (!asked->deadline)
		asked->deadline = wbci_now_ns() + (int64_t)ms * 1000000;
	error = wbci_fetch(t, offset, asked->deadline);
	asked->answered = !error;
	return error;
}

/*
 * The total is loaded first: an origin that is newer than the total it is
 * added to is the same number, except that it knows more of what others did
 * to the database.
 */
static void load_words(struct entry_shm *e, unsigned cell, uint64_t *origin,
                       uint64_t *total)
{
	/* ORDER cell.origin, acquire: before the origin. */
	*total = order_acquire(wbci_entry_total(e, cell));
	/* ORDER cell.origin, acquire: the base, too, is of this answer. */
	*origin = order_acquire(wbci_entry_origin(e, cell));
}

/* The database has no such row, and nothing that would make one is pending. */
static bool is_absent(struct entry_shm *e, bool zero)
{
	return zero && order_load(&e->base) & WBCI_BASE_ABSENT;
}

int wbci_row_int64(struct entry_shm *e, unsigned cell, int64_t *value)
{
	uint64_t origin, total;
	int64_t v;
	int error;

	load_words(e, cell, &origin, &total);
	error = wbci_cell_value_int64(origin, total, &v);
	if (!error && is_absent(e, v == 0))
		error = WBC_E_NOROW;
	if (!error)
		*value = v;
	return error;
}

int wbci_row_double(struct entry_shm *e, unsigned cell, double *value)
{
	uint64_t origin, total;
	double v;
	int error;

	load_words(e, cell, &origin, &total);
	error = wbci_cell_value_double(origin, total, &v);
	if (!error && is_absent(e, v == 0))
		error = WBC_E_NOROW;
	if (!error)
		*value = v;
	return error;
}

/* A value as it is read, of either type. */
struct reading {
	enum wbc_type type;
	int64_t i;
	double d;
};

static int read_cell(struct entry_shm *e, unsigned cell, struct reading *to)
{
	return to->type == WBC_INT64 ? wbci_row_int64(e, cell, &to->i)
	                             : wbci_row_double(e, cell, &to->d);
}

int wbci_row_open_known(struct wbc_table *t, struct wbci_thread *thread,
                        const struct wbci_key *k, struct entry_shm **e,
                        uint64_t *offset)
{
	int error = wbci_entry_find(thread, k, e, offset);

	if (error != -ENOENT)
		return error;
	if (t->client->load_wait_ms < 0)
		return WBC_E_UNKNOWN;
	return wbci_entry_open(thread, k, &t->schema, e, offset);
}

bool wbci_row_is_whole(const struct wbc_table *t, struct entry_shm *e,
                       uint64_t offset)
{
	const struct wbci_schema *s = &t->schema;
	unsigned more = wbci_entry_more(s->n_cells, s->n_plain != 0);

	return *(volatile uint8_t *)&e->n_cells == s->n_cells &&
	       *(volatile uint8_t *)&e->more == more &&
	       wbci_in_page(&t->client->segment, offset,
	                    wbci_entry_size(more, 0));
}

static int read_row(struct wbc_table *t, const struct wbci_key *k,
                    struct row *row, struct reading *to)
{
	struct asking asked = {0, false};

	for (;;) {
		int result, error = wbci_row_open_known(t, row->thread, k,
		                                        &row->entry,
		                                        &row->offset);
		bool known;

		if (error)
			return error;
		result = wbci_row_is_whole(t, row->entry, row->offset)
		                 ? read_cell(row->entry, (unsigned)row->cell,
		                             to)
		                 : WBC_E_CORRUPT;
		known = wbci_row_known(t, row->entry, result != WBC_E_UNKNOWN,
		                       &asked);
		wbci_exit(row->thread);
		if (known || result == WBC_E_CORRUPT)
			return result;
		error = wbci_row_ask(row->thread, row->offset, &asked);
		if (error)
			return result == WBC_E_UNKNOWN ? error : result;
	}
}

static int read_column(struct wbc_table *t, const struct wbc_value *key,
                       size_t n_key, unsigned column, struct reading *to)
{
	unsigned char bytes[WBC_KEY_MAX];
	struct wbci_key k;
	struct row row;
	int error;

	row.cell = row_cell(t, column, to->type);
	if (row.cell < 0)
		return row.cell;
	error = row_key(t, key, n_key, &k, bytes);
	if (!error)
		error = wbci_handle_thread(t->client, &row.thread);
	return error ? error : read_row(t, &k, &row, to);
}

int wbc_read_int64(struct wbc_table *t, const struct wbc_value *key,
                   size_t n_key, unsigned column, int64_t *value)
{
	struct reading to = {WBC_INT64, 0, 0};
	int error = read_column(t, key, n_key, column, &to);

	if (!error)
		*value = to.i;
	return error;
}

int wbc_read_double(struct wbc_table *t, const struct wbc_value *key,
                    size_t n_key, unsigned column, double *value)
{
	struct reading to = {WBC_DOUBLE, 0, 0};
	int error = read_column(t, key, n_key, column, &to);

	if (!error)
		*value = to.d;
	return error;
}
