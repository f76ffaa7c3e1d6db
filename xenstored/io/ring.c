/* SPDX-License-Identifier: MIT */
#include "io/ring.h"

#include <errno.h>
#include <string.h>

#include "base/fault.h"

#define SIZE XENSTORE_RING_SIZE

/* The indices, each loaded once: what is decided is decided on these. */
struct indices {
	uint32_t req_cons, req_prod, rsp_cons, rsp_prod;
};

enum health {
	RING_FINE,
	RING_RECONNECT,		/* the guest asks for a fresh start */
	RING_ZEROED,		/* it, or its firmware, has made one itself */
	RING_UNSURE,		/* perhaps is about to, index by index */
	RING_BROKEN,
	RING_LOST,		/* the page is gone */
};

struct ring {
	struct transport transport;
	struct xenport *port;
	struct xenstore_domain_interface *page;
	struct channel channel;
	uint32_t remote;
	uint32_t features;
	/* Ours, see G2. Stream positions: req_cons is published, up to cursor
	 * was read, rsp_prod is published. */
	uint32_t req_cons, cursor, rsp_prod;
	bool listening;
	bool masked;		/* a kick was not unmasked */
	bool waiting;		/* for room in rsp */
	bool restart;		/* the next settle() publishes a fresh start */
	bool notify;		/* the next settle() has to */
	bool bad;
	/* RING_UNSURE was seen with these, and the guest has kicked since. */
	bool unsure, kicked;
	struct indices seen;
};

static struct ring *ring_of(struct transport *transport)
{
	return talloc_get_type_abort(transport, struct ring);
}

static void full_barrier(void)
{
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
}

static uint32_t load(const uint32_t *index)
{
	return __atomic_load_n(index, __ATOMIC_RELAXED);
}

static void store(uint32_t *index, uint32_t value)
{
	__atomic_store_n(index, value, __ATOMIC_RELAXED);
}

/* ---- looking at the page ------------------------------------------------ */

static bool room_is(uint32_t prod, uint32_t cons)
{
	return prod - cons <= SIZE;
}

/* Zeroed by the guest where we had others; perhaps it has made a request since
 * then. */
static bool is_zeroed(const struct ring *ring, const struct indices *i)
{
	if (i->req_cons || i->rsp_cons || i->rsp_prod)
		return false;
	return !i->req_prod || (room_is(i->req_prod, 0) &&
				(ring->req_cons || ring->rsp_prod));
}

static enum health ring_judge(const struct ring *ring, const struct indices *i)
{
	bool req_cons = i->req_cons == ring->req_cons;
	bool rsp_prod = i->rsp_prod == ring->rsp_prod;
	bool req_prod = room_is(i->req_prod, ring->req_cons) &&
			i->req_prod - ring->cursor <=
				i->req_prod - ring->req_cons;
	bool rsp_cons = room_is(ring->rsp_prod, i->rsp_cons);

	if (req_cons && req_prod && rsp_cons && rsp_prod)
		return RING_FINE;
	/* A req_prod as before may be the one that is zeroed last. */
	if (is_zeroed(ring, i) &&
	    (!i->req_prod || i->req_prod != ring->cursor))
		return RING_ZEROED;
	if ((req_cons || !i->req_cons) && (req_prod || !i->req_prod) &&
	    (rsp_cons || !i->rsp_cons) && (rsp_prod || !i->rsp_prod))
		return RING_UNSURE;
	return RING_BROKEN;
}

/* G1, G2, G3 */
static enum health ring_look(const struct ring *ring, struct indices *i)
{
	const struct xenstore_domain_interface *page = ring->page;
	enum health health = RING_RECONNECT;

	if (load(&page->connection) != XENSTORE_RECONNECT) {
		full_barrier();
		i->req_cons = load(&page->req_cons);
		i->req_prod = load(&page->req_prod);
		i->rsp_cons = load(&page->rsp_cons);
		i->rsp_prod = load(&page->rsp_prod);
		full_barrier();
		health = ring_judge(ring, i);
	}
	return ring->port->ops->page_ok(ring->port, page) ? health : RING_LOST;
}

/*
 * Zeroing four indices takes more than one store, so a state that is half way
 * there is given time: until the guest has kicked, or was scanned, without
 * having come further.
 */
static bool ring_unsure_for_long(struct ring *ring, const struct indices *i)
{
	bool same = ring->unsure && ring->kicked &&
		    !memcmp(&ring->seen, i, sizeof(*i));

	if (!ring->unsure || ring->kicked) {
		ring->unsure = true;
		ring->kicked = false;
		ring->seen = *i;
	}
	return same;
}

