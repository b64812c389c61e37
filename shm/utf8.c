/* SPDX-License-Identifier: MIT */
/* Copyright the wbcshm authors */

#include "utf8.h"

unsigned wbci_utf8_bytes(const unsigned char *p, size_t n)
{
	unsigned bytes;

	if (n == 0)
		return 0;
	if (p[0] < 0x80)
		return 1;
	bytes = p[0] < 0xe0 ? 2 : p[0] < 0xf0 ? 3 : 4;
	if (p[0] < 0xc2 || p[0] > 0xf4 || bytes > n)
		return 0;
	for (unsigned i = 1; i < bytes; i++)
		if ((p[i] & 0xc0) != 0x80)
			return 0;
	/* Overlong forms, surrogates, and what is above U+10FFFF. */
	if ((p[0] == 0xe0 && p[1] < 0xa0) || (p[0] == 0xed && p[1] > 0x9f) ||
	    (p[0] == 0xf0 && p[1] < 0x90) || (p[0] == 0xf4 && p[1] > 0x8f))
		return 0;
	return bytes;
}

bool wbci_utf8_is_text(const unsigned char *p, size_t n)
{
	while (n) {
		unsigned bytes = wbci_utf8_bytes(p, n);

		if (!bytes || !*p)
			return false;
		p += bytes;
		n -= bytes;
	}
	return true;
}
