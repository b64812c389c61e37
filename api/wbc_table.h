/* SPDX-License-Identifier: MIT */
/* Copyright the wbcshm authors */

/* Tables, their columns, and values.  Included by wbcshm.h. */
#ifndef WBC_TABLE_H
#define WBC_TABLE_H

#include <stddef.h>
#include <stdint.h>

#include "wbc_error.h"
#include "wbc_open.h"

#ifdef __cplusplus
extern "C" {
#endif

struct wbc_table;

/* Limits.  A longer name or key, or one column more, is an error. */
#define WBC_NAME_MAX 63     /* bytes of a table, column or segment name */
#define WBC_KEY_MAX 1024    /* bytes of all key values of one row, encoded */
#define WBC_COLUMNS_MAX 64  /* columns of a table */
#define WBC_COUNTERS_MAX 16 /* counted columns of a table */
#define WBC_TABLES_MAX 255  /* tables of a segment */
#define WBC_VALUE_MAX (1u << 20) /* bytes of a value that wbc_update() sets */
#define WBC_JSON_DEPTH 512  /* arrays and objects of a json in each other */

enum wbc_type {
	WBC_NULL = 0,
	WBC_INT64 = 1,
	WBC_DOUBLE = 2,
	WBC_TEXT = 3, /* UTF-8 without NUL */
	WBC_BLOB = 4,
	WBC_BOOL = 5,     /* 0 or 1, in v.i */
	WBC_JSON = 6,     /* a text as RFC 8259 has it, in v.p */
	WBC_TIMESTAMP = 7 /* microseconds since 1970-01-01 UTC, in v.i */
};

/* The first and the last microsecond of the years 1 to 9999, in UTC. */
#define WBC_TIMESTAMP_MIN (-INT64_C(62135596800000000))
#define WBC_TIMESTAMP_MAX INT64_C(253402300799999999)

/**
 * struct wbc_value - one value, named or by position
 * @name:  the column's name, or NULL: the place in the array decides (of the
 *         key columns in a key, of all columns in an insert)
 * @type:  which of @v holds it
 * @bytes: length of a text, json or blob; a text need not end in NUL
 * @v:     the value; what @p points to is copied by the call
 *
 * A value that a database would bend is refused when it is given, not when it
 * is applied:
 *   text       what is not UTF-8, or has a NUL: WBC_E_UTF8
 *   json       what RFC 8259 does not allow, or is nested deeper than
 *              WBC_JSON_DEPTH: WBC_E_JSON.  The text is kept as it is
 *   bool       what is neither 0 nor 1: WBC_E_TYPE
 *   timestamp  what is outside of WBC_TIMESTAMP_MIN and _MAX: -ERANGE
 *   double     NaN and infinities: WBC_E_NAN
 * A key of texts is compared as bytes; it is looked at when its row is new to
 * the segment, so that finding it again costs nothing.
 */
struct wbc_value {
	const char *name;
	enum wbc_type type;
	uint32_t bytes;
	union {
		int64_t i;
		double d;
		const void *p;
	} v;
};

static inline struct wbc_value wbc_int64(const char *name, int64_t i)
{
	struct wbc_value value;

	value.name = name;
	value.type = WBC_INT64;
	value.bytes = 0;
	value.v.i = i;
	return value;
}

static inline struct wbc_value wbc_double(const char *name, double d)
{
	struct wbc_value value;

	value.name = name;
	value.type = WBC_DOUBLE;
	value.bytes = 0;
	value.v.d = d;
	return value;
}

static inline struct wbc_value wbc_text(const char *name, const char *p,
                                        uint32_t bytes)
{
	struct wbc_value value;

	value.name = name;
	value.type = WBC_TEXT;
	value.bytes = bytes;
	value.v.p = p;
	return value;
}

static inline struct wbc_value wbc_blob(const char *name, const void *p,
                                        uint32_t bytes)
{
	struct wbc_value value;

	value.name = name;
	value.type = WBC_BLOB;
	value.bytes = bytes;
	value.v.p = p;
	return value;
}

/* Any number but 0 is true, as in C. */
static inline struct wbc_value wbc_bool(const char *name, int truth)
{
	struct wbc_value value;

	value.name = name;
	value.type = WBC_BOOL;
	value.bytes = 0;
	value.v.i = truth != 0;
	return value;
}

static inline struct wbc_value wbc_json(const char *name, const char *p,
                                        uint32_t bytes)
{
	struct wbc_value value;

	value.name = name;
	value.type = WBC_JSON;
	value.bytes = bytes;
	value.v.p = p;
	return value;
}

static inline struct wbc_value wbc_timestamp(const char *name, int64_t us)
{
	struct wbc_value value;

	value.name = name;
	value.type = WBC_TIMESTAMP;
	value.bytes = 0;
	value.v.i = us;
	return value;
}

static inline struct wbc_value wbc_null(const char *name)
{
	struct wbc_value value;

	value.name = name;
	value.type = WBC_NULL;
	value.bytes = 0;
	value.v.i = 0;
	return value;
}

/**
 * wbc_table_declare() - say what a table is like, or find it again
 * @c:       cache handle
 * @spec:    "[connection.]name(column, ...) [on_missing=POLICY]"
 *           where a column is one of
 *             NAME TYPE key         addresses the row; TYPE is int, text,
 *                                   bool, timestamp or blob
 *             NAME counter          64-bit integer, added to
 *             NAME double counter   double, added to
 *             NAME TYPE             set by inserts and updates; TYPE is int,
 *                                   double, text, blob, bool, json or timestamp
 *           and POLICY, what a change of a row that the database does not
 *           have becomes, is deadletter (default), insert or ignore.
 *           The flusher's --table decides it.  Who gives one here says what
 *           he counts on: others may give the same or none, and a flusher
 *           that does otherwise parks the table.  There is one connection so
 *           far, `default`.
 *           Names are letters, digits and _, not beginning with a digit
 * @t:       receives the table, freed by wbc_close()
 * @message: where to put words about a failure; NULL for none
 * @message_size: bytes at @message; it is always NUL-terminated
 *
 * The declaration stands in the segment: every process sees the same table,
 * and a different second declaration is an error.  The flusher must have been
 * told of the table too, else what is done to it is journaled and waits.
 *
 * Progress: lock-free.   Blocks: never.   Fork: safe.
 *
 * Return: 0, or WBC_E_SPEC     the specification does not parse
 *               WBC_E_SCHEMA   the table is declared, differently
 *               -ENAMETOOLONG  a name is over WBC_NAME_MAX bytes
 *               -E2BIG         too many columns or tables
 *               -ENOSPC        no memory in the segment (see its message)
 *               -ENOMEM        no memory in this process
 *               WBC_E_CORRUPT  the segment failed a check
 */
WBC_API int wbc_table_declare(struct wbc *c, const char *spec,
                              struct wbc_table **t, char *message,
                              size_t message_size);

/**
 * wbc_column() - the number of a column
 * @t:    table
 * @name: the column's name
 *
 * Progress: wait-free.   Blocks: never.   Fork: safe.
 *
 * Return: 0.. in the order of the declaration, or WBC_E_COLUMN.
 */
WBC_API int wbc_column(const struct wbc_table *t, const char *name);

#ifdef __cplusplus
}
#endif

#endif
