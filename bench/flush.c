/* SPDX-License-Identifier: MIT */
/* Copyright the wbcshm authors */

/*
 * How fast do rows reach SQLite, beside the best loop that one writes by hand?
 *
 * Both write the same rows into a database of their own, one transaction a
 * turn, with the same settings, the ledger's gate and, where a row is changed,
 * RETURNING.  By hand: bind, step, reset, from arrays.  Ours begins with the
 * piece as the journal has it, blobs that are read and checked.  After each
 * turn the sums in both databases are proved.
 *
 * A hand-written loop that is slower than 0.7 of what such loops are known to
 * do is no measure: then the bench fails.
 */
#include <inttypes.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "bench.h"
#include "flusher/apply.h"
#include "report.h"
#include "shm/key.h"
#include "shm/record.h"

enum kind { DELTAS, UPDATES, INSERTS };
static const char *const kind_names[] = {"deltas", "updates", "inserts"};

#define SPEC "t(id int key, n counter, seen int, title text)"
#define TITLE "a title of 32 bytes, as they are"
#define BLOBS_MAX 64

/* Rows a second of a loop by hand, as measured on a quiet small machine. */
static const struct {
	uint32_t rows;
	double known;
} sizes[] = {{1000, 81e3}, {10000, 166e3}, {100000, 521e3}};

struct blobs {
	void *p[BLOBS_MAX];
	size_t bytes[BLOBS_MAX];
	unsigned n;
};

struct flush {
	char dir[64];
	char path[2][80]; /* by hand, ours */
	sqlite3 *db[2];   /* the first is used by hand; both are asked */
	struct wbci_sink *sink;
	uint32_t table_rows;
	uint64_t turn;
	uint64_t done; /* pieces */
	int64_t n_sum, seen_sum, count;
	int64_t next_id;
	enum kind kind;
	uint32_t rows;
	struct blobs blobs;
};

static double now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static int run_sql(sqlite3 *db, const char *sql)
{
	if (sqlite3_exec(db, sql, NULL, NULL, NULL) == SQLITE_OK)
		return 0;
	fprintf(stderr, "wbc-bench: %s: %s\n", sql, sqlite3_errmsg(db));
	return -1;
}

static int64_t ask(sqlite3 *db, const char *sql)
{
	sqlite3_stmt *stmt = NULL;
	int64_t answer = -1;

	if (sqlite3_prepare_v2(db, sql, -1, &stmt, NULL) == SQLITE_OK &&
	    sqlite3_step(stmt) == SQLITE_ROW)
		answer = sqlite3_column_int64(stmt, 0);
	sqlite3_finalize(stmt);
	return answer;
}

/* The id of a turn's row; they are in order, and spread over the table. */
static int64_t id_of(const struct flush *f, uint32_t i)
{
	uint32_t stride = f->table_rows / f->rows;

	if (f->kind == INSERTS)
		return f->next_id + i;
	return (int64_t)i * stride +
	       (int64_t)((i * 2654435761u + f->turn * 7919) % stride);
}

static int keep_blob(void *arg, uint32_t chunk, const void *blob, size_t bytes)
{
	struct blobs *b = arg;

	if (chunk == BLOBS_MAX)
		return -1;
	b->p[chunk] = malloc(bytes);
	if (!b->p[chunk])
		return -1;
	memcpy(b->p[chunk], blob, bytes);
	b->bytes[chunk] = bytes;
	b->n = chunk + 1;
	return 0;
}

static int add_insert(struct wbci_rowset *rs, int64_t id, uint64_t turn)
{
	const struct wbc_value values[] = {
		wbc_int64("id", id), wbc_int64("n", 1),
		wbc_int64("seen", (int64_t)turn),
		wbc_text("title", TITLE, sizeof(TITLE) - 1)};
	unsigned char record[256] __attribute__((aligned(8)));
	struct wbci_span2 to = {{record, NULL}, {sizeof(record), 0}};
	uint8_t columns[WBC_COLUMNS_MAX];
	int64_t bytes = wbci_record_size(&rs->schema, values, 4, columns);

	if (bytes < 0 || bytes > (int64_t)sizeof(record))
		return -1;
	wbci_record_write(&to, 0, values, columns, 4, (uint64_t)bytes);
	return wbci_rowset_insert(rs, record, (uint64_t)bytes);
}

static int add_change(const struct flush *f, struct wbci_rowset *rs, int64_t id)
{
	const struct wbc_value key = wbc_int64(NULL, id);
	const struct wbc_value values[] = {
		wbc_int64(NULL, (int64_t)f->turn),
		wbc_text(NULL, TITLE, sizeof(TITLE) - 1)};
	static const uint8_t columns[] = {2, 3};
	unsigned char bytes[WBC_KEY_MAX];
	const uint64_t delta = f->kind == DELTAS;
	int len = wbci_key_encode(&rs->schema, &key, 1, bytes);

	return wbci_rowset_change(rs, bytes, (uint32_t)len, &delta, values,
	                          columns, f->kind == DELTAS ? 0 : 2);
}

