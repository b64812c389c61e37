/* SPDX-License-Identifier: MIT */
/* Copyright the wbcshm authors */

/*
 * Memory as C11 has it.
 *
 * Real memory always holds the newest store of each location.  A location
 * that several threads use also keeps its older stores: a load may read any
 * of them that is not hidden by what happened before it (coherence), by the
 * fences before it, or by S.  Each thread has a vector clock of what happened
 * before its next access; a store keeps what an acquiring load of it learns.
 *
 * A location that one thread alone uses, or that nobody writes, needs none of
 * this.  Which ones these are is learnt: when a location turns out to be
 * shared, the search begins anew.
 *
 * Locations are 8-byte granules; a granule may hold two 32-bit atomics.
 */
#include "engine.h"

#include <inttypes.h>
#include <string.h>
#include <sys/mman.h>

#define NEVER INT16_MAX

struct store {
	struct store *older;
	uint64_t value;
	struct view sync; /* what reading it with acquire brings */
	struct view self; /* the part of it that its own thread published */
	mc_clock readers; /* when each thread first read it */
	uint32_t s;       /* its number in S, or of its first read in S */
	int16_t clock;
	uint8_t thread;
	bool updates; /* a read-modify-write of the older one */
};

struct location {
	mc_clock plain_writes, plain_reads, writes, reads;
	struct store *newest[2];
	uint64_t hash;
};

struct undo {
	uint64_t *at;
	uint64_t value;
};

#define GRANULES(bytes) ((bytes) / 8)
#define STORES_MAX (1u << 16)
#define LOCATIONS_MAX (1u << 15)
#define UNDO_MAX (1u << 17)

static struct location *locations;
static uint32_t n_locations;
static struct store *stores;
static uint32_t n_stores;
static struct undo *undo;
static uint32_t n_undo;
/* Which location a granule has in this execution: era << 16 | place. */
static uint32_t *shadow;
static uint32_t era;

static void *reserve(size_t bytes)
{
	void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
	               MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (p == MAP_FAILED)
		tap_bail("no memory for the model");
	return p;
}

/* Nothing is known of what is shared; what was known is the caller's. */
void mc_learn_anew(void)
{
	mc.learnt = reserve(GRANULES(mc.size) * sizeof(*mc.learnt));
}

void mc_memory_init(void)
{
	size_t granules = GRANULES(mc.size);

	if (!locations) {
		locations = reserve(LOCATIONS_MAX * sizeof(*locations));
		stores = reserve(STORES_MAX * sizeof(*stores));
		undo = reserve(UNDO_MAX * sizeof(*undo));
		shadow = reserve(granules * sizeof(*shadow));
		mc_learn_anew();
	}
	if (!mc.keep_learnt)
		madvise(mc.learnt, granules * sizeof(*mc.learnt),
		        MADV_DONTNEED);
}

void mc_memory_reset(void)
{
	while (n_undo) {
		n_undo--;
		*undo[n_undo].at = undo[n_undo].value;
	}
	n_locations = n_stores = 0;
	era++;
	if (era == 1u << 16) {
		era = 1;
		madvise(shadow, GRANULES(mc.size) * sizeof(*shadow),
		        MADV_DONTNEED);
	}
}

static inline size_t granule_of(const void *at)
{
	return ((uintptr_t)at - (uintptr_t)mc.base) / 8;
}

static inline void log_granule(size_t granule)
{
	struct undo *u = &undo[n_undo++];

	if (n_undo == UNDO_MAX)
		tap_bail("an execution wrote more than the model can undo");
	u->at = (uint64_t *)(void *)mc.base + granule;
	u->value = *u->at;
}

void mc_log_write(void *at, size_t bytes)
{
	size_t first = granule_of(at);
	size_t last = granule_of((char *)at + bytes - 1);

	for (size_t g = first; mc.logging && g <= last; g++)
		log_granule(g);
}

