/* SPDX-License-Identifier: MIT */
/* Copyright the wbcshm authors */

/* Records of inserted rows: what goes in comes out, and nothing else does. */
#include "shm/record.h"

#include <errno.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "unit/dice.h"
#include "unit/value.h"

#define N(array) (sizeof(array) / sizeof((array)[0]))
#define ALL                                                                    \
	"t(a int key, b text, c double, d blob, n counter, e double counter)"

#define MORE "t(a int key, f bool, j json, w timestamp, b text, d blob)"

enum { RECORD_MAX = 1024 };

static struct wbci_schema schema_of(const char *spec)
{
	char words[256] = "";
	struct wbci_message m = {words, sizeof(words)};
	struct wbci_schema s;

	if (wbci_schema_parse(&s, spec, strlen(spec), &m))
		tap_bail("%s", words);
	return s;
}

/* Writes a record of @n values; its length, or the error. */
static int64_t make_record(const struct wbci_schema *s,
                           const struct wbc_value *values, size_t n,
                           unsigned char *record)
{
	uint8_t columns[WBC_COLUMNS_MAX];
	int64_t bytes = wbci_record_size(s, values, n, columns);
	struct wbci_span2 to = {{record, NULL}, {(size_t)bytes, 0}};

	if (bytes < 0)
		return bytes;
	if (bytes > RECORD_MAX)
		tap_bail("a record of %lld bytes", (long long)bytes);
	wbci_record_write(&to, 7, values, columns, n, (uint64_t)bytes);
	return bytes;
}

static int parse(const struct wbci_schema *s, const unsigned char *record,
                 size_t bytes, struct wbc_value *values, uint8_t *columns)
{
	return wbci_record_parse(s, record, bytes, values, columns);
}

static void test_bytes(void)
{
	static const unsigned char want[] =
		"\x40\0\0\0\1\7\4\0"          /* 64 bytes, insert, table 7, 4 */
		"\1\3\0\0\5\0\0\0hello\0\0\0" /* b, a text of 5 */
		"\0\1\0\0\x8\0\0\0\xfe\xff\xff\xff\xff\xff\xff\xff" /* a */
		"\2\2\0\0\x8\0\0\0\0\0\0\0\0\0\xf8\x3f" /* c = 1.5 */
		"\3\0\0\0\0\0\0\0";                     /* d is NULL */
	struct wbci_schema s = schema_of(ALL);
	struct wbc_value values[] = {wbc_text("b", "hello", 5),
	                             wbc_int64("a", -2), wbc_double("c", 1.5),
	                             wbc_null("d")};
	alignas(8) unsigned char record[RECORD_MAX];
	int64_t bytes;

	memset(record, 0xaa, sizeof(record));
	bytes = make_record(&s, values, 4, record);
	tap_is_int(bytes, sizeof(want) - 1,
	           "the size of a record is known beforehand");
	tap_is_mem(record, want, sizeof(want) - 1,
	           "a record has the bytes that layout.h says, and zeros as "
	           "padding");
}

struct refused {
	size_t n;
	struct wbc_value values[3];
	int64_t error; /* or the size */
	const char *behaviour;
};

static void see_sizes(const char *spec, const struct refused *rows, size_t n)
{
	struct wbci_schema s = schema_of(spec);

	for (size_t i = 0; i < n; i++) {
		uint8_t columns[WBC_COLUMNS_MAX];

		tap_is_int(wbci_record_size(&s, rows[i].values, rows[i].n,
		                            columns),
		           rows[i].error, "%s", rows[i].behaviour);
	}
}

