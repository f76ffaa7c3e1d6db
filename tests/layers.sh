#!/bin/bash
# SPDX-License-Identifier: MIT
# The daemon's layers: a file may include what stands to the left, never to
# the right.
#
#   base <- store, io <- session <- domains <- persist <- op <- server
#        <- options <- main
#
# store and io do not know each other; keeper and sandbox stand alone. libevent, SQLite
# and the Xen libraries each have a place that includes them.
set -u
shopt -s extglob
cd "$(dirname "$0")/.." || exit 2
n=0 bad=0

find xenstored -name '*.[ch]' | sort >"${TMPDIR:-/tmp}/layers.$$"
trap 'rm -f "${TMPDIR:-/tmp}/layers.$$"' EXIT

level() {
	case $1 in
	base/*) echo 0 ;;
	keeper.* | keeper_* | sandbox.*) echo 0 ;;
	store/* | io/*) echo 1 ;;
	session.*) echo 2 ;;
	domains.* | domains_*) echo 3 ;;
	persist/*) echo 4 ;;
	op/*) echo 5 ;;
	server.* | server_*) echo 6 ;;
	options.*) echo 7 ;;
	main.*) echo 8 ;;
	*) echo unknown ;;
	esac
}

complain() {
	echo "not ok $n - $1"
	bad=1
}

while read -r file; do
	n=$((n + 1)) ok=1
	mine=${file#xenstored/}
	my=$(level "$mine")
	[ "$my" = unknown ] && { complain "$mine belongs to no layer"; continue; }
	while read -r inc; do
		[ -f "xenstored/$inc" ] || continue
		its=$(level "$inc")
		if [ "$its" -gt "$my" ] ||
		   { [ "$its" = 1 ] && [ "$my" = 1 ] && [ "${inc%/*}" != "${mine%/*}" ]; }; then
			complain "$mine includes $inc"; ok=
		fi
	done < <(sed -n 's/^#include "\(.*\)".*/\1/p' "$file")
	while read -r inc; do
		case $inc in
		event2/*) owner=io/loop.c ;;
		sqlite3.h) owner='persist/checkpoint*' ;;
		seccomp.h) owner=sandbox.c ;;
		xenevtchn.h | xengnttab.h | xenctrl.h | xenmanage.h) owner='io/@(xenport_xen|domlist*).c' ;;
		*) continue ;;
		esac
		# shellcheck disable=SC2053
		[[ $mine = $owner ]] || { complain "$mine includes $inc; only $owner may"; ok=; }
	done < <(sed -n 's/^#include <\(.*\)>.*/\1/p' "$file")
	[ -n "$ok" ] && echo "ok $n - $mine includes only what stands left of it"
done <"${TMPDIR:-/tmp}/layers.$$"
exit $bad
