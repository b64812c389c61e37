/* SPDX-License-Identifier: MIT */
/* Copyright the wbcshm authors */

#include "options.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "supervise.h"

static const char usage[] =
	"usage: wordcount [--seconds N] [--workers N] [--seed S] [--dir DIR]\n"
	"                 [--keep] [FOLDER ...]\n"
	"\n"
	"Counts the words of the text files below the folders, from several\n"
	"processes into SQLite, while processes are killed; then compares the\n"
	"tables with what tr | sort | uniq -c counts.\n"
	"\n"
	"  --seconds N  how long to count, 2..3600 (30)\n"
	"  --workers N  how many processes count, 1..64 (4)\n"
	"  --seed S     of the moments of the kills (random, printed)\n"
	"  --dir DIR    a new folder for database, journal and logs\n"
	"               (a temporary one)\n"
	"  --keep       leave folder and segment for a look\n"
	"\n"
	"A word is a run of the letters A-Z and a-z, in lower case; of one\n"
	"with more than 200 letters the first 200 count.  Left out are files\n"
	"called *.gz or *.html, with a NUL byte or over 128 KiB, and all after\n"
	"24 MiB.\n"
	"Without folders it reads /usr/share/common-licenses and\n"
	"/usr/share/doc.  wbc-flusher is looked for in PATH.\n"
	"\n"
	"Exit status: 0 exact, 1 not, 2 usage.\n";

static bool number(const char *text, uint64_t min, uint64_t max, uint64_t *n)
{
	char *end;

	errno = 0;
	*n = strtoull(text, &end, 10);
	return *text >= '0' && *text <= '9' && !*end && !errno && *n >= min &&
	       *n <= max;
}

int options_parse(struct options *o, int argc, char **argv)
{
	static char licenses[] = "/usr/share/common-licenses";
	static char doc[] = "/usr/share/doc";
	static char *const defaults[] = {licenses, doc};
	static const struct option longs[] = {
		{"seconds", required_argument, NULL, 's'},
		{"workers", required_argument, NULL, 'w'},
		{"seed", required_argument, NULL, 'r'},
		{"dir", required_argument, NULL, 'd'},
		{"keep", no_argument, NULL, 'k'},
		{"help", no_argument, NULL, 'h'},
		{NULL, 0, NULL, 0},
	};
	uint64_t n = 0;
	int c;

	memset(o, 0, sizeof(*o));
	o->seconds = 30;
	o->workers = 4;
	o->seed = (uint64_t)(now_s() * 1e6) % 1000000;
	while ((c = getopt_long(argc, argv, "h", longs, NULL)) != -1) {
		bool good = true;

		if (c == 's' && (good = number(optarg, 2, 3600, &n)))
			o->seconds = (unsigned)n;
		else if (c == 'w' &&
		         (good = number(optarg, 1, WORKERS_MAX, &n)))
			o->workers = (unsigned)n;
		else if (c == 'r')
			good = number(optarg, 0, UINT32_MAX, &o->seed);
		else if (c == 'd')
			o->dir = optarg;
		else if (c == 'k')
			o->keep = true;
		else if (c == 'h')
			return fputs(usage, stdout) < 0 ? 2 : 1;
		if (c == '?' || !good) {
			if (!good)
				fprintf(stderr, "wordcount: %s: out of range\n",
				        optarg);
			fputs(usage, stderr);
			return 3;
		}
	}
	o->folders = optind < argc ? argv + optind : defaults;
	o->n_folders = optind < argc ? (size_t)(argc - optind) : 2;
	return 0;
}
