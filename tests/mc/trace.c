/* SPDX-License-Identifier: MIT */
/* Copyright the wbcshm authors */

/*
 * An execution in words.  What happens is noted while it is replayed; the
 * places in the source are looked up with addr2line afterwards.
 */
#include "engine.h"

#include <inttypes.h>
#include <link.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define EVENTS_MAX 4096u

static struct event {
	uint32_t step;
	uint8_t thread;
	const char *what;
	void *pc;
	char text[104];
} events[EVENTS_MAX];
static unsigned n_events;

void mc_trace_begin(void)
{
	n_events = 0;
}

void mc_trace(const char *what, void *pc, const char *fmt, ...)
{
	struct event *e = &events[n_events];
	va_list args;

	if (n_events == EVENTS_MAX)
		return;
	n_events++;
	e->step = mc.steps;
	e->thread = mc.self;
	e->what = what;
	e->pc = pc;
	va_start(args, fmt);
	vsnprintf(e->text, sizeof(e->text), fmt, args);
	va_end(args);
}

static const struct region {
	const char *name;
	size_t from, each;
} * find_region(uint64_t offset)
{
	static struct region r[9];
	const struct header_shm *h = &mc_segment()->geo;
	const struct region *found = NULL;

	r[0] = (struct region){"control", WBCI_SYS_PAGE, 0};
	r[1] = (struct region){"proc", h->procs_off, sizeof(struct proc_shm)};
	r[2] = (struct region){"thread", h->threads_off,
	                       sizeof(struct thread_shm)};
	r[3] = (struct region){"table", h->tables_off,
	                       sizeof(struct table_shm)};
	r[4] = (struct region){"summary", h->summary_off, 0};
	r[5] = (struct region){"page word", h->words_off, 8};
	r[6] = (struct region){"root word", h->root_off, 8};
	r[7] = (struct region){"meta", h->metas_off, sizeof(struct meta_shm)};
	r[8] = (struct region){"lane", h->lanes_off, h->lane_bytes};
	for (unsigned i = 0; i < 9; i++) {
		if (h->extents_off && offset >= r[i].from &&
		    offset < h->extents_off)
			found = &r[i];
	}
	return found;
}

/* What a place in the segment is called. */
const char *mc_place_name(const void *at, char *room, size_t bytes)
{
	uint64_t offset = (uintptr_t)at - (uintptr_t)mc.base;
	const struct region *r = find_region(offset);

	if (!r)
		snprintf(room, bytes, "segment+%#" PRIx64, offset);
	else if (r->each)
		snprintf(room, bytes, "%s[%" PRIu64 "]+%" PRIu64, r->name,
		         (offset - r->from) / r->each,
		         (offset - r->from) % r->each);
	else
		snprintf(room, bytes, "%s+%" PRIu64, r->name, offset - r->from);
	return room;
}

/* Where code came from, without the folders before the tree's own. */
static void shorten(const char *line, char *text, size_t bytes)
{
	static const char *const folders[] = {"/shm/", "/api/", "/tests/"};

	for (unsigned i = 0; i < sizeof(folders) / sizeof(*folders); i++) {
		const char *at = strstr(line, folders[i]);

		if (at) {
			line = at + 1;
			break;
		}
	}
	snprintf(text, bytes, "%.*s", (int)strcspn(line, " \n"), line);
}

/* Where the program was loaded; the first object is the program. */
static int find_load(struct dl_phdr_info *info, size_t size, void *load)
{
	(void)size;
	*(uintptr_t *)load = info->dlpi_addr;
	return 1;
}

void mc_symbolize(void *const *pc, size_t n, char (*text)[160])
{
	char command[128], name[] = "/tmp/wbc-mc-XXXXXX", line[4096];
	int fd = mkstemp(name);
	uintptr_t load = 0;
	FILE *in, *out;

	dl_iterate_phdr(find_load, &load);
	memset(text, 0, n * sizeof(*text));
	in = fd < 0 ? NULL : fdopen(fd, "w");
	if (!in)
		return;
	for (size_t i = 0; i < n; i++)
		fprintf(in, "%#lx\n",
		        pc[i] ? (unsigned long)((uintptr_t)pc[i] - load - 1)
		              : 0ul);
	fclose(in);
	snprintf(command, sizeof(command), "addr2line -e /proc/%d/exe <%s",
	         (int)getpid(), name);
	out = popen(command, "r");
	for (size_t i = 0; out && i < n && fgets(line, sizeof(line), out);
	     i++) {
		if (pc[i])
			shorten(line, text[i], sizeof(text[i]));
	}
	if (out)
		pclose(out);
	unlink(name);
}

void mc_trace_print(void)
{
	static void *pcs[EVENTS_MAX];
	static char text[EVENTS_MAX][160];
	uint8_t last = MC_NOBODY;

	for (unsigned i = 0; i < n_events; i++)
		pcs[i] = events[i].pc;
	mc_symbolize(pcs, n_events, text);
	for (unsigned i = 0; i < n_events; i++) {
		const struct event *e = &events[i];

		tap_diag("%s%5u %*s%s %-10s %-44s %s",
		         e->thread == last ? " " : ">", e->step,
		         2 * (int)e->thread, "", mc_thread_name(e->thread),
		         e->what, e->text, text[i]);
		last = e->thread;
	}
	if (n_events == EVENTS_MAX)
		tap_diag("... and more");
}
