/* SPDX-License-Identifier: MIT */
/* Copyright the wbcshm authors */

/*
 * Another configuration for a flusher that runs.
 *
 * It is checked as a whole and published by the caller's thread, or nothing is
 * changed.  The collector takes it over at its next turn: tables, connections
 * and intervals.  What it needs memory or a thread for and cannot get is tried
 * again with each of its rounds.
 *
 * A table that is gone parks like one that the flusher was never told of; what
 * is journaled of it stays there.  Queues are known by connection and name, so
 * a table that was moved to another connection is a new one: what was
 * journaled for the old one waits until that is configured again.  A
 * connection that has got another database goes on by that one's ledger: a
 * copy or the moved file goes on, any other database parks the tables.
 */

#include <errno.h>
#include <string.h>

#include "../api/wbc_error.h"
#include "../shm/wake.h"
#include "log.h"
#include "state.h"

#define MS_NS INT64_C(1000000)

bool wbci_config_waits(const struct wbci_flusher *f)
{
	return atomic_load(&f->config_wanted) != f->config_tried;
}

static void sooner(int64_t *when, int64_t then)
{
	if (then < *when)
		*when = then;
}

static int take_over(struct wbci_flusher *f, const struct wbci_config *c)
{
	int64_t now = wbci_now_ns();
	int error = wbci_connections_configure(&f->connections, c);

	if (!error)
		error = wbci_queues_configure(&f->queues, &f->connections, c);
	sooner(&f->due_ns, now + c->flush_ms * MS_NS);
	sooner(&f->next_flush_ns, now);
	sooner(&f->next_round_ns, now + c->journal_ms * MS_NS);
	return error;
}

/* Whoever waits for it may see how it went. */
static void say_taken(struct wbci_flusher *f, uint64_t number, int error)
{
	pthread_mutex_lock(&f->mutex);
	f->config_tried = number;
	f->config_error = error;
	pthread_cond_signal(&f->started);
	pthread_mutex_unlock(&f->mutex);
}

void wbci_config_take(struct wbci_flusher *f)
{
	const struct wbci_config *c = wbci_config_get(&f->config);
	uint64_t number = c->number;
	int error = 0;

	if (number != f->config_tried || f->config_error)
		error = take_over(f, c);
	wbci_config_put();
	/* Also later: a thread is replaced when nothing is on its way. */
	if (!error)
		error = wbci_connections_step(&f->connections, &f->queues,
		                              f->client);
	if (number == f->config_tried && error == f->config_error)
		return;
	if (error)
		wbci_log("reload-incomplete",
		         LOG_TEXT("reason", wbc_strerror(error)));
	say_taken(f, number, error);
}

static int wait_taken(struct wbci_flusher *f, uint64_t number,
                      const struct wbci_message *m)
{
	int error;

	pthread_mutex_lock(&f->mutex);
	if (f->ring)
		wbci_ring(&f->ring->segment);
	while (f->ring && f->config_tried != number)
		pthread_cond_wait(&f->started, &f->mutex);
	error = f->config_tried == number ? f->config_error : -ESRCH;
	pthread_mutex_unlock(&f->mutex);
	return error ? wbci_say(m, error,
	                        "the configuration is not taken over as a "
	                        "whole yet: %s",
	                        wbc_strerror(error))
	             : 0;
}

int wbci_flusher_reload(struct wbci_flusher *f,
                        const struct wbci_flusher_config *said,
                        const struct wbci_message *m)
{
	/* Only this thread publishes, so what is published stays. */
	const struct wbci_config *now = f->config;
	struct wbci_config *next;
	uint64_t number = now->number + 1;
	int error = wbci_config_new(&next, said, m);

	if (error)
		return error;
	error = wbci_config_fixed(now, next, m);
	if (error) {
		wbci_config_free(&next);
		return error;
	}
	next->number = number;
	wbci_config_publish(&f->config, next);
	atomic_store(&f->config_wanted, number);
	return wait_taken(f, number, m);
}
