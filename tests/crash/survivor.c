/* SPDX-License-Identifier: MIT */
/* Copyright the wbcshm authors */

#include "survivor.h"

#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "tap/tap.h"

#define PATIENCE_S 60

void survivor_row(char *name, size_t size, unsigned row)
{
	snprintf(name, size, "survivor-%u", row);
}

static struct wbc_value key_of(const char *name)
{
	return wbc_text(NULL, name, (uint32_t)strlen(name));
}

struct self {
	struct wbc *c;
	struct wbc_table *t;
	struct survivor_tally *tally;
	const char *beside;
	unsigned turn;
};

static int insert(struct self *self)
{
	struct scene scene = {.key = "survivor"};
	struct wbc_value values[OPS_VALUES];
	int error;

	op_row(&scene, values);
	error = wbc_insert(self->t, values, OPS_VALUES, 0);
	if (error == -EAGAIN || error == WBC_E_NOFLUSHER)
		return 0;
	self->tally->inserted += !error;
	return error;
}

static int turn(struct self *self)
{
	unsigned row = self->turn++ % SURVIVOR_ROWS;
	struct wbc_value key = key_of(self->beside);
	char name[32];
	int error;

	error = wbc_add_int64(self->t, &key, 1, OPS_M, 1);
	if (error)
		return error;
	self->tally->beside++;
	survivor_row(name, sizeof(name), row);
	key = key_of(name);
	error = wbc_add_int64(self->t, &key, 1, OPS_N, 1);
	if (error)
		return error;
	self->tally->row[row]++;
	return insert(self);
}

static void futex_wake(_Atomic uint32_t *word)
{
	syscall(SYS_futex, word, FUTEX_WAKE, INT_MAX, NULL, NULL, 0);
}

static int live(const struct place *place, struct survivor_tally *tally)
{
	struct self self = {.tally = tally, .beside = place->key};
	struct wbc_options o = WBC_OPTIONS_INIT;
	int error;

	/* There is no flusher that could read anything. */
	o.load_wait_ms = -1;
	error = wbc_open(&self.c, place->address, &o);
	if (!error)
		error = wbc_table_declare(self.c, OPS_SPEC, &self.t, NULL, 0);
	while (!error && !atomic_load(&tally->stop)) {
		uint32_t asked = atomic_load(&tally->asked);

		error = turn(&self);
		if (!error && asked != atomic_load(&tally->answered)) {
			atomic_store(&tally->answered, asked);
			futex_wake(&tally->answered);
		}
	}
	tally->error = error;
	if (self.c)
		wbc_close(&self.c);
	return error ? 1 : 0;
}

/* The victims and the engine share a processor, and leave us the others. */
static void go_elsewhere(void)
{
	cpu_set_t all;

	memset(&all, 0xff, sizeof(all));
	sched_setaffinity(0, sizeof(all), &all);
}

void survivor_start(struct survivor *s, const struct place *place)
{
	s->tally = mmap(NULL, sizeof(*s->tally), PROT_READ | PROT_WRITE,
	                MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (s->tally == MAP_FAILED)
		tap_bail("no memory to share");
	s->pid = fork();
	if (s->pid < 0)
		tap_bail("fork: %s", strerror(errno));
	if (s->pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		go_elsewhere();
		tap_child_exit(live(place, s->tally));
	}
}

bool survivor_turn(struct survivor *s)
{
	struct timespec patience = {.tv_sec = PATIENCE_S};
	uint32_t asked = atomic_fetch_add(&s->tally->asked, 1) + 1;

	for (;;) {
		uint32_t answered = atomic_load(&s->tally->answered);

		if (answered == asked)
			return true;
		if (waitpid(s->pid, NULL, WNOHANG) == s->pid)
			return false;
		if (syscall(SYS_futex, &s->tally->answered, FUTEX_WAIT,
		            answered, &patience, NULL, 0) &&
		    errno == ETIMEDOUT)
			return false;
	}
}

int survivor_stop(struct survivor *s)
{
	atomic_store(&s->tally->stop, 1);
	waitpid(s->pid, NULL, 0);
	return s->tally->error;
}
