/* SPDX-License-Identifier: MIT */
/* Copyright the wbcshm authors */

#include "index.h"

#include <errno.h>
#include <string.h>

#include "../api/wbc_error.h"
#include "entry.h"
#include "hot.h"
#include "page.h"

void wbci_key_init(const struct wbci_segment *s, struct wbci_key *k,
                   uint8_t space, uint8_t table, const unsigned char *bytes,
                   uint16_t len)
{
	k->head = (uint32_t)space | (uint32_t)table << 8 | (uint32_t)len << 16;
	k->bytes = bytes;
	k->hash = wbci_key_hash(bytes, len, wbci_key_seed(s, space, table, 0));
}

static uint64_t entry_ref(uint64_t offset, uint64_t hash)
{
	return offset / WBCI_BLOCK_MIN << 20 | hash >> 46 << 2 | INDEX_ENTRY;
}

static uint64_t node_ref(uint64_t offset)
{
	return offset / WBCI_BLOCK_MIN << 20 | INDEX_NODE;
}

/* A key on its way down: its hash, and where more of it comes from. */
struct path {
	const struct wbci_segment *s;
	uint64_t hash;
	const unsigned char *bytes;
	uint32_t head;
};

/*
 * Which of a node's words at a depth.  The first digits are what the root
 * left of the hash; when they are used up, the same hash with other seeds.
 */
static unsigned digit(const struct path *p, unsigned depth)
{
	unsigned bits = p->s->geo.root_bits;
	unsigned first = (64 - bits) / WBCI_NODE_BITS;
	uint64_t h = p->hash;

	if (depth < first)
		return (unsigned)(h >> (bits + WBCI_NODE_BITS * depth)) &
		       (WBCI_NODE_WORDS - 1);
	depth -= first;
	h = wbci_key_hash(p->bytes, (uint16_t)(p->head >> 16),
	              wbci_key_seed(p->s, (uint8_t)p->head,
	                             (uint8_t)(p->head >> 8),
	                             1 + depth / 16));
	return (unsigned)(h >> WBCI_NODE_BITS * (depth % 16)) &
	       (WBCI_NODE_WORDS - 1);
}

static struct path key_path(const struct wbci_segment *s,
                            const struct wbci_key *k)
{
	return (struct path){s, k->hash, k->bytes, k->head};
}

/* An entry that the index names, if a block can be there. */
static struct entry_shm *entry_at(const struct wbci_segment *s,
                                  uint64_t offset)
{
	return wbci_in_page(s, offset, sizeof(struct entry_shm))
	               ? wbci_at(s, offset)
	               : NULL;
}

/*
 * The rest of a long key, or NULL if it would not be inside its page.
 * What the entry says may be hostile, so it is loaded once.
 */
static const unsigned char *long_tail(const struct wbci_segment *s,
                                      uint64_t offset, uint16_t len)
{
	struct entry_shm *e = wbci_at(s, offset);
	unsigned more = *(volatile uint8_t *)&e->more;

	if (len > WBC_KEY_MAX ||
	    !wbci_in_page(s, offset, wbci_entry_size(more, len)))
		return NULL;
	return (const unsigned char *)(e->cells + more);
}

static bool same_key(const struct wbci_segment *s, const struct wbci_key *k,
                     uint64_t offset)
{
	struct entry_shm *e = wbci_at(s, offset);
	uint16_t len = wbci_key_len(k);
	const unsigned char *tail;
	uint32_t head;

	memcpy(&head, &e->space, sizeof(head));
	if (head != k->head)
		return false;
	if (len <= WBCI_KEY_INLINE)
		return wbci_same_bytes(e->key, k->bytes, len);
	tail = long_tail(s, offset, len);
	return tail && !memcmp(e->key, k->bytes, WBCI_KEY_INLINE) &&
	       !memcmp(tail, k->bytes + WBCI_KEY_INLINE,
	               len - WBCI_KEY_INLINE);
}

static struct node_shm *node_at(const struct wbci_segment *s, uint64_t offset)
{
	return wbci_in_page(s, offset, sizeof(struct node_shm))
	               ? wbci_at(s, offset)
	               : NULL;
}

/*
 * Go down to the first word on the path that is not a node.
 * Returns NULL if the index is damaged.
 */
static order_u64 *descend(const struct path *p, uint64_t *word, unsigned *depth,
                          bool revive)
{
	order_u64 *at = &p->s->root[p->hash &
	                            ((UINT64_C(1) << p->s->geo.root_bits) - 1)];
	unsigned d;

	for (d = 0; d < WBCI_INDEX_DEPTH_MAX; d++) {
		struct node_shm *node;
		/* ORDER index.publish, acquire: what the word names is whole
		 * before the word says so. */
		uint64_t w = order_acquire(at);

		if ((w & 3) < INDEX_NODE) {
			*word = w;
			*depth = d;
			return at;
		}
		/* Who means to insert below a closing node keeps it.
		 * ORDER index.closing, section: relaxed, since the word's own
		 * order decides, and the node was acquired above. */
		if (revive && (w & 3) == INDEX_CLOSING &&
		    !order_cas_relaxed(at, &w,
		                       (w & ~UINT64_C(3)) | INDEX_NODE)) {
			d--;
			continue;
		}
		node = node_at(p->s, wbci_ref_offset(w));
		if (!node)
			return NULL;
		at = &node->word[digit(p, d)];
	}
	return NULL;
}

