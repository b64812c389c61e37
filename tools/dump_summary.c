/* SPDX-License-Identifier: MIT */
/* Copyright the wbcshm authors */

/* wbc-shmdump summary: everything is gathered once, then printed. */
#include "dump.h"

#include <stdlib.h>
#include <sys/stat.h>

#include "summary.h"
#include "../shm/wake.h"

static int count_step(void *arg, const struct wbci_step *step)
{
	struct summary *sum = arg;
	struct wbci_seen e;
	bool changed;

	if (step->depth == 0)
		sum->root_used++;
	if (step->depth + 1 > sum->depth)
		sum->depth = step->depth + 1;
	if (step->known || !step->sound)
		return 0;
	if (step->tag != INDEX_ENTRY) {
		sum->nodes++;
		return 0;
	}
	sum->keys++;
	if (view_entry(sum->s, step->target, &e) != 1)
		return 0;
	changed = view_changed(&e);
	sum->dirty += changed || wbci_entry_marked(sum->s, step->target);
	if (e.space == SPACE_ROW && e.table < WBCI_TABLES_MAX) {
		sum->rows[e.table]++;
		sum->changed[e.table] += changed;
	}
	return 0;
}

static void count_page(struct summary *sum, uint32_t page)
{
	/* ORDER page.claim, acquire: the bitmaps are this kind's. */
	uint64_t word = order_acquire(&sum->s->words[page]);
	unsigned kind = wbci_page_kind(word);
	struct meta_shm *meta = &sum->s->metas[page];
	uint32_t n = wbci_page_blocks(word);
	struct summary_blocks *b;

	if (n == 0 || kind > PAGE_BLOCKS) {
		sum->free_pages++;
		return;
	}
	b = &sum->blocks[kind - 1][wbci_page_class(word)];
	b->pages++;
	for (uint32_t i = 0; i < (n + 63) / 64; i++) {
		uint64_t valid = n - i * 64 >= 64 ? ~UINT64_C(0)
		                                  : (UINT64_C(1) << n % 64) - 1;
		uint64_t alloc = order_load(&meta->alloc[i]) & valid;
		uint64_t limbo = 0;

		for (unsigned g = 0; g < 4; g++)
			limbo |= order_load(&meta->limbo[g][i]);
		limbo &= alloc;
		b->limbo += (uint64_t)__builtin_popcountll(limbo);
		b->used += (uint64_t)__builtin_popcountll(alloc & ~limbo);
		b->free += (uint64_t)__builtin_popcountll(valid & ~alloc);
	}
}

static void count_slots(struct summary *sum)
{
	const struct wbci_segment *s = sum->s;

	for (uint32_t i = 0; i < s->geo.n_procs; i++) {
		struct view_proc p;

		view_proc(s, i, &p);
		sum->procs_used += p.state != PROC_FREE;
		sum->procs_dead += p.state != PROC_FREE && !p.alive;
	}
	for (uint32_t i = 0; i < s->geo.n_threads; i++) {
		struct view_thread t;

		view_thread(s, i, &t);
		sum->threads_used += t.state != THREAD_FREE;
		sum->lanes_used += t.lane_bytes != 0;
		sum->lane_bytes += t.lane_bytes;
	}
}

static void read_control(struct summary *sum)
{
	struct control_shm *c = sum->s->control;

	/* Relaxed, from what trails to what leads: all of them only grow. */
	sum->settled = order_load(&c->settled);
	sum->synced = order_load(&c->synced);
	sum->cycle = order_load(&c->cycle);
	sum->epoch = order_load(&c->epoch);
	sum->closed = order_load(&c->closed);
	sum->low_memory = order_load(&c->low_memory);
	sum->generation = order_load(&c->generation);
	sum->journal[0] = order_load(&c->journal_id[0]);
	sum->journal[1] = order_load(&c->journal_id[1]);
	sum->flusher_pid = order_load(&c->flusher_pid);
	sum->flusher = wbci_segment_has_flusher(sum->s) == 1;
	sum->committed = wbci_committed(sum->s);
}

static int gather(struct summary *sum)
{
	uint64_t now = wbci_boot_ns();
	struct stat st;
	int rc;

	sum->age_ns = now > sum->s->geo.born_ns ? now - sum->s->geo.born_ns : 0;
	read_control(sum);
	count_slots(sum);
	for (uint32_t i = 0; i < sum->committed * WBCI_PAGES_PER_EXTENT; i++)
		count_page(sum, i);
	if (fstat(sum->s->fd, &st) == 0)
		sum->used_bytes = (uint64_t)st.st_blocks * 512;
	rc = view_tables(sum->s, &sum->tables);
	if (rc == 0)
		rc = wbci_index_walk(sum->s, count_step, sum);
	return rc;
}

int dump_summary(const struct cli_command *c, int argc, char **argv)
{
	bool json = false;
	const struct cli_option options[] = {
		{"json", 0, CLI_FLAG, &json, NULL, "one JSON document"},
	};
	const char *segment;
	struct wbci_segment s;
	struct summary *sum;
	int rc = cli_parse(c, options, 1, &segment, &argc, argv);

	if (rc != CLI_OK)
		return rc == CLI_HELPED ? CLI_OK : rc;
	if (argc)
		return cli_usage(c, "%s: no argument is expected", argv[0]);
	rc = cli_segment(segment, false, &s);
	if (rc != CLI_OK)
		return rc;
	sum = calloc(1, sizeof(*sum));
	if (!sum) {
		rc = cli_fail(CLI_FAILED, "summary: %s: no memory", s.path);
		goto close_segment;
	}
	sum->s = &s;
	rc = gather(sum);
	if (rc == 0)
		rc = json ? (summary_json(sum), 0) : summary_text(sum);
	if (rc < 0)
		rc = cli_error(rc, "summary", s.path, NULL);
	view_tables_free(&sum->tables);
	free(sum);
close_segment:
	wbci_segment_close(&s);
	return rc;
}
