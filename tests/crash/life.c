/* SPDX-License-Identifier: MIT */
/* Copyright the wbcshm authors */

#include "life.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "crash/tracer.h"
#include "tap/tap.h"

#define OPTIONS                                                                \
	(PTRACE_O_EXITKILL | PTRACE_O_TRACECLONE | PTRACE_O_TRACEEXEC |        \
	 PTRACE_O_TRACESYSGOOD)
#define STEPS_MAX 50000000ul

/* System calls that change what is in a file or folder. */
static const long writers[] = {
	SYS_write,     SYS_writev,   SYS_pwrite64,  SYS_pwritev,   SYS_fsync,
	SYS_fdatasync, SYS_msync,    SYS_ftruncate, SYS_fallocate, SYS_renameat,
	SYS_renameat2, SYS_unlinkat, SYS_mkdirat,   SYS_linkat,
#ifdef SYS_open
	SYS_unlink,    SYS_mkdir,    SYS_rename,
#endif
};

static bool is_writer(long call)
{
	for (size_t i = 0; i < sizeof(writers) / sizeof(writers[0]); i++)
		if (writers[i] == call)
			return true;
	return false;
}

static struct life_thread *find(struct life *l, pid_t tid)
{
	struct life_thread *none = NULL;

	for (unsigned i = 0; i < LIFE_THREADS; i++) {
		if (l->thread[i].tid == tid)
			return &l->thread[i];
		if (!l->thread[i].tid)
			none = &l->thread[i];
	}
	if (!none)
		tap_bail("the flusher has too many threads");
	memset(none, 0, sizeof(*none));
	none->tid = tid;
	none->call = -1;
	return none;
}

static void go_on(const struct life *l, struct life_thread *t, int sig)
{
	void *data = (void *)(intptr_t)sig;
	long rc;

	t->stopped = false;
	if (l->mode == LIFE_CALLS)
		rc = ptrace(PTRACE_SYSCALL, t->tid, NULL, data);
	else if (t->tid == l->collector)
		rc = ptrace(PTRACE_SINGLESTEP, t->tid, NULL, data);
	else
		rc = ptrace(PTRACE_CONT, t->tid, NULL, data);
	if (rc && errno != ESRCH)
		tap_bail("ptrace: %s", strerror(errno));
}

/* Everybody else stands still, too.  Why they stop is looked at later. */
static void halt_others(struct life *l, const struct life_thread *me)
{
	for (unsigned i = 0; i < LIFE_THREADS; i++) {
		struct life_thread *t = &l->thread[i];

		if (!t->tid || t == me || t->stopped)
			continue;
		ptrace(PTRACE_INTERRUPT, t->tid, NULL, NULL);
		if (waitpid(t->tid, &t->status, __WALL) != t->tid)
			continue;
		t->pending = true;
		t->stopped = WIFSTOPPED(t->status);
	}
}

static bool at_instant(struct life *l, const struct life_thread *t,
                       life_fn *instant, void *arg)
{
	halt_others(l, t);
	l->at = t->tid;
	l->call = t->call;
	l->instants++;
	return instant(arg, l);
}

/* A file that is made counts, one that is read does not, nor does the log. */
static bool is_of_interest(const struct __ptrace_syscall_info *info)
{
	long call = (long)info->entry.nr;

	if (call == SYS_openat)
		return info->entry.args[2] & O_CREAT;
#ifdef SYS_open
	if (call == SYS_open)
		return info->entry.args[1] & O_CREAT;
#endif
	return is_writer(call) &&
	       !(call == SYS_write && info->entry.args[0] == STDERR_FILENO);
}

/* It enters or leaves a system call.  True: this is an instant. */
static bool see_call(struct life_thread *t)
{
	struct __ptrace_syscall_info info;
	bool was;

	memset(&info, 0, sizeof(info));
	if (ptrace(PTRACE_GET_SYSCALL_INFO, t->tid,
	           (void *)(uintptr_t)sizeof(info), &info) <= 0)
		return false;
	if (info.op == PTRACE_SYSCALL_INFO_ENTRY) {
		t->call = is_of_interest(&info) ? (long)info.entry.nr : -1;
		return false;
	}
	was = t->call >= 0;
	return was && info.op == PTRACE_SYSCALL_INFO_EXIT;
}

