/* SPDX-License-Identifier: MIT */
/* Copyright the wbcshm authors */

/* Attaching to a segment's file, its locks and its memory. */
#include "segment.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "../api/wbc_error.h"
#include "segment_check.h"

#ifdef WBC_TSAN
/*
 * ThreadSanitizer compares addresses, so all handles of one process on one
 * segment share one mapping there.
 */
static struct shared_map {
	dev_t dev;
	ino_t ino;
	void *base;
	unsigned users;
} shared_maps[64];
static pthread_mutex_t shared_mutex = PTHREAD_MUTEX_INITIALIZER;

static void *map_file(const struct wbci_segment *s, int protection)
{
	struct shared_map *free_map = NULL;
	void *base = MAP_FAILED;

	/* A tool's, whose descriptor does not allow more. */
	if (!(protection & PROT_WRITE))
		return mmap(NULL, s->geo.size_bytes, protection,
		            MAP_SHARED | MAP_NORESERVE, s->fd, 0);
	pthread_mutex_lock(&shared_mutex);
	for (unsigned i = 0; i < 64; i++) {
		struct shared_map *map = &shared_maps[i];

		if (map->users && map->dev == s->dev && map->ino == s->ino) {
			map->users++;
			base = map->base;
			goto unlock;
		}
		if (!map->users)
			free_map = map;
	}
	base = mmap(NULL, s->geo.size_bytes, PROT_READ | PROT_WRITE,
	            MAP_SHARED | MAP_NORESERVE, s->fd, 0);
	if (base != MAP_FAILED && free_map)
		*free_map = (struct shared_map){s->dev, s->ino, base, 1};
unlock:
	pthread_mutex_unlock(&shared_mutex);
	return base;
}

static void unmap_file(const struct wbci_segment *s)
{
	if (!s->writable) {
		munmap(s->base, s->size);
		return;
	}
	pthread_mutex_lock(&shared_mutex);
	for (unsigned i = 0; i < 64; i++) {
		if (!shared_maps[i].users || shared_maps[i].base != s->base)
			continue;
		if (--shared_maps[i].users == 0)
			munmap(s->base, s->size);
		break;
	}
	pthread_mutex_unlock(&shared_mutex);
}
#else
static void *map_file(const struct wbci_segment *s, int protection)
{
	return mmap(NULL, s->geo.size_bytes, protection,
	            MAP_SHARED | MAP_NORESERVE, s->fd, 0);
}

static void unmap_file(const struct wbci_segment *s)
{
	munmap(s->base, s->size);
}
#endif

/* A file in a folder where anybody may plant one must be ours or root's. */
static int check_owner(const struct stat *st, const char *path,
                       const struct wbci_message *m)
{
	char folder[4096];
	struct stat dir;
	char *slash;

	if (!S_ISREG(st->st_mode))
		return wbci_say(m, WBC_E_OWNER,
		                "attach: %s: not a regular file", path);
	if (st->st_uid == geteuid() || st->st_uid == 0)
		return 0;
	snprintf(folder, sizeof(folder), "%s", path);
	slash = strrchr(folder, '/');
	if (slash)
		slash[slash == folder] = '\0';
	if (stat(slash ? folder : ".", &dir) == 0 && !(dir.st_mode & 0002))
		return 0;
	return wbci_say(m, WBC_E_OWNER,
	                "attach: %s: it belongs to user %u and lies in a "
	                "folder where anybody may put files; use a folder "
	                "that only its owner can write to",
	                path, (unsigned)st->st_uid);
}

