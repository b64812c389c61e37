/* SPDX-License-Identifier: MIT */
/* Copyright the wbcshm authors */

#include "crew.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tap/tap.h"

#define PAUSE_MS 1 /* between bursts, so that no lane is always full */
#define ITEM_ADDS 3
#define LOAD_WAIT_MS 20 /* a flusher may be dead while they read */

static const char words_spec[] =
	"words(word text key, n counter) on_missing=insert";
static const char visits_spec[] =
	"visits(host text key, day int key, hits counter, bytes counter,"
	" seconds double counter) on_missing=insert";
static const char events_spec[] = "events(client int, seq int, note text)";
static const char items_spec[] =
	"items(client int key, seq int key, n counter, label text)";

/* No unique key where rows are inserted: one that comes twice is to be seen,
 * not refused. */
static const char tables_sql[] =
	"CREATE TABLE words(word TEXT PRIMARY KEY, n INTEGER NOT NULL);"
	"CREATE TABLE visits(host TEXT, day INTEGER, hits INTEGER,"
	" bytes INTEGER, seconds REAL, PRIMARY KEY(host, day));"
	"CREATE TABLE events(id INTEGER PRIMARY KEY, client INTEGER,"
	" seq INTEGER, note TEXT);"
	"CREATE TABLE items(client INTEGER, seq INTEGER, n INTEGER,"
	" label TEXT);"
	"CREATE INDEX items_by_key ON items(client, seq);";

/* One client's handles. */
struct member {
	unsigned me;
	struct crew_tally *tally;
	struct wbc *c;
	struct wbc_table *words, *visits, *events, *items;
	struct wbc_counter *counter[CREW_WORDS];
	uint64_t burst;
};

void crew_tables(struct rig *r)
{
	r->tables[0] = words_spec;
	r->tables[1] = visits_spec;
	r->tables[2] = events_spec;
	r->tables[3] = items_spec;
	rig_sql(r, tables_sql);
}

static void host_name(char *name, size_t size, unsigned host)
{
	snprintf(name, size, "host-%u.of-a-rather-long-name.example.org", host);
}

static void word_name(char *name, size_t size, unsigned word)
{
	snprintf(name, size, "word%u", word);
}

/* Half of them through a handle, half by key. */
static int add_word(struct member *m, unsigned word, int64_t delta)
{
	struct wbc_value key;
	char name[16];
	int error;

	word_name(name, sizeof(name), word);
	key = wbc_text(NULL, name, (uint32_t)strlen(name));
	error = word % 2 ? wbc_counter_add(m->counter[word], delta)
	                 : wbc_add_int64(m->words, &key, 1, 1, delta);
	if (!error)
		m->tally->words[word] += delta;
	return error;
}

static int add_visit(struct member *m, unsigned host, unsigned day)
{
	struct wbc_value key[2];
	int64_t bytes = (int64_t)(m->burst % 977) - 200;
	char name[64];
	int error;

	host_name(name, sizeof(name), host);
	key[0] = wbc_int64("day", day);
	key[1] = wbc_text("host", name, (uint32_t)strlen(name));
	error = wbc_add_int64(m->visits, key, 2, 2, 1);
	if (error)
		return error;
	m->tally->hits[host][day]++;
	error = wbc_add_int64(m->visits, key, 2, 3, bytes);
	if (error)
		return error;
	m->tally->bytes[host][day] += bytes;
	/* Quarters, so that sums are exact in any order. */
	error = wbc_add_double(m->visits, key, 2, 4, (double)bytes * 0.25);
	if (!error)
		m->tally->seconds[host][day] += (double)bytes * 0.25;
	return error;
}

static int insert_event(struct member *m)
{
	struct wbc_value row[3] = {
		wbc_int64("seq", m->tally->events),
		wbc_int64("client", m->me),
		wbc_text("note", "what happened", 13),
	};
	int error = wbc_insert(m->events, row, 3, RIG_PATIENCE_MS);

	if (!error)
		m->tally->events++;
	return error;
}

static int insert_item(struct member *m)
{
	int64_t seq = m->tally->items;
	struct wbc_value row[3] = {
		wbc_int64("client", m->me),
		wbc_int64("seq", seq),
		wbc_int64("n", 0),
	};
	int error = wbc_insert(m->items, row, 3, RIG_PATIENCE_MS);

	for (int i = 0; i < ITEM_ADDS && !error; i++)
		error = wbc_add_int64(m->items, row, 2, 2, 1);
	if (!error)
		m->tally->items++;
	return error;
}

/*
 * One of our own items, and one that nobody has.  What cannot be read in time,
 * or is not written yet, is no number; any other number is wrong.
 */
