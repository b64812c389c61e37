/* SPDX-License-Identifier: MIT */
/* Copyright the wbcshm authors */

/*
 * Pairs: one word that is seen new beside another that is seen old.
 *
 * Marks beside a round, grace periods beside readers, slots beside reapers:
 * each scenario has the two or three words that must not be seen in the wrong
 * order, and as little else as can be had, so that the mutants (mutants.sh)
 * can be tried on it in no time.
 */
#include "rows.h"

#include <fcntl.h>

#include "shm/page.h"

#define HELD UINT64_C(11)
#define USED UINT64_C(22)
#define FIRST_PAGE_OF_SECOND 32u

static struct rows *rows;
static struct wbci_rounds *rounds;
static struct kept {
	order_u64 *link; /* names the block */
	uint64_t offset; /* of it */
	uint64_t collected;
	uint64_t want;
	uint32_t page;
} * kept;

static void setup_shape(const struct mc_shape *shape)
{
	mc_world(shape);
	rows = rows_make();
	rounds = mc_keep(sizeof(*rounds));
	kept = mc_keep(sizeof(*kept));
	wbci_rounds_init(rounds, mc_client(0));
	rounds->all = false;
}

static void join_all(void)
{
	for (unsigned i = 0; i < MC_THREADS && mc_client((int)i); i++)
		mc_join(i);
}

/* ---- mark.bit, mark.stamp, round.bump ---- */

static void mark(unsigned key)
{
	struct wbci_thread *t = mc_place();

	wbci_enter(t);
	wbci_mark(t, rows->entry[key]);
	wbci_exit(t);
}

/* Row 0 is there, and marked in this cycle. */
static void setup_marked(void)
{
	setup_shape(&(struct mc_shape){0});
	join_all();
	rows_open(rows, 0, 0);
	mc_as(0);
	mark(0);
	mc_as(-1);
}

/* Row 1, too, which is not marked. */
static void setup_two_rows(void)
{
	setup_marked();
	rows_open(rows, 1, 0);
}

/* Row 0 is there and not marked. */
static void setup_row(void)
{
	setup_shape(&(struct mc_shape){0});
	join_all();
	rows_open(rows, 0, 0);
}

/* Row 0 is in an extent that is not counted yet. */
static void setup_grown(void)
{
	struct control_shm *control;

	setup_shape(&(struct mc_shape){.extents = 2});
	join_all();
	control = mc_segment()->control;
	order_store(&control->committed, 2);
	order_store(&control->page_hint, FIRST_PAGE_OF_SECOND);
	rows_open(rows, 0, 0);
	order_store(&control->committed, 1);
}

static void begin_round(void)
{
	MC_CHECK(wbci_round_begin(rounds) == 0, "no memory");
}

static int collect(void *arg, const struct wbci_seen *seen)
{
	(void)arg;
	kept->collected += seen->total[0];
	return 0;
}

static void whole_round(void)
{
	begin_round();
	MC_CHECK(wbci_round_read(rounds, collect, NULL) == 0, "no read");
}

static void marker_of_0(void)
{
	mark(0);
}

static void marker_of_1(void)
{
	mark(1);
}

static void grower(void)
{
	MC_CHECK(wbci_segment_grow(mc_segment(), 1) == 0, "not grown");
	mark(0);
}

/* Does the round that has begun read a block? */
static bool is_visited(uint32_t page, unsigned bit)
{
	for (uint32_t i = 0; rounds->visit && i < rounds->visit->n; i++) {
		const struct wbci_taken_page *p = &rounds->visit->pages[i];

		if (p->page == page)
			return p->bits[bit / 64] >> bit % 64 & 1;
	}
	return false;
}

