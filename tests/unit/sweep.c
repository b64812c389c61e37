/* SPDX-License-Identifier: MIT */
/* Copyright the wbcshm authors */

/* Mark-sweep: what the dead had is found, what the living have is not. */
#include "shm/sweep.h"

#include "shm/index.h"
#include "shm/remove.h"
#include "shm/walk.h"
#include "unit/rig.h"

#define SPEC "t(k text key, n counter)"
#define KEYS 3000u

struct world {
	struct rig rig;
	struct wbc *c;
	struct wbc_table *table;
	struct wbci_client *flusher;
	struct wbci_thread *ft;
	const struct wbci_segment *s;
};

static struct world begin(void)
{
	struct world w = {.rig = rig_make(&(struct wbci_create){
				  .max_bytes = 4 * WBCI_EXTENT_BYTES,
				  .capacity = 1,
				  .procs = 8,
				  .threads = 8})};

	w.c = rig_open(&w.rig);
	w.table = rig_table(w.c, SPEC);
	w.flusher = rig_client(&w.rig);
	w.ft = rig_thread(w.flusher);
	w.s = &w.flusher->segment;
	return w;
}

static void end(struct world *w)
{
	wbc_close(&w->c);
	wbci_client_close(&w->flusher);
	rig_drop(&w->rig);
}

static int add(struct wbc_table *t, unsigned i)
{
	char name[16];
	struct wbc_value v;

	snprintf(name, sizeof(name), "key%u", i);
	v = wbc_text("k", name, (uint32_t)strlen(name));
	return wbc_add_int64(t, &v, 1, 1, 1);
}

static struct wbci_key key_of(struct world *w, unsigned i, char name[16])
{
	snprintf(name, 16, "key%u", i);
	return rig_key(w->s, name, strlen(name));
}

static int64_t find(struct world *w, unsigned i)
{
	char name[16];
	struct wbci_key k = key_of(w, i, name);
	int64_t found;

	wbci_enter(w->ft);
	found = wbci_index_find(w->ft, &k);
	wbci_exit(w->ft);
	return found;
}

/* Blocks of all pages that are allocated and not retired. */
static unsigned held(const struct wbci_segment *s)
{
	uint32_t n = wbci_committed(s) * WBCI_PAGES_PER_EXTENT;
	unsigned count = 0;

	for (uint32_t page = 0; page < n; page++) {
		for (unsigned i = 0; i < WBCI_BITMAP_WORDS; i++) {
			struct meta_shm *m = &s->metas[page];
			uint64_t bits = order_load(&m->alloc[i]);

			for (unsigned g = 0; g < 4; g++)
				bits &= ~order_load(&m->limbo[g][i]);
			count += (unsigned)__builtin_popcountll(bits);
		}
	}
	return count;
}

/* What a child does in its section before it is killed there. */
struct crime {
	const char *path;
	unsigned blocks;  /* allocated and not published */
	unsigned entries; /* made and not linked */
};

static void commit_crime(const struct crime *crime)
{
	struct wbci_client *c;
	struct wbci_thread *t;
	uint64_t offset;

	if (wbci_client_open(&c, crime->path, false, NULL) ||
	    wbci_thread(c, &t))
		tap_bail("the child does not attach");
	wbci_enter(t);
	for (unsigned i = 0; i < crime->blocks; i++) {
		if (wbci_block_alloc(t, PAGE_BLOCKS, 128, &offset))
			tap_bail("no block");
	}
	for (unsigned i = 0; i < crime->entries; i++) {
		struct entry_shm *e;

		if (wbci_block_alloc(t, PAGE_ENTRIES, 128, &offset))
			tap_bail("no entry");
		e = wbci_at(&c->segment, offset);
		e->n_cells = 1;
		order_store(&e->total, 0);
		order_store(&e->journaled, 0);
		order_release(&e->word,
		              wbci_entry_word((order_load(&e->word) >> 4) + 1,
		                              ENTRY_LIVE));
	}
	kill(getpid(), SIGKILL);
}

static int be_killed(void *arg)
{
	commit_crime(arg);
	return 1;
}

