/* SPDX-License-Identifier: MIT */
/* Copyright the wbcshm authors */

/* wbc-shmctl add: add to counters of one row. */
#include "ctl.h"

struct add {
	struct ctl_row row;
	struct wbc_value key[WBC_COLUMNS_MAX];
	size_t n_key;
	struct {
		unsigned column;
		struct wbc_value delta;
	} counter[WBC_COLUMNS_MAX];
	size_t n_counters;
	bool get;
};

/* All arguments are looked at before anything is added. */
static int parse_all(struct add *a)
{
	for (int i = 0; i < a->row.argc; i++) {
		const struct wbci_column *c;
		struct wbc_value value;
		unsigned column;
		int rc;

		if (i >= (int)WBC_COLUMNS_MAX)
			return cli_fail(CLI_USAGE,
			                "add: %s: more arguments than columns",
			                a->row.name);
		rc = ctl_value(&a->row, "add", a->row.argv[i], &column, &value);
		if (rc != CLI_OK)
			return rc;
		c = &a->row.table.schema.columns[column];
		if (c->role == ROLE_KEY) {
			a->key[a->n_key++] = value;
		} else if (c->role == ROLE_COUNTER) {
			a->counter[a->n_counters].column = column;
			a->counter[a->n_counters++].delta = value;
		} else {
			return cli_fail(cli_status(WBC_E_COLUMN),
			                "add: %s: the column is not counted; "
			                "insert and update set it (%s)",
			                c->name, wbc_error_name(WBC_E_COLUMN));
		}
	}
	return CLI_OK;
}

static int add_int64(struct add *a, size_t i, const char *name)
{
	struct wbc_table *t = a->row.table.t;
	unsigned column = a->counter[i].column;
	int64_t delta = a->counter[i].delta.v.i;
	int64_t total;
	int rc;

	if (!a->get)
		return wbc_add_int64(t, a->key, a->n_key, column, delta);
	rc = wbc_add_get_int64(t, a->key, a->n_key, column, delta, &total);
	if (rc == 0)
		ctl_print_int64(a->n_counters > 1 ? name : NULL, total);
	return rc;
}

static int add_double(struct add *a, size_t i, const char *name)
{
	struct wbc_table *t = a->row.table.t;
	unsigned column = a->counter[i].column;
	double delta = a->counter[i].delta.v.d;
	double total;
	int rc;

	if (!a->get)
		return wbc_add_double(t, a->key, a->n_key, column, delta);
	rc = wbc_add_get_double(t, a->key, a->n_key, column, delta, &total);
	if (rc == 0)
		ctl_print_double(a->n_counters > 1 ? name : NULL, total);
	return rc;
}

static int add_all(struct add *a)
{
	int rc;

	for (size_t i = 0; i < a->n_counters; i++) {
		const char *name = a->counter[i].delta.name;

		rc = a->counter[i].delta.type == WBC_DOUBLE
		             ? add_double(a, i, name)
		             : add_int64(a, i, name);
		if (rc)
			return cli_error(rc, "add", name, NULL);
	}
	return CLI_OK;
}

int ctl_add(const struct cli_command *c, int argc, char **argv)
{
	struct add a = {.get = false};
	const char *segment, *spec = NULL;
	int64_t timeout_ms = CTL_LOAD_MS;
	const struct cli_option options[] = {
		{"table", 't', CLI_TEXT, &spec, "SPEC",
	         "declare the table, instead of TABLE"},
		{"get", 'g', CLI_FLAG, &a.get, NULL,
	         "print the counters' new values"},
		{"timeout", 0, CLI_DURATION, &timeout_ms, "TIME",
	         "with --get, wait so long for it (default: 1s)"},
	};
	int rc = cli_parse(c, options, 3, &segment, &argc, argv);

	if (rc != CLI_OK)
		return rc == CLI_HELPED ? CLI_OK : rc;
	rc = ctl_row_open(&a.row, c, segment, spec, timeout_ms, argc, argv);
	if (rc != CLI_OK)
		return rc;
	rc = parse_all(&a);
	if (rc == CLI_OK && a.n_counters == 0)
		rc = cli_usage(c, "%s: no COUNTER=DELTA was given", a.row.name);
	if (rc == CLI_OK)
		rc = ctl_check_key(&a.row, "add", a.key, a.n_key);
	if (rc == CLI_OK)
		rc = add_all(&a);
	ctl_row_close(&a.row);
	return rc;
}
