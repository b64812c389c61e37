/* SPDX-License-Identifier: MIT */
/* Copyright the wbcshm authors */

/*
 * Long strings: bytes that do not fit where they belong, in blocks of their
 * own: long_shm of layout.h.
 *
 * who                     may call
 * any thread, in section  wbci_long_alloc, _undo, _retire
 * anybody                 wbci_long_read, _visit; where the string may be
 *                         retired meanwhile, in a section
 *
 * Invariants:
 *  - A string is immutable once it is published; whoever publishes its offset
 *    does so with release, in the section that allocated it.
 *  - Its blocks belong to it alone: the head, and the chunks that it names.
 *
 * Killed before it is published, it is blocks that nothing reaches; killed
 * while it is retired, the blocks that were not are likewise: the sweep's
 * business.
 */
#ifndef WBCI_LONG_H
#define WBCI_LONG_H

#include "client.h"

#define WBCI_LONG_MAX (16u << 20) /* bytes of a string */

/**
 * wbci_long_alloc() - a string in blocks of its own, within a section
 * @t:      calling thread, in a section
 * @p:      @bytes bytes, copied
 * @bytes:  0..WBCI_LONG_MAX
 * @offset: receives the head's offset
 *
 * Return: 0, -E2BIG, or -ENOSPC: nothing is held; leave the section, wait for
 * memory, and do all of it again.
 */
int wbci_long_alloc(struct wbci_thread *t, const void *p, uint32_t bytes,
                    uint64_t *offset);

/* Give back a string that was never published, in the section that made it. */
void wbci_long_undo(struct wbci_thread *t, uint64_t offset);

/**
 * wbci_long_retire() - hand over a string that was just unlinked
 *
 * In the section of the unlinking, by the one who did it.  Where the bytes are
 * a stranger's, what is no block is left out.
 */
void wbci_long_retire(struct wbci_thread *t, uint64_t offset);

/**
 * wbci_long_read() - copy a string out
 * @offset: of its head; anything
 * @to:     receives it, up to @room bytes
 * @bytes:  receives its length, also if that is more than @room
 *
 * Return: 0, -E2BIG (more than @room; nothing is copied), or WBC_E_CORRUPT.
 */
int wbci_long_read(const struct wbci_segment *s, uint64_t offset, void *to,
                   uint32_t room, uint32_t *bytes);

/* @bytes: how many of the block at @offset are in use. */
typedef void wbci_long_fn(void *arg, uint64_t offset, uint64_t bytes);

/**
 * wbci_long_visit() - each block of a string once, the head last
 * @offset: of its head; anything
 *
 * Return: 0, or WBC_E_CORRUPT: what could be told to be its block was visited.
 */
int wbci_long_visit(const struct wbci_segment *s, uint64_t offset,
                    wbci_long_fn *visit, void *arg);

#endif