static int open_file(struct wbci_segment *s, const char *path,
                     const struct wbci_message *m)
{
	struct stat st;
	ssize_t got;
	int error;

	s->fd = open(path, (s->writable ? O_RDWR : O_RDONLY) | O_CLOEXEC |
	                           O_NOFOLLOW | O_NONBLOCK);
	if (s->fd < 0) {
		error = -errno;
		if (error == -ENOENT)
			return wbci_say(m, error,
			                "attach: %s: no such segment", path);
		/* A folder, a symbolic link, a socket or a device. */
		if (error == -EISDIR || error == -ELOOP || error == -ENXIO)
			return wbci_say(m, WBC_E_OWNER,
			                "attach: %s: not a regular file", path);
		return wbci_say(m, error, "attach: %s: %s", path,
		                strerror(-error));
	}
	error = fstat(s->fd, &st) ? -errno : check_owner(&st, path, m);
	if (error)
		goto close_fd;
	s->dev = st.st_dev;
	s->ino = st.st_ino;
	memset(&s->geo, 0, sizeof(s->geo));
	got = pread(s->fd, &s->geo, sizeof(s->geo), 0);
	if (got < 0) {
		error = wbci_say(m, -errno, "attach: %s: read: %s", path,
		                 strerror(errno));
		goto close_fd;
	}
	error = wbci_header_check(&s->geo, (uint64_t)st.st_size, path, m);
	if (error)
		goto close_fd;
	return 0;
close_fd:
	close(s->fd);
	s->fd = -1;
	return error;
}

static void place(struct wbci_segment *s)
{
	const struct header_shm *h = &s->geo;

	s->size = h->size_bytes;
	s->control = wbci_at(s, WBCI_SYS_PAGE);
	s->procs = wbci_at(s, h->procs_off);
	s->threads = wbci_at(s, h->threads_off);
	s->tables = wbci_at(s, h->tables_off);
	s->summary = wbci_at(s, h->summary_off);
	s->words = wbci_at(s, h->words_off);
	s->root = wbci_at(s, h->root_off);
	s->metas = wbci_at(s, h->metas_off);
	s->lanes = wbci_at(s, h->lanes_off);
	s->extents = wbci_at(s, h->extents_off);
	s->root_mask = (UINT64_C(1) << h->root_bits) - 1;
	s->block_end = (uint64_t)h->n_extents * WBCI_EXTENT_BYTES -
	               WBCI_HOT_BYTES;
}

int wbci_segment_open(struct wbci_segment *s, const char *path, bool writable,
                      const struct wbci_message *m)
{
	int error;

	memset(s, 0, sizeof(*s));
	s->writable = writable;
	error = open_file(s, path, m);
	if (error)
		return error;
	s->path = strdup(path);
	if (!s->path) {
		error = -ENOMEM;
		goto close_fd;
	}
	s->base = map_file(s, writable ? PROT_READ | PROT_WRITE : PROT_READ);
	if (s->base == MAP_FAILED) {
		error = wbci_say(m, -errno,
		                 "attach: %s: map %llu MiB: %s; is ulimit -v "
		                 "set?",
		                 path,
		                 (unsigned long long)(s->geo.size_bytes >> 20),
		                 strerror(errno));
		goto free_path;
	}
	place(s);
	if (writable && order_load(&s->control->closed)) {
		error = wbci_say(m, -ESTALE,
		                 "attach: %s: the segment was closed by "
		                 "force; make a new one",
		                 path);
		goto unmap;
	}
	return 0;
unmap:
	unmap_file(s);
free_path:
	free(s->path);
	s->path = NULL;
close_fd:
	close(s->fd);
	s->fd = -1;
	s->base = NULL;
	return error;
}

static bool is_segment(const struct wbci_segment *s, int fd)
{
	struct stat st;

	return fd >= 0 && !fstat(fd, &st) && st.st_dev == s->dev &&
	       st.st_ino == s->ino;
}

void wbci_segment_close(struct wbci_segment *s)
{
	if (s->base)
		unmap_file(s);
	if (is_segment(s, s->fd))
		close(s->fd);
	free(s->path);
	memset(s, 0, sizeof(*s));
	s->fd = -1;
}

int wbci_segment_description(const struct wbci_segment *s)
{
	char self[64];
	int mode = (s->writable ? O_RDWR : O_RDONLY) | O_CLOEXEC | O_NONBLOCK;
	int fd = -1;

	if (is_segment(s, s->fd)) {
		snprintf(self, sizeof(self), "/proc/self/fd/%d", s->fd);
		fd = open(self, mode);
	}
	if (fd < 0)
		fd = open(s->path, mode | O_NOFOLLOW);
	if (fd < 0)
		return errno == ENOENT ? -ESTALE : -errno;
	if (is_segment(s, fd))
		return fd;
	close(fd);
	return -ESTALE;
}

