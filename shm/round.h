/* SPDX-License-Identifier: MIT */
/* Copyright the wbcshm authors */

/*
 * Dirty marks, and the rounds of the flusher that collect them.
 *
 * who          does
 * clients      mark: load cycle; if the entry's stamp differs: page bit,
 *              summary bit, stamp; then modify.  In one section.
 * the flusher  round: take, bump, peek, read.  One thread.
 *
 * Invariants:
 *  - A change of an entry made in a section that loaded cycle c is read by
 *    round c or by a later one, and by round c if the change was complete
 *    before the bump.
 *  - What a round took is read again by every later round until a grace
 *    period that began after its bump has ended; nobody waits for that.
 *  - A bit counts only if its block is a published entry.
 *
 * A client killed between any two stores leaves at worst a bit without a
 * change: a visit for nothing.  A flusher killed in a round has moved no
 * cursor; the next one begins with wbci_rounds_all().
 */
#ifndef WBCI_ROUND_H
#define WBCI_ROUND_H

#include "client.h"
#include "entry.h"

/* Pages and blocks in them, as sets. */
struct wbci_taken {
	struct wbci_taken *next;
	uint64_t grace; /* to be kept until G is there */
	bool last;      /* it is: this round reads it for the last time */
	uint32_t n;     /* pages */
	uint32_t room;
	struct wbci_taken_page {
		uint32_t page;
		uint32_t reserved;
		uint64_t bits[WBCI_BITMAP_WORDS];
	} *pages;
};

struct wbci_rounds {
	struct wbci_client *client;
	struct wbci_taken *kept;  /* oldest first */
	struct wbci_taken *visit; /* what the round in progress reads */
	uint32_t *place;          /* page -> its place + 1 in visit */
	uint32_t n_place;
	bool all;           /* read every entry ... */
	bool all_last;      /* ... and this round does so for the last time */
	uint64_t all_grace; /* of the first round after a start */
	uint64_t cycle;     /* the round in progress */
	uint64_t least;     /* its number may not be below */
	uint64_t corrupt;   /* blocks that failed a check so far */
	unsigned char *values; /* room for what an entry's columns are set to */
	uint32_t values_room;
};

/* A copy of an entry, checked; the flusher works with nothing else. */
struct wbci_seen {
	struct wbci_ref ref;
	uint8_t space;
	uint8_t table;
	uint8_t n_cells;
	uint8_t state; /* LIVE or FROZEN */
	uint16_t key_len;
	uint64_t stamp;
	uint64_t hash;
	uint64_t origin[WBC_COUNTERS_MAX];
	uint64_t total[WBC_COUNTERS_MAX];
	uint64_t journaled[WBC_COUNTERS_MAX];
	unsigned char key[WBC_KEY_MAX];
	/* Plain columns, of a row that has some. */
	bool has_row;
	uint8_t n_values; /* columns that are not journaled */
	uint32_t values_bytes;
	uint64_t root;
	uint64_t version; /* of root */
	uint64_t version_journaled;
	/* The caller's room for those columns, as record.h has values; or
	 * NULL: they are not wanted, nor counted. */
	unsigned char *values;
	uint32_t values_room;
};

typedef int wbci_visit_fn(void *arg, const struct wbci_seen *seen);

/**
 * wbci_rounds_init() - begin to collect; the first round reads everything
 * Return: 0.
 */
int wbci_rounds_init(struct wbci_rounds *r, struct wbci_client *c);
void wbci_rounds_free(struct wbci_rounds *r);

/**
 * wbci_round_begin() - take, bump, peek
 * @r: rounds; not within a section
 *
 * Tries to advance the epoch first, and drops what need not be read again.
 *
 * Numbers only grow: where the segment's cycle went back, or further ahead
 * than rounds can have brought it, the round is r->least, the cycle follows
 * it, r->corrupt counts it, and everything is read anew.  r->least is one more
 * than the last round, or what the caller knows to be more.
 *
 * Return: 0, or -ENOMEM: nothing is lost, begin again.  r->cycle is the
 * round's number.
 */
int wbci_round_begin(struct wbci_rounds *r);

/**
 * wbci_round_read() - visit every entry that may have changed
 * @visit: called outside of sections with a copy; a negative result ends it
 *
 * Only entries with news are visited: a cell whose total is not its journaled,
 * or plain columns of a version that is not.
 *
 * Return: 0, or what @visit returned.
 */
int wbci_round_read(struct wbci_rounds *r, wbci_visit_fn *visit, void *arg);

/**
 * wbci_round_end() - the round is journaled and its cursors are moved
 *
 * If a round fails before this, begin the next without it: what was taken
 * stays to be read.
 */
void wbci_round_end(struct wbci_rounds *r);

/* In place of a cell: the version of the plain columns. */
#define WBCI_CURSOR_ROW WBC_COUNTERS_MAX

/**
 * wbci_cursor_move() - journaled = total, for a cell of an entry
 * @cell: or WBCI_CURSOR_ROW: then @total is a version
 *
 * Return: true, or false if the entry is not that one any more.
 */
bool wbci_cursor_move(struct wbci_client *c, struct wbci_ref ref,
                      unsigned cell, uint64_t total);

/**
 * wbci_seen_changed() - copy a block if it is an entry with news
 * @page, @b: block b of a page
 *
 * Return: 1 if it was copied, 0 if it is no entry or has nothing that is not
 * journaled, -E2BIG if its columns need seen->values_bytes of room, or
 * WBC_E_CORRUPT.
 */
int wbci_seen_changed(const struct wbci_segment *s, uint32_t page, unsigned b,
                      struct wbci_seen *seen);

/* Copy the entry at an offset that may be hostile: 1, 0 or WBC_E_CORRUPT. */
int wbci_seen_entry(const struct wbci_segment *s, uint64_t offset,
                    struct wbci_seen *seen);

/**
 * wbci_entry_visit_all() - visit every entry; for tools and tests
 *
 * Those of a client that died before it published them, too: all 0.
 * Works on a read-only mapping, without a slot: each copy is taken between
 * two loads of the entry's word.
 */
int wbci_entry_visit_all(const struct wbci_segment *s, wbci_visit_fn *visit,
                         void *arg);

#endif
