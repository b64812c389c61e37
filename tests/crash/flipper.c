/* SPDX-License-Identifier: MIT */
/* Copyright the wbcshm authors */

/*
 * Somebody writes where he likes: clients work, a flusher drains, and bits of
 * the segment are flipped under both, all over it; or its file is cut short,
 * and made long again.
 *
 * The flusher is ended by no signal and hangs in nothing; its journal stays
 * whole; the database gets nothing for a table that it was not told of; and a
 * new flusher on a new segment goes on with the same journal, exactly.
 * Clients end, whatever they are told: what they share is spoilt.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "crash/rig.h"
#include "shm/segment.h"
#include "tap/tap.h"
#include "unit/dice.h"

#define CLIENTS 2
#define SESSIONS 5
#define FLIPS 500
#define AFTER 1000

static const char words_spec[] = "words(word text key, n counter)"
				 " on_missing=insert";
static const char events_spec[] = "events(seq int, note text)";
/* The flusher is not told of this one. */
static const char canary_spec[] = "canary(id int key, n counter)";

static const char tables_sql[] =
	"CREATE TABLE words(word TEXT PRIMARY KEY, n INTEGER);"
	"CREATE TABLE events(seq INTEGER, note TEXT);"
	"CREATE TABLE canary(id INTEGER PRIMARY KEY, n INTEGER);"
	"INSERT INTO canary VALUES(1, 0), (2, 0);"
	"CREATE TABLE touched(what TEXT);"
	"CREATE TRIGGER t1 BEFORE INSERT ON canary BEGIN"
	" INSERT INTO touched VALUES('insert'); END;"
	"CREATE TRIGGER t2 BEFORE UPDATE ON canary BEGIN"
	" INSERT INTO touched VALUES('update'); END;"
	"CREATE TRIGGER t3 BEFORE DELETE ON canary BEGIN"
	" INSERT INTO touched VALUES('delete'); END;";

struct site {
	struct rig rig;
	struct dice dice;
	struct wbci_segment s;
	pid_t pid[CLIENTS];
	int stop;
	int progress;
	unsigned sessions;
	uint64_t flips;
	unsigned crashed; /* clients that a signal has ended: all ... */
	unsigned cut;     /* ... and those whose file was cut under them */
};

/* Calls that return, whatever; a client's life is short. */
static void work(const struct rig *r, unsigned me, int stop, int progress)
{
	struct pollfd fd = {.fd = stop, .events = POLLIN};
	struct wbc_options o = WBC_OPTIONS_INIT;
	struct wbc_table *words = NULL, *events = NULL, *canary = NULL;
	struct wbc *c;
	int64_t value;
	char name[16];

	if (wbc_open(&c, r->address, &o))
		_exit(0);
	wbc_table_declare(c, words_spec, &words, NULL, 0);
	wbc_table_declare(c, events_spec, &events, NULL, 0);
	wbc_table_declare(c, canary_spec, &canary, NULL, 0);
	for (unsigned n = 0; poll(&fd, 1, 0) == 0; n++) {
		struct wbc_value key = wbc_text(
			NULL, name,
			(uint32_t)sprintf(name, "w%u-%u", me, n % 300));
		struct wbc_value id = wbc_int64(NULL, n % 3);
		struct wbc_value row[2] = {wbc_int64("seq", n),
		                           wbc_text("note", "text", 4)};

		if (words)
			wbc_add_int64(words, &key, 1, 1, 1);
		if (words && n % 7 == 0)
			wbc_read_int64(words, &key, 1, 1, &value);
		if (events && n % 3 == 0)
			wbc_insert(events, row, 2, 1);
		if (canary)
			wbc_add_int64(canary, &id, 1, 1, 1);
		if (n % 500 == 0)
			wbc_sync(c, 1);
		if (n % 100 == 0 && write(progress, "", 1) < 0 &&
		    errno != EAGAIN)
			break;
	}
	wbc_close(&c);
	_exit(0);
}

static void begin_clients(struct site *x)
{
	pid_t parent = getpid();
	int stop[2], progress[2];

	if (pipe2(stop, O_CLOEXEC) || pipe2(progress, O_CLOEXEC | O_NONBLOCK))
		tap_bail("pipes: %s", strerror(errno));
	for (unsigned i = 0; i < CLIENTS; i++) {
		x->pid[i] = fork();
		if (x->pid[i] < 0)
			tap_bail("fork: %s", strerror(errno));
		if (x->pid[i] == 0) {
			prctl(PR_SET_PDEATHSIG, SIGKILL);
			if (getppid() != parent)
				_exit(1);
			close(stop[1]);
			work(&x->rig, i, stop[0], progress[1]);
		}
	}
	close(stop[0]);
	close(progress[1]);
	x->stop = stop[1];
	x->progress = progress[0];
}

