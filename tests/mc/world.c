/* SPDX-License-Identifier: MIT */
/* Copyright the wbcshm authors */

/*
 * The segment, its handles, and private memory.
 *
 * The segment is anonymous memory, laid out as the product lays it out, but
 * small.  All private memory that the product and the programs allocate comes
 * from one arena; what setup left there is copied back before each execution,
 * and what an execution allocated is forgotten.
 */
#include "engine.h"

#include <string.h>
#include <sys/mman.h>

#include "shm/segment_check.h"

#define SEGMENT_MOST (16u << 20)
#define ARENA_BYTES (4u << 20)

static struct wbci_segment segment;
static struct wbci_client *clients[MC_THREADS]; /* of each thread */
static unsigned char *arena, *arena_copy;
static size_t arena_used, arena_kept;
static uint64_t shared_used;
static struct mc_fiber kept_fibers[MC_THREADS];
static int setup_self;

void *__real_malloc(size_t bytes);
void *__real_realloc(void *had, size_t bytes);
void __real_free(void *p);
void *__wrap_malloc(size_t bytes);
void *__wrap_calloc(size_t n, size_t bytes);
void *__wrap_realloc(void *had, size_t bytes);
void __wrap_free(void *p);

void *mc_real_alloc(size_t bytes)
{
	void *p = __real_malloc(bytes);

	if (!p)
		tap_bail("no memory");
	return p;
}

bool mc_in_arena(const void *p)
{
	return (uintptr_t)p - (uintptr_t)arena < ARENA_BYTES;
}

/* Each block has its size before it. */
static void *take(size_t bytes)
{
	size_t *block = (void *)(arena + arena_used);
	size_t need = (bytes + 31) / 16 * 16;

	if (need > ARENA_BYTES - arena_used)
		return NULL;
	arena_used += need;
	*block = bytes;
	return (unsigned char *)block + 16;
}

void *__wrap_malloc(size_t bytes)
{
	return mc.inside ? take(bytes) : __real_malloc(bytes);
}

void *__wrap_calloc(size_t n, size_t bytes)
{
	void *p = __wrap_malloc(n * bytes);

	return p ? memset(p, 0, n * bytes) : NULL;
}

void *__wrap_realloc(void *had, size_t bytes)
{
	size_t old;
	void *p;

	if (had && !mc_in_arena(had))
		return __real_realloc(had, bytes);
	if (!had)
		return __wrap_malloc(bytes);
	old = *(size_t *)(void *)((unsigned char *)had - 16);
	if (bytes <= old)
		return had;
	p = take(bytes);
	return p ? memcpy(p, had, old) : NULL;
}

void __wrap_free(void *p)
{
	if (!mc_in_arena(p) && !mc.inside)
		__real_free(p);
}

void *mc_keep(size_t bytes)
{
	return __wrap_calloc(1, bytes);
}

