/* SPDX-License-Identifier: MIT */
/* Copyright the wbcshm authors */

#include "plain.h"

#include <errno.h>
#include <stdalign.h>
#include <string.h>

#include "../api/wbc_error.h"
#include "mark.h"
#include "record.h"

/* version, and value_shm */
#define HEAD_BYTES (sizeof(uint64_t) + sizeof(struct value_shm))

/* Trees that are larger than any row's are damaged. */
#define KEYS_MOST (2u * WBC_COLUMNS_MAX)

static uint64_t padded(uint32_t bytes)
{
	return ((uint64_t)bytes + 7) & ~UINT64_C(7);
}

/* Do so many bytes stand in a value of their own? */
static bool is_large(uint32_t bytes)
{
	return HEAD_BYTES + padded(bytes) > WBCI_TREE_INLINE_MAX;
}

/* What stands under a column's number; the rest if it is large is not set. */
static bool open_plain(const struct wbci_tree_value *value, unsigned column,
                       struct wbci_plain *plain)
{
	if (!value->p || value->bytes < HEAD_BYTES)
		return false;
	memcpy(&plain->version, value->p, sizeof(plain->version));
	memcpy(&plain->head, value->p + sizeof(plain->version),
	       sizeof(plain->head));
	/* What follows uses these copies. */
	order_compiler();
	if (plain->head.column != column || plain->head.bytes > WBCI_LONG_MAX)
		return false;
	plain->p = is_large(plain->head.bytes) ? NULL : value->p + HEAD_BYTES;
	return value->bytes ==
	       HEAD_BYTES + (plain->p ? padded(plain->head.bytes) : 0);
}

int wbci_plain_find(const struct wbci_segment *s, uint64_t root,
                    unsigned column, struct wbci_plain *plain)
{
	unsigned char key[2] = {(unsigned char)column, 1};
	struct wbci_tree_value value;
	int error = wbci_tree_find(s, root, key, 1, &value);

	if (error)
		return error;
	if (!open_plain(&value, column, plain))
		return WBC_E_CORRUPT;
	if (plain->p)
		return 0;
	error = wbci_tree_find(s, root, key, 2, &plain->large);
	return error == -ENOENT || (!error && plain->large.bytes !=
	                                              plain->head.bytes)
	               ? WBC_E_CORRUPT
	               : error;
}

int wbci_plain_copy(const struct wbci_segment *s,
                    const struct wbci_plain *plain, void *to)
{
	uint32_t bytes;
	int error;

	if (plain->p) {
		memcpy(to, plain->p, plain->head.bytes);
		return 0;
	}
	error = wbci_tree_copy(s, &plain->large, to, plain->head.bytes, &bytes);
	return error || bytes != plain->head.bytes ? WBC_E_CORRUPT : 0;
}

/* Where values are collected. */
struct collected {
	const struct wbci_segment *s;
	unsigned char *to;
	uint64_t room;
	uint64_t bytes;
	unsigned n;
};

/* One more column, if there is room for it; counted in any case. */
static int collect_one(struct collected *c, const struct wbci_plain *plain)
{
	uint64_t bytes = sizeof(plain->head) + padded(plain->head.bytes);
	uint64_t at = c->bytes;
	unsigned char *to;

	c->bytes += bytes;
	c->n++;
	if (c->bytes > c->room)
		return 0;
	to = c->to + at;
	if (plain->head.bytes)
		memset(to + bytes - 8, 0, 8);
	memcpy(to, &plain->head, sizeof(plain->head));
	return wbci_plain_copy(c->s, plain, to + sizeof(plain->head));
}

/* The bytes of a large column are the next item. */
static int open_large(struct wbci_tree_cursor *at, struct wbci_plain *plain)
{
	struct wbci_tree_item item;

	if (wbci_tree_next(at, &item) != 1 || item.key_len != 2 ||
	    item.key[0] != plain->head.column ||
	    item.value.bytes != plain->head.bytes)
		return WBC_E_CORRUPT;
	plain->large = item.value;
	return 0;
}

int wbci_plain_collect(const struct wbci_segment *s, uint64_t root,
                       uint64_t above, bool all, unsigned char *to,
                       uint64_t room, uint64_t *bytes, unsigned *n)
{
	struct collected c = {s, to, room, 0, 0};
	struct wbci_tree_cursor at;
	struct wbci_tree_item item;
	struct wbci_plain plain;
	int found, next = 0;
	uint64_t keys;

	*bytes = 0;
	*n = 0;
	if (wbci_tree_is_empty(root))
		return 0;
	if (wbci_tree_count(s, root, &keys) || keys > KEYS_MOST ||
	    wbci_tree_seek(&at, s, root, NULL, 0))
		return WBC_E_CORRUPT;
	while ((found = wbci_tree_next(&at, &item)) == 1) {
		if (item.key_len != 1 || item.key[0] < next ||
		    item.key[0] >= WBC_COLUMNS_MAX ||
		    !open_plain(&item.value, item.key[0], &plain))
			return WBC_E_CORRUPT;
		next = plain.head.column + 1;
		if (!plain.p && open_large(&at, &plain))
			return WBC_E_CORRUPT;
		if ((all || plain.version > above) && collect_one(&c, &plain))
			return WBC_E_CORRUPT;
	}
	*bytes = c.bytes;
	*n = c.n;
	if (found < 0)
		return WBC_E_CORRUPT;
	return c.bytes > room ? -E2BIG : 0;
}

int wbci_plain_put(struct wbci_tree_edit *e, unsigned column,
                   const struct wbc_value *value, uint64_t version)
{
	alignas(8) unsigned char bytes[WBCI_TREE_INLINE_MAX];
	unsigned char key[2] = {(unsigned char)column, 1};
	uint64_t n = sizeof(version) + wbci_value_bytes(value);
	struct value_shm head = {.column = (uint8_t)column,
	                         .type = (uint8_t)value->type,
	                         .bytes = value->bytes};
	int error;

	memcpy(bytes, &version, sizeof(version));
	if (n <= sizeof(bytes)) {
		wbci_value_write(bytes + sizeof(version), (uint8_t)column,
		                 value);
		error = wbci_tree_delete(e, key, 2);
	} else {
		memcpy(bytes + sizeof(version), &head, sizeof(head));
		n = HEAD_BYTES;
		error = wbci_tree_put(e, key, 2, value->v.p, value->bytes);
	}
	if (error && error != -ENOENT)
		return error;
	return wbci_tree_put(e, key, 1, bytes, (uint32_t)n);
}

int wbci_plain_drop(struct wbci_tree_edit *e, unsigned column)
{
	unsigned char key[2] = {(unsigned char)column, 1};
	int error = wbci_tree_delete(e, key, 2);

	if (error && error != -ENOENT)
		return error;
	error = wbci_tree_delete(e, key, 1);
	return error == -ENOENT ? 0 : error;
}

/* What a call sets. */
struct update {
	const struct wbc_value *values;
	const uint8_t *columns;
	unsigned n;
};

static int put_all(struct wbci_tree_edit *e, void *arg)
{
	const struct update *u = arg;
	int error = 0;

	for (unsigned i = 0; i < u->n && !error; i++)
		error = wbci_plain_put(e, u->columns[i], &u->values[i],
		                       e->version);
	return error;
}

int wbci_plain_update(struct wbci_thread *t, struct entry_shm *e,
                      struct row_shm *row, const struct wbc_value *values,
                      const uint8_t *columns, unsigned n)
{
	struct update u = {values, columns, n};

	wbci_mark(t, e);
	return wbci_tree_update(t, &row->root, put_all, &u);
}
