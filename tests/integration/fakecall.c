/* SPDX-License-Identifier: MIT */
/*
 * A hypervisor for toolstack programs and device models, to be preloaded: as
 * much as xl and QEMU need to do their work in xenstore. The domains are those
 * of $FAKECALL_DOMAINS (numbers, ascending, separated by blanks), PV guests
 * that run. Pausing and destroying them succeeds and changes nothing;
 * everything else is not implemented.
 */
#define __XEN_TOOLS__ 1
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <xen/xen.h>
#include <xen/version.h>
#include <xen/domctl.h>
#include <xen/sysctl.h>
#include <xencall.h>

#define MAX_DOMAINS 32

static int domain_list(unsigned int ids[MAX_DOMAINS])
{
	const char *s = getenv("FAKECALL_DOMAINS");
	char *end;
	int n;

	for (n = 0; s && n < MAX_DOMAINS; n++, s = end) {
		ids[n] = strtoul(s, &end, 10);
		if (end == s)
			break;
	}
	return n;
}

static void describe(xen_domctl_getdomaininfo_t *info, unsigned int domid)
{
	memset(info, 0, sizeof(*info));
	info->domain = domid;
	info->flags = XEN_DOMINF_running;
	info->tot_pages = info->max_pages = 32768;
	info->shared_info_frame = 1;
	info->nr_online_vcpus = 1;
	memset(info->handle, domid, sizeof(info->handle));
}

static int domctl(struct xen_domctl *op)
{
	unsigned int ids[MAX_DOMAINS];
	int n = domain_list(ids), i;

	/* As in Xen, getdomaininfo is about this domain or the next one. */
	for (i = 0; i < n; i++) {
		if (ids[i] == op->domain)
			break;
		if (ids[i] > op->domain && op->cmd == XEN_DOMCTL_getdomaininfo)
			break;
	}
	if (i == n) {
		errno = ESRCH;
		return -1;
	}

	switch (op->cmd) {
	case XEN_DOMCTL_getdomaininfo:
		describe(&op->u.getdomaininfo, ids[i]);
		op->domain = ids[i];
		return 0;
	case XEN_DOMCTL_pausedomain:
	case XEN_DOMCTL_unpausedomain:
	case XEN_DOMCTL_destroydomain:
	case XEN_DOMCTL_max_mem:
		return 0;
	}
	errno = ENOSYS;
	return -1;
}

static int sysctl_list(struct xen_sysctl_getdomaininfolist *list)
{
	unsigned int ids[MAX_DOMAINS];
	int n = domain_list(ids), i;

	list->num_domains = 0;
	for (i = 0; i < n; i++) {
		if (ids[i] >= list->first_domain &&
		    list->num_domains < list->max_domains)
			describe(&list->buffer.p[list->num_domains++], ids[i]);
	}
	return 0;
}

static int sysctl(struct xen_sysctl *op)
{
	switch (op->cmd) {
	case XEN_SYSCTL_getdomaininfolist:
		return sysctl_list(&op->u.getdomaininfolist);
	case XEN_SYSCTL_physinfo:
		memset(&op->u.physinfo, 0, sizeof(op->u.physinfo));
		op->u.physinfo.nr_cpus = 1;
		op->u.physinfo.nr_nodes = 1;
		op->u.physinfo.total_pages = 1 << 18;
		return 0;
	}
	errno = ENOSYS;
	return -1;
}

static int hypercall(unsigned int op, uint64_t a1, uint64_t a2)
{
	(void)a2;
	if (op == __HYPERVISOR_domctl)
		return domctl((void *)(uintptr_t)a1);
	if (op == __HYPERVISOR_sysctl)
		return sysctl((void *)(uintptr_t)a1);
	if (op == __HYPERVISOR_xen_version && a1 == XENVER_version)
		return 4 << 16 | 17;
	errno = ENOSYS;
	return -1;
}

