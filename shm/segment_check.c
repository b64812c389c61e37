/* SPDX-License-Identifier: MIT */
/* Copyright the wbcshm authors */

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "segment_check.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "../api/wbc_error.h"

/* Every size and place that two builds must agree on. */
static const uint32_t layout_numbers[] = {
        sizeof(struct header_shm),
        sizeof(struct control_shm),
        sizeof(struct proc_shm),
        sizeof(struct thread_shm),
        sizeof(struct table_shm),
        sizeof(struct spec_shm),
        sizeof(struct meta_shm),
        sizeof(struct node_shm),
        sizeof(struct cell_shm),
        sizeof(struct entry_shm),
        sizeof(struct long_shm),
        sizeof(struct tnode_shm),
        sizeof(struct tref_shm),
        sizeof(struct record_shm),
        sizeof(struct value_shm),
        offsetof(struct header_shm, segment_id),
        offsetof(struct header_shm, size_bytes),
        offsetof(struct header_shm, n_procs),
        offsetof(struct control_shm, sleep),
        offsetof(struct control_shm, sync_want),
        offsetof(struct control_shm, committed),
        offsetof(struct control_shm, synced),
        offsetof(struct control_shm, generation),
        offsetof(struct thread_shm, epoch),
        offsetof(struct thread_shm, lane_tail),
        offsetof(struct thread_shm, lane_head),
        offsetof(struct table_shm, policy),
        offsetof(struct table_shm, want),
        offsetof(struct table_shm, settled),
        offsetof(struct table_shm, message),
        offsetof(struct meta_shm, limbo),
        offsetof(struct meta_shm, dirty),
        offsetof(struct entry_shm, space),
        offsetof(struct entry_shm, journaled),
        offsetof(struct entry_shm, n_cells),
        offsetof(struct entry_shm, more),
        sizeof(struct row_shm),
        offsetof(struct row_shm, journaled),
        offsetof(struct entry_shm, cells),
        WBCI_PAGE_BYTES,
        WBCI_EXTENT_BYTES,
        WBCI_BLOCK_MIN,
        WBCI_NODE_WORDS,
        WBCI_LOCK_FLUSHER,
        WBCI_LOCK_PROC,
};

uint64_t wbci_layout_digest(void)
{
	return XXH3_64bits(layout_numbers, sizeof(layout_numbers));
}

uint64_t wbci_header_checksum(const struct header_shm *h)
{
	return XXH3_64bits(h, offsetof(struct header_shm, checksum));
}

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	return -1;
}

void wbci_boot_id(unsigned char id[16])
{
	char text[64] = {0};
	unsigned n = 0;
	int fd, digit;
	ssize_t got;

	memset(id, 0, 16);
	fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return;
	got = read(fd, text, sizeof(text) - 1);
	close(fd);
	for (ssize_t i = 0; i < got && n < 32; i++) {
		digit = hex_digit(text[i]);
		if (digit < 0)
			continue;
		id[n / 2] = (unsigned char)(id[n / 2] << 4 | digit);
		n++;
	}
}

static uint64_t round_up(uint64_t n, uint64_t to)
{
	return (n + to - 1) / to * to;
}

/* All counts are below 2^34 and all sizes below 2^12, so nothing wraps. */
bool wbci_header_place(struct header_shm *h)
{
	uint64_t at = WBCI_SYS_PAGE + sizeof(struct control_shm);

	if (h->n_procs > WBCI_PROCS_MAX || h->n_threads > WBCI_THREADS_MAX ||
	    h->n_tables > WBCI_TABLES_MAX ||
	    h->root_bits > WBCI_ROOT_BITS_MAX ||
	    h->n_extents > WBCI_EXTENTS_MAX || h->lane_bytes > WBCI_LANE_MAX)
		return false;
	h->n_pages = h->n_extents * WBCI_PAGES_PER_EXTENT;
	h->procs_off = at = round_up(at, WBCI_SYS_PAGE);
	at += (uint64_t)h->n_procs * sizeof(struct proc_shm);
	h->threads_off = at = round_up(at, WBCI_SYS_PAGE);
	at += (uint64_t)h->n_threads * sizeof(struct thread_shm);
	h->tables_off = at = round_up(at, WBCI_SYS_PAGE);
	at += (uint64_t)h->n_tables * sizeof(struct table_shm);
	h->summary_off = at = round_up(at, WBCI_SYS_PAGE);
	at += round_up(h->n_pages, 64) / 8;
	h->words_off = at = round_up(at, WBCI_SYS_PAGE);
	at += (uint64_t)h->n_pages * sizeof(uint64_t);
	h->root_off = at = round_up(at, WBCI_SYS_PAGE);
	at += sizeof(uint64_t) << h->root_bits;
	h->metas_off = at = round_up(at, WBCI_SYS_PAGE);
	at += (uint64_t)h->n_pages * sizeof(struct meta_shm);
	h->lanes_off = at = round_up(at, WBCI_SYS_PAGE);
	at += (uint64_t)h->n_threads * h->lane_bytes;
	h->extents_off = at = round_up(at, WBCI_EXTENT_BYTES);
	h->size_bytes = at + (uint64_t)h->n_extents * WBCI_EXTENT_BYTES;
	return true;
}

