/* SPDX-License-Identifier: MIT */
/* Copyright the wbcshm authors */

#include <errno.h>

#include "../shm/lane.h"
#include "../shm/wake.h"
#include "handle.h"

/* Liveness is looked at that often while waiting for room. */
#define SLICE_MS 100

/* Milliseconds left until a deadline, at most a slice; 0: it has passed. */
static int slice(int64_t deadline)
{
	int64_t left = SLICE_MS;

	if (deadline >= 0)
		left = (deadline - wbci_now_ns() + 999999) / 1000000;
	if (left <= 0)
		return 0;
	return left < SLICE_MS ? (int)left : SLICE_MS;
}

static int wait_for_room(struct wbci_thread *t, uint32_t seen,
                         int64_t deadline)
{
	const struct wbci_segment *s = &t->client->segment;
	int ms = slice(deadline);

	if (ms == 0)
		return wbci_segment_has_flusher(s) == 0 ? WBC_E_NOFLUSHER
		                                        : -EAGAIN;
	wbci_ring(s);
	wbci_lane_event_wait(s, seen, ms);
	return order_load(&s->control->closed) ? -ESTALE : 0;
}

int wbc_insert(struct wbc_table *t, const struct wbc_value *values,
               size_t n_values, int timeout_ms)
{
	uint8_t columns[WBC_COLUMNS_MAX];
	struct wbci_thread *thread;
	int64_t deadline = -1;
	int64_t bytes;
	int error;

	bytes = wbci_record_size(&t->schema, values, n_values, columns);
	if (bytes < 0)
		return (int)bytes;
	error = wbci_handle_thread(t->client, &thread);
	for (bool first = true; !error; first = false) {
		/* ORDER wake.event, acquire: loaded before the lane's head,
		 * so room made after it changes the word that we wait on. */
		uint32_t seen =
		        order_acquire(&thread->control->lane_event);

		error = wbci_lane_append(thread, (uint8_t)t->number, values,
		                         columns, n_values, (uint64_t)bytes);
		if (error != -EAGAIN)
			return error;
		if (first && timeout_ms >= 0)
			deadline = wbci_now_ns() +
			           (int64_t)timeout_ms * 1000000;
		error = wait_for_room(thread, seen, deadline);
	}
	return error;
}
