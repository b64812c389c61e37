# SPDX-License-Identifier: MIT
# Copyright the wbcshm authors
#
# doc/promises.md as a table: that what it names is there.  Whether it ran is
# seen when all tests have: at the end of `make check`, by the same script.
. "$WBC_SRC/tests/tap/tap.sh"

cd "$TMPDIR" || exit 1
unset WBC_SANITIZE
table=$WBC_SRC/doc/promises.md
promises="sh $WBC_SRC/tests/tap/promises.sh"

# Every test that the build knows, without endings.
sed 's/#.*//' "$WBC_SRC"/tests/local.mk "$WBC_SRC"/tests/*/local.mk 2>/dev/null |
	grep -oE 'tests/[a-z]+/[a-z_]+(\.sh|\.bats)?' |
	sed -E 's/\.(sh|bats)$//' | sort -u >names

# left TEST RESULT...: what it would leave.
left()
{
	mkdir -p "${1%/*}"
	printf '%s\n' "${@:2}" | sed "s|^\([A-Z]*\)|\1: $1|" >"$1.log"
}

# As if each had done what the table says of it.
while IFS='|' read -r _ id _ named _; do
	for test in ${named//,/ }; do
		case $test in
		tests/*)
			test=${test%.sh} test=${test%.bats}
			mkdir -p "${test%/*}"
			echo "PASS: $test 1 - ${id// /}: holds" >>"$test.log"
			;;
		esac
	done
done < <(grep '^| P[0-9]' "$table")

# Known-bad tables: the true one, spoiled.  says TEXT TABLE [TEST...]
says()
{
	local out
	out=$($promises "$2" "${@:3}") && { echo "nothing is wrong"; return 1; }
	grep -qF "$1" <<<"$out" || { echo "$out"; return 1; }
}

ok "each promise stands in doc/promises.md and names tests that there are" \
	$promises "$table" $(cat names)

grep -v '^| P7 ' "$table" >without
ok "known bad: a promise that is not in the table" \
	says 'promise P7: is not in the table' without $(cat names)
sed -E 's/^(\| P3 \|[^|]*\|)[^|]*\|/\1 |/' "$table" >bare
ok "known bad: a promise without a test" \
	says 'promise P3: no result backs it' bare $(cat names)
sed -E 's/^(\| P3 \|[^|]*\|)/\1 tests\/unit\/dreamt,/' "$table" >dreamt
ok "known bad: a test that there is not" \
	says 'promise P3: tests/unit/dreamt is not among the tests' \
	dreamt $(cat names)
grep '^| P3 ' "$table" >>twice
ok "known bad: a promise that is there twice" \
	says 'promise P3: is there twice' <(cat "$table" twice) $(cat names)

# Known-bad runs of a table of one row.
for i in $(seq 15); do
	echo "| P$i | any | not yet | |"
done | sed 's/^| P3 .*/| P3 | any | tests\/unit\/a, tests\/tools\/b.bats | |/' >small
small()
{
	$promises small tests/unit/a tests/tools/b tests/unit/c
}
rm -rf tests
left tests/unit/a 'PASS 1 - P3: it holds' 'PASS 2 - and more'
ok "known bad: a test that did not run" \
	says 'promise P3: tests/tools/b did not run' small tests/unit/a tests/tools/b
left tests/tools/b 'PASS 1 - P31: another' 'FAIL 2 - P3: it holds'
ok "known bad: a test of which no good result names the promise" \
	says 'promise P3: no result of tests/tools/b names it' \
	small tests/unit/a tests/tools/b
left tests/unit/a 'SKIP 1 # SKIP P3: no'
left tests/tools/b 'SKIP 1 # SKIP P3: no'
ok "known bad: all tests of a promise were skipped" \
	says 'promise P3: no result backs it' small tests/unit/a tests/tools/b
sanitized()
{
	WBC_SANITIZE=thread small | grep -qx \
		'promises that this build cannot show: P3'
}
ok "which a build with sanitizers may do, and says so" sanitized
left tests/tools/b 'PASS 1 - P2, P3: it holds'
ok "a promise is backed although a part was skipped" small
done_testing
