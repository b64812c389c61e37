/* SPDX-License-Identifier: MIT */
/* Copyright the wbcshm authors */

/*
 * Updates of rows through the SQLite sink: pieces are made by hand and given
 * to its ops, and what the database has then is asked of the database.
 */
#include "sink/bed.h"
#include "unit/dice.h"

static bool fates(const struct wbci_work *w, const char *wanted)
{
	static const char letters[] = "?ar-"; /* in the order of the enum */

	for (uint64_t i = 0; i < w->rows.n_rows; i++)
		if (letters[w->fates[i]] != wanted[i])
			return false;
	return strlen(wanted) == w->rows.n_rows;
}

#define PAGES                                                                  \
	"pages(id int key, title text, views counter, score double, "          \
	"body blob, hits counter, seen int)"
#define PAGES_SQL                                                              \
	"CREATE TABLE pages(id INTEGER PRIMARY KEY, title TEXT DEFAULT "       \
	"'untitled', views INTEGER DEFAULT 10, score REAL DEFAULT 0.5, body "  \
	"BLOB, hits INTEGER NOT NULL DEFAULT 0, seen INTEGER);"                \
	"INSERT INTO pages(id,title,views,seen) VALUES(1,'one',100,11),"       \
	"(2,'two',NULL,22),(3,'three',300,33),(4,'four',400,44)"
#define ALL                                                                    \
	"SELECT group_concat(quote(id)||':'||quote(title)||','||quote(views)"  \
	"||','||quote(score)||','||quote(body)||','||hits||','||quote(seen),"  \
	"' ') FROM pages"

static void test_mixed(void)
{
	struct bed b;
	struct wbci_work *w;

	make_bed(&b, PAGES_SQL);
	w = begin(&b, PAGES, ON_MISSING_DEADLETTER);
	CHANGE(w, 1, wbc_int64("views", 5), wbc_text("title", "uno", 3));
	CHANGE(w, 2, wbc_int64("views", 7));
	CHANGE(w, 3, wbc_null("title"), wbc_double("score", 2.25),
	       wbc_blob("body", "\0\1", 2), wbc_int64("seen", -1));
	CHANGE(w, 4, wbc_int64("views", 5), wbc_int64("seen", 9));
	CHANGE(w, 4, wbc_int64("views", -5), wbc_null("seen"));
	bed_sql(&b, "UPDATE pages SET hits=8 WHERE id=3");
	tap_ok(apply(&b, w) == OUTCOME_DONE && w->applied == 4 && !w->refused &&
	               w->statements == 4 && fates(w, "aaaa"),
	       "rows that change other columns each are one statement each");
	has(&b, ALL,
	    "1:'uno',105,0.5,NULL,0,11 2:'two',7,0.5,NULL,0,22 "
	    "3:NULL,300,2.25,X'0001',8,-1 4:'four',400,0.5,NULL,0,NULL",
	    "exactly what changed is changed: a NULL counts as 0, a NULL is "
	    "set, a delta that came to nothing is left out");
	tap_ok(w->answers[0].bits == 105 && w->answers[2].bits == 7 &&
	               w->answers[5].bits == 8 &&
	               w->answers[5].state == VALUE_NUMBER,
	       "each row is answered with all its counted columns, what others "
	       "did to them included");
	wbci_work_free(&w);
	drop_bed(&b);
}

static void test_again(void)
{
	struct bed b;
	struct wbci_work *w;

	make_bed(&b, PAGES_SQL);
	w = begin(&b, PAGES, ON_MISSING_DEADLETTER);
	CHANGE(w, 1, wbc_int64("views", 5), wbc_text("title", "uno", 3));
	CHANGE(w, 9, wbc_int64("seen", 1));
	tap_ok(apply(&b, w) == OUTCOME_DONE && fates(w, "ar"),
	       "a piece is applied");
	wbci_work_free(&w);
	bed_sql(&b, "UPDATE pages SET title='newer',views=views+1 WHERE id=1");
	b.done = 0;
	w = begin(&b, PAGES, ON_MISSING_DEADLETTER);
	CHANGE(w, 1, wbc_int64("views", 5), wbc_text("title", "uno", 3));
	CHANGE(w, 9, wbc_int64("seen", 1));
	tap_ok(apply(&b, w) == OUTCOME_ALREADY && fates(w, "??") &&
	               w->refused == 1 && w->answers[0].bits == 106 &&
	               w->answers[2].state == VALUE_NOROW,
	       "P5: sent again it changes nothing, and is answered with what "
	       "the rows have now");
	has(&b,
	    "SELECT title||views||(SELECT count(*) FROM wbc_dead_letters)"
	    " FROM pages WHERE id=1",
	    "newer1061", "P5: no older value goes over the newer one");
	wbci_work_free(&w);
	drop_bed(&b);
}

