/* SPDX-License-Identifier: MIT */
/* Copyright the wbcshm authors */

/* wbc-shmctl create: make a segment. */
#include "ctl.h"

#include <grp.h>
#include <inttypes.h>
#include <stdio.h>

#include "../units/units.h"

/* A number of each kind that the options give; 0 is the library's default. */
struct numbers {
	uint64_t mode;
	uint64_t max_bytes;
	uint64_t capacity;
	uint64_t procs;
	uint64_t threads;
	uint64_t lane_bytes;
};

static int find_group(const char *name, int64_t *group)
{
	const struct group *g;

	if (!name || units_int64(name, group))
		return CLI_OK;
	g = getgrnam(name);
	if (!g)
		return cli_fail(CLI_USAGE, "create: %s: no such group", name);
	*group = (int64_t)g->gr_gid;
	return CLI_OK;
}

static int create(const char *segment, const struct numbers *n, int64_t group)
{
	struct wbc_options options = WBC_OPTIONS_INIT;
	char address[CLI_ADDRESS_MAX];
	char message[512] = "";
	struct wbc *c;
	int rc = cli_address(segment, address);

	if (rc != CLI_OK)
		return rc;
	if (n->procs > UINT32_MAX || n->threads > UINT32_MAX ||
	    n->lane_bytes > UINT32_MAX)
		return cli_fail(CLI_USAGE,
		                "create: a number is out of range; procs and "
		                "threads are a few thousand, a lane at most "
		                "1G");
	options.flags = WBC_CREATE | WBC_EXCLUSIVE;
	options.mode = (uint32_t)n->mode;
	options.group = group;
	options.max_bytes = n->max_bytes;
	options.capacity = n->capacity;
	options.procs = (uint32_t)n->procs;
	options.threads = (uint32_t)n->threads;
	options.lane_bytes = (uint32_t)n->lane_bytes;
	options.message = message;
	options.message_size = sizeof(message);
	rc = wbc_open(&c, address, &options);
	if (rc)
		return cli_error(rc, "create", address, message);
	printf("%s\n", wbc_path(c));
	wbc_close(&c);
	return CLI_OK;
}

int ctl_create(const struct cli_command *c, int argc, char **argv)
{
	struct numbers n = {0};
	const char *segment, *group_name = NULL;
	int64_t group = -1;
	const struct cli_option options[] = {
		{"max-size", 0, CLI_SIZE, &n.max_bytes, "SIZE",
	         "the most it may ever take: 1G (default 4G)"},
		{"capacity", 0, CLI_COUNT, &n.capacity, "N",
	         "keys it is laid out for: 1M (default 262144)"},
		{"mode", 0, CLI_MODE, &n.mode, "MODE",
	         "octal permission bits (default 0600)"},
		{"group", 0, CLI_TEXT, &group_name, "GROUP",
	         "name or number of its group"},
		{"procs", 0, CLI_COUNT, &n.procs, "N",
	         "process slots, one for a flusher (default 128)"},
		{"threads", 0, CLI_COUNT, &n.threads, "N",
	         "thread slots, likewise (default 256)"},
		{"lane-size", 0, CLI_SIZE, &n.lane_bytes, "SIZE",
	         "each thread's ring for inserts (default 256K)"},
	};
	int rc = cli_parse(c, options, sizeof(options) / sizeof(options[0]),
	                   &segment, &argc, argv);

	if (rc != CLI_OK)
		return rc == CLI_HELPED ? CLI_OK : rc;
	if (argc)
		return cli_usage(c,
		                 "%s: no argument is expected; the segment "
		                 "is named with -s",
		                 argv[0]);
	rc = find_group(group_name, &group);
	return rc == CLI_OK ? create(segment, &n, group) : rc;
}
