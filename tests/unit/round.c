/* SPDX-License-Identifier: MIT */
/* Copyright the wbcshm authors */

/*
 * Rounds: what was added is collected, once, by the round that it belongs to,
 * whoever is killed or stopped, and wherever two meet.
 */
#include "shm/round.h"

#include <sched.h>
#include <sys/stat.h>

#include "shm/cell.h"
#include "shm/wake.h"
#include "unit/rig.h"
#include "unit/step.h"

#define SPEC "t(k blob key, n counter, d double counter)"

static struct wbci_schema schema;

/* What rounds brought, by the number at the beginning of a key. */
enum { BOOK_KEYS = 10000 };
struct book {
	struct wbci_client *c;
	struct wbci_rounds rounds;
	uint64_t sum[BOOK_KEYS]; /* of all differences */
	double doubles[BOOK_KEYS];
	uint64_t collected[BOOK_KEYS]; /* totals, as last seen */
	unsigned visits;
	unsigned moved;
	unsigned stop_after; /* visits, then the round is abandoned; 0: no */
	bool forget;         /* cursors are not moved */
};

static unsigned key_number(const struct wbci_seen *seen)
{
	unsigned n;

	memcpy(&n, seen->key, sizeof(n));
	if (seen->key_len < sizeof(n) || n >= BOOK_KEYS)
		tap_bail("a key that nobody made");
	return n;
}

/* A flusher that journals at once; @forget leaves everything as it was. */
static int visit(void *arg, const struct wbci_seen *seen)
{
	struct book *b = arg;
	unsigned n = key_number(seen);

	b->visits++;
	if (b->stop_after && b->visits > b->stop_after)
		return 1;
	b->collected[n] = seen->total[0];
	if (b->forget)
		return 0;
	b->sum[n] += seen->total[0] - seen->journaled[0];
	b->doubles[n] += wbci_double_of(seen->total[1]) -
	                 wbci_double_of(seen->journaled[1]);
	for (unsigned i = 0; i < seen->n_cells; i++)
		b->moved +=
			wbci_cursor_move(b->c, seen->ref, i, seen->total[i]);
	return 0;
}

static int run_round(struct book *b)
{
	int error = wbci_round_begin(&b->rounds);

	if (!error)
		error = wbci_round_read(&b->rounds, visit, b);
	if (!error && !b->forget)
		wbci_round_end(&b->rounds);
	return error;
}

static void restart(struct book *b)
{
	wbci_rounds_free(&b->rounds);
	wbci_rounds_init(&b->rounds, b->c);
}

struct test {
	struct rig rig;
	struct wbci_client *c; /* of the client */
	struct wbci_thread *t;
	struct book *b; /* of the flusher */
};

static struct test begin(uint32_t extents)
{
	struct test x = {
		.rig = rig_make(&(struct wbci_create){
			.max_bytes = (uint64_t)extents * WBCI_EXTENT_BYTES,
			.capacity = 1,
			.procs = 16,
			.threads = 8}),
		.b = calloc(1, sizeof(*x.b))};

	if (!x.b)
		tap_bail("no memory");
	x.c = rig_client(&x.rig);
	x.t = rig_thread(x.c);
	x.b->c = rig_client(&x.rig);
	rig_thread(x.b->c);
	wbci_rounds_init(&x.b->rounds, x.b->c);
	return x;
}

static void end(struct test *x)
{
	wbci_rounds_free(&x->b->rounds);
	wbci_client_close(&x->b->c);
	wbci_client_close(&x->c);
	free(x->b);
	rig_drop(&x->rig);
}

/* After a start everything is read, until a grace period has ended. */
static void settle(struct test *x)
{
	for (unsigned i = 0; i < 4; i++)
		run_round(x->b);
	if (x->b->rounds.all || x->b->rounds.kept->next)
		tap_bail("the rounds do not settle");
}

static struct wbci_key number_key(const struct wbci_segment *s,
                                  unsigned char bytes[8], unsigned n)
{
	memset(bytes, 0, 8);
	memcpy(bytes, &n, sizeof(n));
	return rig_key(s, bytes, 8);
}

/* Open an entry and leave the section open. */
static struct entry_shm *open_entry(struct wbci_thread *t, unsigned n)
{
	unsigned char bytes[8];
	struct wbci_key k = number_key(&t->client->segment, bytes, n);
	struct entry_shm *e;
	uint64_t offset;

	return wbci_entry_open(t, &k, &schema, &e, &offset) ? NULL : e;
}

static int add(struct wbci_thread *t, unsigned n, int64_t delta)
{
	struct entry_shm *e = open_entry(t, n);
	uint64_t total;
	int error;

	if (!e)
		return -ENOSPC;
	error = wbci_cell_add_int64(t, e, 0, delta, &total);
	wbci_exit(t);
	return error;
}

static int add_double(struct wbci_thread *t, unsigned n, double delta)
{
	struct entry_shm *e = open_entry(t, n);
	double total;
	int error;

	if (!e)
		return -ENOSPC;
	error = wbci_cell_add_double(t, e, 1, delta, &total);
	wbci_exit(t);
	return error;
}

static unsigned page_of(struct test *x, struct entry_shm *e)
{
	const struct wbci_segment *s = &x->c->segment;

	return wbci_page_of(s, (uint64_t)((unsigned char *)e - s->base));
}

