/* SPDX-License-Identifier: MIT */
/* Copyright the wbcshm authors */

/*
 * Dirty marks against the rounds that collect them.
 *
 * The flusher does in memory what a real one does with its journal: it adds
 * up what each visit found beyond the cursor, and moves the cursor.  However
 * it went, two more rounds after all is quiet must have collected every add
 * that was acknowledged, and no add twice.
 */
#include "rows.h"

#define ROUNDS 4u

static struct rows *rows;
static struct book {
	uint64_t collected;     /* by all rounds so far */
	uint64_t after[ROUNDS]; /* collected when round i of ours ended */
	uint64_t cycle[ROUNDS]; /* its number */
	unsigned n;
	uint64_t want[MC_THREADS];  /* rounds below it have the thread's adds */
	uint64_t delta[MC_THREADS]; /* of these */
} * book;
static struct wbci_rounds *rounds;

static void setup_as(uint32_t fenced)
{
	mc_world(&(struct mc_shape){.fenced = fenced});
	rows = rows_make();
	book = mc_keep(sizeof(*book));
	rounds = mc_keep(sizeof(*rounds));
	rows_open(rows, 0, 0);
	mc_join(1);
	if (mc_client(2))
		mc_join(2);
	mc_as(0);
	wbci_rounds_init(rounds, mc_client(0));
	rounds->all = false;
	mc_as(-1);
}

static void setup(void)
{
	setup_as(0);
}

static void setup_fenced(void)
{
	setup_as(7);
}

static void setup_mixed(void)
{
	setup_as(2);
}

static void setup_start(void)
{
	setup();
	rounds->all = true;
	/* Marked in this cycle, and the bits were taken by a flusher that
	 * died with them. */
	order_store(&rows->entry[0]->stamp, 1);
}

static int visit(void *arg, const struct wbci_seen *seen)
{
	(void)arg;
	book->collected += seen->total[0] - seen->journaled[0];
	MC_CHECK(wbci_cursor_move(mc_client(-1), seen->ref, 0, seen->total[0]),
	         "the entry is another");
	return 0;
}

static void one_round(void)
{
	unsigned n = book->n;

	MC_CHECK(wbci_round_begin(rounds) == 0, "no memory");
	MC_CHECK(wbci_round_read(rounds, visit, NULL) == 0, "no read");
	wbci_round_end(rounds);
	if (n < ROUNDS) {
		book->after[n] = book->collected;
		book->cycle[n] = rounds->cycle;
		book->n++;
	}
}

static void flusher(void)
{
	one_round();
}

static void flusher_twice(void)
{
	one_round();
	one_round();
}

static void flusher_thrice(void)
{
	one_round();
	one_round();
	one_round();
}

/* Threads 1 and 2 add 1 and 16, so that a sum tells who is in it. */
static int64_t delta(void)
{
	return mc_self() == 1 ? 1 : 16;
}

static void adder(void)
{
	rows_add_ref(rows, 0, delta());
}

static void adder_twice(void)
{
	rows_add_ref(rows, 0, delta());
	rows_add_ref(rows, 0, delta());
}

/* Adds, and asks for the rounds that have the add. */
static void syncer(void)
{
	order_u64 *want = &mc_segment()->control->sync_want;

	rows_add_ref(rows, 0, delta());
	book->delta[mc_self()] = (uint64_t)delta();
	book->want[mc_self()] = wbci_want(mc_client(-1), want);
}

/* The same by the short way, if somebody has marked the entry already. */
static void hot_syncer(void)
{
	order_u64 *want = &mc_segment()->control->sync_want;
	struct wbci_thread *t = mc_place();
	struct entry_shm *e = rows->entry[0];
	bool ready;

	wbci_enter(t);
	ready = wbci_cell_ready(t->control, e, &e->total, delta());
	if (ready)
		order_add_release(&e->total, (uint64_t)delta());
	wbci_exit(t);
	if (!ready)
		return;
	mc_ack((uint64_t)delta());
	book->delta[mc_self()] = (uint64_t)delta();
	book->want[mc_self()] = wbci_want(mc_client(-1), want);
}

/* Marks, and is stopped before it adds; goes on when all is quiet. */
static void stopped(void)
{
	struct wbci_thread *t = mc_place();
	struct entry_shm *e = rows->entry[0];

	wbci_enter(t);
	wbci_mark(t, e);
	mc_stop();
	order_add_release(&e->total, (uint64_t)delta());
	wbci_exit(t);
	mc_ack((uint64_t)delta());
}

