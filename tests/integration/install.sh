#!/bin/bash
# SPDX-License-Identifier: MIT
# Installs into an empty directory, looks at what is there, and builds and
# runs a program from there with nothing but what pkg-config says.
set -u
cd "$(dirname "$0")/../.." || exit 2
export BUILD=${BUILD:-$PWD/build}
# shellcheck source=tests/peers/peers.sh
. tests/peers/peers.sh
tmp=$(mktemp -d "${TMPDIR:-/tmp}/xenstore-install.XXXXXX") || exit 2
trap 'peer_stop_all; rm -rf "$tmp"' EXIT
root=$tmp/root
n=0 rc=0

# ok SENTENCE COMMAND...
ok()
{
	local sentence=$1

	shift
	n=$((n + 1))
	if "$@" >"$tmp/out" 2>&1; then
		echo "ok $n - $sentence"
	else
		echo "not ok $n - $sentence"
		sed 's/^/# /' "$tmp/out"
		rc=1
	fi
}

install_to()
{
	env -u MAKEFLAGS -u MFLAGS make BUILD="$BUILD" CC="${CC:-gcc}" \
		DESTDIR="$1" PREFIX="$2" install
}

uninstall_from()
{
	touch "$1$2/bin/xenstore-mine" "$1$2/include/xen/mine.h"
	env -u MAKEFLAGS -u MFLAGS make BUILD="$BUILD" CC="${CC:-gcc}" \
		DESTDIR="$1" PREFIX="$2" uninstall &&
		[ "$(cd "$1$2" && find . -not -type d | sort)" = \
			$'./bin/xenstore-mine\n./include/xen/mine.h' ] &&
		[ ! -e "$1$2/include/xen/io" ]
}

multiarch=$("${CC:-gcc}" -print-multiarch)
lib=lib${multiarch:+/$multiarch}
modes=(chmod exists list ls read rm watch write)

# Every path below the prefix, with its type and mode or where it leads to.
expected_paths()
{
	local m

	cat <<-END
	f755 bin/xenstore
	f755 bin/xenstore-control
	f644 include/xen/io/xs_wire.h
	f644 include/xenstore-compat/xs.h
	f644 include/xenstore-compat/xs_lib.h
	f644 include/xenstore.h
	f644 include/xenstore_lib.h
	f644 include/xenstore_vmm.h
	l:xenstore-compat/xs.h include/xs.h
	l:xenstore-compat/xs_lib.h include/xs_lib.h
	l:libxenstore.so.4 $lib/libxenstore.so
	l:libxenstore.so.4.2 $lib/libxenstore.so.4
	f644 $lib/libxenstore.a
	f644 $lib/libxenstore.so.4.2
	f644 $lib/pkgconfig/xenstore.pc
	f644 lib/systemd/system/xenstored.service
	f755 sbin/xenstored
	f644 share/man/man1/xenstore.1
	f644 share/man/man3/libxenstore.3
	f644 share/man/man7/xenstored-vmm.7
	f644 share/man/man8/xenstore-control.8
	f644 share/man/man8/xenstored.8
	f644 share/bash-completion/completions/xenstore
	l:xenstore share/bash-completion/completions/xenstore-control
	END
	for m in "${modes[@]}"; do
		echo "f755 bin/xenstore-$m"
		echo "l:xenstore.1 share/man/man1/xenstore-$m.1"
		echo "l:xenstore share/bash-completion/completions/xenstore-$m"
	done
}

are_expected()
{
	local what path is

	while read -r what path; do
		is=$(stat -c '%f %a' "$1/$path") || return 1
		case $is in
		a*) is=l:$(readlink "$1/$path") ;;
		8*) is=f${is#* } ;;
		esac
		[ "$is" = "$what" ] || { echo "$path: $is, not $what"; return 1; }
	done < <(expected_paths)
}

nothing_else()
{
	diff <(expected_paths | cut -d' ' -f2 | sort) \
		<(cd "$1" && find . -not -type d | cut -c3- | sort)
}

unit_starts_it()
{
	grep "^ExecStart=$2/sbin/xenstored " \
		"$1$2/lib/systemd/system/xenstored.service"
}

pages_are_clean()
{
	local page

	while read -r page; do
		groff -man -Tutf8 -ww -z "$page" 2>&1
	done < <(find "$1" -type f) >"$tmp/groff"
	cat "$tmp/groff"
	[ ! -s "$tmp/groff" ]
}

same_file()
{
	local m

	for m in "${modes[@]}"; do
		[ "$1/xenstore" -ef "$1/xenstore-$m" ] || return 1
	done
}

cat >"$tmp/program.c" <<'END'
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xenstore.h>

