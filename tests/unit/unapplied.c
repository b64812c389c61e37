/* SPDX-License-Identifier: MIT */
/* Copyright the wbcshm authors */

/* The map of what is journaled and not applied. */
#include "flusher/unapplied.h"

#include <string.h>
#include <urcu/urcu-memb.h>

#include "tap/tap.h"

static const unsigned char key[] = "key";

static struct wbci_rowset make_rows(const char *spec, const uint64_t *delta)
{
	struct wbci_rowset rs;

	if (wbci_rowset_init(&rs, spec, strlen(spec), false) ||
	    wbci_rowset_add(&rs, key, 3, delta))
		tap_bail("a row: %s", spec);
	return rs;
}

/* Two specifications may hash alike: then only their cells tell them apart. */
static void test_alike(void)
{
	static const uint64_t deltas[16] = {1, 2, 3, 4, 5, 6, 7, 8};
	struct wbci_rowset one = make_rows("t(k text key, a counter)", deltas);
	struct wbci_rowset many = make_rows(
		"t(k text key, a counter, b counter, c counter, d counter,"
		" e counter, f counter, g counter, h counter)",
		deltas);
	struct wbci_unapplied *u;
	uint64_t left[16] = {0};
	uint64_t waiting = 0;

	if (wbci_unapplied_new(&u))
		tap_bail("no memory");
	wbci_unapplied_wait(u, 7, &one, &waiting);
	wbci_unapplied_wait(u, 7, &many, &waiting);
	wbci_unapplied_wait(u, 7, &many, &waiting);
	tap_ok(waiting == 2 && wbci_unapplied_rows(u) == 2,
	       "P7: rows of two specifications that hash alike are two");
	wbci_rowset_sort(&many);
	wbci_unapplied_plan(u, 7, &many);
	wbci_unapplied_wait(u, 7, &many, &waiting);
	wbci_unapplied_apply(u, 7, &many, many.rows[0], left);
	tap_ok(left[0] == 1 && left[7] == 8,
	       "and what is left of each is its own");
	wbci_unapplied_free(&u);
	wbci_rowset_free(&one);
	wbci_rowset_free(&many);
}

int main(void)
{
	urcu_memb_register_thread();
	test_alike();
	urcu_memb_unregister_thread();
	return tap_done();
}
