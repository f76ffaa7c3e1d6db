# SPDX-License-Identifier: MIT
# Live updates with a guest connected, from one daemon to the next of the list
# in $UPDATES (default: the one that runs, to a copy of itself). The store, the
# guest's ring and watches, and dom0's watches survive each.
. /usr/lib/xentest/lib.sh
scenario=update

daemon_exe() { readlink "/proc/$(cat $pidfile)/exe"; }
content() {
	xenstore-ls -fp | grep -v -e /data/ -e '^/tool/xenstored' \
		-e '^/@.*Domain' -e '^/t' | sort
}
# update_to PROGRAM: xenstore-control ends when the new one serves
update_to() {
	timeout 90 xenstore-control live-update "$1" && wait_for 20 runs "$1"
}
runs() { [ "$(daemon_exe)" = "$1" ] && xenstored_alive; }
watched() {
	before=$(wc -l <"$1")
	xenstore-write "$2" 1
	wait_for 10 sh -c "[ \$(wc -l <$1) -gt $before ]"
}
answers() { [ "$(gexec "$id" 'xenstore-read domid' 60)" = "$id" ]; }
unchanged() {
	content >/tmp/after
	diff /tmp/before /tmp/after
}
gone() {
	wait_for 60 xs_gone "/local/domain/$1" && wait_for 30 dom_gone "$1"
}

if [ -z "$UPDATES" ]; then
	cp "$(daemon_exe)" /run/updated-xenstored
	UPDATES=/run/updated-xenstored
fi
cfg=$(guest_cfg l1 "disk = [ 'format=raw,vdev=xvda,access=rw,target=/dev/ram0' ]")
check "a guest is there" timeout 300 xl create -q "$cfg"
id=$(xl domid l1)
check "it is connected" wait_for 90 connected "$id" vbd/51712
check "it answers" answers
special_events /tmp/special
xenstore-watch /t >/tmp/watch 2>&1 &
watcher=$!
wait_for 10 sh -c '[ -s /tmp/watch ]'
content >/tmp/before
u=0
for to in $UPDATES; do
	u=$((u + 1))
	from=$(daemon_exe)
	t=$(up)
	check "update $u: $from hands over to $to" update_to "$to"
	timing "update $u, from $from to $to: $(since "$t")"
	check "update $u: the store is unchanged" unchanged
	check "update $u: a watch of dom0 still fires" watched /tmp/watch /t/$u
	check "update $u: the guest's watch fires, it reads and writes" answers
	check "update $u: dom0's kernel is served" \
		sh -c "mv /run/xenstored/socket /run/xenstored/away
		       timeout 20 xenstore-read domid
		       rc=\$?
		       mv /run/xenstored/away /run/xenstored/socket
		       exit \$rc"
done
check "a disk is attached after the updates" xl block-attach l1 \
	'format=raw,vdev=xvdc,access=rw,target=/dev/ram1'
check "it connects" wait_for 40 connected "$id" vbd/51744
check "the guest shuts down" timeout 150 xl shutdown -w l1
check "nothing of it remains" gone "$id"
kill $watcher $special_pid
check "its end was told" [ "$(grep -c release /tmp/special)" -ge 2 ]
check "the hypervisor has no domain left but dom0" wait_for 20 only_dom0
