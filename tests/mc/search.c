/* SPDX-License-Identifier: MIT */
/* Copyright the wbcshm authors */

/*
 * The search: an execution is a sequence of choices; the next execution makes
 * the same ones up to the last that has another answer left, and that one.
 * A program under the checker does the same whenever the choices are the
 * same, so nothing but the choices is kept.
 *
 * States are known by a hash of what each thread did and read, and of the
 * order of stores to each word.  One that was met before, with the same
 * budgets left, is not searched again.
 *
 * For people a path is "step:answer" for each choice whose answer is not 0,
 * with the kind in front: t thread, s start, d death, v value.
 */
#include "engine.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct choice {
	uint32_t step;
	uint8_t kind;
	uint8_t n;
	uint8_t at;
};

#define CHOICES_MAX 65536u
static struct choice choices[CHOICES_MAX];
static unsigned n_choices, place;
static bool replaying;
static uint64_t dice;

static const char letters[PICK_KINDS + 1] = "stdv";

/* States met: open addressing, 0 is none. */
static uint64_t *states;
static size_t states_size, states_used;
#define STATES_MOST (1u << 24)

/* A large one goes: to clear it takes longer than most searches. */
static void forget_states(void)
{
	if (states_size > 1u << 14) {
		free(states);
		states = NULL;
		states_size = 0;
	}
	if (states)
		memset(states, 0, states_size * sizeof(*states));
	states_used = 0;
}

static void add_state(uint64_t state)
{
	size_t i = state & (states_size - 1);

	while (states[i])
		i = (i + 1) & (states_size - 1);
	states[i] = state;
}

static void grow_states(void)
{
	uint64_t *old = states;
	size_t n = states_size;

	states_size = n ? 2 * n : 1u << 14;
	states = mc_real_alloc(states_size * sizeof(*states));
	memset(states, 0, states_size * sizeof(*states));
	for (size_t i = 0; i < n; i++) {
		if (old[i])
			add_state(old[i]);
	}
	free(old);
}

/* Has this state been searched, or is it being searched, already? */
bool mc_seen_before(uint64_t state)
{
	size_t i;

	state += !state;
	if (states_used * 2 >= states_size) {
		if (states_size >= STATES_MOST)
			return false;
		grow_states();
	}
	for (i = state & (states_size - 1); states[i];
	     i = (i + 1) & (states_size - 1)) {
		if (states[i] == state)
			return true;
	}
	states[i] = state;
	states_used++;
	return false;
}

/* Is the execution past the choices that it repeats? */
bool mc_on_new_ground(void)
{
	return !replaying && !mc.random && place >= n_choices;
}

static uint64_t roll(void)
{
	dice ^= dice << 13;
	dice ^= dice >> 7;
	dice ^= dice << 17;
	return dice;
}

static unsigned replayed(enum choice_kind kind, unsigned n)
{
	for (; place < n_choices; place++) {
		const struct choice *c = &choices[place];

		if (c->step > mc.steps)
			break;
		if (c->step == mc.steps && c->kind == kind && c->at < n)
			return c->at;
		if (c->step == mc.steps)
			break;
	}
	return 0;
}

static unsigned random_choice(enum choice_kind kind, unsigned n)
{
	/* Mostly on as it is, else hardly any execution would get far. */
	if (kind != PICK_START && roll() >> 20 & 31)
		return 0;
	return (unsigned)((roll() >> 33) % n);
}

unsigned mc_choose(enum choice_kind kind, unsigned n)
{
	struct choice *c = &choices[place];

	if (n < 2)
		return 0;
	if (replaying)
		return replayed(kind, n);
	if (place < n_choices) {
		if (c->step != mc.steps || c->n != n || c->kind != kind)
			tap_bail("%s: not the same twice: at step %u, not %u",
			         mc.scenario->name, mc.steps, c->step);
		place++;
		return c->at;
	}
	if (n_choices == CHOICES_MAX)
		tap_bail("an execution made more choices than can be kept");
	*c = (struct choice){mc.steps, (uint8_t)kind, (uint8_t)n, 0};
	if (mc.random)
		c->at = (uint8_t)random_choice(kind, n);
	n_choices = ++place;
	return c->at;
}

/* To the next path; false if that was the last. */
static bool advance(void)
{
	while (n_choices) {
		struct choice *c = &choices[n_choices - 1];

		if (++c->at < c->n)
			return true;
		n_choices--;
	}
	return false;
}

