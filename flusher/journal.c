/* SPDX-License-Identifier: MIT */
/* Copyright the wbcshm authors */

#include "journal.h"

#include <assert.h>
#include <errno.h>
#include <limits.h>
#include <lmdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../api/wbc_error.h"
#include "points.h"

#define META_MAGIC 0x4154454du  /* bytes "META" */
#define TABLE_MAGIC 0x4c424154u /* bytes "TABL" */
#define CELLS_MAGIC 0x4c4c4543u /* bytes "CELL" */
#define LANES_MAGIC 0x454e414cu /* bytes "LANE" */
#define MAP_FIRST (UINT64_C(64) << 20)
#define CURSOR_BYTES (1u << 20)

static_assert(sizeof(struct wbci_journal_meta) == 72, "meta changed");
static_assert(sizeof(struct wbci_journal_table) == 64, "tables changed");
static_assert(sizeof(struct wbci_cell_cursor) == 32, "cursors changed");
static_assert(sizeof(struct wbci_lane_cursor) == 16, "cursors changed");

enum { DB_META, DB_TABLES, DB_BATCHES, DB_PIECES, DB_CURSORS, DB_COUNT };
static const char *const db_names[DB_COUNT] = {"meta", "tables", "batches",
                                               "pieces", "cursors"};

struct wbci_journal {
	char path[PATH_MAX];
	MDB_env *env;
	MDB_txn *txn; /* of the update in progress */
	MDB_dbi dbi[DB_COUNT];
	size_t map_bytes;
	struct wbci_journal_meta meta;
	bool rdonly;
	bool full; /* the map has to grow for this update */
	bool doubt;
	void *scratch; /* for values that are not aligned */
	size_t scratch_room;
};

/* A key of blobs: the table's name and NUL, then both numbers, big endian. */
struct blob_key {
	size_t bytes;
	unsigned char text[WBCI_TABLE_NAME + 12];
};

/* LMDB's errors as ours. */
static int lmdb_error(struct wbci_journal *j, int rc)
{
	switch (rc) {
	case 0:
		return 0;
	case MDB_NOTFOUND:
		return -ENOENT;
	case MDB_MAP_FULL:
		j->full = true;
		return -EAGAIN;
	case MDB_VERSION_MISMATCH:
		return WBC_E_LAYOUT;
	case MDB_INVALID:
	case MDB_CORRUPTED:
	case MDB_PAGE_NOTFOUND:
	case MDB_INCOMPATIBLE:
		return WBC_E_CORRUPT;
	default:
		return rc > 0 ? -rc : -EIO;
	}
}

static const char *error_text(int error)
{
	return error < -4095 ? wbc_strerror(error) : strerror(-error);
}

static int open_dbis(struct wbci_journal *j, bool create)
{
	MDB_txn *txn;
	int rc;

	rc = mdb_txn_begin(j->env, NULL, j->rdonly ? MDB_RDONLY : 0, &txn);
	if (rc)
		return lmdb_error(j, rc);
	for (int i = 0; i < DB_COUNT && !rc; i++)
		rc = mdb_dbi_open(txn, db_names[i], create ? MDB_CREATE : 0,
		                  &j->dbi[i]);
	if (rc) {
		mdb_txn_abort(txn);
		return rc == MDB_NOTFOUND ? WBC_E_CORRUPT : lmdb_error(j, rc);
	}
	return lmdb_error(j, mdb_txn_commit(txn));
}

/* Map a file that is larger than we mapped last time, too. */
static int choose_map(struct wbci_journal *j, const char *path)
{
	struct stat st;

	if (!j->map_bytes)
		j->map_bytes = MAP_FIRST;
	if (!stat(path, &st))
		while (j->map_bytes < (uint64_t)st.st_size)
			j->map_bytes *= 2;
	return lmdb_error(j, mdb_env_set_mapsize(j->env, j->map_bytes));
}

