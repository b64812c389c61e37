/* SPDX-License-Identifier: MIT */
/* Copyright the wbcshm authors */

/*
 * Real kills, with a survivor that works on.
 *
 * A victim does an operation and gets SIGKILL after k instructions of it, for
 * one k after the other; it steps itself, which is cheaper than to be traced.
 * Beside it a survivor adds to the same row and inserts, and is not once held
 * up: after each kill it must come round before anybody looks after the dead.
 * Then a flusher that lives all the time reaps and sweeps, collects what is
 * marked, and empties the lanes.  The sums of all are exact to the last add and
 * row.
 *
 * The short form takes some k of a long operation, by a seed; the long form
 * takes others in each pass, and so all in time.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <limits.h>
#include <signal.h>
#include <stdint.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "api/handle.h"
#include "crash/bad.h"
#include "crash/facts.h"
#include "crash/survivor.h"
#include "crash/sweep.h"
#include "shm/cell.h"
#include "shm/entry.h"
#include "shm/epoch.h"
#include "shm/lane.h"
#include "shm/plain.h"
#include "shm/round.h"
#include "shm/sweep.h"
#include "shm/table.h"
#include "tap/tap.h"
#include "tools/check.h"
#include "unit/dice.h"
#include "unit/soak.h"

#define N(array) (sizeof(array) / sizeof((array)[0]))
#define STEPS_MAX 200000
/* In one pass a short operation is killed at each of its instructions, a long
 * one at some, one over LONG at fewer. */
#define SHORT_ALL 1300
#define SHORT_SOME 100
#define LONG 4000

/* What is repeated: an operation, on one row or each time on a new one. */
static const struct plan {
	const char *op;
	bool fresh;
} plans[] = {
	{"open", false},
	{"close", false},
	{"declare again", false},
	{"open a counter", true},
	{"add by counter", false},
	{"add by counter", true},
	{"add a double by counter", false},
	{"add", false},
	{"add", true},
	{"add too much", false},
	{"add a double", false},
	{"add a double", true},
	{"add and get", false},
	{"update", false},
	{"update", true},
	{"insert", true},
	{"ask for a sync", false},
	{"ask for a flush", false},
	{"ask for a table's flush", false},
	{"a thread's first add", false},
	{"a thread's first add", true},
	{"a thread's end", true},
	{"a forked child's first add", false},
	{"a forked child's first add", true},
};

struct field {
	struct sweep_site site;
	struct wbci_client *flusher;
	struct wbci_schema schema;
	struct wbci_rounds rounds;
	struct survivor survivor;
	struct dice dice;
	unsigned long kills, steps;
	unsigned trial;
	char count_path[4096];
	volatile uint64_t *count; /* instructions of the victim at work */
	int64_t inserted;         /* by the survivor, as lanes had it */
	int64_t victims;          /* records of the victim at work */
	unsigned long swept;
	struct wrong wrong;
};

static void open_flusher(struct field *f)
{
	struct wbci_create how = {.group = -1,
	                          .max_bytes = UINT64_C(64) << 20,
	                          .capacity = 4096,
	                          .procs = 8,
	                          .threads = 8,
	                          .lane_bytes = 65536};
	char words[512];
	struct wbci_message m = {words, sizeof(words)};
	struct wbci_thread *t;

	snprintf(f->site.live.key, sizeof(f->site.live.key), "victim");
	if (wbci_segment_create(f->site.live.path, &how, &m) ||
	    wbci_client_open(&f->flusher, f->site.live.path, true, &m))
		tap_bail("%s", words);
	if (wbci_schema_parse(&f->schema, OPS_SPEC, strlen(OPS_SPEC), &m) ||
	    wbci_thread(f->flusher, &t) ||
	    wbci_table_declare(t, &f->schema, &m) < 0 ||
	    wbci_rounds_init(&f->rounds, f->flusher))
		tap_bail("no table");
}

/* So that it may be added to and got: the database is said to have it. */
static void make_row(struct field *f)
{
	struct wbci_thread *t;
	struct wbci_key k;
	struct entry_shm *e;
	uint64_t offset;

	wbci_key_init(&f->flusher->segment, &k, SPACE_ROW, 0,
	              (const unsigned char *)f->site.live.key,
	              (uint16_t)strlen(f->site.live.key));
	if (wbci_thread(f->flusher, &t) ||
	    wbci_entry_open(t, &k, &f->schema, &e, &offset))
		tap_bail("no row");
	order_store(wbci_entry_origin(e, OPS_N - 1), 0);
	wbci_exit(t);
}

