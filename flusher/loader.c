/* SPDX-License-Identifier: MIT */
/* Copyright the wbcshm authors */

#include "loader.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "../api/wbc_error.h"
#include "../shm/epoch.h"
#include "../shm/fetch.h"
#include "../shm/wake.h"
#include "log.h"
#include "origins.h"
#include "points.h"
#include "state.h"

/* Rows of one work, so that a piece behind it does not wait for long. */
#define ROWS_MOST 1000u

int wbci_loader_begin(struct wbci_flusher *f)
{
	f->loader.again = true;
	f->loader.in_flight = calloc(f->client->segment.geo.n_threads,
	                             sizeof(*f->loader.in_flight));
	return f->loader.in_flight ? 0 : -ENOMEM;
}

void wbci_loader_end(struct wbci_flusher *f)
{
	free(f->loader.in_flight);
	f->loader.in_flight = NULL;
}

bool wbci_loader_wanted(const struct wbci_flusher *f)
{
	const struct wbci_segment *s = &f->client->segment;

	return order_load_seq(&s->control->fetch_want) != f->loader.seen;
}

static void answer(struct wbci_flusher *f, const struct wbci_fetcher *who,
                   int error)
{
	f->loader.in_flight[who->slot] = 0;
	wbci_fetch_answer(&f->client->segment, who->slot, who->want, error);
}

/* A work that reads rows of a table; NULL: no memory. */
static struct wbci_work *make_work(struct wbci_flusher *f,
                                   const struct wbci_queue *q)
{
	struct wbci_work *w = wbci_work_new();

	if (!w)
		return NULL;
	w->reads = true;
	memcpy(w->table, q->name, sizeof(w->table));
	memcpy(w->journal, f->journal_text, sizeof(w->journal));
	w->done = q->record.done;
	w->on_missing = q->configured.schema.on_missing;
	w->fetchers = malloc(ROWS_MOST * sizeof(*w->fetchers));
	if (!w->fetchers ||
	    wbci_rowset_init(&w->rows, q->configured.spec,
	                     strlen(q->configured.spec), false))
		wbci_work_free(&w);
	return w;
}

/* Hand a table's work to its sink; those who wait are told if it cannot be. */
static void send(struct wbci_flusher *f, struct wbci_queue *q)
{
	struct wbci_work *w = q->reading;

	q->reading = NULL;
	if (!w)
		return;
	if (!wbci_apply_send(q->connection->apply, w, q)) {
		q->connection->in_flight++;
		return;
	}
	for (size_t i = 0; i < w->n_fetchers; i++)
		answer(f, &w->fetchers[i], -ENOMEM);
	wbci_work_free(&w);
}

/* The row of an entry goes into its table's work. */
static int add_row(struct wbci_flusher *f, struct wbci_queue *q,
                   const struct wbci_seen *seen, const struct wbci_fetcher *who)
{
	static const uint64_t none[WBC_COUNTERS_MAX];
	int error;

	if (!q->reading)
		q->reading = make_work(f, q);
	if (!q->reading)
		return -ENOMEM;
	error = wbci_rowset_add(&q->reading->rows, seen->key, seen->key_len,
	                        none);
	if (error)
		return error;
	q->reading->fetchers[q->reading->n_fetchers++] = *who;
	f->loader.in_flight[who->slot] = who->want;
	if (q->reading->n_fetchers == ROWS_MOST)
		send(f, q);
	return 0;
}

/* Copy the entry that is wanted.  1, 0: it is gone, or WBC_E_CORRUPT. */
static int see_entry(struct wbci_flusher *f, uint64_t offset,
                     struct wbci_seen *seen)
{
	struct wbci_thread *t;
	int found = wbci_thread(f->client, &t);

	if (found)
		return found;
	wbci_enter(t);
	found = wbci_seen_entry(&f->client->segment, offset, seen);
	wbci_exit(t);
	if (found == 1 && seen->space != SPACE_ROW)
		return WBC_E_CORRUPT;
	return found;
}

/* Its database is away, or not there yet: it is looked at again. */
static bool has_to_wait(const struct wbci_queue *q)
{
	const struct wbci_connection *c = q->connection;

	return !c || !wbci_connection_ready(c) || c->given_up ||
	       (c->away && wbci_now_ns() < c->away_until_ns);
}

/* Send a want on its way, or answer it. */
static void take_want(struct wbci_flusher *f, const struct wbci_fetcher *who)
{
	struct wbci_queue *q = NULL;
	struct wbci_seen seen;
	int error = see_entry(f, who->want, &seen);

	/* Removed meanwhile: its thread finds out, and makes it anew. */
	if (error == 0) {
		answer(f, who, 0);
		return;
	}
	if (error > 0)
		error = 0;
	if (!error && seen.table < f->queues.n_tables)
		q = f->queues.of_table[seen.table];
	if (!error)
		error = q ? wbci_queue_mismatch(q) : WBC_E_TABLE;
	if (!error && has_to_wait(q)) {
		f->loader.again = true;
		return;
	}
	if (!error)
		error = add_row(f, q, &seen, who);
	if (error)
		answer(f, who, error);
}

void wbci_loader_step(struct wbci_flusher *f)
{
	const struct wbci_segment *s = &f->client->segment;
	struct wbci_loader *l = &f->loader;

	if (!wbci_loader_wanted(f) && !l->again)
		return;
	/* ORDER fetch.want, acquire: what was wanted before it is found. */
	l->seen = order_load_seq(&s->control->fetch_want);
	l->again = false;
	for (uint32_t i = 0; i < s->geo.n_threads; i++) {
		struct wbci_fetcher who = {i, wbci_fetch_wanted(s, i)};

		if (who.want && who.want != l->in_flight[i])
			take_want(f, &who);
	}
	for (unsigned i = 0; i < f->queues.n; i++)
		send(f, f->queues.queue[i]);
}

/* Do they stand where we do, so that what is unapplied is what they lack? */
static bool is_in_step(const struct wbci_flusher *f, const struct wbci_queue *q,
                       const struct wbci_work *w)
{
	return !f->reload && !wbci_journal_in_doubt(f->journal) &&
	       w->position >= 0 && (uint64_t)w->position == q->record.done;
}

void wbci_loader_take(struct wbci_flusher *f, struct wbci_queue *q,
                      const struct wbci_work *w)
{
	bool parked = w->outcome == OUTCOME_PARKED ||
	              (q->parked && !is_in_step(f, q, w));
	bool stored = !parked && w->outcome == OUTCOME_DONE &&
	              is_in_step(f, q, w);

	int error = parked ? WBC_E_PARKED : 0;

	wbci_point(POINT_READ_TAKEN);
	if (stored) {
		error = wbci_origins_read(f, q, w);
		f->loader.rows += w->rows.n_rows;
	}
	for (size_t i = 0; i < w->n_fetchers; i++) {
		if (stored || parked)
			answer(f, &w->fetchers[i], error);
		else
			f->loader.in_flight[w->fetchers[i].slot] = 0;
	}
	f->loader.again |= !stored && !parked;
	wbci_point(POINT_READ_ANSWERED);
}
