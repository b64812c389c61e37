/* SPDX-License-Identifier: MIT */
/* Copyright the wbcshm authors */

/* Locks that say that a flusher is alive: the segment's and the journal's. */
#ifndef WBCI_LOCK_H
#define WBCI_LOCK_H

#include <fcntl.h>
#include <sys/types.h>

/**
 * wbci_lock_file() - take an OFD lock, with patience for the dead
 * @fd:     whose closing gives it back
 * @lock:   l_type F_WRLCK
 * @holder: who is said to have it; 0: not known
 *
 * The lock of a flusher that was killed may be there for some time after its
 * parent was told of its death, and whoever starts another at once is not to be
 * told that one is alive.
 *
 * Blocks: for half a second, if somebody keeps the lock; for ten, while no
 * process has the holder's pid.
 *
 * Return: 0, -EBUSY, -errno.
 */
int wbci_lock_file(int fd, struct flock *lock, pid_t holder);

#endif
