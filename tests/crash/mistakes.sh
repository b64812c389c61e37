# SPDX-License-Identifier: MIT
# Copyright the wbcshm authors
#
# Known-bad flushers: each patch of tests/crash/mistakes is a mistake in the
# protocol between segment, journal and database.  A flusher that is built with
# it must fail the life of tests/crash/mistaken that the patch names, in the
# line that it says; the one that is built here passes all.
#
# mistakes.sh [PATCH...]   only these, with what the program says
. "$WBC_SRC/tests/tap/tap.sh"

[ -x "$WBC_BUILD/tests/crash/mistaken" ] || skip_all "there is no flusher"

work=$(mktemp -d "${TMPDIR:-/tmp}/mistakes.XXXXXX") || exit 1
trap 'rm -rf "$work"' EXIT

# field NAME PATCH
field()
{
	sed -n "s/^$1: //p" "$2"
}

# build PATCH TREE: the flusher with the mistake, TREE/wbc-flusher.  A source
# that is compiled anew takes the place of the library's member.
build()
{
	local f objects=

	mkdir -p "$2" && cp -r "$WBC_SRC/shm" "$WBC_SRC/api" "$WBC_SRC/units" \
		"$WBC_SRC/flusher" "$2" && patch -s -d "$2" -p1 <"$1" || return
	for f in $(sed -n 's|^+++ b/\(.*\.c\)$|\1|p' "$1"); do
		$WBC_FLUSHER_CC -I"$2" -I"$2/api" -w -c "$2/$f" \
			-o "$2/$(echo "$f" | tr / _).o" || return
		objects="$objects $2/$(echo "$f" | tr / _).o"
	done
	(cd "$WBC_BUILD" && $WBC_FLUSHER_CC -o "$2/wbc-flusher" \
		flusher/main.o flusher/options.o $objects \
		flusher/.libs/libflusher.a units/.libs/libunits.a \
		api/.libs/libapi.a shm/.libs/libshm.a $WBC_FLUSHER_LIBS)
}

# The life that the patch names fails, in the line that it says.
caught()
{
	local tree="$work/${1##*/}" rc

	build "$1" "$tree" || return
	PATH=$tree:$PATH "$WBC_BUILD/tests/crash/$(field Program "$1")" \
		"$(field Life "$1")" >"$tree/said" 2>&1
	grep "^not ok" "$tree/said" | grep -qF "$(field Says "$1")"
	rc=$?
	[ $rc = 0 ] && [ -z "$show" ] || tail -n 20 "$tree/said"
	rm -rf "$tree"
	return $rc
}

show=
if [ $# = 0 ]; then
	set -- "$WBC_SRC"/tests/crash/mistakes/*.patch
else
	show=yes
fi
had=$tap_failed
for mistake; do
	name=${mistake##*/}
	ok "mistake ${name%.patch}: $(sed '/^Program:/,$d' "$mistake" |
		tr '\n' ' ' | sed 's/ *$//')" caught "$mistake"
done
echo "# mistakes: $# in the flusher's protocol, $(($# + had - tap_failed)) caught"
done_testing
