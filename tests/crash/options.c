/* SPDX-License-Identifier: MIT */
/* Copyright the wbcshm authors */

/*
 * wbc-flusher's command line: each option missing, malformed or out of range
 * is refused before anything is touched, with the exit status that fits and
 * words that name the option and the remedy.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "crash/rig.h"
#include "tap/tap.h"

#define ARGS_MAX 12

/* A command line is a good one, changed: @drop is left out with its value,
 * @args come behind. */
struct attempt {
	const char *what;
	const char *drop;
	const char *args[4];
	int status;
	const char *words;
};

#define NAME63 "n23456789012345678901234567890123456789012345678901234567890123"

static const struct attempt attempts[] = {
	/* missing */
	{"no segment", "--segment", {NULL}, 2, "no segment"},
	{"no database", "--sqlite", {NULL}, 2, "no database"},
	{"no journal", "--journal", {NULL}, 2, "no journal"},
	{"a segment without a value", NULL, {"--segment"}, 2, "segment"},
	{"a database without a value", NULL, {"--sqlite"}, 2, "sqlite"},
	{"a journal without a value", NULL, {"--journal"}, 2, "journal"},
	{"a table without a value", NULL, {"--table"}, 2, "table"},
	{"an empty segment", NULL, {"--segment", ""}, 2, "no segment"},
	{"an empty database", NULL, {"--sqlite", ""}, 2, "no database"},
	{"an empty journal", NULL, {"--journal", ""}, 2, "no journal"},
	{"an unknown option", NULL, {"--nonsense"}, 2, "nonsense"},
	{"an operand", NULL, {"operand"}, 2, "operand"},

	/* numbers */
	{"no journal interval",
         NULL,
         {"--journal-interval", ""},
         2,
         "--journal-interval"},
	{"a journal interval of 0",
         NULL,
         {"--journal-interval", "0"},
         2,
         "--journal-interval 0"},
	{"a negative journal interval",
         NULL,
         {"--journal-interval", "-1"},
         2,
         "--journal-interval -1"},
	{"a journal interval in words",
         NULL,
         {"--journal-interval", "x"},
         2,
         "--journal-interval x"},
	{"a time without a unit, which some would take for seconds",
         NULL,
         {"--journal-interval", "300"},
         2,
         "--journal-interval 300: it should be a time from 1ms to 1h"},
	{"an unknown unit",
         NULL,
         {"--journal-interval", "5y"},
         2,
         "--journal-interval 5y"},
	{"a fraction",
         NULL,
         {"--journal-interval", "1.5s"},
         2,
         "--journal-interval 1.5s"},
	{"an overflow",
         NULL,
         {"--journal-interval", "99999999999999999999"},
         2,
         "--journal-interval"},
	{"an overflow by the unit",
         NULL,
         {"--journal-interval", "18446744073709551615h"},
         2,
         "--journal-interval"},
	{"a journal interval that is too long",
         NULL,
         {"--journal-interval", "2h"},
         2,
         "--journal-interval 2h"},
	{"a flush interval of 0",
         NULL,
         {"--flush-interval", "0s"},
         2,
         "--flush-interval 0s"},
	{"a flush interval in words",
         NULL,
         {"--flush-interval", "soon"},
         2,
         "--flush-interval soon"},
	{"a queue of 0 rows",
         NULL,
         {"--max-queue-rows", "0"},
         2,
         "--max-queue-rows 0"},
	{"a queue of seconds",
         NULL,
         {"--max-queue-rows", "5s"},
         2,
         "--max-queue-rows 5s"},
	{"a size in words", NULL, {"--max-size", "big"}, 2, "--max-size big"},
	{"a size of a few bytes",
         NULL,
         {"--create", "--max-size", "4096"},
         2,
         "2 MiB"},
	{"a size of exabytes",
         NULL,
         {"--create", "--max-size", "1000000000G"},
         2,
         "16 TiB"},
	{"a capacity of 0", NULL, {"--capacity", "0"}, 2, "--capacity 0"},
	{"a capacity beyond all",
         NULL,
         {"--create", "--capacity", "9000000000G"},
         2,
         "capacity"},
	{"a mode that is not octal",
         NULL,
         {"--mode", "0999"},
         2,
         "--mode 0999"},
	{"a mode with more than permissions",
         NULL,
         {"--mode", "4755"},
         2,
         "--mode 4755"},
	{"an empty mode", NULL, {"--mode", ""}, 2, "--mode"},

	/* tables */
	{"an empty table", NULL, {"--table", ""}, 2, "table"},
	{"a table without columns", NULL, {"--table", "t"}, 2, "t"},
	{"a table without an end", NULL, {"--table", "t(a int key"}, 2, ")"},
	{"a column without a type", NULL, {"--table", "t(a)"}, 2, "a"},
	{"an unknown type", NULL, {"--table", "t(a decimal)"}, 2, "decimal"},
	{"an unknown policy",
         NULL,
         {"--table", "t(a int key, n counter) on_missing=explode"},
         2,
         "explode"},
	{"a name with a quote",
         NULL,
         {"--table", "t\"(a int key)"},
         2,
         "character"},
	{"SQL for a name",
         NULL,
         {"--table", "t; drop table x(a int key)"},
         2,
         "character"},
	{"two columns of one name",
         NULL,
         {"--table", "t(a int key, A counter)"},
         2,
         "A"},
	{"a table that is given twice",
         NULL,
         {"--table", "words(word text key, m counter)"},
         2,
         "twice"},
	{"a table of another connection",
         NULL,
         {"--table", "pg.t(a int key, n counter)"},
         2,
         "no such connection"},
	{"the flusher's own ledger",
         NULL,
         {"--table", "wbc_ledger(journal text key, position counter)"},
         2,
         "wbc_ledger"},
	{"the flusher's own dead letters",
         NULL,
         {"--table", "WBC_Dead_Letters(id int key, n counter)"},
         2,
         "etters"},
	{"a name of 64 bytes",
         NULL,
         {"--table", "x" NAME63 "(a int key, n counter)"},
         2,
         "63"},
	{"a column's name of 64 bytes",
         NULL,
         {"--table", "t(x" NAME63 " int key, n counter)"},
         2,
         "63"},

	/* the segment */
	{"a hidden segment",
         "--segment",
         {"--segment", ".hidden"},
         2,
         ".hidden"},
	{"a relative path", "--segment", {"--segment", "a/b"}, 2, "a/b"},
	{"a segment's name of 64 bytes",
         "--segment",
         {"--segment", "x" NAME63},
         2,
         "63"},
	{"a segment that is not there", "--create", {NULL}, 3, "segment"},
	{"a segment in no folder",
         "--segment",
         {"--segment", "/nowhere/at/all/segment"},
         3,
         "/nowhere/at/all"},
};

