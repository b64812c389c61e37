/* SPDX-License-Identifier: MIT */
/* Copyright the wbcshm authors */

/*
 * Trees: copy-on-write maps of byte strings, in the order of memcmp() and
 * then length.
 *
 * who                     may call
 * any thread, in section  wbci_tree_begin to _abort, _update, _retire
 * anybody                 what reads; where the tree may be changed
 *                         meanwhile, in a section
 *
 * A tree hangs on one word that its user owns: an order_u64 of an entry, or a
 * value elsewhere.  An update builds new nodes privately, shares the rest with
 * the tree it began with, and is published by one compare-and-swap of that
 * word; so who loads the word has a snapshot, which stays whole until his
 * section ends.
 *
 * Invariants:
 *  - What a word names is immutable.
 *  - No word recurs: each update that changes something has a root of its own,
 *    also one that leaves the tree empty, and a root is retired by whoever
 *    took it out of the word.  So a plain compare-and-swap within the section
 *    that loaded the word is safe.
 *  - A node and a long value have one place in a tree.
 *  - New blocks are private to the section: with no room, all is given back,
 *    the caller leaves the section, waits, and does all of it again.
 *
 * Killed before the compare-and-swap, an update leaves blocks that nothing
 * reaches; killed after it, the old ones that it did not retire: both are the
 * sweep's business.  Progress: lock-free.
 */
#ifndef WBCI_TREE_H
#define WBCI_TREE_H

#include "client.h"

#define WBCI_TREE_KEY_MAX 255u    /* bytes of a key; 0 is a key, too */
#define WBCI_TREE_INLINE_MAX 256u /* bytes of a value that is not long */
#define WBCI_TREE_NODE_MAX 2048u  /* bytes of a node; a size class */
#define WBCI_TREE_NODE_MIN 512u   /* live ones, but in a root */
#define WBCI_TREE_LEVELS 24u

/* What a root's word names, and whether the tree has no keys. */
#define WBCI_TREE_EMPTY UINT64_C(1)

static inline uint64_t wbci_tree_offset(uint64_t root)
{
	return root & ~(uint64_t)(WBCI_BLOCK_MIN - 1);
}

static inline bool wbci_tree_is_empty(uint64_t root)
{
	return root == 0 || (root & WBCI_TREE_EMPTY) != 0;
}

/* ---- reading: all of it for hostile bytes, too ---- */

/* A value where it stands; good while the tree is. */
struct wbci_tree_value {
	const unsigned char *p; /* NULL: it is long */
	uint32_t bytes;
	uint64_t offset; /* of the long string, else 0 */
};

struct wbci_tree_item {
	const unsigned char *key;
	uint16_t key_len; /* at most WBCI_TREE_KEY_MAX */
	struct wbci_tree_value value;
};

/**
 * wbci_tree_find() - the value of a key
 * @root:  the word, as the caller loaded it
 * @value: receives where it is
 *
 * Return: 0, -ENOENT, or WBC_E_CORRUPT.
 */
int wbci_tree_find(const struct wbci_segment *s, uint64_t root, const void *key,
                   uint16_t key_len, struct wbci_tree_value *value);

/**
 * wbci_tree_copy() - copy a value out, wherever it stands
 * @bytes: receives its length, also if that is more than @room
 *
 * Return: 0, -E2BIG (more than @room; nothing is copied), or WBC_E_CORRUPT.
 */
int wbci_tree_copy(const struct wbci_segment *s,
                   const struct wbci_tree_value *value, void *to, uint32_t room,
                   uint32_t *bytes);

/**
 * wbci_tree_version() - the version that a root bears
 * Return: 0 for a word that was never set, or names no block.
 */
static inline uint64_t wbci_tree_version(const struct wbci_segment *s,
                                         uint64_t root)
{
	uint64_t offset = wbci_tree_offset(root);
	const struct tnode_shm *node = wbci_at(s, offset);

	if (!wbci_in_page(s, offset, sizeof(*node)))
		return 0;
	return *(const volatile uint64_t *)&node->version;
}

/**
 * wbci_tree_count() - how many keys there are, in the time of one node
 * Return: 0 or WBC_E_CORRUPT.
 */
int wbci_tree_count(const struct wbci_segment *s, uint64_t root, uint64_t *n);

/* A node as its reader has it: the shape is loaded once. */
struct wbci_tnode {
	struct tnode_shm *shm;
	uint64_t offset;
	uint16_t live;
	uint16_t heap;
	uint16_t bytes;
	uint8_t level;
	uint8_t n;
};

/* A place between two items; the path to it. */
struct wbci_tree_cursor {
	const struct wbci_segment *s;
	uint64_t budget; /* nodes that may be entered yet */
	unsigned depth;  /* of the path; 0: nothing comes */
	struct wbci_tnode node[WBCI_TREE_LEVELS];
	uint8_t at[WBCI_TREE_LEVELS];
};

/**
 * wbci_tree_seek() - before the first item whose key is not below @key
 *
 * All that comes is of the tree as the word @root names it.  Whoever reads
 * hostile bytes looks at the count first: a cursor enters no more nodes than
 * a sound tree with so many keys can have.
 *
 * Return: 0 or WBC_E_CORRUPT.
 */
