/* SPDX-License-Identifier: MIT */
/* Copyright the wbcshm authors */

/*
 * A process that counts and inserts all the time beside those who are
 * killed, and keeps a tally that it shares with the test.
 *
 * In each turn it adds to the victims' own row, in a column of its own, and
 * to a row of its own, and inserts if its lane has room.
 */
#ifndef CRASH_SURVIVOR_H
#define CRASH_SURVIVOR_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "crash/states.h"

#define SURVIVOR_ROWS 64

struct survivor {
	pid_t pid;
	struct survivor_tally *tally;
};

struct survivor_tally {
	_Atomic uint32_t asked, answered; /* futexes */
	_Atomic uint32_t stop;
	int64_t beside;             /* added to the victims' row */
	int64_t row[SURVIVOR_ROWS]; /* added to its own */
	int64_t inserted;
	int error;
};

void survivor_row(char *name, size_t size, unsigned row);

void survivor_start(struct survivor *s, const struct place *place);

/* Wait until it has begun and ended a turn.  False: it is blocked. */
bool survivor_turn(struct survivor *s);

/* Let it finish; what it did is in the tally.  0, or its error. */
int survivor_stop(struct survivor *s);

#endif
