/* SPDX-License-Identifier: MIT */
/* Copyright the wbcshm authors */

/*
 * Trees: updates of one root's word, beside each other and a reader.
 *
 * Each update adds one to a number that stands under two keys; so a reader
 * finds the same twice, in a version that says which update it was.  However
 * it goes, the number counts what was acknowledged, every block in the tree
 * is held, and one that is held and not in the tree is that of somebody who
 * died.
 *
 * A page of the tree's blocks is full but for a few in most scenarios, so that
 * what is retired is used again as soon as it may be.
 */
#include "rows.h"

#include "shm/page.h"
#include "shm/tree.h"
#include "shm/walk.h"

#define PAD 256u /* bytes of a value, so that a page has few blocks */
#define FULL 28u /* of a page's 32 blocks are somebody else's */

static struct kept {
	order_u64 *root;
	unsigned char pad[PAD];
	unsigned pads;              /* values of so many bytes */
	unsigned others;            /* blocks that are not the tree's */
	unsigned acked[MC_THREADS]; /* updates */
} * kept;

static uint64_t root(void)
{
	return order_acquire(kept->root);
}

/* The number under a key; 0 if there is none. */
static uint64_t number(uint64_t word, char key)
{
	struct wbci_tree_value v;
	uint64_t n;
	uint32_t bytes;
	int error = wbci_tree_find(mc_segment(), word, &key, 1, &v);

	if (error == -ENOENT)
		return 0;
	MC_CHECK(!error && v.p && v.bytes == sizeof(n), "key %c is damaged",
	         key);
	if (wbci_tree_copy(mc_segment(), &v, &n, sizeof(n), &bytes))
		mc_fail(NULL, 0, "no copy");
	return n;
}

static int count_up(struct wbci_tree_edit *e, void *arg)
{
	uint64_t n = number(e->was, 'a') + 1;

	(void)arg;
	if (wbci_tree_put(e, "a", 1, &n, sizeof(n)))
		return e->error;
	return wbci_tree_put(e, "A", 1, &n, sizeof(n));
}

static int clear(struct wbci_tree_edit *e, void *arg)
{
	(void)arg;
	wbci_tree_delete(e, "a", 1);
	wbci_tree_delete(e, "A", 1);
	return e->error;
}

static int pad(struct wbci_tree_edit *e, void *arg)
{
	(void)arg;
	for (unsigned i = 0; i < kept->pads; i++) {
		char key = (char)('b' + i);

		wbci_tree_put(e, &key, 1, kept->pad, PAD);
	}
	return count_up(e, arg);
}

static void change(wbci_tree_change_fn *fn)
{
	struct wbci_thread *t = mc_place();
	int error;

	wbci_enter(t);
	error = wbci_tree_update(t, kept->root, fn, NULL);
	MC_CHECK(error == 0, "an update fails: %d", error);
	wbci_exit(t);
	kept->acked[mc_self()]++;
	mc_ack(1);
}

static void updater(void)
{
	change(count_up);
}

static void advance(void)
{
	wbci_epoch_advance(mc_client(-1));
	wbci_epoch_advance(mc_client(-1));
}

/* The second update may use what the first one retired. */
static void updater_twice(void)
{
	change(count_up);
	advance();
	change(count_up);
}

static void putter_and_clearer(void)
{
	change(count_up);
	change(clear);
}

/* Values that no update changes. */
static void check_pads(uint64_t word)
{
	struct wbci_tree_value v;
	char key = (char)('a' + kept->pads);

	MC_CHECK(!kept->pads ||
	                 (!wbci_tree_find(mc_segment(), word, &key, 1, &v) &&
	                  v.p && !memcmp(v.p, kept->pad, PAD)),
	         "value %c is another", key);
}

static void reader(void)
{
	struct wbci_thread *t = mc_place();
	uint64_t word, a, other;

	wbci_enter(t);
	word = root();
	a = number(word, 'a');
	other = number(word, 'A');
	MC_CHECK(a == other, "a map of two updates: %d and %d", (int)a,
	         (int)other);
	MC_CHECK(wbci_tree_version(mc_segment(), word) == a,
	         "another version than %d", (int)a);
	check_pads(word);
	wbci_exit(t);
}

/* Moves the epoch on before it reads. */
static void late_reader(void)
{
	wbci_epoch_advance(mc_client(-1));
	reader();
}

/* ---- setup ---- */

/* In setup: thread t has a page of the class of that many bytes, in which
 * so many blocks are somebody's already. */
static void warm(unsigned t, uint64_t bytes, unsigned taken)
{
	struct wbci_thread *thread;
	uint64_t block;

	mc_join(t);
	mc_as((int)t);
	thread = mc_place();
	wbci_enter(thread);
	for (unsigned i = 0; i < taken; i++)
		if (wbci_block_alloc(thread, PAGE_BLOCKS, bytes, &block))
			tap_bail("no block");
	if (wbci_block_alloc(thread, PAGE_BLOCKS, bytes, &block))
		tap_bail("no block");
	wbci_block_undo(thread, block);
	wbci_exit(thread);
	mc_as(-1);
	kept->others += taken;
}

static void setup_world(void)
{
	mc_world(&(struct mc_shape){0});
	kept = mc_keep(sizeof(*kept));
	kept->root = &mc_segment()->root[0];
}

/* Small nodes, and pages with room. */
static void setup_empty(void)
{
	setup_world();
	for (unsigned i = 0; i < MC_THREADS && mc_client((int)i); i++) {
		warm(i, 64, 0);
		warm(i, 128, 0);
	}
}

