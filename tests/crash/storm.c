/* SPDX-License-Identifier: MIT */
/* Copyright the wbcshm authors */

/*
 * A storm, see storm.h, and what is there after it.
 *
 *   WBC_SEED=n           another storm
 *   WBC_STORM_KILLS=n    at least so many kills; 2000 if not said
 *   WBC_SOAK_SECONDS=n   at least so long
 *   WBC_STORM_LIE=1..3   a client lies: the test must fail
 *
 * Before the storm come three small ones with a client that lies, which the
 * oracle must see.
 */
#include "storm_weather.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "api/handle.h"
#include "tap/tap.h"
#include "unit/child.h"

enum {
	KILLS = 2000,
	KILLS_FEW = 1000,
	LYING_KILLS = 20,
	LIMBO_FEW = 64, /* blocks */
	STOPS_FEW = 10
};

/* Is a number down to where it belongs?  The reaper comes by in its time. */
static bool comes_down(const struct storm *s,
                       uint64_t (*number)(const struct storm *), uint64_t to)
{
	int64_t end = rig_now_ms() + RIG_PATIENCE_MS;

	while (number(s) != to && rig_now_ms() < end)
		poll(NULL, 0, 10);
	return number(s) == to;
}

static unsigned check_eaten(const struct storm *s)
{
	int64_t n = rig_sql_int(&s->rig, "SELECT total(n) FROM eaten");
	int64_t rows = rig_sql_int(&s->rig, "SELECT count(*) FROM eaten");

	if (n == s->n_eaten && rows == n)
		return 0;
	tap_diag("eaten: %lld in %lld rows, %u added", (long long)n,
	         (long long)rows, s->n_eaten);
	return 1;
}

static unsigned check_sums(const struct storm *s)
{
	return storm_check_sums(s->w, &s->rig) +
	       storm_check_inserts(s->w, &s->rig) + check_eaten(s);
}

/* The audit: its exit status, or -1 if it says that blocks are lost. */
static int audit(const struct storm *s, const char *when)
{
	const char *const argv[] = {"wbc-shmdump",  "check",  "-s",
	                            s->rig.segment, "--json", NULL};
	char text[8192];
	const char *blocks, *lost;
	int status = rig_run(argv, text, sizeof(text));

	blocks = strstr(text, "\"blocks\"");
	lost = blocks ? strstr(blocks, "\"lost\": ") : NULL;
	tap_diag("check, %s: %.*s", when,
	         blocks ? (int)strcspn(blocks, "}") + 1 : 100,
	         blocks ? blocks : text);
	if (status || !lost)
		tap_diag("%s", text);
	if (!lost || strtol(lost + 8, NULL, 10))
		return status ? status : -1;
	return status;
}

/* A small storm in which a client lies: the oracle's violations. */
static void known_bad(enum storm_lie lie, const char *what)
{
	struct storm *s = calloc(1, sizeof(*s));
	unsigned seen;

	if (!s)
		tap_bail("no memory");
	s->dice.state = (uint64_t)lie;
	storm_begin(s, lie, false);
	storm_blow(s, LYING_KILLS, 0);
	storm_quieten(s);
	tap_is_uint(s->violations, 0, "a small storm breaks nothing");
	tap_diag("what follows is seen because a client lies:");
	seen = check_sums(s);
	tap_ok(seen > 0, "known bad: %s: %u violations are seen", what, seen);
	tap_is_int(rig_stop(&s->rig), 0, "the flusher ends well");
	storm_end(s);
	free(s);
}

static uint64_t percentile(const struct storm_times *t, double part)
{
	uint64_t left = (uint64_t)((double)t->n * (1 - part));
	unsigned i = STORM_TIMES;

	left = left > t->slow ? left - t->slow : 0;
	while (i > 0 && t->bucket[i - 1] <= left)
		left -= t->bucket[--i];
	return (uint64_t)i * STORM_TIME_NS;
}

static void note_times(const char *what, const struct storm_times *t)
{
	tap_diag("single calls of a client beside the storm: %llu %s, "
	         "p50 %llu ns, p99.9 %llu ns, longest %llu ns",
	         (unsigned long long)t->n, what,
	         (unsigned long long)percentile(t, 0.5),
	         (unsigned long long)percentile(t, 0.999),
	         (unsigned long long)t->most_ns);
}

static unsigned long long stat_of(const struct storm *s, enum storm_stat i)
{
	return (unsigned long long)atomic_load(&s->w->stats[i]);
}

static void note_storm(const struct storm *s, uint64_t seed)
{
	tap_diag("storm: seed %llu, %u kills (%u clients of which %u at once, "
	         "%u forked children, %u flushers), %u stops (%u in a "
	         "section), %u stops of the flusher, %u times no room",
	         (unsigned long long)seed, s->kills,
	         s->kills - s->flushers - s->orphans, s->at_once, s->orphans,
	         s->flushers, s->stops, s->in_section, s->flusher_stops,
	         s->fills);
	tap_diag("storm: %llu forks, %llu execs, %llu threads, %llu cancelled, "
	         "%llu reopened, %llu robbed of descriptors, %llu of %llu "
	         "syncs and flushes served",
	         stat_of(s, STAT_FORKS), stat_of(s, STAT_EXECS),
	         stat_of(s, STAT_THREADS), stat_of(s, STAT_CANCELS),
	         stat_of(s, STAT_REOPENS), stat_of(s, STAT_ROBBED),
	         stat_of(s, STAT_SERVED), stat_of(s, STAT_ASKED));
	tap_diag("storm: %llu calls without room, %llu without a slot, %llu "
	         "with a full lane, at most %llu process slots taken",
	         stat_of(s, STAT_NO_ROOM), stat_of(s, STAT_NO_SLOT),
	         stat_of(s, STAT_LANE_FULL), (unsigned long long)s->most_dead);
	note_times("adds", &s->w->adds);
	note_times("inserts", &s->w->inserts);
}

