/* SPDX-License-Identifier: MIT */
/* Copyright the wbcshm authors */

#include "walk.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

void bench_key(uint32_t index, char key[BENCH_KEY_BYTES])
{
	unsigned i;

	memcpy(key, "key:", 4);
	for (i = BENCH_KEY_BYTES; i-- > 4; index /= 10)
		key[i] = (char)('0' + index % 10);
}

/* splitmix64 */
static uint64_t draw(uint64_t *state)
{
	uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);

	z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
	return z ^ z >> 31;
}

static double draw_unit(uint64_t *state)
{
	return (double)(draw(state) >> 11) / (double)(UINT64_C(1) << 53);
}

/* P(rank <= i), for each i. */
static double *cumulative(uint32_t keys, double theta)
{
	double *c = malloc(keys * sizeof(*c)), sum = 0;
	uint32_t i;

	if (!c)
		return NULL;
	for (i = 0; i < keys; i++)
		c[i] = sum += pow(i + 1.0, -theta);
	for (i = 0; i < keys; i++)
		c[i] /= sum;
	return c;
}

static uint32_t rank_of(const double *c, uint32_t keys, double p)
{
	uint32_t low = 0, high = keys - 1;

	while (low < high) {
		uint32_t middle = low + (high - low) / 2;

		if (c[middle] < p)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

int bench_walk_make(struct bench_walk *w, uint64_t n, uint32_t first,
                    uint32_t keys, double theta, uint64_t seed)
{
	double *c = NULL;
	uint64_t i;

	w->n = n;
	w->step = malloc(n * sizeof(*w->step));
	if (theta > 0)
		c = cumulative(keys, theta);
	if (!w->step || (theta > 0 && !c)) {
		free(w->step);
		free(c);
		w->step = NULL;
		return -ENOMEM;
	}
	for (i = 0; i < n; i++) {
		uint64_t k;

		/* A prime factor: common keys are no neighbours in memory. */
		if (c)
			k = rank_of(c, keys, draw_unit(&seed)) *
			    UINT64_C(2654435761) % keys;
		else
			k = draw(&seed) % keys;
		w->step[i].index = first + (uint32_t)k;
		bench_key(w->step[i].index, w->step[i].key);
	}
	free(c);
	return 0;
}

void bench_walk_free(struct bench_walk *w)
{
	free(w->step);
	w->step = NULL;
}
