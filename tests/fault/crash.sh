#!/bin/bash
# SPDX-License-Identifier: MIT
# Kills the daemon under a load whose every answer is known (P4 of README.md):
# see crash.c.
#
#   crash.sh [KILLS [SEED]]
#
# Once with guests of a VMM, once with guests on Xen's interface, at the same
# time. Who fails can be run again: tests/fault/crash --port xen --seed N
set -u
cd "$(dirname "$0")/../.." || exit 2
export BUILD=${BUILD:-$PWD/build}
kills=${1:-${KILLS:-24}} seed=${2:-${SEED:-1}}
ports=vmm
[ -e "$BUILD/tests/peers/fakexen.so" ] && ports="vmm xen"
dir=$(mktemp -d "${TMPDIR:-/tmp}/crash.XXXXXX") || exit 1
trap 'kill $(jobs -p) 2>/dev/null; wait; rm -rf "$dir"' EXIT
trap 'exit 1' INT TERM

for port in $ports; do
	TMPDIR=$dir "$BUILD/tests/fault/crash" --port "$port" \
		--kills "$kills" --seed "$seed" >"$dir/$port" 2>&1 &
done
wait
n=0 failed=0
for port in $ports; do
	n=$((n + 1))
	grep -q '^ok' "$dir/$port" || failed=1
	grep -q '^\(not \)\?ok' "$dir/$port" ||
		echo "not ok - it ends by itself" >>"$dir/$port"
	sed "s/^\(ok\|not ok\) -/\1 $n -/" "$dir/$port"
done
echo "1..$n"
exit $failed