static void test_simple(void)
{
	struct test x = begin(2);
	struct book *b = x.b;
	uint64_t cycle;

	run_round(b);
	tap_is_uint(b->visits, 0, "a round of an empty segment finds nothing");
	settle(&x);
	add(x.t, 1, 5);
	add(x.t, 1, -2);
	add_double(x.t, 2, 0.5);
	cycle = order_load(&x.c->segment.control->cycle);
	tap_is_int(run_round(b), 0, "a round is made");
	tap_is_uint(b->rounds.cycle, cycle, "its number is the cycle's");
	tap_is_uint(order_load(&x.c->segment.control->cycle), cycle + 1,
	            "and the cycle is the next");
	tap_ok(b->sum[1] == 3 && b->doubles[2] == 0.5 && b->visits == 2,
	       "it brings what was added, and no more");
	run_round(b);
	tap_is_uint(b->visits, 2, "the next one finds it journaled");
	add(x.t, 1, 7);
	run_round(b);
	tap_is_uint(b->sum[1], 10, "a second add to an entry is found as well");
	add(x.t, 1, 4);
	add(x.t, 1, -4);
	run_round(b);
	tap_is_uint(b->visits, 3,
	            "an entry whose sum did not change is not "
	            "visited");
	end(&x);
}

/*
 * A mark is followed by its change in the same section, but any number of
 * rounds may lie between the two.
 */
static void test_between(void)
{
	struct test x = begin(2);
	struct book *b = x.b;
	struct entry_shm *e;

	add(x.t, 1, 1);
	settle(&x);
	e = open_entry(x.t, 1);
	wbci_mark(x.t, e);
	for (unsigned i = 0; i < 5; i++)
		run_round(b);
	tap_is_uint(b->sum[1], 1, "a mark without a change brings nothing");
	order_add_relaxed(wbci_entry_total(e, 0), 10);
	wbci_exit(x.t);
	run_round(b);
	tap_is_uint(b->sum[1], 11,
	            "a change long after its mark is found: "
	            "what was taken is kept for a grace "
	            "period (P2)");
	for (unsigned i = 0; i < 4; i++)
		run_round(b);
	tap_ok(b->rounds.kept && !b->rounds.kept->next, "then it is dropped");
	end(&x);
}

/*
 * Two clients: what the first marked in a round's own cycle must not let the
 * second one add unmarked in that cycle.
 */
static void test_two_clients(void)
{
	struct test x = begin(2);
	struct wbci_client *other = rig_client(&x.rig);
	struct wbci_thread *second = rig_thread(other);
	struct entry_shm *e;

	add(x.t, 1, 1);
	settle(&x);
	rig_thread(x.b->c);
	add(x.t, 1, 10);
	wbci_round_begin(&x.b->rounds);
	add(x.t, 1, 100);
	wbci_round_read(&x.b->rounds, visit, x.b);
	wbci_round_end(&x.b->rounds);
	rig_advance(x.b->c, 3);
	e = open_entry(second, 1);
	wbci_mark(second, e);
	run_round(x.b);
	order_add_relaxed(wbci_entry_total(e, 0), 1000);
	wbci_exit(second);
	run_round(x.b);
	tap_is_uint(x.b->sum[1], 1111,
	            "a client that finds an entry marked "
	            "and adds a round later is found");
	wbci_client_close(&other);
	end(&x);
}

/* A client was killed between its page bit and its summary bit. */
static void test_torn_mark(void)
{
	struct test x = begin(2);
	const struct wbci_segment *s = &x.c->segment;
	struct entry_shm *e;
	unsigned page, bit;

	add(x.t, 1, 1);
	settle(&x);
	e = open_entry(x.t, 1);
	wbci_exit(x.t);
	page = page_of(&x, e);
	bit = (unsigned)((uint64_t)((unsigned char *)e - s->base) %
	                 WBCI_PAGE_BYTES) /
	      wbci_class_bytes[wbci_page_class(order_load(&s->words[page]))];
	order_or(&s->metas[page].dirty[bit / 64], UINT64_C(1) << bit % 64);
	add(x.t, 1, 10);
	run_round(x.b);
	tap_is_uint(x.b->sum[1], 11,
	            "a page bit without its summary bit, left "
	            "by a kill, hides no later change (P3)");
	end(&x);
}

static void test_abandoned(void)
{
	struct test x = begin(4);
	struct book *b = x.b;
	unsigned wrong = 0;

	for (unsigned n = 0; n < 1000; n++)
		add(x.t, n, 1);
	settle(&x);
	for (unsigned n = 0; n < 1000; n++)
		add(x.t, n, 10);
	b->visits = 0;
	b->stop_after = 300;
	b->forget = true;
	tap_is_int(run_round(b), 1,
	           "a round ends early if the visitor says "
	           "so");
	tap_is_uint(b->visits, 301, "it visits nobody then");
	for (unsigned n = 0; n < 1000; n += 2)
		add(x.t, n, 100);
	b->visits = b->stop_after = 0;
	run_round(b); /* read whole, but not journaled */
	tap_is_uint(b->visits, 1000, "the next one visits all of it");
	for (unsigned i = 0; i < 6; i++)
		wbci_round_begin(&b->rounds);
	b->forget = false;
	run_round(b);
	for (unsigned n = 0; n < 1000; n++)
		wrong += b->sum[n] != (n % 2 ? 11 : 111);
	tap_is_uint(wrong, 0,
	            "rounds that were abandoned before their end "
	            "lose nothing and double nothing (P5)");
	end(&x);
}

