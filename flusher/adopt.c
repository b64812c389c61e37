/* SPDX-License-Identifier: MIT */
/* Copyright the wbcshm authors */

/*
 * Taking over a segment: its lock, the journal's lock, and the proof that the
 * two belong together.
 *
 * A segment names the journal that adopted it, a journal the segment that it
 * serves.  A new segment names none.  Adoption: the journal commits that it
 * serves this segment, and that it has no cursors in it; then the segment's
 * cycle goes beyond the journal's last round; then the segment names the
 * journal.  Killed in between, the next flusher does it all again.
 *
 * A journal that names another segment has outlived it (loss of power, rm):
 * what it holds is applied, its numbers go on in the new one.
 */

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../api/wbc_error.h"
#include "bus.h"
#include "lock.h"
#include "log.h"
#include "points.h"
#include "state.h"

static void id_text(const unsigned char *id, char *text)
{
	static const char digits[] = "0123456789abcdef";

	for (unsigned i = 0; i < 16; i++) {
		text[2 * i] = digits[id[i] >> 4];
		text[2 * i + 1] = digits[id[i] & 15];
	}
	text[32] = '\0';
}

static int lock_segment(struct wbci_flusher *f, const struct wbci_segment *s,
                        const struct wbci_message *m)
{
	struct flock lock = {.l_type = F_WRLCK,
	                     .l_whence = SEEK_SET,
	                     .l_start = WBCI_LOCK_FLUSHER,
	                     .l_len = 1};
	int fd = wbci_segment_description(s);
	int error;

	if (fd < 0)
		return wbci_say(m, fd, "segment: %s: %s", s->path,
		                strerror(-fd));
	error = wbci_lock_file(fd, &lock,
	                       (pid_t)order_load(&s->control->flusher_pid));
	if (!error) {
		f->segment_lock = fd;
		wbci_point(POINT_START_LOCKED);
		return 0;
	}
	close(fd);
	if (error != -EBUSY)
		return wbci_say(m, error, "segment: %s: cannot lock it: %s",
		                s->path, strerror(-error));
	return wbci_say(m, -EBUSY,
	                "segment: %s: served by another flusher, pid %u; end "
	                "that one first",
	                s->path, order_load(&s->control->flusher_pid));
}

/* Slots full of the dead would keep out the one who buries them. */
static int attach(struct wbci_flusher *f, const struct wbci_segment *s,
                  const struct wbci_message *m)
{
	unsigned in_section;
	int error = wbci_client_open(&f->client, s->path, true, m);

	if (error != -EUSERS || !wbci_reap(s, &in_section))
		return error;
	return wbci_client_open(&f->client, s->path, true, m);
}

static int open_segment(struct wbci_flusher *f, const struct wbci_config *c,
                        const struct wbci_message *m)
{
	char path[PATH_MAX];
	struct wbci_segment s;
	int error = wbci_segment_path(c->address, path, c->create, m);

	if (!error && c->create)
		error = wbci_segment_create(path, &c->how, m);
	if (error && error != -EEXIST)
		return error;
	error = wbci_segment_open(&s, path, true, m);
	if (error)
		return error;
	error = lock_segment(f, &s, m);
	if (!error)
		error = attach(f, &s, m);
	if (!error)
		wbci_bus_segment(&f->client->segment);
	wbci_segment_close(&s);
	return error;
}

static int open_journal(struct wbci_flusher *f, const struct wbci_config *c,
                        const struct wbci_message *m)
{
	int error;

	f->journal_lock = wbci_journal_lock(c->journal, true, m);
	if (f->journal_lock < 0)
		return f->journal_lock;
	error = wbci_journal_open(&f->journal, c->journal, WBCI_JOURNAL_CREATE,
	                          m);
	if (!error)
		id_text(wbci_journal_meta(f->journal)->journal_id,
		        f->journal_text);
	return error;
}

/* The counts that clients of a segment see begin with the segment. */
struct counted {
	unsigned n;
	struct {
		char name[WBCI_TABLE_NAME];
		struct wbci_journal_table record;
	} table[WBCI_QUEUES_MAX];
};

static int note_counted(void *arg, const char *table,
                        const struct wbci_journal_table *record)
{
	struct counted *c = arg;

	if (c->n == WBCI_QUEUES_MAX)
		return -E2BIG;
	memcpy(c->table[c->n].name, table, strlen(table) + 1);
	c->table[c->n].record = *record;
	c->table[c->n].record.applied = 0;
	c->table[c->n].record.refused = 0;
	c->n++;
	return 0;
}

static int reset_counts(struct wbci_journal *j)
{
	struct counted *c = calloc(1, sizeof(*c));
	int error;

	if (!c)
		return -ENOMEM;
	error = wbci_journal_each_table(j, note_counted, c);
	for (unsigned i = 0; i < c->n && !error; i++)
		error = wbci_journal_put_table(j, c->table[i].name,
		                               &c->table[i].record);
	free(c);
	return error;
}

