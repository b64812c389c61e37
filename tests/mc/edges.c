/* SPDX-License-Identifier: MIT */
/* Copyright the wbcshm authors */

/*
 * Edges: one hand-over each, as small as it can be had.
 *
 * One thread prepares something and says so, the other looks whether it is
 * said, and uses what was prepared: plain memory, where a missing order is a
 * data race, or words that it must not find older than what it saw before.
 * The searches are small enough that the mutants (mutants.sh) can be tried
 * on them in no time.
 */
#include "rows.h"

#include "shm/lane.h"
#include "shm/remove.h"
#include "shm/table.h"
#include "shm/walk.h"

#define RECORD 24u       /* bytes, with one integer */
#define HALF_PAGE 32768u /* a block: two of them are a page */

static struct rows *rows;
static struct kept {
	struct wbci_removal removal;
	struct wbci_pruning pruning;
	struct wbci_ref frozen[8];
	struct wbci_schema schema;
	struct wbci_seen seen;
	uint32_t page;
	char text[WBCI_TABLE_MESSAGE];
	int parked;
} * kept;

static void setup_shape(const struct mc_shape *shape)
{
	mc_world(shape);
	rows = rows_make();
	kept = mc_keep(sizeof(*kept));
	kept->removal.client = kept->pruning.client = mc_client(1);
	kept->removal.pruning = &kept->pruning;
	kept->removal.frozen = kept->frozen;
	rows_clash(rows, 1, 0);
	rows_clash(rows, 2, 0);
}

/* Thread 0 has pages, row 0 is not there. */
static void setup_warm(void)
{
	setup_shape(&(struct mc_shape){0});
	rows_warm(0);
	mc_join(1);
}

/* Rows 0 and 1 are there, in a node; row 2 will be below it. */
static void setup_node(void)
{
	setup_warm();
	rows_open(rows, 0, 0);
	rows_open(rows, 1, 0);
}

static void setup_row(void)
{
	setup_warm();
	rows_open(rows, 0, 0);
	order_store(&mc_segment()->threads[0].lane_ready, 1);
}

static void open_key(unsigned key)
{
	struct wbci_thread *t = mc_place();
	struct entry_shm *e;
	uint64_t offset;

	MC_CHECK(wbci_entry_open(t, &rows->key[key], &rows->schema, &e,
	                         &offset) == 0,
	         "key %u: no entry", key);
	wbci_exit(t);
}

static void open_0(void)
{
	open_key(0);
}

static void open_2(void)
{
	open_key(2);
}

/* ---- entry.born: by way of the bitmaps, without the index ---- */

static int visit(void *arg, const struct wbci_seen *seen)
{
	(void)arg;
	MC_CHECK(seen->key_len == 4 && !memcmp(seen->key, rows->bytes[0], 4),
	         "another key");
	return 0;
}

static void visitor(void)
{
	wbci_enter(mc_place());
	wbci_entry_visit_all(mc_segment(), visit, NULL);
	wbci_exit(mc_place());
}

static void freezer(void)
{
	wbci_removal_look(&kept->removal, UINT64_MAX, 1);
}

/* ---- index.publish ---- */

static void hot_finder(void)
{
	struct wbci_thread *t = mc_place();
	const struct wbci_key *k = &rows->key[2];
	struct entry_shm *e;

	wbci_enter(t);
	e = wbci_index_hot(mc_segment(), k->bytes, k->head, k->hash);
	MC_CHECK(!e || !memcmp(e->key, rows->bytes[2], 4), "another's entry");
	wbci_exit(t);
}

static int walk_step(void *arg, const struct wbci_step *step)
{
	const struct entry_shm *e;

	(void)arg;
	MC_CHECK(step->sound, "a word of the index is wrong");
	if (step->tag != INDEX_ENTRY)
		return 0;
	e = wbci_at(mc_segment(), step->target);
	MC_CHECK(e->key_len == 4, "a key of %u bytes", e->key_len);
	return 0;
}

static void walker(void)
{
	wbci_enter(mc_place());
	wbci_index_walk(mc_segment(), walk_step, NULL);
	wbci_exit(mc_place());
}

/* ---- cell.total: an insert before an add ---- */

static void insert(void)
{
	struct wbc_value v = wbc_int64(NULL, 1);
	uint8_t column = 0;

	MC_CHECK(!wbci_lane_append(mc_place(), 0, &v, &column, 1, RECORD),
	         "no room");
}

static void insert_and_add(void)
{
	insert();
	rows_add_ref(rows, 0, 1);
}

static void insert_and_add_much(void)
{
	insert();
	rows_add_ref(rows, 0, INT64_C(1) << 60);
}

static void insert_and_set(void)
{
	struct wbci_thread *t = mc_place();

	insert();
	wbci_enter(t);
	wbci_cell_set(t, rows->entry[0], 0, 1);
	wbci_exit(t);
}

