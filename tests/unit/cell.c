/* SPDX-License-Identifier: MIT */
/* Copyright the wbcshm authors */

/* Cells: sums are exact or refused, and values know what is not known. */
#include "shm/cell.h"

#include <float.h>

#include "unit/rig.h"
#include "unit/step.h"

#define SPEC "t(k text key, n counter, d double counter)"
#define MAX WBCI_TOTAL_MAX

enum { INT_CELL = 0, DOUBLE_CELL = 1, THREAD_SLOTS = 8 };
#define SMALL (MAX / THREAD_SLOTS) /* the largest delta of one fetch_add */

static struct wbci_schema schema;

struct cell {
	struct rig rig;
	struct wbci_client *c;
	struct wbci_thread *t;
	struct entry_shm *e; /* LIVE for good: nobody removes anything */
};

static struct cell begin(void)
{
	struct cell x = {.rig = rig_make(&(struct wbci_create){
				 .max_bytes = WBCI_EXTENT_BYTES,
				 .capacity = 1,
				 .procs = 8,
				 .threads = THREAD_SLOTS})};
	struct wbci_key k;
	uint64_t offset;

	x.c = rig_client(&x.rig);
	x.t = rig_thread(x.c);
	k = rig_key(&x.c->segment, "k", 1);
	if (wbci_entry_open(x.t, &k, &schema, &x.e, &offset))
		tap_bail("no entry");
	wbci_exit(x.t);
	return x;
}

static void end(struct cell *x)
{
	wbci_client_close(&x->c);
	rig_drop(&x->rig);
}

/* The client's two ways of adding; they must not differ. */
static int add_slow(struct cell *x, int64_t delta, uint64_t *total)
{
	int error;

	wbci_enter(x->t);
	error = wbci_cell_add_int64(x->t, x->e, INT_CELL, delta, total);
	wbci_exit(x->t);
	return error;
}

/* As the hot paths do it, which leave to the other way what is not ready. */
static int add_hot(struct cell *x, int64_t delta, uint64_t *total)
{
	order_u64 *word = wbci_entry_total(x->e, INT_CELL);
	bool ready;

	wbci_enter(x->t);
	ready = wbci_cell_ready(x->t->control, x->e, word, delta);
	if (ready)
		*total = order_add_relaxed(word, (uint64_t)delta) +
		         (uint64_t)delta;
	wbci_exit(x->t);
	return ready ? 0 : add_slow(x, delta, total);
}

static void test_int64(void)
{
	static const struct {
		int64_t total, delta;
		int result;
		const char *what;
	} adds[] = {
		{0, 0, 0, "0 and 0"},
		{0, 1, 0, "1"},
		{5, -7, 0, "a negative delta"},
		{MAX - 1, 1, 0, "up to 2^61"},
		{MAX, 0, 0, "nothing to 2^61"},
		{MAX, 1, -ERANGE, "one more than 2^61"},
		{MAX, -1, 0, "down from 2^61"},
		{-MAX + 1, -1, 0, "down to -2^61"},
		{-MAX, -1, -ERANGE, "one less than -2^61"},
		{-MAX, 1, 0, "up from -2^61"},
		{0, SMALL, 0, "the largest small delta"},
		{0, SMALL + 1, 0, "the smallest large one"},
		{0, -SMALL, 0, "the largest small delta, negative"},
		{0, -SMALL - 1, 0, "the smallest large one, negative"},
		{MAX, SMALL, -ERANGE, "a small delta to 2^61"},
		{-MAX, -SMALL, -ERANGE, "a small delta to -2^61"},
		{0, MAX, 0, "2^61 at once"},
		{0, MAX + 1, -ERANGE, "more than 2^61 at once"},
		{0, -MAX - 1, -ERANGE, "less than -2^61 at once"},
		{-MAX, 2 * MAX, 0, "from one end to the other"},
		{MAX, -2 * MAX, 0, "and back"},
		{-MAX, 2 * MAX + 1, -ERANGE, "from one end beyond the other"},
		{1, INT64_MAX, -ERANGE, "INT64_MAX"},
		{0, INT64_MIN, -ERANGE, "INT64_MIN"},
		{-1, INT64_MIN, -ERANGE, "INT64_MIN to -1"},
		{MAX, INT64_MIN, -ERANGE, "INT64_MIN to 2^61"},
		{2 * MAX, -1, -ERANGE, "to where racing threads may come"},
		{2 * MAX, -MAX, 0, "back from there"},
		{-2 * MAX, MAX, 0, "back from the other end"},
		{-2 * MAX, -SMALL, -ERANGE, "further beyond the other end"}};
	struct cell x = begin();
	order_u64 *word = wbci_entry_total(x.e, INT_CELL);

	for (size_t i = 0; i < N(adds); i++) {
		bool refused = adds[i].result != 0;
		int64_t want = adds[i].total + (refused ? 0 : adds[i].delta);
		uint64_t slow = 0, hot = 0;
		bool good = true;

		order_store(word, (uint64_t)adds[i].total);
		good = good &&
		       add_slow(&x, adds[i].delta, &slow) == adds[i].result;
		good = good && (int64_t)order_load(word) == want;
		/* Marked by now, so this is the hot path's decision. */
		order_store(word, (uint64_t)adds[i].total);
		good = good &&
		       add_hot(&x, adds[i].delta, &hot) == adds[i].result;
		good = good && (int64_t)order_load(word) == want;
		good = good &&
		       (refused || ((int64_t)slow == want && hot == slow));
		tap_ok(good, "adding %s is %s, either way", adds[i].what,
		       refused ? "refused and changes nothing" : "exact");
	}
	end(&x);
}

