#!/bin/bash
# SPDX-License-Identifier: MIT
#
# What the journal costs, and what it gives: CPU time and latency with it and
# without, memory, and how long a client waits when the worker dies.
#
#   journal.sh [cost] [latency] [memory] [pause]
#
# Environment: BUILD; SECS for one figure (1); ROUNDS, of which the best counts
# (5); NODES (100000); DOMAINS (1000); CPUS, as for bench.sh. On a machine with
# other work only the ratio within a row means something.
set -u
cd "$(dirname "$0")" || exit 2
. ../peers/peers.sh
# A run directory is on a tmpfs; a slow disk would be what is measured.
shm=$(df --output=avail /dev/shm 2>/dev/null | tail -n 1)
[ -w /dev/shm ] && [ "${shm:-0}" -gt 200000 ] &&
	export TMPDIR=${TMPDIR:-/dev/shm}
export PEER_RAISE=1
secs=${SECS:-1} rounds=${ROUNDS:-5} nodes=${NODES:-100000}
domains=${DOMAINS:-1000}
read -r dcpu gcpu <<<"${CPUS:-0 1}"
[ "$(nproc)" -gt 1 ] || gcpu=$dcpu
PEER_WRAP="taskset -c $dcpu"
base=ours
peer_can ours-xen && base=ours-xen
tmp=$(mktemp -d "${TMPDIR:-/tmp}/journal.XXXXXX") || exit 2
trap 'peer_stop_all; rm -rf "$tmp"' EXIT

# xs CPU OPTION...: a line of JSON
xs() {
	local cpu=$1

	shift
	timeout 120 taskset -c "$cpu" "$BUILD/tests/bench/xsbench" \
		-s "$PEER_SOCK" -p "$PEER_PID" -l "$PEER_NAME" "$@"
}

# figure SCENARIO KEY <JSON
figure() { sed -n "/\"scn\":\"$1\"/s/.*\"$2\":\([0-9.]*\).*/\1/p"; }

# least FILE
least() { sort -n "$1" | head -n 1; }

cost() {
	local scn kind i key

	peer_start $base.off --journal off && peer_start $base.on || exit 1
	echo "| request | us CPU, journal off | on | ratio | p99 us, off | on | p999 us, off | on |"
	echo "|---|---:|---:|---:|---:|---:|---:|---:|"
	for scn in "read" "write" "read vlen=2000" "write vlen=2000" \
		"read vlen=4000" "write vlen=4000" "write keys=5000" \
		"write keys=20000" "write keys=100000" "deepmk k=100" \
		"tx k=4" "read g=1" "write g=1" \
		"write g=1 vlen=2000" "read g=10" "write g=10"; do
		case $base:$scn in ours:*g=*) continue ;; esac
		rm -f "$tmp"/*
		for ((i = 0; i < rounds; i++)); do
			for kind in off on; do
				peer_use $base.$kind
				# shellcheck disable=SC2086
				xs "$dcpu" $scn "secs=$secs" >"$tmp/json" ||
					exit 1
				for key in cpu_us_op p99 p999; do
					figure "${scn%% *}" $key <"$tmp/json" \
						>>"$tmp/$key.$kind"
				done
			done
		done
		awk -v s="$scn" -v a="$(least "$tmp/cpu_us_op.off")" \
			-v b="$(least "$tmp/cpu_us_op.on")" \
			-v c="$(least "$tmp/p99.off")" \
			-v d="$(least "$tmp/p99.on")" \
			-v e="$(least "$tmp/p999.off")" \
			-v f="$(least "$tmp/p999.on")" 'BEGIN {
			printf "| %s | %.2f | %.2f | %.2f | %s | %s | %s | %s |\n",
				s, a, b, b / a, c, d, e, f }'
	done
	peer_stop_all
}

# KiB of the daemon's processes, and of the files in its run directory
held() {
	local pid kb=0

	for pid in $PEER_PID $(cat "/proc/$PEER_PID/task/"*/children); do
		kb=$((kb + $(awk '/^Pss_Anon/ {print $2}' \
			"/proc/$pid/smaps_rollup")))
	done
	echo "$kb $(du -sk "$PEER_DIR/run" | cut -f1)"
}

