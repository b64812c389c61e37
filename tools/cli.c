/* SPDX-License-Identifier: MIT */
/* Copyright the wbcshm authors */

#include "cli.h"

#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <locale.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../api/wbcshm.h"
#include "../units/units.h"

static_assert(CLI_ADDRESS_MAX >= PATH_MAX + 8, "an address holds a path");

static const struct cli_tool *tool;

/*
 * The file was cut short under us, or its file system is full and a hole was
 * read: the one way in which reading a segment can fail without a check.
 */
static void say_bus_error(int signal)
{
	static const char words[] =
		": segment: reading it failed: the file is shorter than its "
		"header says, or its file system is full\n";
	ssize_t ignored;

	ignored = write(STDERR_FILENO, tool->name, strlen(tool->name));
	ignored = write(STDERR_FILENO, words, sizeof(words) - 1);
	(void)ignored;
	(void)signal;
	_exit(CLI_CORRUPT);
}

int cli_fail(int status, const char *format, ...)
{
	va_list args;

	fflush(stdout);
	fprintf(stderr, "%s: ", tool->name);
	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fputc('\n', stderr);
	return status;
}

int cli_status(int error)
{
	switch (error) {
	case 0:
		return CLI_OK;
	case -ENOENT:
	case -ENOTDIR:
	case WBC_E_NOROW:
		return CLI_NOT_FOUND;
	case -EACCES:
	case -EPERM:
	case -EROFS:
	case -ELOOP: /* a symbolic link, which is not followed */
	case WBC_E_OWNER:
		return CLI_DENIED;
	case WBC_E_FORMAT:
	case WBC_E_LAYOUT:
	case WBC_E_CORRUPT:
	case WBC_E_BOOT:
		return CLI_CORRUPT;
	case -EINVAL:
	case -ENAMETOOLONG:
	case -E2BIG:
	case WBC_E_SPEC:
	case WBC_E_COLUMN:
	case WBC_E_KEY:
	case WBC_E_TYPE:
	case WBC_E_NAN:
	case WBC_E_JSON:
	case WBC_E_UTF8:
		return CLI_USAGE;
	default:
		return CLI_FAILED;
	}
}

/* A sentence of the library, to stand after a colon. */
static void as_clause(char *text, size_t size, const char *sentence)
{
	size_t n;

	snprintf(text, size, "%s", sentence);
	n = strlen(text);
	if (n && text[n - 1] == '.')
		text[n - 1] = '\0';
	/* Not that of NaN, nor of an abbreviation. */
	if (n > 2 && !isupper((unsigned char)text[1]) &&
	    !isupper((unsigned char)text[2]))
		text[0] = (char)tolower((unsigned char)text[0]);
}

int cli_error(int error, const char *what, const char *which,
              const char *message)
{
	char why[512];

	if (message && *message)
		return cli_fail(cli_status(error), "%s (%s)", message,
		                wbc_error_name(error));
	as_clause(why, sizeof(why), wbc_strerror(error));
	return cli_fail(cli_status(error), "%s: %s: %s (%s)", what, which, why,
	                wbc_error_name(error));
}

int cli_address(const char *segment, char *address)
{
	int n;

	if (!segment || !*segment)
		return cli_fail(CLI_USAGE,
		                "segment: none was named; give -s SEGMENT or "
		                "set WBC_SEGMENT");
	n = snprintf(address, CLI_ADDRESS_MAX, "%s%s",
	             strncmp(segment, "shm:", 4) == 0 ? "" : "shm:", segment);
	if (n < 0 || (size_t)n >= CLI_ADDRESS_MAX)
		return cli_fail(CLI_USAGE, "segment: the name is too long");
	return CLI_OK;
}

int cli_segment(const char *segment, bool writable, struct wbci_segment *s)
{
	char address[CLI_ADDRESS_MAX];
	char path[PATH_MAX];
	char text[512] = "";
	struct wbci_message m = {text, sizeof(text)};
	int rc = cli_address(segment, address);

	if (rc != CLI_OK)
		return rc;
	rc = wbci_segment_path(address, path, false, &m);
	if (rc < 0)
		return cli_error(rc, "open", address, text);
	rc = wbci_segment_open(s, path, writable, &m);
	if (rc < 0)
		return cli_error(rc, "open", path, text);
	return CLI_OK;
}

int cli_flush_output(int status)
{
	if (fflush(stdout) == 0 && !ferror(stdout))
		return status;
	return cli_fail(CLI_FAILED, "output: stdout: %s", strerror(errno));
}

static void print_option(const struct cli_option *o)
{
	char left[64];

	snprintf(left, sizeof(left), "%c%c%s --%s%s%s", o->letter ? '-' : ' ',
	         o->letter ? o->letter : ' ', o->letter ? "," : " ", o->name,
	         o->argument ? " " : "", o->argument ? o->argument : "");
	printf("  %-26s %s\n", left, o->help);
}

static void print_help(const struct cli_command *c,
                       const struct cli_option *options, size_t n)
{
	static const struct cli_option common[] = {
		{"segment", 's', CLI_TEXT, NULL, "SEGMENT",
	         "NAME, shm:NAME or /path; else $WBC_SEGMENT"},
		{"help", 0, CLI_FLAG, NULL, NULL, "this text"},
	};
	size_t i;

	printf("usage: %s %s [-s SEGMENT]%s%s\n\n%s\n\n", tool->name, c->name,
	       *c->arguments ? " " : "", c->arguments, c->help);
	if (c->details)
		printf("%s\n\n", c->details);
	for (i = 0; i < n; i++)
		print_option(&options[i]);
	print_option(&common[0]);
	print_option(&common[1]);
}

