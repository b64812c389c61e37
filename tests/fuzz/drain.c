/* SPDX-License-Identifier: MIT */
/* Copyright the wbcshm authors */

#include "drain.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include <urcu/urcu-memb.h>

#include "api/wbcshm.h"
#include "flusher/log.h"
#include "flusher/state.h"
#include "fuzz.h"
#include "image.h"
#include "shm/key.h"
#include "shm/record.h"

#define ROUNDS 2
#define STEPS 64
#define UPKEEPS 24

/* All but one of the segment's tables, so that there is one to keep out. */
static const char *const configured[] = {
	"words(word text key, n counter) on_missing=insert",
	("visits(host text key, day int key, hits counter, bytes counter,"
         " seconds double counter)"),
	"events(seq int, note text, weight double, raw blob)",
	"pages(word text key, n counter, seen int, note text)",
};
#define N_CONFIGURED (sizeof(configured) / sizeof(configured[0]))

static char journal_dir[PATH_MAX];
static int journal_fd;
static void *golden; /* the journal as it is at the beginning */
static size_t golden_bytes;
static struct wbci_schema schemas[N_CONFIGURED];

/* A sink that has every row, and looks at what it is given. */
static int sink_open(struct wbci_sink **sink, const char *where)
{
	(void)where;
	*sink = malloc(1);
	return *sink ? 0 : -ENOMEM;
}

static void sink_close(struct wbci_sink **sink)
{
	free(*sink);
	*sink = NULL;
}

static enum wbci_outcome sink_check(struct wbci_sink *sink,
                                    struct wbci_work *work)
{
	(void)sink;
	(void)work;
	return OUTCOME_DONE;
}

static bool is_configured(const struct wbci_work *work)
{
	for (unsigned i = 0; i < N_CONFIGURED; i++)
		if (wbci_schema_same(&schemas[i], &work->rows.schema)) {
			char name[WBCI_TABLE_NAME];

			wbci_queue_name(&schemas[i], name);
			return !strcmp(name, work->table);
		}
	return false;
}

static enum wbci_outcome sink_apply(struct wbci_sink *sink,
                                    struct wbci_work *work)
{
	uint64_t n = work->rows.n_rows * work->rows.schema.n_cells;

	(void)sink;
	fuzz_check(is_configured(work), "table %s reaches the sink",
	           work->table);
	work->answers = calloc(n ? n : 1, sizeof(*work->answers));
	if (!work->answers)
		return OUTCOME_AWAY;
	for (uint64_t i = 0; i < n; i++)
		work->answers[i] =
			(struct wbci_answer){(enum wbci_value_state)(i % 3), i};
	work->applied = work->rows.n_rows;
	return OUTCOME_DONE;
}

static const struct wbci_sink_ops looking_sink = {
	"looking", sink_open, sink_close, sink_check, sink_apply, NULL};

/* A batch and a piece of one table, and their table's record. */
static int put_chunk(void *arg, uint32_t chunk, const void *blob, size_t bytes)
{
	int error = wbci_journal_put_blob(arg, BLOB_BATCH, "default.words", 2,
	                                  chunk, blob, bytes);

	return error ? error
	             : wbci_journal_put_blob(arg, BLOB_PIECE, "default.words",
	                                     5, chunk, blob, bytes);
}

static int fill_blobs(struct wbci_journal *j)
{
	static const char spec[] = "words(word text key, n counter)";
	struct wbci_journal_table record = {.done = 4, .last = 5};
	const uint64_t delta = 7;
	struct wbci_slice all;
	struct wbci_rowset rs;
	int error = wbci_rowset_init(&rs, spec, strlen(spec), false);

	for (unsigned i = 0; i < 3 && !error; i++)
		error = wbci_rowset_add(&rs, (const unsigned char *)"abc", i,
		                        &delta);
	all = wbci_rowset_all(&rs);
	if (!error)
		error = wbci_rowset_write(&rs, &all, 5, put_chunk, j);
	wbci_rowset_free(&rs);
	return error ? error
	             : wbci_journal_put_table(j, "default.words", &record);
}

static int fill_golden(struct wbci_journal *j, void *arg)
{
	struct wbci_journal_meta meta = *wbci_journal_meta(j);
	struct wbci_cursors c = {.n_cells = 0};
	int error = 0;

	(void)arg;
	meta.last_round = 3;
	/* Of the first pages, whatever stands there. */
	for (uint64_t i = 0; i < 40 && !error; i++)
		error = wbci_cursors_cell(
			&c,
			(struct wbci_ref){WBCI_EXTENT_BYTES +
		                                  i * 2 * WBCI_BLOCK_MIN,
		                          1 + i % 2},
			(unsigned)i % 3, i);
	for (uint32_t i = 0; i < 8 && !error; i++)
		error = wbci_cursors_lane(&c, i, i * 8);
	if (!error)
		error = wbci_journal_put_meta(j, &meta);
	if (!error)
		error = wbci_journal_put_cursors(j, &c);
	wbci_cursors_free(&c);
	return error ? error : fill_blobs(j);
}

