/* SPDX-License-Identifier: MIT */
/* Copyright the wbcshm authors */

/* Long strings: what is stored is read, no block is lost or wasted, and bytes
 * that make no sense are told apart from those that do. */
#include "shm/long.h"

#include "unit/dice.h"
#include "unit/rig.h"
#include "shm/walk.h"

static unsigned char given[WBCI_LONG_MAX], got[WBCI_LONG_MAX + 1];

/* A rig with some extents committed, and its only client. */
struct one {
	struct rig rig;
	struct wbci_client *c;
	struct wbci_thread *t;
	const struct wbci_segment *s;
};

static struct one begin(uint32_t extents)
{
	struct wbci_create how = {.max_bytes =
	                                  (uint64_t)extents * WBCI_EXTENT_BYTES,
	                          .capacity = 1,
	                          .procs = 8,
	                          .threads = 8};
	struct one o = {.rig = rig_make(&how)};

	o.c = rig_client(&o.rig);
	o.t = rig_thread(o.c);
	o.s = &o.c->segment;
	for (uint32_t i = 0; i < extents; i++)
		wbci_segment_grow(o.s, i);
	return o;
}

static void end(struct one *o)
{
	wbci_client_close(&o->c);
	rig_drop(&o->rig);
}

static int store(struct one *o, uint32_t bytes, uint64_t *offset)
{
	int error;

	wbci_enter(o->t);
	error = wbci_long_alloc(o->t, given, bytes, offset);
	wbci_exit(o->t);
	return error;
}

static uint64_t must_store(struct one *o, uint32_t bytes)
{
	uint64_t offset = 0;
	int error = store(o, bytes, &offset);

	if (error)
		tap_bail("no string of %u bytes: %d", bytes, error);
	return offset;
}

/* Blocks that are allocated and not retired, in the whole segment. */
static unsigned held(const struct wbci_segment *s)
{
	unsigned n = 0;

	for (uint32_t page = 0; page < s->geo.n_pages; page++) {
		struct meta_shm *meta = &s->metas[page];

		for (unsigned w = 0; w < WBCI_BITMAP_WORDS; w++) {
			uint64_t bits = order_load(&meta->alloc[w]);

			for (unsigned i = 0; i < 4; i++)
				bits &= ~order_load(&meta->limbo[i][w]);
			n += (unsigned)__builtin_popcountll(bits);
		}
	}
	return n;
}

/* What a visit has seen. */
struct visited {
	const struct wbci_segment *s;
	uint64_t blocks;
	uint64_t used;  /* bytes */
	uint64_t taken; /* bytes of their blocks */
};

static void count_block(void *arg, uint64_t offset, uint64_t bytes)
{
	struct visited *v = arg;
	uint32_t page, block;
	uint64_t word;

	if (!wbci_block_find(v->s, offset, &page, &block, &word))
		tap_bail("a visit to no block");
	v->blocks++;
	v->used += bytes;
	v->taken += wbci_class_bytes[wbci_page_class(word)];
}

static const uint32_t sizes[] = {0,
                                 1,
                                 56,
                                 57,
                                 300,
                                 2040,
                                 2041,
                                 4088,
                                 4097,
                                 8192,
                                 33000,
                                 65528,
                                 65529,
                                 65536,
                                 100 * 1024,
                                 1000000,
                                 1u << 20,
                                 (1u << 20) + 9,
                                 (3u << 20) + 12345};

static unsigned is_kept(struct one *o, uint32_t bytes)
{
	uint64_t offset = must_store(o, bytes);
	struct visited v = {.s = o->s};
	uint32_t n = 0;
	unsigned wrong = 0;

	got[bytes] = 0xa5;
	wrong += wbci_long_read(o->s, offset, got, bytes, &n) != 0;
	wrong += n != bytes || memcmp(got, given, bytes) || got[bytes] != 0xa5;
	wrong += bytes &&
	         wbci_long_read(o->s, offset, got, bytes - 1, &n) != -E2BIG;
	wrong += n != bytes;
	wrong += wbci_long_visit(o->s, offset, count_block, &v) != 0;
	wrong += v.used != bytes + 8 + 8 * (v.blocks - 1);
	wrong += v.blocks != held(o->s);
	wrong += v.taken > 2048 && v.taken > v.used + v.used / 3 + 1;
	wbci_enter(o->t);
	wbci_long_undo(o->t, offset);
	wbci_exit(o->t);
	wrong += held(o->s) != 0;
	if (wrong)
		tap_diag("%u bytes: %u things wrong, %llu of %llu used", bytes,
		         wrong, (unsigned long long)v.used,
		         (unsigned long long)v.taken);
	return wrong;
}

static void test_sizes(void)
{
	struct one o = begin(4);
	unsigned wrong = 0;

	for (size_t i = 0; i < N(sizes); i++)
		wrong += is_kept(&o, sizes[i]);
	tap_is_uint(wrong, 0,
	            "strings of 0 bytes to 3 MiB are read as they were "
	            "stored, in blocks that are each visited once");
	wrong = 0;
	for (uint32_t bytes = 2049; bytes < 200000; bytes += 77) {
		uint64_t offset = must_store(&o, bytes);
		struct visited v = {.s = o.s};

		wbci_long_visit(o.s, offset, count_block, &v);
		wrong += v.taken > v.used + v.used / 3 + 1;
		wbci_enter(o.t);
		wbci_long_undo(o.t, offset);
		wbci_exit(o.t);
		/* What was undone in a page that was given back is retired. */
		rig_advance(o.c, 2);
	}
	tap_is_uint(wrong, 0,
	            "of larger strings' blocks no more than a "
	            "quarter is empty");
	end(&o);
}

