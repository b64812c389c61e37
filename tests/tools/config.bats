# SPDX-License-Identifier: MIT
# Copyright the wbcshm authors
#
# wbc-flusher's configuration file: what is refused and how, what is checked
# and printed, several databases at once, and what SIGHUP changes.

load common

setup()
{
	tools_setup
	needs_flusher
	needs_jq
	conf=$tmp/conf
	logs=$tmp/logs.db
	unset WBC_SEGMENT
}

teardown()
{
	export WBC_SEGMENT=$segment
	tools_teardown
}

make_databases()
{
	sqlite3 "$db" 'CREATE TABLE words(word TEXT PRIMARY KEY, n INTEGER);'
	sqlite3 "$logs" 'CREATE TABLE events(kind TEXT PRIMARY KEY, n INTEGER);'
}

# base [FLUSH-LINE...]: a good file of two connections.
base()
{
	printf '%s\n' '[segment]' "path = $segment" '[flush]' \
		"journal = $tmp/journal" "$@" \
		'[connection default]' "sqlite = $db" \
		'[connection logs]' "sqlite = $logs"
}

words='[table words]
columns = word text key, n counter
on_missing = insert'
events='[table events]
connection = logs
columns = kind text key, n counter
on_missing = insert'

# refused LINE WORDS TEXT: with that line in the words.
refused()
{
	printf '%b' "$3" >"$conf"
	run -2 wbc-flusher --config "$conf" --print-config
	[[ $output == "wbc-flusher: $conf:$1: "*"$2"* ]] || {
		echo "of $3: $output"
		return 1
	}
}

@test "P7: each section or key that is unknown, doubled or misplaced is refused with its line" {
	refused 2 'journal: [segment] has no such key; it has name, path' '[segment]\njournal = x\n'
	refused 1 '[segments]: no such section; there are [segment], [flush], [connection NAME] and [table NAME]' '[segments]\n'
	refused 1 '[ Segment]' '[ Segment]\n' || refused 1 'no such section' '[Segment]\n'
	refused 1 'name stands before any section' 'name = x\n'
	refused 3 'name: said in line 2 already' '[segment]\nname = x\nname = y\n'
	refused 3 'path: said in line 2 already' '[segment]\nname = x\npath = /y\n'
	refused 3 '[segment] began in line 1 already' '[segment]\nname = x\n[segment]\n'
	refused 2 'speed: [flush] has no such key' '[flush]\nspeed = 1\n'
	refused 2 'neither a [section] nor KEY = VALUE' '[flush]\njournal\n'
	refused 1 'put a ] behind' '[flush\n'
	refused 1 'stands behind the section' '[flush] journal = x\n'
	refused 2 'idle has no value' '[flush]\nidle =\n'
	refused 3 'begin it at its start' '[flush]\njournal = x\n  idle = 5m\n'
	refused 2 'nothing that it could continue' '[flush]\n  idle = 5m\n'
	refused 2 'byte 0x01' '[flush]\njournal = \001\n'
	refused 2 'byte 0xff' '[flush]\njournal = \0377\n'
	refused 2 'more than' "[flush]\\njournal = $(printf '%20000s' | tr ' ' x)\\n"
}

@test "P7: each bad value is refused with its line, and what would be right" {
	refused 2 'create = maybe: it should be yes or no' '[segment]\ncreate = maybe\n'
	refused 2 'path = x: it should be a path from the root' '[segment]\npath = x\n'
	refused 2 'max_size = big: it should be a size, such as 64M' '[segment]\nmax_size = big\n'
	refused 2 'capacity = 0: it should be a number from 1' '[segment]\ncapacity = 0\n'
	refused 2 'mode = 0999: it should be permissions in octal' '[segment]\nmode = 0999\n'
	refused 2 'journal_interval = 2h: it should be a time from 1ms to 1h' '[flush]\njournal_interval = 2h\n'
	refused 2 'flush_interval = 5: it should be a time from 1ms to 24h' '[flush]\nflush_interval = 5\n'
	refused 2 'max_queue_rows = -1: it should be a number' '[flush]\nmax_queue_rows = -1\n'
	refused 2 'idle = soon: it should be a time' '[flush]\nidle = soon\n'
}

