/* SPDX-License-Identifier: MIT */
/* Copyright the wbcshm authors */

/*
 * Trees in a segment: first changes that a client makes, then changes that
 * none would make, and everything that reads or changes a tree on the result.
 *
 *   0   how many changes, 8 bytes each:
 *       how u8 | key u8 | key length u8 | value u8 | bytes u16 | of no use
 *   then edits of the tree's blocks, 8 bytes each:
 *       how u8 | block u8 | at u16 | value u32
 *
 * Before the edits the tree has what was put into it, in order; after them
 * whatever comes is inside the segment, and there is an end to it.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fuzz.h"
#include "shm/long.h"
#include "shm/tree.h"
#include "unit/rig.h"

#define EXTENTS 2u
#define BLOCKS 64u
#define KEYS 256u
#define MOST 1000000u /* items of a damaged tree */

static struct wbci_client *client;
static struct wbci_thread *thread;
static const struct wbci_segment *s;
static unsigned char noise[8192];
static unsigned char copy[WBCI_LONG_MAX];

/* What the tree must have: of each key, which is its number repeated. */
struct known {
	bool there;
	uint8_t key_len;
	uint16_t from;
	uint32_t bytes;
};

static void begin(void)
{
	struct rig r = rig_make(
		&(struct wbci_create){.max_bytes = EXTENTS * WBCI_EXTENT_BYTES,
	                              .capacity = 1,
	                              .procs = 4,
	                              .threads = 4});

	client = rig_client(&r);
	thread = rig_thread(client);
	s = &client->segment;
	if (wbci_segment_grow(s, 0))
		tap_bail("no extent");
	rig_drop(&r);
	for (size_t i = 0; i < sizeof(noise); i++)
		noise[i] = (unsigned char)(i * 7 + i / 256);
}

/* The extents and their bitmaps as they were when nobody had used them. */
static void restore(void)
{
	uint32_t pages = wbci_committed(s) * WBCI_PAGES_PER_EXTENT;

	for (uint32_t p = 0; p < pages; p++)
		if (order_load(&s->words[p])) {
			memset(wbci_at(s, wbci_page_off(s, p)), 0,
			       WBCI_PAGE_BYTES);
			order_store(&s->words[p], PAGE_FREE);
		}
	memset(s->metas, 0, pages * sizeof(*s->metas));
	memset(thread->page, 0, sizeof(thread->page));
}

struct call {
	uint8_t how, key, key_len, value;
	uint16_t bytes;
};

static struct call take_call(struct fuzz_source *from)
{
	struct call c;

	c.how = (uint8_t)fuzz_take(from, 1);
	c.key = (uint8_t)fuzz_take(from, 1);
	c.key_len = (uint8_t)fuzz_take(from, 1);
	c.value = (uint8_t)fuzz_take(from, 1);
	c.bytes = (uint16_t)fuzz_take(from, 2);
	fuzz_take(from, 2);
	return c;
}

static int do_call(struct wbci_tree_edit *e, const struct call *c)
{
	unsigned char key[WBCI_TREE_KEY_MAX + 1];

	memset(key, c->key, sizeof(key));
	if (c->how % 4 == 3)
		return wbci_tree_delete(e, key, c->key_len);
	return wbci_tree_put(e, key, c->key_len, noise + c->value,
	                     c->bytes % (c->how & 128 ? 6000 : 300));
}

/* How the same is known: keys of one byte repeated, by number and length. */
struct book {
	struct known known[KEYS][WBCI_TREE_KEY_MAX + 1];
};

static void note(struct book *b, const struct call *c)
{
	/* Of no bytes there is one key, whatever would be repeated. */
	struct known *k = &b->known[c->key_len ? c->key : 0][c->key_len];

	k->there = c->how % 4 != 3;
	k->from = c->value;
	k->bytes = c->bytes % (c->how & 128 ? 6000 : 300);
}

struct changes {
	struct fuzz_source from;
	unsigned n;
};

