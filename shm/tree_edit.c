/* SPDX-License-Identifier: MIT */
/* Copyright the wbcshm authors */

/*
 * Updates of trees.
 *
 * A node is ours if this update made it: then the ref that names it says so,
 * and the one that names the node above, up to the top.  The first change of
 * a node makes it ours, from the root down; later ones change it in place as
 * long as there is room.  So each node is built about once, however many keys
 * change.
 *
 * Invariants, between any two steps:
 *  - All that is ours is reached from the top by refs that say so; that is
 *    how wbci_tree_abort() finds it.
 *  - What is not ours any more, and was published, is on the list of the old.
 */
#include "tree.h"

#include <errno.h>

#include "../api/wbc_error.h"
#include "long.h"
#include "page.h"
#include "tnode.h"

/* In the list of the old: a long string. */
#define OLD_LONG UINT64_C(1)
/* An operation takes a path out, and a sibling of each of its nodes. */
#define OLD_PER_CALL (2 * WBCI_TREE_LEVELS + 1)
static_assert(OLD_PER_CALL < WBCI_TREE_OLD, "an operation fits the list");
static_assert(sizeof(struct tnode_shm) + 3 * (8 + WBCI_TREE_KEY_MAX +
                                              WBCI_TREE_INLINE_MAX) <=
                      WBCI_TREE_NODE_MAX,
              "halves of a node are not too small");

/* More of the list of the old, in a block of its own. */
struct spill {
	uint64_t next;
	uint64_t n;
	uint64_t old[WBCI_TREE_OLD];
};

/* From the root to a leaf. */
struct path {
	unsigned leaf; /* its depth: the root's is 0 */
	struct wbci_tnode node[WBCI_TREE_LEVELS];
	bool ours[WBCI_TREE_LEVELS];
	unsigned at[WBCI_TREE_LEVELS]; /* child, or item of the leaf */
};

static const struct wbci_segment *segment_of(const struct wbci_tree_edit *e)
{
	return &e->t->client->segment;
}

void wbci_tree_begin(struct wbci_tree_edit *e, struct wbci_thread *t,
                     uint64_t root)
{
	e->t = t;
	e->was = root;
	e->top = wbci_tree_is_empty(root) ? 0 : wbci_tree_offset(root);
	e->version = wbci_tree_version(segment_of(e), root) + 1;
	e->error = 0;
	e->changed = e->placed = e->loose = false;
	e->n_old = 0;
	e->spilled = 0;
	if (root && !wbci_in_page(segment_of(e), wbci_tree_offset(root),
	                          sizeof(struct tnode_shm)))
		e->error = WBC_E_CORRUPT;
}

/* ---- what was replaced ---- */

/* Make room in the list for what one call may add. */
static int reserve_old(struct wbci_tree_edit *e)
{
	struct spill *spill;
	uint64_t offset;
	int error;

	if (e->n_old + OLD_PER_CALL <= WBCI_TREE_OLD)
		return 0;
	error = wbci_block_alloc(e->t, PAGE_BLOCKS, sizeof(*spill), &offset);
	if (error)
		return error;
	spill = wbci_at(segment_of(e), offset);
	spill->next = e->spilled;
	spill->n = e->n_old;
	memcpy(spill->old, e->old, e->n_old * sizeof(e->old[0]));
	e->spilled = offset;
	e->n_old = 0;
	return 0;
}

static void retire_old(struct wbci_tree_edit *e, const uint64_t *old,
                       uint64_t n)
{
	for (uint64_t i = 0; i < n && i < WBCI_TREE_OLD; i++) {
		if (old[i] & OLD_LONG)
			wbci_long_retire(e->t, wbci_tref_offset(old[i]));
		else
			wbci_block_retire(e->t, old[i]);
	}
}

/* Give the list's blocks back, having retired what is in them or not. */
static void end_list(struct wbci_tree_edit *e, bool retire)
{
	if (retire)
		retire_old(e, e->old, e->n_old);
	while (e->spilled) {
		uint64_t offset = e->spilled;
		const struct spill *spill = wbci_at(segment_of(e), offset);

		if (retire)
			retire_old(e, spill->old, spill->n);
		e->spilled = spill->next;
		wbci_block_undo(e->t, offset);
	}
	e->n_old = 0;
	e->top = 0;
}

/* A node has no place in the tree any more; its children may. */
static void drop_node(struct wbci_tree_edit *e, const struct wbci_tnode *n,
                      bool ours)
{
	if (ours)
		wbci_block_undo(e->t, n->offset);
	else
		e->old[e->n_old++] = n->offset;
}

