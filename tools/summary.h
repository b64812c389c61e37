/* SPDX-License-Identifier: MIT */
/* Copyright the wbcshm authors */

/* What `wbc-shmdump summary` gathers, and its two forms. */
#ifndef WBC_SUMMARY_H
#define WBC_SUMMARY_H

#include "view.h"

/* The blocks of all pages of one kind and class. */
struct summary_blocks {
	uint64_t pages;
	uint64_t used;
	uint64_t free;
	uint64_t limbo;
};

struct summary {
	const struct wbci_segment *s;
	uint64_t age_ns;
	struct view_tables tables;
	/* per table */
	uint64_t rows[WBCI_TABLES_MAX];
	uint64_t changed[WBCI_TABLES_MAX];
	/* the index */
	uint64_t keys;
	uint64_t dirty;
	uint64_t root_used;
	uint64_t nodes;
	unsigned depth;
	/* memory */
	uint64_t used_bytes;
	uint32_t committed;
	uint64_t free_pages;
	struct summary_blocks blocks[2][WBCI_CLASSES]; /* by kind - 1, class */
	/* slots */
	uint32_t procs_used;
	uint32_t procs_dead;
	uint32_t threads_used;
	uint32_t lanes_used;
	uint64_t lane_bytes; /* waiting in all lanes */
	/* control */
	uint64_t epoch;
	uint64_t cycle;
	uint64_t synced;
	uint64_t settled;
	uint64_t generation;
	uint64_t journal[2];
	bool closed;
	bool low_memory;
	bool flusher; /* alive */
	uint32_t flusher_pid;
};

/* Print it.  Return: 0 or -ENOMEM. */
int summary_text(const struct summary *sum);
void summary_json(const struct summary *sum);

#endif
