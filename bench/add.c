/* SPDX-License-Identifier: MIT */
/* Copyright the wbcshm authors */

/*
 * What does an add cost, through a handle and by key, beside the bare atomic
 * instruction that it cannot do without?
 *
 * Two floors.  "bare": lock-xadd on one word of shared memory, in the cache.
 * "spread": lock-xadd on a word in the place of each key's entry, so with
 * the cache misses and TLB misses that any table of this size has.  With a
 * million keys the second is the fair one.  A processor that does not stop at
 * a lock prefix overlaps the misses of many of these, which it cannot do with
 * whole calls; "in turn" shows one miss at a time.  The bare hash table does
 * what any table must, and nothing else: hash, find, compare, lock-xadd; no
 * call, no growth, no removal, nobody else.  Keys come from a sequence
 * made beforehand, which the floors read as well.
 *
 * Two processes each have a processor.  "own": they add to different
 * counters, or to different halves of the keys; "shared": to the same.
 */
#include <stdio.h>
#include <string.h>

#include "adds.h"
#include "bench.h"
#include "report.h"

#define THETA 0.99

static const struct question {
	const char *title; /* after the processes; %u stands for the keys */
	unsigned procs;
	uint32_t keys; /* 0: counter handles */
	bool zipf;
	enum bench_sharing sharing;
	bool spread_is_floor;
} questions[] = {
	{"counter handle", .procs = 1},
	{"by key, %u key", .procs = 1, .keys = 1},
	{"by key, %u keys, uniform", .procs = 1, .keys = 10000},
	{"by key, %u keys, zipf 0.99", .procs = 1, .keys = 10000, .zipf = true},
	{"by key, %u keys, uniform", .procs = 1, .keys = 1000000,
         .spread_is_floor = true},
	{"by key, %u keys, zipf 0.99", .procs = 1, .keys = 1000000,
         .zipf = true, .spread_is_floor = true},
	{"counter handle, own", .procs = 2},
	{"counter handle, shared", .procs = 2, .sharing = BENCH_SHARED},
	{"by key, %u key, shared", .procs = 2, .keys = 1,
         .sharing = BENCH_SHARED},
	{"by key, %u keys, uniform, own", .procs = 2, .keys = 10000},
	{"by key, %u keys, zipf 0.99, shared", .procs = 2, .keys = 10000,
         .zipf = true, .sharing = BENCH_SHARED, .spread_is_floor = true},
	{"by key, %u keys, uniform, own", .procs = 2, .keys = 1000000,
         .spread_is_floor = true},
	{"by key, %u keys, zipf 0.99, shared", .procs = 2, .keys = 1000000,
         .zipf = true, .sharing = BENCH_SHARED, .spread_is_floor = true},
};

static uint32_t keys_of(const struct question *q, bool quick)
{
	if (!quick)
		return q->keys;
	return q->keys > 10000 ? 10000 : q->keys > 1000 ? 1000 : q->keys;
}

static void make_title(const struct question *q, uint32_t keys, char *title,
                       size_t size)
{
	const char *procs = q->procs == 1 ? "1 process" : "2 processes";
	const char *number = strstr(q->title, "%u");

	if (number)
		snprintf(title, size, "%s, %.*s%u%s", procs,
		         (int)(number - q->title), q->title, keys, number + 2);
	else
		snprintf(title, size, "%s, %s", procs, q->title);
}

static uint64_t operations(uint32_t keys, bool quick)
{
	uint64_t n = keys == 0 ? 10000000 : keys <= 10000 ? 5000000 : 2000000;

	return quick ? n / 100 : n;
}

/* So many that a walk over many keys meets nearly all of them. */
static uint64_t steps(uint32_t keys)
{
	return keys < 32768 ? 65536 : (uint64_t)keys * 2;
}

static void choose_arms(struct bench_group *g, const struct question *q)
{
	static const struct bench_arm counter[] = {
		{"bare lock-xadd", bench_xadd, bench_sum_words},
		{"wbc_counter_add", bench_add_counter, bench_sum_segment},
	};
	static const struct bench_arm key[] = {
		{"bare lock-xadd", bench_xadd_walk, bench_sum_words},
		{"spread lock-xadd", bench_xadd_spread, bench_sum_spread},
		{"spread lock-xadd, in turn", bench_xadd_turns,
	         bench_sum_spread},
		{"bare hash table, lock-xadd", bench_xadd_table,
	         bench_sum_spread},
		{"wbc_add_int64 by key", bench_add_key, bench_sum_segment},
	};

	if (q->keys == 0) {
		g->n_arms = 2;
		memcpy(g->arms, counter, sizeof(counter));
	} else {
		g->n_arms = 5;
		memcpy(g->arms, key, sizeof(key));
		g->floor = q->spread_is_floor ? 1 : 0;
	}
}

static int answer(const struct bench_options *o, const struct question *q,
                  uint32_t keys, const char *title)
{
	struct bench_group g = {.title = title, .n_procs = q->procs};
	static struct bench_times times;
	struct bench_adds adds;
	int rc;

	g.n_runs = o->runs;
	g.n = operations(q->keys, o->quick);
	g.arg = &adds;
	choose_arms(&g, q);
	rc = bench_adds_open(&adds, q->sharing, q->procs, keys, steps(keys),
	                     q->zipf ? THETA : 0);
	if (rc) {
		report_skipped(title, adds.store.message[0] ? adds.store.message
		                                            : wbc_strerror(rc));
		return 1;
	}
	rc = bench_measure(&g, &times);
	if (!rc)
		report_group(&g, &times);
	bench_adds_close(&adds);
	return rc;
}

int bench_add(const struct bench_options *o)
{
	unsigned i, cpus = bench_cpus();
	int failed = 0;

	if (o->n_args)
		return bench_usage("add takes no argument: %s", o->args[0]);
	report_machine();
	report_heads(o->runs,
	             "bare    lock-xadd on one word of shared memory\n"
	             "spread  lock-xadd on a word in the place of each key's "
	             "entry; in turn: each\n"
	             "        one waits for the one before it\n"
	             "table   hash, find, compare and add, in one loop and "
	             "with nothing else\n");
	for (i = 0; i < sizeof(questions) / sizeof(questions[0]); i++) {
		const struct question *q = &questions[i];
		uint32_t keys = keys_of(q, o->quick);
		char title[80];

		make_title(q, keys, title, sizeof(title));
		if (o->only && !strstr(title, o->only))
			continue;
		if (q->procs > cpus)
			report_skipped(title, "too few processors");
		else
			failed |= answer(o, q, keys, title);
	}
	return failed;
}
