/* SPDX-License-Identifier: MIT */
/*
 * A link: the bytes between this process and the daemon, through its socket
 * or the kernel's device.
 *
 * L1  A link's descriptor keeps its number from link_open() to link_close():
 *     losing, restricting or renewing the connection only replaces what it
 *     refers to. So threads may use it without a lock.
 * L2  At most one thread sends and one receives at a time; the caller sees to
 *     that. link_cut() may be called by anybody at any time.
 * L3  Nothing raises SIGPIPE, and no descriptor survives exec().
 *
 * Functions return 0 or a positive errno value.
 */
#ifndef LIBXENSTORE_LINK_H
#define LIBXENSTORE_LINK_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>
#include <sys/uio.h>

struct link {
	int fd;			/* -1: closed */
	int kick;		/* device only: eventfd that ends a wait */
	bool is_socket;
	char path[PATH_MAX];	/* what was opened */
};

/*
 * The daemon's socket by the rules of xs_daemon_socket(), in buf or in the
 * environment.
 */
const char *link_socket_path(char *buf, size_t size);
const char *link_rundir(void);

/* A closed link, as link_close() leaves it. */
void link_init(struct link *link);

/* The socket, or else the device. errno of the last attempt. */
int link_open(struct link *link);

/* For a socket: a new connection to where the lost one led. Never waits. */
int link_renew(struct link *link);

/* Most bytes of payload in a request. */
unsigned int link_payload_max(const struct link *link);

/*
 * Sends all of iov[0..n-1], in one system call if the other side takes it
 * all; iov is used up. With dont_wait EAGAIN if it does not: then a part may
 * be gone.
 */
int link_send(struct link *link, struct iovec *iov, unsigned int n,
	      bool dont_wait);

/*
 * Receives up to size bytes: their number, 0 at the end of the stream, or a
 * negative errno value: -EAGAIN nothing there, with `wait` for a second now;
 * -EINTR a signal was handled; any other: the link is broken.
 */
ssize_t link_receive(struct link *link, void *buf, size_t size, bool wait);

/* Waits until link_receive() has something to say. A cancellation point. */
void link_wait(struct link *link);

/*
 * Ends the connection: what has arrived can still be received, then comes the
 * end; whoever waits in link_receive() or link_wait() is woken.
 */
void link_cut(struct link *link);

/* Lets the descriptor refer to /dev/null, with no effect on other processes
 * that share it. */
int link_replace_by_null(struct link *link);

void link_close(struct link *link);

#endif
