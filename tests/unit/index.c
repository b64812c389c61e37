/* SPDX-License-Identifier: MIT */
/* Copyright the wbcshm authors */

/* The index: each key has one place, whoever inserts, and bytes may lie. */
#include "shm/index.h"

#include "shm/cell.h"
#include "shm/hot.h"
#include "shm/walk.h"
#include "unit/dice.h"
#include "unit/rig.h"
#include "unit/step.h"

static struct wbci_schema schema;

/* The smallest root: 512 words. */
static struct rig make(uint32_t extents)
{
	return rig_make(&(struct wbci_create){.max_bytes = (uint64_t)extents *
	                                                   WBCI_EXTENT_BYTES,
	                                      .capacity = 1,
	                                      .procs = 16,
	                                      .threads = 16});
}

/* The entry of a key, made if need be; negative on failure. */
static int64_t open_key(struct wbci_thread *t, const struct wbci_key *k)
{
	struct entry_shm *e;
	uint64_t offset;
	int error = wbci_entry_open(t, k, &schema, &e, &offset);

	if (error)
		return error;
	wbci_exit(t);
	return (int64_t)offset;
}

static int64_t find_key(struct wbci_thread *t, const struct wbci_key *k)
{
	int64_t found;

	wbci_enter(t);
	found = wbci_index_find(t, k);
	wbci_exit(t);
	return found;
}

static int unlink_key(struct wbci_thread *t, const struct wbci_key *k,
                      uint64_t entry)
{
	int unlinked;

	wbci_enter(t);
	unlinked = wbci_index_unlink(t, k, entry);
	wbci_exit(t);
	return unlinked;
}

/* The hot way's answer as an offset; 0 if it leaves it to the other one. */
static int64_t find_hot(struct wbci_thread *t, const struct wbci_key *k)
{
	const struct wbci_segment *s = &t->client->segment;
	struct entry_shm *e;

	wbci_enter(t);
	e = wbci_index_hot(s, k->bytes, k->head, k->hash);
	wbci_exit(t);
	return e ? (int64_t)((unsigned char *)e - s->base) : 0;
}

/* What a walk over all words meets. */
struct census {
	unsigned entries;
	unsigned nodes;
	unsigned deepest;
	unsigned odd; /* met twice, or no block */
};

static int count_word(void *arg, const struct wbci_step *at)
{
	struct census *n = arg;

	n->entries += at->tag == INDEX_ENTRY;
	n->nodes += at->tag != INDEX_ENTRY;
	if (at->depth > n->deepest)
		n->deepest = at->depth;
	n->odd += at->known || !at->sound;
	return 0;
}

static struct census walk(const struct wbci_segment *s)
{
	struct census n = {0};

	if (wbci_index_walk(s, count_word, &n))
		tap_bail("no memory for a walk");
	return n;
}

#ifdef WBC_TSAN
enum { KEYS = 20000 };
#else
enum { KEYS = 100000 };
#endif
static const unsigned char *long_text;

static void put_word(unsigned char *to, uint64_t word)
{
	memcpy(to, &word, 8);
}

/*
 * Key number i, unlike every other: random, one text's beginnings, equal in
 * the bytes that stand in the entry's first line, or nearly all NUL.
 */
static size_t make_key(unsigned char *key, uint32_t i)
{
	struct dice d = {i};

	switch (i % 4) {
	case 0: {
		size_t len = 8 + dice_below(&d, i % 64 == 0 ? 1017 : 60);

		for (size_t at = 0; at < len; at++)
			key[at] = (unsigned char)dice_word(&d);
		put_word(key, ~(uint64_t)i);
		return len;
	}
	case 1:
		if (i / 4 > WBC_KEY_MAX)
			break;
		memcpy(key, long_text, i / 4);
		return i / 4;
	case 2:
		memset(key, 'x', WBCI_KEY_INLINE);
		put_word(key + WBCI_KEY_INLINE, i);
		return WBCI_KEY_INLINE + 8;
	default:
		break;
	}
	memset(key, 0, 28);
	put_word(key + i % 3 * 4, i);
	return 16 + i % 3 * 6;
}

