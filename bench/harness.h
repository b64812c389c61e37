/* SPDX-License-Identifier: MIT */
/* Copyright the wbcshm authors */

/*
 * Measuring several ways of doing one thing against each other.
 *
 * The ways (arms) of a group take turns, A B C A B C ..., so that a machine
 * whose speed drifts drifts for all of them.  Each runs in the same forked
 * processes, pinned to processors of their own and let go together.  The
 * first turn of each is not counted.  After each turn of an arm its sum is
 * proved, while nothing runs.
 */
#ifndef BENCH_HARNESS_H
#define BENCH_HARNESS_H

#include <stdint.h>

#define BENCH_ARMS_MAX 5u
#define BENCH_PROCS_MAX 16u
#define BENCH_RUNS_MAX 99u

/**
 * bench_loop - do a thing often
 * @arg:  of the group
 * @proc: which of the processes calls
 * @n:    how often
 *
 * Return: 0 or a negative error.
 */
typedef int bench_loop(void *arg, unsigned proc, uint64_t n);

/**
 * bench_sum - what all processes have added so far
 * Return: 0 or a negative error.
 */
typedef int bench_sum(void *arg, uint64_t *sum);

struct bench_arm {
	const char *name;
	bench_loop *loop;
	bench_sum *sum;
};

struct bench_group {
	const char *title;
	unsigned n_procs;
	unsigned n_runs;
	uint64_t n; /* operations per process and run */
	unsigned n_arms;
	unsigned floor; /* the arm that the others are compared with */
	struct bench_arm arms[BENCH_ARMS_MAX];
	void *arg;
};

/* Nanoseconds per operation of one process, from the first's start to the
 * last's end. */
struct bench_times {
	double ns[BENCH_ARMS_MAX][BENCH_RUNS_MAX];
};

/* Processors that this process may use. */
unsigned bench_cpus(void);

/**
 * bench_measure() - run a group
 * Return: 0, or 1 after saying what went wrong.
 */
int bench_measure(const struct bench_group *g, struct bench_times *t);

#endif