static void test_leaks(void)
{
	struct world w = begin();
	struct crime crime = {w.rig.path, 700, 300};
	unsigned before, lost = 0;
	int64_t swept;

	for (unsigned i = 0; i < KEYS; i++)
		add(w.table, i);
	before = held(w.s);
	tap_is_int(rig_wait(rig_fork(be_killed, &crime)), -SIGKILL,
	           "a client is killed in a section");
	tap_is_uint(held(w.s), before + 1000, "and leaves 1,000 blocks");
	swept = wbci_recover(w.flusher);
	tap_is_int(swept, 1000, "a sweep finds exactly these (P6)");
	tap_is_uint(held(w.s), before, "what is held is what was held before");
	for (unsigned i = 0; i < KEYS; i++)
		lost += find(&w, i) <= 0;
	tap_is_uint(lost, 0, "every key is where it was (P3)");
	tap_is_uint(order_load(&w.s->control->mark), 0,
	            "blocks may be freed again");
	tap_is_int(wbci_recover(w.flusher), 0, "a second sweep finds nothing");
	end(&w);
}

static void test_outside(void)
{
	struct world w = begin();
	struct wbci_client *c;
	pid_t pid = fork();
	unsigned in_section;

	if (pid == 0) {
		if (wbci_client_open(&c, w.rig.path, false, NULL))
			_exit(1);
		rig_thread(c);
		kill(getpid(), SIGKILL);
	}
	rig_wait(pid);
	wbci_reap(w.s, &in_section);
	tap_is_uint(in_section, 0, "a death outside of sections is seen so");
	tap_is_uint(order_load(&w.s->control->mark), 0,
	            "and asks for no sweep: it leaked nothing");
	end(&w);
}

/* The reaper dies between clearing the epoch word and the sweep. */
static void test_wanted_survives(void)
{
	struct world w = begin();
	struct crime crime = {w.rig.path, 5, 0};
	struct wbci_sweep sw;
	unsigned in_section, before;

	add(w.table, 1);
	before = held(w.s);
	rig_wait(rig_fork(be_killed, &crime));
	wbci_reap(w.s, &in_section);
	tap_is_uint(in_section, 1, "the dead was in a section");
	tap_is_uint(order_load(&w.s->control->mark), 1,
	            "the reaper leaves a sweep wanted in the segment");
	wbci_sweep_init(&sw, w.flusher, NULL);
	while (wbci_sweep_step(&sw, 3) > 0)
		;
	tap_is_uint(sw.swept, 5, "the next flusher makes it (P6)");
	tap_is_uint(held(w.s), before, "in small steps as in one");
	wbci_sweep_free(&sw);
	end(&w);
}

/* Step until a state is left for another one. */
static void step_past(struct wbci_sweep *sw, enum wbci_sweep_state state)
{
	while (sw->state == state) {
		if (wbci_sweep_step(sw, UINT64_MAX) < 0)
			tap_bail("sweep step");
	}
}

