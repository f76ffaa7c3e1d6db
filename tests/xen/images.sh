#!/bin/bash
# SPDX-License-Identifier: MIT
#
# Makes what boot.sh boots: Debian's hypervisor, a kernel, and the first parts
# of the initramfs of dom0 and of the guests. Packages are fetched with
# `apt-get download` and unpacked below the cache directory; nothing is
# installed and no privileges are needed.
#
#   images.sh [CACHE]	prints the directory
#
# The cache holds: debs/ xen vmlinux dom0.cpio domu.cpio dom0.libs id.
# Remove it to fetch newer packages. A change to this file, dom0/ or domu/
# makes the images anew (some 15 s).
set -euo pipefail
shopt -s nullglob
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cache=${1:-${XDG_CACHE_HOME:-${HOME:-/tmp}/.cache}/xenstore-check-xen}
ver=4.17
libdir=usr/lib/x86_64-linux-gnu

die() { echo "images.sh: $*" >&2; exit 2; }
say() { echo "# images.sh: $*" >&2; }

# ---- fetch ------------------------------------------------------------------

# The shared libraries that the packages given need, transitively.
library_packages() {
	local todo=("$@") seen=" " p d

	while [ ${#todo[@]} -gt 0 ]; do
		p=${todo[0]} todo=("${todo[@]:1}")
		for d in $(apt-cache depends --no-recommends --no-suggests "$p" |
			   awk '$1 ~ /^(Pre)?Depends:$/ { print $2 }'); do
			case $d in
			libpython* | libssl*) continue ;;
			lib* | zlib1g*) ;;
			*) continue ;;
			esac
			case $seen in *" $d "*) continue ;; esac
			seen+="$d " todo+=("$d")
			echo "$d"
		done
	done
}

