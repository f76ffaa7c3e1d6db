/* SPDX-License-Identifier: MIT */
/*
 * The floor: a daemon that answers every request at once and keeps nothing.
 * What it costs is what the kernel and the transport cost; nobody can be
 * faster without doing fewer system calls.
 *
 *   floor SOCKET
 *
 * READ of .../vN answers N bytes. Guests come over fakexen.
 */
#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <fakexen.h>

struct link {
	struct link *next; /* among the spare ones */
	int fd;
	unsigned int domid;
	struct xenstore_domain_interface *ring;
	char in[70000], out[140000];
	size_t in_len, out_len;
};

struct floor {
	int epoll, listener, evtchn, notify;
	struct fx_state *st;
	struct link *guest[FX_NDOM];
	struct link *spare;
};

/* The daemon's port of a guest; 1 is for changes of domains. */
static uint32_t port_of(unsigned int domid)
{
	return domid + 1;
}

static void answer(struct link *link, const struct xsd_sockmsg *req,
		   const void *body, size_t len)
{
	struct xsd_sockmsg hdr = {req->type, req->req_id, req->tx_id, len};

	if (link->out_len + sizeof(hdr) + len > sizeof(link->out))
		return;
	memcpy(link->out + link->out_len, &hdr, sizeof(hdr));
	memcpy(link->out + link->out_len + sizeof(hdr), body, len);
	link->out_len += sizeof(hdr) + len;
}

static void introduce(struct floor *floor, const char *body)
{
	unsigned int domid = strtoul(body, NULL, 10);
	struct link *link;

	if (!domid || domid >= FX_NDOM - 1)
		return;
	link = floor->guest[domid];
	if (!link) {
		link = floor->guest[domid] = calloc(1, sizeof(*link));
		link->domid = domid;
		link->ring = fx_page(domid);
	}
	link->in_len = link->out_len = 0;
	floor->st->port[port_of(domid)].pending = FX_IDLE;
	floor->st->dom[domid].local_port = port_of(domid);
}

static void serve(struct floor *floor, struct link *link,
		  const struct xsd_sockmsg *req, const char *body)
{
	static const char page[8192];
	const char *name;
	size_t len = 16;

	switch (req->type) {
	case XS_READ:
		name = strrchr(body, '/');
		if (name && name[1] == 'v')
			len = strtoul(name + 2, NULL, 10);
		answer(link, req, page,
		       len < XENSTORE_PAYLOAD_MAX ? len : XENSTORE_PAYLOAD_MAX);
		return;
	case XS_TRANSACTION_START:
		answer(link, req, "1", 2);
		return;
	case XS_DIRECTORY:
		answer(link, req, page, 700);
		return;
	case XS_GET_PERMS:
		answer(link, req, "n0", 3);
		return;
	case XS_INTRODUCE:
		introduce(floor, body);
	}
	answer(link, req, "OK", 3);
}

static void serve_all(struct floor *floor, struct link *link)
{
	struct xsd_sockmsg req;
	size_t pos = 0;

	while (link->in_len - pos >= sizeof(req)) {
		memcpy(&req, link->in + pos, sizeof(req));
		if (link->in_len - pos - sizeof(req) < req.len)
			break;
		serve(floor, link, &req, link->in + pos + sizeof(req));
		pos += sizeof(req) + req.len;
	}
	link->in_len -= pos;
	memmove(link->in, link->in + pos, link->in_len);
}

static size_t ring_in(struct floor *floor, struct link *link)
{
	struct xenstore_domain_interface *ring = link->ring;
	uint32_t cons = ring->req_cons;
	uint32_t n = __atomic_load_n(&ring->req_prod, __ATOMIC_SEQ_CST) - cons;
	uint32_t offset = MASK_XENSTORE_IDX(cons);

	if (n > XENSTORE_RING_SIZE - offset)
		n = XENSTORE_RING_SIZE - offset;
	if (!n || link->in_len + n > sizeof(link->in) || link->out_len > 65536)
		return 0;
	memcpy(link->in + link->in_len, ring->req + offset, n);
	__atomic_store_n(&ring->req_cons, cons + n, __ATOMIC_SEQ_CST);
	link->in_len += n;
	serve_all(floor, link);
	return n;
}

