/* SPDX-License-Identifier: MIT */
/* Copyright the wbcshm authors */

#include "upkeep.h"

#include <errno.h>

#include "../shm/epoch.h"
#include "../shm/page.h"
#include "../shm/wake.h"
#include "log.h"
#include "points.h"
#include "state.h"

#define MS_NS INT64_C(1000000)
#define LOOK_NS (500 * MS_NS)
#define DELAY_MOST_NS (64 * MS_NS)
#define PAGES_AHEAD 4u
/* What one step looks at, at the most: some milliseconds. */
#define SWEEP_WORDS 65536u
#define LOOK_PAGES 64u
#define TIDY_PAGES 2048u
/* Limbo bitmaps are by the epoch modulo 4: each has had its turn then. */
#define TIDY_EPOCHS 4u

static uint32_t committed_pages(const struct wbci_flusher *f)
{
	return wbci_committed(&f->client->segment) * WBCI_PAGES_PER_EXTENT;
}

int wbci_upkeep_begin(struct wbci_flusher *f)
{
	struct wbci_upkeep *u = &f->upkeep;
	int error = wbci_pruning_init(&u->pruning, f->client);

	if (!error)
		error = wbci_removal_init(&u->removal, f->client, &u->pruning);
	wbci_sweep_init(&u->sweep, f->client, &u->pruning);
	u->want_seen = order_load_seq(&f->client->segment.control->memory_want);
	/* The last flusher may have revoked pages right before it died. */
	u->revoked = wbci_epoch_grace(f->client);
	return error;
}

void wbci_upkeep_end(struct wbci_flusher *f)
{
	struct wbci_upkeep *u = &f->upkeep;

	if (u->removal.client)
		wbci_removal_free(&u->removal);
	if (u->pruning.client)
		wbci_pruning_free(&u->pruning);
	wbci_sweep_free(&u->sweep);
}

/* Have an extent ready before clients run out of pages. */
static void grow_ahead(struct wbci_flusher *f)
{
	const struct wbci_segment *s = &f->client->segment;
	uint32_t extents = wbci_committed(s);
	unsigned left = 0;

	for (uint32_t i = 0;
	     i < extents * WBCI_PAGES_PER_EXTENT && left < PAGES_AHEAD; i++)
		left += wbci_page_kind(order_load(&s->words[i])) == PAGE_FREE;
	/* If it fails, whoever needs one is told why. */
	if (left < PAGES_AHEAD)
		wbci_segment_grow(s, extents);
}

/* An extent could not be had: whoever is short of memory later finds written
 * what could be written before. */
static void see_low(struct wbci_flusher *f)
{
	/* Relaxed: a hint. */
	bool low = order_load(&f->client->segment.control->low_memory);

	f->pressed |= low && !f->upkeep.low;
	f->upkeep.low = low;
}

/* Free what is graced in some pages that nobody owns. */
static void tidy_pages(struct wbci_flusher *f, uint32_t pages)
{
	struct wbci_upkeep *u = &f->upkeep;
	uint32_t n =
		wbci_committed(&f->client->segment) * WBCI_PAGES_PER_EXTENT;
	struct wbci_thread *t;

	if (wbci_thread(f->client, &t))
		return;
	for (uint32_t i = 0; i < pages && i < n; i++) {
		if (u->tidy_page >= n)
			u->tidy_page = 0;
		wbci_enter(t);
		wbci_page_tidy(t, u->tidy_page++);
		wbci_exit(t);
	}
}

