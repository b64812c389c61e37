/* SPDX-License-Identifier: MIT */
/* Copyright the wbcshm authors */

/*
 * Second looks: what a protocol looks at again, since it may have changed
 * since the first time.  doc/ordering.md lists them all; here are those that
 * no scenario of the other programs needs.
 */
#include <errno.h>

#include "rows.h"

#include "shm/page.h"
#include "shm/remove.h"
#include "shm/sweep.h"

#define HALF_PAGE 32768u         /* a block: two of them are a page */
#define LARGE (INT64_C(3) << 59) /* twice that is too much */
#define LARGE_DOUBLE (WBCI_DOUBLE_MAX * 0.75)

static struct rows *rows;
static struct kept {
	struct wbci_removal removal;
	struct wbci_pruning pruning;
	struct wbci_sweep sweep;
	struct wbci_ref frozen[8];
	uint64_t held; /* a block that somebody has */
	uint64_t lost; /* a block that nobody has */
	uint64_t want[MC_THREADS];
} * kept;

static struct control_shm *control(void)
{
	return mc_segment()->control;
}

static void setup(void)
{
	mc_world(&(struct mc_shape){0});
	kept = mc_keep(sizeof(*kept));
	rows = rows_make();
	for (unsigned i = 0; i < MC_THREADS && mc_client((int)i); i++)
		mc_join(i);
}

static void setup_row(void)
{
	setup();
	rows_open(rows, 0, 0);
}

static void advance(void)
{
	wbci_epoch_advance(mc_client(-1));
	wbci_epoch_advance(mc_client(-1));
}

static uint64_t take(uint64_t bytes)
{
	uint64_t offset = 0;

	MC_CHECK(!wbci_block_alloc(mc_place(), PAGE_BLOCKS, bytes, &offset),
	         "no block");
	return offset;
}

/* Is the block's bit set in the alloc bitmap, and in none of the limbo's? */
static bool is_allocated(uint64_t offset, bool *retired)
{
	const struct wbci_segment *s = mc_segment();
	const struct meta_shm *meta = &s->metas[wbci_page_of(s, offset)];
	unsigned bit = (unsigned)(offset % WBCI_PAGE_BYTES / HALF_PAGE);
	uint64_t limbo = 0;

	for (unsigned i = 0; i < 4; i++)
		limbo |= order_load(&meta->limbo[i][0]);
	*retired = limbo >> bit & 1;
	return order_load(&meta->alloc[0]) >> bit & 1;
}

/* ---- closed ---- */

static void shutter(void)
{
	wbci_shut(mc_segment());
	mc_ack(1);
	mc_raise(0);
}

static void adder(void)
{
	rows_add_ref(rows, 0, 1 << 8);
}

static void check_not_ready(void)
{
	struct entry_shm *e = rows->entry[0];

	MC_CHECK(!(mc_acked() & 1) ||
	                 !wbci_cell_ready(control(), e, &e->total, 1),
	         "an entry of a closed segment is ready");
}

static void setup_detached(void)
{
	mc_world(&(struct mc_shape){0});
}

static void attacher(void)
{
	struct wbci_thread *t;

	mc_wait(0);
	MC_CHECK(!order_load(&control()->closed) ||
	                 wbci_thread(mc_client(-1), &t) == -ESTALE,
	         "attached to a closed segment");
}

/* ---- the index ---- */

/* Rows 0 and 1 clash in their first digit. */
static void setup_clash(void)
{
	setup();
	rows_clash(rows, 1, 0);
	for (unsigned i = 0; i < MC_THREADS && mc_client((int)i); i++)
		rows_warm(i);
	rows_open(rows, 0, 0);
}

static void unlinker(void)
{
	struct wbci_thread *t = mc_place();

	wbci_enter(t);
	MC_CHECK(wbci_index_unlink(t, &rows->key[0], rows->ref[0].offset) == 1,
	         "not unlinked");
	wbci_exit(t);
}

static void opener(void)
{
	struct wbci_thread *t = mc_place();
	struct entry_shm *e;
	uint64_t offset;

	MC_CHECK(!wbci_entry_open(t, &rows->key[1], &rows->schema, &e, &offset),
	         "no entry");
	wbci_exit(t);
}

/* ---- memory ---- */

static void setup_room(void)
{
	mc_world(&(struct mc_shape){.extents = 3});
}

/* Found one extent too few. */
static void grower(void)
{
	MC_CHECK(!wbci_segment_grow(mc_segment(), 1), "no room");
}

static void check_grown(void)
{
	MC_CHECK(mc_deaths() || order_load(&control()->committed) == 2,
	         "%u extents", order_load(&control()->committed));
}

