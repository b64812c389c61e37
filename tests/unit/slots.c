/* SPDX-License-Identifier: MIT */
/* Copyright the wbcshm authors */

/*
 * Slots of processes and threads: who has one, how long, and who frees it.
 * The living keep theirs through fork, stop and closed descriptors; the dead
 * lose theirs to wbci_reap(), whatever they died of; adds stay exact.
 */
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <sys/syscall.h>

#include "shm/lane.h"
#include "shm/page.h"
#include "unit/child.h"
#include "unit/scratch.h"

#define SPEC "t(k text key, n counter)"
#define N(array) (sizeof(array) / sizeof((array)[0]))

/* What most tests share: a segment, a handle, a table, a row. */
struct site {
	struct scratch dir;
	struct wbc *c;
	struct wbc_table *t;
	struct wbci_segment *s;
};

static const struct wbc_value row = {"k", WBC_TEXT, 1, {.p = "r"}};

static void site_open(struct site *site, uint32_t procs, uint32_t threads)
{
	struct wbc_options o = scratch_options();

	o.procs = procs;
	o.threads = threads;
	scratch_make(&site->dir);
	site->c = scratch_open(&site->dir, &o);
	site->t = scratch_table(site->c, SPEC);
	site->s = &site->c->client->segment;
}

static void site_close(struct site *site)
{
	wbc_close(&site->c);
	scratch_remove(&site->dir);
}

static uint64_t proc_word(const struct wbci_client *c)
{
	return order_load(&c->segment.procs[c->proc].word);
}

static unsigned reap(const struct site *site)
{
	unsigned in_section;

	return wbci_reap(site->s, &in_section);
}

static bool is_locked(const struct wbci_segment *s, uint32_t proc)
{
	return wbci_segment_locked(s, WBCI_LOCK_PROC + proc) == 1;
}

/* Adds, and ends the process with an error if one fails. */
static void add_many(struct wbc_table *t, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		int error = wbc_add_int64(t, &row, 1, 1, 1);

		if (error)
			tap_bail("add: %d", error);
	}
}

static uint64_t total(const struct site *site)
{
	return scratch_total(site->t, &row, 1, 1);
}

static void test_claim(void)
{
	struct wbc_options o = WBC_OPTIONS_INIT;
	struct wbc *more[3], *fifth;
	struct site site;
	char words[256];
	uint64_t word;
	bool good = true;

	site_open(&site, 5, 8);
	for (unsigned i = 0; i < N(more); i++) {
		more[i] = scratch_open(&site.dir, &o);
		for (unsigned j = 0; j < i; j++)
			good &= more[i]->client->proc != more[j]->client->proc;
		good &= more[i]->client->proc != site.c->client->proc;
	}
	tap_ok(good && scratch_procs(site.s, PROC_USED) == 4,
	       "four handles of one process have four slots");
	for (uint32_t i = 0; i < 4; i++)
		good &= is_locked(site.s, i) &&
		        order_load(&site.s->procs[i].pid) == (uint32_t)getpid();
	tap_ok(good, "each is locked, and shows this process");
	o.message = words;
	o.message_size = sizeof(words);
	tap_is_int(wbc_open(&fifth, site.dir.address, &o), -EUSERS,
	           "when all slots but one are in use an open is -EUSERS");
	tap_ok(strstr(words, "4 process slots for clients") != NULL,
	       "and its words have the count");
	tap_is_int(reap(&site), 0, "handles in use are not reaped (P9)");

	for (unsigned i = 0; i < N(more); i++)
		add_many(scratch_table(more[i], SPEC), 100);
	add_many(site.t, 100);
	tap_is_uint(total(&site), 400,
	            "two handles in one process count like two processes (P3)");

	word = proc_word(more[1]->client);
	wbc_close(&more[1]);
	tap_is_uint(scratch_procs(site.s, PROC_USED), 3,
	            "closing gives the slot back");
	more[1] = scratch_open(&site.dir, NULL);
	tap_ok(proc_word(more[1]->client) > word &&
	               proc_word(more[1]->client) >> 4 == (word >> 4) + 1,
	       "who takes it next has the next incarnation");
	for (unsigned i = 0; i < N(more); i++)
		wbc_close(&more[i]);
	tap_is_uint(scratch_procs(site.s, PROC_FREE), 4,
	            "all slots but ours are free at the end");
	tap_is_uint(scratch_threads_used(site.s), 1,
	            "and so are their threads'");
	tap_ok(!is_locked(site.s, more[0] ? 0 : 3), "and unlocked");
	site_close(&site);
}

/* A forked child that counts through its parent's handle. */
static void fork_counts(int line, void *arg)
{
	struct site *site = arg;
	uint32_t parent = site->c->client->proc;

	add_many(site->t, 1000);
	tap_ok(site->c->client->proc != parent,
	       "a forked child attaches anew at its first call");
	child_say(line);
	child_hear(line);
	wbc_close(&site->c);
}

static void fork_closes(int line, void *arg)
{
	struct site *site = arg;

	(void)line;
	wbc_close(&site->c);
}

