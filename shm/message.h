/* SPDX-License-Identifier: MIT */
/* Copyright the wbcshm authors */

/*
 * Words about an error, built where the facts are known and shown at the
 * edge: "what: which: why; what to do".
 */
#ifndef WBCI_MESSAGE_H
#define WBCI_MESSAGE_H

#include <stddef.h>

/* Where words go.  NULL instead of a struct, or NULL inside, is nowhere. */
struct wbci_message {
	char *text;
	size_t size;
};

/**
 * wbci_say() - put words into a message, and hand the error through
 * @m:     where to, or NULL
 * @error: what to return
 * @format: as printf
 *
 * Return: @error.
 */
__attribute__((format(printf, 3, 4))) int
wbci_say(const struct wbci_message *m, int error, const char *format, ...);

#endif
