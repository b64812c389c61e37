/* SPDX-License-Identifier: MIT */
/* Copyright the wbcshm authors */

/* Table specifications: what parses, what is refused and in which words. */
#include "shm/schema.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "unit/dice.h"

#define N(array) (sizeof(array) / sizeof((array)[0]))

static const struct {
	const char *spec;
	const char *canonical; /* NULL: as it is */
	uint8_t on_missing;
} accepted[] = {
	{"words(word text key, n counter)", NULL, 0},
	{"t(a int)", NULL, 0},
	{"t(a text, b double, c blob, d int)", NULL, 0},
	{"t(a bool, b json, c timestamp)", NULL, 0},
	{"t(a BOOL KEY, b Timestamp key, c blob key, n counter)",
	 "t(a bool key, b timestamp key, c blob key, n counter)", 0},
	{"bool(bool bool, json json, timestamp timestamp)", NULL, 0},
	{"t(a int key, b text key, c counter, d double counter)", NULL, 0},
	{"pg.t(a int)", NULL, 0},
	{"default.t(a int)", "t(a int)", 0},
	{"Default.t(a int)", NULL, 0},
	{"t(id int key,n int counter)", "t(id int key, n counter)", 0},
	{" \tpg\n.\rt ( a\fINT\vKEY , n Counter ) \n",
	 "pg.t(a int key, n counter)", 0},
	{"_T9(_ int, A_1 text)", NULL, 0},
	{"zZ(aA09zZ_ int)", NULL, 0},
	{"t(abc int, ab int, a int)", NULL, 0},
	{"int(key int key, counter counter, text text)", NULL, 0},
	{"t(a int)on_missing=insert", "t(a int)", ON_MISSING_INSERT},
	{"t(a int) ON_missing = Ignore ", "t(a int)", ON_MISSING_IGNORE},
	{"t(a int) on_missing=deadletter", "t(a int)", ON_MISSING_DEADLETTER},
	{"wbc_ledgers(a int)", NULL, 0},
	{"wbc_ledger.t(a int)", NULL, 0},
};

static const struct {
	const char *spec;
	unsigned character; /* that the message names */
	const char *words;  /* that are in it */
	const char *behaviour;
} refused[] = {
	{"", 1, "ends where a table's name", "an empty specification"},
	{"  ", 3, "ends where a table's name", "nothing but white space"},
	{"1t(a int)", 1, "'1' stands where", "a name that begins with a digit"},
	{"t", 2, "ends where '('", "a table without columns"},
	{"t()", 3, "')' stands where a column's name", "an empty list"},
	{"t(a int", 8, "ends where ','", "a list that does not end"},
	{"t(a int,)", 9, "')' stands where a column's", "a comma too many"},
	{"t(a int;)", 8, "';' stands where ','", "another separator"},
	{"t(a)", 3, "\"a\" has no type; add", "a column without a type"},
	{"t(a key)", 3, "\"a\" has no type; add", "a key without a type"},
	{"t(a integer)", 5, "\"integer\" says nothing", "an unknown type"},
	{"t(a in)", 5, "\"in\" says nothing", "a part of a type"},
	{"t(a ints)", 5, "\"ints\" says nothing", "more than a type"},
	{"t(a int text)", 9, "\"text\" is one word too many", "two types"},
	{"t(a int key key)", 13, "\"key\" is one word too", "two roles"},
	{"t(a key int)", 9, "\"int\" is one word too", "a role before a type"},
	{"t(a double key)", 3, "cannot be a double, whose", "a double key"},
	{"t(a json key)", 3, "cannot be a json, of which one value may be",
	 "a json key"},
	{"t(k int key, a bool counter)", 14, "cannot be a bool and a counter",
	 "a counter that is a bool"},
	{"t(k int key, a timestamp counter)", 14,
	 "cannot be a timestamp and a counter", "a counter that is a time"},
	{"t(a boolean)", 5, "\"boolean\" says nothing", "a longer bool"},
	{"t(k int key, a text counter)", 14, "cannot be a text and a counter",
	 "a counter that is a text"},
	{"t(k int key, a blob counter)", 14, "cannot be a blob and a counter",
	 "a counter that is a blob"},
	{"t(n counter)", 12, "\"n\" but no key column",
	 "a counter in a table without a key"},
	{"t(a int, b text, a int)", 18, "same name to a database",
	 "a column named twice"},
	{"t(ab int, b text, aB int)", 19, "as column \"ab\" before it",
	 "two columns that differ in case only"},
	{"wbc_ledger(a int)", 1, "belongs to the flusher", "the ledger's name"},
	{"pg.WBC_dead_letters(a int)", 4, "belongs to the flusher",
	 "the dead letters' name"},
	{"t(a int) on_missing", 20, "ends where '='", "a policy without ="},
	{"t(a int) on_missing=", 21, "ends where a policy",
	 "no policy after ="},
	{"t(a int) on_missing=drop", 21, "\"drop\" is no policy; use",
	 "an unknown policy"},
	{"t(a int) ttl=3", 10, "\"ttl\" is not known here", "another setting"},
	{"t(a int) on_missing=insert x", 28, "'x' stands where the end",
	 "words behind the policy"},
	{"t(a int))", 9, "')' stands where the end", "a bracket too many"},
	{"a.b.t(a int)", 4, "'.' stands where '('", "three names"},
	{"t(\x1b[2J int)", 3, "byte 0x1b stands where", "control characters"},
	{"t(\xc3\xa9 int)", 3, "byte 0xc3 stands where",
	 "letters beyond ASCII"},
	{"t(a int)\x7f", 9, "byte 0x7f stands where", "a byte 0x7f"},
};

