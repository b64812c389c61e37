/* SPDX-License-Identifier: MIT */
/* Copyright the wbcshm authors */

/*
 * System calls and libc, as the model has them.  The linker sends the calls
 * of shm/ here (--wrap).
 *
 * - membarrier is a sequentially consistent fence in the caller and in every
 *   living thread of a registered process, at that moment.
 * - A futex waits if the word's newest value is the one given.  Time passes
 *   only when nothing else can happen.
 * - Locks belong to open file descriptions of the segment, which live as long
 *   as a descriptor or a mapping of them; a process's go when it dies.  A
 *   probe that finds a lock gone knows what its holder did.
 * - Mutexes and thread-specific values are each process's and thread's own.
 * - Memory is taken from what is put back before every execution.
 */
#include "engine.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <linux/membarrier.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define LOCK_BYTES 96u /* that the model knows */
#define DESCRIPTIONS 64u
#define MUTEXES 32u

/* Descriptor MC_SEGMENT_FD + i is description i; 0 is the segment's own. */
static struct {
	struct description {
		uint8_t users; /* a descriptor, mappings */
		uint8_t process;
		uint8_t lock; /* byte + 1 */
	} descriptions[DESCRIPTIONS];
	struct byte {
		uint8_t holder;   /* description + 1 */
		struct view view; /* what its last holder knew */
	} bytes[LOCK_BYTES];
	struct mutex {
		const void *mutex;
		uint8_t process;
		bool held;
		struct view view;
	} mutexes[MUTEXES];
	struct view raised[8];
	uint8_t raises[8];
} system_now, system_begin;

/* What the checker itself, and tests/tap, mean by them. */
int __real_open(const char *path, int flags, ...);
int __real_close(int fd);
int __real_fstat(int fd, struct stat *st);
int __real_fallocate(int fd, int mode, off_t offset, off_t bytes);
int __real_fcntl(int fd, int command, ...);
void *__real_mmap(void *at, size_t bytes, int protection, int flags, int fd,
                  off_t offset);
int __real_munmap(void *at, size_t bytes);
int __real_madvise(void *at, size_t bytes, int advice);
int __real_pthread_mutex_lock(pthread_mutex_t *mutex);
int __real_pthread_mutex_unlock(pthread_mutex_t *mutex);
int __real_clock_gettime(clockid_t clock, struct timespec *now);

/* Pages that mappings of the segment's file show: no access is meant. */
static unsigned char mapped[DESCRIPTIONS][64];

/* Nobody holds anything, before a scenario's setup. */
void mc_system_clear(void)
{
	memset(&system_now, 0, sizeof(system_now));
}

void mc_system_snapshot(void)
{
	system_begin = system_now;
}

void mc_system_reset(void)
{
	system_now = system_begin;
}

static unsigned process(void)
{
	return mc.cur ? mc.cur->process
	              : mc.fibers[mc.self % MC_THREADS].process;
}

/* A system call is a point where others may run, or the caller die. */
static void enter(const char *what, bool writes)
{
	if (!mc.cur)
		return;
	mc.steps++;
	mc_point(writes, true);
	mc_touch(mc.self, 0x5e5);
	if (mc.tracing)
		mc_trace("calls", NULL, "%s", what);
}

static void give(struct view *to)
{
	if (mc.cur)
		view_join(to, &mc.cur->view);
}

static void take(const struct view *from)
{
	if (mc.cur)
		view_join(&mc.cur->view, from);
}

/* The order of what was done to a lock is part of the state. */
static void mark_order(void)
{
	mc.sum -= mc.s_hash;
	mc.s_hash = mc_mix(mc.s_hash, (uint64_t)mc.self << 32 | mc.steps);
	mc.sum += mc.s_hash;
}

static void drop(unsigned d)
{
	struct description *description = &system_now.descriptions[d];

	if (--description->users || !description->lock)
		return;
	system_now.bytes[description->lock - 1].holder = 0;
	give(&system_now.bytes[description->lock - 1].view);
	description->lock = 0;
}

