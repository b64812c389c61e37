/* SPDX-License-Identifier: MIT */
/* Copyright the wbcshm authors */

#include "tnode.h"

#include <errno.h>

#include "../api/wbc_error.h"
#include "page.h"

static uint64_t shape_of(const struct wbci_tnode *n)
{
	return (uint64_t)n->level | (uint64_t)n->n << 8 |
	       (uint64_t)n->live << 16 | (uint64_t)n->heap << 32 |
	       (uint64_t)n->bytes << 48;
}

static uint64_t slot_of(unsigned at, const struct wbci_titem *item)
{
	return (uint64_t)at | (uint64_t)item->key_len << 16 |
	       (uint64_t)item->value_len << 32 | (uint64_t)item->is_long << 47 |
	       (uint64_t)wbci_tkey_head(item->key, item->key_len) << 48;
}

bool wbci_tnode_load(const struct wbci_segment *s, uint64_t offset,
                     struct wbci_tnode *n)
{
	uint64_t shape;

	if (!wbci_in_page(s, offset, sizeof(*n->shm)))
		return false;
	n->shm = wbci_at(s, offset);
	n->offset = offset;
	shape = wbci_load_once(&n->shm->shape);
	n->level = (uint8_t)shape;
	n->n = (uint8_t)(shape >> 8);
	n->live = (uint16_t)(shape >> 16);
	n->heap = (uint16_t)(shape >> 32);
	n->bytes = (uint16_t)(shape >> 48);
	return n->level < WBCI_TREE_LEVELS && (n->n > 0 || n->level == 0) &&
	       n->bytes <= WBCI_TREE_NODE_MAX &&
	       n->bytes <= WBCI_PAGE_BYTES - offset % WBCI_PAGE_BYTES &&
	       WBCI_TNODE_HEAD + n->n * WBCI_TSLOT_BYTES <= n->bytes;
}

bool wbci_tnode_child(const struct wbci_segment *s, const struct wbci_tnode *n,
                      unsigned i, struct tref_shm *ref,
                      struct wbci_tnode *child)
{
	struct wbci_titem item;

	return wbci_titem_load(n, i, &item) && wbci_tref_load(&item, ref) &&
	       wbci_tnode_load(s, wbci_tref_offset(ref->ref), child) &&
	       child->level + 1 == n->level && child->n > 0;
}

/* An item's key against another: below 0, 0, above 0.  2: it is damaged. */
static int compare(const struct wbci_tnode *n, unsigned i,
                   const unsigned char *key, unsigned key_len, unsigned head)
{
	unsigned its = (unsigned)(wbci_load_once(&n->shm->slot[i]) >> 48);
	struct wbci_titem item;
	unsigned len;
	int order;

	if (its != head)
		return its < head ? -1 : 1;
	if (!wbci_titem_load(n, i, &item))
		return 2;
	len = item.key_len < key_len ? item.key_len : key_len;
	order = len > 2 ? memcmp(item.key + 2, key + 2, len - 2) : 0;
	if (order)
		return order < 0 ? -1 : 1;
	return (item.key_len > key_len) - (item.key_len < key_len);
}

int wbci_tnode_search(const struct wbci_tnode *n, const unsigned char *key,
                      unsigned key_len, unsigned *i)
{
	unsigned head = wbci_tkey_head(key, key_len);
	/* What is below the second key of an inner node is under its first. */
	unsigned low = n->level > 0, high = n->n;

	while (low < high) {
		unsigned middle = (low + high) / 2;
		int order = compare(n, middle, key, key_len, head);

		if (order == 2)
			return -1;
		if (order == 0) {
			*i = middle;
			return 1;
		}
		if (order < 0)
			low = middle + 1;
		else
			high = middle;
	}
	*i = low - (n->level > 0);
	return 0;
}

