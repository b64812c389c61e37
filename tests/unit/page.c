/* SPDX-License-Identifier: MIT */
/* Copyright the wbcshm authors */

/* Pages and blocks: given out once, reused after a grace period, never lost. */
#include "shm/page.h"

#include "unit/rig.h"
#include "unit/step.h"

static struct rig make(uint32_t extents)
{
	return rig_make(&(struct wbci_create){.max_bytes = (uint64_t)extents *
	                                                   WBCI_EXTENT_BYTES,
	                                      .capacity = 1,
	                                      .procs = 8,
	                                      .threads = 8});
}

/* A rig with one extent committed, its only client, in no section. */
struct one {
	struct rig rig;
	struct wbci_client *c;
	struct wbci_thread *t;
	const struct wbci_segment *s;
};

static struct one begin(uint32_t extents)
{
	struct one o = {.rig = make(extents)};

	o.c = rig_client(&o.rig);
	o.t = rig_thread(o.c);
	o.s = &o.c->segment;
	if (wbci_segment_grow(o.s, 0))
		tap_bail("no first extent");
	return o;
}

static void end(struct one *o)
{
	wbci_client_close(&o->c);
	rig_drop(&o->rig);
}

static uint64_t take(struct wbci_thread *t, enum page_kind kind, uint64_t bytes)
{
	uint64_t offset = 0;
	int error;

	wbci_enter(t);
	error = wbci_block_alloc(t, kind, bytes, &offset);
	wbci_exit(t);
	if (error)
		tap_bail("no block of %llu bytes: %d",
		         (unsigned long long)bytes, error);
	return offset;
}

static void retire(struct wbci_thread *t, uint64_t offset)
{
	wbci_enter(t);
	wbci_block_retire(t, offset);
	wbci_exit(t);
}

static unsigned reclaim(struct wbci_thread *t, uint32_t page)
{
	unsigned freed;

	wbci_enter(t);
	freed = wbci_page_reclaim(t, page);
	wbci_exit(t);
	return freed;
}

static unsigned bits_in(const order_u64 *words)
{
	unsigned n = 0;

	for (unsigned w = 0; w < WBCI_BITMAP_WORDS; w++)
		n += (unsigned)__builtin_popcountll(order_load(&words[w]));
	return n;
}

/* Blocks of a page that nobody may allocate now. */
static unsigned allocated(const struct wbci_segment *s, uint32_t page)
{
	return bits_in(s->metas[page].alloc);
}

static void test_classes(void)
{
	static const struct {
		uint64_t bytes;
		int room; /* or an error */
	} sizes[] = {{0, 64},         {1, 64},
	             {64, 64},        {65, 128},
	             {96, 128},       {129, 192},
	             {385, 448},      {513, 640},
	             {1025, 1280},    {2049, 3072},
	             {4097, 8192},    {8193, 16384},
	             {32769, 65536},  {65536, 65536},
	             {65537, -E2BIG}, {UINT64_MAX, -E2BIG}};
	unsigned wrong = 0;

	for (size_t i = 0; i < N(sizes); i++) {
		int class = wbci_class_of(sizes[i].bytes);
		int room = class < 0 ? class : (int)wbci_class_bytes[class];

		tap_is_int(room, sizes[i].room, "%llu bytes: a block of %d",
		           (unsigned long long)sizes[i].bytes, sizes[i].room);
	}
	for (int i = 0; i < (int)WBCI_CLASSES; i++) {
		uint32_t bytes = wbci_class_bytes[i];

		wrong += wbci_class_of(bytes) != i || bytes % WBCI_BLOCK_MIN;
		wrong += i && wbci_class_of(wbci_class_bytes[i - 1] + 1) != i;
	}
	tap_is_uint(wrong, 0, "classes ascend, and each serves its own size");
}

