/* SPDX-License-Identifier: MIT */
/* Copyright the wbcshm authors */

/*
 * The flusher is killed at each of its named points, at the first and at the
 * second passage, while clients count and insert; they go on without it, the
 * next flusher takes over, and the database is exact to the last add and row.
 * A point that is never passed is a failure.
 */
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "crash/crew.h"
#include "tap/tap.h"
#include "unit/dice.h"
#include "unit/soak.h"

#define POINTS_MAX 128
#define NAME_BYTES 64
#define EACH_WAIT_MS 1000
#define KILLED RIG_SIGNALLED(SIGKILL)

/* What it takes to pass a point, and to pass it again. */
enum situation {
	WORK,   /* it works; twice in one life */
	TABLES, /* it meets a table for the first time; then another one */
	START,  /* it starts; again in the next life */
	REDO,   /* it starts after one that left cursors behind */
	LOCKED, /* batches pile up, since the database is locked */
	ADOPT,  /* it meets a new segment; then another new one */
	MAKE,   /* it finds no journal; then again none */
	FINAL   /* it was told to end */
};

/* Those that need more than work. */
static const struct {
	const char *begins_with;
	enum situation situation;
} situations[] = {
	{"start-", START}, {"journal-", MAKE},     {"adopt-", ADOPT},
	{"redo-", REDO},   {"merge-", LOCKED},     {"ledger-made", START},
	{"final-", FINAL}, {"ledger-row", TABLES},
};

static char points[POINTS_MAX][NAME_BYTES];
static unsigned n_points;

static void list_points(void)
{
	FILE *list = popen("exec wbc-flusher --list-points", "re");
	char line[NAME_BYTES];

	while (list && n_points < POINTS_MAX &&
	       fgets(line, sizeof(line), list)) {
		line[strcspn(line, "\n")] = '\0';
		memcpy(points[n_points++], line, sizeof(line));
	}
	if (!list || pclose(list) != 0 || !n_points)
		tap_bail("wbc-flusher --list-points prints none");
}

static enum situation situation_of(const char *point)
{
	for (size_t i = 0; i < sizeof(situations) / sizeof(situations[0]); i++)
		if (!strncmp(point, situations[i].begins_with,
		             strlen(situations[i].begins_with)))
			return situations[i].situation;
	return WORK;
}

/* One segment's life, and its flushers'. */
struct trial {
	struct rig rig;
	struct crew crew;
	struct wbc *c;
	bool died; /* where it was to, so far */
};

static void begin(struct trial *t, unsigned clients)
{
	memset(t, 0, sizeof(*t));
	rig_begin(&t->rig, "points");
	crew_tables(&t->rig);
	t->died = true;
	t->c = rig_open(&t->rig);
	crew_begin(&t->crew, &t->rig, clients);
	/* Something is there before the first flusher is. */
	crew_go_on(&t->crew, 2 * clients);
}

/* Wait until it died of itself; one that lives on has not passed the point. */
static void await_death(struct trial *t, const char *kill_at)
{
	int fd = (int)syscall(SYS_pidfd_open, t->rig.pid, 0u);
	struct pollfd p = {.fd = fd, .events = POLLIN};
	int status;

	if (poll(&p, 1, RIG_PATIENCE_MS / 4) != 1)
		rig_signal(&t->rig, SIGABRT);
	close(fd);
	status = rig_wait(&t->rig);
	if (status == KILLED)
		return;
	tap_diag("%s: not passed: status %d", kill_at, status);
	t->died = false;
}

static void live_and_die(struct trial *t, const char *kill_at)
{
	rig_spawn(&t->rig, kill_at);
	await_death(t, kill_at);
	crew_go_on(&t->crew, 4);
}

/* It is told to end, and dies of its own hand on the way. */
static void die_at_the_end(struct trial *t, const char *kill_at)
{
	rig_spawn(&t->rig, kill_at);
	if (rig_ready(&t->rig)) {
		crew_go_on(&t->crew, 4);
		rig_signal(&t->rig, SIGTERM);
	}
	await_death(t, kill_at);
	crew_go_on(&t->crew, 4);
}

/* Wait for a flush, or for the end of whoever should make it. */
static void see_database(struct trial *t, const char *kill_at)
{
	int64_t until = rig_now_ms() + RIG_PATIENCE_MS;
	int error = WBC_E_NOFLUSHER;

	if (rig_ready(&t->rig)) {
		do {
			error = wbc_flush(t->c, NULL, EACH_WAIT_MS, NULL);
		} while (error && !rig_ended(&t->rig) && rig_now_ms() < until);
	}
	if (!error || rig_ended(&t->rig))
		return;
	rig_log_show(&t->rig);
	tap_bail("%s: no flush: %s", kill_at, wbc_error_name(error));
}

/*
 * It has seen the database once, which then is locked until it is dead.  One
 * that is slow may come to the point before.
 */
static void die_behind_a_lock(struct trial *t, const char *kill_at)
{
	rig_spawn(&t->rig, kill_at);
	see_database(t, kill_at);
	rig_sql_lock(&t->rig);
	await_death(t, kill_at);
	crew_go_on(&t->crew, 4);
	rig_sql_unlock();
}