static void insert_and_add_double(void)
{
	struct wbci_thread *t = mc_place();
	double total;

	insert();
	wbci_enter(t);
	MC_CHECK(!wbci_cell_add_double(t, rows->entry[0], 0, 1, &total),
	         "not added");
	wbci_exit(t);
}

static void summer(void)
{
	static uint64_t buffer[16];
	uint64_t head, tail;

	wbci_enter(mc_place());
	MC_CHECK(wbci_seen_entry(mc_segment(), rows->ref[0].offset,
	                         &kept->seen) == 1,
	         "no entry");
	wbci_exit(mc_place());
	if (kept->seen.total[0])
		MC_CHECK(wbci_lane_read(mc_segment(), 0,
		                        (unsigned char *)buffer, &head,
		                        &tail) == RECORD,
		         "the sum without the insert before it");
}

/* ---- page.claim ---- */

static uint64_t take(struct wbci_thread *t, uint64_t bytes)
{
	uint64_t offset;

	MC_CHECK(wbci_block_alloc(t, PAGE_BLOCKS, bytes, &offset) == 0,
	         "no block");
	*(uint64_t *)wbci_at(mc_segment(), offset) = mc_self() + 1;
	return offset;
}

/* Thread 0 owns the first page, all of whose blocks are free. */
static void setup_page(void)
{
	struct wbci_thread *t;
	uint64_t offset;

	setup_shape(&(struct mc_shape){0});
	mc_join(0);
	mc_join(1);
	mc_as(0);
	t = mc_place();
	wbci_enter(t);
	offset = take(t, HALF_PAGE);
	kept->page = wbci_page_of(mc_segment(), offset);
	wbci_block_undo(t, offset);
	wbci_exit(t);
	mc_as(-1);
}

/* It is nobody's. */
static void setup_free_page(void)
{
	setup_page();
	mc_as(0);
	wbci_thread_end(mc_client(0));
	mc_as(-1);
	mc_join(0);
	order_store(&mc_segment()->control->page_hint, 0);
}

static void leaver(void)
{
	struct wbci_thread *t = mc_place();

	wbci_enter(t);
	wbci_block_undo(t, take(t, HALF_PAGE));
	wbci_exit(t);
	wbci_thread_end(mc_client(-1));
}

/* Leaves one block behind, which nobody may get. */
static void holder(void)
{
	struct wbci_thread *t = mc_place();

	wbci_enter(t);
	take(t, HALF_PAGE);
	wbci_exit(t);
	wbci_thread_end(mc_client(-1));
}

static void tidier(void)
{
	wbci_enter(mc_place());
	wbci_page_tidy(mc_place(), kept->page);
	wbci_exit(mc_place());
}

static void taker(void)
{
	wbci_enter(mc_place());
	take(mc_place(), HALF_PAGE);
	take(mc_place(), HALF_PAGE);
	wbci_exit(mc_place());
}

static void taker_of_less(void)
{
	wbci_enter(mc_place());
	take(mc_place(), 4096);
	wbci_exit(mc_place());
}

/* ---- slot.claim ---- */

static void setup_slot(void)
{
	setup_shape(&(struct mc_shape){.procs = 1, .threads = 1});
	order_store(&mc_segment()->threads[0].lane_ready, 1);
	mc_join(0);
}

static void passer(void)
{
	struct wbci_client *c = mc_client(-1);

	insert();
	wbci_client_close(&c);
}

static void successor(void)
{
	struct wbci_thread *t;

	if (wbci_thread(mc_client(-1), &t))
		return;
	insert();
	MC_CHECK(order_load(&t->shm->lane_tail) == 2 * RECORD,
	         "the lane began anew");
}

/* The same after a death: the lane's tail is where the dead one left it. */
static void setup_two_procs(void)
{
	setup_shape(&(struct mc_shape){.procs = 2, .threads = 1});
	order_store(&mc_segment()->threads[0].lane_ready, 1);
	mc_join(0);
}

static void inserter(void)
{
	insert();
	mc_ack(1);
}

static void reaper(void)
{
	unsigned in_section;

	wbci_reap(mc_segment(), &in_section);
}

static void heir(void)
{
	struct wbci_thread *t;

	if (wbci_thread(mc_client(-1), &t) == 0)
		inserter();
}

static void check_inserted(void)
{
	uint64_t tail = order_load(&mc_segment()->threads[0].lane_tail);

	MC_CHECK(tail >= mc_acked() * RECORD, "%d inserted, the tail is %d",
	         (int)mc_acked(), (int)tail);
}

/* ---- table.publish, table.message ---- */

static void declarer(void)
{
	int table = wbci_table_declare(mc_place(), &rows->schema, NULL);

	MC_CHECK(table == 0, "table %d", table);
}

