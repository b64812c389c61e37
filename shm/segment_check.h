/* SPDX-License-Identifier: MIT */
/* Copyright the wbcshm authors */

/* What the creator of a segment writes and who attaches compares. */
#ifndef WBCI_SEGMENT_CHECK_H
#define WBCI_SEGMENT_CHECK_H

#include "layout.h"
#include "message.h"

/* A digest of all sizes and offsets of this build's layout. */
uint64_t wbci_layout_digest(void);

/* Checksum of a header's bytes before its checksum. */
uint64_t wbci_header_checksum(const struct header_shm *h);

/* This boot of the machine; zeros where the kernel does not say. */
void wbci_boot_id(unsigned char id[16]);

/**
 * wbci_header_check() - believe nothing of a header
 * @h:    a copy
 * @size: of the file
 *
 * Return: 0, WBC_E_FORMAT, WBC_E_LAYOUT, WBC_E_CORRUPT, WBC_E_BOOT.
 */
int wbci_header_check(const struct header_shm *h, uint64_t size,
                      const char *path, const struct wbci_message *m);

/* The offsets that follow from the counts; returns false on overflow. */
bool wbci_header_place(struct header_shm *h);

#endif
