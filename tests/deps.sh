#!/bin/bash
# SPDX-License-Identifier: MIT
# Installs what is missing to build (deps.sh build), to run the demo
# (deps.sh demo), the tests (deps.sh check) or those on real Xen (deps.sh xen).
# Only Debian packages. As root
# it installs; otherwise it says the one line to run and exits 1.
set -u
build="gcc make libc6-dev libtalloc-dev libevent-dev libsqlite3-dev libseccomp-dev libxen-dev pkg-config"
check="$build libcmocka-dev clang libclang-rt-14-dev g++ valgrind python3 xenstore-utils xen-utils-4.17 libxenstore4 qemu-system-xen groff-base util-linux procps sqlite3"
xen="$build qemu-system-x86 cpio xz-utils util-linux dpkg"
case ${1:-build} in
build | demo) want=$build ;;
check) want=$check ;;
xen) want=$xen ;;
*) echo "usage: $0 [build|demo|check|xen]" >&2; exit 2 ;;
esac

missing=()
for p in $want; do
	[ "$(dpkg-query -W -f '${db:Status-Status}' "$p" 2>/dev/null)" = installed ] || missing+=("$p")
done
[ ${#missing[@]} -eq 0 ] && exit 0
if [ "$(id -u)" -ne 0 ]; then
	echo "Missing packages. As root, run:" >&2
	echo "  apt-get update && apt-get install -y --no-install-recommends ${missing[*]}" >&2
	exit 1
fi
echo "Installing: ${missing[*]}"
export DEBIAN_FRONTEND=noninteractive
{ apt-get update && apt-get install -y --no-install-recommends "${missing[@]}"; } >/tmp/xenstore-deps.$$ 2>&1 || {
	cat "/tmp/xenstore-deps.$$"; rm -f "/tmp/xenstore-deps.$$"; exit 1; }
rm -f "/tmp/xenstore-deps.$$"
