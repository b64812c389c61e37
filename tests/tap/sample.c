/* SPDX-License-Identifier: MIT */
/* Copyright the wbcshm authors */

/* sample WHAT - a test program that goes well, or wrong in one known way. */
#include "tap/tap.h"

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static int good(void)
{
	tap_plan(7);
	tap_ok(true, "what holds is %s", "ok");
	tap_is_int(-1, -1, "integers");
	tap_is_uint(~0ull, ~0ull, "unsigned integers");
	tap_is_double(0.5, 0.5, "doubles");
	tap_is_str("a", "a", "strings");
	tap_is_mem("a\0b", "a\0b", 3, "bytes");
	tap_skip(1, "no reason");
	return tap_done();
}

static int bad(void)
{
	tap_ok(true, "first");
	tap_is_int(1, 2, "second");
	tap_is_str(NULL, "a # b\nc", "third\n# SKIP not a directive");
	tap_is_mem("abc", "abd", 3, "fourth");
	return tap_done();
}

static int short_of_plan(void)
{
	tap_plan(2);
	tap_ok(true, "one of two");
	return tap_done();
}

static int crash(void)
{
	tap_ok(true, "before the crash");
	signal(SIGABRT, SIG_DFL);
	raise(SIGKILL);
	return 0;
}

static int bail(void)
{
	tap_ok(true, "before");
	tap_bail("no %s", "ground");
}

static int silent(void)
{
	return 0;
}

static int hang(void)
{
	tap_ok(true, "before the hang");
	while (pause() < 0)
		;
	return 0;
}

/* A stopped grandchild that nobody waits for, whose pid goes to stderr. */
static int leave_behind(void)
{
	if (fork() == 0) {
		pid_t pid;

		setsid();
		pid = fork();
		if (pid == 0) {
			raise(SIGSTOP);
			_exit(0);
		}
		fprintf(stderr, "%d\n", (int)pid);
		_exit(0);
	}
	wait(NULL);
	tap_ok(true, "went on");
	return tap_done();
}

static int fork_results(void)
{
	int status;

	if (fork() == 0) {
		tap_ok(true, "the child's");
		tap_is_int(1, 2, "the child's second");
		tap_child_exit(0);
	}
	wait(&status);
	tap_ok(true, "the parent's");
	return tap_done();
}

static int child_done(void)
{
	if (fork() == 0)
		exit(tap_done());
	wait(NULL);
	tap_ok(true, "the parent's");
	return tap_done();
}

static void *results(void *arg)
{
	for (int i = 0; i < 250; i++)
		tap_ok(true, "%s %d", (const char *)arg, i);
	return NULL;
}

static int threads(void)
{
	static const char *name[] = {"a", "b", "c", "d"};
	pthread_t t[4];

	for (int i = 0; i < 4; i++)
		pthread_create(&t[i], NULL, results, (void *)(size_t)name[i]);
	for (int i = 0; i < 4; i++)
		pthread_join(t[i], NULL);
	return tap_done();
}

static int all_skipped(void)
{
	tap_skip_all("nothing to %s", "do");
}

static const struct {
	const char *name;
	int (*run)(void);
} samples[] = {
	{"good", good},           {"bad", bad},
	{"short", short_of_plan}, {"crash", crash},
	{"bail", bail},           {"silent", silent},
	{"hang", hang},           {"leave", leave_behind},
	{"fork", fork_results},   {"child-done", child_done},
	{"threads", threads},     {"skip-all", all_skipped},
};

int main(int argc, char **argv)
{
	for (size_t i = 0; i < sizeof(samples) / sizeof(samples[0]); i++)
		if (argc == 2 && strcmp(argv[1], samples[i].name) == 0)
			return samples[i].run();
	return 99;
}
