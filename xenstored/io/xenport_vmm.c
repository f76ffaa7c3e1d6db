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
 * Which descriptor is what is kept in a table for a successor (vmm_table.h):
 * its number is what descriptors() gives first, and what xenport_vmm_new()
 * takes. So is the request that a connection is about (vmm_exchange.h).
 */
#include "io/xenport.h"

#include <errno.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "io/listener.h"
#include "io/page.h"
#include "io/vmm_conn.h"

static struct vmm_port *to_vmm(struct xenport *port)
{
	return talloc_get_type_abort(port, struct vmm_port);
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
	vmm_slot_set(vmm_dom_slot(dom), SLOT_FREE);
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

bool vmm_is_socket(int fd)
{
	int domain = -1;
	socklen_t len = sizeof(domain);

	return !getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &len) &&
	       domain == AF_UNIX;
}

/* A domain for what is entered at slot `at`; takes over the descriptors. */
int vmm_dom_new(struct vmm_conn *conn, size_t at, struct vmm_dom **out)
{
	struct vmm_port *port = conn->port;
	const struct vmm_slot *slot = &port->table.slots[at];
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
	dom->kick_is_socket = vmm_is_socket(dom->kick_out);
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

/* ---- the port ----------------------------------------------------------- */

static void vmm_accepted(void *arg, int fd)
{
	struct vmm_port *port = arg;
	struct vmm_slot slot = { .kind = SLOT_CONN, .fd = fd, .page = -1 };
	struct vmm_conn *conn;
	size_t at;

	if (vmm_table_add(&port->table, &slot, &at)) {
		close(fd);
		return;
	}
	if (vmm_conn_new(port, at, &conn)) {
		vmm_slot_set(&port->table.slots[at], SLOT_FREE);
		if (port->table.slots[at].page >= 0)
			close(port->table.slots[at].page);
		close(fd);
	}
}

static void vmm_settle(struct xenport *port)
{
	struct vmm_port *vmm = to_vmm(port);
	struct vmm_conn *conn;

	while ((conn = list_first(&vmm->served, struct vmm_conn, in_served)))
		vmm_conn_answer(conn);
}

static int vmm_map(struct xenport *port, uint16_t domid, uint64_t gfn,
		   struct xenstore_domain_interface **page)
{
	struct vmm_dom *dom = vmm_dom_find(to_vmm(port), domid);

	(void)gfn;
	if (!dom)
		return ENOENT;
	return page_map(dom->page, vmm_dom_slot(dom)->offset, page);
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
	struct vmm_dom *dom = vmm_dom_find(to_vmm(port), channel->domid);

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
	struct vmm_dom *dom = vmm_dom_find(to_vmm(port), channel->domid);

	if (!dom)
		return ENOENT;
	if (dom->channel || channel->local != dom->domid)
		return EINVAL;
	dom->channel = channel;
	return 0;
}

static void vmm_unbind(struct xenport *port, struct channel *channel)
{
	struct vmm_dom *dom = vmm_dom_find(to_vmm(port), channel->domid);

	if (dom && dom->channel == channel)
		dom->channel = NULL;
	channel->local = 0;
}

/* If there is no room, there is something that was not yet received. */
static void vmm_notify(struct xenport *port, struct channel *channel)
{
	struct vmm_dom *dom = vmm_dom_find(to_vmm(port), channel->domid);
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
	struct vmm_dom *dom = vmm_dom_find(to_vmm(port), channel->domid);

	if (dom && dom->channel == channel)
		dom_unmask(dom);
}

static void dom_state_of(const struct vmm_dom *dom, struct dom_state *out)
{
	const struct vmm_slot *slot = vmm_dom_slot(dom);

	out->dying = slot->state == XENSTORE_VMM_DYING;
	out->shutdown = slot->state != XENSTORE_VMM_RUNNING && !out->dying;
	out->unique_id = slot->unique_id;
}

static int vmm_state(struct xenport *port, uint16_t domid,
		     struct dom_state *out)
{
	struct vmm_dom *dom = vmm_dom_find(to_vmm(port), domid);

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
static int slot_fds(const struct vmm_slot *slot, int *fds)
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
	const struct vmm_table *table = &vmm->table;
	const struct vmm_conn *conn;
	size_t count = 0;
	int some[VMM_FDS_MAX], k;

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
		for (k = vmm_exchange_fds(conn->exchange, some); k--; count++)
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
	vmm_table_free(&port->table);
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
	struct vmm_slot slot = { .kind = SLOT_LISTENER, .page = VMM_LAYOUT };
	size_t at;
	int err;

	err = vmm_table_new(&port->table);
	if (!err)
		err = listener_bind(path, SOCK_SEQPACKET, &slot.fd);
	if (err)
		return err;
	slot.unique_id = first_unique_id();
	return vmm_table_add(&port->table, &slot, &at);
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
static int vmm_revive(struct vmm_port *port, enum vmm_slot_kind kind)
{
	int err = 0;

	for (size_t i = 1; i < port->table.n && !err; i++) {
		struct vmm_slot *slot = &port->table.slots[i];
		struct vmm_conn *conn;
		struct vmm_dom *dom;

		if (slot->kind != kind)
			continue;
		if (kind == SLOT_CONN) {
			err = vmm_conn_new(port, i, &conn);
			continue;
		}
		conn = conn_by_fd(port, slot->fd);
		if (conn)
			err = vmm_dom_new(conn, i, &dom);
		else	/* it was about to go, too */
			vmm_slot_set(slot, SLOT_FREE);
	}
	return err;
}

static int vmm_go_on(struct vmm_port *port, int fd)
{
	int err = vmm_table_adopt(&port->table, fd);

	if (err)
		return err;
	if (port->table.slots[0].kind != SLOT_LISTENER)
		return -EINVAL;
	vmm_table_upgrade(&port->table);
	err = vmm_revive(port, SLOT_CONN);
	return err ? err : vmm_revive(port, SLOT_DOM);
}

bool xenport_vmm_left(int fd)
{
	return vmm_table_is(fd);
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