static int open_env(struct wbci_journal *j, const char *path, bool create)
{
	unsigned flags = MDB_NOSUBDIR | MDB_NOLOCK | MDB_NOTLS |
	                 (j->rdonly ? MDB_RDONLY : 0);
	int error = lmdb_error(j, mdb_env_create(&j->env));

	if (error)
		return error;
	error = lmdb_error(j, mdb_env_set_maxdbs(j->env, DB_COUNT));
	if (!error)
		error = choose_map(j, path);
	if (!error)
		error = lmdb_error(j, mdb_env_open(j->env, path, flags, 0600));
	if (!error)
		error = open_dbis(j, create);
	if (error) {
		mdb_env_close(j->env);
		j->env = NULL;
	}
	return error;
}

static int load_meta(struct wbci_journal *j)
{
	MDB_val key = {4, (void *)(uintptr_t) "meta"};
	MDB_val value;
	MDB_txn *txn;
	int error;

	error = lmdb_error(j, mdb_txn_begin(j->env, NULL, MDB_RDONLY, &txn));
	if (error)
		return error;
	error = lmdb_error(j, mdb_get(txn, j->dbi[DB_META], &key, &value));
	if (!error && value.mv_size >= sizeof(struct wbci_frame)) {
		struct wbci_frame frame;

		memcpy(&frame, value.mv_data, sizeof(frame));
		if (frame.magic == META_MAGIC &&
		    frame.version != WBCI_JOURNAL_VERSION)
			error = WBC_E_LAYOUT;
	}
	if (!error &&
	    (value.mv_size != sizeof(j->meta) ||
	     !wbci_frame_good(value.mv_data, value.mv_size, META_MAGIC)))
		error = WBC_E_CORRUPT;
	if (!error)
		memcpy(&j->meta, value.mv_data, sizeof(j->meta));
	mdb_txn_abort(txn);
	return error == -ENOENT ? WBC_E_CORRUPT : error;
}

static int fill_first_meta(struct wbci_journal *j, void *arg)
{
	return wbci_journal_put_meta(j, arg);
}

/* A new journal under a passing name, whole before it gets its own. */
static int make_journal(struct wbci_journal *j, const char *dir,
                        const struct wbci_message *m)
{
	struct wbci_journal_meta meta = {.last_round = 0};
	char path[PATH_MAX + 8];
	int error;

	snprintf(path, sizeof(path), "%s/new.mdb", dir);
	unlink(path);
	/* The first byte is never 0: 0 in the segment is "not adopted". */
	while (!meta.journal_id[0])
		if (getrandom(meta.journal_id, 16, 0) != 16)
			return wbci_say(m, -EIO,
			                "journal: %s: no random "
			                "numbers",
			                dir);
	error = open_env(j, path, true);
	if (!error)
		error = wbci_journal_update(j, fill_first_meta, &meta, NULL);
	if (j->env)
		mdb_env_close(j->env);
	j->env = NULL;
	wbci_point(POINT_JOURNAL_MADE);
	if (!error && rename(path, j->path) < 0)
		error = -errno;
	if (!error)
		error = wbci_journal_sync(dir);
	wbci_point(POINT_JOURNAL_NAMED);
	if (error)
		return wbci_say(m, error, "journal: %s: cannot make it: %s",
		                dir, error_text(error));
	return 0;
}

static bool is_empty(const char *path)
{
	struct stat st;

	return !stat(path, &st) && st.st_size == 0;
}

static int open_journal(struct wbci_journal *j, const char *dir, unsigned flags,
                        const struct wbci_message *m)
{
	int error;

	if (access(j->path, F_OK) < 0) {
		if (errno != ENOENT || !(flags & WBCI_JOURNAL_CREATE))
			return wbci_say(m, -errno, "journal: %s: %s", j->path,
			                strerror(errno));
		error = make_journal(j, dir, m);
		if (error)
			return error;
	}
	/* LMDB would make an empty file a new environment. */
	error = is_empty(j->path) ? WBC_E_CORRUPT : open_env(j, j->path, false);
	if (!error)
		error = load_meta(j);
	if (error == WBC_E_LAYOUT)
		return wbci_say(m, error,
		                "journal: %s: written by another "
		                "version of wbc-flusher; finish "
		                "with that one",
		                dir);
	if (error == WBC_E_CORRUPT)
		return wbci_say(m, error,
		                "journal: %s: not a journal of "
		                "wbc-flusher, or damaged",
		                j->path);
	if (error)
		return wbci_say(m, error, "journal: %s: cannot open: %s",
		                j->path, error_text(error));
	return 0;
}

