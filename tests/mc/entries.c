/* SPDX-License-Identifier: MIT */
/* Copyright the wbcshm authors */

/*
 * The life of an entry: LIVE, FROZEN, DEAD, unlinked, retired, and its block
 * another entry, beside clients that add to it.
 *
 * The remover does what a flusher does, in the smallest form: freeze; wait
 * for a grace period by trying to advance; then DEAD if nothing is pending,
 * else LIVE again; unlink and retire.
 */
#include "rows.h"

static struct rows *rows;
static struct kept {
	bool removed;
	bool reused;
} * kept;

static void setup(void)
{
	mc_world(&(struct mc_shape){0});
	rows = rows_make();
	kept = mc_keep(sizeof(*kept));
	for (unsigned i = 0; i < MC_THREADS && mc_client((int)i); i++)
		rows_warm(i);
	rows_open(rows, 0, 0);
}

static bool cas_state(enum entry_state from, enum entry_state to)
{
	uint64_t was = wbci_entry_word(rows->ref[0].incarnation, from);

	/* ORDER entry.state, acquire/release */
	return order_cas(&rows->entry[0]->word, &was,
	                 wbci_entry_word(rows->ref[0].incarnation, to));
}

static bool wait_for_grace(void)
{
	struct wbci_client *c = mc_client(-1);
	uint64_t grace = wbci_epoch_grace(c);

	for (unsigned i = 0; i < 2; i++)
		wbci_epoch_advance(c);
	return wbci_epoch_passed(c, grace);
}

static bool pending(void)
{
	return order_acquire(&rows->entry[0]->total) !=
	       order_load(&rows->entry[0]->journaled);
}

/* True if the entry is gone. */
static bool remove_entry(void)
{
	struct wbci_thread *t = mc_place();

	if (!cas_state(ENTRY_LIVE, ENTRY_FROZEN))
		return false;
	if (!wait_for_grace() || pending()) {
		cas_state(ENTRY_FROZEN, ENTRY_LIVE);
		return false;
	}
	wbci_enter(t);
	if (!cas_state(ENTRY_FROZEN, ENTRY_DEAD)) {
		wbci_exit(t);
		return false;
	}
	wbci_index_unlink(t, &rows->key[0], rows->ref[0].offset);
	wbci_block_retire(t, rows->ref[0].offset);
	wbci_exit(t);
	kept->removed = true;
	return true;
}

static void remover(void)
{
	remove_entry();
}

/* Removes, and makes another key's entry of the same block. */
static void recycler(void)
{
	struct wbci_thread *t = mc_place();
	struct entry_shm *e;
	uint64_t offset;
	uint32_t page = wbci_page_of(mc_segment(), rows->ref[0].offset);

	if (!remove_entry() || !wait_for_grace())
		return;
	wbci_enter(t);
	wbci_page_reclaim(t, page);
	wbci_exit(t);
	if (wbci_entry_open(t, &rows->key[1], &rows->schema, &e, &offset))
		mc_fail(NULL, 0, "no entry");
	kept->reused = offset == rows->ref[0].offset;
	wbci_exit(t);
}

static void adder(void)
{
	MC_CHECK(rows_add(rows, 0, 1) == 0, "not added");
}

static void adder_twice(void)
{
	adder();
	adder();
}

/* By a handle while it is good, by the key then. */
static void adder_by_handle(void)
{
	if (!rows_add_ref(rows, 0, 1))
		adder();
}

static void check(void)
{
	bool there;
	uint64_t total = rows_total(rows, 0, &there);

	MC_CHECK(total >= mc_acked() && total <= mc_acked() + mc_deaths(),
	         "%d acknowledged, %d there", (int)mc_acked(), (int)total);
}

static void check_recycled(void)
{
	bool there;

	check();
	MC_CHECK(rows_total(rows, 1, &there) == 0,
	         "an add went to another key");
}

static void check_never_reused(void)
{
	check();
	MC_CHECK(!kept->reused, "the block was used again");
}

static const struct mc_scenario scenarios[] = {
	{.name = "add",
         .says = "P3: an add beside a removal is kept, in this entry or a new "
                 "one",
         .setup = setup,
         .thread = {remover, adder},
         .check = check},
	{.name = "two-adders",
         .says = "P3: two adds beside a removal are kept",
         .setup = setup,
         .thread = {remover, adder, adder},
         .check = check,
         .deaths = 1},
	{.name = "add-twice",
         .says = "P3: an add beside a removal and one after it are kept",
         .setup = setup,
         .thread = {remover, adder_twice},
         .check = check,
         .deaths = 1},
	{.name = "handle",
         .says = "P3: a handle's add beside a removal is kept",
         .setup = setup,
         .thread = {remover, adder_by_handle},
         .check = check},
	{.name = "stale-handle",
         .says = "P1: a stale handle never adds to another key's entry",
         .setup = setup,
         .thread = {recycler, adder_by_handle},
         .check = check_recycled,
         .atomic_copies = true},
	{.name = "recycled",
         .fails = true,
         .must = "used again",
         .says = "an entry's block becomes another entry",
         .setup = setup,
         .thread = {recycler, remover},
         .check = check_never_reused,
         .deaths = MC_NOBODY},
	{NULL}};

int main(int argc, char **argv)
{
	return mc_main(argc, argv, "entries", scenarios);
}
