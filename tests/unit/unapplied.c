/* SPDX-License-Identifier: MIT */
/* Copyright the wbcshm authors */

/* The map of what is journaled and not applied. */
#include "flusher/unapplied.h"

#include <string.h>

#include "shm/record.h"
#include "tap/tap.h"
#include "unit/dice.h"

static const unsigned char key[] = "key";

static struct wbci_rowset make_rows(const char *spec, const uint64_t *delta)
{
	struct wbci_rowset rs;

	if (wbci_rowset_init(&rs, spec, strlen(spec), false) ||
	    wbci_rowset_add(&rs, key, 3, delta))
		tap_bail("a row: %s", spec);
	return rs;
}

/* Two specifications may hash alike: then only their cells tell them apart. */
static void test_alike(void)
{
	static const uint64_t deltas[16] = {1, 2, 3, 4, 5, 6, 7, 8};
	struct wbci_rowset one = make_rows("t(k text key, a counter)", deltas);
	struct wbci_rowset many = make_rows(
		"t(k text key, a counter, b counter, c counter, d counter,"
		" e counter, f counter, g counter, h counter)",
		deltas);
	struct wbci_unapplied *u;
	uint64_t left[16] = {0};
	uint64_t waiting = 0;

	if (wbci_unapplied_new(&u))
		tap_bail("no memory");
	wbci_unapplied_wait(u, 7, &one, &waiting);
	wbci_unapplied_wait(u, 7, &many, &waiting);
	wbci_unapplied_wait(u, 7, &many, &waiting);
	tap_ok(waiting == 2 && wbci_unapplied_rows(u) == 2,
	       "P7: rows of two specifications that hash alike are two");
	wbci_rowset_sort(&many);
	wbci_unapplied_plan(u, 7, &many);
	wbci_unapplied_wait(u, 7, &many, &waiting);
	wbci_unapplied_apply(u, 7, &many, many.rows[0], left);
	tap_ok(left[0] == 1 && left[7] == 8,
	       "and what is left of each is its own");
	wbci_unapplied_free(&u);
	wbci_rowset_free(&one);
	wbci_rowset_free(&many);
}

/*
 * A queue in small: rounds become batches, batches are merged or become
 * pieces, pieces are applied, and after each step the map says of every row
 * what an oracle says.
 */
enum { KEYS = 60, STEPS = 4000, BATCHES = 12 };
#define SPEC "t(k int key, n counter, a int, b int, c int)"

/* What is unapplied of a row, waiting or planned. */
struct part {
	uint64_t n;
	bool holds;
	uint64_t where[5]; /* by column: the newest one's number, or 0 */
};

struct model {
	struct wbci_unapplied *u;
	struct part waiting[KEYS], planned[KEYS];
	struct wbci_rowset batches[BATCHES];
	uint64_t rounds[BATCHES];
	unsigned n_batches;
	struct wbci_rowset pieces; /* all rows that are planned */
	bool outstanding;
	uint64_t round, piece;
};

static struct wbci_rowset empty(void)
{
	struct wbci_rowset rs;

	if (wbci_rowset_init(&rs, SPEC, strlen(SPEC), false))
		tap_bail("no memory");
	return rs;
}

static int ignore(void *arg, uint32_t chunk, const void *blob, size_t bytes)
{
	(void)arg;
	(void)chunk;
	(void)blob;
	(void)bytes;
	return 0;
}

/* Written as a batch or a piece, so that its rows know where. */
static void place(struct wbci_rowset *rs, uint64_t number)
{
	struct wbci_slice all = wbci_rowset_all(rs);

	if (wbci_rowset_write(rs, &all, number, ignore, NULL))
		tap_bail("no memory");
}

static int copy(void *arg, uint32_t chunk, const void *blob, size_t bytes)
{
	(void)chunk;
	return wbci_rowset_read(arg, blob, bytes);
}

static void add_all(struct wbci_rowset *to, struct wbci_rowset *from)
{
	struct wbci_slice all = wbci_rowset_all(from);

	if (wbci_rowset_write(from, &all, 1, copy, to))
		tap_bail("no memory");
}

