/* SPDX-License-Identifier: MIT */
/*
 * The port for VMMs: domains come as descriptors over a socket, see
 * include/xenstore_vmm.h.
 *
 * A VMM is trusted for its own domains only. No descriptor of its making is
 * used in a way that can block: what we kick is a socket, sent to without
 * waiting, or an eventfd of a peer that could harm us anyway; what kicks us is
 * watched and never read.
 *
 * Which descriptor is what is kept in a small table of shared memory, so that a
 * successor that has inherited the descriptors can go on: its number is what
 * descriptors() gives first, and what xenport_vmm_new() takes.
 */
#include "io/xenport.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include <xenstore_vmm.h>

#include "base/list.h"
#include "base/log.h"
#include "base/who.h"
#include "io/listener.h"
#include "io/page.h"

#define FDS_MAX 4		/* one more than any request has */
#define MESSAGES_PER_PASS 16

/* ---- the table for a successor ------------------------------------------ */

enum slot_kind {
	SLOT_FREE = 0,
	SLOT_LISTENER,		/* the first; also `unique_id`, the last used */
	SLOT_CONN,
	SLOT_DOM,
};

/* Valid while `kind` is not SLOT_FREE, which is written last and unwritten
 * first. */
struct slot {
	uint32_t kind;
	int32_t fd;		/* of the listener, or the connection */
	int32_t page, kick_in, kick_out;
	uint32_t domid, state;
	uint64_t offset, unique_id;
};

struct table {
	int fd;
	struct slot *slots;
	size_t n;
};

static void slot_set(struct slot *slot, enum slot_kind kind)
{
	__atomic_store_n(&slot->kind, kind, __ATOMIC_SEQ_CST);
}

static int table_map(struct table *table, size_t n)
{
	void *mem;

	/* Without memory behind it a store would be a SIGBUS. */
	if (posix_fallocate(table->fd, 0, n * sizeof(*table->slots)))
		return -ENOSPC;
	mem = mmap(NULL, n * sizeof(*table->slots), PROT_READ | PROT_WRITE,
		   MAP_SHARED, table->fd, 0);
	if (mem == MAP_FAILED)
		return -errno;
	if (table->slots)
		munmap(table->slots, table->n * sizeof(*table->slots));
	table->slots = mem;
	table->n = n;
	return 0;
}

static int table_new(struct table *table)
{
	table->fd = memfd_create("xenstored-vmm", MFD_CLOEXEC);
	if (table->fd < 0)
		return -errno;
	return table_map(table, 64);
}

static int table_adopt(struct table *table, int fd)
{
	struct stat st;

	table->fd = fd;
	if (fstat(fd, &st) < 0)
		return -errno;
	if (st.st_size < (off_t)sizeof(*table->slots))
		return -EINVAL;
	return table_map(table, st.st_size / sizeof(*table->slots));
}

static void table_free(struct table *table)
{
	if (table->slots)
		munmap(table->slots, table->n * sizeof(*table->slots));
	if (table->fd >= 0)
		close(table->fd);
}

/* Enters `slot`; *at is its index. */
static int table_add(struct table *table, const struct slot *slot, size_t *at)
{
	size_t i = 0;
	int err;

	while (i < table->n && table->slots[i].kind != SLOT_FREE)
		i++;
	if (i == table->n) {
		err = table_map(table, table->n * 2);
		if (err)
			return err;
	}
	table->slots[i] = *slot;
	table->slots[i].kind = SLOT_FREE;
	slot_set(&table->slots[i], slot->kind);
	*at = i;
	return 0;
}

/* ---- objects ------------------------------------------------------------ */

struct vmm_port {
	struct xenport base;
	struct loop *loop;
	struct listener *listener;
	struct list conns;
	struct table table;
	/* by domid; NULL: does not exist */
	struct vmm_dom *doms[DOMID_FIRST_RESERVED];
};

struct vmm_conn {
	struct vmm_port *port;
	int fd;
	size_t slot;
	struct loop_fd *watch;
	struct list in_port;
	struct list doms;
	bool trusted;		/* our own user, or root */
	bool answering;		/* `answer` waits for room */
	struct xenstore_vmm_msg answer;
};

struct vmm_dom {
	struct vmm_port *port;
	struct vmm_conn *conn;
	struct list in_conn;
	size_t slot;
	uint16_t domid;
	int page, kick_in, kick_out;
	bool kick_is_socket;
	struct loop_fd *watch;		/* of kick_in */
	bool masked;			/* fired, not unmasked yet */
	struct channel *channel;	/* NULL: not bound */
};

