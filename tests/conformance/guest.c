/* SPDX-License-Identifier: MIT */
/* See guest.h. */
#include "guest_priv.h"

#include <stddef.h>

static const struct guest_maker *maker(void)
{
	if (guest_vmm.possible())
		return &guest_vmm;
	return guest_fake.possible() ? &guest_fake : NULL;
}

bool guests_possible(void)
{
	return maker() != NULL;
}

struct guest *guest_create(unsigned int domid)
{
	struct guest *guest = maker() ? maker()->create(domid) : NULL;

	if (guest)
		guest->maker = maker();
	return guest;
}

void guest_report(struct guest *guest, enum guest_event event)
{
	guest->maker->report(guest, event);
}

void guest_free(struct guest *guest)
{
	guest->maker->report(guest, GUEST_GONE);
	guest->maker->free(guest);
}

unsigned int guest_domid(const struct guest *guest)
{
	return guest->domid;
}

struct xenstore_domain_interface *guest_page(struct guest *guest)
{
	return guest->page;
}

void guest_kick(struct guest *guest)
{
	guest->maker->kick(guest);
}

int guest_fd(const struct guest *guest)
{
	return guest->evt;
}

void guest_clear(struct guest *guest)
{
	guest->maker->clear(guest);
}
