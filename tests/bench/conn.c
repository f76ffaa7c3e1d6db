/* SPDX-License-Identifier: MIT */
/* See conn.h. */
#include "conn.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <fakexen.h>

#include "proc.h"

#define IN_SIZE	    (1 << 18)
#define FEED_DEPTH  16
#define PATIENCE_NS 60000000000ull

struct conn_priv {
	int fd;
	struct xenstore_domain_interface *ring;
	int evtchn;
	char *out;
	size_t out_len, out_pos, out_size;
	bool wants_out;
	char *in;
	size_t in_len;
	struct {
		uint64_t t0;
		uint32_t id, type;
	} asked[WINDOW];
	unsigned int head, tail;
	uint32_t next_id;
	bool sync, answered;
};

void die(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	fprintf(stderr, "xsbench: ");
	vfprintf(stderr, fmt, ap);
	fprintf(stderr, "\n");
	va_end(ap);
	exit(1);
}

void pool_init(struct pool *pool, const char *socket_path, void *owner)
{
	memset(pool, 0, sizeof(*pool));
	pool->socket_path = socket_path;
	pool->owner = owner;
	pool->epoll = epoll_create1(EPOLL_CLOEXEC);
}

struct conn *conn_new(struct pool *pool)
{
	struct conn *conn = calloc(1, sizeof(*conn));

	conn->priv = calloc(1, sizeof(*conn->priv));
	conn->pool = pool;
	conn->index = pool->count++;
	conn->priv->fd = -1;
	conn->priv->in = malloc(IN_SIZE + 1);
	conn->priv->out_size = 65536;
	conn->priv->out = malloc(conn->priv->out_size);
	return conn;
}

static void conn_listen(struct conn *conn, int fd)
{
	struct epoll_event ev = {.events = EPOLLIN, .data.ptr = conn};

	conn->priv->fd = fd;
	fcntl(fd, F_SETFL, O_NONBLOCK);
	if (epoll_ctl(conn->pool->epoll, EPOLL_CTL_ADD, fd, &ev))
		die("epoll: %s", strerror(errno));
}

void conn_open(struct conn *conn)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	strncpy(addr.sun_path, conn->pool->socket_path,
		sizeof(addr.sun_path) - 1);
	if (fd < 0 || connect(fd, (struct sockaddr *)&addr, sizeof(addr)))
		die("connect %s: %s", addr.sun_path, strerror(errno));
	conn_listen(conn, fd);
}

struct conn *conn_connect(struct pool *pool)
{
	struct conn *conn = conn_new(pool);

	conn_open(conn);
	return conn;
}

void conn_close(struct conn *conn)
{
	struct conn_priv *priv = conn->priv;

	if (priv->fd >= 0)
		close(priv->fd);
	priv->fd = -1;
	priv->in_len = priv->out_len = priv->out_pos = 0;
	priv->wants_out = false;
	conn->pool->inflight -= conn_inflight(conn);
	priv->head = priv->tail;
}

struct conn *conn_guest(struct pool *pool, struct conn *ctl, unsigned int domid)
{
	struct conn *conn = conn_new(pool);
	char buf[128], path[64];
	int n;

	if (!fx_state() || !fx_state()->virq_port)
		die("the daemon has no guests");
	conn->domid = domid;
	conn->priv->ring = fx_page(domid);
	conn->priv->evtchn = fx_evtchn_open();
	memset(conn->priv->ring, 0, FX_PAGE);
	conn_listen(conn, fx_guest_evt_open(domid));
	fx_dom_create(fx_state(), domid);
	n = sprintf(buf, "%u%c%u%c%u", domid, 0, domid + 1000, 0, 2) + 1;
	conn_put(ctl, XS_INTRODUCE, 0, buf, n);
	conn_must(ctl, "introduce");
	sprintf(path, "/local/domain/%u", domid);
	conn_put_path(ctl, XS_MKDIR, 0, path);
	conn_must(ctl, "home");
	n = sprintf(buf, "n%u", domid) + 1;
	conn_put_two(ctl, XS_SET_PERMS, 0, path, buf, n);
	conn_must(ctl, "permissions of home");
	return conn;
}

void conn_guest_gone(struct conn *conn, struct conn *ctl)
{
	char buf[64];

	sprintf(buf, "%u", conn->domid);
	conn_put_path(ctl, XS_RELEASE, 0, buf);
	conn_wait(ctl);
	fx_dom_change(fx_state(), conn->priv->evtchn, conn->domid, 0);
	sprintf(buf, "/local/domain/%u", conn->domid);
	conn_put_path(ctl, XS_RM, 0, buf);
	conn_wait(ctl);
	munmap(conn->priv->ring, FX_PAGE);
	close(conn->priv->evtchn);
	conn_close(conn);
}

/* ---- sending ------------------------------------------------------------- */

static void kick(struct conn *conn)
{
	struct fx_state *st = fx_state();

	fx_raise(st, conn->priv->evtchn, st->dom[conn->domid].local_port);
}

