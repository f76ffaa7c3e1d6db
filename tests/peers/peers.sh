# SPDX-License-Identifier: MIT
# shellcheck shell=bash
#
# Starts and stops xenstore daemons, ours and Debian's, each in a private
# directory, without Xen. To be sourced by bash tests:
#
#   . "$(dirname "$0")/../peers/peers.sh"
#   peer_can c417 || skip "$PEER_WHY"      # can it run here?
#   peer_start c417 -W 10                  # options are handed to the daemon
#   XENSTORED_PATH=$PEER_SOCK xenstore-ls
#   peer_start ours-xen                    # a second one, now in use
#   peer_use c417                          # back to the first
#   peer_stop c417                         # or peer_stop_all
#
# or, for one command:   tests/peers/with-peer ours xenstore-ls
#
# Names:
#   ours      $BUILD/xenstored, socket only
#   ours-xen  the same with guests through fakexen.so
#   ours-vmm  the same with guests of VMMs, at $VMM_SOCKET
#   c417      Debian's C xenstored 4.17
#   ox417     Debian's oxenstored 4.17
#   floor     answers at once and keeps nothing (tests/bench)
# NAME.TAG is another instance of NAME.
#
# peer_start, peer_use set and export
#   PEER_NAME  the name           PEER_PID   the daemon's process
#   PEER_SOCK  its socket         PEER_DIR   its directory: run/ (run directory
#   FAKEXEN_DIR  its hypervisor              with the socket), fx/, log
# peer_start returns once the daemon answers; otherwise it shows the log and
# fails. Domains are made by `$BUILD/tests/peers/fxctl create N` and friends.
# All daemons end, and all directories go, when the shell exits or is told to
# (traps; a test with a trap on EXIT of its own calls peer_stop_all there).
#
# Environment: BUILD; PEER_RAISE=1 raises all quotas alike (for loads);
# PEER_WRAP is a command put before the daemon (nice, taskset, valgrind);
# PEER_OPTIONS are options for ours.
#
# Debian's daemons have fixed paths below /run and /var/lib/xen, so they run in
# a mount namespace with private ones. That needs root, or user namespaces.

. "$(dirname "${BASH_SOURCE[0]}")/../processes.sh"
BUILD=${BUILD:-$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)/build}
PEER_BIN=$BUILD/tests/peers
PEER_C417=/usr/lib/xen-4.17/bin/xenstored
PEER_OX417=/usr/lib/xen-4.17/bin/oxenstored
declare -A peer_pids peer_dirs

peer_unshare() {
	if [ "$(id -u)" = 0 ]; then
		echo "unshare -m"
	else
		echo "unshare -rm"
	fi
}

# peer_can NAME: whether it can run here; PEER_WHY says why not
peer_can() {
	local bin

	case ${1%%.*} in
	ours | ours-xen | ours-vmm) bin=$BUILD/xenstored ;;
	c417) bin=$PEER_C417 ;;
	ox417) bin=$PEER_OX417 ;;
	floor) bin=$BUILD/tests/bench/floor ;;
	*) PEER_WHY="no such daemon: $1"; return 1 ;;
	esac
	[ -f "$bin" ] && [ -x "$bin" ] || { PEER_WHY="no $bin"; return 1; }
	case ${1%%.*} in
	ours | ours-vmm | floor) return 0 ;;
	esac
	[ -e "$PEER_BIN/fakexen.so" ] || {
		PEER_WHY="no fakexen.so (built without the Xen headers)"
		return 1
	}
	[ "${1%%.*}" = ours-xen ] ||
		$(peer_unshare) mount -t tmpfs none /run 2>/dev/null || {
		PEER_WHY="no mount namespaces"
		return 1
	}
}

# The configuration of oxenstored; $1: 1 raises the quotas
peer_ox_config() {
	local entity=1000 size=2048 watch=100 tx=10 path=1024

	[ "$1" = 1 ] && entity=1000000 size=8192 watch=100000 tx=1000 path=3072
	cat <<-END
	pid-file = /run/xenstored/ox.pid
	persistent = false
	merge-activate = true
	test-eagain = false
	perms-activate = true
	perms-watch-activate = true
	quota-activate = true
	quota-maxentity = $entity
	quota-maxsize = $size
	quota-maxwatch = $watch
	quota-transaction = $tx
	quota-maxrequests = 100000
	quota-path-max = $path
	xenstored-log-file = /run/xenstored/ox.log
	xenstored-log-level = error
	xenstored-kva = /proc/xen/xsd_kva
	xenstored-port = /proc/xen/xsd_port
	END
}

