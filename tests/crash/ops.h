/* SPDX-License-Identifier: MIT */
/* Copyright the wbcshm authors */

/*
 * The operations that are swept, a line each in ops.c.
 *
 * They use what is installed and nothing else: the victim is a program that
 * links the installed library, and is killed in the middle; the engine calls
 * the same functions as the survivor who does the operation to its end.
 */
#ifndef CRASH_OPS_H
#define CRASH_OPS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "wbcshm.h"

#define OPS_SPEC                                                               \
	"t(k text key, n counter, x double counter, m counter, note text)"
#define OPS_N 1 /* numbers of its columns */
#define OPS_X 2
#define OPS_M 3
#define OPS_NOTE 4

/* What a row has before an operation, if it is there; see states.h. */
#define OPS_ORIGIN 1000
#define OPS_TOTAL 5

/* What a survivor finds in a segment, as numbers; see facts.h. */
enum fact {
	FACT_INT,    /* total of column n of the victim's row */
	FACT_DOUBLE, /* of column x, in halves */
	FACT_UPDATES, /* how often the victim's row was set */
	FACT_ROWS,   /* records of the victim's in lanes */
	FACT_TABLES, /* declared */
	FACT_SYNC,   /* what was asked of the flusher */
	FACT_FLUSH,
	FACT_WANT,
	FACT_OTHER, /* a sum of all else, which nothing may change */
	FACTS,
	FACT_NONE = FACTS /* the operation changes nothing */
};

/* Who does it. */
enum where {
	HERE,
	THREAD,      /* a new thread, whose first call it is */
	THREAD_ENDS, /* a thread that has called before: its end */
	CHILD        /* a forked child, whose first call it is */
};

/* What there is before it begins. */
enum ready { NOTHING, OPENED, DECLARED, COUNTER };

/* In which states it makes sense: a set of enum state. */
enum state {
	EMPTY,   /* a new segment */
	TABLE,   /* the table is declared, the row is not there */
	ROW,     /* the row is there, marked in this cycle */
	CLEAN,   /* the row is there, not marked */
	FROZEN,  /* the flusher thought of removing it */
	DEAD,    /* the flusher died while it removed it */
	MARKED,  /* not there, and a sweep is under way */
	LONG,    /* not there, and its key is a long one */
	CLAIM,   /* not there, and no page has room */
	RECLAIM, /* not there, and the page has retired blocks only */
	GROW,    /* not there, and the extent has no page left */
	BARE,    /* the same, and the table is not declared */
	NO_ROOM, /* not there, and there is no extent left */
	CLASH,   /* not there, another key has its place */
	DEEP,    /* the same, and three nodes are needed */
	CLOSING, /* not there, and belongs below a node being pruned */
	TIGHT,   /* one process slot and one thread slot are left */
	LANE,    /* the lane was used before */
	WRAP,    /* and the next record goes round its end */
	HALF,    /* and it will be half full */
	FULL,    /* and it is full */
	FENCED,  /* as CLEAN, and membarrier is refused */
	STATES
};
#define IN(state) (1u << (state))

struct scene {
	const char *address;
	const char *key;
	void (*mark)(bool begin); /* here it begins, here it has returned */
	struct wbc *c;
	struct wbc_table *t;
	struct wbc_counter *n, *x;
};

struct op {
	const char *name;
	int (*run)(struct scene *s);
	enum ready ready;
	enum where where;
	enum fact effect;
	int64_t amount; /* what FACT_INT and the like grow by; 0: whatever */
	int result;     /* what it is to return */
	uint32_t states;
	bool sets; /* done twice is done once */
};

extern const struct op ops[];
extern const size_t n_ops;

/* One by its name, or NULL. */
const struct op *op_find(const char *name);

/* Open, declare, find the counters, as far as it asks.  0, or an error. */
int op_prepare(const struct op *op, struct scene *s);

/* Between its marks, do it, where it asks.  True: it returned what it is to. */
bool op_perform(const struct op *op, struct scene *s);

/* What op `update` sets the note to, and `update much`. */
struct wbc_value op_note(void);
struct wbc_value op_large_note(void);

/* The row that wbc_insert() gets, of OPS_VALUES values. */
#define OPS_VALUES 3
void op_row(const struct scene *s, struct wbc_value *values);

#endif
