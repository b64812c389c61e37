/* SPDX-License-Identifier: MIT */
/* Copyright the wbcshm authors */

/*
 * What the flusher was told to do.
 *
 * struct wbci_flusher_config is what the command line, or a test, says;
 * struct wbci_config is our checked copy of it, which never changes.  The
 * copy in use is published by RCU: readers look at it between
 * wbci_config_get() and wbci_config_put() and keep no pointer into it.
 */
#ifndef WBCI_CONFIG_H
#define WBCI_CONFIG_H

#include <stdbool.h>
#include <stdint.h>

#include "../shm/message.h"
#include "../shm/schema.h"
#include "../shm/segment.h"

struct wbci_flusher_config {
	const char *segment; /* NAME, "shm:NAME", "shm:/path" or "/path" */
	const char *journal; /* directory */
	const char *sqlite;  /* database file */
	const char *const *tables; /* specifications */
	unsigned n_tables;
	bool create; /* the segment, if it is missing */
	struct wbci_create how;
	uint32_t journal_ms;     /* 0 means 200 */
	uint32_t flush_ms;       /* 0 means 5000 */
	uint32_t idle_ms;        /* 0 means 600000 */
	uint32_t base_ttl_ms;    /* 0 means 60000; UINT32_MAX: never */
	uint64_t max_queue_rows; /* 0 means 10000 */
};

struct wbci_config {
	char *address; /* of the segment, beginning with "shm:" */
	char *journal;
	char *sqlite;
	bool create;
	struct wbci_create how;
	uint32_t journal_ms;
	uint32_t flush_ms;
	uint32_t idle_ms; /* an entry not changed for that long is removed */
	uint32_t base_ttl_s; /* what is older is read anew; 0: never */
	uint64_t max_queue_rows;
	unsigned n_tables;
	struct wbci_schema tables[];
};

#define WBCI_JOURNAL_MS 200u
#define WBCI_FLUSH_MS 5000u
#define WBCI_IDLE_MS 600000u
#define WBCI_BASE_TTL_MS 60000u
#define WBCI_MAX_QUEUE_ROWS 10000u

/**
 * wbci_config_new() - a checked copy of what was said
 * Return: 0, -ENOMEM, -EINVAL, WBC_E_SPEC, -ENAMETOOLONG, -E2BIG.
 */
int wbci_config_new(struct wbci_config **c,
                    const struct wbci_flusher_config *said,
                    const struct wbci_message *m);
void wbci_config_free(struct wbci_config **c);

/* Publish a configuration in place of another one, which is freed when
 * nobody reads it any more.  @c may be NULL.  Not within a get. */
void wbci_config_publish(struct wbci_config **place, struct wbci_config *c);

/* Read the published one, from a thread registered with liburcu. */
const struct wbci_config *wbci_config_get(struct wbci_config *const *place);
void wbci_config_put(void);

#endif
