/* SPDX-License-Identifier: MIT */
/* Copyright the wbcshm authors */

/*
 * What a survivor finds: copies of a segment in which somebody has just
 * died, their recovery, their audit, and what they say.
 *
 * A copy is another file, so nobody holds its locks: all that had a slot are
 * dead there, and the caller is its flusher.
 */
#ifndef CRASH_FACTS_H
#define CRASH_FACTS_H

#include "crash/ops.h"
#include "crash/states.h"
#include "shm/client.h"

struct facts {
	int64_t n[FACTS];
};

/* What went wrong, in words; empty: nothing. */
struct wrong {
	char text[512];
};

void wrong_say(struct wrong *w, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

/* Copy a segment's bytes, only those that are there. */
void copy_take(const struct place *copy, const struct wbci_segment *s);

/* Reap the dead and sweep what they held: all that a flusher does for them.
 * Return: blocks that were lost, and are no more. */
int64_t copy_recover(const struct place *copy, struct wrong *w);

/* What it says.  It need not be recovered. */
void copy_facts(const struct place *copy, const char *key, struct facts *f,
                struct wrong *w);

/* The audit: no fault, and no block lost once it @recovered. */
void copy_audit(const struct place *copy, bool recovered, struct wrong *w);

/* A round of a flusher that lived on reads all that is not journaled. */
void copy_collect(const struct place *copy, struct wrong *w);

/* Do an operation in it, whole. */
void copy_perform(const struct place *copy, const struct op *op,
                  const char *key, struct wrong *w);

#endif
