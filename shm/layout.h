/* SPDX-License-Identifier: MIT */
/* Copyright the wbcshm authors */

/*
 * Every byte of the segment.
 *
 *   0           header        4 KiB, immutable once READY, checksummed
 *   4096        control       the live words: one page, a line per writer
 *   procs_off   process slots     64 bytes each
 *   threads_off thread slots     256 bytes each
 *   tables_off  tables           512 bytes each
 *   summary_off summary bitmap   a bit per page: it has dirty entries
 *   words_off   page words         8 bytes per page
 *   root_off    root of the index  8 bytes per word
 *   metas_off   page metas       896 bytes per page, committed by extent
 *   lanes_off   lanes            lane_bytes each, committed at first use
 *   extents_off extents            2 MiB each, committed in order
 *   size                         end of the file
 *
 * Everything before metas_off is allocated when the segment is created; the
 * rest is sparse and allocated by fallocate before anybody touches it.  All
 * regions begin at a multiple of 4 KiB, extents at a multiple of 2 MiB.
 *
 * An offset is a number of bytes from the start of the segment; 0 is none.
 * Fields are grouped by who writes them, a cache line per writer.
 */
#ifndef WBCI_LAYOUT_H
#define WBCI_LAYOUT_H

#include <assert.h>
#include <stdalign.h>
#include <stddef.h>
#include <stdint.h>

#include "order.h"

/* Changes whenever an assert in this file must. */
#define WBCI_LAYOUT_VERSION 5u

#define WBCI_MAGIC UINT64_C(0x314d485343425731) /* bytes "1WBCSHM1" */
#define WBCI_LINE 64u
#define WBCI_SYS_PAGE 4096u
#define WBCI_PAGE_BYTES 65536u
#define WBCI_EXTENT_BYTES 2097152u
#define WBCI_PAGES_PER_EXTENT (WBCI_EXTENT_BYTES / WBCI_PAGE_BYTES)
#define WBCI_BLOCK_MIN 64u
#define WBCI_BLOCKS_MAX (WBCI_PAGE_BYTES / WBCI_BLOCK_MIN)
#define WBCI_BITMAP_WORDS (WBCI_BLOCKS_MAX / 64u)

/*
 * 0     magic u64 | layout u32 | header_bytes u32
 * 16    features: compat u64 | ro_compat u64 | incompat u64
 * 40    digest of all sizes and offsets of this file u64
 * 48    sys_page u32 | line u32 | byte_order u32 | reserved u32
 * 64    segment id [16] | boot id [16]
 * 96    hash seed u64 | born_ns u64
 * 112   geometry
 * 240   owner text
 * 504   checksum of bytes 0..503 u64
 *
 * Written before the file has a name, never after.
 */
struct header_shm {
	uint64_t magic;
	uint32_t layout;
	uint32_t header_bytes;
	uint64_t compat;    /* unknown bits: use it all the same */
	uint64_t ro_compat; /* unknown bits: read only */
	uint64_t incompat;  /* unknown bits: do not use it */
	uint64_t digest;
	uint32_t sys_page;
	uint32_t line;
	uint32_t byte_order; /* 0x01020304 */
	uint32_t reserved0;
	unsigned char segment_id[16];
	unsigned char boot_id[16];
	uint64_t hash_seed;
	uint64_t born_ns; /* CLOCK_BOOTTIME of the creator */
	uint64_t size_bytes;
	uint64_t procs_off;
	uint64_t threads_off;
	uint64_t tables_off;
	uint64_t summary_off;
	uint64_t words_off;
	uint64_t root_off;
	uint64_t metas_off;
	uint64_t lanes_off;
	uint64_t extents_off;
	uint32_t n_procs;
	uint32_t n_threads;
	uint32_t n_tables;
	uint32_t root_bits; /* the root has 2^root_bits words */
	uint32_t n_extents; /* that the file has room for */
	uint32_t n_pages;   /* n_extents * WBCI_PAGES_PER_EXTENT */
	uint32_t lane_bytes;
	uint32_t reserved1;
	uint64_t born_real_ns; /* CLOCK_REALTIME, for display */
	uint64_t capacity;     /* the keys it was laid out for */
	unsigned char reserved2[264];
	uint64_t checksum;
};
static_assert(offsetof(struct header_shm, digest) == 40, "header moved");
static_assert(offsetof(struct header_shm, segment_id) == 64, "header moved");
static_assert(offsetof(struct header_shm, size_bytes) == 112, "header moved");
static_assert(offsetof(struct header_shm, n_procs) == 192, "header moved");
static_assert(offsetof(struct header_shm, checksum) == 504, "header moved");
static_assert(sizeof(struct header_shm) == 512, "header_shm grew");

