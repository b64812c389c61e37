/* SPDX-License-Identifier: MIT */
/* Copyright the wbcshm authors */

#include "image.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "api/wbcshm.h"
#include "shm/page.h"
#include "shm/segment_check.h"
#include "shm/walk.h"

#define PROCS 4u
#define THREADS 4u
#define LANE_BYTES 4096u
#define MAX_BYTES (UINT64_C(4) << 20)
#define WORDS 240u
#define VISITS 24u
#define ITEMS 12u
#define EVENTS 9u

const char *const image_specs[] = {
	"words(word text key, n counter)",
	"visits(host text key, day int key, hits counter, bytes counter,"
	" seconds double counter)",
	"events(seq int, note text, weight double, raw blob)",
	"items(client int key, seq int key, n counter)",
	NULL,
};

static void make_file(struct image *im)
{
	const struct wbci_create how = {.group = -1,
	                                .max_bytes = MAX_BYTES,
	                                .capacity = 1,
	                                .procs = PROCS,
	                                .threads = THREADS,
	                                .lane_bytes = LANE_BYTES};
	const char *tmp = getenv("TMPDIR");
	char text[256] = "";
	struct wbci_message m = {text, sizeof(text)};
	struct header_shm *h;

	snprintf(im->dir, sizeof(im->dir), "%s/fuzz-XXXXXX",
	         tmp ? tmp : "/tmp");
	if (!mkdtemp(im->dir))
		tap_bail("%s: %s", im->dir, strerror(errno));
	snprintf(im->path, sizeof(im->path), "%s/segment", im->dir);
	if (wbci_segment_create(im->path, &how, &m) ||
	    wbci_segment_open(&im->s, im->path, true, &m))
		tap_bail("%s", text);
	/* Whatever is random in a new segment is not, here. */
	h = (struct header_shm *)(void *)im->s.base;
	h->hash_seed = UINT64_C(0x0123456789abcdef);
	memset(h->segment_id, 7, sizeof(h->segment_id));
	h->born_ns = h->born_real_ns = UINT64_C(1000000000);
	h->checksum = wbci_header_checksum(h);
}

static int add_words(struct wbc_table *t)
{
	char name[16];
	int error = 0;

	for (unsigned i = 0; i < WORDS && !error; i++) {
		struct wbc_value key = wbc_text(
			NULL, name, (uint32_t)sprintf(name, "word%u", i));

		error = wbc_add_int64(t, &key, 1, 1, i);
	}
	return error;
}

static int add_visits(struct wbc_table *t)
{
	char name[64];
	int error = 0;

	for (unsigned i = 0; i < VISITS && !error; i++) {
		struct wbc_value key[2];

		sprintf(name, "host-%u.of-a-rather-long-name.example.org", i);
		key[0] = wbc_text("host", name, (uint32_t)strlen(name));
		key[1] = wbc_int64("day", i % 5);
		error = wbc_add_int64(t, key, 2, 2, 1);
		if (!error)
			error = wbc_add_double(t, key, 2, 4, i * 0.25);
	}
	return error;
}

static int add_rows(struct wbc_table *events, struct wbc_table *items)
{
	int error = 0;

	for (unsigned i = 0; i < EVENTS && !error; i++) {
		struct wbc_value row[4] = {
			wbc_int64("seq", i),
			wbc_text("note", "what happened", i),
			wbc_double("weight", i / 4.0),
			wbc_blob("raw", "\0\1\2\3", i % 4),
		};

		error = wbc_insert(events, row, 1 + i % 4, 0);
	}
	for (unsigned i = 0; i < ITEMS && !error; i++) {
		struct wbc_value key[2] = {wbc_int64("client", i % 3),
		                           wbc_int64("seq", i)};

		error = wbc_add_int64(items, key, 2, 2, 1);
	}
	return error;
}

static void fill(const struct image *im)
{
	struct wbc_options o = WBC_OPTIONS_INIT;
	struct wbc_table *t[4];
	char address[PATH_MAX + 8];
	struct wbc *c;
	int error;

	snprintf(address, sizeof(address), "shm:%s", im->path);
	error = wbc_open(&c, address, &o);
	for (unsigned i = 0; i < 4 && !error; i++)
		error = wbc_table_declare(c, image_specs[i], &t[i], NULL, 0);
	if (!error)
		error = add_words(t[0]);
	if (!error)
		error = add_visits(t[1]);
	if (!error)
		error = add_rows(t[2], t[3]);
	if (error)
		tap_bail("the image: %s", wbc_strerror(error));
	wbc_close(&c);
}

