# SPDX-License-Identifier: MIT
# Copyright the wbcshm authors
#
# What the tests of the tools share: `load common`, then in setup()
# tools_setup and in teardown() tools_teardown.

bats_require_minimum_version 1.5.0

# A segment of its own for each test, named by $WBC_SEGMENT; not made yet.
tools_setup()
{
	tmp=$BATS_TEST_TMPDIR
	segment=$tmp/segment
	export WBC_SEGMENT=$segment
	pids=()
}

tools_teardown()
{
	local pid
	for pid in "${pids[@]}"; do
		kill -KILL "$pid" 2>/dev/null || true
		wait "$pid" 2>/dev/null || true
	done
	rm -rf "$segment" "${named_segment:-$tmp/none}"
}

# in_background COMMAND...: ended by the teardown; its number is $pid, what
# it says goes to $tmp/background.
in_background()
{
	# Without <&0 bash would give it an empty input.
	"$@" <&0 >>"$tmp/background" 2>&1 3>&- &
	pid=$!
	pids+=("$pid")
}

# end PID [SIGNAL]: and wait for it; its status is $rc.
end()
{
	rc=0
	kill "-${2:-TERM}" "$1"
	wait "$1" || rc=$?
}

# until_true COMMAND...: within ten seconds, or the test fails.
until_true()
{
	local tries
	for tries in $(seq 200); do
		! "$@" >/dev/null 2>&1 || return 0
		sleep 0.05
	done
	echo "never true: $*"
	return 1
}

# summary FILTER: of the segment, by jq.
summary()
{
	wbc-shmdump summary --json | jq -r "$1"
}

# Its lock is held, and its process has its slot.
flusher_is_alive()
{
	[ "$(summary '[.flusher.alive, .processes.alive > 0] | @csv')" = \
		true,true ]
}

needs_flusher()
{
	[ -x "$WBC_BUILD/flusher/wbc-flusher" ] ||
		skip "configured without the flusher"
	command -v sqlite3 >/dev/null || skip "sqlite3 is missing"
	db=$tmp/db
}

needs_jq()
{
	command -v jq >/dev/null || skip "jq is missing"
}

# start_flusher OPTION...: on $segment and $db; returns when it serves.  It
# writes when it is asked to, not when a slow machine makes it be time.
start_flusher()
{
	in_background wbc-flusher --segment "$segment" --sqlite "$db" \
		--journal "$tmp/journal" --flush-interval 1h "$@"
	flusher=$pid
	until_true flusher_is_alive
}

# A small segment, so that it is quick to copy and to look at.
make_small()
{
	wbc-shmctl create --max-size 8M --capacity 256 --procs 8 --threads 8 \
		--lane-size 16K "$@"
}

# An attached process that does nothing: it waits for a flusher.  $pid.
attach_idle()
{
	local before
	before=$(summary .processes.alive)
	in_background wbc-shmctl sync --timeout 60s
	until_true eval "[ \$(summary .processes.alive) -gt $before ]"
}

# Bytes of the segment's file, as numbers.
u64()
{
	od -An -tu8 -j "$1" -N 8 "$segment" | tr -d ' '
}

poke_u64()
{
	local i bytes=
	for i in 0 8 16 24 32 40 48 56; do
		bytes+=$(printf '\\x%02x' $((($2 >> i) & 255)))
	done
	printf '%b' "$bytes" |
		dd of="$segment" bs=1 seek="$1" conv=notrunc status=none
}

# Where the parts begin, by the header.
layout()
{
	procs_off=$(u64 120)
	threads_off=$(u64 128)
	tables_off=$(u64 136)
	words_off=$(u64 152)
	root_off=$(u64 160)
	metas_off=$(u64 168)
	extents_off=$(u64 184)
}

# The words of the index's root that are not empty: their offsets and values.
root_words()
{
	od -An -tu8 -v -w8 -j "$root_off" -N $((512 * 8)) "$segment" |
		awk -v at="$root_off" '$1 { print at + (NR - 1) * 8, $1 }'
}
