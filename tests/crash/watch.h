/* SPDX-License-Identifier: MIT */
/* Copyright the wbcshm authors */

/*
 * Did the last instruction change the segment?
 *
 * The places that clients write are compared with how they were: the live
 * words, slots, the index, bitmaps and blocks of pages in use, lanes that have
 * memory.  That is some ten kilobytes of a small segment.  Whether anything
 * else changed is looked at once, at the end.
 */
#ifndef CRASH_WATCH_H
#define CRASH_WATCH_H

#include "shm/segment.h"

#define WATCH_RANGES 160

struct watch {
	const struct wbci_segment *s;
	unsigned char *shadow;
	struct watch_range {
		uint64_t from, bytes;
	} range[WATCH_RANGES];
	unsigned n;
};

void watch_begin(struct watch *w, const struct wbci_segment *s);
void watch_end(struct watch *w);

/* Since the last call that said so. */
bool watch_changed(struct watch *w);

/* All of the segment that is there, compared with what was seen. */
bool watch_missed(const struct watch *w);

#endif
