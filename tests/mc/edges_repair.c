/* SPDX-License-Identifier: MIT */
/* Copyright the wbcshm authors */

/*
 * Edges between the flusher that repairs and whoever uses what it repaired:
 * pages that it takes away, nodes that it looks at, slots of the dead.
 *
 * One hand-over each, as in edges.c, for the orders of page.c, prune.c and
 * reap.c.
 */
#include "rows.h"

#include "shm/prune.h"

#define HALF_PAGE 32768u /* a block: two of them are a page */

static struct rows *rows;
static struct kept {
	struct wbci_pruning pruning;
	struct wbci_closing closing[8];
	uint32_t page;
	uint64_t read; /* a block that thread 0 found and thread 2 retired */
} * kept;

static void setup_shape(const struct mc_shape *shape)
{
	mc_world(shape);
	rows = rows_make();
	kept = mc_keep(sizeof(*kept));
	kept->pruning.client = mc_client(1);
	kept->pruning.closing = kept->closing;
	rows_clash(rows, 1, 0);
}

/* In a section: a block, in which nobody else may write. */
static uint64_t take(void)
{
	uint64_t offset;

	MC_CHECK(!wbci_block_alloc(mc_place(), PAGE_BLOCKS, HALF_PAGE, &offset),
	         "no block");
	*(uint64_t *)wbci_at(mc_segment(), offset) = mc_self() + 1;
	return offset;
}

static void take_both(void)
{
	wbci_enter(mc_place());
	take();
	take();
	wbci_exit(mc_place());
}

/* ---- page.claim, page.revoked ---- */

/* Thread 1 owns the first page, all of whose blocks are free. */
static void setup_page(uint32_t fenced)
{
	uint64_t offset;

	setup_shape(&(struct mc_shape){.fenced = fenced});
	for (unsigned i = 0; i < MC_THREADS && mc_client((int)i); i++)
		mc_join(i);
	mc_as(1);
	wbci_enter(mc_place());
	offset = take();
	kept->page = wbci_page_of(mc_segment(), offset);
	wbci_block_undo(mc_place(), offset);
	wbci_exit(mc_place());
	mc_as(-1);
}

static void setup_owned(void)
{
	setup_page(0);
}

/* Nobody's membarrier is a fence for the others. */
static void setup_owned_fenced(void)
{
	setup_page(63);
}

/* The flag stands for the grace period, which the owner's section ends. */
static void revoker(void)
{
	if (wbci_page_revoke(mc_place(), kept->page) && mc_wait(0))
		wbci_page_disown(mc_segment(), kept->page);
}

static void owner(void)
{
	wbci_enter(mc_place());
	wbci_block_undo(mc_place(), take());
	wbci_exit(mc_place());
	mc_raise(0);
}

/* Somebody else moves G on meanwhile. */
static void revoker_and_taker(void)
{
	uint64_t grace;

	if (!wbci_page_revoke(mc_place(), kept->page))
		return;
	grace = wbci_epoch_grace(mc_client(-1));
	if (!wbci_epoch_passed(mc_client(-1), grace))
		return;
	wbci_page_disown(mc_segment(), kept->page);
	take_both();
}

static void advancer(void)
{
	wbci_epoch_advance(mc_client(-1));
	wbci_epoch_advance(mc_client(-1));
}

/* ---- index.publish ---- */

/* Row 0 is there; row 1 will be below a node. */
static void setup_row(void)
{
	setup_shape(&(struct mc_shape){0});
	rows_warm(0);
	mc_join(1);
	rows_open(rows, 0, 0);
}

/* The node is where plain bytes were a moment ago. */
static void linker(void)
{
	struct wbci_thread *t = mc_place();
	volatile uint64_t *words; /* else it is one store, which is not seen */
	uint64_t offset;

	wbci_enter(t);
	MC_CHECK(!wbci_block_alloc(t, PAGE_BLOCKS, sizeof(struct node_shm),
	                           &offset),
	         "no block");
	words = wbci_at(mc_segment(), offset);
	for (unsigned i = 0; i < WBCI_NODE_WORDS; i++)
		words[i] = 1;
	wbci_block_undo(t, offset);
	wbci_exit(t);
	MC_CHECK(!wbci_entry_open(t, &rows->key[1], &rows->schema,
	                          &rows->entry[1], &offset),
	         "no entry");
	wbci_exit(t);
}

