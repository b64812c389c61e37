/* SPDX-License-Identifier: MIT */
/* Copyright the wbcshm authors */

/*
 * SIGBUS: a mapped file has no page where somebody reads or writes.  Whoever
 * may write to the segment can cut its file short under us; nobody can keep
 * that from happening.
 *
 * The program ends there and then, with words in its log and the exit status
 * for what is damaged.  That is sound because it may end at any instruction:
 * an update of the journal that is not committed is none, a transaction of
 * the database likewise, and cursors are redone.  To go on with zeros in place
 * of the missing page would be a guess.
 *
 * For the program alone; a library has no business with signals.
 */
#ifndef WBCI_BUS_H
#define WBCI_BUS_H

#include "../shm/segment.h"

/* Once, before there are threads.  @status: what the program ends with. */
void wbci_bus_catch(int status);

/* Which addresses are the segment's, for the words; it stays mapped. */
void wbci_bus_segment(const struct wbci_segment *s);

#endif
