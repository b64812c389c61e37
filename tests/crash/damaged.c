/* SPDX-License-Identifier: MIT */
/* Copyright the wbcshm authors */

/*
 * Files that are not what they should be: a segment or a journal that is
 * something else, of another version, cut off, or with a few bits flipped.
 * The flusher refuses with exit status 4 and says so, or it does its work; it
 * never crashes and never hangs.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "crash/rig.h"
#include "tap/tap.h"
#include "unit/dice.h"

#define FLIPS 80
#define ROWS 40

static const char spec[] = "counts(name text key, n counter)"
			   " on_missing=insert";
static const char log_spec[] = "log(seq int, note text)";

struct state {
	struct rig rig;
	struct wbc *c;
	struct wbc_table *t, *log;
	int64_t added;
	int64_t inserted;
};

static void open_state(struct state *s)
{
	s->c = rig_open(&s->rig);
	s->t = rig_table(s->c, spec);
	s->log = rig_table(s->c, log_spec);
}

static void begin(struct state *s)
{
	memset(s, 0, sizeof(*s));
	rig_begin(&s->rig, "damaged");
	s->rig.flush_interval = "1h";
	s->rig.tables[0] = spec;
	s->rig.tables[1] = log_spec;
	rig_sql(&s->rig, "CREATE TABLE counts(name TEXT PRIMARY KEY,"
	                 " n INTEGER); CREATE TABLE log(seq INTEGER,"
	                 " note TEXT)");
}

static void end(struct state *s)
{
	wbc_close(&s->c);
	rig_end(&s->rig);
}

/* A batch with changes and inserts. */
static void work(struct state *s)
{
	char name[32];

	for (int i = 0; i < ROWS; i++) {
		struct wbc_value key =
			wbc_text(NULL, name,
		                 (uint32_t)sprintf(name, "a-row-named-%d", i));
		struct wbc_value row[2] = {wbc_int64("seq", s->inserted),
		                           wbc_text("note", "a note", 6)};

		if (wbc_add_int64(s->t, &key, 1, 1, 1) ||
		    wbc_insert(s->log, row, 2, RIG_PATIENCE_MS))
			tap_bail("a client's work fails");
		s->added++;
		s->inserted++;
	}
	if (wbc_sync(s->c, RIG_PATIENCE_MS))
		tap_bail("sync fails");
}

static bool exact(const struct state *s)
{
	return rig_sql_int(&s->rig, "SELECT total(n) FROM counts") ==
	               s->added &&
	       rig_sql_int(&s->rig, "SELECT count(*) FROM log") ==
	               s->inserted &&
	       rig_sql_int(&s->rig, "SELECT count(DISTINCT seq) FROM log") ==
	               s->inserted;
}

static void write_file(const struct rig *r, const char *name, const void *bytes,
                       size_t n)
{
	char path[PATH_MAX];
	int fd;

	snprintf(path, sizeof(path), "%s/%s", r->dir, name);
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (fd < 0 || write(fd, bytes, n) != (ssize_t)n)
		tap_bail("%s: %s", path, strerror(errno));
	close(fd);
}

static void refused(struct state *s, int status, const char *words,
                    const char *what)
{
	int got;

	rig_log_mark(&s->rig);
	got = rig_refused(&s->rig);
	if (!tap_ok(got == status && rig_log_count(&s->rig, words, NULL),
	            "%s is refused with %d: %s", what, status,
	            rig_log_last(&s->rig, "wbc-flusher: ")))
		tap_diag("status %d, \"%s\" expected", got, words);
}

