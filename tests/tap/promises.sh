#!/bin/sh
# SPDX-License-Identifier: MIT
# Copyright the wbcshm authors
#
# promises.sh TABLE TEST... - has each promise tests that ran and back it?
#
# TABLE is doc/promises.md or like it: rows of an ID, the promise, its tests
# and what is not promised.  TEST are all tests that were to run, without
# endings; each has left a .log, in which the results are told by lines that
# begin with "PASS: ".
#
# A promise names tests, parted by commas, or says "not yet".  Each test that
# it names was to run, has left results, and one that passed is a sentence
# that names the ID; a test that skipped something may lack that sentence, but
# not all tests of a promise, unless $WBC_SANITIZE is set: the model checker is
# skipped in a build with sanitizers.  P1 to P15 are all there.
#
# Prints what is wrong, a line each, and at last how many promises there are.
# The status is 0 if nothing is wrong.

table=$1
shift

{
	sed 's/^/table /' "$table"
	for test; do
		echo "test $test"
		test -f "$test.log" && sed -nE \
			"s%^(PASS|FAIL|SKIP|ERROR): %result $test \\1 %p" "$test.log"
	done
} | LC_ALL=C ${AWK:-awk} '
	function trim(s) {
		gsub(/^[ \t]+|[ \t]+$/, "", s)
		return s
	}
	function wrong(id, what) {
		print "promise " id ": " what
		bad++
	}
	function names(text, id) {
		return (" " text " ") ~ ("[^A-Za-z0-9]" id "[^A-Za-z0-9]")
	}
	function check(id,   n, i, t, shown, idle) {
		n = split(tests[id], list, /,/)
		for (i = 1; i <= n; i++) {
			t = trim(list[i])
			sub(/\.(sh|bats)$/, "", t)
			if (!(t in known))
				wrong(id, t " is not among the tests")
			else if (!(t in ran))
				wrong(id, t " did not run")
			else if (names(passed[t], id))
				shown++
			else if (!(t in skipped))
				wrong(id, "no result of " t " names it")
			idle += (t in skipped) && passed[t] == ""
			backing[t] = 1
		}
		if (shown)
			return
		if (n && idle == n && ENVIRON["WBC_SANITIZE"] != "")
			elsewhere = elsewhere " " id
		else
			wrong(id, "no result backs it")
	}
	$1 == "table" && /^table *\| *P[0-9]+ *\|/ {
		split($0, cell, /\|/)
		id = trim(cell[2])
		if (id in tests)
			wrong(id, "is there twice")
		tests[id] = trim(cell[4])
	}
	$1 == "test" { known[$2] = 1 }
	$1 == "result" {
		ran[$2] = 1
		if ($3 == "PASS")
			passed[$2] = passed[$2] " " $0
		else if ($3 == "SKIP")
			skipped[$2] = 1
	}
	END {
		for (i = 1; i <= 15; i++) {
			id = "P" i
			if (!(id in tests))
				wrong(id, "is not in the table")
			else if (tests[id] == "not yet")
				later++
			else {
				made++
				check(id)
			}
		}
		for (t in backing)
			n++
		printf "promises: %d made, backed by %d tests; %d not yet\n",
			made, n, later
		if (elsewhere)
			print "promises that this build cannot show:" elsewhere
		exit bad > 0
	}'