int wbci_journal_open(struct wbci_journal **journal, const char *dir,
                      unsigned flags, const struct wbci_message *m)
{
	struct wbci_journal *j = calloc(1, sizeof(*j));
	int error;

	if (!j)
		return wbci_say(m, -ENOMEM, "journal: %s: no memory", dir);
	j->rdonly = flags & WBCI_JOURNAL_RDONLY;
	if (snprintf(j->path, sizeof(j->path), "%s/data.mdb", dir) >=
	    (int)sizeof(j->path))
		error = wbci_say(m, -ENAMETOOLONG,
		                 "journal: its path is too long: %s", dir);
	else
		error = open_journal(j, dir, flags, m);
	if (error) {
		wbci_journal_close(&j);
		return error;
	}
	*journal = j;
	return 0;
}

void wbci_journal_close(struct wbci_journal **journal)
{
	struct wbci_journal *j = *journal;

	*journal = NULL;
	if (!j)
		return;
	if (j->env)
		mdb_env_close(j->env);
	free(j->scratch);
	free(j);
}

const struct wbci_journal_meta *wbci_journal_meta(const struct wbci_journal *j)
{
	return &j->meta;
}

static int try_update(struct wbci_journal *j, wbci_journal_fill_fn *fill,
                      void *arg)
{
	struct wbci_journal_meta before = j->meta;
	MDB_txn *txn;
	int error;
	int rc;

	j->full = false;
	error = lmdb_error(j, mdb_txn_begin(j->env, NULL, 0, &j->txn));
	if (error)
		return error;
	error = fill(j, arg);
	txn = j->txn;
	j->txn = NULL;
	if (error) {
		mdb_txn_abort(txn);
		j->meta = before;
		return error;
	}
	rc = mdb_txn_commit(txn);
	if (!rc)
		return 0;
	j->meta = before;
	error = lmdb_error(j, rc);
	j->doubt = !j->full;
	return error;
}

int wbci_journal_update(struct wbci_journal *j, wbci_journal_fill_fn *fill,
                        void *arg, const struct wbci_message *m)
{
	int error = -EIO;

	if (j->doubt)
		return wbci_say(m, -EIO, "journal: %s: a commit has failed",
		                j->path);
	do {
		error = try_update(j, fill, arg);
		if (!j->full)
			break;
		j->map_bytes *= 2;
		error = lmdb_error(j,
		                   mdb_env_set_mapsize(j->env, j->map_bytes));
	} while (!error);
	if (error)
		return wbci_say(m, error, "journal: %s: cannot commit: %s",
		                j->path, error_text(error));
	return 0;
}

bool wbci_journal_in_doubt(const struct wbci_journal *j)
{
	return j->doubt;
}

static int fill_commits(struct wbci_journal *j, void *arg)
{
	struct wbci_journal_meta meta = j->meta;

	(void)arg;
	meta.commits++;
	return wbci_journal_put_meta(j, &meta);
}

int wbci_journal_recover(struct wbci_journal *j, const struct wbci_message *m)
{
	int error;

	if (j->env)
		mdb_env_close(j->env);
	j->env = NULL;
	error = open_env(j, j->path, false);
	if (!error)
		error = load_meta(j);
	if (error)
		return wbci_say(m, error,
		                "journal: %s: cannot open it again: "
		                "%s",
		                j->path, error_text(error));
	j->doubt = false;
	error = wbci_journal_update(j, fill_commits, NULL, m);
	j->doubt = error != 0;
	return error;
}

int wbci_journal_put_meta(struct wbci_journal *j,
                          const struct wbci_journal_meta *meta)
{
	MDB_val key = {4, (void *)(uintptr_t) "meta"};
	MDB_val value = {sizeof(j->meta), &j->meta};

	j->meta = *meta;
	wbci_frame_seal(&j->meta, sizeof(j->meta), META_MAGIC);
	return lmdb_error(j, mdb_put(j->txn, j->dbi[DB_META], &key, &value, 0));
}

