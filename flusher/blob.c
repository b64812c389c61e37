/* SPDX-License-Identifier: MIT */
/* Copyright the wbcshm authors */

/* Row sets as the journal's blobs; see rowset.h for their layout. */

#include "rowset.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "../shm/layout.h"
#include "frame.h"

#define BLOB_MAGIC 0x53574f52u /* bytes "ROWS" */

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
	uint32_t chunk;
	struct blob_header header;
};

static void begin_blob(struct writer *w)
{
	uint64_t padded = pad8(w->rs->spec_bytes);

	memset(&w->header, 0, sizeof(w->header));
	w->header.spec_bytes = w->rs->spec_bytes;
	w->header.n_cells = w->rs->schema.n_cells;
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
	wbci_frame_seal(w->bytes, w->used, BLOB_MAGIC);
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

static int write_row(struct writer *w, const struct wbci_row *row)
{
	uint64_t cells = w->header.n_cells * sizeof(uint64_t);
	uint64_t bytes = 8 + cells + pad8(row->key_len);
	int error = make_room(w, bytes);
	unsigned char *to;

	if (error)
		return error;
	to = w->bytes + w->used;
	/* The padding first: with an empty key the last 8 bytes are a delta. */
	memset(to, 0, 8);
	memset(to + bytes - 8, 0, 8);
	memcpy(to, &row->key_len, sizeof(row->key_len));
	memcpy(to + 8, row->delta, cells);
	memcpy(to + 8 + cells, wbci_row_key(w->rs, row), row->key_len);
	w->used += bytes;
	w->header.rows_bytes += bytes;
	w->header.n_rows++;
	return 0;
}

int wbci_rowset_write(const struct wbci_rowset *rs,
                      const struct wbci_slice *slice, wbci_blob_fn *emit,
                      void *arg)
{
	struct writer w = {.rs = rs, .emit = emit, .arg = arg};
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

	if (bytes < sizeof(h) || !wbci_frame_good(blob, bytes, BLOB_MAGIC))
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

static int read_rows(struct wbci_rowset *rs, const struct wbci_blob *b)
{
	uint64_t delta[WBC_COUNTERS_MAX];
	uint64_t cells = b->n_cells * sizeof(uint64_t);
	uint64_t left = b->rows_bytes;
	const unsigned char *p = b->rows;
	uint32_t key_len;

	for (uint64_t i = 0; i < b->n_rows; i++) {
		if (left < 8 + cells)
			return WBC_E_CORRUPT;
		memcpy(&key_len, p, sizeof(key_len));
		left -= 8 + cells;
		if (key_len > WBC_KEY_MAX || pad8(key_len) > left)
			return WBC_E_CORRUPT;
		memcpy(delta, p + 8, cells);
		if (wbci_rowset_add(rs, p + 8 + cells, key_len, delta))
			return -ENOMEM;
		p += 8 + cells + pad8(key_len);
		left -= pad8(key_len);
	}
	return left ? WBC_E_CORRUPT : 0;
}

int wbci_rowset_read(struct wbci_rowset *rs, const void *blob, size_t bytes)
{
	struct wbci_blob b;
	int error = wbci_blob_open(&b, blob, bytes);

	if (error)
		return error;
	if (b.spec_bytes != rs->spec_bytes ||
	    memcmp(b.spec, rs->spec, b.spec_bytes) != 0)
		return WBC_E_SCHEMA;
	if (b.n_cells != rs->schema.n_cells)
		return WBC_E_CORRUPT;
	error = read_inserts(rs, &b);
	return error ? error : read_rows(rs, &b);
}
