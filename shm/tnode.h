/* SPDX-License-Identifier: MIT */
/* Copyright the wbcshm authors */

/*
 * Nodes of trees, for shm/tree*.c alone.
 *
 * A node that was read from the segment is bytes like any other: its shape
 * and each slot are loaded once and checked, and only the copies are used.
 * One that this section made may be changed in place.
 *
 * Nodes are built from a sequence: runs of items of other nodes, and single
 * new ones.  A split, a merge and an insertion are the same thing then, and
 * each node is written once, from its front to its end.
 */
#ifndef WBCI_TNODE_H
#define WBCI_TNODE_H

#include <string.h>

#include "tree.h"

#define WBCI_TNODE_HEAD sizeof(struct tnode_shm)
#define WBCI_TSLOT_BYTES sizeof(uint64_t)

/* In a ref: made by the same update as the node that holds it. */
#define WBCI_TREF_OURS UINT64_C(1)

struct wbci_titem {
	const unsigned char *key;
	const unsigned char *value;
	uint16_t key_len;
	uint16_t value_len;
	bool is_long;
};

static inline uint64_t wbci_load_once(const uint64_t *p)
{
	return *(const volatile uint64_t *)p;
}

/* A slot, taken apart. */
static inline unsigned wbci_tslot_at(uint64_t slot)
{
	return (unsigned)(slot & 0xffff);
}

static inline unsigned wbci_tslot_key_len(uint64_t slot)
{
	return (unsigned)(slot >> 16 & 0xffff);
}

static inline unsigned wbci_tslot_value_len(uint64_t slot)
{
	return (unsigned)(slot >> 32 & 0x7fff);
}

static inline bool wbci_tslot_is_long(uint64_t slot)
{
	return slot >> 47 & 1;
}

/* Bytes of its item in the heap. */
static inline unsigned wbci_tslot_heap(uint64_t slot)
{
	return wbci_tslot_key_len(slot) + wbci_tslot_value_len(slot);
}

/* The first two bytes of a key, as a number that compares as they do. */
static inline unsigned wbci_tkey_head(const unsigned char *key, unsigned len)
{
	return (len > 0 ? (unsigned)key[0] << 8 : 0) | (len > 1 ? key[1] : 0);
}

/* Bytes that an item takes in a node. */
static inline unsigned wbci_titem_bytes(const struct wbci_titem *item)
{
	return WBCI_TSLOT_BYTES + item->key_len + item->value_len;
}

/* An item of a node; false: it would not be inside of it. */
static inline bool wbci_titem_load(const struct wbci_tnode *n, unsigned i,
                                   struct wbci_titem *item)
{
	uint64_t slot = wbci_load_once(&n->shm->slot[i]);
	unsigned at = wbci_tslot_at(slot);

	if (at > n->bytes || wbci_tslot_heap(slot) > n->bytes - at ||
	    wbci_tslot_key_len(slot) > WBCI_TREE_KEY_MAX)
		return false;
	item->key_len = (uint16_t)wbci_tslot_key_len(slot);
	item->value_len = (uint16_t)wbci_tslot_value_len(slot);
	item->is_long = wbci_tslot_is_long(slot);
	item->key = (const unsigned char *)n->shm + at;
	item->value = item->key + item->key_len;
	return true;
}

/* A value that is a ref. */
static inline bool wbci_tref_load(const struct wbci_titem *item,
                                  struct tref_shm *ref)
{
	if (item->value_len != sizeof(*ref))
		return false;
	memcpy(ref, item->value, sizeof(*ref));
	/* What follows uses this copy. */
	order_compiler();
	return true;
}

static inline bool wbci_tref_get(const struct wbci_tnode *n, unsigned i,
                                 struct tref_shm *ref)
{
	struct wbci_titem item;

	return wbci_titem_load(n, i, &item) && wbci_tref_load(&item, ref);
}

static inline uint64_t wbci_tref_offset(uint64_t ref)
{
	return ref & ~(uint64_t)(WBCI_BLOCK_MIN - 1);
}

/* Where a new item's ref is a value. */
static inline struct wbci_titem wbci_titem_ref(const unsigned char *key,
                                               unsigned key_len,
                                               const struct tref_shm *ref)
{
	return (struct wbci_titem){key, (const unsigned char *)ref,
	                           (uint16_t)key_len, sizeof(*ref), false};
}

/* Load a node that stands at an offset; false: there can be none. */
bool wbci_tnode_load(const struct wbci_segment *s, uint64_t offset,
                     struct wbci_tnode *n);

/* The child that item @i of an inner node names. */
bool wbci_tnode_child(const struct wbci_segment *s, const struct wbci_tnode *n,
                      unsigned i, struct tref_shm *ref,
                      struct wbci_tnode *child);

/**
 * wbci_tnode_search() - where a key stands, or would
 * @i: receives the first item whose key is not below it, of an inner node the
 *     child that it is under
 *
 * Return: 1 if that item has the key, 0 if not, -1 if the node is damaged.
 */
int wbci_tnode_search(const struct wbci_tnode *n, const unsigned char *key,
                      unsigned key_len, unsigned *i);

/* Keys under a node; false: it is damaged. */
bool wbci_tnode_count(const struct wbci_tnode *n, uint64_t *count);

/* ---- building ---- */

/* Items [first, end) of a node, or, where that is NULL, one new item. */
struct wbci_trun {
	const struct wbci_tnode *from;
	unsigned first, end;
	const struct wbci_titem *item;
	bool ours; /* its refs stay marked so */
};

struct wbci_tseq {
	struct wbci_trun run[3];
	unsigned n;
};

/* The items of a node, with @gone of them at @i taken out and @item there. */
struct wbci_tseq wbci_tseq_change(const struct wbci_tnode *n, bool ours,
                                  unsigned i, unsigned gone,
                                  const struct wbci_titem *item);

/**
 * wbci_tseq_measure() - how many items there are, and their bytes in a node
 * Return: false if a node is damaged.
 */
bool wbci_tseq_measure(const struct wbci_tseq *seq, unsigned *items,
                       unsigned *bytes);

/* How many items fill so many bytes; @nearest: or one more if that is nearer.
 * At least one, and not all. */
unsigned wbci_tseq_cut(const struct wbci_tseq *seq, unsigned items,
                       unsigned bytes, bool nearest);

/**
 * wbci_tnode_build() - a new node of a part of a sequence, in a section
 * @first:  items from there on
 * @end:    ... to before there
 * @room:   bytes that shall stay free, if a node can have them
 * @n:      receives it: private, and undone by wbci_block_undo()
 *
 * Return: 0, -ENOSPC, or WBC_E_CORRUPT.
 */
int wbci_tnode_build(struct wbci_thread *t, const struct wbci_tseq *seq,
                     unsigned level, unsigned first, unsigned end,
                     unsigned room, struct wbci_tnode *n);

/* ---- changing a node that is ours ---- */

/**
 * wbci_tnode_change() - take out @gone items at @i and put one there
 * @item: NULL for none
 *
 * Return: false if there is no room; nothing was changed.
 */
bool wbci_tnode_change(struct wbci_tnode *n, unsigned i, unsigned gone,
                       const struct wbci_titem *item);

/* Put a ref where one stands; false: none does. */
bool wbci_tnode_set_ref(struct wbci_tnode *n, unsigned i,
                        const struct tref_shm *ref);

#endif