/* Up to 16 calls are one update. */
static int change(struct wbci_tree_edit *e, void *arg)
{
	struct changes *changes = arg;
	struct fuzz_source from = changes->from;

	for (unsigned i = 0; i < changes->n; i++) {
		struct call c = take_call(&from);
		int error = do_call(e, &c);

		if (error && error != -ENOENT)
			return error;
	}
	return 0;
}

static void update_all(order_u64 *root, struct fuzz_source *from, unsigned n,
                       struct book *b)
{
	while (n) {
		struct changes changes = {*from, n < 16 ? n : 16};
		int error;

		wbci_enter(thread);
		error = wbci_tree_update(thread, root, change, &changes);
		wbci_exit(thread);
		wbci_epoch_advance(client);
		fuzz_check(!error || error == -ENOSPC, "an update: %d", error);
		for (unsigned i = 0; i < changes.n; i++) {
			struct call c = take_call(from);

			if (!error)
				note(b, &c);
		}
		n -= changes.n;
	}
}

static void check_whole(uint64_t root, const struct book *b)
{
	struct wbci_tree_cursor c;
	struct wbci_tree_item item;
	uint64_t n = 0, counted;
	uint32_t bytes;

	for (unsigned k = 0; k < KEYS; k++)
		for (unsigned len = 0; len <= WBCI_TREE_KEY_MAX; len++)
			n += b->known[k][len].there;
	fuzz_check(!wbci_tree_count(s, root, &counted) && counted == n,
	           "%llu keys are %llu", (unsigned long long)n,
	           (unsigned long long)counted);
	fuzz_check(!wbci_tree_seek(&c, s, root, "", 0), "no walk");
	while (wbci_tree_next(&c, &item) == 1) {
		const struct known *k =
			&b->known[item.key_len ? item.key[0] : 0][item.key_len];

		fuzz_check(k->there && item.value.bytes == k->bytes &&
		                   !wbci_tree_copy(s, &item.value, copy,
		                                   sizeof(copy), &bytes) &&
		                   !memcmp(copy, noise + k->from, bytes),
		           "a value is another");
		n--;
	}
	fuzz_check(n == 0, "%llu keys do not come", (unsigned long long)n);
}

/* ---- damage ---- */

struct blocks {
	uint64_t offset[BLOCKS], bytes[BLOCKS];
	unsigned n;
};

static bool list_block(void *arg, uint64_t offset, uint64_t bytes)
{
	struct blocks *b = arg;

	if (b->n < BLOCKS) {
		b->offset[b->n] = offset;
		b->bytes[b->n++] = bytes;
	}
	return true;
}

static void damage(order_u64 *root, const struct blocks *b,
                   struct fuzz_source *from)
{
	while (from->left) {
		unsigned how = (unsigned)fuzz_take(from, 1);
		unsigned block = (unsigned)fuzz_take(from, 1);
		uint64_t at = fuzz_take(from, 2);
		uint64_t value = fuzz_take(from, 4), word;

		if (how == 255 || b->n == 0) {
			order_store(root,
			            order_load(root) ^ value << block % 33);
			continue;
		}
		block %= b->n;
		at %= b->bytes[block] - 7;
		if (how & 1)
			at = at < 64 ? at / 8 * 8 : 32 + at / 8 * 8 % 256;
		if (at > b->bytes[block] - 8)
			at = 0;
		memcpy(&word, (char *)wbci_at(s, b->offset[block]) + at, 8);
		if (how & 2)
			word = b->offset[value % b->n] | (value >> 16 & 1);
		else
			word ^= value << how / 4 % 33;
		memcpy((char *)wbci_at(s, b->offset[block]) + at, &word, 8);
	}
}

static bool inside(const unsigned char *p, uint32_t bytes)
{
	uint64_t from = (uint64_t)(p - s->base);
	uint64_t end = s->geo.extents_off +
	               (uint64_t)wbci_committed(s) * WBCI_EXTENT_BYTES;

	return from >= s->geo.extents_off && from <= end && bytes <= end - from;
}

