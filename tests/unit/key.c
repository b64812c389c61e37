/* SPDX-License-Identifier: MIT */
/* Copyright the wbcshm authors */

/* Row keys: one row is one key, keys sort as values do, hostile ones fail. */
#include "shm/key.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "shm/value.h"
#include "unit/dice.h"
#include "unit/value.h"

#define N(array) (sizeof(array) / sizeof((array)[0]))
#define TEXT(name, literal) wbc_text(name, literal, sizeof(literal) - 1)

static struct wbci_schema schema_of(const char *spec)
{
	char words[256] = "";
	struct wbci_message m = {words, sizeof(words)};
	struct wbci_schema s;

	if (wbci_schema_parse(&s, spec, strlen(spec), &m))
		tap_bail("%s", words);
	return s;
}

/* Encodes into exactly WBC_KEY_MAX bytes of heap, then copies to @key. */
static int encode(const struct wbci_schema *s, const struct wbc_value *values,
                  size_t n, unsigned char *key)
{
	static const unsigned char nothing[WBC_KEY_MAX];
	unsigned char *exact = dice_exact(nothing, WBC_KEY_MAX);
	int bytes = wbci_key_encode(s, values, n, exact);

	memcpy(key, exact, WBC_KEY_MAX);
	free(exact);
	return bytes;
}

static void test_bytes(void)
{
	static const char one[] = "t(w text key, n counter)";
	static const char two[] = "t(w text key, i int key, n counter)";
	static const char rev[] = "t(i int key, w text key, n counter)";
	static const char times[] = "t(t timestamp key, f bool key, x json)";
	static const char blobs[] = "t(b blob key, c blob key)";
	static const struct {
		const char *spec;
		struct wbc_value values[2];
		const char *bytes;
		int length;
		const char *behaviour;
	} keys[] = {
		{one, {V_TEXT("w", "abc")}, "abc", 3,
		 "a single text is its own key"},
		{one, {V_TEXT(NULL, "a\0c")}, "a\0c", 3,
		 "a last text is not escaped"},
		{one, {V_BYTES(NULL, WBC_TEXT, 0, NULL)}, "", 0,
		 "an empty text is an empty key"},
		{two, {V_TEXT("w", "ab"), V_INT("i", 1)},
		 "ab\0\0\x80\0\0\0\0\0\0\1", 12,
		 "a text before others is ended"},
		{two, {V_TEXT("w", "\0b\0"), V_INT("i", -1)},
		 "\0\xff" "b\0\xff\0\0\x7f\xff\xff\xff\xff\xff\xff\xff", 15,
		 "zeros in a text before others are marked"},
		{times, {V_TIME("t", -1), V_BOOL("f", 1)},
		 "\x7f\xff\xff\xff\xff\xff\xff\xff\1", 9,
		 "a timestamp is as an integer, a bool a byte"},
		{blobs, {V_BLOB("b", "\0\xff"), V_BLOB("c", "\0\xff")},
		 "\0\xff\xff\0\0\0\xff", 7,
		 "a blob is escaped as a text, the last is as it is"},
		{blobs, {V_BYTES("b", WBC_BLOB, 0, NULL),
		         V_BYTES("c", WBC_BLOB, 0, NULL)},
		 "\0\0", 2, "empty blobs are keys"},
		{rev, {V_INT("i", INT64_MIN), V_TEXT("w", "z")},
		 "\0\0\0\0\0\0\0\0z", 9, "the least integer is all zeros"},
	};

	for (size_t i = 0; i < N(keys); i++) {
		struct wbci_schema s = schema_of(keys[i].spec);
		unsigned char key[WBC_KEY_MAX];
		int length = encode(&s, keys[i].values, s.n_keys, key);

		tap_ok(length == keys[i].length &&
		               memcmp(key, keys[i].bytes, (size_t)length) == 0,
		       "%s", keys[i].behaviour);
	}
}

