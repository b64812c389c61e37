/* SPDX-License-Identifier: MIT */
/* Copyright the wbcshm authors */

/* Starting, killing and stopping processes, by their ids only. */
#ifndef EXAMPLE_SUPERVISE_H
#define EXAMPLE_SUPERVISE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct flusher {
	const char *argv[16]; /* argv[0] is looked for in PATH */
	const char *log;      /* its standard error is appended there */
	pid_t pid;            /* 0: not running */
	unsigned kills;
};

/* Does the program exist? */
bool program_exists(const char *name);

/**
 * flusher_start() - start a flusher; it dies with its parent
 * Return: 0 or -errno.
 */
int flusher_start(struct flusher *f);

/* SIGKILL, and wait until it is gone. */
void flusher_kill(struct flusher *f);

/**
 * flusher_stop() - SIGTERM, and wait until it has written everything
 * Return: its exit status, 128 + the signal that ended it, or -ETIMEDOUT.
 */
int flusher_stop(struct flusher *f, int timeout_ms);

/* True if it ended although nobody asked it to. */
bool flusher_failed(struct flusher *f);

/* Write the last lines of its log to standard error. */
void flusher_show_log(const struct flusher *f);

/**
 * flusher_statements() - how many SQL statements its log accounts for
 * @table:      those for this table
 * @statements: receives their number, summed over all lives
 * @unlogged:   receives how often a life applied a batch and was killed
 *              before it could log so; the next one noticed
 *
 * Return: 0 or -errno.
 */
int flusher_statements(const struct flusher *f, const char *table,
                       uint64_t *statements, uint64_t *unlogged);

/**
 * child_wait() - wait for a child to end
 * @timeout_ms: 0 only looks
 *
 * Return: its exit status, 128 + the signal that ended it, or -ETIMEDOUT.
 */
int child_wait(pid_t pid, int timeout_ms);

/* Seconds since some moment in the past. */
double now_s(void);
void sleep_ms(long ms);

#endif
