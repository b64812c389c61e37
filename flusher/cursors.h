/* SPDX-License-Identifier: MIT */
/* Copyright the wbcshm authors */

/*
 * Cursors: how far the journal has come in the segment, per cell and lane.
 *
 * Those of the last batch stand in the journal, in the transaction that holds
 * the batch; moving them in the segment is a set of idempotent stores, done
 * after that commit and again by every flusher that starts.
 */
#ifndef WBCI_CURSORS_H
#define WBCI_CURSORS_H

#include <stddef.h>
#include <stdint.h>

#include "../shm/round.h"

/* The journal holds a cell up to this total, or a row's plain columns
 * (WBCI_CURSOR_ROW) up to this version.  As it is on disk. */
struct wbci_cell_cursor {
	uint64_t offset;
	uint64_t incarnation;
	uint64_t total;
	uint64_t cell;
};

/* The journal holds a lane up to this position.  As it is on disk. */
struct wbci_lane_cursor {
	uint64_t slot;
	uint64_t position;
};

struct wbci_cursors {
	struct wbci_cell_cursor *cells;
	size_t n_cells;
	size_t cells_room;
	struct wbci_lane_cursor *lanes;
	size_t n_lanes;
	size_t lanes_room;
};

/* Both return 0 or -ENOMEM. */
int wbci_cursors_cell(struct wbci_cursors *c, struct wbci_ref ref,
                      unsigned cell, uint64_t total);
int wbci_cursors_lane(struct wbci_cursors *c, uint32_t slot, uint64_t position);

/* Forget all, keep the memory; and give the memory back, too. */
void wbci_cursors_clear(struct wbci_cursors *c);
void wbci_cursors_free(struct wbci_cursors *c);

/**
 * wbci_cursors_move() - tell the segment what the journal holds
 * @client: the flusher's
 *
 * After the commit of the batch that they belong to.  Those of entries and
 * lanes that are others by now move nothing.
 */
void wbci_cursors_move(const struct wbci_cursors *c,
                       struct wbci_client *client);

#endif
