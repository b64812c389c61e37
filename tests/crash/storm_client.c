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
#include "storm.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "tap/tap.h"
#include "unit/step.h"

enum {
	HELD = 6, /* counters kept open */
	BURST = 48,
	DECOYS = 8,
	SOON_MS = 50
};

/* Who acts: a process or a thread. */
struct actor {
	struct storm_world *w;
	const char *path;
	unsigned place, number; /* of its desk */
	struct storm_desk *desk;
	struct dice dice;
	struct wbc *c;
	struct wbc_table *sums, *events;
	struct wbc_counter *held[HELD];
	uint32_t held_cell[HELD];

	pthread_t thread;   /* of a process: the one it has begun, */
	struct actor *peer; /* and what that is, or NULL */
	_Atomic bool leave; /* of a thread: it is to end */
	_Atomic int error;  /* why it did */
};

static void count(struct actor *a, enum storm_stat what)
{
	atomic_fetch_add(&a->w->stats[what], 1);
}

static void pause_ms(int ms)
{
	poll(NULL, 0, ms);
}

/* 0 if the storm explains an error, else the error. */
static int excuse(struct actor *a, int error)
{
	switch (error) {
	case -ENOSPC:
		count(a, STAT_NO_ROOM);
		return atomic_load(&a->w->fills) ? 0 : error;
	case -EUSERS: /* the dead have them all */
		count(a, STAT_NO_SLOT);
		pause_ms(1);
		return 0;
	default:
		return error;
	}
}

/* Open anew: another slot, another lane, so another order of rows. */
static int attach(struct actor *a)
{
	struct wbc_options o = WBC_OPTIONS_INIT;
	int error;

	a->desk->life++;
	if (!a->c) {
		do {
			error = wbc_open(&a->c, a->w->address, &o);
		} while (error && !excuse(a, error) &&
		         !atomic_load(&a->w->stop));
		if (error)
			return excuse(a, error);
	}
	do {
		error = wbc_table_declare(a->c, storm_sums, &a->sums, NULL, 0);
		if (!error)
			error = wbc_table_declare(a->c, storm_events,
			                          &a->events, NULL, 0);
	} while (error && !excuse(a, error) && !atomic_load(&a->w->stop));
	return excuse(a, error);
}

static void detach(struct actor *a)
{
	wbc_close(&a->c);
	memset(a->held, 0, sizeof(a->held));
}

static uint32_t choose_cell(struct actor *a)
{
	uint32_t row = dice_below(&a->dice, STORM_SHARED_ROWS);

	if (dice_below(&a->dice, 3) == 0)
		row = STORM_SHARED_ROWS +
		      (atomic_load(&a->w->newest) +
		       dice_below(&a->dice, STORM_NEW_ROWS)) %
		              (STORM_ROWS - STORM_SHARED_ROWS);
	return row * STORM_COLUMNS + dice_below(&a->dice, STORM_COLUMNS);
}

static int add_to_key(struct actor *a, const struct wbc_value *key,
                      uint32_t column)
{
	if (column == 2)
		return wbc_add_double(a->sums, key, 2, 2 + column,
		                      STORM_DELTA_SECONDS);
	return wbc_add_int64(a->sums, key, 2, 2 + column,
	                     column ? STORM_DELTA_BYTES : 1);
}

static int add_by_key(struct actor *a, uint32_t cell)
{
	struct wbc_value key[2];
	char name[256];

	storm_key(cell / STORM_COLUMNS, name, key);
	return add_to_key(a, key, cell % STORM_COLUMNS);
}

static int open_counter(struct actor *a, uint32_t cell,
                        struct wbc_counter **counter)
{
	struct wbc_value key[2];
	char name[256];

	storm_key(cell / STORM_COLUMNS, name, key);
	return wbc_counter_open(a->sums, key, 2, 2 + cell % STORM_COLUMNS,
	                        counter);
}

static int add_by_handle(struct wbc_counter *counter, uint32_t cell)
{
	uint32_t column = cell % STORM_COLUMNS;

	return column == 2
	               ? wbc_counter_add_double(counter, STORM_DELTA_SECONDS)
	               : wbc_counter_add(counter,
	                                 column ? STORM_DELTA_BYTES : 1);
}

static void begin_add(struct actor *a, uint32_t cell)
{
	a->desk->before = atomic_load(&a->desk->added[cell]);
	atomic_store(&a->desk->pending, cell + 1);
}

static int end_add(struct actor *a, uint32_t cell, int error)
{
	if (!error) {
		atomic_fetch_add(&a->desk->added[cell], 1);
		atomic_fetch_add(&a->desk->calls, 1);
	}
	atomic_store(&a->desk->pending, 0);
	return excuse(a, error);
}

static int do_key(struct actor *a)
{
	uint32_t cell = choose_cell(a);
	enum storm_lie lie = dice_below(&a->dice, 64) ? LIE_NONE : a->w->lie;
	int error = 0;

	begin_add(a, cell);
	if (lie != LIE_NOT_ADDED)
		error = add_by_key(a, cell);
	if (lie == LIE_ADDED_TWICE && !error)
		error = add_by_key(a, cell);
	return end_add(a, cell, error);
}