static int parse(struct wbci_schema *s, const char *spec, char *words,
                 size_t size)
{
	struct wbci_message m = {words, size};
	size_t bytes = strlen(spec);
	char *exact = dice_exact(spec, bytes);
	int rc = wbci_schema_parse(s, exact, bytes, &m);

	free(exact);
	return rc;
}

/* Does the canonical text parse to the same schema and the same text? */
static bool text_is_stable(const struct wbci_schema *s)
{
	char text[WBCI_SPEC_MAX], again[WBCI_SPEC_MAX];
	size_t bytes = wbci_schema_text(s, text);
	struct wbci_schema other;

	return bytes == strlen(text) &&
	       wbci_schema_parse(&other, text, bytes, NULL) == 0 &&
	       wbci_schema_same(s, &other) &&
	       wbci_schema_text(&other, again) == bytes &&
	       strcmp(text, again) == 0;
}

static void test_accepted(void)
{
	for (size_t i = 0; i < N(accepted); i++) {
		const char *spec = accepted[i].spec;
		const char *want = accepted[i].canonical;
		char text[WBCI_SPEC_MAX] = "", words[256] = "";
		struct wbci_schema s;
		int rc = parse(&s, spec, words, sizeof(words));

		if (rc == 0)
			wbci_schema_text(&s, text);
		else
			tap_diag("%s", words);
		tap_is_str(text, want ? want : spec,
		           "`%s` parses, and has this canonical text", spec);
		tap_ok(rc == 0 && s.on_missing == accepted[i].on_missing,
		       "`%s` has the policy it names", spec);
		tap_ok(rc == 0 && text_is_stable(&s),
		       "`%s`: its canonical text gives the same schema", spec);
	}
}

static void test_refused(void)
{
	for (size_t i = 0; i < N(refused); i++) {
		struct wbci_schema s = {.n_columns = 77};
		char words[512] = "", where[32];
		int rc = parse(&s, refused[i].spec, words, sizeof(words));

		snprintf(where, sizeof(where),
		         "character %u: ", refused[i].character);
		tap_is_int(rc, WBC_E_SPEC, "%s is refused",
		           refused[i].behaviour);
		if (!tap_ok(strstr(words, where) &&
		                    strstr(words, refused[i].words),
		            "%s: the message says where and what",
		            refused[i].behaviour))
			tap_diag("got: %s", words);
		tap_ok(s.n_columns == 77, "%s: no schema is written",
		       refused[i].behaviour);
	}
	tap_is_int(wbci_schema_parse(&(struct wbci_schema){.n_keys = 0},
	                             "t(a\0 int)", 9, NULL),
	           WBC_E_SPEC, "a NUL inside is refused, message or not");
}

