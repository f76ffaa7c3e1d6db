#!/bin/bash
# SPDX-License-Identifier: MIT
# The journal of a real daemon: what a new start finds, what it does with what
# it cannot use, and a file system that is full.
cd "$(dirname "$0")/../.." || exit 2
. tests/processes.sh
export BUILD=${BUILD:-$PWD/build}
control=/usr/lib/xen-4.17/bin/xenstore-control
dir=$(mktemp -d "${TMPDIR:-/tmp}/journal.XXXXXX") || exit 2
export XENSTORED_RUNDIR=$dir/run XENSTORED_PATH=$dir/run/socket
mkdir "$dir/run"
n=0 rc=0 pid=

ok() {
	n=$((n + 1))
	if [ "$1" -eq 0 ]; then
		echo "ok $n - $2"
	else
		echo "not ok $n - $2"
		rc=1
		sed 's/^/# /' "$dir/log"
	fi
}
skip() { n=$((n + 1)); echo "ok $n - $2 # skip $1"; }
# start OPTION...
start() {
	setsid "$BUILD/xenstored" -N --xenport none --pid-file "$dir/pid" "$@" \
		>"$dir/log" 2>&1 &
	pid=$!
	for i in {1..400}; do
		timeout 5 xenstore-exists -s / 2>/dev/null && return 0
		sleep 0.05
	done
	return 1
}
stop() {
	kill "$pid" && wait "$pid"
}
trap '[ -z "$pid" ] || kill_group "$pid"; umount "$dir/run" 2>/dev/null; rm -rf "$dir"' EXIT
# The one whose memory has the journal.
serving() {
	local p

	for p in $(pgrep -P "$pid"); do
		grep -q 'journal' "/proc/$p/maps" && echo "$p"
	done
}
tree() { timeout 5 xenstore-ls -fp; }

