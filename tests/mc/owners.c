/* SPDX-License-Identifier: MIT */
/* Copyright the wbcshm authors */

/*
 * Pages that are taken from their owners: no block is given out twice.
 *
 * A thread owns a page and allocates from it, a flusher revokes the page and
 * makes it nobody's a grace period later, and another thread takes it.  Only
 * one of them at a time may write the page's bitmap, with plain loads and
 * stores: the oracle counts what was given out, and compares.
 */
#include "rows.h"

#include "shm/page.h"

/* Four to a page. */
#define BYTES 16384u
#define MOST 3u

static struct kept {
	uint32_t page;
	uint64_t first; /* the block that setup took */
	uint64_t block[MC_THREADS][MOST];
	unsigned n[MC_THREADS];
	bool disowned;
} *kept;

static uint64_t take(void)
{
	struct wbci_thread *t = mc_place();
	uint64_t offset = 0;

	wbci_enter(t);
	MC_CHECK(!wbci_block_alloc(t, PAGE_BLOCKS, BYTES, &offset), "no block");
	wbci_exit(t);
	return offset;
}

static void setup_as(uint32_t fenced)
{
	mc_world(&(struct mc_shape){.fenced = fenced});
	kept = mc_keep(sizeof(*kept));
	for (unsigned i = 0; i < MC_THREADS && mc_client((int)i); i++)
		mc_join(i);
	mc_as(1);
	kept->first = take();
	mc_as(-1);
	kept->page = wbci_page_of(mc_segment(), kept->first);
}

static void setup(void)
{
	setup_as(0);
}

static void setup_fenced(void)
{
	setup_as(63);
}

static void keep(uint64_t offset)
{
	unsigned t = mc_self();

	kept->block[t][kept->n[t]++] = offset;
}

static void disown(void)
{
	wbci_page_disown(mc_segment(), kept->page);
	kept->disowned = true;
}

static void revoker(void)
{
	uint64_t grace;

	if (!wbci_page_revoke(mc_place(), kept->page))
		return;
	grace = wbci_epoch_grace(mc_client(0));
	wbci_epoch_advance(mc_client(0));
	wbci_epoch_advance(mc_client(0));
	if (wbci_epoch_passed(mc_client(0), grace))
		disown();
}

/* A control: waits for nobody. */
static void hasty_revoker(void)
{
	if (wbci_page_revoke(mc_place(), kept->page))
		disown();
}

static void owner(void)
{
	keep(take());
	keep(take());
}

/* Gives back what it takes, in the section that took it. */
static void waverer(void)
{
	struct wbci_thread *t = mc_place();
	uint64_t offset;

	wbci_enter(t);
	if (!wbci_block_alloc(t, PAGE_BLOCKS, BYTES, &offset))
		wbci_block_undo(t, offset);
	wbci_exit(t);
	keep(take());
}

static void other(void)
{
	keep(take());
}

static bool is_taken(uint64_t offset)
{
	uint32_t page = wbci_page_of(mc_segment(), offset);
	const struct meta_shm *meta = &mc_segment()->metas[page];
	unsigned bit = (unsigned)(offset % WBCI_PAGE_BYTES / BYTES);

	return order_load(&meta->alloc[0]) >> bit & 1;
}

static void check(void)
{
	uint64_t all[MC_THREADS * MOST + 1] = {kept->first};
	unsigned n = 1;

	for (unsigned t = 0; t < MC_THREADS; t++) {
		for (unsigned i = 0; i < kept->n[t]; i++)
			all[n++] = kept->block[t][i];
	}
	for (unsigned i = 0; i < n; i++) {
		MC_CHECK(is_taken(all[i]), "a block in use is free");
		for (unsigned k = 0; k < i; k++)
			MC_CHECK(all[i] != all[k], "a block given out twice");
	}
}

/* A control: the page changes hands at all. */
static void check_disowned(void)
{
	check();
	MC_CHECK(!kept->disowned || kept->n[2] == 0 ||
	                 wbci_page_of(mc_segment(), kept->block[2][0]) !=
	                         kept->page,
	         "the page has changed hands");
}

static const struct mc_scenario scenarios[] = {
	{.name = "revoked",
	 .says = "P6: a page that is taken from its owner gives no block twice",
	 .setup = setup, .thread = {revoker, owner, other}, .check = check,
	 .deaths = 1},
	{.name = "fenced",
	 .says = "P6: the same where nobody has membarrier",
	 .setup = setup_fenced, .thread = {revoker, owner, other},
	 .check = check, .deaths = MC_NOBODY},
	{.name = "given-back",
	 .says = "P6: nor one that its owner gives back meanwhile",
	 .setup = setup, .thread = {revoker, waverer, other}, .check = check,
	 .deaths = 1},
	{.name = "hands", .fails = true, .must = "changed hands",
	 .says = "P2: who needs memory gets a page that an idle thread had",
	 .setup = setup, .thread = {revoker, owner, other},
	 .check = check_disowned, .deaths = MC_NOBODY},
	{.name = "hasty", .fails = true, .must = "a block",
	 .says = "a page that is another's at once gives blocks twice",
	 .setup = setup, .thread = {hasty_revoker, owner, other},
	 .check = check, .deaths = MC_NOBODY},
	{NULL}};

int main(int argc, char **argv)
{
	return mc_main(argc, argv, "owners", scenarios);
}
