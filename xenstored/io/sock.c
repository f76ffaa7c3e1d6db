/* SPDX-License-Identifier: MIT */
#include "io/sock.h"

#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/list.h"
#include "io/listener.h"

struct sock_listener {
	struct listener *listener;
	struct loop *loop;
	struct list clients;		/* struct sock */
	void (*accepted)(void *arg, struct transport *transport);
	void *arg;
};

struct sock {
	struct transport transport;
	int fd;
	bool listening;
	bool blocked;			/* write() found no room */
	struct loop_fd *watch;
	struct sock_listener *listener;	/* NULL: has gone, or had none */
	struct list in_clients;
};

/* ---- the transport ------------------------------------------------------ */

static struct sock *sock_of(struct transport *transport)
{
	return talloc_get_type_abort(transport, struct sock);
}

static void sock_want(struct sock *sock)
{
	loop_fd_want(sock->watch, (sock->listening ? LOOP_READ : 0) |
				  (sock->blocked ? LOOP_WRITE : 0));
}

static void sock_ready(void *arg, unsigned int events)
{
	struct sock *sock = arg;
	struct transport *transport = &sock->transport;
	bool writable = sock->blocked && (events & LOOP_WRITE);

	if (writable) {
		sock->blocked = false;
		sock_want(sock);
	}
	if (transport->ready)
		transport->ready(transport->arg, events & LOOP_READ, writable);
}

static int sock_read(struct transport *transport, void *buf, size_t room,
		     size_t *got, bool *more)
{
	struct sock *sock = sock_of(transport);
	ssize_t n;

	*got = 0;
	*more = false;
	if (!room)
		return 0;
	do
		n = recv(sock->fd, buf, room, MSG_DONTWAIT);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return errno == EAGAIN ? 0 : -EPIPE;
	if (n == 0)
		return -EPIPE;
	*got = n;
	*more = (size_t)n == room;
	return 0;
}

static bool sock_settle(struct transport *transport)
{
	(void)transport;
	return false;
}

static int sock_write(struct transport *transport, const struct iovec *iov,
		      int n, size_t *put)
{
	struct sock *sock = sock_of(transport);
	struct msghdr msg = {
		.msg_iov = (struct iovec *)iov,
		.msg_iovlen = n,
	};
	size_t want = 0;
	ssize_t sent;

	for (int i = 0; i < n; i++)
		want += iov[i].iov_len;
	do
		sent = sendmsg(sock->fd, &msg, MSG_DONTWAIT | MSG_NOSIGNAL);
	while (sent < 0 && errno == EINTR);
	*put = 0;
	if (sent < 0 && errno != EAGAIN && errno != ENOBUFS)
		return -EPIPE;
	if (sent > 0)
		*put = sent;
	if (*put < want) {
		sock->blocked = true;
		sock_want(sock);
	}
	return 0;
}

static void sock_set_listening(struct transport *transport, bool on)
{
	struct sock *sock = sock_of(transport);

	sock->listening = on;
	sock_want(sock);
}

static void sock_fail(struct transport *transport, uint32_t error)
{
	struct sock *sock = sock_of(transport);

	(void)error;
	sock->listening = sock->blocked = false;
	sock_want(sock);
}

static int sock_fd(const struct transport *transport)
{
	return ((const struct sock *)transport)->fd;
}

pid_t sock_peer_pid(const struct transport *transport)
{
	struct ucred cred;
	socklen_t len = sizeof(cred);

	return getsockopt(sock_fd(transport), SOL_SOCKET, SO_PEERCRED, &cred,
			  &len) ? 0 : cred.pid;
}

static const struct transport_ops sock_ops = {
	.kind = "socket",
	.read = sock_read,
	.settle = sock_settle,
	.write = sock_write,
	.listen = sock_set_listening,
	.fail = sock_fail,
	.fd = sock_fd,
};

static int sock_free(struct sock *sock)
{
	struct sock_listener *listener = sock->listener;

	/* Before close(): the kernel must not report a descriptor that names
	 * something else by then. */
	TALLOC_FREE(sock->watch);
	close(sock->fd);
	list_del(&sock->in_clients);
	if (listener)
		listener_retry(listener->listener);
	return 0;
}

int sock_new(TALLOC_CTX *ctx, struct loop *loop, int fd, struct transport **out)
{
	struct sock *sock = talloc_zero(ctx, struct sock);
	int err;

	if (!sock) {
		close(fd);
		return -ENOMEM;
	}
	sock->transport.ops = &sock_ops;
	sock->fd = fd;
	sock->listening = true;
	list_init(&sock->in_clients);
	talloc_set_destructor(sock, sock_free);
	err = loop_fd_new(sock, loop, fd, LOOP_READ, sock_ready, sock,
			  &sock->watch);
	if (err) {
		talloc_free(sock);
		return err;
	}
	*out = &sock->transport;
	return 0;
}

/* ---- the listener ------------------------------------------------------- */

static void sock_listener_took(void *arg, int fd)
{
	struct sock_listener *listener = arg;
	struct transport *transport;
	struct sock *sock;

	/* Nothing hangs above it until accepted() takes it over. */
	if (sock_new(NULL, listener->loop, fd, &transport))
		return;
	sock = sock_of(transport);
	sock->listener = listener;
	list_add_tail(&listener->clients, &sock->in_clients);
	listener->accepted(listener->arg, transport);
}

static int sock_listener_free(struct sock_listener *listener)
{
	struct sock *sock, *tmp;

	list_for_each_safe(sock, tmp, &listener->clients, in_clients) {
		sock->listener = NULL;
		list_del(&sock->in_clients);
	}
	return 0;
}

int sock_adopt_listener(TALLOC_CTX *ctx, struct loop *loop, int fd,
			void (*accepted)(void *arg,
					 struct transport *transport),
			void *arg, struct sock_listener **out)
{
	struct sock_listener *listener = talloc_zero(ctx, struct sock_listener);
	int err;

	if (!listener) {
		close(fd);
		return -ENOMEM;
	}
	listener->loop = loop;
	listener->accepted = accepted;
	listener->arg = arg;
	list_init(&listener->clients);
	talloc_set_destructor(listener, sock_listener_free);
	err = listener_new(listener, loop, fd, sock_listener_took, listener,
			   &listener->listener);
	if (err) {
		talloc_free(listener);
		return err;
	}
	*out = listener;
	return 0;
}

int sock_listen(TALLOC_CTX *ctx, struct loop *loop, const char *path,
		void (*accepted)(void *arg, struct transport *transport),
		void *arg, struct sock_listener **out)
{
	int fd, err;

	err = listener_bind(path, SOCK_STREAM, &fd);
	if (err)
		return err;
	return sock_adopt_listener(ctx, loop, fd, accepted, arg, out);
}

int sock_listener_fd(const struct sock_listener *listener)
{
	return listener_fd(listener->listener);
}
