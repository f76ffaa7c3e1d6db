/* SPDX-License-Identifier: MIT */
/* Guests of fakexen; $FAKEXEN_DIR is its directory. */
#include "guest_priv.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <fakexen.h>

struct fake {
	struct guest guest;
	struct fx_state *st;
	int evtchn; /* to raise ports of the daemon */
};

static bool fake_possible(void)
{
	return getenv("FAKEXEN_DIR") && fx_state() && fx_state()->virq_port;
}

static struct guest *fake_create(unsigned int domid)
{
	struct fake *fake = calloc(1, sizeof(*fake));

	fake->st = fx_state();
	fake->evtchn = fx_evtchn_open();
	fake->guest.domid = domid;
	fake->guest.page = domid < FX_NDOM ? fx_page(domid) : NULL;
	fake->guest.evt = fx_guest_evt_open(domid);
	if (!fake->guest.page || fake->evtchn < 0 || fake->guest.evt < 0) {
		free(fake);
		return NULL;
	}
	memset(fake->guest.page, 0, FX_PAGE);
	fx_dom_create(fake->st, domid);
	return &fake->guest;
}

static void fake_report(struct guest *guest, enum guest_event event)
{
	static const uint32_t flags[] = {
		[GUEST_ALIVE] = FX_EXIST,
		[GUEST_SHUTDOWN] = FX_EXIST | FX_SHUTDOWN,
		[GUEST_DYING] = FX_EXIST | FX_DYING,
		[GUEST_GONE] = 0,
	};
	struct fake *fake = (struct fake *)guest;

	fx_dom_change(fake->st, fake->evtchn, guest->domid, flags[event]);
}

static void fake_free(struct guest *guest)
{
	struct fake *fake = (struct fake *)guest;
	char path[256];

	munmap(guest->page, FX_PAGE);
	close(fake->evtchn);
	close(guest->evt);
	fx_path(path, sizeof(path), "evt", guest->domid);
	unlink(path);
	free(fake);
}

static void fake_kick(struct guest *guest)
{
	struct fake *fake = (struct fake *)guest;

	fx_raise(fake->st, fake->evtchn,
		 fake->st->dom[guest->domid].local_port);
}

static void fake_clear(struct guest *guest)
{
	struct fake *fake = (struct fake *)guest;

	fx_guest_evt_clear(fake->st, guest->evt, guest->domid);
}

const struct guest_maker guest_fake = {
	.possible = fake_possible,
	.create = fake_create,
	.report = fake_report,
	.free = fake_free,
	.kick = fake_kick,
	.clear = fake_clear,
};
