/* SPDX-License-Identifier: MIT */
/* Copyright the wbcshm authors */

/*
 * Reading columns of any kind.
 *
 * The plain ones of a call come from one root, which is a snapshot: it has what
 * was set here, and what the flusher loaded.  Where a column is not in it, the
 * flusher is asked for the row, and all is looked at anew.
 */
#include <errno.h>
#include <string.h>

#include "../shm/fetch.h"
#include "../shm/plain.h"
#include "../shm/value.h"
#include "row.h"

/* One call. */
struct reading {
	struct wbc_table *t;
	const unsigned *columns;
	size_t n;
	struct wbc_value *values;
	unsigned char *buffer;
	size_t room;
	size_t used; /* of the room, or needed */
};

/* What one look at an entry came to. */
struct look {
	struct entry_shm *e;
	struct row_shm *plain; /* NULL: no column of the call is plain */
	uint64_t root;
	bool cells;   /* a counted column was looked at */
	bool unknown; /* some column is not there */
	bool absent;  /* and the database has no such row */
};

static int check_columns(const struct reading *r)
{
	const struct wbci_schema *s = &r->t->schema;

	for (size_t i = 0; i < r->n; i++)
		if (r->columns[i] >= s->n_columns ||
		    s->columns[r->columns[i]].role == ROLE_KEY)
			return WBC_E_COLUMN;
	return r->n ? 0 : -EINVAL;
}

static int take_cell(struct look *l, const struct wbci_column *c,
                     struct wbc_value *v)
{
	int error;

	l->cells = true;
	v->type = (enum wbc_type)c->type;
	error = c->type == WBC_DOUBLE
	                ? wbci_row_double(l->e, c->index, &v->v.d)
	                : wbci_row_int64(l->e, c->index, &v->v.i);
	if (error == WBC_E_UNKNOWN)
		l->unknown = true;
	else if (error == WBC_E_NOROW)
		l->absent = true;
	else
		return error;
	return 0;
}

/* Texts, jsons and blobs go into the caller's room, if there is enough. */
static int take_bytes(struct reading *r, const struct wbci_plain *p,
                      struct wbc_value *v)
{
	unsigned char *to = r->buffer + r->used;
	bool fits = p->head.bytes <= r->room && r->used <= r->room - p->head.bytes;

	v->bytes = p->head.bytes;
	v->v.p = fits && p->head.bytes ? (const void *)to : "";
	r->used += p->head.bytes;
	return fits && p->head.bytes
	               ? wbci_plain_copy(&r->t->client->segment, p, to)
	               : 0;
}

static int take_value(struct reading *r, const struct wbci_plain *p,
                      const struct wbci_column *c, struct wbc_value *v)
{
	int64_t whole;

	v->type = (enum wbc_type)p->head.type;
	if (v->type == WBC_NULL)
		return p->head.bytes ? WBC_E_CORRUPT : 0;
	if (v->type != c->type &&
	    !(c->type == WBC_DOUBLE && v->type == WBC_INT64))
		return WBC_E_CORRUPT;
	if (wbci_type_has_bytes(v->type))
		return take_bytes(r, p, v);
	if (p->head.bytes != sizeof(whole) || !p->p)
		return WBC_E_CORRUPT;
	memcpy(&whole, p->p, sizeof(whole));
	v->v.i = whole;
	if (v->type != c->type) {
		v->type = WBC_DOUBLE;
		v->v.d = (double)whole;
	}
	return 0;
}

static int take_plain(struct reading *r, struct look *l, unsigned column,
                      struct wbc_value *v)
{
	const struct wbci_column *c = &r->t->schema.columns[column];
	struct wbci_plain p;
	int error = wbci_plain_find(&r->t->client->segment, l->root, column,
	                            &p);

	if (error != -ENOENT)
		return error ? error : take_value(r, &p, c, v);
	if (order_load(&l->plain->loaded) & WBCI_BASE_ABSENT)
		l->absent = true;
	else
		l->unknown = true;
	return 0;
}

