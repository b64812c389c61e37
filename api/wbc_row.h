/* SPDX-License-Identifier: MIT */
/* Copyright the wbcshm authors */

/* Counting, inserting and reading rows.  Included by wbcshm.h. */
#ifndef WBC_ROW_H
#define WBC_ROW_H

#include <stddef.h>
#include <stdint.h>

#include "wbc_error.h"
#include "wbc_table.h"

#ifdef __cplusplus
extern "C" {
#endif

struct wbc_counter;

/**
 * wbc_add_int64() - add to a counted column of one row
 * @t:      table
 * @key:    the row's key values, named in any order, or unnamed in the order
 *          of the declaration; each key column takes a value of its type, an
 *          int key also a text of decimal digits
 * @n_key:  number of them: all key columns
 * @column: number of a column declared `counter`, see wbc_column()
 * @delta:  what to add; 0 is allowed and does nothing but check
 *
 * When it returns 0 the change is in the segment: it survives the death of
 * this process and reaches the database exactly once.
 *
 * Progress: lock-free.   Blocks: never, but when a new row finds the segment
 * full: at most wbc_options.full_wait_ms, until the flusher has removed idle
 * rows (a system call only then, and when the segment grows by 2 MiB).
 * Fork: safe.   Durable: no; see wbc_sync().
 *
 * Return: 0, or -EINVAL       more values than key columns, or one has no bytes
 *               WBC_E_KEY     a key value is missing, doubled or NULL
 *               WBC_E_COLUMN  no such column, or it is not counted
 *               WBC_E_TYPE    a value or the column is of another type
 *               -E2BIG        the key is over WBC_KEY_MAX bytes
 *               WBC_E_UTF8    a text of the key, whose row is new to the
 *                             segment, is not UTF-8 or has a NUL
 *               -ERANGE       the sum would leave the range of the counter, or
 *                             a timestamp the years 1 to 9999
 *               -ENOSPC       no memory for a new row (see its message)
 *               -EUSERS       more threads than thread slots
 *               WBC_E_CORRUPT the segment failed a check
 * and nothing was added.
 */
WBC_API int wbc_add_int64(struct wbc_table *t, const struct wbc_value *key,
                          size_t n_key, unsigned column, int64_t delta);

/**
 * wbc_add_double() - add to a column declared `double counter`
 *
 * As wbc_add_int64(); WBC_E_NAN if @delta is NaN or infinite, -ERANGE if the
 * sum would be.
 */
WBC_API int wbc_add_double(struct wbc_table *t, const struct wbc_value *key,
                           size_t n_key, unsigned column, double delta);

/**
 * wbc_add_get_int64() - add, and learn the new value
 * @total: receives the database's value plus all that is pending, this
 *         addition included
 *
 * What the database has is read first if it is not known, as
 * wbc_read_int64() does; a row that it does not have counts from 0 where the
 * flusher's on_missing is insert.
 *
 * Return: as wbc_add_int64() and wbc_read_int64(); after an error nothing was
 * added.
 */
WBC_API int wbc_add_get_int64(struct wbc_table *t, const struct wbc_value *key,
                              size_t n_key, unsigned column, int64_t delta,
                              int64_t *total);

/** wbc_add_get_double() - as wbc_add_get_int64(), for a `double counter` */
WBC_API int wbc_add_get_double(struct wbc_table *t,
                               const struct wbc_value *key, size_t n_key,
                               unsigned column, double delta, double *total);

/**
 * wbc_read_int64() - the current value of a counted column
 * @value: receives the database's value plus all that is pending
 *
 * Parameters as wbc_add_int64().
 *
 * The first look at a row has the flusher read it from the database; from then
 * on the value is at hand.  It is read anew when it is older than the flusher's
 * base_ttl, and refreshed whenever the row is applied; so what others write to
 * the database is seen, if late.  A NULL counts as 0.
 *
 * Progress: lock-free where the value is at hand.   Blocks: else until the
 * flusher has read it, at most wbc_options.load_wait_ms.   Fork: safe.
 *
 * Return: 0, or the errors of wbc_add_int64(), and
 *               WBC_E_NOROW     the database has no such row
 *               WBC_E_UNKNOWN   what it has is no number; or this handle does
 *                               not wait, and it is not known
 *               -ETIMEDOUT      not read in time: the database may be away
 *               WBC_E_NOFLUSHER the same, and no flusher is alive
 *               WBC_E_TABLE, WBC_E_SCHEMA  the flusher was not told of the
 *                               table, or of another one
 *               WBC_E_PARKED    the database refuses the table as a whole
 * No error is remembered.
 */
WBC_API int wbc_read_int64(struct wbc_table *t, const struct wbc_value *key,
                           size_t n_key, unsigned column, int64_t *value);

/** wbc_read_double() - as wbc_read_int64(), for a `double counter` */
WBC_API int wbc_read_double(struct wbc_table *t, const struct wbc_value *key,
                            size_t n_key, unsigned column, double *value);

/**
 * wbc_counter_open() - remember one column of one row, for fast adding
 * @t, @key, @n_key, @column: as wbc_add_int64()
 * @counter: receives the handle, freed by wbc_counter_close() or wbc_close()
 *
 * A handle pins nothing: if the row is removed from the segment meanwhile,
 * the next call finds or makes it again.  It may be shared by threads.
 *
 * Return: as wbc_add_int64(), and -ENOMEM.
 */
WBC_API int wbc_counter_open(struct wbc_table *t, const struct wbc_value *key,
                             size_t n_key, unsigned column,
                             struct wbc_counter **counter);

/** wbc_counter_close() - free a counter, set it to NULL */
WBC_API void wbc_counter_close(struct wbc_counter **counter);

/**
 * wbc_counter_add() - add to an int64 counter through its handle
 * @counter: handle
 * @delta:   what to add
 *
 * The common case is one fetch_add and no system call.
 *
 * Progress: lock-free.   Blocks: as wbc_add_int64(), if the row was removed from
 * the segment meanwhile.   Fork: safe.
 *
 * Return: 0, or the errors of wbc_add_int64() that concern no key.
 */
WBC_API int wbc_counter_add(struct wbc_counter *counter, int64_t delta);

/** wbc_counter_add_double() - as wbc_counter_add(), for a `double counter` */
WBC_API int wbc_counter_add_double(struct wbc_counter *counter, double delta);

/**
 * wbc_counter_read() - as wbc_read_int64(), through a handle
 *
 * Makes the row if it was removed from the segment meanwhile, and blocks then
 * as wbc_add_int64() may.
 */
WBC_API int wbc_counter_read(struct wbc_counter *counter, int64_t *value);

/** wbc_counter_read_double() - as wbc_read_double(), through a handle */
WBC_API int wbc_counter_read_double(struct wbc_counter *counter,
                                    double *value);

/**
 * wbc_insert() - append a row to a table
 * @t:          table
 * @values:     named in any order, or unnamed in the order of the
 *              declaration; a column that is left out takes the database's
 *              DEFAULT, one given as wbc_null() is NULL
 * @n_values:   number of them, at least one
 * @timeout_ms: how long to wait while this thread's lane is full; 0 not at
 *              all, -1 without end
 *
 * Progress: wait-free unless the lane is full.   Blocks: up to @timeout_ms,
 * when the flusher is behind by a whole lane.   Fork: safe.   Durable: no;
 * see wbc_sync().
 *
 * Return: 0, or WBC_E_COLUMN    a name is not a column's, or appears twice
 *               WBC_E_TYPE      a value is of another type than its column
 *               WBC_E_KEY       a key column is missing or NULL
 *               WBC_E_NAN       NaN or infinite
 *               WBC_E_UTF8      a text is not UTF-8, or has a NUL
 *               WBC_E_JSON      a json is none, or nested too deeply
 *               -ERANGE         a timestamp outside of the years 1 to 9999
 *               -EINVAL         no values, or more than columns
 *               -E2BIG          the row is larger than half a lane
 *               -EAGAIN         the lane is still full after @timeout_ms
 *               WBC_E_NOFLUSHER the same, and no flusher is alive
 *               -ENOSPC         no memory for the lane (see its message)
 *               -EUSERS         more threads than thread slots
 *               WBC_E_CORRUPT   the segment failed a check
 * and nothing was inserted.
 */
WBC_API int wbc_insert(struct wbc_table *t, const struct wbc_value *values,
                       size_t n_values, int timeout_ms);

#ifdef __cplusplus
}
#endif

#endif
