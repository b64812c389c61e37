/* SPDX-License-Identifier: MIT */
/* Copyright the wbcshm authors */

/*
 * What the flusher was told to do.
 *
 * struct wbci_flusher_config is what the command line, a file (settings.h) or
 * a test says; struct wbci_config is our checked copy of it, which never
 * changes.  The copy in use is published by RCU: readers look at it between
 * wbci_config_get() and wbci_config_put() and keep no pointer into it.
 */
#ifndef WBCI_CONFIG_H
#define WBCI_CONFIG_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "../shm/message.h"
#include "../shm/schema.h"
#include "../shm/segment.h"

/* Each has a thread and a sink of its own. */
#define WBCI_CONNECTIONS_MAX 32u

/* A database: what `where` is depends on its kind, and is shown to nobody. */
struct wbci_said_connection {
	const char *name;
	const char *where; /* the SQLite file */
};

/* When a table is written without being asked for; 0: as all others. */
struct wbci_limits {
	uint64_t max_queue_rows;
	uint32_t flush_ms;
};

struct wbci_flusher_config {
	const char *segment; /* NAME, "shm:NAME", "shm:/path" or "/path" */
	const char *journal; /* directory */
	const char *sqlite;  /* file of the connection `default`, or NULL */
	const struct wbci_said_connection *connections;
	unsigned n_connections;           /* besides or including that one */
	const char *const *tables;        /* specifications */
	const struct wbci_limits *limits; /* of each of them, or NULL */
	unsigned n_tables;
	bool create; /* the segment, if it is missing */
	struct wbci_create how;
	uint32_t journal_ms;     /* 0 means 200 */
	uint32_t flush_ms;       /* 0 means 5000 */
	uint32_t idle_ms;        /* 0 means 600000 */
	uint32_t base_ttl_ms;    /* 0 means 60000; UINT32_MAX: never */
	uint64_t max_queue_rows; /* 0 means 10000 */
};

struct wbci_config_connection {
	char name[WBC_NAME_MAX + 1];
	char *where;
};

struct wbci_config {
	uint64_t number; /* of those published one after the other, from 0 */
	char *address;   /* of the segment, beginning with "shm:" */
	char *journal;
	struct wbci_config_connection connections[WBCI_CONNECTIONS_MAX];
	unsigned n_connections;
	bool create;
	struct wbci_create how;
	uint32_t journal_ms;
	uint32_t flush_ms;
	uint32_t idle_ms; /* an entry not changed for that long is removed */
	uint32_t base_ttl_s; /* what is older is read anew; 0: never */
	uint64_t max_queue_rows;
	struct wbci_limits *limits; /* n_tables, 0 where nothing was said */
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

/**
 * wbci_config_fixed() - may one take the place of another in a running
 * flusher?
 * Return: 0, or -EINVAL with words that name what would have to stay.
 */
int wbci_config_fixed(const struct wbci_config *now,
                      const struct wbci_config *next,
                      const struct wbci_message *m);

/* A connection's number, or -1. */
int wbci_config_connection(const struct wbci_config *c, const char *name);

/**
 * wbci_config_print() - as a file that settings.h reads to the same again
 * Return: 0, or -EINVAL: a text is none that could stand in a file.
 */
int wbci_config_print(const struct wbci_config *c, FILE *to,
                      const struct wbci_message *m);

/* Publish a configuration in place of another one, which is freed when
 * nobody reads it any more.  @c may be NULL.  Not within a get. */
void wbci_config_publish(struct wbci_config **place, struct wbci_config *c);

/* Read the published one, from a thread registered with liburcu. */
const struct wbci_config *wbci_config_get(struct wbci_config *const *place);
void wbci_config_put(void);

#endif
