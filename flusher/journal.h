/* SPDX-License-Identifier: MIT */
/* Copyright the wbcshm authors */

/*
 * The journal: an LMDB environment in a directory of its own, full sync.
 *
 *   DIR/lock      OFD-locked while in use, never deleted; names the pid
 *   DIR/data.mdb  LMDB's file; made under another name and renamed when whole
 *
 *   meta     one value: who we are, whom we serve, how far we have come
 *   tables   connection.name -> wbci_journal_table
 *   batches  (table, round, chunk) -> blob: journaled, not yet in a piece
 *   pieces   (table, piece, chunk) -> blob: immutable, not yet trimmed
 *   cursors  (kind, chunk) -> those of the last batch
 *
 * Every value begins with a wbci_frame.  One process has it open, one thread
 * of it at a time calls anything here; LMDB's own locks are not used.
 *
 * An update is one durable transaction.  Killed before its commit it has done
 * nothing, after it everything.  A commit that fails is in doubt: what LMDB
 * shows then may not be on the disk.  So nothing else is done until
 * wbci_journal_recover() has opened the file anew and made another durable
 * commit; then whoever caches what is in the journal reads it again.
 */
#ifndef WBCI_JOURNAL_H
#define WBCI_JOURNAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../shm/message.h"
#include "cursors.h"
#include "frame.h"

struct wbci_journal;

/* "connection.name" and a NUL. */
#define WBCI_TABLE_NAME 128

struct wbci_journal_meta {
	struct wbci_frame frame;
	unsigned char journal_id[16];
	unsigned char segment_id[16]; /* all 0: none was adopted yet */
	uint64_t last_round;          /* the last batch */
	uint64_t prev_round;          /* the one before */
	uint64_t commits;             /* that were made to end a doubt */
};

struct wbci_journal_table {
	struct wbci_frame frame;
	uint64_t done;       /* the last piece that was trimmed */
	uint64_t last;       /* the last piece that was planned */
	uint64_t plan_round; /* no piece holds anything of a later round */
	uint64_t applied;    /* rows of this segment's, of both kinds */
	uint64_t refused;    /* that became dead letters */
	uint64_t mark;       /* of the last plan's pieces: see plan.c */
};

enum wbci_blob_kind { BLOB_BATCH, BLOB_PIECE };

/* wbci_journal_open() flags */
#define WBCI_JOURNAL_CREATE 1u
#define WBCI_JOURNAL_RDONLY 2u

/**
 * wbci_journal_lock() - take a journal's directory for this process
 * @dir:    directory, made if @create
 * @create: else -ENOENT
 *
 * Return: a descriptor whose closing gives the lock back, or -EBUSY if
 * somebody holds it (the message says who), -ENOENT, -EACCES, -errno.
 */
int wbci_journal_lock(const char *dir, bool create,
                      const struct wbci_message *m);

/* Make the names in a directory survive a loss of power.  0 or -errno. */
int wbci_journal_sync(const char *dir);

/**
 * wbci_journal_open() - open a journal under its lock
 * @j:   receives it; undone by wbci_journal_close()
 * @dir: locked by the caller
 *
 * Return: 0, -ENOENT, -ENOMEM, WBC_E_LAYOUT, WBC_E_CORRUPT, -errno.
 */
int wbci_journal_open(struct wbci_journal **j, const char *dir, unsigned flags,
                      const struct wbci_message *m);
void wbci_journal_close(struct wbci_journal **j);

/* As of the last commit, or within an update as it will be. */
const struct wbci_journal_meta *wbci_journal_meta(const struct wbci_journal *j);

/**
 * wbci_journal_update() - one durable transaction
 * @fill: puts into it what is to be changed, by the functions below; may be
 *        called again from the start when the file has to grow, and ends the
 *        transaction by a negative result
 *
 * Return: 0, what @fill returned, or, the journal being in doubt now, -EIO,
 * -ENOSPC, -errno.
 */
typedef int wbci_journal_fill_fn(struct wbci_journal *j, void *arg);
int wbci_journal_update(struct wbci_journal *j, wbci_journal_fill_fn *fill,
                        void *arg, const struct wbci_message *m);

/* A commit failed, and wbci_journal_recover() has not succeeded since. */
bool wbci_journal_in_doubt(const struct wbci_journal *j);

/* Return: 0, or an error: still in doubt, try again later. */
int wbci_journal_recover(struct wbci_journal *j, const struct wbci_message *m);

/* Within an update only.  Return: 0 or a negative error to be handed on. */
int wbci_journal_put_meta(struct wbci_journal *j,
                          const struct wbci_journal_meta *meta);
int wbci_journal_put_table(struct wbci_journal *j, const char *table,
                           const struct wbci_journal_table *record);
int wbci_journal_put_blob(struct wbci_journal *j, enum wbci_blob_kind kind,
                          const char *table, uint64_t number, uint32_t chunk,
                          const void *blob, size_t bytes);
int wbci_journal_put_cursors(struct wbci_journal *j,
                             const struct wbci_cursors *cursors);
/* All chunks of a batch or a piece. */
int wbci_journal_delete(struct wbci_journal *j, enum wbci_blob_kind kind,
                        const char *table, uint64_t number);

/**
 * wbci_journal_each_blob() - walk batches or pieces in their order
 * @table:  NULL for all tables
 * @number: one batch or piece of @table; 0 for all (numbers begin at 1)
 * @visit:  called with 8-aligned bytes that stay until it returns; a negative
 *          result ends the walk; must not update
 *
 * Return: 0, what @visit returned, WBC_E_CORRUPT, -errno.
 */
typedef int wbci_journal_blob_fn(void *arg, const char *table, uint64_t number,
                                 uint32_t chunk, const void *blob,
                                 size_t bytes);
int wbci_journal_each_blob(struct wbci_journal *j, enum wbci_blob_kind kind,
                           const char *table, uint64_t number,
                           wbci_journal_blob_fn *visit, void *arg);

typedef int wbci_journal_table_fn(void *arg, const char *table,
                                  const struct wbci_journal_table *record);
int wbci_journal_each_table(struct wbci_journal *j,
                            wbci_journal_table_fn *visit, void *arg);

/* Read the cursors of the last batch; added to what @cursors has. */
int wbci_journal_cursors(struct wbci_journal *j, struct wbci_cursors *cursors);

#endif
