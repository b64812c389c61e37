/* SPDX-License-Identifier: MIT */
/* Copyright the wbcshm authors */

#include "store.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "shm/entry.h"
#include "shm/page.h"
#include "shm/round.h"
#include "walk.h"

static int fill(struct bench_store *s, uint32_t keys)
{
	uint32_t i;
	int rc = 0;

	for (i = 0; !rc && i < keys; i++) {
		char text[BENCH_KEY_BYTES];
		struct wbc_value key;

		bench_key(i, text);
		key = wbc_text(NULL, text, sizeof(text));
		rc = wbc_add_int64(s->table, &key, 1, s->n, 1);
	}
	return rc;
}

static int open_segment(struct bench_store *s, uint32_t keys)
{
	struct wbci_message m = {s->message, sizeof(s->message)};
	struct wbc_options o = WBC_OPTIONS_INIT;
	char address[64];
	int rc;

	o.flags = WBC_CREATE | WBC_EXCLUSIVE;
	o.capacity = keys < 1024 ? 1024 : keys;
	o.max_bytes = (64u << 20) + (uint64_t)keys * 512;
	o.message = s->message;
	o.message_size = sizeof(s->message);
	snprintf(address, sizeof(address), "shm:bench-%d", (int)getpid());
	rc = wbc_open(&s->cache, address, &o);
	if (rc)
		return rc;
	rc = wbci_segment_open(&s->view, wbc_path(s->cache), false, &m);
	unlink(wbc_path(s->cache));
	if (rc)
		wbc_close(&s->cache);
	return rc;
}

int bench_store_open(struct bench_store *s, uint32_t keys)
{
	int rc;

	memset(s, 0, sizeof(*s));
	rc = open_segment(s, keys);
	if (rc)
		goto say;
	rc = wbc_table_declare(s->cache, "bench(k text key, n counter)",
	                       &s->table, s->message, sizeof(s->message));
	if (rc)
		goto close;
	s->n = (unsigned)wbc_column(s->table, "n");
	rc = fill(s, keys);
	if (rc)
		goto close;
	return 0;
close:
	bench_store_close(s);
say:
	if (!s->message[0])
		snprintf(s->message, sizeof(s->message), "%s",
		         wbc_strerror(rc));
	return rc;
}

void bench_store_close(struct bench_store *s)
{
	wbci_segment_close(&s->view);
	wbc_close(&s->cache);
}

static int add_total(void *arg, const struct wbci_seen *seen)
{
	uint64_t *sum = arg;

	*sum += seen->total[0];
	return 0;
}

int bench_store_sum(const struct bench_store *s, uint64_t *sum)
{
	*sum = 0;
	return wbci_entry_visit_all(&s->view, add_total, sum);
}

uint64_t bench_store_entry_bytes(void)
{
	int class = wbci_class_of(wbci_entry_bytes(1, BENCH_KEY_BYTES));

	return wbci_class_bytes[class];
}
