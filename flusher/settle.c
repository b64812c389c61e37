/* SPDX-License-Identifier: MIT */
/* Copyright the wbcshm authors */

/*
 * Answers of the sinks, and what clients are told.
 *
 * A piece is applied: first its rows' origins are stored in the segment, then
 * the piece is trimmed from the journal, then the segment's counts and
 * `settled` follow.  Killed in between, the piece is sent again, found
 * applied, and its values are read anew: so origins are stored whoever dies,
 * and no reader goes on seeing what the database has refused.
 */

#include <errno.h>
#include <string.h>
#include <time.h>

#include "../api/wbc_error.h"
#include "../shm/table.h"
#include "../shm/wake.h"
#include "loader.h"
#include "log.h"
#include "origins.h"
#include "points.h"
#include "state.h"

#define AWAY_FIRST_NS (INT64_C(100) * 1000000)
#define AWAY_MOST_NS (INT64_C(2000) * 1000000)

struct trimming {
	struct wbci_queue *q;
	struct wbci_journal_table record;
};

static int fill_trim(struct wbci_journal *j, void *arg)
{
	struct trimming *t = arg;
	int error =
		wbci_journal_delete(j, BLOB_PIECE, t->q->name, t->record.done);

	if (!error)
		error = wbci_journal_put_table(j, t->q->name, &t->record);
	wbci_point(POINT_TRIM_BEFORE_COMMIT);
	return error;
}

/* The commit that the answer speaks of is durable: the piece may go. */
static int trim(struct wbci_flusher *f, struct wbci_queue *q,
                const struct wbci_work *w)
{
	uint64_t rows = w->rows.n_rows + w->rows.n_inserts;
	struct trimming t = {q, q->record};
	char text[192] = "";
	struct wbci_message m = {text, sizeof(text)};
	int error;

	t.record.done = w->piece;
	t.record.refused += w->refused;
	t.record.applied += rows - w->refused;
	error = wbci_journal_update(f->journal, fill_trim, &t, &m);
	if (error) {
		wbci_log("trim-failed", LOG_TEXT("table", wbci_queue_label(q)),
		         LOG_TEXT("reason", text));
		f->reload = true;
		return error;
	}
	wbci_point(POINT_TRIM_AFTER_COMMIT);
	q->record = t.record;
	q->planned_rows -= rows < q->planned_rows ? rows : q->planned_rows;
	return 0;
}

static void log_applied(const struct wbci_queue *q, const struct wbci_work *w)
{
	if (w->outcome == OUTCOME_ALREADY) {
		wbci_log("already-applied",
		         LOG_TEXT("table", wbci_queue_label(q)),
		         LOG_NUMBER("piece", w->piece));
		return;
	}
	wbci_log("applied", LOG_TEXT("table", wbci_queue_label(q)),
	         LOG_NUMBER("piece", w->piece), LOG_NUMBER("rows", w->applied),
	         LOG_NUMBER("inserts", w->inserted),
	         LOG_NUMBER("refused", w->refused),
	         LOG_NUMBER("ignored", w->ignored),
	         LOG_NUMBER("statements", w->statements),
	         LOG_NUMBER("ms", w->took_ns / 1000000));
}

static void unpark(struct wbci_queue *q)
{
	if (q->parked)
		wbci_log("resumed", LOG_TEXT("table", wbci_queue_label(q)));
	q->parked = 0;
	q->reason[0] = '\0';
	q->retry_ns = 0;
}

static void take_piece(struct wbci_flusher *f, struct wbci_queue *q,
                       const struct wbci_work *w)
{
	/* A journal that was read again meanwhile may have moved on. */
	if (f->reload || w->piece != q->record.done + 1 ||
	    !wbci_queue_outstanding(q))
		return;
	wbci_origins_applied(f, q, w);
	if (trim(f, q, w))
		return;
	log_applied(q, w);
	f->totals.rows += w->applied;
	f->totals.inserts += w->inserted;
	f->totals.refused += w->refused;
	f->totals.statements += w->statements;
	if (w->refused) {
		memcpy(q->reason, w->reason, sizeof(q->reason));
		wbci_log("refused", LOG_TEXT("table", wbci_queue_label(q)),
		         LOG_NUMBER("piece", w->piece),
		         LOG_NUMBER("rows", w->refused),
		         LOG_TEXT("last", w->reason));
	}
}

static void is_back(struct wbci_flusher *f, struct wbci_connection *c)
{
	unsigned tables = 0;

	if (!c->away)
		return;
	c->away = false;
	c->away_delay_ns = 0;
	for (unsigned i = 0; i < f->queues.n; i++) {
		struct wbci_queue *q = f->queues.queue[i];

		if (q->connection != c)
			continue;
		tables++;
		if (!q->parked)
			q->reason[0] = '\0';
	}
	wbci_log("database-back", LOG_TEXT("connection", c->name),
	         LOG_NUMBER("tables", tables));
}

static void is_away(struct wbci_flusher *f, struct wbci_queue *q,
                    const struct wbci_work *w)
{
	struct wbci_connection *c = q->connection;
	int64_t now = wbci_now_ns();

	c->given_up = f->finishing;
	if (!c->away || strcmp(q->reason, w->reason) != 0)
		wbci_log("database-away", LOG_TEXT("connection", c->name),
		         LOG_TEXT("table", wbci_queue_label(q)),
		         LOG_TEXT("reason", w->reason));
	memcpy(q->reason, w->reason, sizeof(q->reason));
	if (c->away && now < c->away_until_ns)
		return; /* the same failure, of another table */
	c->away = true;
	c->away_delay_ns =
		c->away_delay_ns ? c->away_delay_ns * 2 : AWAY_FIRST_NS;
	if (c->away_delay_ns > AWAY_MOST_NS)
		c->away_delay_ns = AWAY_MOST_NS;
	c->away_until_ns = now + c->away_delay_ns;
}

