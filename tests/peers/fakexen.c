/* SPDX-License-Identifier: MIT */
/*
 * fakexen.so: lets a xenstore daemon run where there is no Xen.
 *
 * Preloaded, it stands in for what a xenstore daemon calls of libxenevtchn,
 * libxengnttab, libxenctrl and libxenmanage, and for the two files that name
 * dom0's ring and event channel; fakexen.h tells what is behind it. Costs are
 * like the real ones: pending, unmask and notify are one system call each.
 */
#include "fakexen.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#define XC_WANT_COMPAT_MAP_FOREIGN_API
#include <xenctrl.h>
#include <xenevtchn.h>
#include <xengnttab.h>

#include "manage/xenmanage.h"

/* ---- event channels ------------------------------------------------------ */

struct xenevtchn_handle {
	int fifo;
	int second; /* not the first handle of this process */
	int null;   /* what needs no work still costs a system call */
	int notify;
};

/*
 * A daemon that was killed while it notified a guest has not sent what it had
 * marked as sent; the hypervisor's notification is one step. So whoever comes
 * next finds nobody notified, and may notify once too often.
 */
static void forget_notified(struct fx_state *st)
{
	for (unsigned int domid = 0; domid <= st->max_domid; domid++)
		st->dom[domid].notified = 0;
}

static xenevtchn_handle *evtchn_handle(int fifo)
{
	struct xenevtchn_handle *xce = calloc(1, sizeof(*xce));
	static int handles;

	if (!xce || !fx_state())
		return NULL;
	xce->second = handles++;
	if (!xce->second)
		forget_notified(fx_state());
	xce->fifo = fifo >= 0 ? fifo : fx_evtchn_open();
	xce->null = openat(AT_FDCWD, "/dev/null", O_WRONLY | O_CLOEXEC);
	xce->notify = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	return xce->fifo < 0 ? NULL : xce;
}

xenevtchn_handle *xenevtchn_open(struct xentoollog_logger *logger,
				 unsigned int flags)
{
	xenevtchn_handle *xce = evtchn_handle(-1);

	(void)logger;
	if (xce && flags & XENEVTCHN_NO_CLOEXEC)
		fcntl(xce->fifo, F_SETFD, 0);
	return xce;
}

xenevtchn_handle *xenevtchn_fdopen(struct xentoollog_logger *logger, int fd,
				   unsigned int flags)
{
	(void)logger;
	(void)flags;
	return evtchn_handle(fd);
}

int xenevtchn_close(xenevtchn_handle *xce)
{
	if (xce) {
		close(xce->fifo);
		close(xce->null);
		close(xce->notify);
		free(xce);
	}
	return 0;
}

int xenevtchn_fd(xenevtchn_handle *xce)
{
	return xce->fifo;
}

static int port_alloc(struct fx_state *st, uint32_t owner)
{
	uint32_t port, nobody;

	for (port = 1; port < FX_NPORT; port++) {
		nobody = 0;
		if (atomic_compare_exchange_strong(&st->port[port].owner,
						   &nobody, owner)) {
			st->port[port].pending = FX_IDLE;
			return port;
		}
	}
	errno = ENOSPC;
	return -1;
}

xenevtchn_port_or_error_t xenevtchn_bind_virq(xenevtchn_handle *xce,
					      unsigned int virq)
{
	struct fx_state *st = fx_state();
	unsigned int domid;
	int port, fifo;

	(void)virq;
	port = port_alloc(st, 1);
	if (port < 0)
		return -1;
	/* Who takes VIRQ_DOM_EXC sees every domain as changed at first. */
	for (domid = 0; domid <= st->max_domid; domid++)
		if (st->dom[domid].flags & FX_EXIST)
			atomic_fetch_or(&st->dom[domid].flags, FX_CHANGED);
	/* A second handle is another open file of the device. */
	st->virq_apart = xce->second;
	if (xce->second) {
		fifo = fx_virq_open();
		dup3(fifo, xce->fifo, O_CLOEXEC);
		close(fifo);
	}
	st->virq_port = port;
	return port;
}

xenevtchn_port_or_error_t xenevtchn_bind_interdomain(xenevtchn_handle *xce,
						     uint32_t domid,
						     evtchn_port_t remote)
{
	struct fx_state *st = fx_state();
	int port;

	if (domid >= FX_NDOM || !(st->dom[domid].flags & FX_EXIST)) {
		errno = ESRCH;
		return -1;
	}
	port = port_alloc(st, domid + 2);
	if (port < 0)
		return -1;
	st->dom[domid].remote_port = remote;
	st->dom[domid].local_port = port;
	/* Like the hypervisor: an event may have been lost, so raise one. */
	fx_raise(st, xce->fifo, port);
	return port;
}

