/* SPDX-License-Identifier: MIT */
#include "io/conn.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/fault.h"
#include "io/outq.h"

#define INPUT_SIZE 65536
#define IOVECS 256
/* Also one who has no quota is not read from while so many bytes wait for him,
 * and is given up when he lets events pile up beyond all reason. */
#define OUTPUT_STOP (16u << 20)
#define OUTPUT_LOST (256u << 20)

struct conn_pool {
	char *input;
	struct conn *lessee;		/* its frame borrows what it received */
	struct outq_pool *queues;
	const struct conn_tap *tap;	/* NULL: nobody listens */
};

struct conn {
	struct conn_pool *pool;
	struct transport *transport;
	const struct who *who;
	struct conn_user user;
	struct frame *frame;
	struct outq queue;
	struct list flights;
	uint64_t in, out;		/* positions; see conn_in() */
	uint32_t ahead;			/* bytes received behind `in` */
	uint32_t last;			/* size of the request given out last */
	bool is_socket : 1;
	bool readable;			/* the transport may have input */
	bool attention : 1;		/* look at it even if throttled */
	bool muted : 1;			/* the transport reports no input */
	bool throttled : 1;		/* conn_next() refused by a limit */
	bool held : 1;
	bool blocked : 1;		/* the transport takes no output */
	bool dirty : 1;			/* told, not yet flushed */
	bool ignored : 1;
	bool lost : 1;
	bool closing : 1;		/* no more input, output still may go */
	struct conn_stats stats;
};

int conn_pool_new(TALLOC_CTX *ctx, struct conn_pool **out)
{
	struct conn_pool *pool = talloc_zero(ctx, struct conn_pool);

	if (pool)
		pool->input = talloc_size(pool, INPUT_SIZE);
	if (!pool || !pool->input || outq_pool_new(pool, &pool->queues)) {
		talloc_free(pool);
		return -ENOMEM;
	}
	*out = pool;
	return 0;
}

void conn_pool_set_now(struct conn_pool *pool, uint64_t now)
{
	outq_pool_set_now(pool->queues, now);
}

