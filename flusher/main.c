/* SPDX-License-Identifier: MIT */
/* Copyright the wbcshm authors */

/* wbc-flusher: options and signals. */

#include <errno.h>
#include <getopt.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "../api/wbc_error.h"
#include "../units/units.h"
#include "bus.h"
#include "check.h"
#include "flusher.h"
#include "log.h"
#include "notify.h"
#include "points.h"

enum {
	EXIT_OK = 0,
	EXIT_FAILED = 1,
	EXIT_USAGE = 2,
	EXIT_NOT_FOUND = 3,
	EXIT_CORRUPT = 4,
	EXIT_DENIED = 5
};

static const char help[] =
	"Usage: wbc-flusher --segment NAME --sqlite FILE --journal DIR\n"
	"                   --table 'SPEC' [--table 'SPEC' ...] [OPTION ...]\n"
	"Write to a database what clients of a segment count and insert.\n"
	"\n"
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
	"and N k, M or G.  SIGUSR1 writes everything now; SIGTERM and SIGINT "
	"do so\n"
	"and end.  The log goes to standard error.\n"
	"\n"
	"Exit: 0 ok, 1 failed, 2 usage, 3 not found, 4 corrupt or of another\n"
	"layout, 5 denied.\n";

enum {
	OPT_SQLITE = 256,
	OPT_JOURNAL,
	OPT_TABLE,
	OPT_CREATE,
	OPT_MAX_SIZE,
	OPT_CAPACITY,
	OPT_MODE,
	OPT_JOURNAL_INTERVAL,
	OPT_FLUSH_INTERVAL,
	OPT_MAX_QUEUE_ROWS,
	OPT_IDLE,
	OPT_BASE_TTL,
	OPT_CHECK_JOURNAL,
	OPT_LIST_POINTS,
	OPT_HELP,
	OPT_VERSION
};

static const struct option long_options[] = {
	{"segment", required_argument, NULL, 's'},
	{"sqlite", required_argument, NULL, OPT_SQLITE},
	{"journal", required_argument, NULL, OPT_JOURNAL},
	{"table", required_argument, NULL, OPT_TABLE},
	{"create", no_argument, NULL, OPT_CREATE},
	{"max-size", required_argument, NULL, OPT_MAX_SIZE},
	{"capacity", required_argument, NULL, OPT_CAPACITY},
	{"mode", required_argument, NULL, OPT_MODE},
	{"journal-interval", required_argument, NULL, OPT_JOURNAL_INTERVAL},
	{"flush-interval", required_argument, NULL, OPT_FLUSH_INTERVAL},
	{"max-queue-rows", required_argument, NULL, OPT_MAX_QUEUE_ROWS},
	{"idle", required_argument, NULL, OPT_IDLE},
	{"base-ttl", required_argument, NULL, OPT_BASE_TTL},
	{"check-journal", no_argument, NULL, OPT_CHECK_JOURNAL},
	{"list-points", no_argument, NULL, OPT_LIST_POINTS},
	{"help", no_argument, NULL, OPT_HELP},
	{"version", no_argument, NULL, OPT_VERSION},
	{NULL, 0, NULL, 0},
};

struct command {
	struct wbci_flusher_config config;
	const char *tables[WBC_TABLES_MAX + 1];
	bool check_journal;
};

_Noreturn static void refuse(const char *option, const char *text,
                             const char *wanted)
{
	fprintf(stderr, "wbc-flusher: %s %s: it should be %s\n", option, text,
	        wanted);
	exit(EXIT_USAGE);
}

static uint64_t size_of(const char *option, const char *text)
{
	uint64_t bytes;

	if (!units_size(text, &bytes) || !bytes)
		refuse(option, text, "a size, such as 64M or 4G");
	return bytes;
}

static uint64_t count_of(const char *option, const char *text)
{
	uint64_t n;

	if (!units_count(text, &n) || !n)
		refuse(option, text, "a number from 1, such as 500 or 10k");
	return n;
}

static uint32_t time_of(const char *option, const char *text, int64_t most_ms,
                        const char *wanted)
{
	int64_t ms;

	if (!units_duration(text, &ms) || !ms || ms > most_ms)
		refuse(option, text, wanted);
	return (uint32_t)ms;
}

static uint32_t mode_of(const char *text)
{
	uint64_t mode;

	if (!units_mode(text, &mode) || !mode)
		refuse("--mode", text, "permissions in octal, such as 0660");
	return (uint32_t)mode;
}

static void list_points(void)
{
	for (unsigned i = 0; wbci_point_name(i); i++)
		puts(wbci_point_name(i));
}

static void add_table(struct command *c, const char *spec)
{
	if (c->config.n_tables == WBC_TABLES_MAX) {
		fprintf(stderr, "wbc-flusher: --table: more than %d\n",
		        WBC_TABLES_MAX);
		exit(EXIT_USAGE);
	}
	c->tables[c->config.n_tables++] = spec;
}

