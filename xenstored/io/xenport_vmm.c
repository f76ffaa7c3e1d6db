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
 *
 * So is the request that a connection is about, in a page of its own, and what
 * has become of it: a death loses no request and no answer, and repeats none.
 * The kernel itself notes there how much it has received or sent, which is what
 * recvmmsg() and sendmmsg() are for; to do a request again has no further
 * effect; and an answer leaves when the journal has what it is about.
 */
#include "io/xenport.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include <xenstore_vmm.h>

#include "base/fault.h"
#include "base/list.h"
#include "base/log.h"
#include "base/who.h"
#include "io/listener.h"
#include "io/page.h"

#define FDS_MAX 4		/* one more than any request has */
#define LAYOUT 1		/* of the table: connections have a page */

/* ---- the table for a successor ------------------------------------------ */

enum slot_kind {
	SLOT_FREE = 0,
	SLOT_LISTENER,		/* the first; also `unique_id`, the last used,
				 * and `page`, the LAYOUT */
	SLOT_CONN,
	SLOT_DOM,
};

/* Valid while `kind` is not SLOT_FREE, which is written last and unwritten
 * first. */
struct slot {
	uint32_t kind;
	int32_t fd;		/* of the listener, or the connection */
	int32_t page;		/* of the domain, or the connection: below */
	int32_t kick_in, kick_out;
	uint32_t domid, state;
	uint64_t offset, unique_id;
};

/*
 * What one connection is about. A request is here while in.msg_len is not 0,
 * and is answered when out.msg_len is not 0.
 */
struct exchange {
	struct mmsghdr in, out;
	struct iovec in_iov, out_iov;
	uint32_t begun;		/* it is found good: what it is about may have
				 * changed already */
	struct xenstore_vmm_msg request, answer;
	union {
		char buf[CMSG_SPACE(FDS_MAX * sizeof(int))];
		struct cmsghdr align;
	} control;
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
	struct list served;
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
	struct list in_served;	/* linked: to be answered after the commit */
	struct list doms;
	bool trusted;		/* our own user, or root */
	bool served;		/* exchange->answer is what it says, and these
				 * came with the request for nothing: */
	int left[FDS_MAX], n_left;
	struct exchange *exchange;
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
	uint32_t *begun;
};

/* From here on the request is done, if need be by a successor. */
static void begin(struct request *req)
{
	*req->begun = true;
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
}

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

/* Makes the domain exist; NULL: it was refused. */
static struct vmm_dom *attach_new(struct vmm_conn *conn, struct request *req)
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
		return NULL;
	}
	if (dom_find(port, msg->domid)) {
		refuse(req, EBUSY, "domain %u exists already", msg->domid);
		return NULL;
	}
	begin(req);
	if (table_add(&port->table, &slot, &at)) {
		refuse(req, ENOMEM, "out of memory");
		return NULL;
	}
	if (dom_new(conn, at, &dom)) {
		slot_set(&port->table.slots[at], SLOT_FREE);
		refuse(req, ENOMEM, "out of memory");
		return NULL;
	}
	return dom;
}