int cli_usage(const struct cli_command *c, const char *format, ...)
{
	va_list args;

	fflush(stdout);
	fprintf(stderr, "%s: %s: ", tool->name, c->name);
	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fprintf(stderr, "; usage: %s %s [-s SEGMENT]%s%s\n", tool->name,
	        c->name, *c->arguments ? " " : "", c->arguments);
	return CLI_USAGE;
}

static bool store_value(const struct cli_option *o, const char *text)
{
	struct cli_list *list;

	switch (o->kind) {
	case CLI_FLAG:
		*(bool *)o->value = true;
		return true;
	case CLI_TEXT:
		*(const char **)o->value = text;
		return true;
	case CLI_LIST:
		list = o->value;
		if (list->n == CLI_LIST_MAX)
			return false;
		list->item[list->n++] = text;
		return true;
	case CLI_COUNT:
		return units_count(text, o->value);
	case CLI_SIZE:
		return units_size(text, o->value);
	case CLI_DURATION:
		return units_duration(text, o->value);
	case CLI_MODE:
		return units_mode(text, o->value);
	}
	return false;
}

static const struct cli_option *find_option(const struct cli_option *options,
                                            size_t n, const char *text,
                                            const char **value)
{
	size_t i;

	*value = NULL;
	for (i = 0; i < n; i++) {
		const struct cli_option *o = &options[i];
		size_t bytes = strlen(o->name);

		if (text[1] != '-') {
			if (!o->letter || text[1] != o->letter)
				continue;
			*value = text[2] ? text + 2 : NULL;
			return o;
		}
		if (strncmp(text + 2, o->name, bytes) != 0)
			continue;
		if (text[2 + bytes] == '=')
			*value = text + 2 + bytes + 1;
		else if (text[2 + bytes])
			continue;
		return o;
	}
	return NULL;
}

int cli_parse(const struct cli_command *c, const struct cli_option *options,
              size_t n, const char **segment, int *argc, char **argv)
{
	const struct cli_option common = {"segment",       's',       CLI_TEXT,
	                                  (void *)segment, "SEGMENT", ""};
	const struct cli_option *o;
	const char *value;
	int in, out = 0;

	*segment = getenv("WBC_SEGMENT");
	for (in = 0; in < *argc; in++) {
		char *text = argv[in];

		if (text[0] != '-' || !text[1]) {
			argv[out++] = text;
			continue;
		}
		if (strcmp(text, "--") == 0) {
			while (++in < *argc)
				argv[out++] = argv[in];
			break;
		}
		if (strcmp(text, "--help") == 0) {
			print_help(c, options, n);
			return CLI_HELPED;
		}
		o = find_option(options, n, text, &value);
		if (!o)
			o = find_option(&common, 1, text, &value);
		if (!o)
			return cli_usage(c, "%s: no such option", text);
		if (o->kind == CLI_FLAG && value)
			return cli_usage(c, "--%s takes no value", o->name);
		if (o->kind != CLI_FLAG && !value) {
			if (++in == *argc)
				return cli_usage(c, "--%s needs %s", o->name,
				                 o->argument);
			value = argv[in];
		}
		if (!store_value(o, value))
			return cli_usage(c, "--%s: '%s' is no %s", o->name,
			                 value, o->argument);
	}
	*argc = out;
	return CLI_OK;
}

static void print_tool_help(void)
{
	size_t i;

	printf("usage: %s COMMAND [-s SEGMENT] ARGUMENTS\n\n%s\n\n", tool->name,
	       tool->help);
	for (i = 0; i < tool->n_commands; i++)
		printf("  %-10s %s\n", tool->commands[i].name,
		       tool->commands[i].help);
	printf("\n`%s COMMAND --help` says more, and so does %s(1).\n"
	       "SEGMENT is NAME, shm:NAME or /path; without it $WBC_SEGMENT.\n"
	       "Exit status: 0 ok, 1 failed, 2 usage, 3 not found, 4 corrupt or "
	       "of another\nlayout, 5 denied.\n",
	       tool->name, tool->name);
}

int cli_main(const struct cli_tool *t, int argc, char **argv)
{
	struct sigaction action = {.sa_handler = say_bus_error};
	size_t i;

	/* What a character is, to --key; numbers stay as in C. */
	setlocale(LC_CTYPE, "");
	tool = t;
	sigaction(SIGBUS, &action, NULL);
	if (argc < 2) {
		cli_fail(CLI_USAGE, "no command was given; try %s --help",
		         tool->name);
		return CLI_USAGE;
	}
	if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "help") == 0) {
		print_tool_help();
		return cli_flush_output(CLI_OK);
	}
	if (strcmp(argv[1], "--version") == 0) {
		printf("%s (wbcshm) %s\n", tool->name, wbc_version());
		return cli_flush_output(CLI_OK);
	}
	for (i = 0; i < tool->n_commands; i++) {
		const struct cli_command *c = &tool->commands[i];

		if (strcmp(argv[1], c->name) != 0)
			continue;
		return cli_flush_output(c->run(c, argc - 2, argv + 2));
	}
	return cli_fail(CLI_USAGE, "%s: no such command; try %s --help",
	                argv[1], tool->name);
}