start
for i in 1 2 3; do xenstore-write "/t/$i/z" "$i" "/t/$i/a" ''; done
xenstore-chmod /t/2 n0 r5 b6
xenstore-rm /t/3
tree >"$dir/before"
stop
ok $? "it ends on SIGTERM"
start
tree | cmp -s - "$dir/before"
ok $? "started again it holds what it held"
kill_group "$pid"
start
tree | cmp -s - "$dir/before"
ok $? "also after all of it was killed at once"
if command -v sqlite3 >/dev/null; then
	stop
	start
	for i in {1..200}; do
		got=$(sqlite3 "$dir/run/state.db" "SELECT value, permissions,
			owner FROM nodes WHERE path = '/t/2/z'")
		[ -n "$got" ] && break
		sleep 0.1
	done
	[ "$got" = "2|n0|0" ]
	ok $? "sqlite3 reads the nodes beside the daemon"
	missing=$(sqlite3 "$dir/run/state.db" "SELECT m.name, c.name FROM
		sqlite_master m, pragma_table_info(m.name) c
		WHERE m.type = 'table'" | while IFS='|' read -r table column; do
		awk -v table="$table" -v column="$column" -F'\t' '
			$1 != "" { mine = $1 == table }
			mine && $2 ~ "(^|[ ,])" column "([ ,]|$)" { found = 1 }
			END { exit !found }' xenstored/xenstored.8 ||
			echo "$table.$column"
	done)
	[ -z "$missing" ]
	ok $? "and the manual page tells what each column is called"
else
	skip "no sqlite3" "sqlite3 reads the nodes beside the daemon"
fi
grep -q written <<<"$($control journal)"
ok $? "CONTROL journal tells that it is written"
stop

start -R
tree | grep -q /t/
ok $((!$?)) "-R starts empty"
xenstore-write /t/new 1
kill -9 "$(serving)"
sleep 0.2
[ "$(timeout 5 xenstore-read /t/new)" = 1 ]
ok $? "and is no reason to forget when only the worker dies"
# Writes until a checkpoint is due, while somebody else has the database locked.
PYTHONPATH=tests/integration timeout 30 /usr/bin/python3 -B - "$dir/run" <<-'PY'
	import sqlite3, sys, time
	from xswire import Client
	db = sqlite3.connect(sys.argv[1] + "/state.db", isolation_level=None)
	db.execute("BEGIN IMMEDIATE")
	client = Client(sys.argv[1] + "/socket")
	for i in range(5000):
	    client.write(b"/t/many", b"%2000d" % i)
	time.sleep(2.5)
	client.rm(b"/t/many")
PY
[ "$(grep -c 'cannot write the checkpoint' "$dir/log")" = 1 ]
ok $? "a database that somebody else has locked is told once, and it serves"
told() {
	for i in {1..300}; do
		[ "$(grep -c "$1" "$dir/log")" = "$2" ] && return
		sleep 0.1
	done
	return 1
}
told 'checkpoints can be written again' 1
ok $? "... and when it is free again"
PYTHONPATH=tests/integration timeout 60 /usr/bin/python3 -B - "$dir" <<-'PY'
	import sqlite3, sys, time
	from xswire import Client
	db = sqlite3.connect(sys.argv[1] + "/run/state.db", isolation_level=None)
	db.execute("BEGIN")
	db.execute("SELECT count(*) FROM nodes").fetchone()
	client = Client(sys.argv[1] + "/run/socket")
	for i in range(5000):
	    client.write(b"/t/many", b"%2000d" % i)
	end = time.monotonic() + 30
	while time.monotonic() < end:
	    with open(sys.argv[1] + "/log") as f:
	        if "waits for who reads state.db" in f.read():
	            break
	    time.sleep(.1)
	time.sleep(2)
	client.rm(b"/t/many")
PY
told 'waits for who reads state.db' 1
ok $? "who reads it for long is told of once, and it serves"
told 'checkpoints can be written again' 2
ok $? "... and when he has done"
stop

for damage in boot version cut garbage; do
	start -R
	xenstore-write /t/kept 1
	stop
	rm -f "$dir"/run/*.bad
	file=$(ls "$dir"/run/journal.[0-9]* | tail -n 1)
	case $damage in
	boot) printf 00000000 | dd of="$file" bs=1 seek=16 conv=notrunc 2>/dev/null
		why='started again since' ;;
	version) printf 'c' | dd of="$file" bs=1 seek=8 conv=notrunc 2>/dev/null
		why='another version' ;;
	cut) truncate -s 100 "$file"; why='cut off' ;;
	garbage) head -c 300 /dev/zero | dd of="$file" bs=1 seek=4300 \
		conv=notrunc 2>/dev/null; why='damaged at byte' ;;
	esac
	start
	grep -q "$why" "$dir/log" && ls "$dir"/run/journal.*.bad >/dev/null &&
		timeout 5 xenstore-write /t/goes/on 1 &&
		timeout 5 xenstore-exists /tool/xenstored &&
		timeout 5 xenstore-chmod @releaseDomain n0 r1
	ok $? "a journal ($damage): it says so, keeps it aside, and goes on"
	stop
done
rm -f "$dir"/run/*.bad

start -R
for i in {1..300}; do echo "/t/$i $i"; done | xargs xenstore-write
stop
start
for i in {1..100}; do
	[ "$(stat -c %s "$dir/run/state.db")" -gt 16384 ] && break
	sleep 0.1
done
stop
head -c 100k /dev/urandom | dd of="$dir/run/state.db" bs=4096 seek=1 \
	conv=notrunc 2>/dev/null
start
grep -q 'state.db is not used: it is damaged' "$dir/log" &&
	[ -e "$dir/run/state.db.bad" ] && timeout 5 xenstore-write /t/more 1 &&
	timeout 5 xenstore-exists /tool/xenstored
ok $? "a damaged checkpoint: it says so, keeps it aside, and goes on"
stop
start
[ "$(timeout 5 xenstore-read /t/more)" = 1 ] && ! grep -q checkpoint "$dir/log"
ok $? "... with another one"
stop
rm -f "$dir"/run/*.bad

start -R
for i in 1 2 3 4 5 6; do xenstore-write "/cut$i" "before-the-$i"; done
[ "$(stat -c %a "$dir"/run/journal.[0-9] "$dir"/run/state.db* | sort -u)" = 600 ]
ok $? "nobody else may read the files"
stop
file=$(ls "$dir"/run/journal.[0-9]* | tail -n 1)
at=$(grep -obUa before-the-4 "$file" | tail -n 1)
truncate -s "${at%%:*}" "$file"
start
[ "$(tree | grep -c ^/cut)" = 3 ]
ok $? "of a journal that is cut off all that is there is read"
stop
rm -f "$dir"/run/*.bad

# heals WHAT [OPTION...]: and then has kept all
heals() {
	for i in {1..300}; do
		grep -q '^written' <<<"$($control journal)" && break
		sleep 0.1
	done
	grep -q 'journal is whole again' "$dir/log"
	ok $? "$1"
	xenstore-write /t/late 1
	tree >"$dir/before"
	kill_group "$pid"
	start "${@:2}"
	tree | cmp -s - "$dir/before"
	ok $? "and nothing is missing after that"
	stop
}

start -R --journal off
xenstore-write /t/x 1
grep -q off <<<"$($control journal)"
ok $? "CONTROL journal tells that there is none"
stop
start --journal off
tree | grep -q /t/x
ok $((!$?)) "without a journal nothing is kept"
stop
start --journal "$dir/later"
grep -q 'cannot write the journal.*No such file' "$dir/log" &&
	timeout 5 xenstore-write /t/y 1
ok $? "a directory that is not there is told, and it serves"
mkdir "$dir/later"
heals "when it is there it is used" --journal "$dir/later"

# A small file system of our own
if mount -t tmpfs -o size=8m none "$dir/run" 2>/dev/null; then
	start
	xenstore-write /t/early 1
	head -c 8m /dev/zero >"$dir/run/filler" 2>/dev/null
	value=$(head -c 2000 /dev/zero | tr '\0' x)
	for i in {1..60}; do
		for j in {1..30}; do
			echo "/t/much/$i/$j $value"
		done | xargs -n 60 timeout 10 xenstore-write || break
	done
	[ "$i" = 60 ]
	ok $? "a full file system: clients are served"
	grep -q 'cannot write the journal' "$dir/log" &&
		grep -q "IN MEMORY" <<<"$($control journal)"
	ok $? "the log and CONTROL journal tell it"
	sleep 2.2	# it tries again each second
	[ -z "$(grep -o 'cannot [a-z ]*' "$dir/log" | sort | uniq -d)" ]
	ok $? "... once"
	rm "$dir/run/filler"
	heals "with room again it heals"
	rm -f "$dir"/run/*
	head -c 8m /dev/zero >"$dir/run/filler" 2>/dev/null
	start
	grep -q 'cannot write the journal' "$dir/log" &&
		timeout 5 xenstore-write /t/early 1
	ok $? "full at the start: it says so, and clients are served"
	kill -9 "$(serving)"
	sleep 0.2
	[ "$(timeout 5 xenstore-read /t/early)" = 1 ]
	ok $? "... and the death of who serves them costs nothing"
	rm "$dir/run/filler"
	heals "with room again it heals"
	umount "$dir/run"
else
	skip "cannot mount" "a full file system"
fi

# What has been opened is written; there is nothing new, and no other name.
if mount --bind "$dir/run" "$dir/run" 2>/dev/null; then
	umount "$dir/run"
	start
	xenstore-write /t/early 1
	mount --bind "$dir/run" "$dir/run" &&
		mount -o remount,bind,ro "$dir/run"
	value=$(head -c 2000 /dev/zero | tr '\0' y)
	for i in {1..200}; do
		for j in {1..30}; do
			echo "/t/much/$j $value"
		done | xargs -n 60 timeout 10 xenstore-write || break
	done
	[ "$i" = 200 ] && timeout 5 xenstore-read /t/early >/dev/null
	ok $? "a file system that is read-only now: clients are served"
	grep -q 'Read-only file system' "$dir/log" &&
		! grep -q '^written' <<<"$($control journal)"
	ok $? "the log and CONTROL journal tell it"
	tree >"$dir/before"
	kill -9 "$(serving)"
	sleep 0.2
	tree | cmp -s - "$dir/before"
	ok $? "... and the death of who serves them costs nothing"
	mount -o remount,bind,rw "$dir/run"
	heals "writable again it heals"
	umount "$dir/run"
else
	skip "cannot mount" "a read-only file system"
fi
echo "1..$n"
exit $rc
