# SPDX-License-Identifier: MIT
# Copyright the wbcshm authors
#
# wbc-shmdump check: good segments pass, and each kind of damage is found.

load common

setup()
{
	needs_jq
	tools_setup
}

teardown()
{
	tools_teardown
}

# Two entries in the root, a table's specification and a row in a lane.
fill()
{
	make_small
	wbc-shmctl add --table 'words(word text key, n counter)' word=one n=1
	wbc-shmctl add words word=two n=1
	wbc-shmctl insert --table 'log(file text)' file=x
	layout
	set -- $(root_words)
	[ $# -eq 4 ] || skip "the two words fell into one place"
	root1=$1 word1=$2 root2=$3 word2=$4
	entry1=$(((word1 >> 20) * 64))
	entry2=$(((word2 >> 20) * 64))
	empty=$((root_off + 8 * 511))
	[ "$(u64 "$empty")" -eq 0 ] || empty=$((empty - 8))
	page1=$(((entry1 - extents_off) / 65536))
	meta1=$((metas_off + page1 * 896))
}

# A fault of that kind whose words contain the text, and status 4.
finds()
{
	local status=0
	wbc-shmdump check --json >"$tmp/json" || status=$?
	jq -c '.faults[]' "$tmp/json"
	[ "$status" -eq 4 ]
	[ "$(jq -r .ok "$tmp/json")" = false ]
	jq -e --arg kind "$1" --arg text "$2" \
		'any(.faults[]; .kind == $kind and (.text | contains($text)))' \
		"$tmp/json" >/dev/null
	run -4 wbc-shmdump check
	[[ $output == *"fault: "*"$2"* ]]
}

@test "a good segment: every block is accounted for once, nobody is attached" {
	fill
	run -0 wbc-shmdump check
	[[ $output == *quiescent* && $output == *"ok: every block"* ]]
	wbc-shmdump check --json >"$tmp/json"
	[ "$(jq -c '[.ok, .state, .keys, .blocks.used, .blocks.lost, .blocks.limbo, .blocks.held, .faults]' "$tmp/json")" = \
		'[true,"quiescent",2,4,0,0,0,[]]' ]
	[ "$(jq '.blocks | add' "$tmp/json")" -eq \
		"$(summary '[.pages[] | .used + .free + .limbo] | add')" ]
}

@test "a new segment, and one with 600 keys in a root for 256" {
	make_small
	run -0 wbc-shmdump check
	wbc-shmctl add --table 'k(a int key, n counter)' a=0 n=1
	seq 600 | xargs -I N wbc-shmctl add k a=N n=1
	run -0 wbc-shmdump check
	[ "$(summary .index.keys)" -eq 601 ]
	[ "$(summary .index.nodes)" -gt 50 ]
}

@test "on a live segment it looks again and says that it is live" {
	fill
	attach_idle
	run -0 wbc-shmdump check
	[[ $output == *live* ]]
	poke_u64 "$root1" 0
	poke_u64 "$empty" "$word1"
	finds entry "not where its key's hash leads"
	[ "$(jq .passes "$tmp/json")" -gt 1 ]
}

@test "a block that one who died had allocated is lost: a warning" {
	fill
	poke_u64 "$meta1" $(($(u64 "$meta1") | 1 << 60))
	poke_u64 $((4096 + 16)) 1 # a sweep is wanted
	run -0 wbc-shmdump check
	[[ $output == *"warning: 1 block"*"lost to deaths"* ]]
	[ "$(wbc-shmdump check --json | jq -c '[.ok, .blocks.lost, .bytes.lost]')" = '[true,1,128]' ]
}

@test "finds a block that is lost, and nobody has died" {
	fill
	poke_u64 "$meta1" $(($(u64 "$meta1") | 1 << 60))
	finds block 'no death explains it'
}

@test "finds a page of a thread slot that is nobody's" {
	fill
	word=$((words_off + 8 * page1))
	poke_u64 "$word" $(($(u64 "$word") & ~(0xffff << 12) | 5 << 12))
	finds page "which is nobody's"
}

@test "a dead process in a slot is a note" {
	make_small
	attach_idle
	end "$pid" KILL
	run -0 wbc-shmdump check
	[[ $output == *"1 dead process"* ]]
	[ "$(wbc-shmdump check --json | jq .dead_processes)" -eq 1 ]
}

@test "finds a block that is in use, and free" {
	fill
	poke_u64 "$meta1" 0
	finds block 'in use, and free'
}

@test "finds a block that is in use, and retired, and one retired twice" {
	fill
	poke_u64 $((meta1 + 128)) 1
	finds block 'in use, and retired'
	poke_u64 $((meta1 + 256)) 1
	finds block 'retired twice'
}

@test "finds bits for more blocks than a page has" {
	fill
	poke_u64 $((meta1 + 15 * 8)) 1
	finds page 'more than its'
}

@test "finds pages of no kind, of nobody, free with blocks, and not committed" {
	fill
	poke_u64 $((words_off + 8 * 20)) 7
	finds page 'no known kind'
	poke_u64 $((words_off + 8 * 20)) $((2 | 99 << 12))
	finds page 'owned by thread slot 98'
	poke_u64 $((words_off + 8 * 20)) 0
	poke_u64 $((metas_off + 20 * 896)) 1
	finds page 'free, and has allocated'
	poke_u64 $((words_off + 8 * 40)) 1
	finds page 'not committed'
}

@test "finds an entry that is linked twice" {
	fill
	poke_u64 "$empty" "$word1"
	finds block 'two places name it'
}

@test "finds an entry that stands where no look-up goes" {
	fill
	poke_u64 "$root1" 0
	poke_u64 "$empty" "$word1"
	finds entry "not where its key's hash leads"
}

@test "finds a word with another hash than its entry" {
	fill
	poke_u64 "$root1" $((word1 ^ 4))
	finds entry "not where its key's hash leads"
}

@test "finds an entry whose key was changed" {
	fill
	poke_u64 $((entry1 + 32)) $(($(u64 $((entry1 + 32))) ^ 1 << 32))
	finds entry "hash is not its key's"
}

@test "finds words that name nothing, or the wrong thing" {
	fill
	poke_u64 "$empty" $(((1 << 30) << 20 | 1))
	finds block 'there is no block'
	poke_u64 "$empty" $((((entry2 + 64) / 64) << 20 | 1))
	finds block 'there is no block'
	poke_u64 "$empty" $((word1 & ~3 | 2))
	finds block 'a page of entry blocks'
	poke_u64 "$empty" 4
	finds index 'neither empty'
}

@test "finds an entry of no table, of a wrong state, and out of range" {
	fill
	poke_u64 $((entry1 + 8)) 99
	finds entry 'a round to come'
	poke_u64 $((entry1 + 8)) 0
	poke_u64 $((entry1 + 16)) $((1 << 62 | 1))
	finds entry 'counter n of table words is out of range'
	poke_u64 "$entry1" $((5 << 4))
	finds entry 'its state is 0'
	poke_u64 $((entry2 + 32)) $(($(u64 $((entry2 + 32))) | 9 << 8))
	finds entry 'was never declared'
}

@test "finds tables behind a hole, twice, and damaged" {
	fill
	spec=$(u64 "$tables_off")
	poke_u64 $((tables_off + 512 * 4)) "$spec"
	finds table 'behind an empty place'
	poke_u64 $((tables_off + 512 * 4)) 0
	poke_u64 $((tables_off + 512 * 2)) "$spec"
	finds table 'both named words'
	poke_u64 $((tables_off + 512 * 2)) 0
	poke_u64 $((tables_off + 128)) 99
	finds table 'called settled'
	poke_u64 $((spec + 8)) 0
	finds table 'specification is damaged'
}

@test "finds slots in no state, of nobody, and ahead of time" {
	fill
	poke_u64 "$procs_off" 9
	finds slot 'process slot 0 is in no known state'
	poke_u64 "$procs_off" 0
	poke_u64 "$threads_off" $((1 << 16 | 3 << 4 | 1))
	finds slot 'its process slot 3 is free'
	poke_u64 "$threads_off" $((1 << 16 | 99 << 4 | 1))
	finds slot 'belongs to process slot 99'
	poke_u64 "$threads_off" 0
	poke_u64 $((threads_off + 64)) 1
	finds slot 'is free, and in a section'
}

@test "finds lanes that hold too much, no whole rows, or a stranger's" {
	fill
	lane=$(u64 176)
	tail=$(u64 $((threads_off + 128)))
	poke_u64 $((threads_off + 128)) $((1 << 40))
	finds lane 'is said to hold'
	poke_u64 $((threads_off + 128)) $((tail + 8))
	finds lane 'whole rows'
	poke_u64 $((threads_off + 128)) "$tail"
	poke_u64 "$lane" $(($(u64 "$lane") | 9 << 40))
	finds lane 'never declared'
	poke_u64 $((threads_off + 256 + 128)) 8
	finds lane 'never given memory'
}

@test "finds control words that contradict each other" {
	fill
	poke_u64 $((4096 + 192)) 1000
	finds control 'called journaled'
	poke_u64 $((4096 + 192 + 16)) 1000
	finds control 'called settled'
	poke_u64 $((4096 + 128)) 1000
	finds control 'has room for'
}

@test "random damage: every command ends, with status 0 or 4 and valid JSON" {
	fill
	cp "$segment" "$tmp/good"
	RANDOM=1
	for round in $(seq 10); do
		cp "$tmp/good" "$segment"
		for i in 1 2 3 4; do
			case $((RANDOM % 6)) in
			0) at=$root1 ;;
			1) at=$((entry1 + RANDOM % 128)) ;;
			2) at=$((extents_off + RANDOM * 64)) ;;
			3) at=$((words_off + 8 * (RANDOM % 64))) ;;
			4) at=$((threads_off + RANDOM % 2048)) ;;
			5) at=$((4096 + RANDOM % 320)) ;;
			esac
			poke_u64 $((at & ~7)) \
				$(((RANDOM << 30 | RANDOM << 15 | RANDOM) >> RANDOM % 45))
		done
		for command in summary keys procs check; do
			rc=0
			timeout 60 wbc-shmdump $command --json >"$tmp/json" ||
				rc=$?
			[ "$rc" -eq 0 ] || { [ "$rc" -eq 4 ] && [ "$command" = check ]; }
			jq -e 'type == "object"' "$tmp/json" >/dev/null
		done
	done
}
