/* SPDX-License-Identifier: MIT */
/* Copyright the wbcshm authors */

/*
 * Queues: each table's way from the segment to the database.
 *
 *   segment -> batches (journal) -> pieces (journal) -> database
 *
 * A queue is what the collector knows of a table by its full name,
 * "connection.name", whoever named it: the configuration, the segment, or the
 * journal.  Only the collector's thread touches it.  All of it but the
 * declarations and the waiting for retries is derived from the journal and
 * read from there again after a start or a doubt.
 *
 * Invariants: batches are in the order of their rounds; pieces done + 1 to
 * last are outstanding; a new plan is made only when none is, and only when
 * the database's ledger was seen to stand at `done` in this life.
 */
#ifndef WBCI_QUEUE_H
#define WBCI_QUEUE_H

#include <stdbool.h>
#include <stdint.h>

#include "../shm/schema.h"
#include "config.h"
#include "connection.h"
#include "journal.h"
#include "rowset.h"

/* A declaration: its canonical text, and what it hashes to. */
struct wbci_declared {
	bool known;
	uint64_t spec_hash;
	char *spec;
	struct wbci_schema schema;
};

/* A batch in the journal. */
struct wbci_batch {
	uint64_t round;
	uint64_t first; /* it holds nothing of an earlier round */
	uint64_t bytes;
	uint64_t inserts;
	uint64_t inserts_bytes;
	uint64_t rows; /* not all distinct from other batches' */
	uint64_t spec_hash;
};

struct wbci_queue {
	char name[WBCI_TABLE_NAME];
	uint32_t id;
	int segment_table; /* its number in the segment, or -1 */
	struct wbci_declared configured;
	struct wbci_declared declared; /* in the segment */
	struct wbci_connection *connection; /* or NULL: none of its name */
	struct wbci_limits limits;          /* 0: as all tables */
	struct wbci_rowset *fresh;     /* of the round in progress, or NULL */

	/* the journal's */
	struct wbci_journal_table record;
	struct wbci_batch *batches;
	unsigned n_batches;
	unsigned batches_room;
	uint64_t waiting_rows;    /* distinct changed rows in batches */
	uint64_t waiting_inserts; /* inserted rows in batches */
	uint64_t planned_rows;    /* in pieces, of both kinds */
	uint64_t planned_spec;    /* spec_hash of the outstanding pieces */
	uint64_t planned_first;   /* no piece holds an earlier round; 0: unknown */

	/* on the way to the sink */
	bool in_flight;
	struct wbci_work *reading; /* being put together by the loader */
	bool reconciled;       /* the ledger was seen in this life */
	bool examined;         /* its catalogue was compared */
	uint64_t flush_to;     /* what is below this round is to be settled */
	uint64_t want_seen;    /* the clients' want that was acted upon */
	uint64_t asked_synced; /* `synced` when the work in flight was made */
	uint64_t settled;
	int64_t retry_ns;      /* nothing is tried before this */
	int64_t next_flush_ns; /* by the table's own interval, or 0 */
	int parked;           /* 0 or a WBC_E_* */
	char reason[192];     /* why parked, or why it waits */
	int published_parked; /* what the segment was told last */
	char published[192];
};

#define WBCI_QUEUES_MAX 1024u

struct wbci_queues {
	struct wbci_queue *queue[WBCI_QUEUES_MAX];
	unsigned n;
	struct wbci_queue *of_table[WBC_TABLES_MAX]; /* by segment number */
	unsigned n_tables; /* of the segment, seen so far */
};

/* Anything journaled and not settled? */
static inline bool wbci_queue_pending(const struct wbci_queue *q)
{
	return q->n_batches || q->record.last != q->record.done;
}

static inline bool wbci_queue_outstanding(const struct wbci_queue *q)
{
	return q->record.last != q->record.done;
}

/* What unapplied.h knows a table's rows by. */
static inline uint64_t wbci_queue_rows_id(const struct wbci_queue *q,
                                          uint64_t spec_hash)
{
	return spec_hash + q->id * UINT64_C(0x9e3779b97f4a7c15);
}

/**
 * wbci_queue_find() - the queue of a table, made if there is none
 * Return: it, or NULL: no memory, or too many.
 */
struct wbci_queue *wbci_queue_find(struct wbci_queues *qs, const char *name);
void wbci_queues_free(struct wbci_queues *qs);

/* Its name for people: without the connection, if that is "default". */
const char *wbci_queue_label(const struct wbci_queue *q);

/* "connection.name" of a schema; WBCI_TABLE_NAME bytes. */
void wbci_queue_name(const struct wbci_schema *s, char *name);

/* Take over a declaration.  0 or -ENOMEM. */
int wbci_queue_declare(struct wbci_declared *d, const struct wbci_schema *s);

/* The configuration's tables, and no others.  0 or -ENOMEM. */
int wbci_queues_configure(struct wbci_queues *qs, struct wbci_connections *cs,
                          const struct wbci_config *c);

/* Tables that were declared in the segment meanwhile.  Damaged ones are
 * logged once and left out.  0 or -ENOMEM. */
int wbci_queues_refresh(struct wbci_queues *qs, const struct wbci_segment *s);

/* Forget what is the journal's, to read it again. */
void wbci_queues_reset(struct wbci_queues *qs);

/* Rows that are journaled and not settled. */
static inline uint64_t wbci_queue_rows(const struct wbci_queue *q)
{
	return q->waiting_rows + q->waiting_inserts + q->planned_rows;
}

/* A batch came to the end of a queue.  0 or -ENOMEM. */
int wbci_queue_push(struct wbci_queue *q, const struct wbci_batch *batch);
/* The first, or the last, batches are no more. */
void wbci_queue_drop_first(struct wbci_queue *q, unsigned n);
void wbci_queue_drop_last(struct wbci_queue *q, unsigned n);

/* Why nothing of a queue can be applied as it was declared: 0, WBC_E_TABLE or
 * WBC_E_SCHEMA, with q->reason in words. */
int wbci_queue_mismatch(struct wbci_queue *q);

#endif