static void test_fork(void)
{
	struct site site;
	struct child c;
	uint64_t proc, thread;
	uint32_t slot;

	site_open(&site, 4, 4);
	add_many(site.t, 500);
	slot = wbci_cache.thread->slot;
	proc = proc_word(site.c->client);
	thread = order_load(&site.s->threads[slot].word);

	c = child_start(fork_counts, &site);
	child_hear(c.line);
	tap_is_uint(scratch_procs(site.s, PROC_USED), 2,
	            "parent and child have a slot each");
	tap_is_uint(scratch_threads_used(site.s), 2, "and a thread slot each");
	add_many(site.t, 500);
	child_say(c.line);
	child_wait(&c);
	tap_is_uint(total(&site), 2000, "both count (P3)");
	tap_ok(proc_word(site.c->client) == proc &&
	               order_load(&site.s->threads[slot].word) == thread &&
	               is_locked(site.s, site.c->client->proc),
	       "a child that closes the handle frees its own slot only");
	tap_is_uint(scratch_procs(site.s, PROC_USED), 1, "and does free it");

	c = child_start(fork_closes, &site);
	child_wait(&c);
	tap_ok(proc_word(site.c->client) == proc &&
	               order_load(&site.s->threads[slot].word) == thread &&
	               is_locked(site.s, site.c->client->proc),
	       "nor does a child that closes it unused touch its parent's");
	tap_is_int(reap(&site), 0, "nobody here is dead (P9)");
	site_close(&site);
}

/* A process that forks, so that a test can kill the one in the middle. */
struct family {
	struct site *site;
	bool early; /* the grandchild attaches before its parent's death */
	int line;   /* the grandchild's */
	pid_t *pid;
};

static void grandchild(const struct family *f)
{
	if (f->early)
		add_many(f->site->t, 10);
	child_say(f->line);
	child_hear(f->line);
	add_many(f->site->t, 10);
	child_say(f->line);
	child_hear(f->line);
	wbc_close(&f->site->c);
	tap_child_exit(0);
}

static void middle(int line, void *arg)
{
	struct family *f = arg;

	add_many(f->site->t, 10);
	*f->pid = fork();
	if (*f->pid == 0)
		grandchild(f);
	close(f->line);
	child_say(line);
	child_hear_end(line);
}

static void orphan(struct site *site, bool early)
{
	const char *when = early ? "that was attached" : "not yet attached";
	uint64_t before = total(site);
	struct family f = {.site = site, .early = early};
	unsigned in_section;
	struct child c;
	int ends[2];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends))
		tap_bail("socketpair: %d", errno);
	f.line = ends[1];
	f.pid = child_shared(sizeof(*f.pid));
	c = child_start(middle, &f);
	close(ends[1]);
	child_hear(c.line);
	child_hear(ends[0]);
	tap_is_int(reap(site), 0, "child %s: while both live none is reaped",
	           when);
	child_kill(&c);
	tap_is_int(wbci_reap(site->s, &in_section), 1,
	           "child %s: its parent's death frees one slot (P9)", when);
	tap_is_uint(scratch_procs(site->s, PROC_USED), early ? 2 : 1,
	            "child %s: its own is not touched (P9)", when);
	child_say(ends[0]);
	child_hear(ends[0]);
	tap_is_uint(total(site), before + (early ? 30 : 20),
	            "child %s: it goes on counting (P3)", when);
	tap_is_int(reap(site), 0, "child %s: it is not dead (P9)", when);
	child_say(ends[0]);
	child_reap(*f.pid);
	tap_is_uint(scratch_procs(site->s, PROC_USED), 1,
	            "child %s: all slots come back", when);
	close(ends[0]);
	munmap(f.pid, sizeof(*f.pid));
}

static void test_orphans(void)
{
	struct site site;

	if (child_lacks_dontfork()) {
		tap_skip(12, "MADV_DONTFORK does nothing here");
		return;
	}
	/* Else grandchildren would be init's to wait for. */
	prctl(PR_SET_CHILD_SUBREAPER, 1L, 0L, 0L, 0L);
	site_open(&site, 4, 4);
	orphan(&site, true);
	orphan(&site, false);
	site_close(&site);
}

/* An opener that becomes another program, which says so and stays. */
static void becomes_another(int line, void *arg)
{
	struct site *site = arg;

	add_many(site->t, 1);
	child_say(line);
	child_hear(line);
	dup2(line, STDIN_FILENO);
	execl("/proc/self/exe", "slots", "another", (char *)NULL);
	tap_bail("exec: %d", errno);
}

static void forks_another(int line, void *arg)
{
	struct site *site = arg;
	pid_t pid;

	add_many(site->t, 1);
	pid = fork();
	if (pid == 0) {
		dup2(line, STDIN_FILENO);
		execl("/proc/self/exe", "slots", "another", (char *)NULL);
		tap_child_exit(1);
	}
	child_reap(pid);
	child_say(line);
	child_hear(line);
	wbc_close(&site->c);
}

