/* SPDX-License-Identifier: MIT */
/* Copyright the wbcshm authors */

/*
 * Arguments of the tools: the first byte chooses a command, the rest is its
 * arguments, a line each.  They work on a segment that is the same each time.
 *
 * Each ends with one of the exit statuses; with --json it prints JSON; a
 * number that is read is printed as one that reads the same; whatever is made
 * printable is.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "image.h"
#include "tools/cli.h"
#include "tools/ctl.h"
#include "tools/dump.h"
#include "units/moment.h"
#include "units/units.h"

#define ARGUMENTS_MAX 12u

static struct image image;

static const struct cli_command commands[] = {
	{"add", "", "", NULL, ctl_add},
	{"insert", "", "", NULL, ctl_insert},
	{"read", "", "", NULL, ctl_read},
	{"keys", "", "", NULL, dump_keys},
	{"summary", "", "", NULL, dump_summary},
};
#define N_COMMANDS (sizeof(commands) / sizeof(commands[0]))
static const struct cli_tool tool = {"fuzz", "", commands, N_COMMANDS};

static bool has(char **argv, int argc, const char *text)
{
	for (int i = 0; i < argc; i++)
		if (!strcmp(argv[i], text))
			return true;
	return false;
}

static void run(unsigned which, char **arguments, unsigned n)
{
	char *argv[ARGUMENTS_MAX + 5];
	const char *bad;
	size_t bytes;
	int argc = 0;
	char *text;
	int rc;

	argv[argc++] = (char[]){"fuzz"};
	argv[argc++] = (char *)(uintptr_t)commands[which].name;
	argv[argc++] = (char[]){"-s"};
	argv[argc++] = image.path;
	for (unsigned i = 0; i < n; i++)
		argv[argc++] = arguments[i];
	argv[argc] = NULL;
	fuzz_catch_begin();
	rc = cli_main(&tool, argc, argv);
	text = fuzz_catch_end(&bytes);
	fuzz_check(rc >= CLI_OK && rc <= CLI_DENIED, "%s ends with %d",
	           commands[which].name, rc);
	bad = rc == CLI_OK && which >= 3 && bytes &&
	                      !has(argv, argc, "--help") && text[0] == '{'
	              ? fuzz_json(text, bytes)
	              : NULL;
	fuzz_check(!bad, "no JSON at \"%.20s\"", bad);
	free(text);
}

static void check_numbers(const char *text)
{
	char said[UNITS_TEXT];
	uint64_t u;
	int64_t i, j;
	double d, e;

	if (units_int64(text, &i)) {
		snprintf(said, sizeof(said), "%lld", (long long)i);
		fuzz_check(units_int64(said, &j) && i == j, "%s is %s", text,
		           said);
	}
	if (units_double(text, &d) && d == d) {
		units_say_double(said, d);
		fuzz_check(units_double(said, &e) && d == e, "%s is %s", text,
		           said);
	}
	if (units_moment(text, &i)) {
		units_say_moment(said, i);
		fuzz_check(units_moment(said, &j) && i == j, "%s is %s", text,
		           said);
	}
	if (units_count(text, &u))
		fuzz_check(strlen(units_say_count(said, u)) < UNITS_TEXT, "%s",
		           text);
	if (units_size(text, &u))
		fuzz_check(strlen(units_say_bytes(said, u)) < UNITS_TEXT, "%s",
		           text);
	if (units_duration(text, &i))
		fuzz_check(i >= 0 && i <= INT32_MAX, "%s is %lld ms", text,
		           (long long)i);
	if (units_mode(text, &u))
		fuzz_check(u <= 0777, "%s is mode %llo", text,
		           (unsigned long long)u);
}

/* No byte that a terminal obeys, and all of it is UTF-8. */
static void check_printable(const uint8_t *data, size_t bytes)
{
	size_t size = 4 * bytes + 1;
	char *text = malloc(size);
	const unsigned char *p = (const unsigned char *)text;
	size_t n;

	if (!text)
		tap_bail("no memory");
	units_printable(text, size, data, bytes);
	for (size_t left = strlen(text); left; left -= n, p += n) {
		n = units_utf8(p, left);
		fuzz_check(n && *p >= ' ' && *p != 0x7f &&
		                   !(*p == 0xc2 && p[1] < 0xa0),
		           "byte %#x is called printable", *p);
	}
	free(text);
}

