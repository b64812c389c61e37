/* SPDX-License-Identifier: MIT */
/* Copyright the wbcshm authors */

/*
 * What the commands share: `TOOL COMMAND [-s SEGMENT] ARGUMENTS`.
 *
 * A tool is a table of commands; a command declares its options in an array
 * and hands it to cli_parse(), which also answers --help.  A command returns
 * the exit status; words about a failure are printed once, by cli_fail() or
 * cli_error(), as "TOOL: what: which: why; what to do".
 */
#ifndef WBC_CLI_H
#define WBC_CLI_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../shm/segment.h"

enum cli_exit {
	CLI_OK = 0,
	CLI_FAILED = 1,
	CLI_USAGE = 2,
	CLI_NOT_FOUND = 3,
	CLI_CORRUPT = 4, /* or of another layout */
	CLI_DENIED = 5
};

/* cli_parse() has answered --help: return CLI_OK. */
#define CLI_HELPED (-1)

/* What an option's value is, and the type that it is stored in. */
enum cli_kind {
	CLI_FLAG,     /* bool, without a value */
	CLI_TEXT,     /* const char * */
	CLI_LIST,     /* struct cli_list: may be given again */
	CLI_COUNT,    /* uint64_t: 12, 4k, 1M; decimal multiples */
	CLI_SIZE,     /* uint64_t: 4096, 256K, 1G; binary multiples */
	CLI_DURATION, /* int64_t milliseconds: 0, 500ms, 5s, 2m, 1h */
	CLI_MODE      /* uint64_t: octal permission bits */
};

#define CLI_LIST_MAX 64u
struct cli_list {
	size_t n;
	const char *item[CLI_LIST_MAX];
};

struct cli_option {
	const char *name; /* without its dashes */
	char letter;      /* 0: none */
	enum cli_kind kind;
	void *value;
	const char *argument; /* in the help; NULL for a flag */
	const char *help;
};

struct cli_command {
	const char *name;
	const char *arguments; /* what stands after the name, for the help */
	const char *help;      /* one line */
	const char *details;   /* more of it, or NULL */
	int (*run)(const struct cli_command *c, int argc, char **argv);
};

struct cli_tool {
	const char *name;
	const char *help; /* one line */
	const struct cli_command *commands;
	size_t n_commands;
};

/* The whole of main(). */
int cli_main(const struct cli_tool *tool, int argc, char **argv);

/**
 * cli_parse() - take the options out of a command's arguments
 * @c:       command, for the help
 * @options: besides -s, --segment and --help, which all commands have
 * @segment: receives -s, else $WBC_SEGMENT, else NULL
 * @argc:    in: the arguments after the command; out: those not options
 * @argv:    likewise; options and others may be mixed, `--` ends options
 *
 * Return: CLI_OK; CLI_USAGE, said so; or CLI_HELPED.
 */
int cli_parse(const struct cli_command *c, const struct cli_option *options,
              size_t n, const char **segment, int *argc, char **argv);

/* Too many or too few arguments; returns CLI_USAGE. */
int cli_usage(const struct cli_command *c, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

/* Say "TOOL: ..."; returns @status. */
int cli_fail(int status, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

/**
 * cli_error() - say what a function of the library returned
 * @error:   it
 * @what:    what was tried
 * @which:   on what
 * @message: the library's own words; used instead if there are any
 *
 * Return: the exit status that fits.
 */
int cli_error(int error, const char *what, const char *which,
              const char *message);

/* The exit status for an error of the library. */
int cli_status(int error);

/**
 * cli_address() - "NAME", "/path", "shm:NAME" or "shm:/path" as an address
 * @segment: what -s or the environment gave, or NULL
 * @address: receives it, PATH_MAX + 8 bytes
 *
 * Return: CLI_OK, or CLI_USAGE, said so.
 */
int cli_address(const char *segment, char *address);
#define CLI_ADDRESS_MAX 4104u

/**
 * cli_segment() - map the segment that was named
 * @writable: false takes a read-only mapping
 *
 * Return: CLI_OK, or another exit status, said so.
 */
int cli_segment(const char *segment, bool writable, struct wbci_segment *s);

/* What was printed went out; CLI_FAILED, said so, if it did not. */
int cli_flush_output(int status);

#endif