int wbci_journal_put_table(struct wbci_journal *j, const char *table,
                           const struct wbci_journal_table *record)
{
	struct wbci_journal_table sealed = *record;
	MDB_val key = {strlen(table), (void *)(uintptr_t)table};
	MDB_val value = {sizeof(sealed), &sealed};

	wbci_frame_seal(&sealed, sizeof(sealed), TABLE_MAGIC);
	return lmdb_error(j,
	                  mdb_put(j->txn, j->dbi[DB_TABLES], &key, &value, 0));
}

static void put_big_endian(unsigned char *to, uint64_t n, unsigned bytes)
{
	for (unsigned i = bytes; i-- > 0; n >>= 8)
		to[i] = (unsigned char)n;
}

static uint64_t get_big_endian(const unsigned char *from, unsigned bytes)
{
	uint64_t n = 0;

	for (unsigned i = 0; i < bytes; i++)
		n = n << 8 | from[i];
	return n;
}

/* The key of a blob, or what the keys of all its chunks begin with. */
static void make_key(struct blob_key *k, const char *table, uint64_t number)
{
	size_t n = strnlen(table, WBCI_TABLE_NAME - 1);

	memcpy(k->text, table, n);
	k->text[n] = '\0';
	put_big_endian(k->text + n + 1, number, 8);
	k->bytes = n + 1 + (number ? 8 : 0);
}

int wbci_journal_put_blob(struct wbci_journal *j, enum wbci_blob_kind kind,
                          const char *table, uint64_t number, uint32_t chunk,
                          const void *blob, size_t bytes)
{
	MDB_dbi dbi = j->dbi[kind == BLOB_BATCH ? DB_BATCHES : DB_PIECES];
	MDB_val value = {bytes, (void *)(uintptr_t)blob};
	struct blob_key k;
	MDB_val key;

	make_key(&k, table, number);
	put_big_endian(k.text + k.bytes, chunk, 4);
	key = (MDB_val){k.bytes + 4, k.text};
	return lmdb_error(j, mdb_put(j->txn, dbi, &key, &value, 0));
}

/* One chunk of cursors, framed: elements of one size. */
static int put_cursor_chunk(struct wbci_journal *j, uint32_t magic,
                            uint32_t chunk, const void *elements, size_t bytes)
{
	unsigned char name[8];
	MDB_val key = {sizeof(name), name};
	MDB_val value = {sizeof(struct wbci_frame) + bytes, NULL};
	unsigned char *framed = malloc(value.mv_size);
	int error;

	if (!framed)
		return -ENOMEM;
	memcpy(framed + sizeof(struct wbci_frame), elements, bytes);
	wbci_frame_seal(framed, value.mv_size, magic);
	value.mv_data = framed;
	put_big_endian(name, magic, 4);
	put_big_endian(name + 4, chunk, 4);
	error = lmdb_error(
		j, mdb_put(j->txn, j->dbi[DB_CURSORS], &key, &value, 0));
	free(framed);
	return error;
}

static int put_cursor_kind(struct wbci_journal *j, uint32_t magic,
                           const void *elements, size_t bytes)
{
	const unsigned char *p = elements;
	uint32_t chunk = 0;
	size_t part;
	int error = 0;

	for (; bytes && !error; bytes -= part, p += part) {
		part = bytes < CURSOR_BYTES ? bytes : CURSOR_BYTES;
		error = put_cursor_chunk(j, magic, chunk++, p, part);
	}
	return error;
}

int wbci_journal_put_cursors(struct wbci_journal *j,
                             const struct wbci_cursors *c)
{
	int error = lmdb_error(j, mdb_drop(j->txn, j->dbi[DB_CURSORS], 0));

	if (!error)
		error = put_cursor_kind(j, CELLS_MAGIC, c->cells,
		                        c->n_cells * sizeof(*c->cells));
	if (!error)
		error = put_cursor_kind(j, LANES_MAGIC, c->lanes,
		                        c->n_lanes * sizeof(*c->lanes));
	return error;
}

