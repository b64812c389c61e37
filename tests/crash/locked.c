/* SPDX-License-Identifier: MIT */
/* Copyright the wbcshm authors */

/*
 * The database is locked by somebody else for WBC_LOCKED_S seconds (15 if
 * not set): clients go on, what they sync is durable as fast as ever, a flush
 * says why it waits, the journal grows with rows and not with time, and what
 * has piled up is one UPDATE per row in the end.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "crash/rig.h"
#include "tap/tap.h"

#define ROWS 500
#define BATCHES_LEAST 100
#define JOURNAL_MS 100
/* Two intervals are promised; what a busy machine may add to one of them now
 * and then, not to more than one of 20, is said beside the result. */
#define SYNC_MS (2 * JOURNAL_MS)
#define SLACK_MS 300

static const char spec[] = "counts(name text key, n counter, x double counter)";

struct state {
	struct rig rig;
	struct wbc *c;
	struct wbc_table *t;
	int64_t adds; /* to each row */
};

static struct wbc_value row_key(char *name, unsigned row)
{
	int n = sprintf(name, "row-%03u-and-more-than-28-bytes-of-key", row);

	return wbc_text(NULL, name, (uint32_t)n);
}

/* One more for every row. */
static void add_to_all(struct state *s)
{
	char name[64];

	for (unsigned i = 0; i < ROWS; i++) {
		struct wbc_value key = row_key(name, i);

		if (wbc_add_int64(s->t, &key, 1, 1, 1) ||
		    wbc_add_double(s->t, &key, 1, 2, 0.5))
			tap_bail("adding fails");
	}
	s->adds++;
}

static void make_rows(const struct rig *r)
{
	rig_sql(r, "CREATE TABLE counts(name TEXT PRIMARY KEY,"
	           " n INTEGER NOT NULL, x REAL NOT NULL);"
	           "WITH RECURSIVE i(k) AS (SELECT 0 UNION ALL SELECT k + 1"
	           " FROM i WHERE k < 499)"
	           "INSERT INTO counts SELECT printf("
	           "'row-%03d-and-more-than-28-bytes-of-key', k), 0, 0 FROM i");
}

static void begin(struct state *s)
{
	memset(s, 0, sizeof(*s));
	rig_begin(&s->rig, "locked");
	s->rig.tables[0] = spec;
	s->rig.journal_interval = "100ms";
	s->rig.flush_interval = "1s";
	make_rows(&s->rig);
	s->c = rig_open(&s->rig);
	s->t = rig_table(s->c, spec);
}

static void end(struct state *s)
{
	tap_is_int(rig_stop(&s->rig), 0, "the flusher ends well");
	wbc_close(&s->c);
	rig_end(&s->rig);
}

/* Every row has every add. */
static bool exact(const struct state *s)
{
	char sql[160];
	int64_t good;

	snprintf(sql, sizeof(sql),
	         "SELECT count(*) FROM counts WHERE n=%lld AND x=%lld*0.5",
	         (long long)s->adds, (long long)s->adds);
	good = rig_sql_int(&s->rig, sql);
	if (good != ROWS)
		tap_diag("%lld of %d rows are right", (long long)good, ROWS);
	return good == ROWS;
}

/* What the first batches of a locked time are, is sent and waits outside:
 * the one piece that may be outstanding.  Returns when that is so. */
static void make_outstanding(struct state *s)
{
	struct wbc_flush_result result;
	int error;

	add_to_all(s);
	error = wbc_flush(s->c, NULL, 4000, &result);
	tap_is_int(error, -ETIMEDOUT,
	           "P2: a flush with the database locked ends at its "
	           "deadline");
	tap_diag("its words: %s: %s", result.table, result.message);
	tap_is_str(result.table, "counts", "it names the table");
	tap_ok(strstr(result.message, "lock") &&
	               strstr(result.message, s->rig.database),
	       "it says which database is locked");
	tap_is_uint(result.rows_applied, 0, "nothing is said to be applied");
}

struct syncs {
	int64_t n;
	int64_t slowest_ms;
	int64_t late;        /* took longer than SYNC_MS */
	int64_t early_bytes; /* of the journal, after a quarter of the time */
};

