# SPDX-License-Identifier: MIT
# Copyright the wbcshm authors
#
# The tools beside a real flusher and a real database.

load common

words='words(word text key, n counter)'

setup()
{
	needs_jq
	tools_setup
	needs_flusher
	make_small
	sqlite3 "$db" 'CREATE TABLE words(word TEXT PRIMARY KEY, n INTEGER);
		CREATE TABLE log(file TEXT CHECK (file <> '"''"'), bytes INTEGER DEFAULT 7);'
}

teardown()
{
	tools_teardown
}

serve()
{
	start_flusher --table "$words on_missing=insert" \
		--table 'log(file text, bytes int)' "$@"
}

in_db()
{
	sqlite3 -cmd '.timeout 5000' "$db" "$1"
}

@test "what is added is written by flush, and can be read then" {
	serve
	wbc-shmctl add --table "$words" word=hello n=3
	wbc-shmctl add words word=hello n=4
	run -0 wbc-shmctl flush
	[[ $output == "rows written: 1, refused: 0" ]]
	[ "$(in_db 'SELECT word, n FROM words')" = 'hello|7' ]
	[ "$(wbc-shmctl read words word=hello n)" = 7 ]
	[ "$(wbc-shmctl read words word=hello)" = 7 ]
	[ "$(wbc-shmctl add --get words word=hello n=-2)" = 5 ]
	[ "$(wbc-shmctl read words word=hello n)" = 5 ]
	wbc-shmctl sync
	[ "$(in_db 'SELECT n FROM words')" = 7 ]
	wbc-shmctl flush words
	[ "$(in_db 'SELECT n FROM words')" = 5 ]
	run -0 wbc-shmdump keys
	[[ $output == *'hello  5'* ]]
	[ "$(wbc-shmdump keys --json | jq -c '.rows[0].cells.n')" = '{"state":"known","value":5,"unjournaled":0}' ]
}

@test "what somebody else wrote to the database shows after the next flush" {
	serve
	in_db "INSERT INTO words VALUES ('a', 100)"
	wbc-shmctl add --table "$words" word=a n=1
	wbc-shmctl flush
	[ "$(wbc-shmctl read words word=a n)" = 101 ]
	in_db "UPDATE words SET n = 1000"
	wbc-shmctl add words word=a n=1
	wbc-shmctl flush
	[ "$(wbc-shmctl read words word=a n)" = 1001 ]
}

