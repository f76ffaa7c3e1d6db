/* SPDX-License-Identifier: MIT */
/*
 * A connection: one peer's identity, its input as messages, its output queue.
 *
 * Output is one FIFO of whole messages, replies and events alike. Nothing is
 * sent when it is queued: conn_flush() is called by the gate at the end of the
 * tick, after the journal has committed.
 *
 * O1  Messages leave whole and in the order in which they were queued.
 * O2  Every queued message is charged to the connection's ledger, with what it
 *     takes to keep it, until its last byte is sent; a request counts as
 *     outstanding until its reply and the events that it caused, at whatever
 *     connection, are sent or dropped, or a privileged peer did not take them
 *     within the limit of O4: who does not read must not stop everybody else
 *     for good. Requests of the privileged do not count.
 * O3  An event equal in path and token to one that is queued and not yet begun
 *     to be sent is not queued again, found in O(1); not for special paths.
 * O4  An event to an unprivileged peer that was not begun within the limit
 *     (conn_expire) is dropped; so is one that its memory quota refuses.
 * O5  While a connection is throttled (too many outstanding, memory over its
 *     hard limit) it is not read from, and costs nothing.
 * O6  A slow reader blocks nobody but itself.
 */
#ifndef IO_CONN_H
#define IO_CONN_H

#include "base/blob.h"
#include "base/list.h"
#include "base/quota.h"
#include "base/who.h"
#include "io/flight.h"
#include "io/frame.h"
#include "io/transport.h"

struct conn;

/*
 * What the connections of one server share: the buffer that input is received
 * into, the clock, and the table behind O3. Must outlive them.
 */
struct conn_pool;
int conn_pool_new(TALLOC_CTX *ctx, struct conn_pool **out);
/* Input that is not given out yet is copied: whoever offered the memory wants
 * it back. Not while a request is served. */
void conn_pool_release(struct conn_pool *pool);
/* The clock that stamps events, ms; set once per tick. */
void conn_pool_set_now(struct conn_pool *pool, uint64_t now);

/*
 * What somebody who writes a journal hears. All connections of the pool tell
 * him, with the argument that their owner gave in struct conn_user. Positions
 * count the bytes of a direction since the last reset; those of a ring are its
 * indices.
 */
enum conn_call { CONN_NO_CALL, CONN_RECV, CONN_SEND };

struct conn_tap {
	/* Brackets each call on a socket; CONN_NO_CALL when what it did was
	 * told. Not for rings: their pages tell what was done. */
	void (*call)(void *owner, enum conn_call call);
	/* A place for up to `size` bytes of input, good until received() and
	 * what is between that and conn_pool_release(). NULL: has none. */
	void *(*room)(void *owner, size_t size);
	/* Bytes came in at this position; they lie where room() said. */
	void (*received)(void *owner, uint64_t pos, struct blob data);
	/* Everything before this position has left. */
	void (*sent)(void *owner, uint64_t pos);
	/* This message of the queue, counted from 0, is dropped. */
	void (*dropped)(void *owner, size_t place);
	/* Input, output and positions are back at nothing. */
	void (*reset)(void *owner);
	/* The peer broke the rules; nothing is read or written any more. */
	void (*ignored)(void *owner, uint32_t error);
};

void conn_pool_set_tap(struct conn_pool *pool, const struct conn_tap *tap);

/* Upcalls to the owner. */
struct conn_user {
	/* There is or may be something to do: the owner calls conn_next() in
	 * its tick until that says EAGAIN. May be called repeatedly, also by
	 * conn_settle() and conn_flush(): look for it after the gate. */
	void (*runnable)(void *arg, struct conn *conn);
	/* Something has to leave: the gate calls conn_flush(). Told once until
	 * that has been called. */
	void (*dirty)(void *arg, struct conn *conn);
	/* The peer is gone or broke the rules (`why` for the log): a socket is
	 * to be freed by the owner; a ring stays, ignored. Not called from
	 * within conn_free. Must not free the connection itself: defer. */
	void (*lost)(void *arg, struct conn *conn, const char *why);
	/* Ring reset: see transport.h. */
	void (*reset)(void *arg, struct conn *conn, bool watches);
	void *arg;
};

/* Takes over the transport (talloc_steal), also when it fails. `ledger` may be
 * NULL. `who` must outlive the connection and may change. */
