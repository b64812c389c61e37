/* SPDX-License-Identifier: MIT */
/* Copyright the wbcshm authors */

/*
 * wbc-shmdump check: passes of the audit, and what all of them agree on.
 */
#include "dump.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "check.h"
#include "grid.h"
#include "../units/units.h"

/* Between the passes on a segment in use, to give change time. */
static const long pauses_ms[] = {20, 100, 400};

struct check {
	const struct wbci_segment *s;
	uint32_t pages; /* committed when it began */
	bool live;      /* somebody is attached */
	unsigned passes;
	struct check_pass pass;     /* the last */
	struct check_fault *faults; /* that all passes found */
	size_t n_faults;
	uint64_t *lost; /* blocks that are lost in all passes */
};

void check_say(struct check_pass *p, const char *kind, uint64_t where,
               const char *format, ...)
{
	struct check_fault *f;
	va_list args;

	/* A second fault of the same thing adds nothing. */
	if (p->n_faults && p->faults[p->n_faults - 1].kind == kind &&
	    p->faults[p->n_faults - 1].where == where)
		return;
	if (p->n_faults == CHECK_FAULTS_MAX) {
		p->more_faults++;
		return;
	}
	f = &p->faults[p->n_faults++];
	f->kind = kind;
	f->where = where;
	va_start(args, format);
	vsnprintf(f->text, sizeof(f->text), format, args);
	va_end(args);
}

static size_t bitmap_words(uint32_t pages)
{
	return (size_t)pages * WBCI_BITMAP_WORDS;
}

static void end_pass(struct check_pass *p)
{
	view_tables_free(&p->tables);
	free(p->alloc);
	free(p->reached);
	free(p->lost);
	free(p->faults);
	memset(p, 0, sizeof(*p));
}

static int begin_pass(struct check_pass *p, const struct check *c)
{
	/* One more: nothing may be committed yet. */
	size_t n = bitmap_words(c->pages) + 1;

	memset(p, 0, sizeof(*p));
	p->s = c->s;
	p->pages = c->pages;
	p->alloc = calloc(n, sizeof(uint64_t));
	p->reached = calloc(n, sizeof(uint64_t));
	p->lost = calloc(n, sizeof(uint64_t));
	p->faults = calloc(CHECK_FAULTS_MAX, sizeof(*p->faults));
	if (!p->alloc || !p->reached || !p->lost || !p->faults)
		return -ENOMEM;
	for (uint32_t page = 0; page < p->pages; page++)
		for (uint32_t i = 0; i < WBCI_BITMAP_WORDS; i++)
			/* Relaxed: a first look, of what may change. */
			check_bits(p->alloc, page)[i] =
				order_load(&c->s->metas[page].alloc[i]);
	return view_tables(c->s, &p->tables);
}

static bool is_among(const struct check_fault *faults, size_t n,
                     const struct check_fault *f)
{
	for (size_t i = 0; i < n; i++)
		if (faults[i].kind == f->kind && faults[i].where == f->where)
			return true;
	return false;
}

/* Keep of what was found before what this pass found too. */
static void agree(struct check *c)
{
	struct check_pass *p = &c->pass;
	struct check_fault *faults = p->faults;
	uint64_t *lost = p->lost;
	size_t n = 0;

	for (size_t i = 0; i < p->n_faults; i++)
		if (c->passes == 0 ||
		    is_among(c->faults, c->n_faults, &faults[i]))
			faults[n++] = faults[i];
	for (size_t i = 0; c->passes && i < bitmap_words(c->pages); i++)
		lost[i] &= c->lost[i];
	free(c->faults);
	free(c->lost);
	c->faults = faults;
	c->n_faults = n;
	c->lost = lost;
	p->faults = NULL;
	p->lost = NULL;
	c->passes++;
}

/* Of what this pass could not explain, some was lost, some only moved. */
static void settle_lost(struct check *c)
{
	struct check_pass *p = &c->pass;

	for (uint32_t page = 0; page < c->pages; page++) {
		/* Relaxed: the class of a page with blocks stays. */
		uint64_t word = order_load(&c->s->words[page]);
		uint32_t bytes, n = 0;

		if (wbci_page_blocks(word) == 0)
			continue;
		bytes = wbci_class_bytes[wbci_page_class(word)];
		for (uint32_t i = 0; i < WBCI_BITMAP_WORDS; i++)
			n += (uint32_t)__builtin_popcountll(
				check_bits(c->lost, page)[i]);
		p->blocks[CHECK_LOST] += n;
		p->bytes[CHECK_LOST] += (uint64_t)n * bytes;
		p->blocks[CHECK_HELD] -= n;
		p->bytes[CHECK_HELD] -= (uint64_t)n * bytes;
	}
}

static int one_pass(struct check *c)
{
	struct check_pass *p = &c->pass;
	int rc = begin_pass(p, c);

	if (rc)
		return rc;
	check_slots(p);
	check_lanes(p);
	check_tables(p);
	rc = check_walk(p);
	if (rc)
		return rc;
	check_blocks(p);
	agree(c);
	return 0;
}

static bool is_suspicious(const struct check *c)
{
	if (c->n_faults)
		return true;
	for (size_t i = 0; i < bitmap_words(c->pages); i++)
		if (c->lost[i])
			return true;
	return false;
}