/*
 * 0    hot line: read by every operation, written a few times a second
 * 64   requests: clients
 * 128  memory: whoever commits an extent
 * 192  flusher: progress and the event that clients wait on
 * 256  flusher: identity
 */
struct control_shm {
	/* the hot line */
	alignas(64) order_u64 epoch; /* G; begins at 1 */
	order_u64 cycle;             /* number of the round to come; from 1 */
	order_u64 mark;              /* mark-sweeps wanted; 0: blocks are freed */
	order_u32 sleep;             /* 1: the flusher waits on this futex */
	order_u32 closed;            /* 1: every call fails with -ESTALE */

	/* requests: raised by clients, never lowered */
	alignas(64) order_u64 sync_want;  /* journal all rounds below this */
	order_u64 flush_want;             /* apply all rounds below this */
	order_u64 memory_want; /* how often somebody waited for memory */
	order_u64 fetch_want;  /* how often a row was wanted */

	/* memory */
	alignas(64) order_u32 committed; /* extents usable, from the first */
	order_u32 page_hint;             /* where to look for a free page */
	order_u32 low_memory;            /* an extent could not be had */
	order_u32 reserved0;

	/* the flusher's progress */
	alignas(64) order_u64 synced; /* all rounds below are journaled */
	order_u64 redone;             /* last batch whose cursors are moved */
	order_u64 settled;            /* all rounds below are settled */
	order_u32 event;              /* futex: progress was made */
	order_u32 lane_event;         /* futex: lanes were emptied */
	order_u64 now_s;              /* CLOCK_BOOTTIME of its last step */

	/* the flusher's identity */
	alignas(64) order_u64 generation;    /* flushers that served so far */
	order_u64 journal_id[2];             /* 0: not adopted by a journal */
	order_u32 flusher_proc;              /* its process slot + 1; 0: none */
	order_u32 flusher_pid;               /* for display */
};
static_assert(offsetof(struct control_shm, cycle) == 8, "control moved");
static_assert(offsetof(struct control_shm, sleep) == 24, "control moved");
static_assert(offsetof(struct control_shm, sync_want) == 64, "control moved");
static_assert(offsetof(struct control_shm, committed) == 128, "control moved");
static_assert(offsetof(struct control_shm, synced) == 192, "control moved");
static_assert(offsetof(struct control_shm, generation) == 256,
              "control moved");
static_assert(sizeof(struct control_shm) == 320, "control_shm grew");

/*
 * A process slot's word: incarnation << 4 | state.  USED stands only under
 * an OFD write lock on byte 64 + i of the file; "USED and not locked" is the
 * proof of death.  The rest is for display.
 */
enum proc_state { PROC_FREE = 0, PROC_USED = 1, PROC_REAPING = 2 };
struct proc_shm {
	alignas(64) order_u64 word;
	order_u64 start_ns; /* CLOCK_BOOTTIME */
	order_u32 pid;
	order_u32 is_flusher;
	unsigned char name[32];
};
static_assert(sizeof(struct proc_shm) == 64, "proc_shm grew");

/*
 * 0    word: incarnation << 16 | process slot << 4 | state     claim by CAS
 * 24   want: the entry whose values are wanted   the owner, then the flusher
 * 32   want_error: why they could not be had                   the flusher
 * 64   epoch: 0 outside a section, else G when it began        the owner
 * 128  lane tail u64                                           the owner
 * 192  lane head u64                                           the flusher
 *
 * A thread slot belongs to a process slot, so one that is dead takes its
 * thread slots along.  The lane of slot i is number i for ever: who owns the
 * slot next continues it at its tail.
 */
