/* SPDX-License-Identifier: MIT */
/* Copyright the wbcshm authors */

/*
 * More keys than fit: memory is bounded by what is in use.
 *
 * Keys that are counted once stream through a small segment; a window of
 * live keys moves over many more.  Idle entries and empty nodes go, whoever
 * waits for memory gets it, the flusher is killed on the way, and no count is
 * lost.  WBC_SOAK_SECONDS makes it the long form: 10 million keys through
 * 32 MiB, and 20 million through a window of 10,000.
 */
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/handle.h"
#include "crash/rig.h"
#include "shm/page.h"
#include "tap/tap.h"

#define PATIENCE_MS 60000

static const char spec[] = "t(k int key, n counter) on_missing=insert";

struct state {
	struct rig rig;
	struct wbc *c;
	struct wbc_table *t;
	uint64_t waited; /* control.memory_want at the end */
};

static const struct wbci_segment *segment_of(const struct state *s)
{
	return &s->c->client->segment;
}

static void begin(struct state *s, uint64_t max_bytes, uint64_t capacity)
{
	char words[256] = "";
	struct wbc_options o = WBC_OPTIONS_INIT;

	memset(s, 0, sizeof(*s));
	rig_begin(&s->rig, "churn");
	s->rig.tables[0] = spec;
	rig_sql(&s->rig, "CREATE TABLE t(k INTEGER PRIMARY KEY,"
	                 " n INTEGER NOT NULL DEFAULT 0)");
	o.flags = WBC_CREATE;
	o.max_bytes = max_bytes;
	o.capacity = capacity;
	o.full_wait_ms = PATIENCE_MS;
	o.message = words;
	o.message_size = sizeof(words);
	if (wbc_open(&s->c, s->rig.address, &o))
		tap_bail("%s", words);
	s->t = rig_table(s->c, spec);
	rig_start(&s->rig);
}

static void end(struct state *s)
{
	wbc_close(&s->c);
	rig_end(&s->rig);
}

static void add(struct state *s, int64_t k)
{
	struct wbc_value key = wbc_int64("k", k);
	int error = wbc_add_int64(s->t, &key, 1, 1, 1);

	if (error)
		tap_bail("key %lld: %s", (long long)k, wbc_error_name(error));
}

/* The audit of a segment that nobody is attached to. */
static int audit(const struct state *s, char *text, size_t size)
{
	const char *const argv[] = {"wbc-shmdump", "check", "-s",
	                            s->rig.segment, NULL};

	return rig_run(argv, text, size);
}

/* The number of blocks that the audit calls lost; -1: it says none. */
static int lost_of(const char *text)
{
	const char *at = strstr(text, "lost to deaths");
	int lost = -1;

	if (at)
		sscanf(at, "lost to deaths %d", &lost);
	return lost;
}

static unsigned pages_of(const struct state *s, unsigned kind)
{
	const struct wbci_segment *g = segment_of(s);
	uint32_t n = wbci_committed(g) * WBCI_PAGES_PER_EXTENT;
	unsigned pages = 0;

	for (uint32_t i = 0; i < n; i++)
		pages += wbci_page_kind(order_load(&g->words[i])) == kind;
	return pages;
}

/* Ends the flusher and the handle; says whether all is as it should be. */
static void finish(struct state *s, int64_t keys, int64_t adds)
{
	static char text[65536];

	tap_is_int(rig_flush(s->c), 0, "a flush works");
	tap_is_int(rig_sql_int(&s->rig, "SELECT count(*) FROM t"), keys,
	           "P5: every key is in the database");
	tap_is_int(rig_sql_int(&s->rig, "SELECT sum(n) FROM t"), adds,
	           "P5: and every add, once");
	s->waited = order_load(&segment_of(s)->control->memory_want);
	tap_is_int(rig_stop(&s->rig), 0, "the flusher ends well");
	wbc_close(&s->c);
	if (!tap_is_int(audit(s, text, sizeof(text)), 0,
	                "P6: every block is accounted for"))
		tap_diag("%s", text);
	tap_is_int(lost_of(text), 0, "P6: and none is lost");
}