static void test_refused(void)
{
	static const struct refused rows[] = {
		{0, {{0}}, -EINVAL, "a row without values is refused"},
		{7, {{0}}, -EINVAL, "more values than columns are refused"},
		{1, {V_INT("a", 1)}, 24, "a key alone is a row"},
		{2, {V_INT(NULL, 1), V_TEXT(NULL, "12345678")}, 40,
		 "unnamed values take the columns in order"},
		{1, {V_TEXT("b", "x")}, WBC_E_KEY,
		 "a key that is missing is refused"},
		{1, {V_NULL("a")}, WBC_E_KEY, "a key that is NULL is refused"},
		{2, {V_INT("a", 1), V_INT("f", 1)}, WBC_E_COLUMN,
		 "a name that no column has is refused"},
		{2, {V_INT("a", 1), V_INT("a", 1)}, WBC_E_COLUMN,
		 "a column named twice is refused"},
		{2, {V_TEXT("b", "x"), V_TEXT(NULL, "x")}, WBC_E_COLUMN,
		 "a column given by name and by place is refused"},
		{1, {V_TEXT("a", "1")}, WBC_E_TYPE,
		 "an int column takes no text"},
		{1, {V_DOUBLE("a", 1)}, WBC_E_TYPE,
		 "an int column takes no double"},
		{2, {V_INT("a", 1), V_BLOB("b", "1")}, WBC_E_TYPE,
		 "a text column takes no blob"},
		{2, {V_INT("a", 1), V_INT("b", 1)}, WBC_E_TYPE,
		 "a text column takes no integer"},
		{2, {V_INT("a", 1), V_TEXT("d", "1")}, WBC_E_TYPE,
		 "a blob column takes no text"},
		{2, {V_INT("a", 1), V_TEXT("c", "1")}, WBC_E_TYPE,
		 "a double column takes no text"},
		{2, {V_INT("a", 1), {"c", (enum wbc_type)9, 0, {.i = 1}}},
		 WBC_E_TYPE, "a type that does not exist is refused"},
		{2, {V_INT("a", 1), V_INT("c", INT64_C(1) << 53)}, 40,
		 "a double column takes an integer that is a double"},
		{2, {V_INT("a", 1), V_INT("c", INT64_MIN)}, 40,
		 "the least integer is a double"},
		{2, {V_INT("a", 1), V_INT("c", (INT64_C(1) << 53) + 1)},
		 WBC_E_TYPE, "a double column takes no other integer"},
		{2, {V_INT("a", 1), V_INT("c", INT64_MAX)}, WBC_E_TYPE,
		 "the largest integer is not a double"},
		{2, {V_INT("a", 1), V_DOUBLE("c", (double)NAN)}, WBC_E_NAN,
		 "NaN is refused"},
		{2, {V_INT("a", 1), V_DOUBLE("e", (double)INFINITY)}, WBC_E_NAN,
		 "infinity is refused"},
		{2, {V_INT("a", 1), V_DOUBLE("c", -(double)INFINITY)},
		 WBC_E_NAN, "negative infinity is refused"},
		{3, {V_INT("a", 1), V_INT("n", 5), V_DOUBLE("e", -0.5)}, 56,
		 "counters may be inserted with a value"},
		{2, {V_INT("a", 1), V_NULL("n")}, 32,
		 "counters may be inserted as NULL"},
		{2, {V_INT("a", 1), V_BYTES("d", WBC_BLOB, 1, NULL)}, -EINVAL,
		 "a blob needs its bytes"},
		{2, {V_INT("a", 1), V_BYTES("d", WBC_BLOB, 0, NULL)}, 32,
		 "an empty blob needs no bytes"},
		{2, {V_INT("a", 1), V_BYTES("d", WBC_BLOB, WBCI_VALUE_MAX, "")},
		 32 + WBCI_VALUE_MAX, "a value may have 1 MiB"},
		{2,
		 {V_INT("a", 1),
		  V_BYTES("d", WBC_BLOB, WBCI_VALUE_MAX + 1, "")}, -E2BIG,
		 "a value over 1 MiB is refused"},
	};

	see_sizes(ALL, rows, N(rows));
}

