/* SPDX-License-Identifier: MIT */
/* Copyright the wbcshm authors */

/* wbc-shmdump procs: process slots, and the thread slots inside each. */
#include "dump.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "grid.h"
#include "json.h"
#include "../units/units.h"
#include "view.h"

struct procs {
	const struct wbci_segment *s;
	struct view_proc *proc;
	struct view_thread *thread;
	uint64_t epoch;
};

static int gather(struct procs *p)
{
	const struct wbci_segment *s = p->s;

	p->proc = calloc(s->geo.n_procs, sizeof(*p->proc));
	p->thread = calloc(s->geo.n_threads, sizeof(*p->thread));
	if (!p->proc || !p->thread)
		return -1;
	/* Threads before G: an epoch word that is read is never ahead. */
	for (uint32_t i = 0; i < s->geo.n_threads; i++)
		view_thread(s, i, &p->thread[i]);
	/* ORDER epoch.advance, acquire: no older than the words above. */
	p->epoch = order_acquire(&s->control->epoch);
	for (uint32_t i = 0; i < s->geo.n_procs; i++)
		view_proc(s, i, &p->proc[i]);
	return 0;
}

/* How many epochs a thread's section has lasted. */
static uint64_t lag(const struct procs *p, const struct view_thread *t)
{
	return t->epoch && t->epoch < p->epoch ? p->epoch - t->epoch : 0;
}

static const char *state_text(const struct view_proc *p)
{
	switch (p->state) {
	case PROC_FREE:
		return p->alive ? "arriving" : "free";
	case PROC_USED:
		return p->alive ? "alive" : "dead";
	case PROC_REAPING:
		return "dead, being tidied up";
	}
	return "damaged";
}

static bool is_shown(const struct view_proc *p)
{
	return p->state != PROC_FREE || p->alive;
}

static bool belongs(const struct view_thread *t, uint32_t proc)
{
	return t->state != THREAD_FREE && t->proc == proc;
}

static void put_thread(struct grid *g, const struct procs *p, uint32_t i)
{
	const struct view_thread *t = &p->thread[i];
	char text[UNITS_TEXT];

	grid_put(g, "  thread %" PRIu32, i);
	if (p->proc[t->proc].alive)
		grid_put(g, "%s",
		         t->epoch ? "in a section" : "outside sections");
	else
		grid_put(g, "%s", t->epoch ? "died in a section" : "died");
	grid_put(g, "%" PRIu32, t->tid);
	grid_put(g, "%s", units_say_duration(text, t->age_ns));
	if (t->epoch)
		grid_put(g, "for %" PRIu64 " epochs", lag(p, t));
	else
		grid_put(g, "-");
	grid_put(g, "%s", units_say_bytes(text, t->lane_bytes));
	grid_put(g, "%s", t->state == THREAD_FENCED ? "own fences" : "");
}

static void put_proc(struct grid *g, const struct procs *p, uint32_t i)
{
	const struct view_proc *v = &p->proc[i];
	char text[UNITS_TEXT];

	grid_put(g, "process %" PRIu32, i);
	grid_put(g, "%s", state_text(v));
	grid_put(g, "%" PRIu32, v->pid);
	grid_put(g, "%s", units_say_duration(text, v->age_ns));
	grid_put(g, "%s", v->name);
	grid_put(g, "%s", "");
	grid_put(g, "%s", v->flusher ? "the flusher" : "");
	for (uint32_t t = 0; t < p->s->geo.n_threads; t++)
		if (belongs(&p->thread[t], i))
			put_thread(g, p, t);
}

static int say_all(const struct procs *p)
{
	static const char *const head[] = {
		"slot",         "state",      "pid/tid", "attached for",
		"name/section", "to journal", ""};
	uint32_t shown = 0;
	struct grid g;
	int rc = 0;

	grid_init(&g, "llrrlrl");
	for (unsigned i = 0; i < sizeof(head) / sizeof(head[0]); i++)
		grid_put(&g, "%s", head[i]);
	for (uint32_t i = 0; i < p->s->geo.n_procs; i++) {
		if (!is_shown(&p->proc[i]))
			continue;
		put_proc(&g, p, i);
		shown++;
	}
	if (shown)
		rc = grid_print(&g, 0);
	grid_free(&g);
	printf("%s%" PRIu32 " of %" PRIu32
	       " process slots in use, epoch %" PRIu64 "\n",
	       shown ? "\n" : "", shown, p->s->geo.n_procs, p->epoch);
	return rc;
}

static void json_thread(struct json *j, const struct procs *p, uint32_t i)
{
	const struct view_thread *t = &p->thread[i];

	json_object(j, NULL);
	json_uint(j, "slot", i);
	json_uint(j, "tid", t->tid);
	json_double(j, "age_s", (double)(t->age_ns / 1000000) / 1e3);
	json_bool(j, "in_section", t->epoch != 0);
	json_uint(j, "epoch_lag", lag(p, t));
	json_bool(j, "fenced", t->state == THREAD_FENCED);
	json_uint(j, "lane_bytes", t->lane_bytes);
	json_end(j);
}

static void json_proc(struct json *j, const struct procs *p, uint32_t i)
{
	static const char *const states[] = {"free", "used", "reaping"};
	const struct view_proc *v = &p->proc[i];

	json_object(j, NULL);
	json_uint(j, "slot", i);
	json_text(j, "state",
	          v->state <= PROC_REAPING ? states[v->state] : "damaged");
	json_bool(j, "alive", v->alive);
	json_uint(j, "pid", v->pid);
	json_text(j, "name", v->raw_name);
	json_bool(j, "flusher", v->flusher);
	json_double(j, "age_s", (double)(v->age_ns / 1000000) / 1e3);
	json_array(j, "threads");
	for (uint32_t t = 0; t < p->s->geo.n_threads; t++)
		if (belongs(&p->thread[t], i))
			json_thread(j, p, t);
	json_end(j);
	json_end(j);
}

static void json_all(const struct procs *p)
{
	struct json j = {0};

	json_object(&j, NULL);
	json_text(&j, "segment", p->s->path);
	json_uint(&j, "epoch", p->epoch);
	json_uint(&j, "slots", p->s->geo.n_procs);
	json_uint(&j, "thread_slots", p->s->geo.n_threads);
	json_array(&j, "processes");
	for (uint32_t i = 0; i < p->s->geo.n_procs; i++)
		if (is_shown(&p->proc[i]))
			json_proc(&j, p, i);
	json_end(&j);
	json_end(&j);
}

int dump_procs(const struct cli_command *c, int argc, char **argv)
{
	bool json = false;
	const struct cli_option options[] = {
		{"json", 0, CLI_FLAG, &json, NULL, "one JSON document"},
	};
	const char *segment;
	struct procs p = {0};
	struct wbci_segment s;
	int rc = cli_parse(c, options, 1, &segment, &argc, argv);

	if (rc != CLI_OK)
		return rc == CLI_HELPED ? CLI_OK : rc;
	if (argc)
		return cli_usage(c, "%s: no argument is expected", argv[0]);
	rc = cli_segment(segment, false, &s);
	if (rc != CLI_OK)
		return rc;
	p.s = &s;
	rc = gather(&p);
	if (rc == 0 && json)
		json_all(&p);
	else if (rc == 0)
		rc = say_all(&p);
	if (rc < 0)
		rc = cli_fail(CLI_FAILED, "procs: %s: no memory", s.path);
	free(p.proc);
	free(p.thread);
	wbci_segment_close(&s);
	return rc;
}