void mc_world_init(void)
{
	mc.base = mmap(NULL, SEGMENT_MOST, PROT_READ | PROT_WRITE,
	               MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	arena = mmap(NULL, ARENA_BYTES, PROT_READ | PROT_WRITE,
	             MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (mc.base == MAP_FAILED || arena == MAP_FAILED)
		tap_bail("no memory for the segment");
	mc.size = SEGMENT_MOST;
	arena_copy = mc_real_alloc(ARENA_BYTES);
}

const struct wbci_segment *mc_segment(void)
{
	return &segment;
}

static void lay_out(const struct mc_shape *shape)
{
	struct wbci_segment *s = &segment;
	struct header_shm *h = &s->geo;

	memset(s, 0, sizeof(*s));
	/* The last of either kind is a flusher's, of which there is none. */
	h->n_procs = (shape->procs ? shape->procs : mc.n_fibers) + 1;
	h->n_threads = (shape->threads ? shape->threads : mc.n_fibers) + 1;
	h->n_tables = 1;
	h->root_bits = shape->root_bits;
	h->n_extents = shape->extents ? shape->extents : 1;
	h->lane_bytes = shape->lane_bytes ? shape->lane_bytes : 128;
	h->hash_seed = 1;
	if (!wbci_header_place(h) || h->size_bytes > SEGMENT_MOST)
		tap_bail("the model's segment is too large");
	s->base = mc.base;
	s->size = h->size_bytes;
	s->control = wbci_at(s, WBCI_SYS_PAGE);
	s->procs = wbci_at(s, h->procs_off);
	s->threads = wbci_at(s, h->threads_off);
	s->tables = wbci_at(s, h->tables_off);
	s->summary = wbci_at(s, h->summary_off);
	s->words = wbci_at(s, h->words_off);
	s->root = wbci_at(s, h->root_off);
	s->metas = wbci_at(s, h->metas_off);
	s->lanes = wbci_at(s, h->lanes_off);
	s->extents = wbci_at(s, h->extents_off);
	s->root_mask = (UINT64_C(1) << h->root_bits) - 1;
	s->block_end =
		(uint64_t)h->n_extents * WBCI_EXTENT_BYTES - WBCI_HOT_BYTES;
	s->writable = true;
	s->fd = MC_SEGMENT_FD;
	s->ino = 1;
	s->path = (char *)(uintptr_t) "/model";
}

static struct wbci_client *new_client(unsigned t, bool fenced)
{
	struct wbci_client *c = mc_keep(sizeof(*c));

	c->id = t + 1;
	c->segment = segment;
	c->segment.path = mc_keep(1);
	c->threads = mc_keep(segment.geo.n_threads * sizeof(*c->threads));
	c->attached = mc_keep(sizeof(*c->attached));
	c->registered = !fenced;
	return c;
}

void mc_world(const struct mc_shape *shape)
{
	madvise(mc.base, SEGMENT_MOST, MADV_DONTNEED);
	lay_out(shape);
	for (unsigned t = 0; t < mc.n_fibers; t++) {
		unsigned first = t;

		for (unsigned u = 0; u < t; u++) {
			if (mc.fibers[u].process == mc.fibers[t].process) {
				first = u;
				break;
			}
		}
		clients[t] = first < t ? clients[first]
		                       : new_client(t, shape->fenced >> t & 1);
	}
	order_store(&segment.control->epoch, 1);
	order_store(&segment.control->cycle, 1);
	order_store(&segment.control->synced, 1);
	order_store(&segment.control->settled, 1);
	order_store(&segment.control->committed, 1);
}

void *mc_shared(size_t bytes)
{
	void *p = mc.base + shared_used;

	shared_used += (bytes + 63) / 64 * 64;
	return p;
}

void mc_as(int t)
{
	if (mc.self < MC_THREADS)
		mc.fibers[mc.self].cache = wbci_cache;
	mc.self = t < 0 ? MC_NOBODY : (uint8_t)t;
	if (t >= 0)
		wbci_cache = mc.fibers[t].cache;
	setup_self = t;
}

struct wbci_client *mc_client(int t)
{
	unsigned who = t < 0 ? mc.self : (unsigned)t;

	return who < MC_THREADS ? clients[who] : NULL;
}

struct wbci_thread *mc_join(unsigned t)
{
	struct wbci_thread *thread;

	mc_as((int)t);
	if (wbci_thread(clients[t], &thread))
		tap_bail("setup: no slot for thread %u", t);
	mc_as(-1);
	return thread;
}

struct wbci_thread *mc_place(void)
{
	struct wbci_thread *t;
	int error = wbci_thread(mc_client(-1), &t);

	if (error)
		mc_fail(NULL, 0, "no thread slot: %d", error);
	return t;
}

static void set_processes(const struct mc_scenario *s)
{
	unsigned next = MC_THREADS + 1;

	mc.n_fibers = 0;
	memset(mc.fibers, 0, sizeof(mc.fibers));
	while (mc.n_fibers < MC_THREADS && s->thread[mc.n_fibers]) {
		mc.fibers[mc.n_fibers].process =
			s->process[mc.n_fibers] ? s->process[mc.n_fibers]
						: next++;
		mc.n_fibers++;
	}
}

/* Setup, once; then keep what it made. */
void mc_world_setup(const struct mc_scenario *s)
{
	mc.scenario = s;
	mc.logging = false;
	mc.cur = NULL;
	mc.self = MC_NOBODY;
	arena_used = 0;
	shared_used = 0;
	memset(clients, 0, sizeof(clients));
	set_processes(s);
	mc_system_clear();
	mc_memory_reset();
	mc_memory_init();
	mc.in_setup = mc.inside = true;
	s->setup();
	mc_as(-1);
	mc.in_setup = mc.inside = false;
	arena_kept = arena_used;
	memcpy(arena_copy, arena, arena_kept);
	memcpy(kept_fibers, mc.fibers, sizeof(kept_fibers));
	mc_system_snapshot();
}

void mc_world_restore(void)
{
	memcpy(arena, arena_copy, arena_kept);
	arena_used = arena_kept;
	for (unsigned t = 0; t < mc.n_fibers; t++) {
		mc.fibers[t].cache = kept_fibers[t].cache;
		memcpy(mc.fibers[t].specific, kept_fibers[t].specific,
		       sizeof(kept_fibers[t].specific));
	}
}
