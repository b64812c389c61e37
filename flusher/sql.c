/* SPDX-License-Identifier: MIT */
/* Copyright the wbcshm authors */

#include "sql.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

/* Writes a text; open_memstream() tells at its end if memory ran out. */
struct text {
	FILE *f;
	const struct wbci_schema *s;
};

static const char *cell_name(const struct text *t, unsigned cell)
{
	return t->s->columns[t->s->cell_column[cell]].name;
}

static const char *key_name(const struct text *t, unsigned key)
{
	return t->s->columns[t->s->key_column[key]].name;
}

static bool is_set(uint64_t columns, unsigned i)
{
	return columns >> i & 1;
}

/* Names are letters, digits and _, so quotes are all they need. */
static void put_keys(const struct text *t)
{
	for (unsigned i = 0; i < t->s->n_keys; i++)
		fprintf(t->f, "%s\"%s\"", i ? "," : "", key_name(t, i));
}

static void put_parameters(const struct text *t, unsigned first, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		fprintf(t->f, "%s?%u", i ? "," : "", first + i);
}

static bool is_counter(const struct text *t, unsigned column)
{
	return t->s->columns[column].role == ROLE_COUNTER;
}

/* "n"=COALESCE("n",0)+?1 of what is counted, "c"=?2 of what is plain, for each
 * column that changes; returns how many. */
static unsigned put_set(const struct text *t, uint64_t columns)
{
	unsigned n = 0;

	for (unsigned i = 0; i < t->s->n_columns; i++) {
		const char *name = t->s->columns[i].name;

		if (!is_set(columns, i))
			continue;
		fprintf(t->f, "%s\"%s\"=", n++ ? "," : " SET ", name);
		if (is_counter(t, i))
			fprintf(t->f, "COALESCE(\"%s\",0)+", name);
		fprintf(t->f, "?%u", n);
	}
	return n;
}

/*
 * An int64 sum that overflows becomes a real; a double one infinite or, of
 * two infinities, NULL; and a text or a blob counts as the number that it
 * begins with, or as 0.  None of these must be stored.
 */
static void put_guards(const struct text *t, uint64_t columns, const char *word)
{
	unsigned n = 0;

	for (unsigned i = 0; i < t->s->n_columns; i++) {
		const struct wbci_column *c = &t->s->columns[i];

		if (!is_set(columns, i))
			continue;
		n++;
		if (!is_counter(t, i))
			continue;
		fprintf(t->f,
		        "%stypeof(\"%s\")<>'text' AND typeof(\"%s\")<>'blob'",
		        word, c->name, c->name);
		word = " AND ";
		if (c->type == WBC_DOUBLE)
			fprintf(t->f, "%sabs(COALESCE(\"%s\",0)+?%u)<9e999",
			        word, c->name, n);
		else
			fprintf(t->f,
			        "%stypeof(COALESCE(\"%s\",0)+?%u)='integer'",
			        word, c->name, n);
	}
}

static void put_where(const struct text *t, unsigned first)
{
	for (unsigned i = 0; i < t->s->n_keys; i++)
		fprintf(t->f, "%s\"%s\"=?%u", i ? " AND " : " WHERE ",
		        key_name(t, i), first + i);
}

/* All counted columns, or where there is none a 1: some answer. */
static void put_cells(const struct text *t, const char *word)
{
	if (!t->s->n_cells)
		fprintf(t->f, "%s1", word);
	for (unsigned i = 0; i < t->s->n_cells; i++)
		fprintf(t->f, "%s\"%s\"", i ? "," : word, cell_name(t, i));
}

static void put_plain(const struct text *t)
{
	for (unsigned i = 0; i < t->s->n_columns; i++)
		if (t->s->columns[i].role == ROLE_PLAIN)
			fprintf(t->f, ",\"%s\"", t->s->columns[i].name);
}

static void put_update(const struct text *t, uint64_t columns)
{
	unsigned n;

	fprintf(t->f, "UPDATE \"%s\"", t->s->name);
	n = put_set(t, columns);
	put_where(t, n + 1);
	put_guards(t, columns, " AND ");
	put_cells(t, " RETURNING ");
}

/* INSERT of a row that is made of its key and its changes. */
static void put_new_row(const struct text *t, uint64_t columns)
{
	unsigned n = 0;

	fprintf(t->f, "INSERT INTO \"%s\"(", t->s->name);
	put_keys(t);
	for (unsigned i = 0; i < t->s->n_columns; i++) {
		if (!is_set(columns, i))
			continue;
		fprintf(t->f, ",\"%s\"", t->s->columns[i].name);
		n++;
	}
	fputs(") VALUES(", t->f);
	put_parameters(t, n + 1, t->s->n_keys);
	if (n)
		fputc(',', t->f);
	put_parameters(t, 1, n);
	fputc(')', t->f);
}

static void put_upsert(const struct text *t, uint64_t columns)
{
	put_new_row(t, columns);
	fputs(" ON CONFLICT(", t->f);
	put_keys(t);
	fputs(") DO UPDATE", t->f);
	put_set(t, columns);
	put_guards(t, columns, " WHERE ");
	put_cells(t, " RETURNING ");
}

static void put_insert(const struct text *t, uint64_t columns)
{
	unsigned n = 0;

	fprintf(t->f, "INSERT INTO \"%s\"(", t->s->name);
	for (unsigned i = 0; i < t->s->n_columns; i++) {
		if (is_set(columns, i))
			fprintf(t->f, "%s\"%s\"", n++ ? "," : "",
			        t->s->columns[i].name);
	}
	fputs(") VALUES(", t->f);
	put_parameters(t, 1, n);
	fputc(')', t->f);
}

char *wbci_sql_text(const struct wbci_schema *s, enum wbci_sql kind,
                    uint64_t columns)
{
	struct text t = {.s = s};
	char *text = NULL;
	size_t size;

	t.f = open_memstream(&text, &size);
	if (!t.f)
		return NULL;
	switch (kind) {
	case SQL_INSERT:
		put_insert(&t, columns);
		break;
	case SQL_UPDATE:
		put_update(&t, columns);
		break;
	case SQL_UPSERT:
		put_upsert(&t, columns);
		break;
	case SQL_NEW_ROW:
		put_new_row(&t, columns);
		put_cells(&t, " RETURNING ");
		break;
	case SQL_SELECT:
	case SQL_READ:
		put_cells(&t, "SELECT ");
		if (kind == SQL_READ)
			put_plain(&t);
		fprintf(t.f, " FROM \"%s\"", s->name);
		put_where(&t, 1);
		break;
	}
	if (fclose(t.f)) {
		free(text);
		return NULL;
	}
	return text;
}
