#!/bin/bash
# SPDX-License-Identifier: MIT
# The daemon in valgrind while the conformance scripts and Debian's clients are
# at work: no memory is used that was not set or is not there, and none is
# forgotten. Each daemon has a log, which is empty if there is nothing to say.
# Without the keeper, for processes that share a descriptor table are more than
# valgrind can follow.
set -u
cd "$(dirname "$0")/../.." || exit 2
export BUILD=${BUILD:-$PWD/build}
logs=$(mktemp -d "${TMPDIR:-/tmp}/xenstore-valgrind.XXXXXX") || exit 2
trap 'rm -rf "$logs" "$logs.out"' EXIT
rc=0

# Debian's valgrind gives up on a program that maps more of a file after it was
# renamed ("aspacem assertion failed: ! is_freeslot(ix)"), as the journal does
# when it grows. The unit tests of the journal run in valgrind without that.
export PEER_OPTIONS="--no-keeper --journal off"

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

run "conformance" env PEERS="ours ours-xen ours-vmm" \
	tests/conformance/conformance.sh
run "Debian's clients" env PEERS=ours tests/integration/debian_clients.sh
exit $rc
