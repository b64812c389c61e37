/* SPDX-License-Identifier: MIT */
/* Copyright the wbcshm authors */

#include "log.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define LINE_MAX_BYTES 2048

int wbci_log_fd = STDERR_FILENO;

/* A line in the making; what does not fit is cut off. */
struct line {
	size_t n;
	char text[LINE_MAX_BYTES];
};

static void put_byte(struct line *l, char byte)
{
	if (l->n < sizeof(l->text) - 3)
		l->text[l->n++] = byte;
}

static void put_plain(struct line *l, const char *text)
{
	while (*text)
		put_byte(l, *text++);
}

static bool needs_quotes(const char *text)
{
	if (!*text)
		return true;
	for (; *text; text++)
		if ((unsigned char)*text <= ' ' || *text == '"' ||
		    *text == '=' || *text == '\\' || *text == 0x7f)
			return true;
	return false;
}

static void put_quoted(struct line *l, const char *text)
{
	char hex[8];

	put_byte(l, '"');
	for (; *text; text++) {
		if (*text == '"' || *text == '\\') {
			put_byte(l, '\\');
			put_byte(l, *text);
		} else if ((unsigned char)*text < ' ' || *text == 0x7f) {
			snprintf(hex, sizeof(hex), "\\x%02x", *text & 0xff);
			put_plain(l, hex);
		} else {
			put_byte(l, *text);
		}
	}
	/* Also when the text was cut off, once. */
	if (l->n < sizeof(l->text) - 2)
		l->text[l->n++] = '"';
}

static void put_time(struct line *l)
{
	char text[40];
	struct timespec now;
	struct tm tm;
	size_t n;

	clock_gettime(CLOCK_REALTIME, &now);
	gmtime_r(&now.tv_sec, &tm);
	n = strftime(text, sizeof(text), "time=%Y-%m-%dT%H:%M:%S", &tm);
	snprintf(text + n, sizeof(text) - n, ".%03ldZ",
	         now.tv_nsec / 1000000 % 1000);
	put_plain(l, text);
}

void wbci_log_fields(const char *event, const struct wbci_field *fields,
                     unsigned n)
{
	struct line l = {.n = 0};
	char number[24];

	if (wbci_log_fd < 0)
		return;
	put_time(&l);
	put_plain(&l, " event=");
	put_plain(&l, event);
	for (unsigned i = 0; i < n; i++) {
		put_byte(&l, ' ');
		put_plain(&l, fields[i].key);
		put_byte(&l, '=');
		if (!fields[i].text) {
			snprintf(number, sizeof(number), "%" PRId64,
			         fields[i].number);
			put_plain(&l, number);
		} else if (needs_quotes(fields[i].text)) {
			put_quoted(&l, fields[i].text);
		} else {
			put_plain(&l, fields[i].text);
		}
	}
	l.text[l.n++] = '\n';
	/* One write is one line, also beside other processes.  There is
	 * nobody to tell if it fails. */
	if (write(wbci_log_fd, l.text, l.n) < 0)
		return;
}
