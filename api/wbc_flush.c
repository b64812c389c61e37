/* SPDX-License-Identifier: MIT */
/* Copyright the wbcshm authors */

/* Waiting for the journal and for the database. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "../shm/table.h"
#include "../shm/wake.h"
#include "handle.h"

/* A flusher that dies and comes back between two looks is waited for. */
#define SLICE_MS 200

/* A wait for progress up to a deadline. */
struct wait {
	struct wbci_client *client;
	int64_t deadline; /* -1: none */
};

static struct wait begin_wait(struct wbci_client *client, int timeout_ms)
{
	struct wait w = {client, -1};

	if (timeout_ms >= 0)
		w.deadline = wbci_now_ns() + (int64_t)timeout_ms * 1000000;
	return w;
}

/* Wait for one event.  0: look again. */
static int wait_on(const struct wait *w, uint32_t seen)
{
	const struct wbci_segment *s = &w->client->segment;
	int64_t left = SLICE_MS;

	if (w->deadline >= 0)
		left = (w->deadline - wbci_now_ns() + 999999) / 1000000;
	if (left <= 0)
		return wbci_segment_has_flusher(s) == 0 ? WBC_E_NOFLUSHER
		                                        : -ETIMEDOUT;
	wbci_event_wait(s, seen, left < SLICE_MS ? (int)left : SLICE_MS);
	return order_load(&s->control->closed) ? -ESTALE : 0;
}

int wbc_sync(struct wbc *c, int timeout_ms)
{
	struct wait w = begin_wait(c->client, timeout_ms);
	struct control_shm *control = c->client->segment.control;
	struct wbci_thread *t;
	uint64_t want;
	int error;

	error = wbci_handle_thread(c->client, &t);
	if (error)
		return error;
	want = wbci_want(c->client, &control->sync_want);
	do {
		/* ORDER wake.event, acquire: loaded before what it is about. */
		uint32_t seen = order_acquire(&control->event);

		/* ORDER round.synced, acquire: durable before it says so. */
		if (order_acquire(&control->synced) >= want)
			return 0;
		error = wait_on(&w, seen);
	} while (!error);
	return error;
}

/* The tables that a flush is about, and what they had counted before. */
struct flush {
	const struct wbci_segment *s;
	unsigned n;
	uint8_t table[WBC_TABLES_MAX];
	uint64_t want[WBC_TABLES_MAX]; /* the round that each is to reach */
	uint64_t applied[WBC_TABLES_MAX];
	uint64_t refused[WBC_TABLES_MAX];
};

static void add_table(struct flush *f, unsigned table)
{
	f->applied[f->n] = order_acquire(&f->s->tables[table].rows_applied);
	f->refused[f->n] = order_acquire(&f->s->tables[table].rows_refused);
	f->table[f->n++] = (uint8_t)table;
}

/* Is it one of a connection's?  A damaged one is nobody's. */
static bool is_of(const struct wbci_segment *s, unsigned table,
                  const char *connection)
{
	struct wbci_schema schema;

	return !wbci_table_schema(s, table, &schema, NULL) &&
	       !strcmp(schema.connection, connection);
}

/* All tables, or those of a connection. */
static void add_tables(struct flush *f, const char *connection)
{
	const struct wbci_segment *s = f->s;

	for (unsigned i = 0;
	     i < s->geo.n_tables && order_acquire(&s->tables[i].spec); i++)
		if (!connection || is_of(s, i, connection))
			add_table(f, i);
}

static void name_table(const struct flush *f, unsigned table,
                       struct wbc_flush_result *result)
{
	struct wbci_schema schema;

	if (result->table[0] ||
	    wbci_table_schema(f->s, table, &schema, NULL))
		return;
	snprintf(result->table, sizeof(result->table), "%s", schema.name);
	wbci_table_parked(f->s, table, result->message);
}

/* The place of the first table that is not settled, or f->n. */
static unsigned first_pending(const struct flush *f)
{
	for (unsigned i = 0; i < f->n; i++) {
		/* ORDER round.settled, acquire: its outcome is there. */
		if (order_acquire(&f->s->tables[f->table[i]].settled) <
		    f->want[i])
			return i;
	}
	return f->n;
}

/* What became of all tables; the worst first. */
static int outcome(const struct flush *f, struct wbc_flush_result *result)
{
	char text[WBCI_TABLE_MESSAGE];
	int error = 0;

	for (unsigned i = 0; i < f->n; i++) {
		const struct table_shm *shm = &f->s->tables[f->table[i]];
		uint64_t refused = order_acquire(&shm->rows_refused) -
		                   f->refused[i];
		int parked = wbci_table_parked(f->s, f->table[i], text);

		result->rows_applied += order_acquire(&shm->rows_applied) -
		                        f->applied[i];
		result->rows_refused += refused;
		if (parked) {
			result->tables_parked++;
			name_table(f, f->table[i], result);
			error = error && error != WBC_E_REFUSED ? error
			                                        : parked;
		} else if (refused) {
			name_table(f, f->table[i], result);
			error = error ? error : WBC_E_REFUSED;
		}
	}
	return error;
}

static int wait_settled(const struct wait *w, const struct flush *f)
{
	struct control_shm *control = w->client->segment.control;
	int error;

	do {
		/* ORDER wake.event, acquire: loaded before what it is about. */
		uint32_t seen = order_acquire(&control->event);

		if (first_pending(f) == f->n)
			return 0;
		error = wait_on(w, seen);
	} while (!error);
	return error;
}

/* Wait for the tables that were asked for. */
static int end_flush(const struct wait *w, const struct flush *f,
                     struct wbc_flush_result *result)
{
	int error = wait_settled(w, f);
	unsigned pending = first_pending(f);
	int ended;

	if (error && pending != f->n)
		name_table(f, f->table[pending], result);
	ended = outcome(f, result);
	return error ? error : ended;
}

int wbc_flush(struct wbc *c, const struct wbc_table *t, int timeout_ms,
              struct wbc_flush_result *result)
{
	const struct wbci_segment *s = &c->client->segment;
	struct wait w = begin_wait(c->client, timeout_ms);
	struct wbc_flush_result none;
	struct flush f = {.s = s};
	struct wbci_thread *thread;
	uint64_t want;
	int error;

	if (!result)
		result = &none;
	memset(result, 0, sizeof(*result));
	error = wbci_handle_thread(c->client, &thread);
	if (error)
		return error;
	if (t)
		add_table(&f, t->number);
	else
		add_tables(&f, NULL);
	want = wbci_want(c->client, t ? &s->tables[t->number].want
	                              : &s->control->flush_want);
	for (unsigned i = 0; i < f.n; i++)
		f.want[i] = want;
	return end_flush(&w, &f, result);
}

int wbc_flush_connection(struct wbc *c, const char *connection, int timeout_ms,
                         struct wbc_flush_result *result)
{
	const struct wbci_segment *s = &c->client->segment;
	struct wait w = begin_wait(c->client, timeout_ms);
	struct wbc_flush_result none;
	struct flush f = {.s = s};
	struct wbci_thread *thread;
	int error;

	if (!result)
		result = &none;
	memset(result, 0, sizeof(*result));
	error = wbci_handle_thread(c->client, &thread);
	if (error)
		return error;
	add_tables(&f, connection);
	if (!f.n)
		return -ENOENT;
	for (unsigned i = 0; i < f.n; i++)
		f.want[i] = wbci_want(c->client, &s->tables[f.table[i]].want);
	return end_flush(&w, &f, result);
}
