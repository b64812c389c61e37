# SPDX-License-Identifier: MIT
# Copyright the wbcshm authors
#
# coverage.sh [PROGRAM...]: which lines of shm/ run under the model checker.
# Builds the programs once more with --coverage, runs them, and prints a line
# for each source: its lines, how many ran, and the numbers of those that did
# not.  Run it as `make mc-coverage`.
set -eu

[ $# != 0 ] || set -- wakes index epochs removal slots lanes rounds pages entries
work=$(mktemp -d "${TMPDIR:-/tmp}/coverage.XXXXXX")
trap 'rm -rf "$work"' EXIT
cd "$work"

compile()
{
	$WBC_MC_CC -include "$WBC_BUILD/config.h" -D_GNU_SOURCE \
		-D_FORTIFY_SOURCE=0 -I"$WBC_SRC" -I"$WBC_SRC/api" \
		-I"$WBC_SRC/tests" $WBC_MC_CFLAGS -O0 -w --coverage \
		-c "$WBC_SRC/$1" -o "$2.o"
}

objects=
for source in $(cd "$WBC_SRC" && ls shm/*.c); do
	name=$(basename "$source" .c)
	compile "$source" "$name"
	objects="$objects $name.o"
done
for program; do
	compile "tests/mc/$program.c" "p_$program"
	$WBC_MC_CC -pthread --coverage -o "$program" "p_$program.o" $objects \
		"$WBC_BUILD/tests/mc/.libs/libmodel.a" \
		"$WBC_BUILD/tests/tap/.libs/libtap.a" -lm $WBC_MC_LINK
	"./$program" | tail -n 2 | head -n 1
done
for source in *.gcda; do
	case $source in p_*) continue ;; esac
	gcov -r -s "$WBC_SRC" "$source" >/dev/null
done
for file in *.gcov; do
	awk -F: '
	$2 + 0 == 0 && $3 == "Source" { source = $4 }
	$1 ~ /#####|=====/ { lines++; missed = missed " " $2 + 0 }
	$1 ~ /[0-9]/ { lines++; ran++ }
	END { if (source ~ /^shm\// || source ~ /\/shm\//)
		printf "%-24s %4d lines, %3d %% ran; not: %s\n",
		source, lines, 100 * ran / lines, missed }' "$file"
done
