/* SPDX-License-Identifier: MIT */
/* Copyright the wbcshm authors */

/*
 * One victim under ptrace: run to its mark, then one instruction at a time,
 * and killed where the caller likes.
 *
 * All of its threads and children are in a process group of their own and
 * traced; the one that raises SIGUSR1 is stepped, the others run.
 */
#ifndef CRASH_TRACER_H
#define CRASH_TRACER_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct victim {
	pid_t pid;   /* the program, and its process group */
	pid_t tid;   /* who is stepped */
	bool killed; /* by us */
};

enum step {
	STEP_DONE,  /* one instruction more */
	STEP_ENDED, /* the operation has returned, or its thread has ended */
	STEP_LOST   /* it died of something else */
};

/* NULL, or why nobody can be stepped here. */
const char *tracer_unable(void);

/* Start it; it stands at its mark.  Ends the test if it does not get there. */
void victim_start(struct victim *v, const char *const *argv);

enum step victim_step(struct victim *v);

/* Where it stands, as "file+0x12" for addr2line; a static buffer. */
const char *victim_place(const struct victim *v);

/* SIGKILL to whoever is stepped, and its process. */
void victim_kill(struct victim *v);

/* Let it run to its end: true if that is a good one. */
bool victim_finish(struct victim *v);

#endif
