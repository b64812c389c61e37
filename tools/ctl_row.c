/* SPDX-License-Identifier: MIT */
/* Copyright the wbcshm authors */

/* What the commands on rows share: the table, and NAME=VALUE. */
#include "ctl.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../units/units.h"
#include "value.h"
#include "view.h"

int ctl_open(const char *segment, int64_t load_ms, struct wbc **c)
{
	struct wbc_options options = WBC_OPTIONS_INIT;
	char address[CLI_ADDRESS_MAX];
	char message[512] = "";
	int rc = cli_address(segment, address);

	if (rc != CLI_OK)
		return rc;
	options.message = message;
	options.message_size = sizeof(message);
	options.load_wait_ms = load_ms ? (int32_t)load_ms : -1;
	rc = wbc_open(c, address, &options);
	return rc ? cli_error(rc, "open", address, message) : CLI_OK;
}

static int declare(struct wbc *c, const char *spec, struct ctl_table *table)
{
	char message[512] = "";
	int rc = wbci_schema_parse(&table->schema, spec, strlen(spec), NULL);

	/* The library refuses what did not parse, with better words. */
	(void)rc;
	rc = wbc_table_declare(c, spec, &table->t, message, sizeof(message));
	return rc ? cli_error(rc, "declare", spec, message) : CLI_OK;
}

/* The names of all tables, for one who got one wrong. */
static int say_unknown(const struct view_tables *tables, const char *name)
{
	char list[256] = "";
	size_t at = 0;

	for (unsigned i = 0; i < tables->n && at < sizeof(list); i++)
		at += (size_t)snprintf(list + at, sizeof(list) - at, "%s%s",
		                       i ? ", " : "", tables->table[i].label);
	return cli_fail(CLI_NOT_FOUND,
	                "table: %s: not declared in the segment (%s%s); "
	                "declare it with --table '%s(...)'",
	                name, tables->n ? "it has " : "it has none", list,
	                name);
}

static int find_table(struct wbc *c, const char *name, struct ctl_table *table)
{
	const struct view_table *found;
	struct view_tables tables = {0};
	char spec[WBCI_SPEC_MAX];
	char message[512] = "";
	struct wbci_message m = {message, sizeof(message)};
	struct wbci_segment s;
	int rc = wbci_segment_open(&s, wbc_path(c), false, &m);

	if (rc)
		return cli_error(rc, "open", wbc_path(c), message);
	rc = view_tables(&s, &tables);
	if (rc) {
		rc = cli_error(rc, "table", name, NULL);
		goto close_segment;
	}
	found = view_table(&tables, name);
	if (!found) {
		rc = say_unknown(&tables, name);
		goto close_segment;
	}
	wbci_schema_text(&found->schema, spec);
	rc = declare(c, spec, table);
close_segment:
	view_tables_free(&tables);
	wbci_segment_close(&s);
	return rc;
}

int ctl_table(struct wbc *c, const char *name, const char *spec,
              struct ctl_table *table)
{
	if (spec)
		return declare(c, spec, table);
	if (strchr(name, '('))
		return cli_fail(CLI_USAGE,
		                "table: %s: this is a specification; give it "
		                "with --table",
		                name);
	return find_table(c, name, table);
}

int ctl_row_open(struct ctl_row *r, const struct cli_command *command,
                 const char *segment, const char *spec, int64_t load_ms,
                 int argc, char **argv)
{
	int rc;

	memset(r, 0, sizeof(*r));
	if (!spec &&
	    (argc < 1 || (strchr(argv[0], '=') && !strchr(argv[0], '('))))
		return cli_usage(command, "no table was named");
	rc = ctl_open(segment, load_ms, &r->c);
	if (rc != CLI_OK)
		return rc;
	rc = ctl_table(r->c, spec ? NULL : argv[0], spec, &r->table);
	if (rc != CLI_OK) {
		wbc_close(&r->c);
		return rc;
	}
	r->name = r->table.schema.name;
	r->argc = spec ? argc : argc - 1;
	r->argv = spec ? argv : argv + 1;
	return CLI_OK;
}

void ctl_row_close(struct ctl_row *r)
{
	wbc_close(&r->c);
}

int ctl_column(const struct ctl_row *r, const char *what, const char *name,
               unsigned *column)
{
	char spec[WBCI_SPEC_MAX];
	int rc = wbc_column(r->table.t, name);

	if (rc >= 0) {
		*column = (unsigned)rc;
		return CLI_OK;
	}
	wbci_schema_text(&r->table.schema, spec);
	return cli_fail(cli_status(rc), "%s: %s: no such column; it is %s (%s)",
	                what, name, spec, wbc_error_name(rc));
}

int ctl_value(const struct ctl_row *r, const char *what, char *argument,
              unsigned *column, struct wbc_value *value)
{
	char *equals = strchr(argument, '=');
	const struct wbci_column *c;
	const char *wanted;
	int rc;

	if (!equals)
		return cli_fail(CLI_USAGE, "%s: %s: NAME=VALUE is expected",
		                what, argument);
	*equals = '\0';
	rc = ctl_column(r, what, argument, column);
	if (rc != CLI_OK)
		return rc;
	c = &r->table.schema.columns[*column];
	wanted = value_parse(c, equals + 1, value);
	if (wanted)
		return cli_fail(CLI_USAGE, "%s: %s: '%s' is not %s (%s)", what,
		                c->name, equals + 1, wanted,
		                wbc_error_name(WBC_E_TYPE));
	return CLI_OK;
}

int ctl_check_key(const struct ctl_row *r, const char *what,
                  const struct wbc_value *values, size_t n)
{
	const struct wbci_schema *schema = &r->table.schema;

	for (unsigned i = 0; i < schema->n_keys; i++) {
		unsigned column = schema->key_column[i];
		const char *name = schema->columns[column].name;
		unsigned found = 0;

		for (size_t k = 0; k < n; k++)
			found += wbc_column(r->table.t, values[k].name) ==
			                 (int)column &&
			         values[k].type != WBC_NULL;
		if (found != 1)
			return cli_fail(CLI_USAGE,
			                "%s: %s: key column %s has %s; give "
			                "%s=VALUE once (%s)",
			                what, r->name, name,
			                found ? "two values" : "no value", name,
			                wbc_error_name(WBC_E_KEY));
	}
	return CLI_OK;
}

void ctl_print_int64(const char *name, int64_t value)
{
	printf("%s%s%" PRId64 "\n", name ? name : "", name ? "=" : "", value);
}

void ctl_print_double(const char *name, double value)
{
	char text[UNITS_TEXT];

	printf("%s%s%s\n", name ? name : "", name ? "=" : "",
	       units_say_double(text, value));
}
