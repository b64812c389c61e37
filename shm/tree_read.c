/* SPDX-License-Identifier: MIT */
/* Copyright the wbcshm authors */

#include "tree.h"

#include <errno.h>

#include "../api/wbc_error.h"
#include "long.h"
#include "tnode.h"

/* The root that a word names; false: it names none. */
static bool load_root(const struct wbci_segment *s, uint64_t root,
                      struct wbci_tnode *n)
{
	return wbci_tnode_load(s, wbci_tree_offset(root), n) && n->n > 0;
}

/* A value of a leaf; false: it is no value. */
static bool open_value(const struct wbci_titem *item,
                       struct wbci_tree_value *value)
{
	struct tref_shm ref;

	if (!item->is_long) {
		*value = (struct wbci_tree_value){item->value, item->value_len,
		                                  0};
		return true;
	}
	if (!wbci_tref_load(item, &ref) || ref.count > WBCI_LONG_MAX)
		return false;
	*value = (struct wbci_tree_value){NULL, (uint32_t)ref.count,
	                                  wbci_tref_offset(ref.ref)};
	return true;
}

int wbci_tree_find(const struct wbci_segment *s, uint64_t root, const void *key,
                   uint16_t key_len, struct wbci_tree_value *value)
{
	struct wbci_tnode node, child;
	struct wbci_titem item;
	struct tref_shm ref;
	unsigned i;
	int found;

	if (wbci_tree_is_empty(root))
		return -ENOENT;
	if (!load_root(s, root, &node))
		return WBC_E_CORRUPT;
	/* Each step is one level down. */
	for (;;) {
		found = wbci_tnode_search(&node, key, key_len, &i);
		if (found < 0)
			return WBC_E_CORRUPT;
		if (node.level == 0)
			break;
		if (!wbci_tnode_child(s, &node, i, &ref, &child))
			return WBC_E_CORRUPT;
		node = child;
	}
	if (!found)
		return -ENOENT;
	return wbci_titem_load(&node, i, &item) && open_value(&item, value)
	               ? 0
	               : WBC_E_CORRUPT;
}

int wbci_tree_copy(const struct wbci_segment *s,
                   const struct wbci_tree_value *value, void *to, uint32_t room,
                   uint32_t *bytes)
{
	int error;

	if (!value->p) {
		error = wbci_long_read(s, value->offset, to, room, bytes);
		if (!error && *bytes != value->bytes)
			error = WBC_E_CORRUPT;
		return error;
	}
	*bytes = value->bytes;
	if (value->bytes > room)
		return -E2BIG;
	if (value->bytes)
		memcpy(to, value->p, value->bytes);
	return 0;
}

int wbci_tree_count(const struct wbci_segment *s, uint64_t root, uint64_t *n)
{
	struct wbci_tnode node;

	*n = 0;
	if (wbci_tree_is_empty(root))
		return 0;
	return load_root(s, root, &node) && wbci_tnode_count(&node, n)
	               ? 0
	               : WBC_E_CORRUPT;
}

/* ---- cursors ---- */

/*
 * Begin at the root.  Each leaf has a key, so there are no more of them than
 * keys, and inner nodes of more than one child are fewer yet; no more than
 * there is memory for, in any case.
 */
static int start(struct wbci_tree_cursor *c, const struct wbci_segment *s,
                 uint64_t root)
{
	uint64_t most = (uint64_t)wbci_committed(s) * WBCI_EXTENT_BYTES /
	                WBCI_BLOCK_MIN;
	uint64_t count;

	c->s = s;
	c->depth = 0;
	c->budget = 0;
	if (wbci_tree_is_empty(root))
		return 0;
	if (!load_root(s, root, &c->node[0]) ||
	    !wbci_tnode_count(&c->node[0], &count))
		return WBC_E_CORRUPT;
	c->budget = (count < most ? count : most) * 2 + WBCI_TREE_LEVELS;
	c->depth = 1;
	return 0;
}

/* Go into child @i of the node where the path ends.  False: it is damaged. */
static bool enter(struct wbci_tree_cursor *c, unsigned i)
{
	struct tref_shm ref;

	if (c->budget == 0 || !wbci_tnode_child(c->s, &c->node[c->depth - 1], i,
	                                        &ref, &c->node[c->depth]))
		return false;
	c->budget--;
	c->at[c->depth - 1] = (uint8_t)i;
	c->depth++;
	return true;
}

static int give_up(struct wbci_tree_cursor *c)
{
	c->depth = 0;
	return WBC_E_CORRUPT;
}

int wbci_tree_seek(struct wbci_tree_cursor *c, const struct wbci_segment *s,
                   uint64_t root, const void *key, uint16_t key_len)
{
	int error = start(c, s, root);
	unsigned i;

	if (error || c->depth == 0)
		return error;
	for (;;) {
		const struct wbci_tnode *n = &c->node[c->depth - 1];

		if (wbci_tnode_search(n, key, key_len, &i) < 0)
			return give_up(c);
		if (n->level == 0)
			break;
		if (!enter(c, i))
			return give_up(c);
	}
	c->at[c->depth - 1] = (uint8_t)i;
	return 0;
}

