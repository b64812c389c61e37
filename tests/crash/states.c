/* SPDX-License-Identifier: MIT */
/* Copyright the wbcshm authors */

#include "states.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "api/handle.h"
#include "shm/cell.h"
#include "shm/entry.h"
#include "shm/epoch.h"
#include "shm/hot.h"
#include "shm/lane.h"
#include "shm/page.h"
#include "shm/round.h"
#include "shm/sweep.h"
#include "tap/tap.h"

#define PROCS 6
#define THREADS 6
#define LANE_BYTES 4096u
#define CAPACITY 256 /* a root of 512 words */
#define EXTENTS 2
#define FILLER_BYTES 900 /* of a long key: few of them fill a page */

const char *const state_names[STATES] = {
	[EMPTY] = "a new segment",
	[TABLE] = "no row yet",
	[ROW] = "a row marked in this cycle",
	[CLEAN] = "a row not marked",
	[FROZEN] = "a frozen row",
	[DEAD] = "a row half removed",
	[MARKED] = "a sweep under way",
	[LONG] = "no row yet, a long key",
	[CLAIM] = "pages full",
	[RECLAIM] = "a page of retired blocks",
	[GROW] = "an extent full",
	[BARE] = "no table, an extent full",
	[NO_ROOM] = "all extents full",
	[CLASH] = "another key in its place",
	[DEEP] = "a clash through three nodes",
	[CLOSING] = "a node being pruned",
	[TIGHT] = "slots nearly all taken by the dead",
	[LANE] = "a lane used before",
	[WRAP] = "a lane near its end",
	[HALF] = "a lane nearly half full",
	[FULL] = "a full lane",
	[FENCED] = "no membarrier",
};

/* One who makes a state: a client, inside and outside. */
struct maker {
	struct place *place;
	struct wbc *c;
	struct wbc_table *t;
	struct wbci_thread *thread;
	const struct wbci_segment *s;
};

void state_new(const struct place *place, uint32_t extents)
{
	struct wbci_create how = {
		.group = -1,
		.max_bytes = (uint64_t)extents * WBCI_EXTENT_BYTES,
		.capacity = CAPACITY,
		.procs = PROCS,
		.threads = THREADS,
		.lane_bytes = LANE_BYTES,
	};
	char words[512];
	struct wbci_message m = {words, sizeof(words)};

	unlink(place->path);
	if (wbci_segment_create(place->path, &how, &m))
		tap_bail("%s", words);
}

static void open_maker(struct maker *m, struct place *place, bool bare)
{
	char words[512];
	struct wbc_options o = WBC_OPTIONS_INIT;

	o.message = words;
	o.message_size = sizeof(words);
	m->place = place;
	if (wbc_open(&m->c, place->address, &o) ||
	    (!bare &&
	     wbc_table_declare(m->c, OPS_SPEC, &m->t, words, sizeof(words))))
		tap_bail("%s", words);
	m->s = &m->c->client->segment;
	if (wbci_thread(m->c->client, &m->thread))
		tap_bail("no thread slot");
}

static void add_row(struct maker *m, const char *key, int64_t n)
{
	struct wbc_value k = wbc_text(NULL, key, (uint32_t)strlen(key));
	int error = wbc_add_int64(m->t, &k, 1, OPS_N, n);

	if (!error)
		error = wbc_add_double(m->t, &k, 1, OPS_X, (double)n);
	if (error)
		tap_bail("add to %s: %s", key, wbc_strerror(error));
}

static struct wbci_key make_key(const struct maker *m, const char *text)
{
	struct wbci_key k;

	wbci_key_init(m->s, &k, SPACE_ROW, 0, (const unsigned char *)text,
	              (uint16_t)strlen(text));
	return k;
}

static struct entry_shm *entry_of(struct maker *m, const char *key)
{
	struct wbci_key k = make_key(m, key);
	struct entry_shm *e;
	uint64_t offset;

	if (wbci_entry_find(m->thread, &k, &e, &offset))
		tap_bail("no row %s", key);
	wbci_exit(m->thread);
	return e;
}

static int move_cursors(void *arg, const struct wbci_seen *seen)
{
	struct maker *m = arg;

	for (unsigned i = 0; i < seen->n_cells; i++)
		wbci_cursor_move(m->c->client, seen->ref, i, seen->total[i]);
	return 0;
}

/* All that is there is journaled, and nothing is marked. */
static void collect(struct maker *m)
{
	struct wbci_rounds r;
	int error = wbci_rounds_init(&r, m->c->client);

	for (unsigned i = 0; !error && i < 4; i++) {
		error = wbci_round_begin(&r);
		if (!error)
			error = wbci_round_read(&r, move_cursors, m);
		if (!error)
			wbci_round_end(&r);
	}
	wbci_rounds_free(&r);
	if (error)
		tap_bail("a round: %d", error);
}