/* Thread 0 has a page, in which a block was retired an epoch ago. */
static void setup_retired(void)
{
	setup();
	mc_as(0);
	wbci_enter(mc_place());
	wbci_block_retire(mc_place(), take(HALF_PAGE));
	wbci_exit(mc_place());
	wbci_epoch_advance(mc_client(0));
	mc_as(-1);
}

/* Fills the page, goes on to the next, and then needs none of it. */
static void undoer(void)
{
	uint64_t first;

	wbci_enter(mc_place());
	first = take(HALF_PAGE);
	take(HALF_PAGE);
	mc_raise(0);
	mc_wait(1);
	wbci_block_undo(mc_place(), first);
	wbci_exit(mc_place());
}

/* Gets the page that was full. */
static void heir(void)
{
	mc_wait(0);
	wbci_epoch_advance(mc_client(-1));
	wbci_enter(mc_place());
	mc_raise(1);
	kept->held = take(HALF_PAGE);
	wbci_exit(mc_place());
}

/* A page that is nobody's, with a block in use and a retired one. */
static void setup_half(void)
{
	setup();
	mc_as(0);
	wbci_enter(mc_place());
	kept->held = take(HALF_PAGE);
	*(uint64_t *)wbci_at(mc_segment(), kept->held) = 1;
	wbci_block_retire(mc_place(), take(HALF_PAGE));
	wbci_exit(mc_place());
	wbci_thread_end(mc_client(0));
	mc_as(-1);
	mc_join(0);
}

static void tidier(void)
{
	advance();
	wbci_enter(mc_place());
	wbci_page_tidy(mc_place(), wbci_page_of(mc_segment(), kept->held));
	wbci_exit(mc_place());
}

static void check_held(void)
{
	bool retired;

	MC_CHECK(!kept->held ||
	                 (is_allocated(kept->held, &retired) && !retired),
	         "a block in use is free");
}

static void check_whole(void)
{
	check_held();
	MC_CHECK(*(uint64_t *)wbci_at(mc_segment(), kept->held) == 1,
	         "a block in use was wiped");
}

/* ---- a sweep that is wanted while another is made ---- */

static void setup_wanted(void)
{
	setup();
	wbci_sweep_want(mc_segment());
	mc_as(0);
	wbci_sweep_init(&kept->sweep, mc_client(0), NULL);
	mc_as(-1);
}

static void sweeper(void)
{
	for (unsigned i = 0; i < 9; i++)
		wbci_sweep_step(&kept->sweep, UINT64_MAX);
}

/* What a death in a section leaves: a block that nobody has. */
static void loser(void)
{
	wbci_enter(mc_place());
	kept->lost = take(HALF_PAGE);
	wbci_exit(mc_place());
	wbci_sweep_want(mc_segment());
}

static void check_found(void)
{
	bool retired;

	mc_as(0);
	MC_CHECK(wbci_recover(mc_client(0)) >= 0, "recovery gives up");
	mc_as(-1);
	MC_CHECK(!kept->lost || !is_allocated(kept->lost, &retired) || retired,
	         "a block is lost");
}

/* ---- rounds ---- */

/* Whose entry was removed, and its block is another's, before the cursor of
 * what was collected from it moves. */
static void setup_removal(void)
{
	setup_row();
	kept->removal.client = kept->pruning.client = mc_client(0);
	kept->removal.pruning = &kept->pruning;
	kept->removal.frozen = kept->frozen;
}

static void late_mover(void)
{
	uint32_t page = wbci_page_of(mc_segment(), rows->ref[0].offset);
	struct entry_shm *e;
	uint64_t offset;

	wbci_removal_look(&kept->removal, UINT64_MAX, 1);
	advance();
	wbci_removal_step(&kept->removal);
	advance();
	wbci_enter(mc_place());
	wbci_page_reclaim(mc_place(), page);
	wbci_exit(mc_place());
	MC_CHECK(!wbci_entry_open(mc_place(), &rows->key[1], &rows->schema, &e,
	                          &offset),
	         "no entry");
	wbci_exit(mc_place());
	if (offset == rows->ref[0].offset)
		MC_CHECK(!wbci_cursor_move(mc_client(0), rows->ref[0], 0, 7),
		         "another entry's cursor is moved");
}

static void bumper(void)
{
	order_add_seq(&control()->cycle, 1);
}

static void wanter(void)
{
	kept->want[mc_self()] = wbci_want(mc_client(-1), &control()->sync_want);
}

static void check_wanted(void)
{
	for (unsigned t = 0; t < MC_THREADS; t++)
		MC_CHECK(order_load(&control()->sync_want) >= kept->want[t],
		         "thread %u's request was taken back", t);
}

/* ---- epochs ---- */

