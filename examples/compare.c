/* SPDX-License-Identifier: MIT */
/* Copyright the wbcshm authors */

#include "compare.h"

#include <inttypes.h>
#include <sqlite3.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "count.h"
#include "screen.h"

/* Differences printed of each kind; the others are counted only. */
#define SHOWN 20

struct compare {
	sqlite3 *db;
};

static int complain(sqlite3 *db, const char *what)
{
	fprintf(stderr, "wordcount: %s: %s\n", what, sqlite3_errmsg(db));
	return 1;
}

static int run(sqlite3 *db, const char *sql)
{
	if (sqlite3_exec(db, sql, NULL, NULL, NULL) != SQLITE_OK)
		return complain(db, sql);
	return 0;
}

int tables_create(const char *database)
{
	sqlite3 *db;
	int rc;

	/*
	 * The log has no unique key on purpose: a row that came twice would
	 * be seen, not refused.
	 */
	rc = sqlite3_open(database, &db) != SQLITE_OK;
	if (rc)
		complain(db, database);
	else
		rc = run(db, "PRAGMA journal_mode = WAL;"
		             "CREATE TABLE words (word TEXT PRIMARY KEY,"
		             " n INTEGER NOT NULL DEFAULT 0);"
		             "CREATE TABLE log (worker INTEGER, pass INTEGER,"
		             " file TEXT, words INTEGER);");
	sqlite3_close(db);
	return rc;
}

struct compare *compare_open(const char *database)
{
	struct compare *c = calloc(1, sizeof(*c));

	if (!c)
		return NULL;
	if (sqlite3_open(database, &c->db) != SQLITE_OK)
		complain(c->db, database);
	else if (run(c->db,
	             "CREATE TEMP TABLE truth (word TEXT PRIMARY KEY,"
	             " n INTEGER NOT NULL) WITHOUT ROWID;"
	             "CREATE TEMP TABLE reported (word TEXT PRIMARY KEY,"
	             " n INTEGER NOT NULL) WITHOUT ROWID;"
	             "CREATE TEMP TABLE passes (worker INTEGER, pass INTEGER);"
	             "CREATE TEMP TABLE shares (worker INTEGER,"
	             " file TEXT);") == 0)
		return c;
	compare_close(c);
	return NULL;
}

void compare_close(struct compare *c)
{
	if (!c)
		return;
	sqlite3_close(c->db);
	free(c);
}

/*
 * Read what `uniq -c` prints, and add each count times @times to a table.
 * Return: how many lines were read, or -1.
 */
static int64_t add_counts(struct compare *c, const char *table,
                          const char *command, uint64_t times)
{
	char sql[256], word[WORD_MAX + 64];
	sqlite3_stmt *add;
	uint64_t n;
	FILE *in;
	int64_t lines = 0;
	int rc = SQLITE_DONE;

	snprintf(sql, sizeof(sql),
	         "INSERT INTO %s VALUES (?1, ?2)"
	         " ON CONFLICT (word) DO UPDATE SET n = n + ?2",
	         table);
	if (sqlite3_prepare_v2(c->db, sql, -1, &add, NULL) != SQLITE_OK) {
		complain(c->db, sql);
		return -1;
	}
	in = popen(command, "re");
	while (in && rc == SQLITE_DONE &&
	       fscanf(in, "%" SCNu64 " %263s", &n, word) == 2) {
		sqlite3_bind_text(add, 1, word, -1, SQLITE_STATIC);
		sqlite3_bind_int64(add, 2, (sqlite3_int64)(n * times));
		rc = sqlite3_step(add);
		sqlite3_reset(add);
		lines++;
	}
	sqlite3_finalize(add);
	if (!in || pclose(in) != 0 || rc != SQLITE_DONE) {
		fprintf(stderr, "wordcount: failed: %s\n", command);
		return -1;
	}
	return lines;
}

