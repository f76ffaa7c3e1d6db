/* SPDX-License-Identifier: MIT */
/*
 * The narrow door to whatever owns the guests: a hypervisor through the Xen
 * libraries (xenport_xen.c), or VMMs that pass descriptors (xenport_vmm.c).
 *
 * It maps a domain's xenstore page, binds and notifies its event channel, and
 * tells which domains live. It knows nothing of rings or of the store.
 * Functions return 0, a positive errno for the client that asked (the domain
 * cannot be mapped, there is no such port), or a negative one.
 */
#ifndef IO_XENPORT_H
#define IO_XENPORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <talloc.h>
#include <xen/io/xs_wire.h>

#include "io/loop.h"

struct xenport;

struct dom_state {
	bool shutdown;		/* shut down, crashed or suspended */
	bool dying;		/* being destroyed, or gone in all but name */
	uint64_t unique_id;	/* differs when a domid is used again; 0: the
				 * hypervisor does not tell */
};

/* One end of an event channel, embedded in its user. */
struct channel {
	uint16_t domid;
	uint32_t local;		/* 0: not bound */
	/* The other side notified. The port is masked until unmask(). */
	void (*fired)(struct channel *channel);
};

struct xenport_ops {
	const char *name;	/* "xen", "vmm" */
	/*
	 * Maps the page of a domain: grant 1 on Xen (gfn is not used), or what
	 * the VMM passed. EINVAL, ENOENT and so on if there is none.
	 */
	int (*map)(struct xenport *port, uint16_t domid, uint64_t gfn,
		   struct xenstore_domain_interface **page);
	void (*unmap)(struct xenport *port, uint16_t domid,
		      struct xenstore_domain_interface *page);
	/* Binds channel->domid's port `remote`; fills in channel->local. The
	 * channel must stay where it is until unbind(). */
	int (*bind)(struct xenport *port, struct channel *channel,
		    uint32_t remote);
	/* A port bound by a predecessor whose descriptors were inherited:
	 * takes over channel->local. */
	int (*adopt)(struct xenport *port, struct channel *channel);
	void (*unbind)(struct xenport *port, struct channel *channel);
	void (*notify)(struct xenport *port, struct channel *channel);
	void (*unmask)(struct xenport *port, struct channel *channel);
	/* ENOENT: no such domain. */
	int (*state)(struct xenport *port, uint16_t domid,
		     struct dom_state *out);
	/* The first existing domain with a domid >= *domid; ENOENT: none. */
	int (*next)(struct xenport *port, uint16_t *domid,
		    struct dom_state *out);
	/*
	 * The ring of the domain the daemon lives in (dom0): page and remote
	 * port. ENODEV: it has none.
	 */
	int (*own_ring)(struct xenport *port,
			struct xenstore_domain_interface **page,
			uint32_t *remote);
	/* Descriptors that a successor needs; returns how many, fills in up
	 * to n. The first is what its ..._new() takes. */
	size_t (*descriptors)(const struct xenport *port, int *fds, size_t n);
	/* After the commit: answers to those who own guests leave. */
	void (*settle)(struct xenport *port);
	/* Before a successor takes over: give up the VIRQ and the like. */
	void (*retire)(struct xenport *port);
	/* Is the page still good? False after a SIGBUS on it (VMM port). */
	bool (*page_ok)(struct xenport *port,
			const struct xenstore_domain_interface *page);
};

/* The common head of a port, a talloc object. */
struct xenport {
	const struct xenport_ops *ops;
	/* Some domain changed its state: look at all that are known. */
	void (*changed)(void *arg);
	/* VMM port: a domain attached (`introduce`: connect it at once). To
	 * tell again what is known already has no effect. */
	int (*attached)(void *arg, uint16_t domid, bool introduce);
	void *arg;
};

/* -ENODEV: not on Xen. `fd` >= 0: an inherited event channel device. */
int xenport_xen_new(TALLOC_CTX *ctx, struct loop *loop, int fd,
		    struct xenport **out);
/* Lets go a port that a predecessor of another kind had bound its VIRQ to, on
 * an event channel device that is inherited. */
void xenport_xen_drop_virq(int fd, uint32_t local);
/* Listens on a socket for VMMs; `path` is <rundir>/vmm by default. `fd` >= 0:
 * inherited, the first of descriptors(), which tells what the others are.
 * Errors as listener_bind(). */
int xenport_vmm_new(TALLOC_CTX *ctx, struct loop *loop, const char *path,
		    int fd, struct xenport **out);
/* Is that the first of its descriptors(), which is none for the other kind? */
bool xenport_vmm_left(int fd);

#endif
