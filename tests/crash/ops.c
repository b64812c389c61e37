/* SPDX-License-Identifier: MIT */
/* Copyright the wbcshm authors */

#include "ops.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define LARGE (INT64_C(3) << 58) /* too large for a fetch_add */
#define HALF_A_UNIT 0.5

static const char note[] =
	"a text that is long enough to be copied in several pieces, and so to "
	"be torn";

static struct wbc_value row_key(const struct scene *s)
{
	return wbc_text(NULL, s->key, (uint32_t)strlen(s->key));
}

static int open_segment(struct scene *s)
{
	struct wbc_options o = WBC_OPTIONS_INIT;

	/* There is no flusher that could read anything. */
	o.load_wait_ms = -1;
	return wbc_open(&s->c, s->address, &o);
}

static int close_segment(struct scene *s)
{
	wbc_close(&s->c);
	return 0;
}

static int declare(struct scene *s)
{
	return wbc_table_declare(s->c, OPS_SPEC, &s->t, NULL, 0);
}

static int open_counter(struct scene *s)
{
	struct wbc_value key = row_key(s);

	return wbc_counter_open(s->t, &key, 1, OPS_N, &s->n);
}

static int close_counter(struct scene *s)
{
	wbc_counter_close(&s->n);
	return 0;
}

static int counter_add(struct scene *s)
{
	return wbc_counter_add(s->n, 1);
}

static int counter_add_double(struct scene *s)
{
	return wbc_counter_add_double(s->x, HALF_A_UNIT);
}

static int add(struct scene *s)
{
	struct wbc_value key = row_key(s);

	return wbc_add_int64(s->t, &key, 1, OPS_N, 1);
}

static int add_large(struct scene *s)
{
	struct wbc_value key = row_key(s);

	return wbc_add_int64(s->t, &key, 1, OPS_N, LARGE);
}

static int add_too_large(struct scene *s)
{
	struct wbc_value key = row_key(s);

	return wbc_add_int64(s->t, &key, 1, OPS_N, INT64_MAX);
}

static int add_double(struct scene *s)
{
	struct wbc_value key = row_key(s);

	return wbc_add_double(s->t, &key, 1, OPS_X, HALF_A_UNIT);
}

static int add_get(struct scene *s)
{
	struct wbc_value key = row_key(s);
	int64_t total;

	return wbc_add_get_int64(s->t, &key, 1, OPS_N, 1, &total);
}

static int add_get_double(struct scene *s)
{
	struct wbc_value key = row_key(s);
	double total;

	return wbc_add_get_double(s->t, &key, 1, OPS_X, HALF_A_UNIT, &total);
}

/* What is read is what the state put there. */
static int is_there(int error, int64_t value)
{
	if (error)
		return error;
	return value == OPS_ORIGIN + OPS_TOTAL ? 0 : -EBADMSG;
}

static int read_int64(struct scene *s)
{
	struct wbc_value key = row_key(s);
	int64_t value = 0;
	int error = wbc_read_int64(s->t, &key, 1, OPS_N, &value);

	return is_there(error, value);
}

static int read_double(struct scene *s)
{
	struct wbc_value key = row_key(s);
	double value = 0;
	int error = wbc_read_double(s->t, &key, 1, OPS_X, &value);

	return is_there(error, (int64_t)value);
}

static int counter_read(struct scene *s)
{
	int64_t value = 0;
	int error = wbc_counter_read(s->n, &value);

	return is_there(error, value);
}

static int counter_read_double(struct scene *s)
{
	double value = 0;
	int error = wbc_counter_read_double(s->x, &value);

	return is_there(error, (int64_t)value);
}

void op_row(const struct scene *s, struct wbc_value *values)
{
	values[0] = wbc_text("k", s->key, (uint32_t)strlen(s->key));
	values[1] = wbc_int64("n", 7);
	values[2] = wbc_text("note", note, sizeof(note) - 1);
}

struct wbc_value op_note(void)
{
	return wbc_text("note", note, sizeof(note) - 1);
}

/* Too large for a node. */
struct wbc_value op_large_note(void)
{
	static char text[600];

	for (unsigned i = 0; i < sizeof(text); i++)
		text[i] = (char)('a' + i % 23);
	return wbc_text("note", text, sizeof(text));
}

static int update(struct scene *s)
{
	struct wbc_value key = row_key(s), to = op_note();

	return wbc_update(s->t, &key, 1, &to, 1);
}

