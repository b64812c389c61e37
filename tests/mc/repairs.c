/* SPDX-License-Identifier: MIT */
/* Copyright the wbcshm authors */

/*
 * What a flusher leaves that dies while it removes, prunes or sweeps, and what
 * the next one makes of it while clients go on.
 */
#include "blocks.h"
#include "rows.h"

#include "shm/prune.h"
#include "shm/remove.h"

/* Steps that a flusher makes while the others are at work. */
#define STEPS 9u

static struct kept {
	struct rows *rows;
	struct wbci_sweep sweep[3];
	struct wbci_pruning pruning;
	struct wbci_removal removal;
	struct wbci_closing closing[8];
	struct wbci_ref frozen[8];
} * kept;

/*
 * In setup: rows 0, 1 and 2 clash in the first digit; so many of them are
 * there.  The flusher that removes is thread 1.
 */
static void setup_rows(unsigned n)
{
	mc_world(&(struct mc_shape){0});
	kept = mc_keep(sizeof(*kept));
	kept->rows = rows_make();
	rows_clash(kept->rows, 1, 0);
	rows_clash(kept->rows, 2, 0);
	for (unsigned i = 0; i < MC_THREADS && mc_client((int)i); i++)
		rows_warm(i);
	for (unsigned i = 0; i < n; i++)
		rows_open(kept->rows, i, 1);
	kept->pruning.closing = kept->closing;
	kept->pruning.client = kept->removal.client = mc_client(1);
	kept->removal.pruning = &kept->pruning;
	kept->removal.frozen = kept->frozen;
	for (unsigned i = 0; i < 3 && mc_client((int)i); i++) {
		mc_as((int)i);
		wbci_sweep_init(&kept->sweep[i], mc_client((int)i), NULL);
	}
	mc_as(-1);
}

static void setup_one(void)
{
	setup_rows(1);
}

static void setup_two(void)
{
	setup_rows(2);
}

static void setup_wanted(void)
{
	setup_rows(1);
	wbci_sweep_want(mc_segment());
}

/* Row 0's flusher died between DEAD and the unlinking. */
static void setup_dead(void)
{
	setup_wanted();
	order_store(
		&kept->rows->entry[0]->word,
		wbci_entry_word(kept->rows->ref[0].incarnation, ENTRY_DEAD));
}

/* A node whose flusher died while it closed it; the next one prunes, too. */
static void setup_closing(void)
{
	order_u64 *root;

	setup_rows(2);
	kept->pruning.client = mc_client(0);
	mc_as(0);
	wbci_sweep_init(&kept->sweep[0], mc_client(0), &kept->pruning);
	mc_as(1);
	wbci_enter(mc_place());
	for (unsigned i = 0; i < 2; i++) {
		wbci_index_unlink(mc_place(), &kept->rows->key[i],
		                  kept->rows->ref[i].offset);
		wbci_block_retire(mc_place(), kept->rows->ref[i].offset);
	}
	wbci_exit(mc_place());
	mc_as(-1);
	root = &mc_segment()->root[0];
	order_store(root, (order_load(root) & ~UINT64_C(3)) | INDEX_CLOSING);
	wbci_sweep_want(mc_segment());
}

static void advance_twice(void)
{
	wbci_epoch_advance(mc_client(-1));
	wbci_epoch_advance(mc_client(-1));
}

static void sweeper(void)
{
	for (unsigned i = 0; i < STEPS; i++)
		if (!wbci_sweep_step(&kept->sweep[mc_self()], UINT64_MAX))
			break;
	mc_raise(0);
}

static void pruning_sweeper(void)
{
	sweeper();
	advance_twice();
	wbci_prune_step(&kept->pruning);
}

static void reaper(void)
{
	unsigned in_section;

	wbci_reap(mc_segment(), &in_section);
	sweeper();
}

/* A reaper of its own, beside a flusher that sweeps. */
static void reaping_thread(void)
{
	unsigned in_section;

	wbci_reap(mc_segment(), &in_section);
}

/* Only if the first one died. */
static void next_reaper(void)
{
	if (!mc_wait(0))
		reaper();
}

static void remover(void)
{
	wbci_removal_look(&kept->removal, UINT64_MAX, 32);
	advance_twice();
	wbci_removal_step(&kept->removal);
}

static void pruning_remover(void)
{
	remover();
	advance_twice();
	wbci_prune_step(&kept->pruning);
}

/* The flusher that recovers at last: its place, and nothing to do yet. */
static void successor(void)
{
}

static void adder(void)
{
	MC_CHECK(rows_add(kept->rows, 0, 1) == 0, "an add fails");
}

static void clasher(void)
{
	MC_CHECK(rows_add(kept->rows, 1, 1) == 0, "an add fails");
}

static void second_clasher(void)
{
	MC_CHECK(rows_add(kept->rows, 2, 1) == 0, "an add fails");
}

/* Whoever is immortal recovers: thread 0, or thread 2. */
static void check(void)
{
	blocks_check(mc_died(0) ? 2 : 0);
}

static const struct mc_scenario scenarios[] = {
	{.name = "dead-pushed",
         .says = "P6: a dead entry that a clash pushes down is not retired "
                 "while it is linked",
         .setup = setup_dead,
         .thread = {sweeper, clasher},
         .check = check,
         .immortal = 1},
	{.name = "remover-dies",
         .says = "P6: nor one whose flusher has just died",
         .setup = setup_one,
         .thread = {reaper, remover, clasher},
         .check = check,
         .immortal = 5,
         .deaths = 1,
         .preemptions = 1,
         .stale = MC_NOBODY},
	{.name = "removed",
         .says = "P6: a removal that ends anywhere loses no block",
         .setup = setup_one,
         .thread = {successor, remover, adder},
         .check = check,
         .immortal = 1},
	{.name = "removed-beside-clash",
         .says = "P6: nor beside a key that clashes",
         .setup = setup_one,
         .thread = {successor, remover, clasher},
         .check = check,
         .immortal = 1},
	{.name = "removed-and-pruned",
         .says = "P6: nor does a removal that prunes",
         .setup = setup_two,
         .thread = {successor, pruning_remover, second_clasher},
         .check = check,
         .immortal = 1,
         .atomic_copies = true},
	{.name = "swept-and-pruned",
         .says = "P6: a node left closing is swept and pruned beside an insert",
         .setup = setup_closing,
         .thread = {pruning_sweeper, second_clasher},
         .check = check,
         .immortal = 1,
         .deaths = 1,
         .atomic_copies = true},
	{.name = "reaped-beside-sweep",
         .says = "P6: who is reaped while a sweep runs loses nothing either",
         .setup = setup_wanted,
         .thread = {sweeper, clasher, reaping_thread},
         .check = check,
         .immortal = 5,
         .deaths = 1,
         .preemptions = 1},
	{.name = "removed-beside-reaper",
         .says = "P6: nor who is reaped while entries are removed and pruned",
         .setup = setup_two,
         .thread = {successor, pruning_remover, second_clasher,
                    reaping_thread},
         .check = check,
         .immortal = 11,
         .deaths = 1,
         .preemptions = 1,
         .atomic_copies = true},
	{.name = "sweeper-dies",
         .says = "P6: a sweep that its flusher's death cuts short is made anew",
         .setup = setup_wanted,
         .thread = {sweeper, clasher, next_reaper},
         .check = check,
         .immortal = 4,
         .preemptions = 1},
	{NULL}};

int main(int argc, char **argv)
{
	return mc_main(argc, argv, "repairs", scenarios);
}