/* A flusher that dies at any place is followed by one that knows nothing. */
static void test_restart(void)
{
	struct test x = begin(4);
	struct book *b = x.b;
	unsigned wrong = 0;
	struct entry_shm *e;

	for (unsigned n = 0; n < 500; n++)
		add(x.t, n, 1);
	b->forget = true;
	run_round(b);
	restart(b);
	wbci_round_begin(&b->rounds);
	for (unsigned n = 0; n < 500; n++)
		add(x.t, n, 10);
	/* It took the bits with it. */
	restart(b);
	b->forget = false;
	run_round(b);
	for (unsigned n = 0; n < 500; n++)
		wrong += b->sum[n] != 11;
	tap_is_uint(wrong, 0,
	            "a flusher that starts reads what its "
	            "predecessor had taken (P5)");
	restart(b);
	run_round(b);
	for (unsigned n = 0; n < 500; n++)
		wrong += b->sum[n] != 11;
	tap_is_uint(wrong, 0, "and doubles nothing");

	/* Marked before the start, changed after its first round. */
	e = open_entry(x.t, 7);
	wbci_mark(x.t, e);
	wbci_round_begin(&b->rounds);
	restart(b);
	run_round(b);
	run_round(b);
	order_add_relaxed(wbci_entry_total(e, 0), 1000);
	wbci_exit(x.t);
	run_round(b);
	tap_is_uint(b->sum[7], 1011,
	            "what was marked under its predecessor "
	            "and changed later is found too");
	end(&x);
}

/* Pages that no round has seen so far. */
static void test_new_extents(void)
{
	struct test x = begin(40);
	const struct wbci_segment *s = &x.c->segment;
	unsigned wrong = 0, n = 0, page = 0;
	struct stat before, after;

	add(x.t, 0, 1);
	settle(&x);
	/* To an odd number, so that a word of the summary ends behind them. */
	while (wbci_committed(s) < 7 || page < 64) {
		uint64_t offset;
		struct entry_shm *e;

		/* All that is left of an extent goes to somebody else. */
		wbci_enter(x.t);
		while (!wbci_block_alloc(x.t, PAGE_BLOCKS, WBCI_BLOCK_LARGEST,
		                         &offset))
			;
		wbci_exit(x.t);
		wbci_segment_grow(s, wbci_committed(s));
		/* So that a fresh page is needed. */
		memset(x.t->page[PAGE_ENTRIES - 1], 0,
		       sizeof(x.t->page[PAGE_ENTRIES - 1]));
		wbci_page_release(s, x.t->slot);
		for (unsigned i = 0; i < WBCI_BLOCKS_MAX; i++)
			wrong += add(x.t, ++n, 1) != 0;
		e = open_entry(x.t, n);
		wbci_exit(x.t);
		page = page_of(&x, e);
		run_round(x.b);
		wrong += x.b->sum[n] != 1;
	}
	tap_diag("%u pages", page);
	for (unsigned i = 0; i <= n; i++)
		wrong += x.b->sum[i] != 1;
	tap_is_uint(wrong, 0,
	            "entries in new extents are found by the next "
	            "round");
	/* Bits of pages that do not exist. */
	for (uint32_t w = 0; w < (s->geo.n_pages + 63) / 64; w++)
		order_store(&s->summary[w], UINT64_MAX);
	add(x.t, 5, 1);
	fstat(s->fd, &before);
	tap_is_int(run_round(x.b), 0,
	           "summary bits of no page do no harm "
	           "(P7)");
	tap_is_uint(x.b->sum[5], 2, "and hide nothing");
	fstat(s->fd, &after);
	tap_is_int(after.st_blocks, before.st_blocks,
	           "memory that is not committed is not touched (P8)");
	end(&x);
}

/* Dirty bits of blocks that are no entries, and entries that are damaged. */
static void test_hostile(void)
{
	struct test x = begin(2);
	const struct wbci_segment *s = &x.c->segment;
	struct entry_shm *e;
	unsigned page;
	uint64_t offset;

	add(x.t, 1, 1);
	settle(&x);
	e = open_entry(x.t, 1);
	wbci_exit(x.t);
	page = page_of(&x, e);
	wbci_enter(x.t);
	wbci_block_alloc(x.t, PAGE_BLOCKS, 128, &offset);
	wbci_exit(x.t);
	for (unsigned w = 0; w < WBCI_BITMAP_WORDS; w++) {
		order_store(&s->metas[page].dirty[w], UINT64_MAX);
		order_store(&s->metas[wbci_page_of(s, offset)].dirty[w],
		            UINT64_MAX);
	}
	order_store(&s->summary[0], UINT64_MAX);
	add(x.t, 1, 10);
	run_round(x.b);
	tap_ok(x.b->sum[1] == 11 && x.b->visits == 2,
	       "dirty bits without an entry are visits for nothing (P7)");
	add(x.t, 1, 100);
	e->n_cells = 17;
	run_round(x.b);
	e->n_cells = 255;
	run_round(x.b);
	tap_is_uint(x.b->rounds.corrupt, 2,
	            "an entry with too many cells is "
	            "counted as corrupt (P7)");
	e->n_cells = 2;
	e->key_len = 1025;
	restart(x.b);
	run_round(x.b);
	tap_is_uint(x.b->rounds.corrupt, 1, "one with too long a key as well");
	e->key_len = 8;
	restart(x.b);
	run_round(x.b);
	tap_is_uint(x.b->sum[1], 111, "mended, it brings its change");
	add(x.t, 1, 1000);
	order_store(&e->word, wbci_entry_word(1, ENTRY_DEAD));
	run_round(x.b);
	order_store(&e->word, wbci_entry_word(1, ENTRY_FREE));
	restart(x.b);
	run_round(x.b);
	tap_is_uint(x.b->sum[1], 111,
	            "what is dead or free is no entry, "
	            "whatever its cells say");
	end(&x);
}