static void test_many(void)
{
	struct rig rig = make(64);
	struct wbci_client *c = rig_client(&rig);
	struct wbci_thread *t = rig_thread(c);
	int64_t *offset = calloc(KEYS, sizeof(*offset));
	unsigned found = 0, failed = 0, twice = 0, differ = 0, hot = 0;
	unsigned unlinked = 0, stay = 0, gone = 0, back = 0;
	unsigned char key[WBC_KEY_MAX];
	struct census n;

	if (!offset)
		tap_bail("no memory");
	for (uint32_t i = 0; i < KEYS; i++) {
		struct wbci_key k = rig_key(&c->segment, key, make_key(key, i));

		found += find_key(t, &k) != 0;
		offset[i] = open_key(t, &k);
		failed += offset[i] <= 0;
	}
	tap_is_uint(found, 0, "no key of %u is there before it is inserted",
	            KEYS);
	tap_is_uint(failed, 0, "all can be inserted");
	for (uint32_t i = 0; i < KEYS; i++) {
		struct wbci_key k = rig_key(&c->segment, key, make_key(key, i));

		twice += open_key(t, &k) != offset[i];
		differ += find_key(t, &k) != offset[i];
		if (wbci_key_len(&k) <= WBCI_KEY_INLINE)
			hot += find_hot(t, &k) != offset[i];
	}
	tap_is_uint(twice, 0, "a key that is there is not inserted again");
	tap_is_uint(differ, 0, "each key is found, at one place");
	tap_is_uint(hot, 0, "the hot way finds every short key at the same");
	n = walk(&c->segment);
	tap_ok(n.entries == KEYS && n.odd == 0,
	       "the index holds each once and nothing else");

	for (uint32_t i = 0; i < KEYS; i += 2) {
		struct wbci_key k = rig_key(&c->segment, key, make_key(key, i));
		uint64_t entry = (uint64_t)offset[i];

		unlinked += unlink_key(t, &k, entry) == 1 &&
		            unlink_key(t, &k, entry) == 0;
	}
	tap_is_uint(unlinked, KEYS / 2, "an entry is unlinked once");
	for (uint32_t i = 0; i < KEYS; i++) {
		struct wbci_key k = rig_key(&c->segment, key, make_key(key, i));

		if (i % 2)
			stay += find_key(t, &k) == offset[i];
		else
			gone += find_key(t, &k) == 0 && find_hot(t, &k) == 0;
	}
	tap_ok(gone == KEYS / 2 && stay == KEYS / 2,
	       "it is not found then, and the others still are");
	for (uint32_t i = 0; i < KEYS; i += 2) {
		struct wbci_key k = rig_key(&c->segment, key, make_key(key, i));
		int64_t new = open_key(t, &k);

		back += new > 0 && new != offset[i] && find_key(t, &k) == new;
	}
	tap_is_uint(back, KEYS / 2, "an unlinked key can be inserted anew");
	tap_is_uint(walk(&c->segment).entries, KEYS, "once each");
	free(offset);
	wbci_client_close(&c);
	rig_drop(&rig);
}

/* Keys whose hashes are told apart by nothing but what is given here. */
struct clash {
	char name[8];
	struct wbci_key k;
	int64_t offset;
};

static struct wbci_key clash_key(const struct wbci_segment *s, char name[8],
                                 unsigned i, uint64_t hash)
{
	struct wbci_key k;

	snprintf(name, 8, "%07u", i);
	k = rig_key(s, name, 7);
	k.hash = hash;
	return k;
}

