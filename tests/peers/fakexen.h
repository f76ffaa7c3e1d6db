/* SPDX-License-Identifier: MIT */
/*
 * A hypervisor in a directory: what fakexen.so (preloaded into a xenstore
 * daemon) and a pretended guest or toolstack share.
 *
 * $FAKEXEN_DIR holds
 *   state    struct fx_state: the domains and the daemon's event channels
 *   pages    one ring page for each domid, at domid * 4096, sparse
 *   evtchn   FIFO from which the daemon reads ports (uint32_t), just as from
 *            the event channel device
 *   virq     the same for virq_port alone, of a daemon that has bound the VIRQ
 *            to an event channel device of its own
 *   evt.N    datagram socket of guest N; one byte for each notification. It
 *            exists only while somebody acts for the guest
 *
 * Everything else is stateless, so a daemon may fork or exec and go on.
 *
 * F1  A domain exists while FX_EXIST is set. Whoever changes its flags sets
 *     FX_CHANGED and raises virq_port afterwards (fx_dom_change()).
 * F2  A guest's event channel is pending from a notification until the guest
 *     clears it; notifications in between do nothing.
 * F3  A port that was delivered stays masked until it is unmasked; an event
 *     that comes meanwhile is kept and delivered once, at the unmasking.
 */
#ifndef FAKEXEN_H
#define FAKEXEN_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <xen/io/xs_wire.h>

#define FX_NDOM	 32752
#define FX_NPORT 32768
#define FX_PAGE	 4096

#define FX_EXIST    1u
#define FX_SHUTDOWN 2u
#define FX_DYING    4u
#define FX_CHANGED  8u

struct fx_dom {
	_Atomic uint32_t flags;
	_Atomic uint32_t unique;      /* differs for each use of the domid */
	_Atomic uint32_t local_port;  /* the daemon's port to it, 0: none */
	_Atomic uint32_t remote_port; /* what the daemon was told to bind */
	_Atomic uint32_t notified;    /* its event channel is pending */
};

enum fx_pending { FX_IDLE, FX_DELIVERED, FX_AGAIN };

struct fx_port {
	_Atomic uint32_t owner;	  /* 0: free, 1: VIRQ, else domid + 2 */
	_Atomic uint32_t pending; /* enum fx_pending */
};

struct fx_state {
	_Atomic uint32_t next_unique;
	_Atomic uint32_t max_domid;
	_Atomic uint32_t virq_port;
	_Atomic uint32_t virq_apart; /* it is raised in "virq" */
	struct fx_dom dom[FX_NDOM];
	struct fx_port port[FX_NPORT];
};

/* NULL with errno set on failure; mapped for the life of the process. */
struct fx_state *fx_state(void);
struct xenstore_domain_interface *fx_page(unsigned int domid);

/* Path of a file below $FAKEXEN_DIR; domid < 0: the name alone. */
void fx_path(char *buf, size_t len, const char *what, int domid);

/* The FIFO of ports, for both ends; non-blocking. And that of the VIRQ. */
int fx_evtchn_open(void);
int fx_virq_open(void);

/* The guest's end of its event channel: readable when it is pending. */
int fx_guest_evt_open(unsigned int domid);

/* Makes it wait again; to be called before the guest looks at its ring. */
void fx_guest_evt_clear(struct fx_state *st, int evt, unsigned int domid);

/*
 * Notifies a guest through any datagram socket; false: it was pending
 * already.
 */
bool fx_guest_notify(struct fx_state *st, int sock, unsigned int domid);

/* Raises or unmasks a port of the daemon; evtchn is the FIFO. */
void fx_raise(struct fx_state *st, int evtchn, uint32_t port);
void fx_unmask(struct fx_state *st, int evtchn, uint32_t port);

void fx_dom_create(struct fx_state *st, unsigned int domid);
void fx_dom_change(struct fx_state *st, int evtchn, unsigned int domid,
		   uint32_t flags);

#endif /* FAKEXEN_H */
