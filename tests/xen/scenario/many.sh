# SPDX-License-Identifier: MIT
# Three guests at once: two made in parallel, permissions between them, traffic
# of all at the same time, and three ways to die.
. /usr/lib/xentest/lib.sh
scenario=many
GUEST_MEM=96

# create N [DISK]
create() {
	cfg=$(guest_cfg "m$1" "disk = [ $2 ]")
	timeout 300 xl create -q "$cfg"
}
# Of those in parallel only one has a disk: libxl gives a hotplug script 40 s,
# and two that wait for each other's lock are slower here.
create_all() {
	create 1 "'format=raw,vdev=xvda,access=rw,target=/dev/ram1'" &
	first=$!
	create 2 && wait $first &&
	create 3 "'format=raw,vdev=xvda,access=rw,target=/dev/ram3'"
}
ready() {
	for i in 1 2 3; do
		wait_for 120 guest_ready "$(xl domid m$i)" || return 1
	done
	wait_for 30 connected "$(xl domid m1)" vbd/51712 &&
	wait_for 30 connected "$(xl domid m3)" vbd/51712
}
traffic() {
	pids=
	for d in $a $b $c; do
		gexec "$d" 'for j in 0 1 2 3 4 5 6 7 8 9; do xenstore-write data/x$j $j && [ $(xenstore-read data/x$j) = $j ] || exit 1; done' 120 &
		pids="$pids $!"
	done
	for p in $pids; do wait "$p" || return 1; done
}
refused() { ! "$@"; }
gone() {
	for d; do
		wait_for 60 xs_gone "/local/domain/$d" &&
		wait_for 30 xs_gone "/local/domain/0/backend/vbd/$d" &&
		wait_for 30 dom_gone "$d" || return 1
	done
}

special_events /tmp/many.log
tree start
t=$(up)
check "two guests are created in parallel, and a third" create_all
check "all three connect" ready
timing "three guests made and connected: $(since "$t")"
a=$(xl domid m1) b=$(xl domid m2) c=$(xl domid m3)
check "m1 writes a node of its own" gexec "$a" 'xenstore-write data/shared secret'
check "m2 may not read it" refused gexec "$b" "xenstore-read /local/domain/$a/data/shared"
check "m1 lets m2 read" gexec "$a" "xenstore-chmod data/shared n$a r$b"
check "m2 reads it" \
	[ "$(gexec "$b" "xenstore-read /local/domain/$a/data/shared")" = secret ]
check "m2 may not write it" refused gexec "$b" "xenstore-write /local/domain/$a/data/shared x"
check "m3 may not read it" refused gexec "$c" "xenstore-read /local/domain/$a/data/shared"
t=$(up)
check "all three write and read at the same time" traffic
timing "10 writes and reads in each of three guests: $(since "$t")"
check "m1 is destroyed" xl destroy m1
check "nothing of m1 remains" gone "$a"
xenstore-write "/local/domain/$b/data/cmd" "0 echo c >/proc/sysrq-trigger"
check "m2 crashes and is cleaned up" gone "$b"
check "m3 still answers" gexec "$c" true
check "xl shutdown of m3" timeout 150 xl shutdown -w m3
check "nothing of m3 remains" gone "$c"
kill $special_pid
cp /tmp/many.log /out/
log "special events: $(sort /tmp/many.log | uniq -c | tr -s ' \n' ' ')"
check "@introduceDomain fired three times" \
	[ "$(grep -c introduceDomain /tmp/many.log)" = 4 ]
check "@releaseDomain fired for each death" \
	[ "$(grep -c releaseDomain /tmp/many.log)" -ge 4 ]
check "the hypervisor has no domain left but dom0" wait_for 20 only_dom0
tree end
