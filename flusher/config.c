/* SPDX-License-Identifier: MIT */
/* Copyright the wbcshm authors */

#include "config.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <urcu/urcu-memb.h>

#include "../api/wbc_error.h"

/* The address of a segment however it was said; NULL: no memory. */
static char *full_address(const char *said)
{
	bool bare = strncmp(said, "shm:", 4) != 0;
	size_t bytes = strlen(said) + 5;
	char *address = malloc(bytes);

	if (address)
		snprintf(address, bytes, "%s%s", bare ? "shm:" : "", said);
	return address;
}

int wbci_config_connection(const struct wbci_config *c, const char *name)
{
	for (unsigned i = 0; i < c->n_connections; i++)
		if (!strcmp(c->connections[i].name, name))
			return (int)i;
	return -1;
}

static int check_table(const struct wbci_config *c, unsigned i,
                       const struct wbci_message *m)
{
	const struct wbci_schema *t = &c->tables[i];

	if (wbci_config_connection(c, t->connection) < 0 &&
	    !strcmp(t->connection, "default"))
		return wbci_say(m, -EINVAL,
		                "table %s: no connection default: give "
		                "--sqlite FILE, or name another before a dot",
		                t->name);
	if (wbci_config_connection(c, t->connection) < 0)
		return wbci_say(m, -EINVAL,
		                "table %s.%s: no such connection; --sqlite is "
		                "the connection default, so leave out "
		                "\"%s.\", or have [connection %s] in the "
		                "configuration file",
		                t->connection, t->name, t->connection,
		                t->connection);
	for (unsigned other = 0; other < i; other++)
		if (!strcmp(c->tables[other].name, t->name) &&
		    !strcmp(c->tables[other].connection, t->connection))
			return wbci_say(m, -EINVAL,
			                "table %s: given twice; give all its "
			                "columns in one --table",
			                t->name);
	return 0;
}

static int parse_tables(struct wbci_config *c,
                        const struct wbci_flusher_config *said,
                        const struct wbci_message *m)
{
	int error;

	for (unsigned i = 0; i < said->n_tables; i++) {
		error = wbci_schema_parse(&c->tables[i], said->tables[i],
		                          strlen(said->tables[i]), m);
		c->n_tables = i + 1;
		if (!error)
			error = check_table(c, i, m);
		if (error)
			return error;
		if (said->limits)
			c->limits[i] = said->limits[i];
	}
	return 0;
}

static int add_connection(struct wbci_config *c, const char *name,
                          const char *where, const struct wbci_message *m)
{
	struct wbci_config_connection *to = &c->connections[c->n_connections];

	if (c->n_connections == WBCI_CONNECTIONS_MAX)
		return wbci_say(m, -E2BIG, "connection %s: at most %u", name,
		                WBCI_CONNECTIONS_MAX);
	if (strlen(name) > WBC_NAME_MAX)
		return wbci_say(m, -ENAMETOOLONG,
		                "connection %s: at most %d bytes", name,
		                WBC_NAME_MAX);
	if (wbci_config_connection(c, name) >= 0)
		return wbci_say(m, -EINVAL, "connection %s: given twice", name);
	for (unsigned i = 0; i < c->n_connections; i++)
		if (!strcmp(c->connections[i].where, where))
			return wbci_say(m, -EINVAL,
			                "connection %s: the same database as "
			                "connection %s; use one for both",
			                name, c->connections[i].name);
	to->where = strdup(where);
	if (!to->where)
		return wbci_say(m, -ENOMEM, "configuration: no memory");
	snprintf(to->name, sizeof(to->name), "%s", name);
	c->n_connections++;
	return 0;
}

/* --sqlite comes before whatever else is called default. */
static int add_connections(struct wbci_config *c,
                           const struct wbci_flusher_config *said,
                           const struct wbci_message *m)
{
	int error = 0;

	if (said->sqlite)
		error = add_connection(c, "default", said->sqlite, m);
	for (unsigned i = 0; i < said->n_connections && !error; i++) {
		const struct wbci_said_connection *from = &said->connections[i];

		if (!said->sqlite || strcmp(from->name, "default") != 0)
			error = add_connection(c, from->name, from->where, m);
	}
	return error;
}