static void segments(void)
{
	static char garbage[65536];
	struct state s;

	begin(&s);
	memset(garbage, 'x', sizeof(garbage));
	write_file(&s.rig, "segment", "", 0);
	refused(&s, 4, "segment", "an empty file for a segment");
	write_file(&s.rig, "segment", "hello\n", 6);
	refused(&s, 4, "segment", "a text for a segment");
	write_file(&s.rig, "segment", garbage, sizeof(garbage));
	refused(&s, 4, "segment", "a large file for a segment");
	unlink(s.rig.segment);
	if (mkdir(s.rig.segment, 0700))
		tap_bail("%s: %s", s.rig.segment, strerror(errno));
	refused(&s, 5, "segment", "a folder for a segment");
	rmdir(s.rig.segment);
	if (mkfifo(s.rig.segment, 0600))
		tap_bail("%s: %s", s.rig.segment, strerror(errno));
	refused(&s, 5, "segment", "a pipe for a segment");
	unlink(s.rig.segment);
	open_state(&s);
	wbc_close(&s.c);
	rig_move(&s.rig, "segment", "real");
	if (symlink("real", s.rig.segment))
		tap_bail("%s: %s", s.rig.segment, strerror(errno));
	refused(&s, 5, "segment", "a link for a segment");
	unlink(s.rig.segment);
	rig_move(&s.rig, "real", "segment");
	if (truncate(s.rig.segment, 65536))
		tap_bail("%s: %s", s.rig.segment, strerror(errno));
	refused(&s, 4, "segment", "a segment that was cut off");
	unlink(s.rig.segment);
	open_state(&s);
	end(&s);
}

/* Where in a file a text begins next; -1: nowhere. */
static off_t find(int fd, off_t from, const char *text)
{
	static char bytes[1 << 20];
	ssize_t n = pread(fd, bytes, sizeof(bytes), from);
	char *at = n > 0 ? memmem(bytes, (size_t)n, text, strlen(text)) : NULL;

	return at ? from + (at - bytes) : -1;
}

/* Change the word that comes `after` bytes behind each such text. */
static void patch(const struct rig *r, const char *text, int after,
                  uint32_t word)
{
	char path[PATH_MAX + 16];
	off_t at = 0;
	unsigned n = 0;
	int fd;

	snprintf(path, sizeof(path), "%s/data.mdb", r->journal);
	fd = open(path, O_RDWR | O_CLOEXEC);
	while (fd >= 0 && (at = find(fd, at, text)) >= 0) {
		n += pwrite(fd, &word, 4, at + after) == 4;
		at += 4;
	}
	close(fd);
	if (!n)
		tap_bail("%s: no %s in it", path, text);
}

/* A journal with pieces, batches and cursors in it; its segment; and the
 * database that has the first piece. */
static void make_golden(struct state *s)
{
	begin(s);
	open_state(s);
	rig_start(&s->rig);
	work(s);
	if (rig_flush(s->c))
		tap_bail("flush fails");
	rig_sql_lock(&s->rig);
	work(s);
	wbc_flush(s->c, NULL, 50, NULL);
	work(s);
	work(s);
	rig_kill(&s->rig);
	rig_sql_unlock();
	wbc_close(&s->c);
	rig_sql(&s->rig, "PRAGMA wal_checkpoint(TRUNCATE)");
	rig_copy(&s->rig, "journal", "golden-journal");
	rig_copy(&s->rig, "segment", "golden-segment");
	rig_copy(&s->rig, "database", "golden-database");
}

static void restore(const struct rig *r)
{
	char path[PATH_MAX + 8];

	rig_copy(r, "golden-journal", "journal");
	rig_copy(r, "golden-segment", "segment");
	rig_copy(r, "golden-database", "database");
	snprintf(path, sizeof(path), "%s-wal", r->database);
	unlink(path);
	snprintf(path, sizeof(path), "%s-shm", r->database);
	unlink(path);
}

static int check_journal(const struct rig *r, char *text, size_t size)
{
	const char *const argv[] = {"wbc-flusher", "--check-journal",
	                            "--journal", r->journal, NULL};

	return rig_run(argv, text, size);
}