/* All blocks of a fresh page, by address, and then one from the next. */
static unsigned page_is_used_up(struct one *o, enum page_kind kind,
                                unsigned class)
{
	static unsigned char given[WBCI_BLOCKS_MAX];
	uint32_t bytes = wbci_class_bytes[class];
	uint32_t n = WBCI_PAGE_BYTES / bytes;
	uint32_t page = wbci_page_of(o->s, take(o->t, kind, bytes));
	unsigned wrong = 0;
	uint64_t word;

	memset(given, 0, sizeof(given));
	given[0] = 1;
	for (uint32_t i = 1; i < n; i++) {
		uint64_t offset = take(o->t, kind, bytes);
		uint64_t at = offset - wbci_page_off(o->s, page);

		if (at >= WBCI_PAGE_BYTES || at % bytes || given[at / bytes]) {
			wrong++;
			continue;
		}
		given[at / bytes] = 1;
	}
	word = order_load(&o->s->words[page]);
	wrong += allocated(o->s, page) != n;
	wrong += wbci_page_kind(word) != kind || wbci_page_class(word) != class;
	wrong += wbci_page_owner(word) != o->t->slot + 1;
	wrong += wbci_page_of(o->s, take(o->t, kind, bytes)) == page;
	return wrong;
}

static void test_once(void)
{
	struct one o = begin(4);
	unsigned wrong = 0;

	for (uint32_t i = 1; i < 4; i++)
		wbci_segment_grow(o.s, i);
	for (unsigned class = 0; class < WBCI_CLASSES; class ++)
		wrong += page_is_used_up(&o, PAGE_BLOCKS, class);
	tap_is_uint(wrong, 0,
	            "every block of a page is given out once, in "
	            "each class");
	wrong = 0;
	for (unsigned class = 1; class < WBCI_CLASSES; class += 5)
		wrong += page_is_used_up(&o, PAGE_ENTRIES, class);
	tap_is_uint(wrong, 0, "entries stand in pages of their own");
	end(&o);
}

static void test_undo(void)
{
	struct one o = begin(1);
	uint64_t a, b, again;
	uint32_t page;

	wbci_enter(o.t);
	wbci_block_alloc(o.t, PAGE_BLOCKS, 192, &a);
	wbci_block_alloc(o.t, PAGE_BLOCKS, 192, &b);
	page = wbci_page_of(o.s, a);
	wbci_block_undo(o.t, a);
	tap_is_uint(allocated(o.s, page), 1,
	            "a block that is given back is free at once");
	wbci_block_alloc(o.t, PAGE_BLOCKS, 192, &again);
	wbci_exit(o.t);
	tap_ok(again == a && a != b, "it is given out again, its neighbour "
	                             "is not");
	end(&o);
}

/* Nothing is free before two epochs have ended, whatever G mod 4 is. */
static void test_grace(void)
{
	struct one o = begin(1);
	uint32_t page;
	unsigned early = 0, late = 0;

	take(o.t, PAGE_BLOCKS, 64);
	for (unsigned i = 0; i < 9; i++) {
		uint64_t offset = take(o.t, PAGE_BLOCKS, 64);

		page = wbci_page_of(o.s, offset);
		retire(o.t, offset);
		early += reclaim(o.t, page);
		rig_advance(o.c, 1);
		early += reclaim(o.t, page);
		rig_advance(o.c, 1);
		late += reclaim(o.t, page) != 1;
		late += take(o.t, PAGE_BLOCKS, 64) != offset;
		rig_advance(o.c, i % 4);
	}
	tap_is_uint(early, 0,
	            "a retired block is not free within two epochs "
	            "(P6)");
	tap_is_uint(late, 0, "then it is, at once, and is given out again");
	end(&o);
}

/* Who comes late finds it again when its limbo bitmap has its turn. */
static void test_turns(void)
{
	struct one o = begin(1);
	unsigned lost = 0;

	for (unsigned missed = 3; missed < 12; missed++) {
		uint64_t offset = take(o.t, PAGE_BLOCKS, 64);
		uint32_t page = wbci_page_of(o.s, offset);
		unsigned freed = 0;

		retire(o.t, offset);
		rig_advance(o.c, missed);
		for (unsigned i = 0; i < 4; i++) {
			freed += reclaim(o.t, page);
			rig_advance(o.c, 1);
		}
		lost += freed != 1;
	}
	tap_is_uint(lost, 0,
	            "a block that was retired long ago is found "
	            "within four epochs");
	end(&o);
}