/* Short texts are copied in other ways than long ones. */
static void test_lengths(void)
{
	struct wbci_schema s = schema_of("t(w text key, n counter)");
	struct wbci_schema ended = schema_of("t(w text key, i int key)");
	static const char text[] = "0123456789abcdefghijklmnopqrstuvwxyz";
	unsigned wrong = 0;

	for (uint32_t bytes = 0; bytes < sizeof(text); bytes++) {
		char *exact = dice_exact(text, bytes);
		struct wbc_value v[2] = {wbc_text(NULL, exact, bytes),
		                         wbc_int64(NULL, 0)};
		unsigned char key[WBC_KEY_MAX];

		wrong += encode(&s, v, 1, key) != (int)bytes ||
		         memcmp(key, text, bytes) != 0;
		wrong += encode(&ended, v, 2, key) != (int)bytes + 10 ||
		         memcmp(key, text, bytes) != 0;
		free(exact);
	}
	tap_is_uint(wrong, 0, "a text of any length is copied whole");
}

/* All orders and namings of the three values of one row. */
static void test_names(void)
{
	static const uint8_t orders[][3] = {{0, 1, 2}, {0, 2, 1}, {1, 0, 2},
	                                    {1, 2, 0}, {2, 0, 1}, {2, 1, 0}};
	struct wbci_schema s =
		schema_of("t(x int, a text key, b int key, n counter, "
	                  "c text key)");
	struct wbc_value row[3] = {TEXT(NULL, "left"), wbc_int64(NULL, -7),
	                           TEXT(NULL, "right")};
	char heap_names[3][2] = {"a", "b", "c"};
	unsigned char want[WBC_KEY_MAX], key[WBC_KEY_MAX];
	int length = encode(&s, row, 3, want);

	tap_is_int(length, 4 + 2 + 8 + 5, "unnamed values are taken in order");
	for (size_t i = 0; i < N(orders); i++) {
		struct wbc_value named[3];
		bool same = true;

		for (unsigned own = 0; own < 2; own++) {
			for (unsigned j = 0; j < 3; j++) {
				unsigned k = orders[i][j];

				named[j] = row[k];
				named[j].name =
					own ? s.columns[s.key_column[k]].name
					    : heap_names[k];
			}
			memset(key, 0xaa, sizeof(key));
			same = same && encode(&s, named, 3, key) == length &&
			       memcmp(key, want, (size_t)length) == 0;
		}
		tap_ok(same, "values named in the order %c%c%c give one key",
		       'a' + orders[i][0], 'a' + orders[i][1],
		       'a' + orders[i][2]);
	}
	row[0].name = heap_names[0];
	tap_ok(encode(&s, row, 3, key) == length &&
	               memcmp(key, want, (size_t)length) == 0,
	       "named and unnamed values mix: unnamed ones stand in place");
}

static void test_digits(void)
{
	static const struct {
		const char *text;
		bool taken;
		int64_t number;
	} texts[] = {
		{"1", true, 1},
		{"0", true, 0},
		{"-0", true, 0},
		{"+5", true, 5},
		{"-12", true, -12},
		{"007", true, 7},
		{"00000000000000000000000000000000001", true, 1},
		{"9223372036854775807", true, INT64_MAX},
		{"-9223372036854775808", true, INT64_MIN},
		{"9223372036854775808", false, 0},
		{"-9223372036854775809", false, 0},
		{"18446744073709551617", false, 0},
		{"99999999999999999999999999", false, 0},
		{"", false, 0},
		{"-", false, 0},
		{"+", false, 0},
		{"--1", false, 0},
		{"+-1", false, 0},
		{" 1", false, 0},
		{"1 ", false, 0},
		{"1.0", false, 0},
		{"1e3", false, 0},
		{"0x10", false, 0},
		{"1/", false, 0},
		{"1:", false, 0},
		{"\xef\xbc\x91", false, 0},
	};
	struct wbci_schema s = schema_of("t(i int key, n counter)");

	for (size_t i = 0; i < N(texts); i++) {
		size_t bytes = strlen(texts[i].text);
		char *exact = dice_exact(texts[i].text, bytes);
		struct wbc_value text = wbc_text("i", exact, (uint32_t)bytes);
		struct wbc_value number = wbc_int64("i", texts[i].number);
		unsigned char a[WBC_KEY_MAX], b[WBC_KEY_MAX];
		int rc = encode(&s, &text, 1, a);

		if (texts[i].taken)
			tap_ok(rc == 8 && encode(&s, &number, 1, b) == 8 &&
			               memcmp(a, b, 8) == 0,
			       "the text `%s` and the integer %lld are one row",
			       texts[i].text, (long long)texts[i].number);
		else
			tap_is_int(rc, WBC_E_TYPE,
			           "the text `%s` is no integer",
			           texts[i].text);
		free(exact);
	}
	tap_is_int(encode(&s, &(struct wbc_value)V_BYTES("i", WBC_TEXT, 2, "1"),
	                  1, (unsigned char[WBC_KEY_MAX]){0}),
	           WBC_E_TYPE, "a NUL behind the digits is no digit");
}

