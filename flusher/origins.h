/* SPDX-License-Identifier: MIT */
/* Copyright the wbcshm authors */

/*
 * Origins: what the database has in a row, told to the segment.
 *
 * The collector's thread alone stores them, in the order of the sink's
 * answers, so no reader goes back.
 */
#ifndef WBCI_ORIGINS_H
#define WBCI_ORIGINS_H

#include "state.h"

/* A piece was applied, or refused: its rows are not unapplied any more, and
 * the segment learns what the database has in them. */
void wbci_origins_applied(struct wbci_flusher *f, struct wbci_queue *q,
                          const struct wbci_work *w);

/* Rows were read while the ledger stood at q->record.done.  0, or an error that
 * whoever wanted them is told: -ENOSPC, no room for their columns; -ENOMEM;
 * WBC_E_CORRUPT. */
int wbci_origins_read(struct wbci_flusher *f, struct wbci_queue *q,
                       const struct wbci_work *w);

#endif
