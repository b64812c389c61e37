/* SPDX-License-Identifier: MIT */
/* Copyright the wbcshm authors */

/*
 * Counting words: all that the example does with the library.
 *
 * Copy from here.  The rest of the example finds text, kills processes and
 * proves the result; none of it knows how counting is done.
 */
#ifndef EXAMPLE_COUNT_H
#define EXAMPLE_COUNT_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <wbcshm.h>

/* The two tables, as the program and the flusher are both told of them. */
#define WORDS_SPEC "words(word text key, n counter) on_missing=insert"
#define LOG_SPEC "log(worker int, pass int, file text, words int)"

/* A word is a run of A-Z and a-z, in lower case, cut after so many. */
#define WORD_MAX 200

/* How far a worker is; the parent reads along. */
struct progress {
	_Alignas(64) _Atomic uint64_t adds; /* that returned 0 */
	_Atomic uint64_t passes;            /* that are complete */
};

struct counting {
	struct wbc *cache;
	struct wbc_table *words;
	struct wbc_table *log;
	unsigned n;                /* number of the column words.n */
	char message[384];         /* what went wrong, in words */
	struct progress *progress; /* of this worker */
	const char *prefix;        /* put before each word */
	int report;                /* each counted word goes there, or -1 */
};

/**
 * counting_open() - attach to the segment, made if needed; declare the tables
 * @w:       receives it; closed by counting_close()
 * @address: for example "shm:wordcount"
 *
 * Processes that are forked afterwards may use it at once.
 *
 * Return: 0 or a negative error, with words in w->message.
 */
int counting_open(struct counting *w, const char *address);
void counting_close(struct counting *w);

/**
 * count_file() - count every word of a text file
 * @w:     open
 * @path:  the file
 * @words: receives how many words it has
 *
 * Return: 0 or a negative error, with words in w->message.
 */
int count_file(struct counting *w, const char *path, uint64_t *words);

/**
 * log_file() - insert a row that says that a file was counted
 * @w:      open
 * @worker: who
 * @pass:   in which pass
 * @path:   the file
 * @words:  how many words it has
 *
 * Return: 0 or a negative error, with words in w->message.
 */
int log_file(struct counting *w, int64_t worker, int64_t pass, const char *path,
             uint64_t words);

/**
 * count_flush() - have everything written to the database, and wait for it
 * Return: 0 or a negative error, with words in w->message.
 */
int count_flush(struct counting *w, int timeout_ms);

#endif
