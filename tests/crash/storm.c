/* SPDX-License-Identifier: MIT */
/* Copyright the wbcshm authors */

/*
 * The weather of a storm, see storm.h: kills and stops of clients and of the
 * flusher, full memory, in an order that the seed decides.
 *
 *   WBC_SEED=n           another storm
 *   WBC_STORM_KILLS=n    at least so many kills; 2000 if not said
 *   WBC_SOAK_SECONDS=n   at least so long
 *   WBC_STORM_LIE=1..3   a client lies: the test must fail
 *
 * Before the storm come three small ones with a client that lies, which the
 * oracle must see.
 */
#include "storm.h"

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
	LYING_KILLS = 20,
	NOTICED = 200,   /* calls of others while somebody is stopped */
	HALT_FROM = 300, /* instructions: less is not in a section yet */
	HALT_MORE = 800,
	EAT_MOST = 40000,
	FILL_STEPS = 12
};

struct place {
	pid_t pid;
	pid_t orphan;        /* the group of a child that lives on; 0: none */
	uint64_t calls_then; /* when it was begun */
	bool stopped;
};

struct storm {
	struct rig rig;
	struct storm_world *w;
	char world[PATH_MAX];
	char small[PATH_MAX - 32]; /* a file system of its own; empty: none */
	struct dice dice;
	struct wbc *c;
	struct wbc_table *eaten;
	struct place places[STORM_PLACES];
	pid_t watch;
	uint32_t n_eaten;
	unsigned fill_left; /* steps until there is room again */

	unsigned kills, clients, orphans, at_once, flushers;
	unsigned stops, in_section, flusher_stops, fills;
	unsigned violations;
	uint64_t most_dead; /* slots at a time */
};

static void violated(struct storm *s, const char *what, long long number)
{
	if (s->violations++ < 20)
		tap_diag("violation: %s: %lld", what, number);
}

/* An end that is not by our SIGKILL, nor at the end of the storm. */
static void judge(struct storm *s, const char *who, int status, bool killed)
{
	bool good = killed ? WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL
	                   : status == 0;

	if (!good)
		violated(s, who, status);
}

static int64_t patience(void)
{
	return rig_now_ms() + RIG_PATIENCE_MS;
}

static uint64_t calls_of(const struct storm *s, unsigned place)
{
	struct storm_desk *desk = &s->w->desks[place * STORM_ACTORS];

	return atomic_load(&desk->calls);
}

static void start_client(struct storm *s, unsigned i)
{
	uint64_t seed = dice_word(&s->dice);
	bool inherits = dice_below(&s->dice, 2);
	pid_t parent = getpid(), pid;

	s->places[i].calls_then = calls_of(s, i);
	atomic_store(&s->w->halt[i], 0);
	pid = fork();
	if (pid < 0)
		tap_bail("fork: %s", strerror(errno));
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		setpgid(0, 0);
		if (getppid() != parent)
			_exit(1);
		storm_client(s->world, i, seed, inherits ? s->c : NULL);
	}
	/* Both do it, so that it is done whoever runs first. */
	setpgid(pid, pid);
	s->places[i].pid = pid;
	s->clients++;
}

/* Members of a group that are our children now: the orphans. */
static bool any_orphan(pid_t group)
{
	siginfo_t info = {.si_pid = 0};

	return waitid(P_PGID, (id_t)group, &info,
	              WEXITED | WNOHANG | WNOWAIT) == 0;
}

/* A client has ended, and its thread: was its child made? */
static void settle_place(struct storm *s, unsigned i, pid_t pid)
{
	storm_desk_settle(s->w, i * STORM_ACTORS);
	storm_desk_settle(s->w, i * STORM_ACTORS + 1);
	if (s->places[i].orphan)
		return;
	if (any_orphan(pid)) {
		s->places[i].orphan = pid;
		return;
	}
	storm_desk_settle(s->w, i * STORM_ACTORS + 2);
	atomic_store(&s->w->forked[i], false);
}

static void end_orphan(struct storm *s, unsigned i, bool by_kill)
{
	pid_t group = s->places[i].orphan;
	int status;

	if (!group)
		return;
	if (by_kill) {
		kill(-group, SIGKILL);
		s->orphans++;
		s->kills++;
	}
	while (waitpid(-group, &status, 0) > 0)
		judge(s, "a forked child ended", status, by_kill);
	s->places[i].orphan = 0;
	storm_desk_settle(s->w, i * STORM_ACTORS + 2);
	atomic_store(&s->w->forked[i], false);
}

