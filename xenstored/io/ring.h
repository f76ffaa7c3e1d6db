/* SPDX-License-Identifier: MIT */
/*
 * The ring transport: one guest's shared page and event channel.
 *
 *	   0  req[1024]     guest to daemon
 *	1024  rsp[1024]     daemon to guest
 *	2048  req_cons      ours    2052  req_prod   the guest's
 *	2056  rsp_cons      guest's 2060  rsp_prod   ours
 *	2064  server_features  2068  connection  2072  error  2076  evtchn_port
 *
 * G1  An index of the guest is loaded once, into a local, and checked there;
 *     fill is prod - cons modulo 2^32 and at most 1024.
 * G2  Our own indices are kept in private memory and written to the page; that
 *     the page still holds them is checked at each look. Four zero indices
 *     where we had others, or three and a first request, is a guest's reset
 *     (hvmloader) and starts afresh; some zeros may become that and are given
 *     time until the next kick or scan; anything else is a broken ring:
 *     -EPROTO, error 2.
 * G3  connection == RECONNECT is looked for before each access: everything of
 *     the connection is dropped, all indices become 0, connection becomes 0,
 *     the guest is notified.
 * G4  After an index was published there is a full barrier and another look at
 *     the other side before the ring is left idle: guests suppress
 *     notifications.
 * G5  Bytes are copied out of the page before they are looked at.
 * G6  An idle ring costs nothing per tick.
 */
#ifndef IO_RING_H
#define IO_RING_H

#include <talloc.h>

#include "io/transport.h"
#include "io/xenport.h"

/*
 * A transport over a mapped page, which it unmaps when freed, also when it
 * fails. Binds `remote`; with `keep` the indices stay as they are (restart,
 * live update), else they are set to 0, unless all a fresh page holds is a
 * first request. Features are written when `features` != 0; the error field is
 * only written when they have the ERROR bit. connection is set to 0 and the
 * guest notified.
 */
int ring_new(TALLOC_CTX *ctx, struct xenport *port, uint16_t domid,
	     struct xenstore_domain_interface *page, uint32_t remote,
	     uint32_t features, bool keep, struct transport **out);
/* The same, with `keep`, on the local port that a predecessor had bound. */
int ring_adopt(TALLOC_CTX *ctx, struct xenport *port, uint16_t domid,
	       struct xenstore_domain_interface *page, uint32_t remote,
	       uint32_t local, uint32_t features, struct transport **out);

/*
 * Goes on where a predecessor was, on a ring that was made with its indices
 * kept. It had read up to `cursor`, and is known to have put everything up to
 * `sent`; if the page tells that it had put more of the `queued` bytes that
 * came next, *more is how many. Indices that do not fit are judged when the
 * ring is next looked at (G2).
 */
void ring_resume(struct transport *ring, uint32_t cursor, uint32_t sent,
		 size_t queued, uint32_t *more);

/* INTRODUCE of a connected domain: new port, indices 0, alive again; the guest
 * sees it when the ring is settled. Goes with conn_reset(). A port that cannot
 * be bound leaves the ring without one (it is then scanned). */
void ring_reintroduce(struct transport *ring, uint32_t remote);

/* The slow safety scan: looks at the page as if it had been notified. */
void ring_scan(struct transport *ring);

uint32_t ring_remote_port(const struct transport *ring);
uint32_t ring_local_port(const struct transport *ring);
struct xenstore_domain_interface *ring_page(const struct transport *ring);

#endif
