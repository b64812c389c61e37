/* SPDX-License-Identifier: MIT */
/* Copyright the wbcshm authors */

/*
 * A test program says what it found in TAP, the Test Anything Protocol:
 *
 *	tap_plan(2);
 *	tap_ok(wbci_ring_push(r, &rec) == 0, "a ring with room takes a record");
 *	tap_is_int(len, 1, "its length is %d", 1);
 *	return tap_done();
 *
 * All calls may be made by any thread.  A forked child may make them too:
 * its lines go out whole between its parent's and count in the same order,
 * since the counts stand in memory that both share.  It ends with
 * tap_child_exit(), never with tap_done().
 */
#ifndef TAP_H
#define TAP_H

#include <stdbool.h>
#include <stddef.h>

#define TAP_PRINTF(fmt, args) __attribute__((format(printf, fmt, args)))

/** tap_plan() - say first how many results will come; 0 if not known yet */
void tap_plan(unsigned n);

/** tap_skip_all() - no result at all, for this reason; exits with 0 */
_Noreturn void tap_skip_all(const char *why, ...) TAP_PRINTF(1, 2);

/**
 * tap_ok() - one result
 * @pass: did it hold?
 * @what: a sentence about behaviour, printf-style
 *
 * Return: @pass, so that what depends on it can be left out.
 */
#define tap_ok(pass, ...) tap_ok_at(__FILE__, __LINE__, (pass), __VA_ARGS__)

/** tap_is_int() - are two integers the same?  Shows both if not. */
#define tap_is_int(got, want, ...)                                             \
	tap_is_int_at(__FILE__, __LINE__, #got, (got), (want), __VA_ARGS__)

/** tap_is_uint() - the same for unsigned ones */
#define tap_is_uint(got, want, ...)                                            \
	tap_is_uint_at(__FILE__, __LINE__, #got, (got), (want), __VA_ARGS__)

/** tap_is_double() - the same for doubles, which must be equal */
#define tap_is_double(got, want, ...)                                          \
	tap_is_double_at(__FILE__, __LINE__, #got, (got), (want), __VA_ARGS__)

/** tap_is_str() - the same for strings, of which either may be NULL */
#define tap_is_str(got, want, ...)                                             \
	tap_is_str_at(__FILE__, __LINE__, #got, (got), (want), __VA_ARGS__)

/** tap_is_mem() - the same for bytes; shows the first that differs */
#define tap_is_mem(got, want, len, ...)                                        \
	tap_is_mem_at(__FILE__, __LINE__, #got, (got), (want), (len),          \
	              __VA_ARGS__)

/** tap_skip() - @n results that cannot be had here, and why */
void tap_skip(unsigned n, const char *why, ...) TAP_PRINTF(2, 3);

/** tap_diag() - a line for the log, counted as nothing */
void tap_diag(const char *what, ...) TAP_PRINTF(1, 2);

/**
 * tap_sanitized() - is this a build with sanitizers?
 * @by: one of them, as -fsanitize= calls it; NULL for any
 */
bool tap_sanitized(const char *by);

/** tap_bail() - nothing makes sense any more; exits, the test has failed */
_Noreturn void tap_bail(const char *why, ...) TAP_PRINTF(1, 2);

/** tap_child_exit() - end a forked child, without flush or exit handlers */
_Noreturn void tap_child_exit(int status);

/** tap_failed() - how many results were bad so far, children's included */
unsigned tap_failed(void);

/**
 * tap_done() - the last call: prints the plan if there was none
 *
 * Return: 0 if all results were good and as many as planned, else 1.
 */
int tap_done(void);

/* What the macros above call. */
bool tap_ok_at(const char *file, int line, bool pass, const char *what, ...)
	TAP_PRINTF(4, 5);
bool tap_is_int_at(const char *file, int line, const char *expr, long long got,
                   long long want, const char *what, ...) TAP_PRINTF(6, 7);
bool tap_is_uint_at(const char *file, int line, const char *expr,
                    unsigned long long got, unsigned long long want,
                    const char *what, ...) TAP_PRINTF(6, 7);
bool tap_is_double_at(const char *file, int line, const char *expr, double got,
                      double want, const char *what, ...) TAP_PRINTF(6, 7);
bool tap_is_str_at(const char *file, int line, const char *expr,
                   const char *got, const char *want, const char *what, ...)
	TAP_PRINTF(6, 7);
bool tap_is_mem_at(const char *file, int line, const char *expr,
                   const void *got, const void *want, size_t len,
                   const char *what, ...) TAP_PRINTF(7, 8);

#endif
