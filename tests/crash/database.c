/* SPDX-License-Identifier: MIT */
/* Copyright the wbcshm authors */

/*
 * A database that cannot be written to: absent, not one, read-only, without
 * the table or a column, and tables that the flusher was not told of or told
 * of differently.  Each is said in words, what was done stays in the journal,
 * other tables go on, and once it is mended all is written.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "crash/rig.h"
#include "tap/tap.h"

/* Long enough for one attempt, not for the pauses between them. */
#define SOON_MS 300

static const char spec[] = "counts(name text key, n counter, m counter)"
			   " on_missing=insert";
static const char other_spec[] = "other(name text key, n counter)"
				 " on_missing=insert";
static const char make_sql[] = "CREATE TABLE counts(name TEXT PRIMARY KEY,"
			       " n INTEGER, m INTEGER);"
			       "CREATE TABLE other(name TEXT PRIMARY KEY,"
			       " n INTEGER)";

struct state {
	struct rig rig;
	struct wbc *c;
	struct wbc_table *t, *other;
	int64_t added;
	int64_t other_added;
};

/* The database is not made yet. */
static void begin(struct state *s)
{
	memset(s, 0, sizeof(*s));
	rig_begin(&s->rig, "database");
	s->rig.tables[0] = spec;
	s->rig.tables[1] = other_spec;
	s->c = rig_open(&s->rig);
	s->t = rig_table(s->c, spec);
	s->other = rig_table(s->c, other_spec);
}

static void end(struct state *s)
{
	if (s->rig.pid)
		tap_is_int(rig_stop(&s->rig), 0, "the flusher ends well");
	wbc_close(&s->c);
	rig_end(&s->rig);
}

static void add(struct state *s, struct wbc_table *t, int64_t *count)
{
	struct wbc_value key = wbc_text(NULL, "row", 3);

	if (wbc_add_int64(t, &key, 1, 1, 1))
		tap_bail("adding fails");
	*count += 1;
	if (wbc_sync(s->c, RIG_PATIENCE_MS))
		tap_bail("sync fails: it needs no database");
}

static bool exact(const struct state *s)
{
	int64_t n = rig_sql_int(&s->rig, "SELECT total(n) FROM counts");
	int64_t other = rig_sql_int(&s->rig, "SELECT total(n) FROM other");

	if (n != s->added || other != s->other_added)
		tap_diag("%lld of %lld, %lld of %lld", (long long)n,
		         (long long)s->added, (long long)other,
		         (long long)s->other_added);
	return n == s->added && other == s->other_added;
}

/* A flush of everything does not succeed, and says why. */
static void refused(struct state *s, int status, const char *words,
                    const char *what)
{
	struct wbc_flush_result result;
	int error;

	add(s, s->t, &s->added);
	error = wbc_flush(s->c, NULL,
	                  status == -ETIMEDOUT ? SOON_MS : RIG_PATIENCE_MS,
	                  &result);
	tap_ok(error == status, "with %s a flush returns %s, not 0", what,
	       wbc_error_name(error));
	tap_ok(strstr(result.message, words), "in words: %s", result.message);
	tap_is_str(result.table, "counts", "it names the table");
}

static void mended(struct state *s, const char *what)
{
	add(s, s->t, &s->added);
	tap_is_int(rig_flush(s->c), 0, "with %s it goes on", what);
	tap_ok(exact(s), "P5: and nothing was lost or doubled");
}

static void absent(void)
{
	struct state s;

	begin(&s);
	rig_start(&s.rig);
	refused(&s, -ETIMEDOUT, "create the database", "no database");
	tap_ok(access(s.rig.database, F_OK), "none is made in its place");
	rig_sql(&s.rig, make_sql);
	mended(&s, "the database made");
	end(&s);
}

static void write_file(const char *path, const char *bytes, size_t n)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	if (fd < 0 || write(fd, bytes, n) != (ssize_t)n)
		tap_bail("%s: %s", path, strerror(errno));
	close(fd);
}

