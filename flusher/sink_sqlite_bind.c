/* SPDX-License-Identifier: MIT */
/* Copyright the wbcshm authors */

/*
 * Values, as the columns of a table take them.
 *
 * SQLite converts what does not suit a column's declared type, and says
 * nothing: 2^53 + 1 becomes 2^53 in a column of type REAL, the text 01 becomes
 * 1 in one of type NUMERIC - which is also what it makes of the type JSON -,
 * and of a double 15 digits are left in one of type TEXT.  A value that would
 * not be the same when it is read is refused instead, as a row of the table
 * that cannot be written; those that stay what they are, are given to it.
 */

#include "sink_sqlite.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../api/wbc_error.h"
#include "../units/moment.h"

/* Digits of a decimal that a double keeps; those of the longest int64. */
#define REAL_DIGITS 15u
#define INTEGER_BYTES 20u

static void see_column(struct wbci_sink *s, unsigned column)
{
	const struct wbci_schema *schema = &s->work->rows.schema;
	const char *type = NULL;

	/* No such table or column, or a view: others will say so. */
	sqlite3_table_column_metadata(s->db, "main", schema->name,
	                              schema->columns[column].name, &type, NULL,
	                              NULL, NULL, NULL);
	s->target->affinity[column] =
		(uint8_t)wbci_sqlite_affinity(s->db, schema->name, type);
}

enum verdict wbci_sqlite_see_columns(struct wbci_sink *s)
{
	struct target *t = s->target;
	int64_t version = 0;
	bool found;
	enum verdict v = wbci_sqlite_ask(s, s->fixed[FIXED_VERSION], &found,
	                                 &version, 1);

	if (v != STEP_OK || (t->seen && t->version == version))
		return v;
	for (unsigned i = 0; i < s->work->rows.schema.n_columns; i++)
		see_column(s, i);
	t->seen = true;
	t->checked = false;
	t->version = version;
	return STEP_OK;
}

/* A decimal number in a text, as SQLite would find it there. */
struct decimal {
	const char *digits; /* before the point */
	uint32_t whole;
	uint32_t fraction;
	bool plain; /* a minus at most; no spaces, no exponent */
};

static uint32_t count_digits(const char *p, const char *end)
{
	const char *from = p;

	while (p < end && *p >= '0' && *p <= '9')
		p++;
	return (uint32_t)(p - from);
}

static const char *skip_space(const char *p, const char *end)
{
	while (p < end && (*p == ' ' || (*p >= '\t' && *p <= '\r')))
		p++;
	return p;
}

/* [sign] digits, where digits are needed; NULL if there are none. */
static const char *skip_exponent(const char *p, const char *end)
{
	uint32_t n;

	if (p < end && (*p == '+' || *p == '-'))
		p++;
	n = count_digits(p, end);
	return n ? p + n : NULL;
}

/* Is all of the text a number? */
static bool find_decimal(const char *p, const char *end, struct decimal *d)
{
	const char *start = p;

	memset(d, 0, sizeof(*d));
	p = skip_space(p, end);
	d->plain = p == start;
	if (p < end && (*p == '+' || *p == '-'))
		d->plain &= *p++ == '-';
	d->digits = p;
	d->whole = count_digits(p, end);
	p += d->whole;
	if (p < end && *p == '.') {
		d->fraction = count_digits(++p, end);
		p += d->fraction;
		d->plain &= d->fraction != 0;
	}
	if (!d->whole && !d->fraction)
		return false;
	if (p < end && (*p == 'e' || *p == 'E')) {
		d->plain = false;
		p = skip_exponent(p + 1, end);
		if (!p)
			return false;
	}
	d->plain &= p == end;
	return skip_space(p, end) == end;
}

/* The same digits come back: no zeros before an integer, and an int64. */
static bool integer_stays(const char *p, uint32_t bytes)
{
	char text[INTEGER_BYTES + 1], again[24];
	long long value;

	if (bytes > INTEGER_BYTES)
		return false;
	memcpy(text, p, bytes);
	text[bytes] = '\0';
	value = strtoll(text, NULL, 10);
	snprintf(again, sizeof(again), "%lld", value);
	return !strcmp(text, again);
}

