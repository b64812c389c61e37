/* SPDX-License-Identifier: MIT */
/* Copyright the wbcshm authors */

/*
 * What -fsanitize=thread makes the compiler call at each access.  The shm/
 * objects are linked with these instead of with libtsan; what is outside the
 * segment is let through.
 */
#include "engine.h"

#include <string.h>

#define PC __builtin_return_address(0)
#define HOOK __attribute__((visibility("default")))

/* Declared before it is defined, since the compiler alone calls it. */
#define PLAIN(name, bytes, writes)                                             \
	HOOK void name(void *at);                                              \
	void name(void *at)                                                    \
	{                                                                      \
		if (mc_inside(at))                                             \
			mc_plain(at, bytes, writes, PC);                       \
	}

PLAIN(__tsan_read1, 1, false)
PLAIN(__tsan_read2, 2, false)
PLAIN(__tsan_read4, 4, false)
PLAIN(__tsan_read8, 8, false)
PLAIN(__tsan_read16, 16, false)
PLAIN(__tsan_write1, 1, true)
PLAIN(__tsan_write2, 2, true)
PLAIN(__tsan_write4, 4, true)
PLAIN(__tsan_write8, 8, true)
PLAIN(__tsan_write16, 16, true)
PLAIN(__tsan_unaligned_read2, 2, false)
PLAIN(__tsan_unaligned_read4, 4, false)
PLAIN(__tsan_unaligned_read8, 8, false)
PLAIN(__tsan_unaligned_read16, 16, false)
PLAIN(__tsan_unaligned_write2, 2, true)
PLAIN(__tsan_unaligned_write4, 4, true)
PLAIN(__tsan_unaligned_write8, 8, true)
PLAIN(__tsan_unaligned_write16, 16, true)
PLAIN(__tsan_volatile_read1, 1, false)
PLAIN(__tsan_volatile_read2, 2, false)
PLAIN(__tsan_volatile_read4, 4, false)
PLAIN(__tsan_volatile_read8, 8, false)
PLAIN(__tsan_volatile_write1, 1, true)
PLAIN(__tsan_volatile_write2, 2, true)
PLAIN(__tsan_volatile_write4, 4, true)
PLAIN(__tsan_volatile_write8, 8, true)

#define RANGE(name, writes)                                                    \
	HOOK void name(void *at, unsigned long bytes);                         \
	void name(void *at, unsigned long bytes)                               \
	{                                                                      \
		if (mc_inside(at) && bytes)                                    \
			mc_plain(at, bytes, writes, PC);                       \
	}

RANGE(__tsan_read_range, false)
RANGE(__tsan_write_range, true)

HOOK void __tsan_init(void);
void __tsan_init(void)
{
}

HOOK void __tsan_func_entry(void *pc);
void __tsan_func_entry(void *pc)
{
	(void)pc;
}

HOOK void __tsan_func_exit(void);
void __tsan_func_exit(void)
{
}

#define UPDATE(bits, name, what)                                               \
	HOOK uint##bits##_t __tsan_atomic##bits##_##name(                      \
		volatile void *at, uint##bits##_t x, int order);               \
	uint##bits##_t __tsan_atomic##bits##_##name(                           \
		volatile void *at, uint##bits##_t x, int order)                \
	{                                                                      \
		return (uint##bits##_t)mc_atomic(what, (void *)(uintptr_t)at,  \
		                                 bits / 8, x, NULL, order, 0,  \
		                                 PC);                          \
	}