static void collect(struct model *m, struct dice *d)
{
	struct wbci_rowset *rs = &m->batches[m->n_batches];
	uint64_t waiting = 0, fresh = 0;

	*rs = empty();
	m->rounds[m->n_batches++] = ++m->round;
	for (unsigned i = dice_below(d, 20); i; i--) {
		unsigned char k = (unsigned char)dice_below(d, KEYS);
		struct wbc_value values[3];
		uint8_t columns[3];
		uint64_t delta = dice_below(d, 3) - 1u;
		unsigned n = 0;

		for (uint8_t c = 2; c < 5; c++)
			if (dice_below(d, 4) == 0) {
				columns[n] = c;
				values[n++] = wbc_int64(NULL, (int64_t)i);
				m->waiting[k].where[c] = m->round;
			}
		delta = (uint64_t)(int64_t)(int32_t)delta;
		if (wbci_rowset_change(rs, &k, 1, &delta, values, columns, n))
			tap_bail("no memory");
		m->waiting[k].n += delta;
		fresh += !m->waiting[k].holds;
		m->waiting[k].holds = true;
	}
	place(rs, m->round);
	if (wbci_unapplied_wait(m->u, 1, rs, &waiting) || waiting != fresh)
		tap_bail("%llu rows wait anew", (unsigned long long)waiting);
}

static void drop_batches(struct model *m, unsigned first)
{
	while (m->n_batches > first)
		wbci_rowset_free(&m->batches[--m->n_batches]);
}

static void merge(struct model *m, struct dice *d)
{
	unsigned first = dice_below(d, m->n_batches);
	struct wbci_rowset rs = empty();
	uint64_t from = m->rounds[first];

	for (unsigned i = first; i < m->n_batches; i++)
		add_all(&rs, &m->batches[i]);
	place(&rs, m->round);
	if (wbci_unapplied_merge(m->u, 1, &rs))
		tap_bail("no memory");
	drop_batches(m, first);
	m->rounds[first] = m->round;
	m->batches[m->n_batches++] = rs;
	for (unsigned k = 0; k < KEYS; k++)
		for (unsigned c = 0; c < 5; c++)
			if (m->waiting[k].where[c] >= from)
				m->waiting[k].where[c] = m->round;
}

static void plan(struct model *m)
{
	m->pieces = empty();
	for (unsigned i = 0; i < m->n_batches; i++)
		add_all(&m->pieces, &m->batches[i]);
	drop_batches(m, 0);
	wbci_rowset_sort(&m->pieces);
	place(&m->pieces, ++m->piece);
	if (wbci_unapplied_plan(m->u, 1, &m->pieces))
		tap_bail("no memory");
	m->outstanding = true;
	for (unsigned k = 0; k < KEYS; k++) {
		m->planned[k] = m->waiting[k];
		for (unsigned c = 0; c < 5; c++)
			if (m->planned[k].where[c])
				m->planned[k].where[c] = m->piece;
		memset(&m->waiting[k], 0, sizeof(m->waiting[k]));
	}
}

static void apply(struct model *m)
{
	uint64_t left;

	for (uint64_t i = 0; i < m->pieces.n_rows; i++) {
		unsigned k = *wbci_row_key(&m->pieces, m->pieces.rows[i]);

		wbci_unapplied_apply(m->u, 1, &m->pieces, m->pieces.rows[i],
		                     &left);
		if (left != m->waiting[k].n)
			tap_bail("what is left of row %u is wrong", k);
	}
	memset(m->planned, 0, sizeof(m->planned));
	wbci_rowset_free(&m->pieces);
	m->outstanding = false;
}

/* Everything that waits, forgotten and told again, as after a plan. */
static void recount(struct model *m)
{
	uint64_t waiting = 0;

	wbci_unapplied_forget(m->u, 1);
	for (unsigned i = 0; i < m->n_batches; i++)
		if (wbci_unapplied_wait(m->u, 1, &m->batches[i], &waiting))
			tap_bail("no memory");
}

static bool row_right(struct model *m, unsigned char k)
{
	struct wbci_newest newest[WBC_COLUMNS_MAX];
	const struct part *w = &m->waiting[k], *p = &m->planned[k];
	struct wbci_rowset any = empty();
	uint64_t left, seen = 0;
	bool right = true;
	unsigned n = wbci_unapplied_find(m->u, 1, &any, &k, 1, &left, newest);

	right = left == w->n + p->n;
	for (unsigned i = 0; i < n; i++)
		for (unsigned c = 0; c < 5; c++) {
			if (!(newest[i].columns >> c & 1))
				continue;
			right = right && !(seen >> c & 1) &&
			        newest[i].planned == !w->where[c] &&
			        newest[i].place.number ==
			                (w->where[c] ? w->where[c]
			                             : p->where[c]);
			seen |= UINT64_C(1) << c;
		}
	for (unsigned c = 0; c < 5; c++)
		right = right &&
		        (seen >> c & 1) == (w->where[c] || p->where[c]);
	wbci_rowset_free(&any);
	return right;
}

