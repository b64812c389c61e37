/* SPDX-License-Identifier: MIT */
/* Copyright the wbcshm authors */

/*
 * together PATH add N    count N times over shared rows, insert 100 records
 * together PATH sum      print what all of them counted and inserted
 * together PATH hold     attach, print a line, stay until the input ends
 * together PATH reap     print how many processes were found dead
 *
 * For tests/abi/arm64.sh: the same program, built for two processors, on one
 * segment.
 */
#include <inttypes.h>

#include "shm/cell.h"
#include "shm/lane.h"
#include "unit/scratch.h"

#define SPEC "t(k text key, n counter, s double counter)"
#define LOG "log(who text, n int)"

enum { ROWS = 50, RECORDS = 100 };

static struct scratch dir;

/* Keys in an entry's first line and longer ones. */
static struct wbc_value key_of(unsigned row, char text[256])
{
	int bytes = snprintf(text, 256, "%0*u", (int)(2 + row * 3), row);

	return wbc_text("k", text, (uint32_t)bytes);
}

static struct wbc *open_segment(void)
{
	struct wbc_options o = scratch_options();

	o.lane_bytes = 64 << 10;
	return scratch_open(&dir, &o);
}

/* By key and by handle, by fetch-and-add and by compare-and-swap. */
static int add(unsigned n)
{
	struct wbc *c = open_segment();
	struct wbc_table *t = scratch_table(c, SPEC);
	struct wbc_table *log = scratch_table(c, LOG);
	struct wbc_counter *counter;
	int error = 0;

	for (unsigned i = 0; i < n && !error; i++) {
		char text[256];
		struct wbc_value key = key_of(i % ROWS, text);

		error = wbc_add_double(t, &key, 1, 2, 0.25);
		if (!error && i % 2)
			error = wbc_add_int64(t, &key, 1, 1, 1);
		else if (!error)
			error = wbc_counter_open(t, &key, 1, 1, &counter);
		if (!error && i % 2 == 0) {
			error = wbc_counter_add(counter, 1);
			wbc_counter_close(&counter);
		}
	}
	for (unsigned i = 0; i < RECORDS && !error; i++) {
		struct wbc_value row[2] = {wbc_text("who", "somebody", 8),
		                           wbc_int64("n", i)};

		error = wbc_insert(log, row, 2, 0);
	}
	wbc_close(&c);
	return error != 0;
}

/* Records in all lanes that are whole and in order. */
static unsigned count_records(const struct wbci_segment *s)
{
	unsigned char *bytes = malloc(s->geo.lane_bytes);
	unsigned n = 0;

	for (uint32_t i = 0; bytes && i < s->geo.n_threads; i++) {
		uint64_t head, tail;
		int64_t has = wbci_lane_read(s, i, bytes, &head, &tail);
		struct record_shm r;

		for (int64_t at = 0; at < has; at += r.bytes) {
			memcpy(&r, bytes + at, sizeof(r));
			n += r.kind == LANE_INSERT && r.n_values == 2;
		}
	}
	free(bytes);
	return n;
}

static int sum(void)
{
	struct wbc *c = open_segment();
	struct wbc_table *t = scratch_table(c, SPEC);
	uint64_t n = 0;
	double s = 0;

	for (unsigned row = 0; row < ROWS; row++) {
		char text[256];
		struct wbc_value key = key_of(row, text);

		n += scratch_total(t, &key, 1, 1);
		s += wbci_double_of(scratch_total(t, &key, 1, 2));
	}
	printf("%" PRIu64 " %.2f %u\n", n, s,
	       count_records(&c->client->segment));
	wbc_close(&c);
	return 0;
}

static int hold(void)
{
	struct wbc *c = open_segment();
	struct wbc_table *t = scratch_table(c, SPEC);
	char text[256], byte;
	struct wbc_value key = key_of(0, text);

	if (wbc_add_int64(t, &key, 1, 1, 0))
		return 1;
	puts("attached");
	fflush(stdout);
	while (read(STDIN_FILENO, &byte, 1) > 0)
		;
	wbc_close(&c);
	return 0;
}

static int reap(void)
{
	struct wbc *c = open_segment();
	unsigned in_section;

	printf("%u\n", wbci_reap(&c->client->segment, &in_section));
	wbc_close(&c);
	return 0;
}

int main(int argc, char **argv)
{
	if (argc < 3)
		return 2;
	snprintf(dir.address, sizeof(dir.address), "shm:%s", argv[1]);
	if (!strcmp(argv[2], "add") && argc == 4)
		return add((unsigned)atoi(argv[3]));
	if (!strcmp(argv[2], "sum"))
		return sum();
	if (!strcmp(argv[2], "hold"))
		return hold();
	return strcmp(argv[2], "reap") ? 2 : reap();
}
