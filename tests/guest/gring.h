/* SPDX-License-Identifier: MIT */
/*
 * The guest's side of a shared ring, as Linux and hvmloader have it: partial
 * transfers, and notifications only where the other side could be asleep.
 */
#ifndef GUEST_GRING_H
#define GUEST_GRING_H

#include <stdbool.h>
#include <stddef.h>
#include <xen/io/xs_wire.h>

struct gring {
	struct xenstore_domain_interface *page;
	/* Notifies the daemon. */
	void (*kick)(void *arg);
	void *arg;
	unsigned int kicks;
};

/* Both move what they can, return how many bytes, and never wait. */
size_t gring_write(struct gring *ring, const void *data, size_t len);
size_t gring_read(struct gring *ring, void *data, size_t len);

/* Asks for a fresh start; done when gring_connected(). */
void gring_reconnect(struct gring *ring);
bool gring_connected(const struct gring *ring);
/* What old firmware does before it hands over to the kernel. */
void gring_scrub(struct gring *ring);

#endif
