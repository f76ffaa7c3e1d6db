/* SPDX-License-Identifier: MIT */
/*
 * The objects of the port for VMMs, for its own files only: the port and its
 * domains (xenport_vmm.c), and the connections (vmm_conn.c).
 *
 * The port owns its connections, and a connection the domains that it has
 * attached: they go with it. Both own the descriptors of their slot, which is
 * free when they have gone.
 */
#ifndef IO_VMM_CONN_H
#define IO_VMM_CONN_H

#include "base/list.h"
#include "base/who.h"
#include "io/vmm_exchange.h"
#include "io/vmm_table.h"
#include "io/xenport.h"

struct vmm_port {
	struct xenport base;
	struct loop *loop;
	struct listener *listener;
	struct list conns;
	struct list served;
	struct vmm_table table;
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
	int left[VMM_FDS_MAX], n_left;
	struct vmm_exchange *exchange;
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

static inline struct vmm_slot *vmm_dom_slot(const struct vmm_dom *dom)
{
	return &dom->port->table.slots[dom->slot];
}

static inline struct vmm_dom *vmm_dom_find(struct vmm_port *port,
					   uint32_t domid)
{
	return domid < DOMID_FIRST_RESERVED ? port->doms[domid] : NULL;
}

static inline void vmm_changed(struct vmm_port *port)
{
	if (port->base.changed)
		port->base.changed(port->base.arg);
}

/* A domain for what is entered at slot `at`; takes over the descriptors.
 * -errno; then they stay the caller's. It goes with talloc_free(). */
int vmm_dom_new(struct vmm_conn *conn, size_t at, struct vmm_dom **out);

/* A Unix socket, that is, which can be sent to without waiting. */
bool vmm_is_socket(int fd);

/* A connection for what is entered at slot `at`; takes over the descriptor.
 * -errno; then they stay the caller's, with a page that may have been made. It
 * goes by itself when the VMM has gone, or with talloc_free(). */
int vmm_conn_new(struct vmm_port *port, size_t at, struct vmm_conn **out);

/* Of a connection among port->served: sends the answer, when the journal has
 * what it is about. May free the connection. */
void vmm_conn_answer(struct vmm_conn *conn);

#endif
