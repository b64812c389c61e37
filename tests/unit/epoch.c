/* SPDX-License-Identifier: MIT */
/* Copyright the wbcshm authors */

/*
 * Epochs: a section holds back the second advance, a retired block comes back
 * two advances after it was retired and not before, a stopped reader pins
 * memory and nobody's progress, and all of it without membarrier, too.
 */
#include <pthread.h>
#include <sys/syscall.h>

#include "shm/page.h"
#include "unit/child.h"
#include "unit/scratch.h"

#define SPEC "t(k text key, n counter)"
#define N(array) (sizeof(array) / sizeof((array)[0]))

/*
 * Two handles of one process are two processes: one reads in sections, the
 * other, which is in none, advances.
 */
struct site {
	struct scratch dir;
	struct wbc *c, *other;
	struct wbc_table *t;
	struct wbci_client *reader, *reclaimer;
};

static const struct wbc_value row = {"k", WBC_TEXT, 1, {.p = "r"}};

static void site_open(struct site *site)
{
	scratch_make(&site->dir);
	site->c = scratch_open(&site->dir, NULL);
	site->other = scratch_open(&site->dir, NULL);
	site->t = scratch_table(site->c, SPEC);
	site->reader = site->c->client;
	site->reclaimer = site->other->client;
}

static void site_close(struct site *site)
{
	wbc_close(&site->other);
	wbc_close(&site->c);
	scratch_remove(&site->dir);
}

static struct wbci_thread *thread_of(struct wbci_client *c)
{
	struct wbci_thread *t;

	if (wbci_thread(c, &t))
		tap_bail("no thread slot");
	return t;
}

static uint64_t g_of(const struct site *site)
{
	return order_load(&site->reclaimer->segment.control->epoch);
}

/* How often G moved in @n attempts. */
static unsigned advances(const struct site *site, unsigned n)
{
	uint64_t before = g_of(site);
	unsigned said = 0;

	for (unsigned i = 0; i < n; i++)
		said += wbci_epoch_advance(site->reclaimer);
	if (g_of(site) - before != said)
		tap_bail("G moved by %d, not %u", (int)(g_of(site) - before),
		         said);
	return said;
}

static void test_sections(void)
{
	struct wbci_thread *t;
	struct site site;
	uint64_t g;

	site_open(&site);
	t = thread_of(site.reader);
	tap_is_uint(g_of(&site), 1, "G begins at 1: 0 is no section");
	tap_is_uint(advances(&site, 5), 5,
	            "a thread outside sections holds nothing back");

	g = g_of(&site);
	wbci_enter(t);
	tap_is_uint(order_load(t->epoch), g, "a section's word is G");
	tap_is_uint(advances(&site, 100), 1,
	            "a section holds back the second advance (P6)");
	tap_is_uint(order_load(t->epoch), g, "and its word stays");
	wbci_exit(t);
	tap_is_uint(order_load(t->epoch), 0, "afterwards it is 0");
	tap_is_uint(advances(&site, 3), 3, "and nothing is held back");

	wbci_enter(t);
	advances(&site, 1);
	wbci_exit(t);
	wbci_enter(t);
	tap_is_uint(advances(&site, 100), 1,
	            "a section that begins anew holds back anew (P6)");
	wbci_exit(t);
	site_close(&site);
}

static void test_grace(void)
{
	struct wbci_thread *t;
	struct site site;
	uint64_t grace;

	site_open(&site);
	t = thread_of(site.reader);
	wbci_enter(t);
	grace = wbci_epoch_grace(site.reclaimer);
	tap_ok(!wbci_epoch_passed(site.reclaimer, grace),
	       "a grace period has not passed when it begins");
	advances(&site, 100);
	tap_ok(!wbci_epoch_passed(site.reclaimer, grace),
	       "nor while a section of its beginning is open (P6)");
	wbci_exit(t);
	wbci_enter(t);
	advances(&site, 1);
	tap_ok(wbci_epoch_passed(site.reclaimer, grace),
	       "a section that began later does not hold it back (P2)");
	wbci_exit(t);
	site_close(&site);
}