void mc_process_dies(unsigned who)
{
	for (unsigned t = 0; t < mc.n_fibers; t++) {
		if (mc.fibers[t].process == who)
			mc_fence_of(t);
	}
	for (unsigned d = 1; d < DESCRIPTIONS; d++) {
		struct description *description = &system_now.descriptions[d];
		struct view *view;

		if (!description->users || description->process != who)
			continue;
		description->users = 0;
		if (!description->lock)
			continue;
		view = &system_now.bytes[description->lock - 1].view;
		system_now.bytes[description->lock - 1].holder = 0;
		for (unsigned t = 0; t < mc.n_fibers; t++) {
			if (mc.fibers[t].process == who)
				view_join(view, &mc.fibers[t].view);
		}
		description->lock = 0;
	}
}

/* ---- membarrier, futex ---- */

static long barrier(int command)
{
	unsigned who = process();
	struct wbci_client *c = mc_client(mc.self);

	if (!c || !c->registered)
		return -1;
	if (command != MEMBARRIER_CMD_GLOBAL_EXPEDITED)
		return 0;
	if (!mc.cur)
		return 0;
	enter("membarrier", false);
	mc.cur->view.hb[mc.self]++;
	mc_fence_of(mc.self);
	/* Who ended or died has left its processor, which is a fence too. */
	for (unsigned t = 0; t < mc.n_fibers; t++) {
		if (t != mc.self && (mc.fibers[t].process == who ||
		                     mc_client((int)t)->registered))
			mc_fence_of(t);
	}
	mc_fence_of(mc.self);
	return 0;
}

static long futex(uint32_t *word, int operation, uint32_t value)
{
	if (!mc.cur)
		return 0;
	enter(operation == FUTEX_WAIT ? "futex wait" : "futex wake", false);
	mc.cur->view.hb[mc.self]++;
	mc_fence_of(mc.self);
	if (operation == FUTEX_WAKE) {
		mc_unblock(T_FUTEX, (uintptr_t)word);
		return 0;
	}
	if (mc_newest(word, 4) != value) {
		errno = EAGAIN;
		return -1;
	}
	mc_block(T_FUTEX, (uintptr_t)word, true);
	if (!mc.cur->timed_out)
		return 0;
	errno = ETIMEDOUT;
	return -1;
}

long __wrap_syscall(long number, ...);
long __wrap_syscall(long number, ...)
{
	va_list args;
	long result = -1;

	va_start(args, number);
	switch (number) {
	case SYS_gettid:
		result = 100 + mc.self;
		break;
	case SYS_membarrier:
		result = barrier(va_arg(args, int));
		break;
	case SYS_futex: {
		uint32_t *word = va_arg(args, uint32_t *);
		int operation = va_arg(args, int);

		result = futex(word, operation, va_arg(args, uint32_t));
		break;
	}
	default:
		mc_fail(NULL, 0, "system call %ld is not in the model", number);
	}
	va_end(args);
	return result;
}

/* ---- the segment's file ---- */

int __wrap_open(const char *path, int flags, ...);
int __wrap_open(const char *path, int flags, ...)
{
	if (!mc.inside) {
		va_list args;
		int mode;

		va_start(args, flags);
		mode = va_arg(args, int);
		va_end(args);
		return __real_open(path, flags, mode);
	}
	for (unsigned d = 1; d < DESCRIPTIONS; d++) {
		struct description *description = &system_now.descriptions[d];

		if (description->users)
			continue;
		*description = (struct description){1, (uint8_t)process(), 0};
		return MC_SEGMENT_FD + (int)d;
	}
	errno = EMFILE;
	return -1;
}

int __wrap_close(int fd);
int __wrap_close(int fd)
{
	if (fd < MC_SEGMENT_FD)
		return __real_close(fd);
	if (fd > MC_SEGMENT_FD)
		drop((unsigned)(fd - MC_SEGMENT_FD));
	return 0;
}

