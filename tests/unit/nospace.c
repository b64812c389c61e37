/* SPDX-License-Identifier: MIT */
/* Copyright the wbcshm authors */

/*
 * A full file system is an error and never a signal (P8): on a tmpfs of a few
 * megabytes in a mount namespace of the test's own, filled by new keys, used
 * on while it is full, then enlarged.
 */
#include <fcntl.h>
#include <sys/mount.h>

#include "shm/page.h"
#include "shm/walk.h"
#include "unit/child.h"
#include "unit/scratch.h"

#define SPEC "t(k text key, n counter)"
/* Too long for the page of the first table's: it needs a page of its own. */
#define LONG_SPEC                                                              \
	"another(key_of_this_table text key, a_counter_with_a_long_name "      \
	"counter, one_more_of_those_counters counter, and_a_double_counter "   \
	"double counter)"
#define N(array) (sizeof(array) / sizeof((array)[0]))

static char words[512];

enum { KEY_BYTES = 200 };

static void make_key(char key[KEY_BYTES], unsigned who, unsigned i)
{
	memset(key, 'k', KEY_BYTES);
	key[sprintf(key, "%08x%08x", who, i)] = 'k';
}

static int add_key(struct wbc_table *t, unsigned who, unsigned i)
{
	char key[KEY_BYTES];
	struct wbc_value v = wbc_text(NULL, key, sizeof(key));

	make_key(key, who, i);
	return wbc_add_int64(t, &v, 1, 1, 1);
}

static uint64_t key_total(struct wbc_table *t, unsigned who, unsigned i)
{
	char key[KEY_BYTES];
	struct wbc_value v = wbc_text(NULL, key, sizeof(key));

	make_key(key, who, i);
	return scratch_total(t, &v, 1, 1);
}

/* Adds new keys until there is an error; how many there are then. */
static unsigned fill(struct wbc_table *t, unsigned who, unsigned from,
                     int *error)
{
	unsigned n = from;

	while (n < from + 1000000 && (*error = add_key(t, who, n)) == 0)
		n++;
	return n;
}

/* How many of the first @n keys do not have the total they should. */
static unsigned wrong(struct wbc_table *t, unsigned who, unsigned n,
                      uint64_t want)
{
	unsigned bad = 0;

	for (unsigned i = 0; i < n; i++)
		bad += key_total(t, who, i) != want;
	return bad;
}

static unsigned add_again(struct wbc_table *t, unsigned who, unsigned n)
{
	unsigned bad = 0;

	for (unsigned i = 0; i < n; i++)
		bad += add_key(t, who, i) != 0;
	return bad;
}

/* What the index holds, and what the bitmaps say is in use. */
struct audit {
	uint64_t entries, nodes;
	uint64_t entry_bits, block_bits;
};

static int count_step(void *arg, const struct wbci_step *step)
{
	struct audit *a = arg;

	a->entries += step->tag == INDEX_ENTRY;
	a->nodes += step->tag == INDEX_NODE;
	return 0;
}

static uint64_t bits_of(const struct meta_shm *meta)
{
	uint64_t n = 0;

	for (unsigned w = 0; w < WBCI_BITMAP_WORDS; w++) {
		uint64_t bits = order_load(&meta->alloc[w]);

		for (unsigned i = 0; i < 4; i++)
			bits &= ~order_load(&meta->limbo[i][w]);
		n += (uint64_t)__builtin_popcountll(bits);
	}
	return n;
}

/* Nothing that had no room, or lost a race, may keep a block. */
static bool nothing_leaked(const struct wbc *c, unsigned tables)
{
	const struct wbci_segment *s = &c->client->segment;
	struct audit a = {0};

	if (wbci_index_walk(s, count_step, &a))
		tap_bail("the index cannot be walked");
	for (uint32_t i = 0; i < wbci_committed(s) * WBCI_PAGES_PER_EXTENT;
	     i++) {
		unsigned kind = wbci_page_kind(order_load(&s->words[i]));

		if (kind == PAGE_ENTRIES)
			a.entry_bits += bits_of(&s->metas[i]);
		else if (kind == PAGE_BLOCKS)
			a.block_bits += bits_of(&s->metas[i]);
	}
	if (a.entries == a.entry_bits && a.nodes + tables == a.block_bits)
		return true;
	tap_diag("%llu entries of %llu, %llu nodes and %u tables of %llu",
	         (unsigned long long)a.entries,
	         (unsigned long long)a.entry_bits, (unsigned long long)a.nodes,
	         tables, (unsigned long long)a.block_bits);
	return false;
}

/* Takes what is left of the file system. */
static void stuff(const struct scratch *dir)
{
	static const char zeros[4096];
	char path[PATH_MAX];
	int fd;

	snprintf(path, sizeof(path), "%s/stuffing", dir->dir);
	fd = open(path, O_WRONLY | O_CREAT, 0600);
	while (write(fd, zeros, sizeof(zeros)) > 0)
		;
	if (errno != ENOSPC)
		tap_bail("%s: %s", path, strerror(errno));
	close(fd);
}

