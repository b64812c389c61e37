/* SPDX-License-Identifier: MIT */
/* Copyright the wbcshm authors */

/* Waking: nobody who waits is forgotten, and no wait has no end. */
#include "shm/wake.h"

#include <sys/syscall.h>

#include "unit/rig.h"

enum { LONG_MS = 600000 }; /* longer than any test may take */

struct test {
	struct rig rig;
	struct wbci_client *c;
	const struct wbci_segment *s;
};

static struct test begin(void)
{
	struct test x = {.rig = rig_make(&(struct wbci_create){
				 .max_bytes = WBCI_EXTENT_BYTES,
				 .capacity = 1,
				 .procs = 4,
				 .threads = 4})};

	x.c = rig_client(&x.rig);
	x.s = &x.c->segment;
	return x;
}

static void end(struct test *x)
{
	wbci_client_close(&x->c);
	rig_drop(&x->rig);
}

/* A thread that sleeps in one of the ways, and who it is. */
struct sleeper {
	struct test *x;
	void (*sleep)(struct sleeper *s);
	order_u32 tid; /* 0: not yet about to sleep */
	uint32_t seen;
	unsigned looks;
	bool want;
};

static bool looks(void *arg)
{
	struct sleeper *s = arg;

	s->looks++;
	return s->want;
}

static void sleep_flusher(struct sleeper *s)
{
	wbci_sleep(s->x->c, looks, s, LONG_MS);
}

static void sleep_event(struct sleeper *s)
{
	wbci_event_wait(s->x->s, s->seen, LONG_MS);
}

static void sleep_lane_event(struct sleeper *s)
{
	wbci_lane_event_wait(s->x->s, s->seen, LONG_MS);
}

static void *run_sleeper(void *arg)
{
	struct sleeper *s = arg;

	order_release(&s->tid, (uint32_t)syscall(SYS_gettid));
	s->sleep(s);
	return NULL;
}

/* Until the kernel says that a thread of ours sleeps. */
static void wait_asleep(order_u32 *tid)
{
	char path[64], state = '?';

	while (!order_acquire(tid))
		sched_yield();
	snprintf(path, sizeof(path), "/proc/self/task/%u/stat",
	         order_load(tid));
	while (state != 'S') {
		FILE *f = fopen(path, "re");

		if (!f || fscanf(f, "%*d (%*[^)]) %c", &state) != 1)
			tap_bail("%s", path);
		fclose(f);
		sched_yield();
	}
}

static void ring(struct test *x)
{
	wbci_ring(x->s);
}

static void want_sync(struct test *x)
{
	wbci_want(x->c, &x->s->control->sync_want);
}

static void event(struct test *x)
{
	wbci_event(x->s);
}

static void lane_event(struct test *x)
{
	wbci_lane_event(x->s);
}

/* If a wake were lost, the join would not end. */
static void test_woken(void)
{
	static const struct {
		void (*sleep)(struct sleeper *);
		void (*wake)(struct test *);
		const char *what;
	} pairs[] = {{sleep_flusher, ring, "a ring wakes the flusher"},
	             {sleep_flusher, want_sync, "so does a request"},
	             {sleep_event, event, "progress wakes who waits for it"},
	             {sleep_lane_event, lane_event,
	              "emptied lanes wake who waits for room"}};

	for (size_t i = 0; i < N(pairs); i++) {
		struct test x = begin();

		for (unsigned j = 0; j < 20; j++) {
			struct sleeper s = {.x = &x, .sleep = pairs[i].sleep};
			pthread_t thread;

			s.seen = order_load(pairs[i].sleep == sleep_lane_event
			                            ? &x.s->control->lane_event
			                            : &x.s->control->event);
			thread = rig_start(run_sleeper, &s);
			/* At the latest moment, or at any. */
			if (j % 2)
				wait_asleep(&s.tid);
			else
				while (!order_acquire(&s.tid))
					sched_yield();
			/* A ring before the announcement is not for it. */
			while (pairs[i].sleep == sleep_flusher &&
			       !order_load(&x.s->control->sleep))
				sched_yield();
			pairs[i].wake(&x);
			pthread_join(thread, NULL);
		}
		tap_ok(order_load(&x.s->control->sleep) == 0, "%s",
		       pairs[i].what);
		end(&x);
	}
}

static void test_not_asleep(void)
{
	struct test x = begin();
	struct sleeper s = {.x = &x, .want = true};

	sleep_flusher(&s);
	tap_is_uint(s.looks, 1,
	            "the flusher looks once more before it "
	            "sleeps, and does not if there is work");
	tap_is_uint(order_load(&x.s->control->sleep), 0,
	            "and says that it is awake");
	s.seen = order_load(&x.s->control->event) - 1;
	sleep_event(&s);
	s.seen = order_load(&x.s->control->lane_event) - 1;
	sleep_lane_event(&s);
	tap_ok(true, "who missed the event does not wait for it");
	wbci_ring(x.s);
	tap_is_uint(order_load(&x.s->control->sleep), 0,
	            "a ring for nobody changes nothing");
	end(&x);
}

static void test_time_out(void)
{
	static const int times_ms[] = {0, 1, 30};
	struct test x = begin();
	struct sleeper s = {.x = &x};
	unsigned early = 0;

	for (size_t i = 0; i < N(times_ms); i++) {
		int64_t begun = wbci_now_ns();

		wbci_event_wait(x.s, order_load(&x.s->control->event),
		                times_ms[i]);
		wbci_sleep(x.c, looks, &s, times_ms[i]);
		early += wbci_now_ns() - begun < (int64_t)times_ms[i] * 2000000;
	}
	tap_is_uint(early, 0,
	            "every wait ends by itself, not before its "
	            "time (P2)");
	end(&x);
}

static void test_want(void)
{
	struct test x = begin();
	struct control_shm *control = x.s->control;
	uint64_t cycle = order_load(&control->cycle);

	tap_is_uint(wbci_want(x.c, &control->sync_want), cycle + 1,
	            "what is wanted is the present round");
	tap_is_uint(order_load(&control->sync_want), cycle + 1,
	            "and the segment says so");
	tap_is_uint(order_load(&control->flush_want), 0,
	            "one request is not another");
	order_store(&control->sync_want, cycle + 100);
	wbci_want(x.c, &control->sync_want);
	tap_is_uint(order_load(&control->sync_want), cycle + 100,
	            "a request is never lowered");
	end(&x);
}

int main(void)
{
	test_woken();
	test_not_asleep();
	test_time_out();
	test_want();
	return tap_done();
}
