# SPDX-License-Identifier: MIT
# Copyright the wbcshm authors
#
# `make mutants`: each memory order of shm/ that a program under the model
# checker meets, weaker in turn.  A mutant is killed if any scenario of any
# program fails with it.  What one program kills the next does not try.
#
# WBC_MC_CAP is the most executions that a scenario gets for one mutant
# (200000); a mutant that some scenario had not enough for and none killed is
# "capped", not "survived".
set -u

work=$(mktemp -d "${TMPDIR:-/tmp}/mutants.XXXXXX") || exit 1
trap 'rm -rf "$work"' EXIT
: >"$work/killed"
: >"$work/all"

for program in wakes index epochs removal slots lanes rounds pages entries; do
	"$WBC_BUILD/tests/mc/$program" --mutate "$work/killed" >"$work/said" ||
		exit 1
	cut -f 2 "$work/said" >>"$work/all"
	grep -E '^mutant [a-z]+ killed' "$work/said" | cut -f 2 >>"$work/killed"
	grep -E '^mutant [a-z]+ capped' "$work/said" | cut -f 2 >>"$work/capped"
	echo "# $program: $(grep -c . "$work/said") mutants, $(grep -cE \
		'^mutant [a-z]+ killed' "$work/said") killed"
done
sort -u "$work/all" >"$work/mutants"
sort -u "$work/killed" >"$work/dead"
comm -23 "$work/mutants" "$work/dead" | while read -r mutant; do
	if grep -qxF -e "$mutant" "$work/capped"; then
		echo "capped   $mutant"
	else
		echo "survived $mutant"
	fi
done
echo "mutants: $(grep -c . "$work/dead") of $(grep -c . "$work/mutants") killed"
