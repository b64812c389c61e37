/* SPDX-License-Identifier: MIT */
/* Copyright the wbcshm authors */

/* Every documented error of every call, and one row however it is named. */
#include "api/wbcshm.h"

#include <fcntl.h>
#include <float.h>
#include <math.h>
#include <sys/stat.h>

#include "shm/cell.h"
#include "shm/table.h"
#include "shm/wake.h"
#include "unit/rig.h"
#include "unit/value.h"

#define DOUBLE_NAN ((double)NAN)
#define DOUBLE_INF ((double)INFINITY)

/* Columns of the table that most tests use. */
enum { COLUMN_ID, COLUMN_NAME, COLUMN_N, COLUMN_D, COLUMN_NOTE };
#define SPEC                                                                   \
	"t(id int key, name text key, n counter, d double counter, note text)"

struct test {
	struct rig rig;
	struct wbc *c;
	struct wbc_table *t;
	const struct wbci_segment *s;
};

static struct test begin(void)
{
	struct test x = {.rig = rig_make(&(struct wbci_create){
				 .max_bytes = 2 * WBCI_EXTENT_BYTES,
				 .capacity = 1,
				 .procs = 5,
				 .threads = 5,
				 .lane_bytes = 4096})};

	x.c = rig_open(&x.rig);
	x.t = rig_table(x.c, SPEC);
	x.s = &x.c->client->segment;
	return x;
}

static void end(struct test *x)
{
	wbc_close(&x->c);
	rig_drop(&x->rig);
}

static const struct wbc_value row[] = {V_INT("id", 1), V_TEXT("name", "a")};

/* The total of a column of that row; adds nothing. */
static int64_t total_of(struct test *x, unsigned column)
{
	struct wbc_counter *counter;
	int64_t total;

	if (wbc_counter_open(x->t, row, 2, column, &counter))
		tap_bail("the row cannot be opened");
	total = (int64_t)order_load(counter->place->total);
	wbc_counter_close(&counter);
	return total;
}

/* Every call that addresses a row by its key, with the same bad keys. */
static int call_add(struct wbc_table *t, const struct wbc_value *key, size_t n,
                    unsigned column)
{
	return wbc_add_int64(t, key, n, column, 1);
}

static int call_add_get(struct wbc_table *t, const struct wbc_value *key,
                        size_t n, unsigned column)
{
	int64_t total;

	return wbc_add_get_int64(t, key, n, column, 1, &total);
}

static int call_read(struct wbc_table *t, const struct wbc_value *key, size_t n,
                     unsigned column)
{
	int64_t value;

	return wbc_read_int64(t, key, n, column, &value);
}

static int call_open(struct wbc_table *t, const struct wbc_value *key, size_t n,
                     unsigned column)
{
	struct wbc_counter *counter = NULL;
	int error = wbc_counter_open(t, key, n, column, &counter);

	if (counter)
		wbc_counter_close(&counter);
	return error;
}

static int call_add_double(struct wbc_table *t, const struct wbc_value *key,
                           size_t n, unsigned column)
{
	return wbc_add_double(t, key, n, column, 1);
}

static int call_add_get_double(struct wbc_table *t, const struct wbc_value *key,
                               size_t n, unsigned column)
{
	double total;

	return wbc_add_get_double(t, key, n, column, 1, &total);
}

static int call_read_double(struct wbc_table *t, const struct wbc_value *key,
                            size_t n, unsigned column)
{
	double value;

	return wbc_read_double(t, key, n, column, &value);
}

static const struct {
	int (*call)(struct wbc_table *t, const struct wbc_value *key, size_t n,
	            unsigned column);
	unsigned column; /* that it is for */
	const char *name;
} calls[] = {{call_add, COLUMN_N, "wbc_add_int64"},
             {call_add_get, COLUMN_N, "wbc_add_get_int64"},
             {call_read, COLUMN_N, "wbc_read_int64"},
             {call_open, COLUMN_N, "wbc_counter_open"},
             {call_add_double, COLUMN_D, "wbc_add_double"},
             {call_add_get_double, COLUMN_D, "wbc_add_get_double"},
             {call_read_double, COLUMN_D, "wbc_read_double"}};

static char long_text[WBC_KEY_MAX + 1];

