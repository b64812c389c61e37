/* SPDX-License-Identifier: MIT */
/* Copyright the wbcshm authors */

#include "cursors.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "../shm/lane.h"
#include "../shm/wake.h"
#include "points.h"

/* Room for one more element; returns the array, or NULL. */
static void *grow(void *array, size_t n, size_t *room, size_t each)
{
	size_t more = *room ? *room * 2 : 64;
	void *larger;

	if (n < *room)
		return array;
	larger = realloc(array, more * each);
	if (larger)
		*room = more;
	return larger;
}

int wbci_cursors_cell(struct wbci_cursors *c, struct wbci_ref ref,
                      unsigned cell, uint64_t total)
{
	struct wbci_cell_cursor *cells =
		grow(c->cells, c->n_cells, &c->cells_room, sizeof(*cells));

	if (!cells)
		return -ENOMEM;
	c->cells = cells;
	cells[c->n_cells++] = (struct wbci_cell_cursor){
		ref.offset, ref.incarnation, total, cell};
	return 0;
}

int wbci_cursors_lane(struct wbci_cursors *c, uint32_t slot, uint64_t position)
{
	struct wbci_lane_cursor *lanes =
		grow(c->lanes, c->n_lanes, &c->lanes_room, sizeof(*lanes));

	if (!lanes)
		return -ENOMEM;
	c->lanes = lanes;
	lanes[c->n_lanes++] = (struct wbci_lane_cursor){slot, position};
	return 0;
}

void wbci_cursors_clear(struct wbci_cursors *c)
{
	c->n_cells = 0;
	c->n_lanes = 0;
}

void wbci_cursors_free(struct wbci_cursors *c)
{
	free(c->cells);
	free(c->lanes);
	memset(c, 0, sizeof(*c));
}

void wbci_cursors_move(const struct wbci_cursors *c, struct wbci_client *client)
{
	const struct wbci_segment *s = &client->segment;
	const struct wbci_cell_cursor *cell;
	const struct wbci_lane_cursor *lane;
	struct wbci_ref ref;

	for (size_t i = 0; i < c->n_cells; i++) {
		if (i == c->n_cells / 2)
			wbci_point(POINT_CELLS_HALF);
		cell = &c->cells[i];
		if (cell->cell > WBCI_CURSOR_ROW)
			continue;
		ref = (struct wbci_ref){cell->offset, cell->incarnation};
		wbci_cursor_move(client, ref, (unsigned)cell->cell,
		                 cell->total);
	}
	wbci_point(POINT_CELLS_MOVED);
	for (size_t i = 0; i < c->n_lanes; i++) {
		if (i == c->n_lanes / 2)
			wbci_point(POINT_LANES_HALF);
		lane = &c->lanes[i];
		if (lane->slot < s->geo.n_threads)
			wbci_lane_move(s, (uint32_t)lane->slot, lane->position);
	}
	if (c->n_lanes)
		wbci_lane_event(s);
	wbci_point(POINT_LANES_MOVED);
}
