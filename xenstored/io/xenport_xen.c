/* SPDX-License-Identifier: MIT */
/*
 * The port to a Xen hypervisor, through the Xen libraries.
 *
 * Two handles of the event channel device are held. One has the channels of
 * the guests and is inherited by a successor, ports and all. The other has
 * VIRQ_DOM_EXC alone and is not: the port of a VIRQ that a dead process had
 * read, but not unmasked, would be lost for good. A successor that asks for
 * every domain's state anyway binds it anew and misses nothing.
 */
#include "io/xenport.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <xen/xen.h>
#include <xenevtchn.h>
#include <xengnttab.h>

#include "base/scoped.h"
#include "io/domlist.h"

#define XSD_KVA	 "/proc/xen/xsd_kva"
#define XSD_PORT "/proc/xen/xsd_port"
#define PAGE_LEN 4096

/* The hypervisor has fewer ports than this (2^17, by its largest ABI). */
#define PORTS_MAX (1u << 17)

struct xen_port {
	struct xenport base;
	xenevtchn_handle *evtchn;
	xenevtchn_handle *virq;
	xengnttab_handle *gnttab;
	struct domlist *domains;
	struct loop_fd *evtchn_fd;
	struct loop_fd *virq_fd;
	/* by local port; NULL: not bound by us */
	struct channel **channels;
	uint32_t n_channels;
	/* dom0's page is not a grant */
	struct xenstore_domain_interface *own_page;
};

static struct xen_port *to_xen(struct xenport *port)
{
	return talloc_get_type_abort(port, struct xen_port);
}

/* What a failed library call left in errno, never 0. */
static int call_errno(void)
{
	return errno ? errno : EIO;
}

/* ---- pages ----------------------------------------------------------------
 */

static int xen_map(struct xenport *port, uint16_t domid, uint64_t gfn,
		   struct xenstore_domain_interface **page)
{
	void *mem;

	(void)gfn;
	mem = xengnttab_map_grant_ref(to_xen(port)->gnttab, domid,
				      1 /* GNTTAB_RESERVED_XENSTORE */,
				      PROT_READ | PROT_WRITE);
	if (!mem)
		return call_errno();

	*page = mem;
	return 0;
}

static void xen_unmap(struct xenport *port, uint16_t domid,
		      struct xenstore_domain_interface *page)
{
	struct xen_port *xen = to_xen(port);

	(void)domid;
	if (page == xen->own_page) {
		munmap(page, PAGE_LEN);
		xen->own_page = NULL;
	} else {
		xengnttab_unmap(xen->gnttab, page, 1);
	}
}

static bool xen_page_ok(struct xenport *port,
			const struct xenstore_domain_interface *page)
{
	/* A granted page stays until it is unmapped, whatever its owner does.
	 */
	(void)port;
	(void)page;
	return true;
}

/* The file holds the number as text, maybe without a newline. */
static int read_number(const char *path, uint32_t *out)
{
	char text[32];
	ssize_t len;
	int fd;

	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return ENODEV;
	len = read(fd, text, sizeof(text) - 1);
	close(fd);
	if (len <= 0)
		return ENODEV;

	text[len] = '\0';
	*out = strtoul(text, NULL, 0);
	return 0;
}