/* Says upwards what can be done, if anything. */
static void ring_peek(struct ring *ring)
{
	struct transport *transport = &ring->transport;
	bool readable, writable = false;
	enum health health;
	struct indices i;

	if (ring->restart || !transport->ready)
		return;
	health = ring_look(ring, &i);
	if (health == RING_FINE) {
		ring->unsure = false;
		readable = ring->listening && i.req_prod != ring->cursor;
		writable = ring->waiting && ring->rsp_prod - i.rsp_cons < SIZE;
	} else {
		readable = true;
	}
	if (ring->bad) {
		readable = health == RING_RECONNECT;
		writable = false;
	}
	if (writable)
		ring->waiting = false;
	if (readable || writable)
		transport->ready(transport->arg, readable, writable);
}

/* ---- the event channel -------------------------------------------------- */

static void ring_unmask(struct ring *ring)
{
	if (ring->masked)
		ring->port->ops->unmask(ring->port, &ring->channel);
	ring->masked = false;
}

/* While it is not listened to, and need not be, further kicks of a guest are
 * to cost nothing: the port stays masked. */
static void ring_fired(struct channel *channel)
{
	struct ring *ring = (struct ring *)((char *)channel -
					    offsetof(struct ring, channel));

	ring->kicked = true;
	ring->masked = true;
	if (ring->listening || ring->waiting || ring->bad)
		ring_unmask(ring);
	ring_peek(ring);
}

void ring_scan(struct transport *transport)
{
	struct ring *ring = ring_of(transport);

	ring->kicked = true;
	ring_peek(ring);
}

static void ring_notify(struct ring *ring)
{
	ring->notify = false;
	if (ring->channel.local)
		ring->port->ops->notify(ring->port, &ring->channel);
}

/* ---- a fresh start ------------------------------------------------------ */

static void ring_restart(struct ring *ring)
{
	ring->req_cons = ring->cursor = ring->rsp_prod = 0;
	ring->bad = ring->unsure = ring->waiting = false;
	ring->listening = ring->restart = true;
	ring_unmask(ring);
}

/* Until `connection` is 0 the guest touches nothing else. */
static void ring_publish_restart(struct ring *ring)
{
	struct xenstore_domain_interface *page = ring->page;

	ring->restart = false;
	store(&page->req_cons, 0);
	store(&page->req_prod, 0);
	store(&page->rsp_cons, 0);
	store(&page->rsp_prod, 0);
	if (ring->features & XENSTORE_SERVER_FEATURE_ERROR)
		store(&page->error, XENSTORE_ERROR_NONE);
	full_barrier();
	store(&page->connection, XENSTORE_CONNECTED);
	full_barrier();
	ring->notify = true;
}

/* The guest did it. */
static void ring_start_from_zero(struct ring *ring)
{
	ring->req_cons = ring->cursor = ring->rsp_prod = 0;
	ring->unsure = ring->waiting = false;
	ring->transport.reset(ring->transport.arg, false);
}

/* ---- requests ----------------------------------------------------------- */

/* Copies n bytes at stream position pos out of a circular buffer. G5 */
static void ring_take(void *to, const char *ring, uint32_t pos, size_t n)
{
	size_t at = MASK_XENSTORE_IDX(pos);
	size_t first = n < SIZE - at ? n : SIZE - at;

	memcpy(to, ring + at, first);
	memcpy((char *)to + first, ring, n - first);
}

static void ring_read_bytes(struct ring *ring, const struct indices *i,
			    void *buf, size_t room, size_t *got, bool *more)
{
	uint32_t fill = i->req_prod - ring->cursor;
	size_t n = fill < room ? fill : room;

	ring->unsure = false;
	if (!n)
		return;
	ring_take(buf, ring->page->req, ring->cursor, n);
	ring->cursor += n;
	*got = n;
	*more = n < fill;
}

static int ring_read(struct transport *transport, void *buf, size_t room,
		     size_t *got, bool *more)
{
	struct ring *ring = ring_of(transport);
	enum health health;
	struct indices i;

	*got = 0;
	*more = false;
	if (ring->restart)
		return 0;
	health = ring_look(ring, &i);
	if (ring->bad && health != RING_RECONNECT)
		return 0;
	switch (health) {
	case RING_FINE:
		ring_read_bytes(ring, &i, buf, room, got, more);
		return 0;
	case RING_RECONNECT:
		ring_restart(ring);
		transport->reset(transport->arg, true);
		return 0;
	case RING_ZEROED:
		ring_start_from_zero(ring);
		*more = true;
		return 0;
	case RING_UNSURE:
		if (!ring_unsure_for_long(ring, &i))
			return 0;
		if (!is_zeroed(ring, &i))
			return -EPROTO;
		ring_start_from_zero(ring);
		*more = true;
		return 0;
	case RING_BROKEN:
		return -EPROTO;
	case RING_LOST:
		break;
	}
	return -EIO;
}