int main(int argc, char **argv)
{
	struct xs_handle *xs = xs_open(0);
	unsigned int len, n;
	char *val, **event;

	if (argc != 2 || !xs || !xs_watch(xs, argv[1], "t") ||
	    !xs_write(xs, XBT_NULL, argv[1], "value", 5))
		return 1;
	val = xs_read(xs, XBT_NULL, argv[1], &len);
	event = xs_read_watch(xs, &n);
	if (!val || len != 5 || strcmp(val, "value") || !event ||
	    strcmp(event[XS_WATCH_PATH], argv[1]))
		return 2;
	free(val);
	free(event);
	if (!xs_rm(xs, XBT_NULL, argv[1]))
		return 3;
	xs_close(xs);
	return 0;
}
END
sed 's/val = xs_read/val = (char *)xs_read/' "$tmp/program.c" >"$tmp/program.cc"

# Without the system's directories, so that nothing comes from there.
config()
{
	PKG_CONFIG_LIBDIR=$root$prefix/$lib/pkgconfig \
		PKG_CONFIG_SYSROOT_DIR=$root pkg-config "$@" xenstore
}

# build_and_run NAME COMPILER SOURCE [--static]
build_and_run()
{
	local flags

	flags=$(config --cflags --libs "${@:4}") || return 1
	# shellcheck disable=SC2086
	"$2" -Wall -Werror -o "$tmp/$1" "$3" $flags "${@:4}" || return 1
	LD_LIBRARY_PATH=$root$prefix/$lib timeout 10 "$tmp/$1" /install-test
}

uses_installed_library()
{
	LD_LIBRARY_PATH=$root$prefix/$lib ldd "$tmp/dynamic" |
		grep -F "$root$prefix/$lib/libxenstore.so.4 "
}

serves()
{
	local pid good

	mkdir -p "$tmp/run"
	env -u XENSTORED_PATH XENSTORED_RUNDIR="$tmp/run" \
		"$root$prefix/sbin/xenstored" -N --xenport none >"$tmp/daemon.log" 2>&1 &
	pid=$!
	"$BUILD/tests/peers/fxctl" wait "$tmp/run/socket" &&
		XENSTORED_PATH=$tmp/run/socket reads_back
	good=$?
	kill $pid
	wait $pid
	rm -rf "$tmp/run"
	cat "$tmp/daemon.log"
	return $good
}

reads_back()
{
	local bin=$root$prefix/bin

	"$bin/xenstore-write" /install-test/a 1 &&
		[ "$("$bin/xenstore-read" /install-test/a)" = 1 ] &&
		[ "$("$bin/xenstore" list /install-test)" = a ] &&
		"$bin/xenstore-rm" -t /install-test/a &&
		! "$bin/xenstore-exists" /install-test
}

no_trace_of()
{
	! grep -rlF "$1" "$2"
}

no_dangling_links()
{
	[ -z "$(find "$1" -xtype l)" ]
}

nothing_outside()
{
	[ "$(find "$1" -not -type d | grep -vc "^$1$2/")" = 0 ]
}

peer=
for p in ours c417; do
	if peer_can $p; then
		peer=$p
		break
	fi
done
if [ -n "$peer" ]; then
	peer_start "$peer" || exit 1
	export XENSTORED_PATH=$PEER_SOCK
fi

for prefix in /usr/local /usr; do
	rm -rf "$root"
	ok "$prefix: make install" install_to "$root" $prefix
	ok "$prefix: every file is there, with the right mode" \
		are_expected "$root$prefix"
	ok "$prefix: no other file is there" nothing_else "$root$prefix"
	ok "$prefix: the tool's names are one file" same_file "$root$prefix/bin"
	ok "$prefix: the systemd unit starts what was installed" \
		unit_starts_it "$root" "$prefix"
	if command -v groff >/dev/null; then
		ok "$prefix: the manual pages have no mistakes" \
			pages_are_clean "$root$prefix/share/man"
	else
		echo "ok - the manual pages have no mistakes # SKIP no groff"
	fi
	ok "$prefix: no file tells where it was installed for packaging" \
		no_trace_of "$root" "$root"
	ok "$prefix: no link leads nowhere" no_dangling_links "$root"
	if [ -z "$peer" ]; then
		echo "ok - programs from there # SKIP no daemon can run here"
	elif nm -D "$root$prefix/$lib/libxenstore.so.4" |
		grep -qE '__[at]san'; then
		echo "ok - programs from there # SKIP built with a sanitizer"
	else
		ok "$prefix: a C program from there runs" \
			build_and_run dynamic "${CC:-gcc}" "$tmp/program.c"
		ok "$prefix: with the library from there" uses_installed_library
		ok "$prefix: a static C program from there runs" \
			build_and_run static "${CC:-gcc}" "$tmp/program.c" --static
		ok "$prefix: a C++ program from there runs" \
			build_and_run cxx "${CXX:-g++}" "$tmp/program.cc"
		ok "$prefix: the tools from there run" reads_back
		ok "$prefix: the daemon from there serves them" serves
	fi
	ok "$prefix: make uninstall removes all of it, and nothing else" \
		uninstall_from "$root" "$prefix"
done
ok "a prefix is all that is used" nothing_outside "$root" /usr
echo "1..$n"
exit $rc
