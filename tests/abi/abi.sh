#!/bin/bash
# SPDX-License-Identifier: MIT
# libxenstore.so.4 is what programs were linked with: its symbols beside a list
# and beside Debian's library, its headers on their own and beside Debian's,
# and Debian's programs running on it with the results they have on Debian's
# (P1 of README.md).
cd "$(dirname "$0")/../.." || exit 2
. tests/peers/peers.sh
ours=$BUILD/libxenstore.so.4
debian=/usr/lib/x86_64-linux-gnu/libxenstore.so.4
list=tests/abi/libxenstore.symbols
bin=/usr/lib/xen-4.17/bin
dir=$(mktemp -d)
trap 'peer_stop_all; rm -rf "$dir"' EXIT
n=0 rc=0

# ok SENTENCE COMMAND...: what the command prints is shown if it fails
ok() {
	local what=$1 not=

	shift
	"$@" >"$dir/why" 2>&1 || { not="not "; rc=1; }
	echo "${not}ok $((++n)) - $what"
	[ -z "$not" ] || sed 's/^/# /' "$dir/why"
}

skip() {
	echo "ok $((++n)) - $1 # skip $2"
}

# ---- symbols ----

exported() {
	readelf -W --dyn-syms "$1" |
		awk '$7 != "UND" && $8 ~ /@@/ && $4 != "OBJECT" {
			sub("@@", " ", $8); print $8 }' | sort
}
grep -v '^#' $list | sort >"$dir/list"
exported "$ours" >"$dir/ours"
ok "the library exports what the list says, with its versions, no more" \
	diff "$dir/list" "$dir/ours"

nm --defined-only -g "$BUILD/libxenstore.a" | awk 'NF == 3 { print $3 }' |
	sort >"$dir/archive"
ok "the archive has the same global names" \
	diff <(cut -d' ' -f1 "$dir/list" | sort) "$dir/archive"

dynamic() {
	readelf -dW "$ours" | sed -n "s/.*($1).*\[\(.*\)\]/\1/p"
}
sanitized=$(nm -D "$ours" | grep -cE '__(asan|tsan)_')
ok "the soname is libxenstore.so.4" test "$(dynamic SONAME)" = libxenstore.so.4
if [ "$sanitized" = 0 ]; then
	ok "it needs libc alone" test "$(dynamic NEEDED)" = libc.so.6
fi

if [ -e $debian ]; then
	exported $debian >"$dir/debian"
	ok "every symbol of Debian's library is there, with its version" \
		test -z "$(comm -23 "$dir/debian" "$dir/ours")"
	ok "what Debian's library has not is of a later version" \
		test -z "$(comm -13 "$dir/debian" "$dir/ours" |
			grep -v 'VERS_4\.[12]$')"
else
	skip "the symbols of Debian's library" "no libxenstore4"
fi

# ---- headers ----

# compiles COMPILER LANGUAGE STANDARD HEADER [OPTION...]
compiles() {
	printf '#include <%s>\n#include <%s>\nint unused;\n' "$4" "$4" |
		"$1" -x "$2" -std="$3" -Wall -Wextra -Wpedantic -Werror \
			-Iinclude "${@:5}" -fsyntax-only -
}
for h in xen/io/xs_wire.h xenstore_lib.h xenstore.h; do
	ok "$h alone is C (gcc)" compiles gcc c c99 $h
	ok "$h alone is C++ (g++)" compiles g++ c++ c++11 $h
	ok "$h alone is C (clang)" compiles clang c c99 $h
	ok "$h alone is C++ (clang++)" compiles clang++ c++ c++11 $h
done
for h in xs.h xs_lib.h; do
	ok "$h alone is C (gcc)" compiles gcc c gnu11 $h -Wno-cpp \
		-Wno-pedantic
	ok "$h alone is C++ (g++)" compiles g++ c++ gnu++17 $h -Wno-cpp \
		-Wno-pedantic
	ok "$h alone is C (clang)" compiles clang c gnu11 $h '-Wno-#warnings' \
		-Wno-pedantic
	ok "$h alone is C++ (clang++)" compiles clang++ c++ gnu++17 $h \
		'-Wno-#warnings' -Wno-pedantic
	ok "$h says that its name is old" grep -q 'is the old name' <(
		compiles gcc c gnu11 $h 2>&1)
done
names_errors() {
	echo 'const char *p = xsd_errors[0].errstring;' |
		gcc -x c -Iinclude -fsyntax-only "$@" -
}
ok "the error table is there after errno.h" \
	names_errors -include errno.h -include xen/io/xs_wire.h
ok "and not without" \
	test -z "$(names_errors -include xen/io/xs_wire.h 2>/dev/null && echo y)"

