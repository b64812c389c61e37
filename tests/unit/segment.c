/* SPDX-License-Identifier: MIT */
/* Copyright the wbcshm authors */

/*
 * A segment's file: made whole or not at all, and believed by nobody who
 * attaches.  Files that are no segment, damaged ones, and ones of another
 * build or boot are refused, each with its own error.
 */
#include <fcntl.h>
#include <sys/syscall.h>
#include <time.h>

#include "shm/segment_check.h"
#include "shm/wake.h"
#include "unit/child.h"
#include "unit/dice.h"
#include "unit/scratch.h"

#define N(array) (sizeof(array) / sizeof((array)[0]))
#define NOBODY 65534u
#define EXTENT 2097152u

static char words[512];

/* Opens with options, and closes again; words has the message. */
static int try_open(const char *address, const struct wbc_options *options)
{
	struct wbc_options o =
		options ? *options : (struct wbc_options)WBC_OPTIONS_INIT;
	struct wbc *c;
	int error;

	o.message = words;
	o.message_size = sizeof(words);
	strcpy(words, "not touched");
	error = wbc_open(&c, address, &o);
	if (!error)
		wbc_close(&c);
	return error;
}

static void write_file(const char *path, const void *bytes, size_t n)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);

	if (fd < 0 || write(fd, bytes, n) != (ssize_t)n)
		tap_bail("%s: %s", path, strerror(errno));
	close(fd);
}

static void patch(const char *path, const void *bytes, size_t n, off_t at)
{
	int fd = open(path, O_WRONLY);

	if (fd < 0 || pwrite(fd, bytes, n, at) != (ssize_t)n)
		tap_bail("%s: %s", path, strerror(errno));
	close(fd);
}

static struct header_shm header_of(const char *path)
{
	struct header_shm h;
	int fd = open(path, O_RDONLY);

	if (fd < 0 || pread(fd, &h, sizeof(h), 0) != (ssize_t)sizeof(h))
		tap_bail("%s: %s", path, strerror(errno));
	close(fd);
	return h;
}

/* A whole segment under the name, made anew. */
static void make_segment(const struct scratch *s)
{
	struct wbc_options o = scratch_options();

	unlink(s->path);
	if (try_open(s->address, &o))
		tap_bail("%s", words);
}

static void test_create(const struct scratch *s)
{
	struct wbc_options create = scratch_options();
	struct wbc_options exclusive = scratch_options();
	struct header_shm first, second;
	struct wbc *c;
	struct stat st;

	exclusive.flags |= WBC_EXCLUSIVE;
	tap_is_int(try_open(s->address, NULL), -ENOENT,
	           "a segment that is not there is not made unless asked");
	tap_is_int(scratch_files(s), 0, "and nothing is left by asking");
	tap_is_int(try_open(s->address, &exclusive), 0,
	           "an exclusive open makes a segment where none is");
	tap_is_str(words, "", "success leaves no words");
	first = header_of(s->path);
	tap_is_int(try_open(s->address, &exclusive), -EEXIST,
	           "an exclusive open refuses a segment that exists");
	tap_ok(strstr(words, s->path) != NULL, "and names it");
	tap_is_int(try_open(s->address, &create), 0,
	           "any other finds it, asked to create or not");
	second = header_of(s->path);
	tap_is_mem(&second, &first, sizeof(first),
	           "a segment that exists is not made anew");
	tap_is_int(scratch_files(s), 1, "one file is all that there is");

	c = scratch_open(s, NULL);
	tap_is_str(wbc_path(c), s->path, "a handle knows its file");
	stat(s->path, &st);
	tap_is_uint((uint64_t)st.st_size, second.size_bytes,
	            "the file has the size that its header says");
	tap_ok((uint64_t)st.st_blocks * 512 < second.size_bytes / 8,
	       "it is sparse: memory is taken as it is needed");
	wbc_close(&c);
	tap_ok(c == NULL, "closing leaves NULL");
	wbc_close(&c);
	unlink(s->path);

	make_segment(s);
	second = header_of(s->path);
	tap_ok(memcmp(first.segment_id, second.segment_id, 16) != 0 &&
	               first.hash_seed != second.hash_seed,
	       "each segment has an id and a hash secret of its own");
	unlink(s->path);
}

static void test_access(const struct scratch *s)
{
	static const struct {
		mode_t umask;
		uint32_t mode;
		mode_t want;
	} rows[] = {
		{022, 0, 0600},  {0, 0, 0600},       {077, 0660, 0660},
		{0, 0640, 0640}, {0777, 0666, 0666}, {022, 0777, 0777},
	};
	struct wbc_options o = scratch_options();
	gid_t groups[64];
	struct stat st;
	int n;

	for (size_t i = 0; i < N(rows); i++) {
		mode_t had = umask(rows[i].umask);

		o.mode = rows[i].mode;
		if (try_open(s->address, &o))
			tap_bail("%s", words);
		umask(had);
		stat(s->path, &st);
		tap_is_uint(st.st_mode & 07777, rows[i].want,
		            "mode %04o under umask %04o makes mode %04o",
		            rows[i].mode, (unsigned)rows[i].umask,
		            (unsigned)rows[i].want);
		unlink(s->path);
	}
	n = geteuid() ? getgroups(N(groups), groups) : 1;
	if (n < 1) {
		tap_skip(2, "this user is in no other group");
		return;
	}
	o.mode = 0660;
	o.group = geteuid() ? groups[n - 1] : 1;
	tap_is_int(try_open(s->address, &o), 0, "a group can be given");
	stat(s->path, &st);
	tap_is_int(st.st_gid, o.group, "and is the file's");
	unlink(s->path);
}