static void schema_reader(void)
{
	int error = wbci_table_schema(mc_segment(), 0, &kept->schema, NULL);

	MC_CHECK(error == 0 || error == -ENOENT, "error %d", error);
	MC_CHECK(error || wbci_schema_same(&kept->schema, &rows->schema),
	         "another schema");
}

static void setup_parked(void)
{
	setup_warm();
	wbci_table_park(mc_segment(), 0, -5, "aaaaaaaaaaaaaaaaaaa");
}

static void parker(void)
{
	wbci_table_park(mc_segment(), 0, -7, "bbbbbbbbbbbbbbbbbbb");
}

static void parked_reader(void)
{
	int error = wbci_table_parked(mc_segment(), 0, kept->text);
	char first = kept->text[0];

	if (!first)
		return;
	MC_CHECK(strlen(kept->text) == 19, "words of two messages");
	for (unsigned i = 0; i < 19; i++)
		MC_CHECK(kept->text[i] == first, "words of two messages");
	MC_CHECK(error == (first == 'a' ? -5 : -7),
	         "error %d with the other's words", error);
}

static const struct mc_scenario scenarios[] = {
	{.name = "born",
         .says = "P1: who finds an entry in a bitmap finds it whole",
         .setup = setup_warm,
         .thread = {open_0, visitor},
         .deaths = MC_NOBODY},
	{.name = "born-and-frozen",
         .says = "P1: who means to remove an entry finds it whole",
         .setup = setup_warm,
         .thread = {open_0, freezer},
         .deaths = MC_NOBODY},
	{.name = "hot",
         .says = "P1: who finds an entry below a node finds it whole",
         .setup = setup_node,
         .thread = {open_2, hot_finder},
         .deaths = MC_NOBODY},
	{.name = "walk",
         .says = "P1: who walks through the index finds whole entries",
         .setup = setup_warm,
         .thread = {open_0, walker},
         .deaths = MC_NOBODY},
	{.name = "insert-before-add",
         .says = "P4: who finds a sum finds the insert before it",
         .setup = setup_row,
         .thread = {insert_and_add, summer},
         .deaths = MC_NOBODY},
	{.name = "insert-before-large",
         .says = "P4: the same with a large summand",
         .setup = setup_row,
         .thread = {insert_and_add_much, summer},
         .deaths = MC_NOBODY},
	{.name = "insert-before-set",
         .says = "P4: the same with a sum that is set",
         .setup = setup_row,
         .thread = {insert_and_set, summer},
         .deaths = MC_NOBODY},
	{.name = "insert-before-double",
         .says = "P4: the same with a double",
         .setup = setup_row,
         .thread = {insert_and_add_double, summer},
         .deaths = MC_NOBODY},
	{.name = "left-and-tidied",
         .says = "P6: a page that was left empty is wiped after it was left",
         .setup = setup_page,
         .thread = {leaver, tidier},
         .deaths = MC_NOBODY},
	{.name = "tidied-and-taken",
         .says = "P6: a page that was wiped is used after it was wiped",
         .setup = setup_free_page,
         .thread = {tidier, taker_of_less},
         .deaths = MC_NOBODY},
	{.name = "left-and-taken",
         .says = "P6: a block that was given back is used after it was",
         .setup = setup_page,
         .thread = {leaver, taker},
         .deaths = MC_NOBODY},
	{.name = "held-and-taken",
         .says = "P6: a page's next owner knows which blocks are in use",
         .setup = setup_page,
         .thread = {holder, taker},
         .deaths = MC_NOBODY},
	{.name = "slot",
         .says = "P9: a slot's next owner finds it as the last one left it",
         .setup = setup_slot,
         .thread = {passer, successor},
         .deaths = MC_NOBODY},
	{.name = "reaped",
         .says = "P3: the heir of a dead one's slot goes on at its lane's tail",
         .setup = setup_two_procs,
         .thread = {inserter, reaper, heir},
         .check = check_inserted,
         .immortal = 6,
         .deaths = 1},
	{.name = "table",
         .says = "P11: who finds a table finds its whole declaration",
         .setup = setup_warm,
         .thread = {declarer, schema_reader},
         .deaths = MC_NOBODY},
	{.name = "two-tables",
         .says = "P11: two who declare one table find the same",
         .setup = setup_warm,
         .thread = {declarer, declarer},
         .deaths = MC_NOBODY,
         .preemptions = 1},
	{.name = "message",
         .says = "P13: who reads why a table is parked reads no two reasons",
         .setup = setup_parked,
         .thread = {parker, parked_reader},
         .deaths = MC_NOBODY,
         .preemptions = 1,
         .stale = 1},
	{NULL}};

int main(int argc, char **argv)
{
	return mc_main(argc, argv, "edges", scenarios);
}