static void begin(void)
{
	image_make(&image);
	setenv("TZ", "UTC", 1);
}

static void one(const uint8_t *data, size_t bytes)
{
	struct fuzz_source from = {data, bytes};
	unsigned which = (unsigned)fuzz_take(&from, 1) % N_COMMANDS;
	char *arguments[ARGUMENTS_MAX];
	unsigned n = 0;

	check_printable(from.p, from.left);
	while (from.left && n < ARGUMENTS_MAX) {
		const uint8_t *end = memchr(from.p, '\n', from.left);
		size_t length = end ? (size_t)(end - from.p) : from.left;

		arguments[n] = strndup((const char *)from.p, length);
		if (!arguments[n])
			tap_bail("no memory");
		check_numbers(arguments[n++]);
		from.p += length + (end != NULL);
		from.left -= length + (end != NULL);
	}
	/* Another segment, or a program that waits, is not for here. */
	for (unsigned i = 0; i < n; i++)
		if (!strncmp(arguments[i], "-s", 2) ||
		    !strncmp(arguments[i], "--segment", 9) ||
		    !strncmp(arguments[i], "--timeout", 9))
			arguments[i][0] = '+';
	run(which, arguments, n);
	image_restore(&image);
	for (unsigned i = 0; i < n; i++)
		free(arguments[i]);
}

/* An argument that means something, put in somewhere. */
static size_t mutate(struct dice *d, uint8_t *data, size_t bytes, size_t room)
{
	static const char *const words[] = {
		"words\n",
		"word=word7\n",
		"n=1\n",
		"n=-9e18\n",
		"events\n",
		"seq=12\n",
		"note=text\n",
		"weight=0.1\n",
		"raw=00ff\n",
		"visits\n",
		"host=h\n",
		"day=3\n",
		"hits=1\n",
		"seconds=1e308\n",
		"--json\n",
		"--null\n",
		"note\n",
		"--help\n",
		"--\n",
		"--key\n",
		"*\n",
		"--table\n",
		"t(k int key, n counter)\n",
		"--limit\n",
		"18446744073709551616K\n",
		"9223372036854775807\n",
		"4k\n",
		"0x10\n",
		"1e400\n",
		"nan\n",
		"--get\n",
		"--all\n",
		"=\n",
		"--dirty\n",
		"[!a-\\\n",
		"5m\n",
		"v(f bool key, t timestamp key, b blob key, j json, n counter)\n",
		"f=true\n",
		"t=2026-01-31T12:00:00.5Z\n",
		"t=253402300800000000\n",
		"b=x'00ff'\n",
		"j={\"a\":[1e400]}\n",
	};
	const char *word =
		words[dice_below(d, sizeof(words) / sizeof(words[0]))];
	size_t n = strlen(word);
	size_t at = bytes;

	if (bytes == 0)
		return dice_mutate(d, data, bytes, room);
	if (bytes + n > room || dice_below(d, 4) == 0)
		return dice_mutate(d, data, bytes, room);
	/* At the end, or before the last line. */
	if (dice_below(d, 3) == 0)
		at = 1 + dice_below(d, (uint32_t)bytes);
	memmove(data + at + n, data + at, bytes - at);
	memcpy(data + at, word, n);
	return bytes + n;
}

const struct fuzz_target fuzz_target = {
	.name = "arguments",
	.promise = "no argument ends a tool otherwise than by its status",
	.executions = 1500,
	.begin = begin,
	.one = one,
	.mutate = mutate,
};
