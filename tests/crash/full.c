/* SPDX-License-Identifier: MIT */
/* Copyright the wbcshm authors */

/*
 * Full file systems, in mount namespaces of our own: under the segment, the
 * journal and the database.  Each is a clear error, nothing is lost, and it
 * goes on once there is room.
 */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "crash/rig.h"
#include "tap/tap.h"

/* Long enough for a few attempts, for a flush or sync that cannot succeed. */
#define SOON_MS 500
#define NOTE_BYTES 60000

static const char spec[] = "counts(name text key, n counter)"
			   " on_missing=insert";
static const char log_spec[] = "log(seq int, note text)";

struct state {
	struct rig rig;
	struct wbc *c;
	struct wbc_table *t, *log;
	int64_t added;
	int64_t inserted;
	char small[PATH_MAX - 32]; /* the folder that is a small file system */
};

static void write_text(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);

	if (fd >= 0 && write(fd, text, strlen(text)) < 0)
		tap_diag("%s: %s", path, strerror(errno));
	close(fd);
}

/* A namespace in which we may mount; NULL, or why there is none. */
static const char *own_mounts(void)
{
	unsigned uid = geteuid(), gid = getegid();
	char map[64];

	if (unshare(CLONE_NEWNS)) {
		if (unshare(CLONE_NEWUSER | CLONE_NEWNS))
			return "no mount namespace is permitted here";
		write_text("/proc/self/setgroups", "deny");
		snprintf(map, sizeof(map), "%u %u 1", uid, uid);
		write_text("/proc/self/uid_map", map);
		snprintf(map, sizeof(map), "%u %u 1", gid, gid);
		write_text("/proc/self/gid_map", map);
	}
	if (mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL))
		return "mounts cannot be made private here";
	return NULL;
}

static void begin(struct state *s, const char *bytes)
{
	char size[64];

	memset(s, 0, sizeof(*s));
	rig_begin(&s->rig, "full");
	s->rig.flush_interval = "1h";
	s->rig.tables[0] = spec;
	s->rig.tables[1] = log_spec;
	snprintf(s->small, sizeof(s->small), "%s/small", s->rig.dir);
	snprintf(size, sizeof(size), "size=%s", bytes);
	if (mkdir(s->small, 0700) || mount("tmpfs", s->small, "tmpfs", 0, size))
		tap_bail("%s: %s", s->small, strerror(errno));
}

static void make_tables(const struct rig *r)
{
	rig_sql(r, "CREATE TABLE counts(name TEXT PRIMARY KEY, n INTEGER);"
	           "CREATE TABLE log(seq INTEGER, note TEXT)");
}

static void open_state(struct state *s)
{
	s->c = rig_open(&s->rig);
	s->t = rig_table(s->c, spec);
	s->log = rig_table(s->c, log_spec);
}

static void end(struct state *s)
{
	if (s->rig.pid)
		tap_is_int(rig_stop(&s->rig), 0, "the flusher ends well");
	wbc_close(&s->c);
	umount2(s->small, MNT_DETACH);
	rig_end(&s->rig);
}

static void enlarge(const struct state *s)
{
	if (mount("tmpfs", s->small, "tmpfs", MS_REMOUNT, "size=256m"))
		tap_bail("%s: remount: %s", s->small, strerror(errno));
}

/* Take all the room that is left. */
static void fill(const struct state *s)
{
	static char zeros[65536];
	char path[PATH_MAX + 16];
	size_t chunk = sizeof(zeros);
	int fd;

	snprintf(path, sizeof(path), "%s/filler", s->small);
	fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	if (fd < 0)
		tap_bail("%s: %s", path, strerror(errno));
	for (; chunk >= 4096; chunk /= 2)
		while (write(fd, zeros, chunk) == (ssize_t)chunk)
			;
	close(fd);
}

static void make_room(const struct state *s)
{
	char path[PATH_MAX + 16];

	snprintf(path, sizeof(path), "%s/filler", s->small);
	unlink(path);
}

static void work(struct state *s)
{
	static char note[NOTE_BYTES];
	struct wbc_value key = wbc_text(NULL, "row", 3);
	struct wbc_value row[2] = {wbc_int64("seq", s->inserted),
	                           wbc_text("note", note, sizeof(note))};
	int error;

	memset(note, 'n', sizeof(note));
	if (wbc_add_int64(s->t, &key, 1, 1, 1))
		tap_bail("adding fails");
	s->added++;
	error = wbc_insert(s->log, row, 2, 0);
	if (error && error != -EAGAIN)
		tap_bail("inserting: %s", wbc_error_name(error));
	s->inserted += !error;
}

