/* SPDX-License-Identifier: MIT */
/* Copyright the wbcshm authors */

/*
 * Child processes for tests: started with a line to their parent, over which
 * both say where they are, so that nobody needs to sleep; ended and reaped by
 * their pid.
 *
 *	static void work(int line, void *arg) { ...; child_say(line); ... }
 *
 *	struct child c = child_start(work, &arg);
 *	child_hear(c.line);             the child is there
 *	child_say(c.line);              let it go on
 *	tap_is_int(child_wait(&c), 0, ...);
 *
 * A line whose other end is gone is silent for ever: child_hear() says false.
 */
#ifndef CHILD_H
#define CHILD_H

#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tap/tap.h"

/* What child_wait() returns for a child that a signal ended. */
#define CHILD_SIGNAL 1000

struct child {
	pid_t pid;
	int line;
};

typedef void child_fn(int line, void *arg);

/* A child whose function returns ends with 0. */
static inline struct child child_start(child_fn *run, void *arg)
{
	struct child c;
	int ends[2];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends))
		tap_bail("socketpair: %d", errno);
	c.pid = fork();
	if (c.pid < 0)
		tap_bail("fork: %d", errno);
	if (c.pid == 0) {
		close(ends[0]);
		run(ends[1], arg);
		tap_child_exit(0);
	}
	close(ends[1]);
	c.line = ends[0];
	return c;
}

static inline void child_say(int line)
{
	char word = 'x';

	/* Nobody may be there any more: that is for child_hear() to say. */
	if (send(line, &word, 1, MSG_NOSIGNAL) != 1 && errno != EPIPE &&
	    errno != ECONNRESET)
		tap_bail("send: %d", errno);
}

static inline bool child_hear(int line)
{
	char word;
	ssize_t got;

	do
		got = recv(line, &word, 1, 0);
	while (got < 0 && errno == EINTR);
	return got == 1;
}

/* Wait until the other end is gone. */
static inline void child_hear_end(int line)
{
	while (child_hear(line))
		;
}

static inline int child_reap(pid_t pid)
{
	int status;

	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			tap_bail("waitpid: %d", errno);
	return WIFSIGNALED(status) ? CHILD_SIGNAL + WTERMSIG(status)
	                           : WEXITSTATUS(status);
}

/* Its exit status, or CHILD_SIGNAL plus the signal that ended it. */
static inline int child_wait(struct child *c)
{
	int status = child_reap(c->pid);

	close(c->line);
	return status;
}

static inline int child_kill(struct child *c)
{
	kill(c->pid, SIGKILL);
	return child_wait(c);
}

/* Stop a child, and see that it is. */
static inline void child_stop(const struct child *c)
{
	int status;

	kill(c->pid, SIGSTOP);
	if (waitpid(c->pid, &status, WUNTRACED) != c->pid ||
	    !WIFSTOPPED(status))
		tap_bail("the child did not stop");
}

static inline void child_continue(const struct child *c)
{
	kill(c->pid, SIGCONT);
}

/* Memory that this process and its children share. */
static inline void *child_shared(size_t bytes)
{
	void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
	               MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED)
		tap_bail("mmap: %d", errno);
	return p;
}

/**
 * child_refuse() - let a system call of this process fail from now on
 * @call:  its number
 * @arg:   the argument to look at, 0..5
 * @flags: refused if all of these bits are set in it; 0: always
 * @error: with this errno
 *
 * Return: false if the kernel has no seccomp filters.
 */
static inline bool child_refuse(long call, unsigned arg, uint32_t flags,
                                int error)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS,
	                 offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)call, 0, 4),
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS,
	                 (uint32_t)(offsetof(struct seccomp_data, args) +
	                            8 * arg)),
		BPF_STMT(BPF_ALU | BPF_AND | BPF_K, flags),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, flags, 0, 1),
		BPF_STMT(BPF_RET | BPF_K,
	                 SECCOMP_RET_ERRNO | ((uint32_t)error & 0xffff)),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = {
		.len = sizeof(code) / sizeof(code[0]),
		.filter = code,
	};

	return prctl(PR_SET_NO_NEW_PRIVS, 1L, 0L, 0L, 0L) == 0 &&
	       prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program, 0L, 0L) ==
	               0;
}

