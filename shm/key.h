/* SPDX-License-Identifier: MIT */
/* Copyright the wbcshm authors */

/*
 * Row keys: the values of a row's key columns as one string of bytes.
 *
 * The encoding is canonical, so that one row is one key however it was
 * written, and ordered: memcmp() of two keys of a table orders them as the
 * database orders the values (integers by value, texts by bytes).
 *
 *   int64, timestamp  8 bytes, big endian, sign bit flipped
 *   bool              1 byte, 0 or 1
 *   text, blob        each 0x00 becomes 0x00 0xff, then 0x00 0x00 ends it;
 *                     the last key column is as it is, to the end
 *
 * Doubles are no keys, since -0 and 0 are equal and what is computed is often
 * nearly so; nor are json values, of which one may be written in many ways.
 */
#ifndef WBCI_KEY_H
#define WBCI_KEY_H

#include <stddef.h>
#include <stdint.h>

#include "../api/wbc_table.h"
#include "schema.h"

/**
 * wbci_key_encode() - encode a row's key values
 * @s:      schema
 * @values: all key values, named in any order or unnamed in the order of the
 *          declaration
 * @n:      their number
 * @key:    WBC_KEY_MAX bytes
 *
 * An int column also takes a text of decimal digits, with or without a sign:
 * 1 and "1" are one row.
 *
 * Return: the key's length, 0 for an empty text, or
 *         -EINVAL       @n is more than the key columns, or a text has
 *                       length but no bytes
 *         WBC_E_KEY     a value is doubled, so that another is missing, or
 *                       NULL; or the table has no key columns
 *         WBC_E_COLUMN  a name is not a key column's
 *         WBC_E_TYPE    a value is not of its column's type
 *         -ERANGE       a timestamp outside of the years 1 to 9999
 *         -E2BIG        the key is over WBC_KEY_MAX bytes
 * and @key is undefined.  What texts are made of is left to wbci_key_check().
 */
int wbci_key_encode(const struct wbci_schema *s, const struct wbc_value *values,
                    size_t n, unsigned char *key);

/**
 * wbci_key_decode() - the key values of an encoded key
 * @s:      schema
 * @key:    encoded key; may be hostile
 * @bytes:  its length, at most WBC_KEY_MAX
 * @values: receives s->n_keys values, named, in the order of the keys
 * @text:   WBC_KEY_MAX bytes, to which texts and blobs among @values point
 *
 * Return: 0, or WBC_E_CORRUPT if it is no key of this table.
 */
int wbci_key_decode(const struct wbci_schema *s, const unsigned char *key,
                    size_t bytes, struct wbc_value *values,
                    unsigned char *text);

/**
 * wbci_key_check() - may a database be given the texts of a key?
 * @s:     schema
 * @key:   encoded key
 * @bytes: its length
 *
 * Not done when a key is encoded, since that is on the way of every add: it
 * is asked when a row is new to the segment.
 *
 * Return: 0, or WBC_E_UTF8 if a text is not UTF-8 or has a NUL.
 */
int wbci_key_check(const struct wbci_schema *s, const unsigned char *key,
                   size_t bytes);

#endif
