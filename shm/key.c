/* SPDX-License-Identifier: MIT */
/* Copyright the wbcshm authors */

/*
 * Encoding is on the way of every add by key.  A single text is encoded before
 * anything is called.  Values that stand in the order of the declaration, named
 * or not, are encoded as they come; only when a name is another than the
 * expected are they sorted first.
 *
 * Decoding accepts exactly what encoding makes: a key that it takes encodes
 * to the same bytes again.
 */
#include "key.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include "copy.h"
#include "value.h"

_Static_assert(WBC_COLUMNS_MAX <= 64, "a set of columns is a 64-bit word");

#define SIGN_BIT (UINT64_C(1) << 63)

/* The bytes after 0x00 in a text or blob that is not the last column. */
#define ZERO_MARK 0xff
#define END_MARK 0x00

static const struct wbci_column *key_column(const struct wbci_schema *s,
                                            size_t i)
{
	return &s->columns[s->key_column[i]];
}

/* Decimal digits with an optional sign, all of the text; nothing else. */
static int parse_int(const struct wbc_value *v, int64_t *result)
{
	const char *p = v->v.p, *end;
	uint64_t limit, magnitude = 0;
	bool negative;

	if (v->bytes == 0)
		return WBC_E_TYPE;
	if (!p)
		return -EINVAL;
	end = p + v->bytes;
	negative = *p == '-';
	limit = (uint64_t)INT64_MAX + negative;
	if (*p == '-' || *p == '+')
		p++;
	if (p == end)
		return WBC_E_TYPE;
	for (; p < end; p++) {
		unsigned digit = (unsigned char)*p - (unsigned)'0';

		if (digit > 9 || magnitude > (limit - digit) / 10)
			return WBC_E_TYPE;
		magnitude = magnitude * 10 + digit;
	}
	*result = (int64_t)(negative ? 0 - magnitude : magnitude);
	return 0;
}

/*
 * Big endian, so that memcmp() meets the highest byte first; with the sign
 * flipped, so that negative numbers come before the others.
 */
static int put_number(int64_t number, unsigned char *key, size_t at)
{
	uint64_t big_endian;

	if (WBC_KEY_MAX - at < sizeof(big_endian))
		return -E2BIG;
	big_endian = __builtin_bswap64((uint64_t)number ^ SIGN_BIT);
	memcpy(key + at, &big_endian, sizeof(big_endian));
	return (int)(at + sizeof(big_endian));
}

static int put_int(const struct wbc_value *v, unsigned char *key, size_t at)
{
	int64_t number;
	int error;

	if (v->type == WBC_INT64) {
		number = v->v.i;
	} else {
		error = v->type == WBC_TEXT ? parse_int(v, &number)
		                            : WBC_E_TYPE;
		if (error)
			return error;
	}
	return put_number(number, key, at);
}

static int put_bool(bool truth, unsigned char *key, size_t at)
{
	if (at == WBC_KEY_MAX)
		return -E2BIG;
	key[at] = truth;
	return (int)(at + 1);
}

/*
 * A text or blob before other columns.  Its end sorts before any byte that a
 * longer text could have there: 00 00 is less than 00 ff, which is a zero byte,
 * and than 01, which is the least other.
 */
static int put_ended_text(const struct wbc_value *v, unsigned char *key,
                          size_t at)
{
	const unsigned char *p = v->v.p;
	size_t left = v->bytes;

	if (left && !p)
		return -EINVAL;
	while (left) {
		const unsigned char *zero = memchr(p, 0, left);
		size_t run = zero ? (size_t)(zero - p) + 1 : left;

		if (WBC_KEY_MAX - at <= run)
			return -E2BIG;
		wbci_copy(key + at, p, run);
		at += run;
		if (zero)
			key[at++] = ZERO_MARK;
		p += run;
		left -= run;
	}
	if (WBC_KEY_MAX - at < 2)
		return -E2BIG;
	key[at++] = 0;
	key[at++] = END_MARK;
	return (int)at;
}

/* A text or blob that is the last column: as it is. */
static inline int put_last_text(const struct wbc_value *v, unsigned char *key,
                                size_t at)
{
	if (v->bytes == 0)
		return (int)at;
	if (!v->v.p)
		return -EINVAL;
	if (v->bytes > WBC_KEY_MAX - at)
		return -E2BIG;
	wbci_copy(key + at, v->v.p, v->bytes);
	return (int)(at + v->bytes);
}

/* Appends one value to a key of @at bytes; the new length, or an error. */
static int put_value(const struct wbci_column *column,
                     const struct wbc_value *v, bool last, unsigned char *key,
                     size_t at)
{
	int error;

	if (v->type == WBC_NULL)
		return WBC_E_KEY;
	if (column->type == WBC_INT64)
		return put_int(v, key, at);
	if (v->type != column->type)
		return WBC_E_TYPE;
	if (wbci_type_has_bytes(v->type))
		return last ? put_last_text(v, key, at)
		            : put_ended_text(v, key, at);
	error = wbci_value_check_other(v);
	if (error)
		return error;
	return v->type == WBC_BOOL ? put_bool(v->v.i, key, at)
	                           : put_number(v->v.i, key, at);
}

static bool is_named(const struct wbc_value *v,
                     const struct wbci_column *column)
{
	return !v->name || wbci_column_is(column, v->name);
}

/* Which key column a value is for. */
static int key_index(const struct wbci_schema *s, const struct wbc_value *v,
                     size_t place)
{
	if (!v->name)
		return (int)place;
	for (int i = 0; i < s->n_keys; i++)
		if (wbci_column_is(key_column(s, (size_t)i), v->name))
			return i;
	return WBC_E_COLUMN;
}