static void test_large(void)
{
	char *bytes = malloc(WBCI_VALUE_MAX);
	struct bed b;
	struct wbci_work *w;

	if (!bytes)
		tap_bail("no memory");
	for (unsigned i = 0; i < WBCI_VALUE_MAX; i++)
		bytes[i] = (char)('!' + i % 89);
	make_bed(&b, PAGES_SQL);
	w = begin(&b, PAGES, ON_MISSING_INSERT);
	CHANGE(w, 1, wbc_blob("body", bytes, WBCI_VALUE_MAX));
	CHANGE(w, 50, wbc_text("title", bytes, WBCI_VALUE_MAX),
	       wbc_blob("body", bytes, WBCI_VALUE_MAX));
	CHANGE(w, 51, wbc_text("title", "", 0), wbc_blob("body", "", 0));
	memset(bytes, 0, WBCI_VALUE_MAX);
	tap_ok(apply(&b, w) == OUTCOME_DONE && w->applied == 3, "1 MiB values");
	has(&b,
	    "SELECT group_concat(id||':'||length(title)||','||length(body)||','"
	    "||hex(substr(body,-2))||substr(title,-2)||typeof(body),' ') "
	    "FROM pages WHERE id IN(1,50,51)",
	    "1:3,1048576,6263neblob 50:1048576,1048576,6263bcblob "
	    "51:0,0,blob",
	    "arrive whole, and empty ones are not NULL");
	wbci_work_free(&w);
	drop_bed(&b);
	free(bytes);
}

static void test_missing(void)
{
	static const struct {
		unsigned policy;
		const char *fates, *rows, *sentence;
	} cases[] = {
		{ON_MISSING_DEADLETTER, "arr",
	         "1:'x',101,0.5,NULL,0,11 2:'two',NULL,0.5,NULL,0,22 "
	         "3:'three',300,0.5,NULL,0,33 4:'four',400,0.5,NULL,0,44",
	         "on_missing=deadletter: no row is made"},
		{ON_MISSING_IGNORE, "a--",
	         "1:'x',101,0.5,NULL,0,11 2:'two',NULL,0.5,NULL,0,22 "
	         "3:'three',300,0.5,NULL,0,33 4:'four',400,0.5,NULL,0,44",
	         "on_missing=ignore: no row is made"},
		{ON_MISSING_INSERT, "aaa",
	         "1:'x',101,0.5,NULL,0,11 2:'two',NULL,0.5,NULL,0,22 "
	         "3:'three',300,0.5,NULL,0,33 4:'four',400,0.5,NULL,0,44 "
	         "8:NULL,10,0.5,NULL,0,NULL 9:'untitled',7,0.5,NULL,0,5",
	         "on_missing=insert: absent columns have the database's "
	         "DEFAULT, a NULL that is set is NULL"},
	};

	for (unsigned i = 0; i < 3; i++) {
		struct bed b;
		struct wbci_work *w;

		make_bed(&b, PAGES_SQL);
		w = begin(&b, PAGES, cases[i].policy);
		CHANGE(w, 1, wbc_int64("views", 1), wbc_text("title", "x", 1));
		CHANGE(w, 8, wbc_null("title"));
		CHANGE(w, 9, wbc_int64("views", 7), wbc_int64("seen", 5));
		tap_ok(apply(&b, w) == OUTCOME_DONE && fates(w, cases[i].fates),
		       "rows that are not there, policy %s",
		       wbci_schema_policy(cases[i].policy));
		has(&b, ALL, cases[i].rows, cases[i].sentence);
		has(&b, "SELECT count(*) FROM wbc_dead_letters",
		    cases[i].policy == ON_MISSING_DEADLETTER ? "2" : "0",
		    "and only then are there dead letters");
		wbci_work_free(&w);
		drop_bed(&b);
	}
}

