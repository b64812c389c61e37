/* SPDX-License-Identifier: MIT */
/* Copyright the wbcshm authors */

/*
 * Clients in namespaces of their own, and a flusher outside: in two of pids,
 * where both are number 1, in one of time, in a container.
 * The living are never declared dead, and each death is found (P9).
 *
 * A death is the clock: once it was found, the flusher has looked at all the
 * others too.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "api/handle.h"
#include "crash/rig.h"
#include "tap/tap.h"
#include "unit/child.h"

#ifndef CLONE_NEWTIME
#define CLONE_NEWTIME 0x80
#endif

/* The promise is 1 s; the rest is for the scheduler of a busy machine. */
#define FOUND_MS 1500
#define SHIFT_S 1000000
#define GUESTS 16

static const char spec[] = "counts(name text key, n counter)"
			   " on_missing=insert";

/* What a guest is, and what it tells; shared memory. */
struct guest {
	pid_t pid;          /* as we see it */
	int line, its_line; /* our end, and the guest's */
	unsigned flags;     /* of unshare() */
	bool leaves_leader; /* its first thread ends, another goes on */
	char name[32];      /* of its row */
	char address[PATH_MAX + 8];
	char jail[PATH_MAX]; /* to chroot to, after its folder was bound */
	bool no_proc;        /* which is without /proc */

	_Atomic int64_t added;
	_Atomic uint32_t proc; /* its slot */
	_Atomic uint32_t its_pid;
	_Atomic int64_t boot_s;
	_Atomic int error;
	char words[256];     /* of an error in opening */
	const char *refused; /* by the kernel: what */
};

struct state {
	struct rig rig;
	struct wbc *c;
	struct guest *guests;
	unsigned n;
};

static void begin(struct state *s)
{
	memset(s, 0, sizeof(*s));
	rig_begin(&s->rig, "namespaces");
	s->rig.tables[0] = spec;
	rig_sql(&s->rig, "CREATE TABLE counts(name TEXT PRIMARY KEY,"
	                 " n INTEGER)");
	s->c = rig_open(&s->rig);
	rig_table(s->c, spec);
	s->guests = child_shared(GUESTS * sizeof(*s->guests));
	rig_start(&s->rig);
}

/* In the guest: adds until it is told to stop, or killed. */
static void *be_guest(void *arg)
{
	struct guest *g = arg;
	struct pollfd fd = {.fd = g->its_line, .events = POLLIN};
	struct wbc_value key =
		wbc_text(NULL, g->name, (uint32_t)strlen(g->name));
	struct wbc_options o = WBC_OPTIONS_INIT;
	struct wbc_table *t;
	struct wbc *c;
	int error;

	o.message = g->words;
	o.message_size = sizeof(g->words);
	error = wbc_open(&c, g->address, &o);
	if (!error)
		error = wbc_table_declare(c, spec, &t, NULL, 0);
	if (!error) {
		g->proc = c->client->proc;
		g->its_pid = (uint32_t)getpid();
	}
	for (bool told = false; !error && !poll(&fd, 1, 1);) {
		for (int i = 0; i < 50 && !error; i++) {
			error = wbc_add_int64(t, &key, 1, 1, 1);
			g->added += !error;
		}
		if (!error && !told)
			error = wbc_sync(c, RIG_PATIENCE_MS);
		if (!error && !told)
			error = rig_flush(c);
		if (!error && !told)
			child_say(g->its_line);
		told = true;
	}
	g->error = error;
	if (!error)
		wbc_close(&c);
	_exit(error ? 1 : 0);
}

/* Nothing is there but the folder with the segment, and maybe /proc. */
static bool enter_jail(const struct guest *g)
{
	char from[PATH_MAX + 16], to[PATH_MAX + 16], proc[PATH_MAX + 16];

	snprintf(from, sizeof(from), "%s/../shared", g->jail);
	snprintf(to, sizeof(to), "%s/data", g->jail);
	snprintf(proc, sizeof(proc), "%s/proc", g->jail);
	return mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0 &&
	       mount(from, to, NULL, MS_BIND, NULL) == 0 &&
	       (g->no_proc || mount("proc", proc, "proc", 0, NULL) == 0) &&
	       chroot(g->jail) == 0 && chdir("/") == 0;
}

