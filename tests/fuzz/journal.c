/* SPDX-License-Identifier: MIT */
/* Copyright the wbcshm authors */

/*
 * Values of the journal: a whole one gets pairs of any bytes, then a flusher
 * starts with it.  Pair by pair an input says
 *
 *   how u8      1: the frame is sealed, so that what is in it is looked at;
 *               2: the key is made of a name and numbers
 *   what u8     which database, which magic
 *   key         length u8 and bytes; or name u8, number u8, chunk u8
 *   value       length u16 and bytes
 *
 * A flusher refuses it, or does its work and gives its sink no table that was
 * not configured.  A blob that reads is written as blobs that read as the
 * same rows; what becomes a dead letter is JSON.
 */
#include <errno.h>
#include <lmdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/wbcshm.h"
#include "drain.h"
#include "flusher/journal.h"
#include "flusher/letter.h"
#include "flusher/rowset.h"
#include "image.h"
#include "shm/record.h"

#define PAIRS_MAX 16u

enum { DB_META, DB_TABLES, DB_BATCHES, DB_PIECES, DB_CURSORS, DB_COUNT };
static const char *const db_names[DB_COUNT] = {"meta", "tables", "batches",
                                               "pieces", "cursors"};
static const uint32_t magics[] = {0x4154454d, 0x4c424154, 0x53574f52,
                                  0x4c4c4543, 0x454e414c, 0x53544553};
static const char *const names[] = {
	"default.words", "default.visits", "default.events", "default.items",
	"other.table",   "meta",           "default.pages"};

static struct image image;

static void put_big_endian(unsigned char *to, uint64_t n, unsigned bytes)
{
	for (unsigned i = bytes; i-- > 0; n >>= 8)
		to[i] = (unsigned char)n;
}

/* A key as the journal makes them; returns its length. */
static size_t make_key(struct fuzz_source *from, unsigned db, uint32_t magic,
                       unsigned char *key)
{
	const char *name = names[fuzz_take(from, 1) % 7];
	uint64_t number = fuzz_take(from, 1);
	uint64_t chunk = fuzz_take(from, 1);
	size_t n = strlen(name);

	if (db == DB_CURSORS) {
		put_big_endian(key, magic, 4);
		put_big_endian(key + 4, chunk, 4);
		return 8;
	}
	memcpy(key, name, n);
	if (db == DB_META || db == DB_TABLES)
		return n;
	key[n++] = '\0';
	put_big_endian(key + n, number, 8);
	put_big_endian(key + n + 8, chunk, 4);
	return n + 12;
}

static void put_pair(MDB_txn *txn, struct fuzz_source *from)
{
	unsigned how = (unsigned)fuzz_take(from, 1);
	unsigned what = (unsigned)fuzz_take(from, 1);
	unsigned db = what % DB_COUNT;
	uint32_t magic = magics[what / DB_COUNT % 6];
	unsigned char own[160];
	void *value, *given = NULL;
	MDB_val k = {0, own}, v;
	size_t bytes;
	MDB_dbi dbi;

	if (how & 2) {
		k.mv_size = make_key(from, db, magic, own);
	} else {
		given = fuzz_take_bytes(from, fuzz_take(from, 1), &k.mv_size);
		k.mv_data = given;
	}
	value = fuzz_take_bytes(from, fuzz_take(from, 2), &bytes);
	if ((how & 1) && bytes >= sizeof(struct wbci_frame))
		wbci_frame_seal(value, bytes, magic);
	v = (MDB_val){bytes, value};
	/* LMDB refuses keys that are empty or too long. */
	if (mdb_dbi_open(txn, db_names[db], 0, &dbi) ||
	    mdb_put(txn, dbi, &k, &v, 0) > 0)
		tap_bail("a pair");
	free(value);
	free(given);
}

