/* SPDX-License-Identifier: MIT */
/* The shared part of fakexen: see fakexen.h. */
#include "fakexen.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

void fx_path(char *buf, size_t len, const char *what, int domid)
{
	static const char *dir;

	if (!dir) {
		dir = getenv("FAKEXEN_DIR");
		if (!dir || !*dir)
			dir = "fakexen";
		mkdir(dir, 0700);
	}
	if (domid >= 0)
		snprintf(buf, len, "%s/%s.%d", dir, what, domid);
	else
		snprintf(buf, len, "%s/%s", dir, what);
}

static void *map_file(const char *what, off_t offset, size_t size)
{
	char path[256];
	struct stat st;
	void *mem;
	int fd;

	fx_path(path, sizeof(path), what, -1);
	fd = openat(AT_FDCWD, path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (fd < 0)
		return NULL;
	if (fstat(fd, &st) || (st.st_size < offset + (off_t)size &&
			       ftruncate(fd, offset + size))) {
		close(fd);
		return NULL;
	}
	mem = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, offset);
	close(fd);
	return mem == MAP_FAILED ? NULL : mem;
}

struct fx_state *fx_state(void)
{
	static struct fx_state *st;
	uint32_t none = 0;

	if (st)
		return st;
	st = map_file("state", 0, sizeof(*st));
	if (st &&
	    atomic_compare_exchange_strong(&st->dom[0].unique, &none, 1)) {
		st->next_unique = 2;
		st->dom[0].flags = FX_EXIST | FX_CHANGED;
	}
	return st;
}

struct xenstore_domain_interface *fx_page(unsigned int domid)
{
	return map_file("pages", (off_t)domid * FX_PAGE, FX_PAGE);
}

static int fifo_open(const char *what)
{
	char path[256];

	fx_path(path, sizeof(path), what, -1);
	if (mkfifo(path, 0600) && errno != EEXIST)
		return -1;
	return openat(AT_FDCWD, path, O_RDWR | O_NONBLOCK | O_CLOEXEC);
}

int fx_evtchn_open(void)
{
	return fifo_open("evtchn");
}

int fx_virq_open(void)
{
	return fifo_open("virq");
}

static void evt_address(struct sockaddr_un *addr, unsigned int domid)
{
	memset(addr, 0, sizeof(*addr));
	addr->sun_family = AF_UNIX;
	fx_path(addr->sun_path, sizeof(addr->sun_path), "evt", domid);
}

int fx_guest_evt_open(unsigned int domid)
{
	struct sockaddr_un addr;
	int fd;

	evt_address(&addr, domid);
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -1;
	unlink(addr.sun_path);
	if (bind(fd, (struct sockaddr *)&addr, sizeof(addr))) {
		close(fd);
		return -1;
	}
	if (fx_state())
		fx_state()->dom[domid].notified = 0;
	return fd;
}

void fx_guest_evt_clear(struct fx_state *st, int evt, unsigned int domid)
{
	char byte;

	if (recv(evt, &byte, 1, MSG_DONTWAIT) < 0 && errno != EAGAIN)
		return;
	st->dom[domid].notified = 0;
}

bool fx_guest_notify(struct fx_state *st, int sock, unsigned int domid)
{
	struct sockaddr_un addr;

	if (atomic_exchange(&st->dom[domid].notified, 1))
		return false;
	/* That nobody is there is no error of the daemon. */
	evt_address(&addr, domid);
	if (sendto(sock, "", 1, MSG_DONTWAIT | MSG_NOSIGNAL,
		   (struct sockaddr *)&addr, sizeof(addr)) < 0)
		st->dom[domid].notified = 0;
	return true;
}

static void deliver(int evtchn, uint32_t port)
{
	/* The FIFO holds 16384 ports, each of them at most once. */
	if (write(evtchn, &port, sizeof(port)) < 0)
		return;
}

void fx_raise(struct fx_state *st, int evtchn, uint32_t port)
{
	uint32_t was;

	if (!port || port >= FX_NPORT)
		return;
	do {
		was = st->port[port].pending;
		if (was == FX_AGAIN)
			return;
	} while (!atomic_compare_exchange_weak(&st->port[port].pending, &was,
					       was + 1));
	if (was == FX_IDLE)
		deliver(evtchn, port);
}

void fx_unmask(struct fx_state *st, int evtchn, uint32_t port)
{
	uint32_t was;

	if (!port || port >= FX_NPORT)
		return;
	do {
		was = st->port[port].pending;
		if (was == FX_IDLE)
			return;
	} while (!atomic_compare_exchange_weak(&st->port[port].pending, &was,
					       was - 1));
	if (was == FX_AGAIN)
		deliver(evtchn, port);
}

void fx_dom_create(struct fx_state *st, unsigned int domid)
{
	struct fx_dom *dom = &st->dom[domid];

	dom->unique = atomic_fetch_add(&st->next_unique, 1);
	dom->local_port = 0;
	dom->remote_port = 0;
	dom->flags = FX_EXIST | FX_CHANGED;
	if (st->max_domid < domid)
		st->max_domid = domid;
}

void fx_dom_change(struct fx_state *st, int evtchn, unsigned int domid,
		   uint32_t flags)
{
	int virq = st->virq_apart ? fx_virq_open() : evtchn;

	st->dom[domid].flags = flags | FX_CHANGED;
	fx_raise(st, virq, st->virq_port);
	if (virq != evtchn)
		close(virq);
}
