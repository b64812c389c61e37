/* SPDX-License-Identifier: MIT */
/* Copyright the wbcshm authors */

/* A target in the hands of clang's libFuzzer, which brings its own main(). */
#include <string.h>

#include "fuzz.h"

/* libFuzzer's interface. */
int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t bytes, size_t room,
                               unsigned seed);
size_t LLVMFuzzerMutate(uint8_t *data, size_t bytes, size_t room);

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc;
	(void)argv;
	fuzz_target.begin();
	return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
	if (bytes <= FUZZ_BYTES_MAX)
		fuzz_target.one(data, bytes);
	return 0;
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t bytes, size_t room,
                               unsigned seed)
{
	struct dice d = {seed};

	/* Some of its own, which knows what it has seen in comparisons. */
	if (!fuzz_target.mutate || dice_below(&d, 3) == 0)
		return LLVMFuzzerMutate(data, bytes, room);
	return fuzz_target.mutate(&d, data, bytes, room);
}
