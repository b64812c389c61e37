/* SPDX-License-Identifier: MIT */
/* Copyright the wbcshm authors */

/*
 * Is the database exact?  What `tr | sort | uniq -c` counts in the same
 * files, times the passes made, is compared with the tables, row by row.
 */
#ifndef EXAMPLE_COMPARE_H
#define EXAMPLE_COMPARE_H

#include <stdint.h>

/* Each acknowledged word of the extra worker is "extra:WORD" in the table. */
#define EXTRA_PREFIX "extra:"

struct compare; /* an open database with the truth beside the tables */

/**
 * tables_create() - make the database, with the two tables, empty
 * Return: 0, or 1 after saying why not.
 */
int tables_create(const char *database);

/**
 * compare_open() - open the database
 * Return: NULL after saying why not.
 */
struct compare *compare_open(const char *database);
void compare_close(struct compare *c);

/**
 * compare_expect_share() - count a worker's share of the files
 * @share:  a file with a path a line
 * @passes: how often the worker counted all of it
 *
 * Return: 0, or 1 after saying why not.
 */
int compare_expect_share(struct compare *c, int64_t worker, const char *share,
                         uint64_t passes);

/**
 * compare_expect_extra() - count what the extra worker reported
 * @report: a file with a word a line
 *
 * Return: 0, or 1 after saying why not.
 */
int compare_expect_extra(struct compare *c, const char *report);

/* What a comparison found; differences are printed as they are met. */
struct verdict {
	uint64_t rows;      /* of words that were compared */
	uint64_t words;     /* the sum of their counts */
	uint64_t wrong;     /* rows that differ */
	uint64_t log_rows;  /* rows in the log */
	uint64_t log_wrong; /* rows that are missing, doubled or strange */
	uint64_t reported;  /* words that the extra worker reported */
	uint64_t extra;     /* words of it in the table */
	uint64_t extra_wrong;
};

/* Return: 0, or 1 after saying why the database cannot be read. */
int compare_all(struct compare *c, struct verdict *v);

/* Print the commonest words. */
int compare_print_top(struct compare *c, int n);

#endif
