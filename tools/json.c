/* SPDX-License-Identifier: MIT */
/* Copyright the wbcshm authors */

#include "json.h"

#include <assert.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "../units/units.h"

static void put_string(const void *bytes, size_t n)
{
	const unsigned char *p = bytes;
	size_t i = 0;

	putchar('"');
	while (i < n) {
		size_t length = units_utf8(p + i, n - i);

		if (length == 0 || p[i] < 0x20 || p[i] == 0x7f) {
			printf("\\u%04x", p[i]);
			i++;
			continue;
		}
		if (p[i] == '"' || p[i] == '\\')
			putchar('\\');
		fwrite(p + i, 1, length, stdout);
		i += length;
	}
	putchar('"');
}

static void put_line(unsigned depth)
{
	putchar('\n');
	while (depth--)
		fputs("  ", stdout);
}

/* What stands before a value: a comma, a new line, its name. */
static void begin_value(struct json *j, const char *name)
{
	if (j->depth == 0)
		return;
	if (!j->level[j->depth - 1].empty)
		putchar(',');
	if (j->depth <= 2)
		put_line(j->depth);
	else if (!j->level[j->depth - 1].empty)
		putchar(' ');
	j->level[j->depth - 1].empty = false;
	if (name) {
		put_string(name, strlen(name));
		fputs(": ", stdout);
	}
}

static void begin_level(struct json *j, const char *name, char open, char close)
{
	assert(j->depth < JSON_DEPTH_MAX);
	begin_value(j, name);
	putchar(open);
	j->level[j->depth].close = close;
	j->level[j->depth].empty = true;
	j->depth++;
}

void json_object(struct json *j, const char *name)
{
	begin_level(j, name, '{', '}');
}

void json_array(struct json *j, const char *name)
{
	begin_level(j, name, '[', ']');
}

void json_end(struct json *j)
{
	assert(j->depth > 0);
	j->depth--;
	if (!j->level[j->depth].empty && j->depth < 2)
		put_line(j->depth);
	putchar(j->level[j->depth].close);
	if (j->depth == 0)
		putchar('\n');
}

void json_null(struct json *j, const char *name)
{
	begin_value(j, name);
	fputs("null", stdout);
}

void json_bool(struct json *j, const char *name, bool value)
{
	begin_value(j, name);
	fputs(value ? "true" : "false", stdout);
}

void json_int(struct json *j, const char *name, int64_t value)
{
	begin_value(j, name);
	printf("%" PRId64, value);
}

void json_uint(struct json *j, const char *name, uint64_t value)
{
	begin_value(j, name);
	printf("%" PRIu64, value);
}

void json_double(struct json *j, const char *name, double value)
{
	char text[UNITS_TEXT];

	if (!isfinite(value)) {
		json_null(j, name);
		return;
	}
	begin_value(j, name);
	fputs(units_say_double(text, value), stdout);
}

void json_bytes(struct json *j, const char *name, const void *bytes, size_t n)
{
	begin_value(j, name);
	put_string(bytes, n);
}

void json_text(struct json *j, const char *name, const char *text)
{
	json_bytes(j, name, text, strlen(text));
}