/* The first block of a page of our own, retired now. */
static uint64_t retire_one(const struct site *site)
{
	struct wbci_thread *t = thread_of(site->reader);
	uint64_t offset;

	wbci_enter(t);
	if (wbci_block_alloc(t, PAGE_BLOCKS, 1000, &offset))
		tap_bail("no block");
	wbci_block_retire(t, offset);
	wbci_exit(t);
	return offset;
}

static unsigned reclaim(const struct site *site, uint64_t offset)
{
	struct wbci_thread *t = thread_of(site->reader);
	unsigned freed;

	wbci_enter(t);
	freed = wbci_page_reclaim(t,
	                          wbci_page_of(&site->reader->segment, offset));
	wbci_exit(t);
	return freed;
}

static uint64_t allocate(const struct site *site)
{
	struct wbci_thread *t = thread_of(site->reader);
	uint64_t offset;

	wbci_enter(t);
	if (wbci_block_alloc(t, PAGE_BLOCKS, 1000, &offset))
		tap_bail("no block");
	wbci_exit(t);
	return offset;
}

static void make_room(struct site *site)
{
	if (wbci_segment_grow(&site->reader->segment,
	                      wbci_committed(&site->reader->segment)))
		tap_bail("no extent");
}

static void test_retire(void)
{
	struct site site;

	site_open(&site);
	make_room(&site);
	/* From each G modulo 4, since there is a bitmap for each. */
	for (unsigned i = 0; i < 4; i++) {
		unsigned g = (unsigned)(g_of(&site) % 4);
		uint64_t offset = retire_one(&site);

		tap_is_uint(reclaim(&site, offset), 0,
		            "retired at G mod 4 = %u: not free at once (P6)",
		            g);
		advances(&site, 1);
		tap_is_uint(reclaim(&site, offset), 0,
		            "retired at G mod 4 = %u: nor at G + 1 (P6)", g);
		tap_ok(allocate(&site) != offset,
		       "retired at G mod 4 = %u: nobody gets it yet (P6)", g);
		advances(&site, 1);
		tap_is_uint(reclaim(&site, offset), 1,
		            "retired at G mod 4 = %u: free at G + 2", g);
		tap_is_uint(allocate(&site), offset,
		            "retired at G mod 4 = %u: then the next one gets "
		            "it",
		            g);
		advances(&site, 3);
	}
	site_close(&site);
}

/* Nobody looked when a bitmap's time came: it comes again. */
static void test_retire_late(void)
{
	struct site site;

	site_open(&site);
	make_room(&site);
	for (unsigned late = 2; late < 10; late++) {
		uint64_t offset = retire_one(&site);
		unsigned freed = 0, more = 0;

		advances(&site, late);
		while (more < 4 && freed == 0) {
			freed = reclaim(&site, offset);
			more += advances(&site, 1);
		}
		tap_is_uint(freed, 1,
		            "not looked for until G + %u, it is free at most "
		            "3 later (P6)",
		            late);
	}
	site_close(&site);
}

/* A reader holds what it could still reach. */
static void test_retire_under_reader(void)
{
	struct wbci_thread *t;
	struct site site;
	uint64_t offset;

	site_open(&site);
	make_room(&site);
	t = thread_of(site.reclaimer);
	wbci_enter(t);
	offset = retire_one(&site);
	for (unsigned i = 0; i < 20; i++)
		wbci_epoch_advance(site.reader);
	tap_is_uint(reclaim(&site, offset), 0,
	            "a block retired under a reader is not reused (P6)");
	wbci_exit(t);
	advances(&site, 1);
	tap_is_uint(reclaim(&site, offset), 1, "when it left, it is");
	site_close(&site);
}

/* The stamp is G at the time, not at the beginning of the section. */
static void test_retire_late_in_section(void)
{
	struct wbci_thread *t;
	struct site site;
	uint64_t offset;

	site_open(&site);
	make_room(&site);
	t = thread_of(site.reader);
	wbci_enter(t);
	if (wbci_block_alloc(t, PAGE_BLOCKS, 1000, &offset))
		tap_bail("no block");
	advances(&site, 1);
	wbci_block_retire(t, offset);
	wbci_exit(t);
	advances(&site, 1);
	tap_is_uint(reclaim(&site, offset), 0,
	            "retired after G moved in a section: it counts from the "
	            "new G (P6)");
	advances(&site, 1);
	tap_is_uint(reclaim(&site, offset), 1, "and is free two later");
	site_close(&site);
}

