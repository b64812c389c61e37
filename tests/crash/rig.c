/* SPDX-License-Identifier: MIT */
/* Copyright the wbcshm authors */

#include "rig.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "tap/tap.h"

#define LINE_BYTES 4096

int64_t rig_now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* A socket whose address is short whatever TMPDIR is: the directory's
 * descriptor stands in for its name. */
static int notify_socket(const struct rig *r)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	int dir = open(r->dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	int error;

	snprintf(a.sun_path, sizeof(a.sun_path), "/proc/self/fd/%d/notify",
	         dir);
	error = dir < 0 || fd < 0 ||
	        bind(fd, (const struct sockaddr *)&a, sizeof(a));
	if (error)
		tap_bail("%s: a socket: %s", r->dir, strerror(errno));
	close(dir);
	return fd;
}

void rig_begin(struct rig *r, const char *name)
{
	const char *tmp = getenv("TMPDIR");

	memset(r, 0, sizeof(*r));
	if (snprintf(r->dir, sizeof(r->dir), "%s/%s-XXXXXX", tmp ? tmp : "/tmp",
	             name) >= (int)sizeof(r->dir) ||
	    !mkdtemp(r->dir))
		tap_bail("%s: %s", r->dir, strerror(errno));
	snprintf(r->segment, sizeof(r->segment), "%s/segment", r->dir);
	snprintf(r->address, sizeof(r->address), "shm:%s", r->segment);
	snprintf(r->database, sizeof(r->database), "%s/database", r->dir);
	snprintf(r->journal, sizeof(r->journal), "%s/journal", r->dir);
	snprintf(r->log, sizeof(r->log), "%s/log", r->dir);
	snprintf(r->notify, sizeof(r->notify), "%s/notify", r->dir);
	r->journal_interval = "20ms";
	r->flush_interval = "50ms";
	r->notify_fd = notify_socket(r);
}

static void remove_tree(const char *path)
{
	pid_t pid = fork();

	if (pid == 0) {
		execlp("rm", "rm", "-rf", "--", path, (char *)NULL);
		_exit(127);
	}
	if (pid > 0)
		waitpid(pid, NULL, 0);
}

void rig_end(struct rig *r)
{
	if (r->pid)
		rig_kill(r);
	close(r->notify_fd);
	remove_tree(r->dir);
}

struct wbc *rig_open(const struct rig *r)
{
	return rig_open_waiting(r, 0);
}

struct wbc *rig_open_waiting(const struct rig *r, int load_wait_ms)
{
	struct wbc_options o = WBC_OPTIONS_INIT;
	char text[256];
	struct wbc *c;
	int error;

	o.flags = WBC_CREATE;
	o.capacity = 4096;
	o.max_bytes = UINT64_C(256) << 20;
	o.load_wait_ms = load_wait_ms;
	o.message = text;
	o.message_size = sizeof(text);
	error = wbc_open(&c, r->address, &o);
	if (error)
		tap_bail("%s: %s: %s", r->address, wbc_error_name(error), text);
	return c;
}

struct wbc_table *rig_table(struct wbc *c, const char *spec)
{
	struct wbc_table *t;
	char text[256];
	int error = wbc_table_declare(c, spec, &t, text, sizeof(text));

	if (error)
		tap_bail("%s: %s: %s", spec, wbc_error_name(error), text);
	return t;
}

