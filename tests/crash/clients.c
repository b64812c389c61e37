/* SPDX-License-Identifier: MIT */
/* Copyright the wbcshm authors */

/*
 * Clients SIGKILLed at random while others add (P2, P3).
 *
 * Rows have a composite key, of which most are longer than an entry's first
 * line holds, and three counted columns, two int64 and one double.  Half of
 * the adds go to a few rows that all processes share, the others to rows that
 * are being made at that moment by several at once, so that kills meet every
 * part of an add: attaching, allocating, inserting, marking, counting.
 *
 * The oracle is a page of memory per client, which it shares with this test.
 * Just before a call the client notes there which cell it adds to, just after
 * it that the add was acknowledged.  So of a killed client at most one add is
 * in doubt, and it is known which.  At the end each cell must be what was
 * acknowledged, plus any of its adds in doubt; deltas are chosen so that
 * their number can be told from the sum.
 *
 * Meanwhile this test reaps, and collects rounds as a flusher would: what it
 * collected must be the same sums.
 */
#include <math.h>

#include "shm/cell.h"
#include "shm/page.h"
#include "shm/round.h"
#include "shm/walk.h"
#include "unit/child.h"
#include "unit/dice.h"
#include "unit/scratch.h"
#include "unit/soak.h"

#define N(array) (sizeof(array) / sizeof((array)[0]))
#define SPEC                                                                   \
	"t(name text key, day int key, n counter, bytes counter, "             \
	"seconds double counter)"

enum {
	KILLS = 1000,
	CLIENTS = 4, /* at a time; the last one is never killed */
	VICTIMS = CLIENTS - 1,
	SHARED_ROWS = 16,
	NEW_ROWS = 8, /* how many are being made at a time */
	ROWS = SHARED_ROWS + KILLS + NEW_ROWS,
	COLUMNS = 3
};

/* What one add adds; the number of adds follows from their sum. */
static const int64_t deltas[COLUMNS] = {1, -1000003, 0};
static const double delta_double = 0.25;

/* What a client tells the oracle; shared memory, written by it alone. */
struct page {
	_Atomic uint64_t begun; /* calls */
	_Atomic uint64_t done;
	uint32_t row, column; /* of the call that is begun and not done */
	uint32_t acknowledged[ROWS][COLUMNS];
};

/* What clients are told. */
struct orders {
	_Atomic unsigned kills; /* so far: says which rows are new */
	_Atomic bool stop;
};

/* The oracle's books. */
struct books {
	uint64_t acknowledged[ROWS][COLUMNS];
	uint64_t doubtful[ROWS][COLUMNS];
	uint64_t collected[ROWS][COLUMNS];
	unsigned wrong;
};

static struct scratch dir;
static struct wbc *parents; /* what clients may have inherited */
static struct wbc_table *parents_table;
static struct orders *orders;
static struct page *pages[CLIENTS];
static struct books books;

/* A row's key; lengths from a few bytes to several lines. */
static void key_of(uint32_t row, char name[256], struct wbc_value key[2])
{
	int bytes = snprintf(name, 256, "%0*u", (int)(1 + row * 7 % 150), row);

	key[0] = wbc_text("name", name, (uint32_t)bytes);
	key[1] = wbc_int64("day", -(int64_t)row);
}

static uint32_t row_of_key(const struct wbci_seen *seen)
{
	char text[WBC_KEY_MAX];
	struct wbc_value key[2];

	if (wbci_key_decode(&parents_table->schema, seen->key, seen->key_len,
	                    key, (unsigned char *)text) ||
	    key[1].v.i > 0 || -key[1].v.i >= ROWS)
		return ROWS;
	return (uint32_t)-key[1].v.i;
}

/* One add, by key in either order, or by a handle. */
static int add_once(struct wbc_table *t, struct dice *d, uint32_t row,
                    uint32_t column)
{
	struct wbc_counter *counter;
	struct wbc_value key[2];
	char name[256];
	int error;

	key_of(row, name, key);
	if (dice_below(d, 2)) {
		struct wbc_value first = key[0];

		key[0] = key[1];
		key[1] = first;
	}
	if (dice_below(d, 4)) {
		if (column == 2)
			return wbc_add_double(t, key, 2, 2 + column,
			                      delta_double);
		return wbc_add_int64(t, key, 2, 2 + column, deltas[column]);
	}
	error = wbc_counter_open(t, key, 2, 2 + column, &counter);
	if (error)
		return error;
	error = column == 2 ? wbc_counter_add_double(counter, delta_double)
	                    : wbc_counter_add(counter, deltas[column]);
	wbc_counter_close(&counter);
	return error;
}

