/* SPDX-License-Identifier: MIT */
/* Copyright the wbcshm authors */

/*
 * One execution: threads are fibers of this thread, each with a stack.  One
 * runs until the search says that another shall, at a point before an access
 * of something that several threads use; or until it waits, ends or is
 * killed.
 *
 * Not to go on with a thread that could go on is a preemption, and bounded.
 * A process is killed at such a point of one of its threads: its other
 * threads end with it, where they are.
 */
#include "engine.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#define STACK_BYTES (256u << 10)

struct mc mc;

static void *main_sp;
static unsigned char *stacks;
static jmp_buf solo_end;
static bool solo;

/* void mc_switch(void **save, void *load): all that a call preserves. */
#if defined(__x86_64__)
__asm__(".text\n"
        ".globl mc_switch\n"
        ".hidden mc_switch\n"
        ".type mc_switch,@function\n"
        "mc_switch:\n"
        "	pushq %rbp\n"
        "	pushq %rbx\n"
        "	pushq %r12\n"
        "	pushq %r13\n"
        "	pushq %r14\n"
        "	pushq %r15\n"
        "	movq %rsp, (%rdi)\n"
        "	movq %rsi, %rsp\n"
        "	popq %r15\n"
        "	popq %r14\n"
        "	popq %r13\n"
        "	popq %r12\n"
        "	popq %rbx\n"
        "	popq %rbp\n"
        "	ret\n"
        ".size mc_switch,.-mc_switch\n");
/* As if called: the stack is 8 off a multiple of 16. */
#define SAVED_WORDS 7u
#define SAVED_RETURN 6u
#define STACK_SKEW 8u
#elif defined(__aarch64__)
__asm__(".text\n"
        ".globl mc_switch\n"
        ".hidden mc_switch\n"
        ".type mc_switch,%function\n"
        "mc_switch:\n"
        "	sub sp, sp, #160\n"
        "	stp x19, x20, [sp, #0]\n"
        "	stp x21, x22, [sp, #16]\n"
        "	stp x23, x24, [sp, #32]\n"
        "	stp x25, x26, [sp, #48]\n"
        "	stp x27, x28, [sp, #64]\n"
        "	stp x29, x30, [sp, #80]\n"
        "	stp d8, d9, [sp, #96]\n"
        "	stp d10, d11, [sp, #112]\n"
        "	stp d12, d13, [sp, #128]\n"
        "	stp d14, d15, [sp, #144]\n"
        "	mov x9, sp\n"
        "	str x9, [x0]\n"
        "	mov sp, x1\n"
        "	ldp x19, x20, [sp, #0]\n"
        "	ldp x21, x22, [sp, #16]\n"
        "	ldp x23, x24, [sp, #32]\n"
        "	ldp x25, x26, [sp, #48]\n"
        "	ldp x27, x28, [sp, #64]\n"
        "	ldp x29, x30, [sp, #80]\n"
        "	ldp d8, d9, [sp, #96]\n"
        "	ldp d10, d11, [sp, #112]\n"
        "	ldp d12, d13, [sp, #128]\n"
        "	ldp d14, d15, [sp, #144]\n"
        "	add sp, sp, #160\n"
        "	ret\n"
        ".size mc_switch,.-mc_switch\n");
#define SAVED_WORDS 20u
#define SAVED_RETURN 11u
#define STACK_SKEW 0u
#endif

const char *mc_thread_name(unsigned t)
{
	static const char *const names[] = {"A", "B", "C", "D", "E", "F"};

	return t < MC_THREADS ? names[t] : "-";
}

static bool can_run(unsigned t)
{
	enum thread_life life = mc.fibers[t].life;

	return life == T_NEW || life == T_READY;
}

static void begin_fiber(void);

static void prepare(unsigned t)
{
	unsigned char *top = stacks + (t + 1) * (size_t)STACK_BYTES;
	void **frame = (void **)(void *)(top - 64 - STACK_SKEW) - SAVED_WORDS;

	memset(frame, 0, SAVED_WORDS * sizeof(void *));
	frame[SAVED_RETURN] = (void *)(uintptr_t)begin_fiber;
	mc.fibers[t].sp = frame;
}