static void test_reader(void)
{
	struct one o = begin(1);
	struct wbci_client *other = rig_client(&o.rig);
	struct wbci_thread *reader = rig_thread(other);
	uint64_t offset = take(o.t, PAGE_BLOCKS, 64);
	uint32_t page = wbci_page_of(o.s, offset);
	unsigned freed = 0, moved = 0;

	wbci_enter(reader);
	retire(o.t, offset);
	for (unsigned i = 0; i < 8; i++) {
		moved += wbci_epoch_advance(o.c);
		freed += reclaim(o.t, page);
	}
	tap_ok(freed == 0 && moved <= 1,
	       "no block is reused while a reader may see it (P6)");
	tap_is_uint(allocated(o.s, page), 1, "a stopped reader pins it");
	wbci_exit(reader);
	for (unsigned i = 0; i < 6; i++) {
		rig_advance(o.c, 1);
		freed += reclaim(o.t, page);
	}
	tap_is_uint(freed, 1, "when it has left, the block is free");
	wbci_client_close(&other);
	end(&o);
}

/*
 * Whoever unlinks a block may have entered its section an epoch ago; a reader
 * that entered since may have seen it all the same.
 */
static void test_late_unlink(void)
{
	struct one o = begin(1);
	struct wbci_client *other = rig_client(&o.rig);
	struct wbci_client *third = rig_client(&o.rig);
	struct wbci_thread *reader = rig_thread(other);
	uint64_t offset = take(o.t, PAGE_BLOCKS, 64);
	unsigned freed = 0;

	wbci_enter(o.t);
	rig_advance(third, 1);
	wbci_enter(reader);
	wbci_block_retire(o.t, offset);
	wbci_exit(o.t);
	for (unsigned i = 0; i < 8; i++) {
		wbci_epoch_advance(third);
		freed += reclaim(o.t, wbci_page_of(o.s, offset));
	}
	tap_is_uint(freed, 0,
	            "a block is as old as its unlinking, not as the "
	            "section of it (P6)");
	wbci_exit(reader);
	wbci_client_close(&third);
	wbci_client_close(&other);
	end(&o);
}

static void test_adoption(void)
{
	struct one o = begin(1);
	struct wbci_client *next = rig_client(&o.rig);
	uint64_t a = take(o.t, PAGE_BLOCKS, 256);
	uint64_t b = take(o.t, PAGE_BLOCKS, 256);
	uint64_t kept = take(o.t, PAGE_ENTRIES, 256);
	uint32_t page = wbci_page_of(o.s, a), n = WBCI_PAGE_BYTES / 256;
	struct wbci_thread *t;
	unsigned wrong = 0;
	uint64_t word;

	retire(o.t, b);
	wbci_thread_end(o.c);
	word = order_load(&o.s->words[page]);
	tap_ok(wbci_page_owner(word) == 0 &&
	               wbci_page_kind(word) == PAGE_BLOCKS,
	       "a thread that ends leaves its pages to nobody, as they are");
	t = rig_thread(next);
	for (uint32_t i = 2; i < n; i++) {
		uint64_t offset = take(t, PAGE_BLOCKS, 256);

		wrong += wbci_page_of(o.s, offset) != page || offset == a ||
		         offset == b;
	}
	tap_is_uint(wrong, 0,
	            "another thread takes them over, with what "
	            "stands in them");
	tap_is_uint(wbci_page_owner(order_load(&o.s->words[page])), t->slot + 1,
	            "and owns them then");
	rig_advance(next, 2);
	tap_is_uint(take(t, PAGE_BLOCKS, 256), b,
	            "what the last owner retired is free for the next (P6)");
	tap_ok(wbci_page_of(o.s, take(t, PAGE_ENTRIES, 256)) ==
	               wbci_page_of(o.s, kept),
	       "a page of entries is taken over for entries only");
	wbci_client_close(&next);
	end(&o);
}