/* In the child: the log is its standard error, and no parent is its end. */
_Noreturn static void become_flusher(const struct rig *r, const char *kill_at,
                                     pid_t parent)
{
	const char *argv[2 * RIG_TABLES_MAX + RIG_EXTRA_MAX + 16];
	int log, n = 0;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		_exit(127);
	argv[n++] = "wbc-flusher";
	argv[n++] = "--segment";
	argv[n++] = r->address;
	argv[n++] = "--sqlite";
	argv[n++] = r->database;
	argv[n++] = "--journal";
	argv[n++] = r->journal;
	argv[n++] = "--journal-interval";
	argv[n++] = r->journal_interval;
	argv[n++] = "--flush-interval";
	argv[n++] = r->flush_interval;
	if (r->create)
		argv[n++] = "--create";
	for (int i = 0; r->tables[i]; i++) {
		argv[n++] = "--table";
		argv[n++] = r->tables[i];
	}
	for (int i = 0; r->extra[i]; i++)
		argv[n++] = r->extra[i];
	argv[n] = NULL;
	log = open(r->log, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
	if (log < 0 || dup2(log, STDERR_FILENO) < 0 ||
	    dup2(log, STDOUT_FILENO) < 0)
		_exit(127);
	setenv("NOTIFY_SOCKET", r->notify, 1);
	if (kill_at)
		setenv("WBC_FLUSHER_KILL_AT", kill_at, 1);
	else
		unsetenv("WBC_FLUSHER_KILL_AT");
	if (r->halted)
		raise(SIGSTOP);
	execvp(argv[0], (char *const *)(uintptr_t)argv);
	dprintf(STDERR_FILENO, "%s: %s\n", argv[0], strerror(errno));
	_exit(127);
}

void rig_spawn(struct rig *r, const char *kill_at)
{
	pid_t parent = getpid();
	char stale[256];

	if (r->pid)
		tap_bail("a flusher runs already");
	/* What the one before had to say. */
	while (recv(r->notify_fd, stale, sizeof(stale), MSG_DONTWAIT) >= 0)
		;
	r->pid = fork();
	if (r->pid < 0)
		tap_bail("fork: %s", strerror(errno));
	if (r->pid == 0)
		become_flusher(r, kill_at, parent);
}

static int pid_descriptor(pid_t pid)
{
	long fd = syscall(SYS_pidfd_open, pid, 0u);

	if (fd < 0)
		tap_bail("pidfd_open %d: %s", (int)pid, strerror(errno));
	return (int)fd;
}

/* Is there a message on the socket that says READY=1? */
static bool said_ready(struct rig *r)
{
	char text[512];
	ssize_t n;

	while ((n = recv(r->notify_fd, text, sizeof(text) - 1, MSG_DONTWAIT)) >=
	       0) {
		text[n] = '\0';
		if (strstr(text, "READY=1"))
			return true;
	}
	return false;
}

bool rig_ready(struct rig *r)
{
	struct pollfd fds[2] = {
		{.fd = r->notify_fd, .events = POLLIN},
		{.fd = pid_descriptor(r->pid), .events = POLLIN}};
	int64_t end = rig_now_ms() + RIG_PATIENCE_MS;
	bool ready;

	do {
		poll(fds, 2, 1000);
		ready = said_ready(r);
		if (!ready && rig_now_ms() > end) {
			rig_log_show(r);
			tap_bail("the flusher neither serves nor ends");
		}
	} while (!ready && !(fds[1].revents & POLLIN));
	close(fds[1].fd);
	return ready;
}

void rig_start(struct rig *r)
{
	rig_spawn(r, NULL);
	if (rig_ready(r))
		return;
	rig_log_show(r);
	tap_bail("the flusher does not serve: status %d", rig_wait(r));
}

bool rig_ended(const struct rig *r)
{
	siginfo_t info = {.si_pid = 0};

	return r->pid &&
	       waitid(P_PID, (id_t)r->pid, &info,
	              WEXITED | WNOHANG | WNOWAIT) == 0 &&
	       info.si_pid == r->pid;
}

int rig_wait(struct rig *r)
{
	struct pollfd fd = {.fd = pid_descriptor(r->pid), .events = POLLIN};
	int status;

	if (poll(&fd, 1, RIG_PATIENCE_MS) != 1) {
		rig_log_show(r);
		tap_bail("the flusher does not end");
	}
	close(fd.fd);
	waitpid(r->pid, &status, 0);
	r->pid = 0;
	return WIFSIGNALED(status) ? RIG_SIGNALLED(WTERMSIG(status))
	                           : WEXITSTATUS(status);
}

int rig_refused(struct rig *r)
{
	rig_spawn(r, NULL);
	if (rig_ready(r))
		rig_kill(r);
	else
		return rig_wait(r);
	return 0;
}

void rig_signal(const struct rig *r, int sig)
{
	if (!r->pid || kill(r->pid, sig) < 0)
		tap_bail("no flusher to send signal %d to", sig);
}

void rig_kill(struct rig *r)
{
	rig_signal(r, SIGKILL);
	rig_wait(r);
}

int rig_stop(struct rig *r)
{
	rig_signal(r, SIGTERM);
	return rig_wait(r);
}

void rig_log_mark(struct rig *r)
{
	r->log_mark = (long)rig_file_bytes(r->log);
}

/* The log from the mark on; NULL: there is none. */
static FILE *open_log(const struct rig *r)
{
	FILE *log = fopen(r->log, "re");

	if (log)
		fseek(log, r->log_mark, SEEK_SET);
	return log;
}

unsigned rig_log_count(const struct rig *r, const char *a, const char *b)
{
	FILE *log = open_log(r);
	char line[LINE_BYTES];
	unsigned n = 0;

	while (log && fgets(line, sizeof(line), log))
		n += strstr(line, a) && (!b || strstr(line, b));
	if (log)
		fclose(log);
	return n;
}

int64_t rig_log_sum(const struct rig *r, const char *event, const char *key)
{
	FILE *log = open_log(r);
	char line[LINE_BYTES], is[64], field[64];
	int64_t sum = 0;

	snprintf(is, sizeof(is), "event=%s ", event);
	snprintf(field, sizeof(field), " %s=", key);
	while (log && fgets(line, sizeof(line), log)) {
		const char *at = strstr(line, field);

		if (at && strstr(line, is))
			sum += strtoll(at + strlen(field), NULL, 10);
	}
	if (log)
		fclose(log);
	return sum;
}

const char *rig_log_last(const struct rig *r, const char *text)
{
	static char last[LINE_BYTES];
	char line[LINE_BYTES];
	FILE *log = open_log(r);

	last[0] = '\0';
	while (log && fgets(line, sizeof(line), log))
		if (strstr(line, text))
			memcpy(last, line, sizeof(last));
	if (log)
		fclose(log);
	last[strcspn(last, "\n")] = '\0';
	return last;
}

bool rig_log_wait(const struct rig *r, const char *a, const char *b)
{
	struct pollfd fds[2] = {
		{.fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK),
	         .events = POLLIN},
		{.fd = pid_descriptor(r->pid), .events = POLLIN}};
	int64_t end = rig_now_ms() + RIG_PATIENCE_MS;
	char events[4096];
	bool found;

	if (fds[0].fd < 0 ||
	    inotify_add_watch(fds[0].fd, r->log, IN_MODIFY) < 0)
		tap_bail("inotify: %s: %s", r->log, strerror(errno));
	while (!(found = rig_log_count(r, a, b) > 0) &&
	       !(fds[1].revents & POLLIN)) {
		if (rig_now_ms() > end) {
			rig_log_show(r);
			tap_bail("the log never says %s %s", a, b ? b : "");
		}
		poll(fds, 2, 1000);
		while (read(fds[0].fd, events, sizeof(events)) > 0)
			;
	}
	close(fds[0].fd);
	close(fds[1].fd);
	return found;
}

void rig_log_show(const struct rig *r)
{
	FILE *log = open_log(r);
	char line[LINE_BYTES];

	while (log && fgets(line, sizeof(line), log)) {
		line[strcspn(line, "\n")] = '\0';
		tap_diag("  log: %s", line);
	}
	if (log)
		fclose(log);
}

int rig_flush(struct wbc *c)
{
	return wbc_flush(c, NULL, RIG_PATIENCE_MS, NULL);
}
