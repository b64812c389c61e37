/* SPDX-License-Identifier: MIT */
/* Copyright the wbcshm authors */

#include "lane.h"

#include <errno.h>
#include <string.h>

#include "../api/wbc_error.h"
#include "wake.h"

static unsigned char *lane_base(const struct wbci_segment *s, uint32_t slot)
{
	return s->lanes + (uint64_t)slot * s->geo.lane_bytes;
}

/* Memory for a lane, at its first use. */
static int make_ready(struct wbci_thread *t)
{
	const struct wbci_segment *s = &t->client->segment;
	int error = wbci_segment_allocate(
	        s,
	        s->geo.lanes_off + (uint64_t)t->slot * s->geo.lane_bytes,
	        s->geo.lane_bytes);

	if (error)
		return error;
	/* Relaxed: whoever reads the lane found its tail first, and
	 * lane.publish brings this along. */
	order_store(&t->shm->lane_ready, 1);
	return 0;
}

/* The bytes at a position, as one or two pieces. */
static struct wbci_span2 spans(unsigned char *lane, uint32_t size,
                               uint64_t position, uint64_t bytes)
{
	uint64_t at = position & (size - 1);
	uint64_t first = bytes < size - at ? bytes : size - at;

	return (struct wbci_span2){{lane + at, lane},
	                           {first, bytes - first}};
}

int wbci_lane_append(struct wbci_thread *t, uint8_t table,
                     const struct wbc_value *values, const uint8_t *columns,
                     size_t n, uint64_t bytes)
{
	const struct wbci_segment *s = &t->client->segment;
	uint32_t size = s->geo.lane_bytes;
	/* Relaxed: ours; the last owner's is seen through slot.claim. */
	uint64_t tail = order_load(&t->shm->lane_tail);
	/* ORDER lane.free, acquire: the flusher has copied what it passed
	 * before we write over it. */
	uint64_t used = tail - order_acquire(&t->shm->lane_head);
	struct wbci_span2 to;
	int error;

	if (bytes > size / 2)
		return -E2BIG;
	if (used > size || tail % 8)
		return WBC_E_CORRUPT;
	if (bytes > size - used)
		return -EAGAIN;
	if (!order_load(&t->shm->lane_ready)) {
		error = make_ready(t);
		if (error)
			return error;
	}
	to = spans(lane_base(s, t->slot), size, tail, bytes);
	wbci_record_write(&to, table, values, columns, n, bytes);
	/* ORDER lane.publish, release: the record is whole before the tail
	 * says that it exists. */
	order_release(&t->shm->lane_tail, tail + bytes);
	if (used + bytes >= size / 2)
		wbci_ring(s);
	return 0;
}

/* The records in a buffer are whole and end where it ends. */
static bool chain_holds(const unsigned char *buffer, uint64_t bytes)
{
	uint64_t at = 0;

	while (at < bytes) {
		struct record_shm record;

		if (bytes - at < sizeof(record))
			return false;
		memcpy(&record, buffer + at, sizeof(record));
		if (record.bytes < sizeof(record) || record.bytes % 8 ||
		    record.bytes > bytes - at)
			return false;
		at += record.bytes;
	}
	return true;
}

int64_t wbci_lane_read(const struct wbci_segment *s, uint32_t slot,
                       unsigned char *buffer, uint64_t *head, uint64_t *tail)
{
	struct thread_shm *thread = &s->threads[slot];
	uint32_t size = s->geo.lane_bytes;
	struct wbci_span2 from;
	uint64_t bytes;

	*head = order_load(&thread->lane_head);
	/* ORDER lane.publish, acquire: records before the tail are whole. */
	*tail = order_acquire(&thread->lane_tail);
	bytes = *tail - *head;
	if (bytes == 0)
		return 0;
	/* Relaxed: the tail brought it along. */
	if (bytes > size || bytes % 8 || *head % 8 ||
	    !order_load(&thread->lane_ready))
		return WBC_E_CORRUPT;
	from = spans(lane_base(s, slot), size, *head, bytes);
	memcpy(buffer, from.p[0], from.n[0]);
	memcpy(buffer + from.n[0], from.p[1], from.n[1]);
	return chain_holds(buffer, bytes) ? (int64_t)bytes : WBC_E_CORRUPT;
}

void wbci_lane_move(const struct wbci_segment *s, uint32_t slot,
                    uint64_t head)
{
	struct thread_shm *thread = &s->threads[slot];
	/* Relaxed: only the flusher writes it. */
	uint64_t had = order_load(&thread->lane_head);

	/* ORDER lane.free, release: we are done with what we pass. */
	if ((int64_t)(head - had) > 0)
		order_release(&thread->lane_head, head);
}

bool wbci_lane_half_full(const struct wbci_segment *s)
{
	for (uint32_t i = 0; i < s->geo.n_threads; i++) {
		struct thread_shm *thread = &s->threads[i];
		/* Relaxed: a hint; who reads the lane loads it anew. */
		uint64_t used = order_load(&thread->lane_tail) -
		                order_load(&thread->lane_head);

		if (used >= s->geo.lane_bytes / 2)
			return true;
	}
	return false;
}