static void test_double(void)
{
	static const struct {
		double total, delta;
		int result;
		const char *what;
	} adds[] = {{0, 0.5, 0, "a half"},
	            {0.5, -0.75, 0, "a negative delta"},
	            {1e15, 0.125, 0, "a small one to a large one"},
	            {DBL_MAX, DBL_MAX, -ERANGE, "beyond the largest double"},
	            {-DBL_MAX, -DBL_MAX, -ERANGE, "beyond the least"},
	            {WBCI_DOUBLE_MAX, WBCI_DOUBLE_MAX, -ERANGE,
	             "to where a round's difference could be infinite"},
	            {WBCI_DOUBLE_MAX, -2 * WBCI_DOUBLE_MAX, 0,
	             "from one end to the other"},
	            {WBCI_DOUBLE_MAX, 1, 0, "what is lost in rounding"},
	            {1, (double)NAN, -ERANGE, "NaN"},
	            {1, (double)INFINITY, -ERANGE, "infinity"},
	            {1, -(double)INFINITY, -ERANGE, "minus infinity"}};
	struct cell x = begin();
	order_u64 *word = wbci_entry_total(x.e, DOUBLE_CELL);

	for (size_t i = 0; i < N(adds); i++) {
		bool refused = adds[i].result != 0;
		double want =
			refused ? adds[i].total : adds[i].total + adds[i].delta;
		double total = want;
		int result;

		order_store(word, wbci_bits_of(adds[i].total));
		wbci_enter(x.t);
		result = wbci_cell_add_double(x.t, x.e, DOUBLE_CELL,
		                              adds[i].delta, &total);
		wbci_exit(x.t);
		tap_ok(result == adds[i].result &&
		               order_load(word) == wbci_bits_of(want) &&
		               (refused ||
		                wbci_bits_of(total) == wbci_bits_of(want)),
		       "adding %s is %s", adds[i].what,
		       refused ? "refused and changes nothing" : "exact");
	}
	end(&x);
}

static void test_values(void)
{
	static const struct {
		uint64_t origin;
		int64_t total;
		int result;
		int64_t value;
		const char *what;
	} ints[] = {
		{40, 2, 0, 42, "origin and total together"},
		{(uint64_t)-40, 2, 0, -38, "a negative origin counts"},
		{WBCI_INT64_NULL, 7, 0, 7, "NULL counts as 0"},
		{WBCI_INT64_UNKNOWN, 7, WBC_E_UNKNOWN, 0,
	         "an unknown origin has no value"},
		{WBCI_INT64_NOROW, 7, WBC_E_NOROW, 0,
	         "a row that is not there has none"},
		{INT64_MAX, 1, -ERANGE, 0, "a sum over INT64_MAX is refused"},
		{(uint64_t)INT64_MIN + 3, -4, -ERANGE, 0,
	         "a sum under INT64_MIN is refused"},
		{INT64_MAX, -1, 0, INT64_MAX - 1, "a sum at the edge is not"}};
	static const struct {
		uint64_t bits; /* 0: origin */
		double origin, total;
		int result;
		double value;
		const char *what;
	} doubles[] = {
		{0, 40, 2.5, 0, 42.5, "double origin and total together"},
		{WBCI_DOUBLE_NULL, 0, 7, 0, 7, "NULL counts as 0.0"},
		{WBCI_DOUBLE_UNKNOWN, 0, 7, WBC_E_UNKNOWN, 0,
	         "an unknown double has no value"},
		{WBCI_DOUBLE_NOROW, 0, 7, WBC_E_NOROW, 0,
	         "nor has one of no row"},
		{0, DBL_MAX, DBL_MAX, -ERANGE, 0,
	         "a sum that is not finite is refused"},
		{UINT64_C(0x7ff8000000000000), 0, 1, -ERANGE, 0,
	         "a stranger's NaN for an origin is no value (P7)"}};

	for (size_t i = 0; i < N(ints); i++) {
		int64_t value = 0;

		tap_ok(wbci_cell_value_int64(ints[i].origin,
		                             (uint64_t)ints[i].total,
		                             &value) == ints[i].result &&
		               value == ints[i].value,
		       "%s", ints[i].what);
	}
	for (size_t i = 0; i < N(doubles); i++) {
		uint64_t origin = doubles[i].bits
		                          ? doubles[i].bits
		                          : wbci_bits_of(doubles[i].origin);
		double value = 0;

		tap_ok(wbci_cell_value_double(origin,
		                              wbci_bits_of(doubles[i].total),
		                              &value) == doubles[i].result &&
		               value == doubles[i].value,
		       "%s", doubles[i].what);
	}
}

