/* SPDX-License-Identifier: MIT */
/* Copyright the wbcshm authors */

#include "value.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "../units/moment.h"
#include "view.h"

/* Two hexadecimal digits a byte, turned into bytes in place. */
static bool parse_hex(char *text, size_t n, uint32_t *bytes)
{
	unsigned byte;

	if (n % 2 || strspn(text, "0123456789abcdefABCDEF") < n)
		return false;
	for (size_t i = 0; i < n; i += 2) {
		sscanf(text + i, "%2x", &byte);
		text[i / 2] = (char)byte;
	}
	*bytes = (uint32_t)(n / 2);
	return true;
}

/* x'00ff' or 00ff. */
static bool parse_blob(char *text, struct wbc_value *value)
{
	size_t n = strlen(text);

	if (n >= 3 && (*text == 'x' || *text == 'X') && text[1] == '\'' &&
	    text[n - 1] == '\'') {
		text += 2;
		n -= 3;
	}
	value->v.p = text;
	return parse_hex(text, n, &value->bytes);
}

static bool parse_bool(const char *text, int64_t *truth)
{
	*truth = !strcmp(text, "true") || !strcmp(text, "1");
	return *truth || !strcmp(text, "false") || !strcmp(text, "0");
}

const char *value_parse(const struct wbci_column *column, char *text,
                        struct wbc_value *value)
{
	*value = wbc_null(column->name);
	value->type = (enum wbc_type)column->type;
	switch (value->type) {
	case WBC_INT64:
		return units_int64(text, &value->v.i) ? NULL
		                                      : "an integer of 64 bits";
	case WBC_DOUBLE:
		return units_double(text, &value->v.d) ? NULL : "a number";
	case WBC_BLOB:
		return parse_blob(text, value) ? NULL
		                               : "bytes in hexadecimal digits";
	case WBC_BOOL:
		return parse_bool(text, &value->v.i) ? NULL : "true or false";
	case WBC_TIMESTAMP:
		return units_moment(text, &value->v.i)
		               ? NULL
		               : "a time like 2026-01-31T12:00:00.5Z, nor "
		                 "microseconds";
	case WBC_TEXT:
	case WBC_JSON:
		value->v.p = text;
		value->bytes = (uint32_t)strlen(text);
		return NULL;
	case WBC_NULL:
		break;
	}
	return "of a known type";
}

size_t value_put(char *text, const struct wbc_value *v)
{
	char said[UNITS_TEXT];

	switch (v->type) {
	case WBC_INT64:
		return (size_t)sprintf(text, "%" PRId64, v->v.i);
	case WBC_DOUBLE:
		return (size_t)sprintf(text, "%s",
		                       units_say_double(said, v->v.d));
	case WBC_BOOL:
		return (size_t)sprintf(text, "%s", v->v.i ? "true" : "false");
	case WBC_TIMESTAMP:
		return (size_t)sprintf(text, "%s",
		                       units_say_moment(said, v->v.i));
	case WBC_BLOB:
		memcpy(text, "x'", 2);
		view_hex(text + 2, v->v.p, v->bytes);
		text[2 + 2 * (size_t)v->bytes] = '\'';
		return 3 + 2 * (size_t)v->bytes;
	case WBC_TEXT:
	case WBC_JSON:
		memcpy(text, v->v.p, v->bytes);
		return v->bytes;
	case WBC_NULL:
		break;
	}
	return (size_t)sprintf(text, "NULL");
}

void value_json(struct json *j, const struct wbc_value *v)
{
	char text[VALUE_TEXT(WBC_KEY_MAX, 1)];

	switch (v->type) {
	case WBC_INT64:
		json_int(j, v->name, v->v.i);
		break;
	case WBC_DOUBLE:
		json_double(j, v->name, v->v.d);
		break;
	case WBC_BOOL:
		json_bool(j, v->name, v->v.i);
		break;
	case WBC_TEXT:
	case WBC_JSON:
		json_bytes(j, v->name, v->v.p, v->bytes);
		break;
	case WBC_TIMESTAMP:
	case WBC_BLOB:
		json_bytes(j, v->name, text, value_put(text, v));
		break;
	case WBC_NULL:
		json_null(j, v->name);
		break;
	}
}