enum thread_state { THREAD_FREE = 0, THREAD_USED = 1, THREAD_FENCED = 2 };
struct thread_shm {
	alignas(64) order_u64 word;
	order_u64 start_ns;
	order_u32 tid; /* for display */
	order_u32 lane_ready; /* the lane's bytes are allocated */
	order_u64 want;       /* offset of an entry; 0: none, or answered */
	order_u32 want_error; /* 0, or the answer's error, negated */
	alignas(64) order_u64 epoch;
	alignas(64) order_u64 lane_tail;
	alignas(64) order_u64 lane_head;
};
static_assert(offsetof(struct thread_shm, want) == 24, "thread_shm moved");
static_assert(offsetof(struct thread_shm, epoch) == 64, "thread_shm moved");
static_assert(offsetof(struct thread_shm, lane_tail) == 128,
              "thread_shm moved");
static_assert(offsetof(struct thread_shm, lane_head) == 192,
              "thread_shm moved");
static_assert(sizeof(struct thread_shm) == 256, "thread_shm grew");

/*
 * 0    spec: offset of the table's spec_shm; CASed from 0 once
 * 8    policy: what clients declared as on_missing; CASed from 0 once
 * 64   want: clients ask for a flush of the rounds below it
 * 128  settled, counts, parked, base_ttl_s: the flusher
 * 192  message of the flusher, under a sequence lock
 *
 * Tables fill the array from the front and are never removed, so the first
 * empty place is where a new one goes and a name is there once.
 */
#define WBCI_TABLE_MESSAGE 192
struct table_shm {
	alignas(64) order_u64 spec;
	order_u64 policy; /* enum wbci_on_missing; 0: none was given yet */
	alignas(64) order_u64 want;
	alignas(64) order_u64 settled; /* all its rounds below are settled */
	order_u64 rows_applied;
	order_u64 rows_refused;
	order_u64 rows_pending; /* journaled and not settled */
	order_u64 parked;       /* 0, or -(WBC_E_*) why it does not go on */
	order_u64 message_seq;  /* odd while the message is written */
	order_u64 base_ttl_s;   /* what is older is read anew; 0: never */
	alignas(64) order_u64 message[WBCI_TABLE_MESSAGE / 8];
	order_u64 reserved[16];
};
static_assert(offsetof(struct table_shm, policy) == 8, "table_shm moved");
static_assert(offsetof(struct table_shm, want) == 64, "table_shm moved");
static_assert(offsetof(struct table_shm, settled) == 128, "table_shm moved");
static_assert(offsetof(struct table_shm, message) == 192, "table_shm moved");
static_assert(sizeof(struct table_shm) == 512, "table_shm grew");

/* A table's canonical specification, in a block of its own; immutable. */
struct spec_shm {
	uint32_t bytes;
	uint32_t reserved;
	unsigned char text[];
};
static_assert(offsetof(struct spec_shm, text) == 8, "spec_shm moved");

/*
 * A page's word: what it holds and who may allocate from it.
 *
 *   0..3 kind | 4..11 size class | 12..27 owner: thread slot + 1, 0 nobody
 *   28 revoked: the flusher has taken it from its owner, who may be in a
 *      section that has not noticed
 *
 * 0 is a free page.  ENTRIES is for ever; the other kinds go back to free.
 */
#define WBCI_PAGE_REVOKED (UINT64_C(1) << 28)
enum page_kind { PAGE_FREE = 0, PAGE_ENTRIES = 1, PAGE_BLOCKS = 2 };

/*
 * A page's bitmaps: bit i is block i, at i * the class's size.
 *
 *   0    alloc      only the page's owner writes it
 *   128  limbo[4]   retired while G mod 4 was its index; set by anybody
 *   640  dirty      set by clients, taken by the flusher
 *
 * Invariant: a limbo bit counts only where the alloc bit is set, a dirty bit
 * only where the block is a published entry.
 */
struct meta_shm {
	alignas(64) order_u64 alloc[WBCI_BITMAP_WORDS];
	order_u64 limbo[4][WBCI_BITMAP_WORDS];
	order_u64 dirty[WBCI_BITMAP_WORDS];
	unsigned char reserved[128];
};
static_assert(offsetof(struct meta_shm, limbo) == 128, "meta_shm moved");
static_assert(offsetof(struct meta_shm, dirty) == 640, "meta_shm moved");
static_assert(sizeof(struct meta_shm) == 896, "meta_shm grew");
static_assert(sizeof(struct meta_shm) * WBCI_PAGES_PER_EXTENT %
                              WBCI_SYS_PAGE == 0,
              "an extent's metas are whole system pages");

