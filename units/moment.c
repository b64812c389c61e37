/* SPDX-License-Identifier: MIT */
/* Copyright the wbcshm authors */

#include "moment.h"

#include <inttypes.h>
#include <stdio.h>

#define SECOND INT64_C(1000000)
#define MINUTE (60 * SECOND)
#define DAY (1440 * MINUTE)

/* Days from 0001-01-01 to 1970-01-01, and in 400 years. */
#define EPOCH_DAY INT64_C(719162)
#define ERA_DAYS INT64_C(146097)

#define YEAR_MAX 9999

struct date {
	int year, month, day;
};

static bool is_leap(int year)
{
	return year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
}

/* Of a month, counted from 1. */
static int days_of(int year, int month)
{
	static const int days[] = {31, 28, 31, 30, 31, 30,
	                           31, 31, 30, 31, 30, 31};

	return days[month - 1] + (month == 2 && is_leap(year));
}

/* From 0001-01-01 to the first of January of a year from 1 on. */
static int64_t days_before(int year)
{
	int64_t past = year - 1;

	return past * 365 + past / 4 - past / 100 + past / 400;
}

static int64_t day_of_date(const struct date *date)
{
	int64_t day = days_before(date->year) + date->day - 1;

	for (int month = 1; month < date->month; month++)
		day += days_of(date->year, month);
	return day - EPOCH_DAY;
}

/* @day is counted from 1970-01-01; of the years 1 to 9999. */
static struct date date_of_day(int64_t day)
{
	struct date date = {.month = 1};

	day += EPOCH_DAY;
	/* Early by a year at most, and never late. */
	date.year = (int)(day * 400 / ERA_DAYS) + 1;
	if (days_before(date.year + 1) <= day)
		date.year++;
	day -= days_before(date.year);
	while (day >= days_of(date.year, date.month))
		day -= days_of(date.year, date.month++);
	date.day = (int)day + 1;
	return date;
}

/* Exactly @n digits. */
static bool take_digits(const char **text, int n, int *number)
{
	*number = 0;
	for (; n; n--, ++*text) {
		if (**text < '0' || **text > '9')
			return false;
		*number = *number * 10 + (**text - '0');
	}
	return true;
}

static bool take(const char **text, char byte)
{
	if (**text != byte)
		return false;
	++*text;
	return true;
}

static bool take_date(const char **text, int64_t *us)
{
	struct date d;

	if (!take_digits(text, 4, &d.year) || !take(text, '-') ||
	    !take_digits(text, 2, &d.month) || !take(text, '-') ||
	    !take_digits(text, 2, &d.day))
		return false;
	if (d.year < 1 || d.month < 1 || d.month > 12 || d.day < 1 ||
	    d.day > days_of(d.year, d.month))
		return false;
	*us = day_of_date(&d) * DAY;
	return true;
}

/* HH:MM, in microseconds. */
static bool take_minutes(const char **text, int64_t *us)
{
	int hours, minutes;

	if (!take_digits(text, 2, &hours) || !take(text, ':') ||
	    !take_digits(text, 2, &minutes) || hours > 23 || minutes > 59)
		return false;
	*us = (hours * 60 + minutes) * MINUTE;
	return true;
}

/* [:SS[.f]], in microseconds. */
static bool take_seconds(const char **text, int64_t *us)
{
	int64_t unit = SECOND;
	int digit, seconds;

	*us = 0;
	if (!take(text, ':'))
		return true;
	if (!take_digits(text, 2, &seconds) || seconds > 59)
		return false;
	*us = seconds * SECOND;
	if (!take(text, '.'))
		return true;
	do {
		unit /= 10;
		if (!unit || !take_digits(text, 1, &digit))
			return false;
		*us += digit * unit;
	} while (**text >= '0' && **text <= '9');
	return true;
}

/* [Z|+HH:MM|-HH:MM]: how far its clocks are ahead. */
static bool take_zone(const char **text, int64_t *us)
{
	bool behind = **text == '-';

	*us = 0;
	if (!take(text, '+') && !take(text, '-')) {
		take(text, 'Z');
		return true;
	}
	if (!take_minutes(text, us))
		return false;
	if (behind)
		*us = -*us;
	return true;
}

bool units_moment(const char *text, int64_t *us)
{
	int64_t day, minutes = 0, seconds = 0, ahead = 0;

	if (units_int64(text, us))
		return true;
	if (!take_date(&text, &day))
		return false;
	if (take(&text, 'T') || take(&text, ' '))
		if (!take_minutes(&text, &minutes) ||
		    !take_seconds(&text, &seconds) || !take_zone(&text, &ahead))
			return false;
	if (*text)
		return false;
	*us = day + minutes + seconds - ahead;
	return true;
}

static const char *say(char text[UNITS_TEXT], int64_t us, char between,
                       const char *zone)
{
	int64_t day = us / DAY - (us % DAY < 0);
	int64_t left = us - day * DAY;
	struct date d;

	if (day < -EPOCH_DAY || day >= days_before(YEAR_MAX + 1) - EPOCH_DAY) {
		snprintf(text, UNITS_TEXT, "%" PRId64, us);
		return text;
	}
	d = date_of_day(day);
	snprintf(text, UNITS_TEXT, "%04d-%02d-%02d%c%02d:%02d:%02d.%06d%s",
	         d.year, d.month, d.day, between, (int)(left / (60 * MINUTE)),
	         (int)(left / MINUTE % 60), (int)(left / SECOND % 60),
	         (int)(left % SECOND), zone);
	return text;
}

const char *units_say_moment(char text[UNITS_TEXT], int64_t us)
{
	return say(text, us, 'T', "Z");
}

const char *units_say_sql_moment(char text[UNITS_TEXT], int64_t us)
{
	return say(text, us, ' ', "");
}
