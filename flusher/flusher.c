/* SPDX-License-Identifier: MIT */
/* Copyright the wbcshm authors */

/*
 * The collector's thread: its life, and its loop.
 *
 * It alone touches the journal, the queues and, but for the slots of the dead
 * (reaper.h), the segment, from start to end; the sinks' threads (connection.h)
 * see nothing but works.  It sleeps on the segment's futex until a client, an
 * answer, a signal's flag or the clock wants something.
 */
#include "flusher.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>
#include <urcu/urcu-memb.h>

#include "../api/wbc_error.h"
#include "../shm/lane.h"
#include "../shm/wake.h"
#include "log.h"
#include "points.h"
#include "state.h"

#define MS_NS INT64_C(1000000)
#define FINAL_RELOADS 8u

/* Something to do before the time-out? */
static bool is_wanted(void *arg)
{
	struct wbci_flusher *f = arg;
	const struct wbci_segment *s = &f->client->segment;

	if (atomic_load(&f->stop) || atomic_load(&f->flush_now) ||
	    wbci_config_waits(f) ||
	    wbci_connections_answered(&f->connections) ||
	    wbci_upkeep_wanted(f) || wbci_loader_wanted(f) ||
	    order_load_seq(&s->control->sync_want) > f->sync_seen ||
	    order_load_seq(&s->control->flush_want) > f->flush_seen)
		return true;
	for (unsigned i = 0; i < f->queues.n_tables; i++) {
		const struct wbci_queue *q = f->queues.of_table[i];

		if (q && order_load_seq(&s->tables[i].want) > q->want_seen)
			return true;
	}
	return !f->lanes_idle && wbci_lane_half_full(s);
}

/* In the final flush only answers count. */
static bool is_answered(void *arg)
{
	const struct wbci_flusher *f = arg;

	return wbci_connections_answered(&f->connections);
}

static int sleep_ms(const struct wbci_flusher *f)
{
	int64_t until = f->next_round_ns;

	if (f->next_flush_ns < until)
		until = f->next_flush_ns;
	if (f->upkeep.next_ns < until)
		until = f->upkeep.next_ns;
	until -= wbci_now_ns();
	return until > 0 ? (int)((until + MS_NS - 1) / MS_NS) : 0;
}

/* A flush of everything below a round, tried at once whatever failed. */
static void ask_flush(struct wbci_queue *q, uint64_t round)
{
	if (q->flush_to < round)
		q->flush_to = round;
	q->retry_ns = 0;
	if (q->connection)
		q->connection->away_until_ns = 0;
}

static void ask_flush_all(struct wbci_flusher *f, uint64_t round)
{
	for (unsigned i = 0; i < f->queues.n; i++)
		ask_flush(f->queues.queue[i], round);
}

/* A request for rounds, of which there are none beyond the next. */
static uint64_t asked(const struct wbci_segment *s, order_u64 *word)
{
	uint64_t want = order_load_seq(word);
	uint64_t most = order_load_seq(&s->control->cycle) + 1;

	return want < most ? want : most;
}

/* What was asked since the last look.  True: a round is wanted now. */
static bool take_requests(struct wbci_flusher *f)
{
	const struct wbci_segment *s = &f->client->segment;
	uint64_t sync_want = order_load_seq(&s->control->sync_want);
	uint64_t flush_want = asked(s, &s->control->flush_want);
	bool hungry = wbci_upkeep_wanted(f);
	bool round = sync_want > f->sync_seen || flush_want > f->flush_seen ||
	             hungry;

	f->pressed |= hungry;

	f->sync_seen = sync_want;
	if (atomic_exchange(&f->flush_now, false)) {
		ask_flush_all(f, order_load_seq(&s->control->cycle) + 1);
		round = true;
	}
	wbci_queues_refresh(&f->queues, s);
	if (flush_want > f->flush_seen) {
		f->flush_seen = flush_want;
		ask_flush_all(f, flush_want);
	}
	for (unsigned i = 0; i < f->queues.n_tables; i++) {
		struct wbci_queue *q = f->queues.of_table[i];
		uint64_t want = asked(s, &s->tables[i].want);

		if (!q || want <= q->want_seen)
			continue;
		q->want_seen = want;
		ask_flush(q, want);
		round = true;
	}
	return round;
}

/* After a doubt, and after memory and journal may have parted.  False: not
 * now; the rows stay where they are. */
