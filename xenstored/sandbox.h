/* SPDX-License-Identifier: MIT */
/*
 * The sandbox of the serving process: the system calls that serving needs, and
 * no others. A guest that takes over the worker can neither run a program nor
 * open a network connection, trace, mount, or change its identity; what it has
 * are the descriptors that are open and the files of the daemon's user.
 *
 * Entered once, when clients are served: devices are open by then. Programs
 * are run by the keeper, which is not in it.
 */
#ifndef SANDBOX_H
#define SANDBOX_H

/* A call that is not allowed fails with EPERM from now on. Negative errno:
 * nothing has changed. */
int sandbox_enter(void);

#endif
