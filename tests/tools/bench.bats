# SPDX-License-Identifier: MIT
# Copyright the wbcshm authors
#
# wbc-bench: that it runs and proves its sums.  Its times are nobody's test.

setup()
{
	bench=$WBC_BUILD/bench/wbc-bench
}

@test "wbc-bench add --quick says on what machine, and proves all sums" {
	run bash -c 'echo $$ >"$0"; exec "$@"' "$BATS_TEST_TMPDIR/pid" \
		"$bench" add --quick
	[ "$status" -eq 0 ]
	[[ ${lines[0]} == machine* ]]
	[[ $output == *'wbc_counter_add'* ]]
	[[ $output == *'wbc_add_int64 by key'* ]]
	[[ $output == *'1 process, by key, 10000 keys, zipf 0.99'* ]]
	pid=$(cat "$BATS_TEST_TMPDIR/pid")
	[ ! -e "/dev/shm/wbcshm-$(id -u)/bench-$pid" ]
}

@test "wbc-bench measures two processes where there are two processors" {
	[ "$(nproc)" -ge 2 ] || skip "one processor"
	run "$bench" add --quick --only '2 processes'
	[ "$status" -eq 0 ]
	[[ $output != *skipped* ]]
	[[ $output != *'1 process,'* ]]
	[ "$(grep -c 'ns/op .*floor$' <<<"$output")" -eq 7 ]
}

@test "each group's floor has the ratio 1.00, and --runs is obeyed" {
	run "$bench" add --quick --runs 2 --only '1 process, counter'
	[ "$status" -eq 0 ]
	[[ $output == *'in each of 2 runs'* ]]
	grep -q 'bare lock-xadd .* 1\.00 floor$' <<<"$output"
}

@test "wbc-bench flush --sqlite --quick proves all sums in the databases" {
	run "$bench" flush --sqlite --quick
	[ "$status" -ne 2 ] || [[ $output != *'no such question'* ]] ||
		skip "built without the flusher"
	[ "$status" -eq 0 ]
	[ "$(grep -c "the flusher's sink " <<<"$output")" -eq 9 ]
	[ -z "$(find "${TMPDIR:-/tmp}" -maxdepth 1 -name 'bench-*')" ]
}

@test "wbc-bench: a wrong command line is status 2 and the usage" {
	for arguments in '' 'subtract' 'add more' 'add --runs 0' \
		'add --runs x' 'add --no-such' 'loop' 'loop counter' \
		'flush' 'flush --sqlite more' 'loop nothing 1' 'loop counter -1' 'loop counter 1x'; do
		# shellcheck disable=SC2086
		run "$bench" $arguments
		echo "arguments: $arguments: status $status"
		[ "$status" -eq 2 ]
		[[ $output == *'usage: wbc-bench'* ]]
	done
	run "$bench" --help
	[ "$status" -eq 0 ]
	[[ $output == *'usage: wbc-bench'* ]]
}

# calls KIND N: how many system calls the whole run makes.
calls()
{
	strace -f -o "$BATS_TEST_TMPDIR/strace" "$bench" loop "$1" "$2"
	grep -c '(' "$BATS_TEST_TMPDIR/strace"
}

@test "an add makes no system call in the steady state" {
	command -v strace >/dev/null || skip "strace is missing"
	[ -z "$WBC_SANITIZE" ] || skip "sanitizers make calls of their own"
	for kind in xadd counter key1 key10000; do
		few=$(calls $kind 10000)
		many=$(calls $kind 1010000)
		echo "$kind: $few calls with 10000 adds, $many with 1010000"
		# What malloc and the dynamic linker do varies by a call.
		[ $((many - few)) -le 3 ]
	done
}
