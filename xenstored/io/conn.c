/* SPDX-License-Identifier: MIT */
#include "io/conn.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/fault.h"
#include "base/hash.h"

#define INPUT_SIZE 65536
#define IOVECS 256
/* Also one who has no quota is not read from while so many bytes wait for him,
 * and is given up when he lets events pile up beyond all reason. */
#define OUTPUT_STOP (16u << 20)
#define OUTPUT_LOST (256u << 20)

struct conn_pool {
	char *input;
	struct conn *lessee;		/* its frame borrows what it received */
	struct hash_table *events;	/* queued, not begun; see O3 */
	uint64_t now;
	const struct conn_tap *tap;	/* NULL: nobody listens */
};

/* A queued message. */
struct out {
	struct list in_queue;
	struct list in_events;		/* linked: an event not begun */
	struct hash_item item;		/* in pool->events if `hashed` */
	struct conn *conn;
	struct flight *flight;
	uint64_t queued_at;
	size_t size;			/* header and payload */
	bool hashed;
	bool walked;			/* by conn_each_new() */
	struct xsd_sockmsg hdr;
	char payload[];
};

struct flight {
	struct list in_conn;
	struct conn *conn;		/* NULL: has gone */
	unsigned int refs;
};

struct conn {
	struct conn_pool *pool;
	struct transport *transport;
	const struct who *who;
	struct ledger *ledger;
	struct conn_user user;
	struct frame *frame;
	struct list queue;		/* struct out */
	struct list events;		/* struct out, in order of queueing */
	struct list flights;
	size_t queued_bytes;
	uint32_t queued;
	uint32_t sent;			/* bytes of the first in the queue */
	uint64_t in, out;		/* positions; see conn_in() */
	uint32_t ahead;			/* bytes received behind `in` */
	uint32_t last;			/* size of the request given out last */
	bool is_socket;
	bool readable;			/* the transport may have input */
	bool attention;			/* look at it even if throttled */
	bool muted;			/* the transport does not report input */
	bool throttled;			/* conn_next() refused by a limit */
	bool held;
	bool blocked;			/* the transport takes no output */
	bool dirty;			/* told, not yet flushed */
	bool ignored;
	bool lost;
	bool closing;			/* no more input, output still may go */
	struct conn_stats stats;
};

int conn_pool_new(TALLOC_CTX *ctx, struct conn_pool **out)
{
	struct conn_pool *pool = talloc_zero(ctx, struct conn_pool);

	if (pool)
		pool->input = talloc_size(pool, INPUT_SIZE);
	if (!pool || !pool->input || hash_table_new(pool, &pool->events)) {
		talloc_free(pool);
		return -ENOMEM;
	}
	*out = pool;
	return 0;
}

