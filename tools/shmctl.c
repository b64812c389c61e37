/* SPDX-License-Identifier: MIT */
/* Copyright the wbcshm authors */

/* wbc-shmctl: use a segment from a shell. */
#include "ctl.h"

static const struct cli_command commands[] = {
	{"create", "[OPTIONS]", "Make a segment, and print its path.", NULL,
         ctl_create},
	{"rm", "[--force]", "Remove a segment that nobody needs any more.",
         "Refused while processes are attached, or something is not in the "
         "journal yet.",
         ctl_rm},
	{"add", "TABLE KEY=VALUE... COUNTER=DELTA...",
         "Add to counters of one row.",
         "  wbc-shmctl add -s app words word=hello n=+3\n"
         "  wbc-shmctl add -s app --table 'words(word text key, n counter)' "
         "word=hello n=3\n\n"
         "TABLE is the name of a declared table; otherwise --table declares "
         "one.",
         ctl_add},
	{"insert", "TABLE COLUMN=VALUE...", "Append one row.",
         "  wbc-shmctl insert -s app log file=x bytes=12\n\n"
         "A blob is written in hexadecimal digits.",
         ctl_insert},
	{"update", "TABLE KEY=VALUE... COLUMN=VALUE...",
         "Set columns of one row.",
         "  wbc-shmctl update -s app users id=7 name=Ann seen=2026-01-31\n\n"
         "Columns that are not counted change at once; counters one by one.",
         ctl_update},
	{"read", "TABLE KEY=VALUE... [COLUMN...]",
         "Print columns of one row: the database's values and all pending.",
         "  wbc-shmctl read -s app words word=hello n\n\n"
         "One column is printed as its bare value, several as NAME=VALUE.",
         ctl_read},
	{"flush", "[TABLE|--connection NAME] [--timeout TIME]",
         "Write a table, or all, to the database now; say what became of it.",
         NULL, ctl_flush},
	{"sync", "[--timeout TIME]",
         "Wait until all that was done before is in the journal.", NULL,
         ctl_sync},
};

static const struct cli_tool tool = {
	"wbc-shmctl",
	"Use a wbcshm segment from a shell.",
	commands,
	sizeof(commands) / sizeof(commands[0]),
};

int main(int argc, char **argv)
{
	return cli_main(&tool, argc, argv);
}