/* On with thread t; the caller's stack is kept at @save. */
static void resume(void **save, unsigned t)
{
	struct mc_fiber *f = &mc.fibers[t];

	/* A choice is known by its step. */
	mc.steps++;
	if (mc.cur)
		mc.cur->cache = wbci_cache;
	if (f->life == T_NEW)
		f->life = T_READY;
	mc.cur = f;
	mc.self = (uint8_t)t;
	wbci_cache = f->cache;
	mc_switch(save, f->sp);
}

_Noreturn void mc_leave(enum outcome outcome)
{
	void *nowhere;

	mc.outcome = outcome;
	if (solo)
		longjmp(solo_end, 1);
	mc.cur->cache = wbci_cache;
	mc.cur = NULL;
	mc.self = MC_NOBODY;
	mc_switch(&nowhere, main_sp);
	__builtin_unreachable();
}

/* A state that was met before, with the same budgets, needs no second look. */
static void prune(unsigned next)
{
	uint64_t state = mc.sum;

	if (!mc_on_new_ground())
		return;
	state = mc_mix(state, next << 24 | mc.preemptions << 16 |
	                              mc.deaths << 8 | mc.stale);
	for (unsigned t = 0; t < mc.n_fibers; t++)
		state = mc_mix(state, mc.fibers[t].life);
	if (mc_seen_before(state))
		mc_leave(CUT);
}

/* All threads but @but that can run, and how many. */
static unsigned runnable(unsigned but, uint8_t *who)
{
	unsigned n = 0;

	for (unsigned t = 0; t < mc.n_fibers; t++) {
		if (t != but && can_run(t))
			who[n++] = (uint8_t)t;
	}
	return n;
}

/* Nobody can run: stopped ones go on, then time passes. */
static unsigned wake_somebody(uint8_t *who)
{
	unsigned n = 0;

	for (unsigned t = 0; t < mc.n_fibers; t++) {
		if (mc.fibers[t].life == T_STOPPED ||
		    mc.fibers[t].life == T_FLAG)
			who[n++] = (uint8_t)t;
	}
	if (n)
		return n;
	for (unsigned t = 0; t < mc.n_fibers; t++) {
		if (mc.fibers[t].timed && mc.fibers[t].life == T_FUTEX)
			who[n++] = (uint8_t)t;
	}
	return n;
}

/* The thread that ran cannot go on: who does?  Ends the execution if all
 * have ended. */
static unsigned successor(void)
{
	uint8_t who[MC_THREADS];
	unsigned n = runnable(MC_NOBODY, who);
	struct mc_fiber *f;

	mc.steps++;
	if (n) {
		prune(MC_NOBODY);
		return who[mc_choose(PICK_START, n)];
	}
	n = wake_somebody(who);
	if (n == 0) {
		for (unsigned t = 0; t < mc.n_fibers; t++) {
			if (mc.fibers[t].life < T_DONE)
				mc_fail(NULL, 0,
				        "deadlock: thread %s waits "
				        "for ever",
				        mc_thread_name(t));
		}
		mc_leave(ENDED);
	}
	f = &mc.fibers[who[mc_choose(PICK_START, n)]];
	f->timed_out = true;
	mc.timeouts += f->life == T_FUTEX;
	f->life = T_READY;
	mc_touch((unsigned)(f - mc.fibers), 0x71e0);
	return (unsigned)(f - mc.fibers);
}

static void go_on_elsewhere(void)
{
	struct mc_fiber *self = mc.cur;
	unsigned next = successor();

	if (&mc.fibers[next] != self)
		resume(&self->sp, next);
}

static void begin_fiber(void)
{
	mc.scenario->thread[mc.self]();
	mc_touch(mc.self, 0xd01e);
	mc.cur->life = T_DONE;
	if (mc.tracing)
		mc_trace("ends", NULL, " ");
	go_on_elsewhere();
	__builtin_unreachable();
}

