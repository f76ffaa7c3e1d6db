/* SPDX-License-Identifier: MIT */
/* See guest.h. */
#include "guest.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <fakexen.h>

struct guest {
	struct fx_state *st;
	struct xenstore_domain_interface *page;
	unsigned int domid;
	int evtchn; /* to raise ports of the daemon */
	int evt;    /* to be notified */
};

bool guests_possible(void)
{
	return getenv("FAKEXEN_DIR") && fx_state() && fx_state()->virq_port;
}

struct guest *guest_create(unsigned int domid)
{
	struct guest *guest;

	if (!guests_possible() || domid >= FX_NDOM)
		return NULL;
	guest = calloc(1, sizeof(*guest));
	guest->st = fx_state();
	guest->domid = domid;
	guest->page = fx_page(domid);
	guest->evtchn = fx_evtchn_open();
	guest->evt = fx_guest_evt_open(domid);
	if (!guest->page || guest->evtchn < 0 || guest->evt < 0) {
		free(guest);
		return NULL;
	}
	memset(guest->page, 0, FX_PAGE);
	fx_dom_create(guest->st, domid);
	return guest;
}

void guest_report(struct guest *guest, enum guest_event event)
{
	static const uint32_t flags[] = {
		[GUEST_ALIVE] = FX_EXIST,
		[GUEST_SHUTDOWN] = FX_EXIST | FX_SHUTDOWN,
		[GUEST_DYING] = FX_EXIST | FX_DYING,
		[GUEST_GONE] = 0,
	};

	fx_dom_change(guest->st, guest->evtchn, guest->domid, flags[event]);
}

void guest_free(struct guest *guest)
{
	char path[256];

	guest_report(guest, GUEST_GONE);
	munmap(guest->page, FX_PAGE);
	close(guest->evtchn);
	close(guest->evt);
	fx_path(path, sizeof(path), "evt", guest->domid);
	unlink(path);
	free(guest);
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
	fx_raise(guest->st, guest->evtchn,
		 guest->st->dom[guest->domid].local_port);
}

int guest_fd(const struct guest *guest)
{
	return guest->evt;
}

void guest_clear(struct guest *guest)
{
	fx_guest_evt_clear(guest->st, guest->evt, guest->domid);
}
