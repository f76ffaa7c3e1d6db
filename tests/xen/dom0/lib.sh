# SPDX-License-Identifier: MIT
#
# Sourced by what runs in dom0 (busybox sh).

pidfile=/run/xenstored.pid
bin=/usr/lib/xen-4.17/bin

up() { cut -d' ' -f1 /proc/uptime; }
log() { echo "# [$(up)] $*"; }
timing() { log "$@"; echo "$(up) $*" >>/out/timing; }
since() { awk -v a="$1" -v b="$(up)" 'BEGIN { printf "%.1f s", b - a }'; }

# result "ok"|"not ok" SENTENCE
result() {
	n=$(($(cat /tmp/result.n 2>/dev/null) + 1))
	echo "$n" >/tmp/result.n
	echo "$1 $n - $2" | tee -a /out/tap
}

# check SENTENCE COMMAND...: a scenario ends where something fails
check() {
	what=$1
	shift
	if "$@"; then
		result ok "$what"
	else
		result "not ok" "$what"
		dump
		exit 1
	fi
}

# wait_for SECONDS COMMAND...: until the command succeeds
wait_for() {
	tries=$(($1 * 5))
	shift
	while ! "$@" >/dev/null 2>&1; do
		tries=$((tries - 1))
		[ $tries -gt 0 ] || return 1
		sleep 0.2
	done
}

dump() {
	echo "--- xl list"; timeout 10 xl list
	echo "--- store"; timeout 10 xenstore-ls -fp
	for l in /var/log/xen/console/*.log /var/log/xen/xen-hotplug.log \
		 /var/log/xen/xenstored.out; do
		[ -s "$l" ] && { echo "--- $l"; tail -n 40 "$l"; }
	done
	echo "--- dmesg"; dmesg | tail -n 20
}

# ---- services ---------------------------------------------------------------

xenstored_alive() { kill -0 "$(cat $pidfile 2>/dev/null)" 2>/dev/null; }

start_xenstored() {
	log "starting $XENSTORED"
	{ $XENSTORED </dev/null >>/var/log/xen/xenstored.out 2>&1 ||
		echo "status $?" >/run/xenstored.failed; } &
	wait_for 30 sh -c "test -s $pidfile || test -e /run/xenstored.failed"
	[ -s $pidfile ] && wait_for 30 timeout 10 xenstore-read -s / &&
		wait_for 10 test -S /run/xenstored/socket && return
	result "not ok" "xenstored starts and answers"
	cat /run/xenstored.failed /var/log/xen/xenstored.out
	return 1
}

start_xen_services() {
	timeout 30 $bin/xen-init-dom0 &&
	timeout 30 $bin/xenconsoled --log=guest --log-dir=/var/log/xen/console \
		--pid-file=/run/xenconsoled.pid </dev/null >/dev/null 2>&1 &&
		return
	result "not ok" "xen-init-dom0 and xenconsoled start"
	return 1
}

# ---- the store --------------------------------------------------------------

xs_is() { [ "$(xenstore-read "$1" 2>/dev/null)" = "$2" ]; }
xs_gone() { ! xenstore-exists "$1" 2>/dev/null; }

# tree NAME: keeps the whole store, once it stands still
tree() {
	tree_n=$((${tree_n:-0} + 1))
	t=/out/trees/$(printf '%s-%02d-%s' "$scenario" $tree_n "$1")
	for _ in 1 2 3 4 5 6 7 8 9 10; do
		xenstore-ls -fp >"$t"
		sleep 0.3
		xenstore-ls -fp | cmp -s - "$t" && return
	done
}

# special_events FILE: @introduceDomain and @releaseDomain from now on
special_events() {
	xenstore-watch @introduceDomain @releaseDomain >"$1" 2>&1 &
	special_pid=$!
	wait_for 10 sh -c "[ \$(wc -l <$1) -ge 2 ]"
}

# ---- guests -----------------------------------------------------------------

# guest_cfg NAME [LINE]...: writes a configuration, prints its path
guest_cfg() {
	f=/tmp/$1.cfg
	uuid_n=$(printf %s "$1" | md5sum | cut -c1-12)
	cat >"$f" <<-CFG
	name = "$1"
	uuid = "00000000-0000-4000-8000-$uuid_n"
	type = "${GUEST_TYPE:-pv}"
	kernel = "/guest/vmlinux"
	ramdisk = "/guest/initrd"
	memory = ${GUEST_MEM:-128}
	vcpus = 1
	extra = "console=hvc0 rdinit=/init quiet loglevel=4 panic=1 mitigations=off random.trust_cpu=on net.ifnames=0"
	on_poweroff = "destroy"
	on_reboot = "restart"
	on_crash = "destroy"
	vfb = []
	CFG
	shift
	for l; do echo "$l" >>"$f"; done
	echo "$f"
}

guest_ready() { xs_is "/local/domain/$1/data/agent" ready; }

# Not even dying ones, which a page that the daemon keeps mapped would hold.
only_dom0() { [ "$(xl list | wc -l)" = 2 ]; }
dom_gone() { ! xl domname "$1" >/dev/null 2>&1; }

# connected DOMID DEVICE...: front and back are in state 4
connected() {
	cd_id=$1
	shift
	for d; do
		xs_is "/local/domain/$cd_id/device/$d/state" 4 &&
		xs_is "/local/domain/0/backend/${d%/*}/$cd_id/${d#*/}/state" 4 ||
			return 1
	done
}

# gexec DOMID COMMAND [SECONDS]: has the guest's agent run a command of one
# line; prints the output, returns the status. A restored guest remembers the
# last number of its former domid, so numbers of different domids differ.
gexec() {
	p=/local/domain/$1/data
	seq=$(($(cat /tmp/seq.$1 2>/dev/null || echo $(($1 * 1000))) + 1))
	echo $seq >/tmp/seq.$1
	xenstore-write "$p/cmd" "$seq $2" || return 125
	k=$((${3:-30} * 10))
	while :; do
		r=$(xenstore-read "$p/result" 2>/dev/null)
		case $r in "$seq "*) break ;; esac
		k=$((k - 1))
		[ $k -gt 0 ] || { log "no answer from domain $1"; return 124; }
		sleep 0.1
	done
	printf '%b\n' "$(xenstore-read "$p/output" 2>/dev/null)"
	return "${r#* }"
}
