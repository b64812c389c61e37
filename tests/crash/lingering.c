/* SPDX-License-Identifier: MIT */
/* Copyright the wbcshm authors */

/*
 * A flusher's locks linger for some milliseconds after its parent was told
 * that it is dead: whoever starts the next one at once is not refused.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "rig.h"
#include "tap/tap.h"
#include "unit/dice.h"

#define LINGER_MS 30
#define FDS 64
#define LIVES 40
#define LIFE_MS 60

static const char spec[] = "words(word text key, n counter)"
			   " on_missing=insert";

/* A flusher's lock on a file, held by ourselves. */
static int hold(const char *path)
{
	struct flock lock = {
		.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_len = 1};
	int fd = open(path, O_RDWR | O_CLOEXEC);

	if (fd < 0 || fcntl(fd, F_OFD_SETLK, &lock))
		tap_bail("%s: %s", path, strerror(errno));
	return fd;
}

static void read_link(pid_t pid, const char *what, char *to)
{
	char link[64];
	ssize_t len;

	snprintf(link, sizeof(link), "/proc/%d/%s", (int)pid, what);
	len = readlink(link, to, PATH_MAX - 1);
	to[len > 0 ? len : 0] = '\0';
}

/* How many descriptors a flusher has on a file; before it is one it has those
 * that it inherited. */
static unsigned opened(pid_t pid, const char *path)
{
	char fd[32], to[PATH_MAX];
	unsigned n = 0;

	read_link(pid, "exe", to);
	if (!strstr(to, "wbc-flusher"))
		return 0;
	for (int i = 0; i < FDS; i++) {
		snprintf(fd, sizeof(fd), "fd/%d", i);
		read_link(pid, fd, to);
		n += !strcmp(to, path);
	}
	return n;
}

/* Wait until it has come to the lock; or to its end. */
static void see_it_try(const struct rig *r, const char *path, unsigned n)
{
	siginfo_t info = {.si_pid = 0};

	while (opened(r->pid, path) < n && !info.si_pid) {
		poll(NULL, 0, 1);
		if (waitid(P_PID, (id_t)r->pid, &info,
		           WEXITED | WNOHANG | WNOWAIT))
			tap_bail("waitid: %s", strerror(errno));
	}
	poll(NULL, 0, LINGER_MS);
}

static void lingers(struct rig *r, const char *path, unsigned n,
                    const char *what)
{
	int fd = hold(path);

	rig_spawn(r, NULL);
	see_it_try(r, path, n);
	close(fd);
	tap_ok(rig_ready(r),
	       "P5: a flusher waits for the lock on %s to be gone", what);
	if (rig_log_count(r, "event=started", NULL))
		rig_kill(r);
	else
		tap_diag("it ends with %d", rig_wait(r));
	rig_log_mark(r);
}

/* Killed at any moment, and another started at once. */
static void one_after_another(struct rig *r)
{
	struct dice d = dice_seeded();
	unsigned refused = 0;

	for (unsigned i = 0; i < LIVES; i++) {
		rig_spawn(r, NULL);
		poll(NULL, 0, (int)dice_below(&d, LIFE_MS));
		rig_signal(r, SIGKILL);
		refused += rig_wait(r) != RIG_SIGNALLED(SIGKILL);
	}
	tap_is_uint(refused, 0,
	            "P5: of %u flushers, each started when the one before was "
	            "killed, none is refused",
	            LIVES);
}

int main(void)
{
	char lock[PATH_MAX + 16];
	struct wbc *c;
	struct rig r;

	rig_begin(&r, "lingering");
	rig_sql(&r, "CREATE TABLE words(word TEXT PRIMARY KEY, n INTEGER)");
	r.tables[0] = spec;
	c = rig_open(&r);
	rig_start(&r);
	rig_kill(&r);
	rig_log_mark(&r);
	snprintf(lock, sizeof(lock), "%s/lock", r.journal);
	lingers(&r, lock, 1, "the journal");
	/* One is the mapping's, the other the lock's. */
	lingers(&r, r.segment, 2, "the segment");
	one_after_another(&r);
	wbc_close(&c);
	rig_end(&r);
	return tap_done();
}