@test "inserted rows are written, with NULL and the database's default" {
	serve
	wbc-shmctl insert --table 'log(file text, bytes int)' file=a bytes=1
	wbc-shmctl insert log file=b --null bytes
	wbc-shmctl insert log file=c
	wbc-shmctl flush
	[ "$(in_db "SELECT file, ifnull(bytes, 'null') FROM log ORDER BY 1")" = 'a|1
b|null
c|7' ]
	[ "$(summary '.lanes.waiting_bytes')" -eq 0 ]
}

@test "sync waits until everything is in the journal" {
	serve
	wbc-shmctl add --table "$words" word=a n=1
	wbc-shmctl insert --table 'log(file text, bytes int)' file=a
	run -0 wbc-shmctl sync
	[ "$(summary '[.tables[].rows_unjournaled, .lanes.waiting_bytes] | add')" -eq 0 ]
	[ "$(wbc-shmdump keys --json --dirty | jq '[.rows[].cells.n.unjournaled] | add // 0')" -eq 0 ]
}

@test "summary and procs show the flusher, check passes beside it" {
	serve
	wbc-shmctl add --table "$words" word=a n=1
	wbc-shmctl flush
	[ "$(summary '[.flusher.alive, .flusher.pid, .flusher.generation] | @csv')" = "true,$flusher,1" ]
	[ "$(summary '.tables[] | select(.table == "words") | [.rows, .rows_applied, .rows_refused, .rows_unwritten] | @csv')" = 1,1,0,0 ]
	[ "$(summary '.flusher.journal_id | length')" -eq 32 ]
	[ "$(wbc-shmdump procs --json | jq ".processes[] | select(.pid == $flusher) | .flusher and .alive")" = true ]
	run -0 wbc-shmdump check
	[[ $output == *live* ]]
	run -0 wbc-shmdump summary
	[[ $output == *"alive, pid $flusher"* ]]
}

@test "P7: a table that the flusher was not told of is parked, and named" {
	serve
	wbc-shmctl add --table 'secret(a int key, n counter)' a=1 n=1
	wbc-shmctl add --table "$words" word=a n=1
	run -1 wbc-shmctl flush
	[[ $output == *"parked: secret: "*WBC_E_TABLE* ]]
	[ "$(in_db 'SELECT n FROM words')" = 1 ]
	run -1 wbc-shmctl flush secret
	[[ $output == *WBC_E_TABLE* ]]
	run -0 wbc-shmctl flush words
	[ "$(summary '.tables[] | select(.table == "secret") | .parked.name')" = WBC_E_TABLE ]
	run -0 wbc-shmdump summary
	[[ $output == *PARKED* ]]
}

@test "a table that the database lacks is parked until it is there" {
	start_flusher --table "gone(a int key, n counter) on_missing=insert"
	wbc-shmctl add --table 'gone(a int key, n counter)' a=1 n=5
	run -1 wbc-shmctl flush
	[[ $output == *"parked: gone: "*WBC_E_PARKED* ]]
	in_db 'CREATE TABLE gone(a INTEGER PRIMARY KEY, n INTEGER)'
	until_true wbc-shmctl flush
	[ "$(in_db 'SELECT a, n FROM gone')" = '1|5' ]
}

@test "P13: rows that the database refuses are counted, the others written" {
	serve
	for file in a '' b; do
		wbc-shmctl insert --table 'log(file text, bytes int)' "file=$file"
	done
	run -1 wbc-shmctl flush
	[[ $output == *"rows written: 2, refused: 1"*WBC_E_REFUSED* ]]
	[ "$(in_db 'SELECT count(*) FROM log')" = 2 ]
	[ "$(in_db 'SELECT count(*) FROM wbc_dead_letters')" = 1 ]
	[ "$(summary '.tables[] | select(.table == "log") | .rows_refused')" -eq 1 ]
}

@test "while the database is locked flush times out, sync does not, nothing is lost" {
	serve
	mkfifo "$tmp/pipe"
	exec 9<>"$tmp/pipe"
	in_background sqlite3 "$db" <&9
	printf '%s\n' '.bail on' '.timeout 5000' 'BEGIN EXCLUSIVE;' \
		".system touch '$tmp/locked'" >&9
	until_true [ -e "$tmp/locked" ]
	wbc-shmctl add --table "$words" word=a n=1
	run -0 wbc-shmctl sync
	run -1 wbc-shmctl flush --timeout 500ms
	[[ $output == *ETIMEDOUT* ]]
	echo 'ROLLBACK;' >&9
	run -0 wbc-shmctl flush
	[ "$(in_db 'SELECT n FROM words')" = 1 ]
}

@test "a flusher that was killed is seen to be dead, the next one tidies up" {
	serve
	wbc-shmctl add --table "$words" word=a n=1
	end "$flusher" KILL
	until_true eval '[ "$(summary "[.flusher.alive, .processes.dead] | @csv")" = false,1 ]'
	run -0 wbc-shmdump check
	[[ $output == *"dead process"* ]]
	serve
	until_true eval '[ "$(summary .processes.dead)" -eq 0 ]'
	[ "$(summary .flusher.generation)" -eq 2 ]
	run -0 wbc-shmctl flush
	[ "$(in_db 'SELECT n FROM words')" = 1 ]
}

@test "rm waits for the flusher's end: refused beside it, done after it" {
	serve
	wbc-shmctl add --table "$words" word=a n=1
	run -1 wbc-shmctl rm
	end "$flusher" TERM
	[ "$rc" -eq 0 ]
	[ "$(in_db 'SELECT n FROM words')" = 1 ]
	run -0 wbc-shmdump check
	[[ $output == *quiescent* ]]
	run -0 wbc-shmctl rm
}

@test "counts of many processes, killed at any time, check clean afterwards" {
	serve
	wbc-shmctl add --table "$words" word=0 n=1
	for i in $(seq 40); do
		bash -c 'for w in 1 2 3 4 5; do
			wbc-shmctl add words word=$1-$w n=1; done' - "$i" 3>&- &
		pids+=($!)
		[ $((i % 4)) -ne 0 ] || kill -KILL "${pids[-1]}" 2>/dev/null || true
	done
	for i in "${pids[@]:1}"; do
		wait "$i" || true
	done
	run -0 wbc-shmctl flush
	run -0 wbc-shmdump check
	[ "$(in_db 'SELECT sum(n) FROM words')" = "$(summary '.tables[] | select(.table == "words") | .rows')" ]
}

@test "an empty text is a key like any other" {
	serve
	wbc-shmctl add --table "$words" word= n=3
	wbc-shmctl flush
	[ "$(in_db "SELECT quote(word), n FROM words")" = "''|3" ]
}

@test "a key that names several rows parks its table, and changes none" {
	in_db "DROP TABLE words; CREATE TABLE words(word TEXT, n INTEGER);
		INSERT INTO words VALUES ('a', 1), ('a', 2)"
	start_flusher --table "$words"
	wbc-shmctl add --table "$words" word=a n=5
	run -1 wbc-shmctl flush
	[[ $output == *"make them unique"* ]]
	[ "$(in_db 'SELECT sum(n) FROM words')" = 3 ]
	in_db "DELETE FROM words WHERE n = 2"
	run -0 wbc-shmctl flush
	[ "$(in_db 'SELECT n FROM words')" = 6 ]
}

@test "a trigger's value is what is read, and its refusal is called one" {
	in_db "INSERT INTO words VALUES ('a', 90), ('b', 1), ('c', 1.5);
		CREATE TRIGGER cap AFTER UPDATE ON words WHEN new.n > 100 BEGIN
		UPDATE words SET n = 100 WHERE word = new.word; END;
		CREATE TRIGGER stay BEFORE UPDATE ON words WHEN old.word = 'b'
		BEGIN SELECT RAISE(IGNORE); END"
	start_flusher --table "$words"
	wbc-shmctl add --table "$words" word=a n=20
	run -0 wbc-shmctl flush
	[ "$(wbc-shmctl read words word=a n)" = 100 ]
	wbc-shmctl add words word=b n=1
	wbc-shmctl add words word=c n=1
	run -1 wbc-shmctl flush
	in_db 'SELECT reason FROM wbc_dead_letters ORDER BY key' >"$tmp/why"
	grep -q 'a trigger' "$tmp/why"
	grep -q 'holds no integer' "$tmp/why"
}