static struct vmm_port *to_vmm(struct xenport *port)
{
	return talloc_get_type_abort(port, struct vmm_port);
}

static struct slot *dom_slot(const struct vmm_dom *dom)
{
	return &dom->port->table.slots[dom->slot];
}

static struct vmm_dom *dom_find(struct vmm_port *port, uint32_t domid)
{
	return domid < DOMID_FIRST_RESERVED ? port->doms[domid] : NULL;
}

static void vmm_changed(struct vmm_port *port)
{
	if (port->base.changed)
		port->base.changed(port->base.arg);
}

/* ---- domains ------------------------------------------------------------ */

/* Whoever kicks a masked channel is not watched either, until it is unmasked:
 * then one kick is reported for all. */
static void dom_kicked(void *arg, unsigned int events)
{
	struct vmm_dom *dom = arg;

	(void)events;
	if (dom->masked) {
		loop_fd_want(dom->watch, 0);
	} else if (dom->channel) {
		dom->masked = true;
		dom->channel->fired(dom->channel);
	}
}

static void dom_unmask(struct vmm_dom *dom)
{
	dom->masked = false;
	loop_fd_want(dom->watch, LOOP_READ);
}

static int dom_free(struct vmm_dom *dom)
{
	slot_set(dom_slot(dom), SLOT_FREE);
	dom->port->doms[dom->domid] = NULL;
	list_del(&dom->in_conn);
	if (dom->channel)
		dom->channel->local = 0;
	TALLOC_FREE(dom->watch);
	close(dom->page);
	close(dom->kick_in);
	close(dom->kick_out);
	return 0;
}

static bool is_unix_socket(int fd)
{
	int domain = -1;
	socklen_t len = sizeof(domain);

	return !getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &len) &&
	       domain == AF_UNIX;
}

static bool is_eventfd(int fd)
{
	char path[40], target[40] = "";

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	return readlink(path, target, sizeof(target) - 1) > 0 &&
	       !strcmp(target, "anon_inode:[eventfd]");
}

/* A domain for what is entered at slot `at`; takes over the descriptors. */
static int dom_new(struct vmm_conn *conn, size_t at, struct vmm_dom **out)
{
	struct vmm_port *port = conn->port;
	const struct slot *slot = &port->table.slots[at];
	struct vmm_dom *dom = talloc_zero(conn, struct vmm_dom);
	int err;

	if (!dom)
		return -ENOMEM;
	dom->port = port;
	dom->conn = conn;
	dom->slot = at;
	dom->domid = slot->domid;
	dom->page = slot->page;
	dom->kick_in = slot->kick_in;
	dom->kick_out = slot->kick_out;
	dom->kick_is_socket = is_unix_socket(dom->kick_out);
	err = loop_fd_new_edge(dom, port->loop, dom->kick_in, dom_kicked, dom,
			       &dom->watch);
	if (err) {
		talloc_free(dom);
		return err;
	}
	list_add_tail(&conn->doms, &dom->in_conn);
	port->doms[dom->domid] = dom;
	talloc_set_destructor(dom, dom_free);
	*out = dom;
	return 0;
}

/* ---- requests ----------------------------------------------------------- */

struct request {
	const struct xenstore_vmm_msg *msg;
	int *fds;
	struct xenstore_vmm_msg *answer;
};

static void __attribute__((format(printf, 3, 4)))
refuse(struct request *req, int err, const char *fmt, ...)
{
	va_list args;

	req->answer->error = err;
	va_start(args, fmt);
	vsnprintf(req->answer->text, sizeof(req->answer->text), fmt, args);
	va_end(args);
}

static const char *attach_refusal(const struct vmm_conn *conn,
				  const struct request *req)
{
	const struct xenstore_vmm_msg *msg = req->msg;

	if (!msg->domid || msg->domid >= DOMID_FIRST_RESERVED)
		return "the domid is not that of a guest";
	if (msg->flags & ~XENSTORE_VMM_INTRODUCE)
		return "there is an unknown flag";
	if (!is_eventfd(req->fds[1]))
		return "what kicks the daemon is not an eventfd";
	if (is_unix_socket(req->fds[2]))
		return NULL;
	if (!is_eventfd(req->fds[2]))
		return "what the daemon kicks is no Unix socket or eventfd";
	if (!conn->trusted)
		return "another user's VMM is kicked through a socket only";
	return NULL;
}

