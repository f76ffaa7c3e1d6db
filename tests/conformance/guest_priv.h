/* SPDX-License-Identifier: MIT */
/* What makes guests: fakexen, or the daemon's socket for VMMs. */
#ifndef GUEST_PRIV_H
#define GUEST_PRIV_H

#include "guest.h"

/* The first part of what a maker allocates. */
struct guest {
	const struct guest_maker *maker;
	struct xenstore_domain_interface *page;
	unsigned int domid;
	int evt; /* readable when the daemon has notified */
};

struct guest_maker {
	bool (*possible)(void);
	struct guest *(*create)(unsigned int domid);
	void (*report)(struct guest *guest, enum guest_event event);
	void (*free)(struct guest *guest);
	void (*kick)(struct guest *guest);
	void (*clear)(struct guest *guest);
};

extern const struct guest_maker guest_fake, guest_vmm;

#endif /* GUEST_PRIV_H */