/* What a marker left is there for the next round, or was for this one. */
static void check_key(unsigned key, bool marked)
{
	const struct wbci_segment *s = mc_segment();
	struct entry_shm *e = rows->entry[key];
	uint32_t page = wbci_page_of(s, rows->ref[key].offset);
	uint64_t word = order_load(&s->words[page]);
	unsigned bit = (unsigned)(rows->ref[key].offset % WBCI_PAGE_BYTES /
	                          wbci_class_bytes[wbci_page_class(word)]);
	bool dirty =
		order_load(&s->metas[page].dirty[bit / 64]) >> bit % 64 & 1;

	MC_CHECK(!marked || dirty, "stamped anew, and its bit is not set");
	MC_CHECK(!dirty || is_visited(page, bit) ||
	                 order_load(&s->summary[page / 64]) >> page % 64 & 1,
	         "its bit is set, and its page's is not");
	MC_CHECK(order_load(&e->stamp) <= order_load(&s->control->cycle),
	         "a stamp of no cycle");
}

static void check_marked(void)
{
	check_key(0, order_load(&rows->entry[0]->stamp) ==
	                     order_load(&mc_segment()->control->cycle));
}

static void check_row_1(void)
{
	check_key(1, false);
}

static void check_row_0(void)
{
	check_key(0, false);
}

/* ---- who is told of an add waits for its round ---- */

static void adder(void)
{
	rows_add_ref(rows, 0, 1);
}

static void adder_who_tells(void)
{
	rows_add_ref(rows, 0, 16);
	mc_raise(0);
}

/* The same by the short way, where another one has marked the entry. */
static void hot_adder_who_tells(void)
{
	struct wbci_thread *t = mc_place();
	struct entry_shm *e = rows->entry[0];
	bool ready;

	wbci_enter(t);
	ready = wbci_cell_ready(t->control, e, &e->total, 16);
	if (ready)
		order_add_release(&e->total, 16);
	wbci_exit(t);
	if (ready)
		mc_raise(0);
}

static void told(void)
{
	if (mc_wait(0))
		kept->want = wbci_want(mc_client(-1),
		                       &mc_segment()->control->sync_want);
}

static void check_told(void)
{
	MC_CHECK(!kept->want || rounds->cycle + 1 < kept->want ||
	                 kept->collected & 16,
	         "the round has not what its waiter was told of");
}

/* ---- epoch.stamp, epoch.grace, slot.claim ---- */

static uint64_t *data(void)
{
	return wbci_at(mc_segment(), kept->offset);
}

/* A block of thread 0's, all of its page, which a word names. */
static void setup_block(uint32_t fenced)
{
	struct wbci_thread *t;

	setup_shape(&(struct mc_shape){.fenced = fenced});
	join_all();
	kept->link = &mc_segment()->root[0];
	mc_as(0);
	t = mc_place();
	wbci_enter(t);
	if (wbci_block_alloc(t, PAGE_BLOCKS, WBCI_BLOCK_LARGEST, &kept->offset))
		tap_bail("no block");
	wbci_exit(t);
	mc_as(-1);
	*data() = HELD;
	order_store(kept->link, kept->offset);
}

static void setup_linked(void)
{
	setup_block(0);
}

static void setup_fenced(void)
{
	setup_block(63);
}

/* Thread 0 has no membarrier; thread 1 is attached, and has no slot. */
static void setup_newcomer(void)
{
	setup_block(1);
	mc_as(1);
	wbci_thread_end(mc_client(1));
	mc_as(-1);
}

static void unlink_block(struct wbci_thread *t)
{
	uint64_t was = kept->offset;

	wbci_enter(t);
	if (order_cas_relaxed(kept->link, &was, 0))
		wbci_block_retire(t, kept->offset);
	wbci_exit(t);
}

static void reuse(struct wbci_thread *t)
{
	uint64_t offset;

	wbci_enter(t);
	if (wbci_page_reclaim(t, wbci_page_of(mc_segment(), kept->offset)) &&
	    !wbci_block_alloc(t, PAGE_BLOCKS, WBCI_BLOCK_LARGEST, &offset))
		*data() = USED;
	wbci_exit(t);
}

static void advance(void)
{
	wbci_epoch_advance(mc_client(-1));
	wbci_epoch_advance(mc_client(-1));
}