/* In a section, until told to leave it; then until told to end. */
static void reads(int line, void *arg)
{
	struct site *site = arg;
	struct wbci_thread *t = thread_of(site->reader);

	wbci_enter(t);
	child_say(line);
	child_hear(line);
	wbci_exit(t);
	child_say(line);
	child_hear_end(line);
}

/* Old and new rows, by others than the one who is stopped. */
static unsigned others_add(const struct site *site, unsigned round)
{
	unsigned bad = 0;
	char key[64];

	for (unsigned i = 0; i < 5000; i++) {
		struct wbc_value v = wbc_text(NULL, key, 0);

		v.bytes =
			(uint32_t)snprintf(key, sizeof(key), "%u-%u", round, i);
		bad += wbc_add_int64(site->t, &row, 1, 1, 1) != 0;
		bad += wbc_add_int64(site->t, &v, 1, 1, 1) != 0;
		bad += scratch_total(site->t, &v, 1, 1) != 1;
	}
	return bad;
}

static void test_stopped(void)
{
	unsigned in_section;
	struct site site;
	struct child c;
	uint64_t offset;

	site_open(&site);
	make_room(&site);
	c = child_start(reads, &site);
	child_hear(c.line);
	child_stop(&c);
	offset = retire_one(&site);
	tap_is_uint(advances(&site, 100), 1,
	            "a process stopped in a section pins memory ...");
	tap_is_uint(reclaim(&site, offset), 0, "so nothing is reused (P6)");
	tap_is_uint(others_add(&site, 0), 0,
	            "... and nobody's progress: 10,000 adds work (P2)");
	tap_is_uint(wbci_reap(&site.reclaimer->segment, &in_section), 0,
	            "it is not reaped (P9)");
	tap_is_uint(advances(&site, 100), 0, "nor is its word ignored");

	child_continue(&c);
	child_say(c.line);
	child_hear(c.line);
	tap_is_uint(advances(&site, 2), 2, "when it leaves, G goes on");
	child_kill(&c);
	tap_is_uint(advances(&site, 2), 2,
	            "killed outside sections it holds nothing back");

	c = child_start(reads, &site);
	child_hear(c.line);
	child_kill(&c);
	tap_is_uint(advances(&site, 100), 1,
	            "killed in a section it still pins");
	tap_is_uint(others_add(&site, 1), 0, "and blocks nobody (P2)");
	wbci_reap(&site.reclaimer->segment, &in_section);
	tap_is_uint(in_section, 1, "until it is reaped, which says so");
	tap_is_uint(advances(&site, 2), 2, "and nothing stays pinned (P6)");
	site_close(&site);
}

/* What a process is refused that may not use membarrier. */
static bool refuse_membarrier(int error)
{
	return child_refuse(SYS_membarrier, 0, 0, error);
}

struct fenced {
	struct site *site;
	int error;
	unsigned adds;
};

enum { ADDS = 20000 };

static void add_both_ways(struct wbc_table *t, unsigned n)
{
	struct wbc_counter *counter;

	if (wbc_counter_open(t, &row, 1, 1, &counter))
		tap_bail("no counter");
	for (unsigned i = 0; i < n; i++) {
		if (wbc_add_int64(t, &row, 1, 1, 1) ||
		    wbc_counter_add(counter, 1))
			tap_bail("add");
	}
	wbc_counter_close(&counter);
}

static void runs_fenced(int line, void *arg)
{
	const struct fenced *f = arg;
	struct wbci_thread *t;
	struct wbc *c;

	if (!refuse_membarrier(f->error))
		tap_child_exit(2);
	c = scratch_open(&f->site->dir, NULL);
	t = thread_of(c->client);
	tap_ok(!wbci_epoch_barrier(),
	       "membarrier refused: a reclaimer is told that it has none");
	tap_ok((order_load(&t->shm->word) & 15) == THREAD_FENCED && t->fenced,
	       "membarrier refused: threads are fenced");
	child_say(line);
	child_hear(line);
	add_both_ways(scratch_table(c, SPEC), ADDS);
	wbci_enter(t);
	child_say(line);
	child_hear(line);
	wbci_exit(t);
	child_say(line);
	child_hear_end(line);
}