fetch() {
	local kernel tools pkgs

	[ ! -s "$cache/packages" ] || return 0
	# linux-image-amd64 is empty and names the kernel package in use.
	kernel=$(apt-cache depends linux-image-amd64 2>/dev/null |
		awk '$2 ~ /^linux-image-/ { print $2; exit }')
	[ -n "$kernel" ] || die "no linux-image-amd64: run apt-get update"
	tools=(xen-utils-$ver xenstore-utils xen-utils-common bash util-linux
	       coreutils libgcc-s1)
	pkgs=("$kernel" xen-hypervisor-$ver-amd64 busybox-static libc-bin
	      "${tools[@]}")
	mapfile -t -O ${#pkgs[@]} pkgs < <(library_packages "${tools[@]}")
	say "downloading ${#pkgs[@]} packages ($kernel, Xen $ver)"
	(cd "$cache/debs" && rm -f ./*.deb &&
	 apt-get download -qq -o APT::Sandbox::User="$(id -un)" "${pkgs[@]}") ||
		die "download failed"
	printf '%s\n' "${pkgs[@]}" >"$cache/packages"
}

# ---- pieces -----------------------------------------------------------------

# skeleton ROOT: the directories and usr-merge links of every root
skeleton() {
	local d

	mkdir -p "$1"/{usr/{bin,sbin,lib,lib64,local},dev,proc,sys,run,tmp} \
		"$1"/{etc,var/{lib,log},out,root}
	for d in bin sbin lib lib64; do ln -sfn "usr/$d" "$1/$d"; done
	ln -sfn /run "$1/var/run"
	ln -sfn /run/lock "$1/var/lock"
}

pack() {
	(cd "$1" && find . -mindepth 1 -print0 | LC_ALL=C sort -z |
	 cpio -0 -o -H newc -R 0:0 --quiet)
}

le32() { od -An -tu4 -j "$2" -N 4 "$1" | tr -d ' '; }

# extract_vmlinux BZIMAGE OUT: so that nobody runs xz in the emulated machine
extract_vmlinux() {
	local setup off len

	setup=$(od -An -tu1 -j 497 -N 1 "$1" | tr -d ' ')
	off=$(((setup + 1) * 512 + $(le32 "$1" 584)))
	len=$(le32 "$1" 588)
	# the last four bytes are the length of the unpacked image
	{ tail -c +$((off + 1)) "$1" || true; } | head -c $((len - 4)) |
		xz -dc >"$2" 2>/dev/null || cp "$1" "$2"
}

busybox_links() {
	local a

	cp "$sys/usr/bin/busybox" "$1/usr/bin/"
	for a in $("$sys/usr/bin/busybox" --list); do
		[ -e "$1/usr/bin/$a" ] || [ -e "$1/usr/sbin/$a" ] ||
			ln -s busybox "$1/usr/bin/$a"
	done
}

# add_module ROOT NAME: with what it depends on, listed in loading order
add_module() {
	local root=$1 name=${2//-/_} file dep

	[ ! -e "$root/modules/$name.ko" ] || return 0
	file=$(find "$sys/usr/lib/modules" -name "$name.ko*" -print -quit -o \
		-name "${name//_/-}.ko*" -print -quit)
	[ -n "$file" ] || return 0		# built in
	for dep in $(modinfo_depends "$file"); do add_module "$root" "$dep"; done
	module_cat "$file" >"$root/modules/$name.ko"
	echo "$name.ko" >>"$root/modules/order"
}
module_cat() { case $1 in *.xz) xz -dc "$1" ;; *) cat "$1" ;; esac; }
modinfo_depends() {
	module_cat "$1" | tr '\0' '\n' | sed -n 's/^depends=//p' | tr ',\n' '  '
}

# add_modules ROOT NAME...
add_modules() {
	local root=$1 m

	shift
	mkdir -p "$root/modules"
	: >"$root/modules/order"
	for m; do add_module "$root" "$m"; done
}

# ---- the two roots ----------------------------------------------------------

# A guest: busybox, Debian's xenstore clients, the frontends, an agent.
make_domu() {
	local r=$tmp/domu l

	skeleton "$r"
	mkdir -p "$r/$libdir"
	cp -a "$sys"/usr/bin/xenstore* "$r/usr/bin/"
	rm -f "$r/usr/bin/xenstore-control"
	for l in libxenstore.so.4 libxentoolcore.so.1 libxenevtchn.so.1 \
		 libxengnttab.so.1 libxencall.so.1 libxentoollog.so.1 libgcc_s.so.1 \
		 libc.so.6; do
		cp -a "$sys/$libdir/$l"* "$r/$libdir/"
	done
	cp -L "$sys/lib64/ld-linux-x86-64.so.2" "$r/usr/lib64/"
	busybox_links "$r"
	add_modules "$r" xen-evtchn xen-gntdev xen-gntalloc xenfs xen-blkfront \
		xen-netfront
	install -m 755 "$here/domu/init" "$r/init"
	# The kernel runs these for control/shutdown; there is no init to signal.
	printf '#!/bin/sh\nexec busybox poweroff -f\n' >"$r/usr/sbin/poweroff"
	printf '#!/bin/sh\nexec busybox reboot -f\n' >"$r/usr/sbin/reboot"
	chmod 755 "$r"/usr/sbin/{poweroff,reboot}
	pack "$r" >"$cache/domu.cpio"
}

# dom0: Debian's Xen tools and daemons, bash for the hotplug scripts.
make_dom0() {
	local r=$tmp/dom0 b

	skeleton "$r"
	mkdir -p "$r"/{$libdir,usr/lib/xen-$ver,usr/libexec/coreutils,guest} \
		"$r"/etc/{xen,default} "$r"/var/lib/{xen,xenstored} \
		"$r"/var/log/xen/console "$r"/usr/lib/xentest
	cp -a "$sys/usr/lib/xen-$ver/bin" "$r/usr/lib/xen-$ver/"
	mkdir "$r/usr/lib/xen-$ver/boot"
	cp "$sys/usr/lib/xen-$ver/boot/hvmloader" "$r/usr/lib/xen-$ver/boot/"
	cp -a "$sys/usr/lib/xen-common" "$r/usr/lib/"
	cp -a "$sys/etc/xen/." "$r/etc/xen/"
	cp -a "$sys"/usr/bin/xenstore* "$r/usr/bin/"
	rm -f "$r/usr/bin/xenstore-control"
	for b in xl xenconsoled xenstore-control; do
		ln -sfn "../lib/xen-$ver/bin/$b" "$r/usr/sbin/$b"
	done
	for b in bin/{bash,flock,prlimit,stat,timeout} sbin/ldconfig; do
		cp -a "$sys/usr/$b" "$r/usr/$b"
	done
	find "$sys/$libdir" -maxdepth 1 -name '*.so*' \
		-exec cp -a -t "$r/$libdir" {} +
	cp -L "$sys/lib64/ld-linux-x86-64.so.2" "$r/usr/lib64/"
	cp -a "$sys"/etc/ld.so.conf* "$r/etc/"
	busybox_links "$r"
	add_modules "$r" xen-evtchn xen-gntdev xen-gntalloc xen-privcmd xenfs \
		xen-blkback xen-netback brd loop bridge
	printf 'root:x:0:0:root:/root:/bin/sh\n' >"$r/etc/passwd"
	printf 'nobody:x:65534:65534::/:/bin/false\n' >>"$r/etc/passwd"
	printf 'root:x:0:\nnogroup:x:65534:\n' >"$r/etc/group"
	install -m 755 "$here/dom0/init" "$r/init"
	install -m 644 "$here/dom0/lib.sh" "$r/usr/lib/xentest/"
	cp "$cache/vmlinux" "$r/guest/"
	pack "$r" >"$cache/dom0.cpio"
	ls "$r/$libdir" "$r/usr/lib64" >"$cache/dom0.libs"
}

make_images() {
	local id deb

	id=$(cat "$cache/packages" "${BASH_SOURCE[0]}" "$here"/dom[0u]/* |
		sha256sum)
	[ "$(cat "$cache/id" 2>/dev/null)" != "$id" ] || return 0
	rm -f "$cache/id"
	say "building the images"
	tmp=$(mktemp -d "$cache/tmp.XXXXXX")
	trap 'rm -rf "$tmp"' EXIT
	sys=$tmp/sys
	skeleton "$sys"
	for deb in "$cache"/debs/*.deb; do
		dpkg-deb --fsys-tarfile "$deb" |
			tar -C "$sys" -x --keep-directory-symlink -f - \
			--exclude='./usr/share/*'
	done
	gzip -dc "$sys/boot/xen-$ver-amd64.gz" >"$cache/xen"
	extract_vmlinux "$(echo "$sys"/boot/vmlinuz-*)" "$cache/vmlinux"
	make_domu
	make_dom0
	echo "$id" >"$cache/id"
}

for t in xz cpio tar dpkg-deb apt-get apt-cache od flock; do
	command -v "$t" >/dev/null || die "missing tool: $t"
done
mkdir -p "$cache/debs"
exec 9>"$cache/lock"
flock 9
fetch
make_images
echo "$cache"
