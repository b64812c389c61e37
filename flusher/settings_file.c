/* SPDX-License-Identifier: MIT */
/* Copyright the wbcshm authors */

/*
 * What the sections and keys of a configuration file mean.
 *
 *   [segment] [flush]    settings of the table in settings.c
 *   [connection NAME]    sqlite = FILE
 *   [table NAME]         connection, columns, on_missing, max_queue_rows,
 *                        flush_interval; NAME may be CONNECTION.NAME
 *
 * The first thing that is wrong ends it, with its line.
 */
#include "settings_file.h"

#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../api/wbc_error.h"
#include "../units/units.h"

#define KEYS_MAX 16u
#define COLUMNS_BYTES WBCI_SPEC_MAX

enum section { IN_NONE, IN_SETTINGS, IN_CONNECTION, IN_TABLE };

/* A [table] that is being read. */
struct draft {
	char name[WBC_NAME_MAX + 1];
	char connection[WBC_NAME_MAX + 1]; /* "": not said */
	unsigned connection_line;
	char columns[COLUMNS_BYTES];
	size_t columns_bytes;
	unsigned columns_line;
	char policy[16];
	struct wbci_limits limits;
};

struct file {
	struct wbci_settings *s;
	enum section section;
	char name[16];  /* of IN_SETTINGS' section */
	unsigned begun; /* the section's line */
	unsigned segment_line, flush_line;
	unsigned connection_lines[WBCI_CONNECTIONS_MAX];
	/* The section's keys: where each stands. */
	struct {
		const void *key;
		unsigned line;
	} seen[KEYS_MAX];
	unsigned n_seen;
	struct draft draft;
};

/* A value that may be shown, cut to a sane length. */
static const char *shown(const char *value, char text[128])
{
	units_printable(text, 128, value, strlen(value));
	return text;
}

static bool is_name(const char *name)
{
	size_t n = strspn(name, "abcdefghijklmnopqrstuvwxyz"
	                        "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_");

	return n && n <= WBC_NAME_MAX && !name[n] &&
	       !(*name >= '0' && *name <= '9');
}

static int no_memory(const struct wbci_ini *at)
{
	return wbci_say(at->m, -ENOMEM, "%s: no memory", at->path);
}

/* Each key stands once in a section. */
static int see(struct file *f, const struct wbci_ini *at, const void *key,
               const char *name)
{
	for (unsigned i = 0; i < f->n_seen; i++)
		if (f->seen[i].key == key)
			return wbci_ini_refuse(
				at, at->line, -EINVAL,
				"%s: said in line %u already; leave one out",
				name, f->seen[i].line);
	f->seen[f->n_seen].key = key;
	f->seen[f->n_seen++].line = at->line;
	return 0;
}

/* [segment] and [flush] */
static int take_setting(struct file *f, const struct wbci_ini *at,
                        const char *key, const char *value)
{
	const struct wbci_setting *k = wbci_settings_table;
	char text[128];
	int error;

	while (k->wanted &&
	       (strcmp(k->section, f->name) != 0 || strcmp(k->key, key) != 0))
		k++;
	if (!k->wanted) {
		bool segment = !strcmp(f->name, "segment");

		return wbci_ini_refuse(
			at, at->line, -EINVAL, "%s: [%s] has no such key; %s",
			shown(key, text), f->name,
			segment ? "it has name, path, create, max_size, "
				  "capacity and mode"
				: "it has journal, journal_interval, "
				  "flush_interval, max_queue_rows, idle and "
				  "base_ttl");
	}
	/* A name and a path are one setting. */
	error = see(f, at, (const char *)&f->s->said + k->offset, key);
	if (error)
		return error;
	error = wbci_settings_store(f->s, k, value);
	if (error == -EINVAL)
		return wbci_ini_refuse(at, at->line, error,
		                       "%s = %s: it should be %s", key,
		                       shown(value, text), k->wanted);
	return error ? no_memory(at) : 0;
}

