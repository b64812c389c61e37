/* SPDX-License-Identifier: MIT */
/* Copyright the wbcshm authors */

/*
 * bounded SECONDS COMMAND [ARGUMENTS] - run one test, and clean up after it
 *
 * The test gets a session and a TMPDIR of its own.  After SECONDS, or more
 * where $WBC_TEST_TIMEOUTS has "NAME=SECONDS" and a word of the command ends
 * with this name, it is killed and that is its failure, so that a hang ends.
 * Whatever it started and left behind, daemons too, is adopted by us (we are
 * their subreaper) and killed, stopped or not.  A signal that ends us ends all
 * of them first.
 *
 * Exit: the test's status, 128 + n if signal n killed it, 124 if time was up,
 * 125 if it could not be run.
 */
#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <dirent.h>

static const int ending[] = {SIGHUP, SIGINT, SIGQUIT, SIGTERM};
enum { N_ENDING = sizeof(ending) / sizeof(ending[0]) };

__attribute__((format(printf, 1, 2), noreturn)) static void die(const char *fmt,
                                                                ...)
{
	va_list args;

	fputs("bounded: ", stderr);
	va_start(args, fmt);
	vfprintf(stderr, fmt, args);
	va_end(args);
	fprintf(stderr, ": %s\n", strerror(errno));
	exit(125);
}

static double now_s(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* The parent of a process, 0 if it is gone. */
static pid_t parent_of(pid_t pid)
{
	char path[64], text[512];
	const char *p;
	size_t n;
	FILE *f;
	int parent = 0;

	snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	f = fopen(path, "re");
	if (!f)
		return 0;
	n = fread(text, 1, sizeof(text) - 1, f);
	fclose(f);
	text[n] = '\0';
	/* The name may hold anything, but it ends at the last bracket. */
	p = strrchr(text, ')');
	if (p && sscanf(p + 1, " %*c %d", &parent) != 1)
		parent = 0;
	return parent;
}

/* Kills every child of ours once; their children become ours. */
static void kill_children(void)
{
	DIR *dir = opendir("/proc");
	const struct dirent *e;

	if (!dir)
		die("/proc");
	while ((e = readdir(dir))) {
		pid_t pid = atoi(e->d_name);

		if (pid > 0 && parent_of(pid) == getpid())
			kill(pid, SIGKILL);
	}
	closedir(dir);
}

/* How many were there still?  Returns when none is left. */
static unsigned kill_all(void)
{
	unsigned n = 0;

	for (;;) {
		pid_t pid = waitpid(-1, NULL, WNOHANG);

		if (pid < 0 && errno == ECHILD)
			return n;
		if (pid > 0) {
			n++;
			continue;
		}
		kill_children();
		nanosleep(&(struct timespec){.tv_nsec = 2000000}, NULL);
	}
}

static pid_t start(char **argv, const sigset_t *mask)
{
	pid_t pid = fork();

	if (pid < 0)
		die("fork");
	if (pid > 0)
		return pid;
	setsid();
	sigprocmask(SIG_SETMASK, mask, NULL);
	execvp(argv[0], argv);
	fprintf(stderr, "bounded: %s: %s\n", argv[0], strerror(errno));
	_exit(125);
}

/*
 * Waits for the test, for the time to be up, or for a signal to us.  Orphans
 * that die meanwhile are reaped on the way.
 */
static int wait_for(pid_t test, double until, const sigset_t *awaited)
{
	for (;;) {
		double left = until - now_s();
		struct timespec t = {
			.tv_sec = (time_t)left,
			.tv_nsec = (long)((left - (double)(time_t)left) * 1e9)};
		int status, sig;
		pid_t pid;

		while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
			if (pid != test)
				continue;
			if (WIFSIGNALED(status))
				return 128 + WTERMSIG(status);
			return WEXITSTATUS(status);
		}
		if (left <= 0)
			return 124;
		sig = sigtimedwait(awaited, NULL, &t);
		for (int i = 0; i < N_ENDING; i++)
			if (sig == ending[i])
				return 128 + sig;
	}
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

static bool ends_with(const char *word, const char *end, size_t len)
{
	size_t has = strlen(word);

	return has >= len && memcmp(word + has - len, end, len) == 0;
}

/* The longest that the list has for this command; 0 if it has none. */
static double limit_of(const char *list, char **command)
{
	double limit = 0, s;
	const char *equals;

	for (; list && *list;
	     list += strcspn(list, " "), list += *list == ' ') {
		size_t len = strcspn(list, " ");

		equals = memchr(list, '=', len);
		if (!equals)
			continue;
		s = atof(equals + 1);
		for (char **word = command; *word && s > limit; word++)
			if (ends_with(*word, list, (size_t)(equals - list)))
				limit = s;
	}
	return limit;
}

int main(int argc, char **argv)
{
	const char *tmp = getenv("TMPDIR");
	char dir[PATH_MAX];
	double begin = now_s(), limit, own;
	sigset_t awaited, before;
	unsigned left_over;
	int status;

	if (argc < 3 || (limit = atof(argv[1])) <= 0) {
		fputs("usage: bounded SECONDS COMMAND [ARGUMENTS]\n", stderr);
		return 125;
	}
	own = limit_of(getenv("WBC_TEST_TIMEOUTS"), argv + 2);
	limit = own > limit ? own : limit;
	snprintf(dir, sizeof(dir), "%s/wbctest-XXXXXX", tmp ? tmp : "/tmp");
	if (!mkdtemp(dir))
		die("%s", dir);
	setenv("TMPDIR", dir, 1);

	sigemptyset(&awaited);
	sigaddset(&awaited, SIGCHLD);
	for (int i = 0; i < N_ENDING; i++)
		sigaddset(&awaited, ending[i]);
	sigprocmask(SIG_BLOCK, &awaited, &before);
	if (prctl(PR_SET_CHILD_SUBREAPER, 1L, 0L, 0L, 0L) < 0)
		die("prctl");

	status = wait_for(start(argv + 2, &before), begin + limit, &awaited);
	left_over = kill_all();
	remove_tree(dir);

	if (status == 124)
		printf("# killed after %g s\n", limit);
	else if (left_over)
		printf("# left %u process%s running\n", left_over,
		       left_over == 1 ? "" : "es");
	printf("# took %.2f s\n", now_s() - begin);
	return status;
}
