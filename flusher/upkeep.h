/* SPDX-License-Identifier: MIT */
/* Copyright the wbcshm authors */

/*
 * What the flusher does for the segment itself, in small steps between its
 * rounds: what the dead leaked is swept, entries that are idle are removed,
 * retired blocks freed, and memory is had before it is needed.  Nothing here
 * waits: what needs a grace period is gone on with when it has ended, so a
 * client that is stopped in a section delays the return of memory and nothing
 * else.
 */
#ifndef WBCI_UPKEEP_H
#define WBCI_UPKEEP_H

#include "../shm/prune.h"
#include "../shm/remove.h"
#include "../shm/sweep.h"

/* How finely the age of an entry is known: by cycles noted in the past. */
#define WBCI_PAST 8u

struct wbci_upkeep {
	struct wbci_pruning pruning;
	struct wbci_removal removal;
	struct wbci_sweep sweep;
	uint64_t swept_logged; /* sweeps whose end was logged */
	int64_t next_ns;       /* when to be called again */
	int64_t next_look_ns;  /* at free pages, and at the segment's file */
	int64_t delay_ns;      /* between tries for a grace period */

	/* the age of entries */
	uint64_t past[WBCI_PAST]; /* cycles noted, the newest first */
	unsigned n_past;
	int64_t next_note_ns;

	/* a pass over all entries */
	bool passing;
	uint32_t left;      /* pages that it has not looked at */
	uint64_t before;    /* rounds before which a mark is old in it */
	uint64_t had;       /* removed when it began */
	uint64_t left_seen; /* pruning.left that a sweep was wanted for */
	int64_t next_pass_ns;

	/* clients that wait for memory */
	uint64_t want_seen; /* control.memory_want */
	bool hungry;        /* the pass is for them */
	unsigned level;     /* 0: what is idle, 1: half as long, 2: all clean */
	int64_t fed_ns;     /* when they were last told */

	bool low; /* the segment was short of memory when it was looked at */
	uint64_t revoked; /* G at which pages that were revoked are nobody's */

	/* retired blocks on their way to be free */
	unsigned tidy_left; /* epochs in each of which all pages are tidied */
	uint32_t tidy_page; /* in quiet times: where it goes on */
};

struct wbci_flusher;

int wbci_upkeep_begin(struct wbci_flusher *f);

/* A round is wanted, since somebody waits for memory. */
bool wbci_upkeep_wanted(const struct wbci_flusher *f);

/* One step of everything that is due. */
void wbci_upkeep(struct wbci_flusher *f, int64_t now);
void wbci_upkeep_end(struct wbci_flusher *f);

#endif
