/* SPDX-License-Identifier: MIT */
/* Copyright the wbcshm authors */

/*
 * Lanes: what a producer was told is inserted arrives, once and in order,
 * also when it is killed and another thread takes its place.
 *
 * Records hold a number that says who made it and as which one.
 */
#include "rows.h"

#include "shm/lane.h"

#define BYTES 24u /* of a record with one integer */
#define RECORDS 16u

static struct kept {
	uint64_t got[RECORDS];
	unsigned n;
	uint64_t head; /* as the consumer last moved it, for each lane */
	uint64_t told; /* the highest number of thread t: bits 8t.. */
} * kept;

static void setup_threads(uint32_t threads)
{
	mc_world(&(struct mc_shape){.threads = threads, .lane_bytes = 128});
	kept = mc_keep(sizeof(*kept));
	for (unsigned i = 0; i < mc_segment()->geo.n_threads; i++)
		order_store(&mc_segment()->threads[i].lane_ready, 1);
}

static void setup(void)
{
	setup_threads(0);
	mc_join(0);
	mc_join(1);
}

/* Near the end of the ring, so that a record is in two pieces. */
static void setup_wrap(void)
{
	struct thread_shm *t;

	setup();
	t = &mc_segment()->threads[0];
	order_store(&t->lane_tail, 112);
	order_store(&t->lane_head, 112);
}

/* One slot, which threads 0 and 2 have one after the other. */
static void setup_handover(void)
{
	setup_threads(2);
	mc_join(1);
}

static int append(uint64_t number)
{
	struct wbc_value v = wbc_int64(NULL, (int64_t)number);
	uint8_t column = 0;

	return wbci_lane_append(mc_place(), 0, &v, &column, 1, BYTES);
}

static void produce(unsigned n)
{
	for (unsigned i = 1; i <= n; i++) {
		int error = append(mc_self() * 16 + i);

		MC_CHECK(error == 0 || error == -EAGAIN, "error %d", error);
		if (error)
			break;
		mc_ack(UINT64_C(1) << 8 * mc_self());
	}
}

static void producer(void)
{
	produce(3);
}

/* More than the ring holds. */
static void eager_producer(void)
{
	produce(6);
}

static void leaving_producer(void)
{
	struct wbci_thread *t;

	if (wbci_thread(mc_client(-1), &t))
		return;
	produce(1);
	wbci_thread_end(mc_client(-1));
}

static void next_producer(void)
{
	struct wbci_thread *t;

	if (wbci_thread(mc_client(-1), &t) == 0)
		produce(2);
}

static void consume_slot(uint32_t slot)
{
	static uint64_t buffer[16];
	uint64_t head, tail;
	int64_t bytes = wbci_lane_read(mc_segment(), slot,
	                               (unsigned char *)buffer, &head, &tail);

	MC_CHECK(bytes >= 0 && bytes % BYTES == 0, "%d bytes", (int)bytes);
	for (unsigned i = 0; i < (unsigned)bytes / BYTES; i++) {
		struct record_shm record;

		memcpy(&record, &buffer[i * 3], sizeof(record));
		MC_CHECK(record.bytes == BYTES && record.n_values == 1,
		         "a record of %u bytes", record.bytes);
		MC_CHECK(kept->n < RECORDS, "too many records");
		kept->got[kept->n++] = buffer[i * 3 + 2];
	}
	if (bytes)
		wbci_lane_move(mc_segment(), slot, tail);
}

static void consumer(void)
{
	consume_slot(0);
	consume_slot(0);
}

static void consumer_of_all(void)
{
	for (unsigned i = 0; i < mc_segment()->geo.n_threads; i++)
		consume_slot(i);
}

static void reaping_consumer(void)
{
	unsigned in_section;

	wbci_reap(mc_segment(), &in_section);
	consumer_of_all();
	wbci_reap(mc_segment(), &in_section);
}

/* Each thread's numbers begin at 1 and have no hole. */
static void check(void)
{
	unsigned next[MC_THREADS] = {0}, told;

	for (unsigned i = 0; i < mc_segment()->geo.n_threads; i++)
		consume_slot(i);
	for (unsigned i = 0; i < kept->n; i++) {
		unsigned t = (unsigned)(kept->got[i] / 16) % MC_THREADS;

		MC_CHECK(kept->got[i] % 16 == ++next[t],
		         "thread %u's record %u is its number %d", t, next[t],
		         (int)(kept->got[i] % 16));
	}
	for (unsigned t = 0; t < MC_THREADS; t++) {
		told = (unsigned)(mc_acked() >> 8 * t) & 255;
		MC_CHECK(next[t] >= told && next[t] <= told + mc_died(t),
		         "%u records of thread %u, it was told of %u", next[t],
		         t, told);
	}
}

static const struct mc_scenario scenarios[] = {
	{.name = "ring",
         .says = "P3: what was inserted arrives whole, once and in order",
         .setup = setup,
         .thread = {producer, consumer},
         .immortal = 2,
         .check = check},
	{.name = "wrap",
         .says = "P1: a record in two pieces at the ring's end is whole",
         .setup = setup_wrap,
         .thread = {producer, consumer},
         .immortal = 2,
         .check = check},
	{.name = "full",
         .says = "P3: a full ring refuses, and overwrites nothing",
         .setup = setup,
         .thread = {eager_producer, consumer},
         .immortal = 2,
         .check = check},
	{.name = "handed-on",
         .says = "P3: the next owner of a lane goes on where the last one "
                 "ended",
         .setup = setup_handover,
         .thread = {leaving_producer, consumer_of_all, next_producer},
         .immortal = 2,
         .check = check},
	{.name = "reaped",
         .says = "P3: the next owner of a dead one's lane goes on at its tail",
         .setup = setup_handover,
         .thread = {leaving_producer, reaping_consumer, next_producer},
         .immortal = 6,
         .check = check},
	{NULL}};

int main(int argc, char **argv)
{
	return mc_main(argc, argv, "lanes", scenarios);
}
