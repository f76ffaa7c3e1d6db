#!/bin/bash
# SPDX-License-Identifier: MIT
# Simulated guests against the daemon, in a directory of its own.
set -u
cd "$(dirname "$0")/../.." || exit 2
BUILD=${BUILD:-$PWD/build}
dir=$(mktemp -d "${TMPDIR:-/tmp}/xenstore-guests.XXXXXX") || exit 1
export XENSTORED_RUNDIR=$dir XENSTORED_PATH=$dir/socket
pid= n=0 failed=0

cleanup() {
	[ -n "$pid" ] && kill "$pid" 2>/dev/null && wait "$pid" 2>/dev/null
	rm -rf "$dir"
}
trap cleanup EXIT
trap 'exit 1' INT TERM

ok() {
	n=$((n + 1))
	if [ "$1" = 0 ]; then echo "ok $n - $2"; else
		echo "not ok $n - $2"
		failed=1
	fi
}

# Numbers the lines of another TAP program on.
tap() {
	local line
	while IFS= read -r line; do
		case $line in
		"ok "*) ok 0 "${line#ok * - }" ;;
		"not ok "*) ok 1 "${line#not ok * - }" ;;
		"status 0") ;;
		"status "*) ok 1 "... and it goes on to its end: $line" ;;
		*) echo "# ${line#\# }" ;;
		esac
	done < <("$@" 2>&1; echo "status $?")
}

"$BUILD/xenstored" --no-fork --xenport vmm >"$dir/log" 2>&1 &
pid=$!
for _ in $(seq 400); do
	[ -S "$dir/vmm" ] && "$BUILD/xenstore-exists" / 2>/dev/null && break
	sleep 0.05
done
"$BUILD/xenstore-exists" / || { cat "$dir/log"; exit 1; }

tap timeout 60 "$BUILD/tests/guest/guest" life
tap timeout 100 "$BUILD/tests/guest/guest" many "${GUESTS:-200}"
ldd "$BUILD/xenstored" | grep -q asan && export SANITIZED=1
tap timeout 100 "$BUILD/tests/guest/guest" attack $pid

grep -q 'Domain 36 exceeds soft memory quota' "$dir/log"
ok $? "XSA-354: the operator is told of a guest that fills its memory"

out=$("$BUILD/tests/guest/example" "$dir/vmm" 9 2>&1)
[ "$out" = "domain 9 attached
request 10: reply /local/domain/9
request 1: error EACCES
request 11: error EACCES" ]
ok $? "the example for authors of VMMs does what it says"
[ $failed = 0 ] || sed 's/^/# /' "$dir/log" <<<"$out"

kill -0 $pid 2>/dev/null
ok $? "the daemon lives"
echo "1..$n"
exit $failed
