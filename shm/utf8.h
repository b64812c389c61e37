/* SPDX-License-Identifier: MIT */
/* Copyright the wbcshm authors */

/*
 * UTF-8, as Unicode has it: no overlong form, no surrogate, nothing above
 * U+10FFFF.
 *
 * Most texts are ASCII, and looked at sixteen bytes a step on their way into a
 * record.
 */
#ifndef WBCI_UTF8_H
#define WBCI_UTF8_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* Bytes of the character at @p, of at most @n bytes; 0 if it is none. */
unsigned wbci_utf8_bytes(const unsigned char *p, size_t n);

/* All of @n bytes are characters, and none is NUL. */
bool wbci_utf8_is_text(const unsigned char *p, size_t n);

#define WBCI_UTF8_ONES UINT64_C(0x0101010101010101)
#define WBCI_UTF8_HIGH_BITS UINT64_C(0x8080808080808080)

/*
 * Has high bits unless all eight bytes are ASCII and none is NUL: what is
 * ASCII has none of its own, and the lowest NUL gets one when 1 is taken from
 * each byte.
 */
static inline uint64_t wbci_utf8_look(uint64_t word)
{
	return word | (word - WBCI_UTF8_ONES);
}

static inline uint64_t wbci_utf8_look_at(const unsigned char *p)
{
	uint64_t word;

	memcpy(&word, p, 8);
	return wbci_utf8_look(word);
}

/* Nothing but ASCII, and no NUL, in @n bytes of at least one.  The last step
 * overlaps the one before. */
static inline bool wbci_utf8_is_ascii(const unsigned char *p, size_t n)
{
	uint64_t seen = 0;

	if (n >= 16) {
		const unsigned char *last = p + n - 16;

		for (; p < last; p += 16)
			seen |= wbci_utf8_look_at(p) | wbci_utf8_look_at(p + 8);
		seen |= wbci_utf8_look_at(last) | wbci_utf8_look_at(last + 8);
	} else if (n >= 8) {
		seen = wbci_utf8_look_at(p) | wbci_utf8_look_at(p + n - 8);
	} else if (n >= 4) {
		uint32_t first, last;

		memcpy(&first, p, 4);
		memcpy(&last, p + n - 4, 4);
		seen = wbci_utf8_look(first | (uint64_t)last << 32);
	} else {
		/* One to three: the middle may be the first or the last. */
		seen = wbci_utf8_look((p[0] | (uint64_t)p[n / 2] << 8 |
		                       (uint64_t)p[n - 1] << 16) |
		                      WBCI_UTF8_ONES << 24);
	}
	return !(seen & WBCI_UTF8_HIGH_BITS);
}

#endif
