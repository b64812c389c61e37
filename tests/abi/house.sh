# SPDX-License-Identifier: MIT
# Copyright the wbcshm authors
#
# What holds of the sources as text.
. "$WBC_SRC/tests/tap/tap.sh"

cd "$WBC_SRC" || exit 1

files()
{
	find units shm api flusher tools bench examples tests \
		\( -name '*.[ch]' -o -name '*.sh' -o -name '*.bats' \
		-o -name '*.mk' -o -name '*.pl' \) -print | sort
	ls configure.ac Makefile.am GNUmakefile bootstrap .ci/run libwbcshm.map \
		m4/wbc_*.m4
}

untagged()
{
	local f n=0
	for f in $(files); do
		if ! head -n 5 "$f" | grep -q 'SPDX-License-Identifier: MIT' ||
			! head -n 5 "$f" | grep -q 'Copyright the wbcshm authors'; then
			echo "$f"
			n=1
		fi
	done
	return $n
}

# only_in FILE PATTERN: no other file of the product has the pattern.
only_in()
{
	! grep -lE "$2" -r --include='*.[ch]' \
		units shm api flusher tools bench |
		grep -vxE "$1"
}

# The public headers are what api/local.mk installs, and wbcshm.h includes
# them all.
headers_are_listed()
{
	local f rc=0
	for f in api/wbc*.h; do
		grep -qF "$f" api/local.mk || { echo "$f is not listed"; rc=1; }
		[ "$f" = api/wbcshm.h ] ||
			grep -qF "\"${f#api/}\"" api/*.h || { echo "$f: nobody includes it"; rc=1; }
	done
	return $rc
}

# What is in a folder is built or at least distributed.
sources_are_listed()
{
	local f rc=0
	for f in $(find units shm api flusher tools bench examples -name '*.[ch]') \
		$(find tests -name '*.h' -o -name '*.sh' -o -name '*.bats' \
			-o -name '*.patch'); do
		cat "${f%%/*}/local.mk" "${f%%/*}"/*/local.mk 2>/dev/null |
			sed 's/#.*//' | grep -qwF "$f" ||
			{ echo "$f"; rc=1; }
	done
	for f in $(find tests -name '*.c'); do
		cat tests/local.mk tests/*/local.mk | sed 's/#.*//' |
			grep -qwF "${f%.c}" ||
			{ echo "$f"; rc=1; }
	done
	return $rc
}

ok "every source is named in its folder's local.mk" sources_are_listed
ok "every file has its licence and copyright line" untagged
ok "every header in api/ is installed, and included by a public one" \
	headers_are_listed
ok "lmdb.h is included by its own file only" \
	only_in 'flusher/journal[a-z_]*\.c' '# *include <lmdb\.h>'
ok "sqlite3.h is included by its own files only" \
	only_in 'flusher/sink_sqlite[a-z_]*\.[ch]|bench/flush\.c' '# *include <sqlite3\.h>'
# The flusher may have atomics for memory of its own.
ok "stdatomic.h is included by shm/order.h only, outside the flusher" \
	only_in 'shm/order\.h|flusher/.*' '# *include <stdatomic\.h>'
ok "shm, api and flusher never sleep: they wait for events" \
	bash -c "! grep -nwE '(sleep|usleep|nanosleep|clock_nanosleep) *\(' \
		-r --include='*.c' shm api flusher"
done_testing