/* Each value beside a key, which takes 24 bytes. */
static void test_refused_contents(void)
{
	static const struct refused rows[] = {
		{2, {V_INT("a", 1), V_BOOL("f", 0)}, 40, "false is a bool"},
		{2, {V_INT("a", 1), V_BOOL("f", 1)}, 40, "true is a bool"},
		{2, {V_INT("a", 1), V_BOOL("f", 2)}, WBC_E_TYPE,
		 "2 is no bool"},
		{2, {V_INT("a", 1), V_BOOL("f", INT64_MIN)}, WBC_E_TYPE,
		 "the least integer is no bool"},
		{2, {V_INT("a", 1), V_INT("f", 1)}, WBC_E_TYPE,
		 "a bool column takes no integer"},
		{2, {V_INT("a", 1), V_TIME("w", WBC_TIMESTAMP_MIN)}, 40,
		 "the year 1 has timestamps"},
		{2, {V_INT("a", 1), V_TIME("w", WBC_TIMESTAMP_MAX)}, 40,
		 "the year 9999 has timestamps"},
		{2, {V_INT("a", 1), V_TIME("w", WBC_TIMESTAMP_MIN - 1)},
		 -ERANGE, "a timestamp before the year 1 is refused"},
		{2, {V_INT("a", 1), V_TIME("w", WBC_TIMESTAMP_MAX + 1)},
		 -ERANGE, "a timestamp after the year 9999 is refused"},
		{2, {V_INT("a", 1), V_INT("w", 1)}, WBC_E_TYPE,
		 "a timestamp column takes no integer"},
		{2, {V_INT("a", 1), V_JSON("j", "{\"a\":1}")}, 40,
		 "an object is a json"},
		{2, {V_INT("a", 1), V_JSON("j", "{\"a\":1,}")}, WBC_E_JSON,
		 "a comma too many is no json"},
		{2, {V_INT("a", 1), V_JSON("j", "")}, WBC_E_JSON,
		 "nothing is no json"},
		{2, {V_INT("a", 1), V_BYTES("j", WBC_JSON, 0, NULL)},
		 WBC_E_JSON, "no bytes are no json"},
		{2, {V_INT("a", 1), V_BYTES("j", WBC_JSON, 1, NULL)}, -EINVAL,
		 "a json needs its bytes"},
		{2, {V_INT("a", 1), V_TEXT("j", "1")}, WBC_E_TYPE,
		 "a json column takes no text"},
		{2, {V_INT("a", 1), V_NULL("j")}, 32, "a json may be NULL"},
		{2, {V_INT("a", 1), V_TEXT("b", "caf\xc3\xa9")}, 40,
		 "UTF-8 is a text"},
		{2, {V_INT("a", 1), V_TEXT("b", "caf\xe9")}, WBC_E_UTF8,
		 "Latin-1 is no text"},
		{2, {V_INT("a", 1), V_TEXT("b", "a\0b")}, WBC_E_UTF8,
		 "a text has no NUL"},
		{2, {V_INT("a", 1), V_BYTES("b", WBC_TEXT, 0, NULL)}, 32,
		 "an empty text needs no bytes"},
		{2, {V_INT("a", 1), V_BLOB("d", "\0\xff")}, 40,
		 "a blob has any bytes"},
	};

	see_sizes(MORE, rows, N(rows));
}

/* Each case changes a whole record in one place. */
static void test_corrupt(void)
{
	static const struct {
		size_t at;
		size_t width;
		uint64_t value;
		const char *behaviour;
	} changes[] = {
		{0, 4, 0, "a record of no bytes"},
		{0, 4, 7, "a record shorter than its header"},
		{0, 4, 60, "a length that ends inside a value"},
		{0, 4, 64, "a length that cuts the last value"},
		{0, 4, 80, "a length beyond what is there"},
		{0, 4, 71, "a length that is no multiple of 8"},
		{0, 4, UINT32_MAX - 7, "a length of 4 GiB"},
		{4, 1, 0, "another kind of record"},
		{6, 2, 0, "a record without values"},
		{6, 2, 3, "fewer values than there are"},
		{6, 2, 5, "more values than there are"},
		{6, 2, 7, "more values than columns"},
		{6, 2, UINT16_MAX, "65,535 values"},
		{8, 1, 6, "a column that the table has not"},
		{8, 1, 255, "column 255"},
		{24, 1, 0, "a column that is there twice"},
		{8, 1, 4, "a key that is missing"},
		{9, 1, 2, "a double in an int column"},
		{9, 1, 9, "a type that does not exist"},
		{8, 8, 0, "a key that is NULL"},
		{10, 2, 1, "a reserved field that is not 0"},
		{12, 4, 16, "a number of 16 bytes"},
		{12, 4, 0, "a number of no bytes"},
		{28, 4, 24, "a text that takes the next value's place"},
		{28, 4, 33, "a text beyond its record"},
		{28, 4, UINT32_MAX, "a text of 4 GiB"},
		{48, 2, 0x204, "a double in an int counter"},
		{64, 1, 5, "a NULL for a column that is there"},
		{68, 4, 8, "a NULL with bytes"},
		{56, 8, UINT64_C(0x7ff8) << 48, "NaN"},
		{56, 8, UINT64_C(0x7ff0) << 48, "infinity"},
	};
	struct wbci_schema s = schema_of(ALL);
	struct wbc_value row[] = {wbc_int64("a", 1), wbc_text("b", "hello", 5),
	                          wbc_double("e", 2.5), wbc_null("d")};
	struct wbc_value values[WBC_COLUMNS_MAX];
	uint8_t columns[WBC_COLUMNS_MAX];
	alignas(8) unsigned char whole[RECORD_MAX];
	int64_t bytes;

	row[1].bytes = 9;
	row[1].v.p = "good day!";
	bytes = make_record(&s, row, 4, whole);
	tap_is_int(bytes, 72, "a text of 9 bytes takes 16 of a record");
	tap_is_int(parse(&s, whole, 72, values, columns), 4,
	           "an unchanged record is accepted");
	for (size_t i = 0; i < N(changes); i++) {
		unsigned char *exact = dice_exact(whole, 72);

		memcpy(exact + changes[i].at, &changes[i].value,
		       changes[i].width);
		tap_is_int(parse(&s, exact, 72, values, columns), WBC_E_CORRUPT,
		           "P7: %s is corrupt", changes[i].behaviour);
		free(exact);
	}
}

