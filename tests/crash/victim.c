/* SPDX-License-Identifier: MIT */
/* Copyright the wbcshm authors */

/*
 * The victim: victim SEGMENT OPERATION KEY [fenced | kill K FILE]
 *
 * Does what the operation needs, then the operation, and says by signals
 * where it begins and where it has returned: a tracer stops at them, and may
 * kill it at any instruction in between.  Linked with the installed library.
 *
 * With `kill` nobody traces: it steps itself, by the processor's trap flag,
 * and gets SIGKILL after K instructions of the operation; if that has returned
 * before, SIGUSR2 is its end.  FILE receives the number of instructions.
 */
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "bad.h"
#include "ops.h"

static void mark(bool begin)
{
	raise(begin ? SIGUSR1 : SIGUSR2);
}

/* Instructions so far, shared with whoever started us; and the last. */
static volatile uint64_t *count;
static uint64_t last;

static void trap(int signal)
{
	(void)signal;
	if (++*count >= last)
		kill(getpid(), SIGKILL);
}

/* The red zone below the stack pointer is not ours to push into. */
static void set_trap_flag(void)
{
#ifdef __x86_64__
	__asm__ volatile("lea -128(%%rsp), %%rsp\n\tpushfq\n\t"
	                 "orq $0x100, (%%rsp)\n\tpopfq\n\t"
	                 "lea 128(%%rsp), %%rsp" ::
	                         : "memory", "cc");
#endif
}

static void clear_trap_flag(void)
{
#ifdef __x86_64__
	__asm__ volatile("lea -128(%%rsp), %%rsp\n\tpushfq\n\t"
	                 "andq $~0x100, (%%rsp)\n\tpopfq\n\t"
	                 "lea 128(%%rsp), %%rsp" ::
	                         : "memory", "cc");
#endif
}

static void step_from_here(bool begin)
{
	if (begin) {
		set_trap_flag();
		return;
	}
	clear_trap_flag();
	raise(SIGUSR2);
}

static int share_count(const char *path, const char *k)
{
	struct sigaction action = {.sa_handler = trap};
	int fd = open(path, O_RDWR | O_CLOEXEC);
	void *p = mmap(NULL, sizeof(*count), PROT_READ | PROT_WRITE, MAP_SHARED,
	               fd, 0);

	if (fd < 0 || p == MAP_FAILED)
		return -1;
	close(fd);
	count = p;
	last = strtoull(k, NULL, 10);
	return sigaction(SIGTRAP, &action, NULL);
}

/* As a container's filter may do. */
static int refuse_membarrier(void)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS,
	                 offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_membarrier, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = {sizeof(code) / sizeof(code[0]), code};

	return prctl(PR_SET_NO_NEW_PRIVS, 1L, 0L, 0L, 0L) ||
	       prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program, 0L, 0L);
}

int main(int argc, char **argv)
{
	struct scene s = {.mark = mark};
	const struct op *op;
	int error;

	if (argc < 4)
		return 2;
	s.address = argv[1];
	s.key = argv[3];
	op = op_find(argv[2]);
	if (!op)
		op = bad_find(argv[2]);
	if (!op)
		return 2;
	if (argc == 5 && refuse_membarrier()) {
		perror("victim: seccomp");
		return 1;
	}
	if (argc == 7) {
		s.mark = step_from_here;
		if (share_count(argv[6], argv[5])) {
			perror("victim: count");
			return 1;
		}
	}
	error = op_prepare(op, &s);
	if (error) {
		fprintf(stderr, "victim: %s: %s\n", op->name,
		        wbc_strerror(error));
		return 1;
	}
	return op_perform(op, &s) ? 0 : 1;
}
