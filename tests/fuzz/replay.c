/* SPDX-License-Identifier: MIT */
/* Copyright the wbcshm authors */

/*
 * A target under TAP: first its corpus, then random changes of what is in it.
 *
 *   NAME             both; $WBC_SEED begins another series, and with
 *                    $WBC_SOAK_SECONDS it goes on for so long
 *   NAME FILE...     just these inputs, in this process
 *
 * Inputs run in a child, so that one that ends it can be shown: as a line of
 * hexadecimal digits, which `xxd -r -p` makes a file again.  An input that
 * takes CPU_SECONDS of processor time hangs.
 */
#include <dirent.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "fuzz.h"

#define CPU_SECONDS 20
#define CORPUS_MAX 512

/* Leaks, where the address sanitizer is linked; it ends the process. */
__attribute__((weak)) void __lsan_do_leak_check(void);

/* What the child is doing, for its parent to see. */
struct progress {
	uint64_t n;
	size_t bytes;
	uint8_t data[FUZZ_BYTES_MAX];
};
static struct progress *progress;

struct input {
	char name[NAME_MAX + 1];
	size_t bytes;
	uint8_t *data;
};
static struct input corpus[CORPUS_MAX];
static unsigned n_corpus;

static void run(const uint8_t *data, size_t bytes)
{
	const struct itimerval limit = {.it_value = {.tv_sec = CPU_SECONDS}};
	uint8_t *exact = dice_exact(data, bytes);

	progress->bytes = bytes;
	memmove(progress->data, data, bytes);
	/* Ends the process by a signal; under load it takes longer. */
	setitimer(ITIMER_PROF, &limit, NULL);
	fuzz_target.one(exact, bytes);
	free(exact);
	progress->n++;
}

static struct input read_input(const char *path, const char *name)
{
	struct input in = {.data = malloc(FUZZ_BYTES_MAX)};
	FILE *f = fopen(path, "re");

	if (!f || !in.data)
		tap_bail("%s: cannot be read", path);
	in.bytes = fread(in.data, 1, FUZZ_BYTES_MAX, f);
	fclose(f);
	snprintf(in.name, sizeof(in.name), "%s", name);
	return in;
}

static int no_dots(const struct dirent *e)
{
	return e->d_name[0] != '.';
}

static void read_corpus(void)
{
	const char *source = getenv("WBC_SRC");
	char folder[PATH_MAX / 2], path[PATH_MAX];
	struct dirent **list;
	int n;

	snprintf(folder, sizeof(folder), "%s/tests/fuzz/corpus/%s",
	         source ? source : ".", fuzz_target.name);
	n = scandir(folder, &list, no_dots, alphasort);
	for (int i = 0; i < n; i++) {
		if (n_corpus == CORPUS_MAX)
			tap_bail("%s: more than %d files", folder, CORPUS_MAX);
		snprintf(path, sizeof(path), "%s/%s", folder, list[i]->d_name);
		corpus[n_corpus++] = read_input(path, list[i]->d_name);
		free(list[i]);
	}
	if (n >= 0)
		free(list);
}

static uint64_t now_s(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec;
}

/* What one child does. */
struct task {
	bool random; /* or the corpus */
	struct dice dice;
	uint64_t seconds; /* 0: the target's number of executions */
};

static size_t mutate(struct dice *d, uint8_t *data, size_t bytes)
{
	if (fuzz_target.mutate && dice_below(d, 8) != 0)
		return fuzz_target.mutate(d, data, bytes, FUZZ_BYTES_MAX);
	return dice_mutate(d, data, bytes, FUZZ_BYTES_MAX);
}

/* A few changes of something in the corpus, or of nothing. */
static void run_random(struct dice *d)
{
	uint8_t data[FUZZ_BYTES_MAX];
	size_t bytes = 0;

	if (n_corpus && dice_below(d, 4) != 0) {
		const struct input *from = &corpus[dice_below(d, n_corpus)];

		bytes = from->bytes;
		memcpy(data, from->data, bytes);
	}
	if (bytes == 0) {
		bytes = 1 + dice_below(d, 64);
		for (size_t i = 0; i < bytes; i++)
			data[i] = (uint8_t)dice_word(d);
	}
	for (uint32_t n = 1 + dice_below(d, 6); n; n--)
		bytes = mutate(d, data, bytes);
	run(data, bytes);
}

static void do_task(struct task *task)
{
	uint64_t end = now_s() + task->seconds;

	fuzz_quiet();
	fuzz_target.begin();
	for (unsigned i = 0; i < n_corpus && !task->random; i++)
		run(corpus[i].data, corpus[i].bytes);
	if (task->random)
		do
			run_random(&task->dice);
		while (task->seconds ? now_s() < end
		                     : progress->n < fuzz_target.executions);
	if (__lsan_do_leak_check)
		__lsan_do_leak_check();
	_exit(0);
}

static void show_input(void)
{
	char line[2 * 64 + 1];

	for (size_t at = 0; at < progress->bytes; at += 64) {
		size_t n =
			progress->bytes - at < 64 ? progress->bytes - at : 64;

		for (size_t i = 0; i < n; i++)
			snprintf(line + 2 * i, 3, "%02x",
			         progress->data[at + i]);
		tap_diag("input: %s", line);
	}
}

/* True: all inputs went well. */
static bool run_child(struct task *task)
{
	int status;
	pid_t pid;

	fflush(stdout);
	progress->n = 0;
	pid = fork();
	if (pid < 0)
		tap_bail("fork");
	if (pid == 0)
		do_task(task);
	waitpid(pid, &status, 0);
	if (status == 0)
		return true;
	tap_diag("after %llu executions: %s %d",
	         (unsigned long long)progress->n,
	         WIFSIGNALED(status) ? "signal" : "status",
	         WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
	show_input();
	return false;
}

static int run_files(int argc, char **argv)
{
	fuzz_target.begin();
	for (int i = 1; i < argc; i++) {
		struct input in = read_input(argv[i], "");

		run(in.data, in.bytes);
		free(in.data);
		printf("%s: %zu bytes\n", argv[i], in.bytes);
	}
	return 0;
}

int main(int argc, char **argv)
{
	const char *soak = getenv("WBC_SOAK_SECONDS");
	struct task task = {.seconds = soak ? strtoull(soak, NULL, 10) : 0};
	unsigned long long seed;
	bool good;

	progress = mmap(NULL, sizeof(*progress), PROT_READ | PROT_WRITE,
	                MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (progress == MAP_FAILED)
		tap_bail("no memory");
	if (argc > 1)
		return run_files(argc, argv);
	read_corpus();
	good = run_child(&task);
	if (!good && progress->n < n_corpus)
		tap_diag("it is %s", corpus[progress->n].name);
	tap_ok(good, "P7: %s: %u inputs of the corpus", fuzz_target.name,
	       n_corpus);
	task.random = true;
	task.dice = dice_seeded();
	seed = task.dice.state;
	good = run_child(&task);
	tap_diag("fuzz: %s: %llu executions, seed %llu", fuzz_target.name,
	         (unsigned long long)progress->n, seed);
	tap_ok(good, "P7: %s: %llu random inputs, %u in the corpus: %s",
	       fuzz_target.name, (unsigned long long)progress->n, n_corpus,
	       fuzz_target.promise);
	return tap_done();
}
