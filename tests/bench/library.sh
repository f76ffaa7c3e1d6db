#!/bin/bash
# SPDX-License-Identifier: MIT
#
# What a request costs through our library and through Debian's, on the same
# daemon: wall clock and the client's CPU time in microseconds, and ours divided
# by Debian's. Each is the best of ROUNDS (7) alternating runs of SECS (0.3),
# because what else goes on only adds. See lib_roundtrip.c for the cases. Fails
# if a round trip with a watch set is not faster than with Debian's library.
#
# Environment: BUILD; PEER (default: ours, or Debian's C daemon).
cd "$(dirname "$0")" || exit 2
. ../peers/peers.sh
theirs=/usr/lib/x86_64-linux-gnu
peer=${PEER:-ours}
peer_can "$peer" || peer=c417
[ -e $theirs/libxenstore.so.4 ] || { echo "no libxenstore4" >&2; exit 1; }
PEER_RAISE=1 peer_start "$peer" || exit 1

declare -A wall cpu
best() {
	printf '%s\n' "$@" | sort -n | head -n 1
}

printf 'us a round, on %-8s %24s %24s\n' "$peer" "wall ours/Debian" \
	"CPU ours/Debian"
rc=0
for case in plain watch poll event threads; do
	wall=() cpu=()
	for ((i = 0; i < ${ROUNDS:-7}; i++)); do
		for lib in "$BUILD" $theirs; do
			read -r _ w c _ < <(LD_LIBRARY_PATH=$lib \
				XENSTORED_PATH=$PEER_SOCK \
				"$BUILD/tests/bench/lib_roundtrip" $case \
				"${SECS:-0.3}") || exit 1
			wall[$lib]+=" $w" cpu[$lib]+=" $c"
		done
	done
	awk -v c=$case -v a="$(best ${wall[$BUILD]})" \
		-v b="$(best ${wall[$theirs]})" \
		-v d="$(best ${cpu[$BUILD]})" \
		-v e="$(best ${cpu[$theirs]})" 'BEGIN {
		printf "%-23s %9.1f %7.1f %5.2f  %9.1f %7.1f %5.2f\n",
			c, a, b, a / b, d, e, d / e
		exit c == "watch" && a >= b }' || rc=1
done
exit $rc
