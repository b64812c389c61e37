/* SPDX-License-Identifier: MIT */
/* Copyright the wbcshm authors */

/*
 * Is a journal whole?  Walks all of it, in a child process, so that a file
 * that LMDB itself stumbles over is found out too, and harms nobody.
 */
#ifndef WBCI_CHECK_H
#define WBCI_CHECK_H

#include <stdbool.h>

#include "../shm/message.h"

/**
 * wbci_check_journal() - verify a journal that nobody uses
 * @dir:    its directory
 * @report: print what is in it to standard output
 *
 * From a process with one thread only.
 *
 * Return: 0, -ENOENT, -EBUSY (in use), WBC_E_LAYOUT, WBC_E_CORRUPT, -errno.
 */
int wbci_check_journal(const char *dir, bool report,
                       const struct wbci_message *m);

#endif
