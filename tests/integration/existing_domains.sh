#!/bin/bash
# SPDX-License-Identifier: MIT
# A daemon that starts where domains are there already, as on a host with
# domains made at boot: it introduces those whose page names their event
# channel, and tells dom0's kernel that it is there.
set -u
top=$(cd "$(dirname "$0")/../.." && pwd)
BUILD=${BUILD:-$top/build}
[ -e "$BUILD/tests/peers/fakexen.so" ] || {
	echo "ok 1 - existing domains # skip built without the Xen headers"
	exit 0
}
dir=$(mktemp -d "${TMPDIR:-/tmp}/existing.XXXXXX")
trap 'kill $pid 2>/dev/null; wait; rm -rf "$dir"' EXIT
export FAKEXEN_DIR=$dir/fx XENSTORED_RUNDIR=$dir/run
export XENSTORED_PATH=$dir/run/socket
mkdir "$dir/fx" "$dir/run"
pid= n=0 failed=0

check() {
	n=$((n + 1))
	if "${@:2}"; then
		echo "ok $n - $1"
	else
		echo "not ok $n - $1"
		failed=1
	fi
}

# field DOMID OFFSET [VALUE]: of a ring page; sets it, or prints it
field() {
	python3 - "$FAKEXEN_DIR/pages" $(($1 * 4096 + $2)) "${@:3}" <<-'END'
	import struct, sys
	with open(sys.argv[1], "r+b") as pages:
	    pages.seek(int(sys.argv[2]))
	    if len(sys.argv) > 3:
	        pages.write(struct.pack("<I", int(sys.argv[3])))
	    else:
	        print(struct.unpack("<I", pages.read(4))[0])
	END
}
is() { [ "$(field "$1" "$2")" = "$3" ]; }

# The answers of IS_DOMAIN_INTRODUCED, and of READ over a relative path
introduced() {
	python3 - "$XENSTORED_PATH" "$1" <<-'END'
	import socket, struct, sys
	s = socket.socket(socket.AF_UNIX)
	s.connect(sys.argv[1])
	arg = sys.argv[2].encode() + b"\0"
	s.sendall(struct.pack("<IIII", 17, 0, 0, len(arg)) + arg)
	print(s.recv(4096)[16:17].decode())
	END
}

# the guest's end of an event channel, read when the daemon is up
listen() {
	python3 - "$FAKEXEN_DIR/evt.$1" >"$dir/kicks.$1" <<-'END' &
	import socket, sys
	s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
	s.settimeout(20)
	s.bind(sys.argv[1])
	s.recv(1)
	print("kicked")
	END
	listeners="${listeners:-} $!"
	for _ in {1..400}; do
		[ -S "$FAKEXEN_DIR/evt.$1" ] && break
		sleep 0.05
	done
}

fxctl=$BUILD/tests/peers/fxctl
"$fxctl" create 5
field 5 2076 9		# evtchn_port
field 5 2068 1		# connection: not yet connected
"$fxctl" create 6
field 6 2076 0
field 6 2068 1
listen 0
listen 5

ASAN_OPTIONS="verify_asan_link_order=0:${ASAN_OPTIONS:-}" \
	LD_PRELOAD=$BUILD/tests/peers/fakexen.so \
	"$BUILD/xenstored" -N --xenport xen >"$dir/log" 2>&1 </dev/null &
pid=$!
"$fxctl" wait "$XENSTORED_PATH" || { cat "$dir/log"; exit 1; }
# shellcheck disable=SC2086
wait $listeners

check "a domain whose page names its port is introduced" \
	[ "$(introduced 5)" = T ]
check "its connection is up" is 5 2068 0
check "it is told the features" is 5 2064 15
check "it is notified" [ "$(cat "$dir/kicks.5")" = kicked ]
check "a domain whose page names none is not" [ "$(introduced 6)" = F ]
check "and its page is left alone" is 6 2068 1
check "dom0 is introduced" [ "$(introduced 0)" = T ]
check "dom0's kernel is notified" [ "$(cat "$dir/kicks.0")" = kicked ]
exit $failed