/* One value beside a key, changed into what could not have been given. */
static void test_corrupt_contents(void)
{
	static const struct {
		struct wbc_value value;
		size_t at; /* in its body */
		uint64_t byte;
		const char *behaviour;
	} changes[] = {
		{V_BOOL("f", 1), 0, 2, "a bool that is 2"},
		{V_BOOL("f", 1), 7, 0x80, "a bool that is negative"},
		{V_TIME("w", 0), 7, 0x7f, "a timestamp after the year 9999"},
		{V_TIME("w", 0), 7, 0x80, "a timestamp before the year 1"},
		{V_JSON("j", "[1,2]"), 2, ']', "a json that is none"},
		{V_JSON("j", "[1,2]"), 2, 0, "a json with a NUL"},
		{V_TEXT("b", "hello"), 4, 0xff, "a text that is not UTF-8"},
		{V_TEXT("b", "hello"), 0, 0, "a text with a NUL"},
	};
	struct wbci_schema s = schema_of(MORE);

	for (size_t i = 0; i < N(changes); i++) {
		struct wbc_value row[2] = {wbc_int64("a", 1), changes[i].value};
		struct wbc_value values[WBC_COLUMNS_MAX];
		uint8_t columns[WBC_COLUMNS_MAX];
		alignas(8) unsigned char record[RECORD_MAX];
		size_t bytes = (size_t)make_record(&s, row, 2, record);
		unsigned char *exact = dice_exact(record, bytes);
		int n = parse(&s, exact, bytes, values, columns);

		exact[32 + changes[i].at] = (unsigned char)changes[i].byte;
		tap_ok(n == 2 && parse(&s, exact, bytes, values, columns) ==
		                         WBC_E_CORRUPT,
		       "P7: %s is corrupt in a record", changes[i].behaviour);
		free(exact);
	}
}

/* Where no key is wanted, nothing else says that a record is not empty. */
static void test_empty(void)
{
	alignas(8) static const unsigned char empty[] = "\x8\0\0\0\1\7\0";
	struct wbci_schema s = schema_of("log(line text)");
	struct wbc_value values[WBC_COLUMNS_MAX];
	uint8_t columns[WBC_COLUMNS_MAX];

	tap_is_int(parse(&s, empty, sizeof(empty), values, columns),
	           WBC_E_CORRUPT,
	           "P7: an empty record of a table without keys is corrupt");
}

static void test_lengths(void)
{
	struct wbci_schema s = schema_of(ALL);
	struct wbc_value row[] = {wbc_int64("a", 1), wbc_text("b", "hello", 5)};
	struct wbc_value values[WBC_COLUMNS_MAX];
	uint8_t columns[WBC_COLUMNS_MAX];
	alignas(8) unsigned char record[RECORD_MAX] = {0};
	int64_t bytes = make_record(&s, row, 2, record);
	bool all = true;

	for (size_t cut = 0; cut < (size_t)bytes; cut++) {
		unsigned char *exact = dice_exact(record, cut);

		all = all &&
		      parse(&s, exact, cut, values, columns) == WBC_E_CORRUPT;
		free(exact);
	}
	tap_ok(all, "P7: a record cut anywhere is corrupt");
	tap_is_int(parse(&s, record, (size_t)bytes + 64, values, columns), 2,
	           "what stands behind a record does not matter");
	memset(record + bytes - 3, 0xaa, 3);
	tap_is_int(parse(&s, record, (size_t)bytes, values, columns), 2,
	           "what a text is padded with does not matter");
}

