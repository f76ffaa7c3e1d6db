#!/bin/bash
# SPDX-License-Identifier: MIT
# Live updates: from this daemon to itself, from and to Debian's daemons, and
# to programs that are not fit for it. Clients and domains live through them.
cd "$(dirname "$0")/../.." || exit 2
. tests/peers/peers.sh
control=/usr/lib/xen-4.17/bin/xenstore-control
n=0 rc=0

ok() {
	n=$((n + 1))
	if [ "$1" -eq 0 ]; then
		echo "ok $n - $2"
	else
		echo "not ok $n - $2"
		rc=1
	fi
}
skip() { n=$((n + 1)); echo "ok $n - $2 # skip $1"; }

exe() { readlink "/proc/$PEER_PID/exe"; }
update() { timeout 30 "$control" live-update "$@" >"$PEER_DIR/said" 2>&1; }
served_by() {
	local i

	for i in {1..200}; do
		[ "$(basename "$(exe)")" = "$1" ] && timeout 5 xenstore-read \
			/live/bytes >/dev/null 2>&1 && return 0
		sleep 0.1
	done
	return 1
}

# client OPTION...: begins; client_ends: what it says
client() {
	rm -f "$PEER_DIR/ready" "$PEER_DIR/go"
	tests/integration/live_client.py "$PEER_SOCK" "$PEER_DIR/ready" \
		"$PEER_DIR/go" "$@" &
	client=$!
	for i in {1..300}; do
		[ -e "$PEER_DIR/ready" ] && break
		sleep 0.1
	done
}
client_ends() {
	touch "$PEER_DIR/go"
	wait "$client"
}

# from PEER: starts it with two domains
from() {
	peer_start "$1" || return 1
	export XENSTORED_PATH=$PEER_SOCK
	xenstore-write /live/bytes 1
	"$PEER_BIN/fxctl" create 1
	"$PEER_BIN/fxctl" create 2
	cp "$BUILD/xenstored" "$PEER_DIR/run/ours"
	case ${1%%.*} in
	ours*) here=$PEER_DIR/run/ours ;;
	*) here=/run/xenstored/ours ;;	# in its mount namespace
	esac
}

to_ours() {
	from "$1" || { ok 1 "$1 starts"; return; }
	shift
	client guests "$@"
	update "$here"
	ok $? "$PEER_NAME: the tool says that the update is done"
	served_by ours
	ok $? "$PEER_NAME: this daemon runs in the same process"
	client_ends
	ok $? "$PEER_NAME: a client finds everything as it was ($*)"
	"$PEER_BIN/fxctl" gone 1
	timeout 5 xenstore-write /live/more 1
	[ "$(timeout 5 "$control" domains | grep -c introduced)" = 2 ]
	ok $? "$PEER_NAME: the death of a domain is noticed"
	peer_stop "$PEER_NAME"
}

for peer in c417 ox417 ours-xen; do
	if ! peer_can $peer; then
		skip "$PEER_WHY" "an update from $peer"
		continue
	fi
	case $peer in
	c417) to_ours $peer target half ;;
	ox417) to_ours $peer ;;
	ours-xen) to_ours $peer target half txn ;;
	esac
done

if peer_can ours-xen && [ -x "$PEER_C417" ]; then
	from ours-xen
	client guests target half
	update -c "-N -I" "$PEER_C417"
	ok $? "to c417: the tool says that the update is done"
	served_by xenstored && [ "$(exe)" = "$PEER_C417" ]
	ok $? "to c417: Debian's daemon runs in the same process"
	update -c "-N --xenport xen" "$here"
	ok $? "and back: the tool says that the update is done"
	served_by ours
	ok $? "and back: this daemon runs in the same process"
	client_ends
	ok $? "and back: a client finds everything as it was"
	peer_stop ours-xen
else
	skip "${PEER_WHY:-no $PEER_C417}" "an update to c417"
fi

