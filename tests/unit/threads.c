/* SPDX-License-Identifier: MIT */
/* Copyright the wbcshm authors */

/*
 * Several "processes" as threads, each with a handle of its own, and one that
 * plays the flusher: rounds, lanes, removal of entries, epochs, reaping.
 *
 * This is meant for ThreadSanitizer.  In its build all handles share one
 * mapping, and read-modify-writes stand in for fences, so whatever is not
 * ordered by an atomic is a data race that it reports.
 */
#include <sched.h>

#include "shm/cell.h"
#include "shm/lane.h"
#include "shm/round.h"
#include "shm/table.h"
#include "shm/wake.h"
#include "unit/dice.h"
#include "unit/rig.h"

#define SPEC "t(k text key, n counter, d double counter, note text)"

enum { CLIENTS = 4, KEYS = 40, LANE = 16384, COLUMN_N = 1, COLUMN_D = 2 };

#ifdef WBC_TSAN
enum { TURNS = 100, ADDS = 600, RACES = 5000 };
#else
enum { TURNS = 40, ADDS = 1500, RACES = 10000 };
#endif

struct client {
	const struct rig *rig;
	unsigned number;
	order_u32 *running;
	int64_t n[KEYS];
	double d[KEYS];
	unsigned inserted;
	unsigned failed;
};

/* What the flusher found, by key. */
struct ledger {
	struct wbci_client *c;
	struct wbci_rounds rounds;
	unsigned char *lane;
	int64_t n[KEYS];
	double d[KEYS];
	unsigned rows;
	unsigned removed;
	unsigned bad;
};

static struct wbc_value key_value(unsigned key, char text[64])
{
	/* Every other one is too long for an entry's first line. */
	int bytes = snprintf(text, 64, key % 2 ? "%u" : "%u-%030u", key, 0u);

	return wbc_text("k", text, (uint32_t)bytes);
}

static void insert_row(struct client *c, struct wbc_table *t, unsigned key)
{
	char text[64];
	struct wbc_value row[2] = {key_value(key, text),
	                           wbc_text("note", "a note", 6)};
	int error = wbc_insert(t, row, 2, -1);

	c->failed += error != 0;
	c->inserted += !error;
}

static void add_by_key(struct client *c, struct wbc_table *t, unsigned key,
                       int64_t delta)
{
	char text[64];
	struct wbc_value row = key_value(key, text);

	if (wbc_add_int64(t, &row, 1, COLUMN_N, delta))
		c->failed++;
	else
		c->n[key] += delta;
	if (delta % 4)
		return;
	if (wbc_add_double(t, &row, 1, COLUMN_D, 0.5))
		c->failed++;
	else
		c->d[key] += 0.5;
}

static void add_by_handle(struct client *c, struct wbc_counter *counter,
                          unsigned key, int64_t delta)
{
	if (wbc_counter_add(counter, delta))
		c->failed++;
	else
		c->n[key] += delta;
}

/* Reads whatever is there: it must be a value or unknown. */
static void read_by_key(struct client *c, struct wbc_table *t, unsigned key)
{
	char text[64];
	struct wbc_value row = key_value(key, text);
	int64_t value;
	int error = wbc_read_int64(t, &row, 1, COLUMN_N, &value);

	c->failed += error != 0 && error != WBC_E_UNKNOWN;
}

/* A second thread of a client, which shares its handle and counters. */
struct helper {
	struct wbc_counter **counters;
	int64_t n[KEYS];
	unsigned failed;
};

static void *help(void *arg)
{
	struct helper *h = arg;
	int64_t value;

	for (unsigned i = 0; i < ADDS; i++) {
		unsigned key = i * 4 % KEYS;
		int error = wbc_counter_read(h->counters[key / 4], &value);

		h->failed += error != 0 && error != WBC_E_UNKNOWN;
		if (wbc_counter_add(h->counters[key / 4], 1))
			h->failed++;
		else
			h->n[key]++;
	}
	return NULL;
}

