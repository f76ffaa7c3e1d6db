/* SPDX-License-Identifier: MIT */
/*
 * A transport moves bytes between a peer and a connection: a stream socket or
 * a shared ring. It never blocks, knows no messages, and distrusts the peer.
 *
 * What read() has taken is the connection's, but the peer is told only by
 * settle(), after the journal has committed: until then a ring's req_cons
 * stands still, so that a crash loses no byte.
 */
#ifndef IO_TRANSPORT_H
#define IO_TRANSPORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

struct transport;

struct transport_ops {
	const char *kind;	/* "socket", "ring" */
	/*
	 * Takes up to `room` bytes. *got == 0: nothing now. *more: there may
	 * be more at once (the buffer was filled). With room == 0 it only looks
	 * whether the peer is sane or wants a reset. Calls reset() if so.
	 * -EPIPE: the peer has gone. -EPROTO: it broke the ring's rules. -EIO:
	 * its page is gone.
	 */
	int (*read)(struct transport *transport, void *buf, size_t room,
		    size_t *got, bool *more);
	/* The end of a batch, after the commit: tells the peer that what was
	 * read is consumed, and notifies it of that and of what was written.
	 * True: there is, or may be, more to read already. */
	bool (*settle)(struct transport *transport);
	/*
	 * Sends; *put may be less than given, also 0. Then ready() is called
	 * with writable when there is room again. Only after the commit.
	 * -EPIPE as read(). EAGAIN: read() has something to say first.
	 */
	int (*write)(struct transport *transport, const struct iovec *iov,
		     int n, size_t *put);
	/* Stop or resume reporting readable (a throttled peer costs nothing).
	 * That a ring asks for a reset or is broken is reported anyway. */
	void (*listen)(struct transport *transport, bool on);
	/* The connection gives up on the peer: `error` is XENSTORE_ERROR_*,
	 * shown where the transport has a place for it. It is not read from or
	 * written to any more, unless it calls reset(). */
	void (*fail)(struct transport *transport, uint32_t error);
	/* The descriptor, for the journal and live update; -1: none. */
	int (*fd)(const struct transport *transport);
};

/* The common head of every transport, a talloc object. Freeing closes. */
struct transport {
	const struct transport_ops *ops;
	/* Set by the connection that owns it. May be called from the loop at
	 * any time outside a call into the transport. */
	void (*ready)(void *arg, bool readable, bool writable);
	/* The peer asked for a fresh start (ring reconnect, or a reset of the
	 * ring by its firmware): drop partial input and queued output; with
	 * `watches` also watches and transactions. Called from within read().
	 */
	void (*reset)(void *arg, bool watches);
	void *arg;
};

#endif
