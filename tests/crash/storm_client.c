/* SPDX-License-Identifier: MIT */
/* Copyright the wbcshm authors */

/*
 * A client in a storm: bursts of calls at random, and between them what a
 * program may do with a handle: fork, exec, threads that end or are cancelled
 * in a call, closing and opening, losing all descriptors.
 *
 * An error that the storm does not explain ends the client, and the test sees
 * its exit status.
 */
#include "storm_actor.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "tap/tap.h"

enum { DECOYS = 8 };

/* A thread of the same handle; cancellation is deferred to where it waits. */
static void *be_thread(void *arg)
{
	struct storm_actor *a = arg;
	int error = 0;

	while (!error && !atomic_load(&a->leave) && !atomic_load(&a->w->stop)) {
		error = storm_burst(a);
		storm_pause(1);
	}
	atomic_store(&a->error, error);
	return NULL;
}

static int begin_thread(struct storm_actor *a)
{
	struct storm_actor *peer = malloc(sizeof(*peer));

	if (!peer)
		return -ENOMEM;
	*peer = *a;
	peer->number = a->number + 1;
	peer->desk = &a->w->desks[peer->number];
	peer->dice.state = dice_word(&a->dice);
	memset(peer->held, 0, sizeof(peer->held));
	/* Whoever sat there before was cancelled, or left by an exec. */
	storm_desk_settle(a->w, peer->number);
	peer->desk->life++;
	if (pthread_create(&a->thread, NULL, be_thread, peer)) {
		free(peer);
		return 0;
	}
	a->peer = peer;
	storm_count(a, STAT_THREADS);
	return 0;
}

static int end_thread(struct storm_actor *a, bool cancel)
{
	int error;

	if (!a->peer)
		return 0;
	if (cancel) {
		storm_count(a, STAT_CANCELS);
		pthread_cancel(a->thread);
	}
	atomic_store(&a->peer->leave, true);
	pthread_join(a->thread, NULL);
	error = atomic_load(&a->peer->error);
	free(a->peer);
	a->peer = NULL;
	return error;
}

static void detach(struct storm_actor *a)
{
	wbc_close(&a->c);
	memset(a->held, 0, sizeof(a->held));
}

static int reopen(struct storm_actor *a)
{
	int error = end_thread(a, dice_below(&a->dice, 2));

	if (error)
		return error;
	storm_count(a, STAT_REOPENS);
	detach(a);
	return storm_attach(a);
}

/* A library closes what it does not know, and opens files of its own. */
static int rob(struct storm_actor *a)
{
	int flags = O_RDWR | O_CLOEXEC | O_APPEND;

	/* It takes numbers that are reused for a race, which they are. */
	if (tap_sanitized("thread"))
		return 0;
	storm_count(a, STAT_ROBBED);
	if (syscall(SYS_close_range, 3u, ~0u, 0u))
		for (int fd = 3; fd < 64; fd++)
			close(fd);
	for (int i = 0; i < DECOYS; i++)
		if (open(a->w->decoy, flags) < 0)
			return -errno;
	return 0;
}

static int become_anew(struct storm_actor *a)
{
	char place[16], seed[32];
	char *const argv[] = {(char *)(uintptr_t) "storm", place, seed,
	                      (char *)(uintptr_t)a->path, NULL};

	snprintf(place, sizeof(place), "%u", a->place);
	snprintf(seed, sizeof(seed), "%llu",
	         (unsigned long long)dice_word(&a->dice));
	storm_count(a, STAT_EXECS);
	execv("/proc/self/exe", argv);
	return -errno;
}

/* The test wants us to stop, and waits for it. */
static int obey(struct storm_actor *a)
{
	uint32_t at = 0;

	if (a->number % STORM_ACTORS == 0)
		at = atomic_exchange(&a->w->halt[a->place], 0);
	return at ? storm_halt(a, at) : 0;
}

static int live(struct storm_actor *a);

/* The child goes on with the handle; it is nobody's to wait for. */
static int fork_child(struct storm_actor *a)
{
	uint64_t seed = dice_word(&a->dice);
	pid_t pid;

	if (atomic_exchange(&a->w->forked[a->place], true))
		return 0;
	pid = fork();
	if (pid) {
		if (pid > 0)
			storm_count(a, STAT_FORKS);
		return 0;
	}
	a->number += 2;
	a->desk = &a->w->desks[a->number];
	a->dice.state = seed;
	a->peer = NULL; /* it is not in this process */
	a->desk->life++;
	_exit(live(a) ? 1 : 0);
}

static int change_life(struct storm_actor *a)
{
	bool child = a->number % STORM_ACTORS != 0;

	switch (dice_below(&a->dice, 64)) {
	case 0:
		return reopen(a);
	case 1:
		return rob(a);
	case 2:
	case 3:
		return child ? 0 : fork_child(a);
	case 4:
		return child ? 0 : become_anew(a);
	case 5:
	case 6:
	case 7:
		if (a->peer)
			return end_thread(a, true);
		return child ? 0 : begin_thread(a);
	case 8:
		return end_thread(a, false);
	default:
		return 0;
	}
}

static int live(struct storm_actor *a)
{
	int error = 0;

	while (!error && !atomic_load(&a->w->stop)) {
		error = storm_burst(a);
		if (!error)
			error = obey(a);
		if (!error)
			error = change_life(a);
		storm_pause(dice_below(&a->dice, 8) ? 0 : 1);
	}
	if (!error)
		error = end_thread(a, false);
	if (error)
		tap_diag("client %u: %s", a->number, wbc_error_name(error));
	wbc_close(&a->c);
	return error;
}

_Noreturn void storm_client(const char *path, unsigned place, uint64_t seed,
                            struct wbc *c)
{
	struct storm_actor a = {.path = path, .place = place, .c = c};
	int error;

	a.w = storm_world_find(path);
	a.number = place * STORM_ACTORS;
	a.desk = &a.w->desks[a.number];
	a.dice.state = seed;
	error = storm_attach(&a);
	if (error)
		tap_diag("attaching: %s", wbc_error_name(error));
	if (!error && a.events)
		error = live(&a);
	_exit(error ? 1 : 0);
}

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void note_time(struct storm_times *t, uint64_t ns)
{
	t->n++;
	if (ns > t->most_ns)
		t->most_ns = ns;
	if (ns / STORM_TIME_NS < STORM_TIMES)
		t->bucket[ns / STORM_TIME_NS]++;
	else
		t->slow++;
}

/* One call, with the clock read right before and after it. */
static int watch_one(struct storm_actor *a)
{
	uint64_t begin = now_ns();
	bool made = false;
	int error;

	if (dice_below(&a->dice, 16)) {
		error = storm_add(a);
		note_time(&a->w->adds, now_ns() - begin);
		return error;
	}
	error = storm_insert(a, 0, &made);
	/* Without room it is allowed to take a while. */
	if (made)
		note_time(&a->w->inserts, now_ns() - begin);
	return error;
}

_Noreturn void storm_watch(struct storm_world *w, uint64_t seed)
{
	struct storm_actor a = {.w = w, .number = STORM_WATCH};
	int error;

	a.desk = &w->desks[STORM_WATCH];
	a.dice.state = seed;
	error = storm_attach(&a);
	while (!error && !atomic_load(&w->stop)) {
		for (int i = 0; i < 16 && !error; i++)
			error = watch_one(&a);
		storm_pause(1);
	}
	if (error)
		tap_diag("the watching client: %s", wbc_error_name(error));
	wbc_close(&a.c);
	_exit(error ? 1 : 0);
}
