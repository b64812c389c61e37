/* SPDX-License-Identifier: MIT */
/* Copyright the wbcshm authors */

/*
 * What does one operation execute?  `wbc-bench loop KIND N` does it N times
 * in this process and nothing else, so that valgrind counts its instructions
 * and strace its system calls: those of two N differ by the operations only.
 * instructions.sh does that.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "adds.h"
#include "bench.h"

static const struct kind {
	const char *name;
	uint32_t keys;
	bench_loop *loop;
} kinds[] = {
	{"xadd", 0, bench_xadd},
	{"counter", 0, bench_add_counter},
	{"key1", 1, bench_add_key},
	{"key10000", 10000, bench_add_key},
};

static const struct kind *find_kind(const char *name)
{
	unsigned i;

	for (i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		if (strcmp(kinds[i].name, name) == 0)
			return &kinds[i];
	}
	return NULL;
}

int bench_loop_of(const struct bench_options *o)
{
	const struct kind *kind;
	struct bench_adds adds;
	unsigned long long n;
	char *end;
	int rc;

	if (o->n_args != 2)
		return bench_usage("loop takes a kind and a number");
	kind = find_kind(o->args[0]);
	if (!kind)
		return bench_usage("loop: no such kind: %s", o->args[0]);
	errno = 0;
	n = strtoull(o->args[1], &end, 10);
	if (errno || *end || *o->args[1] < '0' || *o->args[1] > '9')
		return bench_usage("loop: not a number: %s", o->args[1]);

	rc = bench_adds_open(&adds, BENCH_OWN, 1, kind->keys, 4096, 0);
	if (rc) {
		fprintf(stderr, "wbc-bench: %s\n", adds.store.message);
		return 1;
	}
	rc = kind->loop(&adds, 0, n);
	bench_adds_close(&adds);
	if (rc)
		fprintf(stderr, "wbc-bench: %s\n", wbc_strerror(rc));
	return rc != 0;
}
