/* SPDX-License-Identifier: MIT */
/* Copyright the wbcshm authors */

/*
 * Files that the flusher may not read or write: segment, journal, database.
 * Each is said in words, with exit status 5 where it cannot even begin; once
 * it is permitted all is written.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "crash/rig.h"
#include "tap/tap.h"

static const char spec[] = "counts(name text key, n counter)"
			   " on_missing=insert";

struct state {
	struct rig rig;
	struct wbc *c;
	struct wbc_table *t;
	int64_t added;
};

static void begin(struct state *s)
{
	memset(s, 0, sizeof(*s));
	rig_begin(&s->rig, "rights");
	s->rig.flush_interval = "1h";
	s->rig.tables[0] = spec;
	rig_sql(&s->rig, "CREATE TABLE counts(name TEXT PRIMARY KEY,"
	                 " n INTEGER)");
	s->c = rig_open(&s->rig);
	s->t = rig_table(s->c, spec);
}

static void end(struct state *s)
{
	if (s->rig.pid)
		tap_is_int(rig_stop(&s->rig), 0, "the flusher ends well");
	wbc_close(&s->c);
	rig_end(&s->rig);
}

static void add(struct state *s)
{
	struct wbc_value key = wbc_text(NULL, "row", 3);

	if (wbc_add_int64(s->t, &key, 1, 1, 1))
		tap_bail("adding fails");
	s->added++;
}

static void mode(const struct rig *r, const char *name, unsigned bits)
{
	char path[PATH_MAX];

	snprintf(path, sizeof(path), "%s/%s", r->dir, name);
	if (chmod(path, bits))
		tap_bail("%s: %s", path, strerror(errno));
}

static void denied(struct state *s, const char *name, const char *what)
{
	rig_log_mark(&s->rig);
	tap_is_int(rig_refused(&s->rig), 5, "%s: exit status 5", what);
	tap_ok(rig_log_count(&s->rig, name, "ermission denied"), "in words: %s",
	       rig_log_last(&s->rig, "wbc-flusher: "));
}

static void goes_on(struct state *s, const char *what)
{
	rig_start(&s->rig);
	add(s);
	tap_is_int(rig_flush(s->c), 0, "%s: it goes on", what);
	tap_is_int(rig_sql_int(&s->rig, "SELECT total(n) FROM counts"),
	           s->added, "P5: and nothing was lost or doubled");
}

static void segment(void)
{
	struct state s;

	begin(&s);
	add(&s);
	mode(&s.rig, "segment", 0400);
	denied(&s, "segment", "a segment that may not be written to");
	mode(&s.rig, "segment", 0000);
	denied(&s, "segment", "a segment that may not be read");
	mode(&s.rig, "segment", 0600);
	goes_on(&s, "a segment that may be used");
	end(&s);
}

/* Where it is to be made. */
static void folder(void)
{
	char dir[PATH_MAX];
	struct state s;

	begin(&s);
	snprintf(dir, sizeof(dir), "%s/folder", s.rig.dir);
	if (mkdir(dir, 0500))
		tap_bail("%s: %s", dir, strerror(errno));
	snprintf(s.rig.address, sizeof(s.rig.address), "shm:%s/folder/segment",
	         s.rig.dir);
	s.rig.create = true;
	denied(&s, "folder", "a folder that no segment may be made in");
	mode(&s.rig, "folder", 0700);
	rig_start(&s.rig);
	tap_ok(true, "one that it may be made in: it goes on");
	end(&s);
}

static void journal(void)
{
	struct state s;

	begin(&s);
	add(&s);
	if (mkdir(s.rig.journal, 0500))
		tap_bail("%s: %s", s.rig.journal, strerror(errno));
	denied(&s, "journal", "a journal folder that may not be written to");
	mode(&s.rig, "journal", 0700);
	goes_on(&s, "one that may be");
	rig_kill(&s.rig);
	mode(&s.rig, "journal/data.mdb", 0000);
	denied(&s, "journal", "a journal that may not be read");
	mode(&s.rig, "journal/data.mdb", 0400);
	denied(&s, "journal", "a journal that may not be written to");
	mode(&s.rig, "journal/data.mdb", 0600);
	goes_on(&s, "one that may be");
	end(&s);
}

static void refused(struct state *s, const char *words, const char *what)
{
	struct wbc_flush_result result;

	add(s);
	tap_is_int(wbc_flush(s->c, NULL, 300, &result), -ETIMEDOUT,
	           "%s: a flush does not succeed", what);
	tap_ok(strstr(result.message, words), "in words: %s", result.message);
}

/* The flusher runs on, and tries again. */
static void database(void)
{
	struct state s;

	begin(&s);
	mode(&s.rig, "database", 0400);
	rig_start(&s.rig);
	refused(&s, "read-only", "a database that is read-only");
	mode(&s.rig, "database", 0000);
	refused(&s, "unable to open", "a database that may not be read");
	mode(&s.rig, "database", 0600);
	/* WAL needs two more files beside it. */
	mode(&s.rig, "", 0500);
	refused(&s, s.rig.database, "a folder that may not be written to");
	mode(&s.rig, "", 0700);
	add(&s);
	tap_is_int(rig_flush(s.c), 0, "once it is permitted it goes on");
	tap_is_int(rig_sql_int(&s.rig, "SELECT total(n) FROM counts"), s.added,
	           "P5: and nothing was lost or doubled");
	end(&s);
}

int main(void)
{
	const char *why = rig_be_nobody();

	if (why)
		tap_skip_all("%s", why);
	segment();
	folder();
	journal();
	database();
	return tap_done();
}