static bool recover(struct wbci_flusher *f)
{
	bool doubt = wbci_journal_in_doubt(f->journal);
	char text[256] = "";
	struct wbci_message m = {text, sizeof(text)};
	int error = 0;

	if (!doubt && !f->reload)
		return true;
	f->reload = true;
	if (doubt)
		error = wbci_journal_recover(f->journal, &m);
	if (!error)
		error = wbci_load(f, &m);
	if (!error) {
		f->reload = false;
		if (f->doubt_logged)
			wbci_log("journal-back",
			         LOG_NUMBER("round",
			                    wbci_journal_meta(f->journal)
			                            ->last_round));
		f->doubt_logged = false;
		return true;
	}
	if (!f->doubt_logged)
		wbci_log("journal-away", LOG_TEXT("reason", text));
	f->doubt_logged = true;
	if (!doubt) /* the journal is there, but cannot be read */
		f->fatal = error;
	return false;
}

/* The first of rounds that fail, and then ever fewer of them. */
static void log_round(struct wbci_flusher *f, int error)
{
	f->failed_rounds = error ? f->failed_rounds + 1 : 0;
	if (error && !(f->failed_rounds & (f->failed_rounds - 1)))
		wbci_log("round-failed",
		         LOG_TEXT("reason", wbc_strerror(error)),
		         LOG_NUMBER("count", f->failed_rounds));
}

static int make_round(struct wbci_flusher *f, int64_t now)
{
	const struct wbci_config *c = wbci_config_get(&f->config);
	int64_t interval = c->journal_ms * MS_NS;
	int error;

	wbci_config_put();
	error = wbci_collect(f);
	log_round(f, error);
	/* A lane that stays half full although it was read, or could not be,
	 * is no reason for another round at once. */
	f->lanes_idle = error || (!f->cursors.n_lanes &&
	                          wbci_lane_half_full(&f->client->segment));
	f->next_round_ns = now + interval;
	return error;
}

static void step(struct wbci_flusher *f)
{
	bool asked = take_requests(f);
	int64_t now = wbci_now_ns();

	/* Relaxed: for ages in seconds. */
	order_store(&f->client->segment.control->now_s,
	            wbci_boot_ns() / 1000000000);
	wbci_config_take(f);
	if (recover(f)) {
		wbci_settle(f);
		if (asked || now >= f->next_round_ns ||
		    (!f->lanes_idle &&
		     wbci_lane_half_full(&f->client->segment)))
			make_round(f, now);
		wbci_ask_due_flushes(f, now);
		wbci_dispatch(f);
		wbci_loader_step(f);
		wbci_publish(f);
	} else {
		f->next_round_ns = now + 200 * MS_NS;
		f->lanes_idle = true;
	}
	wbci_upkeep(f, wbci_now_ns());
}

/* The last round could not be made durable: no end to be content with. */
static void left_in_segment(struct wbci_flusher *f, int error)
{
	wbci_log("left-in-segment",
	         LOG_TEXT("segment", f->client->segment.path),
	         LOG_TEXT("error", wbc_strerror(error)),
	         LOG_TEXT("reason", "the last round is not journaled; keep the "
	                            "segment, mend what the error names (the "
	                            "journal's disk, memory), start "
	                            "wbc-flusher again"));
	f->fatal = error;
}

/* All that is in the segment goes to the journal, then to the database as far
 * as one attempt brings it. */
static void final_flush(struct wbci_flusher *f)
{
	unsigned reloads = 0;
	int error;

	wbci_log("stopping", LOG_TEXT("segment", f->client->segment.path));
	wbci_point(POINT_FINAL_BEGUN);
	if (!recover(f)) {
		left_in_segment(f, -EIO);
		return;
	}
	wbci_settle(f);
	f->finishing = true;
	error = make_round(f, wbci_now_ns());
	if (error) {
		left_in_segment(f, error);
		return;
	}
	wbci_point(POINT_FINAL_JOURNALED);
	ask_flush_all(f, f->synced);
	do {
		reloads += f->reload;
		if (reloads > FINAL_RELOADS || !recover(f))
			break;
		wbci_settle(f);
		wbci_dispatch(f);
		wbci_publish(f);
		if (wbci_dispatch_busy(f))
			wbci_sleep(f->client, is_answered, f, 1000);
	} while (wbci_dispatch_busy(f) || f->reload);
	wbci_point(POINT_FINAL_APPLIED);
}

/* Whose tables stay in the journal for its sake. */
static void log_away(const struct wbci_flusher *f,
                     const struct wbci_connection *c)
{
	uint64_t rows = 0;
	unsigned tables = 0;

	for (unsigned i = 0; i < f->queues.n; i++) {
		const struct wbci_queue *q = f->queues.queue[i];

		if (q->connection != c || !wbci_queue_pending(q))
			continue;
		rows += wbci_queue_rows(q);
		tables++;
	}
	if (c->away)
		wbci_log("left-away", LOG_TEXT("connection", c->name),
		         LOG_NUMBER("tables", tables), LOG_NUMBER("rows", rows),
		         LOG_NUMBER("tried", c->tried));
}