static unsigned deepest_of(struct wbci_thread *t, uint64_t a, uint64_t b)
{
	struct clash x, y;
	const struct wbci_segment *s = &t->client->segment;
	unsigned deepest;

	x.k = clash_key(s, x.name, 1, a);
	y.k = clash_key(s, y.name, 2, b);
	x.offset = open_key(t, &x.k);
	y.offset = open_key(t, &y.k);
	deepest = walk(s).deepest;
	if (x.offset <= 0 || y.offset <= 0 || find_key(t, &x.k) != x.offset ||
	    find_key(t, &y.k) != y.offset)
		return 99;
	unlink_key(t, &x.k, (uint64_t)x.offset);
	if (find_key(t, &x.k) != 0 || find_key(t, &y.k) != y.offset)
		return 99;
	unlink_key(t, &y.k, (uint64_t)y.offset);
	return deepest;
}

/* Two keys part at the digit in which their hashes differ. */
static void test_digits(void)
{
	static const struct {
		uint64_t a, b;
		unsigned depth;
	} pairs[] = {{0, UINT64_C(1) << 9, 1},
	             {0, UINT64_C(1) << 12, 1},
	             {0, UINT64_C(1) << 13, 2},
	             {0x1ff, UINT64_C(0x1ff) | UINT64_C(1) << 30, 6},
	             {0x3, 0x3 | UINT64_C(8) << 57, 13},
	             {UINT64_MAX, UINT64_MAX >> 4 | UINT64_C(7) << 61, 13}};

	for (size_t i = 0; i < N(pairs); i++) {
		struct rig rig = make(2);
		struct wbci_client *c = rig_client(&rig);

		tap_is_uint(deepest_of(rig_thread(c), pairs[i].a, pairs[i].b),
		            pairs[i].depth,
		            "hashes that differ in bit %d only part at depth "
		            "%u",
		            63 - __builtin_clzll(pairs[i].a ^ pairs[i].b),
		            pairs[i].depth);
		wbci_client_close(&c);
		rig_drop(&rig);
	}
}

/* Keys that differ in nothing that a word of the index tells. */
static void test_alike(void)
{
	struct rig rig = make(2);
	struct wbci_client *c = rig_client(&rig);
	struct wbci_thread *t = rig_thread(c);
	const struct wbci_segment *s = &c->segment;
	struct clash here, absent;
	struct wbci_key table, longer;
	unsigned found = 0;

	here.k = clash_key(s, here.name, 1, 0x1234567);
	here.offset = open_key(t, &here.k);
	absent.k = clash_key(s, absent.name, 2, here.k.hash);
	table = longer = here.k;
	table.head ^= 1 << 8;
	longer.head += 1 << 16;
	found += find_key(t, &absent.k) != 0 || find_hot(t, &absent.k) != 0;
	found += find_key(t, &table) != 0 || find_hot(t, &table) != 0;
	found += find_key(t, &longer) != 0 || find_hot(t, &longer) != 0;
	tap_is_uint(found, 0,
	            "another key, table or length under the same "
	            "hash is not taken for it");
	tap_is_int(find_hot(t, &here.k), here.offset,
	           "the key itself is "
	           "found");
	wbci_client_close(&c);
	rig_drop(&rig);
}

/* All bits equal: digits come from the key with other seeds. */
enum { EQUALS = 300 };