/*
 * A word of the index, in the root or in a node:
 *
 *   0                                   EMPTY
 *   offset / 64 << 20 | hash18 << 2 | 1  entry; hash18: top bits of its hash
 *   offset / 64 << 20 | 2                node
 *   offset / 64 << 20 | 3                node that is being pruned
 */
enum index_tag {
	INDEX_EMPTY = 0,
	INDEX_ENTRY = 1,
	INDEX_NODE = 2,
	INDEX_CLOSING = 3
};
#define WBCI_NODE_WORDS 16u
#define WBCI_NODE_BITS 4u
#define WBCI_INDEX_DEPTH_MAX 64u
struct node_shm {
	order_u64 word[WBCI_NODE_WORDS];
};
static_assert(sizeof(struct node_shm) == 128, "node_shm grew");

/* Spaces: user keys never meet the runtime's own. */
enum key_space { SPACE_ROW = 1 };

/* An entry's state, the low 4 bits of its word; above it the incarnation. */
enum entry_state {
	ENTRY_FREE = 0,
	ENTRY_LIVE = 1,
	ENTRY_FROZEN = 2, /* the flusher means to remove it */
	ENTRY_DEAD = 3    /* to be unlinked by whoever meets it */
};

/*
 * What a cell's origin is when it is no number: three int64 that a counter
 * never reaches, and for a double counter three NaNs.
 */
#define WBCI_INT64_UNKNOWN ((uint64_t)INT64_MIN)
#define WBCI_INT64_NOROW ((uint64_t)INT64_MIN + 1)
#define WBCI_INT64_NULL ((uint64_t)INT64_MIN + 2)
#define WBCI_DOUBLE_UNKNOWN UINT64_C(0xfff8000000000001)
#define WBCI_DOUBLE_NOROW UINT64_C(0xfff8000000000002)
#define WBCI_DOUBLE_NULL UINT64_C(0xfff8000000000003)

/*
 * An entry's base: seconds of control.now_s when its origins were stored, or 0.
 * Absent: the database has no such row, but the first change of it will make
 * one, so the origins count from 0.
 */
#define WBCI_BASE_ABSENT (UINT32_C(1) << 31)

/* Clients write total; only the flusher writes origin and journaled. */
struct cell_shm {
	order_u64 total;
	order_u64 origin;
	order_u64 journaled;
};

/*
 * A row's plain columns, in an entry of a table that has some.
 *
 * root names a tree: a key is a column's number, a byte; its value is
 *
 *   0    version of the root that set it; 0 if it was loaded
 *   8    value_shm, and its bytes
 *
 * Clients and the flusher's loader write root, by compare-and-swap; only the
 * flusher writes the rest.  What is not in the journal yet are the columns whose
 * version is above journaled.  loaded: seconds of control.now_s when columns were
 * read from the database, or the first ones that were set were applied; 0: neither
 * yet.  With WBCI_BASE_ABSENT: the database had no such row.
 */
struct row_shm {
	order_u64 root;
	order_u64 journaled;
	order_u32 loaded;
	uint32_t reserved;
};
static_assert(sizeof(struct row_shm) == sizeof(struct cell_shm),
              "a row's words take the place of a cell");

/*
 * 0    word: incarnation << 4 | state
 * 8    stamp: cycle in which it was last marked dirty
 * 16   total of cell 0            clients
 * 24   origin of cell 0           flusher
 * 32   space u8 | table u8 | key_len u16 | first 28 bytes of the key
 * 64   journaled of cell 0        flusher
 * 72   hash u64 | n_cells u8 | more u8: cells and a row_shm from 96 on;
 *      immutable
 * 84   base: when origins were stored, and whether there is a row; flusher
 * 88   extension block offset, for cells declared after its birth
 * 96   cells 1.. | row_shm, if the table has plain columns | rest of the key
 *
 * The incarnation never repeats for a block: a (offset, incarnation) that
 * was once valid names this entry and no other.
 */
