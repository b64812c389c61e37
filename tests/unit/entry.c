/* SPDX-License-Identifier: MIT */
/* Copyright the wbcshm authors */

/* Entries: frozen ones revive, dead ones are made anew, handles notice. */
#include "shm/entry.h"

#include "shm/cell.h"
#include "shm/hot.h"
#include "unit/rig.h"
#include "unit/step.h"

#define SPEC "t(k text key, n counter)"

/* A segment, a client of it, and one that plays the flusher. */
struct pair {
	struct rig rig;
	struct wbc *c;
	struct wbc_table *table;
	struct wbci_thread *t; /* the client's */
	struct wbci_client *flusher;
	struct wbci_thread *ft;
	const struct wbci_segment *s; /* the flusher's */
};

static struct pair begin(const char *spec)
{
	struct pair p = {.rig = rig_make(&(struct wbci_create){
				 .max_bytes = 4 * WBCI_EXTENT_BYTES,
				 .capacity = 1,
				 .procs = 4,
				 .threads = 4})};

	p.c = rig_open(&p.rig);
	p.table = rig_table(p.c, spec);
	p.flusher = rig_client(&p.rig);
	p.ft = rig_thread(p.flusher);
	p.t = rig_thread(p.c->client);
	p.s = &p.flusher->segment;
	return p;
}

static void end(struct pair *p)
{
	wbc_close(&p->c);
	wbci_client_close(&p->flusher);
	rig_drop(&p->rig);
}

static struct wbc_value name_of(const char *text)
{
	return wbc_text("k", text, (uint32_t)strlen(text));
}

static int add(struct pair *p, const char *key, int64_t delta)
{
	struct wbc_value v = name_of(key);

	return wbc_add_int64(p->table, &v, 1, 1, delta);
}

/* The entry that the index has under a key, or NULL. */
static struct entry_shm *entry_of(struct pair *p, const char *key)
{
	struct wbci_key k = rig_key(p->s, key, strlen(key));
	int64_t found;

	wbci_enter(p->ft);
	found = wbci_index_find(p->ft, &k);
	wbci_exit(p->ft);
	return found > 0 ? wbci_at(p->s, (uint64_t)found) : NULL;
}

static uint64_t offset_of(const struct pair *p, struct entry_shm *e)
{
	return (uint64_t)((unsigned char *)e - p->s->base);
}

static unsigned state_of(struct entry_shm *e)
{
	return e ? (unsigned)(order_load(&e->word) & 15) : ENTRY_FREE;
}

static uint64_t incarnation_of(struct entry_shm *e)
{
	return order_load(&e->word) >> 4;
}

/* LIVE -> FROZEN, as the flusher begins to remove an entry. */
static void freeze(struct entry_shm *e)
{
	uint64_t word = order_load(&e->word);

	if ((word & 15) == ENTRY_LIVE)
		order_cas(&e->word, &word,
		          wbci_entry_word(word >> 4, ENTRY_FROZEN));
}

/* After the grace period: DEAD if nothing is pending, else LIVE again. */
static bool bury(struct entry_shm *e)
{
	uint64_t word = order_load(&e->word);
	bool pending = order_load(&e->total) != order_load(&e->journaled);

	return (word & 15) == ENTRY_FROZEN &&
	       order_cas(&e->word, &word,
	                 wbci_entry_word(word >> 4,
	                                 pending ? ENTRY_LIVE : ENTRY_DEAD)) &&
	       !pending;
}

/* What was added so far is journaled. */
static void journal(struct entry_shm *e)
{
	order_store(&e->journaled, order_load(&e->total));
}

static void unlink_and_retire(struct pair *p, const char *key,
                              struct entry_shm *e)
{
	struct wbci_key k = rig_key(p->s, key, strlen(key));

	wbci_enter(p->ft);
	wbci_index_unlink(p->ft, &k, offset_of(p, e));
	wbci_block_retire(p->ft, offset_of(p, e));
	wbci_exit(p->ft);
}

/* The whole removal, by the book; the entry was DEAD before it returns. */
static void remove_entry(struct pair *p, const char *key)
{
	struct entry_shm *e = entry_of(p, key);

	journal(e);
	freeze(e);
	rig_advance(p->flusher, 2);
	if (!bury(e))
		tap_bail("the entry does not die");
	unlink_and_retire(p, key, e);
}

