/* SPDX-License-Identifier: MIT */
/* Copyright the wbcshm authors */

/*
 * Each maps the segment a second time and goes past the library.  It may
 * assume a state that the engine has made, and is nobody's example.
 */
#include "bad.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "shm/layout.h"

/* The segment, as the library has it, and the victim's row in it. */
struct inside {
	unsigned char *base;
	const struct header_shm *header;
	struct control_shm *control;
	struct entry_shm *row;
	uint64_t row_off;
};

static bool map_segment(const struct scene *s, struct inside *in)
{
	int fd = open(strchr(s->address, ':') + 1, O_RDWR | O_CLOEXEC);
	struct stat st;
	void *p;

	if (fd < 0 || fstat(fd, &st))
		return false;
	p = mmap(NULL, (size_t)st.st_size, PROT_READ | PROT_WRITE, MAP_SHARED,
	         fd, 0);
	close(fd);
	if (p == MAP_FAILED)
		return false;
	in->base = p;
	in->header = p;
	in->control = (void *)(in->base + WBCI_SYS_PAGE);
	return true;
}

/* A row that has the key in its first line, in any entry page. */
static bool find_row(const struct scene *s, struct inside *in)
{
	const struct header_shm *h = in->header;
	size_t len = strlen(s->key);
	order_u64 *root = (void *)(in->base + h->root_off);

	for (uint32_t i = 0; i < 1u << h->root_bits; i++) {
		uint64_t word = order_load(&root[i]);
		struct entry_shm *e;

		if ((word & 3) != INDEX_ENTRY)
			continue;
		in->row_off = (word >> 20) * WBCI_BLOCK_MIN;
		e = (void *)(in->base + in->row_off);
		if (e->key_len == len && !memcmp(e->key, s->key, len)) {
			in->row = e;
			return true;
		}
	}
	return false;
}

static bool look(const struct scene *s, struct inside *in)
{
	return map_segment(s, in) && find_row(s, in);
}

/* The size of the blocks in which the table's rows stand. */
#define ROW_BLOCK 192u

static void stamp(const struct inside *in)
{
	order_release(&in->row->stamp, order_load(&in->control->cycle));
}

static void set_bits(const struct inside *in)
{
	const struct header_shm *h = in->header;
	uint64_t page = (in->row_off - h->extents_off) / WBCI_PAGE_BYTES;
	unsigned block = (unsigned)(in->row_off % WBCI_PAGE_BYTES / ROW_BLOCK);
	struct meta_shm *meta = (void *)(in->base + h->metas_off);
	order_u64 *summary = (void *)(in->base + h->summary_off);

	order_or(&meta[page].dirty[block / 64], UINT64_C(1) << block % 64);
	order_or(&summary[page / 64], UINT64_C(1) << page % 64);
}

/* Killed after the stamp, the row is never marked in this cycle. */
static int stamp_first(struct scene *s)
{
	struct inside in;

	if (!look(s, &in))
		return -EBADMSG;
	stamp(&in);
	set_bits(&in);
	order_add_release(&in.row->total, 1);
	return 0;
}

/* Killed after the add, it is read by no round. */
static int mark_last(struct scene *s)
{
	struct inside in;

	if (!look(s, &in))
		return -EBADMSG;
	order_add_release(&in.row->total, 1);
	set_bits(&in);
	stamp(&in);
	return 0;
}

static int add_in_parts(struct scene *s)
{
	struct inside in;

	if (!look(s, &in))
		return -EBADMSG;
	set_bits(&in);
	stamp(&in);
	order_add_release(&in.row->total, 4);
	order_add_release(&in.row->total, (uint64_t)-3);
	return 0;
}

/* The tail before the record that it is about. */
static int tail_first(struct scene *s)
{
	struct wbc_value values[OPS_VALUES];
	struct thread_shm *lane;
	struct inside in;
	uint64_t tail;

	if (!map_segment(s, &in))
		return -EBADMSG;
	op_row(s, values);
	lane = (void *)(in.base + in.header->threads_off);
	tail = order_load(&lane->lane_tail);
	order_release(&lane->lane_tail, tail + 128);
	order_release(&lane->lane_tail, tail);
	return wbc_insert(s->t, values, OPS_VALUES, 0);
}

/* The word of the index before the row is there. */
static int publish_first(struct scene *s)
{
	struct inside in;
	struct wbc_value key = wbc_text(NULL, s->key, (uint32_t)strlen(s->key));
	order_u64 *root;
	uint32_t free_word = 0;
	uint64_t some = 0;

	if (!map_segment(s, &in))
		return -EBADMSG;
	root = (void *)(in.base + in.header->root_off);
	for (uint32_t i = 0; i < 1u << in.header->root_bits; i++) {
		if (order_load(&root[i]) == INDEX_EMPTY)
			free_word = i;
		else
			some = order_load(&root[i]);
	}
	/* It names the block behind one that is in use. */
	order_release(&root[free_word],
	              some + ((uint64_t)(ROW_BLOCK / WBCI_BLOCK_MIN) << 20));
	order_release(&root[free_word], INDEX_EMPTY);
	return wbc_add_int64(s->t, &key, 1, OPS_N, 1);
}

const struct bad_op bad_ops[] = {
	{{"stamp before the bits are set", stamp_first, DECLARED, HERE,
          FACT_INT, 1, 0, IN(CLEAN)},
         "add"},
	{{"mark after the add", mark_last, DECLARED, HERE, FACT_INT, 1, 0,
          IN(CLEAN)},
         "add"},
	{{"add in parts", add_in_parts, DECLARED, HERE, FACT_INT, 1, 0,
          IN(ROW)},
         "add"},
	{{"move the tail before the record", tail_first, DECLARED, HERE,
          FACT_ROWS, 1, 0, IN(WRAP)},
         "insert"},
	{{"publish a row before it is there", publish_first, DECLARED, HERE,
          FACT_INT, 1, 0, IN(CLASH)},
         "add"},
};
const size_t n_bad_ops = sizeof(bad_ops) / sizeof(bad_ops[0]);

const struct op *bad_find(const char *name)
{
	for (size_t i = 0; i < n_bad_ops; i++)
		if (!strcmp(bad_ops[i].op.name, name))
			return &bad_ops[i].op;
	return NULL;
}