int xenevtchn_unbind(xenevtchn_handle *xce, evtchn_port_t port)
{
	struct fx_state *st = fx_state();
	uint32_t owner;

	(void)xce;
	if (port >= FX_NPORT || !(owner = st->port[port].owner)) {
		errno = EINVAL;
		return -1;
	}
	if (owner == 1)
		st->virq_port = 0;
	else if (st->dom[owner - 2].local_port == port)
		st->dom[owner - 2].local_port = 0;
	st->port[port].owner = 0;
	return 0;
}

int xenevtchn_notify(xenevtchn_handle *xce, evtchn_port_t port)
{
	uint32_t owner = port < FX_NPORT ? fx_state()->port[port].owner : 0;

	if (owner < 2) {
		errno = EINVAL;
		return -1;
	}
	if (!fx_guest_notify(fx_state(), xce->notify, owner - 2) &&
	    write(xce->null, "", 1) < 0) /* for the cost of a call */
		return -1;
	return 0;
}

xenevtchn_port_or_error_t xenevtchn_pending(xenevtchn_handle *xce)
{
	uint32_t port;

	if (read(xce->fifo, &port, sizeof(port)) != sizeof(port))
		return -1;
	return port;
}

int xenevtchn_unmask(xenevtchn_handle *xce, evtchn_port_t port)
{
	if (write(xce->null, &port, sizeof(port)) < 0)
		return -1;
	fx_unmask(fx_state(), xce->fifo, port);
	return 0;
}

/* ---- grants and mappings ------------------------------------------------- */

static char gnttab_handle, ctrl_handle;

xengnttab_handle *xengnttab_open(struct xentoollog_logger *logger,
				 unsigned int flags)
{
	(void)logger;
	(void)flags;
	return (void *)&gnttab_handle;
}

int xengnttab_close(xengnttab_handle *xgt)
{
	(void)xgt;
	return 0;
}

int xengnttab_set_max_grants(xengnttab_handle *xgt, uint32_t nr_grants)
{
	(void)xgt;
	(void)nr_grants;
	return 0;
}

void *xengnttab_map_grant_ref(xengnttab_handle *xgt, uint32_t domid,
			      uint32_t ref, int prot)
{
	(void)xgt;
	(void)ref;
	(void)prot;
	if (domid >= FX_NDOM || !(fx_state()->dom[domid].flags & FX_EXIST)) {
		errno = ESRCH;
		return NULL;
	}
	return fx_page(domid);
}

int xengnttab_unmap(xengnttab_handle *xgt, void *start, uint32_t count)
{
	(void)xgt;
	return munmap(start, (size_t)count * FX_PAGE);
}

void *xc_map_foreign_range(xc_interface *xch, uint32_t domid, int size,
			   int prot, unsigned long mfn)
{
	(void)xch;
	(void)size;
	(void)mfn;
	return xengnttab_map_grant_ref(NULL, domid, 0, prot);
}

/* ---- domains ------------------------------------------------------------- */

xc_interface *xc_interface_open(xentoollog_logger *logger,
				xentoollog_logger *dombuild, unsigned int flags)
{
	(void)logger;
	(void)dombuild;
	(void)flags;
	return fx_state() ? (void *)&ctrl_handle : NULL;
}

int xc_interface_close(xc_interface *xch)
{
	(void)xch;
	return 0;
}

static const struct fx_dom *next_dom(uint32_t *domid)
{
	const struct fx_state *st = fx_state();

	for (; *domid <= st->max_domid; ++*domid)
		if (st->dom[*domid].flags & FX_EXIST)
			return &st->dom[*domid];
	return NULL;
}

int xc_domain_getinfo(xc_interface *xch, uint32_t domid, unsigned int max,
		      xc_dominfo_t *info)
{
	const struct fx_dom *dom;
	unsigned int n;

	(void)xch;
	for (n = 0; n < max && (dom = next_dom(&domid)); n++) {
		memset(&info[n], 0, sizeof(info[n]));
		memcpy(info[n].handle, (const void *)&dom->unique,
		       sizeof(uint32_t));
		info[n].domid = domid++;
		info[n].shutdown = !!(dom->flags & FX_SHUTDOWN);
		info[n].dying = !!(dom->flags & FX_DYING);
		info[n].running = 1;
	}
	return n;
}