static void spoil(const char *dir, const uint8_t *data, size_t bytes)
{
	struct fuzz_source from = {data, bytes};
	char path[PATH_MAX + 16];
	MDB_env *env;
	MDB_txn *txn;

	snprintf(path, sizeof(path), "%s/data.mdb", dir);
	if (mdb_env_create(&env) || mdb_env_set_maxdbs(env, DB_COUNT) ||
	    mdb_env_set_mapsize(env, 1 << 24) ||
	    mdb_env_open(env, path, MDB_NOSUBDIR | MDB_NOLOCK, 0600) ||
	    mdb_txn_begin(env, NULL, 0, &txn))
		tap_bail("%s", path);
	for (unsigned i = 0; i < PAIRS_MAX && from.left; i++)
		put_pair(txn, &from);
	if (mdb_txn_commit(txn))
		tap_bail("%s: commit", path);
	mdb_env_close(env);
}

static int read_again(void *arg, uint32_t chunk, const void *blob, size_t bytes)
{
	(void)chunk;
	fuzz_check(!wbci_rowset_read(arg, blob, bytes),
	           "a blob that was written does not read");
	return 0;
}

static void check_json(char *text, const char *what)
{
	const char *bad;

	if (!text)
		tap_bail("no memory");
	bad = fuzz_json(text, strlen(text));
	fuzz_check(!bad, "%s: no JSON at \"%.20s\"", what, bad);
	free(text);
}

/* Dead letters of all rows. */
static void check_letters(const struct wbci_rowset *rs)
{
	struct wbc_value values[WBC_COLUMNS_MAX];
	uint8_t columns[WBC_COLUMNS_MAX];
	struct record_shm record;
	int n;

	for (uint64_t i = 0; i < rs->n_rows; i++)
		check_json(wbci_letter_change(rs, rs->rows[i]), "a change");
	for (uint64_t at = 0; at < rs->inserts_bytes; at += record.bytes) {
		memcpy(&record, rs->inserts + at, sizeof(record));
		n = wbci_record_parse(&rs->schema, rs->inserts + at,
		                      record.bytes, values, columns);
		if (n > 0)
			check_json(wbci_letter_json(values, (unsigned)n),
			           "an inserted row");
	}
}

static int check_blob(void *arg, const char *table, uint64_t number,
                      uint32_t chunk, const void *blob, size_t bytes)
{
	struct wbci_rowset a, b;
	struct wbci_slice all;
	struct wbci_blob open;

	(void)arg;
	(void)table;
	(void)number;
	(void)chunk;
	if (wbci_blob_open(&open, blob, bytes) ||
	    wbci_rowset_init(&a, open.spec, open.spec_bytes, false))
		return 0;
	if (!wbci_rowset_read(&a, blob, bytes)) {
		if (wbci_rowset_init(&b, a.spec, a.spec_bytes, false))
			tap_bail("no memory");
		all = wbci_rowset_all(&a);
		if (wbci_rowset_write(&a, &all, 1, read_again, &b))
			tap_bail("no memory");
		fuzz_check(a.sets_bytes == b.sets_bytes,
		           "a blob reads as rows that set something else");
		fuzz_check(a.n_rows == b.n_rows && a.n_inserts == b.n_inserts &&
		                   a.inserts_bytes == b.inserts_bytes &&
		                   !(a.inserts_bytes &&
		                     memcmp(a.inserts, b.inserts,
		                            a.inserts_bytes)),
		           "a blob reads as other rows");
		check_letters(&a);
		wbci_rowset_sort(&a);
		wbci_rowset_sort(&b);
		fuzz_check(a.n_rows == b.n_rows, "rows that were nothing");
		wbci_rowset_free(&b);
	}
	wbci_rowset_free(&a);
	return 0;
}

static int see_table(void *arg, const char *table,
                     const struct wbci_journal_table *record)
{
	(void)arg;
	fuzz_check(record->done <= record->last && *table, "table %s", table);
	return 0;
}

