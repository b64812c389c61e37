/* SPDX-License-Identifier: MIT */
/* Copyright the wbcshm authors */

/* Lanes: whole records, in order, once, whoever wrote them and died. */
#include "shm/lane.h"

#include <fcntl.h>
#include <sched.h>

#include "shm/wake.h"
#include "unit/dice.h"
#include "unit/rig.h"
#include "unit/step.h"

#define SPEC "log(n int, t text, d double)"

enum { LANE = 4096, SMALLEST = 8 + 16 };

struct test {
	struct rig rig;
	struct wbc *c;
	struct wbc_table *table;
	struct wbci_thread *t;
	const struct wbci_segment *s;
	unsigned char *buffer;
	struct wbci_client *flusher;
};

static struct test begin(void)
{
	struct test x = {.rig = rig_make(&(struct wbci_create){
				 .max_bytes = 2 * WBCI_EXTENT_BYTES,
				 .capacity = 1,
				 .procs = 8,
				 .threads = 8,
				 .lane_bytes = LANE})};

	x.flusher = rig_client(&x.rig);
	x.s = &x.flusher->segment;
	x.c = rig_open(&x.rig);
	x.table = rig_table(x.c, SPEC);
	x.t = rig_thread(x.c->client);
	x.buffer = aligned_alloc(8, LANE);
	if (!x.buffer)
		tap_bail("no memory");
	return x;
}

static void end(struct test *x)
{
	free(x->buffer);
	wbc_close(&x->c);
	wbci_client_close(&x->flusher);
	rig_drop(&x->rig);
}

/* A row of a number and a text of @bytes, each of them the number's. */
static int insert(struct test *x, int64_t number, uint32_t bytes,
                  int timeout_ms)
{
	char text[LANE];
	struct wbc_value v[2] = {wbc_int64("n", number),
	                         wbc_text("t", text, bytes)};

	memset(text, 'a' + (int)(number % 26), bytes);
	return wbc_insert(x->table, v, bytes ? 2 : 1, timeout_ms);
}

/* Is a record the row that insert() made?  Returns its length, or 0. */
static uint64_t check_record(struct test *x, const unsigned char *record,
                             uint64_t left, int64_t number, uint32_t bytes)
{
	struct wbc_value v[WBC_COLUMNS_MAX];
	uint8_t columns[WBC_COLUMNS_MAX];
	struct record_shm head;
	int n = wbci_record_parse(&x->table->schema, record, left, v, columns);
	bool good;

	memcpy(&head, record, sizeof(head));
	good = n == (bytes ? 2 : 1) && head.table == x->table->number &&
	       v[0].v.i == number;
	if (good && bytes) {
		const char *text = v[1].v.p;

		good = v[1].bytes == bytes && columns[1] == 1;
		for (uint32_t i = 0; good && i < bytes; i++)
			good = text[i] == 'a' + (int)(number % 26);
	}
	return good ? head.bytes : 0;
}

/* Read a lane, and move past it; how many records were as expected, from
 * number @next on; 99999 if one was not. */
static unsigned drain(struct test *x, uint32_t slot, int64_t next,
                      uint32_t (*text_of)(int64_t number))
{
	uint64_t head, tail;
	int64_t bytes = wbci_lane_read(x->s, slot, x->buffer, &head, &tail);
	unsigned n = 0;
	uint64_t at = 0;

	if (bytes < 0)
		return 99999;
	while (at < (uint64_t)bytes) {
		uint64_t length =
			check_record(x, x->buffer + at, (uint64_t)bytes - at,
		                     next, text_of(next));

		if (!length)
			return 99999;
		at += length;
		next++;
		n++;
	}
	wbci_lane_move(x->s, slot, tail);
	return n;
}

static uint32_t no_text(int64_t number)
{
	(void)number;
	return 0;
}

static uint32_t any_text(int64_t number)
{
	return (uint32_t)(number * 37 % 1500);
}

