/* SPDX-License-Identifier: MIT */
/* Copyright the wbcshm authors */

/*
 * The flusher's removal of idle entries and its pruning of empty nodes,
 * beside clients that add to the same keys and insert below the same nodes.
 *
 * However it goes, each key has one entry at the most, and it is reachable
 * and holds all that was acknowledged.
 */
#include "rows.h"

#include "shm/prune.h"
#include "shm/remove.h"
#include "shm/walk.h"

static struct rows *rows;
static struct kept {
	struct wbci_pruning pruning;
	struct wbci_removal removal;
	struct wbci_closing closing[8];
	struct wbci_ref frozen[8];
} * kept;

/* As the product's init does it, but small: it is copied each time. */
static void setup(void)
{
	mc_world(&(struct mc_shape){0});
	rows = rows_make();
	kept = mc_keep(sizeof(*kept));
	kept->pruning.client = kept->removal.client = mc_client(0);
	kept->pruning.closing = kept->closing;
	kept->removal.pruning = &kept->pruning;
	kept->removal.frozen = kept->frozen;
	rows_clash(rows, 1, 0);
	rows_clash(rows, 2, 0);
	for (unsigned i = 0; i < MC_THREADS && mc_client((int)i); i++)
		rows_warm(i);
	rows_open(rows, 0, 0);
}

/* A node, with keys 0 and 1 in it. */
static void setup_node(void)
{
	setup();
	rows_open(rows, 1, 0);
}

static void advance(void)
{
	wbci_epoch_advance(mc_client(-1));
	wbci_epoch_advance(mc_client(-1));
}

static void remover(void)
{
	wbci_removal_look(&kept->removal, UINT64_MAX, 1);
	advance();
	wbci_removal_step(&kept->removal);
}

static void remover_and_pruner(void)
{
	remover();
	advance();
	wbci_prune_step(&kept->pruning);
}

static void add(unsigned key)
{
	MC_CHECK(rows_add(rows, key, INT64_C(1) << 8 * key) == 0, "not added");
}

static void adder(void)
{
	add(0);
}

static void adder_twice(void)
{
	add(0);
	add(0);
}

/* A key that was never there, below the same node. */
static void newcomer(void)
{
	add(2);
}

struct count {
	unsigned entries[3];
	uint64_t total;
};

static int count_step(void *arg, const struct wbci_step *step)
{
	struct count *count = arg;
	struct entry_shm *e;

	MC_CHECK(step->sound && !step->known, "a word of the index is wrong");
	if (step->tag != INDEX_ENTRY)
		return 0;
	e = wbci_at(mc_segment(), step->target);
	for (unsigned i = 0; i < 3; i++)
		count->entries[i] += !memcmp(e->key, rows->bytes[i], 4);
	count->total += order_load(&e->total);
	return 0;
}

static void check(void)
{
	struct count count = {{0}, 0};
	uint64_t found = 0, acked = mc_acked();

	MC_CHECK(wbci_index_walk(mc_segment(), count_step, &count) == 0,
	         "no walk");
	for (unsigned i = 0; i < 3; i++) {
		bool there;
		uint64_t total = rows_total(rows, i, &there);
		uint64_t told = acked >> 8 * i & 255;

		MC_CHECK(count.entries[i] <= 1, "key %u has %u entries", i,
		         count.entries[i]);
		MC_CHECK(total >> 8 * i >= told &&
		                 total >> 8 * i <= told + mc_deaths(),
		         "key %u: %d acknowledged, %d there", i, (int)told,
		         (int)(total >> 8 * i));
		found += total;
	}
	MC_CHECK(found == count.total, "a total that no key finds");
}

static void check_pruned(void)
{
	check();
	MC_CHECK(!kept->pruning.pruned, "a node was taken out");
}

static const struct mc_scenario scenarios[] = {
	{.name = "add",
         .says = "P3: an add beside the flusher's removal is kept",
         .setup = setup,
         .thread = {remover, adder},
         .check = check},
	{.name = "add-twice",
         .says = "P3: two adds in a row beside the flusher's removal are kept",
         .setup = setup,
         .thread = {remover, adder_twice},
         .check = check,
         .deaths = 1},
	{.name = "two-adders",
         .says = "P3: two clients' adds beside the flusher's removal are kept",
         .setup = setup,
         .thread = {remover, adder, adder},
         .check = check,
         .deaths = MC_NOBODY},
	{.name = "prune",
         .says = "P6: a key that comes below a node that is taken out stays",
         .setup = setup_node,
         .thread = {remover_and_pruner, newcomer},
         .check = check,
         .deaths = 1,
         .atomic_copies = true},
	{.name = "prune-and-add",
         .says = "P6: a key that comes again below a node that is taken out "
                 "stays",
         .setup = setup_node,
         .thread = {remover_and_pruner, adder},
         .check = check,
         .deaths = 1,
         .atomic_copies = true},
	{.name = "pruned",
         .fails = true,
         .must = "taken out",
         .says = "an empty node is taken out",
         .setup = setup_node,
         .thread = {remover_and_pruner, newcomer},
         .check = check_pruned,
         .deaths = MC_NOBODY},
	{NULL}};

int main(int argc, char **argv)
{
	return mc_main(argc, argv, "removal", scenarios);
}
