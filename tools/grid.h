/* SPDX-License-Identifier: MIT */
/* Copyright the wbcshm authors */

/* Aligned columns of text.  Cells are put row by row, then printed. */
#ifndef WBC_GRID_H
#define WBC_GRID_H

#include <stddef.h>

#define GRID_COLUMNS_MAX 80u

struct grid {
	const char *align; /* 'l' or 'r' for each column */
	char *text;        /* all cells, each ended by NUL */
	size_t text_used;
	size_t text_room;
	size_t n_cells;
	int error; /* -ENOMEM once memory ran out */
};

/* @align must stay; its length is the number of columns. */
void grid_init(struct grid *g, const char *align);
void grid_free(struct grid *g);

void grid_put(struct grid *g, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

/* Print all rows, each after @indent spaces.  Returns 0 or g->error. */
int grid_print(const struct grid *g, unsigned indent);

#endif
