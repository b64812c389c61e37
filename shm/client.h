/* SPDX-License-Identifier: MIT */
/* Copyright the wbcshm authors */

/*
 * A process attached to a segment, and its threads.
 *
 * A process slot is claimed under an OFD lock that lives exactly as long as
 * one mapped page; a thread slot inside it at a thread's first call; the last
 * one of either kind is left to a flusher.  What a thread needs for an
 * operation stands in its struct wbci_thread, which lies in memory that fork()
 * wipes: a child finds zeros there and attaches anew.
 */
#ifndef WBCI_CLIENT_H
#define WBCI_CLIENT_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "segment.h"

#define WBCI_CLASSES 20u
/* Unless wbc_options say otherwise. */
#define WBCI_FULL_WAIT_MS 1000
#define WBCI_LOAD_WAIT_MS 1000

/* One thread's place in a segment.  In memory that is wiped by fork. */
struct wbci_thread {
	uint32_t alive;          /* 0: forked, exited or never begun */
	uint32_t fast;           /* alive, and needs no fence */
	order_u64 *epoch;        /* our epoch word */
	struct control_shm *control;
	uint32_t fenced;         /* a full fence at each enter */
	uint32_t slot;
	uint64_t small_delta;    /* larger ones are added by CAS */
	struct wbci_client *client;
	struct thread_shm *shm;
	uint32_t page[2][WBCI_CLASSES]; /* page + 1 to allocate from */
	uint32_t scan[2][WBCI_CLASSES]; /* where to look for another */
};

struct wbci_client {
	uint64_t id;                 /* never repeats in this process */
	struct wbci_segment segment; /* geometry and mapping never change */
	struct wbci_thread *threads; /* one per thread slot; wiped by fork */
	uint64_t *attached;          /* wiped by fork: 0 in a child */
	uint32_t proc;               /* our process slot */
	uint64_t proc_word;
	void *lock_page;             /* its mapping holds our slot's lock */
	bool registered;             /* for membarrier */
	bool flusher;
	int full_wait_ms;            /* for memory, in a full segment */
	int load_wait_ms;            /* for the database; negative: never */
	pthread_mutex_t mutex;       /* attaching, thread slots, api's lists */
	pthread_key_t key;
	struct wbci_client *next;    /* all clients, for fork */
};

/* What wbci_thread() found last, to find it again without a lock. */
struct wbci_cache {
	uint64_t id;
	struct wbci_thread *thread;
	order_u64 *epoch; /* the thread's, a load nearer */
};
extern __thread struct wbci_cache wbci_cache;

/**
 * wbci_client_open() - attach this process to a segment
 * @c:       receives the client; undone by wbci_client_close()
 * @flusher: it may have the last process slot and the last thread slot, too
 *
 * Return: 0, -EUSERS, -ENOMEM, or an error of wbci_segment_open().
 */
int wbci_client_open(struct wbci_client **c, const char *path, bool flusher,
                     const struct wbci_message *m);
void wbci_client_close(struct wbci_client **c);

/* The slow path of wbci_thread(): attach after a fork, take a slot. */
int wbci_thread_begin(struct wbci_client *c, struct wbci_thread **t);

/* Give the calling thread's slot back before the thread ends. */
void wbci_thread_end(struct wbci_client *c);

/**
 * wbci_thread() - the calling thread's place
 * @c: client
 * @t: receives it; for the calling thread only
 *
 * Return: 0, -EUSERS, -ESTALE, or what attaching again after a fork returns.
 */
static inline int wbci_thread(struct wbci_client *c, struct wbci_thread **t)
{
	if (__builtin_expect(wbci_cache.id == c->id &&
	                             wbci_cache.thread->alive,
	                     1)) {
		*t = wbci_cache.thread;
		return 0;
	}
	return wbci_thread_begin(c, t);
}

/**
 * wbci_thread_fast() - the calling thread's place, if it is at hand
 * @id: of the client
 *
 * For the hot paths, which leave everything unusual to a slow one.
 *
 * Return: the place of a thread that needs no fence, or NULL.
 */
static inline struct wbci_thread *wbci_thread_fast(uint64_t id)
{
	struct wbci_thread *t = wbci_cache.thread;

	if (__builtin_expect(wbci_cache.id != id || !t->fast, 0))
		return NULL;
	return t;
}

/**
 * wbci_reap() - free the slots of dead processes
 * @s: segment; the caller holds the flusher's lock, and needs no slot: all
 *     of them may be held by the dead
 * @in_section: receives how many threads died inside a section
 *
 * Return: the number of dead processes.
 */
unsigned wbci_reap(const struct wbci_segment *s, unsigned *in_section);

#endif
