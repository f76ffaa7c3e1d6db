#!/bin/bash
# SPDX-License-Identifier: MIT
# Kills the daemon under a load whose every answer is known: see crash.c.
#
#   crash.sh [KILLS [SEED]]
#
# KILLS times at any time; KILLS / 2 times at chosen places, which is each of
# them at least once, and beside that after every seventh; and three times by
# each of KILLS / 10 requests that it cannot stand, up to 200. With guests of a
# VMM, and the same with guests on Xen's interface at the same time. A kill
# takes about a quarter of a second, with what must have an end before the next.
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

# within LOW HIGH N
within() {
	echo $(($3 < $1 ? $1 : $3 > $2 ? $2 : $3))
}

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
		sed "s/^\(ok\|not ok\) -/\1 $n -/" "$dir/$port" |
			tee -a "$dir/all"
	done
}

both "killed at any time" --kills "$kills"
if [ -x "$fault" ]; then
	both "dying at chosen places" \
		--kills "$(within 20 1000 $((kills / 2)))" \
		--points --daemon "$fault"
	both "fatal requests" --kills "$(within 3 200 $((kills / 10)))" \
		--poison --daemon "$fault"
else
	n=$((n + 1))
	echo "ok $n - dying at chosen places # SKIP no $fault"
fi
# Of the verdicts: "(...; killed: KIND N, ...  N requests, N events, ...)".
awk -v failed=$failed '/^(not )?ok .*killed:/ {
	match($0, /, [a-z ]+ \(seed/)
	how = substr($0, RSTART + 2, RLENGTH - 8)
	sub(/.*killed: /, "")
	n = split($0, part, /, */)
	for (i = 1; i <= n; i++) {
		split(part[i], word, " ")
		if (word[1] ~ /^[0-9]/)
			sum[word[2]] += word[1]
		else {
			kills[how] += word[2]
			all += word[2]
		}
	}
}
END {
	printf "# killed %d times (", all
	for (how in kills)
		printf "%s%s: %d", comma++ ? ", " : "", how, kills[how]
	printf "); %d requests and %d events checked, %s\n",
		sum["requests"], sum["events"],
		failed ? "with failures" : "nothing lost"
}' "$dir/all"
echo "1..$n"
exit $failed
