/* SPDX-License-Identifier: MIT */
/* Copyright the wbcshm authors */

/* Changes of a segment: what an input says, and how inputs are made. */
#include <string.h>

#include "image.h"
#include "shm/page.h"
#include "shm/segment_check.h"

#define FLAG_SEAL 1u
#define FLAG_PLACE 2u

static uint64_t element(const struct image_elements *e, uint64_t index)
{
	index %= e->n;
	return e->list ? e->list[index] : e->at + index * e->stride;
}

static uint64_t load(const struct image *im, uint64_t at)
{
	uint64_t word;

	memcpy(&word, im->s.base + at, sizeof(word));
	return word;
}

static void store(struct image *im, uint64_t at, const void *p, size_t bytes)
{
	memcpy(im->s.base + at, p, bytes);
}

/* The word of an index that names what an edit's value chooses. */
static uint64_t reference(const struct image *im, uint64_t value, uint64_t had)
{
	const struct image_elements *to =
		&im->region[value >> 2 & 1 ? REGION_ENTRIES : REGION_NODES];

	return element(to, value >> 8) / WBCI_BLOCK_MIN << 20 |
	       (had & 0xffffc) | (value & 3);
}

static void change(struct image *im, struct fuzz_source *from)
{
	unsigned how = (unsigned)fuzz_take(from, 1) % EDIT_HOWS;
	const struct image_elements *e =
		&im->region[fuzz_take(from, 1) % REGION_COUNT];
	uint64_t index = fuzz_take(from, 2);
	uint64_t at = fuzz_take(from, 2) % e->stride;
	uint64_t value = fuzz_take(from, 8);
	uint64_t base = element(e, index);
	uint64_t word = base + (at & ~UINT64_C(7));
	uint64_t had = load(im, word);

	switch (how) {
	case EDIT_SET64:
		store(im, word, &value, 8);
		break;
	case EDIT_SET32:
		store(im, base + (at & ~UINT64_C(3)), &value, 4);
		break;
	case EDIT_SET16:
		store(im, base + (at & ~UINT64_C(1)), &value, 2);
		break;
	case EDIT_SET8:
		store(im, base + at, &value, 1);
		break;
	case EDIT_XOR64:
		value ^= had;
		store(im, word, &value, 8);
		break;
	case EDIT_ADD64:
		value += had;
		store(im, word, &value, 8);
		break;
	case EDIT_REF:
		value = reference(im, value, had);
		store(im, word, &value, 8);
		break;
	default:
		memset(im->s.base + word, (int)value & 0xff,
		       e->stride - (at & ~UINT64_C(7)));
		break;
	}
}

void image_change(struct image *im, const uint8_t *data, size_t bytes)
{
	struct header_shm *h = (struct header_shm *)(void *)im->s.base;
	struct fuzz_source from = {data, bytes};
	uint64_t flags = fuzz_take(&from, 1);

	for (unsigned i = 0; from.left && i < IMAGE_EDITS_MAX; i++)
		change(im, &from);
	if (flags & FLAG_PLACE)
		wbci_header_place(h);
	if (flags & (FLAG_SEAL | FLAG_PLACE))
		h->checksum = wbci_header_checksum(h);
}

/* How often a region is chosen. */
static const unsigned char weights[REGION_COUNT] = {
	[REGION_HEADER] = 4,   [REGION_CONTROL] = 10, [REGION_PROCS] = 4,
	[REGION_THREADS] = 10, [REGION_TABLES] = 8,   [REGION_SUMMARY] = 4,
	[REGION_WORDS] = 10,   [REGION_ROOT] = 10,    [REGION_METAS] = 10,
	[REGION_LANES] = 8,    [REGION_EXTENTS] = 4,  [REGION_ENTRIES] = 22,
	[REGION_NODES] = 10,   [REGION_SPECS] = 8,
};

static unsigned choose_region(struct dice *d)
{
	unsigned sum = 0, at;

	for (unsigned i = 0; i < REGION_COUNT; i++)
		sum += weights[i];
	at = dice_below(d, sum);
	for (unsigned i = 0;; i++) {
		if (at < weights[i])
			return i;
		at -= weights[i];
	}
}