static void test_keys(void)
{
	static const struct {
		struct wbc_value key[3];
		size_t n;
		int result;
		const char *what;
	} keys[] = {{{V_INT("id", 1)}, 1, WBC_E_KEY, "a missing key value"},
	            {{V_INT(NULL, 1)}, 1, WBC_E_KEY, "a missing unnamed one"},
	            {{V_INT(NULL, 0)}, 0, WBC_E_KEY, "no key at all"},
	            {{V_INT("id", 1), V_TEXT("name", "a"), V_INT("id", 1)},
	             3,
	             -EINVAL,
	             "more values than key columns"},
	            {{V_INT("id", 1), V_INT("id", 1)},
	             2,
	             WBC_E_KEY,
	             "a doubled name"},
	            {{V_TEXT("name", "a"), V_INT(NULL, 1)},
	             2,
	             WBC_E_KEY,
	             "a name and the place of the same column"},
	            {{V_INT("id", 1), V_NULL("name")}, 2, WBC_E_KEY, "NULL"},
	            {{V_NULL(NULL), V_TEXT(NULL, "a")},
	             2,
	             WBC_E_KEY,
	             "an unnamed NULL"},
	            {{V_INT("id", 1), V_TEXT("nome", "a")},
	             2,
	             WBC_E_COLUMN,
	             "a name that is no column's"},
	            {{V_INT("id", 1), V_TEXT("note", "a")},
	             2,
	             WBC_E_COLUMN,
	             "a name that is no key column's"},
	            {{V_INT("id", 1), V_INT("name", 1)},
	             2,
	             WBC_E_TYPE,
	             "a number for a text"},
	            {{V_TEXT("id", "x"), V_TEXT("name", "a")},
	             2,
	             WBC_E_TYPE,
	             "letters for a number"},
	            {{V_TEXT("id", "9223372036854775808"), V_TEXT("name", "a")},
	             2,
	             WBC_E_TYPE,
	             "digits over the largest number"},
	            {{V_DOUBLE("id", 1), V_TEXT("name", "a")},
	             2,
	             WBC_E_TYPE,
	             "a double for an integer"},
	            {{V_INT("id", 1), V_BLOB("name", "a")},
	             2,
	             WBC_E_TYPE,
	             "a blob for a text"},
	            {{V_INT("id", 1), V_BYTES("name", WBC_TEXT, 5, NULL)},
	             2,
	             -EINVAL,
	             "a text without bytes"},
	            {{V_INT("id", 1),
	              V_BYTES("name", WBC_TEXT, WBC_KEY_MAX - 7, long_text)},
	             2,
	             -E2BIG,
	             "a key over the limit"},
	            {{V_INT("id", 1),
	              V_BYTES("name", WBC_TEXT, UINT32_MAX, long_text)},
	             2,
	             -E2BIG,
	             "one far over it"}};
	struct test x = begin();

	for (size_t i = 0; i < N(keys); i++) {
		unsigned wrong = 0;

		for (size_t j = 0; j < N(calls); j++) {
			int result = calls[j].call(x.t, keys[i].key, keys[i].n,
			                           calls[j].column);

			if (result != keys[i].result) {
				tap_diag("%s: %s", calls[j].name,
				         wbc_error_name(result));
				wrong++;
			}
		}
		tap_is_uint(wrong, 0, "%s is %s, for every call", keys[i].what,
		            wbc_error_name(keys[i].result));
	}
	tap_is_uint(wbci_committed(x.s), 1, "none of them took memory (P8)");
	end(&x);
}

/* Looked at when a row is made, so that it costs an add nothing. */
static void test_key_texts(void)
{
	struct wbc_value key[2] = {V_INT("id", 1), V_TEXT("name", "a\xff")};
	struct test x = begin();
	struct wbc_counter *counter = NULL;
	int64_t value;

	for (unsigned i = 0; i < 2; i++) {
		tap_is_int(wbc_add_int64(x.t, key, 2, COLUMN_N, 1), WBC_E_UTF8,
		           "a new row whose key %s is not made",
		           i ? "has a NUL" : "is not UTF-8");
		tap_is_int(wbc_counter_open(x.t, key, 2, COLUMN_N, &counter),
		           WBC_E_UTF8, "nor by a counter");
		tap_is_int(wbc_read_int64(x.t, key, 2, COLUMN_N, &value),
		           WBC_E_UNKNOWN, "and is not known when it is read");
		key[1] = wbc_text("name", "a\0b", 3);
	}
	tap_ok(!counter, "no counter is handed out for it");
	end(&x);
}

static void test_columns(void)
{
	static const unsigned bad[] = {
		COLUMN_ID, COLUMN_NAME, COLUMN_NOTE, 5,
		63,        64,          1000,        (unsigned)WBC_E_COLUMN,
		UINT32_MAX};
	struct test x = begin();
	unsigned wrong = 0, types = 0;

	for (size_t i = 0; i < N(calls); i++) {
		unsigned other =
			calls[i].column == COLUMN_N ? COLUMN_D : COLUMN_N;

		for (size_t j = 0; j < N(bad); j++)
			wrong += calls[i].call(x.t, row, 2, bad[j]) !=
			         WBC_E_COLUMN;
		types += calls[i].call != call_open &&
		         calls[i].call(x.t, row, 2, other) != WBC_E_TYPE;
	}
	tap_is_uint(wrong, 0,
	            "a column that is not there, or not counted, is "
	            "WBC_E_COLUMN for every call");
	tap_is_uint(types, 0, "a counter of the other type is WBC_E_TYPE");
	tap_is_int(wbc_column(x.t, "d"), COLUMN_D, "a column has its number");
	tap_is_int(wbc_column(x.t, "D"), WBC_E_COLUMN,
	           "names are taken as they are");
	tap_is_int(wbc_column(x.t, ""), WBC_E_COLUMN, "the empty name is none");
	end(&x);
}

