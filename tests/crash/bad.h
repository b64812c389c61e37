/* SPDX-License-Identifier: MIT */
/* Copyright the wbcshm authors */

/*
 * Operations that are wrong on purpose: the right steps in a wrong order.
 * The sweep must catch each of them, or it catches nothing.
 */
#ifndef CRASH_BAD_H
#define CRASH_BAD_H

#include "ops.h"

struct bad_op {
	struct op op;
	const char *right; /* the one that does the same in the right order */
};

extern const struct bad_op bad_ops[];
extern const size_t n_bad_ops;

const struct op *bad_find(const char *name);

#endif