_Noreturn static void run_guest(struct guest *g)
{
	struct timespec t;
	pthread_t thread;

	clock_gettime(CLOCK_BOOTTIME, &t);
	g->boot_s = t.tv_sec;
	if (g->jail[0] && !enter_jail(g)) {
		g->refused = "a bind mount and a change of root";
		_exit(1);
	}
	if (g->leaves_leader && !pthread_create(&thread, NULL, be_guest, g))
		pthread_exit(NULL);
	be_guest(g);
	_exit(1);
}

/* Be root in a user namespace, where that is needed. */
static bool enter_user(unsigned *flags)
{
	unsigned uid = geteuid(), gid = getegid();
	char map[64];

	if (uid == 0)
		return true;
	if (unshare(CLONE_NEWUSER))
		return false;
	snprintf(map, sizeof(map), "0 %u 1", uid);
	if (!child_write("/proc/self/uid_map", map) ||
	    !child_write("/proc/self/setgroups", "deny"))
		return false;
	snprintf(map, sizeof(map), "0 %u 1", gid);
	*flags |= CLONE_NEWNS;
	return child_write("/proc/self/gid_map", map);
}

static bool shift_time(void)
{
	char text[96];

	snprintf(text, sizeof(text), "monotonic %d 0\nboottime %d 0\n", SHIFT_S,
	         SHIFT_S);
	return child_write("/proc/self/timens_offsets", text);
}

/* Make the namespaces, and in them the guest, which becomes our child. */
_Noreturn static void make_guest(struct guest *g)
{
	unsigned flags = g->flags;
	pid_t pid;

	if (!enter_user(&flags))
		g->refused = "user namespaces";
	else if (unshare((int)flags))
		g->refused = flags & CLONE_NEWTIME ? "time namespaces"
		                                   : "pid namespaces";
	else if (flags & CLONE_NEWTIME && !shift_time())
		g->refused = "an offset of a time namespace";
	if (g->refused)
		_exit(0);
	pid = fork();
	if (pid == 0)
		run_guest(g);
	if (pid < 0)
		g->refused = "a process in namespaces";
	g->pid = pid;
	_exit(0);
}

/* A guest that has added, synced and flushed; false: the kernel refused it
 * something, or it had an error. */
static bool start_guest(struct state *s, struct guest *g)
{
	int ends[2];
	pid_t pid;

	if (!g->address[0])
		memcpy(g->address, s->rig.address, sizeof(g->address));
	snprintf(g->name, sizeof(g->name), "guest%d", (int)(g - s->guests));
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends))
		tap_bail("socketpair: %s", strerror(errno));
	g->line = ends[0];
	g->its_line = ends[1];
	pid = fork();
	if (pid < 0)
		tap_bail("fork: %s", strerror(errno));
	if (pid == 0) {
		close(ends[0]);
		make_guest(g);
	}
	close(ends[1]);
	child_reap(pid);
	if (!g->refused && child_hear(g->line))
		return true;
	if (g->pid)
		child_reap(g->pid);
	g->pid = 0;
	return false;
}

static bool started(struct state *s, struct guest *g)
{
	bool good = start_guest(s, g);

	if (!good && !g->refused)
		tap_bail("%s: %s: %s", g->name, wbc_error_name(g->error),
		         g->words);
	return good;
}

static struct guest *new_guest(struct state *s, unsigned flags)
{
	struct guest *g = &s->guests[s->n++];

	if (s->n > GUESTS)
		tap_bail("too many guests");
	g->flags = flags;
	return g;
}

static uint64_t slot_word(const struct state *s, const struct guest *g)
{
	return order_load(&s->c->client->segment.procs[g->proc].word);
}

static bool zombie(const struct guest *g)
{
	siginfo_t info = {.si_pid = 0};

	return waitid(P_PID, (id_t)g->pid, &info,
	              WEXITED | WNOHANG | WNOWAIT) == 0 &&
	       info.si_pid == g->pid;
}

