/* SPDX-License-Identifier: MIT */
/* Copyright the wbcshm authors */

/* hello [ADDRESS]: count one visit of a page, and see it in the database. */
#include <stdio.h>
#include <wbcshm.h>

int main(int argc, char **argv)
{
	const char *address = argc > 1 ? argv[1] : "shm:hello";
	struct wbc_value page = wbc_text("page", "/index.html", 11);
	struct wbc_table *hits;
	struct wbc *cache;
	int64_t total = 0;
	int n, rc;

	rc = wbc_open(&cache, address, NULL);
	if (rc) {
		fprintf(stderr, "hello: %s: %s\n", address, wbc_strerror(rc));
		return 1;
	}

	/* What the table is like; the flusher was told the same. */
	rc = wbc_table_declare(cache, "hits(page text key, n counter)", &hits,
	                       NULL, 0);
	if (rc)
		goto close;
	n = wbc_column(hits, "n");

	/* The fast part: one atomic instruction in shared memory. */
	rc = wbc_add_int64(hits, &page, 1, (unsigned)n, 1);

	/* Nobody needs to wait for the database.  Here we do, to read it. */
	if (!rc)
		rc = wbc_flush(cache, hits, 10000, NULL);
	if (!rc)
		rc = wbc_read_int64(hits, &page, 1, (unsigned)n, &total);
	if (!rc)
		printf("/index.html: %lld\n", (long long)total);
close:
	if (rc)
		fprintf(stderr, "hello: %s\n", wbc_strerror(rc));
	wbc_close(&cache);
	return rc != 0;
}