/* Random rows. */
enum { ROW_BYTES = 40 };

struct row {
	size_t n;
	struct wbc_value values[6];
	unsigned char bytes[6][ROW_BYTES];
};

static void roll_value(struct dice *d, const struct wbci_column *column,
                       struct wbc_value *v, unsigned char *bytes)
{
	static const char *const jsons[] = {"null", "-0.5e+9", "[]",
	                                    "{\"\\u00e9\":[true,\"\xc3\xa9\"]}"};
	uint32_t n = dice_below(d, ROW_BYTES + 1);

	/* A blob's are any; those of a text are ASCII. */
	for (uint32_t i = 0; i < n; i++)
		bytes[i] = column->type == WBC_BLOB
		                   ? (unsigned char)dice_word(d)
		                   : (unsigned char)(1 + dice_below(d, 127));
	*v = wbc_null(NULL);
	if (column->role != ROLE_KEY && dice_below(d, 4) == 0)
		return;
	if (column->type == WBC_INT64)
		*v = wbc_int64(NULL, (int64_t)dice_word(d));
	else if (column->type == WBC_DOUBLE && dice_below(d, 2))
		*v = wbc_int64(NULL, (int64_t)dice_word(d) >> 11);
	else if (column->type == WBC_DOUBLE)
		*v = wbc_double(NULL, (double)(int64_t)dice_word(d) / 3);
	else if (column->type == WBC_TEXT)
		*v = wbc_text(NULL, (const char *)bytes, n);
	else if (column->type == WBC_BOOL)
		*v = wbc_bool(NULL, (int)dice_below(d, 2));
	else if (column->type == WBC_TIMESTAMP)
		*v = wbc_timestamp(NULL, (int64_t)dice_word(d) >> 9);
	else if (column->type == WBC_JSON)
		*v = wbc_json(NULL, jsons[n % N(jsons)],
		              (uint32_t)strlen(jsons[n % N(jsons)]));
	else
		*v = wbc_blob(NULL, bytes, n);
}

/* Some of the columns, the key among them, in any order, named. */
static void roll_row(struct dice *d, const struct wbci_schema *s, struct row *r)
{
	uint32_t first = dice_below(d, s->n_columns);

	r->n = 0;
	for (uint32_t i = 0; i < s->n_columns; i++) {
		const struct wbci_column *c =
			&s->columns[(first + i) % s->n_columns];

		if (c->role != ROLE_KEY && dice_below(d, 3) == 0)
			continue;
		roll_value(d, c, &r->values[r->n], r->bytes[r->n]);
		r->values[r->n++].name = c->name;
	}
}

static bool same_value(const struct wbci_column *c, const struct wbc_value *in,
                       const struct wbc_value *out)
{
	if (out->name != c->name)
		return false;
	if (in->type == WBC_INT64 && c->type == WBC_DOUBLE)
		return out->type == WBC_DOUBLE && (int64_t)out->v.d == in->v.i;
	if (in->type != out->type || in->bytes != out->bytes)
		return false;
	if (wbci_type_has_bytes(in->type))
		return memcmp(in->v.p, out->v.p, in->bytes) == 0;
	return in->type == WBC_NULL || in->v.i == out->v.i;
}

static bool round_trips(const struct wbci_schema *s, const struct row *r,
                        const unsigned char *record, size_t bytes)
{
	struct wbc_value values[WBC_COLUMNS_MAX];
	uint8_t columns[WBC_COLUMNS_MAX];
	unsigned char *exact = dice_exact(record, bytes);
	bool same = parse(s, exact, bytes, values, columns) == (int)r->n;

	for (size_t i = 0; same && i < r->n; i++)
		same = same_value(&s->columns[columns[i]], &r->values[i],
		                  &values[i]) &&
		       strcmp(values[i].name, r->values[i].name) == 0;
	free(exact);
	return same;
}

