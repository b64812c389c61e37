/* SPDX-License-Identifier: MIT */
/* Copyright the wbcshm authors */

/* What is shown while it runs: lines, and on a terminal a progress line. */
#ifndef EXAMPLE_SCREEN_H
#define EXAMPLE_SCREEN_H

#include <stdbool.h>
#include <stdint.h>

/* Print as printf does, in place of the progress line. */
__attribute__((format(printf, 1, 2))) void screen_say(const char *format, ...);

/* Print to standard error, in place of the progress line. */
__attribute__((format(printf, 1, 2))) void screen_error(const char *format,
                                                        ...);

/* The progress line, a few times a second; nothing if this is no terminal. */
void screen_progress(double seconds, uint64_t adds, bool has_flusher);
void screen_end_progress(void);

/* 1234567 as 1,234,567; good until the eighth call after this one. */
const char *grouped(uint64_t n);

#endif
