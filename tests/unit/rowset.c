/* SPDX-License-Identifier: MIT */
/* Copyright the wbcshm authors */

/*
 * Row sets and their blobs: changes of rows coalesce as an oracle says, blobs
 * read as what was written, and neither believes what it is given.
 */
#include "flusher/rowset.h"

#include <stdio.h>
#include <string.h>

#include "api/wbc_error.h"
#include "flusher/frame.h"
#include "shm/cell.h"
#include "shm/record.h"
#include "tap/tap.h"
#include "unit/dice.h"

#define SPEC                                                                   \
	"t(id int key, n counter, title text, w double, d double counter, "    \
	"raw blob, seen int)"
#define ROWS_MAGIC 0x53574f52u

enum { ID, N, TITLE, W, D, RAW, SEEN, COLUMNS };
static const uint8_t plain[] = {TITLE, W, RAW, SEEN};
enum { PLAIN = 4, KEYS = 40, CHANGES = 20000, TEXT = 300 };

static struct wbci_rowset make(const char *spec, bool unique)
{
	struct wbci_rowset rs;

	if (wbci_rowset_init(&rs, spec, strlen(spec), unique))
		tap_bail("no set: %s", spec);
	return rs;
}

/* What one row must have come to. */
struct oracle {
	bool exists;
	int64_t n;
	double d;
	bool set[COLUMNS];
	struct wbc_value value[COLUMNS];
	char text[COLUMNS][TEXT];
};

/* A value for a plain column, its bytes in @text. */
static struct wbc_value any_value(struct dice *d, unsigned column, char *text)
{
	uint32_t bytes = dice_below(d, 2) ? dice_below(d, TEXT) : 8;

	if (dice_below(d, 6) == 0)
		return wbc_null(NULL);
	for (uint32_t i = 0; i < bytes; i++)
		text[i] = (char)('a' + dice_below(d, 26));
	switch (column) {
	case TITLE:
		return wbc_text(NULL, text, bytes);
	case RAW:
		return wbc_blob(NULL, text, bytes);
	case W:
		return wbc_double(NULL, (double)dice_below(d, 1000) / 8);
	default:
		return wbc_int64(NULL, (int64_t)dice_word(d));
	}
}

static void note(struct oracle *o, unsigned column, const struct wbc_value *v)
{
	o->set[column] = true;
	o->value[column] = *v;
	if (v->type == WBC_TEXT || v->type == WBC_BLOB) {
		memcpy(o->text[column], v->v.p, v->bytes);
		o->value[column].v.p = o->text[column];
	}
}

static void change_one(struct dice *d, struct wbci_rowset *rs,
                       struct oracle *oracles)
{
	unsigned char key = (unsigned char)dice_below(d, KEYS);
	struct oracle *o = &oracles[key];
	struct wbc_value values[PLAIN];
	char text[PLAIN][TEXT];
	uint8_t columns[PLAIN];
	uint64_t delta[2] = {0, wbci_bits_of(0)};
	unsigned n = 0;

	for (unsigned i = 0; i < PLAIN; i++) {
		/* In an order of their own. */
		unsigned column = plain[(i + key) % PLAIN];

		if (dice_below(d, 3))
			continue;
		columns[n] = (uint8_t)column;
		values[n] = any_value(d, column, text[n]);
		note(o, column, &values[n]);
		n++;
	}
	if (!n || dice_below(d, 2)) {
		delta[0] = dice_below(d, 100);
		delta[1] = wbci_bits_of(dice_below(d, 100));
	}
	o->exists = true;
	o->n += (int64_t)delta[0];
	o->d += wbci_double_of(delta[1]);
	if (wbci_rowset_change(rs, &key, 1, delta, values, columns, n))
		tap_bail("a change is refused");
	memset(text, 'X', sizeof(text));
}

static bool same_value(const struct wbc_value *a, const struct wbc_value *b)
{
	if (a->type != b->type)
		return false;
	if (a->type == WBC_NULL)
		return true;
	if (a->type == WBC_TEXT || a->type == WBC_BLOB)
		return a->bytes == b->bytes &&
		       (!a->bytes || !memcmp(a->v.p, b->v.p, a->bytes));
	return a->v.i == b->v.i;
}

