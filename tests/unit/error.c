/* SPDX-License-Identifier: MIT */
/* Copyright the wbcshm authors */

/* Every error has a name, and a sentence that says what to do. */
#include "api/wbc_error.h"

#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <string.h>

#include "tap/tap.h"

#define N(array) (sizeof(array) / sizeof((array)[0]))

#define ERROR(name) {name, #name}
#define ERRNO(name) {-(name), #name}

/* All that a public header promises. */
static const struct {
	int error;
	const char *name;
} errors[] = {
	ERROR(WBC_E_TYPE),    ERROR(WBC_E_RACE),      ERROR(WBC_E_UNKNOWN),
	ERROR(WBC_E_COLUMN),  ERROR(WBC_E_NOFLUSHER), ERROR(WBC_E_KEY),
	ERROR(WBC_E_TABLE),   ERROR(WBC_E_SCHEMA),    ERROR(WBC_E_PARKED),
	ERROR(WBC_E_REFUSED), ERROR(WBC_E_FORMAT),    ERROR(WBC_E_LAYOUT),
	ERROR(WBC_E_CORRUPT), ERROR(WBC_E_BOOT),      ERROR(WBC_E_NAN),
	ERROR(WBC_E_NOROW),   ERROR(WBC_E_SPEC),      ERROR(WBC_E_OWNER),
	ERROR(WBC_E_JOURNAL), ERRNO(EACCES),          ERRNO(EAGAIN),
	ERRNO(EBADMSG),       ERRNO(EEXIST),          ERRNO(EINVAL),
	ERRNO(ENAMETOOLONG),  ERRNO(ENOENT),          ERRNO(ENOMEM),
	ERRNO(ENOSPC),        ERRNO(ERANGE),          ERRNO(ESTALE),
	ERRNO(ETIMEDOUT),     ERRNO(EUSERS),          ERRNO(E2BIG),
	ERROR(WBC_E_JSON),    ERROR(WBC_E_UTF8),
};

/* A capital, a full stop, one line, and what to do behind a semicolon. */
static bool is_sentence(const char *text)
{
	size_t n = strlen(text);

	return n > 20 && isupper((unsigned char)text[0]) &&
	       text[n - 1] == '.' && strchr(text, ';') &&
	       !strchr(text, '\n') && !strstr(text, "  ");
}

static void test_documented(void)
{
	for (size_t i = 0; i < N(errors); i++) {
		const char *text = wbc_strerror(errors[i].error);
		unsigned alike = 0;

		tap_is_str(wbc_error_name(errors[i].error), errors[i].name,
		           "%d has its name", errors[i].error);
		for (size_t j = 0; j < N(errors); j++)
			alike += !strcmp(text, wbc_strerror(errors[j].error));
		if (!tap_ok(is_sentence(text) && alike == 1,
		            "%s has a sentence of its own with a remedy",
		            errors[i].name))
			tap_diag("got: %s", text);
	}
}

/* What is defined here and there must not part. */
static void test_complete(void)
{
	unsigned known = 0, listed = 0;
	bool bad = false;

	for (int e = -10001; e > -10100; e--)
		known += strcmp(wbc_error_name(e), "?") != 0;
	for (size_t i = 0; i < N(errors); i++)
		listed += errors[i].error <= -10001;
	tap_is_uint(known, listed, "no WBC_E_ error is known but not listed");

	for (int e = 1000; e > -20000; e--)
		bad = bad || !is_sentence(wbc_strerror(e)) ||
		      strlen(wbc_error_name(e)) == 0;
	tap_ok(!bad, "every number has a sentence and a name");
}

static void test_remedies(void)
{
	const char *full = wbc_strerror(-ENOSPC);

	tap_ok(strstr(full, "/dev/shm") &&
	               strstr(full, "docker run --shm-size"),
	       "P8: a full file system's message says how to enlarge it");
	tap_ok(strstr(wbc_strerror(WBC_E_NOFLUSHER), "wbc-flusher"),
	       "a missing flusher's message says what to start");
}

static void test_others(void)
{
	static const int unnamed[] = {0,      1,      ENOSPC,  -4095,  -10000,
	                              -10022, -99999, INT_MIN, INT_MAX};

	for (size_t i = 0; i < N(unnamed); i++)
		tap_is_str(wbc_error_name(unnamed[i]), "?", "%d has no name",
		           unnamed[i]);
	tap_ok(strstr(wbc_strerror(0), "Success"), "0 is success");
	tap_ok(strstr(wbc_strerror(ENOSPC), "not an error"),
	       "a positive number is no error");
	tap_ok(strcmp(wbc_strerror(-4095), wbc_strerror(-10000)) != 0,
	       "an unknown errno is told from an unknown WBC_E_");
	tap_is_str(wbc_version(), PACKAGE_VERSION,
	           "the version is the one that was built");
}

int main(void)
{
	test_documented();
	test_complete();
	test_remedies();
	test_others();
	return tap_done();
}
