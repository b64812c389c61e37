/* SPDX-License-Identifier: MIT */
/* Copyright the wbcshm authors */

/*
 * The reaper: a thread that finds the dead and frees their slots.
 *
 * It has nothing else to do, so that a death is found soon however long a
 * round, a commit or the database takes.  Nobody tells of a death but a lock
 * that is gone: it looks at all process slots four times a second.  To the
 * collector, which sweeps, tidies and revokes meanwhile, it is what a client
 * is that gives its own slots back.
 */
#ifndef WBCI_REAPER_H
#define WBCI_REAPER_H

#include "../shm/client.h"

struct wbci_reaper;

/**
 * wbci_reaper_start() - begin the thread
 * @client: of the flusher, which holds the segment's lock until it has ended
 *
 * Return: 0, -ENOMEM, -errno.
 */
int wbci_reaper_start(struct wbci_reaper **reaper, struct wbci_client *client);

/* End it; NULL inside is allowed. */
void wbci_reaper_stop(struct wbci_reaper **reaper);

#endif