static void test_wrap(void)
{
	struct test x = begin();
	int64_t next = 0, read = 0;
	unsigned wrong = 0;
	uint64_t head, tail;

	tap_is_int(wbci_lane_read(x.s, x.t->slot, x.buffer, &head, &tail), 0,
	           "a lane begins empty");
	while (next < 5000) {
		int error = insert(&x, next, any_text(next), 0);

		if (!error) {
			next++;
			continue;
		}
		wrong += error != WBC_E_NOFLUSHER;
		read += drain(&x, x.t->slot, read, any_text);
	}
	read += drain(&x, x.t->slot, read, any_text);
	tap_ok(wrong == 0 && read == next,
	       "records of every size go round the ring, whole and in order");
	tap_ok(order_load(&x.t->shm->lane_tail) > 100 * LANE &&
	               order_load(&x.t->shm->lane_tail) ==
	                       order_load(&x.t->shm->lane_head),
	       "positions only grow");
	end(&x);
}

static void test_full(void)
{
	struct test x = begin();
	uint32_t half = LANE / 2 - 8 - 16 - 8;
	unsigned n = 0, wrong = 0;

	tap_is_int(insert(&x, 1, half + 1, 0), -E2BIG,
	           "a record over half a lane is refused");
	tap_is_int(insert(&x, 1, half, 0), 0, "one of half a lane is not");
	tap_ok(wbci_lane_half_full(x.s), "the lane is half full then");
	tap_is_int(insert(&x, 2, half, 0), 0, "a second one fills it");
	tap_is_int(insert(&x, 3, 0, 0), WBC_E_NOFLUSHER,
	           "into a full lane goes nothing; no flusher is there to "
	           "empty it");
	tap_is_int(insert(&x, 3, half, 0), WBC_E_NOFLUSHER, "nor a large one");
	wbci_lane_move(x.s, x.t->slot, LANE / 2);
	tap_is_int(insert(&x, 3, half, 0), 0, "as much as was read goes in");
	wbci_lane_move(x.s, x.t->slot, LANE);
	wbci_lane_move(x.s, x.t->slot, LANE + LANE / 2);
	tap_ok(!wbci_lane_half_full(x.s), "an emptied lane is not half full");
	wbci_lane_move(x.s, x.t->slot, LANE);
	tap_is_uint(order_load(&x.t->shm->lane_head), LANE + LANE / 2,
	            "the head never moves back (P5)");

	/* Fill it to the last byte with the smallest records. */
	while (insert(&x, n, 0, 0) == 0)
		n++;
	tap_is_uint(n, LANE / SMALLEST, "the smallest records fill it up");
	for (unsigned fill = 0; fill < LANE / SMALLEST; fill++) {
		struct test y = begin();

		for (unsigned i = 0; i < fill; i++)
			wrong += insert(&y, i, 0, 0) != 0;
		wrong += wbci_lane_half_full(y.s) !=
		         (fill * SMALLEST >= LANE / 2);
		wrong += drain(&y, y.t->slot, 0, no_text) != fill;
		end(&y);
		fill += 16;
	}
	tap_is_uint(wrong, 0, "half full is from half of its bytes on");
	end(&x);
}

/* Whoever has the slot next goes on where the last one was. */
struct passer {
	struct test *x;
	int64_t number;
	uint32_t slot;
	int error;
};

static void *pass_on(void *arg)
{
	struct passer *p = arg;

	p->error = insert(p->x, p->number, 0, 0);
	if (!p->error)
		p->error = insert(p->x, p->number + 1, 0, 0);
	p->slot = rig_thread(p->x->c->client)->slot;
	return NULL;
}

static void test_handed_over(void)
{
	struct test x = begin();
	int64_t next = 0;
	unsigned wrong = 0, read = 0;
	uint64_t position = 0;

	for (unsigned i = 0; i < 200; i++) {
		struct passer p = {.x = &x, .number = next};
		pthread_t thread = rig_start(pass_on, &p);
		uint64_t tail;

		pthread_join(thread, NULL);
		next += 2;
		tail = order_load(&x.s->threads[p.slot].lane_tail);
		wrong += p.error != 0 || tail != position + 2 * SMALLEST;
		position = tail;
		if (i % 50 == 49)
			read += drain(&x, p.slot, next - 100, no_text);
	}
	tap_is_uint(wrong, 0,
	            "who takes over a slot goes on at its lane's "
	            "tail");
	tap_is_uint(read, 400, "all of them have one lane, and are read once");
	end(&x);
}

