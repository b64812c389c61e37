/* SPDX-License-Identifier: MIT */
/* Copyright the wbcshm authors */

/*
 * wbc-shmdump check: what the audit found, in words or as JSON.
 */
#include "dump.h"

#include <inttypes.h>
#include <stdio.h>

#include "check.h"
#include "grid.h"
#include "../units/units.h"

static int say_blocks(const struct check *c)
{
	static const char *const names[CHECK_USES] = {
		"in use", "free", "to be freed soon", "just being allocated",
		"lost to deaths"};
	uint64_t blocks = 0, bytes = 0;
	char a[UNITS_TEXT];
	struct grid g;
	int rc;

	grid_init(&g, "lrr");
	for (unsigned i = 0; i < CHECK_USES; i++) {
		blocks += c->pass.blocks[i];
		bytes += c->pass.bytes[i];
		grid_put(&g, "%s", names[i]);
		grid_put(&g, "%s", units_say_count(a, c->pass.blocks[i]));
		grid_put(&g, "%s", units_say_bytes(a, c->pass.bytes[i]));
	}
	grid_put(&g, "all blocks");
	grid_put(&g, "%s", units_say_count(a, blocks));
	grid_put(&g, "%s", units_say_bytes(a, bytes));
	rc = grid_print(&g, 2);
	grid_free(&g);
	return rc;
}

static int say_all(const struct check *c)
{
	char a[UNITS_TEXT], b[UNITS_TEXT];
	int rc;

	printf("Segment %s, %s\n", c->s->path,
	       c->live ? "live: processes are attached"
	               : "quiescent: nobody is attached");
	printf("  %s keys\n\n", units_say_count(a, c->pass.keys));
	rc = say_blocks(c);
	putchar('\n');
	if (c->pass.blocks[CHECK_LOST] && c->died)
		printf("warning: %s blocks (%s) lost to deaths: a process was "
		       "killed while it\n  allocated them; a flusher's next "
		       "sweep finds and frees them\n",
		       units_say_count(a, c->pass.blocks[CHECK_LOST]),
		       units_say_bytes(b, c->pass.bytes[CHECK_LOST]));
	if (c->pass.dead_procs)
		printf("note: %" PRIu64 " dead process%s in a slot until a "
		       "flusher runs\n",
		       c->pass.dead_procs,
		       c->pass.dead_procs == 1 ? " is" : "es are");
	for (size_t i = 0; i < c->n_faults; i++)
		printf("fault: %s\n", c->faults[i].text);
	if (c->pass.more_faults && c->n_faults)
		printf("fault: and %" PRIu64 " more\n", c->pass.more_faults);
	if (c->n_faults == 0)
		puts("ok: every block is accounted for, no fault was found");
	return rc;
}

static void json_all(const struct check *c)
{
	static const char *const names[CHECK_USES] = {"used", "free", "limbo",
	                                              "held", "lost"};
	struct json j = {0};

	json_object(&j, NULL);
	json_text(&j, "segment", c->s->path);
	json_bool(&j, "ok", c->n_faults == 0);
	json_text(&j, "state", c->live ? "live" : "quiescent");
	json_uint(&j, "passes", c->passes);
	json_uint(&j, "keys", c->pass.keys);
	json_uint(&j, "dead_processes", c->pass.dead_procs);
	json_object(&j, "blocks");
	for (unsigned i = 0; i < CHECK_USES; i++)
		json_uint(&j, names[i], c->pass.blocks[i]);
	json_end(&j);
	json_object(&j, "bytes");
	for (unsigned i = 0; i < CHECK_USES; i++)
		json_uint(&j, names[i], c->pass.bytes[i]);
	json_end(&j);
	json_array(&j, "faults");
	for (size_t i = 0; i < c->n_faults; i++) {
		json_object(&j, NULL);
		json_text(&j, "kind", c->faults[i].kind);
		json_uint(&j, "where", c->faults[i].where);
		json_text(&j, "text", c->faults[i].text);
		json_end(&j);
	}
	json_end(&j);
	json_uint(&j, "more_faults", c->n_faults ? c->pass.more_faults : 0);
	json_end(&j);
}

int dump_check(const struct cli_command *command, int argc, char **argv)
{
	bool json = false;
	const struct cli_option options[] = {
		{"json", 0, CLI_FLAG, &json, NULL, "one JSON document"},
	};
	const char *segment;
	struct check c;
	struct wbci_segment s;
	int rc = cli_parse(command, options, 1, &segment, &argc, argv);

	if (rc != CLI_OK)
		return rc == CLI_HELPED ? CLI_OK : rc;
	if (argc)
		return cli_usage(command, "%s: no argument is expected",
		                 argv[0]);
	rc = cli_segment(segment, false, &s);
	if (rc != CLI_OK)
		return rc;
	rc = check_run(&c, &s);
	if (rc == 0 && json)
		json_all(&c);
	else if (rc == 0)
		rc = say_all(&c);
	if (rc)
		rc = cli_error(rc, "check", s.path, NULL);
	else
		rc = c.n_faults ? CLI_CORRUPT : CLI_OK;
	check_free(&c);
	wbci_segment_close(&s);
	return rc;
}