/*
 * An owner that died between clearing alloc bits and clearing limbo bits
 * leaves limbo bits of free blocks; they must not free who comes after.
 */
static void test_half_done(void)
{
	struct one o = begin(1);
	struct wbci_client *next = rig_client(&o.rig);
	uint64_t dead = take(o.t, PAGE_BLOCKS, 64);
	uint64_t kept = take(o.t, PAGE_BLOCKS, 64);
	uint32_t page = wbci_page_of(o.s, dead);
	struct meta_shm *meta = &o.s->metas[page];
	unsigned freed = 0;
	struct wbci_thread *t;
	uint64_t again;

	wbci_thread_end(o.c);
	order_and(&meta->alloc[0], ~UINT64_C(1));
	for (unsigned i = 0; i < 4; i++)
		order_or(&meta->limbo[i][0], 1);
	order_or(&meta->limbo[1][3], UINT64_C(1) << 40);
	t = rig_thread(next);
	again = take(t, PAGE_BLOCKS, 64);
	tap_is_uint(again, dead,
	            "a block that a killed owner had half freed "
	            "is free");
	for (unsigned i = 0; i < 8; i++) {
		freed += reclaim(t, page);
		rig_advance(next, 1);
	}
	tap_is_uint(freed, 0,
	            "its limbo bits do not free the next one that "
	            "stands there (P6)");
	tap_ok(take(t, PAGE_BLOCKS, 64) != again && again != kept,
	       "so it is not given out twice");
	tap_is_uint(bits_in(meta->limbo[0]) + bits_in(meta->limbo[1]) +
	                    bits_in(meta->limbo[2]) + bits_in(meta->limbo[3]),
	            0, "nothing is in limbo then");
	wbci_client_close(&next);
	end(&o);
}

static void test_release(void)
{
	struct one o = begin(1);
	struct wbci_client *other = rig_client(&o.rig);
	struct wbci_thread *t = rig_thread(other);
	uint32_t mine = wbci_page_of(o.s, take(o.t, PAGE_BLOCKS, 64));
	uint32_t entries = wbci_page_of(o.s, take(o.t, PAGE_ENTRIES, 512));
	uint32_t theirs = wbci_page_of(o.s, take(t, PAGE_BLOCKS, 64));

	tap_ok(mine != theirs, "two threads do not share a page");
	wbci_page_release(o.s, o.t->slot);
	tap_ok(wbci_page_owner(order_load(&o.s->words[mine])) == 0 &&
	               wbci_page_owner(order_load(&o.s->words[entries])) == 0,
	       "all pages of a slot are released");
	tap_is_uint(wbci_page_owner(order_load(&o.s->words[theirs])),
	            t->slot + 1, "and no other's");
	/* The slot lives on here; its cached pages are not its own now. */
	memset(o.t->page, 0, sizeof(o.t->page));
	wbci_client_close(&other);
	end(&o);
}

/* Two threads of other processes, who retire blocks of one page at once. */
enum { HALVES = 2, RETIRE_ROUNDS = 40 };
struct half {
	const struct rig *rig;
	order_u32 *ready; /* how many of them are */
	uint32_t page;
	unsigned first;
};

static void *retire_half(void *arg)
{
	const struct half *h = arg;
	struct wbci_client *c = rig_client(h->rig);
	struct wbci_thread *t = rig_thread(c);
	uint64_t page_off = wbci_page_off(&c->segment, h->page);

	/* Not asleep, so that they really run together. */
	order_add_seq(h->ready, 1);
	while (order_acquire(h->ready) < HALVES)
		;
	for (unsigned b = h->first; b < WBCI_BLOCKS_MAX; b += HALVES)
		retire(t, page_off + (uint64_t)b * WBCI_BLOCK_MIN);
	wbci_client_close(&c);
	return NULL;
}