#define TAP(conn, name, ...)                                                   \
	do {                                                                   \
		if ((conn)->pool->tap)                                         \
			(conn)->pool->tap->name((conn)->user.arg,              \
						##__VA_ARGS__);                \
	} while (0)

static void conn_call(struct conn *conn, enum conn_call call)
{
	if (conn->is_socket)
		TAP(conn, call, call);
}

/* ---- what throttles ------------------------------------------------------ */

static const char *conn_limit(const struct conn *conn)
{
	if (conn->queue.bytes >= OUTPUT_STOP)
		return "unread output";
	if (!conn->queue.ledger || conn->who->privileged)
		return NULL;
	if (!ledger_admits(conn->queue.ledger, QUOTA_OUTSTANDING, 1))
		return "outstanding";
	if (!ledger_admits(conn->queue.ledger, QUOTA_MEMORY, 0))
		return "memory";
	return NULL;
}

static void conn_throttle(struct conn *conn)
{
	if (conn->throttled)
		return;
	conn->throttled = true;
	if (!conn->held && !conn->ignored)
		conn->stats.throttled++;
}

static void conn_unmute(struct conn *conn)
{
	if (!conn->muted)
		return;
	conn->muted = false;
	conn->readable = true;	/* nobody told meanwhile */
	conn->transport->ops->listen(conn->transport, true);
}

void conn_recheck(struct conn *conn)
{
	if (!conn->throttled || conn->held || conn->lost || conn_limit(conn))
		return;
	conn->throttled = false;
	conn_unmute(conn);
	conn->user.runnable(conn->user.arg, conn);
}

const char *conn_throttled(const struct conn *conn)
{
	if (conn->ignored)
		return "ignored";
	if (conn->held)
		return "held";
	return conn_limit(conn);
}

static void conn_on_landed(void *arg)
{
	struct conn *conn = arg;

	ledger_refund(conn->queue.ledger, QUOTA_OUTSTANDING, 1);
	conn_recheck(conn);
}

struct flight *conn_flight(struct conn *conn)
{
	struct flight *flight;

	if (!conn->queue.ledger || conn->who->privileged)
		return NULL;
	flight = flight_new(&conn->flights, conn_on_landed, conn);
	if (flight)
		ledger_charge(conn->queue.ledger, QUOTA_OUTSTANDING, 1);
	return flight;
}

static void conn_tell_dirty(struct conn *conn)
{
	if (conn->dirty)
		return;
	conn->dirty = true;
	conn->user.dirty(conn->user.arg, conn);
}

/* ---- beginnings and ends ------------------------------------------------- */

static void conn_drop_all(struct conn *conn)
{
	outq_clear(&conn->queue);
	frame_reset(conn->frame);
	conn->held = false;
	conn->throttled = false;
}

static void conn_lose(struct conn *conn, const char *why)
{
	if (conn->lost)
		return;
	conn->lost = true;
	conn->user.lost(conn->user.arg, conn, why);
}

static void conn_shut(struct conn *conn, uint32_t error)
{
	conn_drop_all(conn);
	conn->ignored = true;
	conn->closing = false;
	conn->transport->ops->fail(conn->transport, error);
	TAP(conn, ignored, error);
}

void conn_ignore(struct conn *conn, uint32_t error)
{
	conn_shut(conn, error);
	conn->lost = true;
}

static int conn_break(struct conn *conn, uint32_t error, const char *why)
{
	conn_shut(conn, error);
	conn_lose(conn, why);
	return EPIPE;
}

void conn_reset(struct conn *conn)
{
	conn_drop_all(conn);
	conn->ignored = conn->lost = conn->closing = false;
	conn->blocked = false;
	conn->in = conn->out = conn->ahead = 0;
	conn_unmute(conn);
	conn_tell_dirty(conn);
	TAP(conn, reset);
}

static void conn_on_reset(void *arg, bool watches)
{
	struct conn *conn = arg;

	conn_reset(conn);
	conn->user.reset(conn->user.arg, conn, watches);
}

static bool conn_takes_no_input(const struct conn *conn)
{
	return conn->held || conn->ignored || conn_limit(conn);
}

static void conn_on_ready(void *arg, bool readable, bool writable)
{
	struct conn *conn = arg;

	if (conn->lost && !conn->ignored)
		return;
	if (writable) {
		conn->blocked = false;
		if (conn->queue.count)
			conn_tell_dirty(conn);
	}
	if (!readable)
		return;
	conn->readable = true;
	if (conn_takes_no_input(conn)) {
		conn_throttle(conn);
		conn->attention = true;
		conn->muted = true;
		conn->transport->ops->listen(conn->transport, false);
	}
	conn->user.runnable(conn->user.arg, conn);
}

static int conn_free(struct conn *conn)
{
	conn->lost = true;
	outq_clear(&conn->queue);
	flights_land(&conn->flights);
	if (conn->pool->lessee == conn)
		conn->pool->lessee = NULL;
	return 0;
}

int conn_new(TALLOC_CTX *ctx, struct conn_pool *pool,
	     struct transport *transport, const struct who *who,
	     struct ledger *ledger, const struct conn_user *user,
	     struct conn **out)
{
	struct conn *conn = talloc_zero(ctx, struct conn);

	if (!conn || frame_new(conn, &conn->frame)) {
		talloc_free(conn);
		talloc_free(transport);
		return -ENOMEM;
	}
	conn->pool = pool;
	conn->transport = talloc_steal(conn, transport);
	conn->who = who;
	conn->user = *user;
	conn->is_socket = transport->ops->fd(transport) >= 0;
	outq_init(&conn->queue, pool->queues, ledger);
	list_init(&conn->flights);
	talloc_set_destructor(conn, conn_free);
	transport->ready = conn_on_ready;
	transport->reset = conn_on_reset;
	transport->arg = conn;
	*out = conn;
	/* A ring may hold requests already. */
	conn_settle(conn);
	return 0;
}

struct transport *conn_transport(const struct conn *conn)
{
	return conn->transport;
}

bool conn_ignored(const struct conn *conn)
{
	return conn->ignored;
}

/* ---- input --------------------------------------------------------------- */

void conn_pool_release(struct conn_pool *pool)
{
	struct conn *lessee = pool->lessee;

	pool->lessee = NULL;
	if (lessee && frame_keep(lessee->frame))
		conn_break(lessee, XENSTORE_ERROR_COMM, "out of memory");
}

void conn_pool_set_tap(struct conn_pool *pool, const struct conn_tap *tap)
{
	conn_pool_release(pool);
	pool->tap = tap;
}

/* Where input goes: the journal's memory, so that it need not be copied there,
 * or else the pool's. */
static void *conn_room(struct conn *conn, size_t room)
{
	const struct conn_tap *tap = conn->pool->tap;
	void *buf = tap && room ? tap->room(conn->user.arg, room) : NULL;

	return buf ? buf : conn->pool->input;
}

/* Reads up to `room` bytes. */
static int conn_read(struct conn *conn, size_t room, struct blob *got)
{
	void *buf = conn_room(conn, room);
	int err;

	conn_call(conn, CONN_RECV);
	err = conn->transport->ops->read(conn->transport, buf, room, &got->len,
					 &conn->readable);
	got->data = buf;
	if (!err && got->len) {
		fault_at(recv_done);
		TAP(conn, received, conn->in + conn->ahead, *got);
		conn->ahead += got->len;
		fault_at(recv_recorded);
	}
	conn_call(conn, CONN_NO_CALL);
	if (!err)
		return 0;
	conn->readable = false;
	if (err == -EPROTO)
		return conn_break(conn, XENSTORE_ERROR_RINGIDX,
				  "ring index out of range");
	if (err == -EIO)
		return conn_break(conn, XENSTORE_ERROR_COMM, "page lost");
	conn->closing = true;
	conn_lose(conn, "closed by the peer");
	return EPIPE;
}

static int conn_fill(struct conn *conn)
{
	struct blob got;
	int err;

	conn_pool_release(conn->pool);
	if (conn->lost)
		return EPIPE;
	err = conn_read(conn, INPUT_SIZE, &got);
	if (err)
		return err;
	if (!got.len)
		return conn->readable ? 0 : EAGAIN;
	conn->stats.bytes_in += got.len;
	frame_feed(conn->frame, got.data, got.len);
	conn->pool->lessee = conn;
	return 0;
}

/* Does the peer of a connection that is not read from want a reset? */
static void conn_look(struct conn *conn)
{
	bool readable = conn->readable;
	struct blob got;

	conn->attention = false;
	if (!conn_read(conn, 0, &got))
		conn->readable = readable;
}

static int conn_bad_frame(struct conn *conn, int err)
{
	char why[64];

	if (err != EPROTO)
		return conn_break(conn, XENSTORE_ERROR_COMM, "out of memory");
	snprintf(why, sizeof(why), "sent a message of %u bytes",
		 frame_bad_len(conn->frame));
	return conn_break(conn, XENSTORE_ERROR_PROTO, why);
}

int conn_next(struct conn *conn, struct message *out)
{
	int err;

	if (conn->attention)
		conn_look(conn);
	if (conn->lost)
		return EPIPE;
	if (conn_takes_no_input(conn)) {
		conn_throttle(conn);
		return EAGAIN;
	}
	while ((err = frame_next(conn->frame, out))) {
		if (err != EAGAIN)
			return conn_bad_frame(conn, err);
		if (conn->pool->lessee == conn)
			conn->pool->lessee = NULL;
		if (!conn->readable)
			return EAGAIN;
		err = conn_fill(conn);
		if (err)
			return err;
	}
	conn->last = sizeof(out->hdr) + out->hdr.len;
	conn->in += conn->last;
	conn->ahead -= conn->last;
	conn->stats.requests++;
	return 0;
}

void conn_hold(struct conn *conn)
{
	if (conn->lost)
		return;
	if (frame_unget(conn->frame)) {
		conn_break(conn, XENSTORE_ERROR_COMM, "out of memory");
		return;
	}
	conn->in -= conn->last;
	conn->ahead += conn->last;
	conn->stats.requests--;
	conn->held = true;
	conn_throttle(conn);
}

void conn_resume(struct conn *conn)
{
	conn->held = false;
	conn_recheck(conn);
}

void conn_settle(struct conn *conn)
{
	if (conn->lost || !conn->transport->ops->settle(conn->transport))
		return;
	conn->readable = true;
	if (!conn->throttled)
		conn->user.runnable(conn->user.arg, conn);
}

size_t conn_partial(const struct conn *conn, const void **data)
{
	return frame_pending(conn->frame, data);
}

/* ---- output -------------------------------------------------------------- */

int conn_reply(struct conn *conn, const struct xsd_sockmsg *to, uint32_t type,
	       struct blob payload, struct flight *flight)
{
	struct xsd_sockmsg hdr = *to;

	if (payload.len > XENSTORE_PAYLOAD_MAX)
		return E2BIG;
	if (conn->lost && !conn->closing)
		return 0;
	hdr.type = type;
	hdr.len = payload.len;
	if (outq_add(&conn->queue, &hdr, payload, flight)) {
		conn_break(conn, XENSTORE_ERROR_COMM, "out of memory");
		return -ENOMEM;
	}
	conn->stats.replies++;
	conn_tell_dirty(conn);
	return 0;
}

void conn_event(struct conn *conn, const char *path, const char *token,
		struct flight *cause)
{
	bool bounded = conn->queue.ledger && !conn->who->privileged;
	int err;

	if (conn->lost)
		return;
	if (conn->queue.bytes >= OUTPUT_LOST) {
		conn_break(conn, XENSTORE_ERROR_COMM, "does not read");
		return;
	}
	err = outq_add_event(&conn->queue, path, token, bounded, cause);
	if (err == EEXIST) {
		conn->stats.events_merged++;
	} else if (err) {
		conn->stats.events_dropped++;
	} else {
		conn->stats.events++;
		conn_tell_dirty(conn);
	}
}

int conn_restore(struct conn *conn, uint64_t in, uint64_t out,
		 struct blob pending)
{
	conn->in = in;
	conn->ahead = pending.len;
	conn->out = out;
	if (!pending.len)
		return 0;
	frame_feed(conn->frame, pending.data, pending.len);
	return frame_keep(conn->frame);
}

int conn_restore_output(struct conn *conn, struct blob message, size_t sent)
{
	int err = outq_restore(&conn->queue, message, sent);

	if (err)
		return err;
	conn_tell_dirty(conn);
	return 0;
}

size_t conn_queued(const struct conn *conn)
{
	return conn->queue.count;
}

size_t conn_queued_bytes(const struct conn *conn)
{
	return conn->queue.bytes;
}

static void conn_sent(struct conn *conn, size_t n)
{
	conn->stats.bytes_out += n;
	conn->out += n;
	if (n)
		TAP(conn, sent, conn->out);
	outq_sent(&conn->queue, n);
}

/* One write. True: all that it was given has gone. */
static bool conn_send(struct conn *conn)
{
	struct iovec iov[IOVECS];
	size_t put, want;
	int n = outq_pieces(&conn->queue, iov, IOVECS, &want);
	int err;

	conn_call(conn, CONN_SEND);
	fault_at(send_before);
	err = conn->transport->ops->write(conn->transport, iov, n, &put);
	fault_at(send_done);
	if (!err)
		conn_sent(conn, put);
	fault_at(send_recorded);
	conn_call(conn, CONN_NO_CALL);
	if (err < 0) {
		conn->closing = false;
		outq_clear(&conn->queue);
		conn_lose(conn, "closed by the peer");
		return false;
	}
	if (err) {
		conn->blocked = true;
		conn->readable = conn->attention = true;
		conn->user.runnable(conn->user.arg, conn);
		return false;
	}
	conn->blocked = put < want;
	return !conn->blocked;
}

void conn_flush(struct conn *conn)
{
	conn->dirty = false;
	if (conn->lost && !conn->closing)
		return;
	while (conn->queue.count && !conn->blocked)
		if (!conn_send(conn))
			break;
	conn_settle(conn);
	conn_recheck(conn);
}

static void conn_drop_event(struct conn *conn)
{
	size_t place = outq_drop_event(&conn->queue);

	conn->stats.events_dropped++;
	TAP(conn, dropped, place);
}

uint64_t conn_expire(struct conn *conn, uint64_t before)
{
	uint64_t at;

	while (outq_oldest_event(&conn->queue, &at) && at < before) {
		/* O2: it is his who does not take it. */
		if (conn->who->privileged)
			outq_disown_event(&conn->queue);
		else
			conn_drop_event(conn);
	}
	conn_recheck(conn);
	return at;
}

void conn_each_queued(const struct conn *conn,
		      void (*fn)(void *arg, struct blob message, size_t sent),
		      void *arg)
{
	outq_each(&conn->queue, fn, arg);
}

uint64_t conn_in(const struct conn *conn)
{
	return conn->in;
}

uint64_t conn_out(const struct conn *conn)
{
	return conn->out;
}

void conn_each_new(struct conn *conn,
		   void (*fn)(void *arg, struct blob message), void *arg)
{
	outq_each_new(&conn->queue, fn, arg);
}

const struct conn_stats *conn_stats(const struct conn *conn)
{
	return &conn->stats;
}