static void end_client(struct storm *s, unsigned i, bool by_kill)
{
	pid_t pid = s->places[i].pid;
	int status;

	if (by_kill) {
		kill(pid, SIGKILL);
		s->kills++;
	}
	waitpid(pid, &status, 0);
	judge(s, "a client ended", status, by_kill);
	s->places[i].stopped = false;
	settle_place(s, i, pid);
}

/* Let it get somewhere first, or not even that far. */
static void kill_client(struct storm *s, unsigned i)
{
	struct place *p = &s->places[i];
	bool soon = dice_below(&s->dice, 6) == 0 || p->stopped;
	int64_t end = patience();

	s->at_once += soon;
	while (!soon && calls_of(s, i) == p->calls_then &&
	       kill(p->pid, 0) == 0) {
		poll(NULL, 0, 1);
		if (rig_now_ms() > end)
			tap_bail("client %u does not get anywhere", i);
	}
	for (uint32_t n = dice_below(&s->dice, 2000); n; n--)
		calls_of(s, i);
	end_client(s, i, true);
	if (dice_below(&s->dice, 3) == 0)
		end_orphan(s, i, true);
	atomic_fetch_add(&s->w->newest, dice_below(&s->dice, 3) == 0);
	start_client(s, i);
}

/* Is a thread of this process in a section? */
static bool in_section(const struct storm *s, pid_t pid)
{
	const struct wbci_segment *seg = &s->c->client->segment;

	for (uint32_t i = 0; i < seg->geo.n_threads; i++) {
		uint64_t word = order_load(&seg->threads[i].word);
		uint32_t proc = (uint32_t)(word >> 4 & 4095);

		if ((word & 15) != THREAD_FREE && proc < seg->geo.n_procs &&
		    order_load(&seg->procs[proc].pid) == (uint32_t)pid &&
		    order_load(&seg->threads[i].epoch))
			return true;
	}
	return false;
}

/* Others go on, however long it takes the machine to let them. */
static void see_others_go_on(struct storm *s)
{
	struct storm_desk *desk = &s->w->desks[STORM_WATCH];
	uint64_t until = atomic_load(&desk->calls) + NOTICED;
	int64_t end = patience();

	while (atomic_load(&desk->calls) < until) {
		poll(NULL, 0, 1);
		if (rig_now_ms() > end)
			tap_bail("nobody goes on beside one that is stopped");
	}
}

/*
 * Stop a client between two instructions of an add, most of which are in its
 * section.  It comes to it when it can; one that is stopped stays as it is.
 */
static void stop_client(struct storm *s, unsigned i)
{
	pid_t pid = s->places[i].pid;
	int status;
	bool inside;

	if (s->places[i].stopped)
		return;
	atomic_store(&s->w->halt[i],
	             HALT_FROM + dice_below(&s->dice, HALT_MORE));
	if (waitpid(pid, &status, WUNTRACED) != pid || !WIFSTOPPED(status)) {
		violated(s, "a client ended", status);
		settle_place(s, i, pid);
		start_client(s, i);
		return;
	}
	inside = in_section(s, pid);
	s->places[i].stopped = true;
	s->stops++;
	s->in_section += inside;
	if (inside)
		see_others_go_on(s);
}

static void continue_client(struct storm *s, unsigned i)
{
	if (s->places[i].stopped)
		kill(s->places[i].pid, SIGCONT);
	s->places[i].stopped = false;
}

/* Killed at any moment, or where it was told to die. */
static void kill_flusher(struct storm *s)
{
	enum { POINTS = 8 };
	static const char *const points[POINTS] = {
		"redo-cells",   "round-collected",  "batch-after-commit",
		"cells-half",   "lanes-half",       "apply-before-commit",
		"origins-half", "plan-after-commit"};
	char at[64];
	int status;

	rig_signal(&s->rig, SIGKILL);
	status = rig_wait(&s->rig);
	if (status != RIG_SIGNALLED(SIGKILL))
		violated(s, "the flusher ended", status);
	s->flushers++;
	s->kills++;
	snprintf(at, sizeof(at), "%s:%u", points[dice_below(&s->dice, POINTS)],
	         1 + dice_below(&s->dice, 4));
	rig_spawn(&s->rig, dice_below(&s->dice, 3) ? NULL : at);
}

static void stop_flusher(struct storm *s)
{
	rig_signal(&s->rig, SIGSTOP);
	s->flusher_stops++;
	see_others_go_on(s);
	rig_signal(&s->rig, SIGCONT);
}

