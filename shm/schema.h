/* SPDX-License-Identifier: MIT */
/* Copyright the wbcshm authors */

/*
 * What a table is like.  One grammar serves the API, the segment, the
 * journal and the flusher's options:
 *
 *   [connection.]name(column, ...) [on_missing=deadletter|insert|ignore]
 *
 * A schema has one canonical text, without the policy, by which it is
 * compared and stored; parsing it gives the same schema again.  The parser
 * takes hostile bytes: the segment and the journal are input.
 */
#ifndef WBCI_SCHEMA_H
#define WBCI_SCHEMA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../api/wbc_table.h"
#include "message.h"

#define WBCI_SPEC_MAX 8192u /* bytes of a specification */

enum wbci_role { ROLE_PLAIN = 0, ROLE_KEY = 1, ROLE_COUNTER = 2 };

/* What a change of a row that the database does not have becomes. */
enum wbci_on_missing {
	ON_MISSING_UNSET = 0, /* as the flusher says, there: deadletter */
	ON_MISSING_DEADLETTER = 1,
	ON_MISSING_INSERT = 2,
	ON_MISSING_IGNORE = 3
};

struct wbci_column {
	char name[WBC_NAME_MAX + 1];
	uint8_t name_bytes;
	uint8_t type;  /* enum wbc_type */
	uint8_t role;  /* enum wbci_role */
	uint8_t index; /* of a key column among keys, of a counter: its cell */
};

struct wbci_schema {
	char connection[WBC_NAME_MAX + 1]; /* "default" if not given */
	char name[WBC_NAME_MAX + 1];
	uint8_t n_columns;
	uint8_t n_keys;
	uint8_t n_cells;
	uint8_t n_plain; /* columns that are neither */
	uint8_t on_missing;
	uint8_t key_column[WBC_COLUMNS_MAX];   /* column of key i */
	uint8_t cell_column[WBC_COUNTERS_MAX]; /* column of cell i */
	struct wbci_column columns[WBC_COLUMNS_MAX];
};

/**
 * wbci_schema_parse() - read a specification
 * @s:     receives the schema
 * @text:  specification, not NUL-terminated
 * @bytes: its length
 * @m:     words about a failure, or NULL
 *
 * White space is free, keywords are known in either case, names are taken as
 * they are.  Two columns may not differ in case only, since databases would
 * take them for one.  @s is written on success only.
 *
 * Return: 0, or WBC_E_SPEC     it does not parse; the words say where and why
 *               -ENAMETOOLONG  a name is over WBC_NAME_MAX bytes
 *               -E2BIG         too long, or too many columns or counters
 */
int wbci_schema_parse(struct wbci_schema *s, const char *text, size_t bytes,
                      const struct wbci_message *m);

/**
 * wbci_schema_text() - the canonical specification
 * @s:    schema
 * @text: WBCI_SPEC_MAX bytes; receives it, NUL-terminated
 *
 * Return: its length without the NUL.
 */
size_t wbci_schema_text(const struct wbci_schema *s, char *text);

/* Same connection, name and columns; the policy is not compared. */
bool wbci_schema_same(const struct wbci_schema *a,
                      const struct wbci_schema *b);

/* A policy's name; "deadletter", the default, for ON_MISSING_UNSET. */
const char *wbci_schema_policy(unsigned on_missing);

/*
 * Is this the column's name?  Callers that took the name from a schema meet
 * the same pointer, and other columns mostly begin with another letter.
 */
static inline bool wbci_column_is(const struct wbci_column *column,
                                  const char *name)
{
	const char *own = column->name;

	if (name == own)
		return true;
	/* Names are short: this is done before strcmp() is called. */
	while (*name == *own && *own) {
		name++;
		own++;
	}
	return *name == *own;
}

/* The column's number, or WBC_E_COLUMN. */
int wbci_schema_column(const struct wbci_schema *s, const char *name);

#endif