static void test_refused(void)
{
	static const char ab[] = "t(a text key, b int key, x int, n counter)";
	static const char one[] = "t(w text key, n counter)";
	static const char flag[] = "t(f bool key, n counter)";
	static const char time[] = "t(t timestamp key, n counter)";
	static const char blob[] = "t(b blob key, n counter)";
	static const struct {
		const char *spec;
		size_t n;
		struct wbc_value values[3];
		int error;
		const char *behaviour;
	} calls[] = {
		{"t(x int)", 0, {{0}}, WBC_E_KEY,
		 "a table without key columns has no rows to address"},
		{"t(x int)", 1, {V_INT("x", 1)}, WBC_E_KEY,
		 "a table without key columns takes no key"},
		{ab, 0, {{0}}, WBC_E_KEY, "no values are no key, not all rows"},
		{ab, 1, {V_TEXT("a", "x")}, WBC_E_KEY,
		 "too few values are no key"},
		{ab, 3, {V_TEXT("a", "x"), V_INT("b", 1), V_INT("x", 1)},
		 -EINVAL, "too many values are no key"},
		{ab, 2, {V_TEXT("a", "x"), V_TEXT("a", "x")}, WBC_E_KEY,
		 "a value given twice leaves another missing"},
		{ab, 2, {V_INT("b", 1), V_INT("b", 1)}, WBC_E_KEY,
		 "the second key given twice leaves the first missing"},
		{ab, 2, {V_TEXT(NULL, "x"), V_TEXT("a", "x")}, WBC_E_KEY,
		 "a value given by place and by name is given twice"},
		{ab, 2, {V_TEXT("a", "x"), V_INT("c", 1)}, WBC_E_COLUMN,
		 "a name that no column has is refused"},
		{ab, 2, {V_TEXT("a", "x"), V_INT("x", 1)}, WBC_E_COLUMN,
		 "a column that is no key is refused"},
		{ab, 2, {V_TEXT("A", "x"), V_INT("b", 1)}, WBC_E_COLUMN,
		 "names are compared exactly"},
		{ab, 2, {V_TEXT("a", "x"), V_INT("", 1)}, WBC_E_COLUMN,
		 "an empty name is no name"},
		{ab, 2, {V_NULL("a"), V_INT("b", 1)}, WBC_E_KEY,
		 "a text key is never NULL"},
		{ab, 2, {V_NULL("b"), V_TEXT("a", "x")}, WBC_E_KEY,
		 "an integer key is never NULL"},
		{ab, 2, {V_INT("a", 1), V_INT("b", 1)}, WBC_E_TYPE,
		 "a text key takes no integer"},
		{ab, 2, {V_BLOB("a", "x"), V_INT("b", 1)}, WBC_E_TYPE,
		 "a text key takes no blob"},
		{ab, 2, {V_TEXT("a", "x"), V_DOUBLE("b", 1)}, WBC_E_TYPE,
		 "an integer key takes no double"},
		{ab, 2, {V_TEXT("a", "x"), V_BLOB("b", "1")}, WBC_E_TYPE,
		 "an integer key takes no blob of digits"},
		{ab, 2,
		 {{"a", (enum wbc_type)77, 1, {.p = "x"}}, V_INT("b", 1)},
		 WBC_E_TYPE, "a type that does not exist is refused"},
		{ab, 2, {V_BYTES("a", WBC_TEXT, 1, NULL), V_INT("b", 1)},
		 -EINVAL, "a text before others needs its bytes"},
		{ab, 2, {V_TEXT("a", "x"), V_BYTES("b", WBC_TEXT, 1, NULL)},
		 -EINVAL, "a text of digits needs its bytes"},
		{one, 1, {V_BYTES("w", WBC_TEXT, 1, NULL)}, -EINVAL,
		 "a single text needs its bytes"},
		{one, 0, {{0}}, WBC_E_KEY, "a single text must be there"},
		{one, 2, {V_TEXT("w", "x"), V_TEXT("w", "x")}, -EINVAL,
		 "a single text must be alone"},
		{one, 1, {V_TEXT("W", "x")}, WBC_E_COLUMN,
		 "a single text has the column's exact name"},
		{one, 1, {V_TEXT("n", "x")}, WBC_E_COLUMN,
		 "a single text does not have a counter's name"},
		{one, 1, {V_NULL("w")}, WBC_E_KEY, "a single text is not NULL"},
		{one, 1, {V_INT("w", 1)}, WBC_E_TYPE,
		 "a single text is not an integer"},
		{one, 1, {V_JSON("w", "1")}, WBC_E_TYPE,
		 "a text key takes no json"},
		{flag, 1, {V_BOOL("f", 2)}, WBC_E_TYPE,
		 "a bool key is 0 or 1, not 2"},
		{flag, 1, {V_BOOL("f", -1)}, WBC_E_TYPE,
		 "a bool key is 0 or 1, not -1"},
		{flag, 1, {V_INT("f", 1)}, WBC_E_TYPE,
		 "a bool key takes no integer"},
		{flag, 1, {V_NULL("f")}, WBC_E_KEY, "a bool key is not NULL"},
		{time, 1, {V_TIME("t", WBC_TIMESTAMP_MIN - 1)}, -ERANGE,
		 "a time before the year 1 is no key"},
		{time, 1, {V_TIME("t", WBC_TIMESTAMP_MAX + 1)}, -ERANGE,
		 "a time after the year 9999 is no key"},
		{time, 1, {V_TIME("t", WBC_TIMESTAMP_MIN)}, 8,
		 "the first microsecond of the year 1 is a key"},
		{time, 1, {V_TIME("t", WBC_TIMESTAMP_MAX)}, 8,
		 "the last microsecond of the year 9999 is a key"},
		{time, 1, {V_INT("t", 1)}, WBC_E_TYPE,
		 "a timestamp key takes no integer"},
		{time, 1, {V_TEXT("t", "1")}, WBC_E_TYPE,
		 "a timestamp key takes no text of digits"},
		{blob, 1, {V_TEXT("b", "x")}, WBC_E_TYPE,
		 "a blob key takes no text"},
		{blob, 1, {V_BYTES("b", WBC_BLOB, 1, NULL)}, -EINVAL,
		 "a blob key needs its bytes"},
	};

	for (size_t i = 0; i < N(calls); i++) {
		struct wbci_schema s = schema_of(calls[i].spec);
		unsigned char key[WBC_KEY_MAX];

		tap_is_int(encode(&s, calls[i].values, calls[i].n, key),
		           calls[i].error, "%s", calls[i].behaviour);
	}
}

