/* SPDX-License-Identifier: MIT */
/* Copyright the wbcshm authors */

#include "run.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "compare.h"
#include "screen.h"

#define TICK_MS 10
#define AWAY_S 0.3 /* how long the flusher is away after a kill */

/*
 * A small pipe: the extra worker is never far ahead of what we have read, and
 * leaves the processor to the others.
 */
#define REPORT_PIPE_BYTES 16384

volatile sig_atomic_t interrupted;

uint64_t run_passes(const struct run *r, unsigned worker)
{
	return atomic_load_explicit(&r->progress[worker].passes,
	                            memory_order_relaxed);
}

uint64_t run_adds(const struct run *r)
{
	uint64_t sum = 0;
	unsigned i;

	for (i = 0; i < r->opt->workers; i++)
		sum += atomic_load_explicit(&r->progress[i].adds,
		                            memory_order_relaxed);
	return sum;
}

/* One pass over every @step-th file from @first on. */
static int pass_over(struct run *r, unsigned first, unsigned step,
                     uint64_t pass)
{
	struct counting *w = r->counting;
	size_t i;

	for (i = first; i < r->files->n; i += step) {
		uint64_t words;

		if (count_file(w, r->files->path[i], &words))
			return 1;
		if (w->report < 0 &&
		    log_file(w, first, (int64_t)pass, r->files->path[i], words))
			return 1;
	}
	return 0;
}

/* In a child.  The parent's handles are used as they are. */
_Noreturn static void work(struct run *r, unsigned me, pid_t parent)
{
	struct counting *w = r->counting;
	uint64_t pass = 0;
	int rc;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		_exit(1);
	w->progress = &r->progress[me];
	do {
		rc = pass_over(r, me, r->opt->workers, ++pass);
		if (!rc)
			atomic_store(&w->progress->passes, pass);
	} while (!rc && now_s() < r->start_s + r->opt->seconds);
	if (rc)
		screen_error("worker %u: %s", me, w->message);
	_exit(rc);
}

/*
 * The extra worker counts until it is killed.  What it writes into its pipe
 * is what it has been told that it counts, since the add returned 0.
 */
_Noreturn static void work_until_killed(struct run *r, int pipe, pid_t parent)
{
	struct counting *w = r->counting;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		_exit(1);
	w->progress = &r->progress[r->opt->workers];
	w->prefix = EXTRA_PREFIX;
	w->report = pipe;
	while (pass_over(r, 0, 1, 0) == 0)
		;
	screen_error("extra worker: %s", w->message);
	_exit(1);
}