int conn_new(TALLOC_CTX *ctx, struct conn_pool *pool,
	     struct transport *transport, const struct who *who,
	     struct ledger *ledger, const struct conn_user *user,
	     struct conn **out);

struct transport *conn_transport(const struct conn *conn);
/* Bad ring peer: nothing is read or written any more. */
bool conn_ignored(const struct conn *conn);
/* Drops queued output and partial input and ignores the peer; `error` is
 * XENSTORE_ERROR_*. */
void conn_ignore(struct conn *conn, uint32_t error);
/* Drops queued output and partial input; the peer starts afresh, also one that
 * was ignored. */
void conn_reset(struct conn *conn);

/*
 * Input. conn_next() gives the next complete request, reading from the
 * transport when its input is used up. The payload is good until the next call
 * for any connection of the pool.
 * EAGAIN: nothing now; runnable() will tell when there is.
 * EPIPE: lost() was or will be called.
 */
int conn_next(struct conn *conn, struct message *out);
/* Puts the message that conn_next() gave last back at the front: a request
 * that has to wait. conn_next() says EAGAIN until conn_resume(). */
void conn_hold(struct conn *conn);
void conn_resume(struct conn *conn);
/* Tells the peer what was consumed. The gate calls it, after the commit, for
 * connections that were read from; conn_flush() includes it. */
void conn_settle(struct conn *conn);
/* The limits of the ledger or what is used of them has changed: a connection
 * that is throttled by them looks again. */
void conn_recheck(struct conn *conn);

/* A request of this peer that was taken. NULL: he is privileged, or there is no
 * memory; then it does not count. */
struct flight *conn_flight(struct conn *conn);

/* Queues a reply: type, req_id and tx_id from `to` with `type` replaced.
 * -ENOMEM: the connection is lost, for a reply cannot be dropped. */
int conn_reply(struct conn *conn, const struct xsd_sockmsg *to, uint32_t type,
	       struct blob payload, struct flight *flight);
/* Queues an event, or drops it by O3 or O4. An event whose payload would be
 * longer than XENSTORE_PAYLOAD_MAX is dropped. `cause` may be NULL. */
void conn_event(struct conn *conn, const char *path, const char *token,
		struct flight *cause);
/* Room for a message of up to `len` payload bytes is admitted by the peer's
 * memory quota? (Replies are queued regardless.) */
size_t conn_queued(const struct conn *conn);		/* messages */
size_t conn_queued_bytes(const struct conn *conn);

/* Settles, and sends what the transport takes, in as few calls as possible. */
void conn_flush(struct conn *conn);

/* Drops events that were queued before `before` (ms) and not begun; those to
 * the privileged stay, but count for nobody any more (O2). Returns the queueing
 * time of the oldest that is left to look at, 0: none. */
uint64_t conn_expire(struct conn *conn, uint64_t before);
/* Position of the first byte that was not given out as part of a request, and
 * of the first that has not left. */
uint64_t conn_in(const struct conn *conn);
uint64_t conn_out(const struct conn *conn);

/* Walks what was queued since the last walk of this kind. */
void conn_each_new(struct conn *conn,
		   void (*fn)(void *arg, struct blob message), void *arg);

/*
 * Goes on where a predecessor was: the positions, and the bytes that it had
 * received but not executed. Before anything else. -ENOMEM.
 */
int conn_restore(struct conn *conn, uint64_t in, uint64_t out,
		 struct blob pending);
/* A message that a predecessor had queued, whole or (the first) what is left
 * of it; `sent` bytes have left. -ENOMEM. */
int conn_restore_output(struct conn *conn, struct blob message, size_t sent);

/* For live update and the journal: walks the queue. `sent` bytes of the first
 * message have left already. A message is header and payload; but the first may
 * be what conn_restore_output() had got. */
void conn_each_queued(const struct conn *conn,
		      void (*fn)(void *arg, struct blob message, size_t sent),
		      void *arg);
size_t conn_partial(const struct conn *conn, const void **data);

/* Why is it not being read, for reports: NULL, "outstanding", "memory",
 * "held", "ignored". */
const char *conn_throttled(const struct conn *conn);

struct conn_stats {
	uint64_t requests, replies, events, events_merged, events_dropped,
		bytes_in, bytes_out, throttled;
};
const struct conn_stats *conn_stats(const struct conn *conn);

#endif
