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

/* Two spans of equal length, at most WBCI_KEY_INLINE, hold the same bytes. */
static inline bool wbci_same_bytes(const unsigned char *a,
                                   const unsigned char *b, unsigned len)
{
	uint64_t x[4], y[4];
	uint32_t u[2], v[2];

	/* Two or four words, which overlap unless the length is theirs. */
	if (len >= 8) {
		memcpy(&x[0], a, 8);
		memcpy(&y[0], b, 8);
		memcpy(&x[1], a + len - 8, 8);
		memcpy(&y[1], b + len - 8, 8);
		if (((x[0] ^ y[0]) | (x[1] ^ y[1])) != 0)
			return false;
		if (len <= 16)
			return true;
		memcpy(&x[2], a + 8, 8);
		memcpy(&y[2], b + 8, 8);
		memcpy(&x[3], a + len - 16, 8);
		memcpy(&y[3], b + len - 16, 8);
		return ((x[2] ^ y[2]) | (x[3] ^ y[3])) == 0;
	}
	if (len >= 4) {
		memcpy(&u[0], a, 4);
		memcpy(&v[0], b, 4);
		memcpy(&u[1], a + len - 4, 4);
		memcpy(&v[1], b + len - 4, 4);
		return ((u[0] ^ v[0]) | (u[1] ^ v[1])) == 0;
	}
	if (len == 0)
		return true;
	return a[0] == b[0] && a[len / 2] == b[len / 2] &&
	       a[len - 1] == b[len - 1];
}

/*
 * Go down through nodes from a word that is not the entry looked for.
 * Return: the word that may be it, or INDEX_EMPTY: the slow way knows.
 */
static inline uint64_t wbci_index_below(const struct wbci_segment *s,
                                        uint64_t w, uint64_t hash)
{
	uint64_t digits = hash >> s->geo.root_bits;

	/* A closing node, and digits that are used up (or end in zeros), are
	 * the slow way's business. */
	while ((w & 3) == INDEX_NODE && digits != 0) {
		uint64_t offset = wbci_ref_offset(w);
		struct node_shm *node = wbci_at(s, offset);

		if (offset - s->geo.extents_off > s->block_end)
			return INDEX_EMPTY;
		/* ORDER index.publish, acquire: as below. */
		w = order_acquire(&node->word[digits % WBCI_NODE_WORDS]);
		digits /= WBCI_NODE_WORDS;
	}
	return w;
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
	/* The low 20 bits of a word that names an entry of this hash. */
	const uint32_t low = (uint32_t)(hash >> 46 << 2 | INDEX_ENTRY);
	/* ORDER index.publish, acquire: what the word names is whole before
	 * the word says so. */
	uint64_t w = order_acquire(&s->root[hash & s->root_mask]);
	struct entry_shm *e;
	uint64_t offset;
	uint32_t has;

	if (__builtin_expect((((uint32_t)w ^ low) & 0xfffff) != 0, 0)) {
		w = wbci_index_below(s, w, hash);
		if ((((uint32_t)w ^ low) & 0xfffff) != 0)
			return NULL;
	}
	offset = wbci_ref_offset(w);
	/* Inside our mapping, whatever the word says. */
	if (__builtin_expect(offset - s->geo.extents_off > s->block_end, 0))
		return NULL;
	e = wbci_at(s, offset);
	memcpy(&has, &e->space, sizeof(has));
	if (__builtin_expect(has != head, 0))
		return NULL;
	return wbci_same_bytes(e->key, bytes, head >> 16) ? e : NULL;
}

#endif
