/* SPDX-License-Identifier: MIT */
/* Copyright the wbcshm authors */

/*
 * Processes and threads that add at once, by key and through handles: sums
 * are exact.
 */
#include "shm/cell.h"
#include "unit/dice.h"
#include "unit/rig.h"

enum { PROCS = 4, THREADS = 2, KEYS = 10000, HANDLES = 64 };

#ifdef WBC_TSAN
enum { ADDS = 10000 };
#else
enum { ADDS = 60000 };
#endif

#define SPEC "t(word text key, n counter, d double counter)"
#define LONG_SPEC                                                              \
	"u(id int key, path text key, a counter, b double counter, c counter)"

enum { COLUMN_N = 1, COLUMN_D = 2, COLUMN_A = 2, COLUMN_B = 3, COLUMN_C = 4 };

/* What was acknowledged to one thread, by key. */
struct tally {
	int64_t n[KEYS], c[KEYS];
	uint64_t a[KEYS]; /* as the cell, modulo 2^64 */
	double d[KEYS], b[KEYS];
	unsigned failed;
};

struct worker {
	const struct rig *rig;
	struct wbc *c; /* of its process, shared by its threads */
	struct wbc_table *t, *u;
	const struct rig_gate *gate;
	unsigned number;
	struct tally *tally;
};

/* Words of 1 to 40 bytes, so that some do not fit an entry's first line. */
static struct wbc_value word_of(unsigned key, char text[64])
{
	int bytes = snprintf(text, 64, "%u", key);

	if (key % 3 == 0)
		bytes = snprintf(text, 64, "a-word-that-is-rather-long-%010u",
		                 key);
	return wbc_text("word", text, (uint32_t)bytes);
}

static void path_of(unsigned key, char text[64], struct wbc_value row[2])
{
	int bytes = snprintf(text, 64, "/usr/share/common-licenses/%u", key);

	row[key % 2] = wbc_int64("id", key % 16 - 8);
	row[1 - key % 2] = wbc_text("path", text, (uint32_t)bytes);
}

static void count(struct worker *w, int error, bool *added)
{
	w->tally->failed += error != 0;
	*added = error == 0;
}

/* One addition, in one of the ways, of something with a sign of its own. */
static void add_one(struct worker *w, struct dice *d,
                    struct wbc_counter *const *handles)
{
	/* Half of all to a few: those are met by others on the way. */
	unsigned key = dice_below(d, dice_below(d, 2) ? KEYS : 4);
	int64_t delta = (int64_t)dice_below(d, 2000) - 900;
	double half = (double)delta / 2;
	char text[64];
	struct wbc_value row[2];
	bool added;

	switch (dice_below(d, 6)) {
	case 0:
	case 1:
		row[0] = word_of(key, text);
		count(w, wbc_add_int64(w->t, row, 1, COLUMN_N, delta), &added);
		w->tally->n[key] += added ? delta : 0;
		break;
	case 2:
		row[0] = word_of(key, text);
		count(w, wbc_add_double(w->t, row, 1, COLUMN_D, half), &added);
		w->tally->d[key] += added ? half : 0;
		break;
	case 3:
		key %= HANDLES;
		count(w, wbc_counter_add(handles[key], delta), &added);
		w->tally->n[key] += added ? delta : 0;
		break;
	case 4:
		path_of(key, text, row);
		count(w, wbc_add_int64(w->u, row, 2, COLUMN_C, delta), &added);
		w->tally->c[key] += added ? delta : 0;
		/* Far above what one fetch_add may take: by CAS. */
		delta = delta % 60 * (INT64_C(1) << 55);
		if (!wbc_add_int64(w->u, row, 2, COLUMN_A, delta))
			w->tally->a[key] += (uint64_t)delta;
		break;
	default:
		path_of(key, text, row);
		count(w, wbc_add_double(w->u, row, 2, COLUMN_B, half), &added);
		w->tally->b[key] += added ? half : 0;
		break;
	}
}

static void *work(void *arg)
{
	struct worker *w = arg;
	struct wbc_counter *handles[HANDLES];
	struct dice d = {w->number * 7919 + 1};
	char text[64];

	for (unsigned key = 0; key < HANDLES; key++) {
		struct wbc_value row = word_of(key, text);

		if (wbc_counter_open(w->t, &row, 1, COLUMN_N, &handles[key]))
			tap_bail("no handle");
	}
	rig_gate_wait(w->gate);
	for (unsigned i = 0; i < ADDS; i++)
		add_one(w, &d, handles);
	for (unsigned key = 0; key < HANDLES; key += 2)
		wbc_counter_close(&handles[key]);
	return NULL;
}

