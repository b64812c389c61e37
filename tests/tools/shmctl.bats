# SPDX-License-Identifier: MIT
# Copyright the wbcshm authors
#
# wbc-shmctl on segments without a flusher: what it does, and what it refuses.

load common

setup()
{
	tools_setup
}

teardown()
{
	tools_teardown
}

words='words(word text key, n counter)'

@test "create makes a segment with the given limits and mode, and says where" {
	needs_jq
	run -0 wbc-shmctl create --max-size 64M --capacity 1k --mode 0640 \
		--procs 5 --threads 7 --lane-size 8K
	[ "$output" = "$segment" ]
	[ "$(stat -c %a "$segment")" = 640 ]
	[ "$(summary '[.index.capacity, .processes.slots, .threads.slots, .lanes.lane_bytes, .memory.extents_max] | @csv')" = 1000,5,7,8192,32 ]
}

@test "create gives the segment a group, by name or number" {
	run -0 wbc-shmctl create --group "$(id -g)" --max-size 8M
	[ "$(stat -c %g "$segment")" = "$(id -g)" ]
	run -2 wbc-shmctl create -s "$tmp/other" --group no-such-group
	[[ $output == *no-such-group* ]]
}

@test "a segment that exists is not made again" {
	make_small
	run -1 wbc-shmctl create
	[[ $output == *EEXIST* ]]
}

@test "NAME, shm:NAME, /path and shm:/path name segments, -s goes before the environment" {
	export named_segment
	name=tools-test-$$-$RANDOM
	named_segment=/dev/shm/wbcshm-$(id -u)/$name
	[ -w /dev/shm ] || skip "/dev/shm is not writable"
	run -0 wbc-shmctl create -s "$name" --max-size 8M
	[ "$output" = "$named_segment" ]
	for s in "$name" "shm:$name" "$named_segment" "shm:$named_segment"; do
		wbc-shmdump summary -s "$s" | grep -qF "$named_segment"
	done
	WBC_SEGMENT=$name wbc-shmdump summary | grep -qF "$named_segment"
	run -3 wbc-shmdump summary
	wbc-shmctl rm -s "$name"
	[ ! -e "$named_segment" ]
}

@test "add counts, in a table that is declared with --table or known by its name" {
	needs_jq
	make_small
	wbc-shmctl add --table "$words" word=hello n=3
	wbc-shmctl add words word=hello n=+4
	wbc-shmctl add default.words word=hello n=-2
	[ "$(wbc-shmdump keys --json | jq -c '.rows[0] | [.key.word, .cells.n.unjournaled]')" = '["hello",5]' ]
}

@test "add takes composite keys in any order, and several counters of both types" {
	needs_jq
	make_small
	t='t(a int key, b text key, x counter, y double counter)'
	wbc-shmctl add --table "$t" b='x=y, z' a=-7 x=1 y=0.25
	wbc-shmctl add t y=-1.5 a=-7 b='x=y, z'
	[ "$(wbc-shmdump keys --json | jq -c '.rows[] | [.key, .cells.x.unjournaled, .cells.y.unjournaled]')" = \
		'[{"a":-7,"b":"x=y, z"},1,-1.25]' ]
}

@test "insert appends rows of all types, NULLs and defaults" {
	needs_jq
	make_small
	wbc-shmctl insert --table 'log(f text, i int, d double, b blob)' \
		f=x i=-12 d=1e-3 b=00ff
	wbc-shmctl insert log i=1 --null f --null b
	[ "$(summary .lanes.waiting_bytes)" -gt 80 ]
	run -0 wbc-shmdump check
}

@test "a value that nobody can read is an error, not a number" {
	make_small
	wbc-shmctl add --table "$words" word=a n=1
	run -1 wbc-shmctl read words word=a n
	[[ $output == *WBC_E_NOFLUSHER* ]]
	run -1 wbc-shmctl add --get words word=a n=1
	[[ $output == *WBC_E_NOFLUSHER* ]]
}

@test "read and add --get wait as long as --timeout says" {
	make_small
	wbc-shmctl add --table "$words" word=a n=1
	run -1 wbc-shmctl read --timeout 0 words word=a n
	[[ $output == *WBC_E_UNKNOWN* ]]
	run -1 wbc-shmctl read --timeout 10ms words word=a n
	[[ $output == *WBC_E_NOFLUSHER* ]]
	run -1 wbc-shmctl add --get --timeout 0 words word=a n=1
	[[ $output == *WBC_E_UNKNOWN* ]]
	run -1 timeout 5 wbc-shmctl add --get --timeout 10ms words word=a n=1
	[[ $output == *WBC_E_NOFLUSHER* ]]
	run -124 timeout 1.5 wbc-shmctl read --timeout 1m words word=a n
	run -124 timeout 1.5 wbc-shmctl add --get --timeout 1m words word=a n=1
	run -2 wbc-shmctl read --timeout soon words word=a n
}