static void park(struct wbci_queue *q, const struct wbci_work *w)
{
	if (q->parked != WBC_E_PARKED || strcmp(q->reason, w->reason) != 0)
		wbci_log("parked", LOG_TEXT("table", wbci_queue_label(q)),
		         LOG_TEXT("reason", w->reason));
	q->parked = WBC_E_PARKED;
	memcpy(q->reason, w->reason, sizeof(q->reason));
	/* At once if a flush was asked for that this attempt is too old for. */
	q->retry_ns = q->flush_to > q->asked_synced
	                      ? 0
	                      : wbci_now_ns() + WBCI_RETRY_NS;
	/* A flush that was asked for before this attempt has its answer. */
	if (q->settled < q->asked_synced)
		q->settled = q->asked_synced;
}

/* Rows were read for those who want to know. */
static void take_read(struct wbci_flusher *f, struct wbci_queue *q,
                      const struct wbci_work *w)
{
	if (w->outcome == OUTCOME_AWAY)
		is_away(f, q, w);
	else
		is_back(f, q->connection);
	wbci_loader_take(f, q, w);
}

static void take_answer(struct wbci_flusher *f, struct wbci_queue *q,
                        const struct wbci_work *w)
{
	q->connection->in_flight--;
	if (w->reads) {
		take_read(f, q, w);
		return;
	}
	q->in_flight = false;
	/* If it could not be looked at, nobody will be able to say more. */
	if (w->examine && w->outcome != OUTCOME_AWAY)
		q->examined = true;
	switch (w->outcome) {
	case OUTCOME_DONE:
	case OUTCOME_ALREADY:
		is_back(f, q->connection);
		unpark(q);
		q->reconciled = true;
		if (w->piece)
			take_piece(f, q, w);
		break;
	case OUTCOME_AWAY:
		is_away(f, q, w);
		break;
	case OUTCOME_PARKED:
		is_back(f, q->connection);
		park(q, w);
		break;
	}
}

static void take_answers(struct wbci_flusher *f, struct wbci_apply *a)
{
	struct wbci_work *work;
	void *q;

	while ((work = wbci_apply_take(a, &q))) {
		wbci_point(POINT_ANSWER_TAKEN);
		take_answer(f, q, work);
		wbci_work_free(&work);
	}
}

void wbci_settle(struct wbci_flusher *f)
{
	for (unsigned i = 0; i < f->connections.n; i++)
		if (f->connections.connection[i]->apply)
			take_answers(f, f->connections.connection[i]->apply);
}

static void publish_words(const struct wbci_segment *s, struct wbci_queue *q)
{
	if (q->published_parked == q->parked &&
	    !strcmp(q->published, q->reason))
		return;
	wbci_table_park(s, (unsigned)q->segment_table, q->parked, q->reason);
	q->published_parked = q->parked;
	memcpy(q->published, q->reason, sizeof(q->published));
}

/* How far a table is settled; it never goes back. */
static uint64_t settled_to(const struct wbci_flusher *f, struct wbci_queue *q)
{
	uint64_t settled = q->settled;

	if (!wbci_queue_pending(q) || q->parked == WBC_E_TABLE ||
	    q->parked == WBC_E_SCHEMA)
		settled = f->synced;
	else if (!wbci_queue_outstanding(q))
		settled = q->batches[0].first;
	else
		settled = q->planned_first;
	if (settled > q->settled)
		q->settled = settled;
	return q->settled;
}

static void publish_queue(const struct wbci_flusher *f, struct wbci_queue *q,
                          uint64_t settled, uint32_t base_ttl_s)
{
	const struct wbci_segment *s = &f->client->segment;
	struct table_shm *shm = &s->tables[q->segment_table];

	publish_words(s, q);
	/* Relaxed: ages are told in seconds. */
	order_store(&shm->base_ttl_s, base_ttl_s);
	order_store(&shm->rows_applied, q->record.applied);
	order_store(&shm->rows_refused, q->record.refused);
	order_store(&shm->rows_pending, wbci_queue_rows(q));
	/* ORDER round.settled, release: what became of them is said. */
	if (settled > order_load(&shm->settled))
		order_release(&shm->settled, settled);
}

void wbci_publish(struct wbci_flusher *f)
{
	const struct wbci_segment *s = &f->client->segment;
	const struct wbci_config *c = wbci_config_get(&f->config);
	uint32_t base_ttl_s = c->base_ttl_s;
	uint64_t least = f->synced;

	wbci_config_put();
	for (unsigned i = 0; i < f->queues.n; i++) {
		struct wbci_queue *q = f->queues.queue[i];
		uint64_t settled = settled_to(f, q);

		if (q->segment_table < 0)
			continue;
		publish_queue(f, q, settled, base_ttl_s);
		if (settled < least)
			least = settled;
	}
	if (least > order_load(&s->control->settled))
		/* ORDER round.settled, release. */
		order_release(&s->control->settled, least);
	wbci_event(s);
	wbci_point(POINT_SETTLED_PUBLISHED);
}
