/* SPDX-License-Identifier: MIT */
/* Copyright the wbcshm authors */

/**
 * wbcshm - a write-behind cache in shared memory
 *
 * The processes of one machine map a segment and count and insert with plain
 * atomic instructions; a separate process, wbc-flusher, writes what they did
 * to the database in batches, exactly once.
 *
 * Rules that hold for every function of this library:
 *
 *  - The result is 0 or a count, else a negative error: -errno where one
 *    fits, WBC_E_* where none does.  wbc_strerror() puts either into words.
 *    errno says nothing and may be changed; nothing is printed, nobody
 *    exits.
 *  - Results go through the last parameters and are written on success only.
 *  - A handle may be shared by threads.  After fork() the child goes on using
 *    it: it attaches anew, by itself, at its first call.
 *  - No function is async-signal-safe.
 *  - A process may be killed at any instruction of any function: an operation
 *    has happened wholly or not at all, and nobody else is held up.
 */
#ifndef WBCSHM_H
#define WBCSHM_H

#include "wbc_error.h"
#include "wbc_open.h"
#include "wbc_table.h"
#include "wbc_row.h"
#include "wbc_columns.h"
#include "wbc_flush.h"

#endif