static int fill_adopt(struct wbci_journal *j, void *arg)
{
	struct wbci_journal_meta meta = *wbci_journal_meta(j);
	const struct wbci_cursors none = {.n_cells = 0};
	const struct wbci_flusher *f = arg;
	int error;

	memcpy(meta.segment_id, f->client->segment.geo.segment_id, 16);
	meta.prev_round = meta.last_round;
	error = wbci_journal_put_meta(j, &meta);
	if (!error)
		error = wbci_journal_put_cursors(j, &none);
	if (!error)
		error = reset_counts(j);
	wbci_point(POINT_ADOPT_BEFORE_COMMIT);
	return error;
}

/* Rounds to come have numbers that the journal does not have yet. */
static void advance_cycle(struct wbci_flusher *f)
{
	struct control_shm *control = f->client->segment.control;
	uint64_t next = wbci_journal_meta(f->journal)->last_round + 1;

	/* Only the flusher moves it, and that is us. */
	if (order_load_seq(&control->cycle) < next)
		order_xchg_seq(&control->cycle, next);
}

static int adopt(struct wbci_flusher *f, const struct wbci_message *m)
{
	struct control_shm *control = f->client->segment.control;
	const struct wbci_journal_meta *meta = wbci_journal_meta(f->journal);
	uint64_t id[2];
	int error;

	error = wbci_journal_update(f->journal, fill_adopt, f, m);
	if (error)
		return error;
	wbci_point(POINT_ADOPT_AFTER_COMMIT);
	advance_cycle(f);
	order_release(&control->redone, meta->last_round);
	wbci_point(POINT_ADOPT_CYCLE);
	memcpy(id, meta->journal_id, sizeof(id));
	order_release(&control->journal_id[1], id[1]);
	wbci_point(POINT_ADOPT_HALF);
	/* ORDER flusher.adopt, release: last, all of the above is done. */
	order_release(&control->journal_id[0], id[0]);
	wbci_point(POINT_ADOPT_DONE);
	wbci_log("adopted", LOG_TEXT("segment", f->client->segment.path),
	         LOG_TEXT("journal", f->journal_text),
	         LOG_NUMBER("round", meta->last_round));
	return 0;
}

/* An adopted segment and a journal: the right ones, and of the same time? */
static int match(struct wbci_flusher *f, const uint64_t *id,
                 const struct wbci_config *c, const struct wbci_message *m)
{
	const struct wbci_segment *s = &f->client->segment;
	const struct wbci_journal_meta *meta = wbci_journal_meta(f->journal);
	uint64_t redone = order_acquire(&s->control->redone);
	unsigned char bytes[16];
	char text[33];

	memcpy(bytes, id, sizeof(bytes));
	id_text(bytes, text);
	if (memcmp(bytes, meta->journal_id, 16) != 0)
		return wbci_say(m, WBC_E_JOURNAL,
		                "segment: %s: belongs to journal %s, but %s "
		                "holds journal %s; give the --journal that it "
		                "was used with",
		                s->path, text, c->journal, f->journal_text);
	if (memcmp(s->geo.segment_id, meta->segment_id, 16) != 0)
		return wbci_say(m, WBC_E_JOURNAL,
		                "journal: %s: has gone on with another "
		                "segment, since this one (%s) was left; what "
		                "this one has not journaled can only be read "
		                "with wbc-shmdump",
		                c->journal, s->path);
	if (redone != meta->last_round && redone != meta->prev_round)
		return wbci_say(m, WBC_E_JOURNAL,
		                "journal: %s: ends at round %" PRIu64 ", but "
		                "the segment has seen round %" PRIu64 ": it is "
		                "an old copy; restore the right one",
		                c->journal, meta->last_round, redone);
	advance_cycle(f);
	return 0;
}

static int match_or_adopt(struct wbci_flusher *f, const struct wbci_config *c,
                          const struct wbci_message *m)
{
	struct control_shm *control = f->client->segment.control;
	uint64_t id[2];

	/* ORDER flusher.adopt, acquire: 0 until adoption is complete. */
	id[0] = order_acquire(&control->journal_id[0]);
	id[1] = order_acquire(&control->journal_id[1]);
	return id[0] ? match(f, id, c, m) : adopt(f, m);
}

int wbci_adopt(struct wbci_flusher *f, const struct wbci_config *c,
               const struct wbci_message *m)
{
	struct control_shm *control;
	int error = open_segment(f, c, m);

	if (!error)
		error = open_journal(f, c, m);
	if (!error)
		error = match_or_adopt(f, c, m);
	if (error)
		return error;
	control = f->client->segment.control;
	/* The last one did not come to its end: what it was about to take out
	 * of the index is looked for. */
	if (order_load(&control->flusher_proc))
		wbci_sweep_want(&f->client->segment);
	order_add(&control->generation, 1);
	order_store(&control->flusher_pid, (uint32_t)getpid());
	order_release(&control->flusher_proc, f->client->proc + 1);
	return 0;
}