/* Positions and lengths as a stranger may write them. */
static void test_hostile(void)
{
	static const struct {
		uint64_t head, tail;
		const char *what;
	} positions[] = {
		{0, LANE + 8, "a tail a lane and more ahead"},
		{64, 0, "a tail behind the head"},
		{0, 12, "a tail that is no multiple of 8"},
		{4, 28, "a head that is none"},
		{UINT64_MAX - 7, UINT64_MAX, "an odd end of all numbers"},
		{0, UINT64_MAX - 7, "the largest tail"}};
	static const uint32_t lengths[] = {0,    4,     7,          12,
	                                   16,   28,    LANE,       LANE + 8,
	                                   4088, 65536, UINT32_MAX, 1u << 31};
	struct test x = begin();
	struct thread_shm *thread = x.t->shm;
	uint64_t head, tail, at;
	uint32_t was = SMALLEST;
	unsigned wrong = 0;

	insert(&x, 0, 0, 0);
	for (size_t i = 0; i < N(positions); i++) {
		order_store(&thread->lane_head, positions[i].head);
		order_store(&thread->lane_tail, positions[i].tail);
		tap_is_int(
			wbci_lane_read(x.s, x.t->slot, x.buffer, &head, &tail),
			WBC_E_CORRUPT, "%s is found out (P7)",
			positions[i].what);
		at = positions[i].tail - positions[i].head;
		if (at > LANE || positions[i].tail % 8)
			wrong += insert(&x, 0, 0, 0) != WBC_E_CORRUPT;
	}
	tap_is_uint(wrong, 0, "nobody writes behind such positions (P7)");
	/* Around the end of all numbers nothing is special. */
	order_store(&thread->lane_head, UINT64_MAX - 63);
	order_store(&thread->lane_tail, UINT64_MAX - 63);
	for (int64_t i = 0; i < 10; i++)
		insert(&x, i, 0, 0);
	tap_is_uint(drain(&x, x.t->slot, 0, no_text), 10,
	            "positions wrap, in a few hundred years");
	wrong = 0;
	order_store(&thread->lane_head, 0);
	order_store(&thread->lane_tail, 0);
	for (unsigned i = 0; i < 10; i++)
		insert(&x, 1, 0, 0);
	for (size_t i = 0; i < N(lengths); i++) {
		unsigned char *record =
			x.s->lanes + x.t->slot * (uint64_t)LANE + 5 * SMALLEST;

		memcpy(record, &lengths[i], sizeof(lengths[i]));
		wrong += wbci_lane_read(x.s, x.t->slot, x.buffer, &head,
		                        &tail) != WBC_E_CORRUPT &&
		         lengths[i] != 16 && lengths[i] != SMALLEST;
		memcpy(record, &was, sizeof(was));
	}
	tap_is_uint(wrong, 0,
	            "records of impossible lengths are found out "
	            "(P7)");
	order_store(&thread->lane_ready, 0);
	tap_is_int(wbci_lane_read(x.s, x.t->slot, x.buffer, &head, &tail),
	           WBC_E_CORRUPT, "a lane without memory is not touched (P8)");
	end(&x);
}

