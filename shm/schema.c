/* SPDX-License-Identifier: MIT */
/* Copyright the wbcshm authors */

/*
 * The parser of table specifications: a cursor that goes over the text once,
 * one function for each line of the grammar.
 *
 *   specification  names columns policy
 *   names          [ NAME . ] NAME
 *   columns        ( column { , column } )
 *   column         NAME kind
 *   kind           [ TYPE ] [ key | counter ]
 *   TYPE           int | double | text | blob | bool | json | timestamp
 *   policy         [ on_missing = ( deadletter | insert | ignore ) ]
 *
 * There are no reserved words: what a word means depends on its place, so a
 * column may be called key.
 *
 * Every failure is said by refuse(), which names the character, counted from
 * 1.  What it quotes are identifiers only, cut to the longest legal name, so
 * that hostile bytes never reach a terminal.
 */
#include "schema.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/*
 * The longest canonical text: two names, their dot, the brackets, and for each
 * column its name, " double counter" and ", ".
 */
_Static_assert(2 * WBC_NAME_MAX + 4 + WBC_COLUMNS_MAX * (WBC_NAME_MAX + 17) <
                       WBCI_SPEC_MAX,
               "a canonical specification may not fit");

struct cursor {
	const char *text;
	size_t bytes;
	size_t at;
	const struct wbci_message *m;
};

/* An identifier in the text, of any length. */
struct word {
	const char *p;
	size_t bytes;
	size_t at;
};

/*
 * Keywords by their number in the enums.  Number 0 is nowhere a keyword, so
 * that it can say "none of these".
 */
static const char *const type_names[] = {
	[WBC_INT64] = "int",           [WBC_DOUBLE] = "double",
	[WBC_TEXT] = "text",           [WBC_BLOB] = "blob",
	[WBC_BOOL] = "bool",           [WBC_JSON] = "json",
	[WBC_TIMESTAMP] = "timestamp",
};

static const char *const role_names[] = {
	[ROLE_KEY] = "key",
	[ROLE_COUNTER] = "counter",
};

static const char *const policy_names[] = {
	[ON_MISSING_DEADLETTER] = "deadletter",
	[ON_MISSING_INSERT] = "insert",
	[ON_MISSING_IGNORE] = "ignore",
};

/* The flusher's own, in every database: nobody may count in them. */
static const char *const reserved_names[] = {"wbc_ledger", "wbc_dead_letters"};

#define N_NAMES(names) (sizeof(names) / sizeof((names)[0]))

/* ASCII only, whatever the locale: every process must agree. */
static char to_lower(char byte)
{
	return byte >= 'A' && byte <= 'Z' ? (char)(byte - 'A' + 'a') : byte;
}

static bool is_space(char byte)
{
	return byte == ' ' || (byte >= '\t' && byte <= '\r');
}

static bool begins_name(char byte)
{
	char lower = to_lower(byte);

	return (lower >= 'a' && lower <= 'z') || byte == '_';
}

static bool continues_name(char byte)
{
	return begins_name(byte) || (byte >= '0' && byte <= '9');
}

/* Case-insensitive; @name ends in NUL. */
static bool word_is(const struct word *w, const char *name)
{
	size_t i = 0;

	while (i < w->bytes && name[i] &&
	       to_lower(w->p[i]) == to_lower(name[i]))
		i++;
	return i == w->bytes && !name[i];
}

/* The number of a keyword among @n names, or 0. */
static unsigned word_among(const struct word *w, const char *const *names,
                           size_t n)
{
	for (unsigned i = 0; i < n; i++)
		if (names[i] && word_is(w, names[i]))
			return i;
	return 0;
}

/* What may be shown of a word that may be as long as the text. */
static int quoted_bytes(const struct word *w)
{
	return w->bytes > WBC_NAME_MAX ? WBC_NAME_MAX : (int)w->bytes;
}

/* What is wrong with the character at @at; returns @error. */
__attribute__((format(printf, 4, 5))) static int
refuse(const struct cursor *c, size_t at, int error, const char *format, ...)
{
	char words[320];
	va_list args;

	va_start(args, format);
	vsnprintf(words, sizeof(words), format, args);
	va_end(args);
	return wbci_say(c->m, error, "table specification: character %zu: %s",
	                at + 1, words);
}