xencall_handle *xencall_open(struct xentoollog_logger *logger, unsigned flags)
{
	(void)logger;
	(void)flags;
	return malloc(1);
}

int xencall_close(xencall_handle *h)
{
	free(h);
	return 0;
}

int xencall_fd(xencall_handle *h)
{
	(void)h;
	return -1;
}

int xencall0(xencall_handle *h, unsigned int op)
{
	(void)h;
	return hypercall(op, 0, 0);
}

int xencall1(xencall_handle *h, unsigned int op, uint64_t a1)
{
	(void)h;
	return hypercall(op, a1, 0);
}

int xencall2(xencall_handle *h, unsigned int op, uint64_t a1, uint64_t a2)
{
	(void)h;
	return hypercall(op, a1, a2);
}

long xencall2L(xencall_handle *h, unsigned int op, uint64_t a1, uint64_t a2)
{
	return xencall2(h, op, a1, a2);
}

int xencall3(xencall_handle *h, unsigned int op, uint64_t a1, uint64_t a2,
	     uint64_t a3)
{
	(void)a3;
	return xencall2(h, op, a1, a2);
}

int xencall4(xencall_handle *h, unsigned int op, uint64_t a1, uint64_t a2,
	     uint64_t a3, uint64_t a4)
{
	(void)a4;
	return xencall3(h, op, a1, a2, a3);
}

int xencall5(xencall_handle *h, unsigned int op, uint64_t a1, uint64_t a2,
	     uint64_t a3, uint64_t a4, uint64_t a5)
{
	(void)a5;
	return xencall4(h, op, a1, a2, a3, a4);
}

void *xencall_alloc_buffer_pages(xencall_handle *h, size_t pages)
{
	(void)h;
	return calloc(pages, 4096);
}

void xencall_free_buffer_pages(xencall_handle *h, void *p, size_t pages)
{
	(void)h;
	(void)pages;
	free(p);
}

void *xencall_alloc_buffer(xencall_handle *h, size_t size)
{
	(void)h;
	return calloc(1, size);
}

void xencall_free_buffer(xencall_handle *h, void *p)
{
	(void)h;
	free(p);
}

int xencall_buffers_never_fault(xencall_handle *h)
{
	(void)h;
	return 1;
}

/*
 * What programs open at their start, and then, without a guest, do not use. An
 * event channel device is a pipe in which nothing ever happens.
 */
#define OPENED(type, name)                             \
	type *name##_open(void *logger, unsigned int flags); \
	type *name##_open(void *logger, unsigned int flags)  \
	{                                              \
		(void)logger;                          \
		(void)flags;                           \
		return malloc(1);                      \
	}                                              \
	int name##_close(type *h);                     \
	int name##_close(type *h)                      \
	{                                              \
		free(h);                               \
		return 0;                              \
	}

OPENED(void, xenforeignmemory)
OPENED(void, xendevicemodel)
OPENED(void, xengnttab)

int xengnttab_set_max_grants(void *h, uint32_t n);
int xengnttab_set_max_grants(void *h, uint32_t n)
{
	(void)h;
	(void)n;
	return 0;
}

int xengnttab_grant_copy(void *h, uint32_t n, void *segments);
int xengnttab_grant_copy(void *h, uint32_t n, void *segments)
{
	(void)h;
	(void)n;
	(void)segments;
	errno = ENOSYS;
	return -1;
}

void *xenevtchn_open(void *logger, unsigned int flags);
void *xenevtchn_open(void *logger, unsigned int flags)
{
	int *ends = malloc(2 * sizeof(*ends));

	(void)logger;
	(void)flags;
	if (ends && pipe(ends)) {
		free(ends);
		ends = NULL;
	}
	return ends;
}

int xenevtchn_fd(void *h);
int xenevtchn_fd(void *h)
{
	return *(int *)h;
}

int xenevtchn_close(void *h);
int xenevtchn_close(void *h)
{
	int *ends = h;

	close(ends[0]);
	close(ends[1]);
	free(ends);
	return 0;
}