void mc_path(char *text, size_t room)
{
	size_t at = 0;

	text[0] = '\0';
	for (unsigned i = 0; i < n_choices && at < room; i++) {
		const struct choice *c = &choices[i];

		if (c->at)
			at += (size_t)snprintf(text + at, room - at,
			                       "%s%c%" PRIu32 ":%u",
			                       at ? "," : "", letters[c->kind],
			                       c->step, c->at);
	}
	if (at == 0)
		snprintf(text, room, "-");
}

static unsigned least(unsigned a, unsigned b)
{
	return a < b ? a : b;
}

/* What fails mostly fails by little: small searches first find it sooner. */
static void set_budgets(const struct mc_scenario *s)
{
	mc.max_preemptions = s->preemptions ? s->preemptions : 2;
	mc.max_deaths = s->deaths == MC_NOBODY ? 0 : s->deaths ? s->deaths : 2;
	mc.max_stale = s->stale == MC_NOBODY ? 0 : s->stale ? s->stale : 2;
	if (mc.level == 0)
		return;
	mc.max_preemptions = least(mc.max_preemptions, (mc.level + 1) / 2);
	mc.max_stale = least(mc.max_stale, 1);
	mc.max_deaths = least(mc.max_deaths, (mc.level + 1) % 2);
}

/*
 * Search all executions within the budgets, at most @most of them.
 * ENDED: all were searched; CUT: not all; FAILED: mc_path() is one that does.
 */
enum outcome mc_search(const struct mc_scenario *s, uint64_t most)
{
	set_budgets(s);
	replaying = mc.track_all = mc.random = false;
again:
	forget_states();
	mc.executions = mc.with_death = mc.cuts = mc.total_steps = 0;
	n_choices = 0;
	mc.passes++;
	do {
		if (mc.executions >= most)
			return CUT;
		place = 0;
		mc_run_one();
		mc.cuts += mc.outcome == CUT;
		if (mc.outcome == FAILED)
			return FAILED;
		if (mc.outcome == AGAIN)
			goto again;
	} while (advance());
	return ENDED;
}

/* Random executions, from a seed that is printed. */
enum outcome mc_random(const struct mc_scenario *s, uint64_t seed, uint64_t n)
{
	set_budgets(s);
	mc.max_preemptions = mc.max_stale = 200;
	replaying = mc.track_all = false;
	mc.random = true;
	dice = seed * 2 + 1;
	mc.executions = mc.with_death = mc.cuts = mc.total_steps = 0;
	while (mc.executions < n) {
		place = n_choices = 0;
		mc_run_one();
		if (mc.outcome == FAILED)
			break;
	}
	mc.random = false;
	return mc.outcome == FAILED ? FAILED : ENDED;
}

/* Keep only what mc_path() would print, as a replay needs it. */
static void keep_answers(void)
{
	unsigned n = 0;

	for (unsigned i = 0; i < n_choices; i++) {
		if (choices[i].at)
			choices[n++] = choices[i];
	}
	n_choices = n;
}

static void read_path(const char *path)
{
	char kind;
	unsigned step, at;
	int used;

	n_choices = 0;
	while (sscanf(path, "%c%u:%u%n", &kind, &step, &at, &used) == 3) {
		const char *letter = strchr(letters, kind);

		if (!letter || !*letter || n_choices == CHOICES_MAX)
			break;
		choices[n_choices++] = (struct choice){
			step, (uint8_t)(letter - letters), 0, (uint8_t)at};
		path += used;
		path += *path == ',';
	}
}

/* Once more, with a trace; NULL: the path that the search is at. */
enum outcome mc_replay(const struct mc_scenario *s, const char *path)
{
	unsigned preemptions = mc.max_preemptions, stale = mc.max_stale;

	set_budgets(s);
	if (!path) {
		mc.max_preemptions = preemptions;
		mc.max_stale = stale;
		keep_answers();
	} else {
		mc.max_preemptions = mc.max_stale = mc.max_deaths = 255;
		read_path(path);
	}
	place = 0;
	replaying = mc.track_all = mc.tracing = true;
	mc_trace_begin();
	mc_run_one();
	replaying = mc.track_all = mc.tracing = false;
	return mc.outcome;
}
