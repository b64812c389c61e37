/* SPDX-License-Identifier: MIT */
/* Copyright the wbcshm authors */

/*
 * Repeatable randomness for tests.  The seed is fixed, unless WBC_SEED says
 * otherwise; what a failing test prints of it finds the failure again.
 */
#ifndef DICE_H
#define DICE_H

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "tap/tap.h"

struct dice {
	uint64_t state;
};

static inline struct dice dice_seeded(void)
{
	const char *seed = getenv("WBC_SEED");
	struct dice d = {seed ? strtoull(seed, NULL, 0) : 20240229};

	tap_diag("WBC_SEED=%llu", (unsigned long long)d.state);
	return d;
}

/* A counter, multiplied and folded until its bits look independent. */
static inline uint64_t dice_word(struct dice *d)
{
	uint64_t x = d->state += UINT64_C(0x9e3779b97f4a7c15);

	x = (x ^ (x >> 32)) * UINT64_C(0xd6e8feb86659fd93);
	x = (x ^ (x >> 32)) * UINT64_C(0xd6e8feb86659fd93);
	return x ^ (x >> 32);
}

/* 0 to @n - 1. */
static inline uint32_t dice_below(struct dice *d, uint32_t n)
{
	return (uint32_t)((dice_word(d) >> 32) * n >> 32);
}

/* Flips, sets, cuts, doubles or appends a few bytes; the new length. */
static inline size_t dice_mutate(struct dice *d, unsigned char *p, size_t bytes,
                                 size_t room)
{
	for (uint32_t n = 1 + dice_below(d, 4); n && bytes; n--) {
		uint32_t at = dice_below(d, (uint32_t)bytes);
		uint32_t rest = (uint32_t)bytes - at;

		switch (dice_below(d, 6)) {
		case 0:
			p[at] ^= (unsigned char)(1u << dice_below(d, 8));
			break;
		case 1:
			p[at] = (unsigned char)dice_word(d);
			break;
		case 2:
			p[at] = dice_below(d, 2) ? 0xff : 0;
			break;
		case 3:
			bytes = at;
			break;
		case 4:
			if (bytes + rest <= room) {
				memcpy(p + bytes, p + at, rest);
				bytes += rest;
			}
			break;
		case 5:
			rest = dice_below(d, rest);
			memmove(p + at, p + at + rest, bytes - at - rest);
			bytes -= rest;
			break;
		}
	}
	return bytes;
}

/* An allocation of exactly @bytes, so that a sanitizer sees one too many. */
static inline void *dice_exact(const void *p, size_t bytes)
{
	void *copy = malloc(bytes ? bytes : 1);

	if (!copy)
		tap_bail("no memory for %zu bytes", bytes);
	if (bytes)
		memcpy(copy, p, bytes);
	return copy;
}

#endif
