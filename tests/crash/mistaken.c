/* SPDX-License-Identifier: MIT */
/* Copyright the wbcshm authors */

/*
 * Short lives of a flusher, each of which a mistake in its protocol spoils:
 * mistakes.sh makes the mistakes, one at a time, and runs the life that must
 * tell.  Here, all of them must go well.
 *
 *	mistaken [NAME]
 */
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "api/handle.h"
#include "crash/rig.h"
#include "shm/epoch.h"
#include "tap/tap.h"

static const char spec[] = "t(id int key, n counter, a int, b int)";
enum { N = 1, A, B };

#define INSERTS 3000

struct life {
	struct rig rig;
	struct wbc *c;
	struct wbc_table *t;
};

static void begin(struct life *l)
{
	memset(l, 0, sizeof(*l));
	rig_begin(&l->rig, "mistaken");
	l->rig.flush_interval = "1h";
	l->rig.tables[0] = spec;
	rig_sql(&l->rig, "CREATE TABLE t(id INTEGER PRIMARY KEY, n INTEGER "
	                 "CHECK(n < 1000), a INTEGER CHECK(a < 1000), "
	                 "b INTEGER); INSERT INTO t VALUES(1, 100, 10, 20)");
	l->c = rig_open_waiting(&l->rig, RIG_PATIENCE_MS);
	l->t = rig_table(l->c, spec);
}

static void end(struct life *l)
{
	if (l->rig.pid)
		rig_stop(&l->rig);
	wbc_close(&l->c);
	rig_end(&l->rig);
}

static void add(struct life *l, int64_t delta)
{
	struct wbc_value key = wbc_int64(NULL, 1);

	if (wbc_add_int64(l->t, &key, 1, N, delta))
		tap_bail("no add");
}

static void set(struct life *l, const char *column, int64_t to)
{
	struct wbc_value key = wbc_int64(NULL, 1);
	struct wbc_value value = wbc_int64(column, to);

	if (wbc_update(l->t, &key, 1, &value, 1))
		tap_bail("no update");
}

static int64_t value_of(struct life *l, unsigned column)
{
	struct wbc_value key = wbc_int64(NULL, 1), v;
	size_t room = 0;
	int error = wbc_read(l->t, &key, 1, column, &v, NULL, &room);

	return error ? error : v.v.i;
}

static int64_t in_database(struct life *l, const char *what)
{
	char sql[128];

	snprintf(sql, sizeof(sql), "SELECT %s FROM t WHERE id=1", what);
	return rig_sql_int(&l->rig, sql);
}

/* A flusher that is asked for a flush, and dies on the way. */
static void die_at(struct life *l, const char *point)
{
	rig_spawn(&l->rig, point);
	if (rig_ready(&l->rig))
		rig_signal(&l->rig, SIGUSR1);
	rig_wait(&l->rig);
}

/* Pitfall 8: cursors are moved before the journal's commit. */
static void before_commit(struct life *l)
{
	add(l, 5);
	set(l, "a", 11);
	die_at(l, "batch-before-commit");
	rig_start(&l->rig);
	rig_flush(l->c);
	tap_is_int(in_database(l, "n"), 105,
	           "P5: what a killed flusher did not commit is not lost");
	tap_is_int(in_database(l, "a"), 11, "P5: nor a column");
}

/* Pitfall 8: they are not moved again after it. */
static void after_commit(struct life *l)
{
	add(l, 5);
	set(l, "a", 11);
	die_at(l, "batch-after-commit");
	rig_sql(&l->rig, "UPDATE t SET a=12");
	rig_start(&l->rig);
	rig_flush(l->c);
	tap_is_int(in_database(l, "n"), 105,
	           "P5: what a killed flusher committed counts once");
}

/* Pitfalls 8 and 10: a segment's word for "applied", a gate whose answer
 * nobody looks at. */
static void after_sql(struct life *l)
{
	add(l, 5);
	die_at(l, "apply-after-commit");
	rig_start(&l->rig);
	rig_flush(l->c);
	tap_is_int(in_database(l, "n"), 105,
	           "P5: what a killed flusher applied is not applied again");
	tap_is_int(value_of(l, N), 105, "P5: and no reader counts it twice");
}

/* Pitfall 5: columns are sent that were sent before. */
static void sent_again(struct life *l)
{
	rig_start(&l->rig);
	set(l, "a", 11);
	rig_flush(l->c);
	rig_sql(&l->rig, "UPDATE t SET a=12");
	set(l, "b", 21);
	rig_flush(l->c);
	tap_is_int(in_database(l, "a"), 12,
	           "P5: an old value is not written over somebody else's");
}

