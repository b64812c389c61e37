/* SPDX-License-Identifier: MIT */
/* Copyright the wbcshm authors */

#include "tree_path.h"

#include <errno.h>

#include "../api/wbc_error.h"
#include "page.h"

int wbci_tpath_find(struct wbci_tree_edit *e, const unsigned char *key,
                    unsigned key_len, struct wbci_tpath *p)
{
	const struct wbci_segment *s = wbci_tree_segment(e);
	struct tref_shm ref = {e->top, 0};
	unsigned d = 0;
	int found;

	p->ours[0] = e->top & WBCI_TREF_OURS;
	if (!wbci_tnode_load(s, wbci_tref_offset(e->top), &p->node[0]))
		return WBC_E_CORRUPT;
	for (;;) {
		struct wbci_tnode *n = &p->node[d];

		found = wbci_tnode_search(n, key, key_len, &p->at[d]);
		if (found < 0)
			return WBC_E_CORRUPT;
		if (n->level == 0)
			break;
		if (!wbci_tnode_child(s, n, p->at[d], &ref, &p->node[d + 1]))
			return WBC_E_CORRUPT;
		p->ours[d + 1] = p->ours[d] && (ref.ref & WBCI_TREF_OURS);
		d++;
	}
	p->leaf = d;
	return found;
}

/* A node of ours takes the place of the one at depth @d. */
static int put_node(struct wbci_tree_edit *e, struct wbci_tpath *p, unsigned d,
                    const struct wbci_tnode *n)
{
	struct wbci_tnode was = p->node[d];
	bool ours = p->ours[d];
	struct tref_shm ref;

	if (d == 0) {
		e->top = n->offset | WBCI_TREF_OURS;
	} else {
		if (!wbci_tref_get(&p->node[d - 1], p->at[d - 1], &ref)) {
			wbci_block_undo(e->t, n->offset);
			return WBC_E_CORRUPT;
		}
		ref.ref = n->offset | WBCI_TREF_OURS;
		wbci_tnode_set_ref(&p->node[d - 1], p->at[d - 1], &ref);
	}
	wbci_tree_drop(e, &was, ours);
	p->node[d] = *n;
	p->ours[d] = true;
	return 0;
}

int wbci_tpath_own(struct wbci_tree_edit *e, struct wbci_tpath *p, int more)
{
	for (unsigned d = 0; d < p->leaf; d++) {
		struct wbci_tnode *n = &p->node[d];
		struct tref_shm ref;

		if (!p->ours[d]) {
			struct wbci_tseq seq =
				wbci_tseq_change(n, false, n->n, 0, NULL);
			struct wbci_tnode copy;
			int error = wbci_tnode_build(e->t, &seq, n->level, 0,
			                             n->n, 0, &copy);

			if (!error)
				error = put_node(e, p, d, &copy);
			if (error)
				return error;
		}
		if (!wbci_tref_get(n, p->at[d], &ref))
			return WBC_E_CORRUPT;
		ref.count += (uint64_t)(int64_t)more;
		wbci_tnode_set_ref(n, p->at[d], &ref);
	}
	return 0;
}

/* ---- changing an item of a node ---- */

/* A key that stands between two nodes: the shortest above the left one's
 * last, and not above the right one's first. */
static bool find_separator(const struct wbci_tnode *left,
                           const struct wbci_tnode *right,
                           struct wbci_titem *item)
{
	struct wbci_titem last;
	unsigned same = 0;

	if (!wbci_titem_load(left, left->n - 1u, &last) ||
	    !wbci_titem_load(right, 0, item))
		return false;
	if (right->level > 0)
		return true;
	while (same < last.key_len && same < item->key_len &&
	       last.key[same] == item->key[same])
		same++;
	if (same < item->key_len)
		item->key_len = (uint16_t)(same + 1);
	return true;
}

/* Two nodes of ours in one's place, as they are named from above. */
struct halves {
	struct wbci_tnode left, right;
	struct tref_shm left_ref, right_ref;
	struct wbci_titem right_item; /* its key is in the right one */
};

static int build_halves(struct wbci_tree_edit *e, const struct wbci_tseq *seq,
                        unsigned level, unsigned cut, unsigned items,
                        struct halves *h)
{
	int error = wbci_tnode_build(e->t, seq, level, 0, cut, 0, &h->left);