static int start_workers(struct run *r)
{
	pid_t parent = getpid();
	int ends[2];
	unsigned i;

	if (pipe2(ends, O_CLOEXEC)) {
		screen_error("pipe: %s", strerror(errno));
		return 1;
	}
	fcntl(ends[1], F_SETPIPE_SZ, REPORT_PIPE_BYTES);
	fcntl(ends[0], F_SETFL, O_NONBLOCK);
	fflush(stdout);
	r->start_s = now_s();
	for (i = 0; i < r->opt->workers; i++) {
		r->worker[i] = fork();
		if (r->worker[i] == 0)
			work(r, i, parent);
		if (r->worker[i] < 0)
			goto fork_failed;
	}
	r->extra = fork();
	if (r->extra == 0)
		work_until_killed(r, ends[1], parent);
	if (r->extra < 0)
		goto fork_failed;
	close(ends[1]);
	r->report_pipe = ends[0];
	r->report_file =
		open(r->report, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	return r->report_file < 0;
fork_failed:
	screen_error("fork: %s", strerror(errno));
	return 1;
}

/* xorshift64*: the moments depend on nothing but the seed. */
static double random_unit(uint64_t *state)
{
	*state ^= *state >> 12;
	*state ^= *state << 25;
	*state ^= *state >> 27;
	return (double)((*state * UINT64_C(2685821657736338717)) >> 11) /
	       (double)(UINT64_C(1) << 53);
}

static int by_time(const void *a, const void *b)
{
	const struct event *x = a, *y = b;

	return (x->at_s > y->at_s) - (x->at_s < y->at_s);
}

/* All kills come between 20 % and 80 % of the run. */
static void plan_kills(struct run *r)
{
	uint64_t state = r->opt->seed * 2 + 1;
	double s = r->opt->seconds, kill[2];
	unsigned i;

	for (i = 0; i < 8; i++)
		random_unit(&state);
	do {
		kill[0] = s * (0.2 + 0.6 * random_unit(&state));
		kill[1] = s * (0.2 + 0.6 * random_unit(&state));
		/* The second is to meet a flusher that is at work again. */
	} while (kill[1] - kill[0] < 0.1 * s || kill[1] - kill[0] < 2 * AWAY_S);
	for (i = 0; i < KILLS; i++) {
		r->events[2 * i].at_s = kill[i];
		r->events[2 * i].deed = KILL_FLUSHER;
		r->events[2 * i + 1].at_s = kill[i] + AWAY_S;
		r->events[2 * i + 1].deed = START_FLUSHER;
	}
	r->events[2 * KILLS].at_s = s * (0.2 + 0.6 * random_unit(&state));
	r->events[2 * KILLS].deed = KILL_EXTRA;
	qsort(r->events, EVENTS, sizeof(r->events[0]), by_time);
}

static int start_flusher(struct run *r)
{
	int rc = flusher_start(r->flusher);

	if (rc)
		screen_error("starting the flusher: %s", strerror(-rc));
	return rc ? 1 : 0;
}

/* What the extra worker has reported so far, into the file. */
static int drain_report(struct run *r)
{
	char text[65536];
	ssize_t got;

	while ((got = read(r->report_pipe, text, sizeof(text))) > 0) {
		if (write(r->report_file, text, (size_t)got) != got) {
			screen_error("%s: %s", r->report, strerror(errno));
			return 1;
		}
	}
	return 0;
}

static void end_child(pid_t *pid)
{
	if (*pid > 0) {
		kill(*pid, SIGKILL);
		waitpid(*pid, NULL, 0);
	}
	*pid = 0;
}

static int do_event(struct run *r, const struct event *e)
{
	double t = now_s() - r->start_s;
	pid_t pid = r->flusher->pid;

	switch (e->deed) {
	case KILL_FLUSHER:
		flusher_kill(r->flusher);
		r->adds_at_kill[r->flusher->kills - 1] = run_adds(r);
		screen_say("  %5.1f s  %15s adds   flusher %d killed\n", t,
		           grouped(run_adds(r)), (int)pid);
		return 0;
	case START_FLUSHER:
		if (start_flusher(r))
			return 1;
		screen_say("  %5.1f s  %15s adds   flusher %d started\n", t,
		           grouped(run_adds(r)), (int)r->flusher->pid);
		return 0;
	case KILL_EXTRA:
		pid = r->extra;
		end_child(&r->extra);
		screen_say("  %5.1f s  %15s adds   extra worker %d killed\n", t,
		           grouped(run_adds(r)), (int)pid);
		return drain_report(r);
	}
	return 1;
}

/* Look after everybody once: -1 something is wrong, else who still works. */
static int look_after(struct run *r)
{
	int working = 0;
	unsigned i;

	if (interrupted)
		return -1;
	for (i = 0; i < r->opt->workers; i++) {
		int status = r->worker[i] ? child_wait(r->worker[i], 0) : 0;

		working += status == -ETIMEDOUT;
		if (status == 0) {
			r->worker[i] = 0;
		} else if (status != -ETIMEDOUT) {
			r->worker[i] = 0;
			screen_error("worker %u failed", i);
			return -1;
		}
	}
	if (r->extra && child_wait(r->extra, 0) != -ETIMEDOUT) {
		r->extra = 0;
		screen_error("the extra worker failed");
		return -1;
	}
	if (flusher_failed(r->flusher)) {
		screen_error("the flusher ended by itself");
		flusher_show_log(r->flusher);
		return -1;
	}
	return working;
}

/* From the start of the workers until the last has made its last pass. */
static int look_on(struct run *r)
{
	unsigned next = 0;
	int working;

	do {
		double t = now_s() - r->start_s;

		while (next < EVENTS && r->events[next].at_s <= t) {
			if (do_event(r, &r->events[next++]))
				return 1;
		}
		if (drain_report(r))
			return 1;
		working = look_after(r);
		if (working < 0)
			return 1;
		screen_progress(t, run_adds(r), r->flusher->pid != 0);
		sleep_ms(TICK_MS);
	} while (working || next < EVENTS);
	r->took_s = now_s() - r->start_s;
	screen_say("  %5.1f s  %15s adds   all workers are done\n", r->took_s,
	           grouped(run_adds(r)));
	return 0;
}

static size_t progress_bytes(const struct run *r)
{
	return (r->opt->workers + 1) * sizeof(*r->progress);
}

static int make_progress(struct run *r)
{
	r->progress = mmap(NULL, progress_bytes(r), PROT_READ | PROT_WRITE,
	                   MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (r->progress != MAP_FAILED)
		return 0;
	r->progress = NULL;
	screen_error("mmap: %s", strerror(errno));
	return 1;
}

int run_workers(struct run *r)
{
	plan_kills(r);
	return make_progress(r) || start_workers(r) || look_on(r);
}

void run_end(struct run *r)
{
	unsigned i;

	for (i = 0; i < WORKERS_MAX; i++)
		end_child(&r->worker[i]);
	end_child(&r->extra);
	if (r->progress)
		munmap(r->progress, progress_bytes(r));
	r->progress = NULL;
}