static void drop_long(struct wbci_tree_edit *e, uint64_t ref)
{
	if (ref & WBCI_TREF_OURS)
		wbci_long_undo(e->t, wbci_tref_offset(ref));
	else
		e->old[e->n_old++] = wbci_tref_offset(ref) | OLD_LONG;
}

/* Give back a node of ours, and all of ours that hangs below it: no deeper
 * than a tree has levels. */
static void undo_tree(struct wbci_tree_edit *e, uint64_t ref)
{
	struct wbci_tnode n;

	if (!(ref & WBCI_TREF_OURS) ||
	    !wbci_tnode_load(segment_of(e), wbci_tref_offset(ref), &n))
		return;
	for (unsigned i = 0; i < n.n; i++) {
		struct wbci_titem item;
		struct tref_shm child;

		if (!wbci_titem_load(&n, i, &item) ||
		    (n.level == 0 && !item.is_long) ||
		    !wbci_tref_load(&item, &child) ||
		    !(child.ref & WBCI_TREF_OURS))
			continue;
		if (n.level == 0)
			wbci_long_undo(e->t, wbci_tref_offset(child.ref));
		else
			undo_tree(e, child.ref);
	}
	wbci_block_undo(e->t, n.offset);
}

void wbci_tree_commit(struct wbci_tree_edit *e)
{
	end_list(e, true);
	if (e->was & WBCI_TREE_EMPTY)
		wbci_block_retire(e->t, wbci_tree_offset(e->was));
}

void wbci_tree_abort(struct wbci_tree_edit *e)
{
	undo_tree(e, e->top);
	end_list(e, false);
}

/* ---- the path ---- */

/* Find a key's leaf.  Return: 1 if the key is there, 0, or an error. */
static int descend(struct wbci_tree_edit *e, const unsigned char *key,
                   unsigned key_len, struct path *p)
{
	const struct wbci_segment *s = segment_of(e);
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

static bool get_ref(const struct wbci_tnode *n, unsigned i,
                    struct tref_shm *ref)
{
	struct wbci_titem item;

	return wbci_titem_load(n, i, &item) && wbci_tref_load(&item, ref);
}

/* A node of ours takes the place of the one at depth @d. */
static int put_node(struct wbci_tree_edit *e, struct path *p, unsigned d,
                    const struct wbci_tnode *n)
{
	struct wbci_tnode was = p->node[d];
	bool ours = p->ours[d];
	struct tref_shm ref;

	if (d == 0) {
		e->top = n->offset | WBCI_TREF_OURS;
	} else {
		if (!get_ref(&p->node[d - 1], p->at[d - 1], &ref)) {
			wbci_block_undo(e->t, n->offset);
			return WBC_E_CORRUPT;
		}
		ref.ref = n->offset | WBCI_TREF_OURS;
		wbci_tnode_set_ref(&p->node[d - 1], p->at[d - 1], &ref);
	}
	drop_node(e, &was, ours);
	p->node[d] = *n;
	p->ours[d] = true;
	return 0;
}

/* Make all above the leaf ours, and count one key more or less below them. */
static int own_path(struct wbci_tree_edit *e, struct path *p, int more)
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
		if (!get_ref(n, p->at[d], &ref))
			return WBC_E_CORRUPT;
		ref.count += (uint64_t)(int64_t)more;
		wbci_tnode_set_ref(n, p->at[d], &ref);
	}
	return 0;
}

/* ---- changing an item of a node ---- */

static int change_item(struct wbci_tree_edit *e, struct path *p, unsigned d,
                       unsigned i, unsigned gone,
                       const struct wbci_titem *item);

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
		undo_tree(e, h->right_ref.ref);
	else
		e->top = root.offset | WBCI_TREF_OURS;
	return error;
}

/* Put a sequence that is too large for one node in the place of the one at
 * depth @d.  Return: 1, or an error. */
static int split(struct wbci_tree_edit *e, struct path *p, unsigned d,
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
		drop_node(e, &was, p->ours[0]);
		return error ? error : 1;
	}
	wbci_tnode_set_ref(&p->node[d - 1], p->at[d - 1], &h.left_ref);
	drop_node(e, &was, p->ours[d]);
	error = change_item(e, p, d - 1, p->at[d - 1] + 1, 0, &h.right_item);
	if (error < 0)
		undo_tree(e, h.right_ref.ref);
	return error < 0 ? error : 1;
}