/* The state's hash is the sum of its parts' hashes. */
void mc_touch(unsigned t, uint64_t what)
{
	struct mc_fiber *f = &mc.fibers[t];

	mc.sum -= f->hash;
	f->hash = mc_mix(f->hash, what);
	mc.sum += f->hash;
}

static void touch_location(struct location *l, uint64_t what)
{
	mc.sum -= l->hash;
	l->hash = mc_mix(l->hash, what);
	mc.sum += l->hash;
}

static void touch_s(uint64_t what)
{
	mc.sum -= mc.s_hash;
	mc.s_hash = mc_mix(mc.s_hash, what);
	mc.sum += mc.s_hash;
}

static struct location *location_of(size_t granule)
{
	uint32_t *s = &shadow[granule];
	struct location *l;

	if (*s >> 16 == era)
		return &locations[*s & 0xffff];
	if (n_locations == LOCATIONS_MAX)
		tap_bail("an execution used more than the model can keep");
	*s = era << 16 | n_locations;
	l = &locations[n_locations++];
	memset(l, 0, sizeof(*l));
	l->hash = mc_mix(0x10c, granule);
	return l;
}

#define READ_BITS 0xffu
static inline bool several(unsigned bits)
{
	unsigned who = (bits | bits >> 8) & READ_BITS;

	return bits >> 8 && (who & (who - 1));
}

/*
 * Is a granule used by several threads, one of which writes?  The oracle and
 * setup count as nobody.  Learning it makes the search begin anew.
 */
static inline bool shared(size_t granule, bool writes)
{
	uint16_t *learnt = &mc.learnt[granule];
	unsigned had = *learnt;
	unsigned bits = had | 1u << (writes ? mc.self + 8 : mc.self);

	if (__builtin_expect(bits != had, 0)) {
		*learnt = (uint16_t)bits;
		if (!mc.track_all && several(bits) && !several(had))
			mc_leave(AGAIN);
	}
	return mc.track_all || several(bits);
}

static void step(void)
{
	if (++mc.steps > MC_STEPS_MAX)
		mc_fail(NULL, 0, "livelock: more than %u steps", MC_STEPS_MAX);
}

static int16_t tick(void)
{
	mc.events++;
	return ++mc.cur->view.hb[mc.self];
}

static _Noreturn void race(const char *what, void *at)
{
	char name[64];

	mc_fail(NULL, 0, "data race: %s of %s", what,
	        mc_place_name(at, name, sizeof(name)));
}

/*
 * Plain accesses.  They are no points where another thread could run: if
 * order matters, that is a race, whichever way it went.
 */
static void plain_granule(size_t granule, bool writes)
{
	struct location *l = location_of(granule);
	mc_clock *hb = &mc.cur->view.hb;
	mc_clock others = clock_max(l->plain_writes, l->writes);
	void *at = mc.base + granule * 8;

	if (writes)
		others = clock_max(others, clock_max(l->plain_reads, l->reads));
	if (clock_exceeds(others, *hb))
		race(writes ? "plain write" : "plain read", at);
	if (!writes) {
		l->plain_reads[mc.self] = tick();
		return;
	}
	l->plain_writes[mc.self] = tick();
	/* All older stores are hidden: memory has the only value. */
	l->newest[0] = l->newest[1] = NULL;
	touch_location(l, (uint64_t)mc.self << 16 | (uint16_t)(*hb)[mc.self]);
}

void mc_plain(void *at, size_t bytes, bool writes, void *pc)
{
	size_t first = granule_of(at);
	size_t last = granule_of((char *)at + bytes - 1);

	if (!mc.cur) {
		if (writes)
			mc_log_write(at, bytes);
		return;
	}
	mc_met[(char *)pc - __executable_start] |= 0x80;
	for (size_t g = first; g <= last; g++) {
		bool many = shared(g, writes);

		step();
		if (writes && (many || mc.scenario->all_writes))
			mc_point(true, false);
		if (writes)
			log_granule(g);
		if (many)
			plain_granule(g, writes);
	}
	if (mc.tracing)
		mc_trace(writes ? "writes" : "reads", pc, "%p %zu", at, bytes);
}