/* A new journal, read into memory; then the file is memory's own. */
static void make_golden(void)
{
	char path[PATH_MAX + 16], self[64];
	struct wbci_journal *j;
	struct stat st;
	int fd;

	if (wbci_journal_open(&j, journal_dir, WBCI_JOURNAL_CREATE, NULL) ||
	    wbci_journal_update(j, fill_golden, NULL, NULL))
		tap_bail("%s: no journal", journal_dir);
	wbci_journal_close(&j);
	snprintf(path, sizeof(path), "%s/data.mdb", journal_dir);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st))
		tap_bail("%s: %s", path, strerror(errno));
	golden_bytes = (size_t)st.st_size;
	golden = malloc(golden_bytes);
	if (!golden || read(fd, golden, golden_bytes) != (ssize_t)golden_bytes)
		tap_bail("%s: cannot read it", path);
	close(fd);
	journal_fd = memfd_create("journal", MFD_CLOEXEC);
	snprintf(self, sizeof(self), "/proc/self/fd/%d", journal_fd);
	if (journal_fd < 0 || unlink(path) || symlink(self, path))
		tap_bail("%s: %s", path, strerror(errno));
}

void drain_begin(const char *dir)
{
	wbci_log_fd = -1;
	urcu_memb_register_thread();
	snprintf(journal_dir, sizeof(journal_dir), "%s/journal", dir);
	if (mkdir(journal_dir, 0700))
		tap_bail("%s: %s", journal_dir, strerror(errno));
	for (unsigned i = 0; i < N_CONFIGURED; i++)
		if (wbci_schema_parse(&schemas[i], configured[i],
		                      strlen(configured[i]), NULL))
			tap_bail("%s", configured[i]);
	make_golden();
}

const char *drain_journal(void)
{
	if (ftruncate(journal_fd, 0) || pwrite(journal_fd, golden, golden_bytes,
	                                       0) != (ssize_t)golden_bytes)
		tap_bail("the journal: %s", strerror(errno));
	return journal_dir;
}

/* A blob reads back as rows of the table under whose name it stands. */
static int check_blob(void *arg, const char *table, uint64_t number,
                      uint32_t chunk, const void *blob, size_t bytes)
{
	struct wbc_value values[WBC_COLUMNS_MAX];
	unsigned char text[WBC_KEY_MAX];
	uint8_t columns[WBC_COLUMNS_MAX];
	char name[WBCI_TABLE_NAME];
	struct record_shm record;
	struct wbci_rowset rs;
	struct wbci_blob b;

	(void)chunk;
	fuzz_check(number > 0 && number < UINT64_MAX / 2,
	           "a batch of round %llu", (unsigned long long)number);
	fuzz_check(!wbci_blob_open(&b, blob, bytes) &&
	                   !wbci_rowset_init(&rs, b.spec, b.spec_bytes, true) &&
	                   !wbci_rowset_read(&rs, blob, bytes),
	           "a blob of table %s does not read back", table);
	wbci_queue_name(&rs.schema, name);
	fuzz_check(!strcmp(name, table), "%s stands under %s", name, table);
	for (uint64_t at = 0; at < rs.inserts_bytes; at += record.bytes) {
		memcpy(&record, rs.inserts + at, sizeof(record));
		fuzz_check(wbci_record_parse(&rs.schema, rs.inserts + at,
		                             record.bytes, values, columns) > 0,
		           "a record of %s is none", table);
	}
	for (uint64_t i = 0; i < rs.n_rows; i++)
		fuzz_check(!wbci_key_decode(&rs.schema,
		                            wbci_row_key(&rs, rs.rows[i]),
		                            rs.rows[i]->key_len, values, text),
		           "a key of %s is none", table);
	wbci_rowset_free(&rs);
	(void)arg;
	return 0;
}

static void check_journal(struct wbci_flusher *f)
{
	struct wbci_cursors c = {.n_cells = 0};

	fuzz_check(!wbci_journal_each_blob(f->journal, BLOB_BATCH, NULL, 0,
	                                   check_blob, NULL) &&
	                   !wbci_journal_each_blob(f->journal, BLOB_PIECE, NULL,
	                                           0, check_blob, NULL) &&
	                   !wbci_journal_cursors(f->journal, &c),
	           "the journal does not read back");
	fuzz_check(
		wbci_journal_meta(f->journal)->last_round < UINT64_MAX / 2,
		"the journal's last round is %llu",
		(unsigned long long)wbci_journal_meta(f->journal)->last_round);
	wbci_cursors_free(&c);
}