/*
 * Publishes what was read, before the replies to it: a guest that has its reply
 * may begin to reset the ring. False: the index in the page is not ours any
 * more, read() has to find out why.
 */
static bool ring_publish_cons(struct ring *ring)
{
	if (ring->cursor == ring->req_cons)
		return true;
	if (load(&ring->page->connection) == XENSTORE_RECONNECT ||
	    load(&ring->page->req_cons) != ring->req_cons)
		return false;
	full_barrier();
	store(&ring->page->req_cons, ring->cursor);
	ring->req_cons = ring->cursor;
	fault_at(ring_cons);
	/* The guest may be waiting for space for the rest of a message, even
	 * if there is some. */
	ring->notify = true;
	return true;
}

/* G4 */
static bool ring_settle(struct transport *transport)
{
	struct ring *ring = ring_of(transport);

	if (ring->restart)
		ring_publish_restart(ring);
	else if (ring->bad)
		return false;
	else if (!ring_publish_cons(ring))
		return !ring->unsure;
	if (ring->notify)
		ring_notify(ring);
	full_barrier();
	return !ring->unsure && load(&ring->page->req_prod) != ring->cursor;
}

/* ---- replies and events ------------------------------------------------- */

static void ring_put(char *ring, uint32_t pos, const void *from, size_t n)
{
	size_t at = MASK_XENSTORE_IDX(pos);
	size_t first = n < SIZE - at ? n : SIZE - at;

	memcpy(ring + at, from, first);
	memcpy(ring, (const char *)from + first, n - first);
}

/* A position in what is to be sent. */
struct source {
	const struct iovec *iov;
	int n;
	size_t skip;		/* of the first */
};

/* Copies up to `room` bytes; returns how many. */
static size_t ring_put_some(struct ring *ring, struct source *from, size_t room)
{
	size_t done = 0;

	while (from->n && done < room) {
		size_t len = from->iov->iov_len - from->skip;
		size_t n = len < room - done ? len : room - done;

		ring_put(ring->page->rsp, ring->rsp_prod + done,
			 (const char *)from->iov->iov_base + from->skip, n);
		done += n;
		from->skip += n;
		if (n == len) {
			from->iov++;
			from->n--;
			from->skip = 0;
		}
	}
	return done;
}

/*
 * Puts what has room, publishes it, and looks again, for the guest tells that
 * it has made room only if it found the ring full. Each turn moves bytes or is
 * the last.
 */
static int ring_write(struct transport *transport, const struct iovec *iov,
		      int n, size_t *put)
{
	struct ring *ring = ring_of(transport);
	struct source from = { iov, n, 0 };
	struct indices i;
	size_t done;

	*put = 0;
	if (ring->restart)
		ring_publish_restart(ring);
	do {
		enum health health = ring_look(ring, &i);

		if (health == RING_UNSURE) {
			ring->waiting = true;
			return 0;
		}
		if (health != RING_FINE || !ring_publish_cons(ring))
			return EAGAIN;
		done = ring_put_some(ring, &from,
				     SIZE - (ring->rsp_prod - i.rsp_cons));
		full_barrier();
		fault_at(ring_bytes);
		ring->rsp_prod += done;
		store(&ring->page->rsp_prod, ring->rsp_prod);
		full_barrier();
		fault_at(ring_prod);
		*put += done;
	} while (done && from.n);
	if (*put)
		ring->notify = true;
	ring->waiting = from.n > 0;
	if (ring->waiting)
		ring_unmask(ring);
	return 0;
}

/* ---- the rest ----------------------------------------------------------- */

static void ring_listen(struct transport *transport, bool on)
{
	struct ring *ring = ring_of(transport);

	ring->listening = on;
	if (on)
		ring_unmask(ring);
}

static void ring_fail(struct transport *transport, uint32_t error)
{
	struct ring *ring = ring_of(transport);

	ring->bad = true;
	ring->waiting = false;
	if (ring->features & XENSTORE_SERVER_FEATURE_ERROR)
		store(&ring->page->error, error);
	ring_unmask(ring);
}

static int ring_fd(const struct transport *transport)
{
	(void)transport;
	return -1;
}

static const struct transport_ops ring_ops = {
	.kind = "ring",
	.read = ring_read,
	.settle = ring_settle,
	.write = ring_write,
	.listen = ring_listen,
	.fail = ring_fail,
	.fd = ring_fd,
};

