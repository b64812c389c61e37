/* SPDX-License-Identifier: MIT */
/* Copyright the wbcshm authors */

/*
 * Everything in one process: a flusher as threads, and "client processes" as
 * threads with a handle each.  Under ThreadSanitizer they share one mapping,
 * so it sees every access of everybody.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <unistd.h>

#include "crash/rig.h"
#include "flusher/flusher.h"
#include "flusher/log.h"
#include "tap/tap.h"

#define CLIENTS 3
#define LIVES 3
#define ADDS 3000
#define KEYS 97
#define WORDS "words(word text key, n counter, x double counter)"
#define LOG "log(id int key, who text)"

struct client {
	pthread_t thread;
	const struct rig *rig;
	int number; /* no two have the same */
	int wrong;  /* calls that did not return what they should */
};

static int count(struct wbc *c, struct wbc_table *words, int i)
{
	char text[16];
	struct wbc_value key;
	int64_t total = 0;
	int wrong = 0;

	key = wbc_text("word", text,
	               (uint32_t)snprintf(text, sizeof(text), "w%d", i % KEYS));
	wrong += wbc_add_int64(words, &key, 1, 1, 1) != 0;
	wrong += wbc_add_double(words, &key, 1, 2, 0.25) != 0;
	if (i % 1000 != 999)
		return wrong;
	wrong += wbc_flush(c, i % 2000 == 999 ? words : NULL, RIG_PATIENCE_MS,
	                   NULL) != 0;
	wrong += wbc_read_int64(words, &key, 1, 1, &total) != 0 || total <= 0;
	return wrong;
}

static void *be_client(void *arg)
{
	struct client *x = arg;
	struct wbc *c = rig_open(x->rig);
	struct wbc_table *words = rig_table(c, WORDS);
	struct wbc_table *log = rig_table(c, LOG);

	for (int i = 0; i < ADDS; i++) {
		const struct wbc_value row[] = {
			wbc_int64("id", x->number * ADDS + i),
			wbc_text("who", "me", 2)};

		x->wrong += count(c, words, i);
		if (i % 10 == 0)
			x->wrong +=
				wbc_insert(log, row, 2, RIG_PATIENCE_MS) != 0;
		if (i % 500 == 499)
			x->wrong += wbc_sync(c, RIG_PATIENCE_MS) != 0;
	}
	wbc_close(&c);
	return NULL;
}

/* One life of a flusher, from start to final flush, with clients. */
static void live(const struct rig *r, const struct wbci_flusher_config *config,
                 int life)
{
	struct client clients[CLIENTS] = {{.wrong = 0}};
	char text[512] = "";
	const struct wbci_message m = {text, sizeof(text)};
	struct wbci_flusher *f, *second;
	struct wbci_totals totals;
	int wrong = 0;

	if (wbci_flusher_start(&f, config, &m))
		tap_bail("flusher: %s", text);
	tap_is_int(wbci_flusher_start(&second, config, &m), -EBUSY,
	           "life %d: a second flusher is refused", life);
	for (int i = 0; i < CLIENTS; i++) {
		clients[i].rig = r;
		clients[i].number = life * CLIENTS + i;
		if (pthread_create(&clients[i].thread, NULL, be_client,
		                   &clients[i]))
			tap_bail("no thread");
	}
	wbci_flusher_flush(f);
	for (int i = 0; i < CLIENTS; i++) {
		pthread_join(clients[i].thread, NULL);
		wrong += clients[i].wrong;
	}
	tap_is_int(wrong, 0, "life %d: every call did what it says", life);
	tap_is_int(wbci_flusher_stop(&f, &totals), 0, "it ends well");
	tap_is_uint(totals.left, 0, "with nothing left in the journal");
	tap_is_int(rig_sql_int(r, "SELECT sum(n) FROM words"),
	           (life + 1) * CLIENTS * ADDS,
	           "life %d: the sum of all words is exact (P3, P5)", life);
	tap_is_double(rig_sql_double(r, "SELECT sum(x) FROM words"),
	              0.25 * (life + 1) * CLIENTS * ADDS,
	              "and that of the doubles");
	tap_is_int(rig_sql_int(r, "SELECT count(*) FROM log"),
	           (life + 1) * CLIENTS * ADDS / 10,
	           "and each row is there once");
}

static void foreign_journal(const struct rig *r,
                            struct wbci_flusher_config config)
{
	char dir[PATH_MAX], text[512] = "";
	const struct wbci_message m = {text, sizeof(text)};
	struct wbci_flusher *f;

	if (snprintf(dir, sizeof(dir), "%s/other", r->dir) >= (int)sizeof(dir))
		tap_bail("the path is too long");
	config.journal = dir;
	tap_is_int(wbci_flusher_start(&f, &config, &m), WBC_E_JOURNAL,
	           "a journal that is not the segment's has an error of its "
	           "own: %s",
	           text);
}

int main(void)
{
	static const char *const tables[] = {WORDS " on_missing=insert", LOG};
	struct wbci_flusher_config config = {.tables = tables,
	                                     .n_tables = 2,
	                                     .create = true,
	                                     .journal_ms = 10,
	                                     .flush_ms = 50};
	struct rig r;

	rig_begin(&r, "threads");
	rig_sql(&r, "CREATE TABLE words(word TEXT PRIMARY KEY, n INTEGER, "
	            "x REAL); CREATE TABLE log(id INTEGER PRIMARY KEY, "
	            "who TEXT)");
	config.segment = r.segment;
	config.journal = r.journal;
	config.sqlite = r.database;
	config.how.group = -1;
	config.how.max_bytes = UINT64_C(64) << 20;
	wbci_log_fd =
		open(r.log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	for (int life = 0; life < LIVES; life++)
		live(&r, &config, life);
	foreign_journal(&r, config);
	close(wbci_log_fd);
	rig_end(&r);
	return tap_done();
}
