/* SPDX-License-Identifier: MIT */
/* Copyright the wbcshm authors */

/*
 * Values as the commands take and show them:
 *
 *   int        12
 *   double     0.5
 *   text       as it is
 *   bool       true, false; also 1 and 0 are taken
 *   json       as it is
 *   timestamp  2026-01-31T12:00:00.500000Z; see units/moment.h for more that
 *              is taken
 *   blob       x'00ff'; the digits alone are taken too
 */
#ifndef WBC_VALUE_H
#define WBC_VALUE_H

#include "json.h"
#include "../api/wbc_table.h"
#include "../shm/schema.h"

/* Bytes that the text of a key of @bytes and @n columns takes at most. */
#define VALUE_TEXT(bytes, n) (4 * (bytes) + 8 * (n) + 1)

/**
 * value_parse() - read a value for a column
 * @text:  overwritten if the column is a blob's; @value may point into it
 * @value: receives the value, named as the column
 *
 * Return: NULL, or what is wanted instead, in words.
 */
const char *value_parse(const struct wbci_column *column, char *text,
                        struct wbc_value *value);

/**
 * value_put() - the text of a value, without a NUL
 * @text: VALUE_TEXT() bytes
 *
 * Return: its length.
 */
size_t value_put(char *text, const struct wbc_value *v);

/* The same in JSON: bools and numbers as such, the others as strings. */
void value_json(struct json *j, const struct wbc_value *v);

#endif
