/* SPDX-License-Identifier: MIT */
/* Copyright the wbcshm authors */

/*
 * A sink's thread, joined with the collector's by two queues.
 *
 * who            does
 * the collector  wbci_apply_send, wbci_apply_take, wbci_apply_try_again
 * the sink       takes works in their order, has the sink do them, answers
 *
 * A work belongs to whoever took it last.  The sink's thread sleeps on an
 * eventfd, the collector on the segment's futex, which an answer rings.
 */
#ifndef WBCI_APPLY_H
#define WBCI_APPLY_H

#include "../shm/client.h"
#include "sink.h"

struct wbci_apply;

/**
 * wbci_apply_start() - begin the sink's thread
 * @ops:    what it works with
 * @where:  the database; outlives the thread
 * @client: whose segment's futex an answer rings
 *
 * Return: 0, -ENOMEM, -errno.
 */
int wbci_apply_start(struct wbci_apply **a, const struct wbci_sink_ops *ops,
                     const char *where, struct wbci_client *client);

/* End the thread once it has answered all; answers not taken are freed. */
void wbci_apply_stop(struct wbci_apply **a);

/* An empty work, or NULL: no memory; and its end, with all that it holds. */
struct wbci_work *wbci_work_new(void);
void wbci_work_free(struct wbci_work **work);

/* Hand a work over.  0, or -ENOMEM: it is still the caller's. */
int wbci_apply_send(struct wbci_apply *a, struct wbci_work *work, void *tag);

/* An answer, or NULL: there is none.  @tag is what it was sent with. */
struct wbci_work *wbci_apply_take(struct wbci_apply *a, void **tag);

/* Is there an answer? */
bool wbci_apply_answered(struct wbci_apply *a);

/*
 * After OUTCOME_AWAY whatever was sent before is answered the same, without
 * trying, so that many tables do not each wait for a locked database.  What
 * is sent after this call is tried.
 */
void wbci_apply_try_again(struct wbci_apply *a);

#endif
