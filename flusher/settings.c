/* SPDX-License-Identifier: MIT */
/* Copyright the wbcshm authors */

#include "settings.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../api/wbc_error.h"
#include "../units/units.h"
#include "settings_file.h"

#define IN(field) offsetof(struct wbci_flusher_config, field)
#define HOUR_MS INT64_C(3600000)

const struct wbci_setting wbci_settings_table[] = {
	{"segment", "name", "--segment", SETTING_TEXT, IN(segment), 0,
         "a name or a path"},
	{"segment", "path", "", SETTING_PATH, IN(segment), 0,
         "a path from the root, such as /dev/shm/app"},
	{"segment", "create", "--create", SETTING_YES, IN(create), 0,
         "yes or no"},
	{"segment", "max_size", "--max-size", SETTING_SIZE, IN(how.max_bytes),
         0, "a size, such as 64M or 4G"},
	{"segment", "capacity", "--capacity", SETTING_COUNT, IN(how.capacity),
         0, "a number from 1, such as 500 or 10k"},
	{"segment", "mode", "--mode", SETTING_MODE, IN(how.mode), 0,
         "permissions in octal, such as 0660"},
	{"flush", "journal", "--journal", SETTING_TEXT, IN(journal), 0,
         "a folder"},
	{"flush", "journal_interval", "--journal-interval", SETTING_TIME,
         IN(journal_ms), HOUR_MS, "a time from 1ms to 1h, such as 200ms"},
	{"flush", "flush_interval", "--flush-interval", SETTING_TIME,
         IN(flush_ms), 24 * HOUR_MS, "a time from 1ms to 24h, such as 5s"},
	{"flush", "max_queue_rows", "--max-queue-rows", SETTING_COUNT,
         IN(max_queue_rows), 0, "a number from 1, such as 500 or 10k"},
	{"flush", "idle", "--idle", SETTING_TIME, IN(idle_ms), INT32_MAX,
         "a time from 1ms to 596h, such as 10m"},
	{"flush", "base_ttl", "--base-ttl", SETTING_AGE, IN(base_ttl_ms),
         INT32_MAX, "a time from 1ms to 596h, such as 1m, or never"},
	{"", "", "--sqlite", SETTING_TEXT, IN(sqlite), 0, "a file"},
	{NULL, NULL, NULL, SETTING_TEXT, 0, 0, NULL},
};

int wbci_settings_new(struct wbci_settings **settings)
{
	struct wbci_settings *s = calloc(1, sizeof(*s));

	if (!s)
		return -ENOMEM;
	s->said.how.group = -1;
	*settings = s;
	return 0;
}

void wbci_settings_free(struct wbci_settings **settings)
{
	struct wbci_settings *s = *settings;

	*settings = NULL;
	if (!s)
		return;
	for (size_t i = 0; i < s->n_texts; i++)
		free(s->texts[i]);
	free(s->texts);
	free(s->path);
	free(s);
}

const char *wbci_settings_keep(struct wbci_settings *s, const char *text)
{
	char **larger = realloc(s->texts, (s->n_texts + 1) * sizeof(*larger));

	if (!larger)
		return NULL;
	s->texts = larger;
	larger[s->n_texts] = strdup(text);
	return larger[s->n_texts] ? larger[s->n_texts++] : NULL;
}

