/* SPDX-License-Identifier: MIT */
/* Copyright the wbcshm authors */

/*
 * Any bytes in a segment: the tools look at it, a flusher drains it, a client
 * works on it.
 *
 * Whatever the bytes: a header that is believed is one of this layout and
 * this file; what a tool prints is JSON; copies of entries are within their
 * bounds; what a round puts into the journal reads back, row by row, as rows
 * of the table that it says; and the sink is given no table that was not
 * configured, and none otherwise than configured.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "api/wbcshm.h"
#include "drain.h"
#include "image.h"
#include "shm/epoch.h"
#include "shm/page.h"
#include "shm/round.h"
#include "shm/segment_check.h"
#include "tools/dump.h"

static struct image image;

static const struct cli_command commands[] = {
	{"summary", "", "", NULL, dump_summary},
	{"keys", "", "", NULL, dump_keys},
	{"procs", "", "", NULL, dump_procs},
	{"check", "", "", NULL, dump_check},
};
#define N_COMMANDS (sizeof(commands) / sizeof(commands[0]))
static const struct cli_tool tool = {"fuzz", "", commands, N_COMMANDS};

/* One command of wbc-shmdump, in this process. */
static void look(const char *command, bool json, bool believed)
{
	char *argv[] = {(char[]){"fuzz"},
	                (char *)(uintptr_t)command,
	                (char[]){"-s"},
	                image.path,
	                json ? (char[]){"--json"} : NULL,
	                NULL};
	const char *bad;
	size_t bytes;
	char *text;
	int rc;

	fuzz_catch_begin();
	rc = cli_main(&tool, json ? 5 : 4, argv);
	text = fuzz_catch_end(&bytes);
	fuzz_check(rc == CLI_OK || rc == CLI_CORRUPT, "%s ends with %d",
	           command, rc);
	fuzz_check(believed || rc == CLI_CORRUPT,
	           "%s believes a header that is wrong", command);
	bad = json && bytes ? fuzz_json(text, bytes) : NULL;
	fuzz_check(!bad, "%s: no JSON at \"%.20s\"", command, bad);
	free(text);
}

/* A header that was believed is what this build would have written. */
static void check_believed(const struct wbci_segment *s)
{
	const struct header_shm *h = &s->geo;
	struct header_shm own = *h;

	fuzz_check(h->magic == WBCI_MAGIC && h->layout == WBCI_LAYOUT_VERSION &&
	                   h->digest == wbci_layout_digest() &&
	                   h->sys_page == WBCI_SYS_PAGE &&
	                   h->line == WBCI_LINE && h->incompat == 0 &&
	                   h->byte_order == 0x01020304,
	           "P10: another layout is believed");
	fuzz_check(h->checksum == wbci_header_checksum(h),
	           "a wrong checksum is believed");
	fuzz_check(wbci_header_place(&own) && !memcmp(&own, h, sizeof(own)),
	           "regions that are not where they must be");
	fuzz_check(h->size_bytes == image.s.size, "a wrong size is believed");
}

/* Is it to be believed?  All ways to attach say the same. */
static bool attach(void)
{
	char text[256] = "";
	struct wbci_message m = {text, sizeof(text)};
	struct wbci_segment s;
	int error = wbci_segment_open(&s, image.path, false, &m);

	if (!error) {
		check_believed(&s);
		wbci_segment_close(&s);
		return true;
	}
	fuzz_check(error == WBC_E_FORMAT || error == WBC_E_LAYOUT ||
	                   error == WBC_E_CORRUPT || error == WBC_E_BOOT,
	           "attaching fails by %d", error);
	fuzz_check(*text, "attaching fails without a word");
	return false;
}

static int check_seen(void *arg, const struct wbci_seen *seen)
{
	(void)arg;
	fuzz_check(seen->n_cells <= WBC_COUNTERS_MAX &&
	                   seen->key_len <= WBC_KEY_MAX &&
	                   wbci_entry_bytes(seen->n_cells, seen->key_len) <=
	                           WBCI_PAGE_BYTES -
	                                   seen->ref.offset % WBCI_PAGE_BYTES,
	           "a copy of an entry has %u cells and a key of %u",
	           seen->n_cells, seen->key_len);
	return 0;
}

static void visit(void)
{
	struct wbci_segment s;

	if (wbci_segment_open(&s, image.path, false, NULL))
		return;
	wbci_entry_visit_all(&s, check_seen, NULL);
	wbci_segment_close(&s);
}

/* The audit, and another command that the input chooses. */
static void look_twice(unsigned choice, bool believed)
{
	look("check", true, believed);
	look(commands[choice % N_COMMANDS].name, choice / N_COMMANDS % 2,
	     believed);
}

/* Calls of a client end, whatever they return. */
static void work(void)
{
	struct wbc_options o = WBC_OPTIONS_INIT;
	struct wbc_value key = wbc_text(NULL, "word7", 5);
	struct wbc_value row[2] = {wbc_int64("seq", 99),
	                           wbc_text("note", "late", 4)};
	struct wbc_table *words, *events;
	char address[PATH_MAX + 8];
	char name[16];
	struct wbc *c;
	int64_t value;

	snprintf(address, sizeof(address), "shm:%s", image.path);
	o.load_wait_ms = -1;
	if (wbc_open(&c, address, &o))
		return;
	if (!wbc_table_declare(c, image_specs[0], &words, NULL, 0)) {
		for (unsigned i = 0; i < 16; i++) {
			key = wbc_text(
				NULL, name,
				(uint32_t)sprintf(name, "word%u", i * 29));
			wbc_add_int64(words, &key, 1, 1, 1);
			wbc_read_int64(words, &key, 1, 1, &value);
		}
	}
	if (!wbc_table_declare(c, image_specs[2], &events, NULL, 0))
		wbc_insert(events, row, 2, 0);
	wbc_sync(c, 0);
	wbc_flush(c, NULL, 0, NULL);
	wbc_close(&c);
}

static void begin(void)
{
	image_make(&image);
	drain_begin(image.dir);
	setenv("TZ", "UTC", 1);
}

static void one(const uint8_t *data, size_t bytes)
{
	bool believed;

	image_change(&image, data, bytes);
	believed = attach();
	look_twice(bytes ? data[0] >> 2 : 0, believed);
	if (believed) {
		visit();
		drain(image.path, false);
		work();
		/* And once more, after the client's mending and spoiling. */
		look("check", true, true);
	}
	image_restore(&image);
}

const struct fuzz_target fuzz_target = {
	.name = "segment",
	.promise = "no byte of a segment ends or hangs a tool or a flusher, or "
		   "reaches the journal as anything but rows of its table",
	.executions = 400,
	.begin = begin,
	.one = one,
	.mutate = image_mutate,
};