static void test_equal_hashes(void)
{
	static struct clash keys[EQUALS];
	struct rig rig = make(4);
	struct wbci_client *c = rig_client(&rig);
	struct wbci_thread *t = rig_thread(c);
	const struct wbci_segment *s = &c->segment;
	unsigned failed = 0, differ = 0, wrong_hot = 0, left = 0;
	struct census n;

	for (unsigned i = 0; i < EQUALS; i++) {
		/* Three leftover bits of the hash are no digit. */
		uint64_t hash = UINT64_C(0xabcdef) | (uint64_t)(i % 8) << 61;

		keys[i].k = clash_key(s, keys[i].name, i, hash);
		keys[i].offset = open_key(t, &keys[i].k);
		failed += keys[i].offset <= 0;
	}
	n = walk(s);
	tap_is_uint(failed, 0, "%u keys of one hash can be inserted", EQUALS);
	tap_ok(n.deepest > 13 && n.entries == EQUALS && n.odd == 0,
	       "they stand below the hash's last digit, each once");
	tap_diag("depth %u, %u nodes", n.deepest, n.nodes);
	for (unsigned i = 0; i < EQUALS; i++) {
		int64_t hot = find_hot(t, &keys[i].k);

		differ += find_key(t, &keys[i].k) != keys[i].offset ||
		          open_key(t, &keys[i].k) != keys[i].offset;
		wrong_hot += hot != 0 && hot != keys[i].offset;
	}
	tap_is_uint(differ, 0, "each is found");
	tap_is_uint(wrong_hot, 0,
	            "the hot way finds it or leaves it to the "
	            "other one");
	for (unsigned i = 0; i < EQUALS; i += 2)
		unlink_key(t, &keys[i].k, (uint64_t)keys[i].offset);
	for (unsigned i = 0; i < EQUALS; i++)
		left += find_key(t, &keys[i].k) == (i % 2 ? keys[i].offset : 0);
	tap_is_uint(left, EQUALS, "unlinking one leaves those beside it");
	wbci_client_close(&c);
	rig_drop(&rig);
}

/* A full segment: an insert that needs nodes gives back what it had. */
static void test_no_room(void)
{
	struct rig rig = make(1);
	struct wbci_client *c = rig_client(&rig);
	struct wbci_thread *t = rig_thread(c);
	const struct wbci_segment *s = &c->segment;
	struct clash a, b;
	uint64_t offset, last = 0;
	int64_t result;

	a.k = clash_key(s, a.name, 1, 77);
	a.offset = open_key(t, &a.k);
	wbci_enter(t);
	while (!wbci_block_alloc(t, PAGE_BLOCKS, 128, &offset))
		last = offset;
	/* Room for one node; a clash of equal hashes needs more. */
	wbci_block_undo(t, last);
	wbci_exit(t);
	b.k = clash_key(s, b.name, 2, 77);
	result = open_key(t, &b.k);
	tap_is_int(result, -ENOSPC,
	           "an insert without room for its nodes "
	           "says so (P8)");
	tap_ok(find_key(t, &b.k) == 0 && find_key(t, &a.k) == a.offset,
	       "nothing was inserted, nothing lost");
	wbci_enter(t);
	tap_ok(!wbci_block_alloc(t, PAGE_BLOCKS, 128, &offset) &&
	               offset == last,
	       "and the nodes that it had are free again (P6)");
	wbci_exit(t);
	wbci_client_close(&c);
	rig_drop(&rig);
}

/* A node that the flusher is pruning, in a root word. */
struct closing {
	struct rig rig;
	struct wbci_client *c;
	struct wbci_thread *t;
	order_u64 *word;
	struct clash key[3];
	bool kept; /* the flusher found it open again */
};

static struct closing begin_closing(void)
{
	struct closing p = {.rig = make(2)};

	p.c = rig_client(&p.rig);
	p.t = rig_thread(p.c);
	p.word = &p.c->segment.root[5];
	return p;
}

static void name_keys(struct closing *p)
{
	for (unsigned i = 0; i < 3; i++)
		p->key[i].k = clash_key(&p->c->segment, p->key[i].name, i,
		                        5 | (uint64_t)(i + 1) << 9);
}

static void close_node(struct closing *p)
{
	uint64_t word = order_load(p->word);

	if ((word & 3) != INDEX_NODE ||
	    !order_cas(p->word, &word, (word & ~UINT64_C(3)) | INDEX_CLOSING))
		tap_bail("there is no node to close");
}

static void end_closing(struct closing *p)
{
	wbci_client_close(&p->c);
	rig_drop(&p->rig);
}

