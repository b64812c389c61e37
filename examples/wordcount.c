/* SPDX-License-Identifier: MIT */
/* Copyright the wbcshm authors */

/*
 * wordcount - count real text from several processes into SQLite, exactly
 *
 * Worker processes share the text files of this machine among them and count
 * each word, over and over, until the time is up.  Meanwhile the flusher,
 * which writes to SQLite, is killed twice, and one extra worker once.  Then
 * the tables are compared with what `tr | sort | uniq -c` counts.
 *
 *   count.c      the counting: all calls of the library are there
 *   run.c        the workers, and who is killed when
 *   supervise.c  starting, killing and stopping the flusher
 *   compare.c    tr | sort | uniq -c, and the comparison
 *   files.c      which text is counted
 *   options.c, screen.c, and this file: what comes before and after the run
 */
#include <errno.h>
#include <fts.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "compare.h"
#include "count.h"
#include "files.h"
#include "options.h"
#include "run.h"
#include "screen.h"
#include "supervise.h"

#define FLUSH_S 120 /* the last flush is given so long */

/* The folder of one run, and what is in it. */
struct folder {
	char dir[PATH_MAX - 32];
	char database[PATH_MAX];
	char journal[PATH_MAX];
	char log[PATH_MAX];
	char report[PATH_MAX];
	char share[PATH_MAX];
};

struct demo {
	struct options opt;
	struct files files;
	struct folder folder;
	struct counting counting;
	struct flusher flusher;
	struct run run;
	char address[64];
	char segment[PATH_MAX];
};

/* Each worker's share of the files is a list, for the comparison. */
static const char *share_of(struct folder *f, unsigned worker)
{
	snprintf(f->share, sizeof(f->share), "%s/share.%u", f->dir, worker);
	return f->share;
}

static int find_input(struct demo *d)
{
	const struct options *o = &d->opt;
	size_t i;
	int rc = files_find(&d->files, o->folders, o->n_folders);

	if (rc) {
		screen_error("looking for text: %s", strerror(-rc));
		return 1;
	}
	if (d->files.n < o->workers) {
		screen_error("%zu text files are too few for %u workers; name "
		             "a folder with more",
		             d->files.n, o->workers);
		return 1;
	}
	screen_say("  input  %s text files, %.1f MB, below",
	           grouped(d->files.n), (double)d->files.bytes / 1e6);
	for (i = 0; i < o->n_folders; i++)
		screen_say("%s %s", i ? " and" : "", o->folders[i]);
	screen_say("\n  run    %u s; --seed %" PRIu64
	           " repeats the moments of the kills\n\n",
	           o->seconds, o->seed);
	return 0;
}

static int make_folder(struct folder *f, const char *wanted)
{
	const char *tmp = getenv("TMPDIR");

	if (wanted)
		snprintf(f->dir, sizeof(f->dir), "%s", wanted);
	else
		snprintf(f->dir, sizeof(f->dir), "%s/wordcount-XXXXXX",
		         tmp && *tmp ? tmp : "/tmp");
	if (wanted ? mkdir(f->dir, 0700) != 0 : !mkdtemp(f->dir)) {
		screen_error("%s: %s", f->dir, strerror(errno));
		f->dir[0] = '\0'; /* not ours to remove */
		return 1;
	}
	snprintf(f->database, sizeof(f->database), "%s/words.db", f->dir);
	snprintf(f->journal, sizeof(f->journal), "%s/journal", f->dir);
	snprintf(f->log, sizeof(f->log), "%s/flusher.log", f->dir);
	snprintf(f->report, sizeof(f->report), "%s/reported", f->dir);
	return 0;
}

static int write_shares(struct demo *d)
{
	unsigned i;

	for (i = 0; i < d->opt.workers; i++) {
		const char *path = share_of(&d->folder, i);
		int rc = files_write_share(&d->files, i, d->opt.workers, path);

		if (rc) {
			screen_error("%s: %s", path, strerror(-rc));
			return 1;
		}
	}
	return 0;
}

/* With both tables declared, so that from here on all may count. */
static int make_segment(struct demo *d)
{
	snprintf(d->address, sizeof(d->address), "shm:wordcount-%d",
	         (int)getpid());
	if (counting_open(&d->counting, d->address)) {
		screen_error("%s", d->counting.message);
		return 1;
	}
	snprintf(d->segment, sizeof(d->segment), "%s",
	         wbc_path(d->counting.cache));
	return 0;
}

static int start_flusher(struct demo *d)
{
	const char *argv[] = {
		"wbc-flusher",      "--segment", d->address,        "--sqlite",
		d->folder.database, "--journal", d->folder.journal, "--table",
		WORDS_SPEC,         "--table",   LOG_SPEC,          NULL,
	};
	int rc;

	_Static_assert(sizeof(argv) <= sizeof(d->flusher.argv), "arguments");
	memcpy(d->flusher.argv, argv, sizeof(argv));
	d->flusher.log = d->folder.log;
	rc = flusher_start(&d->flusher);
	if (rc)
		screen_error("starting the flusher: %s", strerror(-rc));
	return rc != 0;
}

static int run(struct demo *d)
{
	d->run.opt = &d->opt;
	d->run.files = &d->files;
	d->run.counting = &d->counting;
	d->run.flusher = &d->flusher;
	d->run.report = d->folder.report;
	return run_workers(&d->run);
}

