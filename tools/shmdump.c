/* SPDX-License-Identifier: MIT */
/* Copyright the wbcshm authors */

/* wbc-shmdump: look into a segment.  Never writes to it, never creates one. */
#include "dump.h"

static const struct cli_command commands[] = {
	{"summary", "[--json]", "What a segment is, has and is doing.", NULL,
         dump_summary},
	{"keys", "[OPTION ...]", "The rows in a segment, with their values.",
         "GLOB is matched against the values of the key columns, in the order "
         "of the\ndeclaration and joined by commas: '*', '?' and '[a-z]' as "
         "in a shell.",
         dump_keys},
	{"procs", "[--json]", "Who is attached, and what their threads do.",
         NULL, dump_procs},
	{"check", "[--json]", "Is every byte of a segment accounted for?",
         "Exits 0 if all is well, 4 with a line for each fault if not.  While "
         "processes\nare attached only what change cannot explain is a "
         "fault.",
         dump_check},
};

static const struct cli_tool tool = {
	"wbc-shmdump",
	"Look into a wbcshm segment.  Never writes to it.",
	commands,
	sizeof(commands) / sizeof(commands[0]),
};

int main(int argc, char **argv)
{
	return cli_main(&tool, argc, argv);
}
