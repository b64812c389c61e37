/* SPDX-License-Identifier: MIT */
/* Copyright the wbcshm authors */

/*
 * A sequence of keys, made beforehand: reading it costs every arm the same,
 * and the processor sees what comes next in all of them.
 */
#ifndef BENCH_WALK_H
#define BENCH_WALK_H

#include <stdint.h>

#define BENCH_KEY_BYTES 12u

struct bench_step {
	char key[BENCH_KEY_BYTES]; /* the text of key @index; no NUL */
	uint32_t index;
};

struct bench_walk {
	struct bench_step *step;
	uint64_t n;
};

/* The text of a key. */
void bench_key(uint32_t index, char key[BENCH_KEY_BYTES]);

/**
 * bench_walk_make() - draw keys at random
 * @w:     receives them; undone by bench_walk_free()
 * @n:     how many
 * @first: the keys drawn from are @first .. @first + @keys - 1
 * @theta: 0 for all alike, else the exponent of a Zipf distribution
 * @seed:  another one, another sequence
 *
 * Return: 0 or -ENOMEM.
 */
int bench_walk_make(struct bench_walk *w, uint64_t n, uint32_t first,
                    uint32_t keys, double theta, uint64_t seed);
void bench_walk_free(struct bench_walk *w);

#endif