static void test_closing(void)
{
	struct closing p = begin_closing();
	int64_t third;

	name_keys(&p);
	for (unsigned i = 0; i < 2; i++)
		p.key[i].offset = open_key(p.t, &p.key[i].k);
	close_node(&p);
	tap_ok(find_key(p.t, &p.key[0].k) == p.key[0].offset &&
	               find_key(p.t, &p.key[2].k) == 0,
	       "a closing node is read as any other");
	tap_is_int(find_hot(p.t, &p.key[0].k), 0,
	           "the hot way leaves it to the other one");
	tap_is_int(unlink_key(p.t, &p.key[1].k, (uint64_t)p.key[1].offset), 1,
	           "an entry below it can be unlinked");
	tap_is_uint(order_load(p.word) & 3, INDEX_CLOSING,
	            "neither keeps it open");
	third = open_key(p.t, &p.key[2].k);
	tap_ok(third > 0 && (order_load(p.word) & 3) == INDEX_NODE,
	       "who inserts below it keeps it");
	tap_is_int(find_key(p.t, &p.key[2].k), third, "and finds its key");
	end_closing(&p);
}

#if STEP_WORKS
/*
 * An empty node was CLOSING for a grace period when an insert below it
 * begins; at each of its instructions in turn the flusher decides.
 */
static void insert_third(void *arg)
{
	struct closing *p = arg;

	p->key[2].offset = open_key(p->t, &p->key[2].k);
}

static void decide(void *arg)
{
	struct closing *p = arg;
	uint64_t word = order_load(p->word);
	struct node_shm *node = wbci_at(&p->c->segment, wbci_ref_offset(word));

	p->kept = (word & 3) == INDEX_NODE;
	if ((word & 3) != INDEX_CLOSING)
		return;
	for (unsigned i = 0; i < WBCI_NODE_WORDS; i++) {
		if (order_acquire(&node->word[i]) != INDEX_EMPTY)
			return;
	}
	order_cas(p->word, &word, INDEX_EMPTY);
}

static void test_pruned(void)
{
	struct closing p = begin_closing();
	unsigned lost = 0, pruned = 0;
	unsigned long at;
	bool met = true;

	name_keys(&p);
	for (at = 1; met && !p.kept; at += STEP_STRIDE) {
		for (unsigned i = 0; i < 2; i++)
			p.key[i].offset = open_key(p.t, &p.key[i].k);
		for (unsigned i = 0; i < 2; i++)
			unlink_key(p.t, &p.key[i].k, (uint64_t)p.key[i].offset);
		close_node(&p);
		rig_advance(p.c, 2);
		met = step_once(insert_third, &p, decide, &p, at);
		pruned += (order_load(p.word) & 3) == INDEX_ENTRY;
		lost += find_key(p.t, &p.key[2].k) != p.key[2].offset;
		unlink_key(p.t, &p.key[2].k, (uint64_t)p.key[2].offset);
		order_store(p.word, INDEX_EMPTY);
	}
	tap_is_uint(lost, 0,
	            "a node pruned at any instruction of an insert "
	            "below it takes nothing along (P3)");
	tap_ok(pruned > 10 && p.kept,
	       "it is pruned until the insert passes it, and kept then");
	tap_diag("pruned %u times of %lu", pruned, at);
	end_closing(&p);
}

/* Two that unlink the same entry; the first of them inserts anew. */
struct unlinking {
	struct wbci_thread *first, *second;
	struct clash key;
	int64_t anew;
	int by_first, by_second;
};

static void unlink_first(void *arg)
{
	struct unlinking *u = arg;

	u->by_first = unlink_key(u->first, &u->key.k, (uint64_t)u->key.offset);
	u->anew = open_key(u->first, &u->key.k);
}

static void unlink_second(void *arg)
{
	struct unlinking *u = arg;

	u->by_second =
		unlink_key(u->second, &u->key.k, (uint64_t)u->key.offset);
}

