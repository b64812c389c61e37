/* SPDX-License-Identifier: MIT */
/* Copyright the wbcshm authors */

#include "count.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* Rows wait in shared memory while the flusher is away; so long at most. */
#define INSERT_TIMEOUT_MS 60000

/* The words for an error, unless the library has put better ones there. */
static int explain(struct counting *w, int rc, const char *what)
{
	if (rc && !w->message[0])
		snprintf(w->message, sizeof(w->message), "%s: %s", what,
		         wbc_strerror(rc));
	return rc;
}

int counting_open(struct counting *w, const char *address)
{
	struct wbc_options options = WBC_OPTIONS_INIT;
	int rc;

	memset(w, 0, sizeof(*w));
	w->report = -1;
	w->prefix = "";

	options.flags = WBC_CREATE;
	options.message = w->message;
	options.message_size = sizeof(w->message);
	rc = wbc_open(&w->cache, address, &options);
	if (rc)
		return explain(w, rc, address);

	rc = wbc_table_declare(w->cache, WORDS_SPEC, &w->words, w->message,
	                       sizeof(w->message));
	if (!rc)
		rc = wbc_table_declare(w->cache, LOG_SPEC, &w->log, w->message,
		                       sizeof(w->message));
	if (rc) {
		wbc_close(&w->cache);
		return explain(w, rc, "declaring the tables");
	}
	w->n = (unsigned)wbc_column(w->words, "n");
	return 0;
}

void counting_close(struct counting *w)
{
	wbc_close(&w->cache);
}

/* Tell the reader of our pipe; a kill leaves a whole line or none. */
static int report_word(const struct counting *w, const char *word, size_t bytes)
{
	char line[WORD_MAX + 1];

	memcpy(line, word, bytes);
	line[bytes] = '\n';
	return write(w->report, line, bytes + 1) == (ssize_t)bytes + 1 ? 0
	                                                               : -errno;
}

/* Only this worker writes it, so no atomic addition is needed. */
static void acknowledged(struct progress *p)
{
	uint64_t adds = atomic_load_explicit(&p->adds, memory_order_relaxed);

	atomic_store_explicit(&p->adds, adds + 1, memory_order_relaxed);
}

static int count_word(struct counting *w, const char *word, size_t bytes)
{
	/* One key column, so one value; unnamed, it is the first. */
	struct wbc_value key = wbc_text(NULL, word, (uint32_t)bytes);
	size_t prefix = strlen(w->prefix);
	int rc;

	rc = wbc_add_int64(w->words, &key, 1, w->n, 1);
	if (rc)
		return explain(w, rc, "adding");

	/* It returned 0: from here on the word counts, even if we die. */
	acknowledged(w->progress);
	if (w->report >= 0)
		return report_word(w, word + prefix, bytes - prefix);
	return 0;
}

static char lower(char c)
{
	if (c >= 'a' && c <= 'z')
		return c;
	if (c >= 'A' && c <= 'Z')
		return (char)(c - 'A' + 'a');
	return 0;
}

/* A word under construction; it may begin in one read and end in the next. */
struct building {
	size_t prefix;
	size_t bytes; /* of letters */
	char text[64 + WORD_MAX];
};

static int end_word(struct counting *w, struct building *b, uint64_t *words)
{
	size_t bytes = b->bytes;

	if (!bytes)
		return 0;
	b->bytes = 0;
	++*words;
	return count_word(w, b->text, b->prefix + bytes);
}

static int count_bytes(struct counting *w, struct building *b, const char *text,
                       size_t bytes, uint64_t *words)
{
	size_t i;
	int rc;

	for (i = 0; i < bytes; i++) {
		char c = lower(text[i]);

		if (!c) {
			rc = end_word(w, b, words);
			if (rc)
				return rc;
		} else if (b->bytes < WORD_MAX) {
			b->text[b->prefix + b->bytes++] = c;
		}
	}
	return 0;
}

int count_file(struct counting *w, const char *path, uint64_t *words)
{
	char text[65536];
	struct building b;
	ssize_t got;
	int fd, rc = 0;

	b.prefix = (size_t)snprintf(b.text, 64, "%s", w->prefix);
	b.bytes = 0;
	*words = 0;
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return explain(w, -errno, path);
	while (!rc && (got = read(fd, text, sizeof(text))) != 0) {
		if (got < 0)
			rc = explain(w, -errno, path);
		else
			rc = count_bytes(w, &b, text, (size_t)got, words);
	}
	if (!rc)
		rc = end_word(w, &b, words);
	close(fd);
	return rc;
}

int log_file(struct counting *w, int64_t worker, int64_t pass, const char *path,
             uint64_t words)
{
	struct wbc_value row[] = {
		wbc_int64("worker", worker),
		wbc_int64("pass", pass),
		wbc_text("file", path, (uint32_t)strlen(path)),
		wbc_int64("words", (int64_t)words),
	};

	return explain(w,
	               wbc_insert(w->log, row, sizeof(row) / sizeof(row[0]),
	                          INSERT_TIMEOUT_MS),
	               "inserting");
}

int count_flush(struct counting *w, int timeout_ms)
{
	struct wbc_flush_result result;
	int rc;

	w->message[0] = '\0';
	rc = wbc_flush(w->cache, NULL, timeout_ms, &result);
	if (rc && result.message[0])
		snprintf(w->message, sizeof(w->message), "table %s: %s",
		         result.table, result.message);
	return explain(w, rc, "flushing");
}