static void test_limits(void)
{
	static char text[WBC_KEY_MAX + 1];
	struct wbci_schema one = schema_of("t(w text key, n counter)");
	struct wbci_schema two = schema_of("t(w text key, i int key)");
	struct wbci_schema three = schema_of("t(v text key, w text key)");
	struct wbc_value v[2] = {V_BYTES(NULL, WBC_TEXT, WBC_KEY_MAX, text),
	                         wbc_int64(NULL, 1)};
	unsigned char key[WBC_KEY_MAX];

	memset(text, 'x', sizeof(text));
	tap_is_int(encode(&one, v, 1, key), WBC_KEY_MAX,
	           "a key may have %d bytes", WBC_KEY_MAX);
	v[0].bytes++;
	tap_is_int(encode(&one, v, 1, key), -E2BIG,
	           "a key of one byte more is refused");
	v[0].bytes = UINT32_MAX;
	tap_is_int(encode(&one, v, 1, key), -E2BIG,
	           "a key of 4 GiB is refused");

	v[0].bytes = WBC_KEY_MAX - 10;
	tap_is_int(encode(&two, v, 2, key), WBC_KEY_MAX,
	           "a text's end and an integer take ten bytes of it");
	for (uint32_t bytes = WBC_KEY_MAX - 9; bytes < WBC_KEY_MAX + 2;
	     bytes++) {
		v[0].bytes = bytes;
		tap_is_int(encode(&two, v, 2, key), -E2BIG,
		           "a text of %u bytes leaves no room for them", bytes);
	}

	text[WBC_KEY_MAX - 1] = '\0';
	v[0].bytes = WBC_KEY_MAX;
	tap_is_int(encode(&two, v, 2, key), -E2BIG,
	           "a zero that is the last byte leaves no room for its mark");

	memset(text, 0, sizeof(text));
	v[0].bytes = WBC_KEY_MAX / 2 - 1;
	v[1] = wbc_text(NULL, text, 0);
	tap_is_int(encode(&three, v, 2, key), WBC_KEY_MAX,
	           "a zero before other columns takes two bytes");
	v[1].bytes = 1;
	tap_is_int(encode(&three, v, 2, key), -E2BIG,
	           "a last text of one byte more is refused");
	v[0].bytes = WBC_KEY_MAX / 2;
	tap_is_int(encode(&three, v, 2, key), -E2BIG,
	           "a text with a zero too many is refused");
}