static int read_items(struct member *m)
{
	struct crew_tally *tally = m->tally;
	struct wbc_value row[2] = {wbc_int64("client", m->me),
	                           wbc_int64("seq", 0)};
	int64_t value = ITEM_ADDS;
	int error = 0;

	if (tally->items)
		row[1].v.i = (int64_t)m->burst * 7919 % tally->items;
	for (int i = 0; i < 2; i++) {
		error = wbc_read_int64(m->items, row, 2, 2, &value);
		if (i ? !error : !error && value != ITEM_ADDS)
			tally->wrong++;
		row[1].v.i = -1 - (int64_t)m->burst;
	}
	return error == WBC_E_NOROW || error == WBC_E_NOFLUSHER ||
	                       error == -ETIMEDOUT || error == WBC_E_PARKED
	               ? 0
	               : error;
}

static int burst(struct member *m)
{
	int error = 0;

	for (unsigned i = 0; i < 4 * CREW_WORDS && !error; i++)
		error = add_word(m, i % CREW_WORDS, 1 + i % 3);
	for (unsigned i = 0; i < CREW_HOSTS * CREW_DAYS && !error; i++)
		error = add_visit(m, i % CREW_HOSTS, i / CREW_HOSTS);
	for (unsigned i = 0; i < 2 && !error; i++)
		error = insert_event(m);
	if (!error && m->burst % 4 == 0)
		error = insert_item(m);
	if (!error && m->burst % 4 == 2)
		error = read_items(m);
	m->burst++;
	return error;
}

static int open_counters(struct member *m)
{
	int error = 0;

	for (unsigned i = 1; i < CREW_WORDS && !error; i += 2) {
		struct wbc_value key;
		char name[16];

		word_name(name, sizeof(name), i);
		key = wbc_text(NULL, name, (uint32_t)strlen(name));
		error = wbc_counter_open(m->words, &key, 1, 1, &m->counter[i]);
	}
	return error;
}

/* In a child. */
_Noreturn static void work(struct member *m, const struct rig *r, int stop,
                           int progress, pid_t parent)
{
	struct pollfd fd = {.fd = stop, .events = POLLIN};
	int error;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		_exit(1);
	m->c = rig_open_waiting(r, LOAD_WAIT_MS);
	m->words = rig_table(m->c, words_spec);
	m->visits = rig_table(m->c, visits_spec);
	m->events = rig_table(m->c, events_spec);
	m->items = rig_table(m->c, items_spec);
	error = open_counters(m);
	while (!error && poll(&fd, 1, PAUSE_MS) == 0) {
		error = burst(m);
		/* A full pipe has progress enough in it. */
		if (write(progress, "", 1) < 0 && errno != EAGAIN)
			error = -errno;
	}
	m->tally->error = error;
	wbc_close(&m->c);
	_exit(error ? 1 : 0);
}

