/* SPDX-License-Identifier: MIT */
/* Copyright the wbcshm authors */

/*
 * What the database says of a row's plain columns, put into its entry.
 *
 * The collector's thread alone.  Like any update it is one compare-and-swap of
 * the row's root; it leaves the row's version as it is, and touches nothing that
 * is not journaled, so that no round sees news in it and no client's write is
 * undone.
 */
#ifndef WBCI_COLUMNS_H
#define WBCI_COLUMNS_H

#include "../shm/plain.h"
#include "rowset.h"

/* An entry in whose section we are, and its row's words. */
struct wbci_columns {
	const struct wbci_segment *s;
	struct wbci_thread *t;
	struct row_shm *row;
	const struct wbci_rowset *rs; /* of the table */
};

/**
 * wbci_columns_load() - all plain columns of a row were read
 * @found:     what the database has; NULL: nothing
 * @pending:   columns with values that are journaled and not applied
 * @unapplied: these values
 * @loaded:    for row_shm.loaded
 *
 * Columns that were set and are not journaled stay as they are, and so do those
 * that were set in this entry and are not applied.
 *
 * Return: 0, -ENOSPC: no room in the segment, nothing was done, or
 * WBC_E_CORRUPT.
 */
int wbci_columns_load(const struct wbci_columns *c,
                      const struct wbci_set *found, uint64_t pending,
                      const struct wbci_set *unapplied, uint32_t loaded);

/**
 * wbci_columns_forget() - columns do not have the values that they were set to
 * @columns: the database refused them, or nobody can tell
 * @pending: those of them that have newer values, as above
 * @loaded:  for row_shm.loaded
 *
 * Whoever reads them next has them loaded.
 *
 * Return: as wbci_columns_load().
 */
int wbci_columns_forget(const struct wbci_columns *c, uint64_t columns,
                        uint64_t pending, uint32_t loaded);

#endif
