#!/bin/bash
# SPDX-License-Identifier: MIT
# The library's tests that need a daemon, on ours and on both of Debian's:
# what its functions promise, the device transport, the stress, and the
# stress with a daemon that dies; and that under valgrind and the thread
# sanitizer.
#
# LIBRARY_STRESS: seconds of each stress (default 2).
cd "$(dirname "$0")/../.." || exit 2
. tests/peers/peers.sh
bin=$BUILD/tests/integration
seconds=${LIBRARY_STRESS:-2}
export PEER_RAISE=1
dir=$(mktemp -d)
trap 'peer_stop_all; rm -rf "$dir"' EXIT
rc=0

# A sanitizer cannot be run under another, nor under valgrind.
nm -D "$BUILD/libxenstore.so.4" | grep -qE '__(asan|tsan)_' && sanitized=1

# with LABEL COMMAND...: its TAP lines, the label in front
with() {
	local label=$1

	shift
	XENSTORED_PATH=$PEER_SOCK "$@" 2>&1 |
		sed -E "s/^((not )?ok [0-9]* ?)- /\1- $label: /; /^1\.\./d
			s/^not ok ([0-9]*) # SKIP /ok \1 - $label: # skip /"
	[ "${PIPESTATUS[0]}" = 0 ] || {
		echo "not ok - $label: $* ends well"
		rc=1
	}
}

start() {
	if ! peer_can "$1"; then
		echo "ok - library on $1 # skip $PEER_WHY"
		return 1
	elif ! peer_start "$@"; then
		echo "not ok - $1 starts"
		rc=1
		return 1
	fi
}

steady_stress() {
	with "$1" "${@:2}" steady "$seconds"
}

# The daemon behind a link is killed and started anew all the time.
restart() {
	kill_group "$PEER_PID"
	sleep 0.0$((RANDOM % 10))
	peer_stop "$PEER_NAME" 2>/dev/null
	start "$peer.$((++instance))" && ln -sfn "$PEER_SOCK" "$dir/link"
}

dying_stress() {
	local instance=0 stress

	ln -sfn "$PEER_SOCK" "$dir/link"
	rm -f "$dir/go" "$dir/out"
	mkfifo "$dir/go"
	XENSTORED_PATH=$dir/link "${@:2}" dying "$seconds" \
		<"$dir/go" >"$dir/out" 2>&1 &
	stress=$!
	exec 3>"$dir/go"
	until grep -q ready "$dir/out" || ! kill -0 $stress; do
		sleep 0.02
	done
	while kill -0 $stress 2>/dev/null && ! grep -q settle "$dir/out"; do
		restart || break
		sleep 0.$((RANDOM % 3))
	done
	restart
	kill -0 $stress 2>/dev/null && echo >&3
	exec 3>&-
	wait $stress || rc=1
	sed -E "/^ready|^settle/d; s/^((not )?ok )- /\1- $1: /" "$dir/out"
	grep -qE '^(not )?ok' "$dir/out" || {
		echo "not ok - $1: the stress comes to an end"
		rc=1
	}
	peer_stop "$PEER_NAME"
}

first=
for peer in ours c417 ox417; do
	start $peer || continue
	first=${first:-$peer}
	with $peer "$bin/test_library"
	with $peer "$bin/test_library_device"
	steady_stress $peer "$bin/library_stress"
	peer_stop $peer
done

for peer in ours c417; do
	start $peer && dying_stress $peer "$bin/library_stress"
done

peer=$first
[ -n "$peer" ] && [ -z "${sanitized:-}" ] || exit $rc
if start $peer; then
	steady_stress "$peer, valgrind" valgrind -q --leak-check=full \
		--error-exitcode=9 --fair-sched=yes "$bin/library_stress"
	steady_stress "$peer, thread sanitizer" "$bin/library_stress.tsan"
	dying_stress "$peer, thread sanitizer" "$bin/library_stress.tsan"
fi
exit $rc