/* Random rows. */
enum { VALUES_MAX = 4, TEXT_MAX = 12 };

struct row {
	struct wbc_value values[VALUES_MAX];
	char text[VALUES_MAX][TEXT_MAX];
};

static const char *const row_specs[] = {
	"t(a text key)",
	"t(a int key)",
	"t(a text key, b text key)",
	"t(a text key, b int key)",
	"t(a int key, b text key)",
	"t(a text key, b text key, c int key, d text key)",
	"t(a bool key)",
	"t(a timestamp key, b bool key)",
	"t(a blob key, b bool key, c timestamp key, d blob key)",
};

/* Few different bytes and small numbers, so that rows are often near. */
static void roll_value(struct dice *d, const struct wbci_column *column,
                       struct wbc_value *v, char *text)
{
	static const char bytes[] = {0, 0, 1, 'a', '\xfe', '\xff'};
	static const int64_t numbers[] = {INT64_MIN, -256, -1,  0,
	                                  1,         255,  256, INT64_MAX};
	static const int64_t times[] = {WBC_TIMESTAMP_MIN, -1, 0, 1, 1000000,
	                                WBC_TIMESTAMP_MAX};

	if (column->type == WBC_INT64) {
		*v = wbc_int64(column->name,
		               dice_below(d, 2)
		                       ? (int64_t)dice_word(d)
		                       : numbers[dice_below(d, N(numbers))]);
		return;
	}
	if (column->type == WBC_BOOL) {
		*v = wbc_bool(column->name, (int)dice_below(d, 2));
		return;
	}
	if (column->type == WBC_TIMESTAMP) {
		*v = wbc_timestamp(column->name,
		                   times[dice_below(d, N(times))]);
		return;
	}
	*v = wbc_text(column->name, text, dice_below(d, TEXT_MAX + 1));
	v->type = (enum wbc_type)column->type;
	for (uint32_t i = 0; i < v->bytes; i++)
		text[i] = bytes[dice_below(d, N(bytes))];
}

static void roll_row(struct dice *d, const struct wbci_schema *s, struct row *r)
{
	for (unsigned i = 0; i < s->n_keys; i++)
		roll_value(d, &s->columns[s->key_column[i]], &r->values[i],
		           r->text[i]);
}

/* The same row from the start on, up to a value that differs or to the end. */
static void share_start(struct dice *d, const struct wbci_schema *s,
                        const struct row *from, struct row *to)
{
	uint32_t n = dice_below(d, s->n_keys + 1u);

	for (unsigned i = 0; i < n; i++)
		to->values[i] = from->values[i];
}

/* As a database orders them: bytes, then length. */
static int compare_bytes(const void *a, size_t a_bytes, const void *b,
                         size_t b_bytes)
{
	size_t both = a_bytes < b_bytes ? a_bytes : b_bytes;
	int order = both ? memcmp(a, b, both) : 0;

	return order ? order : (a_bytes > b_bytes) - (a_bytes < b_bytes);
}

static int compare_values(const struct wbc_value *a, const struct wbc_value *b)
{
	if (!wbci_type_has_bytes(a->type))
		return (a->v.i > b->v.i) - (a->v.i < b->v.i);
	return compare_bytes(a->v.p, a->bytes, b->v.p, b->bytes);
}

static int compare_rows(const struct row *a, const struct row *b, unsigned n)
{
	int order = 0;

	for (unsigned i = 0; i < n && order == 0; i++)
		order = compare_values(&a->values[i], &b->values[i]);
	return order;
}

