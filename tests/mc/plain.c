/* SPDX-License-Identifier: MIT */
/* Copyright the wbcshm authors */

/*
 * Plain columns of rows: updates beside each other, readers, the rounds that
 * collect them, the loader, the removal of idle entries, and sweeps.
 *
 * Each update sets two columns to the same number.  However it goes, a reader
 * finds the same in both; the root's version counts what was acknowledged; what
 * the rounds collect goes up in versions, and in the end has what the row has.
 */
#include "blocks.h"
#include "rows.h"

#include "shm/plain.h"
#include "shm/prune.h"
#include "shm/record.h"
#include "shm/remove.h"

enum { A = 1, B = 2 };

/* What a flusher's journal is to this program. */
struct book {
	uint64_t version;
	int64_t value[3]; /* by column */
};

static struct kept {
	struct rows *rows;
	struct wbci_rounds rounds;
	struct wbci_sweep sweep;
	struct wbci_pruning pruning;
	struct wbci_removal removal;
	struct wbci_closing closing[8];
	struct wbci_ref frozen[8];
	struct book book;
	unsigned loads;
	bool revived;
} * kept;

static void setup_as(uint32_t fenced)
{
	mc_world(&(struct mc_shape){.fenced = fenced});
	kept = mc_keep(sizeof(*kept));
	kept->rows = rows_make_as("t(k text key, a int, b int)");
	for (unsigned i = 0; i < MC_THREADS && mc_client((int)i); i++)
		rows_warm_for(i, wbci_entry_size(1, 4));
	rows_open(kept->rows, 0, 0);
	mc_as(0);
	wbci_rounds_init(&kept->rounds, mc_client(0));
	kept->rounds.all = false;
	wbci_sweep_init(&kept->sweep, mc_client(0), NULL);
	kept->pruning.closing = kept->closing;
	kept->pruning.client = kept->removal.client = mc_client(0);
	kept->removal.pruning = &kept->pruning;
	kept->removal.frozen = kept->frozen;
	mc_as(-1);
}

static void setup(void)
{
	setup_as(0);
}

static void setup_fenced(void)
{
	setup_as(7);
}

/* A client sets both columns by the key, which makes the entry if it must. */
static int set_both(int64_t to)
{
	struct wbci_thread *t = mc_place();
	struct wbc_value values[2] = {wbc_int64(NULL, to),
	                              wbc_int64(NULL, to)};
	static const uint8_t columns[2] = {A, B};
	const struct wbci_segment *s = mc_segment();
	struct entry_shm *e;
	struct row_shm *row;
	uint64_t offset;
	int error;

	error = wbci_entry_open(t, &kept->rows->key[0], &kept->rows->schema,
	                        &e, &offset);
	if (error)
		return error;
	row = wbci_entry_row(s, e, offset);
	error = row ? wbci_plain_update(t, e, row, values, columns, 2)
	            : WBC_E_CORRUPT;
	wbci_exit(t);
	if (!error)
		mc_ack(1);
	return error;
}

static void updater(void)
{
	MC_CHECK(set_both(mc_self()) == 0, "not set");
}

static void updater_twice(void)
{
	updater();
	MC_CHECK(set_both(16 * mc_self()) == 0, "not set");
}

/* Both columns of a root, or 0 and 0. */
static void read_both(uint64_t root, int64_t *both)
{
	for (unsigned i = 0; i < 2; i++) {
		struct wbci_plain p;
		int error = wbci_plain_find(mc_segment(), root, A + i, &p);

		both[i] = 0;
		if (error == -ENOENT)
			continue;
		MC_CHECK(!error && p.head.bytes == sizeof(both[i]) &&
		                 !wbci_plain_copy(mc_segment(), &p, &both[i]),
		         "a column is damaged");
	}
}

/* The row's words as a reader finds them, in a section; NULL and none. */
static struct row_shm *find_row(void)
{
	struct entry_shm *e;
	uint64_t offset;

	if (wbci_entry_find(mc_place(), &kept->rows->key[0], &e, &offset))
		return NULL;
	return wbci_entry_row(mc_segment(), e, offset);
}

