/* SPDX-License-Identifier: MIT */
/* Copyright the wbcshm authors */

/*
 * What a changed row's plain columns are set to: values as shm/record.h writes
 * them, one behind the other in the order of the columns, each column once.
 *
 * A set lives in its row set's memory.  A value that is as long as the one
 * that it replaces takes its place; if the set becomes longer than its room it
 * moves, to room that is half as large again at least.  So what it left behind
 * is at most twice the longest that it ever was, however often it changes.
 */
#ifndef WBCI_SET_H
#define WBCI_SET_H

#include <stdint.h>

#include "../api/wbc_table.h"

struct wbci_rowset;

/* Where in the journal a row stands: in a chunk of a batch or a piece. */
struct wbci_blob_place {
	uint64_t number; /* its round, or piece; 0: nowhere yet */
	uint32_t chunk;
	uint32_t at; /* bytes from the blob's begin */
};

struct wbci_set {
	uint64_t columns; /* bit i: column i */
	uint32_t n;
	uint32_t bytes; /* of values, a multiple of 8 */
	uint32_t room;
	uint32_t reserved;
	struct wbci_blob_place
		place; /* of its row, when that was last written */
	uint64_t values[];
};

/**
 * wbci_set_change() - set columns of a row, which may be set already
 * @set:     the row's; NULL if it has none.  Receives it; may move
 * @values:  @n of them, at least one; copied
 * @columns: their columns: plain ones, each once, in any order
 *
 * Return: 0, -ENOMEM, or WBC_E_CORRUPT if the table does not take that.
 */
int wbci_set_change(struct wbci_rowset *rs, struct wbci_set **set,
                    const struct wbc_value *values, const uint8_t *columns,
                    unsigned n);

/**
 * wbci_set_values() - the values of a set
 * @values:  receives set->n, in the order of their columns, named by them and
 *           pointing into the set; WBC_COLUMNS_MAX
 * @columns: receives their columns, WBC_COLUMNS_MAX bytes
 */
void wbci_set_values(const struct wbci_rowset *rs, const struct wbci_set *set,
                     struct wbc_value *values, uint8_t *columns);

#endif