static void test_exec(void)
{
	struct site site;
	struct child c;

	if (!child_can_exec()) {
		tap_skip(6, "a process cannot become this program anew here");
		return;
	}
	site_open(&site, 4, 4);
	c = child_start(becomes_another, &site);
	child_hear(c.line);
	tap_is_int(reap(&site), 0, "before exec a process is alive");
	child_say(c.line);
	child_hear(c.line);
	tap_is_int(reap(&site), 1, "exec drops the slot, though the pid lives");
	tap_is_int(kill(c.pid, 0), 0, "as it does");
	tap_is_uint(scratch_procs(site.s, PROC_FREE), 3, "the slot is free");
	child_say(c.line);
	child_wait(&c);

	c = child_start(forks_another, &site);
	child_hear(c.line); /* the other program */
	tap_is_int(reap(&site), 0,
	           "a child's exec does not drop its parent's slot (P9)");
	child_say(c.line);
	child_hear(c.line);
	child_say(c.line);
	child_wait(&c);
	tap_is_uint(scratch_procs(site.s, PROC_FREE), 3, "which it gives back");
	site_close(&site);
}

/* Attached, in a section or not, until the end of time. */
struct holder {
	struct site *site;
	bool in_section;
};

static void hold(int line, void *arg)
{
	const struct holder *h = arg;
	struct wbci_thread *t;

	add_many(h->site->t, 1);
	if (wbci_thread(h->site->c->client, &t))
		tap_bail("no thread slot");
	if (h->in_section)
		wbci_enter(t);
	child_say(line);
	child_hear_end(line);
}

static void test_death(bool in_section)
{
	const char *where = in_section ? "in a section" : "outside sections";
	struct holder h = {.in_section = in_section};
	unsigned died, dead = 0;
	struct site site;
	struct child c;
	siginfo_t info;

	site_open(&site, 4, 4);
	h.site = &site;
	c = child_start(hold, &h);
	child_hear(c.line);
	child_stop(&c);
	for (unsigned i = 0; i < 1000; i++)
		dead += wbci_reap(site.s, &died);
	tap_is_uint(dead, 0, "stopped %s: never reaped (P9)", where);
	tap_is_uint(scratch_procs(site.s, PROC_USED), 2,
	            "stopped %s: its slot stays USED", where);
	child_continue(&c);

	kill(c.pid, SIGKILL);
	waitid(P_PID, (id_t)c.pid, &info, WEXITED | WNOWAIT);
	tap_is_uint(wbci_reap(site.s, &died), 1,
	            "killed %s: reaped, also before its parent waits for it "
	            "(P9)",
	            where);
	tap_is_uint(died, in_section, "killed %s: and said so", where);
	child_wait(&c);
	tap_is_uint(scratch_procs(site.s, PROC_FREE), 3,
	            "killed %s: the slot is free", where);
	tap_is_uint(scratch_threads_used(site.s), 1,
	            "killed %s: and its thread's", where);
	for (uint32_t i = 0; i < site.s->geo.n_threads; i++)
		dead += order_load(&site.s->threads[i].epoch) != 0;
	tap_is_uint(dead, 0, "killed %s: no epoch word is left set", where);
	tap_is_uint(wbci_reap(site.s, &died) + died, 0,
	            "killed %s: nobody dies twice", where);
	site_close(&site);
}

static void *reaps_on(void *arg)
{
	struct site *site = arg;
	unsigned dead = 0;

	for (unsigned i = 0; i < 20000; i++)
		dead += reap(site);
	return (void *)(uintptr_t)(dead + 1);
}

static void test_living(void)
{
	void *dead = NULL;
	pthread_t thread;
	struct site site;
	uint64_t word, changes = 0;

	site_open(&site, 2, 2);
	word = proc_word(site.c->client);
	if (pthread_create(&thread, NULL, reaps_on, &site))
		tap_bail("no thread");
	while (pthread_tryjoin_np(thread, &dead) == EBUSY)
		changes += proc_word(site.c->client) != word;
	tap_is_uint((uintptr_t)dead, 1,
	            "20,000 times a living one is not dead "
	            "(P9)");
	tap_is_uint(changes, 0, "and its slot is not touched");
	site_close(&site);
}

/* Many keys, so that the segment must grow. */
static int add_keys(struct wbc_table *t, unsigned from, unsigned n)
{
	char key[1000];

	memset(key, 'k', sizeof(key));
	for (unsigned i = from; i < from + n; i++) {
		struct wbc_value v = wbc_text(NULL, key, sizeof(key));
		int error;

		key[sprintf(key, "%08x", i)] = 'k';
		error = wbc_add_int64(t, &v, 1, 1, 1);
		if (error)
			return error;
	}
	return 0;
}

static void forked_adds(int line, void *arg)
{
	struct site *site = arg;

	(void)line;
	tap_is_int(wbc_add_int64(site->t, &row, 1, 1, 1), 0,
	           "descriptors closed: a forked child attaches anew");
	wbc_close(&site->c);
}

