#!/bin/sh
# SPDX-License-Identifier: MIT
# Copyright the wbcshm authors
#
# summary.sh STATUS LOG... - the last lines of `make check`
#
# STATUS is what the tests' make ended with, each LOG a test's log, beside
# which lies its .trs.  Prints the slow tests, what failed, how much each
# engine did, and as the very last line how many results passed, failed and
# were skipped.  A test that left no result at all counts as one failure.  The
# exit status each test program gives when its own results are bad is not
# counted once more.
#
# An engine says how much it did in a line `# NAME: ...` of its log, NAME one
# of those below, or NAME/PART.  If $WBC_PROMISES is a table of promises, each
# that has no test which ran is a failure, see promises.sh.

engines='(mc|sweep|storm|fuzz|mutants|twins|kills|instants)(/[a-z_]+)?'
made=$1
shift

names=
for log; do
	names="$names ${log%.log}"
done

{
	for name in $names; do
		log=$name.log
		echo "test $name"
		test -f "$log" && sed -nE \
			-e "s%^# ($engines): %engine \\1 %p" \
			-e "s|^# took ([0-9.]*) s\$|took \\1 $name|p" \
			-e '$s|^ERROR: .* - exited with status 1$|status|p' "$log"
		test -f "$name.trs" && grep '^:test-result: ' "$name.trs"
	done
	test -z "${WBC_PROMISES-}" ||
		sh "${0%/*}/promises.sh" "$WBC_PROMISES" $names
} | LC_ALL=C ${AWK:-awk} -v made="$made" '
	function close_test() {
		if (name == "")
			return
		if (results == 0 && errors == 0)
			errors = 1
		# Exit status 1 beside a bad result says the same twice.
		if (status && errors > 0 && bad + errors > 1)
			errors--
		failed += bad + errors
		if (bad + errors > 0)
			print "failed: " name ".log"
		name = ""
	}
	$1 == "took" {
		if ($2 >= 5)
			printf "slow: %6.1f s  %s\n", $2, $3
		next
	}
	$1 == "engine" {
		engine = $2
		sub(/^engine [a-z_\/]+ /, "")
		did[++n_did] = sprintf("  %-8s %s", engine, $0)
		# The litmus tests are about the checker, not about ours.
		if (engine ~ /^mc\// && engine != "mc/litmus" &&
		    match($0, /[0-9]+ of them with a death/)) {
			executions += $1
			deaths += substr($0, RSTART) + 0
			programs++
		}
		next
	}
	$1 == "status" { status = 1; next }
	$1 == "test" {
		close_test()
		name = $2
		results = bad = errors = status = 0
		next
	}
	$1 == "promise" { broken[++n_broken] = $0; next }
	$1 == "promises:" { promises = $0; next }
	$2 == "PASS"  { passed++; results++ }
	$2 == "SKIP" || $2 == "XFAIL" { skipped++; results++ }
	$2 == "FAIL" || $2 == "XPASS" { bad++; results++ }
	$2 == "ERROR" { errors++ }
	END {
		close_test()
		for (i = 1; i <= n_broken; i++)
			print broken[i]
		failed += n_broken
		if (passed + failed + skipped == 0)
			print "no test ran"
		if (n_did)
			print "engines:"
		for (i = 1; i <= n_did; i++)
			print did[i]
		if (programs)
			printf "  mc       %d programs but litmus: %d executions, " \
				"%d of them with a death\n",
				programs, executions, deaths
		if (promises)
			print promises
		printf "%d passed, %d failed, %d skipped\n", \
			passed, failed, skipped
		exit made != 0 || failed > 0 || passed == 0
	}'
