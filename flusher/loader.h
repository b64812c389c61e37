/* SPDX-License-Identifier: MIT */
/* Copyright the wbcshm authors */

/*
 * The loader: rows that threads want to know are read from the database.
 *
 * The collector looks at what the thread slots want, and sends one work a
 * table to its sink, which reads the rows and the ledger's position in one
 * snapshot.  Answers come in the order of pieces; one whose position is not
 * where the collector stands is of a piece whose fate is not known yet, and is
 * asked for again when it is.
 *
 * Nothing here is lasting: a new flusher looks at all slots.
 */
#ifndef WBCI_LOADER_H
#define WBCI_LOADER_H

#include <stdbool.h>
#include <stdint.h>

struct wbci_flusher;
struct wbci_queue;
struct wbci_work;

struct wbci_loader {
	uint64_t seen;       /* wants that were acted upon */
	bool again;          /* look at the slots whether or not there are */
	uint64_t *in_flight; /* by thread slot: what is being read, or 0 */
	uint64_t rows;       /* read so far */
};

/* 0 or -ENOMEM; the first look is at all slots. */
int wbci_loader_begin(struct wbci_flusher *f);
void wbci_loader_end(struct wbci_flusher *f);

/* Does anybody want something that was not seen yet? */
bool wbci_loader_wanted(const struct wbci_flusher *f);

/* Send to the sinks what is wanted. */
void wbci_loader_step(struct wbci_flusher *f);

/* Take an answer: store it, tell who waits, free nothing. */
void wbci_loader_take(struct wbci_flusher *f, struct wbci_queue *q,
                      const struct wbci_work *w);

#endif
