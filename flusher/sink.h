/* SPDX-License-Identifier: MIT */
/* Copyright the wbcshm authors */

/*
 * Sinks: where pieces go.  One ops table, and a sink_*.c per backend that
 * alone includes the backend's header.
 *
 * A sink is used by one thread, which makes one call at a time.
 *
 * The contract of apply(), whatever the backend:
 *  - In one transaction: the gate, which moves the table's position in the
 *    ledger from piece - 1 to piece, leaves the piece's mark beside it, and
 *    must hit exactly one row; then the inserts in their order, then the
 *    changed rows in theirs; then the dead letters of rows that were refused;
 *    commit.
 *  - A position that is `piece` already, with the piece's mark, means that it
 *    was applied by somebody who could not say so; nothing is done but to
 *    read the rows' present values.  With another mark it is another piece of
 *    that number, of a copy of the journal: that stops the table.
 *  - Any other position stops the table: the database and the journal do not
 *    belong together.
 *  - The ledger's row is committed before the first piece.
 */
#ifndef WBCI_SINK_H
#define WBCI_SINK_H

#include <stdbool.h>
#include <stdint.h>

#include "../shm/message.h"
#include "journal.h"
#include "rowset.h"

struct wbci_sink;

enum wbci_outcome {
	OUTCOME_DONE,    /* applied, or the ledger is as it should be */
	OUTCOME_ALREADY, /* it was applied before */
	OUTCOME_AWAY,    /* try again later, the same piece */
	OUTCOME_PARKED   /* somebody has to mend something */
};

/* What the database has in a counted column of a row now. */
enum wbci_value_state {
	VALUE_UNKNOWN = 0,
	VALUE_NOROW,
	VALUE_NUMBER /* a NULL is 0 */
};
struct wbci_answer {
	enum wbci_value_state state;
	uint64_t bits; /* an int64, or a double, as the cell is */
};

/* What became of a changed row. */
enum wbci_fate {
	FATE_UNKNOWN = 0, /* the piece was applied before, or is not */
	FATE_APPLIED,
	FATE_REFUSED, /* a dead letter: what it set is not in the database */
	FATE_NOROW    /* there is no such row, and on_missing is ignore */
};

/* A thread slot that wants a row, and how it said so. */
struct wbci_fetcher {
	uint32_t slot;
	uint64_t want;
};

/* One order to a sink, and its answer. */
struct wbci_work {
	/* the order */
	char table[WBCI_TABLE_NAME]; /* in the ledger */
	char journal[33];
	uint64_t done;  /* pieces that were trimmed */
	uint64_t piece; /* done + 1, or 0: look at the ledger only */
	uint64_t mark;  /* of piece done + 1 */
	uint8_t on_missing;
	struct wbci_rowset rows; /* sorted; its schema is the table's */
	/* Not a piece: rows that are to be read, whatever their deltas. */
	bool reads;
	struct wbci_fetcher *fetchers; /* the collector's: who wants them */
	size_t n_fetchers;
	/* The table, whose catalogue is to be compared first and the log told
	 * of what does not fit; or NULL. */
	struct wbci_schema *examine;

	/* the answer */
	enum wbci_outcome outcome;
	char reason[192]; /* AWAY, PARKED: why; else of the last refusal */
	struct wbci_answer *answers; /* n_rows * n_cells */
	/* n_rows, each an enum wbci_fate.  Of reads: is there such a row?  What
	 * its plain columns have is the row's set then. */
	uint8_t *fates;
	uint64_t applied;            /* changed rows */
	uint64_t inserted;
	uint64_t refused;    /* of both kinds */
	uint64_t ignored;    /* rows that the database does not have */
	uint64_t statements; /* that change, for rows of both kinds */
	int64_t took_ns;
	int64_t position; /* of reads: the ledger's, in the same snapshot */
};

/* Told of a mismatch, in words that name what does not fit. */
typedef void wbci_examine_fn(void *arg, const char *words);

struct wbci_sink_ops {
	const char *name;
	/* 0 or -ENOMEM; connects later, at the first work. */
	int (*open)(struct wbci_sink **sink, const char *where);
	void (*close)(struct wbci_sink **sink);
	/* See the ledger's position of work->table, make its row if this is
	 * the first time. */
	enum wbci_outcome (*check)(struct wbci_sink *sink,
	                           struct wbci_work *work);
	enum wbci_outcome (*apply)(struct wbci_sink *sink,
	                           struct wbci_work *work);
	/* Read the rows of work->rows and the ledger's position in one
	 * snapshot of the database. */
	enum wbci_outcome (*read)(struct wbci_sink *sink,
	                          struct wbci_work *work);
	/*
	 * Compare a table with the database's catalogue, or without a table
	 * see if the database can be used at all.  By any thread, through a
	 * connection of its own that changes nothing.  Returns the number of
	 * mismatches, of each of which `say` is told, or -1: it cannot be
	 * looked at, and `say` was told why.
	 */
	int (*examine)(const char *where, const struct wbci_schema *table,
	               wbci_examine_fn *say, void *arg);
};

extern const struct wbci_sink_ops wbci_sink_sqlite;

#endif