static void advance_and_reuse(void)
{
	advance();
	reuse(mc_place());
}

static void writer(void)
{
	unlink_block(mc_place());
	advance_and_reuse();
}

static void unlinker(void)
{
	unlink_block(mc_place());
}

static void reader(void)
{
	struct wbci_thread *t = mc_place();

	wbci_enter(t);
	if (order_acquire(kept->link))
		MC_CHECK(*data() == HELD, "the block is another's");
	wbci_exit(t);
}

static void reader_who_leaves(void)
{
	reader();
	wbci_thread_end(mc_client(-1));
}

/* Takes the block away by a change that orders nothing by itself. */
static void waiter(void)
{
	struct wbci_client *c = mc_client(-1);
	uint64_t grace;

	order_store(kept->link, 0);
	grace = wbci_epoch_grace(c);
	if (wbci_epoch_passed(c, grace))
		*data() = USED;
}

/* ---- slot.claim: a process's, after its owner's death ---- */

/* One slot of each kind, of a process that died. */
static void setup_dead(void)
{
	setup_shape(&(struct mc_shape){.procs = 1, .threads = 1});
	order_store(&mc_segment()->procs[0].word, 1 << 4 | PROC_USED);
	order_store(&mc_segment()->threads[0].word, 1 << 16 | THREAD_USED);
}

static void reaper(void)
{
	unsigned in_section;

	wbci_reap(mc_segment(), &in_section);
}

static void heir(void)
{
	struct wbci_client *c = mc_client(-1);
	struct wbci_thread *t;
	int error = wbci_thread(c, &t);

	MC_CHECK(error == 0 || !*c->attached, "a process, and no thread");
}

/* One slot of each kind, thread 0's or nobody's. */
static void setup_slot(void)
{
	setup_shape(&(struct mc_shape){.procs = 1, .threads = 1});
}

static void setup_taken_slot(void)
{
	setup_slot();
	mc_join(0);
}

static void comer(void)
{
	mc_place();
}

static void goer(void)
{
	struct wbci_client *c = mc_client(-1);

	wbci_client_close(&c);
}

/* Threads come after their process, and go before it. */
static void watcher_of_comer(void)
{
	const struct wbci_segment *s = mc_segment();

	if ((order_acquire(&s->threads[0].word) & 15) != THREAD_FREE)
		MC_CHECK((order_acquire(&s->procs[0].word) & 15) == PROC_USED,
		         "a thread of no process");
}

static void watcher_of_goer(void)
{
	const struct wbci_segment *s = mc_segment();

	if ((order_acquire(&s->procs[0].word) & 15) == PROC_FREE)
		MC_CHECK((order_acquire(&s->threads[0].word) & 15) ==
		                 THREAD_FREE,
		         "a thread of no process");
}

/* ---- wake.event ---- */

/* All pages are somebody's; thread 0 is the flusher. */
static void setup_full(void)
{
	const struct wbci_segment *s;
	struct flock lock = {.l_type = F_WRLCK,
	                     .l_whence = SEEK_SET,
	                     .l_start = WBCI_LOCK_FLUSHER,
	                     .l_len = 1};

	setup_shape(&(struct mc_shape){0});
	join_all();
	s = mc_segment();
	for (uint32_t i = 0; i < WBCI_PAGES_PER_EXTENT; i++)
		order_store(&s->words[i], wbci_page_word(PAGE_BLOCKS, 0, 1));
	mc_client(1)->full_wait_ms = 1000;
	mc_as(0);
	if (fcntl(wbci_segment_description(s), F_OFD_SETLK, &lock))
		tap_bail("no lock");
	mc_as(-1);
}

static void freer(void)
{
	order_store(&mc_segment()->words[0], PAGE_FREE);
	wbci_event(mc_segment());
}

static void opener(void)
{
	struct wbci_thread *t = mc_place();
	struct entry_shm *e;
	uint64_t offset;

	MC_CHECK(wbci_entry_open(t, &rows->key[0], &rows->schema, &e,
	                         &offset) == 0,
	         "no entry");
	wbci_exit(t);
}