	if (error)
		return error;
	error = wbci_tnode_build(e->t, seq, level, cut, items, 0, &h->right);
	if (error) {
		wbci_block_undo(e->t, h->left.offset);
		return error;
	}
	h->left_ref.ref = h->left.offset | WBCI_TREF_OURS;
	h->right_ref.ref = h->right.offset | WBCI_TREF_OURS;
	if (!wbci_tnode_count(&h->left, &h->left_ref.count) ||
	    !wbci_tnode_count(&h->right, &h->right_ref.count) ||
	    !find_separator(&h->left, &h->right, &h->right_item)) {
		wbci_block_undo(e->t, h->left.offset);
		wbci_block_undo(e->t, h->right.offset);
		return WBC_E_CORRUPT;
	}
	h->right_item = wbci_titem_ref(h->right_item.key, h->right_item.key_len,
	                               &h->right_ref);
	return 0;
}

/* A root above two halves of the one that was. */
static int grow_root(struct wbci_tree_edit *e, unsigned level,
                     const struct halves *h)
{
	struct wbci_titem left =
		wbci_titem_ref((const unsigned char *)"", 0, &h->left_ref);
	struct wbci_tseq seq = {.run = {{NULL, 0, 1, &left, true},
	                                {NULL, 0, 1, &h->right_item, true}},
	                        .n = 2};
	struct wbci_tnode root;
	int error;

	e->top = h->left_ref.ref;
	error = level < WBCI_TREE_LEVELS
	                ? wbci_tnode_build(e->t, &seq, level, 0, 2, 0, &root)
	                : -E2BIG;
	if (error)
		wbci_tree_undo(e, h->right_ref.ref);
	else
		e->top = root.offset | WBCI_TREF_OURS;
	return error;
}

/* Put a sequence that is too large for one node in the place of the one at
 * depth @d.  Return: 1, or an error. */
static int split(struct wbci_tree_edit *e, struct wbci_tpath *p, unsigned d,
                 const struct wbci_tseq *seq, unsigned items, unsigned bytes)
{
	struct wbci_tnode was = p->node[d];
	/* What grows at its end keeps little room elsewhere. */
	bool at_end = seq->n > 0 && !seq->run[seq->n - 1].from;
	unsigned cut = wbci_tseq_cut(
		seq, items, at_end ? bytes / 4 * 3 : bytes / 2, !at_end);
	struct halves h;
	int error = build_halves(e, seq, was.level, cut, items, &h);

	if (error)
		return error;
	e->placed = true;
	if (d == 0) {
		error = grow_root(e, was.level + 1u, &h);
		wbci_tree_drop(e, &was, p->ours[0]);
		return error ? error : 1;
	}
	wbci_tnode_set_ref(&p->node[d - 1], p->at[d - 1], &h.left_ref);
	wbci_tree_drop(e, &was, p->ours[d]);
	error = wbci_tpath_change(e, p, d - 1, p->at[d - 1] + 1, 0,
	                          &h.right_item);
	if (error < 0)
		wbci_tree_undo(e, h.right_ref.ref);
	return error < 0 ? error : 1;
}

int wbci_tpath_change(struct wbci_tree_edit *e, struct wbci_tpath *p,
                      unsigned d, unsigned i, unsigned gone,
                      const struct wbci_titem *item)
{
	struct wbci_tnode *n = &p->node[d], built;
	struct wbci_tseq seq;
	unsigned items, bytes, room;
	int error;

	if (p->ours[d] && wbci_tnode_change(n, i, gone, item)) {
		e->loose |= gone > 0;
		e->placed = true;
		return 0;
	}
	seq = wbci_tseq_change(n, p->ours[d], i, gone, item);
	if (!wbci_tseq_measure(&seq, &items, &bytes))
		return WBC_E_CORRUPT;
	if (WBCI_TNODE_HEAD + bytes > WBCI_TREE_NODE_MAX)
		return split(e, p, d, &seq, items, bytes);
	/* What was changed twice is likely to be changed again. */
	room = p->ours[d] ? (unsigned)(WBCI_TNODE_HEAD + bytes) / 2 : 0;
	e->loose |= room > 0;
	error = wbci_tnode_build(e->t, &seq, n->level, 0, items, room, &built);
	if (!error)
		error = put_node(e, p, d, &built);
	e->placed |= !error;
	return error;
}

/* ---- nodes that are too small ---- */