static void read_all(const char *dir)
{
	struct wbci_cursors cursors = {.n_cells = 0};
	char text[256] = "";
	struct wbci_message m = {text, sizeof(text)};
	struct wbci_journal *j;
	int error = wbci_journal_open(&j, dir, WBCI_JOURNAL_RDONLY, &m);

	fuzz_check(!error || error == WBC_E_CORRUPT || error == WBC_E_LAYOUT,
	           "opening fails by %d: %s", error, text);
	fuzz_check(!error || *text, "opening fails without a word");
	if (error)
		return;
	wbci_journal_each_table(j, see_table, NULL);
	wbci_journal_each_blob(j, BLOB_BATCH, NULL, 0, check_blob, NULL);
	wbci_journal_each_blob(j, BLOB_PIECE, NULL, 0, check_blob, NULL);
	wbci_journal_cursors(j, &cursors);
	wbci_cursors_free(&cursors);
	wbci_journal_close(&j);
}

static void begin(void)
{
	image_make(&image);
	drain_begin(image.dir);
}

static void one(const uint8_t *data, size_t bytes)
{
	const char *dir = drain_journal();

	spoil(dir, data, bytes);
	read_all(dir);
	drain(image.path, true);
	image_restore(&image);
}

/* A pair that is nearly right. */
static size_t add_blob(struct dice *d, uint8_t *p)
{
	static const char *const specs[] = {
		"words(word text key, n counter)",
		"events(seq int, note text, weight double, raw blob)",
		"words(word text key, m counter, n counter)"};
	const char *spec = specs[dice_below(d, 3)];
	uint32_t spec_bytes = (uint32_t)strlen(spec);
	uint32_t padded = (spec_bytes + 7) / 8 * 8;
	uint32_t rows = dice_below(d, 3), cells = 1 + (spec == specs[2]);
	uint32_t inserts = spec == specs[1] ? 1 + dice_below(d, 2) : 0;
	const struct value_shm value = {0, WBC_INT64, 0, 8};
	const struct record_shm record = {24, LANE_INSERT, 2, 1};
	uint8_t *head = p + 7, *at;
	uint64_t bytes;

	rows = inserts ? 0 : rows;
	p[0] = 3;
	p[1] = (uint8_t)(DB_BATCHES + dice_below(d, 2) + 2 * DB_COUNT);
	p[2] = (uint8_t)dice_below(d, 3);
	p[3] = (uint8_t)(1 + dice_below(d, 7));
	p[4] = (uint8_t)dice_below(d, 2);
	memset(head, 0, 48);
	memcpy(head + 16, &spec_bytes, 4);
	memcpy(head + 20, &inserts, 4);
	memcpy(head + 24, &rows, 4);
	cells = spec == specs[1] ? 0 : cells;
	memcpy(head + 28, &cells, 4);
	bytes = inserts * 24;
	memcpy(head + 32, &bytes, 8);
	bytes = rows * (8 + cells * 8 + 8);
	memcpy(head + 40, &bytes, 8);
	at = head + 48;
	memset(at, 0, padded);
	memcpy(at, spec, spec_bytes);
	at += padded;
	for (uint32_t i = 0; i < inserts; i++, at += 24) {
		memset(at, 0, 24);
		memcpy(at, &record, 8);
		memcpy(at + 8, &value, 8);
	}
	for (uint32_t i = 0; i < rows; i++) {
		memset(at, 0, 16 + cells * 8);
		at[0] = (uint8_t)(1 + i);
		at[8] = (uint8_t)dice_word(d);
		at[8 + cells * 8] = 'k';
		at += 16 + cells * 8;
	}
	p[5] = (uint8_t)(at - head);
	p[6] = (uint8_t)((at - head) >> 8);
	return (size_t)(at - p);
}

