/* SPDX-License-Identifier: MIT */
/* Copyright the wbcshm authors */

#include "queue.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../api/wbc_error.h"
#include "../shm/table.h"
#include "frame.h"
#include "log.h"

struct wbci_queue *wbci_queue_find(struct wbci_queues *qs, const char *name)
{
	struct wbci_queue *q;

	for (unsigned i = 0; i < qs->n; i++)
		if (!strcmp(qs->queue[i]->name, name))
			return qs->queue[i];
	if (qs->n == WBCI_QUEUES_MAX)
		return NULL;
	q = calloc(1, sizeof(*q));
	if (!q)
		return NULL;
	snprintf(q->name, sizeof(q->name), "%s", name);
	q->id = qs->n;
	q->segment_table = -1;
	qs->queue[qs->n++] = q;
	return q;
}

static void free_queue(struct wbci_queue *q)
{
	if (q->fresh)
		wbci_rowset_free(q->fresh);
	free(q->fresh);
	free(q->configured.spec);
	free(q->declared.spec);
	free(q->batches);
	free(q);
}

void wbci_queues_free(struct wbci_queues *qs)
{
	for (unsigned i = 0; i < qs->n; i++)
		free_queue(qs->queue[i]);
	memset(qs, 0, sizeof(*qs));
}

void wbci_queue_name(const struct wbci_schema *s, char *name)
{
	snprintf(name, WBCI_TABLE_NAME, "%s.%s", s->connection, s->name);
}

int wbci_queue_declare(struct wbci_declared *d, const struct wbci_schema *s)
{
	char *text = malloc(WBCI_SPEC_MAX);
	size_t bytes;

	if (!text)
		return -ENOMEM;
	bytes = wbci_schema_text(s, text);
	free(d->spec);
	d->spec = text;
	d->spec_hash = wbci_hash(text, bytes);
	d->schema = *s;
	d->known = true;
	return 0;
}

/* A table that the configuration has no more parks like one it never had. */
static void forget_others(struct wbci_queues *qs, const struct wbci_config *c)
{
	char name[WBCI_TABLE_NAME];
	struct wbci_queue *q;
	unsigned i;

	for (unsigned at = 0; at < qs->n; at++) {
		q = qs->queue[at];
		for (i = 0; i < c->n_tables; i++) {
			wbci_queue_name(&c->tables[i], name);
			if (!strcmp(q->name, name))
				break;
		}
		if (i < c->n_tables)
			continue;
		q->configured.known = false;
		q->limits = (struct wbci_limits){0, 0};
	}
}

int wbci_queues_configure(struct wbci_queues *qs, struct wbci_connections *cs,
                          const struct wbci_config *c)
{
	char name[WBCI_TABLE_NAME];
	struct wbci_queue *q;

	for (unsigned i = 0; i < c->n_tables; i++) {
		wbci_queue_name(&c->tables[i], name);
		q = wbci_queue_find(qs, name);
		if (!q || wbci_queue_declare(&q->configured, &c->tables[i]))
			return -ENOMEM;
		q->connection =
			wbci_connection_find(cs, c->tables[i].connection);
		if (!q->connection)
			return -ENOMEM;
		q->limits = c->limits[i];
		q->next_flush_ns = 0;
		q->examined = false;
	}
	forget_others(qs, c);
	return 0;
}

static void refuse_table(unsigned table, const char *why)
{
	wbci_log("bad-table", LOG_NUMBER("number", table),
	         LOG_TEXT("reason", why));
}

static int take_table(struct wbci_queues *qs, unsigned table,
                      const struct wbci_schema *schema)
{
	char name[WBCI_TABLE_NAME];
	struct wbci_queue *q;
	int error;

	wbci_queue_name(schema, name);
	q = wbci_queue_find(qs, name);
	if (!q)
		return -ENOMEM;
	if (q->segment_table >= 0) {
		refuse_table(table, "its name stands in the segment twice");
		return 0;
	}
	error = wbci_queue_declare(&q->declared, schema);
	if (error)
		return error;
	q->segment_table = (int)table;
	q->published_parked = 1; /* so that the first words are published */
	qs->of_table[table] = q;
	return 0;
}

