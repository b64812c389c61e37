/* SPDX-License-Identifier: MIT */
/* Copyright the wbcshm authors */

/* What the files of the SQLite sink share; for them only. */
#ifndef WBCI_SINK_SQLITE_H
#define WBCI_SINK_SQLITE_H

#include <sqlite3.h>

#include "../shm/message.h"
#include "../shm/schema.h"

/**
 * wbci_sqlite_check_keys() - do a table's key columns tell all keys apart?
 * @path: of the database, for the words
 *
 * Return: 0, or -1 with a reason and a remedy in words.
 */
int wbci_sqlite_check_keys(sqlite3 *db, const char *path,
                           const struct wbci_schema *schema,
                           const struct wbci_message *m);

#endif
