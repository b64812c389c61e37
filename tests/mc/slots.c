/* SPDX-License-Identifier: MIT */
/* Copyright the wbcshm authors */

/*
 * Process and thread slots: each is one process's at a time, the living are
 * never reaped, the dead are.
 *
 * Locks are the model's (system.c): of open file descriptions, gone with
 * their process.
 */
#include "rows.h"

static struct kept {
	bool attached[MC_THREADS]; /* has a slot, and did not leave it */
	uint32_t proc[MC_THREADS];
	uint64_t proc_word[MC_THREADS];
	uint32_t slot[MC_THREADS];
	uint64_t slot_word[MC_THREADS];
	unsigned reaped;
} * kept;

static void setup_slots(uint32_t procs, uint32_t threads)
{
	mc_world(&(struct mc_shape){.procs = procs, .threads = threads});
	kept = mc_keep(sizeof(*kept));
}

static void setup_two(void)
{
	setup_slots(2, 2);
}

static void setup_one(void)
{
	setup_slots(1, 1);
}

/* Nobody else may have what we have, at any time. */
static void look(void)
{
	const struct wbci_segment *s = mc_segment();
	unsigned self = mc_self();

	MC_CHECK(order_acquire(&s->procs[kept->proc[self]].word) ==
	                 kept->proc_word[self],
	         "our process slot is not ours");
	MC_CHECK(order_acquire(&s->threads[kept->slot[self]].word) ==
	                 kept->slot_word[self],
	         "our thread slot is not ours");
}

static bool attach(void)
{
	const struct wbci_segment *s = mc_segment();
	struct wbci_client *c = mc_client(-1);
	unsigned self = mc_self();
	struct wbci_thread *t;
	int error = wbci_thread(c, &t);

	MC_CHECK(error == 0 || error == -EUSERS, "error %d", error);
	if (error)
		return false;
	kept->proc[self] = c->proc;
	kept->proc_word[self] = c->proc_word;
	kept->slot[self] = t->slot;
	kept->slot_word[self] = order_load(&s->threads[t->slot].word);
	MC_CHECK((kept->slot_word[self] >> 4 & 4095) == c->proc,
	         "the thread slot is another process's");
	kept->attached[self] = true;
	look();
	return true;
}

static void member(void)
{
	if (!attach())
		return;
	/* A section, so that a death may be in one. */
	wbci_enter(mc_place());
	wbci_exit(mc_place());
	look();
}

static void passer(void)
{
	struct wbci_client *c = mc_client(-1);

	if (!attach())
		return;
	kept->attached[mc_self()] = false;
	wbci_client_close(&c);
}

static void passer_of_thread(void)
{
	if (!attach())
		return;
	kept->attached[mc_self()] = false;
	wbci_thread_end(mc_client(-1));
}

static void reaper(void)
{
	unsigned in_section;

	kept->reaped += wbci_reap(mc_segment(), &in_section);
}

/* Whoever is attached and alive has its slots, no two the same; the dead are
 * reaped now, if they were not before, and all else is free. */
static void check(void)
{
	const struct wbci_segment *s = mc_segment();
	unsigned in_section, used = 0, alive = 0;

	wbci_reap(s, &in_section);
	for (unsigned t = 0; t < MC_THREADS; t++) {
		if (!kept->attached[t] || mc_died(t))
			continue;
		alive++;
		MC_CHECK(order_load(&s->procs[kept->proc[t]].word) ==
		                 kept->proc_word[t],
		         "thread %u's process slot was taken", t);
		MC_CHECK(order_load(&s->threads[kept->slot[t]].word) ==
		                 kept->slot_word[t],
		         "thread %u's slot was taken", t);
	}
	for (uint32_t i = 0; i < s->geo.n_threads; i++) {
		used += (order_load(&s->threads[i].word) & 15) != THREAD_FREE;
		MC_CHECK(order_load(&s->threads[i].epoch) == 0,
		         "slot %u is in a section", i);
	}
	MC_CHECK(used == alive, "%u thread slots in use, by %u", used, alive);
}

static const struct mc_scenario scenarios[] = {
	{.name = "two-claim",
         .says = "P9: two processes that attach at once get different slots",
         .setup = setup_two,
         .thread = {member, member},
         .check = check},
	{.name = "one-slot",
         .says = "P9: one slot is one process's, the other is told there is "
                 "none",
         .setup = setup_one,
         .thread = {member, member},
         .check = check},
	{.name = "passed-on",
         .says = "P9: a slot that is given back is the next one's",
         .setup = setup_one,
         .thread = {passer, member},
         .check = check},
	{.name = "reap",
         .says = "P9: the dead are reaped, the living are not, also while they "
                 "attach",
         .setup = setup_one,
         .thread = {member, reaper, member},
         .immortal = 2,
         .check = check,
         .deaths = 1},
	{.name = "reap-twice",
         .says = "P9: the same beside one that leaves",
         .setup = setup_one,
         .thread = {passer, reaper, member},
         .check = check,
         .deaths = 1},
	{.name = "threads",
         .says = "P9: two threads of a process have different slots",
         .setup = setup_two,
         .thread = {member, passer_of_thread},
         .process = {1, 1},
         .check = check},
	{NULL}};

int main(int argc, char **argv)
{
	return mc_main(argc, argv, "slots", scenarios);
}