static uint64_t all_calls(const struct storm *s, uint64_t *doubts)
{
	uint64_t calls = 0;

	*doubts = atomic_load(&s->w->n_doubtful);
	for (unsigned i = 0; i < STORM_ROWS * STORM_COLUMNS; i++)
		*doubts += atomic_load(&s->w->doubts[i]);
	for (unsigned i = 0; i < STORM_DESKS; i++)
		calls += atomic_load(&s->w->desks[i].calls);
	return calls;
}

/* All rows are idle by now, so nothing but the tables is there for long. */
static void check_memory(struct storm *s)
{
	uint64_t used, limbo;
	bool back;

	tap_ok(comes_down(s, storm_sweep, 0),
	       "P6: what the dead left is swept up");
	wbc_close(&s->c);
	back = comes_down(s, storm_used, STORM_TABLES);
	storm_blocks(&s->view, &used, &limbo);
	tap_ok(back, "P6: of %llu blocks in use one for each table is left",
	       (unsigned long long)s->most_blocks);
	if (!back)
		tap_diag("%llu are left", (unsigned long long)used);
	tap_ok(limbo <= LIMBO_FEW + s->most_blocks / 8,
	       "P6: hardly any wait to be freed: %llu",
	       (unsigned long long)limbo);
}

static void check_segment(struct storm *s)
{
	struct stat st;

	tap_ok(comes_down(s, storm_slots, 2) && comes_down(s, storm_threads, 2),
	       "P9: all slots come back but the flusher's and ours");
	check_memory(s);
	tap_is_int(audit(s, "in use"), 0,
	           "P6: the segment in use is whole, and no block is lost");
	tap_is_int(rig_stop(&s->rig), 0, "the flusher ends well");
	tap_is_int(audit(s, "at rest"), 0, "P6: and it is so at rest");
	tap_ok(stat(s->w->decoy, &st) == 0 && st.st_size == 0 &&
	               st.st_blocks == 0,
	       "P8: a file that took our descriptor's number is as it was");
}

static void check_storm(struct storm *s, uint64_t seed)
{
	uint64_t doubts, calls = all_calls(s, &doubts);
	unsigned wrong = check_sums(s);

	s->violations += wrong;
	tap_is_uint(wrong, 0,
	            "P3, P5: of %llu acknowledged adds and rows each is there "
	            "once, of %llu in doubt none twice",
	            (unsigned long long)calls, (unsigned long long)doubts);
	check_segment(s);
	note_storm(s, seed);
	tap_ok(doubts > s->kills / 20, "kills do meet calls: %llu did",
	       (unsigned long long)doubts);
	tap_ok(s->in_section > 0 || s->stops < STOPS_FEW,
	       "P2: %u times others went on while a client was stopped in a "
	       "section",
	       s->in_section);
	if (s->small[0])
		tap_ok(s->fills > 0 || s->kills < KILLS_FEW,
		       "P8: %u times there was no room, an error each time",
		       s->fills);
	else
		tap_skip(1, "no file system may be mounted here to fill up");
	tap_ok(s->violations == 0,
	       "storm: seed %llu, %u kills, %u flusher kills, %u stops, %u "
	       "violations",
	       (unsigned long long)seed, s->kills, s->flushers, s->stops,
	       s->violations);
}

static long number_of(const char *name, long otherwise)
{
	const char *text = getenv(name);

	return text ? strtol(text, NULL, 10) : otherwise;
}

int main(int argc, char **argv)
{
	struct storm *s = calloc(1, sizeof(*s));
	uint64_t seed;

	/* A client that has executed itself anew. */
	if (argc == 4)
		storm_client(argv[3], (unsigned)atoi(argv[1]),
		             strtoull(argv[2], NULL, 10), NULL);
	if (!s || prctl(PR_SET_CHILD_SUBREAPER, 1))
		tap_bail("no memory, or no orphans");
	known_bad(LIE_NOT_ADDED, "adds acknowledged and not made");
	known_bad(LIE_ADDED_TWICE, "adds made twice");
	known_bad(LIE_NOT_INSERTED, "rows acknowledged and not made");
	s->dice = dice_seeded();
	seed = s->dice.state;
	storm_begin(s, (enum storm_lie)number_of("WBC_STORM_LIE", LIE_NONE),
	            true);
	storm_blow(s, (unsigned)number_of("WBC_STORM_KILLS", KILLS),
	           number_of("WBC_SOAK_SECONDS", 0));
	storm_quieten(s);
	check_storm(s, seed);
	storm_end(s);
	free(s);
	return tap_done();
}
