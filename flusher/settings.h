/* SPDX-License-Identifier: MIT */
/* Copyright the wbcshm authors */

/*
 * Settings as people write them: in a file, and on the command line.
 *
 * Each setting has one entry in one table, which says how its text is read
 * and what would be right: so file and command line take the same texts and
 * refuse the same.  The main thread alone uses this; inih has its options in
 * global variables.
 *
 * A value of a [connection] is never repeated in words: it may be a secret.
 */
#ifndef WBCI_SETTINGS_H
#define WBCI_SETTINGS_H

#include "../shm/message.h"
#include "config.h"

/* The most that a file may have. */
#define WBCI_FILE_BYTES (1u << 20)

enum wbci_setting_kind {
	SETTING_TEXT,
	SETTING_PATH, /* a text that begins with / */
	SETTING_YES,
	SETTING_SIZE,
	SETTING_COUNT,
	SETTING_TIME,
	SETTING_AGE, /* a time, or never */
	SETTING_MODE
};

struct wbci_setting {
	const char *section; /* of a file */
	const char *key;     /* there */
	const char *option;  /* "--key" on the command line, or "" */
	enum wbci_setting_kind kind;
	size_t offset;      /* in struct wbci_flusher_config */
	int64_t most_ms;    /* of a time */
	const char *wanted; /* what would be right */
};

/* The table; at its end nothing is wanted. */
extern const struct wbci_setting wbci_settings_table[];

/* What was said, with all texts that it points to. */
struct wbci_settings;

int wbci_settings_new(struct wbci_settings **s);
void wbci_settings_free(struct wbci_settings **s);

/**
 * wbci_settings_file() - take over a file
 * @path: it; to be called at most once, before options are set
 * @m:    FILE:LINE: what is wrong, and what would be right
 *
 * Return: 0, -EINVAL, -E2BIG, -ENOENT, -EACCES, -ENOMEM, -errno.
 */
int wbci_settings_file(struct wbci_settings *s, const char *path,
                       const struct wbci_message *m);

/* The same from memory; @path is for the words only. */
int wbci_settings_bytes(struct wbci_settings *s, const char *path,
                        const char *text, size_t bytes,
                        const struct wbci_message *m);

/**
 * wbci_settings_set() - one option, over what the file says
 * @option: as "--journal"
 * @text:   its value
 *
 * Return: 0, -EINVAL with words, -ENOMEM, -ENOENT: no option of the table.
 */
int wbci_settings_set(struct wbci_settings *s, const char *option,
                      const char *text, const struct wbci_message *m);

/* A table on the command line, in place of the file's of that name. */
int wbci_settings_add_table(struct wbci_settings *s, const char *spec,
                            const struct wbci_message *m);

/**
 * wbci_settings_said() - all of it together
 * @said: valid until @s changes
 *
 * Return: 0, or -EINVAL: FILE:LINE: a table's connection is missing.
 */
int wbci_settings_said(struct wbci_settings *s,
                       const struct wbci_flusher_config **said,
                       const struct wbci_message *m);

/* Read a text as a setting's kind demands.  False: it is not so. */
bool wbci_setting_read(const struct wbci_setting *k, const char *text,
                       void *to);

#endif
