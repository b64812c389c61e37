/* SPDX-License-Identifier: MIT */
/* Copyright the wbcshm authors */

/* What the calls about rows share. */
#ifndef WBCI_ROW_H
#define WBCI_ROW_H

#include "../shm/cell.h"
#include "../shm/entry.h"
#include "../shm/epoch.h"
#include "../shm/key.h"
#include "handle.h"

/* An operation on one row: everything that its section needs. */
struct row {
	struct wbci_thread *thread;
	struct entry_shm *entry;
	uint64_t offset;
	int cell;
};

/* A row that is to be known, and how far we have come with it. */
struct asking {
	int64_t deadline; /* 0: not asked yet */
	bool answered;
};

/* The cell of a counted column of a type. */
static inline int row_cell(const struct wbc_table *t, unsigned column,
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

static inline int row_key(const struct wbc_table *t,
                          const struct wbc_value *values, size_t n,
                          struct wbci_key *k, unsigned char *bytes)
{
	int len = wbci_key_encode(&t->schema, values, n, bytes);

	if (len < 0)
		return len;
	wbci_key_init(&t->client->segment, k, SPACE_ROW, (uint8_t)t->number,
	              bytes, (uint16_t)len);
	return 0;
}

/* Find or make the row, and enter a section in which its entry is LIVE. */
static inline int row_open(struct wbc_table *t, const struct wbc_value *key,
                           size_t n_key, unsigned column, enum wbc_type type,
                           struct row *row)
{
	unsigned char bytes[WBC_KEY_MAX];
	struct wbci_key k;
	int error;

	row->cell = row_cell(t, column, type);
	if (row->cell < 0)
		return row->cell;
	error = row_key(t, key, n_key, &k, bytes);
	if (error)
		return error;
	error = wbci_handle_thread(t->client, &row->thread);
	if (error)
		return error;
	return wbci_entry_open(row->thread, &k, &t->schema, &row->entry,
	                       &row->offset);
}

/**
 * wbci_row_known() - are a row's values known, and not too old?
 * @e:     entry, in a section
 * @table: its number
 * @known: its origin is
 * @asked: what was asked so far
 *
 * Return: true: use them, known or not; false: leave, wbci_row_ask(), and do
 * all of it again.
 */
bool wbci_row_known(const struct wbc_table *t, struct entry_shm *e, bool known,
                    const struct asking *asked);

/**
 * wbci_row_ask() - have the flusher read a row
 * @offset: of its entry; not within a section any more
 *
 * Return: 0, WBC_E_UNKNOWN: this handle does not wait, or another error of
 * wbci_fetch().
 */
int wbci_row_ask(struct wbci_thread *t, uint64_t offset, struct asking *asked);

/**
 * wbci_row_open_asked() - find or make a row, and learn what the database has
 * @type:   of the counted column
 * @origin: receives what is known of it, maybe nothing
 *
 * It is acquired before the section's caller adds to the total, so the sum is
 * no older.
 *
 * Return: 0 in a section, or an error and in none.
 */
int wbci_row_open_asked(struct wbc_table *t, const struct wbc_value *key,
                        size_t n_key, unsigned column, enum wbc_type type,
                        struct row *row, uint64_t *origin);

/* Find a row, or make it if this handle waits for what it has, and enter a
 * section.  0, or an error and no section. */
int wbci_row_open_known(struct wbc_table *t, struct wbci_thread *thread,
                        const struct wbci_key *k, struct entry_shm **e,
                        uint64_t *offset);

/* All parts that its table's rows have are within the entry's page. */
bool wbci_row_is_whole(const struct wbc_table *t, struct entry_shm *e,
                       uint64_t offset);

/* What a cell's words say: its value, or WBC_E_UNKNOWN, WBC_E_NOROW, -ERANGE. */
int wbci_row_int64(struct entry_shm *e, unsigned cell, int64_t *value);
int wbci_row_double(struct entry_shm *e, unsigned cell, double *value);

#endif