static void test_unlinked_twice(void)
{
	struct rig rig = make(2);
	struct wbci_client *c = rig_client(&rig), *other = rig_client(&rig);
	struct unlinking u = {.first = rig_thread(other),
	                      .second = rig_thread(c)};
	unsigned wrong = 0;
	bool met = true;

	u.key.k = clash_key(&c->segment, u.key.name, 1, 5);
	u.anew = open_key(u.first, &u.key.k);
	for (unsigned long at = 1; met; at += STEP_STRIDE) {
		u.key.offset = u.anew;
		u.by_first = 0;
		met = step_once(unlink_second, &u, unlink_first, &u, at);
		if (met)
			wrong += u.by_first + u.by_second != 1 ||
			         find_key(u.second, &u.key.k) != u.anew;
	}
	tap_is_uint(wrong, 0,
	            "two that unlink an entry do so once, and do "
	            "not take its successor along (P3)");
	wbci_client_close(&other);
	wbci_client_close(&c);
	rig_drop(&rig);
}
#else
static void test_pruned(void)
{
	tap_skip(2, STEP_WHY_NOT);
}

static void test_unlinked_twice(void)
{
	tap_skip(1, STEP_WHY_NOT);
}
#endif

/* The same keys, inserted by several at once. */
enum { SHARED_KEYS = 6000, INSERTERS = 4 };
struct inserter {
	const struct rig *rig;
	const struct rig_gate *gate;
	unsigned number;
	int64_t *offset; /* SHARED_KEYS, its own */
};

static struct wbci_key shared_key(const struct wbci_segment *s, char name[8],
                                  unsigned i)
{
	struct wbci_key k;

	snprintf(name, 8, "%u", i);
	k = rig_key(s, name, strlen(name));
	/* Every fourth clashes with its neighbours down to the last digit. */
	if (i % 4 == 0)
		k.hash = i / 64;
	return k;
}

static int insert_shared(void *arg)
{
	const struct inserter *in = arg;
	struct wbci_client *c = rig_client(in->rig);
	struct wbci_thread *t = rig_thread(c);

	rig_gate_wait(in->gate);
	for (unsigned n = 0; n < SHARED_KEYS; n++) {
		/* Half in one order, half in the other. */
		unsigned i = in->number % 2 ? SHARED_KEYS - 1 - n : n;
		struct entry_shm *e;
		uint64_t offset, total;
		char name[8];
		struct wbci_key k = shared_key(&c->segment, name, i);

		if (wbci_entry_open(t, &k, &schema, &e, &offset))
			return 1;
		if (wbci_cell_add_int64(t, e, 0, 1, &total))
			return 1;
		wbci_exit(t);
		in->offset[i] = (int64_t)offset;
	}
	wbci_client_close(&c);
	return 0;
}

static void *insert_thread(void *arg)
{
	return insert_shared(arg) ? arg : NULL;
}

/* Do all agree on each key's entry, and did it get all additions? */
static void check_shared(const struct rig *rig, const struct inserter *in,
                         const char *who)
{
	struct wbci_client *c = rig_client(rig);
	struct wbci_thread *t = rig_thread(c);
	unsigned agree = 0, sums = 0;
	struct census n = walk(&c->segment);

	for (unsigned i = 0; i < SHARED_KEYS; i++) {
		char name[8];
		struct wbci_key k = shared_key(&c->segment, name, i);
		int64_t found = find_key(t, &k);
		struct entry_shm *e = wbci_at(&c->segment, (uint64_t)found);
		bool same = found > 0;

		for (unsigned j = 0; j < INSERTERS; j++)
			same = same && in[j].offset[i] == found;
		agree += same;
		sums += same && order_load(&e->total) == INSERTERS;
	}
	tap_is_uint(agree, SHARED_KEYS,
	            "%s that insert the same keys at once "
	            "agree on one entry each (P11)",
	            who);
	tap_is_uint(sums, SHARED_KEYS, "and all add to that one");
	tap_ok(n.entries == SHARED_KEYS && n.odd == 0,
	       "every key is in the index once");
	wbci_client_close(&c);
}

