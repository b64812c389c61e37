/* SPDX-License-Identifier: MIT */
/* Copyright the wbcshm authors */

/*
 * Connections: the databases by their names, each with a sink and a thread of
 * its own, so that one that is away holds up its own tables only.
 *
 * All of it is the collector's.  A connection stays in the list until the
 * end, since queues point to it; one that is in no configuration any more has
 * no thread.  Nothing here waits for a database: a thread is ended when
 * nothing is on its way to it.
 */
#ifndef WBCI_CONNECTION_H
#define WBCI_CONNECTION_H

#include <stdbool.h>
#include <stdint.h>

#include "apply.h"
#include "config.h"

struct wbci_queues;

/* Names that were used since the flusher started. */
#define WBCI_CONNECTION_NAMES 256u

struct wbci_connection {
	char name[WBC_NAME_MAX + 1];
	const struct wbci_sink_ops *ops;
	char *where;              /* what its thread writes to, or NULL */
	char *wanted;             /* what it is to write to, or NULL: nothing */
	struct wbci_apply *apply; /* its thread, or NULL */
	unsigned in_flight;       /* works that are on their way */

	bool away;      /* as far as we know */
	bool given_up;  /* away in the final flush: not tried again */
	unsigned tried; /* works that were sent in the final flush */
	int64_t away_until_ns;
	int64_t away_delay_ns;
};

struct wbci_connections {
	struct wbci_connection *connection[WBCI_CONNECTION_NAMES];
	unsigned n;
};

/* The connection of a name, made if there is none; NULL: no memory, or too
 * many names. */
struct wbci_connection *wbci_connection_find(struct wbci_connections *cs,
                                             const char *name);

/* What a connection is to write to from now on; NULL: nothing.  0, -ENOMEM. */
int wbci_connection_want(struct wbci_connection *c,
                         const struct wbci_sink_ops *ops, const char *where);

/* Take over a configuration's connections.  0, -ENOMEM, -E2BIG. */
int wbci_connections_configure(struct wbci_connections *cs,
                               const struct wbci_config *c);

/**
 * wbci_connections_step() - have the threads that are wanted
 * @qs: queues of a connection that has got another database, or none, begin
 *      anew with its ledger
 *
 * A thread with works on its way goes on with them; call again later.
 *
 * Return: 0, -ENOMEM, -errno.
 */
int wbci_connections_step(struct wbci_connections *cs, struct wbci_queues *qs,
                          struct wbci_client *client);
void wbci_connections_free(struct wbci_connections *cs);

/* May works be sent? */
bool wbci_connection_ready(const struct wbci_connection *c);

/* Has any thread answered? */
bool wbci_connections_answered(const struct wbci_connections *cs);

/* A flush was asked for: whatever failed is tried at once. */
void wbci_connections_try(struct wbci_connections *cs);

#endif