static void test_amounts(void)
{
	static const double bad[] = {DOUBLE_NAN, DOUBLE_INF, -DOUBLE_INF};
	static const int64_t far[] = {INT64_MAX, INT64_MIN,
	                              (INT64_C(1) << 61) + 1};
	struct test x = begin();
	struct wbc_counter *n, *d;
	int64_t total = 99;
	double sum = 99;
	unsigned wrong = 0;

	wbc_counter_open(x.t, row, 2, COLUMN_N, &n);
	wbc_counter_open(x.t, row, 2, COLUMN_D, &d);
	for (size_t i = 0; i < N(bad); i++)
		wrong += wbc_add_double(x.t, row, 2, COLUMN_D, bad[i]) !=
		                 WBC_E_NAN ||
		         wbc_add_get_double(x.t, row, 2, COLUMN_D, bad[i],
		                            &sum) != WBC_E_NAN ||
		         wbc_counter_add_double(d, bad[i]) != WBC_E_NAN;
	tap_is_uint(wrong, 0, "NaN and infinities are WBC_E_NAN");
	order_store(&n->place->entry->origin, 0);
	for (size_t i = 0; i < N(far); i++)
		wrong += wbc_add_int64(x.t, row, 2, COLUMN_N, far[i]) !=
		                 -ERANGE ||
		         wbc_add_get_int64(x.t, row, 2, COLUMN_N, far[i],
		                           &total) != -ERANGE ||
		         wbc_counter_add(n, far[i]) != -ERANGE;
	tap_is_uint(wrong, 0, "an add that would overflow is -ERANGE");
	tap_ok(total_of(&x, COLUMN_N) == 0 && total_of(&x, COLUMN_D) == 0 &&
	               total == 99 && sum == 99,
	       "nothing was added by them, and no result written");
	tap_is_int(wbc_add_int64(x.t, row, 2, COLUMN_N, INT64_C(1) << 61), 0,
	           "2^61 can be added");
	tap_is_int(wbc_add_int64(x.t, row, 2, COLUMN_N, 1), -ERANGE,
	           "and then not 1 more, by key");
	tap_is_int(wbc_counter_add(n, 1), -ERANGE, "nor through a handle");
	tap_is_int(wbc_counter_add(n, -1), 0, "but less");
	tap_is_int(wbc_add_int64(x.t, row, 2, COLUMN_N, 0), 0,
	           "0 can be added");
	tap_is_int(wbc_add_double(x.t, row, 2, COLUMN_D, WBCI_DOUBLE_MAX), 0,
	           "the largest double can be added");
	tap_is_int(wbc_add_double(x.t, row, 2, COLUMN_D, WBCI_DOUBLE_MAX),
	           -ERANGE, "but not twice");
	tap_is_int(wbc_counter_add_double(d, WBCI_DOUBLE_MAX), -ERANGE,
	           "nor through a handle");
	tap_is_int(wbc_counter_add(d, 1), WBC_E_TYPE,
	           "a double counter takes no integer");
	tap_is_int(wbc_counter_add_double(n, 1), WBC_E_TYPE,
	           "nor an integer counter a double");
	tap_is_int(wbc_counter_read(d, &total), WBC_E_TYPE,
	           "and likewise for reading");
	tap_is_int(wbc_counter_read_double(n, &sum), WBC_E_TYPE,
	           "the other way round");
	end(&x);
}

