/* SPDX-License-Identifier: MIT */
/* Copyright the wbcshm authors */

/*
 * Removal and pruning: what is idle goes, what is added does not go with it.
 *
 * A flusher freezes a clean row, waits for the grace period, and removes it;
 * closes the node that it stood in, and takes that out.  Clients add to the
 * row by key and by a handle, and insert below the node.  What was added
 * after the entry was clean is in the entry that the index has now.
 */
#include "rows.h"

#include "shm/page.h"
#include "shm/remove.h"

#define HAD 5u /* added and journaled before */

static struct kept {
	struct rows *rows;
	struct wbci_pruning pruning;
	struct wbci_removal removal;
} * kept;

static void join_all(uint32_t fenced)
{
	mc_world(&(struct mc_shape){.fenced = fenced});
	kept = mc_keep(sizeof(*kept));
	kept->rows = rows_make();
	for (unsigned i = 0; i < MC_THREADS && mc_client((int)i); i++)
		mc_join(i);
	mc_as(0);
	if (wbci_pruning_init(&kept->pruning, mc_client(0)) ||
	    wbci_removal_init(&kept->removal, mc_client(0), &kept->pruning))
		tap_bail("no memory");
	mc_as(-1);
}

/* Row i is there, clean, and idle. */
static void make_clean(unsigned i)
{
	rows_open(kept->rows, i, 1);
	order_store(&kept->rows->entry[i]->total, HAD);
	order_store(&kept->rows->entry[i]->journaled, HAD);
}

static void setup(void)
{
	join_all(0);
	make_clean(0);
}

static void setup_fenced(void)
{
	join_all(63);
	make_clean(0);
}

/* Two rows in one node; row 2 has its place there too. */
static void setup_node(void)
{
	join_all(0);
	rows_clash(kept->rows, 1, 1);
	rows_clash(kept->rows, 2, 1);
	make_clean(0);
	make_clean(1);
}

static void advance(void)
{
	wbci_epoch_advance(mc_client(0));
	wbci_epoch_advance(mc_client(0));
}

static void remover(void)
{
	uint64_t before = order_load(&mc_segment()->control->cycle) + 1;

	wbci_removal_look(&kept->removal, before, 2);
	advance();
	wbci_removal_step(&kept->removal);
}

static void pruner(void)
{
	remover();
	advance();
	wbci_prune_step(&kept->pruning);
}

static void adder(void)
{
	MC_CHECK(rows_add(kept->rows, 0, 1) == 0, "an add fails");
}

/* By the handle, and by the key if that is stale. */
static void holder(void)
{
	if (!rows_add_ref(kept->rows, 0, 1))
		adder();
}

static void inserter(void)
{
	MC_CHECK(rows_add(kept->rows, 2, 1) == 0, "an insert fails");
}

static void check_row(unsigned i, uint64_t acked)
{
	struct rows *r = kept->rows;
	struct entry_shm *e;
	uint64_t offset, total = 0, word = 0;
	bool there;

	mc_as(0);
	there = wbci_entry_find(mc_place(), &r->key[i], &e, &offset) == 0;
	if (there) {
		word = order_load(&e->word);
		total = order_load(&e->total);
		/* The entry that was there before has what it had. */
		if (r->entry[i] && offset == r->ref[i].offset &&
		    word >> 4 == r->ref[i].incarnation)
			total -= HAD;
		wbci_exit(mc_place());
	}
	mc_as(-1);
	MC_CHECK(total >= acked && total <= acked + mc_deaths(),
	         "row %u: %d acknowledged, %d there", i, (int)acked,
	         (int)total);
}

static void check(void)
{
	check_row(0, mc_acked());
}

static void check_insert(void)
{
	check_row(2, mc_acked());
}

/* A control: it is removed at all. */
static void check_removed(void)
{
	MC_CHECK(kept->removal.removed == 0, "the row was removed");
}

static void check_pruned(void)
{
	MC_CHECK(kept->pruning.pruned == 0, "the node was taken out");
}

static const struct mc_scenario scenarios[] = {
	{.name = "adder",
         .says = "P3: an add to a row that is being removed is not lost",
         .setup = setup,
         .thread = {remover, adder},
         .check = check},
	{.name = "holder",
         .says = "P3: nor one by a handle",
         .setup = setup,
         .thread = {remover, holder},
         .check = check},
	{.name = "fenced",
         .says = "P3: nor where nobody has membarrier",
         .setup = setup_fenced,
         .thread = {remover, holder},
         .check = check},
	{.name = "both",
         .says = "P3: nor with two who add, to the old entry or to a new one",
         .setup = setup,
         .thread = {remover, holder, adder},
         .check = check,
         .deaths = 1,
         .preemptions = 1},
	{.name = "inserter",
         .says = "P3: an insert below a node that is taken out is not lost",
         .setup = setup_node,
         .thread = {pruner, inserter},
         .check = check_insert},
	{.name = "removed",
         .fails = true,
         .must = "was removed",
         .says = "a row that nobody adds to is removed",
         .setup = setup,
         .thread = {remover, inserter},
         .check = check_removed,
         .deaths = MC_NOBODY},
	{.name = "pruned",
         .fails = true,
         .must = "taken out",
         .says = "a node that nobody inserts below is taken out",
         .setup = setup_node,
         .thread = {pruner, adder},
         .check = check_pruned,
         .deaths = MC_NOBODY},
	{NULL}};

int main(int argc, char **argv)
{
	return mc_main(argc, argv, "removals", scenarios);
}