static void test_birth(void)
{
	struct pair p = begin(SPEC);
	struct entry_shm *e;

	tap_ok(!entry_of(&p, "a"), "no entry is there at first");
	tap_is_int(add(&p, "a", 5), 0, "an add makes it");
	e = entry_of(&p, "a");
	tap_ok(e && state_of(e) == ENTRY_LIVE && incarnation_of(e) == 1 &&
	               order_load(&e->total) == 5 &&
	               order_load(&e->journaled) == 0 &&
	               order_load(&e->origin) == WBCI_INT64_UNKNOWN,
	       "it is born alive, with nothing but that");
	add(&p, "a", -7);
	tap_ok(entry_of(&p, "a") == e && order_load(&e->total) == -UINT64_C(2),
	       "the next add finds it");
	end(&p);
}

/* All that a client can do to a row by its key or a handle. */
static int by_key(struct pair *p, struct wbc_counter *counter)
{
	(void)counter;
	return add(p, "a", 1);
}

static int by_counter(struct pair *p, struct wbc_counter *counter)
{
	(void)p;
	return wbc_counter_add(counter, 1);
}

static int by_entry(struct pair *p, struct wbc_counter *counter)
{
	struct wbci_key k = rig_key(p->s, "a", 1);
	struct entry_shm *e;
	uint64_t offset, total;
	int error;

	(void)counter;
	error = wbci_entry_open(p->t, &k, &p->table->schema, &e, &offset);
	if (error)
		return error;
	error = wbci_cell_add_int64(p->t, e, 0, 1, &total);
	wbci_exit(p->t);
	return error;
}

static const struct {
	int (*add)(struct pair *p, struct wbc_counter *counter);
	const char *who;
} ways[] = {{by_key, "an add by key"},
            {by_counter, "an add through a handle"},
            {by_entry, "a writer"}};

static void test_frozen(void)
{
	for (size_t i = 0; i < N(ways); i++) {
		struct pair p = begin(SPEC);
		struct wbc_value v = name_of("a");
		struct wbc_counter *counter;
		struct entry_shm *e;
		uint64_t word;

		wbc_counter_open(p.table, &v, 1, 1, &counter);
		ways[i].add(&p, counter);
		e = entry_of(&p, "a");
		word = order_load(&e->word);
		freeze(e);
		tap_is_int(ways[i].add(&p, counter), 0,
		           "%s to a frozen entry succeeds", ways[i].who);
		tap_ok(order_load(&e->word) == word &&
		               order_load(&e->total) == 2,
		       "it is alive again, the same one");
		end(&p);
	}
}

/* A reader takes it as it is. */
static void test_frozen_read(void)
{
	struct pair p = begin(SPEC);
	struct wbc_value v = name_of("a");
	struct entry_shm *e;
	int64_t value = 0;

	add(&p, "a", 3);
	e = entry_of(&p, "a");
	order_store(&e->origin, 100);
	freeze(e);
	tap_ok(wbc_read_int64(p.table, &v, 1, 1, &value) == 0 && value == 103,
	       "a frozen entry can be read");
	tap_is_uint(state_of(e), ENTRY_FROZEN, "and stays frozen");
	order_store(&e->journaled, 2);
	tap_ok(!bury(e) && state_of(e) == ENTRY_LIVE,
	       "one with something pending does not die");
	end(&p);
}

static void test_dead(void)
{
	for (size_t i = 0; i < N(ways); i++) {
		struct pair p = begin(SPEC);
		struct wbc_value v = name_of("a");
		struct wbc_counter *counter;
		struct entry_shm *dead, *e;
		int64_t value;

		wbc_counter_open(p.table, &v, 1, 1, &counter);
		ways[i].add(&p, counter);
		dead = entry_of(&p, "a");
		order_store(&dead->origin, 7);
		journal(dead);
		freeze(dead);
		bury(dead);
		tap_is_int(wbc_read_int64(p.table, &v, 1, 1, &value),
		           WBC_E_UNKNOWN, "a dead entry is not read");
		tap_is_int(ways[i].add(&p, counter), 0,
		           "%s to a dead entry succeeds", ways[i].who);
		e = entry_of(&p, "a");
		tap_ok(e && e != dead && state_of(e) == ENTRY_LIVE &&
		               order_load(&e->total) == 1,
		       "it is unlinked, and another has the addition (P3)");
		tap_ok(state_of(dead) == ENTRY_DEAD &&
		               order_load(&dead->total) == 1,
		       "nothing reached the dead one");
		end(&p);
	}
}

