# SPDX-License-Identifier: MIT
# Copyright the wbcshm authors
#
# Every source of the product and of the tests compiles without a warning,
# optimised and with the flags of configure.ac, under gcc and under clang.
. "$WBC_SRC/tests/tap/tap.sh"

cd "$WBC_SRC" || exit 1

# All flags are given to both compilers, so each is told to pass over those
# that only the other knows.
warn=$(sed -n '/^WBC_CC_FLAGS(\[WBC_WARN\]/,/\])$/p' configure.ac |
	tr -s ' ])' '\n' | grep '^-W')
flags="-O2 -std=gnu11 -pthread -D_GNU_SOURCE -include $WBC_BUILD/config.h
	-I. -Iapi -Itests -Werror"

# takes CC: the warnings that it knows.
takes()
{
	local w
	for w in $warn; do
		if echo 'int x;' | "$1" -Werror "$w" -x c -fsyntax-only - 2>/dev/null; then
			echo "$w"
		fi
	done
}

compile()
{
	local folder=$1 sources
	shift
	# Not what the build makes of others: a known-bad twin.
	sources=$(find "$folder" -name '*.c' ! -name '*_bad.c' | sort)
	test -n "$sources" || return 0
	echo "$sources" | xargs -P 2 -I '{}' "$@" -c -o /dev/null '{}'
}

fails()
{
	! "$@"
}

for cc in gcc clang; do
	if command -v $cc >/dev/null; then
		known=$(takes $cc)
		mkdir -p "$TMPDIR/bad"
		echo 'int shadowed(int a) { { int a = 1; return a; } }' >"$TMPDIR/bad/bad.c"
		ok "$cc finds the warnings of a bad source" \
			fails compile "$TMPDIR/bad" $cc $flags $known
	fi
	for folder in units shm api flusher tools bench examples tests; do
		what="$cc compiles $folder/ without a warning"
		if ! command -v $cc >/dev/null; then
			skip "$what" "$cc is missing"
		elif [ $folder = flusher ] && [ ! -e "$WBC_BUILD/flusher/libflusher.la" ]; then
			skip "$what" "configured without the flusher"
		else
			ok "$what" compile $folder $cc $flags $known
		fi
	done
done
done_testing
