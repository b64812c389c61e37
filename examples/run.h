/* SPDX-License-Identifier: MIT */
/* Copyright the wbcshm authors */

/*
 * The run: workers count, the flusher writes, and some of them are killed.
 */
#ifndef EXAMPLE_RUN_H
#define EXAMPLE_RUN_H

#include <signal.h>
#include <stdint.h>
#include <sys/types.h>

#include "count.h"
#include "files.h"
#include "options.h"
#include "supervise.h"

enum deed { KILL_FLUSHER, START_FLUSHER, KILL_EXTRA };

struct event {
	double at_s; /* since the start */
	enum deed deed;
};

#define KILLS 2 /* of the flusher; the extra worker's comes on top */
#define EVENTS (2 * KILLS + 1)

struct run {
	/* filled in before */
	const struct options *opt;
	const struct files *files;
	struct counting *counting; /* the workers inherit it */
	struct flusher *flusher;   /* running */
	const char *report;        /* file for what the extra worker reports */

	/* the outcome */
	double took_s;
	uint64_t adds_at_kill[KILLS]; /* of the flusher */
	struct progress *progress;    /* of the workers, the extra one last */

	/* while it runs */
	double start_s;
	struct event events[EVENTS];
	pid_t worker[WORKERS_MAX]; /* 0: ended */
	pid_t extra;
	int report_pipe;
	int report_file;
};

extern volatile sig_atomic_t interrupted; /* by SIGINT or SIGTERM */

/**
 * run_workers() - count until the time is up, and kill on the way
 * @r: with its first part filled in, the rest zero; undone by run_end()
 *
 * Return: 0, or 1 after saying what went wrong.
 */
int run_workers(struct run *r);

/* Kill whoever is left; also a run that never began, all zero. */
void run_end(struct run *r);

/* Adds that returned 0, of all workers but the extra one. */
uint64_t run_adds(const struct run *r);

/* How many passes a worker has completed. */
uint64_t run_passes(const struct run *r, unsigned worker);

#endif