static void journals(struct state *s)
{
	char text[4096], data[PATH_MAX + 16];
	static char garbage[65536];

	snprintf(data, sizeof(data), "%s/data.mdb", s->rig.journal);
	tap_is_int(check_journal(&s->rig, text, sizeof(text)), 0,
	           "--check-journal finds a good one whole");
	memset(garbage, 'x', sizeof(garbage));
	write_file(&s->rig, "journal/data.mdb", garbage, sizeof(garbage));
	refused(s, 4, "journal", "something else for a journal");
	tap_is_int(check_journal(&s->rig, text, sizeof(text)), 4,
	           "--check-journal says so, too");
	write_file(&s->rig, "journal/data.mdb", "", 0);
	refused(s, 4, "journal", "an empty file for a journal");
	restore(&s->rig);
	if (truncate(data, 3 * 4096))
		tap_bail("%s: %s", data, strerror(errno));
	refused(s, 4, "journal", "a journal that was cut off");
	restore(&s->rig);
	patch(&s->rig, "META", 4, 2);
	refused(s, 4, "version", "a journal of another version");
	restore(&s->rig);
	patch(&s->rig, "META", 0, 0x41414141);
	refused(s, 4, "not a journal", "LMDB's file of another program");
	restore(&s->rig);
	unlink(data);
	refused(s, 1, "belongs to journal", "an empty folder for the journal");

	rig_move(&s->rig, "journal", "journal-away");
	write_file(&s->rig, "journal", "x", 1);
	refused(s, 1, "journal", "a file for the journal's folder");
	tap_ok(check_journal(&s->rig, text, sizeof(text)) != 0,
	       "--check-journal says so, too: %.80s", text);
	unlink(s->rig.journal);
	tap_is_int(check_journal(&s->rig, text, sizeof(text)), 3,
	           "--check-journal finds no journal: %.80s", text);
	tap_ok(access(s->rig.journal, F_OK), "and makes none");

	restore(&s->rig);
	rig_start(&s->rig);
	tap_is_int(check_journal(&s->rig, text, sizeof(text)), 1,
	           "--check-journal leaves one in use alone: %.80s", text);
	s->c = rig_open(&s->rig);
	tap_is_int(rig_flush(s->c), 0, "the right journal is used");
	tap_ok(exact(s), "P5: nothing was lost or doubled on the way");
	wbc_close(&s->c);
	rig_kill(&s->rig);
}

/* Is there more in the database than was done? */
static bool beyond(const struct state *s)
{
	return rig_sql_int(&s->rig, "SELECT total(n) FROM counts") > s->added ||
	       rig_sql_int(&s->rig, "SELECT count(*) FROM log") > s->inserted;
}

/* One flip: what came of it. */
enum outcome { REFUSED, EXACT, INEXACT, WRONG };

static enum outcome serve(struct state *s, const char *where)
{
	struct wbc_flush_result result;
	enum outcome outcome = EXACT;
	int status;

	rig_log_mark(&s->rig);
	rig_spawn(&s->rig, NULL);
	if (rig_ready(&s->rig)) {
		s->c = rig_open(&s->rig);
		if (wbc_flush(s->c, NULL, 2000, &result) || !exact(s))
			outcome = INEXACT;
		wbc_close(&s->c);
		rig_signal(&s->rig, SIGTERM);
		status = rig_wait(&s->rig);
		if (status > RIG_SIGNALLED(0))
			outcome = WRONG;
	} else {
		status = rig_wait(&s->rig);
		outcome = (status == 4 || status == 1) &&
		                          rig_log_count(&s->rig,
		                                        "journal: ", NULL)
		                  ? REFUSED
		                  : WRONG;
	}
	if (outcome == WRONG) {
		tap_diag("%s: status %d", where, status);
		rig_log_show(&s->rig);
	}
	return outcome;
}

static const char *const magics[] = {"META", "TABL", "CELL", "LANE", "ROWS"};
#define MAGICS (sizeof(magics) / sizeof(magics[0]))
#define VALUE_BYTES 32 /* that each value has at least */

