/* SPDX-License-Identifier: MIT */
/* Copyright the wbcshm authors */

/*
 * The commands of wbc-shmctl, and what those on rows share.
 *
 * They use the public library; only to name the columns of a table that
 * somebody else declared, and for `rm`, they look into the segment.
 */
#ifndef WBC_CTL_H
#define WBC_CTL_H

#include "cli.h"
#include "../api/wbcshm.h"
#include "../shm/schema.h"

int ctl_create(const struct cli_command *c, int argc, char **argv);
int ctl_rm(const struct cli_command *c, int argc, char **argv);
int ctl_add(const struct cli_command *c, int argc, char **argv);
int ctl_update(const struct cli_command *c, int argc, char **argv);
int ctl_insert(const struct cli_command *c, int argc, char **argv);
int ctl_read(const struct cli_command *c, int argc, char **argv);
int ctl_flush(const struct cli_command *c, int argc, char **argv);
int ctl_sync(const struct cli_command *c, int argc, char **argv);

/* How long a row that the database must be asked for is waited for, if
 * --timeout does not say: as long as the library waits by itself. */
#define CTL_LOAD_MS INT64_C(1000)

/**
 * ctl_open() - attach to the segment
 * @load_ms: what reads rows waits so long for the flusher; 0: not at all
 *
 * Return: CLI_OK, or another status, said so.
 */
int ctl_open(const char *segment, int64_t load_ms, struct wbc **c);

struct ctl_table {
	struct wbc_table *t;
	struct wbci_schema schema;
};

/**
 * ctl_table() - find a table of the segment, or declare one
 * @name:  "name" or "connection.name" of one that is declared; or NULL
 * @spec:  a specification; or NULL
 * @table: receives it
 *
 * Return: CLI_OK, or another status, said so.
 */
int ctl_table(struct wbc *c, const char *name, const char *spec,
              struct ctl_table *table);

/* A segment, a table in it and the arguments after the table's name. */
struct ctl_row {
	struct wbc *c;
	struct ctl_table table;
	const char *name; /* the table's, for words */
	int argc;
	char **argv;
};

/**
 * ctl_row_open() - what add, update, insert and read begin with
 * @load_ms: see ctl_open()
 * @argv:    TABLE ARGUMENTS, or ARGUMENTS if there is a @spec
 *
 * Return: CLI_OK, and ctl_row_close() is due; or another status, said so.
 */
int ctl_row_open(struct ctl_row *r, const struct cli_command *command,
                 const char *segment, const char *spec, int64_t load_ms,
                 int argc, char **argv);
void ctl_row_close(struct ctl_row *r);

/**
 * ctl_value() - take a NAME=VALUE argument apart
 * @argument: its '=' is overwritten
 * @column:   receives the column's number
 * @value:    receives the value, of the column's type; it points into
 *            @argument
 *
 * Return: CLI_OK, or another status, said so.
 */
int ctl_value(const struct ctl_row *r, const char *what, char *argument,
              unsigned *column, struct wbc_value *value);

/* The column of that name; CLI_OK, or another status, said so. */
int ctl_column(const struct ctl_row *r, const char *what, const char *name,
               unsigned *column);

/* Each key column has exactly one value; CLI_OK, or CLI_USAGE, said so. */
int ctl_check_key(const struct ctl_row *r, const char *what,
                  const struct wbc_value *values, size_t n);

/* Print one counter's value: alone, or as "name=value". */
void ctl_print_int64(const char *name, int64_t value);
void ctl_print_double(const char *name, double value);

#endif
