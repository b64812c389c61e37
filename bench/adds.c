/* SPDX-License-Identifier: MIT */
/* Copyright the wbcshm authors */

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "adds.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* A result that is used, so that the instruction is an xadd, not an add. */
#define USE(value) __asm__ volatile("" : : "r"(value))

/* Two lines apart: neighbours are fetched in pairs. */
#define WORD_BYTES 128u
#define WORDS_BYTES 4096u
_Static_assert(BENCH_PROCS_MAX *WORD_BYTES <= WORDS_BYTES, "a word each");

#define KEY_AT 32u

static size_t places_offset(const struct bench_adds *a)
{
	return WORDS_BYTES + a->keys * a->entry_bytes;
}

static unsigned char *entry_of(const struct bench_adds *a, uint64_t index)
{
	return a->plain + WORDS_BYTES + index * a->entry_bytes;
}

static uint64_t hash_of(const struct bench_adds *a, const char *key)
{
	return XXH3_64bits_withSeed(key, BENCH_KEY_BYTES, a->entry_bytes);
}

/* The bare table: a number in the first empty place after its hash's. */
static void fill_table(struct bench_adds *a)
{
	a->places = (uint32_t *)(void *)(a->plain + places_offset(a));
	for (uint32_t i = 0; i < a->keys; i++) {
		char key[BENCH_KEY_BYTES];
		uint64_t at;

		bench_key(i, key);
		memcpy(entry_of(a, i) + KEY_AT, key, sizeof(key));
		at = hash_of(a, key) & a->places_mask;
		while (a->places[at])
			at = (at + 1) & a->places_mask;
		a->places[at] = i + 1;
	}
}

/* From the file system that segments are on, so with the same pages. */
static int map_plain(struct bench_adds *a)
{
	char name[] = "/dev/shm/wbc-bench-XXXXXX";
	int rc = 0, fd = mkostemp(name, O_CLOEXEC);

	if (fd < 0)
		return -errno;
	unlink(name);
	a->plain_bytes = places_offset(a) +
	                 (a->places_mask + 1) * sizeof(*a->places);
	/* Allocated now: a full file system is an error, not a signal. */
	rc = -posix_fallocate(fd, 0, (off_t)a->plain_bytes);
	if (!rc) {
		a->plain = mmap(NULL, a->plain_bytes, PROT_READ | PROT_WRITE,
		                MAP_SHARED, fd, 0);
		if (a->plain == MAP_FAILED) {
			a->plain = NULL;
			rc = -errno;
		}
	}
	close(fd);
	if (!rc)
		fill_table(a);
	return rc;
}

static int open_counters(struct bench_adds *a, unsigned procs)
{
	unsigned i;
	int rc = 0;

	for (i = 0; !rc && i < procs; i++) {
		char text[BENCH_KEY_BYTES];
		struct wbc_value key;

		bench_key(a->sharing == BENCH_OWN ? i : 0, text);
		key = wbc_text(NULL, text, sizeof(text));
		rc = wbc_counter_open(a->store.table, &key, 1, a->store.n,
		                      &a->counter[i]);
	}
	return rc;
}

static int make_walks(struct bench_adds *a, unsigned procs, uint64_t steps,
                      double theta)
{
	uint32_t keys = a->keys, first = 0;
	unsigned i;
	int rc = 0;

	for (i = 0; !rc && i < procs; i++) {
		if (a->sharing == BENCH_OWN) {
			keys = a->keys / procs;
			first = i * keys;
		}
		rc = bench_walk_make(&a->walk[i], steps, first, keys, theta,
		                     i + 1);
	}
	return rc;
}

int bench_adds_open(struct bench_adds *a, enum bench_sharing sharing,
                    unsigned procs, uint32_t keys, uint64_t steps, double theta)
{
	int rc;

	memset(a, 0, sizeof(*a));
	a->sharing = sharing;
	a->keys = keys;
	a->entry_bytes = bench_store_entry_bytes();
	a->places_mask = 1;
	while (a->places_mask + 1 < 2 * (uint64_t)keys)
		a->places_mask = 2 * a->places_mask + 1;
	rc = bench_store_open(&a->store, keys ? keys : procs);
	if (rc)
		return rc;
	if (keys)
		rc = make_walks(a, procs, steps, theta);
	else
		rc = open_counters(a, procs);
	if (!rc)
		rc = map_plain(a);
	if (rc)
		bench_adds_close(a);
	return rc;
}

