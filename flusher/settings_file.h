/* SPDX-License-Identifier: MIT */
/* Copyright the wbcshm authors */

/* What settings.c and settings_file.c share; for them only. */
#ifndef WBCI_SETTINGS_FILE_H
#define WBCI_SETTINGS_FILE_H

#include "ini.h"
#include "journal.h"
#include "settings.h"

/* A table that was said; its texts are among the settings'. */
struct wbci_said_table {
	char full[WBCI_TABLE_NAME]; /* "connection.name" */
	char connection[WBC_NAME_MAX + 1];
	const char *spec;
	struct wbci_limits limits;
	unsigned line; /* in the file, or 0: on the command line */
};

struct wbci_settings {
	struct wbci_flusher_config said;
	char *path; /* of the file, or NULL */
	struct wbci_said_connection connections[WBCI_CONNECTIONS_MAX];
	struct wbci_said_table tables[WBC_TABLES_MAX];
	/* As wbci_settings_said() gives them. */
	const char *specs[WBC_TABLES_MAX];
	struct wbci_limits limits[WBC_TABLES_MAX];
	char **texts; /* all that is pointed to */
	size_t n_texts;
};

/* A copy that lives as long as the settings do; NULL: no memory. */
const char *wbci_settings_keep(struct wbci_settings *s, const char *text);

/* Read a text and put it where its setting belongs.  0, -EINVAL, -ENOMEM. */
int wbci_settings_store(struct wbci_settings *s, const struct wbci_setting *k,
                        const char *text);

/* Add a table, or put it in place of the one of its name that stood in a
 * file.  0, -E2BIG, or -EEXIST with the other one's line. */
int wbci_settings_put_table(struct wbci_settings *s,
                            const struct wbci_said_table *t, unsigned *line);

/* "connection.name" of a schema goes into a table's names. */
void wbci_settings_name_table(struct wbci_said_table *t,
                              const struct wbci_schema *schema);

#endif
