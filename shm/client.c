/* SPDX-License-Identifier: MIT */
/* Copyright the wbcshm authors */

/*
 * Process and thread slots of the living.
 *
 * A process slot: FREE -> USED by CAS, under an OFD lock on its byte that was
 * taken before; USED -> FREE by its owner, before the lock goes.  The lock's
 * description is kept alive by one mapped page alone, so it goes when the
 * process does, and not when the program closes descriptors or forks.
 *
 * A thread slot: FREE -> USED or FENCED by CAS with the process slot in the
 * same word; back to FREE by its owner, or by the reaper with its process.
 *
 * The last slot of either kind is a flusher's: clients leave it alone, however
 * many they are, so that they cannot keep out who makes room for them.  A
 * flusher takes any that is free, from the last.
 *
 * Killed before the CAS: the kernel drops the lock, nothing is to be done.
 * Killed after it: "USED and not locked", the reaper's business.
 */
#include "client.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "../api/wbc_error.h"
#include "epoch.h"
#include "page.h"
#include "wake.h"

__thread struct wbci_cache wbci_cache;

/* What fork-safety needs: all clients of this process, and their ids. */
static pthread_mutex_t clients_mutex = PTHREAD_MUTEX_INITIALIZER;
static struct wbci_client *clients;
static uint64_t last_id;
static pthread_once_t fork_once = PTHREAD_ONCE_INIT;

static void before_fork(void)
{
	pthread_mutex_lock(&clients_mutex);
	for (struct wbci_client *c = clients; c; c = c->next)
		pthread_mutex_lock(&c->mutex);
}

static void after_fork(void)
{
	for (struct wbci_client *c = clients; c; c = c->next)
		pthread_mutex_unlock(&c->mutex);
	pthread_mutex_unlock(&clients_mutex);
}

/* The kernel wiped these at fork already, except where it cannot. */
static void after_fork_child(void)
{
	wbci_cache.id = 0;
	for (struct wbci_client *c = clients; c; c = c->next) {
		*c->attached = 0;
		c->lock_page = NULL;
		/* The slot of that number may become another thread's. */
		pthread_setspecific(c->key, NULL);
		for (uint32_t i = 0; i < c->segment.geo.n_threads; i++)
			c->threads[i].alive = c->threads[i].fast = 0;
	}
	after_fork();
}

static void fork_handlers(void)
{
	pthread_atfork(before_fork, after_fork, after_fork_child);
}

/* Anonymous memory that a forked child finds full of zeros. */
static void *map_wiped(size_t bytes)
{
	void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
	               MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED)
		return NULL;
	madvise(p, bytes, MADV_WIPEONFORK);
	return p;
}

/*
 * Lock a process slot's byte through a description of its own, and tie the
 * lock to a mapped page.  Returns 1 if somebody else has it.
 */
static int lock_slot(const struct wbci_segment *s, uint32_t i, void **page)
{
	struct flock lock = {.l_type = F_WRLCK,
	                     .l_whence = SEEK_SET,
	                     .l_start = WBCI_LOCK_PROC + (off_t)i,
	                     .l_len = 1};
	int fd = wbci_segment_description(s);
	int error = 0;

	if (fd < 0)
		return fd;
	if (fcntl(fd, F_OFD_SETLK, &lock)) {
		error = errno == EAGAIN || errno == EACCES ? 1 : -errno;
		goto close_fd;
	}
	*page = mmap(NULL, WBCI_SYS_PAGE, PROT_NONE, MAP_SHARED, fd, 0);
	if (*page == MAP_FAILED) {
		error = -errno;
		goto close_fd;
	}
	/* Else a child would keep its dead parent's lock. */
	if (madvise(*page, WBCI_SYS_PAGE, MADV_DONTFORK)) {
		error = -errno;
		munmap(*page, WBCI_SYS_PAGE);
	}
close_fd:
	close(fd);
	return error;
}