# peer_start NAME [OPTION...]
peer_start() {
	local name=$1 dir sock pid preload san raised=()

	shift
	peer_can "$name" || { echo "$name: $PEER_WHY" >&2; return 1; }
	dir=$(mktemp -d "${TMPDIR:-/tmp}/peer.XXXXXX") || return 1
	mkdir "$dir/run" "$dir/fx"
	preload=$PEER_BIN/fakexen.so
	if [ "${PEER_RAISE:-0}" = 1 ]; then
		raised=(-E 1000000 -S 8192 -W 100000 -t 1000 -M 3072
			-Q transaction-nodes=100000 -Q memory=1000000000
			-Q outstanding=100000)
	fi
	sock=$dir/run/socket
	# shellcheck disable=SC2206
	[ "${name%%[.-]*}" != ours ] || raised+=(${PEER_OPTIONS:-})
	case ${name%%.*} in
	floor) set -- "$BUILD/tests/bench/floor" "$sock"
		preload= ;;
	ours) set -- "$BUILD/xenstored" -N --xenport none "${raised[@]}" "$@"
		preload= ;;
	ours-vmm) set -- "$BUILD/xenstored" -N --xenport vmm "${raised[@]}" "$@"
		preload= ;;
	ours-xen) set -- "$BUILD/xenstored" -N --xenport xen "${raised[@]}" "$@" ;;
	c417) set -- "$PEER_C417" -N -I "${raised[@]}" "$@" ;;
	ox417)
		peer_ox_config "${PEER_RAISE:-0}" >"$dir/ox.conf"
		set -- "$PEER_OX417" --no-fork --no-access-log \
			--config-file "$dir/ox.conf" "$@" ;;
	esac
	# A daemon with sanitizers comes second in the list of libraries, and may
	# come after one of Debian's.
	san="verify_asan_link_order=0:${ASAN_OPTIONS:-}"
	case ${name%%.*} in
	ours* | floor)
		# shellcheck disable=SC2086
		FAKEXEN_DIR=$dir/fx XENSTORED_RUNDIR=$dir/run ASAN_OPTIONS=$san \
			setsid ${PEER_WRAP:-} env -u XENSTORED_PATH -u NOTIFY_SOCKET \
			${preload:+LD_PRELOAD=$preload} \
			"$@" >"$dir/log" 2>&1 </dev/null &
		;;
	*)
		# shellcheck disable=SC2086,SC2016,SC2046
		FAKEXEN_DIR=$dir/fx ASAN_OPTIONS=$san setsid $(peer_unshare) bash -c '
			mount -t tmpfs none /run && mkdir /run/xenstored &&
			mount --bind "$1" /run/xenstored || exit 1
			[ ! -d /var/lib/xen ] || mount -t tmpfs none /var/lib/xen
			preload=$2
			shift 2
			exec '"${PEER_WRAP:-}"' env -u XENSTORED_PATH \
				XENSTORED_RUNDIR=/run/xenstored \
				LD_PRELOAD="$preload" "$@"' \
			peer "$dir/run" "$preload" "$@" \
			>"$dir/log" 2>&1 </dev/null &
		;;
	esac
	pid=$!
	peer_pids[$name]=$pid
	peer_dirs[$name]=$dir
	peer_use "$name"
	"$PEER_BIN/fxctl" wait "$sock" && kill -0 "$pid" 2>/dev/null && return 0
	cat "$dir/log" >&2
	peer_stop "$name"
	return 1
}

# peer_use NAME: the variables tell of this one, started before
peer_use() {
	PEER_NAME=$1
	PEER_PID=${peer_pids[$1]}
	PEER_DIR=${peer_dirs[$1]}
	PEER_SOCK=$PEER_DIR/run/socket
	FAKEXEN_DIR=$PEER_DIR/fx
	VMM_SOCKET=$PEER_DIR/run/vmm
	export PEER_NAME PEER_PID PEER_DIR PEER_SOCK FAKEXEN_DIR VMM_SOCKET
}

# peer_stop NAME: whatever state it is in
peer_stop() {
	local pid=${peer_pids[$1]} i

	kill "$pid" 2>/dev/null
	# Two seconds; what is wrapped may have more to do.
	for ((i = 0; i < ${PEER_WRAP:+5}00 + 100; i++)); do
		kill -0 "$pid" 2>/dev/null || break
		sleep 0.02
	done
	kill_group "$pid"
	rm -rf "${peer_dirs[$1]}"
	unset "peer_pids[$1]" "peer_dirs[$1]"
}

peer_stop_all() {
	local name

	for name in "${!peer_pids[@]}"; do
		peer_stop "$name"
	done
}
trap peer_stop_all EXIT
trap 'exit 1' HUP INT TERM
