/* SPDX-License-Identifier: MIT */
/* Copyright the wbcshm authors */

/*
 * Encoded keys and records of inserted rows, as segments and journals hold
 * them.
 *
 *   0   which table
 *   1   what the rest is: two keys, each of half of it, or a record
 *
 * What decodes encodes to the same bytes; two keys stand in the order of
 * their values; what a record has becomes a record that has the same.
 */
#include <stdlib.h>
#include <string.h>

#include "fuzz.h"
#include "shm/key.h"
#include "shm/record.h"

static const char *const specs[] = {
	"t(k text key, n counter)",
	"t(k int key, n counter)",
	"t(a text key, b text key, n counter, d double counter)",
	"t(a int key, b text key, c int key, n counter)",
	"t(a text key, b int key, x text, y double, z blob, w int)",
	"t(x text, y double, z blob, w int)",
	"t(a bool key, b timestamp key, c blob key, d blob key, n counter)",
	"t(a blob key, x json, y bool, z timestamp, w text)",
};
#define N_SPECS (sizeof(specs) / sizeof(specs[0]))
static struct wbci_schema schemas[N_SPECS];

struct key {
	unsigned char *bytes;
	size_t n;
	bool good;
	struct wbc_value values[WBC_COLUMNS_MAX];
	unsigned char text[WBC_KEY_MAX];
};

static void take_key(const struct wbci_schema *s, struct key *k,
                     struct fuzz_source *from, size_t most)
{
	unsigned char again[WBC_KEY_MAX];
	int n;

	k->bytes = fuzz_take_bytes(from, most, &k->n);
	k->good = !wbci_key_decode(s, k->bytes, k->n, k->values, k->text);
	if (!k->good)
		return;
	n = wbci_key_encode(s, k->values, s->n_keys, again);
	fuzz_check(n >= 0 && (size_t)n == k->n &&
	                   !memcmp(again, k->bytes, k->n),
	           "a key of %zu bytes encodes to %d others", k->n, n);
}

static int sign(int n)
{
	return (n > 0) - (n < 0);
}

static int compare_bytes(const void *a, size_t a_bytes, const void *b,
                         size_t b_bytes)
{
	size_t n = a_bytes < b_bytes ? a_bytes : b_bytes;
	int order = n ? memcmp(a, b, n) : 0;

	return order ? sign(order) : (a_bytes > b_bytes) - (a_bytes < b_bytes);
}

static int compare_values(const struct wbc_value *a, const struct wbc_value *b)
{
	if (!wbci_type_has_bytes(a->type))
		return (a->v.i > b->v.i) - (a->v.i < b->v.i);
	return compare_bytes(a->v.p, a->bytes, b->v.p, b->bytes);
}

static void check_keys(const struct wbci_schema *s, struct fuzz_source *from)
{
	struct key a, b;
	int order = 0;

	take_key(s, &a, from, from->left / 2);
	take_key(s, &b, from, from->left);
	for (unsigned i = 0; a.good && b.good && i < s->n_keys && !order; i++)
		order = compare_values(&a.values[i], &b.values[i]);
	if (a.good && b.good)
		fuzz_check(order == compare_bytes(a.bytes, a.n, b.bytes, b.n),
		           "keys that stand in another order than their "
		           "values: %d",
		           order);
	free(a.bytes);
	free(b.bytes);
}

static bool same_value(const struct wbc_value *a, const struct wbc_value *b)
{
	if (a->type != b->type || a->name != b->name)
		return false;
	if (a->type == WBC_NULL)
		return true;
	if (!wbci_type_has_bytes(a->type))
		return !memcmp(&a->v, &b->v, sizeof(a->v));
	return a->bytes == b->bytes &&
	       (!a->bytes || !memcmp(a->v.p, b->v.p, a->bytes));
}

/* What a text or json is, by what a database asks of it. */
static void check_content(const struct wbc_value *v)
{
	const unsigned char *p = v->v.p;
	unsigned n;

	if (v->type != WBC_TEXT && v->type != WBC_JSON)
		return;
	for (size_t left = v->bytes; left; left -= n, p += n) {
		n = wbci_utf8_bytes(p, left);
		fuzz_check(n && *p, "byte %#x in a text", *p);
	}
	if (v->type == WBC_JSON)
		fuzz_check(!fuzz_json(v->v.p, v->bytes),
		           "no JSON in a json of %u bytes", v->bytes);
}

