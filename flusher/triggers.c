/* SPDX-License-Identifier: MIT */
/* Copyright the wbcshm authors */

/*
 * Flushes that nobody asks for: by the clock, by the length of a queue, and
 * because clients wait for memory.
 *
 * Tables without an interval of their own are due together.  None of these
 * tries sooner what has failed: a table that is parked or whose database is
 * away waits for its own time.
 */

#include "state.h"

#define MS_NS INT64_C(1000000)

/* By a clock of its own? */
static bool own_time(struct wbci_queue *q, int64_t now)
{
	int64_t interval = q->limits.flush_ms * MS_NS;
	bool due = q->next_flush_ns && now >= q->next_flush_ns;

	if (due || !q->next_flush_ns)
		q->next_flush_ns = now + interval;
	return due;
}

static bool is_due(struct wbci_queue *q, const struct wbci_config *c, bool all,
                   int64_t now)
{
	uint64_t most = q->limits.max_queue_rows ? q->limits.max_queue_rows
	                                         : c->max_queue_rows;
	bool due = q->limits.flush_ms ? own_time(q, now) : all;

	return due || q->waiting_rows + q->waiting_inserts >= most;
}

void wbci_ask_due_flushes(struct wbci_flusher *f, int64_t now)
{
	const struct wbci_config *c = wbci_config_get(&f->config);
	bool all = now >= f->due_ns;

	if (all)
		f->due_ns = now + c->flush_ms * MS_NS;
	f->next_flush_ns = f->due_ns;
	for (unsigned i = 0; i < f->queues.n; i++) {
		struct wbci_queue *q = f->queues.queue[i];

		if ((is_due(q, c, all, now) || f->pressed) &&
		    q->flush_to < f->synced)
			q->flush_to = f->synced;
		if (q->next_flush_ns && q->next_flush_ns < f->next_flush_ns)
			f->next_flush_ns = q->next_flush_ns;
	}
	wbci_config_put();
	f->pressed = false;
}
