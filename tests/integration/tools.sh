#!/bin/bash
# SPDX-License-Identifier: MIT
# The tools beside Debian's, on Debian's C daemon, on ours, and on one that
# does as it is told (P1 of README.md); and those that Debian has not. See the
# three programs for what they compare.
# Environment: BUILD; PEERS (default "c417 ours").
set -u
cd "$(dirname "$0")/../.." || exit 2
export BUILD=${BUILD:-$PWD/build}
# shellcheck source=tests/peers/peers.sh
. tests/peers/peers.sh
rc=0

debian=
[ -x /usr/bin/xenstore-ls ] && debian=y

for peer in ${PEERS:-c417 ours}; do
	if peer_can $peer; then
		peer_start $peer || { rc=1; continue; }
		export XENSTORED_PATH=$PEER_SOCK
		[ -z $debian ] || timeout 120 \
			tests/integration/tools_compare.py || rc=1
		timeout 120 tests/integration/tools_own.py || rc=1
		peer_stop $peer
	else
		echo "ok - tools on $peer # SKIP $PEER_WHY"
	fi
done
if [ $debian ]; then
	timeout 120 tests/integration/tools_scripted.py || rc=1
else
	echo "ok - tools beside Debian's # SKIP no xenstore-utils"
fi
exit $rc