/* [connection NAME]: nothing of a value is shown. */
static int take_place(struct file *f, const struct wbci_ini *at,
                      const char *key, const char *value)
{
	struct wbci_said_connection *c =
		&f->s->connections[f->s->said.n_connections - 1];
	char text[128];
	int error;

	if (strcmp(key, "sqlite") != 0)
		return wbci_ini_refuse(at, at->line, -EINVAL,
		                       "%s: no kind of connection that this "
		                       "flusher has; it should be sqlite = "
		                       "FILE",
		                       shown(key, text));
	error = see(f, at, &c->where, key);
	if (error)
		return error;
	c->where = wbci_settings_keep(f->s, value);
	return c->where ? 0 : no_memory(at);
}

static int take_columns(struct file *f, const struct wbci_ini *at,
                        const char *value)
{
	struct draft *d = &f->draft;
	size_t n = strlen(value);

	if (!d->columns_bytes)
		d->columns_line = at->line;
	if (d->columns_bytes + n + 2 > sizeof(d->columns))
		return wbci_ini_refuse(at, at->line, -E2BIG,
		                       "columns: more than %u bytes",
		                       COLUMNS_BYTES);
	if (d->columns_bytes)
		d->columns[d->columns_bytes++] = ' ';
	memcpy(d->columns + d->columns_bytes, value, n + 1);
	d->columns_bytes += n;
	return 0;
}

static int take_policy(struct file *f, const struct wbci_ini *at,
                       const char *value)
{
	char text[128];

	if (strcmp(value, "deadletter") != 0 && strcmp(value, "insert") != 0 &&
	    strcmp(value, "ignore") != 0)
		return wbci_ini_refuse(at, at->line, -EINVAL,
		                       "on_missing = %s: it should be "
		                       "deadletter, insert or ignore",
		                       shown(value, text));
	snprintf(f->draft.policy, sizeof(f->draft.policy), "%s", value);
	return 0;
}

static int take_connection(struct file *f, const struct wbci_ini *at,
                           const char *value)
{
	struct draft *d = &f->draft;
	char text[128];

	if (!is_name(value))
		return wbci_ini_refuse(at, at->line, -EINVAL,
		                       "connection = %s: it should be the NAME "
		                       "of a [connection NAME]",
		                       shown(value, text));
	if (*d->connection && strcmp(d->connection, value) != 0)
		return wbci_ini_refuse(at, at->line, -EINVAL,
		                       "connection = %s: line %u says %s.%s; "
		                       "leave one out",
		                       value, f->begun, d->connection, d->name);
	snprintf(d->connection, sizeof(d->connection), "%s", value);
	d->connection_line = at->line;
	return 0;
}

static int take_limit(struct file *f, const struct wbci_ini *at,
                      const char *key, const char *value)
{
	/* As [flush] has it, but for where it goes. */
	const struct wbci_setting *k = wbci_settings_table;
	bool rows = !strcmp(key, "max_queue_rows");
	char text[128];

	while (strcmp(k->key, key) != 0)
		k++;
	if (!wbci_setting_read(k, value,
	                       rows ? (void *)&f->draft.limits.max_queue_rows
	                            : (void *)&f->draft.limits.flush_ms))
		return wbci_ini_refuse(at, at->line, -EINVAL,
		                       "%s = %s: it should be %s", key,
		                       shown(value, text), k->wanted);
	return 0;
}

static int take_of_table(struct file *f, const struct wbci_ini *at,
                         const char *key, const char *value)
{
	static const char *const keys[] = {"connection", "columns",
	                                   "on_missing", "max_queue_rows",
	                                   "flush_interval"};
	char text[128];
	unsigned i = 0;
	int error;

	while (i < 5 && strcmp(keys[i], key) != 0)
		i++;
	if (i == 5)
		return wbci_ini_refuse(at, at->line, -EINVAL,
		                       "%s: [table] has no such key; it has "
		                       "connection, columns, on_missing, "
		                       "max_queue_rows and flush_interval",
		                       shown(key, text));
	error = see(f, at, keys[i], key);
	if (error)
		return error;
	switch (i) {
	case 0:
		return take_connection(f, at, value);
	case 1:
		return take_columns(f, at, value);
	case 2:
		return take_policy(f, at, value);
	default:
		return take_limit(f, at, keys[i], value);
	}
}

