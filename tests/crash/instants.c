/* SPDX-License-Identifier: MIT */
/* Copyright the wbcshm authors */

/*
 * The flusher killed at each instant of a life: after each system call that
 * changed a file, and after each instruction of its collector that changed
 * the segment.
 *
 * At such an instant all of its threads are halted, and segment, journal and
 * database are copied: that is what a SIGKILL leaves.  Another flusher starts
 * on the copy, and ends; then the database is exact, and nothing in the
 * segment is lost.  Some lives are also ended there in earnest.
 *
 * Three lives: the first ever of a segment, a journal and a database; one that
 * finds what another left, new work, and a client that died within a section;
 * and one that removes all rows from the segment, since nobody uses them, and
 * the nodes of the index that led to them.  The short form looks at a sample of the instants, by a seed; the
 * long form at others in each pass.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "crash/facts.h"
#include "crash/life.h"
#include "crash/sweep.h"
#include "crash/tracer.h"
#include "tap/tap.h"
#include "unit/dice.h"
#include "unit/soak.h"

#define COUNTS OPS_SPEC " on_missing=insert"
#define EVENTS "e(who text, seq int)"
#define TABLES_SQL                                                             \
	"CREATE TABLE t(k TEXT PRIMARY KEY, n INTEGER, x REAL, m INTEGER,"     \
	" note TEXT); CREATE TABLE e(who TEXT, seq INTEGER)"
#define KEYS 3
/* One pass looks at every so manyth instant. */
#define EVERY_CALL 3
#define EVERY_STORE 9
#define REAL_KILLS 10

/* What was acknowledged, and so is to be in the database. */
struct tally {
	int64_t n[KEYS];
	double x[KEYS];
	int64_t note; /* every row's, as a text */
	int64_t events;
};

struct theatre {
	struct sweep_site site;
	struct rig base, stage, copy; /* before, while, and after the kill */
	struct tally tally;
	struct dice dice;
	unsigned long instants, looks, steps, kills, swept;
	struct wrong wrong;
	/* of this life */
	bool (*enough)(const struct wbci_segment *s);
	unsigned every, offset;
	unsigned long kill_at; /* the instant at which it is real; 0: none */
	bool lose_journal;     /* the next flusher finds none: the known bad */
};

