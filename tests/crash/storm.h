/* SPDX-License-Identifier: MIT */
/* Copyright the wbcshm authors */

/*
 * A storm: clients of one segment, and its flusher, killed, stopped, forked,
 * cancelled and robbed of their descriptors and their room at random.
 *
 *   storm.c          the test
 *   storm_weather.c  what happens to whom
 *   storm_client.c   what a client does, by the calls in storm_calls.c
 *   storm_books.c    the oracle: what there must be in the end
 *
 * All of them meet in the world, a file that everybody maps.  Who acts, a
 * process or a thread, does so at a desk of its own, and notes there what it
 * is about to do, and afterwards that it was acknowledged.  So of one that is
 * killed at most one operation is in doubt, and it is known which.
 */
#ifndef STORM_H
#define STORM_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "rig.h"
#include "shm/segment.h"
#include "unit/dice.h"

enum {
	STORM_PLACES = 5, /* clients at a time that come to harm */
	STORM_ACTORS = 3, /* a client, its thread, its forked child */
	STORM_WATCH = STORM_PLACES * STORM_ACTORS, /* comes to none */
	STORM_DESKS,
	STORM_SHARED_ROWS = 24,
	STORM_NEW_ROWS = 8, /* that are being made at a time */
	STORM_ROWS = 256,   /* new rows come round to those that were removed */
	STORM_COLUMNS = 3,
	STORM_EXTRAS = 4, /* tables that are only declared */
	STORM_TABLES = STORM_EXTRAS + 3,
	STORM_FULL_WAIT_MS = 10,
	STORM_DOUBTS = 1 << 20
};

/* The desk's note of an insert; other notes are a cell's number + 1. */
#define STORM_INSERT UINT32_MAX

struct storm_desk {
	_Atomic uint64_t calls;   /* acknowledged, of any kind */
	_Atomic uint64_t refused; /* for want of room or a slot */
	_Atomic uint32_t pending; /* what is begun and not done; 0: nothing */
	uint64_t before;          /* what the cell's count was then */
	uint32_t life;            /* of a lane: rows of one are in order */
	_Atomic uint64_t seq;     /* the next row */
	_Atomic uint64_t added[STORM_ROWS * STORM_COLUMNS];
};

/* What clients count, for the last line. */
enum storm_stat {
	STAT_FORKS,
	STAT_EXECS,
	STAT_THREADS,
	STAT_CANCELS,
	STAT_REOPENS,
	STAT_ROBBED, /* of all descriptors */
	STAT_NO_ROOM,
	STAT_NO_SLOT,
	STAT_LANE_FULL,
	STAT_ASKED,  /* syncs and flushes */
	STAT_SERVED, /* that succeeded */
	STATS
};

/* A client may lie to the oracle, which must see it. */
enum storm_lie { LIE_NONE, LIE_NOT_ADDED, LIE_ADDED_TWICE, LIE_NOT_INSERTED };

#define STORM_TIMES 8192
#define STORM_TIME_NS 50

/* How long single calls of the watching client took. */
struct storm_times {
	uint64_t n;
	uint64_t most_ns;
	uint64_t slow; /* beyond the last bucket */
	uint64_t bucket[STORM_TIMES];
};

struct storm_world {
	char address[PATH_MAX + 8];
	char decoy[PATH_MAX]; /* a file that nobody may write to */
	_Atomic bool stop;
	_Atomic uint32_t newest; /* says which rows are new */
	_Atomic uint32_t fills;  /* how often there was no room so far */
	enum storm_lie lie;
	_Atomic bool forked[STORM_PLACES]; /* the child's desk is taken */
	/* A client is to stop in an add, after so many instructions. */
	_Atomic uint32_t halt[STORM_PLACES];
	_Atomic uint64_t stats[STATS];
	struct storm_times adds, inserts;
	_Atomic uint32_t doubts[STORM_ROWS * STORM_COLUMNS];
	_Atomic uint32_t n_doubtful; /* rows that may have been inserted */
	struct {
		uint32_t desk;
		uint32_t seq;
	} doubtful[STORM_DOUBTS];
	struct storm_desk desks[STORM_DESKS];
};

extern const char storm_sums[], storm_events[], storm_eaten[];
extern const char *const storm_extras[STORM_EXTRAS];

/* A new world in a file, or the one that is there. */
struct storm_world *storm_world_make(const struct rig *r);
struct storm_world *storm_world_find(const char *path);
void storm_world_free(struct storm_world **w);

/* storm_books.c */

/* Whoever sat at a desk is no more: what it was about is in doubt. */
void storm_desk_settle(struct storm_world *w, unsigned desk);

/* A row's key; @name has 256 bytes. */
void storm_key(uint32_t row, char *name, struct wbc_value *key);

/* A row that takes much room. */
struct wbc_value storm_eaten_key(uint32_t n, char *name);

/* Make the tables; tell the rig's flusher of them. */
void storm_tables(struct rig *r);

/* What the database has that the desks do not explain: violations. */
unsigned storm_check_sums(struct storm_world *w, const struct rig *r);
unsigned storm_check_inserts(struct storm_world *w, const struct rig *r);

/* Blocks that are not free: those in use, and those that were retired. */
void storm_blocks(const struct wbci_segment *s, uint64_t *used,
                  uint64_t *limbo);

/* storm_client.c */

#define STORM_DELTA_BYTES (-1000003)
#define STORM_DELTA_SECONDS 0.25

/**
 * storm_client() - be a client, until told to stop
 * @path: of the world
 * @c:    an inherited handle, or NULL to open one
 */
_Noreturn void storm_client(const char *path, unsigned place, uint64_t seed,
                            struct wbc *c);

/* Be the client that nothing happens to, and that looks at the clock. */
_Noreturn void storm_watch(struct storm_world *w, uint64_t seed);

#endif
