/* SPDX-License-Identifier: MIT */
/* Copyright the wbcshm authors */

#include "facts.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "shm/cell.h"
#include "shm/lane.h"
#include "shm/plain.h"
#include "shm/record.h"
#include "shm/round.h"
#include "shm/sweep.h"
#include "shm/table.h"
#include "tap/tap.h"
#include "tools/check.h"

void wrong_say(struct wrong *w, const char *format, ...)
{
	va_list args;

	/* What comes first explains the rest. */
	if (w->text[0])
		return;
	va_start(args, format);
	vsnprintf(w->text, sizeof(w->text), format, args);
	va_end(args);
}

static void write_all(int fd, const void *p, uint64_t bytes, off_t at)
{
	while (bytes > 0) {
		ssize_t n = pwrite(fd, p, bytes, at);

		if (n <= 0)
			tap_bail("a copy: %s", strerror(errno));
		p = (const char *)p + n;
		bytes -= (uint64_t)n;
		at += n;
	}
}

void copy_take(const struct place *copy, const struct wbci_segment *s)
{
	int fd = open(copy->path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	off_t data = 0, hole = 0;

	if (fd < 0 || ftruncate(fd, (off_t)s->size))
		tap_bail("%s: %s", copy->path, strerror(errno));
	for (;;) {
		data = lseek(s->fd, hole, SEEK_DATA);
		if (data < 0)
			break;
		hole = lseek(s->fd, data, SEEK_HOLE);
		write_all(fd, s->base + data, (uint64_t)(hole - data), data);
	}
	close(fd);
}

static struct wbci_client *open_client(const struct place *copy,
                                       struct wrong *w)
{
	char words[256] = "";
	struct wbci_message m = {words, sizeof(words)};
	struct wbci_client *c = NULL;

	if (wbci_client_open(&c, copy->path, true, &m)) {
		wrong_say(w, "a survivor cannot attach: %s", words);
		return NULL;
	}
	return c;
}

static void open_segment(const struct place *copy, struct wbci_segment *s)
{
	char words[256] = "";
	struct wbci_message m = {words, sizeof(words)};

	if (wbci_segment_open(s, copy->path, false, &m))
		tap_bail("%s", words);
}

/* Needs no slot: all of them may be held by the dead. */
static void reap(const struct place *copy, struct wrong *w)
{
	char words[256] = "";
	struct wbci_message m = {words, sizeof(words)};
	struct wbci_segment s;
	unsigned in_section;

	if (wbci_segment_open(&s, copy->path, true, &m)) {
		wrong_say(w, "the reaper cannot attach: %s", words);
		return;
	}
	wbci_reap(&s, &in_section);
	wbci_segment_close(&s);
}

int64_t copy_recover(const struct place *copy, struct wrong *w)
{
	struct wbci_client *c;
	int64_t swept;

	reap(copy, w);
	c = open_client(copy, w);
	if (!c)
		return 0;
	swept = wbci_recover(c);
	if (swept < 0)
		wrong_say(w, "the recovery ends with %lld", (long long)swept);
	wbci_client_close(&c);
	return swept > 0 ? swept : 0;
}

/* Mix words into a sum that says whether any of them changed. */
static void mix(int64_t *sum, uint64_t word)
{
	uint64_t x = (uint64_t)*sum ^ word;

	*sum = (int64_t)((x ^ x >> 29) * UINT64_C(0x9fb21c651e98df25));
}

static void mix_bytes(int64_t *sum, const void *p, size_t n)
{
	const unsigned char *byte = p;

	for (size_t i = 0; i < n; i++)
		mix(sum, byte[i]);
}

struct reading {
	const struct wbci_segment *s;
	struct facts *f;
	const char *key;
	int64_t rows_sum;
};

static bool is_key(const struct reading *r, const struct wbci_seen *e)
{
	size_t len = strlen(r->key);

	return e->key_len == len && !memcmp(e->key, r->key, len);
}

/* The note that an update set is one of the two, to the last byte. */
static int check_note(const struct wbci_segment *s, const struct wbci_seen *e)
{
	const struct wbc_value is_one[2] = {op_note(), op_large_note()};
	static unsigned char bytes[8192];
	struct wbci_plain p;

	if (wbci_plain_find(s, e->root, OPS_NOTE, &p) ||
	    p.head.bytes > sizeof(bytes) || wbci_plain_copy(s, &p, bytes))
		return -1;
	for (unsigned i = 0; i < 2; i++)
		if (p.head.type == WBC_TEXT &&
		    p.head.bytes == is_one[i].bytes &&
		    !memcmp(bytes, is_one[i].v.p, is_one[i].bytes))
			return 0;
	return -1;
}

/* The order in which rows are met is not theirs: sums are added. */
static int read_row(void *arg, const struct wbci_seen *e)
{
	struct reading *r = arg;
	int64_t sum = 0;
	bool is_empty = true;

	for (unsigned i = 0; i < e->n_cells; i++)
		is_empty &= e->total[i] == 0;
	is_empty &= e->version == 0;
	if (is_empty)
		return 0;
	if (is_key(r, e) && e->n_cells > OPS_X) {
		r->f->n[FACT_INT] += (int64_t)e->total[OPS_N - 1];
		r->f->n[FACT_DOUBLE] +=
			(int64_t)(2 * wbci_double_of(e->total[OPS_X - 1]));
		r->rows_sum += (int64_t)e->total[OPS_M - 1];
		r->f->n[FACT_UPDATES] += (int64_t)e->version;
		return e->version ? check_note(r->s, e) : 0;
	}
	for (unsigned i = 0; i < e->n_cells; i++) {
		mix(&sum, e->total[i]);
		mix(&sum, e->origin[i]);
	}
	mix_bytes(&sum, e->key, e->key_len);
	mix(&sum, e->version);
	r->rows_sum += sum;
	return 0;
}

/* Is a record the one that the victim inserts, to the last byte? */
static bool is_victims(const struct wbci_schema *schema,
                       const unsigned char *record, size_t bytes,
                       const char *key)
{
	struct scene scene = {.key = key};
	struct wbc_value is[WBC_COLUMNS_MAX], want[OPS_VALUES];
	uint8_t columns[WBC_COLUMNS_MAX];

	op_row(&scene, want);
	if (wbci_record_parse(schema, record, bytes, is, columns) != OPS_VALUES)
		return false;
	return is[0].bytes == want[0].bytes &&
	       !memcmp(is[0].v.p, want[0].v.p, want[0].bytes) &&
	       is[1].v.i == want[1].v.i && is[2].bytes == want[2].bytes &&
	       !memcmp(is[2].v.p, want[2].v.p, want[2].bytes);
}

static void read_lane(const struct wbci_segment *s, uint32_t slot,
                      const struct wbci_schema *schema, const struct reading *r,
                      struct wrong *w)
{
	alignas(8) unsigned char buffer[65536];
	uint64_t head, tail;
	int64_t n;

	if (s->geo.lane_bytes > sizeof(buffer))
		tap_bail("the lanes are too large");
	n = wbci_lane_read(s, slot, buffer, &head, &tail);
	if (n < 0)
		wrong_say(w, "lane %u is damaged", slot);
	for (int64_t at = 0; at < n;) {
		struct record_shm record;

		memcpy(&record, buffer + at, sizeof(record));
		if (is_victims(schema, buffer + at, record.bytes, r->key))
			r->f->n[FACT_ROWS]++;
		else
			mix_bytes(&r->f->n[FACT_OTHER], buffer + at,
			          record.bytes);
		at += record.bytes;
	}
}

static void read_tables(const struct wbci_segment *s, struct facts *f,
                        struct wbci_schema *schema, struct wrong *w)
{
	struct wbci_schema want;

	if (wbci_schema_parse(&want, OPS_SPEC, strlen(OPS_SPEC), NULL))
		tap_bail("%s: it does not parse", OPS_SPEC);
	while (f->n[FACT_TABLES] < s->geo.n_tables &&
	       wbci_table_schema(s, (unsigned)f->n[FACT_TABLES], schema,
	                         NULL) == 0) {
		if (!wbci_schema_same(schema, &want))
			wrong_say(w, "table %d is another",
			          (int)f->n[FACT_TABLES]);
		f->n[FACT_TABLES]++;
	}
}

void copy_facts(const struct place *copy, const char *key, struct facts *f,
                struct wrong *w)
{
	struct wbci_segment s;
	struct reading r = {.s = &s, .f = f, .key = key};
	struct wbci_schema schema;

	memset(f, 0, sizeof(*f));
	open_segment(copy, &s);
	read_tables(&s, f, &schema, w);
	for (uint32_t i = 0; f->n[FACT_TABLES] && i < s.geo.n_threads; i++)
		read_lane(&s, i, &schema, &r, w);
	if (wbci_entry_visit_all(&s, read_row, &r))
		wrong_say(w, "an entry is damaged");
	mix(&f->n[FACT_OTHER], (uint64_t)r.rows_sum);
	f->n[FACT_SYNC] = (int64_t)order_load(&s.control->sync_want);
	f->n[FACT_FLUSH] = (int64_t)order_load(&s.control->flush_want);
	f->n[FACT_WANT] = (int64_t)order_load(&s.tables[0].want);
	wbci_segment_close(&s);
}

void copy_audit(const struct place *copy, bool recovered, struct wrong *w)
{
	struct wbci_segment s;
	struct check c;

	open_segment(copy, &s);
	if (check_run(&c, &s))
		tap_bail("no memory for an audit");
	if (c.n_faults)
		wrong_say(w, "the audit: %s", c.faults[0].text);
	if (recovered && c.pass.blocks[CHECK_LOST])
		wrong_say(w, "the audit: %d blocks stay lost",
		          (int)c.pass.blocks[CHECK_LOST]);
	if (recovered && c.pass.dead_procs)
		wrong_say(w, "the audit: a dead process has a slot");
	check_free(&c);
	wbci_segment_close(&s);
}

/* Rows that are not journaled: those of a round, those that there are. */
struct due {
	uint64_t offset[512];
	size_t n;
};

static int note_due(void *arg, const struct wbci_seen *e)
{
	struct due *d = arg;
	bool is_due = false;

	for (unsigned i = 0; i < e->n_cells; i++)
		is_due |= e->total[i] != e->journaled[i];
	if (is_due && d->n < sizeof(d->offset) / sizeof(d->offset[0]))
		d->offset[d->n++] = e->ref.offset;
	return 0;
}

static bool is_due(const struct due *d, uint64_t offset)
{
	for (size_t i = 0; i < d->n; i++)
		if (d->offset[i] == offset)
			return true;
	return false;
}

void copy_collect(const struct place *copy, struct wrong *w)
{
	struct wbci_client *c = open_client(copy, w);
	struct due there = {.n = 0}, collected = {.n = 0};
	struct wbci_rounds r;

	if (!c)
		return;
	if (wbci_rounds_init(&r, c))
		tap_bail("no rounds");
	/* It was there before: it reads what is marked, not everything. */
	r.all = false;
	if (wbci_entry_visit_all(&c->segment, note_due, &there) ||
	    wbci_round_begin(&r) || wbci_round_read(&r, note_due, &collected))
		wrong_say(w, "a round fails");
	for (size_t i = 0; i < there.n; i++)
		if (!is_due(&collected, there.offset[i]))
			wrong_say(w,
			          "row %#llx has changed and is not marked: "
			          "the flusher will not read it",
			          (unsigned long long)there.offset[i]);
	wbci_rounds_free(&r);
	wbci_client_close(&c);
}

static void no_mark(bool begin)
{
	(void)begin;
}

void copy_perform(const struct place *copy, const struct op *op,
                  const char *key, struct wrong *w)
{
	struct scene s = {
		.address = copy->address, .key = key, .mark = no_mark};
	int error = op_prepare(op, &s);

	if (error)
		wrong_say(w, "a survivor cannot prepare it: %s",
		          wbc_strerror(error));
	else if (!op_perform(op, &s))
		wrong_say(w, "a survivor cannot do it");
	if (s.c)
		wbc_close(&s.c);
}