/* What a value is, as far as the database's is known. */
static void test_values(void)
{
	static const struct {
		uint64_t origin;
		int read, add_get;
		int64_t value; /* after the add of 1 to a total of 5 */
		const char *what;
	} ints[] = {{WBCI_INT64_UNKNOWN, WBC_E_UNKNOWN, WBC_E_UNKNOWN, 0,
	             "an unknown value"},
	            {WBCI_INT64_NOROW, WBC_E_NOROW, WBC_E_NOROW, 0,
	             "a row that the database has not"},
	            {WBCI_INT64_NULL, 0, 0, 6, "NULL"},
	            {100, 0, 0, 106, "a known value"},
	            {INT64_MAX - 5, 0, -ERANGE, 0, "one near the end"},
	            {INT64_MAX - 4, -ERANGE, -ERANGE, 0, "one beyond it"}};
	struct test x = begin();
	struct wbc_counter *n, *d;
	int64_t value;
	double sum;

	tap_is_int(wbc_read_int64(x.t, row, 2, COLUMN_N, &value), WBC_E_UNKNOWN,
	           "a row that nobody touched is unknown");
	wbc_counter_open(x.t, row, 2, COLUMN_N, &n);
	wbc_counter_open(x.t, row, 2, COLUMN_D, &d);
	for (size_t i = 0; i < N(ints); i++) {
		int64_t want = ints[i].value - 1, after = 0, by_handle = 0;
		bool good;

		value = 0;
		order_store(&n->place->entry->origin, ints[i].origin);
		order_store(n->place->total, 5);
		good = wbc_read_int64(x.t, row, 2, COLUMN_N, &value) ==
		               ints[i].read &&
		       wbc_counter_read(n, &by_handle) == ints[i].read &&
		       value == by_handle;
		good = good &&
		       (ints[i].read || ints[i].add_get || value == want);
		good = good && wbc_add_get_int64(x.t, row, 2, COLUMN_N, 1,
		                                 &after) == ints[i].add_get;
		good = good && (ints[i].add_get ? total_of(&x, COLUMN_N) == 5
		                                : after == ints[i].value);
		tap_ok(good,
		       "%s: reading is %s, adding and learning the sum "
		       "%s",
		       ints[i].what, wbc_error_name(ints[i].read),
		       wbc_error_name(ints[i].add_get));
	}
	tap_is_int(wbc_read_double(x.t, row, 2, COLUMN_D, &sum), WBC_E_UNKNOWN,
	           "an unknown double");
	order_store(wbci_entry_origin(d->place->entry, 1), WBCI_DOUBLE_NOROW);
	tap_is_int(wbc_add_get_double(x.t, row, 2, COLUMN_D, 1, &sum),
	           WBC_E_NOROW, "a double of no row");
	order_store(wbci_entry_origin(d->place->entry, 1), WBCI_DOUBLE_NULL);
	tap_ok(wbc_add_get_double(x.t, row, 2, COLUMN_D, 0.5, &sum) == 0 &&
	               sum == 0.5,
	       "a double that is NULL counts as 0");
	order_store(wbci_entry_origin(d->place->entry, 1),
	            wbci_bits_of(DBL_MAX));
	tap_is_int(wbc_add_get_double(x.t, row, 2, COLUMN_D, WBCI_DOUBLE_MAX,
	                              &sum),
	           -ERANGE,
	           "a double value that would not be finite is "
	           "refused");
	tap_ok(wbc_counter_read_double(d, &sum) == 0 && sum == DBL_MAX,
	       "and nothing was added");
	end(&x);
}

/* One row is one row, however it is written. */
static void test_one_row(void)
{
	static const struct {
		struct wbc_value key[2];
		const char *what;
	} keys[] = {
		{{V_INT("id", 7), V_TEXT("name", "x")}, "named in order"},
		{{V_TEXT("name", "x"), V_INT("id", 7)}, "in the other order"},
		{{V_INT(NULL, 7), V_TEXT(NULL, "x")}, "unnamed"},
		{{V_INT("id", 7), V_TEXT(NULL, "x")}, "half named"},
		{{V_TEXT("id", "7"), V_TEXT("name", "x")}, "\"7\" for 7"},
		{{V_TEXT("name", "x"), V_TEXT("id", "+007")}, "\"+007\""}};
	struct test x = begin();
	struct wbc_counter *counter;

	for (size_t i = 0; i < N(keys); i++) {
		wbc_add_int64(x.t, keys[i].key, 2, COLUMN_N, 1);
		wbc_counter_open(x.t, keys[i].key, 2, COLUMN_N, &counter);
		wbc_counter_add(counter, 1);
		tap_is_uint(order_load(counter->place->total), 2 * i + 2,
		            "a key %s is the same row (P11)", keys[i].what);
	}
	end(&x);
}