@test "P7: connections and tables that make no sense are refused with their line" {
	refused 1 '[connection a b]: its name should be' '[connection a b]\n'
	refused 1 '[connection ]' '[connection]\n'
	refused 1 '[connection a] has no database; it should have sqlite = FILE' '[connection a]\n'
	refused 3 '[connection a] began in line 1 already' '[connection a]\nsqlite = x\n[connection a]\n'
	refused 1 'it should be NAME or CONNECTION.NAME' '[table a.b.c]\n'
	refused 1 '[table t] has no columns' '[table t]\n[flush]\n'
	refused 2 'colums: [table] has no such key' '[table t]\ncolums = a int\n'
	refused 2 '"decimal" says nothing about column "a"' '[table t]\ncolumns = a decimal\n'
	refused 2 'wbc_ledger' '[table wbc_ledger]\ncolumns = a int\n'
	refused 2 'on_missing = explode: it should be deadletter, insert or ignore' '[table t]\non_missing = explode\n'
	refused 2 'connection = a b: it should be the NAME' '[table t]\nconnection = a b\n'
	refused 2 'line 1 says a.t' '[table a.t]\nconnection = b\n'
	refused 4 'but has a =' '[table t]\ncolumns = a int,\n b int\n on_missing = insert\n'
	refused 3 'table default.t is that of line 1 again' '[table t]\ncolumns = a int\n[table default.t]\ncolumns = a int\n'
	refused 2 'max_queue_rows = x: it should be a number' '[table t]\nmax_queue_rows = x\n'
	refused 2 'flush_interval = 0s: it should be a time' '[table t]\nflush_interval = 0s\n'
	refused 4 'there is no [connection b]' '[connection a]\nsqlite = x\n[table t]\nconnection = b\ncolumns = a int\n'
	refused 1 'there is no [connection default]' '[table t]\ncolumns = a int\n'
}

@test "P14: what a connection is given is in no message, log or argument" {
	printf '[connection a]\npostgresql = host=h password=hunter2\n' >"$conf"
	run -2 wbc-flusher --config "$conf"
	[[ $output == *"$conf:2: postgresql: no kind of connection"*"sqlite = FILE"* ]]
	[[ $output != *hunter2* ]]
	printf '[connection a]\nsqlite = x\nsqlite = hunter2\n' >"$conf"
	run -2 wbc-flusher --config "$conf"
	[[ $output == *"$conf:3: sqlite: said in line 2 already"* && $output != *hunter2* ]]
}

@test "a file that cannot be read says so, with the exit status that fits" {
	run -3 wbc-flusher --config "$tmp/none"
	[[ $output == *"$tmp/none: cannot read it: No such file"* ]]
	run -1 wbc-flusher --config "$tmp"
	[[ $output == *"$tmp: no file"* ]]
	head -c 2000000 /dev/zero >"$conf"
	run -2 wbc-flusher --config "$conf"
	[[ $output == *"more than 1048576 bytes"* ]]
	run -2 wbc-flusher --config "$conf" --config "$conf"
	[[ $output == *"--config: given twice"* ]]
}

@test "print-config prints what is in effect, and reads it again to the same" {
	{
		printf '\xef\xbb\xbf# first\n'
		base 'flush_interval = 1500ms' 'idle = 90s ; not long'
		echo "$words"
		printf '[table logs.big]\ncolumns = a_column_of_a_long_name int key,\n\tb text, another_column_of_a_long_name_that_goes_on double counter, d blob\n'
		printf 'max_queue_rows = 5k\nflush_interval = 1h\n'
	} >"$conf"
	wbc-flusher --config "$conf" --print-config >"$tmp/once"
	wbc-flusher --config "$tmp/once" --print-config >"$tmp/twice"
	diff "$tmp/once" "$tmp/twice"
	grep -qx 'flush_interval = 1500ms' "$tmp/once"
	grep -qx 'journal_interval = 200ms' "$tmp/once"
	grep -qx 'idle = 90s' "$tmp/once"
	grep -qx 'max_size = 4G' "$tmp/once"
	grep -qx 'max_queue_rows = 5000' "$tmp/once"
	grep -qx '\[table default.words\]' "$tmp/once"
	# The command line comes over it.
	wbc-flusher --config "$conf" --idle 5m --sqlite other.db --max-size 64M \
		--table 'words(word text key, m counter)' --print-config >"$tmp/over"
	grep -qx 'idle = 5m' "$tmp/over"
	grep -qx 'sqlite = other.db' "$tmp/over"
	grep -qx 'max_size = 64M' "$tmp/over"
	grep -qx 'columns = word text key, m counter' "$tmp/over"
	[ "$(grep -c '^\[table' "$tmp/over")" = 2 ]
	# What could not be read again is not printed as if it could.
	run -2 wbc-flusher --config "$conf" --journal 'a ; b' --print-config
	[[ $output == *"journal: its value could not be read from a file again"* ]]
}