static void advancer(void)
{
	advance();
	kept->want[mc_self()] = order_acquire(&control()->epoch);
}

static void check_epoch(void)
{
	for (unsigned t = 0; t < MC_THREADS; t++)
		MC_CHECK(order_load(&control()->epoch) >= kept->want[t],
		         "G went back");
}

/* ---- slots ---- */

static void setup_dead(void)
{
	mc_world(&(struct mc_shape){0});
	mc_join(0);
}

static void member(void)
{
	wbci_enter(mc_place());
	wbci_exit(mc_place());
}

static void reaper(void)
{
	unsigned in_section;

	wbci_reap(mc_segment(), &in_section);
}

static void check_reaped(void)
{
	const struct wbci_segment *s = mc_segment();
	unsigned in_section;

	wbci_reap(s, &in_section);
	MC_CHECK(!mc_died(0) ||
	                 (order_load(&s->procs[mc_client(0)->proc].word) &
	                  15) == PROC_FREE,
	         "a dead one's slot is not free");
}

/* ---- cells ---- */

static void adder_of_much(void)
{
	struct wbci_thread *t = mc_place();
	uint64_t total;

	wbci_enter(t);
	wbci_cell_add_int64(t, rows->entry[0], 0, LARGE, &total);
	wbci_exit(t);
}

static void adder_of_double(void)
{
	struct wbci_thread *t = mc_place();
	double total;

	wbci_enter(t);
	wbci_cell_add_double(t, rows->entry[0], 0, LARGE_DOUBLE, &total);
	wbci_exit(t);
}

static void check_range(void)
{
	int64_t total = (int64_t)order_load(&rows->entry[0]->total);

	MC_CHECK(total <= WBCI_TOTAL_MAX, "the total is out of range");
}

static void check_double(void)
{
	double total = wbci_double_of(order_load(&rows->entry[0]->total));

	MC_CHECK(total <= WBCI_DOUBLE_MAX, "the total is out of range");
}

static const struct mc_scenario scenarios[] = {
	{.name = "shut-and-add",
         .says = "P3: no add to a closed segment makes an entry ready again",
         .setup = setup_row,
         .thread = {shutter, adder},
         .check = check_not_ready},
	{.name = "shut-and-attach",
         .says = "P3: nobody attaches to a segment that was closed meanwhile",
         .setup = setup_detached,
         .thread = {shutter, attacher},
         .deaths = MC_NOBODY},
	{.name = "unlinked",
         .says = "P6: an entry that is pushed down meanwhile is unlinked there",
         .setup = setup_clash,
         .thread = {unlinker, opener},
         .deaths = MC_NOBODY},
	{.name = "grow",
         .says = "P6: two who find the same extent too few make one more",
         .setup = setup_room,
         .thread = {grower, grower},
         .check = check_grown},
	{.name = "undone",
         .says = "P6: a block of a page that was given away is not freed in it",
         .setup = setup_retired,
         .thread = {undoer, heir},
         .check = check_held,
         .deaths = MC_NOBODY},
	{.name = "tidied",
         .says = "P6: a page that still holds a block is not wiped",
         .setup = setup_half,
         .thread = {tidier},
         .check = check_whole},
	{.name = "wanted-again",
         .says = "P6: a sweep that is wanted during a sweep is made too",
         .setup = setup_wanted,
         .thread = {sweeper, loser},
         .check = check_found,
         .deaths = MC_NOBODY},
	{.name = "moved-late",
         .says = "P3: a cursor is not moved in what its block became",
         .setup = setup_removal,
         .thread = {late_mover},
         .deaths = MC_NOBODY},
	{.name = "wanted-less",
         .says = "P4: a request for a round does not take back a later one's",
         .setup = setup,
         .thread = {bumper, wanter, wanter},
         .check = check_wanted,
         .deaths = MC_NOBODY},
	{.name = "advanced",
         .says = "P6: two who advance the epoch never make it less",
         .setup = setup,
         .thread = {advancer, advancer},
         .check = check_epoch,
         .deaths = MC_NOBODY},
	{.name = "reaper-dies",
         .says = "P9: what a reaper began that died the next one ends",
         .setup = setup_dead,
         .thread = {member, reaper},
         .check = check_reaped,
         .all_writes = true},
	{.name = "large",
         .says = "P3: two large adds at once do not leave the range",
         .setup = setup_row,
         .thread = {adder_of_much, adder_of_much},
         .check = check_range},
	{.name = "double",
         .says = "P3: nor do two of doubles",
         .setup = setup_row,
         .thread = {adder_of_double, adder_of_double},
         .check = check_double},
	{NULL}};

int main(int argc, char **argv)
{
	return mc_main(argc, argv, "checks", scenarios);
}