bool wbci_tnode_count(const struct wbci_tnode *n, uint64_t *count)
{
	*count = n->n;
	if (n->level == 0)
		return true;
	*count = 0;
	for (unsigned i = 0; i < n->n; i++) {
		struct wbci_titem item;
		struct tref_shm ref;

		if (!wbci_titem_load(n, i, &item) ||
		    !wbci_tref_load(&item, &ref) ||
		    ref.count > UINT64_MAX - *count)
			return false;
		*count += ref.count;
	}
	return true;
}

struct wbci_tseq wbci_tseq_change(const struct wbci_tnode *n, bool ours,
                                  unsigned i, unsigned gone,
                                  const struct wbci_titem *item)
{
	struct wbci_tseq seq = {.n = 0};

	if (i > 0)
		seq.run[seq.n++] = (struct wbci_trun){n, 0, i, NULL, ours};
	if (item)
		seq.run[seq.n++] = (struct wbci_trun){NULL, 0, 1, item, true};
	if (i + gone < n->n)
		seq.run[seq.n++] =
			(struct wbci_trun){n, i + gone, n->n, NULL, ours};
	return seq;
}

/* What item @i of a run takes in a node. */
static unsigned item_bytes(const struct wbci_trun *run, unsigned i)
{
	if (!run->from)
		return wbci_titem_bytes(run->item);
	return WBCI_TSLOT_BYTES +
	       wbci_tslot_heap(wbci_load_once(&run->from->shm->slot[i]));
}

bool wbci_tseq_measure(const struct wbci_tseq *seq, unsigned *items,
                       unsigned *bytes)
{
	*items = *bytes = 0;
	for (unsigned r = 0; r < seq->n; r++) {
		const struct wbci_trun *run = &seq->run[r];

		for (unsigned i = run->first; i < run->end; i++)
			*bytes += item_bytes(run, i);
		*items += run->end - run->first;
	}
	/* Two nodes and an item, at the most. */
	return *bytes <= 3 * WBCI_TREE_NODE_MAX;
}

unsigned wbci_tseq_cut(const struct wbci_tseq *seq, unsigned items,
                       unsigned bytes, bool nearest)
{
	unsigned have = 0, cut = 0;

	for (unsigned r = 0; r < seq->n; r++) {
		const struct wbci_trun *run = &seq->run[r];

		for (unsigned i = run->first; i < run->end; i++) {
			unsigned more = item_bytes(run, i);

			if (have + (nearest ? more / 2 : more) > bytes)
				goto out;
			have += more;
			cut++;
		}
	}
out:
	if (cut == 0)
		return 1;
	return cut < items ? cut : items - 1;
}

/* ---- building ---- */

/* Refs of a node that is shared now. */
static void disown_item(struct wbci_tnode *n, unsigned i)
{
	uint64_t slot = n->shm->slot[i];
	unsigned char *value = (unsigned char *)n->shm + wbci_tslot_at(slot) +
	                       wbci_tslot_key_len(slot);
	uint64_t ref;

	if ((n->level == 0 && !wbci_tslot_is_long(slot)) ||
	    wbci_tslot_value_len(slot) != sizeof(struct tref_shm) ||
	    wbci_tslot_at(slot) + wbci_tslot_heap(slot) > n->bytes)
		return;
	memcpy(&ref, value, sizeof(ref));
	ref &= ~WBCI_TREF_OURS;
	memcpy(value, &ref, sizeof(ref));
}

/* Is there room for so many items, and so many bytes in the heap? */
static bool has_room(const struct wbci_tnode *n, unsigned items, unsigned bytes)
{
	unsigned slots = (n->n + items) * (unsigned)WBCI_TSLOT_BYTES;

	return WBCI_TNODE_HEAD + slots + bytes <= n->heap;
}

static bool append_item(struct wbci_tnode *n, const struct wbci_titem *item)
{
	unsigned char *to;

	/* It was measured before, but may be a stranger's. */
	if (!has_room(n, 1, item->key_len + item->value_len))
		return false;
	n->heap = (uint16_t)(n->heap - item->key_len - item->value_len);
	to = (unsigned char *)n->shm + n->heap;
	memcpy(to, item->key, item->key_len);
	memcpy(to + item->key_len, item->value, item->value_len);
	n->shm->slot[n->n++] = slot_of(n->heap, item);
	return true;
}

