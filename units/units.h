/* SPDX-License-Identifier: MIT */
/* Copyright the wbcshm authors */

/* Numbers with units: as people write them, and as people read them. */
#ifndef WBC_UNITS_H
#define WBC_UNITS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* All of the text must be the number; false if it is not, or too large. */
bool units_int64(const char *text, int64_t *value);
bool units_double(const char *text, double *value);
bool units_count(const char *text, uint64_t *count);
bool units_size(const char *text, uint64_t *bytes);
bool units_duration(const char *text, int64_t *ms);
bool units_mode(const char *text, uint64_t *mode);

/* Room for whatever the functions below write. */
#define UNITS_TEXT 48u

/* "1,234,567"; "6.0 MiB"; "4 min 12 s".  All return @text. */
const char *units_say_count(char text[UNITS_TEXT], uint64_t count);
const char *units_say_bytes(char text[UNITS_TEXT], uint64_t bytes);
const char *units_say_duration(char text[UNITS_TEXT], uint64_t ns);

/* The shortest decimal that reads back as the same double. */
const char *units_say_double(char text[UNITS_TEXT], double value);

/**
 * units_printable() - bytes as text that is safe on a terminal
 * @text:  receives it, NUL-terminated; control characters, backslashes and
 *         what is no UTF-8 become \xNN, a backslash becomes two
 * @size:  bytes at @text; 4 * @bytes + 1 holds everything
 *
 * Return: the number of columns that it takes, a column a character.
 */
size_t units_printable(char *text, size_t size, const void *bytes, size_t n);

/* Bytes of the UTF-8 character at @p, of at most @n bytes; 0 if it is none. */
size_t units_utf8(const unsigned char *p, size_t n);

#endif
