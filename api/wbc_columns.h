/* SPDX-License-Identifier: MIT */
/* Copyright the wbcshm authors */

/* Setting the columns of rows, and reading them.  Included by wbcshm.h. */
#ifndef WBC_COLUMNS_H
#define WBC_COLUMNS_H

#include <stddef.h>
#include <stdint.h>

#include "wbc_error.h"
#include "wbc_table.h"

#ifdef __cplusplus
extern "C" {
#endif

/**
 * wbc_update() - set plain columns of one row
 * @t:        table
 * @key:      as for wbc_add_int64()
 * @n_key:    number of them
 * @values:   what they are set to, named in any order, or unnamed in the order
 *            of the table's plain columns; wbc_null() is NULL
 * @n_values: number of them, at least one
 *
 * All columns of a call change at once: no reader and no kill finds some of
 * them.  The last write wins, column by column; what the database gets is the
 * last value of each, in one statement a row however often it was set.  A
 * counted column is set by wbc_set_int64() or wbc_set_double().
 *
 * When it returns 0 the change is in the segment: it survives the death of this
 * process and reaches the database exactly once.
 *
 * Progress: lock-free.   Blocks: never, but when the segment is full: at most
 * wbc_options.full_wait_ms, until the flusher has removed idle rows.
 * Fork: safe.   Durable: no; see wbc_sync().
 *
 * Return: 0, or the errors of wbc_add_int64() that concern the key, and
 *               -EINVAL        no values, or more than there are columns
 *               WBC_E_COLUMN   no such column, it is not plain, or it is there
 *                              twice
 *               WBC_E_TYPE     a value is of another type than its column
 *               WBC_E_NAN, WBC_E_UTF8, WBC_E_JSON, -ERANGE  see wbc_value
 *               -E2BIG         a value is over WBC_VALUE_MAX bytes
 *               -ENOSPC        no memory in the segment (see its message)
 *               -EUSERS        more threads than thread slots
 *               WBC_E_CORRUPT  the segment failed a check
 * and nothing was changed.
 */
WBC_API int wbc_update(struct wbc_table *t, const struct wbc_value *key,
                       size_t n_key, const struct wbc_value *values,
                       size_t n_values);

/**
 * wbc_set_int64() - set a counted column of one row
 * @value: what it is to be; other parameters as wbc_add_int64()
 *
 * Adds before it have no effect any more, adds after it add to it; for the
 * database it is one more addition, of the difference to the value that the row
 * has.  That is read first if it is not known, as wbc_read_int64() does.
 *
 * Return: as wbc_add_get_int64(); -ERANGE also if the difference is over 2^61.
 */
WBC_API int wbc_set_int64(struct wbc_table *t, const struct wbc_value *key,
                          size_t n_key, unsigned column, int64_t value);

/** wbc_set_double() - as wbc_set_int64(), for a `double counter` */
WBC_API int wbc_set_double(struct wbc_table *t, const struct wbc_value *key,
                           size_t n_key, unsigned column, double value);

/**
 * wbc_read() - the current value of a column of any kind but a key's
 * @column: its number
 * @value:  receives it, named by its column; texts, jsons and blobs point
 *          into
 * @buffer: room for them, @room bytes of it; may be NULL if there is none
 * @room:   receives how much is used, or after -E2BIG how much is needed
 *
 * Other parameters as wbc_add_int64().  What the database has is read first
 * where it is not known, and anew when it is older than the flusher's base_ttl;
 * what was set here is seen at once, before and after it is applied.
 *
 * Progress: lock-free where the value is at hand.   Blocks: else until the
 * flusher has read it, at most wbc_options.load_wait_ms.   Fork: safe.
 *
 * Return: 0, or the errors of wbc_read_int64(), and
 *               WBC_E_COLUMN   no such column, or it is one of the key
 *               WBC_E_NOROW    there is no such row; or it will be made by
 *                              what is pending, and this column was not set
 *               WBC_E_UNKNOWN  what the database has is not of the column's
 *                              type; or this handle does not wait, and it is
 *                              not known
 *               -E2BIG         it needs more than *@room bytes
 *               -ENOSPC        what was read has no room in the segment
 */
WBC_API int wbc_read(struct wbc_table *t, const struct wbc_value *key,
                     size_t n_key, unsigned column, struct wbc_value *value,
                     void *buffer, size_t *room);

/**
 * wbc_read_row() - the current values of several columns of a row
 * @columns: their numbers, @n of them
 * @values:  receives @n values; after an error there is nothing of use in them
 *
 * As wbc_read(); plain columns are as they were at one moment.
 */
WBC_API int wbc_read_row(struct wbc_table *t, const struct wbc_value *key,
                         size_t n_key, const unsigned *columns, size_t n,
                         struct wbc_value *values, void *buffer, size_t *room);

#ifdef __cplusplus
}
#endif

#endif