/* One life of a client: it attaches, works, and goes. */
static void live(struct client *me, struct dice *d)
{
	struct helper helper = {.failed = 0};
	pthread_t thread;
	struct wbc *c = rig_open(me->rig);
	struct wbc_table *t = rig_table(c, SPEC);
	struct wbc_counter *counters[KEYS / 4];
	char spec[64], text[64];

	snprintf(spec, sizeof(spec), "u%u(k int key, n counter)",
	         dice_below(d, 20));
	rig_table(c, spec);
	for (unsigned i = 0; i < KEYS / 4; i++) {
		struct wbc_value row = key_value(i * 4, text);

		if (wbc_counter_open(t, &row, 1, COLUMN_N, &counters[i]))
			tap_bail("no handle");
	}
	helper.counters = counters;
	thread = rig_start(help, &helper);
	for (unsigned i = 0; i < ADDS; i++) {
		unsigned key = dice_below(d, KEYS);
		int64_t delta = dice_below(d, 100);

		if (i % 16 == 0)
			insert_row(me, t, key);
		if (i % 16 == 1)
			read_by_key(me, t, key);
		if (key % 4 == 0)
			add_by_handle(me, counters[key / 4], key, delta);
		else
			add_by_key(me, t, key, delta);
	}
	pthread_join(thread, NULL);
	me->failed += helper.failed;
	for (unsigned key = 0; key < KEYS; key++)
		me->n[key] += helper.n[key];
	wbc_close(&c);
}

static void *run_client(void *arg)
{
	struct client *me = arg;
	struct dice d = {me->number + 1};

	for (unsigned i = 0; i < TURNS; i++)
		live(me, &d);
	order_add_seq(me->running, (uint32_t)-1);
	return NULL;
}

/* The number at the beginning of a key; KEYS if it is of another table. */
static unsigned number_of(const struct wbci_seen *seen)
{
	unsigned n = 0;

	if (seen->table != 0)
		return KEYS;
	for (unsigned i = 0; i < seen->key_len && seen->key[i] != '-'; i++)
		n = n * 10 + seen->key[i] - '0';
	return n;
}

static int collect(void *arg, const struct wbci_seen *seen)
{
	struct ledger *l = arg;
	unsigned n = number_of(seen);

	if (n >= KEYS || seen->n_cells != 2) {
		l->bad++;
		return 0;
	}
	l->n[n] += (int64_t)(seen->total[0] - seen->journaled[0]);
	l->d[n] += wbci_double_of(seen->total[1]) -
	           wbci_double_of(seen->journaled[1]);
	for (unsigned i = 0; i < 2; i++)
		l->bad += !wbci_cursor_move(l->c, seen->ref, i, seen->total[i]);
	return 0;
}

static void collect_lanes(struct ledger *l)
{
	const struct wbci_segment *s = &l->c->segment;

	for (uint32_t slot = 0; slot < s->geo.n_threads; slot++) {
		uint64_t head, tail, at = 0;
		int64_t bytes = wbci_lane_read(s, slot, l->lane, &head, &tail);

		l->bad += bytes < 0;
		while (bytes > 0 && at < (uint64_t)bytes) {
			struct record_shm record;

			memcpy(&record, l->lane + at, sizeof(record));
			l->bad += record.n_values != 2;
			l->rows++;
			at += record.bytes;
		}
		wbci_lane_move(s, slot, tail);
	}
	wbci_lane_event(s);
}

/* An entry on its way out: FROZEN, until a grace period has ended. */
struct leaving {
	uint64_t offset;
	uint64_t word; /* while FROZEN */
	uint64_t grace;
	unsigned key;
};

static void freeze(struct ledger *l, struct leaving *x, unsigned key,
                   struct wbci_key *k)
{
	struct wbci_thread *t = rig_thread(l->c);
	struct entry_shm *e;
	uint64_t word;

