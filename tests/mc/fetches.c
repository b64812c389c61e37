/* SPDX-License-Identifier: MIT */
/* Copyright the wbcshm authors */

/*
 * Fetching: who wants to know a row is answered, whoever dies, and then finds
 * what was read.  Time passes only when nobody can run, so a wait that ends by
 * its time-out beside a flusher is a want that was overlooked.
 */
#include "rows.h"

#include <errno.h>

#include "api/wbc_error.h"
#include "shm/fetch.h"

#define VALUE 77

static struct rows *rows;
static struct kept {
	uint64_t seen[MC_THREADS]; /* wants that a flusher has acted upon */
	bool answered[MC_THREADS];
} * kept;

static struct control_shm *control(void)
{
	return mc_segment()->control;
}

static void setup_as(uint32_t fenced)
{
	mc_world(&(struct mc_shape){.fenced = fenced});
	rows = rows_make();
	kept = mc_keep(sizeof(*kept));
	for (unsigned i = 0; i < MC_THREADS && mc_client((int)i); i++)
		rows_warm(i);
}

static void setup(void)
{
	setup_as(0);
}

static void setup_fenced(void)
{
	setup_as(63);
}

/* ---- the flusher ---- */

static bool is_wanted(void *arg)
{
	const uint64_t *seen = arg;

	return order_load_seq(&control()->fetch_want) != *seen;
}

static void answer_slot(uint32_t slot)
{
	const struct wbci_segment *s = mc_segment();
	uint64_t want = wbci_fetch_wanted(s, slot);
	struct wbci_seen seen;
	struct entry_shm *e;
	int found;

	if (!want)
		return;
	wbci_enter(mc_place());
	found = wbci_seen_entry(s, want, &seen);
	wbci_exit(mc_place());
	MC_CHECK(found == 1, "the row that is wanted is not seen");
	MC_CHECK(seen.key_len == 4 && !memcmp(seen.key, "row", 3),
	         "it is another row");
	e = wbci_at(s, want);
	order_release(&e->origin, VALUE);
	wbci_fetch_answer(s, slot, want, -EINTR);
	wbci_event(s);
}

/* One look at all slots, if there is anything new. */
static void serve(void)
{
	uint64_t *seen = &kept->seen[mc_self()];

	wbci_sleep(mc_client(-1), is_wanted, seen, 1000);
	*seen = order_load_seq(&control()->fetch_want);
	for (uint32_t i = 0; i < mc_segment()->geo.n_threads; i++)
		answer_slot(i);
}

static void server(void)
{
	serve();
}

/* Often enough for two wants, and for a wake-up that comes late. */
static void server_on(void)
{
	for (unsigned i = 0; i < 4; i++)
		serve();
	mc_raise(0);
}

/* A new flusher looks at all slots before it sleeps. */
static void next_server(void)
{
	if (mc_wait(0))
		return;
	for (uint32_t i = 0; i < mc_segment()->geo.n_threads; i++)
		answer_slot(i);
	serve();
}

/* ---- clients ---- */

static void fetch(unsigned row, int64_t wait_ns)
{
	int64_t deadline = wbci_now_ns() + wait_ns;
	struct entry_shm *e;
	uint64_t offset;
	int error;

	if (wbci_entry_open(mc_place(), &rows->key[row], &rows->schema, &e,
	                    &offset))
		mc_fail(NULL, 0, "no entry");
	wbci_exit(mc_place());
	error = wbci_fetch(mc_place(), offset, deadline);
	if (error != -EINTR)
		return;
	wbci_enter(mc_place());
	MC_CHECK(order_acquire(&e->origin) == VALUE,
	         "an answer has come, and the value has not");
	wbci_exit(mc_place());
	kept->answered[mc_self()] = true;
}

static void patient(void)
{
	fetch(mc_self(), INT64_C(150000000));
}

static void hasty(void)
{
	fetch(mc_self(), 0);
}

static void check_answered(void)
{
	MC_CHECK(mc_deaths() || !mc_timeouts(), "a want was overlooked");
}

static void check_both(void)
{
	MC_CHECK(mc_deaths() || (kept->answered[1] && kept->answered[2]),
	         "a want was overlooked");
}

static void check_next(void)
{
	MC_CHECK(mc_died(1) || mc_died(2) || kept->answered[1],
	         "a want was overlooked by the next flusher");
}

/* What was given up is wanted no more. */
static void check_given_up(void)
{
	MC_CHECK(mc_died(1) || !order_load(&mc_segment()->threads[1].want),
	         "a want stays behind");
}

static const struct mc_scenario scenarios[] = {
	{.name = "answered",
         .says = "P2: a row that is wanted beside a flusher that goes to "
                 "sleep is read",
         .setup = setup,
         .thread = {server, patient},
         .check = check_answered},
	{.name = "answered-fenced",
         .says = "P2: the same without membarrier",
         .setup = setup_fenced,
         .thread = {server, patient},
         .check = check_answered},
	{.name = "two",
         .says = "P2: two threads want rows",
         .setup = setup,
         .thread = {server_on, patient, patient},
         .check = check_both,
         .deaths = MC_NOBODY},
	{.name = "next",
         .says = "P2: what a flusher that died has not answered, the next "
                 "one does",
         .setup = setup,
         .thread = {server_on, patient, next_server},
         .check = check_next,
         .immortal = 6,
         .deaths = 1},
	{.name = "given-up",
         .says = "P1: an answer at the last moment is whole, or is none",
         .setup = setup,
         .thread = {server, hasty},
         .check = check_given_up},
	{NULL}};

int main(int argc, char **argv)
{
	return mc_main(argc, argv, "fetches", scenarios);
}
