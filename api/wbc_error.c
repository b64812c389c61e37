/* SPDX-License-Identifier: MIT */
/* Copyright the wbcshm authors */

/*
 * Errors in words.  The table has every error that a function of this library
 * documents, and those that file system calls hand through.  strerror() is not
 * used: it is not thread-safe, and knows no remedy.
 */
#include "wbc_error.h"

#include <errno.h>
#include <stddef.h>

struct words {
	int error;
	const char *name;
	const char *text;
};

#define WBC(name, text) {name, #name, text}
#define SYS(name, text) {-(name), #name, text}

static const struct words errors[] = {
	WBC(WBC_E_TYPE,
	    "A value is of another type than its column, or the call is for "
	    "columns of another type; give the type that the table declares."),
	WBC(WBC_E_RACE,
	    "Somebody else changed it first and nothing was written; "
	    "read it again and retry."),
	WBC(WBC_E_UNKNOWN,
	    "The database's value of this row is not known; it is after a change "
	    "of the row was applied: add to it without asking for the total, "
	    "flush the table, and try again."),
	WBC(WBC_E_NOFLUSHER,
	    "No flusher serves the segment and nothing is lost; start "
	    "wbc-flusher for it and try again."),
	WBC(WBC_E_COLUMN,
	    "The table has no such column, the column cannot be used like "
	    "this, or it is named twice; compare the names with the table's "
	    "declaration."),
	WBC(WBC_E_KEY,
	    "A key value is missing, given twice or NULL, or the table has no "
	    "key; give each key column one value."),
	WBC(WBC_E_TABLE,
	    "The flusher was not told of this table and nothing is lost; "
	    "restart wbc-flusher with a --table option for it."),
	WBC(WBC_E_SCHEMA,
	    "The table is declared with other columns, or another on_missing, "
	    "by somebody else; make the declarations the same."),
	WBC(WBC_E_PARKED,
	    "The database refuses the table as a whole and nothing is lost; "
	    "mend what the flusher's log says of it, and it goes on."),
	WBC(WBC_E_REFUSED,
	    "The database refused rows for good; they are kept with the "
	    "reason in its table wbc_dead_letters."),
	WBC(WBC_E_FORMAT,
	    "The file is not a wbcshm segment; check the address."),
	WBC(WBC_E_LAYOUT,
	    "The segment has the layout of another version or machine; use "
	    "the version that made it, or create it anew."),
	WBC(WBC_E_CORRUPT,
	    "The segment contradicts itself and must not be used any more; "
	    "look into it with `wbc-shmdump check`, then create it anew."),
	WBC(WBC_E_BOOT,
	    "The segment is from before the machine's last start; let the "
	    "flusher recover its journal and create the segment anew."),
	WBC(WBC_E_NAN,
	    "NaN and infinities are not stored; give a finite number."),
	WBC(WBC_E_NOROW,
	    "The database has no such row; insert it, or start wbc-flusher "
	    "with on_missing=insert behind the table's columns."),
	WBC(WBC_E_SPEC,
	    "The table specification does not parse; its message says where, "
	    "and it should look like words(word text key, n counter)."),
	WBC(WBC_E_OWNER,
	    "The file belongs to another user or is not a regular file; check "
	    "the address, and who made what is there."),
	WBC(WBC_E_JOURNAL,
	    "The segment and the journal do not belong together; give "
	    "wbc-flusher the --journal that the segment was used with."),
	WBC(WBC_E_JSON,
	    "A json value is not JSON as RFC 8259 has it, or is nested too "
	    "deeply; mend it, or declare the column as text."),
	WBC(WBC_E_UTF8,
	    "A text is not UTF-8, or has a NUL, which databases refuse; "
	    "convert it, or declare the column as blob."),

	SYS(E2BIG,
	    "A key, value or row is too large, or there are too many columns "
	    "or tables; see the limits in wbc_table.h."),
	SYS(EACCES,
	    "Permission denied; check the mode, group and owner of the "
	    "segment and of its folder."),
	SYS(EAGAIN,
	    "There is no room at the moment and nothing was done; try again, "
	    "with a longer timeout."),
	SYS(EBADF,
	    "A file descriptor of the library was closed by somebody else in "
	    "this process; close and reopen the handle."),
	SYS(EBADMSG,
	    "Stored data failed a check; close the handle."),
	SYS(EBUSY,
	    "It is in use; end those who use it first."),
	SYS(EEXIST,
	    "It exists already; open it without WBC_EXCLUSIVE, or remove it."),
	SYS(EFBIG,
	    "The segment is larger than files may be here; give a smaller "
	    "max_bytes, or raise the limit on file sizes."),
	SYS(EINTR,
	    "A signal interrupted the wait; call again."),
	SYS(EINVAL,
	    "An argument or option is out of range, or the number of values "
	    "does not fit the table; compare the call with its header."),
	SYS(EIO,
	    "The system could not read or write; check the kernel's log for a "
	    "failing device."),
	SYS(EISDIR,
	    "The address is a folder; name a file."),
	SYS(ELOOP,
	    "The address is a symbolic link, which is not followed; name the "
	    "file itself."),
	SYS(EMFILE,
	    "This process has too many open files; close some, or raise its "
	    "limit (ulimit -n)."),
	SYS(ENAMETOOLONG,
	    "A name is too long; see WBC_NAME_MAX."),
	SYS(ENFILE,
	    "The machine has too many open files; close some, or raise "
	    "fs.file-max."),
	SYS(ENODEV,
	    "The file system cannot map files; place the segment in /dev/shm."),
	SYS(ENOENT,
	    "There is no such segment or folder; check the address, or open "
	    "with WBC_CREATE."),
	SYS(ENOLCK,
	    "The system has no more file locks; place the segment on a local "
	    "file system such as /dev/shm."),
	SYS(ENOMEM,
	    "This process has no memory left for it; free some, or raise its "
	    "limits."),
	SYS(ENOSPC,
	    "The segment or its file system is full and nothing was changed; "
	    "enlarge /dev/shm (in a container: docker run --shm-size=1g, or "
	    "shm_size in its compose file), or create the segment with a "
	    "larger max_bytes."),
	SYS(ENOSYS,
	    "The kernel lacks a system call that is needed; Linux 4.16 or "
	    "newer is required."),
	SYS(ENOTDIR,
	    "A part of the address is not a folder; check the address."),
	SYS(ENOTSUP,
	    "This is not supported here; place the segment in /dev/shm."),
	SYS(EOVERFLOW,
	    "A number is too large for its type; check the sizes given."),
	SYS(EPERM,
	    "The operation is not permitted; check the user, and the limits "
	    "that the container sets."),
	SYS(ERANGE,
	    "The sum would leave the range of the counter, or a timestamp the "
	    "years 1 to 9999; nothing was written."),
	SYS(EROFS,
	    "The file system is read-only; use another address, or mount it "
	    "writable."),
	SYS(ESTALE,
	    "The segment was closed or replaced by somebody; close the handle "
	    "and open it anew."),
	SYS(ETIMEDOUT,
	    "It did not happen within the given time and nothing is lost; "
	    "wait longer, or look at the flusher's log."),
	SYS(ETXTBSY,
	    "The file is a running program; check the address."),
	SYS(EUSERS,
	    "All process or thread slots are in use; end some, or create the "
	    "segment with more (procs, threads)."),
};

static const struct words *find(int error)
{
	for (size_t i = 0; i < sizeof(errors) / sizeof(errors[0]); i++)
		if (errors[i].error == error)
			return &errors[i];
	return NULL;
}

const char *wbc_strerror(int error)
{
	const struct words *found = find(error);

	if (found)
		return found->text;
	if (error == 0)
		return "Success; there is nothing to do.";
	if (error > 0)
		return "A count, not an error; errors are negative.";
	if (error > -4096)
		return "The system refused with an error number of its own; "
		       "look it up as errno, without the minus.";
	return "An error number that this version does not know; update "
	       "the library.";
}

const char *wbc_error_name(int error)
{
	const struct words *found = find(error);

	return found ? found->name : "?";
}

const char *wbc_version(void)
{
	return PACKAGE_VERSION;
}