@test "check-config names each thing that the databases do not have, and changes nothing" {
	make_databases
	{ base; echo "$words"; echo "$events"; } >"$conf"
	run -0 wbc-flusher --config "$conf" --check-config
	[[ $output == 'connections: 2, tables: 2: all fits' ]]
	sqlite3 "$db" 'CREATE TABLE nokey(a INT, n INTEGER);
		CREATE TABLE types(a REAL PRIMARY KEY, n TEXT, t INTEGER, d TEXT);
		CREATE TABLE gen(a INTEGER PRIMARY KEY, n INT AS (1), m INT);
		CREATE TABLE strict(a INT NOT NULL, b TEXT NOT NULL);
		CREATE TABLE nocase(w TEXT COLLATE NOCASE PRIMARY KEY, n);
		CREATE TABLE part(a INT, n INT); CREATE UNIQUE INDEX p ON part(a) WHERE n > 0;
		CREATE TABLE two(a INT, b INT, n INT, UNIQUE(b, a));
		CREATE VIEW seen AS SELECT * FROM words;'
	{
		base
		printf '[table %s]\ncolumns = %s\n' \
			gone 'a int key, n counter' \
			nokey 'a int key, n counter' \
			types 'a int key, n counter, t text, d double' \
			gen 'a int key, n counter, k counter' \
			strict 'a int' nocase 'w text key, n counter' \
			part 'a int key, n counter' \
			two 'a int key, b int key, n counter' \
			seen 'word text key, n counter'
	} >"$conf"
	sha256sum "$db" >"$tmp/sum"
	run -1 wbc-flusher --config "$conf" --check-config
	sha256sum -c "$tmp/sum"
	[ ! -s "$db-wal" ]
	for words in 'table gone: the database has no such table' \
		'table nokey: its key columns are covered by no PRIMARY KEY or UNIQUE index' \
		'table types: key: key column types.a is of type REAL' \
		'table types: column n is of type TEXT, which keeps numbers as texts' \
		'table types: column t is of type INTEGER, which makes numbers of texts' \
		'table types: column d is of type TEXT, which takes no fractions' \
		'table gen: column n is generated' \
		'table gen: column k is missing in the database' \
		'table strict: column b is NOT NULL without a DEFAULT' \
		'table nocase: key: key column nocase.w compares as NOCASE' \
		'table part: its key columns are covered by no' \
		'table seen: it is a view'; do
		[[ $output == *"$words"* ]] || { echo "missing: $words in $output"; false; }
	done
	[[ $output != *'table two'* ]]
	rm "$logs"
	run -1 wbc-flusher --config "$conf" --check-config
	[[ $output == *"connection logs: $logs: No such file"* ]]
}

@test "the annotated example is what it says" {
	cd "$tmp"
	sed -n 's/^; \(CREATE TABLE hits.*\)/\1/p' "$WBC_SRC/examples/wbc-flusher.conf" | sqlite3 app.db
	sed -n 's/^; \(CREATE TABLE events.*\)/\1/p' "$WBC_SRC/examples/wbc-flusher.conf" | sqlite3 logs.db
	run -0 wbc-flusher --config "$WBC_SRC/examples/wbc-flusher.conf" --check-config
	[[ $output == 'connections: 2, tables: 2: all fits' ]]
	# What it calls the default is it.
	wbc-flusher --config "$WBC_SRC/examples/wbc-flusher.conf" --print-config >plain
	sed 's/^;\([a-z_]* = \)/\1/' "$WBC_SRC/examples/wbc-flusher.conf" >said
	wbc-flusher --config said --print-config | diff plain -
}