/* Our descriptor, or a new one if the program closed it behind our back. */
static int borrow_fd(const struct wbci_segment *s)
{
	return is_segment(s, s->fd) ? s->fd : wbci_segment_description(s);
}

static void return_fd(const struct wbci_segment *s, int fd)
{
	if (fd != s->fd)
		close(fd);
}

static int probe_lock(const struct wbci_segment *s, uint64_t byte)
{
	struct flock lock = {.l_type = F_RDLCK,
	                     .l_whence = SEEK_SET,
	                     .l_start = (off_t)byte,
	                     .l_len = 1};
	int fd = borrow_fd(s);
	int error;

	if (fd < 0)
		return fd;
	/* Our own description holds no lock, so every holder conflicts. */
	if (s->writable)
		lock.l_type = F_WRLCK;
	error = fcntl(fd, F_OFD_GETLK, &lock) ? -errno : 0;
	return_fd(s, fd);
	return error ? error : lock.l_type != F_UNLCK;
}

/* A thread that is cancelled in between would leave the descriptor open. */
int wbci_segment_locked(const struct wbci_segment *s, uint64_t byte)
{
	int had, result;

	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &had);
	result = probe_lock(s, byte);
	pthread_setcancelstate(had, NULL);
	return result;
}

int wbci_segment_has_flusher(const struct wbci_segment *s)
{
	return wbci_segment_locked(s, WBCI_LOCK_FLUSHER);
}

bool wbci_segment_unlinked(const struct wbci_segment *s)
{
	struct stat st;

	return lstat(s->path, &st) || st.st_dev != s->dev ||
	       st.st_ino != s->ino;
}

static int allocate(const struct wbci_segment *s, uint64_t offset,
                    uint64_t bytes)
{
	int fd = borrow_fd(s);
	int error;

	if (fd < 0)
		return fd;
	do {
		error = fallocate(fd, 0, (off_t)offset, (off_t)bytes) ? errno
		                                                       : 0;
	} while (error == EINTR);
	return_fd(s, fd);
	return -error;
}

int wbci_segment_allocate(const struct wbci_segment *s, uint64_t offset,
                          uint64_t bytes)
{
	int had, error;

	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &had);
	error = allocate(s, offset, bytes);
	pthread_setcancelstate(had, NULL);
	return error;
}

int wbci_segment_grow(const struct wbci_segment *s, uint32_t have)
{
	const uint64_t metas = sizeof(struct meta_shm) * WBCI_PAGES_PER_EXTENT;
	uint32_t n = wbci_committed(s);
	int error;

	if (n > have)
		return 0;
	if (n >= s->geo.n_extents)
		return -ENOSPC;
	error = wbci_segment_allocate(s, s->geo.metas_off + n * metas, metas);
	if (!error)
		error = wbci_segment_allocate(
		        s,
		        s->geo.extents_off + (uint64_t)n * WBCI_EXTENT_BYTES,
		        WBCI_EXTENT_BYTES);
	if (error) {
		order_store(&s->control->low_memory, 1);
		return error;
	}
	/* Relaxed: the system call has returned, so the kernel gives these
	 * zeros to every process that counts them.  Whoever loses has
	 * allocated the same extent: nothing to undo. */
	order_cas_relaxed(&s->control->committed, &n, n + 1);
	order_store(&s->control->low_memory, 0);
	return 0;
}

void wbci_segment_full_message(const struct wbci_segment *s,
                               const struct wbci_message *m)
{
	uint32_t n = wbci_committed(s);
	struct statvfs fs;
	uint64_t mib = 0;

	if (n >= s->geo.n_extents) {
		wbci_say(m, 0,
		         "%s: all %u MiB that it may take are in use; make it "
		         "anew with a larger max_bytes (wbc-shmctl create "
		         "--max-size)",
		         s->path, n * (WBCI_EXTENT_BYTES >> 20));
		return;
	}
	if (!statvfs(s->path, &fs))
		mib = (uint64_t)fs.f_blocks * fs.f_frsize >> 20;
	wbci_say(m, 0,
	         "%s: the file system (%llu MiB) is full; enlarge it (docker "
	         "run --shm-size=1g, or mount -o remount,size=1g /dev/shm)",
	         s->path, (unsigned long long)mib);
}
