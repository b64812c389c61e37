/* SPDX-License-Identifier: MIT */
/* Copyright the wbcshm authors */

#include "columns.h"

#include <errno.h>
#include <string.h>

#include "../api/wbc_error.h"

/* Values by their columns; NULL where there is none. */
struct by_column {
	const struct wbc_value *of[WBC_COLUMNS_MAX];
	struct wbc_value values[WBC_COLUMNS_MAX];
};

static void sort_values(const struct wbci_rowset *rs,
                        const struct wbci_set *set, struct by_column *b)
{
	uint8_t columns[WBC_COLUMNS_MAX];

	memset(b->of, 0, sizeof(b->of));
	if (!set)
		return;
	wbci_set_values(rs, set, b->values, columns);
	for (uint32_t i = 0; i < set->n; i++)
		b->of[columns[i]] = &b->values[i];
}

struct loading {
	const struct wbci_columns *c;
	uint64_t journaled;
	uint64_t pending;
	struct by_column found;
	struct by_column unapplied;
};

/* May a column be given what the database, or the journal, has?  1, 0, or an
 * error; @is_there: it has some value that was loaded before. */
static int may_load(const struct loading *l, const struct wbci_tree_edit *e,
                    unsigned column, bool *is_there)
{
	struct wbci_plain plain;
	int error = wbci_plain_find(l->c->s, e->was, column, &plain);

	*is_there = !error;
	if (error)
		return error == -ENOENT ? 1 : error;
	if (plain.version > l->journaled)
		return 0;
	/* It was set in this entry, and nothing newer is in the journal. */
	return !(plain.version && l->pending >> column & 1);
}

static int load_column(struct wbci_tree_edit *e, const struct loading *l,
                       unsigned column)
{
	const struct wbc_value *value = l->pending >> column & 1
	                                        ? l->unapplied.of[column]
	                                        : l->found.of[column];
	bool is_there;
	int may = may_load(l, e, column, &is_there);

	if (may <= 0)
		return may;
	if (value)
		return wbci_plain_put(e, column, value, 0);
	return is_there ? wbci_plain_drop(e, column) : 0;
}

/* The version stays: to rounds there is nothing new. */
static void keep_version(struct wbci_tree_edit *e, const struct wbci_segment *s)
{
	e->version = wbci_tree_version(s, e->was);
}

static int load_all(struct wbci_tree_edit *e, void *arg)
{
	const struct loading *l = arg;
	const struct wbci_schema *schema = &l->c->rs->schema;
	int error = 0;

	keep_version(e, l->c->s);
	for (unsigned i = 0; i < schema->n_columns && !error; i++)
		if (schema->columns[i].role == ROLE_PLAIN)
			error = load_column(e, l, i);
	return error;
}

int wbci_columns_load(const struct wbci_columns *c,
                      const struct wbci_set *found, uint64_t pending,
                      const struct wbci_set *unapplied, uint32_t loaded)
{
	struct loading l = {.c = c,
	                    .journaled = order_load(&c->row->journaled),
	                    .pending = pending};
	int error;

	sort_values(c->rs, found, &l.found);
	sort_values(c->rs, unapplied, &l.unapplied);
	error = wbci_tree_update(c->t, &c->row->root, load_all, &l);
	/* Relaxed: who acts upon it was answered after this. */
	if (!error)
		order_store(&c->row->loaded, loaded);
	return error;
}

struct forgetting {
	const struct wbci_columns *c;
	uint64_t journaled;
	uint64_t columns;
};

static int forget_all(struct wbci_tree_edit *e, void *arg)
{
	const struct forgetting *f = arg;
	int error = 0;

	keep_version(e, f->c->s);
	for (uint64_t left = f->columns; left && !error; left &= left - 1) {
		unsigned column = (unsigned)__builtin_ctzll(left);
		struct wbci_plain plain;

		error = wbci_plain_find(f->c->s, e->was, column, &plain);
		if (!error && plain.version <= f->journaled)
			error = wbci_plain_drop(e, column);
		else if (error == -ENOENT)
			error = 0;
	}
	return error;
}

int wbci_columns_forget(const struct wbci_columns *c, uint64_t columns,
                        uint64_t pending, uint32_t loaded)
{
	struct forgetting f = {.c = c,
	                       .journaled = order_load(&c->row->journaled),
	                       .columns = columns & ~pending};
	int error = wbci_tree_update(c->t, &c->row->root, forget_all, &f);

	/* Relaxed: as above.  Without room they are very old, at least. */
	order_store(&c->row->loaded, error ? 1 : loaded);
	return error;
}
