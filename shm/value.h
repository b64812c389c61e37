/* SPDX-License-Identifier: MIT */
/* Copyright the wbcshm authors */

/*
 * What a value must be, whichever column it is for.  It holds where a value is
 * given as where one is read from bytes that somebody else may have written.
 */
#ifndef WBCI_VALUE_H
#define WBCI_VALUE_H

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>

#include "../api/wbc_table.h"
#include "utf8.h"

#define WBCI_VALUE_MAX 1048576u /* bytes of a text, json or blob */

/* Of a type that exists: is its value bytes elsewhere, not a number? */
static inline bool wbci_type_has_bytes(unsigned type)
{
	return (1u << WBC_TEXT | 1u << WBC_BLOB | 1u << WBC_JSON) >> type & 1;
}

/* Also false for NaN. */
static inline bool wbci_is_finite(double d)
{
	return d - d == 0;
}

/* All that is not the most common. */
int wbci_value_check_other(const struct wbc_value *v);

/**
 * wbci_value_check() - is this a value of its type?
 * @v: not NULL, of a type that exists
 *
 * Return: 0, or
 *         WBC_E_TYPE  a bool that is neither 0 nor 1
 *         WBC_E_NAN   NaN or infinite
 *         WBC_E_UTF8  a text that is not UTF-8, or has a NUL
 *         WBC_E_JSON  a json that is none
 *         -ERANGE     a timestamp outside of the years 1 to 9999
 *         -E2BIG      more than WBCI_VALUE_MAX bytes
 *         -EINVAL     bytes that are not there
 */
static inline int wbci_value_check(const struct wbc_value *v)
{
	if (v->type == WBC_INT64)
		return 0;
	if (v->type == WBC_DOUBLE)
		return wbci_is_finite(v->v.d) ? 0 : WBC_E_NAN;
	if (v->type == WBC_TEXT && v->bytes - 1 < WBCI_VALUE_MAX && v->v.p &&
	    wbci_utf8_is_ascii(v->v.p, v->bytes))
		return 0;
	return wbci_value_check_other(v);
}

#endif