start_configured()
{
	export WBC_SEGMENT=$segment
	make_small
	in_background wbc-flusher --config "$conf"
	flusher=$pid
	until_true flusher_is_alive
}

# reload EVENT: SIGHUP, and wait until so many lines of it are there.
reload()
{
	local n
	n=$(grep -c "event=$1 " "$tmp/background" || true)
	kill -HUP "$flusher"
	until_true eval "[ \$(grep -c 'event=$1 ' '$tmp/background') -gt $n ]"
}

add()
{
	wbc-shmctl add --table "$1" "$2" "n=$3"
}

of_words='words(word text key, n counter)'
of_events='logs.events(kind text key, n counter)'

# lock_database FILE [SQL]: until unlock_database.
lock_database()
{
	mkfifo "$tmp/pipe"
	exec 9<>"$tmp/pipe"
	in_background sqlite3 "$1" <&9
	printf '%s\n' '.bail on' '.timeout 5000' "${2-}" 'BEGIN EXCLUSIVE;' \
		".system touch '$tmp/locked'" >&9
	until_true [ -e "$tmp/locked" ]
}

unlock_database()
{
	printf '%s\n' 'ROLLBACK;' '.quit' >&9
	exec 9>&-
}

@test "two databases: while one is locked the other one is flushed, and the end says which is away" {
	make_databases
	{ base 'flush_interval = 1h'; echo "$words"; echo "$events"; } >"$conf"
	start_configured
	add "$of_words" word=a 1
	add "$of_events" kind=a 1
	run -0 wbc-shmctl flush
	[ "$(sqlite3 "$logs" 'SELECT n FROM events')" = 1 ]
	lock_database "$logs"
	add "$of_words" word=a 10
	add "$of_events" kind=a 20
	run -0 wbc-shmctl flush --timeout 60s words
	[ "$(sqlite3 "$db" 'SELECT n FROM words')" = 11 ]
	run -1 wbc-shmctl flush --connection logs --timeout 200ms
	run -0 wbc-shmctl flush --connection default --timeout 60s
	run -3 wbc-shmctl flush --connection nobody
	[[ $output == *'no table of that connection'* ]]
	run -2 wbc-shmctl flush --connection logs words
	until_true grep -q 'event=database-away connection=logs table=logs.events' "$tmp/background"
	add "$of_words" word=a 100
	end "$flusher"
	[ "$rc" = 0 ]
	grep -q 'event=left-away connection=logs tables=1 rows=1' "$tmp/background"
	! grep -q 'event=left-away connection=default' "$tmp/background"
	[ "$(sqlite3 "$db" 'SELECT n FROM words')" = 111 ]
	unlock_database
	in_background wbc-flusher --config "$conf"
	flusher=$pid
	until_true flusher_is_alive
	run -0 wbc-shmctl flush --connection logs --timeout 60s
	[ "$(sqlite3 "$logs" 'SELECT n FROM events')" = 21 ]
}

@test "two databases, both locked: the end tries each once and says so" {
	make_databases
	{ base 'flush_interval = 1h'; echo "$words"; echo "$events"; } >"$conf"
	start_configured
	add "$of_words" word=a 1
	add "$of_events" kind=a 1
	run -0 wbc-shmctl flush
	lock_database "$db" "ATTACH '$logs' AS logs;"
	add "$of_words" word=a 1
	add "$of_events" kind=a 1
	# Their attempts overlap, so that one of them is always on its way.
	run -1 wbc-shmctl flush --timeout 1s words
	end "$flusher"
	[ "$rc" = 0 ]
	grep -q 'event=left-away connection=default tables=1 rows=1 tried=[01]$' "$tmp/background"
	grep -q 'event=left-away connection=logs tables=1 rows=1 tried=[01]$' "$tmp/background"
	unlock_database
}

