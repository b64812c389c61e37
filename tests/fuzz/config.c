/* SPDX-License-Identifier: MIT */
/* Copyright the wbcshm authors */

/*
 * A configuration file of any bytes.
 *
 * What is refused is refused with words that are fit for a terminal and name a
 * line that the file has.  What is taken is printed as a file that is taken,
 * and printed, the same; and no table is among it whose connection is not.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/wbcshm.h"
#include "flusher/config.h"
#include "flusher/settings.h"
#include "fuzz.h"
#include "tap/tap.h"
#include "units/units.h"

static void check_text(const char *words)
{
	size_t n = strlen(words), length;

	fuzz_check(n, "refused without a word");
	for (size_t i = 0; i < n; i += length) {
		const unsigned char *p = (const unsigned char *)words + i;

		length = units_utf8(p, n - i);
		/* The end may be cut off within a character. */
		if (!length && n - i < 4)
			return;
		fuzz_check(length && (length > 1 || (*p >= ' ' && *p != 0x7f)),
		           "byte %#x in the words about a refusal", *p);
	}
}

/* The line that is named, if one is, is one of the file's. */
static void check_line(const char *words, const uint8_t *data, size_t bytes)
{
	unsigned line, lines = 1;

	for (size_t i = 0; i < bytes; i++)
		lines += data[i] == '\n';
	if (sscanf(words, "f:%u:", &line) == 1)
		fuzz_check(line >= 1 && line <= lines, "line %u of %u: %s",
		           line, lines, words);
}

/* Read a file to a configuration, or NULL with words. */
static struct wbci_config *read_config(const char *text, size_t bytes,
                                       char *words, size_t room)
{
	struct wbci_message m = {words, room};
	const struct wbci_flusher_config *said;
	struct wbci_config *c = NULL;
	struct wbci_settings *s;
	int error;

	if (wbci_settings_new(&s))
		tap_bail("no memory");
	error = wbci_settings_bytes(s, "f", text, bytes, &m);
	if (!error)
		error = wbci_settings_said(s, &said, &m);
	if (!error)
		error = wbci_config_new(&c, said, &m);
	fuzz_check(error == 0 || error == -EINVAL || error == -E2BIG ||
	                   error == -ENAMETOOLONG || error == WBC_E_SPEC,
	           "reading fails by %d", error);
	fuzz_check(!error == (c != NULL), "error %d", error);
	wbci_settings_free(&s);
	return c;
}

static void check_config(const struct wbci_config *c)
{
	fuzz_check(c->n_connections, "a configuration without a database");
	for (unsigned i = 0; i < c->n_tables; i++)
		fuzz_check(wbci_config_connection(c, c->tables[i].connection) >=
		                   0,
		           "table %s of no connection", c->tables[i].name);
}

static char *print(const struct wbci_config *c, size_t *bytes)
{
	char words[512];
	struct wbci_message m = {words, sizeof(words)};
	char *text = NULL;
	FILE *to = open_memstream(&text, bytes);

	if (!to)
		tap_bail("no memory");
	fuzz_check(!wbci_config_print(c, to, &m), "it is not printed: %s",
	           words);
	if (fclose(to))
		tap_bail("no memory");
	return text;
}

static void one(const uint8_t *data, size_t bytes)
{
	char words[1024] = "";
	char *exact = dice_exact(data, bytes);
	struct wbci_config *c = read_config(exact, bytes, words, sizeof(words));
	struct wbci_config *again;
	size_t n, n_again;
	char *text, *twice;

	free(exact);
	if (!c) {
		check_text(words);
		check_line(words, data, bytes);
		return;
	}
	check_config(c);
	text = print(c, &n);
	again = read_config(text, n, words, sizeof(words));
	fuzz_check(again, "what was printed is refused: %s", words);
	twice = print(again, &n_again);
	fuzz_check(n == n_again && !memcmp(text, twice, n),
	           "printed first:\n%s\nand then:\n%s", text, twice);
	free(text);
	free(twice);
	wbci_config_free(&c);
	wbci_config_free(&again);
}

static void begin(void)
{
}

/* A word of the grammar, put in somewhere. */
static size_t mutate(struct dice *d, uint8_t *data, size_t bytes, size_t room)
{
	static const char *const words[] = {
		"\n[segment]\n",
		"\n[flush]\n",
		"\n[connection logs]\nsqlite = l\n",
		"\n[connection default]\nsqlite = d\n",
		"\n[table t]\ncolumns = a int key, n counter\n",
		"\n[table logs.t]\ncolumns = a text\n",
		"name = x\n",
		"path = /x\n",
		"create = yes\n",
		"max_size = 64M\n",
		"mode = 0660\n",
		"journal = j\n",
		"journal_interval = 5ms\n",
		"flush_interval = 3s\n",
		"idle = 1h\n",
		"connection = logs\n",
		"on_missing = insert\n",
		"max_queue_rows = 10k\n",
		"\n\tb text,",
		" ; ",
		"#",
		"=",
		"\xef\xbb\xbf",
		"\xc3\xa9",
	};
	const char *word =
		words[dice_below(d, sizeof(words) / sizeof(words[0]))];
	size_t n = strlen(word);
	size_t at = dice_below(d, (uint32_t)bytes + 1);

	if (bytes + n > room || dice_below(d, 3) == 0)
		return dice_mutate(d, data, bytes, room);
	memmove(data + at + n, data + at, bytes - at);
	memcpy(data + at, word, n);
	return bytes + n;
}

const struct fuzz_target fuzz_target = {
	.name = "config",
	.promise = "a configuration file of any bytes is refused in words "
		   "about one of its lines, or printed as one that reads the "
		   "same",
	.executions = 20000,
	.begin = begin,
	.one = one,
	.mutate = mutate,
};
