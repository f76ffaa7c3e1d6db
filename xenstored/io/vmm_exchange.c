/* SPDX-License-Identifier: MIT */
#include "io/vmm_exchange.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static int fds_of(struct msghdr *hdr, int *fds)
{
	struct cmsghdr *cmsg;
	int n = 0;

	for (cmsg = CMSG_FIRSTHDR(hdr); cmsg; cmsg = CMSG_NXTHDR(hdr, cmsg)) {
		size_t len = cmsg->cmsg_len - CMSG_LEN(0);

		if (cmsg->cmsg_level != SOL_SOCKET ||
		    cmsg->cmsg_type != SCM_RIGHTS)
			continue;
		memcpy(fds + n, CMSG_DATA(cmsg), len);
		n += len / sizeof(*fds);
	}
	return n;
}

int vmm_exchange_fds(struct vmm_exchange *exchange, int *fds)
{
	exchange->in.msg_hdr.msg_control = exchange->control.buf;
	return fds_of(&exchange->in.msg_hdr, fds);
}

int vmm_exchange_receive(struct vmm_exchange *exchange, int fd)
{
	int n;

	exchange->in_iov = (struct iovec){ &exchange->request,
					   sizeof(exchange->request) };
	exchange->in = (struct mmsghdr){ .msg_hdr = {
		.msg_iov = &exchange->in_iov,
		.msg_iovlen = 1,
		.msg_control = exchange->control.buf,
		.msg_controllen = sizeof(exchange->control.buf),
	} };
	exchange->request = (struct xenstore_vmm_msg){ 0 };
	n = recvmmsg(fd, &exchange->in, 1, MSG_DONTWAIT | MSG_CMSG_CLOEXEC,
		     NULL);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return EAGAIN;
	return n > 0 && exchange->in.msg_len ? 0 : EPIPE;
}

int vmm_exchange_answer(struct vmm_exchange *exchange, int fd)
{
	exchange->out_iov = (struct iovec){ &exchange->answer,
					    sizeof(exchange->answer) };
	exchange->out = (struct mmsghdr){ .msg_hdr = {
		.msg_iov = &exchange->out_iov,
		.msg_iovlen = 1,
	} };
	if (sendmmsg(fd, &exchange->out, 1, MSG_DONTWAIT | MSG_NOSIGNAL) > 0)
		return 0;
	return errno == EAGAIN || errno == ENOBUFS ? EAGAIN : EPIPE;
}

/* The first store says so. */
void vmm_exchange_end(struct vmm_exchange *exchange)
{
	exchange->in.msg_len = 0;
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
	exchange->out.msg_len = 0;
	exchange->begun = false;
}

/* A predecessor may have died with an answer that has left. */
int vmm_exchange_open(struct vmm_slot *slot, struct vmm_exchange **out)
{
	void *mem;

	if (slot->page < 0) {
		slot->page = memfd_create("xenstored-vmm-request",
					  MFD_CLOEXEC);
		if (slot->page < 0)
			return -errno;
		if (posix_fallocate(slot->page, 0, sizeof(**out)))
			return -ENOSPC;
	}
	mem = mmap(NULL, sizeof(**out), PROT_READ | PROT_WRITE, MAP_SHARED,
		   slot->page, 0);
	if (mem == MAP_FAILED)
		return -errno;
	*out = mem;
	if ((*out)->out.msg_len)
		vmm_exchange_end(*out);
	return 0;
}
