/* SPDX-License-Identifier: MIT */
/* Copyright the wbcshm authors */

/* A SQLite sink without a flusher: works are made by hand and given to its
 * ops, and what the database has then is asked of the database. */
#ifndef BED_H
#define BED_H

#include <sqlite3.h>
#include <stdio.h>
#include <string.h>

#include "api/wbc_error.h"
#include "flusher/apply.h"
#include "shm/cell.h"
#include "shm/key.h"
#include "shm/record.h"
#include "tap/tap.h"
#include "unit/scratch.h"

struct bed {
	struct scratch dir;
	char path[PATH_MAX];
	sqlite3 *db; /* ours */
	struct wbci_sink *sink;
	uint64_t done;
};

static inline void bed_sql(struct bed *b, const char *text)
{
	if (sqlite3_exec(b->db, text, NULL, NULL, NULL) != SQLITE_OK)
		tap_bail("%s: %s", text, sqlite3_errmsg(b->db));
}

static inline void make_bed(struct bed *b, const char *tables)
{
	memset(b, 0, sizeof(*b));
	scratch_make(&b->dir);
	snprintf(b->path, sizeof(b->path), "%s/db", b->dir.dir);
	if (sqlite3_open(b->path, &b->db) != SQLITE_OK)
		tap_bail("%s", b->path);
	bed_sql(b, "PRAGMA journal_mode=WAL");
	bed_sql(b, tables);
	if (wbci_sink_sqlite.open(&b->sink, b->path))
		tap_bail("no sink");
}

static inline void drop_bed(struct bed *b)
{
	wbci_sink_sqlite.close(&b->sink);
	sqlite3_close(b->db);
	scratch_remove(&b->dir);
}

/* The only text that a question has for an answer; to be freed. */
static inline char *bed_ask(struct bed *b, const char *text)
{
	const unsigned char *answer;
	sqlite3_stmt *stmt;
	char *copy;

	if (sqlite3_prepare_v2(b->db, text, -1, &stmt, NULL) != SQLITE_OK ||
	    sqlite3_step(stmt) != SQLITE_ROW)
		tap_bail("%s: %s", text, sqlite3_errmsg(b->db));
	answer = sqlite3_column_text(stmt, 0);
	copy = strdup(answer ? (const char *)answer : "NULL");
	sqlite3_finalize(stmt);
	if (!copy)
		tap_bail("no memory");
	return copy;
}

static inline void has(struct bed *b, const char *question, const char *wanted,
                       const char *sentence)
{
	char *got = bed_ask(b, question);

	tap_is_str(got, wanted, "%s", sentence);
	free(got);
}

/* The next piece, empty. */
static inline struct wbci_work *begin(const struct bed *b, const char *spec,
                                      unsigned on_missing)
{
	struct wbci_work *w = wbci_work_new();

	if (!w || wbci_rowset_init(&w->rows, spec, strlen(spec), false))
		tap_bail("no piece: %s", spec);
	snprintf(w->table, sizeof(w->table), "default.%s", w->rows.schema.name);
	snprintf(w->journal, sizeof(w->journal), "%032d", 7);
	w->done = b->done;
	w->piece = b->done + 1;
	w->mark = w->piece * 1001;
	w->on_missing = (uint8_t)on_missing;
	return w;
}

/* A row by its key; deltas are given as values of counted columns. */
static inline void change(struct wbci_work *w, const struct wbc_value *keys,
                          size_t n_keys, const struct wbc_value *values,
                          size_t n)
{
	const struct wbci_schema *s = &w->rows.schema;
	struct wbc_value plain[WBC_COLUMNS_MAX];
	uint64_t delta[WBC_COUNTERS_MAX] = {0};
	uint8_t columns[WBC_COLUMNS_MAX];
	unsigned char key[WBC_KEY_MAX];
	int len = wbci_key_encode(s, keys, n_keys, key);
	unsigned m = 0;

	if (len < 0)
		tap_bail("no key: %d", len);
	for (size_t i = 0; i < n; i++) {
		int c = wbci_schema_column(s, values[i].name);

		if (c < 0)
			tap_bail("no column %s", values[i].name);
		if (s->columns[c].role == ROLE_COUNTER) {
			delta[s->columns[c].index] = (uint64_t)values[i].v.i;
			continue;
		}
		columns[m] = (uint8_t)c;
		plain[m++] = values[i];
	}
	if (wbci_rowset_change(&w->rows, key, (uint32_t)len, delta, plain,
	                       columns, m))
		tap_bail("no such change");
}

/* The same of a table whose key is one int. */
#define CHANGE(w, id, ...)                                                     \
	do {                                                                   \
		const struct wbc_value key_ = wbc_int64(NULL, (id));           \
		const struct wbc_value values_[] = {__VA_ARGS__};              \
		change((w), &key_, 1, values_,                                 \
		       sizeof(values_) / sizeof(values_[0]));                  \
	} while (0)

static inline void add_insert(struct wbci_work *w,
                              const struct wbc_value *values, size_t n)
{
	uint8_t columns[WBC_COLUMNS_MAX];
	int64_t bytes = wbci_record_size(&w->rows.schema, values, n, columns);
	struct wbci_span2 to = {{NULL, NULL}, {0, 0}};

	to.n[0] = bytes > 0 ? (size_t)bytes : 0;
	to.p[0] = malloc(to.n[0]);
	if (bytes < 0 || !to.p[0])
		tap_bail("no record: %lld", (long long)bytes);
	wbci_record_write(&to, 0, values, columns, n, (uint64_t)bytes);
	if (wbci_rowset_insert(&w->rows, to.p[0], (uint64_t)bytes))
		tap_bail("no memory");
	free(to.p[0]);
}

static inline enum wbci_outcome apply(struct bed *b, struct wbci_work *w)
{
	wbci_rowset_sort(&w->rows);
	w->outcome = wbci_sink_sqlite.apply(b->sink, w);
	if (w->outcome == OUTCOME_DONE)
		b->done = w->piece;
	else if (w->outcome != OUTCOME_ALREADY)
		tap_diag("%s", w->reason);
	return w->outcome;
}

#endif