	x->offset = 0;
	if (wbci_entry_find(t, k, &e, &x->offset)) {
		x->offset = 0;
		return;
	}
	word = order_acquire(&e->word);
	x->word = wbci_entry_word(word >> 4, ENTRY_FROZEN);
	if ((word & 15) != ENTRY_LIVE || !order_cas(&e->word, &word, x->word))
		x->offset = 0;
	wbci_exit(t);
	x->grace = wbci_epoch_grace(l->c);
	x->key = key;
}

/* Nothing changed it while it was frozen, and all of it is journaled. */
static void bury(struct ledger *l, struct leaving *x, struct wbci_key *k)
{
	struct wbci_thread *t = rig_thread(l->c);
	struct entry_shm *e = wbci_at(&l->c->segment, x->offset);
	uint64_t word = x->word;
	unsigned state = ENTRY_DEAD;

	wbci_enter(t);
	for (unsigned i = 0; i < 2; i++) {
		if (order_acquire(wbci_entry_total(e, i)) !=
		    order_load(wbci_entry_journaled(e, i)))
			state = ENTRY_LIVE;
	}
	if (order_cas(&e->word, &word,
	              wbci_entry_word(word >> 4, (enum entry_state)state)) &&
	    state == ENTRY_DEAD) {
		if (wbci_index_unlink(t, k, x->offset) < 0)
			l->bad++;
		wbci_block_retire(t, x->offset);
		l->removed++;
	}
	wbci_exit(t);
	x->offset = 0;
}

/* Remove one entry after the other, as they come. */
static void remove_some(struct ledger *l, struct leaving *x, unsigned turn)
{
	char text[64];
	struct wbc_value v;
	struct wbci_key k;

	if (x->offset && !wbci_epoch_passed(l->c, x->grace))
		return;
	v = key_value(x->offset ? x->key : turn % KEYS, text);
	k = rig_key(&l->c->segment, text, v.bytes);
	if (x->offset)
		bury(l, x, &k);
	else
		freeze(l, x, turn % KEYS, &k);
}

static int run_round(struct ledger *l)
{
	int error = wbci_round_begin(&l->rounds);

	if (!error)
		error = wbci_round_read(&l->rounds, collect, l);
	if (error)
		return error;
	collect_lanes(l);
	wbci_round_end(&l->rounds);
	return 0;
}

static void serve(struct ledger *l, order_u32 *running)
{
	struct leaving leaving = {0};

	for (unsigned turn = 0; order_acquire(running); turn++) {
		unsigned in_section = 0;

		l->bad += run_round(l) != 0;
		for (unsigned i = 0; i < 4; i++) {
			remove_some(l, &leaving, turn * 4 + i);
			wbci_epoch_advance(l->c);
		}
		if (turn % 32 == 0)
			l->bad += wbci_reap(&l->c->segment, &in_section) != 0;
		if (turn % 64 == 63) {
			wbci_rounds_free(&l->rounds);
			wbci_rounds_init(&l->rounds, l->c);
		}
		order_release(&l->c->segment.control->synced,
		              l->rounds.cycle + 1);
		wbci_event(&l->c->segment);
	}
	l->bad += run_round(l) != 0;
}

static void check(const struct client *clients, const struct ledger *l)
{
	unsigned wrong_n = 0, wrong_d = 0, rows = 0, failed = 0;

	for (unsigned key = 0; key < KEYS; key++) {
		int64_t n = 0;
		double d = 0;

		for (unsigned i = 0; i < CLIENTS; i++) {
			n += clients[i].n[key];
			d += clients[i].d[key];
		}
		wrong_n += n != l->n[key];
		wrong_d += d != l->d[key];
	}
	for (unsigned i = 0; i < CLIENTS; i++) {
		rows += clients[i].inserted;
		failed += clients[i].failed;
	}
	tap_is_uint(failed, 0, "no call of a client fails");
	tap_is_uint(l->bad, 0, "the flusher finds nothing odd");
	tap_is_uint(l->rounds.corrupt, 0, "and nothing corrupt");
	tap_is_uint(wrong_n, 0,
	            "sums are exact though entries come and go, "
	            "and clients with them (P3)");
	tap_is_uint(wrong_d, 0, "so are those of doubles");
	tap_is_uint(l->rows, rows, "each inserted row is found once (P3)");
	tap_ok(l->removed > 100, "many entries were removed on the way");
	tap_diag("%u rows, %u removed", rows, l->removed);
}

