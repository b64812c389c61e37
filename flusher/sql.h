/* SPDX-License-Identifier: MIT */
/* Copyright the wbcshm authors */

/*
 * SQL texts for a table, in SQLite's dialect.  Identifiers come from the
 * configuration's schema and are quoted; values are numbered parameters.
 *
 * Parameters: of an insert, its columns in the order of the declaration; of
 * the others, the changed cells in their order, then the key columns.
 */
#ifndef WBCI_SQL_H
#define WBCI_SQL_H

#include <stdint.h>

#include "../shm/schema.h"

enum wbci_sql {
	/* Append a row; columns: bit i is column i. */
	SQL_INSERT,
	/* Add to the cells whose bit is set.  Refuses (changes no row) when
	 * an int64 would become a real or a double infinite. */
	SQL_UPDATE,
	/* The same, or a new row with the deltas as its values. */
	SQL_UPSERT,
	/* A new row with the deltas as its values. */
	SQL_NEW_ROW,
	/* The values of all cells. */
	SQL_SELECT
};

/* All but INSERT answer with the values of all cells of the row. */

/**
 * wbci_sql_text() - make a statement
 * @columns: which columns or cells, see above
 *
 * Return: a text to be freed, or NULL: no memory.
 */
char *wbci_sql_text(const struct wbci_schema *s, enum wbci_sql kind,
                    uint64_t columns);

#endif
