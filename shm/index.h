/* SPDX-License-Identifier: MIT */
/* Copyright the wbcshm authors */

/*
 * The index: a lock-free hash trie from keys to entries.
 *
 * who          may call together
 * any thread   wbci_index_find, wbci_index_insert, wbci_index_unlink
 *
 * A root of 2^k words, below it nodes of 16.  A key has exactly one place: the
 * first word on its hash's path that is not a node.  Insert is CAS EMPTY ->
 * entry; two keys that clash are CAS entry -> node that holds both.  A word
 * that holds a node never holds an entry again while the node is linked.
 *
 * A thread killed anywhere leaves at most a private block behind.
 * Progress: lock-free.  Source: hash tries (Bagwell 2001) with one CAS per
 * insert, as in lock-free hash trees without copying.
 */
#ifndef WBCI_INDEX_H
#define WBCI_INDEX_H

#include <string.h>

#include "client.h"

/* A key, with what an entry's first line begins its key area with. */
struct wbci_key {
	const unsigned char *bytes;
	uint64_t hash;
	uint32_t head; /* space | table << 8 | len << 16 */
};

static inline uint16_t wbci_key_len(const struct wbci_key *k)
{
	return (uint16_t)(k->head >> 16);
}

/* Fill in a key; @bytes must stay as long as it is used. */
void wbci_key_init(const struct wbci_segment *s, struct wbci_key *k,
                   uint8_t space, uint8_t table, const unsigned char *bytes,
                   uint16_t len);

static inline uint64_t wbci_ref_offset(uint64_t word)
{
	return (word >> 20) * WBCI_BLOCK_MIN;
}

/**
 * wbci_index_find() - the entry of a key, in a section
 * Return: its offset, 0 if there is none, or WBC_E_CORRUPT.
 */
int64_t wbci_index_find(struct wbci_thread *t, const struct wbci_key *k);

/**
 * wbci_index_insert() - link a private entry in, in a section
 * @entry: offset of an initialised entry with that key
 *
 * Return: @entry if it is linked now, the offset of the entry that has the
 * key already, -ENOSPC (no room for a node), or WBC_E_CORRUPT.
 */
int64_t wbci_index_insert(struct wbci_thread *t, const struct wbci_key *k,
                          uint64_t entry);

/**
 * wbci_index_unlink() - take an entry out, in a section
 * Return: 1 if this call did it, 0 if it was not linked, or WBC_E_CORRUPT.
 */
int wbci_index_unlink(struct wbci_thread *t, const struct wbci_key *k,
                      uint64_t entry);

#endif