static void test_inserts(void)
{
	static const struct {
		struct wbc_value values[6];
		size_t n;
		int result;
		const char *what;
	} rows[] = {
		{{V_INT("id", 1), V_TEXT("name", "a")},
	         2,
	         0,
	         "the key columns alone"},
		{{V_TEXT("note", "n"), V_TEXT("name", "a"), V_INT("id", 1)},
	         3,
	         0,
	         "any order"},
		{{V_INT(NULL, 1), V_TEXT(NULL, "a"), V_INT(NULL, 3),
	          V_DOUBLE(NULL, 0.5), V_TEXT(NULL, "n")},
	         5,
	         0,
	         "all unnamed"},
		{{V_INT("id", 1), V_TEXT("name", "a"), V_NULL("note")},
	         3,
	         0,
	         "a NULL that is no key"},
		{{V_INT("id", 1)}, 1, WBC_E_KEY, "a missing key column"},
		{{V_INT("id", 1), V_NULL("name")}, 2, WBC_E_KEY, "a NULL key"},
		{{V_INT("id", 1), V_TEXT("name", "a"), V_INT("id", 1)},
	         3,
	         WBC_E_COLUMN,
	         "a doubled column"},
		{{V_INT("id", 1), V_TEXT("name", "a"), V_INT("no", 1)},
	         3,
	         WBC_E_COLUMN,
	         "an unknown column"},
		{{V_INT("id", 1), V_TEXT("name", "a"), V_INT("note", 1)},
	         3,
	         WBC_E_TYPE,
	         "a number for a text"},
		{{V_INT("id", 1), V_TEXT("name", "a\xff")},
	         2,
	         WBC_E_UTF8,
	         "a key that is not UTF-8"},
		{{V_INT("id", 1), V_TEXT("name", "a"), V_TEXT("note", "a\0")},
	         3,
	         WBC_E_UTF8,
	         "a text with a NUL"},
		{{V_INT("id", 1), V_TEXT("name", "a"),
	          V_DOUBLE("d", DOUBLE_NAN)},
	         3,
	         WBC_E_NAN,
	         "NaN"},
		{{V_INT("id", 1), V_TEXT("name", "a"),
	          V_DOUBLE("d", -DOUBLE_INF)},
	         3,
	         WBC_E_NAN,
	         "an infinity"},
		{{V_INT("id", 1)}, 0, -EINVAL, "no value"},
		{{V_INT(NULL, 1), V_TEXT(NULL, "a"), V_INT(NULL, 3),
	          V_DOUBLE(NULL, 0.5), V_TEXT(NULL, "n"), V_INT(NULL, 1)},
	         6,
	         -EINVAL,
	         "more values than columns"},
		{{V_INT("id", 1), V_TEXT("name", "a"),
	          V_BYTES("note", WBC_TEXT, 9, NULL)},
	         3,
	         -EINVAL,
	         "a text without bytes"},
		{{V_INT("id", 1), V_TEXT("name", "a"),
	          V_BYTES("note", WBC_TEXT, 2 << 20, long_text)},
	         3,
	         -E2BIG,
	         "a text over the limit"}};
	static char half[4096];
	struct wbc_value large[3] = {V_INT("id", 1), V_TEXT("name", "a"),
	                             V_BYTES("note", WBC_TEXT, 2048, half)};
	struct test x = begin();
	struct thread_shm *slot = rig_thread(x.c->client)->shm;

	memset(half, 'x', sizeof(half));
	for (size_t i = 0; i < N(rows); i++) {
		uint64_t tail = order_load(&slot->lane_tail);
		int result = wbc_insert(x.t, rows[i].values, rows[i].n, 0);

		tap_ok(result == rows[i].result &&
		               (order_load(&slot->lane_tail) == tail) ==
		                       (result != 0),
		       "inserting %s is %s", rows[i].what,
		       result ? wbc_error_name(result) : "done");
	}
	tap_is_int(wbc_insert(x.t, large, 3, 0), -E2BIG,
	           "inserting a row over half a lane is -E2BIG");
	end(&x);
}

static void test_declare(void)
{
	static const struct {
		const char *spec;
		int result;
		const char *what;
	} specs[] = {
		{"t", WBC_E_SPEC, "no columns"},
		{"t()", WBC_E_SPEC, "empty brackets"},
		{"", WBC_E_SPEC, "nothing"},
		{"t(k text key, n number)", WBC_E_SPEC, "an unknown type"},
		{"t(k text key) on_missing=maybe", WBC_E_SPEC,
	         "an unknown policy"},
		{"t(k text key, k counter)", WBC_E_SPEC, "a doubled column"},
		{"t(0k text key)", WBC_E_SPEC, "a name that is none"},
		{"t(k text key, n counter)", WBC_E_SCHEMA,
	         "another table of that name"},
		{"n123456789012345678901234567890123456789012345678901234567890"
	         "1234(k text key)",
	         -ENAMETOOLONG, "a name over the limit"},
		{"u(n123456789012345678901234567890123456789012345678901234567"
	         "8901234 text key)",
	         -ENAMETOOLONG, "a column's name over the limit"}};
	struct test x = begin();
	struct wbc_table *t = x.t;
	char spec[8192] = "many(k text key", words[200];

	for (size_t i = 0; i < N(specs); i++) {
		memset(words, 'x', sizeof(words));
		tap_is_int(wbc_table_declare(x.c, specs[i].spec, &t, words,
		                             sizeof(words)),
		           specs[i].result, "declaring %s is %s", specs[i].what,
		           wbc_error_name(specs[i].result));
		tap_ok(memchr(words, 0, sizeof(words)) && strlen(words) > 10,
		       "and said in words");
	}
	tap_ok(t == x.t, "no result is written then");
	for (int i = 0; i < WBC_COUNTERS_MAX + 1; i++)
		snprintf(spec + strlen(spec), 32, ", c%d counter", i);
	strcat(spec, ")");
	tap_is_int(wbc_table_declare(x.c, spec, &t, NULL, 0), -E2BIG,
	           "declaring a counter too many is -E2BIG");
	tap_is_int(wbc_table_declare(x.c, SPEC, &t, NULL, 0), 0,
	           "declaring a table again finds it, without words");
	end(&x);
}