/* Now and then: room ahead, and whether the segment is still there. */
static void look_around(struct wbci_flusher *f, int64_t now)
{
	const struct wbci_segment *s = &f->client->segment;
	struct wbci_upkeep *u = &f->upkeep;

	u->next_look_ns = now + LOOK_NS;
	grow_ahead(f);
	see_low(f);
	/* Rounds move the epoch on by two, and a page's limbo bitmaps of odd
	 * and even epochs are to have their turns alike. */
	wbci_epoch_advance(f->client);
	tidy_pages(f, TIDY_PAGES);
	if (!order_load(&s->control->closed) && !wbci_segment_unlinked(s))
		return;
	wbci_log("segment-gone", LOG_TEXT("segment", s->path),
	         LOG_TEXT("reason", "it was closed or removed; what is in it "
	                            "is written, then the flusher ends"));
	atomic_store(&f->stop, true);
}

static int64_t idle_ns(struct wbci_flusher *f)
{
	const struct wbci_config *c = wbci_config_get(&f->config);
	int64_t ns = (int64_t)c->idle_ms * MS_NS;

	wbci_config_put();
	return ns;
}

/* Note which cycle it is, WBCI_PAST times in the time after which an entry
 * is idle. */
static void note_cycle(struct wbci_flusher *f, int64_t now)
{
	struct wbci_upkeep *u = &f->upkeep;

	if (now < u->next_note_ns)
		return;
	u->next_note_ns = now + idle_ns(f) / WBCI_PAST;
	for (unsigned i = WBCI_PAST - 1; i > 0; i--)
		u->past[i] = u->past[i - 1];
	u->past[0] = f->synced;
	if (u->n_past < WBCI_PAST)
		u->n_past++;
}

/* The cycle before which a mark is old enough; 0: none is. */
static uint64_t old_cycle(const struct wbci_flusher *f)
{
	const struct wbci_upkeep *u = &f->upkeep;
	unsigned age = WBCI_PAST - 1;

	if (u->hungry && u->level >= 2)
		return f->synced;
	if (u->hungry && u->level == 1)
		age /= 2;
	return age < u->n_past ? u->past[age] : 0;
}

static void begin_pass(struct wbci_flusher *f, int64_t now)
{
	struct wbci_upkeep *u = &f->upkeep;
	uint64_t want =
		order_load_seq(&f->client->segment.control->memory_want);

	u->hungry = want > u->want_seen;
	if (!u->hungry && now < u->next_pass_ns)
		return;
	u->want_seen = want;
	u->next_pass_ns = now + idle_ns(f) / WBCI_PAST;
	if (now - u->fed_ns > idle_ns(f) / WBCI_PAST)
		u->level = 0;
	u->before = old_cycle(f);
	/* What is young now may be old for somebody who is hungry. */
	while (u->hungry && u->before == 0 && u->level < 2) {
		u->level++;
		u->before = old_cycle(f);
	}
	if (u->before == 0)
		return;
	u->had = u->removal.removed;
	u->left = committed_pages(f);
	u->passing = true;
}

/* So many entries satisfy somebody who is hungry: about an eighth of what all
 * pages hold.  The next one's pass begins where this one ended. */
static uint64_t enough(const struct wbci_flusher *f)
{
	return committed_pages(f) * UINT64_C(64);
}

static bool has_enough(const struct wbci_flusher *f)
{
	return f->upkeep.removal.removed - f->upkeep.had >= enough(f);
}

/* Pages that idle threads hold are room for somebody who is hungry. */
static void revoke_pages(struct wbci_flusher *f)
{
	uint32_t n = committed_pages(f);
	struct wbci_thread *t;

	if (wbci_thread(f->client, &t))
		return;
	for (uint32_t i = 0; i < n; i++)
		wbci_page_revoke(t, i);
	f->upkeep.revoked = wbci_epoch_grace(f->client);
}

static void disown_pages(struct wbci_flusher *f)
{
	uint32_t n = committed_pages(f);

	if (!wbci_epoch_passed(f->client, f->upkeep.revoked))
		return;
	for (uint32_t i = 0; i < n; i++)
		wbci_page_disown(&f->client->segment, i);
}