/* A cursor moves only if its entry is that one still. */
static void test_cursor(void)
{
	struct test x = begin(2);
	const struct wbci_segment *s = &x.c->segment;
	struct entry_shm *e;
	struct wbci_ref ref;

	add(x.t, 1, 5);
	e = open_entry(x.t, 1);
	wbci_exit(x.t);
	ref.offset = (uint64_t)((unsigned char *)e - s->base);
	ref.incarnation = 1;
	tap_ok(wbci_cursor_move(x.b->c, ref, 0, 5) &&
	               order_load(&e->journaled) == 5,
	       "a cursor is moved");
	ref.incarnation = 2;
	tap_ok(!wbci_cursor_move(x.b->c, ref, 0, 6) &&
	               order_load(&e->journaled) == 5,
	       "not that of another incarnation (P5)");
	ref.incarnation = 1;
	tap_ok(!wbci_cursor_move(x.b->c, ref, 2, 6), "nor of a cell that is "
	                                             "not there");
	ref.offset = s->size - 64;
	tap_ok(!wbci_cursor_move(x.b->c, ref, 0, 6), "nor outside of the "
	                                             "extents (P7)");
	end(&x);
}

/* Adders in threads or processes, and rounds all the time. */
enum { ADDERS = 3, ADDER_KEYS = 100, ROUNDS = 400 };
struct adder {
	const struct rig *rig;
	unsigned number;
	bool fenced;
	uint64_t *sums;   /* what each key got of it */
	uint64_t *halves; /* and all together, in doubles */
	order_u32 *stop;
};

static int add_much(void *arg)
{
	struct adder *a = arg;
	struct wbci_client *c =
		a->fenced ? rig_fenced(a->rig) : rig_client(a->rig);
	struct wbci_thread *t = rig_thread(c);

	for (unsigned i = 0; !order_acquire(a->stop); i++) {
		unsigned n = (i * 7 + a->number * 11) % ADDER_KEYS;

		if (i % 5 == 0) {
			if (add_double(t, n, 0.5))
				return 1;
			++*a->halves;
		}
		if (add(t, n, 1 + i % 3))
			return 1;
		a->sums[n] += 1 + i % 3;
		/* As if detached: a client that comes and goes. */
		if (i % 1000 == 0) {
			wbci_thread_end(c);
			t = rig_thread(c);
		}
	}
	wbci_client_close(&c);
	return 0;
}

static void *add_thread(void *arg)
{
	return add_much(arg) ? arg : NULL;
}

static void test_together(bool processes)
{
	struct test x = begin(4);
	uint64_t *shared =
		rig_shared((ADDERS * (ADDER_KEYS + 1) + 1) * sizeof(*shared));
	uint64_t *halves = shared + ADDERS * ADDER_KEYS;
	order_u32 *stop = (order_u32 *)(void *)(halves + ADDERS);
	struct adder adders[ADDERS];
	pthread_t threads[ADDERS];
	pid_t pids[ADDERS];
	unsigned wrong = 0, failed = 0;
	double brought = 0, added = 0;

	for (unsigned i = 0; i < ADDERS; i++) {
		adders[i] = (struct adder){&x.rig,     i,
		                           i == 1,     shared + i * ADDER_KEYS,
		                           halves + i, stop};
		if (processes)
			pids[i] = rig_fork(add_much, &adders[i]);
		else
			threads[i] = rig_start(add_thread, &adders[i]);
	}
	for (unsigned rounds = 0; rounds < ROUNDS || x.b->visits < ROUNDS;
	     rounds++) {
		failed += run_round(x.b) != 0;
		/* A flusher dies now and then. */
		if (rounds % 50 == 49)
			restart(x.b);
		if (rounds % 64 == 63)
			sched_yield();
	}
	order_release(stop, 1);
	for (unsigned i = 0; i < ADDERS; i++) {
		void *bad = NULL;

		if (processes)
			failed += rig_wait(pids[i]) != 0;
		else if (!pthread_join(threads[i], &bad))
			failed += bad != NULL;
		added += (double)halves[i] / 2;
	}
	run_round(x.b);
	tap_diag("%u visits", x.b->visits);
	tap_is_uint(failed, 0, "no add and no round fails");
	for (unsigned n = 0; n < ADDER_KEYS; n++) {
		uint64_t sum = 0;

		for (unsigned i = 0; i < ADDERS; i++)
			sum += shared[i * ADDER_KEYS + n];
		wrong += x.b->sum[n] != sum;
		brought += x.b->doubles[n];
	}
	tap_is_uint(wrong, 0,
	            "%s that add while rounds are made, by flushers "
	            "that die and start, are collected exactly "
	            "(P5)",
	            processes ? "processes" : "threads");
	tap_is_double(brought, added, "and so are doubles");
	munmap(shared, (ADDERS * (ADDER_KEYS + 1) + 1) * sizeof(*shared));
	end(&x);
}

