/* SPDX-License-Identifier: MIT */
/* Copyright the wbcshm authors */

/* wbc-bench QUESTION: measures, and says on what machine. */
#include <getopt.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench.h"
#include "harness.h"

static const struct {
	const char *name;
	int (*answer)(const struct bench_options *o);
} questions[] = {
	{"add", bench_add},
#ifdef BENCH_FLUSH
	{"flush", bench_flush},
#endif
	{"loop", bench_loop_of},
};

static const char usage[] =
	"usage: wbc-bench add [--runs N] [--only TEXT] [--quick]\n"
	"       wbc-bench flush --sqlite [--runs N] [--only TEXT] [--quick]\n"
	"       wbc-bench loop KIND N\n"
	"\n"
	"add   What does an add cost, through a counter handle and by key,\n"
	"      beside the bare atomic instruction?  With 1 and 2 processes.\n"
	"flush How fast do rows reach a database, beside the best loop by hand?\n"
	"loop  Does one thing N times and nothing else, for valgrind, strace\n"
	"      and perf; KIND is xadd, counter, key1 or key10000.\n"
	"\n"
	"  --runs N     how often each is measured, 1..99 (5)\n"
	"  --only TEXT  only groups whose title contains it\n"
	"  --quick      a thousandth of the work: shows that it runs\n"
	"  --help       this\n"
	"\n"
	"Segments are made in /dev/shm (up to 150 MB), databases in $TMPDIR (up\n"
	"to 300 MB); all are gone at the end.\n"
	"Exit status: 0 done and all sums right, 1 not, 2 usage.\n";

int bench_usage(const char *format, ...)
{
	va_list args;

	fputs("wbc-bench: ", stderr);
	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fputs("\n\n", stderr);
	fputs(usage, stderr);
	return 2;
}

static int parse_runs(struct bench_options *o, const char *text)
{
	char *end;
	long n = strtol(text, &end, 10);

	if (*end || end == text || n < 1 || n > (long)BENCH_RUNS_MAX)
		return bench_usage("--runs: out of range: %s", text);
	o->runs = (unsigned)n;
	return 0;
}

int main(int argc, char **argv)
{
	static const struct option longs[] = {
		{"runs", required_argument, NULL, 'r'},
		{"only", required_argument, NULL, 'o'},
		{"sqlite", no_argument, NULL, 's'},
		{"quick", no_argument, NULL, 'q'},
		{"help", no_argument, NULL, 'h'},
		{NULL, 0, NULL, 0},
	};
	struct bench_options o = {0};
	const char *question;
	unsigned i;
	int c, rc;

	while ((c = getopt_long(argc, argv, "h", longs, NULL)) != -1) {
		if (c == 'r') {
			rc = parse_runs(&o, optarg);
			if (rc)
				return rc;
		} else if (c == 'o') {
			o.only = optarg;
		} else if (c == 's') {
			o.sqlite = true;
		} else if (c == 'q') {
			o.quick = true;
		} else if (c == 'h') {
			fputs(usage, stdout);
			return 0;
		} else {
			fputs(usage, stderr);
			return 2;
		}
	}
	if (!o.runs)
		o.runs = o.quick ? 3 : 5;
	if (optind == argc)
		return bench_usage("no question");
	question = argv[optind++];
	o.args = argv + optind;
	o.n_args = argc - optind;
	for (i = 0; i < sizeof(questions) / sizeof(questions[0]); i++) {
		if (strcmp(questions[i].name, question) == 0)
			return questions[i].answer(&o);
	}
	return bench_usage("no such question: %s", question);
}