@test "without a flusher, flush and sync say so when their time is over" {
	make_small
	wbc-shmctl add --table "$words" word=a n=1
	run -1 wbc-shmctl flush --timeout 100ms
	[[ $output == *WBC_E_NOFLUSHER* ]]
	run -1 wbc-shmctl sync --timeout 0
	[[ $output == *WBC_E_NOFLUSHER* ]]
}

@test "bad arguments: each its exit status, its words and the library's name for it" {
	make_small
	wbc-shmctl add --table 't(a int key, b text key, x counter, y double counter, z int)' \
		a=1 b=1 x=1
	wbc-shmctl insert --table 'v(f bool, w timestamp, b blob, j json, s text)' \
		f=true w='2026-01-31 12:00' "b=x'00ff'" j='{"a":[1]}' s=é
	long=$(printf 'n%.0s' $(seq 64))
	while IFS='|' read -r status words command; do
		run "-$status" bash -c "wbc-shmctl $command"
		echo "$command: $output"
		[[ $output == "wbc-shmctl: "*"$words"* ]]
		[ "${#lines[@]}" -eq 1 ]
	done <<-END
	2|WBC_E_COLUMN|add t a=1 b=1 nope=1
	2|WBC_E_COLUMN|add t a=1 b=1 z=1
	2|WBC_E_COLUMN|read t a=1 b=1 nope
	2|WBC_E_COLUMN|insert t a=1 b=1 nope=1
	2|WBC_E_COLUMN|insert t a=1 b=1 z=1 z=2
	2|WBC_E_KEY|add t a=1 x=1
	2|WBC_E_KEY|add t a=1 a=1 x=1
	2|WBC_E_KEY|read t x
	2|WBC_E_KEY|insert t a=1 z=3
	2|WBC_E_KEY|insert t a=1 z=3 --null b
	2|WBC_E_TYPE|add t a=one b=1 x=1
	2|WBC_E_TYPE|add t a=1 b=1 x=1.5
	2|WBC_E_TYPE|add t a=1 b=1 x=
	2|WBC_E_TYPE|add t a=1 b=1 x=9223372036854775808
	2|WBC_E_TYPE|add t a=1 b=1 y=abc
	2|WBC_E_TYPE|insert v f=yes
	2|WBC_E_TYPE|insert v w=noon
	2|WBC_E_TYPE|insert v b=x'0'
	2|WBC_E_JSON|insert v j=[1,]
	2|WBC_E_UTF8|insert v s=\$'\xff'
	1|ERANGE|insert v w=9223372036854775807
	2|WBC_E_UTF8|add t a=1 b=\$'\xff' x=1
	2|WBC_E_NAN|add t a=1 b=1 y=nan
	2|WBC_E_NAN|add t a=1 b=1 y=-inf
	1|ERANGE|add t a=1 b=1 x=9000000000000000000
	2|E2BIG|add t a=1 x=1 b=\$(printf x%.0s {1..1100})
	2|WBC_E_SPEC|add --table 'u(a int key' a=1 x=1
	2|WBC_E_SPEC|add --table 'u(a bigint key)' a=1
	2|WBC_E_SPEC|add --table 'u(a json key)' a=1
	2|ENAMETOOLONG|add --table '$long(a int key, x counter)' a=1 x=1
	2|ENAMETOOLONG|add --table 'u($long int key, x counter)' $long=1 x=1
	1|WBC_E_SCHEMA|add --table 't(a int key, x counter)' a=1 x=1
	3|it has t|add nope a=1 x=1
	2|--table|add 'u(a int key, x counter)' a=1 x=1
	2|no table|add a=1
	2|no table|add
	2|COUNTER=DELTA|add t a=1 b=1
	2|NAME=VALUE|add t a=1 b=1 x
	2|no such option|add t --nope
	2|needs TIME|flush --timeout
	2|is no TIME|flush --timeout soon
	2|is no TIME|flush --timeout 5
	2|one table|flush t t
	3|not declared|flush nope
	2|is no SIZE|create -s $tmp/x --max-size 1Q
	2|EINVAL|create -s $tmp/x --max-size 1M
	2|EINVAL|create -s $tmp/x --lane-size 5000
	2|EINVAL|create -s $tmp/x --procs 5000
	2|is no MODE|create -s $tmp/x --mode 0999
	2|is no N|create -s $tmp/x --procs -5
	2|no argument|create name
	2|no such command|make
	END
	[ ! -e "$tmp/x" ]
	run -0 wbc-shmdump check
	[ "$(wbc-shmdump keys --json | jq -c '[.rows[].cells.x.unjournaled]')" = '[1]' ]
}

@test "help fits into 80 columns, and tells of the units" {
	for c in create rm add update insert read flush sync; do
		run -0 wbc-shmctl $c --help
		[ -z "$(grep -E '^.{81}' <<<"$output")" ]
	done
	for c in summary procs keys check; do
		run -0 wbc-shmdump $c --help
		[ -z "$(grep -E '^.{81}' <<<"$output")" ]
	done
}

