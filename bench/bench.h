/* SPDX-License-Identifier: MIT */
/* Copyright the wbcshm authors */

/* The questions that wbc-bench answers.  Each has a file. */
#ifndef BENCH_H
#define BENCH_H

#include <stdbool.h>
#include <stdint.h>

struct bench_options {
	unsigned runs;
	bool sqlite;      /* flush: into SQLite */
	bool quick;       /* too short to mean anything */
	const char *only; /* groups whose title has this in it, or NULL */
	char **args;      /* what follows the question */
	int n_args;
};

/* Return: the exit status. */
int bench_add(const struct bench_options *o);
int bench_flush(const struct bench_options *o);
int bench_loop_of(const struct bench_options *o);

/* Say what is wrong with the command line.  Return: 2. */
__attribute__((format(printf, 1, 2))) int bench_usage(const char *format, ...);

#endif