/* Have all of it written; then SIGTERM ends the flusher. */
static int flush_and_stop(struct demo *d)
{
	double t = now_s();
	int rc;

	do {
		rc = count_flush(&d->counting, 1000);
	} while (rc == -ETIMEDOUT && !interrupted && now_s() < t + FLUSH_S);
	if (rc) {
		screen_error("%s", d->counting.message);
		flusher_show_log(&d->flusher);
		return 1;
	}
	rc = flusher_stop(&d->flusher, FLUSH_S * 1000);
	if (rc) {
		screen_error("the flusher ended with status %d", rc);
		flusher_show_log(&d->flusher);
		return 1;
	}
	screen_say("  %5.1f s  %15s adds   all written, flusher stopped\n",
	           now_s() - d->run.start_s, grouped(run_adds(&d->run)));
	return 0;
}

static void report_adds(const struct demo *d)
{
	const uint64_t *at_kill = d->run.adds_at_kill;
	uint64_t all = run_adds(&d->run), statements, unlogged;

	printf("\nadds acknowledged\n");
	printf("  %15s  before the first kill of the flusher\n",
	       grouped(at_kill[0]));
	printf("  %15s  between the two\n", grouped(at_kill[1] - at_kill[0]));
	printf("  %15s  after the second\n", grouped(all - at_kill[1]));
	printf("  %15s  in all, %s a second\n", grouped(all),
	       grouped((uint64_t)((double)all / d->run.took_s)));
	if (flusher_statements(&d->flusher, "words", &statements, &unlogged) ||
	    !statements)
		return;
	printf("  %15s  SQL statements is what they became: one for %s adds\n",
	       grouped(statements), grouped(all / statements));
	if (unlogged)
		printf("  %15s  (and those of %s batches that a killed flusher "
		       "had no time to log)\n",
		       "", grouped(unlogged));
}

/* Count again, in another way. */
static int find_truth(struct demo *d, struct compare *c)
{
	unsigned i;

	for (i = 0; i < d->opt.workers; i++) {
		if (interrupted ||
		    compare_expect_share(c, i, share_of(&d->folder, i),
		                         run_passes(&d->run, i)))
			return 1;
	}
	return compare_expect_extra(c, d->folder.report);
}

static bool report_verdict(const struct demo *d, const struct verdict *v)
{
	uint64_t adds = run_adds(&d->run);

	if (v->words != adds)
		printf("  the table has %s words, acknowledged are %s\n",
		       grouped(v->words), grouped(adds));
	printf("  %15s  different words, of which %s are wrong\n",
	       grouped(v->rows), grouped(v->wrong));
	printf("  %15s  log rows, one per file and pass: %s wrong\n",
	       grouped(v->log_rows), grouped(v->log_wrong));
	printf("  %15s  words of the killed worker, %s acknowledged: %s "
	       "wrong\n",
	       grouped(v->extra), grouped(v->reported),
	       grouped(v->extra_wrong));
	return v->words == adds && !v->wrong && !v->log_wrong &&
	       !v->extra_wrong;
}

static int prove(struct demo *d)
{
	struct compare *c = compare_open(d->folder.database);
	struct verdict v;
	int rc = 1;

	if (!c)
		return 1;
	screen_say("\ncompared with tr | sort | uniq -c\n");
	if (find_truth(d, c) == 0 && compare_all(c, &v) == 0) {
		bool exact = report_verdict(d, &v);

		printf("\nthe ten commonest words\n");
		rc = compare_print_top(c, 10) || !exact;
		printf("\nexact: %s\n", rc ? "no" : "yes");
	}
	compare_close(c);
	return rc;
}

static void remove_folder(char *dir)
{
	char *const roots[] = {dir, NULL};
	FTSENT *e;
	FTS *fts;

	fts = fts_open(roots, FTS_PHYSICAL | FTS_NOCHDIR, NULL);
	if (!fts)
		return;
	while ((e = fts_read(fts)) != NULL) {
		if (e->fts_info != FTS_D)
			remove(e->fts_accpath);
	}
	fts_close(fts);
}

/* Whatever happened: no process, no segment and no folder is left. */
static void clean_up(struct demo *d)
{
	screen_end_progress();
	run_end(&d->run);
	flusher_kill(&d->flusher);
	counting_close(&d->counting);
	files_free(&d->files);
	if (d->opt.keep && d->segment[0]) {
		printf("\nkept  %s (wbc-shmdump summary -s %s)\n"
		       "      %s (sqlite3 %s)\n",
		       d->segment, d->address, d->folder.dir,
		       d->folder.database);
		return;
	}
	if (d->segment[0])
		unlink(d->segment);
	if (d->folder.dir[0])
		remove_folder(d->folder.dir);
}

static int wordcount(struct demo *d)
{
	if (!program_exists("wbc-flusher")) {
		screen_error("wbc-flusher is not in PATH");
		return 1;
	}
	screen_say("%u processes count the words of real text in shared "
	           "memory, and a flusher\n"
	           "writes the counts to SQLite.  The flusher is killed twice, "
	           "an extra worker once;\n"
	           "nothing that was acknowledged may be lost or counted "
	           "twice.\n\n",
	           d->opt.workers);
	if (find_input(d) || make_folder(&d->folder, d->opt.dir) ||
	    write_shares(d) || tables_create(d->folder.database) ||
	    make_segment(d) || start_flusher(d) || run(d) || flush_and_stop(d))
		return 1;
	report_adds(d);
	return prove(d);
}

static void on_signal(int signal)
{
	interrupted = signal;
}

int main(int argc, char **argv)
{
	static struct demo d;
	struct sigaction act = {.sa_handler = on_signal};
	int rc;

	rc = options_parse(&d.opt, argc, argv);
	if (rc)
		return rc - 1;
	sigaction(SIGINT, &act, NULL);
	sigaction(SIGTERM, &act, NULL);
	rc = wordcount(&d);
	clean_up(&d);
	if (interrupted)
		screen_error("interrupted");
	return rc;
}
