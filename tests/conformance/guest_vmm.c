/* SPDX-License-Identifier: MIT */
/* Guests attached as a VMM does; $VMM_SOCKET is the daemon's socket for it. */
#include "guest_priv.h"

#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "../guest/vmm.h"

struct attached {
	struct guest guest;
	struct vmm_domain dom;
	bool detached;
};

/* One VMM has all guests. */
static int connection(void)
{
	static int fd = -1;

	if (fd < 0 && getenv("VMM_SOCKET"))
		fd = vmm_dial(getenv("VMM_SOCKET"));
	return fd;
}

static bool attached_possible(void)
{
	return connection() >= 0;
}

static struct guest *attached_create(unsigned int domid)
{
	struct attached *attached = calloc(1, sizeof(*attached));

	if (vmm_domain_make(&attached->dom, domid) ||
	    vmm_attach(connection(), &attached->dom, false)) {
		free(attached);
		return NULL;
	}
	attached->guest.domid = domid;
	attached->guest.page = attached->dom.ring.page;
	attached->guest.evt = attached->dom.out;
	return &attached->guest;
}

static void attached_report(struct guest *guest, enum guest_event event)
{
	static const enum xenstore_vmm_state states[] = {
		[GUEST_ALIVE] = XENSTORE_VMM_RUNNING,
		[GUEST_SHUTDOWN] = XENSTORE_VMM_SHUTDOWN,
		[GUEST_DYING] = XENSTORE_VMM_DYING,
	};
	struct attached *attached = (struct attached *)guest;

	if (attached->detached)
		return;
	if (event == GUEST_GONE) {
		vmm_detach(connection(), guest->domid);
		attached->detached = true;
	} else {
		vmm_state(connection(), guest->domid, states[event]);
	}
}

static void attached_free(struct guest *guest)
{
	struct attached *attached = (struct attached *)guest;

	vmm_domain_free(&attached->dom);
	free(attached);
}

static void attached_kick(struct guest *guest)
{
	struct attached *attached = (struct attached *)guest;

	attached->dom.ring.kick(attached->dom.ring.arg);
}

static void attached_clear(struct guest *guest)
{
	char buf[256];

	while (recv(guest->evt, buf, sizeof(buf), MSG_DONTWAIT) > 0)
		;
}

const struct guest_maker guest_vmm = {
	.possible = attached_possible,
	.create = attached_create,
	.report = attached_report,
	.free = attached_free,
	.kick = attached_kick,
	.clear = attached_clear,
};
