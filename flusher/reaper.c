/* SPDX-License-Identifier: MIT */
/* Copyright the wbcshm authors */

#include "reaper.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <time.h>

#include "../shm/wake.h"
#include "log.h"

#define LOOK_NS 250000000L

struct wbci_reaper {
	pthread_t thread;
	pthread_mutex_t mutex;
	pthread_cond_t cond;
	bool stop; /* under the mutex */
	struct wbci_client *client;
};

static void reap(const struct wbci_segment *s)
{
	unsigned in_section = 0;
	unsigned dead = wbci_reap(s, &in_section);

	if (!dead)
		return;
	wbci_log("reaped", LOG_NUMBER("processes", dead),
	         LOG_NUMBER("in_section", in_section));
	/* What they had is the sweep's business. */
	if (in_section)
		wbci_ring(s);
}

/* Wait until the next look.  False: the end has come. */
static bool wait_for_look(struct wbci_reaper *r)
{
	struct timespec at;
	bool stop;

	clock_gettime(CLOCK_MONOTONIC, &at);
	at.tv_nsec += LOOK_NS;
	at.tv_sec += at.tv_nsec / 1000000000;
	at.tv_nsec %= 1000000000;
	pthread_mutex_lock(&r->mutex);
	while (!r->stop &&
	       pthread_cond_timedwait(&r->cond, &r->mutex, &at) != ETIMEDOUT)
		;
	stop = r->stop;
	pthread_mutex_unlock(&r->mutex);
	return !stop;
}

static void *reaper_thread(void *arg)
{
	struct wbci_reaper *r = arg;

	pthread_setname_np(pthread_self(), "wbc-reaper");
	while (wait_for_look(r))
		reap(&r->client->segment);
	return NULL;
}

static void destroy(struct wbci_reaper *r)
{
	pthread_cond_destroy(&r->cond);
	pthread_mutex_destroy(&r->mutex);
	free(r);
}

int wbci_reaper_start(struct wbci_reaper **reaper, struct wbci_client *client)
{
	struct wbci_reaper *r = calloc(1, sizeof(*r));
	pthread_condattr_t monotonic;
	int error;

	if (!r)
		return -ENOMEM;
	r->client = client;
	pthread_mutex_init(&r->mutex, NULL);
	pthread_condattr_init(&monotonic);
	pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
	pthread_cond_init(&r->cond, &monotonic);
	pthread_condattr_destroy(&monotonic);
	error = -pthread_create(&r->thread, NULL, reaper_thread, r);
	if (error) {
		destroy(r);
		return error;
	}
	*reaper = r;
	return 0;
}

void wbci_reaper_stop(struct wbci_reaper **reaper)
{
	struct wbci_reaper *r = *reaper;

	*reaper = NULL;
	if (!r)
		return;
	pthread_mutex_lock(&r->mutex);
	r->stop = true;
	pthread_cond_signal(&r->cond);
	pthread_mutex_unlock(&r->mutex);
	pthread_join(r->thread, NULL);
	destroy(r);
}