static void test_noise(void)
{
	struct test x = begin();
	struct dice d = dice_seeded();
	unsigned char *lane = x.s->lanes + x.t->slot * (uint64_t)LANE;
	unsigned wrong = 0;

	for (unsigned i = 0; i < 20000; i++) {
		uint64_t head, tail;
		int64_t bytes;

		order_store(&x.t->shm->lane_head, 0);
		order_store(&x.t->shm->lane_tail, 0);
		if (i % 100 == 0) {
			for (int64_t n = 0; n < 20; n++)
				insert(&x, n, any_text(n) % 100, 0);
		}
		order_store(&x.t->shm->lane_tail,
		            8 * (uint64_t)dice_below(&d, LANE / 8 + 1));
		lane[dice_below(&d, 400)] = (unsigned char)dice_word(&d);
		bytes = wbci_lane_read(x.s, x.t->slot, x.buffer, &head, &tail);
		wrong += bytes < 0 ? bytes != WBC_E_CORRUPT
		                   : (uint64_t)bytes != tail - head;
	}
	tap_is_uint(wrong, 0,
	            "noise in a lane is read as records that end "
	            "where it ends, or found out (P7)");
	end(&x);
}

/* A child that inserts for ever, and says after each how far it came. */
struct teller {
	struct test *x;
	order_u64 *told;
};

static uint32_t told_text(int64_t number)
{
	return any_text(number) % 200;
}

static int insert_and_tell(void *arg)
{
	struct teller *t = arg;

	for (int64_t n = 0;; n++) {
		if (insert(t->x, n, told_text(n), -1))
			return 1;
		order_release(t->told, (uint64_t)n + 1);
	}
	return 0;
}

/* All lanes but our own: the child has one of them. */
static unsigned drain_others(struct test *x, int64_t next)
{
	unsigned n = 0;

	for (uint32_t slot = 0; slot < x->s->geo.n_threads; slot++) {
		if (slot != x->t->slot)
			n += drain(x, slot, next, told_text);
	}
	wbci_lane_event(x->s);
	return n;
}

static void test_killed(void)
{
	struct test x = begin();
	struct teller teller = {&x, rig_shared(sizeof(order_u64))};
	struct dice d = dice_seeded();
	unsigned wrong = 0;

	for (unsigned i = 0; i < 40; i++) {
		uint64_t until = 1 + dice_below(&d, 500), told, read = 0;
		unsigned in_section;
		pid_t pid;

		order_store(teller.told, 0);
		pid = rig_fork(insert_and_tell, &teller);
		while (read < until)
			read += drain_others(&x, (int64_t)read);
		rig_kill(pid);
		told = order_acquire(teller.told);
		read += drain_others(&x, (int64_t)read);
		wrong += read < told || read > told + 1;
		wrong += wbci_reap(x.s, &in_section) != 1;
	}
	tap_is_uint(wrong, 0,
	            "of a process that is killed while it inserts, "
	            "every acknowledged row is there, whole and "
	            "once (P3)");
	munmap(teller.told, sizeof(order_u64));
	end(&x);
}

#if STEP_WORKS
static uint64_t record_bytes(uint32_t text)
{
	return 8 + 16 + (text ? 8 + ((uint64_t)text + 7) / 8 * 8 : 0);
}

struct killed {
	struct test *x;
	int64_t number;
};

static void insert_one(void *arg)
{
	struct killed *k = arg;

	insert(k->x, k->number, told_text(k->number), 0);
}

static void test_each_instruction(void)
{
	struct test x = begin();
	struct killed k = {&x, 1};
	unsigned wrong = 0, nothing = 0, all = 0;
	bool killed = true;

	insert(&x, 0, 0, 0);
	drain(&x, x.t->slot, 0, no_text);
	for (unsigned long at = 1; killed; at += STEP_STRIDE) {
		uint64_t tail = order_load(&x.t->shm->lane_tail);
		unsigned n;

		k.number = (int64_t)at;
		killed = step_until(insert_one, &k, at);
		n = drain(&x, x.t->slot, (int64_t)at, told_text);
		nothing += n == 0;
		all += n == 1;
		wrong += n > 1;
		wrong += order_load(&x.t->shm->lane_tail) !=
		         tail + n * record_bytes(told_text((int64_t)at));
	}
	tap_ok(wrong == 0 && nothing > 10 && all > 1,
	       "an insert killed at any instruction is there whole or not at "
	       "all (P1)");
	tap_diag("%u times not, %u times whole", nothing, all);
	end(&x);
}
#else
static void test_each_instruction(void)
{
	tap_skip(1, STEP_WHY_NOT);
}
#endif