/*
 * Every add that is complete before wbci_want() is in a round below what that
 * returned.  The adder says so in its own time; the flusher looks.
 */
enum { WANTS = 3000 };
struct promise {
	const struct rig *rig;
	order_u64 want[WANTS]; /* of key n; 0: not yet */
	order_u64 seen[WANTS]; /* round that brought key n */
	order_u32 done;
};

static int want_thread_run(struct promise *p)
{
	struct wbci_client *c = rig_client(p->rig);
	struct wbci_thread *t = rig_thread(c);

	for (unsigned n = 0; n < WANTS; n++) {
		if (add(t, n, 1))
			return 1;
		order_release(&p->want[n],
		              wbci_want(c, &c->segment.control->sync_want));
	}
	wbci_client_close(&c);
	order_add_seq(&p->done, 1);
	return 0;
}

static void *want_thread(void *arg)
{
	return want_thread_run(arg) ? arg : NULL;
}

/* Which round brought each key, looking from outside. */
static void note_rounds(struct book *b, struct promise *p)
{
	for (unsigned n = 0; n < WANTS; n++) {
		if (b->sum[n] && !order_load(&p->seen[n]))
			order_store(&p->seen[n], b->rounds.cycle);
	}
}

static void test_want(void)
{
	struct test x = begin(4);
	struct promise *p = calloc(1, sizeof(*p));
	void *bad = NULL;
	pthread_t thread;
	unsigned late = 0;

	if (!p)
		tap_bail("no memory");
	p->rig = &x.rig;
	thread = rig_start(want_thread, p);
	while (!order_acquire(&p->done)) {
		run_round(x.b);
		note_rounds(x.b, p);
	}
	pthread_join(thread, &bad);
	run_round(x.b);
	note_rounds(x.b, p);
	for (unsigned n = 0; n < WANTS; n++)
		late += !order_load(&p->seen[n]) ||
		        order_load(&p->seen[n]) >= order_load(&p->want[n]);
	tap_ok(!bad && late == 0, "an add that is complete before a sync is "
	                          "asked for is in its round (P4)");
	tap_is_uint(order_load(&x.c->segment.control->sync_want),
	            order_load(&p->want[WANTS - 1]),
	            "the segment says which round is wanted");
	free(p);
	end(&x);
}

/* A client that is stopped in a section. */
struct stopped {
	const struct rig *rig;
	int tell;
};

static int stop_inside(void *arg)
{
	struct stopped *s = arg;
	struct wbci_client *c = rig_client(s->rig);
	struct wbci_thread *t = rig_thread(c);
	struct entry_shm *e = open_entry(t, 1);

	wbci_mark(t, e);
	rig_tell(s->tell);
	raise(SIGSTOP);
	order_add_relaxed(wbci_entry_total(e, 0), 100);
	wbci_exit(t);
	rig_tell(s->tell);
	/* The parent ends us, in its own time. */
	for (;;)
		pause();
	return 0;
}

static void wait_stopped(pid_t pid)
{
	int status;

	if (waitpid(pid, &status, WUNTRACED) != pid || !WIFSTOPPED(status))
		tap_bail("the child does not stop");
}

/* Is entry 1 among what later rounds read once more? */
static bool is_kept(struct test *x)
{
	const struct wbci_segment *s = &x->c->segment;
	struct entry_shm *e = open_entry(x->t, 1);
	unsigned page = page_of(x, e), bit;

	wbci_exit(x->t);
	bit = (unsigned)((uint64_t)((unsigned char *)e - s->base) %
	                 WBCI_PAGE_BYTES) /
	      wbci_class_bytes[wbci_page_class(order_load(&s->words[page]))];
	for (struct wbci_taken *set = x->b->rounds.kept; set; set = set->next) {
		for (uint32_t i = 0; i < set->n; i++) {
			if (set->pages[i].page == page &&
			    set->pages[i].bits[bit / 64] >> bit % 64 & 1)
				return true;
		}
	}
	return false;
}

static void test_stopped(void)
{
	struct test x = begin(2);
	struct stopped s = {.rig = &x.rig};
	unsigned in_section = 0, wrong = 0;
	int fd[2];
	pid_t pid;

	if (pipe(fd))
		tap_bail("pipe");
	s.tell = fd[1];
	add(x.t, 1, 1);
	settle(&x);
	pid = rig_fork(stop_inside, &s);
	rig_hear(fd[0]);
	wait_stopped(pid);
	for (unsigned i = 0; i < 20; i++) {
		add(x.t, 2, 1);
		run_round(x.b);
		wrong += x.b->sum[2] != i + 1;
	}
	tap_is_uint(wrong, 0,
	            "a client stopped inside a section delays no "
	            "round (P2)");
	tap_is_uint(x.b->sum[1], 1, "its change is not made yet");
	kill(pid, SIGCONT);
	rig_hear(fd[0]);
	run_round(x.b);
	tap_is_uint(x.b->sum[1], 101, "when it goes on, its change is found");
	rig_kill(pid);

	/* And one that is killed there. */
	pid = rig_fork(stop_inside, &s);
	rig_hear(fd[0]);
	wait_stopped(pid);
	rig_kill(pid);
	for (unsigned i = 0; i < 5; i++)
		run_round(x.b);
	tap_is_uint(x.b->sum[1], 101,
	            "one that is killed before its change "
	            "made none");
	tap_ok(is_kept(&x), "what it has marked is kept meanwhile");
	wbci_reap(&x.b->c->segment, &in_section);
	for (unsigned i = 0; i < 5; i++)
		run_round(x.b);
	tap_ok(in_section == 1 && !is_kept(&x), "until it was reaped (P6)");
	close(fd[0]);
	close(fd[1]);
	end(&x);
}

