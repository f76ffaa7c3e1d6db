#!/bin/bash
# SPDX-License-Identifier: MIT
# Kills the daemon under a load whose every answer is known: see crash.c.
#
#   crash.sh [KILLS [SEED]]
#
# At any time, at chosen places, and by requests that it cannot stand; each
# with guests of a VMM, and with guests on Xen's interface, at the same time.
# Who fails can be run alone: the seed is told.
set -u
cd "$(dirname "$0")/../.." || exit 2
export BUILD=${BUILD:-$PWD/build}
kills=${1:-${KILLS:-16}} seed=${2:-${SEED:-1}}
fault=$BUILD/fault/xenstored
ports=vmm
[ -e "$BUILD/tests/peers/fakexen.so" ] && ports="vmm xen"
# The run directory is on a tmpfs; a slow disk would be what is measured.
shm=$(df --output=avail /dev/shm 2>/dev/null | tail -n 1)
[ -w /dev/shm ] && [ "${shm:-0}" -gt 200000 ] && base=/dev/shm
dir=$(mktemp -d "${TMPDIR:-${base:-/tmp}}/crash.XXXXXX") || exit 1
trap 'kill $(jobs -p) 2>/dev/null; wait; rm -rf "$dir"' EXIT
trap 'exit 1' INT TERM
n=0 failed=0

# both WHAT OPTION...: with either kind of guests
both() {
	local port what=$1

	shift
	for port in $ports; do
		TMPDIR=$dir "$BUILD/tests/fault/crash" --port "$port" \
			--seed "$seed" "$@" >"$dir/$port" 2>&1 &
	done
	wait
	for port in $ports; do
		n=$((n + 1))
		grep -q '^ok' "$dir/$port" || failed=1
		grep -q '^\(not \)\?ok' "$dir/$port" ||
			echo "not ok - $what: it ends by itself" >>"$dir/$port"
		sed "s/^\(ok\|not ok\) -/\1 $n -/" "$dir/$port"
	done
}

both "killed at any time" --kills "$kills"
if [ -x "$fault" ]; then
	both "dying at chosen places" --kills $((kills > 19 ? kills : 19)) \
		--points --daemon "$fault"
	both "fatal requests" --kills $((1 + kills / 8)) --poison \
		--daemon "$fault"
else
	n=$((n + 1))
	echo "ok $n - dying at chosen places # SKIP no $fault"
fi
echo "1..$n"
exit $failed