static bool same_row(const struct wbci_rowset *rs, const struct wbci_row *row,
                     const struct oracle *o)
{
	struct wbc_value values[WBC_COLUMNS_MAX];
	uint8_t columns[WBC_COLUMNS_MAX];
	unsigned n = 0, wanted = 0;

	for (unsigned c = 0; c < COLUMNS; c++)
		wanted += o->set[c];
	if ((int64_t)row->delta[0] != o->n ||
	    wbci_double_of(row->delta[1]) != o->d || !row->set != !wanted)
		return false;
	if (!row->set)
		return true;
	wbci_set_values(rs, row->set, values, columns);
	for (; n < row->set->n; n++)
		if (!o->set[columns[n]] ||
		    !same_value(&values[n], &o->value[columns[n]]))
			return false;
	return n == wanted;
}

static unsigned wrong_rows(const struct wbci_rowset *rs,
                           const struct oracle *oracles)
{
	unsigned wrong = 0, there = 0;

	for (uint64_t i = 0; i < rs->n_rows; i++)
		wrong += !same_row(rs, rs->rows[i],
		                   &oracles[*wbci_row_key(rs, rs->rows[i])]);
	for (unsigned key = 0; key < KEYS; key++)
		there += oracles[key].exists;
	return wrong + (there != rs->n_rows);
}

static int read_chunk(void *arg, uint32_t chunk, const void *blob, size_t bytes)
{
	(void)chunk;
	return wbci_rowset_read(arg, blob, bytes);
}

static void test_random(void)
{
	struct dice d = dice_seeded();
	static struct oracle oracles[KEYS];
	struct wbci_rowset rs = make(SPEC, false), again = make(SPEC, true);
	struct wbci_slice all;
	uint64_t bytes = 0;

	for (unsigned i = 0; i < CHANGES; i++)
		change_one(&d, &rs, oracles);
	tap_is_uint(
		wrong_rows(&rs, oracles), 0,
		"rows that were changed %u times have the sum of all deltas "
		"and each column's last value",
		CHANGES);
	for (uint64_t i = 0; i < rs.n_rows; i++)
		bytes += rs.rows[i]->set ? rs.rows[i]->set->bytes : 0;
	tap_is_uint(rs.sets_bytes, bytes,
	            "a set knows how long its values are");
	all = wbci_rowset_all(&rs);
	tap_ok(!wbci_rowset_write(&rs, &all, 1, read_chunk, &again) &&
	               !wrong_rows(&again, oracles),
	       "and read from their blobs they are the same");
	wbci_rowset_free(&rs);
	wbci_rowset_free(&again);
}

/* All memory of a set. */
struct wbci_arena {
	struct wbci_arena *next;
	uint64_t used;
	uint64_t room;
};

static uint64_t memory_of(const struct wbci_rowset *rs)
{
	uint64_t bytes = 0;

	for (const struct wbci_arena *a = rs->arena; a; a = a->next)
		bytes += a->room;
	return bytes;
}

static void test_hot_row(void)
{
	struct wbci_rowset rs = make(SPEC, false);
	static char text[50000];
	const uint8_t columns[] = {TITLE, SEEN};
	const uint64_t delta[2] = {1, 0};
	int error = 0;

	memset(text, 'x', sizeof(text));
	for (unsigned i = 0; i < 100000 && !error; i++) {
		/* Of all lengths, more and more of the long ones. */
		uint32_t bytes = i % 20 ? i % 100 : i / 2;
		const struct wbc_value values[] = {
			i % 7 ? wbc_text(NULL, text, bytes) : wbc_null(NULL),
			wbc_int64(NULL, i)};

		error = wbci_rowset_change(&rs, (const void *)"k", 1, delta,
		                           values, columns, 2);
	}
	tap_ok(!error && rs.rows[0]->delta[0] == 100000 &&
	               memory_of(&rs) < 6 * sizeof(text),
	       "a row that is changed 100,000 times takes less than six times "
	       "the memory of its longest value (%llu)",
	       (unsigned long long)memory_of(&rs));
	wbci_rowset_free(&rs);
}

