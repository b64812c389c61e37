/* SPDX-License-Identifier: MIT */
/* Copyright the wbcshm authors */

/*
 * The model checker, as a program under it sees it.
 *
 * A program is a table of scenarios.  A scenario sets up a segment once, and
 * then a few threads, each of a "process", run product code on it over and
 * over: in every order that so many preemptions allow, with every value that
 * C11 lets a load return, with a process killed before any of its writes.
 * After each execution an oracle looks at what is left.
 *
 *	static void setup(void)  { mc_world(&shape); the_entry = ...; }
 *	static void adder(void)  { add(mc_place(), ...); mc_done(ACKED); }
 *	static void check(void)  { MC_CHECK(sum() == mc_acked(), "..."); }
 *
 *	static const struct mc_scenario scenarios[] = {
 *		{.name = "two-adders",
 *		 .says = "P3: an acknowledged add counts once",
 *		 .setup = setup, .thread = {adder, adder}, .check = check},
 *		{NULL}};
 *
 *	int main(int argc, char **argv)
 *	{
 *		return mc_main(argc, argv, "adders", scenarios);
 *	}
 *
 * What a program keeps between setup, threads and check lies in memory from
 * mc_keep(), which is put back as setup left it before every execution.
 * Threads may use it to leave word for the oracle, each in a place of its
 * own; a thread must not decide anything by what another thread wrote there,
 * since the checker does not see such accesses.
 *
 * Limits: a load reads a store that was executed before it (so no load
 * buffering), and the modification order of a word is the order of execution.
 * Loads that read something else than the newest store are bounded in number,
 * like preemptions.
 *
 * C11 lets a thread that acquires from a store miss what was fenced by a
 * third thread before that store was made.  No x86-64 or arm64 does that:
 * their stores reach all other processors at once.  A scenario whose code
 * relies on it says so with .atomic_copies.
 */
#ifndef MC_H
#define MC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "shm/client.h"
#include "tap/tap.h"

#define MC_THREADS 6
#define MC_NOBODY 0xff

struct mc_scenario {
	const char *name;
	const char *says; /* the result line: what holds */
	void (*setup)(void);
	void (*thread[MC_THREADS])(void);
	void (*check)(void);
	uint8_t process[MC_THREADS]; /* 1..: whose thread; 0: one of its own */
	uint8_t immortal;    /* bit t: thread t's process is not killed */
	uint8_t preemptions; /* the most; 0: the default, 2 */
	uint8_t deaths;      /* the most; MC_NOBODY: none; 0: the default, 2 */
	uint8_t stale;       /* loads of older stores; 0: the default, 2 */
	bool atomic_copies;  /* see below */
	bool fails;          /* a control: it must fail */
	bool all_writes;     /* death before writes that no other thread sees */
	const char *must;    /* a control: words that its failure has */
};

/* The command line and the exit status of a program. */
int mc_main(int argc, char **argv, const char *name,
            const struct mc_scenario *scenarios);

/* The segment that all processes share. */
struct mc_shape {
	uint32_t procs;      /* slots for clients; 0: one for each */
	uint32_t threads;    /* the same */
	uint32_t root_bits;  /* of the index; 0 is a root of one word */
	uint32_t lane_bytes; /* 0: 128 */
	uint32_t extents;    /* that there is room for; 0: 1 */
	uint32_t fenced;     /* bit t: thread t's process has no membarrier */
};

/**
 * mc_world() - in setup: an empty segment, and a handle for each process
 *
 * Nobody is attached yet: mc_join() in setup does that at no cost, a thread's
 * wbci_thread() does it under the checker.
 */
void mc_world(const struct mc_shape *shape);

/* In setup: thread t claims its slots.  In threads: mc_place() finds it. */
struct wbci_thread *mc_join(unsigned t);

/* In setup: on behalf of thread t from now on; -1: of nobody. */
void mc_as(int t);

/* In setup: a file of the segment is open under this descriptor. */
#define MC_SEGMENT_FD 1000

/* The segment as everybody sees it; for oracles and setup. */
const struct wbci_segment *mc_segment(void);

/* The handle and the place of a thread; of the calling one if t is -1. */
struct wbci_client *mc_client(int t);
struct wbci_thread *mc_place(void);

/* The number of the calling thread. */
unsigned mc_self(void);

/* In setup: zeroed memory outside the segment, restored for each execution. */
void *mc_keep(size_t bytes);

/* In setup: zeroed memory in the segment, for litmus tests. */
void *mc_shared(size_t bytes);

/* In threads: an operation of ours is acknowledged; the oracle counts. */
void mc_ack(uint64_t what);
uint64_t mc_acked(void);          /* sum of all that was acknowledged */
uint64_t mc_acked_by(unsigned t); /* ... by one thread */

/* In check: how it went. */
bool mc_died(unsigned t);   /* thread t was killed */
unsigned mc_deaths(void);   /* processes that were killed */
unsigned mc_timeouts(void); /* waits that ended by time-out */

/*
 * In threads: go no further until all other threads have ended, died or
 * stopped too.  A stopped client, in the middle of a section if it likes.
 */
void mc_stop(void);

/*
 * In threads: wait until somebody raised flag n, 0..7; what happened before
 * that happened before us, as with a lock.  False: whoever might has ended.
 */
bool mc_wait(unsigned n);
void mc_raise(unsigned n);

/* In threads and check: this holds, or the execution fails. */
#define MC_CHECK(condition, ...)                                               \
	((condition) ? (void)0 : mc_fail(__FILE__, __LINE__, __VA_ARGS__))
_Noreturn void mc_fail(const char *file, int line, const char *what, ...)
	TAP_PRINTF(3, 4);

#endif
