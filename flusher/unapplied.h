/* SPDX-License-Identifier: MIT */
/* Copyright the wbcshm authors */

/*
 * What is journaled and not applied, per row: in batches ("waiting"), and in
 * the table's outstanding pieces ("planned").
 *
 * A row is a number for its table and specification, and its key.  What a
 * reader of the segment must see on top of the database's value as of piece p
 * is what is unapplied after p, plus what is not journaled.
 *
 * One thread at a time, registered with liburcu.  All that add return 0 or
 * -ENOMEM, and then the map is incomplete.
 */
#ifndef WBCI_UNAPPLIED_H
#define WBCI_UNAPPLIED_H

#include <stdint.h>

#include "rowset.h"

struct wbci_unapplied;

int wbci_unapplied_new(struct wbci_unapplied **u);
void wbci_unapplied_free(struct wbci_unapplied **u);

/* Rows in the map. */
uint64_t wbci_unapplied_rows(const struct wbci_unapplied *u);

/* A batch holds these rows of a table, too; @waiting goes up by those that no
 * batch held before. */
int wbci_unapplied_wait(struct wbci_unapplied *u, uint64_t table,
                        const struct wbci_rowset *rs, uint64_t *waiting);

/**
 * wbci_unapplied_plan() - all waiting rows of a table went into pieces
 * @rs: the pieces' content, sorted
 */
int wbci_unapplied_plan(struct wbci_unapplied *u, uint64_t table,
                        const struct wbci_rowset *rs);

/* An outstanding piece, found at the start, holds these rows. */
int wbci_unapplied_planned(struct wbci_unapplied *u, uint64_t table,
                           const struct wbci_rowset *rs);

/**
 * wbci_unapplied_apply() - a piece with this row is applied or refused
 * @left: receives, per cell, what is still unapplied
 */
void wbci_unapplied_apply(struct wbci_unapplied *u, uint64_t table,
                          const struct wbci_rowset *rs,
                          const struct wbci_row *row, uint64_t *left);

/* What of a row is unapplied, per cell, in batches and in pieces. */
void wbci_unapplied_left(struct wbci_unapplied *u, uint64_t table,
                         const struct wbci_rowset *rs,
                         const struct wbci_row *row, uint64_t *left);

/* Forget what waits of a table; its batches are counted anew afterwards. */
void wbci_unapplied_forget(struct wbci_unapplied *u, uint64_t table);

/* Give back what was removed since the last call. */
void wbci_unapplied_sweep(struct wbci_unapplied *u);

#endif
