/* SPDX-License-Identifier: MIT */
/* Copyright the wbcshm authors */

/*
 * Who comes to harm, when and how: kills, stops, full memory, in an order
 * that the seed decides.
 *
 * All that is started is our child, or becomes it as an orphan, and is ended
 * by its number, or by its group's while a member of it is ours to wait for.
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
	NOTICED = 200,   /* calls of others while somebody is stopped */
	HALT_FROM = 300, /* instructions: less is not in a section yet */
	HALT_MORE = 800,
	SANITIZED = 4,               /* times as many instructions, roughly */
	EAT_MOST = (64 << 20) / 256, /* more than that file system holds */
	FILL_STEPS = 12,
	GONE_STEPS = 32
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

/* Calls that came back, if only to say that there is no room or no slot. */
static uint64_t answers_at(const struct storm *s, unsigned number)
{
	struct storm_desk *desk = &s->w->desks[number];

	return atomic_load(&desk->calls) + atomic_load(&desk->refused);
}

static void start_client(struct storm *s, unsigned i)
{
	uint64_t seed = dice_word(&s->dice);
	bool inherits = dice_below(&s->dice, 2);
	pid_t parent = getpid(), pid;

	s->places[i].answers_then = answers_at(s, i * STORM_ACTORS);
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
	struct storm_place *p = &s->places[i];
	bool soon = dice_below(&s->dice, 6) == 0 || p->stopped;
	int64_t end = patience();

	s->at_once += soon;
	while (!soon && answers_at(s, i * STORM_ACTORS) == p->answers_then &&
	       kill(p->pid, 0) == 0) {
		poll(NULL, 0, 1);
		if (rig_now_ms() > end)
			tap_bail("client %u does not get anywhere", i);
	}
	for (uint32_t n = dice_below(&s->dice, 2000); n; n--)
		answers_at(s, i * STORM_ACTORS);
	end_client(s, i, true);
	if (dice_below(&s->dice, 3) == 0)
		end_orphan(s, i, true);
	atomic_fetch_add(&s->w->newest, dice_below(&s->dice, 3) == 0);
	start_client(s, i);
}

/* Is a thread of this process in a section? */
static bool in_section(const struct storm *s, pid_t pid)
{
	const struct wbci_segment *seg = &s->view;

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
	uint64_t until = answers_at(s, STORM_WATCH) + NOTICED;
	int64_t end = patience();

	while (answers_at(s, STORM_WATCH) < until) {
		poll(NULL, 0, 1);
		if (rig_now_ms() > end)
			tap_bail("nobody goes on beside one that is stopped");
	}
}

/* After how many instructions of an add to stop. */
static uint32_t halt_at(struct storm *s)
{
	uint32_t n = HALT_FROM + dice_below(&s->dice, HALT_MORE);

	return tap_sanitized(NULL) ? n * SANITIZED : n;
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
	atomic_store(&s->w->halt[i], halt_at(s));
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
	if (status != RIG_SIGNALLED(SIGKILL)) {
		violated(s, "the flusher ended", status);
		rig_log_show(&s->rig);
	}
	s->flushers++;
	s->kills++;
	snprintf(at, sizeof(at), "%s:%u", points[dice_below(&s->dice, POINTS)],
	         1 + dice_below(&s->dice, 4));
	rig_log_mark(&s->rig);
	rig_spawn(&s->rig, dice_below(&s->dice, 3) ? NULL : at);
}

/* One that died where it was told to is missed after a while, not at once. */
static void mind_flusher(struct storm *s)
{
	s->gone = rig_ended(&s->rig) ? s->gone + 1 : 0;
	if (s->gone == GONE_STEPS)
		kill_flusher(s);
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

/* No room is left, and then nothing of what was had in reserve; the flusher
 * cannot help just now. */
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
	rig_signal(&s->rig, SIGSTOP);
	for (unsigned i = 0; i < EAT_MOST && !error; i++) {
		struct wbc_value key = storm_eaten_key(s->n_eaten, name);

		error = wbc_add_int64(s->eaten, &key, 1, 1, 1);
		s->n_eaten += !error;
	}
	rig_signal(&s->rig, SIGCONT);
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

	mind_flusher(s);
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

void storm_begin(struct storm *s, enum storm_lie lie, bool small)
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
	o.full_wait_ms = STORM_FULL_WAIT_MS;
	o.message = text;
	o.message_size = sizeof(text);
	if (wbc_open(&s->c, s->rig.address, &o))
		tap_bail("%s", text);
	if (wbci_segment_open(&s->view, s->rig.segment, false, NULL))
		tap_bail("%s: no view of it", s->rig.segment);
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

uint64_t storm_slots(const struct storm *s)
{
	const struct wbci_segment *seg = &s->view;
	uint64_t n = 0;

	for (uint32_t i = 0; i < seg->geo.n_procs; i++)
		n += (order_load(&seg->procs[i].word) & 15) != PROC_FREE;
	return n;
}

uint64_t storm_threads(const struct storm *s)
{
	const struct wbci_segment *seg = &s->view;
	uint64_t n = 0;

	for (uint32_t i = 0; i < seg->geo.n_threads; i++)
		n += (order_load(&seg->threads[i].word) & 15) != THREAD_FREE;
	return n;
}

uint64_t storm_sweep(const struct storm *s)
{
	return order_load(&s->view.control->mark);
}

uint64_t storm_used(const struct storm *s)
{
	uint64_t used, limbo;

	storm_blocks(&s->view, &used, &limbo);
	return used;
}

void storm_blow(struct storm *s, unsigned kills, int64_t seconds)
{
	int64_t end = rig_now_ms() + seconds * 1000;

	start_all(s);
	while (s->kills < kills || rig_now_ms() < end) {
		uint64_t taken, blocks;

		one_step(s);
		taken = storm_slots(s);
		s->most_dead = taken > s->most_dead ? taken : s->most_dead;
		blocks = storm_used(s);
		s->most_blocks =
			blocks > s->most_blocks ? blocks : s->most_blocks;
	}
}

/* Everybody comes to an end; a flusher is there and has done all. */
void storm_quieten(struct storm *s)
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

void storm_end(struct storm *s)
{
	storm_world_free(&s->w);
	if (s->c)
		wbc_close(&s->c);
	wbci_segment_close(&s->view);
	if (s->small[0])
		umount2(s->small, MNT_DETACH);
	rig_end(&s->rig);
}