/* The piece of this turn, as the journal has it. */
static int make_blobs(struct flush *f)
{
	struct wbci_rowset rs;
	struct wbci_slice all;
	int error = wbci_rowset_init(&rs, SPEC, strlen(SPEC), true);

	for (uint32_t i = 0; i < f->rows && !error; i++)
		error = f->kind == INSERTS
		                ? add_insert(&rs, id_of(f, i), f->turn)
		                : add_change(f, &rs, id_of(f, i));
	all = wbci_rowset_all(&rs);
	if (!error)
		error = wbci_rowset_write(&rs, &all, 1, keep_blob, &f->blobs);
	wbci_rowset_free(&rs);
	return error;
}

static void drop_blobs(struct flush *f)
{
	while (f->blobs.n)
		free(f->blobs.p[--f->blobs.n]);
}

static struct wbci_work *new_work(const struct flush *f, uint64_t piece)
{
	struct wbci_work *w = wbci_work_new();

	if (!w)
		return NULL;
	snprintf(w->table, sizeof(w->table), "default.t");
	snprintf(w->journal, sizeof(w->journal), "bench");
	w->done = f->done;
	w->piece = piece;
	w->mark = piece;
	return w;
}

static int flush_ours(struct flush *f)
{
	struct wbci_work *w = new_work(f, f->done + 1);
	int error = !w || wbci_rowset_init(&w->rows, SPEC, strlen(SPEC), true);

	for (unsigned i = 0; i < f->blobs.n && !error; i++)
		error = wbci_rowset_read(&w->rows, f->blobs.p[i],
		                         f->blobs.bytes[i]);
	if (!error && wbci_sink_sqlite.apply(f->sink, w) != OUTCOME_DONE) {
		fprintf(stderr, "wbc-bench: %s\n", w->reason);
		error = -1;
	}
	error = error || w->refused;
	f->done++;
	wbci_work_free(&w);
	return error;
}

static const char *const hand_sql[] = {
	"UPDATE t SET n=COALESCE(n,0)+?1 WHERE id=?2 RETURNING n",
	"UPDATE t SET seen=?1,title=?3 WHERE id=?2 RETURNING n",
	"INSERT INTO t(id,n,seen,title) VALUES(?2,1,?1,?3)"};

static int hand_rows(struct flush *f, sqlite3_stmt *stmt)
{
	int64_t first = f->kind == DELTAS ? 1 : (int64_t)f->turn;
	int64_t answers = 0;

	for (uint32_t i = 0; i < f->rows; i++) {
		sqlite3_bind_int64(stmt, 1, first);
		sqlite3_bind_int64(stmt, 2, id_of(f, i));
		if (f->kind != DELTAS)
			sqlite3_bind_text(stmt, 3, TITLE, sizeof(TITLE) - 1,
			                  SQLITE_STATIC);
		while (sqlite3_step(stmt) == SQLITE_ROW)
			answers += sqlite3_column_int64(stmt, 0) >= 0;
		if (sqlite3_reset(stmt) != SQLITE_OK)
			return -1;
	}
	return f->kind == INSERTS || answers == f->rows ? 0 : -1;
}

/* The statements are prepared once, as ours are. */
static int flush_by_hand(struct flush *f)
{
	static sqlite3_stmt *stmts[3];
	sqlite3 *db = f->db[0];

	if (!stmts[f->kind] &&
	    sqlite3_prepare_v3(db, hand_sql[f->kind], -1,
	                       SQLITE_PREPARE_PERSISTENT, &stmts[f->kind],
	                       NULL) != SQLITE_OK)
		return -1;
	return run_sql(db, "BEGIN IMMEDIATE; UPDATE gate SET position="
	                   "position+1 WHERE id=1") ||
	       hand_rows(f, stmts[f->kind]) || run_sql(db, "COMMIT");
}

/* What both databases must have now. */
static int prove(struct flush *f)
{
	int wrong = 0;

	for (int i = 0; i < 2; i++)
		wrong |= ask(f->db[i], "SELECT sum(n) FROM t") != f->n_sum ||
		         ask(f->db[i], "SELECT count(*) FROM t") != f->count;
	wrong |= ask(f->db[0], "SELECT sum(seen) FROM t") !=
	         ask(f->db[1], "SELECT sum(seen) FROM t");
	if (wrong)
		fprintf(stderr, "wbc-bench: the databases' sums are wrong\n");
	return wrong;
}

