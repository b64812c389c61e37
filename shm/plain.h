/* SPDX-License-Identifier: MIT */
/* Copyright the wbcshm authors */

/*
 * Plain columns: what a row's columns that are not counted are set to.
 *
 * who          does
 * clients      set columns, all of a call by one root: marked first, in the
 *              same section
 * the flusher  collects the columns that are newer than the journal; puts in
 *              what it loaded, takes out what the database refused
 *
 * Invariants:
 *  - Each root that a client makes has a version one above the last, and each
 *    column bears the version of the root that set it; what was loaded bears 0,
 *    and leaves the root's version as it is.
 *  - Columns whose version is above row_shm.journaled are not in the journal,
 *    and only clients change them.
 *
 * A column's tree key is its number, a byte; of a value that is too large to
 * stand in a node the bytes are a tree value of their own, below the number and
 * a 1.  row_shm in layout.h has the rest.
 *
 * Killed anywhere, an update was made as a whole or not at all: tree.h.
 */
#ifndef WBCI_PLAIN_H
#define WBCI_PLAIN_H

#include "entry.h"
#include "layout.h"
#include "long.h"
#include "tree.h"

/* A column as it stands in a tree; good while the tree is. */
struct wbci_plain {
	uint64_t version;
	struct value_shm head;       /* column, type and bytes */
	const unsigned char *p;      /* the bytes, or NULL: */
	struct wbci_tree_value large; /* they are there */
};

/**
 * wbci_plain_find() - a column of a root
 * @root: as it was loaded
 *
 * Return: 0, -ENOENT, or WBC_E_CORRUPT.
 */
int wbci_plain_find(const struct wbci_segment *s, uint64_t root,
                    unsigned column, struct wbci_plain *plain);

/* The root of a row as it is now, to read it, or 0; in a section. */
static inline uint64_t wbci_plain_root(struct row_shm *row)
{
	/* ORDER tree.root, acquire: what it names is whole. */
	return row ? order_acquire(&row->root) : 0;
}

/* Copy a column's head.bytes bytes.  0 or WBC_E_CORRUPT. */
int wbci_plain_copy(const struct wbci_segment *s,
                    const struct wbci_plain *plain, void *to);

/**
 * wbci_plain_collect() - the columns of a root that are newer than a version
 * @above: columns that were set by later roots than this one
 * @all:   also those that were loaded
 * @to:    receives them as record.h has values, in the order of their
 *         columns; 8-aligned
 * @room:  bytes there
 * @bytes: receives how many were written, or are needed
 * @n:     receives the number of columns
 *
 * In a section, or with a root that is known to be in place still afterwards.
 *
 * Return: 0, -E2BIG: there is no room, or WBC_E_CORRUPT.
 */
int wbci_plain_collect(const struct wbci_segment *s, uint64_t root,
                       uint64_t above, bool all, unsigned char *to,
                       uint64_t room, uint64_t *bytes, unsigned *n);

/**
 * wbci_plain_put() - give a column a value, in an update of its tree
 * @value:   checked, see wbci_column_check()
 * @version: that it will bear
 *
 * Return: 0 or what wbci_tree_put() returns, which stays.
 */
int wbci_plain_put(struct wbci_tree_edit *e, unsigned column,
                   const struct wbc_value *value, uint64_t version);

/* Take a column out.  0, also if it is not there, or as wbci_plain_put(). */
int wbci_plain_drop(struct wbci_tree_edit *e, unsigned column);

/**
 * wbci_plain_update() - set columns of a row, as a client does
 * @t:       in a section, with
 * @e:       LIVE in it, and
 * @row:     its words
 * @values:  @n of them, checked; copied
 * @columns: their columns, each once
 *
 * Return: 0; -ENOSPC: leave the section, wbci_memory_wait(), and do all of it
 * again; or WBC_E_CORRUPT.
 */
int wbci_plain_update(struct wbci_thread *t, struct entry_shm *e,
                      struct row_shm *row, const struct wbc_value *values,
                      const uint8_t *columns, unsigned n);

#endif
