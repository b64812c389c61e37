/* SPDX-License-Identifier: MIT */
/* Copyright the wbcshm authors */

#include "walk.h"

#include <errno.h>
#include <stdlib.h>

uint32_t wbci_page_blocks(uint64_t word)
{
	unsigned class = wbci_page_class(word);

	if (wbci_page_kind(word) == PAGE_FREE || class >= WBCI_CLASSES)
		return 0;
	return WBCI_PAGE_BYTES / wbci_class_bytes[class];
}

bool wbci_block_find(const struct wbci_segment *s, uint64_t offset,
                     uint32_t *page, uint32_t *block, uint64_t *word)
{
	uint32_t bytes, within;

	if (!wbci_in_page(s, offset, WBCI_BLOCK_MIN))
		return false;
	*page = wbci_page_of(s, offset);
	/* ORDER page.claim, acquire: the bitmaps are this kind's. */
	*word = order_acquire(&s->words[*page]);
	if (wbci_page_blocks(*word) == 0)
		return false;
	bytes = wbci_class_bytes[wbci_page_class(*word)];
	within = (uint32_t)((offset - s->geo.extents_off) % WBCI_PAGE_BYTES);
	*block = within / bytes;
	return within % bytes == 0 && *block < wbci_page_blocks(*word);
}

bool wbci_entry_marked(const struct wbci_segment *s, uint64_t offset)
{
	uint32_t page, block;
	uint64_t word;

	if (!wbci_block_find(s, offset, &page, &block, &word))
		return false;
	/* Relaxed: a mark is a hint, whoever sees it looks at the cells. */
	return order_load(&s->metas[page].dirty[block / 64]) >> block % 64 & 1;
}

/* Which blocks were met, a bit for each 64 bytes of the extents. */
struct walk {
	const struct wbci_segment *s;
	int (*visit)(void *arg, const struct wbci_step *step);
	void *arg;
	uint64_t *met;
	uint64_t end; /* bytes of extents that @met covers */
	struct wbci_step step;
};

static bool meet(struct walk *w, uint64_t offset)
{
	uint64_t unit = (offset - w->s->geo.extents_off) / WBCI_BLOCK_MIN;
	uint64_t bit = UINT64_C(1) << unit % 64;
	bool known = w->met[unit / 64] & bit;

	w->met[unit / 64] |= bit;
	return known;
}

/* Look at one word; @enter receives whether it is a node to go into. */
static int visit_word(struct walk *w, uint64_t at, bool *enter)
{
	const struct wbci_segment *s = w->s;
	struct wbci_step *step = &w->step;
	uint32_t page, block;
	order_u64 *word = wbci_at(s, at);
	uint64_t page_word;

	*enter = false;
	/* ORDER index.publish, acquire: what it names is whole. */
	step->word = order_acquire(word);
	if (step->word == INDEX_EMPTY)
		return 0;
	step->at = at;
	step->tag = (enum index_tag)(step->word & 3);
	step->target = (step->word >> 20) * WBCI_BLOCK_MIN;
	/* More extents may be committed than when the walk began. */
	step->sound =
		wbci_block_find(s, step->target, &page, &block, &page_word) &&
		step->target - s->geo.extents_off < w->end;
	step->known = step->sound && meet(w, step->target);
	*enter = step->sound && !step->known &&
	         (step->tag == INDEX_NODE || step->tag == INDEX_CLOSING) &&
	         wbci_class_bytes[wbci_page_class(page_word)] >=
	                 sizeof(struct node_shm);
	return w->visit(w->arg, step);
}

/* All below one root word; the path is the stack. */
static int walk_root(struct walk *w, uint64_t root)
{
	uint64_t node[WBCI_INDEX_DEPTH_MAX + 1];
	unsigned depth = 0;
	bool enter;
	int rc;

	w->step.root = root;
	w->step.depth = 0;
	rc = visit_word(w, w->s->geo.root_off + root * sizeof(uint64_t),
	                &enter);
	if (rc || !enter)
		return rc;
	node[depth = 1] = w->step.target;
	w->step.digit[1] = 0;
	while (depth > 0) {
		uint8_t digit = w->step.digit[depth];

		if (digit == WBCI_NODE_WORDS) {
			if (--depth > 0)
				w->step.digit[depth]++;
			continue;
		}
		w->step.depth = depth;
		rc = visit_word(w, node[depth] + digit * sizeof(uint64_t),
		                &enter);
		if (rc)
			return rc;
		if (enter && depth < WBCI_INDEX_DEPTH_MAX) {
			node[++depth] = w->step.target;
			w->step.digit[depth] = 0;
		} else {
			w->step.digit[depth]++;
		}
	}
	return 0;
}

int wbci_index_walk(const struct wbci_segment *s,
                    int (*visit)(void *arg, const struct wbci_step *step),
                    void *arg)
{
	struct walk w = {.s = s, .visit = visit, .arg = arg};
	uint64_t n_root = UINT64_C(1) << s->geo.root_bits;
	int rc = 0;

	w.end = (uint64_t)wbci_committed(s) * WBCI_EXTENT_BYTES;
	w.met = calloc(w.end / WBCI_BLOCK_MIN / 64 + 1, sizeof(uint64_t));
	if (!w.met)
		return -ENOMEM;
	for (uint64_t root = 0; root < n_root && !rc; root++)
		rc = walk_root(&w, root);
	free(w.met);
	return rc;
}
