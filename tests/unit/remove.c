/* SPDX-License-Identifier: MIT */
/* Copyright the wbcshm authors */

/* Removal and pruning: idle entries go, changes do not go with them. */
#include "shm/remove.h"

#include "shm/cell.h"
#include "shm/round.h"
#include "shm/walk.h"
#include "unit/rig.h"

#define SPEC "t(k text key, n counter)"

struct world {
	struct rig rig;
	struct wbc *c;
	struct wbc_table *table;
	struct wbci_thread *t;
	struct wbci_client *flusher;
	struct wbci_thread *ft;
	const struct wbci_segment *s;
	struct wbci_rounds rounds;
	struct wbci_pruning pruning;
	struct wbci_removal removal;
};

static void begin(struct world *w)
{
	memset(w, 0, sizeof(*w));
	w->rig = rig_make(
		&(struct wbci_create){.max_bytes = 4 * WBCI_EXTENT_BYTES,
	                              .capacity = 1,
	                              .procs = 8,
	                              .threads = 8});
	w->c = rig_open(&w->rig);
	w->table = rig_table(w->c, SPEC);
	w->t = rig_thread(w->c->client);
	w->flusher = rig_client(&w->rig);
	w->ft = rig_thread(w->flusher);
	w->s = &w->flusher->segment;
	if (wbci_rounds_init(&w->rounds, w->flusher) ||
	    wbci_pruning_init(&w->pruning, w->flusher) ||
	    wbci_removal_init(&w->removal, w->flusher, &w->pruning))
		tap_bail("no memory");
}

static void end(struct world *w)
{
	wbci_removal_free(&w->removal);
	wbci_pruning_free(&w->pruning);
	wbci_rounds_free(&w->rounds);
	wbc_close(&w->c);
	wbci_client_close(&w->flusher);
	rig_drop(&w->rig);
}

static int add(struct world *w, unsigned i)
{
	char name[16];
	struct wbc_value v;

	snprintf(name, sizeof(name), "key%u", i);
	v = wbc_text("k", name, (uint32_t)strlen(name));
	return wbc_add_int64(w->table, &v, 1, 1, 1);
}

static struct entry_shm *find(struct world *w, unsigned i)
{
	char name[16];
	struct wbci_key k;
	int64_t found;

	snprintf(name, sizeof(name), "key%u", i);
	k = rig_key(w->s, name, strlen(name));
	wbci_enter(w->ft);
	found = wbci_index_find(w->ft, &k);
	wbci_exit(w->ft);
	return found > 0 ? wbci_at(w->s, (uint64_t)found) : NULL;
}

static int journal(void *arg, const struct wbci_seen *seen)
{
	struct world *w = arg;

	wbci_cursor_move(w->flusher, seen->ref, 0, seen->total[0]);
	return 0;
}

/* A round that journals everything.  Returns the cycle after it. */
static uint64_t make_round(struct world *w)
{
	if (wbci_round_begin(&w->rounds) ||
	    wbci_round_read(&w->rounds, journal, w))
		tap_bail("round");
	wbci_round_end(&w->rounds);
	return w->rounds.cycle + 1;
}

static void look(struct world *w, uint64_t before)
{
	w->removal.page = 0;
	wbci_removal_look(&w->removal, before,
	                  wbci_committed(w->s) * WBCI_PAGES_PER_EXTENT);
}

/* Everything idle goes, and the nodes after it. */
static void remove_all(struct world *w, uint64_t before)
{
	uint32_t left = wbci_committed(w->s) * WBCI_PAGES_PER_EXTENT;

	w->removal.page = 0;
	while (left) {
		left -= wbci_removal_look(&w->removal, before, left);
		rig_advance(w->flusher, 2);
		wbci_removal_step(&w->removal);
		rig_advance(w->flusher, 2);
		while (wbci_prune_step(&w->pruning))
			rig_advance(w->flusher, 2);
	}
}

static unsigned state_of(struct entry_shm *e)
{
	return (unsigned)(order_load(&e->word) & 15);
}