#define STOCK "stock(id int key, name text, n counter, price double, code text)"
#define STOCK_SQL                                                              \
	"CREATE TABLE stock(id INTEGER PRIMARY KEY, name TEXT NOT NULL, n "    \
	"INTEGER CHECK(n>=0), price REAL CHECK(price<1000), code TEXT "        \
	"UNIQUE);"                                                             \
	"INSERT INTO stock VALUES(1,'a',5,1,'c1'),(2,'b',5,2,'c2'),"           \
	"(3,'c',5,3,'c3'),(4,'d',5,4,'c4'),(5,'e',5,5,'c5')"

static void bad_rows(unsigned policy, const char *word)
{
	struct bed b;
	struct wbci_work *w;

	make_bed(&b, STOCK_SQL);
	w = begin(&b, STOCK, policy);
	CHANGE(w, 1, wbc_int64("n", 1), wbc_text("name", "A", 1));
	CHANGE(w, 2, wbc_int64("n", 1), wbc_null("name"));
	CHANGE(w, 3, wbc_int64("n", -9), wbc_double("price", 7));
	CHANGE(w, 4, wbc_text("code", "c5", 2), wbc_text("name", "D\"", 2));
	CHANGE(w, 5, wbc_int64("n", 1), wbc_text("code", "c55", 3));
	tap_ok(apply(&b, w) == OUTCOME_DONE && w->refused == 3 &&
	               w->applied == 2 && fates(w, "arrra"),
	       "P13: bad rows are refused, those beside them written (%s)",
	       word);
	has(&b, "SELECT group_concat(id||name||n||code,' ') FROM stock",
	    "1A6c1 2b5c2 3c5c3 4d5c4 5e6c55",
	    "P13: of a row that is refused no column is written");
	has(&b,
	    "SELECT group_concat(kind||key||content||code||' '||reason,'; ') "
	    "FROM (SELECT * FROM wbc_dead_letters ORDER BY id)",
	    "update{\"id\":2}{\"n\":1,\"name\":null}1299 NOT NULL constraint "
	    "failed: stock.name; "
	    "update{\"id\":3}{\"n\":-9,\"price\":7}275 CHECK constraint "
	    "failed: n>=0; "
	    "update{\"id\":4}{\"name\":\"D\\\"\",\"code\":\"c5\"}2067 UNIQUE "
	    "constraint failed: stock.code",
	    "P13: dead letters hold deltas and values, SQLite's code and its "
	    "message");
	tap_ok(w->answers[1].bits == 5 && w->answers[2].bits == 5 &&
	               w->answers[3].state == VALUE_NUMBER,
	       "refused rows are answered with what they have");
	wbci_work_free(&w);
	drop_bed(&b);
}

static void test_bad(void)
{
	bad_rows(ON_MISSING_DEADLETTER, "UPDATE");
	bad_rows(ON_MISSING_INSERT, "upsert");
}

/* A constraint that ends the whole transaction. */
static void test_poison(void)
{
	struct bed b;
	struct wbci_work *w;

	make_bed(&b, "CREATE TABLE stock(id INTEGER PRIMARY KEY, name TEXT, n "
	             "INTEGER DEFAULT 0, price REAL, code TEXT UNIQUE ON "
	             "CONFLICT ROLLBACK);"
	             "INSERT INTO stock(id,code) VALUES(1,'c1'),(2,'c2'),"
	             "(3,'c3'),(4,'c4')");
	w = begin(&b, STOCK, ON_MISSING_DEADLETTER);
	for (int i = 1; i <= 4; i++)
		CHANGE(w, i, wbc_int64("n", 1),
		       wbc_text("code", i % 2 ? "x" : "y", 1));
	tap_ok(apply(&b, w) == OUTCOME_DONE && fates(w, "aarr") &&
	               w->refused == 2,
	       "P13: rows whose refusal undoes the transaction are put aside, "
	       "and the others written");
	has(&b,
	    "SELECT group_concat(id||n||code,' ')||(SELECT count(*) FROM "
	    "wbc_dead_letters) FROM stock",
	    "11x 21y 30c3 40c42", "each of them once");
	wbci_work_free(&w);
	drop_bed(&b);
}