/* The victim's row, and what the database is said to have of it. */
static void make_row(struct maker *m)
{
	struct entry_shm *e;

	add_row(m, m->place->key, OPS_TOTAL);
	e = entry_of(m, m->place->key);
	order_store(wbci_entry_origin(e, 0), OPS_ORIGIN);
	order_store(wbci_entry_origin(e, 1), wbci_bits_of(OPS_ORIGIN));
}

static void make_clean(struct maker *m)
{
	make_row(m);
	collect(m);
}

static void make_frozen(struct maker *m)
{
	struct entry_shm *e;

	make_clean(m);
	e = entry_of(m, m->place->key);
	order_store(&e->word,
	            wbci_entry_word(order_load(&e->word) >> 4, ENTRY_FROZEN));
}

/* Its flusher died in the section in which it removes it. */
static void make_dead(struct maker *m)
{
	struct entry_shm *e;

	make_clean(m);
	e = entry_of(m, m->place->key);
	order_store(&e->word,
	            wbci_entry_word(order_load(&e->word) >> 4, ENTRY_DEAD));
	wbci_sweep_want(m->s);
}

static void lengthen_key(struct maker *m, size_t bytes)
{
	char *key = m->place->key;
	size_t len = strlen(key);

	memset(key + len, 'v', bytes - len);
	key[bytes] = '\0';
}

static void make_long(struct maker *m)
{
	lengthen_key(m, 60);
}

static uint64_t filler_bytes(const struct maker *m)
{
	return wbci_entry_bytes(m->t->schema.n_cells, FILLER_BYTES);
}

/* Rows with long keys until a page of their class is full. */
static void fill_page(struct maker *m)
{
	int class = wbci_class_of(filler_bytes(m));
	unsigned n = WBCI_PAGE_BYTES / wbci_class_bytes[class];
	char key[FILLER_BYTES + 1];

	for (unsigned i = 0; i < n; i++) {
		snprintf(key, sizeof(key), "filler-%0*u", FILLER_BYTES - 7, i);
		add_row(m, key, 1);
	}
	lengthen_key(m, FILLER_BYTES);
}

static void make_claim(struct maker *m)
{
	fill_page(m);
	collect(m);
}

/* The page's blocks are all retired, and graced, but for one that is used. */
static void make_reclaim(struct maker *m)
{
	int class = wbci_class_of(filler_bytes(m));
	unsigned n = WBCI_PAGE_BYTES / wbci_class_bytes[class];
	char key[FILLER_BYTES + 1];

	snprintf(key, sizeof(key), "filler-%0*u", FILLER_BYTES - 7, 0);
	add_row(m, key, 1);
	for (unsigned i = 1; i < n; i++) {
		uint64_t offset;

		wbci_enter(m->thread);
		if (wbci_block_alloc(m->thread, PAGE_ENTRIES, filler_bytes(m),
		                     &offset))
			tap_bail("no block");
		wbci_block_retire(m->thread, offset);
		wbci_exit(m->thread);
	}
	lengthen_key(m, FILLER_BYTES);
	for (unsigned i = 0; i < 2; i++)
		if (!wbci_epoch_advance(m->c->client))
			tap_bail("the epoch does not move");
}

/* No block may be freed meanwhile. */
static void make_marked(struct maker *m)
{
	make_reclaim(m);
	wbci_sweep_want(m->s);
}

/* Pages that are free become pages of large blocks, of which none is used. */
static void take_pages(struct maker *m)
{
	for (uint32_t i = 0; i < wbci_committed(m->s) * WBCI_PAGES_PER_EXTENT;
	     i++)
		if (order_load(&m->s->words[i]) == PAGE_FREE)
			order_store(&m->s->words[i],
			            wbci_page_word(PAGE_BLOCKS,
			                           WBCI_CLASSES - 1, 0));
}

/*
 * A key whose hash is another's in the root and in so many digits below, but
 * not in the next.
 */
static void find_clash(const struct maker *m, const char *with, unsigned digits,
                       char *key, size_t size)
{
	uint64_t want = make_key(m, with).hash;
	unsigned bits = m->s->geo.root_bits + WBCI_NODE_BITS * digits;

	for (unsigned i = 0; i < 100000000; i++) {
		struct wbci_key k;
		uint64_t differ;

		snprintf(key, size, "clash-%u", i);
		k = make_key(m, key);
		differ = k.hash ^ want;
		if (!(differ & ((UINT64_C(1) << bits) - 1)) &&
		    (differ >> bits & (WBCI_NODE_WORDS - 1)))
			return;
	}
	tap_bail("no keys clash");
}

static void clash(struct maker *m, unsigned digits)
{
	char key[32];

	find_clash(m, m->place->key, digits, key, sizeof(key));
	add_row(m, key, 3);
	collect(m);
}

static void make_clash(struct maker *m)
{
	clash(m, 0);
}

static void make_deep(struct maker *m)
{
	clash(m, 2);
}