/* A program that closes everything, as daemons do, and opens its own. */
static void closes_all(int line, void *arg)
{
	struct site *site = arg;
	struct stat before[40], after;
	uint32_t had = wbci_committed(site->s);
	int files[N(before)], second = -1;
	bool good = true;
	struct child c;

	add_many(site->t, 1);
	dup2(line, STDIN_FILENO);
	if (syscall(SYS_close_range, 3, ~0U, 0)) {
		for (int fd = 3; fd < 1024; fd++)
			close(fd);
	}
	for (unsigned i = 0; i < N(files); i++) {
		files[i] = open(i % 2 ? "/dev/null" : "/dev/zero", O_RDWR);
		fstat(files[i], &before[i]);
	}
	tap_is_int(add_keys(site->t, 0, 4000), 0,
	           "descriptors closed, their numbers in use again: the "
	           "segment still grows (P8)");
	tap_ok(wbci_committed(site->s) > had + 1, "by more than an extent");
	tap_ok(is_locked(site->s, site->c->client->proc),
	       "descriptors closed: the slot is still locked (P9)");
	tap_is_int(reap(site), 0, "descriptors closed: locks can be looked at");
	second = socket(AF_UNIX, SOCK_STREAM, 0);
	c = child_start(forked_adds, site);
	child_wait(&c);
	child_say(STDIN_FILENO);
	child_hear(STDIN_FILENO);
	add_many(site->t, 1);
	wbc_close(&site->c);
	for (unsigned i = 0; i < N(files); i++) {
		good &= fstat(files[i], &after) == 0 &&
		        after.st_rdev == before[i].st_rdev;
	}
	tap_ok(good && fstat(second, &after) == 0,
	       "descriptors closed: those of the program stay open and the "
	       "same");
}

static void forked_fails(int line, void *arg)
{
	struct site *site = arg;

	(void)line;
	tap_is_int(wbc_add_int64(site->t, &row, 1, 1, 1), -ESTALE,
	           "and the file gone: a forked child is told -ESTALE");
}

/* The same, and the file is removed, or another has its name. */
static void loses_all(int line, void *arg)
{
	struct site *site = arg;
	struct child c;

	(void)line;
	add_many(site->t, 1);
	syscall(SYS_close_range, 3, ~0U, 0);
	for (unsigned i = 0; i < 20; i++)
		(void)!open("/dev/null", O_RDWR);
	tap_is_int(add_keys(site->t, 10000, 5000), -ESTALE,
	           "and the file gone: no growth, but -ESTALE");
	tap_is_int(wbc_add_int64(site->t, &row, 1, 1, 1), 0,
	           "and the file gone: what is mapped goes on");
	c = child_start(forked_fails, site);
	child_wait(&c);
}

static void test_descriptors(void)
{
	struct site site;
	struct wbc *other;
	struct child c;

	site_open(&site, 6, 6);
	c = child_start(closes_all, &site);
	child_hear(c.line);
	tap_is_int(reap(&site), 0,
	           "a process that closed all descriptors is alive (P9)");
	child_say(c.line);
	tap_is_int(child_wait(&c), 0, "and ends as it should");
	tap_is_uint(total(&site), 3, "with all its adds (P3)");
	tap_is_uint(scratch_procs(site.s, PROC_USED), 1,
	            "and its slots given back");

	unlink(site.dir.path);
	c = child_start(loses_all, &site);
	tap_is_int(child_wait(&c), 0, "a segment without a name may be used");
	other = scratch_open(&site.dir, NULL);
	c = child_start(loses_all, &site);
	tap_is_int(child_wait(&c), 0,
	           "another segment under its name is not mistaken for it");
	tap_ok(wbci_segment_unlinked(site.s), "which can be noticed");
	wbc_close(&other);
	site_close(&site);
}

/* Threads that take a slot, say so, and wait. */
struct team {
	struct wbc_table *t;
	pthread_barrier_t ready, end;
	int error[8];
	pthread_t thread[8];
	unsigned n;
	bool cancel;
};

struct member {
	struct team *team;
	unsigned i;
};

static void *member_runs(void *arg)
{
	struct member m = *(struct member *)arg;

	free(arg);
	m.team->error[m.i] = wbc_add_int64(m.team->t, &row, 1, 1, 1);
	pthread_barrier_wait(&m.team->ready);
	while (m.team->cancel)
		pause();
	pthread_barrier_wait(&m.team->end);
	if (m.i % 2)
		pthread_exit(NULL);
	return NULL;
}

static void team_start(struct team *team, struct wbc_table *t, unsigned n,
                       bool cancel)
{
	team->t = t;
	team->n = n;
	team->cancel = cancel;
	pthread_barrier_init(&team->ready, NULL, n + 1);
	pthread_barrier_init(&team->end, NULL, n + 1);
	for (unsigned i = 0; i < n; i++) {
		struct member *m = malloc(sizeof(*m));

		*m = (struct member){team, i};
		if (pthread_create(&team->thread[i], NULL, member_runs, m))
			tap_bail("no thread");
	}
	pthread_barrier_wait(&team->ready);
}

static void team_end(struct team *team)
{
	if (!team->cancel)
		pthread_barrier_wait(&team->end);
	for (unsigned i = 0; i < team->n; i++) {
		if (team->cancel)
			pthread_cancel(team->thread[i]);
		pthread_join(team->thread[i], NULL);
	}
	pthread_barrier_destroy(&team->ready);
	pthread_barrier_destroy(&team->end);
}

static unsigned team_errors(const struct team *team, int error)
{
	unsigned n = 0;

	for (unsigned i = 0; i < team->n; i++)
		n += team->error[i] == error;
	return n;
}