static inline uint64_t peek(const void *at, unsigned size)
{
	return size == 8 ? *(const uint64_t *)at : *(const uint32_t *)at;
}

static inline void poke(void *at, unsigned size, uint64_t value)
{
	log_granule(granule_of(at));
	if (size == 8)
		*(uint64_t *)at = value;
	else
		*(uint32_t *)at = (uint32_t)value;
}

static struct store *new_store(struct store *older, uint64_t value)
{
	struct store *s = &stores[n_stores++];

	if (n_stores == STORES_MAX)
		tap_bail("an execution stored more than the model can keep");
	s->older = older;
	s->value = value;
	s->sync = s->self = (struct view){0};
	s->readers = (mc_clock){NEVER, NEVER, NEVER, NEVER,
	                        NEVER, NEVER, NEVER, NEVER};
	s->s = 0;
	s->clock = 0;
	s->thread = 0;
	s->updates = false;
	return s;
}

/* The newest store; what was there before counts as one that all know. */
static struct store **newest_of(struct location *l, void *at, unsigned size)
{
	struct store **newest =
		&l->newest[size == 4 && ((uintptr_t)at & 4) != 0];

	if (!*newest)
		*newest = new_store(NULL, peek(at, size));
	return newest;
}

/* Everything that S has so far counts for an access in S. */
static mc_clock horizon(bool seq)
{
	mc_clock c = clock_max(mc.cur->view.hb, mc.cur->view.fence);

	return seq ? clock_max(c, mc.s_clock) : c;
}

/* Does a load have to know of a store, so that it can read no older one? */
static bool known(const struct store *s, mc_clock limit, bool seq)
{
	mc_clock readers = s->readers;

	if (s->clock <= limit[s->thread])
		return true;
	if (s->s && (seq || s->s <= mc.cur->view.s))
		return true;
	for (unsigned t = 0; t < mc.n_fibers; t++) {
		if (readers[t] <= limit[t])
			return true;
	}
	return false;
}

/* The stores that a load may read, the newest first. */
#define CANDIDATES 16u
static unsigned candidates(struct store *newest, bool seq,
                           struct store *list[CANDIDATES])
{
	mc_clock limit = horizon(seq);
	unsigned n = 0;

	for (struct store *s = newest; s && n < CANDIDATES; s = s->older) {
		list[n++] = s;
		if (known(s, limit, seq))
			break;
	}
	return n;
}

static unsigned pick_store(unsigned n)
{
	unsigned at;

	if (n < 2 || mc.stale >= mc.max_stale)
		return 0;
	at = mc_choose(PICK_STORE, n);
	mc.stale += at != 0;
	return at;
}

static void trace_atomic(const char *what, void *at, uint64_t value,
                         unsigned age, const struct store *from, void *pc)
{
	char name[64];

	if (!mc.tracing)
		return;
	if (from && age)
		mc_trace(what, pc,
		         "%s = %#" PRIx64 ", not the newest: %u "
		         "older, of %s",
		         mc_place_name(at, name, sizeof(name)), value, age,
		         from->clock ? mc_thread_name(from->thread)
		                     : "the beginning");
	else
		mc_trace(what, pc, "%s = %#" PRIx64,
		         mc_place_name(at, name, sizeof(name)), value);
}

static bool acquires(int order)
{
	return order == __ATOMIC_ACQUIRE || order == __ATOMIC_CONSUME ||
	       order >= __ATOMIC_ACQ_REL;
}

static bool releases(int order)
{
	return order == __ATOMIC_RELEASE || order >= __ATOMIC_ACQ_REL;
}

/* What follows from having read a store. */
static void learn(struct store *s, int order, int16_t now)
{
	struct mc_fiber *f = mc.cur;

	if (now < s->readers[mc.self])
		s->readers[mc.self] = now;
	view_join(acquires(order) ? &f->view : &f->pending, &s->sync);
	if (order == __ATOMIC_SEQ_CST) {
		mc.s_number++;
		if (!s->s)
			s->s = mc.s_number;
		touch_s((uint64_t)mc.self << 16 | (uint16_t)now);
	}
	mc_touch(mc.self, s->value * 0x10001 + ((uint64_t)s->thread << 48) +
	                          ((uint64_t)(uint16_t)s->clock << 32));
}

