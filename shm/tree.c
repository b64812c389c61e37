/* SPDX-License-Identifier: MIT */
/* Copyright the wbcshm authors */

#include "tree.h"

#include "page.h"
#include "walk.h"

bool wbci_tree_publish(struct wbci_tree_edit *e, order_u64 *at, uint64_t root)
{
	uint64_t was = e->was;

	/* ORDER tree.root, release: the new nodes are whole before the word
	 * names them.  What stood there was acquired by whoever loaded it. */
	if (order_cas_release(at, &was, root)) {
		wbci_tree_commit(e);
		return true;
	}
	wbci_tree_abort(e);
	return false;
}

int wbci_tree_update(struct wbci_thread *t, order_u64 *at,
                     wbci_tree_change_fn *change, void *arg)
{
	for (;;) {
		struct wbci_tree_edit e;
		uint64_t root;
		int error;

		/* ORDER tree.root, acquire: what it names is whole. */
		wbci_tree_begin(&e, t, order_acquire(at));
		error = change(&e, arg);
		if (!error)
			error = wbci_tree_finish(&e, &root);
		if (error || root == e.was) {
			wbci_tree_abort(&e);
			return error;
		}
		if (wbci_tree_publish(&e, at, root))
			return 0;
	}
}

/* What a damaged tree names may be anything. */
static bool retire_block(void *arg, uint64_t offset, uint64_t bytes)
{
	struct wbci_thread *t = arg;
	uint32_t page, block;
	uint64_t word;

	if (!wbci_block_find(&t->client->segment, offset, &page, &block,
	                     &word) ||
	    wbci_page_kind(word) != PAGE_BLOCKS ||
	    wbci_class_bytes[wbci_page_class(word)] < bytes)
		return false;
	wbci_block_retire(t, offset);
	return true;
}

int wbci_tree_retire(struct wbci_thread *t, uint64_t root)
{
	return wbci_tree_visit(&t->client->segment, root, retire_block, t);
}