static void test_threads(void)
{
	static const struct {
		unsigned n;
		bool cancel;
		const char *what;
	} rows[] = {
		{3, false, "threads that end"},
		{3, true, "threads that are cancelled"},
		{6, false, "more threads than slots"},
		{6, true, "more threads than slots, cancelled"},
	};
	struct site site;
	struct team team;
	uint64_t want = 1;

	site_open(&site, 2, 5);
	add_many(site.t, 1);
	for (size_t i = 0; i < N(rows); i++) {
		unsigned fit = rows[i].n < 3 ? rows[i].n : 3;

		team_start(&team, site.t, rows[i].n, rows[i].cancel);
		tap_is_uint(team_errors(&team, 0), fit,
		            "%s: as many count as there are slots",
		            rows[i].what);
		tap_is_uint(team_errors(&team, -EUSERS), rows[i].n - fit,
		            "%s: the others are told -EUSERS", rows[i].what);
		tap_is_uint(scratch_threads_used(site.s), fit + 1,
		            "%s: each has a slot", rows[i].what);
		team_end(&team);
		tap_is_uint(scratch_threads_used(site.s), 1,
		            "%s: all come back", rows[i].what);
		want += fit;
	}
	tap_is_uint(total(&site), want, "and all adds count once (P3)");
	site_close(&site);
}

static void *ends_and_waits(void *arg)
{
	struct team *team = arg;

	team->error[0] = wbc_add_int64(team->t, &row, 1, 1, 1);
	pthread_barrier_wait(&team->ready);
	pthread_barrier_wait(&team->end);
	return NULL;
}

/* A thread that gave its slot back takes another: never one in use. */
static void test_given_back(void)
{
	struct wbci_thread *before, *after;
	struct team team = {.n = 1};
	struct site site;

	site_open(&site, 2, 4);
	team.t = site.t;
	wbci_thread(site.c->client, &before);
	wbci_thread_end(site.c->client);
	tap_is_uint(scratch_threads_used(site.s), 0,
	            "a thread may give its slot back before it ends");
	pthread_barrier_init(&team.ready, NULL, 2);
	pthread_barrier_init(&team.end, NULL, 2);
	pthread_create(&team.thread[0], NULL, ends_and_waits, &team);
	pthread_barrier_wait(&team.ready);
	if (wbci_thread(site.c->client, &after))
		tap_bail("no thread slot");
	tap_is_uint(scratch_threads_used(site.s), 2,
	            "if it goes on, it has another than who took it (P1)");
	pthread_barrier_wait(&team.end);
	pthread_join(team.thread[0], NULL);
	site_close(&site);
}

/*
 * A child inherits its thread's memory of a slot.  When the parent is gone,
 * another thread of the child may have the slot of that number.
 */
static void inherits(int line, void *arg)
{
	struct site *site = arg;
	struct team team;

	child_say(line);
	child_hear(line); /* the parent's slot is free now */
	team_start(&team, site->t, 1, false);
	add_many(site->t, 1);
	tap_is_uint(scratch_threads_used(site->s), 2,
	            "a forked child's threads never share a slot, whoever was "
	            "there before them (P1)");
	team_end(&team);
	wbc_close(&site->c);
}

static void test_inherited(void)
{
	struct site site;
	struct child c;

	site_open(&site, 4, 4);
	add_many(site.t, 1);
	c = child_start(inherits, &site);
	child_hear(c.line);
	wbci_thread_end(site.c->client);
	child_say(c.line);
	child_wait(&c);
	tap_is_uint(total(&site), 3, "and all their adds count (P3)");
	site_close(&site);
}

static void team_stays(int line, void *arg)
{
	struct site *site = arg;
	struct team team;

	team_start(&team, site->t, 3, false);
	child_say(line);
	child_hear_end(line);
}

static void test_dead_threads(void)
{
	struct site site;
	struct child c;

	site_open(&site, 4, 4);
	wbci_thread_end(site.c->client);
	c = child_start(team_stays, &site);
	child_hear(c.line);
	tap_is_uint(scratch_threads(site.s, THREAD_FREE), 1,
	            "another process may have all thread slots but one");
	tap_is_int(wbc_add_int64(site.t, &row, 1, 1, 1), -EUSERS,
	           "then ours has none");
	child_kill(&c);
	tap_is_int(wbc_add_int64(site.t, &row, 1, 1, 1), -EUSERS,
	           "nor when it is dead");
	tap_is_int(reap(&site), 1, "until it is reaped");
	tap_is_int(wbc_add_int64(site.t, &row, 1, 1, 1), 0,
	           "then all are there again (P2)");
	tap_is_uint(scratch_threads_used(site.s), 1, "but for the one in use");
	tap_is_uint(total(&site), 4, "what the dead added counts (P3)");
	site_close(&site);
}

static void opens(int line, void *arg)
{
	const struct scratch *dir = arg;

	scratch_open(dir, NULL);
	child_say(line);
	child_hear_end(line);
}

