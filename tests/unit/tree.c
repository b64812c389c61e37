/* SPDX-License-Identifier: MIT */
/* Copyright the wbcshm authors */

/*
 * Trees: what was put is found, in order, whatever was put and taken out
 * before; every block is either in the tree or given back.
 */
#include "shm/tree.h"

#include "shm/long.h"
#include "shm/tnode.h"
#include "shm/walk.h"
#include "unit/dice.h"
#include "unit/rig.h"

struct world {
	struct rig rig;
	struct wbci_client *c;
	struct wbci_thread *t;
	const struct wbci_segment *s;
	order_u64 root;
};

static struct world begin(uint32_t extents)
{
	struct world w = {
		.rig = rig_make(&(struct wbci_create){
			.max_bytes = (uint64_t)extents * WBCI_EXTENT_BYTES,
			.capacity = 1,
			.procs = 8,
			.threads = 8})};

	w.c = rig_client(&w.rig);
	w.t = rig_thread(w.c);
	w.s = &w.c->segment;
	if (wbci_segment_grow(w.s, 0))
		tap_bail("no first extent");
	return w;
}

static void end(struct world *w)
{
	wbci_client_close(&w->c);
	rig_drop(&w->rig);
}

static uint64_t root_of(struct world *w)
{
	return order_load(&w->root);
}

/* ---- the oracle: a sorted array ---- */

struct pair {
	unsigned char *key, *value;
	uint16_t key_len;
	uint32_t bytes;
};

struct book {
	struct pair *pair;
	size_t n, room;
};

static int compare(const struct pair *p, const void *key, size_t len)
{
	size_t n = p->key_len < len ? p->key_len : len;
	int order = n ? memcmp(p->key, key, n) : 0;

	return order ? order : (p->key_len > len) - (p->key_len < len);
}