/* Whoever was killed is reaped, then two rounds find all there is. */
static void quiet_rounds(void)
{
	unsigned in_section;

	mc_as(0);
	wbci_reap(mc_segment(), &in_section);
	if (mc_died(0)) {
		mc_client(0)->attached[0] = 0;
		wbci_cache.id = 0;
		memset(mc_client(0)->threads, 0,
		       mc_segment()->geo.n_threads *
		               sizeof(*mc_client(0)->threads));
		wbci_rounds_init(rounds, mc_client(0));
	}
	one_round();
	one_round();
	one_round();
	mc_as(-1);
}

static void check_sums(void)
{
	uint64_t total = order_load(&rows->entry[0]->total);
	uint64_t acked = mc_acked();

	MC_CHECK(total >= acked && total <= acked + 17 * mc_deaths(),
	         "%d acknowledged, %d there", (int)acked, (int)total);
	MC_CHECK(order_load(&rows->entry[0]->journaled) == total,
	         "%d there, the cursor is at %d", (int)total,
	         (int)order_load(&rows->entry[0]->journaled));
}

static void check(void)
{
	for (unsigned t = 1; t < 3; t++) {
		for (unsigned i = 0; i < book->n && i < ROUNDS; i++) {
			if (!book->want[t] ||
			    book->cycle[i] + 1 < book->want[t])
				continue;
			MC_CHECK(book->after[i] & book->delta[t] * 15,
			         "round %d has not what thread %u did before",
			         (int)book->cycle[i], t);
		}
	}
	quiet_rounds();
	check_sums();
	MC_CHECK(mc_died(0) ||
	                 book->collected == order_load(&rows->entry[0]->total),
	         "%d there, %d collected",
	         (int)order_load(&rows->entry[0]->total), (int)book->collected);
}

static const struct mc_scenario scenarios[] = {
	{.name = "one-adder",
         .says = "P3: an add is collected once, whatever round it meets",
         .setup = setup,
         .thread = {flusher_twice, adder},
         .check = check},
	{.name = "two-adds",
         .says = "P3: a second add beside a round is collected too",
         .setup = setup,
         .thread = {flusher, adder_twice},
         .check = check},
	{.name = "two-adders",
         .says = "P3: two adders' marks meet in a round, and none is lost",
         .setup = setup,
         .thread = {flusher, adder, adder},
         .check = check,
         .deaths = 1},
	{.name = "fenced",
         .says = "P3: the same where nobody has membarrier",
         .setup = setup_fenced,
         .thread = {flusher, adder_twice},
         .check = check},
	{.name = "mixed",
         .says = "P3: the same where one process has no membarrier",
         .setup = setup_mixed,
         .thread = {flusher, adder, adder},
         .check = check,
         .deaths = 1},
	{.name = "sync",
         .says = "P4: the round that a client waits for has its add",
         .setup = setup,
         .thread = {flusher_twice, syncer},
         .check = check},
	{.name = "sync-by-another",
         .says = "P4: the round that a client waits for has its add, also if "
                 "another one marked the entry",
         .setup = setup,
         .thread = {flusher, adder, syncer},
         .check = check,
         .deaths = MC_NOBODY},
	{.name = "sync-by-another-hot",
         .says = "P4: the same by the short way",
         .setup = setup,
         .thread = {flusher, adder, hot_syncer},
         .check = check,
         .deaths = MC_NOBODY},
	{.name = "stopped",
         .says = "P2: a client stopped between mark and add loses nothing, "
                 "and no round waits for it",
         .setup = setup,
         .thread = {flusher_thrice, stopped, adder},
         .check = check,
         .deaths = 1,
         .preemptions = 1},
	{.name = "stopped-late",
         .says = "P3: an add whose mark was taken rounds ago is collected",
         .setup = setup,
         .thread = {flusher_twice, stopped, adder},
         .check = check,
         .deaths = MC_NOBODY},
	{.name = "start",
         .says = "P5: a flusher that starts collects what is there",
         .setup = setup_start,
         .thread = {flusher_thrice, stopped},
         .check = check,
         .deaths = 1},
	{NULL}};

int main(int argc, char **argv)
{
	return mc_main(argc, argv, "rounds", scenarios);
}