static void test_zero(void)
{
	struct wbci_rowset rs = make(SPEC, false);
	const uint64_t zero[2] = {0, UINT64_C(1) << 63};
	const uint64_t up[2] = {5, 0}, down[2] = {(uint64_t)-5, 0};
	const struct wbc_value null = wbc_null(NULL);
	const uint8_t column = TITLE;

	wbci_rowset_change(&rs, (const void *)"b", 1, zero, &null, &column, 1);
	wbci_rowset_add(&rs, (const void *)"c", 1, up);
	wbci_rowset_add(&rs, (const void *)"c", 1, down);
	wbci_rowset_add(&rs, (const void *)"a", 1, up);
	wbci_rowset_sort(&rs);
	tap_ok(rs.n_rows == 2 && rs.n_zero == 1 &&
	               *wbci_row_key(&rs, rs.rows[0]) == 'a' &&
	               *wbci_row_key(&rs, rs.rows[1]) == 'b',
	       "a row that sets a column to NULL is a change, one whose deltas "
	       "came to nothing is none");
	wbci_rowset_free(&rs);
}

static void test_refused(void)
{
	static const struct {
		const char *what;
		uint8_t columns[2];
		struct wbc_value values[2];
	} cases[] = {
		{"a key column", {ID}, {{.type = WBC_INT64}}},
		{"a counted column", {N}, {{.type = WBC_INT64}}},
		{"no column of the table", {COLUMNS}, {{.type = WBC_INT64}}},
		{"a column far away", {200}, {{.type = WBC_NULL}}},
		{"an int for a text", {TITLE}, {{.type = WBC_INT64}}},
		{"a text for an int", {SEEN}, {{.type = WBC_TEXT}}},
		{"no type", {SEEN}, {{.type = (enum wbc_type)77}}},
		{"NaN", {W}, {{.type = WBC_DOUBLE, .v.d = __builtin_nan("")}}},
		{"more than 1 MiB",
	         {RAW},
	         {{.type = WBC_BLOB, .bytes = WBCI_VALUE_MAX + 1, .v.p = ""}}},
		{"a column twice",
	         {SEEN, SEEN},
	         {{.type = WBC_NULL}, {.type = WBC_NULL}}},
	};
	struct wbci_rowset rs = make(SPEC, false);
	const uint64_t delta[2] = {1, 0};
	unsigned wrong = 0;

	for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		unsigned n = cases[i].columns[1] ? 2 : 1;
		int error = wbci_rowset_change(&rs, (const void *)"k", 1, delta,
		                               cases[i].values,
		                               cases[i].columns, n);

		if (error != WBC_E_CORRUPT)
			tap_diag("%s: %d", cases[i].what, error);
		wrong += error != WBC_E_CORRUPT;
	}
	wrong += rs.n_rows != 1 || rs.rows[0]->set || rs.rows[0]->delta[0] != 0;
	tap_is_uint(wrong, 0,
	            "P7: values that the table's columns do not take are "
	            "refused, and change nothing");
	wbci_rowset_free(&rs);
}

