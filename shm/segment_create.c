/* SPDX-License-Identifier: MIT */
/* Copyright the wbcshm authors */

/* Building a segment: nameless until it is whole. */
#include "segment.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "segment_check.h"
#include "wake.h"

#define DEFAULT_MAX_BYTES (UINT64_C(4) << 30)
#define DEFAULT_CAPACITY (UINT64_C(1) << 18)
#define DEFAULT_PROCS 128u
#define DEFAULT_THREADS 256u
#define DEFAULT_LANE_BYTES (256u << 10)
#define ROOT_BITS_MIN 9u /* a page of words */

static void fill_identity(struct header_shm *h)
{
	struct timespec now;

	h->magic = WBCI_MAGIC;
	h->layout = WBCI_LAYOUT_VERSION;
	h->header_bytes = sizeof(*h);
	h->digest = wbci_layout_digest();
	h->sys_page = WBCI_SYS_PAGE;
	h->line = WBCI_LINE;
	h->byte_order = 0x01020304;
	wbci_boot_id(h->boot_id);
	h->born_ns = wbci_boot_ns();
	clock_gettime(CLOCK_REALTIME, &now);
	h->born_real_ns =
		(uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

static int fill_random(struct header_shm *h, const struct wbci_message *m)
{
	unsigned char bytes[24];

	if (getrandom(bytes, sizeof(bytes), 0) != (ssize_t)sizeof(bytes))
		return wbci_say(m, -EIO, "create segment: no random bytes: %s",
		                strerror(errno));
	memcpy(h->segment_id, bytes, 16);
	memcpy(&h->hash_seed, bytes + 16, 8);
	return 0;
}

static uint32_t root_bits(uint64_t capacity)
{
	uint32_t bits = ROOT_BITS_MIN;

	while (bits < WBCI_ROOT_BITS_MAX && UINT64_C(1) << bits < 2 * capacity)
		bits++;
	return bits;
}

static int fill_geometry(struct header_shm *h, const struct wbci_create *how,
                         const struct wbci_message *m)
{
	uint64_t max = how->max_bytes ? how->max_bytes : DEFAULT_MAX_BYTES;
	uint64_t capacity = how->capacity ? how->capacity : DEFAULT_CAPACITY;
	uint32_t lane = how->lane_bytes ? how->lane_bytes : DEFAULT_LANE_BYTES;
	uint64_t n_extents = max / WBCI_EXTENT_BYTES;

	if (n_extents == 0 || n_extents > WBCI_EXTENTS_MAX)
		return wbci_say(m, -EINVAL,
		                "create segment: max_bytes is %llu, from 2 MiB "
		                "to 16 TiB are allowed",
		                (unsigned long long)max);
	if (capacity > UINT64_C(1) << (WBCI_ROOT_BITS_MAX - 1))
		return wbci_say(m, -EINVAL,
		                "create segment: capacity is %llu, at most "
		                "2^33 keys are allowed",
		                (unsigned long long)capacity);
	if (lane < WBCI_LANE_MIN || lane > WBCI_LANE_MAX || (lane & (lane - 1)))
		return wbci_say(m, -EINVAL,
		                "create segment: lane_bytes is %u, a power of "
		                "two from 4096 to 2^30 is needed",
		                lane);
	h->n_procs = how->procs ? how->procs : DEFAULT_PROCS;
	h->n_threads = how->threads ? how->threads : DEFAULT_THREADS;
	if (h->n_procs > WBCI_PROCS_MAX || h->n_threads > WBCI_THREADS_MAX)
		return wbci_say(m, -EINVAL,
		                "create segment: %u process and %u thread "
		                "slots, at most %u and %u are allowed",
		                h->n_procs, h->n_threads, WBCI_PROCS_MAX,
		                WBCI_THREADS_MAX);
	if (h->n_procs < WBCI_SLOTS_MIN || h->n_threads < WBCI_SLOTS_MIN)
		return wbci_say(m, -EINVAL,
		                "create segment: %u process and %u thread "
		                "slots, at least %u of each are needed: the "
		                "last is the flusher's",
		                h->n_procs, h->n_threads, WBCI_SLOTS_MIN);
	h->n_tables = WBCI_TABLES_MAX;
	h->n_extents = (uint32_t)n_extents;
	h->capacity = capacity;
	h->root_bits = root_bits(capacity);
	h->lane_bytes = lane;
	wbci_header_place(h);
	return 0;
}

/* A file without a name in the folder of @path; else one with an odd name. */
static int open_nameless(const char *path, char *odd,
                         const struct wbci_message *m)
{
	char folder[PATH_MAX];
	uint64_t number;
	char *slash;
	int fd;

	odd[0] = '\0';
	snprintf(folder, sizeof(folder), "%s", path);
	slash = strrchr(folder, '/');
	if (!slash)
		return wbci_say(m, -EINVAL, "create segment: %s: not a path",
		                path);
	slash[slash == folder] = '\0';
	fd = open(folder, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	if (fd >= 0)
		return fd;
	if (errno != EOPNOTSUPP && errno != EISDIR && errno != ENOENT)
		return wbci_say(m, -errno, "create segment: in %s: %s", folder,
		                strerror(errno));
	if (access(folder, F_OK))
		return wbci_say(m, -ENOENT,
		                "create segment: %s: no such folder", folder);
	if (getrandom(&number, sizeof(number), 0) != (ssize_t)sizeof(number))
		return wbci_say(m, -EIO, "create segment: no random bytes");
	if (snprintf(odd, PATH_MAX, "%s.%016llx", path,
	             (unsigned long long)number) >= PATH_MAX)
		return wbci_say(m, -ENAMETOOLONG,
		                "create segment: the path is too long");
	fd = open(odd, O_CREAT | O_EXCL | O_RDWR | O_CLOEXEC | O_NOFOLLOW,
	          0600);
	if (fd < 0)
		return wbci_say(m, -errno, "create segment: %s: %s", odd,
		                strerror(errno));
	return fd;
}

static int link_in(int fd, const char *odd, const char *path,
                   const struct wbci_message *m)
{
	char self[64];
	int failed;

	snprintf(self, sizeof(self), "/proc/self/fd/%d", fd);
	failed = odd[0] ? link(odd, path)
	                : linkat(AT_FDCWD, self, AT_FDCWD, path,
	                         AT_SYMLINK_FOLLOW);
	if (!failed)
		return 0;
	if (errno == EEXIST)
		return wbci_say(m, -EEXIST,
		                "create segment: %s: it exists already", path);
	return wbci_say(m, -errno, "create segment: %s: %s", path,
	                strerror(errno));
}

static int set_access(int fd, const struct wbci_create *how, const char *path,
                      const struct wbci_message *m)
{
	/* After umask had its way with the mode that open() was given. */
	if (fchmod(fd, how->mode ? how->mode & 0777 : 0600) ||
	    (how->group >= 0 && fchown(fd, (uid_t)-1, (gid_t)how->group)))
		return wbci_say(m, -errno,
		                "create segment: %s: set mode and group: %s",
		                path, strerror(errno));
	return 0;
}

/* Memory for all that is not sparse, then the contents. */
static int fill_file(int fd, const struct header_shm *h, const char *path,
                     const struct wbci_message *m)
{
	struct control_shm control;
	struct rlimit limit;
	int error;

	/* Else the caller would get a signal. */
	if (!getrlimit(RLIMIT_FSIZE, &limit) && limit.rlim_cur < h->size_bytes)
		return wbci_say(m, -EFBIG,
		                "create segment: %s: it needs a file of %llu "
		                "MiB, ulimit -f allows less; raise it, or ask "
		                "for a smaller max_bytes",
		                path,
		                (unsigned long long)(h->size_bytes >> 20));
	if (ftruncate(fd, (off_t)h->size_bytes))
		return wbci_say(m, -errno, "create segment: %s: %s", path,
		                strerror(errno));
	do {
		error = fallocate(fd, 0, 0, (off_t)h->metas_off) ? errno : 0;
	} while (error == EINTR);
	if (error == ENOSPC)
		return wbci_say(m, -ENOSPC,
		                "create segment: %s: the file system has no "
		                "room for %llu KiB; enlarge it (docker run "
		                "--shm-size=1g, or mount -o remount,size=1g "
		                "/dev/shm) or ask for a smaller capacity",
		                path, (unsigned long long)(h->metas_off >> 10));
	if (error)
		return wbci_say(m, -error, "create segment: %s: allocate: %s",
		                path, strerror(error));
	memset(&control, 0, sizeof(control));
	atomic_init(&control.epoch, 1);
	atomic_init(&control.cycle, 1);
	atomic_init(&control.synced, 1);
	atomic_init(&control.settled, 1);
	if (pwrite(fd, &control, sizeof(control), WBCI_SYS_PAGE) !=
	            (ssize_t)sizeof(control) ||
	    pwrite(fd, h, sizeof(*h), 0) != (ssize_t)sizeof(*h))
		return wbci_say(m, -EIO, "create segment: %s: write: %s", path,
		                strerror(errno));
	return 0;
}

int wbci_segment_create(const char *path, const struct wbci_create *how,
                        const struct wbci_message *m)
{
	struct header_shm h;
	char odd[PATH_MAX];
	struct stat st;
	int fd, error;

	memset(&h, 0, sizeof(h));
	fill_identity(&h);
	error = fill_geometry(&h, how, m);
	if (error)
		return error;
	/* link_in() decides; but one that is there needs no memory now. */
	if (!lstat(path, &st))
		return wbci_say(m, -EEXIST,
		                "create segment: %s: it exists already", path);
	error = fill_random(&h, m);
	if (error)
		return error;
	h.checksum = wbci_header_checksum(&h);

	fd = open_nameless(path, odd, m);
	if (fd < 0)
		return fd;
	error = set_access(fd, how, path, m);
	if (!error)
		error = fill_file(fd, &h, path, m);
	if (!error)
		error = link_in(fd, odd, path, m);
	if (odd[0])
		unlink(odd);
	close(fd);
	return error;
}