/* One row for each file of a share, and one for each pass. */
static int expect_log(struct compare *c, int64_t worker, const char *share,
                      uint64_t passes)
{
	char sql[512], path[4096];
	FILE *in = fopen(share, "re");
	sqlite3_stmt *add;
	int rc = SQLITE_DONE;

	if (!in)
		return 1;
	snprintf(sql, sizeof(sql),
	         "WITH RECURSIVE p(i) AS (SELECT 1 UNION ALL"
	         " SELECT i + 1 FROM p LIMIT %" PRIu64 ")"
	         "INSERT INTO passes SELECT %" PRId64 ", i FROM p"
	         " WHERE i <= %" PRIu64,
	         passes, worker, passes);
	if (run(c->db, sql) ||
	    sqlite3_prepare_v2(c->db, "INSERT INTO shares VALUES (?, ?)", -1,
	                       &add, NULL) != SQLITE_OK) {
		fclose(in);
		return 1;
	}
	while (rc == SQLITE_DONE && fgets(path, sizeof(path), in)) {
		path[strcspn(path, "\n")] = '\0';
		sqlite3_bind_int64(add, 1, worker);
		sqlite3_bind_text(add, 2, path, -1, SQLITE_STATIC);
		rc = sqlite3_step(add);
		sqlite3_reset(add);
	}
	sqlite3_finalize(add);
	fclose(in);
	return rc == SQLITE_DONE ? 0 : complain(c->db, "shares");
}

int compare_expect_share(struct compare *c, int64_t worker, const char *share,
                         uint64_t passes)
{
	char command[8192];
	int rc;

	/*
	 * `grep ''` prints every line and ends the last one of each file, so
	 * that no word runs from one file into the next.  The second grep
	 * drops the empty line that tr leaves at the front.
	 */
	snprintf(command, sizeof(command),
	         "export LC_ALL=C; xargs -d '\\n' -a '%s' grep -ah '' |"
	         " tr -cs 'A-Za-z' '\\n' | tr 'A-Z' 'a-z' | grep . |"
	         " cut -c 1-%d | sort | uniq -c",
	         share, WORD_MAX);
	if (run(c->db, "BEGIN"))
		return 1;
	rc = add_counts(c, "truth", command, passes) < 0 ||
	     expect_log(c, worker, share, passes);
	return run(c->db, rc ? "ROLLBACK" : "COMMIT") || rc;
}

int compare_expect_extra(struct compare *c, const char *report)
{
	char command[8192];

	snprintf(command, sizeof(command),
	         "export LC_ALL=C; sort '%s' | uniq -c", report);
	if (run(c->db, "BEGIN"))
		return 1;
	if (add_counts(c, "reported", command, 1) < 0) {
		run(c->db, "ROLLBACK");
		return 1;
	}
	return run(c->db, "UPDATE reported SET word = '" EXTRA_PREFIX
	                  "' || word; COMMIT");
}

/*
 * Run a query of differences: a name, what is right, what the table has.
 * Return: how many there are, or -1.
 */
static int64_t show_differences(struct compare *c, const char *what,
                                const char *sql)
{
	sqlite3_stmt *query;
	int64_t n = 0;
	int rc;

	if (sqlite3_prepare_v2(c->db, sql, -1, &query, NULL) != SQLITE_OK) {
		complain(c->db, sql);
		return -1;
	}
	while ((rc = sqlite3_step(query)) == SQLITE_ROW) {
		if (n++ < SHOWN)
			printf("  %s %s: %lld is right, the table has %lld\n",
			       what,
			       (const char *)sqlite3_column_text(query, 0),
			       (long long)sqlite3_column_int64(query, 1),
			       (long long)sqlite3_column_int64(query, 2));
	}
	sqlite3_finalize(query);
	if (rc != SQLITE_DONE) {
		complain(c->db, sql);
		return -1;
	}
	if (n > SHOWN)
		printf("  ... and %lld more\n", (long long)(n - SHOWN));
	return n;
}

/* One number. */
static int ask(struct compare *c, const char *sql, uint64_t *n)
{
	sqlite3_stmt *query;
	int rc;

	if (sqlite3_prepare_v2(c->db, sql, -1, &query, NULL) != SQLITE_OK)
		return complain(c->db, sql);
	rc = sqlite3_step(query);
	if (rc == SQLITE_ROW)
		*n = (uint64_t)sqlite3_column_int64(query, 0);
	sqlite3_finalize(query);
	return rc == SQLITE_ROW ? 0 : complain(c->db, sql);
}

#define NOT_EXTRA " word NOT GLOB '" EXTRA_PREFIX "*' "
#define IS_EXTRA " word GLOB '" EXTRA_PREFIX "*' "