#if STEP_WORKS
/*
 * A client adds to an entry of its own, and asks for a sync, after each
 * instruction of a whole round.
 */
struct meeting {
	struct wbci_thread *t;
	unsigned n;
	uint64_t want[BOOK_KEYS];
	bool failed;
};

static void add_and_want(void *arg)
{
	struct meeting *m = arg;

	if (m->n == BOOK_KEYS) {
		step.enough = true;
		return;
	}
	m->failed |= add(m->t, m->n, 1) != 0;
	m->want[m->n] = wbci_want(m->t->client,
	                          &m->t->client->segment.control->sync_want);
	m->n++;
}

static void whole_round(void *arg)
{
	run_round(arg);
}

/* The rounds that brought what was added; all keys had 1 before. */
static void note_brought(const struct book *b, uint64_t brought[BOOK_KEYS])
{
	for (unsigned n = 0; n < BOOK_KEYS; n++) {
		if (b->sum[n] > 1 && !brought[n])
			brought[n] = b->rounds.cycle;
	}
}

static void test_each_instruction(void)
{
	static struct meeting m;
	static uint64_t brought[BOOK_KEYS];
	struct test x = begin(8);
	unsigned late = 0, lost = 0;
	unsigned long steps = 0;

	m.t = x.t;
	for (unsigned n = 0; n < BOOK_KEYS; n++)
		add(x.t, n, 1);
	settle(&x);
	while (m.n < BOOK_KEYS) {
		rig_thread(x.b->c);
		steps += step_each(whole_round, x.b, add_and_want, &m);
		note_brought(x.b, brought);
	}
	for (unsigned i = 0; i < 3; i++) {
		run_round(x.b);
		note_brought(x.b, brought);
	}
	for (unsigned n = 0; n < BOOK_KEYS; n++) {
		lost += x.b->sum[n] != 2;
		late += brought[n] >= m.want[n];
	}
	tap_diag("%u adds, %lu instructions", m.n, steps);
	tap_ok(!m.failed && lost == 0,
	       "an add at any instruction of a round is collected once (P5)");
	tap_is_uint(late, 0,
	            "and in the round that a sync asked for then "
	            "waits for (P4)");
	end(&x);
}

/*
 * The other way round: a whole round between any two instructions of an add,
 * of an entry that was marked in this cycle, or was not.
 */
static void add_to_one(void *arg)
{
	struct test *x = arg;

	add(x->t, 1, 1);
}

static void test_each_instruction_of_an_add(void)
{
	static const char *const what[] = {"the first", "another"};

	for (unsigned marked = 0; marked < 2; marked++) {
		struct test x = begin(2);
		bool met = true;
		unsigned lost = 0;
		unsigned long at;

		add(x.t, 1, 1);
		settle(&x);
		for (at = 1; met; at += 2 * STEP_STRIDE) {
			uint64_t before;

			run_round(x.b);
			if (marked)
				add(x.t, 1, 1);
			before = x.b->sum[1] + marked;
			rig_thread(x.b->c);
			met = step_once(add_to_one, &x, whole_round, x.b, at);
			/* This one may be what the add is kept for. */
			run_round(x.b);
			lost += x.b->sum[1] != before + 1;
		}
		tap_is_uint(
			lost, 0,
			"a round at every other instruction of %s add in a cycle "
			"loses nothing (P3)",
			what[marked]);
		tap_diag("%lu instructions", at);
		end(&x);
	}
}

/*
 * Somebody meets a round in which an entry was marked a moment ago, comes
 * back when it is forgotten, finds it marked in his cycle or marks it, and
 * adds only after yet another round.
 */
struct comeback {
	struct test *x;
	struct wbci_thread *late;
	struct entry_shm *e; /* in the late one's section */
};

static void add_at_once(void *arg)
{
	struct comeback *c = arg;

	add(c->x->t, 1, 10);
}

static void enter_and_mark(void *arg)
{
	struct comeback *c = arg;

	c->e = open_entry(c->late, 1);
	wbci_mark(c->late, c->e);
}

static void begin_a_round(void *arg)
{
	wbci_round_begin(&((struct test *)arg)->b->rounds);
}

/* Somebody adds at an instruction of a round, somebody else much later. */
static unsigned mark_at(struct comeback *c, unsigned long at, bool *met)
{
	struct book *b = c->x->b;

	*met = step_once(begin_a_round, c->x, add_at_once, c, at);
	wbci_round_read(&b->rounds, visit, b);
	wbci_round_end(&b->rounds);
	rig_advance(b->c, 3);
	enter_and_mark(c);
	run_round(b);
	order_add_relaxed(wbci_entry_total(c->e, 0), 100);
	wbci_exit(c->late);
	run_round(b);
	return b->sum[1] != order_load(&c->e->total);
}

