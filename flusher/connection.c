/* SPDX-License-Identifier: MIT */
/* Copyright the wbcshm authors */

#include "connection.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../api/wbc_error.h"
#include "log.h"
#include "queue.h"

struct wbci_connection *wbci_connection_find(struct wbci_connections *cs,
                                             const char *name)
{
	struct wbci_connection *c;

	for (unsigned i = 0; i < cs->n; i++)
		if (!strcmp(cs->connection[i]->name, name))
			return cs->connection[i];
	if (cs->n == WBCI_CONNECTION_NAMES)
		return NULL;
	c = calloc(1, sizeof(*c));
	if (!c)
		return NULL;
	snprintf(c->name, sizeof(c->name), "%s", name);
	cs->connection[cs->n++] = c;
	return c;
}

int wbci_connection_want(struct wbci_connection *c,
                         const struct wbci_sink_ops *ops, const char *where)
{
	char *copy = where ? strdup(where) : NULL;

	if (where && !copy)
		return -ENOMEM;
	free(c->wanted);
	c->wanted = copy;
	c->ops = ops;
	return 0;
}

int wbci_connections_configure(struct wbci_connections *cs,
                               const struct wbci_config *config)
{
	struct wbci_connection *c;
	int error;

	for (unsigned i = 0; i < config->n_connections; i++) {
		c = wbci_connection_find(cs, config->connections[i].name);
		if (!c)
			return cs->n == WBCI_CONNECTION_NAMES ? -E2BIG
			                                      : -ENOMEM;
		error = wbci_connection_want(c, &wbci_sink_sqlite,
		                             config->connections[i].where);
		if (error)
			return error;
	}
	for (unsigned i = 0; i < cs->n; i++) {
		c = cs->connection[i];
		if (wbci_config_connection(config, c->name) < 0)
			wbci_connection_want(c, c->ops, NULL);
	}
	return 0;
}

bool wbci_connection_ready(const struct wbci_connection *c)
{
	return c->apply && c->wanted && !strcmp(c->where, c->wanted);
}

static void stop(struct wbci_connection *c)
{
	wbci_apply_stop(&c->apply);
	free(c->where);
	c->where = NULL;
	c->away = c->given_up = false;
	c->away_until_ns = c->away_delay_ns = 0;
}

/* Where the new database's ledger stands is not known. */
static void begin_anew(const struct wbci_connection *c, struct wbci_queues *qs)
{
	for (unsigned i = 0; i < qs->n; i++) {
		struct wbci_queue *q = qs->queue[i];

		if (q->connection != c)
			continue;
		q->reconciled = q->examined = false;
		q->retry_ns = 0;
	}
}

static int step(struct wbci_connection *c, struct wbci_queues *qs,
                struct wbci_client *client)
{
	int error = 0;

	if (c->in_flight || wbci_connection_ready(c) ||
	    (!c->apply && !c->wanted))
		return 0;
	if (c->apply)
		wbci_log("disconnected", LOG_TEXT("connection", c->name));
	stop(c);
	begin_anew(c, qs);
	if (!c->wanted)
		return 0;
	c->where = strdup(c->wanted);
	if (!c->where)
		return -ENOMEM;
	error = wbci_apply_start(&c->apply, c->ops, c->where, client);
	if (error) {
		free(c->where);
		c->where = NULL;
	}
	return error;
}

int wbci_connections_step(struct wbci_connections *cs, struct wbci_queues *qs,
                          struct wbci_client *client)
{
	int error = 0;

	for (unsigned i = 0; i < cs->n; i++) {
		int one = step(cs->connection[i], qs, client);

		error = error ? error : one;
	}
	return error;
}

void wbci_connections_free(struct wbci_connections *cs)
{
	for (unsigned i = 0; i < cs->n; i++) {
		stop(cs->connection[i]);
		free(cs->connection[i]->wanted);
		free(cs->connection[i]);
	}
	memset(cs, 0, sizeof(*cs));
}

bool wbci_connections_answered(const struct wbci_connections *cs)
{
	for (unsigned i = 0; i < cs->n; i++)
		if (cs->connection[i]->apply &&
		    wbci_apply_answered(cs->connection[i]->apply))
			return true;
	return false;
}

void wbci_connections_try(struct wbci_connections *cs)
{
	for (unsigned i = 0; i < cs->n; i++)
		cs->connection[i]->away_until_ns = 0;
}
