/* SPDX-License-Identifier: MIT */
/* Copyright the wbcshm authors */

#include "files.h"

#include <errno.h>
#include <fcntl.h>
#include <fts.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static bool ends_in(const char *path, const char *end)
{
	size_t len = strlen(path), n = strlen(end);

	return len > n && strcmp(path + len - n, end) == 0;
}

static bool plain_path(const char *path)
{
	if (ends_in(path, ".gz") || ends_in(path, ".html"))
		return false;
	for (; *path; path++) {
		if (*path < ' ' || *path > '~')
			return false;
	}
	return true;
}

static bool has_no_nul(const char *path)
{
	char text[65536];
	ssize_t got;
	int fd;

	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return false;
	while ((got = read(fd, text, sizeof(text))) > 0) {
		if (memchr(text, 0, (size_t)got))
			break;
	}
	close(fd);
	return got == 0;
}

struct found {
	char *path;
	uint64_t bytes;
};

struct findings {
	struct found *found;
	size_t n, room;
};

static int remember(struct findings *all, const char *path, uint64_t bytes)
{
	struct found *more;

	if (all->n == all->room) {
		all->room = all->room ? 2 * all->room : 1024;
		more = realloc(all->found, all->room * sizeof(*more));
		if (!more)
			return -ENOMEM;
		all->found = more;
	}
	all->found[all->n].path = strdup(path);
	all->found[all->n].bytes = bytes;
	return all->found[all->n++].path ? 0 : -ENOMEM;
}

static int walk(struct findings *all, char *folder)
{
	char *const roots[] = {folder, NULL};
	FTSENT *e;
	FTS *fts;
	int rc = 0;

	fts = fts_open(roots, FTS_PHYSICAL | FTS_COMFOLLOW | FTS_NOCHDIR, NULL);
	if (!fts)
		return -errno;
	while (!rc && (e = fts_read(fts)) != NULL) {
		if (e->fts_info != FTS_F || e->fts_statp->st_size == 0 ||
		    e->fts_statp->st_size > FILE_BYTES_MAX)
			continue;
		if (plain_path(e->fts_path) && has_no_nul(e->fts_accpath))
			rc = remember(all, e->fts_path,
			              (uint64_t)e->fts_statp->st_size);
	}
	fts_close(fts);
	return rc;
}

static int by_path(const void *a, const void *b)
{
	const struct found *x = a, *y = b;

	return strcmp(x->path, y->path);
}

/* Move the paths that are to be counted into the list, free the others. */
static int choose(struct files *f, struct findings *all)
{
	size_t i;

	f->path = calloc(all->n + 1, sizeof(*f->path));
	if (!f->path)
		return -ENOMEM;
	for (i = 0; i < all->n; i++) {
		struct found *next = &all->found[i];

		if (f->bytes + next->bytes > FILES_BYTES_MAX)
			break;
		if (i && strcmp(next->path, f->path[f->n - 1]) == 0)
			continue;
		f->path[f->n++] = next->path;
		f->bytes += next->bytes;
		next->path = NULL;
	}
	return 0;
}

int files_find(struct files *f, char *const *folders, size_t n_folders)
{
	struct findings all = {NULL, 0, 0};
	size_t i;
	int rc = 0;

	memset(f, 0, sizeof(*f));
	for (i = 0; !rc && i < n_folders; i++)
		rc = walk(&all, folders[i]);
	if (!rc && all.n)
		qsort(all.found, all.n, sizeof(*all.found), by_path);
	if (!rc)
		rc = choose(f, &all);
	for (i = 0; i < all.n; i++)
		free(all.found[i].path);
	free(all.found);
	return rc;
}

void files_free(struct files *f)
{
	size_t i;

	for (i = 0; i < f->n; i++)
		free(f->path[i]);
	free(f->path);
	memset(f, 0, sizeof(*f));
}

int files_write_share(const struct files *f, unsigned worker, unsigned workers,
                      const char *path)
{
	FILE *out = fopen(path, "we");
	size_t i;
	int rc = 0;

	if (!out)
		return -errno;
	for (i = worker; i < f->n; i += workers)
		fprintf(out, "%s\n", f->path[i]);
	if (ferror(out))
		rc = -EIO;
	if (fclose(out) && !rc)
		rc = -errno;
	return rc;
}
