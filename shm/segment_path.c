/* SPDX-License-Identifier: MIT */
/* Copyright the wbcshm authors */

/* Which file an address names, and whether its folder can be trusted. */
#include "segment.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../api/wbc_error.h"
#include "../api/wbc_table.h"

/* The folder of "shm:NAME" is ours alone, so nobody plants a file there. */
static int check_folder(const char *folder, bool create,
                        const struct wbci_message *m)
{
	struct stat st;

	if (create && mkdir(folder, 0700) && errno != EEXIST)
		return wbci_say(m, -errno, "create folder: %s: %s", folder,
		                strerror(errno));
	if (lstat(folder, &st)) {
		if (errno == ENOENT)
			return wbci_say(m, -ENOENT,
			                "open segment: %s: no such folder; "
			                "create a segment first",
			                folder);
		return wbci_say(m, -errno, "open folder: %s: %s", folder,
		                strerror(errno));
	}
	if (!S_ISDIR(st.st_mode) || st.st_uid != geteuid() ||
	    (st.st_mode & 0022))
		return wbci_say(m, WBC_E_OWNER,
		                "open segment: %s: must be a folder that only "
		                "user %u can write to; move it away",
		                folder, (unsigned)geteuid());
	return 0;
}

static int named_path(const char *name, char *path, bool create,
                      const struct wbci_message *m)
{
	char folder[64];
	size_t bytes = strlen(name);
	int error;

	if (bytes > WBC_NAME_MAX)
		return wbci_say(m, -ENAMETOOLONG,
		                "open segment: %.20s...: the name has %zu "
		                "bytes, at most %d are allowed",
		                name, bytes, WBC_NAME_MAX);
	if (bytes == 0 || name[0] == '.' || strchr(name, '/'))
		return wbci_say(m, -EINVAL,
		                "open segment: '%s': a name is not empty, does "
		                "not begin with a dot and contains no slash; "
		                "a path begins with a slash",
		                name);
	snprintf(folder, sizeof(folder), "/dev/shm/wbcshm-%u",
	         (unsigned)geteuid());
	error = check_folder(folder, create, m);
	if (error)
		return error;
	snprintf(path, PATH_MAX, "%s/%s", folder, name);
	return 0;
}

int wbci_segment_path(const char *address, char *path, bool create,
                      const struct wbci_message *m)
{
	const char *name;

	if (!address || strncmp(address, "shm:", 4))
		return wbci_say(m, -EINVAL,
		                "open segment: '%s': an address is shm:NAME or "
		                "shm:/path",
		                address ? address : "(null)");
	name = address + 4;
	if (name[0] != '/')
		return named_path(name, path, create, m);
	if (strlen(name) >= PATH_MAX)
		return wbci_say(m, -ENAMETOOLONG,
		                "open segment: the path has %zu bytes, at most "
		                "%d are allowed",
		                strlen(name), PATH_MAX - 1);
	snprintf(path, PATH_MAX, "%s", name);
	return 0;
}