/* The epoch moves on, and then somebody enters. */
static void advance_and_enter(void *arg)
{
	struct comeback *c = arg;

	wbci_epoch_advance(c->late->client);
	enter_and_mark(c);
}

/* Somebody enters and marks at an instruction of a round, and adds later. */
static unsigned hook_at(struct comeback *c, void (*hook)(void *),
                        unsigned long at, bool *met)
{
	struct book *b = c->x->b;

	/* Now and then it finds the entry marked already. */
	if (at % 2)
		add(c->x->t, 1, 1);
	*met = step_once(begin_a_round, c->x, hook, c, at);
	if (!*met)
		enter_and_mark(c);
	wbci_round_read(&b->rounds, visit, b);
	wbci_round_end(&b->rounds);
	for (unsigned i = 0; i < 3; i++)
		run_round(b);
	order_add_relaxed(wbci_entry_total(c->e, 0), 100);
	wbci_exit(c->late);
	run_round(b);
	return b->sum[1] != order_load(&c->e->total);
}

static unsigned enter_at(struct comeback *c, unsigned long at, bool *met)
{
	return hook_at(c, enter_and_mark, at, met);
}

static unsigned advance_at(struct comeback *c, unsigned long at, bool *met)
{
	return hook_at(c, advance_and_enter, at, met);
}

/* After how many instructions a round moves the cycle on. */
struct bump {
	struct test *x;
	uint64_t cycle;
	unsigned long at;
};

static void see_bump(void *arg)
{
	struct bump *b = arg;

	if (order_load(&b->x->c->segment.control->cycle) == b->cycle)
		return;
	b->at = step.count;
	step.enough = true;
}

static unsigned long find_bump(struct test *x)
{
	struct bump b = {x, order_load(&x->c->segment.control->cycle), 0};

	rig_thread(x->b->c);
	step_each(begin_a_round, x, see_bump, &b);
	return b.at;
}

/* So many instructions before it, and after it, are of interest: from before
 * the bits are taken until after they were looked at again. */
#define BEFORE (450 * STEP_STRIDE)
#define AFTER (150 * STEP_STRIDE)

static void test_comebacks(void)
{
	static const struct {
		unsigned (*meet)(struct comeback *c, unsigned long at,
		                 bool *met);
		const char *what;
	} kinds[] = {{mark_at, "marked"},
	             {enter_at, "opened and marked"},
	             {advance_at, "opened in a new epoch and marked"}};

	for (size_t i = 0; i < N(kinds); i++) {
		struct test x = begin(2);
		struct wbci_client *late = rig_client(&x.rig);
		struct comeback c = {.x = &x, .late = rig_thread(late)};
		unsigned long bump, at;
		unsigned lost = 0;
		bool met = true;

		add(x.t, 1, 1);
		settle(&x);
		bump = find_bump(&x);
		at = bump > BEFORE ? bump - BEFORE : 1;
		for (; met && at < bump + AFTER; at += 5 * STEP_STRIDE) {
			settle(&x);
			rig_thread(x.b->c);
			lost += kinds[i].meet(&c, at, &met);
		}
		tap_is_uint(lost, 0,
		            "an entry %s about when a round moves the cycle "
		            "on, and changed rounds later, is found (P3)",
		            kinds[i].what);
		wbci_client_close(&late);
		end(&x);
	}
}

/*
 * A client is killed at each instruction of its first add in a cycle.  What
 * it added is collected, and so is what the next one adds in the same cycle.
 */
static void test_killed(void)
{
	unsigned lost = 0, torn = 0;

	for (unsigned next = 0; next < 2; next++) {
		struct test x = begin(2);
		struct wbci_client *other = rig_client(&x.rig);
		struct wbci_thread *second = rig_thread(other);
		bool killed = true;
		struct entry_shm *e;

		add(x.t, 1, 1);
		e = open_entry(x.t, 1);
		wbci_exit(x.t);
		for (unsigned long at = 1; killed; at += 3 * STEP_STRIDE) {
			settle(&x);
			killed = step_until(add_to_one, &x, at);
			if (next)
				add(second, 1, 1);
			/* As the reaper does. */
			order_release(x.t->epoch, 0);
			run_round(x.b);
			if (next)
				lost += x.b->sum[1] != order_load(&e->total);
			else
				torn += x.b->sum[1] != order_load(&e->total);
		}
		wbci_client_close(&other);
		end(&x);
	}
	tap_is_uint(torn, 0,
	            "what a client did before it was killed, at any "
	            "instruction of an add, is collected");
	tap_is_uint(lost, 0, "and what others add to the entry then (P3)");
}

/*
 * An extent is committed, and an entry made in it, after each instruction of
 * a round's beginning.
 */
struct growth {
	struct test *x;
	unsigned n;
	uint64_t want;
};