static void unstuff(const struct scratch *dir)
{
	char path[PATH_MAX];

	snprintf(path, sizeof(path), "%s/stuffing", dir->dir);
	unlink(path);
}

static struct wbc_options small(void)
{
	struct wbc_options o = scratch_options();

	o.capacity = 1024;
	o.lane_bytes = 65536;
	o.message = words;
	o.message_size = sizeof(words);
	return o;
}

/* Another process, on a file system that has not a page left. */
static void comes_when_full(int line, void *arg)
{
	struct scratch *dir = arg;
	struct wbc_options o = small();
	struct wbc_value v = wbc_text("k", "row", 3);
	struct wbc_table *t;
	struct wbc *c;

	(void)line;
	tap_is_int(wbc_open(&c, dir->address, &o), 0,
	           "full: another process attaches");
	t = scratch_table(c, SPEC);
	tap_is_int(add_key(t, 0, 0), 0, "full: and counts");
	tap_is_int(wbc_insert(t, &v, 1, 0), -ENOSPC,
	           "full: a first insert, which needs a lane, is -ENOSPC");
	tap_is_int(add_key(t, 1, 0), -ENOSPC, "full: so is a new key");
	unstuff(dir);
	tap_is_int(wbc_insert(t, &v, 1, 0), 0,
	           "with room again the same insert works");
	stuff(dir);
	tap_is_int(wbc_insert(t, &v, 1, 0), 0,
	           "full again: a lane that is there takes rows");
	wbc_close(&c);
}

static void test_full(struct scratch *dir)
{
	struct wbc_options o = small();
	struct wbc *c = scratch_open(dir, &o);
	struct wbc_table *t = scratch_table(c, SPEC), *late;
	struct control_shm *control = c->client->segment.control;
	char other[PATH_MAX + 16];
	struct wbci_message m = {words, sizeof(words)};
	struct wbc *second;
	unsigned n, files, others = 0;
	struct child child;
	int error;

	n = fill(t, 0, 0, &error);
	tap_is_int(error, -ENOSPC, "a full file system is an error (P8)");
	tap_ok(n > 10000, "that came after %u new keys", n);
	tap_ok(strstr(wbc_strerror(error), "--shm-size") != NULL,
	       "its explanation names the container's setting");
	wbci_segment_full_message(&c->client->segment, &m);
	tap_ok(strstr(words, "--shm-size") && strstr(words, dir->path) &&
	               strstr(words, "8 MiB"),
	       "its message names setting, file and size: %s", words);
	tap_is_uint(order_load(&control->low_memory), 1,
	            "the flusher is told of it");
	tap_is_int(wbc_table_declare(c, LONG_SPEC, &late, words, sizeof(words)),
	           -ENOSPC, "a table that has no room is -ENOSPC");
	tap_ok(strstr(words, "--shm-size") != NULL, "with the same words");
	tap_is_uint(wrong(t, 0, n, 1), 0, "what was added before is there");
	tap_is_uint(add_again(t, 0, n), 0, "rows that exist go on counting");
	tap_is_uint(wrong(t, 0, n, 2), 0, "and are exact (P3)");
	tap_is_uint(key_total(t, 0, n), 0,
	            "the key that had no room is not half there");
	for (unsigned i = 0; i < 300; i++)
		others += add_key(t, 3, i) == 0;
	tap_ok(nothing_leaked(c, 1),
	       "nor does a key without room keep a block: of 300 more, %u "
	       "found some (P6)",
	       others);

	stuff(dir);
	child = child_start(comes_when_full, dir);
	tap_is_int(child_wait(&child), 0,
	           "without a page left: no process is killed (P8)");
	tap_is_uint(add_again(t, 0, n), 0, "rows that exist still count");
	files = scratch_files(dir);
	snprintf(other, sizeof(other), "%s-2", dir->address);
	o.capacity = 1 << 20;
	tap_is_int(wbc_open(&second, other, &o), -ENOSPC,
	           "a new segment on a full file system is -ENOSPC (P8)");
	tap_ok(strstr(words, "--shm-size") && strstr(words, "capacity"),
	       "with words that name both remedies: %s", words);
	tap_is_uint(scratch_files(dir), files, "and no file is left of it");
	unstuff(dir);

	if (mount(NULL, dir->dir, NULL, MS_REMOUNT, "size=24m"))
		tap_bail("remount: %s", strerror(errno));
	tap_is_int(add_key(t, 0, n), 0,
	           "when the file system is enlarged new keys work again");
	tap_is_uint(order_load(&control->low_memory), 0,
	            "and the flusher is told of that");
	tap_is_int(wbc_table_declare(c, LONG_SPEC, &late, words, sizeof(words)),
	           0, "and so do new tables");
	tap_ok(fill(t, 2, 0, &error) > n && error == -ENOSPC,
	       "until it is full again");
	tap_is_uint(key_total(t, 0, 0), 4, "sums are exact (P3)");
	tap_is_uint(wrong(t, 0, n, 3), 1, "all of them");
	tap_is_uint(key_total(t, 0, n), 1, "the one that came late, too");
	wbc_close(&c);
	scratch_clear(dir);
	if (mount(NULL, dir->dir, NULL, MS_REMOUNT, "size=8m"))
		tap_bail("remount: %s", strerror(errno));
}

