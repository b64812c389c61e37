/* SPDX-License-Identifier: MIT */
/* Copyright the wbcshm authors */

/* What happens in a storm, and how often it has happened. */
#ifndef STORM_WEATHER_H
#define STORM_WEATHER_H

#include "storm.h"

struct storm_place {
	pid_t pid;
	pid_t orphan;          /* the group of a child that lives on; 0: none */
	uint64_t answers_then; /* when it was begun */
	bool stopped;
};

struct storm {
	struct rig rig;
	struct storm_world *w;
	char world[PATH_MAX];
	char small[PATH_MAX - 32]; /* a file system of its own; empty: none */
	struct dice dice;
	struct wbc *c;
	struct wbci_segment view; /* for looking on */
	struct wbc_table *eaten;
	struct storm_place places[STORM_PLACES];
	pid_t watch;
	uint32_t n_eaten;
	unsigned gone;      /* steps without a flusher */
	unsigned fill_left; /* steps until there is room again */

	unsigned kills, clients, orphans, at_once, flushers;
	unsigned stops, in_section, flusher_stops, fills;
	unsigned violations;
	uint64_t most_dead; /* slots at a time */
	uint64_t most_blocks;
};

/* A segment, its flusher, and a world; with @small in a file system of its
 * own, if that may be had. */
void storm_begin(struct storm *s, enum storm_lie lie, bool small);

/* Until so many were killed, and so much time is over. */
void storm_blow(struct storm *s, unsigned kills, int64_t seconds);

/* Everybody comes to an end; a flusher is there and has done all. */
void storm_quieten(struct storm *s);
void storm_end(struct storm *s);

/* What the segment says at the moment. */
uint64_t storm_slots(const struct storm *s);
uint64_t storm_threads(const struct storm *s);
uint64_t storm_sweep(const struct storm *s); /* 0: none is wanted */
uint64_t storm_used(const struct storm *s);

#endif