static void test_together(bool processes)
{
	struct rig rig = make(16);
	struct rig_gate gate = rig_gate();
	int64_t *offsets =
		rig_shared(INSERTERS * SHARED_KEYS * sizeof(*offsets));
	struct inserter in[INSERTERS];
	pthread_t threads[INSERTERS];
	pid_t pids[INSERTERS];
	unsigned failed = 0;

	for (unsigned i = 0; i < INSERTERS; i++) {
		in[i] = (struct inserter){&rig, &gate, i,
		                          offsets + i * SHARED_KEYS};
		if (!processes) {
			threads[i] = rig_start(insert_thread, &in[i]);
			continue;
		}
		pids[i] = fork();
		if (pids[i] < 0)
			tap_bail("fork");
		if (pids[i] == 0) {
			rig_gate_open(&gate);
			tap_child_exit(insert_shared(&in[i]));
		}
	}
	rig_gate_open(&gate);
	for (unsigned i = 0; i < INSERTERS; i++) {
		void *bad = NULL;

		if (processes)
			failed += rig_wait(pids[i]) != 0;
		else if (pthread_join(threads[i], &bad) == 0)
			failed += bad != NULL;
	}
	close(gate.fd[0]);
	if (!tap_is_uint(failed, 0, "no insert fails"))
		return;
	check_shared(&rig, in, processes ? "processes" : "threads");
	munmap(offsets, INSERTERS * SHARED_KEYS * sizeof(*offsets));
	rig_drop(&rig);
}

/* Words of the index as a stranger may write them. */
enum { DAMAGES = 20000, HONEST = 400 };
struct damage {
	struct rig rig;
	struct wbci_client *c;
	struct wbci_thread *t;
	order_u64 *word[4 * HONEST]; /* all that are in use */
	unsigned n;
};

static int note_word(void *arg, const struct wbci_step *at)
{
	struct damage *d = arg;

	if (d->n < N(d->word))
		d->word[d->n++] = wbci_at(&d->c->segment, at->at);
	return 0;
}

static struct wbci_key honest_key(const struct wbci_segment *s,
                                  unsigned char *bytes, unsigned i)
{
	struct wbci_key k = rig_key(s, bytes, make_key(bytes, i * 5));

	if (i % 3 == 0)
		k.hash = i % 2 ? 0x41 : UINT64_C(0x1fffff);
	return k;
}

static uint64_t bad_word(struct damage *d, struct dice *dice)
{
	const struct wbci_segment *s = &d->c->segment;
	order_u64 *victim = d->word[dice_below(dice, d->n)];
	uint64_t self = (uint64_t)((unsigned char *)victim - s->base);
	uint64_t tag = dice_below(dice, 4);
	uint64_t other = order_load(d->word[dice_below(dice, d->n)]);

	switch (dice_below(dice, 6)) {
	case 0:
		return dice_word(dice);
	case 1: /* a node that holds this word */
		return self / 64 << 20 | INDEX_NODE;
	case 2: /* something real under a tag of something else */
		return (other & ~UINT64_C(3)) | tag;
	case 3: /* anywhere in the extents that are there, or just behind */
		return (s->geo.extents_off +
		        dice_below(dice, 3 * WBCI_EXTENT_BYTES)) /
		                       64
		               << 20 |
		       tag;
	case 4: /* before them: the header, the root */
		return (uint64_t)dice_below(dice, 1 << 18) << 20 | tag;
	default:
		return other ^ UINT64_C(1) << dice_below(dice, 64);
	}
}

/* Everything that the index can be asked; false if an answer is no answer. */
static bool answers(struct damage *d, unsigned i, bool insert)
{
	const struct wbci_segment *s = &d->c->segment;
	unsigned char bytes[WBC_KEY_MAX];
	struct wbci_key k = honest_key(s, bytes, i);
	int64_t found = find_key(d->t, &k), hot = 0;
	bool good = found >= 0 || found == WBC_E_CORRUPT;

	if (wbci_key_len(&k) <= WBCI_KEY_INLINE)
		hot = find_hot(d->t, &k);
	if (found > 0) {
		struct entry_shm *e = wbci_at(s, (uint64_t)found);

		good = e->key_len == wbci_key_len(&k) &&
		       (e->key_len > WBCI_KEY_INLINE ||
		        !memcmp(e->key, bytes, e->key_len));
	}
	good = good && (hot == 0 || hot == found || found <= 0);
	if (insert) {
		int64_t made = open_key(d->t, &k);

		good = good &&
		       (made > 0 || made == WBC_E_CORRUPT || made == -ENOSPC);
	}
	return good;
}

