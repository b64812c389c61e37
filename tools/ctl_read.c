/* SPDX-License-Identifier: MIT */
/* Copyright the wbcshm authors */

/* wbc-shmctl read: the current values of a row's counters. */
#include "ctl.h"

#include <string.h>

struct reading {
	struct ctl_row row;
	struct wbc_value key[WBC_COLUMNS_MAX];
	size_t n_key;
	unsigned column[WBC_COLUMNS_MAX];
	size_t n_columns;
};

static int parse_all(struct reading *r)
{
	const struct wbci_schema *schema = &r->row.table.schema;
	struct wbc_value value;
	unsigned column;
	int rc;

	for (int i = 0; i < r->row.argc; i++) {
		char *argument = r->row.argv[i];
		bool is_key = strchr(argument, '=');

		if (i >= (int)WBC_COLUMNS_MAX)
			return cli_fail(CLI_USAGE,
			                "read: %s: more arguments than columns",
			                r->row.name);
		rc = is_key ? ctl_value(&r->row, "read", argument, &column,
		                        &value)
		            : ctl_column(&r->row, "read", argument, &column);
		if (rc != CLI_OK)
			return rc;
		if (is_key)
			r->key[r->n_key++] = value;
		else
			r->column[r->n_columns++] = column;
	}
	/* None was named: all of them. */
	if (r->n_columns == 0)
		for (unsigned i = 0; i < schema->n_cells; i++)
			r->column[r->n_columns++] = schema->cell_column[i];
	return CLI_OK;
}

static int read_column(struct reading *r, unsigned column, bool alone)
{
	const struct wbci_column *c = &r->row.table.schema.columns[column];
	struct wbc_table *t = r->row.table.t;
	int64_t i = 0;
	double d = 0;
	int rc;

	rc = c->type == WBC_DOUBLE
	             ? wbc_read_double(t, r->key, r->n_key, column, &d)
	             : wbc_read_int64(t, r->key, r->n_key, column, &i);
	if (rc)
		return cli_error(rc, "read", c->name, NULL);
	if (c->type == WBC_DOUBLE)
		ctl_print_double(alone ? NULL : c->name, d);
	else
		ctl_print_int64(alone ? NULL : c->name, i);
	return CLI_OK;
}

int ctl_read(const struct cli_command *c, int argc, char **argv)
{
	const char *segment, *spec = NULL;
	int64_t timeout_ms = CTL_LOAD_MS;
	struct reading r = {.n_key = 0};
	const struct cli_option options[] = {
		{"table", 't', CLI_TEXT, &spec, "SPEC",
	         "declare the table, instead of TABLE"},
		{"timeout", 0, CLI_DURATION, &timeout_ms, "TIME",
	         "wait at most so long for the database's values: 1s "
	         "(default), 200ms, 0"},
	};
	int rc = cli_parse(c, options, 2, &segment, &argc, argv);

	if (rc != CLI_OK)
		return rc == CLI_HELPED ? CLI_OK : rc;
	rc = ctl_row_open(&r.row, c, segment, spec, timeout_ms, argc, argv);
	if (rc != CLI_OK)
		return rc;
	rc = parse_all(&r);
	if (rc == CLI_OK)
		rc = ctl_check_key(&r.row, "read", r.key, r.n_key);
	for (size_t i = 0; rc == CLI_OK && i < r.n_columns; i++)
		rc = read_column(&r, r.column[i], r.n_columns == 1);
	ctl_row_close(&r.row);
	return rc;
}