/* The numbers are a layout that this build would have made. */
static bool geometry_holds(const struct header_shm *h)
{
	struct header_shm own = *h;

	if (h->n_procs < WBCI_SLOTS_MIN || h->n_threads < WBCI_SLOTS_MIN ||
	    !h->n_tables || !h->n_extents || h->lane_bytes < WBCI_LANE_MIN ||
	    (h->lane_bytes & (h->lane_bytes - 1)))
		return false;
	if (!wbci_header_place(&own))
		return false;
	return !memcmp(&own, h, sizeof(own));
}

static int check_layout(const struct header_shm *h, const char *path,
                        const struct wbci_message *m)
{
	if (h->layout != WBCI_LAYOUT_VERSION)
		return wbci_say(m, WBC_E_LAYOUT,
		                "attach: %s: its layout is version %u, this "
		                "library's is %u; use the same release in all "
		                "processes, or make the segment anew",
		                path, h->layout, WBCI_LAYOUT_VERSION);
	if (h->header_bytes != sizeof(*h) || h->byte_order != 0x01020304 ||
	    h->sys_page != WBCI_SYS_PAGE || h->line != WBCI_LINE ||
	    h->digest != wbci_layout_digest())
		return wbci_say(m, WBC_E_LAYOUT,
		                "attach: %s: laid out by a build with other "
		                "sizes or offsets; use the same release and "
		                "architecture in all processes",
		                path);
	if (h->incompat || h->ro_compat)
		return wbci_say(m, WBC_E_LAYOUT,
		                "attach: %s: it uses features that this "
		                "library does not know (%#llx); upgrade it",
		                path,
		                (unsigned long long)(h->incompat |
		                                     h->ro_compat));
	return 0;
}

int wbci_header_check(const struct header_shm *h, uint64_t size,
                      const char *path, const struct wbci_message *m)
{
	static const unsigned char unknown[16];
	unsigned char boot[16];
	int error;

	if (size < WBCI_SYS_PAGE || h->magic != WBCI_MAGIC)
		return wbci_say(m, WBC_E_FORMAT,
		                "attach: %s: not a wbcshm segment", path);
	error = check_layout(h, path, m);
	if (error)
		return error;
	if (h->checksum != wbci_header_checksum(h))
		return wbci_say(m, WBC_E_CORRUPT,
		                "attach: %s: the header's checksum is wrong; "
		                "the file is damaged",
		                path);
	if (!geometry_holds(h))
		return wbci_say(m, WBC_E_CORRUPT,
		                "attach: %s: the header's numbers contradict "
		                "each other; the file is damaged",
		                path);
	if (size != h->size_bytes)
		return wbci_say(m, WBC_E_CORRUPT,
		                "attach: %s: the file has %llu bytes, its "
		                "header says %llu; it was truncated",
		                path, (unsigned long long)size,
		                (unsigned long long)h->size_bytes);
	wbci_boot_id(boot);
	if (!memcmp(boot, h->boot_id, sizeof(boot)))
		return 0;
	if (!memcmp(boot, unknown, sizeof(boot)))
		return wbci_say(m, -EPERM,
		                "attach: %s: whether the machine was restarted "
		                "since it was made cannot be told: there is no "
		                "/proc/sys/kernel/random/boot_id; mount /proc",
		                path);
	return wbci_say(m, WBC_E_BOOT,
	                "attach: %s: the machine was restarted since it was "
	                "made; remove it (the journal has what it had)",
	                path);
}
