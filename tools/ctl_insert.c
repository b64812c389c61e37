/* SPDX-License-Identifier: MIT */
/* Copyright the wbcshm authors */

/* wbc-shmctl insert: append one row. */
#include "ctl.h"

struct insert {
	struct ctl_row row;
	struct wbc_value value[CLI_LIST_MAX + WBC_COLUMNS_MAX];
	size_t n;
};

static int parse_all(struct insert *in, const struct cli_list *nulls)
{
	unsigned column;
	int rc;

	for (int i = 0; i < in->row.argc; i++) {
		if (i >= (int)WBC_COLUMNS_MAX)
			return cli_fail(CLI_USAGE,
			                "insert: %s: more arguments than "
			                "columns",
			                in->row.name);
		rc = ctl_value(&in->row, "insert", in->row.argv[i], &column,
		               &in->value[in->n++]);
		if (rc != CLI_OK)
			return rc;
	}
	for (size_t i = 0; i < nulls->n; i++) {
		rc = ctl_column(&in->row, "insert", nulls->item[i], &column);
		if (rc != CLI_OK)
			return rc;
		in->value[in->n++] = wbc_null(nulls->item[i]);
	}
	return CLI_OK;
}

int ctl_insert(const struct cli_command *c, int argc, char **argv)
{
	const char *segment, *spec = NULL;
	struct cli_list nulls = {0};
	struct insert in = {.n = 0};
	int64_t timeout_ms = 5000;
	const struct cli_option options[] = {
		{"table", 't', CLI_TEXT, &spec, "SPEC",
	         "declare the table, instead of TABLE"},
		{"null", 0, CLI_LIST, &nulls, "COLUMN",
	         "NULL; a column left out is the database's default"},
		{"timeout", 0, CLI_DURATION, &timeout_ms, "TIME",
	         "wait so long for room: 5s, 200ms, 2m"},
	};
	int rc = cli_parse(c, options, 3, &segment, &argc, argv);

	if (rc != CLI_OK)
		return rc == CLI_HELPED ? CLI_OK : rc;
	rc = ctl_row_open(&in.row, c, segment, spec, CTL_LOAD_MS, argc, argv);
	if (rc != CLI_OK)
		return rc;
	rc = parse_all(&in, &nulls);
	if (rc == CLI_OK && in.n == 0)
		rc = cli_usage(c, "%s: no COLUMN=VALUE was given", in.row.name);
	if (rc == CLI_OK)
		rc = ctl_check_key(&in.row, "insert", in.value, in.n);
	if (rc == CLI_OK) {
		rc = wbc_insert(in.row.table.t, in.value, in.n,
		                (int)timeout_ms);
		if (rc)
			rc = cli_error(rc, "insert", in.row.name, NULL);
	}
	ctl_row_close(&in.row);
	return rc;
}
