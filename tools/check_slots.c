/* SPDX-License-Identifier: MIT */
/* Copyright the wbcshm authors */

/* The audit of control words, slots and lanes. */
#include "check.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "../shm/lane.h"
#include "../shm/record.h"

const char check_control[] = "control";
const char check_slot[] = "slot";
const char check_lane[] = "lane";

static void check_words(struct check_pass *p)
{
	struct control_shm *c = p->s->control;
	/* Relaxed, what trails before what leads: all of them only grow. */
	uint64_t settled = order_load(&c->settled);
	uint64_t synced = order_load(&c->synced);
	/* ORDER round.bump, acquire: the words above are not ahead of it. */
	uint64_t cycle = order_acquire(&c->cycle);
	uint32_t committed = order_load(&c->committed);
	uint32_t proc = order_load(&c->flusher_proc);

	if (order_load(&c->epoch) == 0)
		check_say(p, check_control, 0, "the epoch is 0");
	if (cycle == 0)
		check_say(p, check_control, 1, "the number of the round is 0");
	if (synced > cycle)
		check_say(p, check_control, 2,
		          "rounds below %" PRIu64 " are called journaled, the "
		          "next is %" PRIu64,
		          synced, cycle);
	if (settled > cycle)
		check_say(p, check_control, 3,
		          "rounds below %" PRIu64 " are called settled, the "
		          "next is %" PRIu64,
		          settled, cycle);
	if (committed > p->s->geo.n_extents)
		check_say(p, check_control, 4,
		          "%" PRIu32 " extents are called usable, the file "
		          "has room for %" PRIu32,
		          committed, p->s->geo.n_extents);
	if (proc > p->s->geo.n_procs)
		check_say(p, check_control, 5,
		          "the flusher's process slot is %" PRIu32
		          " of %" PRIu32,
		          proc - 1, p->s->geo.n_procs);
}

static void check_thread(struct check_pass *p, uint32_t i)
{
	const struct wbci_segment *s = p->s;
	struct view_thread t;
	enum proc_state proc;

	view_thread(s, i, &t);
	if (t.state > THREAD_FENCED) {
		check_say(p, check_slot, WBCI_PROCS_MAX + 1 + i,
		          "thread slot %" PRIu32 " is in no known state (%u)",
		          i, (unsigned)t.state);
		return;
	}
	if (t.state == THREAD_FREE) {
		if (t.epoch)
			check_say(p, check_slot, WBCI_PROCS_MAX + 1 + i,
			          "thread slot %" PRIu32 " is free, and in a "
			          "section",
			          i);
		return;
	}
	if (t.proc >= s->geo.n_procs) {
		check_say(p, check_slot, WBCI_PROCS_MAX + 1 + i,
		          "thread slot %" PRIu32
		          " belongs to process slot %" PRIu32
		          ", there are %" PRIu32,
		          i, t.proc, s->geo.n_procs);
		return;
	}
	/* ORDER slot.claim, acquire: threads go before their process. */
	proc = (enum proc_state)(order_acquire(&s->procs[t.proc].word) & 15);
	if (proc == PROC_FREE)
		check_say(p, check_slot, WBCI_PROCS_MAX + 1 + i,
		          "thread slot %" PRIu32 " is in use, its process slot "
		          "%" PRIu32 " is free",
		          i, t.proc);
	/* G moved on before the word was loaded for the comparison. */
	if (t.epoch > order_load(&s->control->epoch))
		check_say(p, check_slot, WBCI_PROCS_MAX + 1 + i,
		          "thread slot %" PRIu32 " is in a section of an epoch "
		          "to come",
		          i);
}

void check_slots(struct check_pass *p)
{
	const struct wbci_segment *s = p->s;

	check_words(p);
	p->dead_procs = 0;
	for (uint32_t i = 0; i < s->geo.n_procs; i++) {
		struct view_proc v;

		view_proc(s, i, &v);
		/* A lock on a free slot is one who arrives or leaves. */
		p->dead_procs += v.state == PROC_USED && !v.alive;
		if (v.state > PROC_REAPING)
			check_say(p, check_slot, i,
			          "process slot %" PRIu32 " is in no known "
			          "state (%u)",
			          i, (unsigned)v.state);
	}
	for (uint32_t i = 0; i < s->geo.n_threads; i++)
		check_thread(p, i);
}

/* Every record that a lane holds is one of a declared table. */
static void check_records(struct check_pass *p, uint32_t lane,
                          const unsigned char *bytes, uint64_t n)
{
	struct wbc_value values[WBC_COLUMNS_MAX];
	uint8_t columns[WBC_COLUMNS_MAX];
	struct record_shm header;
	uint64_t at = 0;

	while (at < n) {
		const struct view_table *table;

		if (n - at < sizeof(header))
			break;
		memcpy(&header, bytes + at, sizeof(header));
		if (header.bytes < sizeof(header) || header.bytes % 8 ||
		    header.bytes > n - at)
			break;
		table = header.table < p->tables.n
		                ? &p->tables.table[header.table]
		                : NULL;
		if (!table)
			check_say(p, check_lane, lane,
			          "lane %" PRIu32 " holds a row of table %u, "
			          "which was never declared",
			          lane, header.table);
		else if (table->readable &&
		         wbci_record_parse(&table->schema, bytes + at,
		                           header.bytes, values, columns) < 0)
			check_say(p, check_lane, lane,
			          "lane %" PRIu32 " holds a row that table %s "
			          "cannot have",
			          lane, table->label);
		at += header.bytes;
	}
	if (at != n)
		check_say(p, check_lane, lane,
		          "lane %" PRIu32 " does not hold whole rows: at byte "
		          "%" PRIu64 " of %" PRIu64,
		          lane, at, n);
}

static void check_one_lane(struct check_pass *p, uint32_t i,
                           unsigned char *buffer)
{
	uint64_t head, tail;
	int64_t n;
	struct view_thread t;

	view_thread(p->s, i, &t);
	if (t.lane_bytes == 0)
		return;
	if (!t.lane_ready) {
		check_say(p, check_lane, i,
		          "lane %" PRIu32 " holds %" PRIu64 " bytes, but was "
		          "never given memory",
		          i, t.lane_bytes);
		return;
	}
	if (t.lane_bytes > p->s->geo.lane_bytes || t.lane_bytes % 8) {
		check_say(p, check_lane, i,
		          "lane %" PRIu32 " of %" PRIu32 " bytes is said to "
		          "hold %" PRIu64,
		          i, p->s->geo.lane_bytes, t.lane_bytes);
		return;
	}
	n = wbci_lane_read(p->s, i, buffer, &head, &tail);
	if (n < 0)
		check_say(p, check_lane, i,
		          "lane %" PRIu32 " does not hold whole rows", i);
	/* Else the flusher moved on, and the bytes may be others. */
	else if (order_load(&p->s->threads[i].lane_head) == head)
		check_records(p, i, buffer, (uint64_t)n);
}

void check_lanes(struct check_pass *p)
{
	unsigned char *buffer = malloc(p->s->geo.lane_bytes);

	if (!buffer) {
		check_say(p, check_lane, UINT64_MAX,
		          "no memory to look into lanes");
		return;
	}
	for (uint32_t i = 0; i < p->s->geo.n_threads; i++)
		check_one_lane(p, i, buffer);
	free(buffer);
}
