/* SPDX-License-Identifier: MIT */
/* Copyright the wbcshm authors */

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "../shm/hot.h"
#include "../shm/table.h"
#include "handle.h"

/* What the hot path of adding by key looks at instead of the schema. */
static void prepare_hot(struct wbc_table *t)
{
	const struct wbci_schema *s = &t->schema;
	const struct wbci_column *key = &s->columns[s->key_column[0]];

	t->head = SPACE_ROW | (uint32_t)t->number << 8;
	t->seed = wbci_key_seed(&t->client->segment, SPACE_ROW,
	                         (uint8_t)t->number, 0);
	if (s->n_keys != 1 || key->type != WBC_TEXT)
		return;
	t->one_text = key->name;
	for (unsigned i = 0; i < s->n_columns; i++) {
		if (s->columns[i].role == ROLE_COUNTER &&
		    s->columns[i].type == WBC_INT64)
			t->plain_cell[i] = (uint8_t)(s->columns[i].index + 1);
	}
}

int wbc_table_declare(struct wbc *c, const char *spec, struct wbc_table **t,
                      char *message, size_t message_size)
{
	struct wbci_message m = {message, message_size};
	struct wbc_table *new = calloc(1, sizeof(*new));
	struct wbci_thread *thread;
	int error;

	wbci_say(&m, 0, "%s", "");
	if (!new)
		return -ENOMEM;
	error = wbci_schema_parse(&new->schema, spec, strlen(spec), &m);
	if (!error)
		error = wbci_handle_thread(c->client, &thread);
	if (!error)
		error = wbci_table_declare(thread, &new->schema, &m);
	if (error < 0) {
		free(new);
		return error;
	}
	new->number = (unsigned)error;
	new->c = c;
	new->client = c->client;
	new->id = c->client->id;
	prepare_hot(new);
	pthread_mutex_lock(&c->client->mutex);
	new->next = c->tables;
	c->tables = new;
	pthread_mutex_unlock(&c->client->mutex);
	*t = new;
	return 0;
}

void wbci_table_free(struct wbc_table *t)
{
	wbci_counters_free(t);
	free(t);
}

int wbc_column(const struct wbc_table *t, const char *name)
{
	return wbci_schema_column(&t->schema, name);
}