static void attach(struct vmm_conn *conn, struct request *req)
{
	const struct xenstore_vmm_msg *msg = req->msg;
	struct vmm_port *port = conn->port;
	struct slot slot = {
		.kind = SLOT_DOM,
		.fd = conn->fd,
		.page = req->fds[0],
		.kick_in = req->fds[1],
		.kick_out = req->fds[2],
		.domid = msg->domid,
		.state = XENSTORE_VMM_RUNNING,
		.offset = msg->offset,
		.unique_id = ++port->table.slots[0].unique_id,
	};
	const char *why = attach_refusal(conn, req);
	struct vmm_dom *dom;
	size_t at;

	if (!why)
		why = page_refusal(req->fds[0], msg->offset);
	if (why) {
		refuse(req, EINVAL, "%s", why);
		return;
	}
	if (dom_find(port, msg->domid)) {
		refuse(req, EBUSY, "domain %u exists already", msg->domid);
		return;
	}
	if (table_add(&port->table, &slot, &at)) {
		refuse(req, ENOMEM, "out of memory");
		return;
	}
	if (dom_new(conn, at, &dom)) {
		slot_set(&port->table.slots[at], SLOT_FREE);
		refuse(req, ENOMEM, "out of memory");
		return;
	}
	for (int i = 0; i < 3; i++)
		req->fds[i] = -1;	/* taken */
	req->answer->unique_id = slot.unique_id;
	if (port->base.attached)
		port->base.attached(port->base.arg, dom->domid,
				    msg->flags & XENSTORE_VMM_INTRODUCE);
}

/* The domain of a request, if it is the VMM's own. */
static struct vmm_dom *dom_of(struct vmm_conn *conn, struct request *req)
{
	struct vmm_dom *dom = dom_find(conn->port, req->msg->domid);

	if (dom && dom->conn == conn)
		return dom;
	refuse(req, ENOENT, "this connection has not attached domain %u",
	       req->msg->domid);
	return NULL;
}

static void set_state(struct vmm_conn *conn, struct request *req)
{
	struct vmm_dom *dom = dom_of(conn, req);

	if (!dom)
		return;
	if (req->msg->state > XENSTORE_VMM_DYING) {
		refuse(req, EINVAL, "there is no state %u", req->msg->state);
		return;
	}
	if (dom_slot(dom)->state == req->msg->state)
		return;
	dom_slot(dom)->state = req->msg->state;
	vmm_changed(conn->port);
}

static void detach(struct vmm_conn *conn, struct request *req)
{
	struct vmm_dom *dom = dom_of(conn, req);

	if (!dom)
		return;
	talloc_free(dom);
	vmm_changed(conn->port);
}

static const struct {
	void (*fn)(struct vmm_conn *conn, struct request *req);
	int fds;
} requests[] = {
	[XENSTORE_VMM_ATTACH] = { attach, 3 },
	[XENSTORE_VMM_STATE] = { set_state, 0 },
	[XENSTORE_VMM_DETACH] = { detach, 0 },
};

static void serve(struct vmm_conn *conn, struct request *req, ssize_t len,
		  int n_fds, int flags)
{
	const struct xenstore_vmm_msg *msg = req->msg;
	uint32_t type = msg->type;

	if (flags & MSG_CTRUNC) {
		refuse(req, EMFILE, "too many descriptors, or none free");
	} else if (len != sizeof(*msg) || flags & MSG_TRUNC) {
		refuse(req, EINVAL, "a message has %zu bytes", sizeof(*msg));
	} else if (msg->version != XENSTORE_VMM_VERSION) {
		refuse(req, EPROTONOSUPPORT, "the version is %u, not %u",
		       XENSTORE_VMM_VERSION, msg->version);
	} else if (type >= sizeof(requests) / sizeof(*requests) ||
		   !requests[type].fn) {
		refuse(req, ENOSYS, "there is no request of type %u", type);
	} else if (n_fds != requests[type].fds) {
		refuse(req, EINVAL, "%d descriptors are needed, %d came",
		       requests[type].fds, n_fds);
	} else {
		requests[type].fn(conn, req);
	}
}

/* ---- connections -------------------------------------------------------- */

