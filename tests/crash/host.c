/* SPDX-License-Identifier: MIT */
/* Copyright the wbcshm authors */

/* The machine around a rig: programs, users, files. */

#include "rig.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tap/tap.h"

#define NOBODY 65534

int64_t rig_file_bytes(const char *path)
{
	struct stat st;

	return stat(path, &st) < 0 ? 0 : (int64_t)st.st_size;
}

int64_t rig_journal_bytes(const struct rig *r)
{
	char path[PATH_MAX + 16];

	snprintf(path, sizeof(path), "%s/data.mdb", r->journal);
	return rig_file_bytes(path);
}

/* Everything that comes out of a pipe; what is too long is dropped. */
static void read_all(int fd, char *text, size_t size)
{
	size_t have = 0;
	char rest[4096];
	ssize_t n;

	do {
		bool full = have == size - 1;

		n = full ? read(fd, rest, sizeof(rest))
		         : read(fd, text + have, size - 1 - have);
		if (n > 0 && !full)
			have += (size_t)n;
	} while (n > 0 || (n < 0 && errno == EINTR));
	text[have] = '\0';
}

int rig_run(const char *const *argv, char *text, size_t size)
{
	pid_t pid, parent = getpid();
	int ends[2], status;

	if (pipe2(ends, O_CLOEXEC))
		tap_bail("pipe: %s", strerror(errno));
	pid = fork();
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (getppid() != parent || dup2(ends[1], 1) < 0 ||
		    dup2(ends[1], 2) < 0)
			_exit(127);
		execvp(argv[0], (char *const *)(uintptr_t)argv);
		_exit(127);
	}
	if (pid < 0)
		tap_bail("fork: %s", strerror(errno));
	close(ends[1]);
	read_all(ends[0], text, size);
	close(ends[0]);
	waitpid(pid, &status, 0);
	return WIFSIGNALED(status) ? RIG_SIGNALLED(WTERMSIG(status))
	                           : WEXITSTATUS(status);
}

const char *rig_be_nobody(void)
{
	const char *const argv[] = {"wbc-flusher", "--version", NULL};
	const char *tmp = getenv("TMPDIR");
	char text[256];

	if (geteuid() != 0)
		return NULL;
	if (!tmp || chown(tmp, NOBODY, NOBODY) || setgroups(0, NULL) ||
	    setresgid(NOBODY, NOBODY, NOBODY) ||
	    setresuid(NOBODY, NOBODY, NOBODY))
		return "cannot become another user";
	/* Or no child could attach: /proc/self/fd would not be ours. */
	prctl(PR_SET_DUMPABLE, 1);
	if (rig_run(argv, text, sizeof(text)) != 0)
		return "another user cannot run the flusher from here";
	return NULL;
}

static void names(const struct rig *r, const char *name, const char *to,
                  char *from_path, char *to_path)
{
	snprintf(from_path, PATH_MAX, "%s/%s", r->dir, name);
	snprintf(to_path, PATH_MAX, "%s/%s", r->dir, to);
}

void rig_copy(const struct rig *r, const char *name, const char *to)
{
	char from[PATH_MAX], there[PATH_MAX], text[512];
	/* -T: in place of the target, not into it. */
	const char *const argv[] = {"cp",  "-aT", "--sparse=always", "--", from,
	                            there, NULL};

	names(r, name, to, from, there);
	if (rig_run(argv, text, sizeof(text)))
		tap_bail("cp %s: %s", from, text);
}

void rig_move(const struct rig *r, const char *name, const char *to)
{
	char from[PATH_MAX], there[PATH_MAX];

	names(r, name, to, from, there);
	if (rename(from, there))
		tap_bail("%s: %s", from, strerror(errno));
}
