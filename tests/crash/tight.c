/* SPDX-License-Identifier: MIT */
/* Copyright the wbcshm authors */

/*
 * Hardly a slot left: a flusher that dies between the journal's commit and
 * the cursors leaves its thread slot taken, and the next one needs it before
 * it can move a cursor.
 */
#include <signal.h>

#include "api/handle.h"
#include "rig.h"
#include "tap/tap.h"

#define ADDS 1000
#define THREADS 4u

static const char spec[] = "words(word text key, n counter)";
static const struct wbc_value key = {NULL, WBC_TEXT, 1, {.p = "a"}};

/* A client that has one of so many slots, and has counted. */
static struct wbc *begin(struct rig *r, const char *name, uint32_t slots)
{
	struct wbc_options o = WBC_OPTIONS_INIT;
	struct wbc_table *t;
	struct wbc *c;
	int error = 0;

	rig_begin(r, name);
	rig_sql(r, "CREATE TABLE words(word TEXT PRIMARY KEY, n INTEGER);"
	           "INSERT INTO words VALUES('a', 0)");
	r->tables[0] = spec;
	o.flags = WBC_CREATE;
	o.threads = slots;
	o.procs = 2 * slots;
	error = wbc_open(&c, r->address, &o);
	if (error)
		tap_bail("open: %s", wbc_strerror(error));
	t = rig_table(c, spec);
	for (int i = 0; i < ADDS && !error; i++)
		error = wbc_add_int64(t, &key, 1, 1, 1);
	tap_is_int(error, 0, "with %u thread slots a client counts", slots);
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
	struct wbc *c = begin(&r, "tight", 2);
	struct wbci_client *other;
	struct wbci_thread *t;

	if (wbci_client_open(&other, r.segment, true, NULL) ||
	    wbci_thread(other, &t))
		tap_bail("the slot kept for a flusher cannot be had");
	tap_is_int(rig_refused(&r), 1, "without a slot a flusher is refused");
	tap_ok(rig_log_count(&r, "all 2 thread slots are in use", NULL) == 1,
	       "in words: %s", rig_log_last(&r, "wbc-flusher: "));
	wbci_client_close(&other);
	rig_start(&r);
	tap_is_int(rig_stop(&r), 0, "with one it writes what was counted");
	tap_is_int(rig_sql_int(&r, "SELECT n FROM words"), ADDS,
	           "P5: all of it");
	wbc_close(&c);
	rig_end(&r);
}

/* One more, if the thread gets a slot for this handle. */
static bool counts(struct wbc *c)
{
	struct wbc_table *t;

	return !wbc_table_declare(c, spec, &t, NULL, 0) &&
	       !wbc_add_int64(t, &key, 1, 1, 1);
}

/* Clients that live have all slots that they may have, of either kind. */
static void full_of_the_living(void)
{
	struct wbc_options o = WBC_OPTIONS_INIT;
	struct wbc *c[2 * THREADS];
	struct rig r;
	unsigned n = 1, counting = 0;

	c[0] = begin(&r, "full", THREADS);
	while (n < 2 * THREADS && !wbc_open(&c[n], r.address, &o))
		n++;
	for (unsigned i = 1; i < n; i++)
		counting += counts(c[i]);
	tap_ok(n == 2 * THREADS - 1 && counting == THREADS - 2,
	       "clients have all process slots but one, and all thread slots "
	       "but one");
	rig_spawn(&r, NULL);
	if (tap_ok(rig_ready(&r),
	           "P2: clients that live cannot keep a flusher out")) {
		tap_is_int(rig_flush(c[0]), 0, "it writes");
		tap_is_int(rig_stop(&r), 0, "it ends well");
	}
	tap_is_int(rig_sql_int(&r, "SELECT n FROM words"), ADDS + counting,
	           "P5: all that they counted");
	for (unsigned i = 0; i < n; i++)
		wbc_close(&c[i]);
	rig_end(&r);
}

int main(void)
{
	one_left("batch-after-commit");
	one_left("cells-half");
	one_left("lanes-moved");
	none_left();
	full_of_the_living();
	return tap_done();
}