static void take_option(struct command *c, int option)
{
	struct wbci_flusher_config *to = &c->config;

	switch (option) {
	case 's':
		to->segment = optarg;
		break;
	case OPT_SQLITE:
		to->sqlite = optarg;
		break;
	case OPT_JOURNAL:
		to->journal = optarg;
		break;
	case OPT_TABLE:
		add_table(c, optarg);
		break;
	case OPT_CREATE:
		to->create = true;
		break;
	case OPT_MAX_SIZE:
		to->how.max_bytes = size_of("--max-size", optarg);
		break;
	case OPT_CAPACITY:
		to->how.capacity = count_of("--capacity", optarg);
		break;
	case OPT_MODE:
		to->how.mode = mode_of(optarg);
		break;
	case OPT_JOURNAL_INTERVAL:
		to->journal_ms = time_of("--journal-interval", optarg, 3600000,
		                         "a time from 1ms to 1h, such as "
		                         "200ms");
		break;
	case OPT_FLUSH_INTERVAL:
		to->flush_ms = time_of("--flush-interval", optarg, 86400000,
		                       "a time from 1ms to 24h, such as 5s");
		break;
	case OPT_MAX_QUEUE_ROWS:
		to->max_queue_rows = count_of("--max-queue-rows", optarg);
		break;
	case OPT_IDLE:
		to->idle_ms = time_of("--idle", optarg, INT32_MAX,
		                      "a time from 1ms to 596h, such as 10m");
		break;
	case OPT_BASE_TTL:
		to->base_ttl_ms =
			strcmp(optarg, "never") == 0
				? UINT32_MAX
				: time_of("--base-ttl", optarg, INT32_MAX,
		                          "a time from 1ms to 596h, such as "
		                          "1m, or never");
		break;
	case OPT_CHECK_JOURNAL:
		c->check_journal = true;
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

static void read_options(struct command *c, int argc, char **argv)
{
	int option;

	memset(c, 0, sizeof(*c));
	c->config.segment = getenv("WBC_SEGMENT");
	c->config.tables = c->tables;
	c->config.how.group = -1;
	while ((option = getopt_long(argc, argv, "s:", long_options, NULL)) !=
	       -1)
		take_option(c, option);
	if (optind < argc) {
		fprintf(stderr, "wbc-flusher: %s: not an option; see --help\n",
		        argv[optind]);
		exit(EXIT_USAGE);
	}
}

static int exit_code(int error)
{
	switch (error) {
	case 0:
		return EXIT_OK;
	case -EINVAL:
	case -ENAMETOOLONG:
	case -E2BIG:
	case WBC_E_SPEC:
		return EXIT_USAGE;
	case -ENOENT:
		return EXIT_NOT_FOUND;
	case WBC_E_FORMAT:
	case WBC_E_LAYOUT:
	case WBC_E_CORRUPT:
	case WBC_E_BOOT:
		return EXIT_CORRUPT;
	case -EACCES:
	case -EPERM:
	case WBC_E_OWNER:
		return EXIT_DENIED;
	default:
		return EXIT_FAILED;
	}
}

static int fail(int error, const char *text)
{
	fprintf(stderr, "wbc-flusher: %s\n",
	        *text ? text : wbc_strerror(error));
	return exit_code(error);
}

static int check_journal(const struct command *c)
{
	char text[512] = "";
	struct wbci_message m = {text, sizeof(text)};
	int error;

	if (!c->config.journal) {
		fputs("wbc-flusher: --check-journal needs --journal DIR\n",
		      stderr);
		return EXIT_USAGE;
	}
	error = wbci_check_journal(c->config.journal, true, &m);
	return error ? fail(error, text) : EXIT_OK;
}

/* Signals that we wait for, as a descriptor; all threads block them. */
static int open_signals(void)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGUSR1);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
	/* Writing to a log that nobody reads any more is no reason to die. */
	signal(SIGPIPE, SIG_IGN);
	return signalfd(-1, &set, SFD_CLOEXEC);
}

/* Returns when the flusher is to end, or has ended. */
static void serve(struct wbci_flusher *f, int signals)
{
	struct pollfd fds[2] = {{.fd = signals, .events = POLLIN},
	                        {.fd = wbci_flusher_fd(f), .events = POLLIN}};
	struct signalfd_siginfo got;

	for (;;) {
		if (poll(fds, 2, -1) < 0 && errno != EINTR)
			return;
		if (fds[1].revents)
			return;
		if (!fds[0].revents ||
		    read(signals, &got, sizeof(got)) != sizeof(got))
			continue;
		if (got.ssi_signo != SIGUSR1)
			return;
		wbci_flusher_flush(f);
	}
}

static int run(const struct command *c)
{
	char text[512] = "";
	struct wbci_message m = {text, sizeof(text)};
	int signals = open_signals();
	struct wbci_flusher *f;
	int error;

	if (signals < 0)
		return fail(-errno, "no signalfd");
	error = c->config.journal
	                ? wbci_check_journal(c->config.journal, false, &m)
	                : -ENOENT;
	/* None yet is well, and who is in our way is said below. */
	if (error && error != -ENOENT && error != -EBUSY)
		return fail(error, text);
	error = wbci_flusher_start(&f, &c->config, &m);
	if (error)
		return fail(error, text);
	wbci_notify("READY=1");
	serve(f, signals);
	wbci_notify("STOPPING=1");
	error = wbci_flusher_stop(&f, NULL);
	close(signals);
	return error ? fail(error, "") : EXIT_OK;
}

int main(int argc, char **argv)
{
	char text[256] = "";
	struct wbci_message m = {text, sizeof(text)};
	struct command c;

	read_options(&c, argc, argv);
	if (wbci_points_arm(getenv("WBC_FLUSHER_KILL_AT"), &m))
		return fail(-EINVAL, text);
	wbci_bus_catch(EXIT_CORRUPT);
	return c.check_journal ? check_journal(&c) : run(&c);
}
