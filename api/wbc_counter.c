/* SPDX-License-Identifier: MIT */
/* Copyright the wbcshm authors */

/*
 * Counter handles: the entry of one row, remembered.
 *
 * A handle is checked in each section by one load of the entry's word: the
 * incarnation says that it is still that entry, the state that it is LIVE.
 * Otherwise the row is found or made again by its key.  Threads share a
 * handle, so what it remembers is one pointer to something immutable.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "row.h"

/* Remember where the entry is, while in the section that found it. */
static void remember(struct wbc_counter *counter, struct wbci_place *place,
                     struct entry_shm *e)
{
	struct wbci_place *had;

	place->entry = e;
	place->total = wbci_entry_total(e, counter->cell);
	/* The incarnation is ours within the section; the state may be frozen
	 * by now, and a handle must not take a frozen entry for a live one. */
	place->word = wbci_entry_word(order_load(&e->word) >> 4, ENTRY_LIVE);
	had = order_acquire(&counter->place);
	/* Another thread was as quick. */
	if (had && had->entry == e && had->word == place->word) {
		free(place);
		return;
	}
	do {
		place->next = had;
	} while (!order_cas(&counter->place, &had, place));
}

/* Find or make the row by its key; a section is open after 0. */
static int find_again(struct wbc_counter *counter, struct wbci_thread *t,
                      struct entry_shm **e)
{
	struct wbci_place *place = malloc(sizeof(*place));
	uint64_t offset;
	int error;

	if (!place)
		return -ENOMEM;
	error = wbci_entry_open(t, &counter->key, &counter->table->schema, e,
	                        &offset);
	if (error) {
		free(place);
		return error;
	}
	remember(counter, place, *e);
	return 0;
}

/* Enter a section in which the counter's entry is LIVE. */
static inline int open_entry(struct wbc_counter *counter,
                             struct wbci_thread *t, struct entry_shm **e)
{
	/* Acquire: what the pointer points to was written before it. */
	struct wbci_place *place = order_acquire(&counter->place);

	if (__builtin_expect(place != NULL, 1)) {
		uint64_t word;

		wbci_enter(t);
		/* ORDER entry.state, acquire: LIVE, and the same one. */
		word = order_acquire(&place->entry->word);
		if (__builtin_expect(word == place->word, 1) ||
		    (word == wbci_entry_word(place->word >> 4, ENTRY_FROZEN) &&
		     /* ORDER entry.state, release: alive before we write. */
		     order_cas(&place->entry->word, &word, place->word))) {
			*e = place->entry;
			return 0;
		}
		wbci_exit(t);
	}
	return find_again(counter, t, e);
}

int wbc_counter_open(struct wbc_table *t, const struct wbc_value *key,
                     size_t n_key, unsigned column,
                     struct wbc_counter **counter)
{
	const struct wbci_column *c;
	unsigned char bytes[WBC_KEY_MAX];
	struct wbci_thread *thread;
	struct wbc_counter *new;
	struct entry_shm *e;
	int len, error;

	if (column >= t->schema.n_columns)
		return WBC_E_COLUMN;
	c = &t->schema.columns[column];
	if (c->role != ROLE_COUNTER)
		return WBC_E_COLUMN;
	len = wbci_key_encode(&t->schema, key, n_key, bytes);
	if (len < 0)
		return len;
	error = wbci_handle_thread(t->c->client, &thread);
	if (error)
		return error;
	new = calloc(1, sizeof(*new) + (size_t)len);
	if (!new)
		return -ENOMEM;
	new->client = t->client;
	new->control = t->client->segment.control;
	new->id = t->id;
	new->cell = c->index;
	new->type = c->type;
	new->table = t;
	memcpy(new->bytes, bytes, (size_t)len);
	wbci_key_init(&new->client->segment, &new->key, SPACE_ROW,
	              (uint8_t)t->number, new->bytes, (uint16_t)len);
	error = open_entry(new, thread, &e);
	if (error) {
		free(new);
		return error;
	}
	wbci_exit(thread);
	pthread_mutex_lock(&t->client->mutex);
	new->next = t->counters;
	t->counters = new;
	pthread_mutex_unlock(&t->client->mutex);
	*counter = new;
	return 0;
}

static void free_counter(struct wbc_counter *counter)
{
	struct wbci_place *place = order_load(&counter->place);

	while (place) {
		struct wbci_place *next = place->next;

		free(place);
		place = next;
	}
	free(counter);
}

