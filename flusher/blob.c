/* SPDX-License-Identifier: MIT */
/* Copyright the wbcshm authors */

/* Row sets as the journal's blobs; see rowset.h for their layout. */

#include "rowset.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "../shm/layout.h"
#include "../shm/record.h"
#include "frame.h"

#define BLOB_MAGIC 0x53574f52u /* bytes "ROWS" */
#define SETS_MAGIC 0x53544553u /* bytes "SETS": rows may set columns */

struct blob_header {
	struct wbci_frame frame;
	uint32_t spec_bytes;
	uint32_t n_inserts;
	uint32_t n_rows;
	uint32_t n_cells;
	uint64_t inserts_bytes;
	uint64_t rows_bytes;
};
static_assert(sizeof(struct blob_header) == 48, "blobs changed");

/* Before ours, key_len took 4 bytes and the rest was 0: the same. */
struct row_header {
	uint16_t key_len;
	uint8_t n_values;
	uint8_t kind; /* ROW_CHANGE */
	uint32_t values_bytes;
};
static_assert(sizeof(struct row_header) == 8, "rows in blobs changed");
static_assert(WBC_KEY_MAX <= UINT16_MAX && WBC_COLUMNS_MAX <= UINT8_MAX,
              "a row's header is too small");

#define ROW_CHANGE 0

static uint64_t pad8(uint64_t n)
{
	return (n + 7) & ~UINT64_C(7);
}

/* A blob in the making. */
struct writer {
	const struct wbci_rowset *rs;
	wbci_blob_fn *emit;
	void *arg;
	unsigned char *bytes;
	uint64_t used;
	uint64_t room;
	uint64_t number;
	uint32_t chunk;
	bool sets; /* some row of this blob sets columns */
	struct blob_header header;
};

static void begin_blob(struct writer *w)
{
	uint64_t padded = pad8(w->rs->spec_bytes);

	memset(&w->header, 0, sizeof(w->header));
	w->header.spec_bytes = w->rs->spec_bytes;
	w->header.n_cells = w->rs->schema.n_cells;
	w->sets = false;
	w->used = sizeof(w->header);
	memset(w->bytes + w->used, 0, padded);
	memcpy(w->bytes + w->used, w->rs->spec, w->rs->spec_bytes);
	w->used += padded;
}

static int end_blob(struct writer *w)
{
	int error;

	if (!w->header.n_inserts && !w->header.n_rows)
		return 0;
	memcpy(w->bytes, &w->header, sizeof(w->header));
	wbci_frame_seal(w->bytes, w->used, w->sets ? SETS_MAGIC : BLOB_MAGIC);
	error = w->emit(w->arg, w->chunk, w->bytes, w->used);
	w->chunk++;
	begin_blob(w);
	return error;
}

/* Room for more bytes, in the next blob if this one would grow too large. */
static int make_room(struct writer *w, uint64_t bytes)
{
	unsigned char *larger;
	int error;

	if (w->used + bytes > WBCI_BLOB_BYTES) {
		error = end_blob(w);
		if (error)
			return error;
	}
	if (w->room - w->used >= bytes)
		return 0;
	larger = realloc(w->bytes, w->used + bytes);
	if (!larger)
		return -ENOMEM;
	w->bytes = larger;
	w->room = w->used + bytes;
	return 0;
}

static int write_inserts(struct writer *w, const struct wbci_slice *slice)
{
	uint64_t at = slice->insert_from;
	struct record_shm record;
	int error;

	while (at < slice->insert_to) {
		memcpy(&record, w->rs->inserts + at, sizeof(record));
		error = make_room(w, record.bytes);
		if (error)
			return error;
		memcpy(w->bytes + w->used, w->rs->inserts + at, record.bytes);
		w->used += record.bytes;
		w->header.inserts_bytes += record.bytes;
		w->header.n_inserts++;
		at += record.bytes;
	}
	return 0;
}

/* The values of a row's plain columns, and where they stand from now on. */
static void write_set(struct writer *w, struct wbci_set *set, unsigned char *to,
                      uint64_t row_at)
{
	memcpy(to, set->values, set->bytes);
	w->sets = true;
	set->place =
		(struct wbci_blob_place){w->number, w->chunk, (uint32_t)row_at};
}

