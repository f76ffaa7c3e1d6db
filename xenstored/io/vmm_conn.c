/* SPDX-License-Identifier: MIT */
/*
 * The connection of a VMM: what it asks for, and the answers.
 *
 * A death loses no request and no answer, and repeats none: what a connection
 * is about is in its exchange, which a successor goes on with; to do a request
 * again has no further effect; and an answer leaves when the journal has what
 * it is about.
 */
#include "io/vmm_conn.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fault.h"
#include "io/listener.h"
#include "io/page.h"

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

static bool is_eventfd(int fd)
{
	char path[40], target[40] = "";

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	return readlink(path, target, sizeof(target) - 1) > 0 &&
	       !strcmp(target, "anon_inode:[eventfd]");
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
	if (vmm_is_socket(req->fds[2]))
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
	struct vmm_slot slot = {
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
	if (vmm_dom_find(port, msg->domid)) {
		refuse(req, EBUSY, "domain %u exists already", msg->domid);
		return NULL;
	}
	begin(req);
	if (vmm_table_add(&port->table, &slot, &at)) {
		refuse(req, ENOMEM, "out of memory");
		return NULL;
	}
	if (vmm_dom_new(conn, at, &dom)) {
		vmm_slot_set(&port->table.slots[at], SLOT_FREE);
		refuse(req, ENOMEM, "out of memory");
		return NULL;
	}
	return dom;
}

static void attach(struct vmm_conn *conn, struct request *req)
{
	struct vmm_port *port = conn->port;
	struct vmm_dom *dom = *req->begun ?
		vmm_dom_find(port, req->msg->domid) : NULL;
	int err = 0;

	if (!dom)
		dom = attach_new(conn, req);
	if (!dom)
		return;
	for (int i = 0; i < 3; i++)
		req->fds[i] = -1;	/* taken */
	fault_at(vmm_attached);
	req->answer->unique_id = vmm_dom_slot(dom)->unique_id;
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
	struct vmm_dom *dom = vmm_dom_find(conn->port, req->msg->domid);

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
	if (vmm_dom_slot(dom)->state == req->msg->state)
		return;
	vmm_dom_slot(dom)->state = req->msg->state;
	vmm_changed(conn->port);
}

static void detach(struct vmm_conn *conn, struct request *req)
{
	struct vmm_dom *dom = *req->begun ?
		vmm_dom_find(conn->port, req->msg->domid) : dom_of(conn, req);

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

static void conn_serve(struct vmm_conn *conn)
{
	struct vmm_exchange *exchange = conn->exchange;
	const struct xenstore_vmm_msg *msg = &exchange->request;
	int fds[VMM_FDS_MAX], n_fds = vmm_exchange_fds(exchange, fds);
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
	struct vmm_exchange *exchange = conn->exchange;
	int err = 0;

	(void)events;
	if (!exchange->in.msg_len) {
		err = vmm_exchange_receive(exchange, conn->fd);
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

void vmm_conn_answer(struct vmm_conn *conn)
{
	int err;

	list_del(&conn->in_served);
	fault_at(vmm_answering);
	err = vmm_exchange_answer(conn->exchange, conn->fd);
	fault_at(vmm_answered);
	if (err == EPIPE) {
		conn_lost(conn);
		return;
	}
	if (!err) {
		vmm_exchange_end(conn->exchange);
		conn->served = false;
		conn_close_left(conn);
	}
	loop_fd_want(conn->watch, err ? LOOP_WRITE : LOOP_READ);
}

static int conn_free(struct vmm_conn *conn)
{
	struct vmm_slot *slot = &conn->port->table.slots[conn->slot];
	struct vmm_dom *dom;

	while ((dom = list_first(&conn->doms, struct vmm_dom, in_conn)))
		talloc_free(dom);
	vmm_slot_set(slot, SLOT_FREE);
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

int vmm_conn_new(struct vmm_port *port, size_t at, struct vmm_conn **out)
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
	err = vmm_exchange_open(&port->table.slots[at], &conn->exchange);
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
