/* SPDX-License-Identifier: MIT */
/* Copyright the wbcshm authors */

#include "screen.h"

#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

static bool shown;      /* a progress line stands there */
static double shown_at; /* seconds */

const char *grouped(uint64_t n)
{
	static char texts[8][32];
	static unsigned next;
	char *end = texts[next++ % 8] + 31, *p = end;
	unsigned digits = 0;

	*p = '\0';
	do {
		if (digits && digits % 3 == 0)
			*--p = ',';
		*--p = (char)('0' + n % 10);
		digits++;
	} while (n /= 10);
	return p;
}

void screen_end_progress(void)
{
	if (shown)
		fputs("\r\033[K", stdout);
	shown = false;
	fflush(stdout);
}

void screen_say(const char *format, ...)
{
	va_list args;

	screen_end_progress();
	va_start(args, format);
	vprintf(format, args);
	va_end(args);
	fflush(stdout);
}

void screen_error(const char *format, ...)
{
	va_list args;

	screen_end_progress();
	fputs("wordcount: ", stderr);
	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fputc('\n', stderr);
}

void screen_progress(double seconds, uint64_t adds, bool has_flusher)
{
	if (!isatty(STDOUT_FILENO))
		return;
	if (shown && seconds - shown_at < 0.2)
		return;
	printf("\r\033[K  %5.1f s  %15s adds  %5.1f M/s%s", seconds,
	       grouped(adds), seconds > 0 ? (double)adds / seconds / 1e6 : 0,
	       has_flusher ? "" : "  (no flusher)");
	shown = true;
	shown_at = seconds;
	fflush(stdout);
}
