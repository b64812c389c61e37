/* SPDX-License-Identifier: MIT */
/* Copyright the wbcshm authors */

/*
 * Table specifications, a line each, as --table gives them and as segments
 * and journals hold them.
 *
 * What parses has one canonical text, which parses to the same again; the SQL
 * that is made of it has its names in quotes and nothing else of it; words
 * about what does not parse are fit for a terminal.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/wbcshm.h"
#include "flusher/config.h"
#include "flusher/sql.h"
#include "fuzz.h"
#include "shm/schema.h"

#define LINES_MAX 8u

static void check_words(const char *words)
{
	fuzz_check(*words, "refused without a word");
	for (; *words; words++)
		fuzz_check(*words >= ' ' && *words < 0x7f,
		           "byte %#x in the words about a refusal",
		           (unsigned char)*words);
}

/* Every name stands in quotes: outside of them is only our own text. */
static void check_sql(const struct wbci_schema *s, enum wbci_sql kind,
                      uint64_t columns)
{
	static const char words[] =
		" UPDATE SET COALESCE WHERE AND typeof integer abs RETURNING "
		"INSERT INTO VALUES ON CONFLICT DO SELECT FROM ";
	char *sql = wbci_sql_text(s, kind, columns);
	const char *p = sql;

	if (!sql)
		tap_bail("no memory");
	while (*p) {
		size_t n = strspn(p, "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
		                     "abcdefghijklmnopqrstuvwxyz");
		char word[32];

		if (*p == '"') {
			p = strchr(p + 1, '"');
			fuzz_check(p, "a quote is open: %s", sql);
			p++;
			continue;
		}
		if (n == 1 && *p == 'e') { /* 9e999 */
			p++;
			continue;
		}
		if (n) {
			fuzz_check(n < sizeof(word) - 2, "%s", sql);
			snprintf(word, sizeof(word), " %.*s ", (int)n, p);
			fuzz_check(strstr(words, word), "%s in %s", word, sql);
			p += n;
			continue;
		}
		fuzz_check(strchr(" (),=?+<'0123456789", *p), "'%c' in %s", *p,
		           sql);
		p++;
	}
	free(sql);
}

static void check_statements(const struct wbci_schema *s)
{
	uint64_t cells = (UINT64_C(1) << s->n_cells) - 1;
	uint64_t columns = s->n_columns == 64
	                           ? ~UINT64_C(0)
	                           : (UINT64_C(1) << s->n_columns) - 1;

	check_sql(s, SQL_INSERT, columns);
	if (!s->n_cells)
		return;
	check_sql(s, SQL_UPDATE, cells);
	check_sql(s, SQL_UPSERT, cells);
	check_sql(s, SQL_NEW_ROW, cells);
	check_sql(s, SQL_SELECT, 0);
}

static bool check_spec(const char *text, size_t bytes)
{
	char words[512] = "", canonical[WBCI_SPEC_MAX], again[WBCI_SPEC_MAX];
	struct wbci_message m = {words, sizeof(words)};
	struct wbci_schema s, t;
	size_t n;
	int error = wbci_schema_parse(&s, text, bytes, &m);

	if (error) {
		fuzz_check(error == WBC_E_SPEC || error == -ENAMETOOLONG ||
		                   error == -E2BIG,
		           "parsing fails by %d", error);
		check_words(words);
		return false;
	}
	n = wbci_schema_text(&s, canonical);
	fuzz_check(n == strlen(canonical) && n < WBCI_SPEC_MAX,
	           "a canonical text of %zu bytes", n);
	fuzz_check(!wbci_schema_parse(&t, canonical, n, NULL),
	           "its canonical text does not parse: %s", canonical);
	fuzz_check(wbci_schema_same(&s, &t), "it is another: %s", canonical);
	fuzz_check(wbci_schema_text(&t, again) == n &&
	                   !strcmp(canonical, again),
	           "%s becomes %s", canonical, again);
	check_statements(&s);
	return true;
}

/* All lines together are what a flusher may be told. */
static void check_config(char **lines, unsigned n, bool all_good)
{
	const struct wbci_flusher_config said = {
		.segment = "shm:s",
		.journal = "j",
		.sqlite = "d",
		.tables = (const char *const *)lines,
		.n_tables = n,
	};
	struct wbci_config *c;
	char words[512] = "";
	struct wbci_message m = {words, sizeof(words)};

	if (wbci_config_new(&c, &said, &m)) {
		check_words(words);
		return;
	}
	fuzz_check(all_good && c->n_tables == n,
	           "a configuration of tables that do not parse");
	for (unsigned i = 0; i < n; i++) {
		fuzz_check(!strcmp(c->tables[i].connection, "default"),
		           "connection %s", c->tables[i].connection);
		for (unsigned k = 0; k < i; k++)
			fuzz_check(strcmp(c->tables[i].name,
			                  c->tables[k].name) != 0,
			           "table %s twice", c->tables[i].name);
	}
	wbci_config_free(&c);
}

static void one(const uint8_t *data, size_t bytes)
{
	char *lines[LINES_MAX];
	const uint8_t *end;
	bool all_good = true;
	unsigned n = 0;
	size_t length;
	char *exact;

	while (bytes && n < LINES_MAX) {
		end = memchr(data, '\n', bytes);
		length = end ? (size_t)(end - data) : bytes;
		exact = dice_exact(data, length);
		check_spec(exact, length);
		free(exact);
		lines[n] = strndup((const char *)data, length);
		if (!lines[n])
			tap_bail("no memory");
		/* The command line ends a text at its first NUL. */
		all_good &= check_spec(lines[n], strlen(lines[n]));
		n++;
		data += length + (end != NULL);
		bytes -= length + (end != NULL);
	}
	if (n)
		check_config(lines, n, all_good);
	for (unsigned i = 0; i < n; i++)
		free(lines[i]);
}

static void begin(void)
{
}

/* A word of the grammar, put in somewhere. */
static size_t mutate(struct dice *d, uint8_t *data, size_t bytes, size_t room)
{
	static const char *const words[] = {
		"int ",
		"text ",
		"double ",
		"blob ",
		"bool ",
		"json ",
		"timestamp ",
		"key",
		" counter",
		"(",
		")",
		",",
		".",
		"\n",
		"=",
		"default",
		"insert",
		"on_missing=",
		"wbc_ledger",
		"t(k text key, n counter)",
		"ignore",
		"deadletter",
		("a_name_of_sixty_three_bytes_or_one_more_for_the_longest_"
		 "that_is"),
	};
	const char *word =
		words[dice_below(d, sizeof(words) / sizeof(words[0]))];
	size_t n = strlen(word);
	size_t at = dice_below(d, (uint32_t)bytes + 1);

	if (bytes + n > room || dice_below(d, 3) == 0)
		return dice_mutate(d, data, bytes, room);
	memmove(data + at + n, data + at, bytes - at);
	memcpy(data + at, word, n);
	return bytes + n;
}

const struct fuzz_target fuzz_target = {
	.name = "schema",
	.promise = "what a specification becomes parses the same again, and "
		   "reaches SQL as quoted names only",
	.executions = 20000,
	.begin = begin,
	.one = one,
	.mutate = mutate,
};
