/* SPDX-License-Identifier: MIT */
/* Copyright the wbcshm authors */

/*
 * The oracle of a storm: what was acknowledged, what is in doubt, and whether
 * the database and the segment are what follows from that.
 */
#include "storm.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "api/handle.h"
#include "shm/page.h"
#include "tap/tap.h"

#define SHOW 4 /* violations in words */

const char storm_sums[] =
	"sums(name text key, day int key, hits counter, bytes counter,"
	" seconds double counter) on_missing=insert";
const char storm_events[] = "events(desk int, life int, seq int, note text)";
const char storm_eaten[] = "eaten(name text key, n counter) on_missing=insert";
const char *const storm_extras[STORM_EXTRAS] = {
	"extra_a(k int key, n counter)", "extra_b(k text key, n counter)",
	"extra_c(k int key, x double counter)", "extra_d(k int, note text)"};

static const char tables_sql[] =
	"CREATE TABLE sums(name TEXT, day INTEGER, hits INTEGER,"
	" bytes INTEGER, seconds REAL, PRIMARY KEY(name, day));"
	"CREATE TABLE events(id INTEGER PRIMARY KEY, desk INTEGER,"
	" life INTEGER, seq INTEGER, note TEXT);"
	"CREATE TABLE eaten(name TEXT PRIMARY KEY, n INTEGER);"
	"CREATE TABLE extra_a(k INTEGER PRIMARY KEY, n INTEGER);"
	"CREATE TABLE extra_b(k TEXT PRIMARY KEY, n INTEGER);"
	"CREATE TABLE extra_c(k INTEGER PRIMARY KEY, x REAL);"
	"CREATE TABLE extra_d(k INTEGER, note TEXT);"
	"CREATE TABLE doubtful(desk INTEGER, seq INTEGER);";

static struct storm_world *map_world(const char *path, int flags)
{
	struct storm_world *w;
	int fd = open(path, O_RDWR | O_CLOEXEC | flags, 0600);

	if (fd < 0 || (flags && ftruncate(fd, sizeof(*w))))
		tap_bail("%s: %s", path, strerror(errno));
	w = mmap(NULL, sizeof(*w), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (w == MAP_FAILED)
		tap_bail("%s: %s", path, strerror(errno));
	close(fd);
	return w;
}

struct storm_world *storm_world_find(const char *path)
{
	return map_world(path, 0);
}

struct storm_world *storm_world_make(const struct rig *r)
{
	char path[PATH_MAX];
	struct storm_world *w;
	int fd;