/* Kill a guest, and leave it a zombie until its slot was freed. */
static void kill_guest(struct state *s, struct guest *g, const char *what)
{
	siginfo_t info;
	int64_t begin_ms;
	bool found;

	rig_log_mark(&s->rig);
	begin_ms = rig_now_ms();
	kill(g->pid, SIGKILL);
	waitid(P_PID, (id_t)g->pid, &info, WEXITED | WNOWAIT);
	found = rig_log_wait(&s->rig, "event=reaped", "processes=1 ");
	begin_ms = rig_now_ms() - begin_ms;
	tap_ok(found && (slot_word(s, g) & 15) == PROC_FREE &&
	               begin_ms < FOUND_MS,
	       "P9: the death of %s is found: after %lld ms", what,
	       (long long)begin_ms);
	tap_ok(zombie(g), "P9: though nobody has waited for it");
	child_reap(g->pid);
	close(g->line);
	g->pid = 0;
}

/* Does a guest go on, in the slot that it had? */
static bool goes_on(const struct state *s, struct guest *g, uint64_t word)
{
	int64_t was = g->added;
	int64_t end = rig_now_ms() + RIG_PATIENCE_MS;

	while (g->added == was && rig_now_ms() < end && !zombie(g))
		poll(NULL, 0, 1);
	return g->added > was && (word & 15) == PROC_USED &&
	       slot_word(s, g) == word &&
	       wbci_segment_locked(&s->c->client->segment,
	                           WBCI_LOCK_PROC + g->proc) == 1;
}

static void stop_guest(struct guest *g)
{
	if (!g->pid)
		return;
	child_say(g->line);
	tap_is_int(child_reap(g->pid), 0, "%s ends well", g->name);
	close(g->line);
}

/* A death in our own namespaces, as a clock. */
static void tick(struct state *s)
{
	struct guest *g = new_guest(s, 0);

	if (!started(s, g))
		tap_bail("%s is refused", g->refused);
	kill_guest(s, g, "a process outside");
}

static void two_pid_namespaces(struct state *s)
{
	struct guest *a = new_guest(s, CLONE_NEWPID);
	struct guest *b = new_guest(s, CLONE_NEWPID);
	uint64_t a_word, b_word;

	if (!started(s, a) || !started(s, b)) {
		tap_skip(8, "this kernel refuses %s here",
		         a->refused ? a->refused : b->refused);
		return;
	}
	a_word = slot_word(s, a);
	b_word = slot_word(s, b);
	tap_ok(a->its_pid == 1 && b->its_pid == 1 && a->proc != b->proc,
	       "two clients are number 1, and have a slot each");
	tick(s);
	tap_ok(goes_on(s, a, a_word) && goes_on(s, b, b_word),
	       "P9: neither is taken for dead when somebody else dies");
	kill_guest(s, a, "one number 1");
	tap_ok(goes_on(s, b, b_word), "P9: the other lives");
	kill_guest(s, b, "the other number 1");
}

static void time_namespace(struct state *s)
{
	struct guest *g = new_guest(s, CLONE_NEWTIME);
	struct timespec t;
	uint64_t word;

	if (!started(s, g)) {
		tap_skip(6, "this kernel refuses %s here", g->refused);
		return;
	}
	clock_gettime(CLOCK_BOOTTIME, &t);
	word = slot_word(s, g);
	tap_ok(g->boot_s > t.tv_sec + SHIFT_S / 2,
	       "a client whose clocks are %d s ahead adds, syncs, flushes",
	       SHIFT_S);
	tick(s);
	tap_ok(goes_on(s, g, word), "P9: it is not taken for dead");
	kill_guest(s, g, "a client in another time");
}

/* The flusher's clocks are ahead of everybody's. */
static void flusher_in_another_time(struct state *s)
{
	int home = open("/proc/self/ns/time", O_RDONLY | O_CLOEXEC);
	struct guest *g = new_guest(s, 0);
	bool shifted;
	uint64_t word;

	shifted = home >= 0 && unshare(CLONE_NEWTIME) == 0 && shift_time();
	if (!shifted) {
		tap_skip(5, "a time namespace is refused here: %s",
		         strerror(errno));
		close(home);
		return;
	}
	rig_kill(&s->rig);
	rig_start(&s->rig);
	if (setns(home, CLONE_NEWTIME))
		tap_bail("back from a time namespace: %s", strerror(errno));
	close(home);
	tap_ok(started(s, g),
	       "with a flusher whose clocks are ahead a client syncs");
	word = slot_word(s, g);
	tick(s);
	tap_ok(goes_on(s, g, word), "P9: it takes nobody for dead");
	stop_guest(g);
	rig_kill(&s->rig);
	rig_start(&s->rig);
}

