/* SPDX-License-Identifier: MIT */
/* Copyright the wbcshm authors */

/*
 * A segment for a test, handles on it, and children to share it with.
 * Whatever goes wrong here is not what is tested, so it ends the program.
 */
#ifndef RIG_H
#define RIG_H

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "api/handle.h"
#include "shm/entry.h"
#include "shm/epoch.h"
#include "shm/page.h"
#include "tap/tap.h"

#define N(array) (sizeof(array) / sizeof((array)[0]))

struct rig {
	char path[256];
	char address[264];
};

/* A new segment; @how as wbci_segment_create() has it. */
static inline struct rig rig_make(const struct wbci_create *how)
{
	static unsigned made;
	const char *folder = getenv("TMPDIR");
	struct wbci_create own = *how;
	char words[512] = "";
	struct wbci_message m = {words, sizeof(words)};
	struct rig r;

	own.group = -1;
	snprintf(r.path, sizeof(r.path), "%s/wbctest-%d-%u",
	         folder ? folder : "/tmp", (int)getpid(), made++);
	snprintf(r.address, sizeof(r.address), "shm:%s", r.path);
	if (wbci_segment_create(r.path, &own, &m))
		tap_bail("%s", words);
	return r;
}

static inline void rig_drop(const struct rig *r)
{
	unlink(r->path);
}

/* A handle of the inner kind: one "process". */
static inline struct wbci_client *rig_client(const struct rig *r)
{
	char words[512] = "";
	struct wbci_message m = {words, sizeof(words)};
	struct wbci_client *c;

	if (wbci_client_open(&c, r->path, false, &m))
		tap_bail("%s", words);
	return c;
}

/* One that is refused membarrier, and so runs with fences. */
static inline struct wbci_client *rig_fenced(const struct rig *r)
{
	struct wbci_client *c = rig_client(r);

	c->registered = false;
	return c;
}

static inline struct wbci_thread *rig_thread(struct wbci_client *c)
{
	struct wbci_thread *t;
	int error = wbci_thread(c, &t);

	if (error)
		tap_bail("no thread slot: %d", error);
	return t;
}

static inline struct wbc *rig_open(const struct rig *r)
{
	struct wbc_options o = WBC_OPTIONS_INIT;
	struct wbc *c;
	int error;

	/* There is no flusher that could read anything. */
	o.load_wait_ms = -1;
	error = wbc_open(&c, r->address, &o);

	if (error)
		tap_bail("open: %s", wbc_strerror(error));
	return c;
}

static inline struct wbc_table *rig_table(struct wbc *c, const char *spec)
{
	char words[512] = "";
	struct wbc_table *t;

	if (wbc_table_declare(c, spec, &t, words, sizeof(words)))
		tap_bail("declare: %s", words);
	return t;
}

static inline struct wbci_schema rig_schema(const char *spec)
{
	char words[256] = "";
	struct wbci_message m = {words, sizeof(words)};
	struct wbci_schema s;

	if (wbci_schema_parse(&s, spec, strlen(spec), &m))
		tap_bail("%s", words);
	return s;
}

/* Memory that forked children share with their parent. */
static inline void *rig_shared(size_t bytes)
{
	void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
	               MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED)
		tap_bail("no %zu bytes to share", bytes);
	return p;
}

/* A child that runs @fn and exits with what it returns. */
static inline pid_t rig_fork(int (*fn)(void *arg), void *arg)
{
	pid_t pid = fork();

	if (pid < 0)
		tap_bail("fork: %d", errno);
	if (pid == 0)
		tap_child_exit(fn(arg));
	return pid;
}

/* Wait for a child: its exit status, or -signal. */
static inline int rig_wait(pid_t pid)
{
	int status;

	while (waitpid(pid, &status, 0) != pid) {
		if (errno != EINTR)
			tap_bail("waitpid: %d", errno);
	}
	return WIFSIGNALED(status) ? -WTERMSIG(status) : WEXITSTATUS(status);
}

static inline int rig_kill(pid_t pid)
{
	kill(pid, SIGKILL);
	return rig_wait(pid);
}

static inline pthread_t rig_start(void *(*fn)(void *arg), void *arg)
{
	pthread_t thread;

	if (pthread_create(&thread, NULL, fn, arg))
		tap_bail("pthread_create");
	return thread;
}

/*
 * A gate that any number of threads and processes wait at, and one opens: its
 * pipe ends when the last writer closes it, so children close that first.
 */
struct rig_gate {
	int fd[2];
};

static inline struct rig_gate rig_gate(void)
{
	struct rig_gate g;

	if (pipe(g.fd))
		tap_bail("pipe: %d", errno);
	return g;
}

static inline void rig_gate_open(struct rig_gate *g)
{
	close(g->fd[1]);
	g->fd[1] = -1;
}

static inline void rig_gate_wait(const struct rig_gate *g)
{
	char byte;

	while (read(g->fd[0], &byte, 1) < 0) {
		if (errno != EINTR)
			tap_bail("gate: %d", errno);
	}
}

/* A byte through a pipe: "I have come so far". */
static inline void rig_tell(int fd)
{
	while (write(fd, "", 1) < 0) {
		if (errno != EINTR)
			tap_bail("tell: %d", errno);
	}
}

static inline void rig_hear(int fd)
{
	char byte;

	for (;;) {
		ssize_t n = read(fd, &byte, 1);

		if (n == 1)
			return;
		if (n == 0 || errno != EINTR)
			tap_bail("nobody tells any more");
	}
}

/* Move the epoch on by @n; nobody may be in a section. */
static inline void rig_advance(struct wbci_client *c, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		if (!wbci_epoch_advance(c))
			tap_bail("the epoch does not move");
	}
}

static inline struct wbci_key rig_key(const struct wbci_segment *s,
                                      const void *bytes, size_t len)
{
	struct wbci_key k;

	wbci_key_init(s, &k, SPACE_ROW, 0, bytes, (uint16_t)len);
	return k;
}

#endif