static void test_idle(void)
{
	struct world w;
	struct entry_shm *old, *e;
	struct wbci_ref ref;
	uint64_t word, before;

	begin(&w);
	add(&w, 1);
	old = find(&w, 1);
	word = order_load(&old->word);
	before = make_round(&w);
	add(&w, 2);
	look(&w, before);
	tap_is_uint(w.removal.n, 1,
	            "what is clean and idle is frozen, what "
	            "is dirty is not");
	tap_is_uint(state_of(old), ENTRY_FROZEN, "it is the one expected");
	tap_ok(wbci_removal_step(&w.removal) && find(&w, 1) == old,
	       "it is there until the grace period has ended");
	rig_advance(w.flusher, 2);
	tap_ok(!wbci_removal_step(&w.removal), "then the step ends");
	tap_ok(!find(&w, 1) && find(&w, 2), "and only the idle one is gone");
	tap_is_uint(w.removal.removed, 1, "and counted");
	ref = (struct wbci_ref){(uint64_t)((unsigned char *)old - w.s->base),
	                        word >> 4};
	tap_ok(!wbci_cursor_move(w.flusher, ref, 0, 77) &&
	               order_load(&old->journaled) == 1,
	       "P5: a cursor that names it moves nothing: it may be another's");
	tap_is_int(add(&w, 1), 0, "its key is counted anew");
	e = find(&w, 1);
	tap_ok(e && order_load(&e->total) == 1, "from 0 (P3)");
	for (unsigned i = 0; i < 6; i++) {
		rig_advance(w.flusher, 1);
		wbci_enter(w.t);
		wbci_page_reclaim(
			w.t, wbci_page_of(w.s, (uint64_t)((unsigned char *)old -
		                                          w.s->base)));
		wbci_exit(w.t);
	}
	for (unsigned i = 10; i < 800; i++)
		add(&w, i);
	tap_ok(state_of(old) == ENTRY_LIVE && order_load(&old->word) > word,
	       "the block becomes another entry, of a later incarnation (P6)");
	end(&w);
}

static void test_young(void)
{
	struct world w;
	uint64_t before;

	begin(&w);
	add(&w, 1);
	before = make_round(&w);
	add(&w, 1);
	make_round(&w);
	look(&w, before);
	tap_is_uint(w.removal.n, 0, "what was changed since is not idle");
	look(&w, before + 1);
	tap_is_uint(w.removal.n, 1, "a round later it is");
	end(&w);
}

static void test_revived(void)
{
	struct entry_shm *e, *mine;
	struct world w;
	uint64_t before;

	begin(&w);
	add(&w, 1);
	e = find(&w, 1);
	before = make_round(&w);
	look(&w, before);
	tap_is_uint(state_of(e), ENTRY_FROZEN, "an entry is frozen");
	add(&w, 1);
	tap_is_uint(state_of(e), ENTRY_LIVE, "an add revives it");
	rig_advance(w.flusher, 2);
	wbci_removal_step(&w.removal);
	tap_ok(find(&w, 1) == e && order_load(&e->total) == 2,
	       "it stays, and so does the sum (P3)");
	/* Somebody saw it LIVE before, and adds after. */
	before = make_round(&w);
	wbci_enter(w.t);
	look(&w, before);
	tap_is_uint(state_of(e), ENTRY_FROZEN, "frozen under a section");
	for (unsigned i = 0; i < 8; i++)
		wbci_epoch_advance(w.flusher);
	tap_ok(wbci_removal_step(&w.removal) && find(&w, 1) == e,
	       "the section is waited for, by nobody");
	/* The same entry where the client has it mapped. */
	mine = wbci_at(&w.c->client->segment,
	               (uint64_t)((unsigned char *)e - w.s->base));
	wbci_mark(w.t, mine);
	order_add_release(&mine->total, 5);
	wbci_exit(w.t);
	rig_advance(w.flusher, 2);
	wbci_removal_step(&w.removal);
	tap_ok(find(&w, 1) == e && state_of(e) == ENTRY_LIVE,
	       "what it added keeps the entry (P3)");
	make_round(&w);
	tap_is_uint(order_load(&e->journaled), 7, "and is collected");
	end(&w);
}

static void test_handle(void)
{
	struct world w;
	struct wbc_counter *counter;
	struct wbc_value v = wbc_text("k", "key1", 4);
	struct entry_shm *e;
	uint64_t before;

	begin(&w);
	if (wbc_counter_open(w.table, &v, 1, 1, &counter))
		tap_bail("counter");
	wbc_counter_add(counter, 3);
	before = make_round(&w);
	remove_all(&w, before);
	tap_ok(!find(&w, 1),
	       "the row of a handle is removed: nothing is pinned");
	tap_is_int(wbc_counter_add(counter, 4), 0, "the handle goes on");
	e = find(&w, 1);
	tap_ok(e && order_load(&e->total) == 4,
	       "with a new entry, which has what was added since (P3)");
	end(&w);
}

static void test_foreign(void)
{
	struct world w;
	struct entry_shm *e;
	uint64_t before;

	begin(&w);
	add(&w, 1);
	e = find(&w, 1);
	before = make_round(&w);
	order_store(&e->word,
	            wbci_entry_word(order_load(&e->word) >> 4, ENTRY_FROZEN));
	look(&w, before);
	tap_ok(w.removal.n == 0 && state_of(e) == ENTRY_LIVE,
	       "an entry that a dead flusher froze counts as live");
	look(&w, before);
	tap_is_uint(w.removal.n, 1, "and may be frozen again");
	wbci_removal_free(&w.removal);
	tap_is_uint(state_of(e), ENTRY_LIVE, "who ends thaws what it froze");
	end(&w);
}