/* Somebody who died in a section, owning a page; times that are always. */
static void leave_a_dead_one(struct image *im)
{
	struct wbci_segment *s = &im->s;

	order_store(&s->procs[1].word, UINT64_C(1) << 4 | PROC_USED);
	order_store(&s->procs[1].pid, 4242);
	memcpy(s->procs[1].name, "a-dead-one", 10);
	order_store(&s->threads[1].word,
	            UINT64_C(1) << 16 | 1u << 4 | THREAD_USED);
	order_store(&s->threads[1].epoch, 1);
	order_store(&s->words[1], order_load(&s->words[1]) | 2u << 12);
	for (unsigned i = 0; i < PROCS; i++)
		order_store(&s->procs[i].start_ns, 1);
	for (unsigned i = 0; i < THREADS; i++)
		order_store(&s->threads[i].start_ns, 1);
}

static void list_one(struct image_elements *e, uint64_t offset)
{
	e->list = realloc(e->list, (e->n + 1) * sizeof(*e->list));
	if (!e->list)
		tap_bail("no memory");
	e->list[e->n++] = offset;
}

static int list_step(void *arg, const struct wbci_step *step)
{
	struct image *im = arg;

	if (step->depth == 0)
		list_one(&im->region[REGION_ROOT], step->at);
	list_one(&im->region[step->tag == INDEX_ENTRY ? REGION_ENTRIES
	                                              : REGION_NODES],
	         step->target);
	return 0;
}

static void find_regions(struct image *im)
{
	const struct header_shm *h = &im->s.geo;
	struct image_elements *r = im->region;

	r[REGION_HEADER] = (struct image_elements){0, sizeof(*h), 1, NULL};
	r[REGION_CONTROL] = (struct image_elements){
		WBCI_SYS_PAGE, sizeof(struct control_shm), 1, NULL};
	r[REGION_PROCS] = (struct image_elements){
		h->procs_off, sizeof(struct proc_shm), h->n_procs, NULL};
	r[REGION_THREADS] = (struct image_elements){
		h->threads_off, sizeof(struct thread_shm), h->n_threads, NULL};
	r[REGION_TABLES] = (struct image_elements){
		h->tables_off, sizeof(struct table_shm), 6, NULL};
	r[REGION_SUMMARY] = (struct image_elements){h->summary_off, 8, 1, NULL};
	r[REGION_WORDS] =
		(struct image_elements){h->words_off, 8, h->n_pages, NULL};
	r[REGION_ROOT].stride = 8;
	r[REGION_METAS] = (struct image_elements){
		h->metas_off, sizeof(struct meta_shm), 8, NULL};
	r[REGION_LANES] = (struct image_elements){h->lanes_off, h->lane_bytes,
	                                          h->n_threads, NULL};
	r[REGION_EXTENTS] = (struct image_elements){
		h->extents_off, WBCI_BLOCK_MIN,
		(uint32_t)((h->size_bytes - h->extents_off) / WBCI_BLOCK_MIN),
		NULL};
	r[REGION_ENTRIES].stride = 192;
	r[REGION_NODES].stride = sizeof(struct node_shm);
	r[REGION_SPECS].stride = 192;
	if (wbci_index_walk(&im->s, list_step, im))
		tap_bail("no memory");
	for (unsigned i = 0; image_specs[i]; i++)
		list_one(&r[REGION_SPECS], order_load(&im->s.tables[i].spec));
	if (!r[REGION_NODES].n || r[REGION_ENTRIES].n < WORDS)
		tap_bail("the image is not what it should be");
}

void image_make(struct image *im)
{
	memset(im, 0, sizeof(*im));
	make_file(im);
	fill(im);
	leave_a_dead_one(im);
	find_regions(im);
	im->pristine = malloc(im->s.size);
	if (!im->pristine)
		tap_bail("no memory");
	memcpy(im->pristine, im->s.base, im->s.size);
}

void image_restore(struct image *im)
{
	for (uint64_t at = 0; at < im->s.size; at += WBCI_SYS_PAGE)
		if (memcmp(im->s.base + at, im->pristine + at, WBCI_SYS_PAGE))
			memcpy(im->s.base + at, im->pristine + at,
			       WBCI_SYS_PAGE);
}