/*
 * A user who is nobody asks for root's group, and for root's segment; by the
 * current folder, since those above it may be closed to him.
 */
static void as_nobody(int line, void *arg)
{
	const struct scratch *s = arg;
	struct scratch here = {"/proc/self/cwd", "/proc/self/cwd/s",
	                       "shm:/proc/self/cwd/s"};
	struct wbc_options o = scratch_options();

	(void)line;
	if (chdir(s->dir) || setgid(NOBODY) || setuid(NOBODY))
		tap_bail("setuid: %d", errno);
	tap_is_int(try_open(here.address, NULL), -EACCES,
	           "a segment of another user, mode 0600, is not opened");
	unlink(here.path);
	o.group = 0;
	tap_is_int(try_open(here.address, &o), -EPERM,
	           "a group that the user is not in is refused");
	tap_is_int(scratch_files(&here), 0, "and no file is left");
}

static void test_owner(const struct scratch *s)
{
	struct child c;

	if (geteuid() != 0) {
		tap_skip(6, "only root can be several users");
		return;
	}
	make_segment(s);
	if (chmod(s->dir, 0777))
		tap_bail("chmod: %d", errno);
	c = child_start(as_nobody, (void *)(uintptr_t)s);
	child_wait(&c);

	make_segment(s);
	if (chown(s->path, NOBODY, NOBODY))
		tap_bail("chown: %d", errno);
	tap_is_int(try_open(s->address, NULL), WBC_E_OWNER,
	           "another user's file in a folder that anybody may write to "
	           "is refused");
	tap_ok(strstr(words, "65534") && strstr(words, "folder"),
	       "and the words name the user and what to do");
	chmod(s->dir, 0755);
	tap_is_int(try_open(s->address, NULL), 0,
	           "in a folder that only its owner may write to it is his to "
	           "share");
	chmod(s->dir, 0700);
	unlink(s->path);
}

static void test_options(const struct scratch *s)
{
	static const struct {
		struct wbc_options o;
		const char *what;
	} rows[] = {
		{{.flags = 4, .group = -1}, "unknown flags"},
		{{.flags = WBC_EXCLUSIVE, .group = -1},
	         "WBC_EXCLUSIVE without WBC_CREATE"},
		{{.flags = 1, .group = -1, .mode = 01600}, "a sticky bit"},
		{{.flags = 1, .group = -2}, "a group below -1"},
		{{.flags = 1, .group = INT64_MIN}, "the least group"},
		{{.flags = 1, .group = INT64_C(1) << 32},
	         "a group that is root's after 32 bits"},
		{{.flags = 1, .group = UINT32_MAX},
	         "the group that is no group"},
		{{.flags = 1, .group = -1, .max_bytes = 1}, "one byte"},
		{{.flags = 1, .group = -1, .max_bytes = EXTENT - 1},
	         "less than one extent"},
		{{.flags = 1,
	          .group = -1,
	          .max_bytes = (UINT64_C(1) << 44) + EXTENT},
	         "more than 16 TiB"},
		{{.flags = 1, .group = -1, .max_bytes = UINT64_MAX},
	         "all bytes that 64 bits count"},
		{{.flags = 1, .group = -1, .capacity = (UINT64_C(1) << 33) + 1},
	         "over 2^33 keys"},
		{{.flags = 1, .group = -1, .capacity = UINT64_MAX},
	         "as many keys as 64 bits count"},
		{{.flags = 1, .group = -1, .procs = 4096},
	         "over 4095 process slots"},
		{{.flags = 1, .group = -1, .threads = 65536},
	         "over 65535 thread slots"},
		{{.flags = 1, .group = -1, .lane_bytes = 2048},
	         "a lane of 2 KiB"},
		{{.flags = 1, .group = -1, .lane_bytes = 12288},
	         "a lane that is no power of two"},
		{{.flags = 1, .group = -1, .lane_bytes = 1u << 31},
	         "a lane of 2 GiB"},
		{{.flags = 1, .group = -1, .procs = 1},
	         "a process slot for the flusher only"},
		{{.flags = 1, .group = -1, .threads = 1},
	         "a thread slot for the flusher only"},
	};

	for (size_t i = 0; i < N(rows); i++) {
		tap_is_int(try_open(s->address, &rows[i].o), -EINVAL,
		           "%s: refused", rows[i].what);
		if (!tap_ok(strlen(words) > 10 && scratch_files(s) == 0,
		            "%s: with words, and no file is made",
		            rows[i].what))
			scratch_clear(s);
	}
}

