/* SPDX-License-Identifier: MIT */
/* Copyright the wbcshm authors */

/*
 * Pages and blocks: no block is given out twice, and what was given back is
 * given out again.
 *
 * A block that a thread has is filled with the thread's number, in plain
 * memory: two owners at once are a data race, or a number that changed.
 */
#include "rows.h"

#include "shm/page.h"

#define BYTES 32768u /* two blocks a page */

static struct kept {
	order_u64 *link;              /* a published block */
	uint64_t mine[MC_THREADS][4]; /* blocks that the thread has for good */
	unsigned n[MC_THREADS];
} * kept;

static uint64_t *data(uint64_t offset)
{
	return wbci_at(mc_segment(), offset);
}

static void setup_threads(uint32_t threads)
{
	mc_world(&(struct mc_shape){.threads = threads});
	kept = mc_keep(sizeof(*kept));
	kept->link = &mc_segment()->root[0];
}

static void setup(void)
{
	setup_threads(0);
	for (unsigned i = 0; i < MC_THREADS && mc_client((int)i); i++)
		mc_join(i);
}

/* Nobody has a slot yet. */
static void setup_detached(void)
{
	setup_threads(2);
}

/* In a section: take a block and fill it. */
static uint64_t take(struct wbci_thread *t)
{
	uint64_t offset;

	MC_CHECK(wbci_block_alloc(t, PAGE_BLOCKS, BYTES, &offset) == 0,
	         "no block");
	*data(offset) = mc_self() + 1;
	return offset;
}

static void hold(uint64_t offset)
{
	kept->mine[mc_self()][kept->n[mc_self()]++] = offset;
}

/* In setup: thread 0 owns a page, one of whose blocks is published. */
static void setup_published(void)
{
	struct wbci_thread *t;
	uint64_t offset;

	setup();
	mc_as(0);
	t = mc_place();
	wbci_enter(t);
	offset = take(t);
	order_release(kept->link, offset);
	wbci_exit(t);
	mc_as(-1);
}

static void taker(void)
{
	struct wbci_thread *t = mc_place();

	wbci_enter(t);
	hold(take(t));
	hold(take(t));
	wbci_exit(t);
	mc_ack(1);
}

static void taker_and_undoer(void)
{
	struct wbci_thread *t = mc_place();
	uint64_t offset;

	wbci_enter(t);
	offset = take(t);
	wbci_block_undo(t, offset);
	hold(take(t));
	wbci_exit(t);
	mc_ack(1);
}

/* Retires what is published, whosever page it is in. */
static void retirer(void)
{
	struct wbci_thread *t = mc_place();
	uint64_t offset;

	wbci_enter(t);
	offset = order_acquire(kept->link);
	if (offset && order_cas(kept->link, &offset, 0))
		wbci_block_retire(t, offset);
	wbci_exit(t);
	wbci_epoch_advance(mc_client(-1));
	wbci_epoch_advance(mc_client(-1));
}

/* Takes more than its page has, so that it looks for graced blocks. */
static void hungry(void)
{
	struct wbci_thread *t = mc_place();

	wbci_enter(t);
	hold(take(t));
	hold(take(t));
	wbci_exit(t);
}

/* Takes a block and gives its pages back; then somebody else claims them. */
static void passing(void)
{
	struct wbci_thread *t = mc_place();

	wbci_enter(t);
	hold(take(t));
	wbci_exit(t);
	wbci_thread_end(mc_client(-1));
	mc_ack(1);
}

/* The reaper, which releases the pages of the dead. */
static void reaper(void)
{
	unsigned in_section;

	wbci_reap(mc_segment(), &in_section);
}

static void reader(void)
{
	struct wbci_thread *t = mc_place();
	uint64_t offset;

	wbci_enter(t);
	offset = order_acquire(kept->link);
	if (offset)
		MC_CHECK(*data(offset) == 1, "the block is another's");
	wbci_exit(t);
}

/* Is the block allocated, as its page's bitmap has it? */
static bool allocated(uint64_t offset)
{
	const struct wbci_segment *s = mc_segment();
	uint32_t page = wbci_page_of(s, offset);

	return order_load(&s->metas[page].alloc[0]) >>
	               (offset % WBCI_PAGE_BYTES / BYTES) &
	       1;
}

static void check(void)
{
	for (unsigned t = 0; t < MC_THREADS; t++) {
		for (unsigned i = 0; i < kept->n[t]; i++) {
			uint64_t mine = kept->mine[t][i];

			MC_CHECK(*data(mine) == t + 1,
			         "thread %u's block is thread %d's", t,
			         (int)*data(mine) - 1);
			MC_CHECK(allocated(mine), "thread %u's block is free",
			         t);
		}
	}
	if (order_load(kept->link))
		MC_CHECK(allocated(order_load(kept->link)),
		         "the published block is free");
}

/* All that nobody has is free after grace periods: nothing is lost. */
static void check_no_leak(void)
{
	const struct wbci_segment *s = mc_segment();
	unsigned have = 0, alloc = 0, in_section;

	check();
	if (mc_deaths())
		return;
	mc_as(0);
	for (unsigned i = 0; i < 4; i++) {
		wbci_reap(s, &in_section);
		wbci_epoch_advance(mc_client(0));
		wbci_enter(mc_place());
		for (uint32_t p = 0; p < WBCI_PAGES_PER_EXTENT; p++)
			wbci_page_reclaim(mc_place(), p);
		wbci_exit(mc_place());
	}
	mc_as(-1);
	for (uint32_t p = 0; p < WBCI_PAGES_PER_EXTENT; p++)
		alloc += (unsigned)__builtin_popcountll(
			order_load(&s->metas[p].alloc[0]));
	for (unsigned t = 0; t < MC_THREADS; t++)
		have += kept->n[t];
	have += order_load(kept->link) != 0;
	MC_CHECK(alloc == have, "%u blocks are allocated, %u are had", alloc,
	         have);
}

static const struct mc_scenario scenarios[] = {
	{.name = "two-takers",
         .says = "P6: two threads that claim pages never get the same block",
         .setup = setup,
         .thread = {taker, taker_and_undoer},
         .check = check_no_leak},
	{.name = "retired",
         .says = "P6: a retired block is given out again, once",
         .setup = setup_published,
         .thread = {hungry, retirer},
         .check = check_no_leak,
         .atomic_copies = true},
	{.name = "retired-and-read",
         .says = "P6: a retired block is not given out under a reader",
         .setup = setup_published,
         .thread = {hungry, retirer, reader},
         .check = check,
         .deaths = 1,
         .atomic_copies = true},
	{.name = "passed-on",
         .says = "P6: a page that its owner left is the next one's as it was",
         .setup = setup_detached,
         .thread = {passing, taker},
         .check = check,
         .deaths = 1},
	{.name = "reaped",
         .says = "P6: the pages of the dead are the next one's as they were",
         .setup = setup_published,
         .thread = {hungry, reaper, taker},
         .immortal = 6,
         .check = check,
         .deaths = 1},
	{NULL}};

int main(int argc, char **argv)
{
	return mc_main(argc, argv, "pages", scenarios);
}