static uint64_t load(struct location *l, void *at, unsigned size, int order,
                     void *pc)
{
	struct store *list[CANDIDATES];
	bool seq = order == __ATOMIC_SEQ_CST;
	unsigned n = candidates(*newest_of(l, at, size), seq, list);
	unsigned which = pick_store(n);
	struct store *s = list[which];
	int16_t now = tick();

	l->reads[mc.self] = now;
	learn(s, order, now);
	trace_atomic("loads", at, s->value, which, s, pc);
	return s->value;
}

/*
 * A release sequence goes on with its own thread's stores, whatever their
 * order, and with updates by anybody (C11 5.1.2.4; newer C++ dropped the
 * first half).
 */
static void carry_on(struct store *s, const struct store *older)
{
	while (older && older->updates && older->thread != s->thread)
		older = older->older;
	if (older && older->clock && older->thread == s->thread)
		view_join(&s->sync, &older->self);
}

static void put(struct location *l, void *at, unsigned size, uint64_t value,
                int order, int16_t now, struct store *updated)
{
	struct store **newest = newest_of(l, at, size);
	struct store *s = new_store(*newest, value);
	struct mc_fiber *f = mc.cur;

	s->thread = mc.self;
	s->clock = now;
	s->sync = releases(order) ? f->view : f->given;
	carry_on(s, *newest);
	s->self = s->sync;
	if (updated) {
		s->updates = true;
		view_join(&s->sync, &updated->sync);
	}
	if (mc.scenario->atomic_copies)
		s->sync.fence = clock_max(s->sync.fence, mc.s_clock);
	if (order == __ATOMIC_SEQ_CST) {
		s->s = ++mc.s_number;
		touch_s((uint64_t)mc.self << 16 | (uint16_t)now);
	}
	l->writes[mc.self] = now;
	*newest = s;
	touch_location(l, (uint64_t)mc.self << 16 | (uint16_t)now |
	                          (uint64_t)((uintptr_t)at & 4) << 32);
	poke(at, size, value);
}

static uint64_t apply(enum access what, uint64_t had, uint64_t x)
{
	switch (what) {
	case A_ADD:
		return had + x;
	case A_SUB:
		return had - x;
	case A_AND:
		return had & x;
	case A_OR:
		return had | x;
	case A_XOR:
		return had ^ x;
	case A_NAND:
		return ~(had & x);
	default:
		return x;
	}
}

static const char *const names[] = {"loads",          "stores",
                                    "swaps in",       "adds to",
                                    "subtracts from", "ands into",
                                    "ors into",       "xors into",
                                    "nands into",     "compares and swaps"};

/* A read-modify-write reads the newest store; returns what it read. */
static uint64_t update(struct location *l, enum access what, void *at,
                       unsigned size, uint64_t operand, int order, void *pc)
{
	struct store *from = *newest_of(l, at, size);
	uint64_t value = apply(what, from->value, operand);
	int16_t now = tick();

	if (size == 4)
		value = (uint32_t)value;
	l->reads[mc.self] = now;
	learn(from, order, now);
	put(l, at, size, value, order, now, from);
	trace_atomic(names[what], at, value, 0, NULL, pc);
	return from->value;
}

/* One that fails is a load, and may read an older store that differs. */
static uint64_t compare(struct location *l, void *at, unsigned size,
                        uint64_t operand, uint64_t *expected, int order,
                        int fail_order, void *pc)
{
	struct store *list[CANDIDATES];
	bool seq = fail_order == __ATOMIC_SEQ_CST;
	struct store *newest = *newest_of(l, at, size);
	unsigned n = candidates(newest, seq, list), differ = 1, which;

	for (unsigned i = 1; i < n; i++) {
		if (list[i]->value != *expected)
			list[differ++] = list[i];
	}
	which = pick_store(differ);
	if (which == 0 && newest->value == *expected) {
		update(l, A_CAS, at, size, operand, order, pc);
		return 1;
	}
	*expected = list[which]->value;
	l->reads[mc.self] = tick();
	learn(list[which], fail_order, l->reads[mc.self]);
	trace_atomic("fails to swap", at, *expected, which, list[which], pc);
	return 0;
}