int wbci_queues_refresh(struct wbci_queues *qs, const struct wbci_segment *s)
{
	struct wbci_schema schema;
	int error;

	while (qs->n_tables < WBC_TABLES_MAX) {
		error = wbci_table_schema(s, qs->n_tables, &schema, NULL);
		if (error == -ENOENT)
			return 0;
		if (error)
			refuse_table(qs->n_tables,
			             "its declaration in the segment is "
			             "damaged");
		else
			error = take_table(qs, qs->n_tables, &schema);
		if (error == -ENOMEM)
			return error;
		qs->n_tables++;
	}
	return 0;
}

void wbci_queues_reset(struct wbci_queues *qs)
{
	for (unsigned i = 0; i < qs->n; i++) {
		struct wbci_queue *q = qs->queue[i];

		memset(&q->record, 0, sizeof(q->record));
		q->n_batches = 0;
		q->waiting_rows = 0;
		q->waiting_inserts = 0;
		q->planned_rows = 0;
		q->planned_first = 0;
		q->reconciled = false;
	}
}

int wbci_queue_push(struct wbci_queue *q, const struct wbci_batch *batch)
{
	unsigned room = q->batches_room ? q->batches_room * 2 : 32;
	struct wbci_batch *larger;

	if (q->n_batches == q->batches_room) {
		larger = realloc(q->batches, room * sizeof(*larger));
		if (!larger)
			return -ENOMEM;
		q->batches = larger;
		q->batches_room = room;
	}
	q->batches[q->n_batches++] = *batch;
	q->waiting_inserts += batch->inserts;
	return 0;
}

static void forget_batches(struct wbci_queue *q, unsigned from, unsigned n)
{
	for (unsigned i = from; i < from + n; i++)
		q->waiting_inserts -= q->batches[i].inserts;
	q->n_batches -= n;
}

void wbci_queue_drop_first(struct wbci_queue *q, unsigned n)
{
	forget_batches(q, 0, n);
	memmove(q->batches, q->batches + n,
	        q->n_batches * sizeof(q->batches[0]));
}

void wbci_queue_drop_last(struct wbci_queue *q, unsigned n)
{
	forget_batches(q, q->n_batches - n, n);
}

static bool is_default(const char *name)
{
	return !strncmp(name, "default.", 8);
}

const char *wbci_queue_label(const struct wbci_queue *q)
{
	return is_default(q->name) ? q->name + 8 : q->name;
}

int wbci_queue_mismatch(struct wbci_queue *q)
{
	struct wbci_message m = {q->reason, sizeof(q->reason)};

	/* --table would be refused for it if there is no such connection. */
	if (!q->configured.known && !is_default(q->name))
		return wbci_say(&m, WBC_E_TABLE,
		                "table %s: the flusher was not told of it; add "
		                "it to the configuration file, with its "
		                "connection, or declare the table as \"%s\"",
		                q->name, strchr(q->name, '.') + 1);
	if (!q->configured.known)
		return wbci_say(&m, WBC_E_TABLE,
		                "table %s: the flusher was not told of it; add "
		                "it to the configuration file, or start "
		                "wbc-flusher with --table '%s'",
		                wbci_queue_label(q),
		                q->declared.known ? q->declared.spec
		                                  : "SPECIFICATION");
	if (q->declared.known &&
	    q->declared.spec_hash != q->configured.spec_hash)
		return wbci_say(&m, WBC_E_SCHEMA,
		                "table %s: the flusher was told of another "
		                "one; give it as the segment has it: --table "
		                "'%s'",
		                wbci_queue_label(q), q->declared.spec);
	return 0;
}