static int run_passes(struct check *c)
{
	size_t n = sizeof(pauses_ms) / sizeof(pauses_ms[0]);
	int rc;

	c->pages = wbci_committed(c->s) * WBCI_PAGES_PER_EXTENT;
	c->live = view_anybody_alive(c->s);
	for (;;) {
		struct timespec pause = {0};

		rc = one_pass(c);
		/* One who came meanwhile has changed things too. */
		c->live = c->live || view_anybody_alive(c->s);
		if (rc || !c->live || !is_suspicious(c) || c->passes > n)
			break;
		pause.tv_nsec = pauses_ms[c->passes - 1] * 1000000;
		nanosleep(&pause, NULL);
		end_pass(&c->pass);
	}
	if (rc == 0)
		settle_lost(c);
	return rc;
}

static int say_blocks(const struct check *c)
{
	static const char *const names[CHECK_USES] = {
		"in use", "free", "to be freed soon", "just being allocated",
		"lost to deaths"};
	uint64_t blocks = 0, bytes = 0;
	char a[UNITS_TEXT];
	struct grid g;
	int rc;

	grid_init(&g, "lrr");
	for (unsigned i = 0; i < CHECK_USES; i++) {
		blocks += c->pass.blocks[i];
		bytes += c->pass.bytes[i];
		grid_put(&g, "%s", names[i]);
		grid_put(&g, "%s", units_say_count(a, c->pass.blocks[i]));
		grid_put(&g, "%s", units_say_bytes(a, c->pass.bytes[i]));
	}
	grid_put(&g, "all blocks");
	grid_put(&g, "%s", units_say_count(a, blocks));
	grid_put(&g, "%s", units_say_bytes(a, bytes));
	rc = grid_print(&g, 2);
	grid_free(&g);
	return rc;
}

static int say_all(const struct check *c)
{
	char a[UNITS_TEXT], b[UNITS_TEXT];
	int rc;

	printf("Segment %s, %s\n", c->s->path,
	       c->live ? "live: processes are attached"
	               : "quiescent: nobody is attached");
	printf("  %s keys\n\n", units_say_count(a, c->pass.keys));
	rc = say_blocks(c);
	putchar('\n');
	if (c->pass.blocks[CHECK_LOST])
		printf("warning: %s blocks (%s) lost to deaths: a process was "
		       "killed while it\n  allocated them; they stay unused, "
		       "nothing else is wrong with them\n",
		       units_say_count(a, c->pass.blocks[CHECK_LOST]),
		       units_say_bytes(b, c->pass.bytes[CHECK_LOST]));
	if (c->pass.dead_procs)
		printf("note: %" PRIu64 " dead process%s in a slot until a "
		       "flusher runs\n",
		       c->pass.dead_procs,
		       c->pass.dead_procs == 1 ? " is" : "es are");
	for (size_t i = 0; i < c->n_faults; i++)
		printf("fault: %s\n", c->faults[i].text);
	if (c->pass.more_faults && c->n_faults)
		printf("fault: and %" PRIu64 " more\n", c->pass.more_faults);
	if (c->n_faults == 0)
		puts("ok: every block is accounted for, no fault was found");
	return rc;
}

static void json_all(const struct check *c)
{
	static const char *const names[CHECK_USES] = {"used", "free", "limbo",
	                                              "held", "lost"};
	struct json j = {0};

	json_object(&j, NULL);
	json_text(&j, "segment", c->s->path);
	json_bool(&j, "ok", c->n_faults == 0);
	json_text(&j, "state", c->live ? "live" : "quiescent");
	json_uint(&j, "passes", c->passes);
	json_uint(&j, "keys", c->pass.keys);
	json_uint(&j, "dead_processes", c->pass.dead_procs);
	json_object(&j, "blocks");
	for (unsigned i = 0; i < CHECK_USES; i++)
		json_uint(&j, names[i], c->pass.blocks[i]);
	json_end(&j);
	json_object(&j, "bytes");
	for (unsigned i = 0; i < CHECK_USES; i++)
		json_uint(&j, names[i], c->pass.bytes[i]);
	json_end(&j);
	json_array(&j, "faults");
	for (size_t i = 0; i < c->n_faults; i++) {
		json_object(&j, NULL);
		json_text(&j, "kind", c->faults[i].kind);
		json_uint(&j, "where", c->faults[i].where);
		json_text(&j, "text", c->faults[i].text);
		json_end(&j);
	}
	json_end(&j);
	json_uint(&j, "more_faults", c->n_faults ? c->pass.more_faults : 0);
	json_end(&j);
}

int dump_check(const struct cli_command *command, int argc, char **argv)
{
	bool json = false;
	const struct cli_option options[] = {
		{"json", 0, CLI_FLAG, &json, NULL, "one JSON document"},
	};
	const char *segment;
	struct check c = {0};
	struct wbci_segment s;
	int rc = cli_parse(command, options, 1, &segment, &argc, argv);

	if (rc != CLI_OK)
		return rc == CLI_HELPED ? CLI_OK : rc;
	if (argc)
		return cli_usage(command, "%s: no argument is expected",
		                 argv[0]);
	rc = cli_segment(segment, false, &s);
	if (rc != CLI_OK)
		return rc;
	c.s = &s;
	rc = run_passes(&c);
	if (rc == 0 && json)
		json_all(&c);
	else if (rc == 0)
		rc = say_all(&c);
	if (rc)
		rc = cli_error(rc, "check", s.path, NULL);
	else
		rc = c.n_faults ? CLI_CORRUPT : CLI_OK;
	end_pass(&c.pass);
	free(c.faults);
	free(c.lost);
	wbci_segment_close(&s);
	return rc;
}