int __wrap_fstat(int fd, struct stat *st);
int __wrap_fstat(int fd, struct stat *st)
{
	if (fd < MC_SEGMENT_FD)
		return __real_fstat(fd, st);
	memset(st, 0, sizeof(*st));
	st->st_dev = mc_segment()->dev;
	st->st_ino = mc_segment()->ino;
	return 0;
}

int __wrap_fallocate(int fd, int mode, off_t offset, off_t bytes);
int __wrap_fallocate(int fd, int mode, off_t offset, off_t bytes)
{
	if (fd < MC_SEGMENT_FD)
		return __real_fallocate(fd, mode, offset, bytes);
	enter("fallocate", false);
	return 0;
}

int __wrap_fcntl(int fd, int command, ...);
int __wrap_fcntl(int fd, int command, ...)
{
	unsigned d = (unsigned)(fd - MC_SEGMENT_FD);
	struct flock *lock;
	struct byte *byte;
	va_list args;

	va_start(args, command);
	lock = va_arg(args, struct flock *);
	va_end(args);
	if (fd < MC_SEGMENT_FD)
		return __real_fcntl(fd, command, lock);
	if (lock->l_start >= (off_t)LOCK_BYTES || d >= DESCRIPTIONS)
		mc_fail(NULL, 0, "a lock that the model does not know");
	byte = &system_now.bytes[lock->l_start];
	enter(command == F_OFD_SETLK ? "lock" : "probe", true);
	mark_order();
	if (byte->holder && byte->holder != d + 1) {
		mc_touch(mc.self % MC_THREADS, 0x10c);
		if (command == F_OFD_GETLK)
			return 0;
		errno = EAGAIN;
		return -1;
	}
	/* The kernel's own lock orders us after the last holder. */
	take(&byte->view);
	if (command == F_OFD_GETLK) {
		lock->l_type = F_UNLCK;
		return 0;
	}
	byte->holder = (uint8_t)(d + 1);
	system_now.descriptions[d].lock = (uint8_t)(lock->l_start + 1);
	return 0;
}

void *__wrap_mmap(void *at, size_t bytes, int protection, int flags, int fd,
                  off_t offset);
void *__wrap_mmap(void *at, size_t bytes, int protection, int flags, int fd,
                  off_t offset)
{
	if (fd < MC_SEGMENT_FD)
		return __real_mmap(at, bytes, protection, flags, fd, offset);
	system_now.descriptions[fd - MC_SEGMENT_FD].users++;
	return mapped[fd - MC_SEGMENT_FD];
}

int __wrap_munmap(void *at, size_t bytes);
int __wrap_munmap(void *at, size_t bytes)
{
	uintptr_t i = ((uintptr_t)at - (uintptr_t)mapped) / sizeof(mapped[0]);

	if (i >= DESCRIPTIONS)
		return mc.inside ? 0 : __real_munmap(at, bytes);
	enter("munmap", true);
	mark_order();
	drop((unsigned)i);
	return 0;
}

int __wrap_madvise(void *at, size_t bytes, int advice);
int __wrap_madvise(void *at, size_t bytes, int advice)
{
	uintptr_t i = ((uintptr_t)at - (uintptr_t)mapped) / sizeof(mapped[0]);

	return i < DESCRIPTIONS ? 0 : __real_madvise(at, bytes, advice);
}

/* ---- threads ---- */

static struct mutex *find_mutex(const void *mutex)
{
	struct mutex *m = system_now.mutexes;

	for (; m < system_now.mutexes + MUTEXES && m->mutex; m++) {
		if (m->mutex == mutex && m->process == process())
			return m;
	}
	if (m == system_now.mutexes + MUTEXES)
		mc_fail(NULL, 0, "more mutexes than the model has");
	m->mutex = mutex;
	m->process = (uint8_t)process();
	return m;
}