/*
 * The entry of key a is removed and its block becomes key b's.  A handle for
 * a is stale then, and must not reach b.
 */
static void test_stale(void)
{
	struct pair p = begin(SPEC);
	struct wbc_value v = name_of("a");
	struct wbc_counter *counter;
	struct entry_shm *a, *b, *again;
	int64_t value = 0;

	add(&p, "other", 1);
	wbc_counter_open(p.table, &v, 1, 1, &counter);
	wbc_counter_add(counter, 10);
	a = entry_of(&p, "a");
	remove_entry(&p, "a");
	rig_advance(p.flusher, 2);
	/* The page is the client's, so that it turns limbo into room. */
	wbci_enter(p.t);
	tap_is_uint(wbci_page_reclaim(p.t, wbci_page_of(p.s, offset_of(&p, a))),
	            1, "an entry that was removed leaves its block (P6)");
	wbci_exit(p.t);
	add(&p, "b", 1000);
	b = entry_of(&p, "b");
	tap_ok(b == a && incarnation_of(b) == 2,
	       "the block is the next entry's, under a new incarnation");
	tap_is_int(wbc_counter_add(counter, 1), 0,
	           "an add through a stale handle succeeds");
	tap_is_int((int64_t)order_load(&b->total), 1000,
	           "and does not touch what stands in the block now (P6)");
	again = entry_of(&p, "a");
	tap_ok(again && again != b && order_load(&again->total) == 1,
	       "the row was made anew for it (P3)");
	order_store(&again->origin, 40);
	order_store(&b->origin, 9);
	tap_ok(wbc_counter_read(counter, &value) == 0 && value == 41,
	       "a stale handle reads its own row");
	end(&p);
}

static void test_incarnations(void)
{
	struct pair p = begin(SPEC);
	struct entry_shm *first;
	unsigned wrong = 0;

	add(&p, "a", 1);
	first = entry_of(&p, "a");
	for (unsigned i = 1; i <= 200; i++) {
		struct entry_shm *e = entry_of(&p, "a");

		wrong += e != first || incarnation_of(e) != i;
		remove_entry(&p, "a");
		rig_advance(p.flusher, 2);
		wbci_enter(p.t);
		wbci_page_reclaim(p.t, wbci_page_of(p.s, offset_of(&p, e)));
		wbci_exit(p.t);
		add(&p, "a", 1);
	}
	tap_is_uint(wrong, 0,
	            "the incarnation of a block grows with every "
	            "entry in it (P6)");
	end(&p);
}

static void test_keys(void)
{
	static const uint16_t lengths[] = {0,  1,  8,   27,   28,
	                                   29, 36, 200, 1023, 1024};
	static unsigned char bytes[WBC_KEY_MAX];
	struct pair p = begin(SPEC);
	struct wbci_schema wide = rig_schema(
		"w(k text key, a counter, b double counter, c counter)");
	unsigned wrong = 0;

	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (unsigned char)(1 + i * 7 % 127);
	for (size_t i = 0; i < 2 * N(lengths); i++) {
		struct wbci_schema *schema = i % 2 ? &wide : &p.table->schema;
		struct wbci_key k = rig_key(p.s, bytes, lengths[i / 2]);
		struct entry_shm *e;
		uint64_t offset;
		uint16_t head = k.head >> 16 < WBCI_KEY_INLINE
		                        ? (uint16_t)(k.head >> 16)
		                        : WBCI_KEY_INLINE;

		k.head |= i % 2 ? 1 << 8 : 0;
		k.hash += i % 2;
		if (wbci_entry_open(p.t, &k, schema, &e, &offset)) {
			wrong++;
			continue;
		}
		wrong += e->n_cells != schema->n_cells ||
		         e->key_len != lengths[i / 2] || e->hash != k.hash ||
		         e->table != i % 2 || e->space != SPACE_ROW;
		wrong += memcmp(e->key, bytes, head) != 0;
		wrong += memcmp(wbci_entry_tail(e), bytes + head,
		                (size_t)e->key_len - head) != 0;
		wrong += (unsigned char *)wbci_entry_tail(e) + e->key_len -
		                 head >
		         (unsigned char *)e +
		                 wbci_entry_bytes(e->n_cells, e->key_len);
		wbci_exit(p.t);
	}
	tap_is_uint(wrong, 0,
	            "keys of 0 to 1024 bytes stand whole in their "
	            "entries, behind one cell or three");
	end(&p);
}

