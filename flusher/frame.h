/* SPDX-License-Identifier: MIT */
/* Copyright the wbcshm authors */

/*
 * What every value in the journal begins with, so that none is believed that
 * another program, another version or a broken disk wrote.
 */
#ifndef WBCI_FRAME_H
#define WBCI_FRAME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct wbci_frame {
	uint32_t magic; /* which kind of value */
	uint32_t version;
	uint64_t checksum; /* XXH3 of all that follows, of magic and version */
};

#define WBCI_JOURNAL_VERSION 1u

/* Fill in the frame at the beginning of a value that is complete. */
void wbci_frame_seal(void *value, size_t bytes, uint32_t magic);

/* Is this a value of that kind, of our version, as it was written? */
bool wbci_frame_good(const void *value, size_t bytes, uint32_t magic);

/* XXH3, for hash tables inside this process and for comparing texts. */
uint64_t wbci_hash(const void *bytes, size_t n);

#endif
