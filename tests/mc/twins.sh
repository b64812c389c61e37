# SPDX-License-Identifier: MIT
# Copyright the wbcshm authors
#
# Known-bad twins of shm/: each patch of tests/mc/twins is applied to a copy,
# linked with the same program and the same checker, and the scenario that it
# names must fail for the reason that it gives.  An engine that lets one pass is
# not working, and one that stumbles over something else proves nothing.
#
# twins.sh [PATCH...]   only these, with what the program says
. "$WBC_SRC/tests/tap/tap.sh"

[ -z "${WBC_SANITIZE-}" ] ||
	skip_all "the model checker's hooks take the sanitizer's place"

work=$(mktemp -d "${TMPDIR:-/tmp}/twins.XXXXXX") || exit 1
trap 'rm -rf "$work"' EXIT

model="$WBC_BUILD/tests/mc/.libs/libmodel.a"
shm="$WBC_BUILD/tests/mc/.libs/libshm.a"
tap="$WBC_BUILD/tests/tap/.libs/libtap.a"

# compile TREE SOURCE OBJECT
compile()
{
	$WBC_MC_CC -include "$WBC_BUILD/config.h" -D_GNU_SOURCE \
		-D_FORTIFY_SOURCE=0 -I"$1" -I"$1/api" -I"$1/tests" \
		$WBC_MC_CFLAGS -w -c "$1/$2" -o "$3"
}

# What must be compiled: the patched sources, or all if a header is patched.
sources()
{
	if grep -q '^+++ b/.*\.h$' "$1"; then
		(cd "$WBC_SRC" && ls shm/*.c)
	else
		sed -n 's|^+++ b/\(.*\.c\)$|\1|p' "$1"
	fi
}

# build PATCH TREE PROGRAM: the twin's program, TREE/twin
build()
{
	local f objects=

	mkdir -p "$2/tests" &&
		cp -r "$WBC_SRC/shm" "$WBC_SRC/api" "$2" &&
		cp -r "$WBC_SRC/tests/mc" "$WBC_SRC/tests/tap" "$2/tests" &&
		patch -s -d "$2" -p1 <"$1" || return 1
	for f in $(sources "$1") "tests/mc/$3.c"; do
		compile "$2" "$f" "$2/$(echo "$f" | tr / _).o" || return 1
		objects="$objects $2/$(echo "$f" | tr / _).o"
	done
	$WBC_MC_CC -pthread -o "$2/twin" $objects "$model" "$shm" "$tap" \
		-lm $WBC_MC_LINK
}

# Why a scenario failed, in the words of the checker, each number an N.
reason()
{
	sed -n "/executions/d; s/^# $1: //p" "$2" | head -n 1 |
		sed -E 's/ \(\/.*//; s/(segment|lane)[][0-9]*\+[0-9a-fx]+/\1/
			s/-?[0-9]+/N/g'
}

# The scenario of a patch fails, by what the checker found.
caught()
{
	local tree="$work/${1##*/}" program scenario

	program=$(sed -n 's/^Program: //p' "$1")
	scenario=$(sed -n 's/^Scenario: //p' "$1")
	build "$1" "$tree" "$program" || return 1
	"$tree/twin" "$scenario" >"$tree/said"
	[ $? = 1 ] && grep -q '^not ok 1' "$tree/said" &&
		[ "$(reason "$scenario" "$tree/said")" = \
			"$(sed -n 's/^Reason: //p' "$1")" ]
	local rc=$?

	[ $rc = 0 ] || tail -n 5 "$tree/said"
	[ -z "$show" ] || cat "$tree/said"
	rm -rf "$tree"
	return $rc
}

# The tables of doc/ordering.md name each twin, and no other.
listed()
{
	sed -n '/^## Re-checks/,/^## What/p' "$WBC_SRC/doc/ordering.md" |
		grep -oE '^\| [rt]?[0-9]+b?-[a-z-]+ \||\| [rt]?[0-9]+b?-[a-z-]+ \|$' |
		tr -d '| ' | sort >"$work/named"
	(cd "$WBC_SRC/tests/mc/twins" && ls ./*.patch) |
		sed 's|^\./||; s|\.patch$||' | sort | diff "$work/named" -
}

show=
[ $# = 0 ] || show=yes
if [ $# = 0 ]; then
	set -- "$WBC_SRC"/tests/mc/twins/*.patch
	ok "P15: doc/ordering.md lists each twin" listed
fi
had=$tap_failed
for twin; do
	name=${twin##*/}
	ok "twin ${name%.patch}: $(sed '/^Program:/,$d' "$twin" | tr '\n' ' ' |
		sed 's/ *$//')" caught "$twin"
done
echo "# twins: $# re-checks and mistakes, $(($# + had - tap_failed)) caught"
done_testing
