/* SPDX-License-Identifier: MIT */
/* Copyright the wbcshm authors */

/*
 * A record holds values as they were given; wbci_record_parse() hands them out
 * as their columns want them.  What a column takes is said once, by
 * check_value(), and holds at both ends: what was written is accepted when it
 * is read, and a record with anything else in it is corrupt.
 */
#include "record.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include "copy.h"

_Static_assert(WBC_COLUMNS_MAX <= 64, "a set of columns is a 64-bit word");

static size_t pad(size_t bytes)
{
	return (bytes + 7) & ~(size_t)7;
}

/* Does the double that is nearest to @i say the same? */
static bool is_exact(int64_t i)
{
	double d = (double)i;

	/* 2^63 is what the largest integers round to, and not an int64. */
	return d < 0x1p63 && (int64_t)d == i;
}

/* What is not of the column's type: NULL, and whole numbers as doubles. */
static int check_other(const struct wbci_column *column,
                       const struct wbc_value *v)
{
	if (v->type == WBC_NULL)
		return column->role == ROLE_KEY ? WBC_E_KEY : 0;
	if (column->type == WBC_DOUBLE && v->type == WBC_INT64 &&
	    is_exact(v->v.i))
		return 0;
	return WBC_E_TYPE;
}

/* May this column be given this value? */
static inline int check_value(const struct wbci_column *column,
                              const struct wbc_value *v)
{
	if (v->type != column->type)
		return check_other(column, v);
	return wbci_value_check(v);
}

/* What value_shm.bytes is. */
static inline uint32_t stored_bytes(const struct wbc_value *v)
{
	if (wbci_type_has_bytes(v->type))
		return v->bytes;
	return v->type == WBC_NULL ? 0 : 8;
}

/* The column of a value; @place, where it mostly is, is looked at first. */
static inline int find_column(const struct wbci_schema *s,
                              const struct wbc_value *v, size_t place)
{
	if (!v->name || wbci_column_is(&s->columns[place], v->name))
		return (int)place;
	return wbci_schema_column(s, v->name);
}

/* Are all key columns among those seen? */
static bool has_keys(const struct wbci_schema *s, uint64_t seen)
{
	for (unsigned i = 0; i < s->n_keys; i++)
		if (!(seen >> s->key_column[i] & 1))
			return false;
	return true;
}

int64_t wbci_record_size(const struct wbci_schema *s,
                         const struct wbc_value *values, size_t n,
                         uint8_t *columns)
{
	size_t bytes = sizeof(struct record_shm);
	uint64_t seen = 0;

	if (n == 0 || n > s->n_columns)
		return -EINVAL;
	for (size_t i = 0; i < n; i++) {
		int column = find_column(s, &values[i], i);
		int error;

		if (column < 0)
			return column;
		if (seen >> column & 1)
			return WBC_E_COLUMN;
		seen |= UINT64_C(1) << column;
		error = check_value(&s->columns[column], &values[i]);
		if (error)
			return error;
		columns[i] = (uint8_t)column;
		bytes += sizeof(struct value_shm) +
		         pad(stored_bytes(&values[i]));
	}
	return has_keys(s, seen) ? (int64_t)bytes : WBC_E_KEY;
}

/* Where the next word goes: wbci_span2 in registers. */
struct target {
	unsigned char *p, *end;
	unsigned char *next;
	size_t next_bytes;
};

static inline void go_round(struct target *to)
{
	to->p = to->next;
	to->end = to->next + to->next_bytes;
}

static inline void put_word(struct target *to, uint64_t word)
{
	if (to->p == to->end)
		go_round(to);
	memcpy(to->p, &word, 8);
	to->p += 8;
}

/*
 * Texts and blobs.  Where the end of the first span is in the way, what is
 * before it is whole words, and less than @bytes.
 */
static inline void put_bytes(struct target *to, const unsigned char *from,
                             size_t bytes)
{
	size_t room = (size_t)(to->end - to->p);
	static const uint64_t zeros;

	if (bytes == 0)
		return;
	if (pad(bytes) > room) {
		if (room)
			memcpy(to->p, from, room);
		from += room;
		bytes -= room;
		go_round(to);
	}
	/* The padding first: the last word, which the text then overlays. */
	memcpy(to->p + pad(bytes) - 8, &zeros, 8);
	wbci_copy(to->p, from, bytes);
	to->p += pad(bytes);
}

/*
 * Headers are put together in a register: fields stored one by one and then
 * loaded as a word would wait for the stores.
 */
static uint64_t record_word(uint64_t bytes, uint8_t table, size_t n)
{
	return bytes | (uint64_t)LANE_INSERT << 32 | (uint64_t)table << 40 |
	       (uint64_t)n << 48;
}

static uint64_t value_word(uint8_t column, const struct wbc_value *v)
{
	return column | (uint64_t)v->type << 8 |
	       (uint64_t)stored_bytes(v) << 32;
}

