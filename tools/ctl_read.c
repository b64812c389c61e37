/* SPDX-License-Identifier: MIT */
/* Copyright the wbcshm authors */

/* wbc-shmctl read: the current values of a row's columns. */
#include "ctl.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "value.h"

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
		for (unsigned i = 0; i < schema->n_columns; i++)
			if (schema->columns[i].role != ROLE_KEY)
				r->column[r->n_columns++] = i;
	return CLI_OK;
}

/* A column's value, whose bytes are in a buffer that grows for it. */
static int read_value(const struct reading *r, unsigned column,
                      struct wbc_value *value, void **buffer)
{
	size_t room = 0, had;
	int rc;

	do {
		had = room;
		rc = wbc_read(r->row.table.t, r->key, r->n_key, column, value,
		              *buffer, &room);
		if (rc != -E2BIG || room <= had)
			break;
		free(*buffer);
		*buffer = malloc(room);
		rc = *buffer ? -E2BIG : -ENOMEM;
	} while (rc == -E2BIG);
	return rc;
}

/* "name=value", or the bare value; a text as it is. */
static int print_value(const struct wbc_value *v, bool alone)
{
	char *text;

	if (!alone)
		printf("%s=", v->name);
	if (v->type == WBC_TEXT || v->type == WBC_JSON) {
		printf("%.*s\n", (int)v->bytes, (const char *)v->v.p);
		return 0;
	}
	text = malloc(VALUE_TEXT((size_t)v->bytes, 1) + 64);
	if (!text)
		return -ENOMEM;
	printf("%.*s\n", (int)value_put(text, v), text);
	free(text);
	return 0;
}

static int read_column(struct reading *r, unsigned column, bool alone)
{
	const struct wbci_column *c = &r->row.table.schema.columns[column];
	struct wbc_value value;
	void *buffer = NULL;
	int rc = read_value(r, column, &value, &buffer);

	if (rc == 0 && c->role == ROLE_COUNTER && c->type == WBC_DOUBLE)
		ctl_print_double(alone ? NULL : c->name, value.v.d);
	else if (rc == 0)
		rc = print_value(&value, alone);
	free(buffer);
	return rc ? cli_error(rc, "read", c->name, NULL) : CLI_OK;
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
	         "wait so long for the values: 1s (default), 200ms, 0"},
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