static void conn_lost(struct vmm_conn *conn)
{
	struct vmm_port *port = conn->port;
	bool had_domains = !list_empty(&conn->doms);

	talloc_free(conn);
	listener_retry(port->listener);
	if (had_domains)
		vmm_changed(port);
}

/* A VMM that does not read its answers is not read from. False: it has gone. */
static bool conn_answer(struct vmm_conn *conn)
{
	ssize_t n = send(conn->fd, &conn->answer, sizeof(conn->answer),
			 MSG_DONTWAIT | MSG_NOSIGNAL);

	conn->answering = n < 0 && (errno == EAGAIN || errno == ENOBUFS);
	loop_fd_want(conn->watch, conn->answering ? LOOP_WRITE : LOOP_READ);
	return n >= 0 || conn->answering;
}

static int fds_of(struct msghdr *hdr, int *fds)
{
	struct cmsghdr *cmsg;
	int n = 0;

	for (cmsg = CMSG_FIRSTHDR(hdr); cmsg; cmsg = CMSG_NXTHDR(hdr, cmsg)) {
		size_t len = cmsg->cmsg_len - CMSG_LEN(0);

		if (cmsg->cmsg_level != SOL_SOCKET ||
		    cmsg->cmsg_type != SCM_RIGHTS)
			continue;
		memcpy(fds + n, CMSG_DATA(cmsg), len);
		n += len / sizeof(*fds);
	}
	return n;
}

/* One request. EAGAIN: there is none; EPIPE: the VMM has gone. */
static int conn_serve_one(struct vmm_conn *conn)
{
	union {
		char buf[CMSG_SPACE(FDS_MAX * sizeof(int))];
		struct cmsghdr align;
	} control;
	struct xenstore_vmm_msg msg = { 0 };
	struct iovec iov = { &msg, sizeof(msg) };
	struct msghdr hdr = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control.buf,
		.msg_controllen = sizeof(control.buf),
	};
	int fds[FDS_MAX], n_fds;
	struct request req = { &msg, fds, &conn->answer };
	ssize_t len;

	len = recvmsg(conn->fd, &hdr, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	if (len < 0 && (errno == EAGAIN || errno == EINTR))
		return EAGAIN;
	if (len <= 0)
		return EPIPE;
	n_fds = fds_of(&hdr, fds);
	conn->answer = (struct xenstore_vmm_msg){
		.version = XENSTORE_VMM_VERSION,
		.type = msg.type,
		.serial = msg.serial,
		.domid = msg.domid,
	};
	serve(conn, &req, len, n_fds, hdr.msg_flags);
	for (int i = 0; i < n_fds; i++)
		if (fds[i] >= 0)
			close(fds[i]);
	return conn_answer(conn) ? 0 : EPIPE;
}

static void conn_ready(void *arg, unsigned int events)
{
	struct vmm_conn *conn = arg;
	int err = 0;

	(void)events;
	if (conn->answering && !conn_answer(conn))
		err = EPIPE;
	for (int i = 0; i < MESSAGES_PER_PASS && !err && !conn->answering; i++)
		err = conn_serve_one(conn);
	if (err == EPIPE)
		conn_lost(conn);
}

static int conn_free(struct vmm_conn *conn)
{
	struct vmm_dom *dom;

	while ((dom = list_first(&conn->doms, struct vmm_dom, in_conn)))
		talloc_free(dom);
	slot_set(&conn->port->table.slots[conn->slot], SLOT_FREE);
	list_del(&conn->in_port);
	TALLOC_FREE(conn->watch);
	close(conn->fd);
	return 0;
}

static bool is_trusted(int fd)
{
	struct ucred cred;
	socklen_t len = sizeof(cred);

	return !getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len) &&
	       (cred.uid == geteuid() || cred.uid == 0);
}

/* A connection for what is entered at slot `at`; takes over the descriptor. */
static int conn_new(struct vmm_port *port, size_t at, struct vmm_conn **out)
{
	struct vmm_conn *conn = talloc_zero(port, struct vmm_conn);
	int err;

	if (!conn)
		return -ENOMEM;
	conn->port = port;
	conn->slot = at;
	conn->fd = port->table.slots[at].fd;
	conn->trusted = is_trusted(conn->fd);
	list_init(&conn->doms);
	err = loop_fd_new(conn, port->loop, conn->fd, LOOP_READ, conn_ready,
			  conn, &conn->watch);
	if (err) {
		talloc_free(conn);
		return err;
	}
	list_add_tail(&port->conns, &conn->in_port);
	talloc_set_destructor(conn, conn_free);
	*out = conn;
	return 0;
}