	snprintf(path, sizeof(path), "%s/world", r->dir);
	w = map_world(path, O_CREAT | O_EXCL);
	snprintf(w->address, sizeof(w->address), "%s", r->address);
	snprintf(w->decoy, sizeof(w->decoy), "%s/decoy", r->dir);
	fd = open(w->decoy, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0)
		tap_bail("%s: %s", w->decoy, strerror(errno));
	close(fd);
	return w;
}

void storm_world_free(struct storm_world **w)
{
	munmap(*w, sizeof(**w));
	*w = NULL;
}

void storm_desk_settle(struct storm_world *w, unsigned number)
{
	struct storm_desk *desk = &w->desks[number];
	uint32_t pending = atomic_load(&desk->pending);
	uint32_t n;

	if (pending == STORM_INSERT) {
		/* The number is spent, whether its row is there or not. */
		n = atomic_fetch_add(&w->n_doubtful, 1);
		if (n >= STORM_DOUBTS)
			tap_bail("more doubts than there is room for");
		w->doubtful[n].desk = number;
		w->doubtful[n].seq = (uint32_t)atomic_fetch_add(&desk->seq, 1);
	} else if (pending &&
	           atomic_load(&desk->added[pending - 1]) == desk->before) {
		atomic_fetch_add(&w->doubts[pending - 1], 1);
	}
	atomic_store(&desk->pending, 0);
}

void storm_key(uint32_t row, char *name, struct wbc_value *key)
{
	/* Lengths from a few bytes to several cache lines. */
	int bytes = snprintf(name, 256, "%0*u", (int)(1 + row * 7 % 150), row);

	key[0] = wbc_text("name", name, (uint32_t)bytes);
	key[1] = wbc_int64("day", row);
}

struct wbc_value storm_eaten_key(uint32_t n, char *name)
{
	return wbc_text(NULL, name, (uint32_t)snprintf(name, 256, "%0200u", n));
}

void storm_tables(struct rig *r)
{
	r->tables[0] = storm_sums;
	r->tables[1] = storm_events;
	r->tables[2] = storm_eaten;
	for (unsigned i = 0; i < STORM_EXTRAS; i++)
		r->tables[3 + i] = storm_extras[i];
	/* Rows that are not new any more are soon removed. */
	r->extra[0] = "--idle";
	r->extra[1] = "500ms";
	rig_sql(r, tables_sql);
}

static uint64_t acknowledged(struct storm_world *w, uint32_t cell)
{
	uint64_t sum = 0;

	for (unsigned i = 0; i < STORM_DESKS; i++)
		sum += atomic_load(&w->desks[i].added[cell]);
	return sum;
}

struct sums_check {
	struct storm_world *w;
	bool seen[STORM_ROWS];
	unsigned wrong;
};

/* A number of adds, or -1 if a sum is none. */
static int64_t adds_of(int64_t sum, int64_t delta)
{
	return sum % delta || sum / delta < 0 ? -1 : sum / delta;
}

static void check_cell(struct sums_check *check, uint32_t cell, int64_t adds)
{
	uint64_t least = acknowledged(check->w, cell);
	uint32_t doubts = atomic_load(&check->w->doubts[cell]);

	if (adds >= 0 && (uint64_t)adds >= least &&
	    (uint64_t)adds - least <= doubts)
		return;
	if (check->wrong++ < SHOW)
		tap_diag("row %u, column %u: %lld adds in the database, %llu "
		         "acknowledged, %u in doubt",
		         cell / STORM_COLUMNS, cell % STORM_COLUMNS,
		         (long long)adds, (unsigned long long)least, doubts);
}

/* day, whether the key is right, hits, bytes, seconds * 4 */
static void check_row(void *arg, const int64_t *n)
{
	struct sums_check *check = arg;
	uint32_t cell = (uint32_t)n[0] * STORM_COLUMNS;

	if (n[0] < 0 || n[0] >= STORM_ROWS || !n[1] || check->seen[n[0]]) {
		tap_diag("row %lld is nobody's", (long long)n[0]);
		check->wrong++;
		return;
	}
	check->seen[n[0]] = true;
	check_cell(check, cell, adds_of(n[2], 1));
	check_cell(check, cell + 1, adds_of(n[3], STORM_DELTA_BYTES));
	check_cell(check, cell + 2, adds_of(n[4], 1));
}

unsigned storm_check_sums(struct storm_world *w, const struct rig *r)
{
	struct sums_check check = {.w = w};

	rig_sql_each(r,
	             "SELECT day, CAST(name AS INTEGER) = day, hits, bytes,"
	             " CAST(seconds * 4 AS INTEGER) FROM sums",
	             5, check_row, &check);
	for (uint32_t cell = 0; cell < STORM_ROWS * STORM_COLUMNS; cell++)
		if (!check.seen[cell / STORM_COLUMNS])
			check_cell(&check, cell, 0);
	return check.wrong;
}

/* A number in the database, and the one that the desks say. */
static unsigned differ(const char *what, int64_t got, int64_t want)
{
	if (got == want)
		return 0;
	tap_diag("%s: %lld, not %lld", what, (long long)got, (long long)want);
	return 1;
}

static void tell_doubtful(struct storm_world *w, const struct rig *r)
{
	uint32_t n = atomic_load(&w->n_doubtful);
	char *sql = NULL;
	size_t bytes;
	FILE *f = open_memstream(&sql, &bytes);

	if (!f)
		tap_bail("no memory");
	fputs("BEGIN;DELETE FROM doubtful;", f);
	for (uint32_t i = 0; i < n; i++)
		fprintf(f, "INSERT INTO doubtful VALUES(%u,%u);",
		        w->doubtful[i].desk, w->doubtful[i].seq);
	fputs("COMMIT", f);
	fclose(f);
	rig_sql(r, sql);
	free(sql);
}

/* Rows of a desk: all that were acknowledged, once each; of those in doubt
 * any, at most once; no other. */
static unsigned check_desk(struct storm_world *w, const struct rig *r,
                           unsigned desk)
{
	int64_t seq = (int64_t)atomic_load(&w->desks[desk].seq), sure = seq;
	uint32_t n = atomic_load(&w->n_doubtful);
	unsigned wrong = 0;
	char sql[512];

	for (uint32_t i = 0; i < n; i++)
		sure -= w->doubtful[i].desk == desk;
#define OF_DESK(text) (snprintf(sql, sizeof(sql), text, desk), sql)
	wrong += differ(
		"acknowledged rows",
		rig_sql_int(r, OF_DESK("SELECT count(*) FROM events"
	                               " WHERE desk=%u AND (desk, seq) NOT IN"
	                               " (SELECT desk, seq FROM doubtful)")),
		sure);
	wrong += differ(
		"rows that are there twice",
		rig_sql_int(r, OF_DESK("SELECT count(*) - count(DISTINCT seq)"
	                               " FROM events WHERE desk=%u")),
		0);
	wrong += differ("rows that nobody made",
	                rig_sql_int(r, OF_DESK("SELECT ifnull(max(seq), -1)"
	                                       " FROM events WHERE desk=%u")) >=
	                        seq,
	                0);
	wrong += differ(
		"rows out of order",
		rig_sql_int(r, OF_DESK("SELECT count(*) FROM (SELECT seq,"
	                               " lag(seq) OVER (PARTITION BY life"
	                               " ORDER BY id) AS last FROM events"
	                               " WHERE desk=%u) WHERE seq < last")),
		0);
#undef OF_DESK
	return wrong;
}

unsigned storm_check_inserts(struct storm_world *w, const struct rig *r)
{
	unsigned wrong;

	tell_doubtful(w, r);
	wrong = differ("rows of no desk",
	               rig_sql_int(r, "SELECT count(*) FROM events"
	                              " WHERE desk < 0 OR desk > 15"),
	               0);
	static_assert(STORM_DESKS == 16, "the query above");
	for (unsigned i = 0; i < STORM_DESKS; i++)
		wrong += check_desk(w, r, i);
	return wrong +
	       differ("dead letters",
	              rig_sql_int(r, "SELECT count(*) FROM wbc_dead_letters"),
	              0);
}

void storm_blocks(const struct wbci_segment *s, uint64_t *used, uint64_t *limbo)
{
	uint32_t n = wbci_committed(s) * WBCI_PAGES_PER_EXTENT;

	*used = *limbo = 0;
	for (uint32_t i = 0; i < n * WBCI_BITMAP_WORDS; i++) {
		const struct meta_shm *meta = &s->metas[i / WBCI_BITMAP_WORDS];
		unsigned w = i % WBCI_BITMAP_WORDS;
		uint64_t alloc = order_load(&meta->alloc[w]), retired = 0;

		for (unsigned g = 0; g < 4; g++)
			retired |= order_load(&meta->limbo[g][w]);
		*used += (unsigned)__builtin_popcountll(alloc & ~retired);
		*limbo += (unsigned)__builtin_popcountll(alloc & retired);
	}
}
