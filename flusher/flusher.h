/* SPDX-License-Identifier: MIT */
/* Copyright the wbcshm authors */

/*
 * A flusher: a thread that takes what clients did to one segment into a
 * journal, and one for each database that it is written to.  The program is a
 * main() around it; a test can run several, each on a segment and a journal of
 * its own.
 *
 * who                 may call
 * any thread          wbci_flusher_flush, wbci_flusher_fd
 * the one that began  wbci_flusher_start, wbci_flusher_reload,
 *                     wbci_flusher_stop
 *
 * What is process-wide: wbci_log_fd, and the armed kill point.
 */
#ifndef WBCI_FLUSHER_H
#define WBCI_FLUSHER_H

#include <stdint.h>

#include "../shm/message.h"
#include "config.h"

struct wbci_flusher;

/* What one flusher did in its life; see log.h for the meaning of each. */
struct wbci_totals {
	uint64_t rounds;
	uint64_t batches; /* one per round and table */
	uint64_t merges;
	uint64_t pieces;
	uint64_t rows;
	uint64_t inserts;
	uint64_t refused;
	uint64_t statements;
	uint64_t left; /* rows in the journal at the end */
};

/**
 * wbci_flusher_start() - attach, lock, recover, and begin to work
 * @f:    receives it; ended by wbci_flusher_stop()
 * @said: copied
 * @m:    words about a failure
 *
 * Returns when the cursors are redone and rounds begin.
 *
 * Return: 0, or -EBUSY  another flusher serves the segment or the journal
 *               -ENOENT no such segment, and create was not said
 *               -EINVAL, WBC_E_SPEC, -ENAMETOOLONG, -E2BIG  @said is wrong
 *               WBC_E_FORMAT, WBC_E_LAYOUT, WBC_E_CORRUPT, WBC_E_BOOT,
 *               WBC_E_OWNER  segment or journal are not to be used
 *               WBC_E_JOURNAL  segment and journal do not belong together
 *               -EACCES, -ENOSPC, -EUSERS, -ENOMEM, -errno
 */
int wbci_flusher_start(struct wbci_flusher **f,
                       const struct wbci_flusher_config *said,
                       const struct wbci_message *m);

/**
 * wbci_flusher_reload() - go on by another configuration
 * @said: copied
 * @m:    words about a failure
 *
 * Returns when the collector has taken it over.  Its tables, connections and
 * intervals replace what was there; segment and journal cannot be others.
 *
 * Return: 0, or -EINVAL, WBC_E_SPEC, -ENAMETOOLONG, -E2BIG, -ENOMEM: nothing
 * has changed; after publication -ENOMEM, -E2BIG, -errno: some of it is still
 * missing and tried again; -ESRCH: the flusher has ended by itself.
 */
int wbci_flusher_reload(struct wbci_flusher *f,
                        const struct wbci_flusher_config *said,
                        const struct wbci_message *m);

/* Write everything to the database now; returns at once. */
void wbci_flusher_flush(struct wbci_flusher *f);

/* Becomes readable when the flusher ended by itself; then stop it. */
int wbci_flusher_fd(const struct wbci_flusher *f);

/**
 * wbci_flusher_stop() - final flush, and the end
 * @f:      set to NULL
 * @totals: what it did, or NULL
 *
 * Journals all that clients did before the call, and applies all of it,
 * unless the database is away or a table is parked: what then stays in the
 * journal is logged, and applied by the next flusher.
 *
 * Return: 0, or the error because of which it had ended by itself.
 */
int wbci_flusher_stop(struct wbci_flusher **f, struct wbci_totals *totals);

#endif
