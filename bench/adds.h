/* SPDX-License-Identifier: MIT */
/* Copyright the wbcshm authors */

/* Ways of adding 1, often: the library's, and the floors below them. */
#ifndef BENCH_ADDS_H
#define BENCH_ADDS_H

#include <stddef.h>
#include <stdint.h>

#include "harness.h"
#include "shm/order.h"
#include "store.h"
#include "walk.h"

/* How the processes share what they add to. */
enum bench_sharing {
	BENCH_OWN,   /* each has its counter, or its part of the keys */
	BENCH_SHARED /* all have the same */
};

struct bench_adds {
	struct bench_store store;
	enum bench_sharing sharing;
	uint32_t keys; /* 0: counter handles only */

	/* per process */
	struct wbc_counter *counter[BENCH_PROCS_MAX];
	struct bench_walk walk[BENCH_PROCS_MAX];

	/*
	 * Plain shared memory: first a line per process for the bare floor,
	 * then as many bytes for each key as its entry takes, its word first
	 * and the key 32 bytes on; then the bare table's places: 2^k numbers
	 * of keys + 1, at least twice as many as keys.
	 */
	unsigned char *plain;
	size_t plain_bytes;
	uint64_t entry_bytes;
	uint32_t *places;
	uint64_t places_mask;
};

/**
 * bench_adds_open() - make a segment, and plain memory of the same size
 * @a:     receives all of it; undone by bench_adds_close()
 * @procs: how many processes will add
 * @keys:  how many keys, each there already; 0 for a counter handle each
 * @steps: of the walk of each process over the keys
 * @theta: see bench_walk_make()
 *
 * Return: 0, or a negative error with words in a->store.message.
 */
int bench_adds_open(struct bench_adds *a, enum bench_sharing sharing,
                    unsigned procs, uint32_t keys, uint64_t steps,
                    double theta);
void bench_adds_close(struct bench_adds *a);

/* Loops of a struct bench_adds, and what they add to. */
bench_loop bench_xadd;        /* one word, again and again */
bench_loop bench_xadd_walk;   /* the same, reading the walk */
bench_loop bench_xadd_spread; /* a word in the place of each key's entry */
bench_loop bench_xadd_turns;  /* the same, each after the one before */
bench_loop bench_xadd_table;  /* found by a hash table with nothing else */
bench_loop bench_add_counter; /* wbc_counter_add() */
bench_loop bench_add_key;     /* wbc_add_int64() by key */
bench_sum bench_sum_words;
bench_sum bench_sum_spread;
bench_sum bench_sum_segment;

#endif