static int write_row(struct writer *w, const struct wbci_row *row)
{
	uint64_t cells = w->header.n_cells * sizeof(uint64_t);
	uint64_t bytes = wbci_row_bytes(w->rs, row);
	struct row_header head = {.key_len = (uint16_t)row->key_len,
	                          .kind = ROW_CHANGE};
	int error = make_room(w, bytes);
	unsigned char *to;

	if (error)
		return error;
	to = w->bytes + w->used;
	if (row->set) {
		head.n_values = (uint8_t)row->set->n;
		head.values_bytes = row->set->bytes;
		write_set(w, row->set, to + bytes - row->set->bytes, w->used);
	}
	memcpy(to, &head, sizeof(head));
	to += sizeof(head);
	memcpy(to, row->delta, cells);
	to += cells;
	/* The padding first; an empty key has none. */
	if (row->key_len)
		memset(to + pad8(row->key_len) - 8, 0, 8);
	memcpy(to, wbci_row_key(w->rs, row), row->key_len);
	w->used += bytes;
	w->header.rows_bytes += bytes;
	w->header.n_rows++;
	return 0;
}

int wbci_rowset_write(const struct wbci_rowset *rs,
                      const struct wbci_slice *slice, uint64_t number,
                      wbci_blob_fn *emit, void *arg)
{
	struct writer w = {
		.rs = rs, .emit = emit, .arg = arg, .number = number};
	int error;

	w.room = WBCI_BLOB_BYTES;
	w.bytes = malloc(w.room);
	if (!w.bytes)
		return -ENOMEM;
	begin_blob(&w);
	error = write_inserts(&w, slice);
	for (uint64_t i = slice->row_from; !error && i < slice->row_to; i++)
		error = write_row(&w, rs->rows[i]);
	if (!error)
		error = end_blob(&w);
	free(w.bytes);
	return error;
}

int wbci_blob_open(struct wbci_blob *b, const void *blob, size_t bytes)
{
	const unsigned char *p = blob;
	struct blob_header h;
	uint64_t left;
	uint64_t spec;

	if (bytes < sizeof(h))
		return WBC_E_CORRUPT;
	b->sets = wbci_frame_good(blob, bytes, SETS_MAGIC);
	if (!b->sets && !wbci_frame_good(blob, bytes, BLOB_MAGIC))
		return WBC_E_CORRUPT;
	memcpy(&h, blob, sizeof(h));
	left = bytes - sizeof(h);
	spec = pad8(h.spec_bytes);
	if (h.spec_bytes > WBCI_SPEC_MAX || spec > left ||
	    h.n_cells > WBC_COUNTERS_MAX)
		return WBC_E_CORRUPT;
	left -= spec;
	if (h.inserts_bytes > left || h.rows_bytes != left - h.inserts_bytes)
		return WBC_E_CORRUPT;
	b->spec = (const char *)p + sizeof(h);
	b->spec_bytes = h.spec_bytes;
	b->n_cells = h.n_cells;
	b->n_inserts = h.n_inserts;
	b->n_rows = h.n_rows;
	b->inserts = p + sizeof(h) + spec;
	b->inserts_bytes = h.inserts_bytes;
	b->rows = b->inserts + h.inserts_bytes;
	b->rows_bytes = h.rows_bytes;
	return 0;
}

static int read_inserts(struct wbci_rowset *rs, const struct wbci_blob *b)
{
	uint64_t left = b->inserts_bytes;
	const unsigned char *p = b->inserts;
	struct record_shm record;

	for (uint64_t i = 0; i < b->n_inserts; i++) {
		if (left < sizeof(record))
			return WBC_E_CORRUPT;
		memcpy(&record, p, sizeof(record));
		if (record.bytes < sizeof(record) || record.bytes % 8 ||
		    record.bytes > left)
			return WBC_E_CORRUPT;
		if (wbci_rowset_insert(rs, p, record.bytes))
			return -ENOMEM;
		p += record.bytes;
		left -= record.bytes;
	}
	return left ? WBC_E_CORRUPT : 0;
}

/* What a row's plain columns are set to. */
static int read_set(struct wbci_rowset *rs, const struct row_header *head,
                    const unsigned char *p, struct wbc_value *values,
                    uint8_t *columns)
{
	return head->n_values
	               ? wbci_values_parse(&rs->schema, p, head->values_bytes,
	                                   head->n_values, values, columns)
	               : 0;
}

