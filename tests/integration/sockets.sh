#!/bin/bash
# SPDX-License-Identifier: MIT
# Many and hostile clients on our daemon's socket: see sockets.py. Tests to be
# run alone may be named; PEERS=c417 shows how Debian's daemon fares.
set -u
cd "$(dirname "$0")/../.." || exit 2
export BUILD=${BUILD:-$PWD/build}
# shellcheck source=tests/peers/peers.sh
. tests/peers/peers.sh
for peer in ${PEERS:-ours}; do
	peer_can "$peer" || {
		echo "ok - many and hostile clients of $peer # SKIP $PEER_WHY"
		continue
	}
	peer_start "$peer" || exit 1
	timeout 200 tests/integration/sockets.py "$PEER_SOCK" "$PEER_PID" "$@" ||
		rc=1
	kill -0 "$PEER_PID" || rc=1
	peer_stop "$peer"
done
exit ${rc:-0}
