/* SPDX-License-Identifier: MIT */
/* Copyright the wbcshm authors */

#include "lock.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>

#define TRIES 50
#define TRIES_DEAD 1000
#define BETWEEN_MS 10

static int try_lock(int fd, struct flock *lock)
{
	if (!fcntl(fd, F_OFD_SETLK, lock))
		return 0;
	return errno == EAGAIN || errno == EACCES ? -EBUSY : -errno;
}

static bool is_gone(pid_t pid)
{
	return pid > 0 && kill(pid, 0) && errno == ESRCH;
}

int wbci_lock_file(int fd, struct flock *lock, pid_t holder)
{
	int error = try_lock(fd, lock);

	/* No event tells when the kernel has closed the files of the dead. */
	for (int i = 0; error == -EBUSY &&
	                i < (is_gone(holder) ? TRIES_DEAD : TRIES);
	     i++) {
		poll(NULL, 0, BETWEEN_MS);
		error = try_lock(fd, lock);
	}
	return error;
}