static void word_pruner(void)
{
	wbci_enter(mc_place());
	wbci_prune_word(&kept->pruning, &mc_segment()->root[0],
	                rows->key[0].hash);
	wbci_exit(mc_place());
	MC_CHECK(kept->pruning.n == 0, "a node with entries is closed");
}

static void path_pruner(void)
{
	wbci_enter(mc_place());
	wbci_prune_path(&kept->pruning, rows->key[1].hash);
	wbci_exit(mc_place());
	MC_CHECK(kept->pruning.n == 0, "a node with entries is closed");
}

/* ---- epoch.exit, slot.claim: for the dead ---- */

/*
 * Thread 2 has a page that is full.  Thread 0 is in a section in which it
 * found one of the blocks, which was retired then; one grace period more and
 * the block may be another.
 */
static void setup_read(void)
{
	setup_shape(&(struct mc_shape){0});
	for (unsigned i = 0; i < 3; i++)
		mc_join(i);
	mc_as(0);
	wbci_enter(mc_place());
	mc_as(2);
	wbci_enter(mc_place());
	kept->read = take();
	take();
	wbci_block_retire(mc_place(), kept->read);
	wbci_exit(mc_place());
	wbci_epoch_advance(mc_client(2));
	mc_as(-1);
}

static void reader(void)
{
	MC_CHECK(*(uint64_t *)wbci_at(mc_segment(), kept->read) == 3,
	         "the block is another");
	wbci_exit(mc_place());
}

static void reaper(void)
{
	unsigned in_section;

	wbci_reap(mc_segment(), &in_section);
}

static void reuser(void)
{
	wbci_epoch_advance(mc_client(-1));
	wbci_enter(mc_place());
	take();
	wbci_exit(mc_place());
}

static void setup_one_slot(void)
{
	setup_shape(&(struct mc_shape){.procs = 1, .threads = 1});
	mc_join(0);
}

static void member(void)
{
	wbci_enter(mc_place());
	wbci_exit(mc_place());
}

static void heir(void)
{
	struct wbci_client *c = mc_client(-1);
	struct wbci_thread *t;

	MC_CHECK(!wbci_thread(c, &t) || !*c->attached,
	         "the dead one's process slot without its thread slot");
}

static const struct mc_scenario scenarios[] = {
	{.name = "revoked-and-taken",
         .says = "P6: a page that is taken away is the next one's as it was left",
         .setup = setup_owned,
         .thread = {revoker, owner, take_both},
         .deaths = MC_NOBODY,
         .preemptions = 1,
         .stale = 1},
	{.name = "advanced-by-another",
         .says = "P6: nor is it the next one's before its owner can know",
         .setup = setup_owned_fenced,
         .thread = {revoker_and_taker, owner, advancer},
         .deaths = MC_NOBODY,
         .preemptions = 1,
         .stale = 2},
	{.name = "linked-and-pruned",
         .says = "P6: who means to take out a node finds its words",
         .setup = setup_row,
         .thread = {linker, word_pruner},
         .deaths = MC_NOBODY},
	{.name = "linked-and-walked",
         .says = "P6: who looks for a node to take out finds whole nodes",
         .setup = setup_row,
         .thread = {linker, path_pruner},
         .deaths = MC_NOBODY},
	{.name = "read-and-reaped",
         .says = "P6: what the dead one read is not reused before it has died",
         .setup = setup_read,
         .thread = {reader, reaper, reuser},
         .immortal = 6,
         .deaths = 1,
         .preemptions = 1,
         .stale = 1},
	{.name = "inherited",
         .says = "P9: who gets a dead one's process slot gets its thread slot",
         .setup = setup_one_slot,
         .thread = {member, reaper, heir},
         .immortal = 6,
         .deaths = 1,
         .all_writes = true},
	{NULL}};

int main(int argc, char **argv)
{
	return mc_main(argc, argv, "edges_repair", scenarios);
}