/* Where the items [first, end) of a node stand in its heap. */
struct extent {
	unsigned low, high;
	unsigned bytes; /* of the items alone */
	bool refs;      /* some values are refs */
};

static bool find_extent(const struct wbci_tnode *from, unsigned first,
                        unsigned end, struct extent *x)
{
	uint64_t all = 0;

	*x = (struct extent){from->bytes, 0, 0, false};
	for (unsigned i = first; i < end; i++) {
		uint64_t slot = wbci_load_once(&from->shm->slot[i]);
		unsigned low = wbci_tslot_at(slot);
		unsigned high = low + wbci_tslot_heap(slot);

		x->low = low < x->low ? low : x->low;
		x->high = high > x->high ? high : x->high;
		x->bytes += high - low;
		all |= slot;
	}
	x->refs = from->level > 0 || wbci_tslot_is_long(all);
	return x->high <= from->bytes;
}

/* Items that fill their part of the heap are copied at once. */
static void append_extent(struct wbci_tnode *n, const struct wbci_trun *run,
                          unsigned first, unsigned end, const struct extent *x)
{
	const struct tnode_shm *from = run->from->shm;
	uint64_t *slots = &n->shm->slot[n->n];
	unsigned count = end - first;

	n->heap = (uint16_t)(n->heap - x->bytes);
	memcpy((unsigned char *)n->shm + n->heap,
	       (const unsigned char *)from + x->low, x->bytes);
	/* In all slots at once: none leaves the node. */
	for (unsigned i = 0; i < count; i++)
		slots[i] = wbci_load_once(&from->slot[first + i]) + n->heap -
		           x->low;
	n->n = (uint8_t)(n->n + count);
}

static bool append_run(struct wbci_tnode *n, const struct wbci_trun *run,
                       unsigned first, unsigned end)
{
	unsigned had = n->n;
	struct extent x;

	if (!run->from)
		return append_item(n, run->item);
	if (!find_extent(run->from, first, end, &x))
		return false;
	if (x.high - x.low == x.bytes && has_room(n, end - first, x.bytes)) {
		append_extent(n, run, first, end, &x);
	} else {
		for (unsigned i = first; i < end; i++) {
			struct wbci_titem item;

			if (!wbci_titem_load(run->from, i, &item) ||
			    !append_item(n, &item))
				return false;
		}
	}
	for (unsigned i = had; x.refs && !run->ours && i < n->n; i++)
		disown_item(n, i);
	return true;
}

/* A block for a node of so many live bytes. */
static int begin_node(struct wbci_thread *t, unsigned level, unsigned live,
                      unsigned room, struct wbci_tnode *n)
{
	unsigned want = live + room < WBCI_TREE_NODE_MAX ? live + room
	                                                 : WBCI_TREE_NODE_MAX;
	int error;

	if (live > WBCI_TREE_NODE_MAX)
		return WBC_E_CORRUPT;
	error = wbci_block_alloc(t, PAGE_BLOCKS, want, &n->offset);
	if (error)
		return error;
	n->shm = wbci_at(&t->client->segment, n->offset);
	n->level = (uint8_t)level;
	n->n = 0;
	n->live = (uint16_t)live;
	n->bytes = n->heap = (uint16_t)wbci_class_bytes[wbci_class_of(want)];
	n->shm->version = n->shm->tag = n->shm->reserved = 0;
	return 0;
}

/* The part of a run that is in [first, end) of a sequence. */
static void clip(const struct wbci_trun *run, unsigned before, unsigned first,
                 unsigned end, unsigned *from, unsigned *to)
{
	unsigned n = run->end - run->first;
	unsigned skip = first > before ? first - before : 0;
	unsigned take = end > before ? end - before : 0;

	*from = run->first + (skip < n ? skip : n);
	*to = run->first + (take < n ? take : n);
}

