/* SPDX-License-Identifier: MIT */
/* Copyright the wbcshm authors */

/*
 * Pages and blocks: where memory comes from.
 *
 * who                  may call together
 * any thread           wbci_block_alloc, _undo, _retire
 * the flusher, too     wbci_page_release, _tidy, _revoke, _disown
 *
 * A thread allocates from pages that it owns, one of each kind and class at
 * a time; only the owner writes the alloc bitmap.  A page that is full is
 * given back, so that what becomes free in it is not its last owner's alone.
 * To retire is one fetch_or into a limbo bitmap by anybody; the owner turns
 * graced limbo bits into free ones, the flusher where there is no owner.
 *
 * Where memory is short the flusher takes pages from owners who may be idle:
 * it revokes, and after a grace period makes them nobody's.  An owner looks
 * in each section, before it writes a bitmap, whether the page is still its
 * own, and goes on to the section's end if it is.
 *
 * Pages of entries keep kind and class for ever; other empty ones become
 * free pages again, zeroed.  While a mark-sweep runs (sweep.h), no block is
 * freed.
 *
 * A block is private to the section that allocated it.  A thread killed
 * between allocating and publishing leaves an alloc bit of a block that
 * nothing reaches; killed while it frees, a limbo bit of a free block, which
 * the page's next owner clears before it allocates.
 */
#ifndef WBCI_PAGE_H
#define WBCI_PAGE_H

#include "client.h"

/* Size classes: bytes of each, and the class that holds a size. */
extern const uint32_t wbci_class_bytes[WBCI_CLASSES];
int wbci_class_of(uint64_t bytes);

#define WBCI_BLOCK_LARGEST 65536u

/* A page's word, taken apart. */
static inline unsigned wbci_page_kind(uint64_t word)
{
	return (unsigned)(word & 15);
}

static inline unsigned wbci_page_class(uint64_t word)
{
	return (unsigned)(word >> 4 & 255);
}

static inline unsigned wbci_page_owner(uint64_t word)
{
	return (unsigned)(word >> 12 & 65535);
}

static inline uint64_t wbci_page_word(unsigned kind, unsigned class,
                                      unsigned owner)
{
	return (uint64_t)kind | (uint64_t) class << 4 | (uint64_t)owner << 12;
}

static inline uint32_t wbci_page_of(const struct wbci_segment *s,
                                    uint64_t offset)
{
	return (uint32_t)((offset - s->geo.extents_off) / WBCI_PAGE_BYTES);
}

static inline uint64_t wbci_page_off(const struct wbci_segment *s,
                                     uint32_t page)
{
	return s->geo.extents_off + (uint64_t)page * WBCI_PAGE_BYTES;
}

/**
 * wbci_block_alloc() - take a block, within a section
 * @t:      calling thread, in a section
 * @kind:   PAGE_ENTRIES or PAGE_BLOCKS
 * @bytes:  1..WBCI_BLOCK_LARGEST
 * @offset: receives the block; its bytes are undefined, except that an entry
 *          block's first word still has its last incarnation
 *
 * Return: 0, -E2BIG, or -ENOSPC: leave the section, wbci_segment_grow(), and
 * do all of it again.
 */
int wbci_block_alloc(struct wbci_thread *t, enum page_kind kind, uint64_t bytes,
                     uint64_t *offset);

/* Give back a block that was never published, in the section that took it:
 * free at once if its page is still ours, else after a grace period. */
void wbci_block_undo(struct wbci_thread *t, uint64_t offset);

/**
 * wbci_block_retire() - hand over a block that was just unlinked
 *
 * In the section of the unlinking CAS, by the one who won it.
 */
void wbci_block_retire(struct wbci_thread *t, uint64_t offset);

/* Turn graced limbo bits of a page that we own into free ones; in a section.
 * Return: the number of blocks that became free. */
unsigned wbci_page_reclaim(struct wbci_thread *t, uint32_t page);

/* Give all pages that belong to a thread slot to nobody. */
void wbci_page_release(const struct wbci_segment *s, uint32_t slot);

/**
 * wbci_page_tidy() - free what is graced in a page that nobody owns
 * @t: the flusher's thread, in a section
 *
 * A page of blocks that is empty then goes back to the pool.  Killed in
 * between, the page is as another owner would leave it: of its kind.
 *
 * Return: the number of blocks that became free.
 */
unsigned wbci_page_tidy(struct wbci_thread *t, uint32_t page);

/**
 * wbci_page_revoke() - take a page from its owner, if that is not @t
 * Return: true if it was taken; it is nobody's after wbci_page_disown().
 */
bool wbci_page_revoke(struct wbci_thread *t, uint32_t page);

/* Make a page that was revoked nobody's; a grace period later. */
void wbci_page_disown(const struct wbci_segment *s, uint32_t page);

#endif
