/* SPDX-License-Identifier: MIT */
/* Copyright the wbcshm authors */

/*
 * The audit behind `wbc-shmdump check`, and behind the tests that kill.
 *
 * One pass looks at everything once and notes what is wrong.  On a segment
 * at rest that is the answer.  On one in use a block may move between two
 * looks at it, so passes are repeated, and a fault is what all of them found
 * at the same place: change does not explain it.
 */
#ifndef WBC_CHECK_H
#define WBC_CHECK_H

#include "view.h"

#define CHECK_FAULTS_MAX 1000u

/* A fault is named by kind and where; the words may differ between passes. */
struct check_fault {
	const char *kind; /* one of ours: compared by its address */
	uint64_t where;   /* offset of a block, or number of a slot */
	char text[232];
};

extern const char check_control[], check_slot[], check_lane[], check_table[],
	check_page[], check_block[], check_index[], check_entry[];

/* What a block can be, each block exactly one of them. */
enum check_use {
	CHECK_USED, /* reached from the index or a table */
	CHECK_FREE,
	CHECK_LIMBO, /* retired; free after a grace period */
	CHECK_HELD,  /* allocated in a section that is open */
	CHECK_LOST,  /* allocated by one that died in its section */
	CHECK_USES
};

struct check_pass {
	const struct wbci_segment *s;
	struct view_tables tables;
	uint32_t pages;  /* that are committed */
	uint64_t *alloc; /* bitmaps as they were before the walk */
	uint64_t *reached;
	uint64_t *lost; /* allocated, and neither reached nor explained */
	uint64_t blocks[CHECK_USES];
	uint64_t bytes[CHECK_USES];
	uint64_t keys;
	uint64_t dead_procs;
	struct check_fault *faults; /* CHECK_FAULTS_MAX */
	size_t n_faults;
	uint64_t more_faults;
};

/* The audit of a segment; the last pass has the counts. */
struct check {
	const struct wbci_segment *s;
	uint32_t pages; /* committed when it began */
	bool live;      /* somebody is attached */
	bool died;      /* so did somebody, or his blocks wait for a sweep */
	unsigned passes;
	struct check_pass pass;     /* the last */
	struct check_fault *faults; /* that all passes found */
	size_t n_faults;
	uint64_t *lost; /* blocks that are lost in all passes */
};

/**
 * check_run() - audit a segment
 * @c: receives what was found; undone by check_free(), whatever is returned
 * @s: writable or not; nothing is written
 *
 * One in which nobody has a slot is looked at once.  On one in use, what a
 * first pass suspects is looked at again, with pauses in between.
 *
 * Return: 0 whatever was found, or -ENOMEM.
 */
int check_run(struct check *c, const struct wbci_segment *s);
void check_free(struct check *c);

/* A bitmap of the pass covers all blocks of all its pages. */
static inline uint64_t *check_bits(uint64_t *bitmap, uint32_t page)
{
	return bitmap + (size_t)page * WBCI_BITMAP_WORDS;
}

void check_say(struct check_pass *p, const char *kind, uint64_t where,
               const char *format, ...) __attribute__((format(printf, 4, 5)));

/**
 * check_reach() - something names a block
 * @kind:  of the page it must be in
 * @bytes: it must have
 * @who:   "entry" or whatever it is, for the words
 *
 * Return: true if it is there and was not named before.
 */
bool check_reach(struct check_pass *p, uint64_t offset, enum page_kind kind,
                 uint64_t bytes, const char *who);

/* Of one pass, in this order. */
void check_slots(struct check_pass *p);
void check_lanes(struct check_pass *p);
void check_tables(struct check_pass *p);
int check_walk(struct check_pass *p);
void check_blocks(struct check_pass *p);

#endif