/**
 * child_lacks_dontfork() - does a child get what was marked MADV_DONTFORK?
 *
 * Kernels keep it from the child; an emulator of another processor may pass
 * over such advice, and then a child holds its parent's lock.
 */
static inline bool child_lacks_dontfork(void)
{
	void *p = mmap(NULL, 4096, PROT_READ | PROT_WRITE,
	               MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	bool lacks;
	pid_t pid;

	if (p == MAP_FAILED)
		tap_bail("mmap: %d", errno);
	madvise(p, 4096, MADV_DONTFORK);
	pid = fork();
	if (pid == 0)
		tap_child_exit(msync(p, 4096, MS_ASYNC) == 0);
	lacks = child_reap(pid) != 0;
	munmap(p, 4096);
	return lacks;
}

/* Can a child become this program anew?  Not under an emulator. */
static inline bool child_can_exec(void)
{
	enum { REFUSED = 77 };
	pid_t pid = fork();

	if (pid == 0) {
		close(STDIN_FILENO);
		close(STDOUT_FILENO);
		close(STDERR_FILENO);
		execl("/proc/self/exe", "again", "no such test", (char *)NULL);
		tap_child_exit(REFUSED);
	}
	return child_reap(pid) != REFUSED;
}

static inline bool child_write(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	bool done = fd >= 0 &&
	            write(fd, text, strlen(text)) == (ssize_t)strlen(text);

	if (fd >= 0)
		close(fd);
	return done;
}

/**
 * child_mount() - mount a tmpfs that this process and its children alone see
 * @path:    where
 * @options: as mount -o
 *
 * Return: false if that is not permitted here.
 */
static inline bool child_mount(const char *path, const char *options)
{
	unsigned uid = geteuid(), gid = getegid();
	char map[64];

	if (uid == 0) {
		if (unshare(CLONE_NEWNS))
			return false;
	} else {
		if (unshare(CLONE_NEWUSER | CLONE_NEWNS))
			return false;
		snprintf(map, sizeof(map), "%u %u 1", uid, uid);
		if (!child_write("/proc/self/uid_map", map) ||
		    !child_write("/proc/self/setgroups", "deny"))
			return false;
		snprintf(map, sizeof(map), "%u %u 1", gid, gid);
		if (!child_write("/proc/self/gid_map", map))
			return false;
	}
	return mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0 &&
	       mount("tmpfs", path, "tmpfs", 0, options) == 0;
}

/**
 * child_kill_at() - run a child and kill it at a system call
 * @n: at which stop, from 1: each call has one before it and one after it
 *
 * @run says when it is ready, hears the word to go on, and does its work; what
 * comes before is not counted.
 *
 * Return: 1 if it was killed there, 0 if it ended before, -1 if this process
 * may not trace.
 */
static inline int child_kill_at(child_fn *run, void *arg, unsigned n)
{
	struct child c = child_start(run, arg);
	int status = 0;

	child_hear(c.line);
	if (ptrace(PTRACE_SEIZE, c.pid, NULL, NULL)) {
		child_kill(&c);
		return -1;
	}
	ptrace(PTRACE_INTERRUPT, c.pid, NULL, NULL);
	waitpid(c.pid, &status, 0);
	child_say(c.line);
	while (n > 0 && WIFSTOPPED(status)) {
		ptrace(PTRACE_SYSCALL, c.pid, NULL, NULL);
		waitpid(c.pid, &status, 0);
		n--;
	}
	if (!WIFSTOPPED(status)) {
		close(c.line);
		return 0;
	}
	child_kill(&c);
	return 1;
}

#endif
