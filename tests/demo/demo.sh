#!/bin/bash
# SPDX-License-Identifier: MIT
# make demo: the daemon in a directory of its own, at work with real clients.
# Needs no root and leaves nothing behind.
set -u
cd "$(dirname "$0")/../.." || exit 2
BUILD=${BUILD:-$PWD/build}
dir=$(mktemp -d "${TMPDIR:-/tmp}/xenstore-demo.XXXXXX") || exit 1
export XENSTORED_RUNDIR=$dir XENSTORED_PATH=$dir/socket PATH=$BUILD:$PATH
pid=

cleanup() {
	[ -n "$pid" ] && kill "$pid" 2>/dev/null && wait "$pid" 2>/dev/null
	rm -rf "$dir"
}
trap cleanup EXIT
trap 'exit 1' INT TERM

say() { printf '\n== %s\n' "$*"; }
run() { printf '    $ %s\n' "$*"; "$@" 2>&1 | sed 's/^/    /'; return "${PIPESTATUS[0]}"; }
fail() { echo "demo: $*" >&2; exit 1; }

say "xenstored starts in $dir, with a socket and no Xen"
xenstored --no-fork --xenport vmm >"$dir/log" 2>&1 &
pid=$!
for _ in $(seq 400); do
	xenstore-exists / 2>/dev/null && break
	kill -0 $pid 2>/dev/null || { cat "$dir/log" >&2; fail "the daemon did not start"; }
	sleep 0.05
done
xenstore-exists / || fail "the daemon does not answer"

say "A tree is written and listed"
run xenstore-write /local/domain/5/name web /local/domain/5/memory/target 524288 || fail write
run xenstore-write /local/domain/5/note 'tabs	and bytes: \x00\xff' || fail write
run xenstore-ls -fp /local || fail ls
run xenstore-chmod -r /local/domain/5 n0 r0 || fail chmod
run xenstore-ls -p /local/domain/5 || fail ls
run xenstore-read /local/domain/5/name || fail read

say "A watch fires: first at once, then for each change below"
xenstore-watch -n 4 /local/domain/5 >"$dir/events" &
watcher=$!
for _ in $(seq 500); do [ -s "$dir/events" ] && break; sleep 0.02; done
run xenstore-write /local/domain/5/name db
run xenstore-write /local/domain/5/state 4
run xenstore-rm /local/domain/5/memory
wait $watcher || fail watch
sed 's/^/    event: /' "$dir/events"

say "Transactions that collide: the loser is told EAGAIN and tries again"
"$BUILD/tests/demo/conflict" || fail conflict
run xenstore-read /demo/counter
[ "$(xenstore-read /demo/counter)" = 6 ] || fail "a count was lost"

say "What the daemon has done"
run xenstore-control stats | head -14

if [ -x "$BUILD/tests/guest/guest" ]; then
	say "Guests, each a process with a page of its own"
	"$BUILD/tests/guest/guest" demo 2>&1 | sed 's/^/    /'
	[ "${PIPESTATUS[0]}" = 0 ] || fail guests
fi

say "Done; nothing is left behind"
cat <<EOF
    For real: make install (as root), name the daemon in /etc/default/xen and
    reboot, as README.md, "On a Xen host", says; manual page xenstored(8).
    By hand, anywhere: XENSTORED_RUNDIR=/tmp/xs xenstored --no-fork
EOF
