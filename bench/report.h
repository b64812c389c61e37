/* SPDX-License-Identifier: MIT */
/* Copyright the wbcshm authors */

/*
 * What is printed: first the machine, then a row per arm: name, unit, n,
 * median, min, max, and the ratio to the floor of its group.  The ratio is
 * the median of the runs' ratios, each of two turns next to each other.
 */
#ifndef BENCH_REPORT_H
#define BENCH_REPORT_H

#include "harness.h"

void report_machine(void);

/* The heads of the columns, and how to read them; @notes on the arms. */
void report_heads(unsigned runs, const char *notes);

void report_group(const struct bench_group *g, const struct bench_times *t);

/* A group that could not be measured, and why. */
void report_skipped(const char *title, const char *why);

#endif
