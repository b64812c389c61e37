/* SPDX-License-Identifier: MIT */
/* Copyright the wbcshm authors */

/* Values for tables of test cases, where a call cannot stand. */
#ifndef VALUE_H
#define VALUE_H

#include "api/wbc_table.h"

#define V_INT(name, number) {name, WBC_INT64, 0, {.i = (number)}}
#define V_DOUBLE(name, number) {name, WBC_DOUBLE, 0, {.d = (number)}}
#define V_TEXT(name, s) {name, WBC_TEXT, sizeof(s) - 1, {.p = (s)}}
#define V_BLOB(name, s) {name, WBC_BLOB, sizeof(s) - 1, {.p = (s)}}
#define V_BOOL(name, truth) {name, WBC_BOOL, 0, {.i = (truth)}}
#define V_JSON(name, s) {name, WBC_JSON, sizeof(s) - 1, {.p = (s)}}
#define V_TIME(name, us) {name, WBC_TIMESTAMP, 0, {.i = (us)}}
#define V_NULL(name) {name, WBC_NULL, 0, {.i = 0}}

/* Bytes by address and number, which need not be there. */
#define V_BYTES(name, type, n, bytes) {name, type, n, {.p = (bytes)}}

#endif