static int ring_free(struct ring *ring)
{
	if (ring->channel.local)
		ring->port->ops->unbind(ring->port, &ring->channel);
	ring->port->ops->unmap(ring->port, ring->channel.domid, ring->page);
	return 0;
}

static int ring_make(TALLOC_CTX *ctx, struct xenport *port, uint16_t domid,
		     struct xenstore_domain_interface *page, uint32_t remote,
		     uint32_t features, struct ring **out)
{
	struct ring *ring = talloc_zero(ctx, struct ring);

	if (!ring) {
		port->ops->unmap(port, domid, page);
		return -ENOMEM;
	}
	ring->transport.ops = &ring_ops;
	ring->port = port;
	ring->page = page;
	ring->channel.domid = domid;
	ring->channel.fired = ring_fired;
	ring->remote = remote;
	ring->features = features;
	ring->listening = true;
	talloc_set_destructor(ring, ring_free);
	*out = ring;
	return 0;
}

static void ring_keep_indices(struct ring *ring)
{
	ring->req_cons = ring->cursor = load(&ring->page->req_cons);
	ring->rsp_prod = load(&ring->page->rsp_prod);
}

/* A guest need not have waited for us: its first request, on an otherwise
 * fresh page, is not to be lost. */
static bool ring_is_fresh(const struct xenstore_domain_interface *page)
{
	return load(&page->connection) == XENSTORE_CONNECTED &&
	       !load(&page->req_cons) && load(&page->req_prod) <= SIZE &&
	       !load(&page->rsp_cons) && !load(&page->rsp_prod);
}

static void ring_begin(struct ring *ring, bool keep)
{
	if (ring->features)
		store(&ring->page->server_features, ring->features);
	if (keep || ring_is_fresh(ring->page))
		ring_keep_indices(ring);
	else
		ring_publish_restart(ring);
	ring->notify = true;
}

int ring_new(TALLOC_CTX *ctx, struct xenport *port, uint16_t domid,
	     struct xenstore_domain_interface *page, uint32_t remote,
	     uint32_t features, bool keep, struct transport **out)
{
	struct ring *ring;
	int err;

	err = ring_make(ctx, port, domid, page, remote, features, &ring);
	if (err)
		return err;
	err = port->ops->bind(port, &ring->channel, remote);
	if (err) {
		talloc_free(ring);
		return err;
	}
	ring_begin(ring, keep);
	*out = &ring->transport;
	return 0;
}

int ring_adopt(TALLOC_CTX *ctx, struct xenport *port, uint16_t domid,
	       struct xenstore_domain_interface *page, uint32_t remote,
	       uint32_t local, uint32_t features, struct transport **out)
{
	struct ring *ring;
	int err;

	err = ring_make(ctx, port, domid, page, remote, features, &ring);
	if (err)
		return err;
	ring->channel.local = local;
	err = port->ops->adopt(port, &ring->channel);
	if (err) {
		ring->channel.local = 0;
		talloc_free(ring);
		return err;
	}
	/* A port that a predecessor had read from is still masked. */
	port->ops->unmask(port, &ring->channel);
	ring_begin(ring, true);
	*out = &ring->transport;
	return 0;
}

void ring_resume(struct transport *transport, uint32_t cursor, uint32_t sent,
		 size_t queued, uint32_t *more)
{
	struct ring *ring = ring_of(transport);
	uint32_t req_cons = load(&ring->page->req_cons);
	uint32_t put = load(&ring->page->rsp_prod) - sent;

	ring->cursor = cursor;
	ring->req_cons = room_is(cursor, req_cons) ? req_cons : cursor;
	*more = put <= SIZE && put <= queued ? put : 0;
	ring->rsp_prod = sent + *more;
	ring->notify = true;
}

void ring_reintroduce(struct transport *transport, uint32_t remote)
{
	struct ring *ring = ring_of(transport);

	if (ring->channel.local)
		ring->port->ops->unbind(ring->port, &ring->channel);
	ring->channel.local = 0;
	ring->masked = false;
	ring->remote = remote;
	if (ring->port->ops->bind(ring->port, &ring->channel, remote))
		ring->channel.local = 0;
	ring_restart(ring);
}

uint32_t ring_remote_port(const struct transport *transport)
{
	return ((const struct ring *)transport)->remote;
}

uint32_t ring_local_port(const struct transport *transport)
{
	return ((const struct ring *)transport)->channel.local;
}

struct xenstore_domain_interface *ring_page(const struct transport *transport)
{
	return ((const struct ring *)transport)->page;
}
