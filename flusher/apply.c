/* SPDX-License-Identifier: MIT */
/* Copyright the wbcshm authors */

#include "apply.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>
#include <urcu/wfcqueue.h>

#include "../shm/wake.h"
#include "log.h"

/* A work on its way. */
struct parcel {
	struct cds_wfcq_node link;
	struct wbci_work *work;
	void *tag;
	uint64_t attempt;
	/*
	 * The queue's own exchange orders the content already; ThreadSanitizer
	 * cannot see that inside the library, but understands this.
	 */
	_Atomic int handed;
};
static_assert(offsetof(struct parcel, link) == 0, "a link is its parcel");

struct channel {
	struct cds_wfcq_head head;
	struct cds_wfcq_tail tail;
};

struct wbci_apply {
	struct channel orders;
	struct channel answers;
	int bell; /* eventfd: orders were sent */
	pthread_t thread;
	const struct wbci_sink_ops *ops;
	struct wbci_sink *sink;
	const char *where; /* outlives us */
	struct wbci_client *client;
	uint64_t attempt; /* the collector's */
	struct parcel end;

	/* the sink's thread: works of this attempt are not tried any more */
	uint64_t away_attempt;
	char away_reason[192];
};

static void put(struct channel *c, struct parcel *p)
{
	cds_wfcq_node_init(&p->link);
	/* ORDER work.handed, release: all that is in it. */
	atomic_store_explicit(&p->handed, 1, memory_order_release);
	cds_wfcq_enqueue(&c->head, &c->tail, &p->link);
}

static struct parcel *get(struct channel *c)
{
	struct cds_wfcq_node *link =
		__cds_wfcq_dequeue_blocking(&c->head, &c->tail);
	struct parcel *p = (struct parcel *)(void *)link;

	if (!p)
		return NULL;
	/* ORDER work.handed, acquire. */
	atomic_load_explicit(&p->handed, memory_order_acquire);
	return p;
}

struct wbci_work *wbci_work_new(void)
{
	return calloc(1, sizeof(struct wbci_work));
}

void wbci_work_free(struct wbci_work **work)
{
	struct wbci_work *w = *work;

	*work = NULL;
	if (!w)
		return;
	wbci_rowset_free(&w->rows);
	free(w->examine);
	free(w->answers);
	free(w->fates);
	free(w->fetchers);
	free(w);
}

static void log_mismatch(void *arg, const char *words)
{
	const struct wbci_work *w = arg;

	wbci_log("mismatch", LOG_TEXT("table", w->table),
	         LOG_TEXT("reason", words));
}

static void ignore_words(void *arg, const char *words)
{
	(void)arg;
	(void)words;
}

static void do_work(struct wbci_apply *a, const struct parcel *p)
{
	struct wbci_work *w = p->work;
	int64_t began = wbci_now_ns();

	if (p->attempt == a->away_attempt) {
		w->outcome = OUTCOME_AWAY;
		memcpy(w->reason, a->away_reason, sizeof(w->reason));
		return;
	}
	/* One that is away says so below, and is looked at when it is back. */
	if (w->examine && a->ops->examine &&
	    a->ops->examine(a->where, NULL, ignore_words, NULL) >= 0)
		a->ops->examine(a->where, w->examine, log_mismatch, w);
	if (w->reads)
		w->outcome = a->ops->read(a->sink, w);
	else
		w->outcome = w->piece ? a->ops->apply(a->sink, w)
		                      : a->ops->check(a->sink, w);
	w->took_ns = wbci_now_ns() - began;
	if (w->outcome != OUTCOME_AWAY)
		return;
	a->away_attempt = p->attempt;
	memcpy(a->away_reason, w->reason, sizeof(a->away_reason));
}

/* All that is there; false at the end. */
static bool work_through(struct wbci_apply *a)
{
	struct parcel *p;

	while ((p = get(&a->orders))) {
		if (p == &a->end)
			return false;
		do_work(a, p);
		put(&a->answers, p);
		wbci_ring(&a->client->segment);
	}
	return true;
}

static void *sink_thread(void *arg)
{
	struct wbci_apply *a = arg;
	uint64_t rung;

	pthread_setname_np(pthread_self(), "wbc-sink");
	while (work_through(a))
		while (read(a->bell, &rung, sizeof(rung)) < 0 && errno == EINTR)
			;
	return NULL;
}

static void ring_bell(struct wbci_apply *a)
{
	uint64_t one = 1;

	/* It cannot fail short of 2^64 rings. */
	while (write(a->bell, &one, sizeof(one)) < 0 && errno == EINTR)
		;
}

static void destroy(struct wbci_apply *a)
{
	if (a->sink)
		a->ops->close(&a->sink);
	if (a->bell >= 0)
		close(a->bell);
	free(a);
}

int wbci_apply_start(struct wbci_apply **apply, const struct wbci_sink_ops *ops,
                     const char *where, struct wbci_client *client)
{
	struct wbci_apply *a = calloc(1, sizeof(*a));
	int error;

	if (!a)
		return -ENOMEM;
	a->ops = ops;
	a->where = where;
	a->client = client;
	a->attempt = 1;
	cds_wfcq_init(&a->orders.head, &a->orders.tail);
	cds_wfcq_init(&a->answers.head, &a->answers.tail);
	a->bell = eventfd(0, EFD_CLOEXEC);
	error = a->bell < 0 ? -errno : ops->open(&a->sink, where);
	if (!error)
		error = -pthread_create(&a->thread, NULL, sink_thread, a);
	if (error) {
		destroy(a);
		return error;
	}
	*apply = a;
	return 0;
}

void wbci_apply_stop(struct wbci_apply **apply)
{
	struct wbci_apply *a = *apply;
	struct wbci_work *work;
	void *tag;

	*apply = NULL;
	if (!a)
		return;
	put(&a->orders, &a->end);
	ring_bell(a);
	pthread_join(a->thread, NULL);
	while ((work = wbci_apply_take(a, &tag)))
		wbci_work_free(&work);
	destroy(a);
}

int wbci_apply_send(struct wbci_apply *a, struct wbci_work *work, void *tag)
{
	struct parcel *p = calloc(1, sizeof(*p));

	if (!p)
		return -ENOMEM;
	p->work = work;
	p->tag = tag;
	p->attempt = a->attempt;
	put(&a->orders, p);
	ring_bell(a);
	return 0;
}

struct wbci_work *wbci_apply_take(struct wbci_apply *a, void **tag)
{
	struct parcel *p = get(&a->answers);
	struct wbci_work *work;

	if (!p)
		return NULL;
	work = p->work;
	*tag = p->tag;
	free(p);
	return work;
}

bool wbci_apply_answered(struct wbci_apply *a)
{
	return !cds_wfcq_empty(&a->answers.head, &a->answers.tail);
}

void wbci_apply_try_again(struct wbci_apply *a)
{
	a->attempt++;
}