static void describe_slot(struct wbci_client *c, struct proc_shm *p)
{
	char name[sizeof(p->name)] = {0};

	snprintf(name, sizeof(name), "%s", program_invocation_short_name);
	memcpy(p->name, name, sizeof(p->name));
	order_store(&p->pid, (uint32_t)getpid());
	order_store(&p->is_flusher, c->flusher);
	order_store(&p->start_ns, wbci_boot_ns());
}

/* Take process slot i if it is free.  1: somebody else has it. */
static int claim_proc(struct wbci_client *c, uint32_t i)
{
	struct proc_shm *p = &c->segment.procs[i];
	/* Relaxed: the CAS below acquires what this finds. */
	uint64_t word = order_load(&p->word);
	void *page = NULL;
	int error;

	if ((word & 15) != PROC_FREE)
		return 1;
	error = lock_slot(&c->segment, i, &page);
	if (error)
		return error;
	c->proc_word = ((word >> 4) + 1) << 4 | PROC_USED;
	/* ORDER slot.claim, acquire: who reaped the last owner is done with
	 * it.  No release: USED stands under the lock only, and whoever
	 * doubts it asks the kernel, which orders that. */
	if (!order_cas_acquire(&p->word, &word, c->proc_word)) {
		munmap(page, WBCI_SYS_PAGE);
		return 1;
	}
	c->proc = i;
	c->lock_page = page;
	describe_slot(c, p);
	return 0;
}

/* Of @n slots of a kind, how many this process may have. */
static uint32_t places(const struct wbci_client *c, uint32_t n)
{
	return c->flusher ? n : n - 1;
}

/* The slot to be tried as number @i, from 0. */
static uint32_t place(const struct wbci_client *c, uint32_t n, uint32_t i)
{
	return c->flusher ? n - 1 - i : i;
}

static int attach(struct wbci_client *c, const struct wbci_message *m)
{
	const struct wbci_segment *s = &c->segment;
	uint32_t n = s->geo.n_procs;
	int error;

	if (order_load(&s->control->closed))
		return wbci_say(m, -ESTALE,
		                "attach: %s: the segment was closed by force; "
		                "make a new one",
		                s->path);
	for (uint32_t i = 0; i < places(c, n); i++) {
		error = claim_proc(c, place(c, n, i));
		if (error < 0)
			return wbci_say(m, error, "attach: %s: slot %u: %s",
			                s->path, place(c, n, i),
			                strerror(-error));
		if (error == 0) {
			*c->attached = 1;
			return 0;
		}
	}
	return wbci_say(m, -EUSERS,
	                "attach: %s: all %u process slots %sare in use; close "
	                "some, run wbc-flusher if some are dead, or make the "
	                "segment anew with more (wbc-shmctl create --procs)",
	                s->path, places(c, n),
	                c->flusher ? "" : "for clients ");
}

static void end_thread(struct wbci_thread *t);

static void thread_exits(void *thread)
{
	struct wbci_thread *t = thread;
	struct wbci_client *c = t->client;

	if (!t->alive)
		return;
	/* Else a later destructor's call would use whose slot it is then. */
	wbci_cache.id = 0;
	pthread_mutex_lock(&c->mutex);
	end_thread(t);
	pthread_mutex_unlock(&c->mutex);
}

/*
 * musl has one lock over all keys, and a child that is forked while a thread
 * holds it would wait for it for ever; so a fork waits for us.
 */
static int create_key(struct wbci_client *c)
{
	int error;

	pthread_mutex_lock(&clients_mutex);
	error = -pthread_key_create(&c->key, thread_exits);
	pthread_mutex_unlock(&clients_mutex);
	return error;
}

static void delete_key(struct wbci_client *c)
{
	pthread_mutex_lock(&clients_mutex);
	pthread_key_delete(c->key);
	pthread_mutex_unlock(&clients_mutex);
}

/*
 * Not to be cancelled while a mutex or a half-made slot is held: opening and
 * closing files are places where a thread may be.
 */