static bool has_seccomp(void)
{
	pid_t pid = fork();

	if (pid == 0)
		tap_child_exit(!refuse_membarrier(EPERM));
	return child_reap(pid) == 0;
}

static void test_fenced(int error, const char *name)
{
	struct site site;
	struct fenced f = {&site, error, 0};
	struct child c;

	site_open(&site);
	thread_of(site.reader);
	c = child_start(runs_fenced, &f);
	child_hear(c.line);
	child_say(c.line);
	add_both_ways(site.t, ADDS);
	child_hear(c.line);
	tap_is_uint(scratch_total(site.t, &row, 1, 1), 4 * ADDS,
	            "%s: adds with and without fences are exact (P3)", name);
	tap_is_uint(advances(&site, 100), 1,
	            "%s: a reclaimer with membarrier sees a fenced section "
	            "(P6)",
	            name);
	child_say(c.line);
	child_hear(c.line);
	tap_is_uint(advances(&site, 100), 100,
	            "%s: and serves both kinds when it ended", name);
	child_kill(&c);
	site_close(&site);
}

/* A reclaimer without membarrier, beside threads of either kind. */
static void fenced_reclaims(int line, void *arg)
{
	const struct fenced *f = arg;
	struct site site = *f->site;
	struct wbci_thread *t;
	uint64_t offset;

	if (!refuse_membarrier(f->error))
		tap_child_exit(2);
	site.c = scratch_open(&f->site->dir, NULL);
	site.other = scratch_open(&f->site->dir, NULL);
	site.reader = site.c->client;
	site.reclaimer = site.other->client;
	t = thread_of(site.reader);
	offset = retire_one(&site);
	tap_is_uint(advances(&site, 100), 0,
	            "without membarrier nothing is freed while a thread has "
	            "no fence (P6)");
	tap_is_uint(reclaim(&site, offset), 0, "not even a little");
	child_say(line);
	child_hear(line); /* the others are gone */
	tap_is_uint(advances(&site, 2), 2, "when all have fences it advances");
	tap_is_uint(reclaim(&site, offset), 1, "and frees");
	wbci_enter(t);
	tap_is_uint(advances(&site, 100), 1,
	            "but not under a fenced section (P6)");
	wbci_exit(t);
	tap_is_uint(advances(&site, 2), 2, "only when it ended");
	child_say(line);
	child_hear(line);
	tap_is_uint(advances(&site, 100), 0,
	            "and no more when one comes that has none (P6)");
	wbc_close(&site.other);
	wbc_close(&site.c);
}

static void test_fenced_reclaimer(void)
{
	struct site site;
	struct fenced f = {&site, ENOSYS, 0};
	struct child c;

	site_open(&site);
	make_room(&site);
	thread_of(site.reader);
	c = child_start(fenced_reclaims, &f);
	child_hear(c.line);
	/* The fork made the cache another handle's; end both. */
	wbci_thread_end(site.reader);
	wbci_thread_end(site.reclaimer);
	child_say(c.line);
	child_hear(c.line);
	thread_of(site.reader);
	child_say(c.line);
	tap_is_int(child_wait(&c), 0, "and no process is the worse for it");
	site_close(&site);
}

/*
 * The whole of it under load: a writer publishes blocks full of one number
 * and retires the last one; readers must never see two numbers in a block.
 */
struct load {
	struct site *site;
	bool fenced;
	bool careless; /* known bad: the block is reused at once */
	_Atomic uint64_t *stop;
	_Atomic uint64_t *mixed;
	_Atomic uint64_t *seen;
};

enum { WORDS = 32, TURNS = 60000 };

/* Any word of the segment that nothing else uses. */
static order_u64 *published(const struct wbci_client *c)
{
	return &c->segment.tables[250].want;
}