int wbci_journal_delete(struct wbci_journal *j, enum wbci_blob_kind kind,
                        const char *table, uint64_t number)
{
	MDB_dbi dbi = j->dbi[kind == BLOB_BATCH ? DB_BATCHES : DB_PIECES];
	struct blob_key k;
	MDB_cursor *cursor;
	MDB_val key, value;
	int error;

	make_key(&k, table, number);
	error = lmdb_error(j, mdb_cursor_open(j->txn, dbi, &cursor));
	if (error)
		return error;
	for (;;) {
		key = (MDB_val){k.bytes, k.text};
		error = lmdb_error(
			j, mdb_cursor_get(cursor, &key, &value, MDB_SET_RANGE));
		if (error || key.mv_size != k.bytes + 4 ||
		    memcmp(key.mv_data, k.text, k.bytes) != 0)
			break;
		error = lmdb_error(j, mdb_cursor_del(cursor, 0));
		if (error)
			break;
	}
	mdb_cursor_close(cursor);
	return error == -ENOENT ? 0 : error;
}

/* The value's bytes at an address that is a multiple of 8. */
static const void *align_value(struct wbci_journal *j, const MDB_val *value)
{
	static const uint64_t nothing;
	void *larger;

	if (!value->mv_size)
		return &nothing;
	if ((uintptr_t)value->mv_data % 8 == 0)
		return value->mv_data;
	if (j->scratch_room < value->mv_size) {
		larger = realloc(j->scratch, value->mv_size);
		if (!larger)
			return NULL;
		j->scratch = larger;
		j->scratch_room = value->mv_size;
	}
	memcpy(j->scratch, value->mv_data, value->mv_size);
	return j->scratch;
}

/* What a walk does with one key and value. */
typedef int pair_fn(struct wbci_journal *j, void *arg, const unsigned char *key,
                    size_t key_bytes, const void *value, size_t bytes);

/* Walk all whose keys begin with a prefix, in order. */
static int walk(struct wbci_journal *j, int db, const unsigned char *prefix,
                size_t prefix_bytes, pair_fn *pair, void *arg)
{
	MDB_txn *txn = j->txn;
	MDB_val key = {prefix_bytes, (void *)(uintptr_t)prefix};
	MDB_cursor_op op = prefix_bytes ? MDB_SET_RANGE : MDB_FIRST;
	MDB_cursor *cursor;
	MDB_val value;
	const void *bytes;
	int error = 0;

	if (!txn)
		error = lmdb_error(
			j, mdb_txn_begin(j->env, NULL, MDB_RDONLY, &txn));
	if (error)
		return error;
	error = lmdb_error(j, mdb_cursor_open(txn, j->dbi[db], &cursor));
	if (error)
		goto end;
	for (;; op = MDB_NEXT) {
		error = lmdb_error(j, mdb_cursor_get(cursor, &key, &value, op));
		if (error || key.mv_size < prefix_bytes ||
		    (prefix_bytes &&
		     memcmp(key.mv_data, prefix, prefix_bytes) != 0))
			break;
		bytes = align_value(j, &value);
		error = bytes ? pair(j, arg, key.mv_data, key.mv_size, bytes,
		                     value.mv_size)
		              : -ENOMEM;
		if (error)
			break;
	}
	mdb_cursor_close(cursor);
	error = error == -ENOENT ? 0 : error;
end:
	if (!j->txn)
		mdb_txn_abort(txn);
	return error;
}

/* A table's name from the front of a key; false if it is none. */
static bool get_name(char *name, const unsigned char *key, size_t bytes)
{
	if (!bytes || bytes >= WBCI_TABLE_NAME)
		return false;
	memcpy(name, key, bytes);
	name[bytes] = '\0';
	return strlen(name) == bytes &&
	       strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZ_."
	                    "abcdefghijklmnopqrstuvwxyz0123456789") == bytes;
}

struct blob_walk {
	wbci_journal_blob_fn *visit;
	void *arg;
};