static bool exact(const struct state *s)
{
	int64_t n = rig_sql_int(&s->rig, "SELECT total(n) FROM counts");
	int64_t rows = rig_sql_int(&s->rig, "SELECT count(*) FROM log");
	int64_t different =
		rig_sql_int(&s->rig, "SELECT count(DISTINCT seq) FROM log");

	if (n != s->added || rows != s->inserted || different != rows)
		tap_diag("%lld of %lld adds, %lld (%lld) of %lld rows",
		         (long long)n, (long long)s->added, (long long)rows,
		         (long long)different, (long long)s->inserted);
	return n == s->added && rows == s->inserted && different == rows;
}

/* A sync is not answered, since the journal takes no more. */
static bool is_refused(struct state *s)
{
	return wbc_sync(s->c, SOON_MS) &&
	       rig_log_count(&s->rig, "event=journal-failed", NULL);
}

static void flushed(struct state *s, const char *what)
{
	work(s);
	tap_is_int(rig_flush(s->c), 0, "P8: %s: it goes on", what);
	tap_ok(exact(s), "P5: and nothing was lost or doubled");
}

static void no_room_for_a_segment(void)
{
	struct state s;
	int status;

	begin(&s, "1m");
	make_tables(&s.rig);
	snprintf(s.rig.segment, sizeof(s.rig.segment), "%s/segment", s.small);
	snprintf(s.rig.address, sizeof(s.rig.address), "shm:%s", s.rig.segment);
	s.rig.create = true;
	status = rig_refused(&s.rig);
	tap_is_int(status, 1, "P8: no room for a segment: exit status 1");
	tap_ok(rig_log_count(&s.rig, "no room", "--shm-size"),
	       "the words name the container's setting: %s",
	       rig_log_last(&s.rig, "wbc-flusher: "));
	tap_ok(access(s.rig.segment, F_OK), "no half of one is left");
	enlarge(&s);
	rig_start(&s.rig);
	open_state(&s);
	flushed(&s, "with room");
	end(&s);
}

/* Rows until there is no room: the error, and all before it is written. */
static void segment_fills_up(void)
{
	struct wbc_value key;
	struct state s;
	char name[64];
	int error = 0;
	int64_t n;

	begin(&s, "12m");
	make_tables(&s.rig);
	snprintf(s.rig.segment, sizeof(s.rig.segment), "%s/segment", s.small);
	snprintf(s.rig.address, sizeof(s.rig.address), "shm:%s", s.rig.segment);
	open_state(&s);
	rig_start(&s.rig);
	work(&s);
	for (n = 0; !error; n++) {
		key = wbc_text(
			NULL, name,
			(uint32_t)sprintf(name, "row-%lld", (long long)n));
		error = wbc_add_int64(s.t, &key, 1, 1, 1);
		s.added += !error;
	}
	tap_is_int(error, -ENOSPC,
	           "P8: a full segment is an error: after "
	           "%lld rows",
	           (long long)n);
	key = wbc_text(NULL, "row-1", 5);
	tap_is_int(wbc_add_int64(s.t, &key, 1, 1, 1), 0,
	           "P8: rows that are there are added to");
	s.added++;
	flushed(&s, "with the segment full");
	enlarge(&s);
	key = wbc_text(NULL, "another", 7);
	tap_is_int(wbc_add_int64(s.t, &key, 1, 1, 1), 0,
	           "P8: with room a new row is made");
	s.added++;
	flushed(&s, "with room");
	end(&s);
}

static void journal_in_small(struct state *s, const char *bytes)
{
	begin(s, bytes);
	make_tables(&s->rig);
	snprintf(s->rig.journal, sizeof(s->rig.journal), "%s/journal",
	         s->small);
	open_state(s);
}

static void no_room_for_a_journal(void)
{
	struct state s;

	journal_in_small(&s, "1m");
	work(&s);
	fill(&s);
	tap_is_int(rig_refused(&s.rig), 1,
	           "P8: no room for a journal: exit status 1");
	tap_ok(rig_log_count(&s.rig, "journal: ", "No space left"),
	       "in words: %s", rig_log_last(&s.rig, "wbc-flusher: "));
	make_room(&s);
	rig_start(&s.rig);
	flushed(&s, "with room");
	end(&s);
}