/* Look at all columns, within the section. */
static int take_all(struct reading *r, struct look *l)
{
	const struct wbci_schema *s = &r->t->schema;
	int error = 0;

	r->used = 0;
	for (size_t i = 0; i < r->n && !error; i++) {
		const struct wbci_column *c = &s->columns[r->columns[i]];

		r->values[i] = wbc_null(c->name);
		error = c->role == ROLE_COUNTER
		                ? take_cell(l, c, &r->values[i])
		                : take_plain(r, l, r->columns[i],
		                             &r->values[i]);
	}
	return error;
}

/* Is there a plain column among them? */
static bool has_plain(const struct reading *r)
{
	for (size_t i = 0; i < r->n; i++)
		if (r->t->schema.columns[r->columns[i]].role == ROLE_PLAIN)
			return true;
	return false;
}

/* Are the plain columns known, and not too old?  As wbci_row_known(). */
static bool plain_known(const struct reading *r, const struct look *l,
                        const struct asking *asked)
{
	const struct wbci_segment *s = &r->t->client->segment;
	uint64_t ttl, now, loaded = order_load(&l->plain->loaded);

	if (asked->answered && loaded)
		return true;
	if (l->unknown)
		return false;
	/* Relaxed: ages are told in seconds. */
	ttl = order_load(&s->tables[r->t->number].base_ttl_s);
	/* What was set here, and is not applied yet, is never old. */
	if (!ttl || !loaded)
		return true;
	loaded &= ~(uint64_t)WBCI_BASE_ABSENT;
	now = order_load(&s->control->now_s);
	return now < loaded || now - loaded < ttl;
}

static bool is_known(const struct reading *r, const struct look *l,
                     const struct asking *asked)
{
	if (l->cells && !wbci_row_known(r->t, l->e, !l->unknown, asked))
		return false;
	return !l->plain || plain_known(r, l, asked);
}

/* What a look says, once it is the last. */
static int result_of(const struct reading *r, const struct look *l)
{
	if (l->unknown)
		return WBC_E_UNKNOWN;
	if (l->absent)
		return WBC_E_NOROW;
	return r->used > r->room ? -E2BIG : 0;
}

/* One look; the section is over when it returns. */
static int look_at(struct reading *r, const struct wbci_key *k,
                   struct wbci_thread *t, struct asking *asked,
                   uint64_t *offset, bool *known)
{
	const struct wbci_segment *s = &r->t->client->segment;
	struct look l = {.cells = false};
	int error = wbci_row_open_known(r->t, t, k, &l.e, offset);

	if (error)
		return error;
	if (!wbci_row_is_whole(r->t, l.e, *offset)) {
		wbci_exit(t);
		return WBC_E_CORRUPT;
	}
	if (has_plain(r)) {
		l.plain = wbci_entry_row(s, l.e, *offset);
		l.root = wbci_plain_root(l.plain);
	}
	error = take_all(r, &l);
	*known = error || is_known(r, &l, asked);
	wbci_exit(t);
	return error ? error : result_of(r, &l);
}

static int read_columns(struct reading *r, const struct wbci_key *k,
                        struct wbci_thread *t)
{
	struct asking asked = {0, false};

	for (;;) {
		bool known = true;
		uint64_t offset;
		int error, result = look_at(r, k, t, &asked, &offset, &known);

		if (known)
			return result;
		error = wbci_row_ask(t, offset, &asked);
		/* What is known, if old, is what it was. */
		if (error)
			return result == WBC_E_UNKNOWN ? error : result;
	}
}

int wbc_read_row(struct wbc_table *t, const struct wbc_value *key, size_t n_key,
                 const unsigned *columns, size_t n, struct wbc_value *values,
                 void *buffer, size_t *room)
{
	struct reading r = {t, columns, n, values, buffer, *room, 0};
	unsigned char bytes[WBC_KEY_MAX];
	struct wbci_thread *thread;
	struct wbci_key k;
	int error = check_columns(&r);

	if (!error)
		error = row_key(t, key, n_key, &k, bytes);
	if (!error)
		error = wbci_handle_thread(t->client, &thread);
	if (!error)
		error = read_columns(&r, &k, thread);
	if (!error || error == -E2BIG)
		*room = r.used;
	return error;
}

int wbc_read(struct wbc_table *t, const struct wbc_value *key, size_t n_key,
             unsigned column, struct wbc_value *value, void *buffer,
             size_t *room)
{
	return wbc_read_row(t, key, n_key, &column, 1, value, buffer, room);
}