# Prototypes and constants, as the compiler sees them.
prototypes() {
	echo 'int x;' >"$dir/x.c"
	gcc "$@" -aux-info "$dir/x.protos" -include xenstore.h -c "$dir/x.c" \
		-o "$dir/x.o"
	sed -n 's,/\*.*\*/ extern ,,; /[ *]xs_/p' "$dir/x.protos" | sort -u
}
constants() {
	echo | gcc "$@" -E -dM -include xenstore.h - | grep -E \
		'^#define (XS_|XBT_|XENSTORE_(PAYLOAD|ABS|REL|RING)|MAX_STRLEN)' |
		awk '{ print $2 }' | sed 's/(.*//' | sort -u
}
# NAME VALUE of those constants that are numbers in both
values() {
	{
		while read -r name; do
			echo "v(\"$name\", $name);"
		done <"$dir/common"
	} >"$dir/v.inc"
	cat >"$dir/v.c" <<-END
		#include <stdio.h>
		#include <xenstore.h>
		#define v(name, value) printf("%s %ld\n", name, (long)(value))
		int main(void)
		{
		#include "v.inc"
			v("struct xs_permissions", sizeof(struct xs_permissions));
			v("struct xsd_sockmsg", sizeof(struct xsd_sockmsg));
			v("xs_transaction_t", sizeof(xs_transaction_t));
			return 0;
		}
	END
	gcc -w "$@" -o "$dir/v" "$dir/v.c" && "$dir/v"
}
if [ -e /usr/include/xenstore.h ]; then
	prototypes -Iinclude >"$dir/ours"
	prototypes >"$dir/debian"
	ok "the prototypes of Debian's header are in ours" \
		test -z "$(comm -23 "$dir/debian" "$dir/ours")"
	ok "Debian's header has prototypes" test -s "$dir/debian"
	constants -Iinclude >"$dir/ours"
	constants >"$dir/debian"
	ok "the constants of Debian's headers are in ours" \
		diff /dev/null <(comm -23 "$dir/debian" "$dir/ours" |
			grep -v -e '_H$' -e '^XENSTORE_LIB')
	grep -v -e _H -e '^MAX_STRLEN' -e '^XS_WRITE_' "$dir/debian" |
		comm -12 - "$dir/ours" >"$dir/common"
	values -Iinclude >"$dir/ours"
	values >"$dir/debian"
	ok "and they are the same, as are sizes" diff "$dir/debian" "$dir/ours"
else
	skip "Debian's headers" "no libxen-dev"
fi

# ---- Debian's programs ----

if [ "$sanitized" != 0 ]; then
	skip "Debian's programs" "they have no sanitizer"
	exit $rc
fi

# resolves PROGRAM: with all it wants from libraries
resolves() {
	! LD_LIBRARY_PATH=$BUILD ldd -r "$1" 2>&1 |
		grep -E 'undefined symbol.*xs_|libxenstore.so.4: version|not found' &&
		LD_LIBRARY_PATH=$BUILD ldd "$1" | grep -qF "$BUILD/libxenstore"
}
links() {
	readelf -d "$1" 2>/dev/null | grep -q 'NEEDED.*libxenstore\.so'
}
for p in $bin/* /usr/sbin/xenpmd /usr/bin/xenstore \
		/usr/lib/x86_64-linux-gnu/libxen{light,stat,vchan}.so.4.17 \
		/usr/lib/xen-4.17/lib/python/xen/lowlevel/xs.*.so; do
	[ -f "$p" ] && links "$p" &&
		ok "${p##*/} finds all that it wants of the library" \
			resolves "$p"
done

# What an operator and a test program do, results only.
session() {
	# shellcheck disable=SC2016
	timeout 20 env LD_LIBRARY_PATH="$1" XENSTORED_PATH="$PEER_SOCK" bash -c '
		t() { echo "\$ $*"; "$@" 2>&1; echo "= $?"; }
		t xenstore-write /s/a 1 /s/b "two\nlines" /s/c/d ""
		t xenstore-read -p /s/a /s/b
		t xenstore-read /s/none
		t xenstore-list /s
		t xenstore-ls -fp /s
		t xenstore-exists /s/a
		t xenstore-exists /s/none
		t xenstore-chmod -r /s n0 r5 b7
		t xenstore-ls -p /s
		t xenstore-watch -n 3 /s /s/a /s/none
		t xenstore-rm -t /s/c/d /s/none
		t xenstore-ls /s
		t xenstore-rm /s
		t '$bin'/xenstore-control help
		t '$bin'/xenstore-control nonsense
		t '$bin'/test-xenstore -i 50 | sed "s/:.*ns.*/: done/"
		t '$bin'/vchan-socket-proxy -m client 0 /s/v -
		t /usr/bin/python3 tests/abi/python_xs.py
	'
}
programs() {
	session "" >"$dir/on-debian" 2>&1
	session "$BUILD" >"$dir/on-ours" 2>&1
	grep -q '^close' "$dir/on-ours" || {
		tail -n 20 "$dir/on-ours"
		return 1
	}
	diff "$dir/on-debian" "$dir/on-ours"
}
for peer in ours c417 ox417; do
	what="Debian's programs do the same on our library, on $peer"
	if [ ! -x $bin/xenstore-control ] || [ ! -x /usr/bin/xenstore-ls ]; then
		skip "$what" "no xenstore-utils or xen-utils-4.17"
	elif ! peer_can $peer; then
		skip "$what" "$PEER_WHY"
	else
		peer_start $peer || { echo "not ok - $peer starts"; rc=1; }
		ok "$what" programs
		peer_stop $peer
	fi
done
exit $rc