static void test_open(void)
{
	struct test x = begin();
	struct wbc_options o = WBC_OPTIONS_INIT;
	struct wbc *c = NULL;
	char address[512], words[256] = "";

	o.message = words;
	o.message_size = sizeof(words);
	snprintf(address, sizeof(address), "%s.none", x.rig.address);
	tap_is_int(wbc_open(&c, address, &o), -ENOENT,
	           "opening what is not "
	           "there is -ENOENT");
	tap_ok(strstr(words, ".none"), "in words that name it");
	tap_is_int(wbc_open(&c, x.rig.path, &o), -EINVAL,
	           "opening a bare path is -EINVAL");
	tap_is_int(wbc_open(&c, NULL, &o), -EINVAL, "no address is too");
	tap_is_int(wbc_open(&c, "shm:a/b", &o), -EINVAL, "and a relative path");
	tap_is_int(wbc_open(&c,
	                    "shm:n1234567890123456789012345678901234567890123"
	                    "45678901234567890123",
	                    &o),
	           -ENAMETOOLONG, "a name over 63 bytes is -ENAMETOOLONG");
	o.flags = WBC_CREATE | WBC_EXCLUSIVE;
	tap_is_int(wbc_open(&c, x.rig.address, &o), -EEXIST,
	           "making what is there is -EEXIST");
	o.flags = WBC_EXCLUSIVE;
	tap_is_int(wbc_open(&c, x.rig.address, &o), -EINVAL,
	           "WBC_EXCLUSIVE alone is -EINVAL");
	o.flags = 8;
	tap_is_int(wbc_open(&c, x.rig.address, &o), -EINVAL,
	           "and an unknown flag");
	o.flags = WBC_CREATE;
	o.mode = 01777;
	tap_is_int(wbc_open(&c, address, &o), -EINVAL, "and an odd mode");
	o.mode = 0;
	o.lane_bytes = 5000;
	tap_is_int(wbc_open(&c, address, &o), -EINVAL, "and an odd lane");
	o.lane_bytes = 0;
	o.max_bytes = 4096;
	tap_is_int(wbc_open(&c, address, &o), -EINVAL,
	           "and too small a "
	           "segment");
	o.max_bytes = 0;
	tap_ok(c == NULL && access(address + 4, F_OK) != 0,
	       "no result is written, no file left (P8)");
	tap_is_int(wbc_open(&c, x.rig.address, &o), 0,
	           "WBC_CREATE opens what is there");
	tap_is_str(wbc_path(c), x.rig.path, "a handle knows its file");
	wbc_close(&c);
	tap_ok(c == NULL, "closing leaves NULL");
	wbc_close(&c);
	snprintf(address, sizeof(address), "shm:/proc/self/cmdline");
	tap_ok(wbc_open(&c, address, NULL) < 0, "another file is refused "
	                                        "(P10)");
	end(&x);
}

static void test_slots(void)
{
	struct test x = begin();
	struct wbc *c[4] = {NULL};
	struct wbc_options o = WBC_OPTIONS_INIT;
	char words[256] = "";
	unsigned n = 0;

	o.message = words;
	o.message_size = sizeof(words);
	while (n < 4 && wbc_open(&c[n], x.rig.address, &o) == 0)
		n++;
	tap_is_uint(n, 3, "a segment of 5 process slots takes 4 clients");
	tap_ok(strstr(words, "all 4 "), "the words say how many that is");
	for (unsigned i = 0; i < n; i++)
		wbc_close(&c[i]);
	tap_is_int(wbc_open(&c[0], x.rig.address, NULL), 0,
	           "slots that were given back can be had again");
	wbc_close(&c[0]);
	end(&x);
}

/* Threads that each take a slot and wait until all have tried. */
struct crowd {
	struct test *x;
	struct rig_gate *gate;
	int tell;
	int result;
};

static void *crowd_in(void *arg)
{
	struct crowd *c = arg;

	c->result = wbc_add_int64(c->x->t, row, 2, COLUMN_N, 1);
	rig_tell(c->tell);
	rig_gate_wait(c->gate);
	return NULL;
}

