/* SPDX-License-Identifier: MIT */
/* Copyright the wbcshm authors */

/*
 * SQL texts for a table, in SQLite's dialect.  Identifiers come from the
 * configuration's schema and are quoted; values are numbered parameters.
 *
 * Columns are a set: bit i is column i.  Parameters: its columns in the order
 * of the declaration, and of all but INSERT then the key columns.
 */
#ifndef WBCI_SQL_H
#define WBCI_SQL_H

#include <stdint.h>

#include "../shm/schema.h"

enum wbci_sql {
	/* Append a row. */
	SQL_INSERT,
	/* Add to counted columns, set plain ones.  Refuses (changes no row)
	 * when an int64 would become a real or a double infinite, and where
	 * there is a text or a blob to be added to. */
	SQL_UPDATE,
	/* The same, or a new row with the changes as its values. */
	SQL_UPSERT,
	/* A new row with the changes as its values. */
	SQL_NEW_ROW,
	/* The values of all cells. */
	SQL_SELECT,
	/* The same, and behind them those of all plain columns. */
	SQL_READ
};

/* All but INSERT answer with the values of all cells of the row, one line for
 * each row; where the table has no cells, with a 1. */

/**
 * wbci_sql_text() - make a statement
 * @columns: at least one but for SELECT and READ, which take none
 *
 * Return: a text to be freed, or NULL: no memory.
 */
char *wbci_sql_text(const struct wbci_schema *s, enum wbci_sql kind,
                    uint64_t columns);

#endif
