/* SPDX-License-Identifier: MIT */
/* Copyright the wbcshm authors */

#include "harness.h"

#include <errno.h>
#include <inttypes.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "api/wbcshm.h"
#include "shm/order.h"

/* What the processes of a group and their parent share. */
struct meeting {
	/* turns begun, summed over all processes */
	_Alignas(64) order_u64 ready;
	struct {
		_Alignas(64) uint64_t begin_ns;
		uint64_t end_ns;
		int64_t error;
	} proc[BENCH_PROCS_MAX];
};

/* The parent's ends of the pipes to and from one process. */
struct worker {
	pid_t pid;
	int command;
	int reply;
};

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

unsigned bench_cpus(void)
{
	cpu_set_t set;

	if (sched_getaffinity(0, sizeof(set), &set))
		return 1;
	return (unsigned)CPU_COUNT(&set);
}

/* Pin the caller to the @n-th processor that it may use, if it has as many. */
static void pin(unsigned n)
{
	cpu_set_t set, one;
	int cpu;

	if (sched_getaffinity(0, sizeof(set), &set))
		return;
	for (cpu = 0; cpu < CPU_SETSIZE; cpu++) {
		if (!CPU_ISSET(cpu, &set) || n-- > 0)
			continue;
		CPU_ZERO(&one);
		CPU_SET(cpu, &one);
		sched_setaffinity(0, sizeof(one), &one);
		return;
	}
}

/* Spin, so that all begin within a few cache misses. */
static void meet(struct meeting *m, uint64_t target)
{
	unsigned spins = 0;

	/* Only the moment matters; nothing is handed over. */
	order_add(&m->ready, 1);
	while (order_acquire(&m->ready) < target) {
		if (++spins % 100000 == 0)
			sched_yield();
	}
}

_Noreturn static void work(const struct bench_group *g, struct meeting *m,
                           unsigned me, int command, int reply)
{
	uint64_t turn = 0;
	unsigned char arm;

	pin(me);
	while (read(command, &arm, 1) == 1) {
		int rc;

		meet(m, ++turn * g->n_procs);
		m->proc[me].begin_ns = now_ns();
		rc = g->arms[arm].loop(g->arg, me, g->n);
		m->proc[me].end_ns = now_ns();
		m->proc[me].error = rc;
		if (write(reply, &arm, 1) != 1)
			_exit(1);
	}
	_exit(0);
}

static int start_worker(const struct bench_group *g, struct meeting *m,
                        struct worker *workers, unsigned me)
{
	struct worker *w = &workers[me];
	pid_t parent = getpid();
	int command[2], reply[2];
	unsigned i;

	if (pipe(command) || pipe(reply))
		return -errno;
	fflush(stdout);
	w->pid = fork();
	if (w->pid < 0)
		return -errno;
	if (w->pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (getppid() != parent)
			_exit(1);
		/* Ends of earlier pipes would keep them open for ever. */
		for (i = 0; i < me; i++) {
			close(workers[i].command);
			close(workers[i].reply);
		}
		close(command[1]);
		close(reply[0]);
		work(g, m, me, command[0], reply[1]);
	}
	close(command[0]);
	close(reply[1]);
	w->command = command[1];
	w->reply = reply[0];
	return 0;
}

static void end_worker(struct worker *w)
{
	if (w->pid <= 0)
		return;
	close(w->command);
	close(w->reply);
	kill(w->pid, SIGKILL);
	waitpid(w->pid, NULL, 0);
}

/* One arm in all processes; what it took, per operation. */
static int take_turn(const struct bench_group *g, struct meeting *m,
                     const struct worker *workers, unsigned char arm,
                     double *ns)
{
	uint64_t begin = UINT64_MAX, end = 0;
	unsigned i;

	for (i = 0; i < g->n_procs; i++) {
		if (write(workers[i].command, &arm, 1) != 1)
			return -errno;
	}
	for (i = 0; i < g->n_procs; i++) {
		unsigned char done;

		if (read(workers[i].reply, &done, 1) != 1)
			return -ECHILD;
		if (m->proc[i].error)
			return (int)m->proc[i].error;
		if (m->proc[i].begin_ns < begin)
			begin = m->proc[i].begin_ns;
		if (m->proc[i].end_ns > end)
			end = m->proc[i].end_ns;
	}
	*ns = (double)(end - begin) / (double)g->n;
	return 0;
}

/* Arms that add to the same thing have one sum: the first one's. */
static uint64_t *sum_of(const struct bench_group *g, uint64_t *sums,
                        unsigned arm)
{
	unsigned i = 0;

	while (g->arms[i].sum != g->arms[arm].sum)
		i++;
	return &sums[i];
}

/* Is everything there that was added, and nothing else? */
static int prove(const struct bench_group *g, unsigned arm, uint64_t *sum)
{
	uint64_t want = *sum + g->n * g->n_procs;
	int rc = g->arms[arm].sum(g->arg, sum);

	if (rc || *sum == want)
		return rc;
	fprintf(stderr,
	        "wbc-bench: %s: %s: the sum is %" PRIu64 ", not %" PRIu64 "\n",
	        g->title, g->arms[arm].name, *sum, want);
	return -EBADMSG;
}

static int take_turns(const struct bench_group *g, struct meeting *m,
                      const struct worker *workers, struct bench_times *t)
{
	uint64_t sums[BENCH_ARMS_MAX] = {0};
	unsigned run, arm;
	double ns = 0;
	int rc = 0;

	for (arm = 0; !rc && arm < g->n_arms; arm++)
		rc = g->arms[arm].sum(g->arg, sum_of(g, sums, arm));
	for (run = 0; !rc && run <= g->n_runs; run++) {
		for (arm = 0; !rc && arm < g->n_arms; arm++) {
			rc = take_turn(g, m, workers, (unsigned char)arm, &ns);
			if (!rc)
				rc = prove(g, arm, sum_of(g, sums, arm));
			if (!rc && run)
				t->ns[arm][run - 1] = ns;
		}
	}
	return rc;
}

int bench_measure(const struct bench_group *g, struct bench_times *t)
{
	struct worker workers[BENCH_PROCS_MAX] = {{0}};
	struct meeting *m;
	unsigned i;
	int rc = 0;

	m = mmap(NULL, sizeof(*m), PROT_READ | PROT_WRITE,
	         MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (m == MAP_FAILED) {
		perror("wbc-bench: mmap");
		return 1;
	}
	for (i = 0; !rc && i < g->n_procs; i++)
		rc = start_worker(g, m, workers, i);
	if (!rc)
		rc = take_turns(g, m, workers, t);
	for (i = 0; i < g->n_procs; i++)
		end_worker(&workers[i]);
	munmap(m, sizeof(*m));
	if (rc)
		fprintf(stderr, "wbc-bench: %s: %s\n", g->title,
		        wbc_strerror(rc));
	return rc != 0;
}