/*
 * Clients that make the same entries at once, while somebody looks at every
 * block as it is made, as the first round of a flusher may: it must not see
 * one change that was not linked in.
 */
enum { RACERS = 2 };
struct racers {
	const struct rig *rig;
	const struct wbci_schema *schema;
	order_u32 ready; /* how often one of them was ready for a race */
	order_u32 failed;
};

static void *run_racer(void *arg)
{
	struct racers *r = arg;
	struct wbci_client *c = rig_client(r->rig);
	struct wbci_thread *t = rig_thread(c);

	for (unsigned i = 0; i < RACES; i++) {
		struct wbci_key k = rig_key(&c->segment, &i, sizeof(i));
		struct entry_shm *e;
		uint64_t offset;

		order_add_seq(&r->ready, 1);
		for (unsigned spins = 0;
		     order_acquire(&r->ready) < RACERS * (i + 1); spins++) {
			if (spins > 500)
				sched_yield();
		}
		if (wbci_entry_open(t, &k, r->schema, &e, &offset))
			order_add_seq(&r->failed, 1);
		else
			wbci_exit(t);
	}
	wbci_client_close(&c);
	return NULL;
}

/* The last block that is allocated in a page; 0 also if none is. */
static unsigned last_block(const struct wbci_segment *s, uint32_t page)
{
	for (unsigned w = WBCI_BITMAP_WORDS; w-- > 0;) {
		uint64_t alloc = order_acquire(&s->metas[page].alloc[w]);

		if (alloc)
			return w * 64 + 63 - (unsigned)__builtin_clzll(alloc);
	}
	return 0;
}

/* How many of the newest entries have anything added to them? */
static unsigned look_at_newest(struct wbci_thread *t)
{
	const struct wbci_segment *s = &t->client->segment;
	uint32_t n = wbci_committed(s) * WBCI_PAGES_PER_EXTENT;
	struct wbci_seen seen;
	unsigned changed = 0;

	for (uint32_t page = 0; page < n; page++) {
		if (wbci_page_kind(order_acquire(&s->words[page])) !=
		    PAGE_ENTRIES)
			continue;
		wbci_enter(t);
		changed += wbci_seen_changed(s, page, last_block(s, page),
		                             &seen) != 0;
		wbci_exit(t);
	}
	return changed;
}

static void race(void)
{
	struct rig rig = rig_make(
		&(struct wbci_create){.max_bytes = 4 * WBCI_EXTENT_BYTES,
	                              .capacity = 1,
	                              .procs = RACERS + 2,
	                              .threads = RACERS + 2});
	struct wbci_schema schema = rig_schema("t(k blob key, n counter)");
	struct racers r = {.rig = &rig, .schema = &schema};
	struct wbci_client *c = rig_client(&rig);
	struct wbci_thread *t = rig_thread(c);
	pthread_t threads[RACERS];
	unsigned changed = 0;

	for (unsigned i = 0; i < RACERS; i++)
		threads[i] = rig_start(run_racer, &r);
	while (order_acquire(&r.ready) < RACERS * RACES)
		changed += look_at_newest(t);
	for (unsigned i = 0; i < RACERS; i++)
		pthread_join(threads[i], NULL);
	tap_is_uint(order_load(&r.failed), 0,
	            "several make the same entries at once");
	tap_is_uint(changed, 0,
	            "who looks at them meanwhile finds nothing "
	            "added (P1)");
	wbci_client_close(&c);
	rig_drop(&rig);
}