static void test_together(void)
{
	struct one o = begin(1);
	uint32_t page = wbci_page_of(o.s, take(o.t, PAGE_BLOCKS, 64));
	unsigned wrong = 0;

	for (unsigned b = 1; b < WBCI_BLOCKS_MAX; b++)
		take(o.t, PAGE_BLOCKS, 64);
	for (unsigned i = 0; i < RETIRE_ROUNDS; i++) {
		order_u32 ready = 0;
		struct half halves[HALVES];
		pthread_t threads[HALVES];

		for (unsigned h = 0; h < HALVES; h++) {
			halves[h] = (struct half){&o.rig, &ready, page, h};
			threads[h] = rig_start(retire_half, &halves[h]);
		}
		for (unsigned h = 0; h < HALVES; h++)
			pthread_join(threads[h], NULL);
		rig_advance(o.c, 2);
		wrong += reclaim(o.t, page) != WBCI_BLOCKS_MAX;
		wrong += allocated(o.s, page) != 0;
		for (unsigned b = 0; b < WBCI_BLOCKS_MAX; b++)
			wrong += wbci_page_of(o.s, take(o.t, PAGE_BLOCKS,
			                                64)) != page;
	}
	tap_is_uint(wrong, 0,
	            "what two threads retire in one page at once is all free "
	            "later (P6)");
	end(&o);
}

static void test_exhaustion(void)
{
	struct rig rig = make(2);
	struct wbci_client *c = rig_client(&rig);
	const struct wbci_segment *s = &c->segment;
	struct wbci_thread *t = rig_thread(c);
	unsigned got = 0;
	uint64_t offset = 0, last = 0;

	wbci_enter(t);
	tap_is_int(wbci_block_alloc(t, PAGE_BLOCKS, 64, &offset), -ENOSPC,
	           "a segment begins without memory, and says so");
	wbci_exit(t);
	tap_is_int(wbci_segment_grow(s, 0), 0, "it grows");
	tap_is_int(wbci_segment_grow(s, 0), 0, "who was overtaken need not");
	tap_is_uint(wbci_committed(s), 1, "so one extent came of it");
	wbci_enter(t);
	while (wbci_block_alloc(t, PAGE_BLOCKS, WBCI_BLOCK_LARGEST, &offset) ==
	       0) {
		last = offset;
		got++;
	}
	tap_is_uint(got, WBCI_PAGES_PER_EXTENT, "all pages are given out");
	tap_is_int(wbci_block_alloc(t, PAGE_ENTRIES, 64, &offset), -ENOSPC,
	           "then there is none, for entries neither");
	wbci_block_undo(t, last);
	tap_is_int(
		wbci_block_alloc(t, PAGE_BLOCKS, WBCI_BLOCK_LARGEST, &offset),
		0, "what was given back can be had again (P8)");
	tap_is_uint(offset, last, "and it is that one");
	wbci_exit(t);
	tap_is_int(wbci_segment_grow(s, 1), 0, "the second extent helps");
	take(t, PAGE_ENTRIES, 64);
	wbci_enter(t);
	got = 1;
	while (wbci_block_alloc(t, PAGE_BLOCKS, WBCI_BLOCK_LARGEST, &offset) ==
	       0)
		got++;
	wbci_exit(t);
	tap_is_uint(got, WBCI_PAGES_PER_EXTENT, "and is used up likewise");
	tap_is_int(wbci_segment_grow(s, 2), -ENOSPC,
	           "beyond max_bytes there is no more (P8)");
	retire(t, last);
	rig_advance(c, 2);
	tap_is_uint(take(t, PAGE_BLOCKS, WBCI_BLOCK_LARGEST), last,
	            "but what is retired comes back (P6)");
	wbci_client_close(&c);
	rig_drop(&rig);
}

#if STEP_WORKS
/*
 * The owner is killed after each instruction of each thing that it does to a
 * page; then its pages are released, as the reaper does, and adopted.  What
 * it held stays allocated, what it had retired becomes free, and no block is
 * given out twice.
 */
