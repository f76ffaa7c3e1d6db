#!/bin/bash
# SPDX-License-Identifier: MIT
#
# Boots Debian's Xen and a small dom0 in QEMU by plain emulation, starts a
# xenstored there, runs scenarios and brings back what they left in /out.
#
#   boot.sh [options] OUT SCENARIO...
#
#	--overlay DIR	copied over dom0's root; may be repeated
#	--xenstored CMD	the daemon with its arguments, as seen in dom0; it has
#			to write the pid file /run/xenstored.pid
#	--env VAR=VALUE	in the environment of everything in dom0
#	--timeout SEC	hard limit (default 300); scenarios are stopped a
#			little earlier, so that their files still come out
#
# OUT gets console.log, tap, timing, trees/, xen/ (the logs of dom0's
# services). Exit status: 0 all well; 1 something in dom0 failed; 124 time
# limit; 125 the machine stopped without reporting.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
overlays=() envs=() limit=300
xenstored="/usr/lib/xen-4.17/bin/xenstored --pid-file /run/xenstored.pid"

while [[ ${1:-} == --* ]]; do
	case $1 in
	--overlay) overlays+=("$2") ;;
	--xenstored) xenstored=$2 ;;
	--env) envs+=("$2") ;;
	--timeout) limit=$2 ;;
	*) echo "boot.sh: unknown option $1" >&2; exit 2 ;;
	esac
	shift 2
done
[ $# -ge 2 ] || { echo "usage: boot.sh [options] OUT SCENARIO..." >&2; exit 2; }
out=$(mkdir -p "$1" && cd "$1" && pwd)
shift

cache=$("$here/images.sh")
run=$(mktemp -d "${TMPDIR:-/tmp}/xentest.XXXXXX")
qemu=
trap '[ -z "$qemu" ] || kill "$qemu" 2>/dev/null; rm -rf "$run"' EXIT
trap 'exit 130' INT TERM
rm -rf "$out"/{console.log,status,timing,tap,trees,xen,dmesg}

# ---- dom0's initramfs: the image, then what belongs to this run --------------

pad() { truncate -s %512 "$1"; }
o=$run/overlay
mkdir -p "$o"/{guest,etc/xentest} "$o"/usr/{bin,sbin,lib,lib64}
for d in bin sbin lib lib64; do ln -s "usr/$d" "$o/$d"; done
for d in "${overlays[@]}"; do
	tar -C "$d" -c . | tar -C "$o" -x --keep-directory-symlink
done
# libraries of this machine that the overlay needs and the image lacks, as
# those of the sanitizers
find "$o" -type f \( -perm /111 -o -name '*.so*' \) -exec ldd {} \; 2>/dev/null |
	awk '$2 == "=>" && $3 ~ /^\// { print $3 }' | sort -u |
	while read -r lib; do
		grep -qxF "${lib##*/}" "$cache/dom0.libs" && continue
		[ -z "$(find "$o" -name "${lib##*/}" -print -quit)" ] || continue
		mkdir -p "$o/usr/lib/x86_64-linux-gnu"
		cp -L "$lib" "$o/usr/lib/x86_64-linux-gnu/"
	done
cp "$cache/domu.cpio" "$o/guest/initrd"
cp "$here"/scenario/*.sh "$o/etc/xentest/"
{
	printf 'XENSTORED=%q\nSOFT_LIMIT=%q\n' "$xenstored" \
		$((limit - 12 - limit / 20))
	for e in "${envs[@]}"; do printf 'export %s=%q\n' "${e%%=*}" "${e#*=}"; done
	printf 'set --'
	printf ' %q' "$@"
	echo
} >"$o/etc/xentest/config"
cp "$cache/dom0.cpio" "$run/initrd"
pad "$run/initrd"
# The links of the usr merge are in the image; a second archive must not turn
# them into directories.
(cd "$o" && find . -mindepth 1 ! \( -type l ! -path './*/*' \) -print0 |
 LC_ALL=C sort -z | cpio -0 -o -H newc -R 0:0 --quiet) >>"$run/initrd"
rm -rf "$o"
ln -s "$cache/xen" "$cache/vmlinux" "$run/"

# ---- the machine -------------------------------------------------------------

# Not "-cpu max": with SMAP, a PV dom0 dies at its first IRET under emulation.
# rdrand: or the kernel's random pool takes 90 s. svm: for PVH guests.
cpu=qemu64,+rdrand,+svm,+npt,+nrip-save
xen_args="console=com1 com1=115200,8n1 console_timestamps=boot loglvl=info"
xen_args+=" guest_loglvl=all dom0_mem=768M,max:768M dom0_max_vcpus=1 dom0=pv"
xen_args+=" xpti=off spec-ctrl=off pv-l1tf=off ucode=no watchdog=off"
dom0_args="console=hvc0 rdinit=/init quiet loglevel=4 panic=1 mitigations=off"
dom0_args+=" random.trust_cpu=on net.ifnames=0"

rc=0
: >"$out/console.log"
(cd "$run" && exec timeout -k 5 "$limit" qemu-system-x86_64 -nodefaults \
	-no-user-config -M pc,usb=off -accel tcg -cpu $cpu -smp 1 -m 1536 \
	-display none -no-reboot -nic none -serial "file:$out/console.log" \
	-serial file:result -kernel xen -append "$xen_args" \
	-initrd "vmlinux $dom0_args,initrd") </dev/null >"$out/qemu.log" 2>&1 &
qemu=$!
wait $qemu || rc=$?
qemu=

# The second serial line carries an archive of /out.
[ ! -s "$run/result" ] || tar -xzf "$run/result" -C "$out" 2>/dev/null || true
[ ! -s "$out/status" ] || exit "$(cat "$out/status")"
case $rc in 124 | 137) exit 124 ;; esac
exit 125
