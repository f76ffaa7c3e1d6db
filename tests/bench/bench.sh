#!/bin/bash
# SPDX-License-Identifier: MIT
#
# Measures xenstore daemons side by side: all are started, then each scenario
# goes to every daemon in turn before the next, so that what disturbs the
# machine disturbs all alike. Ends with tables, of ratios too.
#
#   bench.sh [GROUP]...     one idle many guests tx watch dir size bulk
#
# Environment: BUILD; PEERS (default: floor ours ours-off c417 ox417, those that
# can run; ours-off is ours without a journal, in one, guests, tx and size);
# SECS for one figure (0.3); ROUNDS over all groups, of which the best
# figures count (1); CPUS, the daemon's core and the generator's (0 1); OUT,
# where the raw figures go (JSON lines; default $BUILD/bench.jsonl).
#
# Only ratios within a row mean something on a shared machine, and CPU time
# for each operation (of the daemon, in microseconds) more than rates.
cd "$(dirname "$0")" || exit 2
. ../peers/peers.sh
groups=${*:-one idle many guests tx watch dir size bulk}
secs="secs=${SECS:-0.3} warm=0.1"
out=${OUT:-$BUILD/bench.jsonl}
# A run directory is on a tmpfs; a slow disk would be what is measured.
shm=$(df --output=avail /dev/shm 2>/dev/null | tail -n 1)
[ -w /dev/shm ] && [ "${shm:-0}" -gt 200000 ] &&
	export TMPDIR=${TMPDIR:-/dev/shm}
export PEER_RAISE=1
read -r dcpu gcpu <<<"${CPUS:-0 1}"
[ "$(nproc)" -gt 1 ] || gcpu=$dcpu
nice=
[ "$(id -u)" = 0 ] && nice="nice -n -10"
PEER_WRAP="taskset -c $dcpu $nice"

declare -A name
peers=
for p in ${PEERS:-floor ours ours-off c417 ox417}; do
	if peer_can "${p%-off}"; then
		peers+=" $p"
	else
		echo "without $p: $PEER_WHY" >&2
	fi
done

# start PEER: ours with guests where that works
start() {
	local options=() tag=

	case $1 in *-off) options=(--journal off) tag=.off ;; esac
	name[$1]=${1%-off}$tag
	case $1 in ours*)
		if peer_can ours-xen &&
			peer_start "ours-xen$tag" "${options[@]}" 2>/dev/null
		then
			name[$1]=ours-xen$tag
			return
		fi
	esac
	peer_start "${name[$1]}" "${options[@]}" || exit 1
}

up() {
	local p

	for p in $peers; do
		start "$p"
	done
}

# x MODE SCENARIO [KEY=VALUE]...: on every daemon; MODE one: the generator on
# the daemon's core, which shows latency and CPU time; two: on another core,
# which shows throughput.
x() {
	local mode=$1 p cpu=$gcpu

	shift
	[ "$mode" = one ] && cpu=$dcpu
	for p in $peers; do
		case "$only_real:$p" in 1:floor) continue ;; esac
		case "$group:$p" in
		one:* | guests:* | tx:* | size:*) ;;
		*:*-off) continue ;;
		esac
		peer_use "${name[$p]}"
		# shellcheck disable=SC2086
		MODE=$mode timeout 60 $nice taskset -c "$cpu" \
			"$BUILD/tests/bench/xsbench" -s "$PEER_SOCK" \
			-p "$PEER_PID" -l "$p" "$@" >>"$out" 2>"$err" || {
			echo "$p: $*: $(tail -n 1 "$err")" >&2
			kill -0 "$PEER_PID" 2>/dev/null && continue
			echo "$p is gone; starting it again" >&2
			peer_stop "${name[$p]}"
			start "$p"
		}
	done
}
real() { only_real=1 x "$@"; }

# shellcheck disable=SC2086
g_one() {
	x one read $secs
	x one write $secs
	x one read vlen=4000 $secs
	x one write vlen=4000 $secs
	x one getperms $secs
	x one setperms $secs
	real one mkrm $secs
	real one read deep=100 $secs
	real one deepmk k=100 $secs
	x one churn $secs
}

# shellcheck disable=SC2086
g_idle() {
	local n

	for n in 10 100 500; do
		x one read idle=$n $secs
		x one write idle=$n $secs
	done
	x one read gidle=100 $secs
	x one write gidle=100 $secs
}

# shellcheck disable=SC2086
g_many() {
	local c

	for c in 1 10 100 500; do
		x two read c=$c $secs
		x two write c=$c $secs
	done
	x two read c=1 d=16 $secs
	x two write c=1 d=16 $secs
	x two churn c=10 $secs
}

# shellcheck disable=SC2086
g_guests() {
	local g

	x one read g=1 $secs
	x one write g=1 $secs
	x one read g=1 vlen=2000 $secs
	for g in 10 100; do
		x two read g=$g $secs
		x two write g=$g $secs
	done
	x two read g=10 d=8 $secs
	real two tx g=10 $secs
}

# shellcheck disable=SC2086
g_tx() {
	local c

	real one tx k=4 $secs
	real one tx k=32 $secs
	for c in 2 10; do
		real two tx c=$c $secs
		real two tx c=$c mode=same $secs
		real two tx c=$c mode=siblings $secs
	done
}

# shellcheck disable=SC2086
g_watch() {
	local w

	for w in 1 10 1000; do
		real two fan w=$w $secs
	done
	real two fan w=100 wc=100 $secs
	real two fan w=10 sub=1 $secs
	for w in 10 1000 10000; do
		real one nomatch w=$w $secs
	done
	real one nomatch w=10000 wc=100 $secs
}

# shellcheck disable=SC2086
g_dir() {
	local n

	for n in 10 100 1000 10000; do
		real one dir n=$n $secs
	done
}

# shellcheck disable=SC2086
g_size() {
	local n

	for n in 10000 100000; do
		peer_stop_all
		up
		real two populate leaves=$n
		real one read tree=$n $secs
		real one write tree=$n $secs
		real one tx k=4 tree=$n $secs
		real two depopulate leaves=$n
	done
}

g_bulk() {
	peer_stop_all
	up
	real two bulk n=25
	real two bulk n=25 base=1000 bg=10000
}

err=$(mktemp)
trap 'peer_stop_all; rm -f "$err"' EXIT
: >"$out"
only_real=0
up
for ((round = 0; round < ${ROUNDS:-1}; round++)); do
	for group in $groups; do
		echo "# $group" >&2
		"g_$group"
	done
done
./table.py "$out"