static void check_record(const struct wbci_schema *s, struct fuzz_source *from)
{
	struct wbc_value values[WBC_COLUMNS_MAX], others[WBC_COLUMNS_MAX];
	uint8_t columns[WBC_COLUMNS_MAX], places[WBC_COLUMNS_MAX];
	struct wbci_span2 to = {{NULL, NULL}, {0, 0}};
	unsigned char *record;
	int64_t size;
	size_t bytes;
	int n;

	record = fuzz_take_bytes(from, from->left, &bytes);
	n = wbci_record_parse(s, record, bytes, values, columns);
	fuzz_check(n <= s->n_columns && n != 0, "%d values", n);
	for (int i = 0; i < n; i++)
		check_content(&values[i]);
	if (n > 0) {
		size = wbci_record_size(s, values, (size_t)n, places);
		fuzz_check(size > 0 && (size_t)size <= bytes,
		           "%d values take %lld bytes", n, (long long)size);
		fuzz_check(!memcmp(columns, places, (size_t)n),
		           "values of other columns");
		/* In two spans, as at the end of a ring. */
		to.n[0] = (size_t)size / 16 * 8;
		to.n[1] = (size_t)size - to.n[0];
		to.p[0] = malloc((size_t)size);
		if (!to.p[0])
			tap_bail("no memory");
		to.p[1] = to.p[0] + to.n[0];
		wbci_record_write(&to, 3, values, columns, (size_t)n,
		                  (uint64_t)size);
		fuzz_check(wbci_record_parse(s, to.p[0], (size_t)size, others,
		                             places) == n,
		           "a record that was written is none");
		for (int i = 0; i < n; i++)
			fuzz_check(same_value(&values[i], &others[i]),
			           "value %d is another", i);
		free(to.p[0]);
	}
	free(record);
}

static void begin(void)
{
	for (unsigned i = 0; i < N_SPECS; i++)
		if (wbci_schema_parse(&schemas[i], specs[i], strlen(specs[i]),
		                      NULL))
			tap_bail("%s", specs[i]);
}

static void one(const uint8_t *data, size_t bytes)
{
	struct fuzz_source from = {data, bytes};
	const struct wbci_schema *s = &schemas[fuzz_take(&from, 1) % N_SPECS];

	if (fuzz_take(&from, 1) % 2)
		check_record(s, &from);
	else
		check_keys(s, &from);
}

/* A record with values of all kinds, now and then; or one word of one. */
static size_t mutate(struct dice *d, uint8_t *data, size_t bytes, size_t room)
{
	struct value_shm value = {0};
	struct record_shm head = {.kind = LANE_INSERT};
	static const char jsons[][9] = {"[1,null]", "{\"a\":{}}", "\"\\u00e9\"",
	                                "[[[[]]]]"};
	unsigned n = 1 + dice_below(d, 5);
	size_t at = 2 + sizeof(head);

	if (room < 2 + sizeof(head) + n * 24)
		return bytes;
	if (bytes > 2 && dice_below(d, 4) != 0) {
		at = 2 + dice_below(d, (uint32_t)bytes - 2) / 8 * 8;
		if (dice_below(d, 2) || at + 8 > bytes)
			return dice_mutate(d, data, bytes, room);
		data[at + dice_below(d, 8)] = (uint8_t)dice_below(d, 32);
		return bytes;
	}
	data[0] = (uint8_t)dice_word(d);
	data[1] = 1;
	for (unsigned i = 0; i < n; i++) {
		value.column = (uint8_t)i;
		value.type = (uint8_t)dice_below(d, 8);
		value.bytes = value.type == WBC_NULL ? 0 : 8;
		memcpy(data + at, &value, sizeof(value));
		at += sizeof(value);
		memset(data + at, 0, 8);
		data[at] = (uint8_t)dice_word(d);
		if (value.type == WBC_BOOL)
			data[at] %= 3;
		else if (value.type == WBC_JSON)
			memcpy(data + at, jsons[dice_below(d, 4)], 8);
		else if (value.type == WBC_TEXT)
			memcpy(data + at, "caf\xc3\xa9 au", 8);
		at += value.bytes;
	}
	head.bytes = (uint32_t)(at - 2);
	head.n_values = (uint16_t)n;
	memcpy(data + 2, &head, sizeof(head));
	return at;
}

const struct fuzz_target fuzz_target = {
	.name = "row",
	.promise = "keys and records that are taken encode to the same again",
	.executions = 60000,
	.begin = begin,
	.one = one,
	.mutate = mutate,
};