static int update_much(struct scene *s)
{
	struct wbc_value key = row_key(s), to = op_large_note();

	return wbc_update(s->t, &key, 1, &to, 1);
}

static int set_counter(struct scene *s)
{
	struct wbc_value key = row_key(s);

	return wbc_set_int64(s->t, &key, 1, OPS_N, OPS_ORIGIN + OPS_TOTAL + 1);
}

static int read_note(struct scene *s)
{
	struct wbc_value key = row_key(s), value;
	char text[16];
	size_t room = sizeof(text);

	return wbc_read(s->t, &key, 1, OPS_NOTE, &value, text, &room);
}

static int insert(struct scene *s)
{
	struct wbc_value values[OPS_VALUES];

	op_row(s, values);
	return wbc_insert(s->t, values, OPS_VALUES, 0);
}

/* A deadline of 0: the request is made, and nobody waits for an answer. */
static int sync_now(struct scene *s)
{
	return wbc_sync(s->c, 0);
}

static int flush_all(struct scene *s)
{
	return wbc_flush(s->c, NULL, 0, NULL);
}

static int flush_table(struct scene *s)
{
	return wbc_flush(s->c, s->t, 0, NULL);
}

/* Sets of states that go together. */
#define ANY_ROW (IN(ROW) | IN(CLEAN) | IN(FROZEN))
#define NEW_ROW                                                                \
	(IN(TABLE) | IN(LONG) | IN(CLAIM) | IN(RECLAIM) | IN(GROW) |           \
	 IN(CLASH) | IN(DEEP) | IN(CLOSING) | IN(DEAD) | IN(MARKED))
#define SLOTS (IN(EMPTY) | IN(TIGHT))
#define BIG_ROW (IN(CLEAN) | IN(ROW))
#define LANES (IN(TABLE) | IN(LANE) | IN(WRAP) | IN(HALF))

/*
 * An operation: name, function, what it needs, who does it, what it changes
 * by how much, what it returns, where it is swept.
 */
const struct op ops[] = {
	{"open", open_segment, NOTHING, HERE, FACT_NONE, 0, 0, SLOTS},
	{"close", close_segment, DECLARED, HERE, FACT_NONE, 0, 0,
         IN(TABLE) | IN(TIGHT)},
	{"declare", declare, OPENED, HERE, FACT_TABLES, 1, 0,
         IN(EMPTY) | IN(BARE)},
	{"declare again", declare, DECLARED, HERE, FACT_NONE, 0, 0, IN(ROW)},
	{"open a counter", open_counter, DECLARED, HERE, FACT_NONE, 0, 0,
         IN(TABLE) | IN(ROW) | IN(FROZEN)},
	{"close a counter", close_counter, COUNTER, HERE, FACT_NONE, 0, 0,
         IN(ROW)},
	{"add by counter", counter_add, COUNTER, HERE, FACT_INT, 1, 0,
         ANY_ROW | IN(FENCED)},
	{"add a double by counter", counter_add_double, COUNTER, HERE,
         FACT_DOUBLE, 1, 0, ANY_ROW},
	{"add", add, DECLARED, HERE, FACT_INT, 1, 0,
         ANY_ROW | NEW_ROW | IN(TIGHT) | IN(FENCED)},
	{"add without room", add, DECLARED, HERE, FACT_NONE, 0, -ENOSPC,
         IN(NO_ROOM)},
	{"add much", add_large, DECLARED, HERE, FACT_INT, LARGE, 0, BIG_ROW},
	{"add too much", add_too_large, DECLARED, HERE, FACT_NONE, 0, -ERANGE,
         BIG_ROW},
	{"add a double", add_double, DECLARED, HERE, FACT_DOUBLE, 1, 0,
         ANY_ROW | IN(TABLE)},
	{"add and get", add_get, DECLARED, HERE, FACT_INT, 1, 0, ANY_ROW},
	{"add and get a double", add_get_double, DECLARED, HERE, FACT_DOUBLE, 1,
         0, ANY_ROW},
	{"read", read_int64, DECLARED, HERE, FACT_NONE, 0, 0, ANY_ROW},
	{"read a double", read_double, DECLARED, HERE, FACT_NONE, 0, 0,
         ANY_ROW},
	{"read by counter", counter_read, COUNTER, HERE, FACT_NONE, 0, 0,
         ANY_ROW},
	{"read a double by counter", counter_read_double, COUNTER, HERE,
         FACT_NONE, 0, 0, ANY_ROW},
	{"update", update, DECLARED, HERE, FACT_UPDATES, 1, 0,
         ANY_ROW | NEW_ROW | IN(TIGHT) | IN(FENCED)},
	{"update much", update_much, DECLARED, HERE, FACT_UPDATES, 1, 0,
         IN(TABLE) | IN(CLEAN)},
	{"update without room", update, DECLARED, HERE, FACT_NONE, 0, -ENOSPC,
         IN(NO_ROOM)},
	{"set a counter", set_counter, DECLARED, HERE, FACT_INT, 1, 0,
         IN(ROW) | IN(CLEAN) | IN(FENCED), .sets = true},
	{"read a column", read_note, DECLARED, HERE, FACT_NONE, 0,
         WBC_E_UNKNOWN, ANY_ROW},
	{"insert", insert, DECLARED, HERE, FACT_ROWS, 1, 0, LANES},
	{"insert into a full lane", insert, DECLARED, HERE, FACT_NONE, 0,
         WBC_E_NOFLUSHER, IN(FULL)},
	{"ask for a sync", sync_now, DECLARED, HERE, FACT_SYNC, 0,
         WBC_E_NOFLUSHER, IN(ROW)},
	{"ask for a flush", flush_all, DECLARED, HERE, FACT_FLUSH, 0,
         WBC_E_NOFLUSHER, IN(ROW)},
	{"ask for a table's flush", flush_table, DECLARED, HERE, FACT_WANT, 0,
         WBC_E_NOFLUSHER, IN(ROW)},
	{"a thread's first add", add, DECLARED, THREAD, FACT_INT, 1, 0,
         IN(CLEAN)},
	{"a thread's end", open_counter, DECLARED, THREAD_ENDS, FACT_NONE, 0, 0,
         IN(TABLE) | IN(ROW)},
	{"a forked child's first add", add, DECLARED, CHILD, FACT_INT, 1, 0,
         IN(CLEAN) | IN(TABLE)},
};
const size_t n_ops = sizeof(ops) / sizeof(ops[0]);

