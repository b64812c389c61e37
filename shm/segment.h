/* SPDX-License-Identifier: MIT */
/* Copyright the wbcshm authors */

/*
 * The segment's file: creating, checking and mapping it.
 *
 * A segment is built nameless and linked in when it is whole, so nobody can
 * meet a half-made one.  Attaching believes nothing: the immutable header is
 * checked against its checksum and against this build, every offset and count
 * against the file's size; then all geometry is copied into the handle and
 * the header is never read again.
 */
#ifndef WBCI_SEGMENT_H
#define WBCI_SEGMENT_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "layout.h"
#include "message.h"

struct wbci_create {
	uint32_t mode;
	int64_t group;
	uint64_t max_bytes;
	uint64_t capacity;
	uint32_t procs;
	uint32_t threads;
	uint32_t lane_bytes;
};

/* What the hot way reads of a block without another check: an entry with all
 * its cells.  Blocks that end nearer to the end of the file are the slow
 * way's. */
#define WBCI_HOT_BYTES 512u

/* This process's view of a segment. */
struct wbci_segment {
	unsigned char *base;
	uint64_t size;
	struct header_shm geo; /* a checked copy */
	struct control_shm *control;
	struct proc_shm *procs;
	struct thread_shm *threads;
	struct table_shm *tables;
	order_u64 *summary;
	order_u64 *words;
	order_u64 *root;
	struct meta_shm *metas;
	unsigned char *lanes;
	unsigned char *extents;
	uint64_t root_mask;
	uint64_t block_end; /* behind extents: the last place that is hot */
	bool writable;
	int fd; /* its open file description holds no lock */
	dev_t dev;
	ino_t ino;
	char *path;
};

/**
 * wbci_segment_path() - the file that an address names
 * @address: "shm:NAME", "shm:/path"
 * @path:    PATH_MAX bytes
 * @create:  make the folder of "shm:NAME" if it is missing
 *
 * Return: 0, -EINVAL, -ENAMETOOLONG, or WBC_E_OWNER if the folder is not ours.
 */
int wbci_segment_path(const char *address, char *path, bool create,
                      const struct wbci_message *m);

/**
 * wbci_segment_create() - build a segment and give it its name
 *
 * Return: 0, -EEXIST, -EINVAL, -ENOSPC, -EACCES, -errno.
 */
int wbci_segment_create(const char *path, const struct wbci_create *how,
                        const struct wbci_message *m);

/**
 * wbci_segment_open() - check a segment and map it
 * @s:        receives the view; undone by wbci_segment_close()
 * @writable: false maps it read-only, for tools
 *
 * Return: 0, -ENOENT, -EACCES, -ESTALE (closed), WBC_E_FORMAT,
 * WBC_E_LAYOUT, WBC_E_CORRUPT, WBC_E_BOOT, WBC_E_OWNER, -EPERM (no /proc),
 * -errno.
 */
int wbci_segment_open(struct wbci_segment *s, const char *path, bool writable,
                      const struct wbci_message *m);
void wbci_segment_close(struct wbci_segment *s);

/**
 * wbci_segment_description() - a new open file description of the segment
 *
 * A lock taken through it is independent of all others.  Works after the
 * program closed our descriptor behind our back and reused its number.
 *
 * Return: a descriptor, -ESTALE if the file is gone or another, -errno.
 */
int wbci_segment_description(const struct wbci_segment *s);

/**
 * wbci_segment_locked() - does anybody hold the OFD lock on a byte?
 * Return: 1, 0, or a negative error.
 */
int wbci_segment_locked(const struct wbci_segment *s, uint64_t byte);

/* 1 if a flusher is alive, 0 if none is, or a negative error. */
int wbci_segment_has_flusher(const struct wbci_segment *s);

/* The file's name is gone, or names another file. */
bool wbci_segment_unlinked(const struct wbci_segment *s);

/**
 * wbci_segment_allocate() - back a range of the file with memory
 * Return: 0, -ENOSPC, -ESTALE, -errno.
 */
int wbci_segment_allocate(const struct wbci_segment *s, uint64_t offset,
                          uint64_t bytes);

/**
 * wbci_segment_grow() - commit one more extent
 * @s:    segment
 * @have: how many extents the caller found too few
 *
 * Not within an epoch section.  If somebody else committed one meanwhile,
 * nothing is done.
 *
 * Return: 0, -ENOSPC, -ESTALE, -errno.
 */
int wbci_segment_grow(const struct wbci_segment *s, uint32_t have);

/* The remedy for -ENOSPC on this segment, in words. */
void wbci_segment_full_message(const struct wbci_segment *s,
                               const struct wbci_message *m);

static inline void *wbci_at(const struct wbci_segment *s, uint64_t offset)
{
	return s->base + offset;
}

/* Where in the segment something of it is. */
static inline uint64_t wbci_offset(const struct wbci_segment *s, const void *p)
{
	return (uint64_t)((const unsigned char *)p - s->base);
}

/* Extents that may be touched: never more than the file has room for. */
static inline uint32_t wbci_committed(const struct wbci_segment *s)
{
	/* Relaxed: the memory was there before it was counted, see
	 * wbci_segment_grow(), and until then nobody wrote to it. */
	uint32_t n = order_load(&s->control->committed);

	return n < s->geo.n_extents ? n : s->geo.n_extents;
}

/* Is [offset, offset + bytes) inside one page of a committed extent? */
static inline bool wbci_in_page(const struct wbci_segment *s, uint64_t offset,
                                uint64_t bytes)
{
	uint64_t end =
	        s->geo.extents_off +
	        (uint64_t)wbci_committed(s) * WBCI_EXTENT_BYTES;

	return offset >= s->geo.extents_off && offset < end &&
	       offset % WBCI_BLOCK_MIN == 0 &&
	       bytes <= WBCI_PAGE_BYTES - offset % WBCI_PAGE_BYTES;
}

#endif
