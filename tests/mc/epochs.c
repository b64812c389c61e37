/* SPDX-License-Identifier: MIT */
/* Copyright the wbcshm authors */

/*
 * Epochs: nothing is reused under a reader.
 *
 * A block is published in a word.  A writer unlinks and retires it, somebody
 * advances G, and the writer's page gives the block out again, to be filled
 * anew.  A reader that found it before still reads the old bytes: the block
 * is plain memory, so any overlap is a data race, which the checker finds.
 */
#include "rows.h"

#include "shm/page.h"

#define OLD 11u
#define NEW 22u

static struct kept {
	order_u64 *link; /* names the block */
	uint64_t offset; /* of it */
	uint64_t reused; /* it was given out again, this often */
	uint64_t saw[MC_THREADS];
} * kept;

static uint64_t *data(uint64_t offset)
{
	return wbci_at(mc_segment(), offset);
}

static void setup_as(uint32_t fenced)
{
	struct wbci_thread *t;

	mc_world(&(struct mc_shape){.fenced = fenced});
	kept = mc_keep(sizeof(*kept));
	for (unsigned i = 0; i < MC_THREADS && mc_client((int)i); i++)
		mc_join(i);
	kept->link = &mc_segment()->root[0];
	mc_as(0);
	t = mc_place();
	wbci_enter(t);
	if (wbci_block_alloc(t, PAGE_BLOCKS, WBCI_BLOCK_LARGEST, &kept->offset))
		tap_bail("no block");
	*data(kept->offset) = OLD;
	order_release(kept->link, kept->offset);
	wbci_exit(t);
	mc_as(-1);
}

static void setup(void)
{
	setup_as(0);
}

static void setup_fenced(void)
{
	setup_as(63);
}

/* The readers are fenced, who advances is not; and the other way round. */
static void setup_mixed(void)
{
	setup_as(1u << 1);
}

static void setup_fenced_advancer(void)
{
	setup_as(1u << 0 | 1u << 2 | 1u << 3);
}

/* Unlinks the block; what the winner of the CAS does is the product's. */
static void unlink_block(struct wbci_thread *t)
{
	uint64_t was = kept->offset;

	if (order_cas(kept->link, &was, 0))
		wbci_block_retire(t, kept->offset);
}

/* Gives the block out again if its grace is over, and fills it. */
static void reuse(struct wbci_thread *t)
{
	uint64_t offset;

	wbci_enter(t);
	if (wbci_page_reclaim(t, wbci_page_of(mc_segment(), kept->offset)) &&
	    !wbci_block_alloc(t, PAGE_BLOCKS, WBCI_BLOCK_LARGEST, &offset)) {
		MC_CHECK(offset == kept->offset, "another block");
		kept->reused++;
		*data(offset) = NEW;
	}
	wbci_exit(t);
}

static void reader(void)
{
	struct wbci_thread *t = mc_place();
	uint64_t offset;

	wbci_enter(t);
	offset = order_acquire(kept->link);
	if (offset)
		kept->saw[mc_self()] = *data(offset);
	wbci_exit(t);
}

/* Finds the block, and is stopped for ever in the section. */
static void stopped_reader(void)
{
	struct wbci_thread *t = mc_place();
	uint64_t offset;

	wbci_enter(t);
	offset = order_acquire(kept->link);
	mc_stop();
	if (offset)
		kept->saw[mc_self()] = *data(offset);
	wbci_exit(t);
}

/* The owner of the page: unlinks, and later uses the block again. */
static void writer(void)
{
	struct wbci_thread *t = mc_place();

	wbci_enter(t);
	unlink_block(t);
	wbci_exit(t);
	wbci_epoch_advance(mc_client(-1));
	wbci_epoch_advance(mc_client(-1));
	reuse(t);
}

/* Unlinks a block of somebody else's page. */
static void unlinker(void)
{
	struct wbci_thread *t = mc_place();

	wbci_enter(t);
	unlink_block(t);
	wbci_exit(t);
}

static void advancer(void)
{
	wbci_epoch_advance(mc_client(-1));
}

static void advance_and_reuse(void)
{
	wbci_epoch_advance(mc_client(-1));
	wbci_epoch_advance(mc_client(-1));
	reuse(mc_place());
}

static void check(void)
{
	for (unsigned t = 0; t < MC_THREADS; t++)
		MC_CHECK(!kept->saw[t] || kept->saw[t] == OLD,
		         "thread %u read %d", t, (int)kept->saw[t]);
	MC_CHECK(kept->reused <= 1, "given out twice");
}

/* Nobody is in the reader's way: the block is used again. */
static void check_unused(void)
{
	check();
	MC_CHECK(!kept->reused || kept->saw[1] == 0, "reused and read");
	MC_CHECK(!kept->reused, "the block was used again");
}

static const struct mc_scenario scenarios[] = {
	{.name = "membarrier",
         .says = "P6: no block is reused under a reader, with membarrier",
         .setup = setup,
         .thread = {writer, reader},
         .check = check},
	{.name = "fenced",
         .says = "P6: no block is reused under a reader, with fences",
         .setup = setup_fenced,
         .thread = {writer, reader},
         .check = check},
	{.name = "mixed",
         .says = "P6: no block is reused under a fenced reader by one with "
                 "membarrier",
         .setup = setup_mixed,
         .thread = {writer, reader},
         .check = check},
	{.name = "cannot-judge",
         .says = "P6: who has no membarrier does not judge a reader without "
                 "fences",
         .setup = setup_fenced_advancer,
         .thread = {writer, reader},
         .check = check},
	{.name = "two-readers",
         .says = "P6: no block is reused under two readers",
         .setup = setup,
         .thread = {writer, reader, reader},
         .check = check,
         .deaths = 1},
	{.name = "foreign",
         .says = "P6: a block that one unlinks and another reuses is safe, "
                 "whoever advances",
         .setup = setup,
         .thread = {advance_and_reuse, reader, unlinker, advancer},
         .check = check,
         .deaths = 1,
         .atomic_copies = true},
	{.name = "foreign-fenced",
         .says = "P6: the same where nobody has membarrier",
         .setup = setup_fenced,
         .thread = {advance_and_reuse, reader, unlinker, advancer},
         .check = check,
         .deaths = MC_NOBODY},
	{.name = "stopped",
         .says = "P2: a stopped reader keeps its block, and nobody waits",
         .setup = setup,
         .thread = {writer, stopped_reader},
         .check = check},
	{.name = "reused",
         .fails = true,
         .must = "used again",
         .says = "a block that nobody reads is given out again",
         .setup = setup,
         .thread = {writer, advancer},
         .check = check_unused,
         .deaths = MC_NOBODY},
	{NULL}};

int main(int argc, char **argv)
{
	return mc_main(argc, argv, "epochs", scenarios);
}
