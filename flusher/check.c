/* SPDX-License-Identifier: MIT */
/* Copyright the wbcshm authors */

#include "check.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../api/wbc_error.h"
#include "../shm/key.h"
#include "../shm/layout.h"
#include "../shm/record.h"
#include "journal.h"
#include "rowset.h"

/* What a walk has found so far. */
struct walk {
	bool report;
	const char *kind;
	uint64_t blobs;
	uint64_t inserts;
	uint64_t rows;
	char spec[WBCI_SPEC_MAX + 1]; /* of the last blob */
};

static bool record_good(const struct wbci_rowset *rs, uint64_t at,
                        uint32_t bytes)
{
	struct wbc_value values[WBC_COLUMNS_MAX];
	uint8_t columns[WBC_COLUMNS_MAX];

	return wbci_record_parse(&rs->schema, rs->inserts + at, bytes, values,
	                         columns) > 0;
}

static bool row_good(const struct wbci_rowset *rs, const struct wbci_row *row)
{
	struct wbc_value values[WBC_COLUMNS_MAX];
	unsigned char text[WBC_KEY_MAX];

	return !wbci_key_decode(&rs->schema, wbci_row_key(rs, row),
	                        row->key_len, values, text);
}

static int check_rows(const struct wbci_rowset *rs)
{
	struct record_shm record;

	for (uint64_t at = 0; at < rs->inserts_bytes; at += record.bytes) {
		memcpy(&record, rs->inserts + at, sizeof(record));
		if (!record_good(rs, at, record.bytes))
			return WBC_E_CORRUPT;
	}
	for (uint64_t i = 0; i < rs->n_rows; i++)
		if (!row_good(rs, rs->rows[i]))
			return WBC_E_CORRUPT;
	return 0;
}

/* A specification that was not seen in the blob before. */
static void report_spec(struct walk *w, const struct wbci_rowset *rs)
{
	if (!w->report || !strcmp(w->spec, rs->spec))
		return;
	printf("%s of %s\n", w->kind, rs->spec);
	snprintf(w->spec, sizeof(w->spec), "%s", rs->spec);
}

static int check_blob(void *arg, const char *table, uint64_t number,
                      uint32_t chunk, const void *blob, size_t bytes)
{
	struct walk *w = arg;
	struct wbci_rowset rs;
	struct wbci_blob b;
	int error = wbci_blob_open(&b, blob, bytes);

	if (!error)
		error = wbci_rowset_init(&rs, b.spec, b.spec_bytes, true);
	if (!error) {
		error = wbci_rowset_read(&rs, blob, bytes);
		if (!error)
			error = check_rows(&rs);
		w->blobs++;
		w->inserts += rs.n_inserts;
		w->rows += rs.n_rows;
		report_spec(w, &rs);
		wbci_rowset_free(&rs);
	}
	if (error && w->report)
		printf("damaged: %s %" PRIu64 " of table %s, chunk %u\n",
		       w->kind, number, table, chunk);
	return error;
}

static int check_table(void *arg, const char *table,
                       const struct wbci_journal_table *record)
{
	const struct walk *w = arg;

	if (w->report)
		printf("table %s: pieces applied %" PRIu64
		       ", outstanding %" PRIu64
		       "; of this segment rows applied %" PRIu64
		       ", refused %" PRIu64 "\n",
		       table, record->done, record->last - record->done,
		       record->applied, record->refused);
	return 0;
}

static int check_blobs(struct wbci_journal *j, enum wbci_blob_kind kind,
                       const char *name, bool report)
{
	struct walk w = {.report = report, .kind = name};
	int error;

	error = wbci_journal_each_blob(j, kind, NULL, 0, check_blob, &w);
	if (report)
		printf("%s: blobs %" PRIu64 ", inserts %" PRIu64
		       ", changed rows %" PRIu64 "\n",
		       name, w.blobs, w.inserts, w.rows);
	return error;
}