static int take_more(struct file *f, const struct wbci_ini *at, const char *key,
                     const char *value)
{
	if (f->section != IN_TABLE || strcmp(key, "columns") != 0)
		return wbci_ini_refuse(at, at->line, -EINVAL,
		                       "the line begins with white space, and "
		                       "so would continue the one before, "
		                       "which only columns may; begin it at "
		                       "its start");
	if (strchr(value, '='))
		return wbci_ini_refuse(at, at->line, -EINVAL,
		                       "the line continues the columns of line "
		                       "%u, but has a =; begin a key at the "
		                       "start of its line",
		                       f->draft.columns_line);
	return take_columns(f, at, value);
}

static int take_value(void *arg, const struct wbci_ini *at, const char *key,
                      const char *value, bool more)
{
	struct file *f = arg;
	char text[128];

	if (f->section == IN_NONE)
		return wbci_ini_refuse(at, at->line, -EINVAL,
		                       "%s stands before any section; begin "
		                       "with [segment]",
		                       shown(key, text));
	if (more)
		return take_more(f, at, key, value);
	if (!*value)
		return wbci_ini_refuse(at, at->line, -EINVAL,
		                       "%s has no value; give one, or leave "
		                       "the line out",
		                       shown(key, text));
	switch (f->section) {
	case IN_SETTINGS:
		return take_setting(f, at, key, value);
	case IN_CONNECTION:
		return take_place(f, at, key, value);
	default:
		return take_of_table(f, at, key, value);
	}
}

/* The specification that a draft makes, among the settings' texts. */
static const char *make_spec(struct file *f)
{
	static char spec[COLUMNS_BYTES + 256];
	const struct draft *d = &f->draft;

	snprintf(spec, sizeof(spec), "%s.%s(%s)%s%s", d->connection, d->name,
	         d->columns, *d->policy ? " on_missing=" : "", d->policy);
	return wbci_settings_keep(f->s, spec);
}

static int end_table(struct file *f, const struct wbci_ini *at)
{
	struct draft *d = &f->draft;
	struct wbci_said_table t = {.limits = d->limits, .line = f->begun};
	char words[384] = "", text[128];
	const struct wbci_message said = {words, sizeof(words)};
	struct wbci_schema schema;
	unsigned line = 0;
	int error;

	if (!d->columns_bytes)
		return wbci_ini_refuse(at, f->begun, -EINVAL,
		                       "[table %s] has no columns; it should "
		                       "have, for example, columns = word text "
		                       "key, n counter",
		                       d->name);
	if (!*d->connection)
		strcpy(d->connection, "default");
	if (d->connection_line)
		t.line = d->connection_line;
	t.spec = make_spec(f);
	if (!t.spec)
		return no_memory(at);
	error = wbci_schema_parse(&schema, t.spec, strlen(t.spec), &said);
	if (error)
		return wbci_ini_refuse(at, d->columns_line, error,
		                       "columns: %s; the specification is %s",
		                       words, shown(t.spec, text));
	wbci_settings_name_table(&t, &schema);
	error = wbci_settings_put_table(f->s, &t, &line);
	if (error == -E2BIG)
		return wbci_ini_refuse(at, f->begun, error,
		                       "[table %s] is one too many; at most %d",
		                       d->name, WBC_TABLES_MAX);
	return error ? wbci_ini_refuse(at, f->begun, -EINVAL,
	                               "table %s is that of line %u again; "
	                               "leave one out",
	                               t.full, line)
	             : 0;
}

/* What had to be in the section that ends here. */
static int end_section(struct file *f, const struct wbci_ini *at)
{
	const struct wbci_said_connection *c = f->s->connections;

	if (f->section == IN_TABLE)
		return end_table(f, at);
	if (f->section != IN_CONNECTION)
		return 0;
	c += f->s->said.n_connections - 1;
	return c->where ? 0
	                : wbci_ini_refuse(at, f->begun, -EINVAL,
	                                  "[connection %s] has no database; it "
	                                  "should have sqlite = FILE",
	                                  c->name);
}

