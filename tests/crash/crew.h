/* SPDX-License-Identifier: MIT */
/* Copyright the wbcshm authors */

/*
 * A crew: client processes that count and insert until they are told to
 * stop, and keep a tally of what they were acknowledged, in memory shared
 * with the test.  crew_exact() compares the tally with the database.
 *
 *   words    one text key, one counter; rows are made by adding
 *   visits   a composite key of a text longer than an entry's first line and
 *            a number, three counters of both kinds; likewise
 *   events   inserted only; the database numbers them as they come
 *   items    inserted, then added to by the same client; a row that is not
 *            there would be a dead letter, so an add that overtakes its
 *            insert is seen
 */
#ifndef CREW_H
#define CREW_H

#include "rig.h"

#define CREW_MAX 4
#define CREW_WORDS 12
#define CREW_HOSTS 3
#define CREW_DAYS 4

struct crew_tally {
	int64_t words[CREW_WORDS];
	int64_t hits[CREW_HOSTS][CREW_DAYS];
	int64_t bytes[CREW_HOSTS][CREW_DAYS];
	double seconds[CREW_HOSTS][CREW_DAYS];
	int64_t events; /* seq 0.. of this client */
	int64_t items;  /* likewise, each added to three times */
	int64_t wrong;  /* values that were read and cannot be */
	int error;      /* why it ended early */
};

struct crew {
	unsigned n;
	pid_t pid[CREW_MAX];
	int stop;     /* its end is the clients' end */
	int progress; /* a byte per burst */
	struct crew_tally *tally;
};

/* Tell the rig's flusher of the tables, and make them in the database. */
void crew_tables(struct rig *r);

/* Start clients of the segment. @crew is zeroed, or has ended and goes on with
 * its tally, on whatever segment is there now. */
void crew_begin(struct crew *crew, const struct rig *r, unsigned n);

/* Wait until all of them together have made so many more bursts. */
void crew_go_on(struct crew *crew, unsigned bursts);

/* Let them finish; true if each ended well. */
bool crew_end(struct crew *crew);

/* Is the database what was acknowledged?  Differences are diagnostics. */
bool crew_exact(const struct crew *crew, const struct rig *r);

/* Forget the tally. */
void crew_free(struct crew *crew);

#endif
