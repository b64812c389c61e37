/* SPDX-License-Identifier: MIT */
/* Copyright the wbcshm authors */

/*
 * Mark-sweep: what the dead had is found, what the living have is not.
 *
 * A flusher sweeps while clients make rows, lose races for them, free what is
 * retired, and die.  The oracle lets the flusher finish, then counts: every
 * block that is held is reached from the index, every block that is reached
 * is held, and none is retired twice.
 */
#include "blocks.h"
#include "rows.h"

#include "shm/page.h"
#include "shm/sweep.h"
#include "shm/walk.h"

/* Steps that a flusher makes while the others are at work. */
#define STEPS 9u

static struct kept {
	struct rows *rows;
	struct wbci_sweep sweep;
} *kept;

/* In setup: rows 0 and 1 clash in the first digit; row 0 is there. */
static void setup_rows(uint32_t fenced)
{
	mc_world(&(struct mc_shape){.fenced = fenced});
	kept = mc_keep(sizeof(*kept));
	kept->rows = rows_make();
	rows_clash(kept->rows, 1, 1);
	for (unsigned i = 0; i < MC_THREADS && mc_client((int)i); i++)
		mc_join(i);
	rows_open(kept->rows, 0, 1);
	mc_as(0);
	wbci_sweep_init(&kept->sweep, mc_client(0), NULL);
	mc_as(-1);
}

static void setup(void)
{
	setup_rows(0);
}

static void setup_wanted(void)
{
	setup_rows(0);
	wbci_sweep_want(mc_segment());
}

static void setup_fenced(void)
{
	setup_rows(63);
	wbci_sweep_want(mc_segment());
}

/* Row 2 is there too, and its entry is the first to be used again. */
static void setup_unwanted(void)
{
	mc_world(&(struct mc_shape){.root_bits = 1});
	kept = mc_keep(sizeof(*kept));
	kept->rows = rows_make();
	for (unsigned i = 0; i < MC_THREADS && mc_client((int)i); i++)
		mc_join(i);
	rows_open(kept->rows, 2, 1);
	rows_open(kept->rows, 0, 1);
	mc_as(0);
	wbci_sweep_init(&kept->sweep, mc_client(0), NULL);
	mc_as(-1);
}

static void setup_two(void)
{
	setup_unwanted();
	wbci_sweep_want(mc_segment());
}

/* The same, with a sweep that has begun, and waits for sections to end. */
static void setup_begun(void)
{
	setup_two();
	mc_as(1);
	wbci_enter(mc_place());
	mc_as(0);
	wbci_sweep_step(&kept->sweep, UINT64_MAX);
	if (kept->sweep.state != SWEEP_WANTED)
		tap_bail("the sweep does not wait");
	mc_as(1);
	wbci_exit(mc_place());
	mc_as(-1);
}

static void sweeper(void)
{
	for (unsigned i = 0; i < STEPS; i++) {
		if (wbci_sweep_step(&kept->sweep, UINT64_MAX) == 0)
			return;
	}
}

/* The same by a flusher that has to find the dead first. */
static void reaper(void)
{
	unsigned in_section;

	wbci_reap(mc_segment(), &in_section);
	sweeper();
}

/* Makes row 1: an entry and a node, both private until they are linked. */
static void maker(void)
{
	MC_CHECK(rows_add(kept->rows, 1, 1) == 0, "an add fails");
}

/* Takes a block out, as a flusher or an update of a tree does. */
static void unlinker(void)
{
	struct wbci_thread *t = mc_place();
	struct rows *r = kept->rows;

	wbci_enter(t);
	if (wbci_index_unlink(t, &r->key[2], r->ref[2].offset) == 1)
		wbci_block_retire(t, r->ref[2].offset);
	wbci_exit(t);
}

/*
 * Turns: a sweeper and a client who meet at flags, for orders that take more
 * preemptions than a search has.
 */
static void sweep_until(enum wbci_sweep_state state)
{
	for (unsigned i = 0; i < 4 * STEPS && kept->sweep.state != state; i++)
		wbci_sweep_step(&kept->sweep, UINT64_MAX);
}

static void advance(void)
{
	wbci_epoch_advance(mc_client(0));
	wbci_epoch_advance(mc_client(0));
}

static void turn_sweeper(void)
{
	mc_wait(0);
	sweep_until(SWEEP_SNAPSHOT);
	mc_raise(1);
	mc_wait(2);
	sweep_until(SWEEP_WALK);
	mc_raise(3);
	mc_wait(4);
	sweep_until(SWEEP_WALKED);
	advance();
	mc_raise(5);
	mc_wait(6);
	sweep_until(SWEEP_NONE);
}