/*
 * Take out @gone items at @i of the node at depth @d, and put one there.
 * Above it all is ours.
 *
 * Return: 0, 1 if the node was split (then the path ends above it, if that was
 * not split too), or an error.
 */
static int change_item(struct wbci_tree_edit *e, struct path *p, unsigned d,
                       unsigned i, unsigned gone, const struct wbci_titem *item)
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
static int find_pair(struct wbci_tree_edit *e, const struct path *p, unsigned d,
                     struct pair *pair)
{
	const struct wbci_segment *s = segment_of(e);
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
		        get_ref(above, i, &pair->right_ref);
	} else {
		pair->i = 0;
		found = wbci_tnode_child(s, above, 1, &pair->right_ref,
		                         &pair->right) &&
		        get_ref(above, 0, &pair->left_ref);
	}
	return found ? 1 : WBC_E_CORRUPT;
}

/*
 * Make one node of two, or halves of the same size, which takes no more room
 * above than before but for the key between them.
 *
 * Return: 0, 1 if a node above was split, or an error.
 */
static int join(struct wbci_tree_edit *e, struct path *p, unsigned d,
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
		drop_node(e, &pair->left, left_ours);
		drop_node(e, &pair->right, right_ours);
		return change_item(e, p, d - 1, pair->i + 1, 1, NULL);
	}
	error = build_halves(e, &seq, pair->left.level,
	                     wbci_tseq_cut(&seq, items, bytes / 2, true), items,
	                     &h);
	if (error)
		return error;
	wbci_tnode_set_ref(above, pair->i, &h.left_ref);
	wbci_tnode_set_ref(above, pair->i + 1, &h.right_ref);
	drop_node(e, &pair->left, left_ours);
	drop_node(e, &pair->right, right_ours);
	return change_item(e, p, d - 1, pair->i + 1, 1, &h.right_item);
}

/* A child that is alone below the root becomes the root. */
static int lower_root(struct wbci_tree_edit *e, struct wbci_tnode *root)
{
	while (root->level > 0 && root->n == 1) {
		struct tref_shm ref;

		if (!get_ref(root, 0, &ref))
			return WBC_E_CORRUPT;
		drop_node(e, root, true);
		e->top = ref.ref;
		if (!wbci_tnode_load(segment_of(e), wbci_tref_offset(ref.ref),
		                     root))
			return WBC_E_CORRUPT;
	}
	return 0;
}

/* From a depth up, join what is too small with a neighbour. */
static int settle(struct wbci_tree_edit *e, struct path *p, unsigned d)
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

/* ---- calls ---- */

/* The first item of a tree. */
static int put_first(struct wbci_tree_edit *e, const struct wbci_titem *item)
{
	struct wbci_tseq seq = {.run = {{NULL, 0, 1, item, true}}, .n = 1};
	struct wbci_tnode leaf;
	int error = wbci_tnode_build(e->t, &seq, 0, 0, 1, 0, &leaf);

	if (error)
		return error;
	e->top = leaf.offset | WBCI_TREF_OURS;
	e->changed = e->placed = true;
	return 0;
}

/* Take out @found items with the path's key, or put one there, or both. */
static int change(struct wbci_tree_edit *e, struct path *p, unsigned found,
                  const struct wbci_titem *item)
{
	struct wbci_tnode *leaf = &p->node[p->leaf];
	unsigned at = p->at[p->leaf];
	struct tref_shm ref = {0, 0};
	struct wbci_titem was = {.is_long = false};
	int error;

	if (found && (!wbci_titem_load(leaf, at, &was) ||
	              (was.is_long && !wbci_tref_load(&was, &ref))))
		return WBC_E_CORRUPT;
	/* Of a leaf that is not ours its marks say nothing. */
	if (!p->ours[p->leaf])
		ref.ref &= ~WBCI_TREF_OURS;
	e->changed = true;
	error = own_path(e, p, (item != NULL) - (int)found);
	if (error)
		return error;
	error = change_item(e, p, p->leaf, at, found, item);
	if (error < 0)
		return error;
	if (was.is_long)
		drop_long(e, ref.ref);
	return error ? 0 : settle(e, p, p->leaf);
}

static int put_item(struct wbci_tree_edit *e, const struct wbci_titem *item)
{
	struct path p;
	int found;

	if (e->top == 0)
		return put_first(e, item);
	found = descend(e, item->key, item->key_len, &p);
	return found < 0 ? found : change(e, &p, (unsigned)found, item);
}