/* Something else was wanted here than what the text has. */
static int refuse_next(const struct cursor *c, const char *wanted)
{
	unsigned char byte;

	if (c->at == c->bytes)
		return refuse(c, c->at, WBC_E_SPEC,
		              "the text ends where %s should be", wanted);
	byte = (unsigned char)c->text[c->at];
	if (byte > ' ' && byte < 0x7f)
		return refuse(c, c->at, WBC_E_SPEC,
		              "'%c' stands where %s should be", byte, wanted);
	return refuse(c, c->at, WBC_E_SPEC,
	              "byte 0x%02x stands where %s should be", byte, wanted);
}

static void skip_space(struct cursor *c)
{
	while (c->at < c->bytes && is_space(c->text[c->at]))
		c->at++;
}

/* The next character if it is @byte; white space before it is skipped. */
static bool take(struct cursor *c, char byte)
{
	skip_space(c);
	if (c->at == c->bytes || c->text[c->at] != byte)
		return false;
	c->at++;
	return true;
}

/* The next word, if one comes next. */
static bool take_word(struct cursor *c, struct word *w)
{
	skip_space(c);
	if (c->at == c->bytes || !begins_name(c->text[c->at]))
		return false;
	w->at = c->at;
	w->p = c->text + c->at;
	while (c->at < c->bytes && continues_name(c->text[c->at]))
		c->at++;
	w->bytes = c->at - w->at;
	return true;
}

/* A word of legal length, with a NUL, into @name. */
static int take_name(struct cursor *c, const char *what, char *name,
                     struct word *w)
{
	if (!take_word(c, w))
		return refuse_next(c, what);
	if (w->bytes > WBC_NAME_MAX)
		return refuse(c, w->at, -ENAMETOOLONG,
		              "the name \"%.*s...\" has %zu bytes; "
		              "at most %d are allowed",
		              WBC_NAME_MAX, w->p, w->bytes, WBC_NAME_MAX);
	memcpy(name, w->p, w->bytes);
	name[w->bytes] = '\0';
	return 0;
}

/*
 * Names are compared exactly, but databases fold the case of a column's name:
 * two columns that differ in nothing else would be one of theirs.
 */
static int refuse_twin(const struct cursor *c, const struct wbci_schema *s,
                       const struct word *name)
{
	for (unsigned i = 0; i < s->n_columns; i++)
		if (word_is(name, s->columns[i].name))
			return refuse(c, name->at, WBC_E_SPEC,
			              "column \"%.*s\" is the same name to a "
			              "database as column \"%s\" before it; "
			              "rename one",
			              quoted_bytes(name), name->p,
			              s->columns[i].name);
	return 0;
}

/* Which types go with which roles, once both are known. */
static int check_kind(const struct cursor *c, const struct word *name,
                      struct wbci_column *column)
{
	if (column->role == ROLE_COUNTER && column->type == WBC_NULL)
		column->type = WBC_INT64;
	if (column->type == WBC_NULL)
		return refuse(c, name->at, WBC_E_SPEC,
		              "column \"%s\" has no type; "
		              "add int, text, double, blob, bool, json, "
		              "timestamp or counter",
		              column->name);
	if (column->role == ROLE_KEY &&
	    (column->type == WBC_DOUBLE || column->type == WBC_JSON))
		return refuse(c, name->at, WBC_E_SPEC,
		              "key column \"%s\" cannot be a %s, %s; "
		              "make it int, text, bool, timestamp or blob",
		              column->name, type_names[column->type],
		              column->type == WBC_JSON
		                      ? "of which one value may be written in "
		                        "many ways"
		                      : "whose equal values may differ");
	if (column->role == ROLE_COUNTER && column->type != WBC_INT64 &&
	    column->type != WBC_DOUBLE)
		return refuse(c, name->at, WBC_E_SPEC,
		              "column \"%s\" cannot be a %s and a counter; "
		              "counters are int or double",
		              column->name, type_names[column->type]);
	return 0;
}

