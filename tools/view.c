/* SPDX-License-Identifier: MIT */
/* Copyright the wbcshm authors */

#include "view.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "../shm/cell.h"
#include "../shm/table.h"
#include "../shm/wake.h"
#include "../units/units.h"

void view_label(char label[VIEW_NAME], const struct wbci_schema *schema)
{
	if (strcmp(schema->connection, "default") == 0)
		snprintf(label, VIEW_NAME, "%s", schema->name);
	else
		snprintf(label, VIEW_NAME, "%s.%s", schema->connection,
		         schema->name);
}

int view_tables(const struct wbci_segment *s, struct view_tables *t)
{
	t->n = 0;
	t->table = calloc(s->geo.n_tables, sizeof(*t->table));
	if (!t->table)
		return -ENOMEM;
	while (t->n < s->geo.n_tables) {
		struct view_table *v = &t->table[t->n];
		int rc = wbci_table_schema(s, t->n, &v->schema, NULL);

		if (rc == -ENOENT)
			break;
		v->readable = rc == 0;
		if (v->readable)
			view_label(v->label, &v->schema);
		else
			snprintf(v->label, sizeof(v->label), "table#%u", t->n);
		t->n++;
	}
	return 0;
}

void view_tables_free(struct view_tables *t)
{
	free(t->table);
	t->table = NULL;
}

const struct view_table *view_table(const struct view_tables *t,
                                    const char *label)
{
	if (strncmp(label, "default.", 8) == 0)
		label += 8;
	for (unsigned i = 0; i < t->n; i++)
		if (strcmp(t->table[i].label, label) == 0)
			return &t->table[i];
	return NULL;
}

static uint64_t age_of(uint64_t start_ns)
{
	uint64_t now = wbci_boot_ns();

	return start_ns < now ? now - start_ns : 0;
}

void view_proc(const struct wbci_segment *s, uint32_t slot, struct view_proc *p)
{
	struct proc_shm *shm = &s->procs[slot];

	/* ORDER slot.claim, acquire: what is displayed is its owner's. */
	p->state = (enum proc_state)(order_acquire(&shm->word) & 15);
	p->alive = wbci_segment_locked(s, WBCI_LOCK_PROC + slot) == 1;
	p->flusher = order_load(&shm->is_flusher);
	p->pid = order_load(&shm->pid);
	p->age_ns = age_of(order_load(&shm->start_ns));
	memcpy(p->raw_name, shm->name, sizeof(shm->name));
	p->raw_name[sizeof(shm->name)] = '\0';
	units_printable(p->name, sizeof(p->name), p->raw_name,
	                strlen(p->raw_name));
}

void view_thread(const struct wbci_segment *s, uint32_t slot,
                 struct view_thread *t)
{
	struct thread_shm *shm = &s->threads[slot];
	/* ORDER slot.claim, acquire: what is displayed is its owner's. */
	uint64_t word = order_acquire(&shm->word);
	uint64_t head;

	t->state = (enum thread_state)(word & 15);
	t->proc = (uint32_t)(word >> 4 & 0xfff);
	t->tid = order_load(&shm->tid);
	t->age_ns = age_of(order_load(&shm->start_ns));
	t->epoch = order_load(&shm->epoch);
	t->lane_ready = order_load(&shm->lane_ready);
	/* ORDER lane.free, acquire: the tail is never behind it. */
	head = order_acquire(&shm->lane_head);
	t->lane_bytes = order_load(&shm->lane_tail) - head;
}

int view_entry(const struct wbci_segment *s, uint64_t offset,
               struct wbci_seen *e)
{
	int rc = 0;

	e->values = NULL;
	/* 0 is also an entry whose word changed while it was copied. */
	for (unsigned i = 0; i < 8 && rc == 0; i++)
		rc = wbci_seen_entry(s, offset, e);
	return rc;
}

static enum view_state state_of(int error, bool is_null)
{
	if (error == WBC_E_NOROW)
		return VIEW_NOROW;
	if (error)
		return VIEW_UNKNOWN;
	return is_null ? VIEW_NULL : VIEW_KNOWN;
}

void view_cell(const struct wbci_schema *schema, const struct wbci_seen *e,
               unsigned cell, struct view_cell *c)
{
	uint64_t total = e->total[cell];
	uint64_t origin = e->origin[cell];
	uint64_t journaled = e->journaled[cell];
	unsigned column = schema->cell_column[cell];
	int error;

	memset(c, 0, sizeof(*c));
	c->is_double = schema->columns[column].type == WBC_DOUBLE;
	c->changed = total != journaled;
	if (c->is_double) {
		c->pending_d =
			wbci_double_of(total) - wbci_double_of(journaled);
		error = wbci_cell_value_double(origin, total, &c->d);
		c->state = state_of(error, origin == WBCI_DOUBLE_NULL);
	} else {
		c->pending_i = (int64_t)(total - journaled);
		error = wbci_cell_value_int64(origin, total, &c->i);
		c->state = state_of(error, origin == WBCI_INT64_NULL);
	}
}

bool view_changed(const struct wbci_seen *e)
{
	for (unsigned i = 0; i < e->n_cells; i++)
		if (e->total[i] != e->journaled[i])
			return true;
	return e->version != e->version_journaled;
}

void view_hex(char *text, const void *bytes, size_t n)
{
	const unsigned char *p = bytes;

	for (size_t i = 0; i < n; i++)
		snprintf(text + 2 * i, 3, "%02x", p[i]);
}

void view_time(char text[32], uint64_t real_ns)
{
	time_t seconds = (time_t)(real_ns / 1000000000);
	struct tm tm;

	if (!localtime_r(&seconds, &tm) ||
	    strftime(text, 32, "%Y-%m-%d %H:%M:%S", &tm) == 0)
		snprintf(text, 32, "?");
}

bool view_anybody_alive(const struct wbci_segment *s)
{
	for (uint32_t i = 0; i < s->geo.n_procs; i++)
		if (wbci_segment_locked(s, WBCI_LOCK_PROC + i) == 1)
			return true;
	return false;
}