/* Cuts into parts: each within bounds, all together the whole. */
static void test_cut(void)
{
	enum { LARGE = 1 << 20, BOUND = 3 << 20, ROWS = 20 };
	struct wbci_rowset rs = make(SPEC, true);
	struct wbci_slice slice = {0, 0, 0, 0, 0};
	const uint64_t delta[2] = {1, 0};
	const uint8_t column = RAW;
	char *bytes = calloc(1, LARGE);
	unsigned parts = 0, large = 0;
	uint64_t at = 0;

	if (!bytes)
		tap_bail("no memory");
	for (unsigned char i = 0; i < ROWS; i++) {
		struct wbc_value value =
			wbc_blob(NULL, bytes, i % 2 ? LARGE : 10);

		if (wbci_rowset_change(&rs, &i, 1, delta, &value, &column, 1))
			tap_bail("no memory");
	}
	for (; wbci_rowset_cut(&rs, &slice, 5, BOUND); parts++) {
		uint64_t part = 0;

		for (uint64_t i = slice.row_from; i < slice.row_to; i++)
			part += wbci_row_bytes(&rs, rs.rows[i]);
		large += part > BOUND || slice.row_from != at ||
		         slice.row_to - slice.row_from > 5;
		at = slice.row_to;
	}
	tap_ok(!large && at == ROWS && parts >= 5,
	       "rows of 1 MiB are cut into parts of bounded bytes (%u parts)",
	       parts);
	memset(&slice, 0, sizeof(slice));
	for (parts = 0; wbci_rowset_cut(&rs, &slice, 5, 100) && parts < ROWS;
	     parts++)
		;
	tap_ok(slice.row_to == ROWS && parts > ROWS / 2,
	       "and one that is larger than the bound is a part of its own");
	free(bytes);
	wbci_rowset_free(&rs);
}

/* A blob kept for a look. */
struct kept {
	unsigned char *bytes;
	size_t n;
};

static int keep(void *arg, uint32_t chunk, const void *blob, size_t bytes)
{
	struct kept *k = arg;

	if (chunk)
		tap_bail("more than one blob");
	k->bytes = dice_exact(blob, bytes);
	k->n = bytes;
	return 0;
}

static struct kept blob_of(const struct wbci_rowset *rs)
{
	struct wbci_slice all = wbci_rowset_all(rs);
	struct kept k = {NULL, 0};

	if (wbci_rowset_write(rs, &all, 9, keep, &k))
		tap_bail("no blob");
	return k;
}

/*
 * A blob as it was before rows could set columns, byte by byte as that version
 * wrote it: a journal made then is applied now.
 */
static void test_old(void)
{
	static const char spec[] = "t(k text key, n counter)";
	uint32_t head[12] = {ROWS_MAGIC, 1, 0, 0, sizeof(spec) - 1, 0, 2, 1};
	unsigned char blob[48 + 24 + 24 + 32] = {0};
	struct wbci_rowset rs = make(spec, true);
	const uint32_t lengths[] = {3, 0, 9, 0};
	const uint64_t deltas[] = {7, (uint64_t)-8};
	struct kept now;

	static_assert(sizeof(spec) - 1 == 24, "the specification is padded");
	head[10] = 24 + 32;
	memcpy(blob, head, sizeof(head));
	memcpy(blob + 48, spec, 24);
	memcpy(blob + 72, lengths, 8);
	memcpy(blob + 80, deltas, 8);
	memcpy(blob + 88, "key", 3);
	memcpy(blob + 96, lengths + 2, 8);
	memcpy(blob + 104, deltas + 1, 8);
	memcpy(blob + 112, "key-later", 9);
	wbci_frame_seal(blob, sizeof(blob), ROWS_MAGIC);
	tap_ok(!wbci_rowset_read(&rs, blob, sizeof(blob)) && rs.n_rows == 2 &&
	               rs.rows[0]->delta[0] == 7 && !rs.rows[0]->set &&
	               rs.rows[1]->key_len == 9 &&
	               rs.rows[1]->delta[0] == (uint64_t)-8,
	       "a blob of the version before reads as it was meant");
	now = blob_of(&rs);
	tap_ok(now.n == sizeof(blob) && !memcmp(now.bytes, blob, now.n),
	       "and what sets no column is written as that version did, so it "
	       "may have the journal back");
	free(now.bytes);
	wbci_rowset_free(&rs);
}

/* Change one byte of a blob, seal it, and read it. */
static int read_spoilt(const struct kept *k, size_t at, unsigned char byte)
{
	unsigned char *copy = dice_exact(k->bytes, k->n);
	struct wbci_rowset rs = make(SPEC, true);
	uint32_t magic;
	int error;

	memcpy(&magic, copy, 4);
	copy[at] = byte;
	wbci_frame_seal(copy, k->n, magic);
	error = wbci_rowset_read(&rs, copy, k->n);
	wbci_rowset_free(&rs);
	free(copy);
	return error;
}