static struct crew_tally *new_tally(void)
{
	struct crew_tally *tally =
		mmap(NULL, CREW_MAX * sizeof(*tally), PROT_READ | PROT_WRITE,
	             MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	if (tally == MAP_FAILED)
		tap_bail("a tally: %s", strerror(errno));
	return tally;
}

void crew_begin(struct crew *crew, const struct rig *r, unsigned n)
{
	pid_t parent = getpid();
	int stop[2], progress[2];

	crew->n = n;
	if (!crew->tally)
		crew->tally = new_tally();
	if (pipe2(stop, O_CLOEXEC) || pipe2(progress, O_CLOEXEC | O_NONBLOCK))
		tap_bail("clients: %s", strerror(errno));
	for (unsigned i = 0; i < n; i++) {
		struct member m = {.me = i, .tally = &crew->tally[i]};

		crew->pid[i] = fork();
		if (crew->pid[i] < 0)
			tap_bail("fork: %s", strerror(errno));
		if (crew->pid[i] == 0) {
			close(stop[1]);
			work(&m, r, stop[0], progress[1], parent);
		}
	}
	close(stop[0]);
	close(progress[1]);
	crew->stop = stop[1];
	crew->progress = progress[0];
}

void crew_go_on(struct crew *crew, unsigned bursts)
{
	struct pollfd fd = {.fd = crew->progress, .events = POLLIN};
	unsigned seen = 0;
	char bytes[4096];
	ssize_t n;

	/* What was made before does not count. */
	while (read(crew->progress, bytes, sizeof(bytes)) > 0)
		;
	while (seen < bursts) {
		if (poll(&fd, 1, RIG_PATIENCE_MS) != 1)
			tap_bail("the clients do not go on");
		n = read(crew->progress, bytes, sizeof(bytes));
		if (n == 0) {
			for (unsigned i = 0; i < crew->n; i++)
				tap_diag("client %u: error %d", i,
				         crew->tally[i].error);
			tap_bail("the clients have ended");
		}
		seen += n > 0 ? (unsigned)n : 0;
	}
}

bool crew_end(struct crew *crew)
{
	bool good = true;
	int status;

	close(crew->stop);
	for (unsigned i = 0; i < crew->n; i++) {
		waitpid(crew->pid[i], &status, 0);
		if (status == 0)
			continue;
		tap_diag("client %u: status %d, %s", i, status,
		         wbc_error_name(crew->tally[i].error));
		good = false;
	}
	close(crew->progress);
	return good;
}

/* One number in the database; false, and a line, if it is another. */
static bool same(const struct rig *r, const char *what, const char *sql,
                 int64_t want)
{
	int64_t got = rig_sql_int(r, sql);

	if (got != want)
		tap_diag("%s: %lld in the database, %lld acknowledged", what,
		         (long long)got, (long long)want);
	return got == want;
}

static bool same_words(const struct crew *crew, const struct rig *r)
{
	bool good = true;

	for (unsigned w = 0; w < CREW_WORDS; w++) {
		char sql[160], name[16];
		int64_t want = 0;

		for (unsigned i = 0; i < crew->n; i++)
			want += crew->tally[i].words[w];
		word_name(name, sizeof(name), w);
		snprintf(sql, sizeof(sql),
		         "SELECT total(n) FROM words WHERE word='%s'", name);
		good &= same(r, name, sql, want);
	}
	return good & same(r, "rows of words", "SELECT count(*) FROM words",
	                   CREW_WORDS);
}

static bool same_visit(const struct crew *crew, const struct rig *r,
                       unsigned host, unsigned day)
{
	int64_t hits = 0, bytes = 0;
	char name[64], sql[256];
	double seconds = 0;
	bool good;

	for (unsigned i = 0; i < crew->n; i++) {
		hits += crew->tally[i].hits[host][day];
		bytes += crew->tally[i].bytes[host][day];
		seconds += crew->tally[i].seconds[host][day];
	}
	host_name(name, sizeof(name), host);
#define COLUMN(what)                                                           \
	(snprintf(sql, sizeof(sql),                                            \
	          "SELECT " what " FROM visits WHERE host='%s' AND day=%u",    \
	          name, day),                                                  \
	 sql)
	good = same(r, "hits", COLUMN("hits"), hits);
	good &= same(r, "bytes", COLUMN("bytes"), bytes);
	/* In quarters: a whole number. */
	good &= same(r, "seconds", COLUMN("seconds * 4"),
	             (int64_t)(seconds * 4));
#undef COLUMN
	return good;
}

/* Each client's rows are there once, and in the order in which it made them. */
static bool same_inserts(const struct crew *crew, const struct rig *r,
                         unsigned client)
{
	const struct crew_tally *t = &crew->tally[client];
	char sql[320];
	bool good;

#define OF_CLIENT(text) (snprintf(sql, sizeof(sql), text, client), sql)
	good = same(r, "events",
	            OF_CLIENT("SELECT count(*) FROM events WHERE client=%u"),
	            t->events);
	good &= same(r, "different events",
	             OF_CLIENT("SELECT count(DISTINCT seq) FROM events"
	                       " WHERE client=%u"),
	             t->events);
	good &= same(r, "events out of order",
	             OF_CLIENT("SELECT count(*) FROM (SELECT seq,"
	                       " row_number() OVER (ORDER BY id) - 1 AS place"
	                       " FROM events WHERE client=%u)"
	                       " WHERE seq <> place"),
	             0);
	good &= same(r, "items",
	             OF_CLIENT("SELECT count(*) FROM items WHERE client=%u"),
	             t->items);
	good &= same(r, "different items",
	             OF_CLIENT("SELECT count(DISTINCT seq) FROM items"
	                       " WHERE client=%u"),
	             t->items);
	good &= same(r, "adds to items",
	             OF_CLIENT("SELECT total(n) FROM items WHERE client=%u"),
	             t->items * ITEM_ADDS);
#undef OF_CLIENT
	return good;
}

bool crew_exact(const struct crew *crew, const struct rig *r)
{
	bool good = same_words(crew, r);
	int64_t wrong = 0;

	for (unsigned i = 0; i < CREW_HOSTS * CREW_DAYS; i++)
		good &= same_visit(crew, r, i % CREW_HOSTS, i / CREW_HOSTS);
	for (unsigned i = 0; i < crew->n; i++)
		good &= same_inserts(crew, r, i);
	for (unsigned i = 0; i < crew->n; i++)
		wrong += crew->tally[i].wrong;
	if (wrong)
		tap_diag("%lld values were read that no row ever had",
		         (long long)wrong);
	good &= !wrong;
	good &= same(r, "dead letters", "SELECT count(*) FROM wbc_dead_letters",
	             0);
	return good;
}

void crew_free(struct crew *crew)
{
	munmap(crew->tally, CREW_MAX * sizeof(*crew->tally));
	crew->tally = NULL;
}
