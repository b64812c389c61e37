/* SPDX-License-Identifier: MIT */
/* Copyright the wbcshm authors */

/* wbc-flusher's command line.  It is kept, since it comes over the file each
 * time that is read. */
#ifndef WBCI_OPTIONS_H
#define WBCI_OPTIONS_H

#include "settings.h"

enum {
	EXIT_OK = 0,
	EXIT_FAILED = 1,
	EXIT_USAGE = 2,
	EXIT_NOT_FOUND = 3,
	EXIT_CORRUPT = 4,
	EXIT_DENIED = 5
};

enum task {
	TASK_SERVE,
	TASK_CHECK_JOURNAL,
	TASK_CHECK_CONFIG,
	TASK_PRINT_CONFIG
};

struct options {
	enum task task;
	const char *file; /* --config, or NULL */
	/* The others in their order: as "--journal", and what it is given. */
	unsigned n;
	struct {
		const char *option;
		const char *text;
	} * given;
};

/* Ends the program after --help and the like, and where an option is none. */
void options_read(struct options *o, int argc, char **argv);
void options_free(struct options *o);

/**
 * options_settings() - the file, and the options over it
 * @s: receives all of it, also after an error; freed by the caller
 */
int options_settings(const struct options *o, struct wbci_settings **s,
                     const struct wbci_message *m);

#endif