static void test_random(void)
{
	struct dice d = dice_seeded();
	static struct model m;
	unsigned wrong = 0, plans = 0, merges = 0;

	if (wbci_unapplied_new(&m.u))
		tap_bail("no memory");
	for (unsigned i = 0; i < STEPS; i++) {
		unsigned what = dice_below(&d, 8);

		if (what < 4 && m.n_batches < BATCHES) {
			collect(&m, &d);
		} else if (what == 4 && m.n_batches) {
			merge(&m, &d);
			merges++;
		} else if (what == 5 && m.n_batches && !m.outstanding) {
			plan(&m);
			plans++;
		} else if (what == 6 && m.outstanding) {
			apply(&m);
		} else if (what == 7) {
			recount(&m);
		}
		for (unsigned k = 0; k < KEYS; k++)
			wrong += !row_right(&m, (unsigned char)k);
	}
	tap_ok(!wrong && plans > 50 && merges > 50,
	       "the map knows of each row the sum that is unapplied, and where "
	       "the newest value of each column stands (%u plans, %u merges)",
	       plans, merges);
	if (m.outstanding)
		apply(&m);
	drop_batches(&m, 0);
	wbci_unapplied_forget(m.u, 1);
	tap_is_uint(wbci_unapplied_rows(m.u), 0, "nothing is left at the end");
	wbci_unapplied_free(&m.u);
}

/* Many rows of two tables; one goes away, the other stays whole. */
static void test_many(void)
{
	enum { MANY = 200000 };
	static const char spec[] = "t(k int key, n counter)";
	struct wbci_rowset rs;
	struct wbci_unapplied *u;
	uint64_t delta = 3, left, waiting = 0;
	unsigned wrong = 0;

	if (wbci_unapplied_new(&u) ||
	    wbci_rowset_init(&rs, spec, strlen(spec), true))
		tap_bail("no memory");
	for (uint32_t i = 0; i < MANY; i++)
		wbci_rowset_add(&rs, (unsigned char *)&i, sizeof(i), &delta);
	wbci_unapplied_wait(u, 1, &rs, &waiting);
	wbci_unapplied_wait(u, 2, &rs, &waiting);
	wbci_unapplied_wait(u, 2, &rs, &waiting);
	tap_is_uint(waiting, 2 * MANY, "%u rows of two tables are all counted",
	            2 * MANY);
	wbci_unapplied_forget(u, 1);
	for (uint32_t i = 0; i < MANY; i++) {
		wbci_unapplied_find(u, 2, &rs, (unsigned char *)&i, sizeof(i),
		                    &left, NULL);
		wrong += left != 6;
		wbci_unapplied_find(u, 1, &rs, (unsigned char *)&i, sizeof(i),
		                    &left, NULL);
		wrong += left != 0;
	}
	tap_ok(!wrong && wbci_unapplied_rows(u) == MANY,
	       "one table's go, the other's stay");
	wbci_unapplied_free(&u);
	wbci_rowset_free(&rs);
}

/* Where a value stood that a newer one overrode is not kept. */
static void test_hot(void)
{
	struct wbci_rowset rs = empty();
	const struct wbc_value value = wbc_int64(NULL, 1);
	const uint8_t column = 2;
	const uint64_t delta = 1;
	struct wbci_unapplied *u;
	uint64_t before, waiting = 0;

	if (wbci_unapplied_new(&u) ||
	    wbci_rowset_change(&rs, key, 1, &delta, &value, &column, 1))
		tap_bail("no memory");
	wbci_unapplied_wait(u, 1, &rs, &waiting);
	before = wbci_unapplied_bytes(u);
	for (unsigned i = 2; i < 100000; i++) {
		rs.rows[0]->set->place.number = i;
		wbci_unapplied_wait(u, 1, &rs, &waiting);
	}
	tap_is_uint(
		wbci_unapplied_bytes(u), before,
		"a row that 100,000 batches hold takes no more than of one");
	wbci_unapplied_free(&u);
	wbci_rowset_free(&rs);
}

int main(void)
{
	test_alike();
	test_random();
	test_hot();
	test_many();
	return tap_done();
}
