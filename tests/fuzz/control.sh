# SPDX-License-Identifier: MIT
# Copyright the wbcshm authors
#
# The known-bad twin: tests/fuzz/segment with a shm/seen.c that believes an
# entry's key length.  What does not catch it finds nothing else either.
. "$WBC_SRC/tests/tap/tap.sh"

log=$TMPDIR/log
unset WBC_SEED WBC_SOAK_SECONDS

by_corpus()
{
	! "$WBC_BUILD/tests/fuzz/segment_bad" >"$log" 2>&1 &&
		grep -q '^not ok 1 .* of the corpus' "$log" &&
		grep -q '^# it is entry-key-too-long' "$log"
}

# Without a corpus, from nothing; a few series, each of the short form.
by_chance()
{
	local seed
	for seed in 1 2 3 4 5; do
		WBC_SRC=$TMPDIR WBC_SEED=$seed \
			"$WBC_BUILD/tests/fuzz/segment_bad" >"$log" 2>&1 ||
			break
	done
	grep -q '^not ok 2 .* random inputs' "$log"
}

ok "P7: the corpus catches a check of bounds that is missing" by_corpus
ok "P7: random inputs catch it too, in one of five series" by_chance
grep -E '^# (after|fuzz: )' "$log"
done_testing