static void check_woken(void)
{
	MC_CHECK(!mc_timeouts(), "slept beside the memory");
}

static const struct mc_scenario scenarios[] = {
	{.name = "marked-anew",
         .says = "P3: who marks in a new cycle sees the bits as taken",
         .setup = setup_marked,
         .thread = {begin_round, marker_of_0},
         .check = check_marked,
         .deaths = MC_NOBODY},
	{.name = "mark-beside-take",
         .says = "P3: who marks where a round took a page's bits sets the "
                 "page's own",
         .setup = setup_two_rows,
         .thread = {begin_round, marker_of_1},
         .check = check_row_1,
         .deaths = MC_NOBODY},
	{.name = "half-marked",
         .says = "P3: who finds a bit of one that died sets the page's own",
         .setup = setup_two_rows,
         .thread = {begin_round, marker_of_1, marker_of_1},
         .check = check_row_1,
         .immortal = 5,
         .deaths = 1},
	{.name = "grown",
         .says = "P3: who takes a mark in a new extent knows the extent",
         .setup = setup_grown,
         .thread = {begin_round, grower},
         .check = check_row_0,
         .deaths = MC_NOBODY},
	{.name = "told",
         .says = "P4: who is told of an add waits for the round that has it",
         .setup = setup_row,
         .thread = {whole_round, adder, adder_who_tells, told},
         .check = check_told,
         .deaths = MC_NOBODY,
         .preemptions = 1,
         .stale = 1},
	{.name = "told-hot",
         .says = "P4: the same of an add by the short way",
         .setup = setup_row,
         .thread = {whole_round, adder, hot_adder_who_tells, told},
         .check = check_told,
         .deaths = MC_NOBODY,
         .preemptions = 1,
         .stale = 1},
	{.name = "left",
         .says = "P6: no block is reused under a reader whose slot is free by "
                 "now",
         .setup = setup_linked,
         .thread = {writer, reader_who_leaves},
         .deaths = MC_NOBODY},
	{.name = "newcomer",
         .says = "P6: who has just got a slot does not see what was unlinked",
         .setup = setup_newcomer,
         .thread = {writer, reader},
         .deaths = MC_NOBODY},
	{.name = "stamped",
         .says = "P6: who retires a block stamps it with the newest epoch",
         .setup = setup_linked,
         .thread = {advance_and_reuse, reader, unlinker},
         .deaths = MC_NOBODY,
         .stale = 1,
         .atomic_copies = true},
	{.name = "grace",
         .says = "P6: a grace period that has passed waited for all readers",
         .setup = setup_linked,
         .thread = {waiter, advance, reader},
         .deaths = MC_NOBODY,
         .preemptions = 3,
         .stale = 1,
         .atomic_copies = true},
	{.name = "grace-fenced",
         .says = "P6: the same without membarrier",
         .setup = setup_fenced,
         .thread = {waiter, advance, reader},
         .deaths = MC_NOBODY,
         .preemptions = 3,
         .stale = 1,
         .atomic_copies = true},
	{.name = "inherited",
         .says = "P9: who gets a dead process's slot finds its thread slots "
                 "free",
         .setup = setup_dead,
         .thread = {reaper, heir},
         .deaths = MC_NOBODY},
	{.name = "coming",
         .says = "P9: a thread slot in use is of a process slot in use",
         .setup = setup_slot,
         .thread = {comer, watcher_of_comer},
         .deaths = MC_NOBODY},
	{.name = "going",
         .says = "P9: the same while its owner leaves",
         .setup = setup_taken_slot,
         .thread = {goer, watcher_of_goer},
         .deaths = MC_NOBODY},
	{.name = "freed",
         .says = "P2: who saw the event of freed memory finds the memory",
         .setup = setup_full,
         .thread = {freer, opener},
         .check = check_woken,
         .deaths = MC_NOBODY},
	{NULL}};

int main(int argc, char **argv)
{
	return mc_main(argc, argv, "pairs", scenarios);
}
