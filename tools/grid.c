/* SPDX-License-Identifier: MIT */
/* Copyright the wbcshm authors */

#include "grid.h"

#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A longer cell pushes its own line out instead of all lines. */
#define WIDTH_MAX 48u

void grid_init(struct grid *g, const char *align)
{
	assert(strlen(align) <= GRID_COLUMNS_MAX);
	memset(g, 0, sizeof(*g));
	g->align = align;
}

void grid_free(struct grid *g)
{
	free(g->text);
	g->text = NULL;
}

/* Characters, not bytes: those that do not continue one. */
static size_t count_columns(const char *text)
{
	size_t n = 0;

	for (; *text; text++)
		n += ((unsigned char)*text & 0xc0) != 0x80;
	return n;
}

static char *make_room(struct grid *g, size_t bytes)
{
	size_t room = g->text_room ? g->text_room : 4096;
	char *text;

	while (room - g->text_used < bytes)
		room *= 2;
	if (room != g->text_room) {
		text = realloc(g->text, room);
		if (!text) {
			g->error = -ENOMEM;
			return NULL;
		}
		g->text = text;
		g->text_room = room;
	}
	return g->text + g->text_used;
}

void grid_put(struct grid *g, const char *format, ...)
{
	va_list args, again;
	char *place;
	int n;

	if (g->error)
		return;
	va_start(args, format);
	va_copy(again, args);
	n = vsnprintf(NULL, 0, format, args);
	va_end(args);
	place = n < 0 ? NULL : make_room(g, (size_t)n + 1);
	if (place) {
		vsnprintf(place, (size_t)n + 1, format, again);
		g->text_used += (size_t)n + 1;
		g->n_cells++;
	}
	va_end(again);
}

static void put_spaces(size_t n)
{
	while (n--)
		putchar(' ');
}

int grid_print(const struct grid *g, unsigned indent)
{
	size_t width[GRID_COLUMNS_MAX] = {0};
	size_t columns = strlen(g->align);
	const char *cell = g->text;
	size_t i, w, spaces = 0;

	if (g->error)
		return g->error;
	for (i = 0; i < g->n_cells; i++, cell += strlen(cell) + 1) {
		w = count_columns(cell);
		if (w <= WIDTH_MAX && w > width[i % columns])
			width[i % columns] = w;
	}
	cell = g->text;
	for (i = 0; i < g->n_cells; i++, cell += strlen(cell) + 1) {
		size_t c = i % columns;
		size_t pad;

		w = count_columns(cell);
		pad = w < width[c] ? width[c] - w : 0;
		/* Spaces wait for what stands behind them. */
		spaces += c ? 2 : indent;
		spaces += g->align[c] == 'r' ? pad : 0;
		if (*cell) {
			put_spaces(spaces);
			spaces = 0;
			fputs(cell, stdout);
		}
		spaces += g->align[c] == 'l' ? pad : 0;
		if (c + 1 == columns) {
			putchar('\n');
			spaces = 0;
		}
	}
	return 0;
}
