#!/bin/bash
# SPDX-License-Identifier: MIT
# The runner of conformance scripts must be able to fail: every test of this
# script is wrong in one way, and must be reported as such.
set -u
cd "$(dirname "$0")/../.." || exit 2
export BUILD=${BUILD:-$PWD/build}
# shellcheck source=tests/peers/peers.sh
. tests/peers/peers.sh

for peer in ours c417; do
	peer_can $peer && break
done
peer_can $peer || {
	echo "ok 1 - wrong expectations are found # SKIP $PEER_WHY"
	exit 0
}
peer_start $peer || exit 1
cat >"$PEER_DIR/wrong.xst" <<'END'
test a wrong value
	a WRITE /x "v" = OK
	a READ /x = "w"
test a value with more behind it
	a WRITE /x "vv" = OK
	a READ /x = "v"
test a value with less behind it
	a WRITE /x "v" = OK
	a READ /x = "vv"
test a wrong error
	a READ /nox = EINVAL
test success for an error
	a READ / = ENOENT
test an error for success
	a READ /nox = done
test a wrong length
	a READ / = len 1
test an event that does not come
	a ! /x t
test a wrong event
	a WATCH /x t = OK
	a ! /y t
test an event that nobody waited for
	a WATCH /x t = OK
test an event before it was expected
	a WATCH /x t
	a next ! /x t
test a reply that nobody waited for
	a READ /
test too many events
	a WATCH /x t = OK
	a events 0
test a connection that stays
	a READ / = ""
	a eof
test an unknown operation
	a NONSENSE /x = OK
test an unfinished text
	a READ "/x = OK
test a loop without end
	for i 0 3
		a READ / = ""
test a page of the wrong number
	a WRITE /d/x "" = OK
	a page /d 2
test a wrong capture
	a START "\0" = ?t
	a READ tx=${t}1 / = ""
	a END tx=$t F = OK
test an alternative for this daemon
	a READ / = "" | @ours ENOENT | @c417 ENOENT
END
timeout 100 "$BUILD/tests/conformance/run" -t 300 -s "$PEER_SOCK" -p $peer \
	"$PEER_DIR/wrong.xst" >"$PEER_DIR/out"
rc=$?
want=$(grep -c '^test' "$PEER_DIR/wrong.xst")
got=$(grep -c '^not ok' "$PEER_DIR/out")
if [ $rc -eq 1 ] && [ "$want" -eq "$got" ]; then
	echo "ok 1 - $want wrong expectations are found"
else
	echo "not ok 1 - wrong expectations are found: $got of $want, exit $rc"
	grep '^ok' "$PEER_DIR/out" | sed 's/^/# /'
	exit 1
fi