static size_t ring_out(struct link *link)
{
	struct xenstore_domain_interface *ring = link->ring;
	uint32_t prod = ring->rsp_prod, offset = MASK_XENSTORE_IDX(prod);
	uint32_t n =
		XENSTORE_RING_SIZE -
		(prod - __atomic_load_n(&ring->rsp_cons, __ATOMIC_SEQ_CST));

	if (n > XENSTORE_RING_SIZE - offset)
		n = XENSTORE_RING_SIZE - offset;
	if (n > link->out_len)
		n = link->out_len;
	memcpy(ring->rsp + offset, link->out, n);
	__atomic_store_n(&ring->rsp_prod, prod + n, __ATOMIC_SEQ_CST);
	link->out_len -= n;
	memmove(link->out, link->out + n, link->out_len);
	return n;
}

static void ring_ready(struct floor *floor, struct link *link)
{
	size_t moved, all = 0;

	do {
		moved = ring_in(floor, link) + ring_out(link);
		all += moved;
	} while (moved);
	if (all)
		fx_guest_notify(floor->st, floor->notify, link->domid);
}

static void ports_ready(struct floor *floor)
{
	uint32_t port[256], i;
	ssize_t n = read(floor->evtchn, port, sizeof(port));

	for (i = 0; n > 0 && i < n / sizeof(*port); i++) {
		fx_unmask(floor->st, floor->evtchn, port[i]);
		if (port[i] > 1 && floor->guest[port[i] - 1])
			ring_ready(floor, floor->guest[port[i] - 1]);
	}
}

static void socket_ready(struct floor *floor, struct link *link)
{
	ssize_t n = recv(link->fd, link->in + link->in_len,
			 sizeof(link->in) - link->in_len, 0);

	if (n <= 0) {
		close(link->fd);
		link->next = floor->spare;
		floor->spare = link;
		return;
	}
	link->in_len += n;
	serve_all(floor, link);
	if (link->out_len)
		n = send(link->fd, link->out, link->out_len, MSG_NOSIGNAL);
	link->out_len = 0;
}

static void listener_ready(struct floor *floor)
{
	struct epoll_event ev = {.events = EPOLLIN};
	int fd = accept(floor->listener, NULL, NULL);
	struct link *link = floor->spare;

	if (fd < 0)
		return;
	if (link)
		floor->spare = link->next;
	else
		link = calloc(1, sizeof(*link));
	link->fd = fd;
	link->in_len = link->out_len = 0;
	ev.data.ptr = link;
	epoll_ctl(floor->epoll, EPOLL_CTL_ADD, fd, &ev);
}

static void listen_at(struct floor *floor, const char *path)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};

	strncpy(addr.sun_path, path, sizeof(addr.sun_path) - 1);
	floor->listener = socket(AF_UNIX, SOCK_STREAM, 0);
	if (bind(floor->listener, (struct sockaddr *)&addr, sizeof(addr)) ||
	    listen(floor->listener, 1024)) {
		perror(path);
		exit(1);
	}
}

static void watch(struct floor *floor, int fd, void *what)
{
	struct epoll_event ev = {.events = EPOLLIN, .data.ptr = what};

	epoll_ctl(floor->epoll, EPOLL_CTL_ADD, fd, &ev);
}

int main(int argc, char **argv)
{
	static struct floor floor;
	struct epoll_event ev[64];
	int i, n;

	if (argc != 2)
		return 2;
	signal(SIGPIPE, SIG_IGN);
	floor.epoll = epoll_create1(0);
	floor.st = fx_state();
	floor.evtchn = fx_evtchn_open();
	floor.notify = socket(AF_UNIX, SOCK_DGRAM, 0);
	floor.st->virq_port = 1;
	listen_at(&floor, argv[1]);
	watch(&floor, floor.listener, &floor.listener);
	watch(&floor, floor.evtchn, &floor.evtchn);
	for (;;) {
		n = epoll_wait(floor.epoll, ev, 64, -1);
		for (i = 0; i < n; i++) {
			if (ev[i].data.ptr == &floor.listener)
				listener_ready(&floor);
			else if (ev[i].data.ptr == &floor.evtchn)
				ports_ready(&floor);
			else
				socket_ready(&floor, ev[i].data.ptr);
		}
	}
}