const struct op *op_find(const char *name)
{
	for (size_t i = 0; i < n_ops; i++)
		if (!strcmp(ops[i].name, name))
			return &ops[i];
	return NULL;
}

int op_prepare(const struct op *op, struct scene *s)
{
	struct wbc_value key = row_key(s);
	int error = 0;

	if (op->ready >= OPENED)
		error = open_segment(s);
	if (!error && op->ready >= DECLARED)
		error = declare(s);
	if (!error && op->ready >= COUNTER)
		error = open_counter(s);
	if (!error && op->ready >= COUNTER)
		error = wbc_counter_open(s->t, &key, 1, OPS_X, &s->x);
	return error;
}

struct call {
	const struct op *op;
	struct scene *s;
	int result;
};

static void call(struct call *c)
{
	c->s->mark(true);
	c->result = c->op->run(c->s);
	c->s->mark(false);
}

static void *in_thread(void *arg)
{
	struct call *c = arg;

	call(c);
	return NULL;
}

/* The thread's destructors are what is looked at, so there is one mark. */
static void *thread_ends(void *arg)
{
	struct call *c = arg;

	c->result = c->op->run(c->s);
	c->s->mark(true);
	return NULL;
}

static void in_child(struct call *c)
{
	pid_t pid = fork();
	int status = 0;

	c->result = -ECHILD;
	if (pid == 0) {
		call(c);
		_exit(c->result == c->op->result ? 0 : 1);
	}
	if (pid < 0 || waitpid(pid, &status, 0) != pid)
		return;
	/* Killed: who waits for us hears of it. */
	if (WIFSIGNALED(status))
		kill(getpid(), WTERMSIG(status));
	if (status == 0)
		c->result = c->op->result;
}

bool op_perform(const struct op *op, struct scene *s)
{
	struct call c = {op, s, -ECHILD};
	pthread_t thread;

	switch (op->where) {
	case HERE:
		call(&c);
		break;
	case CHILD:
		in_child(&c);
		break;
	case THREAD:
	case THREAD_ENDS:
		if (pthread_create(
			    &thread, NULL,
			    op->where == THREAD ? in_thread : thread_ends, &c))
			return false;
		pthread_join(thread, NULL);
		break;
	}
	return c.result == op->result;
}