/* The child under which the item of an index is; the index among its own. */
static bool find_index(const struct wbci_tnode *n, uint64_t *index, unsigned *i)
{
	for (*i = 0; *i < n->n; ++*i) {
		struct wbci_titem item;
		struct tref_shm ref;

		if (!wbci_titem_load(n, *i, &item) ||
		    !wbci_tref_load(&item, &ref))
			return false;
		if (*index < ref.count)
			return true;
		*index -= ref.count;
	}
	return false;
}

int wbci_tree_seek_index(struct wbci_tree_cursor *c,
                         const struct wbci_segment *s, uint64_t root,
                         uint64_t index)
{
	int error = start(c, s, root);
	uint64_t count;
	unsigned i;

	if (error || c->depth == 0)
		return error;
	if (!wbci_tnode_count(&c->node[0], &count))
		return give_up(c);
	if (index >= count) {
		c->depth = 0;
		return 0;
	}
	while (c->node[c->depth - 1].level > 0) {
		if (!find_index(&c->node[c->depth - 1], &index, &i) ||
		    !enter(c, i))
			return give_up(c);
	}
	if (index >= c->node[c->depth - 1].n)
		return give_up(c);
	c->at[c->depth - 1] = (uint8_t)index;
	return 0;
}

int wbci_tree_next(struct wbci_tree_cursor *c, struct wbci_tree_item *item)
{
	struct wbci_titem found;

	while (c->depth > 0) {
		const struct wbci_tnode *n = &c->node[c->depth - 1];
		uint8_t *at = &c->at[c->depth - 1];

		if (*at >= n->n) {
			/* Of this node nothing is left: on in the one above. */
			if (--c->depth > 0)
				c->at[c->depth - 1]++;
			continue;
		}
		if (n->level > 0) {
			if (!enter(c, *at))
				return give_up(c);
			c->at[c->depth - 1] = 0;
			continue;
		}
		if (!wbci_titem_load(n, (*at)++, &found) ||
		    !open_value(&found, &item->value))
			return give_up(c);
		item->key = found.key;
		item->key_len = found.key_len;
		return 1;
	}
	return 0;
}

/* ---- blocks ---- */

/* A visit, where long strings say what their blocks are in their own way. */
struct visit {
	wbci_tree_block_fn *fn;
	void *arg;
};

static void visit_chunk(void *arg, uint64_t offset, uint64_t bytes)
{
	const struct visit *v = arg;

	v->fn(v->arg, offset, bytes);
}

static int visit_values(const struct wbci_segment *s,
                        const struct wbci_tnode *n, struct visit *v)
{
	int result = 0;

	for (unsigned i = 0; i < n->n; i++) {
		struct wbci_tree_value value;
		struct wbci_titem item;

		if (!wbci_titem_load(n, i, &item) || !open_value(&item, &value))
			result = WBC_E_CORRUPT;
		else if (item.is_long &&
		         wbci_long_visit(s, value.offset, visit_chunk, v))
			result = WBC_E_CORRUPT;
	}
	return result;
}

/*
 * Go into the next child of the path's last node that can be told to be one,
 * or leave the node.  What is visited before is not entered again; the budget
 * is for visitors who cannot tell.
 */
static int visit_next(struct wbci_tree_cursor *c, struct visit *v)
{
	struct wbci_tnode *n = &c->node[c->depth - 1];
	uint8_t at = c->at[c->depth - 1];
	int result = 0;

	if (n->level == 0) {
		result = visit_values(c->s, n, v);
		at = n->n;
	}
	if (at >= n->n) {
		if (--c->depth > 0)
			c->at[c->depth - 1]++;
		return result;
	}
	if (!enter(c, at)) {
		c->at[c->depth - 1]++;
		return WBC_E_CORRUPT;
	}
	c->at[c->depth - 1] = 0;
	n = &c->node[c->depth - 1];
	if (!v->fn(v->arg, n->offset, n->bytes)) {
		c->depth--;
		c->at[c->depth - 1]++;
	}
	return 0;
}

int wbci_tree_visit(const struct wbci_segment *s, uint64_t root,
                    wbci_tree_block_fn *visit, void *arg)
{
	struct visit v = {visit, arg};
	struct wbci_tree_cursor c;
	struct wbci_tnode top;
	int result;

	if (root == 0)
		return 0;
	if (!wbci_tnode_load(s, wbci_tree_offset(root), &top))
		return WBC_E_CORRUPT;
	if (!visit(arg, top.offset, top.bytes) || wbci_tree_is_empty(root))
		return 0;
	result = start(&c, s, root);
	if (c.depth > 0)
		c.at[0] = 0;
	while (c.depth > 0) {
		int error = visit_next(&c, &v);

		if (error)
			result = error;
	}
	return result;
}