#define COMPARE(bits, name)                                                    \
	HOOK int __tsan_atomic##bits##_compare_exchange_##name(                \
		volatile void *at, uint##bits##_t *expected, uint##bits##_t x, \
		int order, int fail_order);                                    \
	int __tsan_atomic##bits##_compare_exchange_##name(                     \
		volatile void *at, uint##bits##_t *expected, uint##bits##_t x, \
		int order, int fail_order)                                     \
	{                                                                      \
		uint64_t had = *expected;                                      \
		bool done = mc_atomic(A_CAS, (void *)(uintptr_t)at, bits / 8,  \
		                      x, &had, order, fail_order, PC) != 0;    \
                                                                               \
		*expected = (uint##bits##_t)had;                               \
		return done;                                                   \
	}

#define ATOMICS(bits)                                                          \
	HOOK uint##bits##_t __tsan_atomic##bits##_load(                        \
		const volatile void *at, int order);                           \
	uint##bits##_t __tsan_atomic##bits##_load(const volatile void *at,     \
	                                          int order)                   \
	{                                                                      \
		return (uint##bits##_t)mc_atomic(                              \
			A_LOAD, (void *)(uintptr_t)at, bits / 8, 0, NULL,      \
			order, 0, PC);                                         \
	}                                                                      \
	HOOK void __tsan_atomic##bits##_store(volatile void *at,               \
	                                      uint##bits##_t x, int order);    \
	void __tsan_atomic##bits##_store(volatile void *at, uint##bits##_t x,  \
	                                 int order)                            \
	{                                                                      \
		mc_atomic(A_STORE, (void *)(uintptr_t)at, bits / 8, x, NULL,   \
		          order, 0, PC);                                       \
	}                                                                      \
	UPDATE(bits, exchange, A_XCHG)                                         \
	UPDATE(bits, fetch_add, A_ADD)                                         \
	UPDATE(bits, fetch_sub, A_SUB)                                         \
	UPDATE(bits, fetch_and, A_AND)                                         \
	UPDATE(bits, fetch_or, A_OR)                                           \
	UPDATE(bits, fetch_xor, A_XOR)                                         \
	UPDATE(bits, fetch_nand, A_NAND)                                       \
	COMPARE(bits, strong)                                                  \
	COMPARE(bits, weak)

ATOMICS(32)
ATOMICS(64)

HOOK void __tsan_atomic_thread_fence(int order);
void __tsan_atomic_thread_fence(int order)
{
	mc_fence(order, PC);
}

/* For the compiler only: the model keeps the order of the program. */
HOOK void __tsan_atomic_signal_fence(int order);
void __tsan_atomic_signal_fence(int order)
{
	(void)order;
}

/* The linker sends the calls of these here (--wrap). */
void *__wrap_memcpy(void *to, const void *from, size_t n);
void *__wrap_memmove(void *to, const void *from, size_t n);
void *__wrap_memset(void *to, int byte, size_t n);
int __wrap_memcmp(const void *a, const void *b, size_t n);
void *__real_memcpy(void *to, const void *from, size_t n);
void *__real_memmove(void *to, const void *from, size_t n);
void *__real_memset(void *to, int byte, size_t n);
int __real_memcmp(const void *a, const void *b, size_t n);

void *__wrap_memcpy(void *to, const void *from, size_t n)
{
	if (n && mc_inside(from))
		mc_plain((void *)(uintptr_t)from, n, false, PC);
	if (n && mc_inside(to))
		mc_plain(to, n, true, PC);
	return __real_memcpy(to, from, n);
}

void *__wrap_memmove(void *to, const void *from, size_t n)
{
	if (n && mc_inside(from))
		mc_plain((void *)(uintptr_t)from, n, false, PC);
	if (n && mc_inside(to))
		mc_plain(to, n, true, PC);
	return __real_memmove(to, from, n);
}

void *__wrap_memset(void *to, int byte, size_t n)
{
	if (n && mc_inside(to))
		mc_plain(to, n, true, PC);
	return __real_memset(to, byte, n);
}

int __wrap_memcmp(const void *a, const void *b, size_t n)
{
	if (n && mc_inside(a))
		mc_plain((void *)(uintptr_t)a, n, false, PC);
	if (n && mc_inside(b))
		mc_plain((void *)(uintptr_t)b, n, false, PC);
	return __real_memcmp(a, b, n);
}

/* The same, as newer compilers call them. */
HOOK void *__tsan_memcpy(void *to, const void *from, unsigned long n);
HOOK void *__tsan_memmove(void *to, const void *from, unsigned long n);
HOOK void *__tsan_memset(void *to, int byte, unsigned long n);

void *__tsan_memcpy(void *to, const void *from, unsigned long n)
{
	return __wrap_memcpy(to, from, n);
}

void *__tsan_memmove(void *to, const void *from, unsigned long n)
{
	return __wrap_memmove(to, from, n);
}

void *__tsan_memset(void *to, int byte, unsigned long n)
{
	return __wrap_memset(to, byte, n);
}