static void test_smallest(const struct scratch *s)
{
	struct wbc_options o = scratch_options();
	struct wbc_value key = wbc_text(NULL, "k", 1);
	struct wbc_table *t;
	struct wbc *c;

	o.max_bytes = 2 * EXTENT + 1;
	o.capacity = 1;
	o.procs = o.threads = 2;
	c = scratch_open(s, &o);
	t = scratch_table(c, "t(k text key, n counter)");
	tap_is_int(wbc_add_int64(t, &key, 1, 1, 7), 0,
	           "the smallest segment counts");
	tap_is_uint(scratch_total(t, &key, 1, 1), 7, "and is exact");
	wbc_close(&c);
	unlink(s->path);
}

/* Addresses that name no place, whatever there is. */
static void test_addresses(const struct scratch *s)
{
	static char long_path[PATH_MAX + 8] = "shm:/";
	static const struct {
		const char *address;
		int error;
	} rows[] = {
		{NULL, -EINVAL},
		{"", -EINVAL},
		{"app", -EINVAL},
		{"SHM:app", -EINVAL},
		{"/dev/shm/app", -EINVAL},
		{"shm:", -EINVAL},
		{"shm:.", -EINVAL},
		{"shm:..", -EINVAL},
		{"shm:.hidden", -EINVAL},
		{"shm:../x", -EINVAL},
		{"shm:a/b", -EINVAL},
		{"shm:a/../../x", -EINVAL},
		{"shm:a/", -EINVAL},
		{"shm:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
	         "aaaaaaaa",
	         -ENAMETOOLONG},
		{long_path, -ENAMETOOLONG},
	};
	struct wbc_options create = scratch_options();
	char address[PATH_MAX + 300];

	memset(long_path + 5, 'a', PATH_MAX - 1);
	for (size_t i = 0; i < N(rows); i++) {
		tap_is_int(try_open(rows[i].address, &create), rows[i].error,
		           "the address %.20s is refused",
		           rows[i].address ? rows[i].address : "NULL");
		tap_ok(strlen(words) > 20, "with words");
	}
	snprintf(address, sizeof(address), "%s-%0255d", s->address, 0);
	tap_is_int(try_open(address, &create), -ENAMETOOLONG,
	           "a name longer than the file system takes is refused");
	snprintf(address, sizeof(address), "shm:%s/none/x", s->dir);
	tap_is_int(try_open(address, &create), -ENOENT,
	           "a missing folder is not made");
	tap_ok(strstr(words, "none") != NULL, "and is named");
	tap_is_int(try_open(address, NULL), -ENOENT,
	           "nor is anything found in it");
	write_file(s->path, "x", 1);
	snprintf(address, sizeof(address), "%s/x", s->address);
	tap_is_int(try_open(address, &create), -ENOTDIR,
	           "a file is no folder to make a segment in");
	tap_is_int(try_open(address, NULL), -ENOTDIR, "nor to look in");
	unlink(s->path);
}

/* Named segments, with a /dev/shm that nobody else sees. */
static void named_segments(int line, void *arg)
{
	static const char name63[] =
		"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
	struct wbc_options create = scratch_options();
	char folder[64], path[200], address[100];
	struct stat st;

	(void)arg;
	snprintf(folder, sizeof(folder), "/dev/shm/wbcshm-%u", geteuid());
	tap_is_int(try_open("shm:app", NULL), -ENOENT,
	           "without its folder a named segment is not there");
	tap_ok(stat(folder, &st) != 0, "and looking for it makes none");
	umask(0);
	tap_is_int(try_open("shm:app", &create), 0,
	           "creating a named segment makes the user's folder");
	tap_ok(stat(folder, &st) == 0 && (st.st_mode & 07777) == 0700,
	       "which is the user's alone");
	snprintf(path, sizeof(path), "%s/app", folder);
	tap_ok(stat(path, &st) == 0, "and has the segment");
	tap_is_int(try_open("shm:app", NULL), 0, "which is found again");
	snprintf(address, sizeof(address), "shm:%s", name63);
	tap_is_int(try_open(address, &create), 0, "63 bytes are a name");
	snprintf(path, sizeof(path), "%s/%s", folder, name63);
	unlink(path);
	snprintf(path, sizeof(path), "%s/app", folder);

	chmod(folder, 0770);
	tap_is_int(try_open("shm:app", NULL), WBC_E_OWNER,
	           "a folder that a group may write to is refused");
	chmod(folder, 0707);
	tap_is_int(try_open("shm:app", &create), WBC_E_OWNER,
	           "so is one that anybody may write to");
	chmod(folder, 0700);
	rename(folder, "/dev/shm/elsewhere");
	if (symlink("/dev/shm/elsewhere", folder))
		tap_bail("symlink: %d", errno);
	tap_is_int(try_open("shm:app", NULL), WBC_E_OWNER,
	           "so is a symbolic link to one that would do");
	unlink(folder);
	write_file(folder, "x", 1);
	tap_is_int(try_open("shm:app", &create), WBC_E_OWNER,
	           "and a file in its place");
	unlink(folder);
	rename("/dev/shm/elsewhere", folder);
	if (geteuid() != 0 || chown(folder, NOBODY, NOBODY))
		tap_skip(2, "files cannot be given away here");
	else {
		tap_is_int(try_open("shm:app", NULL), WBC_E_OWNER,
		           "a folder that is not ours is refused");
		tap_ok(strstr(words, folder) != NULL, "and named");
	}
	child_say(line);
}

static void private_shm(int line, void *arg)
{
	if (child_mount("/dev/shm", "size=64m"))
		named_segments(line, arg);
}