/* Copy a file's bytes, only those that are there. */
static void copy_file(const char *from, const char *to)
{
	int in = open(from, O_RDONLY | O_CLOEXEC);
	int out = open(to, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	static unsigned char buffer[1 << 16];
	off_t data, hole = 0;
	struct stat st;

	if (in < 0 || out < 0 || fstat(in, &st) || ftruncate(out, st.st_size))
		tap_bail("%s: %s", to, strerror(errno));
	while ((data = lseek(in, hole, SEEK_DATA)) >= 0) {
		hole = lseek(in, data, SEEK_HOLE);
		while (data < hole) {
			size_t want = (size_t)(hole - data) < sizeof(buffer)
			                      ? (size_t)(hole - data)
			                      : sizeof(buffer);
			ssize_t n = pread(in, buffer, want, data);

			if (n <= 0 || pwrite(out, buffer, (size_t)n, data) != n)
				tap_bail("%s: %s", to, strerror(errno));
			data += n;
		}
	}
	close(in);
	close(out);
}

static void each_file(const char *from, const char *to);

static void each_entry(const char *from, const char *to, const char *name)
{
	char a[PATH_MAX + 300], b[PATH_MAX + 300];
	struct stat st;

	snprintf(a, sizeof(a), "%s/%s", from, name);
	if (lstat(a, &st))
		return;
	if (to) {
		snprintf(b, sizeof(b), "%s/%s", to, name);
		if (S_ISDIR(st.st_mode)) {
			mkdir(b, 0700);
			each_file(a, b);
		} else if (S_ISREG(st.st_mode) && strcmp(name, "log")) {
			copy_file(a, b);
		}
	} else if (S_ISDIR(st.st_mode)) {
		each_file(a, NULL);
		rmdir(a);
	} else if (S_ISREG(st.st_mode)) {
		unlink(a);
	}
}

/* Copy a folder's files, or remove them. */
static void each_file(const char *from, const char *to)
{
	DIR *dir = opendir(from);
	const struct dirent *e;

	while (dir && (e = readdir(dir)))
		if (strcmp(e->d_name, ".") && strcmp(e->d_name, ".."))
			each_entry(from, to, e->d_name);
	if (dir)
		closedir(dir);
}

static void copy_rig(const struct rig *from, const struct rig *to)
{
	each_file(to->dir, NULL);
	each_file(from->dir, to->dir);
}

static struct place place_of(const struct rig *r)
{
	struct place p;

	memset(&p, 0, sizeof(p));
	snprintf(p.path, sizeof(p.path), "%.3800s", r->segment);
	snprintf(p.address, sizeof(p.address), "shm:%s", p.path);
	return p;
}

static void key_name(char *name, size_t size, unsigned i)
{
	snprintf(name, size, "key-%u", i);
}

/* A text that says a number, long enough to stand in a block of its own. */
static int set_note(struct wbc_table *t, const struct wbc_value *key,
                    int64_t number)
{
	struct wbc_value note;
	char text[400];
	int n = snprintf(text, sizeof(text), "%0300lld", (long long)number);

	note = wbc_text("note", text, (uint32_t)n);
	return wbc_update(t, key, 1, &note, 1);
}

/* One client's work; all of it is acknowledged. */
static void work(struct theatre *th, int64_t times)
{
	struct place p = place_of(&th->base);
	struct wbc_table *t, *e;
	struct wbc *c;
	int error = wbc_open(&c, p.address, NULL);

	if (error || wbc_table_declare(c, COUNTS, &t, NULL, 0) ||
	    wbc_table_declare(c, EVENTS, &e, NULL, 0))
		tap_bail("a client cannot begin: %s", wbc_strerror(error));
	for (unsigned i = 0; i < KEYS; i++) {
		char name[16];
		struct wbc_value key;

		key_name(name, sizeof(name), i);
		key = wbc_text(NULL, name, (uint32_t)strlen(name));
		error |= wbc_add_int64(t, &key, 1, OPS_N, times * (i + 1));
		error |= wbc_add_double(t, &key, 1, OPS_X, 0.5);
		error |= set_note(t, &key, th->tally.note + times);
		th->tally.n[i] += times * (i + 1);
		th->tally.x[i] += 0.5;
	}
	th->tally.note += times;
	for (int64_t i = 0; i < times; i++) {
		struct wbc_value row[2] = {wbc_text(NULL, "us", 2),
		                           wbc_int64(NULL, th->tally.events++)};

		error |= wbc_insert(e, row, 2, 0);
	}
	if (error)
		tap_bail("a client's work fails: %s", wbc_strerror(error));
	wbc_close(&c);
}

/* A client that dies with a block that is nobody's. */
static void die_in_section(struct theatre *th)
{
	struct place p = place_of(&th->base);
	const char *const argv[] = {th->site.victim, p.address, "add",
	                            "never-acknowledged", NULL};
	struct wbci_message none = {NULL, 0};
	struct wbci_segment s;
	struct watch watch;
	struct victim v;
	unsigned changes = 0;

	victim_start(&v, argv);
	if (wbci_segment_open(&s, p.path, false, &none))
		tap_bail("the segment cannot be opened");
	watch_begin(&watch, &s);
	while (changes < 6 && victim_step(&v) == STEP_DONE)
		changes += watch_changed(&watch);
	victim_kill(&v);
	watch_end(&watch);
	wbci_segment_close(&s);
}

/* All is in the database, and the dead are looked after. */
static bool is_enough(const struct wbci_segment *s)
{
	return order_load(&s->control->mark) == 0 &&
	       order_load(&s->tables[0].rows_pending) == 0 &&
	       order_load(&s->tables[0].settled) > 2 &&
	       order_load(&s->tables[1].settled) > 2;
}

/* The same, and nothing is in the index. */
static bool is_tidy(const struct wbci_segment *s)
{
	if (!is_enough(s))
		return false;
	for (uint64_t i = 0; i <= s->root_mask; i++)
		if (order_load(&s->root[i]))
			return false;
	return true;
}

/* The database is what was acknowledged, no more and no less. */
static void check_database(struct theatre *th, const struct rig *r)
{
	char sql[160], name[16];

	for (unsigned i = 0; i < KEYS; i++) {
		int64_t n;
		double x;

		key_name(name, sizeof(name), i);
		snprintf(sql, sizeof(sql),
		         "SELECT coalesce(sum(n), 0) FROM t WHERE k = '%s'",
		         name);
		n = rig_sql_int(r, sql);
		snprintf(sql, sizeof(sql),
		         "SELECT coalesce(sum(x), 0.0) FROM t WHERE k = '%s'",
		         name);
		x = rig_sql_double(r, sql);
		if (n != th->tally.n[i] || x != th->tally.x[i])
			wrong_say(&th->wrong,
			          "%s is %lld and %g instead of %lld and %g",
			          name, (long long)n, x,
			          (long long)th->tally.n[i], th->tally.x[i]);
	}
	snprintf(sql, sizeof(sql),
	         "SELECT count(*) FROM t WHERE CAST(note AS INTEGER) = %lld",
	         (long long)th->tally.note);
	if (rig_sql_int(r, sql) != KEYS)
		wrong_say(&th->wrong, "a note is not the last one");
	if (rig_sql_int(r, "SELECT count(*) FROM t") != KEYS)
		wrong_say(&th->wrong, "a row is there that nobody added to");
	if (rig_sql_int(r, "SELECT count(*) FROM e") != th->tally.events ||
	    rig_sql_int(r, "SELECT count(DISTINCT seq) FROM e") !=
	            th->tally.events)
		wrong_say(&th->wrong, "%lld events are there instead of %lld",
		          (long long)rig_sql_int(r, "SELECT count(*) FROM e"),
		          (long long)th->tally.events);
}

/* Another flusher takes over in a rig, and ends. */
static void take_over(struct theatre *th, struct rig *r)
{
	struct place p = place_of(r);
	int status;

	rig_spawn(r, NULL);
	status = rig_ready(r) ? rig_stop(r) : rig_wait(r);
	if (status)
		wrong_say(&th->wrong, "the next flusher ends with %d", status);
	check_database(th, r);
	th->swept += (unsigned long)copy_recover(&p, &th->wrong);
	copy_audit(&p, true, &th->wrong);
	th->looks++;
	if (th->wrong.text[0]) {
		tap_diag("violation: %s", th->wrong.text);
		rig_log_show(r);
	}
}

static bool instant(void *arg, const struct life *l)
{
	struct theatre *th = arg;
	bool is_real = th->kill_at == l->instants;

	if (is_real)
		return false;
	if (th->kill_at || l->instants % th->every != th->offset)
		return true;
	copy_rig(&th->stage, &th->copy);
	if (th->lose_journal)
		each_file(th->copy.journal, NULL);
	take_over(th, &th->copy);
	if (!th->wrong.text[0])
		return true;
	tap_diag("it was instant %lu, %s", l->instants, life_place(l));
	return false;
}

static unsigned long live_once(struct theatre *th, enum life_mode mode)
{
	struct wbci_segment s;
	struct wbci_message none = {NULL, 0};
	struct life l = {
		.mode = mode, .rig = &th->stage, .s = &s, .enough = th->enough};

	copy_rig(&th->base, &th->stage);
	if (wbci_segment_open(&s, th->stage.segment, false, &none))
		tap_bail("the segment cannot be opened");
	if (!life_live(&l, instant, th) && !th->wrong.text[0]) {
		wrong_say(&th->wrong, "the traced flusher fails");
		tap_diag("violation: %s", th->wrong.text);
		rig_log_show(&th->stage);
	}
	wbci_segment_close(&s);
	th->steps += l.steps;
	return l.instants;
}

static void look(struct theatre *th, enum life_mode mode, const char *life,
                 const char *instants, unsigned pass)
{
	unsigned long n, looks = th->looks;

	th->every = mode == LIFE_CALLS ? EVERY_CALL : EVERY_STORE;
	/* Those of another pass are others, until all were looked at. */
	th->offset = sweep_is_long() ? pass % th->every
	                             : dice_below(&th->dice, th->every);
	n = live_once(th, mode);
	th->instants += n;
	if (!th->wrong.text[0])
		check_database(th, &th->stage);
	tap_ok(!th->wrong.text[0],
	       "P5 P6: %s: exact after a kill at %lu of %lu instants, %s", life,
	       th->looks - looks, n, instants);
}

/* In earnest. */
static void kill_some(struct theatre *th, const char *life, unsigned kills)
{
	th->every = 1;
	th->offset = 1;
	for (unsigned i = 0; i < kills && !th->wrong.text[0]; i++) {
		th->kill_at = 1 + dice_below(&th->dice, 100);
		live_once(th, LIFE_CALLS);
		take_over(th, &th->stage);
		th->kills++;
	}
	th->kill_at = 0;
	tap_ok(!th->wrong.text[0], "P5: %s: exact after %u real kills", life,
	       kills);
}

static void sweep_life(struct theatre *th, const char *life, struct soak soak)
{
	unsigned pass = 0;

	if (th->wrong.text[0])
		return;
	do {
		look(th, LIFE_CALLS, life,
		     "after each call that changed a file", pass);
		look(th, LIFE_STORES, life,
		     "after each instruction that changed the segment", pass);
		kill_some(th, life, REAL_KILLS);
		pass++;
	} while (soak_goes_on(&soak));
}

/* Who looks at a state from which something was taken says so. */
static void catch_bad(struct theatre *th)
{
	bool caught;

	tap_diag("a violation is to follow");
	th->lose_journal = true;
	th->every = 5;
	th->offset = 0;
	live_once(th, LIFE_CALLS);
	th->lose_journal = false;
	caught = th->wrong.text[0];
	th->wrong.text[0] = '\0';
	tap_ok(caught,
	       "P5: the engine catches a flusher that loses its journal");
}

static void begin_rig(struct rig *r, const char *name)
{
	rig_begin(r, name);
	r->tables[0] = COUNTS;
	r->tables[1] = EVENTS;
	r->journal_interval = "5ms";
	r->flush_interval = "5ms";
}

int main(void)
{
	struct soak soak = soak_begin(), half = soak;
	static struct theatre th;
	struct place p;
	char path[8192];

	th.dice = dice_seeded();
	sweep_begin(&th.site);
	setenv("TMPDIR", th.site.dir, 1);
	snprintf(path, sizeof(path), "%s/inst/bin:%s", th.site.dir,
	         getenv("PATH"));
	setenv("PATH", path, 1);
	begin_rig(&th.base, "base");
	begin_rig(&th.stage, "stage");
	/* Who is stepped is slow: not a round for each of his breaths. */
	th.stage.journal_interval = "100ms";
	th.stage.flush_interval = "100ms";
	begin_rig(&th.copy, "copy");
	p = place_of(&th.base);
	state_new(&p, 2);
	rig_sql(&th.base, TABLES_SQL);
	work(&th, 3);
	th.enough = is_enough;
	half.until_ns -= (half.until_ns - soak_now_ns()) / 2;
	sweep_life(&th, "a first life", half);
	if (!th.wrong.text[0]) {
		take_over(&th, &th.base);
		work(&th, 2);
		die_in_section(&th);
		sweep_life(&th, "a life after another's", soak);
	}
	if (!th.wrong.text[0])
		catch_bad(&th);
	if (!th.wrong.text[0]) {
		take_over(&th, &th.base);
		th.stage.extra[0] = "--idle";
		th.stage.extra[1] = "1ms";
		th.enough = is_tidy;
		sweep_life(&th, "a life that tidies up", soak);
	}
	tap_diag("instants: %lu of %lu instants looked at, %lu instructions "
	         "stepped, %lu real kills, %lu blocks swept",
	         th.looks, th.instants, th.steps, th.kills, th.swept);
	tap_ok(!th.wrong.text[0] && th.looks > 0,
	       "P5 P6: %lu flushers killed, the next one exact each time",
	       th.looks);
	rig_end(&th.copy);
	rig_end(&th.stage);
	rig_end(&th.base);
	sweep_end(&th.site);
	return tap_done();
}