static void vmm_accepted(void *arg, int fd)
{
	struct vmm_port *port = arg;
	struct slot slot = { .kind = SLOT_CONN, .fd = fd };
	struct vmm_conn *conn;
	size_t at;

	if (table_add(&port->table, &slot, &at)) {
		close(fd);
		return;
	}
	if (conn_new(port, at, &conn)) {
		slot_set(&port->table.slots[at], SLOT_FREE);
		close(fd);
	}
}

/* ---- the port ----------------------------------------------------------- */

static int vmm_map(struct xenport *port, uint16_t domid, uint64_t gfn,
		   struct xenstore_domain_interface **page)
{
	struct vmm_dom *dom = dom_find(to_vmm(port), domid);

	(void)gfn;
	return dom ? page_map(dom->page, dom_slot(dom)->offset, page) : ENOENT;
}

static void vmm_unmap(struct xenport *port, uint16_t domid,
		      struct xenstore_domain_interface *page)
{
	(void)port;
	(void)domid;
	page_unmap(page);
}

static bool vmm_page_ok(struct xenport *port,
			const struct xenstore_domain_interface *page)
{
	(void)port;
	return page_ok(page);
}

/* A domain has one channel, whatever number its toolstack gives it; here it is
 * that of the domain. */
static int vmm_bind(struct xenport *port, struct channel *channel,
		    uint32_t remote)
{
	struct vmm_dom *dom = dom_find(to_vmm(port), channel->domid);

	if (!dom)
		return ENOENT;
	if (dom->channel || !remote)
		return EINVAL;
	dom->channel = channel;
	dom_unmask(dom);
	channel->local = dom->domid;
	return 0;
}

static int vmm_adopt(struct xenport *port, struct channel *channel)
{
	struct vmm_dom *dom = dom_find(to_vmm(port), channel->domid);

	if (!dom)
		return ENOENT;
	if (dom->channel || channel->local != dom->domid)
		return EINVAL;
	dom->channel = channel;
	return 0;
}

static void vmm_unbind(struct xenport *port, struct channel *channel)
{
	struct vmm_dom *dom = dom_find(to_vmm(port), channel->domid);

	if (dom && dom->channel == channel)
		dom->channel = NULL;
	channel->local = 0;
}

/* If there is no room, there is something that was not yet received. */
static void vmm_notify(struct xenport *port, struct channel *channel)
{
	struct vmm_dom *dom = dom_find(to_vmm(port), channel->domid);
	static const uint64_t one = 1;
	ssize_t done;

	if (!dom || dom->channel != channel)
		return;
	if (dom->kick_is_socket)
		done = send(dom->kick_out, "", 1, MSG_DONTWAIT | MSG_NOSIGNAL);
	else
		done = write(dom->kick_out, &one, sizeof(one));
	(void)done;
}

static void vmm_unmask(struct xenport *port, struct channel *channel)
{
	struct vmm_dom *dom = dom_find(to_vmm(port), channel->domid);

	if (dom && dom->channel == channel)
		dom_unmask(dom);
}

static void dom_state_of(const struct vmm_dom *dom, struct dom_state *out)
{
	const struct slot *slot = dom_slot(dom);

	out->dying = slot->state == XENSTORE_VMM_DYING;
	out->shutdown = slot->state != XENSTORE_VMM_RUNNING && !out->dying;
	out->unique_id = slot->unique_id;
}

static int vmm_state(struct xenport *port, uint16_t domid,
		     struct dom_state *out)
{
	struct vmm_dom *dom = dom_find(to_vmm(port), domid);

	if (!dom)
		return ENOENT;
	dom_state_of(dom, out);
	return 0;
}

static int vmm_next(struct xenport *port, uint16_t *domid,
		    struct dom_state *out)
{
	struct vmm_port *vmm = to_vmm(port);

	for (uint32_t id = *domid; id < DOMID_FIRST_RESERVED; id++)
		if (vmm->doms[id]) {
			*domid = id;
			dom_state_of(vmm->doms[id], out);
			return 0;
		}
	return ENOENT;
}

static int vmm_own_ring(struct xenport *port,
			struct xenstore_domain_interface **page,
			uint32_t *remote)
{
	(void)port;
	(void)page;
	(void)remote;
	return ENODEV;
}

