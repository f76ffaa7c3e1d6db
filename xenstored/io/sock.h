/* SPDX-License-Identifier: MIT */
/*
 * Stream sockets: the listener and the transport of one accepted client.
 *
 * The listener is as in listener.h; it also goes on accepting when a client has
 * gone.
 */
#ifndef IO_SOCK_H
#define IO_SOCK_H

#include <sys/types.h>
#include <talloc.h>

#include "io/loop.h"
#include "io/transport.h"

struct sock_listener;

/* accepted() takes over the transport. Errors as listener_bind(). */
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

/* The process that connected, as the kernel remembers it; 0: not known. Of a
 * transport of sock_new() or of a listener. */
pid_t sock_peer_pid(const struct transport *transport);

#endif