static void wait_answer(struct wbci_flusher *f)
{
	while (!wbci_connections_answered(&f->connections))
		poll(NULL, 0, 0);
}

/* Everything that is journaled goes to the sink, and back. */
static void settle(struct wbci_flusher *f, bool spoilt)
{
	for (unsigned i = 0; i < f->queues.n; i++)
		f->queues.queue[i]->flush_to = f->synced;
	for (unsigned i = 0; i < STEPS && !f->reload; i++) {
		wbci_dispatch(f);
		if (!wbci_dispatch_busy(f))
			break;
		wait_answer(f);
		wbci_settle(f);
	}
	wbci_publish(f);
	fuzz_check(spoilt || !wbci_dispatch_busy(f),
	           "the sink's work does not end");
	fuzz_check(spoilt || !f->reload,
	           "what is in memory parts from the journal");
}

static void one_round(struct wbci_flusher *f, bool spoilt)
{
	uint64_t before = wbci_journal_meta(f->journal)->last_round;
	int error = wbci_collect(f);

	if (error == WBC_E_CORRUPT && f->fatal == WBC_E_CORRUPT)
		return; /* overwritten with zeros */
	fuzz_check(!error && !f->fatal, "a round fails by %d", error);
	fuzz_check(spoilt || f->synced > before, "round %llu comes after %llu",
	           (unsigned long long)f->synced, (unsigned long long)before);
	if (!spoilt)
		check_journal(f);
	settle(f, spoilt);
}

/* Reaping, sweeping, removal and pruning, in a time that passes quickly. */
static void keep_up(struct wbci_flusher *f, const struct wbci_config *c)
{
	int64_t step = (int64_t)c->idle_ms * 1000000 / WBCI_PAST + 1;

	for (int64_t i = 1; i <= UPKEEPS; i++)
		wbci_upkeep(f, i * step);
}

/* To the sink that looks, instead of a database. */
static bool connect_sink(struct wbci_flusher *f)
{
	struct wbci_connection *c =
		wbci_connection_find(&f->connections, "default");

	return c && !wbci_connection_want(c, &looking_sink, "");
}

static void serve(struct wbci_flusher *f, const struct wbci_config *c,
                  bool spoilt)
{
	const struct wbci_segment *s = &f->client->segment;
	struct wbci_thread *t;
	char text[256] = "";
	struct wbci_message m = {text, sizeof(text)};
	unsigned in_section;
	int error;

	wbci_reap(s, &in_section);
	if (wbci_thread(f->client, &t))
		return;
	/* As wbci_adopt() does. */
	order_add(&s->control->generation, 1);
	if (!connect_sink(f) ||
	    wbci_queues_configure(&f->queues, &f->connections, c))
		tap_bail("the flusher does not begin");
	error = wbci_load(f, &m);
	fuzz_check(!error || spoilt, "the journal is refused: %s", text);
	fuzz_check(!error || *text, "loading fails without a word");
	if (error)
		return;
	f->lane_buffer = malloc(s->geo.lane_bytes);
	if (!f->lane_buffer || wbci_rounds_init(&f->rounds, f->client) ||
	    wbci_connections_step(&f->connections, &f->queues, f->client))
		tap_bail("the flusher does not begin");
	if (wbci_upkeep_begin(f))
		tap_bail("no memory");
	for (unsigned i = 0; i < ROUNDS && !f->reload && !f->fatal; i++)
		one_round(f, spoilt);
	keep_up(f, c);
	wbci_reap(s, &in_section);
}

void drain(const char *segment, bool spoilt)
{
	const struct wbci_flusher_config said = {
		.segment = segment,
		.journal = journal_dir,
		.sqlite = "none",
		.tables = configured,
		.n_tables = N_CONFIGURED,
	};
	struct wbci_flusher *f = calloc(1, sizeof(*f));
	struct wbci_config *c;

	if (!f || wbci_config_new(&c, &said, NULL))
		tap_bail("no memory");
	/* No slot, or closed: there is nothing to drain. */
	if (!wbci_client_open(&f->client, segment, true, NULL)) {
		wbci_config_publish(&f->config, c);
		if (!wbci_journal_open(&f->journal,
		                       spoilt ? journal_dir : drain_journal(),
		                       0, NULL))
			serve(f, c, spoilt);
		else
			fuzz_check(spoilt, "the journal does not open");
		wbci_upkeep_end(f);
		wbci_connections_free(&f->connections);
		wbci_rounds_free(&f->rounds);
		free(f->lane_buffer);
		wbci_unapplied_free(&f->unapplied);
		wbci_cursors_free(&f->cursors);
		wbci_queues_free(&f->queues);
		wbci_journal_close(&f->journal);
		wbci_client_close(&f->client);
		wbci_config_publish(&f->config, NULL);
	} else {
		wbci_config_free(&c);
	}
	free(f);
}