/* Out of line: values whose names are not in the order of the declaration. */
__attribute__((noinline, cold)) static int
encode_sorted(const struct wbci_schema *s, const struct wbc_value *values,
              unsigned char *key)
{
	const struct wbc_value *sorted[WBC_COLUMNS_MAX];
	uint64_t seen = 0;
	int at = 0;

	for (size_t i = 0; i < s->n_keys; i++) {
		int k = key_index(s, &values[i], i);

		if (k < 0)
			return k;
		if (seen >> k & 1)
			return WBC_E_KEY;
		seen |= UINT64_C(1) << k;
		sorted[k] = &values[i];
	}
	/* As many values as keys and none doubled: none is missing. */
	for (size_t i = 0; i < s->n_keys && at >= 0; i++)
		at = put_value(key_column(s, i), sorted[i], i + 1 == s->n_keys,
		               key, (size_t)at);
	return at;
}

/* Out of line: everything but a single text. */
__attribute__((noinline)) static int encode_any(const struct wbci_schema *s,
                                                const struct wbc_value *values,
                                                size_t n, unsigned char *key)
{
	int at = 0;

	if (s->n_keys == 0)
		return WBC_E_KEY;
	if (n != s->n_keys)
		return n < s->n_keys ? WBC_E_KEY : -EINVAL;
	for (size_t i = 0; i < n; i++) {
		const struct wbci_column *column = key_column(s, i);

		if (!is_named(&values[i], column))
			return encode_sorted(s, values, key);
		at = put_value(column, &values[i], i + 1 == n, key, (size_t)at);
		if (at < 0)
			return at;
	}
	return at;
}

int wbci_key_encode(const struct wbci_schema *s, const struct wbc_value *values,
                    size_t n, unsigned char *key)
{
	const struct wbci_column *first = key_column(s, 0);

	if (n == 1 && s->n_keys == 1 && first->type == WBC_TEXT &&
	    values->type == WBC_TEXT && is_named(values, first))
		return put_last_text(values, key, 0);
	return encode_any(s, values, n, key);
}

/*
 * What is left to decode, and where texts go.  A decoded text is never longer
 * than what encoded it: the room for texts cannot run out before the key.
 */
struct source {
	const unsigned char *p;
	size_t left;
	unsigned char *text;
};

static bool get_int(struct source *from, int64_t *number)
{
	uint64_t big_endian;

	if (from->left < sizeof(big_endian))
		return false;
	memcpy(&big_endian, from->p, sizeof(big_endian));
	from->p += sizeof(big_endian);
	from->left -= sizeof(big_endian);
	*number = (int64_t)(__builtin_bswap64(big_endian) ^ SIGN_BIT);
	return true;
}

/* False if the text does not end, or a zero in it has another mark. */
static bool get_ended_text(struct source *from, uint32_t *bytes)
{
	unsigned char *start = from->text;

	while (from->left) {
		unsigned char byte = *from->p++;

		from->left--;
		if (byte == 0) {
			unsigned char mark;

			if (from->left == 0)
				return false;
			mark = *from->p++;
			from->left--;
			if (mark == END_MARK) {
				*bytes = (uint32_t)(from->text - start);
				return true;
			}
			if (mark != ZERO_MARK)
				return false;
		}
		*from->text++ = byte;
	}
	return false;
}

static uint32_t get_last_text(struct source *from)
{
	uint32_t bytes = (uint32_t)from->left;

	if (bytes)
		memcpy(from->text, from->p, bytes);
	from->text += bytes;
	from->left = 0;
	return bytes;
}

static bool get_number(struct source *from, enum wbc_type type,
                       struct wbc_value *v)
{
	v->type = type;
	if (type != WBC_BOOL) {
		if (!get_int(from, &v->v.i))
			return false;
	} else {
		if (!from->left)
			return false;
		v->v.i = *from->p++;
		from->left--;
	}
	/* An int key is any; of the others encoding makes no more. */
	return !wbci_value_check(v);
}

static bool get_value(struct source *from, const struct wbci_column *column,
                      bool last, struct wbc_value *v)
{
	unsigned char *text = from->text;
	uint32_t bytes;

	if (!wbci_type_has_bytes(column->type)) {
		*v = wbc_null(column->name);
		return get_number(from, (enum wbc_type)column->type, v);
	}
	if (last)
		bytes = get_last_text(from);
	else if (!get_ended_text(from, &bytes))
		return false;
	*v = wbc_blob(column->name, text, bytes);
	v->type = (enum wbc_type)column->type;
	return true;
}

int wbci_key_decode(const struct wbci_schema *s, const unsigned char *key,
                    size_t bytes, struct wbc_value *values, unsigned char *text)
{
	struct source from = {.p = key, .left = bytes, .text = text};

	if (s->n_keys == 0 || bytes > WBC_KEY_MAX)
		return WBC_E_CORRUPT;
	for (size_t i = 0; i < s->n_keys; i++)
		if (!get_value(&from, key_column(s, i), i + 1 == s->n_keys,
		               &values[i]))
			return WBC_E_CORRUPT;
	return from.left ? WBC_E_CORRUPT : 0;
}

static bool is_text(const unsigned char *p, size_t bytes)
{
	return !bytes || wbci_utf8_is_ascii(p, bytes) ||
	       wbci_utf8_is_text(p, bytes);
}

int wbci_key_check(const struct wbci_schema *s, const unsigned char *key,
                   size_t bytes)
{
	struct wbc_value values[WBC_COLUMNS_MAX];
	unsigned char text[WBC_KEY_MAX];

	if (wbci_key_decode(s, key, bytes, values, text))
		return 0;
	for (size_t i = 0; i < s->n_keys; i++)
		if (values[i].type == WBC_TEXT &&
		    !is_text(values[i].v.p, values[i].bytes))
			return WBC_E_UTF8;
	return 0;
}