_Static_assert(offsetof(struct record_shm, kind) == 4 &&
                       offsetof(struct record_shm, table) == 5 &&
                       offsetof(struct record_shm, n_values) == 6 &&
                       offsetof(struct value_shm, type) == 1 &&
                       offsetof(struct value_shm, bytes) == 4,
               "headers of records are laid out otherwise");

static inline void put_value(struct target *at, uint8_t column,
                             const struct wbc_value *v)
{
	put_word(at, value_word(column, v));
	if (wbci_type_has_bytes(v->type))
		put_bytes(at, v->v.p, v->bytes);
	else if (v->type != WBC_NULL)
		put_word(at, (uint64_t)v->v.i);
}

void wbci_record_write(const struct wbci_span2 *to, uint8_t table,
                       const struct wbc_value *values, const uint8_t *columns,
                       size_t n, uint64_t bytes)
{
	struct target at = {
		.p = to->p[0],
		.end = to->p[0] + to->n[0],
		.next = to->p[1],
		.next_bytes = to->n[1],
	};

	put_word(&at, record_word(bytes, table, n));
	for (size_t i = 0; i < n; i++)
		put_value(&at, columns[i], &values[i]);
}

/* What is left to parse. */
struct source {
	const unsigned char *p;
	size_t left;
};

static bool get_word(struct source *from, void *word)
{
	if (from->left < 8)
		return false;
	memcpy(word, from->p, 8);
	from->p += 8;
	from->left -= 8;
	return true;
}

/* The bytes of a value whose header is read. */
static bool get_body(struct source *from, const struct value_shm *header,
                     struct wbc_value *v)
{
	v->type = (enum wbc_type)header->type;
	switch (header->type) {
	case WBC_NULL:
		return header->bytes == 0;
	case WBC_INT64:
	case WBC_DOUBLE:
	case WBC_BOOL:
	case WBC_TIMESTAMP:
		return header->bytes == 8 && get_word(from, &v->v);
	case WBC_TEXT:
	case WBC_BLOB:
	case WBC_JSON:
		if (pad(header->bytes) > from->left)
			return false;
		v->v.p = from->p;
		v->bytes = header->bytes;
		from->p += pad(header->bytes);
		from->left -= pad(header->bytes);
		return true;
	}
	return false;
}

/* One value, with its column's name and type; marks the column as seen. */
static bool get_value(struct source *from, const struct wbci_schema *s,
                      uint64_t *seen, struct wbc_value *v, uint8_t *column)
{
	const struct wbci_column *c;
	struct value_shm header;

	if (!get_word(from, &header) || header.reserved != 0 ||
	    header.column >= s->n_columns || (*seen >> header.column & 1))
		return false;
	*seen |= UINT64_C(1) << header.column;
	*column = header.column;
	c = &s->columns[header.column];
	*v = wbc_null(c->name);
	if (!get_body(from, &header, v) || check_value(c, v) != 0)
		return false;
	if (v->type == WBC_INT64 && c->type == WBC_DOUBLE)
		*v = wbc_double(c->name, (double)v->v.i);
	return true;
}

int wbci_record_parse(const struct wbci_schema *s, const unsigned char *record,
                      size_t bytes, struct wbc_value *values, uint8_t *columns)
{
	struct source from = {.p = record, .left = bytes};
	struct record_shm header;
	uint64_t seen = 0;

	if (!get_word(&from, &header) || header.kind != LANE_INSERT)
		return WBC_E_CORRUPT;
	if (header.bytes < sizeof(header) || header.bytes > bytes)
		return WBC_E_CORRUPT;
	if (header.n_values == 0 || header.n_values > s->n_columns)
		return WBC_E_CORRUPT;
	/* Values take whole words: an odd length cannot be used up. */
	from.left = header.bytes - sizeof(header);
	for (unsigned i = 0; i < header.n_values; i++)
		if (!get_value(&from, s, &seen, &values[i], &columns[i]))
			return WBC_E_CORRUPT;
	if (from.left != 0 || !has_keys(s, seen))
		return WBC_E_CORRUPT;
	return header.n_values;
}

int wbci_column_check(const struct wbci_column *column,
                      const struct wbc_value *value)
{
	return check_value(column, value);
}

size_t wbci_value_bytes(const struct wbc_value *value)
{
	return sizeof(struct value_shm) + pad(stored_bytes(value));
}

void wbci_value_write(unsigned char *to, uint8_t column,
                      const struct wbc_value *value)
{
	struct target at = {.p = to, .end = to + wbci_value_bytes(value)};

	put_value(&at, column, value);
}

int wbci_values_parse(const struct wbci_schema *s, const unsigned char *p,
                      size_t bytes, size_t n, struct wbc_value *values,
                      uint8_t *columns)
{
	struct source from = {.p = p, .left = bytes};
	uint64_t seen = 0;

	if (n > s->n_columns)
		return WBC_E_CORRUPT;
	for (size_t i = 0; i < n; i++)
		if (!get_value(&from, s, &seen, &values[i], &columns[i]))
			return WBC_E_CORRUPT;
	return from.left ? WBC_E_CORRUPT : 0;
}