static void attach(struct vmm_conn *conn, struct request *req)
{
	struct vmm_port *port = conn->port;
	struct vmm_dom *dom = *req->begun ?
				      dom_find(port, req->msg->domid) : NULL;
	int err = 0;

	if (!dom)
		dom = attach_new(conn, req);
	if (!dom)
		return;
	for (int i = 0; i < 3; i++)
		req->fds[i] = -1;	/* taken */
	fault_at(vmm_attached);
	req->answer->unique_id = dom_slot(dom)->unique_id;
	if (port->base.attached)
		err = port->base.attached(port->base.arg, dom->domid,
					  req->msg->flags &
						  XENSTORE_VMM_INTRODUCE);
	if (!err)
		return;
	/* They are closed with it. */
	conn->exchange->in.msg_hdr.msg_controllen = 0;
	talloc_free(dom);
	req->answer->unique_id = 0;
	refuse(req, abs(err), "the domain cannot be introduced");
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
	struct vmm_dom *dom = *req->begun ?
		dom_find(conn->port, req->msg->domid) : dom_of(conn, req);

	if (!dom && !*req->begun)
		return;
	begin(req);
	talloc_free(dom);
	fault_at(vmm_detached);
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

/* The descriptors that came with a request, at an address that may be new. */
static int exchange_fds(struct exchange *exchange, int *fds)
{
	exchange->in.msg_hdr.msg_control = exchange->control.buf;
	return fds_of(&exchange->in.msg_hdr, fds);
}

/* EAGAIN: there is no request; EPIPE: the VMM has gone. */
static int exchange_receive(struct exchange *exchange, int fd)
{
	int n;

	exchange->in_iov = (struct iovec){ &exchange->request,
					   sizeof(exchange->request) };
	exchange->in = (struct mmsghdr){ .msg_hdr = {
		.msg_iov = &exchange->in_iov,
		.msg_iovlen = 1,
		.msg_control = exchange->control.buf,
		.msg_controllen = sizeof(exchange->control.buf),
	} };
	exchange->request = (struct xenstore_vmm_msg){ 0 };
	n = recvmmsg(fd, &exchange->in, 1, MSG_DONTWAIT | MSG_CMSG_CLOEXEC,
		     NULL);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return EAGAIN;
	return n > 0 && exchange->in.msg_len ? 0 : EPIPE;
}

/* EAGAIN: there is no room; EPIPE: the VMM has gone. */
static int exchange_answer(struct exchange *exchange, int fd)
{
	exchange->out_iov = (struct iovec){ &exchange->answer,
					    sizeof(exchange->answer) };
	exchange->out = (struct mmsghdr){ .msg_hdr = {
		.msg_iov = &exchange->out_iov,
		.msg_iovlen = 1,
	} };
	if (sendmmsg(fd, &exchange->out, 1, MSG_DONTWAIT | MSG_NOSIGNAL) > 0)
		return 0;
	return errno == EAGAIN || errno == ENOBUFS ? EAGAIN : EPIPE;
}

/* It is over; the first store says so. */
static void exchange_end(struct exchange *exchange)
{
	exchange->in.msg_len = 0;
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
	exchange->out.msg_len = 0;
	exchange->begun = false;
}

/* A predecessor may have died with an answer that has left. */
static int exchange_open(struct slot *slot, struct exchange **out)
{
	void *mem;

	if (slot->page < 0) {
		slot->page = memfd_create("xenstored-vmm-request",
					  MFD_CLOEXEC);
		if (slot->page < 0)
			return -errno;
		if (posix_fallocate(slot->page, 0, sizeof(**out)))
			return -ENOSPC;
	}
	mem = mmap(NULL, sizeof(**out), PROT_READ | PROT_WRITE, MAP_SHARED,
		   slot->page, 0);
	if (mem == MAP_FAILED)
		return -errno;
	*out = mem;
	if ((*out)->out.msg_len)
		exchange_end(*out);
	return 0;
}

static void conn_serve(struct vmm_conn *conn)
{
	struct exchange *exchange = conn->exchange;
	const struct xenstore_vmm_msg *msg = &exchange->request;
	int fds[FDS_MAX], n_fds = exchange_fds(exchange, fds);
	struct request req = { msg, fds, &exchange->answer, &exchange->begun };

	exchange->answer = (struct xenstore_vmm_msg){
		.version = XENSTORE_VMM_VERSION,
		.type = msg->type,
		.serial = msg->serial,
		.domid = msg->domid,
	};
	serve(conn, &req, exchange->in.msg_len, n_fds,
	      exchange->in.msg_hdr.msg_flags);
	conn->served = true;
	for (int i = 0; i < n_fds; i++)
		if (fds[i] >= 0)
			conn->left[conn->n_left++] = fds[i];
}

/* Not before a successor would look at them no more. */
static void conn_close_left(struct vmm_conn *conn)
{
	while (conn->n_left)
		close(conn->left[--conn->n_left]);
}

/* One request at a time. A VMM that does not read its answers is not read
 * from. */
static void conn_ready(void *arg, unsigned int events)
{
	struct vmm_conn *conn = arg;
	struct exchange *exchange = conn->exchange;
	int err = 0;

	(void)events;
	if (!exchange->in.msg_len) {
		err = exchange_receive(exchange, conn->fd);
		fault_at(vmm_received);
	}
	if (err == EPIPE)
		conn_lost(conn);
	if (err)
		return;
	if (!conn->served)
		conn_serve(conn);
	fault_at(vmm_served);
	list_del(&conn->in_served);
	list_add_tail(&conn->port->served, &conn->in_served);
}

static void conn_answer(struct vmm_conn *conn)
{
	int err;

	list_del(&conn->in_served);
	fault_at(vmm_answering);
	err = exchange_answer(conn->exchange, conn->fd);
	fault_at(vmm_answered);
	if (err == EPIPE) {
		conn_lost(conn);
		return;
	}
	if (!err) {
		exchange_end(conn->exchange);
		conn->served = false;
		conn_close_left(conn);
	}
	loop_fd_want(conn->watch, err ? LOOP_WRITE : LOOP_READ);
}

static void vmm_settle(struct xenport *port)
{
	struct vmm_port *vmm = to_vmm(port);
	struct vmm_conn *conn;

	while ((conn = list_first(&vmm->served, struct vmm_conn, in_served)))
		conn_answer(conn);
}

static int conn_free(struct vmm_conn *conn)
{
	struct slot *slot = &conn->port->table.slots[conn->slot];
	struct vmm_dom *dom;

	while ((dom = list_first(&conn->doms, struct vmm_dom, in_conn)))
		talloc_free(dom);
	slot_set(slot, SLOT_FREE);
	list_del(&conn->in_port);
	list_del(&conn->in_served);
	TALLOC_FREE(conn->watch);
	conn_close_left(conn);
	munmap(conn->exchange, sizeof(*conn->exchange));
	close(slot->page);
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
	list_init(&conn->in_served);
	err = exchange_open(&port->table.slots[at], &conn->exchange);
	if (!err)
		err = loop_fd_new(conn, port->loop, conn->fd,
				  conn->exchange->in.msg_len ? LOOP_WRITE :
							       LOOP_READ,
				  conn_ready, conn, &conn->watch);
	if (err) {
		if (conn->exchange)
			munmap(conn->exchange, sizeof(*conn->exchange));
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
	struct slot slot = { .kind = SLOT_CONN, .fd = fd, .page = -1 };
	struct vmm_conn *conn;
	size_t at;

	if (table_add(&port->table, &slot, &at)) {
		close(fd);
		return;
	}
	if (conn_new(port, at, &conn)) {
		slot_set(&port->table.slots[at], SLOT_FREE);
		if (port->table.slots[at].page >= 0)
			close(port->table.slots[at].page);
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

/* Also those that came with a request that is not answered yet. */
static int slot_fds(const struct slot *slot, int *fds)
{
	switch (slot->kind) {
	case SLOT_FREE:
		return 0;
	case SLOT_DOM:
		fds[0] = slot->page;
		fds[1] = slot->kick_in;
		fds[2] = slot->kick_out;
		return 3;
	case SLOT_CONN:
		fds[1] = slot->page;
		break;
	}
	fds[0] = slot->fd;
	return slot->kind == SLOT_CONN ? 2 : 1;
}

static size_t vmm_descriptors(const struct xenport *port, int *fds, size_t n)
{
	const struct vmm_port *vmm = (const struct vmm_port *)port;
	const struct table *table = &vmm->table;
	const struct vmm_conn *conn;
	size_t count = 0;
	int some[FDS_MAX], k;

	if (count < n)
		fds[count] = table->fd;
	count++;
	for (size_t i = 0; i < table->n; i++)
		for (k = slot_fds(&table->slots[i], some); k--; count++)
			if (count < n)
				fds[count] = some[k];
	list_for_each(conn, &vmm->conns, in_port) {
		if (!conn->exchange->in.msg_len)
			continue;
		for (k = exchange_fds(conn->exchange, some); k--; count++)
			if (count < n)
				fds[count] = some[k];
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
	.settle = vmm_settle,
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
	struct slot slot = { .kind = SLOT_LISTENER, .page = LAYOUT };
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

/* From when a connection had no page. */
static void table_upgrade(struct table *table)
{
	struct slot *first = &table->slots[0];

	for (size_t i = 1; first->page < LAYOUT && i < table->n; i++)
		if (table->slots[i].kind == SLOT_CONN)
			table->slots[i].page = -1;
	first->page = LAYOUT;
}

static int vmm_go_on(struct vmm_port *port, int fd)
{
	int err = table_adopt(&port->table, fd);

	if (err)
		return err;
	if (port->table.slots[0].kind != SLOT_LISTENER)
		return -EINVAL;
	table_upgrade(&port->table);
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
	list_init(&port->served);
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
