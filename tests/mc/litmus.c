/* SPDX-License-Identifier: MIT */
/* Copyright the wbcshm authors */

/*
 * The model checker's own tests: what every memory model test begins with.
 * A scenario that fails on purpose shows that the checker sees an outcome;
 * one that holds shows that it sees no more than C11 allows.
 */
#include "mc.h"

#include "shm/epoch.h"

static struct {
	order_u64 *x, *y, *z;
	uint64_t *data;
} * at;
static uint64_t *got; /* four for each thread */

#define MINE(i) got[mc_self() * 4 + (i)]
#define GOT(t, i) got[(t)*4 + (i)]

static void setup(void)
{
	mc_world(&(struct mc_shape){0});
	at = mc_keep(sizeof(*at));
	got = mc_keep(MC_THREADS * 4 * sizeof(*got));
	at->x = mc_shared(8);
	at->y = mc_shared(8);
	at->z = mc_shared(8);
	at->data = mc_shared(8);
}

/* ---- message passing ---- */

static void pass_relaxed(void)
{
	order_store(at->x, 1);
	order_store(at->y, 1);
}

static void pass(void)
{
	order_store(at->x, 1);
	order_release(at->y, 1);
}

static void take_relaxed(void)
{
	MINE(0) = order_load(at->y);
	MINE(1) = order_load(at->x);
}

static void take(void)
{
	MINE(0) = order_acquire(at->y);
	MINE(1) = order_load(at->x);
}

static void passed(void)
{
	MC_CHECK(!GOT(1, 0) || GOT(1, 1), "the flag without the message");
}

static void not_passed(void)
{
	MC_CHECK(!GOT(1, 0) || !GOT(1, 1), "the flag and the message");
}

/* ---- store buffering ---- */

static void buffer_x(void)
{
	order_store(at->x, 1);
	MINE(0) = order_load(at->y);
}

static void buffer_y(void)
{
	order_store(at->y, 1);
	MINE(0) = order_load(at->x);
}

static void fenced_x(void)
{
	order_store(at->x, 1);
	order_fence();
	MINE(0) = order_load(at->y);
}

static void fenced_y(void)
{
	order_store(at->y, 1);
	order_fence();
	MINE(0) = order_load(at->x);
}

static void barrier_y(void)
{
	order_store(at->y, 1);
	wbci_epoch_barrier();
	MINE(0) = order_load(at->x);
}

static void seq_x(void)
{
	order_xchg_seq(at->x, 1);
	MINE(0) = order_load_seq(at->y);
}

static void seq_y(void)
{
	order_xchg_seq(at->y, 1);
	MINE(0) = order_load_seq(at->x);
}

static void one_saw(void)
{
	MC_CHECK(GOT(0, 0) || GOT(1, 0), "both saw nothing");
}

/* One side is killed: the other may see nothing. */
static void one_saw_or_died(void)
{
	MC_CHECK(GOT(0, 0) || GOT(1, 0) || mc_deaths(), "both saw nothing");
}

static void fenced_setup(void)
{
	setup();
	mc_client(0)->registered = false;
}

/* ---- coherence ---- */

static void write_twice(void)
{
	order_store(at->x, 1);
	order_store(at->x, 2);
}

static void read_twice(void)
{
	MINE(0) = order_load(at->x);
	MINE(1) = order_load(at->x);
}

static void coherent(void)
{
	MC_CHECK(GOT(1, 0) <= GOT(1, 1), "x went from %d to %d", (int)GOT(1, 0),
	         (int)GOT(1, 1));
}

/* ---- independent reads of independent writes ---- */

static void set_x(void)
{
	atomic_store(at->x, 1);
}

static void set_y(void)
{
	atomic_store(at->y, 1);
}

static void read_xy(void)
{
	MINE(0) = order_load_seq(at->x);
	MINE(1) = order_load_seq(at->y);
}

static void read_yx(void)
{
	MINE(0) = order_load_seq(at->y);
	MINE(1) = order_load_seq(at->x);
}

static void acquire_xy(void)
{
	MINE(0) = order_acquire(at->x);
	MINE(1) = order_acquire(at->y);
}

static void acquire_yx(void)
{
	MINE(0) = order_acquire(at->y);
	MINE(1) = order_acquire(at->x);
}

static void one_order(void)
{
	MC_CHECK(!(GOT(2, 0) && !GOT(2, 1) && GOT(3, 0) && !GOT(3, 1)),
	         "two orders of x and y");
}

/* ---- release sequences, fences, plain data ---- */

static void give_data(void)
{
	*at->data = 1;
	order_release(at->y, 1);
}

static void give_data_relaxed(void)
{
	*at->data = 1;
	order_store(at->y, 1);
}

static void update_relaxed(void)
{
	uint64_t one = 1;

	atomic_compare_exchange_strong_explicit(
		at->y, &one, 2, memory_order_relaxed, memory_order_relaxed);
}

static void use_data(void)
{
	if (order_acquire(at->y) == 2)
		MINE(0) = *at->data;
	else
		MINE(0) = 1;
}

static void used(void)
{
	MC_CHECK(GOT(2, 0) == 1, "no data");
}

static void use_data_fenced(void)
{
	MINE(0) = 1;
	if (order_load(at->y) == 1) {
		order_fence();
		MINE(0) = *at->data;
	}
}

static void give_data_fenced(void)
{
	*at->data = 1;
	order_fence();
	order_store(at->y, 1);
}

static void use_at_once(void)
{
	MINE(0) = *at->data;
}

static void used_by_1(void)
{
	MC_CHECK(GOT(1, 0) == 1, "no data");
}

/* ---- death ---- */

static void add_and_say(void)
{
	order_add(at->x, 1);
	mc_ack(1);
	order_add(at->x, 1);
	mc_ack(1);
}

