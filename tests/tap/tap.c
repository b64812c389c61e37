/* SPDX-License-Identifier: MIT */
/* Copyright the wbcshm authors */

/*
 * The TAP producer.  The counts and a lock stand in one anonymous shared
 * mapping, made before main(), so that forked children count with their
 * parent.  The lock is robust: a child that is killed while it holds it leaves
 * it to the next caller.  A result is one write(2), made under the lock, so
 * that lines neither mix nor change places, and nothing is left in a buffer
 * that a fork could double or a kill could lose.
 */
#include "tap/tap.h"

#include <errno.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { LINE_BYTES = 4096 };

struct counts {
	pthread_mutex_t lock;
	unsigned planned;
	unsigned run;
	unsigned failed;
};

struct line {
	char text[LINE_BYTES];
	size_t len;
};

static struct counts *counts;
static pid_t owner;

__attribute__((constructor)) static void map_counts(void)
{
	pthread_mutexattr_t attr;

	owner = getpid();
	counts = mmap(NULL, sizeof(*counts), PROT_READ | PROT_WRITE,
	              MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (counts == MAP_FAILED)
		abort();
	pthread_mutexattr_init(&attr);
	pthread_mutexattr_setpshared(&attr, PTHREAD_PROCESS_SHARED);
	pthread_mutexattr_setrobust(&attr, PTHREAD_MUTEX_ROBUST);
	pthread_mutex_init(&counts->lock, &attr);
	pthread_mutexattr_destroy(&attr);
}

static void lock_counts(void)
{
	if (pthread_mutex_lock(&counts->lock) == EOWNERDEAD)
		pthread_mutex_consistent(&counts->lock);
}

static void unlock_counts(void)
{
	pthread_mutex_unlock(&counts->lock);
}

/* Appends; what does not fit is cut.  A line's end and a NUL always fit. */
TAP_PRINTF(2, 0)
static void put_args(struct line *l, const char *fmt, va_list args)
{
	size_t room = sizeof(l->text) - 2 - l->len;
	int n = vsnprintf(l->text + l->len, room, fmt, args);

	if (n > 0)
		l->len += (size_t)n < room ? (size_t)n : room - 1;
}

TAP_PRINTF(2, 3) static void put(struct line *l, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	put_args(l, fmt, args);
	va_end(args);
}

/* TAP is read by lines, and `#` in a sentence would begin a directive. */
static void make_one_line(struct line *l, size_t from)
{
	for (size_t i = from; i < l->len; i++) {
		if (l->text[i] == '\n' || l->text[i] == '\r')
			l->text[i] = ' ';
		if (l->text[i] == '#')
			l->text[i] = '=';
	}
}

static void end_line(struct line *l)
{
	l->text[l->len++] = '\n';
}

static void write_out(const struct line *l)
{
	size_t done = 0;

	while (done < l->len) {
		ssize_t n = write(STDOUT_FILENO, l->text + done, l->len - done);

		if (n < 0 && errno != EINTR)
			_exit(1);
		if (n > 0)
			done += (size_t)n;
	}
}

/* Numbers, counts and prints one result; the caller's details follow it. */
TAP_PRINTF(3, 0)
static void report(bool pass, const char *details, const char *what,
                   va_list args)
{
	struct line l = {.len = 0};
	size_t from;

	lock_counts();
	put(&l, "%s %u - ", pass ? "ok" : "not ok", ++counts->run);
	from = l.len;
	put_args(&l, what, args);
	make_one_line(&l, from);
	end_line(&l);
	if (!pass) {
		counts->failed++;
		put(&l, "%s", details);
	}
	write_out(&l);
	unlock_counts();
}

bool tap_ok_at(const char *file, int line, bool pass, const char *what, ...)
{
	char details[512];
	va_list args;

	snprintf(details, sizeof(details), "#   %s:%d\n", file, line);
	va_start(args, what);
	report(pass, details, what, args);
	va_end(args);
	return pass;
}

bool tap_is_int_at(const char *file, int line, const char *expr, long long got,
                   long long want, const char *what, ...)
{
	bool pass = got == want;
	char details[512];
	va_list args;

	snprintf(details, sizeof(details),
	         "#   %s:%d\n#   %.100s is %lld, should be %lld\n", file, line,
	         expr, got, want);
	va_start(args, what);
	report(pass, details, what, args);
	va_end(args);
	return pass;
}

bool tap_is_uint_at(const char *file, int line, const char *expr,
                    unsigned long long got, unsigned long long want,
                    const char *what, ...)
{
	bool pass = got == want;
	char details[512];
	va_list args;

	snprintf(details, sizeof(details),
	         "#   %s:%d\n#   %.100s is %llu, should be %llu\n", file, line,
	         expr, got, want);
	va_start(args, what);
	report(pass, details, what, args);
	va_end(args);
	return pass;
}

bool tap_is_double_at(const char *file, int line, const char *expr, double got,
                      double want, const char *what, ...)
{
	bool pass = got == want;
	char details[512];
	va_list args;

	snprintf(details, sizeof(details),
	         "#   %s:%d\n#   %.100s is %.17g, should be %.17g\n", file,
	         line, expr, got, want);
	va_start(args, what);
	report(pass, details, what, args);
	va_end(args);
	return pass;
}

bool tap_is_str_at(const char *file, int line, const char *expr,
                   const char *got, const char *want, const char *what, ...)
{
	bool pass = got && want ? strcmp(got, want) == 0 : got == want;
	struct line details = {.len = 0};
	va_list args;
	size_t from;

	put(&details, "#   %s:%d\n#   ", file, line);
	from = details.len;
	put(&details, got ? "%.100s is \"%.300s\"" : "%.100s is %s", expr,
	    got ? got : "NULL");
	put(&details, want ? ", should be \"%.300s\"" : ", should be %s",
	    want ? want : "NULL");
	make_one_line(&details, from);
	end_line(&details);
	details.text[details.len] = '\0';
	va_start(args, what);
	report(pass, details.text, what, args);
	va_end(args);
	return pass;
}

bool tap_is_mem_at(const char *file, int line, const char *expr,
                   const void *got, const void *want, size_t len,
                   const char *what, ...)
{
	const unsigned char *g = got, *w = want;
	char details[512];
	va_list args;
	size_t i = 0;

	while (i < len && g[i] == w[i])
		i++;
	snprintf(details, sizeof(details),
	         "#   %s:%d\n#   %.100s[%zu] is 0x%02x, should be 0x%02x\n",
	         file, line, expr, i, i < len ? g[i] : 0, i < len ? w[i] : 0);
	va_start(args, what);
	report(i == len, details, what, args);
	va_end(args);
	return i == len;
}

void tap_plan(unsigned n)
{
	struct line l = {.len = 0};

	if (n == 0)
		return;
	lock_counts();
	counts->planned = n;
	put(&l, "1..%u\n", n);
	write_out(&l);
	unlock_counts();
}

void tap_skip_all(const char *why, ...)
{
	struct line l = {.len = 0};
	va_list args;
	size_t from;

	put(&l, "1..0 # SKIP ");
	from = l.len;
	va_start(args, why);
	put_args(&l, why, args);
	va_end(args);
	make_one_line(&l, from);
	end_line(&l);
	write_out(&l);
	exit(0);
}

void tap_skip(unsigned n, const char *why, ...)
{
	lock_counts();
	for (unsigned i = 0; i < n; i++) {
		struct line l = {.len = 0};
		va_list args;
		size_t from;

		put(&l, "ok %u # SKIP ", ++counts->run);
		from = l.len;
		va_start(args, why);
		put_args(&l, why, args);
		va_end(args);
		make_one_line(&l, from);
		end_line(&l);
		write_out(&l);
	}
	unlock_counts();
}

void tap_diag(const char *what, ...)
{
	struct line l = {.len = 0};
	va_list args;

	put(&l, "# ");
	va_start(args, what);
	put_args(&l, what, args);
	va_end(args);
	make_one_line(&l, 2);
	end_line(&l);
	lock_counts();
	write_out(&l);
	unlock_counts();
}

bool tap_sanitized(const char *by)
{
	const char *how = getenv("WBC_SANITIZE");

	return how && *how && (!by || strstr(how, by));
}

void tap_bail(const char *why, ...)
{
	struct line l = {.len = 0};
	va_list args;
	size_t from;

	put(&l, "Bail out! ");
	from = l.len;
	va_start(args, why);
	put_args(&l, why, args);
	va_end(args);
	make_one_line(&l, from);
	end_line(&l);
	lock_counts();
	write_out(&l);
	counts->failed++;
	unlock_counts();
	_exit(1);
}

void tap_child_exit(int status)
{
	_exit(status);
}

unsigned tap_failed(void)
{
	unsigned n;

	lock_counts();
	n = counts->failed;
	unlock_counts();
	return n;
}

int tap_done(void)
{
	struct line l = {.len = 0};
	bool good;

	if (getpid() != owner) {
		/* A child that ran on into its parent's end: a bug to show. */
		put(&l, "# tap_done() in a forked child\n");
		write_out(&l);
		_exit(1);
	}
	lock_counts();
	good = counts->failed == 0 && counts->run > 0;
	if (counts->planned == 0) {
		put(&l, "1..%u\n", counts->run);
	} else if (counts->run != counts->planned) {
		put(&l, "# planned %u, ran %u\n", counts->planned, counts->run);
		good = false;
	}
	write_out(&l);
	unlock_counts();
	return good ? 0 : 1;
}