/* Looked at after the segment was made, which stays. */
static const struct attempt no_folder = {
	"a journal in no folder",
	"--journal",
	{"--journal", "/nowhere/at/all/journal"},
	3,
	"/nowhere/at/all"};

static struct rig rig;

/* Room for the good command line, and what comes behind. */
static void make_argv(const char **argv, const struct attempt *a)
{
	const char *const good[] = {
		"--segment", rig.address,
		"--sqlite",  rig.database,
		"--journal", rig.journal,
		"--table",   "words(word text key, n counter)"};
	int n = 0;

	argv[n++] = "wbc-flusher";
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i += 2) {
		if (a->drop && !strcmp(a->drop, good[i]))
			continue;
		argv[n++] = good[i];
		argv[n++] = good[i + 1];
	}
	if (a->drop && strcmp(a->drop, "--create") != 0)
		argv[n++] = "--create";
	for (int i = 0; i < 4 && a->args[i]; i++)
		argv[n++] = a->args[i];
	argv[n] = NULL;
}

static void try(const struct attempt *a)
{
	const char *argv[ARGS_MAX + 8];
	char text[4096];
	int status;

	make_argv(argv, a);
	status = rig_run(argv, text, sizeof(text));
	text[strcspn(text, "\n")] = '\0';
	if (!tap_ok(status == a->status && strstr(text, a->words),
	            "%s is refused with %d: %.100s", a->what, a->status, text))
		tap_diag("status %d, \"%s\" expected in: %s", status, a->words,
		         text);
}

static void nothing_was_touched(void)
{
	tap_ok(access(rig.segment, F_OK) && access(rig.journal, F_OK) &&
	               access(rig.database, F_OK),
	       "P8: no file was made on the way");
}

/* A specification with so many columns of a kind. */
static char *wide_table(unsigned columns, const char *kind)
{
	char *spec = malloc(columns * 32 + 64);
	int n;

	if (!spec)
		tap_bail("no memory");
	n = sprintf(spec, "wide(k int key");
	for (unsigned i = 1; i < columns; i++)
		n += sprintf(spec + n, ", c%u %s", i, kind);
	strcpy(spec + n, ")");
	return spec;
}