static void die(void)
{
	unsigned process = mc.cur->process;

	mc.deaths++;
	if (mc.tracing)
		mc_trace("IS KILLED", NULL, " ");
	for (unsigned t = 0; t < mc.n_fibers; t++) {
		if (mc.fibers[t].process != process)
			continue;
		mc.fibers[t].life = T_DEAD;
		mc_touch(t, 0xdead);
	}
	mc_process_dies(process);
	go_on_elsewhere();
	__builtin_unreachable();
}

/*
 * Before an access: somebody else may run, and the process may be killed.
 * @shared: another thread uses the place, too; @writes: death before and
 * after it make a difference.
 */
void mc_point(bool writes, bool shared)
{
	uint8_t who[MC_THREADS];
	unsigned n = 0, at;

	if (shared && mc.preemptions < mc.max_preemptions) {
		n = runnable(mc.self, who);
		if (n) {
			prune(mc.self);
			at = mc_choose(PICK_THREAD, n + 1);
			if (at) {
				struct mc_fiber *self = mc.cur;

				mc.preemptions++;
				resume(&self->sp, who[at - 1]);
			}
		}
	}
	if (writes && mc.deaths < mc.max_deaths &&
	    !(mc.scenario->immortal >> mc.self & 1) && mc_choose(PICK_DEATH, 2))
		die();
}

void mc_block(enum thread_life why, uintptr_t what, bool timed)
{
	mc.cur->life = why;
	mc.cur->waits_for = what;
	mc.cur->timed = timed;
	mc.cur->timed_out = false;
	go_on_elsewhere();
}

void mc_unblock(enum thread_life why, uintptr_t what)
{
	for (unsigned t = 0; t < mc.n_fibers; t++) {
		struct mc_fiber *f = &mc.fibers[t];

		if (f->life != why || f->waits_for != what)
			continue;
		f->life = T_READY;
		mc_touch(t, 0xa3a6e);
	}
}

static void reset(void)
{
	mc_world_restore();
	mc_memory_reset();
	mc_system_reset();
	mc.preemptions = mc.deaths = mc.stale = mc.timeouts = 0;
	mc.steps = mc.events = 0;
	mc.sum = mc.s_hash = 0;
	mc.s_number = 0;
	mc.s_clock = (mc_clock){0};
	for (unsigned t = 0; t < mc.n_fibers; t++) {
		struct mc_fiber *f = &mc.fibers[t];

		f->view = f->pending = f->given = (struct view){0};
		f->hash = mc_mix(0, t);
		f->life = T_NEW;
		f->timed_out = false;
		f->acked = 0;
		prepare(t);
	}
}

/* Run something of the program's that is not explored.  False: it failed. */
bool mc_solo(void (*fn)(void))
{
	if (!fn)
		return true;
	solo = true;
	mc.cur = NULL;
	mc.self = MC_NOBODY;
	if (setjmp(solo_end) == 0)
		fn();
	solo = false;
	return mc.outcome != FAILED;
}

void mc_run_one(void)
{
	uint8_t who[MC_THREADS];
	unsigned n;

	reset();
	mc.outcome = RUNS;
	mc.logging = mc.inside = true;
	n = runnable(MC_NOBODY, who);
	resume(&main_sp, who[mc_choose(PICK_START, n)]);
	if (mc.outcome == ENDED)
		mc_solo(mc.scenario->check);
	mc.inside = false;
	mc.executions++;
	mc.with_death += mc.deaths != 0 && mc.outcome != CUT;
	mc.total_steps += mc.steps;
}

_Noreturn void mc_fail(const char *file, int line, const char *what, ...)
{
	va_list args;
	int n = 0;

	va_start(args, what);
	n = vsnprintf(mc.words, sizeof(mc.words), what, args);
	va_end(args);
	if (file && n >= 0 && n < (int)sizeof(mc.words))
		snprintf(mc.words + n, sizeof(mc.words) - (size_t)n, " (%s:%d)",
		         file, line);
	if (mc.in_setup)
		tap_bail("setup: %s", mc.words);
	mc_leave(FAILED);
}

__attribute__((constructor)) static void make_stacks(void)
{
	stacks = mmap(NULL, MC_THREADS * (size_t)STACK_BYTES,
	              PROT_READ | PROT_WRITE,
	              MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
}
