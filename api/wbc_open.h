/* SPDX-License-Identifier: MIT */
/* Copyright the wbcshm authors */

/* Opening and closing a segment.  Included by wbcshm.h. */
#ifndef WBC_OPEN_H
#define WBC_OPEN_H

#include <stddef.h>
#include <stdint.h>

#include "wbc_error.h"

#ifdef __cplusplus
extern "C" {
#endif

struct wbc;

/* wbc_options.flags */
#define WBC_CREATE 1u    /* create the segment if there is none */
#define WBC_EXCLUSIVE 2u /* with WBC_CREATE: -EEXIST if there is one */

/**
 * struct wbc_options - how to open, and what a new segment is like
 * @flags:        WBC_CREATE, WBC_EXCLUSIVE
 * @mode:         permission bits of a new segment; 0 means 0600
 * @group:        group id of a new segment; -1 leaves it
 * @max_bytes:    the most that the rows and index of a new segment may ever
 *                take; 0 means 4 GiB.  Fixed parts and lanes come on top.
 *                Memory is taken as it is needed, 2 MiB at a time
 * @capacity:     how many keys a new segment is laid out for; 0 means
 *                262144.  More are allowed and cost a little more each
 * @procs:        process slots of a new segment, at least 2: the last one
 *                is left to the flusher; 0 means 128
 * @threads:      thread slots of a new segment, likewise; 0 means 256
 * @lane_bytes:   size of each thread's ring for inserts, a power of two from
 *                4096; 0 means 262144
 * @full_wait_ms: how long a call that makes a new row may wait for memory, in
 *                a full segment in which a flusher is at work; 0 means 1000,
 *                negative not to wait
 * @load_wait_ms: how long a call that reads a row may wait for the flusher to
 *                read it from the database; 0 means 1000, negative not to
 *                wait: what is not known then is WBC_E_UNKNOWN
 * @message:      where to put words about a failure; NULL for none
 * @message_size: bytes at @message; it is always NUL-terminated
 */
struct wbc_options {
	uint32_t flags;
	uint32_t mode;
	int64_t group;
	uint64_t max_bytes;
	uint64_t capacity;
	uint32_t procs;
	uint32_t threads;
	uint32_t lane_bytes;
	int32_t full_wait_ms;
	int32_t load_wait_ms;
	char *message;
	size_t message_size;
};

#define WBC_OPTIONS_INIT                                                       \
	{                                                                      \
		0, 0, -1, 0, 0, 0, 0, 0, 0, 0, NULL, 0                            \
	}

/**
 * wbc_open() - attach to a segment
 * @c:       receives the handle; close it with wbc_close()
 * @address: "shm:NAME" is /dev/shm/wbcshm-UID/NAME, "shm:/path" any file
 * @options: NULL for none: the segment must exist
 *
 * Takes a process slot, which is given back by wbc_close() or, if the process
 * dies, by the flusher.
 *
 * Progress: lock-free.   Blocks: for file system calls only.
 * Fork: the child attaches anew at its first call.
 *
 * Return: 0, or -ENOENT    no such segment, and WBC_CREATE was not given
 *               -EEXIST    it exists, and WBC_EXCLUSIVE was given
 *               -EINVAL    the address or an option is out of range
 *               -ENAMETOOLONG  the name is over 63 bytes
 *               -EUSERS    all process slots for clients are in use
 *               -ENOSPC    the file system is full (see its message)
 *               -EFBIG     ulimit -f does not allow a file of that size
 *               -EACCES    not permitted
 *               -EPERM     /proc is not there, which tells one boot of the
 *                          machine from another
 *               -ESTALE    the segment was closed by `wbc-shmctl rm --force`
 *               WBC_E_FORMAT, WBC_E_LAYOUT, WBC_E_CORRUPT, WBC_E_BOOT,
 *               WBC_E_OWNER  the file is not a segment to be used
 */
WBC_API int wbc_open(struct wbc **c, const char *address,
                     const struct wbc_options *options);

/**
 * wbc_close() - detach, and free the handle
 * @c: the handle, set to NULL; NULL inside is allowed
 *
 * No other thread may be using the handle, nor tables and counters of it:
 * they are freed with it.
 *
 * Progress: wait-free.   Blocks: for file system calls only.   Fork: in a
 * child it frees the child's handle only.
 */
WBC_API void wbc_close(struct wbc **c);

/**
 * wbc_path() - the file behind a handle
 * @c: handle
 *
 * Return: a path that lives as long as the handle.
 */
WBC_API const char *wbc_path(const struct wbc *c);

#ifdef __cplusplus
}
#endif

#endif