/* Whoever reaps needs no slot: the dead may have them all. */
static void test_all_dead(void)
{
	struct wbc_options o = WBC_OPTIONS_INIT;
	unsigned in_section;
	struct site site;
	struct wbc *c;

	site_open(&site, 4, 4);
	for (unsigned i = 0; i < 2; i++) {
		struct child child = child_start(opens, &site.dir);

		child_hear(child.line);
		child_kill(&child);
	}
	tap_is_int(wbc_open(&c, site.dir.address, &o), -EUSERS,
	           "the dead can have all slots");
	tap_is_int(wbci_reap(site.s, &in_section), 2,
	           "they are found without a slot to be had (P9)");
	c = scratch_open(&site.dir, &o);
	tap_is_uint(scratch_procs(site.s, PROC_USED), 2,
	            "and can be claimed again");
	wbc_close(&c);
	site_close(&site);
}

/* A flusher's client, and the place of its thread. */
static struct wbci_client *flusher_open(const struct site *site,
                                        struct wbci_thread **t)
{
	struct wbci_client *f;

	if (wbci_client_open(&f, site->dir.path, true, NULL))
		return NULL;
	if (!wbci_thread(f, t))
		return f;
	wbci_client_close(&f);
	return NULL;
}

/* Clients that live and have all that they may: one slot is left. */
static void test_reserved(void)
{
	char words[256] = "";
	struct wbci_message m = {words, sizeof(words)};
	struct wbci_client *flusher, *second;
	struct wbci_thread *t;
	struct site site;

	site_open(&site, 2, 2);
	add_many(site.t, 1);
	tap_is_uint(scratch_procs(site.s, PROC_FREE), 1,
	            "a client has all that clients may have");
	flusher = flusher_open(&site, &t);
	if (!tap_ok(flusher != NULL,
	            "P2: the last slot of either kind is a flusher's")) {
		site_close(&site);
		return;
	}
	tap_ok(flusher->proc == 1 && t->slot == 1, "it has the last ones");
	tap_is_int(wbci_client_open(&second, site.dir.path, true, &m), -EUSERS,
	           "with both taken a second one is told");
	tap_ok(strstr(words, "all 2 process slots are") != NULL, "in words: %s",
	       words);
	wbc_close(&site.c);
	second = flusher_open(&site, &t);
	tap_ok(second && second->proc == 0 && t->slot == 0,
	       "with the last ones taken a flusher takes a client's");
	wbci_client_close(&second);
	wbci_client_close(&flusher);
	scratch_remove(&site.dir);
}

static void inserts(int line, void *arg)
{
	struct site *site = arg;
	struct wbc_value v = wbc_text("k", "of the dead", 11);

	if (wbc_insert(site->t, &v, 1, 0))
		tap_bail("insert");
	child_say(line);
	child_hear_end(line);
}

static unsigned lane_rows(const struct site *site, uint32_t slot)
{
	alignas(8) unsigned char buffer[4096];
	uint64_t head, tail;
	int64_t bytes = wbci_lane_read(site->s, slot, buffer, &head, &tail);
	unsigned n = 0;

	for (int64_t at = 0; at < bytes; n++) {
		const struct record_shm *r = (const void *)(buffer + at);

		at += r->bytes;
	}
	return bytes < 0 ? 1000 : n;
}

static void test_lane(void)
{
	struct wbc_value v = wbc_text("k", "mine", 4);
	struct thread_shm *thread;
	struct site site;
	struct child c;
	uint64_t tail;

	site_open(&site, 4, 2);
	thread = &site.s->threads[0];
	wbci_thread_end(site.c->client);
	c = child_start(inserts, &site);
	child_hear(c.line);
	child_kill(&c);
	tail = order_load(&thread->lane_tail);
	reap(&site);
	tap_ok(tail > 0 && order_load(&thread->lane_tail) == tail &&
	               order_load(&thread->lane_head) == 0,
	       "reaping leaves a lane as it is");
	tap_is_int(wbc_insert(site.t, &v, 1, 0), 0,
	           "who takes the slot next inserts");
	tap_ok(order_load(&thread->lane_tail) > tail,
	       "and goes on where the dead one stopped (P3)");
	tap_is_uint(lane_rows(&site, 0), 2, "the lane has both rows (P3)");
	site_close(&site);
}

/* What a reaper killed at any step leaves. */
static void test_reaping(void)
{
	static const char *const left[] = {
		"nothing but REAPING",
		"an epoch word cleared",
		"one thread freed",
		"all threads freed",
	};
	struct site site;

	site_open(&site, 4, 4);
	wbci_thread_end(site.c->client);
	for (unsigned step = 0; step < N(left); step++) {
		struct child c = child_start(team_stays, &site);
		struct wbc *other;
		uint32_t dead;
		order_u64 *word;

		child_hear(c.line);
		dead = site.c->client->proc ? 0 : 1;
		word = &site.s->procs[dead].word;
		child_kill(&c);
		order_store(word,
		            (order_load(word) & ~UINT64_C(15)) | PROC_REAPING);
		for (unsigned i = 0; i < 3; i++) {
			order_u64 *t = &site.s->threads[i].word;

			if (step == 3 || (step == 2 && i == 0))
				order_store(
					t, (order_load(t) & ~UINT64_C(0xffff)) |
						   THREAD_FREE);
		}
		other = scratch_open(&site.dir, NULL);
		tap_ok(other->client->proc != dead,
		       "REAPING, %s: nobody claims the slot", left[step]);
		tap_is_int(reap(&site), 1,
		           "REAPING, %s: another reaper takes it up (P9)",
		           left[step]);
		tap_ok((order_load(word) & 15) == PROC_FREE &&
		               scratch_threads_used(site.s) == 0,
		       "REAPING, %s: and all is free", left[step]);
		wbc_close(&other);
	}
	/* A living owner gets its slot back. */
	order_store(&site.s->procs[site.c->client->proc].word,
	            site.c->client->proc_word);
	site_close(&site);
}