static int visit_blob(struct wbci_journal *j, void *arg,
                      const unsigned char *key, size_t key_bytes,
                      const void *value, size_t bytes)
{
	const struct blob_walk *w = arg;
	char table[WBCI_TABLE_NAME];
	size_t name = key_bytes - 13;
	uint64_t number;

	(void)j;
	if (key_bytes < 14 || key[name] || !get_name(table, key, name))
		return WBC_E_CORRUPT;
	number = get_big_endian(key + name + 1, 8);
	if (!number)
		return WBC_E_CORRUPT;
	return w->visit(w->arg, table, number,
	                (uint32_t)get_big_endian(key + name + 9, 4), value,
	                bytes);
}

int wbci_journal_each_blob(struct wbci_journal *j, enum wbci_blob_kind kind,
                           const char *table, uint64_t number,
                           wbci_journal_blob_fn *visit, void *arg)
{
	struct blob_walk w = {visit, arg};
	struct blob_key k = {.bytes = 0};

	if (table)
		make_key(&k, table, number);
	return walk(j, kind == BLOB_BATCH ? DB_BATCHES : DB_PIECES, k.text,
	            k.bytes, visit_blob, &w);
}

struct table_walk {
	wbci_journal_table_fn *visit;
	void *arg;
};

static int visit_table(struct wbci_journal *j, void *arg,
                       const unsigned char *key, size_t key_bytes,
                       const void *value, size_t bytes)
{
	const struct table_walk *w = arg;
	struct wbci_journal_table record;
	char table[WBCI_TABLE_NAME];

	(void)j;
	if (!get_name(table, key, key_bytes) || bytes != sizeof(record) ||
	    !wbci_frame_good(value, bytes, TABLE_MAGIC))
		return WBC_E_CORRUPT;
	memcpy(&record, value, sizeof(record));
	if (record.done > record.last)
		return WBC_E_CORRUPT;
	return w->visit(w->arg, table, &record);
}

int wbci_journal_each_table(struct wbci_journal *j,
                            wbci_journal_table_fn *visit, void *arg)
{
	struct table_walk w = {visit, arg};

	return walk(j, DB_TABLES, NULL, 0, visit_table, &w);
}

static int visit_cursors(struct wbci_journal *j, void *arg,
                         const unsigned char *key, size_t key_bytes,
                         const void *value, size_t bytes)
{
	const unsigned char *p =
		(const unsigned char *)value + sizeof(struct wbci_frame);
	struct wbci_cursors *c = arg;
	struct wbci_cell_cursor cell;
	struct wbci_lane_cursor lane;
	uint32_t magic;
	size_t left;
	int error = 0;

	(void)j;
	magic = key_bytes == 8 ? (uint32_t)get_big_endian(key, 4) : 0;
	if ((magic != CELLS_MAGIC && magic != LANES_MAGIC) ||
	    !wbci_frame_good(value, bytes, magic))
		return WBC_E_CORRUPT;
	left = bytes - sizeof(struct wbci_frame);
	if (left % (magic == CELLS_MAGIC ? sizeof(cell) : sizeof(lane)))
		return WBC_E_CORRUPT;
	while (left && !error && magic == CELLS_MAGIC) {
		memcpy(&cell, p, sizeof(cell));
		p += sizeof(cell);
		left -= sizeof(cell);
		if (cell.cell > WBCI_CURSOR_ROW)
			return WBC_E_CORRUPT;
		error = wbci_cursors_cell(
			c, (struct wbci_ref){cell.offset, cell.incarnation},
			(unsigned)cell.cell, cell.total);
	}
	while (left && !error && magic == LANES_MAGIC) {
		memcpy(&lane, p, sizeof(lane));
		p += sizeof(lane);
		left -= sizeof(lane);
		if (lane.slot > WBCI_THREADS_MAX)
			return WBC_E_CORRUPT;
		error = wbci_cursors_lane(c, (uint32_t)lane.slot,
		                          lane.position);
	}
	return error;
}

int wbci_journal_cursors(struct wbci_journal *j, struct wbci_cursors *cursors)
{
	return walk(j, DB_CURSORS, NULL, 0, visit_cursors, cursors);
}
