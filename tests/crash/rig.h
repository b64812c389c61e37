/* SPDX-License-Identifier: MIT */
/* Copyright the wbcshm authors */

/*
 * A rig: one segment, one journal, one SQLite database in a temporary
 * folder, and a flusher program that is started, killed and stopped by its
 * process id.
 *
 * What is waited for is an event: READY=1 on $NOTIFY_SOCKET, the end of a
 * process, a line in the log.  RIG_PATIENCE_MS ends a hang, and that is a
 * failure; no result depends on it.
 *
 * Functions that return nothing cannot fail: they end the test instead.
 */
#ifndef CRASH_RIG_H
#define CRASH_RIG_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "api/wbcshm.h"

#define RIG_PATIENCE_MS 180000
#define RIG_TABLES_MAX 8
#define RIG_EXTRA_MAX 8
#define RIG_COLUMNS_MAX 8

/* What rig_wait() returns of a process that a signal ended. */
#define RIG_SIGNALLED(sig) (128 + (sig))

struct rig {
	char dir[PATH_MAX - 64];
	char segment[PATH_MAX];
	char address[PATH_MAX + 8];
	char database[PATH_MAX];
	char journal[PATH_MAX];
	char log[PATH_MAX];
	char notify[PATH_MAX];

	/* The flusher's command line, to be changed before it is started. */
	const char *journal_interval;
	const char *flush_interval;
	const char *tables[RIG_TABLES_MAX + 1];
	const char *extra[RIG_EXTRA_MAX + 1];
	bool create; /* --create */
	bool halted; /* it stops itself before its first instruction */

	int notify_fd;
	pid_t pid; /* 0: no flusher runs */
	long log_mark;
};

/* A new folder; the segment and the database are not made yet. */
void rig_begin(struct rig *r, const char *name);

/* Kill what runs, remove the folder. */
void rig_end(struct rig *r);

/* A handle on the segment, which is made if there is none. */
struct wbc *rig_open(const struct rig *r);

/* The same, on which reading waits for so long, see wbc_options. */
struct wbc *rig_open_waiting(const struct rig *r, int load_wait_ms);

/* A table, declared. */
struct wbc_table *rig_table(struct wbc *c, const char *spec);

/**
 * rig_spawn() - start a flusher, not waiting for anything
 * @kill_at: NAME[:NTH] where it is to die, or NULL
 */
void rig_spawn(struct rig *r, const char *kill_at);

/* Wait until it serves.  False: it ended instead; rig_wait() says how. */
bool rig_ready(struct rig *r);

/* Both; a flusher that does not serve ends the test. */
void rig_start(struct rig *r);

/* Has it ended?  rig_wait() still says how. */
bool rig_ended(const struct rig *r);

/* Wait for its end: its exit status, or RIG_SIGNALLED(). */
int rig_wait(struct rig *r);

/* Start one that is to fail: its exit status. */
int rig_refused(struct rig *r);

void rig_signal(const struct rig *r, int sig);

/* SIGKILL, and wait. */
void rig_kill(struct rig *r);

/* SIGTERM, and wait: its exit status. */
int rig_stop(struct rig *r);

/* From here on only lines that are written later are looked at. */
void rig_log_mark(struct rig *r);

/* Lines with all of up to two texts (NULL: one is enough). */
unsigned rig_log_count(const struct rig *r, const char *a, const char *b);

/* The sum over `event=EVENT` lines of `KEY=number`. */
int64_t rig_log_sum(const struct rig *r, const char *event, const char *key);

/* Wait until there is a line with both texts; false: the flusher ended. */
bool rig_log_wait(const struct rig *r, const char *a, const char *b);

/* Show what was logged since the mark, as diagnostics. */
void rig_log_show(const struct rig *r);

/* The last line with a text, for messages; a static buffer. */
const char *rig_log_last(const struct rig *r, const char *text);

/* Bytes of a file, 0 if there is none; of the journal's data. */
int64_t rig_file_bytes(const char *path);
int64_t rig_journal_bytes(const struct rig *r);

/**
 * rig_run() - run a program to its end
 * @argv: NULL at its end; argv[0] is looked for in PATH
 * @text: receives what it printed on either output, NUL-terminated
 *
 * Return: its exit status, or RIG_SIGNALLED().
 */
int rig_run(const char *const *argv, char *text, size_t size);

/**
 * rig_be_nobody() - go on as a user whom permissions mean something to
 *
 * To be called before anything else: a superuser passes every check.
 *
 * Return: NULL, or why it cannot be.
 */
const char *rig_be_nobody(void);

/* Copy a file or folder of the rig to another name in it; or rename it. */
void rig_copy(const struct rig *r, const char *name, const char *to);
void rig_move(const struct rig *r, const char *name, const char *to);

/* Milliseconds since some moment in the past. */
int64_t rig_now_ms(void);

/* wbc_flush() of everything, with patience. */
int rig_flush(struct wbc *c);

/* sql.c: the database, by a connection of the test's own. */

/* Make the file, or change it.  The next: its result must be one number. */
void rig_sql(const struct rig *r, const char *sql);
int64_t rig_sql_int(const struct rig *r, const char *sql);
double rig_sql_double(const struct rig *r, const char *sql);
/* The first column of the first row; a static buffer. */
const char *rig_sql_text(const struct rig *r, const char *sql);

/* Call a function with the numbers of each row of an answer. */
void rig_sql_each(const struct rig *r, const char *sql, unsigned columns,
                  void (*fn)(void *arg, const int64_t *values), void *arg);

/* Hold the database's write lock (BEGIN EXCLUSIVE) until released. */
void rig_sql_lock(const struct rig *r);
void rig_sql_unlock(void);

#endif