/* As the flusher does: pages of whatever class become free ones. */
static void tidy(const struct one *o)
{
	wbci_enter(o->t);
	for (uint32_t page = 0; page < o->s->geo.n_pages; page++)
		wbci_page_tidy(o->t, page);
	wbci_exit(o->t);
}

static void test_limits(void)
{
	struct one o = begin(1);
	uint64_t offset = 77;

	tap_is_int(store(&o, WBCI_LONG_MAX + 1, &offset), -E2BIG,
	           "a string over 16 MiB is refused");
	tap_is_int(store(&o, 3u << 20, &offset), -ENOSPC,
	           "P8: one for which there is no memory, too");
	tap_ok(held(o.s) == 0 && offset == 77,
	       "P8: and all that was taken for it is given back");
	rig_advance(o.c, 2);
	tidy(&o);
	tap_is_int(store(&o, 1u << 20, &offset), 0,
	           "then a smaller one has room");
	end(&o);
}

static void test_retired(void)
{
	struct one o = begin(1);
	unsigned failed = 0;

	for (unsigned i = 0; i < 100; i++) {
		uint64_t offset = 0;

		failed += store(&o, 900000, &offset) != 0;
		wbci_enter(o.t);
		wbci_long_retire(o.t, offset);
		wbci_exit(o.t);
		failed += held(o.s) != 0;
		rig_advance(o.c, 2);
	}
	tap_is_uint(failed, 0,
	            "P6: a retired string's blocks serve again, all of them");
	end(&o);
}

static int look(const struct one *o, uint64_t offset)
{
	uint32_t n;

	return wbci_long_read(o->s, offset, got, WBCI_LONG_MAX, &n);
}

/* One word of a good string is another; then it is put back. */
static int look_with(const struct one *o, uint64_t offset, unsigned word,
                     uint64_t value)
{
	order_u64 *at = (order_u64 *)wbci_at(o->s, offset) + word;
	uint64_t had = order_load(at);
	int error;

	order_store(at, value);
	error = look(o, offset);
	order_store(at, had);
	return error;
}

static void test_hostile(void)
{
	struct one o = begin(2);
	uint64_t offset = must_store(&o, 200000);
	struct long_shm *head = wbci_at(o.s, offset);
	uint64_t size = order_load(&head->size);
	uint64_t chunk = order_load(&head->chunk[0]);
	uint64_t entry;
	const struct {
		unsigned word;
		uint64_t value;
		const char *what;
	} cases[] = {
		{0, UINT32_MAX | size >> 32 << 32, "a length over the limit"},
		{0, size + 60000, "a length beyond the head's block"},
		{0, (uint32_t)size, "no chunks, and too much for the head"},
		{0, (uint32_t)size | UINT64_C(0xffffffff) << 32,
	         "more chunks than the head has words"},
		{0, 5 | size >> 32 << 32, "chunks longer than the string"},
		{1, 0, "a chunk at 0"},
		{1, UINT64_MAX, "a chunk behind the end"},
		{1, (chunk & ~UINT64_C(63)) | 63, "a chunk of no class"},
		{1, chunk - 1, "a chunk of another class"},
		{1, chunk + 64, "a chunk that is within a block"},
	};

	wbci_enter(o.t);
	if (wbci_block_alloc(o.t, PAGE_ENTRIES, 65536, &entry))
		tap_bail("no entry");
	wbci_exit(o.t);
	for (size_t i = 0; i < N(cases); i++)
		tap_is_int(look_with(&o, offset, cases[i].word, cases[i].value),
		           WBC_E_CORRUPT, "P7: %s is refused", cases[i].what);
	tap_is_int(look_with(&o, offset, 1, entry | (chunk & 63)),
	           WBC_E_CORRUPT, "P7: so is a chunk among entries");
	tap_is_int(look(&o, entry), WBC_E_CORRUPT, "P7: and a head there");
	tap_is_int(look(&o, 0), WBC_E_CORRUPT, "P7: and one at 0");
	tap_is_int(look(&o, offset), 0, "the string itself is good");
	end(&o);
}

static void ignore_block(void *arg, uint64_t offset, uint64_t bytes)
{
	const struct wbci_segment *s = arg;

	if (!wbci_in_page(s, offset, bytes))
		tap_bail("a visit outside of a page");
}

/* Bits flipped in the head: whatever they say, nothing else is touched. */
static void test_flipped(void)
{
	struct one o = begin(2);
	uint64_t offset = must_store(&o, 300000);
	order_u64 *head = wbci_at(o.s, offset);
	struct dice d = dice_seeded();
	unsigned good = 0, bad = 0, outside = 0;

	for (unsigned i = 0; i < 20000; i++) {
		order_u64 *at = head + dice_below(&d, 7);
		uint64_t had = order_load(at);
		uint32_t n, room = 300000;

		order_store(at, had ^ UINT64_C(1) << dice_below(&d, 64));
		got[room] = 0x5a;
		if (wbci_long_read(o.s, offset, got, room, &n))
			bad++;
		else
			good++;
		outside += got[room] != 0x5a;
		wbci_long_visit(o.s, offset, ignore_block, (void *)o.s);
		order_store(at, had);
	}
	tap_ok(outside == 0 && good > 0 && bad > good / 8,
	       "P7: a head with a bit flipped is refused, or read within its "
	       "bounds (%u, %u)",
	       bad, good);
	end(&o);
}

int main(void)
{
	for (size_t i = 0; i < sizeof(given); i++)
		given[i] = (unsigned char)(i * 2654435761u >> 13);
	test_sizes();
	test_limits();
	test_retired();
	test_hostile();
	test_flipped();
	return tap_done();
}
