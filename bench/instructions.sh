#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Copyright the wbcshm authors
#
# instructions.sh [WBC-BENCH] - what one add executes
#
# Prints for each kind of add the instructions (valgrind) and the system calls
# (strace) per operation: both are counted for two numbers of operations, and
# the difference is divided, so that what comes before and after is left out.
# Unlike times, instructions are the same on every run.
set -euo pipefail

bench=${1:-$(dirname "$0")/wbc-bench}
few=10000
many=110000

tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT

for tool in valgrind strace; do
	if ! command -v $tool >/dev/null; then
		echo "instructions.sh: $tool is missing" >&2
		exit 1
	fi
done
test -x "$bench" || { echo "instructions.sh: no program $bench" >&2; exit 1; }

# run COMMAND...: quietly, but not when it fails.
run()
{
	"$@" >"$tmp/out" 2>&1 || { cat "$tmp/out" >&2; exit 1; }
}

instructions()
{
	run valgrind --tool=callgrind --callgrind-out-file="$tmp/callgrind" \
		"$bench" loop "$1" "$2"
	sed -n 's/^\(summary\|totals\): *//p' "$tmp/callgrind" | head -n 1
}

system_calls()
{
	run strace -f -o "$tmp/strace" "$bench" loop "$1" "$2"
	grep -c '(' "$tmp/strace"
}

printf '%-12s %14s %14s\n' kind instructions 'system calls'
for kind in xadd counter key1 key10000; do
	i=$(($(instructions $kind $many) - $(instructions $kind $few)))
	s=$(($(system_calls $kind $many) - $(system_calls $kind $few)))
	LC_ALL=C awk -v k=$kind -v i=$i -v s=$s -v n=$((many - few)) \
		'BEGIN { printf "%-12s %14.2f %14.3f\n", k, i / n,
			(s < 0 ? 0 : s) / n }'
done
