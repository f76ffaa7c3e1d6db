#!/bin/bash
# SPDX-License-Identifier: MIT
# Debian's programs that use xenstore, as they are, without Xen: libxl (xl,
# xen-init-dom0), xenconsoled with xenconsole, QEMU's block backend, hotplug
# scripts, and the clients of debian_clients.sh. A preloaded library stands in
# for their hypercalls (fakecall.c, fakexen.c); the store is real.
#
# Each runs with Debian's libxenstore.so.4 and with ours.
# Environment: BUILD; PEERS (default ours), LIBS (default "theirs ours").
set -u
cd "$(dirname "$0")/../.." || exit 2
export BUILD=${BUILD:-$PWD/build}
# shellcheck source=tests/peers/peers.sh
. tests/peers/peers.sh
xen=/usr/lib/xen-4.17/bin
qemu=/usr/libexec/xen-qemu-system-i386
fakecall=$BUILD/tests/integration/fakecall.so
tmp=$(mktemp -d "${TMPDIR:-/tmp}/xenstore-consumers.XXXXXX") || exit 2
trap 'end_children; peer_stop_all; rm -rf "$tmp"' EXIT
export PATH=$BUILD:$PATH
unset LD_LIBRARY_PATH
n=0 rc=0
children=()

end_children()
{
	local pid

	for pid in "${children[@]}"; do
		kill "$pid" 2>/dev/null
		wait "$pid" 2>/dev/null
	done
	children=()
}

# check SENTENCE: by the status of the command before
check()
{
	local good=$?

	n=$((n + 1))
	if [ $good = 0 ]; then
		echo "ok $n - $where: $1"
	else
		echo "not ok $n - $where: $1"
		tail -n 20 "$tmp/log" | sed 's/^/# /'
		rc=1
	fi
}

skip() { n=$((n + 1)); echo "ok $n - $where: $1 # SKIP $2"; }

# is PATH VALUE, within five seconds
is()
{
	local i

	for i in {1..400}; do
		[ "$(xenstore-read "$1" 2>/dev/null)" = "$2" ] && return 0
		sleep 0.05
	done
	echo "$1 is '$(xenstore-read "$1" 2>&1)', not '$2'" >>"$tmp/log"
	return 1
}

is_gone()
{
	local i

	for i in {1..400}; do
		xenstore-exists "$1" || return 0
		sleep 0.05
	done
	echo "$1 is still there" >>"$tmp/log"
	return 1
}

# Runs one of Debian's programs, where it may write below /run and /var.
# PRELOAD, LIB: what to put before its libraries.
theirs()
{
	# shellcheck disable=SC2016,SC2046
	timeout --foreground -k 1 20 $(peer_unshare) bash -c '
		for d in /run /var/lib/xen /var/log/xen; do
			[ ! -d $d ] || mount -t tmpfs none $d || exit 99
		done
		mkdir -p /run/xen /run/lock /run/xen-hotplug
		preload=$1 lib=$2
		shift 2
		LD_PRELOAD=$preload LD_LIBRARY_PATH=$lib exec "$@"
	' theirs "${PRELOAD-$fakecall}" "$lib_path" "$@" </dev/null
}

says() { grep -qxF -- "$1" "$tmp/log"; }

prepare_guest()
{
	local be=/local/domain/0/backend/vif/5/0 fe=/local/domain/5/device/vif/0
	local libxl=/libxl/5/device/vif/0

	xenstore-write /local/domain/5/name guest /local/domain/5/domid 5 \
		/local/domain/5/vm /vm/5 /vm/5/name guest /libxl/5/type pv \
		/local/domain/5/control/shutdown '' \
		$libxl/frontend $fe $libxl/backend $be \
		$fe/backend $be $fe/backend-id 0 $fe/state 4 \
		$be/frontend $fe $be/frontend-id 5 $be/state 4 $be/online 1 \
		$be/handle 0 $be/mac 00:16:3e:00:00:05 $be/type vif \
		$be/script /bin/true $be/hotplug-status ''
}

# Does what a guest and its network backend would.
play_guest()
{
	local path value

	xenstore-watch /local/domain/5/control/shutdown \
		/local/domain/0/backend/vif/5/0/state 2>/dev/null |
	while read -r path; do
		value=$(xenstore-read "$path" 2>/dev/null)
		case $path:$value in
		*/shutdown:?*)
			xenstore-write /guest/saw "$value" "$path" '' ;;
		*/state:5)
			xenstore-write "$path" 6 ;;
		esac
	done
}

