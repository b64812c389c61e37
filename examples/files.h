/* SPDX-License-Identifier: MIT */
/* Copyright the wbcshm authors */

/* Which text is counted. */
#ifndef EXAMPLE_FILES_H
#define EXAMPLE_FILES_H

#include <stddef.h>
#include <stdint.h>

/* Larger files are left out, and the list ends before it has more bytes. */
#define FILE_BYTES_MAX (128u << 10)
#define FILES_BYTES_MAX (24u << 20)

struct files {
	char **path; /* sorted by bytes */
	size_t n;
	uint64_t bytes;
};

/**
 * files_find() - list the text files below some folders
 * @f:       receives the list; undone by files_free()
 * @folders: where to look; links below them are not followed
 *
 * A text file is a regular file without a NUL byte, not empty, and not
 * called *.gz or *.html; its path is of printable ASCII characters.  The list
 * is the same for the same files, in whatever order the folders give them.
 *
 * Return: 0 or -errno.
 */
int files_find(struct files *f, char *const *folders, size_t n_folders);
void files_free(struct files *f);

/**
 * files_write_share() - write a worker's share of the list, a path a line
 * @worker, @workers: file i is for worker i modulo @workers
 * @path: of the file to write
 *
 * Return: 0 or -errno.
 */
int files_write_share(const struct files *f, unsigned worker, unsigned workers,
                      const char *path);

#endif
