/* SPDX-License-Identifier: MIT */
/* Copyright the wbcshm authors */

/*
 * Single-step sweep of what clients call.
 *
 * The victim does an operation one instruction at a time.  After each that
 * changed the segment, copies of it are what a kill would leave there:
 *
 *   in one a flusher recovers first, then somebody does the same operation;
 *   in the next a flusher that lived on collects what is marked;
 *   in the last somebody does the operation beside the dead, and the flushers
 *   come later
 *
 * Each copy is audited after each step, and says what it holds: the operation
 * is there or not, never something else, never taken back; once it returned,
 * it is there.
 *
 * To sweep one more operation, give it a line in ops.c.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include "crash/bad.h"
#include "crash/facts.h"
#include "crash/sweep.h"
#include "crash/tracer.h"
#include "crash/watch.h"
#include "tap/tap.h"

#define STEPS_MAX 2000000

static struct {
	unsigned long steps, changes, recoveries, swept, violations;
} count;

/* One operation in one state. */
struct sweep {
	const struct sweep_site *site;
	const struct op *op;
	const struct op *right; /* what a survivor does: the same, mostly */
	enum state state;
	struct victim victim;
	struct wbci_segment live; /* as the engine sees it */
	struct facts before, after;
	bool seen; /* the operation is there */
	unsigned long steps, changes;
	struct wrong wrong;
};

static const char *const fact_names[FACTS] = {"the count",
                                              "the double",
                                              "the updates",
                                              "the inserted rows",
                                              "the tables",
                                              "the sync wanted",
                                              "the flush wanted",
                                              "the table's flush wanted",
                                              "something else"};

/* What is there after the operation was done once more. */
static struct facts once_more(const struct sweep *w, struct facts f)
{
	if (w->op->sets)
		return w->after;
	switch (w->op->effect) {
	case FACT_INT:
	case FACT_DOUBLE:
	case FACT_UPDATES:
	case FACT_ROWS:
		f.n[w->op->effect] += w->op->amount;
		break;
	case FACT_NONE:
		break;
	default: /* asked or declared twice is asked or declared */
		f.n[w->op->effect] = w->after.n[w->op->effect];
	}
	return f;
}

static void compare(struct sweep *w, const struct facts *is,
                    const struct facts *want, const char *when)
{
	for (int i = 0; i < FACTS; i++)
		if (is->n[i] != want->n[i])
			wrong_say(&w->wrong, "%s, %s is %lld instead of %lld",
			          when, fact_names[i], (long long)is->n[i],
			          (long long)want->n[i]);
}

/* A survivor does the operation on the copy; what is there then? */
static void go_on(struct sweep *w, const struct facts *had, const char *when)
{
	const struct place *copy = &w->site->copy;
	struct facts is, want = once_more(w, *had);

	copy_perform(copy, w->right, w->site->live.key, &w->wrong);
	copy_audit(copy, false, &w->wrong);
	copy_facts(copy, w->site->live.key, &is, &w->wrong);
	compare(w, &is, &want, when);
}

/* All or nothing: what is there is one of two, and does not go back. */
static void judge(struct sweep *w, const struct facts *is)
{
	struct facts want = w->before;

	if (w->op->effect != FACT_NONE && !w->seen)
		w->seen = is->n[w->op->effect] == w->after.n[w->op->effect];
	if (w->seen)
		want = w->after;
	compare(w, is, &want, "after recovery");
}

/* The kill is here. */
static void recover_first(struct sweep *w, struct facts *is)
{
	const struct place *copy = &w->site->copy;

	copy_take(copy, &w->live);
	count.swept += (unsigned long)copy_recover(copy, &w->wrong);
	copy_audit(copy, true, &w->wrong);
	copy_facts(copy, w->site->live.key, is, &w->wrong);
	count.recoveries++;
}

static void go_on_first(struct sweep *w, const struct facts *is)
{
	const struct place *copy = &w->site->copy;
	struct facts then, want = once_more(w, *is);

	copy_take(copy, &w->live);
	go_on(w, is, "done beside the dead");
	copy_collect(copy, &w->wrong);
	count.swept += (unsigned long)copy_recover(copy, &w->wrong);
	copy_audit(copy, true, &w->wrong);
	copy_facts(copy, w->site->live.key, &then, &w->wrong);
	compare(w, &then, &want, "recovered later");
	count.recoveries++;
}

/* A flusher that lived on reads what is there, touched again or not. */
static void collect_first(struct sweep *w)
{
	copy_take(&w->site->copy, &w->live);
	copy_collect(&w->site->copy, &w->wrong);
}

static void kill_here(struct sweep *w)
{
	struct facts is;

	recover_first(w, &is);
	judge(w, &is);
	go_on(w, &is, "done after recovery");
	/* Where slots are short, a survivor has to wait for the reaper. */
	if (w->state == TIGHT)
		return;
	collect_first(w);
	go_on_first(w, &is);
}

