#!/bin/bash
# SPDX-License-Identifier: MIT
# Runs all conformance scripts, or those given, against each daemon in $PEERS
# (default: ours with guests of either kind, and Debian's two), each script on
# a fresh one. A daemon that cannot run here is skipped. What scripts are: see
# run.c.
cd "$(dirname "$0")" || exit 2
. ../peers/peers.sh
scripts=${*:-*.xst}
failed=0

for peer in ${PEERS:-ours-vmm ours-xen c417 ox417}; do
	peer_can "$peer" || {
		echo "ok - $peer runs # skip $PEER_WHY"
		continue
	}
	for script in $scripts; do
		peer_start "$peer" || {
			echo "not ok - $peer starts"
			failed=1
			break
		}
		timeout 200 "$BUILD/tests/conformance/run" -s "$PEER_SOCK" \
			-p "${peer%%-*}" "$script" >"$PEER_DIR/tap" || {
			failed=1
			grep -q '^not ok' "$PEER_DIR/tap" ||
				echo "not ok - $script did not end" >>"$PEER_DIR/tap"
			tail -n 3 "$PEER_DIR/log" | cut -c 1-300 | sed 's/^/# /'
			echo
		}
		sed -n "s/ - / - $peer: /; /^1\.\./!p" "$PEER_DIR/tap"
		peer_stop "$peer"
	done
done
exit $failed
