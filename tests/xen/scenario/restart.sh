# SPDX-License-Identifier: MIT
# The whole daemon ends, by SIGTERM and by being killed, and is started again on
# the same host: guests and dom0's kernel go on over their rings, as if nothing
# had been. Clients on the socket have to connect again.
. /usr/lib/xentest/lib.sh
scenario=restart

content() { xenstore-ls -fp | grep -v /data/ | sort; }
unchanged() {
	content >/tmp/after
	diff /tmp/before /tmp/after
}
answers() { [ "$(gexec "$id" 'xenstore-read domid' 60)" = "$id" ]; }
gone() { wait_for 60 xs_gone "/local/domain/$1" && wait_for 30 dom_gone "$1"; }
# over the ring of dom0's kernel
kernel_is_served() {
	mv /run/xenstored/socket /run/xenstored/away
	timeout 20 xenstore-read domid
	served=$?
	mv /run/xenstored/away /run/xenstored/socket
	return $served
}
ended() { ! kill -0 "$1" 2>/dev/null; }
terminated() {
	pid=$(cat $pidfile)
	kill "$pid" && wait_for 20 ended "$pid"
}
# keeper, worker and standby at once; a keeper that is stopped bears nobody
killed() {
	pid=$(cat $pidfile)
	kill -STOP "$pid"
	kill -9 "$pid" $(cat "/proc/$pid/task/"*/children) &&
	wait_for 20 ended "$pid"
}
# xenconsoled does not connect again by itself, would not hear of the guest's
# death and would keep its console page.
console_again() {
	kill "$(cat /run/xenconsoled.pid)"
	timeout 30 $bin/xenconsoled --pid-file=/run/xenconsoled.pid \
		</dev/null >/dev/null 2>&1
}

cfg=$(guest_cfg r1 "disk = [ 'format=raw,vdev=xvda,access=rw,target=/dev/ram0' ]")
check "a guest is there" timeout 300 xl create -q "$cfg"
id=$(xl domid r1)
check "it is connected" wait_for 90 connected "$id" vbd/51712
check "it answers" answers
content >/tmp/before
for how in terminated killed; do
	check "the daemon is $how" $how
	check "$how: it starts again" start_xenstored
	check "$how: the store is unchanged" unchanged
	check "$how: dom0's kernel is served" kernel_is_served
	check "$how: the guest's watch fires, it reads and writes" answers
done
check "xenconsoled is started again" console_again
check "a disk is attached afterwards" xl block-attach r1 \
	'format=raw,vdev=xvdc,access=rw,target=/dev/ram1'
check "it connects" wait_for 40 connected "$id" vbd/51744
check "the guest is destroyed" timeout 60 xl destroy r1
check "nothing of it remains" gone "$id"
check "the hypervisor has no domain left but dom0" wait_for 20 only_dom0
