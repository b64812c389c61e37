/* SPDX-License-Identifier: MIT */
/* Copyright the wbcshm authors */

/* Passes of the audit, and what all of them agree on. */
#include "check.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* Between the passes on a segment in use, to give change time. */
static const long pauses_ms[] = {20, 100, 400};

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

/* What is lost without a death is a fault: no sweep will look for it. */
static void judge_lost(struct check *c)
{
	struct check_fault *f = &c->faults[c->n_faults];
	size_t first = 0;

	if (!c->pass.blocks[CHECK_LOST] || c->died)
		return;
	if (c->n_faults == CHECK_FAULTS_MAX) {
		c->pass.more_faults++;
		return;
	}
	while (!c->lost[first])
		first++;
	f->kind = check_block;
	f->where = first / WBCI_BITMAP_WORDS;
	snprintf(f->text, sizeof(f->text),
	         "%" PRIu64 " blocks, the first in page %" PRIu64
	         ", are allocated: nothing reaches them, and no death explains "
	         "it",
	         c->pass.blocks[CHECK_LOST], f->where);
	c->n_faults++;
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
	c->died |= p->dead_procs || order_load(&c->s->control->mark);
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

int check_run(struct check *c, const struct wbci_segment *s)
{
	size_t n = sizeof(pauses_ms) / sizeof(pauses_ms[0]);
	int rc;

	memset(c, 0, sizeof(*c));
	c->s = s;
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
	if (rc)
		return rc;
	settle_lost(c);
	judge_lost(c);
	return 0;
}

void check_free(struct check *c)
{
	end_pass(&c->pass);
	free(c->faults);
	free(c->lost);
	c->faults = NULL;
	c->lost = NULL;
}