@test "SIGHUP: a table comes, goes and comes back, and nothing is lost" {
	make_databases
	{ base 'flush_interval = 1h'; echo "$words"; } >"$conf"
	start_configured
	add "$of_words" word=a 1
	add "$of_events" kind=a 2
	run -1 wbc-shmctl flush
	[[ $output == *'logs.events'*WBC_E_TABLE* ]]
	{ base 'flush_interval = 1h'; echo "$words"; echo "$events"; } >"$conf"
	reload reloaded
	run -0 wbc-shmctl flush --timeout 60s
	[ "$(sqlite3 "$logs" 'SELECT n FROM events')" = 2 ]
	{ base 'flush_interval = 1h'; echo "$events"; } >"$conf"
	reload reloaded
	add "$of_words" word=a 10
	add "$of_events" kind=a 20
	run -1 wbc-shmctl flush --timeout 60s
	[[ $output == *'parked: words'*WBC_E_TABLE* ]]
	[ "$(sqlite3 "$logs" 'SELECT n FROM events')" = 22 ]
	{ base 'flush_interval = 1h'; echo "$words"; echo "$events"; } >"$conf"
	reload reloaded
	run -0 wbc-shmctl flush --timeout 60s
	[ "$(sqlite3 "$db" 'SELECT n FROM words')" = 11 ]
}

@test "SIGHUP: a file that is wrong, or moves what must stay, changes nothing" {
	make_databases
	{ base 'flush_interval = 1h'; echo "$words"; } >"$conf"
	start_configured
	{ echo "$events"; echo 'speed = 1'; base 'flush_interval = 1h'; } >"$conf"
	reload reload-failed
	grep -q "reload-failed reason=\"$conf:5: speed: \[table\] has no such key" "$tmp/background"
	{ base 'flush_interval = 1h'; echo "$events"; } | sed 's/^journal = .*/&x/' >"$conf"
	reload reload-failed
	grep -q 'reason="\[flush\] journal cannot change while the flusher runs' "$tmp/background"
	{ echo '[segment]'; echo 'max_size = 8M'; base 'flush_interval = 1h' | sed 1d; echo "$events"; } >"$conf"
	reload reload-failed
	grep -q 'reason="\[segment\] max_size cannot change' "$tmp/background"
	base 'flush_interval = 1h' | sed 's/^path = .*/name = other/' >"$conf"
	reload reload-failed
	grep -q 'reason="\[segment\] name cannot change' "$tmp/background"
	rm "$conf"
	reload reload-failed
	add "$of_words" word=a 1
	run -0 wbc-shmctl flush words
	add "$of_events" kind=a 2
	run -1 wbc-shmctl flush
	[[ $output == *'logs.events'*WBC_E_TABLE* ]]
}

@test "SIGHUP: a connection's file that was moved goes on, and another database parks its tables" {
	make_databases
	{ base 'flush_interval = 1h'; echo "$words"; echo "$events"; } >"$conf"
	start_configured
	add "$of_events" kind=a 1
	run -0 wbc-shmctl flush
	sqlite3 "$logs" ".backup '$tmp/empty.db'"
	sqlite3 "$tmp/empty.db" 'DROP TABLE wbc_ledger; UPDATE events SET n = 0'
	{ base 'flush_interval = 1h'; echo "$words"; echo "$events"; } |
		sed "s|$logs|$tmp/empty.db|" >"$conf"
	reload reloaded
	add "$of_events" kind=a 10
	run -1 wbc-shmctl flush --connection logs --timeout 60s
	[[ $output == *'it is another database'*WBC_E_PARKED* ]]
	add "$of_words" word=a 1
	run -0 wbc-shmctl flush --connection default
	sqlite3 "$logs" ".backup '$tmp/moved.db'"
	sed -i "s|$tmp/empty.db|$tmp/moved.db|" "$conf"
	reload reloaded
	until_true wbc-shmctl flush --connection logs --timeout 60s
	[ "$(sqlite3 "$tmp/moved.db" 'SELECT n FROM events')" = 11 ]
	[ "$(sqlite3 "$tmp/empty.db" 'SELECT n FROM events')" = 0 ]
	[ "$(sqlite3 "$logs" 'SELECT n FROM events')" = 1 ]
}

