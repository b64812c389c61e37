/* SPDX-License-Identifier: MIT */
/* Copyright the wbcshm authors */

/* wbc-shmctl update: set columns of one row. */
#include "ctl.h"

struct update {
	struct ctl_row row;
	struct wbc_value key[WBC_COLUMNS_MAX];
	size_t n_key;
	struct wbc_value plain[CLI_LIST_MAX + WBC_COLUMNS_MAX];
	size_t n_plain;
	struct {
		unsigned column;
		struct wbc_value value;
	} counter[WBC_COLUMNS_MAX];
	size_t n_counters;
};

static int parse_one(struct update *u, char *argument)
{
	struct wbc_value value;
	unsigned column;
	int rc = ctl_value(&u->row, "update", argument, &column, &value);

	if (rc != CLI_OK)
		return rc;
	switch (u->row.table.schema.columns[column].role) {
	case ROLE_KEY:
		u->key[u->n_key++] = value;
		break;
	case ROLE_COUNTER:
		u->counter[u->n_counters].column = column;
		u->counter[u->n_counters++].value = value;
		break;
	default:
		u->plain[u->n_plain++] = value;
	}
	return CLI_OK;
}

/* All arguments are looked at before anything is set. */
static int parse_all(struct update *u, const struct cli_list *nulls)
{
	unsigned column;
	int rc = CLI_OK;

	for (int i = 0; rc == CLI_OK && i < u->row.argc; i++) {
		if (i >= (int)WBC_COLUMNS_MAX)
			return cli_fail(CLI_USAGE,
			                "update: %s: more arguments than "
			                "columns",
			                u->row.name);
		rc = parse_one(u, u->row.argv[i]);
	}
	for (size_t i = 0; rc == CLI_OK && i < nulls->n; i++) {
		rc = ctl_column(&u->row, "update", nulls->item[i], &column);
		u->plain[u->n_plain++] = wbc_null(nulls->item[i]);
	}
	return rc;
}

static int set_counter(struct update *u, size_t i)
{
	const struct wbc_value *v = &u->counter[i].value;
	unsigned column = u->counter[i].column;
	struct wbc_table *t = u->row.table.t;

	return v->type == WBC_DOUBLE
	               ? wbc_set_double(t, u->key, u->n_key, column, v->v.d)
	               : wbc_set_int64(t, u->key, u->n_key, column, v->v.i);
}

static int set_all(struct update *u)
{
	int rc = 0;

	if (u->n_plain)
		rc = wbc_update(u->row.table.t, u->key, u->n_key, u->plain,
		                u->n_plain);
	if (rc)
		return cli_error(rc, "update", u->row.name, NULL);
	for (size_t i = 0; i < u->n_counters; i++) {
		rc = set_counter(u, i);
		if (rc)
			return cli_error(rc, "update",
			                 u->counter[i].value.name, NULL);
	}
	return CLI_OK;
}

int ctl_update(const struct cli_command *c, int argc, char **argv)
{
	struct update u = {.n_key = 0};
	const char *segment, *spec = NULL;
	struct cli_list nulls = {0};
	int64_t timeout_ms = CTL_LOAD_MS;
	const struct cli_option options[] = {
		{"table", 't', CLI_TEXT, &spec, "SPEC",
	         "declare the table, instead of TABLE"},
		{"null", 0, CLI_LIST, &nulls, "COLUMN", "set it to NULL"},
		{"timeout", 0, CLI_DURATION, &timeout_ms, "TIME",
	         "wait so long for what a counter has: 1s (default)"},
	};
	int rc = cli_parse(c, options, 3, &segment, &argc, argv);

	if (rc != CLI_OK)
		return rc == CLI_HELPED ? CLI_OK : rc;
	rc = ctl_row_open(&u.row, c, segment, spec, timeout_ms, argc, argv);
	if (rc != CLI_OK)
		return rc;
	rc = parse_all(&u, &nulls);
	if (rc == CLI_OK && u.n_plain + u.n_counters == 0)
		rc = cli_usage(c, "%s: no COLUMN=VALUE was given", u.row.name);
	if (rc == CLI_OK)
		rc = ctl_check_key(&u.row, "update", u.key, u.n_key);
	if (rc == CLI_OK)
		rc = set_all(&u);
	ctl_row_close(&u.row);
	return rc;
}