static int sign(int order)
{
	return (order > 0) - (order < 0);
}

/* Decodes exactly @bytes, with exactly the room for texts that is promised. */
static int decode(const struct wbci_schema *s, const unsigned char *key,
                  size_t bytes, struct wbc_value *values, unsigned char *text)
{
	unsigned char *exact = dice_exact(key, bytes);
	int rc = wbci_key_decode(s, exact, bytes, values, text);

	free(exact);
	return rc;
}

static bool round_trips(const struct wbci_schema *s, const struct row *r,
                        const unsigned char *key, int bytes)
{
	unsigned char *text = malloc(WBC_KEY_MAX);
	struct row back;
	bool same = decode(s, key, (size_t)bytes, back.values, text) == 0 &&
	            compare_rows(r, &back, s->n_keys) == 0;

	for (unsigned i = 0; same && i < s->n_keys; i++)
		same = back.values[i].name ==
		               s->columns[s->key_column[i]].name &&
		       back.values[i].type == r->values[i].type;
	free(text);
	return same;
}

static void test_random_rows(struct dice *d)
{
	enum { ROUNDS = 5000 };

	for (size_t i = 0; i < N(row_specs); i++) {
		struct wbci_schema s = schema_of(row_specs[i]);
		unsigned lost = 0, disordered = 0, equal = 0;

		for (unsigned j = 0; j < ROUNDS; j++) {
			unsigned char x[WBC_KEY_MAX], y[WBC_KEY_MAX];
			struct row a, b;
			int m, n, order;

			roll_row(d, &s, &a);
			roll_row(d, &s, &b);
			share_start(d, &s, &a, &b);
			m = encode(&s, a.values, s.n_keys, x);
			n = encode(&s, b.values, s.n_keys, y);
			if (m < 0 || n < 0 || !round_trips(&s, &a, x, m))
				lost++;
			order = compare_rows(&a, &b, s.n_keys);
			equal += order == 0;
			if (sign(compare_bytes(x, (size_t)m, y, (size_t)n)) !=
			    sign(order))
				disordered++;
		}
		tap_diag("%u of %d pairs are equal", equal, ROUNDS);
		tap_is_uint(lost, 0, "`%s`: what is encoded is decoded",
		            row_specs[i]);
		tap_is_uint(disordered, 0,
		            "`%s`: keys are ordered as their values are",
		            row_specs[i]);
	}
}

static void test_corrupt(void)
{
	static const char text[] = "t(a text key)";
	static const char number[] = "t(a int key)";
	static const char both[] = "t(a text key, b int key)";
	static const char flag[] = "t(a bool key)";
	static const char time[] = "t(a timestamp key)";
	static const struct {
		const char *spec;
		const char *key;
		size_t bytes;
		const char *behaviour;
	} keys[] = {
		{"t(x int)", "", 0, "a key of a table without keys"},
		{number, "", 0, "an integer that is missing"},
		{number, "\x80\0\0\0\0\0\0", 7, "an integer cut short"},
		{number, "\x80\0\0\0\0\0\0\0\0", 9, "a byte behind an integer"},
		{flag, "", 0, "a bool that is missing"},
		{flag, "\2", 1, "a bool that is 2"},
		{flag, "\xff", 1, "a bool that is 255"},
		{flag, "\1\1", 2, "a byte behind a bool"},
		{time, "\x80\0\0\0\0\0\0", 7, "a timestamp cut short"},
		{time, "\0\0\0\0\0\0\0\0", 8, "a time before the year 1"},
		{time, "\xff\xff\xff\xff\xff\xff\xff\xff", 8,
		 "a time after the year 9999"},
		{both, "", 0, "a text that is missing"},
		{both, "ab", 2, "a text that does not end"},
		{both, "ab\0", 3, "a text whose end is cut short"},
		{both, "ab\0\1\0\0\x80\0\0\0\0\0\0\1", 14,
		 "a zero with another mark"},
		{both, "ab\0\0", 4, "an integer missing behind a text"},
		{both, "ab\0\0\x80\0\0\0\0\0\0\1\0", 13,
		 "a byte behind the last value"},
	};
	static unsigned char large[WBC_KEY_MAX + 1], room[WBC_KEY_MAX];
	struct wbc_value values[2];
	struct wbci_schema s = schema_of(text);

	for (size_t i = 0; i < N(keys); i++) {
		struct wbci_schema own = schema_of(keys[i].spec);

		tap_is_int(decode(&own, (const unsigned char *)keys[i].key,
		                  keys[i].bytes, values, room),
		           WBC_E_CORRUPT, "%s is corrupt", keys[i].behaviour);
	}
	tap_is_int(decode(&s, large, WBC_KEY_MAX, values, room), 0,
	           "a key of %d bytes is decoded", WBC_KEY_MAX);
	tap_is_int(decode(&s, large, WBC_KEY_MAX + 1, values, room),
	           WBC_E_CORRUPT, "a longer key is corrupt");
}

