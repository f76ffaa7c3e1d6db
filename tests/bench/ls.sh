#!/bin/bash
# SPDX-License-Identifier: MIT
#
# Times xenstore-ls of a large store: Debian's tool with Debian's library and
# ours, in turn, on our daemon and on Debian's C daemon. Both must print the
# same.
#
# Environment: BUILD; PEERS (ours c417); LEAVES (100000); ROUNDS (3), of which
# the fastest counts. Times are of the wall clock, in seconds; on a machine
# with other work only the ratio within a row means something.
set -u
cd "$(dirname "$0")" || exit 2
. ../peers/peers.sh
export PEER_RAISE=1
leaves=${LEAVES:-100000}
tmp=$(mktemp -d "${TMPDIR:-/tmp}/xenstore-ls.XXXXXX") || exit 2
trap 'peer_stop_all; rm -rf "$tmp"' EXIT
[ -x /usr/bin/xenstore-ls ] || { echo "no xenstore-utils" >&2; exit 2; }


echo "| daemon | nodes | options | Debian's xenstore-ls | ours | ratio |"
echo "|---|---:|---|---:|---:|---:|"
rc=0
for peer in ${PEERS:-ours c417}; do
	peer_can "$peer" || { echo "without $peer: $PEER_WHY" >&2; continue; }
	peer_start "$peer" || exit 1
	export XENSTORED_PATH=$PEER_SOCK
	"$BUILD/tests/bench/xsbench" -s "$PEER_SOCK" -p "$PEER_PID" populate \
		"leaves=$leaves" >/dev/null || exit 1
	for opts in "" -p; do
		rm -f "$tmp"/*
		for ((i = 0; i < ${ROUNDS:-3}; i++)); do
			for tool in "/usr/bin" "$BUILD"; do
				TIMEFORMAT=%R
				# shellcheck disable=SC2086
				{ time "$tool/xenstore-ls" $opts \
					>"$tmp/out.${tool##*/}"; } \
					2>>"$tmp/time.${tool##*/}"
			done
		done
		cmp "$tmp/out.bin" "$tmp/out.${BUILD##*/}" || rc=1
		theirs=$(sort -n "$tmp/time.bin" | head -n 1)
		ours=$(sort -n "$tmp/time.${BUILD##*/}" | head -n 1)
		awk -v p="$peer" -v n="$(wc -l <"$tmp/out.bin")" \
			-v o="${opts:-none}" -v t="$theirs" -v u="$ours" \
			'BEGIN { printf "| %s | %d | %s | %s | %s | %.2f |\n",
				 p, n, o, t, u, u / t }'
	done
	peer_stop "$peer"
done
exit $rc
