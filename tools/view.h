/* SPDX-License-Identifier: MIT */
/* Copyright the wbcshm authors */

/*
 * What several commands look at in a segment that others change meanwhile:
 * tables, slots and lanes, copied once and checked.
 */
#ifndef WBC_VIEW_H
#define WBC_VIEW_H

#include "../shm/round.h"
#include "../shm/schema.h"
#include "../shm/segment.h"
#include "../shm/walk.h"
#include "json.h"

/* Connection, dot, name, NUL. */
#define VIEW_NAME (2 * WBC_NAME_MAX + 2)

struct view_table {
	bool readable; /* its specification parses */
	char label[VIEW_NAME];
	struct wbci_schema schema;
};

struct view_tables {
	unsigned n;
	struct view_table *table; /* of all WBCI_TABLES_MAX, @n are there */
};

/* "name", or "connection.name" if that is not the default one. */
void view_label(char label[VIEW_NAME], const struct wbci_schema *schema);

/* Return: 0 or -ENOMEM.  Undone by view_tables_free(). */
int view_tables(const struct wbci_segment *s, struct view_tables *t);
void view_tables_free(struct view_tables *t);

/* The table of that label, or NULL. */
const struct view_table *view_table(const struct view_tables *t,
                                    const char *label);

struct view_proc {
	enum proc_state state;
	bool alive; /* its lock is held */
	bool flusher;
	uint32_t pid;
	uint64_t age_ns;
	char name[4 * 32 + 1]; /* printable */
	char raw_name[33];
};

/* What a process slot says, and whether anybody is behind it. */
void view_proc(const struct wbci_segment *s, uint32_t slot,
               struct view_proc *p);

struct view_thread {
	enum thread_state state;
	uint32_t proc; /* its process slot; may be out of range */
	uint32_t tid;
	uint64_t age_ns;
	uint64_t epoch; /* 0: outside sections */
	bool lane_ready;
	uint64_t lane_bytes; /* waiting for the flusher */
};
void view_thread(const struct wbci_segment *s, uint32_t slot,
                 struct view_thread *t);

/* Copy an entry of the index; as wbci_seen_entry(), with some patience. */
int view_entry(const struct wbci_segment *s, uint64_t offset,
               struct wbci_seen *e);

/* Of one cell: is its value known, which is it, and what is pending? */
enum view_state {
	VIEW_KNOWN,
	VIEW_NULL,    /* NULL in the database: counts as 0 */
	VIEW_UNKNOWN, /* until the row was first applied */
	VIEW_NOROW    /* the database has no such row */
};
struct view_cell {
	enum view_state state;
	bool is_double;
	bool changed; /* something is not in the journal yet */
	int64_t i, pending_i;
	double d, pending_d;
};
void view_cell(const struct wbci_schema *schema, const struct wbci_seen *e,
               unsigned cell, struct view_cell *c);

/* Is anything of the entry not in the journal yet? */
bool view_changed(const struct wbci_seen *e);

/* Bytes as hexadecimal digits, NUL-terminated. */
void view_hex(char *text, const void *bytes, size_t n);

/* Local time, "2024-05-01 12:00:03". */
void view_time(char text[32], uint64_t real_ns);

/* A member of the living: any process slot whose lock is held. */
bool view_anybody_alive(const struct wbci_segment *s);

#endif
