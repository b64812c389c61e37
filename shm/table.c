/* SPDX-License-Identifier: MIT */
/* Copyright the wbcshm authors */

#include "table.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "../api/wbc_error.h"
#include "epoch.h"
#include "page.h"
#include "wake.h"

/* Copy a table's canonical text.  Specs are immutable once published. */
static int copy_text(const struct wbci_segment *s, uint64_t offset, char *text)
{
	const struct spec_shm *spec;
	uint32_t bytes;

	if (!wbci_in_page(s, offset, sizeof(*spec)))
		return WBC_E_CORRUPT;
	spec = wbci_at(s, offset);
	bytes = *(const volatile uint32_t *)&spec->bytes;
	if (bytes >= WBCI_SPEC_MAX ||
	    !wbci_in_page(s, offset, sizeof(*spec) + bytes))
		return WBC_E_CORRUPT;
	memcpy(text, spec->text, bytes);
	return (int)bytes;
}

int wbci_table_schema(const struct wbci_segment *s, unsigned table,
                      struct wbci_schema *schema,
                      const struct wbci_message *m)
{
	char text[WBCI_SPEC_MAX];
	uint64_t offset;
	int bytes;

	if (table >= s->geo.n_tables)
		return -ENOENT;
	/* ORDER table.publish, acquire: the text is whole. */
	offset = order_acquire(&s->tables[table].spec);
	if (!offset)
		return -ENOENT;
	bytes = copy_text(s, offset, text);
	if (bytes < 0 || wbci_schema_parse(schema, text, (size_t)bytes, NULL))
		return wbci_say(m, WBC_E_CORRUPT,
		                "table %u: its declaration in the segment is "
		                "damaged",
		                table);
	return 0;
}

/* Put a spec into an empty place.  1: somebody else was first. */
static int publish(struct wbci_thread *t, unsigned table, const char *text,
                   size_t bytes, int64_t *deadline)
{
	const struct wbci_segment *s = &t->client->segment;
	/* ORDER wake.event, acquire: before we look for memory. */
	uint32_t seen = order_acquire(&t->control->event);
	uint32_t have = wbci_committed(s);
	uint64_t offset, empty = 0;
	struct spec_shm *spec;
	int error;

	wbci_enter(t);
	error = wbci_block_alloc(t, PAGE_BLOCKS, sizeof(*spec) + bytes,
	                         &offset);
	if (error) {
		wbci_exit(t);
		if (error == -ENOSPC)
			error = wbci_memory_wait(t->client, have, seen,
			                         deadline);
		return error ? error : -EAGAIN;
	}
	spec = wbci_at(s, offset);
	spec->bytes = (uint32_t)bytes;
	spec->reserved = 0;
	memcpy(spec->text, text, bytes);
	/* ORDER table.publish, release: the text is whole. */
	if (!order_cas_release(&s->tables[table].spec, &empty, offset)) {
		wbci_block_undo(t, offset);
		error = 1;
	}
	wbci_exit(t);
	return error;
}

static int compare(const struct wbci_schema *have,
                   const struct wbci_schema *want,
                   const struct wbci_message *m)
{
	char text[WBCI_SPEC_MAX];

	if (wbci_schema_same(have, want))
		return 0;
	wbci_schema_text(have, text);
	return wbci_say(m, WBC_E_SCHEMA,
	                "declare table %s: it is declared differently "
	                "already, as %s",
	                want->name, text);
}

unsigned wbci_table_policy(const struct wbci_segment *s, unsigned table)
{
	/* Relaxed: nothing else goes with it, and it changes once. */
	uint64_t policy = order_load(&s->tables[table].policy);

	return policy <= ON_MISSING_IGNORE ? (unsigned)policy
	                                   : ON_MISSING_UNSET;
}

/* Who gives a policy first gives it for all. */
static int declare_policy(const struct wbci_segment *s, unsigned table,
                          const struct wbci_schema *schema,
                          const struct wbci_message *m)
{
	uint64_t had = ON_MISSING_UNSET;

	/* Relaxed: as in wbci_table_policy(). */
	if (schema->on_missing == ON_MISSING_UNSET ||
	    order_cas_relaxed(&s->tables[table].policy, &had,
	                      schema->on_missing) ||
	    had == schema->on_missing)
		return 0;
	return wbci_say(m, WBC_E_SCHEMA,
	                "declare table %s: it is declared with on_missing=%s "
	                "already, not %s",
	                schema->name, wbci_schema_policy((unsigned)had),
	                wbci_schema_policy(schema->on_missing));
}