#if STEP_WORKS
/* Somebody else adds to the cell at each instruction of an add. */
struct meeting {
	struct cell mine, other;
	int64_t delta;
	int (*add)(struct cell *x, int64_t delta, uint64_t *total);
	int64_t sum;
	double double_sum;
	unsigned failed;
};

static int add_halves(struct cell *x, int64_t delta, uint64_t *total)
{
	double sum;
	int error;

	wbci_enter(x->t);
	error = wbci_cell_add_double(x->t, x->e, DOUBLE_CELL, (double)delta / 2,
	                             &sum);
	wbci_exit(x->t);
	*total = 0;
	return error;
}

static void add_mine(void *arg)
{
	struct meeting *m = arg;
	uint64_t total;

	m->failed += m->add(&m->mine, m->delta, &total) != 0;
}

static void add_other(void *arg)
{
	struct meeting *m = arg;
	uint64_t total;

	m->failed += add_slow(&m->other, 3, &total) != 0;
	m->failed += add_halves(&m->other, 3, &total) != 0;
	m->sum += 3;
	m->double_sum += 1.5;
}

static void test_meeting(void)
{
	static const struct {
		int (*add)(struct cell *x, int64_t delta, uint64_t *total);
		int64_t delta;
		const char *what;
	} adds[] = {{add_hot, 7, "a small add"},
	            {add_slow, -7, "a small add, the other way"},
	            {add_slow, SMALL + 1, "a large add"},
	            {add_halves, 7, "an add of a double"}};

	for (size_t i = 0; i < N(adds); i++) {
		struct meeting m = {.mine = begin(), .add = adds[i].add};
		struct wbci_client *c = rig_client(&m.mine.rig);
		unsigned wrong = 0;
		bool met = true;

		m.other = m.mine;
		m.other.c = c;
		m.other.t = rig_thread(c);
		for (unsigned long at = 1; met; at += STEP_STRIDE) {
			/* Back and forth, so that the range is not left. */
			m.delta = at / STEP_STRIDE % 2 ? -adds[i].delta
			                               : adds[i].delta;
			met = step_once(add_mine, &m, add_other, &m, at);
			if (adds[i].add == add_halves)
				m.double_sum += (double)m.delta / 2;
			else
				m.sum += m.delta;
			wrong += (int64_t)order_load(&m.mine.e->total) != m.sum;
			wrong += wbci_double_of(order_load(wbci_entry_total(
					 m.mine.e, DOUBLE_CELL))) !=
			         m.double_sum;
		}
		tap_ok(wrong == 0 && m.failed == 0,
		       "%s that meets another at any instruction is exact",
		       adds[i].what);
		wbci_client_close(&c);
		end(&m.mine);
	}
}
#else
static void test_meeting(void)
{
	tap_skip(4, STEP_WHY_NOT);
}
#endif

/* Several at one cell, with deltas of every size. */
enum { ADDERS = 4, ADDS = 20000 };
struct adder {
	const struct cell *cell;
	const struct rig_gate *gate;
	unsigned number;
	bool fenced;
	uint64_t sum; /* as the cell does it, modulo 2^64 */
	double double_sum;
	unsigned refused;
};

/* Small, large, and so large that most are refused. */
static int64_t delta_of(unsigned number, unsigned i)
{
	int64_t sign = (i + number) % 2 ? 1 : -1;

	switch (i % 8) {
	case 6:
		return sign * (SMALL + 17);
	case 7:
		return sign * (MAX - (int64_t)i);
	default:
		return sign * (int64_t)(i % 1000);
	}
}

