/* SPDX-License-Identifier: MIT */
/* Copyright the wbcshm authors */

/*
 * An INI text, a line at a time.
 *
 * inih takes keys, values and comments apart.  What it does not say, we do:
 * line numbers, sections without a key, names and lines that it would cut off
 * and bytes that are no text are errors here, at their line.
 *
 *   ; a comment, also behind a value and white space; so is #, at the start
 *   [section]
 *   key = value
 *           that goes on in a line which begins with white space
 *
 * For one thread at a time: inih has its options in global variables.
 */
#ifndef WBCI_INI_H
#define WBCI_INI_H

#include <stdbool.h>
#include <stddef.h>

#include "../shm/message.h"

/* The longest line, where inih lets us say so. */
#define WBCI_INI_LINE 16000

/* Where the reader is, for words about it. */
struct wbci_ini {
	const char *path;
	const struct wbci_message *m;
	unsigned line; /* from 1 */
};

/* What a text has, in its order.  0 to go on, or an error that was said. */
struct wbci_ini_events {
	/* @name: what stands in the brackets, without white space around */
	int (*section)(void *arg, const struct wbci_ini *at, const char *name);
	/* @more: it continues the key's value of a line before */
	int (*value)(void *arg, const struct wbci_ini *at, const char *key,
	             const char *value, bool more);
};

/* Words about a line, with FILE:LINE before them; returns @error. */
__attribute__((format(printf, 4, 5))) int
wbci_ini_refuse(const struct wbci_ini *at, unsigned line, int error,
                const char *format, ...);

/**
 * wbci_ini_read() - read a text to its end or its first error
 * @path:  where it is from, for words
 *
 * Return: 0, -EINVAL, -ENOMEM, or what an event returned.
 */
int wbci_ini_read(const char *path, const char *text, size_t bytes,
                  const struct wbci_ini_events *events, void *arg,
                  const struct wbci_message *m);

#endif
