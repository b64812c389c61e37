/* SPDX-License-Identifier: MIT */
/* Copyright the wbcshm authors */

/*
 * Named points between the steps of the flusher, at which a test can have it
 * die.  A testing aid: WBC_FLUSHER_KILL_AT=NAME[:NTH] in the environment makes
 * the process SIGKILL itself at the NTH passage of that point, the first if
 * NTH is left out; `wbc-flusher --list-points` prints the names.  A passage
 * costs one comparison, in the flusher only.
 */
#ifndef WBCI_POINTS_H
#define WBCI_POINTS_H

#include "../shm/message.h"

/* In the order in which one life of a flusher passes them. */
#define WBCI_POINTS(P)                                                         \
	P(START_LOCKED, "start-locked")                                        \
	P(JOURNAL_MADE, "journal-made")                                        \
	P(JOURNAL_NAMED, "journal-named")                                      \
	P(ADOPT_BEFORE_COMMIT, "adopt-before-commit")                          \
	P(ADOPT_AFTER_COMMIT, "adopt-after-commit")                            \
	P(ADOPT_CYCLE, "adopt-cycle")                                          \
	P(ADOPT_HALF, "adopt-half")                                            \
	P(ADOPT_DONE, "adopt-done")                                            \
	P(REDO_BEGUN, "redo-begun")                                            \
	P(REDO_CELLS, "redo-cells")                                            \
	P(REDO_LANES, "redo-lanes")                                            \
	P(REDO_DONE, "redo-done")                                              \
	P(START_LOADED, "start-loaded")                                        \
	P(ROUND_BEGUN, "round-begun")                                          \
	P(ROUND_COLLECTED, "round-collected")                                  \
	P(ROUND_LANES_READ, "round-lanes-read")                                \
	P(BATCH_BEFORE_COMMIT, "batch-before-commit")                          \
	P(BATCH_AFTER_COMMIT, "batch-after-commit")                            \
	P(CELLS_HALF, "cells-half")                                            \
	P(CELLS_MOVED, "cells-moved")                                          \
	P(LANES_HALF, "lanes-half")                                            \
	P(LANES_MOVED, "lanes-moved")                                          \
	P(REDONE_SET, "redone-set")                                            \
	P(SYNCED_BEFORE, "synced-before")                                      \
	P(SYNCED_AFTER, "synced-after")                                        \
	P(MERGE_BEFORE_COMMIT, "merge-before-commit")                          \
	P(MERGE_AFTER_COMMIT, "merge-after-commit")                            \
	P(LEDGER_MADE, "ledger-made")                                          \
	P(LEDGER_ROW, "ledger-row")                                            \
	P(PLAN_BEFORE_COMMIT, "plan-before-commit")                            \
	P(PLAN_AFTER_COMMIT, "plan-after-commit")                              \
	P(PIECE_SENT, "piece-sent")                                            \
	P(APPLY_BEGUN, "apply-begun")                                          \
	P(APPLY_GATE, "apply-gate")                                            \
	P(APPLY_INSERTS, "apply-inserts")                                      \
	P(APPLY_ROWS_HALF, "apply-rows-half")                                  \
	P(APPLY_BEFORE_COMMIT, "apply-before-commit")                          \
	P(APPLY_AFTER_COMMIT, "apply-after-commit")                            \
	P(ANSWER_TAKEN, "answer-taken")                                        \
	P(ORIGINS_HALF, "origins-half")                                        \
	P(ORIGINS_STORED, "origins-stored")                                    \
	P(TRIM_BEFORE_COMMIT, "trim-before-commit")                            \
	P(TRIM_AFTER_COMMIT, "trim-after-commit")                              \
	P(READ_POSITION, "read-position")                                      \
	P(READ_TAKEN, "read-taken")                                            \
	P(READ_ANSWERED, "read-answered")                                      \
	P(SETTLED_PUBLISHED, "settled-published")                              \
	P(FINAL_BEGUN, "final-begun")                                          \
	P(FINAL_JOURNALED, "final-journaled")                                  \
	P(FINAL_APPLIED, "final-applied")                                      \
	P(FINAL_CLOSED, "final-closed")

#define WBCI_POINT_ENUM(id, name) POINT_##id,
enum wbci_point { WBCI_POINTS(WBCI_POINT_ENUM) POINT_COUNT };
#undef WBCI_POINT_ENUM

/* The point to die at; POINT_COUNT: none.  Set before threads exist. */
extern enum wbci_point wbci_point_armed;

/* The armed point was reached: dies if this is the passage meant. */
void wbci_point_reached(void);

static inline void wbci_point(enum wbci_point point)
{
	if (__builtin_expect(point == wbci_point_armed, 0))
		wbci_point_reached();
}

/* The name of a point, or NULL behind the last. */
const char *wbci_point_name(unsigned point);

/**
 * wbci_points_arm() - choose where to die
 * @text: NAME[:NTH], or NULL for nowhere
 *
 * Return: 0, or -EINVAL.
 */
int wbci_points_arm(const char *text, const struct wbci_message *m);

#endif