static void *add_thread(void *arg)
{
	struct adder *a = arg;
	struct wbci_client *c = a->fenced ? rig_fenced(&a->cell->rig)
	                                  : rig_client(&a->cell->rig);
	struct cell x = {.c = c, .t = rig_thread(c)};

	x.e = wbci_at(&c->segment, (uint64_t)((unsigned char *)a->cell->e -
	                                      a->cell->c->segment.base));
	rig_gate_wait(a->gate);
	for (unsigned i = 0; i < ADDS; i++) {
		int64_t delta = delta_of(a->number, i);
		double half = (double)(i % 64) / 2, sum;
		uint64_t total;
		int error = i % 2 ? add_hot(&x, delta, &total)
		                  : add_slow(&x, delta, &total);

		if (!error)
			a->sum += (uint64_t)delta;
		a->refused += error != 0;
		wbci_enter(x.t);
		/* Halves below 2^53 are added without rounding. */
		if (!wbci_cell_add_double(x.t, x.e, DOUBLE_CELL, half, &sum))
			a->double_sum += half;
		wbci_exit(x.t);
	}
	wbci_client_close(&c);
	return NULL;
}

static void test_together(void)
{
	struct cell x = begin();
	struct rig_gate gate = rig_gate();
	struct adder adders[ADDERS];
	pthread_t threads[ADDERS];
	uint64_t sum = 0;
	unsigned refused = 0;
	double double_sum = 0;

	for (unsigned i = 0; i < ADDERS; i++) {
		adders[i] = (struct adder){.cell = &x,
		                           .gate = &gate,
		                           .number = i,
		                           .fenced = i % 2};
		threads[i] = rig_start(add_thread, &adders[i]);
	}
	rig_gate_open(&gate);
	for (unsigned i = 0; i < ADDERS; i++) {
		pthread_join(threads[i], NULL);
		sum += adders[i].sum;
		double_sum += adders[i].double_sum;
		refused += adders[i].refused;
	}
	close(gate.fd[0]);
	tap_is_int((int64_t)order_load(wbci_entry_total(x.e, INT_CELL)),
	           (int64_t)sum,
	           "threads that add at once, small and large, are exact");
	tap_diag("%u of %u were refused", refused, ADDERS * ADDS);
	tap_is_double(
		wbci_double_of(order_load(wbci_entry_total(x.e, DOUBLE_CELL))),
		double_sum, "so are they with doubles");
	end(&x);
}

/* All add towards the edge at once: none passes 2^62. */
static void *push_thread(void *arg)
{
	struct adder *a = arg;
	struct wbci_client *c = rig_client(&a->cell->rig);
	struct cell x = {.c = c, .t = rig_thread(c)};
	uint64_t total;

	x.e = wbci_at(&c->segment, (uint64_t)((unsigned char *)a->cell->e -
	                                      a->cell->c->segment.base));
	rig_gate_wait(a->gate);
	for (unsigned i = 0; i < ADDS; i++) {
		if (!add_hot(&x, SMALL, &total))
			a->sum++;
		if ((int64_t)total > 2 * MAX)
			a->refused++;
		if (!add_slow(&x, i % 3 ? -SMALL : -SMALL - 1, &total))
			a->double_sum += i % 3 ? 1 : 1 + 1 / (double)SMALL;
	}
	wbci_client_close(&c);
	return NULL;
}

static void test_edge(void)
{
	struct cell x = begin();
	struct rig_gate gate = rig_gate();
	struct adder adders[ADDERS];
	pthread_t threads[ADDERS];
	unsigned beyond = 0;
	int64_t total;

	order_store(wbci_entry_total(x.e, INT_CELL), (uint64_t)MAX);
	for (unsigned i = 0; i < ADDERS; i++) {
		adders[i] =
			(struct adder){.cell = &x, .gate = &gate, .number = i};
		threads[i] = rig_start(push_thread, &adders[i]);
	}
	rig_gate_open(&gate);
	for (unsigned i = 0; i < ADDERS; i++) {
		pthread_join(threads[i], NULL);
		beyond += adders[i].refused;
	}
	close(gate.fd[0]);
	total = (int64_t)order_load(wbci_entry_total(x.e, INT_CELL));
	tap_ok(beyond == 0 && total <= 2 * MAX && total >= -2 * MAX,
	       "threads that race past 2^61 do not pass 2^62");
	end(&x);
}

int main(void)
{
	schema = rig_schema(SPEC);
	test_int64();
	test_double();
	test_values();
	test_meeting();
	test_together();
	test_edge();
	return tap_done();
}