static void log_end(struct wbci_flusher *f)
{
	const struct wbci_totals *t = &f->totals;

	f->totals.left = 0;
	for (unsigned i = 0; i < f->queues.n; i++) {
		struct wbci_queue *q = f->queues.queue[i];

		if (!wbci_queue_pending(q))
			continue;
		f->totals.left += wbci_queue_rows(q);
		wbci_log("left", LOG_TEXT("table", wbci_queue_label(q)),
		         LOG_NUMBER("rows", wbci_queue_rows(q)),
		         LOG_TEXT("reason",
		                  *q->reason ? q->reason : "not applied yet"));
	}
	for (unsigned i = 0; i < f->connections.n; i++)
		log_away(f, f->connections.connection[i]);
	wbci_log("stopped", LOG_NUMBER("rows", t->rows),
	         LOG_NUMBER("inserts", t->inserts),
	         LOG_NUMBER("refused", t->refused),
	         LOG_NUMBER("statements", t->statements),
	         LOG_NUMBER("batches", t->batches),
	         LOG_NUMBER("pieces", t->pieces),
	         LOG_NUMBER("merges", t->merges),
	         LOG_NUMBER("rounds", t->rounds), LOG_NUMBER("left", t->left));
}

static void work(struct wbci_flusher *f)
{
	int64_t now = wbci_now_ns();
	const struct wbci_config *c = wbci_config_get(&f->config);

	f->next_flush_ns = f->due_ns = now + c->flush_ms * MS_NS;
	wbci_config_put();
	f->next_round_ns = now;
	f->upkeep.next_ns = now;
	while (!atomic_load(&f->stop) && !f->fatal) {
		wbci_sleep(f->client, is_wanted, f, sleep_ms(f));
		step(f);
	}
	if (!f->fatal)
		final_flush(f);
	if (f->fatal)
		wbci_log("failed", LOG_TEXT("reason", wbc_strerror(f->fatal)));
	log_end(f);
}

/*
 * Our thread's slot, before any cursor is moved: without one nothing can be.
 * The last flusher's may be the only one left, so the dead go first.
 */
static int take_slot(struct wbci_flusher *f, const struct wbci_message *m)
{
	const struct wbci_segment *s = &f->client->segment;
	struct wbci_thread *t;
	unsigned in_section;
	int error;

	wbci_reap(s, &in_section);
	error = wbci_thread(f->client, &t);
	if (error == -EUSERS)
		return wbci_say(m, error,
		                "segment: %s: all %u thread slots are in use; "
		                "end a client, or make the segment anew with "
		                "more (wbc-shmctl create --threads)",
		                s->path, s->geo.n_threads);
	return error ? wbci_say(m, error, "segment: %s: %s", s->path,
	                        wbc_strerror(error))
	             : 0;
}

static int begin(struct wbci_flusher *f, const struct wbci_config *c)
{
	const struct wbci_message *m = &f->message;
	const struct wbci_segment *s;
	int error = wbci_adopt(f, c, m);

	if (error)
		return error;
	s = &f->client->segment;
	error = take_slot(f, m);
	if (error)
		return error;
	error = wbci_connections_configure(&f->connections, c);
	if (!error)
		error = wbci_queues_configure(&f->queues, &f->connections, c);
	if (!error)
		error = wbci_load(f, m);
	if (error)
		return error == -ENOMEM ? wbci_say(m, error, "no memory")
		                        : error;
	f->lane_buffer = malloc(s->geo.lane_bytes);
	if (!f->lane_buffer)
		return wbci_say(m, -ENOMEM, "no memory for a lane");
	wbci_rounds_init(&f->rounds, f->client);
	error = wbci_upkeep_begin(f);
	if (!error)
		error = wbci_loader_begin(f);
	if (error)
		return wbci_say(m, error, "no memory");
	error = wbci_reaper_start(&f->reaper, f->client);
	if (error)
		return wbci_say(m, error, "cannot begin the reaper: %s",
		                strerror(-error));
	error = wbci_connections_step(&f->connections, &f->queues, f->client);
	if (error)
		return wbci_say(m, error, "cannot begin a sink's thread: %s",
		                strerror(-error));
	wbci_log("started", LOG_TEXT("segment", s->path),
	         LOG_TEXT("journal", f->journal_text),
	         LOG_NUMBER("generation", order_load(&s->control->generation)),
	         LOG_NUMBER("pid", getpid()));
	return 0;
}