int wbci_tree_seek(struct wbci_tree_cursor *c, const struct wbci_segment *s,
                   uint64_t root, const void *key, uint16_t key_len);

/* The same, before the item that has @index others before it. */
int wbci_tree_seek_index(struct wbci_tree_cursor *c,
                         const struct wbci_segment *s, uint64_t root,
                         uint64_t index);

/**
 * wbci_tree_next() - the next item
 * Return: 1, 0 at the end, or WBC_E_CORRUPT.
 */
int wbci_tree_next(struct wbci_tree_cursor *c, struct wbci_tree_item *item);

/* @bytes: how many of the block at @offset are in use, or are its size.
 * Return: false if the block was met before, and its children with it. */
typedef bool wbci_tree_block_fn(void *arg, uint64_t offset, uint64_t bytes);

/**
 * wbci_tree_visit() - each block that a root's word keeps alive
 *
 * A node comes before what hangs below it.  For the mark-sweep and audits.
 *
 * Return: 0, or WBC_E_CORRUPT: what could be told to be its blocks was visited.
 */
int wbci_tree_visit(const struct wbci_segment *s, uint64_t root,
                    wbci_tree_block_fn *visit, void *arg);

/* ---- changing ---- */

#define WBCI_TREE_OLD 64u

/* One update, of any number of keys. */
struct wbci_tree_edit {
	struct wbci_thread *t;
	uint64_t was;     /* the root's word */
	uint64_t top;     /* what there is now: offset | 1 if it is ours */
	uint64_t version; /* that the new root will bear; may be set */
	int error;        /* the first one; nothing is done any more */
	bool changed;     /* there will be a new root */
	bool placed;      /* what is being put is in a node that is ours */
	bool loose;       /* some of our nodes may be larger than needed */
	uint16_t n_old;
	uint64_t spilled;            /* a block with more of the list below */
	uint64_t old[WBCI_TREE_OLD]; /* offset | 1 if long: to be retired */
};

/**
 * wbci_tree_begin() - begin an update, in a section that ends after it
 * @root: the word, as it was loaded in this section
 *
 * The version is set to the root's plus one.  Ends with wbci_tree_publish(),
 * wbci_tree_commit() or wbci_tree_abort().
 */
void wbci_tree_begin(struct wbci_tree_edit *e, struct wbci_thread *t,
                     uint64_t root);

/**
 * wbci_tree_put() - give a key a value
 * @key:   at most WBCI_TREE_KEY_MAX bytes, copied
 * @value: copied; up to WBCI_LONG_MAX bytes
 *
 * Return: 0, -E2BIG, -ENOSPC, or WBC_E_CORRUPT.  Errors stay: then
 * wbci_tree_finish() fails likewise, and wbci_tree_abort() must be called.
 */
int wbci_tree_put(struct wbci_tree_edit *e, const void *key, uint16_t key_len,
                  const void *value, uint32_t bytes);

/**
 * wbci_tree_delete() - take a key out
 *
 * This takes memory, too, also for what becomes empty.
 *
 * Return: 0, -ENOENT (which does not stay), or as wbci_tree_put().
 */
int wbci_tree_delete(struct wbci_tree_edit *e, const void *key,
                     uint16_t key_len);

/**
 * wbci_tree_finish() - make the new root's word
 * @root: receives it; the old word where nothing was changed
 *
 * Return: 0, or the first error.
 */
int wbci_tree_finish(struct wbci_tree_edit *e, uint64_t *root);

/* The word was put where the old one was: retire what it replaced. */
void wbci_tree_commit(struct wbci_tree_edit *e);

/* It was not: give back what was new. */
void wbci_tree_abort(struct wbci_tree_edit *e);

/**
 * wbci_tree_publish() - put the new root's word where the old one was
 *
 * Return: true if that was done, and committed; false if the word had changed,
 * and it was aborted.
 */
bool wbci_tree_publish(struct wbci_tree_edit *e, order_u64 *at, uint64_t root);

/**
 * wbci_tree_change_fn - changes a tree, once for each attempt
 *
 * Return: 0, or an error, with which the update ends.
 */
typedef int wbci_tree_change_fn(struct wbci_tree_edit *e, void *arg);

/**
 * wbci_tree_update() - change the tree of a word, in a section
 * @at: the word
 *
 * Return: 0; what @change returned; -ENOSPC: leave the section,
 * wbci_memory_wait(), and do all of it again; or WBC_E_CORRUPT.
 */
int wbci_tree_update(struct wbci_thread *t, order_u64 *at,
                     wbci_tree_change_fn *change, void *arg);

/**
 * wbci_tree_retire() - hand over a whole tree, whose word was just unlinked
 *
 * In the section of the unlinking, by the one who did it.
 *
 * Return: 0 or WBC_E_CORRUPT; what could be told to be its blocks is retired.
 */
int wbci_tree_retire(struct wbci_thread *t, uint64_t root);

#endif