/* All of them end; a client that does not is killed, and counted. */
static unsigned end_clients(struct site *x)
{
	unsigned hanging = 0;
	int status;

	close(x->stop);
	close(x->progress);
	for (unsigned i = 0; i < CLIENTS; i++) {
		int fd = (int)syscall(SYS_pidfd_open, x->pid[i], 0u);
		struct pollfd end = {.fd = fd, .events = POLLIN};

		if (poll(&end, 1, RIG_PATIENCE_MS) != 1) {
			hanging++;
			kill(x->pid[i], SIGKILL);
		}
		close(fd);
		waitpid(x->pid[i], &status, 0);
		if (!WIFSIGNALED(status))
			continue;
		x->crashed++;
		x->cut += WTERMSIG(status) == SIGBUS;
	}
	return hanging;
}

/* Wait until clients have done something, or until the flusher ended. */
static bool go_on(struct site *x)
{
	struct pollfd fds[2] = {
		{.fd = x->progress, .events = POLLIN},
		{.fd = (int)syscall(SYS_pidfd_open, x->rig.pid, 0u),
	         .events = POLLIN}};
	char bytes[64];

	/* Spoilt clients may make no progress: then time passes. */
	poll(fds, 2, 20);
	while (read(x->progress, bytes, sizeof(bytes)) > 0)
		;
	close(fds[1].fd);
	return !(fds[1].revents & POLLIN);
}

/* A place in the segment: regions that are small are met as often. */
static uint64_t choose_place(struct site *x)
{
	const struct header_shm *h = &x->s.geo;
	uint64_t extents = wbci_committed(&x->s);
	const struct {
		uint64_t at, bytes;
	} regions[] = {
		{WBCI_SYS_PAGE, sizeof(struct control_shm)},
		{WBCI_SYS_PAGE, sizeof(struct control_shm)},
		{h->procs_off, 8 * sizeof(struct proc_shm)},
		{h->threads_off, 8 * sizeof(struct thread_shm)},
		{h->threads_off, 8 * sizeof(struct thread_shm)},
		{h->tables_off, 4 * sizeof(struct table_shm)},
		{h->summary_off, 8},
		{h->words_off, 32 * 8},
		{h->root_off, UINT64_C(8) << h->root_bits},
		{h->metas_off, 8 * sizeof(struct meta_shm)},
		{h->lanes_off, 4 * (uint64_t)h->lane_bytes},
		{h->extents_off, 8 * WBCI_PAGE_BYTES},
		{h->extents_off, extents ? extents * WBCI_EXTENT_BYTES : 8},
		{0, h->metas_off},
	};
	unsigned n = sizeof(regions) / sizeof(regions[0]);
	unsigned i = dice_below(&x->dice, n);

	return regions[i].at + dice_word(&x->dice) % (regions[i].bytes / 8) * 8;
}

static void flip(struct site *x)
{
	uint64_t at = choose_place(x);
	order_u64 *word = wbci_at(&x->s, at);
	uint64_t bit = UINT64_C(1) << dice_below(&x->dice, 64);

	if (dice_below(&x->dice, 8) == 0)
		order_store(word, dice_word(&x->dice));
	else
		order_store(word, order_load(word) ^ bit);
	x->flips++;
}

static void begin_session(struct site *x)
{
	struct wbc *c = rig_open(&x->rig);

	rig_table(c, words_spec);
	wbc_close(&c);
	if (wbci_segment_open(&x->s, x->rig.segment, true, NULL))
		tap_bail("the segment does not open");
	rig_log_mark(&x->rig);
	rig_start(&x->rig);
	begin_clients(x);
	x->sessions++;
}

static bool canary_lives(const struct rig *r)
{
	return rig_sql_int(r, "SELECT count(*) FROM touched") == 0 &&
	       rig_sql_int(r, "SELECT count(*) FROM canary WHERE n=0") == 2 &&
	       rig_sql_int(r, "SELECT count(*) FROM sqlite_master WHERE"
	                      " type='table' AND name NOT IN('words','events',"
	                      "'canary','touched','wbc_ledger',"
	                      "'wbc_dead_letters')") == 0;
}

static int check_journal(const struct rig *r)
{
	const char *argv[] = {"wbc-flusher", "--check-journal", "--journal",
	                      r->journal, NULL};
	char text[4096];
	int status = rig_run(argv, text, sizeof(text));

	if (status)
		tap_diag("%s", text);
	return status;
}

static int check_segment(const struct rig *r)
{
	const char *argv[] = {"wbc-shmdump", "check", "-s", r->segment, NULL};
	static char text[1 << 20];

	return rig_run(argv, text, sizeof(text));
}

/* A new segment, the same journal: what is counted now is exact. */
static bool goes_on(struct site *x)
{
	struct rig *r = &x->rig;
	struct wbc_table *words, *events;
	struct wbc_value key, row[2];
	char name[32], sql[128];
	struct wbc *c;
	int error = 0;
	bool good;

	unlink(r->segment);
	c = rig_open(r);
	words = rig_table(c, words_spec);
	events = rig_table(c, events_spec);
	rig_start(r);
	key = wbc_text(NULL, name,
	               (uint32_t)sprintf(name, "after%u", x->sessions));
	row[0] = wbc_int64("seq", 1000000 + x->sessions);
	row[1] = wbc_text("note", "after", 5);
	for (int i = 0; i < AFTER && !error; i++) {
		error = wbc_add_int64(words, &key, 1, 1, 1);
		if (!error)
			error = wbc_insert(events, row, 2, RIG_PATIENCE_MS);
	}
	if (error || rig_flush(c) == -ETIMEDOUT)
		return false;
	snprintf(sql, sizeof(sql), "SELECT total(n) FROM words WHERE word='%s'",
	         name);
	good = rig_sql_int(r, sql) == AFTER;
	snprintf(sql, sizeof(sql), "SELECT count(*) FROM events WHERE seq=%u",
	         1000000 + x->sessions);
	good &= rig_sql_int(r, sql) == AFTER;
	good &= rig_stop(r) == 0;
	wbc_close(&c);
	unlink(r->segment);
	return good;
}