# Programs that are not fit: the old one goes on, and says why.
peer_start ours || exit 1
export XENSTORED_PATH=$PEER_SOCK
bad=$PEER_DIR/bad
xenstore-write /live/bytes 1
client half txn
refused() {
	update "$@"
	[ $? -ne 0 ] && kill -0 "$PEER_PID" && timeout 5 xenstore-read \
		/live/bytes >/dev/null
}
refused "$PEER_DIR/nothing" && grep -q 'not accessible' "$PEER_DIR/said"
ok $? "a program that is missing is refused"
touch "$bad"
refused "$bad" && grep -q 'not executable' "$PEER_DIR/said"
ok $? "a program that is not executable is refused"
mkfifo -m 755 "$bad.pipe"
refused "$bad.pipe" && grep -q 'not executable' "$PEER_DIR/said" &&
	refused "$PEER_DIR" && grep -q 'not executable' "$PEER_DIR/said"
ok $? "nor a pipe or a directory"
mark='xenstored live update, state check 1'
printf '#!/bin/sh\n# %s\nexit 1\n' "$mark" >"$bad"
chmod 755 "$bad"
refused "$bad" && grep -q 'refuses the state' "$PEER_DIR/said"
ok $? "a program that refuses the state is not started"
printf '#!/bin/sh\n# %s\nkill -11 $$\n' "$mark" >"$bad"
refused "$bad" && grep -q 'refuses the state' "$PEER_DIR/said"
ok $? "nor one that crashes when it looks at it"
printf '#!/bin/sh\n# %s\nsleep 100\n' "$mark" >"$bad"
refused "$bad" && grep -q 'does not answer' "$PEER_DIR/said"
ok $? "nor one that hangs"
printf '\177ELF and nothing good' >"$bad"
refused -t 1 "$bad" && grep -q 'Overlapping transactions' "$PEER_DIR/said"
ok $? "another kind of program waits for the end of transactions, but not for ever"
client_ends
ok $? "and a client did not notice anything of all that"
refused "$bad"
ok $? "a program that cannot be executed leaves the old one"

# A program that agrees, and then dies or does nothing: the old one goes on, in
# another process.
goes_on() { # goes_on WHAT COMMAND
	local run=$PEER_DIR/goes-on pid
	local -x XENSTORED_RUNDIR=$run XENSTORED_PATH=$run/socket

	mkdir -p "$run"
	"$BUILD/xenstored" --xenport none --pid-file "$run/pid" || return 1
	pid=$(cat "$run/pid")
	xenstore-write /live/bytes 1
	PEER_SOCK=$run/socket client half
	printf '#!/bin/sh\n# %s\n[ "$1" = --check-state ] && exit 0\n%s\n' \
		"$mark" "$2" >"$bad"
	update "$bad"
	grep -q 'new binary failed' "$PEER_DIR/said" &&
		[ "$(cat "$run/pid")" != "$pid" ] &&
		timeout 5 xenstore-read /live/bytes >/dev/null
	ok $? "a program that $1 when it is to take over: the old one goes on"
	client_ends
	ok $? "... and a client did not notice"
	pid=$(cat "$run/pid")
	kill "$pid"
	for i in {1..300}; do
		[ -d "/proc/$pid" ] || break
		sleep 0.05
	done
}
goes_on crashes 'kill -11 $$'
goes_on hangs 'exec sleep 100'

# Many clients, at once
pids=()
for i in {1..40}; do
	tests/integration/live_client.py "$PEER_SOCK" "$PEER_DIR/ready.$i" \
		"$PEER_DIR/go" half txn >"$PEER_DIR/many.$i" &
	pids+=($!)
done
rm -f "$PEER_DIR/go"
for i in {1..40}; do
	for _ in {1..300}; do
		[ -e "$PEER_DIR/ready.$i" ] && break
		sleep 0.1
	done
done
cp "$BUILD/xenstored" "$PEER_DIR/run/ours"
update "$PEER_DIR/run/ours"
ok $? "an update with 40 transactions open and 40 messages half read"
touch "$PEER_DIR/go"
bad=0
for pid in "${pids[@]}"; do
	wait "$pid" || bad=1
done
cat "$PEER_DIR"/many.* | grep '^#' | sort | uniq -c | head -5
ok $bad "and none of the 40 clients noticed"
"$BUILD/xenstored" --print-state tests/unit/data/state-c417 |
	cmp -s - tests/unit/data/state-c417.txt
ok $? "--print-state prints a state"
peer_stop ours
echo "1..$n"
exit $rc
