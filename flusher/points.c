/* SPDX-License-Identifier: MIT */
/* Copyright the wbcshm authors */

#include "points.h"

#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define POINT_NAME(id, name) name,
static const char *const point_names[] = {WBCI_POINTS(POINT_NAME) NULL};
#undef POINT_NAME

enum wbci_point wbci_point_armed = POINT_COUNT;
static _Atomic long passages_left;

void wbci_point_reached(void)
{
	if (atomic_fetch_sub(&passages_left, 1) != 1)
		return;
	kill(getpid(), SIGKILL);
	for (;;)
		pause();
}

const char *wbci_point_name(unsigned point)
{
	return point < POINT_COUNT ? point_names[point] : NULL;
}

static int find_point(const char *name, size_t length)
{
	for (unsigned i = 0; i < POINT_COUNT; i++)
		if (strlen(point_names[i]) == length &&
		    !memcmp(point_names[i], name, length))
			return (int)i;
	return -1;
}

int wbci_points_arm(const char *text, const struct wbci_message *m)
{
	const char *colon = text ? strchr(text, ':') : NULL;
	char *end = NULL;
	long nth = 1;
	int point;

	wbci_point_armed = POINT_COUNT;
	if (!text || !*text)
		return 0;
	if (colon) {
		nth = strtol(colon + 1, &end, 10);
		if (end == colon + 1 || *end || nth < 1)
			return wbci_say(m, -EINVAL,
			                "WBC_FLUSHER_KILL_AT: %s: what follows "
			                "the colon is no number from 1",
			                text);
	}
	point = find_point(text, colon ? (size_t)(colon - text) : strlen(text));
	if (point < 0)
		return wbci_say(m, -EINVAL,
		                "WBC_FLUSHER_KILL_AT: %s: no such point; "
		                "--list-points prints them",
		                text);
	atomic_store(&passages_left, nth);
	wbci_point_armed = (enum wbci_point)point;
	return 0;
}
