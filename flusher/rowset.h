/* SPDX-License-Identifier: MIT */
/* Copyright the wbcshm authors */

/*
 * Row sets: what was done to one table, coalesced.
 *
 * Inserted rows, as lane records one behind the other in the order in which
 * they were made; and per changed row the sum of what was added to each of
 * its cells, and the last value of each plain column that was set.  int64
 * cells are summed in wrapping arithmetic, double cells as doubles.
 *
 * In the journal a row set is a few blobs of about 1 MiB at most (larger only
 * for a single larger record), chunk 0, 1, ...:
 *
 *   0   frame
 *   16  spec_bytes u32 | n_inserts u32 | n_rows u32 | n_cells u32
 *   32  inserts_bytes u64 | rows_bytes u64
 *   48  canonical specification of the table, padded to 8
 *       inserts: record_shm, each a multiple of 8 long
 *       rows: key_len u16 | n_values u8 | 0 u8 | values_bytes u32 |
 *       deltas u64[n_cells] | key, padded to 8 | values as in set.h
 *
 * A blob of which no row sets a column has the magic that it had before rows
 * could, and reads as then.
 *
 * Whoever reads one takes it for input: all lengths are checked, the values
 * inside records and keys are checked by who uses them.
 *
 * One thread at a time.
 */
#ifndef WBCI_ROWSET_H
#define WBCI_ROWSET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../shm/schema.h"
#include "set.h"

#define WBCI_BLOB_BYTES (1u << 20)

/* A row's deltas, then its key. */
struct wbci_row {
	uint64_t hash;
	uint32_t key_len;
	uint32_t reserved;
	struct wbci_set *set; /* of plain columns; NULL: none is set */
	uint64_t delta[];
};

struct wbci_rowset {
	struct wbci_schema schema;
	char *spec; /* canonical text of the schema */
	uint32_t spec_bytes;
	uint32_t doubles; /* bit i: cell i is a double */
	uint64_t spec_hash;

	unsigned char *inserts;
	uint64_t inserts_bytes;
	uint64_t inserts_room;
	uint64_t n_inserts;

	struct wbci_row **rows;
	uint64_t n_rows;
	uint64_t n_zero; /* after sorting: rows behind those */
	uint64_t rows_room;
	uint64_t sets_bytes; /* of the values in all rows' sets */

	bool unique;     /* rows come once each: no table of slots is kept */
	uint32_t *slots; /* hash table: place in rows + 1 */
	uint64_t n_slots;
	struct wbci_arena *arena;
};

/* A part of a row set; both ends of inserts are between records. */
struct wbci_slice {
	uint64_t insert_from, insert_to; /* bytes */
	uint64_t n_inserts;
	uint64_t row_from, row_to;
};

/**
 * wbci_rowset_init() - an empty set of rows of a table
 * @rs:     receives it; undone by wbci_rowset_free()
 * @spec:   canonical specification
 * @unique: rows will be added once each, so none is looked for
 *
 * Return: 0, -ENOMEM, or what wbci_schema_parse() says of @spec.
 */
int wbci_rowset_init(struct wbci_rowset *rs, const char *spec,
                     size_t spec_bytes, bool unique);
void wbci_rowset_free(struct wbci_rowset *rs);

/* Nothing in it. */
static inline bool wbci_rowset_empty(const struct wbci_rowset *rs)
{
	return !rs->n_inserts && !rs->n_rows;
}

static inline const unsigned char *wbci_row_key(const struct wbci_rowset *rs,
                                                const struct wbci_row *row)
{
	return (const unsigned char *)(row->delta + rs->schema.n_cells);
}

/* What two deltas of a cell add up to. */
uint64_t wbci_delta_sum(bool is_double, uint64_t a, uint64_t b);

/* A delta that changes nothing. */
bool wbci_delta_zero(bool is_double, uint64_t delta);

/* A row that changes nothing: all deltas are such, and no column is set. */
bool wbci_row_zero(const struct wbci_rowset *rs, const struct wbci_row *row);

/**
 * wbci_rowset_add() - add to the cells of a row
 * @key:   1..WBC_KEY_MAX bytes, encoded
 * @delta: n_cells values
 *
 * Return: 0 or -ENOMEM.
 */