static void counted(void)
{
	uint64_t x = order_load(at->x);

	MC_CHECK(x >= mc_acked() && x <= mc_acked() + mc_deaths(),
	         "%d acknowledged, %d there", (int)mc_acked(), (int)x);
}

static void nobody_died_between(void)
{
	MC_CHECK(order_load(at->x) == mc_acked(), "added, not acknowledged");
}

/* ---- waiting ---- */

static void wait_on_x(void)
{
	mc_wait(0);
	MINE(0) = order_load(at->x);
}

static void raise_after_x(void)
{
	order_store(at->x, 1);
	mc_raise(0);
}

static void flag_carries(void)
{
	MC_CHECK(GOT(1, 0) == 1 || mc_deaths(), "raised, but x is not seen");
}

#define NONE MC_NOBODY

static const struct mc_scenario scenarios[] = {
	{.name = "mp-relaxed",
         .fails = true,
         .must = "flag without",
         .says = "message passing without order: the stale value is seen",
         .setup = setup,
         .thread = {pass_relaxed, take_relaxed},
         .check = passed,
         .deaths = NONE},
	{.name = "mp-acquire-only",
         .fails = true,
         .must = "flag without",
         .says = "message passing with acquire alone is not enough",
         .setup = setup,
         .thread = {pass_relaxed, take},
         .check = passed,
         .deaths = NONE},
	{.name = "mp-release-only",
         .fails = true,
         .must = "flag without",
         .says = "message passing with release alone is not enough",
         .setup = setup,
         .thread = {pass, take_relaxed},
         .check = passed,
         .deaths = NONE},
	{.name = "mp",
         .says = "message passing with release and acquire holds",
         .setup = setup,
         .thread = {pass, take},
         .check = passed},
	{.name = "mp-reached",
         .fails = true,
         .must = "flag and the message",
         .says = "message passing: that the message arrives is seen too",
         .setup = setup,
         .thread = {pass, take},
         .check = not_passed,
         .deaths = NONE},
	{.name = "sb-relaxed",
         .fails = true,
         .must = "both saw nothing",
         .says = "store buffering without fences: both may see nothing",
         .setup = setup,
         .thread = {buffer_x, buffer_y},
         .check = one_saw,
         .deaths = NONE},
	{.name = "sb-one-fence",
         .fails = true,
         .must = "both saw nothing",
         .says = "store buffering with one fence: both may see nothing",
         .setup = setup,
         .thread = {buffer_x, fenced_y},
         .check = one_saw,
         .deaths = NONE},
	{.name = "sb-fences",
         .says = "store buffering with two fences holds",
         .setup = setup,
         .thread = {fenced_x, fenced_y},
         .check = one_saw,
         .deaths = NONE},
	{.name = "sb-membarrier",
         .says = "store buffering with membarrier on one side holds",
         .setup = setup,
         .thread = {buffer_x, barrier_y},
         .check = one_saw_or_died},
	{.name = "sb-membarrier-unregistered",
         .fails = true,
         .must = "both saw nothing",
         .says = "membarrier does nothing for a process not registered",
         .setup = fenced_setup,
         .thread = {buffer_x, barrier_y},
         .check = one_saw,
         .deaths = NONE},
	{.name = "sb-seq",
         .says = "store buffering in S holds",
         .setup = setup,
         .thread = {seq_x, seq_y},
         .check = one_saw,
         .deaths = NONE},
	{.name = "coherence",
         .says = "two loads of a word see no way back",
         .setup = setup,
         .thread = {write_twice, read_twice},
         .check = coherent},
	{.name = "iriw-seq",
         .says = "all agree on the order of two writes in S",
         .setup = setup,
         .thread = {set_x, set_y, read_xy, read_yx},
         .check = one_order,
         .deaths = NONE},
	{.name = "iriw-acquire",
         .fails = true,
         .must = "two orders",
         .says = "outside S two readers may disagree on the order of writes",
         .setup = setup,
         .thread = {set_x, set_y, acquire_xy, acquire_yx},
         .check = one_order,
         .deaths = NONE},
	{.name = "release-sequence",
         .says = "a relaxed update carries on what its release published",
         .setup = setup,
         .thread = {give_data, update_relaxed, use_data},
         .check = used,
         .deaths = NONE},
	{.name = "race-relaxed",
         .fails = true,
         .must = "data race",
         .says = "plain data handed over by relaxed accesses is a race",
         .setup = setup,
         .thread = {give_data_relaxed, update_relaxed, use_data},
         .check = used,
         .deaths = NONE},
	{.name = "fences-synchronise",
         .says = "fences around relaxed accesses hand over plain data",
         .setup = setup,
         .thread = {give_data_fenced, use_data_fenced},
         .check = used_by_1,
         .deaths = NONE},
	{.name = "race",
         .fails = true,
         .must = "data race",
         .says = "plain data without any order is a race",
         .setup = setup,
         .thread = {give_data, use_at_once},
         .deaths = NONE},
	{.name = "death",
         .fails = true,
         .must = "added, not acknowledged",
         .says = "a death between the add and its acknowledgement is explored",
         .setup = setup,
         .thread = {add_and_say, add_and_say},
         .check = nobody_died_between},
	{.name = "deaths",
         .says = "a death adds at most one that nobody said",
         .setup = setup,
         .thread = {add_and_say, add_and_say, add_and_say},
         .check = counted},
	{.name = "flags",
         .says = "a raised flag brings what was before it",
         .setup = setup,
         .thread = {raise_after_x, wait_on_x},
         .check = flag_carries},
	{NULL}};

int main(int argc, char **argv)
{
	return mc_main(argc, argv, "litmus", scenarios);
}
