/* SPDX-License-Identifier: MIT */
/* Copyright the wbcshm authors */

/*
 * The log: one line per event on a descriptor, key=value, quoted where
 * needed.  Every line begins with time= and event=.  Never a password.
 *
 * Lines that other programs read, so their keys do not change:
 *
 *   event=started  segment= journal= generation= pid=
 *   event=applied  table= piece= rows= inserts= refused= ignored= statements=
 *                  ms=
 *     rows: rows whose counters were changed; inserts: rows appended;
 *     refused: rows of either kind that became dead letters; ignored: changes
 *     of rows that the table does not have, with on_missing=ignore;
 *     statements: UPDATE and INSERT statements executed for rows of either
 *     kind, one per row but for refused ones and a few new ones
 *   event=already-applied  table= piece=
 *     the piece was in the database, but a former flusher died before it
 *     could say so
 *   event=stopped  rows= inserts= refused= statements= batches= pieces=
 *                  merges= rounds= left=
 *     this flusher's sums; left: rows that stay in the journal
 *   event=mismatch  table= reason=
 *     the database has a table otherwise than it was declared; at the start
 *     and after a reload, a line for each thing
 *   event=database-away  connection= table= reason=
 *   event=database-back  connection= tables=
 *   event=reloaded  config= connections= tables=
 *   event=reload-failed  reason=
 *     the second: FILE:LINE, and nothing has changed
 *   event=left  table= rows= reason=
 *   event=left-away  connection= tables= rows= tried=
 *     at the end: what stays in the journal; tried: how many works were sent
 *     in the final flush
 *   event=corrupt  what= where= count=
 *     something in the segment makes no sense, and was left out; a line for
 *     the first, the second, the fourth, the eighth, ...
 *   event=segment-truncated  segment= reason=
 *     its file was cut short, or is zeros now; the program ends
 */
#ifndef WBCI_LOG_H
#define WBCI_LOG_H

#include <stdint.h>

/* One key of a line: a text, or a number if the text is NULL. */
struct wbci_field {
	const char *key;
	const char *text;
	int64_t number;
};

#define LOG_TEXT(key_, text_) ((struct wbci_field){(key_), (text_), 0})
#define LOG_NUMBER(key_, number_)                                              \
	((struct wbci_field){(key_), NULL, (int64_t)(number_)})

/* Where lines go, for the whole process; -1: nowhere.  At first stderr. */
extern int wbci_log_fd;

void wbci_log_fields(const char *event, const struct wbci_field *fields,
                     unsigned n);

/* wbci_log("event", LOG_TEXT("key", text), LOG_NUMBER("key", number), ...) */
#define wbci_log(event, ...)                                                   \
	wbci_log_fields((event), (struct wbci_field[]){__VA_ARGS__},           \
	                sizeof((struct wbci_field[]){__VA_ARGS__}) /           \
	                        sizeof(struct wbci_field))

#endif
