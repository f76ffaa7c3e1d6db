/* SPDX-License-Identifier: MIT */
#include "guest.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "bus.h"
#include "frontend.h"

/* ---- the VMM's side ----------------------------------------------------- */

int guest_listen(int control, int ms)
{
	struct pollfd pfd = { .fd = control, .events = POLLIN };
	char what;
	ssize_t n;

	if (poll(&pfd, 1, ms) == 0)
		return -ETIMEDOUT;
	n = recv(control, &what, 1, 0);
	return n < 0 ? -errno : n == 0 ? 0 : what;
}

int guest_resume(int control)
{
	return send(control, (char[]){ VMM_RESUME }, 1, MSG_NOSIGNAL) < 0 ?
		       -errno : 0;
}

static int send_ring(int control, const int fds[3])
{
	union {
		char buf[CMSG_SPACE(3 * sizeof(int))];
		struct cmsghdr hdr;
	} msg = { .hdr = {
		.cmsg_level = SOL_SOCKET,
		.cmsg_type = SCM_RIGHTS,
		.cmsg_len = CMSG_LEN(3 * sizeof(int)),
	} };
	struct iovec iov = { (char[]){ VMM_MIGRATE }, 1 };
	struct msghdr hdr = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = msg.buf,
		.msg_controllen = sizeof(msg.buf),
	};

	memcpy(CMSG_DATA(&msg.hdr), fds, 3 * sizeof(int));
	return sendmsg(control, &hdr, MSG_NOSIGNAL) < 0 ? -errno : 0;
}

int guest_migrate(int control, const struct vmm_domain *to)
{
	return send_ring(control, (int[]){ to->page_fd, to->in, to->out });
}

/* ---- the guest ---------------------------------------------------------- */

struct kernel {
	const char *name;
	bool verbose;
	int control;
	int in;
	struct gring ring;
	struct bus *bus;
	struct frontends *devices;
};

static void kernel_say(const struct kernel *k, const char *what)
{
	if (k->verbose)
		printf("%-8s %s\n", k->name, what);
}

static void kernel_kick(void *arg)
{
	const struct kernel *k = arg;

	eventfd_write(k->in, 1);
}

static void tell(const struct kernel *k, char what)
{
	if (send(k->control, &what, 1, MSG_NOSIGNAL) < 0)
		_exit(1);
}

static void set_watches(struct kernel *k)
{
	bus_watch(k->bus, "control/shutdown", "shutdown");
	bus_watch(k->bus, "device", "device");
}

static void boot(struct kernel *k)
{
	if (bus_read_number(k->bus, 0,
			    "control/platform-feature-xs_reset_watches", 0))
		bus_ask(k->bus, XS_RESET_WATCHES, 0, "", 1, NULL, NULL);
	bus_write(k->bus, 0, "control/feature-suspend", "1");
	bus_write(k->bus, 0, "control/feature-poweroff", "1");
	set_watches(k);
	frontends_scan(k->devices);
	tell(k, GUEST_UP);
}

/* Waits for the VMM; takes a ring if one is passed along. True: it was. */
static bool wake_up(struct kernel *k)
{
	union {
		char buf[CMSG_SPACE(3 * sizeof(int))];
		struct cmsghdr hdr;
	} msg;
	char what;
	struct iovec iov = { &what, 1 };
	struct msghdr hdr = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = msg.buf,
		.msg_controllen = sizeof(msg.buf),
	};
	int fds[3];

	if (recvmsg(k->control, &hdr, MSG_CMSG_CLOEXEC) <= 0)
		_exit(1);
	if (what != VMM_MIGRATE)
		return false;
	memcpy(fds, CMSG_DATA(&msg.hdr), sizeof(fds));
	munmap(k->ring.page, 4096);
	k->ring.page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED,
			    fds[0], 0);
	close(fds[0]);
	k->in = fds[1];
	bus_move(k->bus, &k->ring, fds[2]);
	return true;
}