/* In the reverse order of begin(), as far as it came; the locks go last. */
static void end(struct wbci_flusher *f)
{
	wbci_connections_free(&f->connections);
	wbci_reaper_stop(&f->reaper);
	wbci_loader_end(f);
	wbci_upkeep_end(f);
	wbci_rounds_free(&f->rounds);
	free(f->lane_buffer);
	wbci_unapplied_free(&f->unapplied);
	wbci_cursors_free(&f->cursors);
	wbci_queues_free(&f->queues);
	wbci_journal_close(&f->journal);
	if (f->client) {
		order_store(&f->client->segment.control->flusher_proc, 0);
		order_store(&f->client->segment.control->flusher_pid, 0);
		wbci_event(&f->client->segment);
		wbci_client_close(&f->client);
	}
	wbci_point(POINT_FINAL_CLOSED);
	if (f->journal_lock >= 0)
		close(f->journal_lock);
	if (f->segment_lock >= 0)
		close(f->segment_lock);
}

/* Tell start() how it went, and let others ring, or not any more. */
static void say_started(struct wbci_flusher *f, int error)
{
	pthread_mutex_lock(&f->mutex);
	f->is_started = true;
	f->error = error;
	f->ring = error ? NULL : f->client;
	pthread_cond_signal(&f->started);
	pthread_mutex_unlock(&f->mutex);
}

static void no_more_rings(struct wbci_flusher *f)
{
	pthread_mutex_lock(&f->mutex);
	f->ring = NULL;
	f->error = f->fatal;
	pthread_cond_signal(&f->started);
	pthread_mutex_unlock(&f->mutex);
}

static void *collector_thread(void *arg)
{
	struct wbci_flusher *f = arg;
	uint64_t one = 1;
	int error;

	pthread_setname_np(pthread_self(), "wbc-collector");
	urcu_memb_register_thread();
	/* Nobody publishes another one before we have started. */
	error = begin(f, f->config);
	say_started(f, error);
	if (!error) {
		work(f);
		no_more_rings(f);
	}
	end(f);
	urcu_memb_unregister_thread();
	if (write(f->ended, &one, sizeof(one)) < 0)
		return NULL;
	return NULL;
}

static void destroy(struct wbci_flusher *f)
{
	wbci_config_publish(&f->config, NULL);
	if (f->ended >= 0)
		close(f->ended);
	pthread_cond_destroy(&f->started);
	pthread_mutex_destroy(&f->mutex);
	free(f);
}

static int wait_started(struct wbci_flusher *f)
{
	int error;

	pthread_mutex_lock(&f->mutex);
	while (!f->is_started)
		pthread_cond_wait(&f->started, &f->mutex);
	/* Here: one that started may end by itself at once, and say why. */
	error = f->error;
	pthread_mutex_unlock(&f->mutex);
	if (error)
		pthread_join(f->thread, NULL);
	return error;
}

int wbci_flusher_start(struct wbci_flusher **flusher,
                       const struct wbci_flusher_config *said,
                       const struct wbci_message *m)
{
	struct wbci_flusher *f = calloc(1, sizeof(*f));
	struct wbci_config *c = NULL;
	int error;

	if (!f)
		return wbci_say(m, -ENOMEM, "no memory");
	f->segment_lock = f->journal_lock = -1;
	if (m)
		f->message = *m;
	pthread_mutex_init(&f->mutex, NULL);
	pthread_cond_init(&f->started, NULL);
	f->ended = eventfd(0, EFD_CLOEXEC);
	error = f->ended < 0 ? -errno : wbci_config_new(&c, said, m);
	if (!error) {
		wbci_config_publish(&f->config, c);
		error = -pthread_create(&f->thread, NULL, collector_thread, f);
		if (error)
			wbci_say(m, error, "cannot begin a thread: %s",
			         strerror(-error));
	}
	if (!error)
		error = wait_started(f);
	if (error) {
		destroy(f);
		return error;
	}
	*flusher = f;
	return 0;
}

static void ring(struct wbci_flusher *f)
{
	pthread_mutex_lock(&f->mutex);
	if (f->ring)
		wbci_ring(&f->ring->segment);
	pthread_mutex_unlock(&f->mutex);
}

void wbci_flusher_flush(struct wbci_flusher *f)
{
	atomic_store(&f->flush_now, true);
	ring(f);
}

int wbci_flusher_fd(const struct wbci_flusher *f)
{
	return f->ended;
}

int wbci_flusher_stop(struct wbci_flusher **flusher, struct wbci_totals *totals)
{
	struct wbci_flusher *f = *flusher;
	int error;

	*flusher = NULL;
	if (!f)
		return 0;
	atomic_store(&f->stop, true);
	ring(f);
	pthread_join(f->thread, NULL);
	error = f->error;
	if (totals)
		*totals = f->totals;
	destroy(f);
	return error;
}
