/* SPDX-License-Identifier: MIT */
/* Copyright the wbcshm authors */

/*
 * Somebody else, between any two instructions.
 *
 * A function runs with the processor's trap flag set, and in the trap after
 * an instruction a hook does what another process might do then: wholly, at
 * that instant.  Or the function is left there for good, as by a SIGKILL.
 * So a test sees every place where two operations can meet, not a sample.
 *
 * The hook must not call what the function may be in the middle of in this
 * process: no malloc, no lock; it uses another handle.
 */
#ifndef STEP_H
#define STEP_H

#if defined(__x86_64__) && !defined(WBC_TSAN)
#define STEP_WORKS 1
#else
#define STEP_WORKS 0
#endif

/* A sanitizer's code has many more instructions: every so manyth is met. */
#if defined(__SANITIZE_ADDRESS__)
#define STEP_STRIDE 13
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define STEP_STRIDE 13
#endif
#endif
#ifndef STEP_STRIDE
#define STEP_STRIDE 1
#endif

#define STEP_WHY_NOT "needs the trap flag of x86-64, and no thread sanitizer"

#if STEP_WORKS

#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdbool.h>
#include <string.h>
#include <ucontext.h>

static struct {
	void (*hook)(void *arg); /* NULL: leave for good */
	void *arg;
	unsigned long at; /* after so many instructions; 0: after each */
	unsigned long count;
	bool enough; /* a hook sets it: on without traps */
	sigjmp_buf leave;
} step;

#define STEP_TRAP_FLAG 0x100

static void step_trap(int signal, siginfo_t *info, void *context)
{
	ucontext_t *u = context;
	int saved = errno;

	(void)signal;
	(void)info;
	step.count++;
	if (step.at == 0 || step.count == step.at) {
		if (!step.hook)
			siglongjmp(step.leave, 1);
		step.hook(step.arg);
		if (step.at || step.enough)
			u->uc_mcontext.gregs[REG_EFL] &= ~STEP_TRAP_FLAG;
	}
	errno = saved;
}

static inline void step_begin(void (*hook)(void *), void *arg, unsigned long at)
{
	struct sigaction action = {.sa_sigaction = step_trap,
	                           .sa_flags = SA_SIGINFO};

	step.hook = hook;
	step.arg = arg;
	step.at = at;
	step.count = 0;
	step.enough = false;
	sigaction(SIGTRAP, &action, NULL);
}

/* Not inlined, so that its frame has nothing below the stack pointer. */
static __attribute__((noinline)) void step_call(void (*fn)(void *), void *arg)
{
	__asm__ volatile("lea -128(%%rsp), %%rsp\n\tpushfq\n\t"
	                 "orq $0x100, (%%rsp)\n\tpopfq\n\t"
	                 "lea 128(%%rsp), %%rsp" ::
	                         : "memory", "cc");
	fn(arg);
	__asm__ volatile("lea -128(%%rsp), %%rsp\n\tpushfq\n\t"
	                 "andq $~0x100, (%%rsp)\n\tpopfq\n\t"
	                 "lea 128(%%rsp), %%rsp" ::
	                         : "memory", "cc");
}

/* Run @fn(), and @hook() after each of its instructions. */
static inline unsigned long step_each(void (*fn)(void *), void *arg,
                                      void (*hook)(void *), void *hook_arg)
{
	step_begin(hook, hook_arg, 0);
	step_call(fn, arg);
	return step.count;
}

/* Run @fn(), and @hook() once, after instruction @at.
 * Return: false if it ended before. */
static inline bool step_once(void (*fn)(void *), void *arg,
                             void (*hook)(void *), void *hook_arg,
                             unsigned long at)
{
	step_begin(hook, hook_arg, at);
	step_call(fn, arg);
	return step.count >= at;
}

/* Run @fn() up to instruction @at, and no further.
 * Return: false if it ended before. */
static inline bool step_until(void (*fn)(void *), void *arg, unsigned long at)
{
	step_begin(NULL, NULL, at);
	if (sigsetjmp(step.leave, 1))
		return true;
	step_call(fn, arg);
	return false;
}

#endif

#endif
