#!/bin/bash
# SPDX-License-Identifier: MIT
# The daemon in valgrind while the conformance scripts and Debian's clients are
# at work, and when it goes on from the journal of a dead one: no memory is used
# that was not set or is not there, and none is forgotten. Each daemon has a log,
# which is empty if there is nothing to say.
# Without the keeper, for processes that share a descriptor table are more than
# valgrind can follow.
set -u
cd "$(dirname "$0")/../.." || exit 2
export BUILD=${BUILD:-$PWD/build}
logs=$(mktemp -d "${TMPDIR:-/tmp}/xenstore-valgrind.XXXXXX") || exit 2
trap 'kill $(jobs -p) 2>/dev/null; wait; rm -rf "$logs" "$logs".*' EXIT
rc=0

export PEER_OPTIONS="--no-keeper"

# Debian's clients are not wrapped; env, which starts the daemon, is.
export PEER_WRAP="valgrind -q --trace-children=yes
	--leak-check=full --show-leak-kinds=definite
	--errors-for-leak-kinds=definite --log-file=$logs/%p"

# Calls that this valgrind does not know are refused, as by an older kernel.
says_nothing()
{
	local log

	for log in "$logs"/*; do
		grep -vE 'WARNING: unhandled .* syscall|You may be able to write|Read the file README_MISS|Nevertheless we consider|it at http' \
			"$log" && return 1
	done
	return 0
}

run()
{
	rm -f "$logs"/*
	if "${@:2}" >"$logs.out" 2>&1; then
		echo "ok - $1 in valgrind"
	else
		rc=1
		echo "not ok - $1 in valgrind"
		grep -A3 '^not ok' "$logs.out" | head -n 40 | sed 's/^/# /'
	fi
	rm -f "$logs.out"
	if [ -z "$(ls "$logs")" ]; then
		rc=1
		echo "not ok - valgrind was used"
	elif says_nothing >"$logs.out"; then
		echo "ok - valgrind has nothing to say about it ($(find "$logs" -type f | wc -l) processes)"
	else
		rc=1
		echo "not ok - valgrind has nothing to say about it"
		head -n 60 "$logs.out" | sed 's/^/# /'
	fi
	rm -f "$logs.out"
}

# until COMMAND...: within 30 s
until_ok()
{
	for _ in $(seq 300); do
		"$@" >/dev/null 2>&1 && return
		sleep .1
	done
	echo "not ok - $* succeeds in time"
	return 1
}

serve()
{
	# shellcheck disable=SC2086
	$PEER_WRAP "$BUILD/xenstored" --no-fork --xenport vmm $PEER_OPTIONS &
	daemon=$!
	until_ok "$BUILD/xenstore-exists" /
}

# The journal is what there is when all has died. (There is no update here: this
# valgrind does not know pidfd_open().)
lives()
{
	local i before

	export XENSTORED_RUNDIR=$logs.run
	mkdir -p "$XENSTORED_RUNDIR"
	serve || return
	for i in $(seq 40); do
		printf '%s=%s\n' "/a/$i/$i" "$(printf "%0$((i * 40))d" "$i")" \
			"/b/$((i % 7))/$i" "$i"
	done >"$logs.run/load"
	for i in $(seq 3); do
		tr '=\n' '  ' <"$logs.run/load" |
			xargs -n 160 "$BUILD/xenstore-write" || return
		"$BUILD/xenstore-rm" /a || return
	done
	"$BUILD/xenstore-chmod" /b/1 r0 || return
	before=$("$BUILD/xenstore-ls" -p /) || return
	kill -KILL "$daemon"
	wait "$daemon"
	serve || return
	[ "$("$BUILD/xenstore-ls" -p /)" = "$before" ] ||
		echo "not ok - what was written is there after a death"
	kill -TERM "$daemon"
	wait "$daemon" || echo "not ok - it ends as it should"
}

# As a command, for run().
whole_life()
{
	lives >"$logs.lives" 2>&1 || echo "not ok - all is done" >>"$logs.lives"
	cat "$logs.lives"
	! grep '^not ok' "$logs.lives"
}

run "conformance" env PEERS="ours ours-xen ours-vmm" \
	tests/conformance/conformance.sh
run "Debian's clients" env PEERS=ours tests/integration/debian_clients.sh
run "a death" whole_life
exit $rc