/* Where no other thread is: setup, the oracle, and what is ours alone. */
static uint64_t direct(enum access what, void *at, unsigned size,
                       uint64_t operand, uint64_t *expected)
{
	uint64_t had = peek(at, size);

	if (what == A_LOAD)
		return had;
	if (what == A_CAS) {
		if (had != *expected) {
			*expected = had;
			return 0;
		}
		had = 1;
	}
	if (mc.logging) {
		poke(at, size, apply(what, peek(at, size), operand));
	} else if (size == 8) {
		*(uint64_t *)at = apply(what, peek(at, size), operand);
	} else {
		*(uint32_t *)at =
			(uint32_t)apply(what, peek(at, size), operand);
	}
	return had;
}

uint64_t mc_atomic(enum access what, void *at, unsigned size, uint64_t operand,
                   uint64_t *expected, int order, int fail_order, void *pc)
{
	bool writes = what != A_LOAD;
	struct location *l;
	bool many;

	if (!mc.cur || !mc_inside(at))
		return direct(what, at, size, operand, expected);
	order = mc_order(order, what, pc);
	if (what == A_CAS && order < __ATOMIC_SEQ_CST &&
	    fail_order == __ATOMIC_SEQ_CST)
		fail_order = __ATOMIC_ACQUIRE;
	if (what == A_CAS && !acquires(order))
		fail_order = __ATOMIC_RELAXED;
	step();
	many = shared(granule_of(at), writes);
	if (many || (writes && mc.scenario->all_writes))
		mc_point(writes, many);
	if (!many)
		return direct(what, at, size, operand, expected);
	l = location_of(granule_of(at));
	if (clock_exceeds(writes ? clock_max(l->plain_writes, l->plain_reads)
	                         : l->plain_writes,
	                  mc.cur->view.hb))
		race(writes ? "atomic write" : "atomic read", at);
	switch (what) {
	case A_LOAD:
		return load(l, at, size, order, pc);
	case A_STORE:
		put(l, at, size, size == 4 ? (uint32_t)operand : operand, order,
		    tick(), NULL);
		trace_atomic("stores", at, operand, 0, NULL, pc);
		return 0;
	case A_CAS:
		return compare(l, at, size, operand, expected, order,
		               fail_order, pc);
	default:
		return update(l, what, at, size, operand, order, pc);
	}
}

/* A sequentially consistent fence in a thread, as membarrier makes it. */
void mc_fence_of(unsigned t)
{
	struct mc_fiber *f = &mc.fibers[t];

	view_join(&f->view, &f->pending);
	f->view.fence = clock_max(f->view.fence, mc.s_clock);
	f->view.s = ++mc.s_number;
	mc.s_clock = clock_max(mc.s_clock, f->view.hb);
	f->given = f->view;
	touch_s((uint64_t)t << 16 | (uint16_t)f->view.hb[t]);
}

#define A_FENCE 10u
void mc_fence(int order, void *pc)
{
	if (!mc.cur)
		return;
	order = mc_order(order, A_FENCE, pc);
	step();
	if (order == __ATOMIC_SEQ_CST) {
		mc_point(false, true);
		tick();
		mc_fence_of(mc.self);
	} else {
		if (acquires(order))
			view_join(&mc.cur->view, &mc.cur->pending);
		if (releases(order))
			mc.cur->given = mc.cur->view;
	}
	if (mc.tracing)
		mc_trace("fences", pc, "order %d", order);
}

/* What a system call finds in a word. */
uint64_t mc_newest(void *at, unsigned size)
{
	return peek(at, size);
}
