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
#include "tree_path.h"

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

void wbci_tree_begin(struct wbci_tree_edit *e, struct wbci_thread *t,
                     uint64_t root)
{
	e->t = t;
	e->was = root;
	e->top = wbci_tree_is_empty(root) ? 0 : wbci_tree_offset(root);
	e->version = wbci_tree_version(wbci_tree_segment(e), root) + 1;
	e->error = 0;
	e->changed = e->placed = e->loose = false;
	e->n_old = 0;
	e->spilled = 0;
	if (root && !wbci_in_page(wbci_tree_segment(e), wbci_tree_offset(root),
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
	spill = wbci_at(wbci_tree_segment(e), offset);
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
		const struct spill *spill =
			wbci_at(wbci_tree_segment(e), offset);

		if (retire)
			retire_old(e, spill->old, spill->n);
		e->spilled = spill->next;
		wbci_block_undo(e->t, offset);
	}
	e->n_old = 0;
	e->top = 0;
}

void wbci_tree_drop(struct wbci_tree_edit *e, const struct wbci_tnode *n,
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

void wbci_tree_undo(struct wbci_tree_edit *e, uint64_t ref)
{
	struct wbci_tnode n;

	if (!(ref & WBCI_TREF_OURS) ||
	    !wbci_tnode_load(wbci_tree_segment(e), wbci_tref_offset(ref), &n))
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
			wbci_tree_undo(e, child.ref);
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
	wbci_tree_undo(e, e->top);
	end_list(e, false);
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
static int change(struct wbci_tree_edit *e, struct wbci_tpath *p,
                  unsigned found, const struct wbci_titem *item)
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
	error = wbci_tpath_own(e, p, (item != NULL) - (int)found);
	if (error)
		return error;
	error = wbci_tpath_change(e, p, p->leaf, at, found, item);
	if (error < 0)
		return error;
	if (was.is_long)
		drop_long(e, ref.ref);
	return error ? 0 : wbci_tpath_settle(e, p, p->leaf);
}

static int put_item(struct wbci_tree_edit *e, const struct wbci_titem *item)
{
	struct wbci_tpath p;
	int found;

	if (e->top == 0)
		return put_first(e, item);
	found = wbci_tpath_find(e, item->key, item->key_len, &p);
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
	struct wbci_tpath p;
	int found;

	if (e->error)
		return e->error;
	if (e->top == 0)
		return -ENOENT;
	found = wbci_tpath_find(e, key, key_len, &p);
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
	wbci_tree_drop(e, root, false);
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

		if (!wbci_tref_get(n, i, &ref) || !(ref.ref & WBCI_TREF_OURS) ||
		    !wbci_tnode_child(wbci_tree_segment(e), n, i, &ref, &child))
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
	if (!wbci_tnode_load(wbci_tree_segment(e), wbci_tref_offset(e->top),
	                     &top))
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