/* A blob of rows that set columns, each with a value or two. */
static size_t add_sets(struct dice *d, uint8_t *p)
{
	static const char spec[] =
		"pages(word text key, n counter, seen int, note text)";
	enum { PADDED = (sizeof(spec) - 1 + 7) / 8 * 8 };
	uint32_t head[12] = {0, 0, 0, 0, sizeof(spec) - 1, 0, 0, 1};
	uint32_t rows = 1 + dice_below(d, 3);
	uint8_t *blob = p + 7, *at = blob + 48 + PADDED;

	p[0] = 3;
	p[1] = (uint8_t)(DB_BATCHES + dice_below(d, 2) + 5 * DB_COUNT);
	p[2] = 6;
	p[3] = (uint8_t)(1 + dice_below(d, 7));
	p[4] = (uint8_t)dice_below(d, 2);
	for (uint32_t i = 0; i < rows; i++) {
		uint32_t n = dice_below(d, 3);
		const uint32_t row[2] = {1 | n << 16, n * 16};

		memset(at, 0, 24 + 32);
		memcpy(at, row, 8);
		at[8] = (uint8_t)dice_word(d);
		at[16] = (uint8_t)('a' + dice_below(d, 2));
		at += 24;
		for (uint32_t k = 0; k < n; k++, at += 16) {
			struct value_shm value = {(uint8_t)(2 + k), 0, 0, 8};

			value.type = k ? WBC_TEXT : WBC_INT64;
			memcpy(at, &value, 8);
			at[8] = (uint8_t)dice_word(d);
		}
	}
	head[6] = rows;
	head[10] = (uint32_t)(at - blob) - 48 - PADDED;
	memcpy(blob, head, 48);
	memset(blob + 48, 0, PADDED);
	memcpy(blob + 48, spec, sizeof(spec) - 1);
	p[5] = (uint8_t)(at - blob);
	p[6] = (uint8_t)((at - blob) >> 8);
	return (size_t)(at - p);
}

static size_t add_record(struct dice *d, uint8_t *p)
{
	static const uint8_t whats[] = {DB_TABLES + DB_COUNT, DB_META,
	                                DB_CURSORS + 3 * DB_COUNT,
	                                DB_CURSORS + 4 * DB_COUNT};
	static const uint8_t sizes[] = {56, 72, 16 + 2 * 32, 16 + 2 * 16};
	unsigned kind = dice_below(d, 4);

	p[0] = 3;
	p[1] = whats[kind];
	p[2] = kind == 1 ? 5 : (uint8_t)dice_below(d, 5);
	p[3] = p[4] = 0;
	p[5] = sizes[kind];
	p[6] = 0;
	memset(p + 7, 0, sizes[kind]);
	for (unsigned n = dice_below(d, 4); n; n--)
		p[7 + 16 + dice_below(d, (uint32_t)sizes[kind] - 16)] =
			(uint8_t)dice_word(d);
	return 7u + sizes[kind];
}

static size_t mutate(struct dice *d, uint8_t *data, size_t bytes, size_t room)
{
	if (bytes + 512 > room || dice_below(d, 3) == 0)
		return dice_mutate(d, data, bytes, room);
	if (dice_below(d, 3) == 0 || bytes < 8)
		bytes = 0;
	if (bytes && dice_below(d, 2)) {
		uint8_t *at = data + dice_below(d, (uint32_t)bytes);

		*at = dice_below(d, 2) ? (uint8_t)dice_word(d) : 0xff;
		return bytes;
	}
	if (dice_below(d, 3) == 0)
		return bytes + add_sets(d, data + bytes);
	return bytes + (dice_below(d, 2) ? add_blob(d, data + bytes)
	                                 : add_record(d, data + bytes));
}

const struct fuzz_target fuzz_target = {
	.name = "journal",
	.promise = "a journal with any values in it is refused, or served "
		   "without a table that was not configured",
	.executions = 800,
	.begin = begin,
	.one = one,
	.mutate = mutate,
};
