/* SPDX-License-Identifier: MIT */
/* Copyright the wbcshm authors */

/* wbc-flusher: what it is to do, and signals. */

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <time.h>
#include <unistd.h>

#include "../api/wbc_error.h"
#include "bus.h"
#include "check.h"
#include "flusher.h"
#include "log.h"
#include "notify.h"
#include "options.h"
#include "points.h"
#include "sink.h"

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

static int check_journal(const struct wbci_flusher_config *said)
{
	char text[512] = "";
	struct wbci_message m = {text, sizeof(text)};
	int error;

	if (!said->journal) {
		fputs("wbc-flusher: --check-journal needs --journal DIR\n",
		      stderr);
		return EXIT_USAGE;
	}
	error = wbci_check_journal(said->journal, true, &m);
	return error ? fail(error, text) : EXIT_OK;
}

static int print_config(const struct wbci_config *c)
{
	char text[512] = "";
	struct wbci_message m = {text, sizeof(text)};
	int error = wbci_config_print(c, stdout, &m);

	if (!error && (fflush(stdout) || ferror(stdout)))
		error = wbci_say(&m, -EIO, "standard output: cannot write");
	return error ? fail(error, text) : EXIT_OK;
}

/* What a mismatch is said about. */
struct about {
	const char *what;
	const char *name;
};

static void say_mismatch(void *arg, const char *words)
{
	const struct about *a = arg;

	printf("%s %s: %s\n", a->what, a->name, words);
}

static int check_tables(const struct wbci_config *c, unsigned connection)
{
	const struct wbci_config_connection *to = &c->connections[connection];
	struct about about = {"connection", to->name};
	char name[WBCI_TABLE_NAME];
	int wrong =
		wbci_sink_sqlite.examine(to->where, NULL, say_mismatch, &about);
	int one;

	if (wrong < 0)
		return 1;
	about = (struct about){"table", name};
	for (unsigned i = 0; i < c->n_tables; i++) {
		const struct wbci_schema *t = &c->tables[i];
		bool named = strcmp(to->name, "default") != 0;

		if (strcmp(t->connection, to->name) != 0)
			continue;
		snprintf(name, sizeof(name), "%s%s%s", named ? to->name : "",
		         named ? "." : "", t->name);
		one = wbci_sink_sqlite.examine(to->where, t, say_mismatch,
		                               &about);
		wrong += one < 0 ? 1 : one;
	}
	return wrong;
}

static int check_config(const struct wbci_config *c)
{
	int wrong = 0;

	for (unsigned i = 0; i < c->n_connections; i++)
		wrong += check_tables(c, i);
	if (!wrong)
		printf("connections: %u, tables: %u: all fits\n",
		       c->n_connections, c->n_tables);
	fflush(stdout);
	return wrong ? EXIT_FAILED : EXIT_OK;
}

/* Signals that we wait for, as a descriptor; all threads block them. */
static int open_signals(void)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGUSR1);
	sigaddset(&set, SIGHUP);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
	/* Writing to a log that nobody reads any more is no reason to die. */
	signal(SIGPIPE, SIG_IGN);
	return signalfd(-1, &set, SFD_CLOEXEC);
}

/* The service manager learns when it began, to know that it is over. */
static void notify_reloading(void)
{
	char state[80];
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	snprintf(state, sizeof(state), "RELOADING=1\nMONOTONIC_USEC=%" PRIu64,
	         (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000);
	wbci_notify(state);
}

/* All of the file, or nothing. */
static void reload(struct wbci_flusher *f, const struct options *o)
{
	char text[1024] = "";
	struct wbci_message m = {text, sizeof(text)};
	const struct wbci_flusher_config *said;
	struct wbci_settings *s = NULL;
	int error;

	notify_reloading();
	error = options_settings(o, &s, &m);
	if (!error)
		error = wbci_settings_said(s, &said, &m);
	if (!error)
		error = wbci_flusher_reload(f, said, &m);
	if (error)
		wbci_log(
			"reload-failed",
			LOG_TEXT("reason", *text ? text : wbc_strerror(error)));
	else
		wbci_log("reloaded", LOG_TEXT("config", o->file ? o->file : ""),
		         LOG_NUMBER("connections", said->n_connections),
		         LOG_NUMBER("tables", said->n_tables));
	wbci_settings_free(&s);
	wbci_notify("READY=1");
}

/* Returns when the flusher is to end, or has ended. */
static void serve(struct wbci_flusher *f, const struct options *o, int signals)
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
		if (got.ssi_signo == SIGHUP)
			reload(f, o);
		else if (got.ssi_signo == SIGUSR1)
			wbci_flusher_flush(f);
		else
			return;
	}
}

static int run(const struct options *o, const struct wbci_flusher_config *said)
{
	char text[512] = "";
	struct wbci_message m = {text, sizeof(text)};
	int signals = open_signals();
	struct wbci_flusher *f;
	int error;

	if (signals < 0)
		return fail(-errno, "no signalfd");
	error = said->journal ? wbci_check_journal(said->journal, false, &m)
	                      : -ENOENT;
	/* None yet is well, and who is in our way is said below. */
	if (error && error != -ENOENT && error != -EBUSY)
		return fail(error, text);
	error = wbci_flusher_start(&f, said, &m);
	if (error)
		return fail(error, text);
	wbci_notify("READY=1");
	serve(f, o, signals);
	wbci_notify("STOPPING=1");
	error = wbci_flusher_stop(&f, NULL);
	close(signals);
	return error ? fail(error, "") : EXIT_OK;
}

/* The configuration as it is in effect, checked or printed. */
static int look(const struct options *o, const struct wbci_flusher_config *said)
{
	char text[512] = "";
	struct wbci_message m = {text, sizeof(text)};
	struct wbci_config *c;
	int error = wbci_config_new(&c, said, &m);
	int rc;

	if (error)
		return fail(error, text);
	rc = o->task == TASK_PRINT_CONFIG ? print_config(c) : check_config(c);
	wbci_config_free(&c);
	return rc;
}

static int do_task(const struct options *o,
                   const struct wbci_flusher_config *said)
{
	switch (o->task) {
	case TASK_CHECK_JOURNAL:
		return check_journal(said);
	case TASK_CHECK_CONFIG:
	case TASK_PRINT_CONFIG:
		return look(o, said);
	default:
		return run(o, said);
	}
}

int main(int argc, char **argv)
{
	char text[1024] = "";
	struct wbci_message m = {text, sizeof(text)};
	const struct wbci_flusher_config *said;
	struct wbci_settings *s = NULL;
	struct options o;
	int error, rc;

	options_read(&o, argc, argv);
	if (wbci_points_arm(getenv("WBC_FLUSHER_KILL_AT"), &m))
		return fail(-EINVAL, text);
	wbci_bus_catch(EXIT_CORRUPT);
	error = options_settings(&o, &s, &m);
	if (!error)
		error = wbci_settings_said(s, &said, &m);
	rc = error ? fail(error, text) : do_task(&o, said);
	wbci_settings_free(&s);
	options_free(&o);
	return rc;
}