/* Finds that blocks may be freed, and frees one when that is not so now. */
static void hasty_client(void)
{
	struct wbci_thread *t = mc_place();
	uint64_t offset;

	wbci_enter(t);
	MC_CHECK(!wbci_block_alloc(t, PAGE_ENTRIES, 128, &offset), "no block");
	wbci_block_undo(t, offset);
	wbci_exit(t);
	mc_raise(0);
	mc_wait(1);
	maker();
	mc_raise(2);
}

static void wanting_sweeper(void)
{
	wbci_sweep_want(mc_segment());
	sweep_until(SWEEP_SNAPSHOT);
	mc_wait(0);
	sweep_until(SWEEP_WALKED);
	advance();
	mc_raise(1);
	mc_wait(2);
	sweep_until(SWEEP_NONE);
}

/* Holds a block in the snapshot, gives it back, and takes it again. */
static void waverer(void)
{
	struct wbci_thread *t = mc_place();
	uint64_t offset;

	wbci_enter(t);
	MC_CHECK(!wbci_block_alloc(t, PAGE_ENTRIES, 128, &offset), "no block");
	mc_raise(0);
	mc_wait(1);
	wbci_block_undo(t, offset);
	wbci_exit(t);
	mc_raise(2);
	mc_wait(3);
	mc_raise(4);
	mc_wait(5);
	maker();
	mc_raise(6);
}

/* Takes a block out before the walk, and uses it again after it. */
static void recycler(void)
{
	struct wbci_thread *t = mc_place();

	mc_raise(0);
	mc_wait(1);
	mc_raise(2);
	mc_wait(3);
	unlinker();
	mc_raise(4);
	mc_wait(5);
	wbci_enter(t);
	wbci_page_reclaim(t, wbci_page_of(mc_segment(),
	                                  kept->rows->ref[2].offset));
	wbci_exit(t);
	maker();
	mc_raise(6);
}

static void check(void)
{
	uint64_t total;
	bool there;

	blocks_check(0);
	total = rows_total(kept->rows, 1, &there);
	MC_CHECK(total >= mc_acked() && total <= mc_acked() + mc_deaths(),
	         "%d acknowledged, %d there", (int)mc_acked(), (int)total);
	rows_total(kept->rows, 0, &there);
	MC_CHECK(there, "a row that nobody touched is gone");
}

static const struct mc_scenario scenarios[] = {
	{.name = "maker",
	 .says = "P6: while a row is made a sweep takes nothing of it",
	 .setup = setup_wanted, .thread = {sweeper, maker}, .check = check,
	 .immortal = 1},
	{.name = "maker-fenced",
	 .says = "P6: the same where nobody has membarrier",
	 .setup = setup_fenced, .thread = {sweeper, maker}, .check = check,
	 .immortal = 1, .preemptions = 1},
	{.name = "makers",
	 .says = "P6: nor of two that race for one row",
	 .setup = setup_wanted, .thread = {sweeper, maker, maker},
	 .check = check, .deaths = MC_NOBODY, .preemptions = 1, .stale = 1},
	{.name = "dead-maker",
	 .says = "P6: what a maker who dies leaves is found, by whoever reaps",
	 .setup = setup, .thread = {reaper, maker}, .check = check,
	 .immortal = 1},
	{.name = "unlinker",
	 .says = "P6: a block that somebody else unlinks is retired once",
	 .setup = setup_two, .thread = {sweeper, unlinker}, .check = check,
	 .immortal = 1},
	{.name = "hasty",
	 .says = "P6: a block that is given back when the sweep begins is not "
	         "swept",
	 .setup = setup_unwanted, .thread = {wanting_sweeper, hasty_client},
	 .check = check, .immortal = 1},
	{.name = "waverer",
	 .says = "P6: a block that is given back and taken again is not swept",
	 .setup = setup_begun, .thread = {turn_sweeper, waverer},
	 .check = check, .immortal = 1},
	{.name = "recycler",
	 .says = "P6: nor is one that was retired, and is used again",
	 .setup = setup_begun, .thread = {turn_sweeper, recycler},
	 .check = check, .immortal = 1},
	{NULL}};

int main(int argc, char **argv)
{
	return mc_main(argc, argv, "sweeps", scenarios);
}