/* [TYPE] [key|counter], as far as that makes sense. */
static int parse_kind(struct cursor *c, const struct word *name,
                      struct wbci_column *column)
{
	struct word w;

	while (take_word(c, &w)) {
		unsigned type = word_among(&w, type_names, N_NAMES(type_names));
		unsigned role = word_among(&w, role_names, N_NAMES(role_names));

		if (!type && !role)
			return refuse(c, w.at, WBC_E_SPEC,
			              "\"%.*s\" says nothing about column "
			              "\"%s\"; use int, text, double, blob, "
			              "bool, json, timestamp, key or counter",
			              quoted_bytes(&w), w.p, column->name);
		if (column->role || (type && column->type))
			return refuse(c, w.at, WBC_E_SPEC,
			              "\"%.*s\" is one word too many about "
			              "column \"%s\"; a column has one type, "
			              "then key or counter or neither",
			              quoted_bytes(&w), w.p, column->name);
		if (type)
			column->type = (uint8_t)type;
		else
			column->role = (uint8_t)role;
	}
	return check_kind(c, name, column);
}

/* Gives a whole column its place among the columns, keys and cells. */
static int number_column(const struct cursor *c, struct wbci_schema *s,
                         const struct word *name)
{
	struct wbci_column *column = &s->columns[s->n_columns];

	if (column->role == ROLE_KEY) {
		column->index = s->n_keys;
		s->key_column[s->n_keys++] = s->n_columns;
	}
	if (column->role == ROLE_COUNTER) {
		if (s->n_cells == WBC_COUNTERS_MAX)
			return refuse(c, name->at, -E2BIG,
			              "counter \"%s\" is one too many; "
			              "a table has at most %d",
			              column->name, WBC_COUNTERS_MAX);
		column->index = s->n_cells;
		s->cell_column[s->n_cells++] = s->n_columns;
	}
	s->n_plain += column->role == ROLE_PLAIN;
	s->n_columns++;
	return 0;
}

static int parse_column(struct cursor *c, struct wbci_schema *s)
{
	struct wbci_column *column = &s->columns[s->n_columns];
	struct word name;
	int error;

	if (s->n_columns == WBC_COLUMNS_MAX)
		return refuse(c, c->at, -E2BIG,
		              "one column too many; a table has at most %d",
		              WBC_COLUMNS_MAX);
	error = take_name(c, "a column's name", column->name, &name);
	if (error)
		return error;
	column->name_bytes = (uint8_t)name.bytes;
	error = refuse_twin(c, s, &name);
	if (error)
		return error;
	error = parse_kind(c, &name, column);
	if (error)
		return error;
	return number_column(c, s, &name);
}

static int parse_columns(struct cursor *c, struct wbci_schema *s)
{
	int error;

	if (!take(c, '('))
		return refuse_next(c, "'(' and the columns");
	do {
		error = parse_column(c, s);
		if (error)
			return error;
	} while (take(c, ','));
	if (!take(c, ')'))
		return refuse_next(c, "',' or ')'");

	if (s->n_cells && !s->n_keys)
		return refuse(c, c->at - 1, WBC_E_SPEC,
		              "table \"%s\" has the counter \"%s\" but no key "
		              "column to tell its rows apart; declare one, "
		              "as in \"id int key\"",
		              s->name, s->columns[s->cell_column[0]].name);
	return 0;
}

/* [connection.]name */
static int parse_names(struct cursor *c, struct wbci_schema *s)
{
	struct word w;
	int error = take_name(c, "a table's name", s->name, &w);

	if (error)
		return error;
	if (take(c, '.')) {
		memcpy(s->connection, s->name, w.bytes + 1);
		error = take_name(c, "a table's name", s->name, &w);
		if (error)
			return error;
	} else {
		strcpy(s->connection, "default");
	}
	for (size_t i = 0; i < N_NAMES(reserved_names); i++)
		if (word_is(&w, reserved_names[i]))
			return refuse(c, w.at, WBC_E_SPEC,
			              "table \"%s\" belongs to the flusher; "
			              "use another name",
			              s->name);
	return 0;
}

