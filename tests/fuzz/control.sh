# SPDX-License-Identifier: MIT
# Copyright the wbcshm authors
#
# The known-bad twin: tests/fuzz/segment with a shm/seen.c that believes an
# entry's key length.  What does not catch it finds nothing else either.
. "$WBC_SRC/tests/tap/tap.sh"

log=$TMPDIR/log
unset WBC_SEED WBC_SOAK_SECONDS

caught()
{
	! "$WBC_BUILD/tests/fuzz/segment_bad" >"$log" 2>&1 &&
		grep -qE '^# after [0-9]+ executions: (signal|status)' "$log" &&
		grep -q '^not ok .* random inputs' "$log"
}

ok "P7: random inputs catch a check of bounds that is missing" caught
grep -E '^# (after|fuzz: )' "$log"
done_testing
