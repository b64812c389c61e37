/* SPDX-License-Identifier: MIT */
/* Copyright the wbcshm authors */

/*
 * The index: a key has one place and one entry, whoever inserts it beside
 * whom, and one that was inserted is found until it is unlinked.
 *
 * The root is one word, so all keys meet in it; keys 0 and 1 also share their
 * first digit below it, key 2 does not.
 */
#include "rows.h"

#include "shm/page.h"
#include "shm/walk.h"

static struct rows *rows;
static struct kept {
	uint64_t offset[MC_THREADS][4]; /* where a thread found each key */
	bool opened[MC_THREADS][4];
	bool missed[MC_THREADS];
	bool unlinked;
} * kept;

static void setup(void)
{
	mc_world(&(struct mc_shape){0});
	rows = rows_make();
	kept = mc_keep(sizeof(*kept));
	rows_clash(rows, 1, 1);
	rows_clash(rows, 2, 0);
	for (unsigned i = 0; i < MC_THREADS && mc_client((int)i); i++)
		rows_warm(i);
}

/* Key 0 is there, made by thread 0. */
static void setup_one(void)
{
	setup();
	rows_open(rows, 0, 0);
}

static void open_key(unsigned key)
{
	struct wbci_thread *t = mc_place();
	struct entry_shm *e;
	uint64_t offset;

	MC_CHECK(wbci_entry_open(t, &rows->key[key], &rows->schema, &e,
	                         &offset) == 0,
	         "key %u: no entry", key);
	MC_CHECK(!memcmp(e->key, rows->bytes[key], 4), "another key's entry");
	wbci_exit(t);
	kept->offset[mc_self()][key] = offset;
	kept->opened[mc_self()][key] = true;
}

static void open_0(void)
{
	open_key(0);
}

static void open_1(void)
{
	open_key(1);
}

static void open_2(void)
{
	open_key(2);
}

static void open_0_and_1(void)
{
	open_key(0);
	open_key(1);
}

static void open_1_and_0(void)
{
	open_key(1);
	open_key(0);
}

/* Key 0 was there before, and must be found whatever others insert. */
static void find_0(void)
{
	struct wbci_thread *t = mc_place();
	int64_t found;

	wbci_enter(t);
	found = wbci_index_find(t, &rows->key[0]);
	wbci_exit(t);
	MC_CHECK(found >= 0, "the index is damaged");
	kept->missed[mc_self()] = found == 0;
}

/* By the short way, which may not know but must not be wrong. */
static void find_hot(void)
{
	struct wbci_thread *t = mc_place();
	const struct wbci_key *k = &rows->key[0];
	struct entry_shm *e;

	wbci_enter(t);
	e = wbci_index_hot(mc_segment(), k->bytes, k->head, k->hash);
	MC_CHECK(!e || !memcmp(e->key, rows->bytes[0], 4), "another's entry");
	wbci_exit(t);
}

static void unlink_0(void)
{
	struct wbci_thread *t = mc_place();
	int done;

	wbci_enter(t);
	done = wbci_index_unlink(t, &rows->key[0], rows->ref[0].offset);
	MC_CHECK(done >= 0, "the index is damaged");
	if (done)
		wbci_block_retire(t, rows->ref[0].offset);
	wbci_exit(t);
	kept->unlinked = done == 1;
}

/* ---- the oracle ---- */

struct count {
	unsigned entries[4];
	unsigned all;
};

static int count_step(void *arg, const struct wbci_step *step)
{
	struct count *count = arg;
	const struct entry_shm *e;

	MC_CHECK(step->sound && !step->known, "a word of the index is wrong");
	if (step->tag != INDEX_ENTRY)
		return 0;
	e = wbci_at(mc_segment(), step->target);
	count->all++;
	for (unsigned i = 0; i < 4; i++)
		count->entries[i] += !memcmp(e->key, rows->bytes[i], 4);
	return 0;
}

static void check_whole(struct count *count)
{
	memset(count, 0, sizeof(*count));
	MC_CHECK(wbci_index_walk(mc_segment(), count_step, count) == 0,
	         "no walk");
	for (unsigned i = 0; i < 4; i++)
		MC_CHECK(count->entries[i] <= 1, "key %u has %u entries", i,
		         count->entries[i]);
}

/* Who opened a key found the entry that is there now. */
static void check(void)
{
	struct count count;

	check_whole(&count);
	mc_as(0);
	for (unsigned t = 0; t < MC_THREADS; t++) {
		MC_CHECK(!kept->missed[t], "key 0 was not found");
		for (unsigned i = 0; i < 4; i++) {
			int64_t found;

			if (!kept->opened[t][i])
				continue;
			found = wbci_index_find(mc_place(), &rows->key[i]);
			MC_CHECK(found == (int64_t)kept->offset[t][i],
			         "key %u is elsewhere now", i);
		}
	}
	mc_as(-1);
}

static void check_unlinked(void)
{
	struct count count;

	check_whole(&count);
	MC_CHECK(!kept->unlinked || kept->opened[1][0] ||
	                 count.entries[0] == 0 || mc_died(1),
	         "unlinked, and still there");
	MC_CHECK(kept->unlinked || count.entries[0] == 1 || mc_died(0),
	         "not unlinked, and not there");
}

static const struct mc_scenario scenarios[] = {
	{.name = "same-key",
         .says = "P11: two inserts of a key make one entry",
         .setup = setup,
         .thread = {open_0, open_0},
         .check = check,
         .deaths = 1},
	{.name = "clash",
         .says = "P11: two keys that share digits are both there",
         .setup = setup,
         .thread = {open_0, open_1},
         .check = check,
         .deaths = 1},
	{.name = "clash-of-three",
         .says = "P11: three keys, two of which share digits, are all there",
         .setup = setup,
         .thread = {open_0, open_1, open_2},
         .check = check,
         .deaths = MC_NOBODY},
	{.name = "both-ways",
         .says = "P11: two threads that make the same two keys agree on both",
         .setup = setup,
         .thread = {open_0_and_1, open_1_and_0},
         .check = check,
         .deaths = 1},
	{.name = "found-all-the-time",
         .says = "P11: a key is found while another pushes it down",
         .setup = setup_one,
         .thread = {open_1, find_0, find_hot},
         .check = check,
         .deaths = 1},
	{.name = "unlink",
         .says = "P11: a key that is unlinked beside an insert is made anew",
         .setup = setup_one,
         .thread = {unlink_0, open_0, find_hot},
         .check = check_unlinked,
         .deaths = 1,
         .atomic_copies = true},
	{.name = "unlink-beside-clash",
         .says = "P11: an entry that is pushed down beside its unlinking goes",
         .setup = setup_one,
         .thread = {unlink_0, open_1},
         .check = check_unlinked},
	{NULL}};

int main(int argc, char **argv)
{
	return mc_main(argc, argv, "index", scenarios);
}
