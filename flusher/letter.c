/* SPDX-License-Identifier: MIT */
/* Copyright the wbcshm authors */

#include "letter.h"

#include <inttypes.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../shm/cell.h"
#include "../shm/utf8.h"
#include "../units/moment.h"

static bool is_utf8(const unsigned char *p, uint32_t bytes)
{
	unsigned n;

	for (; bytes; p += n, bytes -= n) {
		n = wbci_utf8_bytes(p, bytes);
		if (!n)
			return false;
	}
	return true;
}

static void put_string(FILE *f, const unsigned char *p, uint32_t bytes)
{
	fputc('"', f);
	for (uint32_t i = 0; i < bytes; i++) {
		if (p[i] == '"' || p[i] == '\\')
			fprintf(f, "\\%c", p[i]);
		else if (p[i] < ' ')
			fprintf(f, "\\u%04x", p[i]);
		else
			putc_unlocked(p[i], f);
	}
	fputc('"', f);
}

static void put_hex(FILE *f, const char *name, const unsigned char *p,
                    uint32_t bytes)
{
	static const char digits[] = "0123456789abcdef";

	fprintf(f, "{\"%s\":\"", name);
	for (uint32_t i = 0; i < bytes; i++) {
		putc_unlocked(digits[p[i] >> 4], f);
		putc_unlocked(digits[p[i] & 15], f);
	}
	fputs("\"}", f);
}

static void put_value(FILE *f, const struct wbc_value *v)
{
	char moment[UNITS_TEXT];

	switch (v->type) {
	case WBC_INT64:
		fprintf(f, "%" PRId64, v->v.i);
		break;
	case WBC_DOUBLE:
		if (isfinite(v->v.d))
			fprintf(f, "%.17g", v->v.d);
		else
			fputs("null", f);
		break;
	case WBC_BOOL:
		fputs(v->v.i ? "true" : "false", f);
		break;
	case WBC_TIMESTAMP:
		fprintf(f, "\"%s\"", units_say_moment(moment, v->v.i));
		break;
	case WBC_TEXT:
	case WBC_JSON:
		if (is_utf8(v->v.p, v->bytes))
			put_string(f, v->v.p, v->bytes);
		else
			put_hex(f, "text_hex", v->v.p, v->bytes);
		break;
	case WBC_BLOB:
		put_hex(f, "blob_hex", v->v.p, v->bytes);
		break;
	case WBC_NULL:
		fputs("null", f);
		break;
	}
}

char *wbci_letter_json(const struct wbc_value *values, unsigned n)
{
	char *text = NULL;
	size_t size;
	FILE *f = open_memstream(&text, &size);

	if (!f)
		return NULL;
	fputc('{', f);
	for (unsigned i = 0; i < n; i++) {
		/* Names are letters, digits and _. */
		fprintf(f, "%s\"%s\":", i ? "," : "", values[i].name);
		put_value(f, &values[i]);
	}
	fputc('}', f);
	if (fclose(f)) {
		free(text);
		return NULL;
	}
	return text;
}

char *wbci_letter_change(const struct wbci_rowset *rs,
                         const struct wbci_row *row)
{
	struct wbc_value values[WBC_COLUMNS_MAX];
	uint8_t columns[WBC_COLUMNS_MAX];
	unsigned n = 0;

	for (unsigned i = 0; i < rs->schema.n_cells; i++) {
		bool is_double = rs->doubles >> i & 1;
		const char *name =
			rs->schema.columns[rs->schema.cell_column[i]].name;

		if (wbci_delta_zero(is_double, row->delta[i]))
			continue;
		values[n++] =
			is_double ? wbc_double(name,
		                               wbci_double_of(row->delta[i]))
				  : wbc_int64(name, (int64_t)row->delta[i]);
	}
	if (row->set) {
		wbci_set_values(rs, row->set, values + n, columns);
		n += row->set->n;
	}
	return wbci_letter_json(values, n);
}
