/* SPDX-License-Identifier: MIT */
/* Copyright the wbcshm authors */

/*
 * The inside of the model checker.
 *
 *   search.c   the choices: depth first, or along a given path, or at random
 *   run.c      one execution: threads as fibers, who runs, who dies
 *   memory.c   what a load may read, what happens before what, races
 *   hooks.c    what the compiler calls at each access
 *   system.c   system calls and libc, as the model has them
 *   world.c    the segment and its handles
 *   trace.c    an execution in words
 *   sites.c    where atomics are in the source, and weakening them
 *   main.c     the command line
 */
#ifndef MC_ENGINE_H
#define MC_ENGINE_H

#include "mc.h"

#define MC_LANES 8 /* of a vector clock; more than MC_THREADS */
#define MC_STEPS_MAX 20000u

typedef int16_t mc_clock __attribute__((vector_size(2 * MC_LANES)));

static inline mc_clock clock_max(mc_clock a, mc_clock b)
{
	mc_clock more = a > b;

	return (a & more) | (b & ~more);
}

/* Is any lane of a above that of b? */
static inline bool clock_exceeds(mc_clock a, mc_clock b)
{
	typedef int64_t halves __attribute__((vector_size(16)));
	halves more = (halves)(a > b);

	return (more[0] | more[1]) != 0;
}

/*
 * What a thread knows of the others: what happened before it, and what the
 * sequentially consistent fences before it saw.
 */
struct view {
	mc_clock hb;
	mc_clock fence;
	uint32_t s; /* number in S of the last fence that is known */
};

static inline void view_join(struct view *to, const struct view *from)
{
	to->hb = clock_max(to->hb, from->hb);
	to->fence = clock_max(to->fence, from->fence);
	if (from->s > to->s)
		to->s = from->s;
}

enum thread_life {
	T_NEW,
	T_READY,
	T_FUTEX,
	T_MUTEX,
	T_STOPPED,
	T_FLAG,
	T_DONE,
	T_DEAD
};

struct mc_fiber {
	struct view view;    /* what happened before its next access */
	struct view pending; /* relaxed loads: an acquire fence brings it */
	struct view given;   /* what relaxed stores publish */
	uint64_t hash;       /* of all that it did and read */
	enum thread_life life;
	unsigned process;
	uintptr_t waits_for; /* futex, mutex or flag */
	bool timed;
	bool timed_out;
	uint64_t acked;
	struct wbci_cache cache;
	void *specific[8];
	void *sp;
};

enum choice_kind {
	PICK_START,
	PICK_THREAD,
	PICK_DEATH,
	PICK_STORE,
	PICK_KINDS
};

enum outcome { RUNS, ENDED, CUT, AGAIN, FAILED };

struct mc {
	/* the access in progress */
	unsigned char *base; /* the segment in memory */
	uint64_t size;
	struct mc_fiber *cur; /* NULL: setup or oracle */
	uint16_t *learnt;     /* per granule: who reads it, who writes it */
	uint32_t steps;
	uint8_t self;
	bool logging;     /* what is written is undone later */
	bool track_all;   /* replay: nothing is known beforehand */
	bool keep_learnt; /* an earlier search of the scenario learnt it */
	bool tracing;
	bool random;
	bool in_setup;
	bool inside; /* setup, threads or oracle run: libc is the model's */

	struct mc_fiber fibers[MC_THREADS];
	unsigned n_fibers;
	const struct mc_scenario *scenario;

	/* budgets, and what was used of them */
	unsigned max_preemptions, max_deaths, max_stale;
	unsigned level; /* a smaller search, to fail sooner; 0: all of it */
	unsigned preemptions, deaths, stale, timeouts;
	uint32_t events; /* of accesses that are tracked */

	/* S: the order of sequentially consistent operations */
	mc_clock s_clock;
	uint32_t s_number;
	uint64_t s_hash;
	uint64_t sum; /* hash of the state, from its parts */

	enum outcome outcome;
	char words[512];
	uint64_t executions, with_death, cuts, passes, total_steps;
};
extern struct mc mc;

/* run.c */
void mc_run_one(void);
void mc_point(bool writes, bool shared); /* before an access */
void mc_block(enum thread_life why, uintptr_t what, bool timed);
void mc_unblock(enum thread_life why, uintptr_t what);
_Noreturn void mc_leave(enum outcome outcome);
bool mc_solo(void (*fn)(void));
void mc_switch(void **save, void *load);
const char *mc_thread_name(unsigned t);

/* search.c */
unsigned mc_choose(enum choice_kind kind, unsigned n);
bool mc_seen_before(uint64_t state);
enum outcome mc_search(const struct mc_scenario *s, uint64_t most);
enum outcome mc_replay(const struct mc_scenario *s, const char *path);
enum outcome mc_random(const struct mc_scenario *s, uint64_t seed, uint64_t n);
void mc_path(char *text, size_t room);
bool mc_on_new_ground(void);

/* memory.c */
enum access {
	A_LOAD,
	A_STORE,
	A_XCHG,
	A_ADD,
	A_SUB,
	A_AND,
	A_OR,
	A_XOR,
	A_NAND,
	A_CAS
};
uint64_t mc_atomic(enum access what, void *at, unsigned size, uint64_t operand,
                   uint64_t *expected, int order, int fail_order, void *pc);
void mc_plain(void *at, size_t bytes, bool writes, void *pc);
void mc_fence(int order, void *pc);
void mc_fence_of(unsigned t);
void mc_memory_reset(void);
void mc_memory_init(void);
void mc_learn_anew(void);
uint64_t mc_newest(void *at, unsigned size);
void mc_log_write(void *at, size_t bytes);
void mc_touch(unsigned t, uint64_t what);

static inline bool mc_inside(const void *at)
{
	return (uintptr_t)at - (uintptr_t)mc.base < mc.size;
}

/* No value is its own image: a history that goes on is another history. */
static inline uint64_t mc_mix(uint64_t h, uint64_t x)
{
	h = (h ^ (x + UINT64_C(0x2545f4914f6cdd1d))) *
	    UINT64_C(0x9e3779b97f4a7c15);
	h = (h ^ h >> 32) * UINT64_C(0xd6e8feb86659fd93);
	return h ^ h >> 29;
}

/* system.c */
void mc_system_reset(void);
void mc_system_clear(void);
void mc_system_snapshot(void);
void mc_process_dies(unsigned process);
void *mc_real_alloc(size_t bytes);
bool mc_in_arena(const void *p);

/* world.c */
void mc_world_init(void);
void mc_world_setup(const struct mc_scenario *s);
void mc_world_restore(void);

/* trace.c */
void mc_trace_begin(void);
void mc_trace(const char *what, void *pc, const char *fmt, ...)
	TAP_PRINTF(3, 4);
void mc_trace_print(void);
const char *mc_place_name(const void *at, char *room, size_t bytes);

/* sites.c */
extern uint8_t *mc_weaken; /* by pc - text; 0: as it is */
extern uint8_t *mc_met;
extern char __executable_start[], etext[];
static inline int mc_order(int order, unsigned what, void *pc)
{
	size_t at = (size_t)((char *)pc - __executable_start);

	mc_met[at] = (uint8_t)(1 + what * 8 + (unsigned)order);
	return mc_weaken[at] ? mc_weaken[at] - 1 : order;
}
void mc_sites_init(void);
int mc_sites_main(const struct mc_scenario *all, const char *list);
bool mc_site_weaken(const char *site);
void mc_symbolize(void *const *pc, size_t n, char (*text)[160]);

#endif
