/* SPDX-License-Identifier: MIT */
/* Copyright the wbcshm authors */

/*
 * One life of a flusher under ptrace, halted at each instant at which
 * something that outlives it may have changed.
 */
#ifndef CRASH_LIFE_H
#define CRASH_LIFE_H

#include <stdbool.h>
#include <sys/types.h>

#include "crash/rig.h"
#include "crash/watch.h"

#define LIFE_THREADS 16

/* Which instants. */
enum life_mode {
	LIFE_CALLS,  /* a system call that changes a file has returned */
	LIFE_STORES, /* an instruction of the collector changed the segment */
};

struct life;

/**
 * life_fn - called at each instant; all threads stand still
 * Return: false to end the life there, by SIGKILL.
 */
typedef bool life_fn(void *arg, const struct life *l);

struct life {
	enum life_mode mode;
	struct rig *rig;
	const struct wbci_segment *s;
	struct watch watch;
	pid_t collector;
	pid_t at;  /* who brought the instant about */
	long call; /* LIFE_CALLS: which system call */
	unsigned long steps, instants;
	bool (*enough)(const struct wbci_segment *s); /* then SIGTERM */
	bool told;
	uint64_t generation, synced; /* as they were before */
	struct life_thread {
		pid_t tid; /* 0: none */
		bool stopped;
		bool pending; /* status is to be looked at */
		int status;
		long call; /* it is in */
	} thread[LIFE_THREADS];
};

/**
 * life_live() - start a flusher of a rig, and lead it through its life
 * Return: true if it ended with 0, or was killed by the caller's wish.
 */
bool life_live(struct life *l, life_fn *instant, void *arg);

/* Where it is, in words; a static buffer. */
const char *life_place(const struct life *l);

#endif