int xc_domain_getinfolist(xc_interface *xch, uint32_t domid, unsigned int max,
			  xc_domaininfo_t *info)
{
	const struct fx_dom *dom;
	unsigned int n;

	(void)xch;
	for (n = 0; n < max && (dom = next_dom(&domid)); n++) {
		memset(&info[n], 0, sizeof(info[n]));
		memcpy(info[n].handle, (const void *)&dom->unique,
		       sizeof(uint32_t));
		info[n].domain = domid++;
		if (dom->flags & FX_SHUTDOWN)
			info[n].flags |= XEN_DOMINF_shutdown;
		if (dom->flags & FX_DYING)
			info[n].flags |= XEN_DOMINF_dying;
	}
	return n;
}

const xc_error *xc_get_last_error(xc_interface *xch)
{
	static const xc_error error = {.code = 1, .message = "fakexen"};

	(void)xch;
	return &error;
}

/* ---- domains, as newer Xen tells of them ----------------------------------
 */

xenmanage_handle *xenmanage_open(struct xentoollog_logger *logger,
				 unsigned int flags)
{
	(void)logger;
	(void)flags;
	return fx_state() ? (void *)&ctrl_handle : NULL;
}

int xenmanage_close(xenmanage_handle *hdl)
{
	(void)hdl;
	return 0;
}

int xenmanage_get_domain_info(xenmanage_handle *hdl, unsigned int domid,
			      unsigned int *state, unsigned int *caps,
			      uint64_t *unique_id)
{
	const struct fx_dom *dom = &fx_state()->dom[domid];

	(void)hdl;
	if (domid >= FX_NDOM || !(dom->flags & FX_EXIST)) {
		errno = ESRCH;
		return -1;
	}
	*state = XENMANAGE_GETDOMSTATE_STATE_EXIST;
	if (dom->flags & FX_SHUTDOWN)
		*state |= XENMANAGE_GETDOMSTATE_STATE_SHUTDOWN;
	if (dom->flags & FX_DYING)
		*state |= XENMANAGE_GETDOMSTATE_STATE_DYING;
	*caps = 0;
	*unique_id = dom->unique;
	return 0;
}

/* ---- libc ---------------------------------------------------------------- */

/* oxenstored raises this beyond what a plain machine allows, and gives up. */
int setrlimit(__rlimit_resource_t what, const struct rlimit *limit)
{
	static int (*real)(__rlimit_resource_t, const struct rlimit *);

	if (!real)
		real = (int (*)(__rlimit_resource_t,
				const struct rlimit *))dlsym(RTLD_NEXT,
							     "setrlimit");
	if (!real(what, limit))
		return 0;
	return what == RLIMIT_NOFILE ? 0 : -1;
}

static const char *redirect(const char *path, char *buf, size_t len)
{
	int fd;

	if (!strcmp(path, "/proc/xen/xsd_kva") && fx_page(0)) {
		fx_path(buf, len, "pages", -1); /* dom0's is the first */
		return buf;
	}
	if (!strcmp(path, "/proc/xen/xsd_port")) {
		fx_path(buf, len, "xsd_port", -1);
		fd = openat(AT_FDCWD, buf, O_RDWR | O_CREAT | O_TRUNC, 0600);
		if (fd >= 0) {
			/* oxenstored cannot parse a newline */
			if (write(fd, "2", 1) == 1)
				path = buf;
			close(fd);
		}
	}
	return path;
}

static int open_by(const char *name, const char *path, int flags, va_list ap)
{
	int (*real)(const char *, int, ...);
	char buf[256];
	mode_t mode = 0;

	real = (int (*)(const char *, int, ...))dlsym(RTLD_NEXT, name);
	if (flags & (O_CREAT | __O_TMPFILE))
		mode = va_arg(ap, mode_t);
	if (!strncmp(path, "/proc/xen/", 10))
		path = redirect(path, buf, sizeof(buf));
	return real(path, flags, mode);
}

#define OPEN(name)                                                             \
	int name(const char *path, int flags, ...)                             \
	{                                                                      \
		va_list ap;                                                    \
		int fd;                                                        \
                                                                               \
		va_start(ap, flags);                                           \
		fd = open_by(#name, path, flags, ap);                          \
		va_end(ap);                                                    \
		return fd;                                                     \
	}

OPEN(open)
OPEN(open64)

/* What FORTIFY turns an open() without mode into. */
int __open_2(const char *path, int flags);
int __open_2(const char *path, int flags)
{
	return open(path, flags);
}