/* What there is to find before and after, by doing it in a copy. */
static void learn(struct sweep *w)
{
	const struct op *op = w->right;
	int64_t grown;

	recover_first(w, &w->before);
	copy_perform(&w->site->copy, op, w->site->live.key, &w->wrong);
	copy_facts(&w->site->copy, w->site->live.key, &w->after, &w->wrong);
	if (op->effect == FACT_NONE)
		return;
	grown = w->after.n[op->effect] - w->before.n[op->effect];
	if (op->amount ? grown != op->amount : grown <= 0)
		wrong_say(&w->wrong, "%s grows by %lld", fact_names[op->effect],
		          (long long)grown);
}

static void step_through(struct sweep *w)
{
	struct watch watch;
	enum step step;

	watch_begin(&watch, &w->live);
	do {
		step = victim_step(&w->victim);
		w->steps++;
		if (!watch_changed(&watch))
			continue;
		w->changes++;
		kill_here(w);
		if (w->wrong.text[0])
			break;
	} while (step == STEP_DONE && w->steps < STEPS_MAX);
	if (w->wrong.text[0])
		goto out;
	if (step != STEP_ENDED)
		wrong_say(&w->wrong, "the victim does not come to its end");
	if (w->op->effect != FACT_NONE && !w->seen)
		wrong_say(&w->wrong, "it has returned, and is not there");
	if (watch_missed(&watch))
		wrong_say(&w->wrong, "the segment changed where nobody looked");
out:
	watch_end(&watch);
}

static void sweep_state(struct sweep *w)
{
	const struct sweep_site *site = w->site;
	const char *const argv[] = {site->victim,
	                            site->live.address,
	                            w->op->name,
	                            site->live.key,
	                            w->state == FENCED ? "fenced" : NULL,
	                            NULL};
	struct wbci_message none = {NULL, 0};

	victim_start(&w->victim, argv);
	state_renew(&site->live, w->state);
	if (wbci_segment_open(&w->live, site->live.path, false, &none))
		tap_bail("the live segment cannot be opened");
	learn(w);
	if (!w->wrong.text[0])
		step_through(w);
	if (w->wrong.text[0]) {
		tap_diag("violation: %s, in %s: %s, at step %lu, change %lu, "
		         "before %s",
		         w->op->name, state_names[w->state], w->wrong.text,
		         w->steps, w->changes, victim_place(&w->victim));
		victim_kill(&w->victim);
	} else if (!victim_finish(&w->victim)) {
		wrong_say(&w->wrong, "it did not return what it is to");
		tap_diag("violation: %s, in %s: %s", w->op->name,
		         state_names[w->state], w->wrong.text);
	}
	wbci_segment_close(&w->live);
}

/* True: nothing was wrong. */
static bool sweep(struct sweep_site *site, const struct op *op,
                  const struct op *right, enum state state, struct sweep *w)
{
	memset(w, 0, sizeof(*w));
	w->site = site;
	w->op = op;
	w->right = right;
	w->state = state;
	state_make(&site->live, state);
	sweep_state(w);
	count.steps += w->steps;
	count.changes += w->changes;
	return !w->wrong.text[0];
}

static void sweep_all(struct sweep_site *site)
{
	struct sweep w;

	for (size_t i = 0; i < n_ops; i++) {
		for (enum state state = 0; state < STATES; state++) {
			bool good;

			if (!(ops[i].states & IN(state)))
				continue;
			good = sweep(site, &ops[i], &ops[i], state, &w);
			count.violations += !good;
			tap_ok(good,
			       "P1 P3 P6: %s, %s: all or nothing at each of "
			       "%lu instructions, %lu changes",
			       ops[i].name, state_names[state], w.steps,
			       w.changes);
		}
	}
}

/* The known bad: what the engine is for. */
static void catch_bad(struct sweep_site *site)
{
	for (size_t i = 0; i < n_bad_ops; i++) {
		const struct bad_op *bad = &bad_ops[i];
		enum state state = (enum state)__builtin_ctz(bad->op.states);
		struct sweep w;

		tap_diag("a violation is to follow");
		tap_ok(!sweep(site, &bad->op, op_find(bad->right), state, &w) &&
		               w.changes > 0,
		       "P3: the engine catches one who would %s", bad->op.name);
	}
}

int main(void)
{
	struct sweep_site site;

	sweep_begin(&site);
	sweep_all(&site);
	catch_bad(&site);
	tap_diag("sweep: %lu instructions stepped, %lu changed the segment, "
	         "%lu recoveries, %lu blocks swept, %lu violations",
	         count.steps, count.changes, count.recoveries, count.swept,
	         count.violations);
	tap_ok(count.violations == 0,
	       "P1 P3 P6 P8: %lu kills between %lu instructions, %lu "
	       "recoveries, no violation",
	       count.changes, count.steps, count.recoveries);
	sweep_end(&site);
	return tap_done();
}
