/* SPDX-License-Identifier: MIT */
/*
 * A listening Unix socket: its file, and what becomes of those who connect.
 *
 * The file has mode 0600 and a backlog that survives a burst of non-blocking
 * connects. A path that a living daemon serves is refused, a stale one is
 * replaced. Running out of descriptors is survived: accepting pauses, is
 * logged once, and goes on after a second or by listener_retry(). The file
 * stays when the listener is freed, for a successor may listen on.
 */
#ifndef IO_LISTENER_H
#define IO_LISTENER_H

#include <talloc.h>

#include "io/loop.h"

struct listener;

/*
 * Makes a listening socket of the given type (SOCK_STREAM, SOCK_SEQPACKET).
 * -EADDRINUSE: a living daemon serves the path. -ENAMETOOLONG: no room for it
 * in a socket address. -ENOTSOCK: some other file has that name.
 */
int listener_bind(const char *path, int type, int *fd);

/* Accepts on a listening socket, which it owns from then on, also when it
 * fails. accepted() owns the descriptor that it is given. */
int listener_new(TALLOC_CTX *ctx, struct loop *loop, int fd,
		 void (*accepted)(void *arg, int fd), void *arg,
		 struct listener **out);
int listener_fd(const struct listener *listener);
/* A descriptor was closed: go on if accepting pauses. */
void listener_retry(struct listener *listener);

#endif