static void reaps(int line, void *arg)
{
	struct site *site = arg;
	struct wbc *c = scratch_open(&site->dir, NULL);
	unsigned in_section;

	child_say(line);
	child_hear(line);
	wbci_reap(&c->client->segment, &in_section);
}

/* A reaper killed at every system call; the next one finishes. */
static void test_killed_reaper(void)
{
	unsigned n = 0, unfinished = 0, reaping = 0;
	struct site site;
	int killed;

	site_open(&site, 8, 8);
	do {
		struct child c = child_start(team_stays, &site);

		child_hear(c.line);
		child_kill(&c);
		killed = child_kill_at(reaps, &site, ++n);
		if (killed < 0) {
			tap_skip(2, "this process may not trace");
			break;
		}
		reaping += scratch_procs(site.s, PROC_REAPING);
		reap(&site);
		unfinished += scratch_procs(site.s, PROC_FREE) != 7 ||
		              scratch_threads_used(site.s) != 1;
	} while (killed);
	if (killed == 0) {
		tap_ok(unfinished == 0 && n > 4,
		       "a reaper killed at each of %u system calls is "
		       "continued by the next one (P9)",
		       n);
		tap_ok(reaping > 0, "of those, %u left REAPING", reaping);
	}
	site_close(&site);
}

/* Somebody locked the byte of a slot that is USED: he is about to give up. */
static void test_locked_by_another(void)
{
	struct flock lock = {
		.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_len = 1};
	struct holder h = {.in_section = false};
	struct site site;
	struct child c;
	int fd;

	site_open(&site, 4, 4);
	h.site = &site;
	c = child_start(hold, &h);
	child_hear(c.line);
	child_kill(&c);
	fd = open(site.dir.path, O_RDWR);
	lock.l_start = WBCI_LOCK_PROC + (site.c->client->proc ? 0 : 1);
	if (fd < 0 || fcntl(fd, F_OFD_SETLK, &lock))
		tap_bail("lock: %d", errno);
	tap_is_int(reap(&site), 0,
	           "a slot that somebody has locked is not reaped (P9)");
	tap_is_uint(scratch_procs(site.s, PROC_USED), 2, "and stays USED");
	close(fd);
	tap_is_int(reap(&site), 1, "when the lock is gone it is");
	site_close(&site);
}

/* Threads that attach, open, count and leave, all the time. */
struct churn {
	struct site *site;
	_Atomic bool stop;
	_Atomic unsigned adds;
};

static void *churns_threads(void *arg)
{
	struct churn *churn = arg;

	while (!atomic_load(&churn->stop)) {
		if (wbc_add_int64(churn->site->t, &row, 1, 1, 1))
			tap_bail("add");
		wbci_thread_end(churn->site->c->client);
		atomic_fetch_add(&churn->adds, 1);
	}
	return NULL;
}

static void *churns_handles(void *arg)
{
	struct churn *churn = arg;

	while (!atomic_load(&churn->stop)) {
		struct wbc *c = scratch_open(&churn->site->dir, NULL);

		add_many(scratch_table(c, SPEC), 1);
		wbc_close(&c);
		atomic_fetch_add(&churn->adds, 1);
	}
	return NULL;
}

static void *churns_counters(void *arg)
{
	struct churn *churn = arg;

	while (!atomic_load(&churn->stop)) {
		struct wbc_counter *counter;
		struct wbc_table *t = churn->site->t;

		if (wbc_counter_open(t, &row, 1, 1, &counter) ||
		    wbc_counter_add(counter, 1))
			tap_bail("counter");
		wbc_counter_close(&counter);
		atomic_fetch_add(&churn->adds, 1);
	}
	return NULL;
}

static void born_in_churn(int line, void *arg)
{
	struct site *site = arg;
	struct wbc_counter *counter;

	(void)line;
	add_many(site->t, 1);
	if (wbc_counter_open(site->t, &row, 1, 1, &counter) ||
	    wbc_counter_add(counter, 1))
		tap_bail("counter");
	add_many(scratch_table(site->c, SPEC), 1);
	wbc_close(&site->c);
}

static void lives_on(int line, void *arg)
{
	(void)arg;
	child_hear_end(line);
}

/* A lock is the attached process's alone: no child has a copy of it. */
static unsigned locked_free(const struct wbci_segment *s)
{
	unsigned n = 0;

	for (uint32_t i = 0; i < s->geo.n_procs; i++)
		n += (order_load(&s->procs[i].word) & 15) == PROC_FREE &&
		     is_locked(s, i);
	return n;
}

