/* SPDX-License-Identifier: MIT */
/* Copyright the wbcshm authors */

/* A segment in a folder of its own, and an oracle's look into it. */
#ifndef SCRATCH_H
#define SCRATCH_H

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "api/handle.h"
#include "shm/entry.h"
#include "shm/epoch.h"
#include "shm/key.h"
#include "tap/tap.h"

struct scratch {
	char dir[PATH_MAX / 2];
	char path[PATH_MAX];
	char address[PATH_MAX + 8];
};

static inline void scratch_make(struct scratch *s)
{
	const char *tmp = getenv("TMPDIR");

	snprintf(s->dir, sizeof(s->dir), "%s/segment-XXXXXX",
	         tmp ? tmp : "/tmp");
	if (!mkdtemp(s->dir))
		tap_bail("%s: %s", s->dir, strerror(errno));
	snprintf(s->path, sizeof(s->path), "%s/s", s->dir);
	snprintf(s->address, sizeof(s->address), "shm:%s", s->path);
}

/* Everything in the folder; it has no folders in it, but maybe empty ones. */
static inline unsigned scratch_clear(const struct scratch *s)
{
	DIR *dir = opendir(s->dir);
	const struct dirent *e;
	unsigned n = 0;

	if (!dir)
		tap_bail("%s: %s", s->dir, strerror(errno));
	while ((e = readdir(dir))) {
		if (!strcmp(e->d_name, ".") || !strcmp(e->d_name, ".."))
			continue;
		if (unlinkat(dirfd(dir), e->d_name, 0))
			unlinkat(dirfd(dir), e->d_name, AT_REMOVEDIR);
		n++;
	}
	closedir(dir);
	return n;
}

static inline void scratch_remove(const struct scratch *s)
{
	scratch_clear(s);
	if (rmdir(s->dir))
		tap_bail("%s: %s", s->dir, strerror(errno));
}

/* How many files the folder has. */
static inline unsigned scratch_files(const struct scratch *s)
{
	DIR *dir = opendir(s->dir);
	const struct dirent *e;
	unsigned n = 0;

	if (!dir)
		tap_bail("%s: %s", s->dir, strerror(errno));
	while ((e = readdir(dir)))
		n += e->d_name[0] != '.';
	closedir(dir);
	return n;
}

/* A small segment, unless the options say otherwise. */
static inline struct wbc_options scratch_options(void)
{
	struct wbc_options o = WBC_OPTIONS_INIT;

	o.flags = WBC_CREATE;
	o.max_bytes = 64 << 20;
	o.capacity = 4096;
	o.procs = 16;
	o.threads = 16;
	o.lane_bytes = 4096;
	return o;
}

static inline struct wbc *scratch_open(const struct scratch *s,
                                       const struct wbc_options *options)
{
	struct wbc_options o = options ? *options : scratch_options();
	char words[512];
	struct wbc *c;
	int error;

	o.message = words;
	o.message_size = sizeof(words);
	error = wbc_open(&c, s->address, &o);
	if (error)
		tap_bail("%s: %d: %s", s->address, error, words);
	return c;
}

static inline struct wbc_table *scratch_table(struct wbc *c, const char *spec)
{
	struct wbc_table *t;
	char words[512];

	if (wbc_table_declare(c, spec, &t, words, sizeof(words)))
		tap_bail("%s", words);
	return t;
}

/*
 * What clients added to a cell, as bits: no flusher told the origin, so the
 * public calls do not say.  0 if there is no such row.
 */
static inline uint64_t scratch_total(struct wbc_table *t,
                                     const struct wbc_value *key, size_t n_key,
                                     unsigned column)
{
	unsigned cell = t->schema.columns[column].index;
	unsigned char bytes[WBC_KEY_MAX];
	struct wbci_thread *thread;
	struct entry_shm *e;
	struct wbci_key k;
	uint64_t offset, total;
	int len, error;

	len = wbci_key_encode(&t->schema, key, n_key, bytes);
	if (len < 0 || wbci_thread(t->c->client, &thread))
		tap_bail("no key, or no thread slot");
	wbci_key_init(&t->c->client->segment, &k, SPACE_ROW, (uint8_t)t->number,
	              bytes, (uint16_t)len);
	error = wbci_entry_find(thread, &k, &e, &offset);
	if (error == -ENOENT)
		return 0;
	if (error)
		tap_bail("find: %d", error);
	total = order_acquire(wbci_entry_total(e, cell));
	wbci_exit(thread);
	return total;
}

/* How many process slots, or thread slots, are in a state. */
static inline unsigned scratch_procs(const struct wbci_segment *s,
                                     unsigned state)
{
	unsigned n = 0;

	for (uint32_t i = 0; i < s->geo.n_procs; i++)
		n += (order_load(&s->procs[i].word) & 15) == state;
	return n;
}

static inline unsigned scratch_threads(const struct wbci_segment *s,
                                       unsigned state)
{
	unsigned n = 0;

	for (uint32_t i = 0; i < s->geo.n_threads; i++)
		n += (order_load(&s->threads[i].word) & 15) == state;
	return n;
}

/* Thread slots that somebody has. */
static inline unsigned scratch_threads_used(const struct wbci_segment *s)
{
	return s->geo.n_threads - scratch_threads(s, THREAD_FREE);
}

#endif