static bool read_yes(const char *text, bool *yes)
{
	static const char *const words[] = {"no",  "yes", "false", "true",
	                                    "off", "on",  "0",     "1"};

	for (unsigned i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		if (!strcmp(text, words[i])) {
			*yes = i & 1;
			return true;
		}
	return false;
}

bool wbci_setting_read(const struct wbci_setting *k, const char *text, void *to)
{
	uint64_t n;
	int64_t ms;

	switch (k->kind) {
	case SETTING_TEXT:
		return true;
	case SETTING_PATH:
		return *text == '/';
	case SETTING_YES:
		return read_yes(text, to);
	case SETTING_SIZE:
		return units_size(text, &n) && n && (*(uint64_t *)to = n, true);
	case SETTING_COUNT:
		return units_count(text, &n) && n &&
		       (*(uint64_t *)to = n, true);
	case SETTING_MODE:
		return units_mode(text, &n) && n &&
		       (*(uint32_t *)to = (uint32_t)n, true);
	case SETTING_AGE:
	case SETTING_TIME:
		if (k->kind == SETTING_AGE && !strcmp(text, "never"))
			return *(uint32_t *)to = UINT32_MAX, true;
		return units_duration(text, &ms) && ms && ms <= k->most_ms &&
		       (*(uint32_t *)to = (uint32_t)ms, true);
	}
	return false;
}

int wbci_settings_store(struct wbci_settings *s, const struct wbci_setting *k,
                        const char *text)
{
	char *to = (char *)&s->said + k->offset;

	if (!wbci_setting_read(k, text, to))
		return -EINVAL;
	if (k->kind != SETTING_TEXT && k->kind != SETTING_PATH)
		return 0;
	text = wbci_settings_keep(s, text);
	if (!text)
		return -ENOMEM;
	memcpy(to, &text, sizeof(text));
	return 0;
}

int wbci_settings_set(struct wbci_settings *s, const char *option,
                      const char *text, const struct wbci_message *m)
{
	const struct wbci_setting *k = wbci_settings_table;
	int error;

	while (k->wanted && strcmp(k->option, option) != 0)
		k++;
	if (!k->wanted)
		return -ENOENT;
	error = wbci_settings_store(s, k, text);
	if (error == -EINVAL)
		return wbci_say(m, error, "%s %s: it should be %s", option,
		                text, k->wanted);
	return error ? wbci_say(m, error, "no memory") : 0;
}

void wbci_settings_name_table(struct wbci_said_table *t,
                              const struct wbci_schema *schema)
{
	snprintf(t->full, sizeof(t->full), "%s.%s", schema->connection,
	         schema->name);
	memcpy(t->connection, schema->connection, sizeof(t->connection));
}

int wbci_settings_put_table(struct wbci_settings *s,
                            const struct wbci_said_table *t, unsigned *line)
{
	struct wbci_said_table *to = s->tables;

	while (to < s->tables + s->said.n_tables &&
	       strcmp(to->full, t->full) != 0)
		to++;
	if (to < s->tables + s->said.n_tables && (t->line || !to->line)) {
		*line = to->line;
		return -EEXIST;
	}
	if (to == s->tables + WBC_TABLES_MAX)
		return -E2BIG;
	if (to == s->tables + s->said.n_tables)
		s->said.n_tables++;
	*to = *t;
	return 0;
}

int wbci_settings_add_table(struct wbci_settings *s, const char *spec,
                            const struct wbci_message *m)
{
	struct wbci_said_table t = {.line = 0};
	struct wbci_schema schema;
	unsigned line;
	int error = wbci_schema_parse(&schema, spec, strlen(spec), m);

	if (error)
		return error;
	wbci_settings_name_table(&t, &schema);
	t.spec = wbci_settings_keep(s, spec);
	if (!t.spec)
		return wbci_say(m, -ENOMEM, "no memory");
	error = wbci_settings_put_table(s, &t, &line);
	if (error == -E2BIG)
		return wbci_say(m, error, "--table: more than %d",
		                WBC_TABLES_MAX);
	return error ? wbci_say(m, -EINVAL,
	                        "table %s: given twice; give all its columns "
	                        "in one --table",
	                        schema.name)
	             : 0;
}

static bool has_connection(const struct wbci_settings *s, const char *name)
{
	if (s->said.sqlite && !strcmp(name, "default"))
		return true;
	for (unsigned i = 0; i < s->said.n_connections; i++)
		if (!strcmp(s->connections[i].name, name))
			return true;
	return false;
}

int wbci_settings_said(struct wbci_settings *s,
                       const struct wbci_flusher_config **said,
                       const struct wbci_message *m)
{
	for (unsigned i = 0; i < s->said.n_tables; i++) {
		const struct wbci_said_table *t = &s->tables[i];

		s->specs[i] = t->spec;
		s->limits[i] = t->limits;
		if (t->line && !has_connection(s, t->connection))
			return wbci_say(m, -EINVAL,
			                "%s:%u: table %s: there is no "
			                "[connection %s]; add it, or name "
			                "another one",
			                s->path, t->line, t->full,
			                t->connection);
	}
	s->said.tables = s->specs;
	s->said.limits = s->limits;
	s->said.connections = s->connections;
	*said = &s->said;
	return 0;
}

/* All of a file, or an error. */
static int read_all(int fd, char **text, size_t *bytes)
{
	size_t n = 0;
	ssize_t got = 1;
	struct stat st;

	if (fstat(fd, &st) < 0)
		return -errno;
	if (!S_ISREG(st.st_mode) && !S_ISFIFO(st.st_mode))
		return -EISDIR;
	*text = malloc(WBCI_FILE_BYTES + 1);
	if (!*text)
		return -ENOMEM;
	while (got > 0 && n <= WBCI_FILE_BYTES) {
		got = read(fd, *text + n, WBCI_FILE_BYTES + 1 - n);
		if (got < 0 && errno == EINTR)
			got = 1;
		else if (got > 0)
			n += (size_t)got;
	}
	*bytes = n;
	return got < 0 ? -errno : n > WBCI_FILE_BYTES ? -E2BIG : 0;
}

int wbci_settings_file(struct wbci_settings *s, const char *path,
                       const struct wbci_message *m)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	char *text = NULL;
	size_t bytes = 0;
	int error = fd < 0 ? -errno : read_all(fd, &text, &bytes);

	if (fd >= 0)
		close(fd);
	if (error == -E2BIG)
		wbci_say(m, error,
		         "%s: more than %u bytes; it is no "
		         "configuration file",
		         path, WBCI_FILE_BYTES);
	else if (error == -EISDIR)
		wbci_say(m, error, "%s: no file; name a configuration file",
		         path);
	else if (error)
		wbci_say(m, error, "%s: cannot read it: %s", path,
		         strerror(-error));
	else
		error = wbci_settings_bytes(s, path, text, bytes, m);
	free(text);
	return error;
}