static void filler_path(const struct storm *s, char *path)
{
	snprintf(path, PATH_MAX, "%s/filler", s->small);
}

/* No room is left, and then nothing of what was had in reserve. */
static void fill(struct storm *s)
{
	static char zeros[65536];
	size_t chunk = sizeof(zeros);
	char path[PATH_MAX], name[256];
	int error = 0;
	int fd;

	if (!s->small[0] || s->fill_left)
		return;
	filler_path(s, path);
	fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	if (fd < 0)
		tap_bail("%s: %s", path, strerror(errno));
	atomic_fetch_add(&s->w->fills, 1);
	for (; chunk >= 4096; chunk /= 2)
		while (write(fd, zeros, chunk) == (ssize_t)chunk)
			;
	close(fd);
	for (unsigned i = 0; i < EAT_MOST && !error; i++) {
		struct wbc_value key = storm_eaten_key(s->n_eaten, name);

		error = wbc_add_int64(s->eaten, &key, 1, 1, 1);
		s->n_eaten += !error;
	}
	if (error != -ENOSPC)
		violated(s, "a full segment says", error);
	s->fills++;
	s->fill_left = FILL_STEPS;
}

static void make_room(struct storm *s)
{
	char path[PATH_MAX];

	filler_path(s, path);
	if (s->small[0])
		unlink(path);
	s->fill_left = 0;
}

static void one_step(struct storm *s)
{
	unsigned i = dice_below(&s->dice, STORM_PLACES);
	uint32_t what = dice_below(&s->dice, 1000);

	if (what < 40)
		kill_flusher(s);
	else if (what < 60)
		stop_flusher(s);
	else if (what < 64)
		fill(s);
	else if (what < 120)
		stop_client(s, i);
	else if (what < 200)
		continue_client(s, i);
	else
		kill_client(s, i);
	if (s->fill_left && --s->fill_left == 0)
		make_room(s);
}

static void begin(struct storm *s, enum storm_lie lie, bool small)
{
	struct wbc_options o = WBC_OPTIONS_INIT;
	char text[256];

	rig_begin(&s->rig, "storm");
	snprintf(s->world, sizeof(s->world), "%s/world", s->rig.dir);
	if (small) {
		snprintf(s->small, sizeof(s->small), "%s/small", s->rig.dir);
		if (mkdir(s->small, 0700) ||
		    !child_mount(s->small, "size=64m")) {
			tap_diag("no file system of our own to fill up: %s",
			         strerror(errno));
			s->small[0] = '\0';
		}
	}
	if (s->small[0]) {
		snprintf(s->rig.segment, PATH_MAX, "%s/segment", s->small);
		snprintf(s->rig.address, PATH_MAX + 8, "shm:%s/segment",
		         s->small);
	}
	o.flags = WBC_CREATE | WBC_EXCLUSIVE;
	o.capacity = STORM_ROWS;
	o.lane_bytes = 16384;
	o.message = text;
	o.message_size = sizeof(text);
	if (wbc_open(&s->c, s->rig.address, &o))
		tap_bail("%s", text);
	s->w = storm_world_make(&s->rig);
	s->w->lie = lie;
	storm_tables(&s->rig);
	s->eaten = rig_table(s->c, storm_eaten);
	rig_table(s->c, storm_sums);
	rig_table(s->c, storm_events);
	for (unsigned i = 0; i < STORM_EXTRAS; i++)
		rig_table(s->c, storm_extras[i]);
	rig_start(&s->rig);
}

static void start_all(struct storm *s)
{
	uint64_t seed = dice_word(&s->dice);
	pid_t parent = getpid();

	for (unsigned i = 0; i < STORM_PLACES; i++)
		start_client(s, i);
	s->watch = fork();
	if (s->watch < 0)
		tap_bail("fork: %s", strerror(errno));
	if (s->watch > 0)
		return;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		_exit(1);
	storm_watch(s->w, seed);
}

static uint64_t slots_taken(const struct storm *s)
{
	const struct wbci_segment *seg = &s->c->client->segment;
	uint64_t n = 0;

	for (uint32_t i = 0; i < seg->geo.n_procs; i++)
		n += (order_load(&seg->procs[i].word) & 15) != PROC_FREE;
	return n;
}

