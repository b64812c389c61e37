/* SPDX-License-Identifier: MIT */
/* Copyright the wbcshm authors */

/*
 * Hardly a slot left: a flusher that dies between the journal's commit and
 * the cursors leaves its thread slot taken, and the next one needs it before
 * it can move a cursor.
 */
#include <signal.h>

#include "rig.h"
#include "tap/tap.h"

#define ADDS 1000

static const char spec[] = "words(word text key, n counter)";

/* A client that has one of so many thread slots, and has counted. */
static struct wbc *begin(struct rig *r, const char *name, uint32_t threads)
{
	const struct wbc_value key = wbc_text(NULL, "a", 1);
	struct wbc_options o = WBC_OPTIONS_INIT;
	struct wbc_table *t;
	struct wbc *c;
	int error = 0;

	rig_begin(r, name);
	rig_sql(r, "CREATE TABLE words(word TEXT PRIMARY KEY, n INTEGER);"
	           "INSERT INTO words VALUES('a', 0)");
	r->tables[0] = spec;
	o.flags = WBC_CREATE;
	o.threads = threads;
	error = wbc_open(&c, r->address, &o);
	if (error)
		tap_bail("open: %s", wbc_strerror(error));
	t = rig_table(c, spec);
	for (int i = 0; i < ADDS && !error; i++)
		error = wbc_add_int64(t, &key, 1, 1, 1);
	tap_is_int(error, 0, "with %u thread slots a client counts", threads);
	return c;
}

static void one_left(const char *point)
{
	struct rig r;
	struct wbc *c = begin(&r, "tight", 2);

	rig_spawn(&r, point);
	tap_is_int(rig_wait(&r), RIG_SIGNALLED(SIGKILL),
	           "a flusher is killed at %s", point);
	rig_start(&r);
	tap_is_int(rig_flush(c), 0, "the next one has its slot");
	tap_is_int(rig_sql_int(&r, "SELECT n FROM words"), ADDS,
	           "P5: and nothing counts twice");
	tap_is_int(rig_stop(&r), 0, "it ends well");
	wbc_close(&c);
	rig_end(&r);
}

static void none_left(void)
{
	struct rig r;
	struct wbc *c = begin(&r, "tight", 1);

	tap_is_int(rig_refused(&r), 1, "without a slot a flusher is refused");
	tap_ok(rig_log_count(&r, "all 1 thread slots are in use", NULL) == 1,
	       "in words: %s", rig_log_last(&r, "wbc-flusher: "));
	wbc_close(&c);
	rig_start(&r);
	tap_is_int(rig_stop(&r), 0, "with one it writes what was counted");
	tap_is_int(rig_sql_int(&r, "SELECT n FROM words"), ADDS,
	           "P5: all of it");
	rig_end(&r);
}

int main(void)
{
	one_left("batch-after-commit");
	one_left("cells-half");
	one_left("lanes-moved");
	none_left();
	return tap_done();
}