/* A pass has ended.  What it removed is free some epochs later. */
static void end_pass(struct wbci_flusher *f, int64_t now)
{
	struct wbci_upkeep *u = &f->upkeep;
	uint64_t removed = u->removal.removed - u->had;

	u->passing = false;
	/* Empty nodes that found no place to wait in: a sweep meets them. */
	if (u->pruning.left > u->left_seen) {
		u->left_seen = u->pruning.left;
		wbci_sweep_want(&f->client->segment);
	}
	if (u->hungry)
		revoke_pages(f);
	if (removed || u->hungry)
		u->tidy_left = TIDY_EPOCHS;
	if (!u->hungry)
		return;
	/* Next to nothing was found: next time look for what is younger. */
	if (removed < enough(f) && u->level < 2)
		u->level++;
	u->fed_ns = now;
}

/* Go on with a pass.  False: it waits for a grace period. */
static bool go_on(struct wbci_flusher *f, int64_t now)
{
	struct wbci_upkeep *u = &f->upkeep;

	if (u->removal.n)
		return !wbci_removal_step(&u->removal);
	if (u->left && !(u->hungry && has_enough(f))) {
		u->left -= wbci_removal_look(&u->removal, u->before,
		                             u->left < LOOK_PAGES ? u->left
		                                                  : LOOK_PAGES);
		return true;
	}
	end_pass(f, now);
	return true;
}

/* One epoch's turn of freeing; who waits for memory is told at the last. */
static bool tidy(struct wbci_flusher *f)
{
	struct wbci_upkeep *u = &f->upkeep;

	if (!wbci_epoch_advance(f->client))
		return false;
	disown_pages(f);
	tidy_pages(f, UINT32_MAX);
	if (--u->tidy_left == 0)
		wbci_event(&f->client->segment);
	return true;
}

/* When to go on: at once after progress, else later and later. */
static void set_next(struct wbci_upkeep *u, int64_t now, bool busy,
                     bool progress)
{
	if (progress)
		u->delay_ns = 0;
	else if (busy)
		u->delay_ns = u->delay_ns ? 2 * u->delay_ns : MS_NS;
	if (u->delay_ns > DELAY_MOST_NS)
		u->delay_ns = DELAY_MOST_NS;
	u->next_ns = busy ? now + u->delay_ns : u->next_look_ns;
	if (u->next_ns > u->next_look_ns)
		u->next_ns = u->next_look_ns;
}

bool wbci_upkeep_wanted(const struct wbci_flusher *f)
{
	const struct wbci_upkeep *u = &f->upkeep;

	return !u->passing && !u->tidy_left &&
	       order_load_seq(&f->client->segment.control->memory_want) >
	               u->want_seen;
}

void wbci_upkeep(struct wbci_flusher *f, int64_t now)
{
	struct wbci_upkeep *u = &f->upkeep;
	enum wbci_sweep_state state = u->sweep.state;
	bool progress = false;
	int sweeping;

	if (now >= u->next_look_ns)
		look_around(f, now);
	note_cycle(f, now);
	sweeping = wbci_sweep_step(&u->sweep, SWEEP_WORDS);
	progress |=
		sweeping && (u->sweep.state != state || state == SWEEP_WALK);
	if (u->sweep.sweeps > u->swept_logged) {
		u->swept_logged = u->sweep.sweeps;
		wbci_log("swept", LOG_NUMBER("blocks", u->sweep.swept));
	}
	if (!u->passing && !u->tidy_left)
		begin_pass(f, now);
	/* A turn of tidying moves the epoch on by itself, and by one. */
	if ((u->passing || u->pruning.n) && !u->tidy_left)
		wbci_epoch_advance(f->client);
	if (u->pruning.n)
		progress |= !wbci_prune_step(&u->pruning);
	if (u->passing)
		progress |= go_on(f, now);
	else if (u->tidy_left)
		progress |= tidy(f);
	set_next(u, now, sweeping || u->passing || u->tidy_left || u->pruning.n,
	         progress);
}