@test "bad names of segments: usage, and nothing is made" {
	long=$(printf 'n%.0s' $(seq 64))
	for s in "$long" a/b .hidden 'redis://localhost' ''; do
		run -2 env WBC_SEGMENT= wbc-shmctl create -s "$s"
		[[ $output == "wbc-shmctl: "* ]]
	done
	unset WBC_SEGMENT
	run -2 wbc-shmctl sync
	[[ $output == *WBC_SEGMENT* ]]
	run -2 wbc-shmctl
	[[ $output == *--help* ]]
}

@test "a total that would pass its range is refused, and stays" {
	make_small
	wbc-shmctl add --table "$words" word=a n=2305843009213693951
	run -1 wbc-shmctl add words word=a n=2
	[[ $output == *ERANGE* ]]
	wbc-shmdump keys | grep -q '+2305843009213693951'
}

@test "what is no segment is not touched: status 4; absent 3; denied 5" {
	printf 'hello' >"$segment"
	for command in 'sync' 'add w a=1 n=1' 'rm' 'rm --force'; do
		run -4 wbc-shmctl $command
		[[ $output == *WBC_E_FORMAT* ]]
	done
	[ "$(cat "$segment")" = hello ]
	rm "$segment"
	run -3 wbc-shmctl sync
	[[ $output == *ENOENT* ]]
	mkdir "$segment"
	run -5 wbc-shmdump summary
	rmdir "$segment"
	make_small
	ln -s "$segment" "$tmp/link"
	run -5 wbc-shmctl sync -s "$tmp/link"
	[[ $output == *WBC_E_OWNER* ]]
	chmod 000 "$segment"
	if [ "$(id -u)" -ne 0 ]; then
		run -5 wbc-shmctl sync
		[[ $output == *EACCES* ]]
	fi
}

@test "a full file system is said to be full, with the remedy" {
	mkdir "$tmp/full"
	unshare -rm true 2>/dev/null || skip "unshare is not permitted"
	run -1 unshare -rm bash -c '
		mount -t tmpfs -o size=1m none "$1/full" &&
		wbc-shmctl create -s "$1/full/s" --max-size 64M' - "$tmp"
	[[ $output == *ENOSPC* && $output == *--shm-size* ]]
}

@test "rm removes a segment that nobody needs" {
	make_small
	run -0 wbc-shmctl rm
	[ ! -e "$segment" ]
	run -3 wbc-shmctl rm
}

@test "rm refuses while a process is attached, and says which" {
	needs_jq
	make_small
	attach_idle
	run -1 wbc-shmctl rm
	[[ $output == *"pid $pid"* ]]
	[ -e "$segment" ]
	[ "$(summary .closed)" = false ]
	end "$pid" KILL
	run -0 wbc-shmctl rm
}

@test "rm refuses while something is not in the journal" {
	make_small
	wbc-shmctl add --table "$words" word=a n=1
	run -1 wbc-shmctl rm
	[[ $output == *"1 changed row"* ]]
	wbc-shmctl add words word=a n=-1
	wbc-shmctl insert --table 'log(f text)' f=x
	run -1 wbc-shmctl rm
	[[ $output == *inserts* ]]
	run -0 wbc-shmctl rm --force
	[ ! -e "$segment" ]
}

@test "rm --force fails the calls of those who are attached, at once" {
	needs_jq
	make_small
	attach_idle
	started=$SECONDS
	run -0 wbc-shmctl rm --force
	rc=0
	wait "$pid" || rc=$?
	[ "$rc" -eq 1 ]
	grep -q ESTALE "$tmp/background"
	[ $((SECONDS - started)) -lt 5 ]
}

@test "rm --force removes a segment of another layout too" {
	make_small
	printf '\x63' | dd of="$segment" bs=1 seek=8 conv=notrunc status=none
	run -4 wbc-shmctl rm
	[[ $output == *WBC_E_LAYOUT* ]]
	run -0 wbc-shmctl rm --force
	[ ! -e "$segment" ]
}

@test "every command explains itself, and both tools say their version" {
	for command in create rm add update insert read flush sync; do
		run -0 wbc-shmctl $command --help
		[[ $output == "usage: wbc-shmctl $command"* ]]
	done
	for command in summary keys procs check; do
		run -0 wbc-shmdump $command --help
		[[ $output == "usage: wbc-shmdump $command"* ]]
	done
	for tool in wbc-shmctl wbc-shmdump; do
		run -0 $tool --version
		[[ $output == "$tool (wbcshm) "[0-9]* ]]
		run -0 $tool --help
		[[ $output == *"Exit status"* ]]
	done
}

@test "output that cannot be written is an error" {
	[ -w /dev/full ] || skip "/dev/full is missing"
	make_small
	run -1 bash -c 'wbc-shmdump summary >/dev/full'
	[[ $output == *stdout* ]]
}
