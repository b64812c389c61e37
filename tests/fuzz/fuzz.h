/* SPDX-License-Identifier: MIT */
/* Copyright the wbcshm authors */

/*
 * Hostile bytes: what every fuzz target is made of.
 *
 * A target is one function that takes any bytes.  It is linked with one of
 * two mains: replay.c runs the corpus and a number of random inputs under
 * TAP, with whatever compiler; libfuzzer.c hands it to clang's libFuzzer.
 *
 * A target keeps nothing from one input to the next, so that an input alone
 * finds the failure again.
 */
#ifndef FUZZ_H
#define FUZZ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "unit/dice.h"

#define FUZZ_BYTES_MAX 4096u

struct fuzz_target {
	const char *name;    /* of its folder in corpus/ */
	const char *promise; /* what it shows, after "P7: " */
	unsigned executions; /* of the short form */
	/* Once in a process that runs inputs. */
	void (*begin)(void);
	void (*one)(const uint8_t *data, size_t bytes);
	/* A change that goes deeper than one of bytes, or NULL; returns the
	 * new length, at most @room. */
	size_t (*mutate)(struct dice *d, uint8_t *data, size_t bytes,
	                 size_t room);
};

/* The one that is linked. */
extern const struct fuzz_target fuzz_target;

/* Must hold whatever the input is. */
#define fuzz_check(holds, ...)                                                 \
	((holds) ? (void)0 : fuzz_fail(__FILE__, __LINE__, __VA_ARGS__))
_Noreturn void fuzz_fail(const char *file, int line, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/* Where fuzz_fail() and sanitizers speak, whatever became of descriptor 2. */
void fuzz_quiet(void);

/* An input, taken apart from its front; zeros when it is used up. */
struct fuzz_source {
	const uint8_t *p;
	size_t left;
};

static inline uint64_t fuzz_take(struct fuzz_source *from, unsigned bytes)
{
	uint64_t n = 0;

	for (unsigned i = 0; i < bytes && from->left; i++, from->left--)
		n |= (uint64_t)*from->p++ << 8 * i;
	return n;
}

/* Up to so many bytes, in an allocation of exactly their number. */
static inline void *fuzz_take_bytes(struct fuzz_source *from, size_t most,
                                    size_t *bytes)
{
	void *copy;

	*bytes = most < from->left ? most : from->left;
	copy = dice_exact(from->p, *bytes);
	from->p += *bytes;
	from->left -= *bytes;
	return copy;
}

/**
 * fuzz_json() - is a text one JSON document?
 * Return: NULL, or where it stops being one.
 */
const char *fuzz_json(const char *text, size_t bytes);

/* What a program prints is caught from begin to end; NUL-terminated. */
void fuzz_catch_begin(void);
char *fuzz_catch_end(size_t *bytes);

#endif
