/* SPDX-License-Identifier: MIT */
/* Copyright the wbcshm authors */

#include "report.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "api/wbcshm.h"

/* The processor's name, or what the kernel calls its kind. */
static void cpu_name(char *name, size_t size, const char *machine)
{
	FILE *in = fopen("/proc/cpuinfo", "re");
	char line[512];

	snprintf(name, size, "%s", machine);
	while (in && fgets(line, sizeof(line), in)) {
		char *colon = strchr(line, ':');

		if (!colon || strncmp(line, "model name", 10) != 0)
			continue;
		line[strcspn(line, "\n")] = '\0';
		snprintf(name, size, "%s", colon + 2);
		break;
	}
	if (in)
		fclose(in);
}

void report_machine(void)
{
	struct utsname u;
	double load = 0;
	char cpu[128];

	uname(&u);
	cpu_name(cpu, sizeof(cpu), u.machine);
	if (getloadavg(&load, 1) != 1)
		load = 0;
	printf("machine  %s, %u of %ld CPUs, load %.2f, %s %s, "
	       "%ld-byte pages; wbcshm %s\n",
	       cpu, bench_cpus(), sysconf(_SC_NPROCESSORS_ONLN), load,
	       u.sysname, u.release, sysconf(_SC_PAGESIZE), wbc_version());
	fflush(stdout);
}

void report_heads(unsigned runs, const char *notes)
{
	printf("\n%s"
	       "ns/op   of one process, n operations in each of %u runs\n"
	       "ratio   to the floor; median of the runs, the two measured one "
	       "after the other\n"
	       "All sums were proved after each run.\n\n"
	       "%-38s %5s %9s %8s %8s %8s %6s\n",
	       notes, runs, "name", "unit", "n", "median", "min", "max",
	       "ratio");
	fflush(stdout);
}

static int by_size(const void *a, const void *b)
{
	const double *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

static double median(double *sorted, unsigned n)
{
	if (n % 2)
		return sorted[n / 2];
	return (sorted[n / 2 - 1] + sorted[n / 2]) / 2;
}

void report_group(const struct bench_group *g, const struct bench_times *t)
{
	double ns[BENCH_RUNS_MAX], ratio[BENCH_RUNS_MAX];
	unsigned arm, run;

	printf("%s\n", g->title);
	for (arm = 0; arm < g->n_arms; arm++) {
		for (run = 0; run < g->n_runs; run++) {
			ns[run] = t->ns[arm][run];
			ratio[run] = ns[run] / t->ns[g->floor][run];
		}
		qsort(ns, g->n_runs, sizeof(ns[0]), by_size);
		qsort(ratio, g->n_runs, sizeof(ratio[0]), by_size);
		printf("  %-36s ns/op %9" PRIu64 " %8.2f %8.2f %8.2f %6.2f%s\n",
		       g->arms[arm].name, g->n, median(ns, g->n_runs), ns[0],
		       ns[g->n_runs - 1], median(ratio, g->n_runs),
		       arm == g->floor ? " floor" : "");
	}
	fflush(stdout);
}

void report_skipped(const char *title, const char *why)
{
	printf("%s\n  skipped: %s\n", title, why);
	fflush(stdout);
}
