/* SPDX-License-Identifier: MIT */
/* Copyright the wbcshm authors */

/*
 * A small segment with something of everything in it, the same in every run,
 * and inputs that are lists of changes to it:
 *
 *   0   flags: 1 seal the header again, 2 place its regions anew before;
 *       the others choose what looks at it
 *   1   changes of IMAGE_EDIT_BYTES each:
 *       how u8 | region u8 | index u16 | at u16 | value u64
 *
 * index counts the elements of a region, at the bytes of one; both wrap, so
 * that every input means something.
 */
#ifndef FUZZ_IMAGE_H
#define FUZZ_IMAGE_H

#include <limits.h>

#include "fuzz.h"
#include "shm/segment.h"

#define IMAGE_EDIT_BYTES 14u
#define IMAGE_EDITS_MAX 64u

enum image_how {
	EDIT_SET64,
	EDIT_SET32,
	EDIT_SET16,
	EDIT_SET8,
	EDIT_XOR64,
	EDIT_ADD64,
	EDIT_REF, /* name an entry or a node, as a word of the index does */
	EDIT_FILL,
	EDIT_HOWS
};

enum image_region {
	REGION_HEADER,
	REGION_CONTROL,
	REGION_PROCS,
	REGION_THREADS,
	REGION_TABLES,
	REGION_SUMMARY,
	REGION_WORDS,
	REGION_ROOT, /* its words in use */
	REGION_METAS,
	REGION_LANES,
	REGION_EXTENTS, /* blocks of 64 bytes */
	REGION_ENTRIES, /* in the index */
	REGION_NODES,
	REGION_SPECS,
	REGION_COUNT
};

/* Elements at a distance, or listed one by one. */
struct image_elements {
	uint64_t at;
	uint64_t stride;
	uint32_t n;
	uint64_t *list;
};

struct image {
	char dir[PATH_MAX / 2];
	char path[PATH_MAX];
	struct wbci_segment s; /* writable, holds no slot */
	unsigned char *pristine;
	struct image_elements region[REGION_COUNT];
};

/* Tables of the segment, in their order; NULL at the end. */
extern const char *const image_specs[];

void image_make(struct image *im);
void image_change(struct image *im, const uint8_t *data, size_t bytes);
void image_restore(struct image *im);

/* Another change, one less, or one that is changed. */
size_t image_mutate(struct dice *d, uint8_t *data, size_t bytes, size_t room);

#endif