/* Pages in use of a kind. */
static unsigned pages_of(const struct wbci_segment *s, unsigned kind)
{
	uint32_t n = wbci_committed(s) * WBCI_PAGES_PER_EXTENT;
	unsigned pages = 0;

	for (uint32_t i = 0; i < n; i++)
		pages += wbci_page_kind(order_load(&s->words[i])) == kind;
	return pages;
}

static void tidy_all(struct world *w)
{
	uint32_t n = wbci_committed(w->s) * WBCI_PAGES_PER_EXTENT;

	for (unsigned g = 0; g < 4; g++) {
		rig_advance(w->flusher, 1);
		for (uint32_t i = 0; i < n; i++) {
			wbci_enter(w->ft);
			wbci_page_tidy(w->ft, i);
			wbci_exit(w->ft);
		}
	}
}

static int count_nodes(void *arg, const struct wbci_step *step)
{
	*(unsigned *)arg += step->tag == INDEX_NODE;
	return 0;
}

static void test_pruned(void)
{
	struct world w;
	uint64_t before;
	unsigned nodes = 0, entries, blocks;

	begin(&w);
	for (unsigned i = 0; i < 20000; i++)
		add(&w, i);
	wbci_index_walk(w.s, count_nodes, &nodes);
	tap_ok(nodes > 1000, "20,000 keys in a small root make nodes, in "
	                     "several levels");
	entries = pages_of(w.s, PAGE_ENTRIES);
	blocks = pages_of(w.s, PAGE_BLOCKS);
	before = make_round(&w);
	/* What a start keeps to read again is no reason to keep entries. */
	remove_all(&w, before);
	tap_is_uint(w.removal.removed, 20000, "all of them are removed");
	nodes = 0;
	wbci_index_walk(w.s, count_nodes, &nodes);
	tap_is_uint(nodes, 0, "and all nodes, from the lowest up");
	tidy_all(&w);
	tap_is_uint(pages_of(w.s, PAGE_ENTRIES), entries,
	            "pages of entries stay pages of entries");
	tap_ok(blocks > 2 && pages_of(w.s, PAGE_BLOCKS) <= 2,
	       "pages of nodes go back to the pool, but for one that a thread "
	       "allocates from, and the table's (P6)");
	for (unsigned i = 0; i < 20000; i++)
		add(&w, i);
	tap_is_uint(pages_of(w.s, PAGE_ENTRIES), entries,
	            "as many keys again need no more memory");
	end(&w);
}

static void test_closing(void)
{
	struct world w;
	struct entry_shm *e;
	uint64_t before, at = 0;

	begin(&w);
	for (unsigned i = 0; i < 3000; i++)
		add(&w, i);
	before = make_round(&w);
	look(&w, before);
	rig_advance(w.flusher, 2);
	wbci_removal_step(&w.removal);
	tap_ok(w.pruning.n > 100, "empty nodes are closing");
	at = w.pruning.n;
	for (unsigned i = 0; i < 3000; i += 3)
		add(&w, i);
	rig_advance(w.flusher, 2);
	wbci_prune_step(&w.pruning);
	tap_ok(w.pruning.pruned > 0 && w.pruning.pruned < at,
	       "those that somebody inserts below are not taken out");
	for (unsigned i = 0; i < 3000; i += 3) {
		e = find(&w, i);
		if (!e || order_load(&e->total) != 1)
			at = 0;
	}
	tap_ok(at != 0, "and no insert is lost (P3)");
	end(&w);
}

/* Somebody says that there are fewer extents than a moment ago. */
static void test_shrunk(void)
{
	struct world w;
	uint64_t before;
	uint32_t had;

	begin(&w);
	for (unsigned i = 0; i < 3000; i++)
		add(&w, i);
	before = make_round(&w);
	look(&w, before);
	rig_advance(w.flusher, 2);
	wbci_removal_step(&w.removal);
	rig_advance(w.flusher, 2);
	had = order_load(&w.s->control->committed);
	order_store(&w.s->control->committed, 0);
	while (wbci_prune_step(&w.pruning))
		rig_advance(w.flusher, 2);
	tap_is_uint(w.pruning.pruned, 0,
	            "a node in an extent that was taken away is left alone "
	            "(P7)");
	order_store(&w.s->control->committed, had);
	end(&w);
}

int main(void)
{
	test_idle();
	test_shrunk();
	test_young();
	test_revived();
	test_handle();
	test_foreign();
	test_pruned();
	test_closing();
	return tap_done();
}
