/* SPDX-License-Identifier: MIT */
/* Copyright the wbcshm authors */

/*
 * The command line of a program under the model checker:
 *
 *   NAME                          search all scenarios
 *   NAME SCENARIO...              only these
 *   NAME --replay SCENARIO PATH   one execution again, with a trace
 *   NAME --weaken "LINE FROM->TO" SCENARIO   with one memory order weaker
 *   NAME --mutate FILE            weaken each memory order of FILE in turn:
 *                                 "LINE FROM->TO" or "LINE FROM->TO SCENARIO"
 *
 * With WBC_SOAK_SECONDS, random executions from WBC_SEED after the search,
 * with more preemptions, until the time is over.
 */
#include "engine.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

static uint64_t all_executions, all_deaths, all_cuts;

static double seconds(void)
{
	struct rusage use;

	getrusage(RUSAGE_SELF, &use);
	return (double)use.ru_utime.tv_sec + (double)use.ru_utime.tv_usec / 1e6;
}

static void show_failure(const char *name, const struct mc_scenario *s)
{
	static char path[8192];
	char words[sizeof(mc.words)];

	memcpy(words, mc.words, sizeof(words));
	mc_path(path, sizeof(path));
	mc_replay(s, NULL);
	mc_trace_print();
	tap_diag("%s: %s", s->name, words);
	if (mc.outcome != FAILED)
		tap_diag("the replay did not fail: outcome %d", mc.outcome);
	tap_diag("again: tests/mc/%s --replay %s %s", name, s->name, path);
}

static void run_scenario(const char *name, const struct mc_scenario *s)
{
	double began = seconds(), took;
	enum outcome outcome;
	char words[sizeof(mc.words)];
	bool good;

	mc_world_setup(s);
	mc.passes = 0;
	outcome = mc_search(s, UINT64_MAX);
	took = seconds() - began;
	memcpy(words, mc.words, sizeof(words));
	tap_diag("%s: %" PRIu64 " executions, %" PRIu64
	         " with a death, %" PRIu64
	         " ended where another had been, %.0f steps each, %.1f s, "
	         "%.2f M/s, %" PRIu64 " passes",
	         s->name, mc.executions, mc.with_death, mc.cuts,
	         (double)mc.total_steps / (double)mc.executions, took,
	         (double)mc.executions / 1e6 / (took > 0 ? took : 1e-9),
	         mc.passes);
	all_executions += mc.executions - mc.cuts;
	all_deaths += mc.with_death;
	all_cuts += mc.cuts;
	good = (outcome == FAILED) == s->fails;
	if (outcome == FAILED && !good)
		show_failure(name, s);
	if (outcome == FAILED && s->fails && s->must &&
	    !strstr(words, s->must)) {
		tap_diag("it failed by: %s", words);
		good = false;
	}
	tap_ok(good, "%s", s->says);
}

static void soak(const char *name, const struct mc_scenario *s, double until,
                 uint64_t seed)
{
	uint64_t n = 0;

	tap_diag("%s: WBC_SEED=%" PRIu64, s->name, seed);
	mc_world_setup(s);
	mc_search(s, 100000);
	while (seconds() < until) {
		if (mc_random(s, seed + n, 100000) == FAILED) {
			show_failure(name, s);
			tap_ok(false, "%s (random)", s->says);
			return;
		}
		n += mc.executions;
	}
	all_executions += n;
	tap_ok(true, "%s, in %" PRIu64 " random executions", s->says, n);
}

static void soak_all(const char *name, const struct mc_scenario *all,
                     double time)
{
	const char *given = getenv("WBC_SEED");
	uint64_t seed = given ? strtoull(given, NULL, 10) : 1;
	unsigned n = 0;

	for (const struct mc_scenario *s = all; s->name; s++)
		n += !s->fails;
	for (const struct mc_scenario *s = all; s->name; s++) {
		if (!s->fails)
			soak(name, s, seconds() + time / n, seed);
	}
}

static const struct mc_scenario *find(const struct mc_scenario *all,
                                      const char *name)
{
	for (; all->name; all++) {
		if (!strcmp(all->name, name))
			return all;
	}
	tap_bail("no scenario is called %s", name);
}

static int replay(const struct mc_scenario *s, const char *path)
{
	mc_world_setup(s);
	mc_replay(s, path);
	mc_trace_print();
	if (mc.outcome == FAILED)
		tap_diag("%s: %s", s->name, mc.words);
	return mc.outcome == FAILED;
}

static int weaken(const char *name, const struct mc_scenario *s,
                  const char *site)
{
	mc_world_setup(s);
	mc_search(s, 100000);
	if (!mc_site_weaken(site))
		tap_bail("%s does not meet %s", s->name, site);
	run_scenario(name, s);
	return tap_done();
}

static char *read_file(const char *path)
{
	FILE *f = fopen(path, "r");
	char *text = mc_real_alloc(1 << 20);
	size_t n = f ? fread(text, 1, (1 << 20) - 1, f) : 0;

	text[n] = '\0';
	if (f)
		fclose(f);
	return text;
}

int mc_main(int argc, char **argv, const char *name,
            const struct mc_scenario *all)
{
	const char *time = getenv("WBC_SOAK_SECONDS");

	mc_sites_init();
	mc_world_init();
	if (argc == 4 && !strcmp(argv[1], "--replay"))
		return replay(find(all, argv[2]), argv[3]);
	if (argc == 4 && !strcmp(argv[1], "--weaken"))
		return weaken(name, find(all, argv[3]), argv[2]);
	if (argc == 3 && !strcmp(argv[1], "--mutate"))
		return mc_sites_main(all, read_file(argv[2]));
	for (int i = 1; i < argc; i++)
		run_scenario(name, find(all, argv[i]));
	for (const struct mc_scenario *s = all; argc == 1 && s->name; s++)
		run_scenario(name, s);
	if (argc == 1 && time)
		soak_all(name, all, strtod(time, NULL));
	tap_diag("mc/%s: %" PRIu64 " executions, %" PRIu64
	         " of them with a death; %" PRIu64
	         " more ended where another had been",
	         name, all_executions, all_deaths, all_cuts);
	tap_ok(!tap_failed(),
	       "mc/%s: %" PRIu64 " executions, %" PRIu64
	       " of them with a death, end as they must",
	       name, all_executions, all_deaths);
	return tap_done();
}