static int put_long(struct wbci_tree_edit *e, struct wbci_titem *item,
                    const void *value, uint32_t bytes)
{
	struct tref_shm ref;
	uint64_t offset;
	int error = wbci_long_alloc(e->t, value, bytes, &offset);

	if (error)
		return error;
	ref = (struct tref_shm){offset | WBCI_TREF_OURS, bytes};
	item->value = (const unsigned char *)&ref;
	item->value_len = sizeof(ref);
	item->is_long = true;
	e->placed = false;
	error = put_item(e, item);
	/* From where it is placed, an abort finds it. */
	if (error && !e->placed)
		wbci_long_undo(e->t, offset);
	return error;
}

int wbci_tree_put(struct wbci_tree_edit *e, const void *key, uint16_t key_len,
                  const void *value, uint32_t bytes)
{
	static const unsigned char none[1];
	struct wbci_titem item = {.key = key_len ? key : none,
	                          .value = bytes ? value : none,
	                          .key_len = key_len,
	                          .value_len = (uint16_t)bytes};

	if (e->error)
		return e->error;
	e->error = key_len > WBCI_TREE_KEY_MAX ? -E2BIG : reserve_old(e);
	if (e->error)
		return e->error;
	e->error = bytes > WBCI_TREE_INLINE_MAX
	                   ? put_long(e, &item, value, bytes)
	                   : put_item(e, &item);
	return e->error;
}

int wbci_tree_delete(struct wbci_tree_edit *e, const void *key,
                     uint16_t key_len)
{
	struct path p;
	int found;

	if (e->error)
		return e->error;
	if (e->top == 0)
		return -ENOENT;
	found = descend(e, key, key_len, &p);
	if (found == 0)
		return -ENOENT;
	e->error = found < 0 ? found : reserve_old(e);
	if (!e->error)
		e->error = change(e, &p, 1, NULL);
	return e->error;
}

/* ---- the end ---- */

/* The root bears the version, so it must be ours. */
static int own_root(struct wbci_tree_edit *e, struct wbci_tnode *root)
{
	struct wbci_tseq seq = wbci_tseq_change(root, false, root->n, 0, NULL);
	struct wbci_tnode copy;
	int error;

	if (e->top & WBCI_TREF_OURS)
		return 0;
	error = wbci_tnode_build(e->t, &seq, root->level, 0, root->n, 0, &copy);
	if (error)
		return error;
	drop_node(e, root, false);
	e->top = copy.offset | WBCI_TREF_OURS;
	*root = copy;
	return 0;
}

/*
 * Put nodes of ours into blocks no larger than they need, from @n down: no
 * deeper than a tree has levels.  Without room they stay as they are.
 */
static void trim(struct wbci_tree_edit *e, struct wbci_tnode *n)
{
	struct wbci_tseq seq;
	struct wbci_tnode copy;

	for (unsigned i = 0; n->level > 0 && i < n->n; i++) {
		struct wbci_tnode child;
		struct tref_shm ref;

		if (!get_ref(n, i, &ref) || !(ref.ref & WBCI_TREF_OURS) ||
		    !wbci_tnode_child(segment_of(e), n, i, &ref, &child))
			continue;
		trim(e, &child);
		ref.ref = child.offset | WBCI_TREF_OURS;
		wbci_tnode_set_ref(n, i, &ref);
	}
	if (wbci_class_bytes[wbci_class_of(n->live)] >= n->bytes)
		return;
	seq = wbci_tseq_change(n, true, n->n, 0, NULL);
	if (wbci_tnode_build(e->t, &seq, n->level, 0, n->n, 0, &copy))
		return;
	wbci_block_undo(e->t, n->offset);
	*n = copy;
}

static int finish(struct wbci_tree_edit *e, uint64_t *root)
{
	struct wbci_tnode top;
	int error = reserve_old(e);

	if (error)
		return error;
	if (!wbci_tnode_load(segment_of(e), wbci_tref_offset(e->top), &top))
		return WBC_E_CORRUPT;
	error = own_root(e, &top);
	if (error)
		return error;
	if (e->loose) {
		trim(e, &top);
		e->top = top.offset | WBCI_TREF_OURS;
	}
	top.shm->version = e->version;
	*root = top.offset | (top.n == 0 ? WBCI_TREE_EMPTY : 0);
	return 0;
}

int wbci_tree_finish(struct wbci_tree_edit *e, uint64_t *root)
{
	if (e->error)
		return e->error;
	if (e->changed)
		e->error = finish(e, root);
	else
		*root = e->was;
	return e->error;
}