static void test_plain_tables(void)
{
	static const char spec[] =
		"users(org text key, id int key, name text, mail text)";
	const struct wbc_value one[] = {wbc_text(NULL, "a", 1),
	                                wbc_int64(NULL, 1)};
	const struct wbc_value two[] = {wbc_text(NULL, "b", 1),
	                                wbc_int64(NULL, -2)};
	const struct wbc_value name = wbc_text("name", "N", 1);
	const struct wbc_value both[] = {wbc_null("name"),
	                                 wbc_text("mail", "m", 1)};

	for (unsigned i = 0; i < 4; i++) {
		struct bed b;
		struct wbci_work *w;
		char text[256];

		snprintf(text, sizeof(text),
		         "CREATE TABLE users(org TEXT, id INTEGER, name TEXT, "
		         "mail TEXT DEFAULT 'none', PRIMARY KEY(org, id))%s; "
		         "INSERT INTO users VALUES('a',1,'old','keep')",
		         i % 2 ? " WITHOUT ROWID" : "");
		make_bed(&b, text);
		w = begin(&b, spec,
		          i < 2 ? ON_MISSING_INSERT : ON_MISSING_IGNORE);
		change(w, one, 2, &name, 1);
		change(w, two, 2, i < 2 ? both : both + 1, i < 2 ? 2 : 1);
		tap_ok(apply(&b, w) == OUTCOME_DONE &&
		               fates(w, i < 2 ? "aa" : "a-"),
		       "a table without counters%s, on_missing=%s",
		       i % 2 ? " and WITHOUT ROWID" : "",
		       wbci_schema_policy(w->on_missing));
		has(&b,
		    "SELECT group_concat(org||id||quote(name)||mail,' ') FROM "
		    "users",
		    i < 2 ? "a1'N'keep b-2NULLm" : "a1'N'keep",
		    "has its values");
		wbci_work_free(&w);
		drop_bed(&b);
	}
}

static void test_triggers(void)
{
	for (unsigned i = 0; i < 2; i++) {
		struct bed b;
		struct wbci_work *w;

		make_bed(
			&b, PAGES_SQL
			";CREATE TABLE audit(id, what);"
			"CREATE TRIGGER up AFTER UPDATE OF title ON pages BEGIN "
			"INSERT INTO audit VALUES(NEW.id, 'u');"
			"UPDATE pages SET hits=hits+1000 WHERE id=NEW.id; END;"
			"CREATE TRIGGER ins AFTER INSERT ON pages BEGIN "
			"INSERT INTO audit VALUES(NEW.id, 'i'); END;"
			"CREATE TRIGGER no BEFORE UPDATE ON pages WHEN "
			"NEW.seen=666 BEGIN SELECT RAISE(IGNORE); END");
		w = begin(&b, PAGES,
		          i ? ON_MISSING_INSERT : ON_MISSING_DEADLETTER);
		CHANGE(w, 1, wbc_int64("hits", 1), wbc_text("title", "t", 1));
		CHANGE(w, 2, wbc_text("title", "t", 1));
		CHANGE(w, 3, wbc_int64("seen", 666));
		CHANGE(w, 7, wbc_int64("seen", 7));
		tap_ok(apply(&b, w) == OUTCOME_DONE &&
		               fates(w, i ? "aara" : "aarr") &&
		               w->answers[1].bits == 1001 &&
		               w->answers[3].bits == 1000,
		       "with triggers the answer is what they made of the row");
		has(&b, "SELECT group_concat(id||what,' ') FROM audit",
		    i ? "1u 2u 7i" : "1u 2u",
		    "each fires once for a row, and that of an INSERT not for "
		    "one that is there");
		wbci_work_free(&w);
		drop_bed(&b);
	}
}

static void test_several(void)
{
	struct bed b;
	struct wbci_work *w;

	make_bed(&b, "CREATE TABLE pages(id INTEGER, title TEXT, views "
	             "INTEGER, score REAL, body BLOB, hits INTEGER, seen "
	             "INTEGER);"
	             "INSERT INTO pages(id,views) VALUES(1,1),(1,1),(2,5)");
	w = begin(&b, PAGES, ON_MISSING_DEADLETTER);
	CHANGE(w, 1, wbc_text("title", "t", 1));
	tap_ok(apply(&b, w) == OUTCOME_PARKED &&
	               strstr(w->reason, "several rows"),
	       "a key that names several rows parks the table");
	has(&b,
	    "SELECT count(title)||(SELECT position FROM wbc_ledger) "
	    "FROM pages",
	    "00", "and nothing of the piece is written");
	wbci_work_free(&w);
	drop_bed(&b);
}

