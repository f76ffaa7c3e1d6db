/* SPDX-License-Identifier: MIT */
#include "io/sock.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/list.h"
#include "base/log.h"

#define BACKLOG 4096
#define ACCEPTS_PER_PASS 64
#define RETRY_MS 1000

struct sock_listener {
	int fd;
	struct loop *loop;
	struct loop_fd *watch;
	struct loop_timer *retry;	/* armed: accepting pauses */
	struct list clients;		/* struct sock */
	void (*accepted)(void *arg, struct transport *transport);
	void *arg;
	bool complained;
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

/* ---- the transport ------------------------------------------------------- */

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

static const struct transport_ops sock_ops = {
	.kind = "socket",
	.read = sock_read,
	.settle = sock_settle,
	.write = sock_write,
	.listen = sock_set_listening,
	.fail = sock_fail,
	.fd = sock_fd,
};

static void sock_listener_go(void *arg);

static int sock_free(struct sock *sock)
{
	struct sock_listener *listener = sock->listener;

	/* Before close(): the kernel must not report a descriptor that names
	 * something else by then. */
	TALLOC_FREE(sock->watch);
	close(sock->fd);
	list_del(&sock->in_clients);
	if (listener && loop_timer_armed(listener->retry))
		sock_listener_go(listener);
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

/* ---- the listener -------------------------------------------------------- */

static void sock_listener_go(void *arg)
{
	struct sock_listener *listener = arg;

	loop_timer_cancel(listener->retry);
	loop_fd_want(listener->watch, LOOP_READ);
}

/* What is waiting stays in the backlog meanwhile. */
static void sock_listener_pause(struct sock_listener *listener, int err)
{
	if (!listener->complained)
		log_error("cannot accept clients for now: %s", strerror(err));
	listener->complained = true;
	loop_fd_want(listener->watch, 0);
	loop_timer_set(listener->retry, RETRY_MS);
}

static bool is_shortage(int err)
{
	return err == EMFILE || err == ENFILE || err == ENOMEM ||
	       err == ENOBUFS;
}

static void sock_listener_take(struct sock_listener *listener, int fd)
{
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

static void sock_listener_ready(void *arg, unsigned int events)
{
	struct sock_listener *listener = arg;

	(void)events;
	for (int i = 0; i < ACCEPTS_PER_PASS; i++) {
		int fd = accept4(listener->fd, NULL, NULL,
				 SOCK_CLOEXEC | SOCK_NONBLOCK);

		if (fd < 0) {
			if (is_shortage(errno))
				sock_listener_pause(listener, errno);
			else if (errno == ECONNABORTED || errno == EINTR)
				continue;
			return;
		}
		if (listener->complained)
			log_info("accepting clients again");
		listener->complained = false;
		sock_listener_take(listener, fd);
	}
}

static int sock_listener_free(struct sock_listener *listener)
{
	struct sock *sock, *tmp;

	list_for_each_safe(sock, tmp, &listener->clients, in_clients) {
		sock->listener = NULL;
		list_del(&sock->in_clients);
	}
	TALLOC_FREE(listener->watch);
	close(listener->fd);
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
	listener->fd = fd;
	listener->loop = loop;
	listener->accepted = accepted;
	listener->arg = arg;
	list_init(&listener->clients);
	talloc_set_destructor(listener, sock_listener_free);
	err = fcntl(fd, F_SETFL, O_NONBLOCK) < 0 ? -errno : 0;
	if (!err)
		err = loop_timer_new(listener, loop, sock_listener_go, listener,
				     &listener->retry);
	if (!err)
		err = loop_fd_new(listener, loop, fd, LOOP_READ,
				  sock_listener_ready, listener,
				  &listener->watch);
	if (err) {
		talloc_free(listener);
		return err;
	}
	*out = listener;
	return 0;
}

/* Does somebody listen there? A full backlog is somebody, too. */
static int probe(int fd, const struct sockaddr_un *addr)
{
	struct stat st;

	if (lstat(addr->sun_path, &st) < 0)
		return errno == ENOENT ? 0 : -errno;
	if (!S_ISSOCK(st.st_mode))
		return -ENOTSOCK;
	if (!connect(fd, (const struct sockaddr *)addr, sizeof(*addr)) ||
	    errno == EAGAIN)
		return -EADDRINUSE;
	if (errno == ECONNREFUSED)
		return unlink(addr->sun_path) < 0 ? -errno : 0;
	return errno == ENOENT ? 0 : -errno;
}

static int stream_socket(void)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	return fd < 0 ? -errno : fd;
}

static int bind_0600(int fd, const struct sockaddr_un *addr)
{
	mode_t mask = umask(0177);
	int err = 0;

	if (bind(fd, (const struct sockaddr *)addr, sizeof(*addr)) < 0 ||
	    listen(fd, BACKLOG) < 0)
		err = -errno;
	umask(mask);
	return err;
}

static int listen_at(const struct sockaddr_un *addr, int *out)
{
	int test = stream_socket(), fd, err;

	if (test < 0)
		return test;
	err = probe(test, addr);
	close(test);
	if (err)
		return err;
	fd = stream_socket();
	if (fd < 0)
		return fd;
	err = bind_0600(fd, addr);
	if (err) {
		close(fd);
		return err;
	}
	*out = fd;
	return 0;
}

/* The directory, locked: two daemons that find a stale file at once must not
 * unlink each other's fresh one. */
static int lock_dir_of(const char *path)
{
	char copy[sizeof(((struct sockaddr_un *)0)->sun_path)];
	int fd;

	strcpy(copy, path);
	fd = open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	if (flock(fd, LOCK_EX) < 0) {
		int err = -errno;

		close(fd);
		return err;
	}
	return fd;
}

int sock_listen(TALLOC_CTX *ctx, struct loop *loop, const char *path,
		void (*accepted)(void *arg, struct transport *transport),
		void *arg, struct sock_listener **out)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	int dir, fd, err;

	if (strlen(path) >= sizeof(addr.sun_path))
		return -ENAMETOOLONG;
	strcpy(addr.sun_path, path);
	dir = lock_dir_of(path);
	if (dir < 0)
		return dir;
	err = listen_at(&addr, &fd);
	close(dir);
	if (err)
		return err;
	return sock_adopt_listener(ctx, loop, fd, accepted, arg, out);
}

int sock_listener_fd(const struct sock_listener *listener)
{
	return listener->fd;
}