static int compare_words(struct compare *c, struct verdict *v)
{
	int64_t n;

	n = show_differences(
		c, "word",
		"SELECT word, t.n, w.n FROM truth t LEFT JOIN words w"
		" USING (word) WHERE w.n IS NOT t.n UNION ALL "
		"SELECT word, 0, n FROM words WHERE" NOT_EXTRA
		"AND word NOT IN (SELECT word FROM truth)");
	if (n < 0)
		return 1;
	v->wrong = (uint64_t)n;
	return ask(c, "SELECT count(*) FROM words WHERE" NOT_EXTRA, &v->rows) ||
	       ask(c, "SELECT coalesce(sum(n), 0) FROM words WHERE" NOT_EXTRA,
	           &v->words);
}

/*
 * Each visit that was made has one row, and there are no other rows.  The
 * rows say how many words each visit found, so their sum is one more check.
 */
static int compare_log(struct compare *c, struct verdict *v)
{
	uint64_t due, logged;
	int64_t n;

	n = show_differences(
		c, "log row of worker, pass, file",
		"SELECT printf('%d, %d, %s', s.worker, p.pass, s.file), 1,"
		" count(l.worker)"
		" FROM shares s JOIN passes p USING (worker)"
		" LEFT JOIN log l ON l.worker = s.worker"
		" AND l.pass = p.pass AND l.file = s.file"
		" GROUP BY s.worker, p.pass, s.file"
		" HAVING count(l.worker) <> 1");
	if (n < 0)
		return 1;
	if (ask(c, "SELECT count(*) FROM shares JOIN passes USING (worker)",
	        &due) ||
	    ask(c, "SELECT count(*) FROM log", &v->log_rows) ||
	    ask(c, "SELECT coalesce(sum(words), 0) FROM log", &logged))
		return 1;
	v->log_wrong = (uint64_t)n;
	if (v->log_rows != due || logged != v->words) {
		printf("  the log has %" PRIu64 " rows of %" PRIu64
		       ", with %" PRIu64 " words of %" PRIu64 "\n",
		       v->log_rows, due, logged, v->words);
		v->log_wrong++;
	}
	return 0;
}

/* A killed process has made each add that it reported, and one more at most. */
static int compare_extra(struct compare *c, struct verdict *v)
{
	int64_t n;

	n = show_differences(
		c, "word",
		"SELECT word, r.n, w.n FROM reported r LEFT JOIN words w"
		" USING (word) WHERE w.n IS NULL OR w.n < r.n"
		" OR w.n > r.n + 1");
	if (n < 0)
		return 1;
	v->extra_wrong = (uint64_t)n;
	if (ask(c, "SELECT coalesce(sum(n), 0) FROM reported", &v->reported) ||
	    ask(c, "SELECT coalesce(sum(n), 0) FROM words WHERE" IS_EXTRA,
	        &v->extra))
		return 1;
	if (v->extra < v->reported || v->extra > v->reported + 1) {
		printf("  %" PRIu64
		       " words were reported, the table has %" PRIu64 "\n",
		       v->reported, v->extra);
		v->extra_wrong++;
	}
	return 0;
}

int compare_all(struct compare *c, struct verdict *v)
{
	memset(v, 0, sizeof(*v));
	return compare_words(c, v) || compare_log(c, v) || compare_extra(c, v);
}

int compare_print_top(struct compare *c, int n)
{
	sqlite3_stmt *query;
	int rc;

	if (sqlite3_prepare_v2(c->db,
	                       "SELECT word, n FROM words WHERE" NOT_EXTRA
	                       "ORDER BY n DESC, word LIMIT ?",
	                       -1, &query, NULL) != SQLITE_OK)
		return complain(c->db, "the commonest words");
	sqlite3_bind_int(query, 1, n);
	while ((rc = sqlite3_step(query)) == SQLITE_ROW)
		printf("  %15s  %s\n",
		       grouped((uint64_t)sqlite3_column_int64(query, 1)),
		       (const char *)sqlite3_column_text(query, 0));
	sqlite3_finalize(query);
	return rc == SQLITE_DONE ? 0 : complain(c->db, "the commonest words");
}
