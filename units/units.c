/* SPDX-License-Identifier: MIT */
/* Copyright the wbcshm authors */

#include "units.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

bool units_int64(const char *text, int64_t *value)
{
	char *end;
	long long v;

	/* strtoll() would skip white space. */
	if (isspace((unsigned char)*text))
		return false;
	errno = 0;
	v = strtoll(text, &end, 10);
	if (end == text || *end || errno)
		return false;
	*value = v;
	return true;
}

bool units_double(const char *text, double *value)
{
	char *end;
	double v;

	if (isspace((unsigned char)*text))
		return false;
	errno = 0;
	v = strtod(text, &end);
	/* Too small is 0 or nearly; too large is infinite, and refused. */
	if (end == text || *end || (errno && fabs(v) > 1))
		return false;
	*value = v;
	return true;
}

/* Digits, and where they end. */
static bool parse_digits(const char *text, int base, uint64_t *value,
                         const char **rest)
{
	char *end;

	if (!isdigit((unsigned char)*text))
		return false;
	errno = 0;
	*value = strtoull(text, &end, base);
	*rest = end;
	return errno == 0;
}

static bool parse_scaled(const char *text, const char *letters, uint64_t factor,
                         uint64_t *value)
{
	const char *rest, *letter;
	uint64_t v, scale = 1;

	if (!parse_digits(text, 10, &v, &rest))
		return false;
	if (*rest) {
		letter = strchr(letters, toupper((unsigned char)*rest));
		if (!letter || rest[1])
			return false;
		for (; letter >= letters; letter--)
			scale *= factor;
	}
	return !__builtin_mul_overflow(v, scale, value);
}

bool units_count(const char *text, uint64_t *count)
{
	return parse_scaled(text, "KMG", 1000, count);
}

bool units_size(const char *text, uint64_t *bytes)
{
	return parse_scaled(text, "KMGT", 1024, bytes);
}

bool units_duration(const char *text, int64_t *ms)
{
	static const struct {
		const char *name;
		uint64_t ms;
	} units[] = {{"ms", 1}, {"s", 1000}, {"m", 60000}, {"h", 3600000}};
	const char *rest;
	uint64_t v;
	size_t i;

	if (!parse_digits(text, 10, &v, &rest) || v > INT32_MAX)
		return false;
	if (v == 0 && !*rest) {
		*ms = 0;
		return true;
	}
	for (i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
		if (strcmp(rest, units[i].name) != 0)
			continue;
		v *= units[i].ms;
		if (v > INT32_MAX)
			return false;
		*ms = (int64_t)v;
		return true;
	}
	return false;
}

bool units_mode(const char *text, uint64_t *mode)
{
	const char *rest;

	return parse_digits(text, 8, mode, &rest) && !*rest && *mode <= 0777;
}

const char *units_say_count(char text[UNITS_TEXT], uint64_t count)
{
	char digits[24];
	int n = snprintf(digits, sizeof(digits), "%" PRIu64, count);
	int i, out = 0;

	for (i = 0; i < n; i++) {
		if (i && (n - i) % 3 == 0)
			text[out++] = ',';
		text[out++] = digits[i];
	}
	text[out] = '\0';
	return text;
}

const char *units_say_bytes(char text[UNITS_TEXT], uint64_t bytes)
{
	static const char *const names[] = {"KiB", "MiB", "GiB",
	                                    "TiB", "PiB", "EiB"};
	double v = (double)bytes;
	int i = -1;

	if (bytes < 1024) {
		snprintf(text, UNITS_TEXT, "%" PRIu64 " B", bytes);
		return text;
	}
	/* 1023.96 would be printed as 1024.0. */
	while (v >= 1023.95 && i < 5) {
		v /= 1024;
		i++;
	}
	snprintf(text, UNITS_TEXT, "%.*f %s", v < 100 ? 1 : 0, v, names[i]);
	return text;
}

const char *units_say_duration(char text[UNITS_TEXT], uint64_t ns)
{
	uint64_t s = ns / 1000000000;

	if (s < 10)
		snprintf(text, UNITS_TEXT, "%.1f s", (double)ns / 1e9);
	else if (s < 60)
		snprintf(text, UNITS_TEXT, "%" PRIu64 " s", s);
	else if (s < 3600)
		snprintf(text, UNITS_TEXT, "%" PRIu64 " min %" PRIu64 " s",
		         s / 60, s % 60);
	else if (s < 86400)
		snprintf(text, UNITS_TEXT, "%" PRIu64 " h %" PRIu64 " min",
		         s / 3600, s / 60 % 60);
	else
		snprintf(text, UNITS_TEXT, "%" PRIu64 " d %" PRIu64 " h",
		         s / 86400, s / 3600 % 24);
	return text;
}

const char *units_say_double(char text[UNITS_TEXT], double value)
{
	int digits;

	for (digits = 15; digits < 17; digits++) {
		snprintf(text, UNITS_TEXT, "%.*g", digits, value);
		if (strtod(text, NULL) == value)
			return text;
	}
	snprintf(text, UNITS_TEXT, "%.17g", value);
	return text;
}

size_t units_utf8(const unsigned char *p, size_t n)
{
	uint32_t c;
	size_t bytes, i;

	if (n == 0)
		return 0;
	if (p[0] < 0x80)
		return 1;
	bytes = p[0] >= 0xf0 ? 4 : p[0] >= 0xe0 ? 3 : 2;
	if (p[0] < 0xc2 || p[0] > 0xf4 || bytes > n)
		return 0;
	c = p[0] & (0xffu >> (bytes + 1));
	for (i = 1; i < bytes; i++) {
		if ((p[i] & 0xc0) != 0x80)
			return 0;
		c = c << 6 | (p[i] & 0x3fu);
	}
	/* Longer than needed, a surrogate, or past the last character. */
	if ((bytes == 3 && c < 0x800) || (bytes == 4 && c < 0x10000) ||
	    (c >= 0xd800 && c <= 0xdfff) || c > 0x10ffff)
		return 0;
	return bytes;
}

size_t units_printable(char *text, size_t size, const void *bytes, size_t n)
{
	const unsigned char *p = bytes;
	size_t columns = 0, out = 0, i = 0;

	while (i < n && out + 5 <= size) {
		size_t length = units_utf8(p + i, n - i);
		/* C1 controls are two bytes, c2 80 to c2 9f. */
		bool control = length == 1 ? p[i] < 0x20 || p[i] == 0x7f
		                           : p[i] == 0xc2 && p[i + 1] < 0xa0;

		if (length == 0 || control) {
			snprintf(text + out, 5, "\\x%02x", p[i]);
			out += 4;
			columns += 4;
			i++;
			continue;
		}
		if (p[i] == '\\') {
			text[out++] = '\\';
			columns++;
		}
		memcpy(text + out, p + i, length);
		out += length;
		i += length;
		columns++;
	}
	if (size)
		text[out] = '\0';
	return columns;
}