/* Nothing, or on_missing=POLICY; and then the end. */
static int parse_policy(struct cursor *c, struct wbci_schema *s)
{
	struct word w;

	if (take_word(c, &w)) {
		if (!word_is(&w, "on_missing"))
			return refuse(c, w.at, WBC_E_SPEC,
			              "\"%.*s\" is not known here; "
			              "only on_missing=POLICY may follow",
			              quoted_bytes(&w), w.p);
		if (!take(c, '='))
			return refuse_next(c, "'=' and a policy");
		if (!take_word(c, &w))
			return refuse_next(c, "a policy");
		s->on_missing = (uint8_t)word_among(&w, policy_names,
		                                    N_NAMES(policy_names));
		if (s->on_missing == ON_MISSING_UNSET)
			return refuse(c, w.at, WBC_E_SPEC,
			              "\"%.*s\" is no policy; use "
			              "deadletter, insert or ignore",
			              quoted_bytes(&w), w.p);
	}
	skip_space(c);
	return c->at == c->bytes ? 0 : refuse_next(c, "the end");
}

int wbci_schema_parse(struct wbci_schema *s, const char *text, size_t bytes,
                      const struct wbci_message *m)
{
	struct cursor c = {.text = text, .bytes = bytes, .m = m};
	struct wbci_schema made = {.n_columns = 0};
	int error;

	if (bytes > WBCI_SPEC_MAX)
		return wbci_say(m, -E2BIG,
		                "table specification: %zu bytes; "
		                "at most %u are allowed",
		                bytes, WBCI_SPEC_MAX);
	error = parse_names(&c, &made);
	if (!error)
		error = parse_columns(&c, &made);
	if (!error)
		error = parse_policy(&c, &made);
	if (!error)
		*s = made;
	return error;
}

/* Returns the new end; the caller knows that there is room. */
static char *append(char *to, const char *text)
{
	size_t bytes = strlen(text);

	memcpy(to, text, bytes + 1);
	return to + bytes;
}

/* An int counter is just a counter; the default connection is not named. */
size_t wbci_schema_text(const struct wbci_schema *s, char *text)
{
	char *end = text;

	if (strcmp(s->connection, "default") != 0)
		end = append(append(end, s->connection), ".");
	end = append(append(end, s->name), "(");
	for (unsigned i = 0; i < s->n_columns; i++) {
		const struct wbci_column *c = &s->columns[i];

		end = append(append(end, i ? ", " : ""), c->name);
		if (c->role != ROLE_COUNTER || c->type != WBC_INT64)
			end = append(append(end, " "), type_names[c->type]);
		if (c->role != ROLE_PLAIN)
			end = append(append(end, " "), role_names[c->role]);
	}
	return (size_t)(append(end, ")") - text);
}

/* Places among keys and cells follow from the columns: not compared. */
bool wbci_schema_same(const struct wbci_schema *a, const struct wbci_schema *b)
{
	if (strcmp(a->connection, b->connection) != 0 ||
	    strcmp(a->name, b->name) != 0 || a->n_columns != b->n_columns)
		return false;
	for (unsigned i = 0; i < a->n_columns; i++) {
		const struct wbci_column *x = &a->columns[i];
		const struct wbci_column *y = &b->columns[i];

		if (strcmp(x->name, y->name) != 0 || x->type != y->type ||
		    x->role != y->role)
			return false;
	}
	return true;
}

const char *wbci_schema_policy(unsigned on_missing)
{
	if (on_missing == ON_MISSING_UNSET ||
	    on_missing >= N_NAMES(policy_names))
		on_missing = ON_MISSING_DEADLETTER;
	return policy_names[on_missing];
}

int wbci_schema_column(const struct wbci_schema *s, const char *name)
{
	if (!name)
		return WBC_E_COLUMN;
	for (unsigned i = 0; i < s->n_columns; i++)
		if (wbci_column_is(&s->columns[i], name))
			return (int)i;
	return WBC_E_COLUMN;
}