int wbci_tnode_build(struct wbci_thread *t, const struct wbci_tseq *seq,
                     unsigned level, unsigned first, unsigned end,
                     unsigned room, struct wbci_tnode *n)
{
	unsigned live = WBCI_TNODE_HEAD, before = 0, from, to;
	int error;

	for (unsigned r = 0; r < seq->n; r++) {
		clip(&seq->run[r], before, first, end, &from, &to);
		for (unsigned i = from; i < to; i++)
			live += item_bytes(&seq->run[r], i);
		before += seq->run[r].end - seq->run[r].first;
	}
	error = begin_node(t, level, live, room, n);
	before = 0;
	for (unsigned r = 0; r < seq->n && !error; r++) {
		clip(&seq->run[r], before, first, end, &from, &to);
		if (from < to && !append_run(n, &seq->run[r], from, to)) {
			wbci_block_undo(t, n->offset);
			return WBC_E_CORRUPT;
		}
		before += seq->run[r].end - seq->run[r].first;
	}
	if (!error)
		n->shm->shape = shape_of(n);
	return error;
}

/* ---- changing a node that is ours ---- */

/* Another value for the same key, in the place of the old one. */
static bool change_value(struct wbci_tnode *n, unsigned i,
                         const struct wbci_titem *item)
{
	uint64_t slot = n->shm->slot[i];
	unsigned at = wbci_tslot_at(slot);
	unsigned had = wbci_tslot_value_len(slot);
	unsigned char *key = (unsigned char *)n->shm + at;

	if (at + wbci_tslot_heap(slot) > n->bytes ||
	    wbci_tslot_key_len(slot) != item->key_len ||
	    item->value_len > had || memcmp(key, item->key, item->key_len) != 0)
		return false;
	memcpy(key + item->key_len, item->value, item->value_len);
	n->shm->slot[i] = slot_of(at, item);
	n->live = (uint16_t)(n->live - had + item->value_len);
	return true;
}

bool wbci_tnode_change(struct wbci_tnode *n, unsigned i, unsigned gone,
                       const struct wbci_titem *item)
{
	uint64_t *slots = n->shm->slot;
	unsigned need = item ? item->key_len + item->value_len : 0;
	unsigned after = n->n - gone + (item ? 1 : 0);
	unsigned rest = n->n - i - gone;

	if (item && gone == 1 && change_value(n, i, item)) {
		n->shm->shape = shape_of(n);
		return true;
	}
	if (item && WBCI_TNODE_HEAD + after * WBCI_TSLOT_BYTES + need > n->heap)
		return false;
	if (gone == 1)
		n->live = (uint16_t)(n->live - WBCI_TSLOT_BYTES -
		                     wbci_tslot_heap(slots[i]));
	memmove(&slots[i + (item ? 1 : 0)], &slots[i + gone],
	        rest * sizeof(*slots));
	n->n = (uint8_t)after;
	if (item) {
		unsigned char *to;

		n->heap = (uint16_t)(n->heap - need);
		to = (unsigned char *)n->shm + n->heap;
		memcpy(to, item->key, item->key_len);
		memcpy(to + item->key_len, item->value, item->value_len);
		slots[i] = slot_of(n->heap, item);
		n->live = (uint16_t)(n->live + wbci_titem_bytes(item));
	}
	n->shm->shape = shape_of(n);
	return true;
}

bool wbci_tnode_set_ref(struct wbci_tnode *n, unsigned i,
                        const struct tref_shm *ref)
{
	struct wbci_titem item;

	if (!wbci_titem_load(n, i, &item) || item.value_len != sizeof(*ref))
		return false;
	memcpy((unsigned char *)n->shm + (item.value - (unsigned char *)n->shm),
	       ref, sizeof(*ref));
	return true;
}