static bool ended_well(int status)
{
	return status == 0 || status == 1 || status == 4;
}

static void end_session(struct site *x, int status)
{
	struct rig *r = &x->rig;
	unsigned hanging = end_clients(x);
	bool good;

	tap_ok(ended_well(status), "P7: the flusher ends by its status: %d",
	       status);
	tap_is_uint(hanging, 0, "P7: no client hangs");
	good = tap_is_int(check_journal(r), 0, "P7: the journal is whole");
	status = check_segment(r);
	tap_ok(status == 0 || status == 4,
	       "P7: the audit says what the segment is: %d", status);
	wbci_segment_close(&x->s);
	tap_ok(good && goes_on(x), "a new segment goes on, and is exact");
	good = canary_lives(r);
	tap_ok(good,
	       "P7: nothing is done to a table that the flusher was not told "
	       "of");
	if (tap_failed())
		rig_log_show(r);
}

static void flip_bits(struct site *x)
{
	bool runs = true;

	begin_session(x);
	for (unsigned i = 0; i < FLIPS && runs; i++) {
		flip(x);
		if (i % 4 == 0)
			runs = go_on(x);
	}
	end_session(x, runs ? rig_stop(&x->rig) : rig_wait(&x->rig));
}

/* Cut the file to so many bytes; @restore: and at once make it long again. */
static void cut(struct site *x, uint64_t bytes, bool restore)
{
	bool runs = true;
	int status, fd;

	begin_session(x);
	fd = open(x->rig.segment, O_RDWR | O_CLOEXEC);
	for (unsigned i = 0; i < 5; i++)
		go_on(x);
	if (fd < 0 || ftruncate(fd, (off_t)bytes) ||
	    (restore && ftruncate(fd, (off_t)x->s.size)))
		tap_bail("truncate: %s", strerror(errno));
	for (unsigned i = 0; i < 50 && runs; i++)
		runs = go_on(x);
	/* Whoever looks at a file that is cut would be ended, too. */
	if (ftruncate(fd, (off_t)x->s.size))
		tap_bail("truncate: %s", strerror(errno));
	close(fd);
	status = runs ? rig_stop(&x->rig) : rig_wait(&x->rig);
	if (bytes <= WBCI_SYS_PAGE)
		tap_ok(status == 4 &&
		               rig_log_count(&x->rig, "event=segment-truncated",
		                             NULL),
		       "P7: a segment that is cut short under the flusher ends "
		       "it with 4 and words: %s",
		       rig_log_last(&x->rig, "event=segment-truncated"));
	end_session(x, status);
}

static void cut_all(struct site *x)
{
	struct wbci_segment s;
	struct wbc *c = rig_open(&x->rig);

	wbc_close(&c);
	if (wbci_segment_open(&s, x->rig.segment, false, NULL))
		tap_bail("the segment does not open");
	cut(x, 0, false);
	cut(x, WBCI_SYS_PAGE, false);
	cut(x, WBCI_SYS_PAGE, true);
	cut(x, s.geo.metas_off, false);
	cut(x, s.geo.extents_off, true);
	wbci_segment_close(&s);
	unlink(x->rig.segment);
}

int main(void)
{
	const char *soak = getenv("WBC_SOAK_SECONDS");
	int64_t end = rig_now_ms() + (soak ? atoll(soak) * 1000 : 0);
	struct site x = {.dice = dice_seeded()};
	unsigned long long seed = x.dice.state;
	unsigned corrupt;

	rig_begin(&x.rig, "flipper");
	x.rig.tables[0] = words_spec;
	x.rig.tables[1] = events_spec;
	rig_sql(&x.rig, tables_sql);
	do
		for (unsigned i = 0; i < SESSIONS; i++)
			flip_bits(&x);
	while (rig_now_ms() < end);
	x.rig.log_mark = 0;
	corrupt = rig_log_count(&x.rig, "event=corrupt", NULL);
	tap_ok(corrupt > 0, "the log says what was found: %u lines", corrupt);
	cut_all(&x);
	tap_diag(
		"flipper: %u sessions, %llu flips, seed %llu; clients ended by "
		"a signal: %u, of them %u since the file was cut",
		x.sessions, (unsigned long long)x.flips, seed, x.crashed,
		x.cut);
	tap_ok(x.sessions && x.flips,
	       "P7: %u sessions of a flusher under %llu flips", x.sessions,
	       (unsigned long long)x.flips);
	rig_end(&x.rig);
	return tap_done();
}
