/* SPDX-License-Identifier: MIT */
/* Copyright the wbcshm authors */

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "handle.h"

static const struct wbc_options no_options = WBC_OPTIONS_INIT;

static int create(const char *path, const struct wbc_options *o,
                  const struct wbci_message *m)
{
	struct wbci_create how = {.mode = o->mode,
	                          .group = o->group,
	                          .max_bytes = o->max_bytes,
	                          .capacity = o->capacity,
	                          .procs = o->procs,
	                          .threads = o->threads,
	                          .lane_bytes = o->lane_bytes};

	return wbci_segment_create(path, &how, m);
}

static int check_options(const struct wbc_options *o,
                         const struct wbci_message *m)
{
	if (o->flags & ~(WBC_CREATE | WBC_EXCLUSIVE))
		return wbci_say(m, -EINVAL, "open: unknown flags %#x",
		                o->flags);
	if ((o->flags & WBC_EXCLUSIVE) && !(o->flags & WBC_CREATE))
		return wbci_say(m, -EINVAL,
		                "open: WBC_EXCLUSIVE needs WBC_CREATE");
	if (o->mode & ~0777u)
		return wbci_say(m, -EINVAL,
		                "open: mode %#o has more than permission bits",
		                o->mode);
	/* The last number is chown()'s for "leave it". */
	if (o->group < -1 || o->group >= UINT32_MAX)
		return wbci_say(m, -EINVAL,
		                "open: group is %lld, -1 to leave it or a "
		                "group id is needed",
		                (long long)o->group);
	return 0;
}

int wbc_open(struct wbc **c, const char *address,
             const struct wbc_options *options)
{
	const struct wbc_options *o = options ? options : &no_options;
	struct wbci_message m = {o->message, o->message_size};
	char path[PATH_MAX];
	struct wbc *new;
	int error;

	wbci_say(&m, 0, "%s", "");
	error = check_options(o, &m);
	if (!error)
		error = wbci_segment_path(address, path,
		                          o->flags & WBC_CREATE, &m);
	if (!error && (o->flags & WBC_CREATE))
		error = create(path, o, &m);
	if (error && (error != -EEXIST || (o->flags & WBC_EXCLUSIVE)))
		return error;
	new = calloc(1, sizeof(*new));
	if (!new)
		return -ENOMEM;
	error = wbci_client_open(&new->client, path, false, &m);
	if (error) {
		free(new);
		return error;
	}
	if (o->full_wait_ms)
		new->client->full_wait_ms = o->full_wait_ms;
	if (o->load_wait_ms)
		new->client->load_wait_ms = o->load_wait_ms;
	wbci_say(&m, 0, "%s", "");
	*c = new;
	return 0;
}

void wbc_close(struct wbc **c)
{
	struct wbc *old = *c;

	*c = NULL;
	if (!old)
		return;
	while (old->tables) {
		struct wbc_table *next = old->tables->next;

		wbci_table_free(old->tables);
		old->tables = next;
	}
	wbci_client_close(&old->client);
	free(old);
}

const char *wbc_path(const struct wbc *c)
{
	return c->client->segment.path;
}