static uint32_t load(const uint32_t *index)
{
	return __atomic_load_n(index, __ATOMIC_SEQ_CST);
}

static void store(uint32_t *index, uint32_t value)
{
	__atomic_store_n(index, value, __ATOMIC_SEQ_CST);
}

static void ring_flush(struct conn *conn)
{
	struct conn_priv *priv = conn->priv;
	struct xenstore_domain_interface *ring = priv->ring;
	uint32_t prod, room, offset, n;
	bool did = false;

	while (priv->out_pos < priv->out_len) {
		prod = load(&ring->req_prod);
		room = XENSTORE_RING_SIZE - (prod - load(&ring->req_cons));
		offset = MASK_XENSTORE_IDX(prod);
		n = priv->out_len - priv->out_pos;
		if (n > room)
			n = room;
		if (n > XENSTORE_RING_SIZE - offset)
			n = XENSTORE_RING_SIZE - offset;
		if (!n)
			break;
		memcpy(ring->req + offset, priv->out + priv->out_pos, n);
		store(&ring->req_prod, prod + n);
		priv->out_pos += n;
		did = true;
	}
	if (did)
		kick(conn);
}

static void socket_flush(struct conn *conn)
{
	struct conn_priv *priv = conn->priv;
	ssize_t n;

	while (priv->out_pos < priv->out_len) {
		n = send(priv->fd, priv->out + priv->out_pos,
			 priv->out_len - priv->out_pos, MSG_NOSIGNAL);
		if (n < 0 && errno == EAGAIN)
			break;
		if (n < 0 && errno != EINTR)
			die("send: %s", strerror(errno));
		if (n > 0)
			priv->out_pos += n;
	}
}

void conn_flush(struct conn *conn)
{
	struct conn_priv *priv = conn->priv;
	struct epoll_event ev = {.data.ptr = conn};
	bool wants;

	if (priv->ring)
		ring_flush(conn);
	else
		socket_flush(conn);
	if (priv->out_pos == priv->out_len)
		priv->out_pos = priv->out_len = 0;
	wants = priv->out_len && !priv->ring;
	if (wants == priv->wants_out)
		return;
	priv->wants_out = wants;
	ev.events = EPOLLIN | (wants ? EPOLLOUT : 0);
	epoll_ctl(conn->pool->epoll, EPOLL_CTL_MOD, priv->fd, &ev);
}

static void append(struct conn_priv *priv, const void *data, size_t len)
{
	if (priv->out_len + len > priv->out_size) {
		priv->out_size = 2 * (priv->out_len + len);
		priv->out = realloc(priv->out, priv->out_size);
	}
	memcpy(priv->out + priv->out_len, data, len);
	priv->out_len += len;
}

static void put(struct conn *conn, uint32_t type, uint32_t tx, const void *a,
		size_t a_len, const void *b, size_t b_len)
{
	struct conn_priv *priv = conn->priv;
	struct xsd_sockmsg hdr = {type, ++priv->next_id, tx, a_len + b_len};

	append(priv, &hdr, sizeof(hdr));
	append(priv, a, a_len);
	append(priv, b, b_len);
	priv->asked[priv->tail].t0 = now_ns();
	priv->asked[priv->tail].id = hdr.req_id;
	priv->asked[priv->tail].type = type;
	priv->tail = (priv->tail + 1) % WINDOW;
	if (priv->tail == priv->head)
		die("too many requests in flight");
	conn->pool->inflight++;
	conn->pool->requests++;
}

void conn_put(struct conn *conn, uint32_t type, uint32_t tx, const void *data,
	      size_t len)
{
	put(conn, type, tx, data, len, "", 0);
}

void conn_put_path(struct conn *conn, uint32_t type, uint32_t tx,
		   const char *path)
{
	put(conn, type, tx, path, strlen(path) + 1, "", 0);
}

void conn_put_two(struct conn *conn, uint32_t type, uint32_t tx,
		  const char *path, const void *rest, size_t len)
{
	put(conn, type, tx, path, strlen(path) + 1, rest, len);
}

void conn_put_watch(struct conn *conn, uint32_t type, const char *path,
		    const char *token)
{
	conn_put_two(conn, type, 0, path, token, strlen(token) + 1);
}

void conn_put_end(struct conn *conn, uint32_t tx)
{
	conn_put_path(conn, XS_TRANSACTION_END, tx, "T");
}

unsigned int conn_inflight(const struct conn *conn)
{
	return (conn->priv->tail - conn->priv->head) % WINDOW;
}

/* ---- receiving ----------------------------------------------------------- */