static void test_named(void)
{
	struct child c = child_start(private_shm, NULL);

	if (!child_hear(c.line))
		tap_skip(13, "no mount namespace of our own is permitted");
	child_wait(&c);
}

/* What stands in a segment's place. */
static void make_link(const struct scratch *s)
{
	char to[PATH_MAX + 8];

	make_segment(s);
	snprintf(to, sizeof(to), "%s.real", s->path);
	if (rename(s->path, to) || symlink(to, s->path))
		tap_bail("symlink: %d", errno);
}

static void make_dangling(const struct scratch *s)
{
	if (symlink("/nowhere/at/all", s->path))
		tap_bail("symlink: %d", errno);
}

static void make_fifo(const struct scratch *s)
{
	if (mkfifo(s->path, 0600))
		tap_bail("mkfifo: %d", errno);
}

static void make_socket(const struct scratch *s)
{
	if (mknod(s->path, S_IFSOCK | 0600, 0))
		tap_bail("mknod: %d", errno);
}

static void make_folder(const struct scratch *s)
{
	if (mkdir(s->path, 0700))
		tap_bail("mkdir: %d", errno);
}

static void make_empty(const struct scratch *s)
{
	write_file(s->path, "", 0);
}

static void make_text(const struct scratch *s)
{
	write_file(s->path, "1WBCSHM1 but no more", 20);
}

static void make_noise(const struct scratch *s)
{
	static unsigned char noise[65536];
	struct dice d = {1};

	for (size_t i = 0; i < sizeof(noise); i++)
		noise[i] = (unsigned char)dice_word(&d);
	write_file(s->path, noise, sizeof(noise));
}

static void make_zeros(const struct scratch *s)
{
	static const unsigned char zeros[65536];

	write_file(s->path, zeros, sizeof(zeros));
}

static void make_size(const struct scratch *s, int64_t more)
{
	struct stat st;

	make_segment(s);
	stat(s->path, &st);
	if (truncate(s->path, more < 0 ? st.st_size + more : more))
		tap_bail("truncate: %d", errno);
}

static void cut_by_one(const struct scratch *s)
{
	make_size(s, -1);
}

static void cut_by_half(const struct scratch *s)
{
	make_size(s, -(32 << 20));
}

static void cut_to_page(const struct scratch *s)
{
	make_size(s, 4096);
}

static void cut_to_less(const struct scratch *s)
{
	make_size(s, 4095);
}

static void cut_to_header(const struct scratch *s)
{
	make_size(s, 512);
}

static void make_longer(const struct scratch *s)
{
	struct header_shm h;

	make_segment(s);
	h = header_of(s->path);
	if (truncate(s->path, (off_t)h.size_bytes + 1))
		tap_bail("truncate: %d", errno);
}

static void test_strangers(const struct scratch *s)
{
	static const struct {
		void (*make)(const struct scratch *);
		int error;
		const char *what;
	} rows[] = {
		{make_link, WBC_E_OWNER, "a symbolic link to a segment"},
		{make_dangling, WBC_E_OWNER, "a link to nowhere"},
		{make_fifo, WBC_E_OWNER, "a fifo"},
		{make_socket, WBC_E_OWNER, "a socket"},
		{make_folder, WBC_E_OWNER, "a folder"},
		{make_empty, WBC_E_FORMAT, "an empty file"},
		{make_text, WBC_E_FORMAT, "a text with the magic"},
		{make_noise, WBC_E_FORMAT, "a file of noise"},
		{make_zeros, WBC_E_FORMAT, "a file of zeros"},
		{cut_by_one, WBC_E_CORRUPT, "a segment without its last byte"},
		{cut_by_half, WBC_E_CORRUPT, "half a segment"},
		{cut_to_page, WBC_E_CORRUPT, "a segment's first page"},
		{cut_to_less, WBC_E_FORMAT, "less than a page"},
		{cut_to_header, WBC_E_FORMAT, "a header alone"},
		{make_longer, WBC_E_CORRUPT, "a segment with a byte too many"},
	};
	struct wbc_options create = scratch_options();

	for (size_t i = 0; i < N(rows); i++) {
		struct stat before, after;

		rows[i].make(s);
		lstat(s->path, &before);
		tap_is_int(try_open(s->address, NULL), rows[i].error,
		           "%s is refused (P10)", rows[i].what);
		tap_ok(strstr(words, s->path) != NULL, "%s: and named",
		       rows[i].what);
		tap_is_int(try_open(s->address, &create), rows[i].error,
		           "%s is refused by a creator too (P10)",
		           rows[i].what);
		lstat(s->path, &after);
		tap_ok(before.st_ino == after.st_ino &&
		               before.st_size == after.st_size &&
		               before.st_mode == after.st_mode,
		       "%s: and stays as it is", rows[i].what);
		scratch_clear(s);
	}
	tap_is_int(try_open("shm:/dev/null", NULL), WBC_E_OWNER,
	           "a device is refused");
	tap_is_int(try_open("shm:/dev/null", &create), WBC_E_OWNER,
	           "a device is refused by a creator too");
}

