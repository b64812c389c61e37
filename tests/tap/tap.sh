# SPDX-License-Identifier: MIT
# Copyright the wbcshm authors
#
# TAP for tests in bash: `. "$WBC_SRC/tests/tap/tap.sh"`, then
#
#	ok "a sentence about behaviour" COMMAND ARGUMENTS
#	skip "the sentence" "why it cannot be had here"
#	done_testing
#
# What the command prints is shown only if it fails.

tap_run=0
tap_failed=0

ok()
{
	local what=$1 out rc=0
	shift
	out=$("$@" 2>&1) || rc=$?
	tap_run=$((tap_run + 1))
	if [ "$rc" -eq 0 ]; then
		printf 'ok %d - %s\n' "$tap_run" "$what"
		return 0
	fi
	tap_failed=$((tap_failed + 1))
	printf 'not ok %d - %s\n' "$tap_run" "$what"
	diag "status $rc: $*" "$out"
	return 0
}

skip()
{
	tap_run=$((tap_run + 1))
	printf 'ok %d - %s # SKIP %s\n' "$tap_run" "$1" "$2"
}

skip_all()
{
	printf '1..0 # SKIP %s\n' "$1"
	exit 0
}

diag()
{
	printf '%s\n' "$@" | sed 's/^/#   /'
}

done_testing()
{
	printf '1..%d\n' "$tap_run"
	[ "$tap_failed" -eq 0 ] && [ "$tap_run" -gt 0 ]
	exit
}