/* A process: its own handle, and threads that share it. */
static int run_process(void *arg)
{
	struct worker *first = arg;
	struct wbc *c = rig_open(first->rig);
	pthread_t threads[THREADS];

	for (unsigned i = 0; i < THREADS; i++) {
		first[i].c = c;
		first[i].t = rig_table(c, SPEC);
		first[i].u = rig_table(c, LONG_SPEC);
		threads[i] = rig_start(work, &first[i]);
	}
	for (unsigned i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	wbc_close(&c);
	return 0;
}

/* What all threads' tallies say of a key. */
struct sum {
	int64_t n, c;
	uint64_t a;
	double d, b;
};

static struct sum sum_of(const struct tally *tallies, unsigned key)
{
	struct sum sum = {.n = 0};

	for (unsigned i = 0; i < PROCS * THREADS; i++) {
		sum.n += tallies[i].n[key];
		sum.a += tallies[i].a[key];
		sum.c += tallies[i].c[key];
		sum.d += tallies[i].d[key];
		sum.b += tallies[i].b[key];
	}
	return sum;
}

/* A cell's total as the segment has it; 0 if the row is not there. */
static uint64_t total_of(struct wbc_table *t, const struct wbc_value *row,
                         size_t n, unsigned column)
{
	struct wbc_counter *counter;
	uint64_t total;

	if (wbc_counter_open(t, row, n, column, &counter))
		return 0;
	total = order_load(counter->place->total);
	wbc_counter_close(&counter);
	return total;
}

static void check(const struct rig *rig, const struct tally *tallies)
{
	struct wbc *c = rig_open(rig);
	struct wbc_table *t = rig_table(c, SPEC), *u = rig_table(c, LONG_SPEC);
	unsigned wrong_n = 0, wrong_d = 0, wrong_long = 0;

	for (unsigned key = 0; key < KEYS; key++) {
		struct sum sum = sum_of(tallies, key);
		struct wbc_value row[2];
		char text[64];

		row[0] = word_of(key, text);
		wrong_n += (int64_t)total_of(t, row, 1, COLUMN_N) != sum.n;
		/* Halves of small numbers are added without rounding. */
		wrong_d +=
			wbci_double_of(total_of(t, row, 1, COLUMN_D)) != sum.d;
		path_of(key, text, row);
		wrong_long +=
			total_of(u, row, 2, COLUMN_A) != sum.a ||
			(int64_t)total_of(u, row, 2, COLUMN_C) != sum.c ||
			wbci_double_of(total_of(u, row, 2, COLUMN_B)) != sum.b;
	}
	tap_is_uint(wrong_n, 0,
	            "sums of %u keys are exact, added to by key "
	            "and through handles (P3)",
	            KEYS);
	tap_is_uint(wrong_d, 0, "sums of doubles are too");
	tap_is_uint(wrong_long, 0,
	            "and those of rows with a key of two "
	            "columns and three counters");
	wbc_close(&c);
}

int main(void)
{
	struct rig rig = rig_make(
		&(struct wbci_create){.max_bytes = 32 * WBCI_EXTENT_BYTES,
	                              .capacity = KEYS,
	                              .procs = PROCS + 3,
	                              .threads = PROCS * THREADS + 5});
	struct tally *tallies = rig_shared(PROCS * THREADS * sizeof(*tallies));
	struct worker workers[PROCS * THREADS];
	struct rig_gate gate = rig_gate();
	pid_t pids[PROCS];
	unsigned bad = 0;

	for (unsigned i = 0; i < PROCS * THREADS; i++)
		workers[i] = (struct worker){.rig = &rig,
		                             .gate = &gate,
		                             .number = i,
		                             .tally = &tallies[i]};
	for (unsigned i = 0; i < PROCS; i++) {
		pids[i] = fork();
		if (pids[i] < 0)
			tap_bail("fork");
		if (pids[i] == 0) {
			rig_gate_open(&gate);
			tap_child_exit(run_process(&workers[i * THREADS]));
		}
	}
	rig_gate_open(&gate);
	for (unsigned i = 0; i < PROCS; i++)
		bad += rig_wait(pids[i]) != 0;
	tap_is_uint(bad, 0, "%d processes of %d threads end well", PROCS,
	            THREADS);
	bad = 0;
	for (unsigned i = 0; i < PROCS * THREADS; i++)
		bad += tallies[i].failed;
	tap_is_uint(bad, 0, "none of their additions fails");
	check(&rig, tallies);
	rig_drop(&rig);
	return tap_done();
}
