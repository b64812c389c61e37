/* SPDX-License-Identifier: MIT */
/* Copyright the wbcshm authors */

/*
 * The calls that are made in a storm.  What is about to be done is noted at
 * the actor's desk before a call, and that it was acknowledged after it.
 */
#include "storm_actor.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <string.h>

#include "unit/step.h"

enum { BURST = 48, SOON_MS = 50 };

void storm_count(struct storm_actor *a, enum storm_stat what)
{
	atomic_fetch_add(&a->w->stats[what], 1);
}

void storm_pause(int ms)
{
	poll(NULL, 0, ms);
}

/* 0 if the storm explains an error, else the error. */
static int excuse(struct storm_actor *a, int error)
{
	switch (error) {
	case -ENOSPC:
		storm_count(a, STAT_NO_ROOM);
		atomic_fetch_add(&a->desk->refused, 1);
		return atomic_load(&a->w->fills) ? 0 : error;
	case -EUSERS: /* the dead have them all */
		storm_count(a, STAT_NO_SLOT);
		atomic_fetch_add(&a->desk->refused, 1);
		storm_pause(1);
		return 0;
	default:
		return error;
	}
}

/* Open anew: another slot, another lane, so another order of rows. */
int storm_attach(struct storm_actor *a)
{
	struct wbc_options o = WBC_OPTIONS_INIT;
	int error;

	o.full_wait_ms = STORM_FULL_WAIT_MS;
	o.load_wait_ms = SOON_MS;
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

static uint32_t choose_cell(struct storm_actor *a)
{
	uint32_t row = dice_below(&a->dice, STORM_SHARED_ROWS);

	if (dice_below(&a->dice, 3) == 0)
		row = STORM_SHARED_ROWS +
		      (atomic_load(&a->w->newest) +
		       dice_below(&a->dice, STORM_NEW_ROWS)) %
		              (STORM_ROWS - STORM_SHARED_ROWS);
	return row * STORM_COLUMNS + dice_below(&a->dice, STORM_COLUMNS);
}

static int add_to_key(struct storm_actor *a, const struct wbc_value *key,
                      uint32_t column)
{
	if (column == 2)
		return wbc_add_double(a->sums, key, 2, 2 + column,
		                      STORM_DELTA_SECONDS);
	return wbc_add_int64(a->sums, key, 2, 2 + column,
	                     column ? STORM_DELTA_BYTES : 1);
}

static int add_by_key(struct storm_actor *a, uint32_t cell)
{
	struct wbc_value key[2];
	char name[256];

	storm_key(cell / STORM_COLUMNS, name, key);
	return add_to_key(a, key, cell % STORM_COLUMNS);
}

static int open_counter(struct storm_actor *a, uint32_t cell,
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

static void begin_add(struct storm_actor *a, uint32_t cell)
{
	a->desk->before = atomic_load(&a->desk->added[cell]);
	atomic_store(&a->desk->pending, cell + 1);
}

static int end_add(struct storm_actor *a, uint32_t cell, int error)
{
	if (!error) {
		atomic_fetch_add(&a->desk->added[cell], 1);
		atomic_fetch_add(&a->desk->calls, 1);
	}
	atomic_store(&a->desk->pending, 0);
	return excuse(a, error);
}

static int do_key(struct storm_actor *a)
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
static int do_held(struct storm_actor *a)
{
	uint32_t i = dice_below(&a->dice, STORM_HELD);
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

int storm_add(struct storm_actor *a)
{
	return dice_below(&a->dice, 2) ? do_key(a) : do_held(a);
}

/* Open, add, close. */
static int do_passing(struct storm_actor *a)
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
static int insert(struct storm_actor *a, int timeout_ms, bool lie)
{
	char note[200];
	struct wbc_value row[] = {
		wbc_int64("desk", a->number),
		wbc_int64("life", a->desk->life),
		wbc_int64("seq", (int64_t)atomic_load(&a->desk->seq)),
		wbc_text("note", note, dice_below(&a->dice, sizeof(note))),
	};
	int error = 0;

	memset(note, 'n', sizeof(note));
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

int storm_insert(struct storm_actor *a, int timeout_ms, bool *made)
{
	bool lie =
		a->w->lie == LIE_NOT_INSERTED && dice_below(&a->dice, 8) == 0;
	int error = insert(a, timeout_ms, lie);

	*made = !error;
	if (error == -EAGAIN || error == WBC_E_NOFLUSHER) {
		storm_count(a, STAT_LANE_FULL);
		return 0;
	}
	return excuse(a, error);
}

static int do_insert(struct storm_actor *a)
{
	bool made;

	return storm_insert(a, (int)dice_below(&a->dice, SOON_MS), &made);
}

static int do_declare(struct storm_actor *a)
{
	const char *spec = storm_extras[dice_below(&a->dice, STORM_EXTRAS)];
	struct wbc_table *t;

	return excuse(a, wbc_table_declare(a->c, spec, &t, NULL, 0));
}

static int do_read(struct storm_actor *a)
{
	struct wbc_value key[2];
	char name[256];
	int64_t value;
	int error;

	storm_key(dice_below(&a->dice, STORM_SHARED_ROWS), name, key);
	error = wbc_read_int64(a->sums, key, 2, 2, &value);
	return error == WBC_E_UNKNOWN || error == WBC_E_NOROW ||
	                       error == WBC_E_NOFLUSHER || error == -ETIMEDOUT
	               ? 0
	               : excuse(a, error);
}

/* Ask the flusher, which may be dead or stopped. */
static int do_ask(struct storm_actor *a)
{
	int error;

	storm_count(a, STAT_ASKED);
	error = dice_below(&a->dice, 4)
	                ? wbc_sync(a->c, SOON_MS)
	                : wbc_flush(a->c, NULL, 4 * SOON_MS, NULL);
	if (!error)
		storm_count(a, STAT_SERVED);
	return error == -ETIMEDOUT || error == WBC_E_NOFLUSHER
	               ? 0
	               : excuse(a, error);
}

static int do_one(struct storm_actor *a)
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

int storm_burst(struct storm_actor *a)
{
	int error = 0;

	for (uint32_t n = dice_below(&a->dice, 4 * BURST); n && !error; n--)
		error = do_one(a);
	return error;
}

#if STEP_WORKS

struct slow_add {
	struct storm_actor *a;
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
int storm_halt(struct storm_actor *a, uint32_t at)
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

int storm_halt(struct storm_actor *a, uint32_t at)
{
	(void)a;
	(void)at;
	raise(SIGSTOP);
	return 0;
}

#endif
