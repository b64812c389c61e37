/* SPDX-License-Identifier: MIT */
/* Copyright the wbcshm authors */

/*
 * Moments: microseconds since 1970-01-01 00:00 UTC, as people and databases
 * write them.  The calendar is today's, also before it was made; a day has
 * 86,400 seconds.
 */
#ifndef WBC_MOMENT_H
#define WBC_MOMENT_H

#include <stdbool.h>
#include <stdint.h>

#include "units.h"

/**
 * units_moment() - read a moment
 * @text: YYYY-MM-DD, then optionally T or a space and HH:MM[:SS[.f]], with up
 *        to six digits of a second, then optionally Z, +HH:MM or -HH:MM; or
 *        microseconds as an integer.  What names no zone is UTC
 * @us:   receives it
 *
 * Return: is it one?
 */
bool units_moment(const char *text, int64_t *us);

/* "2026-01-31T12:00:00.500000Z"; all six digits, so that texts are ordered
 * as moments.  What is not of the years 1 to 9999 is said as an integer. */
const char *units_say_moment(char text[UNITS_TEXT], int64_t us);

/* "2026-01-31 12:00:00.500000", as SQL has it. */
const char *units_say_sql_moment(char text[UNITS_TEXT], int64_t us);

#endif
