/* SPDX-License-Identifier: MIT */
/* Copyright the wbcshm authors */

/* wbc-shmctl flush and sync: wait for the database, or for the journal. */
#include "ctl.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "../shm/table.h"
#include "view.h"

/* A line for each table that waits for somebody to mend something. */
static void say_parked(struct wbc *c, const char *only, const char *of)
{
	struct view_tables tables = {0};
	char why[WBCI_TABLE_MESSAGE];
	struct wbci_segment s;

	if (wbci_segment_open(&s, wbc_path(c), false, NULL))
		return;
	if (view_tables(&s, &tables) == 0) {
		for (unsigned i = 0; i < tables.n; i++) {
			const struct view_table *t = &tables.table[i];
			int error = wbci_table_parked(&s, i, why);

			if (!error ||
			    (only && view_table(&tables, only) != t) ||
			    (of && strcmp(t->schema.connection, of) != 0))
				continue;
			printf("parked: %s: %s (%s)\n", t->label,
			       *why ? why : wbc_strerror(error),
			       wbc_error_name(error));
		}
	}
	view_tables_free(&tables);
	wbci_segment_close(&s);
}

/* A table, the tables of a connection, or all. */
static int flush(struct wbc *c, const char *name, const char *connection,
                 int64_t timeout_ms)
{
	struct wbc_flush_result result;
	struct ctl_table table = {0};
	int rc = CLI_OK;

	if (name)
		rc = ctl_table(c, name, NULL, &table);
	if (rc != CLI_OK)
		return rc;
	rc = connection ? wbc_flush_connection(c, connection, (int)timeout_ms,
	                                       &result)
	                : wbc_flush(c, table.t, (int)timeout_ms, &result);
	if (rc == -ENOENT) {
		cli_error(rc, "flush", connection,
		          "no table of that connection is declared");
		return CLI_NOT_FOUND;
	}
	printf("rows written: %" PRIu64 ", refused: %" PRIu64 "\n",
	       result.rows_applied, result.rows_refused);
	if (result.tables_parked)
		say_parked(c, name, connection);
	if (rc == 0)
		return CLI_OK;
	cli_error(rc, "flush", *result.table ? result.table : wbc_path(c),
	          NULL);
	return CLI_FAILED;
}

int ctl_flush(const struct cli_command *c, int argc, char **argv)
{
	int64_t timeout_ms = 5000;
	const char *connection = NULL;
	const struct cli_option options[] = {
		{"connection", 0, CLI_TEXT, &connection, "NAME",
	         "the tables of one connection only"},
		{"timeout", 0, CLI_DURATION, &timeout_ms, "TIME",
	         "wait at most so long: 5s (default), 200ms, 2m"},
	};
	const char *segment;
	struct wbc *handle;
	int rc = cli_parse(c, options, 2, &segment, &argc, argv);

	if (rc != CLI_OK)
		return rc == CLI_HELPED ? CLI_OK : rc;
	if (argc > 1)
		return cli_usage(c, "%s: one table, or none for all", argv[1]);
	if (argc && connection)
		return cli_usage(c, "%s: a table or --connection, not both",
		                 argv[0]);
	rc = ctl_open(segment, CTL_LOAD_MS, &handle);
	if (rc != CLI_OK)
		return rc;
	rc = flush(handle, argc ? argv[0] : NULL, connection, timeout_ms);
	wbc_close(&handle);
	return rc;
}

int ctl_sync(const struct cli_command *c, int argc, char **argv)
{
	int64_t timeout_ms = 5000;
	const struct cli_option options[] = {
		{"timeout", 0, CLI_DURATION, &timeout_ms, "TIME",
	         "wait at most so long: 5s (default), 200ms, 2m"},
	};
	const char *segment;
	struct wbc *handle;
	int rc = cli_parse(c, options, 1, &segment, &argc, argv);

	if (rc != CLI_OK)
		return rc == CLI_HELPED ? CLI_OK : rc;
	if (argc)
		return cli_usage(c, "%s: no argument is expected", argv[0]);
	rc = ctl_open(segment, CTL_LOAD_MS, &handle);
	if (rc != CLI_OK)
		return rc;
	rc = wbc_sync(handle, (int)timeout_ms);
	if (rc) {
		cli_error(rc, "sync", wbc_path(handle), NULL);
		rc = CLI_FAILED;
	}
	wbc_close(&handle);
	return rc;
}