static void test_cells(void)
{
	struct pair p = begin(
		"t(k text key, a counter, b counter, c counter, d counter, "
		"e counter, f counter, g counter, h counter, i counter, "
		"j counter, k2 counter, l counter, m counter, n counter, "
		"o counter, p double counter)");
	static char key[901];
	struct wbc_value v;
	struct entry_shm *e;
	unsigned wrong = 0;

	memset(key, 'k', sizeof(key) - 1);
	v = name_of(key);
	for (unsigned i = 0; i < 15; i++)
		wrong += wbc_add_int64(p.table, &v, 1, i + 1, 1 << i) != 0;
	wrong += wbc_add_double(p.table, &v, 1, 16, 0.5) != 0;
	e = entry_of(&p, key);
	tap_ok(e && wrong == 0, "an entry has room for 16 cells and a long "
	                        "key");
	for (unsigned i = 0; i < 15; i++)
		wrong += order_load(wbci_entry_total(e, i)) != 1u << i ||
		         order_load(wbci_entry_origin(e, i)) !=
		                 WBCI_INT64_UNKNOWN ||
		         order_load(wbci_entry_journaled(e, i)) != 0;
	wrong += wbci_double_of(order_load(wbci_entry_total(e, 15))) != 0.5;
	wrong += order_load(wbci_entry_origin(e, 15)) != WBCI_DOUBLE_UNKNOWN;
	tap_is_uint(wrong, 0, "each cell keeps its own");
	tap_ok(!memcmp(wbci_entry_tail(e), key + WBCI_KEY_INLINE,
	               900 - WBCI_KEY_INLINE),
	       "the key stands behind them, whole");
	end(&p);
}

/* Fields of an entry as a stranger may write them. */
static void test_hostile(void)
{
	static const uint8_t cells[] = {0, 2, 16, 17, 255};
	struct pair p = begin(SPEC);
	struct wbc_value v = name_of("a");
	struct wbc_counter *counter;
	struct entry_shm *e;
	int64_t value;

	add(&p, "a", 1);
	e = entry_of(&p, "a");
	for (size_t i = 0; i < N(cells); i++) {
		e->n_cells = cells[i];
		/* The hot way needs but one cell, and believes one. */
		tap_is_int(wbc_counter_open(p.table, &v, 1, 1, &counter),
		           WBC_E_CORRUPT,
		           "an entry with %u cells instead of "
		           "1 is refused (P7)",
		           cells[i]);
	}
	tap_is_int(wbc_read_int64(p.table, &v, 1, 1, &value), WBC_E_CORRUPT,
	           "reading it, too");
	e->n_cells = 1;
	order_store(&e->word, wbci_entry_word(1, ENTRY_FREE));
	tap_is_int(add(&p, "a", 1), WBC_E_CORRUPT,
	           "a linked entry that is free is refused");
	order_store(&e->word, wbci_entry_word(1, 9));
	tap_is_int(add(&p, "a", 1), WBC_E_CORRUPT, "and one in no known state");
	end(&p);
}

#if STEP_WORKS
/* One add, with the flusher at work at one of its instructions. */
struct race {
	struct pair *p;
	struct wbc_counter *counter;
	size_t way;
	struct entry_shm *e;
	int result;
	bool died;
	bool late;      /* it was not frozen any more */
	uint64_t grace; /* at which what was frozen is decided */
};

static void race_add(void *arg)
{
	struct race *r = arg;

	r->result = ways[r->way].add(r->p, r->counter);
}

/* The entry was FROZEN for a grace period; now it is decided. */
static void race_bury(void *arg)
{
	struct race *r = arg;

	r->late = state_of(r->e) != ENTRY_FROZEN;
	r->died = bury(r->e);
	if (r->died)
		unlink_and_retire(r->p, "a", r->e);
}

/* A whole removal, as far as the epochs allow it. */
static void race_remove(void *arg)
{
	struct race *r = arg;

	freeze(r->e);
	r->grace = wbci_epoch_grace(r->p->flusher);
	for (unsigned i = 0; i < 3; i++)
		wbci_epoch_advance(r->p->flusher);
	if (wbci_epoch_passed(r->p->flusher, r->grace))
		race_bury(r);
}