static struct damage begin_damage(void)
{
	struct damage d = {.rig = make(3), .n = 0};
	unsigned char bytes[WBC_KEY_MAX];

	d.c = rig_client(&d.rig);
	d.t = rig_thread(d.c);
	for (unsigned i = 0; i < HONEST; i++) {
		struct wbci_key k = honest_key(&d.c->segment, bytes, i);

		if (open_key(d.t, &k) <= 0)
			tap_bail("an honest insert failed");
	}
	return d;
}

static void test_damage(void)
{
	static struct damage d;
	struct dice dice = dice_seeded();
	unsigned bad = 0;

	d = begin_damage();
	wbci_index_walk(&d.c->segment, note_word, &d);
	for (unsigned i = 0; i < DAMAGES; i++) {
		order_u64 *at = d.word[dice_below(&dice, d.n)];
		uint64_t had = order_load(at);

		order_store(at, bad_word(&d, &dice));
		for (unsigned j = 0; j < 3; j++)
			bad += !answers(&d, dice_below(&dice, HONEST), false);
		bad += !answers(&d, i % HONEST, false);
		order_store(at, had);
	}
	tap_is_uint(bad, 0,
	            "a damaged word gives the key's entry, nothing or "
	            "WBC_E_CORRUPT (P7)");
	wbci_client_close(&d.c);
	rig_drop(&d.rig);
	bad = 0;
	for (unsigned i = 0; i < 40; i++) {
		/* An insert may believe a lie and do harm: begin anew. */
		d = begin_damage();
		wbci_index_walk(&d.c->segment, note_word, &d);
		for (unsigned j = 0; j < 20; j++)
			order_store(d.word[dice_below(&dice, d.n)],
			            bad_word(&d, &dice));
		for (unsigned j = 0; j < HONEST; j++)
			bad += !answers(&d, j, true);
		wbci_client_close(&d.c);
		rig_drop(&d.rig);
	}
	tap_is_uint(bad, 0, "an insert into a damaged index ends too (P7)");
}

/* A node that holds itself, in the place of every digit. */
static void test_circle(void)
{
	struct closing p = begin_closing();
	struct node_shm *node;
	uint64_t word;

	name_keys(&p);
	for (unsigned i = 0; i < 2; i++)
		p.key[i].offset = open_key(p.t, &p.key[i].k);
	word = order_load(p.word);
	node = wbci_at(&p.c->segment, wbci_ref_offset(word));
	for (unsigned i = 0; i < WBCI_NODE_WORDS; i++)
		order_store(&node->word[i], word);
	tap_is_int(find_key(p.t, &p.key[0].k), WBC_E_CORRUPT,
	           "a node that holds itself is found out (P7)");
	tap_is_int(open_key(p.t, &p.key[2].k), WBC_E_CORRUPT,
	           "by an insert too");
	tap_is_int(unlink_key(p.t, &p.key[0].k, (uint64_t)p.key[0].offset),
	           WBC_E_CORRUPT, "and by an unlink");
	tap_is_int(find_hot(p.t, &p.key[0].k), 0, "the hot way ends as well");
	end_closing(&p);
}

int main(void)
{
	static unsigned char text[WBC_KEY_MAX];
	struct dice d = {1};

	schema = rig_schema("t(k blob key, n counter)");
	for (size_t i = 0; i < sizeof(text); i++)
		text[i] = (unsigned char)(dice_word(&d) | 1);
	long_text = text;
	test_many();
	test_digits();
	test_alike();
	test_equal_hashes();
	test_no_room();
	test_closing();
	test_pruned();
	test_unlinked_twice();
	test_together(true);
	test_together(false);
	test_damage();
	test_circle();
	return tap_done();
}