static uint32_t choose_row(struct dice *d)
{
	if (dice_below(d, 2))
		return dice_below(d, SHARED_ROWS);
	return SHARED_ROWS + atomic_load(&orders->kills) +
	       dice_below(d, NEW_ROWS);
}

struct task {
	struct page *page;
	uint64_t seed;
	uint64_t tell; /* to say so after that many adds */
	bool inherits; /* the parent's handle, or opens one of its own */
};

static void work(int line, void *arg)
{
	const struct task *task = arg;
	struct page *p = task->page;
	struct dice d = {task->seed};
	struct wbc *c = parents;
	struct wbc_table *t = parents_table;

	if (!task->inherits) {
		c = scratch_open(&dir, NULL);
		t = scratch_table(c, SPEC);
	}
	while (!atomic_load(&orders->stop)) {
		p->row = choose_row(&d);
		p->column = dice_below(&d, COLUMNS);
		atomic_fetch_add(&p->begun, 1);
		if (add_once(t, &d, p->row, p->column))
			tap_child_exit(1);
		p->acknowledged[p->row][p->column]++;
		if (atomic_fetch_add(&p->done, 1) == task->tell)
			child_say(line);
	}
	wbc_close(&c);
}

/* A client has ended: into the books with its page. */
static void close_page(struct page *p)
{
	if (atomic_load(&p->begun) != atomic_load(&p->done))
		books.doubtful[p->row][p->column]++;
	for (unsigned row = 0; row < ROWS; row++) {
		for (unsigned i = 0; i < COLUMNS; i++)
			books.acknowledged[row][i] += p->acknowledged[row][i];
	}
	memset(p, 0, sizeof(*p));
}

/* How many adds a total is made of; UINT64_MAX: no number of them. */
static uint64_t adds_of(uint64_t bits, unsigned column)
{
	if (column == 2) {
		double n = wbci_double_of(bits) / delta_double;

		return n >= 0 && n == floor(n) ? (uint64_t)n : UINT64_MAX;
	}
	if ((int64_t)bits % deltas[column] != 0 ||
	    (int64_t)bits / deltas[column] < 0)
		return UINT64_MAX;
	return (uint64_t)((int64_t)bits / deltas[column]);
}

/* Is a number of adds one that the books explain? */
static bool explained(uint64_t adds, uint32_t row, unsigned column)
{
	uint64_t least = books.acknowledged[row][column];

	return adds >= least && adds - least <= books.doubtful[row][column];
}

static void check_cell(uint64_t adds, uint32_t row, unsigned column,
                       const char *what)
{
	if (explained(adds, row, column))
		return;
	if (books.wrong++ < 10)
		tap_diag("%s: row %u, column %u: %llu adds, %llu acknowledged, "
		         "%llu in doubt",
		         what, row, column, (unsigned long long)adds,
		         (unsigned long long)books.acknowledged[row][column],
		         (unsigned long long)books.doubtful[row][column]);
}

/* A collecting pass, and at once its cursors, as if all was journaled. */
static int collect(void *arg, const struct wbci_seen *seen)
{
	uint32_t row = row_of_key(seen);

	(void)arg;
	if (row == ROWS || seen->n_cells != COLUMNS)
		return WBC_E_CORRUPT;
	for (unsigned i = 0; i < COLUMNS; i++) {
		if (seen->total[i] == seen->journaled[i])
			continue;
		books.collected[row][i] += adds_of(seen->total[i], i) -
		                           adds_of(seen->journaled[i], i);
		wbci_cursor_move(parents->client, seen->ref, i, seen->total[i]);
	}
	return 0;
}

