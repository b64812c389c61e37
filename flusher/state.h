/* SPDX-License-Identifier: MIT */
/* Copyright the wbcshm authors */

/*
 * The collector's state, and the steps that its thread takes, a file each.
 * All of it belongs to that thread but for the few words that say so.
 */
#ifndef WBCI_STATE_H
#define WBCI_STATE_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "../shm/round.h"
#include "apply.h"
#include "config.h"
#include "connection.h"
#include "cursors.h"
#include "flusher.h"
#include "journal.h"
#include "loader.h"
#include "queue.h"
#include "reaper.h"
#include "unapplied.h"
#include "upkeep.h"

/* How long a parked table rests between two tries. */
#define WBCI_RETRY_NS (INT64_C(3) * 1000000000)

struct wbci_flusher {
	struct wbci_config *config; /* published by RCU */

	/* shared with start, flush and stop */
	pthread_t thread;
	pthread_mutex_t mutex;
	pthread_cond_t started;
	bool is_started;             /* or has failed to; under the mutex */
	int error;                   /* why it failed, or ended by itself */
	struct wbci_message message; /* of start() */
	struct wbci_client *ring;    /* to be rung; under the mutex */
	_Atomic bool stop;
	_Atomic bool flush_now;
	_Atomic uint64_t config_wanted; /* config->number, when published */
	uint64_t config_tried;          /* taken over; under the mutex */
	int config_error;               /* how that went; under the mutex */
	int ended; /* eventfd: it ended by itself */

	/* the collector's */
	struct wbci_client *client;
	struct wbci_journal *journal;
	struct wbci_connections connections;
	struct wbci_unapplied *unapplied;
	struct wbci_rounds rounds;
	struct wbci_upkeep upkeep;
	struct wbci_reaper *reaper;
	struct wbci_loader loader;
	struct wbci_queues queues;
	struct wbci_cursors cursors;
	unsigned char *lane_buffer;
	char journal_text[33];
	int segment_lock;
	int journal_lock;
	bool reload; /* memory and journal may differ: wbci_load() first */
	int fatal;   /* an error after which only a new start helps */

	uint64_t synced;    /* all rounds below are journaled */
	uint64_t sync_seen; /* requests that were acted upon */
	uint64_t flush_seen;
	int64_t next_round_ns;
	int64_t next_flush_ns; /* of any table */
	int64_t due_ns;        /* of those without an interval of their own */
	bool pressed;   /* memory is short: what is journaled is written */
	bool finishing; /* the final flush: each database is tried once */
	bool doubt_logged;
	uint64_t failed_rounds; /* in a row */
	bool lanes_idle; /* no round for the sake of lanes just now */

	uint64_t corrupt; /* records and entries that failed a check */
	struct wbci_totals totals;
};

/* adopt.c: locks, the journal, and the segment's cursors.  0 or an error. */
int wbci_adopt(struct wbci_flusher *f, const struct wbci_config *c,
               const struct wbci_message *m);

/* load.c: queues and the unapplied map from the journal; the cursors of its
 * last batch moved.  At the start, and again when a doubt has ended. */
int wbci_load(struct wbci_flusher *f, const struct wbci_message *m);

/* collect.c: a round, up to `synced`.  0, or a negative error: nothing is
 * lost, the next round reads the same again. */
int wbci_collect(struct wbci_flusher *f);

/* plan.c: batches to pieces, and batches to fewer batches. */
int wbci_plan(struct wbci_flusher *f, struct wbci_queue *q);
int wbci_merge(struct wbci_flusher *f, struct wbci_queue *q);

/* reload.c: the published configuration, if it is another one. */
bool wbci_config_waits(const struct wbci_flusher *f);
void wbci_config_take(struct wbci_flusher *f);

/* triggers.c: flushes that nobody asks for. */
void wbci_ask_due_flushes(struct wbci_flusher *f, int64_t now);

/* dispatch.c: send to the sinks what is due. */
void wbci_dispatch(struct wbci_flusher *f);
/* Is there anything that is on its way, or could be sent now? */
bool wbci_dispatch_busy(const struct wbci_flusher *f);

/* settle.c: take the sink's answers; tell the segment how far we are. */
void wbci_settle(struct wbci_flusher *f);
void wbci_publish(struct wbci_flusher *f);

#endif