/* Numbers at which something ends, and words that mean something. */
static uint64_t choose_value(struct dice *d)
{
	switch (dice_below(d, 10)) {
	case 0:
		return 0;
	case 1:
		return ~UINT64_C(0);
	case 2:
		return dice_below(d, 256);
	case 3:
		return UINT64_C(1) << dice_below(d, 64);
	case 4:
		return (UINT64_C(1) << dice_below(d, 64)) - 1;
	case 5:
		return 0 - (uint64_t)dice_below(d, 4096);
	case 6:
		return wbci_page_word(dice_below(d, 4), dice_below(d, 24),
		                      dice_below(d, 8));
	case 7: /* an incarnation and a state; a slot's owner */
		return (uint64_t)dice_below(d, 4) << 16 |
		       (uint64_t)dice_below(d, 6) << 4 | dice_below(d, 5);
	case 8: /* an offset of a block, near an end now and then */
		return ((uint64_t)dice_below(d, 3) * WBCI_EXTENT_BYTES +
		        (uint64_t)dice_below(d, 33) * WBCI_PAGE_BYTES +
		        (uint64_t)dice_below(d, 4) * WBCI_BLOCK_MIN -
		        (uint64_t)dice_below(d, 2) * WBCI_BLOCK_MIN);
	default:
		return dice_word(d);
	}
}

static void put(uint8_t *to, uint64_t n, unsigned bytes)
{
	for (unsigned i = 0; i < bytes; i++)
		to[i] = (uint8_t)(n >> 8 * i);
}

static void make_edit(struct dice *d, uint8_t *edit)
{
	unsigned region = choose_region(d);
	unsigned how = dice_below(d, EDIT_HOWS);

	if ((region == REGION_ROOT || region == REGION_NODES) &&
	    dice_below(d, 2))
		how = EDIT_REF;
	/* Whole regions are overwritten now and then only. */
	if (how == EDIT_FILL && dice_below(d, 4))
		how = EDIT_XOR64;
	edit[0] = (uint8_t)how;
	edit[1] = (uint8_t)region;
	put(edit + 2, dice_below(d, 2) ? dice_below(d, 8) : dice_word(d), 2);
	/* Most of what matters stands in the first lines. */
	put(edit + 4, dice_below(d, 2) ? dice_below(d, 128) : dice_word(d), 2);
	put(edit + 6, choose_value(d), 8);
}

size_t image_mutate(struct dice *d, uint8_t *data, size_t bytes, size_t room)
{
	uint32_t n = bytes > 1 ? (uint32_t)((bytes - 1) / IMAGE_EDIT_BYTES) : 0;
	uint8_t *edits = data + 1;
	uint8_t *edit;

	if (room < 1 + IMAGE_EDIT_BYTES)
		return bytes;
	if (bytes == 0 || dice_below(d, 16) == 0)
		data[0] = (uint8_t)dice_word(d) &
		          (dice_below(d, 4) ? 0xfc : 0xff);
	if (n == 0 || (dice_below(d, 3) == 0 && n < IMAGE_EDITS_MAX &&
	               1 + (n + 1) * IMAGE_EDIT_BYTES <= room)) {
		make_edit(d, edits + n * IMAGE_EDIT_BYTES);
		return 1 + (n + 1) * IMAGE_EDIT_BYTES;
	}
	edit = edits + dice_below(d, n) * IMAGE_EDIT_BYTES;
	switch (dice_below(d, 6)) {
	case 0:
		make_edit(d, edit);
		break;
	case 1: /* the same thing to its neighbour */
		edit[2] ^= (uint8_t)(1 + dice_below(d, 7));
		break;
	case 2:
		put(edit + 4, dice_below(d, 256), 2);
		break;
	case 3:
		put(edit + 6, choose_value(d), 8);
		break;
	case 4:
		edit[dice_below(d, IMAGE_EDIT_BYTES)] ^=
			(uint8_t)(1u << dice_below(d, 8));
		break;
	case 5:
		memmove(edit, edits + (n - 1) * IMAGE_EDIT_BYTES,
		        IMAGE_EDIT_BYTES);
		return 1 + (n - 1) * IMAGE_EDIT_BYTES;
	}
	return 1 + n * IMAGE_EDIT_BYTES;
}