static void make(unsigned t)
{
	mc_as((int)t);
	wbci_enter(mc_place());
	if (wbci_tree_update(mc_place(), kept->root, pad, NULL))
		tap_bail("no tree");
	wbci_exit(mc_place());
	mc_as(-1);
}

static void setup_small(void)
{
	setup_empty();
	make(0);
}

/* One node of the largest class, in a page of thread 0's that is full but for
 * one block. */
static void setup_full(void)
{
	setup_world();
	kept->pads = 6;
	for (unsigned i = 0; i < MC_THREADS && mc_client((int)i); i++)
		warm(i, WBCI_TREE_NODE_MAX, i == 0 ? FULL + 2 : 0);
	make(0);
}

/* Two leaves, one of which no update changes. */
static void setup_tall(void)
{
	setup_world();
	kept->pads = 8;
	for (unsigned i = 0; i < MC_THREADS && mc_client((int)i); i++) {
		warm(i, 128, 0);
		warm(i, 1536, 0);
		warm(i, WBCI_TREE_NODE_MAX, 0);
	}
	make(0);
}

/* ---- the oracle ---- */

struct count {
	unsigned reached, held;
};

/* Blocks of a word of a page's bitmaps that are held, or retired. */
static uint64_t bits(uint32_t page, uint32_t w, uint64_t *retired)
{
	struct meta_shm *m = &mc_segment()->metas[page];

	*retired = 0;
	for (unsigned g = 0; g < 4; g++)
		*retired |= order_load(&m->limbo[g][w]);
	return order_load(&m->alloc[w]);
}

static bool reach(void *arg, uint64_t offset, uint64_t bytes)
{
	struct count *count = arg;
	uint32_t page, block;
	uint64_t word, held, retired;

	(void)bytes;
	MC_CHECK(wbci_block_find(mc_segment(), offset, &page, &block, &word),
	         "the tree names no block");
	held = bits(page, block / 64, &retired);
	MC_CHECK(held >> block % 64 & 1, "a block of the tree is free");
	MC_CHECK(!(retired >> block % 64 & 1),
	         "a block of the tree is retired");
	count->reached++;
	return true;
}

static void count_held(struct count *count)
{
	for (uint32_t p = 0; p < WBCI_PAGES_PER_EXTENT; p++) {
		/* Relaxed: who owned it has ended. */
		uint64_t word = order_load(&mc_segment()->words[p]);
		uint32_t n = wbci_page_blocks(word);

		for (uint32_t w = 0; w * 64 < n; w++) {
			uint64_t retired, held = bits(p, w, &retired);

			count->held +=
				(unsigned)__builtin_popcountll(held & ~retired);
		}
	}
}

static void check_blocks(void)
{
	struct count count = {0, 0};

	MC_CHECK(wbci_tree_visit(mc_segment(), root(), reach, &count) == 0,
	         "the tree is damaged");
	count_held(&count);
	MC_CHECK(count.held >= count.reached + kept->others &&
	                 (mc_deaths() ||
	                  count.held == count.reached + kept->others),
	         "%u blocks are held, %u are in the tree, %u are others'",
	         count.held, count.reached, kept->others);
}

/* @before: updates that setup made. */
static void check_count(unsigned before)
{
	uint64_t word = root(), a = number(word, 'a');
	uint64_t version = wbci_tree_version(mc_segment(), word);
	unsigned told = before;

	for (unsigned t = 0; t < MC_THREADS; t++)
		told += kept->acked[t];
	MC_CHECK(version >= told && version <= told + mc_deaths(),
	         "%u updates were told, the version is %d", told, (int)version);
	MC_CHECK(number(word, 'A') == a, "a map of two updates");
	check_blocks();
}

static void check_all(void)
{
	check_count(1);
	MC_CHECK(number(root(), 'a') == wbci_tree_version(mc_segment(), root()),
	         "an update is lost");
}

static void check_from_empty(void)
{
	check_count(0);
	MC_CHECK(number(root(), 'a') == wbci_tree_version(mc_segment(), root()),
	         "an update is lost");
}

static void check_emptied(void)
{
	check_count(0);
}

static const struct mc_scenario scenarios[] = {
	{.name = "first",
         .says = "P11: two first updates of a word are both there",
         .setup = setup_empty,
         .thread = {updater, updater},
         .check = check_from_empty},
	{.name = "two-updaters",
         .says = "P11: two updates of a tree are both there",
         .setup = setup_small,
         .thread = {updater, updater},
         .check = check_all},
	{.name = "read",
         .says = "P1: a reader beside two updates has one of three maps",
         .setup = setup_small,
         .thread = {updater, updater, reader},
         .check = check_all,
         .deaths = 1,
         .atomic_copies = true},
	{.name = "emptied",
         .says = "P11: versions go on where a tree is emptied meanwhile",
         .setup = setup_empty,
         .thread = {updater, putter_and_clearer},
         .check = check_emptied,
         .deaths = 1},
	{.name = "reused",
         .says = "P11: a root whose block is used again is no root of before",
         .setup = setup_full,
         .thread = {updater_twice, updater},
         .check = check_all,
         .deaths = MC_NOBODY,
         .preemptions = 1,
         .atomic_copies = true},
	{.name = "read-and-reused",
         .says = "P6: a node is not used again under a reader",
         .setup = setup_full,
         .thread = {updater_twice, late_reader},
         .check = check_all,
         .deaths = 1,
         .atomic_copies = true},
	{.name = "tall",
         .says = "P1: a tree of two levels is read whole",
         .setup = setup_tall,
         .thread = {updater, reader},
         .check = check_all,
         .deaths = 1},
	{NULL}};

int main(int argc, char **argv)
{
	return mc_main(argc, argv, "trees", scenarios);
}