static void test_range(void)
{
	struct bed b;
	struct wbci_work *w;

	make_bed(&b, PAGES_SQL);
	bed_sql(&b, "UPDATE pages SET views=9223372036854775807 WHERE id=1");
	w = begin(&b, PAGES, ON_MISSING_INSERT);
	CHANGE(w, 1, wbc_int64("views", 1), wbc_text("title", "t", 1));
	tap_ok(apply(&b, w) == OUTCOME_DONE && fates(w, "r"),
	       "a sum that is out of range refuses the row");
	has(&b,
	    "SELECT typeof(views)||title||(SELECT content FROM "
	    "wbc_dead_letters) FROM pages WHERE id=1",
	    "integerone{\"views\":1,\"title\":\"t\"}",
	    "and what it would have set, with it");
	wbci_work_free(&w);
	drop_bed(&b);
}

/* SQLite adds to whatever is there: of '5x' and 1 it makes 6. */
static void test_not_counted(void)
{
	static const char spec[] =
		"v(id int key, n counter, d double counter, title text)";
	struct bed b;
	struct wbci_work *w;

	make_bed(&b, "CREATE TABLE v(id INTEGER PRIMARY KEY, n, d, title);"
	             "INSERT INTO v(id,n,d) VALUES(1,'5',1.5),(2,'many',1.5),"
	             "(3,x'35',1.5),(4,2.5,1.5),(5,5,'1.5'),(6,5,x'31'),"
	             "(7,NULL,NULL),(8,5,3)");
	for (unsigned policy = ON_MISSING_DEADLETTER;
	     policy <= ON_MISSING_INSERT; policy++) {
		w = begin(&b, spec, policy);
		for (int64_t id = 1; id <= 8; id++)
			CHANGE(w, id, wbc_int64("n", id <= 4 || id > 6),
			       wbc_double("d", id > 4), wbc_text("title", "t", 1));
		tap_ok(apply(&b, w) == OUTCOME_DONE && fates(w, "rrrrrraa"),
		       "P13: a counter is not added to a text, a blob or what "
		       "is no integer; to NULL it is, and a double one to an "
		       "integer (policy %u)",
		       policy);
		wbci_work_free(&w);
	}
	has(&b,
	    "SELECT group_concat(quote(n)||' '||quote(d)||' '||quote(title),"
	    "',') FROM v",
	    "'5' 1.5 NULL,'many' 1.5 NULL,X'35' 1.5 NULL,2.5 1.5 NULL,"
	    "5 '1.5' NULL,5 X'31' NULL,2 2.0 't',7 5.0 't'",
	    "what was no number is what it was, and nothing else of its row "
	    "is changed");
	has(&b,
	    "SELECT group_concat(DISTINCT code||reason) FROM "
	    "wbc_dead_letters",
	    "-10001counted column n holds no integer; make it one, or count "
	    "doubles,-10001counted column d holds no number; make it one",
	    "the dead letters say which column it was, and what to do");
	drop_bed(&b);
}

enum { MANY = 300, WIDE = 8 };

/* More sets of columns than statements are kept for. */
static void test_many_sets(void)
{
	struct dice d = dice_seeded();
	static int64_t oracle[MANY][WIDE];
	static const char spec[] = "m(id int key, c0 int, c1 int, c2 int, c3 "
				   "int, c4 int, c5 int, c6 int, c7 int)";
	struct bed b;
	unsigned wrong = 0;

	make_bed(&b, "CREATE TABLE m(id INTEGER PRIMARY KEY,c0 INT,c1 INT,c2 "
	             "INT,c3 INT,c4 INT,c5 INT,c6 INT,c7 INT)");
	for (unsigned piece = 0; piece < 4; piece++) {
		struct wbci_work *w = begin(&b, spec, ON_MISSING_INSERT);

		for (unsigned id = 0; id < MANY; id++) {
			struct wbc_value key = wbc_int64(NULL, id), v[WIDE];
			unsigned set = 1 + dice_below(&d, 255), n = 0;

			for (unsigned c = 0; c < WIDE; c++) {
				if (!(set >> c & 1))
					continue;
				oracle[id][c] = 1 + dice_below(&d, 1000);
				v[n++] = wbc_int64(
					w->rows.schema.columns[c + 1].name,
					oracle[id][c]);
			}
			change(w, &key, 1, v, n);
		}
		wrong += apply(&b, w) != OUTCOME_DONE || w->applied != MANY;
		wbci_work_free(&w);
	}
	for (unsigned id = 0; id < MANY; id++) {
		char question[200], *got;
		int64_t sum = 0;

		snprintf(question, sizeof(question),
		         "SELECT ifnull(c0,0)+2*ifnull(c1,0)+3*ifnull(c2,0)+4*"
		         "ifnull(c3,0)+5*ifnull(c4,0)+6*ifnull(c5,0)+7*"
		         "ifnull(c6,0)+8*ifnull(c7,0) FROM m WHERE id=%u",
		         id);
		for (int c = 0; c < WIDE; c++)
			sum += (c + 1) * oracle[id][c];
		got = bed_ask(&b, question);
		wrong += atoll(got) != sum;
		free(got);
	}
	tap_is_uint(wrong, 0,
	            "rows with any of 255 sets of columns have the last value "
	            "of each");
	drop_bed(&b);
}

