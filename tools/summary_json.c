/* SPDX-License-Identifier: MIT */
/* Copyright the wbcshm authors */

/* The summary for programs: a name once given keeps its meaning. */
#include "summary.h"

#include "../api/wbcshm.h"
#include "../shm/table.h"

static void json_segment(struct json *j, const struct summary *sum)
{
	const struct wbci_segment *s = sum->s;
	char id[33];

	view_hex(id, s->geo.segment_id, sizeof(s->geo.segment_id));
	json_text(j, "segment", s->path);
	json_text(j, "id", id);
	json_uint(j, "layout", s->geo.layout);
	json_bool(j, "closed", sum->closed);
	json_double(j, "age_s", (double)(sum->age_ns / 1000000) / 1e3);
	json_uint(j, "created_unix_s", s->geo.born_real_ns / 1000000000);
	json_object(j, "memory");
	json_uint(j, "file_bytes", s->geo.size_bytes);
	json_uint(j, "used_bytes", sum->used_bytes);
	json_uint(j, "extent_bytes", WBCI_EXTENT_BYTES);
	json_uint(j, "extents", sum->committed);
	json_uint(j, "extents_max", s->geo.n_extents);
	json_bool(j, "low", sum->low_memory);
	json_end(j);
}

static void json_flusher(struct json *j, const struct summary *sum)
{
	char id[33];

	json_object(j, "flusher");
	json_bool(j, "alive", sum->flusher);
	if (sum->flusher)
		json_uint(j, "pid", sum->flusher_pid);
	else
		json_null(j, "pid");
	json_uint(j, "generation", sum->generation);
	view_hex(id, sum->journal, sizeof(sum->journal));
	if (sum->journal[0] || sum->journal[1])
		json_text(j, "journal_id", id);
	else
		json_null(j, "journal_id");
	json_end(j);
	json_object(j, "rounds");
	json_uint(j, "epoch", sum->epoch);
	json_uint(j, "cycle", sum->cycle);
	json_uint(j, "journaled_below", sum->synced);
	json_uint(j, "settled_below", sum->settled);
	json_end(j);
}

static void json_clients(struct json *j, const struct summary *sum)
{
	const struct wbci_segment *s = sum->s;

	json_object(j, "processes");
	json_uint(j, "alive", sum->procs_used - sum->procs_dead);
	json_uint(j, "dead", sum->procs_dead);
	json_uint(j, "slots", s->geo.n_procs);
	json_end(j);
	json_object(j, "threads");
	json_uint(j, "used", sum->threads_used);
	json_uint(j, "slots", s->geo.n_threads);
	json_end(j);
	json_object(j, "lanes");
	json_uint(j, "lane_bytes", s->geo.lane_bytes);
	json_uint(j, "waiting", sum->lanes_used);
	json_uint(j, "waiting_bytes", sum->lane_bytes);
	json_end(j);
	json_object(j, "index");
	json_uint(j, "keys", sum->keys);
	json_uint(j, "keys_dirty", sum->dirty);
	json_uint(j, "capacity", s->geo.capacity);
	json_uint(j, "root_words", UINT64_C(1) << s->geo.root_bits);
	json_uint(j, "root_words_used", sum->root_used);
	json_uint(j, "nodes", sum->nodes);
	json_uint(j, "depth", sum->depth);
	json_end(j);
}

static void json_table(struct json *j, const struct summary *sum, unsigned i)
{
	const struct view_table *v = &sum->tables.table[i];
	struct table_shm *t = &sum->s->tables[i];
	char why[WBCI_TABLE_MESSAGE], spec[WBCI_SPEC_MAX];
	int parked = wbci_table_parked(sum->s, i, why);

	json_object(j, NULL);
	json_text(j, "table", v->label);
	if (v->readable) {
		wbci_schema_text(&v->schema, spec);
		json_text(j, "spec", spec);
	} else {
		json_null(j, "spec");
	}
	json_uint(j, "rows", sum->rows[i]);
	json_uint(j, "rows_unjournaled", sum->changed[i]);
	json_uint(j, "rows_unwritten", order_load(&t->rows_pending));
	json_uint(j, "rows_applied", order_load(&t->rows_applied));
	json_uint(j, "rows_refused", order_load(&t->rows_refused));
	json_uint(j, "settled_below", order_load(&t->settled));
	if (parked) {
		json_object(j, "parked");
		json_int(j, "error", parked);
		json_text(j, "name", wbc_error_name(parked));
		json_text(j, "message", why);
		json_end(j);
	} else {
		json_null(j, "parked");
	}
	json_end(j);
}

static void json_pages(struct json *j, const struct summary *sum)
{
	static const char *const kinds[] = {"entries", "blocks"};

	json_array(j, "pages");
	for (unsigned i = 0; i < 2 * WBCI_CLASSES; i++) {
		const struct summary_blocks *b =
			&sum->blocks[i / WBCI_CLASSES][i % WBCI_CLASSES];

		if (b->pages == 0)
			continue;
		json_object(j, NULL);
		json_text(j, "kind", kinds[i / WBCI_CLASSES]);
		json_uint(j, "block_bytes", wbci_class_bytes[i % WBCI_CLASSES]);
		json_uint(j, "pages", b->pages);
		json_uint(j, "used", b->used);
		json_uint(j, "free", b->free);
		json_uint(j, "limbo", b->limbo);
		json_end(j);
	}
	json_end(j);
	json_uint(j, "pages_free", sum->free_pages);
}

void summary_json(const struct summary *sum)
{
	struct json j = {0};

	json_object(&j, NULL);
	json_segment(&j, sum);
	json_flusher(&j, sum);
	json_clients(&j, sum);
	json_array(&j, "tables");
	for (unsigned i = 0; i < sum->tables.n; i++)
		json_table(&j, sum, i);
	json_end(&j);
	json_pages(&j, sum);
	json_end(&j);
}