static void not_one(void)
{
	static char garbage[8192];
	struct state s;

	memset(garbage, 'x', sizeof(garbage));
	begin(&s);
	write_file(s.rig.database, garbage, sizeof(garbage));
	rig_start(&s.rig);
	refused(&s, WBC_E_PARKED, "not a database",
	        "a file that is no database");
	tap_is_int(rig_file_bytes(s.rig.database), sizeof(garbage),
	           "it is left as it is");
	unlink(s.rig.database);
	rig_sql(&s.rig, make_sql);
	mended(&s, "a right one in its place");
	end(&s);

	begin(&s);
	if (mkdir(s.rig.database, 0700))
		tap_bail("%s: %s", s.rig.database, strerror(errno));
	rig_start(&s.rig);
	refused(&s, -ETIMEDOUT, s.rig.database, "a folder");
	rmdir(s.rig.database);
	rig_sql(&s.rig, make_sql);
	mended(&s, "a right one in its place");
	end(&s);
}

/* SQLite refuses to write to a file of a later format than its own. */
static void set_write_version(const char *path, char version)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);

	if (fd < 0 || pwrite(fd, &version, 1, 18) != 1)
		tap_bail("%s: %s", path, strerror(errno));
	close(fd);
}

static void read_only_format(void)
{
	struct state s;

	begin(&s);
	rig_sql(&s.rig, make_sql);
	set_write_version(s.rig.database, 3);
	rig_start(&s.rig);
	refused(&s, -ETIMEDOUT, "read", "a database of a read-only format");
	set_write_version(s.rig.database, 1);
	mended(&s, "it made writable");
	end(&s);
}

/* Another file gets the name while the flusher has the old one open. */
static void replaced(void)
{
	struct state s;

	begin(&s);
	rig_sql(&s.rig, make_sql);
	rig_start(&s.rig);
	add(&s, s.t, &s.added);
	tap_is_int(rig_flush(s.c), 0, "a database is written to");
	rig_move(&s.rig, "database", "database-away");
	refused(&s, -ETIMEDOUT, "create the database",
	        "the database moved away");
	rig_move(&s.rig, "database-away", "database");
	mended(&s, "it back in its place");
	end(&s);
}

/* Waits for what the flusher does by itself, every few seconds. */
static void resumes(struct state *s, const char *what)
{
	rig_log_wait(&s->rig, "event=resumed", "table=counts");
	rig_log_wait(&s->rig, "event=applied", "table=counts");
	tap_ok(true, "%s: it resumes by itself", what);
	tap_is_int(rig_flush(s->c), 0, "then a flush works");
	tap_ok(exact(s), "P5: and nothing was lost or doubled");
}

static void others_go_on(struct state *s)
{
	add(s, s->other, &s->other_added);
	tap_is_int(wbc_flush(s->c, s->other, RIG_PATIENCE_MS, NULL), 0,
	           "another table is flushed meanwhile");
	tap_is_int(rig_sql_int(&s->rig, "SELECT total(n) FROM other"),
	           s->other_added, "and written");
}

static void missing_table(void)
{
	struct state s;

	begin(&s);
	rig_sql(&s.rig, "CREATE TABLE other(name TEXT PRIMARY KEY, n INTEGER)");
	rig_start(&s.rig);
	refused(&s, WBC_E_PARKED, "no such table: counts", "no such table");
	others_go_on(&s);
	rig_sql(&s.rig, "CREATE TABLE counts(name TEXT PRIMARY KEY, n INTEGER,"
	                " m INTEGER)");
	resumes(&s, "the table made");
	end(&s);
}

static void missing_column(void)
{
	struct state s;

	begin(&s);
	rig_sql(&s.rig, "CREATE TABLE other(name TEXT PRIMARY KEY, n INTEGER);"
	                "CREATE TABLE counts(name TEXT PRIMARY KEY,"
	                " n INTEGER)");
	rig_start(&s.rig);
	refused(&s, WBC_E_PARKED, "m", "a column missing");
	tap_ok(rig_log_count(&s.rig, "event=parked", "no such column") ||
	               rig_log_count(&s.rig, "event=parked", "no column named"),
	       "the log says it: %s", rig_log_last(&s.rig, "event=parked"));
	others_go_on(&s);
	rig_sql(&s.rig, "ALTER TABLE counts ADD COLUMN m INTEGER");
	resumes(&s, "the column made");
	end(&s);
}