/*
 * The same digits come back: few enough for a double, no zeros before or
 * behind them, and not so small that an exponent would be written.
 */
static bool real_stays(const struct decimal *d)
{
	const char *fraction = d->digits + d->whole + 1;

	return d->whole && d->whole + d->fraction <= REAL_DIGITS &&
	       fraction[d->fraction - 1] != '0' &&
	       (d->digits[0] != '0' ||
	        (d->whole == 1 && strspn(fraction, "0") < 4));
}

/* Would a column of numbers give back this text as it is? */
static bool text_stays(enum affinity affinity, const struct wbc_value *v)
{
	const char *p = v->v.p;
	struct decimal d;

	if (!v->bytes || !find_decimal(p, p + v->bytes, &d))
		return true;
	if (!d.plain)
		return false;
	if (d.fraction)
		return real_stays(&d);
	return affinity != AFFINITY_REAL && integer_stays(p, v->bytes);
}

static bool integer_is_real(int64_t i)
{
	double d = (double)i;

	return d < 0x1p63 && (int64_t)d == i;
}

static bool real_is_text(double d)
{
	char text[UNITS_TEXT];

	snprintf(text, sizeof(text), "%.*g", (int)REAL_DIGITS, d);
	return strtod(text, NULL) == d;
}

/* Would the value be the same when it is read? */
static bool stays(enum affinity affinity, const struct wbc_value *v)
{
	switch (affinity) {
	case AFFINITY_NONE:
		return true;
	case AFFINITY_TEXT:
		return v->type != WBC_DOUBLE || real_is_text(v->v.d);
	case AFFINITY_REAL:
		if (v->type == WBC_INT64)
			return integer_is_real(v->v.i);
		break;
	case AFFINITY_NUMERIC:
	case AFFINITY_INTEGER:
		break;
	}
	return (v->type != WBC_TEXT && v->type != WBC_JSON) ||
	       text_stays(affinity, v);
}

static enum verdict refuse(struct wbci_sink *s, unsigned column)
{
	char why[sizeof(s->why)];

	snprintf(why, sizeof(why),
	         "the type of column %.63s would change the value; alter it",
	         s->work->rows.schema.columns[column].name);
	return wbci_sqlite_refuse(s, WBC_E_TYPE, why);
}

static int bind_moment(sqlite3_stmt *stmt, int at, int64_t us)
{
	char text[UNITS_TEXT];

	units_say_sql_moment(text, us);
	return sqlite3_bind_text(stmt, at, text, -1, SQLITE_TRANSIENT);
}

static int bind_as_it_is(sqlite3_stmt *stmt, int at, const struct wbc_value *v)
{
	/* NULL instead of bytes would be NULL, not empty. */
	const void *p = v->bytes ? v->v.p : "";

	switch (v->type) {
	case WBC_INT64:
	case WBC_BOOL:
	case WBC_TIMESTAMP:
		return sqlite3_bind_int64(stmt, at, v->v.i);
	case WBC_DOUBLE:
		return sqlite3_bind_double(stmt, at, v->v.d);
	case WBC_TEXT:
	case WBC_JSON:
		return sqlite3_bind_text64(stmt, at, p, v->bytes, SQLITE_STATIC,
		                           SQLITE_UTF8);
	case WBC_BLOB:
		return sqlite3_bind_blob64(stmt, at, p, v->bytes,
		                           SQLITE_STATIC);
	case WBC_NULL:
		break;
	}
	return sqlite3_bind_null(stmt, at);
}

enum verdict wbci_sqlite_bind_value(struct wbci_sink *s, sqlite3_stmt *stmt,
                                    int at, unsigned column,
                                    const struct wbc_value *v)
{
	enum affinity affinity = s->target->affinity[column];
	int code;

	if (!stays(affinity, v))
		return refuse(s, column);
	if (v->type == WBC_TIMESTAMP && affinity != AFFINITY_INTEGER)
		code = bind_moment(stmt, at, v->v.i);
	else
		code = bind_as_it_is(stmt, at, v);
	return code == SQLITE_OK ? STEP_OK : wbci_sqlite_judge(s, code);
}
