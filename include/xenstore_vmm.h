/* SPDX-License-Identifier: MIT */
/*
 * How a virtual machine monitor that is not Xen gives its guests a xenstore:
 * the protocol of the socket "vmm" in the run directory of xenstored. See
 * xenstored-vmm(7).
 *
 * The socket is of type SOCK_SEQPACKET. Each packet in either direction is one
 * struct xenstore_vmm_msg; descriptors go with it as SCM_RIGHTS. Every request
 * has one answer, in order, with the type, serial and domid of the request.
 * Integers are in the byte order of the host; what is not mentioned for a type
 * is to be 0.
 *
 * An answer is given when what it says can no longer be lost. If the daemon
 * crashes, or is updated, the connection stays: each request is done once and
 * answered once, only later. A connection that the daemon could not keep is
 * closed, never silent.
 *
 * A connection owns the domains that it has attached. When it is closed, they
 * are dead.
 */
#ifndef XENSTORE_VMM_H
#define XENSTORE_VMM_H

#include <stdint.h>

#define XENSTORE_VMM_VERSION 1

enum xenstore_vmm_type {
	/*
	 * A domain comes to exist, with three descriptors:
	 *
	 * [0] page: a memfd that is sealed against shrinking (F_SEAL_SHRINK)
	 *     and may be read and written. At `offset`, a multiple of 4096,
	 *     it has the page with struct xenstore_domain_interface; the rest
	 *     of it is not touched.
	 * [1] kick in: an eventfd. The VMM, the kernel (ioeventfd) or the guest
	 *     adds to it to tell the daemon. The daemon never reads it.
	 * [2] kick out: one end of a Unix socket pair, on which the daemon
	 *     sends single bytes (the receiver may read as many at once as
	 *     it likes; when it is full nothing is lost), or an eventfd (also
	 *     an irqfd), which is accepted only from a VMM that runs as the
	 *     user of the daemon or as root.
	 *
	 * The two kicks are the domain's one event channel, whatever number
	 * INTRODUCE will give it. With XENSTORE_VMM_INTRODUCE the domain is
	 * introduced at once, without a toolstack.
	 *
	 * The answer has `unique_id`, which differs whenever the domid is
	 * used again.
	 */
	XENSTORE_VMM_ATTACH = 1,
	/* The domain is now in `state`. */
	XENSTORE_VMM_STATE = 2,
	/* The domain is gone; its domid may be attached again. */
	XENSTORE_VMM_DETACH = 3
};

/* flags of ATTACH */
#define XENSTORE_VMM_INTRODUCE 1u

enum xenstore_vmm_state {
	XENSTORE_VMM_RUNNING = 0,
	XENSTORE_VMM_SHUTDOWN = 1,	/* powered off, or to be rebooted */
	XENSTORE_VMM_CRASHED = 2,
	XENSTORE_VMM_SUSPENDED = 3,
	XENSTORE_VMM_DYING = 4		/* being destroyed; DETACH follows */
};

struct xenstore_vmm_msg {
	uint32_t version;	/* XENSTORE_VMM_VERSION */
	uint32_t type;		/* enum xenstore_vmm_type */
	uint32_t serial;	/* chosen by the VMM, echoed */
	uint32_t domid;		/* 1..0x7fef */
	uint32_t flags;
	uint32_t state;		/* enum xenstore_vmm_state */
	uint32_t error;		/* in an answer: 0, or an errno of Linux */
	uint32_t reserved;
	uint64_t offset;
	uint64_t unique_id;
	char text[80];		/* with an error: why; ends with a NUL */
};

#endif