static int check_said(const struct wbci_flusher_config *said,
                      const struct wbci_message *m)
{
	if (!said->segment || !*said->segment)
		return wbci_say(m, -EINVAL,
		                "no segment: give --segment NAME, or set "
		                "WBC_SEGMENT");
	if (!said->journal || !*said->journal)
		return wbci_say(m, -EINVAL, "no journal: give --journal DIR");
	if (said->sqlite ? !*said->sqlite : !said->n_connections)
		return wbci_say(m, -EINVAL, "no database: give --sqlite FILE");
	if (said->n_tables > WBC_TABLES_MAX)
		return wbci_say(m, -E2BIG, "%u tables: at most %u",
		                said->n_tables, WBC_TABLES_MAX);
	return 0;
}

/* In whole seconds, no shorter than what was said. */
static uint32_t base_ttl_s(uint32_t said_ms)
{
	if (said_ms == UINT32_MAX)
		return 0;
	return (said_ms ? said_ms : WBCI_BASE_TTL_MS) / 1000 +
	       (said_ms % 1000 != 0);
}

int wbci_config_new(struct wbci_config **config,
                    const struct wbci_flusher_config *said,
                    const struct wbci_message *m)
{
	struct wbci_config *c;
	int error = check_said(said, m);

	if (error)
		return error;
	c = calloc(1, sizeof(*c) + said->n_tables * sizeof(c->tables[0]));
	if (!c)
		return wbci_say(m, -ENOMEM, "configuration: no memory");
	c->address = full_address(said->segment);
	c->journal = strdup(said->journal);
	c->limits = calloc(said->n_tables + 1, sizeof(*c->limits));
	c->create = said->create;
	c->how = said->how;
	c->journal_ms = said->journal_ms ? said->journal_ms : WBCI_JOURNAL_MS;
	c->flush_ms = said->flush_ms ? said->flush_ms : WBCI_FLUSH_MS;
	c->idle_ms = said->idle_ms ? said->idle_ms : WBCI_IDLE_MS;
	c->base_ttl_s = base_ttl_s(said->base_ttl_ms);
	c->max_queue_rows = said->max_queue_rows ? said->max_queue_rows
	                                         : WBCI_MAX_QUEUE_ROWS;
	if (!c->address || !c->journal || !c->limits)
		error = wbci_say(m, -ENOMEM, "configuration: no memory");
	if (!error)
		error = add_connections(c, said, m);
	if (!error)
		error = parse_tables(c, said, m);
	if (error) {
		wbci_config_free(&c);
		return error;
	}
	*config = c;
	return 0;
}

static int stays(const char *what, const struct wbci_message *m)
{
	return wbci_say(m, -EINVAL,
	                "%s cannot change while the flusher runs: put it back, "
	                "or end wbc-flusher and start it anew; nothing was "
	                "changed",
	                what);
}

int wbci_config_fixed(const struct wbci_config *now,
                      const struct wbci_config *next,
                      const struct wbci_message *m)
{
	if (strcmp(now->address, next->address) != 0)
		return stays("[segment] name", m);
	if (strcmp(now->journal, next->journal) != 0)
		return stays("[flush] journal", m);
	if (now->create != next->create)
		return stays("[segment] create", m);
	if (now->how.max_bytes != next->how.max_bytes)
		return stays("[segment] max_size", m);
	if (now->how.capacity != next->how.capacity)
		return stays("[segment] capacity", m);
	if (now->how.mode != next->how.mode)
		return stays("[segment] mode", m);
	return 0;
}

void wbci_config_free(struct wbci_config **config)
{
	struct wbci_config *c = *config;

	*config = NULL;
	if (!c)
		return;
	free(c->address);
	free(c->journal);
	for (unsigned i = 0; i < c->n_connections; i++)
		free(c->connections[i].where);
	free(c->limits);
	free(c);
}

void wbci_config_publish(struct wbci_config **place, struct wbci_config *c)
{
	struct wbci_config *old = rcu_xchg_pointer(place, c);

	if (!old)
		return;
	urcu_memb_synchronize_rcu();
	wbci_config_free(&old);
}

const struct wbci_config *wbci_config_get(struct wbci_config *const *place)
{
	urcu_memb_read_lock();
	return rcu_dereference(*place);
}

void wbci_config_put(void)
{
	urcu_memb_read_unlock();
}