static void test_fields(void)
{
	struct wbci_schema s;
	char words[256] = "";
	int rc = parse(&s,
	               "pg.t(x blob, b text key, n counter, a int key, "
	               "d double counter)",
	               words, sizeof(words));

	if (rc)
		tap_bail("%s", words);
	tap_is_str(s.connection, "pg", "the connection is known");
	tap_is_str(s.name, "t", "the table's name is known");
	tap_is_int(s.n_columns, 5, "all columns are counted");
	tap_ok(s.n_keys == 2 && s.key_column[0] == 1 && s.key_column[1] == 3,
	       "key columns are numbered in the order of the declaration");
	tap_ok(s.n_cells == 2 && s.cell_column[0] == 2 && s.cell_column[1] == 4,
	       "counters are numbered in the order of the declaration");
	tap_ok(s.columns[3].index == 1 && s.columns[4].index == 1,
	       "a column knows its place among keys or counters");
	tap_ok(s.columns[2].type == WBC_INT64 &&
	               s.columns[4].type == WBC_DOUBLE,
	       "a counter is an integer unless it is said to be a double");
	tap_ok(s.columns[0].role == ROLE_PLAIN && s.columns[0].name_bytes == 1,
	       "a column that is neither is plain");
	tap_is_int(wbci_schema_column(&s, "d"), 4, "a column is found by name");
	tap_is_int(wbci_schema_column(&s, s.columns[1].name), 1,
	           "a column is found by the schema's own copy of its name");
	tap_is_int(wbci_schema_column(&s, "D"), WBC_E_COLUMN,
	           "columns are found by their exact name only");
	tap_is_int(wbci_schema_column(&s, "dd"), WBC_E_COLUMN,
	           "a longer name is another name");
	tap_is_int(wbci_schema_column(&s, ""), WBC_E_COLUMN,
	           "no column has the empty name");
	tap_is_int(wbci_schema_column(&s, NULL), WBC_E_COLUMN,
	           "no column has no name");
}

static void test_same(void)
{
	static const struct {
		const char *a, *b;
		bool same;
	} pairs[] = {
		{"t(a int)", " t ( a INT ) on_missing=ignore", true},
		{"t(k int key, n counter)", "t(k int key, n int counter)",
		 true},
		{"t(a int)", "u(a int)", false},
		{"t(a int)", "pg.t(a int)", false},
		{"t(a int)", "T(a int)", false},
		{"t(a int)", "t(b int)", false},
		{"t(a int)", "t(a text)", false},
		{"t(a int)", "t(a int key)", false},
		{"t(a int)", "t(a int, b int)", false},
		{"t(a int, b int)", "t(b int, a int)", false},
	};

	for (size_t i = 0; i < N(pairs); i++) {
		struct wbci_schema a, b;

		if (parse(&a, pairs[i].a, NULL, 0) ||
		    parse(&b, pairs[i].b, NULL, 0))
			tap_bail("a pair does not parse");
		tap_ok(wbci_schema_same(&a, &b) == pairs[i].same,
		       "`%s` and `%s` are %s", pairs[i].a, pairs[i].b,
		       pairs[i].same ? "the same" : "different");
	}
}

/* "t(k int key, cN KIND, ...)" with @n columns named by number. */
static const char *many_columns(unsigned n, const char *kind)
{
	static char spec[WBCI_SPEC_MAX];
	size_t at = (size_t)sprintf(spec, "t(k int key");

	for (unsigned i = 0; i < n; i++)
		at += (size_t)snprintf(spec + at, sizeof(spec) - at, ", c%u %s",
		                       i, kind);
	strcpy(spec + at, ")");
	return spec;
}

