/* SPDX-License-Identifier: MIT */
/* Copyright the wbcshm authors */

/*
 * wbc-shmctl rm: remove a segment that nobody needs any more.
 *
 * It is closed first: whoever attaches after that is refused.  Then it is
 * looked at once more, for one who came between, and opened again if somebody
 * did; what he was told meanwhile is -ESTALE, never success.
 */
#include "ctl.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "../shm/wake.h"
#include "view.h"

struct needs {
	const struct wbci_segment *s;
	uint32_t alive;
	uint32_t pid; /* of one of them */
	uint64_t rows;
	uint64_t bytes;
};

static int count_row(void *arg, const struct wbci_step *step)
{
	struct needs *n = arg;
	struct wbci_seen e;

	/* One that cannot be read cannot be journaled either. */
	if (step->tag == INDEX_ENTRY && !step->known &&
	    view_entry(n->s, step->target, &e) == 1)
		n->rows += view_changed(&e);
	return 0;
}

static int look(const struct wbci_segment *s, struct needs *n)
{
	memset(n, 0, sizeof(*n));
	n->s = s;
	for (uint32_t i = 0; i < s->geo.n_procs; i++) {
		struct view_proc p;

		view_proc(s, i, &p);
		n->alive += p.alive;
		n->pid = p.alive ? p.pid : n->pid;
	}
	for (uint32_t i = 0; i < s->geo.n_threads; i++) {
		struct view_thread t;

		view_thread(s, i, &t);
		n->bytes += t.lane_bytes;
	}
	return wbci_index_walk(s, count_row, n);
}

static int refuse(const struct wbci_segment *s, const struct needs *n)
{
	if (n->alive)
		return cli_fail(CLI_FAILED,
		                "rm: %s: %" PRIu32 " process%s attached (one "
		                "has pid %" PRIu32 "); end it first, or give "
		                "--force, and all its calls fail",
		                s->path, n->alive,
		                n->alive == 1 ? " is" : "es are", n->pid);
	if (n->rows || n->bytes)
		return cli_fail(CLI_FAILED,
		                "rm: %s: %" PRIu64 " changed row%s and %" PRIu64
		                " bytes of inserts are not in the journal; run "
		                "wbc-flusher first, or give --force, and they "
		                "are lost",
		                s->path, n->rows, n->rows == 1 ? "" : "s",
		                n->bytes);
	return CLI_OK;
}

static int check_needs(const struct wbci_segment *s)
{
	struct needs n;
	int rc = look(s, &n);

	return rc ? cli_error(rc, "rm", s->path, NULL) : refuse(s, &n);
}

static int unlink_segment(const struct wbci_segment *s)
{
	/* Between this and unlink() the name may change hands; whoever does
	 * that removes segments of ours himself. */
	if (wbci_segment_unlinked(s))
		return cli_fail(CLI_NOT_FOUND,
		                "rm: %s: it was removed or replaced meanwhile",
		                s->path);
	if (unlink(s->path))
		return cli_error(-errno, "rm", s->path, NULL);
	return CLI_OK;
}

static int remove_segment(const struct wbci_segment *s, bool force)
{
	int rc;

	if (!force) {
		rc = check_needs(s);
		if (rc != CLI_OK)
			return rc;
	}
	wbci_shut(s);
	rc = force ? CLI_OK : check_needs(s);
	if (rc == CLI_OK)
		rc = unlink_segment(s);
	if (rc != CLI_OK && !force)
		order_xchg_seq(&s->control->closed, 0);
	return rc;
}

/* A segment that cannot be attached to: of another boot, layout, damaged. */
static int remove_unusable(const char *path, int error, const char *message)
{
	if (error != WBC_E_BOOT && error != WBC_E_LAYOUT &&
	    error != WBC_E_CORRUPT && error != -ESTALE)
		return cli_error(error, "rm", path, message);
	if (unlink(path))
		return cli_error(-errno, "rm", path, NULL);
	return CLI_OK;
}

int ctl_rm(const struct cli_command *c, int argc, char **argv)
{
	bool force = false;
	const struct cli_option options[] = {
		{"force", 'f', CLI_FLAG, &force, NULL,
	         "in use or not, and lose what is not in the journal"},
	};
	char address[CLI_ADDRESS_MAX], path[PATH_MAX], message[512] = "";
	struct wbci_message m = {message, sizeof(message)};
	struct wbci_segment s;
	const char *segment;
	int rc = cli_parse(c, options, 1, &segment, &argc, argv);

	if (rc != CLI_OK)
		return rc == CLI_HELPED ? CLI_OK : rc;
	if (argc)
		return cli_usage(c,
		                 "%s: no argument is expected; the segment "
		                 "is named with -s",
		                 argv[0]);
	rc = cli_address(segment, address);
	if (rc != CLI_OK)
		return rc;
	rc = wbci_segment_path(address, path, false, &m);
	if (rc)
		return cli_error(rc, "rm", address, message);
	rc = wbci_segment_open(&s, path, true, &m);
	if (rc)
		return force ? remove_unusable(path, rc, message)
		             : cli_error(rc, "rm", path, message);
	rc = remove_segment(&s, force);
	wbci_segment_close(&s);
	return rc;
}
