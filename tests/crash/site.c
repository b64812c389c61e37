/* SPDX-License-Identifier: MIT */
/* Copyright the wbcshm authors */

#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "crash/sweep.h"
#include "crash/tracer.h"
#include "tap/tap.h"
#include "unit/child.h"

static void install(const char *dir)
{
	pid_t pid = fork();
	int status = 1;
	char script[4096];

	snprintf(script, sizeof(script), "%s/tests/crash/install.sh",
	         getenv("WBC_SRC"));
	if (pid == 0) {
		execlp("sh", "sh", script, dir, (char *)NULL);
		_exit(127);
	}
	if (pid < 0 || waitpid(pid, &status, 0) != pid || status)
		tap_bail("%s %s: it fails", script, dir);
}

static void name_place(struct place *p, const char *dir, const char *name)
{
	snprintf(p->path, sizeof(p->path), "%s/%s", dir, name);
	snprintf(p->address, sizeof(p->address), "shm:%s", p->path);
}

bool sweep_is_long(void)
{
	return getenv("WBC_SOAK_SECONDS") != NULL;
}

/* Who steps and who is stepped take turns: on one processor they need not
 * wake another. */
static void stay_here(void)
{
	cpu_set_t one;
	int here = sched_getcpu();

	CPU_ZERO(&one);
	CPU_SET(here < 0 ? 0 : (unsigned)here, &one);
	sched_setaffinity(0, sizeof(one), &one);
}

void sweep_begin(struct sweep_site *site)
{
	const char *why = tracer_unable();
	const char *tmp = getenv("TMPDIR");

	if (why)
		tap_skip_all("%s", why);
	snprintf(site->dir, sizeof(site->dir), "%s/sweep-XXXXXX",
	         tmp ? tmp : "/tmp");
	if (!mkdtemp(site->dir))
		tap_bail("%s: %s", site->dir, strerror(errno));
	/* Copies are many and small; without a mount they go to the disk. */
	if (!child_mount(site->dir, "size=256m,mode=0700"))
		tap_diag("no tmpfs of our own: %s", strerror(errno));
	install(site->dir);
	snprintf(site->victim, sizeof(site->victim), "%s/victim", site->dir);
	snprintf(site->flusher, sizeof(site->flusher),
	         "%s/inst/bin/wbc-flusher", site->dir);
	name_place(&site->live, site->dir, "live");
	name_place(&site->copy, site->dir, "copy");
	stay_here();
}

void sweep_end(const struct sweep_site *site)
{
	unlink(site->live.path);
	unlink(site->copy.path);
}