void conn_pool_set_now(struct conn_pool *pool, uint64_t now)
{
	pool->now = now;
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
	if (conn->queued_bytes >= OUTPUT_STOP)
		return "unread output";
	if (!conn->ledger || conn->who->privileged)
		return NULL;
	if (!ledger_admits(conn->ledger, QUOTA_OUTSTANDING, 1))
		return "outstanding";
	if (!ledger_admits(conn->ledger, QUOTA_MEMORY, 0))
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

/* ---- requests in flight -------------------------------------------------- */

struct flight *conn_flight(struct conn *conn)
{
	struct flight *flight;

	if (!conn->ledger || conn->who->privileged)
		return NULL;
	flight = malloc(sizeof(*flight));
	if (!flight)
		return NULL;
	flight->conn = conn;
	flight->refs = 1;
	list_add_tail(&conn->flights, &flight->in_conn);
	ledger_charge(conn->ledger, QUOTA_OUTSTANDING, 1);
	return flight;
}

struct flight *flight_ref(struct flight *flight)
{
	if (flight)
		flight->refs++;
	return flight;
}

static void flight_land(struct flight *flight)
{
	ledger_refund(flight->conn->ledger, QUOTA_OUTSTANDING, 1);
	list_del(&flight->in_conn);
	flight->conn = NULL;
}

void flight_unref(struct flight *flight)
{
	struct conn *conn;

	if (!flight || --flight->refs)
		return;
	conn = flight->conn;
	if (conn) {
		flight_land(flight);
		conn_recheck(conn);
	}
	free(flight);
}

/* ---- the queue ----------------------------------------------------------- */

/* What keeping a message of so many bytes costs. Small ones are mostly what is
 * kept about them. */
static size_t out_cost(size_t size)
{
	return sizeof(struct out) - sizeof(struct xsd_sockmsg) + size;
}

static struct out *out_new(struct conn *conn, const struct xsd_sockmsg *hdr)
{
	size_t size = sizeof(*hdr) + hdr->len;
	struct out *out = malloc(sizeof(*out) + hdr->len);

	if (!out)
		return NULL;
	out->conn = conn;
	out->flight = NULL;
	out->queued_at = conn->pool->now;
	out->size = size;
	out->hashed = false;
	out->walked = false;
	out->hdr = *hdr;
	list_init(&out->in_events);
	list_add_tail(&conn->queue, &out->in_queue);
	conn->queued++;
	conn->queued_bytes += size;
	if (conn->ledger)
		ledger_charge(conn->ledger, QUOTA_MEMORY, out_cost(size));
	return out;
}

/* From now on it is neither merged with an equal one nor dropped. */
static void out_begin(struct out *out)
{
	list_del(&out->in_events);
	if (out->hashed)
		hash_del(out->conn->pool->events, &out->item);
	out->hashed = false;
}

static void out_free(struct out *out)
{
	struct conn *conn = out->conn;

	out_begin(out);
	list_del(&out->in_queue);
	conn->queued--;
	conn->queued_bytes -= out->size;
	if (conn->ledger)
		ledger_refund(conn->ledger, QUOTA_MEMORY,
			      out_cost(out->size));
	flight_unref(out->flight);
	free(out);
}

static void conn_drop_output(struct conn *conn)
{
	struct out *out;

	while ((out = list_first(&conn->queue, struct out, in_queue)))
		out_free(out);
	conn->sent = 0;
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
	conn_drop_output(conn);
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
		if (conn->queued)
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
	struct flight *flight;

	conn->lost = true;
	conn_drop_output(conn);
	while ((flight = list_first(&conn->flights, struct flight, in_conn)))
		flight_land(flight);
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
	conn->ledger = ledger;
	conn->user = *user;
	conn->is_socket = transport->ops->fd(transport) >= 0;
	list_init(&conn->queue);
	list_init(&conn->events);
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
	struct out *out;

	if (payload.len > XENSTORE_PAYLOAD_MAX)
		return E2BIG;
	if (conn->lost && !conn->closing)
		return 0;
	hdr.type = type;
	hdr.len = payload.len;
	out = out_new(conn, &hdr);
	if (!out) {
		conn_break(conn, XENSTORE_ERROR_COMM, "out of memory");
		return -ENOMEM;
	}
	if (payload.len)
		memcpy(out->payload, payload.data, payload.len);
	out->flight = flight_ref(flight);
	conn->stats.replies++;
	conn_tell_dirty(conn);
	return 0;
}

/* The queued event with this path and token, and the hash for a new one. */
static struct out *event_find(struct conn *conn, const char *path, size_t plen,
			      const char *token, size_t tlen, uint64_t *hash)
{
	struct hash_table *table = conn->pool->events;
	struct hash_item *item;
	struct out *out;

	*hash = hash_bytes(table, (uintptr_t)conn, path, plen);
	*hash = hash_bytes(table, *hash, token, tlen);
	for (item = hash_first(table, *hash); item; item = hash_next(item)) {
		out = hash_entry(item, struct out, item);
		if (out->conn == conn && out->hdr.len == plen + tlen &&
		    !memcmp(out->payload, path, plen) &&
		    !memcmp(out->payload + plen, token, tlen))
			return out;
	}
	return NULL;
}

static bool event_admitted(struct conn *conn, size_t len)
{
	if (conn->queued_bytes >= OUTPUT_LOST) {
		conn_break(conn, XENSTORE_ERROR_COMM, "does not read");
		return false;
	}
	return !conn->ledger || conn->who->privileged ||
	       ledger_admits(conn->ledger, QUOTA_MEMORY,
			     out_cost(sizeof(struct xsd_sockmsg) + len));
}

void conn_event(struct conn *conn, const char *path, const char *token,
		struct flight *cause)
{
	size_t plen = strlen(path) + 1, tlen = strlen(token) + 1;
	struct xsd_sockmsg hdr = {
		.type = XS_WATCH_EVENT,
		.len = plen + tlen,
	};
	bool special = path[0] == '@';
	uint64_t hash = 0;
	struct out *out = NULL;

	if (conn->lost)
		return;
	if (!special && event_find(conn, path, plen, token, tlen, &hash)) {
		conn->stats.events_merged++;
		return;
	}
	if (plen + tlen <= XENSTORE_PAYLOAD_MAX &&
	    event_admitted(conn, plen + tlen))
		out = out_new(conn, &hdr);
	if (!out) {
		conn->stats.events_dropped++;
		return;
	}
	memcpy(out->payload, path, plen);
	memcpy(out->payload + plen, token, tlen);
	out->flight = flight_ref(cause);
	list_add_tail(&conn->events, &out->in_events);
	if (!special) {
		hash_add(conn->pool->events, &out->item, hash);
		out->hashed = true;
	}
	conn->stats.events++;
	conn_tell_dirty(conn);
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

/* May it still be merged with an equal one, or dropped? */
static void out_restore_event(struct out *out)
{
	struct conn *conn = out->conn;
	size_t plen = strnlen(out->payload, out->hdr.len) + 1;
	uint64_t hash;

	if (out->hdr.type != XS_WATCH_EVENT || plen > out->hdr.len)
		return;
	list_add_tail(&conn->events, &out->in_events);
	if (out->payload[0] == '@')
		return;
	event_find(conn, out->payload, plen, out->payload + plen,
		   out->hdr.len - plen, &hash);
	hash_add(conn->pool->events, &out->item, hash);
	out->hashed = true;
}

int conn_restore_output(struct conn *conn, struct blob message, size_t sent)
{
	struct xsd_sockmsg hdr = { 0 };
	bool whole = message.len >= sizeof(hdr);
	struct out *out;

	if (whole) {
		memcpy(&hdr, message.data, sizeof(hdr));
		whole = sizeof(hdr) + hdr.len == message.len;
	}
	/* What is left of a message is bytes like others. */
	if (!whole)
		hdr.len = message.len;
	out = out_new(conn, &hdr);
	if (!out)
		return -ENOMEM;
	if (whole) {
		memcpy(out->payload, (const char *)message.data + sizeof(hdr),
		       hdr.len);
		if (!sent)
			out_restore_event(out);
	} else {
		memcpy((char *)&out->hdr, message.data,
		       message.len < sizeof(hdr) ? message.len : sizeof(hdr));
		if (message.len > sizeof(hdr))
			memcpy(out->payload,
			       (const char *)message.data + sizeof(hdr),
			       message.len - sizeof(hdr));
		conn->queued_bytes -= sizeof(hdr);
		if (conn->ledger)
			ledger_refund(conn->ledger, QUOTA_MEMORY, sizeof(hdr));
		out->size = message.len;
	}
	out->walked = true;
	if (conn->queue.next == &out->in_queue)
		conn->sent = sent;
	conn_tell_dirty(conn);
	return 0;
}

size_t conn_queued(const struct conn *conn)
{
	return conn->queued;
}

size_t conn_queued_bytes(const struct conn *conn)
{
	return conn->queued_bytes;
}

static void conn_sent(struct conn *conn, size_t n)
{
	struct out *out;

	conn->stats.bytes_out += n;
	conn->out += n;
	if (n)
		TAP(conn, sent, conn->out);
	while (n) {
		size_t left;

		out = list_first(&conn->queue, struct out, in_queue);
		left = out->size - conn->sent;
		if (n < left) {
			out_begin(out);
			conn->sent += n;
			return;
		}
		n -= left;
		conn->sent = 0;
		out_free(out);
	}
}

/* One write. True: all that it was given has gone. */
static bool conn_send(struct conn *conn)
{
	struct iovec iov[IOVECS];
	size_t put, want = 0, skip = conn->sent;
	struct out *out;
	int n = 0, err;

	list_for_each(out, &conn->queue, in_queue) {
		if (n == IOVECS)
			break;
		iov[n].iov_base = (char *)&out->hdr + skip;
		iov[n].iov_len = out->size - skip;
		want += iov[n++].iov_len;
		skip = 0;
	}
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
		conn_drop_output(conn);
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
	while (conn->queued && !conn->blocked)
		if (!conn_send(conn))
			break;
	conn_settle(conn);
	conn_recheck(conn);
}

/* How many are before it in the queue. */
static size_t out_place(const struct out *out)
{
	const struct list *at = out->in_queue.prev;
	size_t n = 0;

	for (; at != &out->conn->queue; at = at->prev)
		n++;
	return n;
}

static void out_drop(struct out *out)
{
	struct conn *conn = out->conn;

	conn->stats.events_dropped++;
	if (conn->pool->tap)
		TAP(conn, dropped, out_place(out));
	out_free(out);
}

/* O2: it is his who does not take it. */
static void out_disown(struct out *out)
{
	list_del(&out->in_events);
	flight_unref(out->flight);
	out->flight = NULL;
}

uint64_t conn_expire(struct conn *conn, uint64_t before)
{
	struct out *out;

	while ((out = list_first(&conn->events, struct out, in_events)) &&
	       out->queued_at < before) {
		if (conn->who->privileged)
			out_disown(out);
		else
			out_drop(out);
	}
	conn_recheck(conn);
	return out ? out->queued_at : 0;
}

void conn_each_queued(const struct conn *conn,
		      void (*fn)(void *arg, struct blob message, size_t sent),
		      void *arg)
{
	size_t sent = conn->sent;
	const struct out *out;

	list_for_each(out, &conn->queue, in_queue) {
		fn(arg, (struct blob){ &out->hdr, out->size }, sent);
		sent = 0;
	}
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
	struct list *at = conn->queue.prev;
	struct out *out;

	while (at != &conn->queue &&
	       !list_entry(at, struct out, in_queue)->walked)
		at = at->prev;
	for (at = at->next; at != &conn->queue; at = at->next) {
		out = list_entry(at, struct out, in_queue);
		out->walked = true;
		fn(arg, (struct blob){ &out->hdr, out->size });
	}
}

const struct conn_stats *conn_stats(const struct conn *conn)
{
	return &conn->stats;
}
