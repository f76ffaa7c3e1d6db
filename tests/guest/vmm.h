/* SPDX-License-Identifier: MIT */
/*
 * The VMM's side of the port: makes what a domain needs and attaches it.
 */
#ifndef GUEST_VMM_H
#define GUEST_VMM_H

#include <stdbool.h>
#include <stdint.h>
#include <xenstore_vmm.h>

#include "gring.h"

/* What a domain is made of. The guest has the ring; `out` is where the daemon's
 * kicks arrive. */
struct vmm_domain {
	uint16_t domid;
	int page_fd, in, out;
	int theirs;		/* the daemon's end of the kicks out */
	struct gring ring;
};

/* A connection, or -errno. */
int vmm_dial(const char *path);

/* Both return 0 or -errno. */
int vmm_send(int fd, const struct xenstore_vmm_msg *msg, const int *fds,
	     int n_fds);
int vmm_receive(int fd, struct xenstore_vmm_msg *answer);
/* Sends and waits for the answer: its error, or -errno. */
int vmm_call(int fd, struct xenstore_vmm_msg *msg, const int *fds, int n_fds);

/* Page, eventfd and socket pair. 0 or -errno. */
int vmm_domain_make(struct vmm_domain *dom, uint16_t domid);
void vmm_domain_free(struct vmm_domain *dom);

/* The request that attaches it, with three descriptors. */
void vmm_attach_request(const struct vmm_domain *dom, bool introduce,
			struct xenstore_vmm_msg *msg, int fds[3]);
/* These wait for the answer; 0, its error, or -errno. */
int vmm_attach(int fd, const struct vmm_domain *dom, bool introduce);
int vmm_state(int fd, uint16_t domid, enum xenstore_vmm_state state);
int vmm_detach(int fd, uint16_t domid);

#endif