/* Which error a wrong byte of the header must lead to. */
static int error_of_byte(size_t at)
{
	if (at < offsetof(struct header_shm, layout))
		return WBC_E_FORMAT;
	if (at < offsetof(struct header_shm, compat))
		return WBC_E_LAYOUT;
	if (at < offsetof(struct header_shm, ro_compat))
		return WBC_E_CORRUPT;
	if (at < offsetof(struct header_shm, reserved0))
		return WBC_E_LAYOUT;
	return WBC_E_CORRUPT;
}

static bool refuses_byte(const struct scratch *s, const struct header_shm *h,
                         size_t at, unsigned char flip)
{
	unsigned char wrong = ((const unsigned char *)h)[at] ^ flip;
	int want = error_of_byte(at);
	struct wbci_segment tool;
	int got, read_only;

	patch(s->path, &wrong, 1, (off_t)at);
	got = try_open(s->address, NULL);
	read_only = wbci_segment_open(&tool, s->path, false, NULL);
	patch(s->path, (const unsigned char *)h + at, 1, (off_t)at);
	if (got == want && read_only == want)
		return true;
	tap_diag("byte %zu ^ %#x: %d and %d for a tool, want %d", at, flip, got,
	         read_only, want);
	return false;
}

static void test_every_byte(const struct scratch *s)
{
	static const struct {
		size_t from, to;
		const char *what;
	} parts[] = {
		{0, 8, "the magic"},
		{8, 16, "the layout version and the header's size"},
		{16, 40, "the feature bits"},
		{40, 64, "the digest and what the machine is like"},
		{64, 112, "the ids, the secret and the time"},
		{112, 240, "the geometry"},
		{240, 504, "what is reserved"},
		{504, 512, "the checksum"},
	};
	struct header_shm h;
	size_t next = 0;

	make_segment(s);
	h = header_of(s->path);
	for (size_t i = 0; i < N(parts); i++) {
		bool good = parts[i].from == next;

		for (size_t at = parts[i].from; at < parts[i].to; at++) {
			for (unsigned bit = 0; bit < 8; bit++)
				good &= refuses_byte(
					s, &h, at, (unsigned char)(1u << bit));
			good &= refuses_byte(s, &h, at, 0xff);
		}
		next = parts[i].to;
		tap_ok(good,
		       "a wrong byte in %s is refused, whichever it is (P10)",
		       parts[i].what);
	}
	tap_is_uint(next, sizeof(h), "that is the whole header");
	tap_is_int(try_open(s->address, NULL), 0,
	           "with all bytes right again it opens");
	unlink(s->path);
}

/* One field wrong, and the checksum right. */
static void test_fields(const struct scratch *s)
{
#define FIELD(f, value, error, what)                                           \
	{                                                                      \
		offsetof(struct header_shm, f),                                \
			sizeof(((struct header_shm *)0)->f), (value), (error), \
			(what)                                                 \
	}
	static const struct {
		size_t at, bytes;
		uint64_t value;
		int error;
		const char *what;
	} rows[] = {
		FIELD(layout, WBCI_LAYOUT_VERSION + 1, WBC_E_LAYOUT,
	              "the next layout version"),
		FIELD(layout, 0, WBC_E_LAYOUT, "layout version 0"),
		FIELD(header_bytes, 1024, WBC_E_LAYOUT, "a longer header"),
		FIELD(digest, 1, WBC_E_LAYOUT, "another digest"),
		FIELD(incompat, UINT64_C(1) << 63, WBC_E_LAYOUT,
	              "an unknown incompatible feature"),
		FIELD(ro_compat, 1, WBC_E_LAYOUT,
	              "an unknown feature that writers must know"),
		FIELD(compat, UINT64_MAX, 0,
	              "unknown features that all may ignore"),
		FIELD(byte_order, 0x04030201, WBC_E_LAYOUT,
	              "another byte order"),
		FIELD(sys_page, 16384, WBC_E_LAYOUT, "another page size"),
		FIELD(line, 128, WBC_E_LAYOUT, "another cache line"),
		FIELD(boot_id, 0, WBC_E_BOOT, "another boot of the machine"),
		FIELD(n_procs, 0, WBC_E_CORRUPT, "no process slots"),
		FIELD(n_procs, 4096, WBC_E_CORRUPT, "too many process slots"),
		FIELD(n_procs, UINT32_MAX, WBC_E_CORRUPT,
	              "2^32 - 1 process slots"),
		FIELD(n_threads, 0, WBC_E_CORRUPT, "no thread slots"),
		FIELD(n_threads, 65536, WBC_E_CORRUPT, "too many thread slots"),
		FIELD(n_tables, 0, WBC_E_CORRUPT, "no tables"),
		FIELD(n_tables, 256, WBC_E_CORRUPT, "too many tables"),
		FIELD(n_extents, 0, WBC_E_CORRUPT, "no extents"),
		FIELD(n_extents, 33, WBC_E_CORRUPT, "an extent too many"),
		FIELD(n_extents, UINT32_MAX, WBC_E_CORRUPT, "2^32 - 1 extents"),
		FIELD(n_pages, 31, WBC_E_CORRUPT, "pages unlike the extents"),
		FIELD(root_bits, 35, WBC_E_CORRUPT, "a root of 2^35 words"),
		FIELD(root_bits, 64, WBC_E_CORRUPT, "a root of 2^64 words"),
		FIELD(lane_bytes, 0, WBC_E_CORRUPT, "lanes of no bytes"),
		FIELD(lane_bytes, 2048, WBC_E_CORRUPT, "lanes too short"),
		FIELD(lane_bytes, 12288, WBC_E_CORRUPT,
	              "lanes that are no power of two"),
		FIELD(procs_off, 0, WBC_E_CORRUPT,
	              "process slots over the header"),
		FIELD(threads_off, 1, WBC_E_CORRUPT, "an odd offset"),
		FIELD(root_off, UINT64_MAX, WBC_E_CORRUPT,
	              "a root far outside"),
		FIELD(metas_off, UINT64_C(1) << 63, WBC_E_CORRUPT,
	              "metas at a negative offset"),
		FIELD(extents_off, 4096, WBC_E_CORRUPT,
	              "extents over the control page"),
		FIELD(size_bytes, 0, WBC_E_CORRUPT, "a size of 0"),
		FIELD(size_bytes, UINT64_MAX, WBC_E_CORRUPT,
	              "a size of 2^64 - 1"),
	};
	struct header_shm h, wrong;

	make_segment(s);
	h = header_of(s->path);
	for (size_t i = 0; i < N(rows); i++) {
		wrong = h;
		memset((char *)&wrong + rows[i].at, 0, rows[i].bytes);
		memcpy((char *)&wrong + rows[i].at, &rows[i].value,
		       rows[i].bytes < 8 ? rows[i].bytes : 8);
		wrong.checksum = wbci_header_checksum(&wrong);
		patch(s->path, &wrong, sizeof(wrong), 0);
		tap_is_int(try_open(s->address, NULL), rows[i].error,
		           "with a right checksum, %s: %s (P10)", rows[i].what,
		           rows[i].error ? "refused" : "used");
	}
	unlink(s->path);
#undef FIELD
}