static int begin_settings(struct file *f, const struct wbci_ini *at,
                          const char *name, unsigned *line)
{
	if (*line)
		return wbci_ini_refuse(at, at->line, -EINVAL,
		                       "[%s] began in line %u already; put all "
		                       "of it there",
		                       name, *line);
	*line = at->line;
	f->section = IN_SETTINGS;
	snprintf(f->name, sizeof(f->name), "%s", name);
	return 0;
}

static int begin_connection(struct file *f, const struct wbci_ini *at,
                            const char *name)
{
	struct wbci_said_connection *c = f->s->connections;
	unsigned n = f->s->said.n_connections;
	char text[128];

	if (!is_name(name))
		return wbci_ini_refuse(at, at->line, -EINVAL,
		                       "[connection %s]: its name should be "
		                       "letters, digits and _, at most %d",
		                       shown(name, text), WBC_NAME_MAX);
	for (unsigned i = 0; i < n; i++)
		if (!strcmp(c[i].name, name))
			return wbci_ini_refuse(at, at->line, -EINVAL,
			                       "[connection %s] began in line "
			                       "%u already; leave one out",
			                       name, f->connection_lines[i]);
	if (n == WBCI_CONNECTIONS_MAX)
		return wbci_ini_refuse(at, at->line, -E2BIG,
		                       "[connection %s] is one too many; at "
		                       "most %u",
		                       name, WBCI_CONNECTIONS_MAX);
	c[n].name = wbci_settings_keep(f->s, name);
	if (!c[n].name)
		return no_memory(at);
	f->connection_lines[n] = at->line;
	f->s->said.n_connections++;
	f->section = IN_CONNECTION;
	return 0;
}

/* NAME, or CONNECTION.NAME */
static int begin_table(struct file *f, const struct wbci_ini *at,
                       const char *name)
{
	struct draft *d = &f->draft;
	const char *dot = strchr(name, '.');
	const char *own = dot ? dot + 1 : name;
	char text[128];
	char connection[256] = "default";

	if (dot)
		snprintf(connection, sizeof(connection), "%.*s",
		         (int)(dot - name), name);
	if (!is_name(own) || !is_name(connection))
		return wbci_ini_refuse(at, at->line, -EINVAL,
		                       "[table %s]: it should be NAME or "
		                       "CONNECTION.NAME, each of letters, "
		                       "digits and _, at most %d",
		                       shown(name, text), WBC_NAME_MAX);
	memset(d, 0, sizeof(*d));
	snprintf(d->name, sizeof(d->name), "%s", own);
	if (dot)
		memcpy(d->connection, connection, strlen(connection) + 1);
	f->section = IN_TABLE;
	return 0;
}

static int take_section(void *arg, const struct wbci_ini *at, const char *name)
{
	struct file *f = arg;
	size_t n = strcspn(name, " \t");
	const char *rest = name + n + strspn(name + n, " \t");
	char text[128];
	int error = end_section(f, at);

	if (error)
		return error;
	f->section = IN_NONE;
	f->begun = at->line;
	f->n_seen = 0;
	if (!strcmp(name, "segment"))
		return begin_settings(f, at, name, &f->segment_line);
	if (!strcmp(name, "flush"))
		return begin_settings(f, at, name, &f->flush_line);
	if (n == 10 && !memcmp(name, "connection", n))
		return begin_connection(f, at, rest);
	if (n == 5 && !memcmp(name, "table", n))
		return begin_table(f, at, rest);
	return wbci_ini_refuse(at, at->line, -EINVAL,
	                       "[%s]: no such section; there are [segment], "
	                       "[flush], [connection NAME] and [table NAME]",
	                       shown(name, text));
}

int wbci_settings_bytes(struct wbci_settings *s, const char *path,
                        const char *text, size_t bytes,
                        const struct wbci_message *m)
{
	static const struct wbci_ini_events events = {take_section, take_value};
	const struct wbci_ini end = {path, m, 0};
	struct file *f = calloc(1, sizeof(*f));
	int error = -ENOMEM;

	free(s->path);
	s->path = strdup(path);
	if (!f || !s->path)
		wbci_say(m, error, "%s: no memory", path);
	else {
		f->s = s;
		error = wbci_ini_read(path, text, bytes, &events, f, m);
		if (!error)
			error = end_section(f, &end);
	}
	free(f);
	return error;
}