static unsigned do_round(struct wbci_rounds *r)
{
	if (wbci_round_begin(r) || wbci_round_read(r, collect, NULL))
		return 1;
	wbci_round_end(r);
	return 0;
}

struct result {
	unsigned dead, in_section, bad_rounds, by_themselves;
};

static void start(struct child *c, unsigned i, struct dice *d)
{
	struct task task = {pages[i], dice_word(d), dice_below(d, 100),
	                    dice_below(d, 2)};

	*c = child_start(work, &task);
}

/* Kill one that attaches, or has done some adds, whatever it does then. */
static void kill_one(struct child *c, unsigned i, struct dice *d,
                     struct result *result)
{
	unsigned in_section;

	if (dice_below(d, 8))
		child_hear(c->line);
	for (uint32_t spin = dice_below(d, 500); spin; spin--)
		atomic_load(&pages[i]->begun);
	result->by_themselves += child_kill(c) != CHILD_SIGNAL + SIGKILL;
	close_page(pages[i]);
	result->dead += wbci_reap(&parents->client->segment, &in_section);
	result->in_section += in_section;
}

static void kill_many(struct dice *d, struct result *result)
{
	struct child c[CLIENTS];
	struct wbci_rounds r;
	unsigned in_section;

	if (wbci_rounds_init(&r, parents->client))
		tap_bail("no rounds");
	for (unsigned i = 0; i < CLIENTS; i++)
		start(&c[i], i, d);
	for (unsigned kills = 0; kills < KILLS; kills++) {
		unsigned i = dice_below(d, VICTIMS);

		atomic_store(&orders->kills, kills);
		kill_one(&c[i], i, d, result);
		start(&c[i], i, d);
		if (kills % 8 == 0)
			result->bad_rounds += do_round(&r);
	}
	atomic_store(&orders->stop, true);
	for (unsigned i = 0; i < CLIENTS; i++) {
		result->by_themselves += child_wait(&c[i]) != 0;
		close_page(pages[i]);
	}
	result->dead += wbci_reap(&parents->client->segment, &in_section);
	for (unsigned i = 0; i < 4; i++)
		result->bad_rounds += do_round(&r);
	wbci_rounds_free(&r);
}

/* Every entry that the index has, once. */
struct census {
	unsigned strangers, twice, rows;
	bool seen[ROWS];
};

static int count_row(void *arg, const struct wbci_step *step)
{
	struct census *census = arg;
	struct wbci_seen seen;
	uint32_t row = ROWS;

	if (step->tag != INDEX_ENTRY)
		return 0;
	if (wbci_seen_entry(&parents->client->segment, step->target, &seen) ==
	            1 &&
	    seen.n_cells == COLUMNS)
		row = row_of_key(&seen);
	if (row == ROWS) {
		census->strangers++;
		return 0;
	}
	census->twice += census->seen[row];
	census->seen[row] = true;
	census->rows++;
	for (unsigned i = 0; i < COLUMNS; i++)
		check_cell(adds_of(seen.total[i], i), row, i, "total");
	return 0;
}

/* Rows that nothing was acknowledged of need not be there. */
static void check_missing(const struct census *census)
{
	for (unsigned row = 0; row < ROWS; row++) {
		for (unsigned i = 0; i < COLUMNS && !census->seen[row]; i++)
			check_cell(0, row, i, "missing");
	}
}

static void check_sums(void)
{
	struct wbci_segment *s = &parents->client->segment;
	struct census census = {0};

	if (wbci_index_walk(s, count_row, &census))
		tap_bail("the index cannot be walked");
	check_missing(&census);
	tap_is_uint(books.wrong, 0,
	            "every acknowledged add counts once, and of a killed "
	            "client at most one more (P3)");
	tap_ok(census.strangers == 0 && census.twice == 0,
	       "each of %u rows stands once, and no other", census.rows);
	books.wrong = 0;
	for (unsigned row = 0; row < ROWS; row++) {
		for (unsigned i = 0; i < COLUMNS; i++)
			check_cell(books.collected[row][i], row, i,
			           "collected");
	}
	tap_is_uint(books.wrong, 0, "rounds collected the same, to the add");
}

