# SPDX-License-Identifier: MIT
# dom0 alone: the socket, dom0's own ring by way of the kernel's /dev/xen/xenbus,
# what the Xen services wrote, Debian's own test program.
. /usr/lib/xentest/lib.sh
scenario=smoke

# With the socket out of the way the client library takes the kernel's device.
ring_only() { mv /run/xenstored/socket /run/xenstored/away; }
ring_end() { mv /run/xenstored/away /run/xenstored/socket; }
# over_ring COMMAND...
over_ring() {
	ring_only
	timeout 20 "$@"
	over_rc=$?
	ring_end
	return $over_rc
}
watched_over_ring() {
	ring_only
	timeout 20 xenstore-watch -n 2 /t/w >/tmp/w.log &
	w=$!
	wait_for 10 test -s /tmp/w.log
	ring_end
	xenstore-write /t/w/x 1
	wait $w && grep -qx /t/w/x /tmp/w.log
}
tx_over_ring() {
	over_ring $bin/test-xenstore -r 1 >/out/test-xenstore.ring 2>&1
}

log "daemon: $(readlink "/proc/$(cat $pidfile)/exe")"
check "xl info and xl list work" sh -c 'xl info && xl list'
check "xen-init-dom0 named domain 0" xs_is /local/domain/0/name Domain-0
check "xen-init-dom0 wrote domain 0's domid" xs_is /local/domain/0/domid 0
tree boot
check "dom0 writes over the socket" xenstore-write /t/a 1
check "dom0 reads over its own ring" \
	[ "$(over_ring xenstore-read /t/a)" = 1 ]
check "dom0 writes over its own ring" over_ring xenstore-write /t/b 2
check "the socket shows what the ring wrote" xs_is /t/b 2
check "a relative path over dom0's ring is dom0's own" \
	[ "$(over_ring xenstore-read name)" = Domain-0 ]
check "a watch over dom0's ring sees a write over the socket" watched_over_ring
check "dom0 makes a list of names that is longer than a message" sh -c \
	'seq 150 | sed "s,.*,/t/long/a-node-with-a-rather-long-name-& v," |
	 xargs xenstore-write'
# oxenstored cannot: it has no DIRECTORY_PART
[ "$DAEMON" = ox417 ] || check "dom0's ring gives every name" \
	[ "$(over_ring xenstore-list /t/long | sort -u | wc -l)" = 150 ]
check "Debian's test-xenstore passes over the socket" \
	sh -c "$bin/test-xenstore -r 1 >/out/test-xenstore.socket 2>&1"
check "Debian's test-xenstore passes over dom0's ring" tx_over_ring
xenstore-rm /t
tree end
