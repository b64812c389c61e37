/* SPDX-License-Identifier: MIT */
/* Copyright the wbcshm authors */

/*
 * The segment's tables.
 *
 * who           writes
 * any thread    table_shm.spec, once, 0 -> block; table_shm.want
 * the flusher   the rest
 *
 * Tables fill the array from the front, so a name is there at most once:
 * who finds an empty place CASes its spec in, and who loses looks at the
 * winner's.  A thread killed before the CAS leaves a private block.
 */
#ifndef WBCI_TABLE_H
#define WBCI_TABLE_H

#include "client.h"
#include "schema.h"

/**
 * wbci_table_declare() - find a table, or put it there
 * @t:      calling thread, not in a section
 * @schema: what it is to be like
 *
 * Return: its number, WBC_E_SCHEMA, -E2BIG, -ENOSPC, WBC_E_CORRUPT.
 */
int wbci_table_declare(struct wbci_thread *t, const struct wbci_schema *schema,
                       const struct wbci_message *m);

/**
 * wbci_table_schema() - what a table is like; works on a read-only mapping
 * @table:  number
 * @schema: receives it, checked
 *
 * Return: 0, -ENOENT if there is none of that number (nor a higher one), or
 * WBC_E_CORRUPT.
 */
int wbci_table_schema(const struct wbci_segment *s, unsigned table,
                      struct wbci_schema *schema,
                      const struct wbci_message *m);

/* What clients declared as a table's on_missing, checked; ON_MISSING_UNSET if
 * nobody did. */
unsigned wbci_table_policy(const struct wbci_segment *s, unsigned table);

/* The flusher says why a table does not go on: 0 and "" when it does. */
void wbci_table_park(const struct wbci_segment *s, unsigned table, int error,
                     const char *message);

/**
 * wbci_table_parked() - why a table does not go on
 * @text: receives WBCI_TABLE_MESSAGE bytes, NUL-terminated, printable
 * Return: 0 or the error.
 */
int wbci_table_parked(const struct wbci_segment *s, unsigned table,
                      char *text);

#endif