/* A batch with every row of the table, and one more, until time is up. */
static void pile_up(struct state *s, int seconds, struct syncs *y)
{
	int64_t begin_ms = rig_now_ms();
	int64_t now = begin_ms;

	memset(y, 0, sizeof(*y));
	while (now < begin_ms + seconds * 1000 || y->n < BATCHES_LEAST) {
		int64_t before = rig_now_ms();
		int error;

		add_to_all(s);
		before = rig_now_ms();
		error = wbc_sync(s->c, RIG_PATIENCE_MS);
		now = rig_now_ms();
		if (error)
			tap_bail("sync: %s", wbc_error_name(error));
		if (now - before > y->slowest_ms)
			y->slowest_ms = now - before;
		y->late += now - before > SYNC_MS;
		y->n++;
		if (now < begin_ms + seconds * 250 || y->n < BATCHES_LEAST / 4)
			y->early_bytes = rig_journal_bytes(&s->rig);
	}
	tap_diag("%lld batches in %lld ms", (long long)y->n,
	         (long long)(now - begin_ms));
}

static void long_lock(int seconds)
{
	struct syncs y;
	struct state s;
	int64_t bytes;

	begin(&s);
	rig_start(&s.rig);
	add_to_all(&s);
	tap_is_int(rig_flush(s.c), 0, "with the database free a flush works");
	rig_sql_lock(&s.rig);
	make_outstanding(&s);
	rig_log_mark(&s.rig);
	pile_up(&s, seconds, &y);
	bytes = rig_journal_bytes(&s.rig);
	tap_ok(y.slowest_ms <= SYNC_MS + SLACK_MS && y.late * 20 <= y.n,
	       "P4: %lld of %lld syncs return within two journal intervals "
	       "(%d ms), all within %d ms for the scheduler more: the slowest "
	       "took %lld ms",
	       (long long)(y.n - y.late), (long long)y.n, SYNC_MS, SLACK_MS,
	       (long long)y.slowest_ms);
	tap_diag("journal: %lld bytes early, %lld bytes late",
	         (long long)y.early_bytes, (long long)bytes);
	tap_ok(bytes - y.early_bytes < 1 << 20,
	       "the journal grows with rows, not with time");
	tap_is_uint(rig_log_count(&s.rig, "event=applied", NULL), 0,
	            "nothing was applied behind the lock");
	rig_sql_unlock();
	tap_is_int(rig_flush(s.c), 0, "P5: once it is free all is written");
	tap_ok(exact(&s), "P5: the sums are exact");
	tap_is_uint(rig_log_count(&s.rig, "event=applied", NULL), 2,
	            "in two pieces: what was sent before, and all the rest");
	tap_is_int(rig_log_sum(&s.rig, "applied", "statements"), 2 * ROWS,
	           "each of one UPDATE per row, for %lld batches",
	           (long long)y.n);
	if (tap_failed())
		rig_log_show(&s.rig);
	end(&s);
}

/* Locked before the flusher ever saw it, and over a flusher's death. */
static void locked_at_the_start(void)
{
	struct state s;

	begin(&s);
	rig_sql_lock(&s.rig);
	add_to_all(&s);
	rig_start(&s.rig);
	for (int i = 0; i < BATCHES_LEAST; i++) {
		add_to_all(&s);
		if (wbc_sync(s.c, RIG_PATIENCE_MS))
			tap_bail("sync fails");
		if (i == BATCHES_LEAST / 2) {
			rig_kill(&s.rig);
			rig_start(&s.rig);
		}
	}
	rig_log_mark(&s.rig);
	rig_sql_unlock();
	tap_is_int(rig_flush(s.c), 0,
	           "P5: a database that was locked from the start is written");
	tap_ok(exact(&s), "P5: exactly, also over a kill");
	tap_is_int(rig_log_sum(&s.rig, "applied", "statements"), ROWS,
	           "by one UPDATE per row");
	end(&s);
}

int main(void)
{
	const char *seconds = getenv("WBC_LOCKED_S");

	long_lock(seconds ? atoi(seconds) : 15);
	locked_at_the_start();
	return tap_done();
}
