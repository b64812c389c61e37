/* SPDX-License-Identifier: MIT */
/* Copyright the wbcshm authors */

/*
 * A value is begun by begin_value(), which goes into the arrays and objects
 * before it; when one is whole, end_values() comes out of all that end with it.
 * In which of the two a value stands is a bit for each that is open.
 */
#include "json.h"

#include <stdint.h>
#include <string.h>

#include "../api/wbc_table.h"
#include "utf8.h"

struct reader {
	const unsigned char *p, *end;
	unsigned depth;
	uint64_t objects[WBC_JSON_DEPTH / 64]; /* bit i: depth i is one */
};

_Static_assert(WBC_JSON_DEPTH % 64 == 0, "bits are left over");

static void skip_space(struct reader *r)
{
	while (r->p < r->end && (*r->p == ' ' || *r->p == '\t' ||
	                         *r->p == '\n' || *r->p == '\r'))
		r->p++;
}

/* The byte at hand, or NUL, which stands nowhere in JSON. */
static unsigned char peek(const struct reader *r)
{
	return r->p < r->end ? *r->p : '\0';
}

static bool take(struct reader *r, unsigned char byte)
{
	if (peek(r) != byte)
		return false;
	r->p++;
	return true;
}

static bool is_digit(unsigned char byte)
{
	return byte >= '0' && byte <= '9';
}

static bool take_digits(struct reader *r)
{
	const unsigned char *from = r->p;

	while (is_digit(peek(r)))
		r->p++;
	return r->p > from;
}

static bool take_number(struct reader *r)
{
	take(r, '-');
	if (!take(r, '0') && !take_digits(r))
		return false;
	if (take(r, '.') && !take_digits(r))
		return false;
	if (!take(r, 'e') && !take(r, 'E'))
		return true;
	if (!take(r, '+'))
		take(r, '-');
	return take_digits(r);
}

static bool take_word(struct reader *r, const char *word)
{
	size_t n = strlen(word);

	if ((size_t)(r->end - r->p) < n || memcmp(r->p, word, n) != 0)
		return false;
	r->p += n;
	return true;
}

/* Behind a backslash. */
static bool take_escape(struct reader *r)
{
	unsigned char byte = peek(r);

	if (!byte || !strchr("\"\\/bfnrtu", byte))
		return false;
	r->p++;
	for (int i = 0; byte == 'u' && i < 4; i++) {
		unsigned char digit = peek(r) | 0x20;

		if (!is_digit(peek(r)) && (digit < 'a' || digit > 'f'))
			return false;
		r->p++;
	}
	return true;
}

static bool take_string(struct reader *r)
{
	unsigned bytes;

	if (!take(r, '"'))
		return false;
	while (r->p < r->end) {
		if (*r->p < 0x20)
			return false;
		if (take(r, '"'))
			return true;
		if (take(r, '\\')) {
			if (!take_escape(r))
				return false;
			continue;
		}
		bytes = wbci_utf8_bytes(r->p, (size_t)(r->end - r->p));
		if (!bytes)
			return false;
		r->p += bytes;
	}
	return false;
}

/* The name before a value in an object, and the colon. */
static bool take_name(struct reader *r)
{
	skip_space(r);
	if (!take_string(r))
		return false;
	skip_space(r);
	return take(r, ':');
}

static bool in_object(const struct reader *r)
{
	unsigned i = r->depth - 1;

	return r->objects[i / 64] >> (i % 64) & 1;
}

static bool go_in(struct reader *r, bool object)
{
	unsigned i = r->depth;
	uint64_t bit = UINT64_C(1) << (i % 64);

	if (i == WBC_JSON_DEPTH)
		return false;
	r->depth++;
	if (object)
		r->objects[i / 64] |= bit;
	else
		r->objects[i / 64] &= ~bit;
	return true;
}

static bool take_scalar(struct reader *r)
{
	switch (peek(r)) {
	case '"':
		return take_string(r);
	case 't':
		return take_word(r, "true");
	case 'f':
		return take_word(r, "false");
	case 'n':
		return take_word(r, "null");
	default:
		return take_number(r);
	}
}

/* Goes in as deep as the text does, up to a whole value. */
static bool begin_value(struct reader *r)
{
	for (;;) {
		bool object;

		skip_space(r);
		object = peek(r) == '{';
		if (!object && peek(r) != '[')
			return take_scalar(r);
		r->p++;
		if (!go_in(r, object))
			return false;
		skip_space(r);
		/* An empty one is whole, and ended by end_values(). */
		if (peek(r) == (object ? '}' : ']'))
			return true;
		if (object && !take_name(r))
			return false;
	}
}

/* Comes out of what ends here.  True: another value follows. */
static bool end_values(struct reader *r, bool *good)
{
	while (r->depth) {
		bool object = in_object(r);

		skip_space(r);
		if (take(r, ',')) {
			*good = !object || take_name(r);
			return *good;
		}
		*good = take(r, object ? '}' : ']');
		if (!*good)
			return false;
		r->depth--;
	}
	return false;
}

bool wbci_json_valid(const void *text, size_t bytes)
{
	struct reader r = {.p = text};
	bool good;

	r.end = r.p + bytes;
	do {
		good = begin_value(&r);
	} while (good && end_values(&r, &good));
	skip_space(&r);
	return good && r.p == r.end;
}