# A watcher ends with the daemon; here, earlier.
start_guest()
{
	set -m
	play_guest &
	guest=$!
	set +m
}

end_guest()
{
	kill -- "-$guest" 2>/dev/null
	wait "$guest" 2>/dev/null
}

toolstack()
{
	export FAKECALL_DOMAINS="0 5"
	theirs $xen/xen-init-dom0 >"$tmp/log" 2>&1 &&
		is /local/domain/0/name Domain-0
	check "xen-init-dom0 sets up dom0"

	prepare_guest
	start_guest
	theirs $xen/xl list >"$tmp/log" 2>&1 &&
		grep -q '^Domain-0 *0 ' "$tmp/log" &&
		grep -q '^guest *5 ' "$tmp/log"
	check "xl list shows the names of domains"
	theirs $xen/xl domid guest >"$tmp/log" 2>&1 && says 5
	check "xl domid finds a guest by its name"
	theirs $xen/xl rename guest visitor >"$tmp/log" 2>&1 &&
		is /local/domain/5/name visitor
	check "xl rename renames the guest"
	theirs $xen/xl network-list 5 >"$tmp/log" 2>&1 &&
		grep -q '^0 .* /local/domain/0/backend/vif/5/0' "$tmp/log"
	check "xl network-list shows the guest's interface"
	theirs $xen/xl sysrq 5 h >"$tmp/log" 2>&1 &&
		is /local/domain/5/control/sysrq h
	check "xl sysrq writes the key for the guest"
	theirs $xen/xl shutdown 5 >"$tmp/log" 2>&1 &&
		is /guest/saw poweroff
	check "xl shutdown waits until the guest has acknowledged"
	theirs $xen/xl reboot 5 >"$tmp/log" 2>&1 && is /guest/saw reboot
	check "xl reboot waits until the guest has acknowledged"
	theirs $xen/xl network-detach 5 0 >"$tmp/log" 2>&1 &&
		is_gone /local/domain/0/backend/vif/5/0 &&
		is_gone /local/domain/5/device/vif/0 &&
		is_gone /libxl/5/device/vif/0
	check "xl network-detach waits for the backend, then clears up"
	theirs $xen/xl destroy 5 >"$tmp/log" 2>&1
	is_gone /local/domain/5 && is_gone /vm/5 && is_gone /libxl/5
	check "xl destroy leaves nothing of the guest"
	end_guest
}

# One page per guest; text the guest has put into its console's ring.
console()
{
	local fx=$tmp/console text="this is the guest speaking" daemon

	mkdir "$fx"
	FAKEXEN_DIR=$fx "$BUILD/tests/peers/fxctl" create 5
	# struct xencons_interface: in[1024], out[2048], indices in in out out
	{
		head -c $((5 * 4096 + 1024)) /dev/zero
		printf '%-2048s' ''
		printf '\0\0\0\0\0\0\0\0\0\0\0\0\034\0\0\0'
	} >"$fx/new"
	printf '%s\r\n' "$text" |
		dd of="$fx/new" bs=1 seek=$((5 * 4096 + 1024)) conv=notrunc status=none
	dd if="$fx/new" of="$fx/pages" conv=notrunc status=none
	xenstore-write /local/domain/5/name guest \
		/local/domain/5/console/ring-ref 1 \
		/local/domain/5/console/port 2 \
		/local/domain/5/console/type xenconsoled \
		/local/domain/5/console/limit 65536
	set -m
	FAKEXEN_DIR=$fx PRELOAD="$BUILD/tests/peers/fakexen.so $fakecall" \
		theirs $xen/xenconsoled -i -vv --log=none \
		--pid-file=/run/xenconsoled.pid >"$tmp/log" 2>&1 &
	daemon=$!
	set +m
	is_there /local/domain/5/console/tty
	check "xenconsoled finds the guest and offers a terminal"
	theirs timeout 2 $xen/xenconsole 5 >"$tmp/console.out" 2>"$tmp/log"
	cat "$tmp/console.out" >>"$tmp/log"
	[ "$(tr -d '\r' <"$tmp/console.out" | head -n 1)" = "$text" ]
	check "xenconsole shows what the guest says"
	kill -- "-$daemon" 2>/dev/null
	wait "$daemon" 2>/dev/null
	xenstore-rm /local/domain/5
	rm -rf "$fx"
}

