# SPDX-License-Identifier: MIT
# The daemon's worker is killed while a guest and dom0 use the store: nobody
# notices. The guest counts in its node all the time; its disk stays connected.
. /usr/lib/xentest/lib.sh
scenario=crash

# Of the keeper's children, the one that waits in epoll_wait; the other is its
# standby.
worker() {
	for w in $(cat "/proc/$(cat $pidfile)/task/"*/children); do
		case $(cat "/proc/$w/syscall") in "232 "*) echo "$w" ;; esac
	done
}
content() {
	xenstore-ls -fp | grep -v -e /data/ -e '^/t' | sort
}
unchanged() {
	content >/tmp/after
	diff /tmp/before /tmp/after
}
answers() { [ "$(gexec "$id" 'xenstore-read domid' 60)" = "$id" ]; }
killed() {
	old=$(worker)
	[ -n "$old" ] && kill -9 "$old" && wait_for 20 replaced
}
replaced() {
	new=$(worker)
	[ -n "$new" ] && [ "$new" != "$old" ]
}
watched() {
	before=$(wc -l <"$1")
	xenstore-write "$2" 1
	wait_for 10 sh -c "[ \$(wc -l <$1) -gt $before ]"
}
gone() {
	wait_for 60 xs_gone "/local/domain/$1" && wait_for 30 dom_gone "$1"
}

cfg=$(guest_cfg k1 "disk = [ 'format=raw,vdev=xvda,access=rw,target=/dev/ram0' ]")
check "a guest is there" timeout 300 xl create -q "$cfg"
id=$(xl domid k1)
check "it is connected" wait_for 90 connected "$id" vbd/51712
check "it answers" answers
special_events /tmp/special
xenstore-watch /t >/tmp/watch 2>&1 &
watcher=$!
wait_for 10 sh -c '[ -s /tmp/watch ]'
content >/tmp/before
for k in 1 2 3; do
	check "kill $k: the worker is killed and replaced" killed
	check "kill $k: the store is unchanged" unchanged
	check "kill $k: a watch of dom0 fires on the same connection" \
		watched /tmp/watch /t/$k
	check "kill $k: the guest's watch fires, it reads and writes" answers
done
# Each of the guest's requests must be executed and answered exactly once.
gexec "$id" 'i=0; while [ $i -lt 60 ]; do i=$((i+1)); xenstore-write data/i $i && [ $(xenstore-read data/i) = $i ] || exit 1; done' 200 &
counter=$!
kills=0
while kill -0 $counter 2>/dev/null && [ $kills -lt 40 ]; do
	killed && kills=$((kills + 1))
	sleep 0.3
done
check "the guest counts to 60 and reads each number back" wait $counter
log "$kills kills meanwhile"
check "the number is there" xs_is "/local/domain/$id/data/i" 60
check "a disk is attached after the kills" xl block-attach k1 \
	'format=raw,vdev=xvdc,access=rw,target=/dev/ram1'
check "it connects" wait_for 40 connected "$id" vbd/51744
check "a killed guest is noticed by a worker that was not its first" \
	xl destroy k1
check "nothing of it remains" gone "$id"
kill $watcher $special_pid
check "its end was told" [ "$(grep -c release /tmp/special)" -ge 2 ]
check "the hypervisor has no domain left but dom0" wait_for 20 only_dom0
