/* SPDX-License-Identifier: MIT */
/* Copyright the wbcshm authors */

/* Moments as people write them. */
#include "units/moment.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "api/wbc_table.h"
#include "unit/dice.h"

#define N(array) (sizeof(array) / sizeof((array)[0]))

static void test_read(void)
{
	static const struct {
		const char *text;
		int64_t us;
		const char *said; /* NULL: the same text */
	} moments[] = {
		{"1970-01-01T00:00:00.000000Z", 0, NULL},
		{"1969-12-31T23:59:59.999999Z", -1, NULL},
		{"0001-01-01T00:00:00.000000Z", WBC_TIMESTAMP_MIN, NULL},
		{"9999-12-31T23:59:59.999999Z", WBC_TIMESTAMP_MAX, NULL},
		{"2000-02-29T00:00:00.000000Z", INT64_C(951782400000000), NULL},
		{"2026-01-31T12:00:00.5Z", INT64_C(1769860800500000),
	         "2026-01-31T12:00:00.500000Z"},
		{"2026-01-31 12:00:00.000001", INT64_C(1769860800000001),
	         "2026-01-31T12:00:00.000001Z"},
		{"2026-01-31T12:00", INT64_C(1769860800000000),
	         "2026-01-31T12:00:00.000000Z"},
		{"2026-01-31", INT64_C(1769817600000000),
	         "2026-01-31T00:00:00.000000Z"},
		{"2026-01-31T12:00:00+05:30", INT64_C(1769841000000000),
	         "2026-01-31T06:30:00.000000Z"},
		{"2026-01-31T23:00:00-01:00", INT64_C(1769904000000000),
	         "2026-02-01T00:00:00.000000Z"},
		{"1500000", 1500000, "1970-01-01T00:00:01.500000Z"},
		{"-1", -1, "1969-12-31T23:59:59.999999Z"},
	};
	char said[UNITS_TEXT];
	int64_t us;

	for (size_t i = 0; i < N(moments); i++) {
		const char *want = moments[i].said;

		us = 77;
		tap_ok(units_moment(moments[i].text, &us) &&
		               us == moments[i].us,
		       "%s is %lld us", moments[i].text,
		       (long long)moments[i].us);
		tap_is_str(units_say_moment(said, us),
		           want ? want : moments[i].text, "and said again");
	}
}

static void test_refused(void)
{
	static const char *const texts[] = {
		"",
		"now",
		"2026",
		"2026-1-31",
		"2026-02-29",
		"1900-02-29",
		"2026-13-01",
		"2026-00-01",
		"2026-01-00",
		"2026-04-31",
		"0000-01-01",
		"10000-01-01",
		"2026-01-31T",
		"2026-01-31T24:00",
		"2026-01-31T12:60",
		"2026-01-31T12:00:60",
		"2026-01-31T12:00:00.",
		"2026-01-31T12:00:00.1234567",
		"2026-01-31T12:00:00z",
		"2026-01-31T12:00:00+1:00",
		"2026-01-31T12:00:00Z ",
		" 2026-01-31",
		"2026-01-31t12:00",
		"9223372036854775808",
	};
	int64_t us;

	/* A year alone is microseconds, and so are only digits. */
	for (size_t i = 0; i < N(texts); i++)
		tap_ok(units_moment(texts[i], &us) == !strcmp(texts[i], "2026"),
		       "`%s` is %s", texts[i],
		       strcmp(texts[i], "2026") ? "no moment" : "microseconds");
}

/* Beside the C library's own calendar, and in the form that SQL has. */
static void test_random(struct dice *d)
{
	enum { ROUNDS = 200000 };
	uint64_t range =
		(uint64_t)WBC_TIMESTAMP_MAX - (uint64_t)WBC_TIMESTAMP_MIN + 1;
	unsigned wrong = 0, lost = 0;

	for (unsigned i = 0; i < ROUNDS; i++) {
		int64_t us = (int64_t)((uint64_t)WBC_TIMESTAMP_MIN +
		                       dice_word(d) % range);
		int64_t left = (us % 1000000 + 1000000) % 1000000;
		time_t seconds = (time_t)((us - left) / 1000000);
		char said[UNITS_TEXT], want[128];
		struct tm tm;
		int64_t back;

		gmtime_r(&seconds, &tm);
		snprintf(want, sizeof(want),
		         "%04d-%02d-%02d %02d:%02d:%02d.%06d",
		         tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday,
		         tm.tm_hour, tm.tm_min, tm.tm_sec, (int)left);
		wrong += strcmp(units_say_sql_moment(said, us), want) != 0;
		lost += !units_moment(said, &back) || back != us;
	}
	tap_is_uint(wrong, 0, "%d moments are said as the C library has them",
	            ROUNDS);
	tap_is_uint(lost, 0, "and are read as what they were");
}

static void test_beyond(void)
{
	char said[UNITS_TEXT];

	tap_is_str(units_say_moment(said, WBC_TIMESTAMP_MAX + 1),
	           "253402300800000000", "year 10000 is said as an integer");
	tap_is_str(units_say_moment(said, INT64_MIN), "-9223372036854775808",
	           "and so is the least integer");
}

int main(void)
{
	struct dice d = dice_seeded();

	test_read();
	test_refused();
	test_random(&d);
	test_beyond();
	return tap_done();
}
