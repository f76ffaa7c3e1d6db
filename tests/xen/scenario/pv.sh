# SPDX-License-Identifier: MIT
# One PV guest with two disks and a network card, through everything that xl
# does to it. Debian's real hotplug scripts set the backends up.
. /usr/lib/xentest/lib.sh
scenario=pv
devices="vbd/51712 vbd/51728 vif/0"

# The guest has another domid than $old, its devices are connected, and it
# answers. Its agent says "ready" only once; a restored guest does not.
up_and_connected() {
	id=$(xl domid g1) && [ "$id" != "$old" ] &&
	wait_for 90 connected "$id" $devices && gexec "$id" true 60
}
in_state() { xl list g1 | awk 'NR == 2 { print $5 }' | grep -q "$1"; }
refused() { ! "$@"; }
disk_carries() {
	gexec "$id" 'echo written-by-guest | dd of=/dev/xvda bs=512 conv=sync; sync' &&
	[ "$(head -c 16 /dev/ram0)" = written-by-guest ]
}
memory_changed() { [ "$(guest_memory)" != "$before" ]; }
guest_memory() { gexec "$id" 'sed -n "s/MemTotal: *//p" /proc/meminfo'; }
console_shows() {
	sleep 15 | timeout 15 xl console g1 >/tmp/console.txt 2>&1 &
	sleep 1
	gexec "$id" "echo $1 >/dev/hvc0"
	wait_for 10 grep -q "$1" /tmp/console.txt
}
vif_states() {
	for v in $(xenstore-list "/local/domain/0/backend/vif/$id"); do
		connected "$id" "vif/$v" || return 1
	done
}
# The watch's first event is for its registration, the second for the write.
guest_watch_fires() {
	gexec "$id" 'timeout 20 xenstore-watch -n 2 data/poke' >/tmp/poke &
	w=$!
	for i in 1 2 3 4 5 6; do
		sleep 1
		xenstore-write "/local/domain/$id/data/poke" $i
		kill -0 $w 2>/dev/null || break
	done
	wait $w && [ "$(grep -c data/poke /tmp/poke)" = 2 ]
}
all_gone() {
	wait_for 40 xs_gone "/local/domain/$1" &&
	wait_for 20 xs_gone "/local/domain/0/backend/vbd/$1" &&
	wait_for 20 xs_gone "/local/domain/0/backend/vif/$1" &&
	wait_for 20 xs_gone "/libxl/$1" &&
	wait_for 20 dom_gone "$1"
}

special_events /tmp/special.log
brctl addbr br0 && ifconfig br0 10.77.0.1 netmask 255.255.255.0 up
truncate -s 8M /tmp/disk.img /tmp/more.img
cfg=$(guest_cfg g1 \
	"disk = [ 'format=raw,vdev=xvda,access=rw,target=/dev/ram0', 'format=raw,vdev=xvdb,access=rw,target=/tmp/disk.img' ]" \
	"vif = [ 'mac=00:16:3e:00:00:01,bridge=br0' ]")
tree start

t=$(up)
old=
check "xl create makes a PV guest" timeout 300 xl create "$cfg"
timing "xl create took $(since "$t")"
check "the guest writes through its own ring; disks and network connect" up_and_connected
timing "from xl create to all devices connected: $(since "$t")"
tree created

# the guest's own view, through its ring
check "a relative path in the guest is its own" \
	[ "$(gexec "$id" 'xenstore-read domid')" = "$id" ]
check "the guest sees its device's state" \
	[ "$(gexec "$id" 'xenstore-read device/vbd/51712/state')" = 4 ]
check "the guest writes a node" gexec "$id" 'xenstore-write data/x hello'
check "dom0 sees the guest's value" \
	xs_is "/local/domain/$id/data/x" hello
check "the guest may not write dom0's node" \
	refused gexec "$id" 'xenstore-write /local/domain/0/name x'
check "the guest may not read dom0's private node" \
	refused gexec "$id" "xenstore-read /libxl/$id/type"
check "a watch in the guest fires for a write of dom0" guest_watch_fires
check "the guest lists its whole directory" \
	gexec "$id" "xenstore-ls -fp /local/domain/$id >/dev/null"
check "the guest removes its node" gexec "$id" 'xenstore-rm data/x'
check "the disk carries data" disk_carries
check "the network carries data" gexec "$id" \
	'ifconfig eth0 10.77.0.2 netmask 255.255.255.0 up && ping -c 1 -w 10 10.77.0.1'

# xl's commands
check "xl console shows what the guest prints" console_shows marker-on-console
check "xenconsoled logs what the guest prints" \
	wait_for 10 grep -q marker-on-console /var/log/xen/console/guest-g1.log
check "xl pause stops the guest" xl pause g1
check "xl list says paused" in_state p
check "xl unpause starts it again" xl unpause g1
check "the guest answers after the pause" gexec "$id" true
before=$(guest_memory)
check "xl mem-set sets a target" xl mem-set g1 120
check "the store has the target" \
	xs_is "/local/domain/$id/memory/target" 122880
check "the guest obeys the target" wait_for 20 memory_changed
tree mem-set
check "xl network-detach" xl network-detach g1 0
check "the vif's directories go" \
	wait_for 20 xs_gone "/local/domain/0/backend/vif/$id/0"
check "xl network-attach" \
	xl network-attach g1 mac=00:16:3e:00:01:01 bridge=br0
check "the new vif connects" wait_for 30 vif_states
check "xl block-attach" \
	xl block-attach g1 'format=raw,vdev=xvdc,access=rw,target=/tmp/more.img'
check "the new disk connects" wait_for 30 connected "$id" vbd/51744
tree attached
check "xl block-detach" xl block-detach g1 xvdc
check "the disk's directories go" \
	wait_for 20 xs_gone "/local/domain/0/backend/vbd/$id/51744"
tree detached

# suspend, resume, save, restore
check "xl save -c suspends and resumes the guest" \
	timeout 200 xl save -c g1 /tmp/g1.save
rm -f /tmp/g1.save
sleep 1
old=
check "the guest answers after its resume, devices connected" up_and_connected
tree resumed
old=$id
check "xl save" timeout 200 xl save g1 /tmp/g1.save
check "nothing of the saved guest remains" all_gone "$old"
tree saved
check "xl restore" timeout 200 xl restore /tmp/g1.save
rm -f /tmp/g1.save
check "the restored guest connects its devices" up_and_connected
check "the restored guest answers" gexec "$id" 'xenstore-read domid'
tree restored
old=$id
check "xl reboot" timeout 150 xl reboot g1
wait_for 60 sh -c "xl domid g1 >/dev/null && [ \$(xl domid g1) != $old ]"
check "the guest comes back with a new domid" up_and_connected
check "nothing of the old domain remains" all_gone "$old"
tree rebooted

# the end
t=$(up)
check "xl shutdown" timeout 150 xl shutdown -w g1
check "nothing of the guest remains" all_gone "$id"
timing "shutdown took $(since "$t")"
check "the last console reader ends" wait_for 20 sh -c '! pidof xenconsole'
check "the hypervisor has no domain left but dom0" wait_for 20 only_dom0
tree end
kill $special_pid
cp /tmp/special.log /out/
log "special events: $(sort /tmp/special.log | uniq -c | tr -s ' \n' ' ')"
check "@introduceDomain fired for each of the three domains" \
	[ "$(grep -c introduceDomain /tmp/special.log)" = 4 ]
# one at registration; shutdown and death of three domains, one suspend
check "@releaseDomain fired for each shutdown and death" \
	[ "$(grep -c releaseDomain /tmp/special.log)" -ge 8 ]