/* One of several that fill it at once. */
struct filler {
	struct scratch *dir;
	unsigned who;
	unsigned *n;
	int *error;
};

static void fills(int line, void *arg)
{
	const struct filler *f = arg;
	struct wbc *c = scratch_open(f->dir, NULL);
	struct wbc_table *t = scratch_table(c, SPEC);

	child_say(line);
	child_hear(line);
	*f->n = fill(t, f->who, 0, f->error);
	wbc_close(&c);
}

/* Each key has as many adds as fillers got that far. */
static unsigned wrong_together(struct wbc_table *t, const unsigned n[4],
                               bool same)
{
	unsigned bad = 0;

	if (!same) {
		for (unsigned i = 0; i < 4; i++)
			bad += wrong(t, i, n[i], 1) +
			       (unsigned)key_total(t, i, n[i]);
		return bad;
	}
	for (unsigned i = 0; i < 100000; i++) {
		uint64_t want = 0;

		for (unsigned j = 0; j < 4; j++)
			want += n[j] > i;
		bad += key_total(t, 0, i) != want;
		if (want == 0)
			break;
	}
	return bad;
}

/* Several fill it at once, with the same keys or each with its own. */
static void test_full_together(struct scratch *dir, bool same)
{
	const char *what = same ? "the same keys" : "keys of their own";
	struct wbc_options o = small();
	struct wbc *c = scratch_open(dir, &o);
	struct wbc_table *t = scratch_table(c, SPEC);
	unsigned *n = child_shared(4096), refused = 0, ended = 0;
	int *error = (int *)(n + 8);
	struct filler f[4];
	struct child child[4];

	for (unsigned i = 0; i < N(f); i++) {
		f[i] = (struct filler){dir, same ? 0 : i, &n[i], &error[i]};
		child[i] = child_start(fills, &f[i]);
		child_hear(child[i].line);
	}
	for (unsigned i = 0; i < N(f); i++)
		child_say(child[i].line);
	for (unsigned i = 0; i < N(f); i++) {
		ended += child_wait(&child[i]) == 0;
		refused += error[i] == -ENOSPC;
	}
	tap_is_uint(ended, N(f),
	            "filled by several with %s: nobody is killed "
	            "(P8)",
	            what);
	tap_is_uint(refused, N(f), "with %s: each is told -ENOSPC", what);
	tap_is_uint(wrong_together(t, n, same), 0,
	            "with %s: what each was told to be added is (P3)", what);
	tap_ok(nothing_leaked(c, 1), "with %s: no block is lost (P6)", what);
	wbc_close(&c);
	munmap(n, 4096);
	scratch_clear(dir);
}

static void in_small_place(int line, void *arg)
{
	struct scratch *dir = arg;

	if (!child_mount(dir->dir, "size=8m"))
		return;
	child_say(line);
	test_full(dir);
	test_full_together(dir, false);
	test_full_together(dir, true);
	umount(dir->dir);
}

/* The segment's own limit, where the file system has room. */
static void test_limit(const struct scratch *dir)
{
	struct wbc_options o = small();
	struct wbc_table *t, *late;
	unsigned n;
	struct wbc *c;
	int error;

	o.max_bytes = 4 << 20;
	c = scratch_open(dir, &o);
	t = scratch_table(c, SPEC);
	n = fill(t, 0, 0, &error);
	tap_is_int(error, -ENOSPC, "a segment takes no more than max_bytes");
	tap_ok(wbci_committed(&c->client->segment) == 2 && n > 5000,
	       "but does take it: %u keys", n);
	tap_is_int(wbc_table_declare(c, LONG_SPEC, &late, words, sizeof(words)),
	           -ENOSPC, "at max_bytes a table that needs room is -ENOSPC");
	tap_ok(strstr(words, "max_bytes") && strstr(words, "4 MiB") &&
	               !strstr(words, "--shm-size"),
	       "with words about max_bytes, not about the file system: %s",
	       words);
	tap_is_uint(order_load(&c->client->segment.control->low_memory), 0,
	            "nor is memory said to be low");
	tap_is_uint(add_again(t, 0, n), 0, "rows that exist go on counting");
	tap_is_uint(wrong(t, 0, n, 2), 0, "and are exact (P3)");
	wbc_close(&c);
	scratch_clear(dir);
}

int main(void)
{
	struct scratch dir;
	struct child c;

	scratch_make(&dir);
	test_limit(&dir);
	c = child_start(in_small_place, &dir);
	if (!child_hear(c.line))
		tap_skip(38, "no mount namespace of our own is permitted");
	tap_is_int(child_wait(&c), 0,
	           "no signal ended whoever lived on a full file system (P8)");
	scratch_remove(&dir);
	return tap_done();
}
