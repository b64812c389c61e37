/* SPDX-License-Identifier: MIT */
/* Copyright the wbcshm authors */

/*
 * Where the atomics are in the source, and what becomes of a program when one
 * of them is weaker than it is written.
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

/* The next weaker orders of an access, or nothing. */
static unsigned weaker(const struct site *s, uint8_t orders[2])
{
	bool load = s->what == A_LOAD, store = s->what == A_STORE;

	switch (s->order) {
	case __ATOMIC_SEQ_CST:
		if (s->what > A_CAS) {
			orders[0] = __ATOMIC_RELAXED; /* a fence: none at all */
			return 1;
		}
		orders[0] = load    ? __ATOMIC_ACQUIRE
		            : store ? __ATOMIC_RELEASE
		                    : __ATOMIC_ACQ_REL;
		return 1;
	case __ATOMIC_ACQ_REL:
		orders[0] = __ATOMIC_ACQUIRE;
		orders[1] = __ATOMIC_RELEASE;
		return 2;
	case __ATOMIC_ACQUIRE:
	case __ATOMIC_RELEASE:
		orders[0] = __ATOMIC_RELAXED;
		return 1;
	default:
		return 0;
	}
}

static void weaken(const char *line, uint8_t what, uint8_t from, int to)
{
	for (unsigned i = 0; i < n_sites; i++) {
		const struct site *s = &sites[i];

		if (s->what == what && s->order == from &&
		    !strcmp(s->line, line))
			mc_weaken[(char *)s->pc - __executable_start] =
				to < 0 ? 0 : (uint8_t)(to + 1);
	}
}

static bool is_product(const char *line)
{
	return !strncmp(line, "shm/", 4) || !strncmp(line, "api/", 4);
}

static bool is_first(unsigned i)
{
	for (unsigned j = 0; j < i; j++) {
		if (sites[j].what == sites[i].what &&
		    sites[j].order == sites[i].order &&
		    !strcmp(sites[j].line, sites[i].line))
			return false;
	}
	return true;
}

/* Mutants that another program killed already, a line each. */
static bool listed(const char *list, const char *mutant)
{
	size_t n = strlen(mutant);

	for (const char *at = list; at; at = strchr(at, '\n')) {
		at += *at == '\n';
		if (!strncmp(at, mutant, n) && (at[n] == '\n' || !at[n]))
			return true;
	}
	return false;
}

/* Which scenarios meet a site?  Found before anything is weakened. */
static bool *reaches; /* scenario * SITES_MAX + site */

static unsigned count(const struct mc_scenario *all)
{
	unsigned n = 0;

	while (all[n].name)
		n++;
	return n;
}

static void find_reaches(const struct mc_scenario *all, unsigned n,
                         uint64_t most)
{
	uint8_t *every = mc_real_alloc(text_bytes());
	uint8_t **met = mc_real_alloc(n * sizeof(*met));

	memset(every, 0, text_bytes());
	for (unsigned k = 0; k < n; k++) {
		memset(mc_met, 0, text_bytes());
		met[k] = mc_real_alloc(text_bytes());
		memset(met[k], 0, text_bytes());
		if (!all[k].fails) {
			mc_world_setup(&all[k]);
			mc_search(&all[k], most);
			memcpy(met[k], mc_met, text_bytes());
		}
		for (size_t i = 0; i < text_bytes(); i++) {
			if (met[k][i] & 0x7f)
				every[i] = met[k][i];
		}
	}
	memcpy(mc_met, every, text_bytes());
	gather();
	reaches = mc_real_alloc(n * SITES_MAX);
	for (unsigned k = 0; k < n; k++) {
		for (unsigned i = 0; i < n_sites; i++)
			reaches[k * SITES_MAX + i] =
				met[k][(char *)sites[i].pc -
			               __executable_start] != 0;
	}
}

static bool line_reached(unsigned k, unsigned i)
{
	for (unsigned j = 0; j < n_sites; j++) {
		if (reaches[k * SITES_MAX + j] &&
		    !strcmp(sites[j].line, sites[i].line))
			return true;
	}
	return false;
}

/* Does a scenario fail?  Small searches of all come before large ones. */
#define LEVELS 4u
static bool kills(const struct mc_scenario *all, unsigned n, unsigned i,
                  uint64_t most, bool *capped)
{
	enum outcome outcome = ENDED;

	*capped = false;
	for (unsigned at = 0; at < (LEVELS + 1) * n; at++) {
		unsigned k = at % n;

		if (all[k].fails || !line_reached(k, i))
			continue;
		mc.level = (at / n + 1) % (LEVELS + 1);
		mc_world_setup(&all[k]);
		outcome = mc_search(&all[k], most);
		if (outcome == FAILED)
			break;
		*capped |= mc.level == 0 && outcome == CUT;
		outcome = ENDED;
	}
	mc.level = 0;
	return outcome == FAILED;
}

/*
 * Weaken each site that the scenarios meet in turn.  Prints a line for each
 * mutant: killed, survived, or capped, where the search had no end.
 */
int mc_sites_main(const struct mc_scenario *all, const char *name,
                  const char *killed)
{
	const char *cap = getenv("WBC_MC_CAP");
	uint64_t most = cap ? strtoull(cap, NULL, 10) : 200000;
	unsigned n = count(all);

	find_reaches(all, n, most);
	for (unsigned i = 0; i < n_sites; i++) {
		const struct site *s = &sites[i];
		uint8_t orders[2];
		unsigned n_orders = weaker(s, orders);

		if (!is_product(s->line) || !is_first(i))
			continue;
		for (unsigned j = 0; j < n_orders; j++) {
			char mutant[256];
			bool capped, dead;

			snprintf(mutant, sizeof(mutant), "%s %s->%s", s->line,
			         order_names[s->order],
			         s->what > A_CAS ? "none"
			                         : order_names[orders[j]]);
			if (listed(killed, mutant))
				continue;
			weaken(s->line, s->what, s->order, orders[j]);
			dead = kills(all, n, i, most, &capped);
			weaken(s->line, s->what, s->order, -1);
			printf("mutant %s %s\t%s\n", name,
			       dead     ? "killed"
			       : capped ? "capped"
			                : "survived",
			       mutant);
			fflush(stdout);
		}
	}
	return 0;
}

/* "LINE FROM->TO" from the command line, after a search met the sites. */
bool mc_site_weaken(const char *site)
{
	char line[160], from[16], to[16];
	bool found = false;

	if (sscanf(site, "%159s %15[a-z_]->%15s", line, from, to) != 3)
		return false;
	gather();
	for (unsigned i = 0; i < n_sites; i++) {
		int order = 0;

		if (strcmp(sites[i].line, line) ||
		    strcmp(order_names[sites[i].order], from))
			continue;
		for (int k = 0; k < 6; k++)
			order = strcmp(order_names[k], to) ? order : k;
		mc_weaken[(char *)sites[i].pc - __executable_start] =
			(uint8_t)(order + 1);
		found = true;
	}
	return found;
}
