/* SPDX-License-Identifier: MIT */
/* Copyright the wbcshm authors */

/* Telling the service manager how we are: sd_notify without its library. */
#ifndef WBCI_NOTIFY_H
#define WBCI_NOTIFY_H

/**
 * wbci_notify() - send a state to $NOTIFY_SOCKET
 * @state: for example "READY=1"
 *
 * Return: 0 if it was sent, -ENOENT if nobody asked for it, -errno.
 */
int wbci_notify(const char *state);

#endif
