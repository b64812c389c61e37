/* SPDX-License-Identifier: MIT */
/* Copyright the wbcshm authors */

/* A configuration as a file that is read to the same configuration. */

#include "config.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "../units/units.h"

#define LINE_BYTES 72u

/* Would it be read as it is?  A comment may begin behind white space. */
static bool stands(const char *text)
{
	size_t n = strlen(text);

	if (!n || n > 4096 || strchr(" \t", text[0]) ||
	    strchr(" \t", text[n - 1]) || strchr(";", text[0]))
		return false;
	for (size_t i = 0, length; i < n; i += length) {
		length = units_utf8((const unsigned char *)text + i, n - i);
		if (length == 0 || (unsigned char)text[i] < ' ' ||
		    text[i] == 0x7f || (text[i] == ' ' && text[i + 1] == ';'))
			return false;
	}
	return true;
}

static int print_text(FILE *to, const char *key, const char *text,
                      const struct wbci_message *m)
{
	if (!stands(text))
		return wbci_say(m, -EINVAL,
		                "%s: its value could not be read from a file "
		                "again; use one without white space at its "
		                "ends, control characters and \" ;\"",
		                key);
	fprintf(to, "%s = %s\n", key, text);
	return 0;
}

static void print_size(FILE *to, const char *key, uint64_t bytes)
{
	const char *letter = "";

	for (const char *next = "KMGT"; *next && bytes % 1024 == 0; next++) {
		bytes /= 1024;
		letter = next;
	}
	fprintf(to, "%s = %" PRIu64 "%.1s\n", key, bytes, letter);
}

static void print_time(FILE *to, const char *key, uint32_t ms)
{
	if (ms % 3600000 == 0)
		fprintf(to, "%s = %uh\n", key, ms / 3600000);
	else if (ms % 60000 == 0)
		fprintf(to, "%s = %um\n", key, ms / 60000);
	else if (ms % 1000 == 0)
		fprintf(to, "%s = %us\n", key, ms / 1000);
	else
		fprintf(to, "%s = %ums\n", key, ms);
}

static int print_segment(const struct wbci_config *c, FILE *to,
                         const struct wbci_message *m)
{
	const char *name = c->address + strlen("shm:");
	const struct wbci_create *how = &c->how;
	int error;

	fputs("[segment]\n", to);
	error = print_text(to, *name == '/' ? "path" : "name", name, m);
	fprintf(to, "create = %s\n", c->create ? "yes" : "no");
	print_size(to, "max_size",
	           how->max_bytes ? how->max_bytes : UINT64_C(4) << 30);
	fprintf(to, "capacity = %" PRIu64 "\n",
	        how->capacity ? how->capacity : UINT64_C(1) << 18);
	fprintf(to, "mode = 0%o\n", how->mode ? how->mode : 0600u);
	return error;
}

static int print_flush(const struct wbci_config *c, FILE *to,
                       const struct wbci_message *m)
{
	int error;

	fputs("\n[flush]\n", to);
	error = print_text(to, "journal", c->journal, m);
	print_time(to, "journal_interval", c->journal_ms);
	print_time(to, "flush_interval", c->flush_ms);
	fprintf(to, "max_queue_rows = %" PRIu64 "\n", c->max_queue_rows);
	print_time(to, "idle", c->idle_ms);
	if (c->base_ttl_s)
		print_time(to, "base_ttl", c->base_ttl_s * 1000);
	else
		fputs("base_ttl = never\n", to);
	return error;
}

/* Broken behind commas, so that no line is too long for anybody. */
static void print_columns(FILE *to, const struct wbci_schema *s)
{
	char text[WBCI_SPEC_MAX];
	size_t bytes = wbci_schema_text(s, text), line = 0, n;
	char *p = strchr(text, '(') + 1;

	text[bytes - 1] = '\0';
	fputs("columns =", to);
	for (; *p; p += n) {
		n = strcspn(p, ",");
		n += p[n] == ',';
		if (line && line + n > LINE_BYTES) {
			fputs("\n\t", to);
			line = 0;
		}
		p += *p == ' ' ? 1 : 0;
		n = strcspn(p, ",");
		n += p[n] == ',';
		fprintf(to, " %.*s", (int)n, p);
		line += n + 1;
	}
	fputs("\n", to);
}

static void print_table(const struct wbci_config *c, unsigned i, FILE *to)
{
	const struct wbci_schema *s = &c->tables[i];
	const struct wbci_limits *l = &c->limits[i];

	fprintf(to, "\n[table %s.%s]\n", s->connection, s->name);
	print_columns(to, s);
	fprintf(to, "on_missing = %s\n", wbci_schema_policy(s->on_missing));
	fprintf(to, "max_queue_rows = %" PRIu64 "\n",
	        l->max_queue_rows ? l->max_queue_rows : c->max_queue_rows);
	/* Without one it is due together with all others. */
	if (l->flush_ms)
		print_time(to, "flush_interval", l->flush_ms);
}

int wbci_config_print(const struct wbci_config *c, FILE *to,
                      const struct wbci_message *m)
{
	int error = print_segment(c, to, m);

	if (!error)
		error = print_flush(c, to, m);
	for (unsigned i = 0; i < c->n_connections && !error; i++) {
		fprintf(to, "\n[connection %s]\n", c->connections[i].name);
		error = print_text(to, "sqlite", c->connections[i].where, m);
	}
	for (unsigned i = 0; i < c->n_tables && !error; i++)
		print_table(c, i, to);
	return error;
}