/* Children @i and @i + 1 of the node above depth @d. */
struct pair {
	unsigned i;
	struct wbci_tnode left, right;
	struct tref_shm left_ref, right_ref;
};

/* The node at depth @d and a neighbour.  Return: 1, 0 if it has none. */
static int find_pair(struct wbci_tree_edit *e, const struct wbci_tpath *p,
                     unsigned d, struct pair *pair)
{
	const struct wbci_segment *s = wbci_tree_segment(e);
	const struct wbci_tnode *above = &p->node[d - 1];
	unsigned i = p->at[d - 1];
	bool found;

	if (above->n < 2)
		return 0;
	pair->left = pair->right = p->node[d];
	if (i > 0) {
		pair->i = i - 1;
		found = wbci_tnode_child(s, above, i - 1, &pair->left_ref,
		                         &pair->left) &&
		        wbci_tref_get(above, i, &pair->right_ref);
	} else {
		pair->i = 0;
		found = wbci_tnode_child(s, above, 1, &pair->right_ref,
		                         &pair->right) &&
		        wbci_tref_get(above, 0, &pair->left_ref);
	}
	return found ? 1 : WBC_E_CORRUPT;
}

/*
 * Make one node of two, or halves of the same size, which takes no more room
 * above than before but for the key between them.
 *
 * Return: 0, 1 if a node above was split, or an error.
 */
static int join(struct wbci_tree_edit *e, struct wbci_tpath *p, unsigned d,
                const struct pair *pair)
{
	struct wbci_tnode *above = &p->node[d - 1], one;
	bool left_ours = pair->left_ref.ref & WBCI_TREF_OURS;
	bool right_ours = pair->right_ref.ref & WBCI_TREF_OURS;
	struct wbci_tseq seq = {
		.run = {{&pair->left, 0, pair->left.n, NULL, left_ours},
	                {&pair->right, 0, pair->right.n, NULL, right_ours}},
		.n = 2};
	unsigned items, bytes;
	struct halves h;
	int error;

	if (!wbci_tseq_measure(&seq, &items, &bytes))
		return WBC_E_CORRUPT;
	if (WBCI_TNODE_HEAD + bytes <= WBCI_TREE_NODE_MAX) {
		struct tref_shm ref;

		error = wbci_tnode_build(e->t, &seq, pair->left.level, 0, items,
		                         0, &one);
		if (error)
			return error;
		ref.ref = one.offset | WBCI_TREF_OURS;
		ref.count = pair->left_ref.count + pair->right_ref.count;
		wbci_tnode_set_ref(above, pair->i, &ref);
		wbci_tree_drop(e, &pair->left, left_ours);
		wbci_tree_drop(e, &pair->right, right_ours);
		return wbci_tpath_change(e, p, d - 1, pair->i + 1, 1, NULL);
	}
	error = build_halves(e, &seq, pair->left.level,
	                     wbci_tseq_cut(&seq, items, bytes / 2, true), items,
	                     &h);
	if (error)
		return error;
	wbci_tnode_set_ref(above, pair->i, &h.left_ref);
	wbci_tnode_set_ref(above, pair->i + 1, &h.right_ref);
	wbci_tree_drop(e, &pair->left, left_ours);
	wbci_tree_drop(e, &pair->right, right_ours);
	return wbci_tpath_change(e, p, d - 1, pair->i + 1, 1, &h.right_item);
}

/* A child that is alone below the root becomes the root. */
static int lower_root(struct wbci_tree_edit *e, struct wbci_tnode *root)
{
	while (root->level > 0 && root->n == 1) {
		struct tref_shm ref;

		if (!wbci_tref_get(root, 0, &ref))
			return WBC_E_CORRUPT;
		wbci_tree_drop(e, root, true);
		e->top = ref.ref;
		if (!wbci_tnode_load(wbci_tree_segment(e),
		                     wbci_tref_offset(ref.ref), root))
			return WBC_E_CORRUPT;
	}
	return 0;
}

int wbci_tpath_settle(struct wbci_tree_edit *e, struct wbci_tpath *p,
                      unsigned d)
{
	for (; d > 0 && p->node[d].live < WBCI_TREE_NODE_MIN; d--) {
		struct pair pair;
		int rc = find_pair(e, p, d, &pair);

		if (rc <= 0)
			return rc;
		rc = join(e, p, d, &pair);
		if (rc)
			return rc < 0 ? rc : 0;
	}
	return lower_root(e, &p->node[0]);
}