static void test_hostile(void)
{
	struct wbci_rowset rs = make(SPEC, true);
	const struct wbc_value values[] = {wbc_text(NULL, "abcdefg", 7),
	                                   wbc_int64(NULL, 1)};
	const uint8_t columns[] = {TITLE, SEEN};
	const uint64_t delta[2] = {1, 0};
	/* From the row's begin: header, two deltas, a key; then the values. */
	static const struct {
		const char *what;
		size_t at;
		unsigned char byte;
	} cases[] = {
		{"a key that is too long", 1, 0xff},
		{"more values than there are", 2, 3},
		{"fewer values", 2, 1},
		{"no values, but their bytes", 2, 0},
		{"a kind that is none", 3, 1},
		{"bytes of values that are odd", 4, 31},
		{"more bytes than there are", 7, 1},
		{"a counted column", 32, N},
		{"a column twice", 32, SEEN},
		{"a column that is none", 32, 99},
		{"a type that is none", 33, 99},
		{"a length beyond all", 39, 0xff},
	};
	struct kept k;
	unsigned wrong = 0;
	size_t row;

	if (wbci_rowset_change(&rs, (const void *)"k", 1, delta, values,
	                       columns, 2))
		tap_bail("no memory");
	k = blob_of(&rs);
	row = k.n - wbci_row_bytes(&rs, rs.rows[0]);
	tap_ok(rs.rows[0]->set->place.number == 9 &&
	               rs.rows[0]->set->place.at == row,
	       "a row that was written knows where");
	wrong += read_spoilt(&k, row, 1) != 0;
	for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		int error = read_spoilt(&k, row + cases[i].at, cases[i].byte);

		if (error != WBC_E_CORRUPT)
			tap_diag("%s: %d", cases[i].what, error);
		wrong += error != WBC_E_CORRUPT;
	}
	tap_is_uint(wrong, 0,
	            "P7: values in a blob that make no sense are "
	            "refused");
	/* The old magic must not smuggle them in. */
	wbci_frame_seal(k.bytes, k.n, ROWS_MAGIC);
	wbci_rowset_free(&rs);
	rs = make(SPEC, true);
	tap_ok(wbci_rowset_read(&rs, k.bytes, k.n) == WBC_E_CORRUPT,
	       "P7: nor does a blob of the version before set columns");
	free(k.bytes);
	wbci_rowset_free(&rs);
}

static void test_one_row(void)
{
	struct wbci_rowset rs = make(SPEC, true), one = make(SPEC, false);
	const uint64_t delta[2] = {1, 0};
	const uint8_t column = SEEN;
	unsigned wrong = 0;
	struct kept k;

	for (unsigned char i = 0; i < 100; i++) {
		struct wbc_value value = wbc_int64(NULL, i);

		wbci_rowset_change(&rs, &i, 1, delta, &value, &column, 1);
	}
	k = blob_of(&rs);
	for (unsigned i = 0; i < 100; i++) {
		uint32_t at = rs.rows[i]->set->place.at;

		wrong += wbci_rowset_read_row(&one, k.bytes, k.n, at) != 0 ||
		         *wbci_row_key(&one, one.rows[i]) != i;
	}
	wrong += one.n_rows != 100;
	tap_is_uint(wrong, 0, "each row of a blob can be read by its place");
	wrong = 0;
	for (uint32_t at = 0; at < k.n + 16; at++)
		if (at % 8 || at >= k.n)
			wrong += wbci_rowset_read_row(&one, k.bytes, k.n, at) !=
			         WBC_E_CORRUPT;
	tap_is_uint(wrong, 0, "P7: but not where there is none");
	free(k.bytes);
	wbci_rowset_free(&rs);
	wbci_rowset_free(&one);
}

int main(void)
{
	test_random();
	test_hot_row();
	test_zero();
	test_refused();
	test_cut();
	test_old();
	test_hostile();
	test_one_row();
	return tap_done();
}