static void test_threads(void)
{
	struct test x = begin();
	struct rig_gate gate = rig_gate();
	struct crowd crowd[5];
	pthread_t threads[5];
	unsigned in = 0, refused = 0;
	int fd[2];

	/* The one that declared the table has a slot of the four for clients.
	 */
	if (pipe(fd))
		tap_bail("pipe");
	for (unsigned i = 0; i < 5; i++) {
		crowd[i] = (struct crowd){&x, &gate, fd[1], 1};
		threads[i] = rig_start(crowd_in, &crowd[i]);
	}
	for (unsigned i = 0; i < 5; i++)
		rig_hear(fd[0]);
	rig_gate_open(&gate);
	for (unsigned i = 0; i < 5; i++) {
		pthread_join(threads[i], NULL);
		in += crowd[i].result == 0;
		refused += crowd[i].result == -EUSERS;
	}
	tap_ok(in == 3 && refused == 2, "more threads than slots are -EUSERS");
	tap_is_int(total_of(&x, COLUMN_N), 3, "and add nothing");
	threads[0] = rig_start(crowd_in, &crowd[0]);
	pthread_join(threads[0], NULL);
	tap_is_int(crowd[0].result, 0, "slots of ended threads are free again");
	close(gate.fd[0]);
	close(fd[0]);
	close(fd[1]);
	end(&x);
}

static void test_full(void)
{
	struct test x = begin();
	struct wbc_table *t = rig_table(x.c, "u(k text key, n counter)");
	int error = 0;
	unsigned n = 0, again = 0;

	while (!error && n < 1000000) {
		char name[16];
		struct wbc_value k;

		snprintf(name, sizeof(name), "%u", n);
		k = wbc_text("k", name, (uint32_t)strlen(name));
		error = wbc_add_int64(t, &k, 1, 1, 1);
		n += !error;
	}
	tap_is_int(error, -ENOSPC, "a full segment is -ENOSPC (P8)");
	tap_ok(n > 20000, "after many rows");
	tap_diag("%u", n);
	for (unsigned i = 0; i < n; i++) {
		char name[16];
		struct wbc_value k;

		snprintf(name, sizeof(name), "%u", i);
		k = wbc_text("k", name, (uint32_t)strlen(name));
		again += wbc_add_int64(t, &k, 1, 1, 1) == 0;
	}
	tap_is_uint(again, n, "and the rows that it has count on (P8)");
	end(&x);
}

static int fake_flusher(const struct wbci_segment *s)
{
	struct flock lock = {.l_type = F_WRLCK,
	                     .l_whence = SEEK_SET,
	                     .l_start = WBCI_LOCK_FLUSHER,
	                     .l_len = 1};
	int fd = wbci_segment_description(s);

	if (fd < 0 || fcntl(fd, F_OFD_SETLK, &lock))
		tap_bail("the flusher's lock");
	return fd;
}

/* Nobody answers, or somebody who lives but is slow. */
static void test_waiting(void)
{
	static const int times_ms[] = {0, 20, 250};
	struct test x = begin();
	struct wbc_flush_result r;
	unsigned early = 0;

	for (unsigned alive = 0; alive < 2; alive++) {
		int want = alive ? -ETIMEDOUT : WBC_E_NOFLUSHER;
		int fd = alive ? fake_flusher(x.s) : -1;
		unsigned wrong = 0;

		for (size_t i = 0; i < N(times_ms); i++) {
			int64_t begun = wbci_now_ns();

			wrong += wbc_sync(x.c, times_ms[i]) != want;
			wrong += wbc_flush(x.c, x.t, times_ms[i], &r) != want;
			wrong +=
				wbc_flush(x.c, NULL, times_ms[i], NULL) != want;
			early += wbci_now_ns() - begun <
			         (int64_t)times_ms[i] * 3000000;
			wrong += strcmp(r.table, "t") != 0;
		}
		tap_is_uint(wrong, 0, "sync and flush %s are %s",
		            alive ? "with a slow flusher" : "without one",
		            wbc_error_name(want));
		if (fd >= 0)
			close(fd);
	}
	tap_is_uint(early, 0, "not before their time");
	end(&x);
}

/* A flusher that lives in this test: it answers what it is asked. */
struct answer {
	const struct wbci_segment *s;
	bool flush;
	int park;
	uint64_t applied, refused;
	const char *message;
};

static void *give_answer(void *arg)
{
	const struct answer *a = arg;
	struct table_shm *shm = &a->s->tables[0];
	order_u64 *want = a->flush ? &shm->want : &a->s->control->sync_want;
	uint64_t before =
		order_load(a->flush ? &shm->settled : &a->s->control->synced);

	while (order_acquire(want) <= before)
		sched_yield();
	order_add_seq(&a->s->control->cycle, 1);
	wbci_event(a->s); /* progress, but not what was asked for */
	order_store(&shm->rows_applied,
	            order_load(&shm->rows_applied) + a->applied);
	order_store(&shm->rows_refused,
	            order_load(&shm->rows_refused) + a->refused);
	wbci_table_park(a->s, 0, a->park, a->message);
	order_release(a->flush ? &shm->settled : &a->s->control->synced,
	              order_load(want));
	wbci_event(a->s);
	return NULL;
}

