/* SPDX-License-Identifier: MIT */
/* Copyright the wbcshm authors */

#include "tracer.h"

#include <errno.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tap/tap.h"

#define OPTIONS                                                                \
	(PTRACE_O_EXITKILL | PTRACE_O_TRACECLONE | PTRACE_O_TRACEFORK |        \
	 PTRACE_O_TRACEVFORK)

static _Noreturn void become_victim(const char *const *argv)
{
	char *args[16];
	size_t n = 0;

	setpgid(0, 0);
	/* Else the first calls of functions are the loader's work. */
	setenv("LD_BIND_NOW", "1", 1);
	while (argv[n] && n < 15) {
		args[n] = strdup(argv[n]);
		n++;
	}
	args[n] = NULL;
	ptrace(PTRACE_TRACEME, 0, NULL, NULL);
	execv(args[0], args);
	_exit(127);
}

const char *tracer_unable(void)
{
	int status = 0;
	pid_t pid;

	if (tap_sanitized(NULL))
		return "a sanitizer's code is not the code that ships";
	pid = fork();
	if (pid == 0) {
		if (ptrace(PTRACE_TRACEME, 0, NULL, NULL))
			_exit(1);
		raise(SIGSTOP);
		for (;;)
			pause();
	}
	waitpid(pid, &status, 0);
	if (!WIFSTOPPED(status))
		return "ptrace is not permitted here";
	if (ptrace(PTRACE_SINGLESTEP, pid, NULL, NULL) ||
	    waitpid(pid, &status, 0) != pid || !WIFSTOPPED(status)) {
		kill(pid, SIGKILL);
		waitpid(pid, NULL, 0);
		return "ptrace cannot step here";
	}
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	return NULL;
}

static void go_on(pid_t tid, bool one_step, int sig)
{
	void *data = (void *)(intptr_t)sig;
	long rc = one_step ? ptrace(PTRACE_SINGLESTEP, tid, NULL, data)
	                   : ptrace(PTRACE_CONT, tid, NULL, data);

	if (rc && errno != ESRCH)
		tap_bail("ptrace: %s", strerror(errno));
}

void victim_start(struct victim *v, const char *const *argv)
{
	int status;

	memset(v, 0, sizeof(*v));
	v->pid = fork();
	if (v->pid < 0)
		tap_bail("fork: %s", strerror(errno));
	if (v->pid == 0)
		become_victim(argv);
	setpgid(v->pid, v->pid);
	if (waitpid(v->pid, &status, 0) != v->pid || !WIFSTOPPED(status))
		tap_bail("%s: it does not start", argv[0]);
	ptrace(PTRACE_SETOPTIONS, v->pid, NULL, OPTIONS);
	go_on(v->pid, false, 0);
	for (;;) {
		pid_t tid = waitpid(-v->pid, &status, __WALL);
		int sig;

		if (tid < 0)
			tap_bail("%s: it ends before its mark", argv[0]);
		if (!WIFSTOPPED(status))
			continue;
		sig = WSTOPSIG(status);
		if (sig == SIGUSR1) {
			v->tid = tid;
			return;
		}
		/* Events, and the stop that a newcomer begins with. */
		if (sig == SIGTRAP || sig == SIGSTOP)
			sig = 0;
		go_on(tid, false, sig);
	}
}

enum step victim_step(struct victim *v)
{
	int status;

	go_on(v->tid, true, 0);
	if (waitpid(v->tid, &status, __WALL) != v->tid)
		return STEP_LOST;
	if (WIFEXITED(status))
		return STEP_ENDED;
	if (!WIFSTOPPED(status))
		return STEP_LOST;
	switch (WSTOPSIG(status)) {
	case SIGTRAP:
		return STEP_DONE;
	case SIGUSR2:
		return STEP_ENDED;
	default:
		return STEP_LOST;
	}
}

static uint64_t instruction_pointer(const struct victim *v)
{
	struct __ptrace_syscall_info info;

	memset(&info, 0, sizeof(info));
	if (ptrace(PTRACE_GET_SYSCALL_INFO, v->tid,
	           (void *)(uintptr_t)sizeof(info), &info) <= 0)
		return 0;
	return info.instruction_pointer;
}

const char *victim_place(const struct victim *v)
{
	static char text[512];
	unsigned long long at = instruction_pointer(v), from, to, offset;
	char line[512], path[64];
	FILE *maps;
	int name;

	snprintf(text, sizeof(text), "%#llx", at);
	snprintf(path, sizeof(path), "/proc/%d/maps", (int)v->tid);
	maps = fopen(path, "re");
	while (maps && fgets(line, sizeof(line), maps)) {
		if (sscanf(line, "%llx-%llx %*s %llx %*s %*s %n", &from, &to,
		           &offset, &name) != 3 ||
		    at < from || at >= to)
			continue;
		line[strcspn(line, "\n")] = '\0';
		snprintf(text, sizeof(text), "%.400s+%#llx", line + name,
		         at - from + offset);
	}
	if (maps)
		fclose(maps);
	return text;
}

/* Until nobody of its group is left; true if the program ended with 0. */
static bool drain(struct victim *v)
{
	bool good = false;

	for (;;) {
		int status;
		pid_t tid = waitpid(-v->pid, &status, __WALL);

		if (tid < 0)
			return good;
		if (WIFSTOPPED(status)) {
			int sig = WSTOPSIG(status);

			if (sig == SIGTRAP || sig == SIGSTOP ||
			    sig == SIGUSR1 || sig == SIGUSR2)
				sig = 0;
			go_on(tid, false, sig);
		} else if (tid == v->pid) {
			good = WIFEXITED(status) && WEXITSTATUS(status) == 0;
		}
	}
}

void victim_kill(struct victim *v)
{
	v->killed = true;
	kill(v->tid, SIGKILL);
	drain(v);
}

bool victim_finish(struct victim *v)
{
	go_on(v->tid, false, 0);
	return drain(v);
}
