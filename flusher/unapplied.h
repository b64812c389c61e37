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
 * Of counted columns the map has the sums.  Of plain ones it has no values,
 * which may be large, but where in the journal the newest one stands: a
 * reference for each batch or piece that has the newest of some column.
 *
 * A table of slots, open addressing, and rows in memory of their own sizes
 * that is used again.  One thread at a time.  All that add return 0 or
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

/* Memory that it takes. */
uint64_t wbci_unapplied_bytes(const struct wbci_unapplied *u);

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

/**
 * wbci_unapplied_merge() - a table's last batches became one
 * @rs: what they hold, just written as the batch of the last of them
 */
int wbci_unapplied_merge(struct wbci_unapplied *u, uint64_t table,
                         const struct wbci_rowset *rs);

/* Where the newest value of some columns stands. */
struct wbci_newest {
	uint64_t columns; /* bit i: column i */
	bool planned;     /* in a piece, else in a batch */
	struct wbci_blob_place place;
};

/**
 * wbci_unapplied_find() - what of a row is unapplied, in batches and pieces
 * @rs:     any set of the table and specification
 * @left:   receives, per cell, the sum of what is unapplied
 * @newest: receives, for each plain column with an unapplied value, where the
 *          newest one is; WBC_COLUMNS_MAX
 *
 * As of the last piece that wbci_unapplied_apply() was told of.
 *
 * Return: how many @newest has.
 */
unsigned wbci_unapplied_find(const struct wbci_unapplied *u, uint64_t table,
                             const struct wbci_rowset *rs,
                             const unsigned char *key, uint32_t key_len,
                             uint64_t *left, struct wbci_newest *newest);


/* Forget what waits of a table; its batches are counted anew afterwards. */
void wbci_unapplied_forget(struct wbci_unapplied *u, uint64_t table);

#endif