static void try_wide(unsigned columns, const char *kind, int status,
                     const char *words)
{
	char *spec = wide_table(columns, kind);
	struct attempt a = {"", "--create", {"--table", spec}, status, words};
	char what[64];

	snprintf(what, sizeof(what), "a table of %u columns, %s", columns,
	         kind);
	a.what = what;
	try(&a);
	free(spec);
}

static void too_many_tables(void)
{
	static char specs[256][40];
	const char *argv[2 * 256 + 16] = {
		"wbc-flusher", "--segment", "x", "--sqlite",
		"y",           "--journal", "z"};
	char text[1024];
	int n = 7;

	for (int i = 0; i < 256; i++) {
		sprintf(specs[i], "t%d(k int key, n counter)", i);
		argv[n++] = "--table";
		argv[n++] = specs[i];
	}
	argv[n] = NULL;
	tap_is_int(rig_run(argv, text, sizeof(text)), 2,
	           "256 tables are refused");
	tap_ok(strstr(text, "255"), "in words: %.80s", text);
}

static void too_long(const char *option, const char *begin, int status,
                     const char *what)
{
	static char path[6000];
	struct attempt a = {what, option, {option, path}, status, "long"};

	memset(path, 'x', sizeof(path) - 1);
	memcpy(path, begin, strlen(begin));
	for (size_t i = 100; i < sizeof(path) - 1; i += 100)
		path[i] = '/';
	if (!strcmp(option, "--segment"))
		a.words = "at most";
	try(&a);
}

/* What is not wider than a terminal. */
static bool is_narrow(const char *text)
{
	size_t line;

	for (; *text; text += line + (text[line] == '\n')) {
		line = strcspn(text, "\n");
		if (line > 80)
			return false;
	}
	return true;
}

/* Options that end the program at once. */
static void information(void)
{
	static const char *const options[] = {
		"--segment",        "--sqlite",         "--journal",
		"--table",          "--create",         "--max-size",
		"--capacity",       "--mode",           "--journal-interval",
		"--flush-interval", "--max-queue-rows", "--check-journal",
		"--list-points",    "--help",           "--version"};
	const char *help[] = {"wbc-flusher", "--help", NULL};
	const char *version[] = {"wbc-flusher", "--version", NULL};
	char text[8192];
	bool all = true;

	tap_is_int(rig_run(help, text, sizeof(text)), 0, "--help ends well");
	for (size_t i = 0; i < sizeof(options) / sizeof(options[0]); i++)
		all &= strstr(text, options[i]) != NULL;
	tap_ok(all, "and shows every option");
	tap_ok(is_narrow(text), "in lines of at most 80 columns");
	tap_is_int(rig_run(version, text, sizeof(text)), 0,
	           "--version ends well");
	tap_ok(strstr(text, wbc_version()), "and shows the version");
}

static void kill_points(void)
{
	static const char *const bad[] = {
		"nowhere",       "round-begun:",   "round-begun:0",
		"round-begun:x", "round-begun:-1", ":1"};
	const struct attempt a = {"", NULL, {NULL}, 2, ""};
	const char *argv[ARGS_MAX + 8];
	char text[1024];

	make_argv(argv, &a);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		int status;

		setenv("WBC_FLUSHER_KILL_AT", bad[i], 1);
		status = rig_run(argv, text, sizeof(text));
		tap_ok(status == 2 && strstr(text, "WBC_FLUSHER_KILL_AT"),
		       "WBC_FLUSHER_KILL_AT=%s is refused", bad[i]);
	}
	unsetenv("WBC_FLUSHER_KILL_AT");
}

int main(void)
{
	rig_begin(&rig, "options");
	unsetenv("WBC_SEGMENT");
	for (size_t i = 0; i < sizeof(attempts) / sizeof(attempts[0]); i++)
		try(&attempts[i]);
	try_wide(65, "int", 2, "64");
	try_wide(18, "counter", 2, "16");
	too_many_tables();
	information();
	kill_points();
	nothing_was_touched();
	try(&no_folder);
	too_long("--segment", "/", 2, "a segment's path of 6000 bytes");
	too_long("--journal", "/tmp", 2, "a journal's path of 6000 bytes");
	rig_end(&rig);
	return tap_done();
}