/* Through a counter that was opened some time ago. */
static int do_held(struct actor *a)
{
	uint32_t i = dice_below(&a->dice, HELD);
	uint32_t cell;

	if (a->held[i] && dice_below(&a->dice, 32) == 0)
		wbc_counter_close(&a->held[i]);
	if (!a->held[i]) {
		struct wbc_counter *counter;
		int error;

		cell = choose_cell(a);
		error = open_counter(a, cell, &counter);
		if (error)
			return excuse(a, error);
		a->held_cell[i] = cell;
		a->held[i] = counter;
	}
	cell = a->held_cell[i];
	begin_add(a, cell);
	return end_add(a, cell, add_by_handle(a->held[i], cell));
}

/* Open, add, close. */
static int do_passing(struct actor *a)
{
	uint32_t cell = choose_cell(a);
	struct wbc_counter *counter;
	int error = open_counter(a, cell, &counter);

	if (error)
		return excuse(a, error);
	begin_add(a, cell);
	error = end_add(a, cell, add_by_handle(counter, cell));
	wbc_counter_close(&counter);
	return error;
}

/* A row that is refused was not made: its number is used again. */
static int insert(struct actor *a, int timeout_ms, bool lie)
{
	static const char note[200] = "what happened";
	struct wbc_value row[] = {
		wbc_int64("desk", a->number),
		wbc_int64("life", a->desk->life),
		wbc_int64("seq", (int64_t)atomic_load(&a->desk->seq)),
		wbc_text("note", note, dice_below(&a->dice, sizeof(note))),
	};
	int error = 0;

	atomic_store(&a->desk->pending, STORM_INSERT);
	if (!lie)
		error = wbc_insert(a->events, row, 4, timeout_ms);
	/* From here on it is another row's. */
	if (!error) {
		atomic_fetch_add(&a->desk->seq, 1);
		atomic_fetch_add(&a->desk->calls, 1);
	}
	atomic_store(&a->desk->pending, 0);
	return error;
}

static int do_insert(struct actor *a)
{
	bool lie =
		a->w->lie == LIE_NOT_INSERTED && dice_below(&a->dice, 8) == 0;
	int error = insert(a, (int)dice_below(&a->dice, SOON_MS), lie);

	if (error == -EAGAIN || error == WBC_E_NOFLUSHER) {
		count(a, STAT_LANE_FULL);
		return 0;
	}
	return excuse(a, error);
}

static int do_declare(struct actor *a)
{
	const char *spec = storm_extras[dice_below(&a->dice, STORM_EXTRAS)];
	struct wbc_table *t;

	return excuse(a, wbc_table_declare(a->c, spec, &t, NULL, 0));
}

static int do_read(struct actor *a)
{
	struct wbc_value key[2];
	char name[256];
	int64_t value;
	int error;

	storm_key(dice_below(&a->dice, STORM_SHARED_ROWS), name, key);
	error = wbc_read_int64(a->sums, key, 2, 2, &value);
	return error == WBC_E_UNKNOWN || error == WBC_E_NOROW
	               ? 0
	               : excuse(a, error);
}

/* Ask the flusher, which may be dead or stopped. */
static int do_ask(struct actor *a)
{
	int error;

	count(a, STAT_ASKED);
	error = dice_below(&a->dice, 4)
	                ? wbc_sync(a->c, SOON_MS)
	                : wbc_flush(a->c, NULL, 4 * SOON_MS, NULL);
	if (!error)
		count(a, STAT_SERVED);
	return error == -ETIMEDOUT || error == WBC_E_NOFLUSHER
	               ? 0
	               : excuse(a, error);
}

static int do_one(struct actor *a)
{
	uint32_t n = dice_below(&a->dice, 1024);

	/* One place is somebody who keeps asking. */
	if (n < (a->place == 0 ? 24u : 1u))
		return do_ask(a);
	if (n < 32)
		return do_declare(a);
	if (n < 64)
		return do_insert(a);
	if (n < 96)
		return do_read(a);
	if (n < 128)
		return do_passing(a);
	return n < 512 ? do_held(a) : do_key(a);
}

static int burst(struct actor *a)
{
	int error = 0;

	for (uint32_t n = dice_below(&a->dice, 4 * BURST); n && !error; n--)
		error = do_one(a);
	return error;
}

/* A thread of the same handle; cancellation is deferred to where it waits. */
static void *be_thread(void *arg)
{
	struct actor *a = arg;
	int error = 0;

	while (!error && !atomic_load(&a->leave) && !atomic_load(&a->w->stop)) {
		error = burst(a);
		pause_ms(1);
	}
	atomic_store(&a->error, error);
	return NULL;
}

static int begin_thread(struct actor *a)
{
	struct actor *peer = malloc(sizeof(*peer));

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
	count(a, STAT_THREADS);
	return 0;
}

static int end_thread(struct actor *a, bool cancel)
{
	int error;

	if (!a->peer)
		return 0;
	if (cancel) {
		count(a, STAT_CANCELS);
		pthread_cancel(a->thread);
	}
	atomic_store(&a->peer->leave, true);
	pthread_join(a->thread, NULL);
	error = atomic_load(&a->peer->error);
	free(a->peer);
	a->peer = NULL;
	return error;
}