@test "SIGHUP under load: tables and connections come and go, sums are exact" {
	make_databases
	{ base 'flush_interval = 20ms'; echo "$words"; echo "$events"; } >"$tmp/both"
	{ base 'flush_interval = 30ms' 'journal_interval = 10ms'; echo "$events"; } >"$tmp/one"
	{ base 'flush_interval = 20ms' | sed '/connection logs/,$d'; echo "$words"; } >"$tmp/other"
	cp "$tmp/both" "$conf"
	start_configured
	add "$of_words" word=a 1
	add "$of_events" kind=a 1
	for i in 1 2 3; do
		in_background bash -c 'for n in $(seq 40); do
			wbc-shmctl add words word=a n=1
			wbc-shmctl add logs.events kind=a n=2
		done'
		adders+=("$pid")
	done
	for i in $(seq 8); do
		for which in one other both; do
			cp "$tmp/$which" "$conf"
			reload reloaded
		done
	done
	for pid in "${adders[@]}"; do
		wait "$pid"
	done
	until_true wbc-shmctl flush --timeout 60s
	[ "$(sqlite3 "$db" 'SELECT n FROM words')" = 121 ]
	[ "$(sqlite3 "$logs" 'SELECT n FROM events')" = 241 ]
	wbc-shmdump check
}

@test "the service manager is told of a reload, and of its end" {
	command -v perl >/dev/null || skip "perl is missing"
	make_databases
	{ base; echo "$words"; } >"$conf"
	in_background perl -MSocket -e '
		socket(S, PF_UNIX, SOCK_DGRAM, 0) or die;
		bind(S, sockaddr_un($ARGV[0])) or die;
		$| = 1;
		while (defined recv(S, $got, 4096, 0)) {
			$got =~ s/\n/ /g;
			print "told: $got\n";
		}' "$tmp/notify"
	until_true [ -S "$tmp/notify" ]
	export NOTIFY_SOCKET=$tmp/notify
	start_configured
	reload reloaded
	end "$flusher"
	until_true grep -q 'told: STOPPING' "$tmp/background"
	sed -n 's/MONOTONIC_USEC=[1-9][0-9]*/MONOTONIC_USEC=N/; s/^told: //p' \
		"$tmp/background" >"$tmp/heard"
	diff "$tmp/heard" - <<-END
	READY=1
	RELOADING=1 MONOTONIC_USEC=N
	READY=1
	STOPPING=1
	END
}

@test "a table has its own max_queue_rows and flush_interval" {
	make_databases
	{ base 'flush_interval = 1h'; echo "$words"; echo 'max_queue_rows = 3'
		echo "$events"; } >"$conf"
	start_configured
	for key in a b; do add "$of_words" word=$key 1; add "$of_events" kind=$key 1; done
	wbc-shmctl sync
	[ "$(sqlite3 "$db" 'SELECT count(*) FROM words')" = 0 ]
	for key in c d; do add "$of_words" word=$key 1; add "$of_events" kind=$key 1; done
	wbc-shmctl sync
	until_true eval '[ "$(sqlite3 "$db" "SELECT count(*) FROM words")" -ge 3 ]'
	[ "$(sqlite3 "$logs" 'SELECT count(*) FROM events')" = 0 ]
	{ base 'flush_interval = 1h'; echo "$words"; echo "$events"; echo 'flush_interval = 10ms'; } >"$conf"
	reload reloaded
	until_true eval '[ "$(sqlite3 "$logs" "SELECT count(*) FROM events")" = 4 ]'
}

@test "at the start and after a reload the log has what does not fit, by name" {
	make_databases
	sqlite3 "$logs" 'ALTER TABLE events RENAME COLUMN n TO m'
	{ base 'flush_interval = 1h'; echo "$words"; echo "$events"; } >"$conf"
	start_configured
	until_true grep -q 'event=mismatch table=logs.events reason="column n is missing in the database"' "$tmp/background"
	! grep -q 'event=mismatch table=default.words' "$tmp/background"
	add "$of_events" kind=a 1
	run -1 wbc-shmctl flush --timeout 60s
	[[ $output == *'logs.events'*WBC_E_PARKED* ]]
	sqlite3 "$db" 'ALTER TABLE words RENAME COLUMN n TO m'
	reload reloaded
	until_true grep -q 'event=mismatch table=default.words' "$tmp/background"
	sqlite3 "$logs" 'ALTER TABLE events RENAME COLUMN m TO n'
	until_true wbc-shmctl flush --connection logs --timeout 60s
	[ "$(sqlite3 "$logs" 'SELECT n FROM events')" = 1 ]
}