/*
 * Three who know of each other through the epochs alone, since what tells
 * them that it is their turn orders nothing: one read an entry and left its
 * section for good, one moves the epoch on, one reuses the entry's block.
 */
struct turns {
	const struct rig *rig;
	const struct wbci_schema *schema;
	order_u32 turn; /* relaxed: it orders nothing */
	order_u32 wrong;
};

enum {
	TURN_SET_UP,
	TURN_READ,
	TURN_RETIRE,
	TURN_ADVANCE,
	TURN_REUSE,
	TURN_END
};

static void wait_turn(struct turns *t, uint32_t turn)
{
	while (order_load(&t->turn) < turn)
		sched_yield();
}

static void next_turn(struct turns *t)
{
	order_store(&t->turn, order_load(&t->turn) + 1);
}

static void count_wrong(struct turns *t, bool wrong)
{
	order_add_relaxed(&t->wrong, wrong);
}

static void *read_and_leave(void *arg)
{
	struct turns *x = arg;
	struct wbci_client *c = rig_client(x->rig);
	struct wbci_thread *t = rig_thread(c);
	struct wbci_key k = rig_key(&c->segment, "old", 3);
	struct entry_shm *e;
	uint64_t offset;

	wait_turn(x, TURN_READ);
	count_wrong(x, wbci_entry_find(t, &k, &e, &offset) != 0);
	wbci_exit(t);
	next_turn(x);
	wait_turn(x, TURN_END);
	wbci_client_close(&c);
	return NULL;
}

static void *advance_twice(void *arg)
{
	struct turns *x = arg;
	struct wbci_client *c = rig_client(x->rig);

	wait_turn(x, TURN_ADVANCE);
	rig_advance(c, 2);
	next_turn(x);
	wait_turn(x, TURN_END);
	wbci_client_close(&c);
	return NULL;
}

static void *retire_and_reuse(void *arg)
{
	struct turns *x = arg;
	struct wbci_client *c = rig_client(x->rig);
	struct wbci_thread *t = rig_thread(c);
	struct wbci_key k = rig_key(&c->segment, "old", 3);
	struct wbci_key new = rig_key(&c->segment, "new", 3);
	struct entry_shm *e;
	uint64_t old = 0, offset = 0;

	count_wrong(x, wbci_entry_open(t, &k, x->schema, &e, &old) != 0);
	wbci_exit(t);
	next_turn(x);
	wait_turn(x, TURN_RETIRE);
	wbci_enter(t);
	count_wrong(x, wbci_index_unlink(t, &k, old) != 1);
	wbci_block_retire(t, old);
	wbci_exit(t);
	next_turn(x);
	wait_turn(x, TURN_REUSE);
	wbci_enter(t);
	count_wrong(x,
	            wbci_page_reclaim(t, wbci_page_of(&c->segment, old)) != 1);
	wbci_exit(t);
	count_wrong(x, wbci_entry_open(t, &new, x->schema, &e, &offset) != 0);
	wbci_exit(t);
	count_wrong(x, offset != old);
	next_turn(x);
	wbci_client_close(&c);
	return NULL;
}

static void test_turns(void)
{
	void *(*const run[])(void *) = {read_and_leave, advance_twice,
	                                retire_and_reuse};
	struct wbci_schema schema = rig_schema("t(k blob key, n counter)");
	struct rig rig =
		rig_make(&(struct wbci_create){.max_bytes = WBCI_EXTENT_BYTES,
	                                       .capacity = 1,
	                                       .procs = 4,
	                                       .threads = 4});
	struct turns x = {.rig = &rig, .schema = &schema};
	pthread_t threads[N(run)];

	for (size_t i = 0; i < N(run); i++)
		threads[i] = rig_start(run[i], &x);
	for (size_t i = 0; i < N(run); i++)
		pthread_join(threads[i], NULL);
	tap_is_uint(order_load(&x.wrong), 0,
	            "a block is reused after its readers have "
	            "left, whoever moved the epoch (P6)");
	rig_drop(&rig);
}

