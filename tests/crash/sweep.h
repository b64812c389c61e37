/* SPDX-License-Identifier: MIT */
/* Copyright the wbcshm authors */

/* What the sweeps share: their victims' program, their folder, their words. */
#ifndef CRASH_SWEEP_H
#define CRASH_SWEEP_H

#include <stdbool.h>

#include "crash/states.h"

struct sweep_site {
	char dir[4096 - 512];
	char victim[4096 - 448];  /* the program, and the library it links */
	char flusher[4096 - 448]; /* the installed one */
	struct place live;        /* where the victim works */
	struct place copy;
};

/**
 * sweep_begin() - install what ships into a folder, and link the victim
 *
 * Skips the whole test where nobody can be stepped.  The folder is a tmpfs of
 * this process's own if it may mount one.
 */
void sweep_begin(struct sweep_site *site);
void sweep_end(const struct sweep_site *site);

/* WBC_SOAK_SECONDS is set: pass after pass, each with other kills. */
bool sweep_is_long(void);

#endif
