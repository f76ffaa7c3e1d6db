/* SPDX-License-Identifier: MIT */
/*
 * The backends in dom0, as a process: drives every device below "backend" to
 * Connected and to its end, and plays xenconsoled for primary consoles.
 */
#ifndef GUEST_BACKEND_H
#define GUEST_BACKEND_H

#include <stdbool.h>
#include <sys/types.h>

/* Starts it, and waits until its watches are set. It ends with its parent.
 * -errno. */
int backend_start(bool verbose, pid_t *pid);

#endif