static void grow_and_add(void *arg)
{
	struct growth *g = arg;
	struct wbci_thread *t = g->x->t;
	const struct wbci_segment *s = &t->client->segment;
	uint64_t offset;

	/* Up to 64 pages: the next one is in another word of the summary. */
	while (wbci_committed(s) < 3)
		wbci_segment_grow(s, wbci_committed(s));
	wbci_enter(t);
	while (order_load(&s->words[63]) == 0 &&
	       !wbci_block_alloc(t, PAGE_BLOCKS, WBCI_BLOCK_LARGEST, &offset))
		;
	wbci_exit(t);
	t->page[PAGE_ENTRIES - 1][wbci_class_of(sizeof(struct entry_shm) +
	                                        sizeof(struct cell_shm))] = 0;
	wbci_page_release(s, t->slot);
	/* Pages with room are left out: a fresh one is needed. */
	for (uint32_t page = 0; page < 64; page++)
		order_or(&s->words[page], UINT64_C(4095) << 12);
	add(t, g->n, 1);
	g->want = wbci_want(t->client, &s->control->sync_want);
}

static void test_growth_meets_a_round(void)
{
	unsigned late = 0, beyond = 0;
	unsigned long at;
	bool met = true;

	for (at = 1; met; at += 97 * STEP_STRIDE) {
		struct test x = begin(4);
		struct growth g = {.x = &x, .n = 5};
		struct entry_shm *e;
		uint64_t round = 0;

		add(x.t, 1, 1);
		settle(&x);
		rig_thread(x.b->c);
		met = step_once(whole_round, x.b, grow_and_add, &g, at);
		for (unsigned i = 0; i < 3 && !round; i++) {
			if (x.b->sum[5])
				round = x.b->rounds.cycle;
			else
				run_round(x.b);
		}
		if (met) {
			e = open_entry(x.t, 5);
			wbci_exit(x.t);
			beyond += page_of(&x, e) >= 64;
			late += !round || round >= g.want;
		}
		end(&x);
	}
	tap_ok(beyond > 2, "a segment that grows meets a round at any place");
	tap_is_uint(late, 0,
	            "what stands in the new extent is in the round "
	            "that it belongs to (P4)");
	tap_diag("%lu instructions", at);
}
#else
static void test_each_instruction(void)
{
	tap_skip(2, STEP_WHY_NOT);
}

static void test_each_instruction_of_an_add(void)
{
	tap_skip(2, STEP_WHY_NOT);
}

static void test_comebacks(void)
{
	tap_skip(3, STEP_WHY_NOT);
}

static void test_killed(void)
{
	tap_skip(2, STEP_WHY_NOT);
}

static void test_growth_meets_a_round(void)
{
	tap_skip(2, STEP_WHY_NOT);
}
#endif

/* Somebody writes where only the flusher does. */
static void test_hostile_cycle(void)
{
	struct test x = begin(2);
	struct control_shm *control = x.c->segment.control;
	uint64_t last;

	add(x.t, 1, 1);
	settle(&x);
	last = x.b->rounds.cycle;
	order_store(&control->cycle, 1);
	add(x.t, 1, 10);
	run_round(x.b);
	tap_ok(x.b->rounds.cycle == last + 1 && x.b->rounds.corrupt == 1 &&
	               order_load(&control->cycle) == last + 2,
	       "a cycle that went back is put right, and counted (P7)");
	order_store(&control->cycle, UINT64_MAX);
	add(x.t, 1, 100);
	run_round(x.b);
	tap_ok(x.b->rounds.cycle == last + 2 && x.b->rounds.corrupt == 2,
	       "so is one at the end of all numbers (P7)");
	tap_is_uint(x.b->sum[1], 111, "and every change is collected");
	order_store(&control->cycle, last + 10);
	run_round(x.b);
	tap_ok(x.b->rounds.cycle == last + 10 && x.b->rounds.corrupt == 2,
	       "one that went ahead a little is well");
	x.b->rounds.least = last + 100;
	run_round(x.b);
	tap_is_uint(x.b->rounds.cycle, last + 100,
	            "no round has a lower number than its caller knows of");
	end(&x);
}

static unsigned count_kept(const struct wbci_rounds *r)
{
	unsigned n = 0;

	for (const struct wbci_taken *set = r->kept; set; set = set->next)
		n++;
	return n;
}

/* G to and fro, so that no grace period ends, and each is another one. */
static void test_hostile_epoch(void)
{
	struct test x = begin(2);
	struct control_shm *control = x.c->segment.control;
	unsigned most = 0;

	settle(&x);
	for (unsigned i = 0; i < 100; i++) {
		order_store(&control->epoch, 1000 - i % 50);
		add(x.t, 1, 1);
		run_round(x.b);
		if (count_kept(&x.b->rounds) > most)
			most = count_kept(&x.b->rounds);
	}
	tap_ok(most <= 16,
	       "an epoch that is moved to and fro makes no heap of what is "
	       "kept: %u sets (P7)",
	       most);
	tap_is_uint(x.b->sum[1], 100, "and every change is collected");
	end(&x);
}

int main(void)
{
	schema = rig_schema(SPEC);
	test_simple();
	test_between();
	test_two_clients();
	test_torn_mark();
	test_abandoned();
	test_restart();
	test_new_extents();
	test_hostile();
	test_hostile_cycle();
	test_hostile_epoch();
	test_cursor();
	test_stopped();
	test_together(true);
	test_together(false);
	test_want();
	test_each_instruction();
	test_each_instruction_of_an_add();
	test_comebacks();
	test_killed();
	test_growth_meets_a_round();
	return tap_done();
}