/* Keys that are counted once and never again. */
static void test_stream(int64_t keys, uint64_t max_bytes, unsigned kills)
{
	struct state s;

	begin(&s, max_bytes, 1000);
	for (int64_t i = 0; i < keys; i++) {
		add(&s, i);
		if (kills && i % (keys / (kills + 1)) == keys / (kills + 2)) {
			rig_kill(&s.rig);
			rig_start(&s.rig);
		}
	}
	tap_ok(wbci_committed(segment_of(&s)) * (uint64_t)WBCI_EXTENT_BYTES <=
	               max_bytes,
	       "%lld keys went through %llu MiB, each add acknowledged",
	       (long long)keys, (unsigned long long)max_bytes >> 20);
	finish(&s, keys, keys);
	tap_ok(s.waited > 0, "somebody had to wait for memory (%llu times)",
	       (unsigned long long)s.waited);
	tap_ok(rig_log_count(&s.rig, "event=swept", NULL) >= kills,
	       "P6: each flusher that followed a killed one has swept");
	end(&s);
}

/* A window of live keys: each is counted four times, then never again. */
static void test_window(int64_t live, int64_t keys)
{
	int64_t adds = 4 * keys;
	unsigned blocks = 0, entries = 0;
	struct state s;

	begin(&s, 8 << 20, (uint64_t)live / 16);
	for (int64_t i = 0; i < adds; i++) {
		if (i == adds / 4) {
			blocks = pages_of(&s, PAGE_BLOCKS);
			entries = pages_of(&s, PAGE_ENTRIES);
		}
		add(&s, i / 4 + i % 4 * (live / 4));
	}
	tap_diag("pages of entries %u, then %u; of nodes %u, then %u", entries,
	         pages_of(&s, PAGE_ENTRIES), blocks, pages_of(&s, PAGE_BLOCKS));
	tap_ok(pages_of(&s, PAGE_BLOCKS) <= blocks + blocks / 8 + 2,
	       "P6: the index does not grow with the keys that came and went");
	tap_ok(pages_of(&s, PAGE_ENTRIES) <= entries + entries / 8 + 2,
	       "P6: nor do the entries");
	finish(&s, keys + live / 4 * 3, adds);
	end(&s);
}

/* More threads than pages: each has made a row, and then does nothing. */
#define IDLE 40

struct crowd {
	struct state s;
	pthread_barrier_t made, end;
	_Atomic unsigned failed;
	_Atomic int64_t next;
};

static void *idle_thread(void *arg)
{
	struct crowd *c = arg;
	struct wbc_value key = wbc_int64("k", atomic_fetch_add(&c->next, 1));

	c->failed += wbc_add_int64(c->s.t, &key, 1, 1, 1) != 0;
	pthread_barrier_wait(&c->made);
	pthread_barrier_wait(&c->end);
	return NULL;
}

/* What idle threads own is room for others. */
static void test_idle_owners(void)
{
	pthread_t threads[IDLE];
	struct crowd c = {.failed = 0};

	begin(&c.s, 2 << 20, 1000);
	pthread_barrier_init(&c.made, NULL, IDLE + 1);
	pthread_barrier_init(&c.end, NULL, IDLE + 1);
	for (unsigned i = 0; i < IDLE; i++) {
		if (pthread_create(&threads[i], NULL, idle_thread, &c))
			tap_bail("pthread_create");
	}
	pthread_barrier_wait(&c.made);
	tap_is_uint(c.failed, 0,
	            "P2: %d threads make a row each, in a segment of %d pages",
	            IDLE, (int)WBCI_PAGES_PER_EXTENT);
	for (int64_t i = 0; i < 1000; i++)
		add(&c.s, c.next + i);
	tap_ok(true, "P2: and do not keep another from making 1,000");
	pthread_barrier_wait(&c.end);
	for (unsigned i = 0; i < IDLE; i++)
		pthread_join(threads[i], NULL);
	finish(&c.s, IDLE + 1000, IDLE + 1000);
	end(&c.s);
}

int main(void)
{
	if (tap_sanitized("thread"))
		tap_skip_all("blocks go from thread to thread by way of the "
		             "flusher, another process, whose part in it the "
		             "thread sanitizer does not see");
	test_idle_owners();
	if (getenv("WBC_SOAK_SECONDS")) {
		test_stream(10000000, 32 << 20, 5);
		test_window(10000, 20000000);
	} else {
		test_stream(300000, 6 << 20, 2);
		test_window(5000, 300000);
	}
	return tap_done();
}