static void share_count(struct field *f)
{
	int fd;
	void *p;

	snprintf(f->count_path, sizeof(f->count_path), "%s/count", f->site.dir);
	fd = open(f->count_path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (fd < 0 || ftruncate(fd, WBCI_SYS_PAGE))
		tap_bail("%s: %s", f->count_path, strerror(errno));
	p = mmap(NULL, WBCI_SYS_PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd,
	         0);
	if (p == MAP_FAILED)
		tap_bail("%s: %s", f->count_path, strerror(errno));
	close(fd);
	f->count = p;
}

/* A row's cells, and whether it is there. */
static struct entry_shm *find_row(struct field *f, const char *name,
                                  struct wbci_thread **t)
{
	struct wbci_key k;
	struct entry_shm *e;
	uint64_t offset;

	wbci_key_init(&f->flusher->segment, &k, SPACE_ROW, 0,
	              (const unsigned char *)name, (uint16_t)strlen(name));
	if (wbci_thread(f->flusher, t))
		tap_bail("no thread slot");
	return wbci_entry_find(*t, &k, &e, &offset) ? NULL : e;
}

/* How often a row was set. */
static uint64_t version_of(struct field *f, struct entry_shm *e)
{
	const struct wbci_segment *s = &f->flusher->segment;

	return wbci_tree_version(
		s, wbci_plain_root(wbci_entry_row(s, e, wbci_offset(s, e))));
}

/* What an operation changed so far, on a row. */
static int64_t fact_of(struct field *f, const char *row, enum fact fact)
{
	struct wbci_thread *t;
	struct entry_shm *e;
	int64_t value = 0;

	if (fact == FACT_ROWS)
		return f->victims;
	if (fact != FACT_INT && fact != FACT_DOUBLE && fact != FACT_UPDATES)
		return 0;
	e = find_row(f, row, &t);
	if (!e)
		return 0;
	if (fact == FACT_UPDATES) {
		value = (int64_t)version_of(f, e);
		wbci_exit(t);
		return value;
	}
	value = (int64_t)order_acquire(
		wbci_entry_total(e, fact == FACT_INT ? OPS_N - 1 : OPS_X - 1));
	wbci_exit(t);
	if (fact == FACT_DOUBLE)
		value = (int64_t)(2 * wbci_double_of((uint64_t)value));
	return value;
}

static int64_t column_m(struct field *f, const char *row)
{
	struct wbci_thread *t;
	struct entry_shm *e = find_row(f, row, &t);
	int64_t value;

	if (!e)
		return 0;
	value = (int64_t)order_acquire(wbci_entry_total(e, OPS_M - 1));
	wbci_exit(t);
	return value;
}

static int move_cursors(void *arg, const struct wbci_seen *seen)
{
	struct field *f = arg;

	for (unsigned i = 0; i < seen->n_cells; i++)
		wbci_cursor_move(f->flusher, seen->ref, i, seen->total[i]);
	wbci_cursor_move(f->flusher, seen->ref, WBCI_CURSOR_ROW, seen->version);
	return 0;
}

static void count_record(struct field *f, const unsigned char *record,
                         size_t bytes, const char *row)
{
	struct wbc_value values[WBC_COLUMNS_MAX];
	uint8_t columns[WBC_COLUMNS_MAX];
	int n = wbci_record_parse(&f->schema, record, bytes, values, columns);

	if (n == OPS_VALUES && values[0].bytes == strlen(row) &&
	    !memcmp(values[0].v.p, row, strlen(row)))
		f->victims++;
	else if (n == OPS_VALUES && values[0].bytes == 8 &&
	         !memcmp(values[0].v.p, "survivor", 8))
		f->inserted++;
	else
		wrong_say(&f->wrong, "a record is nobody's");
}

static void empty_lanes(struct field *f, const char *row)
{
	alignas(8) static unsigned char buffer[65536];
	const struct wbci_segment *s = &f->flusher->segment;

	for (uint32_t i = 0; i < s->geo.n_threads; i++) {
		uint64_t head, tail;
		int64_t n = wbci_lane_read(s, i, buffer, &head, &tail);

		if (n < 0)
			wrong_say(&f->wrong, "lane %u is damaged", i);
		for (int64_t at = 0; at < n;) {
			struct record_shm record;

			memcpy(&record, buffer + at, sizeof(record));
			count_record(f, buffer + at, record.bytes, row);
			at += record.bytes;
		}
		if (n > 0)
			wbci_lane_move(s, i, tail);
	}
}

static void collect(struct field *f, const char *row)
{
	if (wbci_round_begin(&f->rounds) ||
	    wbci_round_read(&f->rounds, move_cursors, f))
		wrong_say(&f->wrong, "a round fails");
	else
		wbci_round_end(&f->rounds);
	empty_lanes(f, row);
}

/* The survivor is in a section now and then: try until it is not. */
static void look_after_the_dead(struct field *f)
{
	int64_t swept;

	for (unsigned tries = 0; tries < 10000; tries++) {
		swept = wbci_recover(f->flusher);
		if (swept != -EAGAIN)
			break;
	}
	if (swept < 0)
		wrong_say(&f->wrong, "the recovery ends with %lld",
		          (long long)swept);
	else
		f->swept += (unsigned long)swept;
}

/*
 * Run a victim until it is killed after k instructions.  True: the operation
 * had returned before.
 */
static bool run_victim(struct field *f, const struct plan *plan,
                       unsigned long k, const char *row)
{
	char number[32];
	const char *const argv[] = {
		f->site.victim, f->site.live.address, plan->op, row, "kill",
		number,         f->count_path,        NULL};
	int status = 0;
	pid_t pid;

	snprintf(number, sizeof(number), "%lu", k);
	*f->count = 0;
	pid = fork();
	if (pid == 0) {
		setenv("LD_BIND_NOW", "1", 1);
		execv(argv[0], (char *const *)(uintptr_t)argv);
		_exit(127);
	}
	if (pid < 0 || waitpid(pid, &status, 0) != pid)
		tap_bail("no victim: %s", strerror(errno));
	f->steps += *f->count;
	if (!WIFSIGNALED(status)) {
		wrong_say(&f->wrong, "the victim ends with %#x", status);
		return false;
	}
	/* A trap while signals are blocked, at a thread's end, kills, too. */
	if (WTERMSIG(status) != SIGKILL && WTERMSIG(status) != SIGTRAP &&
	    WTERMSIG(status) != SIGUSR2)
		wrong_say(&f->wrong, "the victim dies of signal %d",
		          WTERMSIG(status));
	return WTERMSIG(status) == SIGUSR2;
}

static void choose_row(struct field *f, const struct plan *plan, char *row,
                       size_t size)
{
	if (plan->fresh)
		snprintf(row, size, "v%u", f->trial++);
	else
		snprintf(row, size, "%s", f->site.live.key);
}

/* How many instructions it has. */
static unsigned long measure(struct field *f, const struct plan *plan)
{
	char row[STATES_KEY_MAX + 1];

	choose_row(f, plan, row, sizeof(row));
	run_victim(f, plan, ULONG_MAX, row);
	look_after_the_dead(f);
	collect(f, row);
	f->victims = 0;
	return *f->count;
}

/* One victim, killed after k instructions.  Its operation's fact is as it was,
 * or one more; if it has returned, one more. */
static void kill_one(struct field *f, const struct plan *plan, unsigned long k)
{
	const struct op *right = op_find(plan->op);
	const struct op *op = right ? right : bad_find(plan->op);
	int64_t before, grown;
	char row[STATES_KEY_MAX + 1];
	bool returned;

	choose_row(f, plan, row, sizeof(row));
	before = fact_of(f, row, op->effect);
	returned = run_victim(f, plan, k, row);
	f->kills++;
	if (!survivor_turn(&f->survivor))
		wrong_say(&f->wrong, "the survivor does not come round");
	look_after_the_dead(f);
	collect(f, row);
	grown = fact_of(f, row, op->effect) - before;
	f->victims = 0;
	if (op->effect == FACT_INT || op->effect == FACT_DOUBLE ||
	    op->effect == FACT_UPDATES || op->effect == FACT_ROWS) {
		if (grown != op->amount && (grown != 0 || returned))
			wrong_say(&f->wrong, "it grows by %lld%s",
			          (long long)grown,
			          returned ? ", and has returned" : "");
	}
	if (f->wrong.text[0])
		tap_diag("violation: %s, killed after %lu instructions: %s",
		         plan->op, k, f->wrong.text);
}

/*
 * The known bad: its count is wrong for a moment, near its end.  Nothing that
 * it leaves is anybody else's, so the sums below stay what they are.
 */
static void catch_bad(struct field *f)
{
	static const struct plan plan = {"add in parts", false};
	unsigned long n = measure(f, &plan);
	bool caught = false;

	tap_diag("violations are to follow");
	/* From the end as it was measured, when it may have had more to do:
	 * marking, say, in a new cycle. */
	for (unsigned long k = n; k > 1 && !caught; k--) {
		kill_one(f, &plan, k);
		caught = !strncmp(f->wrong.text, "it grows by", 11);
		f->wrong.text[0] = '\0';
	}
	tap_ok(caught, "P3: the engine catches one who adds in parts");
}

/* In the long form one k after the other in each part, pass by pass. */
static unsigned long choose_k(struct field *f, unsigned pass,
                              unsigned long width)
{
	return sweep_is_long() ? pass % width
	                       : dice_below(&f->dice, (uint32_t)width);
}

static void kill_all(struct field *f, const struct plan *plan, unsigned pass)
{
	unsigned long n = measure(f, plan), kills = f->kills;
	unsigned long all = n + 2;
	unsigned long parts = all;

	if (all > SHORT_ALL)
		parts = all > LONG ? SHORT_SOME / 2 : SHORT_SOME;
	for (unsigned long i = 0; i < parts && !f->wrong.text[0]; i++) {
		unsigned long from = all * i / parts;
		unsigned long to = all * (i + 1) / parts;

		kill_one(f, plan, 1 + from + choose_k(f, pass, to - from));
	}
	tap_ok(!f->wrong.text[0],
	       "P2 P3: %s%s: killed for real at %lu of its %lu instructions, "
	       "the survivor works on",
	       plan->op, plan->fresh ? ", on a new row" : "", f->kills - kills,
	       n);
}

/* Whatever changed is in the journal by now. */
static int is_journaled(void *arg, const struct wbci_seen *seen)
{
	struct field *f = arg;

	for (unsigned i = 0; i < seen->n_cells; i++)
		if (seen->total[i] != seen->journaled[i])
			wrong_say(&f->wrong, "row %.*s is not journaled",
			          (int)seen->key_len, (const char *)seen->key);
	if (seen->version != seen->version_journaled)
		wrong_say(&f->wrong, "columns of row %.*s are not journaled",
		          (int)seen->key_len, (const char *)seen->key);
	return 0;
}

static void check_sums(struct field *f)
{
	const struct survivor_tally *tally = f->survivor.tally;
	struct wbci_thread *t;
	char name[32];

	tap_is_int(column_m(f, f->site.live.key), tally->beside,
	           "P3: what the survivor added beside the dead is there");
	for (unsigned i = 0; i < SURVIVOR_ROWS; i++) {
		int64_t is;

		survivor_row(name, sizeof(name), i);
		is = fact_of(f, name, FACT_INT);
		if (is != tally->row[i])
			wrong_say(&f->wrong, "%s is %lld instead of %lld", name,
			          (long long)is, (long long)tally->row[i]);
	}
	tap_ok(!f->wrong.text[0], "P3: and in its own rows%s%s",
	       f->wrong.text[0] ? ": " : "", f->wrong.text);
	tap_is_int(f->inserted, tally->inserted,
	           "P3: each record that it inserted came once");
	if (wbci_thread(f->flusher, &t) ||
	    wbci_entry_visit_all(&f->flusher->segment, is_journaled, f))
		wrong_say(&f->wrong, "rows cannot be visited");
	tap_ok(!f->wrong.text[0], "P3: rounds have read all of it%s%s",
	       f->wrong.text[0] ? ": " : "", f->wrong.text);
}

static void check_segment(struct field *f)
{
	struct wrong w = {""};

	wbci_rounds_free(&f->rounds);
	wbci_client_close(&f->flusher);
	copy_audit(&f->site.live, true, &w);
	tap_ok(!w.text[0], "P6: nothing is lost, all slots are free%s%s",
	       w.text[0] ? ": " : "", w.text);
}

int main(void)
{
	struct soak soak = soak_begin();
	static struct field f;
	unsigned pass = 0;
	int error;

	f.dice = dice_seeded();
	sweep_begin(&f.site);
#ifndef __x86_64__
	tap_skip_all("needs the trap flag of x86-64");
#endif
	share_count(&f);
	open_flusher(&f);
	make_row(&f);
	survivor_start(&f.survivor, &f.site.live);
	do {
		for (size_t i = 0; i < N(plans) && !f.wrong.text[0]; i++)
			kill_all(&f, &plans[i], pass);
		pass++;
	} while (soak_goes_on(&soak));
	if (!f.wrong.text[0])
		catch_bad(&f);
	error = survivor_stop(&f.survivor);
	tap_is_int(error, 0, "P2: no call of the survivor failed");
	look_after_the_dead(&f);
	for (unsigned i = 0; i < 4; i++)
		collect(&f, "");
	check_sums(&f);
	check_segment(&f);
	tap_diag("kills: %lu instructions stepped, %lu real kills, %lu blocks "
	         "swept",
	         f.steps, f.kills, f.swept);
	tap_ok(f.kills >= 5000,
	       "P1 P2 P3 P6: %lu real kills, %lu "
	       "instructions stepped, sums exact",
	       f.kills, f.steps);
	sweep_end(&f.site);
	return tap_done();
}
