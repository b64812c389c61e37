/* SPDX-License-Identifier: MIT */
/* Copyright the wbcshm authors */

/*
 * The hot way to an entry by a short key: the hash, the root, a few nodes,
 * one comparison; all inline, so that it needs no stack and no call.
 * index.h has the protocol, and the way that handles everything.
 */
#ifndef WBCI_HOT_H
#define WBCI_HOT_H

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "index.h"

/* What a key's hash is seeded with; round 0 is the hash itself, the others
 * are more digits of the same key. */
static inline uint64_t wbci_key_seed(const struct wbci_segment *s,
                                      uint8_t space, uint8_t table,
                                      uint64_t round)
{
	uint64_t which = round << 16 | (uint64_t)table << 8 | space;

	return s->geo.hash_seed + which * UINT64_C(0x9e3779b97f4a7c15);
}

static inline uint64_t wbci_key_hash(const unsigned char *bytes, uint16_t len,
                                 uint64_t seed)
{
	return XXH3_64bits_withSeed(bytes, len, seed);
}

/* Two spans of equal length hold the same bytes; for short ones. */
static inline bool wbci_same_bytes(const unsigned char *a,
                                   const unsigned char *b, unsigned len)
{
	uint64_t x, y;
	uint32_t u, v;

	if (len >= 8) {
		unsigned at = 0;

		do {
			memcpy(&x, a + at, 8);
			memcpy(&y, b + at, 8);
			if (x != y)
				return false;
			at += 8;
		} while (at + 8 <= len);
		memcpy(&x, a + len - 8, 8);
		memcpy(&y, b + len - 8, 8);
		return x == y;
	}
	if (len >= 4) {
		memcpy(&u, a, 4);
		memcpy(&v, b, 4);
		if (u != v)
			return false;
		memcpy(&u, a + len - 4, 4);
		memcpy(&v, b + len - 4, 4);
		return u == v;
	}
	if (len == 0)
		return true;
	return a[0] == b[0] && a[len / 2] == b[len / 2] &&
	       a[len - 1] == b[len - 1];
}

/**
 * wbci_index_hot() - find a short key where nothing is unusual; for clients
 * @head: of the key, see struct wbci_key; it says the length, which is at
 *        most WBCI_KEY_INLINE
 *
 * Return: its entry, or NULL: wbci_index_find() knows.
 */
static inline struct entry_shm *wbci_index_hot(const struct wbci_segment *s,
                                               const unsigned char *bytes,
                                               uint32_t head, uint64_t hash)
{
	order_u64 *at = &s->root[hash & s->root_mask];
	uint64_t digits = hash >> s->geo.root_bits;
	struct entry_shm *e;
	uint32_t has;

	for (;;) {
		/* ORDER index.publish, acquire: what the word names is whole
		 * before the word says so. */
		uint64_t w = order_acquire(at);
		uint64_t offset = wbci_ref_offset(w);

		/* Inside our mapping; an empty word is not. */
		if (__builtin_expect(offset - s->geo.extents_off > s->block_end,
		                     0))
			return NULL;
		e = wbci_at(s, offset);
		if (__builtin_expect((w & 3) == INDEX_ENTRY, 1)) {
			if (__builtin_expect(w << 44 >> 46 != hash >> 46, 0))
				return NULL;
			break;
		}
		/* A closing node, and digits that are used up (or end in
		 * zeros), are the slow way's business. */
		if ((w & 3) != INDEX_NODE || digits == 0)
			return NULL;
		at = &((struct node_shm *)(void *)e)
		              ->word[digits % WBCI_NODE_WORDS];
		digits /= WBCI_NODE_WORDS;
	}
	memcpy(&has, &e->space, sizeof(has));
	if (__builtin_expect(has != head, 0))
		return NULL;
	return wbci_same_bytes(e->key, bytes, head >> 16) ? e : NULL;
}

#endif