static int one_turn(struct flush *f, double *hand, double *ours)
{
	double t0, t1, t2;

	f->turn++;
	if (make_blobs(f))
		return -1;
	t0 = now_ns();
	if (flush_by_hand(f))
		return -1;
	t1 = now_ns();
	if (flush_ours(f))
		return -1;
	t2 = now_ns();
	*hand = (t1 - t0) / f->rows;
	*ours = (t2 - t1) / f->rows;
	f->n_sum += f->kind == UPDATES ? 0 : f->rows;
	f->count += f->kind == INSERTS ? f->rows : 0;
	f->next_id += f->kind == INSERTS ? f->rows : 0;
	drop_blobs(f);
	/* Checkpoints are not for whoever happens to be next. */
	return run_sql(f->db[0], "PRAGMA wal_checkpoint(TRUNCATE)") ||
	       run_sql(f->db[1], "PRAGMA wal_checkpoint(TRUNCATE)") || prove(f);
}

static int measure(struct flush *f, const struct bench_options *o, double known)
{
	static struct bench_times times;
	char title[80];
	struct bench_group g = {.title = title,
	                        .n_runs = o->runs,
	                        .n = f->rows,
	                        .n_arms = 2,
	                        .arms = {{"by hand", NULL, NULL},
	                                 {"the flusher's sink", NULL, NULL}}};
	double warm[2], best = 1e30;

	snprintf(title, sizeof(title), "sqlite, %s, %" PRIu32 " rows",
	         kind_names[f->kind], f->rows);
	if (o->only && !strstr(title, o->only))
		return 0;
	if (one_turn(f, &warm[0], &warm[1]))
		return 1;
	for (unsigned i = 0; i < o->runs; i++) {
		if (one_turn(f, &times.ns[0][i], &times.ns[1][i]))
			return 1;
		if (times.ns[0][i] < best)
			best = times.ns[0][i];
	}
	report_group(&g, &times);
	if (o->quick || f->kind != DELTAS || 1e9 / best >= 0.7 * known)
		return 0;
	printf("  fails: by hand %.0f rows/s, less than 0.7 x %.0f\n",
	       1e9 / best, known);
	return 1;
}

static int open_database(struct flush *f, int which)
{
	char sql[400];

	if (sqlite3_open(f->path[which], &f->db[which]) != SQLITE_OK)
		return -1;
	snprintf(sql, sizeof(sql),
	         "PRAGMA journal_mode=WAL;PRAGMA synchronous=FULL;"
	         "PRAGMA wal_autocheckpoint=20000;"
	         "CREATE TABLE gate(id INTEGER PRIMARY KEY, position INTEGER);"
	         "INSERT INTO gate VALUES(1,0);"
	         "CREATE TABLE t(id INTEGER PRIMARY KEY, n INTEGER, seen "
	         "INTEGER, title TEXT);"
	         "WITH RECURSIVE c(i) AS (SELECT 0 UNION ALL SELECT i+1 FROM c "
	         "WHERE i+1<%" PRIu32 ") INSERT INTO t SELECT i,0,0,'" TITLE
	         "' FROM c",
	         f->table_rows);
	return run_sql(f->db[which], sql);
}

static int open_all(struct flush *f)
{
	const char *tmp = getenv("TMPDIR");

	snprintf(f->dir, sizeof(f->dir), "%.40s/bench-XXXXXX",
	         tmp ? tmp : "/tmp");
	if (!mkdtemp(f->dir))
		return -1;
	snprintf(f->path[0], sizeof(f->path[0]), "%s/hand", f->dir);
	snprintf(f->path[1], sizeof(f->path[1]), "%s/ours", f->dir);
	f->count = f->next_id = f->table_rows;
	/* The sink sets up SQLite, for the hand-written loop as well. */
	sqlite3_config(SQLITE_CONFIG_PAGECACHE, NULL, 0, 0);
	if (wbci_sink_sqlite.open(&f->sink, f->path[1]))
		return -1;
	return open_database(f, 0) || open_database(f, 1);
}

static void close_all(struct flush *f)
{
	static const char *const ends[] = {"", "-wal", "-shm"};
	char path[100];

	drop_blobs(f);
	if (f->sink)
		wbci_sink_sqlite.close(&f->sink);
	for (int i = 0; i < 2; i++) {
		sqlite3_close_v2(f->db[i]);
		for (int k = 0; k < 3; k++) {
			snprintf(path, sizeof(path), "%s%s", f->path[i],
			         ends[k]);
			unlink(path);
		}
	}
	rmdir(f->dir);
}

int bench_flush(const struct bench_options *o)
{
	struct flush f = {.table_rows = o->quick ? 10000 : 1000000};
	int failed;

	if (o->n_args || !o->sqlite)
		return bench_usage("flush wants --sqlite, and nothing else");
	report_machine();
	report_heads(o->runs, "ns/op is of one row; a turn is one transaction "
	                      "of n rows\n");
	failed = open_all(&f);
	for (int k = 0; k < 3 && !failed; k++)
		for (int i = 0; i < 3; i++) {
			f.kind = (enum kind)k;
			f.rows = o->quick ? sizes[i].rows / 100 : sizes[i].rows;
			failed |= measure(&f, o, sizes[i].known);
		}
	close_all(&f);
	return failed ? 1 : 0;
}