static int reopen(struct actor *a)
{
	int error = end_thread(a, dice_below(&a->dice, 2));

	if (error)
		return error;
	count(a, STAT_REOPENS);
	detach(a);
	return attach(a);
}

/* A library closes what it does not know, and opens files of its own. */
static int rob(struct actor *a)
{
	int flags = O_RDWR | O_CLOEXEC | O_APPEND;

	count(a, STAT_ROBBED);
	if (syscall(SYS_close_range, 3u, ~0u, 0u))
		for (int fd = 3; fd < 64; fd++)
			close(fd);
	for (int i = 0; i < DECOYS; i++)
		if (open(a->w->decoy, flags) < 0)
			return -errno;
	return 0;
}

static int become_anew(struct actor *a)
{
	char place[16], seed[32];
	char *const argv[] = {(char *)(uintptr_t) "storm", place, seed,
	                      (char *)(uintptr_t)a->path, NULL};

	snprintf(place, sizeof(place), "%u", a->place);
	snprintf(seed, sizeof(seed), "%llu",
	         (unsigned long long)dice_word(&a->dice));
	count(a, STAT_EXECS);
	execv("/proc/self/exe", argv);
	return -errno;
}

#if STEP_WORKS

struct slow_add {
	struct actor *a;
	const struct wbc_value *key;
	uint32_t column;
	int error;
};

static void add_slowly(void *arg)
{
	struct slow_add *add = arg;

	add->error = add_to_key(add->a, add->key, add->column);
}

static void stop_here(void *arg)
{
	(void)arg;
	raise(SIGSTOP);
}

/* Stop between two instructions of an add; or after it, if it is shorter. */
static int halt(struct actor *a, uint32_t at)
{
	uint32_t cell = choose_cell(a);
	struct wbc_value key[2];
	struct slow_add add = {a, key, cell % STORM_COLUMNS, 0};
	char name[256];

	storm_key(cell / STORM_COLUMNS, name, key);
	begin_add(a, cell);
	if (!step_once(add_slowly, &add, stop_here, NULL, at))
		raise(SIGSTOP);
	return end_add(a, cell, add.error);
}

#else

static int halt(struct actor *a, uint32_t at)
{
	(void)a;
	(void)at;
	raise(SIGSTOP);
	return 0;
}

#endif

/* The test wants us to stop, and waits for it. */
static int obey(struct actor *a)
{
	uint32_t at = 0;

	if (a->number % STORM_ACTORS == 0)
		at = atomic_exchange(&a->w->halt[a->place], 0);
	return at ? halt(a, at) : 0;
}

static int live(struct actor *a);

/* The child goes on with the handle; it is nobody's to wait for. */
static int fork_child(struct actor *a)
{
	uint64_t seed = dice_word(&a->dice);
	pid_t pid;

	if (atomic_exchange(&a->w->forked[a->place], true))
		return 0;
	pid = fork();
	if (pid) {
		if (pid > 0)
			count(a, STAT_FORKS);
		return 0;
	}
	a->number += 2;
	a->desk = &a->w->desks[a->number];
	a->dice.state = seed;
	a->peer = NULL; /* it is not in this process */
	a->desk->life++;
	_exit(live(a) ? 1 : 0);
}

static int change_life(struct actor *a)
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

static int live(struct actor *a)
{
	int error = 0;

	while (!error && !atomic_load(&a->w->stop)) {
		error = burst(a);
		if (!error)
			error = obey(a);
		if (!error)
			error = change_life(a);
		pause_ms(dice_below(&a->dice, 8) ? 0 : 1);
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
	struct actor a = {.path = path, .place = place, .c = c};
	int error;

	a.w = storm_world_find(path);
	a.number = place * STORM_ACTORS;
	a.desk = &a.w->desks[a.number];
	a.dice.state = seed;
	error = attach(&a);
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
static int watch_one(struct actor *a)
{
	uint64_t begin = now_ns();
	int error;

	if (dice_below(&a->dice, 16)) {
		error = dice_below(&a->dice, 2) ? do_key(a) : do_held(a);
		note_time(&a->w->adds, now_ns() - begin);
		return error;
	}
	error = insert(a, 0, false);
	if (error == -EAGAIN || error == WBC_E_NOFLUSHER)
		return 0; /* no room: that is allowed to take a while */
	note_time(&a->w->inserts, now_ns() - begin);
	return excuse(a, error);
}

_Noreturn void storm_watch(struct storm_world *w, uint64_t seed)
{
	struct actor a = {.w = w, .number = STORM_WATCH};
	int error;

	a.desk = &w->desks[STORM_WATCH];
	a.dice.state = seed;
	error = attach(&a);
	while (!error && !atomic_load(&w->stop)) {
		for (int i = 0; i < 16 && !error; i++)
			error = watch_one(&a);
		pause_ms(1);
	}
	if (error)
		tap_diag("the watching client: %s", wbc_error_name(error));
	wbc_close(&a.c);
	_exit(error ? 1 : 0);
}