static int cancel_off(void)
{
	int had;

	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &had);
	return had;
}

static void cancel_back(int had)
{
	pthread_setcancelstate(had, NULL);
}

static int open_client(struct wbci_client **client, const char *path,
                       bool flusher, const struct wbci_message *m)
{
	struct wbci_client *c = calloc(1, sizeof(*c));
	int error = -ENOMEM;

	if (!c)
		return error;
	c->flusher = flusher;
	c->full_wait_ms = WBCI_FULL_WAIT_MS;
	c->load_wait_ms = WBCI_LOAD_WAIT_MS;
	pthread_once(&fork_once, fork_handlers);
	c->registered = wbci_epoch_register();
	error = wbci_segment_open(&c->segment, path, true, m);
	if (error)
		goto free_client;
	error = -ENOMEM;
	c->attached = map_wiped(WBCI_SYS_PAGE);
	if (!c->attached)
		goto close_segment;
	c->threads = map_wiped(c->segment.geo.n_threads * sizeof(*c->threads));
	if (!c->threads)
		goto unmap_attached;
	error = create_key(c);
	if (error)
		goto unmap_threads;
	pthread_mutex_init(&c->mutex, NULL);

	/* A fork waits for this mutex: the slot's description is not copied
	 * into a child while it is open. */
	pthread_mutex_lock(&clients_mutex);
	c->id = ++last_id;
	error = attach(c, m);
	if (!error) {
		c->next = clients;
		clients = c;
	}
	pthread_mutex_unlock(&clients_mutex);
	if (error)
		goto delete_key;
	*client = c;
	return 0;
delete_key:
	pthread_mutex_destroy(&c->mutex);
	delete_key(c);
unmap_threads:
	munmap(c->threads, c->segment.geo.n_threads * sizeof(*c->threads));
unmap_attached:
	munmap(c->attached, WBCI_SYS_PAGE);
close_segment:
	wbci_segment_close(&c->segment);
free_client:
	free(c);
	return error;
}

int wbci_client_open(struct wbci_client **client, const char *path,
                     bool flusher, const struct wbci_message *m)
{
	int had = cancel_off();
	int error = open_client(client, path, flusher, m);

	cancel_back(had);
	return error;
}

static void forget(struct wbci_client *c)
{
	struct wbci_client **at;

	pthread_mutex_lock(&clients_mutex);
	for (at = &clients; *at; at = &(*at)->next) {
		if (*at == c) {
			*at = c->next;
			break;
		}
	}
	pthread_mutex_unlock(&clients_mutex);
}

static void detach(struct wbci_client *c)
{
	struct proc_shm *p = &c->segment.procs[c->proc];

	for (uint32_t i = 0; i < c->segment.geo.n_threads; i++) {
		if (c->threads[i].alive)
			end_thread(&c->threads[i]);
	}
	order_store(&p->pid, 0);
	/* ORDER slot.claim, release: we are done with it: who finds it free
	 * finds our threads' slots free. */
	order_release(&p->word, (c->proc_word & ~UINT64_C(15)) | PROC_FREE);
	munmap(c->lock_page, WBCI_SYS_PAGE);
}

void wbci_client_close(struct wbci_client **client)
{
	struct wbci_client *c = *client;
	int had;

	*client = NULL;
	if (!c)
		return;
	had = cancel_off();
	forget(c);
	/* In a forked child that never used it there is nothing to free. */
	if (*c->attached)
		detach(c);
	delete_key(c);
	pthread_mutex_destroy(&c->mutex);
	munmap(c->threads, c->segment.geo.n_threads * sizeof(*c->threads));
	munmap(c->attached, WBCI_SYS_PAGE);
	wbci_segment_close(&c->segment);
	free(c);
	cancel_back(had);
}