static void message(struct conn *conn, const struct xsd_sockmsg *hdr,
		    char *body)
{
	struct conn_priv *priv = conn->priv;
	struct pool *pool = conn->pool;
	struct reply reply = {.hdr = *hdr, .body = body};

	if (hdr->type == XS_WATCH_EVENT) {
		pool->events++;
		if (pool->on_event)
			pool->on_event(conn, body);
		return;
	}
	if (priv->head == priv->tail ||
	    priv->asked[priv->head].id != hdr->req_id)
		die("reply of type %u to no request, or out of order",
		    hdr->type);
	reply.asked = priv->asked[priv->head].type;
	reply.t0 = priv->asked[priv->head].t0;
	priv->head = (priv->head + 1) % WINDOW;
	pool->inflight--;
	if (priv->sync) {
		conn->hdr = *hdr;
		memcpy(conn->body, body, hdr->len);
		conn->body[hdr->len] = 0;
		priv->answered = true;
	} else if (pool->on_reply) {
		pool->on_reply(conn, &reply);
	}
}

static void parse(struct conn *conn)
{
	struct conn_priv *priv = conn->priv;
	struct xsd_sockmsg hdr;
	size_t pos = 0;
	char *body, save;

	while (priv->in_len - pos >= sizeof(hdr)) {
		memcpy(&hdr, priv->in + pos, sizeof(hdr));
		if (hdr.len >= sizeof(conn->body))
			die("reply too long: %u", hdr.len);
		if (priv->in_len - pos < sizeof(hdr) + hdr.len)
			break;
		if (hdr.len > conn->pool->longest)
			conn->pool->longest = hdr.len;
		body = priv->in + pos + sizeof(hdr);
		save = body[hdr.len];
		body[hdr.len] = 0;
		message(conn, &hdr, body);
		if (!priv->in_len)
			return; /* it was closed meanwhile */
		body[hdr.len] = save;
		pos += sizeof(hdr) + hdr.len;
	}
	priv->in_len -= pos;
	if (pos)
		memmove(priv->in, priv->in + pos, priv->in_len);
}

static void ring_readable(struct conn *conn)
{
	struct conn_priv *priv = conn->priv;
	struct xenstore_domain_interface *ring = priv->ring;
	bool did = false, was_full = false;
	uint32_t cons, offset, n;

	fx_guest_evt_clear(fx_state(), priv->fd, conn->domid);
	for (;;) {
		cons = load(&ring->rsp_cons);
		n = load(&ring->rsp_prod) - cons;
		offset = MASK_XENSTORE_IDX(cons);
		if (!n)
			break;
		if (n > XENSTORE_RING_SIZE - offset)
			n = XENSTORE_RING_SIZE - offset;
		if (priv->in_len + n > IN_SIZE)
			die("too much input");
		memcpy(priv->in + priv->in_len, ring->rsp + offset, n);
		store(&ring->rsp_cons, cons + n);
		/* It may have become full since, and the daemon asleep. */
		was_full |= load(&ring->rsp_prod) - cons >= XENSTORE_RING_SIZE;
		priv->in_len += n;
		did = true;
	}
	if (was_full)
		kick(conn);
	if (did)
		parse(conn);
	if (priv->out_len)
		conn_flush(conn);
}

static void readable(struct conn *conn)
{
	struct conn_priv *priv = conn->priv;
	ssize_t n;

	if (priv->ring) {
		ring_readable(conn);
		return;
	}
	n = recv(priv->fd, priv->in + priv->in_len, IN_SIZE - priv->in_len, 0);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0)
		die("the daemon hung up");
	priv->in_len += n;
	parse(conn);
}

bool pool_pump(struct pool *pool, int ms)
{
	struct epoll_event ev[64];
	int i, n = epoll_wait(pool->epoll, ev, 64, ms);
	struct conn *conn;

	for (i = 0; i < n; i++) {
		conn = ev[i].data.ptr;
		if (conn->priv->fd >= 0 && (ev[i].events & EPOLLOUT))
			conn_flush(conn);
		if (conn->priv->fd >= 0 && (ev[i].events & ~EPOLLOUT))
			readable(conn);
	}
	return n > 0;
}

bool conn_wait(struct conn *conn)
{
	uint64_t end = now_ns() + PATIENCE_NS;

	conn->priv->sync = true;
	conn->priv->answered = false;
	conn_flush(conn);
	while (!conn->priv->answered) {
		pool_pump(conn->pool, 1000);
		if (now_ns() > end)
			die("no answer in a minute");
	}
	conn->priv->sync = false;
	return conn->hdr.type != XS_ERROR;
}

void conn_must(struct conn *conn, const char *what)
{
	if (!conn_wait(conn))
		die("%s: %s", what, conn->body);
}

static void ignore_reply(struct conn *conn, const struct reply *reply)
{
	(void)conn;
	(void)reply;
}

static void reduce(struct conn *conn, unsigned int most)
{
	reply_fn *saved = conn->pool->on_reply;

	conn->pool->on_reply = ignore_reply;
	conn_flush(conn);
	while (conn_inflight(conn) > most)
		pool_pump(conn->pool, 1000);
	conn->pool->on_reply = saved;
}

void conn_feed(struct conn *conn)
{
	if (conn_inflight(conn) >= FEED_DEPTH)
		reduce(conn, FEED_DEPTH / 2);
}

void conn_drain(struct conn *conn)
{
	reduce(conn, 0);
}
