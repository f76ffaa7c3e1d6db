/* SPDX-License-Identifier: MIT */
/*
 * Stream sockets: the listener and the transport of one accepted client.
 *
 * The socket file has mode 0600 and a backlog that survives a burst of
 * non-blocking connects. A path that a living daemon serves is refused
 * (EADDRINUSE), a stale one is replaced. Running out of descriptors is
 * survived: accepting pauses, is logged once, and goes on when a client has
 * gone or after a second. The file stays when the listener is freed, for a
 * successor may listen on.
 */
#ifndef IO_SOCK_H
#define IO_SOCK_H

#include <talloc.h>

#include "io/loop.h"
#include "io/transport.h"

struct sock_listener;

/*
 * accepted() takes over the transport.
 * -EADDRINUSE: a living daemon serves the path. -ENAMETOOLONG: no room for it
 * in a socket address. -ENOTSOCK: some other file has that name.
 */
int sock_listen(TALLOC_CTX *ctx, struct loop *loop, const char *path,
		void (*accepted)(void *arg, struct transport *transport),
		void *arg, struct sock_listener **out);
/* The same on a socket that is listening already (live update, restart). */
int sock_adopt_listener(TALLOC_CTX *ctx, struct loop *loop, int fd,
			void (*accepted)(void *arg,
					 struct transport *transport),
			void *arg, struct sock_listener **out);
int sock_listener_fd(const struct sock_listener *listener);

/* A transport over a connected socket, which it owns from then on. */
int sock_new(TALLOC_CTX *ctx, struct loop *loop, int fd,
	     struct transport **out);

#endif
