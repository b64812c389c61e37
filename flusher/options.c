/* SPDX-License-Identifier: MIT */
/* Copyright the wbcshm authors */

#include "options.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../api/wbc_error.h"
#include "points.h"

static const char help[] =
	"Usage: wbc-flusher --config FILE [OPTION ...]\n"
	"       wbc-flusher --segment NAME --sqlite FILE --journal DIR\n"
	"                   --table 'SPEC' [--table 'SPEC' ...] [OPTION ...]\n"
	"Write to a database what clients of a segment count and insert.\n"
	"\n"
	"  -c, --config FILE        read all of this from FILE, see\n"
	"                           wbc-flusher.conf(5); options come over it\n"
	"      --check-config       look if the databases have what the\n"
	"                           configuration says, and end\n"
	"      --print-config       print the configuration as a file, and "
	"end\n"
	"  -s, --segment NAME       the segment: NAME, shm:NAME or /path;\n"
	"                           default $WBC_SEGMENT\n"
	"      --sqlite FILE        the database, which must exist\n"
	"      --journal DIR        the journal's directory, made if missing\n"
	"      --table 'SPEC'       a table that may be written, for example\n"
	"                           'words(word text key, n counter)\n"
	"                           on_missing=insert'\n"
	"      --create             create the segment if it is missing, with\n"
	"      --max-size BYTES       the most that its rows and index take "
	"(4G)\n"
	"      --capacity KEYS        how many keys it is laid out for\n"
	"      --mode OCTAL           its permissions (0600)\n"
	"      --journal-interval T how long a change may be in the segment\n"
	"                           only (200ms)\n"
	"      --flush-interval T   how long it may be in the journal only "
	"(5s)\n"
	"      --max-queue-rows N   flush a table of which so many wait "
	"(10000)\n"
	"      --idle T             remove from the segment what was not changed\n"
	"                           for so long (10m)\n"
	"      --base-ttl T|never   read a value anew from the database when it\n"
	"                           was read so long ago (1m)\n"
	"      --check-journal      verify the journal in DIR, and end\n"
	"      --list-points        names for WBC_FLUSHER_KILL_AT, a testing "
	"aid\n"
	"      --help, --version\n"
	"\n"
	"A time T is 200ms, 5s, 1m or 1h; BYTES may have K, M, G or T, KEYS\n"
	"and N k, M or G.  SIGUSR1 writes everything now; SIGHUP reads the "
	"file\n"
	"again; SIGTERM and SIGINT write everything and end.  The log goes to "
	"standard\n"
	"error.\n"
	"\n"
	"Exit: 0 ok, 1 failed, 2 usage, 3 not found, 4 corrupt or of another\n"
	"layout, 5 denied.\n";

enum {
	OPT_SETTING = 256, /* one of settings.h, or --table */
	OPT_YES,           /* one of settings.h that takes no value */
	OPT_CHECK_JOURNAL,
	OPT_CHECK_CONFIG,
	OPT_PRINT_CONFIG,
	OPT_LIST_POINTS,
	OPT_HELP,
	OPT_VERSION
};

static const struct option long_options[] = {
	{"config", required_argument, NULL, 'c'},
	{"segment", required_argument, NULL, OPT_SETTING},
	{"sqlite", required_argument, NULL, OPT_SETTING},
	{"journal", required_argument, NULL, OPT_SETTING},
	{"table", required_argument, NULL, OPT_SETTING},
	{"create", no_argument, NULL, OPT_YES},
	{"max-size", required_argument, NULL, OPT_SETTING},
	{"capacity", required_argument, NULL, OPT_SETTING},
	{"mode", required_argument, NULL, OPT_SETTING},
	{"journal-interval", required_argument, NULL, OPT_SETTING},
	{"flush-interval", required_argument, NULL, OPT_SETTING},
	{"max-queue-rows", required_argument, NULL, OPT_SETTING},
	{"idle", required_argument, NULL, OPT_SETTING},
	{"base-ttl", required_argument, NULL, OPT_SETTING},
	{"check-journal", no_argument, NULL, OPT_CHECK_JOURNAL},
	{"check-config", no_argument, NULL, OPT_CHECK_CONFIG},
	{"print-config", no_argument, NULL, OPT_PRINT_CONFIG},
	{"list-points", no_argument, NULL, OPT_LIST_POINTS},
	{"help", no_argument, NULL, OPT_HELP},
	{"version", no_argument, NULL, OPT_VERSION},
	{NULL, 0, NULL, 0},
};

static void list_points(void)
{
	for (unsigned i = 0; wbci_point_name(i); i++)
		puts(wbci_point_name(i));
}

static void give(struct options *o, const char *option, const char *text)
{
	o->given[o->n].option = option;
	o->given[o->n++].text = text;
}

static void take_config(struct options *o)
{
	if (o->file) {
		fputs("wbc-flusher: --config: given twice; one file has it "
		      "all\n",
		      stderr);
		exit(EXIT_USAGE);
	}
	o->file = optarg;
}

static void take_option(struct options *o, int option, const char *name)
{
	switch (option) {
	case 'c':
		take_config(o);
		break;
	case 's':
		give(o, "segment", optarg);
		break;
	case OPT_SETTING:
		give(o, name, optarg);
		break;
	case OPT_YES:
		give(o, name, "yes");
		break;
	case OPT_CHECK_JOURNAL:
		o->task = TASK_CHECK_JOURNAL;
		break;
	case OPT_CHECK_CONFIG:
		o->task = TASK_CHECK_CONFIG;
		break;
	case OPT_PRINT_CONFIG:
		o->task = TASK_PRINT_CONFIG;
		break;
	case OPT_LIST_POINTS:
		list_points();
		exit(EXIT_OK);
	case OPT_HELP:
		fputs(help, stdout);
		exit(EXIT_OK);
	case OPT_VERSION:
		printf("wbc-flusher %s\n", wbc_version());
		exit(EXIT_OK);
	default:
		fputs("wbc-flusher: --help shows the options\n", stderr);
		exit(EXIT_USAGE);
	}
}

void options_read(struct options *o, int argc, char **argv)
{
	int option, at = 0;

	memset(o, 0, sizeof(*o));
	o->given = calloc((size_t)argc + 1, sizeof(*o->given));
	if (!o->given) {
		fputs("wbc-flusher: no memory\n", stderr);
		exit(EXIT_FAILED);
	}
	while ((option = getopt_long(argc, argv, "c:s:", long_options, &at)) !=
	       -1)
		take_option(o, option, long_options[at].name);
	if (optind < argc) {
		fprintf(stderr, "wbc-flusher: %s: not an option; see --help\n",
		        argv[optind]);
		exit(EXIT_USAGE);
	}
}

void options_free(struct options *o)
{
	free(o->given);
	o->given = NULL;
}

static int set(struct wbci_settings *s, const char *option, const char *text,
               const struct wbci_message *m)
{
	char name[32];

	if (!strcmp(option, "table"))
		return wbci_settings_add_table(s, text, m);
	snprintf(name, sizeof(name), "--%s", option);
	return wbci_settings_set(s, name, text, m);
}

int options_settings(const struct options *o, struct wbci_settings **s,
                     const struct wbci_message *m)
{
	const char *segment = getenv("WBC_SEGMENT");
	int error = wbci_settings_new(s);

	if (error)
		return wbci_say(m, error, "no memory");
	if (segment)
		error = set(*s, "segment", segment, m);
	if (!error && o->file)
		error = wbci_settings_file(*s, o->file, m);
	for (unsigned i = 0; i < o->n && !error; i++)
		error = set(*s, o->given[i].option, o->given[i].text, m);
	return error;
}
