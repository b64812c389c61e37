/* SPDX-License-Identifier: MIT */
/* Copyright the wbcshm authors */

/* Somebody who acts in a storm, and the calls that he makes. */
#ifndef STORM_ACTOR_H
#define STORM_ACTOR_H

#include <pthread.h>

#include "storm.h"

enum { STORM_HELD = 6 }; /* counters kept open */

/* Who acts: a process or a thread. */
struct storm_actor {
	struct storm_world *w;
	const char *path;
	unsigned place, number; /* of its desk */
	struct storm_desk *desk;
	struct dice dice;
	struct wbc *c;
	struct wbc_table *sums, *events;
	struct wbc_counter *held[STORM_HELD];
	uint32_t held_cell[STORM_HELD];

	pthread_t thread;         /* of a process: the one it has begun, */
	struct storm_actor *peer; /* and what that is, or NULL */
	_Atomic bool leave;       /* of a thread: it is to end */
	_Atomic int error;        /* why it did */
};

void storm_count(struct storm_actor *a, enum storm_stat what);
void storm_pause(int ms);

/* Open anew, if there is no handle; declare the tables. */
int storm_attach(struct storm_actor *a);

/* So many calls, of all kinds.  0, or an error that the storm does not
 * explain; so do the next. */
int storm_burst(struct storm_actor *a);

/* One add, through a key or a counter that is kept. */
int storm_add(struct storm_actor *a);

/* One row; true in @made if it was made, as there was room. */
int storm_insert(struct storm_actor *a, int timeout_ms, bool *made);

/* Stop between two instructions of an add; or after it, if it is shorter. */
int storm_halt(struct storm_actor *a, uint32_t at);

#endif
