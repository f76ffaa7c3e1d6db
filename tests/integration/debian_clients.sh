#!/bin/bash
# SPDX-License-Identifier: MIT
# Debian's unmodified clients, compiled against Xen's library, on our daemon:
# the xenstore-* tools, xenstore-control, test-xenstore, and Python's
# xen.lowlevel.xs (P1 of README.md). PEERS=c417 shows what they do on Debian's own.
set -u
cd "$(dirname "$0")/../.." || exit 2
export BUILD=${BUILD:-$PWD/build}
# shellcheck source=tests/peers/peers.sh
. tests/peers/peers.sh
xen=/usr/lib/xen-4.17
# Ours may be first in the path; these are theirs.
bin=/usr/bin
# XENSTORE_LIB: a directory whose libxenstore.so.4 they are to use
export LD_LIBRARY_PATH=${XENSTORE_LIB:-}
n=0 rc=0

ok() { n=$((n + 1)); echo "ok $n - $peer: $1"; }
not_ok() {
	n=$((n + 1)) rc=1
	echo "not ok $n - $peer: $1"
	printf '%s\n' "${@:2}" | sed 's/^/# /'
}

# is SENTENCE WANTED COMMAND...: its output, both streams, and exit status if
# it is not 0
is() {
	local sentence=$1 wanted=$2 got status

	shift 2
	got=$(timeout 20 "$@" 2>&1)
	status=$?
	[ $status -eq 0 ] || got+="${got:+$'\n'}exit $status"
	if [ "$got" = "$wanted" ]; then
		ok "$sentence"
	else
		not_ok "$sentence" "wanted:" "$wanted" "got:" "$got"
	fi
}

tools() {
	is "xenstore-write and xenstore-read" "some value" bash -c \
		"$bin/xenstore-write /t/a 'some value' && $bin/xenstore-read /t/a"
	is "xenstore-write of several nodes at once" $'1\n2' bash -c \
		"$bin/xenstore-write /t/b 1 /t/c 2 && $bin/xenstore-read /t/b /t/c"
	is "xenstore-read of a missing node says so" \
		$'xenstore-read: couldn\'t read path /t/nox\nexit 1' \
		"$bin/xenstore-read" /t/nox
	is "xenstore-list" $'a\nb\nc' "$bin/xenstore-list" /t
	is "xenstore-exists" $'yes\nno' bash -c \
		"$bin/xenstore-exists /t/a && echo yes; $bin/xenstore-exists /t/x || echo no"
	is "xenstore-chmod and xenstore-ls -p" \
		$'a = "some value" (n0,r5)\nb = "1" (n0)\nc = "2" (n0)' bash -c \
		"$bin/xenstore-chmod /t/a n0 r5 && $bin/xenstore-ls -p /t | sed 's/[ .]*(/ (/'"
	is "xenstore-ls -f" \
		$'/t/a = "some value"\n/t/b = "1"\n/t/c = "2"' "$bin/xenstore-ls" -f /t
	is "xenstore-rm takes the subtree" $'exit 1' bash -c \
		"$bin/xenstore-write /t/d/e/f 1 && $bin/xenstore-rm /t/d && $bin/xenstore-exists /t/d"
	is "xenstore-rm -t takes parents that become empty" "exit 1" bash -c \
		"$bin/xenstore-write /u/v/w 1 && $bin/xenstore-rm -t /u/v/w && $bin/xenstore-exists /u"
	is "a relative path begins at dom0's home" "9" bash -c \
		"$bin/xenstore-write rel/x 9 && $bin/xenstore-read /local/domain/0/rel/x"
	is "xenstore-watch sees its first event and a change" $'/t/w\n/t/w/x' bash -c "
		$bin/xenstore-watch -n 2 /t/w & w=\$!
		for i in {1..50}; do sleep 0.05; $bin/xenstore-write /t/w/x \$i; kill -0 \$w 2>/dev/null || break; done
		wait \$w"
	# More than fits one message: the library pages.
	is "xenstore-list of 1000 children" "1000" bash -c \
		"$bin/xenstore-write \$(for i in {1..1000}; do echo /big/child-\$i 1; done) &&
		$bin/xenstore-list /big | wc -l"
	is "xenstore-rm of 1000 children" "" "$bin/xenstore-rm" /big
	is "xenstore-ls of everything" "0" bash -c \
		"$bin/xenstore-ls -fp / >/dev/null; echo \$?"
}

control() {
	is "xenstore-control check" "OK" "$xen/bin/xenstore-control" check
	is "xenstore-control log on" "OK" "$xen/bin/xenstore-control" log on
	is "xenstore-control quota lists the limits" "nodes 1000" bash -c \
		"$xen/bin/xenstore-control quota | sed -n 's/^nodes *: *\([0-9]*\) .*/nodes \1/p'"
	is "xenstore-control quota set" "nodes 77" bash -c "
		$xen/bin/xenstore-control quota set nodes 77 >/dev/null &&
		$xen/bin/xenstore-control quota | sed -n 's/^nodes *: *\([0-9]*\) .*/nodes \1/p'
		$xen/bin/xenstore-control quota set nodes 1000 >/dev/null"
	is "xenstore-control help has live-update" "yes" bash -c \
		"$xen/bin/xenstore-control help | grep -q live-update && echo yes"
	is "xenstore-control print" "OK" "$xen/bin/xenstore-control" print hello
	is "an unknown command fails" "3" bash -c \
		"$xen/bin/xenstore-control nonsense >/dev/null 2>&1; echo \$?"
}

speed() {
	local out

	if out=$(timeout 60 $xen/bin/test-xenstore -i 50 2>&1) &&
		[ "$(grep -c ' ns' <<<"$out")" -eq 12 ]; then
		ok "test-xenstore's twelve tests pass, 50 times each"
	else
		not_ok "test-xenstore's twelve tests pass, 50 times each" "$out"
	fi
	if out=$(timeout 60 $xen/bin/test-xenstore -r 2 2>&1); then
		ok "test-xenstore's random tests pass for two seconds"
	else
		not_ok "test-xenstore's random tests pass for two seconds" "$out"
	fi
}

python() {
	local out

	out=$(timeout 60 /usr/bin/python3 tests/integration/debian_xs.py \
		$xen/lib/python 2>&1) || rc=1
	[ -n "$out" ] || out="not ok - it printed nothing"
	while read -r line; do
		case $line in
		"ok "* | "not ok "*)
			n=$((n + 1))
			echo "${line%% - *}" | sed "s/ [0-9]*\$/ $n - $peer: /" | tr -d '\n'
			echo "${line#* - }"
			;;
		*) echo "# $line" ;;
		esac
	done <<<"$out"
}

for peer in ${PEERS:-ours}; do
	if ! peer_can "$peer"; then
		echo "ok - Debian's clients on $peer # SKIP $PEER_WHY"
		continue
	fi
	if [ ! -x $bin/xenstore-ls ] || [ ! -x $xen/bin/test-xenstore ]; then
		echo "ok - Debian's clients on $peer # SKIP they are not installed"
		continue
	fi
	peer_start "$peer" || exit 1
	export XENSTORED_PATH=$PEER_SOCK
	tools
	control
	speed
	python
	kill -0 "$PEER_PID" || not_ok "the daemon lives on"
	peer_stop "$peer"
done
echo "1..$n"
exit $rc