/*
 * Geometry that is random, with a right checksum: refused, or a layout of
 * the same size, with which one can work.
 */
static void test_random_fields(const struct scratch *s)
{
	const size_t from = offsetof(struct header_shm, size_bytes);
	const size_t to = offsetof(struct header_shm, born_real_ns);
	struct wbc_value key = wbc_text(NULL, "k", 1);
	struct dice d = dice_seeded();
	struct header_shm h, wrong;
	unsigned bad = 0, used = 0;

	make_segment(s);
	h = header_of(s->path);
	for (unsigned i = 0; i < 3000; i++) {
		int error;

		wrong = h;
		dice_mutate(&d, (unsigned char *)&wrong + from, to - from,
		            to - from);
		wrong.checksum = wbci_header_checksum(&wrong);
		patch(s->path, &wrong, sizeof(wrong), 0);
		error = try_open(s->address, NULL);
		if (error != 0 && error != WBC_E_CORRUPT)
			bad++;
		if (error == 0) {
			struct wbc *c = scratch_open(s, NULL);
			struct wbc_table *t =
				scratch_table(c, "t(k text key, n counter)");

			bad += wbc_add_int64(t, &key, 1, 1, 1) != 0;
			wbc_close(&c);
			used++;
		}
	}
	tap_ok(bad == 0,
	       "3,000 random geometries are refused, or are layouts one can "
	       "work with (P10)");
	tap_diag("%u could be used", used);
	unlink(s->path);
}

static void closed_child(int line, void *arg)
{
	struct wbc_value key = wbc_text(NULL, "k", 1);

	(void)line;
	tap_is_int(wbc_add_int64(arg, &key, 1, 1, 1), -ESTALE,
	           "closed: a forked child's first call is -ESTALE");
}

static void test_closed(const struct scratch *s)
{
	struct wbc *c = scratch_open(s, NULL);
	struct wbc_table *t = scratch_table(c, "t(k text key, n counter)");
	struct wbc_value row[] = {wbc_text(NULL, "k", 1)};
	struct wbc_value other = wbc_text(NULL, "other", 5);
	struct wbc_counter *counter, *second;
	struct wbci_segment tool;
	struct wbc_table *again;
	struct child child;
	int64_t value;

	if (wbc_counter_open(t, row, 1, 1, &counter) ||
	    wbc_counter_add(counter, 5))
		tap_bail("no counter");
	wbci_shut(&c->client->segment);

	tap_is_int(wbc_counter_add(counter, 1), -ESTALE,
	           "closed: adding by a handle is -ESTALE");
	tap_is_int(wbc_add_int64(t, row, 1, 1, 1), -ESTALE,
	           "closed: adding to a row is -ESTALE");
	tap_is_int(wbc_add_int64(t, &other, 1, 1, 1), -ESTALE,
	           "closed: adding to a new row is -ESTALE");
	tap_is_int(wbc_add_get_int64(t, row, 1, 1, 1, &value), -ESTALE,
	           "closed: adding and reading is -ESTALE");
	tap_is_int(wbc_insert(t, row, 1, 0), -ESTALE,
	           "closed: inserting is -ESTALE");
	tap_is_int(wbc_read_int64(t, row, 1, 1, &value), -ESTALE,
	           "closed: reading is -ESTALE");
	tap_is_int(wbc_counter_read(counter, &value), -ESTALE,
	           "closed: reading a counter is -ESTALE");
	tap_is_int(wbc_counter_open(t, row, 1, 1, &second), -ESTALE,
	           "closed: opening a counter is -ESTALE");
	tap_is_int(wbc_table_declare(c, "u(k int key)", &again, NULL, 0),
	           -ESTALE, "closed: declaring a table is -ESTALE");
	tap_is_int(wbc_sync(c, 0), -ESTALE, "closed: syncing is -ESTALE");
	tap_is_int(wbc_flush(c, NULL, 0, NULL), -ESTALE,
	           "closed: flushing is -ESTALE");
	child = child_start(closed_child, t);
	child_wait(&child);
	tap_is_int(try_open(s->address, NULL), -ESTALE,
	           "closed: attaching is -ESTALE");
	tap_ok(strstr(words, "closed") != NULL, "closed: and says so");
	tap_is_int(wbci_segment_open(&tool, s->path, false, NULL), 0,
	           "closed: a tool may still look");
	wbci_segment_close(&tool);

	order_store(&c->client->segment.control->closed, 0);
	tap_is_uint(scratch_total(t, row, 1, 1), 5,
	            "closed: none of them changed anything");
	wbc_close(&c);
	unlink(s->path);
}