static void begin_thread(struct wbci_client *c, uint32_t i, bool fenced)
{
	struct wbci_thread *t = &c->threads[i];
	struct thread_shm *shm = &c->segment.threads[i];

	memset(t, 0, sizeof(*t));
	t->epoch = &shm->epoch;
	t->control = c->segment.control;
	t->fenced = fenced;
	t->slot = i;
	t->client = c;
	t->shm = shm;
	t->small_delta = (UINT64_C(1) << 61) / c->segment.geo.n_threads;
	t->alive = 1;
	t->fast = !fenced;
	order_store(&shm->tid, (uint32_t)syscall(SYS_gettid));
	order_store(&shm->start_ns, wbci_boot_ns());
}

static int claim_thread(struct wbci_client *c, struct wbci_thread **t)
{
	const struct wbci_segment *s = &c->segment;
	bool fenced = !c->registered;
	uint64_t state = fenced ? THREAD_FENCED : THREAD_USED;
	uint32_t n = s->geo.n_threads;

	for (uint32_t tried = 0; tried < places(c, n); tried++) {
		uint32_t i = place(c, n, tried);
		/* Relaxed: the fence below acquires what this finds. */
		uint64_t word = order_load(&s->threads[i].word);

		if ((word & 15) != THREAD_FREE)
			continue;
		/* ORDER slot.claim, release: who finds it ours finds our
		 * process slot in use. */
		if (!order_cas_release(&s->threads[i].word, &word,
		                       ((word >> 16) + 1) << 16 |
		                               (uint64_t)c->proc << 4 | state))
			continue;
		/* ORDER slot.claim, fence: acquires what the CAS found, so the
		 * last owner is done: its epoch word is 0, its lane's tail is
		 * where it left it.  And it is before our first section: a
		 * scan that found the slot free came before, and what it knew
		 * is seen in the section. */
		order_fence();
#ifdef WBC_TSAN
		order_acquire(&s->threads[i].word);
#endif
		begin_thread(c, i, fenced);
		*t = &c->threads[i];
		return 0;
	}
	return -EUSERS;
}

/* Attach after a fork, take a thread slot. */
static int begin(struct wbci_client *c, struct wbci_thread **t)
{
	int had = cancel_off();
	int error = 0;

	pthread_mutex_lock(&c->mutex);
	if (!*c->attached)
		error = attach(c, NULL);
	if (!error)
		error = claim_thread(c, t);
	if (!error) {
		error = -pthread_setspecific(c->key, *t);
		if (error)
			end_thread(*t);
	}
	pthread_mutex_unlock(&c->mutex);
	cancel_back(had);
	return error;
}

int wbci_thread_begin(struct wbci_client *c, struct wbci_thread **thread)
{
	struct wbci_thread *t = pthread_getspecific(c->key);
	int error;

	/* Ours already, if another handle was used in between; it is wiped
	 * in a forked child. */
	if (!t || !t->alive) {
		error = begin(c, &t);
		if (error)
			return error;
	}
	wbci_cache.id = c->id;
	wbci_cache.thread = t;
	wbci_cache.epoch = t->epoch;
	*thread = t;
	return 0;
}

/* The owner gives a slot back, or wbci_client_close() for all threads. */
static void end_thread(struct wbci_thread *t)
{
	uint64_t word = order_load(&t->shm->word);

	t->alive = 0;
	t->fast = 0;
	wbci_page_release(&t->client->segment, t->slot);
	order_store(&t->shm->tid, 0);
	order_store(&t->shm->want, 0);
	/* ORDER slot.claim, release: the epoch word is 0, the lane's tail is
	 * final. */
	order_release(&t->shm->word, (word & ~UINT64_C(0xffff)) | THREAD_FREE);
}

void wbci_thread_end(struct wbci_client *c)
{
	struct wbci_thread *t;

	wbci_cache.id = 0;
	pthread_mutex_lock(&c->mutex);
	t = pthread_getspecific(c->key);
	if (t && t->alive)
		end_thread(t);
	pthread_setspecific(c->key, NULL);
	pthread_mutex_unlock(&c->mutex);
}