static int xen_own_ring(struct xenport *port,
			struct xenstore_domain_interface **page,
			uint32_t *remote)
{
	struct xen_port *xen = to_xen(port);
	void *mem;
	int fd, err;

	err = read_number(XSD_PORT, remote);
	if (err)
		return err;
	fd = open(XSD_KVA, O_RDWR | O_CLOEXEC);
	if (fd < 0)
		return ENODEV;
	mem = mmap(NULL, PAGE_LEN, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	err = mem == MAP_FAILED ? -call_errno() : 0;
	close(fd);
	if (err)
		return err;

	xen->own_page = mem;
	*page = mem;
	return 0;
}

/* ---- event channels -------------------------------------------------------
 */

static int channel_add(struct xen_port *xen, struct channel *channel)
{
	struct channel **grown;
	uint32_t n;

	if (channel->local >= PORTS_MAX)
		return -ERANGE;
	if (channel->local >= xen->n_channels) {
		for (n = 64; n <= channel->local;)
			n *= 2;
		grown = talloc_realloc(xen, xen->channels, struct channel *, n);
		if (!grown)
			return -ENOMEM;
		memset(grown + xen->n_channels, 0,
		       (n - xen->n_channels) * sizeof(*grown));
		xen->channels = grown;
		xen->n_channels = n;
	}
	xen->channels[channel->local] = channel;
	return 0;
}

static int xen_bind(struct xenport *port, struct channel *channel,
		    uint32_t remote)
{
	struct xen_port *xen = to_xen(port);
	int local, err;

	local = xenevtchn_bind_interdomain(xen->evtchn, channel->domid, remote);
	if (local < 0)
		return call_errno();

	channel->local = local;
	err = channel_add(xen, channel);
	if (err) {
		xenevtchn_unbind(xen->evtchn, local);
		channel->local = 0;
	}
	return err;
}

static int xen_adopt(struct xenport *port, struct channel *channel)
{
	return channel_add(to_xen(port), channel);
}

static void xen_unbind(struct xenport *port, struct channel *channel)
{
	struct xen_port *xen = to_xen(port);

	if (!channel->local)
		return;
	xenevtchn_unbind(xen->evtchn, channel->local);
	xen->channels[channel->local] = NULL;
	channel->local = 0;
}

/* Both fail only for a port whose other side has gone, or is not bound: then
 * nobody waits. */
static void xen_notify(struct xenport *port, struct channel *channel)
{
	if (channel->local)
		xenevtchn_notify(to_xen(port)->evtchn, channel->local);
}

static void xen_unmask(struct xenport *port, struct channel *channel)
{
	if (channel->local)
		xenevtchn_unmask(to_xen(port)->evtchn, channel->local);
}

/* The device gives as many ports as there is room for, each of them masked. */
static void channels_fired(void *arg, unsigned int events)
{
	struct xen_port *xen = arg;
	evtchn_port_t fired[128];
	ssize_t i, len;

	(void)events;
	len = read(xenevtchn_fd(xen->evtchn), fired, sizeof(fired));
	for (i = 0; i < len / (ssize_t)sizeof(fired[0]); i++) {
		struct channel *channel = fired[i] < xen->n_channels
						  ? xen->channels[fired[i]]
						  : NULL;

		/* NULL: unbound since */
		if (channel)
			channel->fired(channel);
	}
}

/* ---- domains --------------------------------------------------------------
 */

static int xen_state(struct xenport *port, uint16_t domid,
		     struct dom_state *out)
{
	return domlist_state(to_xen(port)->domains, domid, out);
}

static int xen_next(struct xenport *port, uint16_t *domid,
		    struct dom_state *out)
{
	return domlist_next(to_xen(port)->domains, domid, out);
}

static void virq_fired(void *arg, unsigned int events)
{
	struct xen_port *xen = arg;
	xenevtchn_port_or_error_t local;

	(void)events;
	local = xenevtchn_pending(xen->virq);
	if (local < 0)
		return;
	/* First, so that a change after we looked raises it again. */
	xenevtchn_unmask(xen->virq, local);
	domlist_load(xen->domains);
	if (xen->base.changed)
		xen->base.changed(xen->base.arg);
	domlist_unload(xen->domains);
}

/* ---- the port -------------------------------------------------------------
 */

static size_t xen_descriptors(const struct xenport *port, int *fds, size_t n)
{
	const struct xen_port *xen =
		talloc_get_type_abort(port, struct xen_port);

	if (n)
		fds[0] = xenevtchn_fd(xen->evtchn);
	return 1;
}

static void xen_settle(struct xenport *port)
{
	(void)port;
}

static void xen_retire(struct xenport *port)
{
	struct xen_port *xen = to_xen(port);

	TALLOC_FREE(xen->virq_fd);
	if (xen->virq)
		xenevtchn_close(xen->virq);
	xen->virq = NULL;
}

static const struct xenport_ops xen_ops = {
	.name = "xen",
	.map = xen_map,
	.unmap = xen_unmap,
	.bind = xen_bind,
	.adopt = xen_adopt,
	.unbind = xen_unbind,
	.notify = xen_notify,
	.unmask = xen_unmask,
	.state = xen_state,
	.next = xen_next,
	.own_ring = xen_own_ring,
	.descriptors = xen_descriptors,
	.settle = xen_settle,
	.retire = xen_retire,
	.page_ok = xen_page_ok,
};

static int xen_free(struct xen_port *xen)
{
	xen_retire(&xen->base);
	TALLOC_FREE(xen->evtchn_fd);
	if (xen->evtchn)
		xenevtchn_close(xen->evtchn);
	if (xen->gnttab)
		xengnttab_close(xen->gnttab);
	return 0;
}

static int virq_open(struct xen_port *xen, struct loop *loop)
{
	xen->virq = xenevtchn_open(NULL, 0);
	if (!xen->virq || xenevtchn_bind_virq(xen->virq, VIRQ_DOM_EXC) < 0)
		return -call_errno();
	return loop_fd_new(xen, loop, xenevtchn_fd(xen->virq), LOOP_READ,
			   virq_fired, xen, &xen->virq_fd);
}

void xenport_xen_drop_virq(int fd, uint32_t local)
{
	int copy = fcntl(fd, F_DUPFD_CLOEXEC, 3);
	xenevtchn_handle *evtchn =
		copy >= 0 ? xenevtchn_fdopen(NULL, copy, 0) : NULL;

	if (!evtchn)
		return;
	xenevtchn_unbind(evtchn, local);
	xenevtchn_close(evtchn);
}

int xenport_xen_new(TALLOC_CTX *ctx, struct loop *loop, int fd,
		    struct xenport **out)
{
	scoped_talloc struct xen_port *xen = talloc_zero(ctx, struct xen_port);
	int err;

	if (!xen)
		return -ENOMEM;
	xen->base.ops = &xen_ops;
	talloc_set_destructor(xen, xen_free);

	xen->evtchn = fd >= 0 ? xenevtchn_fdopen(NULL, fd, 0)
			      : xenevtchn_open(NULL, 0);
	if (!xen->evtchn)
		return -ENODEV;
	xen->gnttab = xengnttab_open(NULL, 0);
	if (!xen->gnttab)
		return -call_errno();
	/* Newer kernels have no such limit, and no such call. */
	xengnttab_set_max_grants(xen->gnttab, DOMID_FIRST_RESERVED);

	err = domlist_new(xen, &xen->domains);
	if (!err)
		err = virq_open(xen, loop);
	if (err)
		return err;
	err = loop_fd_new(xen, loop, xenevtchn_fd(xen->evtchn), LOOP_READ,
			  channels_fired, xen, &xen->evtchn_fd);
	if (err)
		return err;

	*out = &TAKE(xen)->base;
	return 0;
}
