/* SPDX-License-Identifier: MIT */
/* Copyright the wbcshm authors */

/*
 * Edges of rounds, sweeps and tables, as in edges.c: one hand-over each, as
 * small as it can be had, for the orders that larger scenarios do not need.
 */
#include "rows.h"

#include <fcntl.h>

#include "shm/lane.h"
#include "shm/sweep.h"
#include "shm/table.h"

#define RECORD 24u       /* bytes, with one integer */
#define HALF_PAGE 32768u /* a block: two of them are a page */
#define NOBODYS 4095u    /* an owner that no thread is */

static struct rows *rows;
static struct kept {
	struct wbci_rounds rounds;
	struct wbci_sweep sweep;
	struct wbci_seen seen;
	uint32_t page;
	char text[WBCI_TABLE_MESSAGE];
} * kept;

static void setup_shape(const struct mc_shape *shape)
{
	mc_world(shape);
	rows = rows_make();
	kept = mc_keep(sizeof(*kept));
	for (unsigned i = 0; i < MC_THREADS && mc_client((int)i); i++)
		mc_join(i);
	mc_as(0);
	wbci_rounds_init(&kept->rounds, mc_client(0));
	kept->rounds.all = false;
	wbci_sweep_init(&kept->sweep, mc_client(0), NULL);
	mc_as(-1);
}

static void setup(void)
{
	setup_shape(&(struct mc_shape){0});
}

static void setup_row(void)
{
	setup();
	rows_open(rows, 0, 0);
	order_store(&mc_segment()->threads[0].lane_ready, 1);
}

/* ---- rounds ---- */

static int visit(void *arg, const struct wbci_seen *seen)
{
	(void)arg;
	wbci_cursor_move(mc_client(-1), seen->ref, 0, seen->total[0]);
	return 0;
}

static void one_round(void)
{
	MC_CHECK(wbci_round_begin(&kept->rounds) == 0, "no memory");
	MC_CHECK(wbci_round_read(&kept->rounds, visit, NULL) == 0, "no read");
	wbci_round_end(&kept->rounds);
}

/* What is acknowledged is collected when all is quiet. */
static void check_collected(void)
{
	struct entry_shm *e;
	uint64_t offset;

	mc_as(0);
	for (unsigned i = 0; i < 3; i++)
		one_round();
	if (wbci_entry_find(mc_place(), &rows->key[0], &e, &offset) == 0) {
		MC_CHECK(order_load(&e->journaled) == mc_acked(),
		         "%d acknowledged, the cursor is at %d",
		         (int)mc_acked(), (int)order_load(&e->journaled));
		wbci_exit(mc_place());
	}
	mc_as(-1);
}

/* No page is free: who wants one waits, or commits an extent. */
static void take_all_pages(void)
{
	for (uint32_t i = 0; i < WBCI_PAGES_PER_EXTENT; i++)
		order_store(
			&mc_segment()->words[i],
			wbci_page_word(PAGE_BLOCKS, WBCI_CLASSES - 1, NOBODYS));
}

static void setup_full(void)
{
	setup_shape(&(struct mc_shape){.extents = 2});
	take_all_pages();
}

static void adder_of_new_row(void)
{
	MC_CHECK(rows_add(rows, 0, 1) == 0, "an add fails");
}

/* Row 0 was marked in the first cycle. */
static void setup_marked(void)
{
	setup_row();
	mc_as(1);
	wbci_enter(mc_place());
	wbci_mark(mc_place(), rows->entry[0]);
	wbci_exit(mc_place());
	mc_as(-1);
}

/* G moves on after somebody marked in the new cycle. */
static void two_rounds(void)
{
	one_round();
	mc_wait(0);
	wbci_epoch_advance(mc_client(0));
	mc_raise(1);
	mc_wait(2);
	one_round();
	mc_raise(3);
}

static void marker(void)
{
	wbci_enter(mc_place());
	wbci_mark(mc_place(), rows->entry[0]);
	wbci_exit(mc_place());
	mc_raise(0);
}

/* Relies on the other's mark, and adds after the second round. */
static void slow_adder(void)
{
	struct wbci_thread *t = mc_place();
	struct entry_shm *e = rows->entry[0];

	mc_wait(1);
	wbci_enter(t);
	wbci_mark(t, e);
	mc_raise(2);
	mc_wait(3);
	order_add_release(&e->total, 1);
	wbci_exit(t);
	mc_ack(1);
}

/* ---- wbci_shut() ---- */

static void shutter(void)
{
	wbci_shut(mc_segment());
}

static void adder(void)
{
	rows_add_ref(rows, 0, 1);
}

static void check_not_ready(void)
{
	MC_CHECK(order_load(&rows->entry[0]->stamp) <
	                 order_load(&mc_segment()->control->cycle),
	         "an entry is marked in the last cycle");
}

/* ---- copies of entries ---- */