#define WBCI_KEY_INLINE 28u
struct entry_shm {
	alignas(64) order_u64 word;
	order_u64 stamp;
	order_u64 total;
	order_u64 origin;
	uint8_t space;
	uint8_t table;
	uint16_t key_len;
	unsigned char key[WBCI_KEY_INLINE];
	order_u64 journaled;
	uint64_t hash;
	uint8_t n_cells;
	uint8_t more;
	uint8_t reserved[2];
	order_u32 base;
	order_u64 extension;
	struct cell_shm cells[]; /* cell i + 1 */
};
static_assert(offsetof(struct entry_shm, space) == 32, "entry_shm moved");
static_assert(offsetof(struct entry_shm, journaled) == 64, "entry_shm moved");
static_assert(offsetof(struct entry_shm, base) == 84, "entry_shm moved");
static_assert(offsetof(struct entry_shm, cells) == 96, "entry_shm moved");

/*
 * A long string, in a block of its own and as many chunks as it takes:
 *
 *   size: bytes u32 | number of chunks u32
 *   chunk words: offset | size class; a chunk is a block full of bytes
 *   the last bytes, which are in no chunk
 */
struct long_shm {
	order_u64 size;
	order_u64 chunk[];
};
static_assert(sizeof(struct long_shm) == 8, "long_shm grew");

/*
 * A node of a tree of byte strings, in a block of PAGE_BLOCKS; immutable once
 * it is published.
 *
 *   0    shape: level u8 | items u8 | live u16 | heap u16 | bytes u16
 *   8    version | tag | reserved: of a root; 0 elsewhere
 *   32   slots, in the order of the keys:
 *        at u16 | key_len u16 | value_len u15, long u1 | head u16
 *        free
 *   heap bytes of the items, each its key and its value
 *   bytes: the block's size
 *
 * The bytes of a node without what is free are live.  head is a key's first
 * two bytes, the first one above the second.  A value that is long, and every
 * value above level 0, is a tref_shm: a long string and its length, or a node
 * one level below and the number of keys under it.
 *
 *   ref: offset | 1 if it was made by the same update as the node it is in
 *
 * The word that names a root: offset | 1 if the tree is empty; 0 before the
 * first update.  An empty tree's root is a node without items, so that no
 * word stands twice while a section is open that has seen it.
 */
struct tnode_shm {
	uint64_t shape;
	uint64_t version;
	uint64_t tag;
	uint64_t reserved;
	uint64_t slot[];
};
static_assert(offsetof(struct tnode_shm, version) == 8, "tnode_shm moved");
static_assert(sizeof(struct tnode_shm) == 32, "tnode_shm grew");
struct tref_shm {
	uint64_t ref;
	uint64_t count;
};
static_assert(sizeof(struct tref_shm) == 16, "tref_shm grew");

/*
 * A record in a lane: a header, then n_values times a value_shm with its
 * bytes, each padded to 8.  bytes is the whole record's, a multiple of 8.
 * Records wrap round the end of the ring.
 *
 * A LANE_LONG stands for records that are too large for the lane: behind its
 * header is the offset of a long string of LANE_INSERT records.
 */
enum lane_kind { LANE_INSERT = 1, LANE_LONG = 2 };
#define WBCI_LANE_LONG_BYTES 16u
struct record_shm {
	uint32_t bytes;
	uint8_t kind;
	uint8_t table;
	uint16_t n_values;
};
struct value_shm {
	uint8_t column;
	uint8_t type; /* enum wbc_type */
	uint16_t reserved;
	uint32_t bytes; /* 8 for numbers, bools and timestamps, 0 for NULL */
};
static_assert(sizeof(struct record_shm) == 8, "record_shm grew");
static_assert(sizeof(struct value_shm) == 8, "value_shm grew");

/* Bytes of the file that are locked, never written. */
#define WBCI_LOCK_FLUSHER 0
#define WBCI_LOCK_CREATE 1
#define WBCI_LOCK_PROC 64

/* Limits that an attacher checks before it believes any number. */
#define WBCI_SLOTS_MIN 2u /* of either kind: a client's, and the flusher's */
#define WBCI_PROCS_MAX 4095u
#define WBCI_THREADS_MAX 65535u
#define WBCI_TABLES_MAX 255u
#define WBCI_ROOT_BITS_MAX 34u
#define WBCI_EXTENTS_MAX 8388608u /* 16 TiB */
#define WBCI_LANE_MIN 4096u
#define WBCI_LANE_MAX (1u << 30)

#endif
