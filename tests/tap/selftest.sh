# SPDX-License-Identifier: MIT
# Copyright the wbcshm authors
#
# The harness, on programs that are known to go wrong: each must be reported
# so, by the same driver and the same summary that `make check` uses.
. "$WBC_SRC/tests/tap/tap.sh"

cd "$TMPDIR" || exit 1
bounded=$WBC_BUILD/tests/tap/bounded
sample=$WBC_BUILD/tests/tap/sample
driver="sh $WBC_SRC/build-aux/tap-driver.sh"
summary="sh $WBC_SRC/tests/tap/summary.sh"

# run NAME [SECONDS]: the sample as `make check` runs a test; leaves NAME.log
# and NAME.trs.
run()
{
	$driver --test-name "$1" --log-file "$1.log" --trs-file "$1.trs" -- \
		"$bounded" "${2:-20}" "$sample" "$1"
}

# counts STATUS LINE LOG...: does the summary end so, with this status?
counts()
{
	local status=$1 line=$2 rc=0
	shift 2
	$summary 0 "$@" >counts.out || rc=$?
	cat counts.out
	[ "$(tail -n 1 counts.out)" = "$line" ] && [ "$rc" -eq "$status" ]
}

gone()
{
	local i
	for i in 1 2 3 4 5 6 7 8 9 10; do
		kill -0 "$1" 2>/dev/null || return 0
		sleep 0.1
	done
	return 1
}

for name in good bad short crash bail silent leave fork child-done threads \
	skip-all; do
	run $name >/dev/null 2>&1
done
begin=$SECONDS
run hang 1 >/dev/null 2>&1
hung_for=$((SECONDS - begin))

ok "good results are counted as passed, a skip as skipped" \
	counts 0 '6 passed, 0 failed, 1 skipped' good.log
ok "bad results are failures, counted once each" \
	counts 1 '1 passed, 3 failed, 0 skipped' bad.log
ok "a bad comparison shows what was and what should be" \
	grep -q '^#   1 is 1, should be 2$' bad.log
ok "a sentence cannot smuggle in a directive or a second line" \
	grep -q '^not ok 3 - third = SKIP not a directive$' bad.log
ok "fewer results than planned are a failure" \
	counts 1 '1 passed, 1 failed, 0 skipped' short.log
ok "a killed test is a failure, whatever passed before" \
	grep -q '^:test-result: ERROR' crash.trs
ok "a killed test makes the summary fail" bash -c "! $summary 0 crash.log"
ok "a bail-out is a failure" grep -q '^:test-result: ERROR' bail.trs
ok "a test without any result is a failure" \
	grep -q '^:test-result: ERROR' silent.trs
ok "a test that hangs is a failure" grep -q '^:test-result: ERROR' hang.trs
ok "it is ended when its time is up" [ "$hung_for" -lt 10 ]
ok "a test that leaves a stopped process behind passes, and says so" \
	grep -q '^# left 1 process running$' leave.log
ok "the process is killed" gone "$(grep '^[0-9]*$' leave.log)"
ok "a forked child's results count with its parent's" \
	counts 1 '2 passed, 1 failed, 0 skipped' fork.log
ok "a forked child prints no plan" \
	[ "$(grep -c '^1\.\.' child-done.log)" = 1 ]
ok "threads' results neither mix nor get lost" \
	counts 0 '1000 passed, 0 failed, 0 skipped' threads.log
ok "a test that skips all is one skip" \
	counts 1 '0 passed, 0 failed, 1 skipped' skip-all.log
ok "no test at all is a failure" counts 1 '0 passed, 0 failed, 0 skipped'
ok "a test that never ran is a failure" \
	counts 1 '6 passed, 1 failed, 1 skipped' good.log absent.log
ok "a failed make is a failure, whatever the tests left" \
	bash -c "! $summary 2 good.log"

WBC_TEST_TIMEOUTS='tests/tap/other=9 tests/tap/sample=2' \
	"$bounded" 1 "$sample" hang >own.log 2>&1
ok "a test that has a longer limit of its own gets it" \
	grep -qx '# killed after 2 s' own.log

# A soak of a test that is good at first, and then is not.
mkdir -p tests/tap
ln -s "$bounded" tests/tap/bounded
cat >fickle <<'EOF'
#!/bin/sh
echo "# kills: $WBC_SOAK_SECONDS s from $WBC_SEED"
test "$WBC_SEED" -lt 7 && echo "ok 1 - $WBC_SEED" && exit
echo "not ok 1 - $WBC_SEED"
exit 1
EOF
chmod +x fickle
soak="sh $WBC_SRC/tests/tap/soak.sh"
WBC_SEED=5 $soak 9000 fickle >soak.out
soaked=$?
ok "a soak ends at the first failure" [ "$soaked" -eq 1 ]
ok "it counts what it did before" \
	[ "$(tail -n 1 soak.out)" = '2 passed, 1 failed, 0 skipped' ]
ok "it says how to repeat that" grep -qx \
	'soak: make soak SECONDS=600 SOAK_TESTS=fickle WBC_SEED=7' soak.out
ok "it shows how much was done" grep -qx '  kills: 600 s from 6' soak.out
ok "a soak without a time is refused" bash -c "! $soak '' fickle 2>/dev/null"
printf '#!/bin/sh\n' >silent.sh
ok "a soak of a test without results fails" \
	bash -c "! WBC_SRC=. $soak 1 silent.sh >/dev/null"

# What engines did, and promises, in a run of two tests.
for i in $(seq 15); do
	echo "| P$i | any | not yet | |"
done | sed 's/^| P3 .*/| P3 | any | ran | |/' >promises
{ cat good.log; echo '# mc/lane: 5 of 9'
	echo '# kills: 12 kills'; echo '# others: 3'
	echo 'PASS: ran 9 - it holds (P3)'; } >ran.log
{ cat good.trs; echo ':test-result: PASS'; } >ran.trs
ok "what engines did is shown above the last line" \
	bash -c "$summary 0 ran.log | tail -n 4 | head -n 3 | tr -d ' \n' |
		grep -qx 'engines:mc/lane5of9kills12kills'"
ok "a promise whose test ran lets the run pass" env WBC_PROMISES=promises \
	$summary 0 ran.log
export WBC_PROMISES=promises
ok "a promise whose test did not run makes the run fail" \
	counts 1 '6 passed, 2 failed, 1 skipped' good.log
cp good.log ran.log
cp good.trs ran.trs
ok "so does one that no result names" \
	counts 1 '6 passed, 1 failed, 1 skipped' ran.log
unset WBC_PROMISES
done_testing