/* The segment goes, the journal stays, all that was done is in it. */
static void replace_segment(struct trial *t)
{
	rig_start(&t->rig);
	t->died &= crew_end(&t->crew);
	t->died &= rig_stop(&t->rig) == 0;
	wbc_close(&t->c);
	unlink(t->rig.segment);
	t->c = rig_open(&t->rig);
	crew_begin(&t->crew, &t->rig, t->crew.n);
	crew_go_on(&t->crew, 4);
}

static void remove_journal(struct trial *t)
{
	char path[PATH_MAX + 16];

	snprintf(path, sizeof(path), "%s/data.mdb", t->rig.journal);
	unlink(path);
}

/* A last flusher; what it leaves is the truth. */
static bool end(struct trial *t)
{
	bool good;
	int status;

	rig_start(&t->rig);
	crew_go_on(&t->crew, 4);
	good = crew_end(&t->crew);
	if (rig_flush(t->c)) {
		tap_diag("the flush fails");
		good = false;
	}
	good &= crew_exact(&t->crew, &t->rig);
	status = rig_stop(&t->rig);
	if (status) {
		tap_diag("the last flusher ends with %d", status);
		good = false;
	}
	if (!good)
		rig_log_show(&t->rig);
	wbc_close(&t->c);
	crew_free(&t->crew);
	rig_end(&t->rig);
	return good;
}

static void first_passage(struct trial *t, const char *point)
{
	switch (situation_of(point)) {
	case FINAL:
		die_at_the_end(t, point);
		break;
	case LOCKED:
		die_behind_a_lock(t, point);
		break;
	case REDO:
		live_and_die(t, "batch-after-commit:3");
		live_and_die(t, point);
		break;
	default:
		live_and_die(t, point);
	}
}

static void second_passage(struct trial *t, const char *point)
{
	char twice[NAME_BYTES + 4];

	snprintf(twice, sizeof(twice), "%s:2", point);
	switch (situation_of(point)) {
	case WORK:
	case TABLES:
		live_and_die(t, twice);
		return;
	case LOCKED:
		die_behind_a_lock(t, twice);
		return;
	case ADOPT:
		first_passage(t, point);
		replace_segment(t);
		break;
	case MAKE:
		first_passage(t, point);
		remove_journal(t);
		break;
	default:
		first_passage(t, point);
	}
	first_passage(t, point);
}

static void each_point(void)
{
	struct trial t;
	bool exact;

	for (unsigned i = 0; i < n_points; i++) {
		begin(&t, 2);
		first_passage(&t, points[i]);
		exact = end(&t);
		tap_ok(exact && t.died, "P5: exact after a kill at %s",
		       points[i]);
		begin(&t, 2);
		second_passage(&t, points[i]);
		exact = end(&t);
		tap_ok(exact && t.died,
		       "P5: exact after a kill at the second passage of %s",
		       points[i]);
	}
}

/* A point that every life passes, some lives after some time. */
static const char *any_point(struct dice *d, char *text, size_t size)
{
	const char *point;
	uint32_t nth;

	do {
		point = points[dice_below(d, n_points)];
	} while (situation_of(point) != WORK && situation_of(point) != START);
	nth = situation_of(point) == WORK ? 1 + dice_below(d, 4) : 1;
	snprintf(text, size, "%s:%u", point, nth);
	return text;
}

/* Whoever takes over dies as well, and the next one too. */
static void three_in_a_row(struct dice *d, unsigned rows)
{
	char at[3][NAME_BYTES + 16];
	struct trial t;
	bool exact;

	for (unsigned i = 0; i < rows; i++) {
		begin(&t, 2);
		for (int k = 0; k < 3; k++)
			live_and_die(&t, any_point(d, at[k], sizeof(at[k])));
		exact = end(&t);
		tap_ok(exact && t.died, "P5: exact after kills at %s, %s, %s",
		       at[0], at[1], at[2]);
	}
}

static void random_kills(struct dice *d, unsigned kills)
{
	struct trial t;

	begin(&t, 3);
	for (unsigned i = 0; i < kills; i++) {
		struct timespec life = {.tv_nsec = (long)dice_below(d, 120) *
		                                   1000000};

		rig_spawn(&t.rig, NULL);
		/* Some live long enough to empty the lanes, however slow they
		 * are to start: clients with full ones wait for that. */
		if (i % 4 == 3 && rig_ready(&t.rig))
			crew_go_on(&t.crew, 1 + dice_below(d, 8));
		/* No event: this is where the kill is random. */
		nanosleep(&life, NULL);
		rig_kill(&t.rig);
	}
	tap_ok(end(&t), "P5: exact after %u kills at random moments", kills);
}

int main(void)
{
	struct soak soak = soak_begin();
	struct dice d = dice_seeded();
	unsigned passes = 0;

	list_points();
	each_point();
	do {
		three_in_a_row(&d, 30);
		random_kills(&d, 50);
		passes++;
	} while (soak_goes_on(&soak));
	tap_diag("kills: the flusher, twice at each of %u points, at %u random "
	         "points and %u random moments",
	         n_points, passes * 90, passes * 50);
	return tap_done();
}
