/* SPDX-License-Identifier: MIT */
/* Copyright the wbcshm authors */

/*
 * Is a text JSON?
 *
 * By the grammar of RFC 8259, all of it and nothing else: no comments, no
 * commas at the end, no NaN, no byte order mark, and in strings UTF-8 only.
 * What the grammar allows is taken, so a number may be larger than any type,
 * a name may come twice in an object, and \u0000 and half a surrogate pair may
 * be written in a string.
 */
#ifndef WBCI_JSON_H
#define WBCI_JSON_H

#include <stdbool.h>
#include <stddef.h>

/**
 * wbci_json_valid() - check a text
 * @text:  may be hostile
 * @bytes: its length; 0 is no JSON
 *
 * Goes over the text once, in constant memory and without recursion.
 *
 * Return: is it one value, with WBC_JSON_DEPTH arrays and objects in each
 * other at most?
 */
bool wbci_json_valid(const void *text, size_t bytes);

#endif
