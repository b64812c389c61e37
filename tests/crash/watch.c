/* SPDX-License-Identifier: MIT */
/* Copyright the wbcshm authors */

#include "watch.h"

#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "shm/page.h"
#include "tap/tap.h"

#define TABLES 4 /* as many as any operation declares, and more */

static void add_range(struct watch *w, const void *from, uint64_t bytes)
{
	if (bytes == 0)
		return;
	if (w->n == WATCH_RANGES)
		tap_bail("too much of the segment is in use");
	w->range[w->n].from =
		(uint64_t)((const unsigned char *)from - w->s->base);
	w->range[w->n++].bytes = bytes;
}

/* Blocks up to the last that is allocated, and all bitmaps. */
static void add_page(struct watch *w, uint32_t page, uint64_t word)
{
	const struct wbci_segment *s = w->s;
	const struct meta_shm *meta = &s->metas[page];
	unsigned class = wbci_page_class(word) % WBCI_CLASSES;
	uint64_t bytes = 0;

	add_range(w, meta, sizeof(*meta));
	for (unsigned i = WBCI_BITMAP_WORDS; i-- > 0 && !bytes;) {
		uint64_t bits = order_load(&s->metas[page].alloc[i]);

		if (bits)
			bytes = (i * 64 + 64 -
			         (unsigned)__builtin_clzll(bits)) *
			        (uint64_t)wbci_class_bytes[class];
	}
	if (bytes > WBCI_PAGE_BYTES)
		bytes = WBCI_PAGE_BYTES;
	add_range(w, s->base + wbci_page_off(s, page), bytes);
}

static void find_ranges(struct watch *w)
{
	const struct wbci_segment *s = w->s;
	uint32_t pages = wbci_committed(s) * WBCI_PAGES_PER_EXTENT;

	w->n = 0;
	add_range(w, s->control, sizeof(*s->control));
	add_range(w, s->procs, s->geo.n_procs * sizeof(*s->procs));
	add_range(w, s->threads, s->geo.n_threads * sizeof(*s->threads));
	add_range(w, s->tables, TABLES * sizeof(*s->tables));
	add_range(w, s->summary, (pages + 63) / 64 * 8);
	add_range(w, s->words, pages * sizeof(*s->words));
	add_range(w, s->root, (s->root_mask + 1) * sizeof(*s->root));
	for (uint32_t i = 0; i < s->geo.n_threads; i++)
		if (order_load(&s->threads[i].lane_ready))
			add_range(w, s->lanes + (uint64_t)i * s->geo.lane_bytes,
			          s->geo.lane_bytes);
	for (uint32_t i = 0; i < pages; i++) {
		uint64_t word = order_load(&s->words[i]);

		if (word != PAGE_FREE)
			add_page(w, i, word);
	}
}

bool watch_changed(struct watch *w)
{
	bool changed = false;

	find_ranges(w);
	for (unsigned i = 0; i < w->n; i++) {
		const struct watch_range *r = &w->range[i];

		if (!memcmp(w->shadow + r->from, w->s->base + r->from,
		            r->bytes))
			continue;
		memcpy(w->shadow + r->from, w->s->base + r->from, r->bytes);
		changed = true;
	}
	return changed;
}

/* The next part of the file that is there, from *to on. */
static bool next_data(const struct watch *w, off_t *from, off_t *to)
{
	*from = lseek(w->s->fd, *to, SEEK_DATA);
	if (*from < 0)
		return false;
	*to = lseek(w->s->fd, *from, SEEK_HOLE);
	return true;
}

void watch_begin(struct watch *w, const struct wbci_segment *s)
{
	off_t from, to = 0;

	memset(w, 0, sizeof(*w));
	w->s = s;
	w->shadow = mmap(NULL, s->size, PROT_READ | PROT_WRITE,
	                 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (w->shadow == MAP_FAILED)
		tap_bail("no memory for a shadow");
	while (next_data(w, &from, &to))
		memcpy(w->shadow + from, s->base + from, (size_t)(to - from));
}

void watch_end(struct watch *w)
{
	munmap(w->shadow, w->s->size);
}

bool watch_missed(const struct watch *w)
{
	off_t from, to = 0;

	while (next_data(w, &from, &to))
		if (memcmp(w->shadow + from, w->s->base + from,
		           (size_t)(to - from)))
			return true;
	return false;
}