static void insert_and_add(void)
{
	struct wbc_value v = wbc_int64(NULL, 1);
	uint8_t column = 0;

	MC_CHECK(!wbci_lane_append(mc_place(), 0, &v, &column, 1, RECORD),
	         "no room");
	rows_add_ref(rows, 0, 1);
}

static int see_block(uint64_t offset, uint64_t bytes)
{
	const struct wbci_segment *s = mc_segment();
	int found;

	wbci_enter(mc_place());
	found = wbci_seen_changed(
		s, wbci_page_of(s, offset),
		(unsigned)((offset - s->geo.extents_off) % WBCI_PAGE_BYTES /
	                   wbci_class_bytes[wbci_class_of(bytes)]),
		&kept->seen);
	wbci_exit(mc_place());
	return found;
}

static void collector(void)
{
	static uint64_t buffer[16];
	uint64_t head, tail;

	if (see_block(rows->ref[0].offset, wbci_entry_bytes(1, 4)) == 1)
		MC_CHECK(wbci_lane_read(mc_segment(), 0,
		                        (unsigned char *)buffer, &head,
		                        &tail) == RECORD,
		         "the sum without the insert before it");
}

#define OLD_ORIGIN 7u

static void setup_origin(void)
{
	setup_row();
	order_store(&rows->entry[0]->origin, OLD_ORIGIN);
}

/* The entry is removed, and the block is one of the same key again: what of
 * it is no atomic stays as it is. */
static void remaker(void)
{
	struct entry_shm *e = rows->entry[0];
	uint64_t i = rows->ref[0].incarnation;

	order_store(&e->word, wbci_entry_word(i, ENTRY_DEAD));
	/* As when it is retired. */
	order_fence();
	order_store(&e->origin, OLD_ORIGIN + 1);
	order_release(&e->word, wbci_entry_word(i + 1, ENTRY_LIVE));
}

/* A tool: without a section. */
static void looker(void)
{
	struct wbci_seen *seen = &kept->seen;

	if (wbci_seen_entry(mc_segment(), rows->ref[0].offset, seen) != 1)
		return;
	MC_CHECK(seen->origin[0] == OLD_ORIGIN + seen->ref.incarnation -
	                                    rows->ref[0].incarnation,
	         "the value of another entry");
}

/* The first page is nobody's, and of blocks that are all free. */
static void setup_free_page(void)
{
	struct wbci_thread *t;
	uint64_t offset;

	setup();
	mc_as(0);
	t = mc_place();
	wbci_enter(t);
	if (wbci_block_alloc(t, PAGE_BLOCKS, HALF_PAGE, &offset))
		tap_bail("no block");
	memset(wbci_at(mc_segment(), offset), 1, 128);
	kept->page = wbci_page_of(mc_segment(), offset);
	wbci_block_undo(t, offset);
	wbci_exit(t);
	wbci_thread_end(mc_client(0));
	mc_as(-1);
	mc_join(0);
	order_store(&mc_segment()->control->page_hint, 0);
}

static void tidier(void)
{
	wbci_enter(mc_place());
	wbci_page_tidy(mc_place(), kept->page);
	wbci_exit(mc_place());
}

static void taker(void)
{
	struct wbci_thread *t = mc_place();
	uint64_t offset;

	wbci_enter(t);
	MC_CHECK(!wbci_block_alloc(t, PAGE_ENTRIES, wbci_entry_bytes(1, 4),
	                           &offset),
	         "no block");
	wbci_exit(t);
}

static void block_reader(void)
{
	uint64_t offset = wbci_page_off(mc_segment(), kept->page);

	MC_CHECK(see_block(offset, wbci_entry_bytes(1, 4)) == 0,
	         "an entry that nobody made");
}

/* ---- sweeps ---- */

/* A sweep is about to walk, and everybody is out of the sections that it had
 * to wait for. */
static void begin_walk(void)
{
	wbci_sweep_want(mc_segment());
	mc_as(0);
	for (unsigned i = 0; i < 8 && kept->sweep.state != SWEEP_WALK; i++)
		wbci_sweep_step(&kept->sweep, UINT64_MAX);
	if (kept->sweep.state != SWEEP_WALK)
		tap_bail("the sweep does not walk");
	mc_as(-1);
}

/* Row 0 is there; thread 1's next node is full of words that lead nowhere. */
static void setup_walk(void)
{
	struct wbci_thread *t;
	uint64_t offset;
	struct node_shm *node;

	setup();
	rows_clash(rows, 1, 0);
	rows_warm(1);
	rows_open(rows, 0, 1);
	mc_as(1);
	t = mc_place();
	wbci_enter(t);
	if (wbci_block_alloc(t, PAGE_BLOCKS, sizeof(*node), &offset))
		tap_bail("no block");
	node = wbci_at(mc_segment(), offset);
	for (unsigned i = 0; i < WBCI_NODE_WORDS; i++)
		order_store(&node->word[i], ~UINT64_C(3) | INDEX_NODE);
	wbci_block_undo(t, offset);
	wbci_exit(t);
	mc_as(-1);
	begin_walk();
}

