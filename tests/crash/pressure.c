/* SPDX-License-Identifier: MIT */
/* Copyright the wbcshm authors */

/*
 * Memory pressure: what is journaled is written to the database when clients
 * are short of memory, though neither the clock nor the length of a queue nor
 * anybody asks for it.
 */
#include "api/handle.h"
#include "rig.h"
#include "tap/tap.h"

#define MAX_BYTES (8u << 20)
/* More rows than so much memory has room for. */
#define KEYS 150000

static const char spec[] = "t(k int key, n counter)";
static const char policy[] = "t(k int key, n counter) on_missing=insert";

int main(void)
{
	struct wbc_options o = WBC_OPTIONS_INIT;
	struct wbc_table *t;
	struct wbc *c;
	struct rig r;
	int error = 0;

	rig_begin(&r, "pressure");
	rig_sql(&r, "CREATE TABLE t(k INTEGER PRIMARY KEY, n INTEGER)");
	r.tables[0] = policy;
	r.flush_interval = "24h";
	r.extra[0] = "--max-queue-rows";
	r.extra[1] = "1000M";
	o.flags = WBC_CREATE;
	o.max_bytes = MAX_BYTES;
	o.full_wait_ms = 60000;
	error = wbc_open(&c, r.address, &o);
	if (error)
		tap_bail("open: %s", wbc_strerror(error));
	rig_start(&r);
	t = rig_table(c, spec);
	for (int64_t i = 0; i < KEYS && !error; i++) {
		struct wbc_value key = wbc_int64("k", i);

		error = wbc_add_int64(t, &key, 1, 1, 1);
	}
	tap_is_int(error, 0, "more rows than fit are counted");
	tap_ok(order_load(&c->client->segment.control->memory_want) > 0,
	       "somebody had to wait for memory");
	tap_ok(rig_log_wait(&r, "event=applied", "table=t"),
	       "what was journaled is written, though nobody asked for it");
	tap_ok(rig_sql_int(&r, "SELECT count(*) FROM t") > 0,
	       "the database has rows, long before their time");
	tap_is_int(rig_stop(&r), 0, "the flusher ends well");
	tap_is_int(rig_sql_int(&r, "SELECT sum(n) FROM t"), KEYS,
	           "P5: then it has all of them, once");
	wbc_close(&c);
	rig_end(&r);
	return tap_done();
}
