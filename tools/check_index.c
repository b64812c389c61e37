/* SPDX-License-Identifier: MIT */
/* Copyright the wbcshm authors */

/*
 * The audit of tables, of the index and of the entries in it.
 *
 * That keys are unique is not looked for: a key has one place, every entry
 * is looked up like a client does, and the second would not be found.
 */
#include "check.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "../shm/cell.h"
#include "../shm/index.h"
#include "../shm/key.h"
#include "../shm/plain.h"
#include "../shm/record.h"

const char check_table[] = "table";
const char check_index[] = "index";
const char check_entry[] = "entry";

/* A total that passed 2^61 is refused more; threads may race past it. */
#define TOTAL_LIMIT (2 * WBCI_TOTAL_MAX)

static void check_spec(struct check_pass *p, unsigned i, uint64_t offset)
{
	const struct wbci_segment *s = p->s;
	uint64_t bytes = sizeof(struct spec_shm);

	if (wbci_in_page(s, offset, bytes)) {
		const struct spec_shm *spec = wbci_at(s, offset);

		bytes += *(const volatile uint32_t *)&spec->bytes;
	}
	check_reach(p, offset, PAGE_BLOCKS, bytes, "specification");
	if (!p->tables.table[i].readable)
		check_say(p, check_table, i,
		          "table %u: its specification is damaged", i);
}

static void check_table_words(struct check_pass *p, unsigned i)
{
	struct table_shm *t = &p->s->tables[i];
	/* Relaxed, before the cycle: both trail it. */
	uint64_t settled = order_load(&t->settled);
	uint64_t want = order_load(&t->want);
	/* ORDER round.bump, acquire: the words above are not ahead of it. */
	uint64_t cycle = order_acquire(&p->s->control->cycle);

	if (settled > cycle)
		check_say(p, check_table, i,
		          "table %s: rounds below %" PRIu64 " are called "
		          "settled, the next is %" PRIu64,
		          p->tables.table[i].label, settled, cycle);
	if (want > cycle + 1)
		check_say(p, check_table, i,
		          "table %s: a flush below round %" PRIu64 " is "
		          "wanted, the next is %" PRIu64,
		          p->tables.table[i].label, want, cycle);
}

void check_tables(struct check_pass *p)
{
	for (unsigned i = 0; i < p->s->geo.n_tables; i++) {
		/* ORDER table.publish, acquire: the text is whole. */
		uint64_t spec = order_acquire(&p->s->tables[i].spec);

		/* Tables are never removed, so a hole is none of change. */
		if (spec && i > p->tables.n)
			check_say(p, check_table, i,
			          "table %u stands behind an empty place", i);
		if (!spec || i >= p->tables.n)
			continue;
		check_spec(p, i, spec);
		check_table_words(p, i);
		for (unsigned k = 0; k < i; k++)
			if (strcmp(p->tables.table[i].label,
			           p->tables.table[k].label) == 0)
				check_say(p, check_table, i,
				          "table %u and table %u are both "
				          "named %s",
				          k, i, p->tables.table[i].label);
	}
}

static bool total_holds(bool is_double, uint64_t total)
{
	if (is_double)
		return isfinite(wbci_double_of(total));
	return (int64_t)total <= TOTAL_LIMIT && (int64_t)total >= -TOTAL_LIMIT;
}

static void check_cells(struct check_pass *p, const struct wbci_schema *schema,
                        const struct wbci_seen *e)
{
	for (unsigned i = 0; i < e->n_cells; i++) {
		const struct wbci_column *column =
			&schema->columns[schema->cell_column[i]];
		bool is_double = column->type == WBC_DOUBLE;

		if (!total_holds(is_double, e->total[i]) ||
		    !total_holds(is_double, e->journaled[i]))
			check_say(p, check_entry, e->ref.offset,
			          "entry %#" PRIx64 ": counter %s of table %s "
			          "is out of range",
			          e->ref.offset, column->name, schema->name);
	}
}

static bool reach_block(void *arg, uint64_t offset, uint64_t bytes)
{
	return check_reach(arg, offset, PAGE_BLOCKS, bytes, "row");
}

/* All values that a row's columns are set to, or NULL. */
static unsigned char *copy_columns(const struct wbci_segment *s, uint64_t root,
                                   uint64_t *bytes, unsigned *n)
{
	unsigned char *values;
	int error = wbci_plain_collect(s, root, 0, true, NULL, 0, bytes, n);

	if (error && error != -E2BIG)
		return NULL;
	values = malloc(*bytes + 8);
	if (!values || !wbci_plain_collect(s, root, 0, true, values, *bytes,
	                                   bytes, n))
		return values;
	free(values);
	return NULL;
}

/* The tree of a row, and what is in it. */
static void check_columns(struct check_pass *p,
                          const struct wbci_schema *schema,
                          const struct wbci_seen *e)
{
	struct wbc_value values[WBC_COLUMNS_MAX];
	uint8_t columns[WBC_COLUMNS_MAX];
	unsigned char *copy;
	uint64_t bytes = 0;
	unsigned n = 0;

	if (e->version < e->version_journaled)
		check_say(p, check_entry, e->ref.offset,
		          "entry %#" PRIx64 ": version %" PRIu64 " of its row "
		          "is journaled, but it came to %" PRIu64 " only",
		          e->ref.offset, e->version_journaled, e->version);
	if (e->root == 0)
		return;
	copy = copy_columns(p->s, e->root, &bytes, &n);
	if (wbci_tree_visit(p->s, e->root, reach_block, p) || !copy ||
	    wbci_values_parse(schema, copy, bytes, n, values, columns))
		check_say(p, check_entry, e->ref.offset,
		          "entry %#" PRIx64 ": what the columns of its row in "
		          "table %s are set to is damaged",
		          e->ref.offset, schema->name);
	free(copy);
}