/* A lane's room is written again after it was read, and that is all. */
struct lane_turns {
	struct turns turns;
	struct wbc *c;
	struct wbc_table *t;
	unsigned inserted;
};

static void *fill_twice(void *arg)
{
	struct lane_turns *x = arg;
	struct wbc_value row[1] = {wbc_text("k", "key", 3)};

	while (!wbc_insert(x->t, row, 1, 0))
		x->inserted++;
	next_turn(&x->turns);
	wait_turn(&x->turns, TURN_RETIRE);
	while (!wbc_insert(x->t, row, 1, 0))
		x->inserted++;
	return NULL;
}

static void test_lane_turns(void)
{
	struct rig rig =
		rig_make(&(struct wbci_create){.max_bytes = WBCI_EXTENT_BYTES,
	                                       .capacity = 1,
	                                       .procs = 4,
	                                       .threads = 4,
	                                       .lane_bytes = LANE});
	struct lane_turns x = {.c = rig_open(&rig)};
	struct wbci_client *c = rig_client(&rig);
	unsigned char *buffer = aligned_alloc(8, LANE);
	unsigned read = 0;
	pthread_t thread;

	if (!buffer)
		tap_bail("no memory");
	x.t = rig_table(x.c, SPEC);
	thread = rig_start(fill_twice, &x);
	wait_turn(&x.turns, TURN_READ);
	for (uint32_t slot = 0; slot < 4; slot++) {
		uint64_t head, tail;
		int64_t bytes =
			wbci_lane_read(&c->segment, slot, buffer, &head, &tail);

		read += bytes > 0 ? (unsigned)bytes : 0;
		wbci_lane_move(&c->segment, slot, tail);
	}
	next_turn(&x.turns);
	pthread_join(thread, NULL);
	tap_ok(read > LANE / 2 && read == x.inserted / 2 * 24,
	       "a lane's room is used again after it was read, and as much "
	       "of it");
	free(buffer);
	wbci_client_close(&c);
	wbc_close(&x.c);
	rig_drop(&rig);
}

int main(void)
{
	struct rig rig = rig_make(
		&(struct wbci_create){.max_bytes = 8 * WBCI_EXTENT_BYTES,
	                              .capacity = 1,
	                              .procs = CLIENTS + 2,
	                              .threads = 2 * CLIENTS + 2,
	                              .lane_bytes = LANE});
	struct client *clients = calloc(CLIENTS, sizeof(*clients));
	struct ledger *l = calloc(1, sizeof(*l));
	order_u32 running = CLIENTS;
	pthread_t threads[CLIENTS];
	struct wbc *first = rig_open(&rig);

	if (!clients || !l || !(l->lane = aligned_alloc(8, LANE)))
		tap_bail("no memory");
	/* Number 0, whoever is first. */
	rig_table(first, SPEC);
	wbc_close(&first);
	l->c = rig_client(&rig);
	wbci_rounds_init(&l->rounds, l->c);
	for (unsigned i = 0; i < CLIENTS; i++) {
		clients[i].rig = &rig;
		clients[i].number = i;
		clients[i].running = &running;
		threads[i] = rig_start(run_client, &clients[i]);
	}
	serve(l, &running);
	for (unsigned i = 0; i < CLIENTS; i++)
		pthread_join(threads[i], NULL);
	l->bad += run_round(l) != 0;
	check(clients, l);
	race();
	test_turns();
	test_lane_turns();
	wbci_rounds_free(&l->rounds);
	wbci_client_close(&l->c);
	free(l->lane);
	free(l);
	free(clients);
	rig_drop(&rig);
	return tap_done();
}