is_there()
{
	local i

	for i in {1..400}; do
		xenstore-exists "$1" && return 0
		sleep 0.05
	done
	echo "$1 is missing" >>"$tmp/log"
	return 1
}

device_model()
{
	local be=/local/domain/0/backend/qdisk/5/51712 qemu_pid
	local fe=/local/domain/5/device/vbd/51712

	if [ ! -x $qemu ]; then
		skip "QEMU serves a disk" "no qemu-system-xen"
		return
	fi
	truncate -s 1M "$tmp/disk"
	set -m
	FAKECALL_DOMAINS="0 5" theirs $qemu -M xenpv -xen-attach -xen-domid 5 \
		-display none -nodefaults -monitor none -no-user-config \
		-name guest >"$tmp/log" 2>&1 &
	qemu_pid=$!
	set +m
	is /local/domain/0/device-model/5/state running
	check "QEMU says that it runs"
	xenstore-write $fe/backend $be $fe/backend-id 0 $fe/state 1 \
		$fe/virtual-device 51712 $fe/device-type disk \
		$be/frontend $fe $be/frontend-id 5 $be/online 1 \
		$be/removable 0 $be/bootable 1 $be/dev xvda $be/type qdisk \
		$be/mode w $be/device-type disk $be/params "aio:$tmp/disk" \
		$be/discard-enable 0 $be/state 1
	is $be/state 2 && is $be/sectors 2048
	check "QEMU sees a new disk and offers it"
	xenstore-write $be/online 0 $be/state 5
	is_gone $be
	check "QEMU closes the disk and removes it"
	kill -- "-$qemu_pid" 2>/dev/null
	wait "$qemu_pid" 2>/dev/null
	xenstore-rm /local/domain/5
	xenstore-rm /local/domain/0/device-model
}

hotplug()
{
	if [ ! -e /etc/xen/scripts/xen-hotplug-common.sh ]; then
		skip "hotplug scripts" "no xen-utils-common"
		return
	fi
	xenstore-write /hot/plug/type phy
	# shellcheck disable=SC2016
	TOOLS=${lib_path:-/usr/bin} XENBUS_PATH=/hot/plug PRELOAD='' theirs bash -c '
		. /etc/xen/scripts/xen-hotplug-common.sh
		PATH=$TOOLS:$PATH
		[ "$(xenstore_read /hot/plug/type)" = phy ] &&
		[ "$(xenstore_read_default /hot/plug/none dflt)" = dflt ] &&
		success' /etc/xen/scripts/test >"$tmp/log" 2>&1 &&
		is /hot/plug/hotplug-status connected
	check "the functions of Debian's hotplug scripts work"
	xenstore-rm /hot
}

uses_our_library()
{
	LD_LIBRARY_PATH=$lib_path ldd $xen/xl | grep -F "$lib_path/libxenstore"
}

clients()
{
	PEERS=$peer XENSTORE_LIB=$lib_path tests/integration/debian_clients.sh \
		>"$tmp/log" 2>&1
	check "debian_clients.sh passes, all $(grep -c ^ok "$tmp/log") of it"
}

for peer in ${PEERS:-ours}; do
	for lib in ${LIBS:-theirs ours}; do
		where="$peer, $lib library"
		if ! peer_can "$peer"; then
			skip "Debian's programs" "$PEER_WHY"
			continue
		elif ! peer_can c417; then
			skip "Debian's programs" "$PEER_WHY"
			continue
		elif [ ! -x $xen/xl ] || [ ! -e "$fakecall" ]; then
			skip "Debian's programs" "no xen-utils-4.17, libxen-dev"
			continue
		fi
		lib_path=
		if [ "$lib" = ours ]; then
			lib_path=$BUILD
			if nm -D "$BUILD/libxenstore.so.4" | grep -q "__[at]san"
			then
				skip "Debian's programs" "built with a sanitizer"
				continue
			fi
			uses_our_library >"$tmp/log" 2>&1
			check "this library is used"
		fi
		peer_start "$peer" || exit 1
		export XENSTORED_PATH=$PEER_SOCK
		toolstack
		console
		device_model
		hotplug
		kill -0 "$PEER_PID"
		check "the daemon lives on"
		peer_stop "$peer"
		# With Debian's library they run as a test of their own.
		[ "$lib" = ours ] && clients
	done
done
echo "1..$n"
exit $rc