/* What a creator does, in a child that is going to be killed. */
struct making {
	const struct scratch *s;
	bool refuse;
};

static bool refuse_nameless(void)
{
	bool done = child_refuse(SYS_openat, 2, O_TMPFILE & ~O_DIRECTORY,
	                         EOPNOTSUPP);
#ifdef SYS_open
	done &= child_refuse(SYS_open, 1, O_TMPFILE & ~O_DIRECTORY, EOPNOTSUPP);
#endif
	return done;
}

static void create_segment(int line, void *arg)
{
	const struct making *m = arg;
	struct wbc_options o = scratch_options();
	int error;

	o.flags |= WBC_EXCLUSIVE;
	if (m->refuse && !refuse_nameless())
		tap_child_exit(2);
	child_say(line);
	child_hear(line);
	error = try_open(m->s->address, &o);
	tap_child_exit(error ? 1 : 0);
}

/* Under the name is a whole segment or nothing. */
static bool whole_or_nothing(const struct scratch *s)
{
	int error = try_open(s->address, NULL);

	if (error == 0 || error == -ENOENT)
		return true;
	tap_diag("%d: %s", error, words);
	return false;
}

/* Kill at every system call, in order, until one is not killed. */
static void sweep_create(const struct scratch *s, bool refuse)
{
	struct making m = {s, refuse};
	unsigned n = 0, odd = 0, half = 0, made = 0;
	int killed;

	do {
		killed = child_kill_at(create_segment, &m, ++n);
		if (killed < 0) {
			tap_skip(3, "this process may not trace");
			return;
		}
		half += !whole_or_nothing(s);
		made += access(s->path, F_OK) == 0;
		odd += scratch_files(s) - (access(s->path, F_OK) == 0);
		scratch_clear(s);
	} while (killed);
	tap_ok(half == 0 && n > 10,
	       "creation killed at each of %u system calls%s leaves a whole "
	       "segment under the name, or none (P8)",
	       n, refuse ? ", without O_TMPFILE," : "");
	tap_ok(made > 1 && made < n - 10,
	       "of those, %u were killed after the name was there", made);
	if (refuse)
		tap_ok(odd > 0, "what is left then has an odd name");
	else
		tap_ok(odd == 0, "and nothing is left under any other name");
}

static void test_killed_create(const struct scratch *s)
{
	struct making m = {s, false};
	struct dice d = dice_seeded();
	unsigned half = 0, odd = 0, made = 0;

	for (unsigned i = 0; i < 100; i++) {
		struct child c = child_start(create_segment, &m);

		child_hear(c.line);
		child_say(c.line);
		for (uint32_t spin = dice_below(&d, 16000); spin; spin--)
			clock_gettime(CLOCK_MONOTONIC, &(struct timespec){0});
		child_kill(&c);
		half += !whole_or_nothing(s);
		made += access(s->path, F_OK) == 0;
		odd += scratch_files(s) - (access(s->path, F_OK) == 0);
		scratch_clear(s);
	}
	tap_diag("%u of 100 were whole", made);
	tap_ok(half == 0 && odd == 0,
	       "creation killed at 100 random moments leaves a whole segment "
	       "or nothing (P8)");
}

/* Several create the same segment at once. */
struct race {
	const struct scratch *s;
	bool exclusive, refuse;
};

static void races(int line, void *arg)
{
	const struct race *r = arg;
	struct wbc_options o = scratch_options();
	int error;

	o.flags |= r->exclusive ? WBC_EXCLUSIVE : 0;
	if (r->refuse && !refuse_nameless())
		tap_child_exit(3);
	child_say(line);
	child_hear(line);
	error = try_open(r->s->address, &o);
	tap_child_exit(error == 0 ? 0 : error == -EEXIST ? 1 : 2);
}

static bool can_refuse_nameless(void)
{
	pid_t pid = fork();

	if (pid == 0)
		tap_child_exit(!refuse_nameless());
	return child_reap(pid) == 0;
}

