/* SPDX-License-Identifier: MIT */
/* Copyright the wbcshm authors */

/*
 * The states of a segment in which operations are swept: small segments,
 * made by clients and a round of a flusher, and for the rest by hand.
 */
#ifndef CRASH_STATES_H
#define CRASH_STATES_H

#include "crash/ops.h"
#include "shm/client.h"

#define STATES_KEY_MAX 960

struct place {
	char path[4096 - 256];
	char address[4096 - 240];
	char key[STATES_KEY_MAX + 1]; /* the victim's */
};

extern const char *const state_names[STATES];

/* Make a segment at place->path, and choose a key. */
void state_make(struct place *place, enum state state);

/* What a victim would have undone before its operation begins: once more. */
void state_renew(const struct place *place, enum state state);

/* A segment of the size that is swept, and nothing in it. */
void state_new(const struct place *place, uint32_t extents);

#endif