/* How much of key a is not journaled, in the entry that the index has. */
static int64_t pending(struct race *r)
{
	struct entry_shm *e = entry_of(r->p, "a");

	if (state_of(e) != ENTRY_LIVE && state_of(e) != ENTRY_FROZEN)
		return -1;
	return (int64_t)(order_load(&e->total) - order_load(&e->journaled));
}

/* Removed at instruction @at of an add, at once or a grace period later. */
static unsigned remove_at(struct race *r, unsigned long at, bool *met)
{
	*met = step_once(race_add, r, race_remove, r, at);
	rig_advance(r->p->flusher, 2);
	if (!r->died)
		race_bury(r);
	return r->result != 0 || pending(r) != 1;
}

static unsigned bury_at(struct race *r, unsigned long at, bool *met)
{
	freeze(r->e);
	rig_advance(r->p->flusher, 2);
	/* Once it was revived there is nothing to decide. */
	*met = step_once(race_add, r, race_bury, r, at) && !r->late;
	return r->result != 0 || pending(r) != 1;
}

static unsigned long
race(size_t way, unsigned (*meet)(struct race *, unsigned long, bool *),
     unsigned *lost)
{
	struct pair p = begin(SPEC);
	struct wbc_value v = name_of("a");
	struct race r = {.p = &p, .way = way};
	bool met = true;
	unsigned long at;

	wbc_counter_open(p.table, &v, 1, 1, &r.counter);
	/* The client's slot is found without a lock from here on. */
	for (at = 1; met; at += STEP_STRIDE) {
		r.died = false;
		/* Marked in this cycle, so that adds are as short as can be,
		 * at every other instruction. */
		if (at % 2)
			order_add_seq(&p.s->control->cycle, 1);
		add(&p, "a", 0);
		r.e = entry_of(&p, "a");
		journal(r.e);
		/* The thread's cache names the client, as its last call did. */
		rig_thread(p.c->client);
		*lost += meet(&r, at, &met);
	}
	end(&p);
	return at;
}

static void test_races(void)
{
	/* The last way is what the others come to. */
	for (size_t i = 0; i + 1 < N(ways); i++) {
		unsigned lost = 0;
		unsigned long n = race(i, remove_at, &lost);

		tap_is_uint(lost, 0,
		            "%s survives a removal at any of its instructions "
		            "(P3)",
		            ways[i].who);
		tap_diag("%lu instructions", n);
		lost = 0;
		n = race(i, bury_at, &lost);
		tap_is_uint(lost, 0,
		            "%s survives the entry's death at any of its "
		            "instructions (P3)",
		            ways[i].who);
		tap_diag("%lu instructions", n);
	}
}

/* What a handle remembers of an entry that is frozen meanwhile. */
struct opening {
	struct pair *p;
	struct entry_shm *e;
	struct wbc_counter *counter;
};

static void open_counter(void *arg)
{
	struct opening *o = arg;
	struct wbc_value v = name_of("a");

	wbc_counter_open(o->p->table, &v, 1, 1, &o->counter);
}

static void freeze_opening(void *arg)
{
	struct opening *o = arg;

	freeze(o->e);
}

static void test_opened_frozen(void)
{
	struct pair p = begin(SPEC);
	struct opening o = {.p = &p};
	unsigned asleep = 0;
	bool met = true;

	if (STEP_STRIDE > 1) {
		tap_skip(1, "a sanitizer's malloc has too many instructions");
		end(&p);
		return;
	}
	add(&p, "a", 1);
	o.e = entry_of(&p, "a");
	/* The time between its two looks at the entry is longer than this. */
	for (unsigned long at = 1; met; at += 7) {
		rig_thread(p.c->client);
		met = step_once(open_counter, &o, freeze_opening, &o, at);
		wbc_counter_add(o.counter, 1);
		asleep += state_of(o.e) != ENTRY_LIVE;
		wbc_counter_close(&o.counter);
		add(&p, "a", 0);
	}
	tap_is_uint(asleep, 0,
	            "a handle opened while its entry was frozen "
	            "revives it before it adds (P3)");
	end(&p);
}
#else
static void test_races(void)
{
	tap_skip(4, STEP_WHY_NOT);
}

static void test_opened_frozen(void)
{
	tap_skip(1, STEP_WHY_NOT);
}
#endif

int main(void)
{
	test_birth();
	test_frozen();
	test_frozen_read();
	test_dead();
	test_stale();
	test_incarnations();
	test_keys();
	test_cells();
	test_hostile();
	test_races();
	test_opened_frozen();
	return tap_done();
}
