#!/bin/bash
# SPDX-License-Identifier: MIT
# The daemon as a process: command line, start, signals, files, end.
set -u
cd "$(dirname "$0")/../.." || exit 2
. tests/processes.sh
BUILD=${BUILD:-$PWD/build}
PATH=$BUILD:$PATH
tmp=$(mktemp -d) || exit 1
n=0 failed=0 pids=()
unset XENSTORED_PATH NOTIFY_SOCKET

cleanup() {
	for pid in "${pids[@]}"; do
		kill_group "$pid"
	done
	for f in "$tmp"/*/pid; do
		[ -s "$f" ] && kill "$(cat "$f")" 2>/dev/null
	done
	wait
	rm -rf "$tmp"
}
trap cleanup EXIT

ok() { # ok STATUS SENTENCE
	n=$((n + 1))
	if [ "$1" = 0 ]; then
		echo "ok $n - $2"
	else
		echo "not ok $n - $2"; failed=1
	fi
}
is() { # is GOT WANTED SENTENCE
	[ "$1" = "$2" ]
	local rc=$?
	ok $rc "$3"
	[ $rc = 0 ] || printf '# got    "%s"\n# wanted "%s"\n' "$1" "$2"
}
has() { # has TEXT PATTERN SENTENCE
	[[ $1 =~ $2 ]]
	local rc=$?
	ok $rc "$3"
	[ $rc = 0 ] || printf '# got    "%s"\n# wanted %s\n' "$1" "$2"
}
wait_for() { # wait_for COMMAND...
	for _ in $(seq 200); do
		"$@" >/dev/null 2>&1 && return 0
		sleep 0.05
	done
	return 1
}
dir() { mkdir -p "$tmp/$1"; export XENSTORED_RUNDIR=$tmp/$1; }
# In the background of this shell, in the foreground of its own.
run() {
	setsid xenstored -N --xenport none "$@" >"$tmp/log" 2>&1 &
	pid=$!
	pids+=("$pid")
	wait_for xenstore-exists /
}
stop() { kill "$pid"; wait "$pid"; }
refused() { timeout 10 xenstored --xenport none "$@" 2>&1; echo "status $?"; }

# ---- the command line --------------------------------------------------------

dir bad
one_line() { # one_line OPTIONS... -- PATTERN SENTENCE
	local args=()
	while [ "$1" != -- ]; do args+=("$1"); shift; done
	out=$(refused "${args[@]}")
	has "$out" "$2" "$3"
	is "$(wc -l <<<"$out")" 2 "... in one line"
}
one_line --nonsense -- "unrecognized option '--nonsense'.*status 1" "an unknown option is refused"
one_line more -- 'FATAL: .*No arguments desired.*status 1' "an argument is refused"
one_line -E 12x -- 'FATAL: invalid parameter value "12x".*status 1' "a number that is none is refused"
odd=()
for option in -E -S -W -t -A -M -Qnodes= -qmemory= -wwatch-event= -m --priv-domid= --ring-scan-interval=; do
	for number in '' x 12x 0x10 ' 5' +5 -1 2147483648 99999999999999999999; do
		[[ $(refused "$option${number:- }") =~ ^'FATAL: invalid parameter value "'"${number:- }"'"'.*'status 1'$ ]] ||
			odd+=("$option$number")
	done
done
is "${odd[*]}" "" "... with every option that takes one, and one that is too large"
one_line -Q nodes -- 'FATAL: quotas must be specified via <what>=<nb>.*status 1' "a quota without a value is refused"
one_line -Q apples=3 -- 'FATAL: unknown quota "apples".*status 1' "an unknown quota is refused"
one_line -q nodes=3 -- 'FATAL: unknown quota "nodes".*status 1' "a soft quota that is none is refused"
one_line -w lunch=3 -- 'FATAL: unknown timeout "lunch".*status 1' "an unknown timeout is refused"
one_line --trace-control=+lunch -- 'FATAL: illegal trace switch "\+lunch".*status 1' "an unknown trace switch is refused"
one_line --xenport moon -- 'FATAL: --xenport must be auto, xen, vmm or none, not "moon".*status 1' "an unknown port is refused"
has "$(refused --help)" 'Usage: xenstored .*status 0' "--help prints the usage and succeeds"
is "$(xenstored --help 2>/dev/null)" "" "... on standard error"

for opts in "-F $tmp/bad/pid -E 5 -S 2000 -W 5 -t 3 -A 4 -M 100 -w watch-event=3 -K" \
	"-D -P -I -R -V" "--internal-db=off -Ion" "-Q memory=5 -q memory=4 -m 0 --priv-domid=0" \
	"--event 5 --trace-control=+acc --trace-control=-io --ring-scan-interval 5"; do
	dir accepted
	# shellcheck disable=SC2086
	run $opts
	ok $? "accepted: $opts"
	stop
done

dir quota
run -Q nodes=17 -M 4000 -q memory=99
is "$(xenstore-control quota | sed -n 's/^nodes *: *\([0-9]*\).*/\1/p')" 17 "a quota of the command line counts"
is "$(xenstore-control quota | sed -n 's/^path-max *: *\([0-9]*\).*/\1/p')" 2048 "path-max is capped at 2048"
is "$(xenstore-control quota-soft | sed -n 's/^memory *: *\([0-9]*\).*/\1/p')" 99 "a soft quota counts"
stop

# ---- places ------------------------------------------------------------------

dir "$(printf 'long%.0s' $(seq 40))"
one_line -- "socket: File name too long.*status 1" "a socket path that is too long is refused"
dir closed
XENSTORED_RUNDIR=$tmp/none/such one_line -- 'cannot listen at .*/none/such/socket: No such file.*status 1' \
	"a run directory that cannot be made is refused"
if [ "$(id -u)" = 0 ] && command -v setpriv >/dev/null; then
	# A copy, for the build may be where only root may look.
	cp "$BUILD/xenstored" "$tmp/anyone"
	chmod 755 "$tmp"; chmod 555 "$tmp/closed"
	out=$(setpriv --reuid 65534 --regid 65534 --clear-groups \
		env XENSTORED_RUNDIR="$tmp/closed" timeout 10 "$tmp/anyone" --xenport none 2>&1; echo "status $?")
	has "$out" 'cannot listen at .*: Permission denied.*status 1' "a run directory that cannot be written is refused"
fi
dir mode
run
is "$(stat -c %a "$tmp/mode/socket")" 600 "the socket has mode 0600"
stop
is "$(ls "$tmp/mode")" "journal.1
state.db
state.db-journal" "a clean end leaves nothing but the journal and its checkpoint"
dir vmms
setsid xenstored -N --xenport vmm -F "$tmp/vmms/file" >"$tmp/log" 2>&1 &
pid=$!
pids+=("$pid")
wait_for xenstore-exists /
is "$(stat -c %a "$tmp/vmms/vmm")" 600 "the socket of VMMs has mode 0600"
stop
is "$(ls "$tmp/vmms")" "journal.1
state.db
state.db-journal" "... and a clean end removes it, and the pid file"
dir made/by
XENSTORED_RUNDIR=$tmp/made/fresh run
XENSTORED_RUNDIR=$tmp/made/fresh xenstore-exists /; ok $? "a missing run directory is made"
stop
XENSTORED_PATH=$tmp/elsewhere run
XENSTORED_PATH=$tmp/elsewhere xenstore-exists /; ok $? "XENSTORED_PATH names the socket"
stop

# ---- one daemon to a socket --------------------------------------------------

dir one
run
first=$pid
xenstore-write /mine 1
out=$(refused)
has "$out" 'is served by a running daemon; it keeps it.*status 1' "a second daemon is refused"
is "$(xenstore-read /mine)" 1 "... and the first goes on"
kill_group "$first"
dir stale
python3 - "$tmp/stale/socket" <<-'PY' 2>/dev/null || /usr/bin/python3 -c "import socket,sys; socket.socket(socket.AF_UNIX).bind('$tmp/stale/socket')"
	import socket, sys
	socket.socket(socket.AF_UNIX).bind(sys.argv[1])
PY
run
ok $? "a socket that nobody serves is replaced"
stop

# ---- in the background -------------------------------------------------------

dir bg
out=$(xenstored --xenport none -F "$tmp/bg/pid" 2>&1); rc=$?
is "$rc:$out" "0:" "in the background it starts without a word"
xenstore-exists /; ok $? "... and serves when the command returns"
bg=$(cat "$tmp/bg/pid")
kill -0 "$bg"; ok $? "the pid file names a living process"
is "$(stat -c %a "$tmp/bg/pid")" 600 "the pid file has mode 0600"
is "$(ps -o sid= -p "$bg" | tr -d ' ' | grep -c "^$$\$")" 0 "it has left the session"
is "$(readlink "/proc/$bg/cwd")" / "it has left the directory"
is "$(readlink "/proc/$bg/fd/2")" /dev/null "standard error is closed"
out=$(XENSTORED_PATH=$tmp/bg/other timeout 5 xenstored --xenport none -F "$tmp/bg/pid" 2>&1); rc=$?
is "$rc:$out" "0:" "a pid file that is locked ends a second one silently, status 0"
xenstore-exists /; ok $? "... and the first goes on"
[ ! -e "$tmp/bg/other" ]; ok $? "... without another socket"
kill "$bg"
wait_for [ ! -d "/proc/$bg" ]; ok $? "SIGTERM ends it"
[ ! -e "$tmp/bg/socket" ]; ok $? "... and removes the socket"
(cd "$tmp/bg" && XENSTORED_PATH=here xenstored --xenport none -F pid) &&
	XENSTORED_PATH=$tmp/bg/here xenstore-exists /
ok $? "a relative XENSTORED_PATH is that of where it was started"
kill "$(cat "$tmp/bg/pid")"

# ---- signals, trace, service manager ----------------------------------------

dir trace
cd "$tmp/trace" || exit 2
run -T relative.log --trace-control=+acc
cd - >/dev/null || exit 2
xenstore-write /traced 'a value'
xenstore-read /none 2>/dev/null
sleep 0.1
log=$(tr -d '\0' <"$tmp/trace/relative.log")
is "$(head -n 2 "$tmp/trace/relative.log" | tr '\n' '|')" '|***|' "the trace file begins with an empty line and stars"
is "$(stat -c %a "$tmp/trace/relative.log")" 600 "the trace file has mode 0600"
has "$log" 'io: IN 0x[0-9a-f]+ \(d0\) [0-9]{8} [0-9:]{8} WRITE \(/traced a value\)' "requests are traced"
has "$log" 'io: OUT 0x[0-9a-f]+ \(d0\) [0-9]{8} [0-9:]{8} WRITE \(OK \)' "replies are traced"
has "$log" 'io: OUT\(ERR\) 0x[0-9a-f]+ \(d0\) [0-9]{8} [0-9:]{8} ERROR \(ENOENT \)' "errors are traced"
mv "$tmp/trace/relative.log" "$tmp/trace/old.log"
kill -HUP "$pid"
wait_for [ -s "$tmp/trace/relative.log" ]; ok $? "SIGHUP opens the trace file again"
xenstore-write /after 1
xenstore-control print "hello there" >/dev/null
sleep 0.1
has "$(tr -d '\0' <"$tmp/trace/relative.log")" 'WRITE \(/after 1\).*control: hello there' "... and traces go there"
[ "$(grep -c /after "$tmp/trace/old.log")" = 0 ]; ok $? "... and not into the old one"
size=$(stat -c %s "$tmp/trace/relative.log")
xenstore-control log off >/dev/null
xenstore-write /after 2
sleep 0.1
[ "$(stat -c %s "$tmp/trace/relative.log")" -le $((size + 1000)) ]; ok $? "log off ends tracing"
xenstore-control logfile "$tmp/trace/third" >/dev/null && xenstore-write /after 3 && sleep 0.1
has "$(tr -d '\0' <"$tmp/trace/third")" 'WRITE \(/after 3\)' "logfile opens another file"
xenstore-control log +wrl >/dev/null
PYTHONPATH=tests/integration timeout 20 /usr/bin/python3 -B - "$tmp/trace/socket" <<-'PY'
	import sys, time
	from xswire import HEADER, OP, Client, XSError
	loser, other = Client(sys.argv[1]), Client(sys.argv[1])
	for attempt in 1, 2:
	    tx = int(loser.call("TRANSACTION_START", b"\0")[:-1])
	    loser.call("READ", b"/traced\0", tx)
	    loser.call("WRITE", b"/mine\0", tx)
	    other.sock.sendall(HEADER.pack(OP["WRITE"], 0, 0, 9) + b"/traced\0%d" % attempt)
	    time.sleep(0.1)
	    try:
	        loser.call("TRANSACTION_END", b"T\0", tx)
	    except XSError as e:
	        print(e)
PY
has "$(tr -d '\0' <"$tmp/trace/third")" 'wrl: d0 WRITE waits' "who waits for others is traced"
mkfifo "$tmp/trace/pipe"
served() { timeout 5 xenstore-exists /; }
out=$(timeout 5 xenstore-control logfile "$tmp/trace/pipe" 2>&1); rc=$?
is "$rc:$out" "3:Error 5 when trying to execute command." "logfile to a pipe that nobody reads is refused"
served; ok $? "... without a pause"
has "$(cat "$tmp/log")" 'cannot open or write .*/trace/pipe: No such device' "... and the log tells why"
timeout 5 xenstore-write /after 4 && sleep 0.1
has "$(tr -d '\0' <"$tmp/trace/third")" 'WRITE \(/after 4\)' "... and the trace goes where it went"
xenstore-control memreport "$tmp/trace/report" >/dev/null
has "$(cat "$tmp/trace/report")" 'struct session ' "memreport tells what there is"
out=$(timeout 5 xenstore-control memreport "$tmp/trace/pipe" 2>&1); rc=$?
is "$rc:$out" "3:Error 5 when trying to execute command." "memreport to a pipe that nobody reads is refused"
served; ok $? "... without a pause"
exec 7<>"$tmp/trace/pipe"	# a reader that does not read
timeout 5 xenstore-control logfile "$tmp/trace/pipe" >/dev/null; ok $? "logfile to a pipe that somebody holds open is taken"
for _ in 1 2 3; do printf 'WRITE %0.s' $(seq 500); done >"$tmp/args"
for i in $(seq 40); do timeout 5 xenstore-write /long "$(cat "$tmp/args")" 2>/dev/null; done
timeout 5 xenstore-control memreport "$tmp/trace/pipe" >/dev/null 2>&1
served; ok $? "... and when it is full, lines are lost and nobody waits"
exec 7>&-
served; ok $? "... nor when its reader has gone"
stop

dir notify
/usr/bin/python3 - "$tmp/notify/sock" >"$tmp/notify/heard" <<-'PY' &
	import socket, sys
	s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
	s.bind(sys.argv[1])
	s.settimeout(20)
	print(s.recv(1000).decode())
PY
listener=$!
wait_for [ -e "$tmp/notify/sock" ]
NOTIFY_SOCKET=$tmp/notify/sock run
wait $listener
has "$(cat "$tmp/notify/heard")" 'READY=1' "the service manager is told when it is ready"
stop

dir idle
run
worker=$(pgrep -P "$pid" | head -n 1)
count() { awk '/ctxt/ {s += $2} END {print s}' /proc/"$pid"/status $(pgrep -P "$pid" | sed 's,.*,/proc/&/status,'); }
for _ in 1 2 3 4 5; do	# it may have to get there first
	a=$(count); sleep 1.5; b=$(count)
	[ "$a" = "$b" ] && break
done
is "$((b - a))" 0 "an idle daemon does not wake up"
[ -n "$worker" ]; ok $? "it serves in a process of its own"
stop

# ---- looking inside ----------------------------------------------------------

dir inside
run
setsid xenstore-watch /{1..60}/{aaaaaaaaaaaaaaaaaaaaaaaaa,b}{,/c} "/$(printf x%.0s {1..2000})" \
	>/dev/null 2>&1 &
pids+=($!)
watching() { xenstore-control connections | awk '/ watches 241 / {print $1}' | grep .; }
wait_for watching
number=$(watching)
is "$(xenstore-control watches "$number" | tee "$tmp/list" | grep '^/' |
	cut -d ' ' -f 1 | sort -u | wc -l)" 241 \
	"all watches of a connection are listed, a reply after the other"
is "$(($(wc -c <"$tmp/list") > 2 * 4096))" 1 "... which are several"
stop

if command -v nm >/dev/null; then
	is "$(nm -D --undefined-only "$BUILD/xenstored" | grep -o '\bxc_[a-z_]*' |
		grep -vx 'xc_interface_open\|xc_interface_close\|xc_domain_getinfolist')" "" \
		"XSA-492, XSA-499: of what only Xen's toolstack may ask it asks for the list of domains"
fi

exit $failed
