#!/bin/sh
# SPDX-License-Identifier: MIT
# Copyright the wbcshm authors
#
# soak.sh SECONDS TEST... - the long forms of tests, in turn, until time is up
#
# Each gets $WBC_SOAK_SECONDS, a share of SECONDS of at most ten minutes, and
# a $WBC_SEED of its own, counted up from the one that is given, or else
# chosen and printed.  All take turns until SECONDS have passed.  The first
# that fails ends it, with the line that repeats it.  Logs lie in soak/.
#
# Last comes a line that counts results, as `make check` has it.

total=$1
shift

case ${total:-none} in
none | *[!0-9]* | 0)
	echo 'make soak HOURS=n, a fraction too, or make soak SECONDS=n' >&2
	exit 2
	;;
esac

turn=$((total / $#))
test $turn -le 600 || turn=600
test $turn -gt 0 || turn=1
seed=${WBC_SEED:-$(od -An -N4 -tu4 /dev/urandom | tr -d ' ')}
begin=$(date +%s)
passed=0
skipped=0
echo "soak: $total s, in turns of $turn s, from WBC_SEED=$seed"

# How many lines of the log begin so, directives apart.
count()
{
	grep -cE "$1" "$log"
}

finish()
{
	echo "$passed passed, $1 failed, $skipped skipped"
	exit "$1"
}

# one TEST: its turn.  Whatever it prints but results is shown.
one()
{
	log=soak/${1##*/}.log
	echo "soak: $1, WBC_SEED=$seed"
	case $1 in
	*.sh) set -- "$1" bash "${WBC_SRC:-.}/$1" ;;
	*.bats) set -- "$1" bats --tap "${WBC_SRC:-.}/$1" ;;
	*) set -- "$1" "./$1" ;;
	esac
	name=$1
	shift
	rc=0
	WBC_SEED=$seed WBC_SOAK_SECONDS=$turn \
		tests/tap/bounded $((turn * 2 + 600)) "$@" >"$log" 2>&1 || rc=$?
	grep -E '^# (mc|sweep|storm|fuzz|mutants|kills|instants)(/[a-z_]+)?: ' "$log" |
		sed 's/^# /  /'
	skips=$(count '^ok .*# SKIP|^1\.\.0 # SKIP')
	skipped=$((skipped + skips))
	passed=$((passed + $(count '^ok ') - $(count '^ok .*# SKIP')))
	if test $rc = 0 && test "$(count '^not ok |^Bail out')" = 0 &&
		test "$(count '^ok |^1\.\.0 # SKIP')" != 0; then
		return
	fi
	grep -vE '^ok ' "$log" | tail -n 40
	echo "soak: $name failed with status $rc, see $log"
	echo "soak: make soak SECONDS=$turn SOAK_TESTS=$name WBC_SEED=$seed"
	finish 1
}

mkdir -p soak
while :; do
	for test; do
		one "$test"
		seed=$((seed + 1))
		test $(($(date +%s) - begin)) -lt "$total" || break 2
	done
done
test $passed -gt 0 || finish 1
finish 0