/* Whose name would be taken for a text, by a database that is asked politely:
 * a row whose key is that very name is the test. */
static void missing_key_column(void)
{
	static const char without[] =
		"counts(name text key, n counter, m counter)";
	const struct wbc_value key = wbc_text(NULL, "name", 4);
	struct wbc_flush_result result;
	struct state s;

	begin(&s);
	wbc_close(&s.c);
	unlink(s.rig.segment);
	s.c = rig_open(&s.rig);
	s.t = rig_table(s.c, without);
	if (wbc_add_int64(s.t, &key, 1, 1, 1))
		tap_bail("adding fails");
	s.added = 1;
	rig_sql(&s.rig, "CREATE TABLE counts(title TEXT PRIMARY KEY, n INTEGER,"
	                " m INTEGER); INSERT INTO counts VALUES('a', 0, 0),"
	                " ('b', 0, 0);"
	                "CREATE TABLE other(name TEXT PRIMARY KEY, n INTEGER)");
	s.rig.tables[0] = without;
	rig_start(&s.rig);
	tap_is_int(wbc_flush(s.c, NULL, RIG_PATIENCE_MS, &result), WBC_E_PARKED,
	           "with a key column missing a flush says so");
	tap_ok(strstr(result.message, "name"), "in words: %s", result.message);
	tap_is_int(rig_sql_int(&s.rig, "SELECT total(n) FROM counts"), 0,
	           "P7: no row is changed for a key that is a column's name");
	rig_sql(&s.rig, "ALTER TABLE counts RENAME COLUMN title TO name;"
	                "INSERT INTO counts VALUES('name', 0, 0)");
	resumes(&s, "the column named right");
	end(&s);
}

static void not_told_of(void)
{
	struct wbc_flush_result result;
	struct state s;
	int error;

	begin(&s);
	rig_sql(&s.rig, make_sql);
	s.rig.tables[0] = other_spec;
	s.rig.tables[1] = NULL;
	rig_start(&s.rig);
	refused(&s, WBC_E_TABLE, "--table",
	        "a table that the flusher was not told of");
	others_go_on(&s);
	add(&s, s.t, &s.added);
	error = wbc_flush(s.c, s.t, RIG_PATIENCE_MS, &result);
	tap_is_int(error, WBC_E_TABLE, "a flush of that table returns it, too");
	tap_is_int(rig_stop(&s.rig), 0, "the flusher ends well");
	tap_ok(rig_log_sum(&s.rig, "stopped", "left") > 0,
	       "it says what it leaves in the journal");
	s.rig.tables[0] = spec;
	s.rig.tables[1] = other_spec;
	rig_start(&s.rig);
	mended(&s, "a flusher that was told of it");
	end(&s);
}

/* A table of a connection that there is not: no option could name it. */
static void other_connection(void)
{
	struct wbc_flush_result result;
	struct state s;

	begin(&s);
	rig_sql(&s.rig, make_sql);
	rig_start(&s.rig);
	add(&s, rig_table(s.c, "pg.counts(name text key, n counter)"),
	    &s.added);
	tap_is_int(wbc_flush(s.c, NULL, RIG_PATIENCE_MS, &result), WBC_E_TABLE,
	           "a table of a connection that there is not is not written");
	tap_ok(strstr(result.message, "with its connection") &&
	               strstr(result.message, "\"counts\"") &&
	               !strstr(result.message, "--table"),
	       "nor is an option advised that would be refused: %s",
	       result.message);
	end(&s);
}

