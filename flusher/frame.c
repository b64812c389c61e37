/* SPDX-License-Identifier: MIT */
/* Copyright the wbcshm authors */

#include "frame.h"

#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

static uint64_t frame_checksum(const void *value, size_t bytes,
                               const struct wbci_frame *frame)
{
	uint64_t seed = (uint64_t)frame->version << 32 | frame->magic;

	return XXH3_64bits_withSeed((const unsigned char *)value +
	                                    sizeof(*frame),
	                            bytes - sizeof(*frame), seed);
}

void wbci_frame_seal(void *value, size_t bytes, uint32_t magic)
{
	struct wbci_frame frame = {magic, WBCI_JOURNAL_VERSION, 0};

	frame.checksum = frame_checksum(value, bytes, &frame);
	memcpy(value, &frame, sizeof(frame));
}

bool wbci_frame_good(const void *value, size_t bytes, uint32_t magic)
{
	struct wbci_frame frame;

	if (bytes < sizeof(frame))
		return false;
	memcpy(&frame, value, sizeof(frame));
	return frame.magic == magic && frame.version == WBCI_JOURNAL_VERSION &&
	       frame.checksum == frame_checksum(value, bytes, &frame);
}

uint64_t wbci_hash(const void *bytes, size_t n)
{
	return XXH3_64bits(bytes, n);
}
