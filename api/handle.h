/* SPDX-License-Identifier: MIT */
/* Copyright the wbcshm authors */

/* What the opaque handles of wbcshm.h are. */
#ifndef WBCI_HANDLE_H
#define WBCI_HANDLE_H

#include <errno.h>
#include <pthread.h>

#include "../shm/client.h"
#include "../shm/index.h"
#include "../shm/schema.h"
#include "wbcshm.h"

struct wbc {
	struct wbci_client *client;
	struct wbc_table *tables; /* under the client's mutex, as below */
};

struct wbc_table {
	struct wbci_client *client;
	uint64_t id; /* the client's */
	struct wbc *c;
	struct wbc_table *next;
	struct wbc_counter *counters;
	unsigned number;
	uint64_t seed;        /* of its keys' hashes */
	uint32_t head;        /* of its keys, but for the length */
	const char *one_text; /* its name, if the key is one text column */
	/* If it is: cell + 1 of a column that is an int64 counter, else 0. */
	uint8_t plain_cell[WBC_COLUMNS_MAX];
	struct wbci_schema schema;
};

/* Where a counter's entry was last found.  Immutable once it is seen. */
struct wbci_place {
	struct wbci_place *next; /* all of a counter's, freed with it */
	struct entry_shm *entry;
	order_u64 *total; /* of the counter's cell */
	uint64_t word; /* of that incarnation, LIVE */
};

struct wbc_counter {
	_Atomic(struct wbci_place *) place;
	struct control_shm *control;
	uint64_t id; /* the client's */
	struct wbci_client *client;
	uint8_t cell;
	uint8_t type; /* enum wbc_type */
	struct wbc_table *table;
	struct wbc_counter *next;
	struct wbci_key key;
	unsigned char bytes[];
};

/* The calling thread's place, or -ESTALE if the segment was closed. */
static inline int wbci_handle_thread(struct wbci_client *c,
                                     struct wbci_thread **t)
{
	int error = wbci_thread(c, t);

	if (__builtin_expect(error, 0))
		return error;
	/* Relaxed: a closed segment stays closed; sooner or later we see. */
	if (__builtin_expect(order_load(&(*t)->control->closed), 0))
		return -ESTALE;
	return 0;
}

/* Free a table with its counters. */
void wbci_table_free(struct wbc_table *t);
void wbci_counters_free(struct wbc_table *t);

#endif
