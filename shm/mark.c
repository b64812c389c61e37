/* SPDX-License-Identifier: MIT */
/* Copyright the wbcshm authors */

#include "mark.h"

#include "page.h"

/* Set a bit unless it is set; both levels are looked at each time. */
static void set_bit(order_u64 *word, unsigned bit)
{
	uint64_t mask = UINT64_C(1) << bit;

	/* ORDER mark.bit, acquire/release: the round that takes the bit is
	 * before or after us, and we know which. */
	if (!(order_acquire(word) & mask))
		order_or(word, mask);
}

void wbci_mark_bits(struct wbci_thread *t, struct entry_shm *e,
                    uint64_t cycle)
{
	const struct wbci_segment *s = &t->client->segment;
	uint64_t offset = (uint64_t)((unsigned char *)e - s->base);
	uint32_t page = wbci_page_of(s, offset);
	unsigned class = wbci_page_class(order_load(&s->words[page]));
	unsigned bit = (unsigned)(offset % WBCI_PAGE_BYTES) /
	               wbci_class_bytes[class % WBCI_CLASSES];

	/* Page bit, then summary bit, then stamp: killed between any two, a
	 * later marker or round still finds the entry, or has no need to. */
	set_bit(&s->metas[page].dirty[bit / 64], bit % 64);
	set_bit(&s->summary[page / 64], page % 64);
	/* A closed segment's last cycle stamps nothing, so that no later add
	 * finds its entry ready.  Closed was set before that cycle began. */
	if (order_load(&t->control->closed))
		return;
	/* ORDER mark.stamp, release: the bits are set when the stamp says
	 * so. */
	order_release(&e->stamp, cycle);
}