enum { VICTIM_BLOCKS = 3 };
struct victim {
	struct wbci_thread *t;
	uint32_t page;
	uint64_t block[VICTIM_BLOCKS];
};

static void victim_reclaims(void *arg)
{
	const struct victim *v = arg;

	reclaim(v->t, v->page);
}

static void victim_allocates(void *arg)
{
	const struct victim *v = arg;
	uint64_t offset;

	wbci_enter(v->t);
	wbci_block_alloc(v->t, PAGE_BLOCKS, 64, &offset);
	wbci_block_undo(v->t, offset);
	wbci_exit(v->t);
}

static void victim_retires(void *arg)
{
	const struct victim *v = arg;

	retire(v->t, v->block[0]);
}

/* Who was killed is reaped, and its page goes to @heir. */
static void bury(struct one *o, const struct victim *v, struct wbci_client *c)
{
	wbci_page_release(o->s, v->t->slot);
	order_release(v->t->epoch, 0);
	memset(v->t->page, 0, sizeof(v->t->page));
	rig_advance(c, 2);
}

/*
 * Block 0 was held or retired by the dead, block 1 held, block 2 retired.
 * How many blocks of the page are given out though they are held, or more
 * than once, or were retired and do not come back?
 */
static unsigned audit(struct one *o, const struct victim *v,
                      struct wbci_client *c)
{
	static unsigned char given[WBCI_BLOCKS_MAX];
	struct wbci_thread *heir = rig_thread(c);
	unsigned wrong = 0, back = 0;

	memset(given, 0, sizeof(given));
	for (unsigned i = 0; i < 5; i++) {
		uint64_t offset;

		/* All the page's room, then one from elsewhere. */
		while (wbci_page_of(o->s, offset = take(heir, PAGE_BLOCKS,
		                                        64)) == v->page) {
			unsigned b = (unsigned)(offset % WBCI_PAGE_BYTES) / 64;

			wrong += given[b]++ || offset == v->block[1];
			back += offset == v->block[2];
		}
		rig_advance(c, 1);
		heir->page[PAGE_BLOCKS - 1][0] = 0;
		heir->scan[PAGE_BLOCKS - 1][0] = v->page;
	}
	return wrong + (back != 1);
}

static unsigned long kill_everywhere(void (*operation)(void *), unsigned *wrong)
{
	bool killed = true;
	unsigned long at;

	for (at = 1; killed; at += STEP_STRIDE) {
		struct one o = begin(1);
		struct wbci_client *c = rig_client(&o.rig);
		struct victim v = {.t = o.t};

		for (unsigned i = 0; i < VICTIM_BLOCKS; i++)
			v.block[i] = take(o.t, PAGE_BLOCKS, 64);
		v.page = wbci_page_of(o.s, v.block[0]);
		retire(o.t, v.block[2]);
		rig_advance(o.c, 2);
		killed = step_until(operation, &v, at);
		bury(&o, &v, c);
		*wrong += audit(&o, &v, c);
		wbci_client_close(&c);
		end(&o);
	}
	return at;
}

static void test_killed(void)
{
	static const struct {
		void (*operation)(void *);
		const char *what;
	} ops[] = {{victim_reclaims, "frees blocks"},
	           {victim_allocates, "takes a block and gives it back"},
	           {victim_retires, "retires a block"}};

	for (size_t i = 0; i < N(ops); i++) {
		unsigned wrong = 0;
		unsigned long n = kill_everywhere(ops[i].operation, &wrong);

		tap_is_uint(wrong, 0,
		            "an owner killed at any instruction while it %s "
		            "loses no block and doubles none (P6)",
		            ops[i].what);
		tap_diag("%lu instructions", n);
	}
}
#else
static void test_killed(void)
{
	tap_skip(3, STEP_WHY_NOT);
}
#endif

int main(void)
{
	test_classes();
	test_once();
	test_undo();
	test_grace();
	test_turns();
	test_reader();
	test_late_unlink();
	test_adoption();
	test_half_done();
	test_release();
	test_together();
	test_exhaustion();
	test_killed();
	return tap_done();
}