static void setup_table_walk(void)
{
	setup();
	begin_walk();
}

static void walker(void)
{
	wbci_sweep_step(&kept->sweep, UINT64_MAX);
	MC_CHECK(!kept->sweep.corrupt, "what is reached is no block");
}

static void maker(void)
{
	struct wbci_thread *t = mc_place();
	struct entry_shm *e;
	uint64_t offset;

	MC_CHECK(wbci_entry_open(t, &rows->key[1], &rows->schema, &e,
	                         &offset) == 0,
	         "no entry");
	wbci_exit(t);
}

/* ---- tables ---- */

static void declarer(void)
{
	int table = wbci_table_declare(mc_place(), &rows->schema, NULL);

	MC_CHECK(table == 0, "table %d", table);
}

/* Nothing is free, somebody is the flusher, and clients wait for it. */
static void setup_waiting(void)
{
	struct flock lock = {
		.l_type = F_WRLCK, .l_start = WBCI_LOCK_FLUSHER, .l_len = 1};

	setup();
	take_all_pages();
	mc_client(1)->full_wait_ms = 1000;
	mc_as(0);
	if (fcntl(open("/model", O_RDWR), F_OFD_SETLK, &lock))
		tap_bail("no flusher");
	mc_as(-1);
}

static void giver(void)
{
	/* ORDER page.claim, release: as wbci_page_tidy() */
	order_release(&mc_segment()->words[0], PAGE_FREE);
	wbci_event(mc_segment());
}

static void check_woken(void)
{
	MC_CHECK(!mc_timeouts(), "a wake-up was lost");
}

static void setup_parked(void)
{
	setup();
	wbci_table_park(mc_segment(), 0, -5, "aaaaaaaaaaaaaaaaaaa");
}

static void parker(void)
{
	wbci_table_park(mc_segment(), 0, -5, "bbbbbbbbbbbbbbbbbbb");
}

static void parked_reader(void)
{
	wbci_table_parked(mc_segment(), 0, kept->text);
	for (unsigned i = 0; kept->text[i]; i++)
		MC_CHECK(kept->text[i] == kept->text[0],
		         "words of two messages");
}

static const struct mc_scenario scenarios[] = {
	{.name = "grown",
         .says = "P3: a row in memory that was added beside a round is "
                 "collected",
         .setup = setup_full,
         .thread = {one_round, adder_of_new_row},
         .check = check_collected,
         .deaths = MC_NOBODY,
         .preemptions = 1,
         .stale = 1},
	{.name = "new-cycle",
         .says = "P3: who marks in a new cycle finds the bits of the old taken",
         .setup = setup_marked,
         .thread = {two_rounds, marker, slow_adder},
         .check = check_collected,
         .deaths = MC_NOBODY,
         .stale = 1},
	{.name = "shut",
         .says = "P2: no entry is marked in a closed segment's last cycle",
         .setup = setup_row,
         .thread = {shutter, adder},
         .check = check_not_ready,
         .deaths = MC_NOBODY},
	{.name = "collected",
         .says = "P4: a round that has a sum has the insert before it",
         .setup = setup_row,
         .thread = {insert_and_add, collector},
         .deaths = MC_NOBODY},
	{.name = "remade",
         .says = "P13: who copies an entry without a section copies one entry",
         .setup = setup_origin,
         .thread = {remaker, looker},
         .deaths = MC_NOBODY},
	{.name = "retyped",
         .says = "P6: no entry is found in a page that was of blocks",
         .setup = setup_free_page,
         .thread = {tidier, taker, block_reader},
         .deaths = MC_NOBODY,
         .preemptions = 1,
         .stale = 1},
	{.name = "walk",
         .says = "P6: a sweep walks through whole nodes",
         .setup = setup_walk,
         .thread = {walker, maker},
         .deaths = MC_NOBODY,
         .preemptions = 1,
         .stale = 1},
	{.name = "walk-tables",
         .says = "P6: a sweep that finds a table finds its block",
         .setup = setup_table_walk,
         .thread = {walker, declarer},
         .deaths = MC_NOBODY,
         .preemptions = 1,
         .stale = 1},
	{.name = "memory",
         .says = "P2: who waits for memory to declare a table is woken",
         .setup = setup_waiting,
         .thread = {giver, declarer},
         .check = check_woken,
         .deaths = MC_NOBODY,
         .preemptions = 1},
	{.name = "torn-message",
         .says = "P13: who reads why a table is parked reads one reason",
         .setup = setup_parked,
         .thread = {parker, parked_reader},
         .deaths = MC_NOBODY,
         .preemptions = 1},
	{NULL}};

int main(int argc, char **argv)
{
	return mc_main(argc, argv, "edges_round", scenarios);
}
