/* SPDX-License-Identifier: MIT */
/* Copyright the wbcshm authors */

#include "set.h"

#include <assert.h>
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "../api/wbc_error.h"
#include "../shm/record.h"
#include "rowset.h"

/* What comes: a value for each column that has one, by its column. */
struct news {
	uint64_t columns;
	const struct wbc_value *value[WBC_COLUMNS_MAX];
};

static int take_news(const struct wbci_rowset *rs, struct news *news,
                     const struct wbc_value *values, const uint8_t *columns,
                     unsigned n)
{
	const struct wbci_schema *s = &rs->schema;

	news->columns = 0;
	for (unsigned i = 0; i < n; i++) {
		unsigned c = columns[i];

		if (c >= s->n_columns || s->columns[c].role != ROLE_PLAIN ||
		    (news->columns >> c & 1) ||
		    wbci_column_check(&s->columns[c], &values[i]))
			return WBC_E_CORRUPT;
		news->columns |= UINT64_C(1) << c;
		news->value[c] = &values[i];
	}
	return 0;
}

/* A value that stands in a set: our own memory, checked when it came. */
static uint32_t bytes_at(const unsigned char *p, unsigned *column)
{
	struct value_shm head;

	memcpy(&head, p, sizeof(head));
	*column = head.column;
	return (uint32_t)sizeof(head) + ((head.bytes + 7) & ~7u);
}

/* Replace values by others that are as long; false if some are not. */
static bool replace(struct wbci_set *set, const struct news *news)
{
	unsigned char *p = (unsigned char *)set->values;
	unsigned char *end = p + set->bytes;
	unsigned char *place[WBC_COLUMNS_MAX];
	unsigned c;

	if (news->columns & ~set->columns)
		return false;
	for (uint32_t bytes; p < end; p += bytes) {
		bytes = bytes_at(p, &c);
		place[c] = p;
		if ((news->columns >> c & 1) &&
		    wbci_value_bytes(news->value[c]) != bytes)
			return false;
	}
	for (c = 0; c < WBC_COLUMNS_MAX; c++)
		if (news->columns >> c & 1)
			wbci_value_write(place[c], (uint8_t)c, news->value[c]);
	return true;
}

/* Both by their columns, a new value in place of an old one.  Without @to
 * only counts. */
static uint64_t merge(unsigned char *to, const unsigned char *old,
                      uint32_t old_bytes, const struct news *news)
{
	const unsigned char *end = old + old_bytes;
	uint64_t at = 0;
	uint32_t bytes;
	unsigned column;

	for (unsigned c = 0; c < WBC_COLUMNS_MAX; c++) {
		if (old < end) {
			bytes = bytes_at(old, &column);
			if (column == c) {
				if (to && !(news->columns >> c & 1))
					memcpy(to + at, old, bytes);
				if (!(news->columns >> c & 1))
					at += bytes;
				old += bytes;
			}
		}
		if (news->columns >> c & 1) {
			if (to)
				wbci_value_write(to + at, (uint8_t)c,
				                 news->value[c]);
			at += wbci_value_bytes(news->value[c]);
		}
	}
	return at;
}

/* A set with room for values that became longer. */
static struct wbci_set *larger_set(struct wbci_rowset *rs,
                                   const struct wbci_set *old, uint64_t bytes)
{
	uint64_t room = old ? old->room + (uint64_t)old->room / 2 : 0;
	struct wbci_set *set;

	room = (room < bytes ? bytes : room) & ~UINT64_C(7);
	set = wbci_rowset_take(rs, sizeof(*set) + room);
	if (!set)
		return NULL;
	memset(set, 0, sizeof(*set));
	set->room = (uint32_t)room;
	return set;
}

/* Merge within the set's own room, by way of a copy. */
static int rewrite(struct wbci_set *set, const struct news *news)
{
	unsigned char *copy = malloc(set->bytes);

	if (!copy)
		return -ENOMEM;
	memcpy(copy, set->values, set->bytes);
	merge((unsigned char *)set->values, copy, set->bytes, news);
	free(copy);
	return 0;
}

int wbci_set_change(struct wbci_rowset *rs, struct wbci_set **place,
                    const struct wbc_value *values, const uint8_t *columns,
                    unsigned n)
{
	struct wbci_set *old = *place;
	const unsigned char *p = old ? (unsigned char *)old->values : NULL;
	struct wbci_set *set = old;
	struct news news;
	uint64_t bytes;
	int error = take_news(rs, &news, values, columns, n);

	if (error || (old && replace(old, &news)))
		return error;
	bytes = merge(NULL, p, old ? old->bytes : 0, &news);
	if (!old || old->room < bytes) {
		set = larger_set(rs, old, bytes);
		if (!set)
			return -ENOMEM;
		merge((unsigned char *)set->values, p, old ? old->bytes : 0,
		      &news);
	} else if (rewrite(old, &news)) {
		return -ENOMEM;
	}
	rs->sets_bytes += bytes - (old ? old->bytes : 0);
	set->columns = news.columns | (old ? old->columns : 0);
	set->n = (uint32_t)__builtin_popcountll(set->columns);
	set->bytes = (uint32_t)bytes;
	*place = set;
	return 0;
}

void wbci_set_values(const struct wbci_rowset *rs, const struct wbci_set *set,
                     struct wbc_value *values, uint8_t *columns)
{
	int error = wbci_values_parse(&rs->schema,
	                              (const unsigned char *)set->values,
	                              set->bytes, set->n, values, columns);

	assert(!error);
	(void)error;
}