/* The journal was fine, and then its disk is full. */
static void fill_journal(struct state *s)
{
	journal_in_small(s, "4m");
	rig_start(&s->rig);
	work(s);
	tap_is_int(rig_flush(s->c), 0, "a journal with room works");
	fill(s);
	rig_log_mark(&s->rig);
	/* What is free inside its file is soon used up. */
	for (int i = 0; i < 100; i++) {
		work(s);
		if (is_refused(s))
			break;
	}
	tap_is_int(wbc_sync(s->c, SOON_MS), -ETIMEDOUT,
	           "P8: a sync with the journal's disk full does not succeed");
	tap_ok(rig_log_count(&s->rig, "reason=", "No space left"),
	       "the log says why: %s", rig_log_last(&s->rig, "reason="));
}

static void journal_fills_up(void)
{
	struct state s;

	fill_journal(&s);
	make_room(&s);
	tap_is_int(wbc_sync(s.c, RIG_PATIENCE_MS), 0,
	           "P4: with room it does, by itself");
	flushed(&s, "with room");
	end(&s);
}

static void journal_full_over_a_kill(void)
{
	struct state s;

	fill_journal(&s);
	rig_kill(&s.rig);
	make_room(&s);
	rig_start(&s.rig);
	flushed(&s, "killed with its disk full, and with room");
	end(&s);
}

/* SIGTERM ends it, whatever it cannot do. */
static void journal_full_at_the_end(void)
{
	struct state s;
	int status;

	fill_journal(&s);
	rig_signal(&s.rig, SIGTERM);
	status = rig_wait(&s.rig);
	tap_diag("it ends with %d: %s", status,
	         rig_log_last(&s.rig, "event=stopped"));
	tap_ok(true, "SIGTERM ends a flusher whose journal's disk is full");
	make_room(&s);
	rig_start(&s.rig);
	flushed(&s, "ended with its disk full, and with room");
	end(&s);
}

/* What waits for the database fills the journal, up to being full. */
static void journal_full_of_waiting(void)
{
	struct wbc_flush_result result;
	struct state s;

	journal_in_small(&s, "4m");
	rig_start(&s.rig);
	work(&s);
	tap_is_int(rig_flush(s.c), 0, "a journal with room works");
	rig_sql_lock(&s.rig);
	for (int i = 0; i < 200; i++) {
		work(&s);
		if (is_refused(&s))
			break;
	}
	tap_is_int(wbc_sync(s.c, SOON_MS), -ETIMEDOUT,
	           "P8: a journal that is full of what waits takes no more");
	rig_sql_unlock();
	/* To plan and to trim takes room for a moment, which there is not. */
	if (wbc_flush(s.c, NULL, SOON_MS, &result))
		enlarge(&s);
	flushed(&s, "once the database is free, and there is room");
	end(&s);
}

/* The same, and nothing hinders it but the room to plan. */
static void full_of_waiting_at_the_end(void)
{
	struct state s;
	int status;

	journal_in_small(&s, "4m");
	rig_start(&s.rig);
	for (int i = 0; i < 200; i++) {
		work(&s);
		if (is_refused(&s))
			break;
	}
	rig_log_mark(&s.rig);
	rig_signal(&s.rig, SIGTERM);
	status = rig_wait(&s.rig);
	tap_ok(true, "SIGTERM ends a flusher that has no room to plan");
	tap_diag("it ends with %d, and %u lines", status,
	         rig_log_count(&s.rig, "event=", NULL));
	enlarge(&s);
	rig_start(&s.rig);
	flushed(&s, "ended so, and with room");
	end(&s);
}

static void database_fills_up(void)
{
	struct wbc_flush_result result;
	struct state s;

	begin(&s, "4m");
	snprintf(s.rig.database, sizeof(s.rig.database), "%s/database",
	         s.small);
	make_tables(&s.rig);
	open_state(&s);
	rig_start(&s.rig);
	work(&s);
	tap_is_int(rig_flush(s.c), 0, "a database with room is written to");
	fill(&s);
	for (int i = 0; i < 100; i++)
		work(&s);
	tap_is_int(wbc_sync(s.c, RIG_PATIENCE_MS), 0,
	           "P4: a sync needs no room in the database");
	tap_is_int(wbc_flush(s.c, NULL, SOON_MS, &result), -ETIMEDOUT,
	           "P8: a flush with the database's disk full does not "
	           "succeed");
	tap_ok(strstr(result.message, "make room"), "in words: %s",
	       result.message);
	make_room(&s);
	enlarge(&s);
	flushed(&s, "with room");
	end(&s);
}

int main(void)
{
	const char *why = own_mounts();

	if (why)
		tap_skip_all("%s", why);
	no_room_for_a_segment();
	segment_fills_up();
	no_room_for_a_journal();
	journal_fills_up();
	journal_full_over_a_kill();
	journal_full_at_the_end();
	journal_full_of_waiting();
	full_of_waiting_at_the_end();
	database_fills_up();
	return tap_done();
}
