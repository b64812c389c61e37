/* SPDX-License-Identifier: MIT */
/* Copyright the wbcshm authors */

/*
 * Copying a few bytes.  Most keys and texts are words: two moves that overlap
 * are done before memcpy() would have been called.
 */
#ifndef WBCI_COPY_H
#define WBCI_COPY_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* memcpy() of at least one byte. */
static inline void wbci_copy(unsigned char *to, const unsigned char *from,
                             size_t bytes)
{
	if (bytes > 16) {
		memcpy(to, from, bytes);
	} else if (bytes >= 8) {
		uint64_t first, last;

		memcpy(&first, from, 8);
		memcpy(&last, from + bytes - 8, 8);
		memcpy(to, &first, 8);
		memcpy(to + bytes - 8, &last, 8);
	} else if (bytes >= 4) {
		uint32_t first, last;

		memcpy(&first, from, 4);
		memcpy(&last, from + bytes - 4, 4);
		memcpy(to, &first, 4);
		memcpy(to + bytes - 4, &last, 4);
	} else {
		/* One to three: the middle may be the first or the last. */
		to[0] = from[0];
		to[bytes / 2] = from[bytes / 2];
		to[bytes - 1] = from[bytes - 1];
	}
}

#endif
