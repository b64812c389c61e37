/* SPDX-License-Identifier: MIT */
/* Copyright the wbcshm authors */

/*
 * The segment is lost, as by a loss of power, after the flusher was killed at
 * each point on the way from the segment into the journal and out of it.
 * With a new segment the journal goes on: all that a sync had acknowledged is
 * in the database, and nothing twice.
 *
 * Rows are numbered as they are inserted and one is added beside each, so the
 * database must hold the first so many of either, with no gap.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "crash/rig.h"
#include "tap/tap.h"

static const char spec[] = "counts(name text key, n counter)"
			   " on_missing=insert";
static const char log_spec[] = "log(seq int)";

static const char *const points[] = {
	"round-begun:9",         "round-collected:9",
	"round-lanes-read:9",    "batch-before-commit:1",
	"batch-before-commit:9", "batch-after-commit:1",
	"batch-after-commit:9",  "cells-half:9",
	"cells-moved:9",         "lanes-moved:9",
	"redone-set:9",          "synced-before:9",
	"synced-after:9",        "plan-before-commit:3",
	"plan-after-commit:3",   "apply-before-commit:3",
	"apply-after-commit:3",  "trim-before-commit:3",
	"trim-after-commit:3",
};

/* Shared with the client. */
struct tally {
	int64_t made;
	int64_t synced;
};

struct state {
	struct rig rig;
	struct tally *tally;
};

static void begin(struct state *s)
{
	memset(s, 0, sizeof(*s));
	rig_begin(&s->rig, "lost");
	s->rig.journal_interval = "2ms";
	s->rig.flush_interval = "5ms";
	s->rig.tables[0] = spec;
	s->rig.tables[1] = log_spec;
	rig_sql(&s->rig, "CREATE TABLE counts(name TEXT PRIMARY KEY,"
	                 " n INTEGER);"
	                 "CREATE TABLE log(id INTEGER PRIMARY KEY,"
	                 " seq INTEGER)");
	s->tally = mmap(NULL, sizeof(*s->tally), PROT_READ | PROT_WRITE,
	                MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (s->tally == MAP_FAILED)
		tap_bail("mmap: %s", strerror(errno));
}

static void end(struct state *s)
{
	munmap(s->tally, sizeof(*s->tally));
	rig_end(&s->rig);
}

/* In a child, until it is killed: one more of each, and a sync. */
_Noreturn static void work(const struct state *s, pid_t parent)
{
	const struct wbc_value key = wbc_text(NULL, "row", 3);
	struct tally *tally = s->tally;
	struct wbc_table *t, *log;
	struct wbc *c;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		_exit(1);
	c = rig_open(&s->rig);
	t = rig_table(c, spec);
	log = rig_table(c, log_spec);
	for (;;) {
		int64_t next = tally->made;
		struct wbc_value row = wbc_int64("seq", next);

		/* Said to be made before it is, since a kill is no error. */
		__atomic_store_n(&tally->made, next + 1, __ATOMIC_RELEASE);
		if (wbc_add_int64(t, &key, 1, 1, 1) ||
		    wbc_insert(log, &row, 1, RIG_PATIENCE_MS) ||
		    wbc_sync(c, RIG_PATIENCE_MS))
			_exit(1);
		__atomic_store_n(&tally->synced, next + 1, __ATOMIC_RELEASE);
	}
}

/* The flusher's death, then the client's, then there is no segment. */
static bool lose(struct state *s, const char *point)
{
	struct wbc *c = rig_open(&s->rig);
	pid_t parent = getpid();
	pid_t client;
	int status;

	client = fork();
	if (client == 0)
		work(s, parent);
	if (client < 0)
		tap_bail("fork: %s", strerror(errno));
	wbc_close(&c);
	rig_spawn(&s->rig, point);
	status = rig_wait(&s->rig);
	kill(client, SIGKILL);
	waitpid(client, NULL, 0);
	unlink(s->rig.segment);
	return status == RIG_SIGNALLED(SIGKILL);
}

static int64_t number(const struct state *s, const char *sql)
{
	return rig_sql_int(&s->rig, sql);
}

/* What was acknowledged is there, and nothing that was not made. */
static bool kept(const struct state *s)
{
	int64_t added = number(s, "SELECT total(n) FROM counts");
	int64_t rows = number(s, "SELECT count(*) FROM log");
	int64_t seqs = number(s, "SELECT count(DISTINCT seq) FROM log");
	int64_t gap = number(s, "SELECT coalesce(max(seq) + 1, 0) FROM log");
	const struct tally *t = s->tally;
	bool good = added >= t->synced && added <= t->made &&
	            rows >= t->synced && rows <= t->made && seqs == rows &&
	            gap == rows;

	if (!good)
		tap_diag("made %lld, synced %lld; added %lld, rows %lld, "
		         "different %lld, up to %lld",
		         (long long)t->made, (long long)t->synced,
		         (long long)added, (long long)rows, (long long)seqs,
		         (long long)gap);
	return good;
}

static void lost_at(const char *point)
{
	struct state s;
	struct wbc *c;
	bool died;

	begin(&s);
	died = lose(&s, point);
	c = rig_open(&s.rig);
	rig_start(&s.rig);
	tap_ok(died && rig_flush(c) == 0 && rig_stop(&s.rig) == 0 && kept(&s),
	       "P4: killed at %s, and the segment lost: %lld synced are there",
	       point, (long long)s.tally->synced);
	wbc_close(&c);
	end(&s);
}

int main(void)
{
	for (size_t i = 0; i < sizeof(points) / sizeof(points[0]); i++)
		lost_at(points[i]);
	return tap_done();
}