static bool is_mixed(order_u64 *block)
{
	uint64_t first = order_load(&block[0]);
	bool mixed = false;

	for (unsigned i = 1; i < WORDS; i++)
		mixed |= order_load(&block[i]) != first;
	return mixed;
}

static void load_reads(int line, void *arg)
{
	const struct load *l = arg;
	struct wbci_thread *t;
	struct wbc *c;

	if (l->fenced && !refuse_membarrier(EPERM))
		tap_child_exit(2);
	c = scratch_open(&l->site->dir, NULL);
	t = thread_of(c->client);
	child_say(line);
	while (!atomic_load(l->stop)) {
		uint64_t offset;

		wbci_enter(t);
		offset = order_acquire(published(c->client));
		if (offset && is_mixed(wbci_at(&c->client->segment, offset)))
			atomic_fetch_add(l->mixed, 1);
		wbci_exit(t);
		atomic_fetch_add(l->seen, 1);
	}
	wbc_close(&c);
}

static int publish(const struct load *l, struct wbci_thread *t, uint64_t n)
{
	struct wbci_client *c = l->site->reader;
	uint64_t offset, old;
	order_u64 *block;
	int error;

	wbci_enter(t);
	error = wbci_block_alloc(t, PAGE_BLOCKS, WORDS * 8, &offset);
	if (error) {
		wbci_exit(t);
		return error;
	}
	block = wbci_at(&c->segment, offset);
	for (unsigned i = 0; i < WORDS; i++)
		order_store(&block[i], n);
	old = order_xchg(published(c), offset);
	if (old && l->careless)
		wbci_block_undo(t, old);
	else if (old)
		wbci_block_retire(t, old);
	wbci_exit(t);
	return 0;
}

static void test_load(bool fenced, bool careless)
{
	struct site site;
	struct load l = {&site, fenced, careless, child_shared(4096),
	                 NULL,  NULL};
	struct wbci_thread *t;
	struct child c[2];
	uint64_t n = 0;

	l.mixed = l.stop + 8;
	l.seen = l.stop + 16;
	site_open(&site);
	t = thread_of(site.reader);
	make_room(&site);
	for (unsigned i = 0; i < N(c); i++) {
		c[i] = child_start(load_reads, &l);
		child_hear(c[i].line);
	}
	/* Known bad goes on until it is caught. */
	while (careless ? !atomic_load(l.mixed)
	                : n < TURNS || atomic_load(l.seen) < TURNS / 4) {
		if (publish(&l, t, ++n) &&
		    wbci_segment_grow(&site.reader->segment,
		                      wbci_committed(&site.reader->segment)))
			break;
		wbci_epoch_advance(site.reclaimer);
	}
	atomic_store(l.stop, 1);
	for (unsigned i = 0; i < N(c); i++)
		child_wait(&c[i]);
	tap_diag("%llu blocks, %llu looks, %u extents", (unsigned long long)n,
	         (unsigned long long)atomic_load(l.seen),
	         wbci_committed(&site.reader->segment));
	if (careless) {
		tap_ok(atomic_load(l.mixed) > 0,
		       "known bad: blocks reused at once are seen mixed");
	} else {
		tap_is_uint(atomic_load(l.mixed), 0,
		            "no reader %s sees a block that is reused (P1, P6)",
		            fenced ? "with fences" : "without fences");
		tap_ok(n >= TURNS, "and memory suffices for ever (P6)");
	}
	site_close(&site);
	munmap(l.stop, 4096);
}

int main(void)
{
	bool registers = wbci_epoch_register();

	test_sections();
	test_grace();
	test_retire();
	test_retire_late();
	test_retire_under_reader();
	test_retire_late_in_section();
	test_stopped();
	if (!registers) {
		tap_skip(20, "membarrier cannot be had here: all are fenced");
	} else if (!has_seccomp()) {
		tap_skip(20, "no seccomp filter is permitted");
	} else {
		test_fenced(EPERM, "EPERM");
		test_fenced(ENOSYS, "ENOSYS");
		test_fenced_reclaimer();
		test_load(true, false);
	}
	test_load(false, false);
	test_load(false, true);
	return tap_done();
}
