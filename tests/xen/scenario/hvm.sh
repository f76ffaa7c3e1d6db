# SPDX-License-Identifier: MIT
# An HVM guest's firmware: hvmloader reads its configuration through the ring,
# polling, then resets the ring and starts the BIOS, which here only halts. The
# device model is tests/xen/dm.c.
. /usr/lib/xentest/lib.sh
scenario=hvm

# 64 KiB of which the processor sees but the reset vector: sti; 1: hlt; jmp 1b
# (Without interrupts, a halt is a poweroff.)
head -c 65520 /dev/zero >/tmp/bios
printf '\373\364\353\375\0\0\0\0\0\0\0\0\0\0\0\0' >>/tmp/bios
cat >/tmp/h1.cfg <<CFG
name = "h1"
uuid = "00000000-0000-4000-8000-000000000041"
type = "hvm"
memory = 64
bios = "seabios"
bios_path_override = "/tmp/bios"
device_model_version = "qemu-xen"
device_model_override = "/usr/lib/xentest/dm"
vga = "none"
nographic = 1
vnc = 0
on_crash = "destroy"
on_poweroff = "destroy"
CFG

said() { xl dmesg | grep -q "(d$id).*$1"; }
gone() {
	wait_for 30 xs_gone "/local/domain/$1" && wait_for 30 dom_gone "$1" &&
	xs_gone "/local/domain/0/device-model/$1"
}

tree start
check "xl create makes an HVM guest" timeout 300 xl create /tmp/h1.cfg
id=$(xl domid h1)
check "hvmloader finds xenstore" wait_for 60 said "Xenbus rings"
check "it reads its configuration" wait_for 60 said "System requested SeaBIOS"
check "it leaves the ring and starts the BIOS" wait_for 90 said "Invoking SeaBIOS"
tree created
check "xl destroy" timeout 150 xl destroy h1
check "nothing of the guest remains" gone "$id"
check "the hypervisor has no domain left but dom0" wait_for 20 only_dom0
tree end