/* The flusher's lock, as one that lives would have it. */
static int pretend_flusher(const struct wbci_segment *s)
{
	struct flock lock = {.l_type = F_WRLCK,
	                     .l_whence = SEEK_SET,
	                     .l_start = WBCI_LOCK_FLUSHER,
	                     .l_len = 1};
	int fd = wbci_segment_description(s);

	if (fd < 0 || fcntl(fd, F_OFD_SETLK, &lock))
		tap_bail("the flusher's lock");
	return fd;
}

static void test_deadline(void)
{
	static const struct {
		bool flusher;
		int timeout_ms;
		int result;
		const char *what;
	} waits[] = {
		{true, 0, -EAGAIN, "with a flusher, no wait: -EAGAIN"},
		{true, 30, -EAGAIN, "with a flusher, a wait: -EAGAIN"},
		{true, 250, -EAGAIN, "with a flusher, a longer wait: -EAGAIN"},
		{false, 0, WBC_E_NOFLUSHER,
	         "without one, no wait: WBC_E_NOFLUSHER"},
		{false, 30, WBC_E_NOFLUSHER,
	         "without one, a wait: WBC_E_NOFLUSHER"}};
	struct test x = begin();
	unsigned n = 0;
	int fd = pretend_flusher(x.s);

	while (insert(&x, n, 0, 0) == 0)
		n++;
	for (size_t i = 0; i < N(waits); i++) {
		int64_t begun = wbci_now_ns();
		int result;

		if (!waits[i].flusher && fd >= 0) {
			close(fd);
			fd = -1;
		}
		result = insert(&x, n, 0, waits[i].timeout_ms);
		tap_ok(result == waits[i].result &&
		               wbci_now_ns() - begun >=
		                       (int64_t)waits[i].timeout_ms * 1000000,
		       "%s, and not before its time", waits[i].what);
	}
	tap_is_uint(drain(&x, x.t->slot, 0, no_text), n,
	            "nothing was inserted by those that failed");
	end(&x);
}

/* Who waits for room goes on when there is some, or the segment is closed. */
struct waiter {
	struct test *x;
	int64_t inserted;
	int error;
};

static void *insert_all(void *arg)
{
	struct waiter *w = arg;

	while (!w->error && w->inserted < 3000) {
		w->error = insert(w->x, w->inserted, 100, -1);
		w->inserted += !w->error;
	}
	return NULL;
}

static uint32_t hundred(int64_t number)
{
	(void)number;
	return 100;
}

static void test_room(void)
{
	struct test x = begin();
	struct waiter w = {.x = &x};
	pthread_t thread = rig_start(insert_all, &w);
	int64_t read = 0;
	bool whole = true;

	while (read < 3000 && whole) {
		for (uint32_t slot = 0; slot < x.s->geo.n_threads; slot++) {
			unsigned n = slot == x.t->slot
			                     ? 0
			                     : drain(&x, slot, read, hundred);

			whole = whole && n <= LANE;
			read += n;
		}
		wbci_lane_event(x.s);
	}
	pthread_join(thread, NULL);
	tap_ok(whole && w.error == 0 && w.inserted == read,
	       "who waits for room goes on when there is some");

	w = (struct waiter){.x = &x};
	thread = rig_start(insert_all, &w);
	/* Closed while it waits, or just before: it sees it either way. */
	while (!wbci_lane_half_full(x.s))
		sched_yield();
	wbci_shut(x.s);
	pthread_join(thread, NULL);
	tap_is_int(w.error, -ESTALE, "or when the segment is closed");
	end(&x);
}

int main(void)
{
	test_wrap();
	test_full();
	test_handed_over();
	test_hostile();
	test_noise();
	test_killed();
	test_each_instruction();
	test_deadline();
	test_room();
	return tap_done();
}
