/* SPDX-License-Identifier: MIT */
/* Copyright the wbcshm authors */

/*
 * Updates of trees, from within: the way from the root to a leaf, and changes
 * along it.  For shm/tree_edit.c and shm/tree_path.c alone.
 */
#ifndef WBCI_TREE_PATH_H
#define WBCI_TREE_PATH_H

#include "tnode.h"

/* From the root to a leaf. */
struct wbci_tpath {
	unsigned leaf; /* its depth: the root's is 0 */
	struct wbci_tnode node[WBCI_TREE_LEVELS];
	bool ours[WBCI_TREE_LEVELS];
	unsigned at[WBCI_TREE_LEVELS]; /* child, or item of the leaf */
};

static inline const struct wbci_segment *
wbci_tree_segment(const struct wbci_tree_edit *e)
{
	return &e->t->client->segment;
}

/* A node has no place in the tree any more; its children may. */
void wbci_tree_drop(struct wbci_tree_edit *e, const struct wbci_tnode *n,
                    bool ours);

/* Give back a node of ours, and all of ours that hangs below it: no deeper
 * than a tree has levels. */
void wbci_tree_undo(struct wbci_tree_edit *e, uint64_t ref);

/* Find a key's leaf.  Return: 1 if the key is there, 0, or an error. */
int wbci_tpath_find(struct wbci_tree_edit *e, const unsigned char *key,
                    unsigned key_len, struct wbci_tpath *p);

/* Make all above the leaf ours, and count one key more or less below them. */
int wbci_tpath_own(struct wbci_tree_edit *e, struct wbci_tpath *p, int more);

/**
 * wbci_tpath_change() - take out @gone items of a node, and put one there
 * @d:    depth of the node; all above it is ours
 * @i:    which item
 * @item: NULL for none
 *
 * Return: 0, 1 if the node was split (then the path ends above it, if that was
 * not split too), or an error.
 */
int wbci_tpath_change(struct wbci_tree_edit *e, struct wbci_tpath *p,
                      unsigned d, unsigned i, unsigned gone,
                      const struct wbci_titem *item);

/* From a depth up, join what is too small with a neighbour. */
int wbci_tpath_settle(struct wbci_tree_edit *e, struct wbci_tpath *p,
                      unsigned d);

#endif