memory() {
	local before after

	peer_start $base || exit 1
	before=$(held)
	xs "$gcpu" populate "leaves=$nodes" >"$tmp/json" || exit 1
	sleep 3
	after=$(held)
	echo "| nodes | bytes a node, memory | files | together |"
	echo "|---:|---:|---:|---:|"
	awk -v b="$before" -v a="$after" -v n="$nodes" 'BEGIN {
		split(b, x); split(a, y); m = (y[1] - x[1]) * 1024 / n
		f = (y[2] - x[2]) * 1024 / n
		printf "| %d | %.0f | %.0f | %.0f |\n", n, m, f, m + f }'
	ls -s "$PEER_DIR/run"
	peer_stop_all
}

# Latency of a write while checkpoints are written all the time, beside writing
# so little that none is due, and beside no journal.
latency() {
	local kind key i secs

	peer_start $base.off --journal off && peer_start $base.on || exit 1
	rm -f "$tmp"/*
	for kind in on off; do
		peer_use $base.$kind
		xs "$gcpu" populate "leaves=$nodes" >/dev/null || exit 1
	done
	for ((i = 0; i < rounds; i++)); do
		for kind in off none all; do
			secs=3
			[ $kind = all ] || secs=0.1
			[ $kind = off ] && peer_use $base.off
			[ $kind = off ] || peer_use $base.on
			sleep 2
			xs "$gcpu" write "tree=$nodes" warm=0.02 secs=$secs >"$tmp/json" ||
				exit 1
			for key in p50 p99 p999 max; do
				figure write $key <"$tmp/json" \
					>>"$tmp/$key.$kind"
			done
		done
	done
	peer_stop_all
	echo "| write, $nodes nodes | p50 us | p99 | p999 | max |"
	echo "|---|---:|---:|---:|---:|"
	for kind in off none all; do
		case $kind in
		off) printf "| journal off |" ;;
		none) printf "| no checkpoint due |" ;;
		all) printf "| checkpoints all the time |" ;;
		esac
		for key in p50 p99 p999 max; do
			printf " %s |" "$(least "$tmp/$key.$kind")"
		done
		echo
	done
}

worker() {
	local pid

	for pid in $(cat "/proc/$PEER_PID/task/"*/children); do
		grep -q /journal\\. "/proc/$pid/maps" && echo "$pid"
	done
}

# How long the answers stay away, for a guest on a ring: its longest wait.
pause_of_guest() {
	local i job

	for ((i = 0; i < rounds; i++)); do
		xs "$gcpu" read g=1 warm=0.5 secs=2 >"$tmp/json" &
		job=$!
		sleep 1
		kill -9 "$(worker)"
		wait $job || exit 1
		printf "worker killed %.1f\n" "$(figure read max <"$tmp/json" |
			awk '{ print $1 / 1000 }')"
	done
}

pause() {
	local i load

	PEER_WRAP=
	peer_start $base || exit 1
	xs "$gcpu" populate "leaves=$nodes" >/dev/null || exit 1
	[ $base = ours ] && domains=0
	for ((i = 1; i <= domains; i++)); do
		"$PEER_BIN/fxctl" create "$i" || exit 1
	done
	echo "longest wait for an answer, ms, with $nodes nodes and" \
		"$domains domains:"
	./pause.py "$PEER_SOCK" "$PEER_PID" "$domains" "$rounds"
	echo "while others write, so that there is a journal to read:"
	while :; do	# one of them may be closed
		"$BUILD/tests/bench/xsbench" -s "$PEER_SOCK" write c=4 secs=9
	done >/dev/null 2>&1 &
	load=$!
	sleep 1
	./pause.py "$PEER_SOCK" "$PEER_PID" 0 "$rounds"
	kill $load
	wait $load 2>/dev/null
	if [ $base = ours-xen ]; then
		echo "of a guest on a ring:"
		pause_of_guest
	fi
	peer_stop_all
}

for what in ${*:-cost latency memory pause}; do
	"$what"
done