int64_t wbci_index_find(struct wbci_thread *t, const struct wbci_key *k)
{
	const struct wbci_segment *s = &t->client->segment;
	struct path p = key_path(s, k);
	struct entry_shm *e;
	uint64_t word;
	unsigned depth;

	if (!descend(&p, &word, &depth, false))
		return WBC_E_CORRUPT;
	/* 18 bits of the hash: a miss seldom touches the entry. */
	if (word == INDEX_EMPTY || (word >> 2 & 0x3ffff) != k->hash >> 46)
		return 0;
	e = entry_at(s, wbci_ref_offset(word));
	if (!e)
		return WBC_E_CORRUPT;
	return same_key(s, k, wbci_ref_offset(word)) ? (int64_t)wbci_ref_offset(word)
	                                        : 0;
}

/* Private nodes that an insertion has allocated and not published. */
struct nodes {
	uint64_t offset[WBCI_INDEX_DEPTH_MAX];
	unsigned n;
};

static void undo_nodes(struct wbci_thread *t, const struct nodes *nodes)
{
	for (unsigned i = 0; i < nodes->n; i++)
		wbci_block_undo(t, nodes->offset[i]);
}

static int add_node(struct wbci_thread *t, struct nodes *nodes,
                    struct node_shm **node)
{
	uint64_t offset;
	int error = wbci_block_alloc(t, PAGE_BLOCKS, sizeof(**node), &offset);

	if (error)
		return error;
	nodes->offset[nodes->n++] = offset;
	*node = wbci_at(&t->client->segment, offset);
	/* Relaxed: private until the CAS that publishes the first node. */
	for (unsigned i = 0; i < WBCI_NODE_WORDS; i++)
		order_store(&(*node)->word[i], INDEX_EMPTY);
	return 0;
}

/* The path of an entry that is in the index. */
static bool copy_key(const struct wbci_segment *s, uint64_t offset,
                     unsigned char key[WBC_KEY_MAX], struct path *path)
{
	struct entry_shm *e = wbci_at(s, offset);
	uint32_t words;
	uint16_t len, head;

	memcpy(&words, &e->space, sizeof(words));
	len = (uint16_t)(words >> 16);
	head = len < WBCI_KEY_INLINE ? len : WBCI_KEY_INLINE;

	memcpy(key, e->key, head);
	if (len > WBCI_KEY_INLINE) {
		const unsigned char *tail = long_tail(s, offset, len);

		if (!tail)
			return false;
		memcpy(key + head, tail, len - head);
	}
	*path = (struct path){s, e->hash, key, words};
	return true;
}

/*
 * Build the nodes, from a depth on, in which a resident entry and a new one
 * part.  On failure the nodes so far are in @nodes, for undo_nodes().
 */
static int build_nodes(struct wbci_thread *t, unsigned depth,
                       uint64_t resident_word, uint64_t new_word,
                       const struct path *new_path, struct nodes *nodes)
{
	const struct wbci_segment *s = &t->client->segment;
	struct entry_shm *e = entry_at(s, wbci_ref_offset(resident_word));
	unsigned char long_key[WBC_KEY_MAX];
	struct path resident;
	struct node_shm *node, *inner;
	int error;

	if (!e || !copy_key(s, wbci_ref_offset(resident_word), long_key, &resident))
		return WBC_E_CORRUPT;
	error = add_node(t, nodes, &node);
	for (; !error && depth < WBCI_INDEX_DEPTH_MAX - 1; depth++) {
		unsigned a = digit(&resident, depth);
		unsigned b = digit(new_path, depth);

		if (a != b) {
			order_store(&node->word[a], resident_word);
			order_store(&node->word[b], new_word);
			return 0;
		}
		error = add_node(t, nodes, &inner);
		if (error)
			break;
		order_store(&node->word[a],
		            node_ref(nodes->offset[nodes->n - 1]));
		node = inner;
	}
	return error ? error : WBC_E_CORRUPT;
}

int64_t wbci_index_insert(struct wbci_thread *t, const struct wbci_key *k,
                          uint64_t entry)
{
	const struct wbci_segment *s = &t->client->segment;
	struct path p = key_path(s, k);
	uint64_t new_word = entry_ref(entry, k->hash);

	for (;;) {
		struct nodes nodes = {.n = 0};
		struct entry_shm *e;
		uint64_t word, next = new_word;
		unsigned depth;
		order_u64 *at = descend(&p, &word, &depth, true);
		int error;

		if (!at)
			return WBC_E_CORRUPT;
		if (word != INDEX_EMPTY) {
			e = entry_at(s, wbci_ref_offset(word));
			if (!e)
				return WBC_E_CORRUPT;
			if (same_key(s, k, wbci_ref_offset(word)))
				return (int64_t)wbci_ref_offset(word);
			error = build_nodes(t, depth, word, new_word, &p,
			                    &nodes);
			if (error) {
				undo_nodes(t, &nodes);
				return error;
			}
			next = node_ref(nodes.offset[0]);
		}
		/* ORDER index.publish, release: the entry, and the nodes, are
		 * whole before the word names them.  What stood there was
		 * acquired on the way down. */
		if (order_cas_release(at, &word, next))
			return (int64_t)entry;
		undo_nodes(t, &nodes);
	}
}

int wbci_index_unlink(struct wbci_thread *t, const struct wbci_key *k,
                      uint64_t entry)
{
	struct path p = key_path(&t->client->segment, k);
	uint64_t mine = entry_ref(entry, k->hash);
	uint64_t word;
	unsigned depth;
	order_u64 *at;

	for (;;) {
		at = descend(&p, &word, &depth, false);
		if (!at)
			return WBC_E_CORRUPT;
		/* A word that names it otherwise than we would is damaged, and
		 * would be met again and again. */
		if (word != mine)
			return wbci_ref_offset(word) == entry ? WBC_E_CORRUPT
			                                      : 0;
		/* Relaxed: EMPTY hands nothing over; who retires the entry
		 * fences before it loads G. */
		if (order_cas_relaxed(at, &word, INDEX_EMPTY))
			return 1;
	}
}
