/* SPDX-License-Identifier: MIT */
/* Copyright the wbcshm authors */

#include "value.h"

#include "json.h"

static int check_bytes(const struct wbc_value *v)
{
	if (v->bytes > WBCI_VALUE_MAX)
		return -E2BIG;
	if (v->bytes && !v->v.p)
		return -EINVAL;
	if (v->type == WBC_TEXT && !wbci_utf8_is_text(v->v.p, v->bytes))
		return WBC_E_UTF8;
	if (v->type == WBC_JSON && !wbci_json_valid(v->v.p, v->bytes))
		return WBC_E_JSON;
	return 0;
}

int wbci_value_check_other(const struct wbc_value *v)
{
	switch (v->type) {
	case WBC_TEXT:
	case WBC_BLOB:
	case WBC_JSON:
		return check_bytes(v);
	case WBC_BOOL:
		return v->v.i == 0 || v->v.i == 1 ? 0 : WBC_E_TYPE;
	case WBC_TIMESTAMP:
		return v->v.i >= WBC_TIMESTAMP_MIN &&
		                       v->v.i <= WBC_TIMESTAMP_MAX
		               ? 0
		               : -ERANGE;
	case WBC_INT64:
	case WBC_DOUBLE:
	case WBC_NULL:
		break;
	}
	return 0;
}