/* ODAC: where({id: undefined}) became an UPDATE without WHERE. */
static void test_l9(void)
{
	const struct wbc_value seen = wbc_int64(NULL, 1);
	const struct wbc_value none = wbc_null("id");
	const uint64_t delta[2] = {1000, 1000};
	static const struct {
		const char *what, *key;
		uint32_t len;
	} keys[] = {{"no key at all", "", 0},
	            {"half a key", "\x80\0\0", 3},
	            {"a key and more", "\x80\0\0\0\0\0\0\1\1", 9},
	            {"a text", "id=id", 5}};
	unsigned char encoded[WBC_KEY_MAX];
	const uint8_t column = 6;
	struct bed b;
	struct wbci_work *w;

	make_bed(&b, PAGES_SQL);
	w = begin(&b, PAGES, ON_MISSING_INSERT);
	tap_ok(wbci_key_encode(&w->rows.schema, &none, 1, encoded) ==
	                       WBC_E_KEY &&
	               wbci_key_encode(&w->rows.schema, &none, 0, encoded) ==
	                       WBC_E_KEY,
	       "L9: a key value that is NULL or missing is no key");
	for (unsigned i = 0; i < 4; i++)
		if (wbci_rowset_change(&w->rows, (const void *)keys[i].key,
		                       keys[i].len, delta, &seen, &column, 1))
			tap_bail("%s", keys[i].what);
	tap_ok(apply(&b, w) == OUTCOME_DONE && fates(w, "rrrr"),
	       "L9: a change whose key is none is refused");
	has(&b, ALL,
	    "1:'one',100,0.5,NULL,0,11 2:'two',NULL,0.5,NULL,0,22 "
	    "3:'three',300,0.5,NULL,0,33 4:'four',400,0.5,NULL,0,44",
	    "L9: and touches no row, least of all every row");
	wbci_work_free(&w);
	drop_bed(&b);
}

/* ODAC: one bad value kept its table's group from ever being written; more
 * than 500 queued rows of a table never were. */
static void test_l10(void)
{
	enum { ROWS = 2000 };
	struct bed b;
	struct wbci_work *w;

	make_bed(&b, STOCK_SQL);
	w = begin(&b, STOCK, ON_MISSING_DEADLETTER);
	for (int i = 10; i < 10 + ROWS; i++) {
		const struct wbc_value row[] = {
			wbc_int64("id", i),
			i % 400 ? wbc_text("name", "n", 1) : wbc_null("name")};

		add_insert(w, row, 2);
	}
	CHANGE(w, 1, wbc_null("name"));
	CHANGE(w, 2, wbc_int64("n", 1));
	CHANGE(w, 11, wbc_text("name", "later", 5));
	tap_ok(apply(&b, w) == OUTCOME_DONE && w->refused == 6 &&
	               w->inserted == ROWS - 5 && w->applied == 2,
	       "L10: a bad value and five bad rows among %d hold up no other",
	       ROWS);
	has(&b,
	    "SELECT count(*)||','||sum(n)||','||(SELECT name FROM stock WHERE "
	    "id=11)||','||(SELECT count(*) FROM wbc_dead_letters) FROM stock",
	    "2000,26,later,6",
	    "L10: they are in the database, the bad ones "
	    "are dead letters");
	wbci_work_free(&w);
	w = begin(&b, STOCK, ON_MISSING_DEADLETTER);
	CHANGE(w, 2, wbc_int64("n", 1));
	tap_ok(apply(&b, w) == OUTCOME_DONE && w->refused == 0,
	       "L10: the next piece has none of them any more");
	wbci_work_free(&w);
	drop_bed(&b);
}

int main(void)
{
	test_mixed();
	test_again();
	test_large();
	test_missing();
	test_bad();
	test_poison();
	test_plain_tables();
	test_triggers();
	test_several();
	test_range();
	test_not_counted();
	test_many_sets();
	test_l9();
	test_l10();
	return tap_done();
}