/* Pitfall 13: a position behind what was trimmed is gone on with. */
static void restored(struct life *l)
{
	rig_start(&l->rig);
	add(l, 1);
	rig_flush(l->c);
	rig_stop(&l->rig);
	rig_copy(&l->rig, "database", "backup");
	rig_start(&l->rig);
	add(l, 1);
	rig_flush(l->c);
	rig_stop(&l->rig);
	rig_move(&l->rig, "backup", "database");
	rig_start(&l->rig);
	add(l, 1);
	rig_flush(l->c);
	tap_is_int(in_database(l, "n"), 101,
	           "P5: a restored backup is not gone on with");
}

/* Pitfall 14: readers see what was refused for ever. */
static void refused(struct life *l)
{
	l->rig.extra[0] = "--base-ttl";
	l->rig.extra[1] = "never";
	rig_start(&l->rig);
	tap_is_int(value_of(l, A) + value_of(l, N), 110, "a row is read");
	set(l, "a", 5000);
	add(l, 5000);
	rig_flush(l->c);
	tap_is_int(value_of(l, A), 10,
	           "P13: a column that was refused is as the database has it");
	tap_is_int(value_of(l, N), 100, "P13: and so is a counter");
	tap_is_int(rig_sql_int(&l->rig,
	                       "SELECT count(*) FROM wbc_dead_letters"),
	           1, "P13: there is one letter");
}

/*
 * Pitfall 6: rows are read after lanes.  What a thread does between the two is
 * an add whose insert comes later.  A round reads entries that there were when
 * it began; so these are made before, and a flusher that starts reads them all,
 * for as long as a section is open.
 */
static void insert_first(struct life *l)
{
	static struct wbc_counter *counter[INSERTS];
	struct wbc *other = rig_open(&l->rig);
	struct wbci_thread *stays;

	for (int i = 0; i < INSERTS; i++) {
		struct wbc_value key = wbc_int64(NULL, 10 + i);

		if (wbc_counter_open(l->t, &key, 1, N, &counter[i]))
			tap_bail("no counter");
	}
	if (wbci_thread(other->client, &stays))
		tap_bail("no thread");
	wbci_enter(stays);
	l->rig.flush_interval = "1ms";
	l->rig.journal_interval = "10ms";
	rig_spawn(&l->rig, NULL);
	for (int i = 0; i < INSERTS; i++) {
		struct wbc_value row[2] = {wbc_int64("id", 10 + i),
		                           wbc_int64("n", 0)};
		static const struct timespec pause = {0, 10000};

		if (wbc_insert(l->t, row, 2, -1) ||
		    wbc_counter_add(counter[i], 1))
			tap_bail("no insert");
		/* So that they are spread over the flusher's first rounds. */
		nanosleep(&pause, NULL);
	}
	wbci_exit(stays);
	wbc_close(&other);
	rig_ready(&l->rig);
	rig_flush(l->c);
	tap_is_int(rig_sql_int(&l->rig,
	                       "SELECT count(*) FROM wbc_dead_letters"),
	           0, "P5: no add overtakes the insert of its row");
	tap_is_int(rig_sql_int(&l->rig,
	                       "SELECT count(*) FROM t WHERE id >= 10 AND n=1"),
	           INSERTS, "P5: all rows are there, each with its add");
}

/* Pitfall 14: a letter outside the transaction that moves the position. */
static void letter_once(struct life *l)
{
	add(l, 5000);
	die_at(l, "apply-before-commit");
	rig_start(&l->rig);
	rig_flush(l->c);
	tap_is_int(rig_sql_int(&l->rig,
	                       "SELECT count(*) FROM wbc_dead_letters"),
	           1, "P13: a row that was refused twice is one letter");
}

/* What is unapplied is forgotten, or counted twice, by a flusher's start. */
static void read_after_start(struct life *l)
{
	rig_start(&l->rig);
	add(l, 5);
	set(l, "a", 11);
	if (wbc_sync(l->c, RIG_PATIENCE_MS))
		tap_bail("no sync");
	rig_kill(&l->rig);
	unlink(l->rig.segment);
	wbc_close(&l->c);
	l->c = rig_open_waiting(&l->rig, RIG_PATIENCE_MS);
	l->t = rig_table(l->c, spec);
	rig_start(&l->rig);
	tap_is_int(value_of(l, N), 105,
	           "P5: a reader sees what only the journal has");
	tap_is_int(value_of(l, A), 11, "P5: of a column, too");
}

static const struct {
	const char *name;
	void (*live)(struct life *l);
} lives[] = {
	{"before-commit", before_commit},
	{"after-commit", after_commit},
	{"after-sql", after_sql},
	{"sent-again", sent_again},
	{"insert-first", insert_first},
	{"restored", restored},
	{"refused", refused},
	{"letter-once", letter_once},
	{"read-after-start", read_after_start},
};

int main(int argc, char **argv)
{
	for (size_t i = 0; i < sizeof(lives) / sizeof(lives[0]); i++) {
		struct life l;

		if (argc > 1 && strcmp(argv[1], lives[i].name))
			continue;
		begin(&l);
		lives[i].live(&l);
		end(&l);
	}
	return tap_done();
}
