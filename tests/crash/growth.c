/* SPDX-License-Identifier: MIT */
/* Copyright the wbcshm authors */

/*
 * A journal that outgrows the map it was opened with (64 MiB), because the
 * database is locked: updates are done again in a larger map, the flusher is
 * killed on the way and opens a file that is larger than its first map, and
 * every row is written once.
 */
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "crash/rig.h"
#include "tap/tap.h"

#define FIRST_MAP (INT64_C(64) << 20)
#define NOTE_BYTES 100000
#define KILL_EVERY 200

static const char spec[] = "log(seq int, note blob)";

struct state {
	struct rig rig;
	struct wbc *c;
	struct wbc_table *t;
	int64_t inserted;
};

static void begin(struct state *s)
{
	memset(s, 0, sizeof(*s));
	rig_begin(&s->rig, "growth");
	s->rig.tables[0] = spec;
	rig_sql(&s->rig, "CREATE TABLE log(seq INTEGER, note BLOB)");
	s->c = rig_open(&s->rig);
	s->t = rig_table(s->c, spec);
	rig_start(&s->rig);
}

static void insert(struct state *s)
{
	static char note[NOTE_BYTES];
	struct wbc_value row[2] = {wbc_int64("seq", s->inserted),
	                           wbc_blob("note", note, sizeof(note))};
	int error;

	memset(note, 'a' + (int)(s->inserted % 26), sizeof(note));
	error = wbc_insert(s->t, row, 2, RIG_PATIENCE_MS);
	if (error)
		tap_bail("inserting: %s", wbc_error_name(error));
	s->inserted++;
}

static bool exact(const struct state *s)
{
	char sql[256];

	snprintf(sql, sizeof(sql),
	         "SELECT count(*) = %lld AND count(DISTINCT seq) = %lld"
	         " AND total(length(note)) = %lld FROM log",
	         (long long)s->inserted, (long long)s->inserted,
	         (long long)s->inserted * NOTE_BYTES);
	return rig_sql_int(&s->rig, sql) == 1 &&
	       rig_sql_int(&s->rig,
	                   "SELECT count(*) FROM log WHERE note <> CAST("
	                   "replace(hex(zeroblob(50000)), '0', "
	                   "char(97 + seq % 26)) AS BLOB)") == 0;
}

static void grow(const char *kill_at)
{
	struct state s;
	int kills = 0;

	begin(&s);
	insert(&s);
	tap_is_int(rig_flush(s.c), 0, "a flush works");
	rig_sql_lock(&s.rig);
	while (rig_journal_bytes(&s.rig) <= FIRST_MAP + (8 << 20)) {
		insert(&s);
		if (s.inserted % KILL_EVERY)
			continue;
		if (wbc_sync(s.c, RIG_PATIENCE_MS))
			tap_bail("sync fails");
		rig_kill(&s.rig);
		/* The next one dies by itself, with a batch in its hands. */
		insert(&s);
		rig_spawn(&s.rig, kill_at);
		if (rig_wait(&s.rig) != RIG_SIGNALLED(SIGKILL))
			tap_bail("the flusher does not die at %s", kill_at);
		rig_start(&s.rig);
		kills += 2;
	}
	tap_diag("%lld rows, journal of %lld bytes, %d kills",
	         (long long)s.inserted, (long long)rig_journal_bytes(&s.rig),
	         kills);
	tap_ok(wbc_sync(s.c, RIG_PATIENCE_MS) == 0,
	       "P4: a sync works with a journal that has grown");
	rig_kill(&s.rig);
	rig_start(&s.rig);
	rig_sql_unlock();
	tap_is_int(rig_flush(s.c), 0, "so does a flush after a restart");
	tap_ok(exact(&s),
	       "P5: every row is there once, whole, after kills at "
	       "%s",
	       kill_at);
	tap_is_int(rig_stop(&s.rig), 0, "the flusher ends well");
	wbc_close(&s.c);
	rig_end(&s.rig);
}

int main(void)
{
	grow("batch-before-commit");
	grow("batch-after-commit");
	return tap_done();
}
