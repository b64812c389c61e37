/* SPDX-License-Identifier: MIT */
/* Copyright the wbcshm authors */

/*
 * Where the atomics are in the source, and what becomes of a program when one
 * of them is weaker than it is written.
 *
 * Which mutants there are says a list, which mutants.sh makes from the source.
 *
 * A site is a line of shm/ or api/ that has an atomic or a fence.  Weakening
 * it weakens all its copies, since inline functions are compiled in several
 * places.  This happens in the running program: the compiler hands the order
 * to the hooks as an argument, and the caller's address tells the site.
 */
#include "engine.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

uint8_t *mc_weaken, *mc_met;

static const char *const order_names[] = {"relaxed", "consume", "acquire",
                                          "release", "acq_rel", "seq_cst"};

#define SITES_MAX 1024u
static struct site {
	void *pc;
	uint8_t what;
	uint8_t order;
	char line[160];
} sites[SITES_MAX];
static unsigned n_sites;

static size_t text_bytes(void)
{
	return (size_t)(etext - __executable_start);
}

void mc_sites_init(void)
{
	mc_weaken = mmap(NULL, text_bytes(), PROT_READ | PROT_WRITE,
	                 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	mc_met = mmap(NULL, text_bytes(), PROT_READ | PROT_WRITE,
	              MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (mc_weaken == MAP_FAILED || mc_met == MAP_FAILED)
		tap_bail("no memory for sites");
}

/* What has been met so far, by source line. */
static void gather(void)
{
	static void *pcs[SITES_MAX];
	static char text[SITES_MAX][160];

	n_sites = 0;
	for (size_t i = 0; i < text_bytes() && n_sites < SITES_MAX; i++) {
		unsigned met = mc_met[i] & 0x7f;

		if (!met)
			continue;
		sites[n_sites].pc = pcs[n_sites] = __executable_start + i;
		sites[n_sites].what = (uint8_t)((met - 1) / 8);
		sites[n_sites].order = (uint8_t)((met - 1) % 8);
		n_sites++;
	}
	mc_symbolize(pcs, n_sites, text);
	for (unsigned i = 0; i < n_sites; i++)
		memcpy(sites[i].line, text[i], sizeof(text[i]));
}

static int order_of(const char *name)
{
	for (int i = 0; i < 6; i++) {
		if (!strcmp(order_names[i], name))
			return i;
	}
	return -1;
}

/* One order weaker: a line of the list. */
struct mutant {
	char line[160];
	int from, to;      /* a fence that is relaxed is none */
	char scenario[48]; /* that is known to fail; "": try them all */
};

static bool is_of(const struct site *s, const struct mutant *m)
{
	return s->order == m->from && !strcmp(s->line, m->line);
}

static void weaken(const struct mutant *m, bool on)
{
	for (unsigned i = 0; i < n_sites; i++) {
		if (is_of(&sites[i], m))
			mc_weaken[(char *)sites[i].pc - __executable_start] =
				on ? (uint8_t)(m->to + 1) : 0;
	}
}

/* "LINE FROM->TO SCENARIO", the scenario may be missing; false: no more. */
static bool next_mutant(const char **list, struct mutant *m)
{
	char from[16], to[16];
	int used = 0;

	m->scenario[0] = '\0';
	if (sscanf(*list, "%159s %15[a-z_]->%15[a-z_]%n", m->line, from, to,
	           &used) != 3)
		return false;
	*list += used;
	if (**list == ' ')
		sscanf(*list, " %47[^\n]", m->scenario);
	*list += strcspn(*list, "\n");
	m->from = order_of(from);
	m->to = order_of(strcmp(to, "none") ? to : "relaxed");
	if (m->from < 0 || m->to < 0)
		tap_bail("no such order: %s->%s", from, to);
	return true;
}

#define SCENARIOS_MAX 64u
/* What the search of each scenario met, before anything was weakened. */
static struct reach {
	const struct mc_scenario *scenario;
	uint8_t *met;
	uint16_t *learnt;
	uint64_t executions;
} reaches[SCENARIOS_MAX];
static unsigned n_reaches;

static bool wanted(const struct mc_scenario *s, const char *list)
{
	struct mutant m;

	if (s->fails)
		return false;
	while (next_mutant(&list, &m)) {
		if (!m.scenario[0] || !strcmp(m.scenario, s->name))
			return true;
	}
	return false;
}

static int by_executions(const void *a, const void *b)
{
	uint64_t x = ((const struct reach *)a)->executions;
	uint64_t y = ((const struct reach *)b)->executions;

	return (x > y) - (x < y);
}

static void find_reaches(const struct mc_scenario *all, const char *list,
                         uint64_t most)
{
	uint8_t *every = mc_real_alloc(text_bytes());

	memset(every, 0, text_bytes());
	for (; all->name; all++) {
		struct reach *r = &reaches[n_reaches];

		if (!wanted(all, list) || n_reaches == SCENARIOS_MAX)
			continue;
		memset(mc_met, 0, text_bytes());
		mc_learn_anew();
		mc_world_setup(all);
		mc_search(all, most);
		r->learnt = mc.learnt;
		r->scenario = all;
		r->executions = mc.executions;
		r->met = mc_real_alloc(text_bytes());
		memcpy(r->met, mc_met, text_bytes());
		for (size_t i = 0; i < text_bytes(); i++) {
			if (mc_met[i] & 0x7f)
				every[i] = mc_met[i];
		}
		n_reaches++;
	}
	memcpy(mc_met, every, text_bytes());
	gather();
	qsort(reaches, n_reaches, sizeof(*reaches), by_executions);
}

static bool meets(const struct reach *r, const struct mutant *m)
{
	if (m->scenario[0] && strcmp(m->scenario, r->scenario->name))
		return false;
	for (unsigned i = 0; i < n_sites; i++) {
		if (is_of(&sites[i], m) &&
		    r->met[(char *)sites[i].pc - __executable_start])
			return true;
	}
	return false;
}

/* Does a scenario fail?  Small searches of all come before large ones. */
#define LEVELS 4u
static const char *kills(const struct mutant *m, uint64_t most,
                         const char **verdict)
{
	*verdict = "unmet";
	for (unsigned at = 0; at < (LEVELS + 1) * n_reaches; at++) {
		const struct reach *r = &reaches[at % n_reaches];
		enum outcome outcome;

		if (!meets(r, m))
			continue;
		mc.level = (at / n_reaches + 1) % (LEVELS + 1);
		mc.learnt = r->learnt;
		mc_world_setup(r->scenario);
		outcome = mc_search(r->scenario, most);
		if (outcome == FAILED) {
			*verdict = "killed";
			return r->scenario->name;
		}
		if (outcome == CUT && mc.level == 0)
			*verdict = "capped";
		else if (!strcmp(*verdict, "unmet"))
			*verdict = "survived";
	}
	return "-";
}

/*
 * Weaken each of the list in turn.  Prints a line for each: the verdict, the
 * mutant, and the scenario that failed.  "survived" is after all executions of
 * all scenarios that meet the site, "capped" after as many as allowed.
 */
int mc_sites_main(const struct mc_scenario *all, const char *list)
{
	const char *cap = getenv("WBC_MC_CAP");
	uint64_t most = cap ? strtoull(cap, NULL, 10) : 200000;
	struct mutant m;

	find_reaches(all, list, most);
	mc.keep_learnt = true;
	while (next_mutant(&list, &m)) {
		const char *verdict, *scenario;

		weaken(&m, true);
		scenario = kills(&m, most, &verdict);
		weaken(&m, false);
		printf("%s\t%s %s->%s\t%s\n", verdict, m.line,
		       order_names[m.from],
		       m.to ? order_names[m.to] : "relaxed", scenario);
		fflush(stdout);
	}
	mc.level = 0;
	return 0;
}

/* "LINE FROM->TO" from the command line, after a search met the sites. */
bool mc_site_weaken(const char *site)
{
	struct mutant m;
	bool found = false;

	if (!next_mutant(&site, &m))
		return false;
	gather();
	weaken(&m, true);
	for (unsigned i = 0; i < n_sites; i++)
		found |= is_of(&sites[i], &m);
	return found;
}
