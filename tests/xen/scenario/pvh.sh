# SPDX-License-Identifier: MIT
# A PVH guest, which runs on the emulated AMD SVM: save, restore and live
# migration to localhost. (Debian's hypervisor cannot migrate PV guests live.)
. /usr/lib/xentest/lib.sh
scenario=pvh
GUEST_TYPE=pvh

connects() {
	id=$(xl domid p1) && wait_for 120 connected "$id" vbd/51712 &&
	[ "$(gexec "$id" 'xenstore-read domid' 60)" = "$id" ]
}
gone() {
	wait_for 60 xs_gone "/local/domain/$1" && wait_for 30 dom_gone "$1" &&
	wait_for 30 xs_gone "/local/domain/0/backend/vbd/$1"
}

tree start
cfg=$(guest_cfg p1 "disk = [ 'format=raw,vdev=xvda,access=rw,target=/dev/ram0' ]")
t=$(up)
check "xl create makes a PVH guest" timeout 300 xl create "$cfg"
check "it connects and answers" connects
timing "PVH: from xl create to connected: $(since "$t")"
tree created
old=$id
check "xl save" timeout 150 xl save p1 /tmp/p1.save
check "nothing of the saved guest remains" gone "$old"
check "xl restore" timeout 150 xl restore /tmp/p1.save
rm -f /tmp/p1.save
check "the restored guest connects and answers" connects
tree restored
old=$id
check "xl migrate moves it live to localhost" sh -c \
	"timeout 300 xl migrate -s '' p1 'xl migrate-receive' >/out/migrate.log 2>&1"
check "the moved guest connects and answers" connects
check "nothing of the domain it left remains" gone "$old"
tree migrated
check "xl shutdown" timeout 150 xl shutdown -w p1
check "nothing of the guest remains" gone "$id"
check "the hypervisor has no domain left but dom0" wait_for 20 only_dom0
tree end