void bench_adds_close(struct bench_adds *a)
{
	unsigned i;

	for (i = 0; i < BENCH_PROCS_MAX; i++) {
		wbc_counter_close(&a->counter[i]);
		bench_walk_free(&a->walk[i]);
	}
	if (a->plain)
		munmap(a->plain, a->plain_bytes);
	a->plain = NULL;
	bench_store_close(&a->store);
}

/* The word of a process; all have the first if they share one counter. */
static order_u64 *own_word(struct bench_adds *a, unsigned proc)
{
	bool one = a->sharing == BENCH_SHARED && a->keys <= 1;

	return (order_u64 *)(void *)(a->plain + (one ? 0 : proc) * WORD_BYTES);
}

static order_u64 *spread_word(struct bench_adds *a, uint64_t index)
{
	return (order_u64 *)(void *)entry_of(a, index);
}

int bench_xadd(void *arg, unsigned proc, uint64_t n)
{
	order_u64 *word = own_word(arg, proc);

	while (n-- > 0)
		USE(order_add_relaxed(word, 1));
	return 0;
}

/* The steps of a walk, up to @n of them, and from its start again. */
#define FOR_STEPS(step, walk, n)                                               \
	for (const struct bench_step *step = (walk)->step,                     \
	                             *end = step + (walk)->n;                  \
	     (n)-- > 0; step = step + 1 == end ? (walk)->step : step + 1)

int bench_xadd_walk(void *arg, unsigned proc, uint64_t n)
{
	struct bench_adds *a = arg;
	const struct bench_walk *w = &a->walk[proc];
	order_u64 *word = own_word(a, proc);

	FOR_STEPS(step, w, n)
	{
		USE(step->index);
		USE(order_add_relaxed(word, 1));
	}
	return 0;
}

int bench_xadd_spread(void *arg, unsigned proc, uint64_t n)
{
	struct bench_adds *a = arg;
	const struct bench_walk *w = &a->walk[proc];

	FOR_STEPS(step, w, n)
	USE(order_add_relaxed(spread_word(a, step->index), 1));
	return 0;
}

int bench_xadd_turns(void *arg, unsigned proc, uint64_t n)
{
	struct bench_adds *a = arg;
	const struct bench_walk *w = &a->walk[proc];
	uint64_t old = 0;

	/* No sum has its top bit set, but the processor cannot know. */
	FOR_STEPS(step, w, n)
	old = order_add_relaxed(spread_word(a, step->index + (old >> 63)), 1);
	USE(old);
	return 0;
}

int bench_xadd_table(void *arg, unsigned proc, uint64_t n)
{
	struct bench_adds *a = arg;
	const struct bench_walk *w = &a->walk[proc];

	FOR_STEPS(step, w, n)
	{
		uint64_t at = hash_of(a, step->key) & a->places_mask;
		unsigned char *entry;

		do {
			if (!a->places[at])
				return -ENOENT;
			entry = entry_of(a, a->places[at] - 1);
			at = (at + 1) & a->places_mask;
		} while (memcmp(entry + KEY_AT, step->key, BENCH_KEY_BYTES));
		USE(order_add_relaxed((order_u64 *)(void *)entry, 1));
	}
	return 0;
}

int bench_add_counter(void *arg, unsigned proc, uint64_t n)
{
	struct bench_adds *a = arg;
	struct wbc_counter *counter = a->counter[proc];
	int rc = 0;

	while (!rc && n-- > 0)
		rc = wbc_counter_add(counter, 1);
	return rc;
}

int bench_add_key(void *arg, unsigned proc, uint64_t n)
{
	struct bench_adds *a = arg;
	const struct bench_walk *w = &a->walk[proc];

	FOR_STEPS(step, w, n)
	{
		struct wbc_value key =
			wbc_text(NULL, step->key, BENCH_KEY_BYTES);
		int rc = wbc_add_int64(a->store.table, &key, 1, a->store.n, 1);

		if (rc)
			return rc;
	}
	return 0;
}

int bench_sum_words(void *arg, uint64_t *sum)
{
	struct bench_adds *a = arg;
	uint64_t at;

	*sum = 0;
	for (at = 0; at < WORDS_BYTES; at += WORD_BYTES)
		*sum += order_load((order_u64 *)(void *)(a->plain + at));
	return 0;
}

int bench_sum_spread(void *arg, uint64_t *sum)
{
	struct bench_adds *a = arg;
	uint64_t i;

	*sum = 0;
	for (i = 0; i < a->keys; i++)
		*sum += order_load(spread_word(a, i));
	return 0;
}

int bench_sum_segment(void *arg, uint64_t *sum)
{
	struct bench_adds *a = arg;

	return bench_store_sum(&a->store, sum);
}
