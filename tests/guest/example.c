/* SPDX-License-Identifier: MIT */
/*
 * The least that a VMM does to give its guest a xenstore, and the least that a
 * guest does with it; see xenstored-vmm(7). Needs nothing but the two public
 * headers.
 *
 *	example SOCKET DOMID
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <xen/io/xs_wire.h>
#include <xenstore_vmm.h>

static void die(const char *what)
{
	perror(what);
	exit(1);
}

/* ---- the VMM ------------------------------------------------------------ */

static int dial(const char *path)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

	if (fd < 0 || strlen(path) >= sizeof(addr.sun_path))
		die("socket");
	strcpy(addr.sun_path, path);
	if (connect(fd, (struct sockaddr *)&addr, sizeof(addr)) < 0)
		die(path);
	return fd;
}

/* Sends a request with three descriptors, or none, and waits for the answer. */
static void call(int vmm, struct xenstore_vmm_msg *msg, const int fds[3])
{
	union {
		char buf[CMSG_SPACE(3 * sizeof(int))];
		struct cmsghdr hdr;
	} control = { .buf = "" };
	struct iovec iov = { msg, sizeof(*msg) };
	struct msghdr hdr = { .msg_iov = &iov, .msg_iovlen = 1 };

	msg->version = XENSTORE_VMM_VERSION;
	if (fds) {
		hdr.msg_control = control.buf;
		hdr.msg_controllen = sizeof(control.buf);
		control.hdr.cmsg_level = SOL_SOCKET;
		control.hdr.cmsg_type = SCM_RIGHTS;
		control.hdr.cmsg_len = CMSG_LEN(3 * sizeof(int));
		memcpy(CMSG_DATA(&control.hdr), fds, 3 * sizeof(int));
	}
	if (sendmsg(vmm, &hdr, 0) < 0)
		die("sendmsg");
	if (recv(vmm, msg, sizeof(*msg), 0) != sizeof(*msg))
		die("recv");
	if (msg->error) {
		fprintf(stderr, "xenstored: %s\n", msg->text);
		exit(1);
	}
}

/* ---- the guest ---------------------------------------------------------- */

struct guest {
	struct xenstore_domain_interface *ring;
	int to_daemon;		/* eventfd */
	int from_daemon;	/* our end of the socket pair */
};

static void sleep_until_kicked(struct guest *guest)
{
	char buf[64];

	if (read(guest->from_daemon, buf, sizeof(buf)) <= 0)
		die("read");
}

static void put(struct guest *guest, const void *data, size_t len)
{
	struct xenstore_domain_interface *ring = guest->ring;
	uint32_t prod = ring->req_prod;

	for (size_t i = 0; i < len; i++) {
		while (prod - __atomic_load_n(&ring->req_cons,
					      __ATOMIC_ACQUIRE) ==
		       XENSTORE_RING_SIZE)
			sleep_until_kicked(guest);
		ring->req[MASK_XENSTORE_IDX(prod++)] = ((const char *)data)[i];
		__atomic_store_n(&ring->req_prod, prod, __ATOMIC_RELEASE);
		if (i + 1 == len || prod - ring->req_cons == XENSTORE_RING_SIZE)
			eventfd_write(guest->to_daemon, 1);
	}
}

static void get(struct guest *guest, void *data, size_t len)
{
	struct xenstore_domain_interface *ring = guest->ring;
	uint32_t cons = ring->rsp_cons;

	for (size_t i = 0; i < len; i++) {
		while (cons == __atomic_load_n(&ring->rsp_prod,
					       __ATOMIC_ACQUIRE))
			sleep_until_kicked(guest);
		((char *)data)[i] = ring->rsp[MASK_XENSTORE_IDX(cons++)];
		__atomic_store_n(&ring->rsp_cons, cons, __ATOMIC_RELEASE);
	}
	eventfd_write(guest->to_daemon, 1);
}

static void ask(struct guest *guest, uint32_t type, const void *payload,
		size_t len)
{
	struct xsd_sockmsg hdr = { .type = type, .req_id = 1, .len = len };
	char reply[XENSTORE_PAYLOAD_MAX + 1];

	put(guest, &hdr, sizeof(hdr));
	put(guest, payload, len);
	get(guest, &hdr, sizeof(hdr));
	get(guest, reply, hdr.len);
	reply[hdr.len] = 0;
	printf("request %u: %s %s\n", type,
	       hdr.type == XS_ERROR ? "error" : "reply", reply);
}

int main(int argc, char **argv)
{
	struct xenstore_vmm_msg msg = { .type = XENSTORE_VMM_ATTACH };
	int vmm, page, pair[2];
	struct guest guest;

	if (argc != 3) {
		fprintf(stderr, "usage: %s SOCKET DOMID\n", argv[0]);
		return 2;
	}
	vmm = dial(argv[1]);

	/* The guest's page. A real VMM passes the memfd of the guest's memory,
	 * and where in it the guest finds the page. */
	page = memfd_create("guest", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (page < 0 || ftruncate(page, 4096) < 0 ||
	    fcntl(page, F_ADD_SEALS, F_SEAL_SHRINK) < 0)
		die("memfd");
	guest.ring = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, page,
			  0);
	guest.to_daemon = eventfd(0, EFD_CLOEXEC);
	if (guest.ring == MAP_FAILED || guest.to_daemon < 0 ||
	    socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
		die("guest");
	guest.from_daemon = pair[0];

	msg.domid = strtoul(argv[2], NULL, 10);
	msg.flags = XENSTORE_VMM_INTRODUCE;
	call(vmm, &msg, (int[]){ page, guest.to_daemon, pair[1] });
	close(pair[1]);
	printf("domain %u attached\n", msg.domid);

	ask(&guest, XS_GET_DOMAIN_PATH, argv[2], strlen(argv[2]) + 1);
	ask(&guest, XS_DIRECTORY, "/", 2);
	ask(&guest, XS_WRITE, "/not/mine\0x", 11);

	/* The guest powers off; with the connection its domain ends. */
	msg = (struct xenstore_vmm_msg){
		.type = XENSTORE_VMM_STATE,
		.domid = msg.domid,
		.state = XENSTORE_VMM_SHUTDOWN,
	};
	call(vmm, &msg, NULL);
	return 0;
}