/* The first pair whose key is not below; @same: it is that key. */
static size_t book_seek(const struct book *b, const void *key, size_t len,
                        bool *same)
{
	size_t low = 0, high = b->n;

	while (low < high) {
		size_t middle = (low + high) / 2;

		if (compare(&b->pair[middle], key, len) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	*same = low < b->n && compare(&b->pair[low], key, len) == 0;
	return low;
}

static void book_put(struct book *b, const void *key, uint16_t len,
                     const void *value, uint32_t bytes)
{
	bool same;
	size_t i = book_seek(b, key, len, &same);

	if (b->n == b->room) {
		b->room = b->room ? 2 * b->room : 64;
		b->pair = realloc(b->pair, b->room * sizeof(*b->pair));
		if (!b->pair)
			tap_bail("no memory");
	}
	if (same) {
		free(b->pair[i].value);
		free(b->pair[i].key);
	} else {
		memmove(&b->pair[i + 1], &b->pair[i],
		        (b->n - i) * sizeof(*b->pair));
		b->n++;
	}
	b->pair[i] = (struct pair){dice_exact(key, len),
	                           dice_exact(value, bytes), len, bytes};
}

static bool book_delete(struct book *b, const void *key, uint16_t len)
{
	bool same;
	size_t i = book_seek(b, key, len, &same);

	if (!same)
		return false;
	free(b->pair[i].key);
	free(b->pair[i].value);
	b->n--;
	memmove(&b->pair[i], &b->pair[i + 1], (b->n - i) * sizeof(*b->pair));
	return true;
}

static void book_free(struct book *b)
{
	for (size_t i = 0; i < b->n; i++) {
		free(b->pair[i].key);
		free(b->pair[i].value);
	}
	free(b->pair);
	*b = (struct book){NULL, 0, 0};
}

/* ---- what must hold of a tree ---- */

static bool same_value(struct world *w, const struct wbci_tree_value *v,
                       const struct pair *p)
{
	unsigned char *copy = malloc(p->bytes + 1);
	uint32_t bytes = 0;
	bool same = copy &&
	            wbci_tree_copy(w->s, v, copy, p->bytes, &bytes) == 0 &&
	            bytes == p->bytes && v->bytes == p->bytes &&
	            (!bytes || !memcmp(copy, p->value, bytes)) &&
	            (v->p != NULL) == (bytes <= WBCI_TREE_INLINE_MAX);

	free(copy);
	return same;
}

static bool same_item(struct world *w, const struct wbci_tree_item *item,
                      const struct pair *p)
{
	return compare(p, item->key, item->key_len) == 0 &&
	       same_value(w, &item->value, p);
}

/* Items that a walk from a cursor finds otherwise than the book has them. */
static size_t walk_wrong(struct world *w, struct wbci_tree_cursor *c,
                         const struct book *b, size_t from, size_t most)
{
	struct wbci_tree_item item;
	size_t i = from, wrong = 0;
	int rc = 1;

	while (i - from < most && (rc = wbci_tree_next(c, &item)) == 1) {
		wrong += i >= b->n || !same_item(w, &item, &b->pair[i]);
		i++;
	}
	return wrong + (rc < 0) + (i - from < most && i != b->n);
}

/* Nodes below one, and what is wrong with them. */
struct shape {
	unsigned nodes, wrong, small;
	uint64_t keys;
};

static void look(struct world *w, const struct wbci_tnode *n, bool is_root,
                 struct shape *shape)
{
	unsigned live = WBCI_TNODE_HEAD;
	uint64_t below = 0, counted;

	shape->nodes++;
	for (unsigned i = 0; i < n->n; i++) {
		struct wbci_tnode child;
		struct wbci_titem item;
		struct tref_shm ref;
		uint64_t had = shape->keys;

		if (!wbci_titem_load(n, i, &item)) {
			shape->wrong++;
			return;
		}
		live += wbci_titem_bytes(&item);
		if (n->level == 0)
			continue;
		if (!wbci_tnode_child(w->s, n, i, &ref, &child)) {
			shape->wrong++;
			return;
		}
		look(w, &child, false, shape);
		shape->wrong += shape->keys - had != ref.count;
		below += ref.count;
	}
	if (n->level == 0)
		shape->keys += below = n->n;
	shape->wrong += !wbci_tnode_count(n, &counted) || counted != below;
	shape->wrong += live != n->live;
	shape->wrong += n->bytes != wbci_class_bytes[wbci_class_of(n->bytes)];
	shape->small += !is_root && n->live < WBCI_TREE_NODE_MIN;
	shape->small += is_root && n->level > 0 && n->n < 2;
}

static struct shape shape_of(struct world *w)
{
	struct shape shape = {0, 0, 0, 0};
	struct wbci_tnode top;

	if (wbci_tree_is_empty(root_of(w)))
		return shape;
	if (wbci_tnode_load(w->s, wbci_tree_offset(root_of(w)), &top))
		look(w, &top, true, &shape);
	else
		shape.wrong++;
	return shape;
}

/* Whatever can be asked of a tree is answered as the book has it. */
static size_t tree_wrong(struct world *w, const struct book *b)
{
	struct wbci_tree_cursor c;
	struct wbci_tree_value v;
	uint64_t root = root_of(w), n;
	size_t wrong = 0;

	wrong += wbci_tree_count(w->s, root, &n) || n != b->n;
	wrong += wbci_tree_seek(&c, w->s, root, "", 0) != 0;
	wrong += walk_wrong(w, &c, b, 0, b->n + 1);
	for (size_t i = 0; i < b->n; i++) {
		const struct pair *p = &b->pair[i];

		wrong += wbci_tree_find(w->s, root, p->key, p->key_len, &v) ||
		         !same_value(w, &v, p);
	}
	wrong += wbci_tree_is_empty(root) != (b->n == 0);
	return wrong;
}

/* ---- the audit: every block is in the tree, or free, or retired ---- */

struct audit {
	struct world *w;
	uint64_t *reached;
	unsigned n, twice;
};

static bool reach(void *arg, uint64_t offset, uint64_t bytes)
{
	struct audit *a = arg;
	uint32_t page, block;
	uint64_t word, *bits, bit;

	if (!wbci_block_find(a->w->s, offset, &page, &block, &word) ||
	    wbci_class_bytes[wbci_page_class(word)] < bytes) {
		a->twice++;
		return false;
	}
	bits = a->reached + (size_t)page * WBCI_BITMAP_WORDS + block / 64;
	bit = UINT64_C(1) << block % 64;
	a->twice += (*bits & bit) != 0;
	*bits |= bit;
	a->n++;
	return true;
}

/* Blocks that are held and not reached, or reached and not held. */
static unsigned audit(struct world *w)
{
	uint32_t pages = wbci_committed(w->s) * WBCI_PAGES_PER_EXTENT;
	struct audit a = {w, NULL, 0, 0};
	unsigned wrong;

	a.reached = calloc((size_t)pages * WBCI_BITMAP_WORDS, 8);
	if (!a.reached)
		tap_bail("no memory");
	wrong = wbci_tree_visit(w->s, root_of(w), reach, &a) != 0;
	for (uint32_t p = 0; p < pages; p++) {
		struct meta_shm *meta = &w->s->metas[p];

		for (unsigned i = 0; i < WBCI_BITMAP_WORDS; i++) {
			uint64_t held = order_load(&meta->alloc[i]);

			for (unsigned g = 0; g < 4; g++)
				held &= ~order_load(&meta->limbo[g][i]);
			held ^= a.reached[p * WBCI_BITMAP_WORDS + i];
			wrong += (unsigned)__builtin_popcountll(held);
		}
	}
	free(a.reached);
	return wrong + a.twice;
}

/* ---- updates ---- */

/* Some puts and deletes, which become one update. */
struct change {
	char key[WBCI_TREE_KEY_MAX];
	uint16_t key_len;
	const unsigned char *value; /* NULL: delete */
	uint32_t bytes;
};

struct batch {
	struct change change[200];
	unsigned n;
	unsigned attempts;
};

static int change_tree(struct wbci_tree_edit *e, void *arg)
{
	struct batch *batch = arg;

	batch->attempts++;
	for (unsigned i = 0; i < batch->n; i++) {
		const struct change *c = &batch->change[i];
		int error = c->value ? wbci_tree_put(e, c->key, c->key_len,
		                                     c->value, c->bytes)
		                     : wbci_tree_delete(e, c->key, c->key_len);

		if (error && error != -ENOENT)
			return error;
	}
	return 0;
}

static int update(struct world *w, struct batch *batch)
{
	for (;;) {
		uint32_t have = wbci_committed(w->s);
		int error;

		wbci_enter(w->t);
		error = wbci_tree_update(w->t, &w->root, change_tree, batch);
		wbci_exit(w->t);
		/* Blocks come back after two epochs. */
		wbci_epoch_advance(w->c);
		if (error != -ENOSPC || wbci_segment_grow(w->s, have))
			return error;
	}
}

static int put(struct world *w, const void *key, uint16_t len,
               const void *value, uint32_t bytes)
{
	struct batch batch = {.n = 1};

	memcpy(batch.change[0].key, key, len);
	batch.change[0].key_len = len;
	batch.change[0].value = value;
	batch.change[0].bytes = bytes;
	return update(w, &batch);
}

static void write_book(struct book *b, const struct batch *batch)
{
	for (unsigned i = 0; i < batch->n; i++) {
		const struct change *c = &batch->change[i];

		if (c->value)
			book_put(b, c->key, c->key_len, c->value, c->bytes);
		else
			book_delete(b, c->key, c->key_len);
	}
}

/* ---- random changes ---- */

struct sort {
	const char *name;
	unsigned updates, most; /* of them, and changes in each */
	uint32_t keys;
	uint16_t key_min, key_max; /* bytes */
	uint32_t value_max;
	bool same_start; /* keys agree in many bytes */
};

static const struct sort sorts[] = {
	{"rows of few columns", 400, 4, 6, 1, 1, 20, false},
	{"short keys", 3000, 1, 4000, 2, 8, 24, false},
	{"keys that begin alike", 1500, 6, 3000, 30, 40, 16, true},
	{"the longest keys", 600, 8, 900, 200, 255, 0, true},
	{"values up to the longest inline ones", 1200, 3, 700, 0, 12, 256,
         false},
	{"long values", 500, 3, 200, 1, 10, 3000, false},
	{"many changes at once", 150, 200, 6000, 1, 60, 100, false},
	{"many long ones at once", 0, 64, 900, 1, 60, 500, false},
};

static unsigned char noise[70000];

/* Key number @k of a sort: the same bytes each time. */
static uint16_t make_key(const struct sort *sort, uint32_t k, char *key)
{
	struct dice d = {k * UINT64_C(7919) + sort->keys};
	uint16_t len =
		(uint16_t)(sort->key_min +
	                   dice_below(&d, sort->key_max - sort->key_min + 1u));

	for (uint16_t i = 0; i < len; i++)
		key[i] = (char)(sort->same_start && i + 6 < len
		                        ? 'x'
		                        : (char)dice_below(&d, 256));
	return len;
}

static void roll(const struct sort *sort, struct dice *d, unsigned deletes,
                 struct batch *batch)
{
	batch->n = 1 + dice_below(d, sort->most);
	for (unsigned i = 0; i < batch->n; i++) {
		struct change *c = &batch->change[i];

		c->key_len = make_key(sort, dice_below(d, sort->keys), c->key);
		c->value = NULL;
		if (dice_below(d, 100) < deletes)
			continue;
		c->bytes = dice_below(d, sort->value_max + 1);
		c->value = noise + dice_below(d, 60000);
	}
}

static void test_random(const struct sort *sort, struct dice *d)
{
	struct world w = begin(40);
	struct book b = {NULL, 0, 0};
	size_t wrong = 0, most = 0;
	unsigned lost = 0, small = 0, broken = 0;
	struct shape shape = {0, 0, 0, 0};

	for (unsigned i = 0; i < sort->updates; i++) {
		/* Growing, shrinking, and growing again. */
		unsigned deletes = i * 3 / sort->updates == 1 ? 85 : 25;
		struct batch batch = {.n = 0};

		roll(sort, d, deletes, &batch);
		if (update(&w, &batch))
			tap_bail("an update fails");
		write_book(&b, &batch);
		if (i % 16 == 0 || b.n < 8) {
			wrong += tree_wrong(&w, &b);
			lost += audit(&w);
			shape = shape_of(&w);
			broken += shape.wrong + (shape.keys != b.n);
			small += shape.small;
		}
		most = b.n > most ? b.n : most;
	}
	tap_ok(!wrong && !broken,
	       "%s: a tree of up to %zu keys, %u nodes at "
	       "the end, is what was put into it (%zu, %u)",
	       sort->name, most, shape.nodes, wrong, broken);
	tap_is_uint(lost, 0, "P6: %s: no block is lost, or in two places",
	            sort->name);
	tap_is_uint(small, 0, "%s: no node is nearly empty", sort->name);
	book_free(&b);
	end(&w);
}

/* ---- positions ---- */

static void test_positions(void)
{
	static const struct sort sort = {"", 0, 1, 3000, 3, 20, 8, false};
	struct world w = begin(8);
	struct wbci_tree_cursor c;
	struct wbci_tree_item item;
	struct book b = {NULL, 0, 0};
	struct dice d = {3};
	size_t by_key = 0, by_index = 0;
	bool same;

	for (uint32_t k = 0; k < 1500; k++) {
		struct batch batch = {.n = 0};

		roll(&sort, &d, 0, &batch);
		update(&w, &batch);
		write_book(&b, &batch);
	}
	for (uint32_t k = 0; k < 1500; k++) {
		char key[WBCI_TREE_KEY_MAX];
		uint16_t len = make_key(&sort, k, key);
		size_t at = book_seek(&b, key, len, &same);

		by_key += wbci_tree_seek(&c, w.s, root_of(&w), key, len) != 0;
		by_key += walk_wrong(&w, &c, &b, at, 3);
	}
	for (size_t i = 0; i <= b.n + 1; i++) {
		by_index += wbci_tree_seek_index(&c, w.s, root_of(&w), i) != 0;
		by_index += walk_wrong(&w, &c, &b, i < b.n ? i : b.n, 3);
	}
	tap_is_uint(by_key, 0, "a walk begins at any key, there or not");
	tap_is_uint(by_index, 0, "a walk begins at the item of any index");
	tap_is_int(wbci_tree_seek(&c, w.s, 0, "a", 1), 0,
	           "a word that was never set is a tree");
	tap_is_int(wbci_tree_next(&c, &item), 0, "without items");
	book_free(&b);
	end(&w);
}

/* ---- one block, versions, roots ---- */

static void test_small(void)
{
	struct world w = begin(2);
	struct batch row = {.n = 5};
	struct wbci_tree_value v;
	uint64_t first, n;

	for (unsigned i = 0; i < 5; i++) {
		row.change[i].key[0] = (char)i;
		row.change[i].key_len = 1;
		row.change[i].value = noise;
		row.change[i].bytes = 16;
	}
	update(&w, &row);
	first = root_of(&w);
	tap_ok(shape_of(&w).nodes == 1 && audit(&w) == 0,
	       "a row of five columns is one block");
	tap_ok(wbci_tree_version(w.s, first) == 1 && !(first & 63),
	       "the first root has version 1");
	update(&w, &row);
	tap_is_uint(wbci_tree_version(w.s, root_of(&w)), 2,
	            "the next one has version 2");
	tap_ok(root_of(&w) != first, "and is another");
	first = root_of(&w);
	row.n = 1;
	row.change[0] = (struct change){.key = "none", .key_len = 4};
	update(&w, &row);
	tap_ok(root_of(&w) == first && audit(&w) == 0,
	       "to delete what is not there changes nothing");
	tap_is_int(wbci_tree_find(w.s, first, "none", 4, &v), -ENOENT,
	           "what is not there is not found");
	wbci_tree_count(w.s, first, &n);
	tap_is_uint(n, 5, "there are five keys");
	end(&w);
}

/* A tree that is emptied and filled again never has the same root. */
static void test_emptied(void)
{
	struct world w = begin(2);
	uint64_t seen[64], n = 0;
	struct wbci_tree_value v;
	unsigned twice = 0, wrong = 0;
	struct batch batch = {.n = 1};

	wbci_enter(w.t); /* a reader's section: of another thread, as it were */
	for (unsigned i = 0; i < N(seen); i++) {
		batch.change[0] = (struct change){.key = "k",
		                                  .key_len = 1,
		                                  .value = i % 2 ? NULL : noise,
		                                  .bytes = 1};
		wrong += wbci_tree_update(w.t, &w.root, change_tree, &batch) !=
		         0;
		seen[i] = root_of(&w);
		wrong += wbci_tree_is_empty(seen[i]) != i % 2;
		wrong += wbci_tree_version(w.s, seen[i]) != i + 1;
		wrong += wbci_tree_count(w.s, seen[i], &n) || n == i % 2;
		wrong += (wbci_tree_find(w.s, seen[i], "k", 1, &v) != 0) !=
		         i % 2;
		for (unsigned k = 0; k < i; k++)
			twice += seen[k] == seen[i];
	}
	wbci_exit(w.t);
	tap_is_uint(twice, 0, "no root is there twice, empty ones neither");
	tap_is_uint(wrong, 0, "versions go on through empty trees");
	tap_is_uint(audit(&w), 0, "P6: an empty tree is one block");
	end(&w);
}

/* The word changed meanwhile: all is given back. */
static void test_lost_race(void)
{
	struct world w = begin(8);
	struct book b = {NULL, 0, 0};
	struct dice d = {11};
	unsigned lost = 0, won = 0;

	for (unsigned i = 0; i < 200; i++) {
		struct batch batch = {.n = 0}, other = {.n = 0};
		struct wbci_tree_edit e;
		uint64_t root;

		roll(&sorts[i % N(sorts)], &d, 20, &batch);
		roll(&sorts[i % N(sorts)], &d, 20, &other);
		wbci_enter(w.t);
		wbci_tree_begin(&e, w.t, root_of(&w));
		if (change_tree(&e, &batch) || wbci_tree_finish(&e, &root))
			tap_bail("no update");
		if (wbci_tree_update(w.t, &w.root, change_tree, &other))
			tap_bail("no other update");
		write_book(&b, &other);
		if (e.was != root_of(&w))
			won += wbci_tree_publish(&e, &w.root, root);
		else
			wbci_tree_abort(&e);
		wbci_exit(w.t);
		lost += audit(&w);
		wbci_epoch_advance(w.c);
		while (wbci_committed(w.s) < 8)
			wbci_segment_grow(w.s, wbci_committed(w.s));
	}
	tap_is_uint(won, 0, "an update of what was there before fails");
	tap_is_uint(tree_wrong(&w, &b), 0, "and leaves what is there");
	tap_is_uint(lost, 0, "P6: and gives back all that it took");
	book_free(&b);
	end(&w);
}

/* ---- no room ---- */

static void test_full(void)
{
	struct world w = begin(1);
	struct book b = {NULL, 0, 0};
	struct dice d = {5};
	size_t n = 0;
	unsigned lost = 0, failed = 0, tries = 0;
	int error;

	while (failed < 40 && tries++ < 20000) {
		const struct sort *sort = &sorts[tries % N(sorts)];
		struct batch batch = {.n = 0};

		roll(sort, &d, 0, &batch);
		error = update(&w, &batch);
		if (error == 0) {
			write_book(&b, &batch);
			continue;
		}
		if (error != -ENOSPC)
			tap_bail("error %d", error);
		failed++;
		lost += audit(&w);
	}
	n = b.n;
	tap_ok(failed == 40, "P8: a full segment of %zu keys says so", n);
	tap_is_uint(lost, 0, "P8: an update without room leaves no block");
	tap_is_uint(tree_wrong(&w, &b), 0, "and the tree as it was");
	wbci_enter(w.t);
	error = wbci_tree_retire(w.t, root_of(&w));
	wbci_exit(w.t);
	order_store(&w.root, 0);
	tap_ok(error == 0 && audit(&w) == 0,
	       "P6: of a tree that is retired nothing is left");
	wbci_page_release(w.s, w.t->slot);
	for (unsigned i = 0; i < 4; i++) {
		rig_advance(w.c, 1);
		wbci_enter(w.t);
		for (uint32_t p = 0; p < WBCI_PAGES_PER_EXTENT; p++)
			wbci_page_tidy(w.t, p);
		wbci_exit(w.t);
	}
	tap_is_int(put(&w, "k", 1, noise, 50000), 0, "and there is room again");
	book_free(&b);
	end(&w);
}

/* Each allocation of an update fails in turn. */
static void test_nth_failure(struct dice *d)
{
	struct world w = begin(3);
	struct book b = {NULL, 0, 0};
	struct batch many = {.n = 0};
	unsigned lost = 0, failures = 0, wrong = 0;
	uint32_t committed;

	for (unsigned i = 0; i < 300; i++) {
		struct batch batch = {.n = 0};

		roll(&sorts[i % 2 ? 3 : 5], d, 10, &batch);
		update(&w, &batch);
		write_book(&b, &batch);
	}
	/* Fewer extents than there are: none of its pages can be had. */
	committed = wbci_committed(w.s);
	for (unsigned n = 0; n < 60; n++) {
		static uint64_t hold[8192];
		unsigned held = 0;
		int error;

		roll(&sorts[6 + n % 2], d, 30, &many);
		wbci_enter(w.t);
		/* All blocks, the largest first; then some come back. */
		for (unsigned class = WBCI_CLASSES; class -- > 0;)
			while (held < N(hold) &&
			       !wbci_block_alloc(w.t, PAGE_BLOCKS,
			                         wbci_class_bytes[class],
			                         &hold[held]))
				held++;
		for (unsigned k = 0; k < n && held; k++) {
			unsigned one = dice_below(d, held);

			wbci_block_undo(w.t, hold[one]);
			hold[one] = hold[--held];
		}
		error = wbci_tree_update(w.t, &w.root, change_tree, &many);
		while (held)
			wbci_block_undo(w.t, hold[--held]);
		wbci_exit(w.t);
		wrong += error != 0 && error != -ENOSPC;
		failures += error == -ENOSPC;
		if (!error)
			write_book(&b, &many);
		lost += audit(&w);
		wbci_epoch_advance(w.c);
	}
	tap_ok(!wrong && failures > 10 && committed == wbci_committed(w.s),
	       "P8: %u updates had not enough room", failures);
	tap_is_uint(lost, 0, "P8: they gave back what they had");
	tap_is_uint(tree_wrong(&w, &b), 0, "and changed nothing");
	book_free(&b);
	end(&w);
}

static void test_limits(void)
{
	struct world w = begin(4);
	char key[WBCI_TREE_KEY_MAX + 1] = "";
	struct wbci_tree_edit e;
	uint64_t root;

	wbci_enter(w.t);
	wbci_tree_begin(&e, w.t, 0);
	tap_is_int(wbci_tree_put(&e, key, sizeof(key), "", 0), -E2BIG,
	           "a key of %zu bytes is too long", sizeof(key));
	tap_is_int(wbci_tree_put(&e, "k", 1, "", 0), -E2BIG, "an error stays");
	tap_is_int(wbci_tree_finish(&e, &root), -E2BIG, "to the end");
	wbci_tree_abort(&e);
	wbci_exit(w.t);
	tap_is_int(put(&w, key, WBCI_TREE_KEY_MAX, noise, 65000), 0,
	           "one of %u is not", WBCI_TREE_KEY_MAX);
	tap_is_int(put(&w, "", 0, "v", 1), 0, "nor is one of no bytes");
	tap_is_uint(audit(&w), 0, "P6: nothing is left of what failed");
	end(&w);
}

/* ---- snapshots ---- */

static void test_snapshot(void)
{
	struct world w = begin(20);
	struct book b = {NULL, 0, 0}, later = {NULL, 0, 0};
	struct dice d = {17};
	struct world snapshot;
	struct batch batch;
	struct wbci_client *other;
	struct wbci_thread *ot;

	for (unsigned i = 0; i < 400; i++) {
		roll(&sorts[5], &d, 20, &batch);
		update(&w, &batch);
		write_book(&b, &batch);
	}
	other = rig_client(&w.rig);
	ot = rig_thread(other);
	wbci_enter(ot);
	snapshot = w;
	for (unsigned i = 0; i < 400; i++) {
		roll(&sorts[5], &d, 60, &batch);
		update(&w, &batch);
		write_book(&later, &batch);
	}
	tap_is_uint(tree_wrong(&snapshot, &b), 0,
	            "P1: a reader has the tree as it was when it came, after "
	            "400 updates");
	wbci_exit(ot);
	wbci_client_close(&other);
	book_free(&b);
	book_free(&later);
	end(&w);
}

/* ---- hostile bytes ---- */

static bool inside(struct world *w, const unsigned char *p, uint32_t bytes)
{
	uint64_t from = (uint64_t)(p - w->s->base);
	uint64_t end = w->s->geo.extents_off +
	               (uint64_t)wbci_committed(w->s) * WBCI_EXTENT_BYTES;

	return from >= w->s->geo.extents_off && from <= end &&
	       bytes <= end - from;
}

static bool count_block(void *arg, uint64_t offset, uint64_t bytes)
{
	(void)offset;
	(void)bytes;
	++*(unsigned *)arg;
	return true;
}

/* Everything that reads, on a damaged tree.  Return: what it did wrong. */
static unsigned read_damaged(struct world *w, uint64_t root, uint64_t most)
{
	static unsigned char copy[WBCI_LONG_MAX];
	struct wbci_tree_cursor c;
	struct wbci_tree_item item;
	struct wbci_tree_value v;
	unsigned wrong = 0, blocks = 0;
	uint64_t n, items = 0;
	uint32_t bytes;

	wbci_tree_count(w->s, root, &n);
	if (wbci_tree_seek(&c, w->s, root, "", 0))
		c.depth = 0;
	while (items <= most && wbci_tree_next(&c, &item) == 1) {
		items++;
		wrong += item.key_len > WBCI_TREE_KEY_MAX ||
		         !inside(w, item.key, item.key_len);
		wrong += item.value.p &&
		         !inside(w, item.value.p, item.value.bytes);
		wbci_tree_copy(w->s, &item.value, copy, sizeof(copy), &bytes);
	}
	wrong += items > most;
	for (char k = 'a'; k <= 'z'; k++)
		if (!wbci_tree_find(w->s, root, &k, 1, &v))
			wrong += v.p && !inside(w, v.p, v.bytes);
	for (uint64_t i = 0; i < 200; i += 13)
		if (!wbci_tree_seek_index(&c, w->s, root, i) &&
		    wbci_tree_next(&c, &item) == 1)
			wrong += !inside(w, item.key, item.key_len);
	wbci_tree_visit(w->s, root, count_block, &blocks);
	return wrong + (blocks > 100 * most);
}

/* The nodes of the tree, to be damaged. */
struct nodes {
	uint64_t offset[64], bytes[64];
	unsigned n;
};

static bool list_block(void *arg, uint64_t offset, uint64_t bytes)
{
	struct nodes *nodes = arg;

	if (nodes->n < N(nodes->offset)) {
		nodes->offset[nodes->n] = offset;
		nodes->bytes[nodes->n++] = bytes;
	}
	return true;
}

static void test_hostile(void)
{
	static const unsigned char flips[] = {0x01, 0x10, 0x80, 0xff};
	struct world w = begin(2);
	struct nodes nodes = {.n = 0};
	unsigned wrong = 0, tried = 0;
	struct dice d = {29};
	struct batch batch;

	for (unsigned i = 0; i < 60; i++) {
		roll(&sorts[5], &d, 0, &batch);
		batch.change[0].key[0] = (char)('a' + i % 26);
		for (unsigned k = 0; k < batch.n; k++)
			batch.change[k].bytes %= 400;
		update(&w, &batch);
	}
	wbci_tree_visit(w.s, root_of(&w), list_block, &nodes);
	for (unsigned i = 0; i < nodes.n; i++) {
		for (uint64_t at = 0; at < nodes.bytes[i]; at++) {
			unsigned char *p = wbci_at(w.s, nodes.offset[i] + at);

			*p ^= flips[at % 4];
			wrong += read_damaged(&w, root_of(&w), 100000);
			*p ^= flips[at % 4];
			tried++;
		}
	}
	tap_is_uint(wrong, 0,
	            "P7: %u bytes of %u blocks are damaged in turn: what is "
	            "read is inside the segment, and comes to an end",
	            tried, nodes.n);
	for (unsigned i = 0; i < 20000; i++) {
		uint64_t root = dice_word(&d) >> dice_below(&d, 60);

		wrong += read_damaged(&w, i % 2 ? root : root & ~UINT64_C(63),
		                      100000);
	}
	tap_is_uint(wrong, 0, "P7: so is any root");
	end(&w);
}

/* A tree of nodes that name one another has more ways than there is time. */
static void test_loop(void)
{
	struct world w = begin(4);
	struct book b = {NULL, 0, 0};
	struct dice d = {31};
	struct wbci_tnode top;
	struct wbci_titem item;
	struct tref_shm ref;

	for (unsigned i = 0; i < 1500; i++) {
		struct batch batch = {.n = 0};

		roll(&sorts[1], &d, 0, &batch);
		update(&w, &batch);
	}
	if (!wbci_tnode_load(w.s, wbci_tree_offset(root_of(&w)), &top) ||
	    top.level == 0 || !wbci_titem_load(&top, 0, &item))
		tap_bail("the tree is too small");
	wbci_tref_load(&item, &ref);
	for (unsigned i = 0; i < top.n; i++) {
		ref.count = UINT64_C(1) << 40;
		wbci_tnode_set_ref(&top, i, &ref);
	}
	tap_is_uint(read_damaged(&w, root_of(&w), 2000000), 0,
	            "P7: a tree that claims endless keys ends");
	ref.ref = top.offset;
	wbci_tnode_set_ref(&top, 0, &ref);
	tap_is_uint(read_damaged(&w, root_of(&w), 2000000), 0,
	            "P7: so does one whose root is its own child");
	book_free(&b);
	end(&w);
}

/* A chain of nodes, each of whose children is the next one, time and again;
 * the root claims one key under each.  Return: its word. */
static uint64_t make_maze(struct world *w, unsigned levels)
{
	struct tref_shm ref = {0, 1};
	struct wbci_tnode n;
	unsigned char key;
	struct wbci_titem item = wbci_titem_ref(&key, 1, &ref);
	struct wbci_tseq none = {.n = 0};

	wbci_enter(w->t);
	for (unsigned level = 0; level < levels; level++) {
		if (wbci_tnode_build(w->t, &none, level, 0, 0,
		                     WBCI_TREE_NODE_MAX, &n))
			tap_bail("no node");
		for (unsigned i = 0; i < 60; i++) {
			key = (unsigned char)i;
			if (!wbci_tnode_change(&n, i, 0, &item))
				tap_bail("no room in a node");
		}
		ref.ref = n.offset;
	}
	wbci_exit(w->t);
	return n.offset;
}

static void test_maze(void)
{
	struct world w = begin(2);
	uint64_t root = make_maze(&w, 5);

	tap_is_uint(read_damaged(&w, root, 20000), 0,
	            "P7: so does one with 60 ways at each of five levels");
	end(&w);
}

/* An item whose bytes would be behind its node is none. */
static void test_beyond(void)
{
	struct world w = begin(2);
	struct wbci_tree_cursor c;
	struct wbci_tree_item item;
	struct wbci_tree_value v;
	struct wbci_tnode n;

	put(&w, "key", 3, noise, 100);
	if (!wbci_tnode_load(w.s, wbci_tree_offset(root_of(&w)), &n))
		tap_bail("no node");
	n.shm->slot[0] |= UINT64_C(0x7f00) << 32;
	tap_is_int(wbci_tree_find(w.s, root_of(&w), "key", 3, &v),
	           WBC_E_CORRUPT, "P7: a value that leaves its node is none");
	wbci_tree_seek(&c, w.s, root_of(&w), "", 0);
	tap_is_int(wbci_tree_next(&c, &item), WBC_E_CORRUPT,
	           "P7: neither on a walk");
	end(&w);
}

int main(void)
{
	struct dice d = dice_seeded();

	for (size_t i = 0; i < sizeof(noise); i++)
		noise[i] = (unsigned char)dice_word(&d);
	for (size_t i = 0; sorts[i].updates; i++)
		test_random(&sorts[i], &d);
	test_positions();
	test_small();
	test_emptied();
	test_lost_race();
	test_full();
	test_nth_failure(&d);
	test_limits();
	test_snapshot();
	test_hostile();
	test_loop();
	test_maze();
	test_beyond();
	return tap_done();
}