static void test_answers(void)
{
	static const struct {
		int park;
		uint64_t applied, refused;
		const char *message;
		int result;
		const char *what;
	} outcomes[] = {{0, 0, 0, "", 0, "nothing to apply"},
	                {0, 12, 0, "", 0, "rows applied"},
	                {0, 3, 2, "constraint", WBC_E_REFUSED, "rows refused"},
	                {WBC_E_TABLE, 0, 0, "no --table", WBC_E_TABLE,
	                 "a table that the flusher was not told of"},
	                {WBC_E_SCHEMA, 0, 0, "other columns", WBC_E_SCHEMA,
	                 "one that it was told of differently"},
	                {WBC_E_PARKED, 0, 1, "no such table", WBC_E_PARKED,
	                 "one that the database refuses"}};
	struct test x = begin();
	struct answer sync = {.s = x.s, .message = ""};
	pthread_t thread = rig_start(give_answer, &sync);

	tap_is_int(wbc_sync(x.c, -1), 0,
	           "a sync ends when its round is in "
	           "the journal (P4)");
	pthread_join(thread, NULL);
	for (size_t i = 0; i < N(outcomes); i++) {
		struct answer a = {x.s,
		                   true,
		                   outcomes[i].park,
		                   outcomes[i].applied,
		                   outcomes[i].refused,
		                   outcomes[i].message};
		struct wbc_flush_result r;
		int result;

		thread = rig_start(give_answer, &a);
		result = wbc_flush(x.c, x.t, -1, &r);
		pthread_join(thread, NULL);
		tap_ok(result == outcomes[i].result &&
		               r.rows_applied == outcomes[i].applied &&
		               r.rows_refused == outcomes[i].refused &&
		               r.tables_parked == (outcomes[i].park != 0) &&
		               !strcmp(r.table, result ? "t" : "") &&
		               !strcmp(r.message, outcomes[i].message),
		       "a flush says so: %s", outcomes[i].what);
	}
	end(&x);
}

/* A segment that was closed by force. */
static void test_closed(void)
{
	struct test x = begin();
	struct wbc_table *hot = rig_table(x.c, "u(k text key, n counter)");
	struct wbc_value k = V_TEXT("k", "a");
	struct wbc_counter *n, *d;
	struct wbc_table *t;
	struct wbc *c;
	int64_t value;
	double sum;
	unsigned wrong = 0;

	wbc_counter_open(x.t, row, 2, COLUMN_N, &n);
	wbc_counter_open(x.t, row, 2, COLUMN_D, &d);
	wbc_add_int64(hot, &k, 1, 1, 1);
	wbc_add_int64(hot, &k, 1, 1, 1);
	wbci_shut(x.s);
	for (size_t i = 0; i < N(calls); i++)
		wrong += calls[i].call(x.t, row, 2, calls[i].column) != -ESTALE;
	wrong += wbc_add_int64(hot, &k, 1, 1, 1) != -ESTALE;
	wrong += wbc_counter_add(n, 1) != -ESTALE;
	wrong += wbc_counter_add_double(d, 1) != -ESTALE;
	wrong += wbc_counter_read(n, &value) != -ESTALE;
	wrong += wbc_counter_read_double(d, &sum) != -ESTALE;
	wrong += wbc_insert(x.t, row, 2, -1) != -ESTALE;
	wrong += wbc_sync(x.c, -1) != -ESTALE;
	wrong += wbc_flush(x.c, NULL, -1, NULL) != -ESTALE;
	wrong += wbc_flush(x.c, x.t, -1, NULL) != -ESTALE;
	wrong += wbc_table_declare(x.c, SPEC, &t, NULL, 0) != -ESTALE;
	wrong += wbc_open(&c, x.rig.address, NULL) != -ESTALE;
	tap_is_uint(wrong, 0, "every call on a closed segment is -ESTALE");
	end(&x);
}

static void test_words(void)
{
	unsigned wrong = 0;

	for (int e = WBC_E_TYPE; e >= WBC_E_JOURNAL; e--) {
		wrong += !wbc_strerror(e) || strlen(wbc_strerror(e)) < 20;
		wrong += strncmp(wbc_error_name(e), "WBC_E_", 6) != 0;
		for (int f = WBC_E_TYPE; f > e; f--)
			wrong += !strcmp(wbc_strerror(e), wbc_strerror(f));
	}
	tap_is_uint(wrong, 0, "every WBC_E_ has a name and words of its own");
}

int main(void)
{
	memset(long_text, 'k', sizeof(long_text));
	test_open();
	test_slots();
	test_declare();
	test_keys();
	test_key_texts();
	test_columns();
	test_amounts();
	test_values();
	test_one_row();
	test_inserts();
	test_threads();
	test_full();
	test_waiting();
	test_answers();
	test_closed();
	test_words();
	return tap_done();
}