static bool count_block(void *arg, uint64_t offset, uint64_t bytes)
{
	fuzz_check(inside(wbci_at(s, offset), (uint32_t)bytes),
	           "a block is outside");
	++*(uint64_t *)arg;
	return true;
}

static void read_damaged(uint64_t root)
{
	struct wbci_tree_cursor c;
	struct wbci_tree_item item;
	struct wbci_tree_value v;
	uint64_t n = 0;
	uint32_t bytes;

	wbci_tree_count(s, root, &n);
	n = 0;
	if (wbci_tree_seek(&c, s, root, "k", 1))
		c.depth = 0;
	while (wbci_tree_next(&c, &item) == 1) {
		fuzz_check(inside(item.key, item.key_len) &&
		                   item.key_len <= WBCI_TREE_KEY_MAX,
		           "a key is outside");
		fuzz_check(!item.value.p ||
		                   inside(item.value.p, item.value.bytes),
		           "a value is outside");
		if (n++ < 100)
			wbci_tree_copy(s, &item.value, copy, sizeof(copy),
			               &bytes);
		fuzz_check(n < MOST, "no end of items");
	}
	for (unsigned k = 0; k < KEYS; k++) {
		unsigned char key = (unsigned char)k;

		if (!wbci_tree_find(s, root, &key, 1, &v))
			fuzz_check(!v.p || inside(v.p, v.bytes),
			           "found outside");
		if (!wbci_tree_seek_index(&c, s, root, k))
			wbci_tree_next(&c, &item);
	}
	n = 0;
	wbci_tree_visit(s, root, count_block, &n);
}

/* A client that changes what is damaged may fail, but not do damage beyond
 * the segment. */
static void change_damaged(order_u64 *root)
{
	static const uint8_t bytes[] = {0, 'k', 1, 9, 40, 0, 0, 0,
	                                3, 'm', 1, 0, 0,  0, 0, 0,
	                                1, 'z', 9, 3, 99, 1, 0, 0};
	struct changes changes = {{bytes, sizeof(bytes)}, 3};

	wbci_enter(thread);
	wbci_tree_update(thread, root, change, &changes);
	wbci_tree_retire(thread, order_load(root));
	wbci_exit(thread);
}

static void one(const uint8_t *data, size_t bytes)
{
	static struct book book;
	struct fuzz_source from = {data, bytes};
	unsigned n = (unsigned)fuzz_take(&from, 1);
	struct blocks blocks = {.n = 0};
	order_u64 root = 0;

	if (n > from.left / 8)
		n = (unsigned)(from.left / 8);
	memset(&book, 0, sizeof(book));
	update_all(&root, &from, n, &book);
	check_whole(order_load(&root), &book);
	wbci_tree_visit(s, order_load(&root), list_block, &blocks);
	if (from.left) {
		damage(&root, &blocks, &from);
		read_damaged(order_load(&root));
		change_damaged(&root);
	}
	restore();
}

static size_t mutate(struct dice *d, uint8_t *data, size_t bytes, size_t room)
{
	unsigned n = 1 + dice_below(d, 255);
	size_t at = 1 + (size_t)n * 8;

	if (bytes > 9 && dice_below(d, 3) != 0)
		return dice_mutate(d, data, bytes, room);
	data[0] = (uint8_t)n;
	for (size_t i = 1; i < at; i++)
		data[i] = (uint8_t)dice_word(d);
	for (unsigned i = dice_below(d, 8); i && at + 8 <= room; i--)
		for (unsigned k = 0; k < 8; k++)
			data[at++] = (uint8_t)dice_word(d);
	return at;
}

const struct fuzz_target fuzz_target = {
	.name = "tree",
	.promise = "a tree has what was put into it, and one that is damaged "
		   "is read and changed all the same",
	.executions = 4000,
	.begin = begin,
	.one = one,
	.mutate = mutate,
};