void wbci_counters_free(struct wbc_table *t)
{
	while (t->counters) {
		struct wbc_counter *next = t->counters->next;

		free_counter(t->counters);
		t->counters = next;
	}
}

void wbc_counter_close(struct wbc_counter **counter)
{
	struct wbc_counter *old = *counter;
	struct wbc_counter **at;

	*counter = NULL;
	if (!old)
		return;
	pthread_mutex_lock(&old->client->mutex);
	for (at = &old->table->counters; *at; at = &(*at)->next) {
		if (*at == old) {
			*at = old->next;
			break;
		}
	}
	pthread_mutex_unlock(&old->client->mutex);
	free_counter(old);
}

static __attribute__((noinline)) int add_slow(struct wbc_counter *counter,
                                              int64_t delta)
{
	struct wbci_thread *t;
	struct entry_shm *e;
	uint64_t total;
	int error;

	if (counter->type != WBC_INT64)
		return WBC_E_TYPE;
	error = wbci_handle_thread(counter->client, &t);
	if (error)
		return error;
	error = open_entry(counter, t, &e);
	if (error)
		return error;
	error = wbci_cell_add_int64(t, e, counter->cell, delta, &total);
	wbci_exit(t);
	return error;
}

/*
 * Everything unusual is left to add_slow(), so that this needs no stack.  A
 * segment that is closed gets a new cycle, so no entry is ready then.
 */
int wbc_counter_add(struct wbc_counter *counter, int64_t delta)
{
	struct wbci_thread *t = wbci_thread_fast(counter->id);
	struct wbci_place *place = order_acquire(&counter->place);
	struct control_shm *control = counter->control;
	order_u64 *epoch = wbci_cache.epoch;
	order_u64 *total = place->total;

	if (__builtin_expect(!t || counter->type != WBC_INT64, 0))
		return add_slow(counter, delta);
	wbci_enter_hot(control, epoch);
	/* ORDER entry.state, acquire: LIVE, and the same one. */
	if (__builtin_expect(
	            order_acquire(&place->entry->word) != place->word ||
	                    !wbci_cell_ready(control, place->entry, total,
	                                     delta),
	            0)) {
		wbci_exit_hot(epoch);
		return add_slow(counter, delta);
	}
	/* ORDER cell.total, release: as in wbci_cell_add_int64(). */
	order_add_release(total, (uint64_t)delta);
	wbci_exit_hot(epoch);
	return 0;
}

int wbc_counter_add_double(struct wbc_counter *counter, double delta)
{
	struct wbci_thread *t;
	struct entry_shm *e;
	double total;
	int error;

	if (counter->type != WBC_DOUBLE)
		return WBC_E_TYPE;
	if (!isfinite(delta))
		return WBC_E_NAN;
	error = wbci_handle_thread(counter->client, &t);
	if (!error)
		error = open_entry(counter, t, &e);
	if (error)
		return error;
	error = wbci_cell_add_double(t, e, counter->cell, delta, &total);
	wbci_exit(t);
	return error;
}

/* The value of the counter's cell, asked for if it is not known. */
static int read_counter(struct wbc_counter *counter, int64_t *i, double *d)
{
	struct asking asked = {0, false};
	struct wbci_thread *t;
	struct entry_shm *e;
	int result, error;
	uint64_t offset;
	bool known;

	error = wbci_handle_thread(counter->client, &t);
	while (!error) {
		error = open_entry(counter, t, &e);
		if (error)
			break;
		result = i ? wbci_row_int64(e, counter->cell, i)
		           : wbci_row_double(e, counter->cell, d);
		known = wbci_row_known(counter->table, e,
		                       result != WBC_E_UNKNOWN, &asked);
		offset = wbci_offset(&counter->client->segment, e);
		wbci_exit(t);
		if (known)
			return result;
		error = wbci_row_ask(t, offset, &asked);
		if (error && result != WBC_E_UNKNOWN)
			return result;
	}
	return error;
}

int wbc_counter_read(struct wbc_counter *counter, int64_t *value)
{
	return counter->type == WBC_INT64 ? read_counter(counter, value, NULL)
	                                  : WBC_E_TYPE;
}

int wbc_counter_read_double(struct wbc_counter *counter, double *value)
{
	return counter->type == WBC_DOUBLE ? read_counter(counter, NULL, value)
	                                   : WBC_E_TYPE;
}