/* One row of at most @left bytes.  Return: its bytes, or an error. */
static int64_t read_row(struct wbci_rowset *rs, const struct wbci_blob *b,
                        const unsigned char *p, uint64_t left)
{
	struct wbc_value values[WBC_COLUMNS_MAX];
	uint8_t columns[WBC_COLUMNS_MAX];
	uint64_t delta[WBC_COUNTERS_MAX];
	uint64_t cells = b->n_cells * sizeof(uint64_t);
	uint64_t key_at = 8 + cells;
	struct row_header head;
	uint64_t bytes;
	int error;

	if (left < key_at)
		return WBC_E_CORRUPT;
	memcpy(&head, p, sizeof(head));
	bytes = key_at + pad8(head.key_len) + head.values_bytes;
	if (head.key_len > WBC_KEY_MAX || bytes > left ||
	    head.kind != ROW_CHANGE || head.values_bytes % 8 ||
	    !head.n_values != !head.values_bytes || (head.n_values && !b->sets))
		return WBC_E_CORRUPT;
	memcpy(delta, p + 8, cells);
	error = read_set(rs, &head, p + bytes - head.values_bytes, values,
	                 columns);
	if (!error)
		error = wbci_rowset_change(rs, p + key_at, head.key_len, delta,
		                           values, columns, head.n_values);
	return error ? error : (int64_t)bytes;
}

/* Which row the last one read became: of rows that come once each, the last;
 * of others only one that is new can be told. */
static void note_place(struct wbci_rowset *rs, uint64_t number, uint32_t chunk,
                       uint64_t at)
{
	struct wbci_set *set =
		rs->n_rows ? rs->rows[rs->n_rows - 1]->set : NULL;

	if (set && number && !set->place.number)
		set->place =
			(struct wbci_blob_place){number, chunk, (uint32_t)at};
}

static int read_rows(struct wbci_rowset *rs, const struct wbci_blob *b,
                     const unsigned char *blob, uint64_t number, uint32_t chunk)
{
	uint64_t left = b->rows_bytes;
	const unsigned char *p = b->rows;
	int64_t bytes;

	for (uint64_t i = 0; i < b->n_rows; i++) {
		bytes = read_row(rs, b, p, left);
		if (bytes < 0)
			return (int)bytes;
		note_place(rs, number, chunk, (uint64_t)(p - blob));
		p += bytes;
		left -= (uint64_t)bytes;
	}
	return left ? WBC_E_CORRUPT : 0;
}

static int open_like(const struct wbci_rowset *rs, struct wbci_blob *b,
                     const void *blob, size_t bytes)
{
	int error = wbci_blob_open(b, blob, bytes);

	if (error)
		return error;
	if (b->spec_bytes != rs->spec_bytes ||
	    memcmp(b->spec, rs->spec, b->spec_bytes) != 0)
		return WBC_E_SCHEMA;
	return b->n_cells == rs->schema.n_cells ? 0 : WBC_E_CORRUPT;
}

int wbci_rowset_read_at(struct wbci_rowset *rs, const void *blob, size_t bytes,
                        uint64_t number, uint32_t chunk)
{
	struct wbci_blob b;
	int error = open_like(rs, &b, blob, bytes);

	if (!error)
		error = read_inserts(rs, &b);
	return error ? error : read_rows(rs, &b, blob, number, chunk);
}

int wbci_rowset_read(struct wbci_rowset *rs, const void *blob, size_t bytes)
{
	return wbci_rowset_read_at(rs, blob, bytes, 0, 0);
}

int wbci_rowset_read_row(struct wbci_rowset *rs, const void *blob, size_t bytes,
                         uint32_t at)
{
	const unsigned char *p = blob;
	struct wbci_blob b;
	uint64_t first;
	int error = open_like(rs, &b, blob, bytes);
	int64_t row;

	if (error)
		return error;
	first = (uint64_t)(b.rows - p);
	if (at < first || at % 8 || at - first > b.rows_bytes)
		return WBC_E_CORRUPT;
	row = read_row(rs, &b, p + at, b.rows_bytes - (at - first));
	return row < 0 ? (int)row : 0;
}
