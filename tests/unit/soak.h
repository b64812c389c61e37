/* SPDX-License-Identifier: MIT */
/* Copyright the wbcshm authors */

/*
 * The long form of a test: with WBC_SOAK_SECONDS it goes on until they have
 * passed, without it only does what is always done.
 *
 *	struct soak soak = soak_begin();
 *	do
 *		one_pass(&dice);
 *	while (soak_goes_on(&soak));
 */
#ifndef SOAK_H
#define SOAK_H

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <time.h>

#include "tap/tap.h"

struct soak {
	int64_t until_ns; /* 0: the short form */
};

static inline int64_t soak_now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static inline struct soak soak_begin(void)
{
	const char *seconds = getenv("WBC_SOAK_SECONDS");
	double s = seconds ? strtod(seconds, NULL) : 0;
	struct soak soak = {s > 0 ? soak_now_ns() + (int64_t)(s * 1e9) : 0};

	return soak;
}

/* Never in the short form; and not after anything failed. */
static inline bool soak_goes_on(const struct soak *soak)
{
	return soak_now_ns() < soak->until_ns && tap_failed() == 0;
}

#endif