static void test_fork_in_churn(void)
{
	static void *(*const churns[])(void *) = {
		churns_threads, churns_handles, churns_counters};
	pthread_t thread[N(churns)];
	unsigned forks = 200, bad = 0, dead = 0;
	struct churn churn = {0};
	struct child idle[100];
	struct site site;

#ifdef WBC_SANITIZED
	tap_skip(5, "the sanitizers' own locks do not survive such forks");
	return;
#endif
	if (!child_can_exec()) {
		tap_skip(5,
		         "an emulator's own locks do not survive such forks");
		return;
	}
	site_open(&site, 16, 32);
	churn.site = &site;
	for (unsigned i = 0; i < N(churns); i++) {
		if (pthread_create(&thread[i], NULL, churns[i], &churn))
			tap_bail("no thread");
	}
	for (unsigned i = 0; i < forks; i++) {
		struct child c = child_start(born_in_churn, &site);

		dead += reap(&site);
		bad += child_wait(&c) != 0;
		if (i < N(idle))
			idle[i] = child_start(lives_on, NULL);
	}
	atomic_store(&churn.stop, true);
	for (unsigned i = 0; i < N(churns); i++)
		pthread_join(thread[i], NULL);
	tap_is_uint(bad, 0, "%u children forked while threads attach all work",
	            forks);
	tap_is_uint(total(&site), atomic_load(&churn.adds) + 3 * forks,
	            "and every add counts once (P3)");
	tap_is_uint(locked_free(site.s), 0,
	            "no child holds the lock of a slot that was being claimed "
	            "when it was forked (P9)");
	for (unsigned i = 0; i < N(idle); i++)
		child_kill(&idle[i]);
	tap_ok(dead == 0 && reap(&site) == 0, "nobody was taken for dead (P9)");
	tap_is_uint(scratch_procs(site.s, PROC_USED), 1,
	            "and all slots came back");
	site_close(&site);
}

/* As a server does that loads the application before it forks workers. */
struct preload {
	struct site *site;
	struct wbc_counter *counter;
	bool close;
};

enum { WORKERS = 8, BY_HANDLE = 20000, BY_KEY = 5000 };

static void worker(int line, void *arg)
{
	const struct preload *p = arg;
	struct wbc_value v = wbc_text("k", "ready", 5);

	child_say(line);
	child_hear(line);
	for (unsigned i = 0; i < BY_HANDLE; i++) {
		if (wbc_counter_add(p->counter, 1))
			tap_bail("add");
	}
	add_many(p->site->t, BY_KEY);
	if (wbc_insert(p->site->t, &v, 1, 0))
		tap_bail("insert");
	if (p->close)
		wbc_close(&p->site->c);
}

static void test_preload(bool closes)
{
	const char *how = closes ? "that close" : "that just end";
	struct preload p = {.close = closes};
	struct child c[WORKERS];
	unsigned bad = 0, dead = 0, rows = 0;
	struct site site;

	site_open(&site, 12, 12);
	p.site = &site;
	if (wbc_counter_open(site.t, &row, 1, 1, &p.counter))
		tap_bail("no counter");
	for (unsigned i = 0; i < WORKERS; i++) {
		c[i] = child_start(worker, &p);
		child_hear(c[i].line);
	}
	for (unsigned i = 0; i < WORKERS; i++)
		child_say(c[i].line);
	for (unsigned i = 0; i < WORKERS; i++) {
		for (unsigned j = 0; j < 100; j++)
			dead += reap(&site);
		bad += child_wait(&c[i]) != 0;
	}
	dead += reap(&site);
	tap_is_uint(bad, 0, "workers %s: a preloaded handle works in all", how);
	tap_is_uint(total(&site), WORKERS * (BY_HANDLE + BY_KEY),
	            "workers %s: every add counts once (P3)", how);
	for (uint32_t i = 0; i < 12; i++)
		rows += lane_rows(&site, i);
	tap_is_uint(rows, WORKERS, "workers %s: every row stands once (P3)",
	            how);
	tap_is_uint(dead, closes ? 0 : WORKERS,
	            "workers %s: who left a slot was found dead, once (P9)",
	            how);
	tap_ok(scratch_procs(site.s, PROC_USED) == 1 &&
	               scratch_threads_used(site.s) == 1,
	       "workers %s: all slots came back", how);
	site_close(&site);
}

/* What becomes_another() becomes. */
static int another(void)
{
	child_say(STDIN_FILENO);
	child_hear(STDIN_FILENO);
	return 0;
}

int main(int argc, char **argv)
{
	(void)argv;
	if (argc > 1)
		return another();
	test_claim();
	test_fork();
	test_orphans();
	test_exec();
	test_death(false);
	test_death(true);
	test_living();
	test_descriptors();
	test_threads();
	test_given_back();
	test_inherited();
	test_dead_threads();
	test_all_dead();
	test_reserved();
	test_lane();
	test_reaping();
	test_killed_reaper();
	test_locked_by_another();
	test_fork_in_churn();
	test_preload(true);
	test_preload(false);
	return tap_done();
}
