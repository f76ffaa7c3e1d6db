/* SPDX-License-Identifier: MIT */
/*
 * A guest as a process: a kernel that boots, finds its devices, and does what
 * its toolstack tells it through control/shutdown.
 *
 * It speaks with its VMM over a socket pair, one byte a message: what it does
 * (GUEST_*), and what it is told (VMM_*).
 */
#ifndef GUEST_GUEST_H
#define GUEST_GUEST_H

#include <stdbool.h>
#include <sys/types.h>

#include "vmm.h"

enum {
	GUEST_UP = 'U',		/* the first scan of its devices is over */
	GUEST_OFF = 'P',	/* powers off, and ends */
	GUEST_REBOOT = 'R',	/* the same, to be started again */
	GUEST_SUSPENDED = 'S',	/* sleeps, does not touch its ring */
	VMM_RESUME = 'r',	/* go on where you were */
	VMM_MIGRATE = 'm',	/* go on with the ring that is passed along:
				 * page, in, out */
};

/* Starts it; *control is the VMM's end. -errno. */
int guest_start(const struct vmm_domain *dom, const char *name, bool verbose,
		pid_t *pid, int *control);
/* The next thing it does, or -errno (-ETIMEDOUT). 0: it has died. */
int guest_listen(int control, int ms);
int guest_resume(int control);
int guest_migrate(int control, const struct vmm_domain *to);

#endif