static void reader(void)
{
	struct row_shm *row = find_row();
	int64_t both[2];

	if (!row)
		return;
	read_both(wbci_plain_root(row), both);
	MC_CHECK(both[0] == both[1], "half of an update: %d and %d",
	         (int)both[0], (int)both[1]);
	wbci_exit(mc_place());
}

/* ---- the flusher ---- */

static int visit(void *arg, const struct wbci_seen *seen)
{
	struct wbc_value values[WBC_COLUMNS_MAX];
	uint8_t columns[WBC_COLUMNS_MAX];

	(void)arg;
	MC_CHECK(!wbci_values_parse(&kept->rows->schema, seen->values,
	                            seen->values_bytes, seen->n_values, values,
	                            columns),
	         "columns that are damaged");
	MC_CHECK(seen->n_values == 0 || seen->n_values == 2,
	         "%d columns are news", seen->n_values);
	for (unsigned i = 0; i < seen->n_values; i++)
		kept->book.value[columns[i]] = values[i].v.i;
	kept->book.version = seen->version;
	MC_CHECK(wbci_cursor_move(mc_client(-1), seen->ref, WBCI_CURSOR_ROW,
	                          seen->version),
	         "the entry is another");
	return 0;
}

static void one_round(void)
{
	MC_CHECK(wbci_round_begin(&kept->rounds) == 0, "no memory");
	MC_CHECK(wbci_round_read(&kept->rounds, visit, NULL) == 0, "no read");
	wbci_round_end(&kept->rounds);
	MC_CHECK(kept->rounds.corrupt == 0, "a block failed a check");
}

static void collector(void)
{
	one_round();
	one_round();
}

static void advance(void)
{
	wbci_epoch_advance(mc_client(-1));
	wbci_epoch_advance(mc_client(-1));
}

static void remover(void)
{
	one_round();
	wbci_removal_look(&kept->removal, UINT64_MAX, 1);
	advance();
	wbci_removal_step(&kept->removal);
	advance();
}

/* What the flusher's loader does: the database has 99 in both. */
static int load_both(struct wbci_tree_edit *e, void *arg)
{
	uint64_t journaled = *(uint64_t *)arg;
	struct wbc_value value = wbc_int64(NULL, 99);
	int error = 0;

	e->version = wbci_tree_version(mc_segment(), e->was);
	for (unsigned column = A; column <= B && !error; column++) {
		struct wbci_plain p;

		error = wbci_plain_find(mc_segment(), e->was, column, &p);
		if (error == -ENOENT || (!error && p.version <= journaled))
			error = wbci_plain_put(e, column, &value, 0);
	}
	return error;
}

static void loader(void)
{
	struct row_shm *row = find_row();
	uint64_t journaled;

	if (!row)
		return;
	journaled = order_load(&row->journaled);
	if (!wbci_tree_update(mc_place(), &row->root, load_both, &journaled))
		kept->loads++;
	wbci_exit(mc_place());
}

static void loader_and_collector(void)
{
	loader();
	one_round();
}

static void sweeper(void)
{
	for (unsigned i = 0; i < 9; i++)
		wbci_sweep_step(&kept->sweep, UINT64_MAX);
}

static void wanted_sweeper(void)
{
	wbci_sweep_want(mc_segment());
	sweeper();
}

/* ---- afterwards ---- */

/* Whoever was killed is reaped; if it was the flusher, here is the next. */
static void revive(void)
{
	unsigned in_section;

	wbci_reap(mc_segment(), &in_section);
	if (!mc_died(0) || kept->revived)
		return;
	kept->revived = true;
	mc_client(0)->attached[0] = 0;
	wbci_cache.id = 0;
	memset(mc_client(0)->threads, 0,
	       mc_segment()->geo.n_threads * sizeof(*mc_client(0)->threads));
	wbci_rounds_init(&kept->rounds, mc_client(0));
}

/* Rounds that find all there is. */
static void quiet_rounds(void)
{
	mc_as(0);
	revive();
	one_round();
	one_round();
	one_round();
	mc_as(-1);
}

/* What the row has, and how often it was set. */
static bool look(int64_t *both, uint64_t *version)
{
	struct row_shm *row;

	mc_as(0);
	row = find_row();
	if (row) {
		read_both(wbci_plain_root(row), both);
		*version = wbci_tree_version(mc_segment(),
		                             wbci_plain_root(row));
		wbci_exit(mc_place());
	}
	mc_as(-1);
	return row != NULL;
}