static void suspend(struct kernel *k)
{
	kernel_say(k, "suspends");
	tell(k, GUEST_SUSPENDED);
	if (wake_up(k)) {
		kernel_say(k, "wakes up in another domain");
		frontends_forget(k->devices);
		set_watches(k);
		frontends_scan(k->devices);
	} else {
		kernel_say(k, "wakes up");
		/* The old ones are still there; that is no error. */
		set_watches(k);
		frontends_watch_again(k->devices);
	}
}

/* Takes the order and resets it, in a transaction: it may be withdrawn. */
static char *take_order(struct kernel *k)
{
	const char *path = "control/shutdown";
	char *order;
	uint32_t tx;
	int err;

	do {
		if (bus_begin(k->bus, &tx))
			return NULL;
		if (bus_read(k->bus, tx, path, &order)) {
			bus_end(k->bus, tx, false);
			return NULL;
		}
		if (!*order) {
			bus_end(k->bus, tx, false);
			return order;
		}
		bus_write(k->bus, tx, path, "");
		err = bus_end(k->bus, tx, true);
		if (err)
			free(order);
	} while (err == -EAGAIN);
	return err ? NULL : order;
}

static void control(struct kernel *k)
{
	char *order = take_order(k);

	if (!order)
		return;
	if (!strcmp(order, "suspend")) {
		suspend(k);
	} else if (!strcmp(order, "poweroff") || !strcmp(order, "halt")) {
		kernel_say(k, "powers off");
		tell(k, GUEST_OFF);
		exit(0);
	} else if (!strcmp(order, "reboot")) {
		kernel_say(k, "reboots");
		tell(k, GUEST_REBOOT);
		exit(0);
	}
	free(order);
}

static void run(struct kernel *k)
{
	char *path, *token;

	boot(k);
	for (;;) {
		/* Killed with its VMM. */
		if (bus_event(k->bus, k->control, -1, &path, &token))
			_exit(1);
		if (!strcmp(token, "shutdown"))
			control(k);
		else if (!strcmp(token, "device"))
			frontends_scan(k->devices);
		else
			frontends_event(k->devices, token);
		free(path);
	}
}

static int by_number(const void *a, const void *b)
{
	return *(const int *)a - *(const int *)b;
}

/* A guest has nothing of its VMM's, or a VMM that dies would live on in it. */
static void close_all_but(int *keep, int n)
{
	unsigned int from = 3;

	qsort(keep, n, sizeof(*keep), by_number);
	for (int i = 0; i < n; i++) {
		if (keep[i] > (int)from)
			close_range(from, keep[i] - 1, 0);
		from = keep[i] + 1;
	}
	close_range(from, ~0u, 0);
}

static void __attribute__((noreturn))
live(const struct vmm_domain *dom, const char *name, bool verbose, int control)
{
	struct kernel k = {
		.name = name,
		.verbose = verbose,
		.control = control,
		.in = dom->in,
		.ring = { .page = dom->ring.page, .kick = kernel_kick,
			  .arg = &k },
	};

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	signal(SIGTERM, SIG_DFL);
	setvbuf(stdout, NULL, _IOLBF, 0);
	close_all_but((int[]){ dom->in, dom->out, control }, 3);
	k.bus = bus_new(&k.ring, dom->out);
	k.devices = frontends_new(k.bus, verbose ? name : NULL);
	run(&k);
	exit(0);
}

int guest_start(const struct vmm_domain *dom, const char *name, bool verbose,
		pid_t *pid, int *control)
{
	int pair[2];

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return -errno;
	fflush(stdout);
	*pid = fork();
	if (*pid == 0)
		live(dom, name, verbose, pair[1]);
	close(pair[1]);
	*control = pair[0];
	if (*pid < 0) {
		close(pair[0]);
		return -errno;
	}
	return 0;
}