/* Keys of rows that are new, as a database would be given them. */
static void test_texts(void)
{
	static const struct {
		const char *spec;
		struct wbc_value values[2];
		int error;
		const char *behaviour;
	} keys[] = {
		{"t(w text key)", {V_TEXT("w", "abc")}, 0, "ASCII"},
		{"t(w text key)", {V_TEXT("w", "")}, 0, "an empty text"},
		{"t(w text key)", {V_TEXT("w", "caf\xc3\xa9")}, 0, "UTF-8"},
		{"t(w text key)", {V_TEXT("w", "caf\xe9")}, WBC_E_UTF8,
		 "Latin-1"},
		{"t(w text key)", {V_TEXT("w", "a\0")}, WBC_E_UTF8,
		 "a text with a NUL"},
		{"t(v text key, w text key)",
		 {V_TEXT("v", "a\0b"), V_TEXT("w", "b")}, WBC_E_UTF8,
		 "a NUL in a text before others"},
		{"t(v text key, w text key)",
		 {V_TEXT("v", "a"), V_TEXT("w", "\xff")}, WBC_E_UTF8,
		 "what is no UTF-8 in the last text"},
		{"t(b blob key, w text key)",
		 {V_BLOB("b", "\0\xff"), V_TEXT("w", "a")}, 0,
		 "any byte in a blob"},
		{"t(i int key)", {V_INT("i", -1)}, 0, "any byte of a number"},
	};

	for (size_t i = 0; i < N(keys); i++) {
		struct wbci_schema s = schema_of(keys[i].spec);
		unsigned char key[WBC_KEY_MAX];
		int bytes = encode(&s, keys[i].values, s.n_keys, key);

		tap_is_int(wbci_key_check(&s, key, (size_t)bytes),
		           keys[i].error, "%s in a new row's key is %s",
		           keys[i].behaviour,
		           keys[i].error ? "refused" : "taken");
	}
}

static void test_hostile(struct dice *d)
{
	enum { ROUNDS = 5000 };
	unsigned char *text = malloc(WBC_KEY_MAX);
	unsigned decoded = 0, wrong = 0;

	for (unsigned i = 0; i < ROUNDS; i++) {
		struct wbci_schema s =
			schema_of(row_specs[dice_below(d, N(row_specs))]);
		unsigned char key[WBC_KEY_MAX], again[WBC_KEY_MAX];
		struct wbc_value values[VALUES_MAX];
		struct row r;
		size_t bytes;
		int rc;

		roll_row(d, &s, &r);
		bytes = (size_t)encode(&s, r.values, s.n_keys, key);
		bytes = dice_mutate(d, key, bytes, WBC_KEY_MAX);
		rc = decode(&s, key, bytes, values, text);
		decoded += rc == 0;
		if (rc == 0) {
			rc = encode(&s, values, s.n_keys, again);
			wrong += rc != (int)bytes ||
			         memcmp(key, again, bytes) != 0;
		} else {
			wrong += rc != WBC_E_CORRUPT;
		}
	}
	free(text);
	tap_diag("%u of %d mutated keys are decoded", decoded, ROUNDS);
	tap_ok(decoded > ROUNDS / 100 && decoded < ROUNDS * 9 / 10,
	       "the mutations reach both sides of the decoder");
	tap_is_uint(wrong, 0,
	            "P7: a mutated key is corrupt, or encodes to the same "
	            "bytes again");
}

int main(void)
{
	struct dice d = dice_seeded();

	test_bytes();
	test_lengths();
	test_names();
	test_digits();
	test_refused();
	test_limits();
	test_random_rows(&d);
	test_corrupt();
	test_texts();
	test_hostile(&d);
	return tap_done();
}
