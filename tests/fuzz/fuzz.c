/* SPDX-License-Identifier: MIT */
/* Copyright the wbcshm authors */

/* What targets share: failing, catching output, reading JSON. */
#include "fuzz.h"

#include <ctype.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* The sanitizers' own, where one is linked. */
__attribute__((weak)) void __sanitizer_set_report_fd(void *fd);

static int loud_fd = STDERR_FILENO;

void fuzz_fail(const char *file, int line, const char *format, ...)
{
	char text[512];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	dprintf(loud_fd, "# fuzz: found: %s:%d: %s\n", file, line, text);
	abort();
}

void fuzz_quiet(void)
{
	int nowhere = open("/dev/null", O_WRONLY | O_CLOEXEC);

	loud_fd = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 10);
	if (nowhere < 0 || loud_fd < 0 || dup2(nowhere, STDERR_FILENO) < 0)
		abort();
	close(nowhere);
	if (__sanitizer_set_report_fd)
		__sanitizer_set_report_fd((void *)(intptr_t)loud_fd);
}

static int caught = -1;
static int uncaught = -1;

void fuzz_catch_begin(void)
{
	fflush(stdout);
	if (caught < 0) {
		caught = memfd_create("output", MFD_CLOEXEC);
		uncaught = fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 10);
	}
	if (caught < 0 || uncaught < 0 || ftruncate(caught, 0) ||
	    lseek(caught, 0, SEEK_SET) || dup2(caught, STDOUT_FILENO) < 0)
		abort();
}

char *fuzz_catch_end(size_t *bytes)
{
	off_t end;
	char *text;

	fflush(stdout);
	dup2(uncaught, STDOUT_FILENO);
	end = lseek(caught, 0, SEEK_END);
	text = malloc((size_t)end + 1);
	if (!text || pread(caught, text, (size_t)end, 0) != end)
		abort();
	text[end] = '\0';
	*bytes = (size_t)end;
	return text;
}

/* More than any of ours writes or takes. */
#define JSON_DEPTH 1024u

/* A reader of JSON that believes nothing and builds nothing. */
struct reader {
	const char *p;
	const char *end;
	unsigned depth;
};

static void skip_space(struct reader *r)
{
	while (r->p < r->end && strchr(" \t\n\r", *r->p) && *r->p)
		r->p++;
}

static bool take(struct reader *r, char byte)
{
	skip_space(r);
	if (r->p == r->end || *r->p != byte)
		return false;
	r->p++;
	return true;
}

static bool read_escape(struct reader *r)
{
	static const char plain[] = "\"\\/bfnrt";

	if (r->p == r->end)
		return false;
	if (*r->p == 'u') {
		for (int i = 1; i <= 4; i++)
			if (r->end - r->p <= i ||
			    !isxdigit((unsigned char)r->p[i]))
				return false;
		r->p += 5;
		return true;
	}
	return *r->p && strchr(plain, *r->p++);
}

static bool read_string(struct reader *r)
{
	if (!take(r, '"'))
		return false;
	while (r->p < r->end) {
		unsigned char byte = (unsigned char)*r->p++;

		if (byte == '"')
			return true;
		if (byte < ' ' || (byte == '\\' && !read_escape(r)))
			return false;
	}
	return false;
}

static bool read_digits(struct reader *r)
{
	const char *from = r->p;

	while (r->p < r->end && isdigit((unsigned char)*r->p))
		r->p++;
	return r->p > from;
}

static bool read_number(struct reader *r)
{
	if (r->p < r->end && *r->p == '-')
		r->p++;
	if (!read_digits(r))
		return false;
	if (r->p < r->end && *r->p == '.') {
		r->p++;
		if (!read_digits(r))
			return false;
	}
	if (r->p < r->end && (*r->p == 'e' || *r->p == 'E')) {
		r->p++;
		if (r->p < r->end && (*r->p == '-' || *r->p == '+'))
			r->p++;
		return read_digits(r);
	}
	return true;
}

static bool read_value(struct reader *r);

/* What stands between brackets: members with names, or without. */
static bool read_members(struct reader *r, char close, bool named)
{
	if (take(r, close))
		return true;
	do {
		if (named && (!read_string(r) || !take(r, ':')))
			return false;
		if (!read_value(r))
			return false;
	} while (take(r, ','));
	return take(r, close);
}

static bool read_word(struct reader *r)
{
	static const char *const words[] = {"true", "false", "null"};

	for (unsigned i = 0; i < 3; i++) {
		size_t n = strlen(words[i]);

		if ((size_t)(r->end - r->p) >= n &&
		    !memcmp(r->p, words[i], n)) {
			r->p += n;
			return true;
		}
	}
	return false;
}

static bool read_value(struct reader *r)
{
	bool good;

	skip_space(r);
	if (r->p == r->end || r->depth == JSON_DEPTH)
		return false;
	r->depth++;
	if (take(r, '{'))
		good = read_members(r, '}', true);
	else if (take(r, '['))
		good = read_members(r, ']', false);
	else if (*r->p == '"')
		good = read_string(r);
	else
		good = read_word(r) || read_number(r);
	r->depth--;
	return good;
}

const char *fuzz_json(const char *text, size_t bytes)
{
	struct reader r = {text, text + bytes, 0};

	if (!read_value(&r))
		return r.p;
	skip_space(&r);
	return r.p == r.end ? NULL : r.p;
}
