/* SPDX-License-Identifier: MIT */
/* Copyright the wbcshm authors */

#include "long.h"

#include <errno.h>
#include <string.h>

#include "../api/wbc_error.h"
#include "page.h"
#include "walk.h"

/* A head of so many bytes may be filled however little. */
#define SMALL 2048u
/* What is left is cut no further below this. */
#define CHUNK_MIN 1024u

/* Bytes of a head with @n chunks and the last @tail bytes. */
static uint64_t head_bytes(uint32_t n, uint32_t tail)
{
	return sizeof(struct long_shm) + (uint64_t)n * sizeof(uint64_t) + tail;
}

/* Is a block for a head of so many bytes filled well enough? */
static bool fills_block(uint64_t bytes)
{
	int class = wbci_class_of(bytes);

	return class >= 0 && (wbci_class_bytes[class] <= SMALL ||
	                      bytes >= wbci_class_bytes[class] / 4 * 3);
}

/* The class of the next chunk, after @n of them and with @left bytes to go;
 * -1 if those go into the head.  Chunks are always full. */
static int next_class(uint32_t n, uint32_t left)
{
	int class = (int)WBCI_CLASSES - 1;

	if (left < CHUNK_MIN || fills_block(head_bytes(n, left)))
		return -1;
	while (wbci_class_bytes[class] > left)
		class --;
	return class;
}

/* How many chunks, and what is left for the head. */
static uint32_t count_chunks(uint32_t bytes, uint32_t *tail)
{
	uint32_t n = 0;
	int class;

	*tail = bytes;
	while ((class = next_class(n, *tail)) >= 0) {
		*tail -= wbci_class_bytes[class];
		n++;
	}
	return n;
}

static uint64_t size_word(uint32_t bytes, uint32_t n)
{
	return bytes | (uint64_t)n << 32;
}

/* A chunk's word: its offset, which is a multiple of 64, and its class. */
static uint32_t chunk_class(uint64_t word)
{
	return (uint32_t)(word % WBCI_BLOCK_MIN);
}

static uint64_t chunk_offset(uint64_t word)
{
	return word - word % WBCI_BLOCK_MIN;
}

/* All chunks' blocks; on no room, none. */
static int take_chunks(struct wbci_thread *t, uint64_t offset, uint32_t n,
                       uint32_t left)
{
	struct long_shm *head = wbci_at(&t->client->segment, offset);

	for (uint32_t i = 0; i < n; i++) {
		int class = next_class(i, left);
		uint64_t chunk;
		int error = wbci_block_alloc(t, PAGE_BLOCKS,
		                             wbci_class_bytes[class], &chunk);

		if (error) {
			/* So many are ours to give back. */
			order_store(&head->size, size_word(0, i));
			wbci_long_undo(t, offset);
			return error;
		}
		/* Relaxed, as all of it: published with the offset. */
		order_store(&head->chunk[i], chunk | (uint64_t) class);
		left -= wbci_class_bytes[class];
	}
	return 0;
}

static void fill(const struct wbci_segment *s, struct long_shm *head,
                 uint32_t n, const unsigned char *p, uint32_t tail)
{
	for (uint32_t i = 0; i < n; i++) {
		uint64_t word = order_load(&head->chunk[i]);
		uint32_t bytes = wbci_class_bytes[chunk_class(word)];

		memcpy(wbci_at(s, chunk_offset(word)), p, bytes);
		p += bytes;
	}
	if (tail)
		memcpy(&head->chunk[n], p, tail);
}

int wbci_long_alloc(struct wbci_thread *t, const void *p, uint32_t bytes,
                    uint64_t *offset)
{
	const struct wbci_segment *s = &t->client->segment;
	struct long_shm *head;
	uint32_t n, tail;
	uint64_t at;
	int error;

	if (bytes > WBCI_LONG_MAX)
		return -E2BIG;
	n = count_chunks(bytes, &tail);
	error = wbci_block_alloc(t, PAGE_BLOCKS, head_bytes(n, tail), &at);
	if (error)
		return error;
	error = take_chunks(t, at, n, bytes);
	if (error)
		return error;
	head = wbci_at(s, at);
	order_store(&head->size, size_word(bytes, n));
	fill(s, head, n, p, tail);
	*offset = at;
	return 0;
}