static void test_limits(void)
{
	char spec[WBCI_SPEC_MAX + 2], words[256] = "", name[WBC_NAME_MAX + 2];
	struct wbci_schema s;

	tap_is_int(parse(&s, many_columns(63, "int"), NULL, 0), 0,
	           "a table may have 64 columns");
	tap_is_int(parse(&s, many_columns(64, "int"), words, sizeof(words)),
	           -E2BIG, "a 65th column is refused");
	tap_ok(strstr(words, "at most 64"),
	       "the message about it says the limit");
	tap_is_int(parse(&s, many_columns(16, "counter"), NULL, 0), 0,
	           "a table may have 16 counters");
	tap_is_int(parse(&s, many_columns(17, "counter"), words, sizeof(words)),
	           -E2BIG, "a 17th counter is refused");
	tap_ok(strstr(words, "\"c16\" is one too many"),
	       "the message about it names the counter");

	memset(name, 'x', sizeof(name));
	name[WBC_NAME_MAX] = '\0';
	sprintf(spec, "%s.%s(%s int)", name, name, name);
	tap_is_int(parse(&s, spec, NULL, 0), 0, "names may have 63 bytes");
	sprintf(spec, "%sx.t(a int)", name);
	tap_is_int(parse(&s, spec, words, sizeof(words)), -ENAMETOOLONG,
	           "a connection of 64 bytes is refused");
	tap_ok(strstr(words, "has 64 bytes; at most 63"),
	       "the message about it says its length and the limit");
	sprintf(spec, "%sx(a int)", name);
	tap_is_int(parse(&s, spec, NULL, 0), -ENAMETOOLONG,
	           "a table's name of 64 bytes is refused");
	sprintf(spec, "t(%sx int)", name);
	tap_is_int(parse(&s, spec, NULL, 0), -ENAMETOOLONG,
	           "a column's name of 64 bytes is refused");

	memset(spec, ' ', sizeof(spec));
	memcpy(spec, "t(a int)", 8);
	spec[WBCI_SPEC_MAX] = '\0';
	tap_is_int(parse(&s, spec, NULL, 0), 0,
	           "a specification may have %u bytes", WBCI_SPEC_MAX);
	spec[WBCI_SPEC_MAX] = ' ';
	spec[WBCI_SPEC_MAX + 1] = '\0';
	tap_is_int(parse(&s, spec, NULL, 0), -E2BIG,
	           "a specification of one byte more is refused");
}

/* Every name and number at its limit. */
static void test_longest(void)
{
	char spec[WBCI_SPEC_MAX], name[WBC_NAME_MAX + 1];
	struct wbci_schema s;
	size_t at;

	memset(name, 'x', WBC_NAME_MAX);
	name[WBC_NAME_MAX] = '\0';
	at = (size_t)sprintf(spec, "%s.%s(", name, name);
	for (unsigned i = 0; i < WBC_COLUMNS_MAX; i++) {
		name[0] = (char)('a' + i / 8);
		name[1] = (char)('a' + i % 8);
		at += (size_t)sprintf(spec + at, "%s%s %s", i ? ", " : "", name,
		                      i < WBC_COUNTERS_MAX ? "double counter"
		                                           : "text key");
	}
	strcpy(spec + at, ")");
	tap_is_int(parse(&s, spec, NULL, 0), 0,
	           "the longest canonical specification parses");
	tap_ok(text_is_stable(&s), "its text fits, and gives the same schema");
}

static bool is_plain_text(const char *words, size_t size)
{
	const char *end = memchr(words, '\0', size);

	if (!end || end == words)
		return false;
	for (const char *p = words; p < end; p++)
		if (*p < ' ' || *p > '~')
			return false;
	return true;
}

static bool is_answer(int rc)
{
	return rc == WBC_E_SPEC || rc == -E2BIG || rc == -ENAMETOOLONG;
}

static void test_hostile(struct dice *d)
{
	enum { ROOM = 256, ROUNDS = 20000 };
	unsigned parsed = 0, wrong = 0;

	for (unsigned i = 0; i < ROUNDS; i++) {
		const char *from = accepted[dice_below(d, N(accepted))].spec;
		size_t bytes = strlen(from);
		unsigned char text[ROOM];
		char words[128];
		struct wbci_message m = {words, dice_below(d, 127) + 1};
		struct wbci_schema s;
		char *exact;
		int rc;

		memcpy(text, from, bytes);
		bytes = dice_mutate(d, text, bytes, ROOM);
		exact = dice_exact(text, bytes);
		memset(words, 0x01, sizeof(words));
		rc = wbci_schema_parse(&s, exact, bytes, &m);
		free(exact);
		parsed += rc == 0;
		if (rc == 0 ? !text_is_stable(&s)
		            : !is_answer(rc) || (m.size > 1 &&
		                                 !is_plain_text(words, m.size)))
			wrong++;
	}
	tap_diag("%u of %d mutated specifications parse", parsed, ROUNDS);
	tap_ok(parsed > ROUNDS / 100 && parsed < ROUNDS / 2,
	       "the mutations reach both sides of the parser");
	tap_is_uint(wrong, 0,
	            "P7: mutated text is refused in printable words, or parses "
	            "to a schema with a stable text");
}

int main(void)
{
	struct dice d = dice_seeded();

	test_accepted();
	test_refused();
	test_fields();
	test_same();
	test_limits();
	test_longest();
	test_hostile(&d);
	return tap_done();
}
