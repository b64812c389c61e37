/* SPDX-License-Identifier: MIT */
/* Copyright the wbcshm authors */

#include "supervise.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

double now_s(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

void sleep_ms(long ms)
{
	struct timespec t = {ms / 1000, ms % 1000 * 1000000};

	nanosleep(&t, NULL);
}

int child_wait(pid_t pid, int timeout_ms)
{
	double end = now_s() + timeout_ms / 1e3;
	int status;

	for (;;) {
		pid_t got = waitpid(pid, &status, WNOHANG);

		if (got == pid && WIFEXITED(status))
			return WEXITSTATUS(status);
		if (got == pid && WIFSIGNALED(status))
			return 128 + WTERMSIG(status);
		if (got < 0 && errno != EINTR)
			return -errno;
		if (now_s() >= end)
			return -ETIMEDOUT;
		sleep_ms(5);
	}
}

bool program_exists(const char *name)
{
	const char *path = getenv("PATH");
	char file[4096];

	if (strchr(name, '/'))
		return access(name, X_OK) == 0;
	while (path && *path) {
		size_t len = strcspn(path, ":");

		snprintf(file, sizeof(file), "%.*s/%s", (int)len, path, name);
		if (access(file, X_OK) == 0)
			return true;
		path += len + (path[len] == ':');
	}
	return false;
}

/* In the child: the log is its standard error, and no parent is its end. */
_Noreturn static void become_flusher(const struct flusher *f, pid_t parent)
{
	int log;

	prctl(PR_SET_PDEATHSIG, SIGTERM);
	if (getppid() != parent)
		_exit(127);
	log = open(f->log, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
	if (log < 0 || dup2(log, STDERR_FILENO) < 0)
		_exit(127);
	signal(SIGINT, SIG_IGN); /* we decide when it ends */
	execvp(f->argv[0], (char *const *)(uintptr_t)f->argv);
	dprintf(STDERR_FILENO, "%s: %s\n", f->argv[0], strerror(errno));
	_exit(127);
}

int flusher_start(struct flusher *f)
{
	pid_t parent = getpid();
	pid_t pid = fork();

	if (pid < 0)
		return -errno;
	if (pid == 0)
		become_flusher(f, parent);
	f->pid = pid;
	return 0;
}

void flusher_kill(struct flusher *f)
{
	if (!f->pid)
		return;
	kill(f->pid, SIGKILL);
	waitpid(f->pid, NULL, 0);
	f->pid = 0;
	f->kills++;
}

int flusher_stop(struct flusher *f, int timeout_ms)
{
	int status;

	if (!f->pid)
		return 0;
	kill(f->pid, SIGTERM);
	status = child_wait(f->pid, timeout_ms);
	if (status != -ETIMEDOUT)
		f->pid = 0;
	return status;
}

bool flusher_failed(struct flusher *f)
{
	if (!f->pid || child_wait(f->pid, 0) == -ETIMEDOUT)
		return false;
	f->pid = 0;
	return true;
}

void flusher_show_log(const struct flusher *f)
{
	FILE *log = fopen(f->log, "re");
	char line[2048];
	long size;

	if (!log)
		return;
	fprintf(stderr, "the end of the flusher's log:\n");
	fseek(log, 0, SEEK_END);
	size = ftell(log);
	fseek(log, size > 2000 ? size - 2000 : 0, SEEK_SET);
	if (size > 2000 && !fgets(line, sizeof(line), log))
		line[0] = '\0'; /* the rest of a line */
	while (fgets(line, sizeof(line), log))
		fprintf(stderr, "  %s", line);
	fclose(log);
}

int flusher_statements(const struct flusher *f, const char *table,
                       uint64_t *statements, uint64_t *unlogged)
{
	static const char field[] = " statements=";
	FILE *log = fopen(f->log, "re");
	char line[4096], wanted[128];

	if (!log)
		return -errno;
	*statements = 0;
	*unlogged = 0;
	snprintf(wanted, sizeof(wanted), " table=%s ", table);
	while (fgets(line, sizeof(line), log)) {
		char *found = strstr(line, field);

		if (!strstr(line, wanted))
			continue;
		if (found && strstr(line, " event=applied "))
			*statements +=
				strtoull(found + sizeof(field) - 1, NULL, 10);
		*unlogged += strstr(line, " event=already-applied ") != NULL;
	}
	fclose(log);
	return 0;
}
