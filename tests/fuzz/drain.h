/* SPDX-License-Identifier: MIT */
/* Copyright the wbcshm authors */

/*
 * A flusher's life on one segment, step by step and in this thread: reap,
 * redo the cursors, two rounds, plan, apply by a sink that only looks, settle.
 * Its journal lies in memory and is the same at each beginning.
 */
#ifndef FUZZ_DRAIN_H
#define FUZZ_DRAIN_H

#include <stdbool.h>

/* @dir: a folder for the journal's name. */
void drain_begin(const char *dir);

/* The journal's file, as it is at the beginning; for wbci_journal_open(). */
const char *drain_journal(void);

/**
 * drain() - serve a segment, if it can be attached to
 * @spoilt: the journal is not what it was at the beginning, and stays as it
 *          is: the flusher may refuse it
 */
void drain(const char *segment, bool spoilt);

#endif