/* Blocks that are taken, given back, linked and unlinked meanwhile. */
static void test_meanwhile(void)
{
	struct world w = begin();
	struct wbci_thread *t = rig_thread(w.c->client);
	struct wbci_sweep sw;
	uint64_t old, young, undone, again;
	char name[16];
	struct wbci_key k = key_of(&w, 2, name);

	add(w.table, 1);
	add(w.table, 2);
	wbci_enter(t);
	wbci_block_alloc(t, PAGE_BLOCKS, 256, &old);
	wbci_block_retire(t, old);
	wbci_exit(t);
	rig_advance(w.flusher, 2);
	wbci_sweep_want(w.s);
	wbci_sweep_init(&sw, w.flusher, NULL);
	step_past(&sw, SWEEP_NONE);
	step_past(&sw, SWEEP_WANTED);
	tap_is_int(sw.state, SWEEP_SNAPSHOT, "the candidates are known");

	wbci_enter(t);
	tap_is_uint(wbci_page_reclaim(t, wbci_page_of(w.s, old)), 0,
	            "while a sweep runs no retired block is freed");
	wbci_block_alloc(t, PAGE_BLOCKS, 256, &undone);
	wbci_block_undo(t, undone);
	wbci_block_alloc(t, PAGE_BLOCKS, 256, &again);
	tap_ok(again != undone && again != old,
	       "nor one that is given back (P6)");
	wbci_exit(t);
	wbci_enter(t);
	wbci_block_alloc(t, PAGE_BLOCKS, 256, &young);
	wbci_exit(t);

	step_past(&sw, SWEEP_SNAPSHOT);
	add(w.table, 3);
	step_past(&sw, SWEEP_WALK);
	tap_is_int(sw.state, SWEEP_WALKED, "the walk is over");
	/* Unlinked after it was marked, as a removal does. */
	wbci_enter(w.ft);
	old = (uint64_t)wbci_index_find(w.ft, &k);
	wbci_index_unlink(w.ft, &k, old);
	wbci_block_retire(w.ft, old);
	wbci_exit(w.ft);
	while (wbci_sweep_step(&sw, UINT64_MAX) > 0)
		;
	tap_is_uint(sw.swept, 0,
	            "blocks newer than the snapshot are no "
	            "candidates, retired ones not retired again");
	tap_ok(find(&w, 1) > 0 && find(&w, 3) > 0 && find(&w, 2) == 0,
	       "keys from before and from meanwhile are there (P3)");
	tap_is_int(wbci_recover(w.flusher), 0, "without a death no sweep");
	wbci_sweep_want(w.s);
	tap_is_int(wbci_recover(w.flusher), 2,
	           "what was lost meanwhile, the next one finds");
	wbci_sweep_free(&sw);
	end(&w);
}

/* A block that is private in a section which began before the snapshot. */
static void test_patience(void)
{
	struct world w = begin();
	struct wbci_thread *t = rig_thread(w.c->client);
	struct wbci_sweep sw;
	uint64_t offset;

	add(w.table, 1);
	wbci_sweep_want(w.s);
	wbci_sweep_init(&sw, w.flusher, NULL);
	wbci_sweep_step(&sw, UINT64_MAX);
	wbci_enter(t);
	wbci_block_alloc(t, PAGE_BLOCKS, 128, &offset);
	for (unsigned i = 0; i < 100; i++)
		wbci_sweep_step(&sw, UINT64_MAX);
	tap_ok(sw.state != SWEEP_WALK && sw.state != SWEEP_WALKED &&
	               sw.swept == 0,
	       "while somebody holds a block privately nothing is walked (P6)");
	tap_is_int(wbci_recover(w.flusher), -EAGAIN,
	           "who wants it at once is told that it cannot be");
	wbci_block_undo(t, offset);
	wbci_exit(t);
	while (wbci_sweep_step(&sw, UINT64_MAX) > 0)
		;
	tap_is_uint(sw.swept, 0, "given back in time, it is not swept");
	wbci_sweep_free(&sw);
	end(&w);
}

static void *exits(void *arg)
{
	struct world *w = arg;

	add(w->table, 7);
	return NULL;
}

/* Another death while one is swept. */
static void test_again(void)
{
	struct world w = begin();
	struct crime crime = {w.rig.path, 9, 0};
	struct wbci_sweep sw;
	unsigned in_section;

	pthread_join(rig_start(exits, &w), NULL);
	wbci_sweep_want(w.s);
	wbci_sweep_init(&sw, w.flusher, NULL);
	step_past(&sw, SWEEP_NONE);
	step_past(&sw, SWEEP_WANTED);
	rig_wait(rig_fork(be_killed, &crime));
	wbci_reap(w.s, &in_section);
	tap_is_uint(order_load(&w.s->control->mark), 2,
	            "a death during a sweep wants another one");
	while (wbci_sweep_step(&sw, UINT64_MAX) > 0)
		;
	tap_is_uint(sw.sweeps, 2, "which follows");
	tap_is_uint(sw.swept, 9, "and finds what it lost (P6)");
	wbci_sweep_free(&sw);
	end(&w);
}

