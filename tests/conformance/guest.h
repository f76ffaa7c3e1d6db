/* SPDX-License-Identifier: MIT */
/*
 * Guests: domains with a ring page and an event channel, made where there is
 * no Xen: attached to the daemon as a VMM does ($VMM_SOCKET), or by fakexen
 * ($FAKEXEN_DIR).
 */
#ifndef GUEST_H
#define GUEST_H

#include <stdbool.h>
#include <stdint.h>

#include <xen/io/xs_wire.h>

struct guest;

/* Whether guests can be made here at all. */
bool guests_possible(void);

/* The domain exists from now on, with a clear page; NULL: it could not. */
struct guest *guest_create(unsigned int domid);

/* Reports a change of state of the domain to the daemon. */
enum guest_event { GUEST_ALIVE, GUEST_SHUTDOWN, GUEST_DYING, GUEST_GONE };
void guest_report(struct guest *guest, enum guest_event event);

/* The domain is gone, which the daemon is told. */
void guest_free(struct guest *guest);

unsigned int guest_domid(const struct guest *guest);

/* The page; a guest may do anything to it. */
struct xenstore_domain_interface *guest_page(struct guest *guest);

/* Notifies the daemon. */
void guest_kick(struct guest *guest);

/* Readable after the daemon has notified; guest_clear() makes it wait again. */
int guest_fd(const struct guest *guest);
void guest_clear(struct guest *guest);

#endif /* GUEST_H */
