/* SPDX-License-Identifier: MIT */
/* Copyright the wbcshm authors */

#include "ini.h"

#include <errno.h>
#include <ini.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../units/units.h"

/* A text as inih reads it: like a file, line by line. */
struct reader {
	struct wbci_ini at;
	const char *p;
	size_t left;
	const struct wbci_ini_events *events;
	void *arg;
	bool indented; /* the line begins with white space */
	bool has_key;  /* the section has had one */
	int error;     /* what ended it */
};

int wbci_ini_refuse(const struct wbci_ini *at, unsigned line, int error,
                    const char *format, ...)
{
	char words[768];
	va_list args;

	va_start(args, format);
	vsnprintf(words, sizeof(words), format, args);
	va_end(args);
	return wbci_say(at->m, error, "%s:%u: %s", at->path, line, words);
}

static int refuse(struct reader *r, const char *words)
{
	return wbci_ini_refuse(&r->at, r->at.line, -EINVAL, "%s", words);
}

static bool is_blank(char byte)
{
	return byte == ' ' || byte == '\t' || byte == '\r' || byte == '\n';
}

/* Text only: what is none could hide something from whoever reads it. */
static int check_bytes(struct reader *r, const char *line, size_t n)
{
	const unsigned char *p = (const unsigned char *)line;
	size_t length;

	for (size_t i = 0; i < n; i += length) {
		length = units_utf8(p + i, n - i);
		if (length == 0 ||
		    (length == 1 && p[i] != '\t' && p[i] != '\n' &&
		     p[i] != '\r' && (p[i] < ' ' || p[i] == 0x7f)))
			return wbci_ini_refuse(
				&r->at, r->at.line, -EINVAL,
				"byte 0x%02x, character %zu of the line, is no "
				"text; write the file in UTF-8",
				p[i], i + 1);
	}
	return 0;
}

/* [name], and behind it a comment at most. */
static int take_section(struct reader *r, const char *line, size_t n)
{
	const char *end = memchr(line, ']', n);
	const char *rest;
	char name[256];
	size_t length;

	if (!end)
		return refuse(r, "the section has no end; put a ] behind its "
		                 "name");
	for (rest = end + 1; rest < line + n && is_blank(*rest); rest++)
		;
	if (rest < line + n && *rest != ';' && *rest != '#')
		return refuse(r, "something stands behind the section's ]; "
		                 "put it into a line of its own");
	for (line++; line < end && is_blank(*line); line++)
		;
	while (end > line && is_blank(end[-1]))
		end--;
	length = (size_t)(end - line);
	if (length >= sizeof(name))
		return refuse(r, "the section's name is too long");
	memcpy(name, line, length);
	name[length] = '\0';
	r->has_key = false;
	return r->events->section(r->arg, &r->at, name);
}

/* A line, before inih sees it. */
static int take_line(struct reader *r, const char *line, size_t n, int room)
{
	size_t blank = 0;
	int error = check_bytes(r, line, n);

	if (error)
		return error;
	if (n + 1 > (size_t)room)
		return wbci_ini_refuse(&r->at, r->at.line, -EINVAL,
		                       "the line has more than %d bytes; "
		                       "break columns behind a comma, and "
		                       "begin the next line with white space",
		                       room - 1);
	while (blank < n && is_blank(line[blank]))
		blank++;
	r->indented = blank > 0;
	if (blank == n || line[blank] == ';' || line[blank] == '#')
		return 0;
	if (r->indented && !r->has_key)
		return refuse(r, "the line begins with white space, but there "
		                 "is nothing that it could continue; begin "
		                 "it at its start");
	return line[0] == '[' ? take_section(r, line, n) : 0;
}

/* As fgets(), for inih. */
static char *next_line(char *to, int room, void *arg)
{
	struct reader *r = arg;
	const char *end = memchr(r->p, '\n', r->left);
	size_t n = end ? (size_t)(end - r->p) + 1 : r->left;

	if (r->error || !n)
		return NULL;
	r->at.line++;
	r->error = take_line(r, r->p, n, room);
	if (r->error)
		return NULL;
	memcpy(to, r->p, n);
	to[n] = '\0';
	r->p += n;
	r->left -= n;
	return to;
}

static int take_value(void *arg, const char *section, const char *key,
                      const char *value)
{
	struct reader *r = arg;

	(void)section; /* inih has cut off a long one */
	r->has_key = true;
	r->error = r->events->value(r->arg, &r->at, key, value, r->indented);
	return r->error == 0;
}

static void set_options(void)
{
#if HAVE_DECL_INI_MAX_LINE
	ini_max_line = WBCI_INI_LINE + 2;
	ini_use_stack = true;
#endif
}

static void skip_mark(struct reader *r)
{
	if (r->left >= 3 && !memcmp(r->p, "\xef\xbb\xbf", 3)) {
		r->p += 3;
		r->left -= 3;
	}
}

int wbci_ini_read(const char *path, const char *text, size_t bytes,
                  const struct wbci_ini_events *events, void *arg,
                  const struct wbci_message *m)
{
	struct reader r = {.at = {path, m, 0},
	                   .p = text,
	                   .left = bytes,
	                   .events = events,
	                   .arg = arg};
	int line;

	skip_mark(&r);
	set_options();
	line = ini_parse_stream(next_line, &r, take_value, &r);
	/* The first line that is wrong, whoever found it. */
	if (line > 0 && (!r.error || (unsigned)line < r.at.line))
		return wbci_ini_refuse(&r.at, (unsigned)line, -EINVAL,
		                       "neither a [section] nor KEY = VALUE "
		                       "nor a comment");
	if (line < 0 && !r.error)
		return wbci_say(m, -ENOMEM, "%s: no memory", path);
	return r.error;
}