static void check_updates(void)
{
	uint64_t version, acked = mc_acked();
	int64_t both[2];

	mc_as(0);
	revive();
	mc_as(-1);
	MC_CHECK(look(both, &version), "no row");
	MC_CHECK(both[0] == both[1], "half of an update");
	MC_CHECK(version >= acked && version <= acked + mc_deaths(),
	         "%d updates, of %d that were acknowledged", (int)version,
	         (int)acked);
	blocks_check(0);
}

static void check_collected(void)
{
	uint64_t version;
	int64_t both[2];

	quiet_rounds();
	check_updates();
	look(both, &version);
	MC_CHECK(kept->book.version == version, "version %d, journaled %d",
	         (int)version, (int)kept->book.version);
	MC_CHECK(!version || (kept->book.value[A] == both[0] &&
	                      kept->book.value[B] == both[1]),
	         "the row has %d, the journal %d", (int)both[0],
	         (int)kept->book.value[A]);
}

/* The entry may have been removed and made anew meanwhile: what was set is in
 * the journal, or in the row. */
static void check_removed(void)
{
	uint64_t version;
	int64_t both[2];

	quiet_rounds();
	if (mc_acked())
		MC_CHECK(kept->book.value[A] == kept->book.value[B] &&
		                 kept->book.value[A],
		         "what was set is lost");
	if (look(both, &version) && version)
		MC_CHECK(kept->book.value[A] == both[0] &&
		                 kept->book.value[B] == both[1],
		         "the row has %d, the journal %d", (int)both[0],
		         (int)kept->book.value[A]);
	blocks_check(0);
}

/* What was loaded is no news, and undoes nothing. */
static void check_loaded(void)
{
	uint64_t version, acked = mc_acked();
	int64_t both[2];

	quiet_rounds();
	MC_CHECK(look(both, &version), "no row");
	MC_CHECK(both[0] == both[1], "half of an update");
	MC_CHECK(version >= acked && version <= acked + mc_deaths(),
	         "%d updates, of %d that were acknowledged", (int)version,
	         (int)acked);
	MC_CHECK(kept->book.value[A] != 99, "what was loaded is news");
	MC_CHECK(!acked || kept->book.value[A] == kept->book.value[B],
	         "half of an update is journaled");
	if (acked && !kept->loads)
		MC_CHECK(both[0] == kept->book.value[A], "an update is lost");
	blocks_check(0);
}

static const struct mc_scenario scenarios[] = {
	{.name = "two-updaters",
         .says = "P1: of two updates one comes after the other, as a whole",
         .setup = setup,
         .thread = {updater, updater},
         .check = check_updates},
	{.name = "reader",
         .says = "P1: a reader sees all of an update, or nothing",
         .setup = setup,
         .thread = {reader, updater_twice},
         .check = check_updates},
	{.name = "reader-fenced",
         .says = "P1: the same without membarrier",
         .setup = setup_fenced,
         .thread = {reader, updater},
         .check = check_updates},
	{.name = "collected",
         .says = "P3: an update is collected, and no older one after it",
         .setup = setup,
         .thread = {collector, updater},
         .check = check_collected},
	{.name = "collected-twice",
         .says = "P3: so is a second one beside the rounds",
         .setup = setup,
         .thread = {collector, updater_twice},
         .preemptions = 1,
         .check = check_collected},
	{.name = "loaded",
         .says = "P5: what the loader puts in is no news, and undoes nothing",
         .setup = setup,
         .thread = {loader_and_collector, updater},
         .check = check_loaded},
	{.name = "removed",
         .says = "P3: an update beside the removal of its entry is not lost",
         .setup = setup,
         .thread = {remover, updater},
         .check = check_removed},
	{.name = "swept",
         .says = "P6: a sweep beside an update frees nothing in use",
         .setup = setup,
         .thread = {wanted_sweeper, updater},
         .check = check_updates},
	{NULL}};

int main(int argc, char **argv)
{
	return mc_main(argc, argv, "plain", scenarios);
}
