/* SPDX-License-Identifier: MIT */
/* Copyright the wbcshm authors */

/* The journal's directory, and the lock on it. */

#include "journal.h"
#include "lock.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

int wbci_journal_sync(const char *dir)
{
	int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int error = 0;

	if (fd < 0)
		return -errno;
	if (fsync(fd) < 0)
		error = -errno;
	close(fd);
	return error;
}

/* Make a directory whose name survives a loss of power. */
static int make_directory(const char *dir, const struct wbci_message *m)
{
	char parent[PATH_MAX];
	char *slash;

	if (mkdir(dir, 0700) < 0) {
		if (errno == EEXIST)
			return 0;
		return wbci_say(m, -errno,
		                "journal: %s: cannot make the "
		                "directory: %s",
		                dir, strerror(errno));
	}
	snprintf(parent, sizeof(parent), "%s", dir);
	for (size_t n = strlen(parent); n > 1 && parent[n - 1] == '/'; n--)
		parent[n - 1] = '\0';
	slash = strrchr(parent, '/');
	if (slash == parent)
		slash++;
	if (slash)
		*slash = '\0';
	wbci_journal_sync(slash ? parent : ".");
	return 0;
}

static void read_holder(int fd, char *holder, size_t size)
{
	ssize_t n = pread(fd, holder, size - 1, 0);

	holder[n > 0 ? n : 0] = '\0';
	holder[strspn(holder, "pid 0123456789")] = '\0';
}

/* The pid in it, or 0. */
static pid_t holder_pid(const char *holder)
{
	long pid;

	if (strncmp(holder, "pid ", 4))
		return 0;
	pid = strtol(holder + 4, NULL, 10);
	return pid > 0 && pid <= INT_MAX ? (pid_t)pid : 0;
}

int wbci_journal_lock(const char *dir, bool create,
                      const struct wbci_message *m)
{
	struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
	char path[PATH_MAX];
	char holder[32];
	int error;
	int fd;

	error = create ? make_directory(dir, m) : 0;
	if (error)
		return error;
	if (snprintf(path, sizeof(path), "%s/lock", dir) >= (int)sizeof(path))
		return wbci_say(m, -ENAMETOOLONG,
		                "journal: its path is too long: %s", dir);
	fd = open(path,
	          O_RDWR | O_CLOEXEC | O_NOFOLLOW | (create ? O_CREAT : 0),
	          0600);
	if (fd < 0)
		return wbci_say(m, -errno, "journal: %s: cannot open: %s", path,
		                strerror(errno));
	read_holder(fd, holder, sizeof(holder));
	error = wbci_lock_file(fd, &lock, holder_pid(holder));
	if (error) {
		read_holder(fd, holder, sizeof(holder));
		close(fd);
		return wbci_say(m, error,
		                "journal: %s: in use by another flusher (%s); "
		                "one journal serves one segment",
		                dir, *holder ? holder : "its pid is not known");
	}
	snprintf(holder, sizeof(holder), "pid %d\n", (int)getpid());
	/* For display only, so nobody minds if it fails. */
	if (ftruncate(fd, 0) < 0 || pwrite(fd, holder, strlen(holder), 0) < 0)
		return fd;
	return fd;
}
