# SPDX-License-Identifier: MIT
# Copyright the wbcshm authors
#
# The examples do what they say, and README.md shows them as they are.

setup()
{
	wordcount=$WBC_BUILD/examples/wordcount
	hello=$WBC_BUILD/examples/hello
	tmp=$BATS_TEST_TMPDIR
	flusher=
}

teardown()
{
	[ -z "$flusher" ] || { kill "$flusher"; wait "$flusher"; } || true
	rm -f "$tmp/segment"
}

needs_flusher()
{
	[ -x "$WBC_BUILD/flusher/wbc-flusher" ] ||
		skip "configured without the flusher"
}

# run_as_pid COMMAND...: as run; $pid is the command's process id.
run_as_pid()
{
	run bash -c 'echo $$ >"$0"; exec "$@"' "$tmp/pid" "$@"
	pid=$(cat "$tmp/pid")
}

# A little text with the awkward cases: no newline at the end, no letters,
# capitals, a word across two reads, one that is too long, a NUL, a .gz.
make_text()
{
	mkdir -p "$tmp/text/sub"
	printf 'The end has no newline' >"$tmp/text/a"
	printf 'begins here\nTHE the The\n' >"$tmp/text/b"
	printf '12345 67\n' >"$tmp/text/c"
	head -c 65530 /dev/zero | tr '\0' '.' >"$tmp/text/sub/d"
	printf 'acrosstworeads\n' >>"$tmp/text/sub/d"
	head -c 500 /dev/zero | tr '\0' 'x' >"$tmp/text/e"
	printf 'caf\303\251 na\357ve\r\n' >"$tmp/text/f"
	printf 'left\0out' >"$tmp/text/g"
	printf 'leftout' >"$tmp/text/h.gz"
	: >"$tmp/text/empty"
}

@test "P3, P5: wordcount is exact although the flusher is killed twice, and leaves nothing" {
	needs_flusher
	TMPDIR=$tmp run_as_pid "$wordcount" --seconds 3
	echo "$output"
	[ "$status" -eq 0 ]
	[ "$(grep -c 'flusher [0-9]* killed' <<<"$output")" -eq 2 ]
	[ "$(grep -c 'extra worker [0-9]* killed' <<<"$output")" -eq 1 ]
	[ "${lines[-1]}" = 'exact: yes' ]
	[ ! -e "/dev/shm/wbcshm-$(id -u)/wordcount-$pid" ]
	[ -z "$(find "$tmp" -name 'wordcount-*')" ]
}

@test "wordcount counts words as tr, sort and uniq do, also the awkward ones" {
	needs_flusher
	make_text
	run "$wordcount" --seconds 2 --workers 2 --seed 7 --keep \
		--dir "$tmp/run" "$tmp/text"
	echo "$output"
	[ "$status" -eq 0 ]
	grep -q '6 text files' <<<"$output"
	rm -f "$(sed -n 's/^kept  \([^ ]*\).*/\1/p' <<<"$output")"
	db=$tmp/run/words.db
	[ "$(sqlite3 "$db" "SELECT max(length(word)) FROM words
		WHERE word NOT GLOB 'extra:*'")" -eq 200 ]
	[ "$(sqlite3 "$db" "SELECT count(*) FROM words
		WHERE word IN ('acrosstworeads', 'newline', 'caf', 'na', 've')")" -eq 5 ]
	[ "$(sqlite3 "$db" "SELECT count(*) FROM words
		WHERE word IN ('left', 'out', 'leftout', 'newlinebegins')")" -eq 0 ]
}

# Known bad: a flusher that spoils the tables when it stops.
@test "wordcount finds a wrong count, a missing log row and a doubled one" {
	needs_flusher
	command -v setpriv >/dev/null || skip "setpriv is missing"
	setpriv --pdeathsig KILL true || skip "setpriv has no --pdeathsig"
	make_text
	mkdir "$tmp/bin"
	cat >"$tmp/bin/wbc-flusher" <<-'END'
		#!/usr/bin/env bash
		trap 'kill $child; wait $child
			sqlite3 "$4" "UPDATE words SET n = n + 1 WHERE word = '\''the'\'';
				DELETE FROM words WHERE word = '\''here'\'';
				INSERT INTO words VALUES ('\''strange'\'', 3);
				DELETE FROM log WHERE rowid = 1;
				INSERT INTO log SELECT * FROM log WHERE rowid = 2"
			exit 0' TERM
		setpriv --pdeathsig KILL "$WBC_BUILD/flusher/wbc-flusher" "$@" &
		child=$!
		wait $child
	END
	chmod +x "$tmp/bin/wbc-flusher"
	TMPDIR=$tmp PATH=$tmp/bin:$PATH \
		run "$wordcount" --seconds 2 "$tmp/text"
	echo "$output"
	[ "$status" -eq 1 ]
	[ "${lines[-1]}" = 'exact: no' ]
	grep -q 'word the: ' <<<"$output"
	grep -q 'word here: .*the table has 0' <<<"$output"
	grep -q 'word strange: 0 is right, the table has 3' <<<"$output"
	grep -q 'log row .*: 1 is right, the table has 0' <<<"$output"
	grep -q 'log row .*: 1 is right, the table has 2' <<<"$output"
}

@test "wordcount says what is wrong: arguments, no text, no flusher" {
	needs_flusher
	for arguments in '--seconds 1' '--seconds x' '--workers 0' '--no-such'; do
		# shellcheck disable=SC2086
		run "$wordcount" $arguments
		[ "$status" -eq 2 ]
		[[ $output == *'usage: wordcount'* ]]
	done
	mkdir "$tmp/nothing"
	run "$wordcount" "$tmp/nothing"
	echo "$output"
	[ "$status" -eq 1 ]
	[[ $output == *'too few'* ]]
	PATH=/usr/bin:/bin run "$wordcount" --seconds 2
	echo "$output"
	[ "$status" -eq 1 ]
	[[ $output == *'wbc-flusher is not in PATH'* ]]
}

@test "hello adds to the row that is in the database" {
	needs_flusher
	sqlite3 "$tmp/db" "CREATE TABLE hits (page TEXT PRIMARY KEY, n INTEGER);
		INSERT INTO hits VALUES ('/index.html', 41)"
	wbc-flusher --segment "$tmp/segment" --create --sqlite "$tmp/db" \
		--journal "$tmp/journal" \
		--table 'hits(page text key, n counter)' 2>"$tmp/log" &
	flusher=$!
	for _ in $(seq 100); do
		[ -e "$tmp/segment" ] && break
		sleep 0.1
	done
	run "$hello" "shm:$tmp/segment"
	echo "$output"
	[ "$status" -eq 0 ]
	[ "$output" = '/index.html: 42' ]
	[ "$(sqlite3 "$tmp/db" 'SELECT n FROM hits')" -eq 42 ]
}

@test "hello says so when there is no segment" {
	run "$hello" "shm:$tmp/none"
	[ "$status" -eq 1 ]
	[[ $output == *"$tmp/none"* ]]
}

@test "README.md shows hello.c as it is" {
	sed -n '/^```c$/,/^```$/p' "$WBC_SRC/README.md" | sed '1d;$d' >"$tmp/shown"
	sed '1,/^\/\* hello/d' "$WBC_SRC/examples/hello.c" >"$tmp/code"
	diff "$tmp/shown" "$tmp/code"
}