/* One stop of one thread.  False: the caller wants no more. */
static bool see(struct life *l, struct life_thread *t, life_fn *instant,
                void *arg)
{
	int sig = WSTOPSIG(t->status), event = t->status >> 16;
	bool more = true;

	if (event == PTRACE_EVENT_CLONE) {
		unsigned long born = 0;

		ptrace(PTRACE_GETEVENTMSG, t->tid, NULL, &born);
		/* The main thread begins the collector, which begins others. */
		if (!l->collector)
			l->collector = (pid_t)born;
		sig = 0;
	} else if (event) {
		sig = 0;
	} else if (sig == (SIGTRAP | 0x80)) {
		if (see_call(t))
			more = at_instant(l, t, instant, arg);
		sig = 0;
	} else if (sig == SIGTRAP) {
		l->steps++;
		if (l->mode == LIFE_STORES && watch_changed(&l->watch))
			more = at_instant(l, t, instant, arg);
		sig = 0;
	}
	if (more)
		go_on(l, t, sig);
	return more;
}

/* The next stop that was not looked at; NULL: nobody is left. */
static struct life_thread *next(struct life *l)
{
	struct life_thread *t;
	int status;
	pid_t tid;

	for (unsigned i = 0; i < LIFE_THREADS; i++) {
		if (l->thread[i].tid && l->thread[i].pending) {
			l->thread[i].pending = false;
			return &l->thread[i];
		}
	}
	tid = waitpid(-1, &status, __WALL);
	if (tid < 0)
		return NULL;
	t = find(l, tid);
	t->status = status;
	t->stopped = WIFSTOPPED(status);
	return t;
}

static void seize(struct life *l)
{
	int status;

	l->rig->halted = true;
	rig_spawn(l->rig, NULL);
	l->rig->halted = false;
	if (waitpid(l->rig->pid, &status, WUNTRACED) != l->rig->pid ||
	    !WIFSTOPPED(status) ||
	    ptrace(PTRACE_SEIZE, l->rig->pid, NULL, OPTIONS))
		tap_bail("the flusher cannot be traced: %s", strerror(errno));
	find(l, l->rig->pid);
	kill(l->rig->pid, SIGCONT);
}

/* Not before it serves, and has looked at everything: till then SIGTERM is
 * not yet what it waits for. */
static bool has_lived(const struct life *l)
{
	struct control_shm *c = l->s->control;

	return order_load(&c->generation) > l->generation &&
	       order_load(&c->synced) > l->synced + 2 && l->enough(l->s);
}

bool life_live(struct life *l, life_fn *instant, void *arg)
{
	struct life_thread *t;
	int ended = -1;

	l->generation = order_load(&l->s->control->generation);
	l->synced = order_load(&l->s->control->synced);
	watch_begin(&l->watch, l->s);
	seize(l);
	while ((t = next(l))) {
		if (!WIFSTOPPED(t->status)) {
			if (t->tid == l->rig->pid)
				ended = t->status;
			t->tid = 0;
			continue;
		}
		if (!see(l, t, instant, arg) || l->steps > STEPS_MAX) {
			kill(l->rig->pid, SIGKILL);
			while (waitpid(-1, &ended, __WALL) > 0)
				;
			break;
		}
		if (!l->told && has_lived(l)) {
			l->told = true;
			kill(l->rig->pid, SIGTERM);
		}
	}
	watch_end(&l->watch);
	l->rig->pid = 0;
	return WIFSIGNALED(ended) ? WTERMSIG(ended) == SIGKILL
	                          : WIFEXITED(ended) && !WEXITSTATUS(ended);
}

const char *life_place(const struct life *l)
{
	static char text[600];
	struct victim v = {.tid = l->at};

	if (l->mode == LIFE_CALLS)
		snprintf(text, sizeof(text), "after system call %ld, at %s",
		         l->call, victim_place(&v));
	else
		snprintf(text, sizeof(text), "before %s", victim_place(&v));
	return text;
}