/* What must hold of a row's key and cells, by its table. */
static void check_row(struct check_pass *p, const struct wbci_seen *e)
{
	struct wbc_value values[WBC_COLUMNS_MAX];
	unsigned char text[WBC_KEY_MAX];
	const struct view_table *table;

	if (e->space != SPACE_ROW) {
		check_say(p, check_entry, e->ref.offset,
		          "entry %#" PRIx64 ": its space %u is unknown",
		          e->ref.offset, e->space);
		return;
	}
	if (e->table >= p->tables.n) {
		check_say(p, check_entry, e->ref.offset,
		          "entry %#" PRIx64 ": its table %u was never declared",
		          e->ref.offset, e->table);
		return;
	}
	table = &p->tables.table[e->table];
	if (!table->readable)
		return;
	if (e->n_cells != table->schema.n_cells) {
		check_say(p, check_entry, e->ref.offset,
		          "entry %#" PRIx64 ": it has %u counters, its table "
		          "%s has %u",
		          e->ref.offset, e->n_cells, table->label,
		          table->schema.n_cells);
		return;
	}
	if (e->has_row != (table->schema.n_plain != 0)) {
		check_say(p, check_entry, e->ref.offset,
		          "entry %#" PRIx64 ": it has %s for plain columns, "
		          "against its table %s",
		          e->ref.offset, e->has_row ? "a place" : "no place",
		          table->label);
		return;
	}
	check_cells(p, &table->schema, e);
	check_columns(p, &table->schema, e);
	if (wbci_key_decode(&table->schema, e->key, e->key_len, values, text))
		check_say(p, check_entry, e->ref.offset,
		          "entry %#" PRIx64 ": its key is none of table %s",
		          e->ref.offset, table->label);
}

/* Can a client find it?  A look-up stores nothing, and needs no slot. */
static void check_place(struct check_pass *p, const struct wbci_step *step,
                        const struct wbci_seen *e)
{
	struct wbci_client client = {.segment = *p->s};
	struct wbci_thread reader = {.client = &client,
	                             .control = p->s->control};
	struct wbci_key key;
	int64_t found;

	wbci_key_init(p->s, &key, e->space, e->table, e->key, e->key_len);
	if (key.hash != e->hash) {
		check_say(p, check_entry, e->ref.offset,
		          "entry %#" PRIx64 ": its hash is not its key's",
		          e->ref.offset);
		return;
	}
	found = wbci_index_find(&reader, &key);
	if (found == (int64_t)e->ref.offset)
		return;
	if (found > 0)
		check_say(p, check_entry, e->ref.offset,
		          "entry %#" PRIx64 ": entry %#" PRIx64 " has the same "
		          "key",
		          e->ref.offset, (uint64_t)found);
	else
		check_say(p, check_entry, e->ref.offset,
		          "entry %#" PRIx64 ": it is not where its key's hash "
		          "leads, but at %#" PRIx64,
		          e->ref.offset, step->at);
}

/* What is not in a copy.  Returns false if the entry is no row now. */
static bool check_head(struct check_pass *p, uint64_t offset)
{
	struct entry_shm *e = wbci_at(p->s, offset);
	/* ORDER entry.state, acquire: what it says is in it is in it. */
	unsigned state = (unsigned)(order_acquire(&e->word) & 15);
	uint64_t extension = order_load(&e->extension);
	/* Relaxed: the cycle, loaded after it, is not behind it. */
	uint64_t stamp = order_load(&e->stamp);

	if (state == ENTRY_FREE || state > ENTRY_DEAD)
		check_say(p, check_entry, offset,
		          "entry %#" PRIx64 ": it is in the index, but its "
		          "state is %u",
		          offset, state);
	if (extension)
		check_reach(p, extension, PAGE_BLOCKS, WBCI_BLOCK_MIN,
		            "extension");
	/* ORDER round.bump, acquire */
	if (stamp > order_acquire(&p->s->control->cycle))
		check_say(p, check_entry, offset,
		          "entry %#" PRIx64 ": it was last marked in a round "
		          "to come",
		          offset);
	return state == ENTRY_LIVE || state == ENTRY_FROZEN;
}

static void check_one_entry(struct check_pass *p, const struct wbci_step *step)
{
	struct wbci_seen e;
	int rc;

	if (!check_reach(p, step->target, PAGE_ENTRIES,
	                 sizeof(struct entry_shm), "entry") ||
	    !check_head(p, step->target))
		return;
	rc = view_entry(p->s, step->target, &e);
	if (rc < 0)
		check_say(p, check_entry, step->target,
		          "entry %#" PRIx64 ": key and counters do not fit "
		          "into its block",
		          step->target);
	if (rc != 1)
		return;
	p->keys++;
	check_row(p, &e);
	check_place(p, step, &e);
}

static int check_step(void *arg, const struct wbci_step *step)
{
	struct check_pass *p = arg;

	if (step->tag == INDEX_EMPTY) {
		check_say(p, check_index, step->at,
		          "index word %#" PRIx64 " is neither empty, nor an "
		          "entry, nor a node",
		          step->at);
		return 0;
	}
	if (step->depth >= WBCI_INDEX_DEPTH_MAX)
		check_say(p, check_index, step->at,
		          "index word %#" PRIx64 " is deeper than any look-up "
		          "goes",
		          step->at);
	if (step->tag == INDEX_ENTRY)
		check_one_entry(p, step);
	else
		check_reach(p, step->target, PAGE_BLOCKS,
		            sizeof(struct node_shm), "node");
	return 0;
}

int check_walk(struct check_pass *p)
{
	p->keys = 0;
	return wbci_index_walk(p->s, check_step, p);
}