/* Two others in a node that the victim's key belongs into, too. */
static void make_closing(struct maker *m)
{
	struct wbci_key k = make_key(m, m->place->key);
	order_u64 *word = &m->s->root[k.hash & m->s->root_mask];
	char a[32], b[32];

	find_clash(m, m->place->key, 0, a, sizeof(a));
	find_clash(m, a, 0, b, sizeof(b));
	add_row(m, a, 3);
	add_row(m, b, 3);
	collect(m);
	if ((order_load(word) & 3) != INDEX_NODE)
		tap_bail("there is no node");
	order_store(word, (order_load(word) & ~UINT64_C(3)) | INDEX_CLOSING);
}

/* Slots whose owners died: locked by nobody, used for ever. */
static void make_tight(struct maker *m)
{
	const struct wbci_segment *s = m->s;

	add_row(m, "other", 3);
	for (uint32_t i = 1; i < PROCS; i++)
		order_store(&s->procs[i].word, 1 << 4 | PROC_USED);
	for (uint32_t i = 1; i < THREADS; i++)
		order_store(&s->threads[i].word,
		            1 << 16 | 1 << 4 | THREAD_USED);
}

/* Every lane at a position, with so much of it not read by the flusher. */
static void make_lanes(struct maker *m, uint64_t tail, uint64_t used)
{
	const struct wbci_segment *s = m->s;

	if (wbci_segment_allocate(s, s->geo.lanes_off,
	                          (uint64_t)THREADS * LANE_BYTES))
		tap_bail("no memory for lanes");
	for (uint32_t i = 0; i < THREADS; i++) {
		order_store(&s->threads[i].lane_ready, 1);
		order_store(&s->threads[i].lane_head, tail - used);
		order_store(&s->threads[i].lane_tail, tail - used);
	}
}

/* Rows of somebody else's, until a lane holds so much. */
static void fill_lane(struct maker *m, uint64_t bytes)
{
	struct scene other = {.key = "other"};
	struct wbc_value values[OPS_VALUES];
	struct thread_shm *lane = m->thread->shm;

	op_row(&other, values);
	while (order_load(&lane->lane_tail) - order_load(&lane->lane_head) <
	       bytes)
		if (wbc_insert(m->t, values, OPS_VALUES, 0))
			break;
}

static void make_lane(struct maker *m)
{
	make_lanes(m, 3 * LANE_BYTES + 512, 0);
	fill_lane(m, 1);
}

static void make_wrap(struct maker *m)
{
	make_lanes(m, 3 * LANE_BYTES - 56, 0);
}

static void make_half(struct maker *m)
{
	make_lanes(m, 512, 0);
	fill_lane(m, LANE_BYTES / 2 - 128);
}

static void make_full(struct maker *m)
{
	make_lanes(m, 512, 0);
	fill_lane(m, LANE_BYTES);
	for (uint32_t i = 1; i < THREADS; i++) {
		memcpy(m->s->lanes + (size_t)i * LANE_BYTES, m->s->lanes,
		       LANE_BYTES);
		order_store(&m->s->threads[i].lane_tail,
		            order_load(&m->s->threads[0].lane_tail));
	}
}

static void (*const makers[STATES])(struct maker *m) = {
	[ROW] = make_row,     [CLEAN] = make_clean,     [FROZEN] = make_frozen,
	[DEAD] = make_dead,   [MARKED] = make_marked,   [LONG] = make_long,
	[CLAIM] = make_claim, [RECLAIM] = make_reclaim, [BARE] = take_pages,
	[GROW] = take_pages,  [NO_ROOM] = take_pages,   [CLASH] = make_clash,
	[DEEP] = make_deep,   [CLOSING] = make_closing, [TIGHT] = make_tight,
	[LANE] = make_lane,   [WRAP] = make_wrap,       [HALF] = make_half,
	[FULL] = make_full,   [FENCED] = make_clean,
};

void state_make(struct place *place, enum state state)
{
	struct maker m;

	snprintf(place->key, sizeof(place->key), "victim");
	state_new(place, state == NO_ROOM ? 1 : EXTENTS);
	if (state == EMPTY)
		return;
	open_maker(&m, place, state == BARE);
	if (makers[state])
		makers[state](&m);
	wbc_close(&m.c);
}

struct search {
	const char *key;
	uint64_t offset;
};

static int search_row(void *arg, const struct wbci_seen *e)
{
	struct search *s = arg;

	if (e->key_len == strlen(s->key) && !memcmp(e->key, s->key, e->key_len))
		s->offset = e->ref.offset;
	return 0;
}

void state_renew(const struct place *place, enum state state)
{
	struct search search = {.key = place->key};
	struct wbci_message none = {NULL, 0};
	struct wbci_segment s;
	struct entry_shm *e;

	if (state != FROZEN)
		return;
	if (wbci_segment_open(&s, place->path, true, &none) ||
	    wbci_entry_visit_all(&s, search_row, &search) || !search.offset)
		tap_bail("there is no row to freeze");
	e = wbci_at(&s, search.offset);
	order_store(&e->word,
	            wbci_entry_word(order_load(&e->word) >> 4, ENTRY_FROZEN));
	wbci_segment_close(&s);
}
