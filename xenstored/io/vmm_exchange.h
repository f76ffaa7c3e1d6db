/* SPDX-License-Identifier: MIT */
/*
 * The request that a VMM's connection is about, in a page of its own, and what
 * has become of it: a death loses no request and no answer, and repeats none.
 * The kernel itself notes there how much it has received or sent, which is what
 * recvmmsg() and sendmmsg() are for.
 *
 * The page is a memfd that the connection's slot names; who opens an exchange
 * unmaps it, and closes that. One request at a time: received, answered, ended.
 * Errors are those of errno, positive, where they say how the VMM is.
 */
#ifndef IO_VMM_EXCHANGE_H
#define IO_VMM_EXCHANGE_H

#include <stdint.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include <xenstore_vmm.h>

#include "io/vmm_table.h"

#define VMM_FDS_MAX 4		/* one more than any request has */

/*
 * What one connection is about. A request is here while in.msg_len is not 0,
 * and is answered when out.msg_len is not 0.
 */
struct vmm_exchange {
	struct mmsghdr in, out;
	struct iovec in_iov, out_iov;
	uint32_t begun;		/* it is found good: what it is about may have
				 * changed already */
	struct xenstore_vmm_msg request, answer;
	union {
		char buf[CMSG_SPACE(VMM_FDS_MAX * sizeof(int))];
		struct cmsghdr align;
	} control;
};

/* Maps the page of `slot`, which is made if there is none (-1). An answer that
 * a predecessor has sent is over. -errno; the page may have been made. */
int vmm_exchange_open(struct vmm_slot *slot, struct vmm_exchange **out);

/* The descriptors that came with a request, at an address that may be new;
 * at most VMM_FDS_MAX. How many they are. */
int vmm_exchange_fds(struct vmm_exchange *exchange, int *fds);

/* EAGAIN: there is no request; EPIPE: the VMM has gone. */
int vmm_exchange_receive(struct vmm_exchange *exchange, int fd);

/* EAGAIN: there is no room; EPIPE: the VMM has gone. */
int vmm_exchange_answer(struct vmm_exchange *exchange, int fd);

/* It is over. */
void vmm_exchange_end(struct vmm_exchange *exchange);

#endif