/* Is a record the same however a ring cuts it in two? */
static bool splits_anywhere(const struct wbci_schema *s, const struct row *r,
                            const unsigned char *record, size_t bytes)
{
	uint8_t columns[WBC_COLUMNS_MAX];
	static const unsigned char nothing[RECORD_MAX];
	bool same =
		wbci_record_size(s, r->values, r->n, columns) == (int64_t)bytes;

	for (size_t cut = 0; same && cut <= bytes; cut += 8) {
		unsigned char *one = dice_exact(nothing, cut);
		unsigned char *two = dice_exact(nothing, bytes - cut);
		struct wbci_span2 to = {{one, two}, {cut, bytes - cut}};

		memset(one, 0xaa, cut);
		memset(two, 0xaa, bytes - cut);
		wbci_record_write(&to, 7, r->values, columns, r->n, bytes);
		same = memcmp(one, record, cut) == 0 &&
		       memcmp(two, record + cut, bytes - cut) == 0;
		free(one);
		free(two);
	}
	return same;
}

static void test_random_rows(struct dice *d, const char *spec)
{
	struct wbci_schema s = schema_of(spec);
	unsigned lost = 0, cut = 0;

	for (unsigned i = 0; i < 2000; i++) {
		alignas(8) unsigned char record[RECORD_MAX];
		struct row r;
		int64_t bytes;

		roll_row(d, &s, &r);
		memset(record, 0xaa, sizeof(record));
		bytes = make_record(&s, r.values, r.n, record);
		if (bytes < 0 || !round_trips(&s, &r, record, (size_t)bytes))
			lost++;
		else if (!splits_anywhere(&s, &r, record, (size_t)bytes))
			cut++;
	}
	tap_is_uint(lost, 0,
	            "`%s`: what was written is read, integers for double "
	            "columns as doubles",
	            spec);
	tap_is_uint(cut, 0,
	            "`%s`: a record is written the same across the end of a "
	            "ring",
	            spec);
}

/* All that a parser says of a record must be so, and must be allowed. */
static bool parses_soundly(const struct wbci_schema *s,
                           const unsigned char *record, size_t bytes, int *n)
{
	struct wbc_value values[WBC_COLUMNS_MAX];
	uint8_t columns[WBC_COLUMNS_MAX], again[WBC_COLUMNS_MAX];
	int64_t size;

	*n = parse(s, record, bytes, values, columns);
	if (*n < 0)
		return *n == WBC_E_CORRUPT;
	for (int i = 0; i < *n; i++) {
		const unsigned char *p = values[i].v.p;

		if (!wbci_type_has_bytes(values[i].type))
			continue;
		if (p < record || p > record + bytes ||
		    values[i].bytes > (size_t)(record + bytes - p))
			return false;
	}
	size = wbci_record_size(s, values, (size_t)*n, again);
	return size > 0 && size <= (int64_t)bytes &&
	       memcmp(columns, again, (size_t)*n) == 0;
}

static void test_hostile(struct dice *d, const char *spec)
{
	enum { ROUNDS = 20000 };
	struct wbci_schema s = schema_of(spec);
	unsigned parsed = 0, wrong = 0;

	for (unsigned i = 0; i < ROUNDS; i++) {
		alignas(8) unsigned char record[RECORD_MAX];
		unsigned char *exact;
		struct row r;
		size_t bytes;
		int n;

		roll_row(d, &s, &r);
		bytes = (size_t)make_record(&s, r.values, r.n, record);
		bytes = dice_mutate(d, record, bytes, RECORD_MAX);
		exact = dice_exact(record, bytes);
		wrong += !parses_soundly(&s, exact, bytes, &n);
		parsed += n >= 0;
		free(exact);
	}
	tap_diag("%u of %d mutated records parse", parsed, ROUNDS);
	tap_ok(parsed > ROUNDS / 100 && parsed < ROUNDS * 9 / 10,
	       "the mutations reach both sides of the parser");
	tap_is_uint(wrong, 0,
	            "P7: `%s`: a mutated record is corrupt, or holds values "
	            "that its table could have been given",
	            spec);
}

int main(void)
{
	struct dice d = dice_seeded();

	test_bytes();
	test_refused();
	test_refused_contents();
	test_corrupt();
	test_corrupt_contents();
	test_empty();
	test_lengths();
	test_random_rows(&d, ALL);
	test_random_rows(&d, MORE);
	test_hostile(&d, ALL);
	test_hostile(&d, MORE);
	return tap_done();
}
