#!/bin/bash
# SPDX-License-Identifier: MIT
# Random requests beside a model, for FUZZ_SECONDS (5) from SEED (1): see
# socket_fuzz.py. (P6 of README.md)
set -u
cd "$(dirname "$0")/../.." || exit 2
export BUILD=${BUILD:-$PWD/build}
# shellcheck source=tests/peers/peers.sh
. tests/peers/peers.sh
peer_can ours-vmm || {
	echo "ok - random requests # SKIP $PEER_WHY"
	exit 0
}
peer_start ours-vmm || exit 1
seconds=${FUZZ_SECONDS:-5}
timeout $((seconds + 60)) tests/fuzz/socket_fuzz.py "$PEER_SOCK" \
	"$VMM_SOCKET" "$seconds" "${SEED:-1}"