static void test_race(const struct scratch *s, bool exclusive, bool refuse)
{
	struct race r = {s, exclusive, refuse};
	unsigned made = 0, found = 0, odd = 0;
	struct child c[6];

	if (refuse && !can_refuse_nameless()) {
		tap_skip(2, "no seccomp filter is permitted");
		return;
	}

	for (unsigned round = 0; round < 20; round++) {
		for (unsigned i = 0; i < N(c); i++) {
			c[i] = child_start(races, &r);
			child_hear(c[i].line);
		}
		for (unsigned i = 0; i < N(c); i++)
			child_say(c[i].line);
		for (unsigned i = 0; i < N(c); i++) {
			int status = child_wait(&c[i]);

			made += status == 0;
			found += status == 1;
		}
		odd += scratch_files(s) - 1;
		scratch_clear(s);
	}
	tap_ok(made == (exclusive ? 20 : 20 * N(c)) &&
	               made + found == 20 * N(c),
	       "of creators that race for a name%s %s",
	       refuse ? " without nameless files" : "",
	       exclusive ? "exclusively one wins" : "all get the segment");
	tap_is_uint(odd, 0, "and no other file is left");
}

static void without_nameless(int line, void *arg)
{
	const struct scratch *s = arg;
	struct wbc_options o = scratch_options();
	struct stat st;

	if (!refuse_nameless())
		return;
	child_say(line);
	o.mode = 0640;
	tap_is_int(try_open(s->address, &o), 0,
	           "where nameless files are refused a segment is made all "
	           "the same");
	tap_is_int(scratch_files(s), 1, "and no odd file is left");
	tap_ok(stat(s->path, &st) == 0 && st.st_nlink == 1 &&
	               (st.st_mode & 07777) == 0640,
	       "it has one name and the mode that was asked for");
	tap_is_int(try_open(s->address, NULL), 0, "it is whole");
	o.flags |= WBC_EXCLUSIVE;
	tap_is_int(try_open(s->address, &o), -EEXIST,
	           "one that exists is not replaced");
	tap_is_int(scratch_files(s), 1, "and then, too, no odd file is left");
}

static void test_no_tmpfile(const struct scratch *s)
{
	struct child c = child_start(without_nameless, (void *)(uintptr_t)s);

	if (!child_hear(c.line))
		tap_skip(6, "no seccomp filter is permitted");
	child_wait(&c);
	scratch_clear(s);
	sweep_create(s, true);
}

/* Each step of creation fails in turn, with and without nameless files. */
struct failing {
	const struct scratch *s;
	long call;
	int error, want;
	bool refuse;
	const char *what;
};

static void create_failing(int line, void *arg)
{
	const struct failing *f = arg;
	struct wbc_options o = scratch_options();

	if (!child_refuse(f->call, 0, 0, f->error) ||
	    (f->refuse && !refuse_nameless()))
		return;
	child_say(line);
	tap_is_int(try_open(f->s->address, &o), f->want,
	           "%s refused%s: an error (P8)", f->what,
	           f->refuse ? ", also nameless files" : "");
	tap_ok(strstr(words, f->s->path) || strstr(words, f->s->dir),
	       "%s: the words name the place", f->what);
	tap_is_int(scratch_files(f->s), 0, "%s: no file is left", f->what);
	if (f->error == ENOSPC)
		tap_ok(strstr(words, "--shm-size") != NULL,
		       "%s: the words name the container's setting", f->what);
}

static void test_failing_create(const struct scratch *s)
{
	static const struct {
		long call;
		int error, want;
		const char *what;
	} rows[] = {
		{SYS_fchmod, EPERM, -EPERM, "fchmod"},
		{SYS_ftruncate, EFBIG, -EFBIG, "ftruncate"},
		{SYS_fallocate, ENOSPC, -ENOSPC, "fallocate"},
		{SYS_fallocate, EOPNOTSUPP, -EOPNOTSUPP, "allocation"},
		{SYS_pwrite64, EIO, -EIO, "pwrite"},
		{SYS_linkat, EPERM, -EPERM, "linkat"},
	};

	for (size_t i = 0; i < 2 * N(rows); i++) {
		size_t row = i / 2;
		struct failing f = {
			s,     rows[row].call, rows[row].error, rows[row].want,
			i % 2, rows[row].what};
		struct child c;

#ifdef SYS_link
		/* Then a name is given by link(2). */
		if (f.refuse && f.call == SYS_linkat)
			f.call = SYS_link;
#endif
		c = child_start(create_failing, &f);
		if (!child_hear(c.line))
			tap_skip(3, "no seccomp filter is permitted");
		child_wait(&c);
		scratch_clear(s);
	}
}

int main(void)
{
	struct scratch s;

	scratch_make(&s);
	test_create(&s);
	test_access(&s);
	test_owner(&s);
	test_options(&s);
	test_smallest(&s);
	test_addresses(&s);
	test_named();
	test_strangers(&s);
	test_every_byte(&s);
	test_fields(&s);
	test_random_fields(&s);
	test_closed(&s);
	sweep_create(&s, false);
	test_killed_create(&s);
	test_no_tmpfile(&s);
	for (unsigned i = 0; i < 4; i++)
		test_race(&s, i & 1, i & 2);
	test_failing_create(&s);
	scratch_remove(&s);
	return tap_done();
}