/* The first thread has ended, so the process looks like a zombie. */
static void leader_gone(struct state *s)
{
	struct guest *g = new_guest(s, 0);
	uint64_t word;

	g->leaves_leader = true;
	if (!started(s, g))
		tap_bail("%s is refused", g->refused);
	word = slot_word(s, g);
	tick(s);
	tap_ok(goes_on(s, g, word),
	       "P9: a process whose first thread has ended lives");
	kill_guest(s, g, "its other thread");
}

static void make_folder(const char *path)
{
	if (mkdir(path, 0700))
		tap_bail("%s: %s", path, strerror(errno));
}

/* The segment's folder is bound into a container that has nothing else. */
static struct guest *new_container(struct state *s)
{
	struct guest *g = new_guest(s, CLONE_NEWPID | CLONE_NEWNS);

	snprintf(g->jail, sizeof(g->jail), "%.*s/jail", PATH_MAX - 64,
	         s->rig.dir);
	snprintf(g->address, sizeof(g->address), "shm:/data/segment");
	return g;
}

static void container(struct state *s)
{
	struct guest *g = new_container(s);
	uint64_t word;

	if (!started(s, g)) {
		tap_skip(7, "this kernel refuses %s here", g->refused);
		return;
	}
	word = slot_word(s, g);
	tap_ok(g->its_pid == 1, "a client in a container adds, syncs, flushes");
	tick(s);
	tap_ok(goes_on(s, g, word), "P9: it is not taken for dead");
	kill_guest(s, g, "a container");
	g = new_container(s);
	g->no_proc = true;
	tap_ok(!start_guest(s, g) && g->error == -EPERM &&
	               strstr(g->words, "mount /proc"),
	       "without /proc a client is refused in words: %s", g->words);
}

/* The segment in a folder that a container may have. */
static void move_to_shared(struct state *s)
{
	char path[PATH_MAX];

	snprintf(path, sizeof(path), "%s/shared", s->rig.dir);
	make_folder(path);
	snprintf(path, sizeof(path), "%s/jail", s->rig.dir);
	make_folder(path);
	snprintf(path, sizeof(path), "%s/jail/data", s->rig.dir);
	make_folder(path);
	snprintf(path, sizeof(path), "%s/jail/proc", s->rig.dir);
	make_folder(path);
	rig_kill(&s->rig);
	wbc_close(&s->c);
	rig_move(&s->rig, "segment", "shared/segment");
	snprintf(s->rig.segment, sizeof(s->rig.segment), "%s/shared/segment",
	         s->rig.dir);
	snprintf(s->rig.address, sizeof(s->rig.address),
	         "shm:%s/shared/segment", s->rig.dir);
	s->c = rig_open(&s->rig);
	rig_start(&s->rig);
}

/* At most the add that a guest was killed in is there too. */
static bool exact(const struct state *s)
{
	bool good = true;
	char sql[128];

	for (unsigned i = 0; i < s->n; i++) {
		const struct guest *g = &s->guests[i];
		int64_t n;

		snprintf(sql, sizeof(sql),
		         "SELECT total(n) FROM counts WHERE name='%s'",
		         g->name[0] ? g->name : "-");
		n = rig_sql_int(&s->rig, sql);
		if (n == g->added || n == g->added + 1)
			continue;
		tap_diag("%s: %lld added, %lld in the database", g->name,
		         (long long)g->added, (long long)n);
		good = false;
	}
	return good;
}

int main(void)
{
	struct state s;

	if (prctl(PR_SET_CHILD_SUBREAPER, 1))
		tap_bail("prctl: %s", strerror(errno));
	begin(&s);
	two_pid_namespaces(&s);
	leader_gone(&s);
	time_namespace(&s);
	flusher_in_another_time(&s);
	move_to_shared(&s);
	container(&s);
	tap_is_int(rig_flush(s.c), 0, "a flush works");
	tap_ok(exact(&s),
	       "P3: of %u clients every add that was acknowledged "
	       "is in the database once",
	       s.n);
	tap_is_int(rig_stop(&s.rig), 0, "the flusher ends well");
	wbc_close(&s.c);
	rig_end(&s.rig);
	return tap_done();
}
