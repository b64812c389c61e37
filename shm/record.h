/* SPDX-License-Identifier: MIT */
/* Copyright the wbcshm authors */

/*
 * Records of inserted rows: record_shm of layout.h, in lanes, in the journal
 * and on the way to the database.
 */
#ifndef WBCI_RECORD_H
#define WBCI_RECORD_H

#include <stddef.h>
#include <stdint.h>

#include "../api/wbc_table.h"
#include "layout.h"
#include "schema.h"
#include "value.h"

/*
 * Where a record goes: first p[0], then p[1], as a ring has it.  Both begin
 * at a multiple of 8 and are a multiple of 8 long; n[1] may be 0.
 */
struct wbci_span2 {
	unsigned char *p[2];
	size_t n[2];
};

/**
 * wbci_record_size() - check a row's values, and say how large its record is
 * @s:       schema
 * @values:  named in any order, or unnamed in the order of the declaration
 * @n:       their number
 * @columns: receives the column of each value, WBC_COLUMNS_MAX bytes
 *
 * A double column also takes an integer that is a double exactly; a counter is
 * a column of its type.  Any column but a key may be NULL.
 *
 * Return: bytes, a multiple of 8, or
 *         -EINVAL       no values, or more than columns
 *         WBC_E_COLUMN  a name is not a column's, or a column is doubled
 *         WBC_E_TYPE    a value is not of its column's type
 *         WBC_E_KEY     a key column is missing or NULL
 *         or what wbci_value_check() says of a value
 */
int64_t wbci_record_size(const struct wbci_schema *s,
                         const struct wbc_value *values, size_t n,
                         uint8_t *columns);

/**
 * wbci_record_write() - write a record
 * @to:      room for @bytes
 * @table:   number of its table
 * @values:  checked by wbci_record_size()
 * @columns: likewise
 * @n:       their number
 * @bytes:   its answer, exactly what is written
 *
 * Values stay as they were given: an integer for a double column becomes a
 * double in wbci_record_parse().  Padding is zero.
 */
void wbci_record_write(const struct wbci_span2 *to, uint8_t table,
                       const struct wbc_value *values, const uint8_t *columns,
                       size_t n, uint64_t bytes);

/**
 * wbci_record_parse() - look into a record
 * @s:      schema of its table
 * @record: 8-aligned; may be hostile
 * @bytes:  how much there is
 * @values: receives a value for each column present, WBC_COLUMNS_MAX, of
 *          the column's type or NULL; they point into @record, and name the
 *          columns
 * @columns: receives their columns, WBC_COLUMNS_MAX bytes
 *
 * Return: the number of values, or WBC_E_CORRUPT.
 */
int wbci_record_parse(const struct wbci_schema *s, const unsigned char *record,
                      size_t bytes, struct wbc_value *values,
                      uint8_t *columns);

/*
 * Values without a record around them, one behind the other, each a value_shm
 * and its bytes, as long as a multiple of 8.
 */

/* May this column be given this value?  0, or what wbci_record_size() says. */
int wbci_column_check(const struct wbci_column *column,
                      const struct wbc_value *value);

/* Bytes of a checked value, a multiple of 8. */
size_t wbci_value_bytes(const struct wbc_value *value);

/* Write a checked value to that many bytes. */
void wbci_value_write(unsigned char *to, uint8_t column,
                      const struct wbc_value *value);

/**
 * wbci_values_parse() - look into values that stand one behind the other
 * @p:       8-aligned; may be hostile
 * @bytes:   how much there is; all of it must be values
 * @n:       how many they must be
 * @values:  receives them, as wbci_record_parse() does, in their order
 * @columns: receives their columns, each of them once
 *
 * Return: 0 or WBC_E_CORRUPT.
 */
int wbci_values_parse(const struct wbci_schema *s, const unsigned char *p,
                      size_t bytes, size_t n, struct wbc_value *values,
                      uint8_t *columns);

#endif