int __wrap_pthread_mutex_lock(pthread_mutex_t *mutex);
int __wrap_pthread_mutex_lock(pthread_mutex_t *mutex)
{
	struct mutex *m;

	if (!mc.inside)
		return __real_pthread_mutex_lock(mutex);
	m = find_mutex(mutex);
	while (m->held)
		mc_block(T_MUTEX, (uintptr_t)m, false);
	m->held = true;
	take(&m->view);
	return 0;
}

int __wrap_pthread_mutex_unlock(pthread_mutex_t *mutex);
int __wrap_pthread_mutex_unlock(pthread_mutex_t *mutex)
{
	struct mutex *m;

	if (!mc.inside)
		return __real_pthread_mutex_unlock(mutex);
	m = find_mutex(mutex);
	m->held = false;
	m->view = (struct view){0};
	give(&m->view);
	mc_unblock(T_MUTEX, (uintptr_t)m);
	return 0;
}

int __wrap_pthread_setcancelstate(int state, int *had);
int __wrap_pthread_setcancelstate(int state, int *had)
{
	if (had)
		*had = state;
	return 0;
}

void *__wrap_pthread_getspecific(pthread_key_t key);
void *__wrap_pthread_getspecific(pthread_key_t key)
{
	return mc.fibers[mc.self % MC_THREADS].specific[key % 8];
}

int __wrap_pthread_setspecific(pthread_key_t key, const void *value);
int __wrap_pthread_setspecific(pthread_key_t key, const void *value)
{
	mc.fibers[mc.self % MC_THREADS].specific[key % 8] =
		(void *)(uintptr_t)value;
	return 0;
}

/* A handle's key is never made; its mutex is a struct of ours. */
int __wrap_pthread_key_delete(pthread_key_t key);
int __wrap_pthread_key_delete(pthread_key_t key)
{
	(void)key;
	return 0;
}

int __wrap_clock_gettime(clockid_t clock, struct timespec *now);
int __wrap_clock_gettime(clockid_t clock, struct timespec *now)
{
	if (!mc.inside)
		return __real_clock_gettime(clock, now);
	/* It goes on when nobody else does. */
	*now = (struct timespec){.tv_sec = 1 + mc.timeouts / 10,
	                         .tv_nsec = mc.timeouts % 10 * 100000000L};
	return 0;
}

/* ---- what the programs say ---- */

void mc_ack(uint64_t what)
{
	/* Killed here, it was done and nobody was told. */
	mc.steps++;
	mc_point(true, false);
	mc.cur->acked += what;
	mc_touch(mc.self, mc.cur->acked);
}

uint64_t mc_acked_by(unsigned t)
{
	return mc.fibers[t].acked;
}

uint64_t mc_acked(void)
{
	uint64_t sum = 0;

	for (unsigned t = 0; t < mc.n_fibers; t++)
		sum += mc.fibers[t].acked;
	return sum;
}

bool mc_died(unsigned t)
{
	return mc.fibers[t].life == T_DEAD;
}

unsigned mc_deaths(void)
{
	return mc.deaths;
}

unsigned mc_timeouts(void)
{
	return mc.timeouts;
}

unsigned mc_self(void)
{
	return mc.self;
}

void mc_stop(void)
{
	if (mc.tracing)
		mc_trace("is stopped", NULL, " ");
	mc_block(T_STOPPED, 0, false);
	if (mc.tracing)
		mc_trace("goes on", NULL, " ");
}

void mc_raise(unsigned n)
{
	enter("raise", false);
	mark_order();
	give(&system_now.raised[n]);
	system_now.raises[n]++;
	mc_unblock(T_FLAG, n);
}

bool mc_wait(unsigned n)
{
	enter("wait", false);
	while (!system_now.raises[n]) {
		mc_block(T_FLAG, n, false);
		if (mc.cur->timed_out)
			return false;
	}
	mark_order();
	take(&system_now.raised[n]);
	return true;
}
