/* SPDX-License-Identifier: MIT */
/* Copyright the wbcshm authors */

/*
 * Dead letters: what a refused write looks like in the table beside the
 * ledger.  Values are JSON: numbers, strings, null; a text that is not UTF-8
 * is {"text_hex": "..."}, a blob {"blob_hex": "..."}.
 */
#ifndef WBCI_LETTER_H
#define WBCI_LETTER_H

#include "../shm/schema.h"
#include "rowset.h"

/**
 * wbci_letter_json() - named values as a JSON object
 * @values: n of them, each named
 * Return: a text to be freed, or NULL: no memory.
 */
char *wbci_letter_json(const struct wbc_value *values, unsigned n);

/* The deltas of a row that are not zero, and the values of the columns that it
 * sets; as above. */
char *wbci_letter_change(const struct wbci_rowset *rs,
                         const struct wbci_row *row);

#endif
