/* SPDX-License-Identifier: MIT */
#include "vmm.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define PAGE 4096

int vmm_dial(const char *path)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

	if (strlen(path) >= sizeof(addr.sun_path))
		return -ENAMETOOLONG;
	strcpy(addr.sun_path, path);
	if (connect(fd, (struct sockaddr *)&addr, sizeof(addr)) < 0) {
		int err = -errno;

		close(fd);
		return err;
	}
	return fd;
}

int vmm_send(int fd, const struct xenstore_vmm_msg *msg, const int *fds,
	     int n_fds)
{
	union {
		char buf[CMSG_SPACE(8 * sizeof(int))];
		struct cmsghdr hdr;
	} control = { .buf = "" };
	struct iovec iov = { (void *)msg, sizeof(*msg) };
	struct msghdr hdr = { .msg_iov = &iov, .msg_iovlen = 1 };

	if (n_fds) {
		hdr.msg_control = control.buf;
		hdr.msg_controllen = CMSG_SPACE(n_fds * sizeof(int));
		control.hdr.cmsg_level = SOL_SOCKET;
		control.hdr.cmsg_type = SCM_RIGHTS;
		control.hdr.cmsg_len = CMSG_LEN(n_fds * sizeof(int));
		memcpy(CMSG_DATA(&control.hdr), fds, n_fds * sizeof(int));
	}
	return sendmsg(fd, &hdr, MSG_NOSIGNAL) < 0 ? -errno : 0;
}

int vmm_receive(int fd, struct xenstore_vmm_msg *answer)
{
	ssize_t n = recv(fd, answer, sizeof(*answer), 0);

	if (n < 0)
		return -errno;
	return n == sizeof(*answer) ? 0 : -EPROTO;
}

int vmm_call(int fd, struct xenstore_vmm_msg *msg, const int *fds, int n_fds)
{
	int err;

	msg->version = XENSTORE_VMM_VERSION;
	err = vmm_send(fd, msg, fds, n_fds);
	if (!err)
		err = vmm_receive(fd, msg);
	return err ? err : (int)msg->error;
}

static void domain_kick(void *arg)
{
	struct vmm_domain *dom = arg;

	eventfd_write(dom->in, 1);
}

static int make_page(void)
{
	int fd = memfd_create("guest", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	if (fd < 0)
		return -errno;
	if (ftruncate(fd, PAGE) < 0 ||
	    fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK) < 0) {
		close(fd);
		return -EINVAL;
	}
	return fd;
}

int vmm_domain_make(struct vmm_domain *dom, uint16_t domid)
{
	int pair[2];
	void *page;

	memset(dom, 0, sizeof(*dom));
	dom->domid = domid;
	dom->page_fd = make_page();
	if (dom->page_fd < 0)
		return dom->page_fd;
	page = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED,
		    dom->page_fd, 0);
	dom->in = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (page == MAP_FAILED || dom->in < 0 ||
	    socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0,
		       pair) < 0)
		return -errno;
	dom->out = pair[0];
	dom->theirs = pair[1];
	dom->ring = (struct gring){
		.page = page,
		.kick = domain_kick,
		.arg = dom,
	};
	return 0;
}

void vmm_domain_free(struct vmm_domain *dom)
{
	munmap(dom->ring.page, PAGE);
	close(dom->page_fd);
	close(dom->in);
	close(dom->out);
	close(dom->theirs);
}

void vmm_attach_request(const struct vmm_domain *dom, bool introduce,
			struct xenstore_vmm_msg *msg, int fds[3])
{
	*msg = (struct xenstore_vmm_msg){
		.version = XENSTORE_VMM_VERSION,
		.type = XENSTORE_VMM_ATTACH,
		.domid = dom->domid,
		.flags = introduce ? XENSTORE_VMM_INTRODUCE : 0,
	};
	fds[0] = dom->page_fd;
	fds[1] = dom->in;
	fds[2] = dom->theirs;
}

int vmm_attach(int fd, const struct vmm_domain *dom, bool introduce)
{
	struct xenstore_vmm_msg msg;
	int fds[3];

	vmm_attach_request(dom, introduce, &msg, fds);
	return vmm_call(fd, &msg, fds, 3);
}

int vmm_state(int fd, uint16_t domid, enum xenstore_vmm_state state)
{
	struct xenstore_vmm_msg msg = {
		.type = XENSTORE_VMM_STATE,
		.domid = domid,
		.state = state,
	};

	return vmm_call(fd, &msg, NULL, 0);
}

int vmm_detach(int fd, uint16_t domid)
{
	struct xenstore_vmm_msg msg = {
		.type = XENSTORE_VMM_DETACH,
		.domid = domid,
	};

	return vmm_call(fd, &msg, NULL, 0);
}
