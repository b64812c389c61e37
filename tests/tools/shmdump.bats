# SPDX-License-Identifier: MIT
# Copyright the wbcshm authors
#
# wbc-shmdump: what it shows of a segment, as text and as JSON.

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

# Three tables: counted words, rows by two keys, and a log.
fill()
{
	local word
	make_small
	for word in the of and 'to be' café; do
		wbc-shmctl add --table 'words(word text key, n counter)' \
			"word=$word" n=2
	done
	wbc-shmctl add --table 'other.t(a int key, b text key, x counter, y double counter)' \
		a=10 b=ten x=1 y=0.5
	wbc-shmctl add other.t a=-2 b=minus x=-3
	wbc-shmctl insert --table 'log(file text)' file=f
}

keys()
{
	wbc-shmdump keys --json "$@" | jq -c "[.rows[].key | to_entries[0].value]"
}

@test "summary: the JSON accounts for keys, tables, slots and memory" {
	fill
	[ "$(summary '.segment')" = "$segment" ]
	[ "$(summary '[.index.keys, .index.keys_dirty, .processes.alive, .processes.slots, .threads.used] | @csv')" = 7,7,0,8,0 ]
	[ "$(summary '.tables[] | [.table, .rows, .rows_unjournaled, .rows_applied, .parked == null] | @csv')" = \
		'"words",5,5,0,true
"other.t",2,2,0,true
"log",0,0,0,true' ]
	[ "$(summary '[.pages[] | select(.kind == "entries") | .used] | add')" -eq 7 ]
	[ "$(summary '.memory.used_bytes < .memory.file_bytes')" = true ]
	[ "$(summary '.lanes.waiting')" -eq 1 ]
	[ "$(summary '.id | length')" -eq 32 ]
	[ "$(summary '.flusher | [.alive, .pid, .journal_id, .generation] | @csv')" = 'false,,,0' ]
	[ "$(summary '.layout')" -ge 1 ]
}

@test "summary: the text names what a stranger looks for" {
	fill
	run -0 wbc-shmdump summary
	[[ $output == "Segment $segment"* ]]
	for word in 'none is running' '7; laid out for 256' 'other.t' \
		'0 attached, 8 slots' '2 MiB'; do
		[[ $output == *"$word"* ]] || { echo "no: $word"; false; }
	done
}

@test "summary: an empty segment has an empty summary" {
	make_small
	run -0 wbc-shmdump summary
	[[ $output == *"none was declared yet"* ]]
	[ "$(summary '[.index.keys, .memory.extents, (.pages | length), (.tables | length)] | @csv')" = 0,0,0,0 ]
}

@test "keys: sorted as the database sorts, integers by value, text by bytes" {
	fill
	[ "$(keys)" = '["and","café","of","the","to be",-2,10]' ]
	run -0 wbc-shmdump keys
	[[ ${lines[0]} == 'Table words' ]]
	[[ $output == *'to be  unknown  +2'* ]]
	[[ $output == *'7 rows; '* ]]
}

@test "keys: --key matches a glob, of several key columns joined by commas" {
	fill
	[ "$(keys --key 't*')" = '["the","to be"]' ]
	[ "$(keys --key '-2,*')" = '[-2]' ]
	[ "$(keys --key '[ao]*')" = '["and","of"]' ]
	[ "$(keys --key 'none*')" = '[]' ]
}

@test "keys: --table, --limit and --dirty choose rows" {
	fill
	[ "$(keys --table other.t)" = '[-2,10]' ]
	[ "$(keys --limit 2)" = '["and","café"]' ]
	[ "$(wbc-shmdump keys --json --limit 2 | jq -c '[.matched, .shown]')" = '[7,2]' ]
	[ "$(keys --dirty --table words | jq length)" -eq 5 ]
	run -3 wbc-shmdump keys --table nope
	[[ $output == *nope* ]]
}

@test "keys: hostile bytes are safe in text, and valid in JSON" {
	make_small
	wbc-shmctl add --table 'w(k text key, n counter)' \
		k=$'a\e[31mQQ"\\\n' n=1
	# What the library does not let in, somebody has written there.
	at=$(grep -abo '31mQQ' "$segment" | cut -d : -f 1)
	printf '\xff\xc3' | dd of="$segment" bs=1 seek=$((at + 3)) \
		conv=notrunc status=none
	run -0 wbc-shmdump keys
	[[ $output == *'a\x1b[31m\xff\xc3"\\\x0a'* ]]
	[ "$(wbc-shmdump keys --json | jq -r '.rows[0].key.k | explode | @csv')" = \
		97,27,91,51,49,109,255,195,34,92,10 ]
}

@test "keys: every type of key is shown as wbc-shmctl takes it" {
	make_small
	wbc-shmctl add --table 'w(f bool key, t timestamp key, b blob key, n counter)' \
		f=true t=2026-01-31T12:00:00.5Z b=00ff n=1
	wbc-shmctl add w f=1 t=1769860800500000 "b=x'00FF'" n=1
	wbc-shmctl add w f=false t=-1 b= n=3
	run -0 wbc-shmdump keys
	[[ $output == *"false  1969-12-31T23:59:59.999999Z  x'' "* ]]
	[[ $output == *"true   2026-01-31T12:00:00.500000Z  x'00ff'"* ]]
	[ "$(wbc-shmdump keys --json | jq -c '[.rows[] | .key, .cells.n.unjournaled]')" = \
		"[{\"f\":false,\"t\":\"1969-12-31T23:59:59.999999Z\",\"b\":\"x''\"},3,{\"f\":true,\"t\":\"2026-01-31T12:00:00.500000Z\",\"b\":\"x'00ff'\"},2]" ]
	[ "$(wbc-shmdump keys --json --key "true,2026-*,x'00*" | jq .matched)" -eq 1 ]
}

@test "procs: the living and the dead, by their locks" {
	make_small
	attach_idle
	living=$pid
	attach_idle
	dead=$pid
	run -0 wbc-shmdump procs
	[[ $output == *"2 of 8 process slots"* ]]
	end "$dead" KILL
	wbc-shmdump procs --json >"$tmp/json"
	[ "$(jq -r ".processes[] | select(.pid == $living) | [.alive, .state, .name] | @csv" "$tmp/json")" = 'true,"used","wbc-shmctl"' ]
	[ "$(jq -r ".processes[] | select(.pid == $dead) | [.alive, .state] | @csv" "$tmp/json")" = 'false,"used"' ]
	[ "$(jq -c ".processes[] | select(.pid == $living) | [.threads[] | [.tid == $living, .in_section, .lane_bytes]]" "$tmp/json")" = '[[true,false,0]]' ]
	[ "$(summary '[.processes.alive, .processes.dead] | @csv')" = 1,1 ]
	run -0 wbc-shmdump procs
	[[ $output == *dead* ]]
}

@test "procs: nobody is attached" {
	make_small
	run -0 wbc-shmdump procs
	[[ $output == '0 of 8 process slots in use'* ]]
	[ "$(wbc-shmdump procs --json | jq '.processes | length')" -eq 0 ]
}

@test "it only reads: the file is the same before and after, and needs no write permission" {
	fill
	before=$(sha256sum <"$segment")
	chmod 400 "$segment"
	for command in summary keys procs check; do
		wbc-shmdump $command >/dev/null
		wbc-shmdump $command --json | jq -e 'type == "object"' >/dev/null
	done
	[ "$(sha256sum <"$segment")" = "$before" ]
}

@test "it creates nothing, and refuses what is no segment of this layout" {
	for command in summary keys procs check; do
		run -3 wbc-shmdump $command
		[[ $output == *ENOENT* ]]
		[ ! -e "$segment" ]
	done
	make_small
	cp "$segment" "$tmp/good"
	while read -r error offset byte; do
		cp "$tmp/good" "$segment"
		printf '%b' "$byte" |
			dd of="$segment" bs=1 seek="$offset" conv=notrunc status=none
		run -4 wbc-shmdump check
		[[ $output == *$error* ]] || { echo "$offset: $output"; false; }
	done <<-'END'
	WBC_E_FORMAT 0 \x00
	WBC_E_LAYOUT 8 \x77
	WBC_E_LAYOUT 40 \x01\x02
	WBC_E_CORRUPT 64 \x01\x02\x03\x04
	WBC_E_CORRUPT 192 \xff\xff
	WBC_E_CORRUPT 504 \x01\x02
	END
	cp "$tmp/good" "$segment"
	truncate -s -4096 "$segment"
	run -4 wbc-shmdump check
	[[ $output == *truncated* ]]
	: >"$segment"
	run -4 wbc-shmdump summary
	[[ $output == *WBC_E_FORMAT* ]]
}
