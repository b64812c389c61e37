/* SPDX-License-Identifier: MIT */
/* Copyright the wbcshm authors */

#include "bus.h"

#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "log.h"

static int exit_status;
static _Atomic uintptr_t segment_from;
static _Atomic uintptr_t segment_bytes;
static char segment_path[4096];

/*
 * The fault is an access of our own, so no lock of the C library is held by
 * this thread, and to write a line to the log is as safe as elsewhere.
 */
static void end_here(int sig, siginfo_t *info, void *context)
{
	uintptr_t at = (uintptr_t)info->si_addr;

	(void)context;
	if (info->si_code <= 0) {
		/* Somebody sent it. */
		signal(sig, SIG_DFL);
		raise(sig);
		return;
	}
	if (at - atomic_load(&segment_from) < atomic_load(&segment_bytes))
		wbci_log("segment-truncated", LOG_TEXT("segment", segment_path),
		         LOG_TEXT("reason",
		                  "its file was cut short, or its file system "
		                  "is full; what is journaled is whole: make a "
		                  "new segment, keep the journal"));
	else
		wbci_log("file-truncated",
		         LOG_TEXT("reason",
		                  "a file of the segment, the journal or the "
		                  "database was cut short, or its disk "
		                  "fails"));
	_exit(exit_status);
}

void wbci_bus_catch(int status)
{
	struct sigaction action = {.sa_sigaction = end_here,
	                           .sa_flags = SA_SIGINFO};

	exit_status = status;
	sigaction(SIGBUS, &action, NULL);
}

void wbci_bus_segment(const struct wbci_segment *s)
{
	snprintf(segment_path, sizeof(segment_path), "%s", s->path);
	atomic_store(&segment_from, (uintptr_t)s->base);
	atomic_store(&segment_bytes, (uintptr_t)s->size);
}