int wbci_rowset_add(struct wbci_rowset *rs, const unsigned char *key,
                    uint32_t key_len, const uint64_t *delta);

/**
 * wbci_rowset_change() - add to the cells of a row and set plain columns
 * @delta:   n_cells values
 * @values:  @n of them, maybe none; copied
 * @columns: their columns: plain ones, each once, in any order
 *
 * What the row had in these columns is overridden, deltas are summed.
 *
 * Return: 0, -ENOMEM, or WBC_E_CORRUPT if the table's columns do not take
 * these values: then the set is as it was, or has a row more that changes
 * nothing.
 */
int wbci_rowset_change(struct wbci_rowset *rs, const unsigned char *key,
                       uint32_t key_len, const uint64_t *delta,
                       const struct wbc_value *values, const uint8_t *columns,
                       unsigned n);

/* Bytes of a row in a blob. */
uint64_t wbci_row_bytes(const struct wbci_rowset *rs,
                        const struct wbci_row *row);

/* Memory that goes with the set, 8-aligned; NULL: none. */
void *wbci_rowset_take(struct wbci_rowset *rs, uint64_t bytes);

/**
 * wbci_rowset_insert() - append an inserted row
 * @record: record_shm of @bytes, checked by the caller
 *
 * Return: 0 or -ENOMEM.
 */
int wbci_rowset_insert(struct wbci_rowset *rs, const unsigned char *record,
                       uint64_t bytes);

/* Order the rows by key, but for those that change nothing, which stand behind
 * the others and are no more counted in n_rows.  From here on rows can be
 * read, not added. */
void wbci_rowset_sort(struct wbci_rowset *rs);

/**
 * wbci_rowset_cut() - the next part of a set, of bounded size
 * @slice:      what was cut before; at first all zero.  Receives the part
 * @max_rows:   rows of either kind
 * @max_bytes:  of both; one record or row is taken whatever its size
 *
 * Return: false if nothing is left.
 */
bool wbci_rowset_cut(const struct wbci_rowset *rs, struct wbci_slice *slice,
                     uint64_t max_rows, uint64_t max_bytes);

/* All of it. */
struct wbci_slice wbci_rowset_all(const struct wbci_rowset *rs);

typedef int wbci_blob_fn(void *arg, uint32_t chunk, const void *blob,
                         size_t bytes);

/**
 * wbci_rowset_write() - make blobs of a part
 * @number: of the batch or the piece that it becomes; rows that set columns
 *          note the place
 * @emit: called with each in turn; a negative result ends it
 *
 * Return: 0, -ENOMEM, or what @emit returned.
 */
int wbci_rowset_write(const struct wbci_rowset *rs,
                      const struct wbci_slice *slice, uint64_t number,
                      wbci_blob_fn *emit, void *arg);

/* What a blob says of itself, checked. */
struct wbci_blob {
	const char *spec; /* not terminated */
	uint32_t spec_bytes;
	uint32_t n_cells;
	bool sets; /* its rows may set columns */
	uint64_t n_inserts;
	uint64_t n_rows;
	const unsigned char *inserts;
	uint64_t inserts_bytes;
	const unsigned char *rows;
	uint64_t rows_bytes;
};

/**
 * wbci_blob_open() - check a blob's frame and lengths
 * @blob: 8-aligned
 * Return: 0 or WBC_E_CORRUPT.
 */
int wbci_blob_open(struct wbci_blob *b, const void *blob, size_t bytes);

/**
 * wbci_rowset_read() - add what a blob holds to a set
 * Return: 0, -ENOMEM, WBC_E_CORRUPT, or WBC_E_SCHEMA if the blob is of
 * another specification.
 */
int wbci_rowset_read(struct wbci_rowset *rs, const void *blob, size_t bytes);

/* The same; rows that set columns note the place: a chunk of a batch or of a
 * piece. */
int wbci_rowset_read_at(struct wbci_rowset *rs, const void *blob, size_t bytes,
                        uint64_t number, uint32_t chunk);

/**
 * wbci_rowset_read_row() - add one row of a blob to a set
 * @at: where it stands, see struct wbci_blob_place
 * Return: as wbci_rowset_read().
 */
int wbci_rowset_read_row(struct wbci_rowset *rs, const void *blob, size_t bytes,
                         uint32_t at);

#endif
