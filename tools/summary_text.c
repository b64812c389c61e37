/* SPDX-License-Identifier: MIT */
/* Copyright the wbcshm authors */

/* The summary for people: no word that needs an explanation. */
#include "summary.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

#include "../api/wbcshm.h"
#include "../shm/table.h"
#include "grid.h"
#include "../units/units.h"

static void say_line(const char *name, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
static void say_line(const char *name, const char *format, ...)
{
	va_list args;

	printf("  %-12s", name);
	va_start(args, format);
	vprintf(format, args);
	va_end(args);
	putchar('\n');
}

static void say_segment(const struct summary *sum)
{
	const struct wbci_segment *s = sum->s;
	char a[UNITS_TEXT], b[UNITS_TEXT], when[32];

	view_time(when, s->geo.born_real_ns);
	printf("Segment %s%s\n", s->path,
	       sum->closed ? "  CLOSED BY FORCE: every call on it fails" : "");
	say_line("created", "%s, %s ago", when,
	         units_say_duration(a, sum->age_ns));
	say_line("layout", "version %u", s->geo.layout);
	say_line("memory", "%s taken now, %s at most%s",
	         units_say_bytes(a, sum->used_bytes),
	         units_say_bytes(b, s->geo.size_bytes),
	         sum->low_memory ? "; more was asked for and refused" : "");
	say_line("extents",
	         "%" PRIu32 " of %" PRIu32
	         " taken, each %u MiB for rows and index",
	         sum->committed, s->geo.n_extents, WBCI_EXTENT_BYTES >> 20);
}

static void say_flusher(const struct summary *sum)
{
	puts("\nFlusher");
	if (sum->flusher)
		say_line("state",
		         "alive, pid %" PRIu32 ", number %" PRIu64
		         " since the segment was made",
		         sum->flusher_pid, sum->generation);
	else
		say_line("state", "none is running%s",
		         sum->generation ? "" : ", and none ever was");
	say_line("journal", "%s",
	         sum->journal[0] || sum->journal[1] ? "in use" : "none yet");
	say_line("rounds",
	         "%" PRIu64 " collected, %" PRIu64 " journaled, %" PRIu64
	         " settled (written, refused or parked)",
	         sum->cycle - 1, sum->synced ? sum->synced - 1 : 0,
	         sum->settled ? sum->settled - 1 : 0);
}

static void say_clients(const struct summary *sum)
{
	const struct wbci_segment *s = sum->s;
	char a[UNITS_TEXT], b[UNITS_TEXT];

	puts("\nClients");
	say_line("processes",
	         "%" PRIu32 " attached%s, %" PRIu32
	         " slots, one for a flusher only%s",
	         sum->procs_used - sum->procs_dead,
	         sum->flusher ? " with the flusher" : "", s->geo.n_procs,
	         sum->procs_dead ? "; some died and the flusher will tidy up"
	                         : "");
	say_line("threads", "%" PRIu32 " in use, %" PRIu32 " slots, likewise",
	         sum->threads_used, s->geo.n_threads);
	say_line("inserts",
	         "%s wait for the journal, in %" PRIu32
	         " of the threads' rings of %s",
	         units_say_bytes(a, sum->lane_bytes), sum->lanes_used,
	         units_say_bytes(b, s->geo.lane_bytes));
}

static void say_index(const struct summary *sum)
{
	uint64_t root = UINT64_C(1) << sum->s->geo.root_bits;
	char a[UNITS_TEXT], b[UNITS_TEXT];

	puts("\nIndex");
	say_line("keys", "%s; laid out for %s", units_say_count(a, sum->keys),
	         units_say_count(b, sum->s->geo.capacity));
	say_line("dirty", "%s of them have changes that are not journaled",
	         units_say_count(a, sum->dirty));
	say_line("root", "%s of %s words in use (%.1f %%)",
	         units_say_count(a, sum->root_used), units_say_count(b, root),
	         100.0 * (double)sum->root_used / (double)root);
	say_line("below it", "%s nodes, a key is at most %u steps away",
	         units_say_count(a, sum->nodes), sum->depth);
}

static const char *table_state(const struct summary *sum, unsigned i,
                               char *text, size_t size)
{
	char why[WBCI_TABLE_MESSAGE];
	int parked;

	if (!sum->tables.table[i].readable)
		return "its specification is damaged";
	parked = wbci_table_parked(sum->s, i, why);
	if (!parked)
		return "ok";
	snprintf(text, size, "PARKED: %s (%s)",
	         *why ? why : wbc_strerror(parked), wbc_error_name(parked));
	return text;
}

static int say_tables(const struct summary *sum)
{
	char state[WBCI_TABLE_MESSAGE + 64], n[5][UNITS_TEXT];
	struct grid g;
	int rc;

	puts("\nTables");
	if (sum->tables.n == 0) {
		puts("  none was declared yet");
		return 0;
	}
	grid_init(&g, "lrrrrrl");
	for (const char *const *h =
	             (const char *const[]){"name", "rows here", "to journal",
	                                   "to database", "written", "refused",
	                                   "state", NULL};
	     *h; h++)
		grid_put(&g, "%s", *h);
	for (unsigned i = 0; i < sum->tables.n; i++) {
		struct table_shm *t = &sum->s->tables[i];

		grid_put(&g, "%s", sum->tables.table[i].label);
		grid_put(&g, "%s", units_say_count(n[0], sum->rows[i]));
		grid_put(&g, "%s", units_say_count(n[1], sum->changed[i]));
		/* Relaxed: for display. */
		grid_put(&g, "%s",
		         units_say_count(n[2], order_load(&t->rows_pending)));
		grid_put(&g, "%s",
		         units_say_count(n[3], order_load(&t->rows_applied)));
		grid_put(&g, "%s",
		         units_say_count(n[4], order_load(&t->rows_refused)));
		grid_put(&g, "%s", table_state(sum, i, state, sizeof(state)));
	}
	rc = grid_print(&g, 2);
	grid_free(&g);
	return rc;
}

static int say_memory(const struct summary *sum)
{
	static const char *const kinds[] = {"rows", "index and tables"};
	char n[4][UNITS_TEXT];
	struct grid g;
	int rc;

	puts("\nMemory pages of 64 KiB");
	grid_init(&g, "lrrrrr");
	for (const char *const *h =
	             (const char *const[]){"holds", "block bytes", "pages",
	                                   "used", "free", "to be freed", NULL};
	     *h; h++)
		grid_put(&g, "%s", *h);
	for (unsigned i = 0; i < 2 * WBCI_CLASSES; i++) {
		const struct summary_blocks *b =
			&sum->blocks[i / WBCI_CLASSES][i % WBCI_CLASSES];

		if (b->pages == 0)
			continue;
		grid_put(&g, "%s", kinds[i / WBCI_CLASSES]);
		grid_put(&g, "%" PRIu32, wbci_class_bytes[i % WBCI_CLASSES]);
		grid_put(&g, "%s", units_say_count(n[0], b->pages));
		grid_put(&g, "%s", units_say_count(n[1], b->used));
		grid_put(&g, "%s", units_say_count(n[2], b->free));
		grid_put(&g, "%s", units_say_count(n[3], b->limbo));
	}
	grid_put(&g, "nothing");
	grid_put(&g, "-");
	grid_put(&g, "%s", units_say_count(n[0], sum->free_pages));
	grid_put(&g, "-");
	grid_put(&g, "-");
	grid_put(&g, "-");
	rc = grid_print(&g, 2);
	grid_free(&g);
	return rc;
}

int summary_text(const struct summary *sum)
{
	int rc;

	say_segment(sum);
	say_flusher(sum);
	say_clients(sum);
	rc = say_tables(sum);
	say_index(sum);
	return rc ? rc : say_memory(sum);
}
