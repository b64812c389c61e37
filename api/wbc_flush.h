/* SPDX-License-Identifier: MIT */
/* Copyright the wbcshm authors */

/* Waiting for the journal and for the database.  Included by wbcshm.h. */
#ifndef WBC_FLUSH_H
#define WBC_FLUSH_H

#include <stddef.h>
#include <stdint.h>

#include "wbc_error.h"
#include "wbc_table.h"

#ifdef __cplusplus
extern "C" {
#endif

/**
 * wbc_sync() - wait until all that was done before is in the journal
 * @c:          cache handle
 * @timeout_ms: how long to wait; -1 without end
 *
 * What it acknowledges survives a loss of power.  All callers share one
 * round of the flusher.
 *
 * Progress: none, it waits for the flusher.   Blocks: up to @timeout_ms.
 * Fork: safe.
 *
 * Return: 0, or -ETIMEDOUT       not within @timeout_ms; nothing is lost
 *               WBC_E_NOFLUSHER  the same, and no flusher is alive
 *               -ESTALE          the segment was closed
 */
WBC_API int wbc_sync(struct wbc *c, int timeout_ms);

/**
 * struct wbc_flush_result - what became of a flush
 * @rows_applied: rows that reached the database while it ran
 * @rows_refused: rows that became dead letters while it ran
 * @tables_parked: tables that wait for somebody to mend something
 * @table:   the first table that is parked, refused rows or is pending
 * @message: why, in words; empty if all is well
 */
struct wbc_flush_result {
	uint64_t rows_applied;
	uint64_t rows_refused;
	uint32_t tables_parked;
	char table[64];
	char message[192];
};

/**
 * wbc_flush() - write one table, or all, to the database now, and wait
 * @c:          cache handle
 * @t:          a table of it, or NULL for all tables of the segment
 * @timeout_ms: how long to wait; -1 without end
 * @result:     receives details, whatever the return value; NULL if unwanted
 *
 * Progress: none, it waits for the flusher and the database.
 * Blocks: up to @timeout_ms.   Fork: safe.
 *
 * Return: 0             all that was done before the call is applied
 *         WBC_E_REFUSED applied, but for rows that the database refused for
 *                       good; they are kept as dead letters
 *         WBC_E_TABLE   the flusher was not told of the table
 *         WBC_E_SCHEMA  the flusher was told of the table differently
 *         WBC_E_PARKED  the database refuses the table as a whole
 *         -ETIMEDOUT    not within @timeout_ms; nothing is lost
 *         WBC_E_NOFLUSHER  the same, and no flusher is alive
 *         -ESTALE       the segment was closed
 */
WBC_API int wbc_flush(struct wbc *c, const struct wbc_table *t, int timeout_ms,
                      struct wbc_flush_result *result);

/**
 * wbc_flush_connection() - the same for the tables of one connection
 * @c:          cache handle
 * @connection: its name, as it stands before the dot where a table is
 *              declared; "default" if there is none
 * @timeout_ms: how long to wait; -1 without end
 * @result:     receives details, whatever the return value; NULL if unwanted
 *
 * Waits for tables of this connection only, so a database that is away holds
 * up nobody who flushes to another one.
 *
 * Progress: none, it waits for the flusher and the database.
 * Blocks: up to @timeout_ms.   Fork: safe.
 *
 * Return: as wbc_flush(), or -ENOENT: no table of that connection is declared
 */
WBC_API int wbc_flush_connection(struct wbc *c, const char *connection,
                                 int timeout_ms,
                                 struct wbc_flush_result *result);

#ifdef __cplusplus
}
#endif

#endif