/* What a flusher that was killed while removing leaves in the index. */
static void test_half_removed(void)
{
	struct world w = begin();
	struct wbci_pruning pruning;
	struct wbci_sweep sw;
	struct entry_shm *e;
	uint64_t word;
	unsigned nodes = 0, page, before;

	wbci_pruning_init(&pruning, w.flusher);
	for (unsigned i = 0; i < KEYS; i++)
		add(w.table, i);
	before = held(w.s);
	e = wbci_at(w.s, (uint64_t)find(&w, 17));
	word = order_load(&e->word);
	order_store(&e->word, wbci_entry_word(word >> 4, ENTRY_DEAD));
	for (uint64_t i = 0; i <= w.s->root_mask; i++) {
		word = order_load(&w.s->root[i]);
		if ((word & 3) != INDEX_NODE)
			continue;
		order_store(&w.s->root[i],
		            (word & ~UINT64_C(3)) | INDEX_CLOSING);
		nodes++;
	}
	tap_ok(nodes > 100, "many nodes are left closing");
	wbci_sweep_want(w.s);
	wbci_sweep_init(&sw, w.flusher, &pruning);
	while (wbci_sweep_step(&sw, 1000) > 0)
		;
	for (uint64_t i = 0; i <= w.s->root_mask; i++)
		nodes -= (order_load(&w.s->root[i]) & 3) == INDEX_NODE;
	tap_is_uint(nodes, 0, "the walk puts them back");
	tap_is_int(find(&w, 17), 0, "takes out the dead entry");
	tap_is_uint(sw.swept, 1, "and the sweep retires it (P6)");
	tap_is_uint(held(w.s), before - 1, "and nothing else");
	tap_is_int(add(w.table, 17), 0, "its key is made anew");

	/* An empty node that nobody noted is handed to pruning. */
	page = 0;
	for (uint64_t i = 0; i <= w.s->root_mask && !page; i++) {
		struct node_shm *node;

		word = order_load(&w.s->root[i]);
		if ((word & 3) != INDEX_NODE)
			continue;
		node = wbci_at(w.s, wbci_ref_offset(word));
		for (unsigned d = 0; d < WBCI_NODE_WORDS; d++)
			order_store(&node->word[d], INDEX_EMPTY);
		page = 1;
	}
	wbci_sweep_want(w.s);
	while (wbci_sweep_step(&sw, 1000) > 0)
		;
	tap_is_uint(pruning.n, 1, "an empty node is closed by the walk");
	rig_advance(w.flusher, 2);
	wbci_prune_step(&pruning);
	tap_is_uint(pruning.pruned, 1, "and taken out by pruning");
	wbci_sweep_free(&sw);
	wbci_pruning_free(&pruning);
	end(&w);
}

/* Bytes that form a ring, and words that name no block. */
static void test_hostile(void)
{
	struct world w = begin();
	struct wbci_sweep sw;
	uint64_t first = 0;

	for (unsigned i = 0; i < KEYS; i++)
		add(w.table, i);
	for (uint64_t i = 0; i <= w.s->root_mask; i++) {
		uint64_t word = order_load(&w.s->root[i]);
		struct node_shm *node;

		if ((word & 3) != INDEX_NODE)
			continue;
		if (!first)
			first = word;
		node = wbci_at(w.s, wbci_ref_offset(word));
		for (unsigned d = 0; d < WBCI_NODE_WORDS; d++)
			order_store(&node->word[d],
			            d % 2 ? first : UINT64_MAX << d);
	}
	wbci_sweep_want(w.s);
	wbci_sweep_init(&sw, w.flusher, NULL);
	while (wbci_sweep_step(&sw, UINT64_MAX) > 0)
		;
	tap_is_uint(sw.sweeps, 1, "a walk through a ring of nodes ends (P7)");
	tap_ok(sw.corrupt > 0, "and words that name nothing are counted");
	wbci_sweep_free(&sw);
	end(&w);
}

int main(void)
{
	test_leaks();
	test_outside();
	test_wanted_survives();
	test_meanwhile();
	test_patience();
	test_again();
	test_half_removed();
	test_hostile();
	return tap_done();
}