static int check_all(struct wbci_journal *j, bool report)
{
	struct wbci_cursors cursors = {.n_cells = 0};
	struct walk w = {.report = report};
	int error = wbci_journal_each_table(j, check_table, &w);

	if (!error)
		error = check_blobs(j, BLOB_PIECE, "piece", report);
	if (!error)
		error = check_blobs(j, BLOB_BATCH, "batch", report);
	if (!error)
		error = wbci_journal_cursors(j, &cursors);
	if (!error && report)
		printf("cursors of round %" PRIu64 ": cells %zu, lanes %zu\n",
		       wbci_journal_meta(j)->last_round, cursors.n_cells,
		       cursors.n_lanes);
	wbci_cursors_free(&cursors);
	return error;
}

/* The child's life; its result is all that the parent believes. */
static int check_here(const char *dir, bool report)
{
	struct wbci_journal *j;
	int error;

	error = wbci_journal_open(&j, dir, WBCI_JOURNAL_RDONLY, NULL);
	if (error)
		return error;
	error = check_all(j, report);
	wbci_journal_close(&j);
	if (report)
		puts(error ? "the journal is damaged" : "the journal is whole");
	fflush(stdout);
	return error;
}

/* What LMDB stumbles over must end the child by a signal, and quietly. */
static void fall_quietly(void)
{
	const struct rlimit none = {0, 0};

	setrlimit(RLIMIT_CORE, &none);
	signal(SIGSEGV, SIG_DFL);
	signal(SIGBUS, SIG_DFL);
	signal(SIGABRT, SIG_DFL);
}

enum {
	CHILD_WHOLE,
	CHILD_OTHER,
	CHILD_LAYOUT,
	CHILD_CORRUPT,
	CHILD_DENIED
};

static int child_code(int error)
{
	switch (error) {
	case 0:
		return CHILD_WHOLE;
	case WBC_E_LAYOUT:
		return CHILD_LAYOUT;
	case WBC_E_CORRUPT:
	case -EINVAL:
		return CHILD_CORRUPT;
	case -EACCES:
	case -EPERM:
		return CHILD_DENIED;
	default:
		return CHILD_OTHER;
	}
}

static int judge_child(const char *dir, int status,
                       const struct wbci_message *m)
{
	int code = WIFEXITED(status) ? WEXITSTATUS(status) : CHILD_CORRUPT;

	switch (code) {
	case CHILD_WHOLE:
		return 0;
	case CHILD_LAYOUT:
		return wbci_say(m, WBC_E_LAYOUT,
		                "journal: %s: written by another version of "
		                "wbc-flusher; finish with that one",
		                dir);
	case CHILD_CORRUPT:
		return wbci_say(m, WBC_E_CORRUPT,
		                "journal: %s: not a journal of wbc-flusher, or "
		                "damaged; restore it, or move it away and "
		                "begin with a new segment",
		                dir);
	case CHILD_DENIED:
		return wbci_say(m, -EACCES,
		                "journal: %s: Permission denied for user %u; "
		                "give it its file, or run as its owner",
		                dir, (unsigned)geteuid());
	default:
		return wbci_say(m, -EIO, "journal: %s: cannot be read", dir);
	}
}

int wbci_check_journal(const char *dir, bool report,
                       const struct wbci_message *m)
{
	char path[4096];
	int status = 0;
	int error = 0;
	pid_t pid;
	int lock;

	lock = wbci_journal_lock(dir, false, m);
	if (lock < 0)
		return lock;
	snprintf(path, sizeof(path), "%s/data.mdb", dir);
	if (access(path, F_OK) < 0) {
		error = wbci_say(m, -errno, "journal: %s: %s", path,
		                 strerror(errno));
		goto unlock;
	}
	fflush(stdout);
	pid = fork();
	if (pid == 0) {
		fall_quietly();
		_exit(child_code(check_here(dir, report)));
	}
	while (pid > 0 && waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			pid = -1;
	error = pid < 0 ? wbci_say(m, -errno,
	                           "journal: %s: cannot check it: "
	                           "%s",
	                           dir, strerror(errno))
	                : judge_child(dir, status, m);
unlock:
	close(lock);
	return error;
}
