/* SPDX-License-Identifier: MIT */
/* Copyright the wbcshm authors */

/*
 * A segment to measure in.  Its file has no name any more while it is used,
 * so nothing is left whatever happens.  No flusher serves it.
 */
#ifndef BENCH_STORE_H
#define BENCH_STORE_H

#include <stdint.h>

#include "api/wbcshm.h"
#include "shm/segment.h"

struct bench_store {
	struct wbc *cache;
	struct wbc_table *table;  /* k text key, n counter */
	unsigned n;               /* number of the column n */
	struct wbci_segment view; /* read-only, for the proof */
	char message[256];
};

/**
 * bench_store_open() - make a segment with a number of keys in it
 * @s:    receives it; undone by bench_store_close()
 * @keys: key 0 .. @keys - 1 are there, each with a count of 1
 *
 * Return: 0, or a negative error with words in s->message.
 */
int bench_store_open(struct bench_store *s, uint32_t keys);
void bench_store_close(struct bench_store *s);

/* The sum of all counters, journaled or not. */
int bench_store_sum(const struct bench_store *s, uint64_t *sum);

/* Bytes that each key takes in the segment's pages. */
uint64_t bench_store_entry_bytes(void);

#endif
