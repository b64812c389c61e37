/* SPDX-License-Identifier: MIT */
/* Copyright the wbcshm authors */

/*
 * One JSON document on stdout.
 *
 * @name is NULL within an array.  The two outermost levels take a line for
 * each member, what is deeper stands in one line: rows can be read by people
 * and by line tools too.
 */
#ifndef WBC_JSON_H
#define WBC_JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define JSON_DEPTH_MAX 16u

struct json {
	unsigned depth;
	struct {
		char close;
		bool empty;
	} level[JSON_DEPTH_MAX];
};

/* Begin an object or array, and end the innermost.  The first object is the
 * document; a newline follows its end. */
void json_object(struct json *j, const char *name);
void json_array(struct json *j, const char *name);
void json_end(struct json *j);

void json_null(struct json *j, const char *name);
void json_bool(struct json *j, const char *name, bool value);
void json_int(struct json *j, const char *name, int64_t value);
void json_uint(struct json *j, const char *name, uint64_t value);

/* NaN and infinities, which JSON lacks, become null. */
void json_double(struct json *j, const char *name, double value);

/* What is no UTF-8 becomes, byte by byte, U+0080 to U+00FF. */
void json_bytes(struct json *j, const char *name, const void *bytes, size_t n);
void json_text(struct json *j, const char *name, const char *text);

#endif
