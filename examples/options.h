/* SPDX-License-Identifier: MIT */
/* Copyright the wbcshm authors */

/* The command line. */
#ifndef EXAMPLE_OPTIONS_H
#define EXAMPLE_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define WORKERS_MAX 64

struct options {
	unsigned seconds;
	unsigned workers;
	uint64_t seed;
	bool keep;
	const char *dir;
	char *const *folders;
	size_t n_folders;
};

/**
 * options_parse() - read the command line; --help prints itself
 * @o: receives it, defaults included
 *
 * Return: 0 to go on, else the exit status + 1.
 */
int options_parse(struct options *o, int argc, char **argv);

#endif