static size_t vmm_descriptors(const struct xenport *port, int *fds, size_t n)
{
	const struct table *table = &((const struct vmm_port *)port)->table;
	size_t count = 0;

	if (count < n)
		fds[count] = table->fd;
	count++;
	for (size_t i = 0; i < table->n; i++) {
		const struct slot *slot = &table->slots[i];
		const int of_dom[] = { slot->page, slot->kick_in,
				       slot->kick_out };
		bool is_dom = slot->kind == SLOT_DOM;
		const int *from = is_dom ? of_dom : &slot->fd;

		if (slot->kind == SLOT_FREE)
			continue;
		for (int k = 0; k < (is_dom ? 3 : 1); k++, count++)
			if (count < n)
				fds[count] = from[k];
	}
	return count;
}

static void vmm_retire(struct xenport *port)
{
	(void)port;
}

static const struct xenport_ops vmm_ops = {
	.name = "vmm",
	.map = vmm_map,
	.unmap = vmm_unmap,
	.bind = vmm_bind,
	.adopt = vmm_adopt,
	.unbind = vmm_unbind,
	.notify = vmm_notify,
	.unmask = vmm_unmask,
	.state = vmm_state,
	.next = vmm_next,
	.own_ring = vmm_own_ring,
	.descriptors = vmm_descriptors,
	.retire = vmm_retire,
	.page_ok = vmm_page_ok,
};

static int vmm_free(struct vmm_port *port)
{
	struct vmm_conn *conn;

	TALLOC_FREE(port->listener);
	while ((conn = list_first(&port->conns, struct vmm_conn, in_port)))
		talloc_free(conn);
	table_free(&port->table);
	return 0;
}

/* The first id differs from those of a former life that left no table. */
static uint64_t first_unique_id(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	return (uint64_t)ts.tv_sec << 20;
}

static int vmm_begin(struct vmm_port *port, const char *path)
{
	struct slot slot = { .kind = SLOT_LISTENER };
	size_t at;
	int err;

	err = table_new(&port->table);
	if (!err)
		err = listener_bind(path, SOCK_SEQPACKET, &slot.fd);
	if (err)
		return err;
	slot.unique_id = first_unique_id();
	return table_add(&port->table, &slot, &at);
}

static struct vmm_conn *conn_by_fd(struct vmm_port *port, int fd)
{
	struct vmm_conn *conn;

	list_for_each(conn, &port->conns, in_port)
		if (conn->fd == fd)
			return conn;
	return NULL;
}

/* Makes objects of what a predecessor entered. */
static int vmm_revive(struct vmm_port *port, enum slot_kind kind)
{
	int err = 0;

	for (size_t i = 1; i < port->table.n && !err; i++) {
		struct slot *slot = &port->table.slots[i];
		struct vmm_conn *conn;
		struct vmm_dom *dom;

		if (slot->kind != kind)
			continue;
		if (kind == SLOT_CONN) {
			err = conn_new(port, i, &conn);
			continue;
		}
		conn = conn_by_fd(port, slot->fd);
		if (conn)
			err = dom_new(conn, i, &dom);
		else	/* it was about to go, too */
			slot_set(slot, SLOT_FREE);
	}
	return err;
}

static int vmm_go_on(struct vmm_port *port, int fd)
{
	int err = table_adopt(&port->table, fd);

	if (err)
		return err;
	if (port->table.slots[0].kind != SLOT_LISTENER)
		return -EINVAL;
	err = vmm_revive(port, SLOT_CONN);
	return err ? err : vmm_revive(port, SLOT_DOM);
}

int xenport_vmm_new(TALLOC_CTX *ctx, struct loop *loop, const char *path,
		    int fd, struct xenport **out)
{
	struct vmm_port *port = talloc_zero(ctx, struct vmm_port);
	int err;

	if (!port)
		return -ENOMEM;
	port->base.ops = &vmm_ops;
	port->loop = loop;
	port->table.fd = -1;
	list_init(&port->conns);
	talloc_set_destructor(port, vmm_free);
	err = fd < 0 ? vmm_begin(port, path) : vmm_go_on(port, fd);
	if (!err)
		err = listener_new(port, loop, port->table.slots[0].fd,
				   vmm_accepted, port, &port->listener);
	if (err) {
		talloc_free(port);
		return err;
	}
	*out = &port->base;
	return 0;
}