static uint64_t threads_taken(const struct storm *s)
{
	const struct wbci_segment *seg = &s->c->client->segment;
	uint64_t n = 0;

	for (uint32_t i = 0; i < seg->geo.n_threads; i++)
		n += (order_load(&seg->threads[i].word) & 15) != THREAD_FREE;
	return n;
}

static void blow(struct storm *s, unsigned kills, int64_t seconds)
{
	int64_t end = rig_now_ms() + seconds * 1000;

	start_all(s);
	while (s->kills < kills || rig_now_ms() < end) {
		uint64_t taken;

		one_step(s);
		taken = slots_taken(s);
		s->most_dead = taken > s->most_dead ? taken : s->most_dead;
	}
}

/* Everybody comes to an end; a flusher is there and has done all. */
static void quieten(struct storm *s)
{
	int status;

	make_room(s);
	atomic_store(&s->w->stop, true);
	for (unsigned i = 0; i < STORM_PLACES; i++) {
		continue_client(s, i);
		end_client(s, i, false);
		end_orphan(s, i, false);
	}
	waitpid(s->watch, &status, 0);
	judge(s, "the watching client ended", status, false);
	storm_desk_settle(s->w, STORM_WATCH);
	kill_flusher(s);
	rig_kill(&s->rig);
	rig_start(&s->rig);
	status = rig_flush(s->c);
	if (status)
		violated(s, "the last flush", status);
}

/* Is a number down to where it belongs?  The reaper comes by in its time. */
static bool comes_down(const struct storm *s,
                       uint64_t (*number)(const struct storm *), uint64_t to)
{
	int64_t end = patience();

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

/* The audit says of a segment that it is whole; what it lost is noted. */
static int audit(const struct storm *s, const char *when)
{
	const char *const argv[] = {"wbc-shmdump",  "check",  "-s",
	                            s->rig.segment, "--json", NULL};
	char text[8192];
	const char *blocks;
	int status = rig_run(argv, text, sizeof(text));

	blocks = strstr(text, "\"blocks\"");
	tap_diag("check, %s: %.*s", when,
	         blocks ? (int)strcspn(blocks, "}") + 1 : 100,
	         blocks ? blocks : text);
	if (status)
		tap_diag("%s", text);
	return status;
}

static void end(struct storm *s)
{
	storm_world_free(&s->w);
	if (s->c)
		wbc_close(&s->c);
	if (s->small[0])
		umount2(s->small, MNT_DETACH);
	rig_end(&s->rig);
}

/* A small storm in which a client lies: the oracle's violations. */
static void known_bad(enum storm_lie lie, const char *what)
{
	struct storm *s = calloc(1, sizeof(*s));
	unsigned seen;

	if (!s)
		tap_bail("no memory");
	s->dice.state = (uint64_t)lie;
	begin(s, lie, false);
	blow(s, LYING_KILLS, 0);
	quieten(s);
	tap_is_uint(s->violations, 0, "a small storm breaks nothing");
	tap_diag("what follows is seen because a client lies:");
	seen = check_sums(s);
	tap_ok(seen > 0, "known bad: %s: %u violations are seen", what, seen);
	tap_is_int(rig_stop(&s->rig), 0, "the flusher ends well");
	end(s);
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

static void check_segment(struct storm *s)
{
	struct stat st;

	tap_ok(comes_down(s, slots_taken, 2) && comes_down(s, threads_taken, 2),
	       "P9: all slots come back but the flusher's and ours");
	tap_is_int(audit(s, "in use"), 0, "P6: the segment in use is whole");
	tap_is_int(rig_stop(&s->rig), 0, "the flusher ends well");
	tap_is_uint(storm_check_memory(s->c, &s->rig, s->n_eaten), 0,
	            "P6: memory in use is what the same rows need, but for a "
	            "page of each size");
	wbc_close(&s->c);
	tap_is_int(audit(s, "at rest"), 0, "P6: and it is whole at rest");
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
	tap_ok(s->in_section > 0,
	       "P2: %u times others went on while a client was stopped in a "
	       "section",
	       s->in_section);
	if (s->small[0])
		tap_ok(s->fills == 0 || stat_of(s, STAT_NO_ROOM) > 0,
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
	begin(s, (enum storm_lie)number_of("WBC_STORM_LIE", LIE_NONE), true);
	blow(s, (unsigned)number_of("WBC_STORM_KILLS", KILLS),
	     number_of("WBC_SOAK_SECONDS", 0));
	quieten(s);
	check_storm(s, seed);
	end(s);
	free(s);
	return tap_done();
}