static void declared_differently(void)
{
	struct state s;

	begin(&s);
	rig_sql(&s.rig, make_sql);
	s.rig.tables[0] = "counts(name text key, m counter, n counter)"
			  " on_missing=insert";
	rig_start(&s.rig);
	refused(&s, WBC_E_SCHEMA, "counts(name text key",
	        "a table that the flusher was told of differently");
	others_go_on(&s);
	tap_is_int(rig_sql_int(&s.rig, "SELECT count(*) FROM counts"), 0,
	           "nothing of it is written");
	tap_is_int(rig_stop(&s.rig), 0, "the flusher ends well");
	s.rig.tables[0] = spec;
	rig_start(&s.rig);
	mended(&s, "a flusher that was told of it alike");
	end(&s);
}

/* A client counts on what the flusher was not told. */
static void another_policy(void)
{
	struct wbc_table *t;
	char words[256];
	struct state s;

	begin(&s);
	rig_sql(&s.rig, make_sql);
	s.rig.tables[0] = "counts(name text key, n counter, m counter)";
	rig_start(&s.rig);
	refused(&s, WBC_E_SCHEMA, "on_missing=insert",
	        "a policy that is not what clients declared");
	tap_is_int(rig_sql_int(&s.rig, "SELECT count(*) FROM counts"), 0,
	           "nothing of it is written");
	tap_is_int(wbc_table_declare(s.c,
	                             "counts(name text key, n counter,"
	                             " m counter) on_missing=ignore",
	                             &t, words, sizeof(words)),
	           WBC_E_SCHEMA, "nor can a client declare another one");
	others_go_on(&s);
	tap_is_int(rig_stop(&s.rig), 0, "the flusher ends well");
	s.rig.tables[0] = spec;
	rig_start(&s.rig);
	mended(&s, "a flusher that was told of that policy");
	end(&s);
}

/* The journal has changes from when the table was declared otherwise. */
static void declared_differently_before(void)
{
	static const char new_spec[] =
		"counts(name text key, m counter) on_missing=insert";
	const struct wbc_value key = wbc_text(NULL, "row", 3);
	struct wbc_flush_result result;
	struct state s;
	int error;

	begin(&s);
	s.rig.flush_interval = "1h";
	rig_sql(&s.rig, make_sql);
	rig_start(&s.rig);
	add(&s, s.t, &s.added);
	rig_kill(&s.rig);
	wbc_close(&s.c);
	unlink(s.rig.segment);
	s.c = rig_open(&s.rig);
	s.t = rig_table(s.c, new_spec);
	s.rig.tables[0] = new_spec;
	rig_start(&s.rig);
	if (wbc_add_int64(s.t, &key, 1, 1, 5))
		tap_bail("adding fails");
	error = wbc_flush(s.c, NULL, RIG_PATIENCE_MS, &result);
	tap_is_int(error, WBC_E_SCHEMA,
	           "changes from when a table was declared otherwise are not "
	           "mixed in");
	tap_ok(strstr(result.message, "declared otherwise"), "in words: %s",
	       result.message);
	tap_is_int(rig_stop(&s.rig), 0, "the flusher ends well");
	s.rig.tables[0] = spec;
	rig_start(&s.rig);
	wbc_flush(s.c, NULL, RIG_PATIENCE_MS, &result);
	tap_is_int(rig_sql_int(&s.rig, "SELECT total(n) FROM counts"), 1,
	           "P5: told as then, a flusher applies them");
	tap_is_int(rig_stop(&s.rig), 0, "the flusher ends well");
	s.rig.tables[0] = new_spec;
	rig_start(&s.rig);
	tap_is_int(rig_flush(s.c), 0, "told as now, it applies the new ones");
	tap_is_int(rig_sql_int(&s.rig, "SELECT m FROM counts"), 5,
	           "P5: exactly");
	end(&s);
}

int main(void)
{
	absent();
	not_one();
	read_only_format();
	replaced();
	missing_table();
	missing_column();
	missing_key_column();
	not_told_of();
	other_connection();
	declared_differently();
	another_policy();
	declared_differently_before();
	return tap_done();
}
