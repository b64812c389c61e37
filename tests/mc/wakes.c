/* SPDX-License-Identifier: MIT */
/* Copyright the wbcshm authors */

/*
 * Waking: who asks while the flusher goes to sleep wakes it, or is seen
 * before it sleeps.  Time passes only when nobody can run, so a sleep that
 * ends by its time-out beside a request is a wake-up that was lost.
 */
#include "rows.h"

#include "shm/lane.h"

static struct kept {
	bool slept_well[MC_THREADS];
} * kept;

static struct control_shm *control(void)
{
	return mc_segment()->control;
}

static void setup_as(uint32_t fenced)
{
	mc_world(&(struct mc_shape){.fenced = fenced});
	kept = mc_keep(sizeof(*kept));
	for (unsigned i = 0; i < MC_THREADS && mc_client((int)i); i++)
		mc_join(i);
	order_store(&mc_segment()->threads[1].lane_ready, 1);
}

static void setup(void)
{
	setup_as(0);
}

static void setup_fenced(void)
{
	setup_as(63);
}

static bool wants_sync(void *arg)
{
	(void)arg;
	return order_load_seq(&control()->sync_want) != 0 ||
	       order_load_seq(&control()->closed) != 0;
}

static void sleeper(void)
{
	wbci_sleep(mc_client(-1), wants_sync, NULL, 1000);
}

static void sleeper_twice(void)
{
	wbci_sleep(mc_client(-1), wants_sync, NULL, 1000);
	wbci_sleep(mc_client(-1), wants_sync, NULL, 1000);
}

static void asker(void)
{
	wbci_want(mc_client(-1), &control()->sync_want);
	mc_ack(1);
}

/* Rings when its lane is half full, which only a plain store tells. */
static void filler(void)
{
	struct wbc_value v = wbc_int64(NULL, 1);
	uint8_t column = 0;

	for (unsigned i = 0; i < 3; i++)
		MC_CHECK(wbci_lane_append(mc_place(), 0, &v, &column, 1, 24) ==
		                 0,
		         "no room");
	mc_ack(1);
}

static bool wants_lanes(void *arg)
{
	(void)arg;
	return wbci_lane_half_full(mc_segment());
}

static void lane_sleeper(void)
{
	wbci_sleep(mc_client(-1), wants_lanes, NULL, 1000);
}

static void check_woken(void)
{
	MC_CHECK(!mc_acked() || !mc_timeouts(), "a wake-up was lost");
}

/* ---- progress: the flusher tells, clients wait ---- */

static void progress(void)
{
	order_release(&control()->synced, 5);
	wbci_event(mc_segment());
	mc_ack(1);
}

static void waiter(void)
{
	uint32_t seen = order_acquire(&control()->event);

	if (order_acquire(&control()->synced) != 5)
		wbci_event_wait(mc_segment(), seen, 1000);
	kept->slept_well[mc_self()] = !mc_timeouts();
}

static void emptied(void)
{
	order_release(&mc_segment()->threads[1].lane_head, 8);
	wbci_lane_event(mc_segment());
	mc_ack(1);
}

static void lane_waiter(void)
{
	uint32_t seen = order_acquire(&control()->lane_event);

	if (order_acquire(&mc_segment()->threads[1].lane_head) != 8)
		wbci_lane_event_wait(mc_segment(), seen, 1000);
}

static void shutter(void)
{
	wbci_shut(mc_segment());
	mc_ack(1);
}

static void shut_waiter(void)
{
	uint32_t seen = order_acquire(&control()->event);

	if (!order_load(&control()->closed))
		wbci_event_wait(mc_segment(), seen, 1000);
}

static const struct mc_scenario scenarios[] = {
	{.name = "ring",
         .says = "P2: a request beside a flusher that goes to sleep wakes it",
         .setup = setup,
         .thread = {sleeper, asker},
         .check = check_woken},
	{.name = "ring-fenced",
         .says = "P2: the same without membarrier",
         .setup = setup_fenced,
         .thread = {sleeper, asker},
         .check = check_woken},
	{.name = "ring-twice",
         .says = "P2: two requests beside two sleeps",
         .setup = setup,
         .thread = {sleeper_twice, asker, asker},
         .check = check_woken},
	{.name = "lane",
         .says = "P2: a lane that gets half full wakes the flusher",
         .setup = setup,
         .thread = {lane_sleeper, filler},
         .check = check_woken},
	{.name = "lane-fenced",
         .says = "P2: the same without membarrier",
         .setup = setup_fenced,
         .thread = {lane_sleeper, filler},
         .check = check_woken},
	{.name = "event",
         .says = "P2: who waits for progress is woken by it",
         .setup = setup,
         .thread = {progress, waiter, waiter},
         .check = check_woken},
	{.name = "lane-event",
         .says = "P2: who waits for room in a lane is woken when there is",
         .setup = setup,
         .thread = {emptied, lane_waiter},
         .check = check_woken},
	{.name = "shut",
         .says = "P2: who waits is woken when the segment is closed",
         .setup = setup,
         .thread = {shutter, shut_waiter, sleeper},
         .check = check_woken},
	{NULL}};

int main(int argc, char **argv)
{
	return mc_main(argc, argv, "wakes", scenarios);
}