void wbci_long_undo(struct wbci_thread *t, uint64_t offset)
{
	struct long_shm *head = wbci_at(&t->client->segment, offset);
	uint32_t n = (uint32_t)(order_load(&head->size) >> 32);

	for (uint32_t i = 0; i < n; i++)
		wbci_block_undo(t, chunk_offset(order_load(&head->chunk[i])));
	wbci_block_undo(t, offset);
}

/* A head as it was found: loaded once, and checked. */
struct head {
	struct long_shm *shm;
	uint32_t bytes; /* of the string */
	uint32_t n;
	uint32_t room; /* of the head's block */
};

static bool find_block(const struct wbci_segment *s, uint64_t offset,
                       uint32_t *class)
{
	uint32_t page, block;
	uint64_t word;

	if (!wbci_block_find(s, offset, &page, &block, &word) ||
	    wbci_page_kind(word) != PAGE_BLOCKS)
		return false;
	*class = wbci_page_class(word);
	return true;
}

static bool open_head(const struct wbci_segment *s, uint64_t offset,
                      struct head *h)
{
	uint32_t class;
	uint64_t size;

	if (!find_block(s, offset, &class))
		return false;
	h->shm = wbci_at(s, offset);
	h->room = wbci_class_bytes[class];
	size = order_load(&h->shm->size);
	h->bytes = (uint32_t)size;
	h->n = (uint32_t)(size >> 32);
	return h->bytes <= WBCI_LONG_MAX &&
	       h->n <= (h->room - sizeof(*h->shm)) / sizeof(uint64_t);
}

/* Chunk i, of at most @left bytes: its offset and length. */
static bool open_chunk(const struct wbci_segment *s, const struct head *h,
                       uint32_t i, uint32_t left, uint64_t *offset,
                       uint32_t *bytes)
{
	uint64_t word = order_load(&h->shm->chunk[i]);
	uint32_t class;

	*offset = chunk_offset(word);
	if (!find_block(s, *offset, &class) || class != chunk_class(word))
		return false;
	*bytes = wbci_class_bytes[class];
	return *bytes <= left;
}

/* Does a head with so many bytes in it fit into its block? */
static bool holds_tail(const struct head *h, uint32_t tail)
{
	return tail <= h->room && head_bytes(h->n, tail) <= h->room;
}

int wbci_long_read(const struct wbci_segment *s, uint64_t offset, void *to,
                   uint32_t room, uint32_t *bytes)
{
	unsigned char *at = to;
	uint32_t left, chunk_bytes;
	uint64_t chunk;
	struct head h;

	if (!open_head(s, offset, &h))
		return WBC_E_CORRUPT;
	left = *bytes = h.bytes;
	if (left > room)
		return -E2BIG;
	for (uint32_t i = 0; i < h.n; i++) {
		if (!open_chunk(s, &h, i, left, &chunk, &chunk_bytes))
			return WBC_E_CORRUPT;
		memcpy(at, wbci_at(s, chunk), chunk_bytes);
		at += chunk_bytes;
		left -= chunk_bytes;
	}
	if (!holds_tail(&h, left))
		return WBC_E_CORRUPT;
	if (left)
		memcpy(at, &h.shm->chunk[h.n], left);
	return 0;
}

int wbci_long_visit(const struct wbci_segment *s, uint64_t offset,
                    wbci_long_fn *visit, void *arg)
{
	int result = 0;
	struct head h;
	uint32_t left;

	if (!open_head(s, offset, &h))
		return WBC_E_CORRUPT;
	left = h.bytes;
	for (uint32_t i = 0; i < h.n; i++) {
		uint32_t bytes;
		uint64_t chunk;

		if (!open_chunk(s, &h, i, left, &chunk, &bytes)) {
			result = WBC_E_CORRUPT;
			continue;
		}
		visit(arg, chunk, bytes);
		left -= bytes;
	}
	if (!holds_tail(&h, left)) {
		result = WBC_E_CORRUPT;
		left = 0;
	}
	visit(arg, offset, head_bytes(h.n, left));
	return result;
}

static void retire_block(void *arg, uint64_t offset, uint64_t bytes)
{
	(void)bytes;
	wbci_block_retire(arg, offset);
}

void wbci_long_retire(struct wbci_thread *t, uint64_t offset)
{
	wbci_long_visit(&t->client->segment, offset, retire_block, t);
}