int wbci_table_declare(struct wbci_thread *t, const struct wbci_schema *schema,
                       const struct wbci_message *m)
{
	const struct wbci_segment *s = &t->client->segment;
	struct wbci_schema *other = malloc(sizeof(*other));
	char text[WBCI_SPEC_MAX];
	size_t bytes = wbci_schema_text(schema, text);
	int64_t deadline = 0;
	unsigned i = 0;
	int error = 0;

	if (!other)
		return -ENOMEM;
	while (i < s->geo.n_tables) {
		error = wbci_table_schema(s, i, other, m);
		if (error == -ENOENT) {
			error = publish(t, i, text, bytes, &deadline);
			if (error == 0)
				break;
			if (error > 0 || error == -EAGAIN)
				continue;
		}
		if (error)
			break;
		if (!strcmp(other->name, schema->name) &&
		    !strcmp(other->connection, schema->connection)) {
			error = compare(other, schema, m);
			break;
		}
		i++;
	}
	free(other);
	if (i == s->geo.n_tables)
		return wbci_say(m, -E2BIG,
		                "declare table %s: the segment has %u tables "
		                "already, more do not fit",
		                schema->name, i);
	if (!error)
		error = declare_policy(s, i, schema, m);
	if (error == -ENOSPC)
		wbci_segment_full_message(s, m);
	return error ? error : (int)i;
}

void wbci_table_park(const struct wbci_segment *s, unsigned table, int error,
                     const char *message)
{
	struct table_shm *shm = &s->tables[table];
	char text[WBCI_TABLE_MESSAGE] = {0};
	size_t bytes = strlen(message);
	uint64_t seq = order_load(&shm->message_seq) & ~UINT64_C(1);

	if (bytes > sizeof(text) - 1)
		bytes = sizeof(text) - 1;
	memcpy(text, message, bytes);
	/* Relaxed: odd before the words change, since each of them releases. */
	order_store(&shm->message_seq, seq + 1);
	for (unsigned i = 0; i < WBCI_TABLE_MESSAGE / 8; i++) {
		uint64_t word;

		memcpy(&word, text + i * 8, 8);
		order_release(&shm->message[i], word);
	}
	/* ORDER table.message, release: as each word, after the odd number. */
	order_release(&shm->parked, (uint64_t)-(int64_t)error);
	/* ORDER table.message, release: even after the words. */
	order_release(&shm->message_seq, seq + 2);
}

/*
 * What stands for itself on a terminal at @p: bytes of ASCII, or of a UTF-8
 * character that is no C1 control; 0 if nothing does.
 */
static unsigned printable(const unsigned char *p)
{
	unsigned n = p[0] < 0xe0 ? 2 : p[0] < 0xf0 ? 3 : 4;

	if (p[0] < 0x80)
		return p[0] >= ' ' && p[0] != 0x7f;
	if (p[0] < 0xc2 || p[0] > 0xf4 || (p[0] == 0xc2 && p[1] < 0xa0))
		return 0;
	/* The text ends in NUL, which is no continuation. */
	for (unsigned i = 1; i < n; i++)
		if ((p[i] & 0xc0) != 0x80)
			return 0;
	return n;
}

static void make_printable(char *text)
{
	unsigned n;

	for (unsigned char *p = (unsigned char *)text; *p; p += n) {
		n = printable(p);
		if (n)
			continue;
		*p = '?';
		n = 1;
	}
}

int wbci_table_parked(const struct wbci_segment *s, unsigned table, char *text)
{
	struct table_shm *shm = &s->tables[table];
	uint64_t parked = 0;
	bool whole = false;

	/* A flusher killed while it wrote leaves an odd number: no words. */
	for (unsigned tries = 0; tries < 100 && !whole; tries++) {
		uint64_t seq = order_acquire(&shm->message_seq);

		for (unsigned i = 0; i < WBCI_TABLE_MESSAGE / 8; i++) {
			/* ORDER table.message, acquire: before the second
			 * look at the sequence. */
			uint64_t word = order_acquire(&shm->message[i]);

			memcpy(text + i * 8, &word, 8);
		}
		parked = order_acquire(&shm->parked);
		whole = !(seq & 1) && order_load(&shm->message_seq) == seq;
	}
	if (!whole)
		text[0] = '\0';
	text[WBCI_TABLE_MESSAGE - 1] = '\0';
	make_printable(text);
	return parked <= 20000 ? -(int)parked : WBC_E_CORRUPT;
}