/* The oracle on books that are wrong by one. */
static void check_oracle(void)
{
	unsigned row = 0;
	struct wbc_value key[2];
	char name[256];
	uint64_t total;

	while (row < SHARED_ROWS && books.doubtful[row][0] > 0)
		row++;
	if (row == SHARED_ROWS)
		books.doubtful[row = 0][0] = 0;
	key_of(row, name, key);
	total = adds_of(scratch_total(parents_table, key, 2, 2), 0);
	books.acknowledged[row][0] = total;
	tap_ok(explained(total, row, 0) && !explained(total + 1, row, 0) &&
	               !explained(total - 1, row, 0),
	       "known bad: one add lost, or one too many, would be seen");
	books.doubtful[row][0] = 1;
	tap_ok(explained(total + 1, row, 0) && !explained(total + 2, row, 0),
	       "known bad: so would two for one in doubt");
	tap_ok(adds_of((uint64_t)(total * 1000003 + 1), 1) == UINT64_MAX &&
	               adds_of(wbci_bits_of(0.3), 2) == UINT64_MAX,
	       "known bad: and sums that no number of adds makes");
}

static void check_slots(const struct result *result)
{
	const struct wbci_segment *s = &parents->client->segment;
	uint32_t mine = wbci_cache.thread->slot, n;
	unsigned owned = 0, open = 0;

	n = wbci_committed(s) * WBCI_PAGES_PER_EXTENT;
	for (uint32_t i = 0; i < n; i++) {
		unsigned owner = wbci_page_owner(order_load(&s->words[i]));

		owned += owner != 0 && owner != mine + 1;
	}
	for (uint32_t i = 0; i < s->geo.n_threads; i++)
		open += order_load(&s->threads[i].epoch) != 0;
	tap_is_uint(scratch_procs(s, PROC_FREE), s->geo.n_procs - 1,
	            "all process slots come back");
	tap_is_uint(scratch_threads_used(s), 1, "all thread slots come back");
	tap_is_uint(open, 0, "no section is left open (P6)");
	tap_is_uint(owned, 0, "no page belongs to the dead (P6)");
	tap_ok(wbci_epoch_advance(parents->client) &&
	               wbci_epoch_advance(parents->client),
	       "and nothing holds the epoch back (P2)");
	tap_ok(result->dead <= KILLS && result->dead > KILLS / 2,
	       "of %u killed, %u were attached and reaped, once each (P9)",
	       KILLS, result->dead);
}

/* A segment's life: so many kills, and everything counted. */
static void pass(struct dice *d)
{
	struct wbc_options o = scratch_options();
	struct result result = {0};
	uint64_t adds = 0, doubts = 0;

	o.procs = o.threads = CLIENTS + 3;
	scratch_make(&dir);
	parents = scratch_open(&dir, &o);
	parents_table = scratch_table(parents, SPEC);
	memset(&books, 0, sizeof(books));
	atomic_store(&orders->stop, false);

	kill_many(d, &result);
	for (unsigned row = 0; row < ROWS; row++) {
		for (unsigned i = 0; i < COLUMNS; i++) {
			adds += books.acknowledged[row][i];
			doubts += books.doubtful[row][i];
		}
	}
	tap_diag("kills: %u clients at random moments, %u in a section, %llu "
	         "adds acknowledged, %llu in doubt",
	         KILLS, result.in_section, (unsigned long long)adds,
	         (unsigned long long)doubts);
	tap_is_uint(result.by_themselves, 0,
	            "%u kills: no client ended otherwise, nor had an error "
	            "(P2)",
	            KILLS);
	tap_is_uint(result.bad_rounds, 0, "rounds go on all the time (P2)");
	tap_ok(doubts > KILLS / 10, "kills do meet adds in progress: %llu did",
	       (unsigned long long)doubts);
	check_sums();
	check_slots(&result);
	check_oracle();
	wbc_close(&parents);
	scratch_remove(&dir);
}

int main(void)
{
	struct soak soak = soak_begin();
	struct dice d = dice_seeded();

	orders = child_shared(sizeof(*orders));
	for (unsigned i = 0; i < CLIENTS; i++)
		pages[i] = child_shared(sizeof(struct page));
	do
		pass(&d);
	while (soak_goes_on(&soak));
	return tap_done();
}