/* A byte of a value of ours: the places of all are counted, one is drawn. */
static off_t choose_value_byte(int fd, struct dice *d)
{
	off_t found[256];
	uint32_t n = 0;

	for (size_t i = 0; i < MAGICS; i++)
		for (off_t at = find(fd, 0, magics[i]); at >= 0 && n < 256;
		     at = find(fd, at + 1, magics[i]))
			found[n++] = at;
	if (!n)
		tap_bail("no value in the journal");
	return found[dice_below(d, n)] + (off_t)dice_below(d, VALUE_BYTES);
}

/* Most of an LMDB file is empty: the beginning of a page, where its structure
 * is, or a byte that is not 0, more often than any. */
static off_t choose_byte(int fd, int64_t size, struct dice *d)
{
	uint32_t kind = dice_below(d, 4);
	unsigned char byte;
	off_t at;

	do {
		at = (off_t)dice_below(d, (uint32_t)size);
		if (kind < 2)
			at = at / 4096 * 4096 + at % 64;
		if (pread(fd, &byte, 1, at) != 1)
			tap_bail("the journal: %s", strerror(errno));
	} while (kind < 3 && !byte);
	return at;
}

static enum outcome flip(struct state *s, struct dice *d, bool in_value)
{
	int64_t size = rig_journal_bytes(&s->rig);
	char path[PATH_MAX + 16], where[64];
	unsigned bit = dice_below(d, 8);
	unsigned char byte;
	off_t at;
	int fd;

	snprintf(path, sizeof(path), "%s/data.mdb", s->rig.journal);
	fd = open(path, O_RDWR | O_CLOEXEC);
	at = in_value ? choose_value_byte(fd, d) : choose_byte(fd, size, d);
	if (fd < 0 || pread(fd, &byte, 1, at) != 1)
		tap_bail("%s: %s", path, strerror(errno));
	snprintf(where, sizeof(where), "byte %lld, bit %u", (long long)at, bit);
	byte ^= (unsigned char)(1u << bit);
	if (pwrite(fd, &byte, 1, at) != 1)
		tap_bail("%s: %s", path, strerror(errno));
	close(fd);
	return serve(s, where);
}

static void flip_values(struct state *s, struct dice *d)
{
	unsigned n[4] = {0, 0, 0, 0};

	for (int i = 0; i < FLIPS; i++) {
		restore(&s->rig);
		n[flip(s, d, true)]++;
	}
	tap_is_uint(n[WRONG] + n[INEXACT], 0,
	            "P7: with a bit of a value in the journal flipped, the "
	            "flusher refuses or is exact");
	tap_ok(n[REFUSED] > FLIPS / 10,
	       "P7: damage is noticed: %u of %d flips, "
	       "many of them in values that are no longer used",
	       n[REFUSED], FLIPS);
}

/*
 * Anywhere in the file: most bytes are not in use, the others are LMDB's own
 * structure, which it does not protect.  It may end the flusher there, but
 * never makes it hang, nor write what was not done.
 */
static void flip_anything(struct state *s, struct dice *d)
{
	unsigned n[4] = {0, 0, 0, 0};
	unsigned more = 0;

	for (int i = 0; i < FLIPS / 2; i++) {
		restore(&s->rig);
		n[flip(s, d, false)]++;
		more += beyond(s);
	}
	tap_diag("%u refused, %u exact, %u incomplete, %u ended inside LMDB",
	         n[REFUSED], n[EXACT], n[INEXACT], n[WRONG]);
	tap_is_uint(more, 0,
	            "P7: whatever bit of the journal is flipped, "
	            "nothing is written that was not done");
}

int main(void)
{
	struct dice d = dice_seeded();
	struct state s;

	segments();
	make_golden(&s);
	journals(&s);
	flip_values(&s, &d);
	flip_anything(&s, &d);
	end(&s);
	return tap_done();
}
